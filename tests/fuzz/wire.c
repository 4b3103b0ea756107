/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing tools/intake.c: connections of strangers, into a recording
 *
 * The input: 8 bytes that say how TCP cuts it into pieces, then what comes; "CUT!" ends a connection,
 * and the next one goes on with the same recording. It is received twice, in whole connections and
 * in pieces, and what is recorded and told has to be the same. The index fits the data.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "intake.h"

#define CUT "CUT!"

struct run {
	struct recorder recorder;
	struct intake intake;
	struct judge judge;
	char error[600];
	uint64_t gaps, gap_bytes;
	int data_fd, index_fd;
};

static struct run runs[2];

static int memory_file(int *kept)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	*kept = dup(fd);
	claim(fd >= 0 && *kept >= 0);
	return fd;
}

static void gap(void *context, uint64_t position, uint64_t bytes, bool marked)
{
	struct run *r = context;

	(void)marked;
	claim(bytes && position + bytes <= INT64_MAX);
	r->gaps++;
	r->gap_bytes += bytes;
}

static void begin(struct run *r)
{
	memset(r, 0, sizeof(*r));
	r->recorder.data_fd = memory_file(&r->data_fd);
	r->recorder.index_fd = memory_file(&r->index_fd);
	judge_start(&r->judge, 0);
	r->intake.recorder = &r->recorder;
	r->intake.judge = &r->judge;
	r->intake.gap = gap;
	r->intake.context = r;
}

/* One connection, in pieces of 1 to @pieces bytes; 0: in one. */
static void receive(struct run *r, const uint8_t *bytes, size_t count, uint64_t pieces)
{
	struct framer f = { .to = &r->intake };
	size_t n;
	int err = 0;

	while (count && !err) {
		uint8_t *block;

		n = pieces ? pieces % 97 + 1 : count;
		n = n < count ? n : count;
		pieces = pieces ? pieces * 0x5851f42d4c957f2d + 1 : 0;
		block = malloc(n);
		claim(block);
		memcpy(block, bytes, n);
		err = framer_take(&f, block, n);
		free(block);
		bytes += n;
		count -= n;
	}
	claim(!err || err == INTAKE_REFUSED);
	claim(!err || is_message(f.error));
	err = framer_end(&f);
	claim(!err || (err == INTAKE_REFUSED && is_message(f.error)));
	if (err)
		memcpy(r->error, f.error, sizeof(r->error));
	claim(!r->intake.left && !r->intake.open);
}

/* What the index tells is in the data, and all of it. */
static uint64_t index_describes(struct run *r, off_t size)
{
	unsigned char wire[SGRING_HELLO_BYTES];
	struct sgring_hello hello = { 0 };
	struct sgring_cqe e;
	uint64_t bytes = 0;
	off_t at = 0;

	while (at < size) {
		claim(pread(r->index_fd, wire, sizeof(wire), at) >= SGRING_ENTRY_BYTES);
		if (sgring_frame_is_hello(wire)) {
			claim(!sgring_hello_unpack(&hello, wire));
			at += SGRING_HELLO_BYTES;
			continue;
		}
		claim(hello.session && !sgring_entry_unpack(&e, wire, &hello));
		bytes += e.length_bytes;
		at += SGRING_ENTRY_BYTES;
	}
	claim(at == size);
	return bytes;
}

static void end(struct run *r)
{
	const struct sgring_track *t = &r->intake.track;
	off_t data, size;

	claim(!recorder_close(&r->recorder));
	data = lseek(r->data_fd, 0, SEEK_END);
	size = lseek(r->index_fd, 0, SEEK_END);
	claim((uint64_t)data == t->bytes);
	claim(index_describes(r, size) == t->bytes);
	claim(r->judge.right + r->judge.wrong == t->bytes);
	claim(r->gaps == t->gaps && r->gap_bytes == t->lost_bytes);
}

static void same_file(int a, int b)
{
	static char one[1 << 16], other[1 << 16];
	ssize_t n = pread(a, one, sizeof(one), 0);

	claim(n >= 0 && pread(b, other, sizeof(other), 0) == n && !memcmp(one, other, (size_t)n));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint64_t pieces = take(&in, 8) | 1;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct input rest = in;

		begin(&runs[i]);
		while (rest.left) {
			const uint8_t *cut = memmem(rest.at, rest.left, CUT, 4);
			size_t n = cut ? (size_t)(cut - rest.at) : rest.left;

			receive(&runs[i], rest.at, n, i ? pieces : 0);
			rest.at += cut ? n + 4 : n;
			rest.left -= cut ? n + 4 : n;
		}
		end(&runs[i]);
	}
	claim(!memcmp(&runs[0].intake.track, &runs[1].intake.track, sizeof(runs[0].intake.track)));
	claim(!strcmp(runs[0].error, runs[1].error));
	same_file(runs[0].data_fd, runs[1].data_fd);
	same_file(runs[0].index_fd, runs[1].index_fd);
	for (i = 0; i < 2; i++) {
		close(runs[i].data_fd);
		close(runs[i].index_fd);
	}
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing userlib/sim_replay.c and pcap_header.c: a capture file or a recording, as somebody sends it
 *
 * The input: what it is, then the capture file; or the size of the data file, and the index. What
 * was looked through when it was opened must be there when it is played, twice the same. FUZZ_TMP
 * is a folder for the files.
 */
#include <fcntl.h>
#include <unistd.h>

#include "fuzz.h"
#include "sgring.h"
#include "sim_replay.h"

static void file_name(char *path, const char *tail)
{
	const char *folder = getenv("FUZZ_TMP");

	snprintf(path, 256, "%s/replay-%d%s", folder ? folder : "/tmp", (int)getpid(), tail);
}

static void write_file(const char *path, const void *bytes, size_t count, off_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	claim(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
	claim(!ftruncate(fd, size));
	close(fd);
}

struct sum {
	uint64_t entries, bytes, sums;
};

static struct sum play(struct sgring_replay *r)
{
	static unsigned char data[300];
	struct sum s = { 0 };
	int more;

	claim(!sgring_replay_rewind(r));
	while ((more = sgring_replay_next(r)) > 0) {
		const struct sgring_cqe *e = &r->entry;
		uint32_t n = e->length_bytes < sizeof(data) ? e->length_bytes : sizeof(data);

		claim(e->length_bytes <= r->slot_bytes);
		claim(e->slot == SGRING_NO_SLOT || e->slot < r->slot_count);
		claim(!(e->flags & SGRING_CQE_EOS) || !e->length_bytes);
		claim(!sgring_replay_read(r, 0, data, n));
		claim(!sgring_replay_read(r, e->length_bytes - n, data, n));
		s.entries++;
		s.bytes += e->length_bytes;
		s.sums = s.sums * 31 + (n ? data[n - 1] : 7) + e->position_bytes;
	}
	claim(!more);
	claim(s.entries == r->entries && s.bytes == r->bytes && s.entries);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct input in = { bytes, size };
	bool capture = take(&in, 1) & 1;
	char path[256], index[256], data[256];
	struct sgring_replay *r;
	struct sum first, second;

	file_name(path, "");
	file_name(index, ".index");
	file_name(data, ".data");
	if (capture) {
		write_file(path, in.at, in.left, (off_t)in.left);
	} else {
		uint16_t n = (uint16_t)take(&in, 2);

		write_file(index, in.at, in.left, (off_t)in.left);
		write_file(data, in.at, in.left, n);
	}
	if (!sgring_replay_open(&r, path)) {
		first = play(r);
		second = play(r);
		claim(!memcmp(&first, &second, sizeof(first)));
		sgring_replay_close(r);
	} else {
		claim(!r && is_message(sgring_errmsg()));
	}
	unlink(path);
	unlink(index);
	unlink(data);
	return 0;
}

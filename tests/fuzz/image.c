/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing tools/image.c, ring.c and dump.c: rings as an application and a kernel gone mad would
 * leave them, and images as somebody sends them
 *
 * The input: how many slots, indices, what to damage in the file, then the memory of both sides. It is
 * kept, damaged, loaded and shown; what is said of it has to fit together. FUZZ_TMP is a
 * folder for the file.
 */
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "fuzz.h"
#include "image.h"
#include "json_check.h"
#include "tool.h"
#include "wrap.h"

static char path[256];

static struct sgring_geometry geometry(uint32_t slots)
{
	struct sgring_geometry g = {
		.size = sizeof(g), .slot_count = slots, .slot_bytes = 4096, .stride_bytes = 4096,
		.cq_entries = 1, .cq_stride = sizeof(struct sgring_cqe), .cq_offset = 192,
		.sq_entries = 1, .sq_stride = sizeof(struct sgring_sqe), .sq_offset = 128,
		.table_stride = sizeof(struct sgring_slot_info),
	};

	while (g.sq_entries < slots)
		g.sq_entries *= 2;
	while (g.cq_entries < slots + 1)
		g.cq_entries *= 2;
	g.table_offset = g.cq_offset + g.cq_entries * g.cq_stride;
	g.kernel_bytes = g.table_offset + slots * g.table_stride;
	g.user_bytes = g.sq_offset + g.sq_entries * g.sq_stride;
	return g;
}

static void judged(const struct image *im)
{
	uint32_t slots = im->geometry.slot_count, sum = 0, i, in_sq = 0, in_cq = 0;
	struct ring_view v;

	claim(!ring_judge(im, &v));
	for (i = 0; i < SLOT_OWNERS; i++) {
		sum += v.count[i];
		claim(!v.count[i] == (v.oldest[i] == SGRING_NO_SLOT));
		claim(!v.count[i] || (v.oldest[i] < slots && v.slots[v.oldest[i]].owner == i));
	}
	claim(sum == slots);
	claim(v.cq_seen <= im->geometry.cq_entries && v.sq_seen <= im->geometry.sq_entries);
	claim(im->has_user || (!v.cq_seen && !v.sq_seen));
	claim(!v.count[SLOT_DMA] == (v.next == SGRING_NO_SLOT));
	for (i = 0; i < slots; i++) {
		const struct slot_view *s = &v.slots[i];

		in_sq += s->in_sq;
		in_cq += s->in_cq;
		claim(s->owner < SLOT_OWNERS);
		claim((s->owner == SLOT_QUEUED) == (s->info.state == SGRING_SLOT_APP && s->in_sq));
		claim(!s->contradiction || v.contradictions);
		claim(s->moved || s->owner != SLOT_ODD || s->contradiction);
		claim(v.next == SGRING_NO_SLOT || s->owner != SLOT_DMA ||
		      s->info.time_ns >= v.slots[v.next].info.time_ns);
	}
	claim(in_sq <= v.sq_seen && in_cq <= v.cq_seen);
	for (i = 0; i < v.contradictions && i < RING_SENTENCES; i++)
		claim(is_message(v.sentences[i]));
	ring_free(&v);
}

/* The same rings, kept and loaded. */
static void keep(struct input *in)
{
	struct sgring_geometry g = geometry(1 + take(in, 1) % 64);
	struct image im = { .geometry = g, .name = "sgring0" }, again;
	bool with_user = take(in, 1) & 1;
	char error[512];
	unsigned char *kernel, *user;

	user = take_block(in, g.user_bytes);
	kernel = take_block(in, g.kernel_bytes);
	claim(!image_take(&im, kernel, with_user ? user : NULL, 1));
	claim(!image_torn(&im));
	judged(&im);
	claim(!image_save(&im, path, error, sizeof(error)));
	claim(!image_load(&again, path, error, sizeof(error)));
	claim(!memcmp(again.kernel, kernel, g.kernel_bytes) && again.has_user == with_user);
	claim(!with_user || !memcmp(again.user, user, g.user_bytes));
	image_free(&again);
	image_free(&im);
	free(kernel);
	free(user);
}

static void damage(struct input *in)
{
	unsigned int count = take(in, 1) % 8, cut = take(in, 1) % 4;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END);

	claim(fd >= 0 && size > 0);
	while (count--) {
		off_t at = (off_t)(take(in, 2) % (uint64_t)size);
		uint64_t word = take(in, 8);

		claim(pwrite(fd, &word, 8, at) == 8);
	}
	if (!cut)
		claim(!ftruncate(fd, (off_t)(take(in, 2) % (uint64_t)size)));
	close(fd);
}

static void show(unsigned int options)
{
	static char *const words[] = { "--table", "--json", "--map", "--from" };
	char *argv[] = { "dump", "--from", path, words[options % 4], NULL };
	bool json = options % 4 == 1;
	struct image im;
	char error[512];
	int code;

	code = run_tool(dump_main, options % 4 == 3 ? 3 : 4, argv);
	claim(code == 0 || code == 1 || code == 2);
	if (image_load(&im, path, error, sizeof(error))) {
		claim(code == 1 && is_message(error) && is_message(strtok((char *)tool_errors(), "\n")));
		return;
	}
	judged(&im);
	claim(code != 1);
	claim(!json || json_check(tool_output()));
	image_free(&im);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t options = (uint8_t)take(&in, 1);
	const char *folder = getenv("FUZZ_TMP");
	struct input harm = { in.at, in.left < 64 ? in.left : 64 };

	snprintf(path, sizeof(path), "%s/fuzz-%d.image", folder ? folder : "/tmp", (int)getpid());
	in.at += harm.left;
	in.left -= harm.left;
	keep(&in);
	show(options);
	damage(&harm);
	show(options >> 2);
	unlink(path);
	return 0;
}

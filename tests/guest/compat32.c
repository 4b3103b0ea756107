// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A 32-bit program on a 64-bit kernel: set up, map, stream, check, stop.
 * test_abi runs it. compat32 /dev/sgringN
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/sgring.h>
#include "pattern.h"

_Static_assert(sizeof(void *) == 4, "this is the 32-bit one");
_Static_assert(sizeof(struct sgring_query) == 224, "query");
_Static_assert(sizeof(struct sgring_setup) == 120, "setup");
_Static_assert(sizeof(struct sgring_geometry) == 144, "geometry");
_Static_assert(sizeof(struct sgring_layout) == 24, "layout");
_Static_assert(sizeof(struct sgring_run) == 24, "run");
_Static_assert(sizeof(struct sgring_stop) == 16, "stop");
_Static_assert(sizeof(struct sgring_tune) == 24, "tune");
_Static_assert(sizeof(struct sgring_stats) == 520, "stats");
_Static_assert(sizeof(struct sgring_cqe) == 64, "cqe");
_Static_assert(sizeof(struct sgring_sqe) == 32, "sqe");

#define MUST(condition) do {						\
	if (!(condition)) {						\
		printf("compat32: line %d: %s (%s)\n", __LINE__, #condition, \
		       strerror(errno));				\
		return 1;						\
	}								\
} while (0)

int main(int argc, char **argv)
{
	struct sgring_query q = { .size = sizeof(q) };
	struct sgring_setup setup = { .size = sizeof(setup), .slot_bytes = 65536, .slot_count = 4 };
	struct sgring_geometry g = { .size = sizeof(g) };
	struct sgring_stats stats = { .size = sizeof(stats) };
	struct sgring_stop stop = { .size = sizeof(stop) };
	struct sgring_run run;
	struct sgring_layout layout = {
		.size = sizeof(layout),
		.runs = (uintptr_t)&run,
		.run_room = 1,
	};
	unsigned char *kernel, *user, *data;
	struct sgring_cq cq;
	struct sgring_sq sq;
	uint64_t position = 0;
	char text[100] = "";
	struct pollfd p = { .events = POLLIN };
	int fd, i;

	MUST(argc == 2);
	fd = open(argv[1], O_RDWR);
	MUST(fd >= 0);
	p.fd = fd;
	MUST(!ioctl(fd, SGRING_QUERY, &q) && q.abi_version == SGRING_ABI_VERSION);

	setup.slot_count = 1;
	setup.message = (uintptr_t)text;
	setup.message_bytes = sizeof(text);
	MUST(ioctl(fd, SGRING_SETUP, &setup) && errno == ERANGE && strstr(text, "slot_count"));
	setup.slot_count = 4;
	MUST(!ioctl(fd, SGRING_SETUP, &setup));
	MUST(!ioctl(fd, SGRING_GEOMETRY, &g));
	MUST(!ioctl(fd, SGRING_LAYOUT, &layout) && layout.run_count >= 1 && !run.offset_bytes);

	kernel = mmap(NULL, g.kernel_bytes, PROT_READ, MAP_SHARED, fd, g.kernel_offset);
	user = mmap(NULL, g.user_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, g.user_offset);
	data = mmap(NULL, g.data_bytes, PROT_READ, MAP_SHARED, fd, g.data_offset);
	MUST(kernel != MAP_FAILED && user != MAP_FAILED && data != MAP_FAILED);
	cq = (struct sgring_cq){
		.kernel = (void *)(kernel + g.kernel_side), .user = (void *)(user + g.user_side),
		.entries = kernel + g.cq_offset, .count = g.cq_entries, .stride = g.cq_stride,
	};
	sq = (struct sgring_sq){
		.kernel = cq.kernel, .user = cq.user,
		.entries = user + g.sq_offset, .count = g.sq_entries, .stride = g.sq_stride,
	};

	MUST(!ioctl(fd, SGRING_START, 0));
	for (i = 0; i < 40; i++) {
		struct sgring_cqe e;
		struct sgring_sqe *back;

		if (!sgring_cq_ready(&cq))
			MUST(poll(&p, 1, 60000) == 1 && p.revents == POLLIN);
		MUST(sgring_cq_ready(&cq));
		e = *sgring_cq_peek(&cq, 0);
		sgring_cq_consume(&cq, 1);
		MUST(!e.status && e.position_bytes == position && e.length_bytes == 65536);
		MUST(sgring_pattern_verify(data + e.slot * g.stride_bytes, e.length_bytes,
					   sgring_pattern_key(0), position) == e.length_bytes);
		MUST(i < 4 || e.cookie == 0x123456789abcdef0ULL + e.slot);
		position += e.length_bytes;
		back = sgring_sq_reserve(&sq);
		MUST(back);
		back->slot = e.slot;
		back->cookie = 0x123456789abcdef0ULL + e.slot;
		if (sgring_sq_submit(&sq))
			MUST(!ioctl(fd, SGRING_KICK, 0));
	}
	MUST(!ioctl(fd, SGRING_STOP, &stop));
	MUST(!ioctl(fd, SGRING_STATS, &stats) && stats.slots_done >= 40 && !stats.sq_bad);
	return 0;
}

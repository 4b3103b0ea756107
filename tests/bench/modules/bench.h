/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What the bench's modules and its guest programs share.
 *
 * Each module over bench-engine has a parameter "streams" (1, at most BENCH_STREAMS):
 *
 *   bench-sgring   streams bench0, bench1, ... of sgring
 *   bench-seed     /dev/bench-seed0, ...      the seed's design, below
 *   bench-ioctl2   /dev/bench-ioctl2-0, ...   two ioctls a slot, below
 *   bench-v4l2     /dev/video0, ...           V4L2 capture: REQBUFS (MMAP), QBUF, DQBUF
 *
 * At which pace their transfers end is the engine's: see bench-engine.c. The devices of seed
 * and ioctl2 are opened by one at a time:
 *
 *   open; ioctl(BENCH_SETUP); mmap(setup.count * setup.stride_bytes, PROT_READ [|WRITE],
 *   MAP_SHARED, offset 0); slot i is at i * stride_bytes; ioctl(BENCH_START); exchange; close
 *
 * and the exchange of a slot is one of
 *
 *   next = ioctl(BENCH_EXCHANGE, previous or -1)              seed
 *   ioctl(BENCH_DEQUEUE, &slot), ioctl(BENCH_QUEUE, slot)     ioctl2
 *
 * BENCH_EXCHANGE and BENCH_DEQUEUE wait for a slot; with O_NONBLOCK they give -EAGAIN, and the
 * first has taken its argument back all the same. BENCH_GIVE only gives back. poll: POLLIN.
 */
#ifndef SGRING_BENCH_H
#define SGRING_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define BENCH_STREAMS	8

/**
 * struct bench_setup - BENCH_SETUP
 * @bytes: of a slot; seed: a power of two, at most 4 MiB
 * @stride_bytes: written: from slot to slot in the mapping
 * @count: slots, at most 1024
 * @chunks: of a slot, a power of two each; seed: 1
 */
struct bench_setup {
	__u64 bytes;
	__u64 stride_bytes;
	__u32 count;
	__u32 chunks;
};

/**
 * struct bench_slot - BENCH_DEQUEUE
 * @index: of the slot
 * @bytes: in it
 * @sequence: of the transfer
 * @time_ns: when it was over, CLOCK_MONOTONIC
 */
struct bench_slot {
	__u32 index;
	__u32 bytes;
	__u64 sequence;
	__u64 time_ns;
};

#define BENCH_SETUP	_IOWR('b', 0, struct bench_setup)
#define BENCH_START	_IO('b', 1)
#define BENCH_EXCHANGE	_IO('b', 2)			/* argument and result are indices */
#define BENCH_GIVE	_IO('b', 3)			/* the argument is an index */
#define BENCH_QUEUE	_IO('b', 4)			/* the argument is an index */
#define BENCH_DEQUEUE	_IOR('b', 5, struct bench_slot)

/*
 * For tests/bench/profile: an instruction that does nothing and says something to whoever looks on.
 * A window begins and ends; the CPU works for a context, until it leaves it again.
 */
#define BENCH_MARK(operation, context)						\
	({ __asm__ __volatile__(".byte 0x0f, 0x1f, 0x80; .long %c0"		\
		: : "i" (BENCH_MARKS << 16 | (operation) << 8 | (context)) : "memory"); })
#define BENCH_MARKS		0x5347
#define BENCH_BEGIN		1
#define BENCH_END		2
#define BENCH_ENTER		3
#define BENCH_LEAVE		4
#define BENCH_OTHER		0	/* contexts */
#define BENCH_CALLBACK		1
#define BENCH_ENGINE		2
#define BENCH_APPLICATION	3
#define BENCH_CONTEXTS		4

#endif /* SGRING_BENCH_H */

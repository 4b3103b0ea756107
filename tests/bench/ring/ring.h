/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Three rings that do the same: hand N slots round between an application and a
 * kernel. Each file plays both sides of one of them.
 *
 * The application's side is the public interface of the library, used as its
 * manual says. The kernel's side is played alike for all: take what was returned,
 * write an entry for each slot, publish once. It is never in the time measured,
 * unless it runs at the same time on another CPU.
 */
#ifndef BENCH_RING_H
#define BENCH_RING_H

#include <stdbool.h>
#include <stdint.h>

#define SLOTS 128U
#define SLOT_BYTES 4096U

/*
 * What the application learns from entries; the same for every ring, or it is
 * wrong. No ring may leave out reading one of them.
 */
struct learnt {
	uint64_t indices;	/* sum of slot indices */
	uint64_t bytes;		/* sum of lengths */
	uint64_t positions;	/* sum of the stream positions of the slots */
	uint64_t position;	/* for rings whose entries do not carry it: counted */
	uint64_t failed;	/* what must never happen */
};

struct ring {
	const char *name;
	int (*open)(struct ring *r);
	void (*close)(struct ring *r);
	/* The application: take what is there, at most @batch, and return it. How many. */
	uint32_t (*turn)(struct ring *r, uint32_t batch, struct learnt *l);
	/* The same for batches of one, where a library has calls for that; or NULL. */
	uint32_t (*turn_one)(struct ring *r, uint32_t batch, struct learnt *l);
	/* The kernel: take all that was returned, deliver it again. How many. */
	uint32_t (*kernel_turn)(struct ring *r);
	void *priv;
};

extern struct ring ring_sgring, ring_sgring_ready, ring_sgring_put, ring_xdp, ring_xdp_wakeup, ring_uring;

#endif /* BENCH_RING_H */

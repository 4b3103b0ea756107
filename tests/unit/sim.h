/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A simulator of the driver: the kernel's side of the ABI, played by a thread
 *
 * Same structures, same rings, same drawing (sgring_ring.h), memory from a
 * memfd. It plugs into libsgring as a back end. What it fills in is the dummy
 * device's pattern. It is strict with the application: what the driver would
 * drop as bad it counts as bad.
 */
#ifndef SIM_H
#define SIM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "backend.h"
#include "sgring.h"

#define SIM_NEVER UINT64_MAX

/* What shall happen; sequences count the transfers of an epoch. */
struct sim_plan {
	uint64_t pace_ns;		/* time of a transfer; 0: flat out */
	uint64_t pause_at;		/* the device falls silent */
	uint64_t end_at;		/* the driver stops by itself (suspend) */
	uint64_t die_at;		/* the device is lost */
	uint64_t gap_at;		/* gap_bytes are lost before this one */
	uint64_t gap_bytes;
	uint64_t fail_at;		/* status -EIO */
	uint64_t eop_at;		/* short, with SGRING_CQE_EOP */
	uint32_t refuse_setup;		/* errno of SGRING_SETUP, with a message */
	bool never_look;		/* starved: ask to be kicked at once */
	bool no_fill;			/* leave the memory as it is */
	uint32_t first_index;		/* where all ring indices start */
	uint32_t extra_stride;		/* CQ and SQ entries are longer than we know */
};

struct sim {
	struct sgring_backend be;	/* first */
	struct sim_plan plan;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pthread_t thread;
	bool threaded, quit, kicked, must_wake, signalled;
	int fd, memfd;
	unsigned char *base;
	size_t bytes;
	struct sgring_setup setup;
	struct sgring_geometry geometry;
	struct sgring_kernel_side *kernel;
	struct sgring_user_side *user;
	struct sgring_slot_info *table;
	uint32_t *free_slots;		/* FIFO of slot_count */
	uint64_t *cookies;
	uint32_t free_first, free_count;
	uint32_t cq_producer, sq_consumer;
	uint64_t sequence, position, pending_gap, batch_ns;
	struct sgring_stats stats;
	unsigned int opens, closes;
};

/* Every event of the plan never, unless set. */
void sim_init(struct sim *sim);
void sim_fini(struct sim *sim);

/* The same on the heap: a test that fails leaves a thread that still uses it. */
struct sim *sim_new(void);
void sim_free(struct sim *sim);

/* sgring_open() on it. */
int sim_open(struct sim *sim, struct sgring **stream, const struct sgring_options *o);

/* Slots in a state, as the simulator sees it. */
uint32_t sim_slots_in(struct sim *sim, uint32_t state);

/* Its counters, also of a simulator with no stream open. */
void sim_stats(struct sim *sim, struct sgring_stats *stats);

#endif /* SIM_H */

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The library's simulator (userlib/sim.h), as the unit tests want it
 *
 * A back end for sgring_open_backend() with a stream of its own, a plan of what
 * shall happen to it in place of a name, slots of 64 KiB unless a test wants
 * others, and its counters when the stream is closed. A test may put functions of
 * its own into the back end.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "../../userlib/sim.h"
#include "sgring.h"

#define SIM_NEVER SGRING_SIM_NEVER

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
	bool no_fill;			/* leave the memory as it is */
	uint32_t first_index;		/* where all ring indices start; before sim_open() */
};

struct sim {
	struct sgring_backend be;	/* first */
	struct sim_plan plan;		/* looked at by sgring_start(), and by sim_replan() */
	struct sgring *stream;		/* the owner's */
	int fd;				/* its descriptor */
	char label[SGRING_NAME_BYTES];
	struct sgring_stats stats;	/* as of the owner's close */
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

/* The plan was changed while it runs. */
void sim_replan(struct sim *sim);

/* Slots in a state, as the simulator sees it. */
uint32_t sim_slots_in(struct sim *sim, uint32_t state);

/* Entries in the CQ; sgring_ready() may know of some of them only. */
uint32_t sim_posted(struct sgring *s);

/* Its counters, also after the close. */
void sim_stats(struct sim *sim, struct sgring_stats *stats);

#endif /* SIM_H */

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the simulator, a back end that needs no module, no root and no device
 *
 * sgring_open("sim:...") has a simulated stream behind it: the kernel's side of
 * the ABI (uapi/linux/sgring.h), played by a thread of this process. The rings
 * are the driver's own code; what follows it line by line is sim_pump.c
 * (kernel/pump.c), sim_setup.c (kernel/setup.c) and sim.c (stream.c, chardev.c).
 *
 *   sim_name.c    the options in the name
 *   sim_memory.c  pages for slots and rings
 *   sim_setup.c   checks, limits, messages
 *   sim_source.c  the device: data, rate, FIFO, packets, losses
 *   sim_pump.c    the hot path, and the thread
 *   sim.c         the back end: descriptors, ioctls, life
 *   sim_replay.c  recordings and capture files, for the source to play
 *   sim_rings.c   kernel/sq.c, cq.c and table.c
 *
 * This header is for the library, its tests and benches. What users must know
 * stands in sgring_sim(7).
 */
#ifndef SGRING_SIM_H
#define SGRING_SIM_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <linux/sgring.h>

#include "backend.h"

#define SGRING_SIM_NEVER UINT64_MAX

enum sgring_sim_pages {
	SGRING_SIM_AUTO = 0,		/* transparent huge pages where there are any */
	SGRING_SIM_4K,			/* single pages */
	SGRING_SIM_THP,			/* transparent huge pages, or refuse */
	SGRING_SIM_HUGE,		/* reserved ones, or refuse */
};

/**
 * struct sgring_sim_options - what a name says; sgring_sim(7)
 * @label: of the stream; empty: it cannot be found by others
 * @file: where data comes from; empty: the pattern
 * @replay: a recording or capture file to be played; empty: none
 * @speed: thousandths of the time it took; 0: as fast as possible
 * @rate: bytes/s; 0: flat out
 * @fifo_bytes: beyond it the device loses
 * @packet_bytes: a packet ends after so many; 0: never
 * @packet_jitter: or up to so many earlier
 * @segment_bytes: largest DMA segment
 * @fail_at: this transfer of an epoch fails, in its middle
 * @short_at: this one ends early, in its middle, and ends a packet
 * @lose_at: before this one @lose_bytes are lost
 * @lose_bytes: see there
 * @pause_at: the device falls silent before this one
 * @end_at: the machine is suspended before this one
 * @die_at: the device is gone before this one
 * @stream: number of the pattern
 * @pages: enum sgring_sim_pages
 * @width: slot_bytes is a multiple of it
 * @segments: most DMA segments in a slot; 0: any
 * @first_index: where all indices of the rings start; for tests
 * @fill: make data; else the memory stays as it is
 * @spin: the thread does not sleep while the stream runs
 */
struct sgring_sim_options {
	char label[SGRING_NAME_BYTES];
	char file[512];
	char replay[512];
	uint64_t rate;
	uint64_t fifo_bytes;
	uint64_t packet_bytes;
	uint64_t packet_jitter;
	uint64_t segment_bytes;
	uint64_t fail_at;
	uint64_t short_at;
	uint64_t lose_at;
	uint64_t lose_bytes;
	uint64_t pause_at;
	uint64_t end_at;
	uint64_t die_at;
	uint32_t stream;
	uint32_t speed;
	uint32_t pages;
	uint32_t width;
	uint32_t segments;
	uint32_t first_index;
	bool fill;
	bool spin;
};

#define SGRING_SIM_PREFIX "sim:"

extern const struct sgring_backend sgring_sim_backend;

/* sim_name.c: the options of "sim:..."; -EINVAL names the one that is wrong. */
int sgring_sim_parse(const char *name, struct sgring_sim_options *options);
/* What is in force when a name says nothing. */
void sgring_sim_defaults(struct sgring_sim_options *options);

/*
 * A descriptor of a simulated stream, as open(2) gives one of a device: of the one
 * with that label if there is one, else of a new one.
 */
int sgring_sim_open(const struct sgring_sim_options *options, int flags);

/*
 * Of an owner's sgring_fd(): CPU time of the thread that plays the kernel and the
 * device, for clock_gettime(); until the stream is closed. 0 or -errno.
 */
int sgring_sim_clock(int fd, clockid_t *clock);

/* For tests: rate, FIFO, packets and faults are others from now on, also while it runs. */
int sgring_sim_change(int fd, const struct sgring_sim_options *options);

#endif /* SGRING_SIM_H */

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * cost: what the program that counts has in common with the ways it compares
 *
 * A way is an interface of a driver over bench-engine. The program opens as many
 * streams of it as a case has, ends transfers, and has the way exchange the slots:
 * take what is filled, look at nothing but its description, give it back.
 */
#ifndef COST_H
#define COST_H

#include <stdbool.h>
#include <stdint.h>

#include "bench.h"

struct cost_case {
	uint64_t slot_bytes;
	uint32_t chunks;	/* of each slot; 0: mixed */
	uint32_t slots;
	uint32_t streams;
	uint32_t batch;		/* slots that are exchanged at a time */
};

/**
 * struct cost_way - one of the ways
 * @name: in the results
 * @client: name of its devices, bench-engine's
 * @slots_max: it can have
 * @chunks_max: of a slot it can have; 1: not mixed either
 * @batches: it can exchange several slots at a time
 * @open: stream @n of a case, running
 * @exchange: take the next @count slots, waiting for them, and give them back
 * @calls: system calls so far
 * @timer_runs: of the driver's own timer so far; NULL: it has none
 * @close: end it
 *
 * None returns if it fails.
 */
struct cost_way {
	const char *name;
	const char *client;
	uint32_t slots_max;
	uint32_t chunks_max;
	bool batches;
	void *(*open)(uint32_t n, const struct cost_case *c);
	void (*exchange)(void *stream, uint32_t count);
	uint64_t (*calls)(void *stream);
	uint64_t (*timer_runs)(void *stream);
	void (*close)(void *stream);
};

extern const struct cost_way cost_sgring, cost_sgring_no_gate, cost_v4l2, cost_ioctl2, cost_seed;

void cost_die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static inline uint64_t cost_ticks(void)
{
	uint32_t low, high;

	__asm__ __volatile__("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

#endif /* COST_H */

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What it costs an application to take an entry from a ring and to return it
 *
 *	ring [-q]	prints samples, one JSON object per line (tests/bench/README.md)
 *
 * All rings in one process; the application is pinned to one CPU. Three peers:
 *
 *   same   the kernel's turn is played by the application's thread, outside of the
 *          time measured: what the application's instructions cost, caches warm
 *   other  it is played by a thread on another CPU, and again outside of the time
 *          measured: the application finds everything in the other CPU's cache
 *   race   that thread runs all the time; the time measured is that of both, so the
 *          slower side's: indices move between the caches as often as they can
 *
 * A repetition measures every ring with every peer and batch for a slice of time, many
 * rounds, and keeps the median round: a round in which the machine did something else is
 * left out. What the clock itself costs is measured too and taken off.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <x86intrin.h>
#endif

#include "ring.h"

static struct ring *const rings[] = {
	&ring_xdp, &ring_sgring, &ring_sgring_ready, &ring_sgring_put, &ring_xdp_wakeup, &ring_uring,
};
static const uint32_t batches[] = { 1, 16, 64 };

enum peer { SAME, OTHER, RACE, PEERS };
static const char *const peer_names[PEERS] = { "same", "other", "race" };

#define ARRAY(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* A clock that waits for the loads before it, and lets none after it begin early. */
static inline uint64_t ticks(void)
{
#ifdef __x86_64__
	uint64_t t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
#else
	return now_ns();
#endif
}

static double ns_per_tick, clock_ticks;

static void calibrate(void)
{
	uint64_t least = UINT64_MAX, t0, t1, n0 = now_ns(), n1, first = ticks();
	int i;

	for (i = 0; i < 100000; i++) {
		t0 = ticks();
		t1 = ticks();
		if (t1 - t0 < least)
			least = t1 - t0;
	}
	do {
		n1 = now_ns();
	} while (n1 - n0 < 50000000);
	ns_per_tick = (double)(n1 - n0) / (double)(ticks() - first);
	clock_ticks = (double)least;
}

static void die(const char *what)
{
	fprintf(stderr, "ring: %s\n", what);
	exit(1);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot pin a thread to a CPU");
}

/* The other CPU's thread: it plays the kernel, one turn when told, or all the time. */
static struct {
	struct ring *ring;
	int cpu;
	uint32_t asked __attribute__((aligned(128)));
	uint32_t answered __attribute__((aligned(128)));
	bool racing __attribute__((aligned(128)));
	bool quit;
} other;

static inline void relax(void)
{
#ifdef __x86_64__
	_mm_pause();
#endif
}

static void *other_thread(void *arg)
{
	uint32_t answered = 0, asked;

	(void)arg;
	pin(other.cpu);
	for (;;) {
		asked = __atomic_load_n(&other.asked, __ATOMIC_ACQUIRE);
		if (asked != answered) {
			if (__atomic_load_n(&other.quit, __ATOMIC_RELAXED))
				return NULL;
			while (__atomic_load_n(&other.racing, __ATOMIC_ACQUIRE))
				if (!other.ring->kernel_turn(other.ring))
					relax();
			other.ring->kernel_turn(other.ring);
			answered = asked;
			__atomic_store_n(&other.answered, answered, __ATOMIC_RELEASE);
		} else {
			relax();
		}
	}
}

static void ask(void)
{
	__atomic_store_n(&other.asked, other.asked + 1, __ATOMIC_RELEASE);
}

static void await(void)
{
	while (__atomic_load_n(&other.answered, __ATOMIC_ACQUIRE) != other.asked)
		relax();
}

/* Take @count entries; there are as many, or will be. */
static inline void take(struct ring *r, uint32_t batch, uint64_t count, struct learnt *l)
{
	uint32_t (*turn)(struct ring *r, uint32_t batch, struct learnt *l) =
		batch == 1 && r->turn_one ? r->turn_one : r->turn;
	uint64_t got = 0;

	while (got < count && !l->failed)
		got += turn(r, batch, l);
}

#define ROUNDS_MAX 16384

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* One sample: ns per entry in the median round of those that fit into @slice_ns. */
static double measure(struct ring *r, enum peer peer, uint32_t batch, uint64_t slice_ns,
		      struct learnt *l)
{
	uint64_t until = now_ns() + slice_ns, entries = peer == RACE ? 16 * SLOTS : SLOTS, t;
	static uint64_t spent[ROUNDS_MAX];
	uint32_t rounds = 0;

	other.ring = r;
	if (peer == RACE) {
		__atomic_store_n(&other.racing, true, __ATOMIC_RELEASE);
		ask();
	}
	do {
		if (peer == SAME) {
			r->kernel_turn(r);
		} else if (peer == OTHER) {
			ask();
			await();
		}
		t = ticks();
		take(r, batch, entries, l);
		spent[rounds++] = ticks() - t;
	} while (rounds < ROUNDS_MAX && now_ns() < until && !l->failed);
	if (peer == RACE) {
		__atomic_store_n(&other.racing, false, __ATOMIC_RELEASE);
		await();
		/* It may have left entries: bring all slots home. */
		r->kernel_turn(r);
		while (r->turn(r, 64, l))
			;
	}
	qsort(spent, rounds, sizeof(spent[0]), by_size);
	return ((double)spent[rounds / 2] - clock_ticks) * ns_per_tick / (double)entries;
}

/*
 * Every slot must come as often as any other, whole, and at the position that its
 * number in the stream gives: all of that in three sums.
 */
static void check(struct ring *r)
{
	uint64_t n = 0, round, i;
	struct learnt l = { 0 };
	uint32_t got;

	if (r->open(r))
		die("cannot lay out a ring");
	for (round = 0; round < 1000; round++) {
		if (r->kernel_turn(r) != SLOTS)
			die("slots were lost");
		for (i = 0; i < SLOTS; i += got, n += got) {
			got = r->turn(r, 1 + (uint32_t)(round % 64), &l);
			if (!got)
				die("entries were lost");
		}
	}
	if (l.failed || l.indices != 1000ULL * SLOTS * (SLOTS - 1) / 2 ||
	    l.bytes != n * SLOT_BYTES || l.positions != n * (n - 1) / 2 * SLOT_BYTES)
		die("a ring does not do what the others do");
}

int main(int argc, char **argv)
{
	bool quick = argc > 1 && !strcmp(argv[1], "-q");
	uint64_t slice_ns = quick ? 2000000 : 40000000;
	int runs = quick ? 5 : 21, run, first = -1, cpu;
	uint32_t b, i, p, peers = PEERS;
	struct learnt l = { 0 };
	cpu_set_t set;
	pthread_t thread;
	double ns;

	if (sched_getaffinity(0, sizeof(set), &set))
		die("cannot ask for the CPUs");
	other.cpu = -1;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &set))
			continue;
		if (first < 0)
			first = cpu;
		else
			other.cpu = cpu;
	}
	if (other.cpu < 0) {
		fprintf(stderr, "ring: one CPU only: nothing is played on another\n");
		peers = 1;
	} else if (pthread_create(&thread, NULL, other_thread, NULL)) {
		die("cannot start a thread");
	}
	pin(first);
	calibrate();
	for (i = 0; i < ARRAY(rings); i++)
		check(rings[i]);
	for (run = 0; run <= runs; run++) {
		for (p = 0; p < peers; p++) {
			for (b = 0; b < ARRAY(batches); b++) {
				for (i = 0; i < ARRAY(rings); i++) {
					ns = measure(rings[i], p, batches[b], slice_ns, &l);
					if (l.failed)
						die("a ring failed");
					if (!run)	/* warming up */
						continue;
					printf("{\"part\":\"ring\",\"case\":{\"ring\":\"%s\",\"batch\":%u,"
					       "\"peer\":\"%s\"},\"run\":%d,\"metrics\":"
					       "{\"ns_per_entry\":%.3f}}\n",
					       rings[i]->name, batches[b], peer_names[p], run, ns);
				}
			}
		}
		if (!(run % 5))
			fprintf(stderr, "ring: repetition %d of %d\n", run, runs);
	}
	if (peers > 1) {
		other.quit = true;
		ask();
		pthread_join(thread, NULL);
	}
	for (i = 0; i < ARRAY(rings); i++)
		rings[i]->close(rings[i]);
	return 0;
}

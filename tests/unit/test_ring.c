// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rings alone: the application's verbs of sgring_ring.h against the
 * driver's own kernel/sq.c and kernel/cq.c, on one piece of memory.
 */
#include "../../userlib/sim_kernel.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "rings.h"

#define ENTRIES 8

#ifndef ROUNDS
#define ROUNDS 1000000
#endif

struct pair {
	struct sgring_rings kernel;
	struct sgring_cq cq;
	struct sgring_sq sq;
};

static void make(struct pair *p, u32 entries, u32 first)
{
	struct sgring_rings *k = &p->kernel;

	memset(p, 0, sizeof(*p));
	k->kernel = calloc(1, sizeof(*k->kernel));
	k->user = calloc(1, sizeof(*k->user));
	k->cqes = calloc(entries, sizeof(*k->cqes));
	k->sqes = calloc(entries, sizeof(*k->sqes));
	k->cq_entries = k->sq_entries = entries;
	k->cq_producer = k->sq_consumer = first;
	k->kernel->cq_producer = k->kernel->sq_consumer = first;
	k->user->cq_consumer = k->user->sq_producer = first;
	p->cq = (struct sgring_cq){
		.kernel = k->kernel, .user = k->user, .entries = (void *)k->cqes,
		.count = entries, .stride = sizeof(*k->cqes), .producer = first, .consumer = first,
	};
	p->sq = (struct sgring_sq){
		.kernel = k->kernel, .user = k->user, .entries = (void *)k->sqes,
		.count = entries, .stride = sizeof(*k->sqes), .producer = first, .consumer = first,
	};
}

static void destroy(struct pair *p)
{
	free(p->kernel.kernel);
	free(p->kernel.user);
	free(p->kernel.cqes);
	free(p->kernel.sqes);
}

static void post(struct pair *p, u64 sequence)
{
	const struct sgring_cqe e = { .sequence = sequence };

	sgring_cq_post(&p->kernel, &e);
}

static void empty_cq_has_nothing_and_all_room(void **state)
{
	struct pair p;

	(void)state;
	make(&p, ENTRIES, 0);
	assert_int_equal(sgring_cq_ready(&p.cq), 0);
	assert_int_equal(sgring_cq_room(&p.kernel), ENTRIES);
	destroy(&p);
}

static void full_cq_has_all_ready_and_no_room(void **state)
{
	struct pair p;
	u64 i;

	(void)state;
	make(&p, ENTRIES, 0);
	for (i = 0; i < ENTRIES; i++)
		post(&p, i);
	assert_int_equal(sgring_cq_room(&p.kernel), 0);
	assert_int_equal(sgring_cq_ready(&p.cq), ENTRIES);
	for (i = 0; i < ENTRIES; i++)
		assert_int_equal(sgring_cq_peek(&p.cq, (u32)i)->sequence, i);
	sgring_cq_consume(&p.cq, 3);
	assert_int_equal(sgring_cq_room(&p.kernel), 3);
	assert_int_equal(sgring_cq_peek(&p.cq, 0)->sequence, 3);
	destroy(&p);
}

static void consumed_entries_are_room_only_once_published(void **state)
{
	struct pair p;

	(void)state;
	make(&p, ENTRIES, 0);
	post(&p, 7);
	assert_int_equal(sgring_cq_ready(&p.cq), 1);
	assert_int_equal(sgring_cq_pending(&p.kernel), 1);
	sgring_cq_consume(&p.cq, 1);
	assert_int_equal(sgring_cq_pending(&p.kernel), 0);
	destroy(&p);
}

static void cq_keeps_order_across_the_32_bit_wrap(void **state)
{
	struct pair p;
	u64 sent = 0, got = 0;
	u32 n;

	(void)state;
	make(&p, ENTRIES, 0xffffffffU - 20);
	while (got < 64) {
		while (sgring_cq_room(&p.kernel) > 0)
			post(&p, sent++);
		/* Ready tells what it knows: the rest is looked for when that is used up. */
		n = sgring_cq_ready(&p.cq);
		assert_in_range(n, 1, ENTRIES);
		assert_int_equal(sgring_cq_peek(&p.cq, 0)->sequence, got);
		assert_int_equal(sgring_cq_peek(&p.cq, n - 1)->sequence, got + n - 1);
		/* Not a divisor of the ring's size: every offset meets the wrap. */
		n = n < 3 ? n : 3;
		sgring_cq_consume(&p.cq, n);
		got += n;
	}
	assert_true(p.kernel.user->cq_consumer < 64);
	destroy(&p);
}

static void sq_keeps_order_across_the_32_bit_wrap(void **state)
{
	struct sgring_sqe copy, *e;
	struct pair p;
	u64 put = 0, taken = 0;

	(void)state;
	make(&p, ENTRIES, 0xfffffff0U);
	while (taken < 64) {
		while ((e = sgring_sq_reserve(&p.sq)))
			e->cookie = put++;
		sgring_sq_submit(&p.sq);
		assert_int_equal(sgring_sq_used(&p.kernel), ENTRIES);
		sgring_sq_copy(&p.kernel, 4, &copy);
		assert_int_equal(copy.cookie, taken + 4);
		sgring_sq_taken(&p.kernel, 5);
		taken += 5;
	}
	assert_true(p.kernel.user->sq_producer < 128);
	destroy(&p);
}

static void full_sq_gives_no_entry_until_the_kernel_took_one(void **state)
{
	struct pair p;
	u32 i;

	(void)state;
	make(&p, ENTRIES, 0);
	for (i = 0; i < ENTRIES; i++)
		assert_non_null(sgring_sq_reserve(&p.sq));
	assert_null(sgring_sq_reserve(&p.sq));
	assert_int_equal(sgring_sq_room(&p.sq), 0);
	sgring_sq_submit(&p.sq);
	sgring_sq_taken(&p.kernel, 1);
	assert_int_equal(sgring_sq_room(&p.sq), 1);
	assert_non_null(sgring_sq_reserve(&p.sq));
	destroy(&p);
}

static void reserved_entry_is_zeroed_and_hidden_until_submit(void **state)
{
	static const struct sgring_sqe zero;
	struct pair p;

	(void)state;
	make(&p, ENTRIES, 0);
	memset(p.kernel.sqes, 0xff, ENTRIES * sizeof(*p.kernel.sqes));
	assert_memory_equal(sgring_sq_reserve(&p.sq), &zero, sizeof(zero));
	assert_int_equal(sgring_sq_used(&p.kernel), 0);
	sgring_sq_submit(&p.sq);
	assert_int_equal(sgring_sq_used(&p.kernel), 1);
	destroy(&p);
}

static void submit_asks_for_a_kick_only_with_need_wakeup(void **state)
{
	struct pair p;

	(void)state;
	make(&p, ENTRIES, 0);
	assert_false(sgring_sq_submit(&p.sq));
	p.kernel.kernel->flags = SGRING_STARVED | SGRING_DEAD;
	assert_false(sgring_sq_submit(&p.sq));
	p.kernel.kernel->flags = SGRING_NEED_WAKEUP | SGRING_STARVED;
	assert_true(sgring_sq_submit(&p.sq));
	destroy(&p);
}

static void publish_publishes_and_asks_like_submit(void **state)
{
	struct pair p;

	(void)state;
	make(&p, ENTRIES, 0);
	sgring_sq_reserve(&p.sq);
	assert_int_equal(sgring_sq_used(&p.kernel), 0);
	assert_false(sgring_sq_publish(&p.sq));
	assert_int_equal(sgring_sq_used(&p.kernel), 1);
	p.kernel.kernel->flags = SGRING_STARVED | SGRING_DEAD;
	assert_false(sgring_sq_publish(&p.sq));
	p.kernel.kernel->flags = SGRING_NEED_WAKEUP;
	assert_true(sgring_sq_publish(&p.sq));
	destroy(&p);
}

static void strides_longer_than_known_are_honoured(void **state)
{
	unsigned char entries[ENTRIES * 96] = { 0 };
	struct sgring_cqe e = { .sequence = 5 };
	struct pair p;

	(void)state;
	make(&p, ENTRIES, 0);
	p.cq.entries = entries;
	p.cq.stride = 96;
	memcpy(entries + 2 * 96, &e, sizeof(e));
	assert_int_equal(sgring_cq_peek(&p.cq, 2)->sequence, 5);
	assert_int_equal(sgring_cq_peek(&p.cq, 2 + ENTRIES)->sequence, 5);
	destroy(&p);
}

/* Every distance a damaged or malicious index can have, at several places. */
static void hostile_sq_producer_is_refused_never_followed(void **state)
{
	static const u32 firsts[] = { 0, 3, 0x7fffffff, 0xfffffff8, 0xffffffff };
	static const u32 bad[] = { ENTRIES + 1, ENTRIES + 2, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff };
	struct pair p;
	u32 f, i;

	(void)state;
	for (f = 0; f < sizeof(firsts) / sizeof(firsts[0]); f++) {
		make(&p, ENTRIES, firsts[f]);
		for (i = 0; i <= ENTRIES; i++) {
			p.kernel.user->sq_producer = firsts[f] + i;
			assert_int_equal(sgring_sq_used(&p.kernel), i);
		}
		for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			p.kernel.user->sq_producer = firsts[f] + bad[i];
			assert_int_equal(sgring_sq_used(&p.kernel), -ERANGE);
		}
		assert_int_equal(p.kernel.sq_consumer, firsts[f]);
		destroy(&p);
	}
}

static void hostile_cq_consumer_is_refused_never_followed(void **state)
{
	static const u32 bad[] = { 1, 2, 0x7fffffff, 0x80000000, 0xffffffff - ENTRIES };
	struct pair p;
	u32 i;

	(void)state;
	make(&p, ENTRIES, 0xfffffffe);
	for (i = 0; i < ENTRIES; i++)
		post(&p, i);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		p.kernel.user->cq_consumer = p.kernel.cq_producer + bad[i];
		assert_int_equal(sgring_cq_room(&p.kernel), -ERANGE);
		assert_int_equal(sgring_cq_pending(&p.kernel), -ERANGE);
	}
	/* Before the first entry that is still there. */
	p.kernel.user->cq_consumer = p.kernel.cq_producer - ENTRIES - 1;
	assert_int_equal(sgring_cq_room(&p.kernel), -ERANGE);
	p.kernel.user->cq_consumer = p.kernel.cq_producer - ENTRIES;
	assert_int_equal(sgring_cq_room(&p.kernel), 0);
	destroy(&p);
}

static void kernel_indices_are_its_own_whatever_the_shared_copies_say(void **state)
{
	struct sgring_sqe copy, *e;
	struct pair p;

	(void)state;
	make(&p, ENTRIES, 0);
	e = sgring_sq_reserve(&p.sq);
	e->cookie = 42;
	sgring_sq_submit(&p.sq);
	p.kernel.kernel->sq_consumer = 99;
	p.kernel.kernel->cq_producer = 99;
	assert_int_equal(sgring_sq_used(&p.kernel), 1);
	sgring_sq_copy(&p.kernel, 0, &copy);
	assert_int_equal(copy.cookie, 42);
	sgring_sq_taken(&p.kernel, 1);
	assert_int_equal(p.kernel.kernel->sq_consumer, 1);
	destroy(&p);
}

/*
 * Two threads. Slots go round: the kernel posts each slot it has, the
 * application returns it. The kernel looks at the SQ a few times, then sets
 * NEED_WAKEUP and sleeps until kicked: a wake-up lost is a test that hangs, and
 * the watchdog says so. Sequence numbers travel in the entries, so that an entry
 * seen before it was written is found too.
 */
struct stress {
	struct pair p;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool kicked;
	u32 slots;
	u64 rounds;
	u64 kicks, sleeps;
	u64 bad, bad_application;	/* each thread its own */
	bool written;			/* cq_writer() is done */
	struct timespec start;
};

/* A busy machine does fewer rounds, not longer ones. */
static bool time_is_up(const struct stress *s)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec - s->start.tv_sec >= 3;
}

static void kick(struct stress *s)
{
	pthread_mutex_lock(&s->lock);
	s->kicked = true;
	s->kicks++;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void set_flags(struct stress *s, u32 flags)
{
	WRITE_ONCE(s->p.kernel.kernel->flags, flags);
}

static int await_entries(struct stress *s)
{
	struct timespec limit;
	int used, i;

	for (i = 0; i < 20; i++) {
		used = sgring_sq_used(&s->p.kernel);
		if (used)
			return used;
	}
	set_flags(s, SGRING_NEED_WAKEUP);		/* K */
	sgring_full_barrier();				/* L */
	used = sgring_sq_used(&s->p.kernel);		/* M */
	if (!used) {
		clock_gettime(CLOCK_REALTIME, &limit);
		limit.tv_sec += 20;
		pthread_mutex_lock(&s->lock);
		s->sleeps++;
		while (!s->kicked)
			if (pthread_cond_timedwait(&s->cond, &s->lock, &limit)) {
				pthread_mutex_unlock(&s->lock);
				return -ETIMEDOUT;
			}
		s->kicked = false;
		pthread_mutex_unlock(&s->lock);
	}
	set_flags(s, 0);
	return used;
}

static void *stress_kernel(void *arg)
{
	struct stress *s = arg;
	struct sgring_sqe sqes[256];
	struct sgring_cqe cqe;
	u64 sequence = 0, taken = 0;
	int used, i;
	u32 slot;

	for (slot = 0; slot < s->slots; slot++) {
		cqe = (struct sgring_cqe){ .sequence = sequence, .cookie = ~sequence, .slot = slot };
		sgring_cq_post(&s->p.kernel, &cqe);
		sequence++;
	}
	while (sequence < s->rounds && !time_is_up(s)) {
		used = await_entries(s);
		if (used < 0) {
			s->bad++;
			break;
		}
		/* First the room, then the slots: the SQ is no longer than they are many. */
		for (i = 0; i < used; i++)
			sgring_sq_copy(&s->p.kernel, (u32)i, &sqes[i]);
		sgring_sq_taken(&s->p.kernel, (u32)used);
		for (i = 0; i < used; i++) {
			s->bad += sqes[i].cookie != taken++ || sqes[i].slot >= s->slots;
			if (sgring_cq_room(&s->p.kernel) <= 0)
				s->bad++;
			cqe = (struct sgring_cqe){ .sequence = sequence, .cookie = ~sequence,
						   .slot = sqes[i].slot };
			sgring_cq_post(&s->p.kernel, &cqe);
			sequence++;
		}
	}
	/* Nothing more comes: let the application see that. */
	set_flags(s, SGRING_DEAD);
	return NULL;
}

static void *stress_application(void *arg)
{
	struct stress *s = arg;
	const struct sgring_cqe *cqe;
	struct sgring_sqe *sqe;
	u64 got = 0;
	u32 n, i;

	while (!(sgring_load_relaxed(&s->p.kernel.kernel->flags) & SGRING_DEAD)) {
		n = sgring_cq_ready(&s->p.cq);
		for (i = 0; i < n; i++) {
			cqe = sgring_cq_peek(&s->p.cq, i);
			s->bad_application += cqe->sequence != got || cqe->cookie != ~got;
			sqe = sgring_sq_reserve(&s->p.sq);
			if (!sqe) {
				s->bad_application++;
				return NULL;
			}
			sqe->slot = cqe->slot;
			sqe->cookie = got++;
		}
		if (!n) {
			/* A wait: not before the barrier and the look. */
			if (sgring_sq_submit(&s->p.sq))
				kick(s);
			sched_yield();
			continue;
		}
		sgring_cq_consume(&s->p.cq, n);
		if (sgring_sq_publish(&s->p.sq))
			kick(s);
	}
	return NULL;
}

static void stress(u32 slots, u32 entries, u64 rounds)
{
	struct stress s = {
		.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER,
		.slots = slots, .rounds = rounds,
	};
	pthread_t kernel, application;

	make(&s.p, entries, 0xffffffffU - 1000);
	clock_gettime(CLOCK_MONOTONIC, &s.start);
	assert_int_equal(pthread_create(&kernel, NULL, stress_kernel, &s), 0);
	assert_int_equal(pthread_create(&application, NULL, stress_application, &s), 0);
	pthread_join(kernel, NULL);
	pthread_join(application, NULL);
	assert_int_equal(s.bad, 0);
	assert_int_equal(s.bad_application, 0);
	/* The sleeping side was exercised. */
	assert_true(s.sleeps > 0);
	assert_true(s.kicks >= s.sleeps);
	destroy(&s.p);
}

/*
 * The CQ by itself: nothing but its own indices orders the two sides, so that
 * the entry the kernel writes over must be one the application has read.
 */
static void *cq_writer(void *arg)
{
	struct stress *s = arg;
	struct sgring_cqe cqe;
	u64 i;

	for (i = 0; i < s->rounds && !time_is_up(s); i++) {
		while (!sgring_cq_room(&s->p.kernel))
			sched_yield();
		cqe = (struct sgring_cqe){ .sequence = i, .cookie = ~i };
		sgring_cq_post(&s->p.kernel, &cqe);
	}
	sgring_store_release(&s->written, true);
	return NULL;
}

static void cq_alone_keeps_readers_and_writers_apart(void **state)
{
	struct stress s = { .rounds = ROUNDS };
	const struct sgring_cqe *cqe;
	pthread_t kernel;
	bool written;
	u64 got = 0;

	(void)state;
	make(&s.p, 2, 0xffffffffU - 1000);
	clock_gettime(CLOCK_MONOTONIC, &s.start);
	assert_int_equal(pthread_create(&kernel, NULL, cq_writer, &s), 0);
	for (;;) {
		written = sgring_load_acquire(&s.written);
		if (!sgring_cq_ready(&s.p.cq)) {
			if (written)
				break;
			sched_yield();
			continue;
		}
		cqe = sgring_cq_peek(&s.p.cq, 0);
		s.bad_application += cqe->sequence != got || cqe->cookie != ~got;
		got++;
		sgring_cq_consume(&s.p.cq, 1);
	}
	pthread_join(kernel, NULL);
	assert_int_equal(s.bad_application, 0);
	destroy(&s.p);
}


/* The SQ by itself, in the same way. */
static void *sq_reader(void *arg)
{
	struct stress *s = arg;
	struct sgring_sqe sqe;
	u64 taken = 0;
	bool written;
	int used;

	for (;;) {
		written = sgring_load_acquire(&s->written);
		used = sgring_sq_used(&s->p.kernel);
		if (!used) {
			if (written)
				break;
			sched_yield();
			continue;
		}
		sgring_sq_copy(&s->p.kernel, 0, &sqe);
		s->bad += sqe.cookie != taken || sqe.slot != (u32)~taken;
		taken++;
		sgring_sq_taken(&s->p.kernel, 1);
	}
	return NULL;
}

static void sq_alone_keeps_readers_and_writers_apart(void **state)
{
	struct stress s = { .rounds = ROUNDS };
	struct sgring_sqe *sqe;
	pthread_t kernel;
	u64 i;

	(void)state;
	make(&s.p, 2, 0xffffffffU - 1000);
	clock_gettime(CLOCK_MONOTONIC, &s.start);
	assert_int_equal(pthread_create(&kernel, NULL, sq_reader, &s), 0);
	for (i = 0; i < s.rounds && !time_is_up(&s); i++) {
		while (!(sqe = sgring_sq_reserve(&s.p.sq)))
			sched_yield();
		sqe->cookie = i;
		sqe->slot = (u32)~i;
		sgring_sq_submit(&s.p.sq);
	}
	sgring_store_release(&s.written, true);
	pthread_join(kernel, NULL);
	assert_int_equal(s.bad, 0);
	destroy(&s.p);
}

/*
 * The handshake by itself, both sides at the same moment, again and again: either
 * J sees NEED_WAKEUP or M sees the entry. Without I or L, both miss now and then.
 */
struct handshake {
	struct stress stress;
	u32 round;			/* the application starts it ... */
	u32 answered;			/* ... and the kernel has finished it */
	u32 saw;
	bool stop;
};

static void await_u32(const u32 *p, u32 value)
{
	u32 spins = 0;

	while (sgring_load_acquire(p) != value)
		if (++spins > 2000)
			sched_yield();
}

static void *handshake_kernel(void *arg)
{
	struct handshake *h = arg;
	struct sgring_rings *k = &h->stress.p.kernel;
	u32 round = 0;
	int used;

	for (;;) {
		await_u32(&h->round, ++round);
		if (h->stop)
			return NULL;
		set_flags(&h->stress, SGRING_NEED_WAKEUP);	/* K */
		sgring_full_barrier();				/* L */
		used = sgring_sq_used(k);			/* M */
		WRITE_ONCE(h->saw, (u32)used);
		sgring_store_release(&h->answered, round);
	}
}

static void neither_side_misses_the_other_at_the_same_moment(void **state)
{
	struct handshake h = { .stress.rounds = ROUNDS / 2 };
	struct pair *p = &h.stress.p;
	u32 round = 0, missed = 0;
	pthread_t kernel;
	bool asked;

	(void)state;
	make(p, 2, 0);
	clock_gettime(CLOCK_MONOTONIC, &h.stress.start);
	assert_int_equal(pthread_create(&kernel, NULL, handshake_kernel, &h), 0);
	while (round < h.stress.rounds && !time_is_up(&h.stress)) {
		set_flags(&h.stress, 0);
		sgring_store_release(&h.round, ++round);
		sgring_sq_reserve(&p->sq);
		asked = sgring_sq_submit(&p->sq);
		await_u32(&h.answered, round);
		missed += !asked && !READ_ONCE(h.saw);
		sgring_sq_taken(&p->kernel, 1);
	}
	h.stop = true;
	sgring_store_release(&h.round, ++round);
	pthread_join(kernel, NULL);
	assert_int_equal(missed, 0);
	destroy(p);
}

static void two_threads_lose_no_entry_and_no_wakeup_full_ring(void **state)
{
	(void)state;
	stress(ENTRIES, ENTRIES, ROUNDS);
}

static void two_threads_lose_no_entry_and_no_wakeup_one_slot(void **state)
{
	(void)state;
	stress(1, 2, ROUNDS / 10);
}

static void two_threads_lose_no_entry_and_no_wakeup_large_ring(void **state)
{
	(void)state;
	stress(200, 256, ROUNDS);
}

static void time_in_a_state_is_told_by_its_power_of_two(void **state)
{
	static const struct {
		u64 ns;
		u32 bucket;
	} cases[] = {
		{ 0, 0 }, { 999, 0 }, { 1000, 1 }, { 1999, 1 }, { 2000, 2 }, { 3999, 2 },
		{ 4000, 3 }, { 1023999, 10 }, { 1024000, 11 }, { 1ULL << 30, 21 },
		{ (1ULL << 30) * 1000 - 1, 30 }, { (1ULL << 30) * 1000, 31 },
		{ (1ULL << 40) * 1000, 31 }, { INT64_MAX, 31 },
		/* The clock was set back. */
		{ (u64)-1, 0 }, { (u64)-5000000000, 0 },
	};
	struct sgring_slot_info table[2] = { 0 };
	struct sgring_rings rings = { .table = table };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		sgring_table_state(&rings, 1, SGRING_SLOT_APP, 7000000000);
		assert_int_equal(sgring_table_usec_log2(&rings, 1, 7000000000 + cases[i].ns),
				 cases[i].bucket);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_in_a_state_is_told_by_its_power_of_two),
		cmocka_unit_test(empty_cq_has_nothing_and_all_room),
		cmocka_unit_test(full_cq_has_all_ready_and_no_room),
		cmocka_unit_test(consumed_entries_are_room_only_once_published),
		cmocka_unit_test(cq_keeps_order_across_the_32_bit_wrap),
		cmocka_unit_test(sq_keeps_order_across_the_32_bit_wrap),
		cmocka_unit_test(full_sq_gives_no_entry_until_the_kernel_took_one),
		cmocka_unit_test(reserved_entry_is_zeroed_and_hidden_until_submit),
		cmocka_unit_test(submit_asks_for_a_kick_only_with_need_wakeup),
		cmocka_unit_test(publish_publishes_and_asks_like_submit),
		cmocka_unit_test(strides_longer_than_known_are_honoured),
		cmocka_unit_test(hostile_sq_producer_is_refused_never_followed),
		cmocka_unit_test(hostile_cq_consumer_is_refused_never_followed),
		cmocka_unit_test(kernel_indices_are_its_own_whatever_the_shared_copies_say),
		cmocka_unit_test(cq_alone_keeps_readers_and_writers_apart),
		cmocka_unit_test(sq_alone_keeps_readers_and_writers_apart),
		cmocka_unit_test(neither_side_misses_the_other_at_the_same_moment),
		cmocka_unit_test(two_threads_lose_no_entry_and_no_wakeup_full_ring),
		cmocka_unit_test(two_threads_lose_no_entry_and_no_wakeup_one_slot),
		cmocka_unit_test(two_threads_lose_no_entry_and_no_wakeup_large_ring),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}

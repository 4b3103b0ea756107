// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * An application that lies: whatever it writes into its side of the rings is
 * counted and dropped, or stops the stream, and spoils nobody else's data.
 */
#include <pthread.h>

#include "common.h"

#define SLOTS	8U

static const struct sgring_setup eight = { .slot_bytes = 4096, .slot_count = SLOTS };

/* Every slot is somewhere, and only there. */
static void slots_add_up(int fd, uint32_t slots)
{
	struct sgring_stats s = stats_of(fd);

	assert_int_equal(s.slots_free + s.slots_engine + s.slots_app + s.slots_gated, slots);
}

/* Flat out, and by now every slot is the application's; entries not consumed. */
static struct stream full_stream(const struct sgring_setup *setup)
{
	struct stream s = stream_open("rx0", setup);

	stream_start(&s);
	assert_int_equal(stream_wait(&s, s.setup.slot_count, LONG_MS), s.setup.slot_count);
	return s;
}

static void submit_raw(struct stream *s, const struct sgring_sqe *entry)
{
	struct sgring_sqe *e = sgring_sq_reserve(&s->sq);

	assert_non_null(e);
	*e = *entry;
	sgring_sq_submit(&s->sq);
	assert_int_equal(sg_kick(s->fd), 0);
}

static uint64_t sq_bad(int fd)
{
	return stats_of(fd).sq_bad;
}

/* ---- entries ---- */

static void entries_that_break_a_rule_are_counted_and_dropped(void **state)
{
	struct stream s = full_stream(&eight);
	const uint32_t mine = sgring_cq_peek(&s.cq, 0)->slot;
	const struct sgring_sqe bad[] = {
		{ .slot = SLOTS },
		{ .slot = 0x80000000 },
		{ .slot = SGRING_NO_SLOT },
		{ .slot = mine, .offset_bytes = 1 },
		{ .slot = mine, .offset_bytes = ~0U },
		{ .slot = mine, .length_bytes = 1 },
		{ .slot = mine, .length_bytes = 4096 },
		{ .slot = mine, .flags = 1 },
		{ .slot = mine, .flags = 1U << 31 },
		{ .slot = mine, .reserved = 1 },
		{ .slot = mine, .reserved = 1ULL << 63 },
		{ ~0ULL, ~0U, ~0U, ~0U, ~0U, ~0ULL },
	};
	uint32_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		submit_raw(&s, &bad[i]);
		assert_true(WAIT_FOR(sq_bad(s.fd) == i + 1, LONG_MS));
		assert_int_equal(slot_info(&s, mine)->state, SGRING_SLOT_APP);
		assert_int_equal(stats_of(s.fd).slots_app, SLOTS);
	}
	assert_int_equal(stats_of(s.fd).sq_taken, 0);
	/* All the same the slot can be returned. */
	stream_run(&s, 100);
	assert_int_equal(sq_bad(s.fd), ARRAY_SIZE(bad));
	assert_int_equal(stats_of(s.fd).index_bad, 0);
	slots_add_up(s.fd, SLOTS);
}

static void a_slot_returned_twice_is_taken_once(void **state)
{
	struct stream s = full_stream(&eight);
	uint32_t i, k;

	(void)state;
	for (i = 0; i < SLOTS; i++) {
		struct sgring_cqe e = stream_expect(&s);

		/* In one go, and once more, when it is the engine's or full again. */
		for (k = 0; k < 2; k++)
			sgring_sq_reserve(&s.sq)->slot = e.slot;
		sgring_sq_submit(&s.sq);
		sg_kick(s.fd);
		assert_true(WAIT_FOR(stats_of(s.fd).sq_taken == i + 1, LONG_MS));
	}
	assert_int_equal(sq_bad(s.fd), SLOTS);
	stream_run(&s, 100);
	assert_int_equal(sq_bad(s.fd), SLOTS);
	slots_add_up(s.fd, SLOTS);
}

static void slots_that_are_not_the_applications_are_refused(void **state)
{
	struct stream s = stream_open("rx0", &eight);
	uint32_t i;

	(void)state;
	/* The kernel's: it was never given out. */
	for (i = 0; i < SLOTS; i++)
		sgring_sq_reserve(&s.sq)->slot = i;
	sgring_sq_submit(&s.sq);
	knob_set("rx0", "stall", 1);
	stream_start(&s);
	assert_true(WAIT_FOR(sq_bad(s.fd) == SLOTS, LONG_MS));
	/* The engine's. */
	assert_true(stats_of(s.fd).slots_engine > 0);
	for (i = 0; i < SLOTS; i++)
		sgring_sq_reserve(&s.sq)->slot = i;
	sgring_sq_submit(&s.sq);
	sg_kick(s.fd);
	assert_true(WAIT_FOR(sq_bad(s.fd) == 2 * SLOTS, LONG_MS));
	assert_int_equal(stats_of(s.fd).sq_taken, 0);

	knob_set("rx0", "stall", 0);
	stream_run(&s, 100);
	slots_add_up(s.fd, SLOTS);
}

static void cookies_come_back_as_they_were(void **state)
{
	static const uint64_t cookies[] = { ~0ULL, 1ULL << 63, 1, 0x123456789abcdef0 };
	struct stream s = full_stream(&eight);
	uint64_t expected[SLOTS];
	uint32_t i, slot;

	(void)state;
	for (i = 0; i < SLOTS; i++) {
		assert_int_equal(sgring_cq_peek(&s.cq, 0)->cookie, 0);
		slot = stream_expect(&s).slot;
		expected[slot] = cookies[i % ARRAY_SIZE(cookies)];
		stream_return(&s, slot, expected[slot]);
	}
	for (i = 0; i < SLOTS; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_equal(e.cookie, expected[e.slot]);
	}
}

static void more_returns_than_one_pass_takes_are_all_taken(void **state)
{
	static const struct sgring_setup many = { .slot_bytes = 16, .slot_count = 4096 };
	struct stream s = full_stream(&many);
	uint32_t i;

	(void)state;
	for (i = 0; i < 4096; i++)
		sgring_sq_reserve(&s.sq)->slot = sgring_cq_peek(&s.cq, i)->slot;
	sgring_cq_consume(&s.cq, 4096);
	if (sgring_sq_submit(&s.sq))
		assert_int_equal(sg_kick(s.fd), 0);
	assert_int_equal(stream_wait(&s, 4096, LONG_MS), 4096);
	assert_int_equal(stats_of(s.fd).sq_taken, 4096);
	assert_int_equal(sq_bad(s.fd), 0);
	slots_add_up(s.fd, 4096);
}

static void a_full_cq_holds_the_engine_back_and_loses_no_entry(void **state)
{
	struct stream s = full_stream(&eight);
	const uint32_t most = s.cq.count - 1;	/* one is for the end of the stream */
	uint64_t position = 0;
	uint32_t i, taken;

	(void)state;
	/* Returned and not consumed. */
	for (taken = 0; taken < most; taken++) {
		assert_true(stream_wait(&s, taken + 1, LONG_MS) > taken);
		stream_return(&s, sgring_cq_peek(&s.cq, taken)->slot, 0);
	}
	assert_true(WAIT_FOR(stats_of(s.fd).cq_full > 0, LONG_MS));
	msleep(50);
	assert_int_equal(stream_wait(&s, most + 1, 50), most);
	for (i = 0; i < most; i++) {
		const struct sgring_cqe *e = sgring_cq_peek(&s.cq, i);

		assert_int_equal(e->sequence, i);
		assert_int_equal(e->position_bytes, position);
		position += e->length_bytes;
	}
	/* Nobody kicks: of room in the CQ no submission tells. */
	sgring_cq_consume(&s.cq, most);
	assert_true(stream_wait(&s, 1, LONG_MS) > 0);
	s.position = position;
	s.epoch = kernel_side(&s)->epoch;
	stream_run(&s, 100);
}

static void the_end_of_the_stream_fits_into_a_full_cq(void **state)
{
	struct stream s = full_stream(&eight);
	const uint32_t most = s.cq.count - 1;
	uint32_t taken;

	(void)state;
	for (taken = 0; taken < most; taken++) {
		assert_true(stream_wait(&s, taken + 1, LONG_MS) > taken);
		stream_return(&s, sgring_cq_peek(&s.cq, taken)->slot, 0);
	}
	stream_stop(&s);
	assert_int_equal(stream_wait(&s, most + 1, LONG_MS), most + 1);
	assert_true(sgring_cq_peek(&s.cq, most)->flags & SGRING_CQE_EOS);
}

/* ---- indices ---- */

/* Back to sanity: nothing submitted, all consumed, and every slot returned. */
static void repair(struct stream *s)
{
	struct sgring_user_side *u = user_side(s);
	uint32_t i;

	sg_abort(s->fd);
	u->cq_consumer = kernel_side(s)->cq_producer;
	s->cq.consumer = u->cq_consumer;
	s->cq.producer = u->cq_consumer;
	u->sq_producer = kernel_side(s)->sq_consumer;
	s->sq.producer = u->sq_producer;
	s->sq.consumer = u->sq_producer;
	for (i = 0; i < s->setup.slot_count; i++)
		if (slot_info(s, i)->state == SGRING_SLOT_APP)
			sgring_sq_reserve(&s->sq)->slot = i;
	sgring_sq_submit(&s->sq);
}

static void streams_again(struct stream *s)
{
	repair(s);
	stream_start(s);
	stream_run(s, 50);
	slots_add_up(s->fd, s->setup.slot_count);
}

static bool stopped(struct stream *s)
{
	return WAIT_FOR(query_of(s->fd).state == SGRING_STATE_READY, LONG_MS);
}

static void an_sq_producer_off_its_ring_stops_the_stream_with_eproto(void **state)
{
	static const int64_t off[] = { SLOTS + 1, -1, 0x7fffffff, 0x80000000, -8, 1 << 20 };
	struct stream s = stream_open("rx0", &eight);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(off); i++) {
		struct sgring_cqe end;

		streams_again(&s);
		sgring_store_release(&user_side(&s)->sq_producer,
				     kernel_side(&s)->sq_consumer + off[i]);
		sg_kick(s.fd);
		end = stream_find_end(&s);
		assert_int_equal(end.status, -EPROTO);
		assert_int_equal(end.slot, SGRING_NO_SLOT);
		assert_true(stopped(&s));
		assert_int_equal(stats_of(s.fd).index_bad, i + 1);
		slots_add_up(s.fd, SLOTS);
		/* It does not start again before that is mended. */
		assert_int_equal(sg_start(s.fd), -EPROTO);
		assert_int_equal(sg_arm(s.fd), -EPROTO);
	}
	streams_again(&s);
	assert_int_equal(sq_bad(s.fd), 0);
}

static void a_cq_consumer_off_its_ring_stops_the_stream(void **state)
{
	static const int64_t off[] = { 1, -17, 0x7fffffff, 0x80000000, 1 << 20 };
	struct stream s = stream_open("rx0", &eight);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(off); i++) {
		streams_again(&s);
		/* All full: the producer stands still. */
		assert_true(WAIT_FOR(stats_of(s.fd).slots_app == SLOTS, LONG_MS));
		sgring_store_release(&user_side(&s)->cq_consumer,
				     kernel_side(&s)->cq_producer + off[i]);
		sg_kick(s.fd);
		assert_true(stopped(&s));
		assert_int_equal(stats_of(s.fd).index_bad, i + 1);
		slots_add_up(s.fd, SLOTS);
		assert_int_equal(sg_start(s.fd), -EPROTO);
	}
	streams_again(&s);
}

static void a_cq_consumer_that_goes_back_gets_old_entries_again(void **state)
{
	struct stream s = stream_open("rx0", &eight);

	(void)state;
	streams_again(&s);
	/* Within the ring: no lie that could be told from the truth. */
	sgring_store_release(&user_side(&s)->cq_consumer, user_side(&s)->cq_consumer - 3);
	sg_kick(s.fd);
	stream_run(&s, 50);
	assert_int_equal(stats_of(s.fd).index_bad, 0);
}

static void a_damaged_index_is_told_to_who_waits(void **state)
{
	struct stream s = stream_open("rx0", &eight);
	struct pollfd p = { .fd = s.fd, .events = POLLIN };

	(void)state;
	streams_again(&s);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_app == SLOTS, LONG_MS));
	sgring_store_release(&user_side(&s)->cq_consumer, 12345678);
	sg_kick(s.fd);
	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	assert_true(p.revents & POLLERR);
}

/* ---- an honest neighbour ---- */

/* rx1, watched by a thread while somebody lies to rx0. */
struct neighbour {
	struct stream s;
	pthread_t thread;
	bool stop;
	bool wrong;
	uint64_t slots;
};

static void *neighbour_main(void *arg)
{
	struct neighbour *n = arg;
	uint64_t position = 0;

	while (!__atomic_load_n(&n->stop, __ATOMIC_RELAXED)) {
		struct sgring_cqe e;

		if (!sgring_cq_ready(&n->s.cq)) {
			if (kernel_side(&n->s)->flags & SGRING_NEED_WAKEUP)
				sg_kick(n->s.fd);
			usleep(500);
			continue;
		}
		e = *sgring_cq_peek(&n->s.cq, 0);
		sgring_cq_consume(&n->s.cq, 1);
		n->wrong |= e.status || e.flags & SGRING_CQE_EOS || e.position_bytes != position ||
			    e.slot >= n->s.setup.slot_count || !stream_data_right(&n->s, &e);
		if (n->wrong)
			break;
		position += e.length_bytes;
		n->slots++;
		sgring_sq_reserve(&n->s.sq)->slot = e.slot;
		if (sgring_sq_submit(&n->s.sq))
			sg_kick(n->s.fd);
	}
	return NULL;
}

static void neighbour_start(struct neighbour *n)
{
	static const struct sgring_setup setup = { .slot_bytes = 5000, .slot_count = 16 };

	*n = (struct neighbour){ .s = stream_open("rx1", &setup) };
	stream_start(&n->s);
	assert_int_equal(pthread_create(&n->thread, NULL, neighbour_main, n), 0);
}

static void neighbour_is_well(struct neighbour *n)
{
	__atomic_store_n(&n->stop, true, __ATOMIC_RELAXED);
	pthread_join(n->thread, NULL);
	assert_false(n->wrong);
	assert_true(n->slots > 100);
	assert_int_equal(stats_of(n->s.fd).sq_bad, 0);
	assert_int_equal(stats_of(n->s.fd).index_bad, 0);
}

/* ---- a second thread that writes while the kernel reads ---- */

enum { ENTRIES = 1, INDICES = 2, ANYWHERE = 4 };

struct liar {
	struct stream *s;
	pthread_t thread;
	int what;
	unsigned int seed;
	bool stop;
};

static void lie(struct liar *l)
{
	struct stream *s = l->s;
	uint32_t number = rand_r(&l->seed) * 2654435761U, place = rand_r(&l->seed);
	struct sgring_user_side *u = user_side(s);
	struct sgring_sqe *entries = (void *)(s->user + s->geometry.sq_offset);
	struct sgring_sqe *e = &entries[place % s->geometry.sq_entries];

	switch (place % 8 & (l->what == ENTRIES ? 3 : 7)) {
	case 0:
		e->slot = number % (SLOTS + 2);
		break;
	case 1:
		e->flags = number & 1 ? 0 : number;
		break;
	case 2:
		e->slot = number % SLOTS;
		e->offset_bytes = 0;
		e->length_bytes = 0;
		e->flags = 0;
		e->reserved = 0;
		break;
	case 3:
		e->cookie = number;
		e->reserved = number % 3 ? 0 : number;
		break;
	case 4:
		/* Mostly within the ring. */
		u->sq_producer = s->cq.kernel->sq_consumer + number % (place & 64 ? 8 : 12);
		break;
	case 5:
		u->cq_consumer = s->cq.kernel->cq_producer - number % (place & 64 ? 16 : 20);
		break;
	case 6:
		if (l->what & ANYWHERE)
			((uint32_t *)s->user)[place % (s->geometry.user_bytes / 4)] = number;
		break;
	default:
		if (l->what & ANYWHERE && !(place & 0x7000))
			u->sq_producer = number;
		break;
	}
}

static void *liar_main(void *arg)
{
	struct liar *l = arg;

	while (!__atomic_load_n(&l->stop, __ATOMIC_RELAXED))
		lie(l);
	return NULL;
}

/* So many rounds of lying, with a stream that works after each. */
static void lie_for(struct stream *s, int what, int rounds, unsigned int ms)
{
	struct liar l = { .s = s, .what = what, .seed = 12345 };
	uint64_t until;
	int i;

	for (i = 0; i < rounds; i++) {
		repair(s);
		stream_start(s);
		l.stop = false;
		assert_int_equal(pthread_create(&l.thread, NULL, liar_main, &l), 0);
		until = now_ns() + ms * 1000000ULL;
		while (now_ns() < until) {
			sg_kick(s->fd);
			if (sg_start(s->fd) == 0)
				continue;
			if (rand_r(&l.seed) % 16 == 0)
				sg_abort(s->fd);
		}
		__atomic_store_n(&l.stop, true, __ATOMIC_RELAXED);
		pthread_join(l.thread, NULL);
		slots_add_up(s->fd, SLOTS);
	}
	streams_again(s);
}

static void entries_that_change_while_they_are_read_spoil_nothing(void **state)
{
	struct stream s = stream_open("rx0", &eight);
	struct neighbour n;

	(void)state;
	neighbour_start(&n);
	lie_for(&s, ENTRIES, 8, 100);
	neighbour_is_well(&n);
}

static void indices_that_change_all_the_time_spoil_nothing(void **state)
{
	struct stream s = stream_open("rx0", &eight);
	struct neighbour n;

	(void)state;
	neighbour_start(&n);
	lie_for(&s, ENTRIES | INDICES, 10, 100);
	assert_true(sq_bad(s.fd) > 0);
	neighbour_is_well(&n);
}

static void garbage_all_over_the_user_side_spoils_nothing(void **state)
{
	struct stream s = stream_open("rx0", &eight);
	struct neighbour n;

	(void)state;
	neighbour_start(&n);
	lie_for(&s, ENTRIES | INDICES | ANYWHERE, 20, 100);
	assert_true(sq_bad(s.fd) > 0);
	assert_true(stats_of(s.fd).index_bad > 0);
	neighbour_is_well(&n);
}

static void garbage_of_a_dropping_stream_spoils_nothing(void **state)
{
	const struct sgring_setup drop = {
		.slot_bytes = 4096,
		.slot_count = SLOTS,
		.overrun = SGRING_OVERRUN_DROP,
	};
	struct stream s = stream_open("rx0", &drop);
	struct neighbour n;

	(void)state;
	neighbour_start(&n);
	lie_for(&s, ENTRIES | INDICES | ANYWHERE, 5, 100);
	neighbour_is_well(&n);
}

static void closing_in_the_middle_of_lies_is_clean(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		struct stream s = stream_open("rx0", &eight);
		struct liar l = { .s = &s, .what = ENTRIES | INDICES | ANYWHERE, .seed = i };

		stream_start(&s);
		assert_int_equal(pthread_create(&l.thread, NULL, liar_main, &l), 0);
		msleep(20);
		sg_kick(s.fd);
		close(s.fd);
		l.stop = true;
		pthread_join(l.thread, NULL);
		stream_unmap(&s);
	}
}

GROUP(
	TEST(entries_that_break_a_rule_are_counted_and_dropped),
	TEST(a_slot_returned_twice_is_taken_once),
	TEST(slots_that_are_not_the_applications_are_refused),
	TEST(cookies_come_back_as_they_were),
	TEST(more_returns_than_one_pass_takes_are_all_taken),
	TEST(a_full_cq_holds_the_engine_back_and_loses_no_entry),
	TEST(the_end_of_the_stream_fits_into_a_full_cq),
	TEST(an_sq_producer_off_its_ring_stops_the_stream_with_eproto),
	TEST(a_cq_consumer_off_its_ring_stops_the_stream),
	TEST(a_cq_consumer_that_goes_back_gets_old_entries_again),
	TEST(a_damaged_index_is_told_to_who_waits),
	TEST(entries_that_change_while_they_are_read_spoil_nothing),
	TEST(indices_that_change_all_the_time_spoil_nothing),
	TEST(garbage_all_over_the_user_side_spoils_nothing),
	TEST(garbage_of_a_dropping_stream_spoils_nothing),
	TEST(closing_in_the_middle_of_lies_is_clean))

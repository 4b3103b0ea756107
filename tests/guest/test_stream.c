// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a stream delivers, in every regime: the right bytes at the position that
 * the entry claims, whatever was dropped, lost or cut short before it.
 */
#include <pthread.h>
#include <time.h>

#include "common.h"

#define SLOT	(64 * KIB)

/* ---- helpers ---- */

static uint32_t flags_of(const struct stream *s)
{
	return sgring_load_acquire(&kernel_side(s)->flags);
}

static bool starved(const struct stream *s)
{
	return flags_of(s) & SGRING_STARVED;
}

/* @count good entries, kept; the engine must be able to fill as many. */
static void take_all(struct stream *s, uint32_t *slots, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++)
		slots[i] = stream_expect(s).slot;
}

/* No kick: for what the kernel must find by itself. */
static void return_silently(struct stream *s, uint32_t slot)
{
	struct sgring_sqe *e = sgring_sq_reserve(&s->sq);

	assert_non_null(e);
	e->slot = slot;
	assert_false(sgring_sq_submit(&s->sq));
}

static void counts_add_up(const struct stream *s)
{
	struct sgring_stats stats = stats_of(s->fd);

	assert_int_equal(stats.slots_free + stats.slots_engine + stats.slots_app,
			 s->setup.slot_count);
	assert_int_equal(stats.sq_bad, 0);
	assert_int_equal(stats.index_bad, 0);
}

/* ---- the two plain regimes ---- */

static void flat_out_every_byte_is_right(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 256 * KIB, .slot_count = 16 });
	struct sgring_stats stats;

	(void)state;
	stream_start(&s);
	stream_run(&s, 150);
	stats = stats_of(s.fd);
	assert_true(stats.slots_done >= 150);
	assert_int_equal(stats.bytes_done, stats.slots_done * 256 * KIB);
	assert_int_equal(stats.dropped_slots, 0);
	assert_int_equal(stats.lost_bytes, 0);
	assert_int_equal(stats.engine_errors, 0);
	assert_int_equal(stats.odd_callbacks, 0);
	assert_int_equal(stats.late_callbacks, 0);
	counts_add_up(&s);
}

static void paced_every_byte_is_right_without_kick_or_timer(void **state)
{
	struct stream s;
	struct sgring_stats stats;

	(void)state;
	knob_set("rx0", "rate", 8000000);
	knob_set("rx0", "fifo_bytes", 16 * MIB);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 32 });
	stream_start(&s);
	stream_run(&s, 100);
	stats = stats_of(s.fd);
	assert_int_equal(stats.kicks, 0);
	assert_int_equal(stats.timer_runs, 0);
	assert_int_equal(stats.stalls, 0);
	assert_int_equal(stats.lost_bytes, 0);
	assert_true(stats.sq_taken >= 90);
}

/* ---- what an entry says ---- */

static void slots_come_back_in_any_order_each_with_its_cookie(void **state)
{
	uint64_t cookie[16] = {}, next = 0x1234567800000000ULL;
	uint32_t held[8];
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 4096, .slot_count = 16 });
	unsigned int seed = 1, i, j, round;

	(void)state;
	stream_start(&s);
	for (round = 0; round < 100; round++) {
		for (i = 0; i < ARRAY_SIZE(held); i++) {
			struct sgring_cqe e = stream_expect(&s);

			assert_int_equal(e.cookie, cookie[e.slot]);
			held[i] = e.slot;
		}
		for (i = ARRAY_SIZE(held); i; i--) {
			j = rand_r(&seed) % i;
			cookie[held[j]] = ++next;
			stream_return(&s, held[j], next);
			held[j] = held[i - 1];
		}
	}
	counts_add_up(&s);
}

static void entry_tells_sequence_position_and_times(void **state)
{
	uint64_t before = now_ns(), last_ns = 0, last_device_ns = 0;
	struct stream s;
	unsigned int i;

	(void)state;
	knob_set("rx0", "rate", 16000000);
	knob_set("rx0", "fifo_bytes", 16 * MIB);
	s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 32, .queue_depth = 8 });
	stream_start(&s);
	for (i = 0; i < 60; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_equal(e.sequence, i);
		assert_int_equal(e.position_bytes, i * SLOT);
		assert_int_equal(e.length_bytes, SLOT);
		assert_int_equal(e.metadata_bytes, 0);
		/* It is the callback's time: after the start, never behind the last, not ahead. */
		assert_in_range(e.host_time_ns, last_ns ?: before, now_ns());
		last_ns = e.host_time_ns;
		assert_true(e.flags & SGRING_CQE_DEVICE_TIME);
		assert_true(e.device_time_ns > last_device_ns);
		last_device_ns = e.device_time_ns;
		stream_return(&s, e.slot, 0);
	}
}

static void engine_slots_are_those_it_had_left(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 4096, .slot_count = 8, .queue_depth = 4 });
	unsigned int i;

	(void)state;
	stream_start(&s);
	/* Nothing is returned: 3 stay while there are free ones, then 3, 2, 1, 0. */
	for (i = 0; i < 8; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_true(e.engine_slots <= 3);
		assert_true(e.engine_slots <= 7 - i);
	}
	assert_int_equal(stats_of(s.fd).slots_app, 8);
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void host_time_is_by_the_clock_of_the_setup(void **state)
{
	static const struct {
		uint32_t ours;
		clockid_t theirs;
	} clocks[] = {
		{ SGRING_CLOCK_MONOTONIC, CLOCK_MONOTONIC },
		{ SGRING_CLOCK_REALTIME, CLOCK_REALTIME },
		{ SGRING_CLOCK_TAI, CLOCK_TAI },
		{ SGRING_CLOCK_BOOTTIME, CLOCK_BOOTTIME },
		{ SGRING_CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_RAW },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(clocks); i++) {
		struct stream s = stream_open("rx0", &(struct sgring_setup){
			.slot_bytes = 4096, .slot_count = 2, .clock = clocks[i].ours });
		uint64_t before = clock_ns(clocks[i].theirs);
		struct sgring_cqe e;

		stream_start(&s);
		e = stream_expect(&s);
		assert_in_range(e.host_time_ns, before, clock_ns(clocks[i].theirs));
		/* The slot table goes by the same clock. */
		assert_in_range(slot_info(&s, e.slot)->time_ns, before,
				clock_ns(clocks[i].theirs));
		stream_close(&s);
	}
}

static void slot_table_follows_each_slot(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 4096, .slot_count = 8, .queue_depth = 2 });
	uint32_t slots[8], generation[8], i;

	(void)state;
	for (i = 0; i < 8; i++) {
		assert_int_equal(slot_info(&s, i)->state, SGRING_SLOT_FREE);
		generation[i] = slot_info(&s, i)->generation;
	}
	knob_set("rx0", "stall", 1);
	stream_start(&s);
	for (i = 0; i < 8; i++)
		assert_int_equal(slot_info(&s, i)->state,
				 i < 2 ? SGRING_SLOT_ENGINE : SGRING_SLOT_FREE);
	knob_set("rx0", "stall", 0);
	for (i = 0; i < 8; i++) {
		struct sgring_cqe e = stream_expect(&s);
		const struct sgring_slot_info *info = slot_info(&s, e.slot);

		slots[i] = e.slot;
		assert_int_equal(info->state, SGRING_SLOT_APP);
		assert_int_equal(info->sequence, e.sequence);
		assert_int_equal(info->position_bytes, e.position_bytes);
		assert_int_not_equal(info->generation, generation[e.slot]);
	}
	knob_set("rx0", "stall", 1);
	for (i = 0; i < 8; i++)
		stream_return(&s, slots[i], 0);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_engine == 2, LONG_MS));
	for (i = 0; i < 8; i++)
		assert_int_equal(slot_info(&s, slots[i])->state,
				 i < 2 ? SGRING_SLOT_ENGINE : SGRING_SLOT_FREE);
}

/* A reader that is too late must be able to tell. */
static void generation_tells_whether_a_late_copy_is_whole(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 2, .queue_depth = 2 });
	unsigned char *copy = malloc(SLOT);
	unsigned int whole = 0, void_ = 0, round;

	(void)state;
	stream_start(&s);
	for (round = 0; round < 600 && !(round >= 100 && whole && void_); round++) {
		struct sgring_cqe e = stream_expect(&s);
		const struct sgring_slot_info *info = slot_info(&s, e.slot);
		uint32_t generation = sgring_load_acquire(&info->generation);

		/* Half of the time the copy is begun when the slot is no longer ours. */
		if (round % 2)
			stream_return(&s, e.slot, 0);
		if (round % 4 == 3)
			usleep(round % 64 * 50);
		memcpy(copy, slot_data(&s, e.slot), SLOT);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (sgring_load_relaxed(&info->generation) == generation) {
			whole++;
			assert_int_equal(sgring_pattern_verify(copy, SLOT, s.key,
							       e.position_bytes), SLOT);
		} else {
			void_++;
		}
		if (!(round % 2))
			stream_return(&s, e.slot, 0);
	}
	free(copy);
	assert_true(whole);
	assert_true(void_);
}

/* ---- the third regime: no slot is free ---- */

static void stall_is_told_counted_and_ended_by_a_returned_slot(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 4, .sq_idle_usec = SGRING_USEC_MAX });
	struct sgring_stats before, after;
	struct sgring_cqe e;
	uint32_t slots[4];

	(void)state;
	stream_start(&s);
	take_all(&s, slots, 4);
	assert_true(WAIT_FOR(starved(&s), LONG_MS));
	before = stats_of(s.fd);
	assert_true(before.flags & SGRING_STATS_STARVED);
	assert_int_equal(before.stalls, 1);
	assert_int_equal(before.slots_app, 4);
	msleep(50);
	after = stats_of(s.fd);
	assert_true(after.stalled_ns - before.stalled_ns >= 40000000);
	assert_true(after.timer_runs > before.timer_runs);
	assert_int_equal(after.timer_hits, 0);

	/* The timer finds it: nobody kicks. */
	return_silently(&s, slots[0]);
	e = stream_expect(&s);
	assert_true(e.flags & SGRING_CQE_STALL);
	assert_false(e.flags & SGRING_CQE_GAP);
	assert_int_equal(e.slot, slots[0]);
	after = stats_of(s.fd);
	assert_int_equal(after.kicks, 0);
	assert_int_equal(after.timer_hits, 1);

	/* Two at once: only the first is marked. */
	assert_true(WAIT_FOR(stats_of(s.fd).stalls == 2, LONG_MS));
	knob_set("rx0", "stall", 1);
	sgring_sq_reserve(&s.sq)->slot = slots[1];
	sgring_sq_reserve(&s.sq)->slot = slots[2];
	sgring_sq_submit(&s.sq);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_engine == 2, LONG_MS));
	assert_false(starved(&s));
	knob_set("rx0", "stall", 0);
	assert_true(stream_expect(&s).flags & SGRING_CQE_STALL);
	assert_false(stream_expect(&s).flags & SGRING_CQE_STALL);
	assert_int_equal(stats_of(s.fd).kicks, 0);
}

static void needs_no_wakeup(struct stream *s)
{
	assert_false(flags_of(s) & SGRING_NEED_WAKEUP);
}

static void starved_for_long_it_asks_for_a_kick_and_gets_it(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 4, .sq_idle_usec = 20000 });
	struct sgring_stats stats;
	struct sgring_sqe *sqe;
	uint32_t slots[4];

	(void)state;
	stream_start(&s);
	needs_no_wakeup(&s);
	take_all(&s, slots, 4);
	assert_true(WAIT_FOR(flags_of(&s) & SGRING_NEED_WAKEUP, LONG_MS));
	stats = stats_of(s.fd);
	assert_true(stats.timer_runs > 1);
	assert_true(stats.stalled_ns >= 20000000);
	/* Then nobody looks. */
	msleep(30);
	assert_int_equal(stats_of(s.fd).timer_runs, stats.timer_runs);
	sqe = sgring_sq_reserve(&s.sq);
	sqe->slot = slots[2];
	assert_true(sgring_sq_submit(&s.sq));
	assert_int_equal(stream_wait(&s, 1, 50), 0);
	assert_int_equal(sg_kick(s.fd), 0);
	assert_int_equal(stream_expect(&s).slot, slots[2]);
	assert_int_equal(stats_of(s.fd).kicks, 1);
}

/* 20000 looks if the period stayed what it is at first. */
static void the_longer_it_waits_the_less_it_looks(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 4, .sq_poll_usec = 20, .sq_idle_usec = 400000 });
	uint32_t slots[4];

	(void)state;
	stream_start(&s);
	take_all(&s, slots, 4);
	assert_true(WAIT_FOR(flags_of(&s) & SGRING_NEED_WAKEUP, LONG_MS));
	assert_in_range(stats_of(s.fd).timer_runs, 10, 100);
}

static void sq_idle_off_asks_at_once_without_timer(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 4, .sq_idle_usec = SGRING_OFF });
	uint32_t slots[4];
	unsigned int i;

	(void)state;
	stream_start(&s);
	take_all(&s, slots, 4);
	for (i = 0; i < 20; i++) {
		assert_true(WAIT_FOR(flags_of(&s) & SGRING_NEED_WAKEUP, LONG_MS));
		stream_return(&s, slots[i % 4], 0);
		assert_int_equal(stream_expect(&s).slot, slots[i % 4]);
	}
	assert_int_equal(stats_of(s.fd).timer_runs, 0);
	assert_int_equal(stats_of(s.fd).kicks, 20);
}

static void tune_changes_a_starved_stream(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 4, .sq_poll_usec = 1000,
		.sq_idle_usec = SGRING_USEC_MAX });
	uint32_t slots[4];

	(void)state;
	stream_start(&s);
	take_all(&s, slots, 4);
	msleep(50);
	needs_no_wakeup(&s);
	assert_int_equal(sg_tune(s.fd, &(struct sgring_tune){ .sq_idle_usec = 1000 }), 0);
	assert_true(WAIT_FOR(flags_of(&s) & SGRING_NEED_WAKEUP, LONG_MS));
}

/* Backlogged for long: the engine runs dry again and again, and no slot costs a kick. */
static void backlogged_it_needs_no_kicks(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 8 });
	uint32_t slots[4];
	unsigned int i, j;

	(void)state;
	stream_start(&s);
	for (i = 0; i < 40; i++) {
		take_all(&s, slots, ARRAY_SIZE(slots));
		msleep(3);
		for (j = 0; j < ARRAY_SIZE(slots); j++)
			stream_return(&s, slots[j], 0);
	}
	assert_true(stats_of(s.fd).stalls > 1);
	/* A machine that is busy elsewhere may make the stream wait past sq_idle. */
	assert_in_range(stats_of(s.fd).kicks, 0, 8);
}

/* ---- losses ---- */

/* Jumps of position and sequence between entries, summed up to the end of the stream. */
struct losses {
	uint64_t bytes;
	uint64_t slots;
	uint64_t position;
	uint64_t sequence;
	unsigned int gaps;
};

static void losses_add(struct losses *l, const struct sgring_cqe *e)
{
	uint64_t jump = e->position_bytes - l->position;

	assert_true(e->position_bytes >= l->position);
	assert_true(e->sequence >= l->sequence);
	assert_int_equal(!!(e->flags & SGRING_CQE_GAP), jump != 0);
	l->bytes += jump;
	l->slots += e->sequence - l->sequence;
	l->gaps += jump != 0;
	l->position = e->position_bytes + e->length_bytes;
	l->sequence = e->sequence + !(e->flags & SGRING_CQE_EOS);
}

static void drops_are_exact(uint32_t packet_bytes)
{
	struct losses l = {};
	struct sgring_stats stats;
	uint32_t slots[6], round, i;
	struct sgring_cqe e;
	struct stream s;

	knob_set("rx0", "rate", 20000000);
	knob_set("rx0", "fifo_bytes", 64 * MIB);
	knob_set("rx0", "packet_bytes", packet_bytes);
	knob_set("rx0", "packet_jitter", packet_bytes / 2);
	s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 16 * KIB, .slot_count = 6, .overrun = SGRING_OVERRUN_DROP });
	stream_start(&s);
	for (round = 0; round < 5; round++) {
		uint64_t dropped;

		for (i = 0; i < 6; i++) {
			e = stream_expect(&s);
			losses_add(&l, &e);
			slots[i] = e.slot;
		}
		dropped = stats_of(s.fd).dropped_slots;
		assert_true(WAIT_FOR(stats_of(s.fd).dropped_slots >= dropped + 3, LONG_MS));
		assert_false(starved(&s));
		for (i = 0; i < 6; i++)
			stream_return(&s, slots[i], 0);
	}
	/* What was dropped after the last entry is told by the end of the stream. */
	assert_int_equal(sg_abort(s.fd), 0);
	do {
		e = stream_next(&s);
		if (!(e.flags & SGRING_CQE_EOS))
			assert_true(stream_data_right(&s, &e));
		losses_add(&l, &e);
	} while (!(e.flags & SGRING_CQE_EOS));
	stats = stats_of(s.fd);
	assert_int_equal(stats.lost_bytes, 0);
	assert_int_equal(stats.stalls, 0);
	assert_true(l.gaps >= 4);
	assert_int_equal(l.bytes, stats.dropped_bytes);
	assert_int_equal(l.slots, stats.dropped_slots);
	if (!packet_bytes)
		assert_int_equal(stats.dropped_bytes, stats.dropped_slots * 16 * KIB);
}

static void drop_policy_counts_exactly_in_the_entry_that_follows(void **state)
{
	(void)state;
	drops_are_exact(0);
}

static void drop_policy_counts_short_transfers_by_their_length(void **state)
{
	(void)state;
	drops_are_exact(10000);
}

static void overflow_of_the_device_is_a_gap_of_its_exact_size(void **state)
{
	struct losses l = {};
	struct sgring_cqe e;
	uint32_t slots[8], round, i;
	struct stream s;

	(void)state;
	knob_set("rx0", "rate", 8000000);
	knob_set("rx0", "fifo_bytes", 64 * KIB);
	s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 32 * KIB, .slot_count = 8 });
	stream_start(&s);
	for (round = 0; round < 3; round++) {
		uint64_t overflows = knob_get("rx0", "overflows");

		for (i = 0; i < 8; i++) {
			e = stream_expect(&s);
			losses_add(&l, &e);
			slots[i] = e.slot;
		}
		assert_true(WAIT_FOR(knob_get("rx0", "overflows") > overflows, LONG_MS));
		msleep(10);
		for (i = 0; i < 8; i++)
			stream_return(&s, slots[i], 0);
	}
	assert_int_equal(sg_abort(s.fd), 0);
	do {
		e = stream_next(&s);
		losses_add(&l, &e);
		if (!(e.flags & SGRING_CQE_EOS))
			assert_true(stream_data_right(&s, &e));
	} while (!(e.flags & SGRING_CQE_EOS));
	assert_true(l.gaps >= 2);
	assert_int_equal(l.slots, 0);
	assert_int_equal(stats_of(s.fd).lost_bytes, l.bytes);
	/* The device may know of a last hole that nothing followed. */
	assert_in_range(l.bytes, 1, knob_get("rx0", "overflowed_bytes"));
}

/* ---- transfers that end early ---- */

static void short_transfer_has_its_true_length(void **state)
{
	struct stream s;
	unsigned int i;

	(void)state;
	knob_set("rx0", "packet_bytes", 5000);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
	stream_start(&s);
	for (i = 0; i < 100; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_equal(e.length_bytes, 5000);
		assert_true(e.flags & SGRING_CQE_EOP);
		assert_false(e.flags & SGRING_CQE_LENGTH_ASSUMED);
		stream_return(&s, e.slot, 0);
	}
	assert_true(stats_of(s.fd).short_slots >= 100);
	assert_int_equal(stats_of(s.fd).assumed_slots, 0);
}

static void packets_of_any_length_stay_in_position(void **state)
{
	uint32_t shortest = UINT32_MAX, longest = 0;
	struct stream s;
	unsigned int i;

	(void)state;
	knob_set("rx0", "packet_bytes", 20001);
	knob_set("rx0", "packet_jitter", 20000);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
	stream_start(&s);
	for (i = 0; i < 200; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_true(e.flags & SGRING_CQE_EOP);
		shortest = e.length_bytes < shortest ? e.length_bytes : shortest;
		longest = e.length_bytes > longest ? e.length_bytes : longest;
		stream_return(&s, e.slot, 0);
	}
	assert_in_range(longest, 15000, 20001);
	assert_in_range(shortest, 1, 5000);
}

static void packet_longer_than_a_slot_ends_in_its_last(void **state)
{
	struct stream s;
	unsigned int i;

	(void)state;
	knob_set("rx0", "packet_bytes", 2 * SLOT + 100);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
	stream_start(&s);
	for (i = 0; i < 60; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_equal(e.length_bytes, i % 3 == 2 ? 100 : SLOT);
		assert_int_equal(!!(e.flags & SGRING_CQE_EOP), i % 3 == 2);
		stream_return(&s, e.slot, 0);
	}
}

static void packet_as_long_as_a_slot_ends_in_each(void **state)
{
	struct stream s;
	unsigned int i;

	(void)state;
	knob_set("rx0", "packet_bytes", SLOT);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
	stream_start(&s);
	for (i = 0; i < 60; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_equal(e.length_bytes, SLOT);
		assert_true(e.flags & SGRING_CQE_EOP);
		stream_return(&s, e.slot, 0);
	}
	assert_int_equal(stats_of(s.fd).short_slots, 0);
}

/* ---- sizes and shapes ---- */

static void slots_of_any_size_are_filled_to_the_byte(void **state)
{
	static const struct {
		uint64_t bytes;
		uint32_t count;
	} sizes[] = {
		{ 1, 2 }, { 4, 2 }, { 100, 64 }, { 4095, 16 }, { 4096, 4096 }, { 4097, 16 },
		{ 1 * MIB + 100, 8 }, { 12345678, 3 }, { 64 * MIB, 2 },
	};
	unsigned int i, slot;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t bytes = sizes[i].bytes;
		struct stream s = stream_open("rx0", &(struct sgring_setup){
			.slot_bytes = bytes, .slot_count = sizes[i].count });

		assert_int_equal(s.geometry.stride_bytes, (bytes + 4095) & ~4095ULL);
		/* One byte too many would show in the rest of the page. */
		for (slot = 0; slot < sizes[i].count; slot++)
			memset(slot_data(&s, slot) + bytes, 0xee, s.geometry.stride_bytes - bytes);
		stream_start(&s);
		stream_run(&s, bytes > MIB ? sizes[i].count : sizes[i].count + 10);
		stream_stop(&s);
		for (slot = 0; slot < sizes[i].count; slot++) {
			const unsigned char *p = slot_data(&s, slot);
			uint64_t at;

			for (at = bytes; at < s.geometry.stride_bytes; at++)
				assert_int_equal(p[at], 0xee);
		}
		stream_close(&s);
	}
}

static uint64_t layout_bytes(const struct stream *s, uint32_t slot, struct sgring_run *runs,
			     uint32_t room, uint32_t *count)
{
	uint64_t bytes = 0;
	uint32_t i;
	int ret;

	memset(runs, 0, room * sizeof(*runs));
	ret = sg_layout(s->fd, slot, runs, room);
	assert_in_range(ret, 1, room);
	*count = ret;
	for (i = 0; i < *count; i++) {
		assert_int_equal(runs[i].offset_bytes, bytes);
		bytes += runs[i].chunk_bytes * runs[i].chunks;
	}
	return bytes;
}

static void mixed_chunks_cover_a_slot_exactly(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = MIB + 77 * KIB, .slot_count = 6 });
	struct sgring_run runs[64];
	uint32_t slot, count, i;

	(void)state;
	for (slot = 0; slot < 6; slot++) {
		assert_int_equal(layout_bytes(&s, slot, runs, 64, &count),
				 s.geometry.stride_bytes);
		for (i = 1; i < count; i++)
			assert_true(runs[i].chunk_bytes < runs[i - 1].chunk_bytes);
	}
	stream_start(&s);
	stream_run(&s, 20);
}

static void equal_chunks_are_equal(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 200 * KIB, .slot_count = 8, .chunk_policy = SGRING_CHUNK_EQUAL,
		.chunk_bytes = 64 * KIB });
	struct sgring_run runs[4];
	uint32_t count;

	(void)state;
	assert_int_equal(layout_bytes(&s, 7, runs, 4, &count), 256 * KIB);
	assert_int_equal(count, 1);
	assert_int_equal(runs[0].chunk_bytes, 64 * KIB);
	assert_int_equal(s.geometry.chunk_bytes_min, 64 * KIB);
	assert_int_equal(s.geometry.chunk_bytes_max, 64 * KIB);
	/* Whole chunks are charged, and the rings. */
	assert_in_range(stats_of(s.fd).memory_bytes, 8 * 256 * KIB, 8 * 256 * KIB + SLOT);
	stream_start(&s);
	stream_run(&s, 50);
}

static void single_is_one_segment(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 200000, .slot_count = 6, .chunk_policy = SGRING_CHUNK_SINGLE });
	struct sgring_run runs[4];
	uint32_t count;

	(void)state;
	assert_int_equal(layout_bytes(&s, 3, runs, 4, &count), 256 * KIB);
	assert_int_equal(runs[0].chunks, 1);
	assert_int_equal(s.geometry.segments, 1);
	stream_start(&s);
	stream_run(&s, 20);
}

static void chunk_bytes_is_the_largest_there_is(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 300 * KIB, .slot_count = 8, .chunk_bytes = 16 * KIB });

	(void)state;
	assert_true(s.geometry.chunk_bytes_max <= 16 * KIB);
	stream_start(&s);
	stream_run(&s, 20);
}

static uint64_t violations(void)
{
	static const char * const labels[] = { "rx0", "rx1", "rx2", "rx3" };
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(labels); i++)
		sum += knob_get(labels[i], "violations");
	return sum;
}

static void segments_keep_to_the_limits_of_the_engine(void **state)
{
	uint64_t before = violations();
	struct stream s;

	(void)state;
	knob_set("rx3", "max_segment_bytes", 10000);
	knob_set("rx3", "boundary", 8192);
	bench_rebind("rx3");
	s = stream_open("rx3", &(struct sgring_setup){
		.slot_bytes = MIB + 100, .slot_count = 4, .queue_depth = 2 });
	assert_in_range(s.geometry.segments, 129, 300);
	stream_start(&s);
	stream_run(&s, 12);
	stream_close(&s);
	assert_int_equal(violations(), before);
	knob_set("rx3", "boundary", 0);
	knob_set("rx3", "max_segment_bytes", 1ULL << 31);
	bench_rebind("rx3");
}

static void queue_depth_is_what_the_engine_gets(void **state)
{
	static const uint32_t depths[] = { 1, 2, 5, 64, 256 };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(depths); i++) {
		struct stream s = stream_open("rx0", &(struct sgring_setup){
			.slot_bytes = 4096, .slot_count = 300, .queue_depth = depths[i] });

		knob_set("rx0", "stall", 1);
		stream_start(&s);
		assert_int_equal(stats_of(s.fd).slots_engine, depths[i]);
		assert_int_equal(knob_get("rx0", "queued"), depths[i]);
		knob_set("rx0", "stall", 0);
		stream_run(&s, 400);
		assert_true(stats_of(s.fd).slots_engine <= depths[i]);
		stream_close(&s);
	}
}

/* ---- more than one ---- */

struct runner {
	pthread_t thread;
	struct stream s;
	unsigned int count;
	const char *why;
};

/* In a thread: cmocka's assertions are for the first one. */
static void *run_alone(void *arg)
{
	struct runner *r = arg;
	uint64_t position = 0;

	while (r->count--) {
		struct sgring_cqe e;
		struct sgring_sqe *sqe;

		if (!sgring_cq_ready(&r->s.cq) && !stream_wait(&r->s, 1, LONG_MS)) {
			r->why = "no entry";
			break;
		}
		e = *sgring_cq_peek(&r->s.cq, 0);
		sgring_cq_consume(&r->s.cq, 1);
		if (e.status || e.position_bytes != position || !stream_data_right(&r->s, &e)) {
			r->why = "a wrong entry";
			break;
		}
		position += e.length_bytes;
		sqe = sgring_sq_reserve(&r->s.sq);
		sqe->slot = e.slot;
		if (sgring_sq_submit(&r->s.sq))
			sg_kick(r->s.fd);
	}
	return NULL;
}

static void streams_do_not_mix(void **state)
{
	static const char * const labels[] = { "rx0", "rx1", "rx2", "rx3" };
	struct runner runners[ARRAY_SIZE(labels)] = {};
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(labels); i++) {
		runners[i].count = 80;
		runners[i].s = stream_open(labels[i], &(struct sgring_setup){
			.slot_bytes = SLOT, .slot_count = 8 });
		stream_start(&runners[i].s);
	}
	for (i = 0; i < ARRAY_SIZE(labels); i++)
		assert_int_equal(pthread_create(&runners[i].thread, NULL, run_alone,
						&runners[i]), 0);
	for (i = 0; i < ARRAY_SIZE(labels); i++)
		pthread_join(runners[i].thread, NULL);
	for (i = 0; i < ARRAY_SIZE(labels); i++)
		if (runners[i].why)
			fail_msg("%s: %s", labels[i], runners[i].why);
}

static void no_rule_of_an_engine_was_broken(void **state)
{
	(void)state;
	assert_int_equal(violations(), 0);
}

GROUP(TEST(flat_out_every_byte_is_right),
      TEST(paced_every_byte_is_right_without_kick_or_timer),
      TEST(slots_come_back_in_any_order_each_with_its_cookie),
      TEST(entry_tells_sequence_position_and_times),
      TEST(engine_slots_are_those_it_had_left),
      TEST(host_time_is_by_the_clock_of_the_setup),
      TEST(slot_table_follows_each_slot),
      TEST(generation_tells_whether_a_late_copy_is_whole),
      TEST(stall_is_told_counted_and_ended_by_a_returned_slot),
      TEST(starved_for_long_it_asks_for_a_kick_and_gets_it),
      TEST(the_longer_it_waits_the_less_it_looks),
      TEST(sq_idle_off_asks_at_once_without_timer),
      TEST(tune_changes_a_starved_stream),
      TEST(backlogged_it_needs_no_kicks),
      TEST(drop_policy_counts_exactly_in_the_entry_that_follows),
      TEST(drop_policy_counts_short_transfers_by_their_length),
      TEST(overflow_of_the_device_is_a_gap_of_its_exact_size),
      TEST(short_transfer_has_its_true_length),
      TEST(packets_of_any_length_stay_in_position),
      TEST(packet_longer_than_a_slot_ends_in_its_last),
      TEST(packet_as_long_as_a_slot_ends_in_each),
      TEST(slots_of_any_size_are_filled_to_the_byte),
      TEST(mixed_chunks_cover_a_slot_exactly),
      TEST(equal_chunks_are_equal),
      TEST(single_is_one_segment),
      TEST(chunk_bytes_is_the_largest_there_is),
      TEST(segments_keep_to_the_limits_of_the_engine),
      TEST(queue_depth_is_what_the_engine_gets),
      TEST(streams_do_not_mix),
      TEST(no_rule_of_an_engine_was_broken))

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What an application sees through libsgring, the same on the driver and on the
 * simulator: this program runs in the guest on the dummy (with common.h), and, built
 * with -DSIM by tests/unit, anywhere on "sim:". It uses nothing but sgring.h. Where
 * the two differ one of them is wrong.
 */
#ifdef SIM
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "pattern.h"
#else
#include "common.h"
#endif
#include <time.h>

#include "sgring.h"

#define SLOT 65536U
#define LONG 20000	/* ms: for what comes sooner or later */

/* What the device is to be like; 0: as it is. */
struct device {
	uint64_t rate;
	uint64_t fifo;
	uint64_t packet;
	bool first_fails;	/* in its middle, if slots are of SLOT bytes */
};

#ifdef SIM
/* Of a stream that both an owner and others find, of that device. */
static const char *name_of(const struct device *d)
{
	static char name[200];

	snprintf(name, sizeof(name), "sim:label=rx0,rate=%llu,fifo=%llu,packet=%llu%s",
		 (unsigned long long)d->rate, (unsigned long long)(d->fifo ? d->fifo : 1 << 20),
		 (unsigned long long)d->packet, d->first_fails ? ",fail=0" : "");
	return name;
}

#define TEST(f) cmocka_unit_test(f)
#define GROUP(...)								\
	int main(int argc, char **argv)						\
	{									\
		const struct CMUnitTest tests[] = { __VA_ARGS__ };		\
										\
		if (argc > 1)							\
			cmocka_set_test_filter(argv[1]);			\
		return cmocka_run_group_tests_name("both", tests, NULL, NULL);	\
	}
#else
static const char *name_of(const struct device *d)
{
	knob_set("rx0", "rate", d->rate);
	if (d->fifo)
		knob_set("rx0", "fifo_bytes", d->fifo);
	knob_set("rx0", "packet_bytes", d->packet);
	if (d->first_fails) {
		knob_set("rx0", "fail_after_bytes", SLOT / 2);
		knob_set("rx0", "fail_next", 1);
	}
	return "rx0";
}
#endif

#define FLAT_OUT (&(struct device){ .rate = 0 })

static struct sgring *opened(const struct device *d, const struct sgring_options *o)
{
	struct sgring *s;

	if (sgring_open(&s, name_of(d), o))
		fail_msg("%s", sgring_errmsg());
	return s;
}

static struct sgring *started(const struct device *d, const struct sgring_options *o)
{
	struct sgring *s = opened(d, o);

	if (sgring_start(s))
		fail_msg("%s", sgring_errmsg());
	return s;
}

static struct sgring_slot next(struct sgring *s)
{
	struct sgring_slot b;

	if (sgring_next(s, &b, LONG))
		fail_msg("%s", sgring_errmsg());
	if (!b.status)
		assert_int_equal(sgring_pattern_verify(b.data, b.length, sgring_pattern_key(0),
						       b.position), b.length);
	return b;
}

static void give_back(struct sgring *s, const struct sgring_slot *b)
{
	if (sgring_return(s, b))
		fail_msg("%s", sgring_errmsg());
}

/* Everything up to the end, given back; the end-of-stream entry. */
static struct sgring_slot the_end(struct sgring *s)
{
	struct sgring_slot b;
	int err;

	while (!(err = sgring_next(s, &b, LONG)))
		give_back(s, &b);
	assert_int_equal(err, -ENODATA);
	assert_true(b.flags & SGRING_EOS);
	assert_null(b.data);
	return b;
}

static struct sgring_stats stats_now(struct sgring *s)
{
	struct sgring_stats st;

	assert_int_equal(sgring_stats(s, &st), 0);
	return st;
}

static void defaults_are_the_same(void **state)
{
	struct sgring *s = opened(FLAT_OUT, NULL);
	const struct sgring_setup *u = sgring_setup(s);
	const struct sgring_geometry *g = sgring_geometry(s);

	(void)state;
	assert_int_equal(u->slot_bytes, 1 << 20);
	assert_int_equal(u->slot_count, 16);
	assert_int_equal(u->queue_depth, 4);
	assert_int_equal(u->wake_slots, 2);
	assert_int_equal(u->wake_usec, 1000);
	assert_int_equal(u->sq_poll_usec, 500);
	assert_int_equal(u->sq_idle_usec, 5000000);
	assert_int_equal(u->gate_report_ms, 10000);
	assert_int_equal(u->clock, SGRING_CLOCK_MONOTONIC);
	assert_int_equal(g->stride_bytes, 1 << 20);
	assert_int_equal(g->data_bytes, 16 << 20);
	assert_int_equal(g->cq_entries, 32);
	assert_int_equal(g->sq_entries, 16);
	assert_int_equal(g->cq_stride, 64);
	assert_int_equal(g->sq_stride, 32);
	assert_int_equal(sgring_close(s), 0);
}

static void refusals_have_the_same_number_and_line(void **state)
{
	static const struct {
		struct sgring_options o;
		int err;
		const char *line;
	} refused[] = {
		{ { .slot_count = 1 }, -ERANGE, "slot_count of 1: from 2 to 65536" },
		{ { .slot_count = 65537 }, -ERANGE, "slot_count of 65537: from 2 to 65536" },
		{ { .slot_bytes = (1ULL << 30) + 1, .slot_count = 2 }, -ERANGE,
		  "slot_bytes of 1073741825: at most 1073741824" },
		{ { .chunk_bytes = 4096 * 3 }, -EINVAL,
		  "chunk_bytes of 12288: a power of two, at least 4096" },
		{ { .chunk_bytes = 2048 }, -EINVAL,
		  "chunk_bytes of 2048: a power of two, at least 4096" },
		{ { .chunk_bytes = 1ULL << 40 }, -ERANGE, "chunk_bytes of 1099511627776: at most " },
		{ { .chunk_bytes = 4096, .chunk_policy = SGRING_CHUNK_SINGLE }, -EINVAL,
		  "chunk_bytes with single-segment slots" },
		{ { .chunk_policy = 3 }, -EINVAL, "no such chunk policy: 3" },
		{ { .overrun = 2 }, -EINVAL, "no such overrun policy: 2" },
		{ { .clock = 5 }, -EINVAL, "no such clock: 5" },
		{ { .setup_flags = 0x80 }, -EINVAL, "unknown flag in 0x80" },
		{ { .numa_node = 1 }, -EINVAL, "numa_node without SGRING_SETUP_NUMA_NODE" },
		{ { .numa_node = 5000, .setup_flags = SGRING_SETUP_NUMA_NODE }, -ERANGE,
		  "no such NUMA node: 5000" },
		{ { .queue_depth = 5, .slot_count = 4 }, -ERANGE,
		  "queue_depth of 5: at most 4 for this engine and slot_count" },
		{ { .wake_slots = 5, .slot_count = 4 }, -ERANGE,
		  "wake_slots of 5: at most slot_count, 4" },
		{ { .wake_usec = 60000001 }, -ERANGE, "wake_usec of 60000001: from 1 to 60000000" },
		{ { .sq_poll_usec = 19 }, -ERANGE, "sq_poll_usec of 19: from 20 to 60000000" },
		{ { .sq_poll_usec = SGRING_OFF }, -ERANGE, "sq_poll_usec of 4294967295: from 20" },
	};
	struct sgring_options o;
	struct sgring *s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		o = refused[i].o;
		o.size = sizeof(o);
		assert_int_equal(sgring_open(&s, name_of(FLAT_OUT), &o), refused[i].err);
		if (!strstr(sgring_errmsg(), refused[i].line))
			fail_msg("\"%s\" says nothing of \"%s\"", sgring_errmsg(), refused[i].line);
	}
}

static void slots_come_in_order_and_whole(void **state)
{
	struct sgring *s = started(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT));
	uint64_t i, device = 0;
	struct sgring_slot b;

	(void)state;
	for (i = 0; i < 300; i++) {
		b = next(s);
		assert_int_equal(b.sequence, i);
		assert_int_equal(b.position, i * SLOT);
		assert_int_equal(b.length, SLOT);
		assert_int_equal(b.flags & ~(SGRING_STALL | SGRING_DEVICE_TIME), 0);
		assert_int_equal(b.lost, 0);
		if (b.flags & SGRING_DEVICE_TIME)
			assert_true(b.device_time_ns >= device);
		device = b.device_time_ns;
		assert_true(b.engine_slots <= 3);
		give_back(s, &b);
	}
	assert_int_equal(sgring_close(s), 0);
}

static void odd_sizes_lie_whole_pages_apart(void **state)
{
	static const uint64_t sizes[] = { 1, 4095, 4097, SLOT + 100 };
	struct sgring_slot a, b;
	struct sgring *s;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		s = started(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = sizes[i], .slot_count = 4));
		a = next(s);
		b = next(s);
		assert_int_equal(b.data - a.data, (sizes[i] + 4095) / 4096 * 4096);
		assert_int_equal(a.length, sizes[i]);
		assert_int_equal(b.position, sizes[i]);
		assert_int_equal(sgring_close(s), 0);
	}
}

static void layout_is_the_whole_slot(void **state)
{
	struct sgring *s = opened(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = (1 << 20) + 4096,
							   .slot_count = 3));
	const struct sgring_geometry *g = sgring_geometry(s);
	struct sgring_run runs[64];
	uint64_t at;
	uint32_t slot;
	int n, i;

	(void)state;
	for (slot = 0; slot < 3; slot++) {
		n = sgring_layout(s, slot, runs, 64);
		assert_in_range(n, 1, 64);
		for (i = 0, at = 0; i < n; i++) {
			assert_int_equal(runs[i].offset_bytes, at);
			assert_in_range(runs[i].chunk_bytes, g->chunk_bytes_min, g->chunk_bytes_max);
			at += runs[i].chunk_bytes * runs[i].chunks;
		}
		assert_int_equal(at, g->stride_bytes);
		assert_int_equal(sgring_layout(s, slot, NULL, 0), n);
	}
	assert_int_equal(sgring_layout(s, 3, runs, 64), -ERANGE);
	sgring_close(s);
}

static void packets_end_slots(void **state)
{
	struct sgring *s = started(&(struct device){ .packet = 100000 },
				   SGRING_OPTIONS(.slot_bytes = SLOT));
	struct sgring_slot b;
	int i;

	(void)state;
	for (i = 0; i < 40; i++) {
		b = next(s);
		assert_int_equal(b.length, i & 1 ? 100000 - SLOT : SLOT);
		assert_int_equal(b.flags & SGRING_EOP, i & 1 ? SGRING_EOP : 0);
		assert_int_equal(b.position, i / 2 * 100000 + (i & 1) * SLOT);
		give_back(s, &b);
	}
	assert_true(stats_now(s).short_slots >= 20);
	assert_int_equal(sgring_close(s), 0);
}

/* Nobody gives slots back for a while: what was lost lies in one place, counted. */
static void overflow_is_counted_exactly(void **state)
{
	struct sgring *s = started(&(struct device){ .rate = 4 << 20, .fifo = SLOT },
				   SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 4));
	uint64_t position = 0, lost = 0;
	struct sgring_slot b[4];
	struct sgring_stats st;
	int i, gaps = 0;

	(void)state;
	for (i = 0; i < 4; i++) {
		b[i] = next(s);
		assert_int_equal(b[i].lost, b[i].position - position);
		position = b[i].position + b[i].length;
		lost += b[i].lost;
		gaps += b[i].lost > 0;
	}
	/* 64 KiB in 16 ms: the FIFO is full after as many, and then it loses. */
	usleep(100000);
	for (i = 0; i < 4; i++)
		give_back(s, &b[i]);
	for (i = 0; i < 40; i++) {
		b[0] = next(s);
		assert_int_equal(b[0].lost, b[0].position - position);
		assert_int_equal(!!(b[0].flags & SGRING_GAP), b[0].lost > 0);
		gaps += b[0].lost > 0;
		lost += b[0].lost;
		position = b[0].position + b[0].length;
		give_back(s, &b[0]);
	}
	assert_true(gaps >= 1);
	assert_true(lost > 0);
	assert_int_equal(sgring_stop(s, 0, 0), 0);
	b[0] = the_end(s);
	st = stats_now(s);
	assert_true(st.lost_bytes >= lost);
	assert_true(st.stalls >= 1);
	assert_int_equal(st.dropped_slots, 0);
	assert_int_equal(b[0].position, st.bytes_done + st.lost_bytes);
	assert_int_equal(sgring_close(s), 1);
}

static void drops_are_counted_exactly(void **state)
{
	struct sgring *s = started(&(struct device){ .rate = 8 << 20 },
				   SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 4,
						  .overrun = SGRING_OVERRUN_DROP));
	struct sgring_slot b[4], c;
	struct sgring_stats st;
	uint64_t dropped;
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		b[i] = next(s);
	while (stats_now(s).dropped_slots < 3)
		usleep(1000);
	for (i = 0; i < 4; i++)
		give_back(s, &b[i]);
	c = next(s);
	assert_true(c.flags & SGRING_GAP);
	dropped = c.sequence - 4;
	assert_true(dropped >= 3);
	/* More if the device's own FIFO ran over, on a machine that let it wait. */
	assert_in_range(c.lost, dropped * SLOT, dropped * SLOT + stats_now(s).lost_bytes);
	assert_int_equal(c.position, b[3].position + SLOT + c.lost);
	assert_int_equal(sgring_stop(s, 0, 0), 0);
	c = the_end(s);
	st = stats_now(s);
	assert_true(st.dropped_slots >= dropped);
	assert_int_equal(st.dropped_bytes, st.dropped_slots * SLOT);
	assert_int_equal(c.position, st.bytes_done + st.dropped_bytes + st.lost_bytes);
	assert_int_equal(st.stalls, 0);
	assert_int_equal(sgring_close(s), 1);
}

static void failed_transfer_is_told_and_its_bytes_are_lost(void **state)
{
	struct sgring *s = started(&(struct device){ .first_fails = true },
				   SGRING_OPTIONS(.slot_bytes = SLOT));
	struct sgring_slot b;

	(void)state;
	b = next(s);
	assert_int_equal(b.status, -EIO);
	assert_int_equal(b.length, 0);
	assert_int_equal(b.position, 0);
	give_back(s, &b);
	b = next(s);
	assert_int_equal(b.status, 0);
	assert_int_equal(b.lost, SLOT / 2);
	assert_int_equal(b.position, SLOT / 2);
	assert_int_equal(b.sequence, 1);
	assert_true(b.flags & SGRING_GAP);
	assert_int_equal(stats_now(s).engine_errors, 1);
	assert_int_equal(stats_now(s).lost_bytes, SLOT / 2);
	assert_int_equal(sgring_close(s), 1);
}

static void a_drain_delivers_what_has_come(void **state)
{
	struct sgring *s = started(&(struct device){ .rate = 8 << 10 },
				   SGRING_OPTIONS(.slot_bytes = 1 << 20, .slot_count = 4));
	struct sgring_slot b;
	int outcome;

	(void)state;
	usleep(300000);
	outcome = sgring_stop(s, SGRING_STOP_DRAIN, LONG);
	assert_int_equal(outcome, SGRING_STOPPED_PARTIAL);
	b = next(s);
	assert_true(b.flags & SGRING_CQE_PARTIAL);
	assert_false(b.flags & SGRING_EOP);
	assert_in_range(b.length, 1, (1 << 20) - 1);
	assert_int_equal(the_end(s).position, b.length);
	assert_int_equal(sgring_close(s), 0);
}

static void an_abort_delivers_whole_slots_alone(void **state)
{
	struct sgring *s = started(&(struct device){ .rate = 8 << 10 },
				   SGRING_OPTIONS(.slot_bytes = 1 << 20, .slot_count = 4));
	struct sgring_slot b;

	(void)state;
	usleep(100000);
	assert_int_equal(sgring_stop(s, 0, 0), 0);
	b = the_end(s);
	assert_int_equal(b.sequence, 0);
	assert_int_equal(b.position, 0);
	assert_int_equal(b.status, 0);
	assert_int_equal(stats_now(s).slots_free, 4);
	assert_int_equal(sgring_close(s), 0);
}

static void epochs_begin_at_zero_on_the_same_memory(void **state)
{
	struct sgring *s = opened(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 8));
	struct sgring_slot b, held;
	int round, i;

	(void)state;
	assert_int_equal(sgring_next(s, &b, 10), -EBADFD);
	for (round = 0; round < 4; round++) {
		if (round & 1)
			assert_int_equal(sgring_arm(s), 0);
		assert_int_equal(sgring_start(s), 0);
		assert_int_equal(sgring_start(s), -EBADFD);
		held = next(s);
		for (i = 1; i < 30; i++) {
			b = next(s);
			assert_int_equal(b.sequence, i);
			assert_int_equal(b.position, i * SLOT);
			give_back(s, &b);
		}
		assert_true(sgring_stop(s, round & 2 ? SGRING_STOP_DRAIN : 0, 0) >= 0);
		assert_int_equal(sgring_stop(s, 0, 0), -EBADFD);
		the_end(s);
		assert_int_equal(sgring_next(s, &b, LONG), -ENODATA);
		/* One slot was kept over the end: it is still ours, and whole. */
		assert_int_equal(sgring_pattern_verify(held.data, held.length, sgring_pattern_key(0),
						       held.position), held.length);
		give_back(s, &held);
		assert_int_equal(stats_now(s).epoch, round + 1);
	}
	assert_int_equal(sgring_close(s), 0);
}

static void slots_come_back_in_any_order_with_their_cookies(void **state)
{
	struct sgring *s = started(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 4));
	struct sgring_slot b[4], c;
	int i, round;

	(void)state;
	for (round = 0; round < 20; round++) {
		for (i = 0; i < 4; i++) {
			b[i] = next(s);
			assert_int_equal(b[i].cookie, round ? 1000 + b[i].index : 0);
			b[i].cookie = 1000 + b[i].index;
		}
		for (i = 0; i < 4; i++)
			give_back(s, &b[(i * 3 + round) % 4]);
	}
	c = next(s);
	/* The same twice: the second is counted, and no more. */
	give_back(s, &c);
	assert_int_equal(sgring_stop(s, 0, 0), 0);
	the_end(s);
	assert_int_equal(sgring_arm(s), 0);
	assert_int_equal(stats_now(s).sq_bad, 0);
	sgring_stop(s, 0, 0);
	the_end(s);
	give_back(s, &c);
	assert_int_equal(sgring_arm(s), 0);
	assert_int_equal(stats_now(s).sq_bad, 1);
	assert_int_equal(sgring_close(s), 0);
}

/* Whoever is asked to kick, kicks; whoever is not, does not. */
static void need_wakeup_is_raised_when_nobody_looks(void **state)
{
	struct sgring *s = started(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 2,
							    .sq_idle_usec = SGRING_OFF));
	const struct sgring_kernel_side *kernel = sgring_rings(s)->sq.kernel;
	struct sgring_counters c;
	struct sgring_slot a, b;
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		a = next(s);
		b = next(s);
		while (!(sgring_load_relaxed(&kernel->flags) & SGRING_NEED_WAKEUP))
			usleep(100);
		assert_true(sgring_load_relaxed(&kernel->flags) & SGRING_STARVED);
		/* Both at once: nobody finds the second while it is not flushed yet. */
		assert_int_equal(sgring_put(s, a.index, 0), 0);
		assert_int_equal(sgring_put(s, b.index, 0), 0);
		assert_int_equal(sgring_flush(s), 0);
	}
	sgring_counters(s, &c);
	assert_int_equal(c.kicks, 20);
	assert_int_equal(stats_now(s).kicks, c.kicks);
	assert_int_equal(stats_now(s).timer_runs, 0);
	sgring_close(s);

	s = started(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 2,
					     .sq_idle_usec = 60000000));
	for (i = 0; i < 50; i++) {
		a = next(s);
		b = next(s);
		while (!(stats_now(s).flags & SGRING_STATS_STARVED))
			usleep(100);
		give_back(s, &a);
		give_back(s, &b);
	}
	sgring_counters(s, &c);
	assert_int_equal(c.kicks, 0);
	assert_true(stats_now(s).timer_hits > 0);
	assert_true(stats_now(s).timer_runs >= stats_now(s).timer_hits);
	assert_true(stats_now(s).stalled_ns > 0);
	sgring_close(s);
}

/* The longer a stall is the rarer it is looked at: every 16 ms in the end. */
static void long_stalls_cost_few_timer_runs(void **state)
{
	struct sgring *s = started(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 2,
							    .sq_poll_usec = 100,
							    .sq_idle_usec = 60000000));
	struct sgring_stats st;

	(void)state;
	next(s);
	next(s);
	do {
		usleep(10000);
		st = stats_now(s);
	} while (st.stalled_ns < 1000000000);
	/* A quarter of what it has waited: some 30 until then; however late they are. */
	assert_in_range(st.timer_runs, 1, 40 + st.stalled_ns / 16000000);
	assert_int_equal(st.timer_hits, 0);
	sgring_close(s);
}

static void slots_are_all_accounted_for(void **state)
{
	struct sgring *s = started(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 8));
	struct sgring_stats st;
	struct sgring_slot b;
	uint32_t i;

	(void)state;
	for (i = 0; i < 100; i++) {
		b = next(s);
		if (i >= 5)
			give_back(s, &b);
		st = stats_now(s);
		assert_int_equal(st.slots_free + st.slots_engine + st.slots_app + st.slots_gated, 8);
		assert_true(st.slots_done >= i + 1);
		assert_int_equal(st.bytes_done, st.slots_done * SLOT);
		assert_int_equal(st.state, SGRING_STATE_RUNNING);
	}
	assert_int_equal(sgring_close(s), 0);
}

static bool readable(struct sgring *s, int timeout_ms)
{
	struct pollfd p = { .fd = sgring_fd(s), .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1 && p.revents & POLLIN;
}

/* As an event loop sees it: by poll() itself. */
static void descriptor_is_readable_for_a_batch(void **state)
{
	struct sgring *s = started(&(struct device){ .rate = 4 << 20 },
				   SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16, .wake_slots = 4,
						  .wake_usec = SGRING_OFF));
	struct sgring_slot b;
	int i, round, n;

	(void)state;
	for (round = 0; round < 5; round++) {
		assert_true(readable(s, LONG));
		assert_true(sgring_ready(s) >= 4);
		for (n = 0; !sgring_next(s, &b, 0); n++)
			give_back(s, &b);
		assert_true(n >= 4);
	}
	/* No batch can be complete any more: it is readable for less. */
	for (i = 0; i < 13; i++)
		b = next(s);
	assert_true(readable(s, LONG));
	for (; i < 16; i++)
		b = next(s);
	assert_int_equal(sgring_next(s, &b, 0), -ETIMEDOUT);
	assert_false(readable(s, 20));
	assert_int_equal(sgring_stop(s, 0, 0), 0);
	assert_true(readable(s, LONG));
	the_end(s);
	sgring_close(s);
}

/* Its time begins with its own first slot, not with that of a batch that was complete. */
static void a_batch_has_its_time(void **state)
{
	const uint64_t time_ns = 200000000;
	struct sgring *s = started(&(struct device){ .rate = 4 << 20 },
				   SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 64, .wake_slots = 8,
						  .wake_usec = time_ns / 1000));
	struct sgring_slot b;
	struct timespec now;
	int round, n;

	(void)state;
	for (round = 0; round < 12; round++) {
		assert_true(readable(s, LONG));
		clock_gettime(CLOCK_MONOTONIC, &now);
		assert_int_equal(sgring_next(s, &b, 0), 0);
		n = sgring_ready(s) + 1;
		/* Who was away for so long that the engine ran dry is woken for that. */
		if (n < 8 && !stats_now(s).stalls)
			assert_true((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec >=
				    b.time_ns + time_ns);
		do
			give_back(s, &b);
		while (!sgring_next(s, &b, 0));
	}
	sgring_close(s);
}

static void time_ends_a_batch_too(void **state)
{
	struct sgring *s = started(&(struct device){ .rate = 4 << 20 },
				   SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 256,
						  .wake_slots = 256, .wake_usec = 1000));
	struct sgring_tune t = { .wake_usec = 500, .wake_slots = 0 };
	struct sgring_slot b;
	int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		b = next(s);
		give_back(s, &b);
	}
	assert_int_equal(sgring_tune(s, &t), 0);
	assert_int_equal(t.wake_usec, 500);
	assert_int_equal(t.wake_slots, 256);
	assert_int_equal(t.sq_poll_usec, 500);
	t = (struct sgring_tune){ .wake_slots = 257 };
	assert_int_equal(sgring_tune(s, &t), -ERANGE);
	t = (struct sgring_tune){ .sq_poll_usec = 1 };
	assert_int_equal(sgring_tune(s, &t), -ERANGE);
	t = (struct sgring_tune){ .gate = 3 };
	assert_int_equal(sgring_tune(s, &t), -EINVAL);
	t = (struct sgring_tune){ .gate = SGRING_GATE_OFF };
	assert_int_equal(sgring_tune(s, &t), 0);
	assert_int_equal(t.gate, SGRING_GATE_OFF);
	assert_false(stats_now(s).flags & SGRING_STATS_GATE);
	sgring_close(s);
}

static uint64_t sum(const __u64 *buckets, unsigned int first, unsigned int count)
{
	uint64_t all = 0;

	while (count--)
		all += buckets[first++];
	return all;
}

static void the_time_the_application_had_slots_is_told(void **state)
{
	struct sgring_slot held, b;
	struct sgring_stats st;
	struct timespec begin, end;
	struct sgring *s;
	uint64_t most;
	int i;

	(void)state;
	s = opened(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT));
	clock_gettime(CLOCK_MONOTONIC, &begin);
	assert_int_equal(sgring_start(s), 0);
	held = next(s);
	assert_int_equal(sum(stats_now(s).app_usec_log2, 0, SGRING_USEC_LOG2), 0);
	for (i = 0; i < 50; i++) {
		b = next(s);
		give_back(s, &b);
	}
	/* 20 ms are more than 2^14 us. */
	usleep(20000);
	give_back(s, &held);
	for (i = 0; i < 100; i++) {
		b = next(s);
		give_back(s, &b);
	}
	st = stats_now(s);
	clock_gettime(CLOCK_MONOTONIC, &end);
	most = (uint64_t)(end.tv_sec - begin.tv_sec + 1) * 1000000;
	assert_true(st.sq_taken > 100);
	assert_int_equal(sum(st.app_usec_log2, 0, SGRING_USEC_LOG2), st.sq_taken);
	assert_true(sum(st.app_usec_log2, 15, SGRING_USEC_LOG2 - 15) >= 1);
	/* Nobody had one for longer than we have been here. */
	for (i = 1; i < (int)SGRING_USEC_LOG2; i++)
		if (1ULL << (i - 1) > most)
			assert_int_equal(st.app_usec_log2[i], 0);
	sgring_close(s);
}

static void observers_look_on(void **state)
{
	const char *name = name_of(FLAT_OUT);
	struct sgring *s, *o, *second;
	struct sgring_query q;
	struct sgring_cqe e;
	struct sgring_slot b;
	uint64_t missed;
	int i, seen = 0;

	(void)state;
	s = opened(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT));
	assert_int_equal(sgring_open(&second, name, NULL), -EBUSY);
	assert_non_null(strstr(sgring_errmsg(), "somebody else owns this stream"));
	assert_int_equal(sgring_observe(&o, name), 0);
	assert_int_equal(sgring_query(o, &q), 0);
	assert_string_equal(q.label, "rx0");
	assert_int_equal(q.state, SGRING_STATE_READY);
	assert_true(q.features & SGRING_FEAT_LENGTH && q.features & SGRING_FEAT_LOST_COUNTER);
	assert_int_equal(sgring_follow(o, &e, &missed), 0);
	assert_int_equal(sgring_start(s), 0);
	for (i = 0; i < 10; i++) {
		b = next(s);
		give_back(s, &b);
		while (sgring_follow(o, &e, &missed) == 1) {
			assert_int_equal(missed, 0);
			assert_int_equal(e.sequence, seen);
			seen++;
		}
	}
	assert_true(seen >= 10);
	assert_int_equal(sgring_geometry(o)->slot_bytes, SLOT);
	assert_true(stats_now(o).slots_done >= 10);
	assert_int_equal(sgring_next(o, &b, 0), -EPERM);
	assert_int_equal(sgring_start(o), -EPERM);
	assert_int_equal(sgring_kick(o), -EPERM);
	sgring_close(s);
	/* What it had mapped is still there. */
	assert_int_equal(sgring_slot_info(o, 0)->sequence % 16, 0);
	assert_int_equal(sgring_query(o, &q), 0);
	assert_int_equal(q.state, SGRING_STATE_IDLE);
	sgring_close(o);
}

static void clocks_are_the_ones_asked_for(void **state)
{
	static const clockid_t clocks[] = { CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_TAI,
					    CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW };
	struct timespec before, after;
	struct sgring_slot b;
	struct sgring *s;
	uint32_t i;

	(void)state;
	for (i = 0; i < 5; i++) {
		s = opened(FLAT_OUT, SGRING_OPTIONS(.slot_bytes = SLOT, .clock = i));
		clock_gettime(clocks[i], &before);
		assert_int_equal(sgring_start(s), 0);
		b = next(s);
		clock_gettime(clocks[i], &after);
		assert_in_range(b.time_ns, before.tv_sec * 1000000000ULL + before.tv_nsec,
				after.tv_sec * 1000000000ULL + after.tv_nsec);
		sgring_close(s);
	}
}

GROUP(TEST(defaults_are_the_same),
      TEST(refusals_have_the_same_number_and_line),
      TEST(slots_come_in_order_and_whole),
      TEST(odd_sizes_lie_whole_pages_apart),
      TEST(layout_is_the_whole_slot),
      TEST(packets_end_slots),
      TEST(overflow_is_counted_exactly),
      TEST(drops_are_counted_exactly),
      TEST(failed_transfer_is_told_and_its_bytes_are_lost),
      TEST(a_drain_delivers_what_has_come),
      TEST(an_abort_delivers_whole_slots_alone),
      TEST(epochs_begin_at_zero_on_the_same_memory),
      TEST(slots_come_back_in_any_order_with_their_cookies),
      TEST(need_wakeup_is_raised_when_nobody_looks),
      TEST(long_stalls_cost_few_timer_runs),
      TEST(slots_are_all_accounted_for),
      TEST(descriptor_is_readable_for_a_batch),
      TEST(a_batch_has_its_time),
      TEST(time_ends_a_batch_too),
      TEST(the_time_the_application_had_slots_is_told),
      TEST(observers_look_on),
      TEST(clocks_are_the_ones_asked_for))

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The library against the simulator: what an application may count on. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "pattern.h"
#include "sim.h"

/* The library's own copies of what is inline. */
extern int sgring_next_symbol(struct sgring *s, struct sgring_slot *slot, int timeout_ms)
	__asm__("sgring_next");
extern int sgring_return_symbol(struct sgring *s, const struct sgring_slot *slot)
	__asm__("sgring_return");

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct sgring_stats stats_of(struct sim *sim)
{
	struct sgring_stats stats;

	sim_stats(sim, &stats);
	return stats;
}

/* A started stream on a simulator with that plan already in *sim-> */
static struct sgring *started(struct sim *sim, const struct sgring_options *o)
{
	struct sgring *s;

	if (sim_open(sim, &s, o))
		fail_msg("%s", sgring_errmsg());
	assert_int_equal(sgring_start(s), 0);
	return s;
}

static void assert_pattern(const struct sgring_slot *b)
{
	assert_int_equal(sgring_pattern_verify(b->data, b->length, sgring_pattern_key(0),
					       b->position), b->length);
}

static void slots_arrive_in_order_and_whole(void **state)
{
	struct sgring_slot b;
	uint64_t i, position = 0;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 1000;
	s = started(sim, NULL);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(b.sequence, i);
		assert_int_equal(b.position, position);
		assert_int_equal(b.lost, 0);
		assert_int_equal(b.flags & SGRING_GAP, 0);
		assert_pattern(&b);
		position += b.length;
		assert_int_equal(sgring_return(s, &b), 0);
	}
	assert_int_equal(sgring_close(s), 0);
	assert_int_equal(stats_of(sim).sq_bad, 0);
	assert_int_equal(sim->closes, 1);
	sim_free(sim);
}

static void indices_that_wrap_change_nothing(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	uint64_t i;

	(void)state;
	sim = sim_new();
	sim->plan.first_index = 0xffffffffU - 100;
	sim->plan.pause_at = 500;
	s = started(sim, NULL);
	for (i = 0; i < 500; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(b.sequence, i);
		assert_pattern(&b);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	assert_int_equal(sgring_close(s), 0);
	assert_int_equal(stats_of(sim).sq_bad, 0);
	sim_free(sim);
}

/* A kernel of a later version, played by hand: its entries are longer than we know. */
struct later {
	struct sgring_backend be;	/* first */
	struct sgring_kernel_side kernel;
	struct { struct sgring_cqe e; uint64_t more[4]; } cq[4];
	struct sgring_slot_info table[2];
	struct sgring_user_side user;
	struct { struct sgring_sqe e; uint64_t more[4]; } sq[2];
	unsigned char data[2][4096];
};

static int later_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	struct sgring_geometry *g = arg;

	(void)be;
	(void)fd;
	if (request != SGRING_GEOMETRY)
		return 0;
	*g = (struct sgring_geometry){
		.size = g->size, .slot_count = 2, .slot_bytes = 4096, .stride_bytes = 4096,
		.kernel_offset = offsetof(struct later, kernel),
		.kernel_bytes = offsetof(struct later, user) - offsetof(struct later, kernel),
		.cq_offset = offsetof(struct later, cq) - offsetof(struct later, kernel),
		.cq_entries = 4, .cq_stride = sizeof(((struct later *)0)->cq[0]),
		.table_offset = offsetof(struct later, table) - offsetof(struct later, kernel),
		.table_stride = sizeof(struct sgring_slot_info),
		.user_offset = offsetof(struct later, user),
		.user_bytes = offsetof(struct later, data) - offsetof(struct later, user),
		.sq_offset = offsetof(struct later, sq) - offsetof(struct later, user),
		.sq_entries = 2, .sq_stride = sizeof(((struct later *)0)->sq[0]),
		.data_offset = offsetof(struct later, data), .data_bytes = 2 * 4096,
	};
	return 0;
}

static int later_open(const struct sgring_backend *be, const char *path, int flags)
{
	(void)be;
	(void)path;
	(void)flags;
	return 1000000;
}

static int later_close(const struct sgring_backend *be, int fd)
{
	(void)be;
	return fd == 1000000 ? 0 : -EBADF;
}

static int later_map(const struct sgring_backend *be, int fd, uint64_t offset, size_t bytes,
		     int prot, void **where)
{
	(void)fd;
	(void)bytes;
	(void)prot;
	*where = (char *)(uintptr_t)be + offset;
	return 0;
}

static void later_unmap(const struct sgring_backend *be, void *where, size_t bytes)
{
	(void)be;
	(void)where;
	(void)bytes;
}

static void longer_strides_are_the_kernels_to_choose(void **state)
{
	struct later *k = calloc(1, sizeof(*k));
	struct sgring_slot b;
	struct sgring *s;
	uint32_t i;

	(void)state;
	k->be = (struct sgring_backend){
		.open = later_open, .close = later_close, .ioctl = later_ioctl,
		.map = later_map, .unmap = later_unmap, .literal_names = 1,
	};
	assert_int_equal(sgring_open_backend(&s, "later", NULL, &k->be), 0);
	for (i = 0; i < 10; i++) {
		memset(k->cq[i % 4].more, 0xff, sizeof(k->cq[i % 4].more));
		k->cq[i % 4].e = (struct sgring_cqe){ .sequence = i, .slot = i % 2, .cookie = 100 + i,
						      .length_bytes = 10 + i };
		sgring_store_release(&k->kernel.cq_producer, i + 1);
		if (i % 3) {
			assert_int_equal(sgring_next(s, &b, 0), 0);
			assert_int_equal(b.sequence, i);
			assert_int_equal(b.cookie, 100 + i);
			assert_ptr_equal(b.data, k->data[i % 2]);
			assert_int_equal(sgring_return(s, &b), 0);
		} else {
			assert_int_equal(sgring_ready(s), 1);
			assert_int_equal(sgring_return_ready(s, 1), 0);
		}
		assert_int_equal(k->user.sq_producer, i + 1);
		assert_int_equal(k->user.cq_consumer, i + 1);
		assert_int_equal(k->sq[i % 2].e.slot, i % 2);
		assert_int_equal(k->sq[i % 2].e.cookie, 100 + i);
		assert_int_equal(k->sq[i % 2].e.reserved, 0);
		k->kernel.sq_consumer = i + 1;
	}
	sgring_close(s);
	free(k);
}

static void odd_slot_sizes_lie_a_whole_page_apart(void **state)
{
	static const uint64_t sizes[] = { 1, 4095, 4097, 65536 + 100 };
	struct sgring_slot a, b;
	struct sgring *s;
	struct sim *sim;
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		sim = sim_new();
		s = started(sim, SGRING_OPTIONS(.slot_bytes = sizes[i], .slot_count = 4));
		assert_int_equal(sgring_next(s, &a, 20000), 0);
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(a.length, sizes[i]);
		assert_int_equal((b.data - a.data) % 4096, 0);
		assert_pattern(&a);
		assert_pattern(&b);
		sgring_close(s);
		sim_free(sim);
	}
}

static void slots_may_come_back_in_any_order_and_cookies_travel(void **state)
{
	struct sgring_slot b[4], c;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 8;
	s = started(sim, SGRING_OPTIONS(.slot_count = 4));
	for (i = 0; i < 4; i++) {
		assert_int_equal(sgring_next(s, &b[i], 20000), 0);
		assert_int_equal(b[i].cookie, 0);
		b[i].cookie = 0x1122334400000000 + b[i].index;
	}
	for (i = 3; i >= 0; i--)
		assert_int_equal(sgring_return(s, &b[(i + 2) % 4]), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(sgring_next(s, &c, 20000), 0);
		assert_int_equal(c.cookie, 0x1122334400000000 + c.index);
	}
	assert_int_equal(stats_of(sim).sq_bad, 0);
	sgring_close(s);
	sim_free(sim);
}

static void gap_is_told_once_with_its_size_and_close_says_lost(void **state)
{
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.gap_at = 3;
	sim->plan.gap_bytes = 12345;
	sim->plan.pause_at = 6;
	s = started(sim, NULL);
	for (i = 0; i < 6; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(b.lost, i == 3 ? 12345 : 0);
		assert_int_equal(!!(b.flags & SGRING_GAP), i == 3);
		assert_pattern(&b);
		sgring_return(s, &b);
	}
	sgring_counters(s, &c);
	assert_int_equal(c.lost_bytes, 12345);
	assert_int_equal(sgring_close(s), 1);
	sim_free(sim);
}

static void gap_before_the_first_slot_counts_in_every_epoch(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int round;

	(void)state;
	sim = sim_new();
	sim->plan.gap_at = 0;
	sim->plan.gap_bytes = 1000;
	sim->plan.pause_at = 1;
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	for (round = 0; round < 3; round++) {
		assert_int_equal(sgring_start(s), 0);
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(b.lost, 1000);
		assert_int_equal(b.position, 1000);
		sgring_return(s, &b);
		sgring_stop(s, 0, 0);
		assert_int_equal(sgring_next(s, &b, 20000), -ENODATA);
		assert_int_equal(b.lost, 0);
	}
	assert_int_equal(sgring_close(s), 1);
	sim_free(sim);
}

static void bytes_dropped_at_the_very_end_are_not_forgotten(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.pace_ns = 1000000;
	sim->plan.pause_at = 8;
	s = started(sim, SGRING_OPTIONS(.slot_count = 4, .overrun = SGRING_OVERRUN_DROP));
	for (i = 0; i < 4; i++)
		assert_int_equal(sgring_next(s, &b, 20000), 0);
	/* All slots are ours: the rest of the eight is dropped. */
	while (stats_of(sim).dropped_slots < 4)
		usleep(1000);
	assert_int_equal(sgring_next(s, &b, 0), -ETIMEDOUT);
	assert_true(sgring_stop(s, SGRING_STOP_DRAIN, 0) >= 0);
	assert_int_equal(sgring_next(s, &b, 20000), -ENODATA);
	assert_true(b.flags & SGRING_EOS);
	assert_int_equal(b.lost, 4 * 65536);
	assert_int_equal(sgring_close(s), 1);
	sim_free(sim);
}

static void failed_transfer_has_a_status_and_close_says_lost(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.fail_at = 0;
	s = started(sim, NULL);
	assert_int_equal(sgring_next(s, &b, 20000), 0);
	assert_int_equal(b.status, -EIO);
	assert_int_equal(b.length, 0);
	assert_int_equal(sgring_next(s, &b, 20000), 0);
	assert_int_equal(b.status, 0);
	assert_int_equal(sgring_close(s), 1);
	sim_free(sim);
}

static void short_slot_has_its_true_length_and_end_of_packet(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.eop_at = 1;
	s = started(sim, NULL);
	sgring_next(s, &b, 5000);
	assert_int_equal(sgring_next(s, &b, 20000), 0);
	assert_true(b.flags & SGRING_EOP);
	assert_int_equal(b.length, 32768);
	assert_int_equal(sgring_next(s, &b, 20000), 0);
	assert_int_equal(b.position, 65536 + 32768);
	assert_int_equal(b.lost, 0);
	assert_int_equal(sgring_close(s), 0);
	sim_free(sim);
}

static void silence_is_a_timeout_of_the_length_asked_for(void **state)
{
	struct sgring_counters before, after;
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	uint64_t start;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 0;
	s = started(sim, NULL);
	start = now_ms();
	assert_int_equal(sgring_next(s, &b, 200), -ETIMEDOUT);
	/* Not sooner; how much later is the machine's affair. */
	assert_true(now_ms() - start >= 199);
	sgring_counters(s, &before);
	assert_int_equal(sgring_next(s, &b, 0), -ETIMEDOUT);
	sgring_counters(s, &after);
	assert_int_equal(after.polls, before.polls);
	assert_int_equal(sgring_close(s), 0);
	sim_free(sim);
}

static void spinning_times_out_too_and_never_polls(void **state)
{
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 200;
	sim->plan.pace_ns = 100000;
	s = started(sim, SGRING_OPTIONS(.waiting = SGRING_SPIN));
	for (i = 0; i < 200; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		sgring_return(s, &b);
	}
	assert_int_equal(sgring_next(s, &b, 50), -ETIMEDOUT);
	sgring_counters(s, &c);
	assert_int_equal(c.polls, 0);
	assert_int_equal(stats_of(sim).polls, 0);
	sgring_close(s);
	sim_free(sim);
}

static void never_started_is_told_apart_from_ended(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	assert_int_equal(sgring_next(s, &b, 1000), -EBADFD);
	assert_non_null(strstr(sgring_errmsg(), "not been started"));
	assert_int_equal(sgring_close(s), 0);
	sim_free(sim);
}

static void end_of_stream_comes_after_the_last_slot_and_stays(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.end_at = 5;
	s = started(sim, NULL);
	for (i = 0; i < 5; i++)
		assert_int_equal(sgring_next(s, &b, 20000), 0);
	assert_int_equal(sgring_next(s, &b, 20000), -ENODATA);
	assert_true(b.flags & SGRING_EOS);
	assert_null(b.data);
	assert_int_equal(b.index, SGRING_NO_SLOT);
	assert_int_equal(b.status, -ESHUTDOWN);
	assert_int_equal(b.position, 5 * 65536);
	assert_int_equal(sgring_next(s, &b, 20000), -ENODATA);
	assert_int_equal(sgring_close(s), 0);
	sim_free(sim);
}

static void stopped_stream_starts_again_at_position_zero(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int round, i;

	(void)state;
	sim = sim_new();
	sim->plan.pace_ns = 100000;
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	for (round = 0; round < 5; round++) {
		if (round & 1)
			assert_int_equal(sgring_arm(s), 0);
		assert_int_equal(sgring_start(s), 0);
		for (i = 0; i < 20; i++) {
			assert_int_equal(sgring_next(s, &b, 20000), 0);
			assert_int_equal(b.position, i * 65536);
			assert_int_equal(b.lost, 0);
			assert_pattern(&b);
			assert_int_equal(sgring_return(s, &b), 0);
		}
		assert_true(sgring_stop(s, SGRING_STOP_DRAIN, 1000) >= 0);
		while (!sgring_next(s, &b, 5000))
			assert_int_equal(sgring_return(s, &b), 0);
		assert_true(b.flags & SGRING_EOS);
	}
	assert_int_equal(sgring_close(s), 0);
	assert_int_equal(stats_of(sim).sq_bad, 0);
	sim_free(sim);
}

static void lost_device_is_enodev_after_its_last_slot(void **state)
{
	struct sgring_slot b, last;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.die_at = 4;
	s = started(sim, NULL);
	for (i = 0; i < 4; i++)
		assert_int_equal(sgring_next(s, &b, 20000), 0);
	last = b;
	assert_int_equal(sgring_next(s, &b, -1), -ENODATA);
	assert_int_equal(b.status, -ENODEV);
	assert_int_equal(sgring_next(s, &b, -1), -ENODEV);
	assert_int_equal(sgring_next(s, &b, 0), -ENODEV);
	/* The memory is still there. */
	assert_pattern(&last);
	assert_int_equal(sgring_close(s), -ENODEV);
	sim_free(sim);
}

static void kernel_that_stopped_looking_is_kicked_and_nobody_else(void **state)
{
	struct sgring_counters c;
	struct sgring_slot a, b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	s = started(sim, SGRING_OPTIONS(.slot_count = 2, .sq_idle_usec = SGRING_OFF));
	for (i = 0; i < 50; i++) {
		assert_int_equal(sgring_next(s, &a, 20000), 0);
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		while (!(sgring_load_relaxed(&sgring_rings(s)->sq.kernel->flags) & SGRING_NEED_WAKEUP))
			usleep(100);
		assert_int_equal(sgring_return(s, &a), 0);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	sgring_counters(s, &c);
	assert_in_range(c.kicks, 50, 100);
	assert_int_equal(c.kicks, stats_of(sim).kicks);
	sgring_close(s);
	sim_free(sim);

	/* The device is the slower side: nobody is ever kicked. */
	sim = sim_new();
	sim->plan.pace_ns = 200000;
	s = started(sim, SGRING_OPTIONS(.sq_idle_usec = 60000000));
	for (i = 0; i < 200; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	sgring_counters(s, &c);
	assert_int_equal(c.kicks, 0);
	sgring_close(s);
	sim_free(sim);
}

static void need_wakeup_is_tested_before_every_wait(void **state)
{
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	s = started(sim, SGRING_OPTIONS(.slot_count = 4, .sq_idle_usec = SGRING_OFF));
	for (i = 0; i < 4; i++)
		assert_int_equal(sgring_next(s, &b, 20000), 0);
	/* Nothing to look at: no reason to kick. */
	while (!(sgring_load_relaxed(&sgring_rings(s)->sq.kernel->flags) & SGRING_NEED_WAKEUP))
		usleep(100);
	assert_int_equal(sgring_next(s, &b, 50), -ETIMEDOUT);
	sgring_counters(s, &c);
	assert_int_equal(c.kicks, 0);
	/* Put without a flush: only the wait can tell the kernel. */
	for (i = 0; i < 4; i++)
		assert_int_equal(sgring_put(s, (uint32_t)i, 0), 0);
	assert_int_equal(sgring_wait(s, 20000), 0);
	sgring_counters(s, &c);
	assert_in_range(c.kicks, 1, 2);
	sgring_close(s);
	sim_free(sim);
}

/* Whatever makes this run slowly: an application that is slower than the device. */
static void slow_application_makes_no_system_calls(void **state)
{
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.no_fill = true;
	s = started(sim, SGRING_OPTIONS(.slot_count = 64, .sq_idle_usec = 60000000));
	for (i = 0; i < 1064; i++) {
		/* The engine runs dry now and then, and finds by itself what came back. */
		if (!(i % 64))
			while (sim_posted(s) < 64)
				usleep(100);
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	sgring_counters(s, &c);
	assert_int_equal(c.kicks, 0);
	assert_int_equal(c.polls, 0);
	assert_int_equal(c.sender_waits, 0);
	assert_true(stats_of(sim).stalls > 0);
	sgring_close(s);
	sim_free(sim);
}

static void slow_device_costs_one_poll_per_batch(void **state)
{
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.pace_ns = 300000;
	s = started(sim, SGRING_OPTIONS(.slot_count = 64, .wake_slots = 8, .wake_usec = 1000000,
					.sq_idle_usec = 60000000));
	for (i = 0; i < 800; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	sgring_counters(s, &c);
	/* Fewer if this machine was busy elsewhere and the batches grew. */
	assert_in_range(c.polls, 1, 101);
	assert_int_equal(c.kicks, 0);
	sgring_close(s);
	sim_free(sim);
}

static void batch_calls_keep_the_accounts(void **state)
{
	const struct sgring_cqe *e;
	struct sgring_counters c;
	struct sgring_slot b;
	uint64_t seen = 0;
	struct sgring *s;
	struct sim *sim;
	uint32_t n, i;

	(void)state;
	sim = sim_new();
	sim->plan.gap_at = 100;
	sim->plan.gap_bytes = 777;
	sim->plan.end_at = 300;
	s = started(sim, NULL);
	while (!sgring_wait(s, 5000)) {
		n = sgring_ready(s);
		for (i = 0; i < n; i++) {
			e = sgring_peek(s, i);
			sgring_slot_of(s, e, &b);
			if (e->flags & SGRING_CQE_EOS)
				continue;
			assert_int_equal(e->sequence, seen++);
			assert_pattern(&b);
			assert_int_equal(sgring_put(s, e->slot, 0), 0);
		}
		sgring_consume(s, n);
		assert_int_equal(sgring_flush(s), 0);
	}
	assert_int_equal(seen, 300);
	sgring_counters(s, &c);
	assert_int_equal(c.slots, 300);
	assert_int_equal(c.bytes, 300 * 65536);
	assert_int_equal(c.lost_bytes, 777);
	assert_int_equal(c.held, 0);
	assert_int_equal(c.returned, 300);
	assert_int_equal(sgring_close(s), 1);
	assert_int_equal(stats_of(sim).sq_bad, 0);
	sim_free(sim);
}

/* What a stream tells: each way of taking and returning must come to the same. */
struct account {
	struct sgring_counters counters;
	uint64_t seen, lengths, positions, cookies;
};

static void note(void *context, const struct sgring_cqe *e)
{
	struct account *a = context;

	if (e->flags & SGRING_CQE_EOS)
		return;
	a->seen++;
	a->lengths += e->length_bytes;
	a->positions += e->position_bytes;
	a->cookies += e->cookie;
}

enum way { BY_PUT, BY_READY, BY_EACH };

/* @batch entries at a time. */
static struct account account_of(const struct sim_plan *plan, enum way way, uint32_t batch)
{
	struct account a = { 0 };
	const struct sgring_cqe *e;
	struct sgring *s;
	struct sim *sim;
	uint32_t n, i;

	sim = sim_new();
	sim->plan = *plan;
	s = started(sim, NULL);
	/* Different cookies go round. */
	for (i = 0; i < 16; i++) {
		struct sgring_slot b;

		assert_int_equal(sgring_next(s, &b, 20000), 0);
		b.cookie = 1ULL << (2 * b.index);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	while (!sgring_wait(s, 5000)) {
		if (way == BY_EACH) {
			assert_in_range(sgring_each(s, batch, note, &a), 1, batch);
			continue;
		}
		n = sgring_ready(s);
		if (n > batch)
			n = batch;
		for (i = 0; i < n; i++) {
			e = sgring_peek(s, i);
			note(&a, e);
			if (way == BY_PUT && !(e->flags & SGRING_CQE_EOS))
				assert_int_equal(sgring_put(s, e->slot, e->cookie), 0);
		}
		if (way == BY_READY) {
			assert_int_equal(sgring_return_ready(s, n), 0);
		} else {
			sgring_consume(s, n);
			assert_int_equal(sgring_publish(s), 0);
		}
	}
	sgring_counters(s, &a.counters);
	a.counters.kicks = a.counters.polls = 0;	/* these are a matter of time */
	sgring_close(s);
	assert_int_equal(stats_of(sim).sq_bad, 0);
	assert_int_equal(stats_of(sim).index_bad, 0);
	sim_free(sim);
	return a;
}

static void each_way_of_returning_comes_to_the_same(void **state)
{
	static const uint32_t batches[] = { 1, 3, 7, 16 };
	struct account by_put, other;
	struct sim_plan plan;
	struct sim *sim;
	unsigned int kind, i;

	(void)state;
	sim = sim_new();
	for (kind = 0; kind < 5; kind++) {
		plan = sim->plan;
		plan.end_at = 400;
		if (kind == 1) {
			plan.gap_at = 100;
			plan.gap_bytes = 777;
		} else if (kind == 2) {
			plan.fail_at = 101;
		} else if (kind == 3) {
			plan.eop_at = 102;
		} else if (kind == 4) {
			plan.first_index = 0xffffffffU - 200;
		}
		by_put = account_of(&plan, BY_PUT, 16);
		assert_int_equal(by_put.seen, 400 - 16);
		assert_int_equal(by_put.counters.slots, 400);
		assert_int_equal(by_put.counters.held, 0);
		/* A transfer that failed had moved half of it. */
		assert_true(by_put.counters.lost_bytes == (kind == 1 ? 777 : kind == 2 ? 32768 : 0));
		assert_int_equal(by_put.counters.failed_slots, kind == 2);
		for (i = 0; i < 4; i++) {
			other = account_of(&plan, BY_READY, batches[i]);
			assert_memory_equal(&other, &by_put, sizeof(by_put));
			other = account_of(&plan, BY_EACH, batches[i]);
			assert_memory_equal(&other, &by_put, sizeof(by_put));
		}
	}
	sim_free(sim);
}

static void returning_more_than_is_ready_is_refused(void **state)
{
	struct sgring_counters c;
	struct sgring *s;
	struct sim *sim;
	uint32_t n;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 3;
	s = started(sim, NULL);
	assert_int_equal(sgring_wait(s, 20000), 0);
	assert_int_equal(sgring_each(s, 0, NULL, NULL), 0);
	assert_int_equal(sgring_return_ready(s, 0), 0);
	n = sgring_ready(s);
	assert_int_equal(sgring_return_ready(s, 4), -EINVAL);
	sgring_counters(s, &c);
	assert_int_equal(c.returned, 0);
	assert_int_equal(sgring_return_ready(s, n), 0);
	sgring_counters(s, &c);
	assert_int_equal(c.returned, n);
	sgring_close(s);
	sim_free(sim);
}

/* A slot with two holders goes back with the second; the fast way must see that. */
static void returning_what_is_ready_minds_holds(void **state)
{
	const struct sgring_cqe *e;
	struct sgring_counters c;
	struct sgring *s;
	struct sim *sim;
	uint32_t slot;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 1;
	s = started(sim, NULL);
	assert_int_equal(sgring_wait(s, 20000), 0);
	e = sgring_peek(s, 0);
	slot = e->slot;
	assert_int_equal(sgring_hold(s, slot), 0);
	assert_int_equal(sgring_return_ready(s, 1), 0);
	sgring_counters(s, &c);
	assert_int_equal(c.returned, 0);
	assert_int_equal(c.held, 1);
	assert_int_equal(sgring_put(s, slot, 0), 0);
	sgring_counters(s, &c);
	assert_int_equal(c.returned, 1);
	assert_int_equal(c.held, 0);
	sgring_close(s);
	sim_free(sim);
}

/* The library has symbols of what is inline here; they do the same. */
static void inline_calls_are_in_the_library_too(void **state)
{
	int (*next)(struct sgring *s, struct sgring_slot *slot, int timeout_ms);
	int (*give_back)(struct sgring *s, const struct sgring_slot *slot);
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	uint64_t i;

	(void)state;
	next = sgring_next_symbol;
	give_back = sgring_return_symbol;
	sim = sim_new();
	sim->plan.end_at = 100;
	s = started(sim, NULL);
	for (i = 0; i < 100; i++) {
		assert_int_equal(next(s, &b, 20000), 0);
		assert_int_equal(b.sequence, i);
		assert_int_equal(give_back(s, &b), 0);
	}
	assert_int_equal(next(s, &b, 20000), -ENODATA);
	assert_int_equal(sgring_close(s), 0);
	sim_free(sim);
}

static void wrong_returns_are_refused_by_name(void **state)
{
	struct sgring_slot b = { .index = 16 };
	struct sgring *s;
	struct sim *sim;
	int i, err = 0;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 0;
	s = started(sim, NULL);
	assert_int_equal(sgring_return(s, &b), -EINVAL);
	assert_string_equal(sgring_errmsg(), "16 is not one of 16 slots");
	b.index = SGRING_NO_SLOT;
	assert_int_equal(sgring_return(s, &b), -EINVAL);
	for (i = 0; i < 17 && !err; i++)
		err = sgring_put(s, 3, 0);
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(i, 17);
	sgring_close(s);
	sim_free(sim);
}

static void kernel_message_of_a_refused_setup_is_passed_on(void **state)
{
	struct sgring *s = (void *)1;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.refuse_setup = EMSGSIZE;
	assert_int_equal(sim_open(sim, &s, NULL), -EMSGSIZE);
	assert_null(s);
	assert_string_equal(sgring_errmsg(),
			    "sim: set-up: slot of 8 MiB needs 512 segments, engine takes 255");
	assert_int_equal(sim->opens, sim->closes);
	sim_free(sim);
}

static void options_that_are_too_short_or_unknown_are_refused(void **state)
{
	struct { struct sgring_options o; uint64_t more; } longer = { .o.size = sizeof(longer) };
	struct sgring_options o = { .size = 8 };
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, &o), -EINVAL);
	o.size = 0;
	assert_int_equal(sim_open(sim, &s, &o), -EINVAL);
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.waiting = 2)), -EINVAL);
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.reserved = 1)), -EINVAL);
	longer.more = 1;
	assert_int_equal(sim_open(sim, &s, &longer.o), -E2BIG);
	assert_int_equal(sim->opens, 0);
	longer.more = 0;
	assert_int_equal(sim_open(sim, &s, &longer.o), 0);
	sgring_close(s);
	sim_free(sim);
}

static int spoil;	/* which number the kernel gets wrong */

static int spoiling_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	int err = sgring_sim_backend.ioctl(be, fd, request, arg);
	struct sgring_geometry *g = arg;

	if (request != SGRING_GEOMETRY)
		return err;
	switch (spoil) {
	case 0: g->cq_entries = 12; break;
	case 1: g->cq_stride = 8; break;
	case 2: g->cq_offset = 0xfffff000; break;
	case 3: g->slot_count = 0; break;
	case 4: g->data_bytes -= 1; break;
	case 5: g->table_offset = (uint32_t)g->kernel_bytes; break;
	}
	return err;
}

static void geometry_that_makes_no_sense_is_refused(void **state)
{
	struct sgring *s, *o;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	sim->be.ioctl = spoiling_ioctl;
	for (spoil = 0; spoil < 6; spoil++) {
		assert_int_equal(sgring_observe_backend(&o, "sim", &sim->be), -EPROTO);
		assert_int_equal(sim->opens, sim->closes + 1);
	}
	assert_int_equal(sgring_observe_backend(&o, "sim", &sim->be), 0);
	sgring_close(o);
	sgring_close(s);
	sim_free(sim);
}

static void unknown_stream_is_enoent(void **state)
{
	struct sgring *s;

	(void)state;
	assert_int_equal(sgring_open(&s, "no-such-stream", NULL), -ENOENT);
	assert_null(s);
	assert_non_null(strstr(sgring_errmsg(), "no-such-stream"));
	assert_int_equal(sgring_open(&s, "/no/such/path", NULL), -ENOENT);
	assert_int_equal(sgring_open(&s, "no such label", NULL), -EINVAL);
	assert_int_equal(sgring_open(&s, "", NULL), -EINVAL);
	assert_int_equal(sgring_open(&s, "sgring4000000", NULL), -ENOENT);
	assert_int_equal(sgring_open(&s, "/dev/null", NULL), -ENOTTY);
}

static void errno_is_never_touched(void **state)
{
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 1;
	errno = 12345;
	assert_int_equal(sgring_open(&s, "/no/such/path", NULL), -ENOENT);
	assert_int_equal(sgring_open(&s, "no-such-stream", NULL), -ENOENT);
	assert_int_equal(sgring_open(&s, "/dev/null", NULL), -ENOTTY);
	assert_int_equal(errno, 12345);
	s = started(sim, NULL);
	errno = 12345;
	assert_int_equal(sgring_next(s, &b, 20000), 0);
	assert_int_equal(sgring_next(s, &b, 10), -ETIMEDOUT);
	sgring_return(s, &b);
	sgring_close(s);
	assert_int_equal(errno, 12345);
	sim_free(sim);
}

static void on_alarm(int number)
{
	(void)number;
}

static void signal_ends_a_wait(void **state)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval soon = { .it_value.tv_usec = 50000 };
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int err;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 0;
	s = started(sim, NULL);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	/* The simulator's thread may get it instead: then again. */
	while ((err = sgring_next(s, &b, 100)) == -ETIMEDOUT)
		setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(err, -EINTR);
	assert_int_equal(sgring_next(s, &b, 0), -ETIMEDOUT);
	sgring_close(s);
	sim_free(sim);
}

static void observer_sees_everything_and_changes_nothing(void **state)
{
	struct sgring *s, *o;
	struct sgring_slot b;
	struct sgring_stats st;
	struct sgring_query q;
	struct sgring_run run;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 10;
	s = started(sim, NULL);
	assert_int_equal(sgring_observe_backend(&o, "sim", &sim->be), 0);
	for (i = 0; i < 10; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		sgring_return(s, &b);
	}
	assert_int_equal(sgring_stats(o, &st), 0);
	assert_int_equal(st.slots_done, 10);
	assert_int_equal(sgring_query(o, &q), 0);
	assert_string_equal(q.label, "sim");
	assert_int_equal(sgring_geometry(o)->slot_count, 16);
	assert_int_equal(sgring_slot_info(o, 9)->sequence, 9);
	assert_int_equal(sgring_slot_info(o, 9)->position_bytes, 9 * 65536);
	assert_null(sgring_slot_info(o, 16));
	assert_int_equal(sgring_layout(o, 0, &run, 1), 1);
	assert_int_equal(run.chunk_bytes * run.chunks, 65536);
	assert_int_equal(sgring_layout(o, 16, &run, 1), -ERANGE);
	assert_int_equal(sgring_next(o, &b, 0), -EPERM);
	assert_int_equal(sgring_return(o, &b), -EPERM);
	assert_int_equal(sgring_start(o), -EPERM);
	assert_int_equal(sgring_stop(o, 0, 0), -EPERM);
	assert_int_equal(sgring_kick(o), -EPERM);
	assert_null(sgring_setup(o));
	assert_int_equal(sgring_close(o), 0);
	assert_int_equal(stats_of(sim).state, SGRING_STATE_RUNNING);
	sgring_close(s);
	sim_free(sim);
}

static void observer_follows_every_entry_or_says_what_it_missed(void **state)
{
	struct sgring *s, *o;
	struct sgring_cqe e;
	struct sgring_slot b;
	uint64_t missed, seen = 0, lost = 0;
	struct sim *sim;
	int i, n;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 0;
	s = started(sim, SGRING_OPTIONS(.slot_count = 4));
	assert_int_equal(sgring_observe_backend(&o, "sim", &sim->be), 0);
	assert_int_equal(sgring_follow(o, &e, &missed), 0);
	sim->plan.pause_at = 1000;
	sim_replan(sim);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		sgring_return(s, &b);
		/* Keeps up at first, sleeps in the middle, catches up. */
		while ((i < 300 || i > 600) && (n = sgring_follow(o, &e, &missed)) == 1) {
			lost += missed;
			assert_int_equal(e.sequence, seen + lost);
			seen++;
		}
	}
	assert_int_equal(seen + lost, 1000);
	assert_in_range(lost, 200, 400);
	assert_int_equal(sgring_follow(s, &e, &missed), -EPERM);
	sgring_close(o);
	sgring_close(s);
	sim_free(sim);
}

#ifndef __SANITIZE_THREAD__	/* an observer's copy races, and is thrown away then */
struct following {
	struct sgring *o;
	bool stop;
	uint64_t seen, torn, missed;
};

static void *follow(void *arg)
{
	struct following *f = arg;
	struct sgring_cqe e;
	uint64_t missed;

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		if (sgring_follow(f->o, &e, &missed) != 1)
			continue;
		f->seen++;
		f->missed += missed;
		f->torn += e.sequence != f->seen + f->missed - 1 ||
			   e.position_bytes != e.sequence * 64;
	}
	return NULL;
}

static void observer_never_sees_an_entry_half_written(void **state)
{
	struct following f = { 0 };
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	pthread_t thread;
	uint64_t start;
	int i;

	(void)state;
	sim = sim_new();
	s = started(sim, SGRING_OPTIONS(.slot_count = 2, .slot_bytes = 64, .sq_poll_usec = 20,
					.waiting = SGRING_SPIN));
	assert_int_equal(sgring_stop(s, 0, 0), 0);
	while (sgring_next(s, &b, 5000) != -ENODATA)
		sgring_return(s, &b);
	assert_int_equal(sgring_observe_backend(&f.o, "sim", &sim->be), 0);
	pthread_create(&thread, NULL, follow, &f);
	assert_int_equal(sgring_start(s), 0);
	/* A busy machine does fewer. */
	for (i = 0, start = now_ms(); i < 30000 && now_ms() - start < 5000; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	/* It may not have run yet. */
	while (!__atomic_load_n(&f.seen, __ATOMIC_RELAXED)) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		assert_int_equal(sgring_return(s, &b), 0);
	}
	__atomic_store_n(&f.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_int_equal(f.torn, 0);
	sgring_close(f.o);
	sgring_close(s);
	sim_free(sim);
}
#endif

static void observer_of_an_idle_stream_can_only_query(void **state)
{
	struct sgring_query q;
	struct sgring_stats st;
	struct sgring *o;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	assert_int_equal(sgring_observe_backend(&o, "sim", &sim->be), 0);
	assert_int_equal(sgring_query(o, &q), 0);
	assert_null(sgring_geometry(o));
	assert_null(sgring_slot_info(o, 0));
	assert_int_equal(sgring_stats(o, &st), -EBADFD);
	sgring_close(o);
	sim_free(sim);
}

static void *other_thread(void *arg)
{
	struct sgring *s;

	sgring_open(&s, "other-stream", NULL);
	snprintf(arg, 512, "%s", sgring_errmsg());
	return NULL;
}

static void error_messages_are_each_threads_own(void **state)
{
	char theirs[512];
	struct sgring *s;
	pthread_t t;

	(void)state;
	sgring_open(&s, "my-stream", NULL);
	pthread_create(&t, NULL, other_thread, theirs);
	pthread_join(t, NULL);
	assert_non_null(strstr(sgring_errmsg(), "my-stream"));
	assert_non_null(strstr(theirs, "other-stream"));
}

static void closing_nothing_is_fine(void **state)
{
	(void)state;
	assert_int_equal(sgring_close(NULL), 0);
	assert_int_equal(sgring_tx_close(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_arrive_in_order_and_whole),
		cmocka_unit_test(indices_that_wrap_change_nothing),
		cmocka_unit_test(longer_strides_are_the_kernels_to_choose),
		cmocka_unit_test(odd_slot_sizes_lie_a_whole_page_apart),
		cmocka_unit_test(slots_may_come_back_in_any_order_and_cookies_travel),
		cmocka_unit_test(gap_is_told_once_with_its_size_and_close_says_lost),
		cmocka_unit_test(gap_before_the_first_slot_counts_in_every_epoch),
		cmocka_unit_test(bytes_dropped_at_the_very_end_are_not_forgotten),
		cmocka_unit_test(failed_transfer_has_a_status_and_close_says_lost),
		cmocka_unit_test(short_slot_has_its_true_length_and_end_of_packet),
		cmocka_unit_test(silence_is_a_timeout_of_the_length_asked_for),
		cmocka_unit_test(spinning_times_out_too_and_never_polls),
		cmocka_unit_test(never_started_is_told_apart_from_ended),
		cmocka_unit_test(end_of_stream_comes_after_the_last_slot_and_stays),
		cmocka_unit_test(stopped_stream_starts_again_at_position_zero),
		cmocka_unit_test(lost_device_is_enodev_after_its_last_slot),
		cmocka_unit_test(kernel_that_stopped_looking_is_kicked_and_nobody_else),
		cmocka_unit_test(need_wakeup_is_tested_before_every_wait),
		cmocka_unit_test(slow_application_makes_no_system_calls),
		cmocka_unit_test(slow_device_costs_one_poll_per_batch),
		cmocka_unit_test(batch_calls_keep_the_accounts),
		cmocka_unit_test(each_way_of_returning_comes_to_the_same),
		cmocka_unit_test(returning_more_than_is_ready_is_refused),
		cmocka_unit_test(returning_what_is_ready_minds_holds),
		cmocka_unit_test(inline_calls_are_in_the_library_too),
		cmocka_unit_test(wrong_returns_are_refused_by_name),
		cmocka_unit_test(kernel_message_of_a_refused_setup_is_passed_on),
		cmocka_unit_test(options_that_are_too_short_or_unknown_are_refused),
		cmocka_unit_test(geometry_that_makes_no_sense_is_refused),
		cmocka_unit_test(unknown_stream_is_enoent),
		cmocka_unit_test(errno_is_never_touched),
		cmocka_unit_test(signal_ends_a_wait),
		cmocka_unit_test(observer_sees_everything_and_changes_nothing),
		cmocka_unit_test(observer_follows_every_entry_or_says_what_it_missed),
#ifndef __SANITIZE_THREAD__
		cmocka_unit_test(observer_never_sees_an_entry_half_written),
#endif
		cmocka_unit_test(observer_of_an_idle_stream_can_only_query),
		cmocka_unit_test(error_messages_are_each_threads_own),
		cmocka_unit_test(closing_nothing_is_fine),
	};

	return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}

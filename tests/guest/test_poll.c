// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Waiting for a stream: poll, select and epoll wake once per batch, and in time
 * whenever a batch cannot become complete.
 *
 * Where it matters how many slots there are, the device is fed by hand.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "common.h"

#define SLOT	4096U

/* Complete so many slots, of a stream whose source is the feed. */
static void feed(const char *label, uint32_t slots)
{
	static const unsigned char bytes[SLOT];
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/sgring-dummy/%s/feed", label);
	while (slots--) {
		/* Closing it ends a packet, and lets go of its last byte. */
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, bytes, SLOT), SLOT);
		close(fd);
	}
}

/* rx0, running, fed by hand. */
static struct stream fed_stream(uint32_t slots, uint32_t wake_slots, uint32_t wake_usec)
{
	const struct sgring_setup setup = {
		.slot_bytes = SLOT,
		.slot_count = slots,
		.wake_slots = wake_slots,
		.wake_usec = wake_usec,
	};
	struct stream s = stream_open("rx0", &setup);

	knob_set_text("rx0", "source", "feed");
	stream_start(&s);
	return s;
}

/* So many more slots are in the CQ when it returns. */
static void complete(struct stream *s, uint32_t slots)
{
	uint32_t before = sgring_cq_ready(&s->cq);

	feed("rx0", slots);
	assert_int_equal(stream_wait(s, before + slots, LONG_MS), before + slots);
}

/* poll() looks again when its time is up: what it finds then did not wake it. */
#define NOT_WOKEN	0x10000

static int poll_of(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t start = now_ns();

	poll(&p, 1, ms);
	if (p.revents && ms && now_ns() - start >= ms * 1000000ULL)
		return p.revents | NOT_WOKEN;
	return p.revents;
}

/* ---- batches ---- */

static void not_readable_before_a_batch_is_complete(void **state)
{
	struct stream s = fed_stream(16, 4, SGRING_OFF);

	(void)state;
	assert_int_equal(poll_of(s.fd, 0), 0);
	complete(&s, 3);
	assert_int_equal(poll_of(s.fd, 0), 0);
	assert_int_equal(poll_of(s.fd, 100), 0);
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	sgring_cq_consume(&s.cq, 4);
	assert_int_equal(poll_of(s.fd, 0), 0);
	assert_int_equal(poll_of(s.fd, 100), 0);
}

static void readable_until_the_whole_batch_is_consumed(void **state)
{
	struct stream s = fed_stream(16, 4, SGRING_OFF);

	(void)state;
	complete(&s, 4);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	sgring_cq_consume(&s.cq, 1);
	assert_int_equal(poll_of(s.fd, 0), POLLIN);
	sgring_cq_consume(&s.cq, 2);
	assert_int_equal(poll_of(s.fd, 0), POLLIN);
	sgring_cq_consume(&s.cq, 1);
	assert_int_equal(poll_of(s.fd, 0), 0);
}

static void readable_when_the_time_of_a_batch_has_passed(void **state)
{
	struct stream s = fed_stream(16, 8, 20000);

	(void)state;
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	assert_int_equal(sgring_cq_ready(&s.cq), 1);
	sgring_cq_consume(&s.cq, 1);
	/* And no more by the time of that batch. */
	assert_int_equal(poll_of(s.fd, 100), 0);
}

static void who_asks_without_waiting_is_told_of_the_time_too(void **state)
{
	struct stream s = fed_stream(16, 8, 20000);

	(void)state;
	complete(&s, 1);
	assert_true(WAIT_FOR(poll_of(s.fd, 0) == POLLIN, LONG_MS));
}

/* ---- when no batch can become complete ---- */

static void readable_when_too_few_slots_are_left_for_a_batch(void **state)
{
	struct stream s = fed_stream(4, 4, SGRING_OFF);

	(void)state;
	complete(&s, 4);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	/* The application keeps two. */
	stream_return(&s, sgring_cq_peek(&s.cq, 0)->slot, 0);
	stream_return(&s, sgring_cq_peek(&s.cq, 1)->slot, 0);
	sgring_cq_consume(&s.cq, 4);
	assert_int_equal(poll_of(s.fd, 0), 0);
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	assert_int_equal(stats_of(s.fd).slots_engine, 1);
}

static void readable_when_the_engine_has_nothing_left(void **state)
{
	struct stream s = fed_stream(4, 2, SGRING_OFF);

	(void)state;
	complete(&s, 4);
	stream_return(&s, sgring_cq_peek(&s.cq, 0)->slot, 0);
	sgring_cq_consume(&s.cq, 4);
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	assert_true(stats_of(s.fd).flags & SGRING_STATS_STARVED);
}

static void an_engine_that_refused_is_tried_again_without_a_kick(void **state)
{
	const struct sgring_setup setup = {
		.slot_bytes = SLOT,
		.slot_count = 8,
		.sq_idle_usec = 1000,
	};
	struct stream s = stream_open("rx0", &setup);

	(void)state;
	stream_start(&s);
	stream_run(&s, 10);
	/* Longer than it takes to go to sleep. */
	knob_set("rx0", "prep_fail_next", 100);
	stream_run(&s, 50);
	assert_true(stats_of(s.fd).engine_busy >= 100);
}

/* The time of a batch that was complete early is not taken from the next one. */
static void each_batch_has_its_time(void **state)
{
	struct stream s = fed_stream(16, 4, 400000);
	uint64_t begun;

	(void)state;
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, 0), 0);
	msleep(200);
	complete(&s, 3);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	sgring_cq_ready(&s.cq);
	sgring_cq_consume(&s.cq, 4);
	begun = now_ns();
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	assert_true(now_ns() - begun >= 350000000);
}

/* ---- who waits is woken ---- */

struct waiter {
	pthread_t thread;
	int fd;
	bool epoll;
	int events;
};

static void *waiter_main(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct waiter *w = arg;
	int epoll;

	if (!w->epoll) {
		w->events = poll_of(w->fd, LONG_MS);
		return NULL;
	}
	epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(epoll, EPOLL_CTL_ADD, w->fd, &event);
	event.events = 0;
	epoll_wait(epoll, &event, 1, LONG_MS);
	w->events = event.events;
	close(epoll);
	return NULL;
}

/* It sleeps when this returns, as far as one can know. */
static void waiter_start(struct waiter *w, int fd, bool epoll)
{
	*w = (struct waiter){ .fd = fd, .epoll = epoll };
	assert_int_equal(pthread_create(&w->thread, NULL, waiter_main, w), 0);
	msleep(100);
}

static int waiter_events(struct waiter *w)
{
	pthread_join(w->thread, NULL);
	return w->events;
}

/* True if it still waits after a while. */
static bool waiter_waits(struct waiter *w)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 200000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	return pthread_timedjoin_np(w->thread, NULL, &until) == ETIMEDOUT;
}

static void a_batch_wakes_everybody_who_waits(void **state)
{
	struct stream s = fed_stream(16, 4, SGRING_OFF);
	struct waiter w[3];
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		waiter_start(&w[i], s.fd, i == 1);
	complete(&s, 3);
	for (i = 0; i < 3; i++)
		assert_true(waiter_waits(&w[i]));
	complete(&s, 1);
	for (i = 0; i < 3; i++)
		assert_int_equal(waiter_events(&w[i]), POLLIN);
}

static void the_time_of_a_batch_wakes_who_waited_before_it_began(void **state)
{
	struct stream s = fed_stream(16, 8, 20000);
	struct waiter a, b;

	(void)state;
	waiter_start(&a, s.fd, false);
	waiter_start(&b, s.fd, true);
	feed("rx0", 1);
	assert_int_equal(waiter_events(&a), POLLIN);
	assert_int_equal(waiter_events(&b), POLLIN);
}

static void a_stop_wakes_with_the_end_of_the_stream(void **state)
{
	struct stream s = fed_stream(16, 16, SGRING_OFF);
	struct waiter a, b;

	(void)state;
	waiter_start(&a, s.fd, false);
	waiter_start(&b, s.fd, true);
	stream_stop(&s);
	assert_int_equal(waiter_events(&a), POLLIN);
	assert_int_equal(waiter_events(&b), POLLIN);
	assert_true(stream_next(&s).flags & SGRING_CQE_EOS);
	assert_int_equal(poll_of(s.fd, 0), 0);
}

static void a_lost_device_wakes_with_pollhup_and_pollerr(void **state)
{
	const int lost = POLLHUP | POLLERR;
	struct stream s = stream_open("rx0", NULL);
	struct waiter a, b;

	(void)state;
	waiter_start(&a, s.fd, false);
	waiter_start(&b, s.fd, true);
	assert_int_equal(device_unbind("rx0"), 0);
	assert_int_equal(waiter_events(&a) & lost, lost);
	assert_int_equal(waiter_events(&b) & lost, lost);
	assert_int_equal(poll_of(s.fd, 0), lost);
}

static void a_running_stream_whose_device_is_lost_says_so_in_the_cq_too(void **state)
{
	const int lost = POLLHUP | POLLERR;
	struct stream s = fed_stream(16, 16, SGRING_OFF);
	struct waiter a, b;

	(void)state;
	waiter_start(&a, s.fd, false);
	waiter_start(&b, s.fd, true);
	assert_int_equal(device_unbind("rx0"), 0);
	/* The end of the stream may come first, and wakes as well. */
	assert_in_range(waiter_events(&a), 1, NOT_WOKEN - 1);
	assert_in_range(waiter_events(&b), 1, NOT_WOKEN - 1);
	assert_int_equal(poll_of(s.fd, 0), lost | POLLIN);
	assert_int_equal(stream_find_end(&s).status, -ENODEV);
	assert_int_equal(poll_of(s.fd, 0), lost);
}

static void select_waits_as_poll_does(void **state)
{
	struct stream s = fed_stream(16, 4, SGRING_OFF);
	struct timeval none = {}, some = { 0, 100000 }, lots = { LONG_MS / 1000, 0 };
	fd_set set;

	(void)state;
	FD_ZERO(&set);
	FD_SET(s.fd, &set);
	complete(&s, 3);
	assert_int_equal(select(s.fd + 1, &set, NULL, NULL, &none), 0);
	FD_SET(s.fd, &set);
	assert_int_equal(select(s.fd + 1, &set, NULL, NULL, &some), 0);
	complete(&s, 1);
	FD_SET(s.fd, &set);
	assert_int_equal(select(s.fd + 1, &set, NULL, NULL, &lots), 1);
	assert_true(FD_ISSET(s.fd, &set));
}

/* ---- epoll ---- */

static int epoll_with(int fd, uint32_t events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
	return epoll;
}

static int epoll_events(int epoll, int ms)
{
	struct epoll_event event = {};

	assert_true(epoll_wait(epoll, &event, 1, ms) >= 0);
	return event.events;
}

static void level_triggered_epoll_tells_until_all_is_consumed(void **state)
{
	struct stream s = fed_stream(16, 4, SGRING_OFF);
	int epoll = epoll_with(s.fd, EPOLLIN);

	(void)state;
	complete(&s, 3);
	assert_int_equal(epoll_events(epoll, 100), 0);
	complete(&s, 1);
	assert_int_equal(epoll_events(epoll, LONG_MS), EPOLLIN);
	assert_int_equal(epoll_events(epoll, 0), EPOLLIN);
	sgring_cq_consume(&s.cq, 3);
	assert_int_equal(epoll_events(epoll, 0), EPOLLIN);
	sgring_cq_consume(&s.cq, 1);
	assert_int_equal(epoll_events(epoll, 100), 0);
	complete(&s, 4);
	assert_int_equal(epoll_events(epoll, LONG_MS), EPOLLIN);
}

static void edge_triggered_epoll_tells_once_per_batch(void **state)
{
	struct stream s = fed_stream(16, 4, SGRING_OFF);
	int epoll = epoll_with(s.fd, EPOLLIN | EPOLLET);

	(void)state;
	complete(&s, 4);
	assert_int_equal(epoll_events(epoll, LONG_MS), EPOLLIN);
	assert_int_equal(epoll_events(epoll, 100), 0);
	complete(&s, 3);
	assert_int_equal(epoll_events(epoll, 100), 0);
	complete(&s, 1);
	assert_int_equal(epoll_events(epoll, LONG_MS), EPOLLIN);
	assert_int_equal(epoll_events(epoll, 0), 0);
}

/* ---- whole streams ---- */

/* Waits only when nothing is there; returns how often. */
static uint32_t run_waiting(struct stream *s, uint32_t slots, int epoll)
{
	uint32_t waits = 0;

	while (slots) {
		if (!sgring_cq_ready(&s->cq)) {
			stream_kick_if_asked(s);
			waits++;
			if (epoll >= 0)
				assert_int_equal(epoll_events(epoll, LONG_MS), EPOLLIN);
			else
				assert_int_equal(poll_of(s->fd, LONG_MS), POLLIN);
			continue;
		}
		stream_return(s, stream_expect(s).slot, 0);
		slots--;
	}
	return waits;
}

static struct stream paced_stream(uint32_t wake_slots, uint32_t wake_usec)
{
	const struct sgring_setup setup = {
		.slot_bytes = SLOT,
		.slot_count = 64,
		.wake_slots = wake_slots,
		.wake_usec = wake_usec,
	};
	struct stream s = stream_open("rx0", &setup);

	/* 500 slots a second. */
	knob_set("rx0", "rate", 500 * SLOT);
	knob_set("rx0", "fifo_bytes", 16 * MIB);
	stream_start(&s);
	return s;
}

static void a_paced_stream_takes_one_wait_per_batch(void **state)
{
	struct stream s = paced_stream(16, SGRING_OFF);
	struct sgring_stats stats;
	uint32_t waits;

	(void)state;
	waits = run_waiting(&s, 320, -1);
	stats = stats_of(s.fd);
	assert_true(waits >= 1 && waits <= 320 / 16 + 2);
	assert_true(stats.wakeups <= 320 / 16 + 2);
	assert_int_equal(stats.kicks, 0);
}

static void a_paced_stream_is_asked_once_per_batch_by_epoll(void **state)
{
	struct stream s = paced_stream(16, SGRING_OFF);
	int epoll = epoll_with(s.fd, EPOLLIN);
	uint64_t polls = stats_of(s.fd).polls;
	uint32_t waits;

	(void)state;
	waits = run_waiting(&s, 320, epoll);
	assert_true(waits <= 320 / 16 + 2);
	/* Ready, and at the next wait not ready any more. */
	assert_in_range(stats_of(s.fd).polls - polls, 1, 2 * (320 / 16 + 2));
}

static void a_paced_stream_is_asked_once_per_batch_by_edge_triggered_epoll(void **state)
{
	struct stream s = paced_stream(16, SGRING_OFF);
	int epoll = epoll_with(s.fd, EPOLLIN | EPOLLET);
	uint64_t polls = stats_of(s.fd).polls;

	(void)state;
	run_waiting(&s, 320, epoll);
	assert_in_range(stats_of(s.fd).polls - polls, 1, 320 / 16 + 2);
}

static void no_wakeup_is_lost_flat_out(void **state)
{
	static const struct { uint32_t slots, wake_slots, wake_usec; } cases[] = {
		{ 2, 1, SGRING_OFF }, { 2, 2, SGRING_OFF }, { 3, 2, 50 }, { 8, 8, SGRING_OFF },
		{ 8, 3, 1 }, { 64, 40, 200 },
	};
	size_t i;
	int kind;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		for (kind = 0; kind < 3; kind++) {
			const struct sgring_setup setup = {
				.slot_bytes = 512,
				.slot_count = cases[i].slots,
				.wake_slots = cases[i].wake_slots,
				.wake_usec = cases[i].wake_usec,
				.sq_idle_usec = kind == 1 ? SGRING_OFF : 200,
			};
			const uint32_t events[] = { 0, EPOLLIN, EPOLLIN | EPOLLET };
			struct stream s = stream_open("rx0", &setup);

			stream_start(&s);
			run_waiting(&s, 400, kind ? epoll_with(s.fd, events[kind]) : -1);
			stream_close(&s);
		}
}

/* ---- TUNE ---- */

static void tune_of_the_slots_wakes_who_waits(void **state)
{
	struct stream s = fed_stream(16, 16, SGRING_OFF);
	struct sgring_tune tune = { .wake_slots = 5 };
	struct waiter a, b;

	(void)state;
	waiter_start(&a, s.fd, false);
	waiter_start(&b, s.fd, true);
	complete(&s, 4);
	assert_int_equal(sg_tune(s.fd, &tune), 0);
	assert_true(waiter_waits(&a));
	assert_true(waiter_waits(&b));
	tune.wake_slots = 4;
	assert_int_equal(sg_tune(s.fd, &tune), 0);
	assert_int_equal(waiter_events(&a), POLLIN);
	assert_int_equal(waiter_events(&b), POLLIN);
}

static void tune_of_the_time_wakes_who_waits(void **state)
{
	struct stream s = fed_stream(16, 16, 60000000);
	struct sgring_tune tune = { .wake_usec = 1000 };
	struct waiter a, b;

	(void)state;
	waiter_start(&a, s.fd, false);
	waiter_start(&b, s.fd, true);
	complete(&s, 1);
	assert_true(waiter_waits(&a));
	assert_true(waiter_waits(&b));
	assert_int_equal(sg_tune(s.fd, &tune), 0);
	assert_int_equal(waiter_events(&a), POLLIN);
	assert_int_equal(waiter_events(&b), POLLIN);
}

static void tune_while_it_runs_holds_from_the_next_batch_on(void **state)
{
	struct stream s = fed_stream(16, 1, SGRING_OFF);
	struct sgring_tune tune = { .wake_slots = 3 };

	(void)state;
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
	sgring_cq_consume(&s.cq, 1);
	assert_int_equal(sg_tune(s.fd, &tune), 0);
	complete(&s, 2);
	assert_int_equal(poll_of(s.fd, 100), 0);
	complete(&s, 1);
	assert_int_equal(poll_of(s.fd, LONG_MS), POLLIN);
}

GROUP(
	TEST(not_readable_before_a_batch_is_complete),
	TEST(readable_until_the_whole_batch_is_consumed),
	TEST(readable_when_the_time_of_a_batch_has_passed),
	TEST(who_asks_without_waiting_is_told_of_the_time_too),
	TEST(readable_when_too_few_slots_are_left_for_a_batch),
	TEST(readable_when_the_engine_has_nothing_left),
	TEST(each_batch_has_its_time),
	TEST(an_engine_that_refused_is_tried_again_without_a_kick),
	TEST(a_batch_wakes_everybody_who_waits),
	TEST(the_time_of_a_batch_wakes_who_waited_before_it_began),
	TEST(a_stop_wakes_with_the_end_of_the_stream),
	TEST(a_lost_device_wakes_with_pollhup_and_pollerr),
	TEST(a_running_stream_whose_device_is_lost_says_so_in_the_cq_too),
	TEST(select_waits_as_poll_does),
	TEST(level_triggered_epoll_tells_until_all_is_consumed),
	TEST(edge_triggered_epoll_tells_once_per_batch),
	TEST(a_paced_stream_takes_one_wait_per_batch),
	TEST(a_paced_stream_is_asked_once_per_batch_by_epoll),
	TEST(a_paced_stream_is_asked_once_per_batch_by_edge_triggered_epoll),
	TEST(no_wakeup_is_lost_flat_out),
	TEST(tune_of_the_slots_wakes_who_waits),
	TEST(tune_of_the_time_wakes_who_waits),
	TEST(tune_while_it_runs_holds_from_the_next_batch_on))

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring top: what is made of one look after the other; and the screen, in a terminal played
 * here, over simulated streams
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../tools/tool.h"
#include "../../tools/watch.h"
#include "../tool/terminal.h"

#undef main

#define S 1000000000ULL

static struct watch w;

static int fresh(void **state)
{
	(void)state;
	watch_begin(&w, "sgring0");
	return 0;
}

static struct watch_input seen(uint64_t at_s, uint64_t slots, uint64_t bytes)
{
	return (struct watch_input){
		.at_ns = at_s * S, .state = SGRING_STATE_RUNNING, .label = "rx0",
		.stats = {
			.state = SGRING_STATE_RUNNING, .epoch = 1, .slots_done = slots,
			.bytes_done = bytes, .sq_taken = slots, .slots_free = 3, .slots_engine = 4,
			.slots_app = 8, .slots_gated = 1,
		},
	};
}

static void add(struct watch_input in)
{
	watch_add(&w, &in);
}

static bool told(const char *what)
{
	const struct watch_event *e;
	unsigned int i;

	for (i = 0; (e = watch_event(&w, i)); i++)
		if (strstr(e->text, what))
			return true;
	return false;
}

static void rates_are_those_between_two_looks(void **state)
{
	struct watch_input in;
	const struct watch_point *p;

	(void)state;
	assert_string_equal(watch_title(&w), "sgring0");
	add(seen(10, 1000, 1000000));
	assert_null(watch_last(&w));
	in = seen(12, 1500, 5000000);
	in.stats.stalled_ns = S;
	in.stats.dropped_slots = 7;
	add(in);
	p = watch_last(&w);
	assert_non_null(p);
	assert_true(p->seconds == 2);
	assert_int_equal(p->done, 500);
	assert_int_equal(p->bytes, 4000000);
	assert_int_equal(p->drops, 7);
	assert_int_equal(p->stalled_ns, S);
	assert_int_equal(p->slots, 16);
	assert_int_equal(p->app, 8);
	assert_string_equal(watch_title(&w), "rx0");
	assert_string_equal(watch_word(&w), "running");
}

static void another_set_up_counts_from_zero(void **state)
{
	(void)state;
	add(seen(1, 1000, 1000000));
	add(seen(2, 2000, 2000000));
	add(seen(3, 10, 10000));
	assert_int_equal(watch_last(&w)->done, 10);
	assert_int_equal(watch_last(&w)->bytes, 10000);
	assert_true(told("set up by another owner"));
}

static void a_stream_comes_and_goes(void **state)
{
	struct watch_input gone = { .at_ns = 4 * S, .err = -ENOENT };
	struct watch_input idle = { .at_ns = 5 * S, .state = SGRING_STATE_IDLE };

	(void)state;
	add(seen(2, 1, 1));
	add(seen(3, 2, 2));
	assert_null(watch_event(&w, 0));
	add(gone);
	assert_string_equal(watch_word(&w), "gone");
	assert_null(watch_last(&w));
	assert_true(told("the stream is gone"));
	add(idle);
	assert_string_equal(watch_word(&w), "unused");
	assert_true(told("the stream is back"));
	add(seen(6, 1000, 1000));
	assert_true(told("set up by an owner"));
	/* Not what it did while nobody looked. */
	assert_null(watch_last(&w));
	add(seen(7, 1010, 1010));
	assert_int_equal(watch_last(&w)->done, 10);
	idle.at_ns = 8 * S;
	add(idle);
	assert_true(told("its owner has closed it"));
	idle.err = -EACCES;
	add(idle);
	assert_string_equal(watch_word(&w), "denied");
	assert_int_equal(w.event_count, 5);
}

static void what_never_was_there_is_not_gone(void **state)
{
	struct watch_input none = { .at_ns = S, .err = -ENOENT };

	(void)state;
	add(none);
	assert_string_equal(watch_word(&w), "none");
	assert_null(watch_event(&w, 0));
}

static void changes_of_state_and_troubles_are_remembered(void **state)
{
	struct watch_input in = seen(1, 1, 1);
	unsigned int i;

	(void)state;
	add(in);
	in = seen(2, 2, 2);
	in.state = SGRING_STATE_READY;
	add(in);
	assert_true(told("ready, it was running"));
	in = seen(3, 3, 3);
	in.stats.epoch = 2;
	in.stats.engine_errors = 2;
	in.stats.dropped_slots = 1;
	in.stats.gate_stuck = 1;
	add(in);
	assert_true(told("running, it was ready"));
	assert_true(told("2 transfers failed"));
	assert_true(told("it drops: 1 slots"));
	assert_true(told("held at the gate"));
	/* Said once, when it begins. */
	i = (unsigned int)w.event_count;
	in.at_ns = 4 * S;
	in.stats.dropped_slots = 2;
	add(in);
	assert_int_equal(w.event_count, i);
	in.at_ns = 5 * S;
	in.stats.epoch = 3;
	add(in);
	assert_true(told("epoch 3"));
	/* More than are kept. */
	for (i = 0; i < 40; i++) {
		in.at_ns += S;
		in.stats.engine_errors++;
		add(in);
	}
	assert_non_null(watch_event(&w, WATCH_EVENTS - 1));
	assert_null(watch_event(&w, WATCH_EVENTS));
}

static void the_last_minute_is_kept(void **state)
{
	struct watch_point p;
	unsigned int i;

	(void)state;
	assert_false(watch_range(&w, 0, UINT64_MAX, &p));
	/* For longer than there is room. */
	for (i = 0; i <= 2 * WATCH_POINTS; i++) {
		struct watch_input in = seen(100, i, 10 * i);

		in.at_ns += i * S / 10;
		in.stats.app_usec_log2[5] = i;
		add(in);
	}
	assert_true(watch_range(&w, w.at_ns - S, w.at_ns, &p));
	assert_int_equal(p.done, 10);
	assert_int_equal(p.usec[5], 10);
	assert_true(p.seconds > 0.99 && p.seconds < 1.01);
	assert_true(watch_range(&w, w.at_ns - WATCH_SPAN_NS, w.at_ns, &p));
	assert_int_equal(p.done, 600);
	/* Half a second of it: the intervals that overlap. */
	assert_true(watch_range(&w, w.at_ns - S - S / 20, w.at_ns - S, &p));
	assert_int_equal(p.done, 1);
	assert_false(watch_range(&w, 0, 90 * S, &p));
	assert_true(watch_range(&w, 0, UINT64_MAX, &p));
	assert_int_equal(p.done, WATCH_POINTS);
}

static void a_histogram_has_its_middle_and_its_end(void **state)
{
	uint64_t usec[SGRING_USEC_LOG2] = { 0 };

	(void)state;
	assert_int_equal(usec_below(usec, 50), 0);
	usec[0] = 1;
	assert_int_equal(usec_below(usec, 50), 1);
	usec[0] = 0;
	usec[7] = 98;	/* 64 to 128 us */
	usec[11] = 1;
	usec[31] = 1;
	assert_int_equal(usec_below(usec, 50), 128);
	assert_int_equal(usec_below(usec, 99), 2048);
	assert_int_equal(usec_below(usec, 100), 1ULL << 31);
	assert_string_equal(usec_words(128), "128 us");
	assert_string_equal(usec_words(2048), "2 ms");
	assert_string_equal(usec_words(1 << 22), "4 s");
}

/* ---- the screen ---- */

static struct terminal t;
static volatile sig_atomic_t leave;

static void on_usr1(int number)
{
	(void)number;
	leave = 1;
}

/* Returns each slot at once, until it is told to leave. */
static void *owner(void *context)
{
	struct sgring *s = context;
	struct sgring_slot slot;

	while (!leave)
		if (!sgring_next(s, &slot, 20))
			sgring_return(s, &slot);
	sgring_close(s);
	return NULL;
}

static void in_the_terminal(char **argv)
{
	static const char *const names[] = { "sim:label=one,rate=20M", "sim:label=two,rate=1M" };
	int argc = 0, i;
	sigset_t all, before;
	pthread_t thread;
	struct sgring *s;

	signal(SIGUSR1, on_usr1);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (i = 0; i < 2; i++)
		if (sgring_open(&s, names[i], SGRING_OPTIONS(.slot_count = 16, .slot_bytes = 65536)) ||
		    sgring_start(s) || pthread_create(&thread, NULL, owner, s))
			_exit(99);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	while (argv[argc])
		argc++;
	optind = 0;
	argc = top_main(argc, argv);
	fflush(stdout);
	_exit(argc);
}

#define TOP(term, rows, columns, ...) do { \
	char *argv_[] = { (char *)"top", (char *)"-i", (char *)"200ms", __VA_ARGS__, NULL }; \
	if (!terminal_start(&t, rows, columns, term)) \
		in_the_terminal(argv_); \
} while (0)
#define BOTH (char *)"sim:label=one", (char *)"sim:label=two"

static void must_see(const char *what)
{
	if (terminal_see(&t, what, true))
		return;
	terminal_show(&t, stderr);
	kill(t.pid, SIGKILL);
	fail_msg("the screen does not show \"%s\"", what);
}

static void must_end(int code)
{
	assert_int_equal(terminal_end(&t), code);
	assert_true(terminal_restored(&t));
	terminal_close(&t);
}

/* The number in a column of the row of a stream. */
static double number_in(const char *stream, unsigned int column)
{
	char text[TERMINAL_COLUMNS * 3 + 1], *word;
	int row = terminal_find(&t, stream);

	assert_true(row >= 0);
	terminal_row(&t, row, text);
	for (word = strtok(text, " "); word && column; column--)
		word = strtok(NULL, " ");
	return word ? atof(word) : -1;
}

static void the_screen_shows_streams_and_takes_keys(void **state)
{
	static const char *const terms[] = { "vt100", "xterm" };
	double until;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		TOP(terms[i], 24, 80, BOTH);
		must_see("sgring top: 2 streams, every 0.2 s");
		must_see("STREAM        STATE        MB/s slots/s");
		must_see("one           running");
		must_see("two           running");
		must_see("one (sim:label=one): running");
		must_see("completion to return, last minute: half below");
		must_see("<1us    8us     128us");
		must_see("per s: kick");
		must_see("q quit");
		until = terminal_now() + TERMINAL_SECONDS;
		while (!(number_in("one    ", 2) > 1) && terminal_now() < until)
			terminal_read(&t, 50);
		assert_true(number_in("one    ", 2) > 1);
		assert_true(number_in("one    ", 3) > 10);
		terminal_type(&t, terms[i][0] == 'v' ? "\033OB" : "j");
		must_see("two (sim:label=two): running");
		terminal_type(&t, "k");
		must_see("one (sim:label=one): running");
		terminal_type(&t, "+");
		must_see("every 0.5 s");
		terminal_type(&t, "-");
		must_see("every 0.2 s");
		terminal_type(&t, " ");
		must_see("PAUSED");
		terminal_type(&t, " h");
		must_see("another stream (k, j)");
		assert_int_equal(terminal_find(&t, "PAUSED"), -1);
		terminal_type(&t, "h");
		must_see("one (sim:label=one): running");
		terminal_type(&t, "q");
		must_end(EXIT_OK);
	}
}

static void the_screen_takes_any_size(void **state)
{
	static const int sizes[][2] = { { 24, 80 }, { 60, 200 }, { 5, 20 }, { 1, 1 }, { 10, 40 }, { 24, 80 } };
	unsigned int i;

	(void)state;
	TOP("vt100", 40, 100, BOTH);
	must_see("one (sim:label=one): running");
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		terminal_size(&t, sizes[i][0], sizes[i][1]);
		must_see(sizes[i][1] > 15 ? "sgring top: 2" : sizes[i][1] > 1 ? "s" : "s");
	}
	must_see("one (sim:label=one): running");
	terminal_type(&t, "q");
	must_end(EXIT_OK);
}

static void a_stream_that_goes_is_shown_so(void **state)
{
	(void)state;
	TOP("vt100", 24, 80, BOTH);
	must_see("one           running");
	kill(t.pid, SIGUSR1);
	must_see("one           unused");
	must_see("ago: its owner has closed it");
	terminal_type(&t, "q");
	must_end(EXIT_OK);
}

static void signals_give_the_terminal_back(void **state)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		TOP("xterm", 24, 80, BOTH);
		must_see("one           running");
		kill(t.pid, signals[i]);
		must_end(EXIT_OK);
	}
	/* As it is typed. */
	TOP("vt100", 24, 80, BOTH);
	must_see("one           running");
	terminal_type(&t, "\003");
	must_end(EXIT_OK);
}

static void a_terminal_that_closes_ends_it(void **state)
{
	(void)state;
	TOP("vt100", 24, 80, BOTH);
	must_see("one           running");
	terminal_close(&t);
	assert_int_equal(terminal_end(&t), EXIT_FAILED);
}

static void a_terminal_that_cannot_be_drawn_on_is_refused(void **state)
{
	(void)state;
	TOP("dumb", 24, 80, BOTH);
	must_see("sgring: top: this terminal cannot be drawn on");
	must_end(EXIT_FAILED);
	TOP("no-such-terminal", 24, 80, BOTH);
	must_see("description is not installed");
	must_end(EXIT_FAILED);
	TOP("vt100", 24, 80, BOTH, (char *)"sim:nonsense=1");
	must_see("no option \"nonsense\"");
	must_end(EXIT_FAILED);
}

static void once_is_a_table_or_json(void **state)
{
	(void)state;
	/* Anywhere, also on no terminal worth the name. */
	TOP("dumb", 40, 250, (char *)"--once", BOTH);
	must_see("stream           state        MB/s");
	must_see("two              running");
	must_end(EXIT_OK);
	TOP("dumb", 90, 250, (char *)"--once", (char *)"--json", (char *)"sim:label=two");
	must_see("\"label\": \"two\"");
	must_see("\"app_usec_log2\"");
	must_end(EXIT_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(rates_are_those_between_two_looks, fresh),
		cmocka_unit_test_setup(another_set_up_counts_from_zero, fresh),
		cmocka_unit_test_setup(a_stream_comes_and_goes, fresh),
		cmocka_unit_test_setup(what_never_was_there_is_not_gone, fresh),
		cmocka_unit_test_setup(changes_of_state_and_troubles_are_remembered, fresh),
		cmocka_unit_test_setup(the_last_minute_is_kept, fresh),
		cmocka_unit_test(a_histogram_has_its_middle_and_its_end),
		cmocka_unit_test(the_screen_shows_streams_and_takes_keys),
		cmocka_unit_test(the_screen_takes_any_size),
		cmocka_unit_test(a_stream_that_goes_is_shown_so),
		cmocka_unit_test(signals_give_the_terminal_back),
		cmocka_unit_test(a_terminal_that_closes_ends_it),
		cmocka_unit_test(a_terminal_that_cannot_be_drawn_on_is_refused),
		cmocka_unit_test(once_is_a_table_or_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The tracepoints: each occurs where it should, with the fields that tools/sgring-trace.1
 * names; and whoever traces in an instance of his own disturbs nobody.
 */
#include <dirent.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "common.h"

#define TRACEFS		"/sys/kernel/tracing"
#define INSTANCE	TRACEFS "/instances/test_trace"

static const struct sgring_setup small = {
	.slot_bytes = 65536,
	.slot_count = 4,
	.queue_depth = 2,
	/* A stream whose returns need no kick. */
	.sq_idle_usec = 60000000,
};

static const char *const events[] = {
	"setup", "submit", "complete", "publish", "starve", "timer", "kick", "gate", "drop",
	"error", "stop",
};

/* ---- an instance of our own ---- */

static char *text;	/* what it has had, a line an event */
static size_t used, room;
static bool made;	/* the instance; it stays for all tests */
static char *where;	/* up to which event it has been looked at */

static void trace_end(void)
{
	rmdir(INSTANCE);
}

/* Empty, and all events on from now on. */
static void trace_begin(void)
{
	mount("trace", TRACEFS, "tracefs", 0, NULL);
	if (access(TRACEFS "/events/sgring", F_OK))
		skip();	/* a kernel without tracing */
	used = 0;
	if (made) {
		/* It takes time to switch them all; what was there before is cleared. */
		close(open(INSTANCE "/trace", O_WRONLY | O_TRUNC | O_CLOEXEC));
		return;
	}
	trace_end();
	assert_int_equal(mkdir(INSTANCE, 0700), 0);
	made = true;
	atexit(trace_end);
	file_write(INSTANCE "/events/sgring/enable", "1");
}

/* What has come since. */
static void trace_read(void)
{
	int fd = open(INSTANCE "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t n;

	assert_true(fd >= 0);
	do {
		if (room - used < 65536) {
			text = realloc(text, room += 1 << 20);
			assert_non_null(text);
		}
		n = read(fd, text + used, room - used - 1);
		used += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	close(fd);
	text[used] = 0;
	where = text;
}

static int stream_number(const char *label)
{
	return atoi(strrchr(dev_path(label), '/') + strlen("/sgring"));
}

/* Does a line have this NAME=VALUE? */
static bool line_has(const char *line, const char *end, const char *pair)
{
	size_t n = strlen(pair);
	const char *p;

	for (p = line; (p = strstr(p, pair)) && p < end; p++)
		if (p[-1] == ' ' && (p[n] == ' ' || p[n] == '\n'))
			return true;
	return false;
}

/*
 * The next event of that name with all of these pairs, blanks between them; "" for
 * any. From where the last one was found on. NULL: there is none.
 */
static const char *find(const char *event, const char *pairs)
{
	char mark[64], pair[64];
	char *line;

	snprintf(mark, sizeof(mark), ": sgring_%s: stream=", event);
	for (line = where; (line = strstr(line, mark)); line++) {
		const char *end = strchr(line, '\n'), *p = pairs;
		bool all = true;
		int n;

		while (all && end && sscanf(p, "%63s%n", pair, &n) == 1) {
			all = line_has(line, end + 1, pair);
			p += n;
		}
		if (!all || !end)
			continue;
		where = line + 1;
		return line;
	}
	return NULL;
}

#define FIND(event, ...) ({							\
	char pairs_[256];							\
	const char *line_;							\
										\
	snprintf(pairs_, sizeof(pairs_), __VA_ARGS__);				\
	line_ = find(event, pairs_);						\
	if (!line_)								\
		fail_msg("no %s with %s in\n%.4000s", event, pairs_, where);	\
	line_;									\
})

/* How many there are from the beginning. */
static unsigned int count(const char *event, const char *pairs)
{
	unsigned int n = 0;

	where = text;
	while (find(event, pairs))
		n++;
	where = text;
	return n;
}

/* A field of an event found; fails the test if it has none. */
static long long field(const char *line, const char *name)
{
	char mark[64];
	const char *p;

	snprintf(mark, sizeof(mark), " %s=", name);
	p = strstr(line, mark);
	assert_true(p && p < strchr(line, '\n'));
	return strtoll(p + strlen(mark), NULL, 0);
}

static bool has_flag(const char *line, const char *flag)
{
	const char *flags = strstr(line, " flags="), *p = strstr(flags, flag);

	return p && p < strchr(flags + 1, ' ');
}

/* ---- the tests ---- */

static void every_event_begins_with_the_streams_number(void **state)
{
	char path[200], line[300];
	unsigned int found = 0;
	struct dirent *e;
	size_t i;
	DIR *d;

	(void)state;
	trace_begin();
	for (i = 0; i < ARRAY_SIZE(events); i++) {
		bool first = false;
		FILE *f;

		snprintf(path, sizeof(path), TRACEFS "/events/sgring/sgring_%s/format", events[i]);
		f = fopen(path, "re");
		assert_non_null(f);
		while (fgets(line, sizeof(line), f)) {
			if (!strstr(line, "field:") || strstr(line, "common_"))
				continue;
			first = strstr(line, "field:int stream;");
			break;
		}
		fclose(f);
		if (!first)
			fail_msg("%s begins with %s", events[i], line);
	}
	/* And these are all. */
	d = opendir(TRACEFS "/events/sgring");
	assert_non_null(d);
	while ((e = readdir(d)))
		found += !strncmp(e->d_name, "sgring_", 7);
	closedir(d);
	assert_int_equal(found, ARRAY_SIZE(events));
}

static void a_run_is_told_from_setup_to_stop(void **state)
{
	int n = stream_number("rx0"), i;
	struct stream s;
	struct sgring_cqe e[8];
	const char *line;

	(void)state;
	trace_begin();
	knob_set("rx0", "rate", 20000000);
	s = stream_open("rx0", &small);
	stream_start(&s);
	for (i = 0; i < 8; i++) {
		e[i] = stream_expect(&s);
		stream_return(&s, e[i].slot, i);
	}
	stream_stop(&s);
	trace_read();

	line = FIND("setup", "stream=%d result=0 slot_bytes=65536 slot_count=4 queue_depth=2", n);
	assert_true(field(line, "memory_bytes") >= 4 * 65536);
	for (i = 0; i < 8; i++) {
		long long cookie;
		char *next;

		line = FIND("submit", "stream=%d slot=%u", n, e[i].slot);
		assert_in_range(field(line, "in_flight"), 1, 2);
		cookie = field(line, "cookie");
		next = where;
		line = FIND("complete", "stream=%d slot=%u cookie=%lld length=65536 residue=0 failed=0",
			    n, e[i].slot, cookie);
		line = FIND("publish", "stream=%d slot=%u sequence=%d position=%d length=65536 status=0",
			    n, e[i].slot, i, i * 65536);
		assert_int_equal(field(line, "engine_slots"), e[i].engine_slots);
		assert_in_range(field(line, "pending"), 1, 4);
		/* The next one was submitted before this one was published. */
		where = next;
	}
	where = text;
	FIND("publish", "stream=%d slot=-1 flags=eos status=0", n);
	FIND("stop", "stream=%d status=0 outcome= result=0 epoch=1", n);
}

static void a_refused_setup_is_told_with_its_errno(void **state)
{
	struct sgring_setup setup = { .slot_count = 1 };
	int fd = dev_open("rx1", O_RDWR);

	(void)state;
	trace_begin();
	assert_int_equal(sg_setup(fd, &setup), -ERANGE);
	trace_read();
	FIND("setup", "stream=%d result=%d slot_count=1 memory_bytes=0", stream_number("rx1"),
	     -ERANGE);
}

static void a_stall_is_told_with_its_timer_and_its_end(void **state)
{
	struct stream s = stream_open("rx0", &small);
	int n = stream_number("rx0");
	struct sgring_stats t;
	const char *line;

	(void)state;
	trace_begin();
	stream_start(&s);
	assert_int_equal(stream_wait(&s, 4, LONG_MS), 4);
	assert_true(WAIT_FOR(stats_of(s.fd).timer_runs >= 2, LONG_MS));
	stream_run(&s, 1);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_done >= 5, LONG_MS));
	stream_stop(&s);
	t = stats_of(s.fd);
	trace_read();
	FIND("starve", "stream=%d starved=1 stalled_ns=0 slots_app=4 slots_gated=0", n);
	line = FIND("timer", "stream=%d hit=0", n);
	assert_true(field(line, "next_usec") >= 500);
	FIND("timer", "stream=%d hit=1", n);
	assert_int_equal(count("timer", ""), t.timer_runs);
	line = FIND("starve", "stream=%d starved=0", n);
	assert_true(field(line, "stalled_ns") > 0);
	assert_int_equal(count("starve", "starved=1"), t.stalls);
}

static void a_kick_is_told_with_what_is_queued(void **state)
{
	struct sgring_setup setup = small;
	int n = stream_number("rx0");
	struct sgring_sqe *sqe;
	struct sgring_cqe e;
	struct stream s;

	(void)state;
	trace_begin();
	setup.sq_idle_usec = SGRING_OFF;
	s = stream_open("rx0", &setup);
	stream_start(&s);
	assert_int_equal(stream_wait(&s, 4, LONG_MS), 4);
	assert_true(WAIT_FOR(sgring_sq_asked(&s.sq), LONG_MS));
	e = stream_next(&s);
	sqe = sgring_sq_reserve(&s.sq);
	assert_non_null(sqe);
	sqe->slot = e.slot;
	assert_true(sgring_sq_submit(&s.sq));
	assert_int_equal(sg_kick(s.fd), 0);
	trace_read();
	FIND("kick", "stream=%d queued=1 starved=1", n);
	assert_int_equal(count("kick", ""), stats_of(s.fd).kicks);
}

static void the_gate_is_told_of_each_slot(void **state)
{
	struct sgring_setup setup = small;
	int ends[2], n = stream_number("rx0");
	struct iovec iov;
	struct sgring_cqe e;
	const char *line;
	struct stream s;

	(void)state;
	trace_begin();
	setup.gate_report_ms = 1;
	s = stream_open("rx0", &setup);
	assert_int_equal(pipe(ends), 0);
	stream_start(&s);
	e = stream_expect(&s);
	iov = (struct iovec){ slot_data(&s, e.slot), 4096 };
	assert_int_equal(vmsplice(ends[1], &iov, 1, 0), 4096);
	stream_return(&s, e.slot, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), stats_of(s.fd).gate_stuck), LONG_MS));
	close(ends[0]);
	close(ends[1]);
	assert_true(WAIT_FOR((stream_run(&s, 1), !stats_of(s.fd).slots_gated), LONG_MS));
	stream_stop(&s);
	trace_read();
	FIND("gate", "stream=%d slot=%u what=waits waited_ns=0 slots_gated=1", n, e.slot);
	line = FIND("gate", "stream=%d slot=%u what=stuck slots_gated=1", n, e.slot);
	assert_true(field(line, "waited_ns") > 1000000);
	line = FIND("gate", "stream=%d slot=%u what=passes slots_gated=0", n, e.slot);
	assert_true(field(line, "waited_ns") > 1000000);
}

/* What was lost according to the events of one kind. */
static uint64_t dropped(const char *why)
{
	const char *line;
	uint64_t bytes = 0;

	where = text;
	while ((line = find("drop", why)))
		bytes += (uint64_t)field(line, "bytes");
	where = text;
	return bytes;
}

static void drops_of_ours_are_told_by_the_byte(void **state)
{
	struct sgring_setup setup = small;
	int n = stream_number("rx0");
	struct sgring_stats t;
	struct stream s;

	(void)state;
	trace_begin();
	knob_set("rx0", "rate", 20000000);
	setup.overrun = SGRING_OVERRUN_DROP;
	s = stream_open("rx0", &setup);
	stream_start(&s);
	assert_true(WAIT_FOR(stats_of(s.fd).dropped_slots >= 3, LONG_MS));
	stream_stop(&s);
	t = stats_of(s.fd);
	trace_read();
	/* The four slots came first. */
	FIND("submit", "stream=%d slot=-1", n);
	FIND("drop", "stream=%d why=no_slot position=%d bytes=65536 sequence=4", n, 4 * 65536);
	assert_int_equal(count("drop", "why=no_slot"), t.dropped_slots);
	assert_int_equal(dropped("why=no_slot"), t.dropped_bytes);
}

static void losses_of_the_device_are_told_by_the_byte(void **state)
{
	uint64_t overflows = knob_get("rx0", "overflows");
	int n = stream_number("rx0");
	const char *line;
	struct stream s;

	(void)state;
	trace_begin();
	knob_set("rx0", "rate", 20000000);
	knob_set("rx0", "fifo_bytes", 65536);
	s = stream_open("rx0", &small);
	stream_start(&s);
	assert_int_equal(stream_wait(&s, 4, LONG_MS), 4);
	assert_true(WAIT_FOR(knob_get("rx0", "overflows") > overflows, LONG_MS));
	stream_run(&s, 8);
	stream_stop(&s);
	trace_read();
	FIND("drop", "stream=%d why=device", n);
	assert_int_equal(dropped("why=device"), stats_of(s.fd).lost_bytes);
	/* The entry that follows says so. */
	where = text;
	line = find("drop", "");
	do
		line = find("publish", "");
	while (line && !has_flag(line, "gap"));
	assert_non_null(line);
}

/* Goes on until an event is there. */
static void until_error(struct stream *s, const char *pairs)
{
	uint64_t until = now_ns() + LONG_MS * 1000000ULL;

	while (now_ns() < until) {
		struct sgring_cqe e = stream_next(s);
		size_t before = used;

		if (e.slot != SGRING_NO_SLOT)
			stream_return(s, e.slot, 0);
		trace_read();
		where = text + before;
		if (find("error", pairs))
			return;
	}
	fail_msg("no error with %s", pairs);
}

static void errors_of_the_engine_are_told_each_by_its_name(void **state)
{
	struct stream s;

	(void)state;
	trace_begin();
	knob_set("rx0", "rate", 4000000);
	s = stream_open("rx0", &small);
	stream_start(&s);
	knob_set("rx0", "fail_next", 1);
	until_error(&s, "what=engine value=4096");
	knob_set("rx0", "duplicate_next", 1);
	until_error(&s, "what=odd");
	knob_set("rx0", "prep_fail_next", 1);
	until_error(&s, "what=busy");
	knob_set_text("rx0", "residue", "bogus");
	until_error(&s, "what=residue");
	knob_set_text("rx0", "residue", "ok");
	/* What is returned goes to an engine that has nothing: something is there to be late. */
	knob_set("rx0", "stall", 1);
	assert_true(WAIT_FOR((sgring_cq_ready(&s.cq) ? stream_return(&s, stream_next(&s).slot, 0) : (void)0,
			      stats_of(s.fd).slots_engine), LONG_MS));
	knob_set("rx0", "late_next", 1);
	stream_stop(&s);
	knob_set("rx0", "stall", 0);
	assert_true(WAIT_FOR(stats_of(s.fd).late_callbacks, LONG_MS));
	trace_read();
	FIND("error", "what=late slot=-1");
}

static void errors_of_the_application_are_told_each_by_its_name(void **state)
{
	struct stream s = stream_open("rx0", &small);
	int n = stream_number("rx0");
	struct sgring_cqe e;
	uint32_t i;

	(void)state;
	trace_begin();
	stream_start(&s);
	/* Returned and not consumed: the CQ fills up. */
	for (i = 0; i < s.cq.count - 1; i++) {
		assert_true(stream_wait(&s, i + 1, LONG_MS) > i);
		stream_return(&s, sgring_cq_peek(&s.cq, i)->slot, 0);
	}
	assert_true(WAIT_FOR(stats_of(s.fd).cq_full > 0, LONG_MS));
	sgring_cq_consume(&s.cq, s.cq.count - 1);
	e = stream_next(&s);
	/* Twice the same. */
	stream_return(&s, e.slot, 0);
	stream_return(&s, e.slot, 0);
	assert_true(WAIT_FOR(stats_of(s.fd).sq_bad, LONG_MS));
	__atomic_store_n(&user_side(&s)->sq_producer, 0x40000000, __ATOMIC_RELEASE);
	assert_true(WAIT_FOR(kernel_side(&s)->state == SGRING_STATE_READY, LONG_MS));
	trace_read();
	FIND("error", "stream=%d what=cq_full", n);
	where = text;
	FIND("error", "stream=%d what=sq slot=%u value=%u", n, e.slot, s.cq.count);
	where = text;
	FIND("error", "stream=%d what=index slot=-1 value=%d", n, -EPROTO);
	FIND("stop", "stream=%d status=%d", n, -EPROTO);
}

static void an_instance_disturbs_nobody(void **state)
{
	struct stream s;

	(void)state;
	trace_begin();
	assert_int_equal(file_number(TRACEFS "/events/sgring/enable"), 0);
	file_write(INSTANCE "/events/sgring/enable", "0");
	file_write(INSTANCE "/events/sgring/sgring_stop/enable", "1");
	s = stream_open("rx0", &small);
	stream_start(&s);
	stream_run(&s, 4);
	stream_stop(&s);
	trace_read();
	assert_int_equal(count("stop", ""), 1);
	assert_int_equal(count("submit", ""), 0);
	assert_int_equal(rmdir(INSTANCE), 0);
	made = false;
}

GROUP(TEST(every_event_begins_with_the_streams_number),
      TEST(a_run_is_told_from_setup_to_stop),
      TEST(a_refused_setup_is_told_with_its_errno),
      TEST(a_stall_is_told_with_its_timer_and_its_end),
      TEST(a_kick_is_told_with_what_is_queued),
      TEST(the_gate_is_told_of_each_slot),
      TEST(drops_of_ours_are_told_by_the_byte),
      TEST(losses_of_the_device_are_told_by_the_byte),
      TEST(errors_of_the_engine_are_told_each_by_its_name),
      TEST(errors_of_the_application_are_told_each_by_its_name),
      TEST(an_instance_disturbs_nobody))

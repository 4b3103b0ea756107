// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What the simulator has and the driver has not: names with options, faults, kinds of pages. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <liburing.h>

#include "../../userlib/sim.h"
#include "pattern.h"
#include "sgring.h"

#define SLOT 65536U
#define LONG 20000
#define SMALL SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 8)

static struct sgring *started(const char *name, const struct sgring_options *o)
{
	struct sgring *s;

	if (sgring_open(&s, name, o) || sgring_start(s))
		fail_msg("%s: %s", name, sgring_errmsg());
	return s;
}

static struct sgring_slot next_of(struct sgring *s, unsigned int stream)
{
	struct sgring_slot b;

	if (sgring_next(s, &b, LONG))
		fail_msg("%s", sgring_errmsg());
	assert_int_equal(sgring_pattern_verify(b.data, b.length, sgring_pattern_key(stream),
					       b.position), b.length);
	return b;
}

static struct sgring_slot next(struct sgring *s)
{
	return next_of(s, 0);
}

static struct sgring_stats stats_now(struct sgring *s)
{
	struct sgring_stats st;

	assert_int_equal(sgring_stats(s, &st), 0);
	return st;
}

static void wrong_names_are_refused_with_what_would_be_right(void **state)
{
	static const struct {
		const char *name, *line;
	} wrong[] = {
		{ "sim:rat=5", "sim: no option \"rat\"; there are: label, rate, fifo, " },
		{ "sim:rate", "sim: rate=: it takes bytes per second, as 100M" },
		{ "sim:rate=", "sim: rate=: it takes bytes per second" },
		{ "sim:rate=fast", "sim: rate=fast: it takes bytes per second" },
		{ "sim:rate=5X", "sim: rate=5X: it takes" },
		{ "sim:rate=99999999999999999999", "sim: rate=99999999999999999999: it takes" },
		{ "sim:rate=99999999T", "sim: rate=99999999T: it takes" },
		{ "sim:rate=-1", "sim: rate=-1: it takes" },
		{ "sim:packet=10,,rate=5", "sim: no option \"\"" },
		{ "sim:fifo=0", "sim: fifo=0: it takes bytes the device can hold back" },
		{ "sim:stream=255", "sim: stream=255: it takes number of the pattern, 0 to 254" },
		{ "sim:pages=2m", "sim: pages=2m: it takes auto, 4k, thp or huge" },
		{ "sim:fill=2", "sim: fill=2: it takes 1: make data" },
		{ "sim:width=3", "sim: width=3: it takes bytes the device moves at a time, a power of two" },
		{ "sim:lose=5", "sim: lose=5: it takes BYTES@TRANSFER" },
		{ "sim:lose=5@x", "sim: lose=5@x: it takes BYTES@TRANSFER" },
		{ "sim:fail=1K", "sim: fail=1K: it takes number of a transfer" },
		{ "sim:label=a b", "sim: label=a b: it takes a name" },
		{ "sim:label=0123456789012345678901234567890x", "it takes a name of letters" },
		{ "sim:file=", "sim: file=: it takes the path of a file" },
		{ "sim:file=/no/such", "sim: file=/no/such: No such file" },
		{ "sim:file=/dev/null", "sim: file=/dev/null: neither a file nor a block device" },
	};
	char long_name[2000];
	struct sgring *s;
	size_t i;
	int err;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		err = sgring_open(&s, wrong[i].name, NULL);
		if (err != (strstr(wrong[i].line, "No such") ? -ENOENT : -EINVAL) || s ||
		    !strstr(sgring_errmsg(), wrong[i].line))
			fail_msg("%s: %d, \"%s\"", wrong[i].name, err, sgring_errmsg());
		assert_int_equal(sgring_observe(&s, wrong[i].name), err);
	}
	memset(long_name, 'x', sizeof(long_name));
	memcpy(long_name, "sim:", 4);
	long_name[sizeof(long_name) - 1] = 0;
	assert_int_equal(sgring_open(&s, long_name, NULL), -EINVAL);
}

static void sizes_are_read_as_the_tools_do(void **state)
{
	static const struct {
		const char *name;
		uint64_t rate;
	} right[] = {
		{ "sim:", 0 }, { "sim:rate=1", 1 }, { "sim:rate=2k", 2048 }, { "sim:rate=2KB", 2000 },
		{ "sim:rate=3M", 3 << 20 }, { "sim:rate=3MiB", 3 << 20 }, { "sim:rate=1GB", 1000000000 },
		{ "sim:rate=1g", 1 << 30 }, { "sim:rate=0", 0 },
	};
	struct sgring_sim_options o;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		assert_int_equal(sgring_sim_parse(right[i].name, &o), 0);
		assert_int_equal(o.rate, right[i].rate);
	}
	assert_int_equal(sgring_sim_parse("sim:lose=2K@7,packet=10,jitter=3,spin=1,file=a,b=c", &o), 0);
	assert_int_equal(o.lose_bytes, 2048);
	assert_int_equal(o.lose_at, 7);
	assert_int_equal(o.packet_bytes, 10);
	assert_int_equal(o.packet_jitter, 3);
	assert_true(o.spin && o.fill);
	assert_string_equal(o.file, "a,b=c");
}

static void streams_differ_and_do_not_disturb_each_other(void **state)
{
	struct sgring *a = started("sim:stream=3", SMALL), *b = started("sim:stream=4", SMALL);
	struct sgring_slot x, y;
	struct sgring_query q;
	int i;

	(void)state;
	for (i = 0; i < 50; i++) {
		x = next_of(a, 3);
		y = next_of(b, 4);
		assert_int_equal(x.sequence, i);
		assert_int_equal(y.sequence, i);
		sgring_return(a, &x);
		sgring_return(b, &y);
	}
	assert_int_equal(sgring_query(a, &q), 0);
	assert_string_equal(q.label, "sim");
	assert_string_equal(q.engine, "sgring-sim");
	assert_int_equal(q.features & (SGRING_FEAT_GATE | SGRING_FEAT_READ), 0);
	assert_true(q.total_bytes >= 2 * 8 * SLOT);
	assert_int_equal(sgring_close(a), 0);
	assert_int_equal(sgring_close(b), 0);
}

static void a_label_finds_the_stream_as_long_as_somebody_has_it(void **state)
{
	struct sgring *s, *o, *other;
	struct sgring_query q;

	(void)state;
	assert_int_equal(sgring_observe(&o, "sim:label=here"), 0);
	assert_int_equal(sgring_query(o, &q), 0);
	assert_int_equal(q.state, SGRING_STATE_IDLE);
	assert_null(sgring_geometry(o));
	/* It is there now, as it was made. */
	assert_int_equal(sgring_open(&s, "sim:label=here,rate=5", NULL), -EBUSY);
	assert_non_null(strstr(sgring_errmsg(), "\"here\" is there already, with other options"));
	assert_int_equal(sgring_open(&s, "sim:label=here", SMALL), 0);
	assert_int_equal(sgring_open(&other, "sim:label=here", NULL), -EBUSY);
	assert_int_equal(sgring_open(&other, "sim:label=there", SMALL), 0);
	sgring_close(other);
	sgring_close(s);
	assert_int_equal(sgring_open(&s, "sim:label=here", SMALL), 0);
	sgring_close(s);
	sgring_close(o);
	/* And now it is another. */
	assert_int_equal(sgring_open(&s, "sim:label=here,rate=5", SMALL), 0);
	assert_int_equal(sgring_observe(&o, "sim:label=here"), 0);
	sgring_close(o);
	assert_int_equal(sgring_observe(&o, "sim:label=here,rate=5"), 0);
	sgring_close(s);
	sgring_close(o);
}

static void there_is_no_gate_and_nothing_pretends_otherwise(void **state)
{
	struct sgring *s = started("sim:", SMALL);
	struct sgring_tune on = { .gate = SGRING_GATE_ON }, keep = { 0 };

	(void)state;
	assert_true(sgring_setup(s)->flags & SGRING_SETUP_NO_GATE);
	assert_false(stats_now(s).flags & SGRING_STATS_GATE);
	assert_int_equal(sgring_tune(s, &on), -EOPNOTSUPP);
	assert_int_equal(sgring_tune(s, &keep), 0);
	assert_int_equal(keep.gate, SGRING_GATE_OFF);
	sgring_close(s);
}

static void faults_happen_when_they_are_due(void **state)
{
	struct sgring *s = started("sim:short=2,fail=4,lose=777@6,pause=8", SMALL);
	uint64_t position = 0;
	struct sgring_slot b;
	int i;

	(void)state;
	for (i = 0; i < 8; i++) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		assert_int_equal(b.sequence, i);
		assert_int_equal(b.status, i == 4 ? -EIO : 0);
		assert_int_equal(b.length, i == 2 ? SLOT / 2 : i == 4 ? 0 : SLOT);
		assert_int_equal(b.flags & SGRING_EOP, i == 2 ? SGRING_EOP : 0);
		position += i == 5 ? SLOT / 2 : i == 6 ? 777 : 0;
		assert_int_equal(b.position, position);
		assert_int_equal(b.lost, i == 5 ? SLOT / 2 : i == 6 ? 777 : 0);
		assert_int_equal(sgring_pattern_verify(b.data, b.length, sgring_pattern_key(0),
						       b.position), b.length);
		position += b.length;
		sgring_return(s, &b);
	}
	assert_int_equal(sgring_next(s, &b, 30), -ETIMEDOUT);
	assert_int_equal(sgring_close(s), 1);
}

/* The engine has got so far with the slot behind @b. */
static void wait_for_the_engine(struct sgring *s, const struct sgring_slot *b, uint64_t offset)
{
#ifndef __SANITIZE_THREAD__	/* it is not ours to look at yet */
	const unsigned char *data = sgring_data(s, !b->index);

	while (sgring_pattern_verify(data + offset, 8, sgring_pattern_key(0),
				     b->position + b->length + offset) != 8)
		;
#else
	(void)s;
	(void)b;
	(void)offset;
#endif
}

/* Before its middle, where that ends it, or beyond, where it is too late. */
static void a_fault_may_be_set_while_its_transfer_is_under_way(void **state)
{
	const uint64_t bytes = 8 << 20;
	struct sgring *s = started("sim:", SGRING_OPTIONS(.slot_bytes = bytes, .slot_count = 2));
	struct sgring_sim_options o;
	struct sgring_slot b;
	unsigned int i;

	(void)state;
	sgring_sim_defaults(&o);
	for (i = 0; i < 20; i++) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		wait_for_the_engine(s, &b, i % 2 ? bytes / 4 : bytes / 8 * 5);
		o.short_at = i + 1;
		assert_int_equal(sgring_sim_change(sgring_fd(s), &o), 0);
		assert_int_equal(b.sequence, i);
		assert_true(b.length == bytes || b.length == bytes / 2);
		assert_int_equal(sgring_pattern_verify(b.data, b.length, sgring_pattern_key(0),
						       b.position), b.length);
		sgring_return(s, &b);
		sgring_flush(s);
	}
	sgring_close(s);
}

static void the_end_comes_when_it_is_due_and_in_every_epoch(void **state)
{
	struct sgring *s;
	struct sgring_slot b;
	int round, i;

	(void)state;
	assert_int_equal(sgring_open(&s, "sim:end=20", SMALL), 0);
	for (round = 0; round < 3; round++) {
		assert_int_equal(sgring_start(s), 0);
		for (i = 0; i < 20; i++) {
			b = next(s);
			sgring_return(s, &b);
		}
		assert_int_equal(sgring_next(s, &b, LONG), -ENODATA);
		assert_int_equal(b.status, -ESHUTDOWN);
		assert_int_equal(sgring_next(s, &b, LONG), -ENODATA);
	}
	assert_int_equal(sgring_close(s), 0);
}

static void a_device_that_is_gone_hangs_up(void **state)
{
	struct pollfd p = { .events = POLLIN };
	struct sgring_slot b, last;
	struct sgring_query q;
	struct sgring *s, *o;
	int i;

	(void)state;
	assert_int_equal(sgring_open(&s, "sim:label=x,die=3", SMALL), 0);
	assert_int_equal(sgring_observe(&o, "sim:label=x"), 0);
	assert_int_equal(sgring_start(s), 0);
	p.fd = sgring_fd(s);
	for (i = 0; i < 3; i++)
		last = next(s);
	assert_int_equal(sgring_next(s, &b, LONG), -ENODATA);
	assert_int_equal(b.status, -ENODEV);
	assert_int_equal(sgring_next(s, &b, LONG), -ENODEV);
	assert_int_equal(poll(&p, 1, LONG), 1);
	assert_true(p.revents & POLLHUP);
	assert_int_equal(sgring_start(s), -ENODEV);
	assert_int_equal(sgring_query(o, &q), -ENODEV);
	assert_int_equal(stats_now(o).state, SGRING_STATE_DEAD);
	assert_int_equal(sgring_pattern_verify(last.data, last.length, sgring_pattern_key(0),
					       last.position), last.length);
	assert_int_equal(sgring_close(s), -ENODEV);
	assert_int_equal(sgring_open(&s, "sim:label=x", SMALL), -ENODEV);
	sgring_close(o);
}

static void packets_shorten_by_their_jitter_the_same_in_every_run(void **state)
{
	uint32_t lengths[2][100], least = UINT32_MAX, most = 0;
	struct sgring_slot b;
	struct sgring *s;
	int run, i;

	(void)state;
	for (run = 0; run < 2; run++) {
		s = started("sim:packet=1500,jitter=500", SMALL);
		for (i = 0; i < 100; i++) {
			b = next(s);
			assert_true(b.flags & SGRING_EOP);
			assert_in_range(b.length, 1000, 1500);
			lengths[run][i] = b.length;
			least = b.length < least ? b.length : least;
			most = b.length > most ? b.length : most;
			sgring_return(s, &b);
		}
		assert_int_equal(sgring_close(s), 0);
	}
	assert_memory_equal(lengths[0], lengths[1], sizeof(lengths[0]));
	assert_true(least < 1100 && most > 1400);
}

/* Never faster than its rate; how much slower is the machine's affair. */
static void a_rate_is_kept(void **state)
{
	struct sgring *s = started("sim:rate=8M,fifo=1T", SMALL);
	struct sgring_slot b;
	uint64_t first = 0;
	int i;

	(void)state;
	for (i = 0; i < 64; i++) {
		b = next(s);
		assert_int_equal(b.lost, 0);
		first = i ? first : b.device_time_ns;
		assert_true(b.device_time_ns + 1 >= (b.position + b.length) * 1000000000 / (8 << 20));
		sgring_return(s, &b);
	}
	assert_int_equal(sgring_close(s), 0);
}

static void without_filling_the_memory_stays_as_it_is(void **state)
{
	struct sgring *s;
	struct sgring_slot b;
	int i;

	(void)state;
	assert_int_equal(sgring_open(&s, "sim:fill=0,pause=1000", SMALL), 0);
	for (i = 0; i < 8; i++)
		memset(sgring_data(s, i), i + 1, SLOT);
	assert_int_equal(sgring_start(s), 0);
	for (i = 0; i < 1000; i++) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		assert_int_equal(b.length, SLOT);
		assert_int_equal(b.position, (uint64_t)i * SLOT);
		assert_int_equal(b.data[0], b.index + 1);
		assert_int_equal(b.data[SLOT - 1], b.index + 1);
		sgring_return(s, &b);
	}
	assert_int_equal(sgring_close(s), 0);
}

static void a_spinning_device_needs_no_timer_and_no_kick(void **state)
{
	struct sgring *s = started("sim:fill=0,spin=1", SGRING_OPTIONS(.slot_bytes = 4096,
				   .slot_count = 64, .sq_idle_usec = SGRING_OFF));
	struct sgring_counters c;
	struct sgring_slot b;
	int i;

	(void)state;
	for (i = 0; i < 20000; i++) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		assert_int_equal(b.sequence, i);
		sgring_return(s, &b);
	}
	sgring_counters(s, &c);
	assert_int_equal(c.kicks, 0);
	assert_int_equal(stats_now(s).timer_runs, 0);
	assert_int_equal(sgring_close(s), 0);
}

/* Also while it makes data, which it does without a pause. */
static void a_spinning_device_can_be_stopped(void **state)
{
	struct sgring *s = started("sim:spin=1", SGRING_OPTIONS(.slot_bytes = 1 << 20, .slot_count = 2));
	struct sgring_slot b;
	int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		assert_int_equal(sgring_next(s, &b, 20000), 0);
		sgring_return(s, &b);
		assert_return_code(sgring_stop(s, 0, 0), 0);
		while (sgring_next(s, &b, 20000) != -ENODATA)
			sgring_return(s, &b);
		assert_int_equal(sgring_start(s), 0);
	}
	sgring_close(s);
}

static void its_own_time_can_be_told(void **state)
{
	struct sgring *s = started("sim:", SMALL);
	struct timespec before, after;
	struct sgring_slot b;
	clockid_t clock;
	int i;

	(void)state;
	assert_int_equal(sgring_sim_clock(sgring_fd(s), &clock), 0);
	clock_gettime(clock, &before);
	for (i = 0; i < 500; i++) {
		b = next(s);
		sgring_return(s, &b);
	}
	clock_gettime(clock, &after);
	assert_true(after.tv_sec > before.tv_sec ||
		    (after.tv_sec == before.tv_sec && after.tv_nsec > before.tv_nsec));
	sgring_close(s);
	assert_int_equal(sgring_sim_clock(0, &clock), -EBADF);
}

/* Bytes of the mapping at @at that lie in huge pages, says the kernel; UINT64_MAX: it does not. */
static uint64_t huge_bytes(const void *at)
{
	unsigned long long from, to, kib;
	bool here = false;
	char line[256];
	uint64_t bytes = UINT64_MAX;
	FILE *f = fopen("/proc/self/smaps", "re");

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			here = from <= (uintptr_t)at && (uintptr_t)at < to;
		else if (here && sscanf(line, "AnonHugePages: %llu", &kib) == 1)
			bytes = kib * 1024;
	}
	if (f)
		fclose(f);
	return bytes;
}

static void pages_are_what_is_told(void **state)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct sgring_run run;
	struct sgring *s;
	int err;

	(void)state;
	assert_int_equal(sgring_open(&s, "sim:pages=4k", SGRING_OPTIONS(.slot_bytes = 4 << 20,
									.slot_count = 2)), 0);
	assert_int_equal(sgring_layout(s, 1, &run, 1), 1);
	assert_int_equal(run.chunk_bytes, page);
	assert_int_equal(run.chunks, (4 << 20) / page);
	assert_int_equal(sgring_geometry(s)->chunk_bytes_max, page);
	assert_int_equal(sgring_setup(s)->chunk_bytes, page);
	assert_int_equal(huge_bytes(sgring_data(s, 0)), 0);
	sgring_close(s);

	assert_int_equal(sgring_open(&s, "sim:", SGRING_OPTIONS(.slot_bytes = 4 << 20, .slot_count = 2,
								.chunk_bytes = page)), 0);
	assert_int_equal(sgring_geometry(s)->chunk_bytes_max, page);
	sgring_close(s);

	assert_int_equal(sgring_open(&s, "sim:", SGRING_OPTIONS(.slot_bytes = 4 << 20, .slot_count = 2)), 0);
	assert_int_equal(sgring_layout(s, 1, &run, 1), 1);
	assert_int_equal(run.chunk_bytes * run.chunks, 4 << 20);
	if (run.chunk_bytes == 2 << 20)
		assert_true(huge_bytes(sgring_data(s, 0)) >= 8 << 20);
	else
		assert_int_equal(run.chunk_bytes, page);
	sgring_close(s);

	err = sgring_open(&s, "sim:pages=thp", SGRING_OPTIONS(.slot_bytes = 4 << 20, .slot_count = 2));
	if (err) {
		assert_int_equal(err, -ENOMEM);
		assert_non_null(strstr(sgring_errmsg(), "pages=thp: this kernel gives no transparent huge pages"));
		print_message("no transparent huge pages here\n");
	} else {
		assert_int_equal(sgring_geometry(s)->chunk_bytes_min, 2 << 20);
		sgring_close(s);
		/* Several slots in a page: each is one chunk. */
		assert_int_equal(sgring_open(&s, "sim:pages=thp", SMALL), 0);
		assert_int_equal(sgring_geometry(s)->chunk_bytes_min, SLOT);
		sgring_close(s);
	}

	err = sgring_open(&s, "sim:pages=huge", SGRING_OPTIONS(.slot_bytes = 4 << 20, .slot_count = 2));
	if (err) {
		assert_int_equal(err, -ENOMEM);
		assert_non_null(strstr(sgring_errmsg(), "pages=huge: 4 reserved pages of 2 MiB needed, "));
		print_message("no reserved huge pages here\n");
	} else {
		assert_int_equal(sgring_geometry(s)->chunk_bytes_min, 2 << 20);
		sgring_close(s);
	}
}

static void engine_limits_are_kept_with_the_drivers_lines(void **state)
{
	struct sgring *s;

	(void)state;
	assert_int_equal(sgring_open(&s, "sim:pages=4k,segments=255", SGRING_OPTIONS(.slot_bytes = 8 << 20)),
			 -EMSGSIZE);
	assert_non_null(strstr(sgring_errmsg(), "slot of 8388608 bytes: the engine takes segments of at most 4294967295 bytes in multiples of 1, at most 255 of them"));
	assert_int_equal(sgring_open(&s, "sim:pages=4k,segments=255",
				     SGRING_OPTIONS(.slot_bytes = 512 << 10)), 0);
	assert_int_equal(sgring_geometry(s)->segments, 128);
	sgring_close(s);
	assert_int_equal(sgring_open(&s, "sim:width=64", SGRING_OPTIONS(.slot_bytes = 100)), -EINVAL);
	assert_non_null(strstr(sgring_errmsg(), "slot_bytes of 100: the engine moves multiples of 64, so 64 or 128"));
	assert_int_equal(sgring_open(&s, "sim:segment=64K", SGRING_OPTIONS(.slot_bytes = 1 << 20,
				     .chunk_policy = SGRING_CHUNK_SINGLE)), -EMSGSIZE);
	assert_non_null(strstr(sgring_errmsg(), "slot of 1048576 bytes in one segment: at most 65536 here"));
	assert_int_equal(sgring_open(&s, "sim:", SGRING_OPTIONS(.slot_bytes = 1 << 30, .slot_count = 60000)),
			 -EDQUOT);
	assert_non_null(strstr(sgring_errmsg(), "over a quarter of this machine's memory"));
	assert_int_equal(sgring_open(&s, "sim:pages=4k", SGRING_OPTIONS(.chunk_policy = SGRING_CHUNK_EQUAL,
				     .chunk_bytes = 65536)), -ENOMEM);
	assert_non_null(strstr(sgring_errmsg(), "in chunks of 65536 bytes"));
}

static void a_file_is_the_data_and_its_end_the_end(void **state)
{
	static unsigned char all[300001];
	const char *path = FOLDER "/sim-data";
	struct sgring_slot b;
	char name[300];
	struct sgring *s;
	uint64_t at;
	FILE *f;
	int round;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(all); i++)
		all[i] = (unsigned char)(i * 7 + i / 251);
	f = fopen(path, "we");
	assert_int_equal(fwrite(all, 1, sizeof(all), f), sizeof(all));
	fclose(f);
	for (round = 0; round < 4; round++) {
		snprintf(name, sizeof(name), "sim:%sfile=%s", round & 1 ? "rate=20M," : "", path);
		s = started(name, SMALL);
		for (at = 0; !sgring_next(s, &b, LONG); at += b.length) {
			assert_int_equal(b.position, at);
			assert_memory_equal(b.data, all + at, b.length);
			assert_int_equal(!!(b.flags & SGRING_EOP), at + b.length == sizeof(all));
			sgring_return(s, &b);
		}
		assert_true(b.flags & SGRING_EOS);
		assert_int_equal(b.status, 0);
		assert_int_equal(at, sizeof(all));
		if (round == 0) {	/* from the beginning again */
			assert_int_equal(sgring_start(s), 0);
			assert_int_equal(sgring_next(s, &b, LONG), 0);
			assert_memory_equal(b.data, all, b.length);
		}
		assert_int_equal(sgring_close(s), 0);
		/* An empty one ends at once. */
		if (round == 2) {
			assert_int_equal(truncate(path, 0), 0);
			s = started(name, SMALL);
			assert_int_equal(sgring_next(s, &b, LONG), -ENODATA);
			assert_int_equal(b.position, 0);
			assert_int_equal(sgring_close(s), 0);
			break;
		}
	}
	unlink(path);
}

static void epoll_sees_it(void **state)
{
	struct sgring *s = started("sim:rate=16M", SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16,
								  .wake_slots = 4));
	int poller = epoll_create1(EPOLL_CLOEXEC), seen = 0, wakes = 0;
	struct epoll_event e = { .events = EPOLLIN };
	struct sgring_slot b;

	(void)state;
	assert_int_equal(epoll_ctl(poller, EPOLL_CTL_ADD, sgring_fd(s), &e), 0);
	while (seen < 200) {
		assert_int_equal(sgring_flush(s), 0);
		assert_int_equal(epoll_wait(poller, &e, 1, LONG), 1);
		for (wakes++; !sgring_next(s, &b, 0); seen++)
			sgring_return(s, &b);
	}
	/* It was not readable for what was consumed. */
	assert_true(wakes <= seen + 1);
	close(poller);
	sgring_close(s);
}

/* Memory the kernel may keep: it is sent without a copy, written and registered. */
static void slots_are_memory_for_the_kernel(void **state)
{
	static const char *const kinds[] = { "sim:pages=4k", "sim:" };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(a);
	struct io_uring ring;
	struct sgring_slot b;
	struct iovec iov;
	struct sgring *s;
	int one = 1, fd, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		s = started(kinds[i], SMALL);
		b = next(s);
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fd, (void *)&a, sizeof(a)), 0);
		assert_int_equal(getsockname(fd, (void *)&a, &length), 0);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)), 0);
		assert_int_equal(sendto(fd, b.data, 30000, MSG_ZEROCOPY, (void *)&a, sizeof(a)), 30000);
		close(fd);
		a.sin_port = 0;
		fd = open(FOLDER "/sim-direct", O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
		if (fd >= 0) {
			assert_int_equal(pwrite(fd, b.data, SLOT, 0), SLOT);
			close(fd);
			unlink(FOLDER "/sim-direct");
		}
		if (!io_uring_queue_init(4, &ring, 0)) {
			iov = (struct iovec){ sgring_data(s, 0), 8 * SLOT };
			assert_int_equal(io_uring_register_buffers(&ring, &iov, 1), 0);
			io_uring_queue_exit(&ring);
		}
		sgring_close(s);
	}
}

/* A child has neither the slots nor the device. */
static void a_child_is_not_the_owner(void **state)
{
	struct sgring *s = started("sim:", SMALL);
	struct sgring_slot b = next(s);
	int status, i;
	pid_t child;

	(void)state;
	child = fork();
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		(void)*(volatile unsigned char *)b.data;
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && !WEXITSTATUS(status));
	sgring_return(s, &b);
	for (i = 0; i < 50; i++) {
		b = next(s);
		sgring_return(s, &b);
	}
	assert_int_equal(sgring_close(s), 0);
}

#ifndef __SANITIZE_THREAD__	/* which has no threads after a fork */
static int of_its_own(void)
{
	struct sgring_query q;
	struct sgring_slot b;
	struct sgring *s;
	int i;

	alarm(20);
	if (sgring_open(&s, "sim:stream=7", SMALL) || sgring_query(s, &q) || sgring_start(s))
		return 1;
	for (i = 0; i < 3; i++)
		if (sgring_next(s, &b, LONG) || sgring_return(s, &b))
			return 2;
	return sgring_close(s) ? 3 : 0;
}

/* Whatever its parent's streams were at when it was made. */
static void a_child_can_have_a_stream_of_its_own(void **state)
{
	struct sgring *s = started("sim:fill=0", SGRING_OPTIONS(.slot_bytes = 4096, .slot_count = 4,
								.overrun = SGRING_OVERRUN_DROP));
	int status, i;
	pid_t child;

	(void)state;
	for (i = 0; i < 40; i++) {
		child = fork();
		if (!child)
			_exit(of_its_own());
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
	sgring_close(s);
}
#endif

static void a_child_does_not_keep_a_lost_device_alive(void **state)
{
	struct pollfd p = { .events = POLLIN };
	struct sgring_slot b;
	struct sgring *s;
	pid_t child;
	int i, err;

	(void)state;
	assert_int_equal(sgring_open(&s, "sim:die=3", SMALL), 0);
	child = fork();
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
	}
	assert_int_equal(sgring_start(s), 0);
	for (i = 0; i < 3; i++)
		next(s);
	while ((err = sgring_next(s, &b, LONG)) == -ENODATA)
		;
	assert_int_equal(err, -ENODEV);
	p.fd = sgring_fd(s);
	/* The child lets go of it as soon as it runs. */
	for (i = 0; i < 10000 && !(p.revents & POLLHUP); i++) {
		assert_int_equal(poll(&p, 1, LONG), 1);
		usleep(1000);
	}
	assert_true(p.revents & POLLHUP);
	assert_int_equal(sgring_close(s), -ENODEV);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Whoever asks gets an answer, however busy the device is. */
static void *ask(void *arg)
{
	struct sgring *o = arg;
	struct sgring_stats st;
	int i;

	for (i = 0; i < 2000; i++)
		if (sgring_stats(o, &st))
			return o;
	return NULL;
}

static void a_busy_device_answers(void **state)
{
	static const char *const names[] = { "sim:label=busy,fill=0", "sim:label=busy,fill=0,spin=1",
					     "sim:label=busy" };
	struct sgring *s, *o;
	struct sgring_slot b;
	pthread_t thread;
	void *wrong;
	int i, n;

	(void)state;
	for (i = 0; i < 3; i++) {
		s = started(names[i], SGRING_OPTIONS(.slot_bytes = 4096, .slot_count = 4,
						     .overrun = SGRING_OVERRUN_DROP));
		assert_int_equal(sgring_observe(&o, "sim:label=busy"), 0);
		pthread_create(&thread, NULL, ask, o);
		for (n = 0; n < 500; n++) {
			assert_int_equal(sgring_next(s, &b, LONG), 0);
			assert_int_equal(b.position, b.sequence * 4096);
			sgring_return(s, &b);
		}
		pthread_join(thread, &wrong);
		assert_null(wrong);
		assert_true(sgring_stop(s, SGRING_STOP_DRAIN, 0) >= 0);
		sgring_close(s);
		sgring_close(o);
	}
}

static void *open_and_close(void *arg)
{
	struct sgring_query q;
	struct sgring_slot b;
	struct sgring *s;
	int round, i;

	for (round = 0; round < 20; round++) {
		if (sgring_open(&s, arg, SMALL))
			return arg;
		if (sgring_query(s, &q) || sgring_start(s))
			return arg;
		for (i = 0; i < 20; i++)
			if (sgring_next(s, &b, LONG) || sgring_return(s, &b))
				return arg;
		if (sgring_close(s))
			return arg;
	}
	return NULL;
}

static void streams_come_and_go_in_several_threads(void **state)
{
	static char *names[] = { "sim:", "sim:stream=1,pages=4k", "sim:label=z,stream=2" };
	pthread_t threads[3];
	void *wrong;
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, open_and_close, names[i]);
	for (i = 0; i < 3; i++) {
		pthread_join(threads[i], &wrong);
		assert_null(wrong);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_names_are_refused_with_what_would_be_right),
		cmocka_unit_test(sizes_are_read_as_the_tools_do),
		cmocka_unit_test(streams_differ_and_do_not_disturb_each_other),
		cmocka_unit_test(a_label_finds_the_stream_as_long_as_somebody_has_it),
		cmocka_unit_test(there_is_no_gate_and_nothing_pretends_otherwise),
		cmocka_unit_test(faults_happen_when_they_are_due),
		cmocka_unit_test(a_fault_may_be_set_while_its_transfer_is_under_way),
		cmocka_unit_test(the_end_comes_when_it_is_due_and_in_every_epoch),
		cmocka_unit_test(a_device_that_is_gone_hangs_up),
		cmocka_unit_test(packets_shorten_by_their_jitter_the_same_in_every_run),
		cmocka_unit_test(a_rate_is_kept),
		cmocka_unit_test(without_filling_the_memory_stays_as_it_is),
		cmocka_unit_test(a_spinning_device_needs_no_timer_and_no_kick),
		cmocka_unit_test(a_spinning_device_can_be_stopped),
		cmocka_unit_test(its_own_time_can_be_told),
		cmocka_unit_test(pages_are_what_is_told),
		cmocka_unit_test(engine_limits_are_kept_with_the_drivers_lines),
		cmocka_unit_test(a_file_is_the_data_and_its_end_the_end),
		cmocka_unit_test(epoll_sees_it),
		cmocka_unit_test(slots_are_memory_for_the_kernel),
		cmocka_unit_test(a_child_is_not_the_owner),
#ifndef __SANITIZE_THREAD__
		cmocka_unit_test(a_child_can_have_a_stream_of_its_own),
#endif
		cmocka_unit_test(a_child_does_not_keep_a_lost_device_alive),
		cmocka_unit_test(a_busy_device_answers),
		cmocka_unit_test(streams_come_and_go_in_several_threads),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}

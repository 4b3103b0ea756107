// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The ioctls against uapi/linux/sgring.h: every refusal with its errno and its
 * line of text, nothing left behind by one, and what is told about a set-up.
 */
#include <sys/stat.h>
#include <sys/wait.h>

#include "common.h"

#define PAGE	4096ULL

static const struct sgring_setup small = { .slot_bytes = 8192, .slot_count = 4 };

/* ---- what a set-up refuses ---- */

struct refusal {
	struct sgring_setup setup;
	int error;
	const char *text[3];	/* what the line must hold */
};

/* On an open, idle stream; afterwards all is as before, and a good set-up works. */
static void refuses(int fd, const struct refusal *r)
{
	struct sgring_query before = query_of(fd), after;
	struct sgring_setup setup = r->setup;
	char text[256] = "?";
	size_t i;
	int ret;

	setup.message = (uintptr_t)text;
	setup.message_bytes = sizeof(text);
	ret = sg_setup(fd, &setup);
	if (ret != r->error)
		fail_msg("%d instead of %d (%s)", ret, r->error, text);
	for (i = 0; i < ARRAY_SIZE(r->text) && r->text[i]; i++)
		if (!strstr(text, r->text[i]))
			fail_msg("\"%s\" says nothing of \"%s\"", text, r->text[i]);
	after = query_of(fd);
	assert_int_equal(after.state, SGRING_STATE_IDLE);
	assert_int_equal(after.total_bytes, before.total_bytes);
}

static void refuses_on(const char *label, const struct refusal *list, size_t count)
{
	struct sgring_setup setup = small;
	int fd = dev_open(label, O_RDWR);
	size_t i;

	for (i = 0; i < count; i++)
		refuses(fd, &list[i]);
	assert_int_equal(sg_setup(fd, &setup), 0);
	close(fd);
}

#define REFUSES(label, ...) do {					\
	static const struct refusal list[] = { __VA_ARGS__ };		\
									\
	refuses_on(label, list, ARRAY_SIZE(list));			\
} while (0)

#define IF(...)	.setup = { __VA_ARGS__ }

static void setup_refuses_counts_and_sizes_beyond_their_limits(void **state)
{
	(void)state;
	REFUSES("rx0",
		{ IF(.slot_count = 1), -ERANGE, { "slot_count", "1:", "2" } },
		{ IF(.slot_count = 65537), -ERANGE, { "slot_count", "65537", "65536" } },
		{ IF(.slot_count = ~0U), -ERANGE, { "slot_count" } },
		{ IF(.slot_bytes = (1 << 30) + 1), -ERANGE, { "slot_bytes", "1073741825", "1073741824" } },
		{ IF(.slot_bytes = 1ULL << 32), -ERANGE, { "slot_bytes" } },
		{ IF(.slot_bytes = 1ULL << 63), -ERANGE, { "slot_bytes" } },
		{ IF(.slot_bytes = ~0ULL), -ERANGE, { "slot_bytes" } },
		{ IF(.slot_count = 65536, .slot_bytes = 1 << 30), -EDQUOT, { "65536", "limit_stream_mb" } });
}

static void setup_refuses_chunks_that_are_no_power_of_two_or_too_large(void **state)
{
	(void)state;
	REFUSES("rx0",
		{ IF(.chunk_bytes = 1), -EINVAL, { "chunk_bytes", "1:", "4096" } },
		{ IF(.chunk_bytes = 2048), -EINVAL, { "chunk_bytes" } },
		{ IF(.chunk_bytes = 4097), -EINVAL, { "chunk_bytes" } },
		{ IF(.chunk_bytes = 12288), -EINVAL, { "chunk_bytes", "power of two" } },
		{ IF(.chunk_bytes = ~0ULL), -EINVAL, { "chunk_bytes" } },
		{ IF(.chunk_bytes = 1ULL << 32), -ERANGE, { "chunk_bytes", "4294967296" } },
		{ IF(.chunk_bytes = 1ULL << 63), -ERANGE, { "chunk_bytes" } },
		{ IF(.chunk_bytes = 4096, .chunk_policy = SGRING_CHUNK_SINGLE), -EINVAL, { "chunk_bytes", "single" } });
}

static void setup_refuses_thresholds_beyond_their_limits(void **state)
{
	(void)state;
	REFUSES("rx0",
		{ IF(.queue_depth = 257, .slot_count = 300, .slot_bytes = 4096), -ERANGE, { "queue_depth", "257", "256" } },
		{ IF(.queue_depth = 5, .slot_count = 4), -ERANGE, { "queue_depth", "5", "4" } },
		{ IF(.queue_depth = ~0U), -ERANGE, { "queue_depth" } },
		{ IF(.wake_slots = 17), -ERANGE, { "wake_slots", "17", "16" } },
		{ IF(.wake_slots = 5, .slot_count = 4), -ERANGE, { "wake_slots" } },
		{ IF(.wake_slots = ~0U), -ERANGE, { "wake_slots" } },
		{ IF(.wake_usec = 60000001), -ERANGE, { "wake_usec", "60000001", "60000000" } },
		{ IF(.wake_usec = SGRING_OFF - 1), -ERANGE, { "wake_usec" } },
		{ IF(.sq_poll_usec = 19), -ERANGE, { "sq_poll_usec", "19", "20" } },
		{ IF(.sq_poll_usec = 60000001), -ERANGE, { "sq_poll_usec" } },
		{ IF(.sq_poll_usec = SGRING_OFF), -ERANGE, { "sq_poll_usec" } },
		{ IF(.sq_idle_usec = 60000001), -ERANGE, { "sq_idle_usec" } },
		{ IF(.gate_report_ms = 600001), -ERANGE, { "gate_report_ms", "600001", "600000" } },
		{ IF(.gate_report_ms = SGRING_OFF - 1), -ERANGE, { "gate_report_ms" } });
}

static void setup_refuses_values_it_does_not_know(void **state)
{
	(void)state;
	REFUSES("rx0",
		{ IF(.flags = 1 << 2), -EINVAL, { "flag", "0x4" } },
		{ IF(.flags = 1U << 31), -EINVAL, { "flag" } },
		{ IF(.direction = 2), -EINVAL, { "direction", "2" } },
		{ IF(.direction = ~0U), -EINVAL, { "direction" } },
		{ IF(.overrun = 2), -EINVAL, { "overrun", "2" } },
		{ IF(.overrun = ~0U), -EINVAL, { "overrun" } },
		{ IF(.chunk_policy = 3), -EINVAL, { "chunk policy", "3" } },
		{ IF(.clock = 5), -EINVAL, { "clock", "5" } },
		{ IF(.numa_node = 1), -EINVAL, { "numa_node" } },
		{ IF(.numa_node = -1), -EINVAL, { "numa_node" } },
		{ IF(.flags = SGRING_SETUP_NUMA_NODE, .numa_node = -1), -ERANGE, { "NUMA", "-1" } },
		{ IF(.flags = SGRING_SETUP_NUMA_NODE, .numa_node = 63), -ERANGE, { "NUMA", "63" } },
		{ IF(.flags = SGRING_SETUP_NUMA_NODE, .numa_node = 0x7fffffff), -ERANGE, { "NUMA" } });
}

static void setup_refuses_padding_and_reserved_words_that_are_not_zero(void **state)
{
	(void)state;
	REFUSES("rx0",
		{ IF(.pad = 1), -EINVAL, { "zero" } },
		{ IF(.reserved = { 1 }), -EINVAL, { "zero" } },
		{ IF(.reserved = { 0, 1 }), -EINVAL, { "zero" } },
		{ IF(.reserved = { 0, 0, 1ULL << 63 }), -EINVAL, { "zero" } },
		{ IF(.pad2 = 1), -EINVAL, { "zero" } });
}

static void setup_refuses_what_later_versions_will_have(void **state)
{
	const uint64_t later = SGRING_FEAT_PLAYBACK | SGRING_FEAT_METADATA;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(query_of(fd).features & later, 0);
	close(fd);
	REFUSES("rx0",
		{ IF(.direction = SGRING_PLAYBACK), -EOPNOTSUPP, { "playback" } },
		{ IF(.metadata_bytes = 1), -EOPNOTSUPP, { "metadata" } },
		{ IF(.metadata_bytes = ~0U), -EOPNOTSUPP, { "metadata" } });
}

static void setup_names_the_width_a_slot_must_be_a_multiple_of(void **state)
{
	(void)state;
	knob_set("rx0", "width", 16);
	REFUSES("rx0",
		{ IF(.slot_bytes = 4095), -EINVAL, { "multiples of 16", "4080", "4096" } },
		{ IF(.slot_bytes = 4097), -EINVAL, { "multiples of 16", "4096", "4112" } },
		{ IF(.slot_bytes = MIB + 100), -EINVAL, { "multiples of 16", "1048672", "1048688" } },
		{ IF(.slot_bytes = 12345678), -EINVAL, { "multiples of 16", "12345664", "12345680" } },
		{ IF(.slot_bytes = 1), -EINVAL, { "multiples of 16", "so 16" } });
	REFUSES("bcm2835-0",
		{ IF(.slot_bytes = 4095), -EINVAL, { "multiples of 4" } },
		{ IF(.slot_bytes = 12345678), -EINVAL, { "multiples of 4" } });
	/* Width and burst together: 4 bytes, 16 of them. */
	REFUSES("pl330-0",
		{ IF(.slot_bytes = 4097), -EINVAL, { "multiples of 64", "4096", "4160" } });
}

static void setup_refuses_what_the_engine_cannot_take_as_one_segment(void **state)
{
	(void)state;
	REFUSES("rx0",
		{ IF(.slot_bytes = 64 * MIB, .slot_count = 2, .chunk_policy = SGRING_CHUNK_SINGLE),
		  -EMSGSIZE, { "67108864", "one segment", "at most" } });
	REFUSES("xilinx0",
		{ IF(.slot_bytes = 8 * MIB, .slot_count = 2), -EMSGSIZE, { "8388608", "at most" } });

	knob_set("rx1", "max_segment_bytes", 65536);
	bench_rebind("rx1");
	REFUSES("rx1",
		{ IF(.slot_bytes = 65537, .chunk_policy = SGRING_CHUNK_SINGLE), -EMSGSIZE, { "65537", "65536" } });
	knob_set("rx1", "max_segment_bytes", 2147483648);
	knob_set("rx1", "boundary", 32768);
	bench_rebind("rx1");
	REFUSES("rx1",
		{ IF(.slot_bytes = 32769, .chunk_policy = SGRING_CHUNK_SINGLE), -EMSGSIZE, { "32769", "32768" } });
}

static void setup_names_the_memory_limit_it_would_break(void **state)
{
	struct sgring_setup six = { .slot_bytes = MIB, .slot_count = 6 };
	struct sgring_query query;
	char text[200] = "";
	int a, b;

	(void)state;
	parameter_set("limit_stream_mb", 8);
	REFUSES("rx0",
		{ IF(.slot_bytes = MIB, .slot_count = 9), -EDQUOT, { "9 slots", "limit_stream_mb", "8 MiB" } },
		/* The scratch slot counts too. */
		{ IF(.slot_bytes = MIB, .slot_count = 8, .overrun = SGRING_OVERRUN_DROP), -EDQUOT, { "limit_stream_mb" } },
		/* And so does what sticks out of equal chunks. */
		{ IF(.slot_bytes = 4096, .slot_count = 5, .chunk_policy = SGRING_CHUNK_EQUAL, .chunk_bytes = 2 * MIB),
		  -EDQUOT, { "limit_stream_mb" } });

	a = dev_open("rx0", O_RDWR);
	b = dev_open("rx1", O_RDWR);
	query = query_of(a);
	assert_int_equal(query.stream_bytes_max, 8 * MIB);
	parameter_set("limit_total_mb", query.total_bytes / MIB + 8);
	assert_int_equal(query_of(a).total_bytes_max, (query.total_bytes / MIB + 8) * MIB);
	assert_int_equal(sg_setup(a, &six), 0);
	assert_int_equal(query_of(b).total_bytes, query.total_bytes + stats_of(a).memory_bytes);
	assert_in_range(stats_of(a).memory_bytes, 6 * MIB, 7 * MIB);

	six.message = (uintptr_t)text;
	six.message_bytes = sizeof(text);
	assert_int_equal(sg_setup(b, &six), -EDQUOT);
	assert_non_null(strstr(text, "limit_total_mb"));
	assert_int_equal(query_of(b).total_bytes, query.total_bytes + stats_of(a).memory_bytes);
	close(a);
	assert_int_equal(sg_setup(b, &six), 0);
	close(b);
}

static void defaults_shrink_to_what_the_limits_allow(void **state)
{
	struct sgring_setup setup = {};
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	parameter_set("limit_stream_mb", 8);
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(setup.slot_count, 16);
	assert_true(setup.slot_bytes >= 256 * KIB && setup.slot_bytes <= 512 * KIB);
	close(fd);

	/* With the size given, it is the number that gives way. */
	fd = dev_open("rx0", O_RDWR);
	setup = (struct sgring_setup){ .slot_bytes = 2 * MIB };
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_true(setup.slot_count >= 3 && setup.slot_count <= 4);
	close(fd);

	fd = dev_open("rx0", O_RDWR);
	setup = (struct sgring_setup){ .slot_count = 1024 };
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(setup.slot_bytes, PAGE);
	close(fd);

	/* A slot has a page at least. */
	fd = dev_open("rx0", O_RDWR);
	setup = (struct sgring_setup){ .slot_count = 4096 };
	assert_int_equal(sg_setup(fd, &setup), -EDQUOT);
}

static void refusals_reach_the_log_too(void **state)
{
	struct sgring_setup setup = { .slot_count = 77777 };
	int log = log_open_rested(), fd = dev_open("rx2", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), -ERANGE);
	assert_true(log_has(log, "slot_count of 77777: from 2 to 65536"));
}

static void message_is_cut_to_its_room(void **state)
{
	static const struct { uint32_t room; const char *text; } cut[] = {
		{ 0, "##########" },
		{ 1, "\0#########" },
		{ 2, "s\0########" },
		{ 10, "slot_coun\0" },
	};
	int fd = dev_open("rx0", O_RDWR);
	char text[400];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cut); i++) {
		struct sgring_setup setup = {
			.slot_count = 1,
			.message = (uintptr_t)text,
			.message_bytes = cut[i].room,
		};

		memset(text, '#', sizeof(text));
		assert_int_equal(sg_setup(fd, &setup), -ERANGE);
		assert_memory_equal(text, cut[i].text, 10);
		assert_int_equal(text[10], '#');
	}
}

static void message_is_written_no_further_than_its_room(void **state)
{
	int fd = dev_open("rx0", O_RDWR);
	struct sgring_setup setup = { .slot_count = 1 };
	char text[5000];
	uint32_t room;

	(void)state;
	setup.message = (uintptr_t)text;
	for (room = 1; room < 300; room += 7) {
		memset(text, '#', sizeof(text));
		setup.message_bytes = room;
		assert_int_equal(sg_setup(fd, &setup), -ERANGE);
		assert_true(strlen(text) < room);
		assert_int_equal(text[room], '#');
	}
	setup.message_bytes = ~0U;
	assert_int_equal(sg_setup(fd, &setup), -ERANGE);
	assert_true(strlen(text) < 300);
}

static void message_may_be_nowhere(void **state)
{
	int fd = dev_open("rx0", O_RDWR);
	struct sgring_setup setup = { .slot_count = 1, .message_bytes = 100 };

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), -ERANGE);
	setup = small;
	setup.message_bytes = 100;
	assert_int_equal(sg_setup(fd, &setup), 0);
}

static void message_of_a_good_setup_is_empty(void **state)
{
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);
	char text[8] = "#######";

	(void)state;
	setup.message = (uintptr_t)text;
	setup.message_bytes = sizeof(text);
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_string_equal(text, "");
}

/* A page that can be read, one that cannot be written, one that is not there. */
static unsigned char *pages;
#define READ_ONLY	(pages + PAGE)
#define NOT_THERE	(pages + 2 * PAGE)

static void pages_make(void)
{
	pages = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(pages != MAP_FAILED);
	memset(pages, 0, 3 * PAGE);
}

static void pages_protect(void)
{
	mprotect(READ_ONLY, PAGE, PROT_READ);
	munmap(NOT_THERE, PAGE);
}

static void setup_that_cannot_be_answered_leaves_nothing_behind(void **state)
{
	struct sgring_setup *setup;
	uint64_t before;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	before = query_of(fd).total_bytes;
	pages_make();
	setup = (void *)READ_ONLY;
	*setup = small;
	setup->size = sizeof(*setup);
	pages_protect();
	assert_int_equal(sg_ioctl(fd, SGRING_SETUP, setup), -EFAULT);
	assert_int_equal(query_of(fd).state, SGRING_STATE_IDLE);

	setup = (void *)pages;
	*setup = small;
	setup->message_bytes = 100;
	setup->message = (uintptr_t)READ_ONLY;
	assert_int_equal(sg_setup(fd, setup), -EFAULT);
	setup->message = (uintptr_t)NOT_THERE - 4;
	assert_int_equal(sg_setup(fd, setup), -EFAULT);
	setup->message = 0xffff800000000000;
	assert_int_equal(sg_setup(fd, setup), -EFAULT);
	assert_int_equal(query_of(fd).state, SGRING_STATE_IDLE);
	assert_int_equal(query_of(fd).total_bytes, before);

	setup->message = 0;
	assert_int_equal(sg_setup(fd, setup), 0);
}

/* ---- who, and in which state ---- */

static void setup_wants_a_file_open_for_reading_and_writing(void **state)
{
	static const int flags[] = { O_RDONLY, O_WRONLY };
	struct sgring_setup setup;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		int fd = dev_open("rx0", flags[i]);

		assert_true(fd >= 0);
		setup = small;
		assert_int_equal(sg_setup(fd, &setup), -EBADF);
		assert_int_equal(query_of(fd).state, SGRING_STATE_IDLE);
		close(fd);
	}
}

static void a_stream_has_one_owner_until_it_closes(void **state)
{
	struct sgring_setup setup = small;
	int a = dev_open("rx0", O_RDWR), b = dev_open("rx0", O_RDWR);
	char text[100];

	(void)state;
	assert_int_equal(sg_setup(a, &setup), 0);
	assert_int_equal(sg_setup(a, &setup), -EBADFD);
	setup = small;
	setup.message = (uintptr_t)text;
	setup.message_bytes = sizeof(text);
	assert_int_equal(sg_setup(b, &setup), -EBUSY);
	assert_non_null(strstr(text, "own"));
	close(a);
	assert_int_equal(sg_setup(b, &setup), 0);
}

/* What each call gives, in the order SETUP GEOMETRY LAYOUT STATS TUNE KICK ARM START STOP. */
struct answers {
	int setup, geometry, layout, stats, tune, kick, arm, start, stop;
};

enum { ASK_NOT = 1 };

#define ANSWER(name, call) do {							\
	if (want->name != ASK_NOT) {						\
		int ret_ = (call);						\
										\
		if (ret_ != want->name)						\
			fail_msg("%s %s: %d instead of %d", when, #name, ret_, want->name); \
	}									\
} while (0)

static void ask(int fd, const char *when, const struct answers *want)
{
	struct sgring_stats stats = { .size = sizeof(stats) };
	struct sgring_setup setup = small;
	struct sgring_geometry geometry;
	struct sgring_tune tune = {};
	struct sgring_layout layout = { .size = sizeof(layout) };

	ANSWER(setup, sg_setup(fd, &setup));
	ANSWER(geometry, sg_geometry(fd, &geometry));
	ANSWER(layout, sg_ioctl(fd, SGRING_LAYOUT, &layout));
	ANSWER(stats, sg_ioctl(fd, SGRING_STATS, &stats));
	ANSWER(tune, sg_tune(fd, &tune));
	ANSWER(kick, sg_kick(fd));
	ANSWER(arm, sg_arm(fd));
	ANSWER(start, sg_start(fd));
	ANSWER(stop, sg_abort(fd));
}

#define ASK(fd, when, ...) ask(fd, when, &(const struct answers){ __VA_ARGS__ })

static uint32_t state_of(int fd)
{
	return query_of(fd).state;
}

static void every_ioctl_knows_its_states_and_its_owner(void **state)
{
	const int bad = -EBADFD, perm = -EPERM, not = ASK_NOT;
	struct sgring_setup setup = small;
	int owner, other;

	(void)state;
	bench_rebind("rx0");	/* a stream that was never set up */
	owner = dev_open("rx0", O_RDWR);
	other = dev_open("rx0", O_RDWR);
	knob_set("rx0", "rate", 1000);

	assert_int_equal(state_of(owner), SGRING_STATE_IDLE);
	ASK(owner, "idle", not, bad, bad, bad, bad, bad, bad, bad, bad);

	assert_int_equal(sg_setup(owner, &setup), 0);
	assert_int_equal(state_of(other), SGRING_STATE_READY);
	ASK(owner, "ready", bad, 0, 0, 0, 0, 0, not, not, bad);
	ASK(other, "ready, other", -EBUSY, 0, 0, 0, perm, perm, perm, perm, perm);

	assert_int_equal(sg_arm(owner), 0);
	assert_int_equal(state_of(other), SGRING_STATE_ARMED);
	ASK(owner, "armed", bad, 0, 0, 0, 0, 0, bad, not, not);
	ASK(other, "armed, other", -EBUSY, 0, 0, 0, perm, perm, perm, perm, perm);
	assert_int_equal(sg_abort(owner), 0);
	assert_int_equal(state_of(owner), SGRING_STATE_READY);

	assert_int_equal(sg_arm(owner), 0);
	assert_int_equal(sg_start(owner), 0);
	assert_int_equal(state_of(other), SGRING_STATE_RUNNING);
	ASK(owner, "running", bad, 0, 0, 0, 0, 0, bad, bad, not);
	ASK(other, "running, other", -EBUSY, 0, 0, 0, perm, perm, perm, perm, perm);
	assert_int_equal(sg_abort(owner), 0);
	ASK(owner, "stopped", bad, 0, 0, 0, 0, 0, not, not, bad);

	/* START arms by itself. */
	assert_int_equal(sg_start(owner), 0);
	assert_int_equal(state_of(owner), SGRING_STATE_RUNNING);

	/* Closed while running: idle, and the last counters stay. */
	close(owner);
	assert_int_equal(state_of(other), SGRING_STATE_IDLE);
	ASK(other, "closed", not, bad, bad, 0, bad, bad, bad, bad, bad);
	assert_int_equal(sg_setup(other, &setup), 0);
}

static void every_ioctl_of_a_lost_device_says_enodev(void **state)
{
	const int gone = -ENODEV, not = ASK_NOT;
	struct sgring_setup setup = small;
	struct sgring_query query;
	int owner = dev_open("rx0", O_RDWR), other = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(owner, &setup), 0);
	bench_rebind("rx0");
	assert_int_equal(sg_query(owner, &query), gone);
	ASK(owner, "lost", gone, not, not, not, gone, gone, gone, gone, gone);
	ASK(other, "lost, other", gone, not, not, not, gone, gone, gone, gone, gone);
}

static void stop_refuses_what_it_does_not_know(void **state)
{
	struct sgring_stop stop = { .size = sizeof(stop), .flags = 2 };
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(sg_start(fd), 0);
	assert_int_equal(sg_ioctl(fd, SGRING_STOP, &stop), -EINVAL);
	stop.flags = SGRING_STOP_DRAIN | 1U << 31;
	assert_int_equal(sg_ioctl(fd, SGRING_STOP, &stop), -EINVAL);
	stop.flags = SGRING_STOP_DRAIN;
	stop.timeout_ms = SGRING_STOP_MS_MAX + 1;
	assert_int_equal(sg_ioctl(fd, SGRING_STOP, &stop), -ERANGE);
	assert_int_equal(state_of(fd), SGRING_STATE_RUNNING);
	stop.timeout_ms = SGRING_STOP_MS_MAX;
	stop.outcome = 77;
	assert_int_equal(sg_ioctl(fd, SGRING_STOP, &stop), 0);
	assert_int_equal(stop.outcome & ~7, 0);
}

static void start_without_a_slot_or_room_says_enobufs(void **state)
{
	const struct sgring_setup three = { .slot_bytes = 4096, .slot_count = 3 };
	struct stream s = stream_open("rx0", &three);
	struct sgring_cqe e;
	uint32_t i, slots[3];

	(void)state;
	/* All slots are the application's. */
	stream_start(&s);
	assert_int_equal(stream_wait(&s, 3, LONG_MS), 3);
	stream_stop(&s);
	assert_int_equal(sg_start(s.fd), -ENOBUFS);
	assert_int_equal(sg_arm(s.fd), -ENOBUFS);

	/* They are back, but four entries of four are not consumed. */
	for (i = 0; i < 3; i++)
		slots[i] = sgring_cq_peek(&s.cq, i)->slot;
	for (i = 0; i < 3; i++)
		stream_return(&s, slots[i], 0);
	assert_int_equal(sg_start(s.fd), -ENOBUFS);

	assert_int_equal(stream_find_end(&s).status, 0);
	stream_start(&s);
	e = stream_next(&s);
	assert_int_equal(e.status, 0);
	assert_int_equal(e.position_bytes, 0);
}

/* ---- how structures and pointers are taken ---- */

static const struct {
	const char *name;
	unsigned long request;
	uint32_t first;		/* size of the first version */
} structures[] = {
	{ "query", SGRING_QUERY, 224 },
	{ "setup", SGRING_SETUP, 120 },
	{ "geometry", SGRING_GEOMETRY, 144 },
	{ "layout", SGRING_LAYOUT, 24 },
	{ "stop", SGRING_STOP, 16 },
	{ "tune", SGRING_TUNE, 24 },
	{ "stats", SGRING_STATS, 520 },
};

/*
 * With the stream in the state in which the request works; that state again
 * afterwards.
 */
static int fd_for(unsigned long request)
{
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	if (request != SGRING_SETUP)
		assert_int_equal(sg_setup(fd, &setup), 0);
	if (request == SGRING_STOP)
		assert_int_equal(sg_start(fd), 0);
	return fd;
}

static int call(unsigned long request, void *structure, uint32_t size)
{
	int fd = fd_for(request), ret;

	*(uint32_t *)structure = size;
	ret = sg_ioctl(fd, request, structure);
	close(fd);
	return ret;
}

#define WANT(i, want, got) do {							\
	int got_ = (got);							\
										\
	if (got_ != (want))							\
		fail_msg("%s: %d instead of %d", structures[i].name, got_, want); \
} while (0)

static void structures_shorter_than_the_first_version_are_refused(void **state)
{
	unsigned char s[PAGE] __attribute__((aligned(8)));
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(structures); i++) {
		memset(s, 0, sizeof(s));
		WANT(i, -EINVAL, call(structures[i].request, s, 0));
		WANT(i, -EINVAL, call(structures[i].request, s, 4));
		WANT(i, -EINVAL, call(structures[i].request, s, structures[i].first - 1));
		WANT(i, 0, call(structures[i].request, s, structures[i].first));
	}
}

static void longer_structures_must_be_zero_where_the_kernel_knows_nothing(void **state)
{
	unsigned char s[2 * PAGE] __attribute__((aligned(8)));
	size_t i, k, first;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(structures); i++) {
		first = structures[i].first;
		memset(s, 0, sizeof(s));
		WANT(i, 0, call(structures[i].request, s, first + 1));
		memset(s, 0, first);
		WANT(i, 0, call(structures[i].request, s, first + 8));
		memset(s, 0, first);
		WANT(i, 0, call(structures[i].request, s, PAGE));
		/* What the kernel does not know it does not write. */
		for (k = first; k < sizeof(s); k++)
			assert_int_equal(s[k], 0);

		memset(s, 0, sizeof(s));
		s[first] = 1;
		WANT(i, -E2BIG, call(structures[i].request, s, first + 1));
		s[first] = 0;
		s[PAGE - 1] = 1;
		WANT(i, -E2BIG, call(structures[i].request, s, PAGE));
		WANT(i, 0, call(structures[i].request, s, PAGE - 1));
		memset(s, 0, sizeof(s));
		WANT(i, -E2BIG, call(structures[i].request, s, PAGE + 1));
		WANT(i, -E2BIG, call(structures[i].request, s, ~0U));
	}
}

static void answers_carry_the_kernels_size(void **state)
{
	unsigned char s[PAGE] __attribute__((aligned(8)));
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(structures); i++) {
		memset(s, 0, sizeof(s));
		WANT(i, 0, call(structures[i].request, s, PAGE));
		assert_int_equal(*(uint32_t *)s, structures[i].first);
	}
}

static int call_at(unsigned long request, void *at)
{
	int fd = fd_for(request), ret = sg_ioctl(fd, request, at);

	close(fd);
	return ret;
}

static void bad_pointers_say_efault(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(structures); i++) {
		uint32_t *page;
		void *end;

		pages_make();
		page = (void *)READ_ONLY;
		*page = structures[i].first;
		/* Its end is not there. */
		end = NOT_THERE - 8;
		memcpy(end, page, 4);
		pages_protect();
		WANT(i, -EFAULT, call_at(structures[i].request, NULL));
		WANT(i, -EFAULT, call_at(structures[i].request, (void *)-8));
		WANT(i, -EFAULT, call_at(structures[i].request, (void *)0xffff800000000000));
		WANT(i, -EFAULT, call_at(structures[i].request, NOT_THERE));
		WANT(i, -EFAULT, call_at(structures[i].request, NOT_THERE - 2));
		WANT(i, -EFAULT, call_at(structures[i].request, end));
		WANT(i, -EFAULT, call_at(structures[i].request, page));
	}
}

static void padding_of_the_other_structures_must_be_zero_too(void **state)
{
	struct sgring_query query = { .size = sizeof(query), .pad = 1 };
	struct sgring_geometry geometry = { .size = sizeof(geometry), .clock = 1 };
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(sg_ioctl(fd, SGRING_QUERY, &query), -EINVAL);
	assert_int_equal(sg_ioctl(fd, SGRING_GEOMETRY, &geometry), -EINVAL);
}

static void ioctls_without_an_argument_refuse_one(void **state)
{
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(sg_ioctl(fd, SGRING_ARM, (void *)1), -EINVAL);
	assert_int_equal(sg_ioctl(fd, SGRING_START, (void *)-1), -EINVAL);
	assert_int_equal(sg_ioctl(fd, SGRING_KICK, &setup), -EINVAL);
	assert_int_equal(state_of(fd), SGRING_STATE_READY);
}

static void unknown_ioctls_say_enotty(void **state)
{
	static const unsigned long unknown[] = {
		_IO(SGRING_IOC, 0x0a), _IO(SGRING_IOC, 0xff), _IO(SGRING_IOC - 1, 0),
		_IOWR(SGRING_IOC, 0, struct sgring_query), 0, ~0U,
	};
	int fd = dev_open("rx0", O_RDWR);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(unknown); i++)
		assert_int_equal(sg_ioctl(fd, unknown[i], NULL), -ENOTTY);
}

static void tune_refuses_values_beyond_their_limits(void **state)
{
	static const struct sgring_tune beyond[] = {
		{ .wake_slots = 5 }, { .wake_slots = ~0U },
		{ .wake_usec = 60000001 }, { .wake_usec = SGRING_OFF - 1 },
		{ .sq_poll_usec = 19 }, { .sq_poll_usec = 60000001 },
		{ .sq_poll_usec = SGRING_OFF },
		{ .sq_idle_usec = 60000001 }, { .sq_idle_usec = SGRING_OFF - 1 },
		/* One bad value, and none is taken. */
		{ .wake_slots = 3, .wake_usec = 7, .sq_poll_usec = 1 },
	};
	struct sgring_tune tune, before = {};
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);
	size_t i;

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(sg_tune(fd, &before), 0);
	for (i = 0; i < ARRAY_SIZE(beyond); i++) {
		tune = beyond[i];
		assert_int_equal(sg_tune(fd, &tune), -ERANGE);
		tune = (struct sgring_tune){};
		assert_int_equal(sg_tune(fd, &tune), 0);
		assert_memory_equal(&tune, &before, sizeof(tune));
	}
}

static void tune_refuses_a_gate_it_does_not_know(void **state)
{
	struct sgring_tune tune = { .gate = SGRING_GATE_OFF + 1 };
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(sg_tune(fd, &tune), -EINVAL);
	tune.gate = ~0U;
	assert_int_equal(sg_tune(fd, &tune), -EINVAL);
}

static void tune_changes_what_it_is_given_and_tells_what_is_in_force(void **state)
{
	struct sgring_setup setup = small;
	struct sgring_tune tune = {};
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(sg_tune(fd, &tune), 0);
	assert_int_equal(tune.wake_slots, setup.wake_slots);
	assert_int_equal(tune.wake_usec, setup.wake_usec);
	assert_int_equal(tune.sq_poll_usec, setup.sq_poll_usec);
	assert_int_equal(tune.sq_idle_usec, setup.sq_idle_usec);

	assert_int_equal(tune.gate, SGRING_GATE_ON);

	tune = (struct sgring_tune){ .wake_slots = 4, .sq_idle_usec = SGRING_OFF };
	assert_int_equal(sg_tune(fd, &tune), 0);
	assert_int_equal(tune.wake_slots, 4);
	assert_int_equal(tune.wake_usec, setup.wake_usec);
	assert_int_equal(tune.sq_idle_usec, SGRING_OFF);

	tune = (struct sgring_tune){ .gate = SGRING_GATE_OFF };
	assert_int_equal(sg_tune(fd, &tune), 0);
	assert_int_equal(tune.gate, SGRING_GATE_OFF);
	tune = (struct sgring_tune){};
	assert_int_equal(sg_tune(fd, &tune), 0);
	assert_int_equal(tune.gate, SGRING_GATE_OFF);
	tune = (struct sgring_tune){ .gate = SGRING_GATE_ON };
	assert_int_equal(sg_tune(fd, &tune), 0);
	assert_int_equal(tune.gate, SGRING_GATE_ON);

	tune = (struct sgring_tune){ .wake_usec = SGRING_OFF, .sq_poll_usec = 20 };
	assert_int_equal(sg_start(fd), 0);
	assert_int_equal(sg_tune(fd, &tune), 0);
	assert_int_equal(tune.wake_slots, 4);
	assert_int_equal(tune.wake_usec, SGRING_OFF);
	assert_int_equal(tune.sq_poll_usec, 20);
	tune = (struct sgring_tune){
		.wake_usec = 60000000,
		.sq_poll_usec = 60000000,
		.sq_idle_usec = 60000000,
	};
	assert_int_equal(sg_tune(fd, &tune), 0);
}

/* ---- what is told ---- */

static void query_tells_what_the_stream_is(void **state)
{
	int fd = dev_open("pl330-0", O_RDONLY);
	struct sgring_query q = query_of(fd);

	(void)state;
	assert_int_equal(q.size, sizeof(q));
	assert_int_equal(q.abi_version, SGRING_ABI_VERSION);
	assert_true(q.features & SGRING_FEAT_CAPTURE);
	assert_true(q.features & SGRING_FEAT_DROP);
	assert_true(q.features & SGRING_FEAT_READ);
	assert_true(q.features & SGRING_FEAT_OBSERVE);
	assert_true(q.features & SGRING_FEAT_GATE);
	assert_true(q.features & SGRING_FEAT_LOST_COUNTER);
	assert_false(q.features & SGRING_FEAT_LENGTH);
	assert_int_equal(q.features & ~((1ULL << 10) - 1), 0);
	assert_int_equal(q.direction, SGRING_CAPTURE);
	assert_int_equal(q.slot_bytes_max, SGRING_SLOT_BYTES_MAX);
	assert_int_equal(q.slots_max, SGRING_SLOTS_MAX);
	assert_int_equal(q.width_bytes, 4 * 16);
	assert_true(q.segment_bytes_max && q.segment_bytes_max <= 1900800);
	assert_true(q.stream_bytes_max && q.stream_bytes_max <= q.total_bytes_max);
	assert_true(q.queue_depth_max && q.queue_depth_max <= SGRING_QUEUE_DEPTH_MAX);
	assert_int_equal(q.pad, 0);
	assert_string_equal(q.label, "pl330-0");
	assert_string_equal(q.engine, "sgring-dummy-pl330");
	assert_true(q.channel[0] && q.device[0]);
	close(fd);

	fd = dev_open("xilinx0", O_RDONLY);
	q = query_of(fd);
	assert_int_equal(q.segments_max, 1);
	assert_int_equal(q.queue_depth_max, 2);
	assert_true(q.features & SGRING_FEAT_LENGTH);
}

static void setup_writes_back_the_defaults(void **state)
{
	struct sgring_setup setup = {}, again;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(setup.slot_bytes, MIB);
	assert_int_equal(setup.slot_count, 16);
	assert_int_equal(setup.wake_slots, 2);
	assert_int_equal(setup.wake_usec, 1000);
	assert_int_equal(setup.sq_poll_usec, 500);
	assert_int_equal(setup.sq_idle_usec, 5000000);
	assert_int_equal(setup.gate_report_ms, 10000);
	assert_true(setup.queue_depth && setup.queue_depth <= 16);
	assert_true(setup.chunk_bytes >= PAGE);
	assert_int_equal(setup.chunk_bytes & (setup.chunk_bytes - 1), 0);
	close(fd);

	/* What was written back is a good set-up, for the same. */
	again = setup;
	fd = dev_open("rx0", O_RDWR);
	assert_int_equal(sg_setup(fd, &again), 0);
	assert_memory_equal(&again, &setup, sizeof(setup));
}

static void setup_writes_back_nothing_else(void **state)
{
	struct sgring_setup setup = {
		.slot_bytes = 8192, .slot_count = 5, .overrun = SGRING_OVERRUN_DROP,
		.chunk_policy = SGRING_CHUNK_EQUAL, .chunk_bytes = 8192, .queue_depth = 3,
		.wake_slots = 4, .wake_usec = 5, .sq_poll_usec = 60, .sq_idle_usec = 7,
		.clock = SGRING_CLOCK_TAI, .flags = SGRING_SETUP_NUMA_NODE | SGRING_SETUP_NO_GATE,
		.numa_node = 0, .gate_report_ms = 8,
	}, before;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	setup.size = sizeof(setup);
	before = setup;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_memory_equal(&setup, &before, sizeof(setup));
}

/* What QUERY, GEOMETRY, LAYOUT and STATS say of one set-up must agree. */
static void layout_agrees(int fd, const struct sgring_setup *setup)
{
	const struct sgring_stats stats = stats_of(fd);
	uint64_t chunk_min = ~0ULL, chunk_max = 0, memory = 0;
	struct sgring_geometry g;
	uint32_t slot;

	assert_int_equal(sg_geometry(fd, &g), 0);
	assert_int_equal(g.size, sizeof(g));
	assert_int_equal(g.clock, setup->clock);
	assert_int_equal(g.slot_count, setup->slot_count);
	assert_int_equal(g.slot_bytes, setup->slot_bytes);
	assert_int_equal(g.stride_bytes, (g.slot_bytes + PAGE - 1) / PAGE * PAGE);
	assert_int_equal(g.data_bytes, g.stride_bytes * g.slot_count);
	assert_true(g.segments >= 1);

	for (slot = 0; slot < g.slot_count; slot++) {
		struct sgring_run runs[40];
		uint64_t offset = 0;
		int i, count = sg_layout(fd, slot, runs, ARRAY_SIZE(runs));

		assert_in_range(count, 1, ARRAY_SIZE(runs));
		for (i = 0; i < count; i++) {
			const struct sgring_run *r = &runs[i];

			assert_int_equal(r->offset_bytes, offset);
			assert_int_equal(r->pad, 0);
			assert_true(r->chunks >= 1);
			assert_true(r->chunk_bytes >= PAGE);
			assert_int_equal(r->chunk_bytes & (r->chunk_bytes - 1), 0);
			if (i)
				assert_true(r->chunk_bytes < runs[i - 1].chunk_bytes);
			if (setup->chunk_bytes)
				assert_true(r->chunk_bytes <= setup->chunk_bytes);
			offset += r->chunk_bytes * r->chunks;
			chunk_min = r->chunk_bytes < chunk_min ? r->chunk_bytes : chunk_min;
			chunk_max = r->chunk_bytes > chunk_max ? r->chunk_bytes : chunk_max;
		}
		memory += offset;
		if (setup->chunk_policy == SGRING_CHUNK_MIXED) {
			assert_int_equal(offset, g.stride_bytes);
			continue;
		}
		assert_int_equal(count, 1);
		assert_true(offset >= g.stride_bytes);
		assert_true(offset < g.stride_bytes + runs[0].chunk_bytes);
		if (setup->chunk_policy == SGRING_CHUNK_SINGLE)
			assert_int_equal(runs[0].chunks, 1);
	}
	assert_int_equal(g.chunk_bytes_max, chunk_max);
	assert_int_equal(g.chunk_bytes_min, chunk_min);
	if (setup->chunk_policy != SGRING_CHUNK_MIXED)
		assert_int_equal(chunk_min, chunk_max);
	if (setup->chunk_policy == SGRING_CHUNK_SINGLE)
		assert_int_equal(g.segments, 1);
	/* The rings count too. */
	assert_int_equal(stats.memory_bytes, memory + g.kernel_bytes + g.user_bytes);
	assert_int_equal(stats.slots_free, setup->slot_count);
}

static void layout_and_geometry_and_stats_agree_for_every_chunk_policy(void **state)
{
	static const struct sgring_setup setups[] = {
		{ .slot_bytes = 1, .slot_count = 2 },
		{ .slot_bytes = 4096, .slot_count = 3 },
		{ .slot_bytes = 7 * PAGE - 1, .slot_count = 3 },
		{ .slot_bytes = MIB + 100, .slot_count = 5 },
		{ .slot_bytes = 12345678, .slot_count = 2 },
		{ .slot_bytes = 300 * PAGE, .slot_count = 4, .chunk_bytes = 65536 },
		{ .slot_bytes = 5 * PAGE, .slot_count = 4, .chunk_bytes = PAGE },
		{ .slot_bytes = 3 * PAGE, .slot_count = 4, .chunk_policy = SGRING_CHUNK_EQUAL },
		{ .slot_bytes = 64 * PAGE, .slot_count = 4, .chunk_policy = SGRING_CHUNK_EQUAL, .chunk_bytes = 32768 },
		{ .slot_bytes = 100, .slot_count = 4, .chunk_policy = SGRING_CHUNK_EQUAL, .chunk_bytes = MIB },
		{ .slot_bytes = 3 * MIB + 1, .slot_count = 2, .chunk_policy = SGRING_CHUNK_EQUAL },
		{ .slot_bytes = 100, .slot_count = 2, .chunk_policy = SGRING_CHUNK_SINGLE },
		{ .slot_bytes = 3 * PAGE, .slot_count = 2, .chunk_policy = SGRING_CHUNK_SINGLE },
		{ .slot_bytes = MIB, .slot_count = 2, .chunk_policy = SGRING_CHUNK_SINGLE },
	};
	struct sgring_setup setup;
	uint64_t before;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(setups); i++) {
		fd = dev_open("rx0", O_RDWR);
		before = query_of(fd).total_bytes;
		setup = setups[i];
		if (setup.chunk_policy == SGRING_CHUNK_SINGLE &&
		    setup.slot_bytes > query_of(fd).segment_bytes_max) {
			/* Bounce buffers are small. */
			assert_int_equal(sg_setup(fd, &setup), -EMSGSIZE);
			close(fd);
			continue;
		}
		assert_int_equal(sg_setup(fd, &setup), 0);
		assert_int_equal(query_of(fd).total_bytes, before + stats_of(fd).memory_bytes);
		layout_agrees(fd, &setup);
		close(fd);
	}
}

/* A claim of room is no reason to take memory: in a group that has little. */
static void layout_takes_memory_for_what_there_is(void **state)
{
	const char *group = "/sys/fs/cgroup/little";
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 5 * 4096, .slot_count = 2 });
	struct sgring_run runs[8];
	int status = 1;
	pid_t pid;

	(void)state;
	if (mkdir(group, 0755) || file_try("/sys/fs/cgroup/little/memory.max", "5M")) {
		rmdir(group);
		skip();
	}
	pid = fork();
	if (!pid) {
		int ret = file_try("/sys/fs/cgroup/little/cgroup.procs", "0");

		_exit(ret || sg_layout(s.fd, 1, runs, ~0U) < 1);
	}
	waitpid(pid, &status, 0);
	rmdir(group);
	assert_int_equal(status, 0);
}

static void layout_stores_no_more_runs_than_there_is_room_for(void **state)
{
	struct sgring_setup setup = { .slot_bytes = 7 * PAGE, .slot_count = 2 };
	int fd = dev_open("rx0", O_RDWR), count;
	struct sgring_run runs[8], some[8];

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	count = sg_layout(fd, 1, runs, 8);
	assert_true(count >= 2);	/* 4, 2 and 1 pages, or fewer at a time */
	assert_int_equal(sg_layout(fd, 1, NULL, 0), count);
	memset(some, '#', sizeof(some));
	assert_int_equal(sg_layout(fd, 1, some, 1), count);
	assert_memory_equal(some, runs, sizeof(runs[0]));
	assert_int_equal(((char *)&some[1])[0], '#');
	assert_int_equal(sg_layout(fd, 1, some, ~0U), count);
	assert_memory_equal(some, runs, count * sizeof(runs[0]));

	assert_int_equal(sg_layout(fd, 2, runs, 8), -ERANGE);
	assert_int_equal(sg_layout(fd, ~0U, runs, 8), -ERANGE);
	assert_int_equal(sg_layout(fd, 0, NULL, 8), -EFAULT);
	assert_int_equal(sg_layout(fd, 0, (void *)0xffff800000000000, 8), -EFAULT);
}

static void the_scratch_slot_of_a_dropping_stream_is_charged(void **state)
{
	struct sgring_setup setup = { .slot_bytes = 65536, .slot_count = 4 };
	int fd = dev_open("rx0", O_RDWR);
	uint64_t without;

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), 0);
	without = stats_of(fd).memory_bytes;
	close(fd);
	fd = dev_open("rx0", O_RDWR);
	setup.overrun = SGRING_OVERRUN_DROP;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(stats_of(fd).memory_bytes, without + 65536);
}

/* ---- sizes ---- */

static void streams(const char *label, uint64_t bytes, uint32_t count, uint32_t slots)
{
	struct sgring_setup setup = { .slot_bytes = bytes, .slot_count = count };
	struct stream s = stream_open(label, &setup);

	assert_int_equal(s.setup.slot_bytes, bytes);
	stream_start(&s);
	while (slots--) {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_equal(e.length_bytes, bytes);
		stream_return(&s, e.slot, 0);
	}
	stream_stop(&s);
	stream_close(&s);
}

static void odd_slot_sizes_stream_right(void **state)
{
	(void)state;
	assert_int_equal(knob_get("rx0", "width"), 1);
	streams("rx0", 4095, 4, 20);
	streams("rx0", 4097, 4, 20);
	streams("rx0", MIB + 100, 4, 10);
	streams("rx0", 12345678, 2, 3);
}

static void slots_from_one_width_to_64_mib_stream_right(void **state)
{
	static const uint64_t sizes[] = { 1, 2, 3, 63, 4096, 65536, 4 * MIB, 64 * MIB };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		streams("rx0", sizes[i], 2, sizes[i] > MIB ? 1 : 10);
	knob_set("rx0", "width", 16);
	streams("rx0", 16, 2, 10);
	streams("rx0", 48, 3, 10);
	streams("pl330-0", 64, 3, 10);
	streams("pl330-0", 5 * MIB, 2, 3);	/* several segments by their size */
	streams("xilinx0", 8, 3, 10);
	streams("bcm2835-0", 4, 3, 10);
}

static void counts_from_2_to_4096_stream_right(void **state)
{
	static const uint32_t counts[] = { 2, 3, 7, 255, 257, 4096 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		streams("rx0", 4096, counts[i], counts[i] + 5);
}

/* ---- 32 bit ---- */

static void a_32_bit_program_has_the_same_abi(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	if (access("/bin/compat32", X_OK))
		skip();
	pid = fork();
	if (!pid) {
		execl("/bin/compat32", "compat32", dev_path("rx0"), NULL);
		_exit(126);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 126)
		skip();	/* a kernel without 32-bit programs */
	assert_int_equal(WEXITSTATUS(status), 0);
}

GROUP(
	/* First: the log is rate limited. */
	TEST(refusals_reach_the_log_too),
	TEST(setup_refuses_counts_and_sizes_beyond_their_limits),
	TEST(setup_refuses_chunks_that_are_no_power_of_two_or_too_large),
	TEST(setup_refuses_thresholds_beyond_their_limits),
	TEST(setup_refuses_values_it_does_not_know),
	TEST(setup_refuses_padding_and_reserved_words_that_are_not_zero),
	TEST(setup_refuses_what_later_versions_will_have),
	TEST(setup_names_the_width_a_slot_must_be_a_multiple_of),
	TEST(setup_refuses_what_the_engine_cannot_take_as_one_segment),
	TEST(setup_names_the_memory_limit_it_would_break),
	TEST(defaults_shrink_to_what_the_limits_allow),
	TEST(message_is_cut_to_its_room),
	TEST(message_is_written_no_further_than_its_room),
	TEST(message_may_be_nowhere),
	TEST(message_of_a_good_setup_is_empty),
	TEST(setup_that_cannot_be_answered_leaves_nothing_behind),
	TEST(setup_wants_a_file_open_for_reading_and_writing),
	TEST(a_stream_has_one_owner_until_it_closes),
	TEST(every_ioctl_knows_its_states_and_its_owner),
	TEST(every_ioctl_of_a_lost_device_says_enodev),
	TEST(stop_refuses_what_it_does_not_know),
	TEST(start_without_a_slot_or_room_says_enobufs),
	TEST(structures_shorter_than_the_first_version_are_refused),
	TEST(longer_structures_must_be_zero_where_the_kernel_knows_nothing),
	TEST(answers_carry_the_kernels_size),
	TEST(bad_pointers_say_efault),
	TEST(padding_of_the_other_structures_must_be_zero_too),
	TEST(ioctls_without_an_argument_refuse_one),
	TEST(unknown_ioctls_say_enotty),
	TEST(tune_refuses_values_beyond_their_limits),
	TEST(tune_refuses_a_gate_it_does_not_know),
	TEST(tune_changes_what_it_is_given_and_tells_what_is_in_force),
	TEST(query_tells_what_the_stream_is),
	TEST(setup_writes_back_the_defaults),
	TEST(setup_writes_back_nothing_else),
	TEST(layout_and_geometry_and_stats_agree_for_every_chunk_policy),
	TEST(layout_takes_memory_for_what_there_is),
	TEST(layout_stores_no_more_runs_than_there_is_room_for),
	TEST(the_scratch_slot_of_a_dropping_stream_is_charged),
	TEST(odd_slot_sizes_stream_right),
	TEST(slots_from_one_width_to_64_mib_stream_right),
	TEST(counts_from_2_to_4096_stream_right),
	TEST(a_32_bit_program_has_the_same_abi))

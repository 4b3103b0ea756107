// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Memory that is limited, little, in pieces, or behind a bounce buffer. What the
 * machine is like says VARIANT: stock, bounce (swiotlb=force) or small.
 */
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>

#include "common.h"

#define SLOT	(64 * KIB)

static bool variant_is(const char *name)
{
	const char *variant = getenv("VARIANT");

	return !strcmp(variant ?: "stock", name);
}

static void refused(struct sgring_setup setup, int error, const char *why)
{
	char message[200] = "";
	int fd = dev_open("rx0", O_RDWR);

	setup.message = (uintptr_t)message;
	setup.message_bytes = sizeof(message);
	assert_int_equal(sg_setup(fd, &setup), -error);
	if (!strstr(message, why))
		fail_msg("\"%s\" does not name \"%s\"", message, why);
	close(fd);
}

/* A number of /proc/meminfo (KiB) or /proc/vmstat. */
static uint64_t proc_number(const char *file, const char *name)
{
	uint64_t value = 0;
	char line[200];
	FILE *f = fopen(file, "r");

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, strlen(name)))
			value = strtoull(line + strcspn(line, " ") + 1, NULL, 10);
	fclose(f);
	return value;
}

/* ---- limits ---- */

static void limit_of_a_stream_is_refused_by_name(void **state)
{
	int log = log_open_rested();

	(void)state;
	parameter_set("limit_stream_mb", 4);
	refused((struct sgring_setup){ .slot_bytes = MIB, .slot_count = 5 }, EDQUOT,
		"limit_stream_mb");
	assert_true(log_has(log, "limit_stream_mb"));
	/* What fits into it does, and defaults do. */
	stream_close(&(struct stream[]){ stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = MIB, .slot_count = 3 }) }[0]);
	stream_close(&(struct stream[]){ stream_open("rx0", NULL) }[0]);
}

static void limit_of_all_streams_is_refused_by_name(void **state)
{
	struct stream s;
	int log = log_open_rested();

	(void)state;
	s = stream_open("rx1", &(struct sgring_setup){ .slot_bytes = MIB, .slot_count = 6 });
	parameter_set("limit_total_mb", query_of(s.fd).total_bytes / MIB + 5);
	assert_int_equal(query_of(s.fd).total_bytes_max / MIB,
			 query_of(s.fd).total_bytes / MIB + 5);
	refused((struct sgring_setup){ .slot_bytes = MIB, .slot_count = 6 }, EDQUOT,
		"limit_total_mb");
	assert_true(log_has(log, "limit_total_mb"));
	stream_close(&s);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = MIB, .slot_count = 6 });
	stream_close(&s);
}

static void scratch_slot_counts_too(void **state)
{
	(void)state;
	parameter_set("limit_stream_mb", 4);
	refused((struct sgring_setup){ .slot_bytes = MIB, .slot_count = 4,
		.overrun = SGRING_OVERRUN_DROP }, EDQUOT, "limit_stream_mb");
}

static void memory_is_zeroed(void **state)
{
	static const unsigned char zeros[SLOT];
	struct stream s;
	uint32_t slot;

	(void)state;
	/* Others have left their bytes in it. */
	s = stream_open("rx1", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 64 });
	stream_start(&s);
	stream_run(&s, 64);
	stream_close(&s);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 64 });
	for (slot = 0; slot < 64; slot++)
		assert_memory_equal(slot_data(&s, slot), zeros, SLOT);
}

#define CGROUP	"/sys/fs/cgroup/sgring-memory"

static int in_cgroup(void)
{
	struct sgring_setup small = { .slot_bytes = MIB, .slot_count = 40 };
	struct sgring_setup large = { .slot_bytes = MIB, .slot_count = 120 };
	struct sgring_setup equal = { .slot_bytes = MIB, .slot_count = 120,
				      .chunk_policy = SGRING_CHUNK_EQUAL };
	int fd = dev_open("rx0", O_RDWR);

	if (file_try(CGROUP "/cgroup.procs", "0"))
		return 1;
	if (sg_setup(fd, &large) != -ENOMEM)
		return 2;
	if (sg_setup(fd, &equal) != -ENOMEM)
		return 3;
	if (sg_setup(fd, &small))
		return 4;
	return file_number(CGROUP "/memory.current") < 40 * MIB ? 5 : 0;
}

static void cgroup_pays_and_its_limit_is_an_error_not_a_kill(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	file_try("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (variant_is("small") || mkdir(CGROUP, 0755) || access(CGROUP "/memory.max", W_OK)) {
		rmdir(CGROUP);
		skip();
	}
	file_write(CGROUP "/memory.max", "83886080");
	pid = fork();
	if (!pid)
		_exit(in_cgroup());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WAIT_FOR(!rmdir(CGROUP), LONG_MS));
	assert_int_equal(status, 0);
}

/* ---- bounce buffers ---- */

static void bouncing_is_told_where_it_happens_and_only_there(void **state)
{
	bool bounce = variant_is("bounce");
	int log = log_open_rested();
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 4 });

	(void)state;
	assert_int_equal(!!(stats_of(s.fd).flags & SGRING_STATS_BOUNCED), bounce);
	if (bounce)
		assert_true(log_has(log, "bounce buffer"));
}

/* Small slots are synced where they complete, large ones by a worker. */
static void data_is_right_by_either_path(void **state)
{
	static const uint64_t sizes[] = { 4096, SLOT, SLOT + 1, MIB, 3 * MIB + 5 };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		bool deferred = variant_is("bounce") && sizes[i] > SLOT;
		struct stream s = stream_open("rx0", &(struct sgring_setup){
			.slot_bytes = sizes[i], .slot_count = 6 });
		uint32_t slots[6], j;

		assert_int_equal(!!(stats_of(s.fd).flags & SGRING_STATS_DEFERRED), deferred);
		stream_start(&s);
		stream_run(&s, 20);
		/* Starved, found by the timer, woken by a kick, drained. */
		for (j = 0; j < 6; j++)
			slots[j] = stream_expect(&s).slot;
		assert_true(WAIT_FOR(kernel_side(&s)->flags & SGRING_STARVED, LONG_MS));
		for (j = 0; j < 6; j++)
			stream_return(&s, slots[j], 0);
		stream_run(&s, 10);
		assert_int_equal(sg_tune(s.fd, &(struct sgring_tune){ .sq_idle_usec = 1 }), 0);
		for (j = 0; j < 6; j++)
			slots[j] = stream_expect(&s).slot;
		assert_true(WAIT_FOR(kernel_side(&s)->flags & SGRING_NEED_WAKEUP, LONG_MS));
		for (j = 0; j < 6; j++)
			stream_return(&s, slots[j], 0);
		stream_run(&s, 10);
		assert_true(stats_of(s.fd).kicks > 0);
		assert_int_equal(sg_drain(s.fd, 2000, NULL), 0);
		stream_close(&s);
	}
}

static void drops_are_exact_by_the_worker_too(void **state)
{
	uint64_t position = 0, jumps = 0;
	uint32_t slots[4], i, round;
	struct sgring_cqe e;
	struct stream s;

	(void)state;
	knob_set("rx0", "rate", 64000000);
	knob_set("rx0", "fifo_bytes", 64 * MIB);
	s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 256 * KIB, .slot_count = 4, .overrun = SGRING_OVERRUN_DROP });
	stream_start(&s);
	for (round = 0; round < 4; round++) {
		uint64_t dropped;

		for (i = 0; i < 4; i++) {
			e = stream_expect(&s);
			jumps += e.position_bytes - position;
			position = e.position_bytes + e.length_bytes;
			slots[i] = e.slot;
		}
		dropped = stats_of(s.fd).dropped_slots;
		assert_true(WAIT_FOR(stats_of(s.fd).dropped_slots > dropped, LONG_MS));
		for (i = 0; i < 4; i++)
			stream_return(&s, slots[i], 0);
	}
	stream_stop(&s);
	do {
		e = stream_next(&s);
		jumps += e.position_bytes - position;
		position = e.position_bytes + e.length_bytes;
	} while (!(e.flags & SGRING_CQE_EOS));
	assert_true(jumps);
	assert_int_equal(jumps, stats_of(s.fd).dropped_bytes);
}

/* Is the word one of this stream before @position, or nothing? */
static bool ours_or_nothing(const struct stream *s, const unsigned char *p, uint64_t position)
{
	unsigned int stream, own;
	uint64_t word = sgring_pattern_get(p), at;

	if (!word)
		return true;
	sgring_pattern_locate(s->key, &own);
	at = sgring_pattern_locate(word, &stream);
	return stream == own && at < position;
}

static void early_end_uncovers_nobody_elses_memory(void **state)
{
	static const uint64_t sizes[] = { SLOT, MIB };
	unsigned int i, n;
	uint64_t at;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct sgring_setup setup = { .slot_bytes = sizes[i], .slot_count = 8 };
		struct stream s = stream_open("rx1", &setup);

		/* Another's bytes, in the pages and in the bounce buffers that come next. */
		stream_start(&s);
		stream_run(&s, 16);
		stream_close(&s);
		/* Words as a whole, so that each can be told whose it is. */
		knob_set("rx0", "packet_bytes", 1000);
		s = stream_open("rx0", &setup);
		stream_start(&s);
		for (n = 0; n < 40; n++) {
			struct sgring_cqe e = stream_expect(&s);

			assert_int_equal(e.length_bytes, 1000);
			for (at = 1000; at < sizes[i]; at += 8)
				if (!ours_or_nothing(&s, slot_data(&s, e.slot) + at,
						     e.position_bytes))
					fail_msg("slot %u, round %u, byte %llu is another's",
						 e.slot, n, (unsigned long long)at);
			stream_return(&s, e.slot, 0);
		}
		stream_close(&s);
	}
}

/* ---- little memory, in pieces ---- */

/*
 * All free memory in single pages: pipes are filled page by page in turn, then
 * every other one is let go. Pages of a pipe cannot be moved together again.
 */
struct pieces {
	int kept[400];
	unsigned int count;
};

static bool fill_page(int fd)
{
	static const char page[4096];

	return write(fd, page, sizeof(page)) == sizeof(page);
}

static bool fill_pair(int kept, int given)
{
	bool ok = true;
	unsigned int i;

	for (i = 0; i < 256 && ok; i++)
		ok = fill_page(kept) && fill_page(given);
	return ok;
}

static void fragment(struct pieces *p, uint64_t leave_kib)
{
	int given[ARRAY_SIZE(p->kept)][2];
	unsigned int i;

	p->count = 0;
	while (p->count < ARRAY_SIZE(p->kept) / 2 &&
	       proc_number("/proc/meminfo", "MemFree") > leave_kib) {
		int *kept = &p->kept[2 * p->count];

		assert_int_equal(pipe(kept), 0);
		assert_int_equal(pipe(given[p->count]), 0);
		assert_int_equal(fcntl(kept[1], F_SETPIPE_SZ, MIB), MIB);
		assert_int_equal(fcntl(given[p->count][1], F_SETPIPE_SZ, MIB), MIB);
		p->count++;
		assert_true(fill_pair(kept[1], given[p->count - 1][1]));
	}
	for (i = 0; i < p->count; i++) {
		close(given[i][0]);
		close(given[i][1]);
	}
}

static void fragmented_memory_gives_smaller_chunks_and_right_data(void **state)
{
	struct sgring_setup setup = { .slot_bytes = 2 * MIB };
	uint64_t large, small, kills, count;
	struct sgring_run runs[600];
	struct stream s;
	struct pieces p;
	uint32_t slot;

	(void)state;
	if (!variant_is("small"))
		skip();
	kills = proc_number("/proc/vmstat", "oom_kill");
	parameter_set("limit_stream_mb", 1000);
	parameter_set("limit_total_mb", 1000);
	fragment(&p, 20 * 1024);
	/* Much more than is left in one piece, and some is left to others. */
	count = proc_number("/proc/meminfo", "MemAvailable") / 1024 * 2 / 3 / 2;
	assert_in_range(count, 20, 100);
	setup.slot_count = count;
	s = stream_open("rx0", &setup);
	assert_true(s.geometry.chunk_bytes_min <= 16 * KIB);
	for (slot = 0, large = 0, small = 0; slot < count; slot++) {
		int i, n = sg_layout(s.fd, slot, runs, ARRAY_SIZE(runs));

		assert_in_range(n, 1, ARRAY_SIZE(runs));
		for (i = 0; i < n; i++)
			*(runs[i].chunk_bytes == 4096 ? &small : &large) +=
				runs[i].chunk_bytes * runs[i].chunks;
	}
	assert_int_equal(large + small, count * 2 * MIB);
	assert_true(small >= MIB);
	stream_start(&s);
	stream_run(&s, count + 20);
	stream_close(&s);

	/* Equal chunks fall as a whole; of a given size they do not, nor does one segment. */
	setup.chunk_policy = SGRING_CHUNK_EQUAL;
	s = stream_open("rx0", &setup);
	assert_true(s.geometry.chunk_bytes_max <= 16 * KIB);
	assert_int_equal(s.geometry.chunk_bytes_min, s.geometry.chunk_bytes_max);
	stream_start(&s);
	stream_run(&s, count + 20);
	stream_close(&s);
	setup.chunk_bytes = 2 * MIB;
	refused(setup, ENOMEM, "in chunks of 2097152 bytes");
	setup.chunk_bytes = 0;
	setup.chunk_policy = SGRING_CHUNK_SINGLE;
	refused(setup, ENOMEM, "in chunks of 2097152 bytes");
	assert_int_equal(proc_number("/proc/vmstat", "oom_kill"), kills);
}

static void too_much_memory_is_refused_and_nobody_is_killed(void **state)
{
	uint64_t kills = proc_number("/proc/vmstat", "oom_kill"), total;
	struct sysinfo info;
	pid_t bystander;
	int status;

	(void)state;
	if (!variant_is("small"))
		skip();
	assert_int_equal(sysinfo(&info), 0);
	total = info.totalram * info.mem_unit / MIB;
	parameter_set("limit_stream_mb", 2 * total);
	parameter_set("limit_total_mb", 2 * total);
	/* The likeliest victim: large, and nobody's parent. */
	bystander = fork();
	if (!bystander) {
		size_t bytes = 60 * MIB;

		memset(mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0), 1, bytes);
		pause();
		_exit(0);
	}
	msleep(300);
	refused((struct sgring_setup){ .slot_bytes = MIB, .slot_count = total }, ENOMEM,
		"no memory");
	refused((struct sgring_setup){ .slot_bytes = MIB, .slot_count = total,
		.chunk_policy = SGRING_CHUNK_EQUAL }, ENOMEM, "no memory");
	assert_int_equal(proc_number("/proc/vmstat", "oom_kill"), kills);
	assert_int_equal(waitpid(bystander, &status, WNOHANG), 0);
	kill(bystander, SIGKILL);
	waitpid(bystander, &status, 0);
	/* And what there was is there again. */
	stream_close(&(struct stream[]){ stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = MIB, .slot_count = 40 }) }[0]);
}

GROUP(TEST(limit_of_a_stream_is_refused_by_name),
      TEST(limit_of_all_streams_is_refused_by_name),
      TEST(scratch_slot_counts_too),
      TEST(memory_is_zeroed),
      TEST(cgroup_pays_and_its_limit_is_an_error_not_a_kill),
      TEST(bouncing_is_told_where_it_happens_and_only_there),
      TEST(data_is_right_by_either_path),
      TEST(drops_are_exact_by_the_worker_too),
      TEST(early_end_uncovers_nobody_elses_memory),
      TEST(fragmented_memory_gives_smaller_chunks_and_right_data),
      TEST(too_much_memory_is_refused_and_nobody_is_killed))

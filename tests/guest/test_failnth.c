// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Whatever can fail in an operation is failed, one thing at a time: the first
 * allocation, page or user copy, then the second, until nothing is left to fail.
 * Each time the errno is the one that fits, all is as it was, and the next attempt
 * streams the right bytes.
 *
 * The kernel counts them down itself, for one task (/proc/thread-self/fail-nth); so
 * what runs in softirq and in workers is reached by other means. It takes a kernel
 * with fault injection, the debug kernel; others skip all of this. FAIL_NTH=1 tries
 * every one; without it the long ones are tried in steps.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common.h"

#define SLOT	(16 * KIB)
#define FAULTS	"/sys/kernel/debug/"
#define DRIVERS	"/sys/bus/platform/drivers/"

/* ---- the machinery ---- */

enum kind { SLAB, PAGES, USERCOPY, REFUSAL, KINDS, NOTHING = KINDS };

static const char * const kind_names[] = {
	[SLAB] = "failslab",
	[PAGES] = "fail_page_alloc",
	[USERCOPY] = "fail_usercopy",
	[REFUSAL] = "fail_sgring",
};

/* Each counts down from here what it has failed, for whatever reason. */
#define MANY	"1000000000"

static uint64_t failed_before[KINDS];
static uint64_t failed[KINDS];		/* in all tests */

static void attribute_set(enum kind kind, const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), FAULTS "%s/%s", kind_names[kind], name);
	file_write(path, value);
}

static uint64_t times_left(enum kind kind)
{
	char path[128];

	snprintf(path, sizeof(path), FAULTS "%s/times", kind_names[kind]);
	/* Ours goes with the module. */
	return access(path, F_OK) ? 0 : file_number(path);
}

static void figure(void)
{
	uint64_t sum = 0;
	enum kind k;

	for (k = 0; k < KINDS; k++) {
		printf("%s: %llu\n", kind_names[k], (unsigned long long)failed[k]);
		sum += failed[k];
	}
	printf("FIGURE fail_nth=%llu\n", (unsigned long long)sum);
}

static int nth = -1;			/* of this task */

static void attributes_reset(void)
{
	char path[128];
	enum kind k;

	for (k = 0; k < KINDS; k++) {
		snprintf(path, sizeof(path), FAULTS "%s", kind_names[k]);
		if (k == REFUSAL && access(path, F_OK))
			continue;
		attribute_set(k, "probability", "0");
		attribute_set(k, "verbose", "0");
		attribute_set(k, "task-filter", "0");
		attribute_set(k, "space", "0");
		attribute_set(k, "times", MANY);
	}
	/*
	 * Memory that may be waited for, and single pages, are spared by default. What
	 * the kernel's checkers want for themselves is not ours to fail: where the
	 * kernel was told which caches those are, the others alone are failed.
	 */
	attribute_set(SLAB, "ignore-gfp-wait", "0");
	if (file_number("/sys/kernel/slab/kmalloc-64/failslab"))
		attribute_set(SLAB, "cache-filter", "1");
	attribute_set(PAGES, "ignore-gfp-wait", "0");
	attribute_set(PAGES, "ignore-gfp-highmem", "0");
	attribute_set(PAGES, "min-order", "0");
}

static void faults_open(void)
{
	static bool told;

	nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth < 0 || access(FAULTS "failslab", F_OK)) {
		print_message("this kernel has no fault injection\n");
		skip();
	}
	attributes_reset();
	if (!told)
		atexit(figure);
	told = true;
}

/* From the next system call on, the @n-th thing that can fail will. */
static void fail_begin(unsigned int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%u", n);
	enum kind k;

	for (k = 0; k < KINDS; k++)
		failed_before[k] = times_left(k);
	assert_int_equal(pwrite(nth, text, length, 0), length);
}

/* What was failed, or NOTHING if there were fewer than that. */
static enum kind fail_end(void)
{
	char text[16] = "";
	ssize_t n = pread(nth, text, sizeof(text) - 1, 0);
	enum kind k, found = NOTHING;

	/* The copy to us is one of them: then it was the next. */
	if (n < 0 || strtoul(text, NULL, 0)) {
		assert_true(n > 0 || errno == EFAULT);
		while (pwrite(nth, "0", 1, 0) != 1)
			;
		return NOTHING;
	}
	for (k = 0; k < KINDS && found == NOTHING; k++)
		if (times_left(k) < failed_before[k])
			found = k;
	assert_int_not_equal(found, NOTHING);
	failed[found]++;
	return found;
}

/**
 * struct operation - what is failed
 * @name: for the log
 * @prepare: before each attempt, with nothing failing
 * @run: the operation, 0 or -errno; it does nothing but system calls
 * @check: afterwards: all is well, whatever @run said; and undoes everything
 * @least: so many things at least can fail in it
 * @first: begin with this one; those before are not ours
 * @also: one more errno that it may give
 * @step: try each of them, or with FAIL_NTH unset only every so many
 */
struct operation {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
	void (*check)(int ret, enum kind kind);
	unsigned int least;
	unsigned int step;
	unsigned int first;
	int also;
};

static bool errno_fits(const struct operation *op, int ret, enum kind kind)
{
	/* Some allocations are made another way: that is no failure. */
	if (!ret || (op->also && ret == op->also))
		return true;
	switch (kind) {
	case USERCOPY:
		return ret == -EFAULT;
	case REFUSAL:
		/* Mapped, or not as the engine takes it; descriptors, configuration. */
		return ret == -ENOMEM || ret == -EMSGSIZE || ret == -EIO;
	default:
		return ret == -ENOMEM;
	}
}

static unsigned int counts[KINDS + 1];	/* of the last operation */

static bool all(void)
{
	const char *text = getenv("FAIL_NTH");

	return text && atoi(text);
}

static void fail_each(const struct operation *op)
{
	unsigned int refused = 0, n = op->first ?: 1;
	unsigned int step = op->step && !all() ? op->step : 1;
	uint64_t start = now_ns();
	enum kind kind;
	int ret;

	memset(counts, 0, sizeof(counts));
	do {
		if (op->prepare)
			op->prepare();
		fail_begin(n);
		ret = op->run();
		kind = fail_end();
		if (kind == NOTHING && ret)
			fail_msg("%s: nothing was failed, yet %s", op->name, strerror(-ret));
		if (!errno_fits(op, ret, kind))
			fail_msg("%s: %s number %u failed: %s", op->name, kind_names[kind], n,
				 strerror(-ret));
		counts[kind]++;
		refused += !!ret;
		op->check(ret, kind);
		n += step;
	} while (kind != NOTHING);
	print_message("%s: slab %u, pages %u, user copies %u, refusals %u; %u told, %llu ms\n",
		      op->name, counts[SLAB], counts[PAGES], counts[USERCOPY], counts[REFUSAL], refused,
		      (unsigned long long)(now_ns() - start) / 1000000);
	assert_true(n - (op->first ?: 1) >= op->least);
}

/* ---- what must hold after each failure ---- */

static const char *label = "rx0";
static struct sgring_setup wanted;
static char message[200];
static struct stream st;
static uint64_t memory_before;

static uint64_t memory_now(int fd)
{
	return query_of(fd).total_bytes;
}

/* An open file of a stream nobody owns, and the memory in use then. */
static void fresh_file(void)
{
	st = (struct stream){ .fd = dev_open(label, O_RDWR), .key = pattern_key_of(label) };
	assert_true(st.fd >= 0);
	st.setup = wanted;
	st.setup.size = sizeof(st.setup);
	memory_before = memory_now(st.fd);
}

static void set_up(void)
{
	int ret = sg_ioctl(st.fd, SGRING_SETUP, &st.setup);

	if (ret)
		fail_msg("set-up of %s with nothing failing: %s", label, strerror(-ret));
}

static void fresh_set_up(void)
{
	fresh_file();
	set_up();
}

static void fresh_stream(void)
{
	fresh_set_up();
	stream_map(&st);
}

static void fresh_running(void)
{
	fresh_stream();
	stream_start(&st);
	stream_run(&st, 2);
}

static void is_not_set_up(void)
{
	struct sgring_geometry geometry;
	struct sgring_query query = query_of(st.fd);

	assert_int_equal(query.state, SGRING_STATE_IDLE);
	assert_int_equal(query.total_bytes, memory_before);
	assert_int_equal(sg_geometry(st.fd, &geometry), -EBADFD);
	assert_int_equal(sg_arm(st.fd), -EBADFD);
	assert_null(region_map(st.fd, 0, 4096, PROT_READ));
	assert_int_equal(errno, EBADFD);
}

/* It goes, with all it had. */
static void goes(void)
{
	int fd;

	stream_close(&st);
	fd = dev_open(label, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(memory_now(fd), memory_before);
	close(fd);
}

/* Mapped, and READY or ARMED: it streams first. */
static void streams_and_goes(void)
{
	assert_int_equal(sg_start(st.fd), 0);
	stream_run(&st, 2);
	goes();
}

static void streams_anew(void)
{
	fresh_stream();
	streams_and_goes();
}

/* ---- open ---- */

static const char *path;
static int opened;

static int run_open(void)
{
	opened = open(path, O_RDWR | O_CLOEXEC);
	return opened < 0 ? -errno : 0;
}

static void check_open(int ret, enum kind kind)
{
	(void)kind;
	if (!ret)
		close(opened);
	streams_anew();
}

static void open_fails_at_each(void **state)
{
	const struct operation op = { "open", NULL, run_open, check_open, 3, 0, 0, 0 };

	(void)state;
	faults_open();
	wanted = (struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 4 };
	path = strdup(dev_path(label));
	fail_each(&op);
}

/* ---- set-up ---- */

static int run_setup(void)
{
	return ioctl(st.fd, SGRING_SETUP, &st.setup) ? -errno : 0;
}

static void check_setup(int ret, enum kind kind)
{
	(void)kind;
	if (ret) {
		is_not_set_up();
		st.setup = wanted;
		st.setup.size = sizeof(st.setup);
		set_up();
	}
	stream_map(&st);
	streams_and_goes();
}

static void set_up_of(const char *name, const char *stream, struct sgring_setup setup,
		      unsigned int least, unsigned int step)
{
	const struct operation op = { name, fresh_file, run_setup, check_setup, least, step, 0, 0 };

	faults_open();
	label = stream;
	wanted = setup;
	wanted.message = (uintptr_t)message;
	wanted.message_bytes = sizeof(message);
	fail_each(&op);
	label = "rx0";
}

#define SMALL	{ .slot_bytes = SLOT, .slot_count = 4 }

/* Of a small stream. */
static void fail_each_of(const struct operation *ops, unsigned int count)
{
	unsigned int i;

	faults_open();
	wanted = (struct sgring_setup)SMALL;
	for (i = 0; i < count; i++)
		fail_each(&ops[i]);
}

/* Slots of 7 pages: of 4, 2 and 1. */
static void set_up_of_mixed_chunks_fails_at_each(void **state)
{
	(void)state;
	set_up_of("set-up, mixed chunks", "rx0", (struct sgring_setup){
		.slot_bytes = 28 * KIB, .slot_count = 3 }, 30, 2);
}

/* Chunks of one size: without one given it is found by trying. */
static void set_up_of_equal_chunks_fails_at_each(void **state)
{
	(void)state;
	set_up_of("set-up, equal chunks", "rx0", (struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 2, .chunk_policy = SGRING_CHUNK_EQUAL }, 20, 3);
	set_up_of("set-up, chunks of 8 KiB", "rx0", (struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 2, .chunk_policy = SGRING_CHUNK_EQUAL,
		.chunk_bytes = 8 * KIB }, 20, 3);
}

/* The xilinx's slots are one segment each, with a scratch slot. */
static void set_up_of_single_segments_fails_at_each(void **state)
{
	(void)state;
	set_up_of("set-up, single segments", "xilinx0", (struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 3 }, 20, 3);
}

static void set_up_with_a_scratch_slot_fails_at_each(void **state)
{
	(void)state;
	set_up_of("set-up, scratch slot", "rx0", (struct sgring_setup){
		.slot_bytes = 20 * KIB, .slot_count = 2, .overrun = SGRING_OVERRUN_DROP }, 20, 2);
}

/* Lists of more than a page: of chunks, of slots, of segments. */
static void set_up_with_long_lists_fails_at_each(void **state)
{
	(void)state;
	set_up_of("set-up, many chunks", "rx0", (struct sgring_setup){
		.slot_bytes = 1200 * KIB, .slot_count = 2, .chunk_bytes = 4 * KIB,
		.chunk_policy = SGRING_CHUNK_EQUAL }, 500, 37);
	set_up_of("set-up, many slots", "rx0", (struct sgring_setup){
		.slot_bytes = 4 * KIB, .slot_count = 48 }, 150, 17);
}

/* ---- mmap ---- */

static struct region {
	uint64_t offset;
	uint64_t bytes;
	int prot;
} region;
static void *mapped;

static void region_choose(unsigned int which)
{
	struct sgring_geometry g;

	assert_int_equal(sg_geometry(st.fd, &g), 0);
	region = (const struct region[]){
		{ g.kernel_offset, g.kernel_bytes, PROT_READ },
		{ g.user_offset, g.user_bytes, PROT_READ | PROT_WRITE },
		{ g.data_offset, g.data_bytes, PROT_READ | PROT_WRITE },
		{ g.observer_data_offset, g.data_bytes, PROT_READ },
	}[which];
}

static int map_fd;

static int run_mmap(void)
{
	mapped = region_map(map_fd, region.offset, region.bytes, region.prot);
	return mapped ? 0 : -errno;
}

static void check_mmap(int ret, enum kind kind)
{
	(void)kind;
	if (!ret)
		munmap(mapped, region.bytes);
	if (map_fd != st.fd)
		close(map_fd);
	stream_map(&st);
	streams_and_goes();
}

static void prepare_mmap_kernel(void)
{
	fresh_set_up();
	map_fd = st.fd;
	region_choose(0);
}

static void prepare_mmap_user(void)
{
	fresh_set_up();
	map_fd = st.fd;
	region_choose(1);
}

static void prepare_mmap_data(void)
{
	fresh_set_up();
	map_fd = st.fd;
	region_choose(2);
}

static void prepare_observe_kernel(void)
{
	fresh_set_up();
	map_fd = dev_open(label, O_RDONLY);
	region_choose(0);
}

static void prepare_observe_data(void)
{
	fresh_set_up();
	map_fd = dev_open(label, O_RDONLY);
	region_choose(3);
}

static void mmap_fails_at_each(void **state)
{
	static const struct operation ops[] = {
		{ "mmap, kernel side", prepare_mmap_kernel, run_mmap, check_mmap, 2, 0, 0, 0 },
		{ "mmap, user side", prepare_mmap_user, run_mmap, check_mmap, 2, 0, 0, 0 },
		{ "mmap, slots", prepare_mmap_data, run_mmap, check_mmap, 3, 0, 0, 0 },
		{ "mmap, observer's kernel side", prepare_observe_kernel, run_mmap, check_mmap, 2, 0, 0, 0 },
		{ "mmap, observer's slots", prepare_observe_data, run_mmap, check_mmap, 1, 0, 0, 0 },
	};

	(void)state;
	fail_each_of(ops, ARRAY_SIZE(ops));
}

/*
 * A process that has never mapped slots: what watches its mappings is made with
 * the first. @n: see fail_begin(). What happened, -errno or enum kind.
 */
static int mmap_in_a_child(unsigned int n)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		int own = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
		char text[16];
		int ret;

		snprintf(text, sizeof(text), "%u", n);
		if (own < 0 || pwrite(own, text, strlen(text), 0) < 0)
			_exit(100);
		ret = run_mmap();
		memset(text, 0, sizeof(text));
		if (pread(own, text, sizeof(text) - 1, 0) < 0 || atoi(text))
			_exit(ret ? 101 : 1);		/* nothing failed */
		if (ret)
			_exit(ret == -ENOMEM ? 2 : 102);
		/* It is whole, whatever was left out. */
		pwrite(own, "0", 1, 0);
		memset(mapped, 0x55, region.bytes);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status) >= 100)
		fail_msg("a child's mmap, number %u failed: status 0x%x", n, status);
	return WEXITSTATUS(status);
}

static void first_mmap_of_a_process_fails_at_each(void **state)
{
	unsigned int n = 0, refused = 0, outcome;

	(void)state;
	faults_open();
	wanted = (struct sgring_setup)SMALL;
	do {
		prepare_mmap_data();
		outcome = mmap_in_a_child(++n);
		refused += outcome == 2;
		failed[SLAB] += outcome != 1;
		stream_map(&st);
		streams_and_goes();
	} while (outcome != 1);
	print_message("mmap, a process's first: %u failures; %u refused\n", n - 1, refused);
	assert_true(n > 5 && refused > 2);
}

/* Page faults have no errno: what fails is tried again. */
static unsigned int right;

static int run_observer_fault(void)
{
	size_t i;

	right = 0;
	for (i = 0; i < region.bytes; i += 4096)
		right += ((volatile unsigned char *)mapped)[i] == 0x5a;
	return 0;
}

static void prepare_observer_fault(void)
{
	fresh_stream();
	memset(st.data, 0x5a, st.geometry.data_bytes);
	map_fd = dev_open(label, O_RDONLY);
	region_choose(3);
	/* Far from everything, so that page tables are wanted too. */
	mapped = mmap((void *)0x200000000000UL, region.bytes, PROT_READ,
		      MAP_SHARED | MAP_FIXED_NOREPLACE, map_fd, region.offset);
	assert_ptr_not_equal(mapped, MAP_FAILED);
}

static void check_observer_fault(int ret, enum kind kind)
{
	(void)ret;
	(void)kind;
	assert_int_equal(right, region.bytes / 4096);
	munmap(mapped, region.bytes);
	close(map_fd);
	streams_and_goes();
}

static void observer_fault_fails_at_each(void **state)
{
	const struct operation op = { "observer's faults", prepare_observer_fault,
				      run_observer_fault, check_observer_fault, 2, 0, 0, 0 };

	(void)state;
	fail_each_of(&op, 1);
}

/* ---- a stream's life ---- */

static int run_arm(void)
{
	return sg_arm(st.fd);
}

static int run_start(void)
{
	return sg_start(st.fd);
}

static void check_started(int ret, enum kind kind)
{
	(void)kind;
	if (ret) {
		assert_int_equal(query_of(st.fd).state, SGRING_STATE_READY);
		assert_int_equal(sg_start(st.fd), 0);
	} else if (query_of(st.fd).state == SGRING_STATE_ARMED) {
		assert_int_equal(sg_start(st.fd), 0);
	}
	stream_run(&st, 2);
	goes();
}

/* To the end of what it ran, all slots given back. */
static void run_out(void)
{
	struct sgring_cqe e;

	while (!((e = stream_next(&st)).flags & SGRING_CQE_EOS))
		stream_return(&st, e.slot, 0);
}

static int run_abort(void)
{
	return sg_abort(st.fd);
}

static int run_drain(void)
{
	return sg_drain(st.fd, LONG_MS, NULL);
}

/* It has stopped, or it runs on: its answer may be lost, and nothing else. */
static void check_stopped(int ret, enum kind kind)
{
	(void)kind;
	if (query_of(st.fd).state == SGRING_STATE_RUNNING) {
		assert_int_equal(ret, -EFAULT);
		assert_int_equal(sg_abort(st.fd), 0);
	}
	assert_int_equal(query_of(st.fd).state, SGRING_STATE_READY);
	run_out();
	/* The same memory again. */
	assert_int_equal(sg_start(st.fd), 0);
	stream_run(&st, 2);
	goes();
}

/* If the channel of the xilinx was not to be had again after a stop, the arm makes up for it. */
static void life_of(const char *stream)
{
	const struct operation ops[] = {
		{ "arm", fresh_stream, run_arm, check_started, 2, 0, 0, 0 },
		{ "start", fresh_stream, run_start, check_started, 2, 0, 0, 0 },
		{ "abort", fresh_running, run_abort, check_stopped, 1, 0, 0, 0 },
		{ "drain", fresh_running, run_drain, check_stopped, 1, 0, 0, 0 },
	};
	unsigned int i;

	label = stream;
	print_message("%s\n", label);
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		fail_each(&ops[i]);
	label = "rx0";
}

static void life_fails_at_each(void **state)
{
	(void)state;
	faults_open();
	wanted = (struct sgring_setup)SMALL;
	life_of("rx0");
	life_of("xilinx0");
}


/* ---- the other ioctls ---- */

static int run_kick(void)
{
	return sg_kick(st.fd);
}

static int run_query(void)
{
	struct sgring_query query;

	return sg_query(st.fd, &query);
}

static int run_geometry(void)
{
	struct sgring_geometry geometry;

	return sg_geometry(st.fd, &geometry);
}

static int run_layout(void)
{
	struct sgring_run runs[200];
	int ret = sg_layout(st.fd, 0, runs, ARRAY_SIZE(runs));

	return ret < 0 ? ret : 0;
}

static int run_stats(void)
{
	struct sgring_stats stats = { .size = sizeof(stats) };

	return sg_ioctl(st.fd, SGRING_STATS, &stats);
}

static int run_tune(void)
{
	struct sgring_tune tune = { .wake_slots = 2 };

	return sg_tune(st.fd, &tune);
}

static int run_poll(void)
{
	struct pollfd p = { .fd = st.fd, .events = POLLIN };

	return poll(&p, 1, LONG_MS) < 0 ? -errno : 0;
}

/* Nothing that it tells was touched: it streams on. */
static void check_goes_on(int ret, enum kind kind)
{
	(void)ret;
	(void)kind;
	stream_run(&st, 2);
	goes();
}

static void questions_fail_at_each(void **state)
{
	static const struct operation ops[] = {
		{ "kick", fresh_running, run_kick, check_goes_on, 0, 0, 0, 0 },
		{ "query", fresh_running, run_query, check_goes_on, 2, 0, 0, 0 },
		{ "geometry", fresh_running, run_geometry, check_goes_on, 2, 0, 0, 0 },
		{ "layout", fresh_running, run_layout, check_goes_on, 3, 0, 0, 0 },
		{ "stats", fresh_running, run_stats, check_goes_on, 2, 0, 0, 0 },
		{ "tune", fresh_running, run_tune, check_goes_on, 2, 0, 0, 0 },
		{ "poll", fresh_running, run_poll, check_goes_on, 1, 0, 0, 0 },
	};

	(void)state;
	fail_each_of(ops, ARRAY_SIZE(ops));
}

/* ---- read(2) ---- */

static unsigned char buffer[100000];
static ssize_t was_read;

static int run_read(void)
{
	was_read = read(st.fd, buffer, sizeof(buffer));
	return was_read < 0 ? -errno : 0;
}

/* What follows in the stream is what is read next, whatever a read has said. */
static void check_read(int ret, enum kind kind)
{
	uint64_t position = 0;
	unsigned int i;

	(void)kind;
	if (ret && ret != -EFAULT)
		assert_int_equal(query_of(st.fd).state, SGRING_STATE_IDLE);
	for (i = 0; i < 4; i++) {
		if (i || ret)
			assert_int_equal(run_read(), 0);
		assert_true(was_read > 0);
		assert_int_equal(sgring_pattern_verify(buffer, was_read, st.key, position),
				 was_read);
		position += was_read;
	}
	close(st.fd);
	streams_anew();
}

static void read_fails_at_each(void **state)
{
	const struct operation op = { "read", fresh_file, run_read, check_read, 50, 7, 0, 0 };

	(void)state;
	faults_open();
	parameter_set("limit_stream_mb", 1);
	wanted = (struct sgring_setup)SMALL;
	fail_each(&op);
}

/* ---- the end ---- */

static int run_close(void)
{
	return close(st.fd) ? -errno : 0;
}

static int run_munmap(void)
{
	if (munmap(st.data, st.geometry.data_bytes) ||
	    munmap(st.kernel, st.geometry.kernel_bytes) ||
	    munmap(st.user, st.geometry.user_bytes))
		return -errno;
	return 0;
}

static void prepare_close(void)
{
	fresh_running();
	stream_unmap(&st);
}

static void check_closed(int ret, enum kind kind)
{
	(void)kind;
	assert_int_equal(ret, 0);
	streams_anew();
}

static void check_munmap(int ret, enum kind kind)
{
	(void)kind;
	if (!ret) {
		st.kernel = NULL;
		st.user = NULL;
		st.data = NULL;
	}
	stream_close(&st);
	streams_anew();
}

static void the_end_fails_at_each(void **state)
{
	static const struct operation ops[] = {
		{ "close", prepare_close, run_close, check_closed, 0, 0, 0, 0 },
		{ "munmap", fresh_running, run_munmap, check_munmap, 0, 0, 0, 0 },
	};

	(void)state;
	fail_each_of(ops, ARRAY_SIZE(ops));
}

/* ---- devices and engines come and go ---- */

static struct binding {
	const char *label;
	const char *driver;
	const char *device;
	const char *client;	/* of an engine: the device it takes along */
	int bind;
	int unbind;
} *at;

static int write_fd(int fd, const char *text)
{
	ssize_t length = strlen(text);

	return pwrite(fd, text, length, 0) == length ? 0 : -errno;
}

static void binding_open(struct binding *b)
{
	char file[128];

	snprintf(file, sizeof(file), DRIVERS "%s/bind", b->driver);
	b->bind = open(file, O_WRONLY | O_CLOEXEC);
	snprintf(file, sizeof(file), DRIVERS "%s/unbind", b->driver);
	b->unbind = open(file, O_WRONLY | O_CLOEXEC);
	assert_true(b->bind >= 0 && b->unbind >= 0);
	at = b;
}

static void client_bind(void)
{
	if (at->client)
		file_write(DRIVERS "sgring-dummy/bind", at->client);
	assert_true(dev_exists(at->label));
}

static int run_bind(void)
{
	return write_fd(at->bind, at->device);
}

static int run_unbind(void)
{
	return write_fd(at->unbind, at->device);
}

static void prepare_bind(void)
{
	assert_int_equal(run_unbind(), 0);
	assert_false(dev_exists(at->label));
}

static void check_bound(int ret, enum kind kind)
{
	(void)kind;
	if (ret) {
		assert_false(dev_exists(at->label));
		assert_int_equal(run_bind(), 0);
	}
	client_bind();
	label = at->label;
	streams_anew();
	label = "rx0";
}

static void check_unbound(int ret, enum kind kind)
{
	(void)kind;
	if (!ret) {
		assert_false(dev_exists(at->label));
		assert_int_equal(run_bind(), 0);
		client_bind();
	}
	label = at->label;
	streams_anew();
	label = "rx0";
}

/* Slabs are spared in unbind: the driver core warns that it cannot remove a link's names. */
static void binding_fails_at_each(struct binding *b, unsigned int least, unsigned int step,
				  int also)
{
	const struct operation ops[] = {
		{ "bind", prepare_bind, run_bind, check_bound, least, step, 0, also },
		{ "unbind", NULL, run_unbind, check_unbound, 1, 0, 0, 0 },
	};

	faults_open();
	wanted = (struct sgring_setup)SMALL;
	print_message("%s\n", b->device);
	binding_open(b);
	fail_each(&ops[0]);
	attribute_set(SLAB, "ignore-gfp-wait", "1");
	fail_each(&ops[1]);
}

static int all_bound(void **state)
{
	label = "rx0";
	file_try(DRIVERS "sgring-dummy-pl330/bind", "sgring-dummy-pl330");
	file_try(DRIVERS "sgring-dummy/bind", "sgring-dummy.5");
	file_try(DRIVERS "sgring-dummy/bind", "sgring-dummy.1");
	return test_end(state);
}

static void device_binding_fails_at_each(void **state)
{
	struct binding b = { "rx1", "sgring-dummy", "sgring-dummy.1", NULL, -1, -1 };

	(void)state;
	binding_fails_at_each(&b, 30, 5, 0);
}

static void engine_binding_fails_at_each(void **state)
{
	struct binding b = { "pl330-0", "sgring-dummy-pl330", "sgring-dummy-pl330",
			     "sgring-dummy.5", -1, -1 };

	(void)state;
	/* The core (6.1) does not look whether a channel's name was had; a device without says so. */
	binding_fails_at_each(&b, 30, 5, -EINVAL);
}

/* ---- the modules ---- */

static const char *module, *parameters;

static int insert(const char *with)
{
	char file[64];
	int fd, ret;

	snprintf(file, sizeof(file), "/mod/%s.ko", module);
	fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	ret = syscall(SYS_finit_module, fd, with, 0) ? -errno : 0;
	close(fd);
	return ret;
}

static int module_fd;

static int run_insert(void)
{
	return syscall(SYS_finit_module, module_fd, parameters, 0) ? -errno : 0;
}

static bool removed(const char *name)
{
	return WAIT_FOR(!syscall(SYS_delete_module, name, O_NONBLOCK) || errno == ENOENT,
			LONG_MS);
}

static void check_inserted(int ret, enum kind kind)
{
	char name[64];

	(void)kind;
	snprintf(name, sizeof(name), "%s", module);
	if (strchr(name, '-'))
		*strchr(name, '-') = '_';
	if (ret)
		assert_int_equal(run_insert(), 0);
	assert_true(removed(name));
}

/*
 * What the loader allocates before it looks at the parameters is its own business:
 * how much that is, a parameter that is refused tells.
 */
static unsigned int loader_share(void)
{
	char text[16] = "";

	fail_begin(1000000000);
	assert_int_equal(insert("nonsense=x streams=x limit_total_mb=x"), -EINVAL);
	assert_true(pread(nth, text, sizeof(text) - 1, 0) > 0);
	assert_int_equal(pwrite(nth, "0", 1, 0), 1);
	return 1000000000 - atoi(text);
}

static void module_fails_at_each(const char *name, const char *with, unsigned int least,
				 unsigned int step)
{
	char file[64];
	struct operation op = { name, NULL, run_insert, check_inserted, least, step, 0, 0 };

	module = name;
	parameters = with;
	snprintf(file, sizeof(file), "/mod/%s.ko", name);
	module_fd = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(module_fd >= 0);
	op.first = loader_share();
	fail_each(&op);
	close(module_fd);
}

static void modules_fail_at_each(void **state)
{
	(void)state;
	faults_open();
	assert_true(removed("sgring_dummy"));
	assert_true(removed("sgring"));
	module_fails_at_each("sgring", "", 20, 7);
	module = "sgring";
	assert_int_equal(insert(""), 0);
	attributes_reset();
	/* The driver core (6.1) leaves links behind if there is no memory for their names. */
	attribute_set(SLAB, "ignore-gfp-wait", "1");
	module_fails_at_each("sgring-dummy", "streams=1", 10, 7);
	assert_int_equal(insert(""), 0);
	wanted = (struct sgring_setup)SMALL;
	streams_anew();
}

static int modules_again(void **state)
{
	module = "sgring";
	insert("");
	module = "sgring-dummy";
	insert("");
	return test_end(state);
}

/* ---- engines that refuse, whoever asks ---- */

/* As many refusals in a row, in whatever context. */
static void refuse_begin(unsigned int times)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", times);
	attribute_set(REFUSAL, "times", text);
	attribute_set(REFUSAL, "probability", "100");
}

static void refuse_end(unsigned int times)
{
	attribute_set(REFUSAL, "probability", "0");
	assert_int_equal(times_left(REFUSAL), 0);
	failed[REFUSAL] += times;
}

static int refuse_off(void **state)
{
	file_try(FAULTS "fail_sgring/probability", "0");
	return all_bound(state);
}

/* In the callback and in the timer. */
static void descriptors_come_and_go_while_it_streams(void **state)
{
	unsigned int times;

	(void)state;
	faults_open();
	wanted = (struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8, .queue_depth = 4 };
	fresh_running();
	for (times = 1; times <= 64; times *= 2) {
		uint64_t busy = stats_of(st.fd).engine_busy;

		refuse_begin(times);
		/* Until the engine has nothing left and the timer asks for it. */
		while (times_left(REFUSAL))
			stream_run(&st, 1);
		stream_run(&st, 10);
		refuse_end(times);
		assert_int_equal(stats_of(st.fd).engine_busy - busy, times);
	}
	assert_int_equal(stats_of(st.fd).lost_bytes, 0);
	goes();
}

/*
 * The xilinx's channel is had anew after a stop; without one the next arm asks for it.
 * How much can fail before that depends on what the engine has left.
 */
static void stop_without_channel(void)
{
	static unsigned int n = 1;
	unsigned int tries;

	for (tries = 0; tries < 200; tries++) {
		enum kind kind;
		int ret;

		fresh_running();
		fail_begin(n);
		ret = sg_abort(st.fd);
		kind = fail_end();
		assert_int_equal(ret, kind == USERCOPY ? -EFAULT : 0);
		if (!query_of(st.fd).channel[0])
			break;
		n = kind == NOTHING ? 1 : n + 1;
		goes();
	}
	assert_true(tries < 200);
	run_out();
}

static void channel_that_was_lost_is_had_again(void **state)
{
	const struct operation op = { "start, channel lost", stop_without_channel, run_start,
				      check_started, 2, 0, 0, -EIO };

	(void)state;
	faults_open();
	wanted = (struct sgring_setup)SMALL;
	label = "xilinx0";
	fail_each(&op);
	label = "rx0";
}

/* ---- somebody who sleeps ---- */

static pid_t sleeper;
static bool sleeper_failed;

static void *read_and_sleep(void *arg)
{
	char text[16] = "";
	int own = open("/proc/thread-self/fail-nth", O_RDONLY | O_CLOEXEC);
	int ret;

	(void)arg;
	__atomic_store_n(&sleeper, syscall(SYS_gettid), __ATOMIC_RELEASE);
	ret = run_read();
	sleeper_failed = pread(own, text, sizeof(text) - 1, 0) > 0 && !atoi(text);
	close(own);
	return (void *)(long)ret;
}

/* What is copied out after a sleep in read(2); its task is given the number from outside. */
static void sleeping_reader_fails_at_each(void **state)
{
	unsigned int n = 0, refused = 0;
	char file[64], text[16];
	pthread_t thread;
	void *ret;
	int other;

	(void)state;
	faults_open();
	parameter_set("limit_stream_mb", 1);
	wanted = (struct sgring_setup)SMALL;
	do {
		knob_set(label, "stall", 1);
		fresh_file();
		other = dev_open(label, O_RDONLY);
		sleeper = 0;
		assert_int_equal(pthread_create(&thread, NULL, read_and_sleep, NULL), 0);
		assert_true(WAIT_FOR(query_of(other).state == SGRING_STATE_RUNNING, LONG_MS));
		snprintf(file, sizeof(file), "/proc/self/task/%d/fail-nth", sleeper);
		snprintf(text, sizeof(text), "%u", ++n);
		file_write(file, text);
		knob_set(label, "stall", 0);
		assert_int_equal(pthread_join(thread, &ret), 0);
		assert_true(!ret || (long)ret == -EFAULT);
		refused += !!ret;
		failed[USERCOPY] += sleeper_failed;
		close(other);
		check_read((long)ret, USERCOPY);
	} while (sleeper_failed);
	/* The first copy of a read is refused, a later one makes it shorter. */
	assert_int_equal(refused, 1);
	assert_true(n > 3);
}

/* ---- nothing is allocated while it streams ---- */

static int probability_fd[2] = { -1, -1 };

static void everything_fails(bool on)
{
	const char *text = on ? "100" : "0";
	unsigned int k;

	for (k = SLAB; k <= PAGES; k++)
		if (write(probability_fd[k], text, strlen(text)) < 0)
			_exit(1);
}

static int everything_works(void **state)
{
	if (probability_fd[PAGES] >= 0)
		everything_fails(false);
	return test_end(state);
}

/*
 * Every allocation of whomever fails, in softirq, in workers, in the engine's thread.
 * Somebody else's may be among them; one for each slot would be ours.
 */
static void nothing_is_allocated_while_it_streams(void **state)
{
	const unsigned int slots = 300;
	uint64_t least = UINT64_MAX;
	unsigned int tries, k;

	(void)state;
	faults_open();
	probability_fd[SLAB] = open(FAULTS "failslab/probability", O_RDWR | O_CLOEXEC);
	probability_fd[PAGES] = open(FAULTS "fail_page_alloc/probability", O_RDWR | O_CLOEXEC);
	assert_true(probability_fd[SLAB] >= 0 && probability_fd[PAGES] >= 0);
	everything_fails(false);
	wanted = (struct sgring_setup){ .slot_bytes = 8 * KIB, .slot_count = 32 };
	fresh_running();
	stream_run(&st, slots);
	for (tries = 0; tries < 10 && least > slots / 4; tries++) {
		uint64_t before = times_left(SLAB) + times_left(PAGES), now;

		everything_fails(true);
		stream_run(&st, slots);
		everything_fails(false);
		now = before - times_left(SLAB) - times_left(PAGES);
		least = now < least ? now : least;
	}
	for (k = SLAB; k <= PAGES; k++)
		attribute_set(k, "times", MANY);
	print_message("%u slots, every allocation failing: %llu failed\n", slots,
		      (unsigned long long)least);
	assert_true(least <= slots / 4);
	assert_int_equal(stats_of(st.fd).engine_busy, 0);
	assert_int_equal(stats_of(st.fd).lost_bytes, 0);
	stream_close(&st);
	streams_anew();
}

#define WITH(f, end)	cmocka_unit_test_setup_teardown(f, test_begin, end)

GROUP(TEST(open_fails_at_each),
      TEST(set_up_of_mixed_chunks_fails_at_each),
      TEST(set_up_of_equal_chunks_fails_at_each),
      TEST(set_up_of_single_segments_fails_at_each),
      TEST(set_up_with_a_scratch_slot_fails_at_each),
      TEST(set_up_with_long_lists_fails_at_each),
      TEST(mmap_fails_at_each),
      TEST(first_mmap_of_a_process_fails_at_each),
      TEST(observer_fault_fails_at_each),
      TEST(life_fails_at_each),
      TEST(questions_fail_at_each),
      TEST(read_fails_at_each),
      TEST(the_end_fails_at_each),
      TEST(sleeping_reader_fails_at_each),
      WITH(nothing_is_allocated_while_it_streams, everything_works),
      WITH(descriptors_come_and_go_while_it_streams, refuse_off),
      WITH(channel_that_was_lost_is_had_again, all_bound),
      WITH(device_binding_fails_at_each, all_bound),
      WITH(engine_binding_fails_at_each, all_bound),
      WITH(modules_fail_at_each, modules_again))

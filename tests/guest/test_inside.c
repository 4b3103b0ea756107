// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the driver shows of itself to those who look on: the attributes in
 * /sys/class/sgring (kernel/ABI-sysfs-class-sgring), and the files in
 * /sys/kernel/debug/sgring (kernel/ABI-debugfs-sgring).
 */
#include <sched.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common.h"

static const struct sgring_setup small = { .slot_bytes = 65536, .slot_count = 4 };

/* The line in an attribute of a stream, without its end. */
static const char *attribute(const char *label, const char *name)
{
	static char text[4096];
	char path[400];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/class/sgring/%s/%s", strrchr(dev_path(label), '/') + 1,
		 name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	assert_true(n > 0 && text[n - 1] == '\n');
	text[n - 1] = 0;
	return text;
}

#define SAYS(label, name, text)	assert_string_equal(attribute(label, name), text)

/* The errno has its name, or in a kernel without names its number. */
static void refused_says(const char *label, int err, const char *name, const char *text)
{
	const char *line = attribute(label, "refused_last");
	char number[20];
	size_t n;

	snprintf(number, sizeof(number), "%d ", err);
	n = strlen(strncmp(line, number, strlen(number)) ? name : number);
	if (n == strlen(name))
		assert_memory_equal(line, name, n);
	if (strncmp(line + n, text, strlen(text)))
		fail_msg("\"%s\" is not \"%s%s\"", line, name, text);
}

static long number(const char *label, const char *name)
{
	char *end;
	long n = strtol(attribute(label, name), &end, 10);

	assert_true(!*end);
	return n;
}

static void attributes_tell_what_a_stream_is(void **state)
{
	(void)state;
	SAYS("rx0", "label", "rx0");
	assert_int_equal(number("rx0", "abi_version"), SGRING_ABI_VERSION);
	SAYS("rx0", "quirks", "result");
	SAYS("xilinx0", "quirks", "result single drain renew");
	SAYS("pl330-0", "quirks", "no_result renew");
	SAYS("bcm2835-0", "quirks", "");
}

static void state_follows_the_stream(void **state)
{
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	SAYS("rx0", "state", "idle");
	assert_int_equal(sg_setup(fd, &setup), 0);
	SAYS("rx0", "state", "ready");
	assert_int_equal(sg_arm(fd), 0);
	SAYS("rx0", "state", "armed");
	assert_int_equal(sg_start(fd), 0);
	SAYS("rx0", "state", "running");
	assert_int_equal(sg_abort(fd), 0);
	SAYS("rx0", "state", "ready");
	close(fd);
	SAYS("rx0", "state", "idle");
}

/* The exit code of a child, in a PID namespace of its own if @apart. */
static int child(int (*f)(int fd), int fd, bool apart)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		if (apart && unshare(CLONE_NEWPID))
			_exit(100);
		if (!apart)
			_exit(f(fd));
		/* The first process of the new namespace is the next child. */
		pid = fork();
		if (!pid)
			_exit(f(fd));
		waitpid(pid, &status, 0);
		_exit(WEXITSTATUS(status));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int sees_no_owner(int fd)
{
	(void)fd;
	return number("rx0", "owner_pid") ? 1 : 0;
}

static int sets_up(int fd)
{
	struct sgring_setup setup = small;

	return sg_setup(fd, &setup) || number("rx0", "owner_pid") != getpid();
}

static void owner_is_the_process_that_set_it_up(void **state)
{
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(number("rx0", "owner_pid"), 0);
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(number("rx0", "owner_pid"), getpid());
	/* By the reader's namespace. */
	assert_int_equal(child(sees_no_owner, fd, true), 0);
	close(fd);
	assert_int_equal(number("rx0", "owner_pid"), 0);

	/* It goes, and the open file stays with us. */
	fd = dev_open("rx0", O_RDWR);
	assert_int_equal(child(sets_up, fd, false), 0);
	assert_int_equal(number("rx0", "owner_pid"), 0);
	SAYS("rx0", "state", "ready");
}

static void what_was_refused_is_counted_and_told(void **state)
{
	struct sgring_setup setup = { .slot_count = 1 };
	int fd = dev_open("rx2", O_RDWR), other = dev_open("rx2", O_RDWR);
	long before = number("rx2", "refused");

	(void)state;
	assert_int_equal(sg_setup(fd, &setup), -ERANGE);
	assert_int_equal(number("rx2", "refused"), before + 1);
	refused_says("rx2", -ERANGE, "-ERANGE ", "slot_count of 1: from 2 to 65536");
	setup = small;
	assert_int_equal(sg_setup(fd, &setup), 0);
	assert_int_equal(number("rx2", "refused"), before + 1);
	setup = small;
	assert_int_equal(sg_setup(other, &setup), -EBUSY);
	refused_says("rx2", -EBUSY, "-EBUSY ", "somebody else owns this stream");

	knob_set("rx2", "prep_fail_next", 100);
	assert_int_equal(sg_arm(fd), -EIO);
	assert_int_equal(number("rx2", "refused"), before + 3);
	refused_says("rx2", -EIO, "-EIO ", "arm: the engine refused");
	assert_int_equal(sg_start(fd), -EIO);
	assert_int_equal(number("rx2", "refused"), before + 4);
	knob_set("rx2", "prep_fail_next", 0);
	assert_int_equal(sg_start(fd), 0);
	assert_int_equal(sg_start(fd), -EBADFD);
	assert_int_equal(number("rx2", "refused"), before + 5);
	refused_says("rx2", -EBADFD, "-EBADFD ", "start: not in this state");

	/* What was not the caller's to ask for is not among them. */
	assert_int_equal(sg_start(other), -EPERM);
	assert_int_equal(number("rx2", "refused"), before + 5);
}

/* ---- debugfs ---- */

/* A whole file there; of a stream, if there is a label. */
static const char *debug_file(const char *label, const char *name)
{
	static char text[65536];
	size_t used = 0;
	char path[400];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/debug/sgring/%s/%s",
		 label ? strrchr(dev_path(label), '/') + 1 : ".", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	while ((n = read(fd, text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(fd);
	text[used] = 0;
	return text;
}

static uint64_t debug_number(const char *label, const char *file, const char *name)
{
	const char *text = debug_file(label, file), *p = text;
	size_t n = strlen(name);

	while ((p = strstr(p, name)) && ((p > text && p[-1] != '\n') || p[n] != ':'))
		p++;
	if (!p)
		fail_msg("no %s in %s", name, text);
	return strtoull(p + n + 1, NULL, 0);
}

/* Lines behind the one that begins with @head. */
static const char *table(const char *text, const char *head, unsigned int *lines)
{
	const char *p = strstr(text, head), *first;

	assert_non_null(p);
	p = strchr(p, '\n');
	assert_non_null(p);
	first = ++p;
	for (*lines = 0; (p = strchr(p, '\n')); p++)
		++*lines;
	return first;
}

static void debugfs_tells_of_the_engine_and_the_chunks(void **state)
{
	struct sgring_setup setup = small;
	unsigned int order, lines;
	unsigned long long bytes, chunks;
	struct stream s;

	(void)state;
	assert_int_equal(debug_number("xilinx0", "engine", "quirks"), 0x1d);
	assert_int_equal(debug_number("xilinx0", "engine", "depth_max"), 2);
	assert_int_equal(debug_number("xilinx0", "engine", "segments"), 1);
	assert_int_equal(debug_number("pl330-0", "engine", "align"), 64);
	assert_int_equal(debug_number("pl330-0", "engine", "length_known"), 0);
	assert_non_null(strstr(debug_file("rx0", "engine"), "driver: sgring-dummy-dma\n"));

	table(debug_file("rx0", "chunks"), "order bytes chunks", &lines);
	assert_int_equal(lines, 0);
	setup.chunk_policy = SGRING_CHUNK_EQUAL;
	setup.chunk_bytes = 16384;
	setup.overrun = SGRING_OVERRUN_DROP;
	s = stream_open("rx0", &setup);
	/* Four slots and the scratch slot, of four chunks each. */
	assert_int_equal(sscanf(table(debug_file("rx0", "chunks"), "order bytes chunks", &lines),
				"%u %llu %llu", &order, &bytes, &chunks), 3);
	assert_int_equal(lines, 1);
	assert_int_equal(order, 2);
	assert_int_equal(bytes, 16384);
	assert_int_equal(chunks, 20);
	stream_close(&s);
	table(debug_file("rx0", "chunks"), "order bytes chunks", &lines);
	assert_int_equal(lines, 0);
}

static void debugfs_tells_what_is_in_flight(void **state)
{
	struct sgring_setup setup = small;
	unsigned int lines, cell, length;
	struct stream s;
	char word[20];
	int slot;

	(void)state;
	setup.queue_depth = 3;
	knob_set("rx0", "stall", 1);
	s = stream_open("rx0", &setup);
	table(debug_file("rx0", "flight"), "cell slot state", &lines);
	assert_int_equal(lines, 0);
	assert_int_equal(debug_number("rx0", "pump", "active"), 0);
	stream_start(&s);
	assert_int_equal(sscanf(table(debug_file("rx0", "flight"), "cell slot state", &lines),
				"%u %d %19s %*u %*d %u", &cell, &slot, word, &length), 4);
	assert_int_equal(lines, 3);
	assert_int_equal(slot, 0);
	assert_string_equal(word, "submitted");
	assert_int_equal(length, 65536);
	assert_int_equal(debug_number("rx0", "pump", "active"), 1);
	assert_int_equal(debug_number("rx0", "pump", "slots_engine"), 3);
	assert_int_equal(debug_number("rx0", "pump", "slots_free"), 1);
	knob_set("rx0", "stall", 0);
	assert_true(WAIT_FOR(debug_number("rx0", "pump", "starved"), LONG_MS));
	assert_int_equal(debug_number("rx0", "pump", "sequence"), 4);
	assert_int_equal(debug_number("rx0", "pump", "position"), 4 * 65536);
	assert_int_equal(debug_number("rx0", "pump", "slots_app"), 4);
}

static void debugfs_tells_who_waits_at_the_gate_and_what_is_held(void **state)
{
	unsigned int lines, slot, chunk, chunks, references, mappings;
	uint64_t held = debug_number(NULL, "memory", "held_bytes");
	struct sgring_setup setup = small;
	long long waited;
	struct sgring_cqe e;
	struct iovec iov;
	struct stream s;
	int ends[2];

	(void)state;
	/* It returns without being kicked. */
	setup.sq_idle_usec = 60000000;
	s = stream_open("rx0", &setup);
	assert_int_equal(debug_number(NULL, "memory", "total_bytes"),
			 query_of(s.fd).total_bytes);
	assert_int_equal(pipe(ends), 0);
	stream_start(&s);
	e = stream_expect(&s);
	iov = (struct iovec){ slot_data(&s, e.slot), 4096 };
	assert_int_equal(vmsplice(ends[1], &iov, 1, 0), 4096);
	stream_return(&s, e.slot, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), debug_number("rx0", "gate", "waiting") == 1),
			     LONG_MS));
	assert_int_equal(sscanf(table(debug_file("rx0", "gate"), "slot waited_ns", &lines),
				"%u %lld %*u %u %u %u %u", &slot, &waited, &chunk, &chunks,
				&references, &mappings), 6);
	assert_int_equal(lines, 1);
	assert_int_equal(slot, e.slot);
	assert_true(waited > 0);
	assert_true(chunk < chunks);
	/* Ours, one for each mapping, and the pipe's. */
	assert_int_equal(references, 1 + mappings + 1);

	/* Closed, the chunk waits for the pipe. */
	stream_close(&s);
	assert_true(debug_number(NULL, "memory", "held_bytes") > held);
	assert_int_equal(debug_number(NULL, "memory", "held_slots"), 1);
	assert_int_equal(debug_number("rx0", "gate", "waiting"), 0);
	close(ends[0]);
	close(ends[1]);
	assert_true(WAIT_FOR(!debug_number(NULL, "memory", "held_slots"), LONG_MS));
}

/* Nobody who reads keeps a device from going, nor reads what is gone. */
static void debugfs_goes_with_the_stream(void **state)
{
	static const char *const files[] = { "engine", "flight", "gate", "chunks", "pump" };
	char path[200], text[100];
	int i, fd[ARRAY_SIZE(files)];

	(void)state;
	for (i = 0; i < (int)ARRAY_SIZE(files); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/sgring/%s/%s",
			 strrchr(dev_path("rx3"), '/') + 1, files[i]);
		fd[i] = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd[i] >= 0);
	}
	assert_int_equal(device_unbind("rx3"), 0);
	assert_int_equal(access(path, F_OK), -1);
	for (i = 0; i < (int)ARRAY_SIZE(files); i++) {
		assert_int_equal(read(fd[i], text, sizeof(text)), -1);
		assert_int_equal(errno, EIO);
	}
	assert_int_equal(device_bind("rx3"), 0);
	assert_int_equal(debug_number("rx3", "pump", "active"), 0);
}

GROUP(TEST(attributes_tell_what_a_stream_is),
      TEST(state_follows_the_stream),
      TEST(owner_is_the_process_that_set_it_up),
      TEST(what_was_refused_is_counted_and_told),
      TEST(debugfs_tells_of_the_engine_and_the_chunks),
      TEST(debugfs_tells_what_is_in_flight),
      TEST(debugfs_tells_who_waits_at_the_gate_and_what_is_held),
      TEST(debugfs_goes_with_the_stream))

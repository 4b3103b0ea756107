// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What the driver shows of itself to those who look on: the attributes in
 * /sys/class/sgring (kernel/ABI-sysfs-class-sgring).
 */
#include <sched.h>
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

GROUP(TEST(attributes_tell_what_a_stream_is),
      TEST(state_follows_the_stream),
      TEST(owner_is_the_process_that_set_it_up),
      TEST(what_was_refused_is_counted_and_told))

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * io_uring as the library uses it: what is found out about it, rings, slots as
 * registered buffers and the gate; on the kernel that runs the test, whose memory
 * limits and system call filters are the test's.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "sim.h"
#include "uring.h"

/* Nothing here can be tried where there is no io_uring. */
static bool there_is_io_uring(void)
{
	int err;

	if (sgring_uring_probe(&err))
		return true;
	print_message("skipped: %s\n", sgring_errmsg());
	return false;
}

#define NEED_IO_URING() do {		\
	if (!there_is_io_uring())	\
		skip();			\
} while (0)

/* --- a simulator whose slots are laid out as the test wants, with a gate */

struct laid {
	struct sim sim;
	struct sgring *s;
	const struct sgring_run *runs;	/* of every slot; last has chunks 0 */
	uint32_t extra;			/* tell of so many runs more, all alike */
	bool gate;
	unsigned int gate_off, gate_on;
	int refuse_tune;
	int (*sim_ioctl)(const struct sgring_backend *be, int fd, unsigned long request, void *arg);
};

static int laid_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	struct laid *l = (struct laid *)(uintptr_t)be;
	struct sgring_layout *layout = arg;
	struct sgring_tune *tune = arg;
	struct sgring_run *out;
	uint32_t i;
	int err;

	if (request == SGRING_LAYOUT && l->runs) {
		out = (struct sgring_run *)(uintptr_t)layout->runs;
		for (i = 0; l->runs[i].chunks; i++)
			if (i < layout->run_room)
				out[i] = l->runs[i];
		layout->run_count = i + l->extra;
		return 0;
	}
	if (request == SGRING_TUNE) {
		if (l->refuse_tune)
			return -l->refuse_tune;
		assert_int_equal(tune->wake_slots, 0);
		l->gate_off += tune->gate == SGRING_GATE_OFF;
		l->gate_on += tune->gate == SGRING_GATE_ON;
		l->gate = tune->gate != SGRING_GATE_OFF;
	}
	err = l->sim_ioctl(be, fd, request, arg);
	if (request == SGRING_STATS && l->gate)
		((struct sgring_stats *)arg)->flags |= SGRING_STATS_GATE;
	return err;
}

static struct laid *laid_new(const struct sgring_run *runs, uint32_t slots, uint64_t slot_bytes)
{
	struct laid *l = calloc(1, sizeof(*l));

	sim_init(&l->sim);
	l->sim_ioctl = l->sim.be.ioctl;
	l->sim.be.ioctl = laid_ioctl;
	l->runs = runs;
	l->gate = true;
	assert_int_equal(sim_open(&l->sim, &l->s, SGRING_OPTIONS(.slot_count = slots,
								 .slot_bytes = slot_bytes)), 0);
	return l;
}

static void laid_free(struct laid *l)
{
	sgring_close(l->s);
	sim_fini(&l->sim);
	free(l);
}

/* 100000 bytes in 25 pages: chunks of 64, 16 and 4 KiB, the last larger than the rest. */
static const struct sgring_run descending[] = {
	{ .offset_bytes = 0, .chunk_bytes = 65536, .chunks = 1 },
	{ .offset_bytes = 65536, .chunk_bytes = 16384, .chunks = 2 },
	{ .offset_bytes = 98304, .chunk_bytes = 8192, .chunks = 1 },
	{ .chunks = 0 },
};

static void the_probe_knows_what_this_kernel_has(void **state)
{
	const struct sgring_uring_caps *caps;
	int err = 1;

	(void)state;
	NEED_IO_URING();
	caps = sgring_uring_probe(&err);
	assert_int_equal(err, 0);
	assert_true(sgring_uring_has(caps, IORING_OP_WRITE));
	assert_true(sgring_uring_has(caps, IORING_OP_WRITE_FIXED));
	assert_false(sgring_uring_has(caps, 63));
	/* No kernel has one without the other but 6.0 and early 6.1. */
	if (caps->report_usage)
		assert_true(sgring_uring_has(caps, IORING_OP_SENDMSG_ZC));
	assert_ptr_equal(sgring_uring_probe(&err), caps);
}

static void runs_are_buffers_and_lookups_end_where_they_do(void **state)
{
	static const struct {
		uint64_t offset;
		size_t bytes;
		uint16_t buffer;
		size_t there;
	} cases[] = {
		{ 0, 1, 0, 1 }, { 0, 65536, 0, 65536 }, { 0, 100000, 0, 65536 },
		{ 65535, 100, 0, 1 }, { 65536, 32768, 1, 32768 }, { 65536, 34464, 1, 32768 },
		{ 81919, 2, 1, 2 }, { 98303, 2, 1, 1 }, { 98304, 1696, 2, 1696 },
		{ 99999, 1, 2, 1 },
	};
	struct sgring_uring u;
	struct laid *l;
	size_t bytes;
	uint32_t i, slot;

	(void)state;
	NEED_IO_URING();
	l = laid_new(descending, 8, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
	if (sgring_uring_register(&u))
		fail_msg("%s", sgring_errmsg());
	assert_int_equal(u.first[8], 24);
	for (slot = 0; slot < 8; slot++) {
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			bytes = cases[i].bytes;
			assert_int_equal(sgring_uring_buffer(&u, slot, cases[i].offset, &bytes),
					 3 * slot + cases[i].buffer);
			assert_int_equal(bytes, cases[i].there);
		}
	}
	sgring_uring_close(&u);
	laid_free(l);
}

static int one(struct sgring_uring *u, unsigned int n)
{
	struct io_uring_cqe *cqe;
	int res = -ETIME;

	assert_int_equal(sgring_uring_submit(u), 0);
	while (n--) {
		assert_int_equal(io_uring_wait_cqe(&u->ring, &cqe), 0);
		res = cqe->res;
		io_uring_cqe_seen(&u->ring, cqe);
	}
	return res;
}

/* The look-up is the kernel's own: it writes what is where we say, and no byte beyond. */
static void the_kernel_finds_the_same_bytes_in_the_buffers(void **state)
{
	struct io_uring_sqe *sqe;
	struct sgring_uring u;
	struct laid *l;
	unsigned char *data, back[100000];
	uint32_t i, slot;
	size_t bytes, at;
	uint16_t buffer;
	int fd;

	(void)state;
	NEED_IO_URING();
	l = laid_new(descending, 4, 100000);
	fd = (int)syscall(SYS_memfd_create, "out", 0U);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
	assert_int_equal(sgring_uring_register(&u), 0);
	for (slot = 0; slot < 4; slot++) {
		data = sgring_data(l->s, slot);
		for (i = 0; i < 100000; i++)
			data[i] = (unsigned char)(i * 7 + i / 4096 + slot);
		for (at = 0; at < 100000; at += bytes) {
			bytes = 100000 - at;
			buffer = sgring_uring_buffer(&u, slot, at, &bytes);
			sqe = io_uring_get_sqe(&u.ring);
			io_uring_prep_write_fixed(sqe, fd, data + at, (unsigned int)bytes, at, buffer);
			assert_int_equal(one(&u, 1), bytes);
		}
		assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
		assert_memory_equal(back, data, sizeof(back));
		/* One byte more than the run has. */
		bytes = 100000;
		buffer = sgring_uring_buffer(&u, slot, 0, &bytes);
		sqe = io_uring_get_sqe(&u.ring);
		io_uring_prep_write_fixed(sqe, fd, data, (unsigned int)bytes + 1, 0, buffer);
		assert_int_equal(one(&u, 1), -EFAULT);
	}
	sgring_uring_close(&u);
	close(fd);
	laid_free(l);
}

static void the_gate_is_off_from_the_first_registration_to_the_last(void **state)
{
	struct sgring_uring a, b, c;
	struct laid *l;

	(void)state;
	NEED_IO_URING();
	l = laid_new(descending, 2, 100000);
	assert_int_equal(sgring_uring_open(&a, l->s, 8, 16, false), 0);
	assert_int_equal(sgring_uring_open(&b, l->s, 8, 16, false), 0);
	assert_int_equal(sgring_uring_open(&c, l->s, 8, 16, false), 0);
	assert_true(l->gate);
	assert_int_equal(sgring_uring_register(&a), 0);
	assert_false(l->gate);
	assert_int_equal(sgring_uring_register(&b), 0);
	sgring_uring_close(&a);
	sgring_uring_close(&c);
	assert_false(l->gate);
	sgring_uring_close(&b);
	assert_true(l->gate);
	assert_int_equal(l->gate_off, 1);
	assert_int_equal(l->gate_on, 1);
	/* Once closed, closing again does nothing. */
	sgring_uring_close(&b);
	assert_int_equal(l->gate_on, 1);
	laid_free(l);
}

static void a_stream_without_a_gate_does_not_get_one(void **state)
{
	struct sgring_uring u;
	struct laid *l;

	(void)state;
	NEED_IO_URING();
	l = laid_new(descending, 2, 100000);
	l->gate = false;
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
	assert_int_equal(sgring_uring_register(&u), 0);
	sgring_uring_close(&u);
	assert_int_equal(l->gate_off + l->gate_on, 0);
	laid_free(l);
}

static void a_gate_that_stays_on_forbids_registration(void **state)
{
	struct sgring_uring u;
	struct laid *l;

	(void)state;
	NEED_IO_URING();
	l = laid_new(descending, 2, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
	l->refuse_tune = EBUSY;
	assert_int_equal(sgring_uring_register(&u), -EBUSY);
	assert_null(u.buffers);
	l->refuse_tune = 0;
	assert_int_equal(sgring_uring_register(&u), 0);
	sgring_uring_close(&u);
	assert_true(l->gate);
	laid_free(l);
}

/* Requests that never come back keep the pins, and a gate would wait for ever. */
static void an_abandoned_ring_leaves_the_gate_off(void **state)
{
	struct sgring_uring u;
	struct laid *l;

	(void)state;
	NEED_IO_URING();
	l = laid_new(descending, 2, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
	assert_int_equal(sgring_uring_register(&u), 0);
	u.abandoned = true;
	sgring_uring_close(&u);
	assert_false(l->gate);
	laid_free(l);
}

static void too_many_runs_are_refused_with_the_limit(void **state)
{
	struct sgring_uring u;
	struct laid *l;

	(void)state;
	NEED_IO_URING();
	l = laid_new(descending, 8, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
	l->extra = 2046;
	assert_int_equal(sgring_uring_register(&u), -E2BIG);
	assert_non_null(strstr(sgring_errmsg(), "16392 runs"));
	assert_non_null(strstr(sgring_errmsg(), "at most 16384"));
	assert_non_null(strstr(sgring_errmsg(), "SGRING_CHUNK_EQUAL"));
	assert_true(l->gate);
	assert_int_equal(l->gate_off, 0);
	sgring_uring_close(&u);
	laid_free(l);
}

static void a_layout_that_makes_no_sense_is_refused(void **state)
{
	static const struct sgring_run hole[] = {
		{ .offset_bytes = 0, .chunk_bytes = 65536, .chunks = 1 },
		{ .offset_bytes = 65536 + 4096, .chunk_bytes = 16384, .chunks = 2 },
		{ .chunks = 0 },
	}, shorter[] = {
		{ .offset_bytes = 0, .chunk_bytes = 65536, .chunks = 1 },
		{ .chunks = 0 },
	}, nothing[] = {
		{ .offset_bytes = 0, .chunk_bytes = 0, .chunks = 1 },
		{ .chunks = 0 },
	};
	const struct sgring_run *const bad[] = { hole, shorter, nothing };
	struct sgring_uring u;
	struct laid *l;
	unsigned int i;

	(void)state;
	NEED_IO_URING();
	l = laid_new(NULL, 2, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
	for (i = 0; i < 3; i++) {
		l->runs = bad[i];
		assert_int_equal(sgring_uring_register(&u), -EPROTO);
		assert_int_equal(l->gate_off, 0);
	}
	sgring_uring_close(&u);
	laid_free(l);
}

static void a_ring_counts_its_entries_into_the_kernel(void **state)
{
	struct sgring_uring u;
	struct laid *l;
	unsigned int i;

	(void)state;
	NEED_IO_URING();
	l = laid_new(NULL, 2, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 100, false), 0);
	assert_true(u.ring.cq.ring_entries >= 100);
	assert_int_equal(sgring_uring_submit(&u), 0);
	sgring_uring_look(&u);
	assert_int_equal(u.calls, 0);
	for (i = 0; i < 8; i++)
		io_uring_prep_nop(io_uring_get_sqe(&u.ring));
	assert_null(io_uring_get_sqe(&u.ring));
	assert_int_equal(sgring_uring_submit(&u), 0);
	assert_int_equal(u.calls, 1);
	assert_int_equal(io_uring_cq_ready(&u.ring), 8);
	sgring_uring_close(&u);
	laid_free(l);
}

static void a_polled_ring_is_not_entered(void **state)
{
	struct sgring_uring u;
	struct laid *l;
	unsigned int i, n;

	(void)state;
	NEED_IO_URING();
	l = laid_new(NULL, 2, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, true), 0);
	for (i = 0; i < 50; i++) {
		io_uring_prep_nop(io_uring_get_sqe(&u.ring));
		assert_int_equal(sgring_uring_submit(&u), 0);
		for (n = 0; !io_uring_cq_ready(&u.ring) && n < 5000; n++)
			usleep(1000);
		assert_int_equal(io_uring_cq_ready(&u.ring), 1);
		io_uring_cq_advance(&u.ring, 1);
	}
	/* The thread slept at the beginning at most, or when this machine hung for a second. */
	assert_in_range(u.calls, 0, 5);
	sgring_uring_close(&u);
	laid_free(l);
}

static void no_more_completions_than_a_ring_can_have(void **state)
{
	struct sgring_uring u;
	struct laid *l;

	(void)state;
	NEED_IO_URING();
	l = laid_new(NULL, 2, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 1 << 20, false), -E2BIG);
	assert_non_null(strstr(sgring_errmsg(), "1048576 are needed"));
	sgring_uring_close(&u);
	laid_free(l);
}

/* --- what a process may do is decided in a child; 0: as it should be, else the step */

static int in_child(int (*child)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(child());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define NOT_ALLOWED 77

/* A user of his own: what is locked is counted by user, and uncounted some time after. */
static int become_nobody(rlim_t memlock)
{
	const struct rlimit limit = { memlock, memlock };
	const unsigned int nobody = 100000 + (unsigned int)getpid();

	if (setrlimit(RLIMIT_MEMLOCK, &limit))
		return NOT_ALLOWED;
	if (!geteuid() && (setgid(nobody) || setuid(nobody)))
		return NOT_ALLOWED;
	return 0;
}

static int registers_with(rlim_t memlock, int expected)
{
	struct sgring_uring u;
	struct laid *l;
	int err = become_nobody(memlock);

	if (err)
		return err;
	l = laid_new(NULL, 16, 256 << 10);
	if (sgring_memlock_limit() != memlock)
		return 1;
	if (sgring_uring_open(&u, l->s, 8, 16, false) ||
	    sgring_uring_register(&u) != expected) {
		print_message("%s\n", sgring_errmsg());
		return 2;
	}
	if (!expected)
		return l->gate ? 3 : 0;
	if (!strstr(sgring_errmsg(), "4 MiB of slots") ||
	    !strstr(sgring_errmsg(), "RLIMIT_MEMLOCK is 2 MiB") ||
	    !strstr(sgring_errmsg(), "ulimit -l"))
		return 4;
	return l->gate_off ? 5 : 0;
}

static int too_little(void)
{
	return registers_with(2 << 20, -ENOBUFS);
}

static int enough(void)
{
	return registers_with(6 << 20, 0);
}

/* As root of a user namespace, whose capability the kernel does not count. */
static int too_little_as_its_root(void)
{
	int err = become_nobody(2 << 20);

	if (err || unshare(CLONE_NEWUSER))
		return NOT_ALLOWED;
	return registers_with(2 << 20, -ENOBUFS);
}

static void locked_memory_is_asked_for_before_the_gate_goes(void **state)
{
	static int (*const children[])(void) = { too_little, enough, too_little_as_its_root };
	unsigned int i;
	int code;

	(void)state;
	NEED_IO_URING();
	for (i = 0; i < 3; i++) {
		code = in_child(children[i]);
		if (code == NOT_ALLOWED)
			print_message("part %u left out: not allowed here\n", i);
		else
			assert_int_equal(code, 0);
	}
}

/* As a container does it. */
static int filter_io_uring(int err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned int)err),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return NOT_ALLOWED;
	return 0;
}

static int told(int errno_of_filter, const char *text)
{
	int err = 0, code = filter_io_uring(errno_of_filter);

	if (code)
		return code;
	if (sgring_uring_probe(&err))
		return 1;
	if (err != -errno_of_filter)
		return 2;
	return strstr(sgring_errmsg(), text) ? 0 : 3;
}

static int not_there(void)
{
	return told(ENOSYS, "has no io_uring");
}

static int forbidden(void)
{
	return told(EPERM, "not allowed here");
}

/* This one first: what was found out once is not asked again. */
static void a_forbidden_or_missing_io_uring_is_told(void **state)
{
	int code = in_child(not_there);

	(void)state;
	if (code == NOT_ALLOWED)
		skip();
	assert_int_equal(code, 0);
	assert_int_equal(in_child(forbidden), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_forbidden_or_missing_io_uring_is_told),
		cmocka_unit_test(the_probe_knows_what_this_kernel_has),
		cmocka_unit_test(runs_are_buffers_and_lookups_end_where_they_do),
		cmocka_unit_test(the_kernel_finds_the_same_bytes_in_the_buffers),
		cmocka_unit_test(the_gate_is_off_from_the_first_registration_to_the_last),
		cmocka_unit_test(a_stream_without_a_gate_does_not_get_one),
		cmocka_unit_test(a_gate_that_stays_on_forbids_registration),
		cmocka_unit_test(an_abandoned_ring_leaves_the_gate_off),
		cmocka_unit_test(too_many_runs_are_refused_with_the_limit),
		cmocka_unit_test(a_layout_that_makes_no_sense_is_refused),
		cmocka_unit_test(a_ring_counts_its_entries_into_the_kernel),
		cmocka_unit_test(a_polled_ring_is_not_entered),
		cmocka_unit_test(no_more_completions_than_a_ring_can_have),
		cmocka_unit_test(locked_memory_is_asked_for_before_the_gate_goes),
	};

	return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * io_uring as the library uses it: what is found out about it, rings, slots as
 * registered buffers and the gate, sending; on the kernel that runs the test, whose
 * memory limits, system call filters and networks are the test's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
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

#include "pattern.h"
#include "sim.h"
#include "tx.h"
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
		tune->gate = SGRING_GATE_KEEP;	/* the simulator has none */
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

/* Slots of equal chunks are one buffer, and a request may begin in one and end in the next. */
static void slots_side_by_side_share_a_buffer(void **state)
{
	static const struct sgring_run equal[] = {
		{ .offset_bytes = 0, .chunk_bytes = 16384, .chunks = 4 }, { .chunks = 0 },
	}, descending_to_the_end[] = {
		{ .offset_bytes = 0, .chunk_bytes = 32768, .chunks = 1 },
		{ .offset_bytes = 32768, .chunk_bytes = 16384, .chunks = 2 }, { .chunks = 0 },
	}, ascending[] = {
		{ .offset_bytes = 0, .chunk_bytes = 16384, .chunks = 2 },
		{ .offset_bytes = 32768, .chunk_bytes = 32768, .chunks = 1 }, { .chunks = 0 },
	}, longer[] = {
		{ .offset_bytes = 0, .chunk_bytes = 131072, .chunks = 1 }, { .chunks = 0 },
	};
	const struct {
		const struct sgring_run *runs;
		unsigned int buffers;
		size_t from_the_middle;
	} cases[] = { { equal, 1, 229376 }, { descending_to_the_end, 8, 32768 },
		      { ascending, 8, 32768 }, { longer, 4, 32768 } };
	unsigned char *data, back[65536];
	struct io_uring_sqe *sqe;
	struct sgring_uring u;
	struct laid *l;
	unsigned int i;
	size_t bytes;
	int fd;

	(void)state;
	NEED_IO_URING();
	fd = (int)syscall(SYS_memfd_create, "out", 0U);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		l = laid_new(cases[i].runs, 4, 65536);
		assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, false), 0);
		assert_int_equal(sgring_uring_register(&u), 0);
		assert_int_equal(u.first[4], cases[i].buffers);
		bytes = 1 << 20;
		assert_int_equal(sgring_uring_buffer(&u, 0, 32768, &bytes), cases[i].buffers == 8);
		assert_int_equal(bytes, cases[i].from_the_middle);
		bytes = 1 << 20;
		assert_int_equal(sgring_uring_buffer(&u, 3, 65535, &bytes), cases[i].buffers - 1);
		assert_int_equal(bytes, 1);
		data = sgring_data(l->s, 1) + 40000;
		memset(data, (int)i + 1, sizeof(back));
		bytes = sizeof(back);
		sqe = io_uring_get_sqe(&u.ring);
		io_uring_prep_write_fixed(sqe, fd, data, sizeof(back), 0,
					  sgring_uring_buffer(&u, 1, 40000, &bytes));
		assert_int_equal(one(&u, 1), cases[i].buffers == 1 ? 65536 : -EFAULT);
		if (cases[i].buffers == 1) {
			assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
			assert_memory_equal(back, data, sizeof(back));
		}
		sgring_uring_close(&u);
		laid_free(l);
	}
	close(fd);
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
	l->extra = SGRING_URING_BUFFERS_MAX;
	assert_int_equal(sgring_uring_register(&u), -E2BIG);
	assert_non_null(strstr(sgring_errmsg(), "131096 runs"));
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
	unsigned int i, tries;
	struct laid *l;
	uint64_t before;

	(void)state;
	NEED_IO_URING();
	l = laid_new(NULL, 2, 100000);
	assert_int_equal(sgring_uring_open(&u, l->s, 8, 16, true), 0);
	/* Its thread slept at the beginning at most; or whenever this machine hung for a second. */
	for (tries = 0; tries < 30; tries++) {
		before = u.calls;
		for (i = 0; i < 50; i++) {
			io_uring_prep_nop(io_uring_get_sqe(&u.ring));
			assert_int_equal(sgring_uring_submit(&u), 0);
			while (!io_uring_cq_ready(&u.ring))
				usleep(1000);
			assert_int_equal(io_uring_cq_ready(&u.ring), 1);
			io_uring_cq_advance(&u.ring, 1);
		}
		if (u.calls - before <= 5)
			break;
	}
	assert_true(tries < 30);
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

/* TSAN knows of no child that begins threads. */
#ifdef __SANITIZE_THREAD__
#define NEED_CHILDREN() skip()
#else
#define NEED_CHILDREN() do { } while (0)
#endif

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

/* --- a receiver that checks what comes */

/**
 * struct peer - see peer_start()
 * @framed: or raw
 * @stream: or datagrams
 * @size: of its receive buffer; 0: the kernel's choice
 * @nap_usec: between reads
 * @reset_after: a connection ends with a reset after so many bytes; 0: never
 * @connections: to be taken
 * @hold: does not read while this is set
 * @fd: listener, or the socket of the datagrams
 * @bytes: of data that were right
 * @wrong: bytes before something was wrong; UINT64_MAX: nothing was
 * @track: framed: the receiver's view
 * @ends: end-of-stream entries
 * @resets: connections ended so
 */
struct peer {
	bool framed, stream;
	int size;
	unsigned int nap_usec;
	uint64_t reset_after;
	unsigned int connections;
	int hold;
	int fd, port;
	pthread_t thread;
	uint64_t bytes, wrong;
	struct sgring_track track;
	unsigned int ends, resets;
};

static void peer_wait(struct peer *p)
{
	while (__atomic_load_n(&p->hold, __ATOMIC_ACQUIRE))
		usleep(1000);
	if (p->nap_usec)
		usleep(p->nap_usec);
}

/* How much there was until the end. */
static size_t read_all(struct peer *p, int fd, unsigned char *to, size_t bytes, uint64_t *left)
{
	size_t at = 0, piece;
	ssize_t n;

	while (at < bytes) {
		peer_wait(p);
		piece = bytes - at < 50000 ? bytes - at : 50000;
		if (piece > *left)
			piece = (size_t)*left;
		n = piece ? recv(fd, to + at, piece, 0) : -1;
		if (n <= 0)
			break;
		at += (size_t)n;
		*left -= (uint64_t)n;
	}
	return at;
}

static void check(struct peer *p, const unsigned char *data, size_t bytes, uint64_t position)
{
	if (sgring_pattern_verify(data, bytes, sgring_pattern_key(0), position) != bytes &&
	    p->wrong == UINT64_MAX)
		p->wrong = p->bytes;
	p->bytes += bytes;
}

static void strange(struct peer *p)
{
	if (p->wrong == UINT64_MAX) {
		print_message("the peer: %s\n", sgring_errmsg());
		p->wrong = p->bytes;
	}
}

static void take_connection(struct peer *p, int fd)
{
	static const struct linger at_once = { .l_onoff = 1 };
	uint64_t left = p->reset_after ? p->reset_after : UINT64_MAX, skip, lost;
	unsigned char frame[SGRING_HELLO_BYTES], *data = malloc(1 << 20);
	struct sgring_hello hello;
	struct sgring_cqe e;
	bool begun = false;
	size_t n;

	while (p->framed) {
		if (!begun) {
			if (read_all(p, fd, frame, SGRING_HELLO_BYTES, &left) < SGRING_HELLO_BYTES)
				break;
			if (sgring_hello_unpack(&hello, frame))
				strange(p);
			sgring_track_hello(&p->track, &hello);
			begun = true;
		}
		if (read_all(p, fd, frame, SGRING_ENTRY_BYTES, &left) < SGRING_ENTRY_BYTES)
			break;
		if (sgring_entry_unpack(&e, frame, &hello) ||
		    sgring_track_entry(&p->track, &e, &skip, &lost) < 0) {
			strange(p);
			break;
		}
		if (e.flags & SGRING_CQE_EOS) {
			p->ends++;
			begun = false;
			continue;
		}
		n = read_all(p, fd, data, e.length_bytes, &left);
		check(p, data, n, e.position_bytes);
		if (n < e.length_bytes) {
			sgring_track_cut(&p->track, &e, e.length_bytes - n);
			break;
		}
	}
	while (!p->framed && (n = read_all(p, fd, data, 4096, &left)))
		check(p, data, n, p->bytes);
	if (!left) {
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		p->resets++;
		p->reset_after = p->resets < p->connections - 1 ? p->reset_after : 0;
	}
	close(fd);
	free(data);
}

static void take_datagrams(struct peer *p)
{
	unsigned char *d = malloc(65536);
	struct sgring_hello hello = { 0 };
	struct sgring_cqe e;
	ssize_t n;

	/* An empty one is the last. */
	while ((n = recv(p->fd, d, 65536, 0)) > 0) {
		if (!p->framed) {
			check(p, d, (size_t)n, p->bytes);
		} else if (!memcmp(d, SGRING_FRAME_MAGIC, 8)) {
			if (sgring_hello_unpack(&hello, d))
				strange(p);
		} else if (n < SGRING_ENTRY_BYTES || sgring_entry_unpack(&e, d, &hello) ||
			   n != (ssize_t)(SGRING_ENTRY_BYTES + e.length_bytes)) {
			strange(p);
		} else {
			p->ends += !!(e.flags & SGRING_CQE_EOS);
			check(p, d + SGRING_ENTRY_BYTES, e.length_bytes, e.position_bytes);
		}
	}
	free(d);
}

static void *peer_thread(void *arg)
{
	struct peer *p = arg;
	unsigned int i;
	int fd;

	if (!p->stream) {
		take_datagrams(p);
		return NULL;
	}
	for (i = 0; i < p->connections; i++) {
		fd = accept(p->fd, NULL, NULL);
		if (fd < 0)
			break;
		take_connection(p, fd);
	}
	return NULL;
}

static void peer_start(struct peer *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);

	p->wrong = UINT64_MAX;
	p->fd = socket(AF_INET, p->stream ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (p->size)
		setsockopt(p->fd, SOL_SOCKET, p->stream ? SO_RCVBUF : SO_RCVBUFFORCE, &p->size,
			   sizeof(p->size));
	assert_int_equal(bind(p->fd, (struct sockaddr *)&a, size), 0);
	if (p->stream)
		assert_int_equal(listen(p->fd, 4), 0);
	assert_int_equal(getsockname(p->fd, (struct sockaddr *)&a, &size), 0);
	p->port = ntohs(a.sin_port);
	pthread_create(&p->thread, NULL, peer_thread, p);
}

static void peer_release(struct peer *p)
{
	__atomic_store_n(&p->hold, 0, __ATOMIC_RELEASE);
}

static void peer_end(struct peer *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons((uint16_t)p->port) };
	int fd;

	if (p->stream) {
		shutdown(p->fd, SHUT_RDWR);
	} else {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		sendto(fd, "", 0, 0, (struct sockaddr *)&a, sizeof(a));
		close(fd);
	}
	pthread_join(p->thread, NULL);
	close(p->fd);
}

/* --- a stream with a sender, on the simulator with the layout above */

#define SLOT 100000U
#define NEED_SEND_ZC() do {		\
	if (!there_is_send_zc())	\
		skip();			\
} while (0)

static bool there_is_send_zc(void)
{
	const struct sgring_uring_caps *caps;
	int err;

	if (!there_is_io_uring())
		return false;
	caps = sgring_uring_probe(&err);
	if (sgring_uring_has(caps, IORING_OP_SENDMSG_ZC) && caps->report_usage)
		return true;
	print_message("skipped: io_uring of this kernel has no SENDMSG_ZC that tells whether it copied\n");
	return false;
}

struct sending {
	struct laid *l;
	struct sgring *s;
	struct sgring_tx *t;
	unsigned int lines;
	char line[512];
};

static void note_line(void *context, const char *line)
{
	struct sending *g = context;

	g->lines++;
	snprintf(g->line, sizeof(g->line), "%s", line);
}

/* @o: the sender's; what is not given there is fit for a test. */
static void sending_open(struct sending *g, const struct peer *p, uint32_t slots,
			 struct sgring_tx_options o)
{
	char url[64];

	snprintf(url, sizeof(url), "%s://127.0.0.1:%d", p->stream ? "tcp" : "udp", p->port);
	o.size = sizeof(o);
	o.say = note_line;
	o.context = g;
	if (!o.timeout_ms)
		o.timeout_ms = 20000;
	g->l = laid_new(descending, slots, SLOT);
	g->s = g->l->s;
	if (sgring_tx_open(&g->t, g->s, url, &o) || sgring_start(g->s))
		fail_msg("%s", sgring_errmsg());
}

static void sndbuf(struct sending *g, int bytes)
{
	assert_int_equal(setsockopt(g->t->fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)), 0);
}

static int send_some(struct sending *g, unsigned int n)
{
	struct sgring_slot b;
	int err = 0;

	while (n-- && !err) {
		err = sgring_next(g->s, &b, 20000);
		if (!err)
			err = sgring_tx_send(g->t, &b);
	}
	return err;
}

static struct sgring_tx_stats stats_of(struct sending *g)
{
	struct sgring_tx_stats st;

	sgring_tx_stats(g->t, &st);
	return st;
}

static uint64_t held(struct sending *g)
{
	struct sgring_counters c;

	sgring_counters(g->s, &c);
	return c.held;
}

static void all_of_it_arrives(uint32_t method, uint32_t flags, int buffers)
{
	struct peer p = { .stream = true, .framed = !(flags & SGRING_TX_RAW), .connections = 1,
			  .size = buffers };
	struct sending g = { 0 };
	struct sgring_tx_stats st;
	const unsigned int slots = 150;
	uint64_t bytes = (uint64_t)(slots - 1) * SLOT + SLOT / 2;

	peer_start(&p);
	sending_open(&g, &p, 16, (struct sgring_tx_options){ .method = method, .flags = flags });
	g.l->sim.plan.eop_at = 77;
	sim_replan(&g.l->sim);
	if (buffers)
		sndbuf(&g, buffers);
	if (send_some(&g, slots) || sgring_tx_flush(g.t, 20000))
		fail_msg("%s", sgring_errmsg());
	st = stats_of(&g);
	assert_int_equal(sgring_tx_method(g.t), method);
	assert_int_equal(st.slots, slots);
	assert_int_equal(st.bytes, bytes);
	assert_int_equal(st.frame_bytes, p.framed ? slots * 64 + 128 : 0);
	assert_int_equal(st.strange, 0);
	assert_int_equal(st.outstanding + st.queued + st.held, 0);
	assert_int_equal(st.zerocopy + st.copied, st.sends);
	assert_true(st.copied > 0);	/* it is loopback */
	assert_non_null(strstr(g.line, "the kernel copies"));
	assert_int_equal(g.lines, 2);
	assert_int_equal(g.l->gate, method != SGRING_TX_URING_FIXED);
	assert_int_equal(sgring_tx_close(g.t), 0);
	assert_true(g.l->gate);
	laid_free(g.l);
	peer_end(&p);
	if (p.framed) {
		assert_int_equal(p.track.lost_bytes + p.track.repeated_bytes + p.track.gaps, 0);
		assert_int_equal(p.track.entries, slots);
	}
	assert_int_equal(p.wrong, UINT64_MAX);
	assert_int_equal(p.bytes, bytes);
}

static void every_byte_arrives_whatever_the_way(void **state)
{
	static const uint32_t flags[] = { 0, SGRING_TX_RAW, SGRING_TX_SQPOLL,
					  SGRING_TX_SQPOLL | SGRING_TX_RAW };
	unsigned int i;

	(void)state;
	NEED_SEND_ZC();
	for (i = 0; i < 4; i++) {
		all_of_it_arrives(SGRING_TX_URING, flags[i], 0);
		all_of_it_arrives(SGRING_TX_URING_FIXED, flags[i], 0);
	}
}

/* Smaller than a slot by far: each request is begun, waits and goes on many times. */
static void every_byte_arrives_through_small_buffers(void **state)
{
	unsigned int i;

	(void)state;
	NEED_SEND_ZC();
	for (i = 0; i < 4; i++)
		all_of_it_arrives(i & 1 ? SGRING_TX_URING : SGRING_TX_URING_FIXED,
				  i & 2 ? SGRING_TX_RAW : 0, 8192);
}

/*
 * Calls for so many slots, if they are no more than @most; else it is tried again: a device
 * that is a thread may be slow, when little is there to be sent at a time.
 */
static uint64_t least_calls(struct sending *g, unsigned int slots, uint64_t most)
{
	uint64_t before, calls;
	int tries = 30;

	do {
		before = stats_of(g).calls;
		assert_int_equal(send_some(g, slots), 0);
		assert_int_equal(sgring_tx_flush(g->t, 20000), 0);
		calls = stats_of(g).calls - before;
		print_message("%" PRIu64 " calls for %u slots\n", calls, slots);
	} while (calls > most && --tries);
	return calls;
}

static void many_slots_go_in_one_call(void **state)
{
	struct peer p = { .stream = true, .framed = true, .connections = 1 };
	struct sending g = { 0 };
	const unsigned int slots = 800;

	(void)state;
	NEED_SEND_ZC();
	peer_start(&p);
	sending_open(&g, &p, 128, (struct sgring_tx_options){ .method = SGRING_TX_URING });
	/* 50 of 16 slots each if nothing ever waited. */
	assert_in_range(least_calls(&g, slots, slots / 4), 1, slots / 4);
	assert_int_equal(sgring_tx_close(g.t), 0);
	laid_free(g.l);
	peer_end(&p);
	assert_int_equal(p.wrong, UINT64_MAX);
}

static void a_polled_ring_needs_no_calls(void **state)
{
	struct peer p = { .stream = true, .framed = true, .connections = 1 };
	struct sending g = { 0 };

	(void)state;
	NEED_SEND_ZC();
	peer_start(&p);
	sending_open(&g, &p, 32, (struct sgring_tx_options){ .method = SGRING_TX_URING,
							     .flags = SGRING_TX_SQPOLL });
	assert_non_null(strstr(sgring_tx_choice(g.t), "kernel thread"));
	/* Only when the thread had slept: at first, or when this machine hung for a second. */
	assert_in_range(least_calls(&g, 1000, 5), 0, 5);
	assert_int_equal(sgring_tx_close(g.t), 0);
	laid_free(g.l);
	peer_end(&p);
	assert_int_equal(p.wrong, UINT64_MAX);
}

/* Answered, but not let go of: what the peer does not read stays with the kernel. */
static void slots_stay_away_until_notifications_come(void **state)
{
	static const uint32_t methods[] = { SGRING_TX_URING, SGRING_TX_URING_FIXED };
	struct sgring_tx_stats st;
	unsigned int i, n;

	(void)state;
	NEED_SEND_ZC();
	for (i = 0; i < 2; i++) {
		struct peer p = { .stream = true, .connections = 1, .size = 4096, .hold = 1 };
		struct sending g = { 0 };

		peer_start(&p);
		sending_open(&g, &p, 16, (struct sgring_tx_options){ .method = methods[i],
								     .flags = SGRING_TX_RAW });
		sndbuf(&g, 8 << 20);
		assert_int_equal(send_some(&g, 8), 0);
		for (n = 0; n < 20000 && stats_of(&g).queued; n++) {
			sgring_work(g.s);
			usleep(1000);
		}
		for (n = 0; n < 50; n++) {
			sgring_work(g.s);
			usleep(1000);
		}
		st = stats_of(&g);
		assert_int_equal(st.queued, 0);
		assert_int_equal(st.bytes, 8 * SLOT);
		/* The first may have gone into the peer's buffer. */
		assert_in_range(st.held, 6, 8);
		assert_true(st.outstanding >= st.held);
		peer_release(&p);
		assert_int_equal(sgring_tx_flush(g.t, 20000), 0);
		assert_int_equal(stats_of(&g).held, 0);
		assert_int_equal(sgring_tx_close(g.t), 0);
		laid_free(g.l);
		peer_end(&p);
		assert_int_equal(p.wrong, UINT64_MAX);
		assert_int_equal(p.bytes, 8 * SLOT);
	}
}

/* A chain waits for room, which never comes. */
static void abort_makes_the_kernel_let_go_of_a_chain(void **state)
{
	static const uint32_t flags[] = { 0, SGRING_TX_SQPOLL };
	unsigned int i, m;

	(void)state;
	NEED_SEND_ZC();
	for (i = 0; i < 2; i++) {
		for (m = SGRING_TX_URING; m <= SGRING_TX_URING_FIXED; m++) {
			struct peer p = { .stream = true, .framed = true, .connections = 1,
					  .size = 4096, .hold = 1 };
			struct sending g = { 0 };

			peer_start(&p);
			sending_open(&g, &p, 16, (struct sgring_tx_options){
				.method = m, .flags = flags[i] });
			sndbuf(&g, 65536);
			assert_int_equal(send_some(&g, 16), 0);
			assert_int_equal(held(&g), 16);
			g.t->options.timeout_ms = 300;
			assert_int_equal(sgring_tx_close(g.t), -ETIMEDOUT);
			assert_int_equal(held(&g), 0);
			assert_true(g.l->gate);
			peer_release(&p);
			laid_free(g.l);
			peer_end(&p);
			assert_int_equal(p.wrong, UINT64_MAX);
		}
	}
}

static void a_reset_in_mid_chain_gives_every_slot_back(void **state)
{
	unsigned int m;
	int err;

	(void)state;
	NEED_SEND_ZC();
	for (m = SGRING_TX_URING; m <= SGRING_TX_URING_FIXED; m++) {
		struct peer p = { .stream = true, .framed = true, .connections = 1,
				  .size = 8192, .reset_after = 20 * SLOT + 12345 };
		struct sending g = { 0 };

		peer_start(&p);
		sending_open(&g, &p, 16, (struct sgring_tx_options){ .method = m });
		sndbuf(&g, 65536);
		do
			err = send_some(&g, 1);
		while (!err);
		assert_true(err == -ECONNRESET || err == -EPIPE);
		assert_int_equal(stats_of(&g).strange, 0);
		assert_true(sgring_tx_close(g.t) < 0);
		assert_int_equal(held(&g), 0);
		laid_free(g.l);
		peer_end(&p);
		assert_int_equal(p.wrong, UINT64_MAX);
		assert_int_equal(p.resets, 1);
	}
}

static void a_connection_reset_in_mid_chain_is_resumed(void **state)
{
	static const uint32_t flags[] = { 0, SGRING_TX_SQPOLL };
	unsigned int m, i;

	(void)state;
	NEED_SEND_ZC();
	for (i = 0; i < 4; i++) {
		struct peer p = { .stream = true, .framed = true, .connections = 6,
				  .size = 8192, .reset_after = 20 * SLOT + 12345 };
		struct sending g = { 0 };

		m = i & 1 ? SGRING_TX_URING : SGRING_TX_URING_FIXED;
		peer_start(&p);
		sending_open(&g, &p, 16, (struct sgring_tx_options){
			.method = m, .flags = flags[i / 2], .reconnect_ms = 10000 });
		if (send_some(&g, 300) || sgring_tx_flush(g.t, 20000))
			fail_msg("%s", sgring_errmsg());
		assert_int_equal(stats_of(&g).reconnects, 5);
		assert_true(stats_of(&g).resent_slots >= 5);
		assert_int_equal(stats_of(&g).unsent_slots + stats_of(&g).strange, 0);
		assert_int_equal(sgring_tx_close(g.t), 0);
		assert_int_equal(held(&g), 0);
		laid_free(g.l);
		peer_end(&p);
		assert_int_equal(p.resets, 5);
		assert_int_equal(p.wrong, UINT64_MAX);
		assert_int_equal(p.track.lost_bytes, 0);
		assert_int_equal(p.track.position, 300ULL * SLOT);
	}
}

/* Both pin the slots, and each lets go in its own time. */
static void two_senders_have_each_slot_and_one_gate(void **state)
{
	struct peer p[2] = {
		{ .stream = true, .framed = true, .connections = 1, .size = 8192 },
		{ .stream = true, .framed = true, .connections = 1, .nap_usec = 100 },
	};
	struct sending g = { 0 };
	struct sgring_slot b;
	struct sgring_tx *two;
	unsigned int i;
	char url[64];

	(void)state;
	NEED_SEND_ZC();
	peer_start(&p[0]);
	peer_start(&p[1]);
	sending_open(&g, &p[0], 16, (struct sgring_tx_options){ .method = SGRING_TX_URING_FIXED });
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", p[1].port);
	assert_int_equal(sgring_tx_open(&two, g.s, url,
					SGRING_TX_OPTIONS(.method = SGRING_TX_URING_FIXED)), 0);
	for (i = 0; i < 200; i++) {
		assert_int_equal(sgring_next(g.s, &b, 20000), 0);
		assert_int_equal(sgring_hold(g.s, b.index), 0);
		assert_int_equal(sgring_tx_send(g.t, &b), 0);
		assert_int_equal(sgring_tx_send(two, &b), 0);
	}
	assert_int_equal(g.l->gate_off, 1);
	assert_int_equal(sgring_tx_close(g.t), 0);
	assert_false(g.l->gate);
	assert_int_equal(sgring_tx_close(two), 0);
	assert_true(g.l->gate);
	assert_int_equal(held(&g), 0);
	laid_free(g.l);
	for (i = 0; i < 2; i++) {
		peer_end(&p[i]);
		assert_int_equal(p[i].wrong, UINT64_MAX);
		assert_int_equal(p[i].bytes, 200 * SLOT);
	}
}

static void *send_and_leave(void *arg)
{
	struct sending *g = arg;

	return (void *)(intptr_t)send_some(g, 12);
}

/* What a thread has handed over it takes along: its chain fails, and is not lost. */
static void a_thread_may_end_in_mid_chain(void **state)
{
	unsigned int m;

	(void)state;
	NEED_SEND_ZC();
	for (m = SGRING_TX_URING; m <= SGRING_TX_URING_FIXED; m++) {
		struct peer p = { .stream = true, .framed = true, .connections = 1,
				  .size = 65536, .hold = 1 };
		struct sending g = { 0 };
		pthread_t thread;
		void *err;

		peer_start(&p);
		sending_open(&g, &p, 16, (struct sgring_tx_options){ .method = m });
		sndbuf(&g, 65536);
		pthread_create(&thread, NULL, send_and_leave, &g);
		pthread_join(thread, &err);
		assert_null(err);
		assert_true(stats_of(&g).queued > 0);
		peer_release(&p);
		if (send_some(&g, 12) || sgring_tx_flush(g.t, 20000))
			fail_msg("%s", sgring_errmsg());
		assert_int_equal(sgring_tx_close(g.t), 0);
		laid_free(g.l);
		peer_end(&p);
		assert_int_equal(p.wrong, UINT64_MAX);
		assert_int_equal(p.bytes, 24 * SLOT);
	}
}

/* --- datagrams */

static void every_datagram_is_right(void **state)
{
	static const struct {
		uint32_t method, flags;
	} ways[] = {
		{ SGRING_TX_URING, 0 }, { SGRING_TX_URING, SGRING_TX_RAW },
		{ SGRING_TX_URING_FIXED, SGRING_TX_RAW },
		{ SGRING_TX_URING, SGRING_TX_SQPOLL },
		{ SGRING_TX_URING_FIXED, SGRING_TX_SQPOLL | SGRING_TX_RAW },
	};
	unsigned int i;

	(void)state;
	NEED_SEND_ZC();
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct peer p = { .framed = !(ways[i].flags & SGRING_TX_RAW), .size = 64 << 20 };
		struct sending g = { 0 };

		peer_start(&p);
		sending_open(&g, &p, 16, (struct sgring_tx_options){ .method = ways[i].method,
								     .flags = ways[i].flags });
		g.l->sim.plan.pace_ns = 200000;
		sim_replan(&g.l->sim);
		if (send_some(&g, 100) || sgring_tx_flush(g.t, 20000))
			fail_msg("%s", sgring_errmsg());
		assert_int_equal(stats_of(&g).bytes, 100 * SLOT);
		assert_int_equal(stats_of(&g).zerocopy + stats_of(&g).copied, stats_of(&g).sends);
		assert_int_equal(stats_of(&g).strange, 0);
		assert_int_equal(sgring_tx_close(g.t), 0);
		assert_int_equal(held(&g), 0);
		laid_free(g.l);
		peer_end(&p);
		assert_int_equal(p.wrong, UINT64_MAX);
		assert_int_equal(p.bytes, 100 * SLOT);
	}
}

/* Slots of a page: several go with one send, and each byte once, also when one is short. */
static void small_slots_share_a_send(void **state)
{
	static const struct sgring_run page[] = {
		{ .offset_bytes = 0, .chunk_bytes = 4096, .chunks = 1 }, { .chunks = 0 },
	};
	static const struct {
		uint32_t method, flags, most;	/* slots in a send */
	} ways[] = {
		{ SGRING_TX_URING, 0, 8 }, { SGRING_TX_URING, SGRING_TX_RAW, 15 },
		{ SGRING_TX_URING_FIXED, SGRING_TX_RAW, 15 },
		{ SGRING_TX_ZEROCOPY, 0, 8 }, { SGRING_TX_ZEROCOPY, SGRING_TX_RAW, 15 },
		{ SGRING_TX_COPY, 0, 15 },
	};
	struct sgring_slot b;
	unsigned int i, n;
	char url[64];

	(void)state;
	NEED_SEND_ZC();
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct peer p = { .framed = !(ways[i].flags & SGRING_TX_RAW), .size = 64 << 20 };
		struct sending g = { .l = laid_new(page, 64, 4096) };

		peer_start(&p);
		g.s = g.l->s;
		g.l->sim.plan.eop_at = 70;
		g.l->sim.plan.pause_at = 192;
		snprintf(url, sizeof(url), "udp://127.0.0.1:%d", p.port);
		if (sgring_tx_open(&g.t, g.s, url, SGRING_TX_OPTIONS(.method = ways[i].method,
								     .flags = ways[i].flags)) ||
		    sgring_start(g.s))
			fail_msg("%s", sgring_errmsg());
		/* Many at hand, twice, then as they come. */
		for (n = 0; n < 192; n++) {
			if (n == 64)
				assert_int_equal(sgring_tx_flush(g.t, 20000), 0);
			while (n <= 64 && !(n % 64) && sim_posted(g.s) < 64)
				usleep(1000);
			if (sgring_next(g.s, &b, 20000) || sgring_tx_send(g.t, &b))
				fail_msg("%s", sgring_errmsg());
		}
		assert_int_equal(sgring_tx_flush(g.t, 20000), 0);
		assert_int_equal(stats_of(&g).bytes, 191 * 4096 + 2048);
		assert_true(stats_of(&g).sends * ways[i].most >= 192);
		assert_true(stats_of(&g).sends < 96);
		if (ways[i].method != SGRING_TX_COPY)
			assert_int_equal(stats_of(&g).zerocopy + stats_of(&g).copied,
					 stats_of(&g).sends);
		assert_int_equal(stats_of(&g).held, 0);
		assert_int_equal(sgring_tx_close(g.t), 0);
		laid_free(g.l);
		peer_end(&p);
		assert_int_equal(p.wrong, UINT64_MAX);
		assert_int_equal(p.bytes, 191 * 4096 + 2048);
	}
}

/* All let go of while it is handed over: nobody tells that there are requests again. */
static void more_datagrams_than_requests_are_no_reason_to_wait(void **state)
{
	struct peer p = { .size = 64 << 20 };
	struct sending g = { .l = laid_new(NULL, 8, 4 << 20) };
	char url[64];

	(void)state;
	NEED_SEND_ZC();
	peer_start(&p);
	g.s = g.l->s;
	snprintf(url, sizeof(url), "udp://127.0.0.1:%d", p.port);
	if (sgring_tx_open(&g.t, g.s, url, SGRING_TX_OPTIONS(.method = SGRING_TX_URING,
							     .flags = SGRING_TX_RAW,
							     .datagram_bytes = 8192,
							     .batch_slots = 8)) ||
	    sgring_start(g.s))
		fail_msg("%s", sgring_errmsg());
	/* All at once. */
	while (sim_slots_in(&g.l->sim, SGRING_SLOT_APP) < 8)
		usleep(1000);
	if (send_some(&g, 8) || sgring_tx_flush(g.t, -1))
		fail_msg("%s", sgring_errmsg());
	assert_int_equal(stats_of(&g).bytes, 8 * (4 << 20));
	assert_true(stats_of(&g).sends >= 8 * 512 / 7);
	assert_int_equal(stats_of(&g).held, 0);
	assert_int_equal(sgring_tx_close(g.t), 0);
	laid_free(g.l);
	peer_end(&p);
}

/*
 * What fails in the middle of a chain while what is behind it is sent: several datagrams
 * at once are refused from some moment on, single ones are not.
 */
static void what_fails_in_mid_chain_goes_again_and_nothing_else(void **state)
{
	static const int one = 1;
	unsigned int m;

	(void)state;
	NEED_SEND_ZC();
	for (m = 0; m < 2; m++) {
		struct peer p = { .framed = true, .size = 64 << 20 };
		struct sending g = { 0 };

		peer_start(&p);
		sending_open(&g, &p, 32, (struct sgring_tx_options){
			.method = SGRING_TX_URING, .datagram_bytes = m ? 30000 : 8192 });
		g.l->sim.plan.pace_ns = 200000;
		assert_int_equal(send_some(&g, 400), 0);
		assert_int_equal(setsockopt(g.t->fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)), 0);
		if (send_some(&g, 100) || sgring_tx_flush(g.t, 20000))
			fail_msg("%s", sgring_errmsg());
		assert_non_null(strstr(g.line, "one by one"));
		assert_int_equal(stats_of(&g).bytes, 500 * SLOT);
		assert_int_equal(stats_of(&g).zerocopy + stats_of(&g).copied, stats_of(&g).sends);
		assert_int_equal(stats_of(&g).held, 0);
		assert_int_equal(stats_of(&g).strange, 0);
		assert_int_equal(sgring_tx_close(g.t), 0);
		laid_free(g.l);
		peer_end(&p);
		assert_int_equal(p.wrong, UINT64_MAX);
		assert_int_equal(p.bytes, 500 * SLOT);
	}
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY), n = -1;

	if (fd >= 0) {
		n = (int)write(fd, text, strlen(text));
		close(fd);
	}
	return n < 0;
}

static int network_of_our_own(void)
{
	char map[64];

	snprintf(map, sizeof(map), "0 %u 1", geteuid());
	return unshare(CLONE_NEWUSER | CLONE_NEWNET) || put("/proc/self/setgroups", "deny") ||
	       put("/proc/self/uid_map", map);
}

/* A network slower than the device: the socket is full again and again. */
static int over_a_slow_network(void)
{
	static const uint32_t methods[] = { SGRING_TX_URING, SGRING_TX_URING_FIXED };
	unsigned int i;
	socklen_t size;
	int room;

	/* As root, so that a receiver may have room for all. */
	if ((geteuid() ? network_of_our_own() : unshare(CLONE_NEWNET)) ||
	    system("(ip link set lo up && tc qdisc add dev lo root tbf rate 800mbit burst 200k "
		   "limit 100m) 2>/dev/null"))
		return NOT_ALLOWED;
	for (i = 0; i < 2; i++) {
		struct peer p = { .framed = i == 0, .size = 64 << 20 };
		struct sending g = { 0 };

		peer_start(&p);
		sending_open(&g, &p, 32, (struct sgring_tx_options){
			.method = methods[i], .flags = i ? SGRING_TX_RAW : 0, .datagram_bytes = 8192 });
		sndbuf(&g, 200000);
		if (send_some(&g, 400) || sgring_tx_flush(g.t, 20000)) {
			print_message("%s\n", sgring_errmsg());
			return 1;
		}
		print_message("%" PRIu64 " sends, %" PRIu64 " calls, the socket was full %" PRIu64
			      " times\n", stats_of(&g).sends, stats_of(&g).calls,
			      stats_of(&g).full_waits);
		if (stats_of(&g).bytes != 400 * SLOT || stats_of(&g).held || stats_of(&g).strange)
			return 2;
		if (sgring_tx_close(g.t))
			return 3;
		laid_free(g.l);
		size = sizeof(room);
		getsockopt(p.fd, SOL_SOCKET, SO_RCVBUF, &room, &size);
		peer_end(&p);
		if (p.framed && p.wrong != UINT64_MAX)
			return 4;
		if (p.bytes > 400 * SLOT || (p.bytes < 400 * SLOT && room > 64 << 20))
			return 5;
	}
	return 0;
}

static void a_full_socket_loses_no_datagram(void **state)
{
	int code;

	(void)state;
	NEED_SEND_ZC();
	code = in_child(over_a_slow_network);
	if (code == NOT_ALLOWED) {
		print_message("skipped: no network namespace, or no tbf, for us\n");
		skip();
	}
	assert_int_equal(code, 0);
}

/*
 * Several datagrams at once are refused; as single ones they fill the socket, and are refused
 * once more: more requests than could be made twice.
 */
static int refused_twice(void)
{
	static const int one = 1;
	unsigned int i, n;

	if ((geteuid() ? network_of_our_own() : unshare(CLONE_NEWNET)) ||
	    system("(ip link set lo up && tc qdisc add dev lo root tbf rate 400mbit burst 20k "
		   "limit 100m) 2>/dev/null"))
		return NOT_ALLOWED;
	for (i = 0; i < 2; i++) {
		struct peer p = { .framed = i, .size = 64 << 20 };
		struct sending g = { 0 };

		peer_start(&p);
		sending_open(&g, &p, 64, (struct sgring_tx_options){
			.method = SGRING_TX_URING, .flags = i ? 0 : SGRING_TX_RAW,
			.datagram_bytes = 1024, .batch_slots = 32, .timeout_ms = 5000 });
		sndbuf(&g, 4 << 20);
		/* The first chains are linked, and wait for room. */
		for (n = 0; n < 20; n++)
			if (send_some(&g, 1) || sgring_tx_flush(g.t, 20000))
				return 6;
		sndbuf(&g, 4000);
		setsockopt(g.t->fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one));
		/* Many at a time. */
		while (sim_posted(g.s) < 64)
			usleep(1000);
		if (send_some(&g, 40) || sgring_tx_flush(g.t, 20000)) {
			print_message("%s\n", sgring_errmsg());
			return 1;
		}
		print_message("%" PRIu64 " sends, %" PRIu64 " calls, the socket was full %" PRIu64
			      " times\n", stats_of(&g).sends, stats_of(&g).calls,
			      stats_of(&g).full_waits);
		if (stats_of(&g).bytes != 60 * SLOT || stats_of(&g).held || stats_of(&g).strange)
			return 2;
		if (stats_of(&g).sends < 40 * SLOT / 1024 || !stats_of(&g).full_waits)
			return 3;
		if (sgring_tx_close(g.t))
			return 4;
		laid_free(g.l);
		peer_end(&p);
		/* Raw ones that were lost at the receiver, for want of room, shift what follows. */
		if ((p.framed && p.wrong != UINT64_MAX) || p.bytes > 60 * SLOT)
			return 5;
	}
	return 0;
}

static void what_was_cut_and_refused_again_goes_again(void **state)
{
	int code;

	(void)state;
	NEED_SEND_ZC();
	code = in_child(refused_twice);
	if (code == NOT_ALLOWED) {
		print_message("skipped: no network namespace, or no tbf, for us\n");
		skip();
	}
	assert_int_equal(code, 0);
}

static void datagrams_with_frames_are_not_registered_memory(void **state)
{
	struct peer p = { .framed = true };
	struct sgring_tx *t;
	struct laid *l;
	char url[64];

	(void)state;
	NEED_SEND_ZC();
	peer_start(&p);
	l = laid_new(descending, 4, SLOT);
	snprintf(url, sizeof(url), "udp://127.0.0.1:%d", p.port);
	assert_int_equal(sgring_tx_open(&t, l->s, url,
					SGRING_TX_OPTIONS(.method = SGRING_TX_URING_FIXED)),
			 -EOPNOTSUPP);
	assert_non_null(strstr(sgring_errmsg(), "registered memory"));
	assert_int_equal(l->gate_off, 0);
	laid_free(l);
	peer_end(&p);
}

/* Nobody there: said by the network, survived, told once. */
static void datagrams_to_nobody_go_on(void **state)
{
	struct peer p = { .framed = true };
	struct sending g = { 0 };

	(void)state;
	NEED_SEND_ZC();
	peer_start(&p);
	peer_end(&p);
	sending_open(&g, &p, 16, (struct sgring_tx_options){ .method = SGRING_TX_URING });
	g.l->sim.plan.pace_ns = 200000;
	sim_replan(&g.l->sim);
	if (send_some(&g, 200) || sgring_tx_flush(g.t, 20000))
		fail_msg("%s", sgring_errmsg());
	assert_int_equal(stats_of(&g).held, 0);
	assert_int_equal(sgring_tx_close(g.t), 0);
	laid_free(g.l);
}

/*
 * In a network of our own, through a device that throws away: nothing is copied, and
 * the kernel says so for each.
 */
static int into_a_device(void)
{
	static const uint32_t methods[] = { SGRING_TX_URING, SGRING_TX_URING_FIXED };
	struct sgring_tx_stats st;
	unsigned int i;

	if (network_of_our_own() ||
	    system("(ip link set lo up && ip link add sink type ifb && ip link set sink mtu 65535 && "
		   "ip addr add 10.9.0.1/24 dev sink && ip link set sink up && "
		   "ip neigh add 10.9.0.2 lladdr 02:00:00:00:00:02 dev sink nud permanent) 2>/dev/null"))
		return NOT_ALLOWED;
	for (i = 0; i < 2; i++) {
		struct laid *l = laid_new(descending, 16, SLOT);
		struct sending g = { .l = l, .s = l->s };

		if (sgring_tx_open(&g.t, g.s, "udp://10.9.0.2:9",
				   SGRING_TX_OPTIONS(.method = methods[i], .flags = SGRING_TX_RAW)) ||
		    sgring_start(g.s) || send_some(&g, 500) || sgring_tx_flush(g.t, 10000)) {
			print_message("%s\n", sgring_errmsg());
			return 1;
		}
		st = stats_of(&g);
		print_message("%s: %" PRIu64 " sends, %" PRIu64 " copied, %" PRIu64 " calls\n",
			      sgring_tx_choice(g.t), st.sends, st.copied, st.calls);
		if (st.copied || st.zerocopy != st.sends || st.bytes != 500 * SLOT || st.held)
			return 2;
		if (sgring_tx_close(g.t) || !l->gate)
			return 3;
		laid_free(l);
	}
	return 0;
}

static void nothing_is_copied_on_the_way_to_a_device(void **state)
{
	int code;

	(void)state;
	NEED_SEND_ZC();
	code = in_child(into_a_device);
	if (code == NOT_ALLOWED) {
		print_message("skipped: no network namespace, or no ifb device, for us\n");
		skip();
	}
	assert_int_equal(code, 0);
}

/* --- limits, and what is chosen */

static int little_port;

/* Something else of this user has most of it: a limit is met all the time. */
static int sends_with_little(void)
{
	struct iovec iov = { malloc(750000), 750000 };
	struct sgring_tx_stats st;
	struct io_uring other;
	struct laid *l;
	struct sending g = { 0 };
	char url[64];
	int err = become_nobody(1 << 20);

	if (err)
		return err;
	if (io_uring_queue_init(1, &other, 0) || io_uring_register_buffers(&other, &iov, 1))
		return 5;
	l = laid_new(NULL, 16, 300000);
	g = (struct sending){ .l = l, .s = l->s };
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", little_port);
	if (sgring_tx_open(&g.t, g.s, url, SGRING_TX_OPTIONS(.method = SGRING_TX_URING)))
		return 1;
	sndbuf(&g, 1 << 20);
	if (sgring_start(g.s) || send_some(&g, 100) || sgring_tx_flush(g.t, 20000)) {
		print_message("%s\n", sgring_errmsg());
		return 2;
	}
	st = stats_of(&g);
	print_message("%" PRIu64 " sends, %" PRIu64 " met a limit\n", st.sends, st.nobufs_waits);
	if (st.held || st.strange || !st.nobufs_waits)
		return 3;
	if (sgring_tx_close(g.t))
		return 4;
	laid_free(l);
	io_uring_queue_exit(&other);
	free(iov.iov_base);
	return 0;
}

static void little_locked_memory_is_lived_with(void **state)
{
	struct peer p = { .stream = true, .framed = true, .connections = 1, .size = 8192 };
	int code;

	(void)state;
	NEED_SEND_ZC();
	NEED_CHILDREN();
	peer_start(&p);
	little_port = p.port;
	code = in_child(sends_with_little);
	if (code)
		shutdown(p.fd, SHUT_RDWR);
	peer_end(&p);
	if (code == NOT_ALLOWED)
		skip();
	assert_int_equal(code, 0);
	assert_int_equal(p.wrong, UINT64_MAX);
	assert_int_equal(p.bytes, 100 * 300000);
}

static int chooses(const struct sgring_run *runs, int filter_with, uint32_t expected, const char *why)
{
	struct sgring_tx *t;
	struct laid *l;
	char url[64];
	int code = filter_with ? filter_io_uring(filter_with) : 0;

	if (code)
		return code;
	l = laid_new(runs, 16, SLOT);
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", little_port);
	if (sgring_tx_open(&t, l->s, url, NULL))
		return 1;
	print_message("%s\n", sgring_tx_choice(t));
	if (sgring_tx_method(t) != (int)expected)
		return 2;
	if (!strstr(sgring_tx_choice(t), why))
		return 3;
	sgring_tx_close(t);
	laid_free(l);
	return 0;
}

static int registered_first(void)
{
	return chooses(descending, 0, SGRING_TX_URING_FIXED, "registered buffers");
}

static int then_unregistered(void)
{
	static const struct sgring_run nonsense[] = {
		{ .offset_bytes = 0, .chunk_bytes = 4096, .chunks = 1 },
		{ .chunks = 0 },
	};

	return chooses(nonsense, 0, SGRING_TX_URING, "layout of slot 0");
}

static int then_without(void)
{
	return chooses(descending, EPERM, SGRING_TX_ZEROCOPY, "io_uring is not allowed here");
}

static void the_best_that_works_is_chosen_and_says_why(void **state)
{
	static int (*const children[])(void) = { then_without, registered_first, then_unregistered };
	struct peer p = { .stream = true, .framed = true, .connections = 3 };
	unsigned int i;

	(void)state;
	NEED_SEND_ZC();
	NEED_CHILDREN();
	peer_start(&p);
	little_port = p.port;
	for (i = 0; i < 3; i++)
		assert_int_equal(in_child(children[i]), 0);
	peer_end(&p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_forbidden_or_missing_io_uring_is_told),
		cmocka_unit_test(the_probe_knows_what_this_kernel_has),
		cmocka_unit_test(runs_are_buffers_and_lookups_end_where_they_do),
		cmocka_unit_test(the_kernel_finds_the_same_bytes_in_the_buffers),
		cmocka_unit_test(slots_side_by_side_share_a_buffer),
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
		cmocka_unit_test(every_byte_arrives_whatever_the_way),
		cmocka_unit_test(every_byte_arrives_through_small_buffers),
		cmocka_unit_test(many_slots_go_in_one_call),
		cmocka_unit_test(a_polled_ring_needs_no_calls),
		cmocka_unit_test(slots_stay_away_until_notifications_come),
		cmocka_unit_test(abort_makes_the_kernel_let_go_of_a_chain),
		cmocka_unit_test(a_reset_in_mid_chain_gives_every_slot_back),
		cmocka_unit_test(a_connection_reset_in_mid_chain_is_resumed),
		cmocka_unit_test(two_senders_have_each_slot_and_one_gate),
		cmocka_unit_test(a_thread_may_end_in_mid_chain),
		cmocka_unit_test(every_datagram_is_right),
		cmocka_unit_test(small_slots_share_a_send),
		cmocka_unit_test(more_datagrams_than_requests_are_no_reason_to_wait),
		cmocka_unit_test(what_fails_in_mid_chain_goes_again_and_nothing_else),
		cmocka_unit_test(a_full_socket_loses_no_datagram),
		cmocka_unit_test(what_was_cut_and_refused_again_goes_again),
		cmocka_unit_test(datagrams_with_frames_are_not_registered_memory),
		cmocka_unit_test(datagrams_to_nobody_go_on),
		cmocka_unit_test(nothing_is_copied_on_the_way_to_a_device),
		cmocka_unit_test(little_locked_memory_is_lived_with),
		cmocka_unit_test(the_best_that_works_is_chosen_and_says_why),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: io_uring: is it there, a ring, a stream's slots as registered buffers
 *
 * Everything here is liburing's; this file knows what our kernels, containers and
 * limits make of it.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>

#include "uring.h"

#define SQPOLL_IDLE_MS 1000	/* then the thread sleeps, until a submission wakes it */

#define BUFFER_MAX (1ULL << 30)	/* that the kernel takes */

_Static_assert(SGRING_SLOT_BYTES_MAX <= BUFFER_MAX, "a run of a slot fits into a buffer");

/**
 * struct sgring_uring_buffer - chunks of one size, side by side in the mapping
 * @from: its first byte there
 * @end: and the one behind its last
 * @chunk_bytes: their size
 * @whole: the last one is all mapped
 */
struct sgring_uring_buffer {
	uint64_t from;
	uint64_t end;
	uint64_t chunk_bytes;
	bool whole;
};

/* A capability within a user namespace does not lift the limit. */
static bool first_user_namespace(void)
{
	unsigned int inside, outside, count;
	FILE *f = fopen("/proc/self/uid_map", "re");
	bool first = true;

	if (f) {
		first = fscanf(f, "%u %u %u", &inside, &outside, &count) == 3 &&
			!inside && !outside && count == UINT32_MAX;
		fclose(f);
	}
	return first;
}

uint64_t sgring_memlock_limit(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { { 0 } };
	uint64_t bytes = UINT64_MAX;
	int saved = errno;
	struct rlimit limit;

	if (!getrlimit(RLIMIT_MEMLOCK, &limit) && limit.rlim_cur != RLIM_INFINITY &&
	    (syscall(SYS_capget, &header, caps) ||
	     !(caps[0].effective & 1U << CAP_IPC_LOCK) || !first_user_namespace()))
		bytes = limit.rlim_cur;
	errno = saved;
	return bytes;
}

/* kernel.io_uring_disabled, since 6.6; 0: not disabled, or not there. */
static int disabled(void)
{
	FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
	int value = 0;

	if (f) {
		if (fscanf(f, "%d", &value) != 1)
			value = 0;
		fclose(f);
	}
	return value;
}

/* Why io_uring_setup() failed. */
static int no_ring(int err, unsigned int entries, bool sqpoll)
{
	uint64_t limit = sgring_memlock_limit();
	char text[128];
	int off;

	switch (-err) {
	case ENOSYS:
		return sgring_fail(ENOSYS, "this kernel, or the container, has no io_uring");
	case EPERM:
	case EACCES:
		off = disabled();
		if (off)
			return sgring_fail(EPERM, "io_uring is switched off (sysctl kernel.io_uring_disabled is %d)",
					   off);
		return sgring_fail(EPERM, sqpoll ? "io_uring with a kernel thread (SQPOLL) is not allowed here" :
				   "io_uring is not allowed here (a container's or a service's system call filter?)");
	case ENOMEM:	/* the limit counts before 5.12, and again since 6.14 */
		if (limit != UINT64_MAX)
			return sgring_fail(ENOBUFS, "no memory for an io_uring of %u entries: RLIMIT_MEMLOCK is %s for all of this user's processes; raise it (ulimit -l)",
					   entries, sgring_size_text(limit));
		return sgring_fail(ENOMEM, "no memory for an io_uring of %u entries", entries);
	default:
		return sgring_fail(-err, "cannot make an io_uring of %u entries: %s", entries,
				   sgring_strerror(err, text, sizeof(text)));
	}
}

/* Flags are looked at before the descriptor, so a bad one is enough to ask. */
static bool try_report_usage(struct io_uring *ring)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	struct io_uring_cqe *cqe;

	io_uring_prep_send_zc(sqe, -1, NULL, 0, 0, 0);
	sqe->ioprio |= SGRING_SEND_ZC_REPORT_USAGE;
	if (io_uring_submit(ring) != 1 || io_uring_wait_cqe(ring, &cqe))
		return false;
	return cqe->res != -EINVAL;
}

static int probe(struct sgring_uring_caps *caps)
{
	struct io_uring_probe *p;
	struct io_uring ring;
	unsigned int op;
	int err;

	err = io_uring_queue_init(4, &ring, 0);
	if (err)
		return err;
	p = io_uring_get_probe_ring(&ring);
	for (op = 0; p && op <= p->last_op && op < 64; op++)
		if (io_uring_opcode_supported(p, (int)op))
			caps->ops |= 1ULL << op;
	io_uring_free_probe(p);
	if (sgring_uring_has(caps, IORING_OP_SEND_ZC))
		caps->report_usage = try_report_usage(&ring);
	io_uring_queue_exit(&ring);
	return 0;
}

const struct sgring_uring_caps *sgring_uring_probe(int *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct sgring_uring_caps caps;
	static bool done;
	int saved = errno;

	pthread_mutex_lock(&lock);
	*err = done ? 0 : probe(&caps);
	/* What failed may work another time: no descriptor left, a sysctl. */
	done = !*err;
	pthread_mutex_unlock(&lock);
	if (*err)
		*err = no_ring(*err, 4, false);
	errno = saved;
	return *err ? NULL : &caps;
}

int sgring_uring_open(struct sgring_uring *u, struct sgring *s, unsigned int entries,
		      unsigned int completions, bool sqpoll)
{
	/*
	 * A request that cannot even be prepared does not hold up those behind it
	 * (5.18), and a notification does not interrupt the thread: it is shown at
	 * the next entry, or when a poll would sleep (5.19).
	 */
	const unsigned int helpful = IORING_SETUP_SUBMIT_ALL |
				     (sqpoll ? 0 : IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG);
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | helpful |
			 (sqpoll ? IORING_SETUP_SQPOLL : 0),
		.cq_entries = completions,
		.sq_thread_idle = SQPOLL_IDLE_MS,
	};
	int saved = errno, err;

	memset(u, 0, sizeof(*u));
	err = io_uring_queue_init_params(entries, &u->ring, &p);
	if (err == -EINVAL) {
		p = (struct io_uring_params){
			.flags = p.flags & ~helpful,
			.cq_entries = completions,
			.sq_thread_idle = SQPOLL_IDLE_MS,
		};
		err = io_uring_queue_init_params(entries, &u->ring, &p);
	}
	if (!err && p.cq_entries < completions) {
		io_uring_queue_exit(&u->ring);
		err = sgring_fail(E2BIG, "an io_uring has room for %u completions, %u are needed: fewer slots",
				  p.cq_entries, completions);
	} else if (err) {
		err = no_ring(err, entries, sqpoll);
	} else {
		u->stream = s;
		u->sqpoll = sqpoll;
	}
	errno = saved;
	return err;
}

/* The last one out switches the gate on again, if it was on. */
static void gate_release(struct sgring *s)
{
	struct sgring_tune tune = { .gate = SGRING_GATE_ON };

	if (!--s->registrations && s->gate_was_on)
		sgring_tune(s, &tune);
}

static int gate_acquire(struct sgring *s)
{
	struct sgring_tune tune = { .gate = SGRING_GATE_OFF };
	struct sgring_stats stats;
	int err = 0;

	if (!s->registrations) {
		err = sgring_stats(s, &stats);
		s->gate_was_on = !err && stats.flags & SGRING_STATS_GATE;
		if (s->gate_was_on)
			err = sgring_tune(s, &tune);
	}
	s->registrations += !err;
	return err;
}

void sgring_uring_close(struct sgring_uring *u)
{
	int saved = errno;

	if (!u->stream)
		return;
	/*
	 * Its end lets go of the buffers too, but some time later; and not before
	 * all requests are done, so with some abandoned they stay pinned, no gate
	 * would ever let a slot pass, and it has to stay off.
	 */
	if (u->buffers && !u->abandoned)
		io_uring_unregister_buffers(&u->ring);
	io_uring_queue_exit(&u->ring);
	if (u->buffers && !u->abandoned)
		gate_release(u->stream);
	free(u->buffers);
	free(u->first);
	memset(u, 0, sizeof(*u));
	errno = saved;
}

/* Does a run go on with chunks of the same size where the buffer before it ends? */
static bool goes_on(const struct sgring_uring_buffer *before, const struct sgring_run *run,
		    uint64_t at, uint64_t bytes)
{
	return before->end == at && before->chunk_bytes == run->chunk_bytes && before->whole &&
	       at + bytes - before->from <= BUFFER_MAX;
}

/*
 * A slot of so many runs, of which there was room for some, as buffers, behind n of other
 * slots: how many there are then. -EPROTO if the runs make no sense.
 */
static int lay_out(struct sgring_uring *u, uint32_t slot, const struct sgring_run *runs,
		   uint32_t count, uint32_t n)
{
	const uint64_t stride = u->stream->rings.stride_bytes, start = slot * stride;
	struct sgring_uring_buffer *b = u->buffers;
	uint64_t at = 0, bytes, end;
	uint32_t i;

	u->first[slot] = n;
	/* Too many: it is enough to count them. */
	if (n + count > SGRING_URING_BUFFERS_MAX)
		return (int)(n + count);
	for (i = 0; i < count && at < stride; i++, at = end) {
		bytes = runs[i].chunk_bytes * runs[i].chunks;
		if (runs[i].offset_bytes != at || !bytes)
			break;
		/* The last chunk may be larger than what is left of the slot. */
		end = bytes < stride - at ? at + bytes : stride;
		if (!i && n && goes_on(&b[n - 1], runs, start, end))
			u->first[slot] = --n;
		else
			b[n] = (struct sgring_uring_buffer){
				.from = start + at, .chunk_bytes = runs[i].chunk_bytes,
			};
		b[n].end = start + end;
		b[n++].whole = at + bytes == end;
	}
	if (i < count || at < stride)
		return sgring_fail(EPROTO, "the kernel's layout of slot %u makes no sense", slot);
	return (int)n;
}

/* All slots as buffers: how many, or -errno. */
static int lay_out_all(struct sgring_uring *u)
{
	struct sgring *s = u->stream;
	const uint32_t slots = s->geometry.slot_count, room = SGRING_URING_BUFFERS_MAX;
	struct sgring_run *runs = calloc(room, sizeof(*runs));
	int got, n = 0;
	uint32_t i;

	u->buffers = calloc(room, sizeof(*u->buffers));
	u->first = calloc(slots + 1, sizeof(*u->first));
	if (!runs || !u->buffers || !u->first)
		n = sgring_fail(ENOMEM, "no memory");
	for (i = 0; i < slots && n >= 0; i++) {
		got = sgring_layout(s, i, runs, room);
		n = got < 0 ? got : lay_out(u, i, runs, (uint32_t)got, (uint32_t)n);
	}
	free(runs);
	if (n < 0)
		return n;
	u->first[slots] = (uint32_t)n;
	if ((uint32_t)n > room)
		return sgring_fail(E2BIG, "the slots are %u runs of chunks, io_uring registers at most %u: chunks of one size (SGRING_CHUNK_EQUAL), or fewer slots",
				   (uint32_t)n, room);
	return n;
}

static int no_registration(const struct sgring *s, int err)
{
	uint64_t limit = sgring_memlock_limit();
	char text[128];

	switch (-err) {
	case EOPNOTSUPP:
	case EFAULT:
		return sgring_fail(EOPNOTSUPP, "this kernel does not register such memory with io_uring (Linux 6.12 does)");
	case ENOMEM:
		if (limit == UINT64_MAX)
			return sgring_fail(ENOMEM, "no memory to register the slots with io_uring");
		return sgring_fail(ENOBUFS, "%s of slots cannot be registered with io_uring: RLIMIT_MEMLOCK is %s for all of this user's processes; raise it (ulimit -l) or grant CAP_IPC_LOCK",
				   sgring_size_text(s->geometry.data_bytes), sgring_size_text(limit));
	default:
		return sgring_fail(-err, "cannot register the slots with io_uring: %s",
				   sgring_strerror(err, text, sizeof(text)));
	}
}

static int do_register(struct sgring_uring *u)
{
	struct sgring *s = u->stream;
	struct iovec *iov;
	int err, n, i;

	/* Known beforehand: do not even switch the gate off. */
	if (s->geometry.data_bytes > sgring_memlock_limit())
		return no_registration(s, -ENOMEM);
	n = lay_out_all(u);
	if (n < 0)
		return n;
	iov = calloc((size_t)n, sizeof(*iov));
	if (!iov)
		return sgring_fail(ENOMEM, "no memory");
	for (i = 0; i < n; i++) {
		iov[i].iov_base = s->rings.data + u->buffers[i].from;
		iov[i].iov_len = (size_t)(u->buffers[i].end - u->buffers[i].from);
	}
	err = gate_acquire(s);
	if (!err) {
		err = io_uring_register_buffers(&u->ring, iov, (unsigned int)n);
		if (err) {
			gate_release(s);
			err = no_registration(s, err);
		}
	}
	free(iov);
	return err;
}

int sgring_uring_register(struct sgring_uring *u)
{
	int saved = errno, err = do_register(u);

	if (err) {
		free(u->buffers);
		free(u->first);
		u->buffers = NULL;
		u->first = NULL;
	}
	errno = saved;
	return err;
}

uint16_t sgring_uring_buffer(const struct sgring_uring *u, uint32_t slot, uint64_t offset,
			     size_t *bytes)
{
	const uint64_t at = slot * u->stream->rings.stride_bytes + offset;
	uint32_t low = u->first[slot], high = u->first[slot + 1], middle;

	/* What the next slot begins in may be what this one ends in. */
	while (low < high) {
		middle = (low + high) / 2;
		if (at < u->buffers[middle].end)
			high = middle;
		else
			low = middle + 1;
	}
	if (*bytes > u->buffers[low].end - at)
		*bytes = (size_t)(u->buffers[low].end - at);
	return (uint16_t)low;
}

int sgring_uring_submit(struct sgring_uring *u)
{
	int saved = errno, n;

	if (!io_uring_sq_ready(&u->ring))
		return 0;
	/* liburing enters unless the thread is awake. */
	if (!u->sqpoll || IO_URING_READ_ONCE(*u->ring.sq.kflags) & IORING_SQ_NEED_WAKEUP)
		u->calls++;
	n = io_uring_submit(&u->ring);
	if (n >= 0) {
		u->torn |= !u->sqpoll && n && io_uring_sq_ready(&u->ring);
		n = !u->sqpoll && io_uring_sq_ready(&u->ring) ? -EAGAIN : 0;
	}
	u->refused = false;
	errno = saved;
	return n;
}

int sgring_uring_wait(struct sgring_uring *u, unsigned int completions, int64_t timeout_ns)
{
	const int64_t until = sgring_now_ns() + timeout_ns;
	struct __kernel_timespec ts = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};
	const unsigned int before = io_uring_sq_ready(&u->ring);
	struct io_uring_cqe *cqe;
	int saved = errno, err;

	u->refused = false;
	/* With a time-out liburing enters once, and not again. */
	err = io_uring_submit_and_wait_timeout(&u->ring, &cqe, completions, &ts, NULL);
	errno = saved;
	if (!u->sqpoll && io_uring_sq_ready(&u->ring)) {
		u->torn |= io_uring_sq_ready(&u->ring) != before;
		u->refused = true;
		return 1;
	}
	u->refused = err == -EAGAIN || err == -EBUSY;
	if (u->refused)
		return 1;
	if (err < 0 && err != -ETIME && err != -EINTR)
		return err;
	if (io_uring_cq_ready(&u->ring) >= completions)
		return 1;
	/* What it gives need not say: it may be the number of requests taken, too. */
	return sgring_now_ns() < until ? -EINTR : 0;
}

void sgring_uring_look(struct sgring_uring *u)
{
	int saved = errno;

	if (IO_URING_READ_ONCE(*u->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) {
		u->calls++;
		io_uring_get_events(&u->ring);
	}
	errno = saved;
}

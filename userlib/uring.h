/* SPDX-License-Identifier: MIT */
/*
 * libsgring: what its files need of liburing, for sockets and files alike
 *
 * A ring belongs to a sender, and is used by whoever has the stream: one thread
 * at a time, but not always the same, so the flags that tie a ring to the thread
 * that made it (SINGLE_ISSUER, DEFER_TASKRUN) are not used.
 *
 * Completions are read from memory:
 *
 *	io_uring_for_each_cqe(&u->ring, head, cqe)
 *		n++, ...;
 *	io_uring_cq_advance(&u->ring, n);
 *
 * and not by io_uring_peek_cqe() and the like, which enter the kernel at moments of
 * their own. sgring_uring_look() does where it pays. To wait for any of them, poll
 * sgring_uring_fd(); sgring_uring_wait() waits for many, and for nothing else.
 */
#ifndef SGRING_URING_H
#define SGRING_URING_H

#include <liburing.h>

#include "internal.h"

/* What liburing 2.3 does not know of yet. */
#define SGRING_SEND_ZC_REPORT_USAGE	(1U << 3)	/* sqe->ioprio; Linux 6.2, 6.1.y */
#define SGRING_NOTIF_ZC_COPIED		(1U << 31)	/* cqe->res of a notification */

/* The kernel's limits. */
#define SGRING_URING_ENTRIES_MAX	32768U
#define SGRING_URING_BUFFERS_MAX	16384U		/* 1024 before 5.13 */

/**
 * struct sgring_uring_caps - what the kernel's io_uring can do
 * @ops: bit n: IORING_OP n
 * @report_usage: SEND_ZC tells whether it copied
 */
struct sgring_uring_caps {
	uint64_t ops;
	bool report_usage;
};

/*
 * Found out once. NULL: there is none, or it is not allowed; *@err says which
 * (-ENOSYS, -EPERM, or what keeps a ring from being made), and the message why.
 */
const struct sgring_uring_caps *sgring_uring_probe(int *err);

static inline bool sgring_uring_has(const struct sgring_uring_caps *caps, unsigned int op)
{
	return caps->ops >> op & 1;
}

/**
 * struct sgring_uring - a ring, and the slots it has registered
 * @ring: liburing's
 * @stream: whose slots
 * @calls: times the kernel was entered, but for waits
 * @sqpoll: a kernel thread submits
 * @abandoned: set it before the close if requests are outstanding for good
 * @torn: of what was to be handed over together the kernel took only a part
 * @refused: the kernel took nothing while it was waited: submit, which says why
 * @buffers: registered buffers, in the order of the mapping; NULL: none are
 * @first: by slot: the one it begins in; and how many there are
 */
struct sgring_uring {
	struct io_uring ring;
	struct sgring *stream;
	uint64_t calls;
	bool sqpoll;
	bool abandoned;
	bool torn;
	bool refused;
	struct sgring_uring_buffer *buffers;
	uint32_t *first;
};

/*
 * @entries submissions that wait to be handed over, @completions that wait to be
 * taken: the caller never has more outstanding, so that the CQ cannot overflow.
 * With @sqpoll nothing falls back to a ring without. -errno and a message.
 */
int sgring_uring_open(struct sgring_uring *u, struct sgring *s, unsigned int entries,
		      unsigned int completions, bool sqpoll);

/* Nothing is outstanding, or see @abandoned. A zeroed one is fine. */
void sgring_uring_close(struct sgring_uring *u);

static inline int sgring_uring_fd(const struct sgring_uring *u)
{
	return u->ring.ring_fd;
}

/*
 * Register the stream's slots: one buffer for each run of equal chunks, of one slot or
 * of several side by side, since only then does the kernel send whole chunks (6.12). Such a pin never goes away by
 * itself, so the reference gate is switched off for as long as any ring of the
 * stream has it. -errno and a message: -EOPNOTSUPP the kernel does not register such
 * a mapping (before 6.12), -ENOBUFS RLIMIT_MEMLOCK, -E2BIG too many runs.
 */
int sgring_uring_register(struct sgring_uring *u);

/*
 * The registered buffer with @offset of @slot; *@bytes is cut to what is in it, which
 * may be more than the slot: the rest is another piece. The address is the usual one.
 */
uint16_t sgring_uring_buffer(const struct sgring_uring *u, uint32_t slot, uint64_t offset,
			     size_t *bytes);

/*
 * Hand over what was prepared: 0, or -errno with no message; what the kernel did not
 * take (-EAGAIN: some of it, -EBUSY, -EINTR) waits for the next call.
 */
int sgring_uring_submit(struct sgring_uring *u);

/* The kernel has completions that only an entry would show: enter. */
void sgring_uring_look(struct sgring_uring *u);

/*
 * True: what was prepared need not be submitted now, for the caller is about to wait
 * for the ring, which does that too.
 */
static inline bool sgring_uring_put_off(struct sgring_uring *u)
{
	if (!u->stream->about_to_wait || u->sqpoll || u->refused || !io_uring_sq_ready(&u->ring))
		return false;
	u->stream->put_off = true;
	return true;
}

/* Can sgring_uring_wait() be used? (Linux 5.11) */
static inline bool sgring_uring_can_wait(const struct sgring_uring *u)
{
	return u->ring.features & IORING_FEAT_EXT_ARG;
}

/*
 * Hand over what was prepared, and sleep until @completions are there to be taken: one
 * system call. 1: they are, or the kernel took nothing (@refused); 0: @timeout_ns are over;
 * -EINTR a signal; -errno.
 */
int sgring_uring_wait(struct sgring_uring *u, unsigned int completions, int64_t timeout_ns);

/* The limit on locked memory that applies to this process; UINT64_MAX: none. */
uint64_t sgring_memlock_limit(void);

#endif /* SGRING_URING_H */

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the engine io_uring, with SEND_ZC and SENDMSG_ZC
 *
 * What is queued becomes a chain of requests, handed over with one system call, or
 * none if a kernel thread submits (SQPOLL). The next chain is made when every request
 * of this one was answered.
 *
 * Of a connection each is linked to the one before it, so that its bytes stay in order:
 * the kernel begins one when the one before is done (MSG_WAITALL), and cancels the rest
 * when one has failed or was cut short. The next chain is then made from what is left of
 * the queue.
 *
 * Datagrams are not linked, which would cost a fifth of the time of a send: they are
 * begun in order, and one that does not fit into the socket is told (MSG_DONTWAIT).
 * What failed is prepared again in its place in the chain, between what was sent, so that
 * items are taken in order still; linked, and waiting for room, for more and more
 * chains from then on: they pass each other when it is tried without.
 *
 * A request is answered, with the number of bytes accepted or an error; if the
 * answer says so (F_MORE), whatever else it says, a notification follows when the
 * kernel has let go of the memory. Then it is finished. Answers and notifications
 * are taken in any order. One that was cancelled in its chain is notified without
 * having said so: it is finished before, its place may be another's by then, and
 * so each use of a place has a number.
 *
 * Memory that is pinned for a request is charged to RLIMIT_MEMLOCK until it is
 * finished: when it is handed over (which fails all of the chain), or before that
 * kernel (6.15) when it is begun, and again each time the socket was full. What
 * fails for that is tried again, as a shorter chain, or when something was finished.
 * Registered buffers are charged once, at registration.
 *
 * MSG_EOR keeps what follows out of a request's last packet. From 6.10 on, requests
 * that share one are notified together, when all of them were let go of: in a
 * busy stream that is all there are; and of all but the first the kernel says that
 * they were copied.
 *
 * With registered buffers the frame before the data is a request of its own, which
 * copies it; MSG_MORE keeps them together. Data that spans two runs of chunks is
 * two requests; in a datagram it is sent unregistered.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tx.h"
#include "uring.h"

#define REQUESTS 256U			/* outstanding at a time */
#define DATAGRAMS 64U			/* messages of them in a chain */
#define LINKED_CHAINS 16U		/* at first, when much is refused that will be every time */
#define LINKED_CHAINS_MAX (1U << 20)
#define PIECE_MAX (1U << 20)		/* so that a slow peer's progress is seen */
#define PIECE_MIN (64U << 10)
#define CANCEL UINT64_MAX		/* user data of what is no request of ours */
#define NAP_NS (2 * SGRING_MS_NS)

/**
 * struct request - something the kernel was asked to send
 * @next: in the chain, among the finished, among the free
 * @number: of the item it begins in
 * @from: its position there; of datagrams
 * @turn: which use of it this is
 * @result: the answer
 * @op: IORING_OP_*
 * @buffer: registered one, with @fixed
 * @fixed: SEND_ZC from it
 * @more: there is more to come: MSG_MORE
 * @answered: @result is there
 * @used: and has left the chain
 * @notifies: a notification follows
 * @notified: it has come
 * @copied: it said so
 * @sent: some of it was accepted, and counted
 * @busy: it is in use
 * @msg: for SENDMSG_ZC
 * @m: what
 */
struct request {
	struct request *next;
	uint64_t from;
	uint32_t number;
	uint32_t turn;
	int32_t result;
	uint16_t buffer;
	uint8_t op;
	bool fixed;
	bool more;
	bool answered;
	bool used;
	bool notifies;
	bool notified;
	bool copied;
	bool sent;
	bool busy;
	struct msghdr msg;
	struct sgring_tx_message m;
};

/* A queue of them. */
struct list {
	struct request *first;
	struct request **end;
};

/**
 * struct engine - the engine's own
 * @u: the ring
 * @all: REQUESTS of them
 * @unused: a stack
 * @chain: in order; those whose answer was not used yet
 * @asked: of them, not answered yet
 * @back: the sender's, before it was made
 * @links: so many chains of datagrams are to be linked
 * @links_next: when the socket is full again
 * @finished: to be let go of
 * @out: requests in use
 * @completed: counts those that were finished
 * @upto: the item after the chain's last
 * @page: bytes of
 * @piece_max: bytes of data in one
 * @charge_max: pages charged at a time; UINT64_MAX: not charged
 * @charged: pages
 * @withheld: the chain is in the SQ, and was not taken from there
 * @chain_max: requests in a chain
 * @room: left in this one
 * @cut: of this chain, so many were not sent whole: from the first of them on
 * @moved: of this chain, so many were accepted, in part at least
 * @again: the chain was cut, and what can be done about it was done
 * @faulted: EFAULT was the answer, and no bytes were accepted since
 * @trouble: it was cut by this error, which is to be dealt with; 0: none
 * @culprit: the request, until it is let go of
 * @troubled: bytes it was to send
 * @limited: nothing was finished since @completed was this; UINT64_MAX: no limit met
 */
struct engine {
	struct sgring_uring u;
	struct request *all;
	struct request *unused;
	struct list chain;
	uint32_t asked;
	uint32_t links;
	uint32_t links_next;
	struct list finished;
	uint32_t out;
	uint64_t completed;
	uint32_t back;
	uint32_t upto;
	size_t page;
	size_t piece_max;
	uint64_t charge_max;
	uint64_t charged;
	bool withheld;
	uint32_t chain_max;
	uint32_t room;
	uint32_t cut;
	uint32_t moved;
	bool again;
	bool faulted;
	int trouble;
	struct request *culprit;
	size_t troubled;
	uint64_t limited;
};

static void list_init(struct list *l)
{
	l->first = NULL;
	l->end = &l->first;
}

static void list_add(struct list *l, struct request *r)
{
	r->next = NULL;
	*l->end = r;
	l->end = &r->next;
}

static struct request *list_take(struct list *l)
{
	struct request *r = l->first;

	if (r) {
		l->first = r->next;
		if (!l->first)
			l->end = &l->first;
	}
	return r;
}

static uint64_t pages_of(const struct engine *e, const struct request *r)
{
	if (e->charge_max == UINT64_MAX || r->fixed || r->op == IORING_OP_SEND)
		return 0;
	return (r->m.header + r->m.data) / e->page + 2;
}

/* --- the chain */

static void finish_if(struct engine *e, struct request *r)
{
	if (!r->used || (r->notifies && !r->notified))
		return;
	e->charged -= pages_of(e, r);
	list_add(&e->finished, r);
}

static struct request *request_new(struct engine *e, uint32_t number, uint8_t op)
{
	struct request *r = e->unused;

	e->unused = r->next;
	e->out++;
	r->turn++;
	r->number = number;
	r->op = op;
	r->fixed = r->more = r->answered = r->used = r->notifies = r->notified = r->copied =
		r->sent = false;
	r->busy = true;
	return r;
}

static void request_free(struct engine *e, struct request *r)
{
	r->busy = false;
	r->next = e->unused;
	e->unused = r;
	e->out--;
}

static void add(struct sgring_tx *t, struct request *r)
{
	struct engine *e = t->engine_data;

	e->charged += pages_of(e, r);
	sgring_tx_lend_all(t, r->number, r->m.items);
	list_add(&e->chain, r);
}

/* Which registered buffer has it; *@bytes is cut to what it has. */
static uint16_t buffer_of(const struct sgring_tx *t, uint32_t number, const void *data, size_t *bytes)
{
	const struct engine *e = t->engine_data;
	const uint32_t slot = sgring_tx_item(t, number)->slot.index;

	return sgring_uring_buffer(&e->u, slot,
				   (uint64_t)((const unsigned char *)data - sgring_data(t->stream, slot)),
				   bytes);
}

/* A message of a connection, in pieces; false: not all of it. */
static bool add_pieces(struct sgring_tx *t, uint32_t number, const struct sgring_tx_message *m)
{
	const bool fixed = t->method == SGRING_TX_URING_FIXED;
	struct engine *e = t->engine_data;
	unsigned char *data = m->data ? m->iov[m->iovs - 1].iov_base : NULL;
	size_t header = m->header, left = m->data, bytes;
	struct request *r;

	while (header || left) {
		if (!e->unused || !e->room)
			return false;
		bytes = left < e->piece_max ? left : e->piece_max;
		/* What is not to be borrowed is copied: a frame alone. */
		if (header && (fixed || !left)) {
			bytes = 0;
			r = request_new(e, number, IORING_OP_SEND);
		} else {
			r = request_new(e, number, header ? IORING_OP_SENDMSG_ZC :
						      IORING_OP_SEND_ZC);
			r->fixed = fixed;
			if (fixed)
				r->buffer = buffer_of(t, number, data, &bytes);
		}
		r->m.items = 1;
		r->m.iovs = 0;
		if (header)
			r->m.iov[r->m.iovs++] = m->iov[0];
		if (bytes)
			r->m.iov[r->m.iovs++] = (struct iovec){ .iov_base = data, .iov_len = bytes };
		r->m.header = header;
		r->m.data = bytes;
		header = 0;
		data += bytes;
		left -= bytes;
		r->m.end = m->end - left;
		r->m.last = m->last && !left;
		e->room--;
		add(t, r);
	}
	return true;
}

/* As sgring_tx_message(), for a new request of the chain; NULL: false. */
static struct request *add_datagrams(struct sgring_tx *t, uint32_t number, uint64_t from,
				     uint32_t last, uint64_t end)
{
	struct engine *e = t->engine_data;
	struct request *r;
	size_t bytes;

	if (!e->unused)
		return NULL;
	r = request_new(e, number, IORING_OP_SEND_ZC);
	if (!sgring_tx_message(t, number, from, last, end, &r->m)) {
		request_free(e, r);
		return NULL;
	}
	r->from = from;
	if (!r->m.data)
		r->op = IORING_OP_SEND;
	else if (r->m.iovs > 1)
		r->op = IORING_OP_SENDMSG_ZC;
	else if (t->method == SGRING_TX_URING_FIXED) {
		bytes = r->m.data;
		r->buffer = buffer_of(t, number, r->m.iov[0].iov_base, &bytes);
		r->fixed = bytes == r->m.data;
	}
	add(t, r);
	return r;
}

static void prepare(const struct sgring_tx *t, struct request *r)
{
	struct engine *e = t->engine_data;
	struct io_uring_sqe *sqe = io_uring_get_sqe(&e->u.ring);
	const int stream = MSG_WAITALL | (r->more ? MSG_MORE : 0) |
			   (r->op == IORING_OP_SEND ? 0 : MSG_EOR);
	const int datagram = e->links ? 0 : MSG_DONTWAIT;
	const int flags = MSG_NOSIGNAL | (sgring_tx_stream(t) ? stream : datagram);
	const struct iovec *iov = r->m.iov;

	switch (r->op) {
	case IORING_OP_SEND:
		io_uring_prep_send(sqe, t->fd, iov->iov_base, iov->iov_len, flags);
		break;
	case IORING_OP_SENDMSG_ZC:
		r->msg = (struct msghdr){ .msg_iov = r->m.iov, .msg_iovlen = r->m.iovs };
		io_uring_prep_sendmsg_zc(sqe, t->fd, &r->msg, (unsigned int)flags);
		sqe->ioprio |= SGRING_SEND_ZC_REPORT_USAGE;
		break;
	default:
		if (r->fixed)
			io_uring_prep_send_zc_fixed(sqe, t->fd, iov->iov_base, iov->iov_len, flags,
						    SGRING_SEND_ZC_REPORT_USAGE, r->buffer);
		else
			io_uring_prep_send_zc(sqe, t->fd, iov->iov_base, iov->iov_len, flags,
					      SGRING_SEND_ZC_REPORT_USAGE);
	}
	if (r->more && (e->links || sgring_tx_stream(t)))
		sqe->flags |= IOSQE_IO_LINK;
	io_uring_sqe_set_data64(sqe, (uint64_t)r->turn << 32 | (uint64_t)(r - e->all));
}

/* Into the SQ with those of the chain that were not asked for yet; nothing else is. */
static void prepare_all(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	struct request *r, *before = NULL;

	for (r = e->chain.first; r; r = r->next) {
		if (r->answered)
			continue;
		if (before) {
			before->more = true;
			prepare(t, before);
		}
		before = r;
		e->asked++;
	}
	if (before)
		prepare(t, before);
	e->withheld = true;
}

/* A chain of what is queued. False: none, and @blocked says why, or nothing is queued. */
static bool build(struct sgring_tx *t, int *err)
{
	const bool stream = sgring_tx_stream(t);
	struct engine *e = t->engine_data;
	struct sgring_tx_message pieces, *m = &pieces;
	struct sgring_tx_item *item;
	uint32_t n = t->head;
	uint64_t from = sgring_tx_item(t, n)->done;
	struct request *r;
	ssize_t sent;

	e->links -= !!e->links;
	e->room = io_uring_sq_space_left(&e->u.ring);
	if (e->room > e->chain_max)
		e->room = e->chain_max;
	while (n != t->next && e->room) {
		item = sgring_tx_item(t, n);
		/* Among what is sent again after a loss there may be some that arrived. */
		if (item->gone) {
			n++;
			continue;
		}
		if (!from && sgring_tx_hello_due(t, item)) {
			sent = e->chain.first ? -EAGAIN : sgring_tx_hello(t, item);
			if (sent < 0) {
				*err = e->chain.first ? 0 : (int)sent;
				break;
			}
		}
		if (e->charged >= e->charge_max)
			break;
		if (stream) {
			if (!sgring_tx_message(t, n, from, t->next, 0, m) || !add_pieces(t, n, m))
				break;
		} else {
			r = add_datagrams(t, n, from, t->next, 0);
			if (!r)
				break;
			m = &r->m;
			e->room--;
		}
		n += m->items - 1;
		from = m->end;
		if (m->last) {
			n++;
			from = 0;
		}
	}
	e->upto = n;
	e->back = t->back;
	if (!e->chain.first) {
		if (!*err && n != t->next)
			t->blocked = SGRING_TX_LIMIT;
		return false;
	}
	prepare_all(t);
	return true;
}

/* What follows @m in the datagrams of @r, of which it is a part; false: nothing. */
static bool rest_of(const struct request *r, const struct sgring_tx_message *m, uint32_t *number,
		    uint64_t *from)
{
	const uint32_t last = r->number + r->m.items - 1;

	*number += m->items - 1;
	*from = m->end;
	if (*number == last)
		return *from != r->m.end;
	if (m->last) {
		++*number;
		*from = 0;
	}
	return true;
}

/* How many messages its datagrams are now; of one, @m is it. */
static unsigned int cut_anew(struct sgring_tx *t, const struct request *r,
			     struct sgring_tx_message *m)
{
	uint32_t number = r->number;
	uint64_t from = r->from;
	unsigned int n = 0;

	do {
		n++;
		if (!sgring_tx_message(t, number, from, r->number + r->m.items - 1, r->m.end, m))
			return UINT_MAX;
	} while (rest_of(r, m, &number, &from));
	return n;
}

/* It is not cut at all: the same request once more. */
static void renew(struct request *r, const struct sgring_tx_message *m)
{
	r->m = *m;
	r->turn++;
	r->more = r->answered = r->notifies = r->notified = r->copied = false;
}

/*
 * Datagrams of the chain that failed, again in their places, as they are to be now. False:
 * none, something has to be finished first.
 *
 * What is one message still stays in its request, so that a chain can be refused as often as
 * it likes. What becomes several has to find as many free; if one does not, none behind it
 * is cut: so the first of a chain, when those before it are gone, finds all that the others,
 * DATAGRAMS at most, have not.
 */
static bool rebuild(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	struct request *r = e->chain.first, *next, *q;
	bool any = false, full = false;
	struct sgring_tx_message m;
	unsigned int pieces;
	uint32_t number;
	uint64_t from;

	list_init(&e->chain);
	for (; r; r = next) {
		next = r->next;
		pieces = r->result > 0 ? 0 : cut_anew(t, r, &m);
		if (pieces == 1 && (!r->notifies || r->notified)) {
			renew(r, &m);
			any = true;
		}
		full |= pieces > REQUESTS - e->out;
		if (pieces <= 1 || full) {
			/* What can be done about it was done. */
			if (r->result <= 0)
				r->result = -ECANCELED;
			list_add(&e->chain, r);
			continue;
		}
		number = r->number;
		from = r->from;
		do
			q = add_datagrams(t, number, from, r->number + r->m.items - 1, r->m.end);
		while (rest_of(r, &q->m, &number, &from));
		r->used = true;
		finish_if(e, r);
		any = true;
	}
	if (any)
		prepare_all(t);
	return any;
}

/* The chain is in the SQ: have the kernel take it. */
static int hand_over(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	const bool works = !t->lost && !t->error;
	const uint64_t calls = e->u.calls;
	char text[128];
	int err = 0;

	if (works && sgring_uring_put_off(&e->u)) {
		e->withheld = true;
		return 0;
	}
	if (!works || !e->u.torn)
		err = sgring_uring_submit(&e->u);
	t->stats.calls += e->u.calls - calls;
	e->withheld = err;
	/* The rest would be a chain of its own, and could overtake the first part. */
	if (works && e->u.torn)
		return sgring_fail(ENOMEM, "%s: the kernel had no memory for requests", t->peer);
	if (err == -EAGAIN || err == -EBUSY || err == -EINTR) {
		t->blocked = SGRING_TX_LATER;
		t->retry_ns = sgring_now_ns() + NAP_NS;
		err = 0;
	}
	return err ? sgring_fail(-err, "%s: io_uring: %s", t->peer,
				 sgring_strerror(err, text, sizeof(text))) : 0;
}

/* --- answers and notifications */

/*
 * What the network reports of datagrams comes with the next send, and is queued as
 * well. While something is queued the kernel would not wait for room, but try again
 * and again.
 */
static void forget_errors(struct sgring_tx *t)
{
	const struct sgring_backend *be = t->stream->be;
	struct mmsghdr msgs[16];

	do {
		memset(msgs, 0, sizeof(msgs));
		t->stats.calls++;
		t->stream->notify_calls++;
	} while (be->recvmmsg(be, t->fd, msgs, 16, MSG_ERRQUEUE | MSG_DONTWAIT) == 16);
}

/* Not an error of what was to be sent, nor of where it was to go. */
static bool not_its_fault(struct engine *e, int result)
{
	/* EFAULT: the thread that handed it over has ended; but not twice. */
	if (result == -EFAULT && !e->faulted) {
		e->faulted = true;
		return true;
	}
	return result >= 0 || result == -ECANCELED || result == -EINTR || result == -EAGAIN;
}

static void was_sent(struct sgring_tx *t, struct request *r)
{
	struct engine *e = t->engine_data;

	sgring_tx_accepted(t, r->number, &r->m, (size_t)r->result);
	r->sent = true;
	/* A frame on its own is copied, and nothing will be reported. */
	t->stats.sends -= r->op == IORING_OP_SEND;
	e->faulted = false;
}

/* One answer, in the order of the chain; of a connection. */
static int use_answer(struct sgring_tx *t, struct request *r)
{
	struct engine *e = t->engine_data;
	const size_t asked = r->m.header + r->m.data;
	int err = 0;

	/* After a failure or a loss everything was given up, or will be sent again. */
	if (t->error || t->lost)
		return 0;
	if (e->cut && r->result > 0)
		return sgring_fail(EPROTO, "%s: the kernel sent what was linked to a send that failed",
				   t->peer);
	if (r->result > 0) {
		sgring_tx_worked(t, e->back);
		was_sent(t, r);
		e->moved++;
	}
	if (r->result >= 0 && (size_t)r->result == asked)
		return 0;
	e->cut++;
	if (e->trouble || e->again || not_its_fault(e, r->result))
		return 0;
	if (r->result != -ENOMEM && r->result != -ENOBUFS) {
		/* Before anything is let go of: is it the connection? */
		e->again = true;
		err = sgring_tx_trouble(t, -r->result, asked);
		return err < 0 ? err : 0;
	}
	/* Charged when it was handed over, with all those before it, of which none was sent? */
	if (!e->moved && e->cut > 1) {
		e->chain_max = e->cut - 1;
		e->again = true;
		t->stats.nobufs_waits++;
		return 0;
	}
	e->trouble = ENOBUFS;
	e->troubled = asked;
	e->culprit = r;
	return 0;
}

/* Datagrams: those at the chain's head that were sent. */
static void use_sent(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	struct request *r = e->chain.first;

	for (; r && r->answered && (r->result > 0 || t->error); r = e->chain.first) {
		list_take(&e->chain);
		if (!t->error)
			was_sent(t, r);
		r->used = true;
		finish_if(e, r);
	}
}

/* The one at the chain's head was not, and all were answered: 1: try again; as push(). */
static int use_failure(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	const struct request *r = e->chain.first;

	if (r->result == -EAGAIN && !e->links) {
		e->links = e->links_next;
		if (e->links_next < LINKED_CHAINS_MAX)
			e->links_next *= 2;
		t->stats.full_waits++;
		return 1;
	}
	if (r->result != -EAGAIN && not_its_fault(e, r->result))
		return 1;
	if (r->result != -EAGAIN && r->result != -ENOMEM && r->result != -ENOBUFS)
		forget_errors(t);
	return sgring_tx_trouble(t, -r->result, r->m.header + r->m.data);
}

/* Those at the chain's head that were answered. */
static int use_answers(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	struct request *r;
	int err = 0, one;

	if (!sgring_tx_stream(t)) {
		use_sent(t);
		return 0;
	}
	while (e->chain.first && e->chain.first->answered) {
		r = list_take(&e->chain);
		r->used = true;
		one = use_answer(t, r);
		err = err ? err : one;
		finish_if(e, r);
		if (e->chain.first)
			continue;
		if (!e->cut && e->chain_max < REQUESTS)
			e->chain_max *= 2;
		if (e->cut && !e->moved && !e->again && !e->trouble)
			e->trouble = EAGAIN;
		e->cut = e->moved = 0;
		e->again = false;
	}
	return err;
}

static void take_notification(struct sgring_tx *t, struct request *r, uint32_t turn, bool copied)
{
	/* Without having said so: see above. */
	if (!r->busy || r->turn != turn || (r->answered && !r->notifies))
		return;
	t->stats.strange += r->notified;
	if (r->notified)
		return;
	r->notified = true;
	r->copied = copied;
	finish_if(t->engine_data, r);
}

static void take_answer(struct sgring_tx *t, struct request *r, uint32_t turn,
			const struct io_uring_cqe *cqe)
{
	if (!r->busy || r->turn != turn || r->answered) {
		t->stats.strange++;
		return;
	}
	((struct engine *)t->engine_data)->asked--;
	r->answered = true;
	r->result = cqe->res;
	r->notifies = cqe->flags & IORING_CQE_F_MORE;
}

static unsigned int take_completions(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	struct io_uring_cqe *cqe;
	unsigned int head, n = 0;
	struct request *r;
	uint32_t turn;

	io_uring_for_each_cqe(&e->u.ring, head, cqe) {
		n++;
		if (cqe->user_data == CANCEL)
			continue;
		r = &e->all[(uint32_t)cqe->user_data % REQUESTS];
		turn = (uint32_t)(cqe->user_data >> 32);
		if (cqe->flags & IORING_CQE_F_NOTIF)
			take_notification(t, r, turn, (uint32_t)cqe->res & SGRING_NOTIF_ZC_COPIED);
		else
			take_answer(t, r, turn, cqe);
	}
	io_uring_cq_advance(&e->u.ring, n);
	return n;
}

static void let_go(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	uint64_t sent = 0, copied = 0;
	struct request *r;

	if (e->finished.first)
		sgring_tx_ask(t);
	while ((r = list_take(&e->finished))) {
		if (r->notifies && r->sent)
			*(r->copied ? &copied : &sent) += 1;
		sgring_tx_let_go_all(t, r->number, r->m.items);
		if (e->culprit == r)
			e->culprit = NULL;
		request_free(e, r);
		e->completed++;
	}
	if (sent)
		sgring_tx_reported(t, sent, false);
	if (copied)
		sgring_tx_reported(t, copied, true);
}

/*
 * What is there but not shown costs a call, if nobody is about to wait: when there is
 * nothing else to do, and slots are short, or nothing else will happen.
 */
static bool worth_a_look(struct sgring *s)
{
	const bool few = 2 * sgring_held(s) >= s->geometry.slot_count;

	return !sgring_ready(s) && ((few && !s->about_to_wait) ||
				    sgring_state(s) != SGRING_STATE_RUNNING);
}

static int uring_reap(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	const uint64_t calls = e->u.calls;
	int err;

	if (e->withheld && (t->lost || t->error))
		hand_over(t);
	if (!take_completions(t) && worth_a_look(t->stream)) {
		sgring_uring_look(&e->u);
		t->stats.calls += e->u.calls - calls;
		take_completions(t);
	}
	err = use_answers(t);
	let_go(t);
	return err;
}

/* --- pushing */

static bool limit_stands(const struct engine *e)
{
	return e->out && e->limited == e->completed;
}

/* A chain was cut by an error: 1: go on. */
static int resolve(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	const int trouble = e->trouble;
	int next;

	e->trouble = 0;
	next = sgring_tx_trouble(t, trouble, e->troubled);
	if (!next && t->blocked == SGRING_TX_LIMIT)
		e->limited = e->completed;
	return next;
}

static int push(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	int err = 0, next;

	while (sgring_tx_queued(t) && !t->lost) {
		if (e->withheld) {
			err = hand_over(t);
			if (err || e->withheld)
				return err;
		}
		take_completions(t);
		err = use_answers(t);
		if (err || t->lost || t->blocked == SGRING_TX_LATER)
			return err;
		if (e->asked) {
			/* More could go behind it: the ring tells when. */
			t->blocked = e->upto != t->next ? SGRING_TX_FULL : SGRING_TX_LIMIT;
			return 0;
		}
		/* Datagrams that failed. */
		if (e->chain.first) {
			next = e->again ? 1 : use_failure(t);
			e->again = !next;
			if (next <= 0)
				return next;
			if (!rebuild(t)) {
				e->again = true;
				t->blocked = SGRING_TX_LIMIT;
				return 0;
			}
			continue;
		}
		/* Its own charges must not count as others' when a limit was met. */
		if (e->trouble && e->culprit) {
			t->blocked = SGRING_TX_LIMIT;
			return 0;
		}
		if (e->trouble) {
			next = resolve(t);
			if (next <= 0)
				return next;
		}
		if (limit_stands(e)) {
			t->blocked = SGRING_TX_LIMIT;
			return 0;
		}
		e->limited = UINT64_MAX;
		if (!build(t, &err)) {
			next = err ? sgring_tx_trouble(t, -err, SGRING_HELLO_BYTES) : 0;
			if (next <= 0)
				return next;
			err = 0;
		}
	}
	return 0;
}

static int uring_push(struct sgring_tx *t)
{
	const struct engine *e = t->engine_data;
	uint64_t completed;
	int err;

	do {
		t->blocked = SGRING_TX_OPEN;
		completed = e->completed;
		err = push(t);
		/* Some was finished meanwhile, and the ring will not tell again. */
		let_go(t);
	} while (!err && t->blocked == SGRING_TX_LIMIT && e->completed != completed && !t->lost);
	return err;
}

static unsigned int uring_pollfds(const struct sgring_tx *t, struct pollfd *fds, unsigned int room)
{
	const struct engine *e = t->engine_data;
	unsigned int n = 0;

	if (e->out && n < room)
		fds[n++] = (struct pollfd){ .fd = sgring_uring_fd(&e->u), .events = POLLIN };
	if (t->blocked == SGRING_TX_FULL && !e->asked && n < room)
		fds[n++] = (struct pollfd){ .fd = t->fd, .events = POLLOUT };
	return n;
}

static struct sgring_uring *
uring_ring(const struct sgring_tx *t, uint32_t slots, unsigned int *completions)
{
	struct engine *e = t->engine_data;
	const uint64_t before = t->stats.slots - sgring_tx_queued(t);
	unsigned int notifications = 0, all, n;
	const struct request *r;

	/* Without requests that wait for it, it is the socket that tells of room. */
	if (!e->out || !sgring_uring_can_wait(&e->u) ||
	    (!e->asked && (e->chain.first || t->blocked == SGRING_TX_FULL)))
		return NULL;
	for (r = e->chain.first; r; r = r->next)
		notifications += !r->answered && r->op != IORING_OP_SEND;
	/* Of slots, as it was so far; and for each that goes another has room. */
	n = before ? (unsigned int)(slots * t->stats.sends / before) : slots;
	n += n < e->asked ? n : e->asked;
	/*
	 * A chain's last answer lets the next one begin. Notifications come in turn: by
	 * then there will be as many to come as now.
	 */
	all = e->asked + notifications;
	if (!e->asked || e->upto == t->next)
		all += e->out - e->asked;
	/* Few that would be left are not worth a wait of their own. */
	*completions = n + n / 2 < all ? n : all;
	return &e->u;
}

static uint32_t uring_outstanding(const struct sgring_tx *t)
{
	return ((const struct engine *)t->engine_data)->out;
}

/* The connection was reset, which ends most; these may wait for something else. */
static void uring_abort(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;
	struct io_uring_sqe *sqe;

	if (!e->out)
		return;
	sqe = io_uring_get_sqe(&e->u.ring);
	if (sqe) {
		io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
		io_uring_sqe_set_data64(sqe, CANCEL);
	}
	hand_over(t);
}

static void uring_connected(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;

	e->trouble = 0;
	e->limited = UINT64_MAX;
}

/* --- opening and closing */

static void uring_close(struct sgring_tx *t)
{
	struct engine *e = t->engine_data;

	e->u.abandoned = e->out;
	sgring_uring_close(&e->u);
	free(e->all);
	free(e);
	t->engine_data = NULL;
}

static int has_what_it_takes(void)
{
	const struct sgring_uring_caps *caps;
	int err;

	caps = sgring_uring_probe(&err);
	if (!caps)
		return err;
	if (!sgring_uring_has(caps, IORING_OP_SENDMSG_ZC))
		return sgring_fail(EOPNOTSUPP, "io_uring of this kernel cannot send without a copy (Linux 6.1 can)");
	if (!caps->report_usage)
		return sgring_fail(EOPNOTSUPP, "io_uring of this kernel does not tell whether it copies (Linux 6.2 does)");
	return 0;
}

/* Pinned for each request, or once for all. */
static int choose_charges(struct sgring_tx *t, uint32_t method)
{
	struct engine *e = t->engine_data;
	uint64_t limit = sgring_memlock_limit();
	int err;

	e->piece_max = PIECE_MAX;
	e->charge_max = UINT64_MAX;
	if (method == SGRING_TX_URING_FIXED)
		return sgring_uring_register(&e->u);
	err = sgring_tx_limit_messages(t);
	if (err || limit == UINT64_MAX)
		return err;
	/* A try when the socket is full is charged, and the next one again. */
	while (e->piece_max > PIECE_MIN && e->piece_max > limit / 8)
		e->piece_max /= 2;
	e->charge_max = limit / e->page / 2;
	return 0;
}

static int uring_open(struct sgring_tx *t, uint32_t method)
{
	const bool fixed = method == SGRING_TX_URING_FIXED;
	const bool sqpoll = t->options.flags & SGRING_TX_SQPOLL;
	struct engine *e;
	unsigned int i;
	int err;

	err = has_what_it_takes();
	if (err)
		return err;
	if (fixed && !sgring_tx_stream(t) && !sgring_tx_raw(t))
		return sgring_fail(EOPNOTSUPP, "a datagram with a frame is not one piece of registered memory");
	e = calloc(1, sizeof(*e));
	if (!e)
		return sgring_fail(ENOMEM, "no memory");
	t->engine_data = e;
	list_init(&e->chain);
	list_init(&e->finished);
	e->limited = UINT64_MAX;
	e->links = e->links_next = LINKED_CHAINS;
	e->chain_max = sgring_tx_stream(t) ? REQUESTS : DATAGRAMS;
	e->page = (size_t)sysconf(_SC_PAGESIZE);
	e->all = calloc(REQUESTS, sizeof(*e->all));
	for (i = REQUESTS; e->all && i--; ) {
		e->all[i].next = e->unused;
		e->unused = &e->all[i];
	}
	err = e->all ? sgring_uring_open(&e->u, t->stream, REQUESTS, 2 * REQUESTS + 16, sqpoll) :
	      sgring_fail(ENOMEM, "no memory");
	if (!err)
		err = choose_charges(t, method);
	if (err) {
		uring_close(t);
		return err;
	}
	t->batch = sgring_tx_batch(t);
	snprintf(t->choice, sizeof(t->choice), "io_uring, %s%s: %s",
		 fixed ? "from registered buffers, the reference gate is off" : "SEND_ZC",
		 sqpoll ? ", submitted by a kernel thread" : "",
		 t->options.method == method ? "as asked for" :
		 fixed ? "nothing is pinned or looked up for a send" :
		 "many slots in a system call, no copy of small ones either");
	return 0;
}

const struct sgring_tx_engine sgring_tx_uring = {
	.open = uring_open,
	.connected = uring_connected,
	.push = uring_push,
	.reap = uring_reap,
	.pollfds = uring_pollfds,
	.ring = uring_ring,
	.outstanding = uring_outstanding,
	.abort = uring_abort,
	.close = uring_close,
};

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the engine sendmsg(2), with MSG_ZEROCOPY or copying
 *
 * With MSG_ZEROCOPY each message that accepts bytes gets the socket's next
 * number, from 0. The kernel reports ranges of numbers on the error queue once
 * nothing holds their pages any more, which for TCP means acknowledged or thrown
 * away.
 *
 * A datagram that failed may have got a number too: when it was made and then
 * dropped, as by a full qdisc, but not when a limit kept it from being made. In
 * the first case its notification is there before sendmsg() returns, which tells.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/errqueue.h>	/* needs time.h */

#include "tx.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

#define BATCH 16			/* notifications in one system call */
#define WORTHWHILE 16384U		/* smaller messages gain nothing */
#define DROPPED UINT32_MAX		/* items of a datagram that was */

/**
 * struct msg - the engine's own
 * @loans: messages
 * @let_go: counts them
 */
struct msg {
	struct sgring_loans loans;
	uint64_t let_go;
};

static bool zerocopy(const struct sgring_tx *t)
{
	return t->method == SGRING_TX_ZEROCOPY;
}

static int switch_on(struct sgring_tx *t)
{
	const int one = 1;

	if (setsockopt(t->fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		return sgring_fail(EOPNOTSUPP, "this kernel has no MSG_ZEROCOPY for such a socket");
	return 0;
}

static int msg_open(struct sgring_tx *t, uint32_t method)
{
	const bool wanted = t->options.method == method;
	size_t bytes = sgring_tx_message_bytes(t);
	struct msg *m;
	int err;

	if (method == SGRING_TX_ZEROCOPY) {
		if (!wanted && bytes < WORTHWHILE)
			return sgring_fail(EOPNOTSUPP,
					   "messages of %s gain nothing by MSG_ZEROCOPY, only those from %s on",
					   sgring_size_text(bytes), sgring_size_text(WORTHWHILE));
		err = switch_on(t);
		if (!err)
			err = sgring_tx_limit_messages(t);
		if (err)
			return err;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return sgring_fail(ENOMEM, "no memory");
	err = sgring_loans_init(&m->loans, 4 * t->stream->geometry.slot_count);
	if (err) {
		free(m);
		return err;
	}
	t->engine_data = m;
	if (!sgring_tx_stream(t) && bytes > t->stream->geometry.slot_bytes)
		t->batch = sgring_tx_batch(t);
	snprintf(t->choice, sizeof(t->choice), "%s: %s",
		 method == SGRING_TX_ZEROCOPY ? "sendmsg with MSG_ZEROCOPY" : "sendmsg, copying",
		 wanted ? "as asked for" : method == SGRING_TX_ZEROCOPY ?
		 "the messages are large enough to gain by it" : "nothing better works here");
	return 0;
}

static void msg_connected(struct sgring_tx *t)
{
	struct msg *m = t->engine_data;

	m->loans.first = m->loans.next = 0;
	if (zerocopy(t))
		switch_on(t);
}

static uint32_t msg_outstanding(const struct sgring_tx *t)
{
	const struct msg *m = t->engine_data;

	return sgring_loans_out(&m->loans);
}

static void let_go(void *context, const struct sgring_loan *loan)
{
	struct sgring_tx *t = context;

	if (loan->items == DROPPED)
		return;
	((struct msg *)t->engine_data)->let_go++;
	sgring_tx_let_go_all(t, loan->first, loan->items);
}

/* The notifications of one message of the error queue. */
static void take_message(struct sgring_tx *t, struct msghdr *msg)
{
	struct msg *m = t->engine_data;
	const struct sock_extended_err *e;
	struct cmsghdr *c;
	uint64_t before;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (!(c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		e = (const void *)CMSG_DATA(c);
		if (e->ee_origin != SO_EE_ORIGIN_ZEROCOPY) {
			sgring_tx_told(t, (int)e->ee_errno);
			continue;
		}
		if (e->ee_errno)
			continue;
		before = m->let_go;
		if (sgring_loans_done(&m->loans, e->ee_info, e->ee_data, let_go, t) < 0)
			t->stats.strange++;
		if (m->let_go != before)
			sgring_tx_reported(t, m->let_go - before,
					   e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
	}
}

static int msg_reap(struct sgring_tx *t)
{
	union {
		struct cmsghdr align;
		char bytes[128];
	} control[BATCH];
	struct mmsghdr msgs[BATCH];
	char text[128];
	int i, n;

	do {
		memset(msgs, 0, sizeof(msgs));
		for (i = 0; i < BATCH; i++) {
			msgs[i].msg_hdr.msg_control = &control[i];
			msgs[i].msg_hdr.msg_controllen = sizeof(control[i]);
		}
		t->stats.calls++;
		t->stream->notify_calls++;
		n = t->stream->be->recvmmsg(t->stream->be, t->fd, msgs, BATCH,
					    MSG_ERRQUEUE | MSG_DONTWAIT);
		if (n > 0)
			sgring_tx_ask(t);
		for (i = 0; i < n; i++)
			take_message(t, &msgs[i].msg_hdr);
	} while (n == BATCH || n == -EINTR);
	if (n < 0 && n != -EAGAIN)
		return sgring_fail(-n, "%s: cannot read notifications: %s", t->peer,
				   sgring_strerror(n, text, sizeof(text)));
	return 0;
}

/* A message failed: had it got a number? Then its notification is there. */
static int settle_number(struct sgring_tx *t)
{
	struct sgring_loans *l = &((struct msg *)t->engine_data)->loans;
	uint32_t number = l->next;
	int err;

	sgring_loans_add(l, 0, DROPPED);	/* there is room: it was reserved */
	err = msg_reap(t);
	if (l->ring[number & (l->room - 1)].items == DROPPED)
		l->next--;
	return err;
}

static int msg_push(struct sgring_tx *t)
{
	const struct sgring_backend *be = t->stream->be;
	const bool borrow = zerocopy(t);
	const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (borrow ? MSG_ZEROCOPY : 0);
	struct msg *own = t->engine_data;
	struct sgring_tx_message m;
	struct sgring_tx_item *item;
	struct msghdr msg;
	ssize_t n;
	int err;

	while (sgring_tx_queued(t)) {
		item = sgring_tx_item(t, t->head);
		m.header = m.data = 0;
		n = sgring_tx_hello_due(t, item) ? sgring_tx_hello(t, item) : 0;
		if (n >= 0) {
			if (!sgring_tx_message(t, t->head, item->done, t->next, 0, &m))
				return 0;
			err = borrow ? sgring_loans_reserve(&own->loans) : 0;
			if (err)
				return err;
			msg = (struct msghdr){ .msg_iov = m.iov, .msg_iovlen = m.iovs };
			t->stats.calls++;
			t->stream->send_calls++;
			n = be->sendmsg(be, t->fd, &msg, flags);
			if (n >= 0) {
				if (borrow) {
					sgring_loans_add(&own->loans, item->number, m.items);
					sgring_tx_lend_all(t, item->number, m.items);
				}
				sgring_tx_worked(t, t->back);
				sgring_tx_accepted(t, item->number, &m, (size_t)n);
				continue;
			}
			err = borrow && !sgring_tx_stream(t) ? settle_number(t) : 0;
			if (err)
				return err;
		}
		err = sgring_tx_trouble(t, (int)-n, m.header + m.data);
		if (err <= 0)
			return err;
	}
	return 0;
}

static unsigned int msg_pollfds(const struct sgring_tx *t, struct pollfd *fds, unsigned int room)
{
	bool full = t->blocked == SGRING_TX_FULL;

	/* Notifications and errors are always polled for. */
	if (!room || !(full || msg_outstanding(t)))
		return 0;
	fds[0] = (struct pollfd){ .fd = t->fd, .events = full ? POLLOUT : 0 };
	return 1;
}

static void msg_close(struct sgring_tx *t)
{
	struct msg *m = t->engine_data;

	sgring_loans_free(&m->loans);
	free(m);
}

const struct sgring_tx_engine sgring_tx_msg = {
	.open = msg_open,
	.connected = msg_connected,
	.push = msg_push,
	.reap = msg_reap,
	.pollfds = msg_pollfds,
	.outstanding = msg_outstanding,
	.close = msg_close,
};

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Senders: the bookkeeping alone, and with a socket that is told what to do.
 * test_sock.c has them over real sockets.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/errqueue.h>

#include <cmocka.h>

#include "pattern.h"
#include "sim.h"
#include "tx.h"

/* --- the numbers of pieces */

static uint32_t done_slots[4096];
static unsigned int done_count;

static void note_done(void *context, const struct sgring_loan *loan)
{
	(void)context;
	assert_int_equal(loan->items, 1);
	done_slots[done_count++] = loan->first;
}

static void lend(struct sgring_loans *l, uint32_t first, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		assert_int_equal(sgring_loans_reserve(l), 0);
		sgring_loans_add(l, first + i, 1);
	}
}

static void ranges_may_come_in_any_order_and_across_the_wrap(void **state)
{
	static const uint32_t starts[] = { 0, 5, 0xfffffff8, 0xffffffff, 0x7ffffffc };
	struct sgring_loans l;
	unsigned int i;
	uint32_t f;

	(void)state;
	for (i = 0; i < 5; i++) {
		f = starts[i];
		sgring_loans_init(&l, 1);
		l.first = l.next = f;
		done_count = 0;
		lend(&l, 100, 12);
		assert_int_equal(sgring_loans_done(&l, f + 8, f + 11, note_done, NULL), 4);
		assert_int_equal(sgring_loans_done(&l, f + 2, f + 2, note_done, NULL), 1);
		assert_int_equal(sgring_loans_out(&l), 12);
		assert_int_equal(sgring_loans_done(&l, f, f + 1, note_done, NULL), 2);
		assert_int_equal(sgring_loans_out(&l), 9);
		assert_int_equal(sgring_loans_done(&l, f + 3, f + 7, note_done, NULL), 5);
		assert_int_equal(sgring_loans_out(&l), 0);
		assert_int_equal(done_count, 12);
		assert_int_equal(done_slots[0], 108);
		assert_int_equal(done_slots[4], 102);
		assert_int_equal(done_slots[11], 107);
		sgring_loans_free(&l);
	}
}

static void ring_of_loans_grows_in_place_across_the_wrap(void **state)
{
	struct sgring_loans l;
	uint32_t i;

	(void)state;
	sgring_loans_init(&l, 1);
	l.first = l.next = 0xffffffe0;
	done_count = 0;
	lend(&l, 0, 1000);
	assert_true(l.room >= 1000);
	assert_int_equal(sgring_loans_done(&l, 0xffffffe0, 0xffffffe0 + 999, note_done, NULL), 1000);
	for (i = 0; i < 1000; i++)
		assert_int_equal(done_slots[i], i);
	assert_int_equal(sgring_loans_out(&l), 0);
	sgring_loans_free(&l);
}

static void numbers_never_lent_change_nothing(void **state)
{
	struct sgring_loans l;

	(void)state;
	sgring_loans_init(&l, 1);
	done_count = 0;
	assert_int_equal(sgring_loans_done(&l, 0, 0, note_done, NULL), -EPROTO);
	lend(&l, 0, 4);
	assert_int_equal(sgring_loans_done(&l, 2, 4, note_done, NULL), -EPROTO);
	assert_int_equal(sgring_loans_done(&l, 3, 2, note_done, NULL), -EPROTO);
	assert_int_equal(sgring_loans_done(&l, 0xffffffff, 2, note_done, NULL), -EPROTO);
	assert_int_equal(done_count, 0);
	assert_int_equal(sgring_loans_done(&l, 0, 1, note_done, NULL), 2);
	assert_int_equal(sgring_loans_done(&l, 0, 0, note_done, NULL), -EPROTO);
	/* Inside the window, but let go of before: the others still count. */
	assert_int_equal(sgring_loans_done(&l, 3, 3, note_done, NULL), 1);
	assert_int_equal(sgring_loans_done(&l, 2, 3, note_done, NULL), -EPROTO);
	assert_int_equal(done_count, 4);
	assert_int_equal(sgring_loans_out(&l), 0);
	sgring_loans_free(&l);
}

/* --- a listener, and a connection that nobody reads unless the test does */

static int listen_any(int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static const char *url(const char *scheme, int port)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s127.0.0.1:%d", scheme, port);
	return text;
}

/* --- a socket that is told what to do */

#define RAW SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY, .flags = SGRING_TX_RAW)
#define FRAMED SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY)

struct fake {
	struct sim sim;
	struct sgring *s;
	struct sgring_tx *t;
	struct sgring_tx *other;	/* never full, but for other_full */
	bool other_full, other_lets_go;
	int listener, port;
	unsigned char *wire;		/* what was accepted, from the first of it on */
	size_t wire_bytes;
	size_t iovs;			/* of the last message */
	bool dropped;			/* what fails got a number and was dropped */
	ssize_t answers[64];		/* of sendmsg; 0: takes it all */
	unsigned int answer_count, sends;
	bool last_for_ever;
	size_t asked[64];
	unsigned int hellos;		/* datagrams; sent whenever it is time for one */
	struct {
		uint32_t low, high;
		uint8_t code;
	} notes[256];
	unsigned int note_first, note_count;
	void (*on_wait)(struct fake *f);	/* sender waits on its socket */
	int (*sim_poll)(const struct sgring_backend *be, struct pollfd *fds, unsigned int n,
			int64_t timeout_ns);
	unsigned int waits;
	short events[64];
};

static struct fake *fake_of(const struct sgring_backend *be)
{
	return (struct fake *)(uintptr_t)be;
}

static struct sgring_loans *loans_of(const struct sgring_tx *t)
{
	return t->engine_data;	/* its first member */
}

static struct sgring_loans *loans(struct fake *f)
{
	return loans_of(f->t);
}

static void note(struct fake *f, uint32_t low, uint32_t high, uint8_t code)
{
	f->notes[f->note_count].low = low;
	f->notes[f->note_count].high = high;
	f->notes[f->note_count++].code = code;
}

#define WIRE (4U << 20)

static void keep(struct fake *f, const struct msghdr *msg, size_t bytes)
{
	size_t i, n;

	if (!f->wire)
		f->wire = malloc(WIRE);
	for (i = 0; bytes; i++, bytes -= n) {
		n = msg->msg_iov[i].iov_len < bytes ? msg->msg_iov[i].iov_len : bytes;
		assert_true(f->wire_bytes + n <= WIRE);
		memcpy(f->wire + f->wire_bytes, msg->msg_iov[i].iov_base, n);
		f->wire_bytes += n;
	}
}

static ssize_t fake_sendmsg(const struct sgring_backend *be, int fd, const struct msghdr *msg, int flags)
{
	struct fake *f = fake_of(be);
	ssize_t answer = 0;
	size_t bytes = 0, i;

	assert_true(flags & MSG_DONTWAIT);
	assert_true(flags & MSG_NOSIGNAL);
	for (i = 0; i < msg->msg_iovlen; i++)
		bytes += msg->msg_iov[i].iov_len;
	if (f->other && fd == f->other->fd)
		return f->other_full ? -EAGAIN : (ssize_t)bytes;
	/* Only a hello by itself is copied. It is told nothing, and always taken. */
	if (f->t->kind == &sgring_tx_udp && bytes == SGRING_HELLO_BYTES) {
		assert_false(flags & MSG_ZEROCOPY);
		f->hellos++;
		keep(f, msg, bytes);
		return (ssize_t)bytes;
	}
	assert_true(flags & MSG_ZEROCOPY);
	f->asked[f->sends % 64] = bytes;
	if (f->sends < f->answer_count)
		answer = f->answers[f->sends];
	else if (f->last_for_ever)
		answer = f->answers[f->answer_count - 1];
	f->sends++;
	f->iovs = msg->msg_iovlen;
	if (answer < 0) {
		if (f->dropped)
			note(f, loans(f)->next, loans(f)->next, 0);
		return answer;
	}
	keep(f, msg, answer ? (size_t)answer : bytes);
	return answer ? answer : (ssize_t)bytes;
}

static int fake_recvmmsg(const struct sgring_backend *be, int fd, struct mmsghdr *msgs,
			 unsigned int n, int flags)
{
	struct fake *f = fake_of(be);
	struct sock_extended_err e;
	struct cmsghdr *c;
	unsigned int i;

	assert_int_equal(flags, MSG_ERRQUEUE | MSG_DONTWAIT);
	if (f->other && fd == f->other->fd) {
		struct sgring_loans *l = loans_of(f->other);

		if (!f->other_lets_go || !sgring_loans_out(l))
			return -EAGAIN;
		f->notes[--f->note_first].low = l->first;	/* there is room before the first */
		f->notes[f->note_first].high = l->next - 1;
		f->notes[f->note_first].code = 0;
		n = 1;
	}
	for (i = 0; i < n && f->note_first < f->note_count; i++, f->note_first++) {
		e = (struct sock_extended_err){
			.ee_origin = SO_EE_ORIGIN_ZEROCOPY,
			.ee_info = f->notes[f->note_first].low,
			.ee_data = f->notes[f->note_first].high,
			.ee_code = f->notes[f->note_first].code,
		};
		c = CMSG_FIRSTHDR(&msgs[i].msg_hdr);
		c->cmsg_level = SOL_IP;
		c->cmsg_type = IP_RECVERR;
		c->cmsg_len = CMSG_LEN(sizeof(e));
		memcpy(CMSG_DATA(c), &e, sizeof(e));
	}
	return i ? (int)i : -EAGAIN;
}

static int fake_poll(const struct sgring_backend *be, struct pollfd *fds, unsigned int n,
		     int64_t timeout_ns)
{
	struct fake *f = fake_of(be);
	struct timespec ms = { .tv_nsec = 1000000 };

	if (!f->t || !n || fds[0].fd != f->t->fd) {
		if (n > 2 && fds[0].fd == f->sim.fd) {
			fds[1] = fds[n - 1];	/* the sockets have nothing of their own to say */
			n = 2;
		}
		return f->sim_poll(be, fds, n, timeout_ns);
	}
	f->events[f->waits++ % 64] = fds[0].events;
	if (f->on_wait)
		f->on_wait(f);
	else
		nanosleep(&ms, NULL);
	fds[0].revents = f->note_first < f->note_count ? POLLERR : 0;
	return f->note_first < f->note_count;
}

static void let_go_of_the_oldest(struct fake *f)
{
	note(f, loans(f)->first, loans(f)->first, 0);
}

/* A wait for the device would be one for the sender as soon as that has something queued. */
static void wait_for_all_slots(struct fake *f)
{
	const uint32_t slots = sgring_geometry(f->s)->slot_count;
	unsigned int ms;

	for (ms = 0; ms < 10000 && sim_slots_in(&f->sim, SGRING_SLOT_APP) < slots; ms++)
		usleep(1000);
	assert_int_equal(sim_slots_in(&f->sim, SGRING_SLOT_APP), slots);
}

/* A stream whose sender has the fake socket, and all of whose slots are filled. */
static struct fake *fake_new_with(const struct sgring_options *o, const char *scheme,
				  const struct sgring_tx_options *tx)
{
	struct fake *f = calloc(1, sizeof(*f));

	f->note_first = f->note_count = 64;
	sim_init(&f->sim);
	f->listener = listen_any(&f->port);
	if (sim_open(&f->sim, &f->s, o) ||
	    sgring_tx_open(&f->t, f->s, url(scheme, f->port), tx) || sgring_start(f->s))
		fail_msg("%s", sgring_errmsg());
	wait_for_all_slots(f);
	f->sim_poll = f->sim.be.poll;
	f->sim.be.sendmsg = fake_sendmsg;
	f->sim.be.recvmmsg = fake_recvmmsg;
	f->sim.be.poll = fake_poll;
	return f;
}

static struct fake *fake_new(const struct sgring_options *o)
{
	return fake_new_with(o, "tcp://", RAW);
}

#define FOUR SGRING_OPTIONS(.slot_count = 4)
/* Where a peer that takes nothing shall be given up. */
#define FOUR_IMPATIENT SGRING_OPTIONS(.slot_count = 4, .send_timeout_ms = 300)

static void fake_free(struct fake *f)
{
	/* The rest is let go of, so that closing does not wait for nothing. */
	if (!f->on_wait)
		f->on_wait = let_go_of_the_oldest;
	sgring_close(f->s);
	sim_fini(&f->sim);
	close(f->listener);
	free(f->wire);
	free(f);
}

static struct sgring_tx_stats tx_stats(struct fake *f)
{
	struct sgring_tx_stats st;

	sgring_tx_stats(f->t, &st);
	return st;
}

static uint64_t returned(struct fake *f)
{
	struct sgring_counters c;

	sgring_counters(f->s, &c);
	return c.returned;
}

static void next_and_send(struct fake *f)
{
	struct sgring_slot b;

	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
}

static void slot_returns_only_with_its_last_piece(void **state)
{
	struct fake *f = fake_new(FOUR);

	(void)state;
	f->answers[0] = 1000;
	f->answers[1] = 30000;
	f->answer_count = 2;
	next_and_send(f);
	assert_int_equal(f->sends, 3);
	assert_int_equal(f->asked[0], 65536);
	assert_int_equal(f->asked[1], 64536);
	assert_int_equal(f->asked[2], 34536);
	assert_int_equal(tx_stats(f).partial, 2);
	assert_int_equal(tx_stats(f).bytes, 65536);
	assert_int_equal(tx_stats(f).held, 1);
	note(f, 2, 2, 0);
	sgring_senders_work(f->s);
	note(f, 0, 0, 0);
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 0);
	note(f, 1, 1, 0);
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 1);
	assert_int_equal(tx_stats(f).held, 0);
	assert_int_equal(tx_stats(f).zerocopy, 3);
	fake_free(f);
}

static void slots_return_in_the_order_the_kernel_lets_go(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b[3];
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		assert_int_equal(sgring_next(f->s, &b[i], 5000), 0);
		assert_int_equal(sgring_tx_send(f->t, &b[i]), 0);
	}
	note(f, 2, 2, 0);
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 1);
	assert_false(f->t->with[b[2].index]);
	assert_true(f->t->with[b[0].index]);
	note(f, 0, 1, 0);
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 3);
	assert_int_equal(tx_stats(f).outstanding, 0);
	fake_free(f);
}

static void piece_numbers_wrap_at_32_bits(void **state)
{
	struct fake *f = fake_new(FOUR);
	uint32_t id = 0xfffffffd, i;

	(void)state;
	loans(f)->first = loans(f)->next = id;
	for (i = 0; i < 4; i++)
		next_and_send(f);
	note(f, id, id + 3, 0);
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 4);
	assert_int_equal(tx_stats(f).strange, 0);
	/* The next number is 1. */
	next_and_send(f);
	note(f, 1, 1, 0);
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 5);
	fake_free(f);
}

static void copied_ranges_are_counted_apart(void **state)
{
	struct fake *f = fake_new(FOUR);
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		next_and_send(f);
	note(f, 0, 0, 0);
	note(f, 1, 3, SO_EE_CODE_ZEROCOPY_COPIED);
	sgring_senders_work(f->s);
	assert_int_equal(tx_stats(f).zerocopy, 1);
	assert_int_equal(tx_stats(f).copied, 3);
	fake_free(f);
}

static void strange_notifications_are_counted_and_return_nothing(void **state)
{
	struct fake *f = fake_new(FOUR);

	(void)state;
	next_and_send(f);
	note(f, 7, 9, 0);
	note(f, 0, 0xffffffff, 0);
	sgring_senders_work(f->s);
	assert_int_equal(tx_stats(f).strange, 2);
	assert_int_equal(tx_stats(f).held, 1);
	note(f, 0, 0, 0);
	fake_free(f);
}

static void full_socket_makes_nobody_wait_but_the_next_wait(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b;

	(void)state;
	f->answers[1] = -EAGAIN;
	f->answers[2] = 5000;
	f->answers[3] = -EAGAIN;
	f->answers[4] = -EAGAIN;
	f->answer_count = 5;
	next_and_send(f);
	next_and_send(f);		/* -EAGAIN */
	assert_int_equal(f->waits, 0);
	assert_int_equal(tx_stats(f).queued, 1);
	next_and_send(f);		/* 5000 of the second, -EAGAIN */
	assert_int_equal(f->waits, 0);
	assert_int_equal(tx_stats(f).queued, 2);
	assert_int_equal(tx_stats(f).bytes, 65536 + 5000);
	next_and_send(f);		/* -EAGAIN; from now on it takes everything */
	assert_int_equal(tx_stats(f).full_waits, 3);
	assert_int_equal(tx_stats(f).held, 4);
	f->on_wait = let_go_of_the_oldest;
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	assert_int_equal(tx_stats(f).queued, 0);
	assert_int_equal(tx_stats(f).bytes, 4 * 65536);
	assert_int_equal(f->asked[5], 60536);
	sgring_return(f->s, &b);
	fake_free(f);
}

static void full_socket_is_waited_for_with_pollout(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct pollfd fds[2];

	(void)state;
	f->answers[0] = -EAGAIN;
	f->answers[1] = -EAGAIN;
	f->answer_count = 2;
	next_and_send(f);
	assert_int_equal(sgring_tx_pollfds(f->t, fds, 1), 1);
	assert_int_equal(fds[0].fd, f->t->fd);
	assert_int_equal(fds[0].events, POLLOUT);
	/* And a timer: the peer may take nothing for too long. */
	assert_int_equal(sgring_tx_pollfds(f->t, fds, 2), 2);
	assert_int_equal(fds[1].events, POLLIN);
	f->on_wait = let_go_of_the_oldest;
	assert_int_equal(sgring_tx_flush(f->t, 5000), 0);
	assert_int_equal(f->events[0], POLLOUT);
	assert_int_equal(f->events[1], 0);
	assert_int_equal(returned(f), 1);
	assert_int_equal(sgring_tx_pollfds(f->t, fds, 2), 0);
	fake_free(f);
}

static void all_notifications_are_taken_however_many(void **state)
{
	struct fake *f = fake_new(FOUR);
	uint32_t i;

	(void)state;
	for (i = 0; i < 40; i++)
		f->answers[i] = 1000;
	f->answer_count = 40;
	next_and_send(f);
	assert_int_equal(f->sends, 41);
	for (i = 0; i < 41; i++)
		note(f, 40 - i, 40 - i, 0);
	sgring_senders_work(f->s);
	assert_int_equal(tx_stats(f).outstanding, 0);
	assert_int_equal(returned(f), 1);
	fake_free(f);
}

static void nobufs_with_sends_outstanding_waits_for_them(void **state)
{
	struct fake *f = fake_new(FOUR);

	(void)state;
	f->answers[2] = -ENOBUFS;
	f->answers[3] = -ENOBUFS;
	f->answer_count = 4;
	next_and_send(f);
	next_and_send(f);
	next_and_send(f);
	assert_int_equal(tx_stats(f).queued, 1);
	f->on_wait = let_go_of_the_oldest;
	assert_int_equal(sgring_tx_flush(f->t, 5000), 0);
	assert_int_equal(tx_stats(f).nobufs_waits, 2);
	/* Room in the socket would not help: it is not asked for. */
	assert_int_equal(f->events[0], 0);
	assert_int_equal(tx_stats(f).slots, 3);
	assert_int_equal(returned(f), 3);
	fake_free(f);
}

static void nobufs_with_nothing_outstanding_fails_and_names_a_limit(void **state)
{
	struct fake *f = fake_new(FOUR_IMPATIENT);
	struct sgring_slot b;

	(void)state;
	f->answers[0] = -ENOBUFS;
	f->answer_count = 1;
	f->last_for_ever = true;
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	/* Without a limit on locked memory it is optmem: hopeless at once. Else it may pass. */
	if (!sgring_tx_send(f->t, &b))
		assert_int_equal(sgring_tx_flush(f->t, -1), -ENOBUFS);
	assert_int_equal(sgring_tx_error(f->t), -ENOBUFS);
	assert_true(strstr(sgring_errmsg(), "RLIMIT_MEMLOCK is") ||
		    strstr(sgring_errmsg(), "net.core.optmem_max is"));
	assert_non_null(strstr(sgring_errmsg(), "raise it"));
	assert_int_equal(returned(f), 1);
	assert_int_equal(tx_stats(f).unsent_slots, 1);
	fake_free(f);
}

static void stalled_peer_fails_after_the_timeout(void **state)
{
	struct fake *f = fake_new(FOUR_IMPATIENT);
	struct sgring_slot b;

	(void)state;
	f->answers[0] = 100;
	f->answers[1] = -EAGAIN;
	f->answer_count = 2;
	f->last_for_ever = true;
	next_and_send(f);
	sgring_return(f->s, (sgring_next(f->s, &b, 5000), &b));
	while (!sgring_next(f->s, &b, -1))
		sgring_return(f->s, &b);
	assert_int_equal(sgring_tx_error(f->t), -ETIMEDOUT);
	assert_non_null(strstr(sgring_errmsg(), "took nothing for 300 ms"));
	/* Its first bytes are still lent. */
	assert_true(f->t->held);
	note(f, 0, 0, 0);
	sgring_senders_work(f->s);
	assert_false(f->t->held);
	fake_free(f);
}

static void failure_is_told_by_send_then_once_by_next_then_by_close(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b;

	(void)state;
	f->answers[0] = -ECONNRESET;
	f->answer_count = 1;
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	assert_int_equal(sgring_tx_send(f->t, &b), -ECONNRESET);
	assert_int_equal(sgring_next(f->s, &b, 5000), -ECONNRESET);
	assert_non_null(strstr(sgring_errmsg(), "127.0.0.1"));
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	/* A failed sender takes slots and gives them back at once. */
	assert_int_equal(sgring_tx_send(f->t, &b), -ECONNRESET);
	assert_int_equal(f->sends, 1);
	assert_int_equal(returned(f), 2);
	assert_int_equal(sgring_tx_flush(f->t, 1000), -ECONNRESET);
	assert_int_equal(sgring_close(f->s), -ECONNRESET);
	f->s = NULL;
	fake_free(f);
}

static void slots_the_kernel_never_lets_go_of_are_never_returned(void **state)
{
	struct fake *f = fake_new(SGRING_OPTIONS(.slot_count = 4, .send_timeout_ms = 1000));

	(void)state;
	next_and_send(f);
	next_and_send(f);
	note(f, 0, 0, 0);
	assert_int_equal(sgring_tx_close(f->t), -ETIMEDOUT);
	f->t = NULL;
	assert_non_null(strstr(sgring_errmsg(), "still holds 1 slots"));
	assert_int_equal(returned(f), 1);
	fake_free(f);
}

static void wrong_slots_are_refused(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b, wrong;

	(void)state;
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	wrong = b;
	wrong.index = 4;
	assert_int_equal(sgring_tx_send(f->t, &wrong), -EINVAL);
	wrong = b;
	wrong.length++;
	assert_int_equal(sgring_tx_send(f->t, &wrong), -EINVAL);
	wrong = b;
	wrong.data--;
	assert_int_equal(sgring_tx_send(f->t, &wrong), -EINVAL);
	assert_int_equal(f->sends, 0);
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
	assert_int_equal(sgring_tx_send(f->t, &b), -EINVAL);
	assert_non_null(strstr(sgring_errmsg(), "being sent already"));
	assert_int_equal(f->sends, 1);
	note(f, 0, 0, 0);
	fake_free(f);
}

static void narrowed_and_empty_slots_are_sent_as_told(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b;

	(void)state;
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	b.data += 100;
	b.length = 200;
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
	assert_int_equal(f->asked[0], 200);
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	b.length = 0;
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
	assert_int_equal(f->sends, 1);
	assert_int_equal(returned(f), 1);
	note(f, 0, 0, 0);
	fake_free(f);
}

static uint64_t polls_before_it;

static void let_go_after_a_long_time(struct fake *f)
{
	struct sgring_counters c;

	if (f->waits == 1) {
		sgring_counters(f->s, &c);
		polls_before_it = c.polls;
	}
	usleep(30000);
	if (f->waits == 4)
		let_go_of_the_oldest(f);
}

/* All slots are in the sender, the device cannot do anything: who is waited for? */
static void next_waits_for_the_sender_when_it_has_every_slot(void **state)
{
	/* Nobody is to be kicked: after that the device is the one to wait for. */
	struct fake *f = fake_new(SGRING_OPTIONS(.slot_count = 4, .sq_idle_usec = 60000000));
	struct sgring_counters before;
	struct sgring_slot b;
	int i;

	(void)state;
	f->sim.plan.no_fill = true;	/* what it can fill is there at once */
	sim_replan(&f->sim);
	for (i = 0; i < 4; i++)
		next_and_send(f);
	sgring_counters(f->s, &before);
	/*
	 * The device cannot deliver: the sender's time-out counts, and the caller's only from
	 * when a slot is back.
	 */
	f->on_wait = let_go_after_a_long_time;
	while (sgring_next(f->s, &b, 20))
		assert_int_equal(returned(f), 1);
	assert_in_range(f->waits, 4, UINT_MAX);
	assert_int_equal(polls_before_it, before.polls);
	f->on_wait = NULL;
	sgring_return(f->s, &b);
	if (sgring_loans_out(loans(f)))
		note(f, loans(f)->first, loans(f)->next - 1, 0);
	fake_free(f);
}

static void close_sends_the_rest_if_all_went_to_the_sender(void **state)
{
	struct fake *f = fake_new(FOUR);
	unsigned int sent;

	(void)state;
	next_and_send(f);
	while (sgring_wait(f->s, 1000) || sim_slots_in(&f->sim, SGRING_SLOT_APP) < 4)
		;
	f->on_wait = let_go_of_the_oldest;
	assert_int_equal(sgring_close(f->s), 0);
	f->s = NULL;
	sent = f->sends;
	assert_int_equal(sent, 4);
	fake_free(f);

	/* One slot went another way: the rest is not the sender's. */
	f = fake_new(FOUR);
	{
		struct sgring_slot b;

		assert_int_equal(sgring_next(f->s, &b, 5000), 0);
		next_and_send(f);
		while (sim_slots_in(&f->sim, SGRING_SLOT_APP) < 4)
			;
		f->on_wait = let_go_of_the_oldest;
		assert_int_equal(sgring_close(f->s), 0);
		f->s = NULL;
		assert_int_equal(f->sends, 1);
	}
	fake_free(f);
}

/* --- frames */

static struct sgring_hello hello_at(struct fake *f, size_t *at)
{
	struct sgring_hello h;

	assert_true(*at + SGRING_HELLO_BYTES <= f->wire_bytes);
	if (sgring_hello_unpack(&h, f->wire + *at))
		fail_msg("%s", sgring_errmsg());
	*at += SGRING_HELLO_BYTES;
	return h;
}

/* The entry there, and its data, which is the device's. */
static struct sgring_cqe entry_at(struct fake *f, size_t *at, const struct sgring_hello *h)
{
	struct sgring_cqe e;

	assert_true(*at + SGRING_ENTRY_BYTES <= f->wire_bytes);
	if (sgring_entry_unpack(&e, f->wire + *at, h))
		fail_msg("%s", sgring_errmsg());
	*at += SGRING_ENTRY_BYTES;
	assert_true(*at + e.length_bytes <= f->wire_bytes);
	assert_int_equal(sgring_pattern_verify(f->wire + *at, e.length_bytes, sgring_pattern_key(0),
					       e.position_bytes), e.length_bytes);
	*at += e.length_bytes;
	return e;
}

static void let_go_of_everything(struct fake *f)
{
	if (sgring_loans_out(loans(f)))
		note(f, loans(f)->first, loans(f)->next - 1, 0);
	sgring_senders_work(f->s);
}

static void frames_on_the_wire_are_byte_exact(void **state)
{
	struct fake *f = fake_new_with(FOUR, "tcp://", FRAMED);
	struct timespec now;
	struct sgring_hello h;
	struct sgring_slot b[3];
	struct sgring_cqe e;
	size_t at = 0;
	int i;

	(void)state;
	/* The header is cut in the middle, twice, and the data once. */
	f->answers[0] = 100;
	f->answers[1] = 80;
	f->answers[2] = 1000;
	f->answer_count = 3;
	for (i = 0; i < 3; i++) {
		assert_int_equal(sgring_next(f->s, &b[i], 5000), 0);
		assert_int_equal(sgring_tx_send(f->t, &b[i]), 0);
	}
	assert_int_equal(f->sends, 6);
	assert_int_equal(f->asked[0], 128 + 64 + 65536);
	assert_int_equal(f->asked[1], 28 + 64 + 65536);
	assert_int_equal(f->asked[2], 12 + 65536);
	assert_int_equal(f->asked[3], 65536 - 988);
	assert_int_equal(f->asked[4], 64 + 65536);
	h = hello_at(f, &at);
	clock_gettime(CLOCK_MONOTONIC, &now);
	assert_int_equal(h.version, SGRING_FRAME_VERSION);
	assert_int_equal(h.epoch, 1);
	assert_int_equal(h.slot_count, 4);
	assert_int_equal(h.slot_bytes, 65536);
	assert_int_equal(h.align_bytes, 1);
	assert_int_not_equal(h.session, 0);
	assert_string_equal(h.label, "sim");
	assert_in_range(h.clock_ns, b[0].time_ns, (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec);
	for (i = 0; i < 3; i++) {
		e = entry_at(f, &at, &h);
		assert_int_equal(e.position_bytes, i * 65536);
		assert_int_equal(e.sequence, i);
		assert_int_equal(e.host_time_ns, b[i].time_ns);
		assert_int_equal(e.slot, b[i].index);
		assert_int_equal(e.flags, b[i].flags);
		assert_int_equal(e.engine_slots, b[i].engine_slots);
	}
	assert_int_equal(at, f->wire_bytes);
	assert_int_equal(tx_stats(f).bytes, 3 * 65536);
	assert_int_equal(tx_stats(f).frame_bytes, 128 + 3 * 64);
	/* They are lent too: nothing of a slot is let go of before its frame. */
	assert_int_equal(tx_stats(f).outstanding, 6);
	let_go_of_everything(f);
	fake_free(f);
}

static void frames_of_narrowed_and_failed_slots_tell_where_they_are(void **state)
{
	struct fake *f;
	struct sgring_hello h;
	struct sgring_slot b;
	struct sgring_cqe e;
	size_t at = 0;

	(void)state;
	f = fake_new_with(SGRING_OPTIONS(.slot_count = 8), "tcp://", FRAMED);
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	b.data += 100;
	b.length = 200;
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	b.length = 0;
	b.status = -EIO;
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
	h = hello_at(f, &at);
	e = entry_at(f, &at, &h);
	assert_int_equal(e.position_bytes, 100);
	assert_int_equal(e.length_bytes, 200);
	e = entry_at(f, &at, &h);
	assert_int_equal(e.position_bytes, 65536);
	assert_int_equal(e.length_bytes, 0);
	assert_int_equal(e.status, -EIO);
	assert_int_equal(at, f->wire_bytes);
	let_go_of_everything(f);
	assert_int_equal(returned(f), 2);
	fake_free(f);
}

/* Also if the program has taken the end of the stream itself, as that of the README does. */
static void every_epoch_has_a_hello_and_an_end(void **state)
{
	struct fake *f = fake_new_with(FOUR, "tcp://", FRAMED);
	struct sgring_hello h1, h2;
	struct sgring_slot b;
	struct sgring_cqe e;
	uint64_t sent[2] = { 0, 0 };
	size_t at = 0;
	int round;

	(void)state;
	f->on_wait = let_go_of_the_oldest;
	for (round = 0; round < 2; round++) {
		if (round)
			assert_int_equal(sgring_start(f->s), 0);
		next_and_send(f);
		next_and_send(f);
		assert_true(sgring_stop(f->s, SGRING_STOP_DRAIN, 0) >= 0);
		sent[round] = 2;
		while (!sgring_next(f->s, &b, 5000)) {
			assert_int_equal(sgring_tx_send(f->t, &b), 0);
			sent[round]++;
		}
		assert_true(b.flags & SGRING_EOS);
		if (!round)
			assert_int_equal(sgring_tx_send(f->t, &b), 0);
		assert_int_equal(sgring_tx_flush(f->t, 5000), 0);
	}
	assert_int_equal(sgring_close(f->s), 0);
	f->s = NULL;
	h1 = hello_at(f, &at);
	for (; sent[0]; sent[0]--)
		entry_at(f, &at, &h1);
	e = entry_at(f, &at, &h1);
	assert_true(e.flags & SGRING_CQE_EOS);
	h2 = hello_at(f, &at);
	assert_int_equal(h2.session, h1.session);
	assert_int_equal(h2.epoch, h1.epoch + 1);
	e = entry_at(f, &at, &h2);
	assert_int_equal(e.position_bytes, 0);
	for (sent[1]--; sent[1]; sent[1]--)
		e = entry_at(f, &at, &h2);
	assert_int_equal(e.flags & SGRING_CQE_EOS, 0);
	e = entry_at(f, &at, &h2);
	assert_true(e.flags & SGRING_CQE_EOS);
	assert_int_equal(at, f->wire_bytes);
	fake_free(f);
}

/* --- who has a slot */

static void slot_returns_when_everybody_who_has_it_is_done(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_tx_stats st;
	struct sgring_slot b;
	int i;

	(void)state;
	assert_int_equal(sgring_tx_open(&f->other, f->s, url("tcp://", f->port), RAW), 0);
	f->other_full = true;
	for (i = 0; i < 2; i++) {
		assert_int_equal(sgring_next(f->s, &b, 5000), 0);
		assert_int_equal(sgring_hold(f->s, b.index), 0);
		assert_int_equal(sgring_tx_send(f->t, &b), 0);
		assert_int_equal(sgring_tx_send(f->other, &b), 0);
		assert_int_equal(sgring_tx_send(f->other, &b), -EINVAL);
		assert_int_equal(sgring_hold(f->s, b.index), -EINVAL);
		assert_int_equal(sgring_return(f->s, &b), -EINVAL);
		assert_non_null(strstr(sgring_errmsg(), "is being sent"));
	}
	/* The first is done with both, the other with nothing. */
	let_go_of_everything(f);
	assert_int_equal(tx_stats(f).held, 0);
	assert_int_equal(returned(f), 0);
	sgring_tx_stats(f->other, &st);
	assert_int_equal(st.held, 2);
	assert_int_equal(st.queued, 2);
	f->other_full = false;
	f->other_lets_go = true;
	assert_int_equal(sgring_tx_flush(f->other, 5000), 0);
	assert_int_equal(returned(f), 2);
	/* The other way round: the application keeps one hold for itself. */
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	assert_int_equal(sgring_hold(f->s, b.index), 0);
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
	assert_int_equal(sgring_return(f->s, &b), 0);
	assert_int_equal(returned(f), 2);
	let_go_of_everything(f);
	assert_int_equal(returned(f), 3);
	fake_free(f);
}

static void only_slots_of_the_application_can_be_held(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b;

	(void)state;
	assert_int_equal(sgring_hold(f->s, 4), -EINVAL);
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	assert_int_equal(sgring_hold(f->s, b.index), 0);
	assert_int_equal(sgring_return(f->s, &b), 0);
	assert_int_equal(returned(f), 0);
	assert_int_equal(sgring_return(f->s, &b), 0);
	assert_int_equal(returned(f), 1);
	/* What the device cannot fill any more stays the kernel's when it is returned. */
	f->sim.plan.pause_at = 0;
	assert_int_equal(sgring_wait(f->s, 5000), 0);
	assert_int_equal(sgring_stop(f->s, 0, 0), 0);
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	assert_int_equal(sgring_return(f->s, &b), 0);
	assert_int_equal(sgring_start(f->s), 0);
	while (sgring_load_relaxed(&sgring_slot_info(f->s, b.index)->state) == SGRING_SLOT_APP)
		;
	assert_int_equal(sgring_hold(f->s, b.index), -EINVAL);
	assert_non_null(strstr(sgring_errmsg(), "not with the application"));
	assert_int_equal(sgring_tx_send(f->t, &b), -EINVAL);
	fake_free(f);
}

/* --- a connection is lost */

static char said[16][512];
static unsigned int said_count;

static void hear(void *context, const char *line)
{
	assert_ptr_equal(context, said);
	snprintf(said[said_count++ % 16], sizeof(said[0]), "%s", line);
}

#define RECONNECT(ms) SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY, .reconnect_ms = (ms), \
					.say = hear, .context = said)

static void lost_connection_sends_again_just_what_was_not_let_go_of(void **state)
{
	struct fake *f;
	struct sgring_hello h1, h2;
	struct sgring_slot b;
	struct sgring_cqe e;
	size_t at = 0;
	int i, fd;

	(void)state;
	said_count = 0;
	f = fake_new_with(SGRING_OPTIONS(.slot_count = 8), "tcp://",
			  RECONNECT(60000));
	fd = accept(f->listener, NULL, NULL);
	next_and_send(f);
	next_and_send(f);
	next_and_send(f);
	let_go_of_the_oldest(f);
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 1);
	/* The fourth is cut in its middle. */
	f->answers[3] = 1000;
	f->answers[4] = -ECONNRESET;
	f->answer_count = 5;
	next_and_send(f);
	assert_int_equal(sgring_tx_error(f->t), 0);
	assert_int_equal(f->sends, 5);
	/* Nothing is sent anew before the old connection has let go of everything, */
	next_and_send(f);
	assert_int_equal(f->sends, 5);
	assert_int_equal(tx_stats(f).reconnects, 0);
	/* which is not what makes slots return. */
	note(f, 1, 3, 0);
	f->note_first = f->note_count - 1;
	sgring_senders_work(f->s);
	assert_int_equal(returned(f), 1);
	for (i = 0; i < 20000 && !tx_stats(f).reconnects; i++) {
		assert_int_equal(sgring_work(f->s), 0);
		usleep(1000);
	}
	assert_int_equal(tx_stats(f).reconnects, 1);
	assert_int_equal(tx_stats(f).resent_slots, 3);
	close(fd);
	fd = accept(f->listener, NULL, NULL);
	assert_int_equal(sgring_work(f->s), 0);
	assert_int_equal(tx_stats(f).queued, 0);

	h1 = hello_at(f, &at);
	for (i = 0; i < 3; i++) {
		e = entry_at(f, &at, &h1);
		assert_int_equal(e.sequence, i);
	}
	at += 1000;
	h2 = hello_at(f, &at);
	assert_int_equal(h2.session, h1.session);
	assert_int_equal(h2.epoch, h1.epoch);
	for (i = 1; i < 5; i++) {
		e = entry_at(f, &at, &h2);
		assert_int_equal(e.sequence, i);
	}
	assert_int_equal(at, f->wire_bytes);
	/* Numbers begin at 0 again. */
	assert_int_equal(sgring_loans_out(loans(f)), 4);
	assert_int_equal(loans(f)->first, 0);
	let_go_of_everything(f);
	assert_int_equal(returned(f), 5);
	assert_int_equal(tx_stats(f).unsent_slots, 0);
	assert_int_equal(said_count, 3);
	assert_non_null(strstr(said[1], "Connection reset by peer; trying to connect again for 60000 ms"));
	assert_non_null(strstr(said[2], "3 slots go again"));
	assert_int_equal(sgring_next(f->s, &b, 1000), 0);
	close(fd);
	fake_free(f);
}

static void reconnecting_is_given_up_after_its_time(void **state)
{
	struct fake *f;
	struct sgring_slot b;
	int err;

	(void)state;
	said_count = 0;
	f = fake_new_with(FOUR, "tcp://", RECONNECT(200));
	close(f->listener);
	f->listener = -1;
	f->answers[1] = -EPIPE;
	f->answer_count = 2;
	next_and_send(f);
	next_and_send(f);
	note(f, 0, 0, 0);
	while (!(err = sgring_next(f->s, &b, 5000)))
		sgring_return(f->s, &b);
	assert_int_equal(err, -EPIPE);
	assert_non_null(strstr(sgring_errmsg(), "no connection for 200 ms"));
	assert_non_null(strstr(sgring_errmsg(), "Connection refused"));
	assert_int_equal(tx_stats(f).unsent_slots, 2);
	assert_int_equal(tx_stats(f).held, 0);
	assert_int_equal(sgring_close(f->s), -EPIPE);
	f->s = NULL;
	fake_free(f);
}

/* --- datagrams */

#define DATAGRAMS(...) SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY, \
					 .say = hear, .context = said, __VA_ARGS__)

static void parts_of_a_slot_are_datagrams_of_their_own(void **state)
{
	const uint32_t part = 1400 - SGRING_ENTRY_BYTES;
	struct fake *f;
	struct sgring_hello h;
	struct sgring_slot b;
	struct sgring_cqe e;
	unsigned int n = 0;
	uint64_t at_slot = 0;
	size_t at = 0;

	(void)state;
	f = fake_new_with(FOUR, "udp://", DATAGRAMS(.datagram_bytes = 1400));
	next_and_send(f);
	assert_true(f->hellos);
	/* As many as a packet can hold pieces of memory: an entry and a part each. */
	assert_in_range(f->asked[0], 4 * 1400, 8 * 1400);
	assert_int_equal(f->asked[0] % 1400, 0);
	h = hello_at(f, &at);
	while (at < f->wire_bytes) {
		if (sgring_frame_is_hello(f->wire + at)) {
			h = hello_at(f, &at);
			continue;
		}
		e = entry_at(f, &at, &h);
		assert_int_equal(e.position_bytes, at_slot);
		assert_int_equal(e.sequence, 0);
		assert_int_equal(e.length_bytes, 65536 - at_slot < part ? 65536 - at_slot : part);
		at_slot += e.length_bytes;
		n++;
	}
	assert_int_equal(at_slot, 65536);
	assert_int_equal(n, 50);
	/* A hello was sent when it was opened, too. */
	assert_int_equal(tx_stats(f).frame_bytes, (1 + f->hellos) * 128 + 50 * 64);
	assert_int_equal(tx_stats(f).bytes, 65536);
	/* The end of the stream is a datagram too, more than once. */
	f->on_wait = let_go_of_the_oldest;
	assert_int_equal(sgring_stop(f->s, 0, 0), 0);
	while (!sgring_next(f->s, &b, 5000))
		assert_int_equal(sgring_tx_send(f->t, &b), 0);
	assert_int_equal(sgring_tx_send(f->t, &b), 0);
	assert_int_equal(f->asked[(f->sends - 1) % 64], 64);
	assert_int_equal(f->asked[(f->sends - 3) % 64], 64);
	assert_int_not_equal(f->asked[(f->sends - 4) % 64], 64);
	fake_free(f);
}

static void raw_datagrams_are_the_slot_and_nothing_else(void **state)
{
	struct fake *f;

	(void)state;
	f = fake_new_with(FOUR, "udp://", DATAGRAMS(.flags = SGRING_TX_RAW, .datagram_bytes = 1024));
	next_and_send(f);
	/* Sixteen pages, of 65507 bytes at most: 63 datagrams, then one. */
	assert_int_equal(f->sends, 2);
	assert_int_equal(f->asked[0], 63 * 1024);
	assert_int_equal(f->asked[1], 1024);
	assert_int_equal(f->iovs, 1);
	assert_int_equal(sgring_pattern_verify(f->wire, f->wire_bytes, sgring_pattern_key(0), 0),
			 65536);
	let_go_of_everything(f);
	fake_free(f);
}

/* What a full qdisc drops has got a number, what a limit refuses has not. */
static void full_qdisc_is_waited_out_and_numbers_stay_right(void **state)
{
	struct fake *f;

	(void)state;
	f = fake_new_with(FOUR, "udp://", DATAGRAMS(.flags = SGRING_TX_RAW));
	f->answers[1] = -ENOBUFS;
	f->answers[2] = -ENOBUFS;
	f->answer_count = 3;
	f->dropped = true;
	next_and_send(f);
	assert_int_equal(tx_stats(f).queued, 1);
	assert_int_equal(loans(f)->next, 2);
	assert_true(f->t->with[0]);
	f->on_wait = let_go_of_the_oldest;
	assert_int_equal(sgring_tx_flush(f->t, 5000), 0);
	assert_true(tx_stats(f).nobufs_waits >= 2);
	assert_int_equal(returned(f), 1);
	assert_int_equal(tx_stats(f).strange, 0);
	assert_int_equal(tx_stats(f).zerocopy + tx_stats(f).copied, tx_stats(f).sends);
	assert_int_equal(sgring_pattern_verify(f->wire, f->wire_bytes, sgring_pattern_key(0), 0),
			 65536);

	f->dropped = false;
	f->answers[f->sends] = -ENOBUFS;
	f->answer_count = f->sends + 1;
	f->on_wait = NULL;
	{
		uint32_t next = loans(f)->next;

		next_and_send(f);
		assert_int_equal(tx_stats(f).queued, 1);
		assert_int_equal(loans(f)->next, next);
	}
	f->on_wait = let_go_of_the_oldest;
	assert_int_equal(sgring_tx_flush(f->t, 5000), 0);
	assert_int_equal(returned(f), 2);
	fake_free(f);
}

static void nobody_there_is_said_once_and_ignored(void **state)
{
	struct fake *f;

	(void)state;
	said_count = 0;
	f = fake_new_with(FOUR, "udp://", DATAGRAMS(.flags = SGRING_TX_RAW));
	f->answers[0] = -ECONNREFUSED;
	f->answers[2] = -ECONNREFUSED;
	f->answer_count = 3;
	next_and_send(f);
	assert_int_equal(tx_stats(f).queued, 0);
	assert_int_equal(said_count, 2);
	assert_non_null(strstr(said[1], "Connection refused"));
	let_go_of_everything(f);
	fake_free(f);
}

static void several_at_once_refused_become_single_ones(void **state)
{
	static const int errors[] = { -EIO, -EINVAL, -EMSGSIZE };
	struct fake *f;
	unsigned int i, n;

	(void)state;
	for (i = 0; i < 3; i++) {
		said_count = 0;
		f = fake_new_with(FOUR, "udp://", DATAGRAMS(.datagram_bytes = 8192));
		/* Reports of datagrams long sent are told apart by their number. */
		n = errors[i] == -EMSGSIZE ? 16 : 1;
		for (f->answer_count = 0; f->answer_count < n; f->answer_count++)
			f->answers[f->answer_count] = errors[i];
		next_and_send(f);
		assert_int_equal(said_count, 2);
		assert_non_null(strstr(said[1], "one by one"));
		assert_int_equal(f->asked[n], 8192);
		assert_int_equal(tx_stats(f).bytes, 65536);
		let_go_of_everything(f);
		fake_free(f);
	}
}

/* --- ends of waits */

static void *cancel_soon(void *stream)
{
	usleep(20000);
	sgring_cancel(stream);
	return NULL;
}

static void cancel_ends_every_wait_from_then_on(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b;
	pthread_t thread;
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		next_and_send(f);
	pthread_create(&thread, NULL, cancel_soon, f->s);
	assert_int_equal(sgring_next(f->s, &b, -1), -EINTR);
	pthread_join(thread, NULL);
	assert_non_null(strstr(sgring_errmsg(), "cancel"));
	assert_int_equal(sgring_next(f->s, &b, -1), -EINTR);
	assert_int_equal(sgring_tx_flush(f->t, -1), -EINTR);
	let_go_of_everything(f);
	assert_int_equal(returned(f), 4);
	fake_free(f);

	/* In a wait for the device, too; and a close does not finish what is queued. */
	f = fake_new(FOUR);
	f->answers[0] = -EAGAIN;
	f->answer_count = 1;
	f->last_for_ever = true;
	f->sim.plan.pause_at = 4;
	sim_replan(&f->sim);
	next_and_send(f);
	pthread_create(&thread, NULL, cancel_soon, f->s);
	while (!(i = sgring_next(f->s, &b, -1)))
		sgring_return(f->s, &b);
	assert_int_equal(i, -EINTR);
	pthread_join(thread, NULL);
	assert_int_equal(sgring_close(f->s), -EINTR);
	f->s = NULL;
	fake_free(f);
}

static void event_loop_is_told_what_to_wait_for(void **state)
{
	struct fake *f;
	struct pollfd fds[2];
	uint64_t expired;

	(void)state;
	f = fake_new_with(FOUR, "udp://", DATAGRAMS(.flags = SGRING_TX_RAW));
	assert_int_equal(sgring_tx_pollfds(f->t, fds, 2), 0);
	f->answers[0] = -ENOBUFS;
	f->answer_count = 1;
	f->dropped = true;
	next_and_send(f);
	/* The device has no room, and nobody tells when it has: a timer. */
	assert_int_equal(sgring_tx_pollfds(f->t, fds, 2), 1);
	assert_int_not_equal(fds[0].fd, f->t->fd);
	assert_int_equal(poll(fds, 1, 5000), 1);
	assert_int_equal(read(fds[0].fd, &expired, sizeof(expired)), sizeof(expired));
	assert_int_equal(sgring_work(f->s), 0);
	assert_int_equal(tx_stats(f).queued, 0);
	let_go_of_everything(f);
	assert_int_equal(sgring_work(f->s), 0);
	assert_int_equal(returned(f), 1);
	fake_free(f);
}

static void work_tells_a_failure_once(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_slot b;

	(void)state;
	f->answers[0] = -ECONNRESET;
	f->answer_count = 1;
	assert_int_equal(sgring_next(f->s, &b, 5000), 0);
	assert_int_equal(sgring_tx_send(f->t, &b), -ECONNRESET);
	assert_int_equal(sgring_work(f->s), -ECONNRESET);
	assert_int_equal(sgring_work(f->s), 0);
	assert_int_equal(sgring_tx_error(f->t), -ECONNRESET);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_may_come_in_any_order_and_across_the_wrap),
		cmocka_unit_test(ring_of_loans_grows_in_place_across_the_wrap),
		cmocka_unit_test(numbers_never_lent_change_nothing),
		cmocka_unit_test(slot_returns_only_with_its_last_piece),
		cmocka_unit_test(slots_return_in_the_order_the_kernel_lets_go),
		cmocka_unit_test(piece_numbers_wrap_at_32_bits),
		cmocka_unit_test(copied_ranges_are_counted_apart),
		cmocka_unit_test(strange_notifications_are_counted_and_return_nothing),
		cmocka_unit_test(full_socket_makes_nobody_wait_but_the_next_wait),
		cmocka_unit_test(full_socket_is_waited_for_with_pollout),
		cmocka_unit_test(all_notifications_are_taken_however_many),
		cmocka_unit_test(nobufs_with_sends_outstanding_waits_for_them),
		cmocka_unit_test(nobufs_with_nothing_outstanding_fails_and_names_a_limit),
		cmocka_unit_test(stalled_peer_fails_after_the_timeout),
		cmocka_unit_test(failure_is_told_by_send_then_once_by_next_then_by_close),
		cmocka_unit_test(slots_the_kernel_never_lets_go_of_are_never_returned),
		cmocka_unit_test(wrong_slots_are_refused),
		cmocka_unit_test(narrowed_and_empty_slots_are_sent_as_told),
		cmocka_unit_test(next_waits_for_the_sender_when_it_has_every_slot),
		cmocka_unit_test(close_sends_the_rest_if_all_went_to_the_sender),
		cmocka_unit_test(frames_on_the_wire_are_byte_exact),
		cmocka_unit_test(frames_of_narrowed_and_failed_slots_tell_where_they_are),
		cmocka_unit_test(every_epoch_has_a_hello_and_an_end),
		cmocka_unit_test(slot_returns_when_everybody_who_has_it_is_done),
		cmocka_unit_test(only_slots_of_the_application_can_be_held),
		cmocka_unit_test(lost_connection_sends_again_just_what_was_not_let_go_of),
		cmocka_unit_test(reconnecting_is_given_up_after_its_time),
		cmocka_unit_test(parts_of_a_slot_are_datagrams_of_their_own),
		cmocka_unit_test(raw_datagrams_are_the_slot_and_nothing_else),
		cmocka_unit_test(full_qdisc_is_waited_out_and_numbers_stay_right),
		cmocka_unit_test(nobody_there_is_said_once_and_ignored),
		cmocka_unit_test(several_at_once_refused_become_single_ones),
		cmocka_unit_test(cancel_ends_every_wait_from_then_on),
		cmocka_unit_test(event_loop_is_told_what_to_wait_for),
		cmocka_unit_test(work_tells_a_failure_once),
	};

	return cmocka_run_group_tests_name("tx", tests, NULL, NULL);
}

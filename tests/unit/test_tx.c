// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Senders: the bookkeeping alone, the TCP sender over a socket that is told
 * what to do, and over real sockets (loopback, where the kernel copies and says
 * so).
 */
#include <arpa/inet.h>
#include <errno.h>
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

static void note_done(void *context, uint32_t slot)
{
	(void)context;
	done_slots[done_count++] = slot;
}

static void lend(struct sgring_loans *l, uint32_t first, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		assert_int_equal(sgring_loans_reserve(l), 0);
		sgring_loans_add(l, first + i);
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

static const char *url(int port)
{
	static char text[64];

	snprintf(text, sizeof(text), "tcp://127.0.0.1:%d", port);
	return text;
}

/* --- a socket that is told what to do */

#define RAW SGRING_TX_OPTIONS(.flags = SGRING_TX_RAW)

struct fake {
	struct sim sim;
	struct sgring *s;
	struct sgring_tx *t;
	int listener;
	ssize_t answers[64];		/* of sendmsg; 0: takes it all */
	unsigned int answer_count, sends;
	bool last_for_ever;
	size_t asked[64];
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

static ssize_t fake_sendmsg(const struct sgring_backend *be, int fd, const struct msghdr *msg, int flags)
{
	struct fake *f = fake_of(be);
	ssize_t answer = 0;
	size_t bytes = 0, i;

	(void)fd;
	assert_true(flags & MSG_ZEROCOPY);
	assert_true(flags & MSG_DONTWAIT);
	assert_true(flags & MSG_NOSIGNAL);
	for (i = 0; i < msg->msg_iovlen; i++)
		bytes += msg->msg_iov[i].iov_len;
	f->asked[f->sends % 64] = bytes;
	if (f->sends < f->answer_count)
		answer = f->answers[f->sends];
	else if (f->last_for_ever)
		answer = f->answers[f->answer_count - 1];
	f->sends++;
	return answer ? answer : (ssize_t)bytes;
}

static int fake_recvmmsg(const struct sgring_backend *be, int fd, struct mmsghdr *msgs,
			 unsigned int n, int flags)
{
	struct fake *f = fake_of(be);
	struct sock_extended_err e;
	struct cmsghdr *c;
	unsigned int i;

	(void)fd;
	assert_int_equal(flags, MSG_ERRQUEUE | MSG_DONTWAIT);
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
		if (n && fds[0].fd == f->sim.fd)
			n = 1;	/* the socket has nothing of its own to say */
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

static void note(struct fake *f, uint32_t low, uint32_t high, uint8_t code)
{
	f->notes[f->note_count].low = low;
	f->notes[f->note_count].high = high;
	f->notes[f->note_count++].code = code;
}

static struct sgring_loans *loans(struct fake *f)
{
	return f->t->engine_data;	/* its first member */
}

static void let_go_of_the_oldest(struct fake *f)
{
	note(f, loans(f)->first, loans(f)->first, 0);
}

/* A stream of four slots whose sender has the fake socket. */
static struct fake *fake_new(const struct sgring_options *o)
{
	struct fake *f = calloc(1, sizeof(*f));
	int port;

	sim_init(&f->sim);
	f->listener = listen_any(&port);
	if (sim_open(&f->sim, &f->s, o) || sgring_tx_open(&f->t, f->s, url(port), RAW) ||
	    sgring_start(f->s))
		fail_msg("%s", sgring_errmsg());
	f->sim_poll = f->sim.be.poll;
	f->sim.be.sendmsg = fake_sendmsg;
	f->sim.be.recvmmsg = fake_recvmmsg;
	f->sim.be.poll = fake_poll;
	return f;
}

#define FOUR SGRING_OPTIONS(.slot_count = 4, .send_timeout_ms = 300)

static void fake_free(struct fake *f)
{
	/* The rest is let go of, so that closing does not wait for nothing. */
	if (!f->on_wait)
		f->on_wait = let_go_of_the_oldest;
	sgring_close(f->s);
	sim_fini(&f->sim);
	close(f->listener);
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
	assert_int_equal(sgring_tx_pollfds(f->t, fds, 2), 1);
	assert_int_equal(fds[0].fd, f->t->fd);
	assert_int_equal(fds[0].events, POLLOUT);
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
	struct fake *f = fake_new(FOUR);
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
	struct fake *f = fake_new(FOUR);
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
	struct fake *f = fake_new(FOUR);

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

static void let_go_after_fifty_waits(struct fake *f)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
	if (f->waits > 50)
		let_go_of_the_oldest(f);
}

/* All slots are in the sender, the device cannot do anything: who is waited for? */
static void next_waits_for_the_sender_when_it_has_every_slot(void **state)
{
	struct fake *f = fake_new(FOUR);
	struct sgring_counters before, after;
	struct sgring_slot b;
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		next_and_send(f);
	sgring_counters(f->s, &before);
	/* The device cannot deliver: the sender's time-out (300 ms) counts, not the caller's. */
	f->on_wait = let_go_after_fifty_waits;
	assert_int_equal(sgring_next(f->s, &b, 20), 0);
	sgring_counters(f->s, &after);
	assert_true(after.sender_waits > before.sender_waits + 50);
	assert_int_equal(after.polls, before.polls);
	f->on_wait = let_go_of_the_oldest;
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

/* --- real sockets */

struct receiver {
	pthread_t thread;
	int listener, port;
	uint64_t bytes, good, delay_us, stop_after;
};

/* Not on the stack: a test that fails leaves its thread behind. */
static struct receiver receivers[16];
static unsigned int receiver_count;

static void *receive(void *arg)
{
	struct receiver *r = arg;
	unsigned char buffer[1 << 16];
	int fd = accept(r->listener, NULL, NULL);
	ssize_t n;

	while ((!r->stop_after || r->bytes < r->stop_after) &&
	       (n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		r->good += sgring_pattern_verify(buffer, (size_t)n, sgring_pattern_key(0), r->bytes);
		r->bytes += (uint64_t)n;
		if (r->delay_us)
			usleep((useconds_t)r->delay_us);
	}
	close(fd);
	return NULL;
}

static struct receiver *receiver_start(uint64_t delay_us, uint64_t stop_after)
{
	struct receiver *r = &receivers[receiver_count++ % 16];

	*r = (struct receiver){ .delay_us = delay_us, .stop_after = stop_after };
	r->listener = listen_any(&r->port);
	pthread_create(&r->thread, NULL, receive, r);
	return r;
}

static void receiver_end(struct receiver *r)
{
	pthread_join(r->thread, NULL);
	close(r->listener);
}

static void the_program_of_the_readme_delivers_every_byte(void **state)
{
	struct receiver *r;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 4000;
	r = receiver_start(0, 0);
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	if (sgring_tx_open(&t, s, url(r->port), RAW))
		fail_msg("%s", sgring_errmsg());
	sgring_start(s);
	while (sgring_next(s, &b, 300) == 0)
		sgring_tx_send(t, &b);
	assert_int_equal(sgring_close(s), 0);
	receiver_end(r);
	assert_int_equal(r->bytes, 4000 * 65536ULL);
	assert_int_equal(r->good, r->bytes);
	assert_int_equal(sim->stats.sq_bad, 0);
	assert_int_equal(sim->stats.sq_taken, 4000);
	sim_free(sim);
}

static void loopback_copies_and_every_send_is_accounted_for(void **state)
{
	struct receiver *r;
	struct sgring_tx_stats st;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 200;
	r = receiver_start(0, 0);
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.slot_bytes = 1 << 20)), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(r->port), RAW), 0);
	sgring_start(s);
	while (sgring_next(s, &b, 300) == 0)
		assert_int_equal(sgring_tx_send(t, &b), 0);
	assert_int_equal(sgring_tx_flush(t, 5000), 0);
	sgring_tx_stats(t, &st);
	assert_int_equal(st.bytes, 200ULL << 20);
	assert_int_equal(st.slots, 200);
	assert_int_equal(st.outstanding, 0);
	assert_int_equal(st.held, 0);
	assert_int_equal(st.strange, 0);
	assert_int_equal(st.copied + st.zerocopy, st.sends);
	assert_true(st.copied > 0);
	assert_int_equal(sgring_tx_close(t), 0);
	assert_int_equal(sgring_close(s), 0);
	receiver_end(r);
	assert_int_equal(r->good, 200ULL << 20);
	sim_free(sim);
}

static void slow_peer_makes_no_device_polls_and_no_kicks(void **state)
{
	struct receiver *r;
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	/* A device so fast that it is never the one that is waited for. */
	sim->plan.no_fill = true;
	r = receiver_start(2000, 0);
	/* Fewer slots than the socket buffers: all of them end up in the sender. */
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.slot_count = 16,
						      .sq_idle_usec = 60000000)), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(r->port), RAW), 0);
	sgring_start(s);
	for (i = 0; i < 1990; i++) {
		assert_int_equal(sgring_next(s, &b, 5000), 0);
		assert_int_equal(sgring_tx_send(t, &b), 0);
	}
	sgring_counters(s, &c);
	assert_int_equal(c.kicks, 0);
	/* With the device in every wait it would be some 500. */
	assert_in_range(c.polls, 0, 100);
	assert_int_equal(sgring_close(s), 0);
	receiver_end(r);
	assert_true(r->bytes >= 1990 * 65536ULL);
	sim_free(sim);
}

static void reset_connection_fails_and_gives_every_slot_back(void **state)
{
	struct receiver *r;
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	int err, sent;

	(void)state;
	sim = sim_new();
	r = receiver_start(0, 1 << 20);
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(r->port), RAW), 0);
	sgring_start(s);
	while ((err = sgring_next(s, &b, 5000)) == 0)
		sgring_tx_send(t, &b);
	assert_true(err == -ECONNRESET || err == -EPIPE);
	sent = sgring_tx_close(t);
	assert_int_equal(sent, err);
	sgring_counters(s, &c);
	assert_int_equal(c.held, 0);
	assert_int_equal(sgring_close(s), 0);
	receiver_end(r);
	assert_int_equal(sim->stats.sq_bad, 0);
	sim_free(sim);
}

/* Everything fits into the socket; then the peer resets: the kernel lets go of it all. */
static void flush_does_not_take_a_reset_for_success(void **state)
{
	const struct linger reset = { .l_onoff = 1 };
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	int port, listener = listen_any(&port), fd;

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(port), RAW), 0);
	fd = accept(listener, NULL, NULL);
	sgring_start(s);
	assert_int_equal(sgring_next(s, &b, 5000), 0);
	assert_int_equal(sgring_tx_send(t, &b), 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	assert_int_equal(sgring_tx_flush(t, 1000), -ECONNRESET);
	assert_int_equal(sgring_close(s), -ECONNRESET);
	sim_free(sim);
	close(listener);
}

/* The peer does not read: the close gives up, aborts, and the slots come back. */
static void abort_makes_the_kernel_let_go(void **state)
{
	struct sgring_counters c;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	int port, listener = listen_any(&port), err;

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.slot_count = 256, .send_timeout_ms = 300)), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(port), RAW), 0);
	sgring_start(s);
	while ((err = sgring_next(s, &b, 1000)) == 0)
		if (sgring_tx_send(t, &b))
			break;
	assert_true(err == -ETIMEDOUT || t->error == -ETIMEDOUT);
	sgring_counters(s, &c);
	assert_true(c.held > 0);
	assert_int_equal(sgring_tx_close(t), -ETIMEDOUT);
	sgring_counters(s, &c);
	assert_int_equal(c.held, 0);
	sgring_close(s);
	assert_int_equal(sim->stats.sq_bad, 0);
	sim_free(sim);
	close(listener);
}

#define TEN "abcdefghij"

static void bad_urls_are_refused_with_a_reason(void **state)
{
	static const struct {
		const char *url;
		int err;
		const char *says;
	} cases[] = {
		{ "sctp://a:1", -EINVAL, "expected tcp://host:port" },
		{ "udp://host", -EINVAL, "expected udp://host:port" },
		{ "tcp://", -EINVAL, "expected tcp://host:port" },
		{ "tcp://host", -EINVAL, "expected tcp://host:port" },
		{ "tcp://:9000", -EINVAL, "expected tcp://host:port" },
		{ "tcp://host:", -EINVAL, "expected tcp://host:port" },
		{ "tcp://::1:9000", -EINVAL, "IPv6 in brackets" },
		{ "tcp://[::1]9000", -EINVAL, "IPv6 in brackets" },
		{ "tcp://127.0.0.1:no-such-port", -EINVAL, "127.0.0.1" },
		/* A label that is too long is not even asked for. */
		{ "tcp://" TEN TEN TEN TEN TEN TEN TEN ":1", -EHOSTUNREACH, TEN },
		{ "tcp://127.0.0.1:1", -ECONNREFUSED, "Connection refused" },
	};
	struct sgring_tx *t = (void *)1;
	struct sgring *s;
	struct sim *sim;
	size_t i;

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(sgring_tx_open(&t, s, cases[i].url, NULL), cases[i].err);
		assert_null(t);
		if (!strstr(sgring_errmsg(), cases[i].says))
			fail_msg("%s: %s", cases[i].url, sgring_errmsg());
	}
	sgring_close(s);
	sim_free(sim);
}

/* In a child without privilege, with so little locked memory: its exit code. */
static int with_memlock(uint64_t bytes, int (*child)(int port), int port)
{
	const struct rlimit limit = { bytes, bytes };
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct none[2] = { { 0 } };

		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(65534) || setuid(65534) ||
		    syscall(SYS_capset, &header, none))
			_exit(77);
		_exit(child(port));
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int open_refused(int port)
{
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	int err;

	sim = sim_new();
	if (sim_open(sim, &s, SGRING_OPTIONS(.slot_bytes = 1 << 20)))
		return 1;
	err = sgring_tx_open(&t, s, url(port), RAW);
	if (err != -ENOBUFS)
		return 2;
	if (!strstr(sgring_errmsg(), "RLIMIT_MEMLOCK is 64 KiB") ||
	    !strstr(sgring_errmsg(), "ulimit -l"))
		return 3;
	return 0;
}

static void too_little_memlock_is_refused_before_anything_runs(void **state)
{
	int port, listener = listen_any(&port), code;

	(void)state;
	code = geteuid() ? 77 : with_memlock(65536, open_refused, port);
	close(listener);
	if (code == 77)
		skip();
	assert_int_equal(code, 0);
}

static int stream_in_pieces(int port)
{
	struct sgring_tx_stats st;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;

	sim = sim_new();
	sim->plan.pause_at = 64;
	if (sim_open(sim, &s, SGRING_OPTIONS(.slot_bytes = 1 << 20)) ||
	    sgring_tx_open(&t, s, url(port), RAW))
		return 1;
	sgring_start(s);
	while (sgring_next(s, &b, 500) == 0)
		if (sgring_tx_send(t, &b)) {
			fprintf(stderr, "%s\n", sgring_errmsg());
			return 3;
		}
	if (sgring_tx_flush(t, 5000))
		return 4;
	sgring_tx_stats(t, &st);
	if (st.copied + st.zerocopy != st.sends || st.sends < 128 || st.slots != 64)
		return 5;
	return sgring_close(s) ? 6 : 0;
}

static void little_memlock_cuts_slots_into_pieces_that_pass(void **state)
{
	struct receiver *r;
	int code;

	(void)state;
	if (geteuid())
		skip();
	r = receiver_start(500, 0);
	code = with_memlock(1 << 20, stream_in_pieces, r->port);
	if (code)
		shutdown(r->listener, SHUT_RDWR);
	receiver_end(r);
	if (code == 77)
		skip();
	assert_int_equal(code, 0);
	assert_int_equal(r->good, 64ULL << 20);
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
		cmocka_unit_test(the_program_of_the_readme_delivers_every_byte),
		cmocka_unit_test(loopback_copies_and_every_send_is_accounted_for),
		cmocka_unit_test(slow_peer_makes_no_device_polls_and_no_kicks),
		cmocka_unit_test(reset_connection_fails_and_gives_every_slot_back),
		cmocka_unit_test(flush_does_not_take_a_reset_for_success),
		cmocka_unit_test(abort_makes_the_kernel_let_go),
		cmocka_unit_test(bad_urls_are_refused_with_a_reason),
		cmocka_unit_test(too_little_memlock_is_refused_before_anything_runs),
		cmocka_unit_test(little_memlock_cuts_slots_into_pieces_that_pass),
	};

	return cmocka_run_group_tests_name("tx", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Senders over real sockets, on loopback, where the kernel copies and says so. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
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
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "pattern.h"
#include "sgring_frame.h"
#include "sim.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define LONG 60000	/* ms: for what comes sooner or later */
#define RAW SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY, .flags = SGRING_TX_RAW)

static int bind_any(int type, int *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &size), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static int listen_any(int *port)
{
	int fd = bind_any(SOCK_STREAM, port);

	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

static const char *url_of(const char *scheme, int port)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s127.0.0.1:%d", scheme, port);
	return text;
}

static const char *url(int port)
{
	return url_of("tcp://", port);
}

/* --- raw, over TCP */

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
	sim->plan.end_at = 4000;
	r = receiver_start(0, 0);
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	if (sgring_tx_open(&t, s, url(r->port),
			   SGRING_TX_OPTIONS(.flags = SGRING_TX_RAW)))
		fail_msg("%s", sgring_errmsg());
	sgring_start(s);
	while (sgring_next(s, &b, LONG) == 0)
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
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 200;
	r = receiver_start(0, 0);
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.slot_bytes = 1 << 20)), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(r->port), RAW), 0);
	sgring_start(s);
	for (i = 0; i < 200; i++) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		assert_int_equal(sgring_tx_send(t, &b), 0);
	}
	assert_int_equal(sgring_tx_flush(t, LONG), 0);
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

/* Polls of the device for so many slots. */
static uint64_t polls_for(struct sgring *s, struct sgring_tx *t, unsigned int slots)
{
	struct sgring_counters before, after;
	struct sgring_slot b;

	sgring_counters(s, &before);
	while (slots--) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		assert_int_equal(sgring_tx_send(t, &b), 0);
	}
	sgring_counters(s, &after);
	assert_int_equal(after.kicks, 0);
	return after.polls - before.polls;
}

/*
 * A device so fast that it is never the one that is waited for; on a machine that lets its
 * thread wait it is, and then it is tried again.
 */
static void slow_peer_makes_no_device_polls_and_no_kicks(void **state)
{
	const unsigned int some = 400, tries = 30;
	struct receiver *r;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	unsigned int i;

	(void)state;
	sim = sim_new();
	sim->plan.no_fill = true;
	r = receiver_start(2000, 0);
	/* Fewer slots than the socket buffers: all of them end up in the sender. */
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.slot_count = 16,
						      .sq_idle_usec = 60000000)), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(r->port), RAW), 0);
	sgring_start(s);
	/* With the device in every wait it would be some 100. */
	for (i = 1; polls_for(s, t, some) > some / 20; i++)
		assert_true(i < tries);
	assert_int_equal(sgring_close(s), 0);
	receiver_end(r);
	assert_true(r->bytes >= i * some * 65536ULL);
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
	while ((err = sgring_next(s, &b, LONG)) == 0)
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
	assert_int_equal(sgring_next(s, &b, LONG), 0);
	assert_int_equal(sgring_tx_send(t, &b), 0);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	assert_int_equal(sgring_tx_flush(t, LONG), -ECONNRESET);
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
	assert_true(err == -ETIMEDOUT || sgring_tx_error(t) == -ETIMEDOUT);
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
	pid_t pid;

#ifdef __SANITIZE_THREAD__
	return 77;	/* it knows of no child that begins threads */
#endif
	pid = fork();
	if (!pid) {
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct none[2] = { { 0 } };
		/* A user of its own: what is locked is counted by user. */
		const unsigned int nobody = 100000 + (unsigned int)getpid();

		if (setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(nobody) || setuid(nobody) ||
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
	int i;

	sim = sim_new();
	sim->plan.pause_at = 64;
	if (sim_open(sim, &s, SGRING_OPTIONS(.slot_bytes = 1 << 20)) ||
	    sgring_tx_open(&t, s, url(port), RAW))
		return 1;
	sgring_start(s);
	for (i = 0; i < 64; i++)
		if (sgring_next(s, &b, LONG) || sgring_tx_send(t, &b)) {
			fprintf(stderr, "%s\n", sgring_errmsg());
			return 3;
		}
	if (sgring_tx_flush(t, LONG))
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

/*
 * Two senders, and memory for one of them: while the other's receiver reads nothing,
 * this one cannot send, and says in the end why. When it reads, this one goes on.
 */
static int compete(int port)
{
	int other, listener = bind_any(SOCK_STREAM, &other), fd, i, small = 4096;
	struct sgring_tx *mine, *greedy;
	struct sgring_tx_stats st;
	struct sgring_slot b;
	char buffer[65536];
	struct sgring *s;
	struct sim *sim;

	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	listen(listener, 1);
	sim = sim_new();
	if (sim_open(sim, &s, SGRING_OPTIONS(.slot_count = 16)) ||
	    sgring_tx_open(&greedy, s, url(other), RAW) ||
	    sgring_tx_open(&mine, s, url(port), SGRING_TX_OPTIONS(
		.method = SGRING_TX_ZEROCOPY, .flags = SGRING_TX_RAW, .timeout_ms = 2000)))
		return 1;
	fd = accept(listener, NULL, NULL);
	sgring_start(s);
	/* The limit is met before the socket is full. */
	for (i = 0; i < 6; i++)
		if (sgring_next(s, &b, LONG) || sgring_tx_send(greedy, &b))
			return 2;
	sgring_tx_stats(greedy, &st);
	if (!st.nobufs_waits)
		return 77;
	if (sgring_next(s, &b, LONG) || sgring_tx_send(mine, &b))
		return 3;
	sgring_tx_stats(mine, &st);
	if (!st.queued || !st.nobufs_waits)
		return 4;
	/* A moment of reading is enough. */
	for (i = 0; i < LONG && st.queued; i++) {
		while (recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) > 0)
			;
		if (sgring_work(s))
			return 5;
		usleep(1000);
		sgring_tx_stats(mine, &st);
	}
	if (st.queued || sgring_tx_flush(mine, 5000))
		return 6;
	/* And now it reads no more. */
	for (i = 0; i < 6; i++)
		if (sgring_next(s, &b, LONG) || sgring_tx_send(greedy, &b))
			return 7;
	if (sgring_next(s, &b, LONG) || sgring_tx_send(mine, &b) ||
	    sgring_tx_flush(mine, -1) != -ENOBUFS ||
	    !strstr(sgring_errmsg(), "for all of this user's processes"))
		return 8;
	return 0;
}

static void locked_memory_is_shared_with_others(void **state)
{
	struct receiver *r;
	int code;

	(void)state;
	if (geteuid())
		skip();
	r = receiver_start(0, 0);
	code = with_memlock(160 << 10, compete, r->port);	/* two slots, not three */
	if (code)
		shutdown(r->listener, SHUT_RDWR);
	receiver_end(r);
	if (code == 77)
		skip();
	assert_int_equal(code, 0);
}

/* --- framed, over TCP */

/*
 * A receiver of frames: it counts what it gets by position, and resets the
 * connection after each of the numbers of bytes it is told.
 */
struct framed {
	pthread_t thread;
	int listener, port;
	uint64_t cuts[4];
	unsigned int cut_count, connections;
	uint64_t bad;
	struct sgring_track track;
};

static struct framed framed[8];
static unsigned int framed_count;

static bool get(int fd, void *where, size_t bytes, uint64_t *budget)
{
	unsigned char *p = where;
	ssize_t n;

	while (bytes) {
		n = recv(fd, p, bytes < *budget ? bytes : *budget, 0);
		if (n <= 0)
			return false;
		p += n;
		bytes -= (size_t)n;
		*budget -= (uint64_t)n;
	}
	return true;
}

/* One connection, until it ends or so many bytes came. */
static void receive_frames(struct framed *r, int fd, uint64_t budget)
{
	static _Thread_local unsigned char data[1 << 20];
	unsigned char wire[SGRING_HELLO_BYTES];
	struct sgring_hello h = { 0 };
	uint64_t skip, lost;
	struct sgring_cqe e;
	int new;

	while (get(fd, wire, SGRING_ENTRY_BYTES, &budget)) {
		if (sgring_frame_is_hello(wire)) {
			if (!get(fd, wire + SGRING_ENTRY_BYTES,
				 SGRING_HELLO_BYTES - SGRING_ENTRY_BYTES, &budget))
				return;
			r->bad += !!sgring_hello_unpack(&h, wire);
			sgring_track_hello(&r->track, &h);
			continue;
		}
		if (!h.session || sgring_entry_unpack(&e, wire, &h)) {
			r->bad++;
			return;
		}
		new = sgring_track_entry(&r->track, &e, &skip, &lost);
		r->bad += new < 0;
		if (!get(fd, data, e.length_bytes, &budget)) {
			/* Its data came in part, or not at all: it will come again. */
			if (new > 0)
				sgring_track_cut(&r->track, &e, e.length_bytes);
			return;
		}
		r->bad += sgring_pattern_verify(data, e.length_bytes, sgring_pattern_key(0),
						e.position_bytes) != e.length_bytes;
	}
}

static void *receive_framed(void *arg)
{
	const struct linger reset = { .l_onoff = 1 };
	struct framed *r = arg;
	int fd;

	do {
		fd = accept(r->listener, NULL, NULL);
		if (fd < 0)
			break;
		if (r->connections < r->cut_count)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		receive_frames(r, fd, r->connections < r->cut_count ? r->cuts[r->connections] :
			       UINT64_MAX);
		close(fd);
	} while (r->connections++ < r->cut_count);
	return NULL;
}

static struct framed *framed_start(const uint64_t *cuts, unsigned int count)
{
	struct framed *r = &framed[framed_count++ % 8];

	*r = (struct framed){ .cut_count = count };
	if (count)
		memcpy(r->cuts, cuts, count * sizeof(*cuts));
	r->listener = listen_any(&r->port);
	pthread_create(&r->thread, NULL, receive_framed, r);
	return r;
}

static void framed_end(struct framed *r)
{
	shutdown(r->listener, SHUT_RDWR);
	pthread_join(r->thread, NULL);
	close(r->listener);
}

/*
 * The program of the README, with these options: everything until the device falls silent.
 * What close returned.
 */
static int run(struct sim *sim, const struct sgring_options *o, const char *where,
	       const struct sgring_tx_options *tx, struct sgring_tx_stats *st)
{
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	uint64_t i;

	if (sim_open(sim, &s, o) || sgring_tx_open(&t, s, where, tx))
		fail_msg("%s", sgring_errmsg());
	sgring_start(s);
	for (i = 0; i < sim->plan.pause_at; i++) {
		if (sgring_next(s, &b, LONG))
			fail_msg("%s", sgring_errmsg());
		sgring_tx_send(t, &b);
	}
	if (sgring_tx_flush(t, LONG))
		fail_msg("%s", sgring_errmsg());
	sgring_tx_stats(t, st);
	assert_int_equal(st->held, 0);
	assert_int_equal(st->queued, 0);
	assert_int_equal(st->strange, 0);
	return sgring_close(s);
}

static void frames_arrive_whole_with_the_end_of_the_stream(void **state)
{
	static const uint32_t methods[] = { SGRING_TX_ZEROCOPY, SGRING_TX_COPY };
	static const uint64_t sizes[] = { 65536, 5000 };
	struct sgring_tx_stats st;
	struct framed *r;
	struct sim *sim;
	int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		sim = sim_new();
		sim->plan.pause_at = 1000;
		sim->plan.eop_at = 500;
		r = framed_start(NULL, 0);
		assert_int_equal(run(sim, SGRING_OPTIONS(.slot_bytes = sizes[i / 2]), url(r->port),
				     SGRING_TX_OPTIONS(.method = methods[i % 2]), &st), 0);
		framed_end(r);
		assert_int_equal(r->bad, 0);
		assert_int_equal(r->track.bytes, st.bytes);
		assert_int_equal(r->track.bytes, sizes[i / 2] * 1000 - sizes[i / 2] / 2);
		assert_int_equal(r->track.lost_bytes, 0);
		assert_int_equal(r->track.ended, 1);
		assert_int_equal(st.frame_bytes, 128 + 1000 * 64);
		assert_int_equal(st.copied + st.zerocopy, i % 2 ? 0 : st.sends);
		sim_free(sim);
	}
}

static void gaps_arrive_as_gaps(void **state)
{
	struct sgring_tx_stats st;
	struct framed *r;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 100;
	sim->plan.gap_at = 50;
	sim->plan.gap_bytes = 12345;
	r = framed_start(NULL, 0);
	assert_int_equal(run(sim, NULL, url(r->port), NULL, &st), 1);
	framed_end(r);
	assert_int_equal(r->bad, 0);
	assert_int_equal(r->track.lost_bytes, 12345);
	assert_int_equal(r->track.bytes, 100 * 65536);
	sim_free(sim);
}

/* From now on there is no io_uring, as in many containers. */
static int forbid_io_uring(void)
{
	struct sock_filter program[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { sizeof(program) / sizeof(program[0]), program };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

static int choose_without_io_uring(int port)
{
	static const struct {
		uint64_t bytes;
		int method;
		const char *says;
	} cases[] = {
		{ 16384, SGRING_TX_ZEROCOPY, "large enough" },
		{ 16383, SGRING_TX_COPY, "gain nothing by MSG_ZEROCOPY" },
	};
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	int i;

	if (forbid_io_uring())
		return 77;
	for (i = 0; i < 2; i++) {
		sim = sim_new();
		if (sim_open(sim, &s, SGRING_OPTIONS(.slot_bytes = cases[i].bytes)) ||
		    sgring_tx_open(&t, s, url(port), NULL))
			return 1;
		if (sgring_tx_method(t) != cases[i].method ||
		    !strstr(sgring_tx_choice(t), cases[i].says) ||
		    !strstr(sgring_tx_choice(t), "io_uring")) {
			fprintf(stderr, "%s\n", sgring_tx_choice(t));
			return 2;
		}
		sgring_close(s);
	}
	/* What was asked for is not replaced by anything else. */
	sim = sim_new();
	if (sim_open(sim, &s, NULL) ||
	    !sgring_tx_open(&t, s, url(port), SGRING_TX_OPTIONS(.method = SGRING_TX_URING)))
		return 3;
	return 0;
}

static void methods_are_chosen_by_size_and_say_why(void **state)
{
	int port, listener = listen_any(&port), status;
	pid_t pid = fork();

	(void)state;
	if (!pid)
		_exit(choose_without_io_uring(port));
	waitpid(pid, &status, 0);
	close(listener);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

/*
 * The connection is reset again and again: what the kernel throws away then it
 * reports as let go of, and only that error tells that it did not arrive.
 */
static void connections_cut_lose_nothing(void **state)
{
	static const uint64_t cuts[] = { 1000000, 100, 3333333, 70 };
	struct sgring_tx_stats st;
	struct framed *r;
	struct sim *sim;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 500;
	r = framed_start(cuts, 4);
	assert_int_equal(run(sim, NULL, url(r->port),
			     SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY, .reconnect_ms = LONG),
			     &st), 0);
	framed_end(r);
	assert_int_equal(r->bad, 0);
	assert_int_equal(r->track.bytes + r->track.lost_bytes, 500 * 65536);
	/*
	 * A reset comes when the receiver closes with data unread: acknowledged, and
	 * gone with it. More than its buffer had that cannot be, and it is marked.
	 */
	assert_int_equal(r->track.ended, 1);
	assert_int_equal(r->track.epochs, 1);
	assert_int_equal(st.reconnects, 4);
	assert_true(st.resent_slots > 0);
	assert_int_equal(st.unsent_slots, 0);
	assert_int_equal(sim->stats.sq_bad, 0);
	sim_free(sim);
}

static void *receive_three(void *arg)
{
	struct framed *f = arg;

	receive_frames(f, f->listener, SGRING_HELLO_BYTES + 3 * (SGRING_ENTRY_BYTES + 65536));
	__atomic_store_n(&f->connections, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* All of it fits into the socket; the peer's kernel never had it. */
static void what_a_reset_throws_away_is_sent_again(void **state)
{
	const struct linger reset = { .l_onoff = 1 };
	int port, listener, fd, small = 4096, i;
	struct sgring_tx_stats st;
	struct sgring_slot b;
	struct sgring_tx *t;
	static struct framed f;
	struct sgring *s;
	struct sim *sim;

	(void)state;
	listener = bind_any(SOCK_STREAM, &port);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(listen(listener, 4), 0);
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.slot_count = 4)), 0);
	assert_int_equal(sgring_tx_open(&t, s, url(port),
					SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY,
							  .reconnect_ms = LONG)), 0);
	fd = accept(listener, NULL, NULL);
	sgring_start(s);
	for (i = 0; i < 4; i++) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		assert_int_equal(sgring_tx_send(t, &b), 0);
	}
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
	do {
		assert_int_equal(sgring_work(s), 0);
		sgring_tx_stats(t, &st);
	} while (!st.reconnects);
	fd = f.listener = accept(listener, NULL, NULL);
	pthread_create(&f.thread, NULL, receive_three, &f);
	while (!__atomic_load_n(&f.connections, __ATOMIC_ACQUIRE))
		assert_int_equal(sgring_work(s), 0);
	pthread_join(f.thread, NULL);
	assert_int_equal(f.bad, 0);
	sgring_tx_stats(t, &st);
	assert_true(st.resent_slots >= 3);
	assert_true(f.track.entries == 3);
	/* At most the first had arrived before. */
	assert_true(f.track.first <= 65536);
	close(fd);
	sgring_cancel(s);
	sgring_close(s);
	sim_free(sim);
	close(listener);
}

static void two_receivers_get_everything_though_one_is_slow(void **state)
{
	struct receiver *fast, *slow;
	struct sgring_tx *t[2];
	struct sgring_slot b;
	struct sgring *s;
	struct sim *sim;
	int i;

	(void)state;
	sim = sim_new();
	sim->plan.pause_at = 500;
	fast = receiver_start(0, 0);
	slow = receiver_start(500, 0);
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	assert_int_equal(sgring_tx_open(&t[0], s, url(fast->port), RAW), 0);
	assert_int_equal(sgring_tx_open(&t[1], s, url(slow->port), RAW), 0);
	sgring_start(s);
	for (i = 0; i < 500; i++) {
		assert_int_equal(sgring_next(s, &b, LONG), 0);
		assert_int_equal(sgring_hold(s, b.index), 0);
		assert_int_equal(sgring_tx_send(t[0], &b), 0);
		assert_int_equal(sgring_tx_send(t[1], &b), 0);
	}
	assert_int_equal(sgring_close(s), 0);
	receiver_end(fast);
	receiver_end(slow);
	assert_int_equal(fast->good, 500 * 65536);
	assert_int_equal(slow->good, 500 * 65536);
	assert_int_equal(sim->stats.sq_bad, 0);
	assert_int_equal(sim->stats.sq_taken, 500);
	sim_free(sim);
}

/* --- datagrams */

struct datagrams {
	pthread_t thread;
	int fd, port;
	bool raw;
	size_t longest;
	uint64_t bytes, bad, count, hellos, ends;
	struct sgring_hello hello;
};

static struct datagrams datagrams[8];
static unsigned int datagrams_count;

static void *receive_datagrams(void *arg)
{
	struct datagrams *r = arg;
	unsigned char buffer[65536];
	struct sgring_cqe e;
	ssize_t n;

	/* A single byte ends it. */
	while ((n = recv(r->fd, buffer, sizeof(buffer), 0)) > 1) {
		if ((size_t)n > r->longest)
			r->longest = (size_t)n;
		if (r->raw) {
			r->bad += sgring_pattern_verify(buffer, (size_t)n, sgring_pattern_key(0),
							r->bytes) != (size_t)n;
			r->bytes += (uint64_t)n;
			r->count++;
			continue;
		}
		if (sgring_frame_is_hello(buffer)) {
			r->bad += n != SGRING_HELLO_BYTES || sgring_hello_unpack(&r->hello, buffer);
			r->hellos++;
			continue;
		}
		if (!r->hellos || n < SGRING_ENTRY_BYTES ||
		    sgring_entry_unpack(&e, buffer, &r->hello) ||
		    n != (ssize_t)(SGRING_ENTRY_BYTES + e.length_bytes)) {
			r->bad++;
			continue;
		}
		r->ends += !!(e.flags & SGRING_CQE_EOS);
		r->bad += e.position_bytes != r->bytes ||
			  sgring_pattern_verify(buffer + SGRING_ENTRY_BYTES, e.length_bytes,
						sgring_pattern_key(0), e.position_bytes) !=
			  e.length_bytes;
		r->bytes = e.position_bytes + e.length_bytes;
		r->count++;
	}
	return NULL;
}

static struct datagrams *datagrams_start(bool raw)
{
	struct datagrams *r = &datagrams[datagrams_count++ % 8];
	int large = 64 << 20;

	*r = (struct datagrams){ .raw = raw };
	r->fd = bind_any(SOCK_DGRAM, &r->port);
	if (setsockopt(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)))
		setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &large, sizeof(large));
	pthread_create(&r->thread, NULL, receive_datagrams, r);
	return r;
}

static void datagrams_end(struct datagrams *r)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)r->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	sendto(fd, "", 1, 0, (struct sockaddr *)&a, sizeof(a));
	close(fd);
	pthread_join(r->thread, NULL);
	close(r->fd);
}

static void datagrams_carry_every_byte(void **state)
{
	static const uint32_t methods[] = { SGRING_TX_ZEROCOPY, SGRING_TX_COPY };
	static const uint32_t sizes[] = { 0, 1472, 9000 };
	struct sgring_tx_stats st;
	struct datagrams *r;
	struct sim *sim;
	int i;

	(void)state;
	for (i = 0; i < 12; i++) {
		bool raw = i / 6;

		sim = sim_new();
		sim->plan.pause_at = 50;
		sim->plan.eop_at = 20;
		sim->plan.pace_ns = 2000000;
		r = datagrams_start(raw);
		assert_int_equal(run(sim, NULL, url_of("udp://", r->port),
				     SGRING_TX_OPTIONS(.method = methods[i % 2],
						       .datagram_bytes = sizes[i / 2 % 3],
						       .flags = raw ? SGRING_TX_RAW : 0), &st), 0);
		datagrams_end(r);
		assert_int_equal(r->bad, 0);
		assert_int_equal(r->bytes, 50 * 65536 - 32768);
		if (sizes[i / 2 % 3])
			assert_int_equal(r->longest, sizes[i / 2 % 3]);
		if (!raw) {
			/* That of the opening, and at least another before the first entry. */
			assert_true(r->hellos >= 2);
			assert_int_equal(r->ends, 3);	/* one might get lost */
		}
		assert_int_equal(st.bytes, r->bytes);
		assert_int_equal(st.copied + st.zerocopy, i % 2 ? 0 : st.sends);
		/* Several with one call, where they are small. */
		if (sizes[i / 2 % 3] == 1472)
			assert_true(st.sends * 4 <= r->count);
		sim_free(sim);
	}
}

static void count_lines(void *context, const char *line)
{
	(void)line;
	++*(unsigned int *)context;
}

static void datagrams_to_nobody_go_on(void **state)
{
	static unsigned int said;
	struct sgring_tx_stats st;
	struct sim *sim;
	int port, fd = bind_any(SOCK_DGRAM, &port);

	(void)state;
	close(fd);
	said = 0;
	sim = sim_new();
	sim->plan.pause_at = 20;
	assert_int_equal(run(sim, NULL, url_of("udp://", port),
			     SGRING_TX_OPTIONS(.method = SGRING_TX_COPY, .say = count_lines,
					       .context = &said), &st), 0);
	assert_int_equal(st.slots, 20);
	/* The choice, and that nobody is there. */
	assert_int_equal(said, 2);
	sim_free(sim);
}

static void options_that_make_no_sense_are_refused(void **state)
{
	static const struct {
		const char *url;
		struct sgring_tx_options o;
		int err;
		const char *says;
	} cases[] = {
		{ "tcp://", { .flags = 1 << 30 }, -EINVAL, "unknown value of flags" },
		{ "tcp://", { .method = 6 }, -EINVAL, "unknown value of method" },
		{ "tcp://", { .reserved = 1 }, -EINVAL, "unknown value of reserved" },
		{ "tcp://", { .ttl = 1 }, -EINVAL, "are for udp" },
		{ "tcp://", { .flags = SGRING_TX_PAD }, -EINVAL, "are for file" },
		{ "tcp://", { .rotate_bytes = 1 }, -EINVAL, "are for file" },
		{ "tcp://", { .method = SGRING_TX_DIRECT }, -EINVAL, "are for file" },
		{ "udp://", { .reconnect_ms = 1 }, -EINVAL, "is for tcp" },
		{ "udp://", { .ttl = 1 }, -EINVAL, "not a multicast group" },
		{ "udp://", { .interface = "lo" }, -EINVAL, "not a multicast group" },
		{ "udp://", { .datagram_bytes = 511 }, -EMSGSIZE, "at least 512" },
		{ "udp://", { .datagram_bytes = 65508 }, -EMSGSIZE, "takes 65507" },
	};
	int port, listener = listen_any(&port);
	struct sgring_tx_options o;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	size_t i;

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		o = cases[i].o;
		o.size = sizeof(o);
		assert_int_equal(sgring_tx_open(&t, s, url_of(cases[i].url, port), &o), cases[i].err);
		assert_null(t);
		if (!strstr(sgring_errmsg(), cases[i].says))
			fail_msg("%s", sgring_errmsg());
	}
	o = (struct sgring_tx_options){ .size = 8 };
	assert_int_equal(sgring_tx_open(&t, s, url(port), &o), -EINVAL);
	assert_int_equal(sgring_tx_open(&t, s, "udp://239.1.2.3:9000",
					SGRING_TX_OPTIONS(.interface = "no-such")), -ENODEV);
	sgring_close(s);
	sim_free(sim);
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_program_of_the_readme_delivers_every_byte),
		cmocka_unit_test(loopback_copies_and_every_send_is_accounted_for),
		cmocka_unit_test(slow_peer_makes_no_device_polls_and_no_kicks),
		cmocka_unit_test(reset_connection_fails_and_gives_every_slot_back),
		cmocka_unit_test(flush_does_not_take_a_reset_for_success),
		cmocka_unit_test(abort_makes_the_kernel_let_go),
		cmocka_unit_test(bad_urls_are_refused_with_a_reason),
		cmocka_unit_test(too_little_memlock_is_refused_before_anything_runs),
		cmocka_unit_test(little_memlock_cuts_slots_into_pieces_that_pass),
		cmocka_unit_test(locked_memory_is_shared_with_others),
		cmocka_unit_test(frames_arrive_whole_with_the_end_of_the_stream),
		cmocka_unit_test(gaps_arrive_as_gaps),
		cmocka_unit_test(methods_are_chosen_by_size_and_say_why),
		cmocka_unit_test(connections_cut_lose_nothing),
		cmocka_unit_test(what_a_reset_throws_away_is_sent_again),
		cmocka_unit_test(two_receivers_get_everything_though_one_is_slow),
		cmocka_unit_test(datagrams_carry_every_byte),
		cmocka_unit_test(datagrams_to_nobody_go_on),
		cmocka_unit_test(options_that_make_no_sense_are_refused),
	};

	return cmocka_run_group_tests_name("sock", tests, NULL, NULL);
}

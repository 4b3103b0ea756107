// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Senders over io_uring and a wire: nothing is copied, every byte is checked at the
 * far end; system calls are counted; registered buffers, where the kernel takes the
 * driver's memory as such (6.12), and what happens where it does not.
 *
 * The stream and its senders are in namespace "left", receivers are threads in
 * namespace "right".
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <sgring.h>
#include <sgring_frame.h>

#include "common.h"

#define HAVE_MAX (8 * MIB)	/* longer than a slot with its frames */

static void enter(const char *side)
{
	const char *path = getenv(side);
	int fd;

	if (!path)
		skip();
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(setns(fd, CLONE_NEWNET), 0);
	close(fd);
}

/* ---- the far end: frames, over a connection or as datagrams ---- */

/**
 * struct far - a receiver, on the heap: a test that fails leaves its thread behind
 * @datagrams: UDP; else TCP
 * @cuts: connections that are reset
 * @cut_bytes: after so many bytes
 * @quit: everything was sent
 * @bad: frames that cannot be, data that is wrong
 * @have: bytes of a connection that make no whole frame yet
 */
struct far {
	bool datagrams;
	unsigned int cuts;
	uint64_t cut_bytes;

	pthread_t thread;
	uint64_t key;
	int fd;
	int port;
	int quit;
	unsigned int connections;
	uint64_t bad;
	struct sgring_track track;
	struct sgring_hello hello;
	unsigned char *have;
	size_t have_bytes;
};

static void bad(struct far *f, bool is, const char *what)
{
	if (is)
		printf("wrong: %s; at %llu\n", what, (unsigned long long)f->track.position);
	f->bad += is;
}

/* A frame at the start of so many bytes: how long it is; 0: not whole, or no frame. */
static size_t take_frame(struct far *f, const unsigned char *p, size_t bytes)
{
	struct sgring_cqe e;
	uint64_t skip, lost;

	if (bytes < SGRING_ENTRY_BYTES)
		return 0;
	if (sgring_frame_is_hello(p)) {
		if (bytes < SGRING_HELLO_BYTES)
			return 0;
		bad(f, sgring_hello_unpack(&f->hello, p), "a hello");
		sgring_track_hello(&f->track, &f->hello);
		return SGRING_HELLO_BYTES;
	}
	/* Without a hello nothing can be made of it: the first of them was lost. */
	if (!f->hello.session && f->datagrams)
		return bytes;
	if (!f->hello.session || sgring_entry_unpack(&e, p, &f->hello)) {
		bad(f, true, "an entry");
		return bytes;
	}
	if (bytes < SGRING_ENTRY_BYTES + e.length_bytes)
		return 0;
	bad(f, sgring_track_entry(&f->track, &e, &skip, &lost) < 0, sgring_errmsg());
	bad(f, sgring_pattern_verify(p + SGRING_ENTRY_BYTES, e.length_bytes, f->key,
				     e.position_bytes) != e.length_bytes, "its data");
	return SGRING_ENTRY_BYTES + e.length_bytes;
}

static void take_connection(struct far *f, int fd, uint64_t budget)
{
	static const struct linger reset = { .l_onoff = 1 };
	size_t at, n, room;
	ssize_t got = 1;

	f->have_bytes = 0;
	f->hello = (struct sgring_hello){ 0 };
	while (budget) {
		room = HAVE_MAX - f->have_bytes < 128 * KIB ? HAVE_MAX - f->have_bytes : 128 * KIB;
		got = recv(fd, f->have + f->have_bytes, room < budget ? room : (size_t)budget, 0);
		if (got <= 0)
			break;
		budget -= (uint64_t)got;
		f->have_bytes += (size_t)got;
		for (at = 0; (n = take_frame(f, f->have + at, f->have_bytes - at)); at += n)
			;
		f->have_bytes -= at;
		memmove(f->have, f->have + at, f->have_bytes);
	}
	if (!budget)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(fd);
}

static void *far_thread(void *arg)
{
	struct far *f = arg;
	struct pollfd p = { .fd = f->fd, .events = POLLIN };
	ssize_t n;
	int fd;

	while (poll(&p, 1, 100) || !__atomic_load_n(&f->quit, __ATOMIC_ACQUIRE)) {
		if (!p.revents)
			continue;
		if (f->datagrams) {
			n = recv(f->fd, f->have, HAVE_MAX, MSG_DONTWAIT);
			bad(f, n > 0 && take_frame(f, f->have, (size_t)n) != (size_t)n, "a length");
			continue;
		}
		fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
		take_connection(f, fd, f->connections++ < f->cuts ? f->cut_bytes : UINT64_MAX);
	}
	close(f->fd);
	return NULL;
}

static struct far *far_start(struct far like)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t size = sizeof(a);
	struct far *f = malloc(sizeof(*f));
	int large = 64 * MIB;

	*f = like;
	enter("RIGHT");
	f->fd = socket(AF_INET, (f->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&a, &size), 0);
	if (f->datagrams)
		assert_int_equal(setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)), 0);
	else
		assert_int_equal(listen(f->fd, 8), 0);
	enter("LEFT");
	f->port = ntohs(a.sin_port);
	f->key = pattern_key_of("rx0");
	f->have = malloc(HAVE_MAX);
	pthread_create(&f->thread, NULL, far_thread, f);
	return f;
}

#define FAR(...) far_start((struct far){ __VA_ARGS__ })

static void far_end(struct far *f)
{
	__atomic_store_n(&f->quit, 1, __ATOMIC_RELEASE);
	pthread_join(f->thread, NULL);
	free(f->have);
}

/* ---- the near end ---- */

static struct sgring *near_open(const struct sgring_options *o)
{
	struct sgring *s;

	enter("LEFT");
	if (sgring_open(&s, dev_path("rx0"), o))
		fail_msg("%s", sgring_errmsg());
	return s;
}

static int near_sender(struct sgring_tx **t, struct sgring *s, const struct far *f,
		       const struct sgring_tx_options *o)
{
	char url[100];

	snprintf(url, sizeof(url), "%s://10.77.0.2:%d", f->datagrams ? "udp" : "tcp", f->port);
	return sgring_tx_open(t, s, url, o);
}

static void near_send(struct sgring *s, struct sgring_tx *t, uint64_t count)
{
	struct sgring_slot b;

	for (; count; count--)
		if (sgring_next(s, &b, LONG_MS) || sgring_tx_send(t, &b))
			fail_msg("%s", sgring_errmsg());
}

/* So many slots and the end of the stream, handed over and let go of. Where it ended. */
static uint64_t near_run(struct sgring *s, struct sgring_tx *t, uint64_t count)
{
	struct sgring_slot b;
	int err;

	if (sgring_start(s))
		fail_msg("%s", sgring_errmsg());
	near_send(s, t, count);
	assert_true(sgring_stop(s, SGRING_STOP_DRAIN, 0) >= 0);
	while (!(err = sgring_next(s, &b, LONG_MS)))
		assert_int_equal(sgring_tx_send(t, &b), 0);
	assert_int_equal(err, -ENODATA);
	if (sgring_tx_send(t, &b) || sgring_tx_flush(t, 4 * LONG_MS))
		fail_msg("%s", sgring_errmsg());
	return b.position;
}

static struct sgring_tx_stats sent(const struct sgring_tx *t)
{
	struct sgring_tx_stats st;

	sgring_tx_stats(t, &st);
	return st;
}

static void nothing_is_copied(const struct sgring_tx *t)
{
	struct sgring_tx_stats st = sent(t);

	assert_int_equal(st.copied, 0);
	assert_int_equal(st.zerocopy, st.sends);
	assert_true(st.sends > 0);
	assert_int_equal(st.held + st.queued + st.outstanding + st.strange + st.unsent_slots, 0);
}

static void all_came(const struct far *f, uint64_t end)
{
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.position, end);
	assert_int_equal(f->track.bytes, end);
}

static bool gate_is_on(struct sgring *s)
{
	struct sgring_stats st;

	assert_int_equal(sgring_stats(s, &st), 0);
	return st.flags & SGRING_STATS_GATE;
}

/* A sender, or the test is skipped where the kernel cannot do it. */
static struct sgring_tx *need_sender(struct sgring *s, struct far *f,
				     const struct sgring_tx_options *o)
{
	struct sgring_tx *t;
	int err = near_sender(&t, s, f, o);

	if (err == -EOPNOTSUPP || err == -ENOSYS) {
		print_message("skipped: %s\n", sgring_errmsg());
		far_end(f);
		skip();
	}
	if (err)
		fail_msg("%s", sgring_errmsg());
	return t;
}

/* ---- unregistered ---- */

/* Down to a packet with several slots in it. */
static void nothing_is_copied_whatever_the_size(void **state)
{
	static const struct {
		uint64_t slot_bytes, count;
	} sizes[] = {
		{ 4 * KIB, 1000 }, { 16 * KIB, 500 }, { 100000, 100 }, { 1 * MIB, 24 }, { 5 * MIB, 6 },
	};
	struct sgring_tx *t;
	struct sgring *s;
	struct far *f;
	uint64_t end;
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		s = near_open(SGRING_OPTIONS(.slot_bytes = sizes[i].slot_bytes, .slot_count = 8));
		f = FAR();
		t = need_sender(s, f, SGRING_TX_OPTIONS(.method = SGRING_TX_URING));
		end = near_run(s, t, sizes[i].count);
		nothing_is_copied(t);
		assert_true(gate_is_on(s));
		assert_int_equal(sgring_close(s), 0);
		far_end(f);
		all_came(f, end);
	}
}

static void datagrams_are_not_copied_either(void **state)
{
	struct far *f = FAR(.datagrams = true);
	struct sgring_tx *t;
	struct sgring *s;
	uint64_t end;

	(void)state;
	/* Paced, so that both ends keep up; what slow ones lose nevertheless is seen. */
	knob_set("rx0", "rate", 4000000);
	s = near_open(SGRING_OPTIONS(.slot_bytes = 100000, .slot_count = 16));
	t = need_sender(s, f, SGRING_TX_OPTIONS(.method = SGRING_TX_URING));
	end = near_run(s, t, 50);
	nothing_is_copied(t);
	/* Several in a request, and several requests in a system call. */
	assert_true(sent(t).sends * 6 < sent(t).bytes / 1400);
	assert_true(sent(t).calls < sent(t).sends);
	assert_true(sgring_close(s) >= 0);
	far_end(f);
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.position, end);
	assert_true(f->track.bytes > end / 20);
}

/* ---- system calls, counted ---- */

#define FLAT_OUT 1600

/*
 * The device is not what is waited for, or the batch in the making is a short one. A
 * batch is 32 slots; some calls take fewer, when there is nothing else to do. How many
 * calls beyond those that a wait for the device explains, or that wait and hand over in one.
 */
static uint64_t flat_out(uint32_t method, uint32_t flags)
{
	struct sgring_counters c;
	struct sgring_tx_stats st;
	struct sgring_tx *t;
	struct sgring *s;
	struct far *f = FAR();
	uint64_t end;

	s = near_open(SGRING_OPTIONS(.slot_bytes = 32 * KIB, .slot_count = 128, .wake_slots = 32));
	t = need_sender(s, f, SGRING_TX_OPTIONS(.method = method, .flags = flags,
						.batch_slots = 32));
	end = near_run(s, t, FLAT_OUT);
	nothing_is_copied(t);
	st = sent(t);
	sgring_counters(s, &c);
	print_message("%s\n  %" PRIu64 " slots, %" PRIu64 " calls to send and to be told, %" PRIu64
		      " + %" PRIu64 " to wait\n", sgring_tx_choice(t), st.slots, st.calls, c.polls,
		      c.sender_waits);
	assert_int_equal(sgring_close(s), 0);
	far_end(f);
	all_came(f, end);
	return st.calls > c.polls ? st.calls - c.polls : 0;
}

static void sixteen_slots_go_with_one_call(void **state)
{
	(void)state;
	assert_true(flat_out(SGRING_TX_URING, 0) <= FLAT_OUT / 16);
}

static void a_kernel_thread_saves_all_calls(void **state)
{
	(void)state;
	/* It sleeps when nothing has come for a second, as while this machine hangs. */
	assert_in_range(flat_out(SGRING_TX_URING, SGRING_TX_SQPOLL), 0, 2);
}

/* ---- registered buffers ---- */

static void registered_or_the_next_best_with_a_reason(void **state)
{
	struct far *f = FAR();
	struct sgring_tx *t;
	struct sgring *s;
	uint64_t end;

	(void)state;
	s = near_open(SGRING_OPTIONS(.slot_bytes = 100000, .slot_count = 16));
	assert_true(gate_is_on(s));
	assert_int_equal(near_sender(&t, s, f, NULL), 0);
	print_message("%s\n", sgring_tx_choice(t));
	switch (sgring_tx_method(t)) {
	case SGRING_TX_URING_FIXED:
		assert_non_null(strstr(sgring_tx_choice(t), "the reference gate is off"));
		assert_false(gate_is_on(s));
		break;
	case SGRING_TX_URING:
		/* The one reason there is: the kernel is too old for it. */
		assert_non_null(strstr(sgring_tx_choice(t), "does not register such memory"));
		assert_non_null(strstr(sgring_tx_choice(t), "6.12"));
		assert_true(gate_is_on(s));
		break;
	default:
		assert_int_equal(sgring_tx_method(t), SGRING_TX_ZEROCOPY);
		assert_non_null(strstr(sgring_tx_choice(t), "io_uring"));
		assert_true(gate_is_on(s));
	}
	end = near_run(s, t, 100);
	assert_int_equal(sent(t).copied, 0);
	assert_true(sent(t).zerocopy > 0);
	assert_int_equal(sgring_close(s), 0);
	far_end(f);
	all_came(f, end);
}

/* Slots of several runs, of one, of many small chunks. */
static void registered_slots_arrive_and_the_gate_comes_back(void **state)
{
	static const struct {
		uint64_t slot_bytes, chunk_bytes;
		uint32_t policy, flags;
	} ways[] = {
		{ 100000, 0, SGRING_CHUNK_MIXED, 0 },
		{ 1 * MIB, 64 * KIB, SGRING_CHUNK_EQUAL, 0 },
		{ 256 * KIB, 4 * KIB, SGRING_CHUNK_EQUAL, 0 },
		{ 300 * KIB, 0, SGRING_CHUNK_MIXED, SGRING_TX_SQPOLL },
	};
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	struct far *f;
	uint64_t end;
	unsigned int i, n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		f = FAR();
		s = near_open(SGRING_OPTIONS(.slot_bytes = ways[i].slot_bytes, .slot_count = 16,
					     .chunk_bytes = ways[i].chunk_bytes,
					     .chunk_policy = ways[i].policy));
		t = need_sender(s, f, SGRING_TX_OPTIONS(.method = SGRING_TX_URING_FIXED,
							.flags = ways[i].flags));
		assert_false(gate_is_on(s));
		end = near_run(s, t, 60);
		nothing_is_copied(t);
		assert_int_equal(sgring_tx_close(t), 0);
		assert_true(gate_is_on(s));
		/* No pin is left: every slot passes the gate again. */
		assert_int_equal(sgring_start(s), 0);
		for (n = 0; n < 64; n++) {
			assert_int_equal(sgring_next(s, &b, LONG_MS), 0);
			assert_int_equal(sgring_return(s, &b), 0);
		}
		assert_int_equal(sgring_close(s), 0);
		far_end(f);
		all_came(f, end);
	}
}

static void registered_slots_need_few_calls_too(void **state)
{
	(void)state;
	assert_true(flat_out(SGRING_TX_URING_FIXED, 0) <= FLAT_OUT / 16);
}

/* ---- when it goes wrong ---- */

static void resets_in_mid_chain(uint32_t method)
{
	struct far *f = FAR(.cuts = 3, .cut_bytes = 3 * MIB + 12345);
	struct sgring_tx *t;
	struct sgring *s;
	uint64_t end;

	s = near_open(SGRING_OPTIONS(.slot_bytes = 256 * KIB, .slot_count = 16));
	t = need_sender(s, f, SGRING_TX_OPTIONS(.method = method, .reconnect_ms = 2 * LONG_MS));
	end = near_run(s, t, 100);
	assert_int_equal(sent(t).reconnects, 3);
	assert_true(sent(t).resent_slots > 0);
	nothing_is_copied(t);
	assert_int_equal(sgring_close(s), 0);
	far_end(f);
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.position, end);
	/* What the receiver's kernel had, and the receiver not yet, is gone, and a gap. */
	assert_true(f->track.lost_bytes < 8 * MIB);
}

static void resets_in_mid_chain_are_survived(void **state)
{
	(void)state;
	resets_in_mid_chain(SGRING_TX_URING);
}

static void resets_with_registered_buffers_are_survived(void **state)
{
	(void)state;
	resets_in_mid_chain(SGRING_TX_URING_FIXED);
}

/* The kernel ends the ring by itself: no pin and no memory stays, and no wrong byte went out. */
static void killed_in_mid_send(uint32_t method, uint32_t flags)
{
	struct far *f = FAR();
	struct sgring_tx *t;
	struct sgring *s;
	int go[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sgring_open(&s, dev_path("rx0"), SGRING_OPTIONS(.slot_bytes = 256 * KIB,
								    .slot_count = 32)))
			_exit(1);
		status = near_sender(&t, s, f, SGRING_TX_OPTIONS(.method = method, .flags = flags));
		if (status)
			_exit(status == -EOPNOTSUPP ? 77 : 2);
		sgring_start(s);
		near_send(s, t, 50);
		if (write(go[1], "", 1) != 1)
			_exit(3);
		near_send(s, t, UINT64_MAX);
		_exit(4);
	}
	close(go[1]);
	if (read(go[0], &c, 1) == 1)
		kill(pid, SIGKILL);
	close(go[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	far_end(f);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip();
	assert_true(WIFSIGNALED(status));
	assert_int_equal(f->bad, 0);
	assert_true(f->track.bytes > 0);
	/* That the memory comes back is seen after each test. */
	s = near_open(NULL);
	assert_int_equal(sgring_close(s), 0);
}

static void killed_in_mid_send_nothing_stays(void **state)
{
	(void)state;
	killed_in_mid_send(SGRING_TX_URING, 0);
	killed_in_mid_send(SGRING_TX_URING, SGRING_TX_SQPOLL);
}

static void killed_with_registered_buffers_nothing_stays(void **state)
{
	(void)state;
	killed_in_mid_send(SGRING_TX_URING_FIXED, 0);
	killed_in_mid_send(SGRING_TX_URING_FIXED, SGRING_TX_SQPOLL);
}

GROUP(
	TEST(nothing_is_copied_whatever_the_size),
	TEST(datagrams_are_not_copied_either),
	TEST(sixteen_slots_go_with_one_call),
	TEST(a_kernel_thread_saves_all_calls),
	TEST(registered_or_the_next_best_with_a_reason),
	TEST(registered_slots_arrive_and_the_gate_comes_back),
	TEST(registered_slots_need_few_calls_too),
	TEST(resets_in_mid_chain_are_survived),
	TEST(resets_with_registered_buffers_are_survived),
	TEST(killed_in_mid_send_nothing_stays),
	TEST(killed_with_registered_buffers_nothing_stays),
)

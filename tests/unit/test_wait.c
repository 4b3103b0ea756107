// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Waiting: how many system calls it takes, and what ends it. Senders by io_uring over the
 * loopback device and into a file, fed by the simulator, which never lets up; the kernel is
 * the one that runs the test.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cmocka.h>

#include "sgring.h"
#include "uring.h"

#define LONG_MS 60000
#define SLOT 16384U
#define SLOTS 192U
#define COUNT (16 * SLOTS)
#define BUFFER 65536	/* of the peer's socket */

#define NEED_IO_URING() do {			\
	int why;				\
						\
	if (!sgring_uring_probe(&why)) {	\
		print_message("skipped: %s\n", sgring_errmsg());	\
		skip();				\
	}					\
} while (0)

/* --- the far end of a connection; on the heap: a test that fails leaves its thread behind */

/**
 * struct peer - a receiver
 * @nap_usec: after each 64 KiB; so that the network is slower than the device
 * @reset_after: so many bytes it reads no more; when nothing comes any more, the
 *	connection is reset
 * @hold: not a byte is read
 * @arrived: what its kernel had then
 */
struct peer {
	unsigned int nap_usec;
	uint64_t reset_after;
	int hold;
	int fd, port;
	uint64_t arrived;
	pthread_t thread;
};

static void nap(unsigned int usec)
{
	const struct timespec t = { .tv_sec = usec / 1000000, .tv_nsec = usec % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

/* What the kernel of this end has, once that does not change any more. */
static uint64_t all_that_comes(int fd)
{
	uint64_t before = UINT64_MAX, info[32] = { 0 };
	socklen_t size = sizeof(info);

	/* tcpi_bytes_received, which this header does not know of. */
	while (info[16] != before) {
		before = info[16];
		nap(500000);
		if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, info, &size))
			abort();
	}
	return before;
}

static void *peer_thread(void *arg)
{
	static const struct linger reset = { .l_onoff = 1 };
	char *data = malloc(65536);
	struct peer *p = arg;
	uint64_t bytes = 0;
	ssize_t n;
	int fd;

	fd = accept(p->fd, NULL, NULL);
	while (__atomic_load_n(&p->hold, __ATOMIC_ACQUIRE))
		nap(1000);
	while ((n = recv(fd, data, 65536, MSG_WAITALL)) > 0) {
		bytes += (uint64_t)n;
		if (p->reset_after && bytes >= p->reset_after) {
			p->arrived = all_that_comes(fd);
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			break;
		}
		if (p->nap_usec)
			nap(p->nap_usec);
	}
	close(fd);
	free(data);
	return NULL;
}

static struct peer *peer_start(struct peer like)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct peer *p = malloc(sizeof(*p));
	socklen_t size = sizeof(a);
	int buffer = BUFFER;

	*p = like;
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(p->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
	assert_int_equal(bind(p->fd, (struct sockaddr *)&a, size), 0);
	assert_int_equal(getsockname(p->fd, (struct sockaddr *)&a, &size), 0);
	assert_int_equal(listen(p->fd, 1), 0);
	p->port = ntohs(a.sin_port);
	pthread_create(&p->thread, NULL, peer_thread, p);
	return p;
}

#define PEER(...) peer_start((struct peer){ __VA_ARGS__ })

static void peer_end(struct peer *p)
{
	pthread_join(p->thread, NULL);
	close(p->fd);
	free(p);
}

/* --- the near end */

static struct sgring *stream_open(uint32_t slots, uint32_t waiting)
{
	struct sgring *s;

	if (sgring_open(&s, "sim:rate=0,fill=0", SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = slots,
								.waiting = waiting)))
		fail_msg("%s", sgring_errmsg());
	return s;
}

static struct sgring_tx *sender_to(struct sgring *s, const struct peer *p,
				   const struct sgring_tx_options *o)
{
	struct sgring_tx *t;
	char url[64];
	int err;

	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", p->port);
	err = sgring_tx_open(&t, s, url, o);
	if (err == -EOPNOTSUPP) {
		print_message("skipped: %s\n", sgring_errmsg());
		skip();
	}
	if (err)
		fail_msg("%s", sgring_errmsg());
	return t;
}

static int send_some(struct sgring *s, struct sgring_tx *t, uint64_t count)
{
	struct sgring_slot slot;
	int err = 0;

	while (count-- && !err) {
		err = sgring_next(s, &slot, LONG_MS);
		if (!err)
			err = sgring_tx_send(t, &slot);
	}
	return err;
}

static uint64_t calls(const struct sgring *s, const struct sgring_tx *t)
{
	struct sgring_tx_stats st;
	struct sgring_counters c;

	sgring_counters(s, &c);
	sgring_tx_stats(t, &st);
	return c.kicks + c.polls + c.sender_waits + st.calls;
}

/*
 * At least @least, and for COUNT slots no more than @most system calls, when all slots have
 * been round. A device that is slower than the network is waited for more often; and where
 * it is a thread, on a machine that lets it wait, it is for a while: then once more.
 */
static void calls_are(struct sgring *s, struct sgring_tx *t, uint64_t least, uint64_t most)
{
	uint64_t before, made;
	int tries = 40;

	assert_int_equal(sgring_start(s), 0);
	if (send_some(s, t, 2 * SLOTS))
		fail_msg("%s", sgring_errmsg());
	do {
		before = calls(s, t);
		if (send_some(s, t, COUNT))
			fail_msg("%s", sgring_errmsg());
		made = calls(s, t) - before;
		print_message("%s: %" PRIu64 " calls for %u slots\n", sgring_tx_choice(t), made,
			      COUNT);
		assert_true(made >= least);
	} while (made > most && --tries);
	assert_true(made <= most);
}

static void over_a_slow_network_a_call_does_for_sixteen_slots(void **state)
{
	static const uint32_t flags[] = { 0, SGRING_TX_RAW };
	unsigned int i, m;
	struct sgring_tx *t;
	struct sgring *s;
	struct peer *p;

	(void)state;
	NEED_IO_URING();
	for (m = SGRING_TX_URING; m <= SGRING_TX_URING_FIXED; m++) {
		for (i = 0; i < 2; i++) {
			s = stream_open(SLOTS, SGRING_SLEEP);
			p = PEER(.nap_usec = 300);
			t = sender_to(s, p, SGRING_TX_OPTIONS(.method = m, .flags = flags[i]));
			calls_are(s, t, 1, COUNT / 16);
			assert_true(sgring_close(s) >= 0);
			peer_end(p);
		}
	}
}

/* The thread that submits sleeps when nothing has come for a second, as while a machine hangs. */
static void spinning_and_polled_nothing_is_called(void **state)
{
	struct sgring_tx *t;
	struct sgring *s;
	struct peer *p;

	(void)state;
	NEED_IO_URING();
	s = stream_open(SLOTS, SGRING_SPIN);
	p = PEER(.nap_usec = 300);
	t = sender_to(s, p, SGRING_TX_OPTIONS(.method = SGRING_TX_URING, .flags = SGRING_TX_SQPOLL));
	calls_are(s, t, 0, 4);
	assert_true(sgring_close(s) >= 0);
	peer_end(p);
}

static void into_a_file_a_call_does_for_sixteen_slots(void **state)
{
	struct sgring_tx *t;
	struct sgring *s;

	(void)state;
	NEED_IO_URING();
	s = stream_open(SLOTS, SGRING_SLEEP);
	if (sgring_tx_open(&t, s, "file:" FOLDER "/wait.data",
			   SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE)))
		fail_msg("%s", sgring_errmsg());
	if (sgring_tx_method(t) != SGRING_TX_URING && sgring_tx_method(t) != SGRING_TX_URING_FIXED) {
		print_message("skipped: %s\n", sgring_tx_choice(t));
		sgring_close(s);
		skip();
	}
	calls_are(s, t, 1, COUNT / 16);
	assert_true(sgring_close(s) >= 0);
	unlink(FOLDER "/wait.data");
	unlink(FOLDER "/wait.index");
}

/* --- a kernel that takes nothing */

/* From now on in this process; 77: not allowed. */
static int refuse_io_uring_enter(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_enter, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAGAIN),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? 77 : 0;
}

/* Its sender fails for want of progress; a few system calls a millisecond until then. */
static int waits_while_refused(const char *url)
{
	struct sgring_counters c;
	int64_t begun, ms;
	struct sgring_tx *t;
	struct sgring *s = stream_open(8, SGRING_SLEEP);
	int err;

	if (sgring_tx_open(&t, s, url, SGRING_TX_OPTIONS(.flags = strncmp(url, "file", 4) ? 0 :
							  SGRING_TX_OVERWRITE, .timeout_ms = 500)))
		return 1;
	if (sgring_tx_method(t) != SGRING_TX_URING && sgring_tx_method(t) != SGRING_TX_URING_FIXED)
		return 77;
	if (sgring_start(s))
		return 2;
	err = refuse_io_uring_enter();
	if (err)
		return err;
	begun = sgring_now_ns();
	err = send_some(s, t, UINT64_MAX);
	ms = (sgring_now_ns() - begun) / SGRING_MS_NS;
	sgring_counters(s, &c);
	print_message("%s: %d after %" PRId64 " ms: %" PRIu64 " waits\n", url, err, ms, c.sender_waits);
	if (err != -ETIMEDOUT && err != -ENOBUFS)
		return 3;
	return c.sender_waits <= 4 * (uint64_t)ms + 100 ? 0 : 4;
}

static void a_refused_submission_is_no_reason_to_spin(void **state)
{
	struct peer *p = PEER(.hold = 0);
	char url[64];
	const char *const urls[] = { url, "file:" FOLDER "/refused.data" };
	unsigned int i;
	int status;
	pid_t pid;

	(void)state;
	NEED_IO_URING();
#ifdef __SANITIZE_THREAD__
	skip();	/* it knows of no child that begins threads */
#endif
	snprintf(url, sizeof(url), "tcp://127.0.0.1:%d", p->port);
	for (i = 0; i < 2; i++) {
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			_exit(waits_while_refused(urls[i]));
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == 77)
			print_message("%s left out: not here\n", urls[i]);
		else
			assert_int_equal(WEXITSTATUS(status), 0);
	}
	unlink(FOLDER "/refused.data");
	unlink(FOLDER "/refused.index");
	peer_end(p);
}

/* --- what ends a wait */

struct cancelling {
	struct sgring *s;
	int64_t at;
	pthread_t thread;
};

static void *cancel_later(void *arg)
{
	struct cancelling *c = arg;

	nap(50000);
	c->at = sgring_now_ns();
	sgring_cancel(c->s);
	return NULL;
}

/* In time: once at least, for who knows when its threads run. */
static void a_cancellation_ends_a_wait_for_a_peer_that_takes_nothing(void **state)
{
	struct cancelling c;
	struct sgring_tx *t;
	struct peer *p;
	int64_t ms;
	int tries = 30, err;

	(void)state;
	NEED_IO_URING();
	do {
		c.s = stream_open(SLOTS, SGRING_SLEEP);
		p = PEER(.hold = 1);
		t = sender_to(c.s, p, SGRING_TX_OPTIONS(.method = SGRING_TX_URING));
		assert_int_equal(sgring_start(c.s), 0);
		assert_int_equal(send_some(c.s, t, SLOTS), 0);
		/* Now it waits for as long as it ever does. */
		c.s->slot_ns = 1000 * SGRING_MS_NS;
		c.s->in_vain = 0;
		pthread_create(&c.thread, NULL, cancel_later, &c);
		while (!(err = sgring_wait(c.s, -1)))
			assert_int_equal(send_some(c.s, t, 1), 0);
		assert_int_equal(err, -EINTR);
		pthread_join(c.thread, NULL);
		ms = (sgring_now_ns() - c.at) / SGRING_MS_NS;
		assert_true(sgring_close(c.s) < 0);
		__atomic_store_n(&p->hold, 0, __ATOMIC_RELEASE);
		peer_end(p);
	} while (ms > 200 && --tries);
	print_message("noticed after %" PRId64 " ms\n", ms);
	assert_true(ms <= 200);
}

/* A peer that takes nothing keeps the slots it was sent, and no others. */
static void the_device_goes_on_beside_a_peer_that_takes_nothing(void **state)
{
	struct sgring_slot slot;
	struct sgring_tx *t;
	struct sgring *s;
	struct peer *p;
	unsigned int i;

	(void)state;
	NEED_IO_URING();
	s = stream_open(512, SGRING_SLEEP);
	p = PEER(.hold = 1);
	t = sender_to(s, p, SGRING_TX_OPTIONS(.method = SGRING_TX_URING));
	assert_int_equal(sgring_start(s), 0);
	/* More than the sockets of both ends hold. */
	if (send_some(s, t, 500))
		fail_msg("%s", sgring_errmsg());
	for (i = 0; i < 1000; i++) {
		if (sgring_next(s, &slot, LONG_MS))
			fail_msg("%s", sgring_errmsg());
		assert_int_equal(sgring_return(s, &slot), 0);
	}
	__atomic_store_n(&p->hold, 0, __ATOMIC_RELEASE);
	assert_true(sgring_close(s) >= 0);
	peer_end(p);
}

/* What is let go of by a reset has not arrived; nobody asks before it is returned. */
static void what_a_reset_let_go_of_counts_as_unsent(void **state)
{
	struct sgring_tx_stats st;
	struct sgring_tx *t;
	unsigned int m;
	struct sgring *s;
	struct peer *p;
	uint64_t arrived;
	int err;

	(void)state;
	NEED_IO_URING();
	for (m = SGRING_TX_ZEROCOPY; m <= SGRING_TX_URING_FIXED; m++) {
		s = stream_open(SLOTS, SGRING_SLEEP);
		p = PEER(.reset_after = 40 * SLOT);
		t = sender_to(s, p, SGRING_TX_OPTIONS(.method = m, .flags = SGRING_TX_RAW));
		assert_int_equal(sgring_start(s), 0);
		err = send_some(s, t, UINT64_MAX);
		assert_true(err == -ECONNRESET || err == -EPIPE);
		sgring_tx_stats(t, &st);
		pthread_join(p->thread, NULL);
		arrived = p->arrived;
		assert_true(arrived >= 40 * SLOT);
		assert_true((st.slots - st.unsent_slots) * SLOT <= arrived);
		assert_true(st.unsent_slots <= SLOTS + arrived / SLOT);
		assert_true(sgring_close(s) < 0);
		close(p->fd);
		free(p);
	}
}

/* --- the wait itself */

static void on_signal(int number)
{
	(void)number;
}

/* Until it is told that one was noticed: who knows when the wait begins. */
struct signals {
	pthread_t to, thread;
	bool enough;
};

static void *signal_again_and_again(void *arg)
{
	struct signals *g = arg;

	while (!__atomic_load_n(&g->enough, __ATOMIC_RELAXED)) {
		nap(50000);
		pthread_kill(g->to, SIGUSR1);
	}
	return NULL;
}

static int interrupted_wait(struct sgring_uring *u, unsigned int completions)
{
	struct signals g = { .to = pthread_self() };
	int err;

	pthread_create(&g.thread, NULL, signal_again_and_again, &g);
	err = sgring_uring_wait(u, completions, LONG_MS * SGRING_MS_NS);
	__atomic_store_n(&g.enough, true, __ATOMIC_RELAXED);
	pthread_join(g.thread, NULL);
	return err;
}

static void nops(struct sgring_uring *u, unsigned int n)
{
	while (n--)
		io_uring_prep_nop(io_uring_get_sqe(&u->ring));
}

static void a_wait_hands_over_and_tells_why_it_ended(void **state)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct sgring_uring u;
	struct sigaction old;
	struct sgring *s;
	int pipes[2];

	(void)state;
	NEED_IO_URING();
	s = stream_open(4, SGRING_SLEEP);
	assert_int_equal(sgring_uring_open(&u, s, 8, 16, false), 0);
	if (!sgring_uring_can_wait(&u)) {
		print_message("skipped: before Linux 5.11\n");
		skip();
	}
	assert_int_equal(pipe(pipes), 0);
	sigaction(SIGUSR1, &action, &old);

	nops(&u, 3);
	assert_int_equal(sgring_uring_wait(&u, 3, LONG_MS * SGRING_MS_NS), 1);
	assert_int_equal(io_uring_sq_ready(&u.ring), 0);
	assert_int_equal(io_uring_cq_ready(&u.ring), 3);
	/* They are there: it need not sleep. */
	assert_int_equal(sgring_uring_wait(&u, 2, LONG_MS * SGRING_MS_NS), 1);
	/* More than there are: it was the time, also if some came, and if some were taken. */
	assert_int_equal(sgring_uring_wait(&u, 4, 20 * SGRING_MS_NS), 0);
	io_uring_cq_advance(&u.ring, 3);
	assert_int_equal(sgring_uring_wait(&u, 1, 20 * SGRING_MS_NS), 0);
	nops(&u, 2);
	assert_int_equal(sgring_uring_wait(&u, 3, 20 * SGRING_MS_NS), 0);
	assert_int_equal(io_uring_cq_ready(&u.ring), 2);
	/* A signal, with none and with some of that. */
	assert_int_equal(interrupted_wait(&u, 3), -EINTR);
	io_uring_cq_advance(&u.ring, 2);
	io_uring_prep_poll_add(io_uring_get_sqe(&u.ring), pipes[0], POLLIN);
	assert_int_equal(interrupted_wait(&u, 1), -EINTR);
	/* Calls that wait are not counted as such that submit. */
	assert_int_equal(u.calls, 0);

	sigaction(SIGUSR1, &old, NULL);
	sgring_uring_close(&u);
	sgring_close(s);
	close(pipes[0]);
	close(pipes[1]);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wait_hands_over_and_tells_why_it_ended),
		cmocka_unit_test(over_a_slow_network_a_call_does_for_sixteen_slots),
		cmocka_unit_test(spinning_and_polled_nothing_is_called),
		cmocka_unit_test(into_a_file_a_call_does_for_sixteen_slots),
		cmocka_unit_test(a_refused_submission_is_no_reason_to_spin),
		cmocka_unit_test(a_cancellation_ends_a_wait_for_a_peer_that_takes_nothing),
		cmocka_unit_test(the_device_goes_on_beside_a_peer_that_takes_nothing),
		cmocka_unit_test(what_a_reset_let_go_of_counts_as_unsent),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Slots leave through a NIC from where the device has put them: no notification
 * says that a byte was copied, the receiver finds every byte right, and what is
 * in flight outlives the stream.
 *
 * The other end is this program again, on the host:  test_zerocopy --receive
 * It says its port on stdout. RECEIVER (host:port) tells the tests where it is.
 */
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common.h"

#define SLOT		(256 * KIB)

/* ---- the wire ---- */

enum { DATA = 0x53470001, RESULT = 0x53470002 };

#define TRANSFERS	4096

/* First on each connection. RESULT lets a transfer that was on hold go, and waits for its end. */
struct hello {
	uint32_t what;
	uint32_t id;		/* of the transfer */
	uint32_t hold;		/* do not read until somebody asks for the result */
	uint32_t pad;
	uint64_t key;		/* of the pattern */
};

/* Before each piece of data. A connection ends after a whole piece. */
struct piece {
	uint64_t position;
	uint64_t bytes;
};

struct result {
	uint64_t verified;
	uint32_t wrong;
	uint32_t done;
};

/* ---- the host's side ---- */

struct transfer {
	struct result result;
	uint32_t go;
};

static bool receive_all(int fd, void *to, size_t bytes)
{
	return recv(fd, to, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

static void receive_data(int fd, const struct hello *h, struct transfer *t)
{
	static unsigned char buffer[64 * KIB];
	struct piece p;

	if (h->hold)
		WAIT_FOR(__atomic_load_n(&t->go, __ATOMIC_ACQUIRE), 60000);
	while (receive_all(fd, &p, sizeof(p))) {
		while (p.bytes) {
			size_t n = p.bytes < sizeof(buffer) ? p.bytes : sizeof(buffer);

			if (!receive_all(fd, buffer, n)) {
				t->result.wrong++;
				goto out;
			}
			if (sgring_pattern_verify(buffer, n, h->key, p.position) != n)
				t->result.wrong++;
			else
				t->result.verified += n;
			p.position += n;
			p.bytes -= n;
		}
	}
out:
	__atomic_store_n(&t->result.done, 1, __ATOMIC_RELEASE);
}

static void receive_one(int fd, struct transfer *transfers)
{
	struct transfer *t;
	struct hello h;

	if (!receive_all(fd, &h, sizeof(h)))
		return;
	t = &transfers[h.id % TRANSFERS];
	if (h.what == DATA) {
		receive_data(fd, &h, t);
	} else if (h.what == RESULT) {
		__atomic_store_n(&t->go, 1, __ATOMIC_RELEASE);
		WAIT_FOR(__atomic_load_n(&t->result.done, __ATOMIC_ACQUIRE), 60000);
		send(fd, &t->result, sizeof(t->result), MSG_NOSIGNAL);
	}
}

static int receive(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct transfer *transfers = mmap(NULL, TRANSFERS * sizeof(*transfers),
					  PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd, small = 64 * KIB;
	socklen_t bytes = sizeof(a);

	signal(SIGCHLD, SIG_IGN);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (transfers == MAP_FAILED || bind(listener, (void *)&a, sizeof(a)) ||
	    listen(listener, 16) || getsockname(listener, (void *)&a, &bytes)) {
		perror("receive");
		return 1;
	}
	printf("%d\n", ntohs(a.sin_port));
	fflush(stdout);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		if (!fork()) {
			receive_one(fd, transfers);
			_exit(0);
		}
		close(fd);
	}
	return 1;
}

/* ---- the guest's side ---- */

/* A socket of its own for each try: one that has failed keeps the error in its queue. */
static bool try_connect(int *fd, const struct sockaddr_in *a)
{
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!connect(*fd, (const void *)a, sizeof(*a)))
		return true;
	close(*fd);
	return false;
}

static int receiver_connect(const struct hello *h)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd, on = 1, large = 64 * MIB;
	const char *where = getenv("RECEIVER");
	char host[64];
	int port;

	assert_non_null(where);
	assert_int_equal(sscanf(where, "%63[^:]:%d", host, &port), 2);
	a.sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, host, &a.sin_addr), 1);
	/* The link may need some seconds. */
	assert_true(WAIT_FOR(try_connect(&fd, &a), LONG_MS));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)), 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	assert_int_equal(send(fd, h, sizeof(*h), 0), sizeof(*h));
	return fd;
}

static uint32_t new_id(void)
{
	static uint32_t last;

	return getpid() * 16 + ++last;
}

static struct result result_of(uint32_t id)
{
	int fd = receiver_connect(&(struct hello){ .what = RESULT, .id = id });
	struct result r;

	assert_true(receive_all(fd, &r, sizeof(r)));
	assert_true(r.done);
	close(fd);
	return r;
}

/**
 * struct sender - a socket and its notifications
 * @fd: the socket
 * @sent: calls with MSG_ZEROCOPY so far
 * @over: all before this one are notified
 * @copied: how many were copied
 * @notified: by number; they come in any order
 */
struct sender {
	int fd;
	uint32_t sent;
	uint32_t over;
	uint32_t copied;
	bool notified[16384];
};

static struct sender sender_open(uint32_t id, bool hold, uint64_t key)
{
	return (struct sender){ .fd = receiver_connect(&(struct hello){
		.what = DATA, .id = id, .hold = hold, .key = key }) };
}

static void notified(struct sender *t, const struct sock_extended_err *e)
{
	uint32_t i;

	assert_int_equal(e->ee_errno, 0);
	assert_int_equal(e->ee_origin, SO_EE_ORIGIN_ZEROCOPY);
	assert_true(e->ee_info <= e->ee_data && e->ee_data < t->sent);
	for (i = e->ee_info; i <= e->ee_data; i++) {
		assert_false(t->notified[i]);
		t->notified[i] = true;
		t->copied += !!(e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
	}
	while (t->notified[t->over])
		t->over++;
}

/* All notifications there are. */
static void notifications(struct sender *t)
{
	char control[200];
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	while (recvmsg(t->fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0) {
		for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			notified(t, (void *)CMSG_DATA(c));
		m.msg_controllen = sizeof(control);
	}
	assert_int_equal(errno, EAGAIN);
}

static void send_slot(struct sender *t, const struct stream *s, const struct sgring_cqe *e)
{
	struct piece p = { e->position_bytes, e->length_bytes };
	const unsigned char *from = slot_data(s, e->slot);
	size_t left = e->length_bytes;

	assert_int_equal(send(t->fd, &p, sizeof(p), MSG_MORE), sizeof(p));
	while (left) {
		ssize_t n = send(t->fd, from, left, MSG_ZEROCOPY);

		if (n < 0 && errno == ENOBUFS) {
			assert_true(WAIT_FOR((notifications(t), t->over == t->sent), LONG_MS));
			continue;
		}
		assert_true(n > 0);
		assert_true(++t->sent < ARRAY_SIZE(t->notified));
		from += n;
		left -= n;
	}
}

/* One run of @count slots; a slot goes back when the NIC is done with it. */
static void send_right(const char *label, const struct sgring_setup *setup, unsigned int count)
{
	struct stream s = stream_open(label, setup);
	uint32_t slots[64], until[64], in = 0, out = 0;
	uint32_t id = new_id();
	struct sender t = sender_open(id, false, s.key);
	uint64_t bytes = 0;
	struct result r;

	assert_true(s.setup.slot_count <= 64);
	stream_start(&s);
	while (count || out != in) {
		if (count && in - out < s.setup.slot_count) {
			struct sgring_cqe e = stream_expect(&s);

			send_slot(&t, &s, &e);
			bytes += e.length_bytes;
			slots[in % 64] = e.slot;
			until[in++ % 64] = t.sent;
			count--;
		}
		if (!count || in - out >= s.setup.slot_count / 2)
			assert_true(WAIT_FOR((notifications(&t), t.over >= until[out % 64]), LONG_MS));
		while (out != in && t.over >= until[out % 64])
			stream_return(&s, slots[out++ % 64], 0);
	}
	close(t.fd);
	r = result_of(id);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(r.verified, bytes);
	assert_int_equal(t.over, t.sent);
	assert_true(t.sent > 0);
	assert_int_equal(t.copied, 0);
	stream_close(&s);
}

static void sent_without_a_copy_and_arrived_right(void **state)
{
	(void)state;
	send_right("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 16 }, 64);
}

static void every_chunk_policy_is_sent_without_a_copy(void **state)
{
	(void)state;
	send_right("rx0", &(struct sgring_setup){ .slot_bytes = SLOT + 100 * KIB, .slot_count = 8,
		.chunk_bytes = 4 * KIB }, 12);
	send_right("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8,
		.chunk_policy = SGRING_CHUNK_EQUAL, .chunk_bytes = 64 * KIB }, 12);
	send_right("xilinx0", &(struct sgring_setup){ .slot_bytes = MIB, .slot_count = 8 }, 10);
}

static void short_packets_are_sent_without_a_copy(void **state)
{
	(void)state;
	knob_set("rx0", "packet_bytes", 50001);
	knob_set("rx0", "packet_jitter", 20000);
	send_right("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 16 }, 64);
}

/* Somebody else takes what memory is free, and fills it. */
static void others_take_memory(void)
{
	struct stream other = stream_open("rx1", &(struct sgring_setup){
		.slot_bytes = MIB, .slot_count = 64 });

	stream_start(&other);
	stream_run(&other, 70);
	stream_close(&other);
}

#define HELD_SLOTS	16

static void hold(struct stream *s, struct sender *t)
{
	unsigned int i;

	stream_start(s);
	for (i = 0; i < HELD_SLOTS; i++) {
		struct sgring_cqe e = stream_expect(s);

		send_slot(t, s, &e);
	}
}

static void closed_in_mid_send_the_pages_stay_valid(void **state)
{
	int fd = dev_open("rx0", O_RDONLY);
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = MIB, .slot_count = HELD_SLOTS });
	uint32_t id = new_id();
	struct sender t = sender_open(id, true, s.key);
	struct result r;

	(void)state;
	hold(&s, &t);
	stream_close(&s);
	notifications(&t);
	assert_true(t.over < t.sent);
	assert_in_range(stats_of(fd).held_bytes, MIB, HELD_SLOTS * MIB);
	assert_int_equal(query_of(fd).state, SGRING_STATE_IDLE);
	others_take_memory();

	shutdown(t.fd, SHUT_WR);
	r = result_of(id);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(r.verified, HELD_SLOTS * MIB);
	assert_true(WAIT_FOR((notifications(&t), t.over == t.sent), LONG_MS));
	assert_int_equal(t.copied, 0);
	assert_true(WAIT_FOR(!stats_of(fd).held_bytes, LONG_MS));
}

static void killed_in_mid_send_the_pages_stay_valid(void **state)
{
	int fd = dev_open("rx0", O_RDONLY), ready[2], status;
	uint32_t id = new_id();
	struct result r;
	pid_t pid;
	char c;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct stream s = stream_open("rx0", &(struct sgring_setup){
			.slot_bytes = MIB, .slot_count = HELD_SLOTS });
		struct sender t = sender_open(id, true, s.key);

		hold(&s, &t);
		if (write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	/* The socket is nobody's now, and goes on. */
	assert_true(WAIT_FOR(query_of(fd).state == SGRING_STATE_IDLE, LONG_MS));
	assert_in_range(stats_of(fd).held_bytes, MIB, HELD_SLOTS * MIB);
	others_take_memory();
	r = result_of(id);
	assert_int_equal(r.wrong, 0);
	assert_int_equal(r.verified, HELD_SLOTS * MIB);
	assert_true(WAIT_FOR(!stats_of(fd).held_bytes, LONG_MS));
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(sent_without_a_copy_and_arrived_right),
		TEST(every_chunk_policy_is_sent_without_a_copy),
		TEST(short_packets_are_sent_without_a_copy),
		TEST(closed_in_mid_send_the_pages_stay_valid),
		TEST(killed_in_mid_send_the_pages_stay_valid),
	};

	if (argc > 1 && !strcmp(argv[1], "--receive"))
		return receive();
	/* A notification of each call is charged until it is read. */
	file_try("/proc/sys/net/core/optmem_max", "1000000");
	return group_run(argc, argv, tests, ARRAY_SIZE(tests));
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Senders over a wire, where what is sent truly leaves without a copy: sendmsg
 * with MSG_ZEROCOPY over TCP and UDP, one receiver and several, framed and raw.
 * Every byte is checked at the far end, by its position in the stream.
 *
 * The stream and its senders are in namespace "left", receivers are threads in
 * namespace "right".
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <sgring.h>
#include <sgring_frame.h>

#include "common.h"

#define SLOT	(256 * KIB)
#define RIGHT_V4 "10.77.0.2"
#define RIGHT_V6 "[fd77::2]"
#define GROUP_V4 "239.77.1.2"
#define GROUP_V6 "[ff15::7712]"

static bool enter(const char *side)
{
	const char *path = getenv(side);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	bool done = fd >= 0 && !setns(fd, CLONE_NEWNET);

	if (fd >= 0)
		close(fd);
	return done;
}

/* Something of the interface, by ioctl, in the namespace of this thread. */
static void wire_set(unsigned long request, struct ifreq *r)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(r->ifr_name, "wire");
	if (ioctl(fd, request, r))
		fail_msg("wire: ioctl %lx: %s", request, strerror(errno));
	close(fd);
}

static void wire_up(bool up)
{
	struct ifreq r = { .ifr_flags = up ? IFF_UP | IFF_RUNNING : 0 };

	wire_set(SIOCSIFFLAGS, &r);
}

/* Packets that left by it. */
static uint64_t wire_sent(void)
{
	unsigned long long packets = 0;
	FILE *f = fopen("/proc/thread-self/net/dev", "re");
	char line[300];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		sscanf(line, " wire: %*u %*u %*u %*u %*u %*u %*u %*u %*u %llu", &packets);
	fclose(f);
	return packets;
}

/* QEMU's e1000e spoils what it cuts into segments for IPv6. */
static void wire_segments(bool on)
{
	struct ethtool_value v = { .cmd = ETHTOOL_STSO, .data = on };
	struct ifreq r = { .ifr_data = (void *)&v };

	wire_set(SIOCETHTOOL, &r);
}

/* What the path takes; of the interface itself it would take the link down. */
static void path_mtu(int mtu)
{
	char command[100];

	snprintf(command, sizeof(command), "ip route change 10.77.0.0/24 dev wire src 10.77.0.1 mtu %d",
		 mtu);
	assert_int_equal(system(command), 0);
}

/* ---- the far end ---- */

/**
 * struct far - a receiver
 * @raw: no frames
 * @datagrams: UDP; else TCP
 * @group: multicast group to join, of @family
 * @pause_us: it is slow: after each piece
 * @cuts: resets the connection after so many bytes
 * @cut_count: that often
 * @fd: listens
 * @port: there
 * @quit: everything was sent
 * @connections: so far
 * @bad: pieces that are wrong, frames that cannot be
 * @raw_bytes: raw: right ones
 * @track: framed
 * @hellos: framed
 * @longest: datagram
 */
struct far {
	bool raw;
	bool datagrams;
	int family;
	const char *group;
	unsigned int pause_us;
	uint64_t cuts[4];
	unsigned int cut_count;

	pthread_t thread;
	uint64_t key;
	int fd;
	int port;
	int quit;
	unsigned int connections;
	uint64_t bad;
	uint64_t raw_bytes;
	struct sgring_track track;
	unsigned int hellos;
	size_t longest;
	/* of a connection */
	unsigned char *have;
	size_t have_bytes;
	struct sgring_hello hello;
	uint64_t budget;
};

#define HAVE_MAX (4 * MIB)

static void check(struct far *f, const unsigned char *data, size_t bytes, uint64_t position)
{
	f->bad += sgring_pattern_verify(data, bytes, f->key, position) != bytes;
}

/* An entry and its data. In order, or the track says what is missing. */
static void entry_came(struct far *f, const struct sgring_cqe *e, const unsigned char *data)
{
	uint64_t skip, lost;

	f->bad += sgring_track_entry(&f->track, e, &skip, &lost) < 0;
	check(f, data, e->length_bytes, e->position_bytes);
}

static void hello_came(struct far *f, const unsigned char *wire)
{
	f->bad += !!sgring_hello_unpack(&f->hello, wire);
	sgring_track_hello(&f->track, &f->hello);
	f->hellos++;
}

/* The frames that are whole in what a connection has brought; the rest stays. */
static void take_frames(struct far *f)
{
	unsigned char *p = f->have, *end = p + f->have_bytes;
	struct sgring_cqe e;

	while (end - p >= SGRING_ENTRY_BYTES) {
		if (sgring_frame_is_hello(p)) {
			if (end - p < SGRING_HELLO_BYTES)
				break;
			hello_came(f, p);
			p += SGRING_HELLO_BYTES;
			continue;
		}
		if (!f->hello.session || sgring_entry_unpack(&e, p, &f->hello)) {
			f->bad++;
			p = end;
			break;
		}
		if ((uint64_t)(end - p) < SGRING_ENTRY_BYTES + e.length_bytes)
			break;
		entry_came(f, &e, p + SGRING_ENTRY_BYTES);
		p += SGRING_ENTRY_BYTES + e.length_bytes;
	}
	f->have_bytes = (size_t)(end - p);
	memmove(f->have, p, f->have_bytes);
}

/* What a connection has now: false, it is over. */
static bool read_connection(struct far *f, int fd)
{
	size_t room = HAVE_MAX - f->have_bytes;
	ssize_t n;

	if (room > f->budget)
		room = (size_t)f->budget;
	if (room > 64 * KIB)
		room = 64 * KIB;
	n = recv(fd, f->have + f->have_bytes, room, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return true;
	if (n <= 0)
		return false;
	f->budget -= (uint64_t)n;
	if (f->raw) {
		check(f, f->have, (size_t)n, f->raw_bytes);
		f->raw_bytes += (uint64_t)n;
	} else {
		f->have_bytes += (size_t)n;
		take_frames(f);
	}
	if (f->pause_us)
		usleep(f->pause_us);
	return f->budget;
}

static void *far_stream(void *arg)
{
	const struct linger reset = { .l_onoff = 1 };
	struct far *f = arg;
	int fd = -1;

	while (fd >= 0 || !__atomic_load_n(&f->quit, __ATOMIC_ACQUIRE)) {
		struct pollfd p[2] = {
			{ .fd = f->fd, .events = POLLIN }, { .fd = fd, .events = POLLIN },
		};
		bool over;

		poll(p, 2, 50);
		over = p[1].revents && !read_connection(f, fd);
		/* A new connection: the old one is dead, but first what it has brought. */
		if ((p[0].revents & POLLIN && !p[1].revents) || over) {
			if (fd >= 0 && over && !f->budget)
				setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
			if (fd >= 0)
				close(fd);
			fd = -1;
		}
		if (fd < 0 && p[0].revents & POLLIN) {
			fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
			f->budget = f->connections < f->cut_count ? f->cuts[f->connections] : UINT64_MAX;
			f->connections++;
			f->have_bytes = 0;
			f->hello = (struct sgring_hello){ 0 };
		}
	}
	close(f->fd);
	return NULL;
}

static void datagram_came(struct far *f, size_t n)
{
	const unsigned char *d = f->have;
	struct sgring_cqe e;

	if (n > f->longest)
		f->longest = n;
	if (f->raw) {
		/* Where it belongs nobody says: what is lost makes the rest wrong. */
		check(f, d, n, f->raw_bytes);
		f->raw_bytes += n;
	} else if (n >= SGRING_HELLO_BYTES && sgring_frame_is_hello(d)) {
		f->bad += n != SGRING_HELLO_BYTES;
		hello_came(f, d);
	} else if (!f->hello.session) {
		/* Nothing can be made of it. */
	} else if (n < SGRING_ENTRY_BYTES || sgring_entry_unpack(&e, d, &f->hello) ||
		   n != SGRING_ENTRY_BYTES + (size_t)e.length_bytes) {
		f->bad++;
	} else {
		entry_came(f, &e, d + SGRING_ENTRY_BYTES);
	}
}

static void *far_datagrams(void *arg)
{
	struct far *f = arg;
	ssize_t n;

	for (;;) {
		struct pollfd p = { .fd = f->fd, .events = POLLIN };

		if (!poll(&p, 1, 200) && __atomic_load_n(&f->quit, __ATOMIC_ACQUIRE))
			break;
		while ((n = recv(f->fd, f->have, HAVE_MAX, MSG_DONTWAIT)) >= 0)
			datagram_came(f, (size_t)n);
	}
	close(f->fd);
	return NULL;
}

static void join_group(const struct far *f)
{
	if (f->family == AF_INET6) {
		struct ipv6_mreq m = { .ipv6mr_interface = if_nametoindex("wire") };

		inet_pton(AF_INET6, f->group, &m.ipv6mr_multiaddr);
		assert_int_equal(setsockopt(f->fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)), 0);
	} else {
		struct ip_mreqn m = { .imr_ifindex = (int)if_nametoindex("wire") };

		inet_pton(AF_INET, f->group, &m.imr_multiaddr);
		assert_int_equal(setsockopt(f->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)), 0);
	}
}

/*
 * Bound and listening, in "right"; @port: the one it must have, or 0. Not on the
 * stack: a test that fails leaves its thread behind.
 */
static struct far *far_start_at(const struct far *like, int port)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} a = { 0 };
	socklen_t size;
	struct far *f = malloc(sizeof(*f));
	int large = 64 * MIB, one = 1;

	*f = *like;
	a.any.sa_family = (sa_family_t)(f->family ? f->family : AF_INET);
	size = f->family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4);
	/* sin_port and sin6_port are at the same place. */
	a.v4.sin_port = htons((uint16_t)port);
	if (!enter("RIGHT"))
		skip();
	f->fd = socket(a.any.sa_family, (f->datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	assert_true(f->fd >= 0);
	setsockopt(f->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(f->fd, &a.any, size), 0);
	assert_int_equal(getsockname(f->fd, &a.any, &size), 0);
	if (f->datagrams)
		assert_int_equal(setsockopt(f->fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)), 0);
	else
		assert_int_equal(listen(f->fd, 8), 0);
	if (f->group)
		join_group(f);
	assert_true(enter("LEFT"));
	f->port = ntohs(a.v4.sin_port);
	f->key = pattern_key_of("rx0");
	f->have = malloc(HAVE_MAX);
	pthread_create(&f->thread, NULL, f->datagrams ? far_datagrams : far_stream, f);
	return f;
}

#define FAR(...) far_start_at(&(struct far){ __VA_ARGS__ }, 0)

static void far_end(struct far *f)
{
	__atomic_store_n(&f->quit, 1, __ATOMIC_RELEASE);
	pthread_join(f->thread, NULL);
	free(f->have);
}

/* ---- the near end ---- */

static char heard[4096];

static void hear(void *context, const char *line)
{
	size_t n = strlen(heard);

	(void)context;
	snprintf(heard + n, sizeof(heard) - n, "%s\n", line);
}

#define TX(...) SGRING_TX_OPTIONS(.method = SGRING_TX_ZEROCOPY, .say = hear, __VA_ARGS__)

static struct sgring *near_open(const struct sgring_options *o)
{
	struct sgring *s;

	heard[0] = 0;
	if (!enter("LEFT"))
		skip();
	if (sgring_open(&s, dev_path("rx0"), o))
		fail_msg("%s", sgring_errmsg());
	return s;
}

static struct sgring_tx *near_sender(struct sgring *s, const char *scheme, const char *host, int port,
				     const struct sgring_tx_options *o)
{
	struct sgring_tx *t;
	char url[100];

	snprintf(url, sizeof(url), "%s://%s:%d", scheme, host, port);
	if (sgring_tx_open(&t, s, url, o))
		fail_msg("%s", sgring_errmsg());
	return t;
}

static void near_give(struct sgring *s, struct sgring_tx *const *t, unsigned int n,
		      const struct sgring_slot *b)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (b->data && i + 1 < n)
			assert_int_equal(sgring_hold(s, b->index), 0);
		if (sgring_tx_send(t[i], b))
			fail_msg("%s", sgring_errmsg());
	}
}

/* So many slots to each, then the end of the stream; everybody has it all. Where it ended. */
static uint64_t near_run(struct sgring *s, struct sgring_tx *const *t, unsigned int n, uint64_t count)
{
	struct sgring_tx_stats st;
	struct sgring_slot b;
	unsigned int i;
	int err = 0;

	for (; count && !err; count--) {
		err = sgring_next(s, &b, LONG_MS);
		if (!err)
			near_give(s, t, n, &b);
	}
	if (err)
		fail_msg("%s", sgring_errmsg());
	assert_true(sgring_stop(s, SGRING_STOP_DRAIN, 0) >= 0);
	while (!(err = sgring_next(s, &b, LONG_MS)))
		near_give(s, t, n, &b);
	assert_int_equal(err, -ENODATA);
	assert_true(b.flags & SGRING_EOS);
	near_give(s, t, n, &b);
	for (i = 0; i < n; i++) {
		if (sgring_tx_flush(t[i], 4 * LONG_MS))
			fail_msg("%s", sgring_errmsg());
		sgring_tx_stats(t[i], &st);
		assert_int_equal(st.held, 0);
		assert_int_equal(st.queued, 0);
		assert_int_equal(st.strange, 0);
		assert_int_equal(st.unsent_slots, 0);
		assert_int_equal(st.zerocopy + st.copied, st.sends);
	}
	return b.position;
}

static void near_is_zerocopy(const struct sgring_tx *t)
{
	struct sgring_tx_stats st;

	sgring_tx_stats(t, &st);
	assert_int_equal(sgring_tx_method(t), SGRING_TX_ZEROCOPY);
	assert_true(st.zerocopy > 0);
	assert_int_equal(st.copied, 0);
}

static void near_close(struct sgring *s)
{
	struct sgring_stats st = { .size = sizeof(st) };

	assert_int_equal(sgring_stats(s, &st), 0);
	assert_int_equal(st.sq_bad, 0);
	if (sgring_close(s) < 0)
		fail_msg("%s", sgring_errmsg());
}

static void all_came(const struct far *f, uint64_t end)
{
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.epochs, 1);
	assert_int_equal(f->track.position, end);
	assert_int_equal(f->track.bytes, end);
}

/* ---- TCP ---- */

static void tcp_arrives_whole_and_uncopied(const char *host, int family, uint64_t slot_bytes,
					   uint64_t count, uint32_t flags)
{
	struct far *f = FAR(.family = family, .raw = flags & SGRING_TX_RAW);
	struct sgring *s = near_open(SGRING_OPTIONS(.slot_bytes = slot_bytes, .slot_count = 16));
	struct sgring_tx *t;
	uint64_t end;

	t = near_sender(s, "tcp", host, f->port, TX(.flags = flags));
	sgring_start(s);
	end = near_run(s, &t, 1, count);
	near_is_zerocopy(t);
	near_close(s);
	far_end(f);
	if (!f->raw)
		all_came(f, end);
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->raw ? f->raw_bytes : f->track.bytes, end);
}

static void tcp_framed(void **state)
{
	(void)state;
	tcp_arrives_whole_and_uncopied(RIGHT_V4, AF_INET, SLOT, 64, 0);
}

static void tcp_framed_slots_of_odd_size(void **state)
{
	(void)state;
	tcp_arrives_whole_and_uncopied(RIGHT_V4, AF_INET, 100000, 100, 0);
}

static void tcp_raw(void **state)
{
	(void)state;
	tcp_arrives_whole_and_uncopied(RIGHT_V4, AF_INET, 1024 * KIB, 16, SGRING_TX_RAW);
}

static void tcp_framed_over_ipv6(void **state)
{
	(void)state;
	if (!enter("LEFT"))
		skip();
	wire_segments(false);
	tcp_arrives_whole_and_uncopied(RIGHT_V6, AF_INET6, SLOT, 32, 0);
	wire_segments(true);
}

static void slower_receiver_stalls_the_device_and_loses_nothing(void **state)
{
	struct far *f = FAR(.pause_us = 3000);
	struct sgring *s;
	struct sgring_stats st;
	struct sgring_tx *t;
	uint64_t end;

	(void)state;
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 8));
	t = near_sender(s, "tcp", RIGHT_V4, f->port, TX(.flags = 0));
	sgring_start(s);
	end = near_run(s, &t, 1, 60);
	assert_int_equal(sgring_stats(s, &st), 0);
	assert_true(st.stalls > 0);
	near_is_zerocopy(t);
	near_close(s);
	far_end(f);
	all_came(f, end);
}

static void slower_receiver_sees_every_drop(void **state)
{
	struct far *f = FAR(.pause_us = 3000);
	struct sgring *s;
	struct sgring_stats st;
	struct sgring_tx *t;
	uint64_t end;

	(void)state;
	/* Faster than it reads, slower than a drop costs. */
	knob_set("rx0", "rate", 60000000);
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 8,
				     .overrun = SGRING_OVERRUN_DROP));
	t = near_sender(s, "tcp", RIGHT_V4, f->port, TX(.flags = 0));
	sgring_start(s);
	end = near_run(s, &t, 1, 60);
	assert_int_equal(sgring_stats(s, &st), 0);
	assert_true(st.dropped_slots > 0);
	near_is_zerocopy(t);
	near_close(s);
	far_end(f);
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.position, end);
	assert_true(f->track.lost_bytes >= st.dropped_bytes);
	assert_int_equal(f->track.bytes + f->track.lost_bytes, end);
}

static void receiver_that_resets_again_and_again(void **state)
{
	struct far *f = FAR(.cuts = { 3000000, 100, 5000000, 1000 }, .cut_count = 4);
	struct sgring *s;
	struct sgring_tx_stats st;
	struct sgring_tx *t;
	uint64_t end;

	(void)state;
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16));
	t = near_sender(s, "tcp", RIGHT_V4, f->port, TX(.reconnect_ms = 2 * LONG_MS));
	sgring_start(s);
	end = near_run(s, &t, 1, 100);
	sgring_tx_stats(t, &st);
	assert_int_equal(st.reconnects, 4);
	assert_true(st.resent_slots > 0);
	near_is_zerocopy(t);
	near_close(s);
	far_end(f);
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->connections, 5);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.epochs, 1);
	assert_int_equal(f->track.position, end);
	/* What the receiver's kernel had, and the receiver not yet, is gone, and a gap. */
	assert_int_equal(f->track.bytes + f->track.lost_bytes, end);
	assert_non_null(strstr(heard, "trying to connect again"));
	assert_non_null(strstr(heard, "connected again"));
}

static void *cut_the_wire(void *arg)
{
	(void)arg;
	assert_true(enter("RIGHT"));
	file_write("/proc/sys/net/ipv6/conf/wire/keep_addr_on_down", "1");
	msleep(300);
	wire_up(false);
	msleep(1500);
	wire_up(true);
	return NULL;
}

/* Nobody resets anything: only time tells that nothing moves. */
static void wire_that_is_cut_and_mended(void **state)
{
	struct far *f = FAR(.pause_us = 1000);
	struct sgring *s;
	struct sgring_tx_stats st;
	struct sgring_tx *t;
	pthread_t cutter;
	uint64_t end;

	(void)state;
	knob_set("rx0", "rate", 8000000);
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16));
	t = near_sender(s, "tcp", RIGHT_V4, f->port,
			TX(.reconnect_ms = 3 * LONG_MS, .timeout_ms = 700));
	sgring_start(s);
	pthread_create(&cutter, NULL, cut_the_wire, NULL);
	end = near_run(s, &t, 1, 200);
	sgring_tx_stats(t, &st);
	assert_true(st.reconnects >= 1);
	near_is_zerocopy(t);
	near_close(s);
	pthread_join(cutter, NULL);
	far_end(f);
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.position, end);
	assert_int_equal(f->track.bytes + f->track.lost_bytes, end);
	assert_non_null(strstr(heard, "took nothing for 700 ms"));
	assert_non_null(strstr(heard, "connected again"));
}

/* In a child without privilege, with little memory to lock: its exit code. */
static int unprivileged(const int *ports)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	const struct rlimit limit = { 1 * MIB, 1 * MIB };
	struct sgring_tx *t[2];
	struct sgring_slot b;
	struct sgring *s;
	char url[100];
	int i, err;

	if (sgring_open(&s, dev_path("rx0"), SGRING_OPTIONS(.slot_bytes = MIB, .slot_count = 8)) ||
	    setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(65534) || setuid(65534) ||
	    syscall(SYS_capset, &header, none))
		return 1;
	/* Two at once, each of which may take half of it. */
	for (i = 0; i < 2; i++) {
		snprintf(url, sizeof(url), "tcp://" RIGHT_V4 ":%d", ports[i]);
		if (sgring_tx_open(&t[i], s, url, TX(.flags = 0)))
			return 2;
	}
	sgring_start(s);
	for (i = 0; i < 16; i++) {
		if (sgring_next(s, &b, LONG_MS) || sgring_hold(s, b.index) ||
		    sgring_tx_send(t[0], &b) || sgring_tx_send(t[1], &b)) {
			printf("%s\n", sgring_errmsg());
			return 3;
		}
	}
	err = sgring_tx_flush(t[0], LONG_MS);
	err = err ? err : sgring_tx_flush(t[1], LONG_MS);
	for (i = 0; i < 2 && !err; i++) {
		struct sgring_tx_stats st;

		sgring_tx_stats(t[i], &st);
		if (st.copied || st.slots != 16 || st.sends < 32)
			return 4;
	}
	if (err)
		printf("%s\n", sgring_errmsg());
	return err ? 5 : 0;
}

static void little_memory_to_lock_is_shared(void **state)
{
	struct far *f[2] = { FAR(.pause_us = 500), FAR() };
	int status, i;
	pid_t pid;

	(void)state;
	fflush(stdout);
	pid = fork();
	if (!pid) {
		i = unprivileged((int[]){ f[0]->port, f[1]->port });
		fflush(stdout);
		_exit(i);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	for (i = 0; i < 2; i++) {
		far_end(f[i]);
		assert_int_equal(f[i]->bad, 0);
		assert_int_equal(f[i]->track.bytes, 16 * MIB);
	}
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- UDP ---- */

/*
 * The device is paced so that the far end keeps up, but a busy machine or a kernel that checks
 * itself may not. What is lost is no fault of the sender's, but must be seen.
 */
static void datagrams_arrive(const struct far *f, uint64_t end)
{
	assert_int_equal(f->bad, 0);
	assert_true(f->hellos >= 1);
	assert_int_equal(f->track.ended, 1);
	assert_int_equal(f->track.position, end);
	assert_int_equal(f->track.first + f->track.bytes + f->track.lost_bytes, end);
	assert_true(f->track.bytes > end / 20);
}

static void udp_framed(void **state)
{
	struct far *f = FAR(.datagrams = true);
	struct sgring_tx_stats st;
	struct sgring *s;
	struct sgring_tx *t;
	uint64_t end;

	(void)state;
	knob_set("rx0", "rate", 4000000);
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16));
	t = near_sender(s, "udp", RIGHT_V4, f->port, TX(.flags = 0));
	sgring_start(s);
	end = near_run(s, &t, 1, 40);
	near_is_zerocopy(t);
	sgring_tx_stats(t, &st);
	/* Several with a system call. */
	assert_true(st.sends * 6 < st.bytes / (1472 - SGRING_ENTRY_BYTES));
	near_close(s);
	far_end(f);
	datagrams_arrive(f, end);
	assert_int_equal(f->longest, 1472);
	/* They are repeated, for those who come late. */
	assert_true(f->hellos > 1);
}

static void udp_raw_over_ipv6(void **state)
{
	struct far *f = FAR(.datagrams = true, .raw = true, .family = AF_INET6);
	struct sgring *s;
	struct sgring_tx *t;
	uint64_t end;

	(void)state;
	knob_set("rx0", "rate", 2000000);
	s = near_open(SGRING_OPTIONS(.slot_bytes = 64 * KIB, .slot_count = 16));
	t = near_sender(s, "udp", RIGHT_V6, f->port, TX(.flags = SGRING_TX_RAW));
	sgring_start(s);
	end = near_run(s, &t, 1, 40);
	near_is_zerocopy(t);
	near_close(s);
	far_end(f);
	/* Forty bytes of header, and eight. */
	assert_int_equal(f->longest, 1452);
	assert_int_equal(f->bad, 0);
	assert_int_equal(f->raw_bytes, end);
}

static void multicast_reaches_all(const char *group, const char *bare, int family, bool by_name)
{
	const struct far like = { .datagrams = true, .family = family, .group = bare };
	struct far *f[2];
	struct sgring *s;
	struct sgring_tx *t;
	uint64_t end;
	int i;

	knob_set("rx0", "rate", 2000000);
	s = near_open(SGRING_OPTIONS(.slot_bytes = 64 * KIB, .slot_count = 16));
	f[0] = far_start_at(&like, 0);
	f[1] = far_start_at(&like, f[0]->port);
	t = near_sender(s, "udp", group, f[0]->port,
			TX(.ttl = 3, .interface = by_name ? "wire" : NULL));
	sgring_start(s);
	end = near_run(s, &t, 1, 40);
	near_is_zerocopy(t);
	near_close(s);
	for (i = 0; i < 2; i++) {
		far_end(f[i]);
		datagrams_arrive(f[i], end);
	}
}

static void multicast_ipv4(void **state)
{
	(void)state;
	multicast_reaches_all(GROUP_V4, GROUP_V4, AF_INET, false);
}

static void multicast_ipv6_by_interface(void **state)
{
	(void)state;
	multicast_reaches_all(GROUP_V6, "ff15::7712", AF_INET6, true);
}

/*
 * The device is faster than the wire, and many want to use it, whose queue is full
 * then. What does not fit into it is not dropped. (How often that happens depends on
 * the kernel and the machine; tests/unit has it happen.)
 */
static void full_queue_of_the_interface_drops_nothing(void **state)
{
	struct ifreq r = { .ifr_qlen = 1 };
	struct sgring_tx_stats st;
	struct sgring_tx *t[8];
	struct far *f[8];
	uint64_t end, before, datagrams = 0, waits = 0;
	struct sgring *s;
	int i;

	(void)state;
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 8));
	wire_set(SIOCSIFTXQLEN, &r);
	for (i = 0; i < 8; i++) {
		f[i] = FAR(.datagrams = true);
		t[i] = near_sender(s, "udp", RIGHT_V4, f[i]->port, TX(.flags = 0));
	}
	before = wire_sent();
	sgring_start(s);
	end = near_run(s, t, 8, 20);
	r.ifr_qlen = 1000;
	wire_set(SIOCSIFTXQLEN, &r);
	for (i = 0; i < 8; i++) {
		sgring_tx_stats(t[i], &st);
		waits += st.nobufs_waits;
		datagrams += st.bytes / (1472 - SGRING_ENTRY_BYTES);
		assert_int_equal(st.bytes, end);
		near_is_zerocopy(t[i]);
	}
	print_message("the queue was full %" PRIu64 " times\n", waits);
	/* What happens to them at the far end is another matter: none was dropped here. */
	assert_true(wire_sent() - before >= datagrams);
	near_close(s);
	for (i = 0; i < 8; i++) {
		far_end(f[i]);
		assert_int_equal(f[i]->bad, 0);
		assert_true(f[i]->track.bytes > 0);
	}
}

static void path_that_shrinks_shortens_datagrams(void **state)
{
	struct far *f = FAR(.datagrams = true);
	struct sgring *s;
	struct sgring_slot b;
	struct sgring_tx *t;
	uint64_t end;
	int i;

	(void)state;
	knob_set("rx0", "rate", 2000000);
	s = near_open(SGRING_OPTIONS(.slot_bytes = 64 * KIB, .slot_count = 16));
	t = near_sender(s, "udp", RIGHT_V4, f->port, TX(.flags = 0));
	sgring_start(s);
	for (i = 0; i < 10; i++) {
		assert_int_equal(sgring_next(s, &b, LONG_MS), 0);
		near_give(s, &t, 1, &b);
	}
	path_mtu(1000);
	end = near_run(s, &t, 1, 20);
	near_is_zerocopy(t);
	near_close(s);
	path_mtu(1500);
	far_end(f);
	datagrams_arrive(f, end);
	assert_non_null(strstr(heard, "datagrams of 972 bytes now"));
}

/* ---- together ---- */

static void several_receivers_of_every_kind(void **state)
{
	struct far *f[4] = {
		FAR(.pause_us = 1000),
		FAR(.raw = true),
		FAR(.datagrams = true),
		FAR(.datagrams = true, .group = GROUP_V4),
	};
	struct sgring *s;
	struct sgring_tx *t[4];
	uint64_t end;
	int i;

	(void)state;
	knob_set("rx0", "rate", 4000000);
	knob_set("rx0", "fifo_bytes", 64 * MIB);	/* whatever happens, it loses nothing */
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16));
	t[0] = near_sender(s, "tcp", RIGHT_V4, f[0]->port, TX(.flags = 0));
	t[1] = near_sender(s, "tcp", RIGHT_V4, f[1]->port, TX(.flags = SGRING_TX_RAW));
	t[2] = near_sender(s, "udp", RIGHT_V4, f[2]->port, TX(.flags = 0));
	t[3] = near_sender(s, "udp", GROUP_V4, f[3]->port, TX(.flags = 0));
	sgring_start(s);
	end = near_run(s, t, 4, 40);
	for (i = 0; i < 4; i++)
		near_is_zerocopy(t[i]);
	near_close(s);
	for (i = 0; i < 4; i++)
		far_end(f[i]);
	all_came(f[0], end);
	assert_int_equal(f[1]->bad, 0);
	assert_int_equal(f[1]->raw_bytes, end);
	datagrams_arrive(f[2], end);
	datagrams_arrive(f[3], end);
}

/* Whoever listens on the device gets copies: then the kernel says so, and so do we, once. */
static void copies_are_said_once(void **state)
{
	struct far *f = FAR();
	struct sgring_tx_stats st;
	struct sgring *s;
	struct sgring_tx *t;
	const char *said;
	uint64_t end;
	int tap;

	(void)state;
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16));
	tap = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
	assert_true(tap >= 0);
	t = near_sender(s, "tcp", RIGHT_V4, f->port, TX(.flags = 0));
	sgring_start(s);
	end = near_run(s, &t, 1, 40);
	sgring_tx_stats(t, &st);
	assert_true(st.copied > 0);
	near_close(s);
	close(tap);
	far_end(f);
	all_came(f, end);
	said = strstr(heard, "the kernel copies");
	assert_non_null(said);
	assert_null(strstr(said + 1, "the kernel copies"));
}

GROUP(
	TEST(tcp_framed),
	TEST(tcp_framed_slots_of_odd_size),
	TEST(tcp_raw),
	TEST(tcp_framed_over_ipv6),
	TEST(slower_receiver_stalls_the_device_and_loses_nothing),
	TEST(slower_receiver_sees_every_drop),
	TEST(receiver_that_resets_again_and_again),
	TEST(wire_that_is_cut_and_mended),
	TEST(little_memory_to_lock_is_shared),
	TEST(udp_framed),
	TEST(udp_raw_over_ipv6),
	TEST(multicast_ipv4),
	TEST(multicast_ipv6_by_interface),
	TEST(full_queue_of_the_interface_drops_nothing),
	TEST(path_that_shrinks_shortens_datagrams),
	TEST(several_receivers_of_every_kind),
	TEST(copies_are_said_once),
)

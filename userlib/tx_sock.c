/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the kinds "tcp://" and "udp://": connections, and items as messages
 *
 * TCP: a message is [hello] [entry] data. Notifications mean that the data was
 * acknowledged, unless the connection has failed.
 *
 * UDP: a datagram is a hello, or an entry with a part of a slot; as many of them
 * as the kernel takes make one message (UDP_SEGMENT), where that works. They are
 * as large as the path takes whole; when that shrinks they do too.
 *
 * Frames are written into memory of the sender's own, an area for each item, which
 * stays as it is until the item is gone. It is mapped, not allocated: when it is
 * unmapped what the kernel still sends from it stays.
 *
 * Limits that make sends fail with ENOBUFS:
 *   optmem   a notification is charged until it is read or merged: with some
 *            outstanding, read them and try again
 *   memlock  the pages are charged while in flight, unless CAP_IPC_LOCK, to the
 *            user: with some outstanding, wait for them; with none, it is another
 *            process that has them: try smaller messages, and again for a time
 *   qdisc    UDP: it is full: a moment later it is not
 * So messages are cut to half of what memlock allows, and what does not get better
 * is reported by name. Copying instead is never tried.
 */
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "tx.h"
#include "uring.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define CONNECT_NS (10000 * SGRING_MS_NS)
#define RETRY_NS SGRING_MS_NS
#define HELLO_NS (1000 * SGRING_MS_NS)	/* from one to the next; less at the beginning */
#define FIRST_HELLO_NS SGRING_MS_NS
#define PIECE_MIN 65536U	/* smaller messages gain nothing over a copy */
#define FRAGMENTS 16U		/* pieces of memory in a packet: MAX_SKB_FRAGS, at least */
#define SEGMENTS 64U		/* datagrams in a message: UDP_MAX_SEGMENTS */
#define DATAGRAM_MIN 512U
#define ENDS 3U			/* datagrams that tell the end of a stream: one may get lost */
#define STALE 16U		/* reports in a row that may be about datagrams long sent */
#define FRAMES_MAX (16U << 20)	/* memory for frames, unless one slot needs more */
#define TCP_FRAME (SGRING_HELLO_BYTES + SGRING_ENTRY_BYTES)

/**
 * struct sock - a socket kind's own
 * @list: addresses of the peer
 * @at: of the attempt to connect that is under way, or of the last
 * @dialing: its socket; -1: none
 * @dial_ns: when it began
 * @message_max: bytes in a message
 * @datagram: bytes in a datagram
 * @segment: several make a message
 * @hello_ns: when the next hello is due
 * @hello_gap_ns: time to the one after it
 * @too_long: sends in a row that were refused as too long
 * @hindrance: why @blocked is SGRING_TX_LATER, an errno
 * @refused: it was said that nobody listens
 */
struct sock {
	struct addrinfo *list;
	struct addrinfo *at;
	int dialing;
	int64_t dial_ns;
	size_t message_max;
	size_t datagram;
	bool segment;
	int64_t hello_ns;
	int64_t hello_gap_ns;
	unsigned int too_long;
	int hindrance;
	bool refused;
};

/* Best first. */
static const struct {
	uint32_t method;
	const struct sgring_tx_engine *engine;
} engines[] = {
	{ SGRING_TX_URING_FIXED, &sgring_tx_uring },
	{ SGRING_TX_URING, &sgring_tx_uring },
	{ SGRING_TX_ZEROCOPY, &sgring_tx_msg },
	{ SGRING_TX_COPY, &sgring_tx_msg },
};

static struct sock *sock_of(const struct sgring_tx *t)
{
	return t->data;
}

static uint64_t optmem_limit(void)
{
	unsigned long long bytes = UINT64_MAX;
	FILE *f = fopen("/proc/sys/net/core/optmem_max", "re");

	if (f) {
		if (fscanf(f, "%llu", &bytes) != 1)
			bytes = UINT64_MAX;
		fclose(f);
	}
	return bytes;
}

int sgring_tx_limit_messages(struct sgring_tx *t)
{
	/* Each message is charged two pages more. */
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), limit = sgring_memlock_limit();
	uint64_t slot = t->stream->geometry.slot_bytes, pages = limit / 2 / page;

	if (limit == UINT64_MAX || slot / page + 3 <= pages)
		return 0;
	if (pages < 2 + (PIECE_MIN < slot ? PIECE_MIN : slot) / page)
		return sgring_fail(ENOBUFS,
				   "RLIMIT_MEMLOCK is %s: too little to send without a copy; raise it (ulimit -l, at least %s) or grant CAP_IPC_LOCK",
				   sgring_size_text(limit),
				   sgring_size_text(2 * (slot / page + 3) * page));
	sock_of(t)->message_max = (size_t)((pages - 2) * page);
	return 0;
}

/* --- addresses and connections */

/* "host:port" or "[v6]:port", taken apart in place. */
static int split(char *where, char **host, char **port)
{
	char *colon = strrchr(where, ':');

	*host = where;
	if (where[0] == '[') {
		char *end = strchr(where, ']');

		if (!end || end[1] != ':')
			return -EINVAL;
		*host = where + 1;
		*end = 0;
		colon = end + 1;
	} else if (!colon || strchr(where, ':') != colon) {
		return -EINVAL;
	}
	*colon = 0;
	*port = colon + 1;
	return **host && **port ? 0 : -EINVAL;
}

static int resolve(struct sgring_tx *t, const char *where)
{
	const struct addrinfo hints = {
		.ai_socktype = sgring_tx_stream(t) ? SOCK_STREAM : SOCK_DGRAM,
		.ai_flags = AI_ADDRCONFIG,
	};
	char copy[sizeof(t->peer)], *host, *port;
	int err;

	if (strlen(where) >= sizeof(copy))
		return sgring_fail(EINVAL, "the address is too long");
	snprintf(copy, sizeof(copy), "%s", where);
	if (split(copy, &host, &port))
		return sgring_fail(EINVAL, "\"%s%s\": expected %shost:port (IPv6 in brackets)",
				   t->kind->scheme, where, t->kind->scheme);
	err = getaddrinfo(host, port, &hints, &sock_of(t)->list);
	if (err)
		return sgring_fail(err == EAI_SERVICE ? EINVAL : EHOSTUNREACH, "%s port %s: %s",
				   host, port, gai_strerror(err));
	return 0;
}

static int socket_error(int fd)
{
	socklen_t size = sizeof(int);
	int err = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) ? -errno : -err;
}

static bool multicast(const struct addrinfo *a)
{
	if (a->ai_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const void *)a->ai_addr;

		return IN6_IS_ADDR_MULTICAST(&v6->sin6_addr);
	}
	return IN_MULTICAST(ntohl(((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr.s_addr));
}

static int set(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) ? -errno : 0;
}

/* A datagram socket never fragments, and hears of what does not arrive. */
static int prepare_datagrams(struct sgring_tx *t, int fd, const struct addrinfo *a)
{
	const bool v6 = a->ai_family == AF_INET6;
	const int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
	const char *name = t->options.interface;
	struct ip_mreqn via = { .imr_ifindex = name ? (int)if_nametoindex(name) : 0 };
	int ttl = t->options.ttl ? (int)t->options.ttl : 1, err;
	char text[128];

	err = set(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
		  v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO);
	if (!err)
		err = set(fd, level, v6 ? IPV6_RECVERR : IP_RECVERR, 1);
	if (err)
		return sgring_fail(-err, "%s: cannot prepare the socket: %s", t->peer,
				   sgring_strerror(err, text, sizeof(text)));
	if (!multicast(a)) {
		if (name || t->options.ttl)
			return sgring_fail(EINVAL, "%s is not a multicast group: %s is for those",
					   t->peer, name ? "interface" : "ttl");
		return 0;
	}
	if (ttl > 255)
		return sgring_fail(EINVAL, "ttl %d: at most 255", ttl);
	if (name && !via.imr_ifindex)
		return sgring_fail(ENODEV, "there is no network interface \"%s\"", name);
	err = set(fd, level, v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, ttl);
	if (!err && name && v6)
		err = set(fd, level, IPV6_MULTICAST_IF, via.imr_ifindex);
	else if (!err && name && setsockopt(fd, level, IP_MULTICAST_IF, &via, sizeof(via)))
		err = -errno;
	if (err)
		return sgring_fail(-err, "%s: multicast%s%s: %s", t->peer, name ? " through " : "",
				   name ? name : "", sgring_strerror(err, text, sizeof(text)));
	return 0;
}

static int dial_failed(struct sgring_tx *t, int err)
{
	struct sock *k = sock_of(t);
	char text[128];

	close(k->dialing);
	k->dialing = -1;
	return sgring_fail(-err, "cannot connect to %s: %s", t->peer,
			   sgring_strerror(err, text, sizeof(text)));
}

/* Begin to connect to the next address: 0 or -errno. */
static int dial(struct sgring_tx *t)
{
	struct sock *k = sock_of(t);
	int err;

	k->at = k->at && k->at->ai_next ? k->at->ai_next : k->list;
	k->dial_ns = sgring_now_ns();
	k->dialing = socket(k->at->ai_family, k->at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (k->dialing < 0)
		return dial_failed(t, -errno);
	if (!sgring_tx_stream(t)) {
		err = prepare_datagrams(t, k->dialing, k->at);
		if (err) {
			close(k->dialing);
			k->dialing = -1;
			return err;
		}
	}
	if (connect(k->dialing, k->at->ai_addr, k->at->ai_addrlen) && errno != EINPROGRESS)
		return dial_failed(t, -errno);
	return 0;
}

/* How is it going? 1: connected, and fd is it; 0: not yet; -errno: it failed. */
static int dialed(struct sgring_tx *t, bool ready)
{
	struct sock *k = sock_of(t);
	int err;

	if (!ready)
		return sgring_now_ns() - k->dial_ns < CONNECT_NS ? 0 : dial_failed(t, -ETIMEDOUT);
	err = socket_error(k->dialing);
	if (err)
		return dial_failed(t, err);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = k->dialing;
	k->dialing = -1;
	/* The tail of a slot shall not wait for the acknowledgement of the rest. */
	if (sgring_tx_stream(t))
		set(t->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return 1;
}

/* The first of the addresses that answers. */
static int first_connection(struct sgring_tx *t)
{
	struct sock *k = sock_of(t);
	int err, ready;

	do {
		err = dial(t);
		while (!err) {
			struct pollfd fds[2] = { { .fd = k->dialing, .events = POLLOUT } };

			ready = sgring_poll(t->stream, fds, 1, CONNECT_NS);
			if (ready == -EINTR && !t->stream->cancelled)
				continue;
			err = ready < 0 ? dial_failed(t, ready) : dialed(t, ready > 0);
		}
	} while (err < 0 && k->at->ai_next && !t->stream->cancelled);
	return err < 0 ? err : 0;
}

static int sock_reopen(struct sgring_tx *t)
{
	struct sock *k = sock_of(t);
	struct pollfd out = { .events = POLLOUT };
	int err;

	if (k->dialing < 0) {
		err = dial(t);
		if (err)
			return err;
	}
	out.fd = k->dialing;
	err = dialed(t, t->stream->be->poll(t->stream->be, &out, 1, 0) > 0);
	if (err > 0 && t->engine->connected)
		t->engine->connected(t);
	return err;
}

/* --- datagrams that fit */

static int path_mtu(const struct sgring_tx *t, size_t *datagram)
{
	const bool v6 = sock_of(t)->at->ai_family == AF_INET6;
	socklen_t size = sizeof(int);
	int mtu = 0;

	if (getsockopt(t->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &size))
		return -errno;
	mtu -= v6 ? 48 : 28;
	*datagram = mtu < (int)DATAGRAM_MIN ? 0 : mtu;
	if (*datagram > SGRING_DATAGRAM_MAX)
		*datagram = SGRING_DATAGRAM_MAX;
	return *datagram ? 0 :
	       sgring_fail(EMSGSIZE, "%s: the path takes packets of %d bytes only; datagrams need %u",
			   t->peer, mtu + (v6 ? 48 : 28), DATAGRAM_MIN + (v6 ? 48 : 28));
}

/* Memory that one datagram may lie in, at the worst, is not cut finer than this. */
static uint64_t unit(const struct sgring_tx *t)
{
	uint64_t least = t->stream->geometry.chunk_bytes_min;

	return least ? least : 4096;
}

/* As large as the path takes, the caller wants, and a packet can hold in pieces. */
static int choose_datagram(struct sgring_tx *t)
{
	struct sock *k = sock_of(t);
	size_t path = 0, wanted = t->options.datagram_bytes, pieces;
	int err = path_mtu(t, &path);

	if (err)
		return err;
	if (wanted && (wanted < DATAGRAM_MIN || (wanted > path && !k->datagram)))
		return sgring_fail(EMSGSIZE, "datagrams of %zu bytes: at least %u, and the path to %s takes %zu",
				   wanted, DATAGRAM_MIN, t->peer, path);
	k->datagram = wanted && wanted < path ? wanted : path;
	pieces = (FRAGMENTS - 2) * unit(t) + (sgring_tx_raw(t) ? 0 : SGRING_ENTRY_BYTES);
	if (t->method != SGRING_TX_COPY && k->datagram > pieces)
		k->datagram = pieces;
	if (k->segment)
		k->segment = !set(t->fd, IPPROTO_UDP, UDP_SEGMENT, (int)k->datagram);
	return 0;
}

/* --- items as messages */

static void add(struct sgring_tx_message *m, const void *data, size_t bytes)
{
	if (bytes)
		m->iov[m->iovs++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)data, .iov_len = bytes,
		};
}

static size_t header_bytes(const struct sgring_tx *t, const struct sgring_tx_item *item)
{
	if (sgring_tx_raw(t))
		return 0;
	return SGRING_ENTRY_BYTES + (item->hello ? SGRING_HELLO_BYTES : 0);
}

static void stream_message(struct sgring_tx *t, struct sgring_tx_item *item, unsigned char *frame,
			   uint64_t from, struct sgring_tx_message *m)
{
	size_t header, at;

	if (!item->begun && !sgring_tx_raw(t)) {
		item->hello = t->hello_epoch != item->epoch;
		t->hello_epoch = item->epoch;
		if (item->hello)
			sgring_tx_hello_frame(t, item->epoch, 1, frame);
		sgring_tx_entry_frame(item, 0, item->slot.length, frame + SGRING_HELLO_BYTES);
	}
	header = header_bytes(t, item);
	m->header = from < header ? header - (size_t)from : 0;
	at = from < header ? 0 : (size_t)from - header;
	m->data = item->slot.length - at;
	if (m->data > sock_of(t)->message_max - m->header)
		m->data = sock_of(t)->message_max - m->header;
	add(m, frame + TCP_FRAME - m->header, m->header);
	add(m, item->slot.data + at, m->data);
	m->end = from + m->header + m->data;
	m->last = at + m->data == item->slot.length;
}

/* Pieces of memory that may hold this part of a slot. */
static unsigned int fragments(const struct sgring_tx *t, const struct sgring_tx_item *item,
			      uint64_t from, size_t bytes)
{
	uint64_t at = (uint64_t)(item->slot.data - sgring_data(t->stream, item->slot.index)) + from;

	return bytes ? (unsigned int)((at + bytes - 1) / unit(t) - at / unit(t)) + 1 : 0;
}

static void datagram_message(struct sgring_tx *t, struct sgring_tx_item *item,
			     unsigned char *frames, uint64_t from, struct sgring_tx_message *m)
{
	const struct sock *k = sock_of(t);
	const bool raw = sgring_tx_raw(t), borrow = t->method != SGRING_TX_COPY;
	const size_t header = raw ? 0 : SGRING_ENTRY_BYTES, whole = k->datagram - header;
	size_t max = k->message_max < SGRING_DATAGRAM_MAX ? k->message_max : SGRING_DATAGRAM_MAX;
	unsigned int used = 0, needs, n;
	uint64_t at = from;
	size_t part;

	if (item->slot.index == SGRING_NO_SLOT) {
		sgring_tx_entry_frame(item, 0, 0, frames);
		add(m, frames, SGRING_ENTRY_BYTES);
		m->header = SGRING_ENTRY_BYTES;
		m->end = from + 1;
		m->last = m->end == ENDS;
		return;
	}
	for (n = 0; n < (k->segment ? SEGMENTS : 1); n++) {
		part = item->slot.length - at < whole ? (size_t)(item->slot.length - at) : whole;
		needs = raw ? fragments(t, item, from, (size_t)(at - from) + part) :
			used + 1 + fragments(t, item, at, part);
		if (n && (m->header + m->data + header + part > max ||
			  (borrow && needs > FRAGMENTS)))
			break;
		used = needs;
		if (!raw) {
			unsigned char *entry = frames + at / whole * SGRING_ENTRY_BYTES;

			sgring_tx_entry_frame(item, at, (uint32_t)part, entry);
			add(m, entry, SGRING_ENTRY_BYTES);
		}
		if (raw && n)
			m->iov[0].iov_len += part;
		else
			add(m, item->slot.data + at, part);
		m->header += header;
		m->data += part;
		at += part;
		if (at == item->slot.length)
			break;
	}
	m->end = at;
	m->last = at == item->slot.length;
}

bool sgring_tx_message(struct sgring_tx *t, uint32_t number, uint64_t from,
		       struct sgring_tx_message *m)
{
	struct sgring_tx_item *item = sgring_tx_item(t, number);
	unsigned char *frame = NULL;

	if (!sgring_tx_raw(t)) {
		if (number - t->first >= t->frame_areas) {
			t->blocked = SGRING_TX_LIMIT;
			return false;
		}
		frame = t->frames + (number & (t->frame_areas - 1)) * t->frame_bytes;
	}
	m->iovs = 0;
	m->header = 0;
	m->data = 0;
	if (sgring_tx_stream(t))
		stream_message(t, item, frame, from, m);
	else
		datagram_message(t, item, frame, from, m);
	item->begun = true;
	return true;
}

void sgring_tx_accepted(struct sgring_tx *t, struct sgring_tx_item *item,
			const struct sgring_tx_message *m, size_t bytes)
{
	size_t whole = m->header + m->data, header = bytes < m->header ? bytes : m->header;

	t->stats.sends++;
	t->stats.partial += bytes < whole;
	t->stats.bytes += bytes - header;
	t->stats.frame_bytes += header;
	/* Datagrams are accepted whole or not at all. */
	sock_of(t)->too_long = 0;
	sgring_tx_took(t, item, bytes < whole ? item->done + bytes : m->end,
		       bytes == whole && m->last);
}

bool sgring_tx_hello_due(const struct sgring_tx *t, const struct sgring_tx_item *item)
{
	if (sgring_tx_stream(t) || sgring_tx_raw(t) || item->done)
		return false;
	return t->hello_epoch != item->epoch || sgring_now_ns() >= sock_of(t)->hello_ns;
}

static ssize_t send_hello(struct sgring_tx *t, uint32_t epoch)
{
	unsigned char wire[SGRING_HELLO_BYTES];
	struct iovec iov = { wire, sizeof(wire) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	sgring_tx_hello_frame(t, epoch, 1, wire);
	t->stats.calls++;
	t->stream->send_calls++;
	n = t->stream->be->sendmsg(t->stream->be, t->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	t->stats.frame_bytes += n < 0 ? 0 : sizeof(wire);
	return n;
}

/*
 * Without the first one a receiver can do nothing, and the first datagrams are those
 * that get lost while the peer's hardware address is asked for: soon another, then
 * at growing intervals.
 */
ssize_t sgring_tx_hello(struct sgring_tx *t, const struct sgring_tx_item *item)
{
	struct sock *k = sock_of(t);
	ssize_t n = send_hello(t, item->epoch);

	if (n < 0)
		return n;
	k->hello_gap_ns = t->hello_epoch != item->epoch ? FIRST_HELLO_NS : 2 * k->hello_gap_ns;
	if (k->hello_gap_ns > HELLO_NS)
		k->hello_gap_ns = HELLO_NS;
	k->hello_ns = sgring_now_ns() + k->hello_gap_ns;
	t->hello_epoch = item->epoch;
	return n;
}

size_t sgring_tx_message_bytes(const struct sgring_tx *t)
{
	const struct sock *k = sock_of(t);
	size_t bytes = (size_t)t->stream->geometry.slot_bytes, most = k->message_max;

	if (!sgring_tx_stream(t)) {
		if (!k->segment)
			most = k->datagram;
		else if (!sgring_tx_raw(t))	/* each has a piece for its entry */
			most = FRAGMENTS / 2 * k->datagram;
		if (most > SGRING_DATAGRAM_MAX)
			most = SGRING_DATAGRAM_MAX;
	}
	return bytes < most ? bytes : most;
}

/* --- when it does not go on */

/* ENOBUFS although nothing of ours is outstanding: which limit is it? */
static int name_the_limit(struct sgring_tx *t)
{
	uint64_t memlock = sgring_memlock_limit(), optmem = optmem_limit();

	if (optmem < 4096 || memlock == UINT64_MAX)
		return sgring_fail(ENOBUFS,
				   "%s: no room for a send notification: net.core.optmem_max is %s; raise it (sysctl net.core.optmem_max=131072)",
				   t->peer, sgring_size_text(optmem));
	return sgring_fail(ENOBUFS,
			   "%s: %s cannot be locked for sending: RLIMIT_MEMLOCK is %s for all of this user's processes, and others have it; raise it (ulimit -l) or grant CAP_IPC_LOCK",
			   t->peer, sgring_size_text(PIECE_MIN), sgring_size_text(memlock));
}

static int later(struct sgring_tx *t, int err)
{
	sock_of(t)->hindrance = err;
	t->blocked = SGRING_TX_LATER;
	t->retry_ns = sgring_now_ns() + RETRY_NS;
	return 0;
}

static int no_buffers(struct sgring_tx *t, int err, size_t bytes)
{
	struct sock *k = sock_of(t);

	t->stats.nobufs_waits++;
	/* A full qdisc does not tell when there is room again. */
	if (!sgring_tx_stream(t) || t->method == SGRING_TX_COPY)
		return later(t, err);
	if (t->engine->outstanding(t)) {
		t->blocked = SGRING_TX_LIMIT;
		return 0;
	}
	if (optmem_limit() < 4096 || sgring_memlock_limit() == UINT64_MAX)
		return name_the_limit(t);
	if (bytes > PIECE_MIN) {
		k->message_max = bytes / 2 > PIECE_MIN ? bytes / 2 : PIECE_MIN;
		return 1;
	}
	return later(t, err);
}

/*
 * A message was refused: it is too long for the path now, or was: the network may
 * report late. Or several datagrams at once are too much: for a device that cannot
 * sum them up, for a kernel.
 */
static int too_long(struct sgring_tx *t, int err)
{
	struct sock *k = sock_of(t);
	const size_t before = k->datagram;
	char text[128];
	int failed = choose_datagram(t);

	if (failed)
		return failed;
	if (k->datagram < before) {
		sgring_tx_say(t, "%s: the path takes datagrams of %zu bytes now", t->peer, k->datagram);
		return 1;
	}
	k->datagram = before;
	if (err == EMSGSIZE && ++k->too_long % STALE)
		return 1;
	if (!k->segment)
		return sgring_fail(err, "%s: a datagram of %zu bytes is refused: %s", t->peer, before,
				   sgring_strerror(err, text, sizeof(text)));
	k->segment = false;
	set(t->fd, IPPROTO_UDP, UDP_SEGMENT, 0);
	sgring_tx_say(t, "%s: datagrams go out one by one: here several at once are refused (%s)",
		      t->peer, sgring_strerror(err, text, sizeof(text)));
	return 1;
}

void sgring_tx_told(struct sgring_tx *t, int err)
{
	char text[128];

	/* Too long: the next send says so. Otherwise: receivers come and go. */
	if (err == EMSGSIZE || !err || sock_of(t)->refused)
		return;
	sock_of(t)->refused = true;
	sgring_tx_say(t, "%s: %s: nobody receives there now; sending goes on", t->peer,
		      sgring_strerror(err, text, sizeof(text)));
}

static int datagram_trouble(struct sgring_tx *t, int err, size_t bytes)
{
	char text[128];

	switch (err) {
	case ECONNREFUSED:
		sgring_tx_told(t, err);
		return 1;
	case EMSGSIZE:
	case EIO:
	case EINVAL:
		return too_long(t, err);
	case ENOBUFS:
	case ENOMEM:
		return no_buffers(t, err, bytes);
	case EHOSTUNREACH:
	case ENETUNREACH:
	case ENETDOWN:
	case EHOSTDOWN:
		/* A link may come back. */
		sgring_tx_told(t, err);
		return later(t, err);
	}
	return sgring_fail(err, "%s: %s", t->peer, sgring_strerror(err, text, sizeof(text)));
}

int sgring_tx_trouble(struct sgring_tx *t, int err, size_t bytes)
{
	char text[128];

	switch (err) {
	case EINTR:
		return 1;
	case EAGAIN:
		t->blocked = SGRING_TX_FULL;
		t->stats.full_waits++;
		return 0;
	}
	if (!sgring_tx_stream(t))
		return datagram_trouble(t, err, bytes);
	if (err == ENOBUFS || err == ENOMEM)
		return no_buffers(t, err, bytes);
	sgring_fail(err, "%s: %s", t->peer, sgring_strerror(err, text, sizeof(text)));
	if (err == EFAULT || err == EINVAL || err == EBADF || err == EOPNOTSUPP)
		return -err;
	sgring_tx_lost(t, -err);
	return 0;
}

static int sock_stalled(struct sgring_tx *t)
{
	const int err = sock_of(t)->hindrance;
	char text[128];

	if (t->blocked != SGRING_TX_LATER)
		return sgring_fail(ETIMEDOUT, "%s: the peer took nothing for %u ms", t->peer,
				   t->options.timeout_ms);
	if (sgring_tx_stream(t) && t->method != SGRING_TX_COPY)
		return name_the_limit(t);
	return sgring_fail(err, "%s: %s, for %u ms", t->peer,
			   sgring_strerror(err, text, sizeof(text)), t->options.timeout_ms);
}

/* Not by its error alone: that may have been told to a send whose answer is on its way. */
static bool closed(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) && info.tcpi_state == TCP_CLOSE;
}

bool sgring_tx_alive(struct sgring_tx *t)
{
	char text[128];
	int err;

	if (sgring_tx_stream(t) && !t->lost && !t->error) {
		if (closed(t->fd)) {
			err = socket_error(t->fd);
			err = err ? err : -ECONNRESET;
			sgring_fail(-err, "%s: %s", t->peer, sgring_strerror(err, text, sizeof(text)));
			sgring_tx_lost(t, err);
		}
	}
	return !t->lost;
}

static int sock_check(struct sgring_tx *t)
{
	if (!sgring_tx_stream(t))
		return t->engine->reap(t);	/* what the network reports */
	sgring_tx_alive(t);
	return 0;
}

/* Nothing is queued, and all was let go of. What was copied may still be on its way. */
static int sock_settle(struct sgring_tx *t)
{
	int unsent = 0;

	if (!sgring_tx_stream(t))
		return 1;
	if (!sgring_tx_alive(t))
		return 0;
	return ioctl(t->fd, SIOCOUTQ, &unsent) || !unsent;
}

/* --- the kinds */

static int map_frames(struct sgring_tx *t)
{
	uint64_t slot = t->stream->geometry.slot_bytes, all;
	char text[128];
	void *p;

	if (sgring_tx_raw(t))
		return 0;
	t->frame_bytes = TCP_FRAME;
	if (!sgring_tx_stream(t))
		t->frame_bytes = (size_t)(slot / (DATAGRAM_MIN - SGRING_ENTRY_BYTES) + 1) *
				 SGRING_ENTRY_BYTES;
	t->frame_areas = t->room;
	while (t->frame_areas > 2 && t->frame_areas * (uint64_t)t->frame_bytes > FRAMES_MAX)
		t->frame_areas /= 2;
	all = t->frame_areas * (uint64_t)t->frame_bytes;
	p = mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return sgring_fail(errno, "%s for frames: %s", sgring_size_text(all),
				   sgring_strerror(errno, text, sizeof(text)));
	t->frames = p;
	return 0;
}

static int choose_engine(struct sgring_tx *t)
{
	const uint32_t wanted = t->options.method;
	char why_not[300] = "";
	int err = -EOPNOTSUPP;
	size_t i, n, said = 0;

	for (i = 0; i < sizeof(engines) / sizeof(engines[0]); i++) {
		if (wanted && engines[i].method != wanted)
			continue;
		t->method = engines[i].method;
		t->engine = engines[i].engine;
		err = sgring_tx_stream(t) ? 0 : choose_datagram(t);
		if (err)
			return err;
		err = t->engine->open(t, t->method);
		if (!err) {
			n = strlen(t->choice);
			if (!wanted)
				snprintf(t->choice + n, sizeof(t->choice) - n, "%s", why_not);
			return 0;
		}
		/* Too little memory to lock is mended, not avoided by copying. */
		if (wanted || (err == -ENOBUFS && t->method == SGRING_TX_ZEROCOPY))
			return err;
		if (!strstr(why_not, sgring_errmsg()) && said < sizeof(why_not))
			said += (size_t)snprintf(why_not + said, sizeof(why_not) - said, "; %s",
						 sgring_errmsg());
	}
	if (err == -EOPNOTSUPP && wanted)
		return sgring_fail(EOPNOTSUPP, "method %u is not for %s", wanted, t->kind->scheme);
	return err;
}

static void sock_close(struct sgring_tx *t)
{
	struct sock *k = sock_of(t);

	if (t->engine_data)
		t->engine->close(t);
	if (k->dialing >= 0)
		close(k->dialing);
	if (t->fd >= 0)
		close(t->fd);
	if (k->list)
		freeaddrinfo(k->list);
	if (t->frames)
		munmap(t->frames, t->frame_areas * t->frame_bytes);
	free(k);
}

static int check_options(const struct sgring_tx *t)
{
	const struct sgring_tx_options *o = &t->options;
	const char *wrong = NULL;

	if (sgring_tx_stream(t) && (o->datagram_bytes || o->ttl || o->interface))
		wrong = "datagram_bytes, ttl and interface are for udp://";
	else if (!sgring_tx_stream(t) && o->reconnect_ms)
		wrong = "reconnect_ms is for tcp://";
	else if (o->flags & (SGRING_TX_PAD | SGRING_TX_OVERWRITE) || o->rotate_bytes ||
		 o->rotate_ms || o->index || o->method == SGRING_TX_DIRECT)
		wrong = "PAD, OVERWRITE, DIRECT, rotation and index are for file:";
	return wrong ? sgring_fail(EINVAL, "%s%s: %s", t->kind->scheme, t->peer, wrong) : 0;
}

static int sock_open(struct sgring_tx *t, const char *where)
{
	struct sock *k = calloc(1, sizeof(*k));
	int err;

	if (!k)
		return sgring_fail(ENOMEM, "no memory");
	t->data = k;
	k->dialing = -1;
	k->message_max = 1U << 30;
	k->segment = true;
	err = check_options(t);
	if (!err)
		err = resolve(t, where);
	if (!err)
		err = first_connection(t);
	if (!err)
		err = choose_engine(t);
	if (!err)
		err = map_frames(t);
	if (err)
		sock_close(t);
	else if (!sgring_tx_stream(t) && !sgring_tx_raw(t))
		send_hello(t, t->epoch);	/* it opens the way; whether it arrives does not matter */
	return err;
}

static int sock_push(struct sgring_tx *t)
{
	return t->engine->push(t);
}

static int sock_reap(struct sgring_tx *t)
{
	return t->engine->reap(t);
}

static unsigned int sock_pollfds(const struct sgring_tx *t, struct pollfd *fds, unsigned int room)
{
	const struct sock *k = sock_of(t);

	if (!t->lost)
		return t->engine->pollfds(t, fds, room);
	if (k->dialing < 0 || !room)
		return 0;
	fds[0] = (struct pollfd){ .fd = k->dialing, .events = POLLOUT };
	return 1;
}

static uint32_t sock_outstanding(const struct sgring_tx *t)
{
	return t->engine->outstanding(t);
}

static int sock_finish(struct sgring_tx *t)
{
	if (sgring_tx_stream(t))
		shutdown(t->fd, SHUT_WR);
	return 0;
}

/*
 * Disconnecting resets the connection and empties its queues but keeps the
 * socket, so that notifications still arrive for what the network device has.
 * After close() nobody would be told, and a slot could be refilled under a
 * transmission.
 */
static void sock_abort(struct sgring_tx *t)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	if (sgring_tx_stream(t))
		connect(t->fd, &nowhere, sizeof(nowhere));
	if (t->engine->abort)
		t->engine->abort(t);
}

const struct sgring_tx_kind sgring_tx_tcp = {
	.scheme = "tcp://",
	.timed = true,
	.open = sock_open,
	.push = sock_push,
	.reap = sock_reap,
	.pollfds = sock_pollfds,
	.outstanding = sock_outstanding,
	.check = sock_check,
	.stalled = sock_stalled,
	.settle = sock_settle,
	.finish = sock_finish,
	.abort = sock_abort,
	.reopen = sock_reopen,
	.close = sock_close,
};

const struct sgring_tx_kind sgring_tx_udp = {
	.scheme = "udp://",
	.open = sock_open,
	.push = sock_push,
	.reap = sock_reap,
	.pollfds = sock_pollfds,
	.outstanding = sock_outstanding,
	.check = sock_check,
	.stalled = sock_stalled,
	.settle = sock_settle,
	.finish = sock_finish,
	.abort = sock_abort,
	.close = sock_close,
};

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the kinds "tcp://" and "udp://"
 *
 *	tx_dial.c	where they go
 *	tx_frame.c	items as messages
 *	engines		how messages get to the kernel (tx.h)
 *	here		which engine, and what is done when something does not go on
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
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "tx_sock.h"
#include "uring.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define RETRY_NS SGRING_MS_NS
#define PIECE_MIN 65536U	/* smaller messages gain nothing over a copy */
#define STALE 16U		/* reports in a row that may be about datagrams long sent */

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
	int failed = sgring_sock_choose_datagram(t);

	if (failed)
		return failed;
	if (k->datagram < before) {
		sgring_tx_say(t, "%s: the path takes datagrams of %zu bytes now", t->peer,
			      k->datagram);
		return 1;
	}
	k->datagram = before;
	if (err == EMSGSIZE && ++k->too_long % STALE)
		return 1;
	if (!k->segment)
		return sgring_fail(err, "%s: a datagram of %zu bytes is refused: %s", t->peer,
				   before, sgring_strerror(err, text, sizeof(text)));
	k->segment = false;
	sgring_sock_set(t->fd, IPPROTO_UDP, UDP_SEGMENT, 0);
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

static bool closed(int fd)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);

	return !getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) && info.tcpi_state == TCP_CLOSE;
}

bool sgring_tx_alive(struct sgring_tx *t)
{
	char text[128], byte;
	int err;

	if (!sgring_tx_stream(t) || t->lost || t->error)
		return !t->lost;
	/* Nothing to read and no error, said under the socket's lock: no reset is on its way. */
	err = recv(t->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 ? -errno : 0;
	/* A peer that talks, or sends no more: it has to be asked for each. */
	if (!err) {
		/*
		 * In this order: a reset leaves its error before it lets go of anything;
		 * and closes before a send, whose answer may be on its way to us, is told.
		 */
		err = sgring_sock_error(t->fd);
		if (!err && closed(t->fd))
			err = -ECONNRESET;
	}
	if (err && err != -EAGAIN && err != -EINTR) {
		err = err == -ENOTCONN ? -ECONNRESET : err;
		sgring_fail(-err, "%s: %s", t->peer, sgring_strerror(err, text, sizeof(text)));
		sgring_tx_lost(t, err);
		return false;
	}
	t->arrived = t->back;
	return true;
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
		err = sgring_tx_stream(t) ? 0 : sgring_sock_choose_datagram(t);
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
	sgring_sock_unmap_frames(t);
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
		err = sgring_sock_resolve(t, where);
	if (!err)
		err = sgring_sock_connect(t);
	if (!err)
		err = choose_engine(t);
	if (!err)
		err = sgring_sock_map_frames(t);
	if (err)
		sock_close(t);
	else if (!sgring_tx_stream(t) && !sgring_tx_raw(t))
		sgring_sock_hello(t, t->epoch);	/* to open the way: it need not arrive */
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

static struct sgring_uring *
sock_ring(const struct sgring_tx *t, uint32_t slots, unsigned int *completions)
{
	return t->lost || !t->engine->ring ? NULL : t->engine->ring(t, slots, completions);
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
	.ring = sock_ring,
	.outstanding = sock_outstanding,
	.check = sock_check,
	.stalled = sock_stalled,
	.settle = sock_settle,
	.finish = sock_finish,
	.abort = sock_abort,
	.reopen = sgring_sock_reopen,
	.close = sock_close,
};

const struct sgring_tx_kind sgring_tx_udp = {
	.scheme = "udp://",
	.open = sock_open,
	.push = sock_push,
	.reap = sock_reap,
	.pollfds = sock_pollfds,
	.ring = sock_ring,
	.outstanding = sock_outstanding,
	.check = sock_check,
	.stalled = sock_stalled,
	.settle = sock_settle,
	.finish = sock_finish,
	.abort = sock_abort,
	.close = sock_close,
};

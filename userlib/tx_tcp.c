/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the TCP sender, over MSG_ZEROCOPY
 *
 * Each sendmsg() that accepts bytes gets the socket's next number, from 0. The
 * kernel reports ranges of numbers on the error queue once nothing holds their
 * pages any more, which for TCP means acknowledged or thrown away.
 *
 * Limits that make sendmsg() fail with ENOBUFS:
 *   optmem   a notification is charged until it is read or merged: with some
 *            outstanding, read them and try again
 *   memlock  the pages are charged while in flight, unless CAP_IPC_LOCK: with
 *            some outstanding, wait for them; with none, it will never pass
 * So pieces are cut to half of what memlock allows, and with nothing
 * outstanding the limit is reported by name. Copying instead is never tried.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/errqueue.h>	/* needs time.h */

#include "tx.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY 0x4000000
#endif

#define CONNECT_NS (10000 * SGRING_MS_NS)
#define PIECE_MIN 65536		/* smaller pieces gain nothing over a copy */
#define BATCH 16		/* notifications in one system call */

/* The limit on locked memory that applies to this process; UINT64_MAX: none. */
static uint64_t memlock_limit(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2] = { { 0 } };
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	if (!syscall(SYS_capget, &header, caps) && caps[0].effective & (1U << CAP_IPC_LOCK))
		return UINT64_MAX;
	return limit.rlim_cur;
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

/* The largest piece: two must fit, each with two pages that the kernel adds. */
static int choose_piece(struct sgring_tx *t)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), limit = memlock_limit();
	uint64_t slot = t->stream->geometry.slot_bytes, pages = limit / 2 / page;

	t->piece_max = (size_t)slot;
	if (limit == UINT64_MAX || slot / page + 2 <= pages)
		return 0;
	if (pages < 2 + (PIECE_MIN < slot ? PIECE_MIN : slot) / page)
		return sgring_fail(ENOBUFS,
				   "RLIMIT_MEMLOCK is %s: too little to send without a copy; raise it (ulimit -l, at least %s) or grant CAP_IPC_LOCK",
				   sgring_size_text(limit),
				   sgring_size_text(2 * (slot / page + 2) * page));
	t->piece_max = (size_t)((pages - 2) * page);
	return 0;
}

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

static int socket_error(int fd)
{
	socklen_t size = sizeof(int);
	int err = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) ? -errno : -err;
}

/* A connected, non-blocking socket, or -errno. */
static int dial(struct sgring_tx *t, const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd out = { .fd = fd, .events = POLLOUT };
	int err = 0, one = 1;

	if (fd < 0)
		return -errno;
	if (connect(fd, a->ai_addr, a->ai_addrlen))
		err = -errno;
	if (err == -EINPROGRESS) {
		do {
			err = t->stream->be->poll(t->stream->be, &out, 1, CONNECT_NS);
		} while (err == -EINTR);
		err = err > 0 ? socket_error(fd) : err ? err : -ETIMEDOUT;
	}
	if (!err && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		err = -EOPNOTSUPP;
	if (err) {
		close(fd);
		return err;
	}
	/* The tail of a slot shall not wait for the acknowledgement of the rest. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int tcp_open(struct sgring_tx *t, const char *where)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
	struct addrinfo *list, *a;
	char copy[sizeof(t->peer)], *host, *port, text[128];
	int err;

	if (strlen(where) >= sizeof(copy))
		return sgring_fail(EINVAL, "the address is too long");
	snprintf(t->peer, sizeof(t->peer), "%s", where);
	snprintf(copy, sizeof(copy), "%s", where);
	if (split(copy, &host, &port))
		return sgring_fail(EINVAL, "\"tcp://%s\": expected tcp://host:port (IPv6 in brackets)",
				   where);
	err = choose_piece(t);
	if (err)
		return err;
	err = getaddrinfo(host, port, &hints, &list);
	if (err)
		return sgring_fail(err == EAI_SERVICE ? EINVAL : EHOSTUNREACH, "%s port %s: %s",
				   host, port, gai_strerror(err));
	err = -EHOSTUNREACH;
	for (a = list; a && t->fd < 0; a = a->ai_next) {
		err = dial(t, a);
		if (err >= 0)
			t->fd = err;
	}
	freeaddrinfo(list);
	if (t->fd >= 0)
		return 0;
	if (err == -EOPNOTSUPP)
		return sgring_fail(-err, "%s: this kernel has no MSG_ZEROCOPY", where);
	return sgring_fail(-err, "cannot connect to %s: %s", where,
			   sgring_strerror(err, text, sizeof(text)));
}

/* One message of the error queue; 1: some pieces were let go of. */
static int take_message(struct sgring_tx *t, struct msghdr *msg)
{
	const struct sock_extended_err *e;
	struct cmsghdr *c;
	int pieces = 0;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (!(c->cmsg_level == SOL_IP && c->cmsg_type == IP_RECVERR) &&
		    !(c->cmsg_level == SOL_IPV6 && c->cmsg_type == IPV6_RECVERR))
			continue;
		e = (const void *)CMSG_DATA(c);
		if (e->ee_origin != SO_EE_ORIGIN_ZEROCOPY || e->ee_errno)
			continue;
		sgring_tx_let_go(t, e->ee_info, e->ee_data, e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED);
		pieces++;
	}
	return pieces;
}

static int tcp_reap(struct sgring_tx *t)
{
	union {
		struct cmsghdr align;
		char bytes[128];
	} control[BATCH];
	struct mmsghdr msgs[BATCH];
	char text[128];
	int i, n, pieces = 0;

	do {
		memset(msgs, 0, sizeof(msgs));
		for (i = 0; i < BATCH; i++) {
			msgs[i].msg_hdr.msg_control = &control[i];
			msgs[i].msg_hdr.msg_controllen = sizeof(control[i]);
		}
		t->stream->notify_calls++;
		n = t->stream->be->recvmmsg(t->stream->be, t->fd, msgs, BATCH,
					    MSG_ERRQUEUE | MSG_DONTWAIT);
		for (i = 0; i < n; i++)
			pieces += take_message(t, &msgs[i].msg_hdr);
	} while (n == BATCH || n == -EINTR);
	if (n < 0 && n != -EAGAIN)
		return sgring_fail(-n, "%s: cannot read notifications: %s", t->peer,
				   sgring_strerror(n, text, sizeof(text)));
	return pieces;
}

/* Notifications make the socket readable for POLLERR, which is always polled. */
static int wait_socket(struct sgring_tx *t, short events, int64_t timeout_ns)
{
	struct pollfd p = { .fd = t->fd, .events = events };
	int err;

	t->stream->sender_waits++;
	err = t->stream->be->poll(t->stream->be, &p, 1, timeout_ns);
	return err < 0 ? err : 0;
}

static int tcp_check(struct sgring_tx *t)
{
	char text[128];
	int err = socket_error(t->fd);

	return err ? sgring_fail(-err, "%s: %s", t->peer, sgring_strerror(err, text, sizeof(text))) : 0;
}

static int tcp_wait(struct sgring_tx *t, int64_t timeout_ns)
{
	int err = wait_socket(t, 0, timeout_ns);

	if (err == -EINTR)
		return sgring_fail(EINTR, "a signal ended the wait");
	return err ? err : tcp_check(t);
}

/* ENOBUFS although nothing is outstanding: which limit is it? */
static int name_the_limit(struct sgring_tx *t, size_t bytes)
{
	uint64_t memlock = memlock_limit(), optmem = optmem_limit();

	if (optmem < 4096 || memlock == UINT64_MAX)
		return sgring_fail(ENOBUFS,
				   "%s: no room for a send notification: net.core.optmem_max is %s; raise it (sysctl net.core.optmem_max=131072)",
				   t->peer, sgring_size_text(optmem));
	return sgring_fail(ENOBUFS,
			   "%s: %s cannot be locked for sending: RLIMIT_MEMLOCK is %s for all of this user's processes; raise it (ulimit -l) or grant CAP_IPC_LOCK",
			   t->peer, sgring_size_text(bytes), sgring_size_text(memlock));
}

static int tcp_send(struct sgring_tx *t, uint32_t slot, const unsigned char *data, size_t bytes)
{
	const struct sgring_backend *be = t->stream->be;
	const int64_t patience = t->stream->send_timeout_ms * SGRING_MS_NS;
	int64_t since = 0;
	struct iovec iov;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	size_t piece;
	ssize_t n;
	char text[128];
	int err;

	while (bytes) {
		err = sgring_loans_reserve(&t->loans);
		if (err)
			return err;
		piece = bytes < t->piece_max ? bytes : t->piece_max;
		iov = (struct iovec){ .iov_base = (void *)(uintptr_t)data, .iov_len = piece };
		t->stream->send_calls++;
		n = be->sendmsg(be, t->fd, &msg, MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			sgring_tx_lend(t, slot);
			t->stats.sends++;
			t->stats.bytes += (uint64_t)n;
			t->stats.partial += (size_t)n < piece;
			data += n;
			bytes -= (size_t)n;
			since = 0;
			continue;
		}
		if (n == -EINTR)
			continue;
		if (n != -EAGAIN && n != -ENOBUFS)
			return sgring_fail((int)-n, "%s: %s", t->peer,
					   sgring_strerror((int)n, text, sizeof(text)));
		if (sgring_tx_reap(t) > 0) {
			since = 0;
			if (n == -ENOBUFS) {
				t->stats.nobufs_waits++;
				continue;
			}
		}
		if (n == -ENOBUFS && !sgring_loans_out(&t->loans))
			return name_the_limit(t, piece);
		if (!since)
			since = sgring_now_ns();
		if (sgring_now_ns() - since >= patience)
			return sgring_fail(ETIMEDOUT, "%s: the peer took nothing for %u ms", t->peer,
					   t->stream->send_timeout_ms);
		if (n == -ENOBUFS)
			t->stats.nobufs_waits++;
		else
			t->stats.full_waits++;
		err = wait_socket(t, n == -ENOBUFS ? 0 : POLLOUT,
				  since + patience - sgring_now_ns());
		if (err && err != -EINTR)
			return sgring_fail(-err, "%s: poll: %s", t->peer,
					   sgring_strerror(err, text, sizeof(text)));
	}
	return 0;
}

static void tcp_finish(struct sgring_tx *t)
{
	shutdown(t->fd, SHUT_WR);
}

/*
 * Disconnecting resets the connection and empties its queues but keeps the
 * socket, so that notifications still arrive for what the network device has.
 * After close() nobody would be told, and a slot could be refilled under a
 * transmission.
 */
static void tcp_abort(struct sgring_tx *t)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	connect(t->fd, &nowhere, sizeof(nowhere));
}

static void tcp_close(struct sgring_tx *t)
{
	close(t->fd);
}

const struct sgring_tx_kind sgring_tx_tcp = {
	.scheme = "tcp://",
	.open = tcp_open,
	.send = tcp_send,
	.reap = tcp_reap,
	.wait = tcp_wait,
	.check = tcp_check,
	.finish = tcp_finish,
	.abort = tcp_abort,
	.close = tcp_close,
};

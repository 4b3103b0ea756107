/* SPDX-License-Identifier: MIT */
/* libsgring: where a socket goes: addresses, connections, what the path takes. */
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tx_sock.h"

#define CONNECT_NS (10000 * SGRING_MS_NS)

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

int sgring_sock_resolve(struct sgring_tx *t, const char *where)
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

int sgring_sock_error(int fd)
{
	socklen_t size = sizeof(int);
	int err = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) ? -errno : -err;
}

static bool multicast(const struct addrinfo *a)
{
	const struct sockaddr_in6 *v6 = (const void *)a->ai_addr;
	const struct sockaddr_in *v4 = (const void *)a->ai_addr;

	if (a->ai_family == AF_INET6)
		return IN6_IS_ADDR_MULTICAST(&v6->sin6_addr);
	return IN_MULTICAST(ntohl(v4->sin_addr.s_addr));
}

int sgring_sock_set(int fd, int level, int option, int value)
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

	err = sgring_sock_set(fd, level, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
			      v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO);
	if (!err)
		err = sgring_sock_set(fd, level, v6 ? IPV6_RECVERR : IP_RECVERR, 1);
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
	err = sgring_sock_set(fd, level, v6 ? IPV6_MULTICAST_HOPS : IP_MULTICAST_TTL, ttl);
	if (!err && name && v6)
		err = sgring_sock_set(fd, level, IPV6_MULTICAST_IF, via.imr_ifindex);
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
	err = sgring_sock_error(k->dialing);
	if (err)
		return dial_failed(t, err);
	if (t->fd >= 0)
		close(t->fd);
	t->fd = k->dialing;
	k->dialing = -1;
	/* The tail of a slot shall not wait for the acknowledgement of the rest. */
	if (sgring_tx_stream(t))
		sgring_sock_set(t->fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return 1;
}

/* The first of the addresses that answers. */
int sgring_sock_connect(struct sgring_tx *t)
{
	struct sock *k = sock_of(t);
	int err, ready;

	do {
		err = dial(t);
		while (!err) {
			struct pollfd fds[2] = { { .fd = k->dialing, .events = POLLOUT } };

			ready = sgring_poll(t->stream, fds, 1, CONNECT_NS);
			if (ready == -EINTR && !sgring_load_relaxed(&t->stream->cancelled))
				continue;
			err = ready < 0 ? dial_failed(t, ready) : dialed(t, ready > 0);
		}
	} while (err < 0 && k->at->ai_next && !sgring_load_relaxed(&t->stream->cancelled));
	return err < 0 ? err : 0;
}

int sgring_sock_reopen(struct sgring_tx *t)
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

int sgring_sock_path(const struct sgring_tx *t, size_t *datagram)
{
	const bool v6 = sock_of(t)->at->ai_family == AF_INET6;
	socklen_t size = sizeof(int);
	int mtu = 0;

	if (getsockopt(t->fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &size))
		return -errno;
	mtu -= v6 ? 48 : 28;
	*datagram = mtu < (int)SGRING_DATAGRAM_MIN ? 0 : mtu;
	if (*datagram > SGRING_DATAGRAM_MAX)
		*datagram = SGRING_DATAGRAM_MAX;
	return *datagram ? 0 :
	       sgring_fail(EMSGSIZE, "%s: the path takes packets of %d bytes only; datagrams need %u",
			   t->peer, mtu + (v6 ? 48 : 28), SGRING_DATAGRAM_MIN + (v6 ? 48 : 28));
}

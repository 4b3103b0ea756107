/* SPDX-License-Identifier: MIT */
/* sgring(1): the sockets that "recv" receives from. */
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listen.h"

bool place_parse(struct place *p, const char *text)
{
	const char *colon, *host;
	size_t n;

	p->datagrams = !strncmp(text, "udp://", 6);
	if (p->datagrams || !strncmp(text, "tcp://", 6))
		text += 6;
	colon = strrchr(text, ':');
	host = colon ? text : "";
	n = colon ? (size_t)(colon - text) : 0;
	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	} else if (memchr(host, ':', n)) {
		return false;	/* IPv6 without brackets: which colon is the port's? */
	}
	colon = colon ? colon + 1 : text;
	if (n >= sizeof(p->host) || !*colon || strlen(colon) >= sizeof(p->port))
		return false;
	/* What is no number is a service's name, if there is a colon before it. */
	if (strspn(colon, "0123456789") != strlen(colon) ? colon == text : atol(colon) > 65535)
		return false;
	memcpy(p->host, host, n);
	p->host[n] = 0;
	strcpy(p->port, colon);
	return true;
}

static bool is_group(const struct addrinfo *a)
{
	const struct sockaddr_in *v4 = (const void *)a->ai_addr;
	const struct sockaddr_in6 *v6 = (const void *)a->ai_addr;

	return (a->ai_family == AF_INET && IN_MULTICAST(ntohl(v4->sin_addr.s_addr))) ||
	       (a->ai_family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&v6->sin6_addr));
}

static int join(int fd, const struct addrinfo *a, unsigned int interface)
{
	if (a->ai_family == AF_INET) {
		struct ip_mreqn m = {
			.imr_multiaddr = ((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr,
			.imr_ifindex = (int)interface,
		};

		return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m));
	} else {
		struct ipv6_mreq m = {
			.ipv6mr_multiaddr = ((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr,
			.ipv6mr_interface = interface,
		};

		return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m));
	}
}

static int open_one(const struct addrinfo *a, bool any, unsigned int interface)
{
	bool stream = a->ai_socktype == SOCK_STREAM;
	int fd, one = 1, zero = 0, err;

	fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* A group may have several receivers here; a port of TCP may just have been left. */
	if (stream || is_group(a))
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (any && a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (!stream)
		setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
	/* A group of one link has a link in its address. */
	if (is_group(a) && a->ai_family == AF_INET6 && interface)
		((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_scope_id = interface;
	if (bind(fd, a->ai_addr, a->ai_addrlen) || (stream && listen(fd, 16)) ||
	    (is_group(a) && join(fd, a, interface))) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int place_open(const struct place *p, const char *interface, char *error, size_t room)
{
	struct addrinfo hints = {
		.ai_socktype = p->datagrams ? SOCK_DGRAM : SOCK_STREAM,
		.ai_flags = AI_PASSIVE,
		/* Any address: of both families, if there is IPv6. */
		.ai_family = p->host[0] ? AF_UNSPEC : AF_INET6,
	};
	unsigned int number = interface ? if_nametoindex(interface) : 0;
	struct addrinfo *list, *a;
	int err, fd = -1;

	if (interface && !number) {
		snprintf(error, room, "there is no network interface \"%s\"", interface);
		return -1;
	}
	err = getaddrinfo(p->host[0] ? p->host : NULL, p->port, &hints, &list);
	if (err) {
		snprintf(error, room, "%s:%s: %s", p->host, p->port, gai_strerror(err));
		return -1;
	}
	for (a = list; a && fd < 0; a = a->ai_next)
		fd = open_one(a, !p->host[0], number);
	freeaddrinfo(list);
	if (fd == -EAFNOSUPPORT && !p->host[0]) {
		hints.ai_family = AF_INET;
		if (!getaddrinfo(NULL, p->port, &hints, &list)) {
			fd = open_one(list, false, number);
			freeaddrinfo(list);
		}
	}
	if (fd < 0)
		snprintf(error, room, "%s:%s: %s%s", p->host, p->port, strerror(-fd),
			 fd == -EINVAL && p->datagrams ? " (a group of one link needs --interface)" : "");
	return fd < 0 ? -1 : fd;
}

size_t place_buffer(int fd, size_t bytes)
{
	socklen_t size = sizeof(int);
	int n = (int)bytes;

	/* The first is for root only, and knows no limit. */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &n, sizeof(n)))
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, sizeof(n));
	/* What is told is doubled, for the kernel's own. */
	return getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &n, &size) ? 0 : (size_t)n / 2;
}

void address_text(char *text, size_t room, const struct sockaddr_storage *a, socklen_t size)
{
	char host[128] = "?", port[16] = "?", *plain = host;
	int err;

	err = getnameinfo((const struct sockaddr *)a, size, host, sizeof(host), port, sizeof(port),
			  NI_NUMERICHOST | NI_NUMERICSERV);
	/* An IPv4 address as a socket for both families has it. */
	if (!err && !strncmp(host, "::ffff:", 7) && strchr(host, '.'))
		plain = host + 7;
	snprintf(text, room, strchr(plain, ':') ? "[%s]:%s" : "%s:%s", plain, port);
}

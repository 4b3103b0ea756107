/* SPDX-License-Identifier: MIT */
/*
 * net: what busybox's nc cannot do, for the tool's tests
 *
 *	net sink PORT FILE [GROUP]        datagrams to PORT, of a multicast group, into FILE
 *	net datagram HOST PORT            standard input as one datagram
 *	net relay PORT HOST PORT BYTES    a TCP relay that resets its first connection, both
 *	                                  sides of it, when so many bytes went through, and
 *	                                  lets later ones through
 *
 * IPv4. sink and relay run until they are killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned char buffer[1 << 16];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (host && inet_pton(AF_INET, host, &a.sin_addr) != 1)
		die(host);
	return a;
}

static int socket_bound(int type, const char *port)
{
	struct sockaddr_in a = address(NULL, port);
	int fd = socket(AF_INET, type, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (fd < 0 || bind(fd, (void *)&a, sizeof(a)))
		die("bind");
	return fd;
}

static void write_all(int fd, const unsigned char *from, ssize_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(fd, from, (size_t)bytes);

		if (n < 0)
			die("write");
		from += n;
		bytes -= n;
	}
}

static int sink(const char *port, const char *path, const char *group)
{
	int fd = socket_bound(SOCK_DGRAM, port), out, room = 8 << 20;
	struct ip_mreqn m = { 0 };
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	if (group) {
		m.imr_multiaddr = address(group, port).sin_addr;
		if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof(m)))
			die(group);
	}
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	if (out < 0)
		die(path);
	while ((n = recv(fd, buffer, sizeof(buffer), 0)) >= 0)
		write_all(out, buffer, n);
	die("recv");
	return 1;
}

static int datagram(const char *host, const char *port)
{
	struct sockaddr_in a = address(host, port);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	size_t bytes = fread(buffer, 1, sizeof(buffer), stdin);

	if (sendto(fd, buffer, bytes, 0, (void *)&a, sizeof(a)) < 0)
		die("sendto");
	return 0;
}

/* Closed this way the peer gets a reset. */
static void reset(int fd)
{
	struct linger l = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

static int relay(const char *port, const char *host, const char *to, const char *limit)
{
	int listener = socket_bound(SOCK_STREAM, port), in, out;
	struct sockaddr_in a = address(host, to);
	int64_t left = atoll(limit);
	ssize_t n;

	if (listen(listener, 4))
		die("listen");
	while ((in = accept(listener, NULL, NULL)) >= 0) {
		out = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(out, (void *)&a, sizeof(a)))
			die("connect");
		while ((n = read(in, buffer, sizeof(buffer))) > 0) {
			if (left && n > left)
				n = (ssize_t)left;
			write_all(out, buffer, n);
			if (left && !(left -= n))
				break;
		}
		if (n > 0) {
			reset(out);
			reset(in);
		} else {
			close(out);
			close(in);
		}
	}
	die("accept");
	return 1;
}

int main(int argc, char **argv)
{
	if (argc >= 4 && !strcmp(argv[1], "sink"))
		return sink(argv[2], argv[3], argv[4]);
	if (argc == 4 && !strcmp(argv[1], "datagram"))
		return datagram(argv[2], argv[3]);
	if (argc == 6 && !strcmp(argv[1], "relay"))
		return relay(argv[2], argv[3], argv[4], argv[5]);
	fputs("usage: net sink|datagram|relay, see its source\n", stderr);
	return 1;
}

/* SPDX-License-Identifier: MIT */
/*
 * gate-send: your own socket, MSG_ZEROCOPY, and the slot goes back at once
 *
 *	gate-send STREAM HOST PORT [BYTES]
 *
 * With MSG_ZEROCOPY the network card reads the pages after send() has returned. The
 * usual rule is to keep them untouched until a notification comes. Not here: the
 * driver's reference gate looks at the pages of each returned slot, and the engine
 * does not get it while anybody (a packet, a disk request, a pipe) still holds one.
 * So a slot is returned right after the call that uses it. The gate is on unless the
 * set-up said SGRING_SETUP_NO_GATE; sgring stat counts what waited there.
 *
 * Notifications come all the same, and take kernel memory until they are read.
 */
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <sgring.h>

static int connect_to(const char *host, const char *port)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *a = NULL;
	int fd, one = 1;

	if (getaddrinfo(host, port, &hints, &a))
		return -1;
	fd = socket(a->ai_family, a->ai_socktype, 0);
	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)) ||
			connect(fd, a->ai_addr, a->ai_addrlen))) {
		close(fd);
		fd = -1;
	}
	freeaddrinfo(a);
	return fd;
}

/* Read the notifications away; we need not know what they say. */
static void drain(int fd)
{
	char control[256];
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };

	while (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0)
		m.msg_controllen = sizeof(control);
}

static int send_slot(int fd, const struct sgring_slot *b)
{
	struct pollfd error = { .fd = fd };
	size_t done = 0;
	ssize_t n;

	while (done < b->length) {
		n = send(fd, b->data + done, b->length - done, MSG_ZEROCOPY | MSG_NOSIGNAL);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != ENOBUFS)	/* too many notifications unread: wait for one */
			return -1;
		else if (poll(&error, 1, 1000) <= 0)
			return fprintf(stderr, "is RLIMIT_MEMLOCK (ulimit -l) too low?\n"), -1;
		drain(fd);
	}
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t limit = argc > 4 ? strtoull(argv[4], NULL, 10) : UINT64_MAX, bytes = 0;
	struct sgring_stats st = { 0 };
	struct sgring_slot b;
	struct sgring *s;
	int fd, failed = 0;

	if (argc < 4)
		return fprintf(stderr, "usage: gate-send STREAM HOST PORT [BYTES]\n"), 1;
	fd = connect_to(argv[2], argv[3]);
	if (fd < 0)
		return perror(argv[2]), 1;
	if (sgring_open(&s, argv[1], NULL) || sgring_start(s))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	while (!failed && bytes < limit && !sgring_next(s, &b, 1000)) {
		if (b.length > limit - bytes)
			b.length = (uint32_t)(limit - bytes);
		failed = send_slot(fd, &b);
		bytes += b.length;
		sgring_return(s, &b);		/* at once: the gate keeps it until it is free */
	}
	if (failed)
		perror("send");
	sgring_stats(s, &st);
	printf("%" PRIu64 " bytes; %" PRIu64 " slots waited at the gate\n", bytes,
	       (uint64_t)st.gate_waits);
	close(fd);
	return sgring_close(s) < 0 || failed;
}

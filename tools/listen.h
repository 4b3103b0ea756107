/* SPDX-License-Identifier: MIT */
/* sgring(1): the sockets that "recv" receives from. */
#ifndef SGRING_LISTEN_H
#define SGRING_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/**
 * struct place - where to receive
 * @datagrams: UDP, not TCP
 * @host: a name, an address or a multicast group; empty: any address
 * @port: a number or a service
 */
struct place {
	bool datagrams;
	char host[256];
	char port[32];
};

/* "[HOST]:PORT", tcp://..., udp://...; an IPv6 address in brackets. False: it is none. */
bool place_parse(struct place *p, const char *text);

/**
 * place_open() - a socket that does not block, bound, and listening or in its group
 * @interface: of a multicast group; NULL: the kernel's choice
 * @error: one line, if it fails
 *
 * Return: it, or -1.
 */
int place_open(const struct place *p, const char *interface, char *error, size_t room);

/* Bytes that datagrams may wait in; as many as the kernel gives. */
size_t place_buffer(int fd, size_t bytes);

/* "10.0.0.1:9000", "[::1]:9000" */
void address_text(char *text, size_t room, const struct sockaddr_storage *a, socklen_t size);

#endif /* SGRING_LISTEN_H */

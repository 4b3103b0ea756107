/* SPDX-License-Identifier: MIT */
/* libsgring: what the files of the socket kinds share. */
#ifndef SGRING_TX_SOCK_H
#define SGRING_TX_SOCK_H

#include <netdb.h>

#include "tx.h"

#define SGRING_DATAGRAM_MIN 512U

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

static inline struct sock *sock_of(const struct sgring_tx *t)
{
	return t->data;
}

/* tx_dial.c */
int sgring_sock_resolve(struct sgring_tx *tx, const char *where);
/* The first of the addresses that answers, waiting for it. */
int sgring_sock_connect(struct sgring_tx *tx);
/* &struct sgring_tx_kind, reopen() */
int sgring_sock_reopen(struct sgring_tx *tx);
/* What the socket reports, once: 0 or -errno. */
int sgring_sock_error(int fd);
/* 0 or -errno, without a message */
int sgring_sock_set(int fd, int level, int option, int value);
/* The largest datagram that the path takes whole now: 0 or -errno. */
int sgring_sock_path(const struct sgring_tx *tx, size_t *datagram);

/* tx_frame.c */
/* As large as the path takes, the caller wants, and a packet can hold in pieces. */
int sgring_sock_choose_datagram(struct sgring_tx *tx);
/* Memory for hellos and entries, of @frames of the sender. */
int sgring_sock_map_frames(struct sgring_tx *tx);
void sgring_sock_unmap_frames(struct sgring_tx *tx);
ssize_t sgring_sock_hello(struct sgring_tx *tx, uint32_t epoch);

#endif /* SGRING_TX_SOCK_H */

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: a sender, and the bookkeeping every kind of sender shares
 *
 * A slot handed to a sender is lent to the kernel in pieces, each with a
 * number. The kernel lets go of pieces in ranges of numbers and in any order;
 * when the last piece of a slot is let go of, the slot returns to the stream.
 */
#ifndef SGRING_TX_H
#define SGRING_TX_H

#include "internal.h"

/**
 * struct sgring_tx_slot - what of a slot is still lent
 * @pieces: not let go of yet
 * @cookie: to be returned with the slot
 * @filling: the sender is still adding pieces
 */
struct sgring_tx_slot {
	uint32_t pieces;
	bool filling;
	uint64_t cookie;
};

/**
 * struct sgring_loans - pieces lent, by number
 * @slot_of: slot of each piece, a ring; SGRING_NO_SLOT: let go of
 * @room: its size, a power of two
 * @first: oldest number not let go of
 * @next: number of the next piece
 */
struct sgring_loans {
	uint32_t *slot_of;
	uint32_t room;
	uint32_t first;
	uint32_t next;
};

struct sgring_tx;

/**
 * struct sgring_tx_kind - one kind of sender
 * @scheme: of its URLs
 * @open: connect; @where is the URL after the scheme
 * @send: lend it all, waiting while there is no room
 * @reap: take notifications, without waiting; how many pieces, or -errno
 * @wait: until @reap has something to do, or the time is over; 0 or -errno
 * @check: has the connection failed? 0 or -errno
 * @finish: no more data will come
 * @abort: make the kernel let go as far as it can; notifications still come
 * @close: release the connection
 */
struct sgring_tx_kind {
	const char *scheme;
	int (*open)(struct sgring_tx *tx, const char *where);
	int (*send)(struct sgring_tx *tx, uint32_t slot, const unsigned char *data, size_t bytes);
	int (*reap)(struct sgring_tx *tx);
	int (*wait)(struct sgring_tx *tx, int64_t timeout_ns);
	int (*check)(struct sgring_tx *tx);
	void (*finish)(struct sgring_tx *tx);
	void (*abort)(struct sgring_tx *tx);
	void (*close)(struct sgring_tx *tx);
};

extern const struct sgring_tx_kind sgring_tx_tcp;

/**
 * struct sgring_tx - a sender
 * @stream: it belongs to
 * @next: sender of it
 * @kind: its operations
 * @peer: for messages
 * @slots: by index
 * @loans: pieces lent
 * @stats: counted all along, but for outstanding and held
 * @held: slots not returned
 * @piece_max: bytes in one piece
 * @fd: the socket
 * @error: it failed with this; 0: it works
 * @slots_before: the stream's count when it was opened
 */
struct sgring_tx {
	struct sgring *stream;
	struct sgring_tx *next;
	const struct sgring_tx_kind *kind;
	char peer[128];
	struct sgring_tx_slot *slots;
	struct sgring_loans loans;
	struct sgring_tx_stats stats;
	uint32_t held;
	size_t piece_max;
	int fd;
	int error;
	uint64_t slots_before;
};

/* loans.c; memory only grows, with what is outstanding at one time. */
int sgring_loans_init(struct sgring_loans *l, uint32_t room);
void sgring_loans_free(struct sgring_loans *l);
static inline uint32_t sgring_loans_out(const struct sgring_loans *l)
{
	return l->next - l->first;
}
/* Make sure that one more can be lent; -ENOMEM. */
int sgring_loans_reserve(struct sgring_loans *l);
void sgring_loans_add(struct sgring_loans *l, uint32_t slot);
/*
 * Numbers @low to @high are let go of; @done is called for each that was lent.
 * Returns how many; -EPROTO if some were never lent or let go of before.
 */
int sgring_loans_done(struct sgring_loans *l, uint32_t low, uint32_t high,
		      void (*done)(void *context, uint32_t slot), void *context);

/* tx.c, for the kinds */
/* Account a piece; room was reserved. */
void sgring_tx_lend(struct sgring_tx *tx, uint32_t slot);
/* Take notifications and publish the slots they free; pieces, or -errno. */
int sgring_tx_reap(struct sgring_tx *tx);
/* Pieces from @low to @high are let go of. */
void sgring_tx_let_go(struct sgring_tx *tx, uint32_t low, uint32_t high, bool copied);

#endif /* SGRING_TX_H */

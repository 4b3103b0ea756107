/* SPDX-License-Identifier: MIT */
/*
 * libsgring: a sender, and what its parts have in common
 *
 *	tx.c		the queue, who has which slot, failure, flush, close, reconnection
 *	kinds		where it goes: tx_sock.c (tcp://, udp://; with tx_dial.c and
 *			tx_frame.c), tx_file.c (file:)
 *	engines		how a socket's messages get to the kernel: tx_msg.c (sendmsg),
 *			tx_uring.c (io_uring)
 *
 * What is to be sent are items, in the order of sgring_tx_send(), each with a
 * number, free-running:
 *
 *	first <= head <= next
 *	  |        |       `- of the next one
 *	  |        `--------- oldest not handed over whole
 *	  `------------------ oldest kept: something of it is lent to the kernel
 *
 * An item is handed over in pieces. A piece is lent (sgring_tx_lend()) when the
 * kernel may look at it from now on, taken (sgring_tx_took()) when it has accepted
 * so much of it, let go of (sgring_tx_let_go()) when it will not look at it any
 * more. When an item was taken whole and all its pieces were let go of, its slot
 * goes back. Items are kept until then, since after a lost connection those are
 * sent again that had not been let go of.
 *
 * Nothing here waits, but for opening, flush and close.
 */
#ifndef SGRING_TX_H
#define SGRING_TX_H

#include <sys/uio.h>

#include "internal.h"
#include "sgring_frame.h"

#define SGRING_TX_SEGMENTS 64U	/* datagrams in a message: UDP_MAX_SEGMENTS */
#define SGRING_TX_IOVS (2 * SGRING_TX_SEGMENTS)	/* of a message */

/* Why nothing more can be handed over now: what to wait for. */
enum sgring_tx_blocked {
	SGRING_TX_OPEN = 0,		/* nothing: push */
	SGRING_TX_FULL,			/* room, as pollfds() has it (POLLOUT) */
	SGRING_TX_LIMIT,		/* something to be let go of: a limit, or no request is free */
	SGRING_TX_LATER,		/* retry_ns: nobody tells when it can go on */
};

/**
 * struct sgring_tx_item - a slot, or an end of stream, to be sent
 * @slot: as given, its position that of its data; index SGRING_NO_SLOT: an end of stream
 * @done: taken so far: of [hello] entry, data; datagrams: of the data alone, or how
 *	often the end of the stream was
 * @number: its own
 * @pieces: lent and not let go of
 * @epoch: it belongs to
 * @begun: a part of it was prepared since the connection was made
 * @hello: a hello goes before its entry; decided when it is begun; not for datagrams
 * @taken: whole
 * @gone: its slot is back
 */
struct sgring_tx_item {
	struct sgring_slot slot;
	uint64_t done;
	uint32_t number;
	uint32_t pieces;
	uint32_t epoch;
	bool begun;
	bool hello;
	bool taken;
	bool gone;
};

/**
 * struct sgring_tx_message - what is sent with one call: bytes of one item, or, as datagrams,
 *	of several that follow each other
 * @iovs: how many
 * @items: how many items
 * @header: bytes of frames in it; in iov[0] unless they are datagrams
 * @data: bytes of slots in it
 * @end: the last item's position behind it: @from of the next one
 * @last: that item ends with it, as those before it do
 * @iov: where they are; it stays there until they are let go of
 */
struct sgring_tx_message {
	unsigned int iovs;
	uint32_t items;
	size_t header;
	size_t data;
	uint64_t end;
	bool last;
	struct iovec iov[SGRING_TX_IOVS];
};

/* Items that are lent together: as many, from this number on. */
struct sgring_loan {
	uint32_t first;
	uint32_t items;		/* 0: let go of */
};

/**
 * struct sgring_loans - what is lent, by the number the kernel gives it
 * @ring: of them
 * @room: its size, a power of two
 * @first: oldest number not let go of
 * @next: number of the next loan
 */
struct sgring_loans {
	struct sgring_loan *ring;
	uint32_t room;
	uint32_t first;
	uint32_t next;
};

/**
 * struct sgring_tx_kind - where a sender's data goes
 * @scheme: of its URLs
 * @timed: what is outstanding is let go of in time, or it has failed
 * @open: connect, or open; @where is the URL after the scheme. Sets @method and
 *	@choice of the sender. What it got must be released if it fails
 * @push: hand over what can be without waiting, from item @head on; 0, or -errno if
 *	it cannot go on. Sets @blocked if something is left. A connection that is
 *	lost is not its failure: sgring_tx_lost()
 * @reap: take completions, without waiting; 0 or -errno
 * @pollfds: descriptors to be waited for now, with events
 * @ring: the ring whose completions, with retry_ns and due_ns, are all that can be
 *	waited for now; and about how many come until so many slots go back, or push()
 *	has something to do. NULL: pollfds() has something else. No function: no ring
 * @outstanding: pieces lent
 * @check: something is wrong with a descriptor: has it failed? 0 or -errno, or
 *	sgring_tx_lost()
 * @stalled: nothing has moved for timeout_ms: say so; -errno
 * @settle: nothing is queued or outstanding: does the peer, or the disk, have it all?
 *	1; 0: look again when something was let go of or a moment later; -errno
 * @finish: it has; nothing more will come; 0 or -errno
 * @abort: make the kernel let go as far as it can; reap() still takes notifications
 * @reopen: after a lost connection, when nothing is outstanding: 1 there is a new
 *	one; 0 it is being made; -errno that attempt failed. NULL: there is none
 * @close: release everything
 */
struct sgring_tx_kind {
	const char *scheme;
	bool timed;
	int (*open)(struct sgring_tx *tx, const char *where);
	int (*push)(struct sgring_tx *tx);
	int (*reap)(struct sgring_tx *tx);
	unsigned int (*pollfds)(const struct sgring_tx *tx, struct pollfd *fds, unsigned int room);
	struct sgring_uring *(*ring)(const struct sgring_tx *tx, uint32_t slots,
				     unsigned int *completions);
	uint32_t (*outstanding)(const struct sgring_tx *tx);
	int (*check)(struct sgring_tx *tx);
	int (*stalled)(struct sgring_tx *tx);
	int (*settle)(struct sgring_tx *tx);
	int (*finish)(struct sgring_tx *tx);
	void (*abort)(struct sgring_tx *tx);
	int (*reopen)(struct sgring_tx *tx);
	void (*close)(struct sgring_tx *tx);
};

extern const struct sgring_tx_kind sgring_tx_tcp;
extern const struct sgring_tx_kind sgring_tx_udp;
extern const struct sgring_tx_kind sgring_tx_file;

/**
 * struct sgring_tx_engine - how the messages of a socket get to the kernel
 * @open: can it be used for this sender, with @method? tx->fd is connected.
 *	0: tx->choice has the reason why it is a good one; or -errno, and the message
 *	says why not
 * @connected: tx->fd is another connection; nothing is outstanding; NULL: no matter
 * @push, @reap, @pollfds, @ring, @outstanding: as of the kind
 * @abort: the connection was reset: give up what waits in the engine itself
 * @close: release everything; the socket is still open
 *
 * What reap() takes was let go of because it arrived, or because the connection
 * was lost: sgring_tx_ask() comes in between.
 */
struct sgring_tx_engine {
	int (*open)(struct sgring_tx *tx, uint32_t method);
	void (*connected)(struct sgring_tx *tx);
	int (*push)(struct sgring_tx *tx);
	int (*reap)(struct sgring_tx *tx);
	unsigned int (*pollfds)(const struct sgring_tx *tx, struct pollfd *fds, unsigned int room);
	struct sgring_uring *(*ring)(const struct sgring_tx *tx, uint32_t slots,
				     unsigned int *completions);
	uint32_t (*outstanding)(const struct sgring_tx *tx);
	void (*abort)(struct sgring_tx *tx);
	void (*close)(struct sgring_tx *tx);
};

extern const struct sgring_tx_engine sgring_tx_msg;
extern const struct sgring_tx_engine sgring_tx_uring;

/**
 * struct sgring_tx - a sender
 * @stream: it belongs to
 * @next_tx: sender of it
 * @kind: its operations
 * @options: of the caller, defaults filled in; strings are the sender's own
 * @method: in use, enum sgring_tx_method
 * @choice: why
 * @peer: for messages
 * @stats: counted all along, but for outstanding, queued and held
 * @items: a ring; it may grow, each item stays where it is
 * @room: its size, a power of two
 * @first, @head, @next: see above
 * @with: by slot: this sender has it
 * @held: slots it has
 * @batch: items that wait before push() is called while the caller is busy
 * @frames: memory of hellos and entries, an area for each of some items
 * @frame_bytes: of an area
 * @frame_areas: how many; item n has n % frame_areas
 * @session: of hellos
 * @label: of hellos
 * @epoch: of the next item
 * @sequence: of the last item, plus one
 * @hello_epoch: of the last hello on this connection; 0: none
 * @blocked: enum sgring_tx_blocked
 * @retry_ns: when to go on: SGRING_TX_LATER, or the next attempt to connect
 * @due_ns: when reap() is to be called although nobody tells; 0: it is not
 * @progress: counts whatever moves
 * @seen: @progress at @since_ns
 * @since_ns: nothing has moved since; 0: not known, or nothing has to
 * @error: it failed with this; 0: it works
 * @back: counts slots that went back when they were let go of
 * @arrived: @back, when the connection was last known to work
 * @lost: the connection is lost: with this; 0: there is one
 * @lost_ns: since when
 * @why: how, or why the last attempt to connect failed
 * @backoff_ns: before the next attempt
 * @reset: the lost connection was aborted
 * @look: its descriptor has something to say: check()
 * @said_copied: the caller was told
 * @slots_before: the stream's count when it was opened
 * @timer_fd: for event loops: when it wants to go on by itself
 * @fd: of sockets; -1: none
 * @data: of the kind
 * @engine: of sockets
 * @engine_data: of the engine
 */
struct sgring_tx {
	struct sgring *stream;
	struct sgring_tx *next_tx;
	const struct sgring_tx_kind *kind;
	struct sgring_tx_options options;
	uint32_t method;
	char choice[400];
	char peer[128];
	struct sgring_tx_stats stats;

	struct sgring_tx_item **items;
	uint32_t room;
	uint32_t first;
	uint32_t head;
	uint32_t next;
	bool *with;
	uint32_t held;
	uint32_t batch;

	unsigned char *frames;
	size_t frame_bytes;
	uint32_t frame_areas;
	uint64_t session;
	char label[32];
	uint32_t epoch;
	uint64_t sequence;
	uint32_t hello_epoch;

	uint32_t blocked;
	int64_t retry_ns;
	int64_t due_ns;
	uint64_t progress;
	uint64_t seen;
	int64_t since_ns;
	uint32_t back;
	uint32_t arrived;
	int error;
	int lost;
	int64_t lost_ns;
	char why[256];
	int64_t backoff_ns;
	bool reset;
	bool look;
	bool said_copied;
	uint64_t slots_before;

	int timer_fd;
	int fd;
	void *data;
	const struct sgring_tx_engine *engine;
	void *engine_data;
};

/* --- tx.c, for kinds and engines */

static inline struct sgring_tx_item *sgring_tx_item(const struct sgring_tx *tx, uint32_t number)
{
	return tx->items[number & (tx->room - 1)];
}

/* Items not handed over whole. */
static inline uint32_t sgring_tx_queued(const struct sgring_tx *tx)
{
	return tx->next - tx->head;
}

static inline bool sgring_tx_raw(const struct sgring_tx *tx)
{
	return tx->options.flags & SGRING_TX_RAW;
}

/* The kernel may look at a piece of this item from now on. */
void sgring_tx_lend(struct sgring_tx *tx, struct sgring_tx_item *item);
/*
 * The kernel has accepted the item up to @done; @last: all of it. Items are
 * taken in order.
 */
void sgring_tx_took(struct sgring_tx *tx, struct sgring_tx_item *item, uint64_t done, bool last);
/* A piece was let go of. The item may be gone after it. */
void sgring_tx_let_go(struct sgring_tx *tx, struct sgring_tx_item *item);
/* So many sends were reported: as copied, or not. Counts, and tells the caller once. */
void sgring_tx_reported(struct sgring_tx *tx, uint64_t sends, bool copied);
/* The connection is lost with this error, and the message says how. */
void sgring_tx_lost(struct sgring_tx *tx, int err);
/* A line for the caller. */
void sgring_tx_say(const struct sgring_tx *tx, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Frames: a hello of this moment, and the entry of @bytes of an item's data from @from on. */
void sgring_tx_hello_frame(const struct sgring_tx *tx, uint32_t epoch, uint32_t align, void *wire);
void sgring_tx_entry_frame(const struct sgring_tx_item *item, uint64_t from, uint32_t bytes,
			   void *wire);

/* --- the socket kinds, for engines */

/*
 * The message that begins at @from of item @number (its done, or the end of a
 * message before it), and goes no further than @end of item @last, if it comes so far.
 * False: something has to be let go of first (SGRING_TX_LIMIT). Messages may be prepared
 * ahead, in order, and again.
 */
bool sgring_tx_message(struct sgring_tx *tx, uint32_t number, uint64_t from, uint32_t last,
		       uint64_t end, struct sgring_tx_message *m);
/* @bytes of it, which begins in this item, were accepted: sgring_tx_took(), and the figures. */
void sgring_tx_accepted(struct sgring_tx *tx, uint32_t number, const struct sgring_tx_message *m,
			size_t bytes);
/* sgring_tx_lend() and sgring_tx_let_go() for so many items. */
void sgring_tx_lend_all(struct sgring_tx *tx, uint32_t number, uint32_t items);
void sgring_tx_let_go_all(struct sgring_tx *tx, uint32_t number, uint32_t items);
/*
 * Datagrams: is a hello due before this item? Then it is sent, copied, when no send
 * is in flight. What sendmsg gives; 0 or more: all right.
 */
bool sgring_tx_hello_due(const struct sgring_tx *tx, const struct sgring_tx_item *item);
ssize_t sgring_tx_hello(struct sgring_tx *tx, const struct sgring_tx_item *item);
/*
 * The send of a message of so many bytes failed with @err > 0. 1: prepare it again
 * and send it at once; 0: @blocked is set, or the connection is lost; -errno: the
 * sender has failed.
 */
int sgring_tx_trouble(struct sgring_tx *tx, int err, size_t bytes);
/* Datagrams: the network says that one did not arrive. */
void sgring_tx_told(struct sgring_tx *tx, int err);
/* Is the connection as it was? */
bool sgring_tx_alive(struct sgring_tx *tx);
/*
 * Asked after notifications were taken and before sgring_tx_let_go(): what is let go of
 * by a connection that fails has not arrived. To know is a system call, made only if it
 * could be sent again. Otherwise whatever is accepted that was handed over later shows it:
 * sgring_tx_worked(), with @back as it was then.
 */
static inline void sgring_tx_ask(struct sgring_tx *tx)
{
	if (tx->options.reconnect_ms)
		sgring_tx_alive(tx);
}

static inline void sgring_tx_worked(struct sgring_tx *tx, uint32_t back)
{
	if ((int32_t)(back - tx->arrived) > 0)
		tx->arrived = back;
}
/* Is it a connection (TCP), or are they datagrams? */
static inline bool sgring_tx_stream(const struct sgring_tx *tx)
{
	return tx->kind == &sgring_tx_tcp;
}
/* What a message usually has: is it worth the trouble not to copy it? */
size_t sgring_tx_message_bytes(const struct sgring_tx *tx);
/* Slots of a batch, as asked for, or some more that make whole messages. */
uint32_t sgring_tx_batch(const struct sgring_tx *tx);
/*
 * Messages are pinned and charged to RLIMIT_MEMLOCK: cut them so that two fit.
 * -ENOBUFS: not even small ones do.
 */
int sgring_tx_limit_messages(struct sgring_tx *tx);

/* --- loans.c; memory only grows, with what is outstanding at one time. */

int sgring_loans_init(struct sgring_loans *l, uint32_t room);
void sgring_loans_free(struct sgring_loans *l);
static inline uint32_t sgring_loans_out(const struct sgring_loans *l)
{
	return l->next - l->first;
}
/* Make sure that one more can be lent; -ENOMEM. */
int sgring_loans_reserve(struct sgring_loans *l);
void sgring_loans_add(struct sgring_loans *l, uint32_t first, uint32_t items);
/*
 * Numbers @low to @high are let go of; @done is called for each that was lent.
 * Returns how many; -EPROTO if some were never lent or let go of before.
 */
int sgring_loans_done(struct sgring_loans *l, uint32_t low, uint32_t high,
		      void (*done)(void *context, const struct sgring_loan *loan), void *context);

#endif /* SGRING_TX_H */

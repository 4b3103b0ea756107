/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring-dummy: the device's FIFO, its packets and where its data come from
 *
 * The FIFO is a model: a count of bytes and the stream position of the first of
 * them. What the bytes are is only worked out when the engine takes them.
 */
#ifndef SGRING_DUMMY_SOURCE_H
#define SGRING_DUMMY_SOURCE_H

#include <linux/bits.h>
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include "wire.h"

#define DUMMY_WORD_BYTES	8
#define DUMMY_RATE_MAX		BIT_ULL(33)	/* bytes/s; a second of it times 1e9 fits 64 bits */
#define DUMMY_FEED_BYTES	(4U << 20)	/* a power of two */
#define DUMMY_FEED_ENDS		64U		/* packet ends in the buffer, a power of two */

enum dummy_kind {
	DUMMY_PATTERN,
	DUMMY_FEED,
};

/**
 * struct dummy_feed - data fed to the device, in the order written
 * @buffer: DUMMY_FEED_BYTES, from the first open until the module goes
 * @head: bytes written, free running
 * @tail: bytes taken by the engine, free running
 * @ends: positions (as @head) after which a packet ends
 * @ends_head: ends written
 * @ends_tail: ends passed
 * @generation: changes when the buffer is emptied
 * @space: writers wait here
 * @open: somebody has the file open for writing
 * @writer: held by a write(), also while it waits
 */
struct dummy_feed {
	u8 *buffer;
	u64 head;
	u64 tail;
	u64 ends[DUMMY_FEED_ENDS];
	unsigned int ends_head;
	unsigned int ends_tail;
	unsigned int generation;
	wait_queue_head_t space;
	bool open;
	struct mutex writer;	/* one write() at a time */
};

/**
 * struct dummy_source - the device
 * @lock: guards everything below but the feed's buffer; any context, never with
 *	data being copied
 * @bell: of the channel that takes the data
 * @rate: bytes/s; 0: flat out, there is always more
 * @fifo_bytes: size of the FIFO
 * @packet_bytes: a packet ends after so many bytes; 0: never
 * @packet_jitter: or up to so many bytes earlier
 * @stream: number of the pattern
 * @kind: where data come from
 * @stop_ends_packet: a stop lets the FIFO run dry and ends the packet; otherwise
 *	it drops what is in the FIFO and leaves the packet open
 * @enabled: between start and stop
 * @draining: stopped, and the rest of the packet still comes
 * @dropping: the FIFO overflowed; new bytes are lost until it is empty
 * @position: stream position of the next byte to be taken
 * @level: bytes in the FIFO; of a feed, how many may be taken by the rate
 * @room: bytes the engine can take without help from software
 * @lost: bytes lost that lie before @position
 * @pending: bytes lost that lie after the FIFO's last byte
 * @overflows: how often
 * @packet_done: bytes of the running packet that were taken
 * @packet_limit: bytes at which it ends
 * @packets: packets ended since the start
 * @start_ns: when it started
 * @last_ns: up to when the FIFO is worked out
 * @partial_ns: when the engine last took less than it wanted
 * @remainder: part of a byte owed by the rate, in 1e-9 bytes
 * @carry: bytes owed by the rate, less than a word
 * @taken: status words of the last byte taken
 * @finished: status words of the transfer whose callback runs; only used there
 * @in_callback: it runs
 * @feed: fed data
 */
struct dummy_source {
	spinlock_t lock;	/* see above */
	struct dummy_bell *bell;

	u64 rate;
	u64 fifo_bytes;
	u64 packet_bytes;
	u64 packet_jitter;
	unsigned int stream;
	enum dummy_kind kind;
	bool stop_ends_packet;

	bool enabled;
	bool draining;
	bool dropping;
	u64 position;
	u64 level;
	u64 room;
	u64 lost;
	u64 pending;
	u64 overflows;
	u64 packet_done;
	u64 packet_limit;
	u64 packets;
	u64 start_ns;
	u64 last_ns;
	u64 partial_ns;
	u64 remainder;
	u64 carry;
	struct dummy_mark taken;
	struct dummy_mark finished;
	bool in_callback;

	struct dummy_feed feed;
};

/* A moment's figures for those who watch; all since the start. */
struct dummy_source_counts {
	u64 produced;
	u64 delivered;
	u64 overflowed_bytes;
	u64 overflows;
};

/* source.c */
void dummy_source_init(struct dummy_source *source, struct dummy_bell *bell);
void dummy_source_start(struct dummy_source *source);
void dummy_source_stop(struct dummy_source *source);
struct dummy_mark dummy_source_mark(struct dummy_source *source);
void dummy_source_counts(struct dummy_source *source, struct dummy_source_counts *counts);
int dummy_source_set_rate(struct dummy_source *source, u64 rate);
int dummy_source_set_fifo(struct dummy_source *source, u64 bytes);
int dummy_source_set_packet(struct dummy_source *source, u64 bytes, u64 jitter);
int dummy_source_set_stream(struct dummy_source *source, u64 stream);
void dummy_source_set_kind(struct dummy_source *source, enum dummy_kind kind);
void dummy_source_use_feed(struct dummy_source *source);

/* feed.c; those of the buffer's state under the source's lock */
extern const struct file_operations dummy_feed_fops;
void dummy_feed_init(struct dummy_feed *feed);
void dummy_feed_free(struct dummy_feed *feed);
void dummy_feed_empty(struct dummy_feed *feed);
u64 dummy_feed_ready(const struct dummy_feed *feed);
bool dummy_feed_ends_at(const struct dummy_feed *feed, u64 position);
void dummy_feed_copy(const struct dummy_feed *feed, u64 position, void *to, size_t bytes);
void dummy_feed_taken(struct dummy_feed *feed, size_t bytes);

#endif /* SGRING_DUMMY_SOURCE_H */

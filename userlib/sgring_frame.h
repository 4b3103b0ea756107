/* SPDX-License-Identifier: MIT */
/*
 * libsgring: frames, what stands between the slots on a wire and in an index
 *
 *	hello                  128 bytes: which stream, its geometry, its epoch
 *	entry, data            64 bytes: the slot's CQ entry; then its data
 *	entry, data
 *	...
 *	entry                  SGRING_CQE_EOS: the epoch is over, no data
 *
 * All little endian. sgring_frame(7) is the specification: a receiver can be
 * written from it alone. A TCP connection begins with a hello; where an entry
 * may stand another hello may stand, and the magic tells which it is. A datagram
 * is a hello, or one entry with a part of a slot. An index file is what the wire
 * would carry without the data.
 *
 * Nothing here allocates, waits or trusts what it reads.
 */
#ifndef SGRING_FRAME_H
#define SGRING_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include <linux/sgring_ring.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SGRING_FRAME_MAGIC	"SGRING\r\n"	/* 8 bytes, without the final zero */
#define SGRING_FRAME_VERSION	1
#define SGRING_HELLO_BYTES	128
#define SGRING_ENTRY_BYTES	64
#define SGRING_HELLO_BYTES_MAX	4096	/* that a receiver must accept */
#define SGRING_ENTRY_BYTES_MAX	1024
#define SGRING_ALIGN_BYTES_MAX	(1U << 20)
#define SGRING_DATAGRAM_MAX	65507

/**
 * struct sgring_hello - the beginning of a connection, an epoch, an index
 * @version: SGRING_FRAME_VERSION
 * @flags: 0
 * @epoch: of the stream; positions and sequences start anew with each; it grows
 * @slot_count: of the set-up
 * @slot_bytes: no data is longer than this
 * @session: a random number, not 0: the same on every connection of one sender
 * @clock: enum sgring_clock of the entries' times
 * @align_bytes: data is followed by zeroes up to a multiple of this, in the data
 *	file; a power of two; 1 on a wire
 * @clock_ns: by that clock, when this was written
 * @realtime_ns: at the same moment, nanoseconds since 1970 (UTC)
 * @label: name of the stream, zero-terminated
 * @hello_bytes: when read: of this hello; the reader skips what it does not know
 * @entry_bytes: when read: of each entry after it; likewise
 *
 * On the wire: magic, hello bytes (u32), entry bytes (u32), version (u32),
 * flags (u32), epoch (u32), slot_count (u32), clock (u32), align_bytes (u32),
 * slot_bytes (u64), session (u64), clock_ns (u64), realtime_ns (u64),
 * label (32 bytes), 24 bytes of zero.
 */
struct sgring_hello {
	uint32_t version;
	uint32_t flags;
	uint32_t epoch;
	uint32_t slot_count;
	uint64_t slot_bytes;
	uint64_t session;
	uint32_t clock;
	uint32_t align_bytes;
	uint64_t clock_ns;
	uint64_t realtime_ns;
	char label[32];
	uint32_t hello_bytes;
	uint32_t entry_bytes;
};

/**
 * sgring_hello_pack() - to its SGRING_HELLO_BYTES on the wire
 *
 * hello_bytes and entry_bytes are not looked at: what this library writes has
 * the sizes above. A label's bytes that cannot be printed become "?".
 */
void sgring_hello_pack(void *wire, const struct sgring_hello *hello);

/**
 * sgring_hello_unpack() - from the wire
 * @hello: written if 0 is returned
 * @wire: SGRING_HELLO_BYTES of them; hello_bytes - SGRING_HELLO_BYTES more are
 *	to be skipped
 *
 * Return: 0; -EPROTO it is not a hello, or holds what cannot be; -EPROTONOSUPPORT
 * another version. sgring_errmsg() says which field, its value, its limit.
 */
int sgring_hello_unpack(struct sgring_hello *hello, const void *wire);

/** sgring_frame_is_hello() - of these 8 bytes, the first of a hello or an entry */
int sgring_frame_is_hello(const void *wire);

/** sgring_entry_pack() - to its SGRING_ENTRY_BYTES on the wire; metadata_bytes as 0 */
void sgring_entry_pack(void *wire, const struct sgring_cqe *entry);

/**
 * sgring_entry_unpack() - from the wire
 * @entry: written if 0 is returned
 * @wire: SGRING_ENTRY_BYTES of them; entry_bytes of the hello - SGRING_ENTRY_BYTES
 *	more are to be skipped, and then comes the data
 * @hello: of the connection, the datagrams' sender, or the index
 *
 * Return: 0; -EPROTO it holds what cannot be (sgring_errmsg() says what).
 */
int sgring_entry_unpack(struct sgring_cqe *entry, const void *wire,
			const struct sgring_hello *hello);

/**
 * struct sgring_track - where a receiver is in a stream, over all its connections;
 * all 0 to begin with
 * @session: of the last hello; 0: none yet
 * @epoch: of the session, the newest that was seen
 * @ended: its end-of-stream entry was seen
 * @behind: the sender is repeating an epoch before that one
 * @begun: an entry of this session was seen
 * @cuttable: bytes of the last entry that were new
 * @position: next stream position expected
 * @sequence: next sequence expected; it grows
 * @first: position the session began with; what was before is not counted as lost
 * @bytes: of data, each counted once
 * @lost_bytes: that will not come any more: skipped positions
 * @gaps: how often
 * @repeated_bytes: came a second time, after a reconnection or by the network
 * @entries: entries, each counted once
 * @failed: of them, slots the engine failed in
 * @epochs: hellos that began a new session or epoch
 * @cut: epochs that another one followed without an end-of-stream entry
 */
struct sgring_track {
	uint64_t session;
	uint32_t epoch;
	uint32_t ended;
	uint32_t behind;
	uint32_t begun;
	uint64_t cuttable;
	uint64_t position;
	uint64_t sequence;
	uint64_t first;
	uint64_t bytes;
	uint64_t lost_bytes;
	uint64_t gaps;
	uint64_t repeated_bytes;
	uint64_t entries;
	uint64_t failed;
	uint64_t epochs;
	uint64_t cut;
};

/** sgring_track_hello() - a hello came; 1: it begins a new session or epoch, 0: it resumes */
int sgring_track_hello(struct sgring_track *track, const struct sgring_hello *hello);

/**
 * sgring_track_entry() - an entry came, in order (TCP, index)
 * @skip: written: so many bytes at the start of its data were there before
 * @lost: written: so many bytes are missing before it
 *
 * Return: 1: something new; 0: it is a repetition, all of its data is to be
 * skipped; -EPROTO: no hello was before it, or the end-of-stream entry was
 * (sgring_errmsg() says which).
 */
int sgring_track_entry(struct sgring_track *track, const struct sgring_cqe *entry,
		       uint64_t *skip, uint64_t *lost);

/**
 * sgring_track_cut() - the connection broke in the data of the last entry
 * @missing: so many bytes at its end did not come; they are expected again
 */
void sgring_track_cut(struct sgring_track *track, const struct sgring_cqe *entry, uint64_t missing);

#ifdef __cplusplus
}
#endif

#endif /* SGRING_FRAME_H */

/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): what becomes of frames that come over a network
 *
 *	bytes of a connection -> framer \
 *	                                 -> intake -> recorder, and its figures
 *	datagrams          -> datagrams /
 *
 * All take buffers and know nothing of sockets or time but what they are given.
 * All that comes is a stranger's.
 */
#ifndef SGRING_INTAKE_H
#define SGRING_INTAKE_H

#include "judge.h"
#include "recording.h"

/* What the functions below return; else 0, or a negative errno: it cannot be stored. */
#define INTAKE_REFUSED 1	/* of a stranger's doing; @error says what and where */

/**
 * struct intake - the stream, however it comes
 * @track: what came, came twice, is missing
 * @recorder: where to; NULL: it is only counted
 * @judge: checks the data; NULL: nobody does
 * @join: parts of a slot become one entry
 * @gap: told each; may be NULL
 * @context: for it
 * @marked_gaps: of the gaps, those known before it was sent
 * @announced: the entry whose data comes
 * @left: so many bytes of that are to come yet
 * @skip: so many of these were there before
 * @entry: as it goes to the index; its length is what is stored
 * @open: it has not gone there yet
 * @slot_bytes: of the last hello
 * @hello: the last one in the index
 * @error: what went wrong, one line
 */
struct intake {
	struct sgring_track track;
	struct recorder *recorder;
	struct judge *judge;
	bool join;
	void (*gap)(void *context, uint64_t position, uint64_t bytes, bool marked);
	void *context;
	uint64_t marked_gaps;
	struct sgring_cqe announced;
	uint32_t left;
	uint64_t skip;
	struct sgring_cqe entry;
	bool open;
	uint64_t slot_bytes;
	struct sgring_hello hello;
	char error[sizeof(((struct recorder *)0)->error)];
};

int intake_hello(struct intake *t, const struct sgring_hello *hello);
int intake_entry(struct intake *t, const struct sgring_cqe *entry);
/* Of the last entry: not more than is left of it. */
int intake_data(struct intake *t, const void *data, size_t bytes);
/* Raw: bytes without entries. */
int intake_raw(struct intake *t, const void *data, size_t bytes);
/* No more of the last entry's data will come; or of anything, for now. */
int intake_cut(struct intake *t);

/**
 * struct framer - one connection
 * @to: where it goes
 * @admit: asked about each hello; INTAKE_REFUSED, and @error is its
 * @context: for it
 * @hello: the last one
 * @greeted: there was one
 * @broken: what came was refused, or could not be stored: @error stays
 * @at: bytes that came
 * @frame_at: where in them the last hello or entry began
 * @skip: bytes of a longer one that mean nothing here
 * @have: bytes of the next one
 * @head: these
 * @error: what is wrong with the connection, one line
 */
struct framer {
	struct intake *to;
	int (*admit)(void *context, const struct sgring_hello *hello);
	void *context;
	struct sgring_hello hello;
	bool greeted;
	bool broken;
	uint64_t at;
	uint64_t frame_at;
	uint32_t skip;
	size_t have;
	unsigned char head[SGRING_HELLO_BYTES];
	char error[600];
};

int framer_take(struct framer *f, const void *bytes, size_t count);
/* It is over; INTAKE_REFUSED: in the middle of something. */
int framer_end(struct framer *f);

#define DATAGRAMS_HELD 8192U

/**
 * struct datagrams - what comes in datagrams, put into order
 * @to: where it goes
 * @hello: the last one
 * @greeted: there was one
 * @before_ns: the last host time of the epoch before this one; 0: there was none
 * @newest_ns: and of this one
 * @held: came early, in the order of their positions
 * @held_count: how many
 * @held_bytes: their data
 * @held_since_ns: when the first of them came; 0: there is none
 * @taken: datagrams that went on
 * @unknown: before the first hello
 * @repeated: came again or too late
 * @reordered: came early
 * @bad: were not what they should be
 * @error: the last of these
 */
struct datagrams {
	struct intake *to;
	struct sgring_hello hello;
	bool greeted;
	uint64_t before_ns;
	uint64_t newest_ns;
	struct held *held[DATAGRAMS_HELD];
	unsigned int held_count;
	uint64_t held_bytes;
	uint64_t held_since_ns;
	uint64_t taken;
	uint64_t unknown;
	uint64_t repeated;
	uint64_t reordered;
	uint64_t bad;
	char error[600];
};

/* INTAKE_REFUSED: this one is bad; others may come. @now_ns: any clock that goes on. */
int datagrams_take(struct datagrams *d, const void *bytes, size_t count, uint64_t now_ns);
/* Who waited too long for what is missing does not any more. */
int datagrams_tick(struct datagrams *d, uint64_t now_ns);
/* Milliseconds until that; -1: nobody waits. */
int datagrams_wait_ms(const struct datagrams *d, uint64_t now_ns);
/* Nothing more will come. */
int datagrams_end(struct datagrams *d);

#endif /* SGRING_INTAKE_H */

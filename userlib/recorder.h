/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the kind "file:": slots to a file or a block device, an index beside it
 *
 *	tx_file.c	the kind: what can be done, and how
 *	recorder.c	from slots to writes
 *	rounds.c	when it is on the disk, and what of it is good after a failure
 *	disk.c		requests: io_uring, or system calls
 *	index.c		the index
 *	file.c		names, opening, alignment
 *
 * Where the bytes of a slot go from, for O_DIRECT wants whole blocks:
 *
 *   data file    | block | block | block | block | block | block |
 *   slots        |<-------- first -------->|<------ second ------>|
 *   written      |<---- from the slot --->|<-- through a bounce --|
 *
 * Whole blocks that begin on a block leave from the slot itself. Its tail, and
 * whatever behind it cannot be at the right place in memory and in the file at
 * the same time, is copied into a bounce, and written as whole blocks too.
 * SGRING_TX_PAD fills the tail's block with zeroes instead, so that the next
 * slot begins on a block. The file's last block is cut to the true length.
 *
 * Writes are numbered in the order of the stream and end in any order; a file's
 * data is there up to the oldest write that has not ended. About each second a
 * file has a round:
 *
 *   sync the data -> append to the index what describes it -> sync the index
 *
 * and one at its end, while the next file is being written. So at any moment,
 * power loss included, the index describes only what is there.
 *
 * A file system makes writes behind the end of a file wait for each other, so the
 * end is moved far ahead of them, and back in the end (not without an index: who
 * finds a file that was not closed has to see where it ends).
 *
 * After a failure nothing more is begun, and in the end data and index are cut to
 * what both have.
 */
#ifndef SGRING_RECORDER_H
#define SGRING_RECORDER_H

#include "disk.h"
#include "file.h"
#include "index.h"
#include "tx.h"

#define SGRING_REC_WRITES 64	/* at a time */
#define SGRING_REC_FILES 8	/* that are not finished */
#define SGRING_REC_BOUNCES 32

/**
 * struct sgring_bounce - memory for what cannot be written from a slot
 * @next: free one
 * @data: &struct sgring_recorder bounce_bytes of it
 * @at: where in the file it begins, on a block
 * @used: bytes in it
 * @fresh: of these, no write has had them
 * @payload: of these, from slots
 */
struct sgring_bounce {
	struct sgring_bounce *next;
	unsigned char *data;
	uint64_t at;
	size_t used;
	size_t fresh;
	size_t payload;
};

/**
 * struct sgring_recording - a data file and its index
 * @next: younger one
 * @path: of the data
 * @index_path: NULL: none
 * @fd: of the data
 * @index_fd: -1: none
 * @index: in memory
 * @at: the next byte of a slot goes here
 * @written: all before this is there
 * @synced: it was when the round began
 * @extent: the file is that long, or will be when all writes have ended
 * @allocated: disk space is there up to here
 * @described: where the data of the last item ends
 * @bounce: being filled
 * @begun_ns: when it was opened
 * @round_ns: when the last round began
 * @epoch: of the last hello in the index; 0: there is none
 * @items: slots and ends of streams in it
 * @dirty: written since the last sync
 * @index_created: it was not there before
 * @doubtful: a sync has failed: what was written since the one before may be lost
 * @ending: no more data comes
 * @in_round: a round is under way
 * @op: its step
 * @allocating: space is being allocated
 * @allocation: by this request
 */
struct sgring_recording {
	struct sgring_recording *next;
	char *path;
	char *index_path;
	int fd;
	int index_fd;
	struct sgring_index index;
	uint64_t at;
	uint64_t written;
	uint64_t synced;
	uint64_t extent;
	uint64_t allocated;
	uint64_t described;
	struct sgring_bounce *bounce;
	int64_t begun_ns;
	int64_t round_ns;
	uint32_t epoch;
	bool index_created;
	bool dirty;
	bool doubtful;
	bool ending;
	bool in_round;
	bool allocating;
	uint64_t items;
	struct sgring_disk_op op;
	struct sgring_disk_op allocation;
};

/**
 * struct sgring_write - a write of data
 * @op: first
 * @file: to be written
 * @item: number of the one whose slot is written from
 * @bounce: given back with it; NULL: a slot is written from
 * @begin: in the file
 * @end: in the file; of data: behind it there may be zeroes in the last block
 * @payload: bytes of slots
 * @tail: it ends in an incomplete block
 * @done: the kernel is
 */
struct sgring_write {
	struct sgring_disk_op op;
	struct sgring_recording *file;
	uint32_t item;
	struct sgring_bounce *bounce;
	uint64_t begin;
	uint64_t end;
	size_t payload;
	bool tail;
	bool done;
};

/**
 * struct sgring_recorder - a sender to files
 * @tx: the sender
 * @disk: its requests
 * @traits: of the first file; the others have the same
 * @align: slots begin on a multiple of this
 * @path: as given
 * @index_path: for it; NULL: none
 * @oldest: file that is not finished
 * @current: being written
 * @files: from one to the other
 * @part: number of the next file, from 1 on
 * @writes: a ring
 * @head: oldest in it
 * @next: of the next write
 * @tails: writes that end in an incomplete block: nothing is written until they are done
 * @memory: of the bounces
 * @bounces: all
 * @free: bounces
 * @bounce_bytes: of each
 * @ahead: space is allocated before it is written to
 * @settling: everything shall get to the disk now
 * @broken: the oldest write has failed: nothing behind it counts
 * @said_copy: that slots are copied
 * @error: the first failure
 */
struct sgring_recorder {
	struct sgring_tx *tx;
	struct sgring_disk disk;
	struct sgring_file_traits traits;
	uint32_t align;
	char *path;
	char *index_path;
	struct sgring_recording *oldest;
	struct sgring_recording *current;
	unsigned int files;
	unsigned int part;
	struct sgring_write writes[SGRING_REC_WRITES];
	uint32_t head;
	uint32_t next;
	unsigned int tails;
	unsigned char *memory;
	struct sgring_bounce bounces[SGRING_REC_BOUNCES];
	struct sgring_bounce *free;
	size_t bounce_bytes;
	bool ahead;
	bool settling;
	bool broken;
	bool said_copy;
	int error;
};

/* --- recorder.c */

/* Memory for bounces; the traits are known. -ENOMEM. */
int sgring_rec_bounces(struct sgring_recorder *r);
/*
 * The first file, or the next one, becomes the current one. 0 or -errno. The first one, if
 * it existed, is as it was until sgring_rec_empty().
 */
int sgring_rec_begin(struct sgring_recorder *r, bool direct);
int sgring_rec_empty(struct sgring_recorder *r);
/* The oldest file goes. */
void sgring_rec_end(struct sgring_recorder *r);
/* Something has failed at this byte of this file: the first one tells. */
int sgring_rec_failed(struct sgring_recorder *r, int err, const char *path, uint64_t at);
/* An item, from where it is: 1 all of it is on its way; 0 later; or -errno. */
int sgring_rec_item(struct sgring_recorder *r, struct sgring_tx_item *item);
/* How so many bytes make a file grow. */
uint64_t sgring_rec_aligned(const struct sgring_recorder *r, uint64_t bytes);
/* The index goes on with another epoch, or begins; -ENOMEM. */
int sgring_rec_greet(struct sgring_recorder *r, struct sgring_recording *f, uint32_t epoch);
/*
 * Write what is in the file's bounce, as far as it is whole blocks, or with @tail
 * all of it. False: later.
 */
bool sgring_rec_drain(struct sgring_recorder *r, struct sgring_recording *f, bool tail);

/* --- rounds.c */

/* Everything that can be done without waiting. True: something moved. */
bool sgring_rec_work(struct sgring_recorder *r);
/* All of it is on the disk. */
bool sgring_rec_at_rest(const struct sgring_recorder *r, const struct sgring_recording *f);
/* After a failure: cut it to what is good. Nothing may be outstanding. */
void sgring_rec_salvage(struct sgring_recorder *r, struct sgring_recording *f);

#endif /* SGRING_RECORDER_H */

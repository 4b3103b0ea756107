/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the index beside a data file, in memory and on the disk
 *
 * What the wire would carry without the data: hellos and entries
 * (sgring_frame.h), here as units of 64 bytes. A unit becomes ready when all
 * data before its end is written, and only ready ones go to the disk: the
 * index never describes what is not there. Who writes decides when.
 */
#ifndef SGRING_INDEX_H
#define SGRING_INDEX_H

#include "internal.h"
#include "sgring_frame.h"

#define SGRING_INDEX_UNIT 64	/* an entry; a hello is two */

/**
 * struct sgring_index - see above
 * @units: not handed to a write yet
 * @ends: of each: where in the data file what it describes ends
 * @count: how many
 * @room: for so many
 * @ready: so many of them are ready
 * @out: in a write that is under way; NULL: none is
 * @out_ends: of these
 * @out_count: how many
 * @bytes: in the file, whole units
 * @described: the data these describe ends here
 */
struct sgring_index {
	unsigned char *units;
	uint64_t *ends;
	uint32_t count;
	uint32_t room;
	uint32_t ready;
	unsigned char *out;
	uint64_t *out_ends;
	uint32_t out_count;
	uint64_t bytes;
	uint64_t described;
};

/* The end of it; a zeroed one is the beginning. */
void sgring_index_free(struct sgring_index *x);

/* Append so many units, which describe the data up to @end; -ENOMEM. */
int sgring_index_add(struct sgring_index *x, const void *units, uint32_t count, uint64_t end);

/* All data before @written is there. */
void sgring_index_ready(struct sgring_index *x, uint64_t written);

/*
 * Begin a write of what is ready, at @bytes of the file: its size, 0 if there is
 * nothing, or -ENOMEM. It begins at @out and stays as it is until
 * sgring_index_done() says how much of it is in the file.
 */
int64_t sgring_index_begin(struct sgring_index *x);
void sgring_index_done(struct sgring_index *x, size_t bytes);

/* Take the youngest ready unit back (a hello whole); false: there is none. */
bool sgring_index_drop(struct sgring_index *x);

/* Where the data ends that the file and what is ready describe. */
uint64_t sgring_index_end(const struct sgring_index *x);

#endif /* SGRING_INDEX_H */

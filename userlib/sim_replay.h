/* SPDX-License-Identifier: MIT */
/*
 * libsgring: a recording or a capture file, to be made a stream again
 *
 * Reads NAME.data with NAME.index and the parts that follow (sgring_file(7)), what "sgring
 * pcap" wrote (sgring_pcap(7)), or any capture file: then each packet is a slot that ends
 * one. All of it is looked through when it is opened, so that what is damaged is told then.
 * The simulator plays it (sim_source.c), "sgring replay" feeds it to the dummy.
 */
#ifndef SGRING_REPLAY_H
#define SGRING_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sgring_frame.h"

struct sgring_replay_piece {
	uint64_t at;
	uint32_t bytes;
};

/**
 * struct sgring_replay - a reader
 * @path: as given
 * @hello: of the epoch that is read: what the set-up was like
 * @entry: the last one of sgring_replay_next()
 * @fresh: it begins an epoch
 * @slot_bytes: the longest slots
 * @slot_count: the most of them
 * @entries, @bytes: in all of it
 * @fd: the index, or the capture file
 * @data_fd: the data file
 * @size: of @fd
 * @at: byte of it that comes next
 * @data_bytes: of the data file
 * @data_at: where in it the next data begins
 * @part: of a recording
 * @greeted: this part had a hello
 * @capture: it is a capture file
 * @swapped, @nano, @link: and this is what it says of itself
 * @foreign: of packets, not of slots
 * @sequence, @position: of these, the next
 * @seen_epoch: something of an epoch was read
 * @pieces: where the data of @entry lies
 * @piece_count, @piece_room: how many, and room for so many
 */
struct sgring_replay {
	char path[512];
	struct sgring_hello hello;
	struct sgring_cqe entry;
	bool fresh;
	uint64_t slot_bytes;
	uint32_t slot_count;
	uint64_t entries;
	uint64_t bytes;
	int fd;
	int data_fd;
	uint64_t size;
	uint64_t at;
	uint64_t data_bytes;
	uint64_t data_at;
	unsigned int part;
	bool greeted;
	bool capture;
	bool swapped;
	bool nano;
	uint32_t link;
	bool foreign;
	uint64_t sequence;
	uint64_t position;
	bool seen_epoch;
	struct sgring_replay_piece *pieces;
	unsigned int piece_count;
	unsigned int piece_room;
};

/* *@replay is NULL unless 0 is returned; else sgring_errmsg() says what is wrong. */
int sgring_replay_open(struct sgring_replay **replay, const char *path);
void sgring_replay_close(struct sgring_replay *r);
/* From its beginning again. */
int sgring_replay_rewind(struct sgring_replay *r);
/* 1 and @entry, @hello; 0 there is no more; or a negative errno. */
int sgring_replay_next(struct sgring_replay *r);
/* Of the data of @entry; what a snap length has cut off is zeroes. 0 or -EIO. */
int sgring_replay_read(const struct sgring_replay *r, uint32_t offset, void *to, size_t bytes);

#endif /* SGRING_REPLAY_H */

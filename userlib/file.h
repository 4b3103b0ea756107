/* SPDX-License-Identifier: MIT */
/* libsgring: the files of a recording: their names, opening them, what O_DIRECT wants. */
#ifndef SGRING_FILE_H
#define SGRING_FILE_H

#include "internal.h"

/**
 * struct sgring_file_traits - what there is to know of an open data file
 * @regular: a file, not a block device
 * @created: it was not there before
 * @direct: with O_DIRECT
 * @block: offsets and lengths of writes are multiples of this; 1: any
 * @memory: addresses are multiples of this
 * @device_bytes: of a block device
 * @why: not direct: for what reason
 */
struct sgring_file_traits {
	bool regular;
	bool created;
	bool direct;
	uint32_t block;
	uint32_t memory;
	uint64_t device_bytes;
	char why[128];
};

/* "run1.data" -> "run1.index", "run1" -> "run1.index"; to be freed; NULL: no memory. */
char *sgring_file_index(const char *path);

/* Part 1 of "run1.data" is itself, part 2 "run1-0002.data"; likewise. */
char *sgring_file_part(const char *path, unsigned int part);

/*
 * There shall be no part of it but the first: others are removed with @overwrite;
 * without it they are -EEXIST.
 */
int sgring_file_alone(const char *path, bool overwrite);

/*
 * Open a data file: a new one, or with @overwrite an existing one, as it is, or a block
 * device; with O_DIRECT if @direct and if that works. @traits are written; if it
 * has a block it is that of another file in the same place, which is not looked
 * for again. A descriptor, or -errno.
 */
int sgring_file_open(const char *path, bool overwrite, bool direct,
		     struct sgring_file_traits *traits);

/* And a plain one, for an index. */
int sgring_file_create(const char *path, bool overwrite, bool *created);

/* What was in it goes, if it is a file. 0 or -errno. */
int sgring_file_empty(const char *path, int fd);

#endif /* SGRING_FILE_H */

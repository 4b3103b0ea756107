/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): the files of a recording; sgring_frame(7) has their format
 *
 * NAME.data (or .sigmf-data) and NAME.index; if it is divided, NAME-0002.data and
 * NAME-0002.index and so on follow. Here are their names, a reader that goes
 * through the indexes from the first to the last, and a writer for what comes
 * over a network. Nothing is printed here: what went wrong is in @error.
 */
#ifndef SGRING_RECORDING_H
#define SGRING_RECORDING_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sgring.h>
#include <sgring_frame.h>

#define RECORDING_PARTS 1000000
#define RECORDING_INDEX_BUFFER 65536U

/* The name without .data, .index, .sigmf-data or .sigmf-meta. */
void recording_base(char *base, size_t room, const char *name);
/* BASE.extension of part 1, BASE-0002.extension of part 2. */
void recording_path(char *path, size_t room, const char *base, unsigned int part,
		    const char *extension);

/*
 * Reading.
 */

enum recording_item {
	RECORDING_END,		/* there are no more parts */
	RECORDING_PART,		/* a file begins: @part, @data_path, @data_fd, @data_bytes */
	RECORDING_HELLO,	/* @hello is new */
	RECORDING_ENTRY,	/* @entry; its data at @begin of the data file */
	RECORDING_TAIL,		/* a file ends: @data_end, @torn */
};

/**
 * struct recording - a reader
 * @base: name of the recording
 * @part: the one that is being read, from 1 on
 * @hello: the last one
 * @greeted: there was one in this part
 * @entry: the last one
 * @begin: where its data begins in the data file
 * @pad_at: where the data before it ended: from there to @begin there are zeroes
 * @data_end: where the data of the last entry ends
 * @data_bytes: size of the data file, or of the block device
 * @data_path: its name
 * @data_fd: it is open
 * @index_path: name of the index
 * @index_at: byte of it that comes next
 * @index_bytes: its size
 * @torn: the index ends with so many bytes that are no whole entry
 * @error: what went wrong, one line
 */
struct recording {
	char base[PATH_MAX];
	unsigned int part;
	struct sgring_hello hello;
	bool greeted;
	struct sgring_cqe entry;
	uint64_t begin;
	uint64_t pad_at;
	uint64_t data_end;
	uint64_t data_bytes;
	char data_path[PATH_MAX + 32];
	int data_fd;
	char index_path[PATH_MAX + 32];
	int index_fd;
	uint64_t index_at;
	uint64_t index_bytes;
	uint32_t torn;
	char error[PATH_MAX + 512];
	const char *data_given;
	int state;
	uint64_t buffer_at;
	size_t buffered;
	unsigned char buffer[RECORDING_INDEX_BUFFER];
};

/**
 * recording_open() - begin to read
 * @data: where the data is, if not beside the index; NULL
 *
 * Return: 0, or -1 and @error.
 */
int recording_open(struct recording *r, const char *name, const char *data);
/** recording_next() - enum recording_item, or -1 and @error */
int recording_next(struct recording *r);
void recording_close(struct recording *r);

/*
 * Writing. Data goes through the page cache; an entry goes to the index when its
 * data is in the file, so that the index never tells more than there is.
 */

enum recorder_flags {
	RECORDER_SIGMF = 1,	/* .sigmf-data instead of .data */
	RECORDER_RAW = 2,	/* no index */
	RECORDER_OVERWRITE = 4,	/* files that exist are written over */
};

/**
 * struct recorder - a writer
 * @data_path, @index_path: the files
 * @data_bytes: in the data file
 * @index_bytes: in the index file
 * @described: bytes of data that the entries in it describe
 * @reserved: bytes the index file has room for, whatever else fills the disk
 * @started: bytes of data the kernel was asked to write to the disk already
 * @waiting: bytes of entries that wait to be written
 * @full: some of them could not, so nothing can follow
 * @error: what went wrong, one line
 */
struct recorder {
	char data_path[PATH_MAX + 32];
	char index_path[PATH_MAX + 32];
	int data_fd;
	int index_fd;
	uint64_t data_bytes;
	uint64_t index_bytes;
	uint64_t described;
	uint64_t reserved;
	uint64_t started;
	size_t waiting;
	bool full;
	char error[PATH_MAX + 512];
	unsigned char buffer[4096];
};

/* 0, or a negative errno and @error. */
int recorder_open(struct recorder *r, const char *name, unsigned int flags);
/* @written: how much of it is in the file, all of it if 0 is returned. */
int recorder_data(struct recorder *r, const void *data, size_t bytes, size_t *written);
int recorder_hello(struct recorder *r, const struct sgring_hello *hello);
/* Its data is the last that was written. */
int recorder_entry(struct recorder *r, const struct sgring_cqe *entry);
/* What waits goes to the index. */
int recorder_flush(struct recorder *r);
/* All of it to the disk; data that no entry describes is cut off. */
int recorder_close(struct recorder *r);

#endif /* SGRING_RECORDING_H */

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: requests to files, several at a time, completed in any order
 *
 * Two engines: io_uring, and system calls one by one. A request that got less
 * than it asked for goes on by itself; its owner hears of the end only.
 */
#ifndef SGRING_DISK_H
#define SGRING_DISK_H

#include "uring.h"

enum sgring_disk_what {
	SGRING_DISK_WRITE,
	SGRING_DISK_SYNC,	/* fdatasync(2) */
	SGRING_DISK_ALLOCATE,	/* fallocate(2): the file is that long, too */
};

/**
 * struct sgring_disk_op - a request; it stays where it is until it is done
 * @what: enum sgring_disk_what
 * @fd: of the file
 * @buffer: the registered one with @data in it; -1: none
 * @data: what is left to be written
 * @bytes: how much that is, or is to be allocated
 * @at: and where
 * @block: a write that goes on begins at a multiple of this
 * @written: so far
 * @parts: in so many writes
 * @error: when done: 0 or a negative errno
 * @retry: it was told to try again, and will wait for what it needs
 * @done: who is told
 * @context: for it
 * @result: for engines
 * @next: for engines
 */
struct sgring_disk_op {
	enum sgring_disk_what what;
	int fd;
	int buffer;
	const unsigned char *data;
	size_t bytes;
	uint64_t at;
	size_t block;
	size_t written;
	unsigned int parts;
	int error;
	bool retry;
	void (*done)(void *context, struct sgring_disk_op *op);
	void *context;
	int result;
	struct sgring_disk_op *next;
};

struct sgring_disk;

/**
 * struct sgring_disk_engine - how requests get to the kernel
 * @start: prepare one; there is room
 * @submit: hand over what was prepared; 0 or -errno
 * @next: a request the kernel has finished with, and its result; NULL: none
 */
struct sgring_disk_engine {
	void (*start)(struct sgring_disk *d, struct sgring_disk_op *op);
	int (*submit)(struct sgring_disk *d);
	struct sgring_disk_op *(*next)(struct sgring_disk *d, int *result);
};

extern const struct sgring_disk_engine sgring_disk_uring;
extern const struct sgring_disk_engine sgring_disk_calls;

/**
 * struct sgring_disk - the requests of a sender
 * @engine: see above
 * @uring: the ring of the first engine
 * @first: finished with, by the second
 * @last: of them
 * @outstanding: started and not done
 * @calls: system calls of the second
 */
struct sgring_disk {
	const struct sgring_disk_engine *engine;
	struct sgring_uring uring;
	struct sgring_disk_op *first;
	struct sgring_disk_op *last;
	unsigned int outstanding;
	uint64_t calls;
};

/* For at most @room requests at a time; with @engine's ring, if it has one. */
int sgring_disk_open(struct sgring_disk *d, struct sgring *s,
		     const struct sgring_disk_engine *engine, unsigned int room, bool sqpoll);
void sgring_disk_close(struct sgring_disk *d);

void sgring_disk_start(struct sgring_disk *d, struct sgring_disk_op *op);
int sgring_disk_submit(struct sgring_disk *d);

/* Tell the owners of the requests that are done, without waiting; true: something moved. */
bool sgring_disk_reap(struct sgring_disk *d);

#endif /* SGRING_DISK_H */

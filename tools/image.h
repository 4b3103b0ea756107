/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): the state of a stream's rings at one moment, copied; and who has which slot
 *
 *   image_take()   copies the memory of a stream that runs, between two looks
 *   image_save(), image_load()   the same as a file, for a bug report
 *   ring_judge()   what the copy says; a pure function
 *
 * What the application writes is not to be trusted, and a file neither: every number of
 * them is checked before it is used.
 */
#ifndef SGRING_IMAGE_H
#define SGRING_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <sgring.h>

/* Clocks, in the order of enum sgring_clock. */
#define IMAGE_CLOCKS 5

/**
 * struct image_look - what moves while a stream runs
 * @cq_producer: kernel side
 * @sq_consumer: kernel side
 * @flags: SGRING_NEED_WAKEUP, ...
 * @epoch: counts arms
 * @state: enum sgring_state
 * @sq_producer: user side
 * @cq_consumer: user side
 * @generations: how often slots were given to the engine, in all, modulo 2^32
 * @slots: slots whose line moved from the first to the second look
 */
struct image_look {
	uint32_t cq_producer;
	uint32_t sq_consumer;
	uint32_t flags;
	uint32_t epoch;
	uint32_t state;
	uint32_t sq_producer;
	uint32_t cq_consumer;
	uint32_t generations;
	uint32_t slots;
};

/**
 * struct image - all that is known of a stream's rings at one moment
 * @geometry: where things are in @kernel and @user
 * @stats: counters, taken right after; @stats.size is 0 if there are none
 * @label: the stream's
 * @name: as it was asked for
 * @now_ns: clocks at that moment
 * @first: the look before the copy
 * @second: and after it
 * @tries: it took so many copies
 * @has_user: the kernel let us see the user side
 * @kernel: copy of the kernel side
 * @user: copy of the user side, or NULL
 * @moved: by slot: its line changed while it was copied
 */
struct image {
	struct sgring_geometry geometry;
	struct sgring_stats stats;
	char label[SGRING_NAME_BYTES];
	char name[SGRING_NAME_BYTES];
	uint64_t now_ns[IMAGE_CLOCKS];
	struct image_look first;
	struct image_look second;
	uint32_t tries;
	uint32_t has_user;
	unsigned char *kernel;
	unsigned char *user;
	unsigned char *moved;
};

/* Is it of one moment? */
bool image_torn(const struct image *im);

/**
 * image_take() - copy the rings until nothing moved meanwhile
 * @im: geometry filled in; @im->kernel and the rest are this function's
 * @kernel: the kernel side, mapped
 * @user: the user side, or NULL
 * @tries: at most so many copies; the last one is kept, torn
 *
 * Return: 0, -ENOMEM, or -EPROTO: the geometry makes no sense.
 */
int image_take(struct image *im, const void *kernel, const void *user, unsigned int tries);
void image_free(struct image *im);

/* Into a file, out of one: 0, or -errno with a line in @error. */
int image_save(const struct image *im, const char *path, char *error, size_t room);
int image_load(struct image *im, const char *path, char *error, size_t room);

/* Who has a slot; letters are those of the map. */
enum slot_owner {
	SLOT_USER,	/* the application */
	SLOT_QUEUED,	/* in the SQ, the kernel has not taken it yet */
	SLOT_DMA,	/* the engine */
	SLOT_DONE,	/* in the CQ, the application has not looked yet */
	SLOT_GATED,	/* returned, but others still hold its pages */
	SLOT_FREE,	/* the kernel's, waiting for the engine */
	SLOT_ODD,	/* its line makes no sense */
	SLOT_OWNERS,
};

/**
 * struct slot_view - one slot
 * @info: its line of the slot table
 * @age_ns: since its state last changed
 * @owner: enum slot_owner
 * @moved: the line changed while it was copied
 * @contradiction: something about it does not fit
 * @in_cq: entries of the CQ that wait to be read and are about it
 * @in_sq: entries of the SQ that wait to be taken and are about it
 */
struct slot_view {
	struct sgring_slot_info info;
	uint64_t age_ns;
	unsigned char owner;
	bool moved;
	bool contradiction;
	uint32_t in_cq;
	uint32_t in_sq;
};

#define RING_SENTENCES 16

/**
 * struct ring_view - what an image says
 * @slots: geometry.slot_count of them
 * @count: slots by owner
 * @oldest: by owner: the slot that is so for longest; SGRING_NO_SLOT: none
 * @next: the slot the engine fills next; SGRING_NO_SLOT: it has none
 * @cq_pending: entries in the CQ; more than there is room for if an index is damaged
 * @sq_pending: entries in the SQ; likewise
 * @cq_seen: of them looked at: as many as can be there
 * @sq_seen: likewise
 * @clock: enum sgring_clock of the times
 * @contradictions: how many
 * @sentences: the first of them, in words
 */
struct ring_view {
	struct slot_view *slots;
	uint32_t count[SLOT_OWNERS];
	uint32_t oldest[SLOT_OWNERS];
	uint32_t next;
	uint32_t cq_pending;
	uint32_t sq_pending;
	uint32_t cq_seen;
	uint32_t sq_seen;
	uint32_t clock;
	uint32_t contradictions;
	char sentences[RING_SENTENCES][100];
};

/* 0 or -ENOMEM. */
int ring_judge(const struct image *im, struct ring_view *v);
void ring_free(struct ring_view *v);

/* Entries that wait, from the oldest (0) on; below cq_seen, sq_seen. */
struct sgring_cqe ring_cqe(const struct image *im, uint32_t n);
struct sgring_sqe ring_sqe(const struct image *im, uint32_t n);

const char *owner_word(unsigned int owner);

#endif /* SGRING_IMAGE_H */

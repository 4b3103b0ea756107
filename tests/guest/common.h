/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the programs of the VM suite share: streams by label, the ioctls as
 * functions that return 0 or -errno, the rings, the dummy's knobs, waiting.
 *
 * A program is a list of tests:
 *
 *	static void setup_refuses_one_slot(void **state) { ... }
 *	GROUP(TEST(setup_refuses_one_slot), TEST(...))
 *
 * Before each test the dummy's knobs and sgring's parameters are as they were
 * at the start; after it whatever the test left open or mapped goes, and all
 * memory must come back. So a test may end anywhere, and need not clean up. An
 * argument of the program is a pattern of the tests to run.
 */
#ifndef SGRING_GUEST_COMMON_H
#define SGRING_GUEST_COMMON_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <linux/sgring.h>
#include "pattern.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define KIB		1024ULL
#define MIB		(1024 * KIB)

/* Long enough for anything under an emulated CPU and a debug kernel. */
#define LONG_MS		20000

#define TEST(f)		cmocka_unit_test_setup_teardown(f, test_begin, test_end)
#define GROUP(...)							\
	int main(int argc, char **argv)					\
	{								\
		static const struct CMUnitTest tests[] = { __VA_ARGS__ };	\
									\
		return group_run(argc, argv, tests, ARRAY_SIZE(tests));	\
	}

int group_run(int argc, char **argv, const struct CMUnitTest *tests, size_t count);
int test_begin(void **state);
int test_end(void **state);

/* True as soon as the condition is; false after that many milliseconds. */
#define WAIT_FOR(condition, ms) ({					\
	uint64_t until_ = now_ns() + (uint64_t)(ms) * 1000000;		\
	bool is_;							\
									\
	while (!(is_ = !!(condition)) && now_ns() < until_)		\
		usleep(1000);						\
	is_;								\
})

uint64_t now_ns(void);		/* CLOCK_MONOTONIC */
void msleep(unsigned int ms);

/* ---- devices and ioctls: what they return is 0 (or a descriptor) or -errno ---- */

const char *dev_path(const char *label);	/* "/dev/sgringN"; fails the test if there is none */
bool dev_exists(const char *label);
int dev_open(const char *label, int flags);	/* | O_CLOEXEC */

int sg_ioctl(int fd, unsigned long request, void *arg);
int sg_query(int fd, struct sgring_query *query);	/* these set the size */
int sg_setup(int fd, struct sgring_setup *setup);
int sg_geometry(int fd, struct sgring_geometry *geometry);
int sg_layout(int fd, uint32_t slot, struct sgring_run *runs, uint32_t room);	/* or run_count */
int sg_arm(int fd);
int sg_start(int fd);
int sg_kick(int fd);
int sg_abort(int fd);
int sg_drain(int fd, uint32_t timeout_ms, uint32_t *outcome);
int sg_tune(int fd, struct sgring_tune *tune);

/* These fail the test if the ioctl does. */
struct sgring_stats stats_of(int fd);
struct sgring_query query_of(int fd);

/* ---- a stream set up and mapped, as an application has it ---- */

/**
 * struct stream - see stream_open()
 * @fd: the owner's
 * @setup: as written back
 * @geometry: where everything is
 * @kernel: the kernel side's mapping
 * @user: the user side's mapping
 * @data: the slots' mapping
 * @cq: for the verbs of sgring_ring.h
 * @sq: for the verbs of sgring_ring.h
 * @key: of its pattern
 * @position: where the next entry must begin, for stream_expect()
 * @epoch: the one @position belongs to
 */
struct stream {
	int fd;
	struct sgring_setup setup;
	struct sgring_geometry geometry;
	unsigned char *kernel;
	unsigned char *user;
	unsigned char *data;
	struct sgring_cq cq;
	struct sgring_sq sq;
	uint64_t key;
	uint64_t position;
	uint32_t epoch;
};

/* All of it, or the test fails. @setup may be NULL (all defaults) or only partly filled. */
struct stream stream_open(const char *label, const struct sgring_setup *setup);
void stream_map(struct stream *s);	/* after a set-up of one's own on s->fd */
int stream_try_map(struct stream *s);	/* the same, 0 or -errno: where no test may fail */
void stream_unmap(struct stream *s);
void stream_close(struct stream *s);	/* unmaps */

void stream_start(struct stream *s);
void stream_stop(struct stream *s);	/* aborts */

void *region_map(int fd, uint64_t offset, uint64_t bytes, int prot);	/* or NULL with errno */

static inline const struct sgring_kernel_side *kernel_side(const struct stream *s)
{
	return (const void *)(s->kernel + s->geometry.kernel_side);
}

static inline struct sgring_user_side *user_side(const struct stream *s)
{
	return (void *)(s->user + s->geometry.user_side);
}

static inline unsigned char *slot_data(const struct stream *s, uint32_t slot)
{
	return s->data + slot * s->geometry.stride_bytes;
}

static inline const struct sgring_slot_info *slot_info(const struct stream *s, uint32_t slot)
{
	return (const void *)(s->kernel + s->geometry.table_offset +
			      (uint64_t)slot * s->geometry.table_stride);
}

/* Ready entries, as soon as they are @count; fewer after that many milliseconds. */
uint32_t stream_wait(struct stream *s, uint32_t count, unsigned int ms);

/* The next entry, a copy, consumed; fails the test if there is none in LONG_MS. */
struct sgring_cqe stream_next(struct stream *s);

/* Give a slot back; kicks if the kernel asks for it. */
void stream_return(struct stream *s, uint32_t slot, uint64_t cookie);

/* Kick if the kernel asks for it: to be called before every wait. */
void stream_kick_if_asked(struct stream *s);

/* The bytes in the entry's slot are those of its stream position. */
bool stream_data_right(const struct stream *s, const struct sgring_cqe *e);

/*
 * The next entry is a good one: it begins where the last one ended, or with
 * SGRING_CQE_GAP after it, and its bytes are right. The slot stays the caller's.
 */
struct sgring_cqe stream_expect(struct stream *s);

/* @count slots through stream_expect(), each given back. */
void stream_run(struct stream *s, uint32_t count);

/* Consumes up to and including the end-of-stream entry, which it returns. */
struct sgring_cqe stream_find_end(struct stream *s);

/* ---- the dummy's bench: /sys/kernel/debug/sgring-dummy/LABEL/KNOB ---- */

void knob_set(const char *label, const char *knob, uint64_t value);
void knob_set_text(const char *label, const char *knob, const char *text);
int knob_try(const char *label, const char *knob, const char *text);	/* 0 or -errno */
uint64_t knob_get(const char *label, const char *knob);
uint64_t pattern_key_of(const char *label);

/*
 * Unbind and bind its device: the stream reads the engine's limits anew. Its
 * files die. Not while it runs.
 */
void bench_rebind(const char *label);

/*
 * Unbind the stream's device, whatever runs; and bind it again, which the end
 * of the test does too. 0 or -errno, so that a thread may call them.
 */
int device_unbind(const char *label);
int device_bind(const char *label);

/* A parameter of sgring.ko; it is put back like the knobs. */
void parameter_set(const char *name, uint64_t value);

/* A file in /sys or /proc; fails the test if it cannot. */
void file_write(const char *path, const char *text);
uint64_t file_number(const char *path);
int file_try(const char *path, const char *text);	/* 0 or -errno */

/* ---- the kernel log ---- */

int log_open(void);			/* from now on */
int log_open_rested(void);		/* and whoever has said too much may speak again */
bool log_has(int fd, const char *text);	/* in a line since, which may come yet */

#endif /* SGRING_GUEST_COMMON_H */

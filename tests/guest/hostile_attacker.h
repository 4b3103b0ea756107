/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * An attacker's inside: hostile.c is the frame, hostile_stream.c the ioctls and mappings,
 * hostile_ring.c the rings and the data, hostile_world.c all that others have to offer.
 *
 * An operation takes its chances from a generator that is seeded anew for each turn of its
 * thread, so that what happened before does not change what is tried next. Threads of a process
 * share its descriptors and mappings, and take no care of each other: a descriptor may be closed
 * and a mapping gone while another uses it. So memory of the stream is touched by peek32() and
 * its like, each mapping has its place, which nothing else is ever mapped to, and nobody allocates.
 */
#ifndef SGRING_HOSTILE_ATTACKER_H
#define SGRING_HOSTILE_ATTACKER_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/sgring.h>
#include "hostile.h"
#include "pattern.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define PAGE		4096U
#define RW		(PROT_READ | PROT_WRITE)

/* Where what is mapped; the owner's first. */
enum place {
	AT_KERNEL,
	AT_USER,
	AT_DATA,
	AT_OBSERVED_KERNEL,
	AT_OBSERVED_DATA,
	PLACES,
	OWNED = AT_DATA + 1,
};

#define PLACE_BYTES	(8U << 20)

/* Descriptors. */
enum {
	FD_MAIN,		/* that is to own the stream */
	FD_DUP,
	FD_DUP2,
	FD_READER,		/* that reads */
	FD_OBSERVER,
	FD_NEIGHBOUR,		/* of another process' stream */
	FD_GUEST,		/* sent by another process */
	FD_SPARE,
	FDS,
};

/**
 * struct process - what the threads of an attacker share
 * @shared: with all and the judge
 * @number: of it
 * @life: how often it has begun
 * @stream: which it wants to own
 * @path: of its device, as last found
 * @fd: descriptors, or -1
 * @place: where the mappings are to be
 * @mapped: how much is there
 * @g: of the last set-up
 * @changing: mappings that were begun to be made or unmade
 * @changed: of them, those that were
 * @is_set_up: FD_MAIN's
 * @trouble: how often it did not get further
 * @busy: how often somebody else had the stream
 * @scratch: for threads, 256 KiB each
 * @ended: threads that have gone
 */
struct process {
	struct hostile_shared *shared;
	unsigned int number;
	uint32_t life;
	unsigned int stream;
	char path[32];
	int fd[FDS];
	unsigned char *place[PLACES];
	uint32_t mapped[PLACES];
	struct sgring_geometry g;
	uint32_t changing;
	uint32_t changed;
	uint32_t is_set_up;
	uint32_t trouble;
	uint32_t busy;
	unsigned char *scratch;
	uint32_t ended;
};

/**
 * struct thread - of an attacker
 * @w: its line in the common memory
 * @number: in its process
 * @random: of this turn
 * @turn: counts
 * @life: how often it has begun
 * @since: ns, when its operation began
 * @ends: after this turn
 * @guarded: a fault goes to @back
 * @back: where to
 * @scratch: memory of its own
 * @wild: an address range of its own, where nothing has to be
 */
struct thread {
	struct hostile_worker *w;
	unsigned int number;
	uint64_t random;
	uint32_t turn;
	uint32_t life;
	uint64_t since;
	bool ends;
	volatile sig_atomic_t guarded;
	sigjmp_buf back;
	unsigned char *scratch;
	unsigned char *wild;
};

#define SCRATCH_BYTES	(256U << 10)
#define WILD_BYTES	(16U << 20)

extern struct process *p;
extern __thread struct thread *me;

/* ---- hostile.c ---- */

void begin(enum hostile_kind kind);
void end(enum hostile_kind kind, bool ok, int error);
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A system call, counted; its result. */
#define CALL(kind, call) ({						\
	long result_;							\
									\
	begin(K_##kind);						\
	result_ = (long)(call);						\
	end(K_##kind, result_ != -1, errno);				\
	result_;							\
})

/* Memory that may not be there; false if it was not. Ordered as a release, an acquire. */
bool peek32(const void *from, uint32_t *to);
bool peek64(const void *from, uint64_t *to);
bool poke32(void *to, uint32_t value);
bool poke64(void *to, uint64_t value);
bool copy_from(void *to, const void *from, size_t bytes);
bool copy_to(void *to, const void *from, size_t bytes);

uint64_t chance(void);
uint32_t below(uint32_t n);			/* 0 to n - 1 */
static inline bool one_in(uint32_t n) { return !below(n); }
uint64_t odd_number(void);			/* near a boundary, or any */
int file_put(const char *path, const char *text);	/* 0, or -1 and errno */
long file_get(const char *path, char *text, size_t bytes);

/* Of sgring or not: a descriptor that may have been closed by now. */
int some_fd(void);
int fd_take(unsigned int which);		/* it is the caller's, to close */
void fd_keep(unsigned int which, int fd);	/* whatever was there is closed */

/* ---- hostile_stream.c ---- */
void stream_choose(unsigned int which);
bool stream_find(void);
void stream_advance(void);
void stream_reset(void);
void op_open(void);
void op_close(void);
void op_dup(void);
void op_setup_mutated(void);
void op_tell(void);
void op_tell_mutated(void);
void op_tune(void);
void op_life(void);
void op_kick(void);
void op_odd_ioctl(void);
void op_map(void);
void op_map_mutated(void);
void op_unmap(void);
void op_remap(void);
void op_protect(void);
void op_advise(void);
void op_pages(void);
void op_read(void);

/* ---- hostile_ring.c ---- */
void ring_take(void);
void op_ring(void);
void op_data(void);
void op_observe(void);
void data_check_new(void);
bool words_are_ours(const unsigned char *from, uint32_t bytes, uint32_t samples);

/* ---- hostile_world.c ---- */
void world_begin(void);				/* once in a process, before its threads */
void world_tend(void);				/* by the main thread, now and then */
void world_reset(void);
void world_plain(void);				/* nobody tends it */
void op_wait(void);
void op_other(void);
void op_send(void);
void op_uring(void);
void op_pass(void);
void op_memory(void);
void op_child(void);
void op_look(void);
void op_bench(void);
void op_unbind(void);
void op_faulting(void);
void op_die(void);
bool device_bind(void);

#endif /* SGRING_HOSTILE_ATTACKER_H */

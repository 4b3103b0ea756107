/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Hostile programs: what the attackers (hostile*.c, built for 64 and for 32 bit) share with
 * their judge (test_hostile.c), in one piece of memory, and with each other.
 *
 * Every operation is of a kind. It is counted when it is made, and when it has succeeded or
 * failed; so the judge sees how deep the attackers get, and which operation hangs. Layouts are
 * the same for 32 and 64 bit.
 */
#ifndef SGRING_HOSTILE_H
#define SGRING_HOSTILE_H

#include <stdbool.h>
#include <stdint.h>

/* What is known of a kind. */
#define ON_STREAM	1	/* a system call on the stream's descriptor or mapping */
#define MUST		2	/* tried often, it has to succeed sometimes */
#define NEVER		4	/* if it succeeds, the driver let something in */

#define HOSTILE_EACH(K)							\
	K(open,			ON_STREAM | MUST)			\
	K(close,		ON_STREAM | MUST)			\
	K(dup,			ON_STREAM | MUST)			\
	K(setup,		ON_STREAM | MUST)			\
	K(setup_mutated,	ON_STREAM | MUST)			\
	K(query,		ON_STREAM | MUST)			\
	K(query_mutated,	ON_STREAM | MUST)			\
	K(geometry,		ON_STREAM | MUST)			\
	K(geometry_mutated,	ON_STREAM | MUST)			\
	K(layout,		ON_STREAM | MUST)			\
	K(layout_mutated,	ON_STREAM | MUST)			\
	K(stats,		ON_STREAM | MUST)			\
	K(stats_mutated,	ON_STREAM | MUST)			\
	K(tune,			ON_STREAM | MUST)			\
	K(tune_mutated,		ON_STREAM | MUST)			\
	K(arm,			ON_STREAM | MUST)			\
	K(start,		ON_STREAM | MUST)			\
	K(kick,			ON_STREAM | MUST)			\
	K(stop,			ON_STREAM | MUST)			\
	K(stop_mutated,		ON_STREAM | MUST)			\
	K(plain_argument,	ON_STREAM | NEVER)			\
	K(ioctl_unknown,	ON_STREAM | NEVER)			\
	K(ioctl_bad_pointer,	ON_STREAM | NEVER)			\
	K(ioctl_in_mapping,	ON_STREAM | MUST)			\
	K(ioctl_while_faulting,	ON_STREAM | MUST)			\
	K(mmap_kernel,		ON_STREAM | MUST)			\
	K(mmap_user,		ON_STREAM | MUST)			\
	K(mmap_data,		ON_STREAM | MUST)			\
	K(mmap_observer,	ON_STREAM | MUST)			\
	K(mmap_mutated,		ON_STREAM)				\
	K(munmap,		ON_STREAM | MUST)			\
	K(munmap_part,		ON_STREAM | MUST)			\
	K(mremap_owner,		ON_STREAM | NEVER)			\
	K(mremap_observer,	ON_STREAM | MUST)			\
	K(mprotect,		ON_STREAM | MUST)			\
	K(mprotect_read_only,	ON_STREAM | NEVER)			\
	K(madvise,		ON_STREAM | MUST)			\
	K(mlock,		ON_STREAM | MUST)			\
	K(msync,		ON_STREAM | MUST)			\
	K(mincore,		ON_STREAM | MUST)			\
	K(move_pages,		ON_STREAM)				\
	K(mbind,		ON_STREAM)				\
	K(userfault_register,	ON_STREAM | NEVER)			\
	K(store_read_only,	NEVER)					\
	K(write_by_force,	ON_STREAM | NEVER)			\
	K(memory_read,		ON_STREAM | MUST)			\
	K(memory_write,		ON_STREAM | MUST)			\
	K(poll,			ON_STREAM | MUST)			\
	K(select,		ON_STREAM | MUST)			\
	K(epoll_add,		ON_STREAM | MUST)			\
	K(epoll_wait,		ON_STREAM | MUST)			\
	K(read,			ON_STREAM | MUST)			\
	K(write,		ON_STREAM | NEVER)			\
	K(other_call,		ON_STREAM)				\
	K(fcntl,		ON_STREAM | MUST)			\
	K(vmsplice,		ON_STREAM | MUST)			\
	K(pipe_drain,		MUST)					\
	K(zerocopy,		ON_STREAM | MUST)			\
	K(zerocopy_tell,	MUST)					\
	K(direct_write,		ON_STREAM | MUST)			\
	K(uring_submit,		ON_STREAM | MUST)			\
	K(uring_register,	ON_STREAM)				\
	K(uring_reap,		MUST)					\
	K(scm_send,		ON_STREAM | MUST)			\
	K(scm_receive,		ON_STREAM | MUST)			\
	K(fork,			ON_STREAM | MUST)			\
	K(exec,			ON_STREAM | MUST)			\
	K(proc_read,		ON_STREAM | MUST)			\
	K(sysfs_read,		MUST)					\
	K(debugfs_read,		MUST)					\
	K(knob,			MUST)					\
	K(parameter,		MUST)					\
	K(unbind,		ON_STREAM | MUST)			\
	K(bind,			ON_STREAM | MUST)			\
	K(signal,		MUST)					\
	K(kill,			MUST)					\
	K(thread_end,		MUST)					\
	K(take,			MUST)					\
	K(give,			MUST)					\
	K(repair,		MUST)					\
	K(sq_scribble,		MUST)					\
	K(sq_producer_jump,	MUST)					\
	K(cq_consumer_jump,	MUST)					\
	K(sqe_forge,		MUST)					\
	K(sqe_stale,		MUST)					\
	K(sqe_duplicate,	MUST)					\
	K(user_scribble,	MUST)					\
	K(data_store,		MUST)					\
	K(data_check,		MUST)					\
	K(observer_check,	MUST)

enum hostile_kind {
#define K(name, flags)	K_##name,
	HOSTILE_EACH(K)
#undef K
	HOSTILE_KINDS
};

/* The attacked: label, number of its data, its driver and device, to unbind. */
struct hostile_stream {
	const char *label;
	unsigned int number;
	const char *driver;
	const char *device;
};

#define HOSTILE_DUMMY	"/sys/bus/platform/drivers/sgring-dummy"
#define HOSTILE_FIFO	"/sys/bus/platform/drivers/sgring-fifo"

static const struct hostile_stream hostile_streams[] = {
	{ "rx0", 0, HOSTILE_DUMMY, "sgring-dummy.0" },
	{ "rx1", 1, HOSTILE_DUMMY, "sgring-dummy.1" },
	{ "pl330-0", 5, HOSTILE_DUMMY, "sgring-dummy.5" },
	{ "rx2", 2, HOSTILE_DUMMY, "sgring-dummy.2" },
	{ "bcm2835-0", 6, HOSTILE_DUMMY, "sgring-dummy.6" },
	{ "xilinx0", 4, HOSTILE_DUMMY, "sgring-dummy.4" },
	{ "fifo0", 7, HOSTILE_FIFO, "sgring-fifo.7" },
};

#define HOSTILE_STREAMS		(sizeof(hostile_streams) / sizeof(hostile_streams[0]))
#define HOSTILE_VICTIM		"rx3"

/* Processes 0 to 2 are 64-bit ones, 3 and 4 where there are 32-bit ones. */
#define HOSTILE_PROCESSES	5
#define HOSTILE_FIRST_32	3
#define HOSTILE_THREADS_MAX	8
#define HOSTILE_ERRNOS		160

/**
 * struct hostile_tally - of a kind
 * @calls: made
 * @ok: succeeded
 * @errors: bit E % 32 of word E / 32: it has failed with errno E
 * @pad: 0
 * @ns: they took, those that came back
 */
struct hostile_tally {
	uint32_t calls;
	uint32_t ok;
	uint32_t errors[HOSTILE_ERRNOS / 32];
	uint32_t pad;
	uint64_t ns;
};

/**
 * struct hostile_worker - a thread of an attacker
 * @kind: what it does or has done last
 * @count: operations it has begun
 * @busy: it is in one
 * @turn: which of its sequence this is part of
 */
struct hostile_worker {
	uint32_t kind;
	uint32_t count;
	uint32_t busy;
	uint32_t turn;
};

/**
 * struct hostile_shared - the common memory
 * @seed: of all sequences
 * @wanted: operations
 * @made: operations, as they are made
 * @threads: per process
 * @alone: one process with one thread, for a run that repeats itself
 * @complaints: what must not be, how often
 * @complaint: the first of them
 * @pids: of the attackers, by process
 * @lives: how often each process has begun
 * @sq_bad: largest seen in any statistics, and so on
 * @tally: by kind
 * @worker: by process and thread
 */
struct hostile_shared {
	uint64_t seed;
	uint64_t wanted;
	uint64_t made;
	uint32_t threads;
	uint32_t alone;
	uint32_t complaints;
	uint32_t pad;
	char complaint[8][240];
	int32_t pids[8];
	uint32_t lives[8];
	uint64_t sq_bad;
	uint64_t index_bad;
	uint64_t slots_done;
	uint64_t late_callbacks;
	uint64_t odd_callbacks;
	uint64_t residue_bad;
	uint64_t engine_errors;
	uint64_t gate_waits;
	uint64_t stalls;
	struct hostile_tally tally[128];
	struct hostile_worker worker[HOSTILE_PROCESSES][HOSTILE_THREADS_MAX];
};

/* What an attacker writes into slots: nobody else's data look like that. */
#define HOSTILE_MARK	0xBADC0DE500000000ULL

#endif /* SGRING_HOSTILE_H */

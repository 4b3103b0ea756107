/* SPDX-License-Identifier: MIT */
/*
 * libsgring: capture from a DMA stream and pass the memory on without a copy
 *
 * A stream belongs to one thread at a time: no function here, but for
 * sgring_cancel(), may run in two threads on the same stream, its senders included.
 * Different streams are independent. Nothing here touches errno: what fails
 * returns a negative errno, and sgring_errmsg() says in one line what and why.
 *
 *	sgring_open -> sgring_start -> sgring_next ... sgring_return
 *	                                           \-> sgring_tx_send
 *	                            -> sgring_close
 *
 * Times are in the unit of their name, sizes and positions in bytes.
 */
#ifndef SGRING_H
#define SGRING_H

#include <stddef.h>
#include <stdint.h>

#include <linux/sgring.h>
#include <linux/sgring_ring.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sgring;
struct sgring_tx;

/* sgring_slot.flags; <linux/sgring_ring.h> says what each means. */
#define SGRING_GAP		SGRING_CQE_GAP
#define SGRING_STALL		SGRING_CQE_STALL
#define SGRING_EOP		SGRING_CQE_EOP
#define SGRING_LENGTH_ASSUMED	SGRING_CQE_LENGTH_ASSUMED
#define SGRING_EOS		SGRING_CQE_EOS
#define SGRING_DEVICE_TIME	SGRING_CQE_DEVICE_TIME
#define SGRING_PARTIAL		SGRING_CQE_PARTIAL

/* sgring_options.wait: what to do while there is nothing. */
enum sgring_waiting {
	SGRING_SLEEP = 0,	/* sleep until a wake-up batch is there */
	SGRING_SPIN = 1,	/* look again and again, without a system call */
};

/**
 * struct sgring_options - how to open a stream; 0 in a field: the default
 * @size: sizeof(struct sgring_options); SGRING_OPTIONS() fills it in
 * @setup_flags: SGRING_SETUP_*
 * @waiting: enum sgring_waiting; default SGRING_SLEEP
 * @slot_bytes: size of a slot
 * @chunk_bytes: largest chunk of memory
 * @slot_count: number of slots
 * @overrun: enum sgring_overrun; default SGRING_OVERRUN_STALL
 * @chunk_policy: enum sgring_chunk_policy; default SGRING_CHUNK_MIXED
 * @queue_depth: slots the engine has at a time
 * @wake_slots: slots in a wake-up batch
 * @wake_usec: wait so long, from its first slot on, for a batch to be full
 * @sq_poll_usec: how soon a starved stream looks for returned slots, the first time
 * @sq_idle_usec: and for how long, until it has to be kicked
 * @clock: enum sgring_clock; default SGRING_CLOCK_MONOTONIC
 * @numa_node: with SGRING_SETUP_NUMA_NODE
 * @send_timeout_ms: a sender whose peer takes nothing for so long has failed;
 *	default 30000
 *
 * Those that &struct sgring_setup has too are explained there, defaults and
 * limits included.
 */
struct sgring_options {
	size_t size;
	uint32_t setup_flags;
	uint32_t waiting;
	uint64_t slot_bytes;
	uint64_t chunk_bytes;
	uint32_t slot_count;
	uint32_t overrun;
	uint32_t chunk_policy;
	uint32_t queue_depth;
	uint32_t wake_slots;
	uint32_t wake_usec;
	uint32_t sq_poll_usec;
	uint32_t sq_idle_usec;
	uint32_t clock;
	int32_t numa_node;
	uint32_t send_timeout_ms;
	uint32_t reserved;	/* 0 */
};

/* Options for one call: sgring_open(&s, "rx0", SGRING_OPTIONS(.slot_count = 64)). */
#define SGRING_OPTIONS(...) \
	(&(struct sgring_options){ .size = sizeof(struct sgring_options), __VA_ARGS__ })

/**
 * struct sgring_slot - a slot the application has got
 * @data: its first byte; NULL in an end-of-stream entry
 * @position: stream position of that byte in this epoch
 * @lost: bytes known to be lost between the previous entry and this one
 * @sequence: transfers of this epoch before this one, dropped ones included
 * @time_ns: when the transfer was seen to end, by the clock of the options
 * @device_time_ns: the device's own time; valid with SGRING_DEVICE_TIME
 * @cookie: on arrival, that of the previous return; sgring_return() passes it on
 * @length: bytes of data
 * @index: number of the slot, or SGRING_NO_SLOT
 * @flags: SGRING_GAP, SGRING_EOP, ...
 * @status: 0, or a negative errno: the engine failed in this slot
 * @engine_slots: slots the engine still had at that moment
 *
 * An application may narrow @data and @length before it sends the slot.
 */
struct sgring_slot {
	unsigned char *data;
	uint64_t position;
	uint64_t lost;
	uint64_t sequence;
	uint64_t time_ns;
	uint64_t device_time_ns;
	uint64_t cookie;
	uint32_t length;
	uint32_t index;
	uint32_t flags;
	int32_t status;
	uint32_t engine_slots;
	uint32_t reserved;
};

/**
 * struct sgring_counters - what the library did on this stream since it was opened
 * @slots: slots taken from the CQ
 * @bytes: bytes in them
 * @lost_bytes: bytes known to be lost between entries
 * @failed_slots: slots with a status other than 0
 * @returned: slots given back
 * @kicks: SGRING_KICK calls
 * @polls: system calls that waited for the device
 * @sender_waits: system calls that waited for senders only; with io_uring they hand
 *	over, too
 * @send_calls: sendmsg calls of senders
 * @notify_calls: system calls that asked for send notifications
 * @held: slots the application and its senders have now
 */
struct sgring_counters {
	uint64_t slots;
	uint64_t bytes;
	uint64_t lost_bytes;
	uint64_t failed_slots;
	uint64_t returned;
	uint64_t kicks;
	uint64_t polls;
	uint64_t sender_waits;
	uint64_t send_calls;
	uint64_t notify_calls;
	uint64_t held;
};

/**
 * struct sgring_tx_stats - what a sender did
 * @slots: slots taken over
 * @bytes: bytes of slots the socket or the file accepted
 * @frame_bytes: bytes of hellos and entries beside them
 * @sends: sends and writes that were accepted: system calls, or io_uring requests
 * @partial: of them, accepted less than was asked
 * @zerocopy: of them, reported as sent without a copy; O_DIRECT writes too
 * @copied: of them, reported as copied by the kernel
 * @copied_bytes: bytes the library copied itself: see SGRING_TX_PAD
 * @padded_bytes: zeroes written behind slots: see SGRING_TX_PAD
 * @full_waits: times the socket was full
 * @nobufs_waits: times a kernel limit (optmem, memlock) made it wait
 * @calls: system calls that sent, submitted or asked for notifications
 * @reconnects: connections after the first
 * @resent_slots: slots sent again on a new connection
 * @unsent_slots: slots given up: never sent whole, nor known to have arrived
 * @files: files begun
 * @outstanding: sends and writes the kernel has not let go of yet
 * @queued: slots not yet handed to the kernel
 * @held: slots not yet returned
 * @strange: notifications for nothing that was sent
 */
struct sgring_tx_stats {
	uint64_t slots;
	uint64_t bytes;
	uint64_t frame_bytes;
	uint64_t sends;
	uint64_t partial;
	uint64_t zerocopy;
	uint64_t copied;
	uint64_t copied_bytes;
	uint64_t padded_bytes;
	uint64_t full_waits;
	uint64_t nobufs_waits;
	uint64_t calls;
	uint64_t reconnects;
	uint64_t resent_slots;
	uint64_t unsent_slots;
	uint64_t files;
	uint64_t outstanding;
	uint64_t queued;
	uint64_t held;
	uint64_t strange;
};

/*
 * What follows is one stream's hot path, inline. The layout is part of the ABI
 * of the library: fields are only ever added at the end. Read them, do not
 * write them.
 */
struct sgring_rings {
	struct sgring_cq cq;
	struct sgring_sq sq;
	unsigned char *data;		/* slot i at data + i * stride_bytes */
	uint64_t stride_bytes;
	uint64_t end_position;		/* end of the last entry consumed */
	uint64_t more_bytes;		/* bytes taken, beyond end_position; modulo 2^64 */
	uint64_t lost_bytes;
	uint64_t failed_slots;
	uint64_t ends;			/* end-of-stream entries consumed */
	uint32_t first_taken;		/* cq.consumer and sq.producer to begin with */
	uint32_t first_returned;
	uint32_t plain_slots;		/* slots; 0: the inline calls must ask the library */
	uint32_t reserved;
};

/* The rings are the first thing in a stream. */
static inline struct sgring_rings *sgring_rings(struct sgring *s)
{
	return (struct sgring_rings *)(void *)s;
}

/*
 * Opening and closing.
 *
 * name: "/a/path", "sgring0", or the label of a stream.
 */

/**
 * sgring_open() - become the owner of a stream: memory, rings, maps
 * @stream: written; NULL on failure
 * @name: see above
 * @options: NULL: all defaults
 *
 * Return: 0; -ENOENT no such stream; -EBUSY it has an owner; -EACCES no
 * permission; -EINVAL, -E2BIG bad options; what SGRING_SETUP gives.
 */
int sgring_open(struct sgring **stream, const char *name, const struct sgring_options *options);

/**
 * sgring_observe() - look at a stream without changing it
 * @stream: written; NULL on failure
 * @name: see above
 *
 * For sgring_query(), sgring_stats(), sgring_geometry(), sgring_layout(), sgring_slot_info(),
 * sgring_follow(), sgring_look(), sgring_look_alive() and sgring_close(); everything else is
 * -EPERM. A stream nobody has set up can be observed: only the query works.
 *
 * Return: 0 or as sgring_open().
 */
int sgring_observe(struct sgring **stream, const char *name);

/**
 * sgring_close() - stop (drain), let senders finish, release everything
 * @stream: NULL is allowed
 *
 * What the stop leaves unread goes to the sender, if the stream has just one
 * and it got every slot so far; otherwise it is discarded. Then each sender is
 * closed as by sgring_tx_close().
 *
 * Return: 0; 1 if data was lost (gaps, failed transfers) since the stream was
 * opened; a negative errno if a sender or the stop failed, or the device is gone.
 */
int sgring_close(struct sgring *stream);

/** sgring_errmsg() - one line about the last failure in this thread; never NULL */
const char *sgring_errmsg(void);

/*
 * Running.
 */

/** sgring_arm() - give the engine its slots, do not enable the device yet */
int sgring_arm(struct sgring *stream);

/** sgring_start() - enable the device; arms first if that was not done */
int sgring_start(struct sgring *stream);

/**
 * sgring_stop() - bring the engine to rest; it can be started again
 * @stream: an owner's
 * @flags: SGRING_STOP_DRAIN, or 0 to abort
 * @timeout_ms: of the drain; 0: default, 1000
 *
 * What was filled can still be taken; sgring_next() gives -ENODATA after it.
 *
 * Return: SGRING_STOPPED_* bits (0 or more), or a negative errno.
 */
int sgring_stop(struct sgring *stream, uint32_t flags, uint32_t timeout_ms);

/** sgring_tune() - SGRING_TUNE; what is in force is written back */
int sgring_tune(struct sgring *stream, struct sgring_tune *tune);

/*
 * The batch calls: no system call unless said. See sgring_batch(3).
 */

/* What the inline calls leave to the library; not to be called otherwise. */
int sgring_next_any(struct sgring *stream, struct sgring_slot *slot, int timeout_ms);
int sgring_put_any(struct sgring *stream, uint32_t index, uint64_t cookie);
void sgring_consume_any(struct sgring *stream, uint32_t n);

/**
 * sgring_wait() - wait until the CQ has an entry
 *
 * Return: as sgring_next(), but nothing is taken.
 */
int sgring_wait(struct sgring *stream, int timeout_ms);

/** sgring_kick() - have the kernel look at the SQ now; sgring_flush() knows when */
int sgring_kick(struct sgring *stream);

/**
 * sgring_fd() - for an event loop
 *
 * Before each wait take what is ready, call sgring_flush(), and look at sgring_ready()
 * once more: what comes in between may wake nobody until a whole batch is there.
 */
int sgring_fd(const struct sgring *stream);

/** sgring_ready() - entries to peek at */
static inline uint32_t sgring_ready(struct sgring *s)
{
	return sgring_cq_ready(&sgring_rings(s)->cq);
}

/** sgring_peek() - the n-th of them; valid until sgring_consume() */
static inline const struct sgring_cqe *sgring_peek(struct sgring *s, uint32_t n)
{
	return sgring_cq_peek(&sgring_rings(s)->cq, n);
}

/** sgring_data() - first byte of a slot */
static inline unsigned char *sgring_data(struct sgring *s, uint32_t index)
{
	struct sgring_rings *r = sgring_rings(s);

	return r->data + (size_t)(index * r->stride_bytes);
}

/** sgring_slot_of() - an entry as a slot; lost is right for the first ready one only */
static inline void
sgring_slot_of(struct sgring *s, const struct sgring_cqe *e, struct sgring_slot *slot)
{
	struct sgring_rings *r = sgring_rings(s);

	slot->data = e->slot == SGRING_NO_SLOT ? NULL : sgring_data(s, e->slot);
	slot->position = e->position_bytes;
	slot->lost = e->position_bytes > r->end_position ?
		     e->position_bytes - r->end_position : 0;
	slot->sequence = e->sequence;
	slot->time_ns = e->host_time_ns;
	slot->device_time_ns = e->device_time_ns;
	slot->cookie = e->cookie;
	slot->length = e->length_bytes;
	slot->index = e->slot;
	slot->flags = e->flags;
	slot->status = e->status;
	slot->engine_slots = e->engine_slots;
	slot->reserved = 0;
}

/* Flags and status of an entry lie side by side: one word, to be or-ed over many. */
static inline uint64_t sgring_outcome(const struct sgring_cqe *e)
{
	uint64_t both;

	__builtin_memcpy(&both, (const char *)e + offsetof(struct sgring_cqe, flags), sizeof(both));
	return both;
}

/* Does it break the run of entries: bytes are lost before it, none follow, it failed? */
static inline int sgring_is_break(uint64_t outcome)
{
	const uint32_t breaks[2] = { SGRING_CQE_GAP | SGRING_CQE_EOS, 0xffffffffU };
	uint64_t mask;

	__builtin_memcpy(&mask, breaks, sizeof(mask));
	return !!(outcome & mask);
}

/** sgring_consume() - be done with the first n entries (n <= sgring_ready()) */
static inline void sgring_consume(struct sgring *s, uint32_t n)
{
	struct sgring_rings *r = sgring_rings(s);
	const struct sgring_cqe *e = sgring_cq_peek(&r->cq, 0);
	uint64_t begin = e->position_bytes, outcome = 0;
	uint32_t i;

	for (i = 0; i < n; i++) {
		e = sgring_cq_peek(&r->cq, i);
		outcome |= sgring_outcome(e);
	}
	/* In a run without breaks each entry begins where the one before it ends. */
	if (__builtin_expect(!n || sgring_is_break(outcome) || begin != r->end_position, 0)) {
		sgring_consume_any(s, n);
		return;
	}
	r->end_position = e->position_bytes + e->length_bytes;
	sgring_cq_consume(&r->cq, n);
}

/* The kernel asks to be kicked; not for what it has taken meanwhile. */
static inline int sgring_answer(struct sgring *s)
{
	const struct sgring_sq *sq = &sgring_rings(s)->sq;

	return sgring_load_relaxed(&sq->kernel->sq_consumer) == (uint32_t)sq->producer ? 0 : sgring_kick(s);
}

/**
 * sgring_publish() - publish what was put, and go on; a system call only if the kernel asks
 *
 * Cheaper than sgring_flush(), and not enough before a wait: a kernel that stops
 * looking at the same moment may not be noticed until the next call.
 */
static inline int sgring_publish(struct sgring *s)
{
	return __builtin_expect(sgring_sq_publish(&sgring_rings(s)->sq), 0) ? sgring_answer(s) : 0;
}

/**
 * sgring_flush() - publish what was put or returned, before a wait; a system call
 * only if the kernel asks
 *
 * sgring_next() and sgring_wait() do it by themselves. Who waits in any other way,
 * in poll(2), or in a loop around sgring_ready(), calls it before each wait.
 */
static inline int sgring_flush(struct sgring *s)
{
	return __builtin_expect(sgring_sq_submit(&sgring_rings(s)->sq), 0) ? sgring_answer(s) : 0;
}

/* The library has these three as symbols too, for other languages. */
#ifdef SGRING_NO_INLINE
int sgring_next(struct sgring *stream, struct sgring_slot *slot, int timeout_ms);
int sgring_put(struct sgring *stream, uint32_t index, uint64_t cookie);
int sgring_return(struct sgring *stream, const struct sgring_slot *slot);
#else

/**
 * sgring_next() - take the next slot
 * @stream: an owner's
 * @slot: written; if there is none, its index is SGRING_NO_SLOT
 * @timeout_ms: 0: do not wait; negative: for ever
 *
 * Return: 0; -ETIMEDOUT; -ENODATA the stream has ended, @slot holds the
 * end-of-stream entry if this call has taken it; -ENODEV the device is gone;
 * -EBADFD never started; -EINTR a signal, or the process was stopped and goes on: call
 * again, unless that was to be the end; once, the error of a sender that failed.
 */
static inline int sgring_next(struct sgring *s, struct sgring_slot *slot, int timeout_ms)
{
	struct sgring_rings *r = sgring_rings(s);
	const struct sgring_cqe *e;
	struct sgring_slot other;
	int err;

	if (__builtin_expect(r->plain_slots && sgring_ready(s), 1)) {
		e = (const struct sgring_cqe *)(const void *)r->cq.entries +
		    ((uint32_t)r->cq.consumer & (r->cq.count - 1));
		if (__builtin_expect(e->position_bytes == r->end_position &&
				     !sgring_is_break(sgring_outcome(e)), 1)) {
			sgring_slot_of(s, e, slot);
			r->end_position += e->length_bytes;
			sgring_cq_consume(&r->cq, 1);
			return 0;
		}
	}
	/* Not into *slot, which so can live in registers. */
	__builtin_memset(&other, 0, sizeof(other));
	other.index = SGRING_NO_SLOT;
	err = sgring_next_any(s, &other, timeout_ms);
	*slot = other;
	return err;
}

/** sgring_put() - return a slot with the next publish or flush; -ENOBUFS: too many */
static inline int sgring_put(struct sgring *s, uint32_t index, uint64_t cookie)
{
	struct sgring_rings *r = sgring_rings(s);
	struct sgring_sqe *e;

	if (__builtin_expect(index >= r->plain_slots || !sgring_sq_known_room(&r->sq), 0))
		return sgring_put_any(s, index, cookie);
	/* The rest of it is 0 since the set-up. */
	e = (struct sgring_sqe *)(void *)r->sq.entries +
	    ((uint32_t)r->sq.producer++ & (r->sq.count - 1));
	e->cookie = cookie;
	e->slot = index;
	return 0;
}

/**
 * sgring_return() - give a slot back to be filled again; any order
 * @stream: an owner's
 * @slot: its index and cookie are used
 *
 * Who then waits in other ways than by this library calls sgring_flush() first.
 *
 * Return: 0; -EINVAL not a slot; -ENOBUFS more slots returned than there are.
 */
static inline int sgring_return(struct sgring *s, const struct sgring_slot *slot)
{
	int err = sgring_put(s, slot->index, slot->cookie);

	return err ? err : sgring_publish(s);
}

#endif /* SGRING_NO_INLINE */

/**
 * sgring_return_ready() - be done with the first n entries, and return their slots
 * @stream: an owner's
 * @n: at most sgring_ready()
 *
 * The same as sgring_put() for each slot with its cookie, sgring_consume() and
 * sgring_publish(), but faster. Entries at the end of a stream have no slot.
 *
 * Return: 0; -EINVAL so many are not ready, or one is being sent (the others are
 * returned); -ENOBUFS more slots returned than there are.
 */
int sgring_return_ready(struct sgring *stream, uint32_t n);

/**
 * sgring_each() - use entries that are ready, and return their slots, in one go
 * @stream: an owner's
 * @most: so many at most
 * @use: called for each, with @context, while it is still the application's; it
 *	makes no call of the stream but sgring_data() and sgring_slot_of()
 * @context: for it
 *
 * sgring_peek(), @use and sgring_return_ready() in one loop: where @use is inlined
 * there is nothing faster. An entry at the end of a stream has no slot.
 *
 * Return: how many there were, perhaps fewer than are ready, 0 if none is; or as
 * sgring_return_ready().
 */
static inline int
sgring_each(struct sgring *s, uint32_t most,
	    void (*use)(void *context, const struct sgring_cqe *entry), void *context)
{
	struct sgring_rings *r = sgring_rings(s);
	uint32_t from = (uint32_t)r->cq.consumer & (r->cq.count - 1);
	uint32_t to = (uint32_t)r->sq.producer & (r->sq.count - 1);
	const struct sgring_cqe *e = (const struct sgring_cqe *)(const void *)r->cq.entries + from;
	struct sgring_sqe *q = (struct sgring_sqe *)(void *)r->sq.entries + to;
	uint32_t n = sgring_ready(s), i;
	uint64_t outcome = 0;
	int err;

	/* Up to where either ring ends. */
	if (n > most)
		n = most;
	if (n > r->cq.count - from)
		n = r->cq.count - from;
	if (n > r->sq.count - to)
		n = r->sq.count - to;
	if (__builtin_expect(n - 1 >= r->plain_slots || sgring_sq_room_for(&r->sq, n) < n, 0)) {
		for (i = 0; i < n; i++)
			use(context, sgring_peek(s, i));
		err = sgring_return_ready(s, n);
		return err ? err : (int)n;
	}
	for (i = 0; i < n; i++) {
		outcome |= sgring_outcome(&e[i]);
		q[i].cookie = e[i].cookie;
		q[i].slot = e[i].slot;
		use(context, &e[i]);
	}
	/* What was written is published if there was no break; else it is done again. */
	if (__builtin_expect(sgring_is_break(outcome) || e->position_bytes != r->end_position, 0)) {
		err = sgring_return_ready(s, n);
		return err ? err : (int)n;
	}
	r->end_position = e[n - 1].position_bytes + e[n - 1].length_bytes;
	sgring_cq_consume(&r->cq, n);
	r->sq.producer += n;
	err = sgring_publish(s);
	return __builtin_expect(err, 0) ? err : (int)n;
}

/*
 * Looking. The sized calls fill in no more than the caller knows of; use the
 * inline ones.
 */

/** sgring_setup() - the set-up with the defaults that were chosen; owner */
const struct sgring_setup *sgring_setup(const struct sgring *stream);
/** sgring_geometry() - where everything is; NULL while nobody has set it up */
const struct sgring_geometry *sgring_geometry(const struct sgring *stream);
/** sgring_slot_info() - a line of the slot table; NULL: no such slot, or not set up */
const struct sgring_slot_info *sgring_slot_info(const struct sgring *stream, uint32_t index);
/**
 * sgring_layout() - the chunk runs of a slot
 * Return: how many there are (at most @room are stored), or a negative errno.
 */
int sgring_layout(struct sgring *stream, uint32_t index, struct sgring_run *runs, uint32_t room);
/**
 * sgring_follow() - read the CQ as an observer
 * @missed: written: entries that were overwritten before this one
 *
 * It starts with the first entry written after sgring_observe().
 *
 * Return: 1 and an entry, 0 nothing new, or a negative errno.
 */
int sgring_follow(struct sgring *stream, struct sgring_cqe *entry, uint64_t *missed);
/**
 * sgring_look() - copy the slot of an entry, as an observer
 * @entry: the last one of sgring_follow()
 * @bytes: from its start on, so many
 * @data: written: the copy, good until the next call; NULL if there is none
 * @epoch: written: of the entry
 *
 * The copy is of the entry's transfer, or it is not given.
 *
 * Return: 1; 0 it is too late, the slot was or may have been filled again; -ENODATA the
 * owner has closed the stream; or another negative errno.
 */
int sgring_look(struct sgring *stream, const struct sgring_cqe *entry, size_t bytes,
		const unsigned char **data, uint32_t *epoch);
/**
 * sgring_look_alive() - has an observer anything to wait for?
 * Return: 0; -ENODATA its owner has closed the stream, -ENODEV the device is gone.
 */
int sgring_look_alive(struct sgring *stream);

int sgring_query_sized(struct sgring *stream, struct sgring_query *query, size_t size);
int sgring_stats_sized(struct sgring *stream, struct sgring_stats *stats, size_t size);
void sgring_counters_sized(const struct sgring *stream, struct sgring_counters *c, size_t size);
void sgring_tx_stats_sized(const struct sgring_tx *tx, struct sgring_tx_stats *st, size_t size);

static inline int sgring_query(struct sgring *stream, struct sgring_query *query)
{
	return sgring_query_sized(stream, query, sizeof(*query));
}

static inline int sgring_stats(struct sgring *stream, struct sgring_stats *stats)
{
	return sgring_stats_sized(stream, stats, sizeof(*stats));
}

static inline void sgring_counters(const struct sgring *stream, struct sgring_counters *c)
{
	sgring_counters_sized(stream, c, sizeof(*c));
}

/*
 * Senders. A sender belongs to a stream. sgring_next() and sgring_wait() look
 * after it: they hand its queue on, take its notifications, return its slots;
 * sgring_close() closes it. An event loop calls sgring_work() instead.
 *
 * A stream may have several senders. A slot goes back when everybody who has it
 * is done: it is held once when it arrives, each sender and sgring_return() take
 * one hold away, and sgring_hold() adds one for each receiver beyond the first.
 */

/* How a sender hands memory to the kernel; sgring_tx(3) says when each is chosen. */
enum sgring_tx_method {
	SGRING_TX_AUTO = 0,		/* the best that works here for slots of this size */
	SGRING_TX_ZEROCOPY = 1,		/* sendmsg(2) with MSG_ZEROCOPY */
	SGRING_TX_URING = 2,		/* io_uring: SEND_ZC; O_DIRECT writes */
	SGRING_TX_URING_FIXED = 3,	/* the same from registered buffers: the gate goes off */
	SGRING_TX_COPY = 4,		/* send(2): the kernel copies; better for small slots */
	SGRING_TX_DIRECT = 5,		/* files: pwrite(2) with O_DIRECT, waiting for each */
};

/*
 * sgring_tx_options.flags
 *
 * RAW: the bytes of the slots and nothing else: no frames on the wire
 *   (sgring_frame(7)), no index beside a file.
 * SQPOLL: io_uring with a kernel thread that submits: no system calls, a CPU.
 * PAD: files: every slot begins on a block, with zeroes before it where it must,
 *   so that slots of any length are written without a copy. Without it, behind
 *   a slot whose length is not a multiple of the block, data is copied once.
 * OVERWRITE: files: an existing one may be written over.
 */
#define SGRING_TX_RAW		(1U << 0)
#define SGRING_TX_SQPOLL	(1U << 1)
#define SGRING_TX_PAD		(1U << 2)
#define SGRING_TX_OVERWRITE	(1U << 3)

/**
 * struct sgring_tx_options - how to send; 0 in a field: the default
 * @size: sizeof(struct sgring_tx_options); SGRING_TX_OPTIONS() fills it in
 * @flags: SGRING_TX_*
 * @method: enum sgring_tx_method
 * @batch_slots: slots handed to io_uring with one system call; default wake_slots of
 *	the stream, but at least 16, and at most half the slots
 * @timeout_ms: fail when the peer takes nothing for so long although there is
 *	something to send; default: send_timeout_ms of the stream
 * @reconnect_ms: TCP: try so long to connect again when a connection is lost, and
 *	then send again what it may not have brought; 0: a lost connection is a failure
 * @datagram_bytes: UDP: largest datagram, its frame included; default: what the
 *	path takes in one packet
 * @ttl: UDP multicast: hops; default 1
 * @rotate_bytes: files: begin a new one before one grows beyond so many bytes
 * @rotate_ms: files: begin a new one when one is so old
 * @interface: UDP multicast: name of the network interface to use; NULL: the
 *	kernel's choice
 * @index: files: path of the index; NULL: the path with its extension (.data,
 *	.sigmf-data, ...) replaced by .index
 * @say: gets one line at a time of what a person would want to know: the method
 *	chosen and why, the kernel copies, a connection lost; NULL: nobody
 * @context: for it
 */
struct sgring_tx_options {
	size_t size;
	uint32_t flags;
	uint32_t method;
	uint32_t batch_slots;
	uint32_t timeout_ms;
	uint32_t reconnect_ms;
	uint32_t datagram_bytes;
	uint32_t ttl;
	uint32_t reserved;	/* 0 */
	uint64_t rotate_bytes;
	uint64_t rotate_ms;
	const char *interface;
	const char *index;
	void (*say)(void *context, const char *line);
	void *context;
};

/* Options for one call: SGRING_TX_OPTIONS(.flags = SGRING_TX_RAW) */
#define SGRING_TX_OPTIONS(...) \
	(&(struct sgring_tx_options){ .size = sizeof(struct sgring_tx_options), __VA_ARGS__ })

/**
 * sgring_tx_open() - open a sender
 * @tx: written; NULL on failure
 * @stream: an owner's
 * @url: "tcp://host:port"; "udp://host:port", where host may be a multicast
 *	group; "file:path", a file or a block device. An IPv6 address in brackets
 * @options: NULL: all defaults
 *
 * Return: 0; -EINVAL a bad URL or option; -EHOSTUNREACH the name cannot be
 * resolved; -EEXIST the file exists; -ENOBUFS RLIMIT_MEMLOCK is too low to send
 * without a copy; -EOPNOTSUPP the method asked for does not work here; what
 * connect or open gives.
 */
int sgring_tx_open(struct sgring_tx **tx, struct sgring *stream, const char *url,
		   const struct sgring_tx_options *options);

/** sgring_tx_method() - the method in use, an enum sgring_tx_method other than AUTO */
int sgring_tx_method(const struct sgring_tx *tx);

/** sgring_tx_choice() - one line: the method in use, and why that one; never NULL */
const char *sgring_tx_choice(const struct sgring_tx *tx);

/**
 * sgring_tx_send() - send a slot's data; the slot goes back by itself
 * @tx: from sgring_tx_open()
 * @slot: data and length within the slot; one hold of it is the sender's from
 *	here on, whatever this returns. Or an end-of-stream entry, which tells the
 *	receiver that this was all; RAW senders ignore it
 *
 * Does not wait: what the socket does not take at once is queued, or what is not worth
 * a system call of its own, and goes out while the caller waits for the next slot. The sender lets go of the slot when
 * the kernel has let go of its last byte.
 *
 * Return: 0; or a negative errno: -EINVAL not a slot the caller holds, -ENOBUFS a
 * kernel limit (sgring_errmsg() names it and the cure), -ETIMEDOUT the peer took
 * nothing for too long, what sendmsg gives. After a failure the sender sends
 * nothing more and gives the same error again.
 */
int sgring_tx_send(struct sgring_tx *tx, const struct sgring_slot *slot);

/** sgring_tx_error() - 0, or the negative errno with which it has failed */
int sgring_tx_error(const struct sgring_tx *tx);

/**
 * sgring_tx_flush() - wait until the kernel has let go of everything sent
 * @timeout_ms: without progress; negative: for ever
 * Return: 0 (the peer's kernel, or the disk, has it all), -ETIMEDOUT, -EINTR, or the
 * sender's error.
 */
int sgring_tx_flush(struct sgring_tx *tx, int timeout_ms);

/**
 * sgring_tx_close() - flush, close the connection or the file, free the sender
 *
 * If the flush fails the connection is aborted; slots the kernel does not let
 * go of within a second then are not returned to the stream, ever: something
 * may still read them. Closing the stream releases them safely.
 *
 * Return: 0, or the error of the sender or of the flush.
 */
int sgring_tx_close(struct sgring_tx *tx);

/**
 * sgring_hold() - one more has this slot, and will give it to a sender or return it
 * Return: 0; -EINVAL it is not with the application.
 */
int sgring_hold(struct sgring *stream, uint32_t index);

/**
 * sgring_work() - look after the senders without waiting; for event loops
 *
 * Call it before each wait, and when a descriptor of sgring_tx_pollfds() is ready.
 *
 * Return: 0, or once, the error of a sender that failed.
 */
int sgring_work(struct sgring *stream);

/**
 * sgring_tx_pollfds() - what an event loop must wait for on a sender's behalf now
 * @fds: written: descriptors and the events that matter; they change with time
 * @room: of @fds; 2 are enough
 * Return: how many.
 */
struct pollfd;
unsigned int sgring_tx_pollfds(const struct sgring_tx *tx, struct pollfd *fds, unsigned int room);

/**
 * sgring_cancel() - make every wait of this stream and its senders end with -EINTR,
 * from now on; for signal handlers and other threads. A wait for senders by io_uring notices
 * within a twentieth of a second, or when a signal interrupts it
 */
void sgring_cancel(struct sgring *stream);

static inline void sgring_tx_stats(const struct sgring_tx *tx, struct sgring_tx_stats *st)
{
	sgring_tx_stats_sized(tx, st, sizeof(*st));
}

#ifdef __cplusplus
}
#endif

#endif /* SGRING_H */

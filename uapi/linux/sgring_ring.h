/* SPDX-License-Identifier: (GPL-2.0-only WITH Linux-syscall-note) OR MIT */
/*
 * sgring: layout and index arithmetic of the two rings
 *
 * One file for the module, the library and the tests. It owns the formats of
 * the shared memory and the order of the memory operations on it; it trusts
 * the other side, so only the application uses the sgring_sq_* and sgring_cq_*
 * verbs below. The kernel trusts nothing it reads and has verbs of its own
 * (kernel/rings.h), which keep to the same drawing.
 *
 * Indices are free-running 32-bit counts; a ring has a power of two of
 * entries, the entry of index i is i & (entries - 1). producer - consumer is
 * the number of entries in the ring, from 0 to entries.
 *
 *   application                              kernel
 *
 *   SQ: slots for the device
 *     write entries
 *     A  store-release sq_producer   ---->   B  load-acquire sq_producer
 *                                               copy entries, check the copy
 *     D  load-acquire sq_consumer    <----   C  store-release sq_consumer
 *     reuse entries
 *
 *   CQ: slots the device has finished with
 *                                               write entries
 *     F  load-acquire cq_producer    <----   E  store-release cq_producer
 *     read entries
 *     G  store-release cq_consumer   ---->   H  load-acquire cq_consumer
 *                                               reuse entries
 *
 *   who looks at the SQ (the other side of "no system call")
 *     A  store sq_producer                   K  set NEED_WAKEUP
 *     N  load flags; kick if NEED_WAKEUP     L  full barrier
 *     ... and before waiting for anything    M  load sq_producer; if it moved,
 *     I  full barrier                           clear NEED_WAKEUP and go on
 *     J  load flags; kick if NEED_WAKEUP
 *
 *   who looks at the CQ (who sleeps in epoll_wait() is asked nothing)
 *     G  store cq_consumer                   E  store cq_producer
 *     I  full barrier                        O  full barrier
 *     P  load cq_producer; if it moved,      H  load cq_consumer: is a batch
 *        do not wait                            complete, can it become so?
 *
 *   C comes before the CQ entry of a slot that was taken: an SQ with as many
 *   entries as there are slots is never found full. Entries come before the
 *   state and the flag that say no more will come.
 *
 *   An application that returns each slot once has what C and D order ordered by
 *   E and F: a slot comes back only after its SQ entry was read. C and D keep one
 *   that does not from spoiling its other entries.
 *
 *   Either J sees NEED_WAKEUP or M sees the new producer; never neither. N has
 *   no barrier before it and may miss the flag: it only spares the engine a wait
 *   for an application that is busy meanwhile. So I and J come before every wait
 *   of any kind, a loop that looks at the CQ again and again included. Waiting
 *   is no kick. A slot that was taken and waits at the gate needs none: the
 *   kernel goes on looking at it by itself.
 *
 *   Either P sees the new entry or H sees what was consumed, so that the kernel
 *   counts right what can still come. Before poll(2) P is not needed: it asks.
 *
 *   tests/model has all of it in Promela, and leaves out each letter in turn.
 */
#ifndef _UAPI_LINUX_SGRING_RING_H
#define _UAPI_LINUX_SGRING_RING_H

#include <linux/types.h>

#ifdef __KERNEL__
#include <asm/barrier.h>
/* Whoever uses one of these names the letter of the drawing it stands for. */
#define sgring_load_relaxed(p)		READ_ONCE(*(p))
#define sgring_load_acquire(p)		smp_load_acquire(p) /* B, H, M */
#define sgring_store_release(p, v)	smp_store_release(p, v) /* C, E */
#define sgring_full_barrier()		smp_mb() /* L; O is in wq_has_sleeper() */
#else
#define sgring_load_relaxed(p)		__atomic_load_n(p, __ATOMIC_RELAXED)
#define sgring_load_acquire(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define sgring_store_release(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)
#define sgring_full_barrier()		__atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* struct sgring_cqe.slot of an entry that carries no slot. */
#define SGRING_NO_SLOT		0xffffffffU

/*
 * Flags of a CQ entry.
 *
 * SGRING_CQE_GAP: bytes known to be lost lie between the previous entry and
 *   this one: position is larger than the previous position + length by just
 *   their number.
 * SGRING_CQE_STALL: the engine had no slot for some time before this one. What
 *   the device did meanwhile is known only if it counts its own losses.
 * SGRING_CQE_EOP: the device ended a packet in this slot.
 * SGRING_CQE_LENGTH_ASSUMED: the engine does not report how much it moved;
 *   length is what was asked for.
 * SGRING_CQE_EOS: the stream was stopped; the last entry of its epoch. slot is
 *   SGRING_NO_SLOT, status says why: 0 as asked, -ENODEV the device is gone,
 *   -ESHUTDOWN the machine was suspended, -EPROTO the application damaged an
 *   index, else what the client's start gave.
 * SGRING_CQE_DEVICE_TIME: device_time_ns is valid.
 * SGRING_CQE_PARTIAL: the slot was cut by a stop; length is what had come.
 */
#define SGRING_CQE_GAP			(1U << 0)
#define SGRING_CQE_STALL		(1U << 1)
#define SGRING_CQE_EOP			(1U << 2)
#define SGRING_CQE_LENGTH_ASSUMED	(1U << 3)
#define SGRING_CQE_EOS			(1U << 4)
#define SGRING_CQE_DEVICE_TIME		(1U << 5)
#define SGRING_CQE_PARTIAL		(1U << 6)

/**
 * struct sgring_cqe - one slot the device has finished with
 * @sequence: number of transfers the engine finished before this one in this
 *	epoch, those dropped into the scratch slot included
 * @position_bytes: stream position of the slot's first byte in this epoch,
 *	known losses counted
 * @host_time_ns: when the completion callback ran, by the clock of the set-up
 * @device_time_ns: the device's own time; valid with SGRING_CQE_DEVICE_TIME
 * @cookie: that of the SQ entry which brought the slot; 0 before the first
 * @slot: index of the slot, or SGRING_NO_SLOT
 * @length_bytes: bytes of data in the slot, from its start
 * @flags: SGRING_CQE_*
 * @status: 0, or a negative errno: the engine failed (-EIO), the residue was
 *	impossible (-EPROTO: the position goes on as if the slot had been
 *	filled); length_bytes is then what can be vouched for, 0
 * @engine_slots: slots the engine still had at that moment
 * @metadata_bytes: valid bytes of the slot's metadata; 0 without the feature
 *
 * The stride between entries is queried (&struct sgring_geometry) and may grow.
 */
struct sgring_cqe {
	__u64 sequence;
	__u64 position_bytes;
	__u64 host_time_ns;
	__u64 device_time_ns;
	__u64 cookie;
	__u32 slot;
	__u32 length_bytes;
	__u32 flags;
	__s32 status;
	__u32 engine_slots;
	__u32 metadata_bytes;
};

/**
 * struct sgring_sqe - one slot for the device
 * @cookie: given back in the CQ entry
 * @slot: index of the slot; it must be the application's
 * @offset_bytes: playback: first byte to send; capture: 0
 * @length_bytes: playback: bytes to send; capture: 0, the whole slot
 * @flags: 0
 * @reserved: 0
 *
 * An entry that breaks a rule is counted (&struct sgring_stats sq_bad) and
 * dropped; the slot stays where it was.
 */
struct sgring_sqe {
	__u64 cookie;
	__u32 slot;
	__u32 offset_bytes;
	__u32 length_bytes;
	__u32 flags;
	__u64 reserved;
};

/* Flags of struct sgring_kernel_side. */
#define SGRING_NEED_WAKEUP	(1U << 0)	/* nobody looks at the SQ: kick */
#define SGRING_DEAD		(1U << 1)	/* the device is gone */
#define SGRING_STARVED		(1U << 2)	/* the engine has no slot */

/**
 * struct sgring_kernel_side - what the kernel writes, at kernel_side of its mapping
 * @cq_producer: index of the next CQ entry to be written
 * @sq_consumer: index of the next SQ entry to be taken
 * @flags: SGRING_NEED_WAKEUP, SGRING_DEAD, SGRING_STARVED
 * @epoch: counts the arms of this set-up; sequence and position start anew
 * @state: enum sgring_state
 * @pad0: 0; it keeps each index on a cache line of its own
 * @pad1: 0
 * @pad2: 0
 */
struct sgring_kernel_side {
	__u32 cq_producer;
	__u32 pad0[15];
	__u32 sq_consumer;
	__u32 pad1[15];
	__u32 flags;
	__u32 epoch;
	__u32 state;
	__u32 pad2[13];
};

/**
 * struct sgring_user_side - what the application writes, at user_side of its mapping
 * @sq_producer: index of the next SQ entry to be written
 * @cq_consumer: index of the next CQ entry to be read
 * @pad0: 0
 * @pad1: 0
 */
struct sgring_user_side {
	__u32 sq_producer;
	__u32 pad0[15];
	__u32 cq_consumer;
	__u32 pad1[15];
};

/* Where a slot is. */
enum sgring_slot_state {
	SGRING_SLOT_FREE = 0,		/* the kernel's, waiting for the engine */
	SGRING_SLOT_ENGINE = 1,		/* the engine's */
	SGRING_SLOT_APP = 2,		/* the application's, from its CQ entry on */
	SGRING_SLOT_GATED = 3,		/* returned, but others still hold its pages */
};

/**
 * struct sgring_slot_info - one line of the slot table, written by the kernel
 * @generation: changes before the engine gets the slot; who copied a slot and
 *	finds the same generation after the copy has copied one transfer
 * @state: enum sgring_slot_state
 * @sequence: of the last transfer into it
 * @time_ns: when the pass began in which the state last changed
 * @position_bytes: of the last transfer into it
 */
struct sgring_slot_info {
	__u32 generation;
	__u32 state;
	__u64 sequence;
	__u64 time_ns;
	__u64 position_bytes;
};

/* Entries in a ring; more than its size means that an index is damaged. */
static inline __u32 sgring_ring_used(__u32 producer, __u32 consumer)
{
	return producer - consumer;
}

/* Where entry @index lies in a ring of @entries of @stride bytes. */
static inline __u64 sgring_ring_offset(__u32 index, __u32 entries, __u32 stride)
{
	return (__u64)(index & (entries - 1)) * stride;
}

#ifndef __KERNEL__

/**
 * struct sgring_cq - the application's view of the CQ
 * @kernel: producer and flags
 * @user: consumer
 * @entries: the entries, @stride bytes apart
 * @count: number of entries, a power of two
 * @stride: bytes from one entry to the next
 * @producer: last producer seen, so that the hot path touches the kernel's
 *	cache line only when it must
 * @consumer: next entry to look at; its low half is published by
 *	sgring_cq_consume()
 */
struct sgring_cq {
	const struct sgring_kernel_side *kernel;
	struct sgring_user_side *user;
	const unsigned char *entries;
	__u32 count;
	__u32 stride;
	__u32 producer;
	__u64 consumer;
};

/**
 * struct sgring_sq - the application's view of the SQ
 * @kernel: consumer and flags
 * @user: producer
 * @entries: the entries, @stride bytes apart
 * @count: number of entries, a power of two
 * @stride: bytes from one entry to the next
 * @consumer: last consumer seen
 * @producer: next entry to write; its low half is published by
 *	sgring_sq_publish() and sgring_sq_submit()
 */
struct sgring_sq {
	const struct sgring_kernel_side *kernel;
	struct sgring_user_side *user;
	unsigned char *entries;
	__u32 count;
	__u32 stride;
	__u32 consumer;
	__u64 producer;
};

/*
 * Entries ready to read, without a system call. There may be more: the kernel's
 * index is looked at again only when those seen before are consumed.
 */
static inline __u32 sgring_cq_ready(struct sgring_cq *cq)
{
	if (cq->producer == (__u32)cq->consumer)
		cq->producer = sgring_load_acquire(&cq->kernel->cq_producer); /* F */
	return sgring_ring_used(cq->producer, (__u32)cq->consumer);
}

/* Look at the n-th ready entry (n < sgring_cq_ready()). */
static inline const struct sgring_cqe *sgring_cq_peek(const struct sgring_cq *cq, __u32 n)
{
	return (const struct sgring_cqe *)(const void *)(cq->entries +
		sgring_ring_offset((__u32)cq->consumer + n, cq->count, cq->stride));
}

/* Give n entries back to the kernel; they must not be read again. */
static inline void sgring_cq_consume(struct sgring_cq *cq, __u32 n)
{
	cq->consumer += n;
	sgring_store_release(&cq->user->cq_consumer, (__u32)cq->consumer); /* G */
}

/* Entries that can be written, as far as one knows without looking. */
static inline __u32 sgring_sq_known_room(const struct sgring_sq *sq)
{
	return sq->count - sgring_ring_used((__u32)sq->producer, sq->consumer);
}

/* Entries that can be written; one looks only if fewer than @wanted are known. */
static inline __u32 sgring_sq_room_for(struct sgring_sq *sq, __u32 wanted)
{
	if (sgring_sq_known_room(sq) < wanted)
		sq->consumer = sgring_load_acquire(&sq->kernel->sq_consumer); /* D */
	return sgring_sq_known_room(sq);
}

/* Entries that can be written. */
static inline __u32 sgring_sq_room(struct sgring_sq *sq)
{
	return sgring_sq_room_for(sq, 1);
}

/* Reserve the next entry, or NULL. It is zeroed; nobody sees it before it is published. */
static inline struct sgring_sqe *sgring_sq_reserve(struct sgring_sq *sq)
{
	struct sgring_sqe *e;

	if (!sgring_sq_room(sq))
		return 0;
	e = (struct sgring_sqe *)(void *)(sq->entries +
		sgring_ring_offset((__u32)sq->producer++, sq->count, sq->stride));
	e->cookie = 0;
	e->slot = 0;
	e->offset_bytes = 0;
	e->length_bytes = 0;
	e->flags = 0;
	e->reserved = 0;
	return e;
}

/* Does the kernel ask to be kicked? */
static inline int sgring_sq_asked(const struct sgring_sq *sq)
{
	return !!(sgring_load_relaxed(&sq->kernel->flags) & SGRING_NEED_WAKEUP); /* J, N */
}

/*
 * Publish all reserved entries, and go on. True: the kernel asks to be kicked.
 * Cheap, and not enough before a wait: sgring_sq_submit() first.
 */
static inline int sgring_sq_publish(struct sgring_sq *sq)
{
	sgring_store_release(&sq->user->sq_producer, (__u32)sq->producer); /* A */
	return sgring_sq_asked(sq); /* N */
}

/* Publish all reserved entries; then one may wait. True: kick first. */
static inline int sgring_sq_submit(struct sgring_sq *sq)
{
	sgring_store_release(&sq->user->sq_producer, (__u32)sq->producer); /* A */
	sgring_full_barrier(); /* I */
	return sgring_sq_asked(sq); /* J */
}

#endif /* !__KERNEL__ */

#endif /* _UAPI_LINUX_SGRING_RING_H */

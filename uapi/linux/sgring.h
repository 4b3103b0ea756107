/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * sgring: stream a DMA engine channel into memory that can be sent on without a copy
 *
 * One character device per stream, /dev/sgringN. Whoever sets it up owns it
 * until that open file is closed; everybody else is an observer. The owner maps
 * three regions, at offsets asked for with SGRING_GEOMETRY, each whole and
 * MAP_SHARED, each once:
 *
 *   kernel side  PROT_READ             indices, flags, CQ entries, slot table
 *   user side    PROT_READ|PROT_WRITE  indices, SQ entries
 *   data         PROT_READ [|WRITE]    slot i at i * stride_bytes
 *
 * The data pages are ordinary pages: MSG_ZEROCOPY, O_DIRECT, io_uring and
 * vmsplice take them. An observer may map the kernel side and the user side,
 * both to read, and the data read-only at observer_data_offset: without page
 * references, so not for those, and gone (SIGBUS) when the owner closes.
 * What was zapped from a mapping by madvise(MADV_DONTNEED) does not come back.
 *
 * The gate, on by default: a slot that was returned while others still hold its
 * pages (an skb, a bio, a pipe) is not filled before they let go. So
 * send(MSG_ZEROCOPY) and the slot's return at once after it is right; whoever
 * reads a slot through the mapping returns it when that is done. A buffer
 * registered with io_uring is held for as long as it is registered: turn the
 * gate off first, and return slots when the sends are notified.
 *
 * A life: SETUP, then ARM (the engine has slots, the device is not enabled),
 * START, STOP; then ARM again, on the same memory. Close ends it anywhere.
 *
 * Every structure begins with its size. A shorter one than the first version
 * below is -EINVAL; a longer one than the kernel knows must be zero in what
 * the kernel does not know, else -E2BIG. Padding and reserved fields must be
 * zero, else -EINVAL. Where a field says "0: default", the ioctl writes back
 * what was chosen.
 *
 * Errors that any ioctl may give:
 *   -ENOTTY      no such ioctl
 *   -EFAULT      the pointer is bad
 *   -EINVAL      the structure is too short, an unknown flag, padding not zero
 *   -E2BIG       the structure is too long for this kernel, and not zero there
 *   -ENODEV      the device is gone; GEOMETRY, LAYOUT and STATS go on telling what
 *                there was
 *   -EPERM       only the owner may do this
 *   -EBADFD      not in this state
 *   -EOPNOTSUPP  this kernel or engine has not got that feature
 */
#ifndef _UAPI_LINUX_SGRING_H
#define _UAPI_LINUX_SGRING_H

#include <linux/types.h>
#include <linux/ioctl.h>
#include <linux/sgring_ring.h>

#define SGRING_ABI_VERSION	1

#define SGRING_NAME_BYTES	32

/* Limits of the ABI; an engine or the administrator may set lower ones. */
#define SGRING_SLOT_BYTES_MAX	(1U << 30)
#define SGRING_SLOTS_MAX	65536U
#define SGRING_QUEUE_DEPTH_MAX	256U
#define SGRING_USEC_MAX		60000000U	/* of any time in a set-up */
#define SGRING_STOP_MS_MAX	600000U
#define SGRING_GATE_REPORT_MS_MAX 600000U

/* A time that never comes: see wake_usec, sq_idle_usec and gate_report_ms. */
#define SGRING_OFF		0xffffffffU

/*
 * The ioctl number does not hold the structure's size, so that structures may
 * grow.
 */
#define SGRING_IOC		0xC7
#define SGRING_QUERY		_IO(SGRING_IOC, 0x00)	/* struct sgring_query */
#define SGRING_SETUP		_IO(SGRING_IOC, 0x01)	/* struct sgring_setup */
#define SGRING_GEOMETRY		_IO(SGRING_IOC, 0x02)	/* struct sgring_geometry */
#define SGRING_LAYOUT		_IO(SGRING_IOC, 0x03)	/* struct sgring_layout */
#define SGRING_ARM		_IO(SGRING_IOC, 0x04)	/* no argument: 0 */
#define SGRING_START		_IO(SGRING_IOC, 0x05)	/* no argument: 0 */
#define SGRING_STOP		_IO(SGRING_IOC, 0x06)	/* struct sgring_stop */
#define SGRING_KICK		_IO(SGRING_IOC, 0x07)	/* no argument: 0 */
#define SGRING_TUNE		_IO(SGRING_IOC, 0x08)	/* struct sgring_tune */
#define SGRING_STATS		_IO(SGRING_IOC, 0x09)	/* struct sgring_stats */

/* sgring_query.features: what may be asked of this kernel and this engine. */
#define SGRING_FEAT_CAPTURE	(1ULL << 0)
#define SGRING_FEAT_PLAYBACK	(1ULL << 1)	/* later */
#define SGRING_FEAT_DROP	(1ULL << 2)
#define SGRING_FEAT_GATE	(1ULL << 3)
#define SGRING_FEAT_METADATA	(1ULL << 4)	/* later */
#define SGRING_FEAT_LENGTH	(1ULL << 5)	/* true length of a short transfer */
#define SGRING_FEAT_LOST_COUNTER (1ULL << 6)	/* the device counts its own losses */
#define SGRING_FEAT_DEVICE_TIME	(1ULL << 7)
#define SGRING_FEAT_READ	(1ULL << 8)	/* read(2) */
#define SGRING_FEAT_OBSERVE	(1ULL << 9)

/*
 * sgring_query.quirks: what is known of the engine; for people and bug reports.
 *
 * RESULT: the residue that comes with a completion is the truth.
 * NO_RESULT: it is never asked for one.
 * SINGLE: an early end of packet leaves the rest of a scatter list behind for
 *   the next packet: one segment per slot.
 * DRAIN: never terminated in mid-packet.
 * RENEW: its channel is requested anew after a stop.
 */
#define SGRING_QUIRK_RESULT	(1U << 0)
#define SGRING_QUIRK_NO_RESULT	(1U << 1)
#define SGRING_QUIRK_SINGLE	(1U << 2)
#define SGRING_QUIRK_DRAIN	(1U << 3)
#define SGRING_QUIRK_RENEW	(1U << 4)

enum sgring_state {
	SGRING_STATE_IDLE = 0,		/* nobody has set it up */
	SGRING_STATE_READY = 1,		/* memory and rings are there */
	SGRING_STATE_ARMED = 2,		/* the engine has slots */
	SGRING_STATE_RUNNING = 3,	/* the device is enabled */
	SGRING_STATE_STOPPING = 4,
	SGRING_STATE_DEAD = 5,		/* the device is gone */
};

enum sgring_direction {
	SGRING_CAPTURE = 0,		/* device to memory */
	SGRING_PLAYBACK = 1,		/* memory to device */
};

/* What to do when the device has data and no slot is free. */
enum sgring_overrun {
	SGRING_OVERRUN_STALL = 0,	/* let the engine run dry; count it */
	SGRING_OVERRUN_DROP = 1,	/* keep it going into a scratch slot; count it */
};

enum sgring_chunk_policy {
	SGRING_CHUNK_MIXED = 0,		/* large first, smaller as they come */
	SGRING_CHUNK_EQUAL = 1,		/* all of one size: one iovec, one run */
	SGRING_CHUNK_SINGLE = 2,	/* the slot is one DMA segment */
};

enum sgring_clock {
	SGRING_CLOCK_MONOTONIC = 0,
	SGRING_CLOCK_REALTIME = 1,
	SGRING_CLOCK_TAI = 2,
	SGRING_CLOCK_BOOTTIME = 3,
	SGRING_CLOCK_MONOTONIC_RAW = 4,
};

/**
 * struct sgring_query - SGRING_QUERY: what this stream is and can do; anybody
 * @size: sizeof(struct sgring_query)
 * @abi_version: SGRING_ABI_VERSION of the kernel
 * @features: SGRING_FEAT_*
 * @state: enum sgring_state
 * @direction: enum sgring_direction
 * @slot_bytes_max: largest slot
 * @stream_bytes_max: memory limit of one stream
 * @total_bytes_max: memory limit of all streams, slots that others still hold included
 * @total_bytes: of it in use
 * @slots_max: most slots
 * @queue_depth_max: most slots the engine takes at a time
 * @width_bytes: slot_bytes must be a multiple of it
 * @segment_bytes_max: largest DMA segment
 * @segments_max: most DMA segments in a slot; 0: no limit
 * @segment_boundary_mask: no segment crosses it; 0: none
 * @burst_segments: segments the engine takes without help from software; told,
 *	not a limit; 0: any
 * @quirks: SGRING_QUIRK_*
 * @pad: 0
 * @label: name of the stream, given by firmware or its driver
 * @engine: driver of the DMA engine
 * @channel: name of the channel today, for people
 * @device: the device that streams
 */
struct sgring_query {
	__u32 size;
	__u32 abi_version;
	__u64 features;
	__u32 state;
	__u32 direction;
	__u64 slot_bytes_max;
	__u64 stream_bytes_max;
	__u64 total_bytes_max;
	__u64 total_bytes;
	__u32 slots_max;
	__u32 queue_depth_max;
	__u32 width_bytes;
	__u32 segment_bytes_max;
	__u32 segments_max;
	__u32 burst_segments;
	__u64 segment_boundary_mask;
	__u32 quirks;
	__u32 pad;
	char label[SGRING_NAME_BYTES];
	char engine[SGRING_NAME_BYTES];
	char channel[SGRING_NAME_BYTES];
	char device[SGRING_NAME_BYTES];
};

/* sgring_setup.flags */
#define SGRING_SETUP_NUMA_NODE	(1U << 0)	/* numa_node is given */
#define SGRING_SETUP_NO_GATE	(1U << 1)	/* slots in flight are not held back */

/**
 * struct sgring_setup - SGRING_SETUP: memory and rings; the caller becomes the owner
 * @size: sizeof(struct sgring_setup)
 * @flags: SGRING_SETUP_*
 * @slot_bytes: size of a slot, a multiple of width_bytes; 0: default, 1 MiB or
 *	what the limits allow
 * @slot_count: number of slots, at least 2; 0: default, 16 or what the limits allow
 * @direction: enum sgring_direction
 * @overrun: enum sgring_overrun
 * @chunk_policy: enum sgring_chunk_policy
 * @chunk_bytes: largest chunk; with SGRING_CHUNK_EQUAL the size of all; a power
 *	of two of at least a page; 0: default
 * @queue_depth: slots the engine has at a time; 0: default, by the engine
 * @wake_slots: wake the application after this many slots, at most slot_count;
 *	0: default, an eighth of the slots
 * @wake_usec: or this long after the first of them; 0: default, 1000;
 *	SGRING_OFF: never
 * @sq_poll_usec: a starved stream looks at the SQ by itself: first after so long,
 *	then each time after a quarter of what it has waited, but at least so long
 *	and, unless this is longer, at most 16 ms; at least 20; 0: default, 500
 * @sq_idle_usec: starved for so long, it gives up and asks to be kicked;
 *	0: default, 5000000; SGRING_OFF: it asks at once
 * @clock: enum sgring_clock
 * @numa_node: with SGRING_SETUP_NUMA_NODE; else 0, and the device's own is used
 * @metadata_bytes: 0 (later: bytes of metadata with each slot)
 * @pad: 0
 * @message: user pointer; where to write one line of text that says what was
 *	wrong, which limit was hit and what helps; 0: nowhere
 * @message_bytes: room there, for the final zero too
 * @gate_report_ms: a slot that waits at the gate for so long is reported in the
 *	log; 0: default, 10000; SGRING_OFF: never
 * @pad2: 0
 * @reserved: 0
 *
 * Errors: -EBUSY the stream has an owner; -ERANGE a number beyond its limit;
 * -EINVAL not aligned, not a power of two, an unknown value; -EMSGSIZE the
 * engine cannot take such a slot (segments, segment size); -EDQUOT a memory
 * limit; -ENOMEM no memory, bounce buffer or IOVA; -EOPNOTSUPP a feature that
 * query does not show; -EINTR a fatal signal; -EBADF not open for reading and
 * writing; -EIO the engine could not be stopped and still has other memory.
 */
struct sgring_setup {
	__u32 size;
	__u32 flags;
	__u64 slot_bytes;
	__u32 slot_count;
	__u32 direction;
	__u32 overrun;
	__u32 chunk_policy;
	__u64 chunk_bytes;
	__u32 queue_depth;
	__u32 wake_slots;
	__u32 wake_usec;
	__u32 sq_poll_usec;
	__u32 sq_idle_usec;
	__u32 clock;
	__s32 numa_node;
	__u32 metadata_bytes;
	__u32 message_bytes;
	__u32 pad;
	__u64 message;
	__u32 gate_report_ms;
	__u32 pad2;
	__u64 reserved[3];
};

/**
 * struct sgring_geometry - SGRING_GEOMETRY: where everything is; anybody, after set-up
 * @size: sizeof(struct sgring_geometry)
 * @slot_count: number of slots
 * @slot_bytes: size of a slot
 * @stride_bytes: from one slot to the next in the data region
 * @kernel_offset: mmap offset of the kernel side
 * @kernel_bytes: its length
 * @user_offset: mmap offset of the user side; to be written by the owner only
 * @user_bytes: its length
 * @data_offset: mmap offset of the slots; owner only
 * @observer_data_offset: mmap offset of the slots for an observer
 * @data_bytes: length of the data region
 * @kernel_side: offset of &struct sgring_kernel_side in the kernel side
 * @cq_offset: offset of the CQ entries in the kernel side
 * @cq_entries: number of CQ entries, a power of two
 * @cq_stride: bytes from one CQ entry to the next
 * @table_offset: offset of the slot table in the kernel side
 * @table_stride: bytes from one line of it to the next
 * @user_side: offset of &struct sgring_user_side in the user side
 * @sq_offset: offset of the SQ entries in the user side
 * @sq_entries: number of SQ entries, a power of two
 * @sq_stride: bytes from one SQ entry to the next
 * @chunk_bytes_max: size of the largest chunk there is
 * @chunk_bytes_min: size of the smallest
 * @segments: most DMA segments in any slot
 * @clock: enum sgring_clock of the times in the CQ and the slot table; 0 when asked
 *
 * -EBADFD: not set up.
 */
struct sgring_geometry {
	__u32 size;
	__u32 slot_count;
	__u64 slot_bytes;
	__u64 stride_bytes;
	__u64 kernel_offset;
	__u64 kernel_bytes;
	__u64 user_offset;
	__u64 user_bytes;
	__u64 data_offset;
	__u64 observer_data_offset;
	__u64 data_bytes;
	__u32 kernel_side;
	__u32 cq_offset;
	__u32 cq_entries;
	__u32 cq_stride;
	__u32 table_offset;
	__u32 table_stride;
	__u32 user_side;
	__u32 sq_offset;
	__u32 sq_entries;
	__u32 sq_stride;
	__u64 chunk_bytes_max;
	__u64 chunk_bytes_min;
	__u32 segments;
	__u32 clock;
};

/**
 * struct sgring_run - neighbouring chunks of one size in a slot
 * @offset_bytes: of the first, in the slot
 * @chunk_bytes: size of each
 * @chunks: how many
 * @pad: 0
 */
struct sgring_run {
	__u64 offset_bytes;
	__u64 chunk_bytes;
	__u32 chunks;
	__u32 pad;
};

/**
 * struct sgring_layout - SGRING_LAYOUT: the chunk runs of a slot; anybody, after set-up
 * @size: sizeof(struct sgring_layout)
 * @slot: index of the slot
 * @runs: user pointer to an array of &struct sgring_run; may be 0 if @run_room is
 * @run_room: room in it
 * @run_count: written: runs the slot has; no more than @run_room are stored
 *
 * -ERANGE: no such slot; -EBADFD: not set up.
 */
struct sgring_layout {
	__u32 size;
	__u32 slot;
	__u64 runs;
	__u32 run_room;
	__u32 run_count;
};

/*
 * SGRING_ARM: the engine gets its first slots, the device is not enabled; owner,
 * in state READY. SGRING_START: the device is enabled; owner, in state ARMED, or
 * READY (it arms first). SGRING_KICK: look at the SQ now; owner, once set up.
 * ARM waits, up to a second, while all slots that were returned are at the gate.
 * Errors of ARM and START: -ENOBUFS no room in the CQ for an end-of-stream entry,
 * no slot is the kernel's, or all of those are still at the gate; -EIO the engine
 * refused; -EPROTO an index of the application is off its ring; -EINTR a fatal
 * signal; what the device's driver gave. All three, and STOP and TUNE: -EBUSY the
 * descriptor reads (read(2)).
 */

/* sgring_stop.flags */
#define SGRING_STOP_DRAIN	(1U << 0)	/* let the engine finish; else abort */

/* sgring_stop.outcome */
#define SGRING_STOPPED_PARTIAL	(1U << 0)	/* a slot was cut and delivered */
#define SGRING_STOPPED_TIMEOUT	(1U << 1)	/* the drain took too long: aborted */
#define SGRING_STOPPED_UNKNOWN	(1U << 2)	/* a slot was cut, its length is not known */

/**
 * struct sgring_stop - SGRING_STOP: to state READY; owner, in ARMED or RUNNING
 * @size: sizeof(struct sgring_stop)
 * @flags: SGRING_STOP_DRAIN
 * @timeout_ms: of the drain; 0: default, 1000
 * @outcome: written: SGRING_STOPPED_*
 *
 * When it returns, the engine is at rest and the end-of-stream entry is in the
 * CQ. Slots the engine had not filled are the kernel's again.
 * -ERANGE: @timeout_ms beyond SGRING_STOP_MS_MAX; -EINTR: a fatal signal (the
 * stream is stopped); -EIO: the engine could not be stopped (see the log).
 */
struct sgring_stop {
	__u32 size;
	__u32 flags;
	__u32 timeout_ms;
	__u32 outcome;
};

/* sgring_tune.gate */
#define SGRING_GATE_KEEP	0		/* leave it as it is */
#define SGRING_GATE_ON		1
#define SGRING_GATE_OFF		2

/**
 * struct sgring_tune - SGRING_TUNE: change thresholds while it runs; owner
 * @size: sizeof(struct sgring_tune)
 * @wake_slots: as in the set-up; 0: leave as it is
 * @wake_usec: as in the set-up; 0: leave as it is
 * @sq_poll_usec: as in the set-up; 0: leave as it is
 * @sq_idle_usec: as in the set-up; 0: leave as it is
 * @gate: SGRING_GATE_*; written back: SGRING_GATE_ON or SGRING_GATE_OFF
 *
 * What is in force is written back. -ERANGE: beyond its limit; -EINVAL: no such
 * @gate. Once the gate is off, slots taken from the SQ from then on are not looked
 * at; those that wait at it already stay there until their pages are free.
 */
struct sgring_tune {
	__u32 size;
	__u32 wake_slots;
	__u32 wake_usec;
	__u32 sq_poll_usec;
	__u32 sq_idle_usec;
	__u32 gate;
};

/* sgring_stats.flags */
#define SGRING_STATS_BOUNCED	(1U << 0)	/* swiotlb copies every transfer */
#define SGRING_STATS_DEFERRED	(1U << 1)	/* cache maintenance in a worker */
#define SGRING_STATS_STARVED	(1U << 2)	/* the engine has no slot now */
#define SGRING_STATS_GATE	(1U << 3)	/* the gate is on */
#define SGRING_STATS_STUCK	(1U << 4)	/* a slot is at the gate for too long now */

/* Buckets of sgring_stats.app_usec_log2. */
#define SGRING_USEC_LOG2	32U

/**
 * struct sgring_stats - SGRING_STATS: counters of this set-up; anybody
 * @size: sizeof(struct sgring_stats)
 * @flags: SGRING_STATS_*
 * @state: enum sgring_state
 * @epoch: of &struct sgring_kernel_side
 * @slots_done: slots delivered
 * @bytes_done: bytes delivered
 * @dropped_slots: transfers into the scratch slot
 * @dropped_bytes: bytes in them
 * @lost_bytes: bytes the device says it lost
 * @stalls: times the engine had no slot
 * @stalled_ns: for how long, in all, an ongoing stall included
 * @timer_runs: times the starved stream's timer ran
 * @timer_hits: of them, found something in the SQ
 * @kicks: SGRING_KICK calls
 * @polls: times poll, select or epoll asked whether it is ready: before a sleep
 *	and after it
 * @wakeups: times a waiter was woken
 * @sq_taken: SQ entries taken
 * @sq_bad: SQ entries dropped: no such slot, not the application's, a field
 *	that must be zero
 * @index_bad: times an index of the application was further off than its ring
 *	is long; each stops the stream
 * @cq_full: times the engine got no slot because the CQ had no room
 * @engine_busy: times the engine had no descriptor left
 * @engine_errors: transfers that failed
 * @residue_bad: transfers with an impossible residue
 * @late_callbacks: completions of an earlier arm, ignored
 * @odd_callbacks: completions out of order or twice, ignored
 * @short_slots: slots the device ended early
 * @assumed_slots: slots with an assumed length
 * @gate_waits: slots that had to wait at the gate
 * @gate_wait_ns: for how long, in all, those that have passed
 * @gate_checks: looks at slots that wait at the gate
 * @gate_stuck: times a slot waited there for longer than gate_report_ms
 * @memory_bytes: memory of this set-up
 * @held_bytes: memory of closed set-ups, of all streams, whose pages others still hold
 * @slots_free: slots the kernel has, waiting
 * @slots_engine: slots the engine has
 * @slots_app: slots the application has
 * @slots_gated: slots that wait at the gate
 * @app_usec_log2: slots by how long the application had them, from the CQ entry to
 *	the SQ entry being taken, by the clock of the set-up: the first less than 1 us,
 *	number i from 2^(i-1) to less than 2^i us, the last all that took longer
 *
 * -EBADFD: never set up.
 */
struct sgring_stats {
	__u32 size;
	__u32 flags;
	__u32 state;
	__u32 epoch;
	__u64 slots_done;
	__u64 bytes_done;
	__u64 dropped_slots;
	__u64 dropped_bytes;
	__u64 lost_bytes;
	__u64 stalls;
	__u64 stalled_ns;
	__u64 timer_runs;
	__u64 timer_hits;
	__u64 kicks;
	__u64 polls;
	__u64 wakeups;
	__u64 sq_taken;
	__u64 sq_bad;
	__u64 index_bad;
	__u64 cq_full;
	__u64 engine_busy;
	__u64 engine_errors;
	__u64 residue_bad;
	__u64 late_callbacks;
	__u64 odd_callbacks;
	__u64 short_slots;
	__u64 assumed_slots;
	__u64 gate_waits;
	__u64 gate_wait_ns;
	__u64 gate_checks;
	__u64 gate_stuck;
	__u64 memory_bytes;
	__u64 held_bytes;
	__u32 slots_free;
	__u32 slots_engine;
	__u32 slots_app;
	__u32 slots_gated;
	__u64 app_usec_log2[SGRING_USEC_LOG2];
};

/*
 * poll: POLLIN when a wake-up batch is in the CQ (wake_slots, or wake_usec
 * passed, or nothing more can come before the application acts); POLLHUP and
 * POLLERR when the device is gone.
 *
 * read(2) on a stream without an owner sets it up with all defaults, starts it
 * and copies the bytes out in order; the descriptor is the owner from then on.
 * It returns what there is, at least one byte, or waits; 0 at the end of the
 * stream. Where bytes were lost it stops before the gap and the next read fails
 * once with -EOVERFLOW. A slot the engine failed in fails once with -EIO, and
 * what it is known to have moved is such a gap.
 * -EBUSY: somebody else owns it, or this descriptor has set it up for its rings.
 * -EAGAIN: O_NONBLOCK and nothing there.
 *
 * mmap: -EINVAL wrong offset, length or not MAP_SHARED; -EACCES protection that
 * the region does not allow, or execution; -EPERM only the owner may; -EBUSY
 * already mapped; -EBADFD not set up.
 */

#endif /* _UAPI_LINUX_SGRING_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring: a stream, what every file above the nouns works on
 *
 * Two locks. The mutex guards the life of the stream: state, owner, memory,
 * channel, the calls of the client; whoever holds it touches no user memory,
 * because mmap takes it under the mmap lock. The spinlock guards the hot path:
 * lists, cells, rings, counters; taken with bottom halves off, because engines
 * call back in softirq. The mutex is the outer one.
 */
#ifndef SGRING_STREAM_H
#define SGRING_STREAM_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "client.h"
#include "compat.h"
#include "engine.h"
#include "gate.h"
#include "rings.h"
#include "slot.h"

/* Many more than transfers at a time, so that one is not soon used again. */
#define SGRING_CELLS	(4 * SGRING_QUEUE_DEPTH_MAX)

/* SQ entries one pass takes at most: far more than an engine holds. */
#define SGRING_PASS_ENTRIES	1024

/* Looks one pass takes at slots that wait at the gate. */
#define SGRING_PASS_GATED	64

/* Where syncs cost time: no larger slots, and no more of them in a pass, in softirq. */
#define SGRING_SOFTIRQ_SLOT_MAX	SZ_64K
#define SGRING_SOFTIRQ_PASS_MAX	SZ_256K

/* What is at which mmap offset; bytes, far enough apart for any stream. */
#define SGRING_OFFSET_KERNEL		0x0ULL
#define SGRING_OFFSET_USER		0x10000000ULL
#if BITS_PER_LONG == 64
#define SGRING_OFFSET_DATA		0x100000000ULL
#define SGRING_OFFSET_OBSERVER_DATA	0x80000000000ULL
#define SGRING_DATA_BYTES_MAX		(SGRING_OFFSET_OBSERVER_DATA - SGRING_OFFSET_DATA)
#else
/* unmap_mapping_range() shifts an offset only after it was cut to 32 bits. */
#define SGRING_OFFSET_DATA		0x20000000ULL
#define SGRING_OFFSET_OBSERVER_DATA	0x80000000ULL
#define SGRING_DATA_BYTES_MAX		0x60000000ULL
#endif

extern struct workqueue_struct *sgring_wq;

/* What the owner maps. */
enum sgring_region {
	SGRING_REGION_KERNEL,
	SGRING_REGION_USER,
	SGRING_REGION_DATA,
	SGRING_REGIONS,
};

enum sgring_cell_state {
	SGRING_CELL_IDLE = 0,
	SGRING_CELL_SUBMITTED,		/* the engine's */
	SGRING_CELL_DONE,		/* called back; not yet synced for the CPU */
	SGRING_CELL_SYNCED,		/* waiting for its turn in the CQ */
};

/**
 * struct sgring_cell - one transfer; the parameter of its callback
 * @stream: lives as long as the channel, so a late callback finds it
 * @slot: being filled, or NULL for the scratch slot
 * @time_ns: of the callback
 * @device_time_ns: from the client
 * @lost_bytes: the client's counter at its end
 * @cookie: dmaengine's
 * @arm: the arm that submitted it; a callback of another one is late
 * @state: enum sgring_cell_state
 * @length: bytes asked for
 * @residue: of them not moved
 * @failed: the engine reports an error
 * @device_time: device_time_ns is valid
 * @end_of_packet: the client says so
 */
struct sgring_cell {
	struct sgring_stream *stream;
	struct sgring_slot *slot;
	u64 time_ns;
	u64 device_time_ns;
	u64 lost_bytes;
	dma_cookie_t cookie;
	u32 arm;
	u32 state;
	u32 length;
	u32 residue;
	bool failed;
	bool device_time;
	bool end_of_packet;
};

/**
 * struct sgring_message - the one line that says what is wrong
 * @text: empty: nothing to say
 */
struct sgring_message {
	char text[224];
};

/**
 * struct sgring_stream - one channel, its slots, its rings, one device node
 *
 * Fixed from registration on:
 * @dev: in class sgring; its reference keeps this structure
 * @cdev: its device node
 * @client: a copy
 * @label: a copy
 * @id: N of /dev/sgringN
 * @node: in the list of all streams
 * @debugfs: its directory there, or an error
 *
 * Under @mutex:
 * @mutex: see above
 * @engine: the channel
 * @state: enum sgring_state, never STATE_DEAD; read without the mutex for telling
 * @dead: the device is going; written under @lock
 * @gone: it has gone: all there will ever be is in the CQ
 * @leak: an engine could not be stopped; the memory is never freed
 * @owner: the open file that set it up
 * @note_lock: what the attributes tell
 * @owner_pid: of the process that did; under @note_lock
 * @refused: set-ups, arms and starts that were refused, of all owners; under @note_lock
 * @refused_last: the last of them; under @note_lock
 * @reading: the owner is a reader, not a user of the rings
 * @setup: what is in force
 * @stride: bytes from slot to slot
 * @memory_bytes: charged
 * @chunk_min: bytes of the smallest chunk
 * @chunk_max: bytes of the largest chunk
 * @chunk_orders: chunks of each order
 * @segments: most in a slot
 * @slots: setup.slot_count of them
 * @scratch: for dropping, and for the end of a packet that must not be cut
 * @deferred: cache maintenance is the worker's
 * @bounced: swiotlb copies
 * @syncs: moving a slot between CPU and device takes a sync
 * @device_on: the client's stop is due
 * @files: all open files, so that observers can be zapped
 * @setups: counts the set-ups; an observer's mapping is of one of them
 * @settled: for the end of state STOPPING
 *
 * @observer_lock: guards @observable; taken in page faults, so nothing that
 *	sleeps for long is done under it
 * @observable: the slots may be shown to observers
 * @mapped: owner's mappings of each region
 * @watched: the owner's mapping of the slots, if it is watched; written under its
 *	mmap lock
 * @watch: tells when something is taken from it
 *
 * Under @lock:
 * @lock: see above
 * @rings: both rings and the slot table
 * @arm: counts the arms of all set-ups that are over
 * @pass_entries: SQ entries one pass takes at most; slots at the gate it looks at
 * @now_ns: when the pass that runs began, by the clock of the set-up
 * @active: completions count; the timers and the worker may run
 * @refill: slots may be given to the engine
 * @flush: the device ends its packet: into the scratch slot, where no other is free
 * @cells: transfers, a ring
 * @cell_head: oldest in flight
 * @cell_tail: next to submit
 * @free: slots ready for the engine, the next one first
 * @dirty: slots returned, not yet synced for the device
 * @gate: slots returned whose pages others still hold
 * @slots_free: in @free and @dirty
 * @slots_engine: in flight, without the scratch slot
 * @slots_app: the application's
 * @sequence: of the next transfer
 * @position: of the next byte
 * @gap: bytes lost since the last entry
 * @lost_seen: the client's counter, as far as it is in @position
 * @starved: the engine has nothing
 * @starved_since: ns
 * @came: something was taken from the SQ, or passed the gate, in this pass
 * @idle_since: ns; since then nothing came
 * @stall_mark: the next entry gets SGRING_CQE_STALL
 * @announced: CQ producer up to which waiters were told
 * @batch_until: when they are told of what came since, though it is no whole batch;
 *	0: nobody waits for it, or nothing came
 * @stats: counters
 * @sq_timer: looks at the SQ, and at the gate, of a starved stream
 * @wake_timer: ends a wake-up batch
 *
 * @work: cache maintenance of large slots
 * @fail_work: stops the stream for @fail_status
 * @fail_status: why
 * @wait: for CQ entries
 * @idle_wait: for the engine to finish
 * @read_lock: one reader at a time; outside @mutex
 * @read_entry: being copied out by read(2)
 * @read_offset: how far
 * @read_valid: there is one
 * @read_position: next byte expected
 */
struct sgring_stream {
	struct device dev;
	struct cdev cdev;
	struct sgring_client client;
	char label[SGRING_NAME_BYTES];
	int id;
	struct list_head node;
	struct dentry *debugfs;

	struct mutex mutex;		/* the life of the stream */
	struct sgring_engine engine;
	u32 state;
	bool dead;
	bool gone;
	bool leak;
	struct file *owner;
	spinlock_t note_lock;		/* innermost; never in softirq */
	struct pid *owner_pid;
	u64 refused;
	struct sgring_message refused_last;
	bool reading;
	struct sgring_setup setup;
	u64 stride;
	u64 memory_bytes;
	u64 chunk_min;
	u64 chunk_max;
	u64 chunk_orders[SGRING_MAX_ORDER + 1];
	u32 segments;
	struct sgring_slot *slots;
	struct sgring_slot scratch;
	bool deferred;
	bool bounced;
	bool syncs;
	bool device_on;
	struct list_head files;
	unsigned long setups;
	wait_queue_head_t settled;

	struct mutex observer_lock;	/* @observable */
	bool observable;
	atomic_t mapped[SGRING_REGIONS];
#ifdef SGRING_WATCH
	struct vm_area_struct *watched;
	struct mmu_interval_notifier watch;
#endif

	spinlock_t lock;		/* the hot path */
	struct sgring_rings rings;
	u32 arm;
	u32 pass_entries;
	u64 now_ns;
	bool active;
	bool refill;
	bool flush;
	struct sgring_cell *cells;
	u32 cell_head;
	u32 cell_tail;
	struct sgring_queue free;
	struct list_head dirty;
	struct sgring_gate gate;
	u32 slots_free;
	u32 slots_engine;
	u32 slots_app;
	u64 sequence;
	u64 position;
	u64 gap;
	u64 lost_seen;
	bool starved;
	u64 starved_since;
	bool came;
	u64 idle_since;
	bool stall_mark;
	u32 announced;
	ktime_t batch_until;
	struct sgring_stats stats;
	struct hrtimer sq_timer;
	struct hrtimer wake_timer;

	struct work_struct work;
	struct work_struct fail_work;
	s32 fail_status;
	wait_queue_head_t wait;
	wait_queue_head_t idle_wait;

	struct mutex read_lock;		/* one reader at a time */
	struct sgring_cqe read_entry;
	u32 read_offset;
	bool read_valid;
	u64 read_position;
};

/**
 * struct sgring_file - an open file
 * @node: in the stream's list
 * @stream: its stream
 * @mapping: where its VMAs are found
 */
struct sgring_file {
	struct list_head node;
	struct sgring_stream *stream;
	struct address_space *mapping;
};

static inline enum dma_data_direction sgring_dma_dir(const struct sgring_stream *s)
{
	return s->client.direction == DMA_DEV_TO_MEM ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
}

/* Does it have a scratch slot? */
static inline bool sgring_has_scratch(const struct sgring_stream *s)
{
	return s->setup.overrun == SGRING_OVERRUN_DROP ||
	       (s->engine.quirks & SGRING_QUIRK_DRAIN);
}

/* The device is going: said under the spinlock, before whoever holds the mutex lets go of it. */
static inline bool sgring_is_dead(const struct sgring_stream *s)
{
	return READ_ONCE(s->dead);
}

static inline u32 sgring_inflight(const struct sgring_stream *s)
{
	return s->cell_tail - s->cell_head;
}

/* setup.c */
int sgring_setup(struct sgring_stream *s, struct file *file, struct sgring_setup *setup,
		 struct sgring_message *message);
void sgring_setup_done(struct sgring_stream *s);
void sgring_teardown(struct sgring_stream *s);
void sgring_unmap(struct sgring_stream *s);
int sgring_tune(struct sgring_stream *s, struct sgring_tune *tune);

/* sysfs.c */
extern const struct attribute_group *sgring_attr_groups[];
void sgring_refused(struct sgring_stream *s, int err, const char *text);

/* stream.c */
int sgring_arm(struct sgring_stream *s);
int sgring_start(struct sgring_stream *s);
int sgring_stop(struct sgring_stream *s, bool drain, u32 timeout_ms, s32 status, u32 *outcome);
void sgring_fail_work(struct work_struct *work);
void sgring_lock_settled(struct sgring_stream *s);

/* pump.c */
void sgring_pump_init(struct sgring_stream *s);
bool sgring_pump_collect(struct sgring_stream *s);
bool sgring_pump_begin(struct sgring_stream *s);
void sgring_pump_flush(struct sgring_stream *s);
void sgring_pump_hold(struct sgring_stream *s);
void sgring_pump_end(struct sgring_stream *s);
bool sgring_pump_retire_rest(struct sgring_stream *s, const u32 *residue, bool leak);
void sgring_pump_end_of_stream(struct sgring_stream *s, s32 status);
void sgring_pump_kick(struct sgring_stream *s);
void sgring_pump_recheck(struct sgring_stream *s);
bool sgring_pump_return(struct sgring_stream *s, u32 slot);
__poll_t sgring_pump_poll(struct sgring_stream *s, bool count);
void sgring_pump_stats(struct sgring_stream *s, struct sgring_stats *stats);
u64 sgring_now(const struct sgring_stream *s);

/* vma.c */
int sgring_mmap(struct sgring_stream *s, struct file *file, struct vm_area_struct *vma);
void sgring_observers_zap(struct sgring_stream *s);

/* read.c */
ssize_t sgring_read(struct sgring_stream *s, struct file *file, char __user *buf, size_t bytes);

/* chardev.c */
extern const struct file_operations sgring_fops;

#endif /* SGRING_STREAM_H */

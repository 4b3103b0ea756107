/* SPDX-License-Identifier: MIT */
/* libsgring: a simulated stream, what the files of the simulator share. */
#ifndef SGRING_SIM_STREAM_H
#define SGRING_SIM_STREAM_H

#include <pthread.h>

#include "sim.h"
#include "sim_replay.h"
#include "sim_kernel.h"

#include "../kernel/plan.h"
#include "../kernel/rings.h"

#define SGRING_SIM_HUGE_BYTES	(2ULL << 20)
#define SGRING_SIM_STREAMS	255		/* patterns there are */
#define SGRING_SIM_OFF		UINT64_MAX	/* a timer that is not set */

#define min_of(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ < b_ ? a_ : b_; })
#define max_of(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })

/* The one line that says what is wrong. */
struct sgring_sim_message {
	char text[224];
};

/**
 * struct sgring_sim_cell - one transfer
 * @slot: being filled, or SGRING_NO_SLOT: into the scratch slot
 * @done: bytes moved
 * @complete: it is over
 * @failed: the engine reports an error
 * @end_of_packet: the device ended one with its last byte
 * @lost_bytes: the device's counter at its end
 */
struct sgring_sim_cell {
	u32 slot;
	u32 done;
	bool complete;
	bool failed;
	bool end_of_packet;
	u64 lost_bytes;
};

/**
 * struct sgring_sim_source - the device
 * @enabled: between start and stop
 * @dropping: the FIFO overflowed; new bytes are lost until it is empty
 * @has_lost: what options.lose_at says has happened
 * @fd: the file, or -1
 * @file_bytes: its length at the start
 * @replay: what is played, or NULL; the rest is valid with it
 * @loaded: the oldest transfer is @replay's entry
 * @over: it has come to an end of its stream, which is its entry if @told
 * @told: see there
 * @waits: for the slot the entry had, since @waits_ns
 * @first_ns: time of the first entry of this run, in the recording
 * @start_ns: of the run
 * @last_ns: up to when it has been worked out
 * @remainder: bytes times 1e9 that were not whole at @last_ns
 * @position: stream position of the next byte to be taken
 * @level: bytes in the FIFO; of a file, how many may be taken by the rate
 * @lost: bytes lost that lie before @position
 * @pending: bytes lost that lie after the FIFO's last byte
 * @packet_done: bytes of the running packet that were taken
 * @packet_limit: bytes at which it ends
 * @packets: packets ended since the start
 */
struct sgring_sim_source {
	bool enabled;
	bool dropping;
	bool has_lost;
	int fd;
	u64 file_bytes;
	struct sgring_replay *replay;
	bool loaded;
	bool over;
	bool told;
	bool waits;
	u64 waits_ns;
	u64 first_ns;
	u64 start_ns;
	u64 last_ns;
	u64 remainder;
	u64 position;
	u64 level;
	u64 lost;
	u64 pending;
	u64 packet_done;
	u64 packet_limit;
	u64 packets;
};

/* What is known of a slot in the kernel. */
struct sgring_sim_slot {
	u64 cookie;
	u32 state;
};

/**
 * struct sgring_sim - a simulated stream
 * @next: in the list of all; under its lock, like @files
 * @options: as opened first
 * @files: descriptors of it
 *
 * Everything else under @lock, which stands for the driver's mutex and spinlock:
 * @callers: threads that want it; the thread lets them in
 * @wake: for the thread
 * @settled: the thread has put down what it moved
 * @thread: from set-up to close
 * @threaded: it is there
 * @quit: it shall end
 * @moving: it makes data, without the lock
 * @halt: it shall not begin to
 * @owner: descriptor that set it up, or -1
 * @bell: other end of it; a byte in it: the owner's is readable
 * @rung: there is one
 * @state: enum sgring_state, never STATE_DEAD
 * @dead: the device is gone
 * @setup: what is in force
 * @stride: bytes from slot to slot
 * @chunk_bytes: size of the chunks slots are made of
 * @segments: DMA segments of a slot
 * @memfd: of the kernel side, and the user side behind it
 * @data: slots, then the scratch slot
 * @data_bytes: mapped there
 * @data_maps: how often it was given out
 * @memory_bytes: of the set-up
 * @rings: as in the driver
 * @slots: setup.slot_count of them
 * @free: FIFO of slots ready for the engine, as many entries as slots
 * @free_head: its first
 * @slots_free: its length
 * @cells: transfers, a ring of SGRING_QUEUE_DEPTH_MAX
 *
 * As &struct sgring_stream in kernel/stream.h: @active, @refill, @cell_head,
 * @cell_tail, @slots_engine, @slots_app, @sequence, @position, @gap, @lost_seen,
 * @starved, @starved_since, @came, @idle_since, @stall_mark, @announced, @now_ns,
 * @fail_status, @stats.
 * @mono_ns: when this pass began, by CLOCK_MONOTONIC
 * @sq_at: when the timer of a starved stream runs; SGRING_SIM_OFF: never
 * @wake_at: when a wake-up batch is over
 * @device_at: when the device will have something for the engine
 */
struct sgring_sim {
	struct sgring_sim *next;
	struct sgring_sim_options options;
	unsigned int files;

	pthread_mutex_t lock;
	unsigned int callers;
	pthread_cond_t wake;
	pthread_cond_t settled;
	pthread_t thread;
	bool threaded;
	bool quit;
	bool moving;
	bool halt;

	int owner;
	int bell;
	bool rung;
	u32 state;
	bool dead;
	struct sgring_setup setup;
	u64 stride;
	u64 chunk_bytes;
	u32 segments;
	int memfd;
	unsigned char *data;
	size_t data_bytes;
	unsigned int data_maps;
	u64 memory_bytes;
	struct sgring_rings rings;
	struct sgring_sim_slot *slots;
	u32 *free;
	u32 free_head;
	u32 slots_free;
	struct sgring_sim_cell cells[SGRING_QUEUE_DEPTH_MAX];
	u32 cell_head;
	u32 cell_tail;
	struct sgring_sim_source source;

	bool active;
	bool refill;
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
	u64 now_ns;
	u64 mono_ns;
	u64 sq_at;
	u64 wake_at;
	u64 device_at;
	s32 fail_status;
	struct sgring_stats stats;
};

static inline u32 sgring_sim_inflight(const struct sgring_sim *s)
{
	return s->cell_tail - s->cell_head;
}

static inline bool sgring_sim_has_scratch(const struct sgring_sim *s)
{
	return s->setup.overrun == SGRING_OVERRUN_DROP;
}

static inline unsigned char *sgring_sim_memory(const struct sgring_sim *s, u32 slot)
{
	return s->data + (slot == SGRING_NO_SLOT ? s->setup.slot_count : slot) * s->stride;
}

static inline void sgring_sim_lock(struct sgring_sim *s)
{
	__atomic_add_fetch(&s->callers, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&s->lock);
	__atomic_sub_fetch(&s->callers, 1, __ATOMIC_RELAXED);
}

static inline void sgring_sim_unlock(struct sgring_sim *s)
{
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

/* sim_memory.c */
u64 sgring_sim_page(void);
u64 sgring_sim_memory_max(void);	/* of one stream */
int sgring_sim_memory_make(struct sgring_sim *s, struct sgring_sim_message *m);
void sgring_sim_memory_free(struct sgring_sim *s);
/* It was kept for this mapping, and is not any more; false: it is none of these. */
bool sgring_sim_memory_put(const void *where);
int sgring_sim_rings_make(struct sgring_sim *s);
void sgring_sim_rings_free(struct sgring_sim *s);
/* The kernel side, or the user side, as others see it: another mapping, read-only. */
int sgring_sim_rings_map(struct sgring_sim *s, bool user, void **where);

/* sim_setup.c */
int sgring_sim_complain(struct sgring_sim_message *m, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
struct sgring_limits sgring_sim_limits(const struct sgring_sim *s);
int sgring_sim_setup(struct sgring_sim *s, struct sgring_setup *setup,
		     struct sgring_sim_message *m);
void sgring_sim_teardown(struct sgring_sim *s);
int sgring_sim_tune(struct sgring_sim *s, struct sgring_tune *tune);

/* sim_source.c */
void sgring_sim_source_start(struct sgring_sim *s);
void sgring_sim_source_stop(struct sgring_sim *s);
void sgring_sim_source_advance(struct sgring_sim *s);
bool sgring_sim_source_move(struct sgring_sim *s, bool crumbs);
bool sgring_sim_source_ended(const struct sgring_sim *s);
s32 sgring_sim_source_status(const struct sgring_sim *s);

/* sim_pump.c */
void sgring_sim_pass(struct sgring_sim *s);
bool sgring_sim_want(struct sgring_sim *s, u32 slot);
bool sgring_sim_pump(struct sgring_sim *s);
bool sgring_sim_begin(struct sgring_sim *s);
void sgring_sim_end(struct sgring_sim *s);
bool sgring_sim_retire_rest(struct sgring_sim *s, bool deliver);
void sgring_sim_end_of_stream(struct sgring_sim *s, s32 status);
bool sgring_sim_take(struct sgring_sim *s);
void sgring_sim_poll(struct sgring_sim *s);
void sgring_sim_recheck(struct sgring_sim *s);
void *sgring_sim_thread(void *stream);

/* sim.c */
int sgring_sim_stop(struct sgring_sim *s, bool drain, s32 status, u32 *outcome);
void sgring_sim_die(struct sgring_sim *s);

#endif /* SGRING_SIM_STREAM_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring-dummy: the DMA engine's own structures
 *
 * A transfer is on two kinds of list. The driver's: prepared, submitted, active,
 * done. The hardware's: from the moment it was started until the last of its
 * segments is behind the hardware. In most profiles it leaves both together; with
 * DUMMY_BATCH the driver may be done with a transfer that the hardware still has.
 *
 *	FREE      in the pool
 *	PREPARED  on ->prepared; the client has it and has not submitted it
 *	QUEUED    on ->submitted; not started
 *	ACTIVE    on ->active; the hardware has it, or has had it
 *	DONE      on ->done (by its call); the tasklet will call back
 *	CALLING   on no list; the tasklet calls back
 *	GHOST     on no list; the driver has forgotten it, the hardware has not
 */
#ifndef SGRING_DUMMY_ENGINE_H
#define SGRING_DUMMY_ENGINE_H

#include <linux/dmaengine.h>
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "line.h"

#define DUMMY_SEGMENTS		65536U	/* in the pool of a channel */
#define DUMMY_TRANSFERS		1024U
#define DUMMY_PIECE_BYTES	65536U	/* moved without a look at anything else */
#define DUMMY_NO_SEGMENT	U32_MAX

/* What a profile does as its model in mainline does. */
#define DUMMY_BATCH		BIT(0)	/* starts when idle, one interrupt for all */
#define DUMMY_DISTURBED		BIT(1)	/* useless after a terminate until renewed */
#define DUMMY_NO_SYNCHRONIZE	BIT(2)	/* and a callback may come after terminate */
#define DUMMY_STALE_CALLBACKS	BIT(3)	/* segments remember an old callback */
#define DUMMY_REUSE		BIT(4)	/* descriptor reuse */
#define DUMMY_NO_RESULT		BIT(5)	/* completions say residue 0 whatever happened */

/**
 * struct dummy_profile - an engine that exists, in what it does differently
 * @name: of the driver and of its device; the core knows its quirks by it
 * @flags: see above
 * @channels: number of them
 * @widths: bus widths it takes, bit n for n bytes
 * @max_burst: longest burst, in beats
 * @length_multiple: every segment's length is a multiple of it
 * @granularity: of its residue while a transfer runs
 * @descriptors: default of the knob
 * @max_segment_bytes: default of the knob
 * @packet_ends: default of the knob
 * @width: of the device's port behind it
 * @burst: of the device's port behind it
 */
struct dummy_profile {
	const char *name;
	unsigned int flags;
	unsigned int channels;
	u32 widths;
	u32 max_burst;
	u32 length_multiple;
	enum dma_residue_granularity granularity;
	u32 descriptors;
	u32 max_segment_bytes;
	u32 packet_ends;
	u32 width;
	u32 burst;
};

/* What the platform code tells an engine about its wiring. */
struct dummy_engine_data {
	const struct dummy_profile *profile;
	struct dummy_line *lines;	/* profile->channels of them */
};

enum dummy_state {
	DUMMY_FREE,
	DUMMY_PREPARED,
	DUMMY_QUEUED,
	DUMMY_ACTIVE,
	DUMMY_DONE,
	DUMMY_CALLING,
	DUMMY_GHOST,
};

/* A segment; all of a channel's are one array, and lists in it by index. */
struct dummy_segment {
	dma_addr_t address;
	u32 bytes;
	u32 next;
};

/* A callback that somebody left behind. */
struct dummy_callback {
	dma_async_tx_callback function;
	dma_async_tx_callback_result with_result;
	void *param;
};

/* A callback to be made, in the order of ->done. */
struct dummy_call {
	struct list_head node;
	struct dummy_transfer *transfer;	/* whose completion it is, or NULL */
	struct dummy_callback callback;		/* else this one */
	struct dmaengine_result result;
	struct dummy_mark mark;
};

/**
 * struct dummy_transfer - a descriptor
 * @tx: what the client sees
 * @node: on one of the driver's lists
 * @hardware: on the hardware's list
 * @state: see above
 * @first: its first segment
 * @last: its last segment
 * @segments: number of them
 * @current_segment: where the hardware is
 * @segment_done: bytes of that segment that were moved
 * @bytes: of the whole transfer
 * @moved: bytes moved
 * @moved_segments: bytes moved into segments that are behind the hardware
 * @left: bytes the hardware may still put into it
 * @fail_at: fails after so many bytes
 * @begun: the hardware has looked at it
 * @completed: the driver has taken it for done
 * @result: how it went
 * @mark: the device's status words of its last byte
 * @call: its completion
 */
struct dummy_transfer {
	struct dma_async_tx_descriptor tx;
	struct list_head node;
	struct list_head hardware;
	enum dummy_state state;
	u32 first;
	u32 last;
	u32 segments;
	u32 current_segment;
	u32 segment_done;
	u64 bytes;
	u64 moved;
	u64 moved_segments;
	u64 left;
	u64 fail_at;
	bool begun;
	bool completed;
	enum dmaengine_tx_result result;
	struct dummy_mark mark;
	struct dummy_call call;
};

/**
 * struct dummy_channel - a channel: registers, lists, pools
 * @chan: what the client sees
 * @engine: whose it is
 * @line: where it is wired to
 * @config: from the client
 * @bus: held while data move, and to wait until none do; bottom halves off
 * @lock: guards everything below; any context; inside of @bus
 * @free: transfers in the pool
 * @prepared: see above
 * @submitted: see above
 * @active: see above
 * @done: calls to be made
 * @late: calls to be made late
 * @hardware: transfers the hardware works on, in order
 * @swapped: a completion that waits for the next one to overtake it
 * @room: bytes the hardware may still take
 * @generation: changes when the hardware's list is thrown away
 * @batch: packets and transfers until the interrupt; 0: idle
 * @paused: by the client
 * @disturbed: see DUMMY_DISTURBED
 * @released: nobody has the channel
 * @dead: the engine is going
 * @free_segment: first segment in the pool
 * @last_free_segment: last one; they are used in turn
 * @born_segments: segments ever used
 * @used_segments: segments not in the pool
 * @segments: the pool
 * @stale: callbacks that segments remember, or NULL
 * @transfers: the pool
 * @tasklet: calls back
 * @late_work: puts @late on @done
 * @thread: plays the hardware
 */
struct dummy_channel {
	struct dma_chan chan;
	struct dummy_engine *engine;
	struct dummy_line *line;
	struct dma_slave_config config;
	spinlock_t bus;		/* see above */
	spinlock_t lock;	/* see above */
	struct list_head free;
	struct list_head prepared;
	struct list_head submitted;
	struct list_head active;
	struct list_head done;
	struct list_head late;
	struct list_head hardware;
	struct dummy_transfer *swapped;
	u64 room;
	unsigned int generation;
	unsigned int batch;
	bool paused;
	bool disturbed;
	bool released;
	bool dead;
	u32 free_segment;
	u32 last_free_segment;
	u32 born_segments;
	u32 used_segments;
	struct dummy_segment *segments;
	struct dummy_callback *stale;
	struct dummy_transfer *transfers;
	struct tasklet_struct tasklet;
	struct delayed_work late_work;
	struct task_struct *thread;
};

struct dummy_engine {
	struct dma_device dma;
	const struct dummy_profile *profile;
	unsigned int count;
	struct dummy_channel channels[];
};

static inline struct dummy_channel *to_dummy_channel(struct dma_chan *chan)
{
	return container_of(chan, struct dummy_channel, chan);
}

static inline struct dummy_transfer *to_dummy_transfer(struct dma_async_tx_descriptor *tx)
{
	return container_of(tx, struct dummy_transfer, tx);
}

/* channel.c */
int dummy_channel_init(struct dummy_channel *c, struct dummy_engine *engine,
		       struct dummy_line *line);
int dummy_channel_power_on(struct dummy_channel *c);
void dummy_channel_power_off(struct dummy_channel *c);
void dummy_channel_free(struct dummy_channel *c);
struct dummy_transfer *dummy_channel_get(struct dummy_channel *c, u32 segments);
void dummy_channel_put(struct dummy_channel *c, struct dummy_transfer *t);
void dummy_channel_start(struct dummy_channel *c);
void dummy_channel_abort(struct dummy_channel *c);
void dummy_channel_tell_room(struct dummy_channel *c);
void dummy_channel_wait_bus(struct dummy_channel *c);
void dummy_channel_drop_calls(struct dummy_channel *c);

/* engine.c */
int dummy_engine_probe(struct dummy_engine_data *data, struct device *dev);
void dummy_engine_limits(struct dummy_line *line);

/* profile.c */
extern const struct dummy_profile dummy_profiles[];
int dummy_profiles_register(void);
void dummy_profiles_unregister(void);

#endif /* SGRING_DUMMY_ENGINE_H */

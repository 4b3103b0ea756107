/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring: slots, the buffers a device fills; see slot.c */
#ifndef SGRING_SLOT_H
#define SGRING_SLOT_H

#include <linux/list.h>
#include <linux/scatterlist.h>
#include <linux/types.h>
#include <linux/sgring.h>

#include "chunk.h"
#include "plan.h"

/**
 * struct sgring_slot - one buffer
 * @node: in the list of its state: dirty, at the gate, or none; under the stream's
 *	lock
 * @next: behind it in the queue of free slots; under the stream's lock
 * @chunks: its memory
 * @table: its DMA segments; nents of them mapped
 * @cookie: of the SQ entry that brought it
 * @index: its number
 * @state: enum sgring_slot_state, ownership as the kernel knows it; under the
 *	stream's lock
 * @mapped: @table is mapped for DMA
 * @gate_told: it has been reported, this time
 * @gate_chunk: the chunks before this one were seen idle since it was returned
 * @gate_since_ns: it waits at the gate since then
 */
struct sgring_slot {
	struct list_head node;
	struct sgring_slot *next;
	struct sgring_chunks *chunks;
	struct sg_table table;
	u64 cookie;
	u32 index;
	u32 state;
	bool mapped;
	bool gate_told;
	u32 gate_chunk;
	u64 gate_since_ns;
};

/**
 * struct sgring_queue - slots in order; only the first can be taken
 * @first: NULL: there are none
 * @last: valid if @first is
 */
struct sgring_queue {
	struct sgring_slot *first;
	struct sgring_slot *last;
};

/* Behind all others. */
static inline void sgring_queue_add(struct sgring_queue *queue, struct sgring_slot *slot)
{
	slot->next = NULL;
	if (queue->first)
		queue->last->next = slot;
	else
		queue->first = slot;
	queue->last = slot;
}

/* Before all others. */
static inline void sgring_queue_add_first(struct sgring_queue *queue, struct sgring_slot *slot)
{
	slot->next = queue->first;
	if (!queue->first)
		queue->last = slot;
	queue->first = slot;
}

/* The first goes. */
static inline void sgring_queue_take(struct sgring_queue *queue)
{
	queue->first = queue->first->next;
}

int sgring_slot_alloc(struct sgring_slot *slot, struct sgring_chunk_plan *plan);
int sgring_slot_map(struct sgring_slot *slot, u64 bytes, struct device *dev,
		    enum dma_data_direction dir, const struct sgring_limits *limits);
void sgring_slot_unmap(struct sgring_slot *slot, struct device *dev,
		       enum dma_data_direction dir);
void sgring_slot_free(struct sgring_slot *slot, bool leak);
bool sgring_slot_syncs(const struct sgring_slot *slot, struct device *dev);
bool sgring_slot_sync_costs(const struct sgring_slot *slot, struct device *dev);
bool sgring_slot_bounced(const struct sgring_slot *slot, struct device *dev);
u32 sgring_slot_runs(const struct sgring_slot *slot, u64 bytes, struct sgring_run *runs,
		     u32 room);

#endif /* SGRING_SLOT_H */

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
 * @node: in the list of its state: free, dirty, at the gate, or none; under the
 *	stream's lock
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

int sgring_slot_alloc(struct sgring_slot *slot, struct sgring_chunk_plan *plan);
int sgring_slot_map(struct sgring_slot *slot, u64 bytes, struct device *dev,
		    enum dma_data_direction dir, const struct sgring_limits *limits);
void sgring_slot_unmap(struct sgring_slot *slot, struct device *dev,
		       enum dma_data_direction dir);
void sgring_slot_free(struct sgring_slot *slot, bool leak);
bool sgring_slot_needs_sync(const struct sgring_slot *slot, struct device *dev);
bool sgring_slot_bounced(const struct sgring_slot *slot, struct device *dev);
u32 sgring_slot_runs(const struct sgring_slot *slot, u64 bytes, struct sgring_run *runs,
		     u32 room);

#endif /* SGRING_SLOT_H */

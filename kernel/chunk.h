/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring: chunks, the memory of a slot; see chunk.c */
#ifndef SGRING_CHUNK_H
#define SGRING_CHUNK_H

#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/types.h>

/* A set-up that is too large fails, quietly, and nobody is killed for it: lists, and pages. */
#define SGRING_GFP_QUIET	(__GFP_RETRY_MAYFAIL | __GFP_NOWARN)
#define SGRING_GFP_LIST		(GFP_KERNEL_ACCOUNT | SGRING_GFP_QUIET)

/**
 * struct sgring_chunk - one compound allocation
 * @page: its head
 * @order: its size is PAGE_SIZE << @order
 * @pages: of it in the slot: all, unless it is the last one and sticks out
 */
struct sgring_chunk {
	struct page *page;
	unsigned int order;
	unsigned int pages;
};

/**
 * struct sgring_chunks - all chunks of one slot; no other slot has any of them
 * @node: on the reaper's list, after close
 * @bytes: memory they take, charged to the device-wide limit
 * @count: number of chunks
 * @chunk: in the order in which they make up the slot
 */
struct sgring_chunks {
	struct list_head node;
	u64 bytes;
	unsigned int count;
	struct sgring_chunk chunk[];
};

/**
 * struct sgring_chunk_plan - how to allocate
 * @bytes: of the slot, a multiple of PAGE_SIZE
 * @order: largest order; with @equal the order of all
 * @least: smallest order, so that every chunk is a multiple of what the engine
 *	moves at a time; @bytes is a multiple of it too
 * @equal: no falling to lower orders, and the last chunk may stick out
 * @node: NUMA node or NUMA_NO_NODE
 * @zone: GFP zone flags, or 0
 * @hint: order that was to be had last; kept from slot to slot, so that
 *	fragmented memory is not asked in vain for every one
 */
struct sgring_chunk_plan {
	u64 bytes;
	unsigned int order;
	unsigned int least;
	bool equal;
	int node;
	gfp_t zone;
	unsigned int hint;
};

struct sgring_chunks *sgring_chunks_alloc(struct sgring_chunk_plan *plan);
void sgring_chunks_free(struct sgring_chunks *chunks);
void sgring_chunks_leak(struct sgring_chunks *chunks);

u64 sgring_memory_total(void);
u64 sgring_memory_total_max(void);
u64 sgring_memory_stream_max(void);
int sgring_memory_charge(u64 bytes);
void sgring_memory_uncharge(u64 bytes);

#endif /* SGRING_CHUNK_H */

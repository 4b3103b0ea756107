// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: chunks, the memory of a slot
 *
 * Owns the pages of all slots and the account of them. A chunk is one
 * __GFP_COMP allocation: its tail pages may be inserted into a VMA, a zerocopy
 * send merges them into one fragment, and the last reference of whatever kind
 * frees it. Process context throughout.
 */
#include <linux/atomic.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "chunk.h"
#include "compat.h"
#include "plan.h"
#include "reaper.h"

static unsigned int limit_stream_mb;
module_param(limit_stream_mb, uint, 0644);
MODULE_PARM_DESC(limit_stream_mb, "memory one stream may take, MiB (0: a quarter of the machine's)");

static unsigned int limit_total_mb;
module_param(limit_total_mb, uint, 0644);
MODULE_PARM_DESC(limit_total_mb, "memory all streams may take, MiB (0: half of the machine's)");

static atomic64_t memory_total;

static u64 limit_bytes(unsigned int mb, unsigned int fraction)
{
	if (mb)
		return (u64)mb << 20;
	return ((u64)totalram_pages() << PAGE_SHIFT) / fraction;
}

/* Memory in use by all streams and the reaper, bytes. Any context. */
u64 sgring_memory_total(void)
{
	return atomic64_read(&memory_total);
}

/* Its limit, bytes. */
u64 sgring_memory_total_max(void)
{
	return limit_bytes(READ_ONCE(limit_total_mb), 2);
}

/* The limit of one stream, bytes. */
u64 sgring_memory_stream_max(void)
{
	return limit_bytes(READ_ONCE(limit_stream_mb), 4);
}

/* Take @bytes out of the device-wide limit, or -EDQUOT. */
int sgring_memory_charge(u64 bytes)
{
	u64 limit = sgring_memory_total_max();

	if (bytes > limit || (u64)atomic64_add_return(bytes, &memory_total) > limit) {
		if (bytes <= limit)
			atomic64_sub(bytes, &memory_total);
		return -EDQUOT;
	}
	return 0;
}

/* Give @bytes back to the device-wide limit. */
void sgring_memory_uncharge(u64 bytes)
{
	atomic64_sub(bytes, &memory_total);
}

static struct page *chunk_alloc(const struct sgring_chunk_plan *plan, unsigned int order,
				bool last_resort)
{
	gfp_t gfp = GFP_USER | __GFP_ZERO | __GFP_COMP | SGRING_GFP_ACCOUNT | plan->zone;

	gfp |= last_resort ? SGRING_GFP_QUIET : __GFP_NORETRY | __GFP_NOWARN;
	return alloc_pages_node(plan->node, gfp, order);
}

/* Fill @list with chunks for the plan; their number or a negative errno. */
static int chunks_fill(struct sgring_chunk_plan *plan, struct sgring_chunk *list)
{
	unsigned int top = plan->equal ? plan->order : min(plan->order, plan->hint + 1);
	u64 left = plan->bytes >> PAGE_SHIFT;
	int count = 0;

	while (left) {
		unsigned int order = plan->equal ? top : sgring_plan_order(left, top);
		struct page *page;

		if (fatal_signal_pending(current))
			goto interrupted;
		page = chunk_alloc(plan, order, order <= plan->least);
		if (page) {
			list[count].page = page;
			list[count].order = order;
			list[count].pages = min_t(u64, left, 1ULL << order);
			left -= list[count++].pages;
			cond_resched();
			continue;
		}
		if (plan->equal || order <= plan->least)
			goto no_memory;
		top = order - 1;
	}
	plan->hint = top;
	return count;

no_memory:
	while (count--)
		__free_pages(list[count].page, list[count].order);
	return -ENOMEM;
interrupted:
	while (count--)
		__free_pages(list[count].page, list[count].order);
	return -EINTR;
}

/**
 * sgring_chunks_alloc() - memory for one slot
 * @plan: what is wanted; its hint is updated
 *
 * The caller has charged the bytes: plan->bytes, or with plan->equal rounded
 * up to whole chunks. They belong to the result from then on. May sleep;
 * a fatal signal ends it.
 *
 * Return: zeroed chunks, or an ERR_PTR: -ENOMEM, -EINTR.
 */
struct sgring_chunks *sgring_chunks_alloc(struct sgring_chunk_plan *plan)
{
	unsigned int room = plan->bytes >> PAGE_SHIFT;
	struct sgring_chunk *list;
	struct sgring_chunks *chunks;
	int count;

	if (plan->equal)
		room = DIV_ROUND_UP(room, 1U << plan->order);
	list = kvmalloc_array(room, sizeof(*list), SGRING_GFP_LIST);
	if (!list)
		return ERR_PTR(-ENOMEM);
	count = chunks_fill(plan, list);
	if (count < 0) {
		chunks = ERR_PTR(count);
		goto out;
	}
	chunks = kvmalloc(struct_size(chunks, chunk, count), SGRING_GFP_LIST);
	if (!chunks) {
		while (count--)
			__free_pages(list[count].page, list[count].order);
		chunks = ERR_PTR(-ENOMEM);
		goto out;
	}
	INIT_LIST_HEAD(&chunks->node);
	chunks->count = count;
	chunks->bytes = plan->equal ? (u64)room << (PAGE_SHIFT + plan->order) : plan->bytes;
	memcpy(chunks->chunk, list, array_size(count, sizeof(*list)));
out:
	kvfree(list);
	return chunks;
}

/**
 * sgring_chunks_free() - give up a slot's memory
 * @chunks: not used by anybody through us any more
 *
 * Pages somebody else still holds (an skb, a bio, a pipe) stay charged on the
 * reaper's list until they let go.
 */
void sgring_chunks_free(struct sgring_chunks *chunks)
{
	if (sgring_reap(chunks))
		sgring_reaper_add(chunks);
}

/**
 * sgring_chunks_leak() - abandon a slot's memory that an engine may still write
 * @chunks: from sgring_chunks_alloc()
 *
 * The pages are never freed and stay charged.
 */
void sgring_chunks_leak(struct sgring_chunks *chunks)
{
	kvfree(chunks);
}

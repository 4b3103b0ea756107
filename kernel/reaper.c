// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: the list of closed slots whose pages others still hold
 *
 * Dropping our reference at close would be safe: the last skb, bio or pipe
 * frees the pages. But then whoever opens, holds and closes again and again
 * could take any amount of memory past the limits. So the chunks wait here,
 * charged to the device-wide limit, until nobody else has them. There is no
 * event for that; a worker looks, slower and slower. Process context.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "chunk.h"
#include "reaper.h"

#define REAPER_PERIOD_MIN	(HZ / 20 ?: 1)
#define REAPER_PERIOD_MAX	HZ

static void reaper_work(struct work_struct *work);

static DEFINE_MUTEX(reaper_lock);
static LIST_HEAD(reaper_list);
static DECLARE_DELAYED_WORK(reaper, reaper_work);
static unsigned long reaper_period = REAPER_PERIOD_MIN;
static u64 reaper_bytes;

static void chunks_finish(struct sgring_chunks *chunks)
{
	sgring_memory_uncharge(chunks->bytes);
	kvfree(chunks);
}

/**
 * sgring_reap() - free the chunks of a slot that only we hold
 * @chunks: those that are freed are taken out of the array and uncharged;
 *	when none is left, @chunks itself is freed
 *
 * Return: true if some are still held.
 */
bool sgring_reap(struct sgring_chunks *chunks)
{
	unsigned int i, left = 0;
	u64 freed = 0;

	for (i = 0; i < chunks->count; i++) {
		struct sgring_chunk *chunk = &chunks->chunk[i];

		if (page_ref_count(chunk->page) > 1) {
			chunks->chunk[left++] = *chunk;
			continue;
		}
		freed += PAGE_SIZE << chunk->order;
		__free_pages(chunk->page, chunk->order);
		cond_resched();
	}
	chunks->count = left;
	if (!left) {
		chunks_finish(chunks);
		return false;
	}
	chunks->bytes -= freed;
	sgring_memory_uncharge(freed);
	return true;
}

static void reaper_work(struct work_struct *work)
{
	struct sgring_chunks *chunks, *next;
	u64 held = 0;

	mutex_lock(&reaper_lock);
	list_for_each_entry_safe(chunks, next, &reaper_list, node) {
		list_del(&chunks->node);
		if (sgring_reap(chunks)) {
			held += chunks->bytes;
			list_add_tail(&chunks->node, &next->node);
		}
		cond_resched();
	}
	reaper_period = held < reaper_bytes ? REAPER_PERIOD_MIN :
			min_t(unsigned long, reaper_period * 2, REAPER_PERIOD_MAX);
	WRITE_ONCE(reaper_bytes, held);
	if (held)
		schedule_delayed_work(&reaper, reaper_period);
	mutex_unlock(&reaper_lock);
}

/**
 * sgring_reaper_add() - wait for the others to let go
 * @chunks: what sgring_reap() left
 */
void sgring_reaper_add(struct sgring_chunks *chunks)
{
	mutex_lock(&reaper_lock);
	list_add_tail(&chunks->node, &reaper_list);
	WRITE_ONCE(reaper_bytes, reaper_bytes + chunks->bytes);
	reaper_period = REAPER_PERIOD_MIN;
	schedule_delayed_work(&reaper, reaper_period);
	mutex_unlock(&reaper_lock);
}

/* Memory on the list, bytes. Any context. */
u64 sgring_reaper_bytes(void)
{
	return READ_ONCE(reaper_bytes);
}

/* Slots on the list. Process context. */
u32 sgring_reaper_slots(void)
{
	struct sgring_chunks *chunks;
	u32 slots = 0;

	mutex_lock(&reaper_lock);
	list_for_each_entry(chunks, &reaper_list, node) {
		slots++;
		cond_resched();
	}
	mutex_unlock(&reaper_lock);
	return slots;
}

/* Module exit: drop our references; the last holder frees the pages. */
void sgring_reaper_exit(void)
{
	struct sgring_chunks *chunks, *next;
	unsigned int i;

	cancel_delayed_work_sync(&reaper);
	list_for_each_entry_safe(chunks, next, &reaper_list, node) {
		for (i = 0; i < chunks->count; i++)
			__free_pages(chunks->chunk[i].page, chunks->chunk[i].order);
		list_del(&chunks->node);
		chunks_finish(chunks);
	}
}

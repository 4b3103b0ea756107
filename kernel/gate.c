// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: the gate, where a returned slot waits while others hold its pages
 *
 * Whoever sends a slot without a copy and returns it at once has told the
 * truth about itself, not about its pages: an skb, a bio or a pipe may have
 * them for some time yet. Each of those has a reference to the chunk. So has
 * each page table entry; and we have one. Nothing else may be left before the
 * engine gets the slot.
 *
 * Neither count is ours, and they are not read at one moment. A page table
 * entry takes its reference before it is counted as a mapping, and is
 * uncounted before it drops it: so a mapping half made or half undone looks
 * like a holder. While mappings only go (munmap, MADV_DONTNEED, a killed
 * owner), references read before mappings err on the safe side; while they
 * only come, references read after them do. Hence both, and they must agree.
 * The mappings are counted live: what we have inserted may have been zapped
 * since, and its reference with it.
 *
 * Counting takes a read of every page before 6.10. There it is spared while the mapping
 * is known to be whole: nothing was taken from it since the last page was put in,
 * of which we would have been told before. References read while that was so are
 * ours, one for each page, and those of holders.
 *
 * A chunk once seen idle stays so. Only the application could make new
 * references to it, by sending what it has returned.
 *
 * Nobody tells when a reference goes. When to look again is the caller's
 * matter; see pump.c. Under the stream's lock, any context.
 */
#include <linux/mm.h>

#include "compat.h"
#include "gate.h"
#include "slot.h"

static bool chunk_idle(const struct sgring_gate *gate, const struct sgring_chunk *chunk,
		       unsigned int mappings)
{
	unsigned int whole = smp_load_acquire(&gate->whole); /* as below */
	int references = page_ref_count(chunk->page);

	/* Ours; a mapping would have one too. */
	if (references == 1)
		return true;
	if ((whole & 1) && references - 1 == chunk->pages) {
		smp_rmb(); /* whole, references, whole; pairs with sgring_gate_whole() */
		if (READ_ONCE(gate->whole) == whole)
			return true;
	}
	/* More than that can be is not worth counting. */
	if (references - 1LL > (s64)mappings << chunk->order)
		return false;
	smp_rmb(); /* both: references, mappings, references; see the head of this file */
	if (references != 1 + sgring_mapcount(chunk->page, chunk->order))
		return false;
	smp_rmb(); /* as above */
	return page_ref_count(chunk->page) == references;
}

/**
 * sgring_gate_whole() - is the owner's mapping whole?
 * @gate: of the stream
 * @whole: true: each page of each slot is mapped once; false: some are about to go
 *
 * Any context. Told true when the last page is in and no other call can come, false
 * before the first page goes, and more than once perhaps.
 */
void sgring_gate_whole(struct sgring_gate *gate, bool whole)
{
	unsigned int now = READ_ONCE(gate->whole);

	if ((now & 1) == whole)
		return;
	smp_mb(); /* references come, then whole; pairs with chunk_idle() */
	WRITE_ONCE(gate->whole, now + 1);
	smp_mb(); /* not whole, then references go; pairs with chunk_idle() */
}

/**
 * sgring_gate_idle() - does nobody else hold a slot's pages?
 * @gate: of the stream
 * @slot: returned; its gate_chunk is where the next look goes on, 0 at first
 * @mappings: how often each of its pages may be mapped at most
 *
 * As long as somebody does, a look costs one read of one chunk's references.
 * Before 6.10, the last look at each mapped chunk reads every page's count, unless
 * the mapping is whole.
 *
 * Return: true: the engine may have it.
 */
bool sgring_gate_idle(const struct sgring_gate *gate, struct sgring_slot *slot,
		      unsigned int mappings)
{
	const struct sgring_chunks *chunks = slot->chunks;

	for (; slot->gate_chunk < chunks->count; slot->gate_chunk++)
		if (!chunk_idle(gate, &chunks->chunk[slot->gate_chunk], mappings))
			return false;
	return true;
}

/* Nobody waits; also before the slots go with whoever does. */
void sgring_gate_init(struct sgring_gate *gate)
{
	INIT_LIST_HEAD(&gate->slots);
	gate->next = &gate->slots;
	gate->count = 0;
}

/**
 * sgring_gate_add() - a slot begins to wait
 * @gate: where
 * @slot: on no list
 * @now_ns: the time, of which it is only known that it goes on
 */
void sgring_gate_add(struct sgring_gate *gate, struct sgring_slot *slot, u64 now_ns)
{
	slot->gate_since_ns = now_ns;
	slot->gate_told = false;
	list_add_tail(&slot->node, &gate->slots);
	gate->count++;
}

/* @slot, which waits, has passed: on no list again. */
void sgring_gate_remove(struct sgring_gate *gate, struct sgring_slot *slot)
{
	if (gate->next == &slot->node)
		gate->next = slot->node.next;
	list_del_init(&slot->node);
	gate->count--;
}

/**
 * sgring_gate_next() - whose turn it is to be looked at
 * @gate: where at least one waits
 *
 * As many calls as slots wait name each of them once, oldest first, however
 * they are spread over passes: one that is held for good keeps no other back.
 *
 * Return: the slot.
 */
struct sgring_slot *sgring_gate_next(struct sgring_gate *gate)
{
	struct sgring_slot *slot;

	if (gate->next == &gate->slots)
		gate->next = gate->slots.next;
	slot = list_entry(gate->next, struct sgring_slot, node);
	gate->next = slot->node.next;
	return slot;
}

/* The slot that waits longest, or NULL. */
struct sgring_slot *sgring_gate_oldest(struct sgring_gate *gate)
{
	return list_first_entry_or_null(&gate->slots, struct sgring_slot, node);
}

/* What keeps @slot, which waits, at the gate: of the chunk its last look ended at. */
struct sgring_hold sgring_gate_hold(const struct sgring_slot *slot)
{
	const struct sgring_chunk *chunk = &slot->chunks->chunk[slot->gate_chunk];

	return (struct sgring_hold) {
		.references = page_ref_count(chunk->page),
		.mappings = sgring_mapcount(chunk->page, chunk->order),
		.pinned = sgring_maybe_pinned(chunk->page),
	};
}

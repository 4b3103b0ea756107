/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring: the gate, where a returned slot waits while others hold its pages; see gate.c */
#ifndef SGRING_GATE_H
#define SGRING_GATE_H

#include <linux/list.h>
#include <linux/types.h>

struct sgring_slot;

/**
 * struct sgring_gate - the slots that wait
 * @slots: oldest first
 * @next: the one to look at next, or the list itself: from the oldest on
 * @count: how many there are
 * @whole: odd: each page of each slot is mapped just once; counts up whenever that
 *	changes; any context
 */
struct sgring_gate {
	struct list_head slots;
	struct list_head *next;
	u32 count;
	unsigned int whole;
};

/**
 * struct sgring_hold - what is seen of a chunk that keeps its slot at the gate; for people
 * @references: to it, ours included
 * @mappings: of them, page table entries
 * @pinned: for DMA, and perhaps for good
 */
struct sgring_hold {
	int references;
	int mappings;
	bool pinned;
};

void sgring_gate_init(struct sgring_gate *gate);
void sgring_gate_whole(struct sgring_gate *gate, bool whole);
bool sgring_gate_idle(const struct sgring_gate *gate, struct sgring_slot *slot,
		      unsigned int mappings);
void sgring_gate_add(struct sgring_gate *gate, struct sgring_slot *slot, u64 now_ns);
void sgring_gate_remove(struct sgring_gate *gate, struct sgring_slot *slot);
struct sgring_slot *sgring_gate_next(struct sgring_gate *gate);
struct sgring_slot *sgring_gate_oldest(struct sgring_gate *gate);
struct sgring_hold sgring_gate_hold(const struct sgring_slot *slot);

#endif /* SGRING_GATE_H */

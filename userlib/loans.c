/* SPDX-License-Identifier: MIT */
/*
 * libsgring: numbers of the pieces lent to the kernel
 *
 * Numbers are 32 bit, count up by one and wrap around. Those from first to
 * next - 1 are in the ring, at number & (room - 1).
 */
#include <errno.h>
#include <stdlib.h>

#include "tx.h"

#define ROOM_MAX (1U << 24)

int sgring_loans_init(struct sgring_loans *l, uint32_t room)
{
	*l = (struct sgring_loans){ .room = 64 };
	while (l->room < room && l->room < ROOM_MAX)
		l->room *= 2;
	l->slot_of = malloc(l->room * sizeof(*l->slot_of));
	return l->slot_of ? 0 : sgring_fail(ENOMEM, "no memory");
}

void sgring_loans_free(struct sgring_loans *l)
{
	free(l->slot_of);
	*l = (struct sgring_loans){ 0 };
}

int sgring_loans_reserve(struct sgring_loans *l)
{
	uint32_t room = l->room * 2, i, *bigger;

	if (sgring_loans_out(l) < l->room)
		return 0;
	bigger = room <= ROOM_MAX ? malloc(room * sizeof(*bigger)) : NULL;
	if (!bigger)
		return sgring_fail(ENOMEM, "no memory to track %u sends", sgring_loans_out(l));
	for (i = l->first; i != l->next; i++)
		bigger[i & (room - 1)] = l->slot_of[i & (l->room - 1)];
	free(l->slot_of);
	l->slot_of = bigger;
	l->room = room;
	return 0;
}

void sgring_loans_add(struct sgring_loans *l, uint32_t slot)
{
	l->slot_of[l->next++ & (l->room - 1)] = slot;
}

int sgring_loans_done(struct sgring_loans *l, uint32_t low, uint32_t high,
		      void (*done)(void *context, uint32_t slot), void *context)
{
	uint32_t out = sgring_loans_out(l), i, *slot;
	int count = 0, strange = 0;

	/* Distances from the oldest: the wrap-around drops out. */
	low -= l->first;
	high -= l->first;
	if (low >= out || high >= out || low > high)
		return -EPROTO;
	for (i = l->first + low; i != l->first + high + 1; i++) {
		slot = &l->slot_of[i & (l->room - 1)];
		if (*slot == SGRING_NO_SLOT) {
			strange = 1;
			continue;
		}
		done(context, *slot);
		*slot = SGRING_NO_SLOT;
		count++;
	}
	while (l->first != l->next && l->slot_of[l->first & (l->room - 1)] == SGRING_NO_SLOT)
		l->first++;
	return strange ? -EPROTO : count;
}

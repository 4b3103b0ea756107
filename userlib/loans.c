/* SPDX-License-Identifier: MIT */
/*
 * libsgring: numbers of what is lent to the kernel
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
	l->ring = malloc(l->room * sizeof(*l->ring));
	return l->ring ? 0 : sgring_fail(ENOMEM, "no memory");
}

void sgring_loans_free(struct sgring_loans *l)
{
	free(l->ring);
	*l = (struct sgring_loans){ 0 };
}

int sgring_loans_reserve(struct sgring_loans *l)
{
	uint32_t room = l->room * 2, i;
	struct sgring_loan *bigger;

	if (sgring_loans_out(l) < l->room)
		return 0;
	bigger = room <= ROOM_MAX ? malloc(room * sizeof(*bigger)) : NULL;
	if (!bigger)
		return sgring_fail(ENOMEM, "no memory to track %u sends", sgring_loans_out(l));
	for (i = l->first; i != l->next; i++)
		bigger[i & (room - 1)] = l->ring[i & (l->room - 1)];
	free(l->ring);
	l->ring = bigger;
	l->room = room;
	return 0;
}

void sgring_loans_add(struct sgring_loans *l, uint32_t first, uint32_t items)
{
	l->ring[l->next++ & (l->room - 1)] = (struct sgring_loan){ first, items };
}

int sgring_loans_done(struct sgring_loans *l, uint32_t low, uint32_t high,
		      void (*done)(void *context, const struct sgring_loan *loan), void *context)
{
	uint32_t out = sgring_loans_out(l), i;
	struct sgring_loan *loan;
	int count = 0, strange = 0;

	/* Distances from the oldest: the wrap-around drops out. */
	low -= l->first;
	high -= l->first;
	if (low >= out || high >= out || low > high)
		return -EPROTO;
	for (i = l->first + low; i != l->first + high + 1; i++) {
		loan = &l->ring[i & (l->room - 1)];
		if (!loan->items) {
			strange = 1;
			continue;
		}
		done(context, loan);
		loan->items = 0;
		count++;
	}
	while (l->first != l->next && !l->ring[l->first & (l->room - 1)].items)
		l->first++;
	return strange ? -EPROTO : count;
}

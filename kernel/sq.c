// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring: the kernel's side of the SQ
 *
 * Everything in it is the application's, and may change while it is looked at.
 * Under the stream's lock, any context. Model: tests/model/rings.pml.
 */
#include <linux/errno.h>
#include <linux/string.h>

#include "rings.h"

/**
 * sgring_sq_used() - entries to take
 * @rings: any
 *
 * The producer is read here, once per pass: a pass never chases it.
 *
 * Return: their number, at most the ring's size, or -ERANGE if the producer is
 * not within the ring.
 */
int sgring_sq_used(const struct sgring_rings *rings)
{
	u32 producer = sgring_load_acquire(&rings->user->sq_producer); /* B, M */
	u32 used = sgring_ring_used(producer, rings->sq_consumer);

	return used > rings->sq_entries ? -ERANGE : (int)used;
}

/**
 * sgring_sq_copy() - copy an entry; only the copy may be checked and used
 * @rings: any
 * @nth: which, from the consumer on; less than sgring_sq_used()
 * @sqe: where to
 */
void sgring_sq_copy(const struct sgring_rings *rings, u32 nth, struct sgring_sqe *sqe)
{
	const struct sgring_sqe *shared =
		&rings->sqes[(rings->sq_consumer + nth) & (rings->sq_entries - 1)];

	sqe->cookie = READ_ONCE(shared->cookie);
	sqe->slot = READ_ONCE(shared->slot);
	sqe->offset_bytes = READ_ONCE(shared->offset_bytes);
	sqe->length_bytes = READ_ONCE(shared->length_bytes);
	sqe->flags = READ_ONCE(shared->flags);
	sqe->reserved = READ_ONCE(shared->reserved);
}

/* Give @count entries back to the application. */
void sgring_sq_taken(struct sgring_rings *rings, u32 count)
{
	rings->sq_consumer += count;
	sgring_store_release(&rings->kernel->sq_consumer, rings->sq_consumer); /* C */
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring: the kernel's side of the CQ
 *
 * Writes entries, never reads them back. The consumer index is the
 * application's: it is read once per question and may be any number.
 * Under the stream's lock, any context. Models: tests/model/rings.pml and wait.pml.
 */
#include <linux/errno.h>
#include <linux/string.h>

#include "rings.h"

/* The consumer as the application has it now, unchecked. */
u32 sgring_cq_consumer(const struct sgring_rings *rings)
{
	return sgring_load_acquire(&rings->user->cq_consumer); /* H */
}

/**
 * sgring_cq_pending() - entries the application has not consumed
 * @rings: any
 *
 * Return: their number, or -ERANGE if its index is not within the ring.
 */
int sgring_cq_pending(const struct sgring_rings *rings)
{
	u32 used = sgring_ring_used(rings->cq_producer, sgring_cq_consumer(rings));

	return used > rings->cq_entries ? -ERANGE : (int)used;
}

/**
 * sgring_cq_room() - entries that can be written
 * @rings: any
 *
 * Return: their number, or -ERANGE as for sgring_cq_pending().
 */
int sgring_cq_room(const struct sgring_rings *rings)
{
	int used = sgring_cq_pending(rings);

	return used < 0 ? used : (int)rings->cq_entries - used;
}

/**
 * sgring_cq_next() - the entry to be written next
 * @rings: with room, reserved by whoever gave the engine the slot
 *
 * Return: where to write it, all of it.
 */
struct sgring_cqe *sgring_cq_next(const struct sgring_rings *rings)
{
	return &rings->cqes[rings->cq_producer & (rings->cq_entries - 1)];
}

/* The entry of sgring_cq_next() is whole. */
void sgring_cq_publish(struct sgring_rings *rings)
{
	rings->cq_producer++;
	sgring_store_release(&rings->kernel->cq_producer, rings->cq_producer); /* E */
}

/* Both: write an entry and publish it. */
void sgring_cq_post(struct sgring_rings *rings, const struct sgring_cqe *cqe)
{
	*sgring_cq_next(rings) = *cqe;
	sgring_cq_publish(rings);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring: the slot table, for those who look on
 *
 * A copy for everybody to read; the kernel never reads it. Under the stream's
 * lock, any context.
 */
#include "rings.h"

/* Slot @slot is in @state (enum sgring_slot_state) from @time_ns on. */
void sgring_table_state(struct sgring_rings *rings, u32 slot, u32 state, u64 time_ns)
{
	struct sgring_slot_info *info = &rings->table[slot];

	WRITE_ONCE(info->state, state);
	WRITE_ONCE(info->time_ns, time_ns);
}

/* The engine is about to get slot @slot: copies begun before are void. */
void sgring_table_generation(struct sgring_rings *rings, u32 slot)
{
	struct sgring_slot_info *info = &rings->table[slot];

	WRITE_ONCE(info->generation, info->generation + 1);
	smp_wmb(); /* before any of the new data; the reader has smp_rmb() twice */
}

/* Slot @slot holds the transfer @sequence, from stream position @position on. */
void sgring_table_transfer(struct sgring_rings *rings, u32 slot, u64 sequence, u64 position)
{
	struct sgring_slot_info *info = &rings->table[slot];

	WRITE_ONCE(info->sequence, sequence);
	WRITE_ONCE(info->position_bytes, position);
}

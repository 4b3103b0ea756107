// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring: the slot table, for those who look on
 *
 * A copy for everybody to read; the kernel reads back nothing but a time. Under
 * the stream's lock, any context.
 */
#ifdef __KERNEL__
#include <linux/bitops.h>
#include <linux/math64.h>
#include <linux/time64.h>
#endif

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

/**
 * sgring_table_usec_log2() - how long a slot has been in its state
 * @rings: any
 * @slot: whose
 * @now_ns: by the clock of sgring_table_state()
 *
 * Return: as &struct sgring_stats has it: 0 below 1 us, i below 2^i us, at most 31;
 * 0 too, if the clock was set back.
 */
u32 sgring_table_usec_log2(const struct sgring_rings *rings, u32 slot, u64 now_ns)
{
	s64 ns = now_ns - rings->table[slot].time_ns;
	u32 bits = ns > 0 ? fls64(div_u64(ns, NSEC_PER_USEC)) : 0;

	return bits < SGRING_USEC_LOG2 ? bits : SGRING_USEC_LOG2 - 1;
}

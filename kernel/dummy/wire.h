/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring-dummy: the wires between a DMA channel and the device behind it
 *
 * All that joins the two halves, and what hardware would join: data with an end
 * of packet beside it, how much the engine can take, and the device's status
 * words of a finished transfer. The engine half (engine.c, channel.c) knows
 * nothing else of the device; the device half (source.c, device.c) knows nothing
 * of descriptors.
 */
#ifndef SGRING_DUMMY_WIRE_H
#define SGRING_DUMMY_WIRE_H

#include <linux/compiler.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/wait.h>

struct dummy_source;

/**
 * struct dummy_mark - the device's status words as of some byte
 * @lost_bytes: bytes lost since the start that lie before this byte; not those
 *	between this byte and the next
 * @time_ns: the device's time, from its start
 * @last: this byte ended a packet
 */
struct dummy_mark {
	u64 lost_bytes;
	u64 time_ns;
	bool last;
};

/**
 * struct dummy_bell - wakes the thread that plays a channel's hardware
 * @queue: where it sleeps
 * @rung: something changed since it last looked
 */
struct dummy_bell {
	wait_queue_head_t queue;
	int rung;
};

static inline void dummy_bell_init(struct dummy_bell *bell)
{
	init_waitqueue_head(&bell->queue);
	bell->rung = 0;
}

/* Any context. */
static inline void dummy_bell_ring(struct dummy_bell *bell)
{
	WRITE_ONCE(bell->rung, 1);
	wake_up(&bell->queue);
}

/* Implemented by source.c. */
size_t dummy_wire_take(struct dummy_source *source, void *to, size_t bytes,
		       struct dummy_mark *mark, u64 *wait_ns);
void dummy_wire_room(struct dummy_source *source, u64 bytes);
bool dummy_wire_mid_packet(struct dummy_source *source);
void dummy_wire_reset(struct dummy_source *source);
void dummy_wire_finished(struct dummy_source *source, const struct dummy_mark *mark);

#endif /* SGRING_DUMMY_WIRE_H */

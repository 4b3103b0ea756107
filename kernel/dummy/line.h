/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring-dummy: one line: a DMA channel, the device behind it and the bench's knobs
 *
 * Lines are there as long as the module, so that knobs and counters outlive an
 * engine or a device that is unbound. main.c makes them.
 */
#ifndef SGRING_DUMMY_LINE_H
#define SGRING_DUMMY_LINE_H

#include <linux/atomic.h>
#include <linux/mutex.h>
#include <linux/types.h>

#include "source.h"
#include "wire.h"

#define DUMMY_LINES	8

struct dummy_channel;
struct dummy_profile;
struct device;

enum dummy_residue {
	DUMMY_RESIDUE_OK,
	DUMMY_RESIDUE_NONE,	/* granularity DESCRIPTOR, and no residue anywhere */
	DUMMY_RESIDUE_BOGUS,	/* larger than the transfer */
};

/**
 * struct dummy_faults - what the bench does to a channel, and counts there
 * @fail_next: so many transfers fail
 * @fail_after_bytes: after so many bytes
 * @prep_fail_next: so many preparations give NULL
 * @duplicate_next: so many completions call back twice
 * @reorder_next: so many times the next two completions are swapped
 * @late_next: so many terminations leave a callback behind
 * @stall: the engine moves nothing
 * @hold_completion: transfers are done, but nobody is called back
 * @terminate_fail: terminate_all fails and the engine goes on
 * @packet_ends: the engine sees packet ends and ends its transfer with them
 * @residue: what it says about residues
 * @descriptors: limit of segments in all transfers that are not yet given back
 * @max_segments: limit of segments in a transfer; 0: none
 * @max_segment_bytes: limit of bytes in a segment
 * @boundary: no segment crosses a multiple of it, a power of two; 0: none
 * @transfers: transfers completed
 * @callbacks: callbacks made
 * @violations: requests that broke a rule
 * @terminated_mid_packet: terminations in the middle of a packet
 * @queued: transfers prepared and not yet given back
 *
 * The knobs are read once where they matter, without a lock.
 */
struct dummy_faults {
	atomic_t fail_next;
	u64 fail_after_bytes;
	atomic_t prep_fail_next;
	atomic_t duplicate_next;
	atomic_t reorder_next;
	atomic_t late_next;
	u32 stall;
	u32 hold_completion;
	u32 terminate_fail;
	u32 packet_ends;
	u32 residue;
	u32 descriptors;
	u32 max_segments;
	u32 max_segment_bytes;
	u64 boundary;

	atomic64_t transfers;
	atomic64_t callbacks;
	atomic64_t violations;
	atomic64_t terminated_mid_packet;
	atomic_t queued;
};

/**
 * struct dummy_line - see above
 * @index: number of the line, and the default of its pattern
 * @label: name of the stream
 * @devname: name of its device
 * @plain: a FIFO that nobody starts or stops; its driver is sgring-fifo
 * @profile: of the engine
 * @bell: wakes the engine's thread
 * @source: the device
 * @faults: the bench
 * @lock: guards what follows; process context
 * @channel: of the bound engine, or NULL
 * @device: the device that streams
 * @width: bytes of a beat of the device's port
 * @burst: beats of a burst
 */
struct dummy_line {
	unsigned int index;
	const char *label;
	const char *devname;
	bool plain;
	const struct dummy_profile *profile;
	struct dummy_bell bell;
	struct dummy_source source;
	struct dummy_faults faults;

	struct mutex lock;	/* see above */
	struct dummy_channel *channel;
	struct device *device;
	u32 width;
	u32 burst;
};

#endif /* SGRING_DUMMY_LINE_H */

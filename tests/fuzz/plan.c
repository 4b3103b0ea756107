/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing kernel/plan.h: how slots are cut, within limits that an engine or an application names
 *
 * Limits are any that kernel/engine.c lets pass: at least a whole unit in a segment.
 */
#include "fuzz.h"
#include "plan.h"

#define SEGMENTS_MOST 4096U

static void order(struct input *in)
{
	uint64_t pages = take(in, 8);
	unsigned int most = (unsigned int)take(in, 1) % 64, got;

	pages += !pages;
	got = sgring_plan_order(pages, most);
	claim(got <= most && got < 64 && 1ULL << got <= pages);
	claim(got == most || got == 63 || pages / 2 < 1ULL << got);
}

/* Room for one more segment at @offset, by other words than the plan's. */
static uint64_t room(const struct sgring_limits *l, uint64_t offset)
{
	unsigned __int128 most = l->segment_bytes, next;

	if (l->boundary_mask) {
		next = ((unsigned __int128)offset / ((unsigned __int128)l->boundary_mask + 1) + 1) *
		       ((unsigned __int128)l->boundary_mask + 1);
		most = next - offset < most ? next - offset : most;
	}
	return (uint64_t)most;
}

static void segments(const struct sgring_limits *l, uint64_t bytes)
{
	uint64_t offset = 0, count = 0, length;

	/* More of them are the same again, and slow. */
	if (bytes / (l->segment_bytes < l->boundary_mask ? l->segment_bytes : l->boundary_mask + 1) >
	    SEGMENTS_MOST)
		return;
	while (offset < bytes && count <= 4 * SEGMENTS_MOST) {
		length = sgring_plan_segment(offset, bytes - offset, l);
		if (!length) {
			claim(room(l, offset) < l->align);
			claim(!sgring_plan_segments(bytes, l));
			return;
		}
		claim(length <= bytes - offset && length <= room(l, offset));
		claim(length % l->align == 0 || length == bytes - offset);
		/* As long as it may be. */
		claim(length == bytes - offset || length + l->align > room(l, offset));
		offset += length;
		count++;
	}
	if (offset == bytes)
		claim(sgring_plan_segments(bytes, l) == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	while (in.left) {
		struct sgring_limits l = { .segments = 0 };
		uint64_t bytes;

		order(&in);
		l.align = (uint32_t)take(&in, 4);
		l.align += !l.align;
		l.segment_bytes = take(&in, take(&in, 1) & 1 ? 8 : 2);
		if (l.segment_bytes < l.align)
			l.segment_bytes = l.align;
		/* A mask of a power of two, as drivers have; or 0. */
		l.boundary_mask = (1ULL << take(&in, 1) % 64) - 1;
		bytes = take(&in, 4) + 1;
		segments(&l, bytes);
	}
	return 0;
}

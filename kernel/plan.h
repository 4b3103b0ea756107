/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * sgring: how a slot is cut into chunks, and chunks into DMA segments
 *
 * Arithmetic only, no memory and no kernel: tests/unit compiles it as it is.
 */
#ifndef SGRING_PLAN_H
#define SGRING_PLAN_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/math64.h>
#endif

/**
 * struct sgring_limits - what one DMA segment and one slot may be
 * @segment_bytes: largest segment, at least @align
 * @boundary_mask: no segment crosses a multiple of it plus 1; 0: none
 * @segments: most segments in a slot; 0: no limit
 * @align: start and length of every segment are multiples of it
 */
struct sgring_limits {
	__u64 segment_bytes;
	__u64 boundary_mask;
	__u32 segments;
	__u32 align;
};

/* @bytes rounded down to a multiple of @align, on 32-bit kernels too. */
static inline __u64 sgring_plan_align(__u64 bytes, __u32 align)
{
#ifdef __KERNEL__
	return div_u64(bytes, align) * align;
#else
	return bytes / align * align;
#endif
}

/**
 * sgring_plan_order() - order of the next chunk
 * @pages: pages still missing in the slot, at least 1
 * @max_order: largest order allowed now
 *
 * Return: the largest order that fits into @pages and is not above @max_order.
 */
static inline unsigned int sgring_plan_order(__u64 pages, unsigned int max_order)
{
	unsigned int order = 0;

	while (order < max_order && (pages >> (order + 1)))
		order++;
	return order;
}

/**
 * sgring_plan_segment() - length of the next DMA segment in a chunk
 * @offset: where it starts in the chunk; chunks are aligned to their size
 * @bytes: bytes left in the chunk, or in the slot if that is less; at least 1
 * @limits: see above
 *
 * Return: its length, at least 1, or 0 if the limits leave no room for any.
 */
static inline __u64 sgring_plan_segment(__u64 offset, __u64 bytes,
					const struct sgring_limits *limits)
{
	__u64 most = limits->segment_bytes;
	__u64 to_boundary;

	if (limits->boundary_mask) {
		to_boundary = limits->boundary_mask + 1 - (offset & limits->boundary_mask);
		if (to_boundary < most)
			most = to_boundary;
	}
	if (bytes <= most)
		return bytes;
	return sgring_plan_align(most, limits->align);
}

/**
 * sgring_plan_segments() - number of segments in a chunk
 * @bytes: bytes used in the chunk
 * @limits: see above
 *
 * Return: segments, or 0 if the limits leave no room for any.
 */
static inline __u64 sgring_plan_segments(__u64 bytes, const struct sgring_limits *limits)
{
	__u64 offset = 0, segments = 0, length;

	for (; offset < bytes; segments++) {
		length = sgring_plan_segment(offset, bytes - offset, limits);
		if (!length)
			return 0;
		offset += length;
	}
	return segments;
}

#endif /* SGRING_PLAN_H */

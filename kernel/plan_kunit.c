// SPDX-License-Identifier: GPL-2.0-only
/* sgring: KUnit tests of plan.h, how a slot is cut into chunks and segments */
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/mm.h>

#include "compat.h"
#include "plan.h"
#include "sgring_kunit.h"

/*
 * Cut @pages into chunks by an allocator that has nothing above order @have: each chunk the
 * largest that fits, none larger than the one before it, together all pages and no more.
 */
static unsigned int cut(struct kunit *test, u64 pages, unsigned int have, unsigned int least)
{
	unsigned int top = SGRING_MAX_ORDER, previous = SGRING_MAX_ORDER, count = 0;

	while (pages) {
		unsigned int order = sgring_plan_order(pages, top);

		if (order > have) {
			top = order - 1;
			continue;
		}
		KUNIT_ASSERT_TRUE(test, order <= previous && order >= least);
		KUNIT_ASSERT_TRUE(test, 1ULL << order <= pages);
		KUNIT_ASSERT_TRUE(test, order == top || pages < 2ULL << order);
		pages -= 1ULL << order;
		previous = order;
		count++;
	}
	return count;
}

static void orders_descend_and_cover_every_page(struct kunit *test)
{
	unsigned int have;
	u64 pages;

	for (have = 0; have <= SGRING_MAX_ORDER; have += 3)
		for (pages = 1; pages < 3000; pages += 1 + pages / 7)
			cut(test, pages, have, 0);
	/* 12,345,678 bytes of 4 KiB pages: 1024 + 1024 + 512 + 256 + 128 + 64 + 4 + 2 + 1. */
	if (SGRING_MAX_ORDER >= 10)
		SGRING_EXPECT(test, cut(test, 3015, 10, 0), 9);
	SGRING_EXPECT(test, cut(test, 3015, 0, 0), 3015);
	SGRING_EXPECT(test, cut(test, 257, 8, 0), 2);
}

static void multiples_of_the_least_order_stay_so(struct kunit *test)
{
	unsigned int least;
	u64 units;

	for (least = 0; least <= 6; least++)
		for (units = 1; units < 200; units += 3)
			cut(test, units << least, SGRING_MAX_ORDER, least);
}

static void orders_of_hostile_sizes(struct kunit *test)
{
	SGRING_EXPECT(test, sgring_plan_order(1, 0), 0);
	SGRING_EXPECT(test, sgring_plan_order(1, SGRING_MAX_ORDER), 0);
	SGRING_EXPECT(test, sgring_plan_order(2, SGRING_MAX_ORDER), 1);
	SGRING_EXPECT(test, sgring_plan_order(3, SGRING_MAX_ORDER), 1);
	SGRING_EXPECT(test, sgring_plan_order(U64_MAX, 0), 0);
	SGRING_EXPECT(test, sgring_plan_order(U64_MAX, SGRING_MAX_ORDER), SGRING_MAX_ORDER);
	SGRING_EXPECT(test, sgring_plan_order(1ULL << 63, 63), 63);
	SGRING_EXPECT(test, sgring_plan_order((1ULL << 63) - 1, 63), 62);
	/* Nothing is asked for; the smallest there is, not a loop. */
	SGRING_EXPECT(test, sgring_plan_order(0, SGRING_MAX_ORDER), 0);
}

/* All limits hold for each segment of a chunk, and their number is the one foretold. */
static void check_segments(struct kunit *test, u64 bytes, const struct sgring_limits *limits)
{
	u64 offset = 0, count = 0;

	while (offset < bytes) {
		u64 n = sgring_plan_segment(offset, bytes - offset, limits);

		KUNIT_ASSERT_TRUE(test, n && n <= bytes - offset && n <= limits->segment_bytes);
		SGRING_ASSERT(test, sgring_plan_align(n, limits->align), n);
		if (limits->boundary_mask)
			SGRING_ASSERT(test, offset & ~limits->boundary_mask,
				      (offset + n - 1) & ~limits->boundary_mask);
		offset += n;
		count++;
	}
	SGRING_ASSERT(test, sgring_plan_segments(bytes, limits), count);
}

static void segments_keep_every_limit(struct kunit *test)
{
	static const u32 aligns[] = { 1, 2, 4, 12, 16, 64, 512 };
	static const u64 sizes[] = { SZ_4K, SZ_64K, SZ_64K - 1, 1900800, SZ_4M - 1, SZ_4M };
	static const u64 masks[] = { 0, SZ_4K - 1, SZ_64K - 1, SZ_16M - 1, U32_MAX };
	unsigned int a, s, m, order;

	for (a = 0; a < ARRAY_SIZE(aligns); a++)
		for (s = 0; s < ARRAY_SIZE(sizes); s++)
			for (m = 0; m < ARRAY_SIZE(masks); m++) {
				const struct sgring_limits limits = {
					.segment_bytes = sizes[s],
					.boundary_mask = masks[m],
					.align = aligns[a],
				};

				/* A boundary is a power of two: 12 does not fit to it. */
				if (aligns[a] == 12 && masks[m])
					continue;
				for (order = 0; order <= 10; order += 2)
					check_segments(test, sgring_plan_align(SZ_4K << order,
									       aligns[a]),
						       &limits);
				check_segments(test, aligns[a], &limits);
			}
}

static void a_segment_ends_at_the_boundary(struct kunit *test)
{
	const struct sgring_limits limits = {
		.segment_bytes = SZ_64K, .boundary_mask = SZ_16K - 1, .align = 4,
	};

	SGRING_EXPECT(test, sgring_plan_segment(0, SZ_64K, &limits), SZ_16K);
	SGRING_EXPECT(test, sgring_plan_segment(SZ_16K - 4, SZ_64K, &limits), 4);
	SGRING_EXPECT(test, sgring_plan_segment(SZ_16K, SZ_64K, &limits), SZ_16K);
	SGRING_EXPECT(test, sgring_plan_segment(SZ_4K, SZ_4K, &limits), SZ_4K);
	SGRING_EXPECT(test, sgring_plan_segments(SZ_64K, &limits), 4);
	SGRING_EXPECT(test, sgring_plan_segments(SZ_16K + 4, &limits), 2);
}

static void limits_that_leave_no_room_are_noticed(struct kunit *test)
{
	const struct sgring_limits narrow = { .segment_bytes = 8, .align = 16 };
	const struct sgring_limits odd = {
		.segment_bytes = SZ_64K, .boundary_mask = 7, .align = 16,
	};
	const struct sgring_limits nothing = { .align = 1 };

	SGRING_EXPECT(test, sgring_plan_segments(SZ_4K, &narrow), 0);
	SGRING_EXPECT(test, sgring_plan_segments(SZ_4K, &odd), 0);
	SGRING_EXPECT(test, sgring_plan_segments(SZ_4K, &nothing), 0);
	/* Nothing to cut is cut into nothing. */
	SGRING_EXPECT(test, sgring_plan_segments(0, &narrow), 0);
}

/* No sum wraps: at the end of 64 bits, and of what a 32-bit kernel divides. */
static void segments_of_hostile_sizes(struct kunit *test)
{
	const struct sgring_limits wide = { .segment_bytes = U64_MAX, .align = 1 };
	const struct sgring_limits four_gib = {
		.segment_bytes = U64_MAX, .boundary_mask = U32_MAX, .align = 512,
	};
	const struct sgring_limits half = { .segment_bytes = 1ULL << 63, .align = U32_MAX };

	SGRING_EXPECT(test, sgring_plan_segment(0, U64_MAX, &wide), U64_MAX);
	SGRING_EXPECT(test, sgring_plan_segment(U64_MAX - 1, 1, &wide), 1);
	SGRING_EXPECT(test, sgring_plan_segments(U64_MAX, &wide), 1);
	SGRING_EXPECT(test, sgring_plan_segment(U64_MAX - 511, 512, &four_gib), 512);
	SGRING_EXPECT(test, sgring_plan_segment(1ULL << 40, 1ULL << 40, &four_gib), 1ULL << 32);
	SGRING_EXPECT(test, sgring_plan_segments(1ULL << 40, &four_gib), 256);
	SGRING_EXPECT(test, sgring_plan_segment(0, U64_MAX, &half),
		      (1ULL << 63) - ((1ULL << 63) % U32_MAX));
	SGRING_EXPECT(test, sgring_plan_align(U64_MAX, 1), U64_MAX);
	SGRING_EXPECT(test, sgring_plan_align(U64_MAX, U32_MAX), U64_MAX);
	SGRING_EXPECT(test, sgring_plan_align(U32_MAX - 1ULL, U32_MAX), 0);
}

static struct kunit_case plan_cases[] = {
	KUNIT_CASE(orders_descend_and_cover_every_page),
	KUNIT_CASE(multiples_of_the_least_order_stay_so),
	KUNIT_CASE(orders_of_hostile_sizes),
	KUNIT_CASE(segments_keep_every_limit),
	KUNIT_CASE(a_segment_ends_at_the_boundary),
	KUNIT_CASE(limits_that_leave_no_room_are_noticed),
	KUNIT_CASE(segments_of_hostile_sizes),
	{}
};

struct kunit_suite sgring_plan_suite = { .name = "sgring_plan", .test_cases = plan_cases };
EXPORT_SYMBOL_GPL(sgring_plan_suite);

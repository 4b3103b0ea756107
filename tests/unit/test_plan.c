/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Chunk planning (kernel/plan.h): how a slot is cut into chunks, a chunk into segments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <plan.h>

#define PAGE 4096ULL
#define MAX_ORDER 10

/* Cut @pages; the allocator refuses orders above @have. The orders, -1 at the end. */
static unsigned int cut(uint64_t pages, unsigned int have, int *orders)
{
	unsigned int top = MAX_ORDER, count = 0;

	while (pages) {
		unsigned int order = sgring_plan_order(pages, top);

		if (order > have) {
			top = order - 1;
			continue;
		}
		orders[count++] = (int)order;
		pages -= 1ULL << order;
	}
	orders[count] = -1;
	return count;
}

static void a_slot_is_covered_exactly_by_descending_orders(void **state)
{
	static int orders[8192];

	(void)state;
	for (uint64_t pages = 1; pages <= 5000; pages++) {
		for (unsigned int have = 0; have <= MAX_ORDER; have += 5) {
			uint64_t sum = 0;

			cut(pages, have, orders);
			for (int i = 0; orders[i] >= 0; i++) {
				sum += 1ULL << orders[i];
				assert_true(orders[i] <= (int)have);
				if (i)
					assert_true(orders[i] <= orders[i - 1]);
			}
			assert_int_equal(sum, pages);
		}
	}
}

static void unfragmented_memory_gives_the_fewest_chunks(void **state)
{
	int orders[64];

	(void)state;
	/* 12,345,678 bytes are 3015 pages: 1024 + 1024 + 512 + 256 + 128 + 64 + 4 + 2 + 1 */
	assert_int_equal(cut(3015, MAX_ORDER, orders), 9);
	assert_int_equal(orders[0], 10);
	assert_int_equal(orders[8], 0);
	/* 1 MiB + 100 bytes are 257 pages. */
	assert_int_equal(cut(257, MAX_ORDER, orders), 2);
	assert_int_equal(orders[0], 8);
	assert_int_equal(orders[1], 0);
	assert_int_equal(cut(1, MAX_ORDER, orders), 1);
}

static void check_segments(uint64_t bytes, const struct sgring_limits *limits)
{
	uint64_t offset = 0, count = 0;

	while (offset < bytes) {
		uint64_t n = sgring_plan_segment(offset, bytes - offset, limits);

		assert_true(n > 0 && n <= bytes - offset && n <= limits->segment_bytes);
		assert_int_equal(n % limits->align, 0);
		if (limits->boundary_mask)
			assert_int_equal(offset & ~limits->boundary_mask,
					 (offset + n - 1) & ~limits->boundary_mask);
		offset += n;
		count++;
	}
	assert_int_equal(sgring_plan_segments(bytes, limits), count);
}

static void segments_keep_every_limit_of_the_engine(void **state)
{
	static const uint32_t aligns[] = { 1, 2, 4, 12, 16, 64, 512 };
	static const uint64_t sizes[] = { 4096, 65536, 65535, 1900800, 0x3fffff, 1 << 22 };
	static const uint64_t masks[] = { 0, 0xfff, 0xffff, 0xffffff, 0xffffffff };

	(void)state;
	for (unsigned int a = 0; a < sizeof(aligns) / sizeof(*aligns); a++)
		for (unsigned int s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
			for (unsigned int m = 0; m < sizeof(masks) / sizeof(*masks); m++) {
				const struct sgring_limits limits = {
					.segment_bytes = sizes[s],
					.boundary_mask = masks[m],
					.align = aligns[a],
				};

				/* A boundary is a power of two, so 12 does not fit to it. */
				if (aligns[a] == 12 && masks[m])
					continue;
				for (uint64_t order = 0; order <= MAX_ORDER; order += 2)
					check_segments((PAGE << order) / aligns[a] * aligns[a],
						       &limits);
				check_segments(aligns[a], &limits);
			}
}

static void limits_that_leave_no_room_are_noticed(void **state)
{
	const struct sgring_limits narrow = { .segment_bytes = 8, .align = 16 };
	const struct sgring_limits odd = { .segment_bytes = 65536, .boundary_mask = 0x7,
					   .align = 16 };

	(void)state;
	assert_int_equal(sgring_plan_segments(4096, &narrow), 0);
	assert_int_equal(sgring_plan_segments(4096, &odd), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_is_covered_exactly_by_descending_orders),
		cmocka_unit_test(unfragmented_memory_gives_the_fewest_chunks),
		cmocka_unit_test(segments_keep_every_limit_of_the_engine),
		cmocka_unit_test(limits_that_leave_no_room_are_noticed),
	};

	return cmocka_run_group_tests_name("chunk planning", tests, NULL, NULL);
}

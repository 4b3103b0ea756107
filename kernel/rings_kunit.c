// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: KUnit tests of rings.c, sq.c, cq.c and table.c
 *
 * The application here writes what it likes where it may, as a hostile one does: its side of the
 * rings. What the kernel makes of it is the truth it keeps for itself.
 */
#include <linux/export.h>
#include <linux/kernel.h>
#include <linux/log2.h>
#include <linux/string.h>

#include "chunk.h"
#include "rings.h"
#include "sgring_kunit.h"

#define SLOTS	6	/* SQ of 8 entries, CQ of 8 */

/* Indices from which a ring is followed: those that wrap, and that change their sign. */
static const u32 starts[] = {
	0, 1, 7, 8, 0x7ffffffc, 0x7fffffff, 0x80000000, U32_MAX - 8, U32_MAX - 3, U32_MAX,
};

/* Of distances no honest index has; every one is larger than the ring. */
static const u32 jumps[] = {
	9, 10, 16, 255, 0x10000, 0x7ffffff8, 0x7fffffff, 0x80000000, 0x80000001, U32_MAX - 8,
	U32_MAX - 1, U32_MAX,
};

/* Rings whose indices, all four, are at @start: an empty ring. */
static void rings_at(struct sgring_rings *rings, u32 start)
{
	rings->cq_producer = start;
	rings->sq_consumer = start;
	rings->kernel->cq_producer = start;
	rings->kernel->sq_consumer = start;
	rings->user->cq_consumer = start;
	rings->user->sq_producer = start;
}

static int rings_init(struct kunit *test)
{
	struct sgring_rings *rings = kunit_kzalloc(test, sizeof(*rings), GFP_KERNEL);
	int ret = rings ? sgring_rings_alloc(rings, SLOTS) : -ENOMEM;

	if (!ret)
		test->priv = rings;
	return ret;
}

static void rings_exit(struct kunit *test)
{
	if (test->priv)
		sgring_rings_free(test->priv);
}

static bool all_zero(const void *from, size_t bytes)
{
	return !memchr_inv(from, 0, bytes);
}

static void rings_hold_every_slot_and_the_end(struct kunit *test)
{
	static const u32 counts[] = { 1, 2, 3, 4, 7, 8, 9, 255, 256, 4096 };
	u64 before = sgring_memory_total();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		struct sgring_geometry g = {};
		struct sgring_rings r;
		u32 n = counts[i];

		SGRING_ASSERT(test, sgring_rings_alloc(&r, n), 0);
		KUNIT_EXPECT_TRUE(test, is_power_of_2(r.sq_entries) && r.sq_entries >= n);
		KUNIT_EXPECT_TRUE(test, is_power_of_2(r.cq_entries) && r.cq_entries > n);
		SGRING_EXPECT(test, sgring_memory_total() - before, r.kernel_bytes + r.user_bytes);
		KUNIT_EXPECT_TRUE(test, all_zero(r.kernel, r.kernel_bytes));
		KUNIT_EXPECT_TRUE(test, all_zero(r.user, r.user_bytes));

		/* What the application is told fits into what it maps, side by side. */
		sgring_rings_geometry(&r, &g);
		SGRING_EXPECT(test, g.kernel_bytes % PAGE_SIZE, 0);
		SGRING_EXPECT(test, g.user_bytes % PAGE_SIZE, 0);
		KUNIT_EXPECT_TRUE(test, g.cq_offset >= sizeof(struct sgring_kernel_side));
		KUNIT_EXPECT_TRUE(test, g.table_offset >= g.cq_offset +
				  (u64)g.cq_entries * g.cq_stride);
		KUNIT_EXPECT_TRUE(test, g.kernel_bytes >= g.table_offset + (u64)n * g.table_stride);
		KUNIT_EXPECT_TRUE(test, g.sq_offset >= sizeof(struct sgring_user_side));
		KUNIT_EXPECT_TRUE(test, g.user_bytes >= g.sq_offset +
				  (u64)g.sq_entries * g.sq_stride);
		KUNIT_EXPECT_PTR_EQ(test, (void *)r.kernel + g.table_offset, (void *)r.table);

		sgring_rings_free(&r);
		KUNIT_EXPECT_TRUE(test, all_zero(&r, sizeof(r)));
		SGRING_EXPECT(test, sgring_memory_total(), before);
	}
}

static void rings_beyond_the_limit_are_refused(struct kunit *test)
{
	u64 total = sgring_memory_total(), rest = sgring_memory_total_max() - total;
	struct sgring_rings r;

	SGRING_ASSERT(test, sgring_memory_charge(rest), 0);
	SGRING_EXPECT(test, sgring_rings_alloc(&r, SLOTS), -EDQUOT);
	KUNIT_EXPECT_TRUE(test, all_zero(&r, sizeof(r)));
	/* Nothing was taken, and freeing what was refused takes nothing back. */
	sgring_rings_free(&r);
	SGRING_EXPECT(test, sgring_memory_total(), total + rest);
	sgring_memory_uncharge(rest);
}

static void the_sq_counts_across_the_wrap(struct kunit *test)
{
	struct sgring_rings *r = test->priv;
	unsigned int i;
	u32 n;

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		rings_at(r, starts[i]);
		for (n = 0; n <= r->sq_entries; n++) {
			r->user->sq_producer = starts[i] + n;
			SGRING_EXPECT(test, sgring_sq_used(r), n);
		}
		/* One by one and all at once, the application sees what was taken. */
		sgring_sq_taken(r, 1);
		SGRING_EXPECT(test, r->kernel->sq_consumer, (u32)(starts[i] + 1));
		SGRING_EXPECT(test, sgring_sq_used(r), r->sq_entries - 1);
		sgring_sq_taken(r, r->sq_entries - 1);
		SGRING_EXPECT(test, r->kernel->sq_consumer, (u32)(starts[i] + r->sq_entries));
		SGRING_EXPECT(test, sgring_sq_used(r), 0);
	}
}

static void a_producer_that_jumped_is_told_from_a_full_sq(struct kunit *test)
{
	struct sgring_rings *r = test->priv;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(starts); i++)
		for (j = 0; j < ARRAY_SIZE(jumps); j++) {
			rings_at(r, starts[i]);
			r->user->sq_producer = starts[i] + jumps[j];
			SGRING_EXPECT(test, sgring_sq_used(r), -ERANGE);
			/* Backwards, too: what was given back is not there a second time. */
			r->user->sq_producer = starts[i] - 1;
			SGRING_EXPECT(test, sgring_sq_used(r), -ERANGE);
			r->user->sq_producer = starts[i];
			SGRING_EXPECT(test, sgring_sq_used(r), 0);
		}
}

/* What the kernel tells the application is a copy: written over, it changes nothing. */
static void the_indices_the_kernel_goes_by_are_its_own(struct kunit *test)
{
	struct sgring_rings *r = test->priv;

	rings_at(r, U32_MAX - 2);
	r->user->sq_producer = 1;
	r->kernel->sq_consumer = 77;
	r->kernel->cq_producer = 77;
	SGRING_EXPECT(test, sgring_sq_used(r), 4);
	SGRING_EXPECT(test, sgring_cq_pending(r), 0);
	sgring_sq_taken(r, 4);
	SGRING_EXPECT(test, r->kernel->sq_consumer, 1);
	KUNIT_EXPECT_PTR_EQ(test, sgring_cq_next(r), &r->cqes[(U32_MAX - 2) % r->cq_entries]);
	sgring_cq_publish(r);
	SGRING_EXPECT(test, r->kernel->cq_producer, U32_MAX - 1);
}

static void an_sq_entry_is_copied_whole_and_once(struct kunit *test)
{
	struct sgring_rings *r = test->priv;
	struct sgring_sqe first, copy;
	u32 n;

	rings_at(r, U32_MAX - 2);
	memset(r->sqes, 0xee, r->sq_entries * sizeof(*r->sqes));
	for (n = 0; n < r->sq_entries; n++) {
		struct sgring_sqe *e = &r->sqes[(U32_MAX - 2 + n) % r->sq_entries];

		*e = (struct sgring_sqe){
			.cookie = 0x1122334455667788ULL + n, .slot = n, .offset_bytes = 100 + n,
			.length_bytes = 200 + n, .flags = 300 + n, .reserved = 1ULL << 40 | n,
		};
	}
	for (n = 0; n < r->sq_entries; n++) {
		struct sgring_sqe *e = &r->sqes[(U32_MAX - 2 + n) % r->sq_entries];

		sgring_sq_copy(r, n, &copy);
		KUNIT_EXPECT_TRUE(test, !memcmp(&copy, e, sizeof(copy)));
		/* Changed after the copy: what was checked is what is used. */
		first = copy;
		memset(e, 0xff, sizeof(*e));
		KUNIT_EXPECT_TRUE(test, !memcmp(&copy, &first, sizeof(copy)));
	}
}

static void the_cq_counts_across_the_wrap(struct kunit *test)
{
	struct sgring_rings *r = test->priv;
	unsigned int i;
	u32 n;

	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		rings_at(r, starts[i]);
		SGRING_EXPECT(test, sgring_cq_room(r), r->cq_entries);
		for (n = 0; n < r->cq_entries; n++) {
			SGRING_EXPECT(test, sgring_cq_pending(r), n);
			SGRING_EXPECT(test, sgring_cq_room(r), r->cq_entries - n);
			sgring_cq_publish(r);
			SGRING_EXPECT(test, r->kernel->cq_producer, (u32)(starts[i] + n + 1));
		}
		SGRING_EXPECT(test, sgring_cq_room(r), 0);
		for (n = 1; n <= r->cq_entries; n++) {
			r->user->cq_consumer = starts[i] + n;
			SGRING_EXPECT(test, sgring_cq_consumer(r), (u32)(starts[i] + n));
			SGRING_EXPECT(test, sgring_cq_pending(r), r->cq_entries - n);
			SGRING_EXPECT(test, sgring_cq_room(r), n);
		}
	}
}

/* A consumer that claims more than was written, or less than it had: no room, and no panic. */
static void a_consumer_that_jumped_gives_no_room(struct kunit *test)
{
	struct sgring_rings *r = test->priv;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(starts); i++)
		for (j = 0; j < ARRAY_SIZE(jumps); j++) {
			rings_at(r, starts[i]);
			r->user->cq_consumer = starts[i] - jumps[j];
			SGRING_EXPECT(test, sgring_cq_pending(r), -ERANGE);
			SGRING_EXPECT(test, sgring_cq_room(r), -ERANGE);
			r->user->cq_consumer = starts[i] + 1;
			SGRING_EXPECT(test, sgring_cq_pending(r), -ERANGE);
			SGRING_EXPECT(test, sgring_cq_room(r), -ERANGE);
		}
}

/* An entry is all there before its index is, and leaves its neighbours alone. */
static void a_cq_entry_lies_where_its_index_says(struct kunit *test)
{
	struct sgring_rings *r = test->priv;
	u32 n;

	rings_at(r, U32_MAX - 3);
	memset(r->cqes, 0, r->cq_entries * sizeof(*r->cqes));
	for (n = 0; n < 2 * r->cq_entries; n++) {
		struct sgring_cqe e = { .sequence = n + 1, .slot = n, .status = -(int)n };
		u32 at = (U32_MAX - 3 + n) % r->cq_entries;
		struct sgring_cqe next = r->cqes[(at + 1) % r->cq_entries];

		sgring_cq_post(r, &e);
		KUNIT_EXPECT_TRUE(test, !memcmp(&r->cqes[at], &e, sizeof(e)));
		KUNIT_EXPECT_TRUE(test, !memcmp(&r->cqes[(at + 1) % r->cq_entries], &next,
						sizeof(next)));
		SGRING_EXPECT(test, r->kernel->cq_producer, (u32)(U32_MAX - 3 + n + 1));
	}
}

static void the_table_tells_of_one_slot(struct kunit *test)
{
	struct sgring_rings *r = test->priv;
	struct sgring_slot_info before[SLOTS];
	u32 i;

	r->table[3].generation = U32_MAX;
	memcpy(before, r->table, sizeof(before));
	sgring_table_state(r, 3, SGRING_SLOT_ENGINE, 1234567890123ULL);
	SGRING_EXPECT(test, r->table[3].generation, U32_MAX);
	sgring_table_generation(r, 3);
	sgring_table_transfer(r, 3, U64_MAX, 1ULL << 50);
	SGRING_EXPECT(test, r->table[3].state, SGRING_SLOT_ENGINE);
	SGRING_EXPECT(test, r->table[3].time_ns, 1234567890123ULL);
	/* It changes; that it begins anew after 2^32 transfers is no matter. */
	SGRING_EXPECT(test, r->table[3].generation, 0);
	SGRING_EXPECT(test, r->table[3].sequence, U64_MAX);
	SGRING_EXPECT(test, r->table[3].position_bytes, 1ULL << 50);
	for (i = 0; i < SLOTS; i++)
		if (i != 3)
			KUNIT_EXPECT_TRUE(test, !memcmp(&before[i], &r->table[i],
							sizeof(before[i])));
}

static struct kunit_case rings_cases[] = {
	KUNIT_CASE(rings_hold_every_slot_and_the_end),
	KUNIT_CASE(rings_beyond_the_limit_are_refused),
	KUNIT_CASE(the_sq_counts_across_the_wrap),
	KUNIT_CASE(a_producer_that_jumped_is_told_from_a_full_sq),
	KUNIT_CASE(the_indices_the_kernel_goes_by_are_its_own),
	KUNIT_CASE(an_sq_entry_is_copied_whole_and_once),
	KUNIT_CASE(the_cq_counts_across_the_wrap),
	KUNIT_CASE(a_consumer_that_jumped_gives_no_room),
	KUNIT_CASE(a_cq_entry_lies_where_its_index_says),
	KUNIT_CASE(the_table_tells_of_one_slot),
	{}
};

struct kunit_suite sgring_rings_suite = {
	.name = "sgring_rings",
	.init = rings_init,
	.exit = rings_exit,
	.test_cases = rings_cases,
};
EXPORT_SYMBOL_GPL(sgring_rings_suite);

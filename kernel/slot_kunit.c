// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: KUnit tests of chunk.c, slot.c and reaper.c
 *
 * Part of slot.c, at its end. What memory a slot is made of, how it is mapped for a device, and
 * that the account of it comes out even whoever holds its pages.
 */
#include <linux/delay.h>
#include <linux/export.h>
#include <linux/platform_device.h>

#include "reaper.h"
#include "sgring_kunit.h"

#define PAGES	257	/* of a slot: not what one chunk could be */

/* Longer than the reaper's worker sleeps, on whatever machine. */
#define REAPER_MS	20000

/**
 * struct slot_test - what a test has
 * @pdev: a device to map for; it has no driver and does nothing
 * @total: memory charged before the test
 * @reaped: memory on the reaper's list before the test
 */
struct slot_test {
	struct platform_device *pdev;
	u64 total;
	u64 reaped;
};

static int slot_init(struct kunit *test)
{
	struct slot_test *t = kunit_kzalloc(test, sizeof(*t), GFP_KERNEL);
	struct device *dev;

	if (!t)
		return -ENOMEM;
	t->pdev = platform_device_register_simple("sgring-kunit", PLATFORM_DEVID_AUTO, NULL, 0);
	if (IS_ERR(t->pdev))
		return PTR_ERR(t->pdev);
	dev = &t->pdev->dev;
	test->priv = t;
	dma_set_max_seg_size(dev, UINT_MAX);
	dma_set_seg_boundary(dev, ULONG_MAX);
	t->total = sgring_memory_total();
	t->reaped = sgring_reaper_bytes();
	return dma_coerce_mask_and_coherent(dev, DMA_BIT_MASK(64));
}

static void slot_exit(struct kunit *test)
{
	struct slot_test *t = test->priv;

	if (!t)
		return;
	SGRING_EXPECT(test, sgring_memory_total(), t->total);
	SGRING_EXPECT(test, sgring_reaper_bytes(), t->reaped);
	platform_device_unregister(t->pdev);
}

static struct sgring_chunk_plan plan_of(u64 pages, unsigned int order)
{
	return (struct sgring_chunk_plan){
		.bytes = pages << PAGE_SHIFT, .order = order, .hint = order, .node = NUMA_NO_NODE,
	};
}

/* Charged, as the caller of sgring_chunks_alloc() has to. */
static struct sgring_chunks *chunks_of(struct kunit *test, struct sgring_chunk_plan *plan)
{
	u64 bytes = plan->bytes;
	struct sgring_chunks *chunks;

	if (plan->equal)
		bytes = ALIGN(bytes, PAGE_SIZE << plan->order);
	SGRING_ASSERT(test, sgring_memory_charge(bytes), 0);
	chunks = sgring_chunks_alloc(plan);
	if (IS_ERR(chunks))
		sgring_memory_uncharge(bytes);
	KUNIT_ASSERT_FALSE(test, IS_ERR(chunks));
	SGRING_EXPECT(test, chunks->bytes, bytes);
	return chunks;
}

/* A page taken as an skb takes it: of the middle of a chunk. */
static struct page *hold(const struct sgring_chunk *chunk)
{
	struct page *page = chunk->page + (1U << chunk->order) / 2;

	get_page(page);
	return page;
}

static bool reaped(u64 bytes)
{
	unsigned int ms;

	for (ms = 0; sgring_reaper_bytes() != bytes && ms < REAPER_MS; ms += 20)
		msleep(20);
	return sgring_reaper_bytes() == bytes;
}

/* Each page zeroed and ours alone, tails of one head; their number. */
static u64 check_chunk(struct kunit *test, const struct sgring_chunk *chunk)
{
	unsigned long i;

	SGRING_EXPECT(test, page_ref_count(chunk->page), 1);
	for (i = 0; i < 1UL << chunk->order; i++) {
		KUNIT_EXPECT_PTR_EQ(test, compound_head(chunk->page + i), chunk->page);
		KUNIT_EXPECT_TRUE(test, !memchr_inv(page_address(chunk->page + i), 0, PAGE_SIZE));
	}
	KUNIT_EXPECT_TRUE(test, chunk->pages && chunk->pages <= 1U << chunk->order);
	return chunk->pages;
}

static void mixed_chunks_make_up_the_slot_exactly(struct kunit *test)
{
	struct sgring_chunk_plan plan = plan_of(PAGES, 6);
	struct sgring_chunks *chunks = chunks_of(test, &plan);
	u64 pages = 0;
	unsigned int i;

	for (i = 0; i < chunks->count; i++) {
		pages += check_chunk(test, &chunks->chunk[i]);
		SGRING_EXPECT(test, chunks->chunk[i].pages, 1 << chunks->chunk[i].order);
		KUNIT_EXPECT_TRUE(test, chunks->chunk[i].order <= plan.order);
		if (i)
			KUNIT_EXPECT_TRUE(test, chunks->chunk[i].order <=
						chunks->chunk[i - 1].order);
	}
	SGRING_EXPECT(test, pages, PAGES);
	sgring_chunks_free(chunks);
}

static void the_last_equal_chunk_may_stick_out(struct kunit *test)
{
	struct sgring_chunk_plan plan = plan_of(9, 2);
	struct sgring_chunks *chunks;
	u64 pages = 0;
	unsigned int i;

	plan.equal = true;
	chunks = chunks_of(test, &plan);
	SGRING_EXPECT(test, chunks->count, 3);
	for (i = 0; i < chunks->count; i++) {
		pages += check_chunk(test, &chunks->chunk[i]);
		SGRING_EXPECT(test, chunks->chunk[i].order, 2);
	}
	SGRING_EXPECT(test, pages, 9);
	SGRING_EXPECT(test, chunks->chunk[2].pages, 1);
	SGRING_EXPECT(test, chunks->bytes, 12 * PAGE_SIZE);
	sgring_chunks_free(chunks);
}

static void a_slot_falls_to_orders_that_are_to_be_had(struct kunit *test)
{
	/* No allocator has this one. */
	struct sgring_chunk_plan plan = plan_of(2ULL << SGRING_MAX_ORDER, SGRING_MAX_ORDER + 1);
	struct sgring_chunks *chunks = chunks_of(test, &plan);

	KUNIT_EXPECT_TRUE(test, chunks->count >= 2);
	KUNIT_EXPECT_TRUE(test, plan.hint <= SGRING_MAX_ORDER);
	sgring_chunks_free(chunks);
}

static void what_may_not_fall_fails_and_keeps_nothing(struct kunit *test)
{
	struct sgring_chunk_plan plan = plan_of(2ULL << SGRING_MAX_ORDER, SGRING_MAX_ORDER + 1);

	plan.equal = true;
	SGRING_EXPECT(test, PTR_ERR(sgring_chunks_alloc(&plan)), -ENOMEM);
	plan.equal = false;
	plan.least = SGRING_MAX_ORDER + 1;
	SGRING_EXPECT(test, PTR_ERR(sgring_chunks_alloc(&plan)), -ENOMEM);
}

static void fragmented_memory_is_asked_one_order_higher(struct kunit *test)
{
	struct sgring_chunk_plan plan = plan_of(64, 5);
	unsigned int hint;

	for (hint = 0; hint < 3; hint++) {
		struct sgring_chunks *chunks;

		plan.hint = hint;
		chunks = chunks_of(test, &plan);
		KUNIT_EXPECT_TRUE(test, chunks->chunk[0].order <= hint + 1);
		KUNIT_EXPECT_TRUE(test, plan.hint <= hint + 1);
		sgring_chunks_free(chunks);
	}
}

static void no_charge_gets_over_the_limit(struct kunit *test)
{
	struct slot_test *t = test->priv;
	/* One page is charged already: the last two sums wrap. */
	u64 total = t->total + PAGE_SIZE, rest = sgring_memory_total_max() - total;
	const u64 hostile[] = {
		rest + 1, sgring_memory_total_max() + 1, 1ULL << 63, U64_MAX - total,
		U64_MAX - total + 1, U64_MAX,
	};
	unsigned int i;

	SGRING_ASSERT(test, sgring_memory_charge(PAGE_SIZE), 0);
	for (i = 0; i < ARRAY_SIZE(hostile); i++) {
		SGRING_EXPECT(test, sgring_memory_charge(hostile[i]), -EDQUOT);
		SGRING_EXPECT(test, sgring_memory_total(), total);
	}
	SGRING_EXPECT(test, sgring_memory_charge(rest), 0);
	SGRING_EXPECT(test, sgring_memory_charge(1), -EDQUOT);
	SGRING_EXPECT(test, sgring_memory_charge(0), 0);
	SGRING_EXPECT(test, sgring_memory_total(), total + rest);
	sgring_memory_uncharge(rest + PAGE_SIZE);
}

static void chunks_that_are_held_stay_charged(struct kunit *test)
{
	struct slot_test *t = test->priv;
	struct sgring_chunk_plan plan = plan_of(16, 2);
	struct sgring_chunks *chunks;
	struct page *page;
	u64 held;

	chunks = chunks_of(test, &plan);
	page = hold(&chunks->chunk[1]);
	held = PAGE_SIZE << chunks->chunk[1].order;
	sgring_chunks_free(chunks);
	SGRING_EXPECT(test, sgring_memory_total(), t->total + held);
	SGRING_EXPECT(test, sgring_reaper_bytes(), t->reaped + held);
	/* Looked at meanwhile, and still held. */
	msleep(200);
	SGRING_EXPECT(test, sgring_memory_total(), t->total + held);
	KUNIT_EXPECT_TRUE(test, !memchr_inv(page_address(page), 0, PAGE_SIZE));

	put_page(page);
	KUNIT_EXPECT_TRUE(test, reaped(t->reaped));
	SGRING_EXPECT(test, sgring_memory_total(), t->total);
}

static void reaping_keeps_those_that_are_held_and_their_sum(struct kunit *test)
{
	struct slot_test *t = test->priv;
	struct sgring_chunk_plan plan = plan_of(8, 0);
	struct sgring_chunks *chunks = chunks_of(test, &plan);
	struct page *first = hold(&chunks->chunk[2]), *last = hold(&chunks->chunk[7]);

	KUNIT_EXPECT_TRUE(test, sgring_reap(chunks));
	SGRING_EXPECT(test, chunks->count, 2);
	SGRING_EXPECT(test, chunks->bytes, 2 * PAGE_SIZE);
	KUNIT_EXPECT_PTR_EQ(test, chunks->chunk[0].page, first);
	KUNIT_EXPECT_PTR_EQ(test, chunks->chunk[1].page, last);
	SGRING_EXPECT(test, sgring_memory_total(), t->total + 2 * PAGE_SIZE);

	put_page(first);
	KUNIT_EXPECT_TRUE(test, sgring_reap(chunks));
	SGRING_EXPECT(test, chunks->count, 1);
	KUNIT_EXPECT_PTR_EQ(test, chunks->chunk[0].page, last);
	SGRING_EXPECT(test, sgring_memory_total(), t->total + PAGE_SIZE);

	put_page(last);
	KUNIT_EXPECT_FALSE(test, sgring_reap(chunks));
}

/* An engine that cannot be stopped goes on writing: its pages are nobody else's, for ever. */
static void leaked_chunks_are_neither_freed_nor_uncharged(struct kunit *test)
{
	struct slot_test *t = test->priv;
	struct sgring_chunk_plan plan = plan_of(4, 2);
	struct sgring_slot slot = {};
	struct page *page;

	SGRING_ASSERT(test, sgring_memory_charge(plan.bytes), 0);
	SGRING_ASSERT(test, sgring_slot_alloc(&slot, &plan), 0);
	page = slot.chunks->chunk[0].page;
	SGRING_EXPECT(test, slot.chunks->count, 1);
	sgring_slot_free(&slot, true);
	KUNIT_EXPECT_TRUE(test, !slot.chunks);
	SGRING_EXPECT(test, page_ref_count(page), 1);
	SGRING_EXPECT(test, sgring_memory_total(), t->total + plan.bytes);
	/* A second time is no harm. */
	sgring_slot_free(&slot, false);
	__free_pages(page, plan.order);
	sgring_memory_uncharge(plan.bytes);
}

/* What the device would see: every limit kept, the bytes of the slot and no more. */
static void check_mapping(struct kunit *test, const struct sgring_slot *slot, u64 bytes,
			  const struct sgring_limits *limits)
{
	struct scatterlist *sg;
	u64 sum = 0;
	int i;

	for_each_sgtable_dma_sg(&slot->table, sg, i) {
		u64 start = sg_dma_address(sg), length = sg_dma_len(sg);

		sum += length;
		KUNIT_EXPECT_TRUE(test, length && length <= limits->segment_bytes);
		SGRING_EXPECT(test, sgring_plan_align(length, limits->align), length);
		if (limits->boundary_mask)
			SGRING_EXPECT(test, start & ~limits->boundary_mask,
				      (start + length - 1) & ~limits->boundary_mask);
	}
	SGRING_EXPECT(test, sum, bytes);
	if (limits->segments)
		KUNIT_EXPECT_TRUE(test, slot->table.nents <= limits->segments);
}

static void a_mapped_slot_is_what_the_engine_takes(struct kunit *test)
{
	static const struct sgring_limits limits[] = {
		{ .segment_bytes = SZ_64K, .align = 4 },
		{ .segment_bytes = SZ_64K - 1, .align = 16 },
		{ .segment_bytes = SZ_1M, .boundary_mask = SZ_16K - 1, .align = 8 },
		{ .segment_bytes = 1900800, .boundary_mask = SZ_1M - 1, .align = 64 },
		{ .segment_bytes = SZ_1M, .segments = PAGES, .align = 1 },
	};
	struct slot_test *t = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		struct sgring_chunk_plan plan = plan_of(PAGES, 6);
		u64 bytes = plan.bytes - (i & 1 ? 0 : 128);
		struct sgring_slot slot = {};

		SGRING_ASSERT(test, sgring_memory_charge(plan.bytes), 0);
		SGRING_ASSERT(test, sgring_slot_alloc(&slot, &plan), 0);
		SGRING_EXPECT(test, sgring_slot_map(&slot, bytes, &t->pdev->dev, DMA_FROM_DEVICE,
						    &limits[i]), 0);
		KUNIT_EXPECT_TRUE(test, slot.mapped);
		check_mapping(test, &slot, bytes, &limits[i]);
		sgring_slot_unmap(&slot, &t->pdev->dev, DMA_FROM_DEVICE);
		KUNIT_EXPECT_FALSE(test, slot.mapped);
		/* Unmapping what is not mapped does nothing. */
		sgring_slot_unmap(&slot, &t->pdev->dev, DMA_FROM_DEVICE);
		sgring_slot_free(&slot, false);
	}
}

static void a_slot_the_engine_cannot_take_is_refused(struct kunit *test)
{
	static const struct sgring_limits limits[] = {
		{ .segment_bytes = SZ_1M, .segments = 1, .align = 1 },
		{ .segment_bytes = 1024, .segments = PAGES, .align = 1 },
		{ .segment_bytes = 8, .align = 16 },
		{ .segment_bytes = SZ_64K, .boundary_mask = 7, .align = 16 },
		/* No segment of a whole slot has a length this goes into. */
		{ .segment_bytes = SZ_1M, .align = 4093 },
	};
	struct slot_test *t = test->priv;
	struct sgring_chunk_plan plan = plan_of(PAGES, 6);
	const struct sgring_limits good = { .segment_bytes = SZ_64K, .align = 4 };
	struct sgring_slot slot = {};
	unsigned int i;

	SGRING_ASSERT(test, sgring_memory_charge(plan.bytes), 0);
	SGRING_ASSERT(test, sgring_slot_alloc(&slot, &plan), 0);
	for (i = 0; i < ARRAY_SIZE(limits); i++) {
		SGRING_EXPECT(test, sgring_slot_map(&slot, plan.bytes, &t->pdev->dev,
						    DMA_FROM_DEVICE, &limits[i]), -EMSGSIZE);
		KUNIT_EXPECT_FALSE(test, slot.mapped);
	}
	/* More bytes than it has. */
	SGRING_EXPECT(test, sgring_slot_map(&slot, plan.bytes + 4, &t->pdev->dev, DMA_FROM_DEVICE,
					    &good), -EMSGSIZE);
	/* None of this has spoilt it. */
	SGRING_EXPECT(test, sgring_slot_map(&slot, plan.bytes, &t->pdev->dev, DMA_FROM_DEVICE,
					    &good), 0);
	sgring_slot_unmap(&slot, &t->pdev->dev, DMA_FROM_DEVICE);
	sgring_slot_free(&slot, false);
}

/* An IOMMU may have merged segments, or put them anywhere: looked at again as they are. */
static void what_the_mapping_made_of_it_is_checked_again(struct kunit *test)
{
	static const struct {
		u64 start[2];
		u32 length[2];
		int result;
	} cases[] = {
		{ { 0x10000, 0x40000 }, { 0x8000, 0x4000 }, 0 },
		{ { 0x1fff0, 0x40000 }, { 0x8000, 0x4000 }, -EMSGSIZE },	/* boundary */
		{ { 0x1c000, 0x40000 }, { 0x8000, 0x4000 }, -EMSGSIZE },
		{ { 0x10000, 0x40000 }, { 0x8010, 0x3ff0 }, -EMSGSIZE },	/* too long */
		{ { 0x10000, 0x40000 }, { 0x8000, 0x3ff0 }, -EMSGSIZE },	/* less in all */
		{ { 0x10000, 0x40000 }, { 0x8000, 0x4010 }, -EMSGSIZE },	/* more */
		{ { 0x10000, 0x40000 }, { 0x8000, 0 }, -EMSGSIZE },
		{ { 0x10008, 0x40000 }, { 0x8000, 0x4000 }, -EMSGSIZE },	/* not aligned */
		{ { 0x10000, 0x40000 }, { 0x7ff8, 0x4008 }, -EMSGSIZE },
	};
	struct sgring_limits limits = {
		.segment_bytes = SZ_32K, .boundary_mask = SZ_64K - 1, .segments = 2, .align = 16,
	};
	struct sg_table table;
	unsigned int i, n;

	SGRING_ASSERT(test, sg_alloc_table(&table, 2, GFP_KERNEL), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		for (n = 0; n < 2; n++) {
			sg_dma_address(&table.sgl[n]) = cases[i].start[n];
			sg_dma_len(&table.sgl[n]) = cases[i].length[n];
		}
		SGRING_EXPECT(test, segments_check(&table, 0xc000, &limits), cases[i].result);
	}
	sg_dma_address(&table.sgl[0]) = cases[0].start[0];
	sg_dma_len(&table.sgl[0]) = cases[0].length[0];
	sg_dma_len(&table.sgl[1]) = cases[0].length[1];
	SGRING_EXPECT(test, segments_check(&table, 0xc000, &limits), 0);
	limits.segments = 1;
	SGRING_EXPECT(test, segments_check(&table, 0xc000, &limits), -EMSGSIZE);
	sg_free_table(&table);
}

static void runs_tell_how_a_slot_lies(struct kunit *test)
{
	struct sgring_chunk_plan plan = plan_of(7, 1);
	struct sgring_run runs[3] = { { .chunks = 99 }, { .chunks = 99 }, { .chunks = 99 } };
	struct sgring_slot slot = {};

	SGRING_ASSERT(test, sgring_memory_charge(plan.bytes), 0);
	SGRING_ASSERT(test, sgring_slot_alloc(&slot, &plan), 0);
	/* Fragmented memory would make it another: three pairs of pages, and one page. */
	if (slot.chunks->count == 4) {
		SGRING_EXPECT(test, sgring_slot_runs(&slot, plan.bytes, NULL, 0), 2);
		SGRING_EXPECT(test, sgring_slot_runs(&slot, plan.bytes, runs, 1), 2);
		SGRING_EXPECT(test, runs[1].chunks, 99);
		SGRING_EXPECT(test, sgring_slot_runs(&slot, plan.bytes, runs, 3), 2);
		SGRING_EXPECT(test, runs[0].offset_bytes, 0);
		SGRING_EXPECT(test, runs[0].chunk_bytes, 2 * PAGE_SIZE);
		SGRING_EXPECT(test, runs[0].chunks, 3);
		SGRING_EXPECT(test, runs[1].offset_bytes, 6 * PAGE_SIZE);
		SGRING_EXPECT(test, runs[1].chunk_bytes, PAGE_SIZE);
		SGRING_EXPECT(test, runs[1].chunks, 1);
		SGRING_EXPECT(test, runs[2].chunks, 99);
		/* Of a shorter slot only what it has of them. */
		SGRING_EXPECT(test, sgring_slot_runs(&slot, 3 * PAGE_SIZE, runs, 3), 1);
		SGRING_EXPECT(test, runs[0].chunks, 2);
	}
	sgring_slot_free(&slot, false);
}

static void free_slots_queue_in_order(struct kunit *test)
{
	struct sgring_queue queue = {};
	struct sgring_slot slot[4] = {};

	sgring_queue_add(&queue, &slot[1]);
	sgring_queue_add(&queue, &slot[2]);
	sgring_queue_add_first(&queue, &slot[0]);
	KUNIT_EXPECT_PTR_EQ(test, queue.first, &slot[0]);
	sgring_queue_take(&queue);
	KUNIT_EXPECT_PTR_EQ(test, queue.first, &slot[1]);
	sgring_queue_take(&queue);
	sgring_queue_add(&queue, &slot[3]);
	KUNIT_EXPECT_PTR_EQ(test, queue.first, &slot[2]);
	sgring_queue_take(&queue);
	sgring_queue_take(&queue);
	KUNIT_EXPECT_TRUE(test, !queue.first);
	/* Empty again, from either end. */
	sgring_queue_add_first(&queue, &slot[2]);
	sgring_queue_add(&queue, &slot[0]);
	KUNIT_EXPECT_PTR_EQ(test, queue.first, &slot[2]);
	KUNIT_EXPECT_PTR_EQ(test, queue.first->next, &slot[0]);
}

static struct kunit_case slot_cases[] = {
	KUNIT_CASE(mixed_chunks_make_up_the_slot_exactly),
	KUNIT_CASE(the_last_equal_chunk_may_stick_out),
	KUNIT_CASE(a_slot_falls_to_orders_that_are_to_be_had),
	KUNIT_CASE(what_may_not_fall_fails_and_keeps_nothing),
	KUNIT_CASE(fragmented_memory_is_asked_one_order_higher),
	KUNIT_CASE(no_charge_gets_over_the_limit),
	KUNIT_CASE(chunks_that_are_held_stay_charged),
	KUNIT_CASE(reaping_keeps_those_that_are_held_and_their_sum),
	KUNIT_CASE(leaked_chunks_are_neither_freed_nor_uncharged),
	KUNIT_CASE(a_mapped_slot_is_what_the_engine_takes),
	KUNIT_CASE(a_slot_the_engine_cannot_take_is_refused),
	KUNIT_CASE(what_the_mapping_made_of_it_is_checked_again),
	KUNIT_CASE(runs_tell_how_a_slot_lies),
	KUNIT_CASE(free_slots_queue_in_order),
	{}
};

struct kunit_suite sgring_slot_suite = {
	.name = "sgring_slot",
	.init = slot_init,
	.exit = slot_exit,
	.test_cases = slot_cases,
};
EXPORT_SYMBOL_GPL(sgring_slot_suite);

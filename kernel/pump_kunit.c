// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: KUnit tests of pump.c: who owns a slot
 *
 * Part of pump.c, at its end. The stream is a real one without a device; its engine does nothing
 * but hold what it was given until a test completes it, and looks at each slot it gets: was it
 * the kernel's to give? The tests play the application, and write into its side of the rings
 * whatever they like.
 */
#include <linux/export.h>

#include "sgring_kunit.h"

#define SLOTS	4
#define DEPTH	2

/* So that the stream's timers do not run into a test. */
#define NEVER_USEC	3600000000U

/**
 * struct bench - a stream and its engine
 * @s: the stream
 * @dma: the engine
 * @chan: its channel
 * @tx: its transfers, a ring
 * @head: the oldest not completed
 * @tail: the next to prepare
 * @busy: it prepares nothing
 * @refuse: it prepares, and refuses what is submitted
 * @wrong: slots it got that were not free, or whose generation had not changed
 * @seen: the generation of each slot when it was last submitted
 * @failed: how often the stream was to be stopped for nonsense
 * @held: a page of each slot that somebody else holds
 */
struct bench {
	struct sgring_stream s;
	struct dma_device dma;
	struct dma_chan chan;
	struct dma_async_tx_descriptor tx[SGRING_CELLS];
	u32 head;
	u32 tail;
	bool busy;
	bool refuse;
	u32 wrong;
	u32 seen[SLOTS];
	u32 failed;
	struct page *held[SLOTS];
};

static struct dma_async_tx_descriptor *bench_prep(struct dma_chan *chan, struct scatterlist *sgl,
						  unsigned int nents,
						  enum dma_transfer_direction direction,
						  unsigned long flags, void *context)
{
	struct bench *b = container_of(chan, struct bench, chan);

	return b->busy ? NULL : &b->tx[b->tail % SGRING_CELLS];
}

static dma_cookie_t bench_submit(struct dma_async_tx_descriptor *tx)
{
	struct bench *b = container_of(tx->chan, struct bench, chan);
	struct sgring_cell *cell = tx->callback_param;
	struct sgring_slot *slot = cell->slot;

	if (slot) {
		u32 generation = b->s.rings.table[slot->index].generation;

		if (slot->state != SGRING_SLOT_FREE || b->held[slot->index] ||
		    generation == b->seen[slot->index])
			b->wrong++;
		b->seen[slot->index] = generation;
	}
	if (b->refuse)
		return -ENOMEM;
	return ++b->tail;
}

static void bench_issue(struct dma_chan *chan)
{
}

static void bench_failed(struct work_struct *work)
{
	container_of(work, struct bench, s.fail_work)->failed++;
}

/* Where the slots are, by their states; each in one place, and counted there. */
static void check_owners(struct kunit *test, struct bench *b)
{
	struct sgring_stream *s = &b->s;
	u32 count[4] = {}, queued = 0, gated = 0, i;
	struct sgring_slot *slot;

	for (i = 0; i < SLOTS; i++) {
		count[s->slots[i].state & 3]++;
		SGRING_EXPECT(test, s->rings.table[i].state, s->slots[i].state);
	}
	for (slot = s->free.first; slot && queued <= SLOTS; slot = slot->next, queued++)
		SGRING_EXPECT(test, slot->state, SGRING_SLOT_FREE);
	list_for_each_entry(slot, &s->gate.slots, node) {
		SGRING_EXPECT(test, slot->state, SGRING_SLOT_GATED);
		gated++;
	}
	for (i = s->cell_head; i != s->cell_tail; i++)
		if (cell_at(s, i)->slot)
			SGRING_EXPECT(test, cell_at(s, i)->slot->state, SGRING_SLOT_ENGINE);
	SGRING_EXPECT(test, queued, count[SGRING_SLOT_FREE]);
	SGRING_EXPECT(test, s->slots_free, count[SGRING_SLOT_FREE]);
	SGRING_EXPECT(test, s->slots_engine, count[SGRING_SLOT_ENGINE]);
	SGRING_EXPECT(test, s->slots_app, count[SGRING_SLOT_APP]);
	SGRING_EXPECT(test, s->gate.count, count[SGRING_SLOT_GATED]);
	SGRING_EXPECT(test, gated, count[SGRING_SLOT_GATED]);
	SGRING_EXPECT(test, b->wrong, 0);
}

/* The engine ends its transfer @nth from the oldest on; not @nth 0: out of order. */
static void complete_nth(struct bench *b, u32 nth, enum dmaengine_tx_result result, u32 residue)
{
	struct dma_async_tx_descriptor *tx = &b->tx[(b->head + nth) % SGRING_CELLS];
	const struct dmaengine_result res = { .result = result, .residue = residue };

	tx->callback_result(tx->callback_param, &res);
}

static void complete_one(struct bench *b)
{
	b->head++;
	complete_nth(b, -1, DMA_TRANS_NOERROR, 0);
}

/* The application writes an entry and shows it. */
static void submit_sqe(struct bench *b, struct sgring_sqe e)
{
	struct sgring_rings *r = &b->s.rings;

	r->sqes[r->user->sq_producer & (r->sq_entries - 1)] = e;
	r->user->sq_producer++;
}

static void give_back(struct bench *b, u32 slot)
{
	submit_sqe(b, (struct sgring_sqe){ .slot = slot, .cookie = 100 + slot });
}

/* The next entry, consumed. */
static struct sgring_cqe next_cqe(struct kunit *test, struct bench *b)
{
	struct sgring_rings *r = &b->s.rings;

	KUNIT_ASSERT_TRUE(test, r->user->cq_consumer != r->kernel->cq_producer);
	return r->cqes[r->user->cq_consumer++ & (r->cq_entries - 1)];
}

static void hold_slot(struct bench *b, u32 slot)
{
	b->held[slot] = b->s.slots[slot].chunks->chunk[0].page;
	get_page(b->held[slot]);
}

static void let_go(struct bench *b, u32 slot)
{
	put_page(b->held[slot]);
	b->held[slot] = NULL;
}

static int bench_slots(struct bench *b)
{
	struct sgring_stream *s = &b->s;
	u32 i;

	for (i = 0; i < SLOTS; i++) {
		struct sgring_chunk_plan plan = { .bytes = PAGE_SIZE, .node = NUMA_NO_NODE };
		int ret = sgring_memory_charge(PAGE_SIZE);

		if (ret)
			return ret;
		ret = sgring_slot_alloc(&s->slots[i], &plan);
		if (ret) {
			sgring_memory_uncharge(PAGE_SIZE);
			return ret;
		}
		s->slots[i].index = i;
		sgring_queue_add(&s->free, &s->slots[i]);
	}
	s->slots_free = SLOTS;
	return 0;
}

static int pump_init(struct kunit *test)
{
	struct bench *b = kunit_kzalloc(test, sizeof(*b), GFP_KERNEL);
	struct sgring_stream *s;
	int ret;
	u32 i;

	if (!b)
		return -ENOMEM;
	s = &b->s;
	s->cells = kunit_kzalloc(test, SGRING_CELLS * sizeof(*s->cells), GFP_KERNEL);
	s->slots = kunit_kzalloc(test, (SLOTS + 1) * sizeof(*s->slots), GFP_KERNEL);
	if (!s->cells || !s->slots)
		return -ENOMEM;
	/* Behind the last one there is none, however inviting what is there. */
	s->slots[SLOTS].state = SGRING_SLOT_APP;
	sgring_pump_init(s);
	INIT_WORK(&s->fail_work, bench_failed);
	s->client.direction = DMA_DEV_TO_MEM;
	s->setup = (struct sgring_setup){
		.slot_count = SLOTS, .slot_bytes = PAGE_SIZE, .queue_depth = DEPTH,
		.wake_slots = 1, .wake_usec = SGRING_OFF, .sq_poll_usec = NEVER_USEC,
		.sq_idle_usec = NEVER_USEC, .gate_report_ms = SGRING_OFF,
	};
	s->pass_entries = SGRING_PASS_ENTRIES;
	s->engine.client = &s->client;
	s->engine.chan = &b->chan;
	s->engine.length_known = true;
	b->chan.device = &b->dma;
	b->dma.device_prep_slave_sg = bench_prep;
	b->dma.device_issue_pending = bench_issue;
	for (i = 0; i < SGRING_CELLS; i++) {
		b->tx[i].chan = &b->chan;
		b->tx[i].tx_submit = bench_submit;
	}
	test->priv = b;
	ret = sgring_rings_alloc(&s->rings, SLOTS);
	return ret ?: bench_slots(b);
}

static void pump_exit(struct kunit *test)
{
	struct bench *b = test->priv;
	u32 i;

	if (!b)
		return;
	sgring_pump_end(&b->s);
	flush_work(&b->s.fail_work);
	for (i = 0; i < SLOTS; i++) {
		if (b->held[i])
			let_go(b, i);
		sgring_slot_free(&b->s.slots[i], false);
	}
	if (b->s.rings.kernel)
		sgring_rings_free(&b->s.rings);
}

/* The application has all slots, and the engine none. */
static void begin_with_all_given(struct kunit *test, struct bench *b)
{
	u32 i;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(&b->s));
	for (i = 0; i < SLOTS; i++) {
		complete_one(b);
		SGRING_ASSERT(test, next_cqe(test, b).slot, i);
	}
	SGRING_ASSERT(test, b->s.slots_app, SLOTS);
	check_owners(test, b);
}

static void a_slot_goes_round(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	struct sgring_cqe e;
	u32 i;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	SGRING_EXPECT(test, sgring_inflight(s), DEPTH);
	check_owners(test, b);
	for (i = 0; i < 10 * SLOTS; i++) {
		complete_one(b);
		SGRING_EXPECT(test, s->slots_app, 1);
		check_owners(test, b);
		e = next_cqe(test, b);
		SGRING_EXPECT(test, e.slot, i % SLOTS);
		SGRING_EXPECT(test, e.sequence, i);
		SGRING_EXPECT(test, e.position_bytes, (u64)i * PAGE_SIZE);
		SGRING_EXPECT(test, e.cookie, i < SLOTS ? 0 : 100 + e.slot);
		SGRING_EXPECT(test, e.status, 0);
		SGRING_EXPECT(test, s->rings.table[e.slot].sequence, i);
		give_back(b, e.slot);
		sgring_pump_kick(s);
		SGRING_EXPECT(test, s->slots_app, 0);
		check_owners(test, b);
	}
	for (i = 0; i < SLOTS; i++)
		KUNIT_EXPECT_TRUE(test, s->rings.table[i].generation >= 10);
	SGRING_EXPECT(test, s->stats.sq_bad, 0);
	SGRING_EXPECT(test, s->stats.slots_done, 10 * SLOTS);
}

/* Each state but one: an entry for the slot is counted, and the slot stays where it is. */
static void only_the_applications_slots_can_be_returned(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	static const u32 states[SLOTS] = {
		SGRING_SLOT_GATED, SGRING_SLOT_APP, SGRING_SLOT_ENGINE, SGRING_SLOT_ENGINE,
	};
	struct sgring_slot_info before[SLOTS];
	u32 i;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	complete_one(b);
	complete_one(b);
	hold_slot(b, 0);
	give_back(b, 0);
	sgring_pump_kick(s);
	for (i = 0; i < SLOTS; i++)
		SGRING_ASSERT(test, s->slots[i].state, states[i]);
	memcpy(before, s->rings.table, sizeof(before));

	/* What the table says is a copy: an application that could write it would gain nothing. */
	for (i = 0; i < SLOTS; i++)
		if (states[i] != SGRING_SLOT_APP) {
			s->rings.table[i].state = SGRING_SLOT_APP;
			give_back(b, i);
			sgring_pump_kick(s);
			s->rings.table[i].state = states[i];
		}
	SGRING_EXPECT(test, s->stats.sq_bad, 3);
	KUNIT_EXPECT_TRUE(test, !memcmp(before, s->rings.table, sizeof(before)));
	check_owners(test, b);

	/* A free one: the engine takes no more than DEPTH. */
	b->busy = true;
	give_back(b, 1);
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_FREE);
	SGRING_EXPECT(test, s->stats.sq_bad, 3);
	give_back(b, 1);
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_FREE);
	SGRING_EXPECT(test, s->stats.sq_bad, 4);
	check_owners(test, b);
}

static void an_entry_that_breaks_a_rule_is_dropped(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	static const struct sgring_sqe bad[] = {
		{ .slot = SLOTS }, { .slot = SLOTS + 1 }, { .slot = 0x80000000 },
		{ .slot = U32_MAX }, { .slot = SGRING_NO_SLOT }, { .slot = 1, .flags = 1 },
		{ .slot = 1, .flags = 0x80000000 }, { .slot = 1, .reserved = 1 },
		{ .slot = 1, .reserved = 1ULL << 63 }, { .slot = 1, .offset_bytes = 1 },
		{ .slot = 1, .offset_bytes = U32_MAX }, { .slot = 1, .length_bytes = 1 },
		{ .slot = 1, .length_bytes = PAGE_SIZE }, { .slot = 1, .length_bytes = U32_MAX },
	};
	u32 i;

	begin_with_all_given(test, b);
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		submit_sqe(b, bad[i]);
		sgring_pump_kick(s);
		SGRING_EXPECT(test, s->stats.sq_bad, i + 1);
		SGRING_EXPECT(test, s->rings.kernel->sq_consumer, i + 1);
		SGRING_EXPECT(test, s->slots_app, SLOTS);
	}
	SGRING_EXPECT(test, s->stats.sq_taken, 0);
	SGRING_EXPECT(test, sgring_inflight(s), 0);
	check_owners(test, b);
	/* Good ones among bad ones are good. */
	submit_sqe(b, bad[0]);
	give_back(b, 3);
	submit_sqe(b, bad[5]);
	give_back(b, 1);
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->stats.sq_taken, 2);
	SGRING_EXPECT(test, s->slots[3].state, SGRING_SLOT_ENGINE);
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_ENGINE);
	check_owners(test, b);
}

static void a_slot_returned_twice_is_taken_once(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;

	begin_with_all_given(test, b);
	/* In one pass, in the next, and when the engine has it. */
	give_back(b, 2);
	give_back(b, 2);
	sgring_pump_kick(s);
	give_back(b, 2);
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->stats.sq_taken, 1);
	SGRING_EXPECT(test, s->stats.sq_bad, 2);
	SGRING_EXPECT(test, sgring_inflight(s), 1);
	check_owners(test, b);
	/* A forged return by read(2)'s way is no better. */
	KUNIT_EXPECT_FALSE(test, sgring_pump_return(s, 2));
	KUNIT_EXPECT_TRUE(test, sgring_pump_return(s, 0));
	check_owners(test, b);
	s->dead = true;
	KUNIT_EXPECT_FALSE(test, sgring_pump_return(s, 1));
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_APP);
}

/* The old generation is void before the engine can write; an engine that is busy voids none. */
static void the_generation_changes_before_the_engine_has_the_slot(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	u32 generation;

	begin_with_all_given(test, b);
	generation = s->rings.table[1].generation;
	b->busy = true;
	give_back(b, 1);
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->rings.table[1].generation, generation);
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_FREE);
	SGRING_EXPECT(test, s->stats.engine_busy, 1);
	/* Refused after all: the slot stays the first in the queue. */
	b->busy = false;
	b->refuse = true;
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->rings.table[1].generation, generation + 1);
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_FREE);
	SGRING_EXPECT(test, s->stats.engine_busy, 2);
	KUNIT_EXPECT_PTR_EQ(test, s->free.first, &s->slots[1]);
	b->refuse = false;
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->rings.table[1].generation, generation + 2);
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_ENGINE);
	check_owners(test, b);
}

static void a_slot_others_hold_waits_at_the_gate(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	u32 i;

	begin_with_all_given(test, b);
	for (i = 0; i < SLOTS; i++) {
		hold_slot(b, i);
		give_back(b, i);
	}
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->gate.count, SLOTS);
	SGRING_EXPECT(test, s->stats.gate_waits, SLOTS);
	SGRING_EXPECT(test, sgring_inflight(s), 0);
	check_owners(test, b);
	/* One is let go of, behind one that is not. */
	let_go(b, 2);
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->slots[2].state, SGRING_SLOT_ENGINE);
	SGRING_EXPECT(test, s->gate.count, 3);
	check_owners(test, b);
	for (i = 0; i < SLOTS; i++)
		if (b->held[i])
			let_go(b, i);
	sgring_pump_kick(s);
	SGRING_EXPECT(test, s->gate.count, 0);
	SGRING_EXPECT(test, sgring_inflight(s), DEPTH);
	check_owners(test, b);
	/* With the gate off nobody is asked; the bench must not be either. */
	complete_one(b);
	s->setup.flags |= SGRING_SETUP_NO_GATE;
	get_page(s->slots[2].chunks->chunk[0].page);
	give_back(b, 2);
	sgring_pump_kick(s);
	KUNIT_EXPECT_TRUE(test, s->slots[2].state != SGRING_SLOT_GATED);
	put_page(s->slots[2].chunks->chunk[0].page);
	check_owners(test, b);
}

/* An index off its ring: nothing is taken or given any more, and the stream is stopped, once. */
static void an_index_that_jumped_stops_the_stream(struct kunit *test)
{
	static const u32 jumps[] = { 9, 255, 0x7fffffff, 0x80000000, U32_MAX - 20 };
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	u32 i, side;

	for (i = 0; i < ARRAY_SIZE(jumps); i++)
		for (side = 0; side < 2; side++) {
			u32 *index = side ? &s->rings.user->sq_producer :
					    &s->rings.user->cq_consumer;
			u32 was = *index;

			KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s) || sgring_inflight(s));
			*index += jumps[i];
			sgring_pump_kick(s);
			sgring_pump_kick(s);
			flush_work(&s->fail_work);
			SGRING_EXPECT(test, b->failed, 2 * i + side + 1);
			SGRING_EXPECT(test, s->stats.index_bad, b->failed);
			SGRING_EXPECT(test, s->fail_status, -EPROTO);
			KUNIT_EXPECT_FALSE(test, s->refill);
			SGRING_EXPECT(test, s->rings.kernel->sq_consumer, 0);
			check_owners(test, b);
			*index = was;
		}
	SGRING_EXPECT(test, s->stats.sq_taken, 0);
	SGRING_EXPECT(test, sgring_inflight(s), DEPTH);
}

/* It returns slots and never consumes: each transfer has its entry reserved, the end one, too. */
static void a_full_cq_is_never_written_over(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	struct sgring_cqe e;
	u32 i;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	for (i = 0; i < 3 * s->rings.cq_entries && sgring_inflight(s); i++) {
		u32 slot = cell_at(s, s->cell_head)->slot->index;

		complete_one(b);
		give_back(b, slot);
		sgring_pump_kick(s);
		KUNIT_EXPECT_TRUE(test, sgring_cq_room(&s->rings) > (int)s->slots_engine);
		check_owners(test, b);
	}
	SGRING_EXPECT(test, sgring_inflight(s), 0);
	SGRING_EXPECT(test, sgring_cq_room(&s->rings), 1);
	KUNIT_EXPECT_TRUE(test, s->stats.cq_full > 0);
	sgring_pump_end_of_stream(s, 0);
	SGRING_EXPECT(test, sgring_cq_room(&s->rings), 0);
	/* And nothing more, whatever comes. */
	sgring_pump_end_of_stream(s, 0);
	SGRING_EXPECT(test, sgring_cq_pending(&s->rings), s->rings.cq_entries);
	for (i = 0; i + 1 < s->rings.cq_entries; i++) {
		e = next_cqe(test, b);
		SGRING_EXPECT(test, e.sequence, i);
		KUNIT_EXPECT_FALSE(test, e.flags & SGRING_CQE_EOS);
	}
	e = next_cqe(test, b);
	KUNIT_EXPECT_TRUE(test, e.flags & SGRING_CQE_EOS);
	SGRING_EXPECT(test, e.slot, SGRING_NO_SLOT);
}

static void callbacks_out_of_order_twice_and_late(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	struct sgring_cqe e;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	/* The second first: it waits for its turn. */
	complete_nth(b, 1, DMA_TRANS_NOERROR, 0);
	SGRING_EXPECT(test, s->stats.odd_callbacks, 1);
	SGRING_EXPECT(test, s->slots_app, 0);
	/* Again, and it says otherwise: the first word counts. */
	complete_nth(b, 1, DMA_TRANS_ABORTED, PAGE_SIZE);
	SGRING_EXPECT(test, s->stats.odd_callbacks, 2);
	check_owners(test, b);
	complete_nth(b, 0, DMA_TRANS_NOERROR, 0);
	b->head += 2;
	SGRING_EXPECT(test, s->slots_app, 2);
	SGRING_EXPECT(test, next_cqe(test, b).slot, 0);
	e = next_cqe(test, b);
	SGRING_EXPECT(test, e.slot, 1);
	SGRING_EXPECT(test, e.status, 0);
	SGRING_EXPECT(test, e.length_bytes, PAGE_SIZE);
	/* Again for one that is in the application's hands. */
	complete_nth(b, -1, DMA_TRANS_NOERROR, 0);
	SGRING_EXPECT(test, s->stats.odd_callbacks, 3);
	SGRING_EXPECT(test, s->slots_app, 2);
	check_owners(test, b);

	/* Stopped: what the engine had is the kernel's again, in order, and its callback late. */
	sgring_pump_end(s);
	complete_nth(b, 0, DMA_TRANS_NOERROR, 0);
	SGRING_EXPECT(test, s->slots_app, 2);
	KUNIT_EXPECT_FALSE(test, sgring_pump_retire_rest(s, NULL, false));
	SGRING_EXPECT(test, s->slots_free, 2);
	KUNIT_EXPECT_PTR_EQ(test, s->free.first, &s->slots[2]);
	check_owners(test, b);
	complete_nth(b, 0, DMA_TRANS_NOERROR, 0);
	complete_nth(b, 1, DMA_TRANS_NOERROR, 0);
	SGRING_EXPECT(test, s->stats.late_callbacks, 2);
	SGRING_EXPECT(test, s->slots_app, 2);
	check_owners(test, b);
	/* Late in the next epoch, too. */
	b->head = b->tail;
	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	complete_nth(b, -1, DMA_TRANS_NOERROR, 0);
	SGRING_EXPECT(test, s->stats.late_callbacks, 3);
	SGRING_EXPECT(test, s->slots_engine, 2);
	check_owners(test, b);
}

static void what_a_leaked_engine_has_stays_its_own(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	sgring_pump_end(s);
	sgring_pump_retire_rest(s, NULL, true);
	SGRING_EXPECT(test, s->slots_free, SLOTS - DEPTH);
	SGRING_EXPECT(test, s->slots[0].state, SGRING_SLOT_ENGINE);
	SGRING_EXPECT(test, s->slots[1].state, SGRING_SLOT_ENGINE);
	give_back(b, 0);
	sgring_pump_collect(s);
	SGRING_EXPECT(test, s->stats.sq_bad, 1);
	SGRING_EXPECT(test, s->slots[0].state, SGRING_SLOT_ENGINE);
	check_owners(test, b);
}

static void a_cut_transfer_is_told_as_far_as_it_came(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	const u32 missing = 1000;
	struct sgring_cqe e;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	sgring_pump_end(s);
	KUNIT_EXPECT_TRUE(test, sgring_pump_retire_rest(s, &missing, false));
	e = next_cqe(test, b);
	SGRING_EXPECT(test, e.slot, 0);
	SGRING_EXPECT(test, e.length_bytes, PAGE_SIZE - missing);
	KUNIT_EXPECT_TRUE(test, e.flags & SGRING_CQE_PARTIAL);
	SGRING_EXPECT(test, s->slots_app, 1);
	check_owners(test, b);
}

static void engines_that_lie_are_survived(struct kunit *test)
{
	static const u32 residues[] = { PAGE_SIZE + 1, 0x7fffffff, 0x80000000, U32_MAX };
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	struct sgring_cqe e;
	u32 i;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	for (i = 0; i < ARRAY_SIZE(residues); i++) {
		b->head++;
		complete_nth(b, -1, DMA_TRANS_NOERROR, residues[i]);
		e = next_cqe(test, b);
		SGRING_EXPECT(test, e.status, -EPROTO);
		SGRING_EXPECT(test, e.length_bytes, 0);
		KUNIT_EXPECT_TRUE(test, e.flags & SGRING_CQE_LENGTH_ASSUMED);
		SGRING_EXPECT(test, s->stats.residue_bad, i + 1);
		give_back(b, e.slot);
		sgring_pump_kick(s);
		check_owners(test, b);
	}
	/* An error: what had moved is lost, and said to be, in the next entry. */
	b->head++;
	complete_nth(b, -1, DMA_TRANS_ABORTED, 96);
	e = next_cqe(test, b);
	SGRING_EXPECT(test, e.status, -EIO);
	SGRING_EXPECT(test, e.length_bytes, 0);
	complete_one(b);
	e = next_cqe(test, b);
	KUNIT_EXPECT_TRUE(test, e.flags & SGRING_CQE_GAP);
	SGRING_EXPECT(test, e.position_bytes, (ARRAY_SIZE(residues) + 1) * PAGE_SIZE - 96);
	check_owners(test, b);
}

/* A number that is the same in every run. */
static u32 next_random(u32 *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Everything at once, in an order that repeats itself; the books are looked at after each. */
static void no_sequence_gives_a_slot_to_two(struct kunit *test)
{
	struct bench *b = test->priv;
	struct sgring_stream *s = &b->s;
	u32 random = 1, step;

	KUNIT_ASSERT_TRUE(test, sgring_pump_begin(s));
	for (step = 0; step < 4000; step++) {
		u32 what = next_random(&random) % 10, slot = next_random(&random) % (SLOTS + 1);

		switch (what) {
		case 0 ... 2:
			if (b->head != b->tail)
				complete_one(b);
			break;
		case 3 ... 5:
			if (sgring_sq_used(&s->rings) < (int)s->rings.sq_entries)
				give_back(b, slot);
			break;
		case 6:
			if (slot < SLOTS && s->slots[slot].state == SGRING_SLOT_APP &&
			    !b->held[slot])
				hold_slot(b, slot);
			break;
		case 7:
			if (slot < SLOTS && b->held[slot])
				let_go(b, slot);
			break;
		case 8:
			b->busy = slot == 0;
			break;
		default:
			sgring_pump_kick(s);
		}
		if (next_random(&random) % 2)
			s->rings.user->cq_consumer = s->rings.kernel->cq_producer;
		check_owners(test, b);
	}
	KUNIT_EXPECT_TRUE(test, s->stats.sq_bad && s->stats.gate_waits && s->stats.engine_busy);
	KUNIT_EXPECT_TRUE(test, s->stats.slots_done > 100);
	SGRING_EXPECT(test, b->failed, 0);
}

static struct kunit_case pump_cases[] = {
	KUNIT_CASE(a_slot_goes_round),
	KUNIT_CASE(only_the_applications_slots_can_be_returned),
	KUNIT_CASE(an_entry_that_breaks_a_rule_is_dropped),
	KUNIT_CASE(a_slot_returned_twice_is_taken_once),
	KUNIT_CASE(the_generation_changes_before_the_engine_has_the_slot),
	KUNIT_CASE(a_slot_others_hold_waits_at_the_gate),
	KUNIT_CASE(an_index_that_jumped_stops_the_stream),
	KUNIT_CASE(a_full_cq_is_never_written_over),
	KUNIT_CASE(callbacks_out_of_order_twice_and_late),
	KUNIT_CASE(what_a_leaked_engine_has_stays_its_own),
	KUNIT_CASE(a_cut_transfer_is_told_as_far_as_it_came),
	KUNIT_CASE(engines_that_lie_are_survived),
	KUNIT_CASE(no_sequence_gives_a_slot_to_two),
	{}
};

struct kunit_suite sgring_pump_suite = {
	.name = "sgring_pump",
	.init = pump_init,
	.exit = pump_exit,
	.test_cases = pump_cases,
};
EXPORT_SYMBOL_GPL(sgring_pump_suite);

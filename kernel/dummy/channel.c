// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: a channel of the DMA engine: the hardware, its interrupt, its pools
 *
 * Owns struct dummy_channel's lists and pools. A thread plays the hardware: it
 * moves data a piece at a time, with c->bus held (bottom halves off) and c->lock
 * not; whoever has changed the lists under c->lock and then waits for the bus
 * knows that no byte moves by the old ones. Completions go through ->done to a
 * tasklet, which calls back with no lock held, one at a time.
 *
 * engine.c calls what is not static, under c->lock unless it says otherwise.
 */
#include <linux/dma-direct.h>
#include <linux/kthread.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "engine.h"

#define LATE_MS		20
#define FIRST_SEGMENTS	16
#define BOGUS_BYTES	4096

static bool one_of(atomic_t *count)
{
	return atomic_dec_if_positive(count) >= 0;
}

/* ---- pools ------------------------------------------------------------- */

/*
 * Segments are used in turn, but only as many as were ever needed at a time:
 * pl330's pool starts with 16 descriptors and grows so, and its bug needs it.
 */
static void pool_grow(struct dummy_channel *c, u32 segments)
{
	while (c->born_segments - c->used_segments < segments) {
		c->segments[c->last_free_segment].next = c->born_segments;
		c->last_free_segment = c->born_segments++;
	}
	c->segments[c->last_free_segment].next = DUMMY_NO_SEGMENT;
}

/**
 * dummy_channel_get() - a transfer and its segments from the pool
 * @c: the channel
 * @segments: number of segments, at least 1
 *
 * Under c->lock. The segments are a list from ->first to ->last.
 *
 * Return: the transfer, or NULL if the pool has not got so much.
 */
struct dummy_transfer *dummy_channel_get(struct dummy_channel *c, u32 segments)
{
	u32 limit = min(READ_ONCE(c->line->faults.descriptors), DUMMY_SEGMENTS - 1);
	struct dummy_transfer *t;
	u32 i;

	if (list_empty(&c->free) || segments > limit || c->used_segments > limit - segments)
		return NULL;
	t = list_first_entry(&c->free, struct dummy_transfer, node);
	list_move_tail(&t->node, &c->prepared);
	t->state = DUMMY_PREPARED;
	pool_grow(c, segments + 1);	/* one is always left, to hang others to */
	t->first = c->free_segment;
	t->last = t->first;
	for (i = 1; i < segments; i++)
		t->last = c->segments[t->last].next;
	c->free_segment = c->segments[t->last].next;
	c->segments[t->last].next = DUMMY_NO_SEGMENT;
	t->segments = segments;
	c->used_segments += segments;
	atomic_inc(&c->line->faults.queued);
	return t;
}

/**
 * dummy_channel_put() - back to the pool
 * @c: the channel
 * @t: on no list of the hardware's
 *
 * Under c->lock.
 */
void dummy_channel_put(struct dummy_channel *c, struct dummy_transfer *t)
{
	/* pl330's pluck_desc() clears ->callback and forgets ->callback_result. */
	if (c->stale && t->tx.callback_result) {
		c->stale[t->last].with_result = t->tx.callback_result;
		c->stale[t->last].param = t->tx.callback_param;
	}
	c->segments[c->last_free_segment].next = t->first;
	c->last_free_segment = t->last;
	c->used_segments -= t->segments;
	list_move_tail(&t->node, &c->free);
	t->state = DUMMY_FREE;
	atomic_dec(&c->line->faults.queued);
}

/* The client's again, or the pool's, or for now only the hardware's. */
static void give_back(struct dummy_channel *c, struct dummy_transfer *t)
{
	if (!list_empty(&t->hardware)) {
		list_del_init(&t->node);
		t->state = DUMMY_GHOST;
	} else if (dmaengine_desc_test_reuse(&t->tx) && !c->released) {
		list_move_tail(&t->node, &c->prepared);
		t->state = DUMMY_PREPARED;
	} else {
		dummy_channel_put(c, t);
	}
}

/* ---- the interrupt and what the driver does in it ------------------------ */

static void call_queue(struct dummy_channel *c, struct dummy_call *call)
{
	list_add_tail(&call->node, &c->done);
	tasklet_schedule(&c->tasklet);
}

/* One more call of somebody's callback, or none if there is no memory. */
static struct dummy_call *call_extra(const struct dummy_callback *callback)
{
	struct dummy_call *call = kzalloc(sizeof(*call), GFP_ATOMIC);

	if (call)
		call->callback = *callback;
	return call;
}

static void call_free(struct dummy_channel *c, struct dummy_call *call)
{
	list_del(&call->node);
	if (call->transfer)
		give_back(c, call->transfer);
	else
		kfree(call);
}

static void callback_of(const struct dma_async_tx_descriptor *tx, struct dummy_callback *callback)
{
	callback->function = tx->callback;
	callback->with_result = tx->callback_result;
	callback->param = tx->callback_param;
	if (!(tx->flags & DMA_PREP_INTERRUPT))
		memset(callback, 0, sizeof(*callback));
}

static void callback_invoke(struct dummy_channel *c, const struct dummy_callback *callback,
			    const struct dmaengine_result *result)
{
	if (!callback->with_result && !callback->function)
		return;
	atomic64_inc(&c->line->faults.callbacks);
	if (callback->with_result)
		callback->with_result(callback->param, result);
	else
		callback->function(callback->param);
}

/* The tasklet: the only place that calls back. */
static void call_back(struct tasklet_struct *tasklet)
{
	struct dummy_channel *c = container_of(tasklet, struct dummy_channel, tasklet);
	struct dummy_faults *f = &c->line->faults;
	struct dummy_call *first, call;
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	while (!list_empty(&c->done) && !READ_ONCE(f->hold_completion)) {
		first = list_first_entry(&c->done, struct dummy_call, node);
		call = *first;
		if (c->released) {
			call_free(c, first);
			continue;
		}
		list_del(&first->node);
		if (call.transfer) {
			call.transfer->state = DUMMY_CALLING;
			callback_of(&call.transfer->tx, &call.callback);
		} else {
			kfree(first);
		}
		spin_unlock_irqrestore(&c->lock, flags);

		dummy_wire_finished(&c->line->source, &call.mark);
		callback_invoke(c, &call.callback, &call.result);
		if (call.transfer && one_of(&f->duplicate_next))
			callback_invoke(c, &call.callback, &call.result);
		dummy_wire_finished(&c->line->source, NULL);

		spin_lock_irqsave(&c->lock, flags);
		/* As in most drivers, the descriptor is free only after its callback. */
		if (call.transfer)
			give_back(c, call.transfer);
	}
	spin_unlock_irqrestore(&c->lock, flags);
}

static u32 result_residue(struct dummy_channel *c, struct dummy_transfer *t)
{
	switch (READ_ONCE(c->line->faults.residue)) {
	case DUMMY_RESIDUE_NONE:
		return 0;
	case DUMMY_RESIDUE_BOGUS:
		return t->bytes + BOGUS_BYTES;
	}
	if (c->engine->profile->flags & DUMMY_NO_RESULT)
		return 0;
	return t->bytes - t->moved;
}

static void completion_queue(struct dummy_channel *c, struct dummy_transfer *t)
{
	/* What dma_cookie_complete() of drivers/dma/dmaengine.h does. */
	c->chan.completed_cookie = t->tx.cookie;
	t->tx.cookie = 0;
	call_queue(c, &t->call);
}

static void complete_transfer(struct dummy_channel *c, struct dummy_transfer *t)
{
	struct dummy_faults *f = &c->line->faults;

	list_del_init(&t->node);
	t->state = DUMMY_DONE;
	t->completed = true;
	t->call.result.result = t->result;
	t->call.result.residue = result_residue(c, t);
	t->call.mark = t->mark;
	atomic64_inc(&f->transfers);
	if (c->swapped) {
		completion_queue(c, t);
		completion_queue(c, c->swapped);
		c->swapped = NULL;
	} else if (!list_empty(&c->active) && one_of(&f->reorder_next)) {
		c->swapped = t;
	} else {
		completion_queue(c, t);
	}
}

/* The hardware says that a packet, or a transfer without one, has ended. */
static void interrupt(struct dummy_channel *c, struct dummy_transfer *t)
{
	struct dummy_transfer *next;

	if (!(c->engine->profile->flags & DUMMY_BATCH)) {
		complete_transfer(c, t);
		return;
	}
	/* xilinx_dma: the interrupt comes when the count is down, and ends them all. */
	if (!c->batch || --c->batch)
		return;
	list_for_each_entry_safe(t, next, &c->active, node)
		complete_transfer(c, t);
	dummy_channel_start(c);
}

/* ---- the hardware ------------------------------------------------------ */

/**
 * dummy_channel_tell_room() - tell the device how much will be taken
 * @c: the channel
 *
 * Under c->lock, whenever that has changed.
 */
void dummy_channel_tell_room(struct dummy_channel *c)
{
	bool stands = c->paused || c->disturbed || READ_ONCE(c->line->faults.stall);

	dummy_wire_room(&c->line->source, stands ? 0 : c->room);
}

/**
 * dummy_channel_start() - give the hardware what was submitted
 * @c: the channel
 *
 * Under c->lock. DUMMY_BATCH: only when it is idle.
 */
void dummy_channel_start(struct dummy_channel *c)
{
	struct dummy_transfer *t;

	if (c->batch)
		return;
	list_for_each_entry(t, &c->submitted, node) {
		t->state = DUMMY_ACTIVE;
		list_add_tail(&t->hardware, &c->hardware);
		c->room += t->left;
		if (c->engine->profile->flags & DUMMY_BATCH)
			c->batch++;
	}
	list_splice_tail_init(&c->submitted, &c->active);
	dummy_channel_tell_room(c);
}

static void leave_segment(struct dummy_channel *c, struct dummy_transfer *t)
{
	u32 now = t->current_segment;
	struct dummy_segment *s = &c->segments[now];
	u32 unused = s->bytes - t->segment_done;
	struct dummy_call *early;

	c->room -= unused;
	t->left -= unused;
	t->moved_segments = t->moved;
	t->segment_done = 0;
	t->current_segment = s->next;
	/* pl330: each segment is a descriptor of its own, and this one remembers. */
	if (c->stale && s->next != DUMMY_NO_SEGMENT && c->stale[now].with_result) {
		early = call_extra(&c->stale[now]);
		if (early)
			call_queue(c, early);
	}
}

static void leave_transfer(struct dummy_channel *c, struct dummy_transfer *t)
{
	c->room -= t->left;
	t->left = 0;
	list_del_init(&t->hardware);
	if (t->state == DUMMY_GHOST)
		dummy_channel_put(c, t);
}

static void fail_transfer(struct dummy_channel *c, struct dummy_transfer *t)
{
	t->result = DMA_TRANS_ABORTED;
	if (!t->completed)
		interrupt(c, t);
	leave_transfer(c, t);
}

/* @bytes went into the transfer, the last of them with @mark. */
static void account(struct dummy_channel *c, struct dummy_transfer *t, size_t bytes,
		    const struct dummy_mark *mark)
{
	bool batch = c->engine->profile->flags & DUMMY_BATCH;
	bool had_end = t->mark.last;
	bool end;

	t->mark = *mark;
	if (!READ_ONCE(c->line->faults.packet_ends))
		t->mark.last = false;
	end = t->mark.last;
	t->mark.last |= had_end;
	t->moved += bytes;
	t->segment_done += bytes;
	t->left -= bytes;
	c->room -= bytes;
	if (end || t->segment_done == c->segments[t->current_segment].bytes)
		leave_segment(c, t);

	if (t->current_segment == DUMMY_NO_SEGMENT) {
		if (end || (!had_end && !t->completed))
			interrupt(c, t);
		leave_transfer(c, t);
	} else if (end) {
		/*
		 * AXI DMA: the next packet goes into the next descriptor, even
		 * if it belongs to a transfer that the driver has given back.
		 */
		interrupt(c, t);
		if (!batch)
			leave_transfer(c, t);
	} else if (t->moved >= t->fail_at) {
		fail_transfer(c, t);
	}
}

/* The transfer that the hardware is on, if it may move. */
static struct dummy_transfer *hardware_begin(struct dummy_channel *c)
{
	struct dummy_faults *f = &c->line->faults;
	struct dummy_transfer *t;

	if (c->paused || c->disturbed || c->dead || READ_ONCE(f->stall))
		return NULL;
	t = list_first_entry_or_null(&c->hardware, struct dummy_transfer, hardware);
	if (t && !t->begun) {
		t->begun = true;
		if (one_of(&f->fail_next))
			t->fail_at = READ_ONCE(f->fail_after_bytes);
	}
	return t;
}

/*
 * Moves at most one piece. Returns 0 if there may be more to do, else how many ns
 * nothing will be, unless the bell rings.
 */
static u64 hardware_step(struct dummy_channel *c)
{
	struct device *dev = c->engine->dma.dev;
	struct dummy_faults *f = &c->line->faults;
	struct dummy_mark mark;
	struct dummy_transfer *t;
	struct dummy_segment *s;
	unsigned int generation;
	unsigned long flags;
	dma_addr_t address;
	u64 bytes, wait = U64_MAX;

	spin_lock_bh(&c->bus);
	spin_lock_irqsave(&c->lock, flags);
	/* A terminate that failed, and nobody has the channel any more. */
	if (c->released && !READ_ONCE(f->terminate_fail))
		dummy_channel_abort(c);
	if (!list_empty(&c->done) && !READ_ONCE(f->hold_completion))
		tasklet_schedule(&c->tasklet);
	dummy_channel_tell_room(c);
	t = hardware_begin(c);
	if (!t)
		goto out;
	if (t->moved >= t->fail_at) {
		fail_transfer(c, t);
		wait = 0;
		goto out;
	}
	s = &c->segments[t->current_segment];
	address = s->address + t->segment_done;
	bytes = min3((u64)s->bytes - t->segment_done, (u64)DUMMY_PIECE_BYTES,
		     t->fail_at - t->moved);
	generation = c->generation;
	spin_unlock_irqrestore(&c->lock, flags);

	bytes = dummy_wire_take(&c->line->source, phys_to_virt(dma_to_phys(dev, address)),
				bytes, &mark, &wait);

	spin_lock_irqsave(&c->lock, flags);
	if (bytes) {
		wait = 0;
		if (generation == c->generation)
			account(c, t, bytes, &mark);
	}
out:
	spin_unlock_irqrestore(&c->lock, flags);
	spin_unlock_bh(&c->bus);
	return wait;
}

static int hardware_play(void *data)
{
	struct dummy_channel *c = data;
	struct dummy_bell *bell = &c->line->bell;
	u64 wait;

	while (!kthread_should_stop()) {
		/* Full barrier: what happens after this look rings again. */
		xchg(&bell->rung, 0);
		wait = hardware_step(c);
		if (!wait)
			cond_resched();
		else if (wait == U64_MAX)
			wait_event_idle(bell->queue,
					READ_ONCE(bell->rung) || kthread_should_stop());
		else
			wait_event_interruptible_hrtimeout(bell->queue,
							   READ_ONCE(bell->rung) ||
							   kthread_should_stop(),
							   ns_to_ktime(wait));
	}
	return 0;
}

/* ---- stopping ---------------------------------------------------------- */

static void late_call(struct work_struct *work)
{
	struct dummy_channel *c = container_of(to_delayed_work(work), struct dummy_channel,
					       late_work);

	spin_lock_irq(&c->lock);
	list_splice_tail_init(&c->late, &c->done);
	spin_unlock_irq(&c->lock);
	tasklet_schedule(&c->tasklet);
}

/* late_next: somebody's callback will come when nobody expects it. */
static void leave_callback_behind(struct dummy_channel *c)
{
	struct dummy_callback callback;
	struct dummy_transfer *t;
	struct dummy_call *late;

	t = list_first_entry_or_null(&c->active, struct dummy_transfer, node);
	if (!t)
		t = list_first_entry_or_null(&c->submitted, struct dummy_transfer, node);
	if (!t || !one_of(&c->line->faults.late_next))
		return;
	callback_of(&t->tx, &callback);
	late = call_extra(&callback);
	if (!late)
		return;
	late->mark = t->mark;
	list_add_tail(&late->node, &c->late);
	schedule_delayed_work(&c->late_work, msecs_to_jiffies(LATE_MS));
}

/**
 * dummy_channel_abort() - throw everything away that was submitted
 * @c: the channel
 *
 * Under c->lock. A piece may still be on its way until dummy_channel_wait_bus().
 */
void dummy_channel_abort(struct dummy_channel *c)
{
	bool careless = c->engine->profile->flags & DUMMY_NO_SYNCHRONIZE;
	struct dummy_transfer *t, *next;
	struct dummy_call *call, *next_call;

	leave_callback_behind(c);
	c->generation++;
	c->room = 0;
	c->batch = 0;
	list_for_each_entry_safe(t, next, &c->hardware, hardware) {
		list_del_init(&t->hardware);
		if (t->state == DUMMY_GHOST)
			dummy_channel_put(c, t);
	}
	list_splice_tail_init(&c->submitted, &c->active);
	if (c->swapped)
		list_add(&c->swapped->node, &c->active);
	c->swapped = NULL;
	list_for_each_entry_safe(t, next, &c->active, node)
		give_back(c, t);
	dummy_wire_reset(&c->line->source);
	list_for_each_entry_safe(call, next_call, &c->done, node) {
		/* pl330: the one that its tasklet has in hand is still called. */
		if (careless && !c->released && call->node.prev == &c->done)
			continue;
		call_free(c, call);
	}
	dummy_channel_tell_room(c);
}

/**
 * dummy_channel_wait_bus() - wait until no byte is on its way
 * @c: the channel
 *
 * Any context but hard interrupt, without c->lock; spins for at most the time of
 * one piece.
 */
void dummy_channel_wait_bus(struct dummy_channel *c)
{
	unsigned long flags;

	spin_lock_irqsave(&c->bus, flags);
	spin_unlock_irqrestore(&c->bus, flags);
}

/**
 * dummy_channel_drop_calls() - nobody is called back any more
 * @c: the channel, released
 *
 * Process context, without c->lock.
 */
void dummy_channel_drop_calls(struct dummy_channel *c)
{
	struct dummy_call *call, *next;

	cancel_delayed_work_sync(&c->late_work);
	tasklet_kill(&c->tasklet);
	spin_lock_irq(&c->lock);
	list_splice_tail_init(&c->late, &c->done);
	list_for_each_entry_safe(call, next, &c->done, node)
		call_free(c, call);
	spin_unlock_irq(&c->lock);
}

/* ---- life -------------------------------------------------------------- */

/**
 * dummy_channel_init() - make a channel
 * @c: zeroed
 * @engine: whose it is
 * @line: where it is wired to
 *
 * Process context. dummy_channel_free() undoes it, also after an error.
 *
 * Return: 0, or -ENOMEM.
 */
int dummy_channel_init(struct dummy_channel *c, struct dummy_engine *engine,
		       struct dummy_line *line)
{
	u32 i;

	/* One segment is free from birth. */
	c->born_segments = 1;
	c->engine = engine;
	c->line = line;
	c->released = true;
	c->chan.device = &engine->dma;
	spin_lock_init(&c->bus);
	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->free);
	INIT_LIST_HEAD(&c->prepared);
	INIT_LIST_HEAD(&c->submitted);
	INIT_LIST_HEAD(&c->active);
	INIT_LIST_HEAD(&c->done);
	INIT_LIST_HEAD(&c->late);
	INIT_LIST_HEAD(&c->hardware);
	tasklet_setup(&c->tasklet, call_back);
	INIT_DELAYED_WORK(&c->late_work, late_call);

	c->segments = kvmalloc_array(DUMMY_SEGMENTS, sizeof(*c->segments), GFP_KERNEL);
	c->transfers = kvcalloc(DUMMY_TRANSFERS, sizeof(*c->transfers), GFP_KERNEL);
	if (!c->segments || !c->transfers)
		return -ENOMEM;
	if (engine->profile->flags & DUMMY_STALE_CALLBACKS) {
		c->stale = kvcalloc(DUMMY_SEGMENTS, sizeof(*c->stale), GFP_KERNEL);
		if (!c->stale)
			return -ENOMEM;
	}
	pool_grow(c, FIRST_SEGMENTS);
	for (i = 0; i < DUMMY_TRANSFERS; i++) {
		INIT_LIST_HEAD(&c->transfers[i].hardware);
		c->transfers[i].call.transfer = &c->transfers[i];
		list_add_tail(&c->transfers[i].node, &c->free);
	}
	return 0;
}

/**
 * dummy_channel_power_on() - start the hardware
 * @c: the channel
 *
 * Process context.
 *
 * Return: 0, or what kthread_run() gave.
 */
int dummy_channel_power_on(struct dummy_channel *c)
{
	struct task_struct *thread;

	thread = kthread_run(hardware_play, c, "dummy-%s", c->line->label);
	if (IS_ERR(thread))
		return PTR_ERR(thread);
	c->thread = thread;
	return 0;
}

/**
 * dummy_channel_power_off() - the hardware is gone
 * @c: the channel
 *
 * Process context. Nothing moves and nobody is called back any more, whatever the
 * client does; also for a channel that was not powered on.
 */
void dummy_channel_power_off(struct dummy_channel *c)
{
	spin_lock_irq(&c->lock);
	c->dead = true;
	c->released = true;
	dummy_channel_abort(c);
	spin_unlock_irq(&c->lock);
	if (c->thread)
		kthread_stop(c->thread);
	c->thread = NULL;
	dummy_channel_drop_calls(c);
	atomic_set(&c->line->faults.queued, 0);
}

/**
 * dummy_channel_free() - free a channel's memory
 * @c: the channel, never powered on or powered off
 *
 * Process context.
 */
void dummy_channel_free(struct dummy_channel *c)
{
	kvfree(c->stale);
	kvfree(c->transfers);
	kvfree(c->segments);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: the hot path: completions to the CQ, the SQ to the engine
 *
 * One function does it all, pump(), under the stream's lock: retire what the
 * engine has finished, take what the application has returned and what others
 * have let go of, give the engine what it can hold. It is called by
 *
 *   the engine's callback   every completed transfer          softirq
 *   sq_timer_fn()           while the engine has no slot      softirq
 *   worker()                in place of both, where cache     process
 *                           maintenance costs time
 *   sgring_pump_kick()      when NEED_WAKEUP was seen          process
 *   sgring_pump_begin()     arm                               process
 *
 * Nothing here allocates, and no loop is longer than a ring.
 *
 * Three regimes. Backlogged: the engine runs dry, the timer looks at the SQ,
 * after sq_idle_usec it raises NEED_WAKEUP. Idle: the callback looks at the SQ.
 * Balanced: both sides find work whenever they look.
 *
 * NEED_WAKEUP is about the SQ alone: who holds the pages of a slot at the gate
 * kicks nobody. For those the timer of a starved stream goes on.
 *
 * Letters are those of the drawing in uapi/linux/sgring_ring.h. Models:
 * tests/model/wakeup.pml (NEED_WAKEUP, timer, gate), wait.pml (announcements),
 * rings.pml (entries and slots).
 */
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/ktime.h>
#include <linux/poll.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "stream.h"
#include "trace.h"

/* How long what was returned, or let go of, may stay unseen, unless a set-up says longer. */
#define PERIOD_MAX_USEC	16000U

/* Time by the clock of the set-up, ns. Any context. */
u64 sgring_now(const struct sgring_stream *s)
{
	switch (s->setup.clock) {
	case SGRING_CLOCK_REALTIME:
		return ktime_get_real_ns();
	case SGRING_CLOCK_TAI:
		return ktime_get_clocktai_ns();
	case SGRING_CLOCK_BOOTTIME:
		return ktime_get_boottime_ns();
	case SGRING_CLOCK_MONOTONIC_RAW:
		return ktime_get_raw_ns();
	default:
		return ktime_get_ns();
	}
}

/* The device's own count of losses, where it has one. */
static u64 lost_bytes(const struct sgring_stream *s)
{
	const struct sgring_client_ops *ops = s->client.ops;

	return ops && ops->lost_bytes ? ops->lost_bytes(s->client.priv) : s->lost_seen;
}

static ktime_t usec(u32 us)
{
	return ns_to_ktime((u64)us * NSEC_PER_USEC);
}

static struct sgring_cell *cell_at(struct sgring_stream *s, u32 index)
{
	return &s->cells[index % SGRING_CELLS];
}

/* A pass begins: the clock is read once for all it does. */
static void pass_begin(struct sgring_stream *s)
	__acquires(&s->lock)
{
	spin_lock_bh(&s->lock);
	s->now_ns = sgring_now(s);
}

/* Syncs that do no work (a coherent device, no bounce buffer) cost time all the same. */
static void sync_for_cpu(struct sgring_stream *s, struct sgring_slot *slot)
{
	if (s->syncs)
		dma_sync_sgtable_for_cpu(s->engine.dma_dev, &slot->table, sgring_dma_dir(s));
}

static void sync_for_device(struct sgring_stream *s, struct sgring_slot *slot)
{
	if (s->syncs)
		dma_sync_sgtable_for_device(s->engine.dma_dev, &slot->table, sgring_dma_dir(s));
}

/* From the beginning of this pass on. */
static void slot_state(struct sgring_stream *s, struct sgring_slot *slot, u32 state)
{
	slot->state = state;
	sgring_table_state(&s->rings, slot->index, state, s->now_ns);
}

/* Who sees a flag sees the entries before it. */
static void kernel_flags(struct sgring_stream *s, u32 set, u32 clear)
{
	sgring_store_release(&s->rings.kernel->flags, (s->rings.kernel->flags | set) & ~clear);
}

/* An index of the application is nonsense: stop, in a context that can. */
static void fail(struct sgring_stream *s, s32 status)
{
	if (!s->active || !s->refill)
		return;
	s->stats.index_bad++;
	trace_sgring_error(s, SGRING_ERROR_INDEX, -1, status);
	s->refill = false;
	s->fail_status = status;
	schedule_work(&s->fail_work);
}

/* Tell waiters of all entries there are. */
static void announce(struct sgring_stream *s)
{
	s->announced = s->rings.cq_producer;
	s->batch_until = 0;
	if (wq_has_sleeper(&s->wait)) {
		s->stats.wakeups++;
		wake_up_interruptible_poll(&s->wait, EPOLLIN | EPOLLRDNORM);
	}
}

/* Its first slot is there. */
static void batch_begin(struct sgring_stream *s)
{
	struct hrtimer *timer = &s->wake_timer;

	s->batch_until = ktime_add(ktime_get(), usec(s->setup.wake_usec));
	/* That of an earlier batch may have had a longer time. */
	if (!hrtimer_is_queued(timer) ||
	    ktime_after(hrtimer_get_expires(timer), s->batch_until))
		hrtimer_start(timer, s->batch_until, HRTIMER_MODE_ABS_SOFT);
}

/*
 * If somebody waits or has @asked: is a batch complete? Or can it not become so,
 * because fewer slots are left than it takes? If not, its time begins. The timer
 * of a batch that was complete in time is left to run, and finds the next one.
 */
static void announce_check(struct sgring_stream *s, bool asked)
{
	u32 consumer, unannounced;
	int pending;

	/*
	 * The end of stream is announced whatever there is. Who has asked has told by
	 * that what it has consumed; else O, from E to H, is in wq_has_sleeper().
	 */
	if (!s->active || !(asked || wq_has_sleeper(&s->wait)))
		return;
	pending = sgring_cq_pending(&s->rings); /* H */
	if (pending <= 0)
		return;
	consumer = s->rings.cq_producer - pending;
	if ((s32)(consumer - s->announced) > 0) {
		s->announced = consumer;
		s->batch_until = 0;
	}
	unannounced = s->rings.cq_producer - s->announced;
	if (!unannounced)
		return;
	if (unannounced >= s->setup.wake_slots ||
	    pending + s->slots_engine + s->slots_free + s->gate.count < s->setup.wake_slots)
		announce(s);
	else if (s->setup.wake_usec != SGRING_OFF && !s->batch_until)
		batch_begin(s);
}

static enum hrtimer_restart wake_timer_fn(struct hrtimer *timer)
{
	struct sgring_stream *s = container_of(timer, struct sgring_stream, wake_timer);
	enum hrtimer_restart again = HRTIMER_NORESTART;

	spin_lock_bh(&s->lock);
	/* Queued: it was started anew while this run waited for the lock. */
	if (!s->active || !s->batch_until || hrtimer_is_queued(timer))
		goto out;
	if (ktime_before(ktime_get(), s->batch_until)) {
		hrtimer_set_expires(timer, s->batch_until);
		again = HRTIMER_RESTART;
	} else {
		s->batch_until = 0;
		if (sgring_cq_pending(&s->rings) > 0)
			announce(s);
	}
out:
	spin_unlock_bh(&s->lock);
	return again;
}

/* For telling: -1 is the scratch slot. */
static int slot_index(const struct sgring_slot *slot)
{
	return slot ? (int)slot->index : -1;
}

/* What the transfer says about itself: bytes moved, flags, status. */
static u32 cell_result(struct sgring_stream *s, const struct sgring_cell *cell, u32 *flags,
		       s32 *status)
{
	u32 moved = cell->length - cell->residue;

	if (cell->residue > cell->length) {
		/* Most likely the transfer is right and the driver's sum is wrong. */
		s->stats.residue_bad++;
		trace_sgring_error(s, SGRING_ERROR_RESIDUE, slot_index(cell->slot), cell->residue);
		*flags |= SGRING_CQE_LENGTH_ASSUMED;
		*status = -EPROTO;
		moved = cell->length;
	}
	if (cell->failed) {
		s->stats.engine_errors++;
		*status = -EIO;
		moved = s->engine.length_known ? moved : 0;
		trace_sgring_error(s, SGRING_ERROR_ENGINE, slot_index(cell->slot), moved);
	}
	if (*status)
		return moved;
	if (!s->engine.length_known && !cell->residue)
		*flags |= SGRING_CQE_LENGTH_ASSUMED;
	else if (s->client.ops && s->client.ops->end_of_packet)
		*flags |= cell->end_of_packet ? SGRING_CQE_EOP : 0;
	else if (cell->residue)
		*flags |= SGRING_CQE_EOP;
	return moved;
}

/* The oldest transfer is over and the CPU's: account for it, tell of it. */
static void cell_retire(struct sgring_stream *s, struct sgring_cell *cell, u32 more_flags)
{
	struct sgring_slot *slot = cell->slot;
	/* Out of order, a later count may have been seen before this one. */
	u64 lost = max_t(s64, cell->lost_bytes - s->lost_seen, 0);
	u32 flags = more_flags;
	s32 status = 0;
	u32 moved = cell_result(s, cell, &flags, &status);
	struct sgring_cqe *cqe;

	if (lost)
		trace_sgring_drop(s, SGRING_DROP_DEVICE, s->position, lost);
	s->lost_seen += lost;
	s->stats.lost_bytes += lost;
	s->gap += lost;
	s->position += lost;
	cell->state = SGRING_CELL_IDLE;
	WRITE_ONCE(s->cell_head, s->cell_head + 1); /* a drain looks on without the lock */

	if (!slot) {
		/* As if it starved: what is at the gate may complete no batch. */
		if (s->announced != s->rings.cq_producer)
			announce(s);
		trace_sgring_drop(s, SGRING_DROP_NO_SLOT, s->position, moved);
		s->stats.dropped_slots++;
		s->stats.dropped_bytes += moved;
		s->gap += moved;
		s->position += moved;
		s->sequence++;
		return;
	}

	if (s->gap)
		flags |= SGRING_CQE_GAP;
	if (s->stall_mark)
		flags |= SGRING_CQE_STALL;
	if (cell->device_time)
		flags |= SGRING_CQE_DEVICE_TIME;
	/* Written where it is read from: nobody looks before it is published. */
	cqe = sgring_cq_next(&s->rings);
	cqe->sequence = s->sequence;
	cqe->position_bytes = s->position;
	cqe->host_time_ns = cell->time_ns;
	cqe->device_time_ns = cell->device_time_ns;
	cqe->cookie = slot->cookie;
	cqe->slot = slot->index;
	cqe->length_bytes = status ? 0 : moved;
	cqe->flags = flags;
	cqe->status = status;
	cqe->engine_slots = --s->slots_engine;
	cqe->metadata_bytes = 0;
	sgring_table_transfer(&s->rings, slot->index, s->sequence, s->position);
	slot_state(s, slot, SGRING_SLOT_APP);
	s->slots_app++;
	s->stall_mark = false;
	s->gap = 0;
	s->sequence++;
	s->position += moved;
	if (status) {
		/* What a failed transfer had moved is lost, and known to be. */
		s->gap += moved;
		s->stats.lost_bytes += moved;
	}
	s->stats.slots_done++;
	s->stats.bytes_done += status ? 0 : moved;
	if (moved < cell->length && !status)
		s->stats.short_slots++;
	if (flags & SGRING_CQE_LENGTH_ASSUMED)
		s->stats.assumed_slots++;
	sgring_cq_publish(&s->rings);
	trace_sgring_publish(s, cqe);
	if (status)
		announce(s);
}

static void retire(struct sgring_stream *s)
{
	bool any = false;

	while (sgring_inflight(s)) {
		struct sgring_cell *cell = cell_at(s, s->cell_head);

		if (cell->state == SGRING_CELL_DONE && (!s->deferred || !cell->slot)) {
			if (cell->slot)
				sync_for_cpu(s, cell->slot);
			cell->state = SGRING_CELL_SYNCED;
		}
		if (cell->state != SGRING_CELL_SYNCED)
			break;
		cell_retire(s, cell, 0);
		any = true;
	}
	if (any && !s->refill && !sgring_inflight(s))
		wake_up(&s->idle_wait);
}

/* A slot is nobody else's any more: for the engine to fill. */
static void slot_free(struct sgring_stream *s, struct sgring_slot *slot)
{
	slot_state(s, slot, SGRING_SLOT_FREE);
	s->slots_free++;
	s->came = true;
	if (s->deferred) {
		list_add_tail(&slot->node, &s->dirty);
		return;
	}
	sync_for_device(s, slot);
	sgring_queue_add(&s->free, slot);
}

static bool slot_idle(struct sgring_stream *s, struct sgring_slot *slot)
{
	return sgring_gate_idle(&s->gate, slot, atomic_read(&s->mapped[SGRING_REGION_DATA]));
}

/* A slot becomes the kernel's again. */
static void slot_take(struct sgring_stream *s, struct sgring_slot *slot, u64 cookie)
{
	slot->cookie = cookie;
	slot->gate_chunk = 0;
	s->slots_app--;
	s->stats.app_usec_log2[sgring_table_usec_log2(&s->rings, slot->index, s->now_ns)]++;
	s->stats.sq_taken++;
	if ((s->setup.flags & SGRING_SETUP_NO_GATE) || slot_idle(s, slot)) {
		slot_free(s, slot);
		return;
	}
	slot_state(s, slot, SGRING_SLOT_GATED);
	sgring_gate_add(&s->gate, slot, ktime_get_ns());
	s->stats.gate_waits++;
	s->came = true;
	trace_sgring_gate(s, slot, SGRING_GATE_WAITS, 0);
}

/* Has this slot waited at the gate for too long? */
static bool slot_stuck(const struct sgring_stream *s, const struct sgring_slot *slot, u64 now)
{
	return s->setup.gate_report_ms != SGRING_OFF &&
	       now - slot->gate_since_ns > (u64)s->setup.gate_report_ms * NSEC_PER_MSEC;
}

/* Once for each time a slot waits; who holds it is not to be known, how is. */
static void slot_tell(struct sgring_stream *s, struct sgring_slot *slot, u64 now)
{
	struct sgring_hold hold = sgring_gate_hold(slot);

	trace_sgring_gate(s, slot, SGRING_GATE_STUCK, now - slot->gate_since_ns);
	slot->gate_told = true;
	s->stats.gate_stuck++;
	dev_notice_ratelimited(&s->dev,
			       "%s: slot %u waits at the gate for %llu ms: its pages are held (%d references, %d mappings, %spinned); registered io_uring buffers need the gate off\n",
			       s->label[0] ? s->label : "no label", slot->index,
			       div_u64(now - slot->gate_since_ns, NSEC_PER_MSEC),
			       hold.references, hold.mappings, hold.pinned ? "" : "not ");
}

/* Look again at slots that wait at the gate; at how many. */
static u32 gate_check(struct sgring_stream *s)
{
	u32 looks = min3(s->gate.count, s->pass_entries, (u32)SGRING_PASS_GATED);
	u64 now = looks ? ktime_get_ns() : 0;
	u32 i;

	for (i = 0; i < looks; i++) {
		struct sgring_slot *slot = sgring_gate_next(&s->gate);

		if (slot_idle(s, slot)) {
			sgring_gate_remove(&s->gate, slot);
			s->stats.gate_wait_ns += now - slot->gate_since_ns;
			trace_sgring_gate(s, slot, SGRING_GATE_PASSES, now - slot->gate_since_ns);
			slot_free(s, slot);
		} else if (!slot->gate_told && slot_stuck(s, slot, now)) {
			slot_tell(s, slot, now);
		}
	}
	s->stats.gate_checks += looks;
	return looks;
}

static bool sqe_valid(const struct sgring_stream *s, const struct sgring_sqe *sqe)
{
	return sqe->slot < s->setup.slot_count && !sqe->flags && !sqe->reserved &&
	       !sqe->offset_bytes && !sqe->length_bytes &&
	       s->slots[sqe->slot].state == SGRING_SLOT_APP;
}

/* Take what is in the SQ, after what has waited longer; true if anything was there. */
static bool take(struct sgring_stream *s)
{
	int used = sgring_sq_used(&s->rings);
	struct sgring_sqe sqe;
	int i;

	if (s->gate.count)
		gate_check(s);
	if (used < 0) {
		fail(s, -EPROTO);
		return false;
	}
	used = min_t(int, used, s->pass_entries);
	for (i = 0; i < used; i++) {
		sgring_sq_copy(&s->rings, i, &sqe);
		if (sqe_valid(s, &sqe)) {
			slot_take(s, &s->slots[sqe.slot], sqe.cookie);
			continue;
		}
		s->stats.sq_bad++;
		trace_sgring_error(s, SGRING_ERROR_SQ, sqe.slot, s->rings.sq_consumer + i);
	}
	if (used)
		sgring_sq_taken(&s->rings, used);
	return used;
}

static void callback(struct sgring_cell *cell, const struct dmaengine_result *result);

static void callback_plain(void *param)
{
	callback(param, NULL);
}

static void callback_result(void *param, const struct dmaengine_result *result)
{
	callback(param, result);
}

/* Give the engine a slot, or the scratch slot (NULL); false: not now. */
static bool submit(struct sgring_stream *s, struct sgring_slot *slot)
{
	struct sgring_cell *cell = cell_at(s, s->cell_tail);
	struct sg_table *table = slot ? &slot->table : &s->scratch.table;
	struct dma_async_tx_descriptor *tx;

	tx = sgring_engine_prep(&s->engine, table);
	if (!tx) {
		s->stats.engine_busy++;
		trace_sgring_error(s, SGRING_ERROR_BUSY, slot_index(slot), sgring_inflight(s));
		return false;
	}
	/* Not ->stream: a late callback may read that at any time. */
	cell->slot = slot;
	cell->arm = s->arm;
	cell->state = SGRING_CELL_SUBMITTED;
	cell->length = s->setup.slot_bytes;
	cell->residue = 0;
	cell->failed = false;
	cell->device_time = false;
	cell->device_time_ns = 0;
	cell->end_of_packet = false;
	if (s->engine.quirks & SGRING_QUIRK_NO_RESULT)
		tx->callback = callback_plain;
	else
		tx->callback_result = callback_result;
	tx->callback_param = cell;
	if (slot)
		sgring_table_generation(&s->rings, slot->index);
	cell->cookie = dmaengine_submit(tx);
	if (dma_submit_error(cell->cookie)) {
		cell->state = SGRING_CELL_IDLE;
		s->stats.engine_busy++;
		trace_sgring_error(s, SGRING_ERROR_BUSY, slot_index(slot), sgring_inflight(s));
		return false;
	}
	WRITE_ONCE(s->cell_tail, s->cell_tail + 1); /* as in cell_retire() */
	trace_sgring_submit(s, cell);
	return true;
}

/* Keep the engine loaded. */
static void refill(struct sgring_stream *s)
{
	bool drop = s->setup.overrun == SGRING_OVERRUN_DROP || s->flush;
	u32 depth = s->setup.queue_depth;
	int room = sgring_cq_room(&s->rings);
	bool any = false;

	if (room < 0) {
		fail(s, -EPROTO);
		return;
	}
	/* Each slot in flight has its entry reserved, and the end of stream one. */
	room -= s->slots_engine + 1;
	while (s->refill && sgring_inflight(s) < depth) {
		struct sgring_slot *slot = s->free.first;

		if (slot && room <= 0) {
			s->stats.cq_full++;
			trace_sgring_error(s, SGRING_ERROR_CQ_FULL, slot->index,
					   sgring_inflight(s));
			slot = NULL;
		}
		/* A dropped slot must not make a returned one wait longer than it has to. */
		if (!slot && (!drop || sgring_inflight(s) >= min(depth, 2U)))
			break;
		if (!submit(s, slot))
			break;
		any = true;
		if (!slot)
			continue;
		sgring_queue_take(&s->free);
		slot_state(s, slot, SGRING_SLOT_ENGINE);
		s->slots_free--;
		s->slots_engine++;
		room--;
	}
	if (any)
		dma_async_issue_pending(s->engine.chan);
}

/*
 * Nobody will look at the SQ from now on, unless something is in it already.
 * A slot that is here waits for a descriptor of the engine, or for room in the
 * CQ: of neither does a submission tell, so the timer goes on.
 */
static bool need_wakeup(struct sgring_stream *s)
{
	if (s->slots_free || s->setup.overrun == SGRING_OVERRUN_DROP)
		return false;
	kernel_flags(s, SGRING_NEED_WAKEUP, 0); /* K */
	smp_mb(); /* L: pairs with I */
	if (!sgring_sq_used(&s->rings)) /* M */
		return true;
	kernel_flags(s, 0, SGRING_NEED_WAKEUP);
	return false;
}

/*
 * How long until the timer of a starved stream is to run again, us; 0: never,
 * the application will kick, and nobody is at the gate. A quarter of what it has
 * waited already: so a stall is hardly longer than it had to be, and a long one
 * costs few runs.
 */
static u32 next_period(struct sgring_stream *s)
{
	u32 shortest = s->setup.sq_poll_usec;
	u64 waited = div_u64(ktime_get_ns() - s->idle_since, NSEC_PER_USEC);
	bool idle = s->setup.sq_idle_usec == SGRING_OFF || waited >= s->setup.sq_idle_usec;
	u64 period = min_t(u64, waited / 4, PERIOD_MAX_USEC);

	if (idle && need_wakeup(s) && !s->gate.count)
		return 0;
	if (!idle)
		period = min_t(u64, period, s->setup.sq_idle_usec - waited);
	return max_t(u64, period, shortest);
}

/* Of a stream that starves, or to which something came. */
static void timer_begin(struct sgring_stream *s)
{
	u32 period;

	s->idle_since = ktime_get_ns();
	kernel_flags(s, 0, SGRING_NEED_WAKEUP);
	period = next_period(s);
	if (period)
		hrtimer_start(&s->sq_timer, usec(period), HRTIMER_MODE_REL_SOFT);
}

/* The engine has nothing, or has something again. */
static void starve_check(struct sgring_stream *s)
{
	bool starved = s->active && s->refill && !sgring_inflight(s);
	bool came = s->came;
	u64 now;

	s->came = false;
	/*
	 * Kicked, perhaps, and what came cannot be given to the engine yet. The timer's own
	 * run goes on by itself.
	 */
	if (starved && s->starved &&
	    (came || (s->slots_free && !hrtimer_active(&s->sq_timer))))
		timer_begin(s);
	if (starved == s->starved)
		return;
	now = ktime_get_ns();
	s->starved = starved;
	if (!starved) {
		s->stats.stalled_ns += now - s->starved_since;
		s->stall_mark = true;
		kernel_flags(s, 0, SGRING_STARVED | SGRING_NEED_WAKEUP);
		hrtimer_try_to_cancel(&s->sq_timer);
		trace_sgring_starve(s, now - s->starved_since);
		return;
	}
	trace_sgring_starve(s, 0);
	s->starved_since = now;
	s->stats.stalls++;
	kernel_flags(s, SGRING_STARVED, 0);
	announce(s);
	timer_begin(s);
}

/* See the head of this file; true if the SQ had anything. */
static bool pump(struct sgring_stream *s)
{
	bool took;

	retire(s);
	took = take(s);
	refill(s);
	starve_check(s);
	announce_check(s, false);
	return took;
}

static enum hrtimer_restart sq_timer_fn(struct hrtimer *timer)
{
	struct sgring_stream *s = container_of(timer, struct sgring_stream, sq_timer);
	enum hrtimer_restart again = HRTIMER_NORESTART;
	u32 period = 0;
	bool hit;

	pass_begin(s);
	/* Queued: it was started anew while this run waited for the lock. */
	if (!s->active || !s->starved || hrtimer_is_queued(timer))
		goto out;
	s->stats.timer_runs++;
	if (s->deferred) {
		hit = sgring_sq_used(&s->rings) || s->slots_free ||
		      s->setup.overrun == SGRING_OVERRUN_DROP;
		if (hit || s->gate.count)
			queue_work(sgring_wq, &s->work);
	} else {
		hit = pump(s);
	}
	s->stats.timer_hits += hit;
	if (s->active && s->refill && s->starved && !hrtimer_is_queued(timer))
		period = next_period(s);
	trace_sgring_timer(s, hit, period);
	if (!period)
		goto out;
	hrtimer_forward_now(timer, usec(period));
	again = HRTIMER_RESTART;
out:
	spin_unlock_bh(&s->lock);
	return again;
}

/*
 * Where cache maintenance costs time: sync outside the lock. Only this worker
 * moves cells from DONE to SYNCED and slots from dirty to free, so whatever it
 * has picked stays while it does not hold the lock.
 */
static void worker(struct work_struct *work)
{
	struct sgring_stream *s = container_of(work, struct sgring_stream, work);
	u32 next;

	pass_begin(s);
	if (!s->active)
		goto out;
	for (next = s->cell_head; next != s->cell_tail; next++) {
		struct sgring_cell *cell = cell_at(s, next);

		if (cell->state == SGRING_CELL_SYNCED)
			continue;
		if (cell->state != SGRING_CELL_DONE)
			break;
		if (cell->slot) {
			spin_unlock_bh(&s->lock);
			sync_for_cpu(s, cell->slot);
			pass_begin(s);
		}
		cell->state = SGRING_CELL_SYNCED;
		pump(s);
		spin_unlock_bh(&s->lock);
		cond_resched();
		pass_begin(s);
		/* pump() has retired cells up to this one, if all before were done. */
		if ((s32)(s->cell_head - next) > 0)
			next = s->cell_head - 1;
	}
	take(s);
	while (s->active && !list_empty(&s->dirty)) {
		struct sgring_slot *slot = list_first_entry(&s->dirty, struct sgring_slot, node);

		spin_unlock_bh(&s->lock);
		sync_for_device(s, slot);
		cond_resched();
		pass_begin(s);
		list_del_init(&slot->node);
		sgring_queue_add(&s->free, slot);
		pump(s);
	}
	pump(s);
out:
	spin_unlock_bh(&s->lock);
}

/* Pump now, or have the worker do it. */
static void look(struct sgring_stream *s)
{
	if (!s->active)
		return;
	if (s->deferred)
		queue_work(sgring_wq, &s->work);
	else
		pump(s);
}

/* A transfer is over, says the engine. */
static void callback(struct sgring_cell *cell, const struct dmaengine_result *result)
{
	struct sgring_stream *s = cell->stream;
	const struct sgring_client_ops *ops = s->client.ops;

	pass_begin(s);
	if (cell->arm != s->arm) {
		s->stats.late_callbacks++;
		trace_sgring_error(s, SGRING_ERROR_LATE, -1, cell->arm);
		goto out;
	}
	if (!s->active)
		goto out;
	if (cell->state != SGRING_CELL_SUBMITTED) {
		s->stats.odd_callbacks++;
		trace_sgring_error(s, SGRING_ERROR_ODD, -1, cell->cookie);
		goto out;
	}
	/* Out of order: it waits for its turn, what is told stays in order. */
	if (cell != cell_at(s, s->cell_head)) {
		u32 index = s->cell_head;

		while (cell_at(s, index) != cell &&
		       cell_at(s, index)->state != SGRING_CELL_SUBMITTED)
			index++;
		if (cell_at(s, index) != cell) {
			s->stats.odd_callbacks++;
			trace_sgring_error(s, SGRING_ERROR_ODD,
					   slot_index(cell->slot), cell->cookie);
		}
	}
	cell->state = SGRING_CELL_DONE;
	cell->time_ns = s->now_ns;
	cell->failed = result && result->result != DMA_TRANS_NOERROR;
	cell->residue = result ? result->residue : 0;
	cell->lost_bytes = lost_bytes(s);
	if (ops && ops->device_time_ns)
		cell->device_time = ops->device_time_ns(s->client.priv, &cell->device_time_ns);
	if (ops && ops->end_of_packet)
		cell->end_of_packet = ops->end_of_packet(s->client.priv);
	trace_sgring_complete(s, cell);
	look(s);
out:
	spin_unlock_bh(&s->lock);
}

/* Once, at registration. */
void sgring_pump_init(struct sgring_stream *s)
{
	u32 i;

	spin_lock_init(&s->lock);
	init_waitqueue_head(&s->wait);
	init_waitqueue_head(&s->idle_wait);
	INIT_LIST_HEAD(&s->dirty);
	sgring_gate_init(&s->gate);
	INIT_WORK(&s->work, worker);
	INIT_WORK(&s->fail_work, sgring_fail_work);
	hrtimer_setup(&s->sq_timer, sq_timer_fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	hrtimer_setup(&s->wake_timer, wake_timer_fn, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	for (i = 0; i < SGRING_CELLS; i++)
		s->cells[i].stream = s;
}

/**
 * sgring_pump_collect() - take back what can be had without the engine
 * @s: in state READY; under the mutex
 *
 * Looks at all slots that wait at the gate. May sleep.
 *
 * Return: false if the engine would get nothing, and might later, when somebody
 * lets go of a slot.
 */
bool sgring_pump_collect(struct sgring_stream *s)
{
	bool enough;
	u32 left;

	pass_begin(s);
	take(s);
	for (left = s->gate.count; left; left -= min(left, gate_check(s))) {
		spin_unlock_bh(&s->lock);
		cond_resched();
		pass_begin(s);
	}
	enough = s->slots_free || !s->gate.count || s->setup.overrun == SGRING_OVERRUN_DROP;
	spin_unlock_bh(&s->lock);
	return enough;
}

/**
 * sgring_pump_begin() - a new epoch; load the engine
 * @s: in state READY, nothing in flight; under the mutex
 *
 * Return: true if the engine got anything; it may have finished it by now.
 */
bool sgring_pump_begin(struct sgring_stream *s)
{
	u32 tail;

	pass_begin(s);
	tail = s->cell_tail;
	s->fail_status = 0;
	s->stats.epoch++;
	s->sequence = 0;
	s->position = 0;
	s->gap = 0;
	s->lost_seen = 0;
	s->stall_mark = false;
	s->starved = false;
	s->came = false;
	s->announced = s->rings.cq_producer;
	s->batch_until = 0;
	WRITE_ONCE(s->rings.kernel->epoch, s->stats.epoch);
	kernel_flags(s, 0, SGRING_NEED_WAKEUP | SGRING_STARVED);
	s->active = true;
	s->refill = true;
	look(s);
	spin_unlock_bh(&s->lock);
	flush_work(&s->work);
	return READ_ONCE(s->cell_tail) != tail;
}

/*
 * The device ends its packet: give the engine what has been returned by now, and
 * the scratch slot where that is nothing; under the mutex.
 */
void sgring_pump_flush(struct sgring_stream *s)
{
	pass_begin(s);
	s->flush = true;
	look(s);
	spin_unlock_bh(&s->lock);
	flush_work(&s->work);
}

/* The engine gets no more slots, the scratch slot neither; under the mutex. */
void sgring_pump_hold(struct sgring_stream *s)
{
	spin_lock_bh(&s->lock);
	s->refill = false;
	s->flush = false;
	starve_check(s);
	spin_unlock_bh(&s->lock);
}

/* Completions do not count any more, no timer and no worker runs; under the mutex. */
void sgring_pump_end(struct sgring_stream *s)
{
	spin_lock_bh(&s->lock);
	s->refill = false;
	starve_check(s);
	s->active = false;
	spin_unlock_bh(&s->lock);
	/* The worker first: it may be about to start a timer. */
	cancel_work_sync(&s->work);
	hrtimer_cancel(&s->sq_timer);
	hrtimer_cancel(&s->wake_timer);
}

/**
 * sgring_pump_retire_rest() - deliver what had come, take back the rest
 * @s: after sgring_pump_end(), the engine at rest; under the mutex
 * @residue: what was missing in the transfer that was cut, or NULL: not known
 * @leak: the engine could not be stopped: it keeps what it has
 *
 * Return: true if a cut slot was delivered.
 */
bool sgring_pump_retire_rest(struct sgring_stream *s, const u32 *residue, bool leak)
{
	struct sgring_cell *cell;
	bool partial = false;
	u32 i;

	pass_begin(s);
	while (sgring_inflight(s)) {
		cell = cell_at(s, s->cell_head);
		if (cell->state == SGRING_CELL_SUBMITTED) {
			if (!residue || *residue >= cell->length)
				break;
			cell->residue = *residue;
			cell->time_ns = s->now_ns;
			cell->lost_bytes = lost_bytes(s);
			partial = cell->slot;
			residue = NULL;
		}
		if (cell->slot) {
			spin_unlock_bh(&s->lock);
			sync_for_cpu(s, cell->slot);
			pass_begin(s);
		}
		cell_retire(s, cell, cell->state == SGRING_CELL_SUBMITTED && cell->residue ?
				     SGRING_CQE_PARTIAL : 0);
	}
	/*
	 * Newest first, each to the front: the order of the slots stays. The
	 * cells are not used again soon, so that a late callback finds them old.
	 */
	for (i = s->cell_tail; i != s->cell_head;) {
		cell = cell_at(s, --i);
		cell->state = SGRING_CELL_IDLE;
		if (!cell->slot || leak)
			continue;
		sgring_queue_add_first(&s->free, cell->slot);
		slot_state(s, cell->slot, SGRING_SLOT_FREE);
		s->slots_engine--;
		s->slots_free++;
	}
	WRITE_ONCE(s->cell_head, s->cell_tail);
	/* From now on every callback is late. */
	s->arm++;
	spin_unlock_bh(&s->lock);
	return partial;
}

/* The last entry of an epoch; there is room, refill() has kept it. */
void sgring_pump_end_of_stream(struct sgring_stream *s, s32 status)
{
	const struct sgring_client_ops *ops = s->client.ops;
	struct sgring_cqe cqe;
	u64 lost = 0;

	spin_lock_bh(&s->lock);
	if (ops && ops->lost_bytes)
		lost = max_t(s64, ops->lost_bytes(s->client.priv) - s->lost_seen, 0);
	if (lost)
		trace_sgring_drop(s, SGRING_DROP_DEVICE, s->position, lost);
	s->stats.lost_bytes += lost;
	s->gap += lost;
	s->position += lost;
	cqe = (struct sgring_cqe) {
		.sequence = s->sequence,
		.position_bytes = s->position,
		.host_time_ns = sgring_now(s),
		.slot = SGRING_NO_SLOT,
		.flags = SGRING_CQE_EOS | (s->gap ? SGRING_CQE_GAP : 0),
		.status = status,
	};
	s->gap = 0;
	/* Only an application that has damaged its own index goes without. */
	if (sgring_cq_room(&s->rings) > 0) {
		sgring_cq_post(&s->rings, &cqe);
		trace_sgring_publish(s, &cqe);
	}
	announce(s);
	spin_unlock_bh(&s->lock);
}

/* SGRING_KICK. Process context. */
void sgring_pump_kick(struct sgring_stream *s)
{
	pass_begin(s);
	s->stats.kicks++;
	trace_sgring_kick(s);
	look(s);
	spin_unlock_bh(&s->lock);
}

/* Thresholds have changed: who waits may be due now. */
void sgring_pump_recheck(struct sgring_stream *s)
{
	spin_lock_bh(&s->lock);
	s->batch_until = 0;
	announce_check(s, false);
	spin_unlock_bh(&s->lock);
}

/* read(2) is done with a slot; false if the device is gone. */
bool sgring_pump_return(struct sgring_stream *s, u32 slot)
{
	bool ours;

	pass_begin(s);
	ours = !s->dead && s->slots[slot].state == SGRING_SLOT_APP;
	if (ours)
		slot_take(s, &s->slots[slot], 0);
	look(s);
	spin_unlock_bh(&s->lock);
	return ours;
}

/**
 * sgring_pump_poll() - is a batch ready?
 * @s: set up
 * @count: the owner asks
 *
 * Return: EPOLLIN and EPOLLRDNORM, or 0; then the batch timer runs.
 */
__poll_t sgring_pump_poll(struct sgring_stream *s, bool count)
{
	__poll_t mask = 0;
	int pending;

	spin_lock_bh(&s->lock);
	if (count)
		s->stats.polls++;
	/* Whose set-up has just been undone. */
	if (!s->rings.user)
		goto out;
	announce_check(s, true);
	pending = sgring_cq_pending(&s->rings);
	if (pending > 0 &&
	    (s32)(s->announced - (s->rings.cq_producer - pending)) > 0)
		mask = EPOLLIN | EPOLLRDNORM;
	/* A damaged index is reported by the end-of-stream entry it leads to. */
	if (pending < 0)
		mask = EPOLLERR;
out:
	spin_unlock_bh(&s->lock);
	return mask;
}

/* A consistent copy of the counters. */
void sgring_pump_stats(struct sgring_stream *s, struct sgring_stats *stats)
{
	const struct sgring_slot *oldest;

	spin_lock_bh(&s->lock);
	*stats = s->stats;
	stats->slots_free = s->slots_free;
	stats->slots_engine = s->slots_engine;
	stats->slots_app = s->slots_app;
	stats->slots_gated = s->gate.count;
	if (!(s->setup.flags & SGRING_SETUP_NO_GATE))
		stats->flags |= SGRING_STATS_GATE;
	oldest = sgring_gate_oldest(&s->gate);
	if (oldest && slot_stuck(s, oldest, ktime_get_ns()))
		stats->flags |= SGRING_STATS_STUCK;
	if (s->starved) {
		stats->flags |= SGRING_STATS_STARVED;
		stats->stalled_ns += ktime_get_ns() - s->starved_since;
	}
	spin_unlock_bh(&s->lock);
}

#if IS_ENABLED(CONFIG_SGRING_KUNIT_TEST)
#include "pump_kunit.c"
#endif

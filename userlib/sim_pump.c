/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the simulator's hot path: transfers to the CQ, the SQ to the engine
 *
 * It does what kernel/pump.c does, in its order and with its names; what that
 * says is not said again. Timers are points in time that the thread sleeps
 * until, waiters are rung for through a pipe, and there is no gate: page
 * references cannot be seen from here. All of it under the stream's lock.
 */
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "sim_stream.h"

/* SQ entries one pass takes at most. */
#define PASS_ENTRIES	1024

/* How long what was returned may stay unseen, unless a set-up says longer. */
#define PERIOD_MAX_NS	16000000ULL

/* How long the owner's descriptor may stay readable after the last entry was consumed. */
#define BELL_NS		1000000

static u64 clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* A pass begins: the clocks are read once for all it does. */
void sgring_sim_pass(struct sgring_sim *s)
{
	static const clockid_t clocks[] = {
		[SGRING_CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
		[SGRING_CLOCK_REALTIME] = CLOCK_REALTIME,
		[SGRING_CLOCK_TAI] = CLOCK_TAI,
		[SGRING_CLOCK_BOOTTIME] = CLOCK_BOOTTIME,
		[SGRING_CLOCK_MONOTONIC_RAW] = CLOCK_MONOTONIC_RAW,
	};

	s->mono_ns = clock_ns(CLOCK_MONOTONIC);
	s->now_ns = s->setup.clock == SGRING_CLOCK_MONOTONIC ? s->mono_ns :
							       clock_ns(clocks[s->setup.clock]);
	/* By the room the engine has had until now. */
	if (s->source.enabled && s->options.rate)
		sgring_sim_source_advance(s);
}

static struct sgring_sim_cell *cell_at(struct sgring_sim *s, u32 index)
{
	return &s->cells[index % SGRING_QUEUE_DEPTH_MAX];
}

static void slot_state(struct sgring_sim *s, u32 slot, u32 state)
{
	s->slots[slot].state = state;
	sgring_table_state(&s->rings, slot, state, s->now_ns);
}

static void kernel_flags(struct sgring_sim *s, u32 set, u32 clear)
{
	sgring_store_release(&s->rings.kernel->flags, (s->rings.kernel->flags | set) & ~clear);
}

/* An index of the application is nonsense: the thread stops the stream. */
static void fail(struct sgring_sim *s, s32 status)
{
	if (!s->active || !s->refill)
		return;
	s->stats.index_bad++;
	s->refill = false;
	s->fail_status = status;
}

static void ring_bell(struct sgring_sim *s)
{
	ssize_t n;

	if (s->rung)
		return;
	s->rung = true;
	n = write(s->bell, "", 1);	/* an empty pipe has room */
	(void)n;
}

static void silence_bell(struct sgring_sim *s)
{
	ssize_t n;
	char byte;

	if (!s->rung || s->dead)
		return;
	s->rung = false;
	n = read(s->owner, &byte, 1);
	(void)n;
}

/* Tell waiters of all entries there are. */
static void announce(struct sgring_sim *s)
{
	s->announced = s->rings.cq_producer;
	s->wake_at = SGRING_SIM_OFF;
	s->stats.wakeups += !s->rung;
	ring_bell(s);
}

/*
 * Who waits by epoll is not known here: whoever has not been rung for may be
 * waiting.
 */
static void announce_check(struct sgring_sim *s, bool asked)
{
	u32 consumer, unannounced;
	int pending;

	if (!s->active || (s->rung && !asked))
		return;
	pending = sgring_cq_pending(&s->rings);
	if (pending <= 0)
		return;
	consumer = s->rings.cq_producer - (u32)pending;
	if ((s32)(consumer - s->announced) > 0) {
		s->announced = consumer;
		s->wake_at = SGRING_SIM_OFF;
	}
	unannounced = s->rings.cq_producer - s->announced;
	if (!unannounced)
		return;
	if (unannounced >= s->setup.wake_slots ||
	    (u32)pending + s->slots_engine + s->slots_free < s->setup.wake_slots)
		announce(s);
	else if (s->setup.wake_usec != SGRING_OFF && s->wake_at == SGRING_SIM_OFF)
		s->wake_at = s->mono_ns + s->setup.wake_usec * 1000ULL;
}

/* What the transfer says about itself: bytes moved, flags, status. */
static u32 cell_result(struct sgring_sim *s, const struct sgring_sim_cell *cell, u32 *flags,
		       s32 *status)
{
	if (cell->failed) {
		s->stats.engine_errors++;
		*status = -EIO;
	} else if (cell->end_of_packet) {
		*flags |= SGRING_CQE_EOP;
	}
	return cell->done;
}

/* The oldest transfer is over: account for it, tell of it. */
static void cell_retire(struct sgring_sim *s, const struct sgring_sim_cell *cell, u32 more_flags)
{
	u64 lost = cell->lost_bytes - s->lost_seen;
	u32 flags = more_flags;
	s32 status = 0;
	u32 moved = cell_result(s, cell, &flags, &status);
	struct sgring_cqe cqe;

	s->lost_seen += lost;
	s->stats.lost_bytes += lost;
	s->gap += lost;
	s->position += lost;
	s->cell_head++;

	if (cell->slot == SGRING_NO_SLOT) {
		if (s->announced != s->rings.cq_producer)
			announce(s);
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
	cqe = (struct sgring_cqe) {
		.sequence = s->sequence,
		.position_bytes = s->position,
		.host_time_ns = s->now_ns,
		.device_time_ns = s->mono_ns - s->source.start_ns,
		.cookie = s->slots[cell->slot].cookie,
		.slot = cell->slot,
		.length_bytes = status ? 0 : moved,
		.flags = flags | SGRING_CQE_DEVICE_TIME,
		.status = status,
		.engine_slots = --s->slots_engine,
	};
	sgring_table_transfer(&s->rings, cell->slot, s->sequence, s->position);
	slot_state(s, cell->slot, SGRING_SLOT_APP);
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
	s->stats.bytes_done += cqe.length_bytes;
	if (moved < s->setup.slot_bytes && !status)
		s->stats.short_slots++;
	sgring_cq_post(&s->rings, &cqe);
	if (status)
		announce(s);
}

/* The oldest transfer was played: it is told of as it was then. */
static void cell_replay(struct sgring_sim *s, const struct sgring_sim_cell *cell)
{
	const struct sgring_cqe *e = &s->source.replay->entry;
	struct sgring_cqe cqe = *e;
	u64 lost = e->position_bytes - min_of(s->position, e->position_bytes);

	s->cell_head++;
	s->source.loaded = false;
	s->stats.lost_bytes += lost;
	s->gap += lost;
	s->sequence = e->sequence + 1;
	s->position = e->position_bytes + e->length_bytes;
	if (cell->slot == SGRING_NO_SLOT) {
		if (s->announced != s->rings.cq_producer)
			announce(s);
		s->stats.dropped_slots++;
		s->stats.dropped_bytes += e->length_bytes;
		s->gap += e->length_bytes;
		return;
	}
	s->slots_engine--;
	cqe.slot = cell->slot;
	cqe.cookie = s->slots[cell->slot].cookie;
	cqe.flags |= s->gap ? SGRING_CQE_GAP : 0;
	sgring_table_transfer(&s->rings, cell->slot, cqe.sequence, cqe.position_bytes);
	slot_state(s, cell->slot, SGRING_SLOT_APP);
	s->slots_app++;
	s->stall_mark = false;
	s->gap = 0;
	s->stats.slots_done++;
	s->stats.bytes_done += e->length_bytes;
	s->stats.engine_errors += e->status != 0;
	if (e->length_bytes < s->setup.slot_bytes && !e->status)
		s->stats.short_slots++;
	sgring_cq_post(&s->rings, &cqe);
	if (e->status)
		announce(s);
}

static void retire(struct sgring_sim *s)
{
	if (s->source.replay) {
		/* Only the oldest is one that was read. */
		if (sgring_sim_inflight(s) && cell_at(s, s->cell_head)->complete)
			cell_replay(s, cell_at(s, s->cell_head));
		return;
	}
	while (sgring_sim_inflight(s) && cell_at(s, s->cell_head)->complete)
		cell_retire(s, cell_at(s, s->cell_head), 0);
}

static void free_add(struct sgring_sim *s, u32 slot)
{
	u32 at = s->free_head + s->slots_free++;

	s->free[at < s->setup.slot_count ? at : at - s->setup.slot_count] = slot;
}

static u32 free_take(struct sgring_sim *s)
{
	u32 slot = s->free[s->free_head];

	if (++s->free_head == s->setup.slot_count)
		s->free_head = 0;
	s->slots_free--;
	return slot;
}

/* To the front: it is the next. */
static void free_push(struct sgring_sim *s, u32 slot)
{
	s->free_head = (s->free_head ? s->free_head : s->setup.slot_count) - 1;
	s->free[s->free_head] = slot;
	s->slots_free++;
}

/*
 * The oldest transfer, of which nothing is there yet, shall be into that slot: false, the application
 * has it, or what it returned was not looked at yet.
 */
bool sgring_sim_want(struct sgring_sim *s, u32 slot)
{
	struct sgring_sim_cell *oldest = cell_at(s, s->cell_head);
	u32 other = oldest->slot, i, at;

	if (other == slot)
		return true;
	if (s->slots[slot].state == SGRING_SLOT_APP)
		sgring_sim_take(s);
	for (i = s->cell_head + 1; i != s->cell_tail; i++) {
		if (cell_at(s, i)->slot != slot)
			continue;
		cell_at(s, i)->slot = other;
		oldest->slot = slot;
		return true;
	}
	for (i = 0; i < s->slots_free; i++) {
		at = (s->free_head + i) % s->setup.slot_count;
		if (s->free[at] != slot)
			continue;
		s->free[at] = other;
		slot_state(s, other, SGRING_SLOT_FREE);
		sgring_table_generation(&s->rings, slot);
		slot_state(s, slot, SGRING_SLOT_ENGINE);
		oldest->slot = slot;
		return true;
	}
	return false;
}

static bool sqe_valid(const struct sgring_sim *s, const struct sgring_sqe *sqe)
{
	return sqe->slot < s->setup.slot_count && !sqe->flags && !sqe->reserved &&
	       !sqe->offset_bytes && !sqe->length_bytes &&
	       s->slots[sqe->slot].state == SGRING_SLOT_APP;
}

/* Take what is in the SQ; true if anything was there. */
bool sgring_sim_take(struct sgring_sim *s)
{
	int used = sgring_sq_used(&s->rings), i;
	struct sgring_sqe sqe;

	if (used < 0) {
		fail(s, -EPROTO);
		return false;
	}
	used = min_of(used, PASS_ENTRIES);
	for (i = 0; i < used; i++) {
		sgring_sq_copy(&s->rings, (u32)i, &sqe);
		if (!sqe_valid(s, &sqe)) {
			s->stats.sq_bad++;
			continue;
		}
		s->slots[sqe.slot].cookie = sqe.cookie;
		s->slots_app--;
		s->stats.app_usec_log2[sgring_table_usec_log2(&s->rings, sqe.slot, s->now_ns)]++;
		s->stats.sq_taken++;
		slot_state(s, sqe.slot, SGRING_SLOT_FREE);
		free_add(s, sqe.slot);
		s->came = true;
	}
	if (used)
		sgring_sq_taken(&s->rings, (u32)used);
	return used;
}

/* Keep the engine loaded. */
static void refill(struct sgring_sim *s)
{
	bool drop = s->setup.overrun == SGRING_OVERRUN_DROP;
	u32 depth = s->setup.queue_depth;
	int room = sgring_cq_room(&s->rings);

	if (room < 0) {
		fail(s, -EPROTO);
		return;
	}
	/* Each slot in flight has its entry reserved, and the end of stream one. */
	room -= (int)s->slots_engine + 1;
	while (s->refill && sgring_sim_inflight(s) < depth) {
		u32 slot = SGRING_NO_SLOT;

		if (s->slots_free && room <= 0)
			s->stats.cq_full++;
		else if (s->slots_free)
			slot = free_take(s);
		if (slot == SGRING_NO_SLOT && (!drop || sgring_sim_inflight(s) >= min_of(depth, 2U)))
			break;
		*cell_at(s, s->cell_tail++) = (struct sgring_sim_cell){ .slot = slot };
		if (slot == SGRING_NO_SLOT)
			continue;
		sgring_table_generation(&s->rings, slot);
		slot_state(s, slot, SGRING_SLOT_ENGINE);
		s->slots_engine++;
		room--;
	}
}

/* Nobody will look at the SQ from now on, unless something is in it already. */
static bool need_wakeup(struct sgring_sim *s)
{
	if (s->slots_free || s->setup.overrun == SGRING_OVERRUN_DROP)
		return false;
	kernel_flags(s, SGRING_NEED_WAKEUP, 0); /* K */
	sgring_full_barrier(); /* L: pairs with I, see uapi/linux/sgring_ring.h */
	if (!sgring_sq_used(&s->rings)) /* M */
		return true;
	kernel_flags(s, 0, SGRING_NEED_WAKEUP);
	return false;
}

/* When the timer of a starved stream is to run again: after a quarter of what it has waited. */
static u64 next_look(struct sgring_sim *s)
{
	u64 waited = s->mono_ns - s->idle_since, idle_ns = s->setup.sq_idle_usec * 1000ULL;
	bool idle = s->setup.sq_idle_usec == SGRING_OFF || waited >= idle_ns;
	u64 period = min_of(waited / 4, PERIOD_MAX_NS);

	if (idle && need_wakeup(s))
		return SGRING_SIM_OFF;
	if (!idle)
		period = min_of(period, idle_ns - waited);
	return s->mono_ns + max_of(period, s->setup.sq_poll_usec * 1000ULL);
}

/* Of a stream that starves, or to which something came. */
static void timer_begin(struct sgring_sim *s)
{
	s->idle_since = s->mono_ns;
	kernel_flags(s, 0, SGRING_NEED_WAKEUP);
	s->sq_at = s->options.spin ? SGRING_SIM_OFF : next_look(s);
}

/* The engine has nothing, or has something again. */
static void starve_check(struct sgring_sim *s)
{
	bool starved = s->active && s->refill && !sgring_sim_inflight(s);
	bool came = s->came;

	s->came = false;
	if (starved && s->starved && (came || (s->slots_free && s->sq_at == SGRING_SIM_OFF)))
		timer_begin(s);
	if (starved == s->starved)
		return;
	s->starved = starved;
	if (!starved) {
		s->stats.stalled_ns += s->mono_ns - s->starved_since;
		s->stall_mark = true;
		kernel_flags(s, 0, SGRING_STARVED | SGRING_NEED_WAKEUP);
		s->sq_at = SGRING_SIM_OFF;
		return;
	}
	s->starved_since = s->mono_ns;
	s->stats.stalls++;
	kernel_flags(s, SGRING_STARVED, 0);
	announce(s);
	timer_begin(s);
}

/* True if the SQ had anything. */
bool sgring_sim_pump(struct sgring_sim *s)
{
	bool took;

	retire(s);
	took = sgring_sim_take(s);
	refill(s);
	starve_check(s);
	announce_check(s, false);
	return took;
}

static void sq_timer(struct sgring_sim *s)
{
	s->sq_at = SGRING_SIM_OFF;
	if (!s->starved)
		return;
	s->stats.timer_runs++;
	if (sgring_sim_pump(s))
		s->stats.timer_hits++;
	if (s->refill && s->starved && s->sq_at == SGRING_SIM_OFF)
		s->sq_at = next_look(s);
}

static void wake_timer(struct sgring_sim *s)
{
	s->wake_at = SGRING_SIM_OFF;
	if (sgring_cq_pending(&s->rings) > 0)
		announce(s);
}

/* A new epoch; load the engine. True if it got anything. */
bool sgring_sim_begin(struct sgring_sim *s)
{
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
	WRITE_ONCE(s->rings.kernel->epoch, s->stats.epoch);
	kernel_flags(s, 0, SGRING_NEED_WAKEUP | SGRING_STARVED);
	s->active = true;
	s->refill = true;
	sgring_sim_pump(s);
	return sgring_sim_inflight(s);
}

/* The engine gets no more slots, and no timer runs. */
void sgring_sim_end(struct sgring_sim *s)
{
	s->refill = false;
	starve_check(s);
	s->active = false;
	s->sq_at = SGRING_SIM_OFF;
	s->wake_at = SGRING_SIM_OFF;
	s->device_at = SGRING_SIM_OFF;
}

/* What had come of the slot that was cut, if it is to be delivered; take back the rest. */
bool sgring_sim_retire_rest(struct sgring_sim *s, bool deliver)
{
	struct sgring_sim_cell *cell;
	bool partial = false;

	retire(s);
	cell = cell_at(s, s->cell_head);
	if (deliver && sgring_sim_inflight(s) && cell->done) {
		cell->lost_bytes = s->source.lost;
		partial = cell->slot != SGRING_NO_SLOT;
		cell_retire(s, cell, SGRING_CQE_PARTIAL);
	}
	/* Newest first, each to the front: the order of the slots stays. */
	while (sgring_sim_inflight(s)) {
		cell = cell_at(s, --s->cell_tail);
		if (cell->slot == SGRING_NO_SLOT)
			continue;
		free_push(s, cell->slot);
		slot_state(s, cell->slot, SGRING_SLOT_FREE);
		s->slots_engine--;
	}
	return partial;
}

/* The last entry of an epoch; there is room, refill() has kept it. */
void sgring_sim_end_of_stream(struct sgring_sim *s, s32 status)
{
	u64 lost = s->source.lost - s->lost_seen;
	struct sgring_cqe cqe;

	s->stats.lost_bytes += lost;
	s->gap += lost;
	s->position += lost;
	cqe = (struct sgring_cqe) {
		.sequence = s->sequence,
		.position_bytes = s->position,
		.host_time_ns = s->now_ns,
		.slot = SGRING_NO_SLOT,
		.flags = SGRING_CQE_EOS | (s->gap ? SGRING_CQE_GAP : 0),
		.status = status,
	};
	if (s->source.replay && s->source.told) {
		/* As it was then, but for what was dropped now. */
		cqe = s->source.replay->entry;
		cqe.flags |= s->gap ? SGRING_CQE_GAP : 0;
	}
	s->source.told = false;
	s->gap = 0;
	/* Only an application that has damaged its own index goes without. */
	if (sgring_cq_room(&s->rings) > 0)
		sgring_cq_post(&s->rings, &cqe);
	announce(s);
}

/* Make the owner's descriptor readable, or not, as poll() would find the device. */
void sgring_sim_poll(struct sgring_sim *s)
{
	int pending;

	announce_check(s, true);
	pending = sgring_cq_pending(&s->rings);
	if (pending < 0 || (pending > 0 &&
	    (s32)(s->announced - (s->rings.cq_producer - (u32)pending)) > 0))
		ring_bell(s);
	else
		silence_bell(s);
}

/* Thresholds have changed: who waits may be due now. */
void sgring_sim_recheck(struct sgring_sim *s)
{
	s->wake_at = SGRING_SIM_OFF;
	announce_check(s, true);
}

/* Spinning and starved: has something come? Without a system call, and without the clock. */
static bool something_came(const struct sgring_sim *s)
{
	if (!s->options.spin || !s->starved)
		return false;
	return sgring_sq_used(&s->rings) ||
	       (s->slots_free && sgring_cq_room(&s->rings) > (int)s->slots_engine + 1);
}

/* One step of the kernel, or of the device; false: nothing to do for now. */
static bool step(struct sgring_sim *s)
{
	if (!s->active || s->halt)
		return false;
	if (s->fail_status) {
		sgring_sim_stop(s, false, s->fail_status, NULL);
		return true;
	}
	if (s->source.enabled && s->sequence >= s->options.die_at) {
		sgring_sim_die(s);
		return true;
	}
	if (s->source.enabled && s->sequence >= s->options.end_at) {
		sgring_sim_stop(s, false, -ESHUTDOWN, NULL);
		return true;
	}
	if (sgring_sim_source_ended(s)) {
		sgring_sim_stop(s, true, sgring_sim_source_status(s), NULL);
		return true;
	}
	sgring_sim_pass(s);
	if (s->sq_at <= s->mono_ns)
		sq_timer(s);
	else if (something_came(s))
		sgring_sim_pump(s);
	if (s->wake_at <= s->mono_ns)
		wake_timer(s);
	return sgring_sim_source_move(s, false);
}

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

static void rest(struct sgring_sim *s)
{
	u64 until = SGRING_SIM_OFF;
	struct timespec t;

	if (s->active && s->options.spin) {
		pause_cpu();
		return;
	}
	if (s->active) {
		/* Nobody tells when all is consumed, and epoll asks before we know. */
		if (s->rung) {
			sgring_sim_poll(s);
			until = s->rung ? s->mono_ns + BELL_NS : SGRING_SIM_OFF;
		}
		until = min_of(until, min_of(min_of(s->sq_at, s->wake_at), s->device_at));
	}
	if (until == SGRING_SIM_OFF) {
		pthread_cond_wait(&s->wake, &s->lock);
		return;
	}
	t = (struct timespec){ (time_t)(until / 1000000000), (long)(until % 1000000000) };
	pthread_cond_timedwait(&s->wake, &s->lock, &t);
}

/* The kernel, and the device. */
void *sgring_sim_thread(void *stream)
{
	struct sgring_sim *s = stream;

	pthread_mutex_lock(&s->lock);
	while (!s->quit) {
		if (__atomic_load_n(&s->callers, __ATOMIC_RELAXED)) {
			pthread_mutex_unlock(&s->lock);
			while (__atomic_load_n(&s->callers, __ATOMIC_RELAXED))
				sched_yield();
			pthread_mutex_lock(&s->lock);
			continue;
		}
		if (!step(s))
			rest(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

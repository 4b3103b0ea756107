// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: set-up: check what is asked for, make memory, rings and mappings
 *
 * Every refusal has its errno, and a line that names the limit, the value and
 * the cure: in the caller's message buffer and, for limits, in the log.
 * Under the stream's mutex, process context.
 */
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/pid.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "compat.h"
#include "reaper.h"
#include "stream.h"
#include "trace.h"

#define DEFAULT_SLOT_BYTES	SZ_1M
#define DEFAULT_SLOTS		16
#define DEFAULT_WAKE_USEC	1000
#define DEFAULT_SQ_POLL_USEC	500
#define DEFAULT_SQ_IDLE_USEC	5000000
#define SQ_POLL_USEC_MIN	20
#define DEFAULT_CHUNK_BYTES	SZ_2M
#define DEFAULT_GATE_REPORT_MS	10000

/* Say what is wrong, to the caller and in the log; -@err. */
static __printf(4, 5) int complain(struct sgring_stream *s, struct sgring_message *message,
				   int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(message->text, sizeof(message->text), format, args);
	va_end(args);
	dev_info_ratelimited(&s->dev, "set-up refused: %s\n", message->text);
	return -err;
}

static u64 chunk_bytes_max(void)
{
	return (u64)PAGE_SIZE << SGRING_MAX_ORDER;
}

static int check_words(struct sgring_stream *s, const struct sgring_setup *u,
		       struct sgring_message *m)
{
	if (u->flags & ~(SGRING_SETUP_NUMA_NODE | SGRING_SETUP_NO_GATE))
		return complain(s, m, EINVAL, "unknown flag in 0x%x", u->flags);
	if (u->pad || u->pad2 || memchr_inv(u->reserved, 0, sizeof(u->reserved)))
		return complain(s, m, EINVAL, "padding and reserved fields must be zero");
	if (u->direction > SGRING_PLAYBACK)
		return complain(s, m, EINVAL, "no such direction: %u", u->direction);
	if (u->overrun > SGRING_OVERRUN_DROP)
		return complain(s, m, EINVAL, "no such overrun policy: %u", u->overrun);
	if (u->chunk_policy > SGRING_CHUNK_SINGLE)
		return complain(s, m, EINVAL, "no such chunk policy: %u", u->chunk_policy);
	if (u->clock > SGRING_CLOCK_MONOTONIC_RAW)
		return complain(s, m, EINVAL, "no such clock: %u", u->clock);
	if (u->direction == SGRING_PLAYBACK)
		return complain(s, m, EOPNOTSUPP, "no playback in this version");
	if (s->client.direction != DMA_DEV_TO_MEM)
		return complain(s, m, EOPNOTSUPP, "this stream only plays back");
	if (u->metadata_bytes)
		return complain(s, m, EOPNOTSUPP, "no metadata in this version");
	if (!(u->flags & SGRING_SETUP_NUMA_NODE)) {
		if (u->numa_node)
			return complain(s, m, EINVAL, "numa_node without SGRING_SETUP_NUMA_NODE");
	} else if (u->numa_node < 0 || u->numa_node >= MAX_NUMNODES ||
		   !node_online(u->numa_node)) {
		return complain(s, m, ERANGE, "no such NUMA node: %d", u->numa_node);
	}
	return 0;
}

static int check_time(struct sgring_stream *s, struct sgring_message *m, const char *name,
		      u32 *usec, u32 standard, u32 least, bool may_be_off)
{
	if (!*usec)
		*usec = standard;
	if (*usec == SGRING_OFF && may_be_off)
		return 0;
	if (*usec < least || *usec > SGRING_USEC_MAX)
		return complain(s, m, ERANGE, "%s of %u: from %u to %u", name, *usec, least,
				SGRING_USEC_MAX);
	return 0;
}

static int check_times(struct sgring_stream *s, struct sgring_message *m, u32 *wake_usec,
		       u32 *sq_poll_usec, u32 *sq_idle_usec)
{
	return check_time(s, m, "wake_usec", wake_usec, DEFAULT_WAKE_USEC, 1, true) ?:
	       check_time(s, m, "sq_poll_usec", sq_poll_usec, DEFAULT_SQ_POLL_USEC,
			  SQ_POLL_USEC_MIN, false) ?:
	       check_time(s, m, "sq_idle_usec", sq_idle_usec, DEFAULT_SQ_IDLE_USEC, 1, true);
}

static int check_chunks(struct sgring_stream *s, struct sgring_setup *u,
			struct sgring_message *m)
{
	u64 chunk = u->chunk_bytes;

	if (chunk && u->chunk_policy == SGRING_CHUNK_SINGLE)
		return complain(s, m, EINVAL, "chunk_bytes with single-segment slots");
	if (chunk && (!is_power_of_2(chunk) || chunk < PAGE_SIZE))
		return complain(s, m, EINVAL,
				"chunk_bytes of %llu: a power of two, at least %lu", chunk,
				PAGE_SIZE);
	if (chunk && chunk < s->engine.limits.align)
		return complain(s, m, EINVAL,
				"chunk_bytes of %llu: at least %u, what the engine moves at a time",
				chunk, s->engine.limits.align);
	if (chunk > chunk_bytes_max())
		return complain(s, m, ERANGE, "chunk_bytes of %llu: at most %llu", chunk,
				chunk_bytes_max());
	return 0;
}

/* An engine that takes one segment per slot gets just that. */
static bool wants_single(const struct sgring_stream *s, const struct sgring_setup *u)
{
	return u->chunk_policy == SGRING_CHUNK_SINGLE ||
	       (u->chunk_policy == SGRING_CHUNK_MIXED && s->engine.limits.segments == 1);
}

/* As many slots of the size given as the budget allows, up to the usual number. */
static u32 default_slots(const struct sgring_stream *s, const struct sgring_setup *u, u64 budget)
{
	u64 bytes = min_t(u64, u->slot_bytes, SGRING_SLOT_BYTES_MAX);
	u64 slots;

	if (!bytes)
		return DEFAULT_SLOTS;
	bytes = PAGE_ALIGN(bytes);
	if (wants_single(s, u))
		bytes = roundup_pow_of_two(bytes);
	else if (u->chunk_policy == SGRING_CHUNK_EQUAL)
		bytes = round_up(bytes, u->chunk_bytes ?: PAGE_SIZE);
	slots = div64_u64(budget, bytes);
	if (slots && (u->overrun == SGRING_OVERRUN_DROP ||
		      (s->engine.quirks & SGRING_QUIRK_DRAIN)))
		slots--;
	return clamp_t(u64, slots, 2, DEFAULT_SLOTS);
}

static int check_slots(struct sgring_stream *s, struct sgring_setup *u,
		       struct sgring_message *m)
{
	const struct sgring_limits *limits = &s->engine.limits;
	u64 budget = min(sgring_memory_stream_max(), sgring_memory_total_max());
	u64 largest = SGRING_SLOT_BYTES_MAX;
	u64 whole;

	if (wants_single(s, u)) {
		largest = min(chunk_bytes_max(), limits->segment_bytes);
		/* A chunk is aligned to its size, so only a larger one can cross it. */
		if (limits->boundary_mask)
			largest = min(largest, limits->boundary_mask + 1);
	}
	if (!u->slot_count)
		u->slot_count = default_slots(s, u, budget);
	if (u->slot_count < 2 || u->slot_count > SGRING_SLOTS_MAX)
		return complain(s, m, ERANGE, "slot_count of %u: from 2 to %u", u->slot_count,
				SGRING_SLOTS_MAX);
	if (!u->slot_bytes) {
		u64 bytes = min_t(u64, DEFAULT_SLOT_BYTES, largest);

		bytes = min(bytes, round_down(div_u64(budget, u->slot_count + 1), PAGE_SIZE));
		u->slot_bytes = max_t(u64, sgring_plan_align(bytes, limits->align), limits->align);
	}
	if (u->slot_bytes > SGRING_SLOT_BYTES_MAX)
		return complain(s, m, ERANGE, "slot_bytes of %llu: at most %u", u->slot_bytes,
				SGRING_SLOT_BYTES_MAX);
	whole = sgring_plan_align(u->slot_bytes, limits->align);
	if (u->slot_bytes != whole)
		return complain(s, m, EINVAL,
				"slot_bytes of %llu: the engine moves multiples of %u, so %llu or %llu",
				u->slot_bytes, limits->align, whole ?: limits->align,
				whole + limits->align);
	if (u->slot_bytes > largest)
		return complain(s, m, EMSGSIZE,
				"slot of %llu bytes in one segment: at most %llu here",
				u->slot_bytes, largest);
	return 0;
}

static int check_rest(struct sgring_stream *s, struct sgring_setup *u,
		      struct sgring_message *m)
{
	u32 depth_max = min(s->engine.depth_max, u->slot_count);

	if (!u->queue_depth)
		u->queue_depth = min(s->engine.depth_default, depth_max);
	if (u->queue_depth > depth_max)
		return complain(s, m, ERANGE,
				"queue_depth of %u: at most %u for this engine and slot_count",
				u->queue_depth, depth_max);
	if (!u->wake_slots)
		u->wake_slots = max(u->slot_count / 8, 1U);
	if (u->wake_slots > u->slot_count)
		return complain(s, m, ERANGE, "wake_slots of %u: at most slot_count, %u",
				u->wake_slots, u->slot_count);
	if (!u->gate_report_ms)
		u->gate_report_ms = DEFAULT_GATE_REPORT_MS;
	if (u->gate_report_ms > SGRING_GATE_REPORT_MS_MAX && u->gate_report_ms != SGRING_OFF)
		return complain(s, m, ERANGE, "gate_report_ms of %u: at most %u",
				u->gate_report_ms, SGRING_GATE_REPORT_MS_MAX);
	return check_times(s, m, &u->wake_usec, &u->sq_poll_usec, &u->sq_idle_usec);
}

static u64 slot_memory(const struct sgring_chunk_plan *plan)
{
	if (!plan->equal)
		return plan->bytes;
	return round_up(plan->bytes, (u64)PAGE_SIZE << plan->order);
}

static int charge(struct sgring_stream *s, const struct sgring_chunk_plan *plan, u32 slots,
		  struct sgring_message *m)
{
	u64 bytes = slot_memory(plan) * slots;

	if (bytes > sgring_memory_stream_max())
		return complain(s, m, EDQUOT,
				"%u slots of %llu bytes: over limit_stream_mb, %llu MiB; fewer or smaller slots, or raise it",
				slots, slot_memory(plan), sgring_memory_stream_max() >> 20);
	/* What is not there would be taken from everybody else first. */
	if (bytes >> PAGE_SHIFT > si_mem_available())
		return -ENOMEM;
	if (sgring_memory_charge(bytes))
		return complain(s, m, EDQUOT,
				"%llu bytes: %llu MiB of limit_total_mb, %llu MiB, in use (%llu MiB held by others after close)",
				bytes, sgring_memory_total() >> 20,
				sgring_memory_total_max() >> 20, sgring_reaper_bytes() >> 20);
	s->memory_bytes = bytes;
	return 0;
}

static void note_chunks(struct sgring_stream *s, const struct sgring_slot *slot)
{
	unsigned int i;

	for (i = 0; i < slot->chunks->count; i++) {
		u64 bytes = PAGE_SIZE << slot->chunks->chunk[i].order;

		s->chunk_min = min(s->chunk_min, bytes);
		s->chunk_max = max(s->chunk_max, bytes);
		s->chunk_orders[slot->chunks->chunk[i].order]++;
	}
	s->segments = max_t(u32, s->segments, slot->table.nents);
}

static int slot_make(struct sgring_stream *s, struct sgring_slot *slot,
		     struct sgring_chunk_plan *plan, const struct sgring_setup *u)
{
	int ret = sgring_slot_alloc(slot, plan);

	if (ret)
		return ret;
	ret = sgring_slot_map(slot, u->slot_bytes, s->engine.dma_dev, sgring_dma_dir(s),
			      &s->engine.limits);
	if (ret)
		return ret;
	note_chunks(s, slot);
	return 0;
}

/* Take the slots from the device. */
void sgring_unmap(struct sgring_stream *s)
{
	u32 i;

	for (i = 0; s->slots && i < s->setup.slot_count; i++)
		sgring_slot_unmap(&s->slots[i], s->engine.dma_dev, sgring_dma_dir(s));
	sgring_slot_unmap(&s->scratch, s->engine.dma_dev, sgring_dma_dir(s));
}

static void slots_free(struct sgring_stream *s)
{
	u64 uncharge = s->memory_bytes;
	u32 i;

	if (!s->slots)
		return;
	/* After a failed stop the engine's mapping stays too. */
	if (!s->leak)
		sgring_unmap(s);
	for (i = 0; i <= s->setup.slot_count; i++) {
		struct sgring_slot *slot = i < s->setup.slot_count ? &s->slots[i] : &s->scratch;

		if (slot->chunks)
			uncharge -= slot->chunks->bytes;
		sgring_slot_free(slot, s->leak);
		cond_resched();
	}
	/* What slots never came to have; theirs goes with their chunks. */
	sgring_memory_uncharge(uncharge);
	s->scratch = (struct sgring_slot){};
	kvfree(s->slots);
	s->slots = NULL;
	s->memory_bytes = 0;
}

static int slots_make(struct sgring_stream *s, struct sgring_chunk_plan *plan,
		      struct sgring_message *m)
{
	bool scratch = sgring_has_scratch(s);
	u32 i;
	int ret;

	ret = charge(s, plan, s->setup.slot_count + scratch, m);
	if (ret)
		return ret;
	s->chunk_min = U64_MAX;
	s->chunk_max = 0;
	memset(s->chunk_orders, 0, sizeof(s->chunk_orders));
	s->segments = 0;
	s->slots = kvcalloc(s->setup.slot_count, sizeof(*s->slots), SGRING_GFP_LIST);
	if (!s->slots) {
		sgring_memory_uncharge(s->memory_bytes);
		s->memory_bytes = 0;
		return -ENOMEM;
	}
	for (i = 0; i < s->setup.slot_count; i++) {
		s->slots[i].index = i;
		ret = slot_make(s, &s->slots[i], plan, &s->setup);
		if (ret)
			goto undo;
	}
	if (scratch) {
		ret = slot_make(s, &s->scratch, plan, &s->setup);
		if (ret)
			goto undo;
	}
	return 0;
undo:
	slots_free(s);
	return ret;
}

static gfp_t dma_zone(struct device *dev)
{
	u64 mask = min_not_zero(dma_get_mask(dev), dev->bus_dma_limit);

	if (!dma_addressing_limited(dev))
		return 0;
	if (mask < DMA_BIT_MASK(32))
		return GFP_DMA;
	return IS_ENABLED(CONFIG_ZONE_DMA32) && mask < DMA_BIT_MASK(64) ? GFP_DMA32 : 0;
}

static int make_memory(struct sgring_stream *s, struct sgring_message *m)
{
	struct sgring_setup *u = &s->setup;
	struct sgring_chunk_plan plan = {
		.bytes = s->stride,
		.node = u->flags & SGRING_SETUP_NUMA_NODE ? u->numa_node :
							    dev_to_node(s->engine.dma_dev),
		.zone = dma_zone(s->engine.dma_dev),
		.least = get_order(s->engine.limits.align),
		.hint = SGRING_MAX_ORDER,
	};
	u64 chunk = u->chunk_bytes ?: min_t(u64, DEFAULT_CHUNK_BYTES, chunk_bytes_max());
	int ret;

	plan.order = min_t(unsigned int, ilog2(chunk >> PAGE_SHIFT), SGRING_MAX_ORDER);
	if (wants_single(s, u)) {
		plan.equal = true;
		plan.order = get_order(s->stride);
	} else if (u->chunk_policy == SGRING_CHUNK_EQUAL) {
		plan.equal = true;
		if (!u->chunk_bytes)
			plan.order = min_t(unsigned int, plan.order,
					   ilog2(s->stride >> PAGE_SHIFT));
	}

	do {
		ret = slots_make(s, &plan, m);
	} while (ret == -ENOMEM && plan.equal && !u->chunk_bytes && !wants_single(s, u) &&
		 plan.order > plan.least && plan.order--);

	/* What was chosen; the one chunk of a single-segment slot is no choice. */
	if (!ret && !wants_single(s, u))
		u->chunk_bytes = (u64)PAGE_SIZE << plan.order;
	if (ret == -ENOMEM)
		return complain(s, m, ENOMEM,
				"no memory (pages, bounce buffer or IOVA) for %u slots in chunks of %llu bytes; fewer or smaller slots, or mixed chunks",
				u->slot_count, (u64)PAGE_SIZE << (plan.equal ? plan.order : 0));
	if (!ret && s->stride * s->setup.slot_count > SGRING_DATA_BYTES_MAX) {
		slots_free(s);
		return complain(s, m, EDQUOT, "%u slots of %llu bytes: more than can be mapped",
				u->slot_count, u->slot_bytes);
	}
	if (ret == -EMSGSIZE)
		return complain(s, m, EMSGSIZE,
				"slot of %llu bytes: the engine takes segments of at most %llu bytes in multiples of %u, at most %u of them (0: any); smaller slots, or single-segment ones",
				u->slot_bytes, s->engine.limits.segment_bytes,
				s->engine.limits.align, s->engine.limits.segments);
	return ret;
}

/* What the pump has to know of what its work costs; each slot may differ. */
static void note_costs(struct sgring_stream *s)
{
	struct device *dev = s->engine.dma_dev;
	u64 pages = s->stride >> PAGE_SHIFT;
	bool costs = false;
	u32 i;

	s->syncs = false;
	s->bounced = false;
	for (i = 0; i < s->setup.slot_count; i++) {
		s->syncs = s->syncs || sgring_slot_syncs(&s->slots[i], dev);
		costs = costs || sgring_slot_sync_costs(&s->slots[i], dev);
		s->bounced = s->bounced || sgring_slot_bounced(&s->slots[i], dev);
		cond_resched();
	}
	s->deferred = costs && s->setup.slot_bytes > SGRING_SOFTIRQ_SLOT_MAX;
	s->pass_entries = clamp_t(u64, div64_u64(SGRING_PASS_PAGES, pages), 4,
				  SGRING_PASS_ENTRIES);
	if (costs && !s->deferred)
		s->pass_entries = SGRING_SOFTIRQ_PASS_MAX / (u32)s->stride;
}

static void reset_counts(struct sgring_stream *s)
{
	u32 i;

	spin_lock_bh(&s->lock);
	s->stats = (struct sgring_stats){ .size = sizeof(s->stats) };
	s->free = (struct sgring_queue){};
	INIT_LIST_HEAD(&s->dirty);
	sgring_gate_init(&s->gate);
	for (i = 0; i < s->setup.slot_count; i++)
		sgring_queue_add(&s->free, &s->slots[i]);
	s->slots_free = s->setup.slot_count;
	s->slots_engine = 0;
	s->slots_app = 0;
	s->announced = 0;
	spin_unlock_bh(&s->lock);
	s->read_valid = false;
	s->read_position = 0;
}

static int make(struct sgring_stream *s, struct file *file, struct sgring_setup *setup,
		struct sgring_message *message)
{
	int ret;

	if (s->owner == file)
		return -EBADFD;
	if (s->owner)
		return complain(s, message, EBUSY, "somebody else owns this stream");
	if (s->leak)
		return complain(s, message, EIO, "the engine could not be stopped; see the log");
	ret = check_words(s, setup, message) ?: check_chunks(s, setup, message) ?:
	      check_slots(s, setup, message) ?: check_rest(s, setup, message);
	if (ret)
		return ret;

	s->setup = *setup;
	s->stride = PAGE_ALIGN(setup->slot_bytes);
	ret = make_memory(s, message);
	if (ret)
		return ret;
	setup->chunk_bytes = s->setup.chunk_bytes;
	ret = sgring_rings_alloc(&s->rings, setup->slot_count);
	if (ret) {
		slots_free(s);
		return complain(s, message, -ret,
				"no memory for the rings of %u slots, or over limit_total_mb, %llu MiB; fewer slots",
				setup->slot_count, sgring_memory_total_max() >> 20);
	}
	reset_counts(s);
	note_costs(s);
	if (s->bounced)
		dev_notice_ratelimited(&s->dev,
				       "DMA goes through a bounce buffer: every transfer is copied\n");
	return 0;
}

/**
 * sgring_setup() - make all a stream needs; @file becomes its owner
 * @s: without an owner
 * @file: of the caller
 * @setup: what is wanted; what was chosen is written back
 * @message: the one line, on failure
 *
 * It stays IDLE, so that nobody can use it, until sgring_setup_done().
 *
 * Return: 0, or as &struct sgring_setup says.
 */
int sgring_setup(struct sgring_stream *s, struct file *file, struct sgring_setup *setup,
		 struct sgring_message *message)
{
	int ret = make(s, file, setup, message);

	trace_sgring_setup(s, setup, ret);
	if (ret) {
		sgring_refused(s, ret, message->text);
		return ret;
	}
	spin_lock(&s->note_lock);
	s->owner_pid = get_pid(task_tgid(current));
	spin_unlock(&s->note_lock);
	smp_store_release(&s->owner, file); /* a poll of it finds the rings; it takes no mutex */
	s->setups++;
	return 0;
}

/**
 * sgring_setup_done() - the caller knows what was chosen: the stream is READY
 * @s: after sgring_setup(); its device may have gone since
 */
void sgring_setup_done(struct sgring_stream *s)
{
	WRITE_ONCE(s->state, SGRING_STATE_READY);
	if (!sgring_is_dead(s))
		WRITE_ONCE(s->rings.kernel->state, SGRING_STATE_READY);
	mutex_lock(&s->observer_lock);
	s->observable = true;
	mutex_unlock(&s->observer_lock);
}

/**
 * sgring_teardown() - the owner has closed
 * @s: not running; no mapping of the owner is left
 */
void sgring_teardown(struct sgring_stream *s)
{
	struct sgring_rings rings;
	struct pid *pid;

	sgring_observers_zap(s);
	spin_lock_bh(&s->lock);
	s->free = (struct sgring_queue){};
	INIT_LIST_HEAD(&s->dirty);
	sgring_gate_init(&s->gate);
	/* A poll may be looking at the rings, under the lock. */
	rings = s->rings;
	s->rings = (struct sgring_rings){};
	WRITE_ONCE(s->owner, NULL);
	spin_unlock_bh(&s->lock);
	spin_lock(&s->note_lock);
	pid = s->owner_pid;
	s->owner_pid = NULL;
	spin_unlock(&s->note_lock);
	put_pid(pid);
	slots_free(s);
	sgring_rings_free(&rings);
	s->reading = false;
	WRITE_ONCE(s->state, SGRING_STATE_IDLE);
}

/**
 * sgring_tune() - change thresholds of a running stream
 * @s: set up
 * @tune: what is wanted; what is in force is written back
 *
 * Return: 0 or -ERANGE.
 */
int sgring_tune(struct sgring_stream *s, struct sgring_tune *tune)
{
	struct sgring_message m;
	int ret;

	tune->wake_slots = tune->wake_slots ?: s->setup.wake_slots;
	tune->wake_usec = tune->wake_usec ?: s->setup.wake_usec;
	tune->sq_poll_usec = tune->sq_poll_usec ?: s->setup.sq_poll_usec;
	tune->sq_idle_usec = tune->sq_idle_usec ?: s->setup.sq_idle_usec;
	if (tune->wake_slots > s->setup.slot_count)
		return complain(s, &m, ERANGE, "wake_slots of %u: at most slot_count, %u",
				tune->wake_slots, s->setup.slot_count);
	ret = check_times(s, &m, &tune->wake_usec, &tune->sq_poll_usec, &tune->sq_idle_usec);
	if (ret)
		return ret;
	spin_lock_bh(&s->lock);
	s->setup.wake_slots = tune->wake_slots;
	s->setup.wake_usec = tune->wake_usec;
	s->setup.sq_poll_usec = tune->sq_poll_usec;
	s->setup.sq_idle_usec = tune->sq_idle_usec;
	if (tune->gate == SGRING_GATE_ON)
		s->setup.flags &= ~SGRING_SETUP_NO_GATE;
	else if (tune->gate == SGRING_GATE_OFF)
		s->setup.flags |= SGRING_SETUP_NO_GATE;
	tune->gate = s->setup.flags & SGRING_SETUP_NO_GATE ? SGRING_GATE_OFF : SGRING_GATE_ON;
	spin_unlock_bh(&s->lock);
	sgring_pump_recheck(s);
	return 0;
}

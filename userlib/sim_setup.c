/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the simulator's set-up: check what is asked for, as kernel/setup.c does
 *
 * Limits, order, errors and lines are the driver's, where it has them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim_stream.h"

#define DEFAULT_SLOT_BYTES	(1ULL << 20)
#define DEFAULT_SLOTS		16U
#define DEFAULT_DEPTH		4U
#define DEFAULT_WAKE_USEC	1000
#define DEFAULT_SQ_POLL_USEC	500
#define DEFAULT_SQ_IDLE_USEC	5000000
#define SQ_POLL_USEC_MIN	20
#define DEFAULT_GATE_REPORT_MS	10000
#define CHUNK_BYTES_MAX		(sgring_sim_page() << 10)

typedef unsigned long long llu;

int sgring_sim_complain(struct sgring_sim_message *m, int err, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(m->text, sizeof(m->text), format, args);
	va_end(args);
	return -err;
}

/* What the simulated engine can take. */
struct sgring_limits sgring_sim_limits(const struct sgring_sim *s)
{
	return (struct sgring_limits){
		.segment_bytes = s->options.segment_bytes,
		.segments = s->options.segments,
		.align = s->options.width,
	};
}

static int check_words(const struct sgring_setup *u, struct sgring_sim_message *m)
{
	if (u->flags & ~(SGRING_SETUP_NUMA_NODE | SGRING_SETUP_NO_GATE))
		return sgring_sim_complain(m, EINVAL, "unknown flag in 0x%x", u->flags);
	if (u->pad || u->pad2 || u->reserved[0] || u->reserved[1] || u->reserved[2])
		return sgring_sim_complain(m, EINVAL, "padding and reserved fields must be zero");
	if (u->direction > SGRING_PLAYBACK)
		return sgring_sim_complain(m, EINVAL, "no such direction: %u", u->direction);
	if (u->overrun > SGRING_OVERRUN_DROP)
		return sgring_sim_complain(m, EINVAL, "no such overrun policy: %u", u->overrun);
	if (u->chunk_policy > SGRING_CHUNK_SINGLE)
		return sgring_sim_complain(m, EINVAL, "no such chunk policy: %u", u->chunk_policy);
	if (u->clock > SGRING_CLOCK_MONOTONIC_RAW)
		return sgring_sim_complain(m, EINVAL, "no such clock: %u", u->clock);
	if (u->direction == SGRING_PLAYBACK)
		return sgring_sim_complain(m, EOPNOTSUPP, "no playback in this version");
	if (u->metadata_bytes)
		return sgring_sim_complain(m, EOPNOTSUPP, "no metadata in this version");
	if (!(u->flags & SGRING_SETUP_NUMA_NODE) && u->numa_node)
		return sgring_sim_complain(m, EINVAL, "numa_node without SGRING_SETUP_NUMA_NODE");
	if (u->numa_node < 0 || u->numa_node >= 1024)
		return sgring_sim_complain(m, ERANGE, "no such NUMA node: %d", u->numa_node);
	return 0;
}

static int check_time(struct sgring_sim_message *m, const char *name, u32 *usec, u32 standard,
		      u32 least, bool may_be_off)
{
	if (!*usec)
		*usec = standard;
	if (*usec == SGRING_OFF && may_be_off)
		return 0;
	if (*usec < least || *usec > SGRING_USEC_MAX)
		return sgring_sim_complain(m, ERANGE, "%s of %u: from %u to %u", name, *usec, least,
					   SGRING_USEC_MAX);
	return 0;
}

static int check_times(struct sgring_sim_message *m, u32 *wake_usec, u32 *sq_poll_usec,
		       u32 *sq_idle_usec)
{
	return check_time(m, "wake_usec", wake_usec, DEFAULT_WAKE_USEC, 1, true) ?:
	       check_time(m, "sq_poll_usec", sq_poll_usec, DEFAULT_SQ_POLL_USEC,
			  SQ_POLL_USEC_MIN, false) ?:
	       check_time(m, "sq_idle_usec", sq_idle_usec, DEFAULT_SQ_IDLE_USEC, 1, true);
}

static int check_chunks(const struct sgring_sim *s, const struct sgring_setup *u,
			struct sgring_sim_message *m)
{
	u64 chunk = u->chunk_bytes, page = sgring_sim_page();

	if (chunk && u->chunk_policy == SGRING_CHUNK_SINGLE)
		return sgring_sim_complain(m, EINVAL, "chunk_bytes with single-segment slots");
	if (chunk && ((chunk & (chunk - 1)) || chunk < page))
		return sgring_sim_complain(m, EINVAL,
					   "chunk_bytes of %llu: a power of two, at least %llu",
					   (llu)chunk, (llu)page);
	if (chunk && chunk < s->options.width)
		return sgring_sim_complain(m, EINVAL,
					   "chunk_bytes of %llu: at least %u, what the engine moves at a time",
					   (llu)chunk, s->options.width);
	if (chunk > CHUNK_BYTES_MAX)
		return sgring_sim_complain(m, ERANGE, "chunk_bytes of %llu: at most %llu",
					   (llu)chunk, (llu)CHUNK_BYTES_MAX);
	return 0;
}

/* As many slots of the size given as the budget allows, up to the usual number. */
static u32 default_slots(const struct sgring_setup *u)
{
	u64 bytes = min_of(u->slot_bytes, (u64)SGRING_SLOT_BYTES_MAX), page = sgring_sim_page();
	u64 slots;

	if (!bytes)
		return DEFAULT_SLOTS;
	slots = sgring_sim_memory_max() / ((bytes + page - 1) / page * page);
	if (slots && u->overrun == SGRING_OVERRUN_DROP)
		slots--;
	return (u32)max_of(min_of(slots, (u64)DEFAULT_SLOTS), 2ULL);
}

/* What is played has slots of its own, and a clock. */
static int check_replay(const struct sgring_sim *s, struct sgring_setup *u, struct sgring_sim_message *m)
{
	const struct sgring_replay *r = s->source.replay;

	if (!r)
		return 0;
	u->clock = r->hello.clock;
	if (!u->slot_count)
		u->slot_count = min_of(max_of(r->slot_count, 2U), SGRING_SLOTS_MAX);
	if (!u->slot_bytes)
		u->slot_bytes = r->slot_bytes;
	if (u->slot_bytes < r->slot_bytes)
		return sgring_sim_complain(m, EMSGSIZE,
					   "slot_bytes of %llu: what is replayed has slots of %llu",
					   (llu)u->slot_bytes, (llu)r->slot_bytes);
	return 0;
}

static int check_slots(const struct sgring_sim *s, struct sgring_setup *u,
		       struct sgring_sim_message *m)
{
	u64 largest = SGRING_SLOT_BYTES_MAX, page = sgring_sim_page(), bytes, whole;
	u32 width = s->options.width;

	if (u->chunk_policy == SGRING_CHUNK_SINGLE)
		largest = min_of(largest, s->options.segment_bytes);
	if (!u->slot_count)
		u->slot_count = default_slots(u);
	if (u->slot_count < 2 || u->slot_count > SGRING_SLOTS_MAX)
		return sgring_sim_complain(m, ERANGE, "slot_count of %u: from 2 to %u",
					   u->slot_count, SGRING_SLOTS_MAX);
	if (!u->slot_bytes) {
		bytes = sgring_sim_memory_max() / (u->slot_count + 1) / page * page;
		bytes = min_of(min_of(bytes, DEFAULT_SLOT_BYTES), largest);
		u->slot_bytes = max_of(sgring_plan_align(bytes, width), (u64)width);
	}
	if (u->slot_bytes > SGRING_SLOT_BYTES_MAX)
		return sgring_sim_complain(m, ERANGE, "slot_bytes of %llu: at most %u",
					   (llu)u->slot_bytes, SGRING_SLOT_BYTES_MAX);
	whole = sgring_plan_align(u->slot_bytes, width);
	if (u->slot_bytes != whole)
		return sgring_sim_complain(m, EINVAL,
					   "slot_bytes of %llu: the engine moves multiples of %u, so %llu or %llu",
					   (llu)u->slot_bytes, width, (llu)(whole ? whole : width),
					   (llu)whole + width);
	if (u->slot_bytes > largest)
		return sgring_sim_complain(m, EMSGSIZE,
					   "slot of %llu bytes in one segment: at most %llu here",
					   (llu)u->slot_bytes, (llu)largest);
	return 0;
}

static int check_rest(struct sgring_setup *u, struct sgring_sim_message *m)
{
	u32 depth_max = min_of(SGRING_QUEUE_DEPTH_MAX, u->slot_count);

	if (!u->queue_depth)
		u->queue_depth = min_of(DEFAULT_DEPTH, depth_max);
	if (u->queue_depth > depth_max)
		return sgring_sim_complain(m, ERANGE,
					   "queue_depth of %u: at most %u for this engine and slot_count",
					   u->queue_depth, depth_max);
	if (!u->wake_slots)
		u->wake_slots = max_of(u->slot_count / 8, 1U);
	if (u->wake_slots > u->slot_count)
		return sgring_sim_complain(m, ERANGE, "wake_slots of %u: at most slot_count, %u",
					   u->wake_slots, u->slot_count);
	if (!u->gate_report_ms)
		u->gate_report_ms = DEFAULT_GATE_REPORT_MS;
	if (u->gate_report_ms > SGRING_GATE_REPORT_MS_MAX && u->gate_report_ms != SGRING_OFF)
		return sgring_sim_complain(m, ERANGE, "gate_report_ms of %u: at most %u",
					   u->gate_report_ms, SGRING_GATE_REPORT_MS_MAX);
	return check_times(m, &u->wake_usec, &u->sq_poll_usec, &u->sq_idle_usec);
}

static int reset_counts(struct sgring_sim *s)
{
	u32 i;

	s->slots = calloc(s->setup.slot_count, sizeof(*s->slots));
	s->free = calloc(s->setup.slot_count, sizeof(*s->free));
	if (!s->slots || !s->free)
		return -ENOMEM;
	for (i = 0; i < s->setup.slot_count; i++)
		s->free[i] = i;
	s->stats = (struct sgring_stats){ .size = sizeof(s->stats) };
	s->free_head = 0;
	s->slots_free = s->setup.slot_count;
	s->slots_engine = 0;
	s->slots_app = 0;
	s->announced = s->rings.cq_producer;
	s->cell_head = s->cell_tail = 0;
	s->sq_at = s->wake_at = s->device_at = SGRING_SIM_OFF;
	return 0;
}

static void unmake(struct sgring_sim *s)
{
	free(s->slots);
	free(s->free);
	s->slots = NULL;
	s->free = NULL;
	sgring_sim_rings_free(s);
	sgring_sim_memory_free(s);
}

/* Of a stream that nobody owns; what was chosen is written back. 0 or -errno. */
int sgring_sim_setup(struct sgring_sim *s, struct sgring_setup *u, struct sgring_sim_message *m)
{
	u64 page = sgring_sim_page();
	int err;

	err = check_words(u, m) ?: check_chunks(s, u, m) ?: check_replay(s, u, m) ?: check_slots(s, u, m) ?: check_rest(u, m);
	if (err)
		return err;
	/* Who holds a page cannot be seen from here. */
	u->flags |= SGRING_SETUP_NO_GATE;
	s->setup = *u;
	s->stride = (u->slot_bytes + page - 1) / page * page;
	err = sgring_sim_memory_make(s, m);
	if (err)
		return err;
	u->chunk_bytes = s->setup.chunk_bytes;
	err = sgring_sim_rings_make(s) ?: reset_counts(s);
	if (err) {
		unmake(s);
		return sgring_sim_complain(m, -err, "no memory for the rings of %u slots; fewer slots",
					   u->slot_count);
	}
	s->state = SGRING_STATE_READY;
	WRITE_ONCE(s->rings.kernel->state, SGRING_STATE_READY);
	return 0;
}

/* The owner has closed; the stream does not run, and its thread is gone. */
void sgring_sim_teardown(struct sgring_sim *s)
{
	unmake(s);
	s->state = SGRING_STATE_IDLE;
}

int sgring_sim_tune(struct sgring_sim *s, struct sgring_tune *t)
{
	struct sgring_sim_message m;
	int err;

	t->wake_slots = t->wake_slots ?: s->setup.wake_slots;
	t->wake_usec = t->wake_usec ?: s->setup.wake_usec;
	t->sq_poll_usec = t->sq_poll_usec ?: s->setup.sq_poll_usec;
	t->sq_idle_usec = t->sq_idle_usec ?: s->setup.sq_idle_usec;
	if (t->wake_slots > s->setup.slot_count)
		return -ERANGE;
	err = check_times(&m, &t->wake_usec, &t->sq_poll_usec, &t->sq_idle_usec);
	if (err)
		return err;
	if (t->gate == SGRING_GATE_ON)
		return -EOPNOTSUPP;
	s->setup.wake_slots = t->wake_slots;
	s->setup.wake_usec = t->wake_usec;
	s->setup.sq_poll_usec = t->sq_poll_usec;
	s->setup.sq_idle_usec = t->sq_idle_usec;
	t->gate = SGRING_GATE_OFF;
	sgring_sim_pass(s);
	sgring_sim_recheck(s);
	return 0;
}

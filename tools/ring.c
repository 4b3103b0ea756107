/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): what a copy of the rings says: who has which slot, and what does not fit
 *
 * Of the copy alone; see image.h. The kernel's indices are those of the first look, so that
 * an image that is torn is read as of its beginning.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image.h"

/* What lies at a place that geometry_fits() has seen; a file need not have it aligned. */
struct sgring_cqe ring_cqe(const struct image *im, uint32_t n)
{
	const struct sgring_geometry *g = &im->geometry;
	uint32_t from = im->has_user ? im->first.cq_consumer : im->first.cq_producer - g->cq_entries;
	struct sgring_cqe e;

	memcpy(&e, im->kernel + g->cq_offset + sgring_ring_offset(from + n, g->cq_entries, g->cq_stride),
	       sizeof(e));
	return e;
}

struct sgring_sqe ring_sqe(const struct image *im, uint32_t n)
{
	const struct sgring_geometry *g = &im->geometry;
	struct sgring_sqe e;

	memcpy(&e, im->user + g->sq_offset +
	       sgring_ring_offset(im->first.sq_consumer + n, g->sq_entries, g->sq_stride), sizeof(e));
	return e;
}

const char *owner_word(unsigned int owner)
{
	static const char *const words[SLOT_OWNERS] = {
		"user", "queued", "dma", "done", "gated", "free", "odd",
	};

	return owner < SLOT_OWNERS ? words[owner] : "odd";
}

__attribute__((format(printf, 2, 3)))
static void say(struct ring_view *v, const char *format, ...)
{
	va_list ap;

	if (v->contradictions < RING_SENTENCES) {
		va_start(ap, format);
		vsnprintf(v->sentences[v->contradictions], sizeof(v->sentences[0]), format, ap);
		va_end(ap);
	}
	v->contradictions++;
}

static void say_slot(struct ring_view *v, uint32_t slot, const char *what)
{
	v->slots[slot].contradiction = true;
	say(v, "slot %u %s", slot, what);
}

static void read_lines(const struct image *im, struct ring_view *v)
{
	const struct sgring_geometry *g = &im->geometry;
	uint64_t now;
	uint32_t i;

	v->clock = g->clock < IMAGE_CLOCKS ? g->clock : SGRING_CLOCK_MONOTONIC;
	now = im->now_ns[v->clock];

	for (i = 0; i < g->slot_count; i++) {
		struct slot_view *s = &v->slots[i];

		memcpy(&s->info, im->kernel + g->table_offset + (size_t)i * g->table_stride,
		       sizeof(s->info));
		s->moved = im->moved[i];
		/* 0: nothing has happened to it since the set-up. */
		if (s->info.time_ns && s->info.time_ns < now)
			s->age_ns = now - s->info.time_ns;
	}
}

static void read_cq(const struct image *im, struct ring_view *v)
{
	const struct sgring_geometry *g = &im->geometry;
	uint32_t i;

	if (!im->has_user)
		return;
	v->cq_pending = sgring_ring_used(im->first.cq_producer, im->first.cq_consumer);
	v->cq_seen = v->cq_pending;
	if (v->cq_pending > g->cq_entries) {
		say(v, "CQ: cq_consumer is %" PRIu32 " behind, of %" PRIu32 " entries: the index is damaged",
		    v->cq_pending, g->cq_entries);
		v->cq_seen = 0;
	}
	for (i = 0; i < v->cq_seen; i++) {
		struct sgring_cqe e = ring_cqe(im, i);

		if (e.slot < g->slot_count)
			v->slots[e.slot].in_cq++;
		else if (e.slot != SGRING_NO_SLOT)
			say(v, "CQ entry %" PRIu32 " is about slot %" PRIu32 ", of %" PRIu32,
			    im->first.cq_consumer + i, e.slot, g->slot_count);
	}
}

static void read_sq(const struct image *im, struct ring_view *v)
{
	const struct sgring_geometry *g = &im->geometry;
	uint32_t i;

	if (!im->has_user)
		return;
	v->sq_pending = sgring_ring_used(im->first.sq_producer, im->first.sq_consumer);
	v->sq_seen = v->sq_pending;
	if (v->sq_pending > g->sq_entries) {
		say(v, "SQ: sq_producer is %" PRIu32 " ahead, of %" PRIu32 " entries: the index is damaged",
		    v->sq_pending, g->sq_entries);
		v->sq_seen = 0;
	}
	for (i = 0; i < v->sq_seen; i++) {
		struct sgring_sqe e = ring_sqe(im, i);

		if (e.slot >= g->slot_count)
			say(v, "SQ entry %" PRIu32 " names slot %" PRIu32 ", of %" PRIu32,
			    im->first.sq_consumer + i, e.slot, g->slot_count);
		else
			v->slots[e.slot].in_sq++;
		if (e.flags || e.reserved || e.offset_bytes || e.length_bytes)
			say(v, "SQ entry %" PRIu32 " has something in a field that must be 0",
			    im->first.sq_consumer + i);
	}
}

static unsigned int owner_of(const struct slot_view *s)
{
	switch (s->info.state) {
	case SGRING_SLOT_FREE:
		return SLOT_FREE;
	case SGRING_SLOT_ENGINE:
		return SLOT_DMA;
	case SGRING_SLOT_GATED:
		return SLOT_GATED;
	case SGRING_SLOT_APP:
		return s->in_sq ? SLOT_QUEUED : s->in_cq ? SLOT_DONE : SLOT_USER;
	default:
		return SLOT_ODD;
	}
}

/* A line that moved while it was copied contradicts nothing. */
static void contradictions_of(struct ring_view *v, uint32_t i)
{
	struct slot_view *s = &v->slots[i];
	bool app = s->info.state == SGRING_SLOT_APP;

	if (s->moved)
		return;
	if (s->owner == SLOT_ODD)
		say_slot(v, i, "is in a state that there is not");
	if (s->in_sq && !app)
		say_slot(v, i, "is in the SQ, and not the application's to return");
	if (s->in_sq > 1)
		say_slot(v, i, "is in the SQ more than once");
	if (s->in_cq && !app)
		say_slot(v, i, "was returned before its CQ entry was consumed");
	if (s->in_cq > 1)
		say_slot(v, i, "is in the CQ more than once");
}

/*
 * Does the engine fill a before b? Slots are filled in the order in which it got them. Those it
 * got in one pass have one time: then the one whose last transfer is older, as a queue has it.
 */
static bool is_before(const struct sgring_slot_info *a, const struct sgring_slot_info *b)
{
	return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->sequence < b->sequence;
}

int ring_judge(const struct image *im, struct ring_view *v)
{
	uint32_t slots = im->geometry.slot_count, i;

	memset(v, 0, sizeof(*v));
	v->slots = calloc(slots, sizeof(*v->slots));
	if (!v->slots)
		return -ENOMEM;
	memset(v->oldest, 0xff, sizeof(v->oldest));
	v->next = SGRING_NO_SLOT;
	read_lines(im, v);
	read_cq(im, v);
	read_sq(im, v);
	if (im->first.state > SGRING_STATE_DEAD)
		say(v, "the stream is in state %" PRIu32 ", which there is not", im->first.state);
	for (i = 0; i < slots; i++) {
		struct slot_view *s = &v->slots[i];

		s->owner = (unsigned char)owner_of(s);
		v->count[s->owner]++;
		if (v->oldest[s->owner] == SGRING_NO_SLOT ||
		    s->age_ns > v->slots[v->oldest[s->owner]].age_ns)
			v->oldest[s->owner] = i;
		if (s->owner == SLOT_DMA && (v->next == SGRING_NO_SLOT ||
					     is_before(&s->info, &v->slots[v->next].info)))
			v->next = i;
		contradictions_of(v, i);
	}
	return 0;
}

void ring_free(struct ring_view *v)
{
	free(v->slots);
	v->slots = NULL;
}

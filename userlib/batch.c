/* SPDX-License-Identifier: MIT */
/*
 * libsgring: taking slots and giving them back: what the inline calls leave to us
 *
 * The inline calls (sgring.h) do the plain case alone: an owner, no slot that more
 * than one has or that a sender has, no sender's error to tell, no break in the run
 * of entries. plain_slots is 0 in any other case of the first three.
 */
#include <errno.h>
#include <string.h>

#define SGRING_NO_INLINE
#include "internal.h"

int sgring_next_any(struct sgring *s, struct sgring_slot *slot, int timeout_ms)
{
	int err;

	if (!s->owner || s->sender_error || !sgring_ready(s)) {
		err = sgring_wait(s, timeout_ms);
		if (err)
			return err;
	}
	sgring_slot_of(s, sgring_peek(s, 0), slot);
	sgring_consume(s, 1);
	if (!(slot->flags & SGRING_EOS))
		return 0;
	return sgring_fail(ENODATA, "the stream has ended%s", slot->status ? ", not as asked" : "");
}

void sgring_consume_any(struct sgring *s, uint32_t n)
{
	struct sgring_rings *r = &s->rings;
	uint32_t i;

	for (i = 0; i < n; i++) {
		const struct sgring_cqe *e = sgring_cq_peek(&r->cq, i);

		if (e->position_bytes > r->end_position)
			r->lost_bytes += e->position_bytes - r->end_position;
		r->end_position = e->position_bytes + e->length_bytes;
		if (e->flags & SGRING_CQE_EOS) {
			r->ends++;
			r->end_position = 0;
			continue;
		}
		r->slots++;
		r->bytes += e->length_bytes;
		r->failed_slots += e->status < 0;
	}
	sgring_cq_consume(&r->cq, n);
}

int sgring_put_any(struct sgring *s, uint32_t index, uint64_t cookie)
{
	struct sgring_share *share;
	struct sgring_sqe *e;

	if (!s->owner)
		return sgring_owner_only(s);
	if (index >= s->geometry.slot_count)
		return sgring_fail(EINVAL, "%u is not one of %u slots", index,
				   s->geometry.slot_count);
	share = &s->shares[index];
	if (sgring_all_lent(share))
		return sgring_fail(EINVAL, "slot %u is being sent", index);
	if (share->extra) {
		share->extra--;
		s->extra_holds--;
		sgring_look_plain(s);
		return 0;
	}
	e = sgring_sq_reserve(&s->rings.sq);
	if (!e)
		return sgring_fail(ENOBUFS, "slot %u: the SQ is full, some slot was returned twice",
				   index);
	e->slot = index;
	e->cookie = cookie;
	s->rings.returned++;
	return 0;
}

/* Those that are inline elsewhere. */

int sgring_next(struct sgring *s, struct sgring_slot *slot, int timeout_ms)
{
	return sgring_next_any(s, slot, timeout_ms);
}

int sgring_put(struct sgring *s, uint32_t index, uint64_t cookie)
{
	return sgring_put_any(s, index, cookie);
}

int sgring_return(struct sgring *s, const struct sgring_slot *slot)
{
	int err = sgring_put_any(s, slot->index, slot->cookie);

	return err ? err : sgring_publish(s);
}

/* Entry by entry. */
static int return_any(struct sgring *s, uint32_t n)
{
	const struct sgring_cqe *e;
	int err = 0, e1;
	uint32_t i;

	for (i = 0; i < n; i++) {
		e = sgring_peek(s, i);
		e1 = e->flags & SGRING_CQE_EOS ? 0 : sgring_put(s, e->slot, e->cookie);
		err = err ? err : e1;
	}
	sgring_consume(s, n);
	e1 = sgring_publish(s);
	return err ? err : e1;
}

/* Cookie and slot lie side by side in both; what follows them in the SQ is 0. */
typedef uint32_t words __attribute__((vector_size(16)));

static inline void return_one(unsigned char *to, const unsigned char *from)
{
	static const words mask = { 0xffffffff, 0xffffffff, 0xffffffff, 0 };
	words w;

	_Static_assert(offsetof(struct sgring_sqe, cookie) == 0 &&
		       offsetof(struct sgring_sqe, slot) == 8 &&
		       offsetof(struct sgring_cqe, slot) == offsetof(struct sgring_cqe, cookie) + 8,
		       "cookie and slot");
	memcpy(&w, from + offsetof(struct sgring_cqe, cookie), sizeof(w));
	w &= mask;
	memcpy(to, &w, sizeof(w));
}

/* Flags and status, side by side, as one word: what must not be set in any entry. */
static uint64_t odd_mask(void)
{
	const uint32_t both[2] = { SGRING_BREAKS, 0xffffffff };
	uint64_t mask;

	_Static_assert(offsetof(struct sgring_cqe, status) == offsetof(struct sgring_cqe, flags) + 4,
		       "flags and status");
	memcpy(&mask, both, sizeof(mask));
	return mask;
}

static bool room_for(struct sgring_sq *sq, uint32_t n)
{
	if (sgring_ring_used(sq->producer, sq->consumer) + n > sq->count)
		sq->consumer = sgring_load_acquire(&sq->kernel->sq_consumer); /* D */
	return sgring_ring_used(sq->producer, sq->consumer) + n <= sq->count;
}

int sgring_return_ready(struct sgring *s, uint32_t n)
{
	struct sgring_rings *r = &s->rings;
	uint64_t begin, both, odd = 0, cq_stride = r->cq.stride, sq_stride = r->sq.stride;
	uint32_t at = r->cq.consumer, to = r->sq.producer, left = n, run;
	const unsigned char *from, *end;
	const struct sgring_cqe *e;
	unsigned char *sqe;

	if (!s->owner)
		return sgring_owner_only(s);
	if (n > sgring_ready(s))
		return sgring_fail(EINVAL, "%u entries are not ready, only %u", n, sgring_ready(s));
	if (!n || n > r->plain_slots || !room_for(&r->sq, n))
		return return_any(s, n);

	/* Written, but not published before it is clear that there was no break. */
	e = sgring_cq_peek(&r->cq, 0);
	begin = e->position_bytes;
	while (left) {
		run = r->cq.count - (at & (r->cq.count - 1));
		if (run > r->sq.count - (to & (r->sq.count - 1)))
			run = r->sq.count - (to & (r->sq.count - 1));
		if (run > left)
			run = left;
		from = r->cq.entries + sgring_ring_offset(at, r->cq.count, r->cq.stride);
		sqe = r->sq.entries + sgring_ring_offset(to, r->sq.count, r->sq.stride);
		end = from + run * cq_stride;
#pragma GCC unroll 4
		do {
			e = (const struct sgring_cqe *)(const void *)from;
			memcpy(&both, from + offsetof(struct sgring_cqe, flags), sizeof(both));
			odd |= both;
			return_one(sqe, from);
			from += cq_stride;
			sqe += sq_stride;
		} while (from != end);
		at += run;
		to += run;
		left -= run;
	}
	if (odd & odd_mask() || begin != r->end_position)
		return return_any(s, n);
	r->end_position = e->position_bytes + e->length_bytes;
	r->bytes += r->end_position - begin;
	r->slots += n;
	sgring_cq_consume(&r->cq, n);
	r->sq.producer = to;
	r->returned += n;
	return sgring_publish(s);
}

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: taking slots and giving them back: what the inline calls leave to us
 *
 * The inline calls (sgring.h) do the plain case alone: an owner, entries of the length
 * they know, no slot that more than one has or that a sender has, no sender's error to
 * tell; else plain_slots is 0. And no break in the run of entries.
 */
#include <errno.h>
#include <string.h>

#define SGRING_NO_INLINE
#include "internal.h"

/* Programs have been compiled with these; longer ones need another plain_slots. */
_Static_assert(sizeof(struct sgring_cqe) == 64 && sizeof(struct sgring_sqe) == 32, "entries");

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

		uint64_t taken = r->end_position + r->more_bytes;

		if (e->position_bytes > r->end_position)
			r->lost_bytes += e->position_bytes - r->end_position;
		if (e->flags & SGRING_CQE_EOS) {
			r->ends++;
			r->end_position = 0;
		} else {
			r->failed_slots += e->status < 0;
			r->end_position = e->position_bytes + e->length_bytes;
			taken += e->length_bytes;
		}
		r->more_bytes = taken - r->end_position;
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
	int err = sgring_owner_only(s), e1;
	uint32_t i;

	if (err)
		return err;
	if (n > sgring_ready(s))
		return sgring_fail(EINVAL, "%u entries are not ready, only %u", n, sgring_ready(s));
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

static inline void return_one(struct sgring_sqe *to, const struct sgring_cqe *from)
{
	static const words mask = { 0xffffffff, 0xffffffff, 0xffffffff, 0 };
	words w;

	_Static_assert(offsetof(struct sgring_sqe, cookie) == 0 &&
		       offsetof(struct sgring_sqe, slot) == 8 &&
		       offsetof(struct sgring_cqe, slot) == offsetof(struct sgring_cqe, cookie) + 8,
		       "cookie and slot");
	memcpy(&w, (const char *)from + offsetof(struct sgring_cqe, cookie), sizeof(w));
	w &= mask;
	memcpy(to, &w, sizeof(w));
}

/*
 * Many at a time: entries are written as they are found, and published only when it
 * is clear that there was no break among them; otherwise all is done again, one by one.
 */
int sgring_return_ready(struct sgring *s, uint32_t n)
{
	struct sgring_rings *r = &s->rings;
	const struct sgring_cqe *cqes = (const struct sgring_cqe *)(const void *)r->cq.entries, *e;
	struct sgring_sqe *sqes = (struct sgring_sqe *)(void *)r->sq.entries, *q;
	uint32_t from = (uint32_t)r->cq.consumer & (r->cq.count - 1);
	uint32_t to = (uint32_t)r->sq.producer & (r->sq.count - 1);
	uint32_t left = n, run, i;
	uint64_t outcome = 0;

	if (n - 1 >= r->plain_slots || n > sgring_ready(s) || sgring_sq_room_for(&r->sq, n) < n)
		return return_any(s, n);
	if (cqes[from].position_bytes != r->end_position)
		return return_any(s, n);
	/* In runs that end where either ring does. */
	do {
		e = &cqes[from];
		q = &sqes[to];
		run = left;
		if (run > r->cq.count - from)
			run = r->cq.count - from;
		if (run > r->sq.count - to)
			run = r->sq.count - to;
#pragma GCC unroll 4
		for (i = 0; i < run; i++) {
			outcome |= sgring_outcome(&e[i]);
			return_one(&q[i], &e[i]);
		}
		left -= run;
		from = (from + run) & (r->cq.count - 1);
		to = (to + run) & (r->sq.count - 1);
	} while (left);
	if (sgring_is_break(outcome))
		return return_any(s, n);
	r->end_position = e[run - 1].position_bytes + e[run - 1].length_bytes;
	sgring_cq_consume(&r->cq, n);
	r->sq.producer += n;
	return sgring_publish(s);
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing the kernel's side of the rings: kernel/sq.c, cq.c and table.c, under the pump of the
 * simulator, with an application that writes what it likes
 *
 * The input is what the application does, and when the device and the kernel go on; there is no thread.
 * Every call into the ring code is watched (the linker's --wrap): what may be taken is worked
 * out here from the shared memory alone, and each entry is spoilt the moment it has been copied, as
 * another thread of the application would. Who owns which slot is known here, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fuzz.h"
#include "sim_stream.h"

#define SLOTS_MOST 9U

int __real_sgring_sq_used(const struct sgring_rings *rings);
int __wrap_sgring_sq_used(const struct sgring_rings *rings);
void __real_sgring_sq_copy(const struct sgring_rings *rings, u32 nth, struct sgring_sqe *sqe);
void __wrap_sgring_sq_copy(const struct sgring_rings *rings, u32 nth, struct sgring_sqe *sqe);
void __real_sgring_sq_taken(struct sgring_rings *rings, u32 count);
void __wrap_sgring_sq_taken(struct sgring_rings *rings, u32 count);
int __real_sgring_cq_pending(const struct sgring_rings *rings);
int __wrap_sgring_cq_pending(const struct sgring_rings *rings);
int __real_sgring_cq_room(const struct sgring_rings *rings);
int __wrap_sgring_cq_room(const struct sgring_rings *rings);
void __real_sgring_cq_post(struct sgring_rings *rings, const struct sgring_cqe *cqe);
void __wrap_sgring_cq_post(struct sgring_rings *rings, const struct sgring_cqe *cqe);

/* What is true, whatever the rings say. */
struct world {
	struct sgring_sim sim;
	bool app[SLOTS_MOST];		/* the application's */
	u64 cookies[SLOTS_MOST];	/* of the last entry that brought it */
	struct sgring_sqe copied[1024];	/* in this pass */
	u32 copies;
	u32 consumer;			/* of the SQ */
	u32 producer;			/* of the CQ */
	u32 used;			/* of the SQ, when it was last asked */
	u64 taken, bad, odd;		/* entries, and damaged indices */
	u64 sequence, position;		/* expected next */
	bool ended;			/* since the last begin */
	bool spoil;			/* entries, once copied */
	u32 honest;			/* the application's own view of what it has read */
};

static struct world w;

int __wrap_sgring_sq_used(const struct sgring_rings *rings)
{
	u32 used = rings->user->sq_producer - w.consumer;
	int got = __real_sgring_sq_used(rings);

	claim(rings->sq_consumer == w.consumer && rings->kernel->sq_consumer == w.consumer);
	claim(used > rings->sq_entries ? got == -ERANGE : got == (int)used);
	w.used = got < 0 ? 0 : used;
	w.copies = 0;
	return got;
}

void __wrap_sgring_sq_copy(const struct sgring_rings *rings, u32 nth, struct sgring_sqe *sqe)
{
	struct sgring_sqe *shared = &rings->sqes[(w.consumer + nth) % rings->sq_entries];

	claim(nth == w.copies && nth < w.used);
	__real_sgring_sq_copy(rings, nth, sqe);
	claim(!memcmp(sqe, shared, sizeof(*sqe)));
	w.copied[w.copies++] = *sqe;
	if (w.spoil)
		memset(shared, w.copies & 1 ? 0xff : 0, sizeof(*shared));
}

/* All that was copied is judged: which slots have changed hands? */
void __wrap_sgring_sq_taken(struct sgring_rings *rings, u32 count)
{
	const struct sgring_sqe *e;
	u32 i;

	claim(count == w.copies && count <= w.used);
	for (i = 0; i < count; i++) {
		e = &w.copied[i];
		if (e->slot >= w.sim.setup.slot_count || e->flags || e->reserved || e->offset_bytes ||
		    e->length_bytes || !w.app[e->slot]) {
			w.bad++;
			continue;
		}
		w.app[e->slot] = false;
		w.cookies[e->slot] = e->cookie;
		w.taken++;
	}
	__real_sgring_sq_taken(rings, count);
	w.consumer += count;
	claim(rings->kernel->sq_consumer == w.consumer);
}

int __wrap_sgring_cq_pending(const struct sgring_rings *rings)
{
	u32 used = w.producer - rings->user->cq_consumer;
	int got = __real_sgring_cq_pending(rings);

	claim(used > rings->cq_entries ? got == -ERANGE : got == (int)used);
	return got;
}

int __wrap_sgring_cq_room(const struct sgring_rings *rings)
{
	u32 used = w.producer - rings->user->cq_consumer;
	int got = __real_sgring_cq_room(rings);

	claim(used > rings->cq_entries ? got == -ERANGE : got == (int)(rings->cq_entries - used));
	return got;
}

void __wrap_sgring_cq_post(struct sgring_rings *rings, const struct sgring_cqe *c)
{
	u32 entries = rings->cq_entries;

	claim(rings->cq_producer == w.producer);
	claim(c->sequence >= w.sequence && c->position_bytes >= w.position);
	claim(!w.ended && c->status <= 0);
	if (c->flags & SGRING_CQE_EOS) {
		claim(c->slot == SGRING_NO_SLOT && !c->length_bytes);
		w.ended = true;
	} else {
		claim(c->slot < w.sim.setup.slot_count && !w.app[c->slot]);
		claim(c->cookie == w.cookies[c->slot] && c->length_bytes <= w.sim.setup.slot_bytes);
		claim(!!(c->flags & SGRING_CQE_GAP) == (c->position_bytes > w.position));
		w.app[c->slot] = true;
	}
	w.sequence = c->sequence + !w.ended;
	w.position = c->position_bytes + c->length_bytes;
	__real_sgring_cq_post(rings, c);
	w.producer++;
	claim(rings->kernel->cq_producer == w.producer);
	claim(!memcmp(&rings->cqes[(w.producer - 1) % entries], c, sizeof(*c)));
}

/* Every slot is in one place, and everybody is told the same. */
static void check(void)
{
	struct sgring_sim *s = &w.sim;
	u32 n = s->setup.slot_count, seen[SLOTS_MOST] = { 0 }, i, slot;

	claim(s->slots_free <= n && s->slots_free + s->slots_engine + s->slots_app == n);
	claim(sgring_sim_inflight(s) <= s->setup.queue_depth);
	for (i = 0; i < s->slots_free; i++) {
		slot = s->free[(s->free_head + i) % n];
		claim(slot < n && s->slots[slot].state == SGRING_SLOT_FREE && !seen[slot]++);
	}
	for (i = s->cell_head; i != s->cell_tail; i++) {
		slot = s->cells[i % SGRING_QUEUE_DEPTH_MAX].slot;
		if (slot == SGRING_NO_SLOT)
			continue;
		claim(slot < n && s->slots[slot].state == SGRING_SLOT_ENGINE && !seen[slot]++);
	}
	for (i = 0; i < n; i++) {
		claim(seen[i] == !w.app[i]);
		claim((s->slots[i].state == SGRING_SLOT_APP) == w.app[i]);
		claim(s->rings.table[i].state == s->slots[i].state);
	}
	claim(s->stats.sq_taken == w.taken && s->stats.sq_bad == w.bad);
	claim(!s->fail_status || (s->fail_status == -EPROTO && !s->refill));
	claim(s->rings.kernel->cq_producer == w.producer && s->rings.cq_producer == w.producer);
}

static void begin(void)
{
	struct sgring_sim *s = &w.sim;

	if (s->active || sgring_cq_room(&s->rings) <= 0 || sgring_sq_used(&s->rings) < 0)
		return;
	w.sequence = w.position = 0;
	w.ended = false;
	s->state = SGRING_STATE_RUNNING;
	sgring_sim_pass(s);
	sgring_sim_take(s);
	if (!sgring_sim_begin(s)) {
		sgring_sim_end(s);
		s->state = SGRING_STATE_READY;
		return;
	}
	sgring_sim_source_start(s);
}

static void end(bool drain, s32 status)
{
	u32 outcome;
	int err = sgring_sim_stop(&w.sim, drain, status, &outcome);

	claim(!err || err == -EBADFD);
	claim(!w.sim.active && !sgring_sim_inflight(&w.sim));
}

/* As an application should: look at what came, give some back. */
static void be_honest(struct input *in)
{
	struct sgring_rings *r = &w.sim.rings;
	uint8_t which = (uint8_t)take(in, 1);
	u32 at = r->user->sq_producer;

	for (; w.honest != w.producer && w.producer - w.honest <= r->cq_entries; w.honest++) {
		u32 slot = r->cqes[w.honest % r->cq_entries].slot;

		if (slot == SGRING_NO_SLOT || !(which >> slot % 8 & 1))
			continue;
		r->sqes[at % r->sq_entries] = (struct sgring_sqe){ .slot = slot, .cookie = at };
		at++;
	}
	w.honest = w.producer;
	r->user->cq_consumer = w.producer;
	r->user->sq_producer = at;
}

static void forge(struct input *in)
{
	struct sgring_rings *r = &w.sim.rings;
	uint8_t kind = (uint8_t)take(in, 1);
	struct sgring_sqe e = { .slot = kind & 15, .cookie = take(in, 1) };

	if (kind & 16)
		e.slot = (u32)take(in, 4);
	if (kind & 32)
		e.flags = (u32)take(in, 4);
	if (kind & 64)
		e.reserved = take(in, 8);
	if (kind & 128)
		e.offset_bytes = (u32)take(in, 1), e.length_bytes = (u32)take(in, 1);
	r->sqes[r->user->sq_producer++ % r->sq_entries] = e;
}

static void scribble(struct input *in)
{
	struct sgring_rings *r = &w.sim.rings;
	u32 at = (u32)take(in, 2) % (u32)(r->user_bytes - 16), n = (u32)take(in, 1) % 16;

	/* Most of the page is nobody's. */
	if (at & 1)
		at = (u32)((char *)r->sqes - (char *)r->user) + at % (r->sq_entries * 32 - 16);
	for (; n--; at++)
		((uint8_t *)r->user)[at] = (uint8_t)take(in, 1);
}

static void retune(struct input *in)
{
	struct sgring_tune t = { .wake_slots = (u32)take(in, 1), .wake_usec = (u32)take(in, 4),
				 .sq_poll_usec = (u32)take(in, 4), .sq_idle_usec = (u32)take(in, 4) };
	int err = sgring_sim_tune(&w.sim, &t);

	claim(!err || err == -ERANGE);
	claim(w.sim.setup.wake_slots && w.sim.setup.wake_slots <= w.sim.setup.slot_count);
	claim(w.sim.setup.sq_poll_usec >= 20 && w.sim.setup.sq_poll_usec <= SGRING_USEC_MAX);
}

static void step(struct input *in)
{
	struct sgring_sim *s = &w.sim;
	uint8_t op = (uint8_t)take(in, 1), n;

	switch (op % 14) {
	case 0: case 1: case 2:
		sgring_sim_pass(s);
		for (n = op / 14 % 8 + 1; n && sgring_sim_source_move(s, false); n--)
			;
		break;
	case 3: case 4: be_honest(in); break;
	case 5: forge(in); break;
	case 6: s->rings.user->sq_producer = w.consumer + (u32)(int8_t)take(in, 1); break;
	case 7: s->rings.user->cq_consumer = w.producer + (u32)(int8_t)take(in, 1); break;
	case 8: scribble(in); break;
	case 9:
		if (s->active) {
			sgring_sim_pass(s);
			sgring_sim_pump(s);
		}
		break;
	case 10:
		sgring_sim_pass(s);
		sgring_sim_poll(s);
		break;
	case 11: retune(in); break;
	case 12: end(op & 16, 0); break;
	case 13: begin(); break;
	}
	if (s->fail_status && s->active)
		end(false, s->fail_status);
}

static bool make(struct input *in)
{
	static const u32 firsts[] = { 0, 0xfffffffc, 0x7fffffff, 0xfffffff0 };
	struct sgring_sim_message message = { "" };
	struct sgring_sim *s = &w.sim;
	uint8_t kind = (uint8_t)take(in, 1);
	struct sgring_setup u = {
		.size = sizeof(u), .slot_bytes = 4096, .slot_count = 2 + (u32)take(in, 1) % (SLOTS_MOST - 1),
		.overrun = kind & 1, .queue_depth = (u32)take(in, 1) % 3, .chunk_bytes = 4096,
		.sq_idle_usec = kind & 64 ? SGRING_OFF : 0,
	};
	int ends[2];

	memset(&w, 0, sizeof(w));
	w.spoil = kind & 2;
	sgring_sim_defaults(&s->options);
	s->options.fill = false;
	s->options.pages = SGRING_SIM_4K;
	s->options.first_index = firsts[kind >> 2 & 3];
	s->options.packet_bytes = kind & 16 ? 6000 : 0;
	if (kind & 32) {
		s->options.fail_at = take(in, 1) % 16;
		s->options.short_at = take(in, 1) % 16;
		s->options.lose_at = take(in, 1) % 16;
		s->options.lose_bytes = take(in, 2);
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	pthread_cond_init(&s->settled, NULL);
	s->source.fd = s->memfd = -1;
	claim(!pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	s->owner = ends[0];
	s->bell = ends[1];
	if (sgring_sim_setup(s, &u, &message))
		return false;
	w.consumer = w.producer = w.honest = s->options.first_index;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct sgring_sim *s = &w.sim;

	if (make(&in)) {
		begin();
		check();
		while (in.left) {
			step(&in);
			check();
		}
		end(false, 0);
		check();
		sgring_sim_teardown(s);
	}
	close(s->owner);
	close(s->bell);
	return 0;
}

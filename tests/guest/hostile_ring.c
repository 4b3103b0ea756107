// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Hostile programs: the rings and the slots, used as they should be and not. See
 * hostile_attacker.h.
 */
#include <sched.h>
#include <time.h>

#include "hostile_attacker.h"

/**
 * struct view - the rings as this process has them mapped now
 * @kernel: the kernel side
 * @user: the user side
 * @cqes: CQ entries
 * @sqes: SQ entries
 * @cq_entries: their number
 * @sq_entries: their number
 * @slots: their number
 * @stride: of the slots
 * @slot_bytes: each
 * @changing: of the process, at that moment
 * @whole: no mapping was just being changed
 */
struct view {
	const struct sgring_kernel_side *kernel;
	struct sgring_user_side *user;
	const unsigned char *cqes;
	unsigned char *sqes;
	uint32_t cq_entries;
	uint32_t sq_entries;
	uint32_t slots;
	uint64_t stride;
	uint64_t slot_bytes;
	uint32_t changing;
	bool whole;
};

#define LOAD(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)

/* It may be out of date before it is used; that is why all access is guarded. */
static bool view_get(struct view *v)
{
	uint32_t changed = LOAD(p->changed), changing = LOAD(p->changing);
	struct sgring_geometry g = p->g;

	if (!LOAD(p->mapped[AT_KERNEL]) || !LOAD(p->mapped[AT_USER]) || !g.cq_entries ||
	    g.kernel_bytes > PLACE_BYTES || g.user_bytes > PLACE_BYTES ||
	    g.data_bytes > PLACE_BYTES)
		return false;
	*v = (struct view){
		.kernel = (const void *)(p->place[AT_KERNEL] + g.kernel_side),
		.user = (void *)(p->place[AT_USER] + g.user_side),
		.cqes = p->place[AT_KERNEL] + g.cq_offset,
		.sqes = p->place[AT_USER] + g.sq_offset,
		.cq_entries = g.cq_entries,
		.sq_entries = g.sq_entries,
		.slots = g.slot_count,
		.stride = g.stride_bytes,
		.slot_bytes = g.slot_bytes,
		.changing = changing,
		.whole = changed == changing,
	};
	return true;
}

/* Made, and it was let in. */
static void note(enum hostile_kind kind, bool ok)
{
	end(kind, ok, EFAULT);
}

/* ---- are these bytes ours? ---- */

static bool word_is_ours(uint64_t word)
{
	unsigned int stream, i;
	uint64_t position;

	if (!word || (word & 0xffffffff00000000ULL) == HOSTILE_MARK)
		return true;
	position = sgring_pattern_locate(word, &stream);
	for (i = 0; i < HOSTILE_STREAMS && stream != hostile_streams[i].number; i++)
		;
	return i < HOSTILE_STREAMS && position < 1ULL << 44;
}

/*
 * Each word is zero, an attacker's, or the data of a stream that is attacked: a descriptor may be
 * another stream's by now, but the victim's it cannot be. Memory that changes may show a word
 * half written; what is not ours, and stays so, is somebody else's. True, too, if there is no
 * such memory any more.
 */
bool words_are_ours(const unsigned char *from, uint32_t bytes, uint32_t samples)
{
	uint32_t words = bytes / 8, i, tries;

	for (i = 0; i < samples && i < words; i++) {
		uint32_t at = samples >= words ? i : below(words);
		uint64_t word, again;

		if (!peek64(from + at * 8, &word))
			return true;
		for (tries = 0; !word_is_ours(word) && tries < 40; tries++) {
			nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
			if (!peek64(from + at * 8, &again))
				return true;
			if (again != word)
				tries = 0;
			word = again;
		}
		if (!word_is_ours(word)) {
			complain("a word that is nobody's: 0x%llx at %u of %u",
				 (unsigned long long)word, at * 8, bytes);
			return false;
		}
	}
	return true;
}

static void look_at(enum hostile_kind kind, const unsigned char *from, uint32_t bytes,
		    uint32_t samples)
{
	uint32_t first;

	begin(kind);
	words_are_ours(from, bytes, samples);
	end(kind, peek32(from, &first), EFAULT);
}

/* Fresh from the set-up: nothing but zeros, or what somebody has started since. */
void data_check_new(void)
{
	uint32_t bytes = LOAD(p->mapped[AT_DATA]);

	look_at(K_data_check, p->place[AT_DATA], bytes, 2048);
}

static void slot_check(const struct view *v, uint32_t slot, uint32_t samples)
{
	look_at(K_data_check, p->place[AT_DATA] + slot * v->stride, v->slot_bytes, samples);
}

/* ---- as it should be ---- */

static bool sqe_put(const struct view *v, uint32_t index, const struct sgring_sqe *e)
{
	return copy_to(v->sqes + (index & (v->sq_entries - 1)) * sizeof(*e), e, sizeof(*e));
}

/* One more entry, or what is in it already, and the kernel may see it. */
static bool sqe_add(const struct view *v, const struct sgring_sqe *e)
{
	uint32_t producer, consumer;

	if (!peek32(&v->user->sq_producer, &producer) ||
	    !peek32(&v->kernel->sq_consumer, &consumer))
		return false;
	/* Now and then one too many. */
	if (producer - consumer >= v->sq_entries && !one_in(200))
		return false;
	return (!e || sqe_put(v, producer, e)) && poke32(&v->user->sq_producer, producer + 1);
}

static void give(const struct view *v, uint32_t slot)
{
	struct sgring_sqe e = { .slot = slot, .cookie = chance() };

	begin(K_give);
	note(K_give, sqe_add(v, &e));
}

static void kick_if_asked(const struct view *v)
{
	uint32_t flags;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (peek32(&v->kernel->flags, &flags) && flags & SGRING_NEED_WAKEUP)
		CALL(kick, ioctl(p->fd[FD_MAIN], SGRING_KICK, 0));
}

/* What the kernel writes is right, whatever was done to what it reads. */
static void entry_check(const struct view *v, const struct sgring_cqe *e)
{
	static const int32_t known[] = { 0, -EIO, -EPROTO, -ENODEV, -ESHUTDOWN, -ENOBUFS };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(known) && known[i] != e->status; i++)
		;
	if ((e->slot >= v->slots && e->slot != SGRING_NO_SLOT) || e->flags >> 7 ||
	    i == ARRAY_SIZE(known) || e->metadata_bytes || e->engine_slots > v->slots ||
	    e->length_bytes > v->slot_bytes)
		complain("a CQ entry: slot %u of %u, length %u, flags 0x%x, status %d, engine_slots %u",
			 e->slot, v->slots, e->length_bytes, e->flags, e->status, e->engine_slots);
}

/* Indices that fit, and all slots given back: those that are the kernel's do not count. */
static void repair(const struct view *v)
{
	uint32_t produced, consumed, i;
	bool ok;

	begin(K_repair);
	ok = peek32(&v->kernel->cq_producer, &produced) &&
	     peek32(&v->kernel->sq_consumer, &consumed) &&
	     poke32(&v->user->cq_consumer, produced) && poke32(&v->user->sq_producer, consumed);
	note(K_repair, ok);
	if (!ok)
		p->trouble += 3;
	for (i = 0; i < v->slots && i < 40; i++)
		give(v, i);
}

/* The next entry, a copy; false if there is none, or the rings are not there. */
static bool entry_get(const struct view *v, struct sgring_cqe *e, uint32_t *consumer)
{
	uint32_t producer, now;

	if (!peek32(&v->kernel->cq_producer, &producer) ||
	    !peek32(&v->user->cq_consumer, consumer)) {
		p->trouble++;
		return false;
	}
	if (producer - *consumer - 1 >= v->cq_entries)
		return false;
	/* Another thread may have let the kernel overwrite it. */
	return copy_from(e, v->cqes + (*consumer & (v->cq_entries - 1)) * sizeof(*e), sizeof(*e)) &&
	       peek32(&v->user->cq_consumer, &now) && now == *consumer;
}

static void take(const struct view *v)
{
	struct sgring_cqe e;
	uint32_t consumer, n, flags;
	bool there = true;

	for (n = 0; n < 6 && there; n++) {
		begin(K_take);
		there = entry_get(v, &e, &consumer);
		note(K_take, there);
		if (!there)
			break;
		/* Geometry and mapping of one set-up. */
		if (v->whole && LOAD(p->changing) == v->changing)
			entry_check(v, &e);
		if (e.slot < v->slots && one_in(6))
			slot_check(v, e.slot, 6);
		poke32(&v->user->cq_consumer, consumer + 1);
		if (e.slot < v->slots && !one_in(30))
			give(v, e.slot);
	}
	if (!n && peek32(&v->kernel->flags, &flags) && flags & SGRING_STARVED && one_in(3))
		repair(v);
	kick_if_asked(v);
}

/* The daily work of an owner; and what comes after a stop. */
void ring_take(void)
{
	struct view v;
	uint32_t state;
	int fd = p->fd[FD_MAIN];

	if (!view_get(&v))
		return;
	if (!peek32(&v.kernel->state, &state)) {
		p->trouble += 2;
		return;
	}
	switch (state) {
	case SGRING_STATE_READY:
		repair(&v);
		if (one_in(4) ? CALL(arm, ioctl(fd, SGRING_ARM, 0)) :
				CALL(start, ioctl(fd, SGRING_START, 0)))
			p->trouble++;
		else
			p->trouble = 0;
		break;
	case SGRING_STATE_ARMED:
		CALL(start, ioctl(fd, SGRING_START, 0));
		break;
	case SGRING_STATE_DEAD:
		p->trouble += 9;
		break;
	case SGRING_STATE_RUNNING:
		take(&v);
	}
}

/* ---- as it should not ---- */

static uint32_t jump(uint32_t index, uint32_t entries)
{
	switch (below(7)) {
	case 0:
		return index + 1;
	case 1:
		return index - 1;
	case 2:
		return index + entries;
	case 3:
		return index + entries + 1;
	case 4:
		return index - entries - 1;
	case 5:
		return chance();
	default:
		return odd_number();
	}
}

/* An index, for long or for a moment. */
static void jump_index(const struct view *v, bool sq)
{
	uint32_t *index = sq ? &v->user->sq_producer : &v->user->cq_consumer, was = 0;
	enum hostile_kind kind = sq ? K_sq_producer_jump : K_cq_consumer_jump;
	volatile uint32_t pause;

	begin(kind);
	note(kind, peek32(index, &was) &&
		   poke32(index, jump(was, sq ? v->sq_entries : v->cq_entries)));
	if (one_in(4))
		return;
	for (pause = below(400); pause; pause = pause - 1)
		;
	poke32(index, was);
}

static struct sgring_sqe sqe_odd(const struct view *v)
{
	struct sgring_sqe e = { .slot = below(v->slots + 1), .cookie = chance() };

	switch (below(8)) {
	case 0:
		e.slot = odd_number();
		break;
	case 1:
		e.flags = 1U << below(32);
		break;
	case 2:
		e.reserved = odd_number();
		break;
	case 3:
		e.offset_bytes = odd_number();
		break;
	case 4:
		e.length_bytes = odd_number();
		break;
	case 5:
		e.slot = SGRING_NO_SLOT;
		break;
	}
	return e;
}

static void ring_harm(const struct view *v)
{
	struct sgring_sqe e = sqe_odd(v);
	uint32_t at;

	switch (below(40)) {
	case 0:
		jump_index(v, true);
		break;
	case 1:
		jump_index(v, false);
		break;
	case 2 ... 11:	/* an entry, perhaps just while it is read */
		begin(K_sq_scribble);
		note(K_sq_scribble, poke32(v->sqes + below(v->sq_entries * 8) * 4, chance()));
		break;
	case 12 ... 17:
		begin(K_sqe_forge);
		note(K_sqe_forge, sqe_add(v, &e));
		break;
	case 18 ... 21:	/* what was in it a round ago */
		begin(K_sqe_stale);
		note(K_sqe_stale, sqe_add(v, NULL));
		break;
	case 22 ... 25:
		begin(K_sqe_duplicate);
		e = (struct sgring_sqe){ .slot = below(v->slots) };
		note(K_sqe_duplicate, sqe_add(v, &e) && sqe_add(v, &e));
		break;
	default:	/* anywhere; an index now and then */
		begin(K_user_scribble);
		at = one_in(30) ? below(32) : 32 + below(2000);
		note(K_user_scribble, poke32(p->place[AT_USER] + at * 4, odd_number()));
	}
}

void op_ring(void)
{
	uint32_t n = 4 + below(9);
	struct view v;

	if (!view_get(&v)) {
		stream_advance();
		return;
	}
	while (n--)
		ring_harm(&v);
	if (one_in(4))
		kick_if_asked(&v);
}

/* Slots of any state are written to and read. */
void op_data(void)
{
	uint32_t slot, words, n = 1 + below(6);
	struct view v;

	if (!view_get(&v) || !LOAD(p->mapped[AT_DATA]) || v.slot_bytes < 8 || !v.slots) {
		stream_advance();
		return;
	}
	slot = below(v.slots);
	words = v.slot_bytes / 8;
	if (one_in(2)) {
		slot_check(&v, slot, 16);
		return;
	}
	while (n--) {
		begin(K_data_store);
		note(K_data_store, poke64(p->place[AT_DATA] + slot * v.stride + below(words) * 8,
					  HOSTILE_MARK | (uint32_t)chance()));
	}
}

/* What an observer sees is the same, or nothing. */
void op_observe(void)
{
	const struct sgring_kernel_side *kernel =
		(const void *)(p->place[AT_OBSERVED_KERNEL] + p->g.kernel_side);
	uint32_t bytes = LOAD(p->mapped[AT_OBSERVED_DATA]), at, state, flags;

	if (!bytes || one_in(10)) {
		op_map();
		return;
	}
	at = below(bytes / PAGE) * PAGE;
	look_at(K_observer_check, p->place[AT_OBSERVED_DATA] + at, PAGE, 8);
	if (LOAD(p->mapped[AT_OBSERVED_KERNEL]) && peek32(&kernel->state, &state) &&
	    peek32(&kernel->flags, &flags) && (state > SGRING_STATE_DEAD || flags >> 3))
		complain("an observer sees state %u, flags 0x%x", state, flags);
}

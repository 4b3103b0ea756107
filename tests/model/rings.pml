/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Both rings, with their entries and the slots they tell of: is anything lost, repeated,
 * torn, stale, overwritten before it was read, or owned by two? The letters are those of
 * the drawing in uapi/linux/sgring_ring.h; the code is kernel/pump.c (take, refill,
 * cell_retire), kernel/sq.c, kernel/cq.c, and the sgring_sq_* and sgring_cq_* verbs.
 *
 * The application takes what has come, gives CQ entries back before or after it has
 * returned their slots, and returns slots in any order, one or two at a time. Nobody sleeps:
 * for that see wakeup.pml and wait.pml. With HOSTILE it returns what it does not have.
 */
#define SLOTS 2
#define SQ_ENTRIES 2
#define CQ_ENTRIES 3			/* the last one is the end of stream's */
#ifndef TRANSFERS
#define TRANSFERS 5
#endif

#define SQ_PRODUCER 0
#define CQ_CONSUMER 1
#define WORDS_OF_APP 2
#define SQ_CONSUMER 2
#define CQ_PRODUCER 3
#define WORDS 4
#define SQE(i) ((i) % SQ_ENTRIES)
#define CQE(i) (SQ_ENTRIES + (i) % CQ_ENTRIES)
#define SLOT(i) (SQ_ENTRIES + CQ_ENTRIES + (i))
#define PLAINS (SQ_ENTRIES + CQ_ENTRIES + SLOTS)
#include "memory.pml"

#ifdef NO_A
#define A RELAXED
#else
#define A ORDERED
#endif
#ifdef NO_B
#define B RELAXED
#else
#define B ORDERED
#endif
#ifdef NO_C
#define C RELAXED
#else
#define C ORDERED
#endif
#ifdef NO_D
#define D RELAXED
#else
#define D ORDERED
#endif
#ifdef NO_E
#define E RELAXED
#else
#define E ORDERED
#endif
#ifdef NO_F
#define F RELAXED
#else
#define F ORDERED
#endif
#ifdef NO_G
#define G RELAXED
#else
#define G ORDERED
#endif
#ifdef NO_H
#define H RELAXED
#else
#define H ORDERED
#endif

byte sqe_slot[SQ_ENTRIES], cqe_slot[CQ_ENTRIES], cqe_sequence[CQ_ENTRIES];

/* The kernel's truth: struct sgring_slot.state, the engine, what is in flight. */
mtype = { FREE, ENGINE, OWNED };
mtype state[SLOTS];
byte in_engine, sq_consumer, cq_producer, sequence;

/* The application's: struct sgring_sq, struct sgring_cq, what it holds. */
bool has[SLOTS];
byte sq_producer, sq_seen, cq_consumer, cq_seen, next_sequence;
byte looked;				/* entries read, and not yet given back */

/*
 * Each step is as large as can be told apart: what others do between two loads, or
 * between a load and a store after it, they could as well have done before, and readers
 * may lag.
 *
 * Entries are numbered from 0 on and never wrap here; the rings do.
 */
inline app_takes()
{
	if					/* sgring_cq_ready() */
	:: cq_seen == cq_consumer + looked -> load(APP, CQ_PRODUCER, cq_seen, F)
	:: else
	fi;
	if
	:: cq_seen > cq_consumer + looked ->
		d_step {
			touch(APP, CQE(cq_consumer + looked));
			s = cqe_slot[(cq_consumer + looked) % CQ_ENTRIES];
			assert(cqe_sequence[(cq_consumer + looked) % CQ_ENTRIES] == next_sequence);
			next_sequence++;
			looked++;
#ifndef HOSTILE
			touch(APP, SLOT(s));		/* its data */
			assert(!has[s]);
#endif
			has[s] = true;
			s = 0
		}
	:: else
	fi
}

/* Until then entries may be read, again, also after their slots went back. */
inline app_consumes()
{
	d_step {
		do
		:: looked > 0 ->
			touch(APP, CQE(cq_consumer));
			cq_consumer++;
			looked--
		:: else -> break
		od
	};
	store(APP, CQ_CONSUMER, cq_consumer, G)
}

/* sgring_sq_reserve() */
inline app_puts(slot)
{
	if
	:: sq_producer - sq_seen == SQ_ENTRIES -> load(APP, SQ_CONSUMER, sq_seen, D)
	:: else
	fi;
#ifndef HOSTILE
	assert(sq_producer - sq_seen < SQ_ENTRIES);	/* never found full */
#endif
	if
	:: sq_producer - sq_seen < SQ_ENTRIES ->
		d_step {
			touch(APP, SQE(sq_producer));
			sqe_slot[sq_producer % SQ_ENTRIES] = slot;
			has[slot] = false;
			sq_producer++
		}
	:: else
	fi
}

active proctype application()
{
	byte s;

end:
	do
	:: atomic { next_sequence < TRANSFERS -> app_takes() }
	:: atomic { looked > 0 -> app_consumes() }
#ifdef HOSTILE
	:: atomic { sq_producer <= TRANSFERS -> app_puts(0) }
	:: atomic { sq_producer <= TRANSFERS -> app_puts(1) }
#else
	:: atomic { has[0] -> app_puts(0) }
	:: atomic { has[1] -> app_puts(1) }
#endif
	:: atomic { sq_producer != NEWEST(SQ_PRODUCER) ->
		store(APP, SQ_PRODUCER, sq_producer, A) }
	od
}

/* One entry of the copy is checked. */
inline slot_take(slot)
{
	if
#ifndef NO_CHECK
	:: state[slot] != OWNED		/* sq_bad */
#endif
	:: else ->
		assert(state[slot] == OWNED);
		state[slot] = FREE
	fi
}

/* take() */
inline kernel_takes()
{
	load(KERNEL, SQ_PRODUCER, n, B);
	d_step {
		i = sq_consumer;
		do
		:: i < n ->
			touch(KERNEL, SQE(i));
			slot_take(sqe_slot[i % SQ_ENTRIES]);
			i++
		:: else -> break
		od
	};
	if
	:: n > sq_consumer ->
		sq_consumer = n;
#ifndef LATE_C
		store(KERNEL, SQ_CONSUMER, n, C)
#endif
	:: else
	fi;
	i = 0; n = 0
}

/* From now on the device writes to it. */
inline submit(slot)
{
#ifndef HOSTILE
	touch(KERNEL, SLOT(slot));
#endif
	state[slot] = ENGINE;
	in_engine++
}

/* refill(): each slot in flight has its entry reserved, and the end of stream one */
#ifdef NO_ROOM
#define ROOM 1
#else
#define ROOM (CQ_ENTRIES - (cq_producer - n) - in_engine - 1)
#endif
inline kernel_refills()
{
	load(KERNEL, CQ_CONSUMER, n, H);
	do
	:: state[0] == FREE && ROOM > 0 -> submit(0)
	:: state[1] == FREE && ROOM > 0 -> submit(1)
	:: break				/* the engine's depth */
	od;
	n = 0
}

/* cell_retire(); callbacks come in any order, slots are told of in that of the engine */
inline kernel_retires(slot)
{
	d_step {
		assert(cq_producer - NEWEST(CQ_CONSUMER) < CQ_ENTRIES - 1);
#ifndef HOSTILE
		touch(KERNEL, SLOT(slot));
#endif
		touch(KERNEL, CQE(cq_producer));
		cqe_slot[cq_producer % CQ_ENTRIES] = slot;
		cqe_sequence[cq_producer % CQ_ENTRIES] = sequence;
		state[slot] = OWNED;
		sequence++;
		in_engine--;
		cq_producer++
	};
	store(KERNEL, CQ_PRODUCER, cq_producer, E)
}

active proctype kernel()
{
	byte i, n;

	atomic { state[0] = FREE; state[1] = FREE };
end:
	do
	:: atomic { state[0] == ENGINE && sequence < TRANSFERS -> kernel_retires(0) }
	:: atomic { state[1] == ENGINE && sequence < TRANSFERS -> kernel_retires(1) }
	:: atomic { NEWEST(SQ_PRODUCER) != sq_consumer -> kernel_takes() }
	:: atomic { (state[0] == FREE || state[1] == FREE) -> kernel_refills() }
#ifdef LATE_C
	:: atomic { sq_consumer != NEWEST(SQ_CONSUMER) ->
		store(KERNEL, SQ_CONSUMER, sq_consumer, C) }
#endif
	od
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Does the kernel ever sleep over a filled SQ, or over a slot at the gate that others
 * have let go of? The letters are those of the drawing in uapi/linux/sgring_ring.h; the
 * code is kernel/pump.c (pump, starve_check, timer_begin, next_period, need_wakeup,
 * sq_timer_fn), and sgring_publish() and sgring_flush() of userlib/sgring.h.
 *
 * The kernel's side is one process, since all of it runs under one lock; each round of it is
 * an event: a callback of the engine, a run of the timer, a kick, with DEFERRED also
 * the worker. Runs of the timer that change nothing are left out: time is not modelled,
 * and the timer may give up, and raise NEED_WAKEUP, at any run.
 *
 * Who holds the pages of a slot tells nobody when they let go, and may never. So a
 * timer goes on while slots are at the gate. The engine may refuse a slot, and tells
 * nobody either when it would not.
 *
 * The application publishes as it goes (A, N) and waits whenever it likes; each wait
 * is preceded by I and J. A wait that ends by itself is gone through, any other is the
 * last thing the application does: nobody but the kernel can end it.
 */
#ifndef ITEMS
#define ITEMS 3
#endif

#define SQ_PRODUCER 0
#define WORDS_OF_APP 1
#define SQ_CONSUMER 1
#define FLAGS 2				/* NEED_WAKEUP alone */
#define WORDS 3
#define PLAINS ITEMS			/* entries */
#define DEPTH 14
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
#ifdef RELAXED_M
#define M RELAXED
#else
#define M ORDERED
#endif

mtype = { NOT, HELD, FOR_GOOD };	/* by others: an skb, a pipe */
mtype pages[ITEMS];
bool kicked;
bool waits;				/* the application, for the kernel */

/* struct sgring_stream */
bool gated[ITEMS];
byte consumer, slots_free, in_engine = 1;
bool starved, came, flag, timer, work;

/* For what it has taken meanwhile the kernel need not be kicked: sgring_answer() */
inline look_at_flags()
{
	atomic {
		load(APP, FLAGS, f, RELAXED);
		if
		:: f -> load(APP, SQ_CONSUMER, f, RELAXED); kicked = f != i
		:: else
		fi;
		f = 0
	};
	!kicked					/* it returns when the pass is over */
}

/* sgring_flush() */
inline before_a_wait()
{
#ifndef NO_I
	full_barrier(APP);				/* I */
#endif
#ifndef NO_J
	look_at_flags()					/* J */
#else
	skip
#endif
}

active proctype application()
{
	byte i, f;

	do
	:: atomic { i < ITEMS ->
		if					/* sent, and returned at once */
		:: pages[i] = NOT
		:: pages[i] = HELD
		:: pages[i] = FOR_GOOD
		fi;
		touch(APP, i);
		i++;
		store(APP, SQ_PRODUCER, i, A) };
#ifndef NO_N
		look_at_flags();			/* N: no barrier, it may miss the flag */
#endif
		if					/* a wait between two of them, or none */
		:: before_a_wait()
		:: skip
		fi
	:: break
	od;
	before_a_wait();
	waits = true
}

active proctype holders()
{
end:
	do
	:: pages[0] == HELD -> pages[0] = NOT
#if ITEMS > 1
	:: pages[1] == HELD -> pages[1] = NOT
#endif
#if ITEMS > 2
	:: pages[2] == HELD -> pages[2] = NOT
#endif
#if ITEMS > 3
	:: pages[3] == HELD -> pages[3] = NOT
#endif
	od
}

#define PASSES(i) (i < ITEMS && gated[i] && pages[i] == NOT)
#if ITEMS > 3
#define ANY(what) (what(0) || what(1) || what(2) || what(3))
#elif ITEMS > 2
#define ANY(what) (what(0) || what(1) || what(2))
#else
#define ANY(what) (what(0) || what(1))
#endif
#define GATED(i) (gated[i])

#ifdef NO_ASK
#define GIVES_UP (!flag && !ANY(GATED))
#else
#define GIVES_UP (!flag)
#endif

/* kernel_flags(); a store that changes nothing is left out. */
inline kernel_flag(to)
{
	if
	:: flag != to -> flag = to; store(KERNEL, FLAGS, to, ORDERED)
	:: else
	fi
}

/* The gate; B, copy, C. */
inline take()
{
	load(KERNEL, SQ_PRODUCER, n, B);
	d_step {
		do
		:: k < ITEMS ->
			if
			:: PASSES(k) -> gated[k] = false; slots_free++; came = true
			:: else
			fi;
			k++
		:: else -> break
		od;
		k = consumer;
		do
		:: k < n ->
			touch(KERNEL, k);
			came = true;
			if
			:: pages[k] == NOT -> slots_free++
			:: else -> gated[k] = true
			fi;
			k++
		:: else -> break
		od;
		k = 0
	};
	if
	:: n > consumer -> consumer = n; store(KERNEL, SQ_CONSUMER, n, ORDERED)
	:: else
	fi;
	n = 0
}

/* refill() */
inline refill()
{
	if
	:: in_engine = in_engine + slots_free; slots_free = 0
	:: slots_free > 0			/* refused */
	fi
}

/*
 * starve_check(), as far as timer_begin(), which goes on to next_period() if that is
 * to raise the flag.
 */
inline starve_check()
{
	if
	:: in_engine > 0 && starved ->
		starved = false;
		kernel_flag(false);
		timer = false
	:: in_engine > 0 && !starved
	:: in_engine == 0 && (!starved
#ifndef NO_CAME
		|| came
#endif
		|| (slots_free > 0 && !timer)) ->
		starved = true;
		kernel_flag(false);
		period = true
	:: else
	fi;
	came = false
}

inline pump()
{
	take();
	refill();
	starve_check()
}

/* next_period(): the timer goes on, or K, L, M. What follows pump() under the lock. */
inline next_period()
{
	atomic {
		timer = true;
		period = false;
		if
		:: idle = true
		:: idle = false
		fi;
		if
#ifndef NO_FREE
		:: slots_free > 0 -> idle = false
#endif
		:: else
		fi;
		if
#ifdef NO_ASK
		:: ANY(GATED) -> idle = false
#endif
		:: else
		fi;
		if
		:: idle -> kernel_flag(true)		/* K */
		:: else
		fi
	};
	if
	:: idle ->
#ifndef NO_L
		full_barrier(KERNEL);			/* L */
#endif
		atomic {
#ifndef NO_M
			load(KERNEL, SQ_PRODUCER, n, M)	/* M */
#else
			n = consumer
#endif
			;
			if
			:: n != consumer -> kernel_flag(false)
#ifdef NO_TIMER
			:: else -> timer = false
#else
			:: else -> timer = ANY(GATED)
#endif
			fi;
			n = 0;
			idle = false
		}
	:: else
	fi
}

active proctype kernel()
{
	byte n, k;
	bool period, idle;

end:
	do
	/* callback() */
	:: atomic { in_engine > 0 -> in_engine--;
#ifdef DEFERRED
		work = true }
#else
		pump() };
		if
		:: period -> next_period()
		:: else
		fi
#endif
	/* sgring_pump_kick(), on the application's processor */
	:: atomic { kicked -> sync(KERNEL);
#ifdef DEFERRED
		work = true };
#else
		pump() };
		if
		:: period -> next_period()
		:: else
		fi;
#endif
		atomic { sync(APP); kicked = false }
	/* sq_timer_fn() */
	:: atomic { timer && starved && !work &&
			(GIVES_UP || NEWEST(SQ_PRODUCER) != consumer || ANY(PASSES) || slots_free > 0) ->
		timer = false;
#ifdef DEFERRED
		load(KERNEL, SQ_PRODUCER, n, B);
		work = n != consumer || slots_free > 0 || ANY(GATED);
		n = 0 };
#else
		pump() };
#endif
		if
		:: starved || period -> next_period()
		:: else
		fi
#ifdef DEFERRED
	/* worker() */
	:: atomic { work -> work = false; pump() };
		if
		:: period -> next_period()
		:: else
		fi
#endif
	od
}

/* When nothing can move any more, nothing may be left behind. */
active proctype judge()
{
end:
	timeout ->
		assert(waits && consumer == NEWEST(SQ_PRODUCER));
		assert(!ANY(PASSES) && !slots_free && !in_engine);
		assert(flag)	/* and the kernel rests, whoever holds what */
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Does the kernel ever sleep over a full SQ, or over a slot at the gate that others
 * have let go of? The letters are those of the drawing in uapi/linux/sgring_ring.h.
 *
 * Memory is weak: a store waits in its process's buffer, where others do not see
 * it, until some later moment; only a full barrier waits for that moment. A
 * release store waits for the stores before it, here the entry itself.
 *
 * Who holds the pages of a slot tells nobody when they let go, and may never. So a
 * timer goes on while slots are at the gate; its runs that find nothing change
 * nothing, and are left out.
 *
 * The application publishes as it goes (A, N) and waits whenever it likes; each wait
 * is preceded by I and J. A wait that ends by itself is gone through, any other is the
 * last thing the application does: nobody but the kernel can end it.
 *
 * NO_I, NO_L and NO_RELEASE leave out one of the barriers, NO_J the look before a
 * wait, NO_TIMER that timer, and NO_ASK asks for no kick while slots are at the gate:
 * then the model must fail. NO_N leaves out the look without a barrier, which nothing
 * may depend on: the model must hold.
 */
#define ITEMS 3

byte entry[ITEMS];		/* SQ entries: 1 when written */
bool entry_waits[ITEMS];	/* ... but in the application's store buffer */
byte producer, producer_next;	/* memory, and the buffered store */
bool producer_waits;
bool flag, flag_next;		/* NEED_WAKEUP, the same */
bool flag_waits;
byte consumer;			/* the kernel's own truth */
bool idle;			/* nobody looks at the SQ any more */
bool held[ITEMS];		/* others have the slot's pages ... */
bool for_good[ITEMS];		/* ... and keep them */
bool gated[ITEMS];		/* the kernel has the slot, and waits for them */
bool kicked;
bool waits;			/* the application, for the kernel */

/* The store buffers drain whenever they like, in any order. */
active proctype memory()
{
	byte i;
end:
	do
	:: atomic { producer_waits -> producer = producer_next; producer_waits = false }
	:: atomic { flag_waits -> flag = flag_next; flag_waits = false }
	:: atomic { entry_waits[0] -> entry[0] = 1; entry_waits[0] = false }
	:: atomic { entry_waits[1] -> entry[1] = 1; entry_waits[1] = false }
	:: atomic { entry_waits[2] -> entry[2] = 1; entry_waits[2] = false }
	od
}

/* sgring_flush() */
inline before_a_wait()
{
#ifndef NO_I
	!producer_waits;				/* I: full barrier */
#endif
#ifndef NO_J
	if						/* J */
	:: flag -> kicked = true
	:: else
	fi
#else
	skip
#endif
}

active proctype application()
{
	byte i = 0;

	do
	:: i < ITEMS ->
		if					/* sent, and returned at once */
		:: held[i] = true
		:: atomic { held[i] = true; for_good[i] = true }
		:: skip
		fi;
		entry_waits[i] = true;			/* write the entry */
#ifndef NO_RELEASE
		!entry_waits[i];			/* A is a release: after the entry */
#endif
		atomic {				/* A: stores to one word keep their order */
			!producer_waits;
			producer_next = i + 1;
			producer_waits = true
		}
#ifndef NO_N
		if					/* N: no barrier, it may miss the flag */
		:: flag -> kicked = true
		:: else
		fi;
#endif
		if					/* a wait between two of them, or none */
		:: before_a_wait()
		:: skip
		fi;
		i++
	:: break
	od;
	before_a_wait();
	waits = true
}

/* Those who hold pages: an skb, a pipe. */
active proctype holders()
{
end:
	do
	:: held[0] && !for_good[0] -> held[0] = false
	:: held[1] && !for_good[1] -> held[1] = false
	:: held[2] && !for_good[2] -> held[2] = false
	od
}

#define PASSES(i)	(gated[i] && !held[i])
#define ANY_PASSES	(PASSES(0) || PASSES(1) || PASSES(2))
#define ANY_GATED	(gated[0] || gated[1] || gated[2])

/* One pass: the gate; B, copy, C. The entry must be there when the index says so. */
inline take()
{
	do
	:: PASSES(0) -> gated[0] = false
	:: PASSES(1) -> gated[1] = false
	:: PASSES(2) -> gated[2] = false
	:: else -> break
	od;
	do
	:: consumer < producer ->
		assert(entry[consumer] == 1);
		gated[consumer] = held[consumer];
		consumer++
	:: else -> break
	od
}

inline store_flag(value)
{
	atomic { !flag_waits; flag_next = value; flag_waits = true }
}

active proctype kernel()
{
looking:	/* the timer's passes: as many as it likes, then it gives up */
	take();
	if
	:: goto looking
	:: skip
	fi;
#ifdef NO_ASK
	do
	:: ANY_GATED ->
		(producer != consumer || ANY_PASSES);	/* the timer, for ever */
		take()
	:: else -> break
	od;
#endif
	store_flag(true);				/* K */
#ifndef NO_L
	!flag_waits;					/* L: full barrier */
#endif
	if
	:: producer != consumer ->			/* M */
		store_flag(false);
		goto looking
	:: else -> idle = true
	fi;
end:
	if
	:: kicked -> kicked = false
#ifndef NO_TIMER
	:: ANY_PASSES					/* the timer, slower and slower */
#endif
	fi;
	idle = false;
	take();
	store_flag(false);				/* the engine is busy again ... */
	goto looking					/* ... until it runs dry once more */
}

/* When nothing can move any more, nothing may be left behind. */
active proctype judge()
{
end:
	timeout ->
		assert(waits && consumer == producer);
		assert(!ANY_PASSES);
		assert(flag)	/* and the kernel rests, whoever holds what */
}

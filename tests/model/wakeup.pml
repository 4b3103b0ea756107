/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Does the kernel ever sleep over a full SQ? The letters are those of the drawing
 * in uapi/linux/sgring_ring.h.
 *
 * Memory is weak: a store waits in its process's buffer, where others do not see
 * it, until some later moment; only a full barrier waits for that moment. A
 * release store waits for the stores before it, here the entry itself.
 *
 * NO_I, NO_L and NO_RELEASE leave out one of them: then the model must fail.
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
bool kicked;
bool finished;

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

active proctype application()
{
	byte i = 0;

	do
	:: i < ITEMS ->
		entry_waits[i] = true;			/* write the entry */
#ifndef NO_RELEASE
		!entry_waits[i];			/* A is a release: after the entry */
#endif
		atomic {				/* A: stores to one word keep their order */
			!producer_waits;
			producer_next = i + 1;
			producer_waits = true
		}
#ifndef NO_I
		!producer_waits;			/* I: full barrier */
#endif
		if					/* J */
		:: flag -> kicked = true
		:: else
		fi;
		i++
	:: else -> break
	od;
	finished = true
}

/* One pass: B, copy, C. The entry must be there when the index says so. */
inline take()
{
	do
	:: consumer < producer ->
		assert(entry[consumer] == 1);
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
	kicked -> kicked = false; idle = false;
	take();
	store_flag(false);				/* the engine is busy again ... */
	goto looking					/* ... until it runs dry once more */
}

/* When nothing can move any more, nothing may be left behind. */
active proctype judge()
{
end:
	timeout -> assert(!finished || consumer == ITEMS)
}

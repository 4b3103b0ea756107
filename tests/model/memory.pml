/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Memory that two sides share, as weak as hardware and compilers may make it.
 *
 * Each side's stores, and its accesses to what is no atomic word (ring entries, slots),
 * are its events and have numbers, in program order. Each atomic word has one writer and
 * keeps its history. A load takes any store of that history which is not older than
 * what the reader has read there before, or knows to have happened: so loads come early
 * and stores late, each as far as it likes. What a side knows is one number, the events of
 * the other that happened before its own:
 *
 *   store-release   carries the number of all events before it
 *   load-acquire    who reads such a store knows what it carries
 *   full barrier    knows what any barrier of the other before it had behind it,
 *                   and what was read before it carries; stores after it carry what
 *                   is before it
 *   a lock          knows everything (sync)
 *
 * Entries and slots are plain memory: two accesses of which one writes must be ordered by
 * what is known, or else the reader may find old, new or torn bytes. That is asserted
 * at each access (touch), whatever the access finds, and covers loads that are
 * carried out late, after the store that gives an entry back, as well.
 *
 * Not covered: atomic loads carried out after later stores of their side (load buffering;
 * every load that matters here is an acquire or decides whether the stores come),
 * values out of thin air, devices.
 *
 * A model names its words: 0 to WORDS_OF_APP - 1 the application writes, the rest up to
 * WORDS - 1 the kernel.
 */
#define APP 0
#define KERNEL 1
#define WRITER(w) ((w) < WORDS_OF_APP -> APP : KERNEL)

/* For mutants: what the code asks for, or nothing. */
#define ORDERED 1
#define RELAXED 0

#ifndef DEPTH
#define DEPTH 6				/* stores to a word that may be told apart; asserted */
#endif

typedef word {
	byte value[DEPTH];		/* the history, from the oldest that may still be read on */
	byte number[DEPTH];		/* its writer's events when it was stored */
	byte carries[DEPTH];		/* and what it hands on */
	byte last
};

typedef side {
	byte events;			/* so far */
	byte barrier;			/* at the last full barrier */
	byte known;			/* events of the other side that happened before */
	byte read			/* carried by what was read, known at the next barrier */
};

word words[WORDS];
side sides[2];
hidden byte mem_i, mem_j;

#define MAX(a, b) ((a) > (b) -> (a) : (b))

/* The oldest store of @w can be read no more. */
inline forget(w)
{
	mem_j = 0;
	do
	:: mem_j < words[w].last ->
		words[w].value[mem_j] = words[w].value[mem_j + 1];
		words[w].number[mem_j] = words[w].number[mem_j + 1];
		words[w].carries[mem_j] = words[w].carries[mem_j + 1];
		mem_j++
	:: else -> break
	od;
	words[w].value[mem_j] = 0;
	words[w].number[mem_j] = 0;
	words[w].carries[mem_j] = 0;
	words[w].last--
}

/* @me knows the other side's first @n events. */
inline know(me, n)
{
	if
	:: (n) > sides[me].known ->
		sides[me].known = n;
		mem_i = (me == APP -> WORDS_OF_APP : 0);
		do
		:: mem_i < (me == APP -> WORDS : WORDS_OF_APP) ->
			do
			:: words[mem_i].last > 0 && words[mem_i].number[1] <= sides[me].known ->
				forget(mem_i)
			:: else -> break
			od;
			mem_i++
		:: else -> break
		od;
		mem_i = 0
	:: else
	fi;
	mem_j = 0
}

inline store(me, w, v, order)
{
	d_step {
		assert(WRITER(w) == me);
		sides[me].events++;
		words[w].last++;
		assert(words[w].last < DEPTH && sides[me].events < 255);
		words[w].value[words[w].last] = v;
		words[w].number[words[w].last] = sides[me].events;
		words[w].carries[words[w].last] =
			(order == ORDERED -> sides[me].events : sides[me].barrier)
	}
}

inline load(me, w, v, order)
{
	atomic {
		assert(WRITER(w) != me);
		do
		:: words[w].last > 0 -> d_step { forget(w); mem_j = 0 }
		:: break
		od;
		skip;
		d_step {
			v = words[w].value[0];
			sides[me].read = MAX(sides[me].read, words[w].carries[0]);
			if
			:: order == ORDERED -> know(me, words[w].carries[0])
			:: else
			fi
		}
	}
}

/* The last store of a word, for its writer, and for judges. */
#define NEWEST(w) words[w].value[words[w].last]

inline full_barrier(me)
{
	d_step {
		sides[me].barrier = sides[me].events;
		know(me, MAX(sides[me].read, sides[1 - (me)].barrier))
	}
}

/* @me takes a lock that the other side had last, or is woken by it. */
inline sync(me)
{
	d_step { know(me, sides[1 - (me)].events) }
}

/*
 * Plain memory: when each side touched it last; a read counts as well as a write, since it
 * is the other side's write that follows.
 */
typedef plain { byte touched[2] };

/* Part of a step. */
inline touch(me, p)
{
	assert(sides[me].known >= p.touched[1 - (me)]);
	sides[me].events++;
	assert(sides[me].events < 255);
	p.touched[me] = sides[me].events
}

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

typedef plain { byte touched[2] };

word words[WORDS];
side sides[2];
plain plains[PLAINS];
hidden byte mem_i, mem_j, mem_n;

/*
 * Only the order of numbers counts, and of those that the other side knows not even that:
 * as few as possible, from 0 on, or else states that are the same would look different.
 */
c_code {
	static void renumber(void)
	{
		unsigned char rank[256], *used[256];
		int me, i, k, n, top;

		for (me = 0; me < 2; me++) {
			unsigned char known = now.sides[!me].known;

			n = 0;
			used[n++] = &now.sides[me].events;
			used[n++] = &now.sides[me].barrier;
			used[n++] = &now.sides[!me].known;
			used[n++] = &now.sides[!me].read;
			for (i = me ? WORDS_OF_APP : 0; i < (me ? WORDS : WORDS_OF_APP); i++)
				for (k = 0; k <= now.words[i].last; k++) {
					used[n++] = &now.words[i].number[k];
					used[n++] = &now.words[i].carries[k];
				}
			for (i = 0; i < PLAINS; i++)
				used[n++] = &now.plains[i].touched[me];
			memset(rank, 0, sizeof(rank));
			for (i = 0; i < n; i++)
				if (*used[i] > known)
					rank[*used[i]] = 1;
			for (i = 0, top = 0; i < 256; i++)
				rank[i] = rank[i] ? ++top : 0;
			for (i = 0; i < n; i++)
				*used[i] = rank[*used[i]];
		}
	}
}

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

/* @me knows the other side's first mem_n events. */
inline know(me)
{
	if
	:: mem_n > sides[me].known ->
		sides[me].known = mem_n;
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
		assert(words[w].last < DEPTH);
		words[w].value[words[w].last] = v;
		words[w].number[words[w].last] = sides[me].events;
		words[w].carries[words[w].last] =
			(order == ORDERED -> sides[me].events : sides[me].barrier);
		c_code { renumber(); }
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
			:: order == ORDERED -> mem_n = words[w].carries[0]; know(me)
			:: else
			fi;
			c_code { renumber(); }
		}
	}
}

/* The last store of a word, for its writer, and for judges. */
#define NEWEST(w) words[w].value[words[w].last]

inline full_barrier(me)
{
	d_step {
		sides[me].barrier = sides[me].events;
		mem_n = MAX(sides[me].read, sides[1 - me].barrier);
		know(me);
		c_code { renumber(); }
	}
}

/* @me takes a lock that the other side had last, or is woken by it. */
inline sync(me)
{
	d_step { mem_n = sides[1 - me].events; know(me); c_code { renumber(); } }
}

/*
 * Plain memory: when each side touched it last; a read counts as well as a write, since it
 * is the other side's write that follows. Part of a step.
 */
inline touch(me, p)
{
	assert(sides[me].known >= plains[p].touched[1 - me]);
	sides[me].events++;
	plains[p].touched[me] = sides[me].events
}

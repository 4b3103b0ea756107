/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Does a stop always end, does nobody touch the stream after it, and is the end of stream
 * the last entry, told before the state and the flag say so? The code is kernel/stream.c
 * (sgring_stop, set_state), kernel/pump.c (sgring_pump_hold, sgring_pump_end,
 * sgring_pump_retire_rest, sgring_pump_end_of_stream, callback, sq_timer_fn, worker,
 * sgring_pump_kick), sgring_stream_unregister() in kernel/client.c, and what_happened() in
 * userlib/wait.c.
 *
 * The kernel's contexts meet under one lock, so among themselves memory is strong: each
 * pass is a step. Only what the application sees of it is weak: CQ producer, state,
 * flags. The engine has two transfers; a callback may be anywhere on its way when the
 * engine is terminated, and if it has no synchronize (QUIRK) it comes at any later time.
 * The stream may starve, its timer queue the worker, the worker start the timer; the
 * application may kick, if the mutex is free. EARLY_STATE is a state that says the device
 * is gone from the beginning of its stop on.
 *
 * The worker may not start the timer again for two reasons: its own look at @active, and that
 * it is cancelled first. Either is enough.
 */
#define WORDS_OF_APP 0
#define CQ_PRODUCER 0
#define STATE 1
#define FLAGS 2
#define WORDS 3
#define PLAINS 4			/* entries */
#include "memory.pml"

#ifdef NO_STATE_RELEASE
#define TELL RELAXED
#else
#define TELL ORDERED
#endif
#ifdef NO_STATE_ACQUIRE
#define HEAR RELAXED
#else
#define HEAR ORDERED
#endif

#define SUBMITTED 2			/* transfers */
#define RUNNING 0
#define STOPPING 1
#define READY 2
#define GONE 3				/* SGRING_STATE_DEAD */
#ifdef EARLY_STATE
#define FIRST GONE
#else
#define FIRST STOPPING
#endif

/* struct sgring_stream; @counts is its @active */
bool counts = true, refill = true, starved, timer, work;
bool timer_runs, worker_runs;		/* begun, and waiting for the lock */
byte arm, in_engine = SUBMITTED, producer;
bool ended;				/* the end of stream is in the CQ */
bool stopped;				/* sgring_stop() is over: nobody may touch the stream */
bool mutex;

/* The engine: transfers, callbacks on their way, whether it was terminated. */
byte transfers = SUBMITTED, coming;
bool terminated, still;			/* the device gives no more */

/* A pass changes the stream. */
inline touches()
{
	assert(!stopped)
}

inline post()
{
	assert(!ended);
	touch(KERNEL, producer);
	producer++;
	store(KERNEL, CQ_PRODUCER, producer, ORDERED)	/* E */
}

/* starve_check() */
inline pump()
{
	touches();
	starved = counts && refill && in_engine == 0;
	timer = starved
}

active proctype engine()
{
end:
	do
	:: atomic { transfers > 0 && !terminated && !still -> transfers--; coming++ }
	/* callback() */
	:: atomic { coming > 0 ->
		coming--;
		if
#ifndef NO_ARM
		:: arm != 0			/* late */
		:: arm == 0 && !counts
#else
		:: false
#endif
#ifdef NO_ACTIVE
		:: arm == 0 ->
#else
		:: (arm == 0 && counts) ->
#endif
			touches();
			if			/* look() */
			:: in_engine > 0 -> in_engine--; post(); pump()
			:: work = true	/* the worker's, to retire later */
			fi
#ifdef NO_ARM
		:: arm != 0 -> touches()
#endif
		fi }
	od
}

/* sq_timer_fn(): it may be anywhere when it is cancelled */
active proctype timer_fn()
{
end:
	do
	:: atomic { timer -> timer = false; timer_runs = true };
		atomic {
#ifndef NO_TIMER_TEST
			if
			:: counts && starved ->
#endif
				touches();
				work = true;
				timer = counts && refill && starved
#ifndef NO_TIMER_TEST
			:: else
			fi
#endif
			; timer_runs = false
		}
	od
}

active proctype worker()
{
end:
	do
	:: atomic { work -> work = false; worker_runs = true };
		atomic {
#ifndef NO_WORKER_TEST
			if
			:: counts -> pump()
			:: else
			fi
#else
			pump();
			timer = true
#endif
			; worker_runs = false
		}
	od
}

/* Kicks, as many as one likes, while nobody has the mutex. */
active proctype kick()
{
end:
	do
	:: atomic { !mutex && !ended ->
		if
		:: counts -> work = true
		:: else
		fi }
	od
}

active proctype stop()
{
	atomic { !mutex -> mutex = true };
	store(KERNEL, STATE, FIRST, ORDERED);
	atomic { refill = false; pump() };		/* sgring_pump_hold() */
	if						/* device_stop() */
	:: still = true
	:: true
	fi;
	if						/* drain(), or none, or a time-out */
	:: in_engine == 0
#ifndef NO_TIMEOUT
	:: true
#endif
	fi;
	/* sgring_pump_end() */
	atomic { refill = false; pump(); counts = false };
#ifdef LATE_WORKER
	atomic { !timer_runs -> timer = false };
#endif
#ifndef NO_CANCEL_WORK
	atomic { !worker_runs -> work = false };	/* cancel_work_sync() */
#endif
#ifndef LATE_WORKER
#ifndef NO_CANCEL_TIMER
	atomic { !timer_runs -> timer = false };	/* hrtimer_cancel() */
#endif
#endif
	/* sgring_engine_stop() */
	terminated = true;
#ifndef QUIRK
	coming == 0;					/* its synchronize */
#endif
	/* sgring_pump_retire_rest() */
	atomic { in_engine = 0; arm++ };
	/* sgring_pump_end_of_stream() */
#ifdef LATE_ENTRY
	store(KERNEL, STATE, READY, TELL);
#endif
	atomic { post(); ended = true; stopped = true };
	/* A timer or worker that could still run would find freed memory. */
	assert(!timer && !timer_runs && !work && !worker_runs);
#ifndef LATE_ENTRY
	store(KERNEL, STATE, READY, TELL);
#endif
	mutex = false
}

/*
 * what_happened(): who sees the state finds all entries, the last one the end. Each entry
 * is there when the index says so.
 */
active proctype application()
{
	byte seen, consumer, state;

end:
	do
	:: atomic { words[STATE].last > 0 ->
		load(APP, STATE, state, HEAR);
		if
		:: state >= READY -> break
		:: else
		fi }
	:: atomic { words[CQ_PRODUCER].last > 0 ->
		load(APP, CQ_PRODUCER, seen, ORDERED);
		do
		:: consumer < seen -> touch(APP, consumer); consumer++
		:: else -> break
		od;
		seen = 0 }
	od;
	load(APP, CQ_PRODUCER, seen, ORDERED);
	assert(ended && seen == producer)
}

#ifdef LIVE
/* Whoever can go on does so at some time: then a stop ends. */
ltl ends { <> (stopped && !mutex) }
#endif

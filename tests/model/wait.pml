/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Does the application ever sleep over CQ entries it should have been woken for? It
 * should, uapi/linux/sgring.h says, when a wake-up batch is in the CQ: wake_slots of them,
 * or wake_usec has passed since the first, or nothing more can come before it acts. The
 * code is kernel/pump.c (announce, announce_check, batch_begin, wake_timer_fn, starve_check,
 * sgring_pump_poll), sgring_poll() in kernel/chardev.c, and wait_for_entry() in
 * userlib/wait.c; the letters are those of the drawing in uapi/linux/sgring_ring.h.
 *
 * Two sources of wake-ups: the engine's callback and the batch's timer. Three ways to
 * wait: poll(2) asks ->poll before it sleeps and each time it wakes. epoll does so only
 * for what is on its list of ready items: one gets there by a wake-up, stays there
 * with level trigger until ->poll denies it, and with edge trigger is taken off at once.
 * A sleeper in epoll_wait() is woken by a wake-up alone, or by another descriptor
 * (at most DISTURBED times), which asks nobody.
 *
 * The application takes until the CQ is empty, flushes (I), looks once more (P), and waits.
 * The device may stop at any time: then nothing but what was announced will wake it.
 * Of the SQ only this is modelled: what was returned is taken by any later pass, and goes to
 * the engine, or to the gate.
 */
#ifndef SLOTS
#define SLOTS 4
#endif
#ifndef WAKE_SLOTS
#define WAKE_SLOTS 3
#endif
#ifndef TRANSFERS
#define TRANSFERS 5
#endif
#ifndef DISTURBED
#define DISTURBED 1
#endif

#define CQ_CONSUMER 0
#define WORDS_OF_APP 1
#define CQ_PRODUCER 1
#define WORDS 2
#define PLAINS TRANSFERS		/* entries; for their reuse see rings.pml */
#define DEPTH 8
#include "memory.pml"

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

/* struct sgring_stream */
byte producer, announced, in_engine = SLOTS, gated;
bool starved, batch, timer, timer_old;
bool locked;

/* What wakes: the wait queue of the stream; epoll's list of ready items. */
bool queued;				/* somebody is on the queue */
bool queued_known;			/* the lock was taken since */
bool woken, ready, sleeps;

/* The application. */
byte consumer, held, returned, disturbed;
bool stopped;				/* the device */

#ifndef POLL
#define EPOLL
#endif

/* wake_up(): ep_poll_callback(), or pollwake() */
inline wake_up()
{
#ifdef EPOLL
	ready = true;
	woken = sleeps
#else
	woken = queued				/* asleep already or not */
#endif
}

/* Is somebody on the queue? It may be seen late, but not later than the lock. */
inline has_sleeper(result)
{
#ifdef EPOLL
	result = true
#else
	if
	:: queued -> result = true
	:: !queued_known -> result = false
	fi
#endif
}

inline announce()
{
	announced = producer;
	if
	:: batch -> batch = false; timer_old = timer
	:: else
	fi;
	has_sleeper(somebody);
	if
	:: somebody -> wake_up()
	:: else
	fi;
	somebody = false
}

/* The rest of announce_check(), with @seen consumed. */
inline batch_check(seen)
{
	if
	:: seen > announced ->
		announced = seen;
		batch = false;
		timer_old = timer
	:: else
	fi;
	if
	:: producer == announced || producer == seen
	:: else ->
		if
		:: (producer - announced >= WAKE_SLOTS
#ifndef NO_LAST
			|| producer - seen + in_engine + gated < WAKE_SLOTS
#endif
			) -> announce()
		:: else ->
#ifndef WAKE_OFF
			if
			:: !batch ->			/* batch_begin() */
				batch = true;
				if
				:: timer
				:: else -> timer = true; timer_old = false
				fi
			:: else
			fi
#else
			skip
#endif
		fi
	fi
}

/* take() and refill(), as far as they matter here, and starve_check() */
inline pump()
{
	do
	:: returned > 0 -> returned--; in_engine++
	:: returned > 0 -> returned--; gated++	/* for good, as far as one can know */
	:: returned == 0 -> break
	od;
	if
	:: in_engine == 0 && !starved ->
		starved = true;
#ifndef NO_STARVED
		announce()
#endif
	:: in_engine > 0 -> starved = false
	:: else
	fi
}

active proctype kernel()
{
	byte c;
	bool somebody;

end:
	do
	/* callback(): cell_retire() */
	:: atomic { !locked && in_engine > 0 && !stopped && producer < TRANSFERS ->
		locked = true;
		touch(KERNEL, producer);
		in_engine--;
		producer++;
		store(KERNEL, CQ_PRODUCER, producer, E);
		pump() };
		goto check
	/* sq_timer_fn() */
	:: atomic { !locked && starved && returned > 0 ->
		locked = true;
		pump() };
check:		/* announce_check() */
#ifndef NO_O
		full_barrier(KERNEL);			/* O: in wq_has_sleeper() */
#endif
		atomic {
			has_sleeper(somebody);
			if
			:: somebody ->
				somebody = false;
				load(KERNEL, CQ_CONSUMER, c, ORDERED);	/* H */
				batch_check(c);
				c = 0
			:: else
			fi;
			locked = false
		}
	/* wake_timer_fn() */
	:: atomic { !locked && timer ->
		timer = false;
		if
#ifndef NO_REARM
		:: batch && timer_old -> timer = true	/* not yet: of an earlier batch */
#else
		:: batch && timer_old -> batch = false
#endif
		:: batch && !timer_old ->
			batch = false;
			load(KERNEL, CQ_CONSUMER, c, ORDERED);
			if
			:: producer > c -> announce()
			:: else
			fi;
			c = 0
		:: else
		fi;
		timer_old = false }
	od
}

/* sgring_pump_poll(), under the lock, on the application's own processor */
inline ask()
{
	atomic {
		!locked;
		sync(APP);
		sync(KERNEL);				/* whoever has the lock next */
		queued_known = queued;
#ifndef NO_ASKED
		batch_check(consumer);
#endif
		mask = announced > consumer
	}
}

active proctype application()
{
	byte seen;
	bool mask, somebody;

	atomic { queued_known = true; held = 0 };
take:	/* until there is nothing */
	do
	:: atomic { load(APP, CQ_PRODUCER, seen, F);
		if
		:: seen > consumer ->
			do
			:: consumer < seen -> touch(APP, consumer); consumer++; held++
			:: else -> break
			od;
			seen = 0;
			store(APP, CQ_CONSUMER, consumer, ORDERED)	/* G */
		:: else -> seen = 0; break
		fi }
	:: atomic { held > 0 -> held--; returned++ }
	od;
#ifndef NO_I
	full_barrier(APP);				/* I: sgring_flush() */
#endif
#ifndef NO_P
	atomic {					/* P: ready after all? */
		load(APP, CQ_PRODUCER, seen, F);
		if
		:: seen > consumer -> seen = 0; goto take
		:: else -> seen = 0
		fi
	};
#endif
#ifdef POLL
	queued = true;
	do
	:: ask();
		if
		:: mask -> break
		:: else
		fi;
end_asleep:	if
		:: atomic { woken -> woken = false; sync(APP) }
		:: atomic { disturbed < DISTURBED -> disturbed++; break }
		fi
	od;
	atomic { queued = false; queued_known = false; woken = false; mask = false };
#else
	do
	:: atomic { ready -> ready = false };
		ask();
		if
		:: mask ->
#ifdef LEVEL
			ready = true;
#endif
			break
		:: else
		fi
	:: atomic { !ready -> sleeps = true };		/* looked at under ep->lock */
end_asleep:	if
		:: atomic { woken -> woken = false; sleeps = false; sync(APP) }
		:: atomic { disturbed < DISTURBED -> disturbed++; sleeps = false; break }
		fi
	od;
	atomic { woken = false; sleeps = false; mask = false };
#endif
	goto take
}

active proctype device()
{
end:
	stopped = true
}

/* When nothing can move any more, the application sleeps, and rightly. */
active proctype judge()
{
end:
	timeout ->
		assert(application@end_asleep);
		assert(announced <= consumer);
		assert(producer == consumer || (producer - consumer < WAKE_SLOTS &&
			producer - consumer + in_engine + gated >= WAKE_SLOTS && in_engine > 0));
#ifndef WAKE_OFF
		assert(producer == consumer)
#endif
}

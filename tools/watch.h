/* SPDX-License-Identifier: MIT */
/*
 * sgring top: what is known of each stream over the last minute. No drawing here, no
 * system call: who looks at a stream (top.c) gives in what it saw, screen.c draws.
 */
#ifndef SGRING_WATCH_H
#define SGRING_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include <sgring.h>

#define WATCH_SPAN_NS	60000000000ULL
#define WATCH_POINTS	640	/* a minute at the shortest interval, and some */
#define WATCH_EVENTS	16
#define WATCH_NAME	64

/* Is it there? */
enum watch_presence {
	WATCH_NEW,		/* never seen */
	WATCH_THERE,		/* set up */
	WATCH_UNUSED,		/* nobody has set it up */
	WATCH_DENIED,		/* no permission */
	WATCH_GONE,		/* it was there */
};

/**
 * struct watch_input - one look at a stream
 * @at_ns: when
 * @err: 0, or the negative errno of the attempt
 * @state: enum sgring_state
 * @label: the stream's
 * @stats: if @state is not idle
 */
struct watch_input {
	uint64_t at_ns;
	int err;
	uint32_t state;
	char label[SGRING_NAME_BYTES];
	struct sgring_stats stats;
};

/**
 * struct watch_point - an interval, from one look to the next
 * @at_ns: its end
 * @seconds: its length
 * @slots: how many there are
 * @free, @engine, @app, @gated: of them, at its end
 * @bytes, @done, @drops, @lost, @stalls, @errors, @gate_waits, @kicks, @polls, @wakeups, @timers:
 *	what was added
 * @stalled_ns: likewise
 * @usec: slots by how long the application had them, likewise
 */
struct watch_point {
	uint64_t at_ns;
	double seconds;
	uint32_t slots;
	uint32_t free;
	uint32_t engine;
	uint32_t app;
	uint32_t gated;
	uint64_t bytes;
	uint64_t done;
	uint64_t drops;
	uint64_t lost;
	uint64_t stalls;
	uint64_t stalled_ns;
	uint64_t errors;
	uint64_t gate_waits;
	uint64_t kicks;
	uint64_t polls;
	uint64_t wakeups;
	uint64_t timers;
	uint64_t usec[SGRING_USEC_LOG2];
};

/* Something to remember: a state that changed, losses that began. */
struct watch_event {
	uint64_t at_ns;
	char text[80];
};

/**
 * struct watch - a stream
 * @name: as it is opened
 * @label: the stream's, empty until known
 * @presence: enum watch_presence
 * @err: of the last look
 * @state: enum sgring_state, while it is there
 * @now: the last look's counters
 * @then: those before, or 0 if that set-up was another
 * @seconds: from one to the other; 0: there are no two yet
 * @at_ns: of the last look
 * @points: a ring
 * @count: points that were ever added
 * @events: a ring
 * @event_count: events that were ever added
 */
struct watch {
	char name[WATCH_NAME];
	char label[SGRING_NAME_BYTES];
	int presence;
	int err;
	uint32_t state;
	struct sgring_stats now;
	struct sgring_stats then;
	double seconds;
	uint64_t at_ns;
	struct watch_point points[WATCH_POINTS];
	uint64_t count;
	struct watch_event events[WATCH_EVENTS];
	uint64_t event_count;
};

void watch_begin(struct watch *w, const char *name);
void watch_add(struct watch *w, const struct watch_input *in);

/* What people call it. */
const char *watch_title(const struct watch *w);
/* One word: its state, or why there is none. */
const char *watch_word(const struct watch *w);

/* The last interval; NULL: there is none now. */
const struct watch_point *watch_last(const struct watch *w);
/*
 * All intervals that overlap the time from @from_ns to @to_ns, as one: what was added is summed up,
 * slots by owner are those of the last. False: nothing is known.
 */
bool watch_range(const struct watch *w, uint64_t from_ns, uint64_t to_ns, struct watch_point *sum);
/* The n-th last event (0: the last), or NULL. */
const struct watch_event *watch_event(const struct watch *w, unsigned int n);

/* Of a histogram by powers of two: so many per cent took less than this, us; 0: it is empty. */
uint64_t usec_below(const uint64_t *usec, unsigned int percent);
/* "16 us", "2 ms", "4 s": a bound of a bucket, rounded to what it is by name. */
const char *usec_words(uint64_t usec);

#endif /* SGRING_WATCH_H */

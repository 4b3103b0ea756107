/* SPDX-License-Identifier: MIT */
/* sgring top: what is known of each stream over the last minute; see watch.h. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"
#include "watch.h"

void watch_begin(struct watch *w, const char *name)
{
	memset(w, 0, sizeof(*w));
	snprintf(w->name, sizeof(w->name), "%s", name);
}

const char *watch_title(const struct watch *w)
{
	return w->label[0] ? w->label : w->name;
}

const char *watch_word(const struct watch *w)
{
	switch (w->presence) {
	case WATCH_THERE:
		return state_word(w->state);
	case WATCH_UNUSED:
		return "unused";
	case WATCH_DENIED:
		return "denied";
	case WATCH_GONE:
		return "gone";
	default:
		return w->err ? "none" : "new";
	}
}

__attribute__((format(printf, 3, 4)))
static void event(struct watch *w, uint64_t at_ns, const char *format, ...)
{
	struct watch_event *e = &w->events[w->event_count++ % WATCH_EVENTS];
	va_list ap;

	e->at_ns = at_ns;
	va_start(ap, format);
	vsnprintf(e->text, sizeof(e->text), format, ap);
	va_end(ap);
}

const struct watch_event *watch_event(const struct watch *w, unsigned int n)
{
	if (n >= w->event_count || n >= WATCH_EVENTS)
		return NULL;
	return &w->events[(w->event_count - 1 - n) % WATCH_EVENTS];
}

static const struct watch_point *point(const struct watch *w, uint64_t n)
{
	return &w->points[n % WATCH_POINTS];
}

static uint64_t first_point(const struct watch *w)
{
	return w->count > WATCH_POINTS ? w->count - WATCH_POINTS : 0;
}

const struct watch_point *watch_last(const struct watch *w)
{
	return w->presence == WATCH_THERE && w->seconds > 0 && w->count ?
	       point(w, w->count - 1) : NULL;
}

static void add_point(struct watch *w, uint64_t at_ns)
{
	const struct sgring_stats *a = &w->then, *b = &w->now;
	struct watch_point *p = &w->points[w->count++ % WATCH_POINTS];
	unsigned int i;

	*p = (struct watch_point){
		.at_ns = at_ns, .seconds = w->seconds,
		.slots = b->slots_free + b->slots_engine + b->slots_app + b->slots_gated,
		.free = b->slots_free, .engine = b->slots_engine, .app = b->slots_app,
		.gated = b->slots_gated,
		.bytes = b->bytes_done - a->bytes_done, .done = b->slots_done - a->slots_done,
		.drops = b->dropped_slots - a->dropped_slots, .lost = b->lost_bytes - a->lost_bytes,
		.stalls = b->stalls - a->stalls, .stalled_ns = b->stalled_ns - a->stalled_ns,
		.errors = b->engine_errors - a->engine_errors,
		.gate_waits = b->gate_waits - a->gate_waits, .kicks = b->kicks - a->kicks,
		.polls = b->polls - a->polls, .wakeups = b->wakeups - a->wakeups,
		.timers = b->timer_runs - a->timer_runs,
	};
	for (i = 0; i < SGRING_USEC_LOG2; i++)
		p->usec[i] = b->app_usec_log2[i] - a->app_usec_log2[i];
}

/* What began in this interval, and was not in the one before. */
static void tell_troubles(struct watch *w)
{
	const struct watch_point *p = point(w, w->count - 1);
	const struct watch_point *q = w->count > 1 ? point(w, w->count - 2) : NULL;

	if (p->errors)
		event(w, p->at_ns, "%" PRIu64 " transfer%s failed", p->errors, p->errors > 1 ? "s" : "");
	if (p->drops && !(q && q->drops))
		event(w, p->at_ns, "it drops: %" PRIu64 " slots", p->drops);
	if (p->lost && !(q && q->lost))
		event(w, p->at_ns, "the device loses: %s", size_words(p->lost));
	if (p->stalls && !(q && q->stalls))
		event(w, p->at_ns, "the engine has no slot: a stall");
	if (w->now.gate_stuck > w->then.gate_stuck)
		event(w, p->at_ns, "a slot is held at the gate for too long");
	if (w->now.sq_bad > w->then.sq_bad)
		event(w, p->at_ns, "%" PRIu64 " bad SQ entries", (uint64_t)(w->now.sq_bad - w->then.sq_bad));
	if (w->now.index_bad > w->then.index_bad)
		event(w, p->at_ns, "the application damaged an index");
}

static void absent(struct watch *w, const struct watch_input *in)
{
	int was = w->presence;

	w->seconds = 0;
	if (in->err == -EACCES)
		w->presence = WATCH_DENIED;
	else if (in->err)
		w->presence = was == WATCH_NEW ? WATCH_NEW : WATCH_GONE;
	else
		w->presence = WATCH_UNUSED;
	if (w->presence == was || was == WATCH_NEW)
		return;
	event(w, in->at_ns, w->presence == WATCH_GONE ? "the stream is gone" :
	      w->presence == WATCH_DENIED ? "no permission any more" :
	      was == WATCH_THERE ? "its owner has closed it" : "the stream is back");
}

void watch_add(struct watch *w, const struct watch_input *in)
{
	bool known = w->presence == WATCH_THERE, anew;

	w->err = in->err;
	if (in->label[0])
		memcpy(w->label, in->label, sizeof(w->label));
	if (in->err || in->state == SGRING_STATE_IDLE) {
		absent(w, in);
		w->at_ns = in->at_ns;
		return;
	}
	/* A new owner counts from zero. */
	anew = known && (in->stats.epoch < w->now.epoch || in->stats.slots_done < w->now.slots_done ||
			 in->stats.sq_taken < w->now.sq_taken);
	if (w->presence != WATCH_NEW && (!known || anew))
		event(w, in->at_ns, "set up by %s owner, %s", anew ? "another" : "an",
		      state_word(in->state));
	else if (known && in->state != w->state)
		event(w, in->at_ns, "%s, it was %s", state_word(in->state), state_word(w->state));
	else if (known && in->stats.epoch != w->now.epoch)
		event(w, in->at_ns, "stopped and started: epoch %" PRIu32, in->stats.epoch);
	w->then = anew ? (struct sgring_stats){ 0 } : w->now;
	w->now = in->stats;
	w->seconds = known && in->at_ns > w->at_ns ? (double)(in->at_ns - w->at_ns) / 1e9 : 0;
	w->presence = WATCH_THERE;
	w->state = in->state;
	w->at_ns = in->at_ns;
	if (w->seconds > 0) {
		add_point(w, in->at_ns);
		tell_troubles(w);
	}
}

static void sum_up(struct watch_point *sum, const struct watch_point *p)
{
	unsigned int i;

	sum->at_ns = p->at_ns;
	sum->seconds += p->seconds;
	sum->slots = p->slots;
	sum->free = p->free;
	sum->engine = p->engine;
	sum->app = p->app;
	sum->gated = p->gated;
	sum->bytes += p->bytes;
	sum->done += p->done;
	sum->drops += p->drops;
	sum->lost += p->lost;
	sum->stalls += p->stalls;
	sum->stalled_ns += p->stalled_ns;
	sum->errors += p->errors;
	sum->gate_waits += p->gate_waits;
	sum->kicks += p->kicks;
	sum->polls += p->polls;
	sum->wakeups += p->wakeups;
	sum->timers += p->timers;
	for (i = 0; i < SGRING_USEC_LOG2; i++)
		sum->usec[i] += p->usec[i];
}

bool watch_range(const struct watch *w, uint64_t from_ns, uint64_t to_ns, struct watch_point *sum)
{
	uint64_t n;

	memset(sum, 0, sizeof(*sum));
	for (n = first_point(w); n < w->count; n++) {
		const struct watch_point *p = point(w, n);
		uint64_t span = (uint64_t)(p->seconds * 1e9);

		if (p->at_ns > from_ns && (p->at_ns < span || p->at_ns - span < to_ns))
			sum_up(sum, p);
	}
	return sum->seconds > 0;
}

uint64_t usec_below(const uint64_t *usec, unsigned int percent)
{
	uint64_t all = 0, so_far = 0;
	unsigned int i;

	for (i = 0; i < SGRING_USEC_LOG2; i++)
		all += usec[i];
	for (i = 0; all && i < SGRING_USEC_LOG2; i++) {
		so_far += usec[i];
		if ((double)so_far * 100 >= (double)all * percent)
			return 1ULL << i;
	}
	return 0;
}

const char *usec_words(uint64_t usec)
{
	static char text[4][24];
	static unsigned int turn;
	char *t = text[turn++ % 4];

	/* 2^10 us is a millisecond, as 2^20 us is a second, by name. */
	if (usec < 1024)
		snprintf(t, sizeof(text[0]), "%" PRIu64 " us", usec);
	else if (usec < 1 << 20)
		snprintf(t, sizeof(text[0]), "%" PRIu64 " ms", usec >> 10);
	else
		snprintf(t, sizeof(text[0]), "%" PRIu64 " s", usec >> 20);
	return t;
}

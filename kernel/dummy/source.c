// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: the device's FIFO and packets
 *
 * Owns struct dummy_source. The engine's thread takes data (dummy_wire_take(), one
 * taker at a time, bottom halves off); the engine tells its room from any context;
 * start, stop and the knobs come from process context. All state is under
 * source->lock; data are made outside of it.
 *
 * Time is worked out when somebody looks: what the rate would have produced since
 * the last look is put into the FIFO then, and what had no place is lost. Bytes
 * for which the engine had room all the while are not lost, however late the
 * thread that plays the engine gets the CPU: hardware would have taken them.
 *
 * Losses. When the FIFO overflows, everything is lost until the engine has taken
 * its last byte; that byte ends the packet, so that the hole lies exactly between
 * two transfers of an engine that ends them with the packet. The hole belongs to
 * what follows it: it is in the lost_bytes of the next byte, not of the one before.
 * So the position of a transfer is the bytes delivered before it + lost_bytes at
 * its end, exactly. An engine that does not see packet ends gets the hole in the
 * middle of a transfer, as with real hardware.
 */
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>

#include "pattern.h"
#include "source.h"

/* How often the engine is given less than it asks for. */
#define PARTIAL_NS	(2 * NSEC_PER_MSEC)
/* How long the engine sleeps for data; less if the FIFO is small. */
#define WAIT_MIN_NS	(1 * NSEC_PER_MSEC)
#define WAIT_FLOOR_NS	(20 * NSEC_PER_USEC)

static u64 now_ns(void)
{
	return ktime_get_ns();
}

/* A number that looks like chance, and is the same in every run. */
static u64 chance(u64 n)
{
	n = (n + 1) * SGRING_PATTERN_STEP;
	n = (n ^ (n >> 30)) * 0xBF58476D1CE4E5B9ULL;
	return n ^ (n >> 27);
}

static u64 next_packet_limit(struct dummy_source *s)
{
	u64 jitter = min(s->packet_jitter, s->packet_bytes ? s->packet_bytes - 1 : 0);
	u64 less;

	if (!s->packet_bytes)
		return U64_MAX;
	div64_u64_rem(chance(s->packets), jitter + 1, &less);
	return s->packet_bytes - less;
}

static u64 words_since(struct dummy_source *s, u64 now)
{
	u64 seconds, bytes;
	u32 ns;

	seconds = div_u64_rem(now - s->last_ns, NSEC_PER_SEC, &ns);
	s->last_ns = now;
	bytes = s->carry + seconds * s->rate +
		div64_u64_rem(ns * s->rate + s->remainder, NSEC_PER_SEC, &s->remainder);
	s->carry = bytes % DUMMY_WORD_BYTES;
	return bytes - s->carry;
}

/* The device's time goes on to now. */
static void advance(struct dummy_source *s)
{
	u64 now = now_ns();
	u64 bytes, space, fit;

	if (!s->enabled || !s->rate) {
		s->last_ns = now;
		return;
	}
	bytes = words_since(s, now);
	if (s->kind == DUMMY_FEED) {
		/* The one who feeds waits; nothing is lost. */
		s->level = min(s->level + bytes, dummy_feed_ready(&s->feed));
		return;
	}
	if (s->dropping) {
		s->pending += bytes;
		return;
	}
	space = s->fifo_bytes + s->room;
	space -= min(space, s->level);
	fit = min(bytes, round_down(space, DUMMY_WORD_BYTES));
	s->level += fit;
	if (fit == bytes)
		return;
	s->overflows++;
	s->pending = bytes - fit;
	s->dropping = true;
}

/* The hole after the FIFO's last byte is behind us. */
static void pass_hole(struct dummy_source *s)
{
	s->lost += s->pending;
	s->position += s->pending;
	s->pending = 0;
	s->dropping = false;
}

/* Bytes that can be taken now; @run_ends: the packet ends after them. */
static u64 available(struct dummy_source *s, bool *run_ends)
{
	u64 ready;

	if (s->kind == DUMMY_FEED) {
		ready = dummy_feed_ready(&s->feed);
		if (s->rate || s->draining)
			ready = min(s->level, ready);
		*run_ends = s->draining ||
			    dummy_feed_ends_at(&s->feed, s->feed.tail + ready);
		return ready;
	}
	*run_ends = s->dropping || s->draining;
	return s->rate || *run_ends ? s->level : U64_MAX;
}

/* How long until @want bytes are there, as far as time alone brings them. */
static u64 time_until(struct dummy_source *s, u64 want, u64 have)
{
	u64 wait, full;

	if (!s->enabled)
		return U64_MAX;
	if (!s->rate)
		return have ? PARTIAL_NS : U64_MAX;
	if (s->kind == DUMMY_FEED && !dummy_feed_ready(&s->feed))
		return U64_MAX;
	wait = div64_u64((want - have) * NSEC_PER_SEC, s->rate);
	wait = clamp_t(u64, wait, WAIT_MIN_NS, PARTIAL_NS);
	full = s->fifo_bytes + s->room;
	full = min_t(u64, full - min(full, s->level), U32_MAX);
	full = div64_u64(full * (NSEC_PER_SEC / 2), s->rate);
	wait = max_t(u64, min(wait, full), WAIT_FLOOR_NS);
	if (!have)
		wait = max(wait, div64_u64(DUMMY_WORD_BYTES * NSEC_PER_SEC, s->rate));
	return wait;
}

/**
 * dummy_wire_take() - the engine takes data
 * @s: the device
 * @to: where to
 * @bytes: how much at most, more than 0
 * @mark: status words of the last byte, if any was taken
 * @wait_ns: if none was: how long until there may be; U64_MAX: until the bell
 *
 * One caller at a time. Never takes across the end of a packet.
 *
 * Return: bytes taken.
 */
size_t dummy_wire_take(struct dummy_source *s, void *to, size_t bytes,
		       struct dummy_mark *mark, u64 *wait_ns)
{
	unsigned int generation;
	u64 have, want, position, fed, key;
	unsigned long flags;
	enum dummy_kind kind;
	bool run_ends;

	spin_lock_irqsave(&s->lock, flags);
	advance(s);
	*wait_ns = U64_MAX;
	if (!s->enabled && !s->draining)
		goto nothing;
	have = available(s, &run_ends);
	want = min_t(u64, bytes, s->packet_limit - s->packet_done);
	if (have < want && !run_ends) {
		/* Not in crumbs: wait for all of it, but not for long. */
		if (!have || s->last_ns - s->partial_ns < PARTIAL_NS) {
			*wait_ns = time_until(s, want, have);
			goto nothing;
		}
		s->partial_ns = s->last_ns;
	}
	want = min(want, have);
	if (!want)
		goto nothing;

	position = s->position;
	fed = s->feed.tail;
	generation = s->feed.generation;
	kind = s->kind;
	key = sgring_pattern_key(s->stream);

	s->position += want;
	s->packet_done += want;
	s->level -= min(s->level, want);
	s->room -= min(s->room, want);
	s->taken.lost_bytes = s->lost;
	s->taken.time_ns = s->last_ns - s->start_ns;
	s->taken.last = s->packet_done == s->packet_limit || (run_ends && want == have);
	if (s->taken.last) {
		s->packets++;
		s->packet_done = 0;
		s->packet_limit = next_packet_limit(s);
	}
	if (!s->level && s->dropping)
		pass_hole(s);
	if (!s->level)
		s->draining = false;
	*mark = s->taken;
	spin_unlock_irqrestore(&s->lock, flags);

	if (kind == DUMMY_PATTERN) {
		sgring_pattern_fill(to, want, key, position);
		return want;
	}
	dummy_feed_copy(&s->feed, fed, to, want);
	spin_lock_irqsave(&s->lock, flags);
	if (s->feed.generation == generation)
		dummy_feed_taken(&s->feed, want);
	spin_unlock_irqrestore(&s->lock, flags);
	return want;

nothing:
	spin_unlock_irqrestore(&s->lock, flags);
	return 0;
}

/**
 * dummy_wire_room() - the engine says how much it can take without help
 * @s: the device
 * @bytes: room in the transfers its hardware has; 0: it takes nothing now
 *
 * Any context. Until the next call the FIFO does not overflow by bytes that fit
 * there.
 */
void dummy_wire_room(struct dummy_source *s, u64 bytes)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	advance(s);
	s->room = bytes;
	spin_unlock_irqrestore(&s->lock, flags);
}

/**
 * dummy_wire_mid_packet() - has a packet begun and not ended
 * @s: the device
 *
 * Any context.
 *
 * Return: true: it has.
 */
bool dummy_wire_mid_packet(struct dummy_source *s)
{
	unsigned long flags;
	bool open;

	spin_lock_irqsave(&s->lock, flags);
	open = s->packet_done;
	spin_unlock_irqrestore(&s->lock, flags);
	return open;
}

/**
 * dummy_wire_reset() - the engine was reset
 * @s: the device
 *
 * Any context. As AXI DMA's reset output, which goes to the device: if that was
 * stopped, it forgets the rest of its packet instead of putting it into the first
 * transfer of the next run.
 */
void dummy_wire_reset(struct dummy_source *s)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	if (!s->enabled) {
		s->draining = false;
		s->level = 0;
		s->packet_done = 0;
	}
	spin_unlock_irqrestore(&s->lock, flags);
}

/**
 * dummy_wire_finished() - a transfer's callback is about to run, or has run
 * @s: the device
 * @mark: status words of its last byte; NULL: the callback is over
 *
 * Called by the channel's tasklet only.
 */
void dummy_wire_finished(struct dummy_source *s, const struct dummy_mark *mark)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	if (mark)
		s->finished = *mark;
	s->in_callback = mark;
	spin_unlock_irqrestore(&s->lock, flags);
}

/**
 * dummy_source_mark() - the device's status words for its driver
 * @s: the device
 *
 * Any context. In a completion callback: as of the end of that transfer; at any
 * other time: as of the last byte that the engine has taken.
 *
 * Return: the status words.
 */
struct dummy_mark dummy_source_mark(struct dummy_source *s)
{
	struct dummy_mark mark;
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	mark = s->in_callback ? s->finished : s->taken;
	spin_unlock_irqrestore(&s->lock, flags);
	return mark;
}

/**
 * dummy_source_start() - enable the device
 * @s: the device
 *
 * Any context. The stream begins again at position 0; fed data stay.
 */
void dummy_source_start(struct dummy_source *s)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	s->start_ns = now_ns();
	s->last_ns = s->start_ns;
	s->partial_ns = 0;
	s->remainder = 0;
	s->carry = 0;
	s->position = 0;
	s->level = 0;
	s->lost = 0;
	s->pending = 0;
	s->overflows = 0;
	s->dropping = false;
	s->draining = false;
	s->packets = 0;
	s->packet_done = 0;
	s->packet_limit = next_packet_limit(s);
	memset(&s->taken, 0, sizeof(s->taken));
	s->enabled = true;
	spin_unlock_irqrestore(&s->lock, flags);
	dummy_bell_ring(s->bell);
}

/**
 * dummy_source_stop() - disable the device
 * @s: the device
 *
 * Any context; harmless when it is not enabled. With stop_ends_packet what is in
 * the FIFO still comes, flat out one word more, and ends the packet.
 */
void dummy_source_stop(struct dummy_source *s)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	advance(s);
	if (s->enabled) {
		s->enabled = false;
		if (s->kind == DUMMY_FEED)
			s->level = min_t(u64, DUMMY_WORD_BYTES, dummy_feed_ready(&s->feed));
		else if (!s->level && s->packet_done)
			s->level = DUMMY_WORD_BYTES;
		if (!s->stop_ends_packet)
			s->level = 0;
		s->draining = s->level;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	dummy_bell_ring(s->bell);
}

/**
 * dummy_source_counts() - what happened since the start
 * @s: the device
 * @counts: put there
 *
 * Any context.
 */
void dummy_source_counts(struct dummy_source *s, struct dummy_source_counts *counts)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	advance(s);
	counts->delivered = s->position - s->lost;
	counts->overflowed_bytes = s->lost + s->pending;
	counts->overflows = s->overflows;
	counts->produced = s->position + s->pending;
	if (s->kind == DUMMY_PATTERN)
		counts->produced += s->level;
	spin_unlock_irqrestore(&s->lock, flags);
}

/**
 * dummy_source_set_rate() - change the rate, also while it runs
 * @s: the device
 * @rate: bytes/s; 0: flat out
 *
 * Any context.
 *
 * Return: 0, or -ERANGE.
 */
int dummy_source_set_rate(struct dummy_source *s, u64 rate)
{
	unsigned long flags;

	if (rate > DUMMY_RATE_MAX)
		return -ERANGE;
	spin_lock_irqsave(&s->lock, flags);
	advance(s);
	/* Flat out there is no FIFO; its bytes come anyway, unless a hole follows. */
	if (!rate && !s->dropping && s->enabled)
		s->level = 0;
	s->rate = rate;
	spin_unlock_irqrestore(&s->lock, flags);
	dummy_bell_ring(s->bell);
	return 0;
}

/**
 * dummy_source_set_fifo() - change the FIFO's size, also while it runs
 * @s: the device
 * @bytes: at least a word
 *
 * Any context.
 *
 * Return: 0, or -ERANGE.
 */
int dummy_source_set_fifo(struct dummy_source *s, u64 bytes)
{
	unsigned long flags;

	if (bytes < DUMMY_WORD_BYTES || bytes > U32_MAX)
		return -ERANGE;
	spin_lock_irqsave(&s->lock, flags);
	advance(s);
	s->fifo_bytes = bytes;
	spin_unlock_irqrestore(&s->lock, flags);
	dummy_bell_ring(s->bell);
	return 0;
}

/**
 * dummy_source_set_packet() - change the length of packets, also while it runs
 * @s: the device
 * @bytes: a packet ends after so many; 0: never
 * @jitter: or up to so many earlier
 *
 * Any context. The running packet ends at the next multiple of @bytes.
 *
 * Return: 0.
 */
int dummy_source_set_packet(struct dummy_source *s, u64 bytes, u64 jitter)
{
	unsigned long flags;
	u64 past;

	spin_lock_irqsave(&s->lock, flags);
	s->packet_bytes = bytes;
	s->packet_jitter = jitter;
	s->packet_limit = next_packet_limit(s);
	if (s->packet_limit <= s->packet_done) {
		div64_u64_rem(s->packet_done, bytes, &past);
		s->packet_limit = s->packet_done - past + bytes;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	dummy_bell_ring(s->bell);
	return 0;
}

/**
 * dummy_source_set_stream() - change the pattern
 * @s: the device
 * @stream: its number
 *
 * Any context.
 *
 * Return: 0, -ERANGE, or -EBUSY while it runs.
 */
int dummy_source_set_stream(struct dummy_source *s, u64 stream)
{
	unsigned long flags;
	int err = 0;

	if (stream >= SGRING_PATTERN_STREAMS)
		return -ERANGE;
	spin_lock_irqsave(&s->lock, flags);
	if (s->enabled)
		err = -EBUSY;
	else
		s->stream = stream;
	spin_unlock_irqrestore(&s->lock, flags);
	return err;
}

/**
 * dummy_source_use_feed() - from now on the data are those fed
 * @s: the device
 *
 * Under s->lock. The position goes on.
 */
void dummy_source_use_feed(struct dummy_source *s)
{
	if (s->kind == DUMMY_FEED)
		return;
	advance(s);
	s->kind = DUMMY_FEED;
	pass_hole(s);
	s->level = 0;
	s->draining = false;
}

/**
 * dummy_source_set_kind() - where the data come from, also while it runs
 * @s: the device
 * @kind: pattern or feed
 *
 * Any context. What was fed and not yet taken is dropped, and whoever is still
 * feeding gets -EPIPE.
 */
void dummy_source_set_kind(struct dummy_source *s, enum dummy_kind kind)
{
	unsigned long flags;

	spin_lock_irqsave(&s->lock, flags);
	advance(s);
	dummy_feed_empty(&s->feed);
	if (kind == DUMMY_FEED) {
		dummy_source_use_feed(s);
	} else if (s->kind == DUMMY_FEED) {
		s->kind = DUMMY_PATTERN;
		s->level = 0;
		s->draining = false;
	}
	spin_unlock_irqrestore(&s->lock, flags);
	dummy_bell_ring(s->bell);
}

/**
 * dummy_source_init() - the device after power-on: disabled, flat out, one packet
 * @s: the device, zeroed
 * @bell: of the channel that takes the data
 */
void dummy_source_init(struct dummy_source *s, struct dummy_bell *bell)
{
	spin_lock_init(&s->lock);
	s->bell = bell;
	s->fifo_bytes = 1 << 20;
	s->packet_limit = U64_MAX;
	dummy_feed_init(&s->feed);
}

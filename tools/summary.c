/* SPDX-License-Identifier: MIT */
/* sgring(1): the summary of "send" and "record", for people and as JSON. */
#include <inttypes.h>
#include <string.h>

#include "capture.h"

static double seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

/* What was taken from the stream, unless no sender brought it to its end. */
static uint64_t delivered(const struct capture *c)
{
	uint64_t most = 0;
	unsigned int i;

	for (i = 0; i < c->sender_count; i++) {
		if (!c->senders[i].failed)
			return c->bytes;
		if (c->senders[i].stats.bytes > most)
			most = c->senders[i].stats.bytes;
	}
	return most;
}

static double rate(const struct capture *c)
{
	return c->end_ns > c->start_ns ?
	       (double)delivered(c) / seconds(c->end_ns - c->start_ns) : 0;
}

static double calls_per_slot(const struct capture *c)
{
	uint64_t calls = c->counters.kicks + c->counters.polls + c->counters.sender_waits;
	unsigned int i;

	for (i = 0; i < c->sender_count; i++)
		calls += c->senders[i].stats.calls;
	return c->slots ? (double)calls / (double)c->slots : 0;
}

static void print_sender(const struct capture_sender *n)
{
	const struct sgring_tx_stats *t = &n->stats;

	printf("%s: %s, %" PRIu64 " %s without a copy, %" PRIu64 " copied by the kernel", n->url,
	       method_word(n->method), t->zerocopy,
	       strncmp(n->url, "file:", 5) ? "sends" : "writes", t->copied);
	if (t->copied_bytes)
		printf(", %s copied by the library", size_words(t->copied_bytes));
	if (t->padded_bytes)
		printf(", %s of padding", size_words(t->padded_bytes));
	if (t->reconnects)
		printf(", %" PRIu64 " reconnections, %" PRIu64 " slots sent again", t->reconnects,
		       t->resent_slots);
	if (t->files > 1)
		printf(", %" PRIu64 " files", t->files);
	if (n->failed)
		printf(", FAILED after %" PRIu64 " bytes", t->bytes);
	else if (t->unsent_slots)
		printf(", %" PRIu64 " SLOTS NOT SENT", t->unsent_slots);
	putchar('\n');
}

static void print_summary(const struct capture *c)
{
	const struct sgring_stats *st = &c->stats;
	unsigned int i;

	printf("%s %" PRIu64 " bytes (%s) of %" PRIu64 " slots, %s, %s\n", c->done, delivered(c),
	       size_words(delivered(c)), c->slots, duration_words(c->end_ns - c->start_ns),
	       rate_words(rate(c)));
	if (c->lost_bytes || c->failed_slots)
		printf("LOST %" PRIu64 " bytes in %" PRIu64 " gaps, of it dropped %" PRIu64
		       " bytes; the engine failed in %" PRIu64 " slots\n", c->lost_bytes, c->gaps,
		       (uint64_t)st->dropped_bytes, c->failed_slots);
	else
		printf("nothing lost; ");
	printf("the engine had no slot %" PRIu64 " times, %s in all\n", (uint64_t)st->stalls,
	       duration_words(st->stalled_ns));
	for (i = 0; i < c->sender_count; i++)
		print_sender(&c->senders[i]);
	printf("%.3f system calls per slot; %" PRIu64 " runs of the driver's timer; %" PRIu64
	       " slots waited at the gate\n", calls_per_slot(c), (uint64_t)st->timer_runs,
	       (uint64_t)st->gate_waits);
	if (st->flags & SGRING_STATS_BOUNCED)
		printf("every transfer was copied by the kernel (swiotlb), see sgring info\n");
}

static void json_sender(const struct capture_sender *n)
{
	const struct sgring_tx_stats *t = &n->stats;

	json_open(NULL, '{');
	json_string("url", n->url);
	json_string("method", method_word(n->method));
	json_string("choice", n->choice);
	json_bool("failed", n->failed);
	json_number("slots", t->slots);
	json_number("bytes", t->bytes);
	json_number("frame_bytes", t->frame_bytes);
	json_number("sends", t->sends);
	json_number("partial", t->partial);
	json_number("zerocopy", t->zerocopy);
	json_number("copied", t->copied);
	json_number("copied_bytes", t->copied_bytes);
	json_number("padded_bytes", t->padded_bytes);
	json_number("full_waits", t->full_waits);
	json_number("nobufs_waits", t->nobufs_waits);
	json_number("calls", t->calls);
	json_number("reconnects", t->reconnects);
	json_number("resent_slots", t->resent_slots);
	json_number("unsent_slots", t->unsent_slots);
	json_number("files", t->files);
	json_close('}');
}

static void json_members(const struct capture *c)
{
	const struct sgring_stats *st = &c->stats;
	unsigned int i;

	json_string("stream", c->name);
	json_number("bytes", delivered(c));
	json_number("slots", c->slots);
	json_rate("seconds", seconds(c->end_ns - c->start_ns));
	json_rate("bytes_per_s", rate(c));
	json_number("lost_bytes", c->lost_bytes);
	json_number("gaps", c->gaps);
	json_number("dropped_slots", st->dropped_slots);
	json_number("dropped_bytes", st->dropped_bytes);
	json_number("failed_slots", c->failed_slots);
	json_number("stalls", st->stalls);
	json_rate("stalled_seconds", seconds(st->stalled_ns));
	json_rate("system_calls_per_slot", calls_per_slot(c));
	json_number("kicks", c->counters.kicks);
	json_number("polls", c->counters.polls);
	json_number("sender_waits", c->counters.sender_waits);
	json_number("timer_runs", st->timer_runs);
	json_number("gate_waits", st->gate_waits);
	json_rate("gate_wait_seconds", seconds(st->gate_wait_ns));
	json_bool("bounced", !!(st->flags & SGRING_STATS_BOUNCED));
	json_bool("interrupted", interrupts > 0);
	json_open("senders", '[');
	for (i = 0; i < c->sender_count; i++)
		json_sender(&c->senders[i]);
	json_close(']');
}

static int exit_code(const struct capture *c)
{
	uint64_t lost = c->lost_bytes + c->failed_slots;
	unsigned int i;

	for (i = 0; i < c->sender_count; i++)
		lost += c->senders[i].stats.unsent_slots;
	return c->failed ? EXIT_FAILED : lost ? EXIT_LOST : EXIT_OK;
}

int capture_summary(struct capture *c)
{
	int code;

	if (c->finished && !c->finished(c))
		c->failed = true;
	code = exit_code(c);
	if (!c->json) {
		print_summary(c);
		return code;
	}
	json_open(NULL, '{');
	json_members(c);
	json_number("exit", (uint64_t)code);
	json_close('}');
	json_end();
	return code;
}

/* SPDX-License-Identifier: MIT */
/* sgring info: all that one stream tells about itself. */
#include <inttypes.h>
#include <stdlib.h>

#include "tool.h"
#include "world.h"

static const char help[] =
	"usage: sgring info [-j] NAME\n"
	"What a stream is, what it can do, its limits, who owns it, what it refused; if it\n"
	"is set up, its memory, the chunks of its slots, its times. NAME is a label, sgringN or a path.\n"
	"\n"
	"  -j, --json  as JSON\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit: 0; 1 it did not work.\n";

#define ROW "%-20s "

static void print_query(const struct sgring_query *q)
{
	char segments[32] = "any number", boundary[32] = "none";

	if (q->segments_max)
		snprintf(segments, sizeof(segments), "%u", q->segments_max);
	if (q->segment_boundary_mask)
		snprintf(boundary, sizeof(boundary), "%#" PRIx64, (uint64_t)q->segment_boundary_mask);
	printf(ROW "%s\n", "label", q->label[0] ? q->label : "-");
	printf(ROW "%s\n", "device", q->device);
	printf(ROW "%s (%s)\n", "engine", q->engine, q->channel);
	printf(ROW "%s\n", "engine's quirks", quirk_words(q->quirks));
	printf(ROW "%s\n", "direction", q->direction == SGRING_CAPTURE ? "capture" : "playback");
	printf(ROW "%s\n", "state", state_word(q->state));
	printf(ROW "%s\n", "features", feature_words(q->features));
	printf(ROW "%u\n", "ABI version", q->abi_version);
	printf(ROW "%s, a multiple of %u bytes\n", "largest slot", size_words(q->slot_bytes_max),
	       q->width_bytes);
	printf(ROW "%u\n", "most slots", q->slots_max);
	printf(ROW "%u\n", "queue depth", q->queue_depth_max);
	printf(ROW "%s each at most, %s per slot, boundary %s\n", "DMA segments",
	       size_words(q->segment_bytes_max), segments, boundary);
	printf(ROW "%s for this stream; %s for all, %s of it in use\n", "memory limit",
	       size_words(q->stream_bytes_max), size_words(q->total_bytes_max),
	       size_words(q->total_bytes));
}

/* How often chunks of each size are in all slots. */
struct orders {
	uint64_t chunks[64];	/* by the logarithm of their bytes */
	uint32_t slots;		/* of which so many were asked */
	uint32_t runs_max;
};

static unsigned int order_of(uint64_t bytes)
{
	return bytes ? 63 - (unsigned int)__builtin_clzll(bytes) : 0;
}

/* A stream may go in the middle: what there is so far. */
static void count_chunks(struct sgring *s, uint32_t slots, struct orders *o)
{
	struct sgring_run *runs = NULL, *bigger;
	int n, room = 0, i;

	for (o->slots = 0; o->slots < slots; o->slots++) {
		while ((n = sgring_layout(s, o->slots, runs, (uint32_t)room)) > room) {
			bigger = realloc(runs, (size_t)n * sizeof(*runs));
			if (!bigger)
				goto out;
			runs = bigger;
			room = n;
		}
		if (n < 0)
			break;
		if ((uint32_t)n > o->runs_max)
			o->runs_max = (uint32_t)n;
		for (i = 0; i < n; i++)
			o->chunks[order_of(runs[i].chunk_bytes)] += runs[i].chunks;
	}
out:
	free(runs);
}

/* A bar in proportion, at least a dot where there is something. */
static const char *bar(uint64_t n, uint64_t most)
{
	static const char full[] = "########################################";
	size_t length = most ? (size_t)((double)n / (double)most * (double)(sizeof(full) - 1)) : 0;

	return n && !length ? "." : full + sizeof(full) - 1 - length;
}

static void print_chunks(const struct orders *o)
{
	uint64_t most = 0;
	int i, first = 1;

	for (i = 0; i < 64; i++)
		most = o->chunks[i] > most ? o->chunks[i] : most;
	for (i = 63; i >= 0; i--)
		if (o->chunks[i]) {
			printf(ROW "%10s  %8" PRIu64 "  %s\n", first ? "chunks of all slots" : "",
			       size_words(1ULL << i), o->chunks[i], bar(o->chunks[i], most));
			first = 0;
		}
}

static void print_setup(const struct sgring_geometry *g, const struct orders *o)
{
	printf(ROW "%u of %s, %s apart\n", "slots", g->slot_count, size_words(g->slot_bytes),
	       size_words(g->stride_bytes));
	printf(ROW "SQ %u, CQ %u entries\n", "rings", g->sq_entries, g->cq_entries);
	printf(ROW "%s to %s, up to %u DMA segments per slot\n", "chunks",
	       size_words(g->chunk_bytes_min), size_words(g->chunk_bytes_max), g->segments);
	print_chunks(o);
}

static void print_owner(const struct attributes *a)
{
	if (!a->name[0])
		return;
	printf(ROW "%s\n", "owner", process_words(a->owner));
	if (a->refused)
		printf(ROW "%" PRIu64 ", the last: %s\n", "refused", a->refused, a->refused_last);
	else
		printf(ROW "nothing\n", "refused");
}

static const char *usec_words(uint64_t usec)
{
	static char words[32];

	if (usec < 1000)
		snprintf(words, sizeof(words), "%" PRIu64 " us", usec);
	else if (usec < 1000000)
		snprintf(words, sizeof(words), "%" PRIu64 " ms", usec / 1000);
	else
		snprintf(words, sizeof(words), "%" PRIu64 " s", usec / 1000000);
	return words;
}

/* What "stat" has no column for. */
static void print_timing(const struct sgring_stats *st)
{
	double taken = st->sq_taken ? (double)st->sq_taken : 1, done = st->slots_done ? (double)st->slots_done : 1;
	uint64_t most = 0;
	unsigned int i, first = SGRING_USEC_LOG2, last = 0;

	printf(ROW "%" PRIu64 ", %.1f slots each; %" PRIu64 " polls, %" PRIu64 " kicks\n", "wake-ups",
	       (uint64_t)st->wakeups, st->wakeups ? done / (double)st->wakeups : 0,
	       (uint64_t)st->polls, (uint64_t)st->kicks);
	printf(ROW "%" PRIu64 " runs, %" PRIu64 " found a slot; %.3f runs for each slot returned\n", "timer",
	       (uint64_t)st->timer_runs, (uint64_t)st->timer_hits, (double)st->timer_runs / taken);
	printf(ROW "%" PRIu64 ", %s in all\n", "stalls", (uint64_t)st->stalls,
	       duration_words(st->stalled_ns));
	printf(ROW "%" PRIu64 " times no descriptor, %" PRIu64 " no room in the CQ; %" PRIu64
	       " impossible residues, %" PRIu64 " late and %" PRIu64 " odd callbacks\n", "engine's trouble",
	       (uint64_t)st->engine_busy, (uint64_t)st->cq_full, (uint64_t)st->residue_bad,
	       (uint64_t)st->late_callbacks, (uint64_t)st->odd_callbacks);
	printf(ROW "%" PRIu64 " entries refused, %" PRIu64 " indices off the ring\n",
	       "application's errors", (uint64_t)st->sq_bad, (uint64_t)st->index_bad);
	for (i = 0; i < SGRING_USEC_LOG2; i++)
		if (st->app_usec_log2[i]) {
			last = i;
			first = i < first ? i : first;
			most = st->app_usec_log2[i] > most ? st->app_usec_log2[i] : most;
		}
	for (i = first; i <= last; i++)
		printf(ROW "%s%8s  %8" PRIu64 "  %s\n", i == first ? "application had it" : "",
		       i == SGRING_USEC_LOG2 - 1 ? "> " : "< ",
		       usec_words(1ULL << (i == SGRING_USEC_LOG2 - 1 ? i - 1 : i)),
		       (uint64_t)st->app_usec_log2[i], bar(st->app_usec_log2[i], most));
}

static void print_stats(const struct sgring_stats *st)
{
	printf(ROW "%" PRIu64 " bytes in %" PRIu64 " slots\n", "delivered", (uint64_t)st->bytes_done,
	       (uint64_t)st->slots_done);
	printf(ROW "%" PRIu64 " bytes in %" PRIu64 " slots dropped, %" PRIu64
	       " bytes lost by the device, %" PRIu64 " transfers failed\n", "not delivered",
	       (uint64_t)st->dropped_bytes, (uint64_t)st->dropped_slots, (uint64_t)st->lost_bytes,
	       (uint64_t)st->engine_errors);
	printf(ROW "%u free, %u with the engine, %u with the application, %u held back\n",
	       "slots now", st->slots_free, st->slots_engine, st->slots_app, st->slots_gated);
	printf(ROW "%s; %" PRIu64 " slots waited there, %s in all%s\n", "reference gate",
	       st->flags & SGRING_STATS_GATE ? "on" : "off", (uint64_t)st->gate_waits,
	       duration_words(st->gate_wait_ns),
	       st->flags & SGRING_STATS_STUCK ? "; ONE IS STUCK, see the kernel log" : "");
	printf(ROW "%s; %s of closed set-ups still held elsewhere\n", "memory",
	       size_words(st->memory_bytes), size_words(st->held_bytes));
	if (st->flags & SGRING_STATS_BOUNCED)
		printf(ROW "every transfer is copied by the kernel (swiotlb)\n", "bounced");
}

static void print_json(const struct sgring_query *q, const struct attributes *at,
		       const struct sgring_geometry *g, const struct orders *o,
		       const struct sgring_stats *st)
{
	unsigned int i;

	json_open(NULL, '{');
	if (at->name[0]) {
		json_string("name", at->name);
		json_number("owner_pid", at->owner);
		json_string("owner", process_words(at->owner));
		json_number("refused", at->refused);
		json_string("refused_last", at->refused_last);
	}
	json_string("label", q->label);
	json_string("device", q->device);
	json_string("engine", q->engine);
	json_string("channel", q->channel);
	json_number("quirks", q->quirks);
	json_string("quirks_text", quirk_words(q->quirks));
	json_string("direction", q->direction == SGRING_CAPTURE ? "capture" : "playback");
	json_string("state", state_word(q->state));
	json_number("features", q->features);
	json_string("features_text", feature_words(q->features));
	json_number("abi_version", q->abi_version);
	json_number("slot_bytes_max", q->slot_bytes_max);
	json_number("width_bytes", q->width_bytes);
	json_number("slots_max", q->slots_max);
	json_number("queue_depth_max", q->queue_depth_max);
	json_number("segment_bytes_max", q->segment_bytes_max);
	json_number("segments_max", q->segments_max);
	json_number("segment_boundary_mask", q->segment_boundary_mask);
	json_number("burst_segments", q->burst_segments);
	json_number("stream_bytes_max", q->stream_bytes_max);
	json_number("total_bytes_max", q->total_bytes_max);
	json_number("total_bytes", q->total_bytes);
	if (g) {
		json_number("slot_count", g->slot_count);
		json_number("slot_bytes", g->slot_bytes);
		json_number("stride_bytes", g->stride_bytes);
		json_number("sq_entries", g->sq_entries);
		json_number("cq_entries", g->cq_entries);
		json_number("chunk_bytes_min", g->chunk_bytes_min);
		json_number("chunk_bytes_max", g->chunk_bytes_max);
		json_number("segments", g->segments);
		json_number("slots_counted", o->slots);
		json_open("chunks", '[');
		for (i = 0; i < 64; i++) {
			if (!o->chunks[i])
				continue;
			json_open(NULL, '{');
			json_number("chunk_bytes", 1ULL << i);
			json_number("chunks", o->chunks[i]);
			json_close('}');
		}
		json_close(']');
		json_number("runs_max", o->runs_max);
	}
	if (st) {
		json_number("slots_done", st->slots_done);
		json_number("bytes_done", st->bytes_done);
		json_number("dropped_slots", st->dropped_slots);
		json_number("dropped_bytes", st->dropped_bytes);
		json_number("lost_bytes", st->lost_bytes);
		json_number("engine_errors", st->engine_errors);
		json_number("bounced", !!(st->flags & SGRING_STATS_BOUNCED));
		json_number("gate", !!(st->flags & SGRING_STATS_GATE));
		json_number("gate_stuck_now", !!(st->flags & SGRING_STATS_STUCK));
		json_number("gate_waits", st->gate_waits);
		json_number("gate_wait_ns", st->gate_wait_ns);
		json_number("memory_bytes", st->memory_bytes);
		json_number("held_bytes", st->held_bytes);
		json_number("stalls", st->stalls);
		json_number("stalled_ns", st->stalled_ns);
		json_number("wakeups", st->wakeups);
		json_number("polls", st->polls);
		json_number("kicks", st->kicks);
		json_number("timer_runs", st->timer_runs);
		json_number("timer_hits", st->timer_hits);
		json_number("sq_taken", st->sq_taken);
		json_number("sq_bad", st->sq_bad);
		json_number("index_bad", st->index_bad);
		json_number("cq_full", st->cq_full);
		json_number("engine_busy", st->engine_busy);
		json_number("residue_bad", st->residue_bad);
		json_number("late_callbacks", st->late_callbacks);
		json_number("odd_callbacks", st->odd_callbacks);
		json_number("short_slots", st->short_slots);
		json_number("assumed_slots", st->assumed_slots);
		json_open("app_usec_log2", '[');
		for (i = 0; i < SGRING_USEC_LOG2; i++)
			json_number(NULL, st->app_usec_log2[i]);
		json_close(']');
	}
	json_close('}');
	json_end();
}

int info_main(int argc, char **argv)
{
	struct arguments a;
	struct sgring *s;
	struct sgring_query q;
	struct sgring_stats st;
	struct orders orders = { 0 };
	struct attributes at;
	const struct sgring_geometry *g;
	bool have_stats = false;
	int err;

	if (!parse_arguments(&a, argc, argv, 1, 1, help))
		return EXIT_FAILED;
	err = sgring_observe(&s, a.values[0]);
	if (err)
		return open_failed(a.values[0], err);
	if (sgring_query(s, &q)) {
		sgring_close(s);
		return library_failed();
	}
	attributes_of(&at, a.values[0]);
	g = sgring_geometry(s);
	if (g) {
		count_chunks(s, g->slot_count, &orders);
		have_stats = !sgring_stats(s, &st);
	}
	if (a.json) {
		print_json(&q, &at, g, &orders, have_stats ? &st : NULL);
	} else {
		print_query(&q);
		print_owner(&at);
		if (g)
			print_setup(g, &orders);
		if (have_stats) {
			print_stats(&st);
			print_timing(&st);
		}
	}
	sgring_close(s);
	return EXIT_OK;
}

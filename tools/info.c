/* SPDX-License-Identifier: MIT */
/* sgring info: all that one stream tells about itself. */
#include <inttypes.h>
#include <stdlib.h>

#include "tool.h"

static const char help[] =
	"usage: sgring info [-j] NAME\n"
	"What a stream is, what it can do, its limits; if it is set up, its memory and\n"
	"the chunks of its first slot. NAME is a label, sgringN or a path.\n"
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

static void print_setup(const struct sgring_geometry *g, const struct sgring_run *runs, int n)
{
	int i;

	printf(ROW "%u of %s, %s apart\n", "slots", g->slot_count, size_words(g->slot_bytes),
	       size_words(g->stride_bytes));
	printf(ROW "SQ %u, CQ %u entries\n", "rings", g->sq_entries, g->cq_entries);
	printf(ROW "%s to %s, up to %u DMA segments per slot\n", "chunks",
	       size_words(g->chunk_bytes_min), size_words(g->chunk_bytes_max), g->segments);
	for (i = 0; i < n; i++)
		printf(ROW "%u x %s from %" PRIu64 "\n", i ? "" : "slot 0", runs[i].chunks,
		       size_words(runs[i].chunk_bytes), (uint64_t)runs[i].offset_bytes);
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

static void print_json(const struct sgring_query *q, const struct sgring_geometry *g,
		       const struct sgring_run *runs, int n, const struct sgring_stats *st)
{
	int i;

	json_open(NULL, '{');
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
		json_open("slot_0_runs", '[');
		for (i = 0; i < n; i++) {
			json_open(NULL, '{');
			json_number("offset_bytes", runs[i].offset_bytes);
			json_number("chunk_bytes", runs[i].chunk_bytes);
			json_number("chunks", runs[i].chunks);
			json_close('}');
		}
		json_close(']');
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
	}
	json_close('}');
	json_end();
}

/* All runs of slot 0; their number, 0 if they cannot be had. */
static int get_runs(struct sgring *s, struct sgring_run **runs)
{
	int n = sgring_layout(s, 0, NULL, 0);

	*runs = n > 0 ? calloc((size_t)n, sizeof(**runs)) : NULL;
	if (!*runs || sgring_layout(s, 0, *runs, (uint32_t)n) != n)
		return 0;
	return n;
}

int info_main(int argc, char **argv)
{
	struct arguments a;
	struct sgring *s;
	struct sgring_query q;
	struct sgring_stats st;
	struct sgring_run *runs = NULL;
	const struct sgring_geometry *g;
	bool have_stats = false;
	int err, n = 0;

	if (!parse_arguments(&a, argc, argv, 1, 1, help))
		return EXIT_FAILED;
	err = sgring_observe(&s, a.values[0]);
	if (err)
		return open_failed(a.values[0], err);
	if (sgring_query(s, &q)) {
		sgring_close(s);
		return library_failed();
	}
	g = sgring_geometry(s);
	if (g) {
		n = get_runs(s, &runs);
		have_stats = !sgring_stats(s, &st);
	}
	if (a.json) {
		print_json(&q, g, runs, n, have_stats ? &st : NULL);
	} else {
		print_query(&q);
		if (g)
			print_setup(g, runs, n);
		if (have_stats)
			print_stats(&st);
	}
	free(runs);
	sgring_close(s);
	return EXIT_OK;
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring verify: do index and data of a recording fit together, and what is missing
 *
 * The index is read from its beginning to its end and believed nowhere. Data is
 * read where something is known of it: padding is zero; with --pattern every byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "judge.h"
#include "progress.h"
#include "recording.h"
#include "tool.h"

#define BUFFER_BYTES (4U << 20)
#define TOLD 10U	/* gaps, faults: so many are told one by one */

static const char help[] =
	"usage: sgring verify [OPTION...] NAME\n"
	"Check a recording that \"sgring record\" or \"sgring recv\" made, all its files: that\n"
	"index and data fit together, that sequences, positions and times go on; say what\n"
	"is missing.\n"
	"\n"
	"      --pattern N  check every byte: it is stream N of the dummy device\n"
	"      --data PATH  the data is there, not beside the index\n"
	"  -j, --json       the summary as JSON\n"
	"  -q, --quiet      no progress\n"
	"  -h, --help       this text\n"
	"\n"
	"Exit: 0 all is there; 2 data is missing, and the index says where; 1 the files do\n"
	"not fit together, cannot be read, or a byte is wrong.\n";

/**
 * struct verify - one run
 * @r: the recording
 * @track: finds what is missing
 * @judge: with --pattern
 * @pattern, @json: as given
 * @progress: how it is told
 * @buffer: data
 * @sequence, @time_ns: of the entry before; 0
 * @fresh: there is none in this epoch
 * @marked_gaps: gaps known to the capture
 * @gaps_told, @faults: so many
 * @back: times that go back
 * @extra: bytes of data that no entry tells of
 * @data_done: of the parts before this one
 * @short_part: that the data file is too short was said for this part
 * @failed: it cannot be read any further
 */
struct verify {
	struct recording r;
	struct sgring_track track;
	struct judge judge;
	bool pattern;
	bool json;
	struct progress progress;
	unsigned char *buffer;
	uint64_t sequence;
	uint64_t time_ns;
	bool fresh;
	uint64_t marked_gaps;
	unsigned int gaps_told;
	uint64_t faults;
	uint64_t back;
	uint64_t extra;
	uint64_t data_done;
	unsigned int short_part;
	bool failed;
};

/* Something does not fit together. */
__attribute__((format(printf, 2, 3)))
static void fault(struct verify *v, const char *format, ...)
{
	char line[PATH_MAX + 300];
	va_list args;

	if (v->faults++ == TOLD)
		progress_say(&v->progress, "more faults: from here on they are only counted");
	if (v->faults > TOLD)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	progress_say(&v->progress, "%s", line);
}

static void show(struct verify *v)
{
	if (progress_due(&v->progress))
		progress_show(&v->progress, v->data_done + v->r.data_end, v->track.lost_bytes,
			      NULL);
}

/* The next piece of the data file, at most BUFFER_BYTES; 0: it cannot be had. */
static size_t read_data(struct verify *v, uint64_t at, uint64_t bytes)
{
	size_t want = bytes < BUFFER_BYTES ? (size_t)bytes : BUFFER_BYTES;
	ssize_t n;

	do {
		n = pread(v->r.data_fd, v->buffer, want, (off_t)at);
	} while (n < 0 && errno == EINTR && !interrupts);
	if (n <= 0) {
		fault(v, "%s: byte %" PRIu64 ": %s", v->r.data_path, at,
		      n ? strerror(errno) : "the file ends");
		return 0;
	}
	return (size_t)n;
}

static void check_zero(struct verify *v, uint64_t at, uint64_t end)
{
	size_t n, i;

	for (; at < end; at += n) {
		n = read_data(v, at, end - at);
		if (!n)
			return;
		for (i = 0; i < n && !v->buffer[i]; i++)
			;
		if (i < n) {
			fault(v, "%s: byte %" PRIu64 ": 0x%02x between two slots, where zeroes should be",
			      v->r.data_path, at + i, v->buffer[i]);
			return;
		}
	}
}

static void check_pattern(struct verify *v)
{
	uint64_t at = v->r.begin, position = v->r.entry.position_bytes;
	size_t n, wrong;

	for (; at < v->r.data_end && !interrupts; at += n, position += n) {
		n = read_data(v, at, v->r.data_end - at);
		if (!n)
			return;
		wrong = judge_data(&v->judge, v->buffer, n, position);
		if (wrong < n)
			fault(v, "%s: byte %" PRIu64 " (position %" PRIu64 "): 0x%02x is not what the device makes there",
			      v->r.data_path, at + wrong, position + wrong, v->buffer[wrong]);
		show(v);
	}
}

static void check_data(struct verify *v)
{
	struct recording *r = &v->r;

	if (r->data_end > r->data_bytes) {
		if (v->short_part != r->part)
			fault(v, "%s has %" PRIu64 " bytes, and the index tells of more: of position %" PRIu64 " at byte %" PRIu64,
			      r->data_path, r->data_bytes, (uint64_t)r->entry.position_bytes,
			      r->begin);
		v->short_part = r->part;
		return;
	}
	check_zero(v, r->pad_at, r->begin);
	if (v->pattern)
		check_pattern(v);
}

/* Where in the index the last entry is, for messages. */
static uint64_t entry_at(const struct verify *v)
{
	return v->r.index_at - v->r.hello.entry_bytes;
}

static void tell_gap(struct verify *v, uint64_t lost)
{
	const struct sgring_cqe *e = &v->r.entry;
	bool marked = e->flags & SGRING_CQE_GAP;

	v->marked_gaps += marked;
	if (v->gaps_told == TOLD)
		progress_say(&v->progress, "more gaps: from here on they are only counted");
	else if (v->gaps_told < TOLD)
		progress_say(&v->progress, "LOST %" PRIu64 " bytes from position %" PRIu64 " on, at byte %" PRIu64 " of %s%s",
			     lost, (uint64_t)e->position_bytes - lost, v->r.begin, v->r.data_path,
			     marked ? " (by the capture)" : "");
	v->gaps_told += v->gaps_told <= TOLD;
}

static void check_order(struct verify *v)
{
	const struct sgring_cqe *e = &v->r.entry;

	if (!v->fresh && e->sequence < v->sequence)
		fault(v, "%s: byte %" PRIu64 ": sequence %" PRIu64 " after %" PRIu64, v->r.index_path,
		      entry_at(v), (uint64_t)e->sequence, v->sequence);
	v->sequence = e->sequence;
	/* An end of stream that an application made up may have no time. */
	if (!e->host_time_ns)
		return;
	if (!v->fresh && e->host_time_ns < v->time_ns) {
		v->back++;
		/* That clock may be set, the others may not. */
		if (v->r.hello.clock != SGRING_CLOCK_REALTIME)
			fault(v, "%s: byte %" PRIu64 ": the time goes back by %" PRIu64 " ns",
			      v->r.index_path, entry_at(v), v->time_ns - (uint64_t)e->host_time_ns);
	}
	v->time_ns = e->host_time_ns;
}

static void take_entry(struct verify *v)
{
	const struct sgring_cqe *e = &v->r.entry;
	uint64_t skip, lost, expected = v->track.position;
	int fresh = sgring_track_entry(&v->track, e, &skip, &lost);

	if (fresh < 0)
		fault(v, "%s: byte %" PRIu64 ": %s", v->r.index_path, entry_at(v), sgring_errmsg());
	else if (!fresh || skip)
		fault(v, "%s: byte %" PRIu64 ": position %" PRIu64 " again, where %" PRIu64 " is next",
		      v->r.index_path, entry_at(v), (uint64_t)e->position_bytes, expected);
	if (lost)
		tell_gap(v, lost);
	check_order(v);
	v->fresh = false;
	if (e->length_bytes)
		check_data(v);
}

static void take_hello(struct verify *v)
{
	if (sgring_track_hello(&v->track, &v->r.hello)) {
		v->fresh = true;
		v->time_ns = 0;
	} else if (v->track.behind) {
		fault(v, "%s: byte %" PRIu64 ": a hello of epoch %" PRIu32 " after one of %" PRIu32,
		      v->r.index_path, v->r.index_at - v->r.hello.hello_bytes, v->r.hello.epoch,
		      v->track.epoch);
	}
}

static void take_tail(struct verify *v)
{
	struct recording *r = &v->r;
	uint64_t align = r->hello.align_bytes, end = (r->data_end + align - 1) & ~(align - 1);

	if (r->torn)
		fault(v, "%s: byte %" PRIu64 ": it ends in the middle of an entry, %" PRIu32 " bytes of one",
		      r->index_path, r->index_at, r->torn);
	if (r->data_bytes > r->data_end) {
		end = r->data_bytes < end ? r->data_bytes : end;
		check_zero(v, r->data_end, end);
		if (r->data_bytes > end && r->data_given && r->part == 1)
			;	/* a device */
		else if (r->data_bytes > end)
			progress_say(&v->progress, "%s: the last %" PRIu64 " bytes are not in the index, so they are not of the recording",
				     r->data_path, r->data_bytes - end);
		if (!r->data_given || r->part > 1)
			v->extra += r->data_bytes - end;
	}
	v->data_done += r->data_end;
}

static void go_through(struct verify *v)
{
	int item;

	while (!interrupts) {
		item = recording_next(&v->r);
		switch (item) {
		case RECORDING_END:
			v->r.part--;
			return;
		case RECORDING_PART:
			v->progress.total_bytes += v->r.data_bytes;
			posix_fadvise(v->r.data_fd, 0, 0, POSIX_FADV_SEQUENTIAL);
			break;
		case RECORDING_HELLO:
			take_hello(v);
			break;
		case RECORDING_ENTRY:
			take_entry(v);
			break;
		case RECORDING_TAIL:
			take_tail(v);
			break;
		default:
			progress_say(&v->progress, "%s", v->r.error);
			v->failed = true;
			return;
		}
		show(v);
	}
	progress_say(&v->progress, "interrupted: the rest is not checked");
	v->failed = true;
}

static bool incomplete(const struct sgring_track *t)
{
	return t->lost_bytes || t->failed || t->cut || !t->ended;
}

static int exit_code(const struct verify *v)
{
	if (v->failed || v->faults || v->judge.wrong)
		return EXIT_FAILED;
	return incomplete(&v->track) ? EXIT_LOST : EXIT_OK;
}

static void print_summary(const struct verify *v)
{
	const struct sgring_track *t = &v->track;

	if (v->failed && !t->epochs)	/* nothing could be read, and that was said */
		return;
	printf("%s: %" PRIu64 " bytes (%s) in %" PRIu64 " entries, %u file%s", v->r.base, t->bytes,
	       size_words(t->bytes), t->entries, v->r.part, v->r.part == 1 ? "" : "s");
	if (t->epochs > 1)
		printf(", %" PRIu64 " streams or epochs", t->epochs);
	if (t->first)
		printf(", from position %" PRIu64 " on", t->first);
	putchar('\n');
	if (t->lost_bytes)
		printf("LOST %" PRIu64 " bytes in %" PRIu64 " gaps, %" PRIu64 " of them by the capture\n",
		       t->lost_bytes, t->gaps, v->marked_gaps);
	if (t->failed)
		printf("the engine FAILED in %" PRIu64 " slots\n", t->failed);
	if (t->cut)
		printf("%" PRIu64 " streams CUT: without their end, and another follows\n", t->cut);
	if (!t->ended && t->epochs)
		printf("CUT at position %" PRIu64 ": the end of the stream is not in it\n", t->position);
	if (v->back)
		printf("the time goes back %" PRIu64 " times\n", v->back);
	if (v->pattern)
		printf("pattern: %" PRIu64 " bytes right, %" PRIu64 " WRONG\n", v->judge.right, v->judge.wrong);
	if (v->faults || v->failed)
		printf("DAMAGED: %" PRIu64 " faults%s\n", v->faults,
		       v->failed ? ", and the rest could not be checked" : "");
	else if (!incomplete(t))
		printf("all there\n");
}

static void print_json(const struct verify *v)
{
	const struct sgring_track *t = &v->track;

	json_open(NULL, '{');
	json_string("name", v->r.base);
	json_number("files", v->r.part);
	json_number("bytes", t->bytes);
	json_number("entries", t->entries);
	json_number("epochs", t->epochs);
	json_number("first_position", t->first);
	json_number("next_position", t->position);
	json_number("lost_bytes", t->lost_bytes);
	json_number("gaps", t->gaps);
	json_number("marked_gaps", v->marked_gaps);
	json_number("failed_slots", t->failed);
	json_number("cut_epochs", t->cut);
	json_bool("ended", t->ended);
	json_number("times_back", v->back);
	json_number("undescribed_bytes", v->extra);
	json_number("faults", v->faults + v->failed);
	if (v->pattern) {
		json_number("right_bytes", v->judge.right);
		json_number("wrong_bytes", v->judge.wrong);
	}
	json_number("exit", (uint64_t)exit_code(v));
	json_close('}');
	json_end();
}

static int run(struct verify *v, const char *name, const char *data)
{
	v->buffer = malloc(BUFFER_BYTES);
	if (!v->buffer) {
		fprintf(stderr, "sgring: no memory for a buffer of %s\n", size_words(BUFFER_BYTES));
		return EXIT_FAILED;
	}
	progress_start(&v->progress, 0, 0, v->progress.quiet);
	if (recording_open(&v->r, name, data)) {
		progress_say(&v->progress, "%s", v->r.error);
		v->failed = true;
	} else {
		go_through(v);
	}
	recording_close(&v->r);
	progress_end(&v->progress);
	if (v->json)
		print_json(v);
	else
		print_summary(v);
	free(v->buffer);
	return exit_code(v);
}

int verify_main(int argc, char **argv)
{
	enum { OPT_PATTERN = 256, OPT_DATA };
	static const struct option longs[] = {
		{ "pattern", required_argument, NULL, OPT_PATTERN },
		{ "data", required_argument, NULL, OPT_DATA },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	const char *data = NULL;
	static struct verify v;
	int option;

	while ((option = getopt_long(argc, argv, "jqh", longs, NULL)) != -1) {
		switch (option) {
		case OPT_PATTERN:
			judge_option(&v.judge, optarg);
			v.pattern = true;
			break;
		case OPT_DATA: data = optarg; break;
		case 'j': v.json = true; break;
		case 'q': v.progress.quiet = true; break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return EXIT_FAILED;
		}
	}
	if (argc - optind != 1) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	catch_interrupts(NULL);
	return run(&v, argv[optind], data);
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring recv: what a sender sends, into files, with an index beside them
 *
 * One thread. It reads into a buffer and writes from there through the page cache;
 * what the network brings is checked before it is believed. Here are the command, its
 * options and its summary.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "receiver.h"

#define QUEUE_BYTES (64U << 20)		/* datagrams in the kernel */
#define QUEUE_LITTLE (4U << 20)
#define TOLD 10U			/* gaps, strangers: so many are told one by one */

static const char help[] =
	"usage: sgring recv [OPTION...] WHERE [-o NAME]\n"
	"Receive what \"sgring send\" sends, until its end. WHERE is\n"
	"  [HOST]:PORT            TCP: wait there for the sender; tcp://[HOST]:PORT is the same\n"
	"  udp://[HOST]:PORT      datagrams; HOST may be a multicast group\n"
	"\n"
	"  -o, --output NAME      NAME.data gets the data, NAME.index an entry for each slot;\n"
	"                         \"sgring verify NAME\" checks the two. Without it what comes\n"
	"                         is checked and counted only\n"
	"      --overwrite        write over files that exist\n"
	"      --raw              the sender sends --raw: data only, no frames, no index\n"
	"      --sigmf            SigMF: NAME.sigmf-data, and NAME.sigmf-meta in the end\n"
	"      --datatype TYPE    for it: ci16_le, cf32_le, ru8, ...\n"
	"      --sample-rate HZ   for it: 2.4M, 61.44e6\n"
	"      --description TEXT for it\n"
	"      --pattern N        check every byte: it is stream N of the dummy device\n"
	"\n"
	"When it ends: with the end of the stream, when the sender has closed. A sender\n"
	"that goes away before is waited for, and what it sends again is not stored twice.\n"
	"      --once             end with the first sender's connection, however that ends\n"
	"      --keep             go on with the next stream, in the same files; Ctrl-C ends it\n"
	"      --timeout TIME     end when nothing has come for so long (default: never)\n"
	"\n"
	"      --interface NAME   multicast: the network interface\n"
	"  -j, --json             the summary as JSON\n"
	"  -q, --quiet            no progress: losses, errors and the summary only\n"
	"  -h, --help             this text\n"
	"\n"
	"Exit: 0 all is there; 2 data was lost, or the end is missing; 1 it did not work.\n"
	"\n"
	"  sgring recv :9000 -o run1\n"
	"  sgring recv udp://239.1.2.3:9000 --interface eth1 -o run1\n";

void receiver_cannot_store(struct receiver *r)
{
	progress_say(&r->progress, "%s", r->intake.error);
	r->failed = true;
	r->over = true;
}

static void tell_gap(void *context, uint64_t position, uint64_t bytes, bool marked)
{
	struct receiver *r = context;

	if (r->gaps_told == TOLD)
		progress_say(&r->progress, "more gaps: from here on they are only counted");
	else if (r->gaps_told < TOLD)
		progress_say(&r->progress, "LOST %" PRIu64 " bytes from position %" PRIu64 " on%s", bytes,
			     position, marked ? " (before they were sent)" : "");
	r->gaps_told += r->gaps_told <= TOLD;
}

void receiver_stranger(struct receiver *r, const char *from, const char *what)
{
	r->strangers++;
	if (r->bad_told == TOLD)
		progress_say(&r->progress, "more of this kind: from here on it is only counted");
	else if (r->bad_told < TOLD)
		progress_say(&r->progress, "%s: %s", from, what);
	r->bad_told += r->bad_told <= TOLD;
}

void receiver_came(struct receiver *r)
{
	r->last_ns = now_ns();
	if (!r->first_ns) {
		r->first_ns = r->last_ns;
		r->progress.start_ns = r->last_ns;
	}
}

int soonest_ms(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

int until_ms(uint64_t at_ns, uint64_t now)
{
	uint64_t ms = at_ns > now ? (at_ns - now) / 1000000 + 1 : 0;

	return ms < 60000 ? (int)ms : 60000;
}

int receiver_patience_ms(const struct receiver *r)
{
	int ms = progress_wait_ms(&r->progress);

	ms = soonest_ms(ms, 1000);
	if (r->timeout_ns)
		ms = soonest_ms(ms, until_ms(r->last_ns + r->timeout_ns, now_ns()));
	return ms;
}

void receiver_tick(struct receiver *r)
{
	uint64_t now = now_ns();

	if (r->recorder.waiting && now - r->tick_ns >= SECOND_NS) {
		r->tick_ns = now;
		if (recorder_flush(&r->recorder)) {
			snprintf(r->intake.error, sizeof(r->intake.error), "%s", r->recorder.error);
			receiver_cannot_store(r);
		}
	}
	if (r->timeout_ns && now - r->last_ns >= r->timeout_ns && !r->over) {
		progress_say(&r->progress, "nothing has come for %s", duration_words(r->timeout_ns));
		r->over = true;
	}
	if (r->first_ns && progress_due(&r->progress))
		progress_show(&r->progress, r->intake.track.bytes,
			      r->intake.track.lost_bytes, NULL);
	else if (progress_due(&r->progress))
		r->progress.line_ns = now;
}

/*
 * The end.
 */

static void say_line(void *context, const char *line)
{
	struct receiver *r = context;

	progress_say(&r->progress, "%s", line);
}

static void close_files(struct receiver *r)
{
	char data[sizeof(r->recorder.data_path)], index[sizeof(r->recorder.index_path)];
	bool nothing = !r->recorder.data_bytes && !r->recorder.index_bytes && !r->recorder.waiting;

	memcpy(data, r->recorder.data_path, sizeof(data));
	memcpy(index, r->recorder.index_path, sizeof(index));
	if (recorder_close(&r->recorder) && !r->failed) {
		progress_say(&r->progress, "%s", r->recorder.error);
		r->failed = true;
	}
	if (nothing) {
		unlink(data);
		if (!r->raw)
			unlink(index);
	} else if (r->sigmf && sigmf_write(r->output, &r->sigmf_options, say_line, r)) {
		r->failed = true;
	}
}

static bool incomplete(const struct receiver *r)
{
	const struct sgring_track *t = &r->intake.track;

	return t->lost_bytes || t->failed || t->cut || (!r->raw && !t->ended);
}

static int exit_code(const struct receiver *r)
{
	if (r->failed || r->bad_end || !r->first_ns || r->judge.wrong)
		return EXIT_FAILED;
	return incomplete(r) ? EXIT_LOST : EXIT_OK;
}

static uint64_t took_ns(const struct receiver *r)
{
	return r->first_ns ? r->last_ns - r->first_ns : 0;
}

static double rate(const struct receiver *r)
{
	uint64_t ns = took_ns(r);

	return ns ? (double)r->intake.track.bytes * 1e9 / (double)ns : 0;
}

static void print_summary(const struct receiver *r)
{
	const struct sgring_track *t = &r->intake.track;

	if (!r->first_ns) {
		printf("nothing came\n");
		return;
	}
	printf("received %" PRIu64 " bytes (%s) in %" PRIu64 " entries, %s, %s\n", t->bytes,
	       size_words(t->bytes), t->entries, duration_words(took_ns(r)),
	       rate_words(rate(r)));
	if (t->lost_bytes)
		printf("LOST %" PRIu64 " bytes in %" PRIu64 " gaps, %" PRIu64 " of the gaps from before they were sent\n",
		       t->lost_bytes, t->gaps, r->intake.marked_gaps);
	if (t->failed)
		printf("the engine FAILED in %" PRIu64 " slots\n", t->failed);
	if (t->cut)
		printf("%" PRIu64 " streams CUT: their end did not come, and another followed\n", t->cut);
	if (!r->raw && !t->ended)
		printf("the END of the stream did not come: it is there up to position %" PRIu64 "\n",
		       t->position);
	if (t->first)
		printf("it begins at position %" PRIu64 "\n", t->first);
	if (!incomplete(r) && !r->raw)
		printf("nothing lost\n");
	if (t->repeated_bytes || r->senders > 1)
		printf("%" PRIu64 " %s of senders; %s came again\n", r->senders,
		       r->place.datagrams ? "addresses" : "connections", size_words(t->repeated_bytes));
	if (r->place.datagrams && !r->raw)
		printf("%" PRIu64 " datagrams; %" PRIu64 " early, %" PRIu64 " late or repeated, %" PRIu64
		       " before the first hello\n", r->datagrams.taken, r->datagrams.reordered,
		       r->datagrams.repeated, r->datagrams.unknown);
	if (r->dropped)
		printf("%" PRIu64 " datagrams DROPPED by this machine's kernel: net.core.rmem_max is too small, or the disk too slow\n",
		       r->dropped);
	if (r->intake.judge)
		printf("pattern: %" PRIu64 " bytes right, %" PRIu64 " WRONG\n", r->judge.right, r->judge.wrong);
	if (r->judge.wrong)
		printf("the first wrong one is 0x%02x at position %" PRIu64 "\n", r->judge.first_byte,
		       r->judge.first_wrong);
}

static void print_json(const struct receiver *r)
{
	const struct sgring_track *t = &r->intake.track;

	json_open(NULL, '{');
	json_number("bytes", t->bytes);
	json_number("entries", t->entries);
	json_rate("seconds", (double)took_ns(r) / 1e9);
	json_rate("bytes_per_s", rate(r));
	json_number("lost_bytes", t->lost_bytes);
	json_number("gaps", t->gaps);
	json_number("marked_gaps", r->intake.marked_gaps);
	json_number("failed_slots", t->failed);
	json_number("first_position", t->first);
	json_number("next_position", t->position);
	json_bool("ended", t->ended);
	json_number("epochs", t->epochs);
	json_number("cut_epochs", t->cut);
	json_number("repeated_bytes", t->repeated_bytes);
	json_number("senders", r->senders);
	json_number("refused", r->strangers);
	if (r->place.datagrams) {
		json_number("datagrams", r->datagrams.taken);
		json_number("early", r->datagrams.reordered);
		json_number("late", r->datagrams.repeated);
		json_number("before_hello", r->datagrams.unknown);
		json_number("dropped_by_kernel", r->dropped);
	}
	if (r->intake.judge) {
		json_number("right_bytes", r->judge.right);
		json_number("wrong_bytes", r->judge.wrong);
	}
	json_bool("interrupted", interrupts > 0);
	json_number("exit", (uint64_t)exit_code(r));
	json_close('}');
	json_end();
}

/* Where it is, for people and for those who let it choose a port. */
static void say_where(struct receiver *r)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);
	char text[64];
	size_t bytes;

	getsockname(r->fd, (struct sockaddr *)&a, &size);
	address_text(text, sizeof(text), &a, size);
	progress_say(&r->progress, "waiting at %s://%s", r->place.datagrams ? "udp" : "tcp", text);
	if (!r->place.datagrams)
		return;
	bytes = place_buffer(r->fd, QUEUE_BYTES);
	if (bytes < QUEUE_LITTLE)
		progress_say(&r->progress, "the kernel keeps only %s of datagrams: net.core.rmem_max is too small for fast streams; \"sysctl -w net.core.rmem_max=%u\"",
			     size_words(bytes), QUEUE_BYTES);
}

static int run(struct receiver *r)
{
	size_t room = r->place.datagrams ? PACKETS_BUFFER : CONNECTIONS_BUFFER;
	char error[400];
	int code;

	r->fd = place_open(&r->place, r->interface, error, sizeof(error));
	if (r->fd < 0) {
		fprintf(stderr, "sgring: %s\n", error);
		return EXIT_FAILED;
	}
	if (r->output && recorder_open(&r->recorder, r->output, r->recorder_flags)) {
		fprintf(stderr, "sgring: %s\n", r->recorder.error);
		return EXIT_FAILED;
	}
	r->intake.recorder = r->output ? &r->recorder : NULL;
	r->intake.join = r->place.datagrams;
	r->intake.gap = tell_gap;
	r->intake.context = r;
	r->datagrams.to = &r->intake;
	r->buffer = malloc(room);
	if (!r->buffer) {
		fprintf(stderr, "sgring: no memory for a buffer of %s\n", size_words(room));
		return EXIT_FAILED;
	}
	say_where(r);
	r->last_ns = now_ns();
	if (r->place.datagrams)
		packets_receive(r);
	else
		connections_receive(r);
	if (r->output)
		close_files(r);
	progress_end(&r->progress);
	code = exit_code(r);
	if (r->json)
		print_json(r);
	else
		print_summary(r);
	free(r->buffer);
	close(r->fd);
	return code;
}

enum {
	OPT_OVERWRITE = 256, OPT_RAW, OPT_SIGMF, OPT_DATATYPE, OPT_SAMPLE_RATE, OPT_DESCRIPTION,
	OPT_PATTERN, OPT_ONCE, OPT_KEEP, OPT_TIMEOUT, OPT_INTERFACE,
};

static bool take_option(struct receiver *r, int option, const char *value)
{
	switch (option) {
	case 'o': r->output = value; break;
	case OPT_OVERWRITE: r->recorder_flags |= RECORDER_OVERWRITE; break;
	case OPT_RAW: r->raw = true; r->recorder_flags |= RECORDER_RAW; break;
	case OPT_SIGMF: r->sigmf = true; r->recorder_flags |= RECORDER_SIGMF; break;
	case OPT_DATATYPE: sigmf_option_datatype(&r->sigmf_options, value); break;
	case OPT_SAMPLE_RATE: sigmf_option_rate(&r->sigmf_options, value); break;
	case OPT_DESCRIPTION: r->sigmf_options.description = value; break;
	case OPT_PATTERN:
		judge_option(&r->judge, value);
		r->intake.judge = &r->judge;
		break;
	case OPT_ONCE: r->once = true; break;
	case OPT_KEEP: r->keep = true; break;
	case OPT_TIMEOUT: r->timeout_ns = duration_option("timeout", value); break;
	case OPT_INTERFACE: r->interface = value; break;
	case 'j': r->json = true; break;
	case 'q': r->progress.quiet = true; break;
	default: return false;
	}
	return true;
}

static bool fits(const struct receiver *r)
{
	const char *wrong = NULL;

	if (r->sigmf && (r->raw || !r->output))
		wrong = r->raw ? "--sigmf needs an index, and --raw has none" : "--sigmf needs -o NAME";
	else if (r->once && r->keep)
		wrong = "--once and --keep are opposites";
	else if (r->once && r->place.datagrams)
		wrong = "--once is for connections; datagrams have none";
	if (wrong)
		fprintf(stderr, "sgring: %s\n", wrong);
	return !wrong;
}

int recv_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "overwrite", no_argument, NULL, OPT_OVERWRITE },
		{ "raw", no_argument, NULL, OPT_RAW },
		{ "sigmf", no_argument, NULL, OPT_SIGMF },
		{ "datatype", required_argument, NULL, OPT_DATATYPE },
		{ "sample-rate", required_argument, NULL, OPT_SAMPLE_RATE },
		{ "description", required_argument, NULL, OPT_DESCRIPTION },
		{ "pattern", required_argument, NULL, OPT_PATTERN },
		{ "once", no_argument, NULL, OPT_ONCE },
		{ "keep", no_argument, NULL, OPT_KEEP },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "interface", required_argument, NULL, OPT_INTERFACE },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	static struct receiver r;
	int option;

	while ((option = getopt_long(argc, argv, "o:jqh", longs, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (!take_option(&r, option, optarg))
			return EXIT_FAILED;
	}
	if (argc - optind != 1) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	if (!place_parse(&r.place, argv[optind])) {
		fprintf(stderr, "sgring: \"%s\" is not [HOST]:PORT, tcp://[HOST]:PORT or udp://[HOST]:PORT (IPv6: [::1]:9000)\n",
			argv[optind]);
		return EXIT_FAILED;
	}
	if (!fits(&r))
		return EXIT_FAILED;
	catch_interrupts(NULL);
	signal(SIGXFSZ, SIG_IGN);
	progress_start(&r.progress, 0, 0, r.progress.quiet);
	return run(&r);
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring pcap: the slots of a running stream as packets, for tcpdump, Wireshark and replay
 *
 * An observer: it follows the CQ beside the owner and copies each slot that is told of. What
 * was filled again before it was copied is not written; how much that was is told in the end.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "capfile.h"
#include "pcap_header.h"
#include "tool.h"

/* How long it sleeps when nothing is new: so long first, then longer, at most so long. */
#define NAP_NS		50000
#define NAP_MAX_NS	5000000
/* How often it asks whether its owner still has it. */
#define ALIVE_NS	100000000

static const char help[] =
	"usage: sgring pcap [OPTION...] NAME -w FILE [FILTER...]\n"
	"Write the slots of a running stream as packets, as an observer: nothing is taken from\n"
	"the stream's owner, and what could not be copied in time is counted, not guessed.\n"
	"\n"
	"  -w, --write FILE       a capture file, with nanoseconds; - is standard output:\n"
	"                         sgring pcap rx0 -w - | tcpdump -r -\n"
	"  -c, --count N          end after so many packets\n"
	"      --time TIME        end after so long: 90s, 10m\n"
	"  -s, --snaplen N        keep the first N bytes of each slot\n"
	"      --link TYPE        the slots are packets of this link type (EN10MB, RAW, ...): just\n"
	"                         their bytes, one slot one packet. Without it each has a header\n"
	"                         with sequence, position, slot, flags: sgring_pcap(7)\n"
	"  FILTER                 of packets, as pcap-filter(7) has it, where the link type allows\n"
	"\n"
	"      --rotate-size SIZE begin a new file before one grows beyond it\n"
	"      --rotate-time TIME begin a new file when one is so old\n"
	"      --files N          keep the last N of them\n"
	"      --overwrite        write over files that exist\n"
	"\n"
	"  -j, --json             the summary as JSON\n"
	"  -q, --quiet            no summary\n"
	"  -h, --help             this text\n"
	"\n"
	"Exit: 0; 2 slots were lost by the stream or not copied in time, or nobody has set it up;\n"
	"1 it did not work.\n";

/**
 * struct watch - one run
 * @file: where to
 * @stream: observed
 * @geometry, @label: of it
 * @raw: --link: the bytes of the slots only
 * @filter: @filtered: which packets
 * @count: end after so many; 0: no limit
 * @time_ns: end after so long; 0: no limit
 * @keep_bytes: of each slot
 * @since_1970: what is added to the stream's times
 * @packet: one, with its header
 * @slots: written, pieces together
 * @overwritten: entries that were overwritten before they were looked at
 * @changed: slots that were, or may have been, filled again before they were copied
 * @lost_bytes, @gaps: by the stream
 * @failed: slots the engine failed in
 * @unfinished: --link: slots that do not end a packet of a stream that has packets
 * @ends: slots that do
 * @missed: not looked at since the last packet
 * @position: behind the entry before; @placed: there is one
 * @why: it ended
 */
struct watch {
	struct capfile file;
	struct sgring *stream;
	struct sgring_geometry geometry;
	char label[SGRING_NAME_BYTES];
	bool raw;
	bool filtered;
	struct bpf_program filter;
	uint64_t count;
	uint64_t time_ns;
	uint32_t keep_bytes;
	uint64_t since_1970;
	unsigned char *packet;
	uint64_t slots;
	uint64_t overwritten;
	uint64_t changed;
	uint64_t lost_bytes;
	uint64_t gaps;
	uint64_t failed;
	uint64_t unfinished;
	uint64_t ends;
	uint64_t missed;
	uint64_t position;
	bool placed;
	const char *why;
};

static uint64_t clock_of(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* What turns the stream's times into those since 1970; steady over the whole file. */
static uint64_t since_1970(uint32_t clock)
{
	static const clockid_t clocks[] = {
		[SGRING_CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
		[SGRING_CLOCK_REALTIME] = CLOCK_REALTIME,
		[SGRING_CLOCK_TAI] = CLOCK_TAI,
		[SGRING_CLOCK_BOOTTIME] = CLOCK_BOOTTIME,
		[SGRING_CLOCK_MONOTONIC_RAW] = CLOCK_MONOTONIC_RAW,
	};

	if (clock >= sizeof(clocks) / sizeof(clocks[0]) || clock == SGRING_CLOCK_REALTIME)
		return 0;
	return clock_of(CLOCK_REALTIME) - clock_of(clocks[clock]);
}

static bool wanted(const struct watch *w, uint64_t time_ns, const void *packet, uint32_t bytes,
		   uint32_t length)
{
	const struct pcap_pkthdr header = {
		.ts = { (time_t)(time_ns / 1000000000), (suseconds_t)(time_ns % 1000000000) },
		.caplen = bytes, .len = length,
	};

	return !w->filtered || pcap_offline_filter(&w->filter, &header, packet);
}

static int write_raw(struct watch *w, const struct sgring_cqe *e, const unsigned char *data,
		     uint32_t bytes, uint64_t time_ns)
{
	uint32_t length = e->length_bytes < SGRING_PCAP_PACKET_MAX ? e->length_bytes : SGRING_PCAP_PACKET_MAX;

	if (!length || !wanted(w, time_ns, data, bytes, length))
		return 0;
	w->slots++;
	return capfile_turn(&w->file, bytes + 16) ? -1 :
	       capfile_write(&w->file, time_ns, data, bytes, length);
}

/* With its header; a long slot in pieces, none of them in another file. */
static int write_slot(struct watch *w, const struct sgring_cqe *e, const unsigned char *data,
		      uint32_t bytes, uint32_t epoch, uint64_t time_ns)
{
	struct sgring_pcap_header h = {
		.epoch = epoch, .entry = *e, .slot_count = w->geometry.slot_count,
		.slot_bytes = (uint32_t)w->geometry.slot_bytes, .clock = w->geometry.clock,
		.missed = w->missed < UINT32_MAX ? (uint32_t)w->missed : UINT32_MAX,
	};
	uint32_t at = 0, n, length;
	bool first = true;

	memcpy(h.label, w->label, sizeof(h.label));
	do {
		n = bytes - at < SGRING_PCAP_DATA_MAX ? bytes - at : SGRING_PCAP_DATA_MAX;
		/* What is cut off is told in the length of the last piece, as far as readers take it. */
		length = at + n == bytes ? e->length_bytes - at : n;
		length = length < SGRING_PCAP_DATA_MAX ? length : SGRING_PCAP_DATA_MAX;
		h.offset_bytes = at;
		sgring_pcap_pack(w->packet, &h);
		if (n)
			memcpy(w->packet + SGRING_PCAP_BYTES, data + at, n);
		if (first && !wanted(w, time_ns, w->packet, n + SGRING_PCAP_BYTES,
				     length + SGRING_PCAP_BYTES))
			return 0;
		if (first && capfile_turn(&w->file, bytes + SGRING_PCAP_BYTES + 16))
			return -1;
		first = false;
		if (capfile_write(&w->file, time_ns, w->packet, n + SGRING_PCAP_BYTES,
				  length + SGRING_PCAP_BYTES))
			return -1;
		at += n;
	} while (at < bytes);
	w->slots += e->slot != SGRING_NO_SLOT;
	w->missed = 0;
	return 0;
}

/* What the entry itself says of losses. */
static void account(struct watch *w, const struct sgring_cqe *e, uint64_t missed)
{
	w->overwritten += missed;
	w->missed += missed;
	/* What lies between two entries is known to be lost only if none was missed. */
	if (e->flags & SGRING_CQE_GAP) {
		w->gaps++;
		if (w->placed && !missed && e->position_bytes > w->position)
			w->lost_bytes += e->position_bytes - w->position;
	}
	w->placed = !(e->flags & SGRING_CQE_EOS);
	w->position = e->position_bytes + e->length_bytes;
	w->failed += e->slot != SGRING_NO_SLOT && e->status;
	if (e->flags & SGRING_CQE_EOP)
		w->ends++;
	else if (e->slot != SGRING_NO_SLOT)
		w->unfinished++;
}

/* 0, or what sgring_look() or the file gave. */
static int take(struct watch *w, const struct sgring_cqe *e, uint64_t missed)
{
	uint32_t bytes = e->length_bytes < w->keep_bytes ? e->length_bytes : w->keep_bytes;
	uint64_t time_ns = e->host_time_ns + w->since_1970;
	const unsigned char *data;
	uint32_t epoch;
	int got;

	account(w, e, missed);
	if (w->raw && bytes > SGRING_PCAP_PACKET_MAX)
		bytes = SGRING_PCAP_PACKET_MAX;
	got = sgring_look(w->stream, e, bytes, &data, &epoch);
	if (got < 0)
		return got;
	if (!got) {
		w->changed++;
		w->missed++;
		return 0;
	}
	got = w->raw ? write_raw(w, e, data, bytes, time_ns) :
		       write_slot(w, e, data, bytes, epoch, time_ns);
	return got ? -EIO : 0;
}

static int failed(struct watch *w, int err)
{
	if (w->file.closed) {
		w->why = "the reader has gone";
		return EXIT_OK;
	}
	if (w->file.error[0]) {
		fprintf(stderr, "sgring: %s\n", w->file.error);
		return EXIT_FAILED;
	}
	if (err == -ENODATA) {
		w->why = "its owner has closed the stream";
		return EXIT_OK;
	}
	return library_failed();
}

static bool enough(const struct watch *w, uint64_t start)
{
	return interrupts || (w->count && w->slots >= w->count) ||
	       (w->time_ns && now_ns() - start >= w->time_ns);
}

/* The capture begins now, and not while its file was being made. */
static void begin(struct watch *w)
{
	const unsigned char *data;
	struct sgring_cqe e;
	uint64_t missed;
	uint32_t i, epoch;

	for (i = 0; i < w->geometry.cq_entries && sgring_follow(w->stream, &e, &missed) == 1; i++)
		if (!i && e.length_bytes)
			sgring_look(w->stream, &e, 1, &data, &epoch);
}

static int follow(struct watch *w)
{
	uint64_t start = now_ns(), asked = start, nap = NAP_NS, missed, now;
	struct sgring_cqe e;
	int err;

	begin(w);
	while (!enough(w, start)) {
		err = sgring_follow(w->stream, &e, &missed);
		if (err > 0) {
			nap = NAP_NS;
			err = take(w, &e, missed);
		} else if (!err) {
			now = now_ns();
			/* Who reads gets all there is before it waits. */
			if (nap == NAP_NS && capfile_flush(&w->file))
				return failed(w, 0);
			if (now - asked >= ALIVE_NS) {
				asked = now;
				err = sgring_look_alive(w->stream);
			}
			nanosleep(&(struct timespec){ .tv_nsec = (long)nap }, NULL);
			nap = nap * 2 < NAP_MAX_NS ? nap * 2 : NAP_MAX_NS;
		}
		if (err < 0)
			return failed(w, err);
	}
	return EXIT_OK;
}

static bool lossy(const struct watch *w)
{
	return w->overwritten || w->changed || w->gaps || w->failed;
}

static void print_summary(const struct watch *w)
{
	fprintf(stderr, "sgring: %" PRIu64 " slots in %" PRIu64 " packets, %s", w->slots,
		w->file.packets, size_words(w->file.bytes));
	if (w->file.part > 1)
		fprintf(stderr, ", %u files", w->file.part);
	if (w->why)
		fprintf(stderr, "; %s", w->why);
	putc('\n', stderr);
	if (w->overwritten || w->changed)
		fprintf(stderr, "sgring: NOT LOOKED AT in time: %" PRIu64 " entries overwritten, %" PRIu64 " slots filled again: more slots, a faster disk, --snaplen or --cpu help\n",
			w->overwritten, w->changed);
	if (w->gaps)
		fprintf(stderr, "sgring: the stream LOST %" PRIu64 " bytes in %" PRIu64 " gaps\n", w->lost_bytes,
			w->gaps);
	if (w->failed)
		fprintf(stderr, "sgring: the engine FAILED in %" PRIu64 " slots\n", w->failed);
	if (w->raw && w->ends && w->unfinished)
		fprintf(stderr, "sgring: %" PRIu64 " slots end no packet: longer packets were written in pieces\n",
			w->unfinished);
}

static void print_json(const struct watch *w, int code)
{
	/* Standard output may be the packets'. */
	json_to(strcmp(w->file.name, "-") ? NULL : stderr);
	json_open(NULL, '{');
	json_string("stream", w->label);
	json_number("slots", w->slots);
	json_number("packets", w->file.packets);
	json_number("bytes", w->file.bytes);
	json_number("files", w->file.part);
	json_number("overwritten_entries", w->overwritten);
	json_number("changed_slots", w->changed);
	json_number("lost_bytes", w->lost_bytes);
	json_number("gaps", w->gaps);
	json_number("failed_slots", w->failed);
	json_string("end", w->why ? w->why : interrupts ? "interrupted" : "enough");
	json_number("exit", (uint64_t)code);
	json_close('}');
	json_end();
	json_to(NULL);
}

static bool set_filter(struct watch *w, char **words, int count)
{
	char text[4096] = "";
	pcap_t *dead;
	int i, err;

	for (i = 0; i < count; i++) {
		if (strlen(text) + strlen(words[i]) + 2 > sizeof(text)) {
			fprintf(stderr, "sgring: the filter is longer than %zu bytes\n", sizeof(text) - 2);
			return false;
		}
		sprintf(text + strlen(text), "%s%s", i ? " " : "", words[i]);
	}
	if (!count)
		return true;
	dead = pcap_open_dead(w->file.link, (int)w->file.snaplen);
	if (!dead)
		return false;
	err = pcap_compile(dead, &w->filter, text, 1, PCAP_NETMASK_UNKNOWN);
	if (err)
		fprintf(stderr, "sgring: filter \"%s\": %s%s\n", text, pcap_geterr(dead),
			w->raw ? "" : " (packets with the header of sgring: --link TYPE says what is in the slots)");
	pcap_close(dead);
	w->filtered = !err;
	return !err;
}

static int run(struct watch *w, const char *name)
{
	const struct sgring_geometry *g;
	struct sgring_query q;
	int err, code;

	err = sgring_observe(&w->stream, name);
	if (err)
		return open_failed(name, err);
	err = sgring_query(w->stream, &q);
	g = sgring_geometry(w->stream);
	if (err || !g) {
		if (!err)
			fprintf(stderr, "sgring: nobody has set up %s: there is nothing to see yet\n", name);
		code = err ? library_failed() : EXIT_NOTHING;
		sgring_close(w->stream);
		return code;
	}
	w->geometry = *g;
	memcpy(w->label, q.label, sizeof(w->label));
	w->since_1970 = since_1970(g->clock);
	w->packet = malloc(SGRING_PCAP_PACKET_MAX);
	code = !w->packet || capfile_open(&w->file) ? failed(w, 0) : follow(w);
	if (w->file.dead && capfile_close(&w->file) && code == EXIT_OK)
		code = failed(w, 0);
	if (code == EXIT_OK && lossy(w))
		code = EXIT_LOST;
	sgring_close(w->stream);
	free(w->packet);
	return code;
}

static bool link_option(struct watch *w, const char *text)
{
	w->file.link = pcap_datalink_name_to_val(text);
	w->raw = true;
	if (w->file.link >= 0)
		return true;
	fprintf(stderr, "sgring: --link: \"%s\" is not a link type libpcap knows (EN10MB, RAW, IEEE802_11, USER1, ...)\n",
		text);
	return false;
}

int pcap_main(int argc, char **argv)
{
	enum { OPT_LINK = 256, OPT_TIME, OPT_ROTATE_SIZE, OPT_ROTATE_TIME, OPT_FILES, OPT_OVERWRITE };
	static const struct option longs[] = {
		{ "write", required_argument, NULL, 'w' },
		{ "count", required_argument, NULL, 'c' },
		{ "time", required_argument, NULL, OPT_TIME },
		{ "snaplen", required_argument, NULL, 's' },
		{ "link", required_argument, NULL, OPT_LINK },
		{ "rotate-size", required_argument, NULL, OPT_ROTATE_SIZE },
		{ "rotate-time", required_argument, NULL, OPT_ROTATE_TIME },
		{ "files", required_argument, NULL, OPT_FILES },
		{ "overwrite", no_argument, NULL, OPT_OVERWRITE },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct watch w = {
		.file = { .link = SGRING_PCAP_LINK, .snaplen = SGRING_PCAP_PACKET_MAX },
		.keep_bytes = UINT32_MAX,
	};
	bool json = false, quiet = false;
	int option, code;

	while ((option = getopt_long(argc, argv, "w:c:s:jqh", longs, NULL)) != -1) {
		switch (option) {
		case 'w': w.file.name = optarg; break;
		case 'c': w.count = number_option("count", optarg, 1, UINT64_MAX); break;
		case 's': w.keep_bytes = (uint32_t)number_option("snaplen", optarg, 0, UINT32_MAX); break;
		case OPT_TIME: w.time_ns = duration_option("time", optarg); break;
		case OPT_ROTATE_SIZE: w.file.rotate_bytes = size_option("rotate-size", optarg); break;
		case OPT_ROTATE_TIME: w.file.rotate_ns = duration_option("rotate-time", optarg); break;
		case OPT_FILES: w.file.keep = (unsigned int)number_option("files", optarg, 1, 1000000); break;
		case OPT_OVERWRITE: w.file.overwrite = true; break;
		case OPT_LINK:
			if (!link_option(&w, optarg))
				return EXIT_FAILED;
			break;
		case 'j': json = true; break;
		case 'q': quiet = true; break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return EXIT_FAILED;
		}
	}
	if (argc == optind || !w.file.name) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	if (w.file.keep && !w.file.rotate_bytes && !w.file.rotate_ns) {
		fprintf(stderr, "sgring: --files goes with --rotate-size or --rotate-time\n");
		return EXIT_FAILED;
	}
	if (strlen(w.file.name) > PATH_MAX - 16) {
		fprintf(stderr, "sgring: %s\n", strerror(ENAMETOOLONG));
		return EXIT_FAILED;
	}
	if (w.keep_bytes < SGRING_PCAP_DATA_MAX && !w.raw)
		w.file.snaplen = w.keep_bytes + SGRING_PCAP_BYTES;
	else if (w.keep_bytes < SGRING_PCAP_PACKET_MAX && w.raw)
		w.file.snaplen = w.keep_bytes ? w.keep_bytes : 1;
	if (!set_filter(&w, argv + optind + 1, argc - optind - 1))
		return EXIT_FAILED;
	catch_interrupts(NULL);
	code = run(&w, argv[optind]);
	if (w.filtered)
		pcap_freecode(&w.filter);
	if (!w.file.part)
		return code;
	if (json)
		print_json(&w, code);
	else if (!quiet && code != EXIT_FAILED)
		print_summary(&w);
	return code;
}

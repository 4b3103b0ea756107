/* SPDX-License-Identifier: MIT */
/*
 * demo: capture a stream, send it without a copy, show what it costs
 *
 *	demo [OPTION...] STREAM URL
 *
 * The guest's side of "make demo", and an example of the batch calls: entries
 * are taken from the CQ as many at a time as there are, without a system call;
 * only an empty CQ makes it wait.
 *
 * Exit: 0 all right; 2 data was lost; 1 it did not work.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sgring.h>

#define BATCH 64

static const char help[] =
	"usage: demo [OPTION...] STREAM URL\n"
	"Capture STREAM and send it to URL (tcp://host:port) without a copy.\n"
	"\n"
	"What ends it:\n"
	"  -b, --bytes N         so many bytes were sent, exactly\n"
	"  -S, --seconds N       so much time has passed\n"
	"  -e, --eop             a slot with an end of packet was sent\n"
	"  -T, --timeout N       nothing came for N seconds: an error (default 10)\n"
	"\n"
	"Set-up; 0 or not given: the driver's default:\n"
	"  -s, --slot-bytes N    size of a slot; K, M, G are understood\n"
	"  -n, --slots N         number of slots\n"
	"  -q, --queue-depth N   slots the engine has at a time\n"
	"  -d, --drop            overrun policy: drop instead of stall\n"
	"  -w, --wake-slots N    slots in a wake-up batch\n"
	"  -W, --wake-usec N     longest wait for a batch to be full\n"
	"  -P, --sq-poll-usec N  how often a starved stream looks for returned slots\n"
	"  -I, --sq-idle-usec N  how long it does before it must be kicked\n"
	"  -x, --spin            do not sleep when there is nothing\n"
	"\n"
	"Output:\n"
	"  -l, --live            a line once a second\n"
	"  -j, --json            the final figures as one line of JSON\n"
	"  -h, --help            this text\n"
	"\n"
	"Exit: 0 all right; 2 data was lost; 1 it did not work.\n";

struct demo {
	struct sgring *stream;
	struct sgring_tx *tx;
	struct sgring_options options;
	const char *name;
	const char *url;
	uint64_t bytes_limit;		/* 0: none */
	uint64_t seconds_limit;
	uint64_t timeout_s;
	bool until_eop;
	bool live;
	bool json;

	uint64_t start_ns;
	uint64_t bytes;			/* handed to the sender */
	uint64_t slots;
	bool done;
	/* for the live line */
	uint64_t shown_ns;
	uint64_t shown_bytes;
	uint64_t shown_slots;
	uint64_t shown_copied;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int fail(void)
{
	fprintf(stderr, "demo: %s\n", sgring_errmsg());
	return -1;
}

static void show_live(struct demo *d)
{
	uint64_t now = now_ns(), ns = now - d->shown_ns;
	struct sgring_stats st;
	struct sgring_tx_stats tx;

	if (!d->live || ns < 1000000000 || sgring_stats(d->stream, &st))
		return;
	sgring_tx_stats(d->tx, &tx);
	printf("%5.1f s %8.1f MB/s %8.0f slots/s  ring %3u/%u ready, engine %u, sending %" PRIu64
	       "  stalls %" PRIu64 " (%" PRIu64 " ms) drops %" PRIu64 "  copied %.0f/s (%" PRIu64
	       " of %" PRIu64 ")\n",
	       (double)(now - d->start_ns) / 1e9,
	       (double)(d->bytes - d->shown_bytes) * 1e3 / (double)ns,
	       (double)(d->slots - d->shown_slots) * 1e9 / (double)ns,
	       sgring_ready(d->stream), sgring_geometry(d->stream)->slot_count, st.slots_engine,
	       tx.held, (uint64_t)st.stalls, (uint64_t)st.stalled_ns / 1000000,
	       (uint64_t)st.dropped_slots,
	       (double)(tx.copied - d->shown_copied) * 1e9 / (double)ns, tx.copied,
	       tx.copied + tx.zerocopy);
	fflush(stdout);
	d->shown_ns = now;
	d->shown_bytes = d->bytes;
	d->shown_slots = d->slots;
	d->shown_copied = tx.copied;
}

/* Send one slot, or give it back if we have enough. */
static int pass_on(struct demo *d, struct sgring_slot *b)
{
	int err;

	if (b->flags & SGRING_EOS) {
		d->done = true;
		return 0;
	}
	if (d->done)
		return sgring_put(d->stream, b->index, 0);
	if (b->status)
		fprintf(stderr, "demo: position %" PRIu64 ": the engine failed: %s\n", b->position,
			strerror(-b->status));
	if (d->bytes_limit && d->bytes_limit - d->bytes < b->length)
		b->length = (uint32_t)(d->bytes_limit - d->bytes);
	err = sgring_tx_send(d->tx, b);
	if (err)
		return err;
	d->slots++;
	d->bytes += b->length;
	d->done = (d->until_eop && (b->flags & SGRING_EOP)) ||
		  (d->bytes_limit && d->bytes >= d->bytes_limit);
	return 0;
}

/* All that is ready now, up to a batch. */
static int take_batch(struct demo *d)
{
	struct sgring_slot slots[BATCH];
	uint32_t n = sgring_ready(d->stream), i;
	int err;

	if (n > BATCH)
		n = BATCH;
	for (i = 0; i < n; i++)
		sgring_slot_of(d->stream, sgring_peek(d->stream, i), &slots[i]);
	sgring_consume(d->stream, n);
	for (i = 0; i < n; i++) {
		err = pass_on(d, &slots[i]);
		if (err)
			return err;
		show_live(d);
	}
	return sgring_flush(d->stream);
}

static int capture(struct demo *d)
{
	uint64_t last_ns = now_ns();
	int err = sgring_start(d->stream);

	d->start_ns = d->shown_ns = last_ns;
	while (!err && !d->done && !interrupted) {
		err = sgring_wait(d->stream, 1000);
		if (!err) {
			err = take_batch(d);
			last_ns = now_ns();
		}
		if (err == -EINTR || (err == -ETIMEDOUT && now_ns() - last_ns < d->timeout_s * 1000000000))
			err = 0;
		if (err == -ENODATA) {
			err = 0;
			d->done = true;
		}
		show_live(d);
		if (d->seconds_limit && now_ns() - d->start_ns >= d->seconds_limit * 1000000000)
			d->done = true;
	}
	if (err)
		return fail();
	return 0;
}

static void report(const struct demo *d, const struct sgring_stats *st,
		   const struct sgring_tx_stats *tx, const struct sgring_counters *c, double seconds)
{
	double per_slot = d->slots ? 1.0 / (double)d->slots : 0;
	const char *format = d->json ?
		"{\"bytes\": %" PRIu64 ", \"slots\": %" PRIu64 ", \"seconds\": %.3f, \"mb_per_s\": %.1f, "
		"\"dropped\": %" PRIu64 ", \"dropped_bytes\": %" PRIu64 ", \"lost_bytes\": %" PRIu64 ", "
		"\"failed_slots\": %" PRIu64 ", "
		"\"zerocopy\": %" PRIu64 ", \"copied\": %" PRIu64 ", \"sends\": %" PRIu64 ", "
		"\"partial_sends\": %" PRIu64 ", \"nobufs_waits\": %" PRIu64 ", "
		"\"handoff_syscalls_per_slot\": %.6f, \"timer_runs_per_slot\": %.6f, "
		"\"stalled_ms\": %" PRIu64 ", \"stalls\": %" PRIu64 ", "
		"\"polls\": %" PRIu64 ", \"kicks\": %" PRIu64 ", \"sender_waits\": %" PRIu64 ", "
		"\"kernel_polls\": %" PRIu64 ", \"kernel_kicks\": %" PRIu64 ", \"wakeups\": %" PRIu64 ", "
		"\"timer_runs\": %" PRIu64 ", \"wake_slots\": %u, \"slot_count\": %u, "
		"\"slot_bytes\": %" PRIu64 ", \"bounced\": %s}\n" :
		"bytes %" PRIu64 ", slots %" PRIu64 ", %.3f s, %.1f MB/s\n"
		"dropped %" PRIu64 " slots (%" PRIu64 " bytes), lost %" PRIu64 " bytes, failed %" PRIu64 "\n"
		"sent without a copy %" PRIu64 ", copied %" PRIu64 ", of %" PRIu64 " sends, %" PRIu64
		" of them partial; %" PRIu64 " waits for a kernel limit\n"
		"hand-over: %.6f system calls and %.6f timer runs per slot; stalled %" PRIu64 " ms in %" PRIu64
		" stalls\n"
		"%" PRIu64 " polls, %" PRIu64 " kicks, %" PRIu64 " waits for the sender; the kernel counted %"
		PRIu64 " polls, %" PRIu64 " kicks, %" PRIu64 " wake-ups, %" PRIu64 " timer runs\n"
		"set-up: wake-up batch of %u, %u slots of %" PRIu64 " bytes; bounced: %s\n";

	printf(format, d->bytes, d->slots, seconds, seconds > 0 ? (double)d->bytes / 1e6 / seconds : 0,
	       (uint64_t)st->dropped_slots, (uint64_t)st->dropped_bytes,
	       c->lost_bytes > st->lost_bytes ? c->lost_bytes : (uint64_t)st->lost_bytes,
	       c->failed_slots, tx->zerocopy, tx->copied, tx->sends, tx->partial, tx->nobufs_waits,
	       (double)(c->kicks + c->polls) * per_slot, (double)st->timer_runs * per_slot,
	       (uint64_t)st->stalled_ns / 1000000, (uint64_t)st->stalls,
	       c->polls, c->kicks, c->sender_waits,
	       (uint64_t)st->polls, (uint64_t)st->kicks, (uint64_t)st->wakeups,
	       (uint64_t)st->timer_runs, sgring_setup(d->stream)->wake_slots,
	       sgring_geometry(d->stream)->slot_count, (uint64_t)sgring_geometry(d->stream)->slot_bytes,
	       st->flags & SGRING_STATS_BOUNCED ? "true" : "false");
}

/* Stop, flush, report; what was filled beyond our limit is thrown away. */
static int finish(struct demo *d)
{
	struct sgring_counters counters;
	struct sgring_tx_stats sent;
	struct sgring_stats st;
	struct sgring_slot b;
	double seconds;
	int err;

	/* The figures first: what the stop cuts off is not the demo's. */
	if (sgring_stats(d->stream, &st))
		return fail();
	sgring_counters(d->stream, &counters);
	err = sgring_stop(d->stream, 0, 0);
	if (err < 0 && err != -EBADFD)
		return fail();
	while (!sgring_next(d->stream, &b, 0))
		sgring_return(d->stream, &b);
	if (sgring_tx_flush(d->tx, 30000))
		return fail();
	seconds = (double)(now_ns() - d->start_ns) / 1e9;
	sgring_tx_stats(d->tx, &sent);
	report(d, &st, &sent, &counters, seconds);
	if (sgring_tx_close(d->tx))
		return fail();
	if (d->bytes_limit && d->bytes < d->bytes_limit) {
		fprintf(stderr, "demo: ended before its %" PRIu64 " bytes\n", d->bytes_limit);
		return -1;
	}
	return st.dropped_slots || st.lost_bytes || counters.lost_bytes || counters.failed_slots;
}

static uint64_t number(const char *text, const char *what, uint64_t max)
{
	static const char units[] = "KMG";
	unsigned long long n;
	const char *unit;
	char *end;
	int shift = 0;

	errno = 0;
	n = strtoull(text, &end, 0);
	unit = *end ? strchr(units, *end) : NULL;
	if (unit) {
		shift = 10 * (int)(unit - units + 1);
		end++;
	}
	if (errno || end == text || *end || text[0] == '-' || n > max >> shift) {
		fprintf(stderr, "demo: %s: \"%s\" is not a number up to %" PRIu64 "\n", what, text, max);
		exit(1);
	}
	return n << shift;
}

static void parse(struct demo *d, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "bytes", required_argument, NULL, 'b' },
		{ "seconds", required_argument, NULL, 'S' },
		{ "eop", no_argument, NULL, 'e' },
		{ "timeout", required_argument, NULL, 'T' },
		{ "slot-bytes", required_argument, NULL, 's' },
		{ "slots", required_argument, NULL, 'n' },
		{ "queue-depth", required_argument, NULL, 'q' },
		{ "drop", no_argument, NULL, 'd' },
		{ "wake-slots", required_argument, NULL, 'w' },
		{ "wake-usec", required_argument, NULL, 'W' },
		{ "sq-poll-usec", required_argument, NULL, 'P' },
		{ "sq-idle-usec", required_argument, NULL, 'I' },
		{ "spin", no_argument, NULL, 'x' },
		{ "live", no_argument, NULL, 'l' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct sgring_options *o = &d->options;
	int c;

	while ((c = getopt_long(argc, argv, "b:S:eT:s:n:q:dw:W:P:I:xljh", longs, NULL)) != -1) {
		switch (c) {
		case 'b': d->bytes_limit = number(optarg, "bytes", UINT64_MAX); break;
		case 'S': d->seconds_limit = number(optarg, "seconds", 1000000000); break;
		case 'e': d->until_eop = true; break;
		case 'T': d->timeout_s = number(optarg, "timeout", 1000000000); break;
		case 's': o->slot_bytes = number(optarg, "slot-bytes", UINT64_MAX); break;
		case 'n': o->slot_count = (uint32_t)number(optarg, "slots", UINT32_MAX); break;
		case 'q': o->queue_depth = (uint32_t)number(optarg, "queue-depth", UINT32_MAX); break;
		case 'd': o->overrun = SGRING_OVERRUN_DROP; break;
		case 'w': o->wake_slots = (uint32_t)number(optarg, "wake-slots", UINT32_MAX); break;
		case 'W': o->wake_usec = (uint32_t)number(optarg, "wake-usec", UINT32_MAX); break;
		case 'P': o->sq_poll_usec = (uint32_t)number(optarg, "sq-poll-usec", UINT32_MAX); break;
		case 'I': o->sq_idle_usec = (uint32_t)number(optarg, "sq-idle-usec", UINT32_MAX); break;
		case 'x': o->waiting = SGRING_SPIN; break;
		case 'l': d->live = true; break;
		case 'j': d->json = true; break;
		case 'h': fputs(help, stdout); exit(0);
		default: exit(1);
		}
	}
	if (optind != argc - 2) {
		fputs(help, stderr);
		exit(1);
	}
	d->name = argv[optind];
	d->url = argv[optind + 1];
}

int main(int argc, char **argv)
{
	struct demo d = { .options.size = sizeof(d.options), .timeout_s = 10 };
	const struct sigaction action = { .sa_handler = on_signal };
	int err, closed;

	parse(&d, argc, argv);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	if (sgring_open(&d.stream, d.name, &d.options))
		return fail(), 1;
	/* Its receiver, recv, knows the pattern but no frames. */
	if (sgring_tx_open(&d.tx, d.stream, d.url, SGRING_TX_OPTIONS(.flags = SGRING_TX_RAW))) {
		fail();
		sgring_close(d.stream);
		return 1;
	}
	err = capture(&d);
	if (!err)
		err = finish(&d);
	closed = sgring_close(d.stream);
	if (!err && closed < 0)
		err = fail();
	return err < 0 ? 1 : err ? 2 : 0;
}

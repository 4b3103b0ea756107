/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): from a stream to its senders, for "send" and "record"
 *
 * The command fills in struct capture from its options and calls capture_run(),
 * which opens everything, runs until something ends it, and prints the summary.
 */
#ifndef SGRING_CAPTURE_H
#define SGRING_CAPTURE_H

#include <getopt.h>

#include "progress.h"
#include "tool.h"

#define CAPTURE_SENDERS 16

/**
 * struct capture_sender - where the slots go
 * @url: as sgring_tx_open() has it
 * @options: to open it with
 * @tx: while it is open
 * @failed: it is given nothing more
 * @method, @choice, @stats: for the summary, when it is closed
 */
struct capture_sender {
	const char *url;
	struct sgring_tx_options options;
	struct sgring_tx *tx;
	bool failed;
	int method;
	char choice[256];
	struct sgring_tx_stats stats;
};

/**
 * struct capture - one run
 * @name: of the stream
 * @options: to open it with
 * @flags: SGRING_TX_RAW, SGRING_TX_SQPOLL for every sender
 * @method: for every sender
 * @batch_slots: for every sender
 * @size_bytes: end after so much data, exactly; 0: no limit
 * @time_ns: end after so long; 0: no limit
 * @rt_priority: SCHED_FIFO; 0: leave it
 * @cpu: run there only; -1: anywhere
 * @json, @quiet: how to tell
 * @senders, @sender_count: where to
 * @done: "sent", "recorded"
 * @more: adds to the line of progress; may be NULL
 * @finished: every sender is closed: what else there is to do; false: it failed; may
 *	be NULL
 * @context: of the command, for these two
 * @stream: the stream
 * @progress: how it is told
 * @start_ns, @end_ns: when it ran
 * @bytes, @slots: given to the senders
 * @lost_bytes, @gaps: known to be missing among them
 * @failed_slots: slots the engine failed in
 * @end_position, @end_sequence: behind the last of them
 * @end: the end-of-stream entry to send
 * @stats, @counters: of the driver and the library, at the end
 * @told: losses told since @told_ns; @untold, @untold_bytes: not told one by one
 * @enough: @size_bytes are there
 * @failed: it did not work
 */
struct capture {
	const char *name;
	struct sgring_options options;
	uint32_t flags;
	uint32_t method;
	uint32_t batch_slots;
	uint64_t size_bytes;
	uint64_t time_ns;
	unsigned int rt_priority;
	int cpu;
	bool json;
	bool quiet;
	struct capture_sender senders[CAPTURE_SENDERS];
	unsigned int sender_count;
	const char *done;
	void (*more)(struct capture *c, char *text, size_t room);
	bool (*finished)(struct capture *c);
	void *context;

	struct sgring *stream;
	struct progress progress;
	uint64_t start_ns;
	uint64_t end_ns;
	uint64_t bytes;
	uint64_t slots;
	uint64_t lost_bytes;
	uint64_t gaps;
	uint64_t failed_slots;
	uint64_t end_position;
	uint64_t end_sequence;
	struct sgring_slot end;
	struct sgring_stats stats;
	struct sgring_counters counters;
	uint64_t told_ns;
	unsigned int told;
	uint64_t untold;
	uint64_t untold_bytes;
	bool enough;
	bool failed;
};

#define CAPTURE(what) { \
	.options.size = sizeof(struct sgring_options), .cpu = -1, .done = what, \
}

/* The options both commands have: getopt's table, their help, what each does. */
enum {
	CAPTURE_OPTION = 256, OPT_SIZE = CAPTURE_OPTION, OPT_TIME, OPT_RAW, OPT_METHOD, OPT_SQPOLL,
	OPT_BATCH, OPT_SLOT_BYTES, OPT_SLOTS, OPT_QUEUE_DEPTH, OPT_OVERRUN, OPT_WAKE_SLOTS, OPT_RT,
	OPT_CPU, OPT_COMMAND,	/* from here on the command's own */
};

#define CAPTURE_LONGS \
	{ "size", required_argument, NULL, OPT_SIZE }, \
	{ "time", required_argument, NULL, OPT_TIME }, \
	{ "raw", no_argument, NULL, OPT_RAW }, \
	{ "method", required_argument, NULL, OPT_METHOD }, \
	{ "sqpoll", no_argument, NULL, OPT_SQPOLL }, \
	{ "batch", required_argument, NULL, OPT_BATCH }, \
	{ "slot-bytes", required_argument, NULL, OPT_SLOT_BYTES }, \
	{ "slots", required_argument, NULL, OPT_SLOTS }, \
	{ "queue-depth", required_argument, NULL, OPT_QUEUE_DEPTH }, \
	{ "overrun", required_argument, NULL, OPT_OVERRUN }, \
	{ "wake-slots", required_argument, NULL, OPT_WAKE_SLOTS }, \
	{ "rt", required_argument, NULL, OPT_RT }, \
	{ "cpu", required_argument, NULL, OPT_CPU }, \
	{ "json", no_argument, NULL, 'j' }, \
	{ "quiet", no_argument, NULL, 'q' }, \
	{ "help", no_argument, NULL, 'h' }, \
	{ 0 }

#define CAPTURE_HELP_LIMITS \
	"When it ends (also: Ctrl-C, in order; a second one gives up at once):\n" \
	"      --size SIZE        after exactly so much data: 100G, 64MiB, 2.5TB\n" \
	"      --time TIME        after so long: 90s, 10m, 1h30m\n"

#define CAPTURE_HELP_SETUP \
	"The stream; not given, the driver chooses (sgring info shows the limits):\n" \
	"      --slot-bytes SIZE  size of a slot\n" \
	"      --slots N          how many; more ride out longer pauses of the receiver\n" \
	"      --queue-depth N    slots the engine has at a time\n" \
	"      --overrun WHAT     no slot is free: stall the engine (the default), or drop\n" \
	"                         what comes; either way it is counted\n" \
	"      --wake-slots N     wake up once for so many slots\n" \
	"\n" \
	"This program:\n" \
	"      --rt PRIORITY      real time (SCHED_FIFO), 1 to 99, memory locked\n" \
	"      --cpu N            on this processor only\n"

#define CAPTURE_HELP_REST \
	"  -j, --json             the summary as JSON\n" \
	"  -q, --quiet            no progress: losses, errors and the summary only\n" \
	"  -h, --help             this text\n" \
	"\n" \
	"Sizes: K, M, G, T (KiB, MiB, ...) are powers of 1024; kB, MB, GB, TB of 1000.\n" \
	"Exit: 0 all is there; 2 data was lost, and it is told where; 1 it did not work.\n"

/* False: not one of them. */
bool capture_option(struct capture *c, int option, const char *value);

/* One more sender; its options are to be filled in. NULL: too many, which is said. */
struct capture_sender *capture_add(struct capture *c, const char *url);

/* All of it; the exit code. */
int capture_run(struct capture *c);

/* summary.c: the command's own end, the summary; the exit code. */
int capture_summary(struct capture *c);

/* Names of enum sgring_tx_method. */
const char *method_word(int method);

#endif /* SGRING_CAPTURE_H */

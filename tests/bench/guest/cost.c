/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * cost: counts what it takes to exchange a slot; in the guest, under tests/vm/run --count
 *
 *   cost [--quick] [--only WAY]...
 *
 * Prints one JSON object a line, as part-driver does; see there for what is counted.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cost.h"

static const struct cost_way *const ways[] = {
	&cost_sgring, &cost_v4l2, &cost_ioctl2, &cost_seed,
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))
#define DEBUGFS "/sys/kernel/debug/bench-engine/"

/* Of two neighbouring reads of the TSC. */
static uint64_t read_ticks;

struct totals {
	uint64_t callbacks;
	uint64_t callback_ticks;
	uint64_t inside_calls;
	uint64_t inside_ticks;
	uint64_t outside_calls;
	uint64_t outside_ticks;
	uint64_t tasklet_ticks;
	uint64_t timer_ticks;
	uint64_t dry;
	uint64_t bytes;
};

struct channel {
	int step;
	int hold;
	int totals;
	void *stream;
};

void cost_die(const char *format, ...)
{
	va_list args;

	fprintf(stderr, "cost: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

/* ---- the engine's knobs ------------------------------------------------ */

static int knob_open(const char *client, uint32_t n, const char *knob)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), DEBUGFS "%s.%u/%s", client, n, knob);
	fd = open(path, strcmp(knob, "step") ? O_RDWR : O_WRONLY);
	if (fd < 0)
		cost_die("%s: %m", path);
	return fd;
}

static void knob_set(int fd, uint32_t value)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", value);

	if (write(fd, text, n) != n)
		cost_die("the engine does not take %u: %m", value);
}

static void totals_add(int fd, struct totals *t)
{
	static const char *const names[] = {
		"callbacks", "callback_ticks", "inside_calls", "inside_ticks", "outside_calls",
		"outside_ticks", "tasklet_ticks", "timer_ticks", "dry", "bytes",
	};
	uint64_t *values = (uint64_t *)t, value;
	char text[1024], name[32], *at = text;
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	unsigned int i;
	int used;

	if (n < 0)
		cost_die("the engine's totals: %m");
	text[n] = 0;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++, at += used) {
		if (sscanf(at, "%31s %lu\n%n", name, &value, &used) != 2 || strcmp(name, names[i]))
			cost_die("the engine's totals have no %s", names[i]);
		values[i] += value;
	}
}

/* ---- measuring --------------------------------------------------------- */

/* Is a tick an instruction? A loop of two has the answer. */
static void check_ticks(void)
{
	uint64_t start, ticks;
	unsigned int i;
	long n = 1000000;

	read_ticks = UINT64_MAX;
	for (i = 0; i < 100; i++) {
		start = cost_ticks();
		ticks = cost_ticks() - start;
		if (ticks < read_ticks)
			read_ticks = ticks;
	}
	start = cost_ticks();
	__asm__ __volatile__("1: dec %0; jnz 1b" : "+r"(n));
	ticks = cost_ticks() - start;
	fprintf(stderr, "cost: 2000000 instructions are %lu ticks, reading the TSC is %lu\n",
		ticks, read_ticks);
	if (ticks < 2000000 || ticks > 2100000)
		cost_die("a tick is not an instruction: run it under tests/vm/run --count");
}

static void measure(const struct cost_way *way, const struct cost_case *c, uint32_t run)
{
	struct channel channels[BENCH_STREAMS];
	uint32_t per_stream = c->slots > 512 ? c->slots : 512, slots, done, i;
	uint64_t application = 0, start;
	struct totals t = {};

	for (i = 0; i < c->streams; i++) {
		channels[i].step = knob_open(way->client, i, "step");
		channels[i].hold = knob_open(way->client, i, "hold");
		channels[i].totals = knob_open(way->client, i, "totals");
		knob_set(channels[i].hold, 1);
		channels[i].stream = way->open(i, c);
	}
	/* Twice: what is done for the first time is done in the first. */
	per_stream -= per_stream % c->batch;
	for (uint32_t measured = 0; measured < 2; measured++) {
		application = 0;
		for (i = 0; i < c->streams; i++)
			knob_set(channels[i].totals, 0);
		for (done = 0; done < per_stream; done += c->batch) {
			for (i = 0; i < c->streams; i++)
				knob_set(channels[i].step, c->batch);
			for (i = 0; i < c->streams; i++) {
				start = cost_ticks();
				way->exchange(channels[i].stream, c->batch);
				application += cost_ticks() - start - read_ticks;
			}
		}
	}
	for (i = 0; i < c->streams; i++) {
		totals_add(channels[i].totals, &t);
		way->close(channels[i].stream);
		knob_set(channels[i].hold, 0);
		close(channels[i].step);
		close(channels[i].hold);
		close(channels[i].totals);
	}
	slots = per_stream * c->streams;
	if (t.callbacks != slots)
		cost_die("%s: %lu callbacks for %u slots", way->name, t.callbacks, slots);
	application -= t.outside_ticks;
	printf("{\"part\":\"driver\",\"case\":{\"way\":\"%s\",\"slot_bytes\":%lu,\"chunks\":%u,\"slots\":%u,\"streams\":%u,\"batch\":%u,\"gate\":\"%s\"},\"run\":%u,\"metrics\":{",
	       way->name, c->slot_bytes, c->chunks, c->slots, c->streams, c->batch,
	       c->gate ? "on" : "off", run);
	printf("\"instructions_per_slot\":%.1f,\"callback_instructions\":%.1f,\"application_instructions\":%.1f,\"engine_instructions\":%.1f}}\n",
	       (double)(t.callback_ticks + application) / slots, (double)t.callback_ticks / slots,
	       (double)application / slots,     (double)(t.inside_ticks + t.outside_ticks) / slots);
	fflush(stdout);
}

static const struct cost_case base = {
	.slot_bytes = 65536, .chunks = 1, .slots = 32, .streams = 1, .batch = 1, .gate = true,
};

/* The same case with another value in a field. */
#define WITH(field, value) \
	({ struct cost_case c = base; c.field = (value); c; })

static uint32_t cases_make(struct cost_case *cases, bool quick)
{
	uint32_t n = 0;

	(void)quick;
	cases[n++] = base;
	cases[n++] = WITH(batch, 16);
	cases[n++] = WITH(gate, false);
	cases[n++] = WITH(slot_bytes, 1048576);
	cases[n++] = WITH(streams, 4);
	return n;
}

static bool wanted(const struct cost_way *way, char **only)
{
	bool any = false;

	for (; *only; only++) {
		if (!strcmp(*only, way->name))
			return true;
		any = true;
	}
	return !any;
}

static bool can(const struct cost_way *way, const struct cost_case *c)
{
	return c->slots <= way->slots_max && (c->batch == 1 || way->batches) &&
	       (c->chunks <= way->chunks_max && (c->chunks || way->chunks_max > 16)) &&
	       (c->gate || way->gates);
}

int main(int argc, char **argv)
{
	struct cost_case cases[64];
	char *only[64] = {};
	uint32_t n_only = 0, n, run, way, i;
	bool quick = false;

	for (i = 1; i < (uint32_t)argc; i++) {
		if (!strcmp(argv[i], "--quick"))
			quick = true;
		else if (!strcmp(argv[i], "--only") && i + 1 < (uint32_t)argc && n_only < 63)
			only[n_only++] = argv[++i];
		else
			cost_die("usage: cost [--quick] [--only WAY]...");
	}
	check_ticks();
	n = cases_make(cases, quick);
	for (run = 1; run <= (quick ? 1 : 3); run++)
		for (i = 0; i < n; i++)
			for (way = 0; way < WAYS; way++)
				if (wanted(ways[way], only) && can(ways[way], &cases[i]))
					measure(ways[way], &cases[i], run);
	return 0;
}

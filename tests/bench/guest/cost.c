/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * cost: counts what it takes to exchange a slot; in the guest, under tests/vm/run --count
 *
 *   cost [--quick] [--only WAY]... [--symbols FILE]
 *
 * --symbols: copies the kernel's symbols to FILE first.
 *
 * Prints one JSON object a line, as part-driver does; see there for what is counted, and
 * bench-engine.c for the engine. Two ways of counting:
 *
 * ready: the program ends a batch of transfers (the engine's knob "step"), then exchanges them,
 *   so that nobody ever waits. The callbacks are counted by the engine, the exchange between two
 *   reads of the TSC here.
 *
 * sleep: transfers end at a pace, and the program sleeps until there is a slot, as each way has
 *   it. Counted is all the CPU executes but for what a child does, which has the CPU whenever
 *   nobody else wants it (SCHED_IDLE) and reads the TSC all the time. Taken off is what the CPU
 *   executes at the same pace for bench-null, whose slots nobody exchanges: the interrupts.
 *
 * busy: the engine is faster than the program, which works on each slot for as long as sleep's
 *   pace is, and so never sleeps for long. Counted like sleep, less the work.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cost.h"

#define DEBUGFS		"/sys/kernel/debug/bench-engine/"
#define NULL_RUN	"/sys/module/bench_null/parameters/run"
#define PERIOD_NS	20000	/* sleep: from transfer to transfer; streams take turns */
#define FAST_NS		5000	/* busy: the same */
#define WORK		20000	/* busy: on each slot, instructions */
#define PACED_SLOTS	800	/* sleep, busy: to be measured; whole ticks of the kernel's clock */
#define IDLE_TICKS	100	/* two reads of the child so close have nothing between them */

static const struct cost_way *const ways[] = {
	&cost_sgring, &cost_sgring_no_gate, &cost_v4l2, &cost_ioctl2, &cost_seed,
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

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

/* A channel of the engine, and the stream over it. */
struct channel {
	const char *client;
	uint32_t n;
	void *stream;
};

/* What a measurement has come to; ticks in all. */
struct result {
	int64_t slots;
	int64_t callback;
	int64_t application;
	int64_t engine;
	int64_t background;
	int64_t calls;
	int64_t timer_runs;
	int64_t sleeps;
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

static void write_number(const char *path, uint64_t value)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%lu", value), fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, n) != n)
		cost_die("%s does not take %lu: %m", path, value);
	close(fd);
}

static void knob(const struct channel *c, const char *name, uint64_t value)
{
	char path[128];

	snprintf(path, sizeof(path), DEBUGFS "%s.%u/%s", c->client, c->n, name);
	write_number(path, value);
}

static void totals_add(const struct channel *c, struct totals *t)
{
	static const char *const names[] = {
		"callbacks", "callback_ticks", "inside_calls", "inside_ticks", "outside_calls",
		"outside_ticks", "tasklet_ticks", "timer_ticks", "dry", "bytes",
	};
	uint64_t *values = (uint64_t *)t, value;
	char path[128], name[32];
	unsigned int i;
	FILE *f;

	snprintf(path, sizeof(path), DEBUGFS "%s.%u/totals", c->client, c->n);
	f = fopen(path, "r");
	for (i = 0; f && i < sizeof(names) / sizeof(names[0]); i++) {
		if (fscanf(f, "%31s %lu", name, &value) != 2 || strcmp(name, names[i]))
			cost_die("%s: no %s", path, names[i]);
		values[i] += value;
	}
	if (!f)
		cost_die("%s: %m", path);
	fclose(f);
}

/* ---- ready ------------------------------------------------------------- */

/* Is a tick an instruction? A loop of two has the answer. */
static void check_ticks(void)
{
	uint64_t least = UINT64_MAX, start, ticks;
	int i;

	read_ticks = UINT64_MAX;
	for (i = 0; i < 100; i++) {
		long n = 10000;

		start = cost_ticks();
		ticks = cost_ticks() - start;
		read_ticks = ticks < read_ticks ? ticks : read_ticks;
		start = cost_ticks();
		__asm__ __volatile__("1: dec %0; jnz 1b" : "+r"(n));
		ticks = cost_ticks() - start;
		least = ticks < least ? ticks : least;
	}
	fprintf(stderr, "cost: 20000 instructions are %lu ticks, reading the TSC is %lu\n",
		least, read_ticks);
	if (least < 20000 || least > 20100)
		cost_die("a tick is not an instruction: run it under tests/vm/run --count");
}

/* Streams take turns; @period_ns is the time from turn to turn, 0: they are stepped. */
static void pace(const struct channel *c, uint64_t period_ns, uint32_t streams)
{
	knob(c, "period_ns", period_ns * streams);
	knob(c, "phase_ns", period_ns * c->n);
}

static void open_all(struct channel *channels, const struct cost_way *way,
		     const struct cost_case *c, uint64_t period_ns)
{
	uint32_t i;

	write_number(DEBUGFS "hold", 1);
	for (i = 0; i < c->streams; i++) {
		channels[i] = (struct channel){ .client = way->client, .n = i };
		pace(&channels[i], period_ns, c->streams);
		channels[i].stream = way->open(i, c);
	}
}

static void close_all(struct channel *channels, const struct cost_way *way,
		      const struct cost_case *c)
{
	uint32_t i;

	for (i = 0; i < c->streams; i++)
		way->close(channels[i].stream);
}

static struct totals totals_of(struct channel *channels, const struct cost_case *c)
{
	struct totals t = {};
	uint32_t i;

	for (i = 0; i < c->streams; i++)
		totals_add(&channels[i], &t);
	return t;
}

/* What the system and the ways count themselves: @sign times all up to now. */
static void counts_add(struct result *r, int sign, const struct channel *channels,
		       const struct cost_way *way, const struct cost_case *c)
{
	struct rusage u;
	uint32_t i;

	getrusage(RUSAGE_SELF, &u);
	r->sleeps += sign * u.ru_nvcsw;
	for (i = 0; i < c->streams; i++) {
		r->calls += sign * way->calls(channels[i].stream);
		if (way->timer_runs)
			r->timer_runs += sign * way->timer_runs(channels[i].stream);
	}
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* The sum, as if the clock, or a kernel thread, had never come between. */
static uint64_t undisturbed(uint64_t *ticks, uint32_t count)
{
	uint64_t sum = 0;
	uint32_t i;

	qsort(ticks, count, sizeof(*ticks), compare);
	for (i = 0; i < count && ticks[i] < 2 * ticks[count / 2]; i++)
		sum += ticks[i];
	return sum * count / i;
}

static struct result ready(const struct cost_way *way, const struct cost_case *c)
{
	/* What is done for the first time is done in the first round of all slots. */
	uint32_t rounds = (c->slots > 512 ? c->slots : 512) / c->batch, round, i;
	struct channel channels[BENCH_STREAMS];
	uint64_t *exchanges = calloc(rounds * c->streams, sizeof(*exchanges)), start;
	struct result r = {};
	uint32_t n = 0;
	struct totals t;

	if (!exchanges)
		cost_die("no memory");
	open_all(channels, way, c, 0);
	for (round = 0; round < 2 * rounds; round++) {
		if (round == rounds) {
			for (i = 0; i < c->streams; i++)
				knob(&channels[i], "totals", 0);
			counts_add(&r, -1, channels, way, c);
			n = 0;
			BENCH_MARK(BENCH_BEGIN, BENCH_OTHER);
		}
		for (i = 0; i < c->streams; i++)
			knob(&channels[i], "step", c->batch);
		for (i = 0; i < c->streams; i++) {
			BENCH_MARK(BENCH_ENTER, BENCH_APPLICATION);
			start = cost_ticks();
			way->exchange(channels[i].stream, c->batch);
			exchanges[n++] = cost_ticks() - start - read_ticks;
			BENCH_MARK(BENCH_LEAVE, BENCH_APPLICATION);
		}
	}
	BENCH_MARK(BENCH_END, BENCH_OTHER);
	t = totals_of(channels, c);
	counts_add(&r, 1, channels, way, c);
	r.slots = (int64_t)rounds * c->batch * c->streams;
	r.callback = t.callback_ticks;
	r.engine = t.inside_ticks + t.outside_ticks;
	r.application = undisturbed(exchanges, n) - t.outside_ticks;
	if (t.callbacks != (uint64_t)r.slots)
		cost_die("%s: %lu callbacks for %ld slots", way->name, t.callbacks, r.slots);
	close_all(channels, way, c);
	free(exchanges);
	return r;
}

/* ---- sleep, busy ------------------------------------------------------- */

/* The child that has the CPU when nobody else wants it; its sum of ticks that were its own. */
static volatile uint64_t *idle_ticks;
static pid_t idle_child;

/* Known by its name to tests/bench/profile/show, as work() is. */
static __attribute__((noinline, noreturn)) void idle(void)
{
	uint64_t last, now;

	for (last = cost_ticks();; last = now) {
		now = cost_ticks();
		if (now - last < IDLE_TICKS)
			*idle_ticks += now - last;
	}
}

static void idle_begin(void)
{
	const struct sched_param param = {};

	if (!idle_ticks)
		idle_ticks = mmap(NULL, sizeof(*idle_ticks), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (idle_ticks == MAP_FAILED)
		cost_die("mmap: %m");
	idle_child = fork();
	if (idle_child < 0)
		cost_die("fork: %m");
	if (idle_child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sched_setscheduler(0, SCHED_IDLE, &param))
		cost_die("SCHED_IDLE: %m");
	idle();
}

static void idle_end(void)
{
	kill(idle_child, SIGKILL);
	waitpid(idle_child, NULL, 0);
}

/* Transfers begin to end; that of stream 0 is the first, so that no stream lags behind. */
static void release(uint32_t streams)
{
	const uint64_t turn = (uint64_t)PERIOD_NS * streams;
	struct timespec t;

	do
		clock_gettime(CLOCK_MONOTONIC, &t);
	while ((t.tv_sec * 1000000000 + t.tv_nsec) % turn < turn - PERIOD_NS ||
	       (t.tv_sec * 1000000000 + t.tv_nsec) % PERIOD_NS > PERIOD_NS / 10);
	write_number(DEBUGFS "hold", 0);
}

static int64_t engine_of(const struct totals *t)
{
	return t->inside_ticks + t->outside_ticks + t->tasklet_ticks + t->timer_ticks;
}

/* What the CPU executes for each interrupt of bench-null: the middle of some measurements. */
static double background(uint32_t streams)
{
	const struct timespec begin = { .tv_nsec = 1000000 },
			      pause = { .tv_nsec = PACED_SLOTS * PERIOD_NS };
	int64_t start, before_idle, busy, per_irq[5];
	struct channel channels[BENCH_STREAMS];
	struct cost_case c = { .streams = streams };
	struct totals t;
	uint32_t i, n;

	for (i = 0; i < streams; i++) {
		channels[i] = (struct channel){ .client = "bench-null", .n = i };
		pace(&channels[i], PERIOD_NS, streams);
	}
	write_number(DEBUGFS "hold", 0);
	idle_begin();
	write_number(NULL_RUN, streams);
	nanosleep(&begin, NULL);
	for (n = 0; n < sizeof(per_irq) / sizeof(per_irq[0]); n++) {
		for (i = 0; i < streams; i++)
			knob(&channels[i], "totals", 0);
		before_idle = *idle_ticks;
		start = cost_ticks();
		nanosleep(&pause, NULL);
		busy = cost_ticks() - start - (*idle_ticks - before_idle);
		t = totals_of(channels, &c);
		busy -= engine_of(&t) + t.callback_ticks;
		per_irq[n] = busy / (int64_t)t.callbacks;
	}
	write_number(NULL_RUN, 0);
	idle_end();
	qsort(per_irq, n, sizeof(per_irq[0]), compare);
	return per_irq[n / 2];
}

static __attribute__((noinline)) void work(uint64_t instructions)
{
	uint64_t n = instructions / 2;

	__asm__ __volatile__("1: dec %0; jnz 1b" : "+r"(n));
}

static struct result paced(const struct cost_way *way, const struct cost_case *c,
			   uint64_t work_ticks, double background_ticks)
{
	uint32_t rounds = PACED_SLOTS / c->streams / c->batch, warm = rounds / 2, round, i;
	struct channel channels[BENCH_STREAMS];
	uint64_t start = 0, before_idle = 0, busy;
	struct totals before = {}, t;
	struct result r = {};

	open_all(channels, way, c, work_ticks ? FAST_NS : PERIOD_NS);
	idle_begin();
	release(c->streams);
	for (round = 0; round < warm + rounds; round++) {
		if (round == warm) {
			before = totals_of(channels, c);
			counts_add(&r, -1, channels, way, c);
			before_idle = *idle_ticks;
			BENCH_MARK(BENCH_BEGIN, BENCH_OTHER);
			start = cost_ticks();
		}
		for (i = 0; i < c->streams; i++) {
			way->exchange(channels[i].stream, c->batch);
			if (work_ticks)
				work(work_ticks * c->batch);
		}
	}
	busy = cost_ticks() - start - (*idle_ticks - before_idle);
	BENCH_MARK(BENCH_END, BENCH_OTHER);
	t = totals_of(channels, c);
	counts_add(&r, 1, channels, way, c);
	r.slots = (int64_t)rounds * c->batch * c->streams;
	r.callback = t.callback_ticks - before.callback_ticks;
	r.engine = engine_of(&t) - engine_of(&before);
	r.background = background_ticks * (int64_t)(t.callbacks - before.callbacks);
	r.application = busy - r.callback - r.engine - r.background - work_ticks * r.slots;
	close_all(channels, way, c);
	idle_end();
	return r;
}

/* ---- the cases --------------------------------------------------------- */

static void print(const struct cost_way *way, const struct cost_case *c, const char *wait,
		  uint32_t run, const struct result *r)
{
	double slots = r->slots;

	printf("{\"part\":\"driver\",\"case\":{\"way\":\"%s\",\"slot_bytes\":%lu,\"chunks\":",
	       way->name, c->slot_bytes);
	printf(c->chunks ? "%u" : "\"mixed\"", c->chunks);
	printf(",\"slots\":%u,\"streams\":%u,\"batch\":%u,\"wait\":\"%s\"},",
	       c->slots, c->streams, c->batch, wait);
	printf("\"run\":%u,\"metrics\":{\"instructions_per_slot\":%.1f,", run,
	       (r->callback + r->application) / slots);
	printf("\"callback_instructions\":%.1f,\"application_instructions\":%.1f,",
	       r->callback / slots, r->application / slots);
	printf("\"engine_instructions\":%.1f,\"background_instructions\":%.1f,",
	       r->engine / slots, r->background / slots);
	printf("\"calls_per_slot\":%.4f,\"sleeps_per_slot\":%.4f,\"timer_runs_per_slot\":%.4f,",
	       r->calls / slots, r->sleeps / slots, r->timer_runs / slots);
	printf("\"measured_slots\":%.0f}}\n", slots);
	fflush(stdout);
}

struct planned {
	struct cost_case c;
	bool paced;		/* sleep and busy, too */
};

static const struct cost_case base = {
	.slot_bytes = 65536, .chunks = 1, .slots = 32, .streams = 1, .batch = 1,
};

/* The same case with another value in a field. */
#define WITH(field, value) \
	({ struct cost_case c = base; c.field = (value); c; })

static uint32_t cases_make(struct planned *cases, bool quick)
{
	static const uint32_t kib[] = { 4, 16, 256, 1024, 4096 }, chunks[] = { 2, 4, 8, 16, 0 },
			      slots[] = { 4, 16, 128, 1024 }, streams[] = { 2, 4, 8 };
	uint32_t n = 0, i;

	cases[n++] = (struct planned){ base, true };
	cases[n++] = (struct planned){ WITH(batch, 16), true };
	for (i = quick ? 3 : 0; i < (quick ? 4 : 5); i++)
		cases[n++] = (struct planned){ WITH(slot_bytes, kib[i] << 10), i % 3 == 0 };
	for (i = quick ? 4 : 0; i < 5; i++)
		cases[n++] = (struct planned){ WITH(chunks, chunks[i]), false };
	for (i = quick ? 2 : 0; i < (quick ? 3 : 4); i++)
		cases[n++] = (struct planned){ WITH(slots, slots[i]), true };
	for (i = quick ? 1 : 0; i < (quick ? 2 : 3); i++)
		cases[n++] = (struct planned){ WITH(streams, streams[i]), true };
	return n;
}

static void copy_symbols(const char *path)
{
	FILE *from = fopen("/proc/kallsyms", "r"), *to = fopen(path, "w");
	char line[1024];

	if (!from || !to)
		cost_die("no symbols to %s: %m", path);
	while (fgets(line, sizeof(line), from))
		if (fputs(line, to) < 0)
			cost_die("%s: %m", path);
	fclose(from);
	if (fclose(to))
		cost_die("%s: %m", path);
	sync();
}

static bool can(const struct cost_way *way, const struct cost_case *c)
{
	return c->slots <= way->slots_max && (c->batch == 1 || way->batches) &&
	       (c->chunks ? c->chunks : UINT32_MAX) <= way->chunks_max;
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

/* The ways take turns. */
static void measure(const struct planned *planned, char **only, uint32_t run)
{
	const struct cost_case *c = &planned->c;
	double background_ticks = planned->paced ? background(c->streams) : 0;
	struct result r;
	uint32_t i;

	for (i = 0; i < WAYS; i++) {
		const struct cost_way *way = ways[i];

		if (!wanted(way, only) || !can(way, c))
			continue;
		r = ready(way, c);
		print(way, c, "ready", run, &r);
		if (!planned->paced)
			continue;
		r = paced(way, c, 0, background_ticks);
		print(way, c, "sleep", run, &r);
		r = paced(way, c, WORK, background_ticks);
		print(way, c, "busy", run, &r);
	}
}

int main(int argc, char **argv)
{
	struct planned cases[64];
	uint32_t n, run, i;
	bool quick = false;
	char **only = calloc(argc, sizeof(*only));
	int n_only = 0, a;

	for (a = 1; a < argc; a++) {
		if (!strcmp(argv[a], "--quick"))
			quick = true;
		else if (!strcmp(argv[a], "--only") && a + 1 < argc)
			only[n_only++] = argv[++a];
		else if (!strcmp(argv[a], "--symbols") && a + 1 < argc)
			copy_symbols(argv[++a]);
		else
			cost_die("usage: cost [--quick] [--only WAY]... [--symbols FILE]");
	}
	check_ticks();
	n = cases_make(cases, quick);
	for (run = 1; run <= (quick ? 1 : 3); run++)
		for (i = 0; i < n; i++)
			measure(&cases[i], only, run);
	free(only);
	return 0;
}

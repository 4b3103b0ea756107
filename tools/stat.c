/* SPDX-License-Identifier: MIT */
/* sgring stat: what a stream does, a line per interval. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tool.h"

static const char help[] =
	"usage: sgring stat [-j] NAME [SECONDS [COUNT]]\n"
	"A line every SECONDS (default 1), COUNT times (default: until interrupted or\n"
	"the stream's owner is gone). NAME is a label, sgringN or a path.\n"
	"\n"
	"  MB/s slots/s   delivered\n"
	"  free eng app gate\n"
	"                 slots waiting, with the engine, with the application, at the gate\n"
	"                 (returned, but somebody still reads their pages)\n"
	"  stall% stalls  time without a slot for the engine; how often it began\n"
	"  drop lost      dropped transfers; bytes the device says it lost\n"
	"  err            transfers that failed\n"
	"  kick poll wake timer   per second\n"
	"\n"
	"  -j, --json  a JSON object per line\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit: 0; 2 nobody has set up the stream; 1 it did not work.\n";

struct sample {
	struct sgring_stats st;
	uint64_t at_ns;
};

static int take(struct sgring *s, struct sample *p)
{
	int err = sgring_stats(s, &p->st);

	p->at_ns = now_ns();
	/* The figures of a set-up outlive it. */
	return err ? err : p->st.state == SGRING_STATE_IDLE ? -EBADFD : 0;
}

static void print_line(const struct sample *now, const struct sample *then, bool header)
{
	const struct sgring_stats *a = &then->st, *b = &now->st;
	double s = (double)(now->at_ns - then->at_ns) / 1e9;

	if (header)
		printf("%8s %8s %5s %4s %5s %5s %6s %6s %6s %9s %4s %6s %6s %6s %6s  %s\n", "MB/s",
		       "slots/s", "free", "eng", "app", "gate", "stall%", "stalls", "drop", "lost", "err",
		       "kick", "poll", "wake", "timer", "state");
	printf("%8.1f %8.0f %5u %4u %5u %5u %6.1f %6" PRIu64 " %6" PRIu64 " %9" PRIu64 " %4" PRIu64
	       " %6.0f %6.0f %6.0f %6.0f  %s\n",
	       (double)(b->bytes_done - a->bytes_done) / 1e6 / s,
	       (double)(b->slots_done - a->slots_done) / s, b->slots_free, b->slots_engine,
	       b->slots_app, b->slots_gated, (double)(b->stalled_ns - a->stalled_ns) / 1e7 / s,
	       (uint64_t)(b->stalls - a->stalls), (uint64_t)(b->dropped_slots - a->dropped_slots),
	       (uint64_t)(b->lost_bytes - a->lost_bytes),
	       (uint64_t)(b->engine_errors - a->engine_errors), (double)(b->kicks - a->kicks) / s,
	       (double)(b->polls - a->polls) / s, (double)(b->wakeups - a->wakeups) / s,
	       (double)(b->timer_runs - a->timer_runs) / s, state_word(b->state));
	fflush(stdout);
}

static void print_json(const struct sample *now, const struct sample *then)
{
	json_open(NULL, '{');
	json_figures(&now->st, &then->st, (double)(now->at_ns - then->at_ns) / 1e9);
	json_close('}');
	json_end();
}

static int watch(struct sgring *s, double interval, uint64_t count, bool json)
{
	const struct timespec pause = {
		.tv_sec = (time_t)interval,
		.tv_nsec = (long)((interval - (double)(time_t)interval) * 1e9),
	};
	struct sample now, then;
	uint64_t i;

	if (take(s, &then)) {
		fprintf(stderr, "sgring: nobody has set up this stream\n");
		return EXIT_NOTHING;
	}
	for (i = 0; (!count || i < count) && !interrupts; i++) {
		nanosleep(&pause, NULL);
		if (interrupts)
			break;
		/* The owner closed it, or the device went: what there was has been told. */
		if (take(s, &now))
			break;
		/* A new owner counts from zero. */
		if (now.st.slots_done < then.st.slots_done || now.st.epoch < then.st.epoch)
			then.st = (struct sgring_stats){ 0 };
		if (json)
			print_json(&now, &then);
		else
			print_line(&now, &then, !(i % 20));
		then = now;
		if (now.st.state == SGRING_STATE_DEAD) {
			fprintf(stderr, "sgring: the stream's device is gone\n");
			return EXIT_FAILED;
		}
	}
	return EXIT_OK;
}

int stat_main(int argc, char **argv)
{
	double interval = 1;
	uint64_t count = 0;
	struct arguments a;
	struct sgring *s;
	char *end;
	int err, code;

	if (!parse_arguments(&a, argc, argv, 1, 3, help))
		return EXIT_FAILED;
	if (a.count > 1) {
		interval = strtod(a.values[1], &end);
		if (*end || !(interval >= 0.01 && interval <= 86400)) {
			fprintf(stderr, "sgring: \"%s\" is not a number of seconds from 0.01 to 86400\n",
				a.values[1]);
			return EXIT_FAILED;
		}
	}
	if (a.count > 2) {
		count = strtoull(a.values[2], &end, 10);
		if (*end || !count || a.values[2][0] == '-') {
			fprintf(stderr, "sgring: \"%s\" is not a count\n", a.values[2]);
			return EXIT_FAILED;
		}
	}
	err = sgring_observe(&s, a.values[0]);
	if (err)
		return open_failed(a.values[0], err);
	catch_interrupts(NULL);
	code = watch(s, interval, count, a.json);
	sgring_close(s);
	return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring top: all streams, live, on a full screen; or one table for a script
 *
 * Each look opens a stream and closes it again, so that nothing is held: an owner may come and go,
 * and a module be unloaded.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "screen.h"
#include "tool.h"
#include "watch.h"

#define CLASS_DIR "/sys/class/sgring"
#define STREAMS_MAX 256U

static const char help[] =
	"usage: sgring top [OPTION...] [NAME...]\n"
	"What all streams do, or those named: rates, who has the slots, drops, stalls,\n"
	"over the last minute. NAME is a label, sgringN or a path.\n"
	"\n"
	"  -i, --interval TIME  between two looks, from 100ms to 60s (default 1s)\n"
	"      --once           one table after one interval, and the end\n"
	"  -j, --json           the same as JSON\n"
	"  -h, --help           this text\n"
	"\n"
	"Keys: q quit, up and down another stream, space pause, + and - interval, h help.\n"
	"\n"
	"Exit: 0; 2 there is no stream (--once: none that is set up); 1 it did not work.\n";

struct options {
	bool once, json;
	double interval;
	char **names;
	unsigned int count;
};

struct top {
	struct watch *list[STREAMS_MAX];
	unsigned int count;
	bool all;
};

static bool take_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "once", no_argument, NULL, 'o' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	uint64_t ns;
	int c;

	*o = (struct options){ .interval = 1 };
	while ((c = getopt_long(argc, argv, "i:jh", longs, NULL)) != -1) {
		switch (c) {
		case 'i':
			ns = duration_option("interval", optarg);
			if (ns < 100000000 || ns > 60000000000) {
				fprintf(stderr, "sgring: --interval: %s is not from 100ms to 60s\n", optarg);
				return false;
			}
			o->interval = (double)ns / 1e9;
			break;
		case 'o':
			o->once = true;
			break;
		case 'j':
			o->json = o->once = true;
			break;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_OK);
		default:
			return false;
		}
	}
	o->names = argv + optind;
	o->count = (unsigned int)(argc - optind);
	if (o->count <= STREAMS_MAX)
		return true;
	fprintf(stderr, "sgring: top: at most %u streams\n", STREAMS_MAX);
	return false;
}

/* ---- looking ---- */

static bool add_stream(struct top *t, const char *name)
{
	struct watch *w;
	unsigned int i;

	for (i = 0; i < t->count; i++)
		if (!strcmp(t->list[i]->name, name))
			return true;
	w = t->count < STREAMS_MAX ? malloc(sizeof(*w)) : NULL;
	if (!w)
		return false;
	watch_begin(w, name);
	/* sgring10 comes after sgring9. */
	for (i = t->count++; t->all && i; i--) {
		const char *before = t->list[i - 1]->name;

		if (strlen(before) != strlen(name) ? strlen(before) < strlen(name) : strcmp(before, name) < 0)
			break;
		t->list[i] = t->list[i - 1];
	}
	t->list[i] = w;
	return true;
}

/* Those that have come. */
static void find_streams(struct top *t)
{
	DIR *dir = t->all ? opendir(CLASS_DIR) : NULL;
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		if (!strncmp(d->d_name, "sgring", 6) && strlen(d->d_name) < WATCH_NAME)
			add_stream(t, d->d_name);
	if (dir)
		closedir(dir);
}

static void look_at(const char *name, struct watch_input *in)
{
	struct sgring_query q = { .label = "" };
	struct sgring *s;

	memset(in, 0, sizeof(*in));
	in->err = sgring_observe(&s, name);
	if (!in->err) {
		in->err = sgring_query(s, &q);
		if (!in->err && q.state != SGRING_STATE_IDLE)
			in->err = sgring_stats(s, &in->stats);
		in->state = q.state;
		memcpy(in->label, q.label, sizeof(in->label) - 1);
		sgring_close(s);
		/* Its owner has gone between the two. */
		if (in->err == -EBADFD) {
			in->err = 0;
			in->state = SGRING_STATE_IDLE;
		}
	}
	in->at_ns = now_ns();
}

static void look(struct top *t)
{
	struct watch_input in;
	unsigned int i;

	find_streams(t);
	for (i = 0; i < t->count; i++) {
		look_at(t->list[i]->name, &in);
		watch_add(t->list[i], &in);
	}
}

/* Those named have to be there at first. */
static int first_look(struct top *t, const struct options *o)
{
	struct sgring *s;
	unsigned int i;
	int err;

	t->all = !o->count;
	for (i = 0; i < o->count; i++) {
		err = strlen(o->names[i]) < WATCH_NAME ? sgring_observe(&s, o->names[i]) : -ENAMETOOLONG;
		if (err == -ENAMETOOLONG) {
			fprintf(stderr, "sgring: %s: no stream has so long a name\n", o->names[i]);
			return EXIT_FAILED;
		}
		if (err)
			return open_failed(o->names[i], err);
		sgring_close(s);
		if (!add_stream(t, o->names[i])) {
			fprintf(stderr, "sgring: no memory\n");
			return EXIT_FAILED;
		}
	}
	look(t);
	return EXIT_OK;
}

/* ---- one table ---- */

static void print_row(const struct watch *w)
{
	const struct watch_point *p = watch_last(w);

	if (!p) {
		printf("%-16s %-8s\n", watch_title(w), watch_word(w));
		return;
	}
	printf("%-16s %-8s %8.1f %8.0f %5u %4u %5u %5u %6.1f %6" PRIu64 " %6" PRIu64 " %9" PRIu64 " %4" PRIu64
	       " %6.0f %6.0f %6.0f %6.0f %6.0f", watch_title(w), watch_word(w),
	       (double)p->bytes / 1e6 / p->seconds, (double)p->done / p->seconds, p->free, p->engine,
	       p->app, p->gated, (double)p->stalled_ns / 1e7 / p->seconds, p->stalls, p->drops, p->lost,
	       p->errors, (double)p->gate_waits / p->seconds, (double)p->kicks / p->seconds,
	       (double)p->polls / p->seconds, (double)p->wakeups / p->seconds,
	       (double)p->timers / p->seconds);
	if (usec_below(p->usec, 50))
		printf(" %7s %7s\n", usec_words(usec_below(p->usec, 50)),
		       usec_words(usec_below(p->usec, 99)));
	else
		printf(" %7s %7s\n", "-", "-");
}

static void print_table(const struct top *t)
{
	unsigned int i;

	printf("%-16s %-8s %8s %8s %5s %4s %5s %5s %6s %6s %6s %9s %4s %6s %6s %6s %6s %6s %7s %7s\n",
	       "stream", "state", "MB/s", "slots/s", "free", "eng", "app", "gate", "stall%", "stalls",
	       "drop", "lost", "err", "gate/s", "kick/s", "poll/s", "wake/s", "time/s", "half<", "99%<");
	for (i = 0; i < t->count; i++)
		print_row(t->list[i]);
}

static void print_json(const struct top *t)
{
	const struct watch *w;
	unsigned int i;

	json_open(NULL, '[');
	for (i = 0; i < t->count; i++) {
		w = t->list[i];
		json_open(NULL, '{');
		json_string("name", w->name);
		json_string("label", w->label);
		if (watch_last(w)) {
			json_figures(&w->now, &w->then, w->seconds);
			json_number("app_half_below_usec", usec_below(watch_last(w)->usec, 50));
			json_number("app_99_below_usec", usec_below(watch_last(w)->usec, 99));
		} else {
			json_string("state", watch_word(w));
		}
		json_close('}');
	}
	json_close(']');
	json_end();
}

static int once(struct top *t, const struct options *o)
{
	const struct timespec pause = {
		.tv_sec = (time_t)o->interval,
		.tv_nsec = (long)((o->interval - (double)(time_t)o->interval) * 1e9),
	};
	bool any = false;
	unsigned int i;

	nanosleep(&pause, NULL);
	if (interrupts)
		return EXIT_OK;
	look(t);
	if (o->json)
		print_json(t);
	else
		print_table(t);
	for (i = 0; i < t->count; i++)
		any |= t->list[i]->presence == WATCH_THERE;
	return any ? EXIT_OK : EXIT_NOTHING;
}

/* ---- the screen ---- */

static double step(double interval, int by)
{
	static const double steps[] = { 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60 };
	const int count = sizeof(steps) / sizeof(steps[0]);
	int i = 0;

	while (i < count - 1 && steps[i] < interval)
		i++;
	i += by;
	return steps[i < 0 ? 0 : i >= count ? count - 1 : i];
}

static void press(struct view *v, enum screen_key key)
{
	switch (key) {
	case SCREEN_UP:
		v->selected -= v->selected > 0;
		break;
	case SCREEN_DOWN:
		v->selected += v->selected + 1 < v->count;
		break;
	case SCREEN_PAUSE:
		v->paused = !v->paused;
		break;
	case SCREEN_HELP:
		v->help = !v->help;
		break;
	case SCREEN_FASTER:
		v->interval = step(v->interval, -1);
		break;
	case SCREEN_SLOWER:
		v->interval = step(v->interval, 1);
		break;
	default:
		break;
	}
}

/* Looking finds streams, which move the selected one down the list. */
static void look_again(struct top *t, struct view *v)
{
	const struct watch *selected = v->selected < v->count ? t->list[v->selected] : NULL;

	look(t);
	v->count = t->count;
	for (v->selected = 0; selected && t->list[v->selected] != selected; v->selected++)
		;
	v->now_ns = now_ns();
}

/* Until the user, or a signal, ends it; false: the terminal has gone. */
static bool watch_live(struct top *t, const struct options *o)
{
	struct view v = { .list = t->list, .count = t->count, .interval = o->interval, .now_ns = now_ns() };
	uint64_t next = v.now_ns + (uint64_t)(v.interval * 1e9), now;
	enum screen_key key;
	int left;

	while (!interrupts) {
		screen_draw(&v);
		now = now_ns();
		left = v.paused ? 1000 : next > now ? (int)((next - now) / 1000000) + 1 : 0;
		key = screen_key(left);
		if (key == SCREEN_QUIT || key == SCREEN_CLOSED)
			return key == SCREEN_QUIT;
		press(&v, key);
		if (key == SCREEN_FASTER || key == SCREEN_SLOWER)
			next = now_ns() + (uint64_t)(v.interval * 1e9);
		if (!v.paused && now_ns() >= next) {
			look_again(t, &v);
			next = v.now_ns + (uint64_t)(v.interval * 1e9);
		}
	}
	return isatty(STDIN_FILENO);
}

static int live(struct top *t, const struct options *o)
{
	const char *wrong = screen_open();
	bool there;

	if (wrong) {
		fprintf(stderr, "sgring: top: %s; \"sgring top --once\" needs none\n", wrong);
		return EXIT_FAILED;
	}
	there = watch_live(t, o);
	screen_close();
	if (there)
		return EXIT_OK;
	fprintf(stderr, "sgring: top: the terminal is gone\n");
	return EXIT_FAILED;
}

/* The terminal is given back first: the loop is about to end. */
static void second_interrupt(void)
{
}

int top_main(int argc, char **argv)
{
	struct top t = { .count = 0 };
	struct options o;
	int code;

	if (!take_options(&o, argc, argv))
		return EXIT_FAILED;
	catch_interrupts(second_interrupt);
	code = first_look(&t, &o);
	if (code == EXIT_OK && o.once && !t.count) {
		fprintf(stderr, "sgring: there is no stream: is a module loaded that has one?\n");
		code = EXIT_NOTHING;
	} else if (code == EXIT_OK) {
		code = o.once ? once(&t, &o) : live(&t, &o);
	}
	while (t.count)
		free(t.list[--t.count]);
	return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring top: the terminal, by ncurses
 *
 * Laid out for 80 by 24; a larger one shows more streams and events, a smaller one is cut at
 * its end. The graphs are of block characters where the locale has them, else of ASCII.
 */
#include <curses.h>
#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>
/* Names it takes for itself. */
#undef columns
#undef lines

#include "screen.h"
#include "tool.h"

#define LABEL		16	/* columns of a strip's name and value */
#define STRIP_SECONDS	60
#define HISTOGRAM_ROWS	4
#define DETAIL_ROWS	18	/* what the lower part takes at least */

static SCREEN *screen;
static bool blocks;

const char *screen_open(void)
{
	const char *term = getenv("TERM");
	int err;

	if (!isatty(fileno(stdin)) || !isatty(fileno(stdout)))
		return "this is no terminal";
	if (!term || !*term)
		return "TERM is not set";
	if (setupterm(NULL, STDOUT_FILENO, &err) != OK)
		return "the terminal's description is not installed";
	if (!cursor_address)
		return "this terminal cannot be drawn on";
	setlocale(LC_CTYPE, "");
	blocks = !strcmp(nl_langinfo(CODESET), "UTF-8");
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return "the terminal cannot be set up";
	set_term(screen);
	cbreak();
	noecho();
	nonl();
	curs_set(0);
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(50);
	return NULL;
}

void screen_close(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

enum screen_key screen_key(int timeout_ms)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	int key, ready = poll(&in, 1, timeout_ms);

	if (ready > 0 && (in.revents & (POLLHUP | POLLERR | POLLNVAL)))
		return SCREEN_CLOSED;
	key = getch();
	switch (key) {
	case ERR:
		/* Readable, and nothing to read: its other end is closed. */
		return ready > 0 && !isatty(STDIN_FILENO) ? SCREEN_CLOSED : SCREEN_NONE;
	case 'q':
	case 'Q':
		return SCREEN_QUIT;
	case KEY_UP:
	case 'k':
		return SCREEN_UP;
	case KEY_DOWN:
	case 'j':
		return SCREEN_DOWN;
	case ' ':
		return SCREEN_PAUSE;
	case 'h':
	case '?':
		return SCREEN_HELP;
	case '-':
		return SCREEN_FASTER;
	case '+':
	case '=':
		return SCREEN_SLOWER;
	default:
		return SCREEN_OTHER;
	}
}

/* ---- drawing ---- */

/* A line, cut at the right edge; what was there goes. */
__attribute__((format(printf, 2, 3)))
static void put_line(int row, const char *format, ...)
{
	char text[512];
	va_list ap;

	if (row >= LINES)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	mvaddnstr(row, 0, text, COLS);
}

/* Height @level of 0 to 8. */
static void put_level(int row, int column, unsigned int level)
{
	static const char *const block[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char ascii[] = " .:-=+*#@";

	if (row >= LINES || column >= COLS)
		return;
	if (blocks)
		mvaddstr(row, column, block[level]);
	else
		mvaddch(row, column, (chtype)ascii[level]);
}

/* Anything that is there can be seen. */
static unsigned int level_of(double value, double most)
{
	double level = most > 0 ? value * 8 / most : 0;

	return value <= 0 ? 0 : level >= 8 ? 8 : level < 1 ? 1 : (unsigned int)level;
}

static void draw_head(const struct view *v)
{
	attron(A_BOLD);
	put_line(0, "sgring top: %u stream%s, every %g s%s", v->count, v->count == 1 ? "" : "s",
		 v->interval, v->paused ? ", PAUSED" : "");
	attroff(A_BOLD);
	attron(A_UNDERLINE);
	put_line(1, "%-13s %-8s %8s %7s %5s %4s %5s %4s %6s %6s %4s", "STREAM", "STATE", "MB/s",
		 "slots/s", "free", "eng", "app", "gate", "stall%", "drop", "err");
	attroff(A_UNDERLINE);
}

static void draw_stream(int row, const struct watch *w)
{
	const struct watch_point *p = watch_last(w);

	if (!p) {
		put_line(row, "%-13.13s %-8s", watch_title(w), watch_word(w));
		return;
	}
	put_line(row, "%-13.13s %-8s %8.1f %7.0f %5u %4u %5u %4u %6.1f %6" PRIu64 " %4" PRIu64,
		 watch_title(w), watch_word(w), (double)p->bytes / 1e6 / p->seconds,
		 (double)p->done / p->seconds, p->free, p->engine, p->app, p->gated,
		 (double)p->stalled_ns / 1e7 / p->seconds, p->drops, p->errors);
}

/* The list, as much of it as fits, with the selected one in it; the row below it. */
static int draw_list(const struct view *v)
{
	unsigned int room = LINES > DETAIL_ROWS + 3 ? (unsigned int)(LINES - DETAIL_ROWS - 2) : 1, from = 0, i;
	int row = 2;

	if (v->count > room && v->selected >= room)
		from = v->selected - room + 1;
	for (i = from; i < v->count && i < from + room; i++) {
		if (i == v->selected)
			attron(A_REVERSE);
		draw_stream(row++, v->list[i]);
		if (i == v->selected)
			attroff(A_REVERSE);
	}
	if (!v->count)
		put_line(row++, "there is no stream; those that come are shown");
	return row;
}

enum strip {
	STRIP_RATE,
	STRIP_APP,
	STRIP_ENGINE,
	STRIP_FREE,
	STRIP_GATE,
	STRIP_DROPS,
	STRIP_STALLED,
	STRIPS,
};

static double strip_value(enum strip strip, const struct watch_point *p)
{
	switch (strip) {
	case STRIP_RATE:
		return (double)p->bytes / p->seconds;
	case STRIP_APP:
		return p->app;
	case STRIP_ENGINE:
		return p->engine;
	case STRIP_FREE:
		return p->free;
	case STRIP_GATE:
		return p->gated;
	case STRIP_DROPS:
		return (double)p->drops / p->seconds;
	default:
		return (double)p->stalled_ns / 1e7 / p->seconds;
	}
}

/* One line: the name, the value now, and what it was, a column for as long as there is room. */
static void draw_strip(int row, enum strip strip, const struct view *v, const struct watch *w)
{
	static const char *const names[STRIPS] = {
		"MB/s", "app", "engine", "free", "gate", "drop/s", "stall%",
	};
	int columns = COLS - LABEL < STRIP_SECONDS ? COLS - LABEL : STRIP_SECONDS, c;
	const struct watch_point *last = watch_last(w);
	double values[STRIP_SECONDS], most = 0;
	struct watch_point p;

	if (row >= LINES || columns <= 0)
		return;
	for (c = 0; c < columns; c++) {
		uint64_t to = v->now_ns - (uint64_t)(columns - 1 - c) * 1000000000;

		values[c] = 0;
		if (watch_range(w, to - 1000000000, to, &p)) {
			values[c] = strip_value(strip, &p);
			if (strip >= STRIP_APP && strip <= STRIP_GATE)
				most = p.slots > most ? p.slots : most;
			else
				most = values[c] > most ? values[c] : most;
		}
	}
	if (strip == STRIP_STALLED)
		most = 100;
	if (last)
		put_line(row, "%-6s %8.*f", names[strip], strip == STRIP_RATE || strip == STRIP_STALLED,
			 strip_value(strip, last) / (strip == STRIP_RATE ? 1e6 : 1));
	else
		put_line(row, "%-6s %8s", names[strip], "-");
	for (c = 0; c < columns; c++)
		put_level(row, LABEL + c, level_of(values[c], most));
}

static void draw_counters(int row, const struct watch *w)
{
	const struct watch_point *p = watch_last(w);
	const struct sgring_stats *st = &w->now;

	if (!p)
		return;
	put_line(row, "per s: kick %.0f  poll %.0f  wake %.0f  timer %.0f  gate waits %.0f  lost %s",
		 (double)p->kicks / p->seconds, (double)p->polls / p->seconds,
		 (double)p->wakeups / p->seconds, (double)p->timers / p->seconds,
		 (double)p->gate_waits / p->seconds, rate_words((double)p->lost / p->seconds));
	put_line(row + 1, "since set-up: %s, %" PRIu64 " dropped, %" PRIu64 " stalls, %" PRIu64
		 " failed, lost %s%s", size_words(st->bytes_done), (uint64_t)st->dropped_slots,
		 (uint64_t)st->stalls, (uint64_t)st->engine_errors, size_words(st->lost_bytes),
		 st->flags & SGRING_STATS_STUCK ? ", STUCK AT THE GATE" : "");
}

/* How long the application had its slots, two columns a power of two. */
static void draw_histogram(int row, const struct view *v, const struct watch *w)
{
	struct watch_point p;
	uint64_t most = 0;
	int i, h, c;

	if (!watch_range(w, v->now_ns > WATCH_SPAN_NS ? v->now_ns - WATCH_SPAN_NS : 0, v->now_ns, &p))
		return;
	for (i = 0; i < (int)SGRING_USEC_LOG2; i++)
		most = p.usec[i] > most ? p.usec[i] : most;
	if (!most) {
		put_line(row, "completion to return, last minute: no slot came back");
		return;
	}
	put_line(row, "completion to return, last minute: half below %s, 99 %% below %s",
		 usec_words(usec_below(p.usec, 50)), usec_words(usec_below(p.usec, 99)));
	for (i = 0; i < (int)SGRING_USEC_LOG2; i++) {
		double full = (double)p.usec[i] * HISTOGRAM_ROWS / (double)most;

		for (h = 0; h < HISTOGRAM_ROWS; h++) {
			double part = full - (HISTOGRAM_ROWS - 1 - h);

			if (h == HISTOGRAM_ROWS - 1 || part > 0)
				for (c = 0; c < 2; c++)
					put_level(row + 1 + h, 8 + 2 * i + c, level_of(part, 1));
		}
	}
	/* Bucket i begins at 2^(i-1) us: each name stands where its own does. */
	put_line(row + 1 + HISTOGRAM_ROWS,
		 "        <1us    8us     128us   2ms     32ms    0.5s    8s      128s");
}

static void draw_events(int row, const struct view *v, const struct watch *w)
{
	const struct watch_event *e;
	unsigned int n;

	for (n = 0; row < LINES - 1; n++, row++) {
		e = watch_event(w, n);
		if (!e)
			return;
		put_line(row, "%9s ago: %s", duration_words(v->now_ns > e->at_ns ? v->now_ns - e->at_ns : 0),
			 e->text);
	}
}

static void draw_help(void)
{
	static const char *const lines[] = {
		"",
		"  up, down    another stream (k, j)",
		"  space       pause; again: go on",
		"  + -         look less often, more often",
		"  h           this, and back",
		"  q           quit",
		"",
		"  free eng app gate: slots waiting, with the engine, with the application, and",
		"  returned but still held by somebody. stall%: time without a slot for the engine.",
		"  drop, err: transfers thrown away, and failed, in the last interval.",
		"  The graphs are of the last minute, now at the right; slots as a part of all, MB/s",
		"  and drop/s as a part of their most. The histogram: how long the application had",
		"  a slot, from its CQ entry until the kernel took it back.",
	};
	int i;

	for (i = 0; i < (int)(sizeof(lines) / sizeof(lines[0])); i++)
		put_line(1 + i, "%s", lines[i]);
}

void screen_draw(const struct view *v)
{
	const struct watch *w = v->selected < v->count ? v->list[v->selected] : NULL;
	enum strip strip;
	int row;

	erase();
	draw_head(v);
	if (v->help) {
		move(1, 0);
		clrtobot();
		draw_help();
	} else {
		row = draw_list(v);
		if (w) {
			attron(A_BOLD);
			put_line(row, "%s (%s): %s", watch_title(w), w->name, watch_word(w));
			attroff(A_BOLD);
			for (strip = 0; strip < STRIPS; strip++)
				draw_strip(++row, strip, v, w);
			draw_counters(++row, w);
			row += 2;
			draw_histogram(row, v, w);
			row += HISTOGRAM_ROWS + 2;
			draw_events(row, v, w);
		}
	}
	if (LINES > 2) {
		move(LINES - 1, 0);
		clrtoeol();
		put_line(LINES - 1, "q quit  arrows stream  space pause  +/- interval  h help");
	}
	refresh();
}

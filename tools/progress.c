/* SPDX-License-Identifier: MIT */
/* sgring(1): how far it is, on standard error. */
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "progress.h"
#include "tool.h"
#include "units.h"

#define SECOND_NS 1000000000ULL

void progress_start(struct progress *p, uint64_t total_bytes, uint64_t total_ns, bool quiet)
{
	*p = (struct progress){
		.out = stderr,
		.quiet = quiet,
		.terminal = isatty(STDERR_FILENO),
		.total_bytes = total_bytes,
		.total_ns = total_ns,
		.start_ns = now_ns(),
	};
	p->period_ns = (p->terminal ? 1 : 10) * SECOND_NS;
	p->line_ns = p->start_ns;
}

bool progress_due(const struct progress *p)
{
	return now_ns() - p->line_ns >= p->period_ns;
}

int progress_wait_ms(const struct progress *p)
{
	uint64_t since = now_ns() - p->line_ns;

	return since >= p->period_ns ? 0 : (int)((p->period_ns - since + 999999) / 1000000);
}

/* What is left, by size and by time, whichever is less; UINT64_MAX: nobody knows. */
static uint64_t left_ns(const struct progress *p, uint64_t passed_ns, uint64_t bytes)
{
	uint64_t left = UINT64_MAX;

	if (p->total_ns)
		left = p->total_ns > passed_ns ? p->total_ns - passed_ns : 0;
	if (p->total_bytes && p->rate > 0 && bytes <= p->total_bytes) {
		double by_size = (double)(p->total_bytes - bytes) / p->rate * 1e9;

		if (by_size < (double)left)
			left = (uint64_t)by_size;
	}
	return left;
}

void progress_text(const struct progress *p, uint64_t now, uint64_t bytes, uint64_t lost,
		   const char *more, char *text, size_t room)
{
	uint64_t passed = now - p->start_ns, left = left_ns(p, passed, bytes);
	FILE *f = fmemopen(text, room, "w");

	text[0] = 0;
	if (!f)
		return;
	fputs(size_words(bytes), f);
	if (p->total_bytes)
		fprintf(f, " of %s (%.0f %%)", size_words(p->total_bytes),
			100.0 * ((double)bytes / (double)p->total_bytes));
	fprintf(f, "  %s  %s", rate_words(p->rate), duration_words(passed));
	if (left != UINT64_MAX)
		fprintf(f, ", %s left", duration_words(left));
	if (lost)
		fprintf(f, "  LOST %s", size_words(lost));
	if (more && *more)
		fprintf(f, "  %s", more);
	fclose(f);
}

static unsigned int columns(const struct progress *p)
{
	struct winsize w;

	return ioctl(fileno(p->out), TIOCGWINSZ, &w) || !w.ws_col ? 80 : w.ws_col;
}

static void wipe(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", p->out);
	p->shown = false;
}

void progress_show(struct progress *p, uint64_t bytes, uint64_t lost, const char *more)
{
	uint64_t now = now_ns(), ns = now - p->line_ns;
	char text[256];

	if (ns) {
		double rate = (double)(bytes - p->line_bytes) * 1e9 / (double)ns;

		/* The first line, and a change that is no jitter, show at once. */
		p->rate = p->rate > rate / 2 && p->rate < rate * 2 ? (p->rate * 2 + rate) / 3 : rate;
	}
	p->line_ns = now;
	p->line_bytes = bytes;
	if (p->quiet)
		return;
	progress_text(p, now, bytes, lost, more, text, sizeof(text));
	wipe(p);
	if (p->terminal)
		fprintf(p->out, "%.*s", (int)columns(p) - 1, text);
	else
		fprintf(p->out, "sgring: %s\n", text);
	p->shown = p->terminal;
	fflush(p->out);
}

void progress_say(struct progress *p, const char *format, ...)
{
	va_list args;

	wipe(p);
	fputs("sgring: ", p->out);
	va_start(args, format);
	vfprintf(p->out, format, args);
	va_end(args);
	fputc('\n', p->out);
	fflush(p->out);
}

void progress_end(struct progress *p)
{
	wipe(p);
	fflush(p->out);
}

void progress_last(struct progress *p, uint64_t bytes, uint64_t lost)
{
	uint64_t now = now_ns();
	char text[256];

	progress_end(p);
	if (p->quiet)
		return;
	p->rate = now > p->start_ns ? (double)bytes * 1e9 / (double)(now - p->start_ns) : 0;
	p->total_ns = 0;
	progress_text(p, now, bytes, lost, NULL, text, sizeof(text));
	progress_say(p, "%s", text);
}

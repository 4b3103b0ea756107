/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): how far it is, on standard error
 *
 * On a terminal one line, written over once a second; elsewhere (a log, the
 * journal) a line every ten seconds. Everything else that is said meanwhile goes
 * through progress_say(), so that the two do not mix.
 */
#ifndef SGRING_PROGRESS_H
#define SGRING_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/**
 * struct progress - what is known of it; progress_start() fills it in
 * @out: standard error
 * @quiet: say nothing but what progress_say() is told
 * @terminal: @out is one
 * @shown: the terminal's line has something on it
 * @total_bytes: how much there will be; 0: nobody knows
 * @total_ns: how long it will take; 0: nobody knows
 * @start_ns: when it began
 * @period_ns: between two lines
 * @line_ns: when the last one was written
 * @line_bytes: what it said
 * @rate: bytes per second, smoothed a little
 */
struct progress {
	FILE *out;
	bool quiet;
	bool terminal;
	bool shown;
	uint64_t total_bytes;
	uint64_t total_ns;
	uint64_t start_ns;
	uint64_t period_ns;
	uint64_t line_ns;
	uint64_t line_bytes;
	double rate;
};

void progress_start(struct progress *p, uint64_t total_bytes, uint64_t total_ns, bool quiet);

/* Milliseconds until the next line is due: no wait should be longer. */
int progress_wait_ms(const struct progress *p);
bool progress_due(const struct progress *p);

/*
 * The line, now: @bytes so far, @lost of them missing, and what the caller
 * wants to add (NULL: nothing). Call it when progress_due().
 */
void progress_show(struct progress *p, uint64_t bytes, uint64_t lost, const char *more);

/* A line that stays; "sgring: " is put before it. */
void progress_say(struct progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Over: the terminal's line is wiped. */
void progress_end(struct progress *p);

/* The same, and a last line that stays: all of it, at its average rate. */
void progress_last(struct progress *p, uint64_t bytes, uint64_t lost);

/* Where it is in one line, at @now_ns; for progress_show() and its test. */
void progress_text(const struct progress *p, uint64_t now_ns, uint64_t bytes, uint64_t lost,
		   const char *more, char *text, size_t room);

#endif /* SGRING_PROGRESS_H */

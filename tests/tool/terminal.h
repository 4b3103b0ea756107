/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * A terminal, played: a program runs in it, keys are typed, and what it would show is looked at
 *
 * As a vt100 or an xterm has it: cursor moves, erasing, deleting and inserting, repeating, the
 * other screen; colours and character sets are read over.
 */
#ifndef TEST_TERMINAL_H
#define TEST_TERMINAL_H

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <utmp.h>

#define TERMINAL_ROWS 100
#define TERMINAL_COLUMNS 300
#ifndef TERMINAL_SECONDS
#define TERMINAL_SECONDS 60
#endif

struct terminal {
	int fd;			/* the user's side; -1: closed */
	int other;		/* the program's, kept to see how it is left */
	pid_t pid;
	int rows, columns, row, column;
	bool hidden, alternate;	/* the cursor; the other screen is shown */
	bool beyond;		/* the cursor is behind the last column */
	uint32_t cell[TERMINAL_ROWS][TERMINAL_COLUMNS], last;
	struct termios before;
	int state;		/* of the sequence that is read: 0, ESC, '[', ... */
	int numbers[8], number;
	bool question;
	uint32_t code;
	int more;		/* bytes of UTF-8 to come */
};

static void terminal_blank(struct terminal *t, int row, int from, int to)
{
	for (; from < to; from++)
		t->cell[row][from] = ' ';
}

static void terminal_scroll(struct terminal *t)
{
	memmove(t->cell[0], t->cell[1], sizeof(t->cell[0]) * (size_t)(t->rows - 1));
	terminal_blank(t, t->rows - 1, 0, TERMINAL_COLUMNS);
}

static void terminal_down(struct terminal *t)
{
	if (t->row + 1 < t->rows)
		t->row++;
	else
		terminal_scroll(t);
}

static void terminal_put(struct terminal *t, uint32_t code)
{
	if (t->beyond) {
		t->beyond = false;
		t->column = 0;
		terminal_down(t);
	}
	t->cell[t->row][t->column] = t->last = code;
	if (t->column + 1 < t->columns)
		t->column++;
	else
		t->beyond = true;
}

static int terminal_within(int value, int most)
{
	return value < 0 ? 0 : value >= most ? most - 1 : value;
}

static void terminal_sequence(struct terminal *t, char final)
{
	int n = t->numbers[0], count = n ? n : 1, i;
	uint32_t *line = t->cell[t->row];
	int left = t->columns - t->column;

	if (t->question && (final == 'h' || final == 'l')) {
		if (n == 25)
			t->hidden = final == 'l';
		if (n == 1049)
			t->alternate = final == 'h';
		return;
	}
	if (final != 'm' && final != 'b')
		t->beyond = false;
	switch (final) {
	case 'H':
	case 'f':
		t->row = terminal_within(n - 1, t->rows);
		t->column = terminal_within(t->numbers[1] - 1, t->columns);
		break;
	case 'A':
		t->row = terminal_within(t->row - count, t->rows);
		break;
	case 'B':
		t->row = terminal_within(t->row + count, t->rows);
		break;
	case 'C':
		t->column = terminal_within(t->column + count, t->columns);
		break;
	case 'D':
		t->column = terminal_within(t->column - count, t->columns);
		break;
	case 'd':
		t->row = terminal_within(n - 1, t->rows);
		break;
	case 'G':
		t->column = terminal_within(n - 1, t->columns);
		break;
	case 'J':
		for (i = 0; i < t->rows; i++)
			if (n == 2 || (n == 0 && i > t->row) || (n == 1 && i < t->row))
				terminal_blank(t, i, 0, t->columns);
		/* fallthrough */
	case 'K':
		terminal_blank(t, t->row, n == 0 ? t->column : 0, n == 1 ? t->column + 1 : t->columns);
		break;
	case 'X':
		terminal_blank(t, t->row, t->column, t->column + (count < left ? count : left));
		break;
	case 'P':
		count = count < left ? count : left;
		memmove(line + t->column, line + t->column + count, sizeof(*line) * (size_t)(left - count));
		terminal_blank(t, t->row, t->columns - count, t->columns);
		break;
	case '@':
		count = count < left ? count : left;
		memmove(line + t->column + count, line + t->column, sizeof(*line) * (size_t)(left - count));
		terminal_blank(t, t->row, t->column, t->column + count);
		break;
	case 'b':
		for (i = 0; i < count; i++)
			terminal_put(t, t->last);
		break;
	}
}

static void terminal_byte(struct terminal *t, unsigned char c)
{
	switch (t->state) {
	case 27:
		t->state = c == '[' ? '[' : c == '(' || c == ')' ? '(' : 0;
		memset(t->numbers, 0, sizeof(t->numbers));
		t->number = 0;
		t->question = false;
		if (c == 'M' && t->row)
			t->row--;
		return;
	case '(':
		t->state = 0;
		return;
	case '[':
		if (isdigit(c))
			t->numbers[t->number] = t->numbers[t->number] * 10 + c - '0';
		else if (c == ';')
			t->number += t->number < 7;
		else if (c == '?' || c == '>')
			t->question = true;
		else {
			t->state = 0;
			terminal_sequence(t, (char)c);
		}
		return;
	}
	if (t->more) {
		t->code = t->code << 6 | (c & 0x3f);
		if (!--t->more)
			terminal_put(t, t->code);
	} else if (c >= 0xe0) {
		t->code = c & 0x0f;
		t->more = 2;
	} else if (c == 27) {
		t->state = 27;
	} else if (c == '\r') {
		t->column = 0;
		t->beyond = false;
	} else if (c == '\n') {
		terminal_down(t);
	} else if (c == '\b') {
		t->column -= t->column > 0;
		t->beyond = false;
	} else if (c >= ' ' && c != 127) {
		terminal_put(t, c);
	}
}

static double terminal_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What comes within that time. */
static void terminal_read(struct terminal *t, int ms)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	unsigned char bytes[4096];
	ssize_t n, i;

	if (t->fd < 0) {
		poll(NULL, 0, ms);
		return;
	}
	if (poll(&p, 1, ms) <= 0)
		return;
	n = read(t->fd, bytes, sizeof(bytes));
	for (i = 0; i < n; i++)
		terminal_byte(t, bytes[i]);
	if (n <= 0)
		poll(NULL, 0, ms);
}

/* A row as text, UTF-8, without blanks at its end. */
static void terminal_row(const struct terminal *t, int row, char *text)
{
	char *end = text;
	int i;

	for (i = 0; i < t->columns; i++) {
		uint32_t c = t->cell[row][i];

		if (c < 0x80) {
			*text++ = (char)c;
		} else {
			*text++ = (char)(0xe0 | c >> 12);
			*text++ = (char)(0x80 | (c >> 6 & 0x3f));
			*text++ = (char)(0x80 | (c & 0x3f));
		}
		if (c != ' ')
			end = text;
	}
	*end = 0;
}

/* The row that has it; -1: none. */
static int terminal_find(const struct terminal *t, const char *what)
{
	char text[TERMINAL_COLUMNS * 3 + 1];
	int i;

	for (i = 0; i < t->rows; i++) {
		terminal_row(t, i, text);
		if (strstr(text, what))
			return i;
	}
	return -1;
}

static bool terminal_see(struct terminal *t, const char *what, bool there)
{
	double until = terminal_now() + TERMINAL_SECONDS;

	while ((terminal_find(t, what) >= 0) != there) {
		if (terminal_now() > until)
			return false;
		terminal_read(t, 50);
	}
	return true;
}

static void terminal_show(const struct terminal *t, FILE *f)
{
	char text[TERMINAL_COLUMNS * 3 + 1];
	int i;

	for (i = 0; i < t->rows; i++) {
		terminal_row(t, i, text);
		fprintf(f, "|%s\n", text);
	}
}

static void terminal_size(struct terminal *t, int rows, int columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
	int i;

	t->rows = rows;
	t->columns = columns;
	for (i = 0; i < TERMINAL_ROWS; i++)
		terminal_blank(t, i, 0, TERMINAL_COLUMNS);
	t->row = terminal_within(t->row, rows);
	t->column = terminal_within(t->column, columns);
	ioctl(t->fd, TIOCSWINSZ, &size);
}

static void terminal_type(struct terminal *t, const char *keys)
{
	if (write(t->fd, keys, strlen(keys)) < 0)
		perror("terminal: write");
}

/* The exit code of the program; 128 and more: a signal; -1: it does not end. */
static int terminal_end(struct terminal *t)
{
	double until = terminal_now() + TERMINAL_SECONDS;
	int status;

	while (waitpid(t->pid, &status, WNOHANG) != t->pid) {
		if (terminal_now() > until)
			return -1;
		terminal_read(t, 20);
	}
	/* What it said last. */
	terminal_read(t, 100);
	t->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Is it left as it was found: echo and lines, the cursor, the first screen? */
static bool terminal_restored(struct terminal *t)
{
	struct termios now;

	return !tcgetattr(t->other, &now) && now.c_lflag == t->before.c_lflag &&
	       now.c_iflag == t->before.c_iflag && now.c_oflag == t->before.c_oflag &&
	       !t->hidden && !t->alternate;
}

/* Its other end goes: who is in it gets SIGHUP. */
static void terminal_close(struct terminal *t)
{
	close(t->other);
	close(t->fd);
	t->other = t->fd = -1;
}

/* 0 in the child, which has it as its terminal; else 1. */
static int terminal_start(struct terminal *t, int rows, int columns, const char *term)
{
	memset(t, 0, sizeof(*t));
	if (openpty(&t->fd, &t->other, NULL, NULL, NULL)) {
		perror("terminal: openpty");
		exit(1);
	}
	fcntl(t->fd, F_SETFD, FD_CLOEXEC);
	terminal_size(t, rows, columns);
	tcgetattr(t->other, &t->before);
	fflush(stdout);
	t->pid = fork();
	if (t->pid)
		return 1;
	close(t->fd);
	signal(SIGHUP, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	login_tty(t->other);
	setenv("TERM", term, 1);
	unsetenv("LINES");
	unsetenv("COLUMNS");
	return 0;
}

#endif /* TEST_TERMINAL_H */

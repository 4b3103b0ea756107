/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * terminal: run a program in a terminal of a fixed size, type, and look at what it shows
 *
 *	terminal TERM ROWSxCOLUMNS STEP... -- COMMAND...
 *
 * Steps: "see TEXT", "lost TEXT" (wait until the screen has it, or not), "type KEYS", "up", "down",
 * "size ROWSxCOLUMNS", "show" (print the screen), "sleep MS", "run COMMAND" (a shell's), "kill
 * SIGNAL-NUMBER", "close" (the terminal), "exit CODE", "restored" (it was left as it was found).
 * A step that does not come true in a minute ends it with 1 and the screen.
 */
#include "terminal.h"

static struct terminal t;

static bool is(const char *step, const char *verb, const char **rest)
{
	size_t n = strlen(verb);

	if (strncmp(step, verb, n) || (step[n] && step[n] != ' '))
		return false;
	*rest = step[n] ? step + n + 1 : step + n;
	return true;
}

static bool size(const char *text, int *rows, int *columns)
{
	return sscanf(text, "%dx%d", rows, columns) == 2 && *rows > 0 && *rows <= TERMINAL_ROWS &&
	       *columns > 0 && *columns <= TERMINAL_COLUMNS;
}

static bool step(const char *s)
{
	const char *rest;
	int rows, columns;

	if (is(s, "see", &rest))
		return terminal_see(&t, rest, true);
	if (is(s, "lost", &rest))
		return terminal_see(&t, rest, false);
	if (is(s, "exit", &rest))
		return terminal_end(&t) == atoi(rest);
	if (is(s, "restored", &rest))
		return terminal_restored(&t);
	if (is(s, "run", &rest))
		return system(rest) == 0;
	if (is(s, "type", &rest))
		terminal_type(&t, rest);
	else if (is(s, "up", &rest))
		terminal_type(&t, "\033OA");
	else if (is(s, "down", &rest))
		terminal_type(&t, "\033OB");
	else if (is(s, "size", &rest) && size(rest, &rows, &columns))
		terminal_size(&t, rows, columns);
	else if (is(s, "show", &rest))
		terminal_show(&t, stdout);
	else if (is(s, "kill", &rest))
		kill(t.pid, atoi(rest));
	else if (is(s, "close", &rest))
		terminal_close(&t);
	else if (is(s, "sleep", &rest))
		for (rows = atoi(rest); rows > 0; rows -= 50)
			terminal_read(&t, 50);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	int rows, columns, i, command;

	for (command = 1; command < argc && strcmp(argv[command], "--"); command++)
		;
	if (command < 3 || command + 1 >= argc || !size(argv[2], &rows, &columns)) {
		fprintf(stderr, "usage: terminal TERM ROWSxCOLUMNS STEP... -- COMMAND...\n");
		return 2;
	}
	if (!terminal_start(&t, rows, columns, argv[1])) {
		execvp(argv[command + 1], argv + command + 1);
		perror(argv[command + 1]);
		_exit(127);
	}
	for (i = 3; i < command; i++) {
		if (step(argv[i]))
			continue;
		fprintf(stderr, "terminal: not so: %s\n", argv[i]);
		terminal_show(&t, stderr);
		if (t.pid > 0)
			kill(t.pid, SIGKILL);
		return 1;
	}
	return 0;
}

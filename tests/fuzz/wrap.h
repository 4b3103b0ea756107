/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing: the tool's commands as functions
 *
 * A command may end the program, print, and keep state in variables of its own: here it comes
 * back from exit(), what it prints is caught, and it begins each time as a program does, with
 * its variables zero (reset.h).
 */
#ifndef WRAP_H
#define WRAP_H

/* The command's exit code, however it ended. */
int run_tool(int (*command)(int argc, char **argv), int argc, char **argv);

/* What it printed on standard output, and on standard error; until the next run. */
const char *tool_output(void);
const char *tool_errors(void);

#endif /* WRAP_H */

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Fuzzing: the tool's commands as functions; see wrap.h. */
#include <getopt.h>
#include <setjmp.h>

#include "fuzz.h"
#include "wrap.h"

void __real_exit(int code) __attribute__((noreturn));
void __wrap_exit(int code) __attribute__((noreturn));
void __wrap_catch_interrupts(void (*second)(void));

extern char __start_tool_variables[], __stop_tool_variables[];

static jmp_buf back;
static volatile bool inside;
static char *texts[2];

/* The program's, and libFuzzer's. */
void __wrap_exit(int code)
{
	if (!inside)
		__real_exit(code);
	longjmp(back, code + 1);
}

/* Signals stay libFuzzer's. */
void __wrap_catch_interrupts(void (*second)(void))
{
	(void)second;
}

/* No memset(): they are side by side, and ASAN knows each alone. */
__attribute__((no_sanitize("address")))
static void reset(void)
{
	volatile char *c;

	for (c = __start_tool_variables; c < (volatile char *)__stop_tool_variables; c++)
		*c = 0;
}

int run_tool(int (*command)(int argc, char **argv), int argc, char **argv)
{
	FILE *const out = stdout, *const err = stderr;
	size_t sizes[2];
	int code;

	free(texts[0]);
	free(texts[1]);
	reset();
	stdout = open_memstream(&texts[0], &sizes[0]);
	stderr = open_memstream(&texts[1], &sizes[1]);
	claim(stdout && stderr);
	optind = 0;
	inside = true;
	code = setjmp(back);
	code = code ? code - 1 : command(argc, argv);
	inside = false;
	fclose(stdout);
	fclose(stderr);
	stdout = out;
	stderr = err;
	return code;
}

const char *tool_output(void)
{
	return texts[0];
}

const char *tool_errors(void)
{
	return texts[1];
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing the tool's command lines: the words of the input, as arguments of "sgring"
 *
 * No stream, socket or file is opened: what would be is looked at.
 */
#include <errno.h>
#include <sched.h>
#include <stdarg.h>

#include "capture.h"
#include "fuzz.h"
#include "internal.h"
#include "listen.h"
#include "wrap.h"

#define WORDS 24

int sgring_main(int argc, char **argv);

int __wrap_sgring_open(struct sgring **stream, const char *name, const struct sgring_options *o);
int __wrap_sgring_observe(struct sgring **stream, const char *name);
int __wrap_place_open(const struct place *p, const char *interface, char *error, size_t room);
int __wrap_sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set);
int __wrap_open64(const char *path, int flags, ...);
int __real_open64(const char *path, int flags, ...);

const char *__asan_default_options(void);

static bool running, opened;

/* A command that ends the program leaves it to the kernel to take things back. */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int __wrap_sgring_open(struct sgring **stream, const char *name, const struct sgring_options *o)
{
	*stream = NULL;
	claim(name && o->size == sizeof(*o) && o->overrun <= SGRING_OVERRUN_DROP);
	claim(o->slot_count != 1 && o->slot_count <= SGRING_SLOTS_MAX);
	claim(o->queue_depth <= SGRING_QUEUE_DEPTH_MAX && o->wake_slots <= SGRING_SLOTS_MAX);
	opened = true;
	return sgring_fail(ENOENT, "no stream is called \"%.64s\"", name);
}

int __wrap_sgring_observe(struct sgring **stream, const char *name)
{
	*stream = NULL;
	claim(name);
	opened = true;
	return sgring_fail(EACCES, "not \"%.64s\"", name);
}

int __wrap_place_open(const struct place *p, const char *interface, char *error, size_t room)
{
	(void)interface;
	claim(p->port[0]);
	opened = true;
	snprintf(error, room, "not at %s:%s", p->host, p->port);
	return -1;
}

int __wrap_sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *set)
{
	claim(!pid && CPU_COUNT_S(size, set) == 1);
	return 0;
}

int __wrap_open64(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	if (running) {
		errno = ENOENT;
		return -1;
	}
	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return __real_open64(path, flags, mode);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	char *text = take_text(&in), *words[WORDS + 1] = { "sgring" }, *rest = text;
	int count = 1, code;

	/* A word a line: an empty one is one, too. */
	while (rest && count < WORDS)
		words[count++] = strsep(&rest, "\n");
	opened = false;
	running = true;
	code = run_tool(sgring_main, count, words);
	running = false;
	claim(code == 0 || code == 1 || code == 2);
	/* Who failed says why; nobody fails to give help. */
	claim(code != 1 || tool_errors()[0]);
	claim(code || tool_output()[0] || !strcmp(words[1], "list"));
	claim(!opened || code);
	free(text);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* libsgring: the one line that says what went wrong, a thread's own. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

static _Thread_local char message[512];

const char *sgring_errmsg(void)
{
	return message[0] ? message : "no error";
}

int sgring_fail(int err, const char *format, ...)
{
	va_list args;
	char *c;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	/* One line, whatever was in a name. */
	for (c = message; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return -err;
}

const char *sgring_strerror(int err, char *buffer, size_t bytes)
{
	return strerror_r(err < 0 ? -err : err, buffer, bytes);
}

const char *sgring_size_text(uint64_t bytes)
{
	static _Thread_local char text[4][24];
	static _Thread_local unsigned int turn;
	static const char *const unit[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	char *t = text[turn++ % 4];
	unsigned int i = 0;

	while (bytes && !(bytes % 1024) && i < 4) {
		bytes /= 1024;
		i++;
	}
	snprintf(t, sizeof(text[0]), "%llu %s", (unsigned long long)bytes, unit[i]);
	return t;
}

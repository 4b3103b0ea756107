/* SPDX-License-Identifier: MIT */
/* sgring(1): enough JSON to print: no reading, no numbers that are not finite. */
#include <inttypes.h>

#include "tool.h"

static bool comma;

static void text(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ' || (unsigned char)*s > '~')
			printf("\\u%04x", (unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void start(const char *key)
{
	if (comma)
		fputs(", ", stdout);
	comma = true;
	if (key) {
		text(key);
		fputs(": ", stdout);
	}
}

void json_open(const char *key, char bracket)
{
	start(key);
	putchar(bracket);
	comma = false;
}

void json_close(char bracket)
{
	putchar(bracket);
	comma = true;
}

void json_string(const char *key, const char *value)
{
	start(key);
	text(value);
}

void json_number(const char *key, uint64_t value)
{
	start(key);
	printf("%" PRIu64, value);
}

void json_rate(const char *key, double value)
{
	start(key);
	printf("%.3f", value);
}

void json_end(void)
{
	putchar('\n');
	fflush(stdout);
	comma = false;
}

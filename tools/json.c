/* SPDX-License-Identifier: MIT */
/* sgring(1): enough JSON to write: no reading, no numbers that are not finite. */
#include <inttypes.h>

#include "tool.h"

static FILE *file;
static bool comma, broken, comma_before;

void json_to(FILE *f)
{
	if (f)
		comma_before = comma;
	comma = f ? false : comma_before;
	broken = false;
	file = f;
}

static FILE *out(void)
{
	return file ? file : stdout;
}

/* Bytes of the character of UTF-8 here; 0: it is none. */
static unsigned int character(const unsigned char *s)
{
	unsigned int n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 :
			 *s >= 0xf0 && *s < 0xf5 ? 4 : 0, i;

	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Too long for what they say, a surrogate, or beyond the last. */
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
	    (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

static void text(const char *s)
{
	unsigned int n;

	putc('"', out());
	for (; *s; s += n) {
		n = character((const unsigned char *)s);
		if (*s == '"' || *s == '\\')
			fprintf(out(), "\\%c", *s);
		else if (!n || (unsigned char)*s < ' ' || *s == 0x7f)
			fprintf(out(), "\\u%04x", (unsigned char)*s);
		else
			fwrite(s, 1, n, out());
		n = n ? n : 1;
	}
	putc('"', out());
}

static void start(const char *key)
{
	if (comma)
		fputs(broken ? "," : ", ", out());
	if (broken)
		fputs("\n ", out());
	comma = true;
	broken = false;
	if (key) {
		text(key);
		fputs(": ", out());
	}
}

void json_line(void)
{
	broken = true;
}

void json_open(const char *key, char bracket)
{
	start(key);
	putc(bracket, out());
	comma = false;
}

void json_close(char bracket)
{
	putc(bracket, out());
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
	fprintf(out(), "%" PRIu64, value);
}

void json_rate(const char *key, double value)
{
	start(key);
	fprintf(out(), "%.3f", value);
}

void json_bool(const char *key, bool value)
{
	start(key);
	fputs(value ? "true" : "false", out());
}

void json_end(void)
{
	putc('\n', out());
	fflush(out());
	comma = false;
}

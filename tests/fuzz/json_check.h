/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Fuzzing: JSON as RFC 8259 has it, strictly; for what is written, not for what is read. */
#ifndef JSON_CHECK_H
#define JSON_CHECK_H

#include <ctype.h>

#include "fuzz.h"

/* One character of UTF-8, moved over; -1: it is none. */
static inline long json_utf8(const char **at)
{
	const unsigned char *s = (const unsigned char *)*at;
	static const long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	int n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0, i;
	long c = n == 1 ? *s : *s & (0xff >> (n + 1));

	for (i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return -1;
		c = c << 6 | (s[i] & 63);
	}
	if (!n || c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return -1;
	*at += n;
	return c;
}

/* One character within a string; -1: it is none. */
static inline long json_character(const char **at)
{
	static const char named[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	const char *c;
	char hex[5];

	if ((unsigned char)**at < ' ')
		return -1;
	if (**at != '\\')
		return json_utf8(at);
	c = (*at)[1] ? strchr(named, (*at)[1]) : NULL;
	if (c) {
		*at += 2;
		return meant[c - named];
	}
	if ((*at)[1] != 'u' || strspn(*at + 2, "0123456789abcdefABCDEF") < 4)
		return -1;
	memcpy(hex, *at + 2, 4);
	hex[4] = 0;
	*at += 6;
	return strtol(hex, NULL, 16);
}

static inline bool json_text(const char **at)
{
	if (*(*at)++ != '"')
		return false;
	while (**at != '"')
		if (json_character(at) < 0)
			return false;
	++*at;
	return true;
}

static inline void json_space(const char **at)
{
	*at += strspn(*at, " \t\r\n");
}

static inline bool json_digits(const char **at)
{
	size_t n = strspn(*at, "0123456789");

	*at += n;
	return n;
}

static inline bool json_value(const char **at, int depth)
{
	static const char *const words[] = { "true", "false", "null" };
	bool object = **at == '{';
	size_t i;

	if (depth > 20)
		return false;
	if (**at == '"')
		return json_text(at);
	for (i = 0; i < COUNT(words); i++)
		if (!strncmp(*at, words[i], strlen(words[i])))
			return *at += strlen(words[i]), true;
	if (**at != '{' && **at != '[') {
		*at += **at == '-';
		if (**at == '0' && isdigit((unsigned char)(*at)[1]))
			return false;
		return json_digits(at) && (**at != '.' || (++*at, json_digits(at)));
	}
	for (++*at, json_space(at); **at != (object ? '}' : ']');) {
		if (object) {
			if (!json_text(at))
				return false;
			json_space(at);
			if (*(*at)++ != ':')
				return false;
			json_space(at);
		}
		if (!json_value(at, depth + 1))
			return false;
		json_space(at);
		if (**at != ',')
			continue;
		++*at;
		json_space(at);
		if (**at == '}' || **at == ']')
			return false;
	}
	++*at;
	return true;
}

static inline bool json_check(const char *text)
{
	json_space(&text);
	if (!json_value(&text, 0))
		return false;
	json_space(&text);
	return !*text;
}

/* The string behind the first @key is @text; bytes that are no UTF-8 as their numbers. */
static inline bool json_says(const char *json, const char *key, const char *text)
{
	const char *at = strstr(json, key);

	if (!at)
		return false;
	at += strlen(key) + 1;
	while (*text) {
		const char *next = text;
		long want = json_utf8(&next);

		if (want < 0)
			want = (unsigned char)*next++;
		if (json_character(&at) != want)
			return false;
		text = next;
	}
	return *at == '"';
}

#endif /* JSON_CHECK_H */

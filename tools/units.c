/* SPDX-License-Identifier: MIT */
/* sgring(1): sizes and durations, as people write and read them. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "units.h"

/* "12.5": times unit, so that no fraction is left. Moves *text behind it. */
static bool parse_number(const char **text, uint64_t *whole, uint64_t *millionths)
{
	const char *t = *text;
	uint64_t scale = 100000;

	*whole = *millionths = 0;
	if (!isdigit((unsigned char)*t))
		return false;
	for (; isdigit((unsigned char)*t); t++)
		if (__builtin_mul_overflow(*whole, 10, whole) ||
		    __builtin_add_overflow(*whole, *t - '0', whole))
			return false;
	if (*t == '.') {
		if (!isdigit((unsigned char)*++t))
			return false;
		for (; isdigit((unsigned char)*t); t++, scale /= 10)
			*millionths += (uint64_t)(*t - '0') * scale;
	}
	*text = t;
	return true;
}

static bool add_units(uint64_t *sum, uint64_t whole, uint64_t millionths, uint64_t unit)
{
	uint64_t part = (uint64_t)((unsigned __int128)millionths * unit / 1000000);

	return !__builtin_mul_overflow(whole, unit, &whole) &&
	       !__builtin_add_overflow(*sum, whole, sum) &&
	       !__builtin_add_overflow(*sum, part, sum);
}

bool parse_size(const char *text, uint64_t *bytes)
{
	static const char letters[] = "KMGTP";
	uint64_t whole, part, unit = 1;
	const char *letter;

	if (!parse_number(&text, &whole, &part))
		return false;
	if (*text == ' ' && text[1])
		text++;
	letter = *text ? strchr(letters, toupper((unsigned char)*text)) : NULL;
	if (letter) {
		bool thousands = text[1] == 'B' && !text[2];

		if (text[1] && !thousands && strcmp(text + 1, "iB") != 0)
			return false;
		for (; letter >= letters; letter--)
			unit *= thousands ? 1000 : 1024;
	} else if (*text && strcmp(text, "B") != 0) {
		return false;
	}
	*bytes = 0;
	return add_units(bytes, whole, part, unit);
}

/* Longest names first: "ms" is not minutes. */
static bool parse_time_unit(const char **text, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "ms", 1000000 }, { "us", 1000 }, { "s", 1000000000 }, { "m", 60 * 1000000000ULL },
		{ "h", 3600 * 1000000000ULL }, { "d", 86400 * 1000000000ULL },
	};
	size_t i, n;

	for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		n = strlen(units[i].name);
		if (!strncmp(*text, units[i].name, n)) {
			*text += n;
			*ns = units[i].ns;
			return true;
		}
	}
	return false;
}

bool parse_duration(const char *text, uint64_t *ns)
{
	uint64_t whole, part, unit, last = UINT64_MAX;

	*ns = 0;
	do {
		if (!parse_number(&text, &whole, &part))
			return false;
		if (!*text && last == UINT64_MAX)
			unit = 1000000000;	/* a bare number */
		else if (!parse_time_unit(&text, &unit) || unit >= last)
			return false;
		if (!add_units(ns, whole, part, unit))
			return false;
		last = unit;
	} while (*text);
	return true;
}

static char *words(size_t *room)
{
	static char text[16][32];
	static unsigned int turn;

	*room = sizeof(text[0]);
	return text[turn++ % 16];
}

const char *size_words(uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double n = (double)bytes;
	unsigned int i = 0;
	size_t room;
	char *t = words(&room);

	while (n >= 1024 && i < 5) {
		n /= 1024;
		i++;
	}
	snprintf(t, room, n == (double)(uint64_t)n ? "%.0f %s" : "%.1f %s", n, units[i]);
	return t;
}

const char *rate_words(double bytes_per_s)
{
	static const char *const units[] = { "B/s", "kB/s", "MB/s", "GB/s" };
	unsigned int i = 0;
	size_t room;
	char *t = words(&room);

	while (bytes_per_s >= 999.95 && i < 3) {
		bytes_per_s /= 1000;
		i++;
	}
	snprintf(t, room, i == 3 ? "%.2f %s" : i ? "%.1f %s" : "%.0f %s", bytes_per_s, units[i]);
	return t;
}

const char *duration_words(uint64_t ns)
{
	uint64_t s = ns / 1000000000;
	unsigned int seconds = s % 60, minutes = s / 60 % 60, hours = s / 3600 % 24;
	size_t room;
	char *t = words(&room);

	if (s < 60)
		snprintf(t, room, "%.1f s", (double)(ns / 100000000) / 10);
	else if (s < 3600)
		snprintf(t, room, "%u:%02u", minutes, seconds);
	else if (s < 86400)
		snprintf(t, room, "%u:%02u:%02u", hours, minutes, seconds);
	else
		snprintf(t, room, "%" PRIu64 "d %02u:%02u:%02u", s / 86400, hours, minutes, seconds);
	return t;
}

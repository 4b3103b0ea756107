/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing tools/units.c: sizes and times as people write them, against another reading of them
 *
 * The words made of a number are read back, too.
 */
#include <ctype.h>
#include <errno.h>
#include <math.h>

#include "fuzz.h"
#include "sigmf.h"
#include "units.h"

typedef unsigned __int128 wide;

/* DIGITS[.DIGITS], in millionths; more digits than fit make it too large. */
static bool number(const char **at, wide *millionths, bool *whole_fits)
{
	wide whole = 0, part = 0, scale = 100000;
	const char *t = *at;

	if (!isdigit((unsigned char)*t))
		return false;
	for (; isdigit((unsigned char)*t); t++)
		if (whole <= UINT64_MAX)
			whole = whole * 10 + (wide)(*t - '0');
	if (*t == '.') {
		if (!isdigit((unsigned char)*++t))
			return false;
		for (; isdigit((unsigned char)*t); t++, scale /= 10)
			part += (wide)(*t - '0') * scale;
	}
	*whole_fits = whole <= UINT64_MAX;
	*millionths = *whole_fits ? whole * 1000000 + part : 0;
	*at = t;
	return true;
}

static bool size_is(const char *t, uint64_t *bytes)
{
	static const char *const suffixes[] = { "", "K", "M", "G", "T", "P" };
	wide millionths, unit = 1, all;
	bool fits;
	char tail[8];
	size_t i, n;

	if (!number(&t, &millionths, &fits))
		return false;
	if (*t == ' ' && t[1])
		t++;
	if (strlen(t) >= sizeof(tail))
		return false;
	strcpy(tail, t);
	n = strlen(tail);
	if (n)
		tail[0] = (char)toupper((unsigned char)tail[0]);
	for (i = 0; i < COUNT(suffixes); i++) {
		size_t s = strlen(suffixes[i]);
		wide base = 1024;

		if (strncmp(tail, suffixes[i], s) != 0 || (!i && n && strcmp(tail, "B") != 0))
			continue;
		if (i && !strcmp(tail + s, "B"))
			base = 1000;
		else if (i && tail[s] && strcmp(tail + s, "iB") != 0)
			return false;
		/* A bare B is as it is written. */
		if (!i && n && t[0] != 'B')
			return false;
		while (i--)
			unit *= base;
		all = millionths / 1000000 * unit + millionths % 1000000 * unit / 1000000;
		*bytes = (uint64_t)all;
		return fits && all <= UINT64_MAX;
	}
	return false;
}

static bool time_is(const char *t, uint64_t *ns)
{
	static const struct {
		const char *name;
		uint64_t ns;
	} units[] = {
		{ "d", 86400000000000 }, { "h", 3600000000000 }, { "ms", 1000000 },
		{ "m", 60000000000 }, { "s", 1000000000 }, { "us", 1000 },
	};
	uint64_t last = UINT64_MAX;
	wide millionths, all = 0;
	bool fits;
	size_t i;

	do {
		if (!number(&t, &millionths, &fits) || !fits)
			return false;
		if (!*t && last == UINT64_MAX) {
			all = millionths * 1000;
			break;
		}
		for (i = 0; i < COUNT(units); i++)
			if (!strncmp(t, units[i].name, strlen(units[i].name)))
				break;
		if (i == COUNT(units) || units[i].ns >= last)
			return false;
		t += strlen(units[i].name);
		last = units[i].ns;
		all += millionths / 1000000 * last + millionths % 1000000 * last / 1000000;
		if (all > UINT64_MAX)
			return false;
	} while (*t);
	*ns = (uint64_t)all;
	return all <= UINT64_MAX;
}

/* What is shown is what is meant, to the last digit shown. */
static void words(uint64_t n)
{
	uint64_t back;
	double exact = (double)n;

	/* The largest are rounded up to what does not fit. */
	if (n >> 63)
		return;
	claim(parse_size(size_words(n), &back));
	claim(fabs((double)back - exact) <= exact * 0.06 + 0.5);
	claim(strlen(duration_words(n)) && strlen(rate_words((double)n)));
	if (n < 60000000000)
		claim(parse_duration("0s", &back) && !back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint64_t got = 1, want = 1, n = take(&in, 8);
	char *text = take_text(&in);
	double rate;

	words(n);
	claim(parse_size(text, &got) == size_is(text, &want));
	if (size_is(text, &want))
		claim(got == want);
	claim(parse_duration(text, &got) == time_is(text, &want));
	if (time_is(text, &want))
		claim(got == want);
	if (sigmf_rate(text, &rate))
		claim(rate >= 1 && rate <= 1e12);
	n = sigmf_sample_bytes(text);
	claim(n <= 16 && !(n & (n - 1)) && (!n || *text == 'c' || *text == 'r'));
	free(text);
	return 0;
}

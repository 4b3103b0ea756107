/* SPDX-License-Identifier: MIT */
/* libsgring: the options in the name of a simulated stream: "sim:rate=100M,packet=1500". */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim_stream.h"

#define RATE_MAX	(1ULL << 40)
#define FIFO_MAX	(1ULL << 40)
#define SPEED_MAX	1000000U

enum kind {
	SIZE,		/* bytes, with K, M or G */
	TRANSFER,	/* number of a transfer */
	NUMBER32,
	SWITCH,		/* 0 or 1 */
	PAGES,
	LABEL,
	LOSS,		/* BYTES@TRANSFER */
	SPEED,		/* thousandths, with a decimal point */
	PATH,		/* the rest of the name */
};

#define AT(field) offsetof(struct sgring_sim_options, field)

static const struct option {
	const char *name;
	enum kind kind;
	size_t at;
	uint64_t least;
	uint64_t most;
	const char *takes;
} options[] = {
	{ "label", LABEL, AT(label), 0, 0, "a name of letters, digits, '.', '_' and '-', at most 31" },
	{ "rate", SIZE, AT(rate), 0, RATE_MAX, "bytes per second, as 100M; 0: flat out" },
	{ "fifo", SIZE, AT(fifo_bytes), 1, FIFO_MAX, "bytes the device can hold back, as 1M" },
	{ "packet", SIZE, AT(packet_bytes), 0, 1ULL << 40, "bytes in a packet; 0: no packets" },
	{ "jitter", SIZE, AT(packet_jitter), 0, 1ULL << 40, "bytes by which packets may be shorter" },
	{ "stream", NUMBER32, AT(stream), 0, SGRING_SIM_STREAMS - 1, "number of the pattern, 0 to 254" },
	{ "pages", PAGES, AT(pages), 0, 0, "auto, 4k, thp or huge" },
	{ "fill", SWITCH, AT(fill), 0, 1, "1: make data; 0: leave the memory as it is" },
	{ "spin", SWITCH, AT(spin), 0, 1, "1: the device's thread never sleeps; 0: it does" },
	{ "width", NUMBER32, AT(width), 1, 4096, "bytes the device moves at a time, a power of two up to 4096" },
	{ "segment", SIZE, AT(segment_bytes), 4096, UINT32_MAX, "bytes of the largest DMA segment, at least 4096" },
	{ "segments", NUMBER32, AT(segments), 0, 65536, "most DMA segments in a slot; 0: any" },
	{ "fail", TRANSFER, AT(fail_at), 0, 0, "number of a transfer, from 0" },
	{ "short", TRANSFER, AT(short_at), 0, 0, "number of a transfer, from 0" },
	{ "lose", LOSS, AT(lose_at), 0, 0, "BYTES@TRANSFER" },
	{ "pause", TRANSFER, AT(pause_at), 0, 0, "number of a transfer, from 0" },
	{ "end", TRANSFER, AT(end_at), 0, 0, "number of a transfer, from 0" },
	{ "die", TRANSFER, AT(die_at), 0, 0, "number of a transfer, from 0" },
	{ "speed", SPEED, AT(speed), 0, SPEED_MAX, "how many times as fast, as 0.5 or 10; 0: as fast as possible" },
	{ "replay", PATH, AT(replay), 0, 0, "a recording or a capture file; it is the last option" },
	{ "file", PATH, AT(file), 0, 0, "the path of a file; it is the last option" },
};

void sgring_sim_defaults(struct sgring_sim_options *o)
{
	*o = (struct sgring_sim_options){
		.fifo_bytes = 1 << 20,
		.segment_bytes = UINT32_MAX,
		.width = 1,
		.speed = 1000,
		.fill = true,
		.fail_at = SGRING_SIM_NEVER, .short_at = SGRING_SIM_NEVER,
		.lose_at = SGRING_SIM_NEVER, .pause_at = SGRING_SIM_NEVER,
		.end_at = SGRING_SIM_NEVER, .die_at = SGRING_SIM_NEVER,
	};
}

/* Digits; moves *text behind them. */
static bool take_number(const char **text, uint64_t *number)
{
	const char *t = *text;

	for (*number = 0; isdigit((unsigned char)*t); t++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(*t - '0'), number))
			return false;
	if (t == *text)
		return false;
	*text = t;
	return true;
}

/* As sgring(1) reads sizes: K is 1024, KB is 1000. */
static bool take_size(const char **text, uint64_t *bytes)
{
	static const char letters[] = "KMGT";
	const char *letter;
	uint64_t unit = 1, base = 1024;

	if (!take_number(text, bytes))
		return false;
	letter = **text ? strchr(letters, toupper((unsigned char)**text)) : NULL;
	if (letter) {
		++*text;
		if (!strncmp(*text, "iB", 2))
			*text += 2;
		else if (**text == 'B')
			base = 1000, ++*text;
		for (; letter >= letters; letter--)
			unit *= base;
	}
	return !__builtin_mul_overflow(*bytes, unit, bytes);
}

/* "2", "0.5": thousandths. */
static bool take_speed(const char **text, uint64_t *speed)
{
	uint64_t part, unit = 1000;

	if (!take_number(text, speed) || *speed > SPEED_MAX)
		return false;
	*speed *= 1000;
	if (**text != '.')
		return true;
	for (++*text; isdigit((unsigned char)**text) && unit > 1; ++*text) {
		part = (uint64_t)(**text - '0');
		unit /= 10;
		*speed += part * unit;
	}
	return true;
}

static bool take_pages(const char *text, uint32_t *pages)
{
	static const char *const names[] = {
		[SGRING_SIM_AUTO] = "auto", [SGRING_SIM_4K] = "4k",
		[SGRING_SIM_THP] = "thp", [SGRING_SIM_HUGE] = "huge",
	};

	for (*pages = 0; *pages < 4; ++*pages)
		if (!strcmp(text, names[*pages]))
			return true;
	return false;
}

static bool take_label(const char *text, char *label)
{
	const char *c;

	for (c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	if (c == text || c - text >= SGRING_NAME_BYTES || *text == '.')
		return false;
	/* Streams are compared by all its bytes. */
	memset(label, 0, SGRING_NAME_BYTES);
	strcpy(label, text);
	return true;
}

/* One value, all of it. */
static bool take_value(const struct option *o, const char *text, struct sgring_sim_options *all)
{
	void *to = (char *)all + o->at;
	uint64_t number = 0;

	switch (o->kind) {
	case LABEL:
		return take_label(text, to);
	case PAGES:
		return take_pages(text, to);
	case PATH:
		return *text && strlen(text) < sizeof(all->file) && strcpy(to, text);
	case TRANSFER:
		return take_number(&text, to) && !*text;
	case LOSS:
		return take_size(&text, &all->lose_bytes) && *text++ == '@' &&
		       take_number(&text, to) && !*text;
	case SPEED:
		if (!take_speed(&text, &number))
			return false;
		break;
	case SIZE:
		if (!take_size(&text, &number))
			return false;
		break;
	default:
		if (!take_number(&text, &number))
			return false;
	}
	if (*text || number < o->least || number > o->most)
		return false;
	if (o->kind == SIZE)
		*(uint64_t *)to = number;
	else if (o->kind == SWITCH)
		*(bool *)to = number;
	else
		*(uint32_t *)to = (uint32_t)number;
	return true;
}

static const struct option *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (!strcmp(options[i].name, name))
			return &options[i];
	return NULL;
}

static int unknown(const char *name)
{
	char known[256] = "";
	size_t i, used = 0;

	for (i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
					 i ? ", " : "", options[i].name);
	return sgring_fail(EINVAL, "sim: no option \"%.40s\"; there are: %s", name, known);
}

/* "name=value" */
static int take_option(char *text, struct sgring_sim_options *all)
{
	const struct option *o;
	char *value = strchr(text, '=');

	if (value)
		*value++ = 0;
	o = find(text);
	if (!o)
		return unknown(text);
	if (!value || !take_value(o, value, all))
		return sgring_fail(EINVAL, "sim: %s=%.80s: it takes %s", text, value ? value : "",
				   o->takes);
	if (all->width & (all->width - 1))
		return sgring_fail(EINVAL, "sim: %s=%.80s: it takes %s", text, value, o->takes);
	return 0;
}

int sgring_sim_parse(const char *name, struct sgring_sim_options *all)
{
	char text[1024], *at = text, *next;
	int err = 0;

	sgring_sim_defaults(all);
	name += strlen(SGRING_SIM_PREFIX);
	if (strlen(name) >= sizeof(text))
		return sgring_fail(EINVAL, "sim: a name of %zu characters, at most %zu", strlen(name),
				   sizeof(text) - 1);
	strcpy(text, name);
	for (; !err && at && *at; at = next) {
		next = strncmp(at, "file=", 5) && strncmp(at, "replay=", 7) ? strchr(at, ',') : NULL;
		if (next)
			*next++ = 0;
		err = take_option(at, all);
	}
	return err;
}

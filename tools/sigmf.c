/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): the metadata that SigMF readers expect (version 1.2 of its specification)
 *
 * A capture segment for each stretch of the stream without a gap, an annotation
 * for each gap. What SigMF has no word for stands under "sgring:". Files that are
 * not only samples (padding between slots, another extension than .sigmf-data)
 * are told as such: header_bytes, trailing_bytes, dataset.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recording.h"
#include "sigmf.h"
#include "tool.h"

#define SIGMF_VERSION "1.2.0"
#define RECORDER "sgring"

/* A stretch without a gap. */
struct capture {
	uint64_t sample;	/* in the data files up to here */
	uint64_t position;
	uint64_t pad_bytes;	/* before it, not data */
	uint64_t realtime_ns;
	uint64_t session;
	uint32_t epoch;
};

struct gap {
	uint64_t sample;
	uint64_t position;
	uint64_t bytes;
	bool last;		/* no data behind it */
};

struct list {
	void *items;
	size_t count;
	size_t room;
};

/**
 * struct sigmf - one run of sigmf_write()
 * @o: as given
 * @datatype: of them, or the default
 * @sample_bytes: of all channels
 * @r: the recording
 * @track: finds the gaps
 * @captures, @gaps: of this part
 * @bytes: of data in the parts up to here
 * @part_bytes: of data in the parts before this one
 * @next: the position that goes on with the last capture; UINT64_MAX: none does
 * @shifted: captures that do not begin with a whole sample
 * @say, @context: as given
 */
struct sigmf {
	const struct sigmf_options *o;
	const char *datatype;
	unsigned int sample_bytes;
	struct recording r;
	struct sgring_track track;
	struct list captures;
	struct list gaps;
	uint64_t bytes;
	uint64_t part_bytes;
	uint64_t next;
	uint64_t shifted;
	void (*say)(void *context, const char *line);
	void *context;
};

unsigned int sigmf_sample_bytes(const char *t)
{
	static const struct {
		const char *name;
		unsigned int bytes;
	} types[] = {
		{ "f32", 4 }, { "f64", 8 }, { "i32", 4 }, { "i16", 2 }, { "u32", 4 },
		{ "u16", 2 }, { "i8", 1 }, { "u8", 1 },
	};
	unsigned int parts = *t == 'c' ? 2 : 1;
	size_t i, n;

	if (*t != 'c' && *t != 'r')
		return 0;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		n = strlen(types[i].name);
		if (strncmp(t + 1, types[i].name, n) != 0)
			continue;
		t += 1 + n;
		/* More than a byte has an order; a byte has none. */
		if (types[i].bytes > 1 ? strcmp(t, "_le") && strcmp(t, "_be") : *t)
			return 0;
		return types[i].bytes * parts;
	}
	return 0;
}

bool sigmf_rate(const char *text, double *rate)
{
	static const char letters[] = "kMG";
	const char *letter;
	char *end;

	*rate = strtod(text, &end);
	if (end == text)
		return false;
	letter = *end ? strchr(letters, *end == 'K' ? 'k' : *end) : NULL;
	for (; letter && letter >= letters; letter--)
		*rate *= 1000;
	if (*end && strchr("kKMG", *end))
		end++;
	return !*end && *rate >= 1 && *rate <= 1e12;
}

void sigmf_option_datatype(struct sigmf_options *o, const char *text)
{
	if (!sigmf_sample_bytes(text)) {
		fprintf(stderr, "sgring: --datatype: \"%s\" is not a type of SigMF (ru8, ci16_le, cf32_le, ri16_be, ...)\n",
			text);
		exit(EXIT_FAILED);
	}
	o->datatype = text;
}

void sigmf_option_rate(struct sigmf_options *o, const char *text)
{
	if (!sigmf_rate(text, &o->sample_rate)) {
		fprintf(stderr, "sgring: --sample-rate: \"%s\" is not a rate from 1 to 1e12 (48k, 2.4M, 61.44e6)\n",
			text);
		exit(EXIT_FAILED);
	}
}

__attribute__((format(printf, 2, 3)))
static void say(const struct sigmf *s, const char *format, ...)
{
	char line[PATH_MAX + 600];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	s->say(s->context, line);
}

static void *add(struct list *l, size_t bytes)
{
	if (l->count == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		void *p = reallocarray(l->items, room, bytes);

		if (!p)
			return NULL;
		l->items = p;
		l->room = room;
	}
	return (char *)l->items + l->count++ * bytes;
}

/* When the first sample of an entry was taken, as well as it is known. */
static uint64_t time_of(const struct sigmf *s)
{
	const struct sgring_hello *h = &s->r.hello;
	const struct sgring_cqe *e = &s->r.entry;
	uint64_t ns = e->host_time_ns - h->clock_ns + h->realtime_ns, took;
	double samples = e->length_bytes / s->sample_bytes;

	/* The entry has the end of the transfer. */
	if (s->o->sample_rate > 0) {
		took = (uint64_t)(samples / s->o->sample_rate * 1e9);
		ns -= took < ns ? took : 0;
	}
	return ns;
}

static bool take_entry(struct sigmf *s)
{
	const struct sgring_cqe *e = &s->r.entry;
	uint64_t skip, lost, pad = s->r.begin - s->r.pad_at;
	struct capture *c;
	struct gap *g;

	if (sgring_track_entry(&s->track, e, &skip, &lost) < 0) {
		say(s, "%s: %s", s->r.index_path, sgring_errmsg());
		return false;
	}
	if (lost) {
		g = add(&s->gaps, sizeof(*g));
		if (!g)
			goto no_memory;
		*g = (struct gap){ .sample = s->bytes / s->sample_bytes,
				   .position = e->position_bytes - lost, .bytes = lost,
				   .last = !e->length_bytes };
	}
	if (!e->length_bytes)
		return true;
	if (e->position_bytes != s->next || pad) {
		c = add(&s->captures, sizeof(*c));
		if (!c)
			goto no_memory;
		*c = (struct capture){ .sample = s->bytes / s->sample_bytes,
				       .position = e->position_bytes, .pad_bytes = pad,
				       .realtime_ns = time_of(s), .session = s->r.hello.session,
				       .epoch = s->r.hello.epoch };
		s->shifted += s->bytes % s->sample_bytes || e->position_bytes % s->sample_bytes;
	}
	s->next = e->position_bytes + e->length_bytes;
	s->bytes += e->length_bytes;
	return true;

no_memory:
	say(s, "%s: no memory for its gaps", s->r.index_path);
	return false;
}

static void json_time(const char *key, uint64_t ns)
{
	time_t seconds = (time_t)(ns / 1000000000);
	char text[32], all[64];
	struct tm t;

	if (!gmtime_r(&seconds, &t) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &t))
		return;
	snprintf(all, sizeof(all), "%s.%09uZ", text, (unsigned int)(ns % 1000000000));
	json_string(key, all);
}

static const char *file_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void write_global(const struct sigmf *s, bool conforming, uint64_t trailing)
{
	const struct sigmf_options *o = s->o;

	json_open("global", '{');
	json_string("core:datatype", s->datatype);
	if (o->sample_rate > 0)
		json_rate("core:sample_rate", o->sample_rate);
	if (o->channels > 1)
		json_number("core:num_channels", o->channels);
	json_string("core:version", SIGMF_VERSION);
	json_string("core:recorder", RECORDER);
	if (o->hardware || s->r.hello.label[0])
		json_string("core:hw", o->hardware ? o->hardware : s->r.hello.label);
	if (o->description)
		json_string("core:description", o->description);
	if (s->part_bytes)
		json_number("core:offset", s->part_bytes / s->sample_bytes);
	if (!conforming)
		json_string("core:dataset", file_of(s->r.data_path));
	if (trailing)
		json_number("core:trailing_bytes", trailing);
	json_string("sgring:index", file_of(s->r.index_path));
	json_open("core:extensions", '[');
	json_open(NULL, '{');
	json_string("name", "sgring");
	json_string("version", "1.0.0");
	json_bool("optional", true);
	json_close('}');
	json_close(']');
	json_close('}');
}

static void write_captures(const struct sigmf *s)
{
	char session[20];
	size_t i;

	json_open("captures", '[');
	for (i = 0; i < s->captures.count; i++) {
		const struct capture *c = (const struct capture *)s->captures.items + i;

		json_open(NULL, '{');
		json_number("core:sample_start", c->sample);
		json_number("core:global_index", c->position / s->sample_bytes);
		json_time("core:datetime", c->realtime_ns);
		if (c->pad_bytes)
			json_number("core:header_bytes", c->pad_bytes);
		json_number("sgring:position", c->position);
		json_number("sgring:epoch", c->epoch);
		/* Readers may have no room for 64 bits in a number. */
		snprintf(session, sizeof(session), "%016" PRIx64, c->session);
		json_string("sgring:session", session);
		json_close('}');
	}
	json_close(']');
}

static void write_annotations(const struct sigmf *s)
{
	char comment[96];
	size_t i;

	json_open("annotations", '[');
	for (i = 0; i < s->gaps.count; i++) {
		const struct gap *g = (const struct gap *)s->gaps.items + i;

		json_open(NULL, '{');
		json_number("core:sample_start", g->sample);
		json_number("core:sample_count", !g->last);
		json_string("core:label", "gap");
		json_string("core:generator", RECORDER);
		snprintf(comment, sizeof(comment), "%" PRIu64 " bytes are missing before this, from position %" PRIu64 " on",
			 g->bytes, g->position);
		json_string("core:comment", comment);
		json_number("sgring:lost_bytes", g->bytes);
		json_close('}');
	}
	json_close(']');
}

/* A part has ended: all that is known of it goes to its file. */
static bool write_part(struct sigmf *s)
{
	uint64_t trailing = s->r.data_bytes > s->r.data_end ? s->r.data_bytes - s->r.data_end : 0;
	const char *extension = strrchr(s->r.data_path, '.');
	bool conforming = extension && !strcmp(extension, ".sigmf-data") && !trailing;
	char path[PATH_MAX + 32], temporary[PATH_MAX + 64];
	size_t i;
	FILE *f;
	int err;

	for (i = 0; i < s->captures.count; i++)
		conforming &= !((const struct capture *)s->captures.items)[i].pad_bytes;
	recording_path(path, sizeof(path), s->r.base, s->r.part, "sigmf-meta");
	snprintf(temporary, sizeof(temporary), "%s.part", path);
	f = fopen(temporary, "we");
	if (!f) {
		say(s, "%s: %s", temporary, strerror(errno));
		return false;
	}
	json_to(f);
	json_open(NULL, '{');
	write_global(s, conforming, trailing);
	write_captures(s);
	write_annotations(s);
	json_close('}');
	json_end();
	json_to(NULL);
	err = ferror(f) ? EIO : 0;
	if (fclose(f) && !err)
		err = errno;
	if (!err && rename(temporary, path))
		err = errno;
	if (!err)
		return true;
	say(s, "%s: %s", path, strerror(err));
	remove(temporary);
	return false;
}

static bool take_item(struct sigmf *s, int item)
{
	switch (item) {
	case RECORDING_PART:
		s->captures.count = s->gaps.count = 0;
		s->part_bytes = s->bytes;
		s->next = UINT64_MAX;
		return true;
	case RECORDING_HELLO:
		if (sgring_track_hello(&s->track, &s->r.hello))
			s->next = UINT64_MAX;
		return true;
	case RECORDING_ENTRY:
		return take_entry(s);
	case RECORDING_TAIL:
		return write_part(s);
	default:
		say(s, "%s", s->r.error);
		return false;
	}
}

int sigmf_write(const char *name, const struct sigmf_options *o,
		void (*tell)(void *context, const char *line), void *context)
{
	struct sigmf *s = calloc(1, sizeof(*s));
	bool right;
	int item;

	if (!s) {
		tell(context, "no memory");
		return -1;
	}
	s->r.data_fd = s->r.index_fd = -1;
	s->o = o;
	s->say = tell;
	s->context = context;
	s->datatype = o->datatype ? o->datatype : "ru8";
	s->sample_bytes = sigmf_sample_bytes(s->datatype) * (o->channels ? o->channels : 1);
	right = s->sample_bytes != 0;
	if (!right)
		say(s, "\"%s\" is not a type of SigMF", s->datatype);
	else if (recording_open(&s->r, name, NULL))
		right = take_item(s, -1);
	while (right) {
		item = recording_next(&s->r);
		if (item == RECORDING_END)
			break;
		right = take_item(s, item);
	}
	if (right && s->shifted)
		say(s, "%s: %" PRIu64 " stretches do not begin with a whole sample of %u bytes: positions there are rounded down",
		    s->r.base, s->shifted, s->sample_bytes);
	if (right && s->bytes % s->sample_bytes)
		say(s, "%s: the last %" PRIu64 " bytes are no whole sample of %u bytes", s->r.base,
		    s->bytes % s->sample_bytes, s->sample_bytes);
	recording_close(&s->r);
	free(s->captures.items);
	free(s->gaps.items);
	free(s);
	return right ? 0 : -1;
}

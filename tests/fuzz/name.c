/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing the names of streams: the options of a simulated one (userlib/sim_name.c), labels and
 * paths (userlib/name.c)
 */
#include <errno.h>
#include <inttypes.h>

#include "fuzz.h"
#include "internal.h"
#include "sim.h"

static void sane(const struct sgring_sim_options *o)
{
	claim(strnlen(o->label, sizeof(o->label)) < sizeof(o->label) && o->label[0] != '.');
	claim(!strchr(o->label, '/') && strnlen(o->file, sizeof(o->file)) < sizeof(o->file));
	claim(o->rate <= 1ULL << 40 && o->fifo_bytes && o->fifo_bytes <= 1ULL << 40);
	claim(o->stream < 255 && o->pages <= SGRING_SIM_HUGE && o->segments <= 65536);
	claim(o->width && o->width <= 4096 && !(o->width & (o->width - 1)));
	claim(o->segment_bytes >= 4096 && o->segment_bytes <= UINT32_MAX);
	claim(!o->first_index);
}

/* The name that says the same, in full. */
static void name_of(const struct sgring_sim_options *o, char *name, size_t room)
{
	static const char *const pages[] = { "auto", "4k", "thp", "huge" };
	int n = snprintf(name, room, "sim:rate=%" PRIu64 ",fifo=%" PRIu64 ",packet=%" PRIu64
			 ",jitter=%" PRIu64 ",stream=%" PRIu32 ",pages=%s,fill=%d,spin=%d,width=%" PRIu32
			 ",segment=%" PRIu64 ",segments=%" PRIu32 ",fail=%" PRIu64 ",short=%" PRIu64
			 ",lose=%" PRIu64 "@%" PRIu64 ",pause=%" PRIu64 ",end=%" PRIu64 ",die=%" PRIu64
			 ",speed=%" PRIu32 ".%03" PRIu32,
			 o->rate, o->fifo_bytes, o->packet_bytes, o->packet_jitter, o->stream,
			 pages[o->pages], o->fill, o->spin, o->width, o->segment_bytes, o->segments,
			 o->fail_at, o->short_at, o->lose_bytes, o->lose_at, o->pause_at, o->end_at,
			 o->die_at, o->speed / 1000, o->speed % 1000);

	if (o->label[0])
		n += snprintf(name + n, room - (size_t)n, ",label=%s", o->label);
	if (o->file[0])
		snprintf(name + n, room - (size_t)n, ",file=%s", o->file);
	if (o->replay[0])
		snprintf(name + n, room - (size_t)n, ",replay=%s", o->replay);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	char *text = take_text(&in), *name, full[2048], path[300];
	struct sgring_sim_options o, again;
	int err;

	memset(path, 'x', sizeof(path));
	err = sgring_name_resolve(text, path, sizeof(path));
	claim(err ? is_message(sgring_errmsg()) : memchr(path, 0, sizeof(path)) != NULL);

	name = malloc(strlen(text) + 5);
	claim(name);
	sprintf(name, "sim:%s", text);
	err = sgring_sim_parse(name, &o);
	if (err) {
		claim(err == -EINVAL && sgring_errmsg()[0]);
	} else {
		sane(&o);
		name_of(&o, full, sizeof(full));
		/* It may be too long when it says all. */
		if (strlen(full) - 4 < 1024) {
			claim(!sgring_sim_parse(full, &again));
			claim(!memcmp(&o, &again, sizeof(o)));
		}
	}
	free(name);
	free(text);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing userlib/index.c: an index that goes to a disk which takes only parts of what it is given
 *
 * However writes end, the file has what was added, in order, whole, and nothing about data that is
 * not there.
 */
#include <errno.h>

#include "fuzz.h"
#include "index.h"

#define UNITS 512U

struct added {
	uint64_t end;
	bool hello;	/* the first half of one */
};

static struct added added[UNITS];
static uint32_t count;		/* of units that were added and not dropped */
static uint64_t written;	/* of the data */

/* A unit names its place, so that it is found again. */
static void make_unit(unsigned char *unit, uint32_t place)
{
	memset(unit, 0x5a, SGRING_INDEX_UNIT);
	memcpy(unit + 8, &place, sizeof(place));
	if (added[place].hello)
		memcpy(unit, SGRING_FRAME_MAGIC, 8);
}

static void check_units(const unsigned char *units, uint32_t from, uint32_t n)
{
	unsigned char unit[SGRING_INDEX_UNIT];

	for (; n--; from++, units += SGRING_INDEX_UNIT) {
		make_unit(unit, from);
		claim(!memcmp(unit, units, sizeof(unit)));
		claim(added[from].end <= written);
	}
}

static void add(struct sgring_index *x, bool hello, uint64_t bytes)
{
	unsigned char units[2 * SGRING_INDEX_UNIT];
	uint64_t end = (count ? added[count - 1].end : 0) + (hello ? 0 : bytes);
	uint32_t n = hello ? 2 : 1, i;

	if (count + n > UNITS)
		return;
	for (i = 0; i < n; i++) {
		added[count + i] = (struct added){ end, hello && !i };
		make_unit(units + i * SGRING_INDEX_UNIT, count + i);
	}
	claim(!sgring_index_add(x, units, n, end));
	count += n;
}

/* The disk takes so many bytes of it. */
static void write_out(struct sgring_index *x, uint16_t takes)
{
	uint32_t from = (uint32_t)(x->bytes / SGRING_INDEX_UNIT), got;
	int64_t bytes = x->out ? (int64_t)x->out_count * SGRING_INDEX_UNIT : sgring_index_begin(x);
	uint64_t before = x->bytes;

	claim(bytes >= 0 && bytes % SGRING_INDEX_UNIT == 0);
	if (!bytes)
		return;
	check_units(x->out, from, x->out_count);
	if (takes > bytes)
		takes = (uint16_t)bytes;
	sgring_index_done(x, takes);
	got = (uint32_t)((x->bytes - before) / SGRING_INDEX_UNIT);
	claim(x->bytes - before <= takes && takes - (x->bytes - before) < 2 * SGRING_INDEX_UNIT);
	if (got) {
		claim(!added[from + got - 1].hello);
		claim(x->described == added[from + got - 1].end);
	}
	claim(x->bytes / SGRING_INDEX_UNIT + x->count == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct sgring_index x = { 0 };
	uint32_t file;

	count = 0;
	written = 0;
	while (in.left) {
		uint8_t op = (uint8_t)take(&in, 1);
		uint16_t n = (uint16_t)take(&in, 2);

		switch (op % 6) {
		case 0: add(&x, false, n); break;
		case 1: add(&x, true, 0); break;
		case 2:
			written += n;
			sgring_index_ready(&x, written);
			break;
		case 3: write_out(&x, n); break;
		case 4:
			if (!x.out)
				claim(sgring_index_begin(&x) >= 0);
			break;
		case 5:
			/* Only when nothing more is added: what follows it goes with it. */
			if (x.out || !sgring_index_drop(&x))
				break;
			count = (uint32_t)(x.bytes / SGRING_INDEX_UNIT) + x.count;
			claim(!count || !added[count - 1].hello);
			break;
		}
		file = (uint32_t)(x.bytes / SGRING_INDEX_UNIT);
		claim(x.ready <= x.count && x.count <= x.room);
		claim(file + x.out_count + x.count == count);
		check_units(x.units, file + x.out_count, x.ready);
		claim(sgring_index_end(&x) <= written);
	}
	sgring_index_free(&x);
	return 0;
}

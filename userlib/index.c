/* SPDX-License-Identifier: MIT */
/* libsgring: the index beside a data file; see index.h. No system call is made here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "index.h"

#define ROOM_MIN 256U
#define ROOM_MAX (1U << 24)	/* a gigabyte of entries */

/* Does a hello begin there? */
static bool is_hello(const unsigned char *units, uint32_t n)
{
	return sgring_frame_is_hello(units + (size_t)n * SGRING_INDEX_UNIT);
}

void sgring_index_free(struct sgring_index *x)
{
	free(x->units);
	free(x->ends);
	free(x->out);
	free(x->out_ends);
	*x = (struct sgring_index){ 0 };
}

static int make_room(struct sgring_index *x, uint32_t count)
{
	uint32_t room = x->room ? x->room : ROOM_MIN;
	void *p;

	while (room - x->count < count && room < ROOM_MAX)
		room *= 2;
	if (room - x->count < count)
		return sgring_fail(ENOMEM, "%u entries of an index wait for the disk", x->count);
	if (room == x->room)
		return 0;
	p = realloc(x->units, (size_t)room * SGRING_INDEX_UNIT);
	if (p) {
		x->units = p;
		p = realloc(x->ends, room * sizeof(*x->ends));
	}
	if (!p)
		return sgring_fail(ENOMEM, "no memory for %u entries of an index", room);
	x->ends = p;
	x->room = room;
	return 0;
}

int sgring_index_add(struct sgring_index *x, const void *units, uint32_t count, uint64_t end)
{
	int err = make_room(x, count);

	if (err)
		return err;
	memcpy(x->units + (size_t)x->count * SGRING_INDEX_UNIT, units,
	       (size_t)count * SGRING_INDEX_UNIT);
	while (count--)
		x->ends[x->count++] = end;
	return 0;
}

void sgring_index_ready(struct sgring_index *x, uint64_t written)
{
	while (x->ready < x->count && x->ends[x->ready] <= written)
		x->ready++;
}

int64_t sgring_index_begin(struct sgring_index *x)
{
	struct sgring_index rest = *x;

	if (!x->ready)
		return 0;
	/* The write takes the memory as it is; what is not ready moves to new memory. */
	rest.units = NULL;
	rest.ends = NULL;
	rest.count = rest.room = 0;
	if (make_room(&rest, x->count - x->ready)) {
		free(rest.units);
		return -ENOMEM;
	}
	rest.count = x->count - x->ready;
	memcpy(rest.units, x->units + (size_t)x->ready * SGRING_INDEX_UNIT,
	       (size_t)rest.count * SGRING_INDEX_UNIT);
	memcpy(rest.ends, x->ends + x->ready, rest.count * sizeof(*x->ends));
	rest.ready = 0;
	rest.out = x->units;
	rest.out_ends = x->ends;
	rest.out_count = x->ready;
	*x = rest;
	return (int64_t)rest.out_count * SGRING_INDEX_UNIT;
}

void sgring_index_done(struct sgring_index *x, size_t bytes)
{
	uint32_t n = (uint32_t)(bytes / SGRING_INDEX_UNIT), left;

	/* Half a hello is none. */
	if (n && is_hello(x->out, n - 1))
		n--;
	left = x->out_count - n;
	x->bytes += (uint64_t)n * SGRING_INDEX_UNIT;
	if (n)
		x->described = x->out_ends[n - 1];
	if (left && !make_room(x, left)) {
		memmove(x->units + (size_t)left * SGRING_INDEX_UNIT, x->units,
			(size_t)x->count * SGRING_INDEX_UNIT);
		memmove(x->ends + left, x->ends, x->count * sizeof(*x->ends));
		memcpy(x->units, x->out + (size_t)n * SGRING_INDEX_UNIT,
		       (size_t)left * SGRING_INDEX_UNIT);
		memcpy(x->ends, x->out_ends + n, left * sizeof(*x->ends));
		x->count += left;
		x->ready += left;
	} else if (left) {
		/* They are lost, so nothing that comes after them can be described. */
		x->count = x->ready = 0;
	}
	free(x->out);
	free(x->out_ends);
	x->out = NULL;
	x->out_ends = NULL;
	x->out_count = 0;
}

bool sgring_index_drop(struct sgring_index *x)
{
	if (!x->ready)
		return false;
	x->ready--;
	if (x->ready && is_hello(x->units, x->ready - 1))
		x->ready--;
	x->count = x->ready;
	return true;
}

uint64_t sgring_index_end(const struct sgring_index *x)
{
	return x->ready ? x->ends[x->ready - 1] : x->described;
}

/* SPDX-License-Identifier: MIT */
/* sgring(1): frames into a recording; see intake.h. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "intake.h"

static int stored(struct intake *t, int err)
{
	if (err)
		snprintf(t->error, sizeof(t->error), "%s", t->recorder->error);
	return err;
}

/* The entry goes to the index, with as much as is stored of it. */
static int close_entry(struct intake *t)
{
	if (!t->open)
		return 0;
	t->open = false;
	/* Nothing new of it came. */
	if (!t->entry.length_bytes && t->announced.length_bytes)
		return 0;
	return t->recorder ? stored(t, recorder_entry(t->recorder, &t->entry)) : 0;
}

/* Would the index's reader misunderstand entries that follow this one? */
static bool differs(const struct sgring_hello *a, const struct sgring_hello *b)
{
	return a->slot_bytes != b->slot_bytes || a->slot_count != b->slot_count ||
	       a->clock != b->clock;
}

int intake_hello(struct intake *t, const struct sgring_hello *hello)
{
	int err = intake_cut(t);
	bool fresh;

	if (err)
		return err;
	t->slot_bytes = hello->slot_bytes;
	fresh = sgring_track_hello(&t->track, hello);
	if (t->track.behind || (!fresh && !differs(hello, &t->hello)))
		return 0;
	t->hello = *hello;
	return t->recorder ? stored(t, recorder_hello(t->recorder, hello)) : 0;
}

/* Is it the next part of the slot whose entry is open? */
static bool goes_on(const struct intake *t, const struct sgring_cqe *e)
{
	return t->join && t->open && e->sequence == t->entry.sequence && e->slot == t->entry.slot &&
	       e->length_bytes && t->entry.length_bytes &&
	       e->position_bytes == t->entry.position_bytes + t->entry.length_bytes &&
	       e->position_bytes == t->track.position &&
	       t->entry.length_bytes + (uint64_t)e->length_bytes <= t->slot_bytes;
}

int intake_entry(struct intake *t, const struct sgring_cqe *entry)
{
	bool part = goes_on(t, entry);
	uint64_t lost;
	int fresh, err;

	if (!part) {
		err = close_entry(t);
		if (err)
			return err;
	}
	fresh = sgring_track_entry(&t->track, entry, &t->skip, &lost);
	if (fresh < 0) {
		snprintf(t->error, sizeof(t->error), "%s", sgring_errmsg());
		return INTAKE_REFUSED;
	}
	t->announced = *entry;
	t->left = entry->length_bytes;
	if (lost) {
		t->marked_gaps += !!(entry->flags & SGRING_CQE_GAP);
		if (t->gap)
			t->gap(t->context, entry->position_bytes - lost, lost,
			       entry->flags & SGRING_CQE_GAP);
	}
	if (part) {
		t->entry.flags |= entry->flags;
		t->track.entries--;
		return 0;
	}
	if (!fresh)
		return 0;
	t->open = true;
	t->entry = *entry;
	t->entry.position_bytes += t->skip;
	t->entry.length_bytes = 0;
	if (t->skip)	/* what these told was told with the beginning */
		t->entry.flags &= ~(uint32_t)(SGRING_CQE_GAP | SGRING_CQE_STALL);
	return t->left || t->join ? 0 : close_entry(t);
}

static int store(struct intake *t, const unsigned char *data, size_t bytes, size_t *written)
{
	*written = bytes;
	return t->recorder ? stored(t, recorder_data(t->recorder, data, bytes, written)) : 0;
}

int intake_data(struct intake *t, const void *data, size_t bytes)
{
	size_t old = t->skip < bytes ? (size_t)t->skip : bytes, written;
	const unsigned char *p = (const unsigned char *)data + old;
	int err;

	t->left -= (uint32_t)bytes;
	t->skip -= old;
	bytes -= old;
	if (bytes && t->judge)
		judge_data(t->judge, p, bytes, t->entry.position_bytes + t->entry.length_bytes);
	err = bytes ? store(t, p, bytes, &written) : 0;
	if (bytes)
		t->entry.length_bytes += (uint32_t)written;
	if (err) {
		/* Of what came, this much is not there. */
		t->left += (uint32_t)(bytes - written);
		intake_cut(t);
		return err;
	}
	return t->left || t->join ? 0 : close_entry(t);
}

int intake_raw(struct intake *t, const void *data, size_t bytes)
{
	size_t written;
	int err;

	if (t->judge)
		judge_data(t->judge, data, bytes, t->track.bytes);
	err = store(t, data, bytes, &written);
	t->track.bytes += written;
	return err;
}

int intake_cut(struct intake *t)
{
	if (t->left) {
		sgring_track_cut(&t->track, &t->announced, t->left);
		t->entry.flags |= SGRING_CQE_PARTIAL;
		t->left = 0;
		t->skip = 0;
	}
	return close_entry(t);
}

/*
 * A connection.
 */

static int refuse(struct framer *f, const char *why)
{
	snprintf(f->error, sizeof(f->error), "byte %" PRIu64 " of the connection: %.500s",
		 f->frame_at, why);
	return INTAKE_REFUSED;
}

static int take_hello(struct framer *f)
{
	if (sgring_hello_unpack(&f->hello, f->head))
		return refuse(f, sgring_errmsg());
	if (f->hello.align_bytes != 1)
		return refuse(f, "hello: alignment is for files: on a wire it is 1");
	if (f->admit && f->admit(f->context, &f->hello))
		return INTAKE_REFUSED;
	f->greeted = true;
	f->skip = f->hello.hello_bytes - SGRING_HELLO_BYTES;
	return intake_hello(f->to, &f->hello);
}

static int take_entry(struct framer *f)
{
	struct sgring_cqe e;
	int err;

	if (sgring_entry_unpack(&e, f->head, &f->hello))
		return refuse(f, sgring_errmsg());
	f->skip = f->hello.entry_bytes - SGRING_ENTRY_BYTES;
	err = intake_entry(f->to, &e);
	return err == INTAKE_REFUSED ? refuse(f, f->to->error) : err;
}

/* One more piece of the next hello or entry; how much of it was used. */
static size_t collect(struct framer *f, const unsigned char *p, size_t bytes, size_t want)
{
	size_t n = want - f->have < bytes ? want - f->have : bytes;

	if (!f->have)
		f->frame_at = f->at;
	memcpy(f->head + f->have, p, n);
	f->have += n;
	return n;
}

static int take_head(struct framer *f, const unsigned char *p, size_t bytes, size_t *used)
{
	size_t want;
	bool hello;

	*used = 0;
	if (f->have < 8) {
		*used = collect(f, p, bytes, 8);
		if (f->have < 8)
			return 0;
	}
	hello = sgring_frame_is_hello(f->head);
	/* A stranger is told at once. */
	if (!hello && !f->greeted) {
		sgring_hello_unpack(&f->hello, f->head);
		return refuse(f, sgring_errmsg());
	}
	want = hello ? SGRING_HELLO_BYTES : SGRING_ENTRY_BYTES;
	*used += collect(f, p + *used, bytes - *used, want);
	if (f->have < want)
		return 0;
	f->have = 0;
	return hello ? take_hello(f) : take_entry(f);
}

int framer_take(struct framer *f, const void *bytes, size_t count)
{
	const unsigned char *p = bytes;
	size_t n;
	int err;

	while (count) {
		if (f->skip) {
			n = f->skip < count ? f->skip : count;
			f->skip -= (uint32_t)n;
			err = 0;
		} else if (f->greeted && f->to->left) {
			n = f->to->left < count ? f->to->left : count;
			err = intake_data(f->to, p, n);
		} else {
			err = take_head(f, p, count, &n);
		}
		if (err) {
			f->broken = true;
			return err;
		}
		p += n;
		count -= n;
		f->at += n;
	}
	return 0;
}

int framer_end(struct framer *f)
{
	uint32_t left = f->greeted ? f->to->left : 0;
	const char *in = NULL;
	int err;

	if (f->broken)
		in = "";
	else if (left)
		snprintf(f->error, sizeof(f->error),
			 "byte %" PRIu64 " of the connection: it ended in the middle of a slot's data, %" PRIu32
			 " of %" PRIu32 " bytes are missing", f->at, left,
			 f->to->announced.length_bytes);
	else if (f->have)
		in = !f->greeted || sgring_frame_is_hello(f->head) ? "a hello" : "an entry";
	else if (f->skip)
		in = "a frame";
	else if (!f->greeted)
		in = "nothing: no hello came";
	if (in && *in)
		snprintf(f->error, sizeof(f->error),
			 "byte %" PRIu64 " of the connection: it ended %s%s", f->at,
			 f->greeted || f->have ? "in the middle of " : "with ", in);
	err = f->greeted ? intake_cut(f->to) : 0;
	return err ? err : left || in ? INTAKE_REFUSED : 0;
}

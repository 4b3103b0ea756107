/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): datagrams into the order they were sent in; see intake.h
 *
 * What comes early waits for what is missing, for a fifth of a second or until a
 * slot's worth waits; then what is missing is lost, and comes too late.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "intake.h"

#define WAIT_NS 200000000ULL
#define HELD_BYTES_MIN (1ULL << 20)
#define HELD_BYTES_MAX (64ULL << 20)

struct held {
	struct sgring_cqe entry;
	unsigned char data[];
};

static int bad(struct datagrams *d, const char *why)
{
	d->bad++;
	snprintf(d->error, sizeof(d->error), "%.500s", why);
	return INTAKE_REFUSED;
}

static int deliver(struct datagrams *d, const struct sgring_cqe *e, const void *data)
{
	int err = intake_entry(d->to, e);

	if (err == INTAKE_REFUSED)
		return bad(d, d->to->error);
	d->taken++;
	return err || !e->length_bytes ? err : intake_data(d->to, data, e->length_bytes);
}

/* It was there before, or what it belongs to is over. */
static bool too_late(const struct datagrams *d, const struct sgring_cqe *e)
{
	const struct sgring_track *t = &d->to->track;

	if (d->before_ns && e->host_time_ns && e->host_time_ns <= d->before_ns)
		return true;
	if (t->ended)
		return true;
	if (!t->begun || e->flags & SGRING_CQE_EOS)
		return false;
	if (!e->length_bytes)
		return e->position_bytes < t->position ||
		       (e->position_bytes == t->position && e->sequence < t->sequence);
	return e->position_bytes + e->length_bytes <= t->position;
}

static bool in_order(const struct datagrams *d, const struct sgring_cqe *e)
{
	const struct sgring_track *t = &d->to->track;

	return t->begun ? e->position_bytes <= t->position : !e->position_bytes;
}

/* <0: a is before b; 0: they are the same. */
static int order(const struct sgring_cqe *a, const struct sgring_cqe *b)
{
	if (a->position_bytes != b->position_bytes)
		return a->position_bytes < b->position_bytes ? -1 : 1;
	if (a->sequence != b->sequence)
		return a->sequence < b->sequence ? -1 : 1;
	return 0;
}

static int hold(struct datagrams *d, const struct sgring_cqe *e, const void *data, uint64_t now_ns)
{
	unsigned int i = d->held_count;
	struct held *h;

	while (i && order(e, &d->held[i - 1]->entry) < 0)
		i--;
	if (i && !order(e, &d->held[i - 1]->entry)) {
		d->repeated++;
		return 0;
	}
	h = malloc(sizeof(*h) + e->length_bytes);
	if (!h)
		return bad(d, "no memory for a datagram that came early");
	h->entry = *e;
	memcpy(h->data, data, e->length_bytes);
	memmove(d->held + i + 1, d->held + i, (d->held_count - i) * sizeof(h));
	d->held[i] = h;
	d->held_bytes += e->length_bytes;
	d->reordered++;
	if (!d->held_count++)
		d->held_since_ns = now_ns;
	return 0;
}

/* Those that go on, and the first @forced of them whatever is missing before it. */
static int drain(struct datagrams *d, unsigned int forced, uint64_t now_ns)
{
	unsigned int n = 0;
	int err = 0;

	while (!err && n < d->held_count && (n < forced || in_order(d, &d->held[n]->entry))) {
		struct held *h = d->held[n++];

		if (too_late(d, &h->entry))
			d->repeated++;
		else
			err = deliver(d, &h->entry, h->data);
		d->held_bytes -= h->entry.length_bytes;
		free(h);
		if (err == INTAKE_REFUSED)
			err = 0;
	}
	if (!n)
		return err;
	d->held_count -= n;
	memmove(d->held, d->held + n, d->held_count * sizeof(d->held[0]));
	d->held_since_ns = now_ns;
	return err;
}

static uint64_t room(const struct datagrams *d)
{
	uint64_t bytes = d->hello.slot_bytes;

	if (bytes > HELD_BYTES_MAX)
		return HELD_BYTES_MAX;
	return bytes > HELD_BYTES_MIN ? bytes : HELD_BYTES_MIN;
}

static int take_hello(struct datagrams *d, const void *bytes, size_t count, uint64_t now_ns)
{
	struct sgring_hello h;
	bool same;
	int err;

	if (count < SGRING_HELLO_BYTES)
		return bad(d, "a hello that is too short");
	if (sgring_hello_unpack(&h, bytes))
		return bad(d, sgring_errmsg());
	if (h.hello_bytes != count || h.align_bytes != 1)
		return bad(d, "a hello whose size or alignment is not a datagram's");
	same = d->greeted && h.session == d->hello.session;
	if (same && h.epoch <= d->hello.epoch)
		return 0;
	err = drain(d, d->held_count, now_ns);
	if (err)
		return err;
	d->before_ns = same ? d->newest_ns : 0;
	d->newest_ns = 0;
	d->hello = h;
	d->greeted = true;
	return intake_hello(d->to, &h);
}

int datagrams_take(struct datagrams *d, const void *bytes, size_t count, uint64_t now_ns)
{
	const unsigned char *data = bytes;
	struct sgring_cqe e;
	int err;

	if (count < 8)
		return bad(d, "a datagram of less than 8 bytes");
	if (sgring_frame_is_hello(bytes))
		return take_hello(d, bytes, count, now_ns);
	if (!d->greeted) {
		d->unknown++;
		return 0;
	}
	if (count < d->hello.entry_bytes)
		return bad(d, "an entry that is too short");
	if (sgring_entry_unpack(&e, bytes, &d->hello))
		return bad(d, sgring_errmsg());
	if (count - d->hello.entry_bytes != e.length_bytes)
		return bad(d, "an entry whose length is not the datagram's");
	if (too_late(d, &e)) {
		d->repeated++;
		return 0;
	}
	if (e.host_time_ns > d->newest_ns)
		d->newest_ns = e.host_time_ns;
	data += d->hello.entry_bytes;
	err = in_order(d, &e) ? deliver(d, &e, data) : hold(d, &e, data, now_ns);
	if (!err)
		err = drain(d, 0, now_ns);
	while (!err && (d->held_bytes > room(d) || d->held_count == DATAGRAMS_HELD))
		err = drain(d, 1, now_ns);
	return err;
}

int datagrams_tick(struct datagrams *d, uint64_t now_ns)
{
	if (!d->held_count || now_ns - d->held_since_ns < WAIT_NS)
		return 0;
	return drain(d, 1, now_ns);
}

int datagrams_wait_ms(const struct datagrams *d, uint64_t now_ns)
{
	if (!d->held_count)
		return -1;
	if (now_ns - d->held_since_ns >= WAIT_NS)
		return 0;
	return (int)((WAIT_NS - (now_ns - d->held_since_ns)) / 1000000) + 1;
}

int datagrams_end(struct datagrams *d)
{
	int err = drain(d, d->held_count, 0), other;

	/* What cannot be stored any more. */
	while (d->held_count)
		free(d->held[--d->held_count]);
	other = intake_cut(d->to);
	return err ? err : other;
}

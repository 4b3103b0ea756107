/* SPDX-License-Identifier: MIT */
/*
 * libsgring: frames; sgring_frame(7) is the specification
 *
 * It owns the bytes of hellos and entries, what of them a receiver refuses, and
 * where in a stream a receiver is. No state of its own, no system call; what is
 * read comes from a stranger.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/sgring.h>
#include <string.h>

#include "internal.h"
#include "sgring_frame.h"

_Static_assert(sizeof(struct sgring_cqe) == SGRING_ENTRY_BYTES, "an entry is a CQ entry");

/* Positions beyond are refused, so that no sum of them overflows. */
#define POSITION_MAX ((uint64_t)INT64_MAX)

static unsigned char *put32(unsigned char *p, uint32_t n)
{
	n = htole32(n);
	memcpy(p, &n, sizeof(n));
	return p + sizeof(n);
}

static unsigned char *put64(unsigned char *p, uint64_t n)
{
	n = htole64(n);
	memcpy(p, &n, sizeof(n));
	return p + sizeof(n);
}

static uint32_t get32(const unsigned char **p)
{
	uint32_t n;

	memcpy(&n, *p, sizeof(n));
	*p += sizeof(n);
	return le32toh(n);
}

static uint64_t get64(const unsigned char **p)
{
	uint64_t n;

	memcpy(&n, *p, sizeof(n));
	*p += sizeof(n);
	return le64toh(n);
}

static bool printable(char c)
{
	return c >= ' ' && c <= '~';
}

void sgring_hello_pack(void *wire, const struct sgring_hello *h)
{
	unsigned char *p = wire;
	size_t i;

	memset(wire, 0, SGRING_HELLO_BYTES);
	memcpy(p, SGRING_FRAME_MAGIC, 8);
	p = put32(p + 8, SGRING_HELLO_BYTES);
	p = put32(p, SGRING_ENTRY_BYTES);
	p = put32(p, h->version);
	p = put32(p, h->flags);
	p = put32(p, h->epoch);
	p = put32(p, h->slot_count);
	p = put32(p, h->clock);
	p = put32(p, h->align_bytes);
	p = put64(p, h->slot_bytes);
	p = put64(p, h->session);
	p = put64(p, h->clock_ns);
	p = put64(p, h->realtime_ns);
	for (i = 0; i < sizeof(h->label) - 1 && h->label[i]; i++)
		p[i] = (unsigned char)(printable(h->label[i]) ? h->label[i] : '?');
}

int sgring_frame_is_hello(const void *wire)
{
	return !memcmp(wire, SGRING_FRAME_MAGIC, 8);
}

/* The label: printable, and zeroes to its end. */
static int unpack_label(char *label, const unsigned char *wire, size_t bytes)
{
	size_t i, length = strnlen((const char *)wire, bytes);

	if (length == bytes)
		return sgring_fail(EPROTO, "hello: its label does not end within %zu bytes", bytes);
	for (i = 0; i < bytes; i++)
		if (i < length ? !printable((char)wire[i]) : wire[i])
			return sgring_fail(EPROTO, "hello: byte 0x%02x in its label", wire[i]);
	memcpy(label, wire, bytes);
	return 0;
}

static int check_hello(const struct sgring_hello *h)
{
	if (h->hello_bytes < SGRING_HELLO_BYTES || h->hello_bytes > SGRING_HELLO_BYTES_MAX ||
	    h->hello_bytes % 8)
		return sgring_fail(EPROTO, "hello: %" PRIu32 " bytes long: a multiple of 8 from %u to %u",
				   h->hello_bytes, SGRING_HELLO_BYTES, SGRING_HELLO_BYTES_MAX);
	if (h->entry_bytes < SGRING_ENTRY_BYTES || h->entry_bytes > SGRING_ENTRY_BYTES_MAX ||
	    h->entry_bytes % 8)
		return sgring_fail(EPROTO, "hello: entries of %" PRIu32
				   " bytes: a multiple of 8 from %u to %u", h->entry_bytes,
				   SGRING_ENTRY_BYTES, SGRING_ENTRY_BYTES_MAX);
	if (h->flags)
		return sgring_fail(EPROTO, "hello: flags 0x%" PRIx32 ": version %u has none",
				   h->flags, SGRING_FRAME_VERSION);
	if (!h->slot_count)
		return sgring_fail(EPROTO, "hello: no slots");
	if (!h->slot_bytes || h->slot_bytes > UINT32_MAX)
		return sgring_fail(EPROTO, "hello: slots of %" PRIu64 " bytes: from 1 to %u",
				   h->slot_bytes, UINT32_MAX);
	if (h->clock > SGRING_CLOCK_MONOTONIC_RAW)
		return sgring_fail(EPROTO, "hello: clock %" PRIu32 ": from 0 to %d", h->clock,
				   SGRING_CLOCK_MONOTONIC_RAW);
	if (!h->align_bytes || h->align_bytes & (h->align_bytes - 1) ||
	    h->align_bytes > SGRING_ALIGN_BYTES_MAX)
		return sgring_fail(EPROTO, "hello: alignment of %" PRIu32
				   " bytes: a power of two up to %u", h->align_bytes,
				   SGRING_ALIGN_BYTES_MAX);
	if (!h->session)
		return sgring_fail(EPROTO, "hello: session 0");
	return 0;
}

int sgring_hello_unpack(struct sgring_hello *hello, const void *wire)
{
	const unsigned char *p = wire, *reserved;
	struct sgring_hello h;
	int err;

	if (!sgring_frame_is_hello(wire))
		return sgring_fail(EPROTO,
				   "not a hello: it begins with %02x %02x %02x %02x %02x %02x %02x %02x",
				   p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]);
	p += 8;
	h.hello_bytes = get32(&p);
	h.entry_bytes = get32(&p);
	h.version = get32(&p);
	if (h.version != SGRING_FRAME_VERSION)
		return sgring_fail(EPROTONOSUPPORT, "hello: version %" PRIu32
				   " of the format; this is a reader of version %u", h.version,
				   SGRING_FRAME_VERSION);
	h.flags = get32(&p);
	h.epoch = get32(&p);
	h.slot_count = get32(&p);
	h.clock = get32(&p);
	h.align_bytes = get32(&p);
	h.slot_bytes = get64(&p);
	h.session = get64(&p);
	h.clock_ns = get64(&p);
	h.realtime_ns = get64(&p);
	err = check_hello(&h);
	if (!err)
		err = unpack_label(h.label, p, sizeof(h.label));
	if (err)
		return err;
	reserved = p + sizeof(h.label);
	for (p = reserved; p < (const unsigned char *)wire + SGRING_HELLO_BYTES; p++)
		if (*p)
			return sgring_fail(EPROTO, "hello: byte 0x%02x at its byte %td, which is reserved",
					   *p, p - (const unsigned char *)wire);
	*hello = h;
	return 0;
}

void sgring_entry_pack(void *wire, const struct sgring_cqe *e)
{
	unsigned char *p = wire;

	p = put64(p, e->sequence);
	p = put64(p, e->position_bytes);
	p = put64(p, e->host_time_ns);
	p = put64(p, e->device_time_ns);
	p = put64(p, e->cookie);
	p = put32(p, e->slot);
	p = put32(p, e->length_bytes);
	p = put32(p, e->flags);
	p = put32(p, (uint32_t)e->status);
	p = put32(p, e->engine_slots);
	put32(p, 0);
}

static int check_entry(const struct sgring_cqe *e, const struct sgring_hello *h)
{
	if (e->flags & SGRING_CQE_EOS) {
		if (e->slot != SGRING_NO_SLOT || e->length_bytes)
			return sgring_fail(EPROTO, "entry: end of stream with slot %" PRIu32
					   " and %" PRIu32 " bytes: it has neither", e->slot,
					   e->length_bytes);
	} else if (e->slot >= h->slot_count) {
		return sgring_fail(EPROTO, "entry: slot %" PRIu32 " of %" PRIu32, e->slot,
				   h->slot_count);
	}
	if (e->length_bytes > h->slot_bytes)
		return sgring_fail(EPROTO, "entry: %" PRIu32 " bytes in a slot of %" PRIu64,
				   e->length_bytes, h->slot_bytes);
	if (e->position_bytes > POSITION_MAX - e->length_bytes)
		return sgring_fail(EPROTO, "entry: position %" PRIu64 " and length %" PRIu32
				   " go beyond 2^63", (uint64_t)e->position_bytes, e->length_bytes);
	if (e->status > 0 || e->status < -4095)
		return sgring_fail(EPROTO, "entry: status %" PRId32 ": from -4095 to 0", e->status);
	if (e->metadata_bytes)
		return sgring_fail(EPROTO, "entry: %" PRIu32 " bytes of metadata: version %u has none",
				   e->metadata_bytes, SGRING_FRAME_VERSION);
	return 0;
}

int sgring_entry_unpack(struct sgring_cqe *entry, const void *wire,
			const struct sgring_hello *hello)
{
	const unsigned char *p = wire;
	struct sgring_cqe e;
	int err;

	if (sgring_frame_is_hello(wire))
		return sgring_fail(EPROTO, "a hello where an entry should be");
	e.sequence = get64(&p);
	e.position_bytes = get64(&p);
	e.host_time_ns = get64(&p);
	e.device_time_ns = get64(&p);
	e.cookie = get64(&p);
	e.slot = get32(&p);
	e.length_bytes = get32(&p);
	e.flags = get32(&p);
	e.status = (int32_t)get32(&p);
	e.engine_slots = get32(&p);
	e.metadata_bytes = get32(&p);
	err = check_entry(&e, hello);
	if (!err)
		*entry = e;
	return err;
}

int sgring_track_hello(struct sgring_track *t, const struct sgring_hello *h)
{
	t->behind = t->session == h->session && h->epoch < t->epoch;
	if (t->session == h->session && h->epoch <= t->epoch)
		return 0;
	t->cut += t->session && !t->ended;
	if (t->session != h->session) {
		t->begun = 0;
		t->first = 0;
	}
	t->session = h->session;
	t->epoch = h->epoch;
	t->ended = 0;
	t->position = 0;
	t->sequence = 0;
	t->epochs++;
	return 1;
}

/*
 * Is all of it something that came before? Positions tell; an entry without data
 * is told by its sequence, which parts of a slot share.
 */
static bool repeated(const struct sgring_track *t, const struct sgring_cqe *e)
{
	if (t->behind)
		return true;
	if (!t->begun)
		return false;
	if (e->flags & SGRING_CQE_EOS)
		return t->ended;
	if (!e->length_bytes)
		return e->position_bytes <= t->position && e->sequence < t->sequence;
	return e->position_bytes + e->length_bytes <= t->position;
}

/* The status of an end of stream says why it ended. */
static bool slot_failed(const struct sgring_cqe *e)
{
	return e->status < 0 && !(e->flags & SGRING_CQE_EOS);
}

int sgring_track_entry(struct sgring_track *t, const struct sgring_cqe *e, uint64_t *skip,
		       uint64_t *lost)
{
	*skip = 0;
	*lost = 0;
	if (!t->session)
		return sgring_fail(EPROTO, "an entry before the first hello");
	t->cuttable = 0;
	if (repeated(t, e)) {
		*skip = e->length_bytes;
		t->repeated_bytes += e->length_bytes;
		return 0;
	}
	if (t->ended)
		return sgring_fail(EPROTO, "an entry for position %" PRIu64
				   " after the end of the stream, at %" PRIu64,
				   (uint64_t)e->position_bytes, t->position);
	/* A receiver may come late; but what the device lost at the very beginning is lost. */
	if (!t->begun && !(e->flags & SGRING_CQE_GAP)) {
		t->first = e->position_bytes;
		t->position = e->position_bytes;
	}
	t->begun = 1;
	if (e->position_bytes > t->position) {
		*lost = e->position_bytes - t->position;
		t->lost_bytes += *lost;
		t->gaps++;
	} else if (e->length_bytes) {
		*skip = t->position - e->position_bytes;
		t->repeated_bytes += *skip;
	}
	if (e->position_bytes + e->length_bytes > t->position)
		t->position = e->position_bytes + e->length_bytes;
	if (e->sequence >= t->sequence)
		t->sequence = e->sequence + 1;
	t->cuttable = e->length_bytes - *skip;
	t->bytes += t->cuttable;
	t->entries++;
	t->failed += slot_failed(e);
	t->ended = !!(e->flags & SGRING_CQE_EOS);
	return 1;
}

void sgring_track_cut(struct sgring_track *t, const struct sgring_cqe *e, uint64_t missing)
{
	uint64_t cut = missing < t->cuttable ? missing : t->cuttable;

	if (cut && cut == t->cuttable) {	/* nothing new came: it will be counted again */
		t->entries--;
		t->failed -= slot_failed(e);
	}
	t->repeated_bytes -= missing - cut;
	t->cuttable -= cut;
	t->position -= cut;
	t->bytes -= cut;
}

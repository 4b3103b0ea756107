/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing userlib/frame.c: hellos and entries from a wire, and where they leave a receiver
 *
 * The input is what would be read: a hello is 128 bytes, anything else an entry of 64 and
 * a byte that says how much of its data comes (255: all of it).
 */
#include <errno.h>
#include <linux/sgring.h>

#include "fuzz.h"
#include "internal.h"
#include "sgring_frame.h"

struct receiver {
	struct sgring_hello hello;
	struct sgring_track track;
	uint64_t start;		/* of the epoch: what came and what is lost begins there */
	uint64_t bytes, lost;	/* of the track, at that moment */
};

static bool may_be(const struct sgring_hello *h)
{
	return h->version == SGRING_FRAME_VERSION && !h->flags && h->slot_count && h->session &&
	       h->slot_bytes && h->slot_bytes <= UINT32_MAX && h->align_bytes &&
	       !(h->align_bytes & (h->align_bytes - 1)) && h->align_bytes <= 1U << 20 &&
	       h->hello_bytes >= 128 && h->hello_bytes <= 4096 && h->hello_bytes % 8 == 0 &&
	       h->entry_bytes >= 64 && h->entry_bytes <= 1024 && h->entry_bytes % 8 == 0 &&
	       h->clock <= 4 && strnlen(h->label, sizeof(h->label)) < sizeof(h->label);
}

static void epoch_begins(struct receiver *r)
{
	r->start = r->track.position;
	r->bytes = r->track.bytes;
	r->lost = r->track.lost_bytes;
}

static void take_hello(struct receiver *r, const uint8_t *wire)
{
	struct sgring_hello before = r->hello;
	uint8_t again[SGRING_HELLO_BYTES];
	struct sgring_track t = r->track;
	int err = sgring_hello_unpack(&r->hello, wire);

	if (err) {
		claim(err == -EPROTO || err == -EPROTONOSUPPORT);
		claim(is_message(sgring_errmsg()));
		claim(!memcmp(&before, &r->hello, sizeof(before)));
		return;
	}
	claim(may_be(&r->hello));
	sgring_hello_pack(again, &r->hello);
	memcpy(again + 8, wire + 8, 8);	/* sizes; those packed are its own */
	claim(!memcmp(again, wire, sizeof(again)));
	if (sgring_track_hello(&r->track, &r->hello)) {
		claim(!r->track.position && !r->track.ended && !r->track.behind);
		claim(r->track.epochs == t.epochs + 1);
		epoch_begins(r);
	} else {
		claim(r->track.epoch == t.epoch && r->track.position == t.position);
	}
}

/* The connection breaks, and the entry comes again: in the end all is there, once. */
static void cut(struct receiver *r, const struct sgring_cqe *e, uint32_t missing)
{
	struct sgring_track whole = r->track;
	uint64_t skip, lost;

	sgring_track_cut(&r->track, e, missing);
	claim(r->track.position <= whole.position && r->track.bytes <= whole.bytes);
	claim(whole.position - r->track.position == whole.bytes - r->track.bytes);
	claim(whole.bytes - r->track.bytes <= missing);
	sgring_track_entry(&r->track, e, &skip, &lost);
	claim(!lost);
	claim(r->track.position == whole.position && r->track.bytes == whole.bytes);
	claim(r->track.lost_bytes == whole.lost_bytes && r->track.gaps == whole.gaps);
}

static void take_entry(struct receiver *r, const uint8_t *wire, uint8_t part)
{
	struct sgring_track t = r->track;
	uint8_t again[SGRING_ENTRY_BYTES];
	struct sgring_cqe e = { .cookie = 7 };
	uint64_t skip, lost;
	int fresh = sgring_entry_unpack(&e, wire, &r->hello);

	if (fresh) {
		claim(fresh == -EPROTO && is_message(sgring_errmsg()) && e.cookie == 7);
		return;
	}
	sgring_entry_pack(again, &e);
	claim(!memcmp(again, wire, sizeof(again)));
	claim(e.length_bytes <= r->hello.slot_bytes);
	claim(e.position_bytes + e.length_bytes <= INT64_MAX);
	claim(e.flags & SGRING_CQE_EOS ? e.slot == SGRING_NO_SLOT : e.slot < r->hello.slot_count);

	fresh = sgring_track_entry(&r->track, &e, &skip, &lost);
	claim(skip <= e.length_bytes);
	if (fresh < 0) {
		t.cuttable = 0;
		claim(is_message(sgring_errmsg()) && !memcmp(&t, &r->track, sizeof(t)));
		return;
	}
	claim(r->track.bytes - t.bytes == e.length_bytes - skip);
	claim(r->track.repeated_bytes - t.repeated_bytes == skip);
	claim(r->track.lost_bytes - t.lost_bytes == lost);
	if (!fresh) {
		claim(skip == e.length_bytes && !lost && r->track.position == t.position);
		return;
	}
	if (!t.begun)
		r->start = r->track.first;
	claim(r->track.position - r->start ==
	      r->track.bytes - r->bytes + r->track.lost_bytes - r->lost);
	if (part != 255 && e.length_bytes && !(e.flags & SGRING_CQE_EOS))
		cut(r, &e, e.length_bytes - (uint32_t)((uint64_t)e.length_bytes * part / 255));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct receiver r = { .hello = { 0 } };

	while (in.left >= SGRING_ENTRY_BYTES) {
		bool hello = sgring_frame_is_hello(in.at);
		uint8_t *wire = take_block(&in, hello ? SGRING_HELLO_BYTES : SGRING_ENTRY_BYTES);

		if (hello)
			take_hello(&r, wire);
		else if (r.hello.version)
			take_entry(&r, wire, (uint8_t)take(&in, 1));
		free(wire);
	}
	return 0;
}

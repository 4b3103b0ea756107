/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing tools/datagrams.c: datagrams in any order, again, not at all, and of strangers
 *
 * The input is a list of datagrams: a sender's, which say what a device makes at their position, or
 * any bytes, or time that passes. Whatever comes of it: no byte is recorded where another belongs,
 * none twice, and none is gone that is not told as lost.
 */
#include <linux/sgring.h>

#include "fuzz.h"
#include "intake.h"

#define STREAM 3
#define SLOTS 8
#define DATA_MAX 2048

struct receiver {
	struct datagrams datagrams;
	struct intake intake;
	struct judge judge;
	uint64_t now_ns;
	uint64_t strange;	/* datagrams that may have held anything */
	struct sgring_hello hello;
};

static struct receiver receiver;

static void give(struct receiver *r, const unsigned char *bytes, size_t count)
{
	struct datagrams *d = &r->datagrams;
	unsigned char *block = malloc(count ? count : 1);
	uint64_t bad = d->bad;
	int err;

	claim(block);
	memcpy(block, bytes, count);
	err = datagrams_take(d, block, count, r->now_ns);
	free(block);
	claim(!err || err == INTAKE_REFUSED);
	if (err)
		claim(d->bad == bad + 1 && is_message(d->error));
}

static void hello(struct receiver *r, struct input *in)
{
	unsigned char wire[SGRING_HELLO_BYTES];

	r->hello = (struct sgring_hello){
		.version = 1, .epoch = (uint32_t)take(in, 1) % 4 + 1, .session = take(in, 1) % 2 + 1,
		.slot_count = SLOTS, .slot_bytes = 1 << 16, .align_bytes = 1,
	};
	sgring_hello_pack(wire, &r->hello);
	give(r, wire, sizeof(wire));
}

/* Part of a slot: positions in units of 512, so that parts meet, and overlap. */
static void part(struct receiver *r, struct input *in, bool end)
{
	unsigned char wire[SGRING_ENTRY_BYTES + DATA_MAX];
	uint64_t unit = take(in, 1), length = take(in, 1) % 4 * 512;
	uint32_t flags = (uint32_t)take(in, 1) & (SGRING_CQE_GAP | SGRING_CQE_STALL | SGRING_CQE_EOP);
	struct sgring_cqe e = {
		.position_bytes = unit * 512, .sequence = unit / 8,
		.slot = end ? SGRING_NO_SLOT : (uint32_t)(unit / 8 % SLOTS),
		.length_bytes = end ? 0 : (uint32_t)length, .flags = flags | (end ? SGRING_CQE_EOS : 0),
		.host_time_ns = r->hello.epoch * 1000 + unit / 8,
	};

	sgring_entry_pack(wire, &e);
	sgring_pattern_fill(wire + sizeof(e), e.length_bytes, sgring_pattern_key(STREAM),
			    e.position_bytes);
	give(r, wire, sizeof(e) + e.length_bytes);
}

static void anything(struct receiver *r, struct input *in)
{
	size_t n = take(in, 1);
	unsigned char *block = take_block(in, n);

	r->strange++;
	give(r, block, n);
	free(block);
}

/* Those that wait are in the order they will go on in; each begins with its entry. */
static void check_held(const struct datagrams *d)
{
	const struct sgring_cqe *a, *b;
	unsigned int i;

	for (i = 1; i < d->held_count; i++) {
		a = (const void *)d->held[i - 1];
		b = (const void *)d->held[i];
		claim(a->position_bytes < b->position_bytes ||
		      (a->position_bytes == b->position_bytes && a->sequence < b->sequence));
	}
}

static void check(const struct receiver *r)
{
	const struct datagrams *d = &r->datagrams;
	const struct sgring_track *t = &r->intake.track;
	int wait = datagrams_wait_ms(d, r->now_ns);

	claim(d->held_count <= DATAGRAMS_HELD && !d->held_count == (wait < 0) && wait <= 201);
	claim(d->held_bytes <= 64 << 20 && (d->held_count || !d->held_bytes));
	check_held(d);
	claim(r->judge.right + r->judge.wrong == t->bytes);
	if (r->strange)
		return;
	claim(!r->judge.wrong && !d->bad);
	/* One session and epoch: all of it came, or is lost, or is still waited for. */
	if (t->epochs == 1 && t->begun)
		claim(t->bytes + t->lost_bytes == t->position - t->first);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct receiver *r = &receiver;

	memset(r, 0, sizeof(*r));
	r->datagrams.to = &r->intake;
	r->intake.judge = &r->judge;
	r->intake.join = true;
	r->hello.epoch = 1;
	judge_start(&r->judge, STREAM);
	while (in.left) {
		uint8_t op = (uint8_t)take(&in, 1);

		switch (op % 8) {
		case 0: hello(r, &in); break;
		case 1: anything(r, &in); break;
		case 2: part(r, &in, true); break;
		case 3:
			r->now_ns += take(&in, 1) * 2000000;
			claim(!datagrams_tick(&r->datagrams, r->now_ns));
			break;
		default: part(r, &in, false); break;
		}
		check(r);
	}
	claim(!datagrams_end(&r->datagrams));
	claim(!r->datagrams.held_count && !r->intake.open && !r->intake.left);
	return 0;
}

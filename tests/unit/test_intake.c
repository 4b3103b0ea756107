// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What a receiver makes of frames: the same recording however they come, in pieces,
 * over connections that break at any byte, in datagrams in any order; and nothing but
 * a message of what is hostile.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sgring.h>

#include "intake.h"

#define SLOT 100U
#define STREAM 5U

/* In memory where there is such a place: every recording is synced to its disk. */
static char folder[] = "/dev/shm/sgring-intake.XXXXXX";
static char name[sizeof(folder) + 8];

/* Bytes as they go over a wire. */
struct wire {
	unsigned char *data;
	size_t bytes;
};

static void *grow(struct wire *w, size_t bytes)
{
	w->data = realloc(w->data, w->bytes + bytes + 1);
	w->bytes += bytes;
	return w->data + w->bytes - bytes;
}

static struct sgring_hello hello_of(uint64_t session, uint32_t epoch)
{
	return (struct sgring_hello){ .version = SGRING_FRAME_VERSION, .epoch = epoch, .slot_count = 8,
				      .slot_bytes = SLOT, .session = session, .align_bytes = 1,
				      .label = "rx0" };
}

static void add_hello(struct wire *w, uint64_t session, uint32_t epoch)
{
	struct sgring_hello h = hello_of(session, epoch);

	sgring_hello_pack(grow(w, SGRING_HELLO_BYTES), &h);
}

static void add_part(struct wire *w, unsigned int slot, unsigned int from, unsigned int bytes,
		     uint32_t flags)
{
	struct sgring_cqe e = { .sequence = slot, .position_bytes = slot * SLOT + from,
				.host_time_ns = 1000 + slot, .slot = slot % 8,
				.length_bytes = bytes, .flags = flags };

	sgring_entry_pack(grow(w, SGRING_ENTRY_BYTES), &e);
	sgring_pattern_fill(grow(w, bytes), bytes, sgring_pattern_key(STREAM), e.position_bytes);
}

static void add_slot(struct wire *w, unsigned int slot)
{
	add_part(w, slot, 0, SLOT, 0);
}

static void add_end(struct wire *w, unsigned int slots)
{
	struct sgring_cqe e = { .sequence = slots, .position_bytes = slots * SLOT,
				.host_time_ns = 1000 + slots, .slot = SGRING_NO_SLOT,
				.flags = SGRING_CQE_EOS };

	sgring_entry_pack(grow(w, SGRING_ENTRY_BYTES), &e);
}

static struct wire stream_of(unsigned int slots)
{
	struct wire w = { 0 };
	unsigned int i;

	add_hello(&w, 1, 1);
	for (i = 0; i < slots; i++)
		add_slot(&w, i);
	add_end(&w, slots);
	return w;
}

/* A receiver that stores. */
struct run {
	struct intake intake;
	struct recorder recorder;
	struct judge judge;
};

static void begin(struct run *r)
{
	memset(&r->intake, 0, sizeof(r->intake));
	judge_start(&r->judge, STREAM);
	r->intake.judge = &r->judge;
	r->intake.recorder = &r->recorder;
	assert_int_equal(recorder_open(&r->recorder, name, RECORDER_OVERWRITE), 0);
}

static void begin_without_files(struct run *r)
{
	memset(&r->intake, 0, sizeof(r->intake));
	judge_start(&r->judge, STREAM);
	r->intake.judge = &r->judge;
}

/* One connection, its bytes in pieces of that size. */
static int feed(struct run *r, const unsigned char *data, size_t bytes, size_t piece)
{
	struct framer f = { .to = &r->intake };
	int err = 0;
	size_t n;

	for (; bytes && !err; data += n, bytes -= n) {
		n = bytes < piece ? bytes : piece;
		err = framer_take(&f, data, n);
	}
	return err < 0 ? err : framer_end(&f);
}

/* Figures of a recording that reads without a complaint, every byte of it right. */
struct figures {
	struct sgring_track track;
	unsigned int partial;
};

static struct figures read_back(void)
{
	static struct recording r;
	struct figures f = { 0 };
	unsigned char data[SLOT];
	uint64_t skip, lost;
	struct judge j;
	int item;

	judge_start(&j, STREAM);
	assert_int_equal(recording_open(&r, name, NULL), 0);
	while ((item = recording_next(&r)) != RECORDING_END) {
		if (item < 0)
			fail_msg("%s", r.error);
		if (item == RECORDING_HELLO)
			sgring_track_hello(&f.track, &r.hello);
		if (item == RECORDING_TAIL) {
			assert_int_equal(r.torn, 0);
			assert_int_equal(r.data_bytes, r.data_end);
		}
		if (item != RECORDING_ENTRY)
			continue;
		assert_int_equal(sgring_track_entry(&f.track, &r.entry, &skip, &lost), 1);
		assert_int_equal(skip, 0);
		f.partial += !!(r.entry.flags & SGRING_CQE_PARTIAL);
		assert_int_equal(pread(r.data_fd, data, r.entry.length_bytes, (off_t)r.begin),
				 r.entry.length_bytes);
		judge_data(&j, data, r.entry.length_bytes, r.entry.position_bytes);
	}
	recording_close(&r);
	assert_int_equal(j.wrong, 0);
	assert_int_equal(j.right, f.track.bytes);
	return f;
}

static void a_stream_in_pieces_of_any_size_is_the_same(void **state)
{
	static const size_t pieces[] = { 1, 7, 63, 64, 65, 128, 193, 1000, 1 << 20 };
	struct wire w = stream_of(20);
	struct figures f;
	struct run r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		begin(&r);
		assert_int_equal(feed(&r, w.data, w.bytes, pieces[i]), 0);
		assert_int_equal(recorder_close(&r.recorder), 0);
		f = read_back();
		assert_int_equal(f.track.bytes, 20 * SLOT);
		assert_int_equal(f.track.entries, 21);
		assert_int_equal(f.track.ended, 1);
		assert_int_equal(f.track.lost_bytes, 0);
		assert_int_equal(f.partial, 0);
		assert_int_equal(r.judge.wrong, 0);
	}
	free(w.data);
}

/* And comes back with all of it, or with what a sender had left. */
static void a_connection_that_breaks_at_any_byte_is_resumed(void **state)
{
	struct wire w = stream_of(4), again;
	unsigned int i, first;
	struct figures f;
	struct run r;
	size_t cut;

	(void)state;
	for (cut = 0; cut <= w.bytes; cut++) {
		begin(&r);
		feed(&r, w.data, cut, cut % 3 ? 50 : 1000);
		/* A slot that arrived whole may be one that is not sent again. */
		first = (unsigned int)(r.intake.track.position / SLOT) / 2;
		again = (struct wire){ 0 };
		add_hello(&again, 1, 1);
		for (i = first; i < 4; i++)
			add_slot(&again, i);
		add_end(&again, 4);
		assert_int_equal(feed(&r, again.data, again.bytes, 1000), 0);
		assert_int_equal(recorder_close(&r.recorder), 0);
		f = read_back();
		assert_int_equal(f.track.bytes, 4 * SLOT);
		assert_int_equal(f.track.lost_bytes, 0);
		assert_int_equal(f.track.ended, 1);
		assert_int_equal(r.intake.track.bytes, 4 * SLOT);
		assert_true(f.partial <= 1);
		free(again.data);
	}
	free(w.data);
}

static void what_was_cut_is_kept_with_its_true_length(void **state)
{
	struct wire w = stream_of(4);
	struct framer f = { 0 };
	struct figures g;
	struct run r;

	(void)state;
	begin(&r);
	f.to = &r.intake;
	assert_int_equal(framer_take(&f, w.data, SGRING_HELLO_BYTES + 2 * SGRING_ENTRY_BYTES + SLOT + 33), 0);
	assert_int_equal(framer_end(&f), INTAKE_REFUSED);
	assert_string_equal(f.error, "byte 389 of the connection: it ended in the middle of a slot's data, 67 of 100 bytes are missing");
	recorder_close(&r.recorder);
	g = read_back();
	assert_int_equal(g.track.bytes, SLOT + 33);
	assert_int_equal(g.partial, 1);
	free(w.data);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	static const struct {
		size_t at;
		unsigned char value;
		const char *says;
	} wrongs[] = {
		{ 0, 'X', "byte 0 of the connection: not a hello" },
		{ 16, 9, "byte 0 of the connection: hello: version 9" },
		{ 36, 2, "byte 0 of the connection: hello: alignment is for files" },
		{ 128 + 47, 0x80, "byte 128 of the connection: entry: 2147483748 bytes in a slot of 100" },
		{ 128 + 164 + 40, 99, "byte 292 of the connection: entry: slot 99 of 8" },
		{ 128 + 164 + 48, SGRING_CQE_EOS, "byte 292 of the connection: entry: end of stream with" },
	};
	struct framer f;
	struct run r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		struct wire w = stream_of(4);

		begin_without_files(&r);
		w.data[wrongs[i].at] = wrongs[i].value;
		f = (struct framer){ .to = &r.intake };
		assert_int_equal(framer_take(&f, w.data, w.bytes), INTAKE_REFUSED);
		framer_end(&f);
		if (strncmp(f.error, wrongs[i].says, strlen(wrongs[i].says)) != 0)
			fail_msg("it says \"%s\"", f.error);
		free(w.data);
	}
}

static void longer_frames_of_a_later_writer_are_read(void **state)
{
	struct wire w = { 0 }, plain = stream_of(2);
	const uint32_t sizes[] = { 136, 72 };
	struct run r;
	int i;

	(void)state;
	memcpy(grow(&w, 128), plain.data, 128);
	memcpy(w.data + 8, sizes, 8);
	memset(grow(&w, 8), 0xee, 8);
	for (i = 0; i < 3; i++) {
		memcpy(grow(&w, 64), plain.data + 128 + i * 164, 64);
		memset(grow(&w, 8), 0xee, 8);
		if (i < 2)
			memcpy(grow(&w, SLOT), plain.data + 192 + i * 164, SLOT);
	}
	for (i = 1; i < 300; i += 40) {
		begin(&r);
		assert_int_equal(feed(&r, w.data, w.bytes, (size_t)i), 0);
		recorder_close(&r.recorder);
		assert_int_equal(read_back().track.bytes, 2 * SLOT);
		assert_int_equal(r.intake.track.ended, 1);
	}
	free(w.data);
	free(plain.data);
}

static void epochs_and_sessions_follow_each_other(void **state)
{
	struct wire w = stream_of(3);
	struct figures f;
	struct run r;

	(void)state;
	add_hello(&w, 1, 2);
	add_slot(&w, 0);
	add_end(&w, 1);
	add_hello(&w, 2, 1);	/* another session, begun late, without its end */
	add_slot(&w, 7);
	begin(&r);
	assert_int_equal(feed(&r, w.data, w.bytes, 99), 0);
	recorder_close(&r.recorder);
	f = read_back();
	assert_int_equal(f.track.epochs, 3);
	assert_int_equal(f.track.bytes, 5 * SLOT);
	assert_int_equal(f.track.lost_bytes, 0);
	assert_int_equal(f.track.first, 7 * SLOT);
	assert_int_equal(f.track.ended, 0);
	free(w.data);
}

static void nobody_else_may_speak_between(void **state)
{
	struct wire w = { 0 };
	struct run r;

	(void)state;
	add_hello(&w, 1, 1);
	add_slot(&w, 0);
	add_end(&w, 1);
	add_slot(&w, 1);
	begin_without_files(&r);
	assert_int_equal(feed(&r, w.data, w.bytes, 1000), INTAKE_REFUSED);
	assert_int_equal(r.intake.track.bytes, SLOT);
	free(w.data);
}

static void mutated_streams_never_get_through_wrong(void **state)
{
	struct wire w = stream_of(6), copy = { 0 };
	unsigned int seed = 7, refused = 0;
	size_t bytes;
	struct run r;
	int i, k;

	(void)state;
	grow(&copy, w.bytes);
	for (i = 0; i < 100000; i++) {
		memcpy(copy.data, w.data, w.bytes);
		bytes = w.bytes;
		if (i % 10 == 9)
			for (k = 0; k < 64; k++)
				copy.data[rand_r(&seed) % bytes] = (unsigned char)rand_r(&seed);
		else
			for (k = rand_r(&seed) % 4; k >= 0; k--)
				copy.data[rand_r(&seed) % bytes] ^= (unsigned char)(1 << rand_r(&seed) % 8);
		if (i % 5 == 4)
			bytes = (size_t)rand_r(&seed) % bytes;
		begin_without_files(&r);
		refused += !!feed(&r, copy.data, bytes, (size_t)rand_r(&seed) % 300 + 1);
		/* Positions account for everything that is counted. */
		assert_true(r.intake.track.bytes <= bytes);
		assert_int_equal(r.intake.left, 0);
		assert_true(r.judge.right + r.judge.wrong >= r.intake.track.bytes);
	}
	assert_true(refused > 10000);
	free(w.data);
	free(copy.data);
}

/* Whatever comes: what is stored can be read, and is what was counted. */
static void mutated_streams_become_recordings_that_fit(void **state)
{
	static struct recording rec;
	struct wire w = stream_of(6), copy = { 0 };
	struct sgring_track track;
	unsigned int seed = 21, entries = 0;
	uint64_t skip, lost;
	struct run r;
	int i, k, c, item;

	(void)state;
	grow(&copy, w.bytes);
	for (i = 0; i < 3000; i++) {
		begin(&r);
		r.intake.judge = NULL;
		for (c = 0; c < 3; c++) {	/* connections, two of them damaged */
			memcpy(copy.data, w.data, w.bytes);
			for (k = c ? rand_r(&seed) % 4 : 0; k > 0; k--)
				copy.data[rand_r(&seed) % w.bytes] ^= (unsigned char)(1 << rand_r(&seed) % 8);
			if (i % 3 == 0)		/* the header is what it is most fun to damage */
				copy.data[24 + rand_r(&seed) % 40] ^= (unsigned char)(1 << rand_r(&seed) % 8);
			feed(&r, copy.data, (size_t)rand_r(&seed) % w.bytes, 400);
		}
		assert_int_equal(recorder_close(&r.recorder), 0);
		memset(&track, 0, sizeof(track));
		assert_int_equal(recording_open(&rec, name, NULL), 0);
		while (r.recorder.index_bytes && (item = recording_next(&rec)) != RECORDING_END) {
			if (item < 0)
				fail_msg("%s", rec.error);
			if (item == RECORDING_HELLO)
				sgring_track_hello(&track, &rec.hello);
			if (item == RECORDING_TAIL) {
				assert_int_equal(rec.torn, 0);
				assert_int_equal(rec.data_bytes, rec.data_end);
			}
			if (item != RECORDING_ENTRY)
				continue;
			assert_int_equal(sgring_track_entry(&track, &rec.entry, &skip, &lost), 1);
			assert_int_equal(skip, 0);
			entries++;
		}
		recording_close(&rec);
		assert_int_equal(track.bytes, r.intake.track.bytes);
	}
	assert_true(entries > 3000);
	free(w.data);
	free(copy.data);
}

/* --- datagrams */

struct parcel {
	struct wire wire[64];
	unsigned int count;
};

static struct wire *parcel_add(struct parcel *p)
{
	p->wire[p->count] = (struct wire){ 0 };
	return &p->wire[p->count++];
}

static void parcel_free(struct parcel *p)
{
	while (p->count)
		free(p->wire[--p->count].data);
}

/* Each slot in two parts of 60 and 40 bytes. */
static void parcel_stream(struct parcel *p, uint32_t epoch, unsigned int slots)
{
	unsigned int i;

	add_hello(parcel_add(p), 1, epoch);
	for (i = 0; i < slots; i++) {
		add_part(parcel_add(p), i, 0, 60, 0);
		add_part(parcel_add(p), i, 60, 40, 0);
	}
	add_end(parcel_add(p), slots);
}

static struct datagrams *datagrams_new(struct run *r)
{
	struct datagrams *d = calloc(1, sizeof(*d));

	d->to = &r->intake;
	r->intake.join = true;
	return d;
}

static void take(struct datagrams *d, const struct parcel *p, unsigned int i)
{
	assert_true(datagrams_take(d, p->wire[i].data, p->wire[i].bytes, 1) >= 0);
}

static void parts_become_slots_again(void **state)
{
	struct parcel p = { 0 };
	struct datagrams *d;
	struct figures f;
	struct run r;
	unsigned int i;

	(void)state;
	parcel_stream(&p, 1, 10);
	begin(&r);
	d = datagrams_new(&r);
	take(d, &p, 3);		/* before the hello: nobody knows what it is */
	for (i = 0; i < p.count; i++)
		take(d, &p, i);
	assert_int_equal(datagrams_end(d), 0);
	recorder_close(&r.recorder);
	f = read_back();
	assert_int_equal(f.track.entries, 11);
	assert_int_equal(f.track.bytes, 10 * SLOT);
	assert_int_equal(f.track.ended, 1);
	assert_int_equal(d->unknown, 1);
	assert_int_equal(r.intake.track.entries, 11);
	free(d);
	parcel_free(&p);
}

/* Every order of seven datagrams behind the hello. */
static void any_order_is_put_right(void **state)
{
	unsigned int order[7] = { 1, 2, 3, 4, 5, 6, 7 }, i, k, n, count[7] = { 0 };
	struct parcel p = { 0 };
	struct datagrams *d;
	struct run r;

	(void)state;
	parcel_stream(&p, 1, 3);
	assert_int_equal(p.count, 8);
	for (n = 0, i = 0; i < 7;) {	/* Heap's permutations */
		begin_without_files(&r);
		d = datagrams_new(&r);
		take(d, &p, 0);
		for (k = 0; k < 7; k++) {
			take(d, &p, order[k]);
			if (k % 3 == 0)
				take(d, &p, order[k]);	/* and some twice */
		}
		assert_int_equal(datagrams_end(d), 0);
		assert_int_equal(r.intake.track.bytes, 3 * SLOT);
		assert_int_equal(r.intake.track.lost_bytes, 0);
		assert_int_equal(r.intake.track.first, 0);
		assert_int_equal(r.intake.track.ended, 1);
		assert_int_equal(r.judge.right, 3 * SLOT);
		assert_int_equal(r.judge.wrong, 0);
		assert_int_equal(d->repeated, 3);
		free(d);
		n++;
		for (i = 0; i < 7 && count[i] >= i; i++)
			count[i] = 0;
		if (i < 7) {
			unsigned int *a = &order[i % 2 ? count[i] : 0], t = *a;

			*a = order[i];
			order[i] = t;
			count[i]++;
		}
	}
	assert_int_equal(n, 5040);
	parcel_free(&p);
}

static void what_does_not_come_is_lost_and_what_comes_late_is_not_taken(void **state)
{
	struct parcel p = { 0 };
	struct datagrams *d;
	struct figures f;
	struct run r;
	unsigned int i;

	(void)state;
	parcel_stream(&p, 1, 10);
	begin(&r);
	d = datagrams_new(&r);
	for (i = 0; i < p.count; i++)
		if (i != 5 && i != 6 && i != 10)
			assert_int_equal(datagrams_take(d, p.wire[i].data, p.wire[i].bytes, 1000), 0);
	assert_int_equal(r.intake.track.position, 2 * SLOT);
	assert_true(datagrams_wait_ms(d, 1000) > 0);
	assert_int_equal(datagrams_tick(d, 1000), 0);
	assert_int_equal(r.intake.track.position, 2 * SLOT);
	/* The time is up for one gap, and later for the next. */
	assert_int_equal(datagrams_wait_ms(d, 2000000000), 0);
	assert_int_equal(datagrams_tick(d, 2000000000), 0);
	assert_int_equal(r.intake.track.position, 4 * SLOT + 60);
	take(d, &p, 5);
	assert_int_equal(d->repeated, 1);
	assert_int_equal(datagrams_tick(d, 4000000000), 0);
	assert_int_equal(datagrams_wait_ms(d, 4000000000), -1);
	assert_int_equal(r.intake.track.ended, 1);
	assert_int_equal(datagrams_end(d), 0);
	recorder_close(&r.recorder);
	f = read_back();
	assert_int_equal(f.track.bytes, 10 * SLOT - SLOT - 40);
	assert_int_equal(f.track.lost_bytes, SLOT + 40);
	assert_int_equal(f.track.gaps, 2);
	free(d);
	parcel_free(&p);
}

static void who_waits_is_bounded(void **state)
{
	struct wire w = { 0 };
	struct datagrams *d;
	struct run r;
	unsigned int i;

	(void)state;
	begin_without_files(&r);
	d = datagrams_new(&r);
	add_hello(&w, 1, 1);
	assert_int_equal(datagrams_take(d, w.data, w.bytes, 1), 0);
	for (i = 0; i < 40000; i++) {	/* the first never comes, the clock stands still */
		w.bytes = 0;
		add_slot(&w, i + 1);
		assert_int_equal(datagrams_take(d, w.data, w.bytes, 1), 0);
		assert_true(d->held_count < DATAGRAMS_HELD);
		assert_true(d->held_bytes <= 1U << 20);
	}
	assert_int_equal(datagrams_end(d), 0);
	assert_int_equal(r.intake.track.bytes, 40000 * SLOT);
	free(d);
	free(w.data);
}

static void stragglers_of_an_epoch_do_not_spoil_the_next(void **state)
{
	struct parcel p = { 0 };
	struct datagrams *d;
	struct run r;
	unsigned int i;

	(void)state;
	parcel_stream(&p, 1, 4);
	add_hello(parcel_add(&p), 1, 2);
	add_part(parcel_add(&p), 0, 0, SLOT, 0);
	/* Of the second epoch, so later. */
	p.wire[p.count - 1].data[18] = 1;
	begin_without_files(&r);
	d = datagrams_new(&r);
	for (i = 0; i < p.count; i++)
		if (i != 7)
			take(d, &p, i);
	take(d, &p, 7);
	take(d, &p, 2);
	take(d, &p, 0);		/* its hello too */
	assert_int_equal(datagrams_end(d), 0);
	assert_int_equal(r.intake.track.position, SLOT);
	assert_int_equal(r.intake.track.epochs, 2);
	assert_int_equal(r.intake.track.lost_bytes, 60);
	assert_int_equal(r.intake.track.cut, 0);
	free(d);
	parcel_free(&p);
}

static void bad_datagrams_are_refused_one_by_one(void **state)
{
	struct parcel p = { 0 };
	struct datagrams *d;
	struct run r;

	(void)state;
	parcel_stream(&p, 1, 2);
	begin_without_files(&r);
	d = datagrams_new(&r);
	assert_int_equal(datagrams_take(d, "abc", 3, 1), INTAKE_REFUSED);
	assert_int_equal(datagrams_take(d, p.wire[0].data, 127, 1), INTAKE_REFUSED);
	take(d, &p, 0);
	assert_int_equal(datagrams_take(d, p.wire[1].data, 63, 1), INTAKE_REFUSED);
	assert_int_equal(datagrams_take(d, p.wire[1].data, p.wire[1].bytes - 1, 1), INTAKE_REFUSED);
	assert_string_equal(d->error, "an entry whose length is not the datagram's");
	p.wire[1].data[40] = 99;
	assert_int_equal(datagrams_take(d, p.wire[1].data, p.wire[1].bytes, 1), INTAKE_REFUSED);
	assert_string_equal(d->error, "entry: slot 99 of 8");
	p.wire[1].data[40] = 0;
	take(d, &p, 1);
	assert_int_equal(r.intake.track.bytes, 60);
	assert_int_equal(d->bad, 5);
	datagrams_end(d);
	free(d);
	parcel_free(&p);
}

static void mutated_datagrams_in_any_order_do_no_harm(void **state)
{
	unsigned int seed = 11, round, i, k;
	struct parcel p = { 0 };
	unsigned char copy[256];
	struct datagrams *d;
	uint64_t now = 1;
	struct run r;

	(void)state;
	parcel_stream(&p, 1, 10);
	parcel_stream(&p, 2, 10);
	for (round = 0; round < 1000; round++) {
		begin_without_files(&r);
		d = datagrams_new(&r);
		for (i = 0; i < 100; i++) {
			const struct wire *w = &p.wire[i ? (unsigned int)rand_r(&seed) % p.count : 0];
			size_t bytes = w->bytes;

			memcpy(copy, w->data, bytes);
			if (i % 2)
				for (k = (unsigned int)rand_r(&seed) % 4; k; k--)
					copy[rand_r(&seed) % bytes] ^= (unsigned char)(1 << rand_r(&seed) % 8);
			if (i % 7 == 6)
				bytes = (size_t)rand_r(&seed) % bytes;
			assert_true(datagrams_take(d, copy, bytes, now) >= 0);
			now += (uint64_t)rand_r(&seed) % 30000000;
			assert_true(datagrams_tick(d, now) >= 0);
		}
		assert_int_equal(datagrams_end(d), 0);
		assert_int_equal(d->held_bytes, 0);
		free(d);
	}
	parcel_free(&p);
}

/* --- disks that are full, files that are damaged */

static void a_full_disk_leaves_files_that_fit_together(void **state)
{
	struct wire w = stream_of(30);
	struct rlimit all, little;
	struct figures f;
	struct run r;
	rlim_t limit, entries;
	int err;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &all);
	for (limit = 130; limit < 30 * SLOT + 50; limit += 7) {
		unlink(name);
		begin(&r);
		little = (struct rlimit){ .rlim_cur = limit, .rlim_max = all.rlim_max };
		setrlimit(RLIMIT_FSIZE, &little);
		err = feed(&r, w.data, w.bytes, 150);
		err = recorder_close(&r.recorder) ? -1 : err;
		setrlimit(RLIMIT_FSIZE, &all);
		f = read_back();
		/* Of the data as much as fitted, and of the index. */
		if (limit < 30 * SLOT)
			assert_true(err < 0);
		else
			assert_int_equal(err, 0);
		entries = (limit - SGRING_HELLO_BYTES) / SGRING_ENTRY_BYTES;
		assert_int_equal(f.track.bytes, entries * SLOT < limit ? entries * SLOT :
				 limit < 30 * SLOT ? limit : 30 * SLOT);
		assert_int_equal(f.track.lost_bytes, 0);
	}
	free(w.data);
}

/* More entries than are written at a time: what follows a lost one is lost too. */
static void an_index_that_is_full_describes_a_beginning(void **state)
{
	struct wire w = { 0 };
	struct rlimit all, little;
	struct figures f;
	struct run r;
	unsigned int i;

	(void)state;
	getrlimit(RLIMIT_FSIZE, &all);
	begin(&r);
	/* So little data that only the index is full. */
	add_hello(&w, 1, 1);
	for (i = 0; i < 400; i++)
		add_part(&w, i, 0, 1, 0);
	little = (struct rlimit){ .rlim_cur = 10000, .rlim_max = all.rlim_max };
	setrlimit(RLIMIT_FSIZE, &little);
	assert_true(feed(&r, w.data, w.bytes, 150) < 0);
	assert_true(recorder_close(&r.recorder) <= 0);
	setrlimit(RLIMIT_FSIZE, &all);
	f = read_back();
	assert_int_equal(f.track.bytes, (10000 - SGRING_HELLO_BYTES) / SGRING_ENTRY_BYTES);
	free(w.data);
}

static void a_damaged_index_is_refused_and_never_believed(void **state)
{
	static struct recording rec;
	char path[sizeof(name) + 8];
	unsigned char index[SGRING_HELLO_BYTES + 7 * SGRING_ENTRY_BYTES], copy[sizeof(index)];
	unsigned int seed = 3, damaged = 0;
	struct wire w = stream_of(6);
	struct run r;
	int i, k, fd, item;

	(void)state;
	begin(&r);
	assert_int_equal(feed(&r, w.data, w.bytes, 1000), 0);
	recorder_close(&r.recorder);
	snprintf(path, sizeof(path), "%s.index", name);
	fd = open(path, O_RDWR);
	assert_int_equal(read(fd, index, sizeof(index)), sizeof(index));
	for (i = 0; i < 20000; i++) {
		memcpy(copy, index, sizeof(index));
		for (k = rand_r(&seed) % 3; k >= 0; k--)
			copy[rand_r(&seed) % sizeof(copy)] ^= (unsigned char)(1 << rand_r(&seed) % 8);
		assert_int_equal(pwrite(fd, copy, sizeof(copy), 0), sizeof(copy));
		if (i % 4 == 3)
			assert_int_equal(ftruncate(fd, rand_r(&seed) % (int)sizeof(copy)), 0);
		assert_int_equal(recording_open(&rec, name, NULL), 0);
		while ((item = recording_next(&rec)) > RECORDING_END)
			if (item == RECORDING_ENTRY)
				assert_true(rec.entry.length_bytes <= rec.hello.slot_bytes);
		if (item < 0) {
			damaged++;
			assert_non_null(strstr(rec.error, ".index: byte "));
		}
		recording_close(&rec);
	}
	assert_true(damaged > 5000);
	close(fd);
	free(w.data);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder) && !mkdtemp(strcpy(folder, "/tmp/sgring-intake.XXXXXX")))
		return -1;
	snprintf(name, sizeof(name), "%s/run", folder);
	return 0;
}

static int remove_folder(void **state)
{
	char path[sizeof(name) + 8];

	(void)state;
	snprintf(path, sizeof(path), "%s.data", name);
	unlink(path);
	snprintf(path, sizeof(path), "%s.index", name);
	unlink(path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_in_pieces_of_any_size_is_the_same),
		cmocka_unit_test(a_connection_that_breaks_at_any_byte_is_resumed),
		cmocka_unit_test(what_was_cut_is_kept_with_its_true_length),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(longer_frames_of_a_later_writer_are_read),
		cmocka_unit_test(epochs_and_sessions_follow_each_other),
		cmocka_unit_test(nobody_else_may_speak_between),
		cmocka_unit_test(mutated_streams_never_get_through_wrong),
		cmocka_unit_test(mutated_streams_become_recordings_that_fit),
		cmocka_unit_test(parts_become_slots_again),
		cmocka_unit_test(any_order_is_put_right),
		cmocka_unit_test(what_does_not_come_is_lost_and_what_comes_late_is_not_taken),
		cmocka_unit_test(who_waits_is_bounded),
		cmocka_unit_test(stragglers_of_an_epoch_do_not_spoil_the_next),
		cmocka_unit_test(bad_datagrams_are_refused_one_by_one),
		cmocka_unit_test(mutated_datagrams_in_any_order_do_no_harm),
		cmocka_unit_test(a_full_disk_leaves_files_that_fit_together),
		cmocka_unit_test(an_index_that_is_full_describes_a_beginning),
		cmocka_unit_test(a_damaged_index_is_refused_and_never_believed),
	};

	return cmocka_run_group_tests_name("intake", tests, make_folder, remove_folder);
}

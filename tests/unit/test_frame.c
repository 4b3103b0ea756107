// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Frames: the bytes on the wire are those of sgring_frame(7), what cannot be is
 * refused by name, and a receiver knows what it has over any number of connections.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/sgring.h>

#include "sgring.h"
#include "sgring_frame.h"

#define SLOT 1000

static const struct sgring_hello a_hello = {
	.version = SGRING_FRAME_VERSION,
	.epoch = 3,
	.slot_count = 16,
	.slot_bytes = 0x112233,
	.session = 0x0102030405060708,
	.clock = SGRING_CLOCK_TAI,
	.align_bytes = 4096,
	.clock_ns = 0x1112131415161718,
	.realtime_ns = 0x2122232425262728,
	.label = "rx0",
};

static const struct sgring_cqe an_entry = {
	.sequence = 0x0102030405060708,
	.position_bytes = 0x1112131415161718,
	.host_time_ns = 0x2122232425262728,
	.device_time_ns = 0x3132333435363738,
	.cookie = 0x4142434445464748,
	.slot = 5,
	.length_bytes = 0x112233,
	.flags = SGRING_CQE_GAP | SGRING_CQE_EOP,
	.status = -5,
	.engine_slots = 7,
	.metadata_bytes = 9,
};

static void the_bytes_are_those_of_the_specification(void **state)
{
	static const unsigned char hello[SGRING_HELLO_BYTES] =
		"SGRING\r\n"
		"\x80\0\0\0" "\x40\0\0\0" "\1\0\0\0" "\0\0\0\0"
		"\3\0\0\0" "\x10\0\0\0" "\2\0\0\0" "\0\x10\0\0"
		"\x33\x22\x11\0\0\0\0\0" "\x08\x07\x06\x05\x04\x03\x02\x01"
		"\x18\x17\x16\x15\x14\x13\x12\x11" "\x28\x27\x26\x25\x24\x23\x22\x21"
		"rx0";
	static const unsigned char entry[SGRING_ENTRY_BYTES + 1] =
		"\x08\x07\x06\x05\x04\x03\x02\x01" "\x18\x17\x16\x15\x14\x13\x12\x11"
		"\x28\x27\x26\x25\x24\x23\x22\x21" "\x38\x37\x36\x35\x34\x33\x32\x31"
		"\x48\x47\x46\x45\x44\x43\x42\x41" "\5\0\0\0" "\x33\x22\x11\0"
		"\5\0\0\0" "\xfb\xff\xff\xff" "\7\0\0\0" "\0\0\0\0";
	unsigned char wire[SGRING_HELLO_BYTES];
	struct sgring_hello h;
	struct sgring_cqe e, same = an_entry;

	(void)state;
	sgring_hello_pack(wire, &a_hello);
	assert_memory_equal(wire, hello, sizeof(hello));
	assert_true(sgring_frame_is_hello(wire));
	assert_int_equal(sgring_hello_unpack(&h, wire), 0);
	assert_int_equal(h.hello_bytes, SGRING_HELLO_BYTES);
	assert_int_equal(h.entry_bytes, SGRING_ENTRY_BYTES);
	h.hello_bytes = h.entry_bytes = 0;
	assert_memory_equal(&h, &a_hello, sizeof(h));

	sgring_entry_pack(wire, &an_entry);
	assert_memory_equal(wire, entry, SGRING_ENTRY_BYTES);
	assert_false(sgring_frame_is_hello(wire));
	assert_int_equal(sgring_entry_unpack(&e, wire, &a_hello), 0);
	same.metadata_bytes = 0;
	assert_memory_equal(&e, &same, sizeof(e));
}

static void a_label_goes_out_printable(void **state)
{
	struct sgring_hello h = a_hello;
	unsigned char wire[SGRING_HELLO_BYTES];

	(void)state;
	memset(h.label, 'x', sizeof(h.label));	/* not even terminated */
	memcpy(h.label, "\033[2J\377", 5);
	sgring_hello_pack(wire, &h);
	assert_int_equal(sgring_hello_unpack(&h, wire), 0);
	assert_string_equal(h.label, "?[2J?xxxxxxxxxxxxxxxxxxxxxxxxxx");
}

/* Bytes at a place of a hello or an entry, and what is said about them. */
struct wrong {
	size_t at;
	uint64_t value;
	size_t bytes;
	const char *says;
};

static void spoil(unsigned char *wire, const struct wrong *w)
{
	memcpy(wire + w->at, &w->value, w->bytes);	/* the tests run on little endian */
}

static void a_hello_that_cannot_be_is_refused_by_name(void **state)
{
	static const struct wrong wrongs[] = {
		{ 0, 'X', 1, "not a hello: it begins with 58 47 52 49 4e 47 0d 0a" },
		{ 7, '\r', 1, "not a hello" },		/* what a text filter makes of it */
		{ 8, 120, 4, "120 bytes long" },
		{ 8, 129, 4, "129 bytes long" },
		{ 8, 4104, 4, "4104 bytes long" },
		{ 12, 0, 4, "entries of 0 bytes" },
		{ 12, 56, 4, "entries of 56 bytes" },
		{ 12, 1032, 4, "entries of 1032 bytes" },
		{ 12, 0xfffffff8, 4, "entries of 4294967288 bytes" },
		{ 16, 2, 4, "version 2" },
		{ 16, 0, 4, "version 0" },
		{ 20, 1, 4, "flags 0x1" },
		{ 28, 0, 4, "no slots" },
		{ 32, 5, 4, "clock 5" },
		{ 36, 0, 4, "alignment of 0 bytes" },
		{ 36, 3, 4, "alignment of 3 bytes" },
		{ 36, 1U << 21, 4, "alignment of 2097152 bytes" },
		{ 40, 0, 8, "slots of 0 bytes" },
		{ 40, 1ULL << 32, 8, "slots of 4294967296 bytes" },
		{ 48, 0, 8, "session 0" },
		{ 72, 0x1b, 1, "byte 0x1b in its label" },
		{ 72 + 10, 'x', 1, "byte 0x78 in its label" },	/* behind its end */
		{ 127, 1, 1, "byte 127, which is reserved" },
	};
	unsigned char wire[SGRING_HELLO_BYTES];
	struct sgring_hello h;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		int want = wrongs[i].at == 16 ? -EPROTONOSUPPORT : -EPROTO;

		sgring_hello_pack(wire, &a_hello);
		spoil(wire, &wrongs[i]);
		memset(&h, 0x55, sizeof(h));
		assert_int_equal(sgring_hello_unpack(&h, wire), want);
		if (!strstr(sgring_errmsg(), wrongs[i].says))
			fail_msg("\"%s\" does not say \"%s\"", sgring_errmsg(), wrongs[i].says);
		assert_int_equal(h.session, 0x5555555555555555);
	}
	sgring_hello_pack(wire, &a_hello);
	memset(wire + 72, 'x', 32);
	assert_int_equal(sgring_hello_unpack(&h, wire), -EPROTO);
	assert_non_null(strstr(sgring_errmsg(), "does not end"));
}

static void an_entry_that_cannot_be_is_refused_by_name(void **state)
{
	static const struct wrong wrongs[] = {
		{ 0, 0x0a0d474e49524753, 8, "a hello where an entry should be" },
		{ 8, INT64_MAX, 8, "beyond 2^63" },
		{ 8, UINT64_MAX, 8, "beyond 2^63" },
		{ 40, 16, 4, "slot 16 of 16" },
		{ 40, SGRING_NO_SLOT, 4, "slot 4294967295 of 16" },
		{ 44, 0x112234, 4, "1122868 bytes in a slot of 1122867" },
		{ 44, 0xffffffff, 4, "4294967295 bytes in a slot" },
		{ 48, SGRING_CQE_EOS, 4, "end of stream with slot 5" },
		{ 52, 1, 4, "status 1" },
		{ 52, 0x80000000, 4, "status -2147483648" },
		{ 60, 8, 4, "8 bytes of metadata" },
	};
	unsigned char wire[SGRING_ENTRY_BYTES];
	struct sgring_cqe e;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		sgring_entry_pack(wire, &an_entry);
		spoil(wire, &wrongs[i]);
		memset(&e, 0x55, sizeof(e));
		assert_int_equal(sgring_entry_unpack(&e, wire, &a_hello), -EPROTO);
		if (!strstr(sgring_errmsg(), wrongs[i].says))
			fail_msg("\"%s\" does not say \"%s\"", sgring_errmsg(), wrongs[i].says);
		assert_int_equal(e.cookie, 0x5555555555555555);
	}
	/* The end of stream has no slot, and no data. */
	e = (struct sgring_cqe){ .slot = SGRING_NO_SLOT, .flags = SGRING_CQE_EOS, .length_bytes = 1 };
	sgring_entry_pack(wire, &e);
	assert_int_equal(sgring_entry_unpack(&e, wire, &a_hello), -EPROTO);
	e.length_bytes = 0;
	sgring_entry_pack(wire, &e);
	assert_int_equal(sgring_entry_unpack(&e, wire, &a_hello), 0);
}

static void what_a_later_minor_writer_adds_is_let_through(void **state)
{
	static const struct wrong longer[] = { { 8, 4096, 4, NULL }, { 12, 1024, 4, NULL } };
	static const struct wrong flag = { 48, 1ULL << 31, 4, NULL };
	unsigned char wire[SGRING_HELLO_BYTES];
	struct sgring_hello h;
	struct sgring_cqe e;

	(void)state;
	sgring_hello_pack(wire, &a_hello);
	spoil(wire, &longer[0]);
	spoil(wire, &longer[1]);
	assert_int_equal(sgring_hello_unpack(&h, wire), 0);
	assert_int_equal(h.hello_bytes, 4096);
	assert_int_equal(h.entry_bytes, 1024);
	sgring_entry_pack(wire, &an_entry);
	spoil(wire, &flag);
	assert_int_equal(sgring_entry_unpack(&e, wire, &a_hello), 0);
	assert_int_equal(e.flags, 1U << 31);
}

/* What is let through keeps its promises, whatever came. */
static void random_bytes_and_mutations_never_get_through_wrong(void **state)
{
	unsigned char wire[SGRING_HELLO_BYTES];
	unsigned int seed = 1, n, good = 0;
	struct sgring_hello h, other;
	struct sgring_cqe e;
	int i, k;

	(void)state;
	for (i = 0; i < 100000; i++) {
		sgring_hello_pack(wire, &a_hello);
		n = (unsigned int)rand_r(&seed) % 4;
		for (k = 0; k < (int)n; k++)
			wire[rand_r(&seed) % sizeof(wire)] ^= (unsigned char)(1 << rand_r(&seed) % 8);
		if (!sgring_hello_unpack(&h, wire)) {
			good++;
			assert_true(h.slot_count && h.slot_bytes && h.slot_bytes <= UINT32_MAX);
			assert_true(h.session && !(h.align_bytes & (h.align_bytes - 1)));
			assert_true(strlen(h.label) < sizeof(h.label));
		}
		for (k = 0; k < SGRING_ENTRY_BYTES; k++)
			wire[k] = (unsigned char)rand_r(&seed);
		other = a_hello;
		if (i % 2)
			sgring_entry_pack(wire, &an_entry);
		for (k = 0; k < (int)n; k++)
			wire[rand_r(&seed) % SGRING_ENTRY_BYTES] ^= (unsigned char)(1 << rand_r(&seed) % 8);
		if (!sgring_entry_unpack(&e, wire, &other)) {
			good++;
			assert_true(e.length_bytes <= other.slot_bytes);
			assert_true(e.position_bytes + e.length_bytes <= INT64_MAX);
			assert_true(e.slot < other.slot_count || e.flags & SGRING_CQE_EOS);
		}
	}
	assert_true(good > 10000);
}

/* --- following a stream */

static struct sgring_hello hello(uint64_t session, uint32_t epoch)
{
	struct sgring_hello h = a_hello;

	h.session = session;
	h.epoch = epoch;
	return h;
}

struct step {
	uint64_t skip;
	uint64_t lost;
	int result;
};

static struct step step(struct sgring_track *t, const struct sgring_cqe *e)
{
	struct step s;

	s.result = sgring_track_entry(t, e, &s.skip, &s.lost);
	return s;
}

static struct sgring_cqe slot(unsigned int sequence)
{
	return (struct sgring_cqe){ .sequence = sequence, .position_bytes = sequence * SLOT,
				    .length_bytes = SLOT };
}

static struct sgring_cqe end(unsigned int sequence)
{
	return (struct sgring_cqe){ .sequence = sequence, .position_bytes = sequence * SLOT,
				    .slot = SGRING_NO_SLOT, .flags = SGRING_CQE_EOS };
}

#define GIVES(r, s, l, track, entry) do { \
	struct sgring_cqe given = entry; \
	struct step got = step(track, &given); \
	assert_int_equal(got.result, r); \
	assert_int_equal(got.skip, s); \
	assert_int_equal(got.lost, l); \
} while (0)

static void slots_in_order_are_counted(void **state)
{
	struct sgring_hello h = hello(1, 1);
	struct sgring_track t = { 0 };

	(void)state;
	GIVES(-EPROTO, 0, 0, &t, slot(0));
	assert_non_null(strstr(sgring_errmsg(), "before the first hello"));
	assert_int_equal(sgring_track_hello(&t, &h), 1);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 0, &t, slot(1));
	GIVES(1, 0, 0, &t, end(2));
	assert_int_equal(t.bytes, 2 * SLOT);
	assert_int_equal(t.entries, 3);
	assert_int_equal(t.lost_bytes, 0);
	assert_int_equal(t.ended, 1);
	assert_int_equal(t.cut, 0);
	GIVES(-EPROTO, 0, 0, &t, slot(2));
	assert_non_null(strstr(sgring_errmsg(), "after the end of the stream, at 2000"));
}

static void a_gap_is_told_to_the_byte(void **state)
{
	struct sgring_hello h = hello(1, 1);
	struct sgring_track t = { 0 };

	(void)state;
	sgring_track_hello(&t, &h);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 2 * SLOT, &t, slot(3));
	GIVES(1, 0, 0, &t, slot(4));
	GIVES(1, 0, SLOT, &t, end(6));		/* what was lost at the very end */
	assert_int_equal(t.gaps, 2);
	assert_int_equal(t.lost_bytes, 3 * SLOT);
}

static void a_late_beginning_is_no_loss_unless_it_is_marked(void **state)
{
	struct sgring_hello h = hello(1, 1);
	struct sgring_track t = { 0 };
	struct sgring_cqe e = slot(5);

	(void)state;
	sgring_track_hello(&t, &h);
	GIVES(1, 0, 0, &t, e);
	assert_int_equal(t.first, 5 * SLOT);
	assert_int_equal(t.lost_bytes, 0);
	/* The next epoch must begin at its beginning. */
	GIVES(1, 0, 0, &t, end(6));
	h.epoch = 2;
	assert_int_equal(sgring_track_hello(&t, &h), 1);
	GIVES(1, 0, SLOT, &t, slot(1));

	t = (struct sgring_track){ 0 };
	sgring_track_hello(&t, &h);
	e.flags = SGRING_CQE_GAP;
	GIVES(1, 0, 5 * SLOT, &t, e);
	assert_int_equal(t.first, 0);
}

static void a_reconnection_resumes_and_repeats_nothing(void **state)
{
	struct sgring_hello h = hello(1, 1);
	struct sgring_track t = { 0 };
	struct sgring_cqe e;

	(void)state;
	sgring_track_hello(&t, &h);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 0, &t, slot(1));
	GIVES(1, 0, 0, &t, slot(2));
	e = slot(2);
	sgring_track_cut(&t, &e, 300);		/* 700 bytes of it came */
	assert_int_equal(t.bytes, 2 * SLOT + 700);
	assert_int_equal(sgring_track_hello(&t, &h), 0);
	GIVES(0, SLOT, 0, &t, slot(1));
	GIVES(1, 700, 0, &t, slot(2));
	/* The connection breaks again, within what is a repetition. */
	sgring_track_cut(&t, &e, 900);
	assert_int_equal(t.bytes, 2 * SLOT + 700);
	assert_int_equal(t.repeated_bytes, SLOT + 100);
	sgring_track_hello(&t, &h);
	GIVES(1, 700, 0, &t, slot(2));
	GIVES(1, 0, 0, &t, end(3));
	assert_int_equal(t.bytes, 3 * SLOT);
	assert_int_equal(t.lost_bytes, 0);
	assert_int_equal(t.repeated_bytes, SLOT + 100 + 700);
	/* And the end may be repeated. */
	sgring_track_hello(&t, &h);
	GIVES(0, SLOT, 0, &t, slot(2));
	GIVES(0, 0, 0, &t, end(3));
	assert_int_equal(t.ended, 1);
	assert_int_equal(t.cut, 0);
	assert_int_equal(t.epochs, 1);
}

static void a_failed_slot_has_no_data_and_is_counted_once(void **state)
{
	struct sgring_hello h = hello(1, 1);
	struct sgring_track t = { 0 };
	struct sgring_cqe failed = slot(1);

	(void)state;
	failed.length_bytes = 0;
	failed.status = -EIO;
	sgring_track_hello(&t, &h);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 0, &t, failed);
	sgring_track_hello(&t, &h);
	GIVES(0, SLOT, 0, &t, slot(0));
	GIVES(0, 0, 0, &t, failed);
	GIVES(1, 0, SLOT, &t, slot(2));
	assert_int_equal(t.failed, 1);
	assert_int_equal(t.entries, 3);
	assert_int_equal(t.gaps, 1);
}

static void a_stream_that_ended_by_itself_has_no_failed_slot(void **state)
{
	struct sgring_hello h = hello(1, 1);
	struct sgring_track t = { 0 };
	struct sgring_cqe last = end(1);

	(void)state;
	last.status = -ESHUTDOWN;
	sgring_track_hello(&t, &h);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 0, &t, last);
	assert_true(t.ended);
	assert_int_equal(t.failed, 0);
}

static void a_reconnection_may_go_back_over_an_epoch(void **state)
{
	struct sgring_hello first = hello(1, 1), second = hello(1, 2);
	struct sgring_track t = { 0 };

	(void)state;
	sgring_track_hello(&t, &first);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 0, &t, end(1));
	assert_int_equal(sgring_track_hello(&t, &second), 1);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 0, &t, slot(1));
	/* It does not know what arrived. */
	assert_int_equal(sgring_track_hello(&t, &first), 0);
	GIVES(0, SLOT, 0, &t, slot(0));
	GIVES(0, 0, 0, &t, end(1));
	assert_int_equal(t.ended, 0);
	assert_int_equal(sgring_track_hello(&t, &second), 0);
	GIVES(0, SLOT, 0, &t, slot(0));
	GIVES(0, SLOT, 0, &t, slot(1));
	GIVES(1, 0, 0, &t, slot(2));
	assert_int_equal(t.bytes, 4 * SLOT);
	assert_int_equal(t.lost_bytes, 0);
	assert_int_equal(t.epochs, 2);
	assert_int_equal(t.cut, 0);
}

static void an_end_that_never_came_is_counted(void **state)
{
	struct sgring_hello first = hello(1, 1), second = hello(1, 2), other = hello(2, 1);
	struct sgring_track t = { 0 };

	(void)state;
	sgring_track_hello(&t, &first);
	GIVES(1, 0, 0, &t, slot(0));
	assert_int_equal(sgring_track_hello(&t, &second), 1);
	assert_int_equal(t.cut, 1);
	GIVES(1, 0, 0, &t, slot(0));
	assert_int_equal(sgring_track_hello(&t, &other), 1);
	assert_int_equal(t.cut, 2);
	GIVES(1, 0, 0, &t, slot(0));
	GIVES(1, 0, 0, &t, end(1));
	assert_int_equal(sgring_track_hello(&t, &first), 1);
	assert_int_equal(t.cut, 2);
	assert_int_equal(t.epochs, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bytes_are_those_of_the_specification),
		cmocka_unit_test(a_label_goes_out_printable),
		cmocka_unit_test(a_hello_that_cannot_be_is_refused_by_name),
		cmocka_unit_test(an_entry_that_cannot_be_is_refused_by_name),
		cmocka_unit_test(what_a_later_minor_writer_adds_is_let_through),
		cmocka_unit_test(random_bytes_and_mutations_never_get_through_wrong),
		cmocka_unit_test(slots_in_order_are_counted),
		cmocka_unit_test(a_gap_is_told_to_the_byte),
		cmocka_unit_test(a_late_beginning_is_no_loss_unless_it_is_marked),
		cmocka_unit_test(a_reconnection_resumes_and_repeats_nothing),
		cmocka_unit_test(a_failed_slot_has_no_data_and_is_counted_once),
		cmocka_unit_test(a_stream_that_ended_by_itself_has_no_failed_slot),
		cmocka_unit_test(a_reconnection_may_go_back_over_an_epoch),
		cmocka_unit_test(an_end_that_never_came_is_counted),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The dummy's profiles behave like xilinx_dma, pl330 and bcm2835-dma, with what
 * is wrong with them. Each must stream right with a set-up of all defaults, be
 * refused by name what it cannot do, and be restarted as it needs it.
 */
#include "common.h"

#define SLOT	(64 * KIB)

/* As in kernel/engine.h, and in bug reports. */
#define QUIRK_RESULT	1
#define QUIRK_NO_RESULT	2
#define QUIRK_SINGLE	4
#define QUIRK_DRAIN	8
#define QUIRK_RENEW	16

static struct stream open_slots(const char *label)
{
	return stream_open(label, &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
}

/* Up to the end of the stream, every byte checked, all slots given back. */
static void run_out(struct stream *s)
{
	struct sgring_cqe e;

	while (!((e = stream_next(s)).flags & SGRING_CQE_EOS)) {
		assert_int_equal(e.status, 0);
		assert_true(stream_data_right(s, &e));
		stream_return(s, e.slot, 0);
	}
	assert_int_equal(e.status, 0);
}

static void refused(const char *label, struct sgring_setup setup, int error, const char *why)
{
	char message[200] = "";
	int fd = dev_open(label, O_RDWR);

	setup.message = (uintptr_t)message;
	setup.message_bytes = sizeof(message);
	assert_int_equal(sg_setup(fd, &setup), -error);
	if (!strstr(message, why))
		fail_msg("\"%s\" does not name \"%s\"", message, why);
	close(fd);
}

static void defaults_stream(const char *label)
{
	struct stream s = stream_open(label, NULL);

	stream_start(&s);
	stream_run(&s, s.setup.slot_count + 8);
	assert_int_equal(stats_of(s.fd).odd_callbacks, 0);
	assert_int_equal(stats_of(s.fd).engine_errors, 0);
	assert_int_equal(stats_of(s.fd).residue_bad, 0);
	stream_stop(&s);
	run_out(&s);
	assert_int_equal(knob_get(label, "violations"), 0);
}

/* Stopped anywhere, drained or not, it streams again from position 0. */
static void restarts(const char *label, unsigned int count)
{
	struct stream s = open_slots(label);
	unsigned int i;

	for (i = 0; i < count; i++) {
		stream_start(&s);
		stream_run(&s, 3 + i % 5);
		if (i % 2)
			stream_stop(&s);
		else
			assert_int_equal(sg_drain(s.fd, 2000, NULL), 0);
		run_out(&s);
	}
	assert_int_equal(stats_of(s.fd).epoch, count);
	assert_int_equal(stats_of(s.fd).slots_engine, 0);
	stream_close(&s);
	assert_int_equal(knob_get(label, "violations"), 0);
}

/* ---- xilinx_dma ---- */

static void xilinx_streams_with_all_defaults(void **state)
{
	(void)state;
	defaults_stream("xilinx0");
}

static void xilinx_tells_what_it_is(void **state)
{
	struct sgring_query q = query_of(dev_open("xilinx0", O_RDONLY));

	(void)state;
	assert_string_equal(q.label, "xilinx0");
	assert_string_equal(q.engine, "sgring-dummy-xilinx");
	assert_int_equal(q.quirks, QUIRK_RESULT | QUIRK_SINGLE | QUIRK_DRAIN | QUIRK_RENEW);
	assert_int_equal(q.queue_depth_max, 2);
	assert_int_equal(q.width_bytes, 8);
	assert_int_equal(q.segments_max, 1);
	assert_true(q.features & SGRING_FEAT_LENGTH);
}

static void xilinx_limits_are_refused_by_name(void **state)
{
	(void)state;
	refused("xilinx0", (struct sgring_setup){ .queue_depth = 3 }, ERANGE,
		"queue_depth of 3: at most 2");
	refused("xilinx0", (struct sgring_setup){ .slot_bytes = 4100 }, EINVAL, "multiples of 8");
	refused("xilinx0", (struct sgring_setup){ .slot_bytes = 8 * MIB, .slot_count = 2 },
		EMSGSIZE, "in one segment");
}

static void xilinx_slots_are_one_segment(void **state)
{
	struct stream s = stream_open("xilinx0", &(struct sgring_setup){
		.slot_bytes = 200 * KIB, .slot_count = 4 });

	(void)state;
	assert_int_equal(s.geometry.segments, 1);
	assert_int_equal(s.setup.queue_depth, 2);
}

/* The rest of a scatter list must not take the next packet. */
static void xilinx_early_end_of_packet_keeps_data_right(void **state)
{
	unsigned int i, ends = 0;
	struct stream s;

	(void)state;
	knob_set("xilinx0", "packet_bytes", 3 * SLOT);
	knob_set("xilinx0", "packet_jitter", 3 * SLOT - 8);
	/* Small chunks are asked for, and must not be had: a slot is one segment. */
	s = stream_open("xilinx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 8, .chunk_bytes = 8 * KIB });
	stream_start(&s);
	for (i = 0; i < 150; i++) {
		struct sgring_cqe e = stream_expect(&s);

		if (e.length_bytes < SLOT)
			assert_true(e.flags & SGRING_CQE_EOP);
		ends += !!(e.flags & SGRING_CQE_EOP);
		stream_return(&s, e.slot, 0);
	}
	assert_in_range(ends, 20, 149);
	assert_in_range(stats_of(s.fd).short_slots, 20, ends + 8);
}

/* It spins for minutes if terminated there, and needs a new channel after it anyway. */
static void xilinx_is_never_terminated_in_mid_packet(void **state)
{
	uint64_t before = knob_get("xilinx0", "terminated_mid_packet");
	uint32_t slots[8], i, n;
	struct stream s;

	(void)state;
	restarts("xilinx0", 10);
	knob_set("xilinx0", "rate", 4000000);
	knob_set("xilinx0", "packet_bytes", 40000);
	restarts("xilinx0", 6);
	/* Not even where no slot is free for the rest of the packet. */
	s = open_slots("xilinx0");
	for (i = 0; i < 4; i++) {
		stream_start(&s);
		for (n = 0; n < 8; n++)
			slots[n] = stream_expect(&s).slot;
		assert_true(WAIT_FOR(kernel_side(&s)->flags & SGRING_STARVED, LONG_MS));
		stream_stop(&s);
		for (n = 0; n < 8; n++)
			stream_return(&s, slots[n], 0);
		run_out(&s);
	}
	assert_int_equal(knob_get("xilinx0", "terminated_mid_packet"), before);
}

/* Its device goes: the engine is still there, and is not left spinning. */
static void xilinx_is_not_terminated_in_mid_packet_by_an_unbind(void **state)
{
	uint64_t before = knob_get("xilinx0", "terminated_mid_packet");
	unsigned int i;

	(void)state;
	for (i = 0; i < 4; i++) {
		struct stream s;

		knob_set("xilinx0", "rate", 4000000);
		knob_set("xilinx0", "packet_bytes", 40000);
		s = open_slots("xilinx0");
		stream_start(&s);
		stream_run(&s, 3 + i);
		assert_int_equal(device_unbind("xilinx0"), 0);
		assert_int_equal(stream_find_end(&s).status, -ENODEV);
		assert_int_equal(device_bind("xilinx0"), 0);
		stream_close(&s);
		assert_int_equal(knob_get("xilinx0", "terminated_mid_packet"), before);
	}
}

/* ---- pl330 ---- */

static void pl330_streams_with_all_defaults(void **state)
{
	(void)state;
	defaults_stream("pl330-0");
}

static void pl330_tells_what_it_is(void **state)
{
	struct sgring_query q = query_of(dev_open("pl330-0", O_RDONLY));

	(void)state;
	assert_string_equal(q.engine, "sgring-dummy-pl330");
	assert_int_equal(q.quirks, QUIRK_NO_RESULT | QUIRK_RENEW);
	assert_int_equal(q.width_bytes, 64);
	assert_int_equal(q.segment_bytes_max, 1900800);
	assert_false(q.features & SGRING_FEAT_LENGTH);
}

static void pl330_limits_are_refused_by_name(void **state)
{
	(void)state;
	refused("pl330-0", (struct sgring_setup){ .slot_bytes = 4100 }, EINVAL, "multiples of 64");
	refused("pl330-0", (struct sgring_setup){ .slot_bytes = 2 * MIB, .slot_count = 2,
		.chunk_policy = SGRING_CHUNK_SINGLE }, EMSGSIZE, "in one segment: at most 1900800");
}

static void pl330_chunks_are_cut_to_its_segments(void **state)
{
	struct stream s = stream_open("pl330-0", &(struct sgring_setup){
		.slot_bytes = 4 * MIB, .slot_count = 3 });

	(void)state;
	assert_true(s.geometry.segments >= 3);
	stream_start(&s);
	stream_run(&s, 6);
}

/* pluck_desc() leaves an old callback_result in the descriptors of other segments. */
static void pl330_stale_callbacks_do_not_come(void **state)
{
	struct stream s = stream_open("pl330-0", &(struct sgring_setup){
		.slot_bytes = 2 * SLOT, .slot_count = 8, .chunk_bytes = 8 * KIB });
	unsigned int i;

	(void)state;
	assert_true(s.geometry.segments >= 8);
	stream_start(&s);
	for (i = 0; i < 200; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_true(e.flags & SGRING_CQE_LENGTH_ASSUMED);
		assert_int_equal(e.length_bytes, 2 * SLOT);
		stream_return(&s, e.slot, 0);
	}
	assert_int_equal(stats_of(s.fd).odd_callbacks, 0);
	assert_int_equal(stats_of(s.fd).late_callbacks, 0);
}

/* Without device_synchronize a callback may still run after the stop. */
static void pl330_restarts_whatever_callback_is_still_to_come(void **state)
{
	(void)state;
	restarts("pl330-0", 24);
}

static void pl330_late_callbacks_do_no_harm(void **state)
{
	struct stream s = open_slots("pl330-0");
	unsigned int i;

	(void)state;
	for (i = 0; i < 10; i++) {
		stream_start(&s);
		stream_run(&s, 5);
		/* Done in the engine, and its callbacks wait: some come after terminate. */
		knob_set("pl330-0", "hold_completion", 1);
		stream_wait(&s, 8, 10);
		knob_set("pl330-0", "late_next", 1);
		stream_stop(&s);
		knob_set("pl330-0", "hold_completion", 0);
		run_out(&s);
	}
	stream_start(&s);
	stream_run(&s, 50);
	assert_int_equal(stats_of(s.fd).odd_callbacks, 0);
}

/* ---- bcm2835-dma ---- */

static void bcm2835_streams_with_all_defaults(void **state)
{
	(void)state;
	defaults_stream("bcm2835-0");
}

static void bcm2835_tells_what_it_is(void **state)
{
	struct sgring_query q = query_of(dev_open("bcm2835-0", O_RDONLY));

	(void)state;
	assert_string_equal(q.engine, "sgring-dummy-bcm2835");
	assert_int_equal(q.width_bytes, 4);
	assert_int_equal(q.quirks, 0);
	assert_false(q.features & SGRING_FEAT_LENGTH);
}

static void bcm2835_moves_words_only(void **state)
{
	static const uint32_t good[] = { 4, 4100, MIB + 100, 12345680 };
	static const uint32_t bad[] = { 4095, 4097, 12345678 };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		refused("bcm2835-0", (struct sgring_setup){ .slot_bytes = bad[i],
			.slot_count = 2 }, EINVAL, "multiples of 4");
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		struct stream s = stream_open("bcm2835-0", &(struct sgring_setup){
			.slot_bytes = good[i], .slot_count = 2 });

		stream_start(&s);
		stream_run(&s, 4);
		stream_close(&s);
	}
}

static void bcm2835_restarts(void **state)
{
	(void)state;
	restarts("bcm2835-0", 10);
}

static void no_rule_of_an_engine_was_broken(void **state)
{
	(void)state;
	assert_int_equal(knob_get("xilinx0", "violations"), 0);
	assert_int_equal(knob_get("pl330-0", "violations"), 0);
	assert_int_equal(knob_get("bcm2835-0", "violations"), 0);
}

GROUP(TEST(xilinx_streams_with_all_defaults),
      TEST(xilinx_tells_what_it_is),
      TEST(xilinx_limits_are_refused_by_name),
      TEST(xilinx_slots_are_one_segment),
      TEST(xilinx_early_end_of_packet_keeps_data_right),
      TEST(xilinx_is_never_terminated_in_mid_packet),
      TEST(xilinx_is_not_terminated_in_mid_packet_by_an_unbind),
      TEST(pl330_streams_with_all_defaults),
      TEST(pl330_tells_what_it_is),
      TEST(pl330_limits_are_refused_by_name),
      TEST(pl330_chunks_are_cut_to_its_segments),
      TEST(pl330_stale_callbacks_do_not_come),
      TEST(pl330_restarts_whatever_callback_is_still_to_come),
      TEST(pl330_late_callbacks_do_no_harm),
      TEST(bcm2835_streams_with_all_defaults),
      TEST(bcm2835_tells_what_it_is),
      TEST(bcm2835_moves_words_only),
      TEST(bcm2835_restarts),
      TEST(no_rule_of_an_engine_was_broken))

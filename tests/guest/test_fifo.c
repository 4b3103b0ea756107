// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The device-tree driver of plain FIFO devices, on a device that the dummy
 * describes as a device tree would. Nobody starts or stops it: its pattern goes
 * on from one run to the next, so where a byte belongs is asked of the pattern.
 *
 * The module is there for as long as a test; the others do not know it.
 */
#include <sys/syscall.h>

#include "common.h"

#define FIFO		"fifo0"
#define SLOT		(64 * KIB)
#define ALIGN		16	/* width 4, burst 4 */
#define DRIVER		"/sys/bus/platform/drivers/sgring-fifo/"
#define DEVICE		"sgring-fifo.7"

static int module_insert(void)
{
	int fd = open("/mod/sgring-fifo.ko", O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 || syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return ret;
}

static int module_remove(void)
{
	return syscall(SYS_delete_module, "sgring_fifo", O_NONBLOCK) ? -errno : 0;
}

static int fifo_begin(void **state)
{
	int ret = module_insert();

	if (ret)
		print_error("sgring-fifo.ko: %s\n", strerror(-ret));
	return ret ?: test_begin(state);
}

static int fifo_end(void **state)
{
	int ret = test_end(state);

	/* A test may have removed it. */
	module_remove();
	return dev_exists(FIFO) ? -1 : ret;
}

#define FIFO_TEST(f)	cmocka_unit_test_setup_teardown(f, fifo_begin, fifo_end)

/**
 * struct run - what has come since the start
 * @s: the stream
 * @began: something has
 * @at: of the pattern, the next byte
 * @position: of the stream, the next byte
 * @lost: of the pattern, passed over; the driver does not know
 */
struct run {
	struct stream s;
	bool began;
	uint64_t at;
	uint64_t position;
	uint64_t lost;
};

static struct run run_open(void)
{
	return (struct run){ .s = stream_open(FIFO, &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 8 }) };
}

static void run_start(struct run *r)
{
	r->began = false;
	r->position = 0;
	r->lost = 0;
	stream_start(&r->s);
}

/* Every word is the pattern's, none comes twice, and those passed over are counted. */
static void bytes_right(struct run *r, const struct sgring_cqe *e)
{
	const unsigned char *p = slot_data(&r->s, e->slot);
	uint32_t done = 0, right;

	while (done < e->length_bytes) {
		unsigned int stream;
		uint64_t at = sgring_pattern_locate(sgring_pattern_get(p + done), &stream);

		if (stream != 7 || (r->began && at < r->at))
			fail_msg("position %llu: %llu of stream %d, not %llu of 7",
				 (unsigned long long)(e->position_bytes + done),
				 (unsigned long long)at, (int)stream, (unsigned long long)r->at);
		if (r->began)
			r->lost += at - r->at;
		r->began = true;
		right = sgring_pattern_verify(p + done, e->length_bytes - done, r->s.key, at) & ~7U;
		done += right;
		r->at = at + right;
	}
}

/* An entry of data, or the end. */
static struct sgring_cqe run_next(struct run *r)
{
	struct sgring_cqe e = stream_next(&r->s);

	assert_int_equal(e.position_bytes, r->position);
	assert_false(e.flags & (SGRING_CQE_GAP | SGRING_CQE_DEVICE_TIME));
	if (e.flags & SGRING_CQE_EOS)
		return e;
	assert_int_equal(e.status, 0);
	assert_int_equal(e.length_bytes % ALIGN, 0);
	bytes_right(r, &e);
	r->position += e.length_bytes;
	return e;
}

static void run_slots(struct run *r, unsigned int count)
{
	while (count--) {
		struct sgring_cqe e = run_next(r);

		assert_int_equal(e.length_bytes, SLOT);
		stream_return(&r->s, e.slot, 0);
	}
}

/* Up to the end, all slots given back; how long the last one was. */
static uint32_t run_out(struct run *r, int status)
{
	uint32_t last = 0;
	struct sgring_cqe e;

	while (!((e = run_next(r)).flags & SGRING_CQE_EOS)) {
		last = e.length_bytes;
		if (!status)
			stream_return(&r->s, e.slot, 0);
	}
	assert_int_equal(e.status, status);
	return last;
}

static void no_violations(void)
{
	assert_int_equal(knob_get(FIFO, "violations"), 0);
}

/* ---- streaming ---- */

static void tells_what_it_is(void **state)
{
	struct sgring_query q = query_of(dev_open(FIFO, O_RDONLY));

	(void)state;
	assert_string_equal(q.label, FIFO);
	assert_string_equal(q.device, DEVICE);
	assert_string_equal(q.engine, "sgring-dummy-dma");
	assert_int_equal(q.direction, SGRING_CAPTURE);
	assert_int_equal(q.width_bytes, ALIGN);
	assert_true(q.features & SGRING_FEAT_CAPTURE);
	assert_false(q.features & (SGRING_FEAT_LOST_COUNTER | SGRING_FEAT_DEVICE_TIME));
}

static void streams_every_byte_right(void **state)
{
	struct run r = run_open();

	(void)state;
	run_start(&r);
	run_slots(&r, 120);
	assert_int_equal(r.lost, 0);
	assert_int_equal(r.position, 120 * SLOT);
	no_violations();
}

static void streams_with_all_defaults(void **state)
{
	struct run r = { .s = stream_open(FIFO, NULL) };
	unsigned int i;

	(void)state;
	run_start(&r);
	for (i = 0; i < r.s.setup.slot_count + 4; i++)
		stream_return(&r.s, run_next(&r).slot, 0);
	assert_int_equal(r.lost, 0);
	no_violations();
}

static void slots_are_multiples_of_a_burst(void **state)
{
	static const unsigned int wrong[] = { 1, 4, 8, 17 };
	char message[200];
	unsigned int i;
	struct run r;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct sgring_setup setup = {
			.slot_bytes = SLOT + wrong[i], .slot_count = 4,
			.message = (uintptr_t)message, .message_bytes = sizeof(message),
		};
		int fd = dev_open(FIFO, O_RDWR);

		message[0] = 0;
		assert_int_equal(sg_setup(fd, &setup), -EINVAL);
		if (!strstr(message, "multiples of 16"))
			fail_msg("\"%s\" does not name the multiple", message);
		close(fd);
	}
	r = (struct run){ .s = stream_open(FIFO, &(struct sgring_setup){
		.slot_bytes = SLOT + ALIGN, .slot_count = 4 }) };
	run_start(&r);
	for (i = 0; i < 20; i++)
		stream_return(&r.s, run_next(&r).slot, 0);
	no_violations();
}

/* Nobody counts what overflows: positions go on as if nothing were missing. */
static void overflow_is_unknown(void **state)
{
	struct run r = run_open();
	struct sgring_cqe held[8];
	uint64_t before;
	unsigned int i;

	(void)state;
	knob_set(FIFO, "fifo_bytes", 32 * KIB);
	knob_set(FIFO, "rate", 4 * MIB);
	run_start(&r);
	run_slots(&r, 10);
	before = knob_get(FIFO, "overflowed_bytes");
	/* Starved for a while. */
	for (i = 0; i < 8; i++)
		held[i] = run_next(&r);
	assert_true(WAIT_FOR(knob_get(FIFO, "overflowed_bytes") > before, LONG_MS));
	msleep(50);
	r.lost = 0;
	for (i = 0; i < 8; i++)
		stream_return(&r.s, held[i].slot, 0);
	run_slots(&r, 20);
	assert_true(r.lost);
	assert_int_equal(stats_of(r.s.fd).lost_bytes, 0);
	/* What is in its FIFO, and the hole behind it, is not for the next test. */
	knob_set(FIFO, "rate", 0);
	run_slots(&r, 20);
	no_violations();
}

/* ---- stopping without a stop operation ---- */

static void abort_and_again(void **state)
{
	struct run r = run_open();
	uint64_t at = 0;
	unsigned int i;

	(void)state;
	for (i = 0; i < 6; i++) {
		run_start(&r);
		run_slots(&r, 1 + 3 * i);
		/* It ran on; nothing comes again. */
		assert_true(r.at - r.position >= at);
		stream_stop(&r.s);
		run_out(&r, 0);
		assert_int_equal(r.lost, 0);
		assert_int_equal(stats_of(r.s.fd).slots_engine, 0);
		at = r.at;
	}
	no_violations();
}

static void drain_lets_the_engine_finish(void **state)
{
	struct run r = run_open();
	uint64_t at = 0;
	unsigned int i;
	uint32_t outcome;

	(void)state;
	for (i = 0; i < 6; i++) {
		run_start(&r);
		run_slots(&r, 1 + 3 * i);
		outcome = ~0U;
		assert_int_equal(sg_drain(r.s.fd, LONG_MS, &outcome), 0);
		assert_int_equal(outcome, 0);
		assert_int_equal(run_out(&r, 0) % SLOT, 0);
		/* No byte was dropped, not even between the runs. */
		assert_int_equal(r.lost, 0);
		if (i)
			assert_int_equal(r.at - r.position, at);
		at = r.at;
	}
	no_violations();
}

/* A slow one does not stand still: the time-out ends it, with what there is. */
static void drain_of_a_slow_one_times_out(void **state)
{
	struct run r = run_open();
	uint32_t outcome = 0, last;

	(void)state;
	run_start(&r);
	run_slots(&r, 4);
	knob_set(FIFO, "rate", 64 * KIB);
	while (stream_wait(&r.s, 1, 300))
		stream_return(&r.s, run_next(&r).slot, 0);
	assert_int_equal(sg_drain(r.s.fd, 200, &outcome), 0);
	assert_true(outcome & SGRING_STOPPED_TIMEOUT);
	assert_true(outcome & SGRING_STOPPED_PARTIAL);
	last = run_out(&r, 0);
	assert_in_range(last, ALIGN, SLOT - ALIGN);
	assert_int_equal(r.lost, 0);
	knob_set(FIFO, "rate", 0);
	run_start(&r);
	run_slots(&r, 20);
	no_violations();
}

/* ---- the device, the driver, what the firmware says ---- */

static void is_dead(struct run *r)
{
	struct sgring_query query;

	assert_false(dev_exists(FIFO));
	assert_int_equal(sg_query(r->s.fd, &query), -ENODEV);
	assert_true(kernel_side(&r->s)->flags & SGRING_DEAD);
	run_out(r, -ENODEV);
}

static void streams_again(void)
{
	struct run r = run_open();

	run_start(&r);
	run_slots(&r, 20);
	assert_int_equal(r.lost, 0);
	stream_close(&r.s);
}

static void device_goes_while_streaming(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct run r = run_open();

		run_start(&r);
		run_slots(&r, 10);
		file_write(DRIVER "unbind", DEVICE);
		is_dead(&r);
		file_write(DRIVER "bind", DEVICE);
		streams_again();
		assert_int_equal(sg_start(r.s.fd), -ENODEV);
		stream_close(&r.s);
	}
	no_violations();
}

static void module_goes_while_streaming(void **state)
{
	struct run r = run_open();

	(void)state;
	run_start(&r);
	run_slots(&r, 10);
	assert_int_equal(module_remove(), 0);
	is_dead(&r);
	assert_true(dev_exists("rx0"));
	assert_int_equal(module_insert(), 0);
	streams_again();
	stream_close(&r.s);
}

static void firmware_says(const char *property, uint64_t value, const char *refusal)
{
	char text[24];
	int log = log_open();

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	knob_try(FIFO, property, text);
	if (refusal && !log_has(log, refusal))
		fail_msg("%s of %s is not refused by \"%s\"", property, text, refusal);
	close(log);
	assert_int_equal(dev_exists(FIFO), !refusal);
}

static void wrong_properties_are_refused_by_name(void **state)
{
	(void)state;
	firmware_says("width", 3, "reg-io-width of 3");
	firmware_says("width", 0, "reg-io-width of 0");
	firmware_says("width", 128, "reg-io-width of 128");
	/* What a FIFO may have and this engine does not. */
	firmware_says("width", 32, "no stream: label fifo0, width 32, burst 4");
	firmware_says("width", 4, NULL);
	firmware_says("burst", 0, "sgring,burst-words of 0");
	firmware_says("burst", 65537, "sgring,burst-words of 65537");
	firmware_says("burst", 257, "no stream: label fifo0, width 4, burst 257");
	firmware_says("burst", 4, NULL);
	streams_again();
}

static void properties_make_the_multiple(void **state)
{
	struct run r;

	(void)state;
	firmware_says("width", 8, NULL);
	firmware_says("burst", 64, NULL);
	assert_int_equal(query_of(dev_open(FIFO, O_RDONLY)).width_bytes, 512);
	r = run_open();
	run_start(&r);
	run_slots(&r, 20);
	no_violations();
}

GROUP(FIFO_TEST(tells_what_it_is),
      FIFO_TEST(streams_every_byte_right),
      FIFO_TEST(streams_with_all_defaults),
      FIFO_TEST(slots_are_multiples_of_a_burst),
      FIFO_TEST(overflow_is_unknown),
      FIFO_TEST(abort_and_again),
      FIFO_TEST(drain_lets_the_engine_finish),
      FIFO_TEST(drain_of_a_slow_one_times_out),
      FIFO_TEST(device_goes_while_streaming),
      FIFO_TEST(module_goes_while_streaming),
      FIFO_TEST(wrong_properties_are_refused_by_name),
      FIFO_TEST(properties_make_the_multiple))

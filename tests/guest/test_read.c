// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* read(2): a stream with no set-up and no library, as dd and cat see it. */
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "common.h"

#define PAGE	4096ULL

/* ---- a reader that knows where it is in the stream ---- */

struct reader {
	int fd;
	uint64_t key;
	uint64_t position;
};

static unsigned char buffer[5 * 1024 * 1024];

static struct reader reader_open(const char *label, int flags)
{
	struct reader r = { dev_open(label, O_RDONLY | flags), pattern_key_of(label), 0 };

	assert_true(r.fd >= 0);
	return r;
}

static void bytes_right(struct reader *r, const void *bytes, size_t count)
{
	size_t right = sgring_pattern_verify(bytes, count, r->key, r->position);

	if (right != count)
		fail_msg("byte %zu of %zu at position %llu is wrong", right, count,
			 (unsigned long long)r->position);
	r->position += count;
}

/* What read() gave: bytes, which are right, or -errno. */
static ssize_t take(struct reader *r, size_t most)
{
	ssize_t n = read(r->fd, buffer, most);

	if (n < 0)
		return -errno;
	assert_true((size_t)n <= most);
	bytes_right(r, buffer, n);
	return n;
}

/* So many bytes at least, all right. */
static void take_all(struct reader *r, uint64_t bytes)
{
	uint64_t end = r->position + bytes;

	while (r->position < end) {
		ssize_t n = take(r, sizeof(buffer));

		if (n <= 0)
			fail_msg("read: %zd", n);
	}
}

/* Right bytes until read() says something else, which it returns. */
static ssize_t take_until_error(struct reader *r)
{
	ssize_t n;

	do
		n = take(r, sizeof(buffer));
	while (n > 0);
	return n;
}

/* Slots of 60 KiB instead of 1 MiB: what happens, happens sooner. */
static void small_slots(void)
{
	parameter_set("limit_stream_mb", 1);
}

static uint32_t state_of(const char *label)
{
	int fd = dev_open(label, O_RDONLY);
	uint32_t state = query_of(fd).state;

	close(fd);
	return state;
}

/* ---- bytes ---- */

static void the_bytes_come_in_order_across_slots(void **state)
{
	struct reader r = reader_open("rx0", 0);

	(void)state;
	take_all(&r, 40 * MIB);
	assert_int_equal(state_of("rx0"), SGRING_STATE_RUNNING);
	assert_int_equal(stats_of(r.fd).sq_bad, 0);
}

static void reads_of_any_size_miss_no_byte(void **state)
{
	static const size_t sizes[] = {
		1, 2, 3, 7, 4095, 4097, 1, 61441, 65536, 100003, 1048577, 13,
	};
	struct reader r = reader_open("rx0", 0);
	struct sgring_geometry g;
	size_t i;

	(void)state;
	small_slots();
	for (i = 0; i < 20 * ARRAY_SIZE(sizes); i++)
		assert_true(take(&r, sizes[i % ARRAY_SIZE(sizes)]) > 0);
	assert_true(r.position > MIB);

	/* And right up to the last byte but one of a slot. */
	assert_int_equal(sg_geometry(r.fd, &g), 0);
	for (i = 0; i < 5; i++) {
		while (r.position % g.slot_bytes != g.slot_bytes - 1)
			assert_true(take(&r, g.slot_bytes - 1 - r.position % g.slot_bytes) > 0);
		assert_int_equal(take(&r, 1), 1);
	}
}

static void a_read_gives_what_there_is(void **state)
{
	struct reader r = reader_open("rx0", 0);
	ssize_t n;

	(void)state;
	small_slots();
	knob_set("rx0", "rate", 1000000);
	knob_set("rx0", "fifo_bytes", MIB);
	n = take(&r, sizeof(buffer));
	assert_in_range(n, 1, sizeof(buffer) - 1);
}

static void a_read_of_nothing_takes_nothing(void **state)
{
	struct reader r = reader_open("rx0", 0);

	(void)state;
	assert_int_equal(read(r.fd, buffer, 0), 0);
	assert_int_equal(state_of("rx0"), SGRING_STATE_IDLE);
}

static void a_bad_buffer_loses_no_byte(void **state)
{
	struct reader r = reader_open("rx0", 0);
	unsigned char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ssize_t n;

	(void)state;
	munmap(page + PAGE, PAGE);
	take_all(&r, 1);
	assert_int_equal(read(r.fd, page + PAGE, 100), -1);
	assert_int_equal(errno, EFAULT);
	n = read(r.fd, page + PAGE - 100, 1000);
	assert_in_range(n, 1, 100);
	bytes_right(&r, page + PAGE - 100, n);
	take_all(&r, 3 * MIB);
}

static void close_ends_it_and_the_next_reader_begins_anew(void **state)
{
	struct reader r;
	int i;

	(void)state;
	small_slots();
	for (i = 0; i < 3; i++) {
		r = reader_open("rx0", 0);
		take_all(&r, 100000);
		close(r.fd);
		assert_int_equal(state_of("rx0"), SGRING_STATE_IDLE);
	}
}

static void every_engine_can_be_read(void **state)
{
	static const char * const labels[] = { "rx1", "xilinx0", "pl330-0", "bcm2835-0" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(labels); i++) {
		struct reader r = reader_open(labels[i], 0);

		take_all(&r, 5 * MIB);
	}
}

/* ---- waiting ---- */

static void nonblocking_reads_say_eagain_and_poll_tells_when_not(void **state)
{
	struct reader r = reader_open("rx0", O_NONBLOCK);
	struct pollfd p = { .fd = r.fd, .events = POLLIN };

	(void)state;
	small_slots();
	knob_set("rx0", "rate", 100);
	/* Nobody owns it: a read would start it. */
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents & (POLLIN | POLLERR | POLLHUP), POLLIN);
	assert_int_equal(take(&r, 1000), -EAGAIN);
	assert_int_equal(take(&r, 1000), -EAGAIN);
	assert_int_equal(poll(&p, 1, 50), 0);

	knob_set("rx0", "rate", 5000000);
	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	assert_int_equal(p.revents, POLLIN);
	assert_true(take(&r, 1000) > 0);
	/* All there is, and poll again. */
	knob_set("rx0", "rate", 100);
	assert_int_equal(take_until_error(&r), -EAGAIN);
	assert_int_equal(poll(&p, 1, 0), 0);
}

static void on_signal(int number)
{
	(void)number;
}

static void a_signal_ends_the_wait_and_loses_no_byte(void **state)
{
	struct sigaction action = { .sa_handler = on_signal }, old;
	/* Again and again: the first may come before the wait. */
	struct itimerval often = { { 0, 50000 }, { 0, 50000 } }, never = {};
	struct reader r = reader_open("rx0", 0);
	ssize_t n;

	(void)state;
	small_slots();
	knob_set("rx0", "rate", 100);
	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &often, NULL);
	n = take(&r, 1000);
	setitimer(ITIMER_REAL, &never, NULL);
	sigaction(SIGALRM, &old, NULL);
	assert_int_equal(n, -EINTR);
	knob_set("rx0", "rate", 0);
	take_all(&r, 200000);
}

/* ---- who ---- */

static void a_stream_has_one_reader(void **state)
{
	struct reader first = reader_open("rx0", 0), second = reader_open("rx0", 0);
	struct sgring_setup setup = { .slot_bytes = 4096, .slot_count = 2 };
	int owner = dev_open("rx0", O_RDWR);

	(void)state;
	small_slots();
	take_all(&first, 1);
	assert_int_equal(take(&second, 1), -EBUSY);
	assert_int_equal(sg_setup(owner, &setup), -EBUSY);
	take_all(&first, 100000);
	close(first.fd);
	take_all(&second, 100000);
}

static void the_owner_of_rings_cannot_read(void **state)
{
	struct sgring_setup setup = { .slot_bytes = 4096, .slot_count = 2 };
	struct reader other = reader_open("rx0", 0);
	int owner = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(owner, &setup), 0);
	assert_int_equal(read(owner, buffer, 1), -1);
	assert_int_equal(errno, EBUSY);
	assert_int_equal(take(&other, 1), -EBUSY);
}

static void a_reader_has_no_rings(void **state)
{
	struct sgring_setup setup = { .slot_bytes = 4096, .slot_count = 2 };
	struct sgring_tune tune = {};
	struct sgring_geometry g;
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(read(fd, buffer, 1), 1);
	assert_int_equal(sg_setup(fd, &setup), -EBADFD);
	assert_int_equal(sg_geometry(fd, &g), 0);
	assert_null(region_map(fd, g.kernel_offset, g.kernel_bytes, PROT_READ));
	assert_int_equal(errno, EBADFD);
	assert_null(region_map(fd, g.user_offset, g.user_bytes, PROT_READ | PROT_WRITE));
	assert_int_equal(errno, EBADFD);
	assert_int_equal(sg_arm(fd), -EBUSY);
	assert_int_equal(sg_start(fd), -EBUSY);
	assert_int_equal(sg_kick(fd), -EBUSY);
	assert_int_equal(sg_tune(fd, &tune), -EBUSY);
	assert_int_equal(sg_abort(fd), -EBUSY);
	assert_int_equal(read(fd, buffer, 1), 1);
}

static void a_setup_that_fails_fails_the_read(void **state)
{
	struct reader r = reader_open("rx0", 0);
	struct sgring_setup setup = { .slot_bytes = MIB, .slot_count = 8 };
	uint64_t before = query_of(r.fd).total_bytes;
	int other = dev_open("rx1", O_RDWR);

	(void)state;
	assert_int_equal(sg_setup(other, &setup), 0);
	/* Nothing is left of the limit. */
	parameter_set("limit_total_mb", 8);
	assert_int_equal(take(&r, 1), -EDQUOT);
	assert_int_equal(state_of("rx0"), SGRING_STATE_IDLE);
	close(other);
	assert_int_equal(query_of(r.fd).total_bytes, before);
	parameter_set("limit_total_mb", 0);
	take_all(&r, MIB);
}

/* ---- what went wrong, once, where it belongs ---- */

static void a_gap_is_told_once_after_the_rest_before_it(void **state)
{
	struct reader r = reader_open("rx0", 0);
	uint64_t position, lost;
	unsigned int stream;
	ssize_t n;

	(void)state;
	small_slots();
	take_all(&r, 1);
	/* The reader sleeps, the slots run out, and then the FIFO. */
	assert_true(WAIT_FOR(stats_of(r.fd).slots_app == 16, LONG_MS));
	knob_set("rx0", "fifo_bytes", 65536);
	knob_set("rx0", "rate", 8000000);
	assert_true(WAIT_FOR(knob_get("rx0", "overflows") == 1, LONG_MS));
	knob_set("rx0", "rate", 0);
	lost = knob_get("rx0", "overflowed_bytes");

	/* What comes after the gap is there, so that one read could cross it. */
	while (r.position < 400000)
		assert_true(take(&r, 50000) > 0);
	assert_true(WAIT_FOR(stats_of(r.fd).slots_app >= 15, LONG_MS));
	assert_int_equal(take_until_error(&r), -EOVERFLOW);
	assert_true(r.position > 900000);

	n = read(r.fd, buffer, 4096);
	assert_true(n >= 8);
	position = sgring_pattern_locate(sgring_pattern_get(buffer), &stream);
	assert_int_equal(stream, 0);
	assert_int_equal(position, r.position + lost);
	r.position = position;
	bytes_right(&r, buffer, n);
	take_all(&r, MIB);
}

static void an_engine_error_is_told_once(void **state)
{
	struct reader r = reader_open("rx0", 0);

	(void)state;
	small_slots();
	/* Before its first byte: no byte is lost by it. */
	knob_set("rx0", "fail_after_bytes", 0);
	take_all(&r, 100000);
	knob_set("rx0", "fail_next", 1);
	assert_int_equal(take_until_error(&r), -EIO);
	take_all(&r, MIB);
	assert_int_equal(stats_of(r.fd).engine_errors, 1);
}

static void bytes_lost_in_a_failed_transfer_are_a_gap(void **state)
{
	struct reader r = reader_open("rx0", 0);

	(void)state;
	small_slots();
	knob_set("rx0", "fail_after_bytes", 4096);
	take_all(&r, 100000);
	knob_set("rx0", "fail_next", 1);
	assert_int_equal(take_until_error(&r), -EIO);
	assert_int_equal(take(&r, 1000), -EOVERFLOW);
	r.position += 4096;
	take_all(&r, MIB);
}

static void short_transfers_leave_no_hole(void **state)
{
	struct reader r = reader_open("rx0", 0);

	(void)state;
	small_slots();
	knob_set("rx0", "packet_bytes", 10007);
	knob_set("rx0", "packet_jitter", 5000);
	take_all(&r, MIB);
	assert_true(stats_of(r.fd).short_slots > 50);
}

static void *lose(void *label)
{
	msleep(100);
	return (void *)(intptr_t)device_unbind(label);
}

static void a_lost_device_wakes_the_reader_with_enodev(void **state)
{
	struct reader r = reader_open("rx0", 0);
	struct pollfd p = { .fd = r.fd, .events = POLLIN };
	pthread_t thread;
	void *ret;

	(void)state;
	small_slots();
	knob_set("rx0", "rate", 100);
	pthread_create(&thread, NULL, lose, (void *)"rx0");
	assert_int_equal(take(&r, 1000), -ENODEV);
	pthread_join(thread, &ret);
	assert_null(ret);
	assert_int_equal(take(&r, 1000), -ENODEV);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_int_equal(p.revents & (POLLERR | POLLHUP), POLLERR | POLLHUP);
}

static void what_had_come_is_read_before_enodev(void **state)
{
	struct reader r = reader_open("rx0", 0);

	(void)state;
	small_slots();
	take_all(&r, 1);
	/* All slots are full. */
	assert_true(WAIT_FOR(stats_of(r.fd).slots_app == 16, LONG_MS));
	assert_int_equal(device_unbind("rx0"), 0);
	assert_int_equal(take_until_error(&r), -ENODEV);
	assert_true(r.position > 800000);
	assert_int_equal(take(&r, 1), -ENODEV);
}

/* ---- programs of the user's ---- */

static uint64_t file_right(const char *path, const char *label)
{
	struct reader r = { open(path, O_RDONLY | O_CLOEXEC), pattern_key_of(label), 0 };

	assert_true(r.fd >= 0);
	assert_int_equal(take_until_error(&r), 0);
	close(r.fd);
	unlink(path);
	return r.position;
}

static void shell(const char *format, const char *path)
{
	char command[400];

	snprintf(command, sizeof(command), format, path);
	assert_int_equal(system(command), 0);
}

static void dd_works(void **state)
{
	(void)state;
	shell("exec dd if=%s of=/tmp/dd.out bs=65536 count=48 2>/dev/null", dev_path("rx0"));
	assert_in_range(file_right("/tmp/dd.out", "rx0"), 48, 48 * 65536);
	assert_int_equal(state_of("rx0"), SGRING_STATE_IDLE);
}

static void cat_into_head_works(void **state)
{
	(void)state;
	shell("cat %s 2>/dev/null | head -c 3000001 >/tmp/cat.out", dev_path("rx1"));
	assert_int_equal(file_right("/tmp/cat.out", "rx1"), 3000001);
	assert_true(WAIT_FOR(state_of("rx1") == SGRING_STATE_IDLE, LONG_MS));
}

GROUP(
	TEST(the_bytes_come_in_order_across_slots),
	TEST(reads_of_any_size_miss_no_byte),
	TEST(a_read_gives_what_there_is),
	TEST(a_read_of_nothing_takes_nothing),
	TEST(a_bad_buffer_loses_no_byte),
	TEST(close_ends_it_and_the_next_reader_begins_anew),
	TEST(every_engine_can_be_read),
	TEST(nonblocking_reads_say_eagain_and_poll_tells_when_not),
	TEST(a_signal_ends_the_wait_and_loses_no_byte),
	TEST(a_stream_has_one_reader),
	TEST(the_owner_of_rings_cannot_read),
	TEST(a_reader_has_no_rings),
	TEST(a_setup_that_fails_fails_the_read),
	TEST(a_gap_is_told_once_after_the_rest_before_it),
	TEST(an_engine_error_is_told_once),
	TEST(bytes_lost_in_a_failed_transfer_are_a_gap),
	TEST(short_transfers_leave_no_hole),
	TEST(a_lost_device_wakes_the_reader_with_enodev),
	TEST(what_had_come_is_read_before_enodev),
	TEST(dd_works),
	TEST(cat_into_head_works))

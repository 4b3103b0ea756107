// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The device, the engine and the modules go, whatever the stream is doing. Open
 * files and mappings stay, say what has happened, and close.
 */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "common.h"

#define SLOT	(64 * KIB)
#define DRIVERS	"/sys/bus/platform/drivers/"

static void rx0_unbind(void)
{
	assert_int_equal(device_unbind("rx0"), 0);
	assert_false(dev_exists("rx0"));
}

static void rx0_bind(void)
{
	assert_int_equal(device_bind("rx0"), 0);
	assert_true(dev_exists("rx0"));
}

static struct stream open_slots(void)
{
	return stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
}

static void streams_again(const char *label)
{
	struct stream s = stream_open(label, &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 8 });

	stream_start(&s);
	stream_run(&s, 20);
	stream_close(&s);
}

static short polled(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_true(poll(&p, 1, LONG_MS) >= 0);
	return p.revents;
}

/* What everybody who has the stream must see of its death; @ran: it was armed or running. */
static void is_dead(struct stream *s, bool ran)
{
	struct sgring_stop stop = { .size = sizeof(stop) };
	struct sgring_tune tune = {};
	struct sgring_query query;
	struct sgring_cqe e;

	assert_true(kernel_side(s)->flags & SGRING_DEAD);
	assert_int_equal(kernel_side(s)->state, SGRING_STATE_DEAD);
	assert_int_equal(polled(s->fd) & (POLLHUP | POLLERR), POLLHUP | POLLERR);
	assert_int_equal(sg_query(s->fd, &query), -ENODEV);
	assert_int_equal(sg_arm(s->fd), -ENODEV);
	assert_int_equal(sg_start(s->fd), -ENODEV);
	assert_int_equal(sg_kick(s->fd), -ENODEV);
	assert_int_equal(sg_ioctl(s->fd, SGRING_STOP, &stop), -ENODEV);
	assert_int_equal(sg_tune(s->fd, &tune), -ENODEV);
	assert_int_equal(stats_of(s->fd).state, SGRING_STATE_DEAD);
	assert_int_equal(stats_of(s->fd).slots_engine, 0);
	if (!ran)
		return;
	/* All that was delivered is there, right, and ends with the reason. */
	while (!((e = stream_next(s)).flags & SGRING_CQE_EOS)) {
		assert_int_equal(e.status, 0);
		assert_true(stream_data_right(s, &e));
	}
	assert_int_equal(e.status, -ENODEV);
	assert_int_equal(stream_wait(s, 1, 0), 0);
}

/* ---- the device ---- */

static void device_goes_while_streaming_and_mapped(void **state)
{
	struct stream s = open_slots();
	struct sgring_cqe held;

	(void)state;
	stream_start(&s);
	stream_run(&s, 10);
	held = stream_expect(&s);
	/* What the application has stays readable, and writable, and its own. */
	memset(slot_data(&s, held.slot) + SLOT / 2, 0x55, SLOT / 2);
	rx0_unbind();
	is_dead(&s, true);
	assert_int_equal(slot_data(&s, held.slot)[SLOT / 2], 0x55);
	held.length_bytes = SLOT / 2;
	assert_true(stream_data_right(&s, &held));
	memset(slot_data(&s, held.slot), 0x55, SLOT);

	/* The label is free again, and the old stream stays dead beside the new one. */
	rx0_bind();
	streams_again("rx0");
	assert_int_equal(sg_start(s.fd), -ENODEV);
	assert_int_equal(slot_data(&s, held.slot)[SLOT - 1], 0x55);
	stream_close(&s);
	streams_again("rx0");
}

static void device_goes_while_starved(void **state)
{
	struct stream s = open_slots();
	unsigned int i;

	(void)state;
	stream_start(&s);
	for (i = 0; i < 8; i++)
		stream_expect(&s);
	assert_true(WAIT_FOR(kernel_side(&s)->flags & SGRING_STARVED, LONG_MS));
	rx0_unbind();
	is_dead(&s, true);
	assert_false(kernel_side(&s)->flags & (SGRING_STARVED | SGRING_NEED_WAKEUP));
	stream_close(&s);
	rx0_bind();
	streams_again("rx0");
}

static void device_goes_in_every_other_state(void **state)
{
	struct stream s;
	int fd;

	(void)state;
	/* Ready. */
	s = open_slots();
	rx0_unbind();
	is_dead(&s, false);
	stream_close(&s);
	rx0_bind();
	/* Armed. */
	s = open_slots();
	assert_int_equal(sg_arm(s.fd), 0);
	rx0_unbind();
	is_dead(&s, true);
	stream_close(&s);
	rx0_bind();
	/* Stopped. */
	s = open_slots();
	stream_start(&s);
	stream_run(&s, 5);
	stream_stop(&s);
	rx0_unbind();
	is_dead(&s, false);
	assert_int_equal(stream_find_end(&s).status, 0);
	stream_close(&s);
	rx0_bind();
	/* Only open. */
	fd = dev_open("rx0", O_RDWR);
	rx0_unbind();
	assert_int_equal(sg_setup(fd, &(struct sgring_setup){}), -ENODEV);
	assert_int_equal(sg_query(fd, &(struct sgring_query){}), -ENODEV);
	assert_true(polled(fd) & POLLHUP);
	close(fd);
	rx0_bind();
	streams_again("rx0");
}

static void device_goes_in_the_middle_of_many_slots(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 15; i++) {
		struct stream s = open_slots();

		stream_start(&s);
		stream_run(&s, i);
		rx0_unbind();
		is_dead(&s, true);
		rx0_bind();
		stream_close(&s);
	}
	streams_again("rx0");
}

/* A sleeper, in poll or in epoll, must wake up for it. */
static void *wait_in_poll(void *arg)
{
	struct pollfd p = { .fd = *(int *)arg };

	poll(&p, 1, LONG_MS);
	return (void *)(long)p.revents;
}

static void *wait_in_epoll(void *arg)
{
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(EPOLL_CLOEXEC);
	long ret = epoll_ctl(set, EPOLL_CTL_ADD, *(int *)arg, &event);

	/* The end of the stream comes first, and is to be read. */
	while (!(ret & EPOLLHUP) && epoll_wait(set, &event, 1, LONG_MS) == 1)
		ret = event.events;
	close(set);
	return (void *)ret;
}

static void sleepers_wake_when_the_device_goes(void **state)
{
	static void *(*const waits[])(void *) = { wait_in_poll, wait_in_epoll };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(waits); i++) {
		struct stream s = open_slots();
		pthread_t thread;
		void *events;

		knob_set("rx0", "stall", 1);
		stream_start(&s);
		assert_int_equal(pthread_create(&thread, NULL, waits[i], &s.fd), 0);
		msleep(50);
		rx0_unbind();
		assert_int_equal(pthread_join(thread, &events), 0);
		assert_true((long)events & POLLHUP);
		stream_close(&s);
		knob_set("rx0", "stall", 0);
		rx0_bind();
	}
}

struct reader {
	int fd;
	uint64_t key;
	uint64_t position;
	bool wrong;
	int error;	/* how it ended: 0 is the end of the file */
};

static void *read_on(void *arg)
{
	static unsigned char buffer[100000];
	struct reader *r = arg;
	ssize_t n;

	while ((n = read(r->fd, buffer, sizeof(buffer))) > 0) {
		if (sgring_pattern_verify(buffer, n, r->key, r->position) != (size_t)n)
			r->wrong = true;
		r->position += n;
	}
	r->error = n ? errno : 0;
	return NULL;
}

static void reader_gets_an_error_not_an_end(void **state)
{
	struct reader r = { .fd = dev_open("rx0", O_RDONLY), .key = pattern_key_of("rx0") };
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, read_on, &r), 0);
	assert_true(WAIT_FOR(__atomic_load_n(&r.position, __ATOMIC_RELAXED) > MIB, LONG_MS));
	rx0_unbind();
	pthread_join(thread, NULL);
	assert_false(r.wrong);
	assert_int_equal(r.error, ENODEV);
	close(r.fd);
	rx0_bind();
	streams_again("rx0");
}

/* ---- the engine ---- */

/* Its clients do not come back by themselves. */
static int engine_bind(void)
{
	static const char * const devices[] = { "sgring-dummy.0", "sgring-dummy.1",
						"sgring-dummy.2", "sgring-dummy.3" };
	int ret = file_try(DRIVERS "sgring-dummy-dma/bind", "sgring-dummy-dma");
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		ret = file_try(DRIVERS "sgring-dummy/bind", devices[i]) ?: ret;
	return ret;
}

static int engine_again(void **state)
{
	engine_bind();
	return test_end(state);
}

static void engine_goes_while_streaming_and_mapped(void **state)
{
	struct stream s[2];
	struct sgring_cqe held;

	(void)state;
	s[0] = open_slots();
	s[1] = stream_open("rx3", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
	stream_start(&s[0]);
	stream_start(&s[1]);
	stream_run(&s[0], 10);
	stream_run(&s[1], 10);
	held = stream_expect(&s[0]);
	/* The link takes the clients away first. */
	file_write(DRIVERS "sgring-dummy-dma/unbind", "sgring-dummy-dma");
	assert_false(dev_exists("rx0"));
	assert_false(dev_exists("rx1"));
	assert_false(dev_exists("rx3"));
	assert_true(dev_exists("xilinx0"));
	is_dead(&s[0], true);
	is_dead(&s[1], true);
	assert_true(stream_data_right(&s[0], &held));
	assert_int_equal(engine_bind(), 0);
	streams_again("rx0");
	streams_again("rx3");
	stream_close(&s[0]);
	stream_close(&s[1]);
	streams_again("rx0");
}

/* ---- the modules ---- */

static int module_remove(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

static int module_insert(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 || syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return ret;
}

static int modules_again(void **state)
{
	/* Those that are there say -EEXIST. */
	module_insert("/mod/sgring.ko");
	module_insert("/mod/sgring-dummy.ko");
	return test_end(state);
}

static void modules_go_in_order_and_come_back(void **state)
{
	struct stream s = open_slots();
	struct sgring_cqe held;
	struct iovec iov;
	unsigned char page[4096];
	int pipes[2];

	(void)state;
	stream_start(&s);
	stream_run(&s, 10);
	held = stream_expect(&s);
	/* The core is used by the dummy, the dummy by nobody: its streams die. */
	assert_int_equal(module_remove("sgring"), -EWOULDBLOCK);
	assert_int_equal(module_remove("sgring_dummy"), 0);
	is_dead(&s, true);
	assert_true(stream_data_right(&s, &held));
	/* An open file and a mapping keep the core. */
	assert_int_equal(module_remove("sgring"), -EWOULDBLOCK);
	/* A page in a pipe does not: it is an ordinary page. */
	assert_int_equal(pipe(pipes), 0);
	iov.iov_base = slot_data(&s, held.slot);
	iov.iov_len = sizeof(page);
	assert_int_equal(vmsplice(pipes[1], &iov, 1, 0), sizeof(page));
	stream_close(&s);
	assert_true(WAIT_FOR(!module_remove("sgring"), LONG_MS));
	assert_int_equal(read(pipes[0], page, sizeof(page)), sizeof(page));
	assert_int_equal(sgring_pattern_verify(page, sizeof(page), s.key, held.position_bytes),
			 sizeof(page));

	assert_int_equal(module_insert("/mod/sgring.ko"), 0);
	assert_int_equal(module_insert("/mod/sgring-dummy.ko"), 0);
	streams_again("rx0");
	streams_again("xilinx0");
}

GROUP(TEST(device_goes_while_streaming_and_mapped),
      TEST(device_goes_while_starved),
      TEST(device_goes_in_every_other_state),
      TEST(device_goes_in_the_middle_of_many_slots),
      TEST(sleepers_wake_when_the_device_goes),
      TEST(reader_gets_an_error_not_an_end),
      cmocka_unit_test_setup_teardown(engine_goes_while_streaming_and_mapped, test_begin,
				      engine_again),
      cmocka_unit_test_setup_teardown(modules_go_in_order_and_come_back, test_begin,
				      modules_again))

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The machine is suspended in the middle of a stream, and wakes up: the stream has
 * ended, says why, has lost nothing without a word, and starts again on the same
 * memory. The kernel's own test mode is used: all devices are suspended and resumed,
 * and the machine stays on.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "common.h"

#define SLOT	(64 * KIB)
#define PORT	7800

/* ---- suspending ---- */

static bool sleep_state_exists(const char *name)
{
	char text[100] = "";
	int fd = open("/sys/power/state", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 && strstr(text, name);
}

/* As far as @level goes, and back. */
static void suspend_to(const char *state, const char *level)
{
	int ret;

	if (!sleep_state_exists(state) || access("/sys/power/pm_test", W_OK))
		skip();
	/* It would wait five seconds. */
	file_write("/sys/module/suspend/parameters/pm_test_delay", "0");
	file_write("/sys/power/pm_test", level);
	ret = file_try("/sys/power/state", state);
	file_write("/sys/power/pm_test", "none");
	if (ret)
		fail_msg("%s up to %s: %s", state, level, strerror(-ret));
}

static void suspend(void)
{
	suspend_to("freeze", "devices");
}

static struct stream open_slots(const char *label)
{
	return stream_open(label, &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 8 });
}

/* Whatever had come is there, right, and in order; then the end, and why. */
static void expect_suspended(struct stream *s)
{
	struct sgring_cqe e;

	while (!((e = stream_next(s)).flags & SGRING_CQE_EOS)) {
		assert_int_equal(e.status, 0);
		if (e.flags & SGRING_CQE_GAP)
			assert_true(e.position_bytes > s->position);
		else
			assert_int_equal(e.position_bytes, s->position);
		s->position = e.position_bytes + e.length_bytes;
		assert_true(stream_data_right(s, &e));
		stream_return(s, e.slot, 0);
	}
	assert_int_equal(e.status, -ESHUTDOWN);
	if (!(e.flags & SGRING_CQE_GAP))
		assert_int_equal(e.position_bytes, s->position);
	assert_int_equal(kernel_side(s)->state, SGRING_STATE_READY);
	assert_int_equal(stream_wait(s, 1, 0), 0);
	assert_int_equal(stats_of(s->fd).slots_engine, 0);
}

static const char * const labels[] = { "rx0", "rx1", "xilinx0", "pl330-0", "bcm2835-0" };

/* ---- streams ---- */

static void every_stream_ends_and_starts_again(const char *state, const char *level)
{
	struct stream s[ARRAY_SIZE(labels)];
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(labels); i++) {
		s[i] = open_slots(labels[i]);
		stream_start(&s[i]);
	}
	for (i = 0; i < ARRAY_SIZE(labels); i++)
		stream_run(&s[i], 10);
	suspend_to(state, level);
	for (i = 0; i < ARRAY_SIZE(labels); i++) {
		expect_suspended(&s[i]);
		stream_start(&s[i]);
	}
	for (i = 0; i < ARRAY_SIZE(labels); i++)
		stream_run(&s[i], 20);
	for (i = 0; i < ARRAY_SIZE(labels); i++) {
		stream_stop(&s[i]);
		assert_int_equal(stream_find_end(&s[i]).status, 0);
		stream_close(&s[i]);
	}
}

static void streams_end_at_freeze_and_start_again(void **state)
{
	(void)state;
	every_stream_ends_and_starts_again("freeze", "devices");
}

static void streams_end_at_mem_and_start_again(void **state)
{
	(void)state;
	every_stream_ends_and_starts_again("mem", "devices");
}

static void streams_end_at_the_platform_level_and_start_again(void **state)
{
	(void)state;
	every_stream_ends_and_starts_again("mem", "platform");
}

static void losses_before_it_are_counted(void **state)
{
	struct sgring_cqe held[8], e;
	uint64_t gaps = 0, position;
	struct stream s;
	unsigned int i;

	(void)state;
	knob_set("rx0", "rate", 20 * 1000 * 1000);
	knob_set("rx0", "fifo_bytes", 100 * 1000);
	s = open_slots("rx0");
	stream_start(&s);
	/* Nobody returns a slot: what comes then is lost. */
	for (i = 0; i < 8; i++) {
		position = s.position;
		held[i] = stream_expect(&s);
		gaps += held[i].position_bytes - position;	/* of a slow machine */
	}
	assert_true(WAIT_FOR(knob_get("rx0", "overflowed_bytes") > SLOT, LONG_MS));
	for (i = 0; i < 8; i++)
		stream_return(&s, held[i].slot, 0);
	assert_true(WAIT_FOR(stats_of(s.fd).lost_bytes, LONG_MS));
	position = s.position;
	suspend();
	do {
		e = stream_next(&s);
		assert_true(e.position_bytes == position || (e.flags & SGRING_CQE_GAP));
		gaps += e.position_bytes - position;
		position = e.position_bytes + e.length_bytes;
	} while (!(e.flags & SGRING_CQE_EOS));
	assert_int_equal(e.status, -ESHUTDOWN);
	assert_true(gaps > SLOT);
	assert_int_equal(stats_of(s.fd).lost_bytes, gaps);
}

static void stopped_streams_notice_nothing(void **state)
{
	struct stream s = open_slots("rx0");
	int fd = dev_open("rx1", O_RDWR);
	struct sgring_cqe held;

	(void)state;
	suspend();
	assert_int_equal(stream_wait(&s, 1, 0), 0);
	stream_start(&s);
	stream_run(&s, 10);
	held = stream_expect(&s);
	stream_stop(&s);
	assert_int_equal(stream_find_end(&s).status, 0);
	suspend();
	assert_int_equal(stream_wait(&s, 1, 0), 0);
	assert_int_equal(kernel_side(&s)->state, SGRING_STATE_READY);
	assert_true(stream_data_right(&s, &held));
	stream_return(&s, held.slot, 0);
	stream_start(&s);
	stream_run(&s, 10);
	assert_int_equal(query_of(fd).state, SGRING_STATE_IDLE);
}

static void armed_stream_ends(void **state)
{
	struct stream s = open_slots("rx0");

	(void)state;
	assert_int_equal(sg_arm(s.fd), 0);
	suspend();
	expect_suspended(&s);
	stream_start(&s);
	stream_run(&s, 20);
}

static void starved_stream_ends(void **state)
{
	struct stream s = open_slots("rx0");
	struct sgring_cqe held[8];
	unsigned int i;

	(void)state;
	stream_start(&s);
	for (i = 0; i < 8; i++)
		held[i] = stream_expect(&s);
	assert_true(WAIT_FOR(kernel_side(&s)->flags & SGRING_STARVED, LONG_MS));
	suspend();
	assert_int_equal(stream_next(&s).status, -ESHUTDOWN);
	assert_false(kernel_side(&s)->flags & (SGRING_STARVED | SGRING_NEED_WAKEUP));
	for (i = 0; i < 8; i++) {
		assert_true(stream_data_right(&s, &held[i]));
		stream_return(&s, held[i].slot, 0);
	}
	stream_start(&s);
	stream_run(&s, 20);
}

static void dead_stream_stays_dead(void **state)
{
	struct stream s = open_slots("rx0");

	(void)state;
	stream_start(&s);
	stream_run(&s, 5);
	assert_int_equal(device_unbind("rx0"), 0);
	suspend();
	assert_int_equal(stream_find_end(&s).status, -ENODEV);
	assert_int_equal(sg_start(s.fd), -ENODEV);
}

/* ---- who else uses it ---- */

static void observers_stay(void **state)
{
	struct stream s = open_slots("rx0");
	int fd = dev_open("rx0", O_RDONLY);
	const struct sgring_kernel_side *kernel;
	struct sgring_cqe held;
	unsigned char *data, *side;

	(void)state;
	side = region_map(fd, s.geometry.kernel_offset, s.geometry.kernel_bytes, PROT_READ);
	data = region_map(fd, s.geometry.observer_data_offset, s.geometry.data_bytes, PROT_READ);
	assert_non_null(side);
	assert_non_null(data);
	kernel = (const void *)(side + s.geometry.kernel_side);
	stream_start(&s);
	stream_run(&s, 5);
	held = stream_expect(&s);
	suspend();
	assert_int_equal(kernel->state, SGRING_STATE_READY);
	assert_int_equal(stats_of(fd).state, SGRING_STATE_READY);
	assert_memory_equal(data + held.slot * s.geometry.stride_bytes, slot_data(&s, held.slot),
			    held.length_bytes);
	stream_return(&s, held.slot, 0);
	expect_suspended(&s);
	stream_start(&s);
	stream_run(&s, 10);
	assert_int_equal(kernel->epoch, 2);
}

static void *wait_in_poll(void *arg)
{
	struct stream *s = arg;
	struct pollfd p = { .fd = s->fd, .events = POLLIN };
	int ret;

	do
		ret = poll(&p, 1, LONG_MS);
	while (ret < 0 && errno == EINTR);
	return (void *)(long)p.revents;
}

static void sleepers_wake_for_it(void **state)
{
	struct stream s = open_slots("rx0");
	pthread_t thread;
	void *events;

	(void)state;
	knob_set("rx0", "stall", 1);
	stream_start(&s);
	assert_int_equal(pthread_create(&thread, NULL, wait_in_poll, &s), 0);
	msleep(50);
	suspend();
	assert_int_equal(pthread_join(thread, &events), 0);
	assert_true((long)events & POLLIN);
	assert_int_equal(stream_find_end(&s).status, -ESHUTDOWN);
}

static void reader_is_told(void **state)
{
	int fd = dev_open("rx0", O_RDONLY);
	uint64_t key = pattern_key_of("rx0"), position = 0;
	static unsigned char buffer[100 * 1000];
	ssize_t n;

	(void)state;
	assert_true(read(fd, buffer, sizeof(buffer)) > 0);
	position = 0;
	assert_int_equal(sgring_pattern_verify(buffer, 1000, key, 0), 1000);
	close(fd);
	fd = dev_open("rx0", O_RDONLY);
	n = read(fd, buffer, sizeof(buffer));
	assert_true(n > 0);
	position = n;
	suspend();
	while ((n = read(fd, buffer, sizeof(buffer))) > 0) {
		assert_int_equal(sgring_pattern_verify(buffer, n, key, position), n);
		position += n;
	}
	assert_int_equal(n, -1);
	assert_int_equal(errno, ESHUTDOWN);
	close(fd);
	fd = dev_open("rx0", O_RDONLY);
	assert_true(read(fd, buffer, sizeof(buffer)) > 0);
}

struct draining {
	int fd;
	uint32_t outcome;
	int ret;
};

static void *drain_for_long(void *arg)
{
	struct draining *d = arg;

	d->ret = sg_drain(d->fd, SGRING_STOP_MS_MAX, &d->outcome);
	return NULL;
}

/* It would keep the machine awake, and then from waking up. */
static void drain_is_cut_short(void **state)
{
	struct draining d = {};
	struct stream s;
	pthread_t thread;

	(void)state;
	/* Who is told of no progress cannot know that there will be none. */
	knob_set_text("rx0", "residue", "none");
	bench_rebind("rx0");
	s = open_slots("rx0");
	d.fd = s.fd;
	stream_start(&s);
	stream_run(&s, 5);
	knob_set("rx0", "stall", 1);
	while (stream_wait(&s, 1, 200))
		stream_return(&s, stream_expect(&s).slot, 0);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_engine, LONG_MS));
	assert_int_equal(pthread_create(&thread, NULL, drain_for_long, &d), 0);
	assert_true(WAIT_FOR(kernel_side(&s)->state == SGRING_STATE_STOPPING, LONG_MS));
	suspend();
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(d.ret, 0);
	assert_true(d.outcome & SGRING_STOPPED_TIMEOUT);
	knob_set("rx0", "stall", 0);
	expect_suspended(&s);
	stream_start(&s);
	stream_run(&s, 10);
}

/* ---- in flight ---- */

static bool enter(const char *variable)
{
	int fd = open(getenv(variable) ?: "", O_RDONLY | O_CLOEXEC);
	bool in = fd >= 0 && !setns(fd, CLONE_NEWNET);

	if (fd >= 0)
		close(fd);
	return in;
}

static bool running(int fd)
{
	struct ifreq r = { .ifr_name = "wire" };

	return !ioctl(fd, SIOCGIFFLAGS, &r) && (r.ifr_flags & IFF_RUNNING);
}

/* A socket in that namespace, once its NIC has found the link again. */
static int socket_in(const char *variable)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd;

	assert_true(enter(variable));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setns(home, CLONE_NEWNET), 0);
	close(home);
	assert_true(WAIT_FOR(running(fd), 3 * LONG_MS));
	return fd;
}

/* Both ends; the programs after this one need it, too. */
static void wire_wait(void)
{
	close(socket_in("LEFT"));
	close(socket_in("RIGHT"));
}

struct arrived {
	uint32_t ready;
	uint32_t go;
	uint32_t done;
	uint64_t right;
};

/* Takes one connection, and reads it only when told. */
static void receive(struct arrived *a, uint64_t key)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	static unsigned char buffer[SLOT];
	int listener, fd, on = 1, small = 16 * KIB;
	ssize_t n;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!enter("RIGHT"))
		_exit(1);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 1))
		_exit(1);
	__atomic_store_n(&a->ready, 1, __ATOMIC_RELEASE);
	fd = accept(listener, NULL, NULL);
	while (!__atomic_load_n(&a->go, __ATOMIC_ACQUIRE))
		usleep(1000);
	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0 &&
	       sgring_pattern_verify(buffer, n, key, a->right) == (size_t)n)
		a->right += n;
	__atomic_store_n(&a->done, 1, __ATOMIC_RELEASE);
	_exit(0);
}

static int send_without_copy(const struct stream *s, const struct sgring_cqe *held,
			     unsigned int count)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = socket_in("LEFT"), on = 1, large = 16 * MIB;
	unsigned int i;

	inet_pton(AF_INET, "10.77.0.2", &at.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)), 0);
	assert_int_equal(connect(fd, (void *)&at, sizeof(at)), 0);
	for (i = 0; i < count; i++)
		assert_int_equal(send(fd, slot_data(s, held[i].slot), held[i].length_bytes,
				      MSG_ZEROCOPY), held[i].length_bytes);
	return fd;
}

static void what_is_in_flight_arrives_right(void **state)
{
	struct arrived *a = mmap(NULL, sizeof(*a), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sgring_cqe held[6];
	struct stream s;
	unsigned int i;
	pid_t pid;
	int fd;

	(void)state;
	if (!getenv("LEFT"))
		skip();
	wire_wait();
	s = open_slots("rx0");
	pid = fork();
	if (!pid)
		receive(a, s.key);
	assert_true(WAIT_FOR(__atomic_load_n(&a->ready, __ATOMIC_ACQUIRE), LONG_MS));
	stream_start(&s);
	for (i = 0; i < 6; i++)
		held[i] = stream_expect(&s);
	fd = send_without_copy(&s, held, 6);
	for (i = 0; i < 6; i++)
		stream_return(&s, held[i].slot, 0);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_gated > 0, LONG_MS));
	suspend();
	assert_true(stats_of(s.fd).slots_gated > 0);
	wire_wait();
	/* Others in the ring must not be what was sent. */
	knob_set("rx0", "stream", 77);
	s.key = pattern_key_of("rx0");
	while (!(stream_next(&s).flags & SGRING_CQE_EOS))
		;
	/* What waits at the gate is nobody's, until it has arrived. */
	sg_start(s.fd);
	msleep(20);
	close(fd);
	__atomic_store_n(&a->go, 1, __ATOMIC_RELEASE);
	/* What was sent while the link was down is sent again, later and later. */
	assert_true(WAIT_FOR(__atomic_load_n(&a->done, __ATOMIC_ACQUIRE), 4 * LONG_MS));
	assert_int_equal(a->right, 6 * SLOT);
	waitpid(pid, NULL, 0);
	sg_start(s.fd);
	assert_true(WAIT_FOR(!stats_of(s.fd).slots_gated, LONG_MS));
}

GROUP(TEST(streams_end_at_freeze_and_start_again),
      TEST(streams_end_at_mem_and_start_again),
      TEST(streams_end_at_the_platform_level_and_start_again),
      TEST(losses_before_it_are_counted),
      TEST(stopped_streams_notice_nothing),
      TEST(armed_stream_ends),
      TEST(starved_stream_ends),
      TEST(dead_stream_stays_dead),
      TEST(observers_stay),
      TEST(sleepers_wake_for_it),
      TEST(reader_is_told),
      TEST(drain_is_cut_short),
      TEST(what_is_in_flight_arrives_right))

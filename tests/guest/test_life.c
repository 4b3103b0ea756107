// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Arm, start, stop and start again; close, kill and hand over at any moment.
 * What others still hold of a closed stream is safe, and counts against the limit.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common.h"

#define SLOT	(64 * KIB)

static struct stream open_slots(uint32_t count)
{
	return stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = count });
}

/* Up to the end of the stream, every byte checked, all slots given back; the end. */
static struct sgring_cqe run_out(struct stream *s)
{
	struct sgring_cqe e;

	while (!((e = stream_next(s)).flags & SGRING_CQE_EOS)) {
		assert_int_equal(e.status, 0);
		assert_true(stream_data_right(s, &e));
		stream_return(s, e.slot, 0);
	}
	assert_int_equal(e.slot, SGRING_NO_SLOT);
	return e;
}

static uint32_t state_of(const char *label)
{
	int fd = dev_open(label, O_RDONLY);
	uint32_t state = query_of(fd).state;

	close(fd);
	return state;
}

/* ---- epochs ---- */

static void restarted_many_times_on_the_same_memory(void **state)
{
	struct stream s = open_slots(8);
	uint32_t held = SGRING_NO_SLOT;
	unsigned int i;

	(void)state;
	for (i = 1; i <= 40; i++) {
		struct sgring_cqe e;

		stream_start(&s);
		assert_int_equal(kernel_side(&s)->epoch, i);
		assert_int_equal(kernel_side(&s)->state, SGRING_STATE_RUNNING);
		e = stream_expect(&s);
		assert_int_equal(e.sequence, 0);
		assert_int_equal(e.position_bytes, 0);
		/* One slot stays with the application over the restart. */
		if (held != SGRING_NO_SLOT)
			stream_return(&s, held, 0);
		held = e.slot;
		stream_run(&s, i % 7);
		if (i % 2)
			stream_stop(&s);
		else
			assert_int_equal(sg_drain(s.fd, 2000, NULL), 0);
		assert_int_equal(kernel_side(&s)->state, SGRING_STATE_READY);
		e = run_out(&s);
		assert_int_equal(e.status, 0);
		assert_true(e.position_bytes >= s.position);
		assert_int_equal(stats_of(s.fd).slots_engine, 0);
	}
	assert_int_equal(stats_of(s.fd).epoch, 40);
	assert_int_equal(stats_of(s.fd).sq_bad, 0);
	assert_int_equal(stats_of(s.fd).odd_callbacks, 0);
	assert_int_equal(knob_get("rx0", "queued"), 0);
}

static void unfilled_slots_are_the_kernels_again_after_a_stop(void **state)
{
	struct stream s = open_slots(8);
	uint32_t i;

	(void)state;
	knob_set("rx0", "stall", 1);
	for (i = 0; i < 10; i++) {
		stream_start(&s);
		assert_int_equal(stats_of(s.fd).slots_engine, 4);
		stream_stop(&s);
		assert_int_equal(run_out(&s).position_bytes, 0);
		assert_int_equal(stats_of(s.fd).slots_free, 8);
	}
	for (i = 0; i < 8; i++)
		assert_int_equal(slot_info(&s, i)->state, SGRING_SLOT_FREE);
	knob_set("rx0", "stall", 0);
	stream_start(&s);
	stream_run(&s, 20);
}

static void armed_loads_the_engine_and_leaves_the_device_off(void **state)
{
	struct stream s = open_slots(8);

	(void)state;
	assert_int_equal(sg_arm(s.fd), 0);
	assert_int_equal(kernel_side(&s)->state, SGRING_STATE_ARMED);
	assert_int_equal(stats_of(s.fd).slots_engine, 4);
	assert_int_equal(stream_wait(&s, 1, 50), 0);
	/* Stopped there. */
	stream_stop(&s);
	assert_int_equal(run_out(&s).status, 0);
	assert_int_equal(stats_of(s.fd).slots_engine, 0);
	/* Or started from there. */
	assert_int_equal(sg_arm(s.fd), 0);
	stream_start(&s);
	stream_run(&s, 20);
}

static void stopped_while_starved(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = 4, .sq_idle_usec = 1000 });
	uint32_t slots[4], i, round;

	(void)state;
	for (round = 0; round < 4; round++) {
		stream_start(&s);
		for (i = 0; i < 4; i++)
			slots[i] = stream_expect(&s).slot;
		/* With the timer running, and after it has given up. */
		assert_true(WAIT_FOR(kernel_side(&s)->flags &
				     (round % 2 ? SGRING_NEED_WAKEUP : SGRING_STARVED), LONG_MS));
		stream_stop(&s);
		assert_int_equal(kernel_side(&s)->flags, 0);
		assert_int_equal(stream_find_end(&s).status, 0);
		/* All slots are the application's: nothing to begin with. */
		assert_int_equal(sg_start(s.fd), -ENOBUFS);
		for (i = 0; i < 4; i++)
			stream_return(&s, slots[i], 0);
	}
}

/* An end of stream always has room, and who does not look is not armed for ever. */
static void unread_ends_of_stream_are_kept_and_bounded(void **state)
{
	struct stream s = open_slots(4);
	unsigned int arms = 0, ends = 0;
	int ret;

	(void)state;
	knob_set("rx0", "stall", 1);
	while (!(ret = sg_arm(s.fd))) {
		stream_stop(&s);
		assert_true(++arms < 100);
	}
	assert_int_equal(ret, -ENOBUFS);
	assert_true(arms >= 2);
	while (stream_wait(&s, 1, 0)) {
		assert_true(stream_next(&s).flags & SGRING_CQE_EOS);
		ends++;
	}
	assert_int_equal(ends, arms);
	knob_set("rx0", "stall", 0);
	stream_start(&s);
	stream_run(&s, 20);
}

/* ---- drain ---- */

static void drain_delivers_the_slot_that_was_cut(void **state)
{
	struct sgring_cqe e;
	struct stream s;
	uint32_t outcome;
	unsigned int i;

	(void)state;
	knob_set("rx0", "rate", 2000000);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = 256 * KIB, .slot_count = 4 });
	for (i = 0; i < 3; i++) {
		stream_start(&s);
		if (i == 2)
			stream_return(&s, stream_expect(&s).slot, 0);
		assert_true(WAIT_FOR(knob_get("rx0", "delivered") >
				     (i == 2 ? 256 * KIB : 0) + 10000, LONG_MS));
		assert_int_equal(sg_drain(s.fd, 5000, &outcome), 0);
		if (outcome != SGRING_STOPPED_PARTIAL)
			fail_msg("outcome 0x%x", outcome);
		while (!((e = stream_next(&s)).flags & SGRING_CQE_PARTIAL)) {
			assert_int_equal(e.length_bytes, 256 * KIB);
			stream_return(&s, e.slot, 0);
		}
		assert_in_range(e.length_bytes, 1, 256 * KIB - 1);
		assert_int_equal(e.status, 0);
		assert_true(stream_data_right(&s, &e));
		/* All that left the device is there. */
		assert_int_equal(e.position_bytes + e.length_bytes,
				 knob_get("rx0", "delivered"));
		stream_return(&s, e.slot, 0);
		assert_int_equal(run_out(&s).position_bytes, e.position_bytes + e.length_bytes);
	}
}

static void drain_after_an_overflow_keeps_the_position(void **state)
{
	uint32_t outcome, slots[4], i;
	struct sgring_cqe e;
	struct stream s;

	(void)state;
	knob_set("rx0", "rate", 2000000);
	knob_set("rx0", "fifo_bytes", 16 * KIB);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 4 });
	stream_start(&s);
	for (i = 0; i < 4; i++)
		slots[i] = stream_expect(&s).slot;
	assert_true(WAIT_FOR(knob_get("rx0", "overflows"), LONG_MS));
	/* The first takes what is left before the hole; the second is cut after it. */
	stream_return(&s, slots[0], 0);
	stream_return(&s, slots[1], 0);
	assert_true(WAIT_FOR(knob_get("rx0", "delivered") > 4 * SLOT + 20000, LONG_MS));
	assert_int_equal(sg_drain(s.fd, 5000, &outcome), 0);
	do {
		e = stream_next(&s);
		if (!(e.flags & SGRING_CQE_EOS))
			assert_true(stream_data_right(&s, &e));
	} while (!(e.flags & SGRING_CQE_EOS));
	assert_true(stats_of(s.fd).lost_bytes > 0);
}

static void drain_lets_a_device_end_its_packet(void **state)
{
	struct sgring_cqe e;
	struct stream s;
	uint32_t outcome;

	(void)state;
	knob_set("rx0", "rate", 2000000);
	knob_set("rx0", "stop_ends_packet", 1);
	s = stream_open("rx0", &(struct sgring_setup){ .slot_bytes = 256 * KIB, .slot_count = 4 });
	stream_start(&s);
	assert_true(WAIT_FOR(knob_get("rx0", "delivered") > 10000, LONG_MS));
	assert_int_equal(sg_drain(s.fd, 5000, &outcome), 0);
	assert_int_equal(outcome, 0);
	e = stream_expect(&s);
	assert_true(e.flags & SGRING_CQE_EOP);
	assert_false(e.flags & SGRING_CQE_PARTIAL);
	assert_int_equal(e.length_bytes, knob_get("rx0", "delivered"));
}

static void drain_that_takes_too_long_becomes_an_abort(void **state)
{
	struct stream s = open_slots(8);
	uint32_t outcome = 0;

	(void)state;
	stream_start(&s);
	stream_run(&s, 5);
	/* All is moved and nobody is told: nothing to see for the drain. */
	knob_set("rx0", "hold_completion", 1);
	while (stream_wait(&s, 1, 200))
		stream_return(&s, stream_expect(&s).slot, 0);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_engine, LONG_MS));
	assert_int_equal(sg_drain(s.fd, 1, &outcome), 0);
	assert_true(outcome & SGRING_STOPPED_TIMEOUT);
	knob_set("rx0", "hold_completion", 0);
	assert_int_equal(run_out(&s).status, 0);
	stream_start(&s);
	stream_run(&s, 10);
}

/* An engine that does not tell its residue: the slot that was cut is given up, and said so. */
static void drain_without_residue_says_that_a_length_is_unknown(void **state)
{
	struct stream s;
	uint32_t outcome = 0;

	(void)state;
	knob_set_text("bcm2835-0", "residue", "none");
	bench_rebind("bcm2835-0");
	knob_set("bcm2835-0", "rate", 2000000);
	s = stream_open("bcm2835-0", &(struct sgring_setup){
		.slot_bytes = 256 * KIB, .slot_count = 4 });
	stream_start(&s);
	assert_true(WAIT_FOR(knob_get("bcm2835-0", "delivered") > 10000, LONG_MS));
	assert_int_equal(sg_drain(s.fd, 200, &outcome), 0);
	assert_int_equal(outcome, SGRING_STOPPED_UNKNOWN | SGRING_STOPPED_TIMEOUT);
	assert_int_equal(run_out(&s).position_bytes, 0);
	stream_close(&s);
	knob_set_text("bcm2835-0", "residue", "ok");
	bench_rebind("bcm2835-0");
}

/* ---- children ---- */

/* The child says one byte when it is ready, and goes on for ever, or as long as we do. */
static pid_t child_start(void (*play)(int ready))
{
	int ready[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		play(ready[1]);
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	return pid;
}

static void child_kill(pid_t pid)
{
	int status;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(WAIT_FOR(waitpid(pid, &status, WNOHANG) == pid, LONG_MS));
	assert_true(WIFSIGNALED(status));
}

/* ---- close and kill ---- */

static void closed_while_streaming_it_is_free_at_once(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 20; i++) {
		struct stream s = open_slots(8);

		stream_start(&s);
		stream_run(&s, i);
		stream_close(&s);
		assert_int_equal(state_of("rx0"), SGRING_STATE_IDLE);
	}
}

static void mapping_keeps_a_closed_stream_alive(void **state)
{
	struct stream s = open_slots(4);
	struct sgring_cqe e;
	int fd;

	(void)state;
	stream_start(&s);
	e = stream_expect(&s);
	close(s.fd);
	fd = dev_open("rx0", O_RDWR);
	assert_int_equal(sg_setup(fd, &(struct sgring_setup){}), -EBUSY);
	assert_int_equal(query_of(fd).state, SGRING_STATE_RUNNING);
	assert_true(stream_data_right(&s, &e));
	/* The rings work without the descriptor. */
	s.fd = fd;
	stream_return(&s, e.slot, 0);
	stream_run(&s, 20);
	stream_unmap(&s);
	assert_true(WAIT_FOR(query_of(fd).state == SGRING_STATE_IDLE, LONG_MS));
	assert_int_equal(sg_setup(fd, &(struct sgring_setup){}), 0);
}

static void unmapped_slots_are_still_filled(void **state)
{
	struct stream s = open_slots(8);

	(void)state;
	stream_start(&s);
	stream_run(&s, 5);
	munmap(s.data, s.geometry.data_bytes);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_app >= 4, LONG_MS));
	s.data = region_map(s.fd, s.geometry.data_offset, s.geometry.data_bytes, PROT_READ);
	assert_non_null(s.data);
	stream_run(&s, 20);
}

static void stream_for_ever(int ready)
{
	struct stream s = open_slots(8);

	stream_start(&s);
	stream_run(&s, 10);
	if (write(ready, "", 1) != 1)
		return;
	while (1)
		stream_run(&s, 1);
}

static void killed_while_streaming_it_is_free_again(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		pid_t pid = child_start(stream_for_ever);

		assert_int_equal(state_of("rx0"), SGRING_STATE_RUNNING);
		msleep(i * 7);
		child_kill(pid);
		assert_true(WAIT_FOR(state_of("rx0") == SGRING_STATE_IDLE, LONG_MS));
	}
}

static void drain_for_long(int ready)
{
	struct stream s = stream_open("bcm2835-0", &(struct sgring_setup){
		.slot_bytes = MIB, .slot_count = 4 });

	stream_start(&s);
	if (write(ready, "", 1) != 1)
		return;
	sg_drain(s.fd, 600000, NULL);
}

static void killed_in_a_long_drain_it_ends(void **state)
{
	pid_t pid;

	(void)state;
	/* With a residue to see the drain would know better than to wait. */
	knob_set_text("bcm2835-0", "residue", "none");
	bench_rebind("bcm2835-0");
	knob_set("bcm2835-0", "rate", 100000);
	pid = child_start(drain_for_long);
	msleep(100);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	child_kill(pid);
	assert_true(WAIT_FOR(state_of("bcm2835-0") == SGRING_STATE_IDLE, LONG_MS));
	knob_set_text("bcm2835-0", "residue", "ok");
	bench_rebind("bcm2835-0");
}

/* ---- pages in flight ---- */

/* A connection over loopback; @fd[0] reads. */
static void tcp_pair(int fd[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t bytes = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&a, &bytes), 0);
	fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[1], (void *)&a, sizeof(a)), 0);
	fd[0] = accept(listener, NULL, NULL);
	assert_true(fd[0] >= 0);
	close(listener);
}

/*
 * What a receiver has read is freed by the CPU that made it, and that one takes
 * its time until something else arrives there (skb_attempt_defer_free(), 5.19).
 */
static void skbs_flush(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	long i, cpus = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t all, one;

	sched_getaffinity(0, sizeof(all), &all);
	for (i = 0; i < cpus; i++) {
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		sched_setaffinity(0, sizeof(one), &one);
		sendto(fd, "", 1, 0, (void *)&a, sizeof(a));
	}
	sched_setaffinity(0, sizeof(all), &all);
	close(fd);
}

#define HELD_SLOTS	8
#define HELD_BYTES	4096

static int held_socket[2];
static uint64_t *held_positions;	/* shared with the child */

/* The first page of each slot, by reference, into the socket. */
static void hold_in_socket(const struct stream *s, const struct sgring_cqe *e)
{
	struct iovec iov = { slot_data(s, e->slot), HELD_BYTES };
	int pipes[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(vmsplice(pipes[1], &iov, 1, 0), HELD_BYTES);
	assert_int_equal(splice(pipes[0], NULL, held_socket[1], NULL, HELD_BYTES, 0), HELD_BYTES);
	close(pipes[0]);
	close(pipes[1]);
}

static void hold_and_stream(int ready)
{
	struct stream s = open_slots(16);
	unsigned int i;

	stream_start(&s);
	for (i = 0; i < HELD_SLOTS; i++) {
		struct sgring_cqe e = stream_expect(&s);

		hold_in_socket(&s, &e);
		held_positions[i] = e.position_bytes;
	}
	if (write(ready, "", 1) != 1)
		return;
	while (1)
		stream_run(&s, 1);
}

static void killed_with_skbs_in_flight_the_pages_live_and_are_accounted(void **state)
{
	int fd = dev_open("rx0", O_RDONLY);
	uint64_t before = query_of(fd).total_bytes;
	unsigned char page[HELD_BYTES];
	struct stream other;
	unsigned int i;
	pid_t pid;

	(void)state;
	tcp_pair(held_socket);
	held_positions = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid = child_start(hold_and_stream);
	child_kill(pid);
	/* One page holds its chunk, here a whole slot; the rest came back. */
	assert_true(WAIT_FOR(stats_of(fd).held_bytes == HELD_SLOTS * SLOT, LONG_MS));
	assert_int_equal(query_of(fd).total_bytes, before + HELD_SLOTS * SLOT);
	assert_int_equal(query_of(fd).state, SGRING_STATE_IDLE);

	/* Others take memory and fill it; what is in flight must not change. */
	other = stream_open("rx1", &(struct sgring_setup){ .slot_bytes = SLOT, .slot_count = 64 });
	stream_start(&other);
	stream_run(&other, 70);
	stream_close(&other);
	for (i = 0; i < HELD_SLOTS; i++) {
		assert_int_equal(recv(held_socket[0], page, HELD_BYTES, MSG_WAITALL), HELD_BYTES);
		assert_int_equal(sgring_pattern_verify(page, HELD_BYTES, pattern_key_of("rx0"),
						       held_positions[i]), HELD_BYTES);
	}
	close(held_socket[0]);
	close(held_socket[1]);
	assert_true(WAIT_FOR((skbs_flush(), !stats_of(fd).held_bytes), LONG_MS));
	assert_int_equal(query_of(fd).total_bytes, before);
}

/* Set-up, hold a page of every slot in a pipe, close: what of the limit is gone stays gone. */
static void holding_and_closing_cannot_pass_the_limit(void **state)
{
	const struct sgring_setup wanted = { .slot_bytes = MIB, .slot_count = 8,
					     .chunk_bytes = MIB };
	int fd = dev_open("rx0", O_RDONLY), pipes[2][2], last;
	uint64_t held = stats_of(fd).held_bytes;
	char message[200] = "";
	struct sgring_setup again = wanted;
	unsigned int i, round;

	(void)state;
	parameter_set("limit_total_mb", query_of(fd).total_bytes / MIB + 20);
	for (round = 0; round < 2; round++) {
		struct stream s = stream_open("rx0", &wanted);

		assert_int_equal(pipe(pipes[round]), 0);
		for (i = 0; i < 8; i++) {
			struct iovec iov = { slot_data(&s, i), 1 };

			assert_int_equal(vmsplice(pipes[round][1], &iov, 1, 0), 1);
		}
		stream_close(&s);
		assert_int_equal(stats_of(fd).held_bytes - held, (round + 1) * 8 * MIB);
	}
	last = dev_open("rx0", O_RDWR);
	again.message = (uintptr_t)message;
	again.message_bytes = sizeof(message);
	assert_int_equal(sg_setup(last, &again), -EDQUOT);
	assert_non_null(strstr(message, "limit_total_mb"));
	assert_non_null(strstr(message, "MiB held by others"));
	close(pipes[0][0]);
	close(pipes[0][1]);
	/* Not by asking for it again and again: each refusal is a line in the log. */
	assert_true(WAIT_FOR(stats_of(fd).held_bytes - held == 8 * MIB, LONG_MS));
	assert_int_equal(sg_setup(last, &again), 0);
}

/* ---- set-up that does not come to its end ---- */

#define MUCH	(192 * MIB)

static void set_up_much(int ready)
{
	struct sgring_setup setup = { .slot_bytes = 4 * MIB, .slot_count = MUCH / (4 * MIB) };
	int fd = dev_open("rx0", O_RDWR);

	if (write(ready, "", 1) != 1)
		return;
	sg_setup(fd, &setup);
	pause();
}

static void setup_that_is_killed_ends_and_leaves_nothing(void **state)
{
	int fd = dev_open("rx0", O_RDONLY), other = dev_open("rx1", O_RDONLY);
	uint64_t before = query_of(fd).total_bytes;
	unsigned int i, cut = 0;
	struct stream s;

	(void)state;
	for (i = 0; i < 6; i++) {
		pid_t pid;

		/* The counters of a set-up that was made stay until the next one is. */
		s = open_slots(4);
		stream_start(&s);
		stream_run(&s, 1);
		stream_close(&s);
		pid = child_start(set_up_much);
		/* The memory is charged first, so it is on its way; asked elsewhere, not to wait. */
		assert_true(WAIT_FOR(query_of(other).total_bytes >= before + MUCH, LONG_MS));
		msleep(i * 3);
		child_kill(pid);
		assert_true(WAIT_FOR(query_of(fd).state == SGRING_STATE_IDLE &&
				     query_of(fd).total_bytes == before, LONG_MS));
		cut += stats_of(fd).slots_done > 0;
	}
	assert_true(cut);
}

/* ---- handing over ---- */

static void fd_send(int socket, int fd)
{
	char c = 0, control[CMSG_SPACE(sizeof(fd))] = {};
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	assert_int_equal(sendmsg(socket, &m, 0), 1);
}

static int fd_receive(int socket)
{
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int fd;

	assert_int_equal(recvmsg(socket, &m, 0), 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

static void descriptor_in_a_message_keeps_the_stream(void **state)
{
	struct stream s = open_slots(8);
	int sockets[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	stream_start(&s);
	stream_run(&s, 10);
	fd_send(sockets[0], s.fd);
	stream_close(&s);
	/* Nobody has it open: it is in the message. */
	assert_int_equal(state_of("rx0"), SGRING_STATE_RUNNING);
	s.fd = fd_receive(sockets[1]);
	stream_map(&s);
	stream_run(&s, 20);
	stream_stop(&s);
	stream_close(&s);
	assert_int_equal(state_of("rx0"), SGRING_STATE_IDLE);
}

static bool maps_have_streams(void)
{
	char line[512];
	bool found = false;
	FILE *f = fopen("/proc/self/maps", "r");

	while (f && fgets(line, sizeof(line), f))
		found |= !!strstr(line, "/dev/sgring");
	if (f)
		fclose(f);
	return found;
}

static void forked_child_has_the_stream_but_not_the_memory(void **state)
{
	struct stream s = open_slots(8);
	int status, go[2];
	pid_t pid;
	char c;

	(void)state;
	stream_start(&s);
	stream_run(&s, 5);
	assert_int_equal(pipe(go), 0);
	pid = fork();
	if (!pid) {
		/* The parent's has gone: this is the last one. */
		if (maps_have_streams() || read(go[0], &c, 1) != 1)
			_exit(1);
		if (stats_of(s.fd).state != SGRING_STATE_RUNNING)
			_exit(2);
		_exit(sg_abort(s.fd) ? 3 : 0);
	}
	stream_run(&s, 20);
	stream_close(&s);
	assert_int_equal(state_of("rx0"), SGRING_STATE_RUNNING);
	assert_int_equal(write(go[1], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(WAIT_FOR(state_of("rx0") == SGRING_STATE_IDLE, LONG_MS));
}

static void child_that_exits_takes_nothing_along(void **state)
{
	struct stream s = open_slots(8);
	unsigned int i;
	int status;

	(void)state;
	stream_start(&s);
	for (i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		stream_run(&s, 5);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		stream_run(&s, 5);
	}
}

/* ---- everything at once ---- */

struct storm {
	struct stream s;
	volatile bool over;
	volatile bool wrong;
	unsigned int starts;
	unsigned int slots;
};

static void *storm_life(void *arg)
{
	struct storm *x = arg;
	unsigned int i;

	for (i = 0; !x->over; i++) {
		int ret = sg_start(x->s.fd);

		if (ret && ret != -ENOBUFS && ret != -EBADFD)
			x->wrong = true;
		x->starts += !ret;
		usleep(i % 8 * 700);
		if (i % 3)
			sg_abort(x->s.fd);
		else
			sg_drain(x->s.fd, 1 + i % 50, NULL);
	}
	return NULL;
}

static void *storm_ask(void *arg)
{
	struct storm *x = arg;
	struct pollfd p = { .fd = x->s.fd, .events = POLLIN };
	struct sgring_geometry g;
	struct sgring_query q;
	struct sgring_run run;

	while (!x->over) {
		struct sgring_stats t = { .size = sizeof(t) };

		sg_query(x->s.fd, &q);
		sg_geometry(x->s.fd, &g);
		sg_layout(x->s.fd, 0, &run, 1);
		poll(&p, 1, 1);
		if (sg_ioctl(x->s.fd, SGRING_STATS, &t) ||
		    t.slots_free + t.slots_engine + t.slots_app != x->s.setup.slot_count)
			x->wrong = true;
	}
	return NULL;
}

static void *storm_tune(void *arg)
{
	struct storm *x = arg;
	unsigned int i;

	for (i = 0; !x->over; i++) {
		struct sgring_tune t = { .wake_slots = 1 + i % 8, .wake_usec = 1 + i % 1000,
					 .sq_poll_usec = 20 + i % 1000,
					 .sq_idle_usec = i % 4 ? 1 + i % 3000 : SGRING_OFF };

		sg_tune(x->s.fd, &t);
		sg_kick(x->s.fd);
		usleep(100);
	}
	return NULL;
}

static void *storm_consume(void *arg)
{
	struct storm *x = arg;
	struct sgring_sqe *sqe;

	while (!x->over) {
		struct sgring_cqe e;

		if (!stream_wait(&x->s, 1, 10))
			continue;
		e = *sgring_cq_peek(&x->s.cq, 0);
		sgring_cq_consume(&x->s.cq, 1);
		if (e.flags & SGRING_CQE_EOS)
			continue;
		if (e.status || !stream_data_right(&x->s, &e))
			x->wrong = true;
		x->slots++;
		sqe = sgring_sq_reserve(&x->s.sq);
		sqe->slot = e.slot;
		if (sgring_sq_submit(&x->s.sq))
			sg_kick(x->s.fd);
	}
	return NULL;
}

static void calls_from_all_sides_at_once(void **state)
{
	static void *(*const parts[])(void *) = { storm_life, storm_ask, storm_tune,
						  storm_consume };
	pthread_t threads[ARRAY_SIZE(parts)];
	struct storm x = { .s = open_slots(8) };
	unsigned int i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, parts[i], &x), 0);
	msleep(3000);
	WAIT_FOR(x.starts > 10 && x.slots > 100, LONG_MS);
	x.over = true;
	for (i = 0; i < ARRAY_SIZE(parts); i++)
		pthread_join(threads[i], NULL);
	assert_false(x.wrong);
	assert_true(x.starts > 10);
	assert_true(x.slots > 100);
	/* And then it works as if nothing had been. */
	sg_abort(x.s.fd);
	while (stream_wait(&x.s, 1, 10)) {
		struct sgring_cqe e = stream_next(&x.s);

		if (e.slot != SGRING_NO_SLOT)
			stream_return(&x.s, e.slot, 0);
	}
	assert_int_equal(sg_tune(x.s.fd, &(struct sgring_tune){ .sq_idle_usec = 100000 }), 0);
	stream_start(&x.s);
	stream_run(&x.s, 30);
	assert_int_equal(stats_of(x.s.fd).sq_bad, 0);
	assert_int_equal(stats_of(x.s.fd).odd_callbacks, 0);
}

/* Asked from both CPUs while slots rush by: each answer is of one moment. */
struct asked {
	volatile bool over;
	volatile bool wrong;
	volatile unsigned int answers;
	uint32_t slots;
	uint64_t slot_bytes;
};

static void *ask_and_ask(void *arg)
{
	struct asked *x = arg;
	int fd = dev_open("rx0", O_RDONLY);
	uint64_t done = 0;

	while (!x->over) {
		struct sgring_stats t = { .size = sizeof(t) };

		if (sg_ioctl(fd, SGRING_STATS, &t) || t.slots_done < done ||
		    t.bytes_done != t.slots_done * x->slot_bytes ||
		    t.slots_free + t.slots_engine + t.slots_app + t.slots_gated != x->slots)
			x->wrong = true;
		done = t.slots_done;
		x->answers++;
	}
	close(fd);
	return NULL;
}

static void counters_are_of_one_moment(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = 4 * KIB, .slot_count = 32 });
	struct asked x = { .slots = 32, .slot_bytes = 4 * KIB };
	uint64_t until = now_ns() + LONG_MS * 1000000ULL;
	unsigned int slots = 0, i;
	pthread_t askers[2];

	(void)state;
	stream_start(&s);
	for (i = 0; i < ARRAY_SIZE(askers); i++)
		assert_int_equal(pthread_create(&askers[i], NULL, ask_and_ask, &x), 0);
	while ((slots < 3000 || x.answers < 3000) && now_ns() < until) {
		if (!stream_wait(&s, 1, LONG_MS))
			break;
		stream_return(&s, stream_next(&s).slot, 0);
		slots++;
	}
	x.over = true;
	for (i = 0; i < ARRAY_SIZE(askers); i++)
		pthread_join(askers[i], NULL);
	assert_false(x.wrong);
	assert_true(x.answers >= 100);
	assert_true(slots >= 100);
	stream_stop(&s);
}

GROUP(TEST(restarted_many_times_on_the_same_memory),
      TEST(unfilled_slots_are_the_kernels_again_after_a_stop),
      TEST(armed_loads_the_engine_and_leaves_the_device_off),
      TEST(stopped_while_starved),
      TEST(unread_ends_of_stream_are_kept_and_bounded),
      TEST(drain_delivers_the_slot_that_was_cut),
      TEST(drain_after_an_overflow_keeps_the_position),
      TEST(drain_lets_a_device_end_its_packet),
      TEST(drain_that_takes_too_long_becomes_an_abort),
      TEST(drain_without_residue_says_that_a_length_is_unknown),
      TEST(closed_while_streaming_it_is_free_at_once),
      TEST(mapping_keeps_a_closed_stream_alive),
      TEST(unmapped_slots_are_still_filled),
      TEST(killed_while_streaming_it_is_free_again),
      TEST(killed_in_a_long_drain_it_ends),
      TEST(killed_with_skbs_in_flight_the_pages_live_and_are_accounted),
      TEST(holding_and_closing_cannot_pass_the_limit),
      TEST(setup_that_is_killed_ends_and_leaves_nothing),
      TEST(descriptor_in_a_message_keeps_the_stream),
      TEST(forked_child_has_the_stream_but_not_the_memory),
      TEST(child_that_exits_takes_nothing_along),
      TEST(calls_from_all_sides_at_once),
      TEST(counters_are_of_one_moment))

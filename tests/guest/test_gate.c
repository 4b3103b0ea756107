// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The reference gate: a slot that was returned while an skb or a pipe still has
 * its pages is not filled before they let go. Without it wrong bytes arrive;
 * with it none does, whatever happens to the owner and its mapping, and a slot
 * that is held for good is told of and keeps no other back.
 *
 * A lane is where slots go: a pipe, by vmsplice, or TCP over loopback, with
 * MSG_ZEROCOPY to a receiver that does not read at first: what waits in the
 * send queue is not copied.
 */
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "common.h"

#define SLOT	(64 * KIB)
#define SLOTS	8U

static const struct sgring_setup plain = { .slot_bytes = SLOT, .slot_count = SLOTS };

/* ---- lanes ---- */

/**
 * struct lane - where slots go, and where they arrive
 * @in: the sender's end
 * @out: the receiver's end, which must hold the stream from its first byte on
 * @tcp: else a pipe
 * @key: of the pattern
 * @position: of the next byte to arrive
 * @wrong: pieces that were not the pattern's
 */
struct lane {
	int in;
	int out;
	bool tcp;
	uint64_t key;
	uint64_t position;
	uint64_t wrong;
};

static struct lane lane_pipe(const char *label)
{
	struct lane l = { .key = pattern_key_of(label) };
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1024 * KIB) >= 0);
	l.in = ends[1];
	l.out = ends[0];
	return l;
}

static struct lane lane_tcp(const char *label)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct lane l = { .key = pattern_key_of(label), .tcp = true };
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1, small = 16 * KIB, large = 64 * MIB;
	socklen_t bytes = sizeof(a);

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(bind(listener, (void *)&a, sizeof(a)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&a, &bytes), 0);
	l.in = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(!connect(l.in, (void *)&a, sizeof(a)) || errno == EINPROGRESS);
	l.out = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(l.out >= 0);
	close(listener);
	assert_int_equal(setsockopt(l.in, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)), 0);
	setsockopt(l.in, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	return l;
}

static struct lane (*const lanes[])(const char *label) = { lane_pipe, lane_tcp };

/* What the socket has been notified of: their memory is charged until then. */
static void notifications(struct lane *l)
{
	char control[200];
	struct msghdr m = { .msg_control = control };

	do
		m.msg_controllen = sizeof(control);
	while (recvmsg(l->in, &m, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0);
}

/* Without a copy, as much as fits: 0 if nothing does. */
static size_t lane_send(struct lane *l, const void *from, size_t bytes)
{
	struct iovec v = { (void *)from, bytes };
	ssize_t n = l->tcp ? send(l->in, from, bytes, MSG_ZEROCOPY | MSG_DONTWAIT | MSG_NOSIGNAL) :
			     vmsplice(l->in, &v, 1, SPLICE_F_NONBLOCK);

	if (n < 0) {
		assert_true(errno == EAGAIN || (l->tcp && errno == ENOBUFS));
		if (l->tcp)
			notifications(l);
		return 0;
	}
	assert_true(n > 0);
	return n;
}

/* What is there, at most so much, and whether it is right; 0: nothing now, or the end. */
static size_t lane_receive(struct lane *l, size_t most)
{
	static unsigned char buffer[64 * KIB];
	size_t done = 0;

	while (done < most) {
		size_t want = most - done < sizeof(buffer) ? most - done : sizeof(buffer);
		ssize_t n = read(l->out, buffer, want);

		if (n <= 0) {
			assert_true(!n || errno == EAGAIN);
			break;
		}
		if (sgring_pattern_verify(buffer, n, l->key, l->position) != (size_t)n)
			l->wrong++;
		l->position += n;
		done += n;
	}
	return done;
}

static void lane_receive_to(struct lane *l, uint64_t position)
{
	assert_true(WAIT_FOR((lane_receive(l, position - l->position),
			      l->position == position), LONG_MS));
}

static void lane_receive_to_end(struct lane *l)
{
	struct pollfd p = { .fd = l->out, .events = POLLIN };

	do
		assert_int_equal(poll(&p, 1, LONG_MS), 1);
	while (lane_receive(l, SLOT));
}

/* ---- a stream whose slots go into a lane and back to the SQ at once ---- */

static bool starved(const struct stream *s)
{
	return sgring_load_acquire(&kernel_side(s)->flags) & SGRING_STARVED;
}

static uint32_t slot_state(const struct stream *s, uint32_t slot)
{
	return __atomic_load_n(&slot_info(s, slot)->state, __ATOMIC_ACQUIRE);
}

static bool ready(struct stream *s)
{
	s->cq.producer = sgring_load_acquire(&s->cq.kernel->cq_producer);
	return sgring_cq_ready(&s->cq);
}

/* The next slot into the lane, and back; if the lane is full, the receiver reads. */
static void ship_one(struct stream *s, struct lane *l)
{
	struct sgring_cqe e = stream_expect(s);
	size_t done = 0;

	while (done < e.length_bytes) {
		size_t n = lane_send(l, slot_data(s, e.slot) + done, e.length_bytes - done);

		done += n;
		if (!n && !lane_receive(l, SLOT / 2))
			usleep(500);
	}
	stream_return(s, e.slot, 0);
}

/* Up to a stream position; the receiver reads only when nothing comes any more. */
static void ship_to(struct stream *s, struct lane *l, uint64_t position)
{
	while (s->position < position) {
		stream_kick_if_asked(s);
		if (ready(s))
			ship_one(s, l);
		else if (!starved(s) || !lane_receive(l, SLOT / 2))
			usleep(200);
	}
}

/* All are at the gate, and not only because nobody has looked since they were let go. */
static bool all_gated(int fd, uint32_t slots)
{
	struct sgring_stats t, before = stats_of(fd);

	if (before.slots_gated != slots)
		return false;
	return WAIT_FOR((t = stats_of(fd), t.slots_gated != slots ||
			 t.gate_checks >= before.gate_checks + 2ULL * slots), LONG_MS) &&
	       t.slots_gated == slots && t.gate_wait_ns == before.gate_wait_ns;
}

/* Until all slots are at the gate; nobody reads. */
static void fill_lane(struct stream *s, struct lane *l)
{
	do {
		assert_true(WAIT_FOR((stream_kick_if_asked(s), ready(s)) ||
				     all_gated(s->fd, s->setup.slot_count), LONG_MS));
		if (ready(s))
			ship_one(s, l);
	} while (ready(s) || !all_gated(s->fd, s->setup.slot_count));
}

/* The next slot, into the lane but not back. */
static struct sgring_cqe hold_one(struct stream *s, struct lane *l)
{
	struct sgring_cqe e = stream_expect(s);

	assert_int_equal(lane_send(l, slot_data(s, e.slot), e.length_bytes), e.length_bytes);
	return e;
}

/* Everybody waits, and the gate is looked at again and again: none may pass. */
static void nothing_passes(int fd)
{
	struct sgring_stats before = stats_of(fd), after;

	assert_true(before.slots_gated > 0);
	assert_true(WAIT_FOR(stats_of(fd).gate_checks >=
			     before.gate_checks + 4ULL * before.slots_gated, LONG_MS));
	after = stats_of(fd);
	assert_int_equal(after.slots_gated, before.slots_gated);
	assert_int_equal(after.gate_wait_ns, before.gate_wait_ns);
}

static void all_accounted_for(int fd, uint32_t slots)
{
	struct sgring_stats t = stats_of(fd);

	assert_int_equal(t.slots_free + t.slots_engine + t.slots_app + t.slots_gated, slots);
}

/* ---- with and without ---- */

/* Twice as many slots as there are, each back at once, and only then the receiver reads. */
static uint64_t wrong_without_gate(struct lane (*lane)(const char *label))
{
	struct sgring_setup setup = plain;
	struct stream s;
	struct lane l;
	unsigned int i;

	setup.flags = SGRING_SETUP_NO_GATE;
	s = stream_open("rx0", &setup);
	l = lane("rx0");
	stream_start(&s);
	for (i = 0; i < 2 * SLOTS; i++) {
		stream_kick_if_asked(&s);
		ship_one(&s, &l);
	}
	assert_false(stats_of(s.fd).flags & SGRING_STATS_GATE);
	assert_int_equal(stats_of(s.fd).gate_waits, 0);
	assert_int_equal(stats_of(s.fd).gate_checks, 0);
	lane_receive_to(&l, s.position);
	stream_close(&s);
	return l.wrong;
}

static void without_the_gate_a_pipe_gets_wrong_bytes(void **state)
{
	(void)state;
	assert_true(wrong_without_gate(lane_pipe));
}

static void without_the_gate_a_socket_gets_wrong_bytes(void **state)
{
	(void)state;
	assert_true(wrong_without_gate(lane_tcp));
}

static void right_with_gate(const char *label, struct lane (*lane)(const char *label),
			    const struct sgring_setup *setup, uint64_t bytes)
{
	struct stream s = stream_open(label, setup);
	struct lane l = lane(label);
	struct sgring_stats t;

	stream_start(&s);
	ship_to(&s, &l, bytes);
	lane_receive_to(&l, s.position);
	assert_int_equal(l.wrong, 0);
	/* Slots did wait, and none waits for ever. */
	assert_true(WAIT_FOR((stream_kick_if_asked(&s), !stats_of(s.fd).slots_gated), LONG_MS));
	t = stats_of(s.fd);
	assert_true(t.flags & SGRING_STATS_GATE);
	assert_true(t.gate_waits > 0);
	assert_true(t.gate_checks >= t.gate_waits);
	assert_true(t.gate_wait_ns > 0);
	assert_int_equal(t.gate_stuck, 0);
	all_accounted_for(s.fd, s.setup.slot_count);
	stream_close(&s);
	close(l.in);
	close(l.out);
}

static void with_the_gate_a_pipe_gets_the_right_ones(void **state)
{
	(void)state;
	right_with_gate("rx0", lane_pipe, &plain, 32 * MIB);
}

static void with_the_gate_a_socket_gets_the_right_ones(void **state)
{
	(void)state;
	right_with_gate("rx0", lane_tcp, &plain, 32 * MIB);
}

static void every_chunk_policy_has_its_gate(void **state)
{
	static const struct sgring_setup setups[] = {
		{ .slot_bytes = SLOT, .slot_count = SLOTS, .chunk_bytes = 4 * KIB },
		{ .slot_bytes = SLOT + 4 * KIB, .slot_count = SLOTS,
		  .chunk_policy = SGRING_CHUNK_EQUAL, .chunk_bytes = 16 * KIB },
		{ .slot_bytes = 48 * KIB, .slot_count = SLOTS,
		  .chunk_policy = SGRING_CHUNK_SINGLE },
		{ .slot_bytes = 12345, .slot_count = SLOTS },
		{ .slot_bytes = 400 * KIB + 1, .slot_count = 3 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(setups); i++) {
		right_with_gate("rx0", lane_pipe, &setups[i], 4 * MIB);
		right_with_gate("rx0", lane_tcp, &setups[i], 4 * MIB);
	}
}

static void every_engine_has_its_gate(void **state)
{
	static const char *const labels[] = { "xilinx0", "pl330-0", "bcm2835-0" };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(labels); i++)
		right_with_gate(labels[i], lane_pipe, &plain, 4 * MIB);
}

static void short_packets_wait_as_well(void **state)
{
	(void)state;
	knob_set("rx0", "packet_bytes", 20001);
	knob_set("rx0", "packet_jitter", 9000);
	right_with_gate("rx0", lane_pipe, &plain, 8 * MIB);
	right_with_gate("rx0", lane_tcp, &plain, 8 * MIB);
}

static bool kernel_before(int version, int patchlevel)
{
	struct utsname u;
	int v, p;

	assert_int_equal(uname(&u), 0);
	assert_int_equal(sscanf(u.release, "%d.%d", &v, &p), 2);
	return v < version || (v == version && p < patchlevel);
}

/* ---- what happens to the owner and its mapping in the middle of sends ---- */

static void others_take_memory(void)
{
	struct stream other = stream_open("rx1", &(struct sgring_setup){
		.slot_bytes = MIB, .slot_count = 32 });

	stream_start(&other);
	stream_run(&other, 40);
	stream_close(&other);
}

static pid_t child_that_ships(struct lane *l)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		struct stream s;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		s = stream_open("rx0", &plain);
		close(l->out);
		l->out = open("/dev/zero", O_RDONLY | O_CLOEXEC);	/* read by nobody */
		stream_start(&s);
		for (;;) {
			struct sgring_cqe e = stream_next(&s);
			size_t done = 0;

			while (done < e.length_bytes) {
				size_t n = lane_send(l, slot_data(&s, e.slot) + done,
						     e.length_bytes - done);

				done += n;
				if (!n)
					usleep(1000);
			}
			stream_return(&s, e.slot, 0);
		}
	}
	return pid;
}

static void a_killed_owner_spoils_nothing(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lanes); i++) {
		int fd = dev_open("rx0", O_RDONLY), status;
		struct lane l = lanes[i]("rx0");
		pid_t pid = child_that_ships(&l);
		uint64_t before;

		close(l.in);
		lane_receive_to(&l, 8 * MIB);
		assert_true(WAIT_FOR(all_gated(fd, SLOTS), LONG_MS));
		before = l.position;
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_true(WAIT_FOR(query_of(fd).state == SGRING_STATE_IDLE, LONG_MS));
		others_take_memory();
		lane_receive_to_end(&l);
		assert_int_equal(l.wrong, 0);
		assert_true(l.position > before + SLOT);
		assert_true(WAIT_FOR(!stats_of(fd).held_bytes, LONG_MS));
		close(l.out);
		close(fd);
	}
}

/* Filled lane, mapping gone, all arrives right, and with a new mapping it goes on. */
static void gone_in_mid_send(struct lane (*lane)(const char *label),
			     void (*go)(const struct stream *s))
{
	struct stream s = stream_open("rx0", &plain);
	struct lane l = lane("rx0");
	uint64_t sent;

	stream_start(&s);
	ship_to(&s, &l, 4 * MIB);
	fill_lane(&s, &l);
	sent = s.position;
	go(&s);
	nothing_passes(s.fd);
	lane_receive_to(&l, sent);
	assert_int_equal(l.wrong, 0);
	assert_true(WAIT_FOR(!stats_of(s.fd).slots_gated, LONG_MS));

	munmap(s.data, s.geometry.data_bytes);
	s.data = region_map(s.fd, s.geometry.data_offset, s.geometry.data_bytes,
			    PROT_READ | PROT_WRITE);
	assert_non_null(s.data);
	ship_to(&s, &l, sent + 4 * MIB);
	lane_receive_to(&l, s.position);
	assert_int_equal(l.wrong, 0);
	stream_close(&s);
	close(l.in);
	close(l.out);
}

static void go_munmap(const struct stream *s)
{
	assert_int_equal(munmap(s->data, s->geometry.data_bytes), 0);
}

/*
 * Each slot now has as many references as before: those of the mapping have
 * gone, those of the lane have come. Who counted on the mapping would be wrong.
 */
static void go_dontneed(const struct stream *s)
{
	assert_int_equal(madvise(s->data, s->geometry.data_bytes, MADV_DONTNEED), 0);
}

static void go_dontneed_in_part(const struct stream *s)
{
	uint32_t i;

	for (i = 0; i < SLOTS; i++)
		assert_int_equal(madvise(slot_data(s, i), (i + 1) * 4 * KIB, MADV_DONTNEED), 0);
}

static void munmap_spoils_nothing(void **state)
{
	(void)state;
	gone_in_mid_send(lane_pipe, go_munmap);
	gone_in_mid_send(lane_tcp, go_munmap);
}

static void madvise_spoils_nothing(void **state)
{
	(void)state;
	gone_in_mid_send(lane_pipe, go_dontneed);
	gone_in_mid_send(lane_tcp, go_dontneed);
	gone_in_mid_send(lane_pipe, go_dontneed_in_part);
	gone_in_mid_send(lane_tcp, go_dontneed_in_part);
}

/**
 * struct mapper - maps the data and unmaps it, all the time
 * @s: whose
 * @lock: against whoever uses the mapping
 * @end: enough
 * @times: it was mapped
 */
struct mapper {
	struct stream *s;
	pthread_mutex_t lock;
	int end;
	unsigned int times;
};

static void *map_and_unmap(void *arg)
{
	struct mapper *m = arg;
	struct stream *s = m->s;

	while (!__atomic_load_n(&m->end, __ATOMIC_ACQUIRE)) {
		pthread_mutex_lock(&m->lock);
		munmap(s->data, s->geometry.data_bytes);
		s->data = region_map(s->fd, s->geometry.data_offset, s->geometry.data_bytes,
				     PROT_READ | PROT_WRITE);
		m->times++;
		pthread_mutex_unlock(&m->lock);
		usleep(200);
	}
	return NULL;
}

static void mappings_that_come_and_go_spoil_nothing(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lanes); i++) {
		struct stream s = stream_open("rx0", &plain);
		struct mapper m = { .s = &s, .lock = PTHREAD_MUTEX_INITIALIZER };
		struct lane l = lanes[i]("rx0");
		pthread_t thread;

		stream_start(&s);
		assert_int_equal(pthread_create(&thread, NULL, map_and_unmap, &m), 0);
		while (s.position < 16 * MIB) {
			bool any;

			stream_kick_if_asked(&s);
			any = ready(&s);
			if (any) {
				pthread_mutex_lock(&m.lock);
				ship_one(&s, &l);
				pthread_mutex_unlock(&m.lock);
			}
			if (!any && (!starved(&s) || !lane_receive(&l, SLOT / 2)))
				usleep(200);
		}
		__atomic_store_n(&m.end, 1, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_non_null(s.data);
		assert_true(m.times > 10);
		lane_receive_to(&l, s.position);
		assert_int_equal(l.wrong, 0);
		assert_true(stats_of(s.fd).gate_waits > 0);
		assert_true(WAIT_FOR((stream_kick_if_asked(&s), !stats_of(s.fd).slots_gated), LONG_MS));
		stream_close(&s);
		close(l.in);
		close(l.out);
	}
}

/*
 * One page of each slot is held, and the gate is looked at as often as can be: a
 * mapping counted whose reference was not would be taken for the holder.
 */
static void a_mapping_half_made_hides_no_holder(void **state)
{
	struct sgring_setup setup = plain;
	struct lane l = lane_pipe("rx0");
	struct stream s;
	unsigned int i;

	(void)state;
	setup.chunk_policy = SGRING_CHUNK_EQUAL;
	setup.chunk_bytes = SLOT;
	setup.sq_poll_usec = 20;
	setup.sq_idle_usec = SGRING_USEC_MAX;
	s = stream_open("rx0", &setup);
	stream_start(&s);
	for (i = 0; i < SLOTS; i++) {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_equal(lane_send(&l, slot_data(&s, e.slot), 4 * KIB), 4 * KIB);
		stream_return(&s, e.slot, 0);
	}
	assert_true(WAIT_FOR(all_gated(s.fd, SLOTS), LONG_MS));
	for (i = 0; i < 4000; i++) {
		munmap(s.data, s.geometry.data_bytes);
		s.data = region_map(s.fd, s.geometry.data_offset, s.geometry.data_bytes, PROT_READ);
		assert_non_null(s.data);
	}
	assert_int_equal(stats_of(s.fd).slots_gated, SLOTS);
	assert_int_equal(stats_of(s.fd).gate_wait_ns, 0);
	lane_receive(&l, SLOTS * 4 * KIB);
	assert_true(stream_wait(&s, SLOTS, LONG_MS) == SLOTS);
}

static void a_childs_mapping_is_no_holder(void **state)
{
	struct stream s = stream_open("rx0", &plain);
	struct lane l = lane_pipe("rx0");
	int status;
	pid_t pid;

	(void)state;
	/* Newer kernels refuse it for the mappings of devices: then there is none. */
	if (madvise(s.data, s.geometry.data_bytes, MADV_DOFORK)) {
		assert_false(kernel_before(6, 12));
		skip();
	}
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
		_exit(1);
	}
	stream_start(&s);
	stream_run(&s, 10 * SLOTS);
	assert_true(WAIT_FOR(!stats_of(s.fd).slots_gated, LONG_MS));
	assert_int_equal(s.position, 10 * SLOTS * SLOT);
	l.position = s.position;
	/* And hides none. */
	fill_lane(&s, &l);
	nothing_passes(s.fd);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	nothing_passes(s.fd);
	lane_receive_to(&l, s.position);
	assert_int_equal(l.wrong, 0);
	stream_run(&s, 10 * SLOTS);
}

/* ---- held for long, or for good ---- */

static const struct sgring_setup quick = {
	.slot_bytes = SLOT, .slot_count = SLOTS, .gate_report_ms = 50,
};

static void a_held_slot_is_told_of_and_the_others_go_on(void **state)
{
	struct stream s = stream_open("rx0", &quick);
	struct lane l = lane_pipe("rx0");
	struct sgring_stats t;
	struct sgring_cqe e;
	int log = log_open_rested();
	char text[80];
	unsigned int i;

	(void)state;
	stream_start(&s);
	stream_run(&s, 5);
	e = hold_one(&s, &l);
	l.position = e.position_bytes;
	stream_return(&s, e.slot, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1),
			      stats_of(s.fd).flags & SGRING_STATS_STUCK), LONG_MS));
	assert_true(WAIT_FOR((stream_run(&s, 1), stats_of(s.fd).gate_stuck), LONG_MS));
	for (i = 0; i < 30 * SLOTS; i++) {
		struct sgring_cqe other = stream_expect(&s);

		assert_int_not_equal(other.slot, e.slot);
		stream_return(&s, other.slot, 0);
	}
	/* Once, by name. */
	t = stats_of(s.fd);
	assert_int_equal(t.gate_stuck, 1);
	assert_int_equal(t.gate_waits, 1);
	assert_int_equal(t.slots_gated, 1);
	assert_int_equal(t.gate_wait_ns, 0);
	assert_int_equal(slot_state(&s, e.slot), SGRING_SLOT_GATED);
	snprintf(text, sizeof(text), "rx0: slot %u waits at the gate", e.slot);
	assert_true(log_has(log, text));
	/* It cannot be returned once more. */
	stream_return(&s, e.slot, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), stats_of(s.fd).sq_bad == 1), LONG_MS));

	lane_receive_to(&l, e.position_bytes + e.length_bytes);
	assert_int_equal(l.wrong, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), !stats_of(s.fd).slots_gated), LONG_MS));
	while (e.slot != stream_expect(&s).slot)
		;
	t = stats_of(s.fd);
	assert_false(t.flags & SGRING_STATS_STUCK);
	assert_int_equal(t.gate_stuck, 1);
	assert_true(t.gate_wait_ns > 50 * 1000000ULL);
}

static void a_limit_that_is_off_tells_nothing(void **state)
{
	struct sgring_setup setup = quick;
	struct lane l = lane_pipe("rx0");
	struct sgring_cqe e;
	struct stream s;

	(void)state;
	setup.gate_report_ms = SGRING_OFF;
	s = stream_open("rx0", &setup);
	stream_start(&s);
	e = hold_one(&s, &l);
	stream_return(&s, e.slot, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), stats_of(s.fd).gate_checks > 100), LONG_MS));
	assert_int_equal(stats_of(s.fd).slots_gated, 1);
	assert_int_equal(stats_of(s.fd).gate_stuck, 0);
	assert_false(stats_of(s.fd).flags & SGRING_STATS_STUCK);
}

/* io_uring by hand: with it, and only with it, pages can be pinned for good. */
static int ring_open(void)
{
	struct io_uring_params p = {};
	int fd = syscall(__NR_io_uring_setup, 4, &p);

	return fd < 0 ? -errno : fd;
}

static int ring_register(int ring, void *data, size_t bytes)
{
	struct iovec v = { data, bytes };

	return syscall(__NR_io_uring_register, ring, IORING_REGISTER_BUFFERS, &v, 1) ? -errno : 0;
}

/* Registered, where the kernel registers pages of a device; false where it refuses. */
static bool registered(int ring, void *data, size_t bytes)
{
	int ret;

	assert_true(ring >= 0);
	ret = ring_register(ring, data, bytes);
	if (ret == -EOPNOTSUPP && kernel_before(6, 12))
		return false;
	assert_int_equal(ret, 0);
	return true;
}

static void a_registered_buffer_is_told_of_and_the_others_go_on(void **state)
{
	struct stream s = stream_open("rx0", &quick);
	struct lane l = lane_pipe("rx0");
	int ring = ring_open(), log = log_open_rested();
	struct sgring_cqe e;
	bool pinned;

	(void)state;
	stream_start(&s);
	e = stream_expect(&s);
	pinned = registered(ring, slot_data(&s, e.slot), SLOT);
	if (!pinned)	/* then a pipe holds it, for as long */
		assert_int_equal(lane_send(&l, slot_data(&s, e.slot), SLOT), SLOT);
	stream_return(&s, e.slot, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), stats_of(s.fd).gate_stuck == 1), LONG_MS));
	stream_run(&s, 30 * SLOTS);
	assert_int_equal(stats_of(s.fd).slots_gated, 1);
	assert_int_equal(slot_state(&s, e.slot), SGRING_SLOT_GATED);
	assert_true(log_has(log, pinned ? " mappings, pinned)" : " mappings, not pinned)"));
	close(ring);
	close(l.in);
	close(l.out);
	/* The ring goes when its time comes. */
	assert_true(WAIT_FOR((stream_run(&s, 1), !stats_of(s.fd).slots_gated), LONG_MS));
	stream_run(&s, 3 * SLOTS);
}

static void without_the_gate_registered_buffers_stream(void **state)
{
	struct sgring_tune tune = { .gate = SGRING_GATE_OFF };
	struct stream s = stream_open("rx0", &quick);
	int ring = ring_open();
	unsigned int i, seen = 0;

	(void)state;
	assert_int_equal(sg_tune(s.fd, &tune), 0);
	if (!registered(ring, s.data, s.geometry.data_bytes)) {
		/* What holds the pages then is a pipe. */
		struct lane l = lane_pipe("rx0");

		for (i = 0; i < SLOTS; i++)
			assert_int_equal(lane_send(&l, slot_data(&s, i), SLOT), SLOT);
	}
	stream_start(&s);
	for (i = 0; i < 20 * SLOTS; i++) {
		struct sgring_cqe e = stream_expect(&s);

		seen |= 1U << e.slot;
		stream_return(&s, e.slot, 0);
	}
	assert_int_equal(seen, (1U << SLOTS) - 1);
	assert_int_equal(stats_of(s.fd).gate_waits, 0);
	close(ring);
}

/* Of many: those held for good come first, those let go of are behind them. */
static void slots_behind(bool stopped)
{
	const struct sgring_setup setup = { .slot_bytes = 4 * KIB, .slot_count = 200 };
	struct stream s = stream_open("rx0", &setup);
	struct lane held = lane_pipe("rx0"), let_go = lane_pipe("rx0");
	uint64_t position = 0;
	unsigned int i;

	stream_start(&s);
	for (i = 0; i < 150; i++)
		stream_return(&s, hold_one(&s, &held).slot, 0);
	let_go.position = s.position;
	fill_lane(&s, &let_go);
	position = s.position;
	nothing_passes(s.fd);
	if (stopped) {
		stream_stop(&s);
		stream_find_end(&s);
	}
	lane_receive_to(&let_go, position);
	if (stopped)
		stream_start(&s);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_gated == 150, LONG_MS));
	stream_run(&s, 300);
	assert_int_equal(stats_of(s.fd).slots_gated, 150);
	lane_receive_to(&held, 150 * 4 * KIB);
	assert_int_equal(held.wrong + let_go.wrong, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), !stats_of(s.fd).slots_gated), LONG_MS));
	stream_run(&s, 600);
	stream_close(&s);
	close(held.in);
	close(held.out);
	close(let_go.in);
	close(let_go.out);
}

static void held_slots_keep_no_other_back(void **state)
{
	(void)state;
	slots_behind(false);
	slots_behind(true);
}

/* ---- all of them held: nobody kicks when they are let go ---- */

static void recovers_unkicked(uint32_t sq_idle_usec)
{
	struct sgring_setup setup = plain;
	struct lane l = lane_pipe("rx0");
	uint64_t kicks, runs;
	struct stream s;
	unsigned int i;

	setup.sq_idle_usec = sq_idle_usec;
	s = stream_open("rx0", &setup);
	stream_start(&s);
	for (i = 0; i < 20; i++) {
		fill_lane(&s, &l);
		/* It asks to be kicked for what is in the SQ, and goes on looking at the gate. */
		assert_true(WAIT_FOR(sgring_load_acquire(&kernel_side(&s)->flags) &
				     SGRING_NEED_WAKEUP, LONG_MS));
		assert_true(starved(&s));
		runs = stats_of(s.fd).timer_runs;
		nothing_passes(s.fd);
		assert_true(stats_of(s.fd).timer_runs > runs);
		kicks = stats_of(s.fd).kicks;
		lane_receive_to(&l, l.position + SLOT);
		assert_true(stream_wait(&s, 1, LONG_MS) >= 1);
		assert_int_equal(stats_of(s.fd).kicks, kicks);
	}
	lane_receive_to(&l, s.position);
	assert_int_equal(l.wrong, 0);
	assert_true(stream_wait(&s, SLOTS, LONG_MS) == SLOTS);
	stream_run(&s, 10 * SLOTS);
	stream_close(&s);
	close(l.in);
	close(l.out);
}

static void let_go_of_the_stream_recovers_unkicked(void **state)
{
	(void)state;
	recovers_unkicked(1000);
	recovers_unkicked(SGRING_OFF);
}

static void the_timer_rests_when_the_engine_has_a_slot(void **state)
{
	struct stream s = stream_open("rx0", &plain);
	struct lane l = lane_pipe("rx0");
	uint64_t runs;

	(void)state;
	stream_start(&s);
	fill_lane(&s, &l);
	knob_set("rx0", "stall", 1);
	lane_receive_to(&l, s.position - (SLOTS - 1) * SLOT);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_engine == 1, LONG_MS));
	assert_int_equal(stats_of(s.fd).slots_gated, SLOTS - 1);
	runs = stats_of(s.fd).timer_runs;
	msleep(200);
	assert_int_equal(stats_of(s.fd).timer_runs, runs);
	/* Nor does anybody look at the gate; but kicks do. */
	lane_receive_to(&l, s.position);
	msleep(100);
	assert_int_equal(stats_of(s.fd).slots_gated, SLOTS - 1);
	assert_true(WAIT_FOR((sg_kick(s.fd), !stats_of(s.fd).slots_gated), LONG_MS));
	knob_set("rx0", "stall", 0);
	stream_run(&s, 3 * SLOTS);
	assert_int_equal(l.wrong, 0);
}

/* A batch that a held slot keeps from becoming complete is told of all the same. */
static void a_held_slot_makes_no_waiter_wait_for_ever(void **state)
{
	static const uint32_t overruns[] = { SGRING_OVERRUN_STALL, SGRING_OVERRUN_DROP };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(overruns); i++) {
		struct stream s = stream_open("rx0", &(struct sgring_setup){
			.slot_bytes = SLOT, .slot_count = SLOTS, .overrun = overruns[i],
			.wake_slots = SLOTS, .wake_usec = SGRING_OFF });
		struct pollfd p = { .fd = s.fd, .events = POLLIN };
		struct lane l = lane_pipe("rx0");
		unsigned int k, n;

		stream_start(&s);
		stream_return(&s, hold_one(&s, &l).slot, 0);
		for (k = 0; k < 5; k++) {
			/* While nothing moves, all come back but that one, which may come yet. */
			for (n = 1; n < SLOTS; n++)
				stream_return(&s, stream_expect(&s).slot, 0);
			stream_kick_if_asked(&s);
			knob_set("rx0", "stall", 0);
			assert_int_equal(poll(&p, 1, LONG_MS), 1);
			assert_int_equal(p.revents, POLLIN);
			assert_int_equal(stream_wait(&s, SLOTS - 1, LONG_MS), SLOTS - 1);
			knob_set("rx0", "stall", 1);
		}
		knob_set("rx0", "stall", 0);
		assert_int_equal(stats_of(s.fd).slots_gated, 1);
		stream_close(&s);
		close(l.in);
		close(l.out);
	}
}

/* Complete so many slots, of a stream whose source is the feed. */
static void feed(const char *label, unsigned int slots)
{
	static const unsigned char bytes[SLOT];
	char path[128];

	snprintf(path, sizeof(path), "/sys/kernel/debug/sgring-dummy/%s/feed", label);
	while (slots--) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		assert_true(fd >= 0);
		assert_int_equal(write(fd, bytes, SLOT), SLOT);
		close(fd);
	}
}

static void a_batch_counts_on_those_at_the_gate(void **state)
{
	struct stream s = stream_open("rx0", &(struct sgring_setup){
		.slot_bytes = SLOT, .slot_count = SLOTS,
		.wake_slots = SLOTS / 2, .wake_usec = SGRING_OFF });
	struct pollfd p = { .fd = s.fd, .events = POLLIN };
	struct lane l = lane_pipe("rx0");
	unsigned int i;

	(void)state;
	knob_set_text("rx0", "source", "feed");
	stream_start(&s);
	for (i = 0; i < SLOTS - 3; i++) {
		uint32_t slot;

		feed("rx0", 1);
		slot = stream_next(&s).slot;
		assert_int_equal(lane_send(&l, slot_data(&s, slot), SLOT), SLOT);
		stream_return(&s, slot, 0);
	}
	/* Of those three the engine has, one comes; three more are missing. */
	assert_int_equal(sg_kick(s.fd), 0);
	assert_true(WAIT_FOR(stats_of(s.fd).slots_gated == SLOTS - 3, LONG_MS));
	feed("rx0", 1);
	assert_int_equal(stream_wait(&s, 1, LONG_MS), 1);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(poll(&p, 1, 50), 0);
	/* Let go of, it comes, and completes the batch. */
	lane_receive(&l, SLOTS * SLOT);
	feed("rx0", 3);
	assert_int_equal(poll(&p, 1, LONG_MS), 1);
	assert_true(stream_wait(&s, 4, LONG_MS) >= 4);
}

static void dropping_goes_on_while_all_are_held(void **state)
{
	struct sgring_setup setup = plain;
	struct lane l = lane_pipe("rx0");
	uint64_t sent = 0, dropped;
	struct stream s;
	unsigned int i;

	(void)state;
	setup.overrun = SGRING_OVERRUN_DROP;
	s = stream_open("rx0", &setup);
	stream_start(&s);
	for (i = 0; i < SLOTS; i++) {
		struct sgring_cqe e = stream_expect(&s);

		/* One by one: what arrives has gaps. */
		assert_int_equal(lane_send(&l, slot_data(&s, e.slot), e.length_bytes), SLOT);
		sent = e.position_bytes;
		if (!i)
			l.position = sent;
		stream_return(&s, e.slot, 0);
	}
	assert_true(WAIT_FOR(all_gated(s.fd, SLOTS), LONG_MS));
	dropped = stats_of(s.fd).dropped_slots;
	assert_true(WAIT_FOR(stats_of(s.fd).dropped_slots > dropped + 10, LONG_MS));
	assert_int_equal(stats_of(s.fd).slots_gated, SLOTS);
	assert_false(ready(&s));
	/* Those before the first gap lie in a row. */
	lane_receive(&l, SLOT);
	assert_int_equal(l.wrong, 0);
	lane_receive(&l, SLOTS * SLOT);
	assert_true(stream_wait(&s, 4, LONG_MS) >= 4);
	assert_true(stream_expect(&s).flags & SGRING_CQE_GAP);
}

/* ---- the gate off and on, stop and start ---- */

static void gate_set(int fd, uint32_t gate)
{
	struct sgring_tune tune = { .gate = gate };

	assert_int_equal(sg_tune(fd, &tune), 0);
	assert_int_equal(tune.gate, gate);
	assert_int_equal(!!(stats_of(fd).flags & SGRING_STATS_GATE), gate == SGRING_GATE_ON);
}

static void turned_off_it_holds_what_it_has_and_nothing_new(void **state)
{
	struct stream s = stream_open("rx0", &plain);
	struct lane first = lane_pipe("rx0"), second = lane_pipe("rx0"), third = lane_pipe("rx0");
	struct sgring_cqe a, b, c;

	(void)state;
	stream_start(&s);
	a = hold_one(&s, &first);
	stream_return(&s, a.slot, 0);
	assert_true(WAIT_FOR((stream_run(&s, 1), stats_of(s.fd).slots_gated), LONG_MS));

	gate_set(s.fd, SGRING_GATE_OFF);
	b = hold_one(&s, &second);
	stream_return(&s, b.slot, 0);
	do {
		struct sgring_cqe e = stream_expect(&s);

		assert_int_not_equal(e.slot, a.slot);
		c = e;
		stream_return(&s, e.slot, 0);
	} while (c.slot != b.slot);
	assert_int_equal(slot_state(&s, a.slot), SGRING_SLOT_GATED);
	stream_run(&s, 3 * SLOTS);
	assert_int_equal(stats_of(s.fd).gate_waits, 1);
	assert_int_equal(stats_of(s.fd).slots_gated, 1);

	gate_set(s.fd, SGRING_GATE_ON);
	do {
		c = stream_expect(&s);
		if (c.slot == b.slot)
			stream_return(&s, c.slot, 0);
	} while (c.slot == b.slot);
	third.position = c.position_bytes;
	assert_int_equal(lane_send(&third, slot_data(&s, c.slot), SLOT), SLOT);
	stream_return(&s, c.slot, 0);
	/* The one in the second pipe waits now too, as it should have before. */
	assert_true(WAIT_FOR((stream_run(&s, 1), stats_of(s.fd).slots_gated == 3), LONG_MS));

	first.position = a.position_bytes;
	lane_receive_to(&first, a.position_bytes + SLOT);
	lane_receive_to(&third, c.position_bytes + SLOT);
	assert_int_equal(first.wrong + third.wrong, 0);
	second.position = b.position_bytes;
	lane_receive_to(&second, b.position_bytes + SLOT);
	assert_true(second.wrong);
	assert_true(WAIT_FOR((stream_run(&s, 1), !stats_of(s.fd).slots_gated), LONG_MS));
}

static void some_held_over_a_stop_wait_on(void **state)
{
	static const char *const labels[] = { "rx0", "xilinx0" };
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(labels); k++) {
		struct stream s = stream_open(labels[k], &plain);
		struct lane l = lane_pipe(labels[k]);
		unsigned int i;

		stream_start(&s);
		for (i = 0; i < SLOTS / 2; i++)
			stream_return(&s, hold_one(&s, &l).slot, 0);
		assert_true(WAIT_FOR((stream_run(&s, 1),
				      stats_of(s.fd).slots_gated == SLOTS / 2), LONG_MS));
		for (i = 0; i < 3; i++) {
			stream_stop(&s);
			stream_find_end(&s);
			assert_int_equal(stats_of(s.fd).slots_gated, SLOTS / 2);
			all_accounted_for(s.fd, SLOTS);
			/* What came before the end and was not looked at goes back. */
			for (uint32_t n = 0; n < SLOTS; n++)
				if (slot_state(&s, n) == SGRING_SLOT_APP)
					stream_return(&s, n, 0);
			stream_start(&s);
			stream_run(&s, 5 * SLOTS);
			assert_int_equal(stats_of(s.fd).slots_gated, SLOTS / 2);
		}
		lane_receive_to(&l, SLOTS / 2 * SLOT);
		assert_int_equal(l.wrong, 0);
		assert_true(WAIT_FOR((stream_run(&s, 1), !stats_of(s.fd).slots_gated), LONG_MS));
		stream_run(&s, 3 * SLOTS);
		stream_close(&s);
		close(l.in);
		close(l.out);
	}
}

static void *receive_all(void *arg)
{
	struct lane *l = arg;

	msleep(100);
	WAIT_FOR((lane_receive(l, SLOT), l->position == SLOTS * SLOT), LONG_MS);
	return NULL;
}

static void all_held_over_a_stop_are_waited_for(void **state)
{
	static const char *const labels[] = { "rx0", "xilinx0" };
	size_t k;

	(void)state;
	for (k = 0; k < ARRAY_SIZE(labels); k++) {
		struct stream s = stream_open(labels[k], &plain);
		struct lane l = lane_pipe(labels[k]);
		struct sgring_stats before;
		pthread_t thread;

		stream_start(&s);
		fill_lane(&s, &l);
		assert_int_equal(s.position, SLOTS * SLOT);
		stream_stop(&s);
		stream_find_end(&s);
		assert_int_equal(stats_of(s.fd).slots_gated, SLOTS);

		/* It has looked for a while, and says what there is. */
		before = stats_of(s.fd);
		assert_int_equal(sg_start(s.fd), -ENOBUFS);
		assert_true(stats_of(s.fd).gate_checks > before.gate_checks + 4 * SLOTS);
		assert_int_equal(query_of(s.fd).state, SGRING_STATE_READY);
		assert_int_equal(stats_of(s.fd).slots_gated, SLOTS);

		assert_int_equal(pthread_create(&thread, NULL, receive_all, &l), 0);
		assert_true(WAIT_FOR(!sg_start(s.fd), LONG_MS));
		assert_true(stats_of(s.fd).slots_engine + stats_of(s.fd).slots_app);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(l.wrong, 0);
		assert_int_equal(l.position, SLOTS * SLOT);
		stream_run(&s, 5 * SLOTS);
		stream_close(&s);
		close(l.in);
		close(l.out);
	}
}

static void a_device_that_goes_leaves_what_is_held(void **state)
{
	int fd = dev_open("rx0", O_RDONLY);
	struct stream s = stream_open("rx0", &plain);
	struct lane l = lane_pipe("rx0");

	(void)state;
	stream_start(&s);
	fill_lane(&s, &l);
	assert_int_equal(device_unbind("rx0"), 0);
	assert_true(stats_of(s.fd).slots_gated == SLOTS);
	stream_close(&s);
	others_take_memory();
	lane_receive_to(&l, SLOTS * SLOT);
	assert_int_equal(l.wrong, 0);
	close(fd);
}

/* ---- where nothing is held, nobody waits ---- */

static void a_long_stream_without_holders_never_waits(void **state)
{
	struct stream s = stream_open("rx0", &plain);

	(void)state;
	stream_start(&s);
	stream_run(&s, 3000);
	assert_int_equal(stats_of(s.fd).gate_waits, 0);
	assert_int_equal(stats_of(s.fd).gate_checks, 0);
}

static void read_never_waits(void **state)
{
	static unsigned char buffer[100 * KIB];
	int fd = dev_open("rx0", O_RDWR);
	uint64_t key = pattern_key_of("rx0"), position = 0;

	(void)state;
	while (position < 64 * MIB) {
		ssize_t n = read(fd, buffer, sizeof(buffer));

		assert_true(n > 0);
		assert_int_equal(sgring_pattern_verify(buffer, n, key, position), n);
		position += n;
	}
	assert_true(stats_of(fd).flags & SGRING_STATS_GATE);
	assert_int_equal(stats_of(fd).gate_waits, 0);
	assert_int_equal(stats_of(fd).gate_checks, 0);
}

static void dd_never_waits(void **state)
{
	int fd = dev_open("rx0", O_RDONLY);
	char command[400];

	(void)state;
	snprintf(command, sizeof(command), "exec dd if=%s of=/dev/null bs=1M count=40 2>/dev/null",
		 dev_path("rx0"));
	assert_int_equal(system(command), 0);
	assert_true(stats_of(fd).slots_done >= 40);
	assert_int_equal(stats_of(fd).gate_waits, 0);
	assert_int_equal(stats_of(fd).gate_checks, 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		TEST(without_the_gate_a_pipe_gets_wrong_bytes),
		TEST(without_the_gate_a_socket_gets_wrong_bytes),
		TEST(with_the_gate_a_pipe_gets_the_right_ones),
		TEST(with_the_gate_a_socket_gets_the_right_ones),
		TEST(every_chunk_policy_has_its_gate),
		TEST(every_engine_has_its_gate),
		TEST(short_packets_wait_as_well),
		TEST(a_killed_owner_spoils_nothing),
		TEST(munmap_spoils_nothing),
		TEST(madvise_spoils_nothing),
		TEST(mappings_that_come_and_go_spoil_nothing),
		TEST(a_mapping_half_made_hides_no_holder),
		TEST(a_childs_mapping_is_no_holder),
		TEST(a_held_slot_is_told_of_and_the_others_go_on),
		TEST(a_limit_that_is_off_tells_nothing),
		TEST(a_registered_buffer_is_told_of_and_the_others_go_on),
		TEST(without_the_gate_registered_buffers_stream),
		TEST(held_slots_keep_no_other_back),
		TEST(let_go_of_the_stream_recovers_unkicked),
		TEST(the_timer_rests_when_the_engine_has_a_slot),
		TEST(a_held_slot_makes_no_waiter_wait_for_ever),
		TEST(a_batch_counts_on_those_at_the_gate),
		TEST(dropping_goes_on_while_all_are_held),
		TEST(turned_off_it_holds_what_it_has_and_nothing_new),
		TEST(some_held_over_a_stop_wait_on),
		TEST(all_held_over_a_stop_are_waited_for),
		TEST(a_device_that_goes_leaves_what_is_held),
		TEST(a_long_stream_without_holders_never_waits),
		TEST(read_never_waits),
		TEST(dd_never_waits),
	};

	/* A notification of each call is charged until it is read. */
	file_try("/proc/sys/net/core/optmem_max", "1000000");
	return group_run(argc, argv, tests, ARRAY_SIZE(tests));
}

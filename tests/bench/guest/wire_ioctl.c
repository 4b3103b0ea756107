// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * wire: the baselines, as a careful program uses them: V4L2, and the seed's design
 *
 * Slots are sent from the mapping by MSG_ZEROCOPY on a socket that blocks. They go back
 * to the driver when the notification says so. Notifications are asked for when half of
 * the slots are out, or as many as the kernel's default optmem allows to be (REAP_AT);
 * neighbours come in one. Only when all slots are out is there anything to wait for.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/errqueue.h>
#include <linux/videodev2.h>

#include "bench.h"
#include "wire.h"

#define SLOTS_MAX	64
#define REAP_AT		16
#define SENDS		1024	/* out at a time; more are not possible */

static int device, sock;
static unsigned char *slots[SLOTS_MAX];
static uint32_t slot_count;
static uint64_t handovers, calls, bytes, zerocopy, copied;

/* Slot i is out while any of its sends is. */
static uint32_t slot_of[SENDS];
static uint32_t sends_of[SLOTS_MAX];
static uint32_t next_send, out, out_slots;

/* What can be given back to the driver. */
static uint32_t done[SLOTS_MAX], done_count;

static void look(struct moment *m)
{
	m->bytes = bytes;
	m->handover_calls = handovers;
	m->own_calls = handovers + calls;
	m->zerocopy_sends = zerocopy;
	m->copied_sends = copied;
}

static int call(unsigned long request, void *argument, const char *what)
{
	int ret = ioctl(device, request, argument);

	if (ret < 0)
		wire_quit(1, "%s: %s", what, strerror(errno));
	handovers++;
	return ret;
}

/* ---- notifications */

static void let_go(uint32_t number)
{
	uint32_t slot = slot_of[number % SENDS];

	out--;
	if (--sends_of[slot])
		return;
	out_slots--;
	done[done_count++] = slot;
}

static void reap(void)
{
	char control[128];
	struct msghdr m = { .msg_control = control };
	const struct sock_extended_err *e;
	const struct cmsghdr *c;
	uint32_t number;

	for (;;) {
		m.msg_controllen = sizeof(control);
		calls++;
		if (recvmsg(sock, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
			if (errno == EAGAIN)
				return;
			wire_quit(1, "notifications: %s", strerror(errno));
		}
		c = CMSG_FIRSTHDR(&m);
		if (!c || c->cmsg_level != SOL_IP || c->cmsg_type != IP_RECVERR)
			continue;
		e = (const void *)CMSG_DATA(c);
		if (e->ee_origin != SO_EE_ORIGIN_ZEROCOPY || e->ee_errno)
			wire_quit(1, "the connection: %s", strerror((int)e->ee_errno));
		for (number = e->ee_info; number != e->ee_data + 1; number++) {
			*(e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED ? &copied : &zerocopy) += 1;
			let_go(number);
		}
	}
}

static void wait_and_reap(void)
{
	struct pollfd p = { .fd = sock };

	calls++;
	if (poll(&p, 1, 1000 * LIMIT_S) <= 0)
		wire_quit(1, "no notification");
	reap();
}

static void send_slot(uint32_t slot, size_t length)
{
	size_t sent;
	ssize_t n;

	for (sent = 0; sent < length; sent += (size_t)n) {
		calls++;
		n = send(sock, slots[slot] + sent, length - sent, MSG_ZEROCOPY | MSG_NOSIGNAL);
		if (n < 0 && errno == ENOBUFS && out) {
			wait_and_reap();
			n = 0;
			continue;
		}
		if (n < 0)
			wire_quit(1, "send: %s", strerror(errno));
		slot_of[next_send++ % SENDS] = slot;
		out_slots += !sends_of[slot]++;
		out++;
	}
	bytes += length;
}

static void reap_if_due(void)
{
	if (out_slots == slot_count)
		wait_and_reap();
	else if (out >= REAP_AT || 2 * out_slots >= slot_count)
		reap();
	while (out_slots == slot_count)
		wait_and_reap();
}

static void begin(const struct wire_case *c)
{
	int one = 1;

	sock = wire_connect(c);
	if (setsockopt(sock, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		wire_quit(1, "SO_ZEROCOPY: %s", strerror(errno));
	slot_count = c->slots;
}

static void end(void)
{
	while (out)
		wait_and_reap();
	close(sock);
	close(device);
}

/* ---- the seed: one ioctl gives a slot back, if there is one, and takes the next */

static void seed_run(const struct wire_case *c)
{
	struct bench_setup setup = { .bytes = c->slot_bytes, .count = c->slots, .chunks = 1 };
	unsigned char *data;
	uint32_t i;
	bool last;
	int slot;

	begin(c);
	device = open("/dev/bench-seed0", O_RDWR | O_CLOEXEC);
	if (device < 0 || ioctl(device, BENCH_SETUP, &setup))
		wire_quit(1, "bench-seed: %s", strerror(errno));
	data = mmap(NULL, setup.count * setup.stride_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, device, 0);
	if (data == MAP_FAILED || ioctl(device, BENCH_START))
		wire_quit(1, "bench-seed: %s", strerror(errno));
	for (i = 0; i < slot_count; i++)
		slots[i] = data + i * setup.stride_bytes;
	do {
		reap_if_due();
		slot = done_count ? (int)done[--done_count] : -1;
		slot = call(BENCH_EXCHANGE, (void *)(intptr_t)slot, "exchange");
		last = wire_sent(slots[slot]);
		send_slot((uint32_t)slot, c->slot_bytes);
	} while (!last);
	end();
}

/* ---- V4L2 */

static struct v4l2_buffer buffer_of(uint32_t index)
{
	return (struct v4l2_buffer){
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP, .index = index,
	};
}

static void v4l2_run(const struct wire_case *c)
{
	struct v4l2_requestbuffers request = {
		.count = c->slots, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_MMAP,
	};
	struct v4l2_format format = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.fmt.pix = { .sizeimage = (uint32_t)c->slot_bytes, .pixelformat = V4L2_PIX_FMT_GREY },
	};
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	struct v4l2_buffer b;
	uint32_t i;
	bool last;

	begin(c);
	device = open("/dev/video0", O_RDWR | O_CLOEXEC);
	if (device < 0 || ioctl(device, VIDIOC_S_FMT, &format) || ioctl(device, VIDIOC_REQBUFS, &request) ||
	    request.count != c->slots)
		wire_quit(1, "bench-v4l2: %s", strerror(errno));
	for (i = 0; i < slot_count; i++) {
		b = buffer_of(i);
		if (ioctl(device, VIDIOC_QUERYBUF, &b))
			wire_quit(1, "VIDIOC_QUERYBUF: %s", strerror(errno));
		slots[i] = mmap(NULL, b.length, PROT_READ | PROT_WRITE, MAP_SHARED, device, b.m.offset);
		if (slots[i] == MAP_FAILED || ioctl(device, VIDIOC_QBUF, &b))
			wire_quit(1, "VIDIOC_QBUF: %s", strerror(errno));
	}
	if (ioctl(device, VIDIOC_STREAMON, &type))
		wire_quit(1, "VIDIOC_STREAMON: %s", strerror(errno));
	do {
		reap_if_due();
		while (done_count) {
			b = buffer_of(done[--done_count]);
			call(VIDIOC_QBUF, &b, "VIDIOC_QBUF");
		}
		b = buffer_of(0);
		call(VIDIOC_DQBUF, &b, "VIDIOC_DQBUF");
		last = wire_sent(slots[b.index]);
		send_slot(b.index, c->slot_bytes);
	} while (!last);
	end();
}

const struct wire_way wire_ioctl[] = {
	/* 32 is videobuf2's limit. */
	{ "v4l2", "bench-v4l2", .slots_max = 32, .no_stats = true, .run = v4l2_run, .look = look },
	{ "seed", "bench-seed", .slots_max = 64, .no_stats = true, .run = seed_run, .look = look },
	{ 0 }
};

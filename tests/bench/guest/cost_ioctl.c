/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* cost: the baselines: the seed's design, two lean ioctls, V4L2. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/videodev2.h>

#include "cost.h"

#define BUFFERS_MAX 32	/* videobuf2's */

struct device {
	int fd;
	int previous;		/* seed: to be given back with the next exchange */
	void *data;
	size_t bytes;
	uint32_t count;
	void *buffers[BUFFERS_MAX];
	uint64_t calls;
};

static struct device *device_open(const char *format, uint32_t n)
{
	struct device *d = calloc(1, sizeof(*d));
	char path[32];

	snprintf(path, sizeof(path), format, n);
	d->fd = open(path, O_RDWR | O_CLOEXEC);
	if (d->fd < 0)
		cost_die("%s: %m", path);
	return d;
}

static uint64_t device_calls(void *stream)
{
	struct device *d = stream;

	return d->calls;
}

/* ---- seed, ioctl2 ------------------------------------------------------ */

static void *bench_open(const char *format, uint32_t n, const struct cost_case *c)
{
	struct bench_setup setup = { .bytes = c->slot_bytes, .count = c->slots, .chunks = c->chunks };
	struct device *d = device_open(format, n);

	if (ioctl(d->fd, BENCH_SETUP, &setup))
		cost_die("set-up of %s: %m", format);
	d->previous = -1;
	d->bytes = setup.stride_bytes * setup.count;
	d->data = mmap(NULL, d->bytes, PROT_READ, MAP_SHARED, d->fd, 0);
	if (d->data == MAP_FAILED || ioctl(d->fd, BENCH_START))
		cost_die("start of %s: %m", format);
	return d;
}

static void bench_close(void *stream)
{
	struct device *d = stream;

	munmap(d->data, d->bytes);
	close(d->fd);
	free(d);
}

static void *seed_open(uint32_t n, const struct cost_case *c)
{
	return bench_open("/dev/bench-seed%u", n, c);
}

/* The slot taken last is given back when the next is taken, or by an ioctl that does only that. */
static void seed_exchange(void *stream, uint32_t count)
{
	struct device *d = stream;

	d->calls += count;
	while (count--) {
		d->previous = ioctl(d->fd, BENCH_EXCHANGE, d->previous);
		if (d->previous < 0)
			cost_die("exchange: %m");
	}
}

static void *ioctl2_open(uint32_t n, const struct cost_case *c)
{
	return bench_open("/dev/bench-ioctl2-%u", n, c);
}

static void ioctl2_exchange(void *stream, uint32_t count)
{
	struct device *d = stream;
	struct bench_slot slot;

	d->calls += 2 * count;
	while (count--)
		if (ioctl(d->fd, BENCH_DEQUEUE, &slot) || ioctl(d->fd, BENCH_QUEUE, slot.index))
			cost_die("exchange: %m");
}

const struct cost_way cost_seed = {
	.name = "seed",
	.client = "bench-seed",
	.slots_max = 1024,
	.chunks_max = 1,
	.open = seed_open,
	.exchange = seed_exchange,
	.calls = device_calls,
	.close = bench_close,
};

const struct cost_way cost_ioctl2 = {
	.name = "ioctl2",
	.client = "bench-ioctl2",
	.slots_max = 1024,
	.chunks_max = 16,
	.open = ioctl2_open,
	.exchange = ioctl2_exchange,
	.calls = device_calls,
	.close = bench_close,
};

/* ---- V4L2 -------------------------------------------------------------- */

static struct v4l2_buffer buffer_of(uint32_t index)
{
	return (struct v4l2_buffer){
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
		.index = index,
	};
}

static void *v4l2_open(uint32_t n, const struct cost_case *c)
{
	struct v4l2_requestbuffers request = {
		.count = c->slots,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};
	struct v4l2_format format = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.fmt.pix = { .sizeimage = c->slot_bytes, .pixelformat = V4L2_PIX_FMT_GREY },
	};
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	struct device *d = device_open("/dev/video%u", n);

	if (ioctl(d->fd, VIDIOC_S_FMT, &format) || format.fmt.pix.sizeimage != c->slot_bytes)
		cost_die("VIDIOC_S_FMT: %m");
	if (ioctl(d->fd, VIDIOC_REQBUFS, &request) || request.count != c->slots)
		cost_die("VIDIOC_REQBUFS of %u: %m", c->slots);
	d->count = c->slots;
	for (uint32_t i = 0; i < d->count; i++) {
		struct v4l2_buffer b = buffer_of(i);

		if (ioctl(d->fd, VIDIOC_QUERYBUF, &b))
			cost_die("VIDIOC_QUERYBUF: %m");
		d->bytes = b.length;
		d->buffers[i] = mmap(NULL, b.length, PROT_READ, MAP_SHARED, d->fd, b.m.offset);
		if (d->buffers[i] == MAP_FAILED || ioctl(d->fd, VIDIOC_QBUF, &b))
			cost_die("buffer %u: %m", i);
	}
	if (ioctl(d->fd, VIDIOC_STREAMON, &type))
		cost_die("VIDIOC_STREAMON: %m");
	return d;
}

static void v4l2_exchange(void *stream, uint32_t count)
{
	struct device *d = stream;
	struct v4l2_buffer b = buffer_of(0);

	d->calls += 2 * count;
	/* What DQBUF has filled in is what QBUF wants. */
	while (count--)
		if (ioctl(d->fd, VIDIOC_DQBUF, &b) || ioctl(d->fd, VIDIOC_QBUF, &b))
			cost_die("exchange: %m");
}

static void v4l2_close(void *stream)
{
	struct device *d = stream;

	for (uint32_t i = 0; i < d->count; i++)
		munmap(d->buffers[i], d->bytes);
	close(d->fd);
	free(d);
}

const struct cost_way cost_v4l2 = {
	.name = "v4l2",
	.client = "bench-v4l2",
	.slots_max = BUFFERS_MAX,
	.chunks_max = 1,
	.open = v4l2_open,
	.exchange = v4l2_exchange,
	.calls = device_calls,
	.close = v4l2_close,
};

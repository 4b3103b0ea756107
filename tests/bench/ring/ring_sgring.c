// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring's rings by libsgring's public calls, on a stream that was opened as any
 * other: the library's back end (userlib/backend.h) is played here, and gives it
 * the layout that the driver makes.
 *
 * Three times: "sgring" returns what it takes in the same order, one slot at a time
 * by sgring_next() and sgring_return(), many by sgring_each(); "sgring-ready" does
 * that by sgring_peek() and sgring_return_ready(), in two passes; "sgring-put" returns
 * each slot by sgring_put(), as who returns them in another order does.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend.h"
#include "sgring.h"

#include "ring.h"

#define CQ_ENTRIES (2 * SLOTS)
#define PAGES(bytes) (((bytes) + 4095) / 4096 * 4096)
#define KERNEL_BYTES PAGES(sizeof(struct sgring_kernel_side) + CQ_ENTRIES * sizeof(struct sgring_cqe) + \
			   SLOTS * sizeof(struct sgring_slot_info))
#define USER_BYTES PAGES(sizeof(struct sgring_user_side) + SLOTS * sizeof(struct sgring_sqe))
#define DATA_BYTES ((size_t)SLOTS * SLOT_BYTES)

struct played {
	struct sgring_backend be;	/* first */
	struct sgring *stream;
	int memfd;
	unsigned char *kernel_map, *user_map;
	struct sgring_kernel_side *kernel;
	struct sgring_user_side *user;
	struct sgring_cqe *cqes;
	const struct sgring_sqe *sqes;
	/* The kernel's own. */
	uint32_t cq_producer __attribute__((aligned(128)));
	uint32_t sq_consumer;
	uint64_t sequence, position;
};

static const struct sgring_geometry geometry = {
	.size = sizeof(geometry),
	.slot_count = SLOTS,
	.slot_bytes = SLOT_BYTES,
	.stride_bytes = SLOT_BYTES,
	.kernel_offset = 0,
	.kernel_bytes = KERNEL_BYTES,
	.user_offset = KERNEL_BYTES,
	.user_bytes = USER_BYTES,
	.data_offset = KERNEL_BYTES + USER_BYTES,
	.data_bytes = DATA_BYTES,
	.cq_offset = sizeof(struct sgring_kernel_side),
	.cq_entries = CQ_ENTRIES,
	.cq_stride = sizeof(struct sgring_cqe),
	.table_offset = sizeof(struct sgring_kernel_side) + CQ_ENTRIES * sizeof(struct sgring_cqe),
	.table_stride = sizeof(struct sgring_slot_info),
	.sq_offset = sizeof(struct sgring_user_side),
	.sq_entries = SLOTS,
	.sq_stride = sizeof(struct sgring_sqe),
	.chunk_bytes_max = SLOT_BYTES,
	.chunk_bytes_min = SLOT_BYTES,
	.segments = 1,
};

static int played_open(const struct sgring_backend *be, const char *path, int flags)
{
	(void)path;
	(void)flags;
	return ((const struct played *)(const void *)be)->memfd;
}

static int played_close(const struct sgring_backend *be, int fd)
{
	(void)be;
	(void)fd;
	return 0;
}

static int played_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	struct played *p = (struct played *)(uintptr_t)be;

	(void)fd;
	switch (request) {
	case SGRING_SETUP:
		return 0;
	case SGRING_GEOMETRY:
		*(struct sgring_geometry *)arg = geometry;
		return 0;
	case SGRING_START:
		p->kernel->epoch = 1;
		p->kernel->state = SGRING_STATE_RUNNING;
		return 0;
	case SGRING_STOP:
		p->kernel->state = SGRING_STATE_READY;
		return 0;
	}
	return -ENOTTY;
}

static int sgring_ring_open(struct ring *r)
{
	struct played *p = aligned_alloc(128, sizeof(*p));
	uint32_t i;

	if (!p)
		return -1;
	memset(p, 0, sizeof(*p));
	r->priv = p;
	p->be = sgring_kernel_backend;
	p->be.open = played_open;
	p->be.close = played_close;
	p->be.ioctl = played_ioctl;
	p->be.literal_names = 1;
	p->memfd = memfd_create("ring", MFD_CLOEXEC);
	if (p->memfd < 0 || ftruncate(p->memfd, KERNEL_BYTES + USER_BYTES + DATA_BYTES))
		return -1;
	p->kernel_map = mmap(NULL, KERNEL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, p->memfd, 0);
	p->user_map = mmap(NULL, USER_BYTES, PROT_READ, MAP_SHARED, p->memfd, KERNEL_BYTES);
	if (p->kernel_map == MAP_FAILED || p->user_map == MAP_FAILED)
		return -1;
	p->kernel = (void *)p->kernel_map;
	p->user = (void *)p->user_map;
	p->cqes = (void *)(p->kernel_map + geometry.cq_offset);
	p->sqes = (void *)(p->user_map + geometry.sq_offset);
	if (sgring_open_backend(&p->stream, "played", SGRING_OPTIONS(.waiting = SGRING_SPIN), &p->be) || sgring_start(p->stream))
		return -1;
	/* All slots are the kernel's to begin with. */
	for (i = 0; i < SLOTS; i++)
		if (sgring_put(p->stream, i, i))
			return -1;
	return sgring_flush(p->stream);
}

static void sgring_ring_close(struct ring *r)
{
	struct played *p = r->priv;

	sgring_close(p->stream);
	munmap(p->kernel_map, KERNEL_BYTES);
	munmap(p->user_map, USER_BYTES);
	close(p->memfd);
	free(p);
}

/* Slots go back in any order: each by itself. */
static uint32_t put_turn(struct ring *r, uint32_t batch, struct learnt *l)
{
	struct sgring *s = ((struct played *)r->priv)->stream;
	uint64_t indices = 0, bytes = 0, positions = 0;
	uint32_t n = sgring_ready(s), i;
	struct sgring_slot slot;

	if (!n)
		return 0;
	if (n > batch)
		n = batch;
	for (i = 0; i < n; i++) {
		sgring_slot_of(s, sgring_peek(s, i), &slot);
		indices += slot.index;
		bytes += slot.length;
		positions += slot.position;
		if (sgring_put(s, slot.index, slot.cookie))
			l->failed++;
	}
	sgring_consume(s, n);
	if (sgring_publish(s))
		l->failed++;
	l->indices += indices;
	l->bytes += bytes;
	l->positions += positions;
	return n;
}

static uint32_t one_turn(struct ring *r, uint32_t batch, struct learnt *l)
{
	struct sgring *s = ((struct played *)r->priv)->stream;
	struct sgring_slot slot;

	(void)batch;
	if (sgring_next(s, &slot, -1)) {
		l->failed++;
		return 0;
	}
	l->indices += slot.index;
	l->bytes += slot.length;
	l->positions += slot.position;
	if (sgring_return(s, &slot))
		l->failed++;
	return 1;
}

static inline void learn(void *context, const struct sgring_cqe *e)
{
	struct learnt *l = context;

	l->indices += e->slot;
	l->bytes += e->length_bytes;
	l->positions += e->position_bytes;
}

static uint32_t each_turn(struct ring *r, uint32_t batch, struct learnt *l)
{
	struct sgring *s = ((struct played *)r->priv)->stream;
	struct learnt sums = { 0 };
	int n = sgring_each(s, batch, learn, &sums);

	if (n < 0) {
		l->failed++;
		return 0;
	}
	l->indices += sums.indices;
	l->bytes += sums.bytes;
	l->positions += sums.positions;
	return (uint32_t)n;
}

/* In two passes: look at all of them, then return all of them. */
static uint32_t ready_turn(struct ring *r, uint32_t batch, struct learnt *l)
{
	struct sgring *s = ((struct played *)r->priv)->stream;
	struct learnt sums = { 0 };
	uint32_t n = sgring_ready(s), i;

	if (!n)
		return 0;
	if (n > batch)
		n = batch;
	for (i = 0; i < n; i++)
		learn(&sums, sgring_peek(s, i));
	if (sgring_return_ready(s, n))
		l->failed++;
	l->indices += sums.indices;
	l->bytes += sums.bytes;
	l->positions += sums.positions;
	return n;
}

static uint32_t sgring_kernel_turn(struct ring *r)
{
	struct played *p = r->priv;
	const struct sgring_sqe *sqe;
	uint32_t n, i;

	n = sgring_load_acquire(&p->user->sq_producer) - p->sq_consumer;
	for (i = 0; i < n; i++) {
		sqe = &p->sqes[(p->sq_consumer + i) & (SLOTS - 1)];
		p->cqes[(p->cq_producer + i) & (CQ_ENTRIES - 1)] = (struct sgring_cqe){
			.sequence = p->sequence++, .position_bytes = p->position,
			.host_time_ns = p->position, .cookie = sqe->cookie, .slot = sqe->slot,
			.length_bytes = SLOT_BYTES, .engine_slots = n - i,
		};
		p->position += SLOT_BYTES;
	}
	p->sq_consumer += n;
	p->cq_producer += n;
	sgring_store_release(&p->kernel->sq_consumer, p->sq_consumer);
	sgring_store_release(&p->kernel->cq_producer, p->cq_producer);
	return n;
}

struct ring ring_sgring = {
	.name = "sgring", .open = sgring_ring_open, .close = sgring_ring_close,
	.turn = each_turn, .turn_one = one_turn, .kernel_turn = sgring_kernel_turn,
};
struct ring ring_sgring_ready = {
	.name = "sgring-ready", .open = sgring_ring_open, .close = sgring_ring_close,
	.turn = ready_turn, .kernel_turn = sgring_kernel_turn,
};
struct ring ring_sgring_put = {
	.name = "sgring-put", .open = sgring_ring_open, .close = sgring_ring_close,
	.turn = put_turn, .kernel_turn = sgring_kernel_turn,
};

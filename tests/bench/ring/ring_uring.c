// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * io_uring's rings by liburing: slots come as completions, and go back as
 * submissions. The rings are laid out by hand and marked as polled by a kernel
 * thread (SQPOLL), so that io_uring_submit() does all it does in user space and
 * enters the kernel only if asked to, which the kernel played here never does.
 */
#include <stdlib.h>
#include <string.h>

#include <liburing.h>

#include "ring.h"

/* As io_uring/io_uring.c's struct io_rings lays it out. */
struct shared {
	uint32_t sq_head __attribute__((aligned(64)));
	uint32_t sq_tail __attribute__((aligned(64)));
	uint32_t cq_head __attribute__((aligned(64)));
	uint32_t cq_tail __attribute__((aligned(64)));
	uint32_t sq_mask __attribute__((aligned(64)));
	uint32_t cq_mask;
	uint32_t sq_entries;
	uint32_t cq_entries;
	uint32_t sq_dropped;
	uint32_t sq_flags;
	uint32_t cq_flags;
	uint32_t cq_overflow;
	struct io_uring_cqe cqes[SLOTS] __attribute__((aligned(64)));
	uint32_t sq_array[SLOTS] __attribute__((aligned(64)));
	struct io_uring_sqe sqes[SLOTS] __attribute__((aligned(64)));
};

struct uring {
	struct io_uring ring;
	struct shared *shared;
	/* The kernel's own. */
	uint32_t sq_head __attribute__((aligned(128)));
	uint32_t cq_tail;
};

static int uring_open(struct ring *r)
{
	struct uring *u = aligned_alloc(128, sizeof(*u));
	struct io_uring_sqe *sqe;
	struct shared *s;
	uint32_t i;

	if (!u)
		return -1;
	memset(u, 0, sizeof(*u));
	r->priv = u;
	s = u->shared = aligned_alloc(4096, (sizeof(*s) + 4095) / 4096 * 4096);
	if (!s)
		return -1;
	memset(s, 0, sizeof(*s));
	s->sq_mask = s->cq_mask = SLOTS - 1;
	s->sq_entries = s->cq_entries = SLOTS;
	for (i = 0; i < SLOTS; i++)
		s->sq_array[i] = i;
	u->ring.flags = IORING_SETUP_SQPOLL;
	u->ring.ring_fd = u->ring.enter_ring_fd = -1;
	u->ring.sq = (struct io_uring_sq){
		.khead = &s->sq_head, .ktail = &s->sq_tail,
		.kring_mask = &s->sq_mask, .kring_entries = &s->sq_entries,
		.kflags = &s->sq_flags, .kdropped = &s->sq_dropped,
		.array = s->sq_array, .sqes = s->sqes,
		.ring_mask = SLOTS - 1, .ring_entries = SLOTS,
	};
	u->ring.cq = (struct io_uring_cq){
		.khead = &s->cq_head, .ktail = &s->cq_tail,
		.kring_mask = &s->cq_mask, .kring_entries = &s->cq_entries,
		.kflags = &s->cq_flags, .koverflow = &s->cq_overflow, .cqes = s->cqes,
		.ring_mask = SLOTS - 1, .ring_entries = SLOTS,
	};
	for (i = 0; i < SLOTS; i++) {
		sqe = io_uring_get_sqe(&u->ring);
		if (!sqe)
			return -1;
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data64(sqe, i);
	}
	return io_uring_submit(&u->ring) == (int)SLOTS ? 0 : -1;
}

static void uring_close(struct ring *r)
{
	struct uring *u = r->priv;

	free(u->shared);
	free(u);
}

static uint32_t uring_turn(struct ring *r, uint32_t batch, struct learnt *l)
{
	struct io_uring *ring = &((struct uring *)r->priv)->ring;
	struct io_uring_cqe *cqe;
	uint64_t indices = 0, bytes = 0, positions = 0, position = l->position;
	struct io_uring_sqe *sqe;
	uint32_t head, n = 0;

	io_uring_for_each_cqe(ring, head, cqe) {
		indices += cqe->user_data;
		bytes += (uint32_t)cqe->res;
		positions += position;
		position += (uint32_t)cqe->res;
		sqe = io_uring_get_sqe(ring);
		if (!sqe) {
			l->failed++;
			break;
		}
		io_uring_prep_nop(sqe);
		io_uring_sqe_set_data64(sqe, cqe->user_data);
		if (++n == batch)
			break;
	}
	if (!n)
		return 0;
	io_uring_cq_advance(ring, n);
	if (io_uring_submit(ring) < 0)
		l->failed++;
	l->indices += indices;
	l->bytes += bytes;
	l->positions += positions;
	l->position = position;
	return n;
}

static uint32_t uring_kernel_turn(struct ring *r)
{
	struct uring *u = r->priv;
	struct shared *s = u->shared;
	const struct io_uring_sqe *sqe;
	uint32_t n, i;

	n = __atomic_load_n(&s->sq_tail, __ATOMIC_ACQUIRE) - u->sq_head;
	for (i = 0; i < n; i++) {
		sqe = &s->sqes[s->sq_array[(u->sq_head + i) & (SLOTS - 1)]];
		s->cqes[(u->cq_tail + i) & (SLOTS - 1)] = (struct io_uring_cqe){
			.user_data = sqe->user_data, .res = SLOT_BYTES,
		};
	}
	u->sq_head += n;
	u->cq_tail += n;
	__atomic_store_n(&s->sq_head, u->sq_head, __ATOMIC_RELEASE);
	__atomic_store_n(&s->cq_tail, u->cq_tail, __ATOMIC_RELEASE);
	return n;
}

struct ring ring_uring = {
	.name = "uring", .open = uring_open, .close = uring_close,
	.turn = uring_turn, .kernel_turn = uring_kernel_turn,
};

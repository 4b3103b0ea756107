// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * AF_XDP's rings by libxdp's inline functions, on memory laid out as the kernel
 * does it (indices and flags on cache lines of their own): slots come by the RX
 * ring and go back by the FILL ring. No socket is needed for that, and no root.
 *
 * Twice: "xdp" is the rings alone; "xdp-wakeup" also looks at the FILL ring's
 * NEED_WAKEUP flag after each submit, as an application must that binds with
 * XDP_USE_NEED_WAKEUP. The first is the cheaper, and the one to beat.
 */
#include <stdlib.h>
#include <string.h>

#include <xdp/xsk.h>

#include "ring.h"

/* As net/xdp/xsk_queue.h lays it out. */
struct shared {
	uint32_t producer __attribute__((aligned(64)));
	uint32_t pad0 __attribute__((aligned(64)));
	uint32_t consumer __attribute__((aligned(64)));
	uint32_t flags;
	uint32_t pad1 __attribute__((aligned(64)));
	unsigned char entries[] __attribute__((aligned(64)));
};

struct xdp {
	struct xsk_ring_cons rx;
	struct xsk_ring_prod fill;
	struct shared *rx_shared, *fill_shared;
	/* The kernel's own. */
	uint32_t rx_producer __attribute__((aligned(128)));
	uint32_t fill_consumer;
};

static struct shared *shared_new(size_t entry_bytes)
{
	size_t bytes = sizeof(struct shared) + SLOTS * entry_bytes;
	struct shared *s = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);

	if (s)
		memset(s, 0, bytes);
	return s;
}

static int xdp_open(struct ring *r)
{
	struct xdp *x = aligned_alloc(128, sizeof(*x));
	uint32_t i;

	if (!x)
		return -1;
	memset(x, 0, sizeof(*x));
	r->priv = x;
	x->rx_shared = shared_new(sizeof(struct xdp_desc));
	x->fill_shared = shared_new(sizeof(__u64));
	if (!x->rx_shared || !x->fill_shared)
		return -1;
	x->rx = (struct xsk_ring_cons){
		.mask = SLOTS - 1, .size = SLOTS,
		.producer = &x->rx_shared->producer, .consumer = &x->rx_shared->consumer,
		.ring = x->rx_shared->entries, .flags = &x->rx_shared->flags,
	};
	x->fill = (struct xsk_ring_prod){
		.cached_cons = SLOTS, .mask = SLOTS - 1, .size = SLOTS,
		.producer = &x->fill_shared->producer, .consumer = &x->fill_shared->consumer,
		.ring = x->fill_shared->entries, .flags = &x->fill_shared->flags,
	};
	/* All slots are the kernel's to begin with. */
	if (xsk_ring_prod__reserve(&x->fill, SLOTS, &i) != SLOTS)
		return -1;
	for (i = 0; i < SLOTS; i++)
		*xsk_ring_prod__fill_addr(&x->fill, i) = (__u64)i * SLOT_BYTES;
	xsk_ring_prod__submit(&x->fill, SLOTS);
	return 0;
}

static void xdp_close(struct ring *r)
{
	struct xdp *x = r->priv;

	free(x->rx_shared);
	free(x->fill_shared);
	free(x);
}

static inline __attribute__((always_inline)) uint32_t
turn(struct xdp *x, uint32_t batch, struct learnt *l, bool wakeup)
{
	uint64_t indices = 0, bytes = 0, positions = 0, position = l->position;
	uint32_t from, to, n, i;

	n = xsk_ring_cons__peek(&x->rx, batch, &from);
	if (!n)
		return 0;
	/* There are as many places as slots: it cannot be full. */
	if (xsk_ring_prod__reserve(&x->fill, n, &to) != n) {
		l->failed++;
		return 0;
	}
	for (i = 0; i < n; i++) {
		const struct xdp_desc *d = xsk_ring_cons__rx_desc(&x->rx, from + i);

		indices += d->addr / SLOT_BYTES;
		bytes += d->len;
		positions += position;
		position += d->len;
		*xsk_ring_prod__fill_addr(&x->fill, to + i) = d->addr;
	}
	xsk_ring_cons__release(&x->rx, n);
	xsk_ring_prod__submit(&x->fill, n);
	if (wakeup && xsk_ring_prod__needs_wakeup(&x->fill))
		l->failed++;
	l->indices += indices;
	l->bytes += bytes;
	l->positions += positions;
	l->position = position;
	return n;
}

static uint32_t xdp_turn(struct ring *r, uint32_t batch, struct learnt *l)
{
	return turn(r->priv, batch, l, false);
}

static uint32_t xdp_turn_wakeup(struct ring *r, uint32_t batch, struct learnt *l)
{
	return turn(r->priv, batch, l, true);
}

static uint32_t xdp_kernel_turn(struct ring *r)
{
	struct xdp *x = r->priv;
	const __u64 *addrs = (const void *)x->fill_shared->entries;
	struct xdp_desc *descs = (void *)x->rx_shared->entries;
	uint32_t n, i;

	n = __atomic_load_n(&x->fill_shared->producer, __ATOMIC_ACQUIRE) - x->fill_consumer;
	for (i = 0; i < n; i++)
		descs[(x->rx_producer + i) & (SLOTS - 1)] = (struct xdp_desc){
			.addr = addrs[(x->fill_consumer + i) & (SLOTS - 1)], .len = SLOT_BYTES,
		};
	x->fill_consumer += n;
	x->rx_producer += n;
	__atomic_store_n(&x->fill_shared->consumer, x->fill_consumer, __ATOMIC_RELEASE);
	__atomic_store_n(&x->rx_shared->producer, x->rx_producer, __ATOMIC_RELEASE);
	return n;
}

struct ring ring_xdp = {
	.name = "xdp", .open = xdp_open, .close = xdp_close,
	.turn = xdp_turn, .kernel_turn = xdp_kernel_turn,
};
struct ring ring_xdp_wakeup = {
	.name = "xdp-wakeup", .open = xdp_open, .close = xdp_close,
	.turn = xdp_turn_wakeup, .kernel_turn = xdp_kernel_turn,
};

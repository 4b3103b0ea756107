/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * sgring: the kernel's side of the rings and the slot table; see sq.c, cq.c, table.c
 *
 * Two areas of pages. The kernel side is written by the kernel alone and mapped
 * read-only. The user side is written by the application at any time, to any
 * value: every word is read once, copied and checked, and never written.
 * The letters are those of the drawing in uapi/linux/sgring_ring.h.
 *
 * sq.c, cq.c and table.c are also compiled in user space, into the simulator of
 * libsgring and into tests/unit.
 */
#ifndef SGRING_RINGS_H
#define SGRING_RINGS_H

#include <linux/types.h>
#include <linux/sgring.h>

struct page;

/**
 * struct sgring_rings - both rings and the slot table
 * @kernel: the kernel side, &struct sgring_kernel_side first
 * @kernel_bytes: its length, whole pages
 * @kernel_pages: it is made of these
 * @cqes: CQ entries, in the kernel side
 * @cq_entries: number of them, a power of two
 * @cq_producer: next entry to write; the truth, the shared one is a copy
 * @table: the slot table, in the kernel side
 * @user: the user side, &struct sgring_user_side first
 * @user_bytes: its length, whole pages
 * @user_pages: it is made of these
 * @sqes: SQ entries, in the user side
 * @sq_entries: number of them, a power of two
 * @sq_consumer: next entry to take; the truth
 */
struct sgring_rings {
	struct sgring_kernel_side *kernel;
	size_t kernel_bytes;
	struct page **kernel_pages;
	struct sgring_cqe *cqes;
	u32 cq_entries;
	u32 cq_producer;
	struct sgring_slot_info *table;
	struct sgring_user_side *user;
	size_t user_bytes;
	struct page **user_pages;
	struct sgring_sqe *sqes;
	u32 sq_entries;
	u32 sq_consumer;
};

int sgring_rings_alloc(struct sgring_rings *rings, u32 slots);
void sgring_rings_free(struct sgring_rings *rings);
void sgring_rings_geometry(const struct sgring_rings *rings, struct sgring_geometry *geometry);

int sgring_cq_room(const struct sgring_rings *rings);
int sgring_cq_pending(const struct sgring_rings *rings);
u32 sgring_cq_consumer(const struct sgring_rings *rings);
struct sgring_cqe *sgring_cq_next(const struct sgring_rings *rings);
void sgring_cq_publish(struct sgring_rings *rings);
void sgring_cq_post(struct sgring_rings *rings, const struct sgring_cqe *cqe);

int sgring_sq_used(const struct sgring_rings *rings);
void sgring_sq_copy(const struct sgring_rings *rings, u32 nth, struct sgring_sqe *sqe);
void sgring_sq_taken(struct sgring_rings *rings, u32 count);

void sgring_table_state(struct sgring_rings *rings, u32 slot, u32 state, u64 time_ns);
void sgring_table_generation(struct sgring_rings *rings, u32 slot);
void sgring_table_transfer(struct sgring_rings *rings, u32 slot, u64 sequence, u64 position);
u32 sgring_table_usec_log2(const struct sgring_rings *rings, u32 slot, u64 now_ns);

#endif /* SGRING_RINGS_H */

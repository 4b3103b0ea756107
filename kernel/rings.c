// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: memory of the rings and the slot table
 *
 * Process context, under the stream's mutex.
 */
#include <linux/errno.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "chunk.h"
#include "compat.h"
#include "rings.h"

/* The structures are the ABI for ten years, for 32 and 64 bit alike. */
static_assert(sizeof(struct sgring_cqe) == 64);
static_assert(sizeof(struct sgring_sqe) == 32);
static_assert(sizeof(struct sgring_slot_info) == 32);
static_assert(sizeof(struct sgring_kernel_side) == 192);
static_assert(sizeof(struct sgring_user_side) == 128);
static_assert(sizeof(struct sgring_query) == 224);
static_assert(sizeof(struct sgring_setup) == 120);
static_assert(sizeof(struct sgring_geometry) == 144);
static_assert(sizeof(struct sgring_run) == 24);
static_assert(sizeof(struct sgring_layout) == 24);
static_assert(sizeof(struct sgring_stop) == 16);
static_assert(sizeof(struct sgring_tune) == 24);
static_assert(sizeof(struct sgring_stats) == 520);

/* Entries begin behind the indices, on a page of their own. */
#define RINGS_FIRST_ENTRY	PAGE_SIZE

/*
 * Zeroed pages in a row, for remap_vmalloc_range(): as vmalloc_user(), but accounted,
 * and quiet. NULL: no memory; area_free() undoes what was made.
 */
static void *area_alloc(size_t bytes, struct page ***list)
{
	unsigned int i, count = bytes >> PAGE_SHIFT;
	struct page **pages;

	pages = kvcalloc(count, sizeof(*pages), SGRING_GFP_LIST);
	*list = pages;
	if (!pages)
		return NULL;
	for (i = 0; i < count; i++) {
		pages[i] = alloc_page(GFP_USER | __GFP_ZERO | SGRING_GFP_ACCOUNT |
				      SGRING_GFP_QUIET);
		if (!pages[i])
			return NULL;
		cond_resched();
	}
	return vmap(pages, count, VM_MAP | VM_USERMAP, PAGE_KERNEL);
}

static void area_free(void *area, size_t bytes, struct page **pages)
{
	unsigned int i, count = bytes >> PAGE_SHIFT;

	vunmap(area);
	for (i = 0; pages && i < count && pages[i]; i++)
		__free_page(pages[i]);
	kvfree(pages);
}

/**
 * sgring_rings_alloc() - make the rings of a stream
 * @rings: where
 * @slots: number of slots; each may be in each ring once, and the CQ has room
 *	for as many end-of-stream entries again
 *
 * Their memory is charged to the device-wide limit.
 *
 * Return: 0, -ENOMEM, or -EDQUOT.
 */
int sgring_rings_alloc(struct sgring_rings *rings, u32 slots)
{
	size_t table;

	*rings = (struct sgring_rings){};
	rings->sq_entries = roundup_pow_of_two(slots);
	rings->cq_entries = roundup_pow_of_two(slots + 1);
	table = RINGS_FIRST_ENTRY + PAGE_ALIGN(rings->cq_entries * sizeof(struct sgring_cqe));
	rings->kernel_bytes = table + PAGE_ALIGN(slots * sizeof(struct sgring_slot_info));
	rings->user_bytes = RINGS_FIRST_ENTRY +
			    PAGE_ALIGN(rings->sq_entries * sizeof(struct sgring_sqe));

	if (sgring_memory_charge(rings->kernel_bytes + rings->user_bytes)) {
		*rings = (struct sgring_rings){};
		return -EDQUOT;
	}
	rings->kernel = area_alloc(rings->kernel_bytes, &rings->kernel_pages);
	if (rings->kernel)
		rings->user = area_alloc(rings->user_bytes, &rings->user_pages);
	if (!rings->user) {
		sgring_rings_free(rings);
		return -ENOMEM;
	}
	rings->cqes = (void *)rings->kernel + RINGS_FIRST_ENTRY;
	rings->table = (void *)rings->kernel + table;
	rings->sqes = (void *)rings->user + RINGS_FIRST_ENTRY;
	return 0;
}

/* Undo sgring_rings_alloc(); mappings keep their pages. */
void sgring_rings_free(struct sgring_rings *rings)
{
	area_free(rings->kernel, rings->kernel_bytes, rings->kernel_pages);
	area_free(rings->user, rings->user_bytes, rings->user_pages);
	sgring_memory_uncharge(rings->kernel_bytes + rings->user_bytes);
	*rings = (struct sgring_rings){};
}

/* Fill in what @geometry says about the rings. */
void sgring_rings_geometry(const struct sgring_rings *rings, struct sgring_geometry *geometry)
{
	geometry->kernel_bytes = rings->kernel_bytes;
	geometry->user_bytes = rings->user_bytes;
	geometry->kernel_side = 0;
	geometry->user_side = 0;
	geometry->cq_offset = (void *)rings->cqes - (void *)rings->kernel;
	geometry->cq_entries = rings->cq_entries;
	geometry->cq_stride = sizeof(struct sgring_cqe);
	geometry->table_offset = (void *)rings->table - (void *)rings->kernel;
	geometry->table_stride = sizeof(struct sgring_slot_info);
	geometry->sq_offset = (void *)rings->sqes - (void *)rings->user;
	geometry->sq_entries = rings->sq_entries;
	geometry->sq_stride = sizeof(struct sgring_sqe);
}

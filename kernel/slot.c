// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: slots, the buffers a device fills
 *
 * Owns a slot's memory and its DMA mapping, which is made once, at set-up.
 * After that ownership moves between device and CPU with dma_sync_sgtable_*
 * alone. Process context, under the stream's mutex.
 */
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/errno.h>
#include <linux/iommu.h>
#include <linux/mm.h>

#include "compat.h"
#include "fault.h"
#include "slot.h"

/**
 * sgring_slot_alloc() - give a slot its memory
 * @slot: zeroed
 * @plan: see sgring_chunks_alloc()
 *
 * Return: 0, -ENOMEM, -EINTR.
 */
int sgring_slot_alloc(struct sgring_slot *slot, struct sgring_chunk_plan *plan)
{
	struct sgring_chunks *chunks = sgring_chunks_alloc(plan);

	if (IS_ERR(chunks))
		return PTR_ERR(chunks);
	slot->chunks = chunks;
	INIT_LIST_HEAD(&slot->node);
	return 0;
}

/*
 * Where caches are not coherent, mapping for a device that writes may throw the
 * zeroes away which are still in the cache, and with them the only thing that
 * hides what was in the memory before: write them back first.
 */
static int write_back_zeroes(struct device *dev, struct sg_table *table)
{
	int ret;

	if (sgring_dma_coherent(dev))
		return 0;
	ret = dma_map_sgtable(dev, table, DMA_TO_DEVICE, DMA_ATTR_NO_WARN);
	if (ret)
		return ret;
	dma_unmap_sgtable(dev, table, DMA_TO_DEVICE, 0);
	return 0;
}

static u64 segments_needed(const struct sgring_chunks *chunks, u64 bytes,
			   const struct sgring_limits *limits)
{
	u64 segments = 0;
	unsigned int i;

	for (i = 0; i < chunks->count && bytes; i++) {
		u64 used = min_t(u64, bytes, PAGE_SIZE << chunks->chunk[i].order);
		u64 n = sgring_plan_segments(used, limits);

		if (!n)
			return 0;
		segments += n;
		bytes -= used;
	}
	return segments;
}

static void segments_fill(const struct sgring_chunks *chunks, u64 bytes,
			  const struct sgring_limits *limits, struct scatterlist *sg)
{
	unsigned int i;

	for (i = 0; i < chunks->count && bytes; i++) {
		const struct sgring_chunk *chunk = &chunks->chunk[i];
		u64 used = min_t(u64, bytes, PAGE_SIZE << chunk->order);
		u64 offset = 0;

		while (offset < used) {
			u64 length = sgring_plan_segment(offset, used - offset, limits);

			sg_set_page(sg, chunk->page + (offset >> PAGE_SHIFT), length,
				    offset_in_page(offset));
			sg = sg_next(sg);
			offset += length;
		}
		bytes -= used;
	}
}

/* What the DMA API made of it must still be what the engine takes. */
static int segments_check(const struct sg_table *table, u64 bytes,
			  const struct sgring_limits *limits)
{
	struct scatterlist *sg;
	u64 boundary = limits->boundary_mask;
	int i;

	if (limits->segments && table->nents > limits->segments)
		return -EMSGSIZE;
	for_each_sgtable_dma_sg(table, sg, i) {
		u64 start = sg_dma_address(sg);
		u64 length = sg_dma_len(sg);

		if (!length || length > limits->segment_bytes || length > bytes)
			return -EMSGSIZE;
		if (boundary && ((start & boundary) + length - 1 > boundary))
			return -EMSGSIZE;
		bytes -= length;
		if (!IS_ALIGNED(start, min_t(u64, limits->align & -limits->align, PAGE_SIZE)))
			return -EMSGSIZE;
		if (do_div(length, limits->align))
			return -EMSGSIZE;
	}
	return bytes ? -EMSGSIZE : 0;
}

/**
 * sgring_slot_map() - cut a slot into segments and map them for DMA
 * @slot: with memory
 * @bytes: size of the slot; its memory may be larger
 * @dev: the channel's own device
 * @dir: of the DMA
 * @limits: of the engine
 *
 * The zeroes are in memory, or in the bounce buffer, when it returns: a device
 * that fills a slot only in part never uncovers somebody else's data.
 *
 * Return: 0; -EMSGSIZE: the engine cannot take such a slot; -ENOMEM: no memory
 * for the table, the bounce buffer or the IOVA.
 */
int sgring_slot_map(struct sgring_slot *slot, u64 bytes, struct device *dev,
		    enum dma_data_direction dir, const struct sgring_limits *limits)
{
	u64 segments = segments_needed(slot->chunks, bytes, limits);
	int ret;

	if (!segments || (limits->segments && segments > limits->segments))
		return -EMSGSIZE;
	if (segments > INT_MAX)
		return -EMSGSIZE;
	ret = sg_alloc_table(&slot->table, segments, GFP_KERNEL);
	if (ret)
		return ret;
	segments_fill(slot->chunks, bytes, limits, slot->table.sgl);

	ret = dir == DMA_FROM_DEVICE ? write_back_zeroes(dev, &slot->table) : 0;
	if (ret || sgring_should_fail())
		goto free;
	ret = dma_map_sgtable(dev, &slot->table, dir, DMA_ATTR_NO_WARN);
	if (ret)
		goto free;
	slot->mapped = true;
	ret = sgring_should_fail() ? -EMSGSIZE : segments_check(&slot->table, bytes, limits);
	if (ret)
		goto unmap;
	return 0;

unmap:
	sgring_slot_unmap(slot, dev, dir);
	return ret;
free:
	sg_free_table(&slot->table);
	/* A full bounce pool or IOVA space has many names; it is memory that is missing. */
	return -ENOMEM;
}

/**
 * sgring_slot_unmap() - take a slot away from the device for good
 * @slot: mapped or not
 * @dev: as mapped
 * @dir: as mapped
 *
 * Without a sync: a bounce buffer must not overwrite pages that are in flight
 * to the network by now.
 */
void sgring_slot_unmap(struct sgring_slot *slot, struct device *dev,
		       enum dma_data_direction dir)
{
	if (!slot->mapped)
		return;
	dma_unmap_sgtable(dev, &slot->table, dir, DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(&slot->table);
	slot->mapped = false;
}

/**
 * sgring_slot_free() - give up a slot's memory
 * @slot: unmapped
 * @leak: an engine may still write to it: abandon it
 */
void sgring_slot_free(struct sgring_slot *slot, bool leak)
{
	if (!slot->chunks)
		return;
	if (leak && slot->mapped)
		sg_free_table(&slot->table);
	if (leak)
		sgring_chunks_leak(slot->chunks);
	else
		sgring_chunks_free(slot->chunks);
	slot->chunks = NULL;
}

/* Can a sync of this mapped slot do any work? Then it has to be made. */
bool sgring_slot_syncs(const struct sgring_slot *slot, struct device *dev)
{
	struct scatterlist *sg;
	int i;

	/* Before 6.10 it is true of every device behind an IOMMU. */
	for_each_sgtable_dma_sg(&slot->table, sg, i)
		if (dma_need_sync(dev, sg_dma_address(sg)))
			return true;
	return false;
}

/* Does it take long? */
bool sgring_slot_sync_costs(const struct sgring_slot *slot, struct device *dev)
{
	return sgring_slot_syncs(slot, dev) &&
	       (!sgring_dma_coherent(dev) || sgring_slot_bounced(slot, dev));
}

/* The last byte of a mapped slot, as the device and as the CPU has it. */
static void slot_end(const struct sgring_slot *slot, dma_addr_t *end, phys_addr_t *cpu_end)
{
	struct scatterlist *sg, *last = slot->table.sgl;
	int i;

	for_each_sgtable_dma_sg(&slot->table, sg, i)
		last = sg;
	*end = sg_dma_address(last) + sg_dma_len(last) - 1;
	for_each_sgtable_sg(&slot->table, sg, i)
		last = sg;
	*cpu_end = sg_phys(last) + last->length - 1;
}

/* Does the DMA of this mapped slot go through a bounce buffer, that is a copy? */
bool sgring_slot_bounced(const struct sgring_slot *slot, struct device *dev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(dev);
	struct scatterlist *sg = slot->table.sgl;
	phys_addr_t phys = domain ? iommu_iova_to_phys(domain, sg_dma_address(sg)) : 0;
	phys_addr_t cpu_end = 0;
	dma_addr_t end = 0;
	int i;

	/*
	 * An IOMMU may have merged entries: only the ends are certain to match; and
	 * of a device that is not trusted it is the ends that are not whole pages.
	 * 0: there is none, or (Intel's in 5.10) one that lets all pass.
	 */
	if (phys) {
		slot_end(slot, &end, &cpu_end);
		return phys != sg_phys(sg) || iommu_iova_to_phys(domain, end) != cpu_end;
	}
	for_each_sgtable_dma_sg(&slot->table, sg, i)
		if (dma_to_phys(dev, sg_dma_address(sg)) != sg_phys(sg))
			return true;
	return false;
}

/**
 * sgring_slot_runs() - describe a slot's chunks
 * @slot: any
 * @bytes: its stride; a last chunk that sticks out is told whole
 * @runs: where to put neighbouring chunks of one size; NULL with @room 0
 * @room: how many fit there
 *
 * Return: the number of runs.
 */
u32 sgring_slot_runs(const struct sgring_slot *slot, u64 bytes, struct sgring_run *runs,
		     u32 room)
{
	const struct sgring_chunks *chunks = slot->chunks;
	u64 offset = 0, previous = 0;
	u32 count = 0;
	unsigned int i;

	for (i = 0; i < chunks->count && offset < bytes; i++) {
		u64 size = PAGE_SIZE << chunks->chunk[i].order;

		if (size != previous)
			count++;
		if (count <= room) {
			struct sgring_run *run = &runs[count - 1];

			if (size != previous)
				*run = (struct sgring_run){ .offset_bytes = offset,
							    .chunk_bytes = size };
			run->chunks++;
		}
		previous = size;
		offset += size;
	}
	return count;
}

#if IS_ENABLED(CONFIG_SGRING_KUNIT_TEST)
#include "slot_kunit.c"
#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: mmap
 *
 * The owner's slots are one VMA of ordinary, referenced pages, so that
 * get_user_pages() takes them. Observers get the same pages as a bare PFN map,
 * read-only and without references, filled in by page faults and zapped before
 * the memory goes.
 *
 * mmap runs under the mmap lock and takes the stream's mutex inside it. Faults
 * take only the observer lock.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "stream.h"

/* Pages inserted with one call. */
#define INSERT_BATCH	256

static unsigned int region_at(u64 offset)
{
	switch (offset) {
	case SGRING_OFFSET_KERNEL:
		return SGRING_REGION_KERNEL;
	case SGRING_OFFSET_USER:
		return SGRING_REGION_USER;
	default:
		return SGRING_REGION_DATA;
	}
}

static atomic_t *owner_vma_count(struct vm_area_struct *vma)
{
	struct sgring_stream *s = vma->vm_private_data;

	return &s->mapped[region_at((u64)vma->vm_pgoff << PAGE_SHIFT)];
}

/*
 * The slots' mapping is watched: as long as nothing was taken from it, each page
 * is mapped once, and the gate need not count. Under the mmap lock, but for the
 * call that something is about to go, which comes from anywhere. A mapping that
 * could not be watched (a signal is pending, say), or was changed once, is counted.
 */
#ifdef SGRING_WATCH

static bool watch_changes(struct mmu_interval_notifier *watch,
			  const struct mmu_notifier_range *range, unsigned long sequence)
{
	struct sgring_stream *s = container_of(watch, struct sgring_stream, watch);

	mmu_interval_set_seq(watch, sequence);
	sgring_gate_whole(&s->gate, false);
	return true;
}

static const struct mmu_interval_notifier_ops watch_ops = {
	.invalidate = watch_changes,
};

/* Before a page is in it; for watch_whole(). */
static unsigned long watch_begin(struct sgring_stream *s, struct vm_area_struct *vma)
{
	if (mmu_interval_notifier_insert_locked(&s->watch, vma->vm_mm, vma->vm_start,
						vma->vm_end - vma->vm_start, &watch_ops))
		return 0;
	WRITE_ONCE(s->watched, vma);
	/* It is told nothing while others are told something: wait for their end. */
	return mmu_interval_read_begin(&s->watch);
}

/* All pages are in it, unless it was told meanwhile that some go. */
static void watch_whole(struct sgring_stream *s, unsigned long sequence)
{
	if (s->watched && !mmu_interval_read_retry(&s->watch, sequence))
		sgring_gate_whole(&s->gate, true);
}

static void watch_end(struct sgring_stream *s)
{
	if (!s->watched)
		return;
	sgring_gate_whole(&s->gate, false);
	/* Before the next one can begin: the removal is a full barrier. */
	WRITE_ONCE(s->watched, NULL);
	mmu_interval_notifier_remove(&s->watch);
}

static bool watched(struct sgring_stream *s, struct vm_area_struct *vma)
{
	return READ_ONCE(s->watched) == vma;
}

#else

static unsigned long watch_begin(struct sgring_stream *s, struct vm_area_struct *vma)
{
	return 0;
}

static void watch_whole(struct sgring_stream *s, unsigned long sequence)
{
}

static void watch_end(struct sgring_stream *s)
{
}

static bool watched(struct sgring_stream *s, struct vm_area_struct *vma)
{
	return false;
}

#endif

/* A copy: for a child after MADV_DOFORK, or for the time of a mremap that is refused. */
static void owner_vma_open(struct vm_area_struct *vma)
{
	atomic_inc(owner_vma_count(vma));
}

static void owner_vma_close(struct vm_area_struct *vma)
{
	struct sgring_stream *s = vma->vm_private_data;

	if (watched(s, vma))
		watch_end(s);
	atomic_dec(owner_vma_count(vma));
}

/* Each region is mapped once, whole: nobody has use for a part of one. */
static int owner_vma_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

static int owner_vma_mremap(SGRING_MREMAP_ARGS)
{
	return -EINVAL;
}

static const struct vm_operations_struct owner_vm_ops = {
	.open = owner_vma_open,
	.close = owner_vma_close,
	.may_split = owner_vma_may_split,
	.mremap = owner_vma_mremap,
};

/* The page of a slot at @offset, or NULL beyond its last. */
static struct page *slot_page(const struct sgring_slot *slot, u64 offset)
{
	const struct sgring_chunks *chunks = slot->chunks;
	unsigned int i;

	for (i = 0; i < chunks->count; i++) {
		u64 bytes = PAGE_SIZE << chunks->chunk[i].order;

		if (offset < bytes)
			return chunks->chunk[i].page + (offset >> PAGE_SHIFT);
		offset -= bytes;
	}
	return NULL;
}

static vm_fault_t observer_fault(struct vm_fault *vmf)
{
	struct sgring_file *f = vmf->vma->vm_file->private_data;
	struct sgring_stream *s = f->stream;
	u64 offset = vmf->address - vmf->vma->vm_start;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct page *page;
	u64 slot;

	offset += ((u64)vmf->vma->vm_pgoff << PAGE_SHIFT) - SGRING_OFFSET_OBSERVER_DATA;
	mutex_lock(&s->observer_lock);
	/* What was shown is gone with its set-up; another one's slots are not it. */
	if (!s->observable || (unsigned long)vmf->vma->vm_private_data != s->setups)
		goto out;
	slot = div64_u64(offset, s->stride);
	if (slot >= s->setup.slot_count)
		goto out;
	page = slot_page(&s->slots[slot], offset - slot * s->stride);
	if (page)
		ret = vmf_insert_pfn(vmf->vma, vmf->address & PAGE_MASK, page_to_pfn(page));
out:
	mutex_unlock(&s->observer_lock);
	return ret;
}

static const struct vm_operations_struct observer_vm_ops = {
	.fault = observer_fault,
};

static int insert_chunk(struct vm_area_struct *vma, unsigned long *addr, u64 *left,
			const struct sgring_chunk *chunk, struct page **batch)
{
	unsigned long pages = min_t(u64, *left, 1UL << chunk->order);
	unsigned long done = 0;

	while (done < pages) {
		unsigned long i, count = min_t(unsigned long, pages - done, INSERT_BATCH);
		int ret;

		for (i = 0; i < count; i++)
			batch[i] = chunk->page + done + i;
		done += count;
		i = count;
		ret = vm_insert_pages(vma, *addr, batch, &i);
		if (ret)
			return ret;
		*addr += count << PAGE_SHIFT;
	}
	*left -= pages;
	cond_resched();
	return 0;
}

static int map_slots(struct sgring_stream *s, struct vm_area_struct *vma)
{
	unsigned long addr = vma->vm_start;
	struct page **batch;
	u32 i, c;
	int ret = 0;

	batch = kmalloc_array(INSERT_BATCH, sizeof(*batch), GFP_KERNEL);
	if (!batch)
		return -ENOMEM;
	for (i = 0; i < s->setup.slot_count && !ret; i++) {
		const struct sgring_chunks *chunks = s->slots[i].chunks;
		u64 left = s->stride >> PAGE_SHIFT;

		for (c = 0; c < chunks->count && left && !ret; c++)
			ret = insert_chunk(vma, &addr, &left, &chunks->chunk[c], batch);
	}
	kfree(batch);
	return ret;
}

static int map_data(struct sgring_stream *s, struct vm_area_struct *vma)
{
	unsigned long sequence = watch_begin(s, vma);
	int ret = map_slots(s, vma);

	if (ret)
		watch_end(s);
	else
		watch_whole(s, sequence);
	return ret;
}

static int map_owner(struct sgring_stream *s, struct vm_area_struct *vma, unsigned int region)
{
	int ret;

	/* Its own open file description owns the stream: no copy for a child. */
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	if (atomic_cmpxchg(&s->mapped[region], 0, 1))
		return -EBUSY;
	if (region == SGRING_REGION_KERNEL)
		ret = remap_vmalloc_range(vma, s->rings.kernel, 0);
	else if (region == SGRING_REGION_USER)
		ret = remap_vmalloc_range(vma, s->rings.user, 0);
	else
		ret = map_data(s, vma);
	if (ret) {
		atomic_set(&s->mapped[region], 0);
		return ret;
	}
	vma->vm_private_data = s;
	vma->vm_ops = &owner_vm_ops;
	return 0;
}

/* The slots have an offset of their own for observers; of the user side they only read. */
static bool may_be_observed(u64 offset, unsigned long vm_flags)
{
	if (offset == SGRING_OFFSET_USER)
		return !(vm_flags & VM_WRITE);
	return offset != SGRING_OFFSET_DATA;
}

static int map_observer(struct sgring_stream *s, struct vm_area_struct *vma, u64 offset)
{
	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	if (offset == SGRING_OFFSET_KERNEL)
		return remap_vmalloc_range(vma, s->rings.kernel, 0);
	if (offset == SGRING_OFFSET_USER)
		return remap_vmalloc_range(vma, s->rings.user, 0);
	vm_flags_set(vma, VM_PFNMAP | VM_IO);
	vma->vm_private_data = (void *)s->setups;
	vma->vm_ops = &observer_vm_ops;
	return 0;
}

static int map_region(struct sgring_stream *s, struct file *file, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 length = vma->vm_end - vma->vm_start;
	bool owner = s->owner == file;
	bool may_write = false, observed = !owner;
	u64 bytes;

	if (sgring_is_dead(s))
		return -ENODEV;
	if (s->state == SGRING_STATE_IDLE || s->reading)
		return -EBADFD;
	switch (offset) {
	case SGRING_OFFSET_KERNEL:
		bytes = s->rings.kernel_bytes;
		break;
	case SGRING_OFFSET_USER:
		bytes = s->rings.user_bytes;
		may_write = owner;
		break;
	case SGRING_OFFSET_DATA:
		bytes = s->stride * s->setup.slot_count;
		may_write = owner;
		break;
	case SGRING_OFFSET_OBSERVER_DATA:
		bytes = s->stride * s->setup.slot_count;
		observed = true;
		break;
	default:
		return -EINVAL;
	}
	if (length != bytes || !(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (!owner && !may_be_observed(offset, vma->vm_flags))
		return -EPERM;
	if ((vma->vm_flags & VM_EXEC) || ((vma->vm_flags & VM_WRITE) && !may_write))
		return -EACCES;
	vm_flags_clear(vma, VM_MAYEXEC | (may_write ? 0 : VM_MAYWRITE));
	return observed ? map_observer(s, vma, offset) : map_owner(s, vma, region_at(offset));
}

/**
 * sgring_mmap() - map one region
 * @s: the stream
 * @file: of the caller
 * @vma: what is wanted
 *
 * Return: 0, or as uapi/linux/sgring.h says.
 */
int sgring_mmap(struct sgring_stream *s, struct file *file, struct vm_area_struct *vma)
{
	int ret;

	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	ret = map_region(s, file, vma);
	mutex_unlock(&s->mutex);
	return ret;
}

/**
 * sgring_observers_zap() - take the slots from all observers
 * @s: under the mutex
 *
 * No fault gives them back.
 */
void sgring_observers_zap(struct sgring_stream *s)
{
	u64 bytes = s->stride * s->setup.slot_count;
	struct sgring_file *f;

	mutex_lock(&s->observer_lock);
	s->observable = false;
	mutex_unlock(&s->observer_lock);
	if (!bytes)
		return;
	/* A mapping keeps its file open, so it is that of one of these. */
	list_for_each_entry(f, &s->files, node)
		if (mapping_mapped(f->mapping))
			unmap_mapping_range(f->mapping, SGRING_OFFSET_OBSERVER_DATA, bytes, 1);
}

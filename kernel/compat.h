/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring: what differs between kernel versions, all of it, and nothing else */
#ifndef SGRING_COMPAT_H
#define SGRING_COMPAT_H

#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/version.h>

/* The largest order of the page allocator: exclusive before 6.4, renamed in 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define SGRING_MAX_ORDER	(MAX_ORDER - 1)
#elif LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define SGRING_MAX_ORDER	MAX_ORDER
#else
#define SGRING_MAX_ORDER	MAX_PAGE_ORDER
#endif

/* Before 5.11 an accounted page has a page type, and may not be mapped to user space. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
#define SGRING_GFP_ACCOUNT	0
#else
#define SGRING_GFP_ACCOUNT	__GFP_ACCOUNT
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, unsigned long flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* A macro, so that it does not matter to which version before 5.12 it came. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 12, 0)
#define dmaengine_get_dma_device(chan)	((chan)->device->dev)
#endif

/* struct vm_operations_struct: split became may_split. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
#define may_split	split
#endif

/* The same: mremap had a second argument in 5.11 and 5.12. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 11, 0) && LINUX_VERSION_CODE < KERNEL_VERSION(5, 13, 0)
#define SGRING_MREMAP_ARGS	struct vm_area_struct *vma, unsigned long flags
#else
#define SGRING_MREMAP_ARGS	struct vm_area_struct *vma
#endif

/*
 * Page table entries that map the pages of a compound allocation, as of now: one
 * number from 6.10 on; before, the sum over its pages. So before, a pass must not
 * look at too many pages (SGRING_PASS_PAGES), and it pays to know without counting
 * (SGRING_WATCH).
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 10, 0)
#ifdef CONFIG_MMU_NOTIFIER
#define SGRING_WATCH
#endif
#define SGRING_PASS_PAGES	16384U
static inline int sgring_mapcount(struct page *head, unsigned int order)
{
	int mappings = 0;
	unsigned long i;

	for (i = 0; i < 1UL << order; i++)
		mappings += atomic_read(&head[i]._mapcount) + 1;
	return mappings;
}
#else
#define SGRING_PASS_PAGES	U32_MAX
static inline int sgring_mapcount(struct page *head, unsigned int order)
{
	return folio_mapcount(page_folio(head));
}
#endif

/* Pinned by pin_user_pages(); a single page with very many references seems so too. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
static inline bool sgring_maybe_pinned(struct page *head)
{
	return page_maybe_dma_pinned(head);
}
#else
static inline bool sgring_maybe_pinned(struct page *head)
{
	return folio_maybe_dma_pinned(page_folio(head));
}
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

/* class_create() lost its module argument. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
#define sgring_class_create(name)	class_create(THIS_MODULE, name)
#else
#define sgring_class_create(name)	class_create(name)
#endif

/* A device without its own caches and bus: a bit field before 7.2. */
static inline void sgring_set_dma_coherent(struct device *dev)
{
#if defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_DEVICE) || \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU) || \
	defined(CONFIG_ARCH_HAS_SYNC_DMA_FOR_CPU_ALL)
#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 2, 0)
	dev->dma_coherent = true;
#else
	dev_set_dma_coherent(dev);
#endif
#endif
}

/* 32-bit ARM had DMA operations of its own, for which the answer is always yes. */
static inline bool sgring_dma_coherent(struct device *dev)
{
#if defined(CONFIG_ARM) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 1, 0)
	return false;
#else
	return dev_is_dma_coherent(dev);
#endif
}

#endif /* SGRING_COMPAT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring-dummy: what differs between kernel versions; to be merged into ../compat.h */
#ifndef SGRING_DUMMY_COMPAT_H
#define SGRING_DUMMY_COMPAT_H

#include <linux/device.h>
#include <linux/version.h>

/* Our DMA engine is the CPU: coherent everywhere. A bit field before 7.2. */
static inline void dummy_set_dma_coherent(struct device *dev)
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

#endif /* SGRING_DUMMY_COMPAT_H */

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring: what the engine and the machine may refuse, refused on purpose
 *
 * For tests, in kernels with fault injection: mapping for DMA, descriptors and the
 * channel's configuration. /proc/TID/fail-nth counts them as it does allocations,
 * and /sys/kernel/debug/fail_sgring fails them as the other fault attributes do. Not by
 * ALLOW_ERROR_INJECTION(): without ftrace that fails a function in an NMI, where
 * nothing is counted for a task.
 */
#ifndef SGRING_FAULT_H
#define SGRING_FAULT_H

#include <linux/types.h>

#ifdef CONFIG_FAULT_INJECTION

#include <linux/fault-inject.h>

extern struct fault_attr sgring_fault;

/* Any context. */
static inline bool sgring_should_fail(void)
{
	return should_fail(&sgring_fault, 1);
}

void sgring_fault_init(void);
void sgring_fault_exit(void);

#else

static inline bool sgring_should_fail(void)
{
	return false;
}

static inline void sgring_fault_init(void)
{
}

static inline void sgring_fault_exit(void)
{
}

#endif

#endif /* SGRING_FAULT_H */

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What kernel/sq.c and kernel/cq.c need to be compiled for a test. */
#ifndef KERNEL_SHIM_H
#define KERNEL_SHIM_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/types.h>

typedef __u32 u32;
typedef __u64 u64;

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)

#endif /* KERNEL_SHIM_H */

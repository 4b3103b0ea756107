/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* libsgring: what the driver's ring code (kernel/rings.h) needs to be compiled in user space. */
#ifndef SGRING_SIM_KERNEL_H
#define SGRING_SIM_KERNEL_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <linux/types.h>

typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;

#define NSEC_PER_USEC 1000
#define div_u64(a, b) ((u64)(a) / (b))
#define fls64(x) ((x) ? 64U - (u32)__builtin_clzll(x) : 0U)

#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define WRITE_ONCE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define smp_wmb() __atomic_thread_fence(__ATOMIC_RELEASE)

#endif /* SGRING_SIM_KERNEL_H */

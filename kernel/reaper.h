/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring: the list of closed slots whose pages others still hold; see reaper.c */
#ifndef SGRING_REAPER_H
#define SGRING_REAPER_H

#include <linux/types.h>

struct sgring_chunks;

bool sgring_reap(struct sgring_chunks *chunks);
void sgring_reaper_add(struct sgring_chunks *chunks);
u64 sgring_reaper_bytes(void);
u32 sgring_reaper_slots(void);
void sgring_reaper_exit(void);

#endif /* SGRING_REAPER_H */

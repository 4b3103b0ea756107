/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring: /sys/kernel/debug/sgring; see debugfs.c */
#ifndef SGRING_DEBUGFS_H
#define SGRING_DEBUGFS_H

struct sgring_stream;

void sgring_debugfs_init(void);
void sgring_debugfs_exit(void);
void sgring_debugfs_add(struct sgring_stream *s);
void sgring_debugfs_remove(struct sgring_stream *s);

#endif /* SGRING_DEBUGFS_H */

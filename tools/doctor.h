/* SPDX-License-Identifier: MIT */
/*
 * sgring doctor: what its parts share. Each looks at one side of the machine, through world.h
 * alone, and tells what it finds: it changes nothing and fails at nothing.
 */
#ifndef SGRING_DOCTOR_H
#define SGRING_DOCTOR_H

#include <stdbool.h>
#include <stdint.h>

enum level {
	LEVEL_OK,
	LEVEL_NOTE,	/* good to know */
	LEVEL_TROUBLE,	/* something will not work; there is a cure */
	LEVEL_UNSEEN,	/* could not look */
};

struct doctor {
	const char *tree;	/* the device tree's folder; NULL: that of the root */
	char release[64];	/* of the kernel */
	unsigned int major, minor;
	unsigned int uid;
	uint64_t capabilities;	/* effective */
	unsigned int *groups;
	unsigned int group_count;
	unsigned int streams;
};

/* What follows belongs to it. */
void section(const char *name);
/* One finding; @cure is to paste, NULL if there is none; lines of it are shown one by one. */
void tell(enum level level, const char *about, const char *cure, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* doctor_driver.c */
void look_at_driver(struct doctor *d);
void look_at_dma(struct doctor *d);
void look_at_deferred(struct doctor *d);
/* doctor_system.c */
void look_at_limits(const struct doctor *d);
void look_at_memory(const struct doctor *d);
void look_at_kernel(const struct doctor *d);
void look_at_permissions(const struct doctor *d);
/* doctor_tree.c; false: there is no such folder */
bool look_at_tree(const struct doctor *d);

#endif /* SGRING_DOCTOR_H */

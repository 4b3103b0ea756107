/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring-dummy: what main.c and bench.c want of device.c and of each other */
#ifndef SGRING_DUMMY_DEVICE_H
#define SGRING_DUMMY_DEVICE_H

#include "line.h"

#define DUMMY_DEVICE_NAME	"sgring-dummy"
#define DUMMY_FIFO_NAME		"sgring-fifo"

/* Where a device's FIFO would be; the engine's wires do not need it. */
#define DUMMY_PORT(index)	(0xd0000000 + 0x1000 * (index))

/* device.c */
int dummy_device_register(void);
void dummy_device_unregister(void);

/* bench.c */
void dummy_bench_open(void);
void dummy_bench_add(struct dummy_line *line);
void dummy_bench_close(void);

#endif /* SGRING_DUMMY_DEVICE_H */

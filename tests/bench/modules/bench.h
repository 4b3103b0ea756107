/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/* What the bench's modules and its guest programs share. */
#ifndef SGRING_BENCH_H
#define SGRING_BENCH_H

#define BENCH_STREAMS	8	/* channels for each client of bench-engine, at most */

#endif /* SGRING_BENCH_H */

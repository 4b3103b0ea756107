/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): sizes and durations, as people write and read them
 *
 * Sizes as dd has them: K, M, G, T, P (or KiB, MiB, ...) are powers of 1024,
 * kB, MB, GB, TB, PB powers of 1000. Durations: 90, 90s, 10m, 1h30m, 500ms, 2d.
 * Either may have a fraction: 1.5G, 0.5s.
 */
#ifndef SGRING_UNITS_H
#define SGRING_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* False: it is not one, or it does not fit. */
bool parse_size(const char *text, uint64_t *bytes);
bool parse_duration(const char *text, uint64_t *ns);

/* Words: a buffer of each call's own, 16 of them in turn. */
const char *size_words(uint64_t bytes);			/* "1.5 MiB" */
const char *rate_words(double bytes_per_s);		/* "117.2 MB/s", in powers of 1000 */
const char *duration_words(uint64_t ns);		/* "12.3 s", "1:05", "2:10:00", "3d 02:10:00" */

#endif /* SGRING_UNITS_H */

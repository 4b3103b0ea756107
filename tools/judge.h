/* SPDX-License-Identifier: MIT */
/* sgring(1): is the data what the dummy device makes at its position? */
#ifndef SGRING_JUDGE_H
#define SGRING_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pattern.h"
#include "tool.h"

/**
 * struct judge - it knows a stream of the dummy device by heart
 * @key: of that stream
 * @right: bytes that were right
 * @wrong: bytes that were not
 * @first_wrong: position of the first of them
 * @first_byte: and its value
 */
struct judge {
	uint64_t key;
	uint64_t right;
	uint64_t wrong;
	uint64_t first_wrong;
	unsigned char first_byte;
};

static inline void judge_start(struct judge *j, unsigned int stream)
{
	*j = (struct judge){ .key = sgring_pattern_key(stream) };
}

/* The same from a command's --pattern. */
static inline void judge_option(struct judge *j, const char *text)
{
	judge_start(j, (unsigned int)number_option("pattern", text, 0, SGRING_PATTERN_STREAMS - 1));
}

/* Offset of the first wrong byte; @bytes: there is none. */
static inline size_t judge_data(struct judge *j, const unsigned char *data, size_t bytes,
				uint64_t position)
{
	size_t at = 0, first = bytes, good;

	while (at < bytes) {
		good = sgring_pattern_verify(data + at, bytes - at, j->key, position + at);
		j->right += good;
		at += good;
		if (at == bytes)
			break;
		if (first == bytes)
			first = at;
		if (!j->wrong++) {
			j->first_wrong = position + at;
			j->first_byte = data[at];
		}
		at++;
	}
	return first;
}

#endif /* SGRING_JUDGE_H */

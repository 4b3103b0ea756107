/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing: what the targets share
 *
 * A target is a file TARGET.c with LLVMFuzzerTestOneInput(). It hands what it is given to one
 * reader of untrusted input, and claims what must hold of the outcome. What does not is a crash,
 * as what ASAN and UBSAN find is. State between inputs is none, so that each can be repeated.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define claim(condition) do { \
	if (!(condition)) { \
		fprintf(stderr, "%s:%d: claim: %s\n", __FILE__, __LINE__, #condition); \
		abort(); \
	} \
} while (0)

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The input, taken from its front; what is missing at its end is 0. */
struct input {
	const uint8_t *at;
	size_t left;
};

static inline uint64_t take(struct input *in, size_t bytes)
{
	size_t n = in->left < bytes ? in->left : bytes;
	uint64_t number = 0;

	memcpy(&number, in->at, n);
	in->at += n;
	in->left -= n;
	return number;
}

/* So many bytes, in memory of just their size: to be freed. */
static inline void *take_block(struct input *in, size_t bytes)
{
	size_t n = in->left < bytes ? in->left : bytes;
	uint8_t *block = calloc(1, bytes ? bytes : 1);

	claim(block);
	memcpy(block, in->at, n);
	in->at += n;
	in->left -= n;
	return block;
}

/* All that is left as a string, up to its first zero: to be freed. */
static inline char *take_text(struct input *in)
{
	char *text = strndup((const char *)in->at, in->left);

	claim(text);
	in->left = 0;
	return text;
}

/* One line for people: what every refusal of the library gives. */
static inline bool is_message(const char *text)
{
	size_t n = strlen(text);

	return n && n < 512 && !strchr(text, '\n');
}

#endif /* FUZZ_H */

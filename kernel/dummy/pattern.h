/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * sgring: the dummy device's data, a function of (stream, byte position) alone
 *
 * One file for the dummy device, which fills, and for every verifier, in the
 * kernel or not. It owns the formula; it keeps no state, takes no lock and may
 * be called anywhere.
 *
 * The stream is a sequence of 64-bit little-endian words; word k lies at byte
 * position 8k and is
 *
 *	stream_key + k * STEP  (mod 2^64),  stream_key = ((stream + 1) << 56) * STEP
 *
 * STEP is odd, so that the word can be turned back into its stream and k: a
 * verifier that finds a wrong word can say where it should have been. No word of
 * a stream's first 2^59 bytes is 0, which is what untouched memory holds.
 */
#ifndef SGRING_DUMMY_PATTERN_H
#define SGRING_DUMMY_PATTERN_H

#include <linux/types.h>
#ifdef __KERNEL__
#include <linux/stddef.h>
#else
#include <stddef.h>
#endif

#define SGRING_PATTERN_STEP		0x9E3779B97F4A7C15ULL
#define SGRING_PATTERN_STEP_INVERSE	0xF1DE83E19937733DULL	/* STEP * this == 1 */
#define SGRING_PATTERN_STREAMS		255	/* streams that can be told apart */

/**
 * sgring_pattern_key() - what makes the streams differ
 * @stream: number of the stream, below SGRING_PATTERN_STREAMS
 *
 * Return: the key that the other functions take.
 */
static inline __u64 sgring_pattern_key(unsigned int stream)
{
	return ((__u64)(stream + 1) << 56) * SGRING_PATTERN_STEP;
}

/**
 * sgring_pattern_locate() - where does this word belong
 * @word: the word as a number of the CPU
 * @stream: if it is the pattern's, its stream
 *
 * Any word has an answer; that of a foreign one names a far position or a
 * stream that is not there.
 *
 * Return: the byte position of the word in that stream.
 */
static inline __u64 sgring_pattern_locate(__u64 word, unsigned int *stream)
{
	__u64 k = word * SGRING_PATTERN_STEP_INVERSE;

	*stream = (unsigned int)(k >> 56) - 1;
	return (k & (((__u64)1 << 56) - 1)) * 8;
}

/* Little-endian words at any address; compiles to one move where it can. */
static inline __u64 sgring_pattern_get(const unsigned char *from)
{
	__u64 word;

	__builtin_memcpy(&word, from, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

static inline void sgring_pattern_put(unsigned char *to, __u64 word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	__builtin_memcpy(to, &word, sizeof(word));
}

/* The byte at @position, whose word is @word. */
static inline unsigned char sgring_pattern_byte(__u64 word, __u64 position)
{
	return (unsigned char)(word >> (8 * (position & 7)));
}

/**
 * sgring_pattern_fill() - make the data of a piece of the stream
 * @to: where to, any alignment
 * @bytes: how much
 * @key: from sgring_pattern_key()
 * @position: stream position of the first byte, any
 */
static inline void sgring_pattern_fill(void *to, size_t bytes, __u64 key, __u64 position)
{
	unsigned char *p = (unsigned char *)to;
	__u64 word = key + (position >> 3) * SGRING_PATTERN_STEP;

	for (; bytes && (position & 7); bytes--)
		*p++ = sgring_pattern_byte(word, position++);
	if (!bytes)
		return;
	word = key + (position >> 3) * SGRING_PATTERN_STEP;
	for (; bytes >= 64; bytes -= 64, p += 64, word += 8 * SGRING_PATTERN_STEP) {
		sgring_pattern_put(p, word);
		sgring_pattern_put(p + 8, word + SGRING_PATTERN_STEP);
		sgring_pattern_put(p + 16, word + 2 * SGRING_PATTERN_STEP);
		sgring_pattern_put(p + 24, word + 3 * SGRING_PATTERN_STEP);
		sgring_pattern_put(p + 32, word + 4 * SGRING_PATTERN_STEP);
		sgring_pattern_put(p + 40, word + 5 * SGRING_PATTERN_STEP);
		sgring_pattern_put(p + 48, word + 6 * SGRING_PATTERN_STEP);
		sgring_pattern_put(p + 56, word + 7 * SGRING_PATTERN_STEP);
	}
	for (; bytes >= 8; bytes -= 8, p += 8, word += SGRING_PATTERN_STEP)
		sgring_pattern_put(p, word);
	for (position = 0; position < bytes; position++)
		*p++ = sgring_pattern_byte(word, position);
}

/**
 * sgring_pattern_verify() - check a piece of the stream
 * @from: where it is, any alignment
 * @bytes: how much
 * @key: from sgring_pattern_key()
 * @position: stream position of its first byte, any
 *
 * Return: offset of the first wrong byte, or @bytes if all are right.
 */
static inline size_t sgring_pattern_verify(const void *from, size_t bytes, __u64 key,
					   __u64 position)
{
	const unsigned char *p = (const unsigned char *)from;
	__u64 word = key + (position >> 3) * SGRING_PATTERN_STEP;
	size_t left = bytes, i;

	for (; left && (position & 7); left--, p++)
		if (*p != sgring_pattern_byte(word, position++))
			return bytes - left;
	word = key + (position >> 3) * SGRING_PATTERN_STEP;
	for (; left >= 64; left -= 64, p += 64, word += 8 * SGRING_PATTERN_STEP)
		if ((sgring_pattern_get(p) ^ word) |
		    (sgring_pattern_get(p + 8) ^ (word + SGRING_PATTERN_STEP)) |
		    (sgring_pattern_get(p + 16) ^ (word + 2 * SGRING_PATTERN_STEP)) |
		    (sgring_pattern_get(p + 24) ^ (word + 3 * SGRING_PATTERN_STEP)) |
		    (sgring_pattern_get(p + 32) ^ (word + 4 * SGRING_PATTERN_STEP)) |
		    (sgring_pattern_get(p + 40) ^ (word + 5 * SGRING_PATTERN_STEP)) |
		    (sgring_pattern_get(p + 48) ^ (word + 6 * SGRING_PATTERN_STEP)) |
		    (sgring_pattern_get(p + 56) ^ (word + 7 * SGRING_PATTERN_STEP)))
			break;
	for (i = 0; i < left; i++, p++) {
		if (*p != sgring_pattern_byte(word, i))
			return bytes - left + i;
		if ((i & 7) == 7)
			word += SGRING_PATTERN_STEP;
	}
	return bytes;
}

#endif /* SGRING_DUMMY_PATTERN_H */

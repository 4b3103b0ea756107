/* SPDX-License-Identifier: MIT */
/*
 * pattern: is this file the dummy device's stream, and which parts of it
 *
 *	pattern STREAM DATA [INDEX]
 *
 * The judge of the tool's tests, so it uses nothing of the library. Without an
 * index every byte must belong to a run of the stream, and the runs must follow
 * each other; where they begin is told by the data themselves. With an index
 * (or with what came over a wire in INDEX, without its data) every entry's data
 * must be the stream at the position the entry says. Prints
 *
 *	bytes N first P end P runs N lost N entries N
 *
 * first and end are stream positions, lost what is missing between the runs.
 * Exit: 0; 1 a byte is wrong, or the two files do not fit together.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/sgring_ring.h>
#include "pattern.h"

/* Offsets in a hello, see sgring_frame(7). */
#define HELLO_EPOCH	24
#define HELLO_ALIGN	36
#define HELLO_SESSION	48
#define HELLO_BYTES	128

struct file {
	const unsigned char *data;
	size_t bytes;
};

static uint64_t first, end, runs, lost, entries, total;

static struct file file_map(const char *path)
{
	int fd = open(path, O_RDONLY);
	struct file f = { .data = (const unsigned char *)"" };
	struct stat st;

	if (fd < 0 || fstat(fd, &st)) {
		perror(path);
		exit(1);
	}
	f.bytes = (size_t)st.st_size;
	if (f.bytes)
		f.data = mmap(NULL, f.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (f.data == MAP_FAILED) {
		perror(path);
		exit(1);
	}
	close(fd);
	return f;
}

static uint64_t get(const unsigned char *p, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

static void wrong(const char *what, uint64_t offset)
{
	printf("%s at offset %" PRIu64 "\n", what, offset);
	exit(1);
}

static void run(uint64_t position, uint64_t bytes)
{
	if (!runs)
		first = position;
	else if (position < end)
		wrong("the stream goes back", total);
	else
		lost += position - end;
	if (!runs || position != end)
		runs++;
	end = position + bytes;
	total += bytes;
}

/* A whole word of the stream, and the bytes before it, say where in it this is. */
static bool locate(const unsigned char *p, size_t bytes, unsigned int stream, uint64_t *position)
{
	unsigned int shift, of;

	for (shift = 0; shift < 8 && shift + 8 <= bytes; shift++) {
		uint64_t at = sgring_pattern_locate(sgring_pattern_get(p + shift), &of);

		if (of != stream || at >= 1ULL << 48 || at < shift)
			continue;
		*position = at - shift;
		if (sgring_pattern_verify(p, shift + 8, sgring_pattern_key(stream), *position) ==
		    shift + 8)
			return true;
	}
	return false;
}

static void without_index(const struct file *data, unsigned int stream)
{
	size_t at = 0, good;
	uint64_t position;

	while (at < data->bytes) {
		if (!locate(data->data + at, data->bytes - at, stream, &position))
			wrong("not of this stream", at);
		good = sgring_pattern_verify(data->data + at, data->bytes - at,
					     sgring_pattern_key(stream), position);
		run(position, good);
		at += good;
	}
}

static void with_index(const struct file *data, const struct file *index, unsigned int stream)
{
	uint64_t align = 0, at = 0, position, length, epoch = 0, session = 0;
	const unsigned char *e = index->data;
	size_t good, left = index->bytes;

	for (; left; e += sizeof(struct sgring_cqe), left -= sizeof(struct sgring_cqe)) {
		if (left >= HELLO_BYTES && !memcmp(e, "SGRING\r\n", 8)) {
			if (session && (get(e + HELLO_SESSION, 8) != session || get(e + HELLO_EPOCH, 4) != epoch))
				end = 0;
			session = get(e + HELLO_SESSION, 8);
			epoch = get(e + HELLO_EPOCH, 4);
			align = get(e + HELLO_ALIGN, 4);
			e += HELLO_BYTES, left -= HELLO_BYTES;
			if (!left)
				break;
		}
		if (!align || align & (align - 1))
			wrong("no hello, or align_bytes is no power of two", (uint64_t)(e - index->data));
		if (left < sizeof(struct sgring_cqe))
			wrong("the index ends in the middle of an entry", index->bytes);
		position = get(e + offsetof(struct sgring_cqe, position_bytes), 8);
		length = get(e + offsetof(struct sgring_cqe, length_bytes), 4);
		entries++;
		if (get(e + offsetof(struct sgring_cqe, flags), 4) & SGRING_CQE_EOS) {
			/* What was lost behind the last byte is in its position. */
			run(position, 0);
			continue;
		}
		if (length > data->bytes - at)
			wrong("the data end before the index", data->bytes);
		good = sgring_pattern_verify(data->data + at, length, sgring_pattern_key(stream), position);
		if (good != length)
			wrong("not the byte that the index says", at + good);
		run(position, length);
		at += length;
		while (at % align && at < data->bytes)
			if (data->data[at++])
				wrong("the padding is not zero", at - 1);
	}
	if (at != data->bytes)
		wrong("data behind the last entry", at);
}

int main(int argc, char **argv)
{
	struct file data, index;
	unsigned int stream;

	if (argc < 3 || argc > 4) {
		fputs("usage: pattern STREAM DATA [INDEX]\n", stderr);
		return 1;
	}
	stream = (unsigned int)atoi(argv[1]);
	data = file_map(argv[2]);
	if (argc == 4) {
		index = file_map(argv[3]);
		with_index(&data, &index, stream);
	} else {
		without_index(&data, stream);
	}
	printf("bytes %" PRIu64 " first %" PRIu64 " end %" PRIu64 " runs %" PRIu64 " lost %" PRIu64
	       " entries %" PRIu64 "\n", total, first, end, runs, lost, entries);
	return 0;
}

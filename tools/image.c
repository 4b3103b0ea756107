/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): a copy of a stream's rings, of one moment if it can be had; and its file
 *
 * Nobody waits for an observer. The copy lies between two looks at everything that tells
 * of a change: indices, epoch, flags, and each slot's line. What was written before
 * the first look and not between the two is what the copy has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "image.h"

#define REGION_MAX	(256ULL << 20)
#define STRIDE_MAX	4096U
#define MAGIC		"sgring!\n"
#define FORMAT		1U
#define ORDER		0x01020304U

/* The head of a file; then kernel side, user side if there is one, a byte for each slot. */
struct image_head {
	char magic[8];
	uint32_t order;		/* of bytes: ORDER as its writer has it */
	uint32_t format;
	uint32_t head_bytes;
	uint32_t tries;
	uint32_t has_user;
	uint32_t pad;
	struct image_look first;
	struct image_look second;
	uint64_t now_ns[IMAGE_CLOCKS];
	char label[SGRING_NAME_BYTES];
	char name[SGRING_NAME_BYTES];
	struct sgring_geometry geometry;
	struct sgring_stats stats;
};

bool image_torn(const struct image *im)
{
	return memcmp(&im->first, &im->second, sizeof(im->first)) != 0;
}

void image_free(struct image *im)
{
	free(im->kernel);
	free(im->user);
	free(im->moved);
	im->kernel = im->user = im->moved = NULL;
}

static bool ring_fits(uint32_t entries, uint32_t stride, size_t entry, uint64_t offset,
		      uint64_t region)
{
	return entries && !(entries & (entries - 1)) && stride >= entry && stride <= STRIDE_MAX &&
	       !(stride % 8) && !(offset % 8) && offset <= region &&
	       (uint64_t)entries * stride <= region - offset;
}

/* Whoever says so: nothing is read beyond what there is. */
static bool geometry_fits(const struct sgring_geometry *g)
{
	return g->slot_count && g->slot_count <= SGRING_SLOTS_MAX &&
	       g->kernel_bytes <= REGION_MAX && g->user_bytes <= REGION_MAX &&
	       ring_fits(g->cq_entries, g->cq_stride, sizeof(struct sgring_cqe), g->cq_offset,
			 g->kernel_bytes) &&
	       ring_fits(g->sq_entries, g->sq_stride, sizeof(struct sgring_sqe), g->sq_offset,
			 g->user_bytes) &&
	       g->table_offset <= g->kernel_bytes && !(g->table_offset % 8) &&
	       g->table_stride >= sizeof(struct sgring_slot_info) && g->table_stride <= STRIDE_MAX &&
	       !(g->table_stride % 8) &&
	       (uint64_t)g->slot_count * g->table_stride <= g->kernel_bytes - g->table_offset &&
	       !(g->kernel_side % 8) && !(g->user_side % 8) &&
	       g->kernel_side + sizeof(struct sgring_kernel_side) <= g->kernel_bytes &&
	       g->user_side + sizeof(struct sgring_user_side) <= g->user_bytes;
}

static const struct sgring_slot_info *line(const struct sgring_geometry *g, const void *kernel,
					   uint32_t slot)
{
	return (const void *)((const char *)kernel + g->table_offset + (size_t)slot * g->table_stride);
}

/* A look; each line that is not as in the copy is marked, and counted. */
static void look(struct image *im, const void *kernel, const void *user, bool second,
		 struct image_look *l)
{
	const struct sgring_geometry *g = &im->geometry;
	const struct sgring_kernel_side *k = (const void *)((const char *)kernel + g->kernel_side);
	const struct sgring_user_side *u = user ? (const void *)((const char *)user + g->user_side) : NULL;
	uint32_t i;

	*l = (struct image_look){ .slots = 0 };
	for (i = 0; i < g->slot_count; i++) {
		const struct sgring_slot_info *now = line(g, kernel, i), *copy = line(g, im->kernel, i);

		l->generations += sgring_load_relaxed(&now->generation);
		if (!second)
			continue;
		im->moved[i] = sgring_load_relaxed(&now->generation) != copy->generation ||
			       sgring_load_relaxed(&now->state) != copy->state ||
			       sgring_load_relaxed(&now->time_ns) != copy->time_ns;
		l->slots += im->moved[i];
	}
	l->cq_producer = sgring_load_acquire(&k->cq_producer);
	l->sq_consumer = sgring_load_acquire(&k->sq_consumer);
	l->flags = sgring_load_acquire(&k->flags);
	l->epoch = sgring_load_acquire(&k->epoch);
	l->state = sgring_load_acquire(&k->state);
	if (u) {
		l->sq_producer = sgring_load_acquire(&u->sq_producer);
		l->cq_consumer = sgring_load_acquire(&u->cq_consumer);
	}
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool make_room(struct image *im)
{
	im->kernel = malloc((size_t)im->geometry.kernel_bytes);
	im->moved = calloc(1, im->geometry.slot_count);
	if (im->has_user)
		im->user = malloc((size_t)im->geometry.user_bytes);
	if (im->kernel && im->moved && (im->user || !im->has_user))
		return true;
	image_free(im);
	return false;
}

int image_take(struct image *im, const void *kernel, const void *user, unsigned int tries)
{
	static const clockid_t clocks[IMAGE_CLOCKS] = {
		CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_TAI, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW,
	};
	unsigned int i;

	im->kernel = im->user = im->moved = NULL;
	im->has_user = !!user;
	if (!geometry_fits(&im->geometry))
		return -EPROTO;
	if (!make_room(im))
		return -ENOMEM;
	for (im->tries = 1; ; im->tries++) {
		look(im, kernel, user, false, &im->first);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		memcpy(im->kernel, kernel, (size_t)im->geometry.kernel_bytes);
		if (user)
			memcpy(im->user, user, (size_t)im->geometry.user_bytes);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		look(im, kernel, user, true, &im->second);
		if (!image_torn(im) || im->tries >= tries)
			break;
	}
	for (i = 0; i < IMAGE_CLOCKS; i++)
		im->now_ns[i] = clock_ns(clocks[i]);
	return 0;
}

/* ---- the file ---- */

static int failed(char *error, size_t room, const char *path, int err, const char *what)
{
	snprintf(error, room, "%s: %s", path, what ? what : strerror(err));
	return -err;
}

int image_save(const struct image *im, const char *path, char *error, size_t room)
{
	struct image_head h = {
		.order = ORDER, .format = FORMAT, .head_bytes = sizeof(h), .tries = im->tries,
		.has_user = im->has_user, .first = im->first, .second = im->second,
		.geometry = im->geometry, .stats = im->stats,
	};
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
	bool good;

	if (!f)
		return failed(error, room, path, errno, NULL);
	memcpy(h.magic, MAGIC, sizeof(h.magic));
	memcpy(h.now_ns, im->now_ns, sizeof(h.now_ns));
	memcpy(h.label, im->label, sizeof(h.label));
	memcpy(h.name, im->name, sizeof(h.name));
	good = fwrite(&h, sizeof(h), 1, f) == 1 &&
	       fwrite(im->kernel, (size_t)im->geometry.kernel_bytes, 1, f) == 1 &&
	       (!im->has_user || fwrite(im->user, (size_t)im->geometry.user_bytes, 1, f) == 1) &&
	       fwrite(im->moved, im->geometry.slot_count, 1, f) == 1;
	if (fclose(f) || !good)
		return failed(error, room, path, errno ? errno : EIO, NULL);
	return 0;
}

static const char *head_wrong(const struct image_head *h, size_t got, uint64_t bytes)
{
	if (got < sizeof(h->magic) || memcmp(h->magic, MAGIC, sizeof(h->magic)))
		return "not an image of \"sgring dump --raw\"";
	if (got < sizeof(*h))
		return "the image is cut short: its head is missing";
	if (h->order != ORDER)
		return "the image is of a machine with another order of bytes";
	if (h->format != FORMAT || h->head_bytes != sizeof(*h))
		return "the image is of another version of sgring";
	if (h->has_user > 1 || !geometry_fits(&h->geometry) ||
	    (h->stats.size && h->stats.size > sizeof(h->stats)))
		return "the image is damaged: its geometry makes no sense";
	if (bytes != sizeof(*h) + h->geometry.kernel_bytes +
	    (h->has_user ? h->geometry.user_bytes : 0) + h->geometry.slot_count)
		return "the image is cut short, or has something behind its end";
	return NULL;
}

static int load(struct image *im, FILE *f, const char *path, char *error, size_t room)
{
	struct image_head h;
	struct stat st;
	const char *wrong;
	size_t got = fread(&h, 1, sizeof(h), f);

	if (ferror(f) || fstat(fileno(f), &st))
		return failed(error, room, path, errno, NULL);
	wrong = head_wrong(&h, got, (uint64_t)st.st_size);
	if (wrong)
		return failed(error, room, path, EPROTO, wrong);
	im->geometry = h.geometry;
	im->stats = h.stats;
	im->first = h.first;
	im->second = h.second;
	im->tries = h.tries;
	im->has_user = h.has_user;
	memcpy(im->now_ns, h.now_ns, sizeof(im->now_ns));
	memcpy(im->label, h.label, sizeof(im->label) - 1);
	memcpy(im->name, h.name, sizeof(im->name) - 1);
	if (!make_room(im))
		return failed(error, room, path, ENOMEM, NULL);
	if (fread(im->kernel, (size_t)h.geometry.kernel_bytes, 1, f) != 1 ||
	    (h.has_user && fread(im->user, (size_t)h.geometry.user_bytes, 1, f) != 1) ||
	    fread(im->moved, h.geometry.slot_count, 1, f) != 1) {
		image_free(im);
		return failed(error, room, path, EPROTO, "the image is cut short");
	}
	return 0;
}

int image_load(struct image *im, const char *path, char *error, size_t room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

	memset(im, 0, sizeof(*im));
	if (!f)
		return failed(error, room, path, errno, NULL);
	err = load(im, f, path, error, room);
	fclose(f);
	return err;
}

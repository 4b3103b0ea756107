/* SPDX-License-Identifier: MIT */
/* libsgring: from slots to writes of files; see recorder.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "recorder.h"

#define BOUNCE_BYTES (512U << 10)
#define AHEAD_BYTES (256U << 20)

/* --- bounces */

static struct sgring_bounce *bounce_get(struct sgring_recorder *r, uint64_t at)
{
	struct sgring_bounce *b = r->free;

	if (!b)
		return NULL;
	r->free = b->next;
	*b = (struct sgring_bounce){ .data = b->data, .at = at };
	return b;
}

static void bounce_put(struct sgring_recorder *r, struct sgring_bounce *b)
{
	b->next = r->free;
	r->free = b;
}

int sgring_rec_bounces(struct sgring_recorder *r)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	unsigned int i;
	void *memory;

	r->bounce_bytes = r->traits.block > BOUNCE_BYTES ? r->traits.block : BOUNCE_BYTES;
	if (page < r->traits.block)
		page = r->traits.block;
	if (page < r->traits.memory)
		page = r->traits.memory;
	if (posix_memalign(&memory, page, SGRING_REC_BOUNCES * r->bounce_bytes))
		return sgring_fail(ENOMEM, "no memory");
	r->memory = memory;
	for (i = 0; i < SGRING_REC_BOUNCES; i++) {
		r->bounces[i].data = r->memory + i * r->bounce_bytes;
		bounce_put(r, &r->bounces[i]);
	}
	return 0;
}

/* --- files */

static void file_free(struct sgring_recording *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->index_fd >= 0)
		close(f->index_fd);
	sgring_index_free(&f->index);
	free(f->path);
	free(f->index_path);
	free(f);
}

/* Both are the same one? */
static bool same_file(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static int file_open(struct sgring_recorder *r, struct sgring_recording *f, bool direct,
		     struct sgring_file_traits *traits)
{
	bool overwrite = r->tx->options.flags & SGRING_TX_OVERWRITE;
	int err;

	f->path = sgring_file_part(r->path, r->part);
	if (r->index_path)
		f->index_path = sgring_file_part(r->index_path, r->part);
	if (!f->path || (r->index_path && !f->index_path))
		return sgring_fail(ENOMEM, "no memory");
	f->fd = sgring_file_open(f->path, overwrite, direct, traits);
	if (f->fd < 0)
		return f->fd;
	if (!f->index_path)
		return 0;
	f->index_fd = sgring_file_create(f->index_path, overwrite, &f->index_created);
	if (f->index_fd >= 0 && !same_file(f->fd, f->index_fd))
		return 0;
	err = f->index_fd < 0 ? f->index_fd :
	      sgring_fail(EINVAL, "%s would be its own index: say where that goes", f->path);
	if (traits->created)
		unlink(f->path);
	return err;
}

static int empty(const struct sgring_recording *f)
{
	int err = sgring_file_empty(f->path, f->fd);

	return err || f->index_fd < 0 ? err : sgring_file_empty(f->index_path, f->index_fd);
}

int sgring_rec_empty(struct sgring_recorder *r)
{
	return empty(r->current);
}

int sgring_rec_begin(struct sgring_recorder *r, bool direct)
{
	struct sgring_recording *f = calloc(1, sizeof(*f));
	struct sgring_file_traits traits = r->traits;
	int err;

	if (!f)
		return sgring_fail(ENOMEM, "no memory");
	f->fd = f->index_fd = -1;
	err = file_open(r, f, direct, &traits);
	if (!err && r->part == 1)
		r->traits = traits;
	else if (!err && (traits.direct != direct || traits.regular != r->traits.regular))
		err = sgring_fail(EXDEV, "%s is on another file system than those before it",
				  f->path);
	if (!err && r->part > 1)
		err = empty(f);
	if (err) {
		file_free(f);
		return err;
	}
	f->begun_ns = f->round_ns = sgring_now_ns();
	if (r->current)
		r->current->next = f;
	else
		r->oldest = f;
	r->current = f;
	r->files++;
	r->part++;
	r->tx->stats.files++;
	return 0;
}

void sgring_rec_end(struct sgring_recorder *r)
{
	struct sgring_recording *f = r->oldest;

	if (f->bounce)
		bounce_put(r, f->bounce);
	r->oldest = f->next;
	if (r->current == f)
		r->current = NULL;
	r->files--;
	file_free(f);
}

/* --- failure */

int sgring_rec_failed(struct sgring_recorder *r, int err, const char *path, uint64_t at)
{
	const char *hint = "";
	char text[128], limit[64] = "";

	if (r->error)
		return r->error;
	if (err == -ENOSPC && !r->traits.regular) {
		snprintf(limit, sizeof(limit), " (the device ends at %llu)",
			 (unsigned long long)r->traits.device_bytes);
		hint = limit;
	} else if (err == -EFBIG) {
		hint = " (ulimit -f, or the file system's limit)";
	}
	r->error = sgring_fail(-err, "%s: byte %llu: %s%s; %llu bytes of the stream are written",
			       path, (unsigned long long)at, sgring_strerror(err, text, sizeof(text)),
			       hint, (unsigned long long)r->tx->stats.bytes);
	return r->error;
}

/* --- writes */

static struct sgring_write *
write_new(struct sgring_recorder *r, struct sgring_recording *f, uint64_t begin, uint64_t end)
{
	struct sgring_write *w;

	if (r->next - r->head == SGRING_REC_WRITES)
		return NULL;
	w = &r->writes[r->next++ % SGRING_REC_WRITES];
	*w = (struct sgring_write){ .file = f, .begin = begin, .end = end };
	return w;
}

/* What the oldest writes have brought. */
static void advance(struct sgring_recorder *r)
{
	struct sgring_write *w;
	uint64_t end;

	for (; r->head != r->next; r->head++) {
		w = &r->writes[r->head % SGRING_REC_WRITES];
		if (!w->done)
			return;
		end = w->begin + w->op.written < w->end ? w->begin + w->op.written : w->end;
		/* An incomplete block is written again: what was there stays there. */
		if (!r->broken && w->file->written < end)
			w->file->written = end;
		w->file->dirty = true;
		if (w->op.error)
			r->broken = true;
	}
}

static void write_done(void *context, struct sgring_disk_op *op)
{
	struct sgring_write *w = (struct sgring_write *)op;
	struct sgring_recorder *r = context;
	struct sgring_tx_stats *stats = &r->tx->stats;

	w->done = true;
	r->tx->progress++;
	r->tails -= w->tail;
	stats->sends += op->parts;
	stats->partial += op->parts - (op->parts && !op->error);
	if (r->traits.direct)
		stats->zerocopy += op->parts;
	else
		stats->copied += op->parts;
	if (!op->error)
		stats->bytes += w->payload;
	else
		sgring_rec_failed(r, op->error, w->file->path, w->begin + op->written);
	if (w->bounce)
		bounce_put(r, w->bounce);
	else
		sgring_tx_let_go(r->tx, sgring_tx_item(r->tx, w->item));
	advance(r);
}

static void write_start(struct sgring_recorder *r, struct sgring_write *w, const void *data,
			size_t bytes, int buffer)
{
	w->op = (struct sgring_disk_op){
		.what = SGRING_DISK_WRITE,
		.fd = w->file->fd,
		.buffer = buffer,
		.data = data,
		.bytes = bytes,
		.at = w->begin,
		.block = r->traits.block,
		.done = write_done,
		.context = r,
	};
	if (w->file->extent < w->begin + bytes)
		w->file->extent = w->begin + bytes;
	sgring_disk_start(&r->disk, &w->op);
}

static void allocated(void *context, struct sgring_disk_op *op)
{
	struct sgring_recording *f = (void *)((char *)op - offsetof(struct sgring_recording, allocation));
	struct sgring_recorder *r = context;

	r->tx->progress++;
	f->allocating = false;
	/* If it is not there, or there is no room, it is done without. Part of it may be there. */
	if (op->error)
		r->ahead = false;
	else
		f->allocated = op->at + op->bytes;
	if (f->extent < op->at + op->bytes)
		f->extent = op->at + op->bytes;
}

/* Have the end of the file far ahead. */
static void allocate(struct sgring_recorder *r, struct sgring_recording *f)
{
	uint64_t from = f->allocated > f->at ? f->allocated : f->at, end = from + AHEAD_BYTES;
	struct statvfs room;
	struct rlimit limit;

	if (!r->ahead || f->allocating || f->at + AHEAD_BYTES / 2 < f->allocated)
		return;
	/* Beyond this limit there is a signal. */
	if (!getrlimit(RLIMIT_FSIZE, &limit) && end > limit.rlim_cur)
		end = limit.rlim_cur;
	if (r->tx->options.rotate_bytes && end > r->tx->options.rotate_bytes)
		end = r->tx->options.rotate_bytes;
	if (end <= from)
		return;
	/* One that fails has taken all there was, and the index needs some. */
	if (fstatvfs(f->fd, &room) || (end - from) / room.f_frsize > room.f_bavail / 2) {
		r->ahead = false;
		return;
	}
	f->allocation = (struct sgring_disk_op){
		.what = SGRING_DISK_ALLOCATE,
		.fd = f->fd,
		.bytes = (size_t)(end - from),
		.at = from,
		.done = allocated,
		.context = r,
	};
	f->allocating = true;
	sgring_disk_start(&r->disk, &f->allocation);
}

/* --- what goes through bounces */

/* What is in an incomplete block goes on in another bounce: it is written again. */
bool sgring_rec_drain(struct sgring_recorder *r, struct sgring_recording *f, bool tail)
{
	struct sgring_bounce *b = f->bounce, *other = NULL;
	size_t rest, bytes;
	struct sgring_write *w;

	if (!b || !b->fresh)
		return true;
	rest = b->used % r->traits.block;
	tail = tail && rest;
	bytes = b->used - rest + (tail ? r->traits.block : 0);
	if (!bytes)
		return true;
	if (r->next - r->head == SGRING_REC_WRITES || r->tails)
		return false;
	if (rest && !f->ending) {
		other = bounce_get(r, b->at + b->used - rest);
		if (!other)
			return false;
		memcpy(other->data, b->data + b->used - rest, rest);
		other->used = rest;
		/* It is of slots: zeroes of SGRING_TX_PAD end on a block. */
		other->fresh = other->payload = tail ? 0 : rest;
	}
	if (tail)
		memset(b->data + b->used, 0, r->traits.block - rest);
	w = write_new(r, f, b->at, tail ? b->at + b->used : b->at + bytes);
	w->bounce = b;
	w->payload = b->payload - (other ? other->payload : 0);
	w->tail = other && tail;
	r->tails += w->tail;
	f->bounce = other;
	write_start(r, w, b->data, bytes, -1);
	return true;
}

/* Room in the file's bounce; NULL: later. */
static struct sgring_bounce *bounce_room(struct sgring_recorder *r, struct sgring_recording *f)
{
	if (f->bounce && f->bounce->used == r->bounce_bytes && !sgring_rec_drain(r, f, false))
		return NULL;
	if (!f->bounce)
		f->bounce = bounce_get(r, f->at);
	return f->bounce;
}

static bool bounce_copy(struct sgring_recorder *r, struct sgring_recording *f,
			const unsigned char *data, size_t *bytes)
{
	struct sgring_bounce *b = bounce_room(r, f);

	if (!b)
		return false;
	if (*bytes > r->bounce_bytes - b->used)
		*bytes = r->bounce_bytes - b->used;
	memcpy(b->data + b->used, data, *bytes);
	b->used += *bytes;
	b->fresh += *bytes;
	b->payload += *bytes;
	f->at += *bytes;
	r->tx->stats.copied_bytes += *bytes;
	return true;
}

/* Zeroes up to where the next slot begins. */
static bool pad(struct sgring_recorder *r, struct sgring_recording *f)
{
	struct sgring_bounce *b;
	size_t n;

	while ((n = (size_t)(-f->at & (r->align - 1)))) {
		b = bounce_room(r, f);
		if (!b)
			return false;
		if (n > r->bounce_bytes - b->used)
			n = r->bounce_bytes - b->used;
		memset(b->data + b->used, 0, n);
		b->used += n;
		b->fresh += n;
		f->at += n;
		r->tx->stats.padded_bytes += n;
	}
	return true;
}

/* --- slots */

uint64_t sgring_rec_aligned(const struct sgring_recorder *r, uint64_t bytes)
{
	return (bytes + r->align - 1) & ~(uint64_t)(r->align - 1);
}

static bool time_for_another(const struct sgring_recorder *r, const struct sgring_tx_item *item)
{
	const struct sgring_tx_options *o = &r->tx->options;
	const struct sgring_recording *f = r->current;

	if (!f->items || item->slot.index == SGRING_NO_SLOT)
		return false;
	if (o->rotate_bytes && f->at + sgring_rec_aligned(r, item->slot.length) > o->rotate_bytes)
		return true;
	return o->rotate_ms &&
	       (uint64_t)(sgring_now_ns() - f->begun_ns) / SGRING_MS_NS >= o->rotate_ms;
}

/* The end of the current file, the beginning of the next. 1; 0: later; or -errno. */
static int rotate(struct sgring_recorder *r)
{
	struct sgring_recording *f = r->current;
	int err;

	if (r->files == SGRING_REC_FILES)
		return 0;
	err = sgring_rec_begin(r, r->traits.direct);
	if (err)
		return err;
	f->ending = true;
	return 1;
}

static bool memory_fits(const struct sgring_recorder *r, const unsigned char *data)
{
	return !((uintptr_t)data & (r->traits.memory - 1));
}

/* So many bytes, whole blocks, from a slot; fewer, or 0: later. */
static size_t write_slot(struct sgring_recorder *r, struct sgring_recording *f,
			 const struct sgring_tx_item *item, const unsigned char *data, size_t bytes)
{
	size_t inside = bytes;
	struct sgring_write *w;
	ptrdiff_t offset;
	int buffer = -1;

	if (!sgring_rec_drain(r, f, false))
		return 0;
	w = write_new(r, f, f->at, f->at);
	if (!w)
		return 0;
	if (r->tx->method == SGRING_TX_URING_FIXED) {
		offset = data - sgring_data(r->tx->stream, item->slot.index);
		buffer = sgring_uring_buffer(&r->disk.uring, item->slot.index, (uint64_t)offset,
					     &inside);
		inside -= inside % r->traits.block;
		/* A block across two of them goes the other way. */
		if (inside)
			bytes = inside;
		else
			buffer = -1;
	}
	f->at += bytes;
	w->end = f->at;
	w->item = r->tx->head;
	w->payload = bytes;
	sgring_tx_lend(r->tx, sgring_tx_item(r->tx, w->item));
	write_start(r, w, data, bytes, buffer);
	return bytes;
}

static void say_copied(struct sgring_recorder *r, const struct sgring_tx_item *item, bool aside)
{
	if (r->said_copy || item->slot.length < r->traits.block)
		return;
	r->said_copy = true;
	if (aside)
		sgring_tx_say(r->tx, "%s: slots are not whole blocks of %u bytes: what is behind one of another length is copied once; SGRING_TX_PAD avoids that",
			      r->tx->peer, r->traits.block);
	else
		sgring_tx_say(r->tx, "%s: slots that begin at addresses that are not multiples of %u are copied once",
			      r->tx->peer, r->traits.memory);
}

/* The next bytes of a slot, in one way or the other: how many; 0: later. */
static size_t write_some(struct sgring_recorder *r, struct sgring_recording *f,
			 const struct sgring_tx_item *item)
{
	const unsigned char *data = item->slot.data + item->done;
	const size_t block = r->traits.block, left = (size_t)(item->slot.length - item->done);
	size_t aside = (size_t)(-f->at & (block - 1)), bytes = left;

	if (left >= aside + block && memory_fits(r, data + aside)) {
		if (!aside)
			return write_slot(r, f, item, data, left - left % block);
		bytes = aside;
	} else if (left >= block) {
		say_copied(r, item, aside);
	}
	return bounce_copy(r, f, data, &bytes) ? bytes : 0;
}

/* A recording that is replayed is the same recording. */
static void greet_as_then(struct sgring_recorder *r, void *wire)
{
	const struct sgring *s = r->tx->stream;
	struct sgring_hello hello, then;

	if (!s->be->replayed || s->be->replayed(s->be, s->fd, &then) ||
	    sgring_hello_unpack(&hello, wire))
		return;
	hello.epoch = then.epoch;
	hello.session = then.session;
	hello.clock_ns = then.clock_ns;
	hello.realtime_ns = then.realtime_ns;
	sgring_hello_pack(wire, &hello);
}

int sgring_rec_greet(struct sgring_recorder *r, struct sgring_recording *f, uint32_t epoch)
{
	unsigned char hello[SGRING_HELLO_BYTES];

	f->epoch = epoch;
	sgring_tx_hello_frame(r->tx, epoch, r->align, hello);
	greet_as_then(r, hello);
	return sgring_index_add(&f->index, hello, SGRING_HELLO_BYTES / SGRING_INDEX_UNIT,
				f->described);
}

/* What the index has to say about an item whose data is on its way. */
static int describe(struct sgring_recorder *r, struct sgring_recording *f,
		    const struct sgring_tx_item *item)
{
	unsigned char entry[SGRING_ENTRY_BYTES];
	int err = 0;

	f->items++;
	if (f->index_fd < 0)
		return 0;
	if (f->epoch != item->epoch)
		err = sgring_rec_greet(r, f, item->epoch);
	if (!err) {
		sgring_tx_entry_frame(item, 0, item->slot.length, entry);
		err = sgring_index_add(&f->index, entry, 1, f->at);
	}
	f->described = f->at;
	return err;
}

int sgring_rec_item(struct sgring_recorder *r, struct sgring_tx_item *item)
{
	size_t bytes;
	int err;

	if (!item->begun) {
		err = time_for_another(r, item) ? rotate(r) : 1;
		if (err <= 0)
			return err;
		item->begun = true;
	}
	allocate(r, r->current);
	while (item->done < item->slot.length) {
		bytes = write_some(r, r->current, item);
		if (!bytes)
			return 0;
		item->done += bytes;
	}
	if (!pad(r, r->current))
		return 0;
	err = describe(r, r->current, item);
	if (err)
		return err;
	sgring_tx_took(r->tx, item, item->done, true);
	return 1;
}

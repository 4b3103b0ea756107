/* SPDX-License-Identifier: MIT */
/* libsgring: when a recording is on the disk, and what of it is good; see recorder.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "recorder.h"

#define ROUND_NS (1000 * SGRING_MS_NS)
#define LOOK_NS (20 * SGRING_MS_NS)

static struct sgring_recording *file_of(struct sgring_disk_op *op)
{
	return (void *)((char *)op - offsetof(struct sgring_recording, op));
}

/* The next step of a file's round. */
static void step(struct sgring_recorder *r, struct sgring_recording *f, int fd, size_t bytes,
		 void (*done)(void *context, struct sgring_disk_op *op))
{
	f->op = (struct sgring_disk_op){
		.what = bytes ? SGRING_DISK_WRITE : SGRING_DISK_SYNC,
		.fd = fd,
		.buffer = -1,
		.data = f->index.out,
		.bytes = bytes,
		.at = f->index.bytes,
		.block = 1,
		.done = done,
		.context = r,
	};
	f->in_round = true;
	sgring_disk_start(&r->disk, &f->op);
}

static void index_synced(void *context, struct sgring_disk_op *op)
{
	struct sgring_recording *f = file_of(op);
	struct sgring_recorder *r = context;

	r->tx->progress++;
	f->in_round = false;
	if (op->error)
		sgring_rec_failed(r, op->error, f->index_path, f->index.bytes);
}

static void index_written(void *context, struct sgring_disk_op *op)
{
	struct sgring_recording *f = file_of(op);
	struct sgring_recorder *r = context;

	r->tx->progress++;
	r->tx->stats.frame_bytes += op->written;
	f->in_round = false;
	sgring_index_done(&f->index, op->written);
	if (op->error)
		sgring_rec_failed(r, op->error, f->index_path, op->at);
	else
		step(r, f, f->index_fd, 0, index_synced);
}

static void data_synced(void *context, struct sgring_disk_op *op)
{
	struct sgring_recording *f = file_of(op);
	struct sgring_recorder *r = context;
	int64_t bytes;

	r->tx->progress++;
	f->in_round = false;
	if (op->error) {
		f->doubtful = true;
		sgring_rec_failed(r, op->error, f->path, f->synced);
		return;
	}
	sgring_index_ready(&f->index, f->synced);
	bytes = sgring_index_begin(&f->index);
	if (bytes > 0)
		step(r, f, f->index_fd, (size_t)bytes, index_written);
	else if (bytes < 0 && !r->error)
		r->error = (int)bytes;
}

/* All data that was handed to the file is there, and it has its true length. */
static bool all_written(struct sgring_recorder *r, struct sgring_recording *f)
{
	if (!sgring_rec_drain(r, f, true) || (f->bounce && f->bounce->fresh) ||
	    f->written != f->at || f->allocating)
		return false;
	if (!r->traits.regular || f->extent == f->at)
		return true;
	if (ftruncate(f->fd, (off_t)f->at)) {
		sgring_rec_failed(r, -errno, f->path, f->at);
		return false;
	}
	f->extent = f->allocated = f->at;
	f->dirty = true;
	return true;
}

/* Begin a round if it is time for one. */
static void round_begin(struct sgring_recorder *r, struct sgring_recording *f)
{
	int64_t now = sgring_now_ns();

	if (f->ending || r->settling) {
		/* An index begins with a hello also if nothing has come. */
		if (f->index_fd >= 0 && !f->epoch && sgring_rec_greet(r, f, r->tx->epoch))
			r->error = -ENOMEM;
		if (!all_written(r, f) || (!f->dirty && !f->index.count))
			return;
	} else {
		if (f->index_fd < 0 || now - f->round_ns < ROUND_NS)
			return;
		sgring_rec_drain(r, f, false);
		if (!f->index.count || f->index.ends[0] > f->written)
			return;
	}
	f->round_ns = now;
	f->synced = f->written;
	f->dirty = false;
	step(r, f, f->fd, 0, data_synced);
}

bool sgring_rec_at_rest(const struct sgring_recorder *r, const struct sgring_recording *f)
{
	return !f->in_round && f->written == f->at && !(f->bounce && f->bounce->fresh) &&
	       !f->dirty && !f->index.count && (!r->traits.regular || f->extent == f->at);
}

/* When there is something to do though nobody tells; 0: never. */
static int64_t next_look(const struct sgring_recorder *r)
{
	const struct sgring_recording *f;
	int64_t at = 0;

	if (r->disk.outstanding)
		return sgring_now_ns() + LOOK_NS;
	for (f = r->oldest; f && !r->error; f = f->next) {
		if (f->index_fd < 0 || (at && at < f->round_ns + ROUND_NS))
			continue;
		if ((f->index.count && f->index.ends[0] <= f->written) ||
		    (f->bounce && f->bounce->fresh && f->bounce->used >= r->traits.block))
			at = f->round_ns + ROUND_NS;
	}
	return at;
}

bool sgring_rec_work(struct sgring_recorder *r)
{
	bool moved = false, more;
	struct sgring_recording *f;
	int err;

	do {
		for (f = r->oldest; f && !r->error; f = f->next)
			if (!f->in_round)
				round_begin(r, f);
		while (!r->error && r->oldest->ending && sgring_rec_at_rest(r, r->oldest))
			sgring_rec_end(r);
		err = sgring_disk_submit(&r->disk);
		if (err && !r->error)
			sgring_rec_failed(r, err, r->tx->peer, 0);
		more = sgring_disk_reap(&r->disk);
		moved |= more;
	} while (more);
	r->tx->stats.calls = r->disk.calls + r->disk.uring.calls;
	r->tx->due_ns = next_look(r);
	return moved;
}

/* --- after a failure */

static void cut(const struct sgring_recorder *r, const struct sgring_recording *f, uint64_t end)
{
	if (r->traits.regular && ftruncate(f->fd, (off_t)end))
		sgring_tx_say(r->tx, "%s: cannot be cut to %llu bytes, which is all that is good of it",
			      f->path, (unsigned long long)end);
}

/* As much as goes. */
static size_t write_out(int fd, const unsigned char *data, size_t bytes, uint64_t at)
{
	size_t done = 0;
	ssize_t n;

	while (done < bytes) {
		n = pwrite(fd, data + done, bytes - done, (off_t)(at + done));
		if (n > 0)
			done += (size_t)n;
		else if (!n || errno != EINTR)
			break;
	}
	return done;
}

/* The data that is there, and its index; where one ends the other does. */
static void salvage_index(struct sgring_recorder *r, struct sgring_recording *f)
{
	struct sgring_index *x = &f->index;
	int64_t bytes;
	size_t done;

	while ((bytes = sgring_index_begin(x)) > 0) {
		done = write_out(f->index_fd, x->out, (size_t)bytes, x->bytes);
		sgring_index_done(x, done);
		if (done == (size_t)bytes || !sgring_index_drop(x))
			break;
		/* On a full disk the data of the last slot makes room for the index. */
		cut(r, f, sgring_index_end(x));
	}
	cut(r, f, x->described);
	if (ftruncate(f->index_fd, (off_t)x->bytes) || fdatasync(f->index_fd))
		sgring_tx_say(r->tx, "%s: may be incomplete", f->index_path);
}

void sgring_rec_salvage(struct sgring_recorder *r, struct sgring_recording *f)
{
	struct sgring_index *x = &f->index;
	uint64_t end = f->written;

	if (f->index_fd >= 0) {
		if (!f->epoch)
			sgring_rec_greet(r, f, r->tx->epoch);
		if (!f->doubtful)
			sgring_index_ready(x, f->written);
		end = sgring_index_end(x);
	}
	cut(r, f, end);
	if (fdatasync(f->fd))
		while (sgring_index_drop(x))
			;
	if (f->index_fd >= 0)
		salvage_index(r, f);
	sgring_tx_say(r->tx, "%s: %llu bytes are good", f->path,
		      (unsigned long long)(f->index_fd < 0 ? end : x->described));
}

/* SPDX-License-Identifier: MIT */
/* libsgring: the kind "file:" of senders; recorder.h has the whole picture. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recorder.h"

#define NAP_NS (10 * SGRING_MS_NS)
#define PAD_BYTES 4096U		/* slots begin on a multiple, with SGRING_TX_PAD */

/* How the requests get to the kernel, and why that way. */
static int choose(struct sgring_recorder *r)
{
	struct sgring_tx *t = r->tx;
	const uint32_t method = t->options.method;
	const bool sqpoll = t->options.flags & SGRING_TX_SQPOLL;
	char why[192] = "as asked for";
	int err = -EOPNOTSUPP;

	if (sqpoll && method == SGRING_TX_DIRECT)
		return sgring_fail(EINVAL, "SGRING_TX_SQPOLL is for io_uring, not for pwrite");
	if (method != SGRING_TX_DIRECT) {
		if (sgring_uring_probe(&err))
			err = sgring_disk_open(&r->disk, t->stream, &sgring_disk_uring,
					       SGRING_REC_WRITES + 2 * SGRING_REC_FILES, sqpoll);
		if (err && (sqpoll || method == SGRING_TX_URING || method == SGRING_TX_URING_FIXED))
			return err;
		if (err)
			snprintf(why, sizeof(why), "%s", sgring_errmsg());
	}
	if (err)
		sgring_disk_open(&r->disk, t->stream, &sgring_disk_calls, 0, false);
	else
		t->batch = t->options.batch_slots;

	if (!r->traits.direct) {
		t->method = SGRING_TX_COPY;
		snprintf(t->choice, sizeof(t->choice), "through the page cache, copying: %s",
			 r->traits.why);
	} else if (err) {
		t->method = SGRING_TX_DIRECT;
		snprintf(t->choice, sizeof(t->choice), "pwrite with O_DIRECT, waiting for each: %s", why);
	} else if (method != SGRING_TX_URING && !(err = sgring_uring_register(&r->disk.uring))) {
		t->method = SGRING_TX_URING_FIXED;
		snprintf(t->choice, sizeof(t->choice),
			 "io_uring with O_DIRECT from registered slots: %s",
			 method ? why : "the kernel takes them");
	} else if (err && method) {
		return err;
	} else {
		t->method = SGRING_TX_URING;
		snprintf(t->choice, sizeof(t->choice), "io_uring with O_DIRECT: %s",
			 method ? why : sgring_errmsg());
	}
	return 0;
}

static int check_options(const struct sgring_recorder *r)
{
	const struct sgring_tx_options *o = &r->tx->options;
	const uint64_t slot = sgring_rec_aligned(r, r->tx->stream->geometry.slot_bytes);

	if (!r->traits.regular && (o->rotate_bytes || o->rotate_ms))
		return sgring_fail(EINVAL, "%s is a block device: there is no next one", r->path);
	if (!r->traits.regular && r->index_path && !o->index)
		return sgring_fail(EINVAL, "%s is a block device: say where the index goes, or SGRING_TX_RAW",
				   r->path);
	if (!r->traits.direct && (o->method == SGRING_TX_DIRECT || o->method == SGRING_TX_URING ||
				  o->method == SGRING_TX_URING_FIXED))
		return sgring_fail(EOPNOTSUPP, "%s: this method needs O_DIRECT, and %s", r->path,
				   r->traits.why);
	if (o->rotate_bytes && o->rotate_bytes < slot)
		return sgring_fail(EINVAL, "files of at most %s: a slot is %s, and is never divided",
				   sgring_size_text(o->rotate_bytes), sgring_size_text(slot));
	return 0;
}

/*
 * The first file is there; it goes again if this fails and it is new. What was in an old one,
 * and its parts, go when nothing can be refused any more.
 */
static int begin(struct sgring_recorder *r)
{
	const struct sgring_tx_options *o = &r->tx->options;
	const bool overwrite = o->flags & SGRING_TX_OVERWRITE;
	int err;

	r->align = 1;
	if (o->flags & SGRING_TX_PAD)
		r->align = r->traits.block > PAD_BYTES ? r->traits.block : PAD_BYTES;
	err = check_options(r);
	if (!err)
		err = sgring_rec_bounces(r);
	if (!err)
		err = choose(r);
	if (!err && r->traits.regular)
		err = sgring_file_alone(r->path, overwrite);
	if (!err && r->traits.regular && r->index_path)
		err = sgring_file_alone(r->index_path, overwrite);
	if (!err)
		err = sgring_rec_empty(r);
	r->ahead = r->traits.regular && r->traits.direct && r->index_path;
	return err;
}

static void recorder_free(struct sgring_recorder *r)
{
	while (r->oldest)
		sgring_rec_end(r);
	sgring_disk_close(&r->disk);
	free(r->memory);
	free(r->path);
	free(r->index_path);
	free(r);
}

static int tx_file_open(struct sgring_tx *t, const char *where)
{
	const struct sgring_tx_options *o = &t->options;
	struct sgring_recorder *r;
	int err;

	if (!*where)
		return sgring_fail(EINVAL, "\"file:\": expected file:path");
	if (o->method == SGRING_TX_ZEROCOPY)
		return sgring_fail(EINVAL, "MSG_ZEROCOPY is for sockets");
	if (o->index && o->flags & SGRING_TX_RAW)
		return sgring_fail(EINVAL, "a path for the index, and SGRING_TX_RAW: no index");
	r = calloc(1, sizeof(*r));
	if (!r)
		return sgring_fail(ENOMEM, "no memory");
	r->tx = t;
	r->part = 1;
	r->path = strdup(where);
	if (!(o->flags & SGRING_TX_RAW))
		r->index_path = o->index ? strdup(o->index) : sgring_file_index(where);
	if (!r->path || (!r->index_path && !(o->flags & SGRING_TX_RAW)))
		err = sgring_fail(ENOMEM, "no memory");
	else
		err = sgring_rec_begin(r, o->method != SGRING_TX_COPY);
	if (!err) {
		err = begin(r);
		if (err && r->traits.created)
			unlink(r->current->path);
		if (err && r->current->index_created)
			unlink(r->current->index_path);
	}
	if (err)
		recorder_free(r);
	else
		t->data = r;
	return err;
}

static int tx_file_push(struct sgring_tx *t)
{
	struct sgring_recorder *r = t->data;
	int err = 0;

	r->settling = false;
	do {
		while (sgring_tx_queued(t) && !r->error) {
			err = sgring_rec_item(r, sgring_tx_item(t, t->head));
			if (err <= 0)
				break;
		}
		if (err < 0 && !r->error)
			r->error = err;
	} while (sgring_rec_work(r) && !r->error && sgring_tx_queued(t));
	if (!r->error && sgring_tx_queued(t)) {
		t->blocked = SGRING_TX_LIMIT;
		t->stats.full_waits++;
	}
	return r->error;
}

static int tx_file_reap(struct sgring_tx *t)
{
	struct sgring_recorder *r = t->data;
	const struct sgring_recording *f;

	sgring_rec_work(r);
	/* How much there is to be synced nobody can tell: it takes the time it takes. */
	for (f = r->oldest; f && r->head == r->next; f = f->next)
		t->progress += f->in_round;
	return r->error;
}

static unsigned int
tx_file_pollfds(const struct sgring_tx *t, struct pollfd *fds, unsigned int room)
{
	const struct sgring_recorder *r = t->data;

	if (!room || !r->disk.outstanding || r->disk.engine != &sgring_disk_uring)
		return 0;
	fds[0] = (struct pollfd){ .fd = sgring_uring_fd(&r->disk.uring), .events = POLLIN };
	return 1;
}

static struct sgring_uring *
tx_file_ring(const struct sgring_tx *t, uint32_t slots, unsigned int *completions)
{
	struct sgring_recorder *r = t->data;

	if (!r->disk.outstanding || r->disk.engine != &sgring_disk_uring ||
	    !sgring_uring_can_wait(&r->disk.uring))
		return NULL;
	*completions = slots < r->disk.outstanding ? slots : r->disk.outstanding;
	return &r->disk.uring;
}

static uint32_t tx_file_outstanding(const struct sgring_tx *t)
{
	const struct sgring_recorder *r = t->data;

	return r->disk.outstanding;
}

static int tx_file_check(struct sgring_tx *t)
{
	const struct sgring_recorder *r = t->data;

	return r->error;
}

static int tx_file_stalled(struct sgring_tx *t)
{
	struct sgring_recorder *r = t->data;

	r->error = sgring_fail(ETIMEDOUT, "%s: the disk took nothing for %u ms; %llu bytes of the stream are written",
			       r->current->path, t->options.timeout_ms,
			       (unsigned long long)t->stats.bytes);
	return r->error;
}

static int tx_file_settle(struct sgring_tx *t)
{
	struct sgring_recorder *r = t->data;

	r->settling = true;
	sgring_rec_work(r);
	if (r->error)
		return r->error;
	return r->oldest == r->current && sgring_rec_at_rest(r, r->current);
}

/* Everything is on the disk already. */
static int tx_file_finish(struct sgring_tx *t)
{
	struct sgring_recorder *r = t->data;
	const struct sgring_recording *f = r->current;

	if (!r->traits.regular && f->extent > f->at)
		sgring_tx_say(t, "%s: %llu bytes, and zeroes to the end of the last block", f->path,
			      (unsigned long long)f->at);
	sgring_rec_end(r);
	return 0;
}

/* What the kernel has begun to write cannot be called back: wait for it. */
static void tx_file_abort(struct sgring_tx *t)
{
	const int64_t until = sgring_now_ns() + t->options.timeout_ms * SGRING_MS_NS;
	struct sgring_recorder *r = t->data;
	struct pollfd fd;
	int64_t left;

	if (!r->error)
		r->error = -ECANCELED;
	while (sgring_rec_work(r), r->disk.outstanding) {
		left = until - sgring_now_ns();
		if (left <= 0)
			break;
		t->stream->be->poll(t->stream->be, &fd, tx_file_pollfds(t, &fd, 1),
				    left < NAP_NS ? left : NAP_NS);
	}
}

static void tx_file_close(struct sgring_tx *t)
{
	struct sgring_recorder *r = t->data;
	struct sgring_recording *f;

	for (f = r->oldest; f; f = f->next) {
		if (r->disk.outstanding)
			sgring_tx_say(t, "%s: is still being written, and is not cut to what its index describes",
				      f->path);
		else
			sgring_rec_salvage(r, f);
	}
	recorder_free(r);
}

const struct sgring_tx_kind sgring_tx_file = {
	.scheme = "file:",
	.timed = true,
	.open = tx_file_open,
	.push = tx_file_push,
	.reap = tx_file_reap,
	.pollfds = tx_file_pollfds,
	.ring = tx_file_ring,
	.outstanding = tx_file_outstanding,
	.check = tx_file_check,
	.stalled = tx_file_stalled,
	.settle = tx_file_settle,
	.finish = tx_file_finish,
	.abort = tx_file_abort,
	.close = tx_file_close,
};

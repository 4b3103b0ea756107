/* SPDX-License-Identifier: MIT */
/* libsgring: requests to files, by io_uring or one by one; see disk.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"

/* --- io_uring: user_data is the request */

static void uring_start(struct sgring_disk *d, struct sgring_disk_op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&d->uring.ring);
	unsigned int bytes = (unsigned int)op->bytes;

	if (op->what == SGRING_DISK_SYNC)
		io_uring_prep_fsync(sqe, op->fd, IORING_FSYNC_DATASYNC);
	else if (op->what == SGRING_DISK_ALLOCATE)
		io_uring_prep_fallocate(sqe, op->fd, 0, (off_t)op->at, (off_t)op->bytes);
	else if (op->buffer >= 0)
		io_uring_prep_write_fixed(sqe, op->fd, op->data, bytes, op->at, op->buffer);
	else
		io_uring_prep_write(sqe, op->fd, op->data, bytes, op->at);
	if (op->retry)
		io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	io_uring_sqe_set_data(sqe, op);
}

static int uring_submit(struct sgring_disk *d)
{
	return sgring_uring_put_off(&d->uring) ? 0 : sgring_uring_submit(&d->uring);
}

static struct sgring_disk_op *uring_next(struct sgring_disk *d, int *result)
{
	struct sgring_disk_op *op = NULL;
	struct io_uring_cqe *cqe;
	unsigned int head;

	io_uring_for_each_cqe(&d->uring.ring, head, cqe) {
		op = io_uring_cqe_get_data(cqe);
		*result = cqe->res;
		io_uring_cq_advance(&d->uring.ring, 1);
		break;
	}
	return op;
}

const struct sgring_disk_engine sgring_disk_uring = {
	.start = uring_start,
	.submit = uring_submit,
	.next = uring_next,
};

/* --- system calls: made at once, told at the next look */

static void calls_start(struct sgring_disk *d, struct sgring_disk_op *op)
{
	ssize_t n;

	d->calls++;
	if (op->what == SGRING_DISK_SYNC)
		n = fdatasync(op->fd);
	else if (op->what == SGRING_DISK_ALLOCATE)
		n = fallocate(op->fd, 0, (off_t)op->at, (off_t)op->bytes);
	else
		n = pwrite(op->fd, op->data, op->bytes, (off_t)op->at);
	op->result = n < 0 ? -errno : (int)n;
	op->next = NULL;
	if (d->last)
		d->last->next = op;
	else
		d->first = op;
	d->last = op;
}

static int calls_submit(struct sgring_disk *d)
{
	(void)d;
	return 0;
}

static struct sgring_disk_op *calls_next(struct sgring_disk *d, int *result)
{
	struct sgring_disk_op *op = d->first;

	if (!op)
		return NULL;
	d->first = op->next;
	if (!d->first)
		d->last = NULL;
	*result = op->result;
	return op;
}

const struct sgring_disk_engine sgring_disk_calls = {
	.start = calls_start,
	.submit = calls_submit,
	.next = calls_next,
};

/* --- both */

int sgring_disk_open(struct sgring_disk *d, struct sgring *s,
		     const struct sgring_disk_engine *engine, unsigned int room, bool sqpoll)
{
	*d = (struct sgring_disk){ .engine = engine };
	if (engine != &sgring_disk_uring)
		return 0;
	return sgring_uring_open(&d->uring, s, room, room, sqpoll);
}

void sgring_disk_close(struct sgring_disk *d)
{
	sgring_uring_close(&d->uring);
	d->engine = NULL;
}

void sgring_disk_start(struct sgring_disk *d, struct sgring_disk_op *op)
{
	op->error = 0;
	op->written = 0;
	op->parts = 0;
	op->retry = false;
	d->outstanding++;
	d->engine->start(d, op);
}

int sgring_disk_submit(struct sgring_disk *d)
{
	int err = d->engine->submit(d);

	/* What was not taken is handed over with the next. */
	return err == -EAGAIN || err == -EBUSY || err == -EINTR ? 0 : err;
}

/* The kernel took so much of a write. True: that was all of it, or it has failed. */
static bool advance(struct sgring_disk_op *op, size_t n)
{
	op->parts++;
	op->retry = false;
	if (n < op->bytes) {
		/* The rest begins on a block; what is written twice is the same. */
		n -= n < op->block ? n : (size_t)((op->at + n) % op->block);
		if (!n)
			op->error = -EIO;
	}
	op->data += n;
	op->at += n;
	op->bytes -= n;
	op->written += n;
	return !op->bytes || op->error;
}

/* True: this request is done. */
static bool finished(struct sgring_disk_op *op, int result)
{
	switch (-result) {
	case EINTR:
		return false;
	case EAGAIN:
		/* The second time it may wait for what it needs. */
		if (!op->retry) {
			op->retry = true;
			return false;
		}
		break;
	}
	if (result < 0)
		op->error = result;
	else if (op->what == SGRING_DISK_WRITE)
		return advance(op, (size_t)result);
	return true;
}

bool sgring_disk_reap(struct sgring_disk *d)
{
	struct sgring_disk_op *op;
	bool moved = false;
	int result;

	if (d->engine == &sgring_disk_uring)
		sgring_uring_look(&d->uring);
	while ((op = d->engine->next(d, &result))) {
		moved = true;
		if (finished(op, result)) {
			d->outstanding--;
			op->done(op->context, op);
		} else {
			d->engine->start(d, op);
		}
	}
	return moved;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: read(2), the plain copying fallback
 *
 * So that dd and cat work with no library. The first read sets the stream up
 * with all defaults and starts it; after that the reader consumes the CQ and
 * returns the slots in the kernel, as an application would, and the rings are
 * not mapped. User memory is touched under the read lock alone: a slot that is
 * the application's stays where it is meanwhile.
 */
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/poll.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "stream.h"

static int read_begin(struct sgring_stream *s, struct file *file)
{
	struct sgring_setup setup = { .size = sizeof(setup) };
	struct sgring_message message = {};
	int ret;

	if (s->owner == file)
		return s->reading ? 0 : -EBUSY;
	if (sgring_is_dead(s))
		return -ENODEV;
	if (s->owner)
		return -EBUSY;
	if (s->client.direction != DMA_DEV_TO_MEM)
		return -EOPNOTSUPP;
	ret = sgring_setup(s, file, &setup, &message);
	if (ret)
		return ret;
	s->reading = true;
	sgring_setup_done(s);
	ret = sgring_start(s);
	if (ret)
		sgring_teardown(s);
	return ret;
}

/* The next entry of the CQ into read_entry; 0, -EAGAIN if there is none. */
static int read_next(struct sgring_stream *s)
{
	struct sgring_rings *rings = &s->rings;
	u32 consumer = rings->user->cq_consumer;
	int ret = -EAGAIN;

	spin_lock_bh(&s->lock);
	if (rings->cq_producer != consumer) {
		s->read_entry = rings->cqes[consumer & (rings->cq_entries - 1)];
		/* Not mapped: this side is ours to write. */
		WRITE_ONCE(rings->user->cq_consumer, consumer + 1);
		s->read_offset = 0;
		s->read_valid = true;
		ret = 0;
	}
	spin_unlock_bh(&s->lock);
	return ret;
}

static int read_wait(struct sgring_stream *s, bool nonblock)
{
	int ret;

	while (!s->read_valid) {
		ret = read_next(s);
		if (ret != -EAGAIN)
			return ret;
		if (READ_ONCE(s->gone))
			return -ENODEV;
		if (nonblock)
			return -EAGAIN;
		ret = wait_event_interruptible(s->wait, READ_ONCE(s->gone) ||
					       sgring_pump_poll(s, false));
		if (ret)
			return ret;
	}
	return 0;
}

static void read_done(struct sgring_stream *s)
{
	s->read_position = s->read_entry.position_bytes + s->read_entry.length_bytes;
	s->read_valid = false;
	if (s->read_entry.slot != SGRING_NO_SLOT)
		sgring_pump_return(s, s->read_entry.slot);
}

/* Copy from the current slot; bytes copied, or -EFAULT if none were. */
static ssize_t read_copy(struct sgring_stream *s, char __user *buf, size_t bytes)
{
	const struct sgring_chunks *chunks = s->slots[s->read_entry.slot].chunks;
	u64 start = 0, offset = s->read_offset;
	size_t want = min_t(u64, bytes, s->read_entry.length_bytes - offset);
	size_t done = 0;
	unsigned int i;

	for (i = 0; i < chunks->count && done < want; i++) {
		u64 size = PAGE_SIZE << chunks->chunk[i].order;
		size_t n, missed;

		if (offset < start + size) {
			n = min_t(u64, start + size - offset, want - done);
			missed = copy_to_user(buf + done, page_address(chunks->chunk[i].page) +
					      (offset - start), n);
			done += n - missed;
			offset += n;
			if (missed)
				break;
		}
		start += size;
	}
	s->read_offset += done;
	if (!done)
		return -EFAULT;
	if (s->read_offset == s->read_entry.length_bytes)
		read_done(s);
	return done;
}

/*
 * What the current entry is, before any of it is copied: 0 data, 1 nothing to
 * copy, or the errno to tell, once.
 */
static int read_check(struct sgring_stream *s)
{
	struct sgring_cqe *entry = &s->read_entry;

	if (entry->flags & SGRING_CQE_GAP) {
		entry->flags &= ~SGRING_CQE_GAP;
		return -EOVERFLOW;
	}
	if (entry->status && entry->slot != SGRING_NO_SLOT) {
		int status = entry->status;

		read_done(s);
		return status;
	}
	if (entry->slot != SGRING_NO_SLOT && !entry->length_bytes) {
		read_done(s);
		return 1;
	}
	return 0;
}

/**
 * sgring_read() - read(2)
 * @s: the stream
 * @file: of the caller
 * @buf: where to
 * @bytes: at most
 *
 * Return: bytes; 0 at the end of the stream; or as uapi/linux/sgring.h says.
 */
ssize_t sgring_read(struct sgring_stream *s, struct file *file, char __user *buf, size_t bytes)
{
	bool nonblock = file->f_flags & O_NONBLOCK;
	ssize_t done = 0, ret;

	if (!bytes)
		return 0;
	if (mutex_lock_interruptible(&s->read_lock))
		return -ERESTARTSYS;
	mutex_lock(&s->mutex);
	ret = read_begin(s, file);
	mutex_unlock(&s->mutex);
	if (ret)
		goto out;

	while (done < bytes) {
		ret = read_wait(s, nonblock || done);
		if (ret)
			break;
		/* A gap, an error, the end: not in the middle of what is returned. */
		if (done && (s->read_entry.slot == SGRING_NO_SLOT || s->read_entry.status ||
			     (s->read_entry.flags & SGRING_CQE_GAP)))
			break;
		ret = read_check(s);
		if (ret < 0)
			break;
		if (ret)
			continue;
		/* The end stays: 0 as asked for, or why. */
		ret = s->read_entry.status;
		if (s->read_entry.slot == SGRING_NO_SLOT)
			break;
		ret = read_copy(s, buf + done, bytes - done);
		if (ret < 0)
			break;
		done += ret;
	}
out:
	mutex_unlock(&s->read_lock);
	return done ?: ret;
}

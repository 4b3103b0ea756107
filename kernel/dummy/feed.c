// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: data fed to the device through a file
 *
 * Owns struct dummy_feed: a buffer with one writer (the debugfs file `feed`, in
 * process context) and one reader (the engine's thread, through source.c). Its
 * counts are under source->lock; the bytes between tail and head are the
 * reader's, the others the writer's, and are copied without the lock. The buffer
 * stays until the module goes, so that emptying it needs to wait for nobody.
 *
 * The last byte written is held back until more comes or the file is closed:
 * only then is known whether it ends the packet.
 */
#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "source.h"

#define FEED_MASK	(DUMMY_FEED_BYTES - 1)
#define ENDS_MASK	(DUMMY_FEED_ENDS - 1)

void dummy_feed_init(struct dummy_feed *feed)
{
	init_waitqueue_head(&feed->space);
	mutex_init(&feed->writer);
}

void dummy_feed_free(struct dummy_feed *feed)
{
	kvfree(feed->buffer);
	feed->buffer = NULL;
}

void dummy_feed_empty(struct dummy_feed *feed)
{
	feed->generation++;
	feed->tail = feed->head;
	feed->ends_tail = feed->ends_head;
	wake_up_all(&feed->space);
}

/* Bytes that may be taken, up to the next packet end. */
u64 dummy_feed_ready(const struct dummy_feed *feed)
{
	if (feed->ends_head != feed->ends_tail)
		return feed->ends[feed->ends_tail & ENDS_MASK] - feed->tail;
	return feed->head == feed->tail ? 0 : feed->head - feed->tail - 1;
}

bool dummy_feed_ends_at(const struct dummy_feed *feed, u64 position)
{
	return feed->ends_head != feed->ends_tail &&
	       feed->ends[feed->ends_tail & ENDS_MASK] == position;
}

/* Without the lock: nobody writes what lies between tail and head. */
void dummy_feed_copy(const struct dummy_feed *feed, u64 position, void *to, size_t bytes)
{
	size_t offset = position & FEED_MASK;
	size_t first = min_t(size_t, bytes, DUMMY_FEED_BYTES - offset);

	memcpy(to, feed->buffer + offset, first);
	memcpy(to + first, feed->buffer, bytes - first);
}

void dummy_feed_taken(struct dummy_feed *feed, size_t bytes)
{
	feed->tail += bytes;
	if (dummy_feed_ends_at(feed, feed->tail))
		feed->ends_tail++;
	wake_up_all(&feed->space);
}

/* The generation in which this file was opened. */
static unsigned int generation_of(struct file *file)
{
	return (unsigned long)file->private_data;
}

static bool feed_may_write(struct dummy_source *s, unsigned int generation, u64 *space)
{
	struct dummy_feed *feed = &s->feed;
	bool same;

	spin_lock_irq(&s->lock);
	same = feed->generation == generation;
	*space = DUMMY_FEED_BYTES - (feed->head - feed->tail);
	spin_unlock_irq(&s->lock);
	return *space || !same;
}

static bool feed_may_open(struct dummy_source *s)
{
	struct dummy_feed *feed = &s->feed;
	bool room;

	spin_lock_irq(&s->lock);
	room = feed->ends_head - feed->ends_tail < DUMMY_FEED_ENDS;
	spin_unlock_irq(&s->lock);
	return room;
}

static int feed_claim(struct dummy_source *s)
{
	struct dummy_feed *feed = &s->feed;
	bool busy;

	spin_lock_irq(&s->lock);
	busy = feed->open;
	feed->open = true;
	spin_unlock_irq(&s->lock);
	return busy ? -EBUSY : 0;
}

static void feed_unclaim(struct dummy_source *s)
{
	spin_lock_irq(&s->lock);
	s->feed.open = false;
	spin_unlock_irq(&s->lock);
}

static int dummy_feed_open(struct inode *inode, struct file *file)
{
	struct dummy_source *s = inode->i_private;
	struct dummy_feed *feed = &s->feed;
	int err;

	err = feed_claim(s);
	if (err)
		return err;
	if (!feed->buffer)
		feed->buffer = kvmalloc(DUMMY_FEED_BYTES, GFP_KERNEL);
	err = feed->buffer ? 0 : -ENOMEM;
	if (!err)
		err = wait_event_interruptible(feed->space, feed_may_open(s));
	if (err) {
		feed_unclaim(s);
		return err;
	}
	spin_lock_irq(&s->lock);
	file->private_data = (void *)(unsigned long)feed->generation;
	spin_unlock_irq(&s->lock);
	return nonseekable_open(inode, file);
}

static ssize_t feed_some(struct dummy_source *s, const char __user *from, size_t bytes,
			 u64 space, unsigned int generation)
{
	struct dummy_feed *feed = &s->feed;
	size_t offset = feed->head & FEED_MASK;	/* only the writer moves it */
	size_t n = min3(bytes, (size_t)space, DUMMY_FEED_BYTES - offset);

	if (copy_from_user(feed->buffer + offset, from, n))
		return -EFAULT;
	spin_lock_irq(&s->lock);
	if (feed->generation != generation) {
		spin_unlock_irq(&s->lock);
		return -EPIPE;
	}
	feed->head += n;
	dummy_source_use_feed(s);
	spin_unlock_irq(&s->lock);
	dummy_bell_ring(s->bell);
	return n;
}

static ssize_t dummy_feed_write(struct file *file, const char __user *from, size_t bytes,
				loff_t *pos)
{
	struct dummy_source *s = file_inode(file)->i_private;
	unsigned int generation = generation_of(file);
	struct dummy_feed *feed = &s->feed;
	ssize_t done = 0, n;
	u64 space;

	n = mutex_lock_interruptible(&feed->writer);
	if (n)
		return n;
	while (done < bytes) {
		if (!feed_may_write(s, generation, &space)) {
			n = -EAGAIN;
			if (file->f_flags & O_NONBLOCK)
				break;
			n = wait_event_interruptible(feed->space,
						     feed_may_write(s, generation, &space));
			if (n)
				break;
		}
		n = feed_some(s, from + done, bytes - done, space, generation);
		if (n < 0)
			break;
		done += n;
		cond_resched();
	}
	mutex_unlock(&feed->writer);
	return done ?: n;
}

/* What was written ends with the end of a packet. */
static int dummy_feed_release(struct inode *inode, struct file *file)
{
	struct dummy_source *s = inode->i_private;
	struct dummy_feed *feed = &s->feed;

	spin_lock_irq(&s->lock);
	if (feed->generation == generation_of(file) && feed->head != feed->tail &&
	    !(feed->ends_head != feed->ends_tail &&
	      feed->ends[(feed->ends_head - 1) & ENDS_MASK] == feed->head))
		feed->ends[feed->ends_head++ & ENDS_MASK] = feed->head;
	feed->open = false;
	spin_unlock_irq(&s->lock);
	dummy_bell_ring(s->bell);
	return 0;
}

const struct file_operations dummy_feed_fops = {
	.owner = THIS_MODULE,
	.open = dummy_feed_open,
	.write = dummy_feed_write,
	.release = dummy_feed_release,
	.llseek = noop_llseek,
};

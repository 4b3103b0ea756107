// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: the system calls on /dev/sgringN
 *
 * Copies structures in and out, says who may do what, and leaves the rest to
 * the files below. No user memory is touched under the stream's mutex.
 */
#include <linux/cdev.h>
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "reaper.h"
#include "stream.h"

#define DEFAULT_STOP_MS	1000

static struct sgring_stream *stream_of(const struct file *file)
{
	return ((const struct sgring_file *)file->private_data)->stream;
}

/* Sizes of the structures in their first version, and now. */
#define FIRST_SIZE(type, last)	offsetofend(struct type, last)

static int copy_in(void *to, size_t size, size_t first, unsigned long arg)
{
	void __user *from = (void __user *)arg;
	u32 user_size;

	if (get_user(user_size, (u32 __user *)from))
		return -EFAULT;
	if (user_size < first)
		return -EINVAL;
	if (user_size > PAGE_SIZE)
		return -E2BIG;
	return copy_struct_from_user(to, size, from, user_size);
}

/* What the caller has room for; its size field says what the kernel knows. */
static int copy_out(unsigned long arg, const void *from, u32 user_size, size_t size)
{
	void __user *to = (void __user *)arg;

	return copy_to_user(to, from, min_t(size_t, user_size, size)) ? -EFAULT : 0;
}

/* The mutex, for an ioctl of the owner; its errors. */
static int lock_owner(struct sgring_stream *s, struct file *file)
{
	int ret = 0;

	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	if (sgring_is_dead(s))
		ret = -ENODEV;
	else if (s->state == SGRING_STATE_IDLE)
		ret = -EBADFD;
	else if (s->owner != file)
		ret = -EPERM;
	else if (s->reading)
		ret = -EBUSY;
	if (ret)
		mutex_unlock(&s->mutex);
	return ret;
}

static u64 query_features(const struct sgring_stream *s)
{
	const struct sgring_client_ops *ops = s->client.ops;
	u64 features = SGRING_FEAT_OBSERVE | SGRING_FEAT_GATE;

	if (s->client.direction == DMA_DEV_TO_MEM)
		features |= SGRING_FEAT_CAPTURE | SGRING_FEAT_DROP | SGRING_FEAT_READ;
	if (s->engine.length_known)
		features |= SGRING_FEAT_LENGTH;
	if (ops && ops->lost_bytes)
		features |= SGRING_FEAT_LOST_COUNTER;
	if (ops && ops->device_time_ns)
		features |= SGRING_FEAT_DEVICE_TIME;
	return features;
}

static void query_fill(struct sgring_stream *s, struct sgring_query *q)
{
	const struct sgring_engine *engine = &s->engine;

	q->abi_version = SGRING_ABI_VERSION;
	q->features = query_features(s);
	q->state = s->state;
	q->direction = s->client.direction == DMA_DEV_TO_MEM ? SGRING_CAPTURE : SGRING_PLAYBACK;
	q->slot_bytes_max = SGRING_SLOT_BYTES_MAX;
	q->stream_bytes_max = sgring_memory_stream_max();
	q->total_bytes_max = sgring_memory_total_max();
	q->total_bytes = sgring_memory_total();
	q->slots_max = SGRING_SLOTS_MAX;
	q->queue_depth_max = engine->depth_max;
	q->width_bytes = engine->limits.align;
	q->segment_bytes_max = min_t(u64, engine->limits.segment_bytes, U32_MAX);
	q->segments_max = engine->limits.segments;
	q->burst_segments = engine->burst_segments;
	q->segment_boundary_mask = engine->limits.boundary_mask;
	q->quirks = engine->quirks;
	strscpy(q->label, s->label, sizeof(q->label));
	strscpy(q->engine, sgring_engine_name(engine), sizeof(q->engine));
	if (engine->chan)
		strscpy(q->channel, dma_chan_name(engine->chan), sizeof(q->channel));
	strscpy(q->device, dev_name(s->client.dev), sizeof(q->device));
}

static long ioctl_query(struct sgring_stream *s, unsigned long arg)
{
	struct sgring_query q;
	u32 user_size;
	int ret;

	ret = copy_in(&q, sizeof(q), FIRST_SIZE(sgring_query, device), arg);
	if (ret)
		return ret;
	if (q.pad)
		return -EINVAL;
	user_size = q.size;
	q = (struct sgring_query){ .size = sizeof(q) };
	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	if (sgring_is_dead(s))
		ret = -ENODEV;
	else
		query_fill(s, &q);
	mutex_unlock(&s->mutex);
	return ret ?: copy_out(arg, &q, user_size, sizeof(q));
}

static int message_out(const struct sgring_setup *setup, const struct sgring_message *message)
{
	size_t room = min_t(size_t, setup->message_bytes, sizeof(message->text));

	if (!setup->message || !room)
		return 0;
	/* Short of room, the line is cut, and still ends in a zero. */
	if (copy_to_user(u64_to_user_ptr(setup->message), message->text, room))
		return -EFAULT;
	return put_user(0, (char __user *)u64_to_user_ptr(setup->message) + room - 1);
}

static long ioctl_setup(struct sgring_stream *s, struct file *file, unsigned long arg)
{
	struct sgring_message message = {};
	struct sgring_setup setup;
	u32 user_size;
	int ret;

	ret = copy_in(&setup, sizeof(setup), FIRST_SIZE(sgring_setup, reserved), arg);
	if (ret)
		return ret;
	if ((file->f_mode & (FMODE_READ | FMODE_WRITE)) != (FMODE_READ | FMODE_WRITE))
		return -EBADF;
	user_size = setup.size;
	/* What cannot be answered is not begun. */
	if (message_out(&setup, &message) || copy_out(arg, &setup, user_size, sizeof(setup)))
		return -EFAULT;
	setup.size = sizeof(setup);
	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	ret = sgring_is_dead(s) ? -ENODEV : sgring_setup(s, file, &setup, &message);
	mutex_unlock(&s->mutex);
	if (ret) {
		message_out(&setup, &message);
		return ret;
	}
	ret = copy_out(arg, &setup, user_size, sizeof(setup));
	/* Nobody could use it yet: if the answer is lost after all, it was never made. */
	mutex_lock(&s->mutex);
	if (ret)
		sgring_teardown(s);
	else
		sgring_setup_done(s);
	mutex_unlock(&s->mutex);
	return ret;
}

static long ioctl_geometry(struct sgring_stream *s, unsigned long arg)
{
	struct sgring_geometry g;
	u32 user_size;
	int ret;

	ret = copy_in(&g, sizeof(g), FIRST_SIZE(sgring_geometry, clock), arg);
	if (ret)
		return ret;
	if (g.clock)
		return -EINVAL;
	user_size = g.size;
	g = (struct sgring_geometry){ .size = sizeof(g) };
	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	if (s->state == SGRING_STATE_IDLE) {
		mutex_unlock(&s->mutex);
		return sgring_is_dead(s) ? -ENODEV : -EBADFD;
	}
	sgring_rings_geometry(&s->rings, &g);
	g.slot_count = s->setup.slot_count;
	g.slot_bytes = s->setup.slot_bytes;
	g.stride_bytes = s->stride;
	g.kernel_offset = SGRING_OFFSET_KERNEL;
	g.user_offset = SGRING_OFFSET_USER;
	g.data_offset = SGRING_OFFSET_DATA;
	g.observer_data_offset = SGRING_OFFSET_OBSERVER_DATA;
	g.data_bytes = s->stride * s->setup.slot_count;
	g.chunk_bytes_max = s->chunk_max;
	g.chunk_bytes_min = s->chunk_min;
	g.segments = s->segments;
	g.clock = s->setup.clock;
	mutex_unlock(&s->mutex);
	return copy_out(arg, &g, user_size, sizeof(g));
}

/* Into @l how many runs a slot has, and no more than @room of them into @runs. */
static int layout_read(struct sgring_stream *s, struct sgring_layout *l, struct sgring_run *runs,
		       u32 room)
{
	int ret = 0;

	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	if (s->state == SGRING_STATE_IDLE)
		ret = sgring_is_dead(s) ? -ENODEV : -EBADFD;
	else if (l->slot >= s->setup.slot_count)
		ret = -ERANGE;
	else
		l->run_count = sgring_slot_runs(&s->slots[l->slot], s->stride, runs, room);
	mutex_unlock(&s->mutex);
	return ret;
}

static long ioctl_layout(struct sgring_stream *s, unsigned long arg)
{
	struct sgring_run *runs = NULL;
	struct sgring_layout l;
	u32 user_size, room;
	int ret;

	ret = copy_in(&l, sizeof(l), FIRST_SIZE(sgring_layout, run_count), arg);
	if (ret)
		return ret;
	user_size = l.size;
	l.size = sizeof(l);
	ret = layout_read(s, &l, NULL, 0);
	if (ret)
		return ret;
	/* Memory for those there are, whatever the caller claims to have room for. */
	room = min(l.run_room, l.run_count);
	if (room) {
		runs = kvcalloc(room, sizeof(*runs), SGRING_GFP_LIST);
		if (!runs)
			return -ENOMEM;
		ret = layout_read(s, &l, runs, room);
	}
	/* Set up anew meanwhile, it may have fewer. */
	room = min(room, l.run_count);
	if (!ret && room &&
	    copy_to_user(u64_to_user_ptr(l.runs), runs, array_size(room, sizeof(*runs))))
		ret = -EFAULT;
	if (!ret)
		ret = copy_out(arg, &l, user_size, sizeof(l));
	kvfree(runs);
	return ret;
}

static long ioctl_plain(struct sgring_stream *s, struct file *file, unsigned int cmd,
			unsigned long arg)
{
	int ret;

	if (arg)
		return -EINVAL;
	ret = lock_owner(s, file);
	if (ret)
		return ret;
	if (cmd == SGRING_ARM)
		ret = sgring_arm(s);
	else if (cmd == SGRING_START)
		ret = sgring_start(s);
	else
		sgring_pump_kick(s);
	mutex_unlock(&s->mutex);
	return ret;
}

static long ioctl_stop(struct sgring_stream *s, struct file *file, unsigned long arg)
{
	struct sgring_stop stop;
	u32 user_size;
	int ret;

	ret = copy_in(&stop, sizeof(stop), FIRST_SIZE(sgring_stop, outcome), arg);
	if (ret)
		return ret;
	if (stop.flags & ~SGRING_STOP_DRAIN)
		return -EINVAL;
	if (stop.timeout_ms > SGRING_STOP_MS_MAX)
		return -ERANGE;
	user_size = stop.size;
	stop.size = sizeof(stop);
	stop.outcome = 0;
	if (!stop.timeout_ms)
		stop.timeout_ms = DEFAULT_STOP_MS;
	ret = lock_owner(s, file);
	if (ret)
		return ret;
	ret = sgring_stop(s, stop.flags & SGRING_STOP_DRAIN, stop.timeout_ms, 0, &stop.outcome);
	mutex_unlock(&s->mutex);
	return ret ?: copy_out(arg, &stop, user_size, sizeof(stop));
}

static long ioctl_tune(struct sgring_stream *s, struct file *file, unsigned long arg)
{
	struct sgring_tune tune;
	u32 user_size;
	int ret;

	ret = copy_in(&tune, sizeof(tune), FIRST_SIZE(sgring_tune, gate), arg);
	if (ret)
		return ret;
	if (tune.gate > SGRING_GATE_OFF)
		return -EINVAL;
	user_size = tune.size;
	tune.size = sizeof(tune);
	ret = lock_owner(s, file);
	if (ret)
		return ret;
	ret = sgring_tune(s, &tune);
	mutex_unlock(&s->mutex);
	return ret ?: copy_out(arg, &tune, user_size, sizeof(tune));
}

static long ioctl_stats(struct sgring_stream *s, unsigned long arg)
{
	struct sgring_stats stats;
	u32 user_size;
	int ret;

	ret = copy_in(&stats, sizeof(stats), FIRST_SIZE(sgring_stats, app_usec_log2), arg);
	if (ret)
		return ret;
	user_size = stats.size;
	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	/* The last set-up's counters stay until the next. */
	sgring_pump_stats(s, &stats);
	if (!stats.size)
		ret = sgring_is_dead(s) ? -ENODEV : -EBADFD;
	stats.size = sizeof(stats);
	stats.state = sgring_is_dead(s) ? SGRING_STATE_DEAD : s->state;
	stats.memory_bytes = s->memory_bytes + s->rings.kernel_bytes + s->rings.user_bytes;
	stats.held_bytes = sgring_reaper_bytes();
	if (s->bounced)
		stats.flags |= SGRING_STATS_BOUNCED;
	if (s->deferred)
		stats.flags |= SGRING_STATS_DEFERRED;
	mutex_unlock(&s->mutex);
	return ret ?: copy_out(arg, &stats, user_size, sizeof(stats));
}

static long sgring_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct sgring_stream *s = stream_of(file);

	switch (cmd) {
	case SGRING_QUERY:
		return ioctl_query(s, arg);
	case SGRING_SETUP:
		return ioctl_setup(s, file, arg);
	case SGRING_GEOMETRY:
		return ioctl_geometry(s, arg);
	case SGRING_LAYOUT:
		return ioctl_layout(s, arg);
	case SGRING_ARM:
	case SGRING_START:
	case SGRING_KICK:
		return ioctl_plain(s, file, cmd, arg);
	case SGRING_STOP:
		return ioctl_stop(s, file, arg);
	case SGRING_TUNE:
		return ioctl_tune(s, file, arg);
	case SGRING_STATS:
		return ioctl_stats(s, arg);
	default:
		return -ENOTTY;
	}
}

static __poll_t sgring_poll(struct file *file, poll_table *wait)
{
	struct sgring_stream *s = stream_of(file);
	struct file *owner;
	__poll_t mask = 0;

	poll_wait(file, &s->wait, wait);
	owner = smp_load_acquire(&s->owner); /* pairs with sgring_setup() */
	if (owner == file)
		mask = sgring_pump_poll(s, true);
	else if (!owner)
		mask = EPOLLIN | EPOLLRDNORM; /* a read would start it */
	else
		mask = EPOLLERR;
	if (READ_ONCE(s->gone))
		mask |= EPOLLHUP | EPOLLERR;
	return mask;
}

static ssize_t sgring_fop_read(struct file *file, char __user *buf, size_t bytes, loff_t *pos)
{
	return sgring_read(stream_of(file), file, buf, bytes);
}

static int sgring_fop_mmap(struct file *file, struct vm_area_struct *vma)
{
	return sgring_mmap(stream_of(file), file, vma);
}

static int sgring_open(struct inode *inode, struct file *file)
{
	struct sgring_stream *s = container_of(inode->i_cdev, struct sgring_stream, cdev);
	struct sgring_file *f;

	f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);
	if (!f)
		return -ENOMEM;
	if (mutex_lock_killable(&s->mutex)) {
		kfree(f);
		return -EINTR;
	}
	if (sgring_is_dead(s)) {
		mutex_unlock(&s->mutex);
		kfree(f);
		return -ENODEV;
	}
	f->stream = s;
	f->mapping = file->f_mapping;
	file->private_data = f;
	list_add_tail(&f->node, &s->files);
	get_device(&s->dev);
	mutex_unlock(&s->mutex);
	return nonseekable_open(inode, file);
}

static int sgring_release(struct inode *inode, struct file *file)
{
	struct sgring_file *f = file->private_data;
	struct sgring_stream *s = f->stream;

	sgring_lock_settled(s);
	if (s->owner == file) {
		sgring_stop(s, false, 0, 0, NULL);
		sgring_teardown(s);
	}
	list_del(&f->node);
	mutex_unlock(&s->mutex);
	kfree(f);
	put_device(&s->dev);
	return 0;
}

const struct file_operations sgring_fops = {
	.owner = THIS_MODULE,
	.open = sgring_open,
	.release = sgring_release,
	.read = sgring_fop_read,
	.poll = sgring_poll,
	.mmap = sgring_fop_mmap,
	.unlocked_ioctl = sgring_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-ioctl2: two ioctls for each slot, and as little else as can be, as a baseline; its
 * interface is in bench.h
 *
 * The way of V4L2's and IIO's buffers without the weight of either: BENCH_QUEUE gives a slot to
 * the engine, BENCH_DEQUEUE waits for one and describes it. A slot is mapped once, as a scatter
 * list of its chunks, and synced on its way to the engine and back. All slots that are queued are
 * in the engine.
 */
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/ktime.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "board.h"

#define SLOTS_MAX	1024
#define CHUNKS_MAX	16
#define CHUNK_MAX	(PAGE_SIZE << 10)

struct ioctl2;

struct slot {
	struct list_head node;		/* filled, while it waits for the application */
	struct ioctl2 *owner;
	struct page *chunks[CHUNKS_MAX];
	struct sg_table table;
	bool mapped;
	u64 sequence;
	u64 time_ns;
	enum { WITH_APPLICATION, WITH_ENGINE, FILLED } state;
};

/**
 * struct ioctl2 - a device, and what its opener has set up
 * @misc: its node
 * @chan: its channel
 * @dma_dev: the device to map for
 * @name: of the node
 * @mutex: set-up, start, and giving slots to the engine
 * @opened: by one at a time
 * @running: there may be transfers
 * @slots: setup.count of them
 * @setup: what was asked for
 * @lock: states, @filled, @sequence
 * @filled: slots for the application
 * @sequence: of the next transfer
 * @wait: for @filled
 */
struct ioctl2 {
	struct miscdevice misc;
	struct dma_chan *chan;
	struct device *dma_dev;
	char name[20];
	struct mutex mutex;		/* set-up, start, submission */
	bool opened;
	bool running;
	struct slot *slots;
	struct bench_setup setup;
	spinlock_t lock;		/* states, filled, sequence */
	struct list_head filled;
	u64 sequence;
	wait_queue_head_t wait;
};

static void ioctl2_callback(void *param)
{
	struct slot *slot = param;
	struct ioctl2 *d = slot->owner;
	unsigned long flags;

	slot->time_ns = ktime_get_ns();
	spin_lock_irqsave(&d->lock, flags);
	slot->sequence = d->sequence++;
	slot->state = FILLED;
	list_add_tail(&slot->node, &d->filled);
	spin_unlock_irqrestore(&d->lock, flags);
	wake_up_interruptible(&d->wait);
}

static int slot_submit(struct slot *slot)
{
	struct ioctl2 *d = slot->owner;
	struct dma_async_tx_descriptor *tx;
	int err;

	dma_sync_sgtable_for_device(d->dma_dev, &slot->table, DMA_FROM_DEVICE);
	tx = dmaengine_prep_slave_sg(d->chan, slot->table.sgl, slot->table.nents, DMA_DEV_TO_MEM,
				     DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
	if (!tx)
		return -EIO;
	tx->callback = ioctl2_callback;
	tx->callback_param = slot;
	slot->state = WITH_ENGINE;
	err = dma_submit_error(dmaengine_submit(tx));
	if (err) {
		slot->state = WITH_APPLICATION;
		return err;
	}
	dma_async_issue_pending(d->chan);
	return 0;
}

static int ioctl2_queue(struct ioctl2 *d, unsigned int index)
{
	int err = -EINVAL;

	mutex_lock(&d->mutex);
	if (d->running && index < d->setup.count && d->slots[index].state == WITH_APPLICATION)
		err = slot_submit(&d->slots[index]);
	mutex_unlock(&d->mutex);
	return err;
}

static int ioctl2_dequeue(struct ioctl2 *d, struct bench_slot __user *to, bool nonblock)
{
	struct bench_slot told = {};
	struct slot *slot = NULL;
	int err;

	for (;;) {
		spin_lock_irq(&d->lock);
		slot = list_first_entry_or_null(&d->filled, struct slot, node);
		if (slot) {
			list_del(&slot->node);
			slot->state = WITH_APPLICATION;
		}
		spin_unlock_irq(&d->lock);
		if (slot)
			break;
		if (nonblock)
			return -EAGAIN;
		err = wait_event_interruptible(d->wait, !list_empty(&d->filled));
		if (err)
			return err;
	}
	dma_sync_sgtable_for_cpu(d->dma_dev, &slot->table, DMA_FROM_DEVICE);
	told.index = slot - d->slots;
	told.bytes = d->setup.bytes;
	told.sequence = slot->sequence;
	told.time_ns = slot->time_ns;
	return copy_to_user(to, &told, sizeof(told)) ? -EFAULT : 0;
}

/* ---- memory ------------------------------------------------------------ */

static unsigned int chunk_order(const struct ioctl2 *d)
{
	return get_order(d->setup.bytes / d->setup.chunks);
}

static void ioctl2_free(struct ioctl2 *d)
{
	unsigned int i, chunk;

	for (i = 0; i < d->setup.count; i++) {
		struct slot *slot = &d->slots[i];

		if (slot->mapped)
			dma_unmap_sgtable(d->dma_dev, &slot->table, DMA_FROM_DEVICE,
					  DMA_ATTR_SKIP_CPU_SYNC);
		sg_free_table(&slot->table);
		for (chunk = 0; chunk < d->setup.chunks; chunk++)
			if (slot->chunks[chunk])
				__free_pages(slot->chunks[chunk], chunk_order(d));
	}
	kvfree(d->slots);
	d->slots = NULL;
	d->setup.count = 0;
}

static int slot_alloc(struct slot *slot)
{
	struct ioctl2 *d = slot->owner;
	const gfp_t gfp = GFP_USER | __GFP_ZERO | __GFP_COMP | __GFP_NOWARN;
	struct scatterlist *sg;
	unsigned int i;
	int err;

	err = sg_alloc_table(&slot->table, d->setup.chunks, GFP_KERNEL);
	if (err)
		return err;
	for_each_sgtable_sg(&slot->table, sg, i) {
		slot->chunks[i] = alloc_pages(gfp, chunk_order(d));
		if (!slot->chunks[i])
			return -ENOMEM;
		sg_set_page(sg, slot->chunks[i], PAGE_SIZE << chunk_order(d), 0);
	}
	err = dma_map_sgtable(d->dma_dev, &slot->table, DMA_FROM_DEVICE, 0);
	slot->mapped = !err;
	return err;
}

static int ioctl2_alloc(struct ioctl2 *d, const struct bench_setup *setup)
{
	unsigned int i;
	int err = 0;

	d->slots = kvcalloc(setup->count, sizeof(*d->slots), GFP_KERNEL);
	if (!d->slots)
		return -ENOMEM;
	d->setup = *setup;
	for (i = 0; i < setup->count && !err; i++) {
		d->slots[i].owner = d;
		err = slot_alloc(&d->slots[i]);
		cond_resched();
	}
	if (err)
		ioctl2_free(d);
	return err;
}

static int ioctl2_setup(struct ioctl2 *d, struct bench_setup __user *to)
{
	struct bench_setup setup;
	int err = -EBUSY;
	u64 chunk;

	if (copy_from_user(&setup, to, sizeof(setup)))
		return -EFAULT;
	if (!setup.count || setup.count > SLOTS_MAX || !setup.chunks || setup.chunks > CHUNKS_MAX)
		return -EINVAL;
	chunk = div_u64(setup.bytes, setup.chunks);
	if (chunk * setup.chunks != setup.bytes || !is_power_of_2(chunk) || chunk < PAGE_SIZE ||
	    chunk > CHUNK_MAX)
		return -EINVAL;
	mutex_lock(&d->mutex);
	if (!d->slots)
		err = ioctl2_alloc(d, &setup);
	mutex_unlock(&d->mutex);
	setup.stride_bytes = setup.bytes;
	if (!err && copy_to_user(to, &setup, sizeof(setup)))
		err = -EFAULT;
	return err;
}

static int ioctl2_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct ioctl2 *d = container_of(file->private_data, struct ioctl2, misc);
	unsigned long at = vma->vm_start, page;
	unsigned int i, chunk;
	int err = 0;

	mutex_lock(&d->mutex);
	if (!d->slots || vma->vm_pgoff ||
	    vma->vm_end - vma->vm_start != d->setup.count * d->setup.bytes)
		err = -EINVAL;
	for (i = 0; !err && i < d->setup.count; i++)
		for (chunk = 0; !err && chunk < d->setup.chunks; chunk++)
			for (page = 0; !err && page < 1UL << chunk_order(d); page++) {
				err = vm_insert_page(vma, at, d->slots[i].chunks[chunk] + page);
				at += PAGE_SIZE;
			}
	vma->vm_flags |= VM_DONTCOPY | VM_DONTEXPAND;
	mutex_unlock(&d->mutex);
	return err;
}

/* ---- the device -------------------------------------------------------- */

static int ioctl2_start(struct ioctl2 *d)
{
	int err = -EBADFD;
	unsigned int i;

	mutex_lock(&d->mutex);
	if (d->slots && !d->running) {
		d->running = true;
		for (i = 0, err = 0; i < d->setup.count && !err; i++)
			err = slot_submit(&d->slots[i]);
	}
	mutex_unlock(&d->mutex);
	return err;
}

static long ioctl2_ioctl(struct file *file, unsigned int request, unsigned long argument)
{
	struct ioctl2 *d = container_of(file->private_data, struct ioctl2, misc);

	switch (request) {
	case BENCH_SETUP:
		return ioctl2_setup(d, (void __user *)argument);
	case BENCH_START:
		return ioctl2_start(d);
	case BENCH_QUEUE:
		return ioctl2_queue(d, argument);
	case BENCH_DEQUEUE:
		return ioctl2_dequeue(d, (void __user *)argument, file->f_flags & O_NONBLOCK);
	default:
		return -ENOTTY;
	}
}

static __poll_t ioctl2_poll(struct file *file, poll_table *table)
{
	struct ioctl2 *d = container_of(file->private_data, struct ioctl2, misc);

	poll_wait(file, &d->wait, table);
	return list_empty(&d->filled) ? 0 : EPOLLIN | EPOLLRDNORM;
}

static int ioctl2_open(struct inode *inode, struct file *file)
{
	struct ioctl2 *d = container_of(file->private_data, struct ioctl2, misc);
	int err;

	mutex_lock(&d->mutex);
	err = d->opened ? -EBUSY : 0;
	d->opened = true;
	mutex_unlock(&d->mutex);
	return err;
}

static int ioctl2_release(struct inode *inode, struct file *file)
{
	struct ioctl2 *d = container_of(file->private_data, struct ioctl2, misc);

	mutex_lock(&d->mutex);
	dmaengine_terminate_sync(d->chan);
	INIT_LIST_HEAD(&d->filled);
	ioctl2_free(d);
	d->sequence = 0;
	d->running = false;
	d->opened = false;
	mutex_unlock(&d->mutex);
	return 0;
}

static const struct file_operations ioctl2_fops = {
	.owner = THIS_MODULE,
	.open = ioctl2_open,
	.release = ioctl2_release,
	.unlocked_ioctl = ioctl2_ioctl,
	.poll = ioctl2_poll,
	.mmap = ioctl2_mmap,
};

static int ioctl2_probe(struct platform_device *pdev)
{
	struct ioctl2 *d = devm_kzalloc(&pdev->dev, sizeof(*d), GFP_KERNEL);
	int err;

	if (!d)
		return -ENOMEM;
	d->chan = dma_request_chan(&pdev->dev, "rx");
	if (IS_ERR(d->chan))
		return PTR_ERR(d->chan);
	d->dma_dev = dmaengine_get_dma_device(d->chan);
	mutex_init(&d->mutex);
	spin_lock_init(&d->lock);
	INIT_LIST_HEAD(&d->filled);
	init_waitqueue_head(&d->wait);
	snprintf(d->name, sizeof(d->name), "bench-ioctl2-%d", pdev->id);
	d->misc.minor = MISC_DYNAMIC_MINOR;
	d->misc.name = d->name;
	d->misc.fops = &ioctl2_fops;
	d->misc.parent = &pdev->dev;
	platform_set_drvdata(pdev, d);
	err = misc_register(&d->misc);
	if (err)
		dma_release_channel(d->chan);
	return err;
}

/* Whoever has it open has a reference to the module: nobody has. */
static int ioctl2_remove(struct platform_device *pdev)
{
	struct ioctl2 *d = platform_get_drvdata(pdev);

	misc_deregister(&d->misc);
	dma_release_channel(d->chan);
	return 0;
}

static struct platform_driver ioctl2_driver = {
	.probe = ioctl2_probe,
	.remove = ioctl2_remove,
	.driver = { .name = "bench-ioctl2", .suppress_bind_attrs = true },
};
module_board(ioctl2_driver);

MODULE_DESCRIPTION("sgring bench: two ioctls for each slot");
MODULE_LICENSE("GPL");

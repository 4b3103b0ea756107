// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-seed: the design sgring started from, as a baseline; its interface is in bench.h
 *
 * A slot is a block of 2^order pages from alloc_pages(GFP_USER), made single pages by
 * split_page(). For each transfer the block is mapped by dma_map_page() and given to the engine
 * by dmaengine_prep_slave_single(); the callback unmaps it, which hands it to the CPU. mmap
 * inserts each page by vm_insert_page(), close gives each back by __free_page(). One ioctl
 * exchanges a slot: the previous one is given back, the next one waited for. All slots the
 * driver has are queued in the engine.
 */
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "board.h"

#define SLOTS_MAX	1024
#define ORDER_MAX	10

struct slot {
	struct list_head node;		/* filled, while it waits for the application */
	struct seed *seed;
	struct page *page;
	dma_addr_t address;
	enum { WITH_APPLICATION, WITH_ENGINE, FILLED } state;
};

/**
 * struct seed - a device, and what its opener has set up
 * @misc: its node
 * @chan: its channel
 * @dma_dev: the device to map for
 * @name: of the node
 * @mutex: set-up, start, and giving slots to the engine
 * @opened: by one at a time
 * @running: there may be transfers
 * @slots: what was asked for
 * @count: of them
 * @order: of a block
 * @bytes: of a block
 * @lock: states and @filled
 * @filled: slots for the application
 * @wait: for them
 */
struct seed {
	struct miscdevice misc;
	struct dma_chan *chan;
	struct device *dma_dev;
	char name[16];
	struct mutex mutex;		/* set-up, start, submission */
	bool opened;
	bool running;
	struct slot *slots;
	unsigned int count;
	unsigned int order;
	size_t bytes;
	spinlock_t lock;		/* states, filled */
	struct list_head filled;
	wait_queue_head_t wait;
};

static void seed_callback(void *param)
{
	struct slot *slot = param;
	struct seed *s = slot->seed;
	unsigned long flags;

	dma_unmap_page(s->dma_dev, slot->address, s->bytes, DMA_FROM_DEVICE);
	spin_lock_irqsave(&s->lock, flags);
	slot->state = FILLED;
	list_add_tail(&slot->node, &s->filled);
	spin_unlock_irqrestore(&s->lock, flags);
	wake_up_interruptible(&s->wait);
}

static int slot_submit(struct slot *slot)
{
	struct seed *s = slot->seed;
	struct dma_async_tx_descriptor *tx;
	int err = -EIO;

	slot->address = dma_map_page(s->dma_dev, slot->page, 0, s->bytes, DMA_FROM_DEVICE);
	if (dma_mapping_error(s->dma_dev, slot->address))
		return -ENOMEM;
	tx = dmaengine_prep_slave_single(s->chan, slot->address, s->bytes, DMA_DEV_TO_MEM,
					 DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
	if (!tx)
		goto unmap;
	tx->callback = seed_callback;
	tx->callback_param = slot;
	slot->state = WITH_ENGINE;
	err = dma_submit_error(dmaengine_submit(tx));
	if (err)
		goto take_back;
	dma_async_issue_pending(s->chan);
	return 0;

take_back:
	slot->state = WITH_APPLICATION;
unmap:
	dma_unmap_page(s->dma_dev, slot->address, s->bytes, DMA_FROM_DEVICE);
	return err;
}

static int seed_give(struct seed *s, unsigned int index)
{
	int err = -EINVAL;

	mutex_lock(&s->mutex);
	if (s->running && index < s->count && s->slots[index].state == WITH_APPLICATION)
		err = slot_submit(&s->slots[index]);
	mutex_unlock(&s->mutex);
	return err;
}

/* The next filled slot's index. */
static int seed_take(struct seed *s, bool nonblock)
{
	struct slot *slot = NULL;
	int err;

	while (!slot) {
		spin_lock_irq(&s->lock);
		slot = list_first_entry_or_null(&s->filled, struct slot, node);
		if (slot) {
			list_del(&slot->node);
			slot->state = WITH_APPLICATION;
		}
		spin_unlock_irq(&s->lock);
		if (slot)
			break;
		if (nonblock)
			return -EAGAIN;
		err = wait_event_interruptible(s->wait, !list_empty(&s->filled));
		if (err)
			return err;
	}
	return slot - s->slots;
}

static void seed_free(struct seed *s)
{
	unsigned int i, page;

	for (i = 0; i < s->count; i++)
		for (page = 0; s->slots[i].page && page < 1U << s->order; page++)
			__free_page(s->slots[i].page + page);
	kvfree(s->slots);
	s->slots = NULL;
	s->count = 0;
}

static int seed_alloc(struct seed *s, const struct bench_setup *setup)
{
	unsigned int i;

	s->slots = kvcalloc(setup->count, sizeof(*s->slots), GFP_KERNEL);
	if (!s->slots)
		return -ENOMEM;
	s->count = setup->count;
	s->bytes = setup->bytes;
	s->order = get_order(setup->bytes);
	for (i = 0; i < s->count; i++) {
		struct slot *slot = &s->slots[i];

		slot->seed = s;
		/* Zeroed: the baseline is to be slower, not leakier. */
		slot->page = alloc_pages(GFP_USER | __GFP_ZERO | __GFP_NOWARN, s->order);
		if (!slot->page) {
			seed_free(s);
			return -ENOMEM;
		}
		split_page(slot->page, s->order);
		cond_resched();
	}
	return 0;
}

static int seed_setup(struct seed *s, struct bench_setup __user *to)
{
	struct bench_setup setup;
	int err = -EBUSY;

	if (copy_from_user(&setup, to, sizeof(setup)))
		return -EFAULT;
	if (!setup.count || setup.count > SLOTS_MAX || setup.chunks != 1 ||
	    !is_power_of_2(setup.bytes) || setup.bytes < PAGE_SIZE ||
	    setup.bytes > PAGE_SIZE << ORDER_MAX)
		return -EINVAL;
	mutex_lock(&s->mutex);
	if (!s->slots)
		err = seed_alloc(s, &setup);
	mutex_unlock(&s->mutex);
	setup.stride_bytes = setup.bytes;
	if (!err && copy_to_user(to, &setup, sizeof(setup)))
		err = -EFAULT;
	return err;
}

static int seed_start(struct seed *s)
{
	int err = -EBADFD;
	unsigned int i;

	mutex_lock(&s->mutex);
	if (s->slots && !s->running) {
		s->running = true;
		for (i = 0, err = 0; i < s->count && !err; i++)
			err = slot_submit(&s->slots[i]);
	}
	mutex_unlock(&s->mutex);
	return err;
}

static long seed_ioctl(struct file *file, unsigned int request, unsigned long argument)
{
	struct seed *s = container_of(file->private_data, struct seed, misc);
	int err = 0;

	switch (request) {
	case BENCH_SETUP:
		return seed_setup(s, (void __user *)argument);
	case BENCH_START:
		return seed_start(s);
	case BENCH_GIVE:
		return seed_give(s, argument);
	case BENCH_EXCHANGE:
		if ((int)argument >= 0)
			err = seed_give(s, argument);
		return err ?: seed_take(s, file->f_flags & O_NONBLOCK);
	default:
		return -ENOTTY;
	}
}

static __poll_t seed_poll(struct file *file, poll_table *table)
{
	struct seed *s = container_of(file->private_data, struct seed, misc);

	poll_wait(file, &s->wait, table);
	return list_empty(&s->filled) ? 0 : EPOLLIN | EPOLLRDNORM;
}

static int seed_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct seed *s = container_of(file->private_data, struct seed, misc);
	unsigned long at = vma->vm_start, page;
	unsigned int i;
	int err = 0;

	mutex_lock(&s->mutex);
	if (!s->slots || vma->vm_pgoff || vma->vm_end - vma->vm_start != s->count * s->bytes)
		err = -EINVAL;
	for (i = 0; i < s->count && !err; i++)
		for (page = 0; page < 1UL << s->order && !err; page++, at += PAGE_SIZE)
			err = vm_insert_page(vma, at, s->slots[i].page + page);
	vma->vm_flags |= VM_LOCKED | VM_DONTCOPY | VM_DONTEXPAND;
	mutex_unlock(&s->mutex);
	return err;
}

static int seed_open(struct inode *inode, struct file *file)
{
	struct seed *s = container_of(file->private_data, struct seed, misc);
	int err = 0;

	mutex_lock(&s->mutex);
	if (s->opened)
		err = -EBUSY;
	s->opened = true;
	mutex_unlock(&s->mutex);
	return err;
}

static int seed_release(struct inode *inode, struct file *file)
{
	struct seed *s = container_of(file->private_data, struct seed, misc);
	unsigned int i;

	mutex_lock(&s->mutex);
	dmaengine_terminate_sync(s->chan);
	for (i = 0; i < s->count; i++)
		if (s->slots[i].state == WITH_ENGINE)
			dma_unmap_page(s->dma_dev, s->slots[i].address, s->bytes, DMA_FROM_DEVICE);
	INIT_LIST_HEAD(&s->filled);
	seed_free(s);
	s->running = false;
	s->opened = false;
	mutex_unlock(&s->mutex);
	return 0;
}

static const struct file_operations seed_fops = {
	.owner = THIS_MODULE,
	.open = seed_open,
	.release = seed_release,
	.unlocked_ioctl = seed_ioctl,
	.poll = seed_poll,
	.mmap = seed_mmap,
};

static int seed_probe(struct platform_device *pdev)
{
	struct seed *s = devm_kzalloc(&pdev->dev, sizeof(*s), GFP_KERNEL);
	int err;

	if (!s)
		return -ENOMEM;
	s->chan = dma_request_chan(&pdev->dev, "rx");
	if (IS_ERR(s->chan))
		return PTR_ERR(s->chan);
	s->dma_dev = dmaengine_get_dma_device(s->chan);
	mutex_init(&s->mutex);
	spin_lock_init(&s->lock);
	INIT_LIST_HEAD(&s->filled);
	init_waitqueue_head(&s->wait);
	snprintf(s->name, sizeof(s->name), "bench-seed%d", pdev->id);
	s->misc.minor = MISC_DYNAMIC_MINOR;
	s->misc.name = s->name;
	s->misc.fops = &seed_fops;
	s->misc.parent = &pdev->dev;
	platform_set_drvdata(pdev, s);
	err = misc_register(&s->misc);
	if (err)
		dma_release_channel(s->chan);
	return err;
}

/* Whoever has it open has a reference to the module: nobody has. */
static int seed_remove(struct platform_device *pdev)
{
	struct seed *s = platform_get_drvdata(pdev);

	misc_deregister(&s->misc);
	dma_release_channel(s->chan);
	return 0;
}

static struct platform_driver seed_driver = {
	.probe = seed_probe,
	.remove = seed_remove,
	.driver = { .name = "bench-seed", .suppress_bind_attrs = true },
};
module_board(seed_driver);

MODULE_DESCRIPTION("sgring bench: the seed's design");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-engine: a DMA engine that moves nothing and measures its clients
 *
 * A dmaengine provider of many channels. A transfer is over when its channel's
 * pace says so; then a tasklet calls the client back, one transfer a run, in the
 * order of submission, as the interrupt of a real engine would make it. The data
 * in the slots is never touched.
 *
 * Time is what the TSC says. Under QEMU's -icount shift=0 that is executed
 * instructions. Around each callback the TSC is read, and around each of the
 * engine's own operations; what a client spends in the engine while it is called
 * back (prep, submit, issue_pending) is the engine's, and is kept apart. So is
 * reading the TSC, and getting into an operation and out of it, both measured
 * when the module is loaded. An interrupt that comes meanwhile is counted with
 * whoever it interrupts.
 *
 * A client's platform device asks for its channel by the name "rx"; there are
 * BENCH_STREAMS channels for each name in client_names[]: bench-sgring.0, ...
 *
 * Parameter period_ns, the pace of all channels at first (0), and below
 * /sys/kernel/debug/bench-engine/, for each channel, CLIENT.N/:
 *
 *   period_ns   a transfer is over at the end of each period; periods without one are
 *               "dry": the device has lost something. 0: as soon as the one before it is
 *               done with. May be changed at any time.
 *   phase_ns    periods begin when the clock, divided by the period, leaves so much
 *   step        written: so many transfers are over, one after the other, before
 *               the write returns; fewer if there are no more
 *   totals      read: lines of "name value"; written, anything: all back to 0
 *
 * and for all together, beside them, hold. 1: transfers are over by "step" only; 0: the periods of
 * all channels begin anew.
 *
 * Totals, all in TSC ticks or calls:
 *
 *   callbacks          transfers finished
 *   callback_ticks     in callbacks, without the engine's part
 *   inside_ticks       the engine's part of them
 *   outside_ticks      in the engine's operations otherwise: from an ioctl, a timer
 *   inside_calls, outside_calls
 *   tasklet_ticks      in the tasklet beside the callback
 *   timer_ticks        in the pace's timer
 *   dry                periods without a transfer, since the first
 *   bytes              moved, so to speak
 */
#include <linux/debugfs.h>
#include <linux/dma-mapping.h>
#include <linux/dmaengine.h>
#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/scatterlist.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <asm/msr.h>

#include "bench.h"

#define TRANSFERS	1100	/* of a channel: as many slots as any case has, and some */
#define SEGMENTS	64	/* of a transfer */

static unsigned long period_ns;
module_param(period_ns, ulong, 0444);
MODULE_PARM_DESC(period_ns, "a transfer is over after so long; 0: one after the other");

static const char * const client_names[] = {
	"bench-sgring", "bench-seed", "bench-ioctl2", "bench-v4l2", "bench-null",
};

#define CHANNELS	(ARRAY_SIZE(client_names) * BENCH_STREAMS)

/* What a real engine's driver does with a scatter list: descriptors in its memory. */
struct segment {
	u64 address;
	u64 bytes;
};

struct transfer {
	struct dma_async_tx_descriptor tx;
	struct list_head node;
	u64 bytes;
	u32 count;
	struct segment segments[SEGMENTS];
};

enum operation { PREP, SUBMIT, ISSUE, OPERATIONS };

struct totals {
	u64 callbacks;
	u64 callback_ticks;
	u64 inside_ticks;
	u64 inside_calls;
	u64 outside_ticks;
	u64 outside_calls;
	u64 tasklet_ticks;
	u64 timer_ticks;
	u64 dry;
	u64 bytes;
};

/**
 * struct channel - a channel
 * @chan: the dmaengine's
 * @name: its client's device
 * @lock: what follows, up to the tasklet
 * @free: transfers nobody has
 * @submitted: not issued
 * @active: issued
 * @period: ns; 0: one after the other
 * @phase: of the clock in a period, ns
 * @last: interrupt, ns; 0: there was none
 * @tasklet: ends one transfer
 * @timer: the interrupts; runs while there are transfers
 * @inside: a callback runs
 * @nested: ticks in our operations, meanwhile
 * @nested_calls: to them
 * @totals: for debugfs
 * @transfers: all of them, while the channel is somebody's
 */
struct channel {
	struct dma_chan chan;
	char name[24];
	spinlock_t lock;		/* lists, pace, totals */
	struct list_head free;
	struct list_head submitted;
	struct list_head active;
	u64 period;
	u64 phase;
	u64 last;
	struct tasklet_struct tasklet;
	struct hrtimer timer;
	bool inside;
	u64 nested;
	u64 nested_calls;
	struct totals totals;
	struct transfer *transfers;
};

struct engine {
	struct dma_device dma;
	struct dma_slave_map map[CHANNELS];
	struct channel channels[CHANNELS];
};

static struct platform_device *engine_device;
static struct dentry *root;
static bool hold;

/* Of two neighbouring reads; and of a call of an operation, beside what it counts itself. */
static u64 read_ticks;
static u64 call_ticks[OPERATIONS];

static struct channel *to_channel(struct dma_chan *chan)
{
	return container_of(chan, struct channel, chan);
}

/* An operation begins. */
static __always_inline u64 begin(void)
{
	u64 start = rdtsc();

	BENCH_MARK(BENCH_ENTER, BENCH_ENGINE);
	return start;
}

/* An operation that began at @start is over. */
static __always_inline void account(struct channel *c, u64 start, enum operation operation)
{
	u64 ticks = call_ticks[operation] - read_ticks - start;

	BENCH_MARK(BENCH_LEAVE, BENCH_ENGINE);
	if (c->inside) {
		c->nested_calls++;
		c->nested += ticks + rdtsc();
	} else {
		c->totals.outside_calls++;
		c->totals.outside_ticks += ticks + rdtsc();
	}
}

/* ---- operations -------------------------------------------------------- */

static dma_cookie_t engine_submit(struct dma_async_tx_descriptor *tx)
{
	u64 start = begin();
	struct channel *c = to_channel(tx->chan);
	struct transfer *t = container_of(tx, struct transfer, tx);
	unsigned long flags;
	dma_cookie_t cookie;

	spin_lock_irqsave(&c->lock, flags);
	/* What dma_cookie_assign() of drivers/dma/dmaengine.h does. */
	cookie = c->chan.cookie + 1;
	if (cookie < DMA_MIN_COOKIE)
		cookie = DMA_MIN_COOKIE;
	tx->cookie = cookie;
	c->chan.cookie = cookie;
	list_move_tail(&t->node, &c->submitted);
	spin_unlock_irqrestore(&c->lock, flags);
	account(c, start, SUBMIT);
	return cookie;
}

static struct dma_async_tx_descriptor *
engine_prep_slave_sg(struct dma_chan *chan, struct scatterlist *sgl, unsigned int count,
		     enum dma_transfer_direction direction, unsigned long tx_flags, void *context)
{
	u64 start = begin();
	struct channel *c = to_channel(chan);
	struct dma_async_tx_descriptor *tx = NULL;
	struct scatterlist *sg;
	struct transfer *t;
	unsigned long flags;
	unsigned int i;

	if (count > SEGMENTS)
		goto out;
	spin_lock_irqsave(&c->lock, flags);
	t = list_first_entry_or_null(&c->free, struct transfer, node);
	if (t)
		list_del_init(&t->node);
	spin_unlock_irqrestore(&c->lock, flags);
	if (!t)
		goto out;
	t->bytes = 0;
	t->count = count;
	for_each_sg(sgl, sg, count, i) {
		t->segments[i].address = sg_dma_address(sg);
		t->segments[i].bytes = sg_dma_len(sg);
		t->bytes += sg_dma_len(sg);
	}
	tx = &t->tx;
	memset(tx, 0, sizeof(*tx));
	dma_async_tx_descriptor_init(tx, chan);
	tx->flags = tx_flags;
	tx->tx_submit = engine_submit;
out:
	account(c, start, PREP);
	return tx;
}

/*
 * There is something to do, and nobody is about to do it: the end of the first is an interrupt.
 * While there is nothing there are no interrupts; the periods that have passed are made up for.
 */
static void go(struct channel *c)
{
	u64 period = READ_ONCE(c->period), at, over;

	if (READ_ONCE(hold) || hrtimer_is_queued(&c->timer))
		return;
	at = ktime_get_ns();
	if (period) {
		div64_u64_rem(at - READ_ONCE(c->phase), period, &over);
		at += period - over;
		if (c->last && at > c->last)
			c->totals.dry += div64_u64(at - c->last + period / 2, period) - 1;
	}
	hrtimer_start(&c->timer, ns_to_ktime(at), HRTIMER_MODE_ABS);
}

static void engine_issue_pending(struct dma_chan *chan)
{
	u64 start = begin();
	struct channel *c = to_channel(chan);
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	list_splice_tail_init(&c->submitted, &c->active);
	if (!list_empty(&c->active))
		go(c);
	spin_unlock_irqrestore(&c->lock, flags);
	account(c, start, ISSUE);
}

static enum dma_status engine_tx_status(struct dma_chan *chan, dma_cookie_t cookie,
					struct dma_tx_state *state)
{
	struct channel *c = to_channel(chan);
	enum dma_status status;
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	status = dma_async_is_complete(cookie, chan->completed_cookie, chan->cookie);
	if (state) {
		state->last = chan->completed_cookie;
		state->used = chan->cookie;
		state->residue = 0;
		state->in_flight_bytes = 0;
	}
	spin_unlock_irqrestore(&c->lock, flags);
	return status;
}

static int engine_terminate_all(struct dma_chan *chan)
{
	struct channel *c = to_channel(chan);
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	list_splice_tail_init(&c->submitted, &c->free);
	list_splice_tail_init(&c->active, &c->free);
	c->last = 0;
	spin_unlock_irqrestore(&c->lock, flags);
	return 0;
}

static void engine_synchronize(struct dma_chan *chan)
{
	struct channel *c = to_channel(chan);

	hrtimer_cancel(&c->timer);
	tasklet_kill(&c->tasklet);
}

static int engine_alloc_chan_resources(struct dma_chan *chan)
{
	struct channel *c = to_channel(chan);
	unsigned int i;

	c->transfers = kvcalloc(TRANSFERS, sizeof(*c->transfers), GFP_KERNEL);
	if (!c->transfers)
		return -ENOMEM;
	for (i = 0; i < TRANSFERS; i++)
		list_add_tail(&c->transfers[i].node, &c->free);
	chan->cookie = DMA_MIN_COOKIE;
	chan->completed_cookie = DMA_MIN_COOKIE;
	return 0;
}

/* Whoever releases a channel has ended its transfers, and freed or submitted what it prepared. */
static void engine_free_chan_resources(struct dma_chan *chan)
{
	struct channel *c = to_channel(chan);

	engine_terminate_all(chan);
	engine_synchronize(chan);
	INIT_LIST_HEAD(&c->free);
	kvfree(c->transfers);
	c->transfers = NULL;
}

/* ---- the end of transfers ---------------------------------------------- */

static enum hrtimer_restart pace(struct hrtimer *timer)
{
	u64 start = rdtsc();
	struct channel *c = container_of(timer, struct channel, timer);
	enum hrtimer_restart again = HRTIMER_NORESTART;
	u64 period = READ_ONCE(c->period);

	spin_lock(&c->lock);
	c->last = ktime_to_ns(hrtimer_get_expires(timer));
	if (!list_empty(&c->active))
		tasklet_schedule(&c->tasklet);
	/* Of what is left when this one is done. */
	if (period && !READ_ONCE(hold) && !list_empty(&c->active) &&
	    !list_is_singular(&c->active)) {
		hrtimer_forward_now(timer, ns_to_ktime(period));
		again = HRTIMER_RESTART;
	}
	c->totals.timer_ticks += rdtsc() - start;
	spin_unlock(&c->lock);
	return again;
}

static void call_back(struct channel *c, const struct dma_async_tx_descriptor *tx)
{
	const struct dmaengine_result result = { .result = DMA_TRANS_NOERROR };
	dma_async_tx_callback callback = tx->callback;
	dma_async_tx_callback_result callback_result = tx->callback_result;
	void *param = tx->callback_param;
	u64 start, end;

	c->nested = 0;
	c->nested_calls = 0;
	c->inside = true;
	BENCH_MARK(BENCH_ENTER, BENCH_CALLBACK);
	start = rdtsc();
	if (callback_result)
		callback_result(param, &result);
	else if (callback)
		callback(param);
	end = rdtsc();
	BENCH_MARK(BENCH_LEAVE, BENCH_CALLBACK);
	c->inside = false;
	c->totals.callbacks++;
	c->totals.callback_ticks += end - start - read_ticks - c->nested;
	c->totals.inside_ticks += c->nested;
	c->totals.inside_calls += c->nested_calls;
}

static void end_transfer(struct tasklet_struct *tasklet)
{
	u64 start = rdtsc();
	struct channel *c = from_tasklet(c, tasklet, tasklet);
	u64 before = c->totals.callback_ticks + c->totals.inside_ticks;
	struct transfer *t;

	spin_lock_irq(&c->lock);
	t = list_first_entry_or_null(&c->active, struct transfer, node);
	if (t) {
		list_del_init(&t->node);
		c->chan.completed_cookie = t->tx.cookie;
		c->totals.bytes += t->bytes;
	}
	spin_unlock_irq(&c->lock);
	if (!t)
		return;
	call_back(c, &t->tx);
	spin_lock_irq(&c->lock);
	list_add(&t->node, &c->free);
	if (!list_empty(&c->active))
		go(c);
	c->totals.tasklet_ticks += rdtsc() - start -
				   (c->totals.callback_ticks + c->totals.inside_ticks - before);
	spin_unlock_irq(&c->lock);
}

/* ---- debugfs ----------------------------------------------------------- */

static int set_pace(struct channel *c, u64 *what, u64 value)
{
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	WRITE_ONCE(*what, value);
	c->last = 0;
	if (!list_empty(&c->active))
		go(c);
	spin_unlock_irqrestore(&c->lock, flags);
	return 0;
}

static int period_get(void *data, u64 *value)
{
	*value = READ_ONCE(((struct channel *)data)->period);
	return 0;
}

static int period_set(void *data, u64 value)
{
	struct channel *c = data;

	/* What begins now has the new period. */
	hrtimer_cancel(&c->timer);
	return set_pace(c, &c->period, value);
}
DEFINE_DEBUGFS_ATTRIBUTE(period_fops, period_get, period_set, "%llu\n");

static int phase_get(void *data, u64 *value)
{
	*value = READ_ONCE(((struct channel *)data)->phase);
	return 0;
}

static int phase_set(void *data, u64 value)
{
	struct channel *c = data;

	hrtimer_cancel(&c->timer);
	return set_pace(c, &c->phase, value);
}
DEFINE_DEBUGFS_ATTRIBUTE(phase_fops, phase_get, phase_set, "%llu\n");

static int hold_get(void *data, u64 *value)
{
	*value = READ_ONCE(hold);
	return 0;
}

static int hold_set(void *data, u64 value)
{
	struct engine *e = data;
	unsigned int i;

	WRITE_ONCE(hold, value);
	for (i = 0; i < CHANNELS; i++) {
		struct channel *c = &e->channels[i];
		unsigned long flags;

		spin_lock_irqsave(&c->lock, flags);
		c->last = 0;
		if (!list_empty(&c->active))
			go(c);
		spin_unlock_irqrestore(&c->lock, flags);
	}
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(hold_fops, hold_get, hold_set, "%llu\n");

static int step_set(void *data, u64 value)
{
	struct channel *c = data;

	for (; value && !list_empty(&c->active); value--) {
		local_bh_disable();
		tasklet_schedule(&c->tasklet);
		local_bh_enable();
	}
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(step_fops, NULL, step_set, "%llu\n");

static int totals_show(struct seq_file *out, void *unused)
{
	struct channel *c = out->private;
	struct totals t;

	spin_lock_irq(&c->lock);
	t = c->totals;
	spin_unlock_irq(&c->lock);
	seq_printf(out, "callbacks %llu\ncallback_ticks %llu\n", t.callbacks, t.callback_ticks);
	seq_printf(out, "inside_calls %llu\ninside_ticks %llu\n", t.inside_calls, t.inside_ticks);
	seq_printf(out, "outside_calls %llu\noutside_ticks %llu\n",
		   t.outside_calls, t.outside_ticks);
	seq_printf(out, "tasklet_ticks %llu\ntimer_ticks %llu\n", t.tasklet_ticks, t.timer_ticks);
	seq_printf(out, "dry %llu\nbytes %llu\n", t.dry, t.bytes);
	return 0;
}

static int totals_open(struct inode *inode, struct file *file)
{
	return single_open(file, totals_show, inode->i_private);
}

static ssize_t totals_write(struct file *file, const char __user *from, size_t bytes, loff_t *pos)
{
	struct channel *c = file_inode(file)->i_private;

	spin_lock_irq(&c->lock);
	memset(&c->totals, 0, sizeof(c->totals));
	spin_unlock_irq(&c->lock);
	return bytes;
}

static const struct file_operations totals_fops = {
	.owner = THIS_MODULE,
	.open = totals_open,
	.read = seq_read,
	.write = totals_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static void channel_debugfs(struct channel *c)
{
	struct dentry *dir = debugfs_create_dir(c->name, root);

	debugfs_create_file_unsafe("period_ns", 0600, dir, c, &period_fops);
	debugfs_create_file_unsafe("phase_ns", 0600, dir, c, &phase_fops);
	debugfs_create_file_unsafe("step", 0200, dir, c, &step_fops);
	debugfs_create_file("totals", 0600, dir, c, &totals_fops);
}

/* ---- what measuring costs ---------------------------------------------- */

static struct dma_async_tx_descriptor *prep_once(struct channel *c, struct scatterlist *sg)
{
	return dmaengine_prep_slave_sg(&c->chan, sg, 1, DMA_DEV_TO_MEM,
				       DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
}

/*
 * Once to warm up, once for good: what a client sees of an operation, less what the
 * operation has counted. Nobody else has a channel yet.
 */
static int calibrate(struct channel *c)
{
	struct dma_async_tx_descriptor *tx;
	struct scatterlist sg;
	u64 start, middle, end;
	int i, err;

	sg_init_table(&sg, 1);
	sg_dma_address(&sg) = PAGE_SIZE;
	sg_dma_len(&sg) = PAGE_SIZE;
	err = engine_alloc_chan_resources(&c->chan);
	if (err)
		return err;
	hold = true;
	c->inside = true;
	for (i = 0; i < 2; i++) {
		memset(call_ticks, 0, sizeof(call_ticks));
		local_irq_disable();
		start = rdtsc();
		barrier();
		middle = rdtsc();
		read_ticks = middle - start;

		c->nested = 0;
		start = rdtsc();
		tx = prep_once(c, &sg);
		end = rdtsc();
		call_ticks[PREP] = end - start - read_ticks - c->nested;

		c->nested = 0;
		start = rdtsc();
		dmaengine_submit(tx);
		end = rdtsc();
		call_ticks[SUBMIT] = end - start - read_ticks - c->nested;

		c->nested = 0;
		start = rdtsc();
		dma_async_issue_pending(&c->chan);
		end = rdtsc();
		call_ticks[ISSUE] = end - start - read_ticks - c->nested;
		local_irq_enable();
		engine_terminate_all(&c->chan);
	}
	c->inside = false;
	hold = false;
	memset(&c->totals, 0, sizeof(c->totals));
	engine_free_chan_resources(&c->chan);
	return 0;
}

/* ---- the engine comes and goes ----------------------------------------- */

static bool engine_filter(struct dma_chan *chan, void *name)
{
	return !strcmp(to_channel(chan)->name, name);
}

static void channel_init(struct engine *e, unsigned int i)
{
	struct channel *c = &e->channels[i];

	snprintf(c->name, sizeof(c->name), "%s.%u", client_names[i / BENCH_STREAMS],
		 i % BENCH_STREAMS);
	spin_lock_init(&c->lock);
	INIT_LIST_HEAD(&c->free);
	INIT_LIST_HEAD(&c->submitted);
	INIT_LIST_HEAD(&c->active);
	c->period = period_ns;
	tasklet_setup(&c->tasklet, end_transfer);
	hrtimer_init(&c->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS);
	c->timer.function = pace;
	c->chan.device = &e->dma;
	list_add_tail(&c->chan.device_node, &e->dma.channels);
	e->map[i].devname = c->name;
	e->map[i].slave = "rx";
	e->map[i].param = c->name;
}

static int engine_probe(struct platform_device *pdev)
{
	struct dma_device *d;
	struct engine *e;
	unsigned int i;
	int err;

	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	dma_set_max_seg_size(&pdev->dev, U32_MAX);
	e = kvzalloc(sizeof(*e), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	d = &e->dma;
	d->dev = &pdev->dev;
	INIT_LIST_HEAD(&d->channels);
	for (i = 0; i < CHANNELS; i++)
		channel_init(e, i);
	dma_cap_set(DMA_SLAVE, d->cap_mask);
	dma_cap_set(DMA_PRIVATE, d->cap_mask);
	d->directions = BIT(DMA_DEV_TO_MEM);
	d->src_addr_widths = BIT(DMA_SLAVE_BUSWIDTH_8_BYTES);
	d->dst_addr_widths = BIT(DMA_SLAVE_BUSWIDTH_8_BYTES);
	d->residue_granularity = DMA_RESIDUE_GRANULARITY_DESCRIPTOR;
	d->filter.map = e->map;
	d->filter.mapcnt = CHANNELS;
	d->filter.fn = engine_filter;
	d->device_alloc_chan_resources = engine_alloc_chan_resources;
	d->device_free_chan_resources = engine_free_chan_resources;
	d->device_prep_slave_sg = engine_prep_slave_sg;
	d->device_issue_pending = engine_issue_pending;
	d->device_tx_status = engine_tx_status;
	d->device_terminate_all = engine_terminate_all;
	d->device_synchronize = engine_synchronize;
	err = calibrate(&e->channels[0]);
	if (!err)
		err = dma_async_device_register(d);
	if (err) {
		kvfree(e);
		return err;
	}
	platform_set_drvdata(pdev, e);
	dev_info(&pdev->dev, "reading the TSC %llu, calls %llu %llu %llu ticks\n", read_ticks,
		 call_ticks[PREP], call_ticks[SUBMIT], call_ticks[ISSUE]);
	for (i = 0; i < CHANNELS; i++)
		channel_debugfs(&e->channels[i]);
	debugfs_create_file_unsafe("hold", 0600, root, e, &hold_fops);
	return 0;
}

/* Clients have a reference to this module while they have a channel. */
static int engine_remove(struct platform_device *pdev)
{
	struct engine *e = platform_get_drvdata(pdev);

	debugfs_remove_recursive(root);
	dma_async_device_unregister(&e->dma);
	kvfree(e);
	return 0;
}

static struct platform_driver engine_driver = {
	.probe = engine_probe,
	.remove = engine_remove,
	.driver = {
		.name = "bench-engine",
		.suppress_bind_attrs = true,
	},
};

static int __init bench_engine_init(void)
{
	const struct platform_device_info info = {
		.name = "bench-engine",
		.id = PLATFORM_DEVID_NONE,
		.dma_mask = DMA_BIT_MASK(64),
	};
	int err;

	root = debugfs_create_dir("bench-engine", NULL);
	err = platform_driver_register(&engine_driver);
	if (err)
		goto remove;
	engine_device = platform_device_register_full(&info);
	if (!IS_ERR(engine_device))
		return 0;
	err = PTR_ERR(engine_device);
	platform_driver_unregister(&engine_driver);
remove:
	debugfs_remove_recursive(root);
	return err;
}

static void __exit bench_engine_exit(void)
{
	platform_device_unregister(engine_device);
	platform_driver_unregister(&engine_driver);
}

module_init(bench_engine_init);
module_exit(bench_engine_exit);

MODULE_DESCRIPTION("sgring bench: a DMA engine that measures its clients");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: the dmaengine provider: what a client may ask of a channel
 *
 * Owns struct dummy_engine and the operations of its dma_device; the dmaengine
 * core and clients call them, prep, submit, issue and status in any context. It is
 * as strict as hardware: it sees DMA addresses and lengths, and a request that
 * breaks a rule is refused, counted and told. Each operation takes the channel's
 * lock for itself.
 *
 * The engine's memory goes with the last user of the dma_device, its threads and
 * tasklets when it is unbound.
 */
#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "../compat.h"
#include "engine.h"

static void violation(struct dummy_channel *c, const char *what, u64 value, u64 limit)
{
	atomic64_inc(&c->line->faults.violations);
	dev_err_ratelimited(c->engine->dma.dev, "%s: %s: %llu (0x%llx), limit %llu (0x%llx)\n",
			    c->line->label, what, value, value, limit, limit);
}

/* ---- preparing --------------------------------------------------------- */

/* What every address and length of a segment is a multiple of. */
static u32 alignment_of(struct dummy_channel *c)
{
	return max_t(u32, c->config.src_addr_width, 1) * max_t(u32, c->config.src_maxburst, 1);
}

static bool segment_is_good(struct dummy_channel *c, dma_addr_t address, u32 bytes)
{
	u32 max = READ_ONCE(c->line->faults.max_segment_bytes);
	u64 boundary = READ_ONCE(c->line->faults.boundary);
	u32 multiple = c->engine->profile->length_multiple;
	u32 alignment = alignment_of(c);
	phys_addr_t at = dma_to_phys(c->engine->dma.dev, address);
	u32 over;

	div_u64_rem(address, alignment, &over);
	if (over)
		violation(c, "segment address is not aligned", address, alignment);
	else if (!bytes)
		violation(c, "segment is empty", bytes, 1);
	else if (bytes % alignment)
		violation(c, "segment length is not aligned", bytes, alignment);
	else if (multiple && bytes % multiple)
		violation(c, "segment length is no multiple", bytes, multiple);
	else if (bytes > max)
		violation(c, "segment is too long", bytes, max);
	else if (boundary && (address ^ (address + bytes - 1)) & ~(boundary - 1))
		violation(c, "segment crosses the boundary", address, boundary);
	else if (!pfn_valid(PHYS_PFN(at)))
		violation(c, "segment is not memory", address, 0);
	else
		return true;
	return false;
}

static bool list_is_good(struct dummy_channel *c, struct scatterlist *sgl, unsigned int count,
			 u64 *bytes)
{
	u32 max = READ_ONCE(c->line->faults.max_segments);
	struct scatterlist *sg;
	unsigned int i;

	*bytes = 0;
	if (!count || (max && count > max)) {
		violation(c, "number of segments", count, max);
		return false;
	}
	for_each_sg(sgl, sg, count, i) {
		if (!segment_is_good(c, sg_dma_address(sg), sg_dma_len(sg)))
			return false;
		*bytes += sg_dma_len(sg);
	}
	if (*bytes > U32_MAX) {
		violation(c, "transfer is too long", *bytes, U32_MAX);
		return false;
	}
	return true;
}

static dma_cookie_t dummy_submit(struct dma_async_tx_descriptor *tx)
{
	struct dummy_channel *c = to_dummy_channel(tx->chan);
	struct dummy_transfer *t = to_dummy_transfer(tx);
	dma_cookie_t cookie = -EINVAL;
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	if (t->state != DUMMY_PREPARED) {
		violation(c, "submitted without being prepared, state", t->state, DUMMY_PREPARED);
		goto out;
	}
	t->state = DUMMY_QUEUED;
	t->current_segment = t->first;
	t->segment_done = 0;
	t->moved = 0;
	t->moved_segments = 0;
	t->left = t->bytes;
	t->fail_at = U64_MAX;
	t->begun = false;
	t->completed = false;
	t->result = DMA_TRANS_NOERROR;
	memset(&t->mark, 0, sizeof(t->mark));
	list_move_tail(&t->node, &c->submitted);
	/* What dma_cookie_assign() of drivers/dma/dmaengine.h does. */
	cookie = c->chan.cookie + 1;
	if (cookie < DMA_MIN_COOKIE)
		cookie = DMA_MIN_COOKIE;
	tx->cookie = cookie;
	c->chan.cookie = cookie;
out:
	spin_unlock_irqrestore(&c->lock, flags);
	return cookie;
}

static int dummy_desc_free(struct dma_async_tx_descriptor *tx)
{
	struct dummy_channel *c = to_dummy_channel(tx->chan);
	struct dummy_transfer *t = to_dummy_transfer(tx);
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	if (t->state == DUMMY_PREPARED)
		dummy_channel_put(c, t);
	else
		violation(c, "freed while in use, state", t->state, DUMMY_PREPARED);
	spin_unlock_irqrestore(&c->lock, flags);
	return 0;
}

static struct dma_async_tx_descriptor *
dummy_prep_slave_sg(struct dma_chan *chan, struct scatterlist *sgl, unsigned int count,
		    enum dma_transfer_direction direction, unsigned long tx_flags, void *context)
{
	struct dummy_channel *c = to_dummy_channel(chan);
	struct dummy_transfer *t;
	struct scatterlist *sg;
	unsigned long flags;
	unsigned int i;
	u32 segment;
	u64 bytes;

	if (direction != DMA_DEV_TO_MEM || !list_is_good(c, sgl, count, &bytes))
		return NULL;
	if (atomic_dec_if_positive(&c->line->faults.prep_fail_next) >= 0)
		return NULL;

	spin_lock_irqsave(&c->lock, flags);
	t = c->dead ? NULL : dummy_channel_get(c, count);
	spin_unlock_irqrestore(&c->lock, flags);
	if (!t)
		return NULL;
	segment = t->first;
	for_each_sg(sgl, sg, count, i) {
		c->segments[segment].address = sg_dma_address(sg);
		c->segments[segment].bytes = sg_dma_len(sg);
		segment = c->segments[segment].next;
	}
	t->bytes = bytes;
	memset(&t->tx, 0, sizeof(t->tx));
	dma_async_tx_descriptor_init(&t->tx, chan);
	t->tx.flags = tx_flags;
	t->tx.tx_submit = dummy_submit;
	t->tx.desc_free = dummy_desc_free;
	return &t->tx;
}

/* ---- running ----------------------------------------------------------- */

static void dummy_issue_pending(struct dma_chan *chan)
{
	struct dummy_channel *c = to_dummy_channel(chan);
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	dummy_channel_start(c);
	spin_unlock_irqrestore(&c->lock, flags);
	dummy_bell_ring(&c->line->bell);
}

/* How much of the transfer can be seen to be missing while it runs. */
static u32 visible_residue(struct dummy_channel *c, struct dummy_transfer *t)
{
	u64 moved = t->moved;
	u32 part;

	switch (READ_ONCE(c->line->faults.residue)) {
	case DUMMY_RESIDUE_NONE:
		return 0;
	case DUMMY_RESIDUE_BOGUS:
		return t->bytes * 2;
	}
	switch (c->engine->profile->granularity) {
	case DMA_RESIDUE_GRANULARITY_BURST:
		div_u64_rem(moved, alignment_of(c), &part);
		return t->bytes - (moved - part);
	case DMA_RESIDUE_GRANULARITY_SEGMENT:
		return t->bytes - t->moved_segments;
	default:
		return t->bytes;
	}
}

static struct dummy_transfer *find_cookie(struct dummy_channel *c, dma_cookie_t cookie)
{
	struct dummy_transfer *t;

	list_for_each_entry(t, &c->active, node)
		if (t->tx.cookie == cookie)
			return t;
	list_for_each_entry(t, &c->submitted, node)
		if (t->tx.cookie == cookie)
			return t;
	return NULL;
}

static enum dma_status dummy_tx_status(struct dma_chan *chan, dma_cookie_t cookie,
				       struct dma_tx_state *state)
{
	struct dummy_channel *c = to_dummy_channel(chan);
	struct dummy_transfer *t;
	enum dma_status status;
	unsigned long flags;
	u32 residue = 0;

	spin_lock_irqsave(&c->lock, flags);
	status = dma_async_is_complete(cookie, chan->completed_cookie, chan->cookie);
	if (status != DMA_COMPLETE) {
		t = find_cookie(c, cookie);
		/* xilinx_dma tells the residue of the last active one, whatever was asked. */
		if (c->engine->profile->flags & DUMMY_BATCH)
			t = list_empty(&c->active) ? NULL :
			    list_last_entry(&c->active, struct dummy_transfer, node);
		if (t)
			residue = visible_residue(c, t);
		if (c->paused)
			status = DMA_PAUSED;
	}
	if (state) {
		state->last = chan->completed_cookie;
		state->used = chan->cookie;
		state->residue = residue;
		state->in_flight_bytes = 0;
	}
	spin_unlock_irqrestore(&c->lock, flags);
	return status;
}

static int set_paused(struct dummy_channel *c, bool paused)
{
	unsigned long flags;

	spin_lock_irqsave(&c->lock, flags);
	c->paused = paused;
	dummy_channel_tell_room(c);
	spin_unlock_irqrestore(&c->lock, flags);
	dummy_channel_wait_bus(c);
	dummy_bell_ring(&c->line->bell);
	return 0;
}

static int dummy_pause(struct dma_chan *chan)
{
	return set_paused(to_dummy_channel(chan), true);
}

static int dummy_resume(struct dma_chan *chan)
{
	return set_paused(to_dummy_channel(chan), false);
}

static int dummy_terminate_all(struct dma_chan *chan)
{
	struct dummy_channel *c = to_dummy_channel(chan);
	struct dummy_faults *f = &c->line->faults;
	unsigned long flags;

	if (READ_ONCE(f->terminate_fail))
		return -EIO;
	spin_lock_irqsave(&c->lock, flags);
	if (dummy_wire_mid_packet(&c->line->source))
		atomic64_inc(&f->terminated_mid_packet);
	if (c->engine->profile->flags & DUMMY_DISTURBED)
		c->disturbed = true;
	c->paused = false;
	dummy_channel_abort(c);
	spin_unlock_irqrestore(&c->lock, flags);
	/* Without device_synchronize this is the last chance for data to stop. */
	if (c->engine->profile->flags & DUMMY_NO_SYNCHRONIZE)
		dummy_channel_wait_bus(c);
	return 0;
}

static void dummy_synchronize(struct dma_chan *chan)
{
	struct dummy_channel *c = to_dummy_channel(chan);

	dummy_channel_wait_bus(c);
	tasklet_kill(&c->tasklet);
}

/* ---- configuration ----------------------------------------------------- */

static int dummy_config(struct dma_chan *chan, struct dma_slave_config *config)
{
	struct dummy_channel *c = to_dummy_channel(chan);
	const struct dummy_profile *p = c->engine->profile;
	unsigned long flags;

	if (config->src_addr_width >= 32 || !(p->widths & BIT(config->src_addr_width)))
		return -EINVAL;
	if (config->src_maxburst > p->max_burst)
		return -EINVAL;
	spin_lock_irqsave(&c->lock, flags);
	c->config = *config;
	spin_unlock_irqrestore(&c->lock, flags);
	return 0;
}

static void dummy_caps(struct dma_chan *chan, struct dma_slave_caps *caps)
{
	struct dummy_faults *f = &to_dummy_channel(chan)->line->faults;

	caps->max_sg_burst = READ_ONCE(f->max_segments);
	if (READ_ONCE(f->residue) == DUMMY_RESIDUE_NONE)
		caps->residue_granularity = DMA_RESIDUE_GRANULARITY_DESCRIPTOR;
}

static int dummy_alloc_chan_resources(struct dma_chan *chan)
{
	struct dummy_channel *c = to_dummy_channel(chan);
	int err = 0;

	spin_lock_irq(&c->lock);
	if (c->dead)
		err = -ENODEV;
	else if (!list_empty(&c->active) || !list_empty(&c->submitted))
		err = -EBUSY;	/* a terminate failed, and it still runs */
	if (err)
		goto out;
	c->released = false;
	c->disturbed = false;
	c->paused = false;
	memset(&c->config, 0, sizeof(c->config));
	chan->cookie = DMA_MIN_COOKIE;
	chan->completed_cookie = DMA_MIN_COOKIE;
out:
	spin_unlock_irq(&c->lock);
	return err;
}

static void dummy_free_chan_resources(struct dma_chan *chan)
{
	struct dummy_channel *c = to_dummy_channel(chan);
	struct dummy_transfer *t, *next;

	spin_lock_irq(&c->lock);
	c->released = true;
	/* If it cannot be stopped it goes on, as hardware would, and tells nobody. */
	if (!READ_ONCE(c->line->faults.terminate_fail))
		dummy_channel_abort(c);
	list_for_each_entry_safe(t, next, &c->prepared, node)
		dummy_channel_put(c, t);
	spin_unlock_irq(&c->lock);
	dummy_channel_wait_bus(c);
	dummy_channel_drop_calls(c);
}

/**
 * dummy_engine_limits() - the limits of a line have changed
 * @line: under its lock; its engine may be unbound
 *
 * Process context. An engine's device can tell only one limit for all of its
 * channels: the lowest.
 */
void dummy_engine_limits(struct dummy_line *line)
{
	struct dummy_channel *c = line->channel;
	u64 boundary = 0, b;
	u32 max = U32_MAX;
	unsigned int i;

	if (!c)
		return;
	for (i = 0; i < c->engine->count; i++) {
		struct dummy_faults *f = &c->engine->channels[i].line->faults;

		max = min(max, READ_ONCE(f->max_segment_bytes));
		b = READ_ONCE(f->boundary);
		if (b && (!boundary || b < boundary))
			boundary = b;
	}
	dma_set_max_seg_size(c->engine->dma.dev, max);
	dma_set_seg_boundary(c->engine->dma.dev, boundary ? boundary - 1 : ULONG_MAX);
}

/* ---- binding ----------------------------------------------------------- */

static bool dummy_filter(struct dma_chan *chan, void *label)
{
	return !strcmp(to_dummy_channel(chan)->line->label, label);
}

static void engine_free(struct dummy_engine *e)
{
	unsigned int i;

	for (i = 0; i < e->count; i++)
		dummy_channel_free(&e->channels[i]);
	kfree(e);
}

static void dummy_release(struct dma_device *dma)
{
	engine_free(container_of(dma, struct dummy_engine, dma));
}

static void engine_set_lines(struct dummy_engine *e, bool bound)
{
	unsigned int i;

	for (i = 0; i < e->count; i++) {
		struct dummy_line *line = e->channels[i].line;

		mutex_lock(&line->lock);
		line->channel = bound ? &e->channels[i] : NULL;
		if (bound)
			dummy_engine_limits(line);
		mutex_unlock(&line->lock);
	}
}

static void engine_unbind(void *engine)
{
	struct dummy_engine *e = engine;
	unsigned int i;

	engine_set_lines(e, false);
	for (i = 0; i < e->count; i++)
		dummy_channel_power_off(&e->channels[i]);
	dma_async_device_unregister(&e->dma);
}

static void engine_describe(struct dummy_engine *e, struct device *dev,
			    const struct dma_slave_map *map)
{
	const struct dummy_profile *p = e->profile;
	struct dma_device *d = &e->dma;

	d->dev = dev;
	dma_cap_set(DMA_SLAVE, d->cap_mask);
	dma_cap_set(DMA_PRIVATE, d->cap_mask);
	d->directions = BIT(DMA_DEV_TO_MEM);
	d->src_addr_widths = p->widths;
	d->dst_addr_widths = p->widths;
	d->max_burst = p->max_burst;
	d->residue_granularity = p->granularity;
	d->descriptor_reuse = p->flags & DUMMY_REUSE;
	d->filter.map = map;
	d->filter.mapcnt = e->count;
	d->filter.fn = dummy_filter;
	d->device_alloc_chan_resources = dummy_alloc_chan_resources;
	d->device_free_chan_resources = dummy_free_chan_resources;
	d->device_prep_slave_sg = dummy_prep_slave_sg;
	d->device_config = dummy_config;
	d->device_caps = dummy_caps;
	d->device_issue_pending = dummy_issue_pending;
	d->device_tx_status = dummy_tx_status;
	d->device_pause = dummy_pause;
	d->device_resume = dummy_resume;
	d->device_terminate_all = dummy_terminate_all;
	if (!(p->flags & DUMMY_NO_SYNCHRONIZE))
		d->device_synchronize = dummy_synchronize;
	d->device_release = dummy_release;
	INIT_LIST_HEAD(&d->channels);
}

/**
 * dummy_engine_probe() - bind an engine
 * @data: its profile and its lines
 * @dev: its device
 *
 * Process context. Unbound by the device's managed resources.
 *
 * Return: 0 or a negative errno.
 */
int dummy_engine_probe(struct dummy_engine_data *data, struct device *dev)
{
	const struct dummy_profile *p = data->profile;
	struct dma_slave_map *map;
	struct dummy_engine *e;
	unsigned int i;
	int err;

	sgring_set_dma_coherent(dev);
	err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	map = devm_kcalloc(dev, p->channels, sizeof(*map), GFP_KERNEL);
	e = kzalloc(struct_size(e, channels, p->channels), GFP_KERNEL);
	if (!map || !e) {
		kfree(e);
		return -ENOMEM;
	}
	e->profile = p;
	e->count = p->channels;
	engine_describe(e, dev, map);
	for (i = 0; i < e->count; i++) {
		struct dummy_line *line = &data->lines[i];

		map[i].devname = line->devname;
		map[i].slave = "rx";
		map[i].param = (void *)line->label;
		err = dummy_channel_init(&e->channels[i], e, line);
		if (err)
			goto free;
		list_add_tail(&e->channels[i].chan.device_node, &e->dma.channels);
	}
	for (i = 0; i < e->count; i++) {
		err = dummy_channel_power_on(&e->channels[i]);
		if (err)
			goto power_off;
	}
	err = dma_async_device_register(&e->dma);
	if (err)
		goto power_off;
	/*
	 * Whoever holds a channel would otherwise hold this module, and that is
	 * this module's own device. Clients come before the engine by their
	 * device links instead.
	 */
	e->dma.owner = NULL;
	engine_set_lines(e, true);
	return devm_add_action_or_reset(dev, engine_unbind, e);

power_off:
	for (i = 0; i < e->count; i++)
		dummy_channel_power_off(&e->channels[i]);
free:
	engine_free(e);
	return err;
}

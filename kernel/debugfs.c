// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: /sys/kernel/debug/sgring, for those who work on the driver or an engine's
 *
 * What neither the ioctls nor sysfs tell; see ABI-debugfs-sgring. It may change
 * with any version, and nothing may depend on it. Work under the stream's
 * spinlock is bounded: a few words, or SGRING_PASS_GATED slots. Process context.
 */
#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/dmaengine.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>

#include "compat.h"
#include "debugfs.h"
#include "reaper.h"
#include "stream.h"

static struct dentry *root;

/* The account of all streams' memory. */
static int memory_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "total_bytes: %llu\n", sgring_memory_total());
	seq_printf(m, "total_bytes_max: %llu\n", sgring_memory_total_max());
	seq_printf(m, "stream_bytes_max: %llu\n", sgring_memory_stream_max());
	seq_printf(m, "held_bytes: %llu\n", sgring_reaper_bytes());
	seq_printf(m, "held_slots: %u\n", sgring_reaper_slots());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(memory);

/* What is known of the engine, and in force. */
static int engine_show(struct seq_file *m, void *unused)
{
	struct sgring_stream *s = m->private;
	const struct sgring_engine *engine = &s->engine;

	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	seq_printf(m, "driver: %s\n", sgring_engine_name(engine));
	seq_printf(m, "channel: %s\n", engine->chan ? dma_chan_name(engine->chan) : "none");
	if (engine->chan)
		seq_printf(m, "dma_device: %s\n", dev_name(engine->dma_dev));
	seq_printf(m, "quirks: 0x%x\n", engine->quirks);
	seq_printf(m, "depth_max: %u\n", engine->depth_max);
	seq_printf(m, "depth_default: %u\n", engine->depth_default);
	seq_printf(m, "align: %u\n", engine->limits.align);
	seq_printf(m, "segment_bytes: %llu\n", engine->limits.segment_bytes);
	seq_printf(m, "segments: %u\n", engine->limits.segments);
	seq_printf(m, "boundary_mask: 0x%llx\n", engine->limits.boundary_mask);
	seq_printf(m, "burst_segments: %u\n", engine->burst_segments);
	seq_printf(m, "length_known: %u\n", engine->length_known);
	seq_printf(m, "residue_known: %u\n", engine->residue_known);
	seq_printf(m, "leak: %u\n", s->leak);
	mutex_unlock(&s->mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(engine);

/* Copied under the lock, no more of them than an engine holds, and told without it. */
static int flight_show(struct seq_file *m, void *unused)
{
	static const char *const words[] = {
		[SGRING_CELL_IDLE] = "idle",
		[SGRING_CELL_SUBMITTED] = "submitted",
		[SGRING_CELL_DONE] = "done",
		[SGRING_CELL_SYNCED] = "synced",
	};
	struct sgring_stream *s = m->private;
	struct {
		struct sgring_cell cell;
		int slot;
	} *copy;
	u32 i, head, count;

	copy = kvcalloc(SGRING_QUEUE_DEPTH_MAX, sizeof(*copy), GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	spin_lock_bh(&s->lock);
	head = s->cell_head;
	count = min(sgring_inflight(s), SGRING_QUEUE_DEPTH_MAX);
	for (i = 0; i < count; i++) {
		const struct sgring_cell *cell = &s->cells[(head + i) % SGRING_CELLS];

		copy[i].cell = *cell;
		copy[i].slot = cell->slot ? (int)cell->slot->index : -1;
	}
	spin_unlock_bh(&s->lock);
	seq_puts(m, "cell slot state arm cookie length residue failed time_ns\n");
	for (i = 0; i < count; i++) {
		const struct sgring_cell *cell = &copy[i].cell;

		seq_printf(m, "%u %d %s %u %d %u %u %u %llu\n", (head + i) % SGRING_CELLS,
			   copy[i].slot, words[cell->state], cell->arm, cell->cookie,
			   cell->length, cell->residue, cell->failed,
			   cell->state == SGRING_CELL_SUBMITTED ? 0 : cell->time_ns);
	}
	kvfree(copy);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(flight);

/* The slots that have waited longest. The mutex keeps their chunks while they are counted. */
static int gate_show(struct seq_file *m, void *unused)
{
	struct sgring_stream *s = m->private;
	struct sgring_slot *copy, *slot;
	u32 i, waiting, count = 0;
	u64 now = ktime_get_ns();
	int ret = 0;

	copy = kcalloc(SGRING_PASS_GATED, sizeof(*copy), GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	if (mutex_lock_killable(&s->mutex)) {
		ret = -EINTR;
		goto out;
	}
	spin_lock_bh(&s->lock);
	waiting = s->gate.count;
	list_for_each_entry(slot, &s->gate.slots, node) {
		if (count == SGRING_PASS_GATED)
			break;
		copy[count++] = *slot;
	}
	spin_unlock_bh(&s->lock);
	seq_printf(m, "waiting: %u\n", waiting);
	seq_puts(m, "slot waited_ns told chunk chunks references mappings pinned\n");
	for (i = 0; i < count; i++) {
		struct sgring_hold hold = sgring_gate_hold(&copy[i]);

		seq_printf(m, "%u %lld %u %u %u %d %d %u\n", copy[i].index,
			   max_t(s64, now - copy[i].gate_since_ns, 0), copy[i].gate_told,
			   copy[i].gate_chunk, copy[i].chunks->count, hold.references,
			   hold.mappings, hold.pinned);
		cond_resched();
	}
	mutex_unlock(&s->mutex);
out:
	kfree(copy);
	return ret;
}
DEFINE_SHOW_ATTRIBUTE(gate);

/* How the slots, the scratch slot too, are made. */
static int chunks_show(struct seq_file *m, void *unused)
{
	struct sgring_stream *s = m->private;
	unsigned int order;

	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	seq_puts(m, "order bytes chunks\n");
	for (order = 0; s->slots && order <= SGRING_MAX_ORDER; order++)
		if (s->chunk_orders[order])
			seq_printf(m, "%u %lu %llu\n", order, PAGE_SIZE << order,
				   s->chunk_orders[order]);
	mutex_unlock(&s->mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(chunks);

/* What the pump goes by. */
static int pump_show(struct seq_file *m, void *unused)
{
	struct sgring_stream *s = m->private;

	if (mutex_lock_killable(&s->mutex))
		return -EINTR;
	spin_lock_bh(&s->lock);
	seq_printf(m, "active: %u\nrefill: %u\nflush: %u\n", s->active, s->refill, s->flush);
	seq_printf(m, "deferred: %u\nbounced: %u\nsyncs: %u\n", s->deferred, s->bounced,
		   s->syncs);
	seq_printf(m, "starved: %u\nstarved_since_ns: %llu\nidle_since_ns: %llu\n", s->starved,
		   s->starved ? s->starved_since : 0, s->idle_since);
	seq_printf(m, "sq_timer: %u\nwake_timer: %u\n", hrtimer_is_queued(&s->sq_timer),
		   hrtimer_is_queued(&s->wake_timer));
	seq_printf(m, "batch_until_ns: %lld\nannounced: %u\n", ktime_to_ns(s->batch_until),
		   s->announced);
	seq_printf(m, "cq_producer: %u\nsq_consumer: %u\n", s->rings.cq_producer,
		   s->rings.sq_consumer);
	seq_printf(m, "arm: %u\ncell_head: %u\ncell_tail: %u\n", s->arm, s->cell_head,
		   s->cell_tail);
	seq_printf(m, "slots_free: %u\nslots_engine: %u\nslots_app: %u\nslots_gated: %u\n",
		   s->slots_free, s->slots_engine, s->slots_app, s->gate.count);
	seq_printf(m, "pass_entries: %u\ngate_whole: %u\n", s->pass_entries,
		   READ_ONCE(s->gate.whole));
	seq_printf(m, "sequence: %llu\nposition: %llu\ngap: %llu\nlost_seen: %llu\n",
		   s->sequence, s->position, s->gap, s->lost_seen);
	spin_unlock_bh(&s->lock);
	mutex_unlock(&s->mutex);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(pump);

/* It has a name, and a node. Nothing depends on whether this works. */
void sgring_debugfs_add(struct sgring_stream *s)
{
	struct dentry *dir = debugfs_create_dir(dev_name(&s->dev), root);

	debugfs_create_file("engine", 0400, dir, s, &engine_fops);
	debugfs_create_file("flight", 0400, dir, s, &flight_fops);
	debugfs_create_file("gate", 0400, dir, s, &gate_fops);
	debugfs_create_file("chunks", 0400, dir, s, &chunks_fops);
	debugfs_create_file("pump", 0400, dir, s, &pump_fops);
	s->debugfs = dir;
}

/* Not under the mutex: it waits for those who read, and they for the mutex. */
void sgring_debugfs_remove(struct sgring_stream *s)
{
	debugfs_remove_recursive(s->debugfs);
	s->debugfs = NULL;
}

/* Once, when the module comes. */
void sgring_debugfs_init(void)
{
	root = debugfs_create_dir("sgring", NULL);
	debugfs_create_file("memory", 0400, root, NULL, &memory_fops);
}

/* Once, when it goes. */
void sgring_debugfs_exit(void)
{
	debugfs_remove_recursive(root);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: the bench: a directory of knobs and counters for each line
 *
 * Owns /sys/kernel/debug/sgring-dummy/LABEL/. Process context; each file does one
 * thing through the half it belongs to. -ERANGE: beyond its limit; -EBUSY: not
 * while transfers are queued, or while the device runs; -ENODEV: the engine is
 * unbound.
 */
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/string.h>

#include "device.h"
#include "engine.h"

static struct dentry *root;

/* ---- numbers ----------------------------------------------------------- */

enum knob_kind {
	KNOB_RATE,
	KNOB_FIFO_BYTES,
	KNOB_PACKET_BYTES,
	KNOB_PACKET_JITTER,
	KNOB_STREAM,
	KNOB_STOP_ENDS_PACKET,
	KNOB_WIDTH,
	KNOB_BURST,
	KNOB_FAIL_NEXT,
	KNOB_FAIL_AFTER_BYTES,
	KNOB_PREP_FAIL_NEXT,
	KNOB_DUPLICATE_NEXT,
	KNOB_REORDER_NEXT,
	KNOB_LATE_NEXT,
	KNOB_STALL,
	KNOB_HOLD_COMPLETION,
	KNOB_TERMINATE_FAIL,
	KNOB_PACKET_ENDS,
	KNOB_DESCRIPTORS,
	KNOB_MAX_SEGMENTS,
	KNOB_MAX_SEGMENT_BYTES,
	KNOB_BOUNDARY,
	KNOB_PRODUCED,
	KNOB_DELIVERED,
	KNOB_OVERFLOWED_BYTES,
	KNOB_OVERFLOWS,
	KNOB_TRANSFERS,
	KNOB_CALLBACKS,
	KNOB_VIOLATIONS,
	KNOB_TERMINATED_MID_PACKET,
	KNOB_QUEUED,
	KNOBS,
};

#define KNOBS_WRITABLE	KNOB_PRODUCED

static const char * const knob_names[KNOBS] = {
	[KNOB_RATE] = "rate",
	[KNOB_FIFO_BYTES] = "fifo_bytes",
	[KNOB_PACKET_BYTES] = "packet_bytes",
	[KNOB_PACKET_JITTER] = "packet_jitter",
	[KNOB_STREAM] = "stream",
	[KNOB_STOP_ENDS_PACKET] = "stop_ends_packet",
	[KNOB_WIDTH] = "width",
	[KNOB_BURST] = "burst",
	[KNOB_FAIL_NEXT] = "fail_next",
	[KNOB_FAIL_AFTER_BYTES] = "fail_after_bytes",
	[KNOB_PREP_FAIL_NEXT] = "prep_fail_next",
	[KNOB_DUPLICATE_NEXT] = "duplicate_next",
	[KNOB_REORDER_NEXT] = "reorder_next",
	[KNOB_LATE_NEXT] = "late_next",
	[KNOB_STALL] = "stall",
	[KNOB_HOLD_COMPLETION] = "hold_completion",
	[KNOB_TERMINATE_FAIL] = "terminate_fail",
	[KNOB_PACKET_ENDS] = "packet_ends",
	[KNOB_DESCRIPTORS] = "descriptors",
	[KNOB_MAX_SEGMENTS] = "max_segments",
	[KNOB_MAX_SEGMENT_BYTES] = "max_segment_bytes",
	[KNOB_BOUNDARY] = "boundary",
	[KNOB_PRODUCED] = "produced",
	[KNOB_DELIVERED] = "delivered",
	[KNOB_OVERFLOWED_BYTES] = "overflowed_bytes",
	[KNOB_OVERFLOWS] = "overflows",
	[KNOB_TRANSFERS] = "transfers",
	[KNOB_CALLBACKS] = "callbacks",
	[KNOB_VIOLATIONS] = "violations",
	[KNOB_TERMINATED_MID_PACKET] = "terminated_mid_packet",
	[KNOB_QUEUED] = "queued",
};

struct knob {
	struct dummy_line *line;
	enum knob_kind kind;
};

static struct knob knobs[DUMMY_LINES][KNOBS];

static atomic_t *countdown_of(struct dummy_line *line, enum knob_kind kind)
{
	switch (kind) {
	case KNOB_FAIL_NEXT:
		return &line->faults.fail_next;
	case KNOB_PREP_FAIL_NEXT:
		return &line->faults.prep_fail_next;
	case KNOB_DUPLICATE_NEXT:
		return &line->faults.duplicate_next;
	case KNOB_REORDER_NEXT:
		return &line->faults.reorder_next;
	case KNOB_LATE_NEXT:
		return &line->faults.late_next;
	default:
		return NULL;
	}
}

static u32 *switch_of(struct dummy_line *line, enum knob_kind kind)
{
	switch (kind) {
	case KNOB_STALL:
		return &line->faults.stall;
	case KNOB_HOLD_COMPLETION:
		return &line->faults.hold_completion;
	case KNOB_TERMINATE_FAIL:
		return &line->faults.terminate_fail;
	case KNOB_PACKET_ENDS:
		return &line->faults.packet_ends;
	default:
		return NULL;
	}
}

static int set_u32(u32 *to, u64 value, u32 min, u32 max)
{
	if (value < min || value > max)
		return -ERANGE;
	WRITE_ONCE(*to, value);
	return 0;
}

/* Limits that a client has asked for already; not while it has work queued. */
static int set_limit(struct dummy_line *line, enum knob_kind kind, u64 value)
{
	struct dummy_faults *f = &line->faults;
	int err = 0;

	mutex_lock(&line->lock);
	if (atomic_read(&f->queued))
		err = -EBUSY;
	else if (kind == KNOB_MAX_SEGMENTS)
		err = set_u32(&f->max_segments, value, 0, DUMMY_SEGMENTS);
	else if (kind == KNOB_MAX_SEGMENT_BYTES)
		err = set_u32(&f->max_segment_bytes, value, 1, line->profile->max_segment_bytes);
	else if (value && !is_power_of_2(value))
		err = -ERANGE;
	else
		WRITE_ONCE(f->boundary, value);
	if (!err)
		dummy_engine_limits(line);
	mutex_unlock(&line->lock);
	return err;
}

/*
 * The port's shape is the client's: the device is bound anew with it. That of a
 * plain FIFO is what its firmware says, be it wrong.
 */
static int set_port(struct dummy_line *line, enum knob_kind kind, u64 value)
{
	const struct dummy_profile *p = line->profile;
	int err;

	mutex_lock(&line->lock);
	if (atomic_read(&line->faults.queued))
		err = -EBUSY;
	else if (line->plain)
		err = set_u32(kind == KNOB_BURST ? &line->burst : &line->width, value, 0, U32_MAX);
	else if (kind == KNOB_BURST)
		err = set_u32(&line->burst, value, 1, p->max_burst);
	else if (value >= 32 || !(p->widths & BIT(value)))
		err = -ERANGE;
	else
		err = set_u32(&line->width, value, 1, 31);
	mutex_unlock(&line->lock);
	return err ?: device_reprobe(line->device);
}

static int knob_set(void *data, u64 value)
{
	struct knob *k = data;
	struct dummy_line *line = k->line;
	struct dummy_source *s = &line->source;
	struct dummy_faults *f = &line->faults;
	int err;

	switch (k->kind) {
	case KNOB_RATE:
		return dummy_source_set_rate(s, value);
	case KNOB_FIFO_BYTES:
		return dummy_source_set_fifo(s, value);
	case KNOB_PACKET_BYTES:
		return dummy_source_set_packet(s, value, READ_ONCE(s->packet_jitter));
	case KNOB_PACKET_JITTER:
		return dummy_source_set_packet(s, READ_ONCE(s->packet_bytes), value);
	case KNOB_STREAM:
		return dummy_source_set_stream(s, value);
	case KNOB_STOP_ENDS_PACKET:
		if (value > 1)
			return -ERANGE;
		WRITE_ONCE(s->stop_ends_packet, value);
		return 0;
	case KNOB_WIDTH:
	case KNOB_BURST:
		return set_port(line, k->kind, value);
	case KNOB_FAIL_AFTER_BYTES:
		WRITE_ONCE(f->fail_after_bytes, value);
		return 0;
	case KNOB_DESCRIPTORS:
		return set_u32(&f->descriptors, value, 1, DUMMY_SEGMENTS - 1);
	case KNOB_MAX_SEGMENTS:
	case KNOB_MAX_SEGMENT_BYTES:
	case KNOB_BOUNDARY:
		return set_limit(line, k->kind, value);
	default:
		break;
	}
	if (countdown_of(line, k->kind)) {
		if (value > INT_MAX)
			return -ERANGE;
		atomic_set(countdown_of(line, k->kind), value);
		return 0;
	}
	err = set_u32(switch_of(line, k->kind), value, 0, 1);
	dummy_bell_ring(&line->bell);
	return err;
}

static int knob_get(void *data, u64 *value)
{
	struct knob *k = data;
	struct dummy_line *line = k->line;
	struct dummy_source *s = &line->source;
	struct dummy_faults *f = &line->faults;
	struct dummy_source_counts counts;

	dummy_source_counts(s, &counts);
	switch (k->kind) {
	case KNOB_RATE:
		*value = READ_ONCE(s->rate);
		return 0;
	case KNOB_FIFO_BYTES:
		*value = READ_ONCE(s->fifo_bytes);
		return 0;
	case KNOB_PACKET_BYTES:
		*value = READ_ONCE(s->packet_bytes);
		return 0;
	case KNOB_PACKET_JITTER:
		*value = READ_ONCE(s->packet_jitter);
		return 0;
	case KNOB_STREAM:
		*value = READ_ONCE(s->stream);
		return 0;
	case KNOB_STOP_ENDS_PACKET:
		*value = READ_ONCE(s->stop_ends_packet);
		return 0;
	case KNOB_WIDTH:
		*value = READ_ONCE(line->width);
		return 0;
	case KNOB_BURST:
		*value = READ_ONCE(line->burst);
		return 0;
	case KNOB_FAIL_AFTER_BYTES:
		*value = READ_ONCE(f->fail_after_bytes);
		return 0;
	case KNOB_DESCRIPTORS:
		*value = READ_ONCE(f->descriptors);
		return 0;
	case KNOB_MAX_SEGMENTS:
		*value = READ_ONCE(f->max_segments);
		return 0;
	case KNOB_MAX_SEGMENT_BYTES:
		*value = READ_ONCE(f->max_segment_bytes);
		return 0;
	case KNOB_BOUNDARY:
		*value = READ_ONCE(f->boundary);
		return 0;
	case KNOB_PRODUCED:
		*value = counts.produced;
		return 0;
	case KNOB_DELIVERED:
		*value = counts.delivered;
		return 0;
	case KNOB_OVERFLOWED_BYTES:
		*value = counts.overflowed_bytes;
		return 0;
	case KNOB_OVERFLOWS:
		*value = counts.overflows;
		return 0;
	case KNOB_TRANSFERS:
		*value = atomic64_read(&f->transfers);
		return 0;
	case KNOB_CALLBACKS:
		*value = atomic64_read(&f->callbacks);
		return 0;
	case KNOB_VIOLATIONS:
		*value = atomic64_read(&f->violations);
		return 0;
	case KNOB_TERMINATED_MID_PACKET:
		*value = atomic64_read(&f->terminated_mid_packet);
		return 0;
	case KNOB_QUEUED:
		*value = atomic_read(&f->queued);
		return 0;
	default:
		break;
	}
	if (countdown_of(line, k->kind))
		*value = atomic_read(countdown_of(line, k->kind));
	else
		*value = READ_ONCE(*switch_of(line, k->kind));
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(knob_fops, knob_get, knob_set, "%llu\n");
DEFINE_DEBUGFS_ATTRIBUTE(counter_fops, knob_get, NULL, "%llu\n");

/* ---- words ------------------------------------------------------------- */

static const char * const source_words[] = {
	[DUMMY_PATTERN] = "pattern",
	[DUMMY_FEED] = "feed",
};

static const char * const residue_words[] = {
	[DUMMY_RESIDUE_OK] = "ok",
	[DUMMY_RESIDUE_NONE] = "none",
	[DUMMY_RESIDUE_BOGUS] = "bogus",
};

static ssize_t word_read(const char *word, char __user *to, size_t bytes, loff_t *pos)
{
	char line[16];
	int n = scnprintf(line, sizeof(line), "%s\n", word);

	return simple_read_from_buffer(to, bytes, pos, line, n);
}

static int word_write(const char * const *words, size_t count, const char __user *from,
		      size_t bytes, loff_t *pos)
{
	char line[16];
	ssize_t n = simple_write_to_buffer(line, sizeof(line) - 1, pos, from, bytes);

	if (n < 0)
		return n;
	line[n] = 0;
	return __sysfs_match_string(words, count, line);
}

static ssize_t source_read(struct file *file, char __user *to, size_t bytes, loff_t *pos)
{
	struct dummy_line *line = file_inode(file)->i_private;

	return word_read(source_words[READ_ONCE(line->source.kind)], to, bytes, pos);
}

static ssize_t source_write(struct file *file, const char __user *from, size_t bytes, loff_t *pos)
{
	struct dummy_line *line = file_inode(file)->i_private;
	int word = word_write(source_words, ARRAY_SIZE(source_words), from, bytes, pos);

	if (word < 0)
		return word;
	dummy_source_set_kind(&line->source, word);
	return bytes;
}

static ssize_t residue_read(struct file *file, char __user *to, size_t bytes, loff_t *pos)
{
	struct dummy_line *line = file_inode(file)->i_private;

	return word_read(residue_words[READ_ONCE(line->faults.residue)], to, bytes, pos);
}

static ssize_t residue_write(struct file *file, const char __user *from, size_t bytes, loff_t *pos)
{
	struct dummy_line *line = file_inode(file)->i_private;
	int word = word_write(residue_words, ARRAY_SIZE(residue_words), from, bytes, pos);

	if (word < 0)
		return word;
	WRITE_ONCE(line->faults.residue, word);
	return bytes;
}

static const struct file_operations source_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = source_read,
	.write = source_write,
	.llseek = default_llseek,
};

static const struct file_operations residue_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = residue_read,
	.write = residue_write,
	.llseek = default_llseek,
};

/* ---- directories ------------------------------------------------------- */

/**
 * dummy_bench_open() - make the directory of all
 *
 * Process context. Without debugfs the devices work and cannot be changed.
 */
void dummy_bench_open(void)
{
	root = debugfs_create_dir("sgring-dummy", NULL);
}

/**
 * dummy_bench_add() - make a line's files
 * @line: the line
 *
 * Process context.
 */
void dummy_bench_add(struct dummy_line *line)
{
	struct dentry *dir = debugfs_create_dir(line->label, root);
	unsigned int i;

	for (i = 0; i < KNOBS; i++) {
		struct knob *k = &knobs[line->index][i];

		k->line = line;
		k->kind = i;
		if (i < KNOBS_WRITABLE)
			debugfs_create_file_unsafe(knob_names[i], 0600, dir, k,
						   &knob_fops);
		else
			debugfs_create_file_unsafe(knob_names[i], 0400, dir, k,
						   &counter_fops);
	}
	debugfs_create_file("source", 0600, dir, line, &source_fops);
	debugfs_create_file("residue", 0600, dir, line, &residue_fops);
	debugfs_create_file("feed", 0200, dir, &line->source, &dummy_feed_fops);
}

/**
 * dummy_bench_close() - remove everything
 *
 * Process context; waits for files in use.
 */
void dummy_bench_close(void)
{
	debugfs_remove(root);
	root = NULL;
}

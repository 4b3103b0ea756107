/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the simulated device: data, rate, FIFO, packets, losses, faults
 *
 * It behaves as the dummy's does (kernel/dummy/source.c). Time is worked out when
 * somebody looks. Bytes for which the engine had room all the while are not lost,
 * however late the thread gets the CPU. When the FIFO overflows everything is lost
 * until it is empty; its last byte ends the packet, so that the hole lies exactly
 * between two transfers. Transfers are numbered from 0 in each epoch; faults happen
 * to one of them.
 *
 * Under the stream's lock; data is made without it.
 */
#include <unistd.h>

#include "../kernel/dummy/pattern.h"
#include "sim_stream.h"

/* Made in one go, while a stop waits. */
#define PIECE_BYTES	65536U
#define BILLION		1000000000U

/* A number that looks like chance, and is the same in every run. */
static u64 chance(u64 n)
{
	n = (n + 1) * SGRING_PATTERN_STEP;
	n = (n ^ (n >> 30)) * 0xBF58476D1CE4E5B9ULL;
	return n ^ (n >> 27);
}

static u64 next_packet_limit(const struct sgring_sim *s)
{
	u64 bytes = s->options.packet_bytes;

	if (!bytes)
		return UINT64_MAX;
	return bytes - chance(s->source.packets) % (min_of(s->options.packet_jitter, bytes - 1) + 1);
}

/* Enable the device: position 0, or the file's first byte. */
void sgring_sim_source_start(struct sgring_sim *s)
{
	struct sgring_sim_source *d = &s->source;

	/* It was stopped in the middle: from its beginning. One that has ended goes on with what follows. */
	if (d->replay && d->start_ns && !d->over)
		sgring_replay_rewind(d->replay);
	*d = (struct sgring_sim_source){
		.enabled = true,
		.fd = d->fd,
		.replay = d->replay,
		.file_bytes = d->fd < 0 ? 0 : (u64)max_of(lseek(d->fd, 0, SEEK_END), 0),
		.start_ns = s->mono_ns,
		.last_ns = s->mono_ns,
	};
	d->packet_limit = next_packet_limit(s);
}

void sgring_sim_source_stop(struct sgring_sim *s)
{
	s->source.enabled = false;
	s->source.level = 0;
}

/* Bytes of the file not taken yet. */
static u64 file_left(const struct sgring_sim *s)
{
	return s->source.file_bytes - min_of(s->source.file_bytes, s->source.position);
}

/* The file is at its end, and all of it has been taken. */
bool sgring_sim_source_ended(const struct sgring_sim *s)
{
	if (s->source.replay)
		return s->source.enabled && s->source.over;
	return s->source.fd >= 0 && s->source.enabled && !file_left(s);
}

/* Why it ended. */
s32 sgring_sim_source_status(const struct sgring_sim *s)
{
	return s->source.replay && s->source.told ? s->source.replay->entry.status : 0;
}

/* The device's time goes on to the beginning of this pass. */
void sgring_sim_source_advance(struct sgring_sim *s)
{
	struct sgring_sim_source *d = &s->source;
	u64 ns = (s->mono_ns - d->last_ns) % BILLION;
	u64 seconds = (s->mono_ns - d->last_ns) / BILLION;
	/* In parts, so that no product is too large. */
	u64 made = ns * (s->options.rate % BILLION) + d->remainder;
	u64 bytes = seconds * s->options.rate + ns * (s->options.rate / BILLION) + made / BILLION;
	u64 room, space, fit;

	d->last_ns = s->mono_ns;
	d->remainder = made % BILLION;
	if (d->fd >= 0) {
		/* A file waits; nothing is lost. */
		d->level = min_of(d->level + bytes, file_left(s));
		return;
	}
	if (d->dropping) {
		d->pending += bytes;
		return;
	}
	room = sgring_sim_inflight(s) * s->setup.slot_bytes;
	if (room)
		room -= s->cells[s->cell_head % SGRING_QUEUE_DEPTH_MAX].done;
	space = s->options.fifo_bytes + room;
	space -= min_of(space, d->level);
	fit = min_of(bytes, space);
	d->level += fit;
	if (fit == bytes)
		return;
	d->pending = bytes - fit;
	d->dropping = true;
}

/* Bytes that can be taken now; @run_ends: the packet ends after them. */
static u64 available(const struct sgring_sim *s, bool *run_ends)
{
	const struct sgring_sim_source *d = &s->source;
	u64 bytes = s->options.rate || d->dropping ? d->level : UINT64_MAX;

	*run_ends = d->dropping;
	if (d->fd < 0)
		return bytes;
	bytes = min_of(bytes, file_left(s));
	*run_ends = bytes == file_left(s);
	return bytes;
}

/* A file that cannot be read gives zeroes: what it was has been checked. */
static void make_data(const struct sgring_sim_source *d, u32 stream, unsigned char *to, size_t bytes,
		      u64 position, u32 done)
{
	int fd = d->fd;
	ssize_t n = 0;

	if (d->replay) {
		if (sgring_replay_read(d->replay, done, to, bytes))
			memset(to, 0, bytes);
		return;
	}
	if (fd < 0) {
		sgring_pattern_fill(to, bytes, sgring_pattern_key(stream), position);
		return;
	}
	while (bytes && (n = pread(fd, to, bytes, (off_t)position)) > 0) {
		to += n;
		bytes -= (size_t)n;
		position += (u64)n;
	}
	memset(to, 0, bytes);
}

/* For the transfer. Not crumbs: without the lock, and a stop waits meanwhile. */
static void fill(struct sgring_sim *s, const struct sgring_sim_cell *cell, size_t bytes, bool crumbs)
{
	unsigned char *to = sgring_sim_memory(s, cell->slot) + cell->done;
	u64 position = s->source.position;
	u32 stream = s->options.stream;	/* it may be changed meanwhile */

	if (!s->options.fill)
		return;
	if (crumbs) {
		make_data(&s->source, stream, to, bytes, position, cell->done);
		return;
	}
	s->moving = true;
	pthread_mutex_unlock(&s->lock);
	make_data(&s->source, stream, to, bytes, position, cell->done);
	pthread_mutex_lock(&s->lock);
	s->moving = false;
	pthread_cond_broadcast(&s->settled);
}

/* Where the transfer ends by itself: in its middle, if it is not beyond that yet. */
static u32 cell_limit(const struct sgring_sim *s, const struct sgring_sim_cell *cell)
{
	const struct sgring_sim_options *o = &s->options;
	u32 bytes = (u32)s->setup.slot_bytes;

	return (s->sequence == o->fail_at || s->sequence == o->short_at) &&
	       (!cell->done || cell->done < bytes / 2) ? bytes / 2 : bytes;
}

/* @bytes are in memory: of the transfer, of the packet, of the stream. */
static void moved(struct sgring_sim *s, struct sgring_sim_cell *cell, u32 bytes, u32 limit,
		  bool run_ends)
{
	struct sgring_sim_source *d = &s->source;
	bool at_limit = cell->done + bytes == limit;

	cell->done += bytes;
	cell->failed = at_limit && s->sequence == s->options.fail_at;
	d->position += bytes;
	d->packet_done += bytes;
	d->level -= min_of(d->level, bytes);
	if (d->packet_done == d->packet_limit || run_ends ||
	    (at_limit && s->sequence == s->options.short_at)) {
		cell->end_of_packet = true;
		d->packets++;
		d->packet_done = 0;
		d->packet_limit = next_packet_limit(s);
	}
	cell->complete = at_limit || cell->end_of_packet;
	if (cell->complete)
		cell->lost_bytes = d->lost;
	if (d->dropping && !d->level) {
		d->lost += d->pending;
		d->position += d->pending;
		d->pending = 0;
		d->dropping = false;
	}
}

/* How long an entry may wait for the slot it had: an application may keep one for ever. */
#define SLOT_WAIT_NS	(1ULL * BILLION)
#define SLOT_LOOK_NS	200000U

/* The next entry of what is played is the oldest transfer; false: there is none. */
static bool load(struct sgring_sim *s)
{
	struct sgring_sim_source *d = &s->source;
	const struct sgring_cqe *e = &d->replay->entry;
	int more = 1;

	/* The first of the next epoch was read already if that is how the one before ended. */
	if (d->first_ns || !d->replay->fresh || d->replay->entry.flags & SGRING_CQE_EOS)
		more = sgring_replay_next(d->replay);
	if (!more && !d->first_ns && !sgring_replay_rewind(d->replay))
		more = sgring_replay_next(d->replay);
	if (more > 0 && !d->first_ns) {
		d->first_ns = max_of(e->host_time_ns, (__u64)1);
		/* Who looked on may have come later. */
		if (!(e->flags & SGRING_CQE_GAP)) {
			s->sequence = e->sequence;
			s->position = e->position_bytes;
		}
	} else if (more > 0 && d->replay->fresh) {
		more = 0;
	}
	d->told = more > 0 && e->flags & SGRING_CQE_EOS;
	d->over = more <= 0 || d->told;
	d->loaded = !d->over;
	d->waits = false;
	return d->loaded;
}

/* When its time has come. */
static u64 due(const struct sgring_sim *s)
{
	u64 at = s->source.replay->entry.host_time_ns, first = s->source.first_ns;

	if (!s->options.speed || at <= first)
		return 0;
	return s->source.start_ns + (u64)((unsigned __int128)(at - first) * 1000 / s->options.speed);
}

/* The slot it had, if the application gives it back in time. */
static bool slot_there(struct sgring_sim *s)
{
	struct sgring_sim_source *d = &s->source;

	if (d->replay->entry.slot >= s->setup.slot_count || sgring_sim_has_scratch(s))
		return true;
	if (sgring_sim_want(s, d->replay->entry.slot))
		return true;
	if (!d->waits)
		d->waits_ns = s->mono_ns;
	d->waits = true;
	return s->mono_ns - d->waits_ns >= SLOT_WAIT_NS;
}

/* As sgring_sim_source_move(), of what is played. */
static bool play(struct sgring_sim *s, struct sgring_sim_cell *cell)
{
	struct sgring_sim_source *d = &s->source;
	const struct sgring_cqe *e = &d->replay->entry;
	u32 bytes;

	if (!d->loaded && !load(s))
		return d->over;
	if (due(s) > s->mono_ns) {
		s->device_at = due(s);
		return false;
	}
	if (!cell->done && !slot_there(s)) {
		s->device_at = s->mono_ns + SLOT_LOOK_NS;
		return false;
	}
	bytes = min_of(e->length_bytes - cell->done, PIECE_BYTES);
	if (bytes)
		fill(s, cell, bytes, false);
	cell->done += bytes;
	cell->complete = cell->done == e->length_bytes;
	if (cell->complete) {
		sgring_sim_pass(s);
		sgring_sim_pump(s);
	}
	return true;
}

/**
 * sgring_sim_source_move() - move data into the oldest transfer
 * @s: in a pass
 * @crumbs: whatever there is, without letting go of the lock; else in large
 *	pieces, and what is over is taken care of
 *
 * Return: false: nothing can be moved before device_at.
 */
bool sgring_sim_source_move(struct sgring_sim *s, bool crumbs)
{
	struct sgring_sim_cell *cell = &s->cells[s->cell_head % SGRING_QUEUE_DEPTH_MAX];
	struct sgring_sim_source *d = &s->source;
	u64 have, want, bytes;
	bool run_ends;
	u32 limit;

	s->device_at = SGRING_SIM_OFF;
	if (!d->enabled || !sgring_sim_inflight(s) || cell->complete ||
	    s->sequence >= s->options.pause_at)
		return false;
	if (d->replay)
		return play(s, cell);
	if (s->sequence == s->options.lose_at && !d->has_lost) {
		d->has_lost = true;
		d->lost += s->options.lose_bytes;
		d->position += s->options.lose_bytes;
	}
	have = available(s, &run_ends);
	limit = cell_limit(s, cell);
	want = min_of((u64)limit - cell->done, d->packet_limit - d->packet_done);
	if (d->fd >= 0)
		want = min_of(want, file_left(s));
	if (have < want && !run_ends && !crumbs) {
		s->device_at = s->mono_ns +
			       ((want - have) * BILLION - d->remainder) / s->options.rate + 1;
		return false;
	}
	bytes = min_of(have, want);
	if (s->options.fill && !crumbs)
		bytes = min_of(bytes, PIECE_BYTES);
	if (!bytes && limit)
		return false;
	fill(s, cell, (size_t)bytes, crumbs);
	moved(s, cell, (u32)bytes, limit, run_ends && bytes == have);
	if (cell->complete) {
		sgring_sim_pass(s);
		sgring_sim_pump(s);
	}
	return true;
}

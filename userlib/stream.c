/* SPDX-License-Identifier: MIT */
/* libsgring: a stream's life: open, map, arm, start, stop, close; and its figures. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "sim.h"

static int do_ioctl(struct sgring *s, unsigned long request, void *arg, const char *what)
{
	char text[128];
	int err = s->be->ioctl(s->be, s->fd, request, arg);

	if (err < 0)
		return sgring_fail(-err, "%s: %s", what, sgring_strerror(err, text, sizeof(text)));
	return err;
}

int sgring_take_options(void *mine, size_t size, const void *theirs, size_t least)
{
	const unsigned char *bytes = theirs;
	size_t given, i;

	memset(mine, 0, size);
	if (!theirs)
		return 0;
	memcpy(&given, theirs, sizeof(given));	/* both kinds begin with it */
	if (given < least)
		return sgring_fail(EINVAL, "options of %zu bytes, at least %zu expected (is size set?)",
				   given, least);
	for (i = size; i < given; i++)
		if (bytes[i])
			return sgring_fail(E2BIG, "the options have something this library does not know");
	memcpy(mine, theirs, given < size ? given : size);
	return 0;
}

static int take_options(struct sgring_options *mine, const struct sgring_options *theirs)
{
	int err = sgring_take_options(mine, sizeof(*mine), theirs,
				      offsetof(struct sgring_options, reserved) +
				      sizeof(mine->reserved));

	if (err)
		return err;
	if (mine->waiting > SGRING_SPIN || mine->reserved)
		return sgring_fail(EINVAL, "options: unknown value of %s",
				   mine->reserved ? "reserved" : "waiting");
	return 0;
}

static int set_up(struct sgring *s, const struct sgring_options *o, const char *name)
{
	char kernel_says[256] = "", text[128];
	int err;

	s->setup = (struct sgring_setup){
		.size = sizeof(s->setup),
		.flags = o->setup_flags,
		.slot_bytes = o->slot_bytes,
		.slot_count = o->slot_count,
		.direction = SGRING_CAPTURE,
		.overrun = o->overrun,
		.chunk_policy = o->chunk_policy,
		.chunk_bytes = o->chunk_bytes,
		.queue_depth = o->queue_depth,
		.wake_slots = o->wake_slots,
		.wake_usec = o->wake_usec,
		.sq_poll_usec = o->sq_poll_usec,
		.sq_idle_usec = o->sq_idle_usec,
		.clock = o->clock,
		.numa_node = o->numa_node,
		.message = (uintptr_t)kernel_says,
		.message_bytes = sizeof(kernel_says),
	};
	err = s->be->ioctl(s->be, s->fd, SGRING_SETUP, &s->setup);
	s->setup.message = 0;
	s->setup.message_bytes = 0;
	if (err >= 0)
		return 0;
	kernel_says[sizeof(kernel_says) - 1] = 0;
	return sgring_fail(-err, "%s: set-up: %s", name, kernel_says[0] ? kernel_says :
			   sgring_strerror(err, text, sizeof(text)));
}

static bool ring_fits(uint32_t entries, uint32_t stride, size_t entry, uint64_t offset,
		      uint64_t region)
{
	return entries && !(entries & (entries - 1)) && stride >= entry && !(stride % 8) &&
	       offset <= region && (uint64_t)entries * stride <= region - offset;
}

/* The library computes addresses from these numbers: see once that they make sense. */
static int check_geometry(const struct sgring_geometry *g)
{
	if (!ring_fits(g->cq_entries, g->cq_stride, sizeof(struct sgring_cqe), g->cq_offset,
		       g->kernel_bytes) ||
	    !ring_fits(g->sq_entries, g->sq_stride, sizeof(struct sgring_sqe), g->sq_offset,
		       g->user_bytes) ||
	    g->sq_entries < g->slot_count ||
	    g->table_offset > g->kernel_bytes ||
	    g->table_stride < sizeof(struct sgring_slot_info) ||
	    (uint64_t)g->slot_count * g->table_stride > g->kernel_bytes - g->table_offset ||
	    g->kernel_side + sizeof(struct sgring_kernel_side) > g->kernel_bytes ||
	    g->user_side + sizeof(struct sgring_user_side) > g->user_bytes ||
	    g->stride_bytes < g->slot_bytes || !g->slot_count ||
	    g->data_bytes / g->slot_count < g->stride_bytes)
		return sgring_fail(EPROTO, "the kernel's geometry makes no sense");
	if (g->data_bytes > SIZE_MAX)
		return sgring_fail(EFBIG, "%s of slots do not fit into this process",
				   sgring_size_text(g->data_bytes));
	return 0;
}

static int map_region(struct sgring *s, uint64_t offset, uint64_t bytes, int prot, void **where,
		      const char *what)
{
	char text[128];
	int err = s->be->map(s->be, s->fd, offset, (size_t)bytes, prot, where);

	if (err < 0)
		return sgring_fail(-err, "cannot map the %s (%s): %s", what, sgring_size_text(bytes),
				   sgring_strerror(err, text, sizeof(text)));
	return 0;
}

static int get_geometry(struct sgring *s)
{
	s->geometry = (struct sgring_geometry){ .size = sizeof(s->geometry) };
	return s->be->ioctl(s->be, s->fd, SGRING_GEOMETRY, &s->geometry);
}

/* Geometry is there: map what we may, and lay the views over it. */
static int map_all(struct sgring *s)
{
	const struct sgring_geometry *g = &s->geometry;
	struct sgring_rings *r = &s->rings;
	const struct sgring_kernel_side *kernel;
	int err = check_geometry(g);

	if (!err)
		err = map_region(s, g->kernel_offset, g->kernel_bytes, PROT_READ, &s->kernel_map,
				 "kernel side");
	if (!err && s->owner)
		err = map_region(s, g->user_offset, g->user_bytes, PROT_READ | PROT_WRITE,
				 &s->user_map, "user side");
	if (!err && s->owner)
		err = map_region(s, g->data_offset, g->data_bytes, PROT_READ | PROT_WRITE,
				 &s->data_map, "slots");
	if (err)
		return err;

	kernel = (const void *)((const char *)s->kernel_map + g->kernel_side);
	r->cq = (struct sgring_cq){
		.kernel = kernel,
		.entries = (const unsigned char *)s->kernel_map + g->cq_offset,
		.count = g->cq_entries,
		.stride = g->cq_stride,
	};
	s->mapped = true;
	if (!s->owner) {
		sgring_observe_begin(s);
		return 0;
	}
	r->cq.user = (void *)((char *)s->user_map + g->user_side);
	r->first_taken = sgring_load_relaxed(&r->cq.user->cq_consumer);
	r->cq.producer = r->first_taken;
	r->cq.consumer = r->first_taken;
	r->first_returned = sgring_load_relaxed(&r->cq.user->sq_producer);
	r->sq = (struct sgring_sq){
		.kernel = kernel,
		.user = r->cq.user,
		.entries = (unsigned char *)s->user_map + g->sq_offset,
		.count = g->sq_entries,
		.stride = g->sq_stride,
		.producer = r->first_returned,
		.consumer = sgring_load_acquire(&kernel->sq_consumer),
	};
	r->data = s->data_map;
	r->stride_bytes = g->stride_bytes;
	return 0;
}

static void release(struct sgring *s)
{
	sgring_observe_end(s);
	if (s->data_map)
		s->be->unmap(s->be, s->data_map, (size_t)s->geometry.data_bytes);
	if (s->user_map)
		s->be->unmap(s->be, s->user_map, (size_t)s->geometry.user_bytes);
	if (s->kernel_map)
		s->be->unmap(s->be, s->kernel_map, (size_t)s->geometry.kernel_bytes);
	s->be->close(s->be, s->fd);
	if (s->cancel_fd >= 0)
		close(s->cancel_fd);
	free(s->shares);
	free(s);
}

static int open_file(struct sgring **stream, const char *name, int flags,
		     const struct sgring_backend *be)
{
	char path[512], text[128];
	struct sgring *s;
	int err;

	*stream = NULL;
	if (!be->literal_names) {
		err = sgring_name_resolve(name, path, sizeof(path));
		if (err)
			return err;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return sgring_fail(ENOMEM, "no memory");
	s->be = be;
	s->cancel_fd = -1;
	s->fd = be->open(be, be->literal_names ? name : path, flags);
	if (s->fd < 0) {
		err = s->fd;
		free(s);
		if (be->literal_names)
			return err;
		return sgring_fail(-err, "%s: %s", name, sgring_strerror(err, text, sizeof(text)));
	}
	*stream = s;
	return 0;
}

static int prepare_senders(struct sgring *s)
{
	int saved = errno;

	s->shares = calloc(s->geometry.slot_count, sizeof(*s->shares));
	s->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	errno = saved;
	if (!s->shares)
		return sgring_fail(ENOMEM, "no memory");
	if (s->cancel_fd < 0)
		return sgring_fail(EMFILE, "cannot make an eventfd: too many open files?");
	return 0;
}

int sgring_open_backend(struct sgring **stream, const char *name,
			const struct sgring_options *options, const struct sgring_backend *be)
{
	struct sgring_options o;
	struct sgring *s;
	char text[128];
	int err;

	*stream = NULL;
	err = take_options(&o, options);
	if (err)
		return err;
	err = open_file(&s, name, O_RDWR, be);
	if (err)
		return err;
	s->owner = true;
	s->waiting = o.waiting;
	s->send_timeout_ms = o.send_timeout_ms ? o.send_timeout_ms : 30000;
	err = set_up(s, &o, name);
	if (!err) {
		err = get_geometry(s);
		if (err)
			sgring_fail(-err, "%s: geometry: %s", name,
				    sgring_strerror(err, text, sizeof(text)));
	}
	if (!err)
		err = map_all(s);
	if (!err)
		err = prepare_senders(s);
	if (err) {
		release(s);
		return err;
	}
	sgring_look_plain(s);
	*stream = s;
	return 0;
}

/* Who plays the kernel for a stream of that name. */
static const struct sgring_backend *backend_of(const char *name)
{
	return strncmp(name, SGRING_SIM_PREFIX, strlen(SGRING_SIM_PREFIX)) ?
	       &sgring_kernel_backend : &sgring_sim_backend;
}

int sgring_open(struct sgring **stream, const char *name, const struct sgring_options *options)
{
	return sgring_open_backend(stream, name, options, backend_of(name));
}

int sgring_observe_backend(struct sgring **stream, const char *name,
			   const struct sgring_backend *be)
{
	struct sgring *s;
	int err;

	*stream = NULL;
	err = open_file(&s, name, O_RDONLY, be);
	if (err)
		return err;
	if (!get_geometry(s)) {
		err = map_all(s);
		if (err) {
			release(s);
			return err;
		}
	}
	*stream = s;
	return 0;
}

int sgring_observe(struct sgring **stream, const char *name)
{
	return sgring_observe_backend(stream, name, backend_of(name));
}

int sgring_arm(struct sgring *s)
{
	int err = sgring_owner_only(s);

	return err ? err : do_ioctl(s, SGRING_ARM, NULL, "arm");
}

int sgring_start(struct sgring *s)
{
	int err = sgring_owner_only(s);

	return err ? err : do_ioctl(s, SGRING_START, NULL, "start");
}

int sgring_stop(struct sgring *s, uint32_t flags, uint32_t timeout_ms)
{
	struct sgring_stop stop = {
		.size = sizeof(stop), .flags = flags, .timeout_ms = timeout_ms,
	};
	int err = sgring_owner_only(s);

	if (!err)
		err = do_ioctl(s, SGRING_STOP, &stop, "stop");
	return err ? err : (int)stop.outcome;
}

int sgring_tune(struct sgring *s, struct sgring_tune *tune)
{
	int err = sgring_owner_only(s);

	tune->size = sizeof(*tune);
	return err ? err : do_ioctl(s, SGRING_TUNE, tune, "tune");
}

/*
 * Stop, if it runs; what it leaves goes to the only sender, or nowhere. So does the
 * end of the stream, also if the caller has taken that already: it is still the
 * last entry of the CQ.
 */
static int wind_up(struct sgring *s)
{
	const struct sgring_cqe *last;
	struct sgring_tx *tx = NULL;
	struct sgring_slot slot;
	int err = 0;

	switch (sgring_state(s)) {
	case SGRING_STATE_ARMED:
	case SGRING_STATE_RUNNING:
	case SGRING_STATE_STOPPING:
		err = sgring_stop(s, sgring_load_relaxed(&s->cancelled) ? 0 : SGRING_STOP_DRAIN, 0);
		if (err > 0 || err == -EBADFD)	/* it was stopped for us: suspend, unbind */
			err = 0;
		break;
	case SGRING_STATE_DEAD:
		err = sgring_fail(ENODEV, "the device is gone");
		break;
	}
	if (s->sender_count == 1 && !sgring_load_relaxed(&s->cancelled) && sgring_tx_had_all(s->senders))
		tx = s->senders;
	while (sgring_ready(s)) {
		sgring_slot_of(s, sgring_peek(s, 0), &slot);
		sgring_consume(s, 1);
		if (tx && sgring_tx_send(tx, &slot))
			tx = NULL;
	}
	last = sgring_peek(s, UINT32_MAX);
	if (tx && s->rings.ends && !sgring_tx_ended(tx) && last->flags & SGRING_CQE_EOS) {
		sgring_slot_of(s, last, &slot);
		sgring_tx_send(tx, &slot);
	}
	return err;
}

int sgring_close(struct sgring *s)
{
	int err = 0, e;

	if (!s)
		return 0;
	if (s->owner) {
		err = wind_up(s);
		while (s->senders) {
			e = sgring_tx_close(s->senders);
			err = err ? err : e;
		}
		if (!err && (s->rings.lost_bytes || s->rings.failed_slots))
			err = 1;
	}
	release(s);
	return err;
}

int sgring_fd(const struct sgring *s)
{
	return s->fd;
}

const struct sgring_setup *sgring_setup(const struct sgring *s)
{
	return s->owner ? &s->setup : NULL;
}

const struct sgring_geometry *sgring_geometry(const struct sgring *s)
{
	return s->mapped ? &s->geometry : NULL;
}

const struct sgring_slot_info *sgring_slot_info(const struct sgring *s, uint32_t index)
{
	const struct sgring_geometry *g = &s->geometry;

	if (!s->mapped || index >= g->slot_count)
		return NULL;
	return (const void *)((const char *)s->kernel_map + g->table_offset +
			      (size_t)index * g->table_stride);
}

int sgring_layout(struct sgring *s, uint32_t index, struct sgring_run *runs, uint32_t room)
{
	struct sgring_layout layout = {
		.size = sizeof(layout), .slot = index, .runs = (uintptr_t)runs, .run_room = room,
	};
	int err = do_ioctl(s, SGRING_LAYOUT, &layout, "layout");

	return err < 0 ? err : (int)layout.run_count;
}

int sgring_query_sized(struct sgring *s, struct sgring_query *query, size_t size)
{
	memset(query, 0, size);
	query->size = (__u32)size;
	return do_ioctl(s, SGRING_QUERY, query, "query");
}

int sgring_stats_sized(struct sgring *s, struct sgring_stats *stats, size_t size)
{
	memset(stats, 0, size);
	stats->size = (__u32)size;
	return do_ioctl(s, SGRING_STATS, stats, "statistics");
}

void sgring_counters_sized(const struct sgring *s, struct sgring_counters *c, size_t size)
{
	const struct sgring_counters now = {
		.slots = sgring_taken(s),
		.bytes = s->rings.end_position + s->rings.more_bytes,
		.lost_bytes = s->rings.lost_bytes,
		.failed_slots = s->rings.failed_slots,
		.returned = sgring_returned(s),
		.kicks = s->kicks,
		.polls = s->polls,
		.sender_waits = s->sender_waits,
		.send_calls = s->send_calls,
		.notify_calls = s->notify_calls,
		.held = sgring_held(s),
	};

	memset(c, 0, size);
	memcpy(c, &now, size < sizeof(now) ? size : sizeof(now));
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The library's simulator with a plan; see sim.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

static struct sim *sim_of(const struct sgring_backend *be)
{
	return (struct sim *)(uintptr_t)be;
}

static struct sgring_sim_options options_of(const struct sim *sim)
{
	const struct sim_plan *p = &sim->plan;
	struct sgring_sim_options o;

	sgring_sim_defaults(&o);
	memcpy(o.label, sim->label, sizeof(o.label));
	if (p->pace_ns)
		o.rate = (sim->stream ? sgring_setup(sim->stream)->slot_bytes : 1) * 1000000000 /
			 p->pace_ns;
	/*
	 * From registered huge pages io_uring counts an skb as large as its offset in
	 * the page: sockets with small buffers then come to a halt for long.
	 */
	o.pages = SGRING_SIM_4K;
	o.fifo_bytes = 1ULL << 40;	/* it waits, and does not lose */
	o.pause_at = p->pause_at;
	o.end_at = p->end_at;
	o.die_at = p->die_at;
	o.lose_at = p->gap_at;
	o.lose_bytes = p->gap_bytes;
	o.fail_at = p->fail_at;
	o.short_at = p->eop_at;
	o.fill = !p->no_fill;
	o.first_index = p->first_index;
	return o;
}

static int open_file(const struct sgring_backend *be, const char *path, int flags)
{
	struct sim *sim = sim_of(be);
	struct sgring_sim_options o = options_of(sim);
	int fd;

	if (strcmp(path, "sim"))
		return -ENOENT;
	if (sim->opens != sim->closes) {	/* the same stream */
		sgring_sim_defaults(&o);
		memcpy(o.label, sim->label, sizeof(o.label));
	}
	fd = sgring_sim_open(&o, flags);
	sim->opens += fd >= 0;
	if (flags == O_RDWR)
		sim->fd = fd;
	return fd;
}

/* What is in the SQ is taken at the next arm: so that all that came back is counted. */
static void last_stats(struct sim *sim)
{
	struct sgring_stop stop = { .size = sizeof(stop) };

	sgring_sim_backend.ioctl(&sim->be, sim->fd, SGRING_STOP, &stop);
	if (!sgring_sim_backend.ioctl(&sim->be, sim->fd, SGRING_ARM, NULL))
		sgring_sim_backend.ioctl(&sim->be, sim->fd, SGRING_STOP, &stop);
	sim->stats = (struct sgring_stats){ .size = sizeof(sim->stats) };
	sgring_sim_backend.ioctl(&sim->be, sim->fd, SGRING_STATS, &sim->stats);
}

static int close_file(const struct sgring_backend *be, int fd)
{
	struct sim *sim = sim_of(be);

	if (fd == sim->fd) {
		last_stats(sim);
		sim->fd = -1;
		sim->stream = NULL;
	}
	sim->closes++;
	return sgring_sim_backend.close(be, fd);
}

static int do_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	struct sim *sim = sim_of(be);
	struct sgring_setup *u = arg;
	int err;

	if (request == SGRING_SETUP && sim->plan.refuse_setup) {
		snprintf((char *)(uintptr_t)u->message, u->message_bytes,
			 "slot of 8 MiB needs 512 segments, engine takes 255");
		return -(int)sim->plan.refuse_setup;
	}
	if (request == SGRING_START)
		sim_replan(sim);
	err = sgring_sim_backend.ioctl(be, fd, request, arg);
	if (!err && request == SGRING_QUERY)	/* not the number it is found by */
		strcpy(((struct sgring_query *)arg)->label, "sim");
	return err;
}

void sim_init(struct sim *sim)
{
	static unsigned int count;

	*sim = (struct sim){
		.be = sgring_sim_backend,
		.plan = {
			.pause_at = SIM_NEVER, .end_at = SIM_NEVER, .die_at = SIM_NEVER,
			.gap_at = SIM_NEVER, .fail_at = SIM_NEVER, .eop_at = SIM_NEVER,
		},
		.fd = -1,
	};
	sim->be.open = open_file;
	sim->be.close = close_file;
	sim->be.ioctl = do_ioctl;
	snprintf(sim->label, sizeof(sim->label), "sim%u", __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED));
}

/* All memory is the stream's. */
void sim_fini(struct sim *sim)
{
	(void)sim;
}

struct sim *sim_new(void)
{
	struct sim *sim = malloc(sizeof(*sim));

	sim_init(sim);
	return sim;
}

void sim_free(struct sim *sim)
{
	sim_fini(sim);
	free(sim);
}

int sim_open(struct sim *sim, struct sgring **stream, const struct sgring_options *o)
{
	struct sgring_options mine = { .size = sizeof(mine) };
	int err;

	if (!o || (o->size == sizeof(mine) && !o->slot_bytes)) {
		if (o)
			mine = *o;
		mine.slot_bytes = 65536;
		o = &mine;
	}
	err = sgring_open_backend(stream, "sim", o, &sim->be);
	if (!err)
		sim->stream = *stream;
	return err;
}

void sim_replan(struct sim *sim)
{
	struct sgring_sim_options o = options_of(sim);

	if (sim->fd >= 0)
		sgring_sim_change(sim->fd, &o);
}

uint32_t sim_slots_in(struct sim *sim, uint32_t state)
{
	uint32_t i, n = 0;

	for (i = 0; i < sgring_geometry(sim->stream)->slot_count; i++)
		n += sgring_load_relaxed(&sgring_slot_info(sim->stream, i)->state) == state;
	return n;
}

uint32_t sim_posted(struct sgring *s)
{
	const struct sgring_cq *cq = &sgring_rings(s)->cq;

	return sgring_load_acquire(&cq->kernel->cq_producer) - (uint32_t)cq->consumer;
}

void sim_stats(struct sim *sim, struct sgring_stats *stats)
{
	*stats = (struct sgring_stats){ .size = sizeof(*stats) };
	if (sim->fd < 0 || sgring_sim_backend.ioctl(&sim->be, sim->fd, SGRING_STATS, stats))
		*stats = sim->stats;
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The driver's side of the ABI, played by a thread; see sim.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"
#include "sim.h"

static struct sim *sim_of(const struct sgring_backend *be)
{
	return (struct sim *)(uintptr_t)be;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Under the lock: wait for a kick, or so long. True: it was the time. */
static bool sleep_for(struct sim *s, uint64_t ns)
{
	uint64_t until = now_ns() + ns;
	struct timespec t = { (time_t)(until / 1000000000), (long)(until % 1000000000) };

	return pthread_cond_timedwait(&s->cond, &s->lock, &t) == ETIMEDOUT;
}

static void set_flag(struct sim *s, uint32_t flag, bool on)
{
	uint32_t flags = sgring_load_relaxed(&s->kernel->flags);

	sgring_store_release(&s->kernel->flags, on ? flags | flag : flags & ~flag);
}

static void set_state(struct sim *s, uint32_t state)
{
	s->stats.state = state;
	sgring_store_release(&s->kernel->state, state);
}

static void set_slot(struct sim *s, uint32_t slot, uint32_t state)
{
	sgring_store_release(&s->table[slot].state, state);
	s->table[slot].generation += state == SGRING_SLOT_ENGINE;
	s->table[slot].time_ns = now_ns();
}

static uint32_t in_cq(struct sim *s)
{
	return sgring_ring_used(s->cq_producer, sgring_load_acquire(&s->user->cq_consumer)); /* H */
}

static bool dead(const struct sim *s)
{
	return s->stats.state == SGRING_STATE_DEAD;
}

/* Is the device readable, as poll understands it? */
static bool batch_is_there(struct sim *s)
{
	uint32_t n = in_cq(s);

	return dead(s) || (n && (n >= s->setup.wake_slots || s->must_wake ||
				 now_ns() - s->batch_ns >= s->setup.wake_usec * 1000ULL));
}

static void wake(struct sim *s)
{
	uint64_t one = 1;

	if (s->signalled)
		return;
	s->signalled = true;
	s->stats.wakeups++;
	if (write(s->fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* Write an entry; there is room. */
static void push(struct sim *s, const struct sgring_cqe *e)
{
	if (!in_cq(s))
		s->batch_ns = now_ns();
	memcpy(s->base + s->geometry.kernel_offset + s->geometry.cq_offset +
	       sgring_ring_offset(s->cq_producer, s->geometry.cq_entries, s->geometry.cq_stride),
	       e, sizeof(*e));
	sgring_store_release(&s->kernel->cq_producer, ++s->cq_producer); /* E */
	if (batch_is_there(s))
		wake(s);
}

/* Take what the application has returned. */
static uint32_t drain(struct sim *s)
{
	uint32_t producer = sgring_load_acquire(&s->user->sq_producer); /* B */
	uint32_t n = sgring_ring_used(producer, s->sq_consumer), taken = 0;
	struct sgring_sqe e;

	if (n > s->geometry.sq_entries) {
		s->stats.index_bad++;
		return 0;
	}
	while (n--) {
		memcpy(&e, s->base + s->geometry.user_offset + s->geometry.sq_offset +
		       sgring_ring_offset(s->sq_consumer++, s->geometry.sq_entries,
					  s->geometry.sq_stride), sizeof(e));
		if (e.slot >= s->geometry.slot_count ||
		    s->table[e.slot].state != SGRING_SLOT_APP || e.flags || e.reserved ||
		    e.offset_bytes || e.length_bytes) {
			s->stats.sq_bad++;
			continue;
		}
		set_slot(s, e.slot, SGRING_SLOT_FREE);
		s->cookies[e.slot] = e.cookie;
		s->free_slots[(s->free_first + s->free_count++) % s->geometry.slot_count] = e.slot;
		taken++;
	}
	sgring_store_release(&s->kernel->sq_consumer, s->sq_consumer); /* C */
	s->stats.sq_taken += taken;
	return taken;
}

static void stop(struct sim *s, int status)
{
	struct sgring_cqe e = {
		.sequence = s->sequence,
		.position_bytes = s->position + s->pending_gap,
		.slot = SGRING_NO_SLOT,
		.flags = SGRING_CQE_EOS | (s->pending_gap ? SGRING_CQE_GAP : 0),
		.status = status,
	};

	s->pending_gap = 0;
	s->must_wake = true;
	push(s, &e);
	set_flag(s, SGRING_NEED_WAKEUP | SGRING_STARVED, false);
	set_state(s, SGRING_STATE_READY);
}

/* No slot is free: look at the SQ by a timer, then give up and ask for a kick. */
static void starve(struct sim *s)
{
	uint64_t since = now_ns();

	s->stats.stalls++;
	set_flag(s, SGRING_STARVED, true);
	s->must_wake = true;
	if (in_cq(s))
		wake(s);
	while (!s->quit && s->stats.state == SGRING_STATE_RUNNING && !drain(s)) {
		if (!s->plan.never_look && now_ns() - since < s->setup.sq_idle_usec * 1000ULL) {
			s->stats.timer_runs += sleep_for(s, s->setup.sq_poll_usec * 1000ULL);
			continue;
		}
		set_flag(s, SGRING_NEED_WAKEUP, true);	/* K */
		sgring_full_barrier();			/* L */
		if (drain(s))				/* M */
			break;
		while (!s->kicked && !s->quit && s->stats.state == SGRING_STATE_RUNNING)
			pthread_cond_wait(&s->cond, &s->lock);
		s->kicked = false;
		set_flag(s, SGRING_NEED_WAKEUP, false);
	}
	set_flag(s, SGRING_NEED_WAKEUP | SGRING_STARVED, false);
	s->stats.stalled_ns += now_ns() - since;
}

static void transfer(struct sim *s)
{
	const struct sim_plan *p = &s->plan;
	struct sgring_cqe e = { .sequence = s->sequence, .host_time_ns = now_ns() };
	uint32_t slot = s->free_slots[s->free_first];

	s->free_first = (s->free_first + 1) % s->geometry.slot_count;
	s->free_count--;
	set_slot(s, slot, SGRING_SLOT_ENGINE);
	if (s->sequence == p->gap_at)
		s->pending_gap += p->gap_bytes;
	s->position += s->pending_gap;
	e.flags = s->pending_gap ? SGRING_CQE_GAP : 0;
	s->pending_gap = 0;
	e.position_bytes = s->position;
	e.slot = slot;
	e.cookie = s->cookies[slot];
	e.length_bytes = (uint32_t)s->setup.slot_bytes;
	if (s->sequence == p->fail_at) {
		e.status = -EIO;
		e.length_bytes = 0;
	} else if (s->sequence == p->eop_at) {
		e.flags |= SGRING_CQE_EOP;
		e.length_bytes /= 2;
	}
	if (!p->no_fill)
		sgring_pattern_fill(s->base + s->geometry.data_offset +
				    slot * s->geometry.stride_bytes, e.length_bytes,
				    sgring_pattern_key(0), s->position);
	s->position += e.length_bytes;
	s->sequence++;
	s->stats.slots_done++;
	s->stats.bytes_done += e.length_bytes;
	sgring_store_release(&s->table[slot].sequence, e.sequence);
	sgring_store_release(&s->table[slot].position_bytes, e.position_bytes);
	set_slot(s, slot, SGRING_SLOT_APP);
	push(s, &e);
}

/* The device had data and there was no slot. */
static void drop(struct sim *s)
{
	s->stats.dropped_slots++;
	s->stats.dropped_bytes += s->setup.slot_bytes;
	s->pending_gap += s->setup.slot_bytes;
	s->sequence++;
}

static void *kernel_thread(void *arg)
{
	struct sim *s = arg;
	uint64_t next_ns = 0;

	pthread_mutex_lock(&s->lock);
	while (!s->quit) {
		s->kicked = false;
		if (s->stats.state != SGRING_STATE_RUNNING || s->sequence == s->plan.pause_at) {
			next_ns = 0;
			if (s->stats.state == SGRING_STATE_RUNNING) {
				/* Silence does not hold back what is there. */
				if (in_cq(s) && batch_is_there(s))
					wake(s);
				drain(s);
			}
			sleep_for(s, 1000000);
			continue;
		}
		if (s->sequence == s->plan.die_at) {
			set_state(s, SGRING_STATE_DEAD);
			set_flag(s, SGRING_DEAD, true);
			wake(s);
			continue;
		}
		if (s->sequence == s->plan.end_at) {
			stop(s, -ESHUTDOWN);
			continue;
		}
		drain(s);
		s->must_wake = false;
		if (!s->free_count && s->setup.overrun == SGRING_OVERRUN_STALL) {
			starve(s);
			continue;
		}
		if (s->plan.pace_ns) {
			if (!next_ns)
				next_ns = now_ns();
			next_ns += s->plan.pace_ns;
			while (!s->quit && s->stats.state == SGRING_STATE_RUNNING && now_ns() < next_ns) {
				if (in_cq(s) && batch_is_there(s))
					wake(s);
				sleep_for(s, next_ns - now_ns() < 200000 ? next_ns - now_ns() : 200000);
				drain(s);
			}
			if (s->stats.state != SGRING_STATE_RUNNING)
				continue;
		}
		if (s->free_count)
			transfer(s);
		else
			drop(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

static int set_up(struct sim *s, struct sgring_setup *setup)
{
	struct sgring_geometry *g = &s->geometry;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), at;
	uint32_t i;

	if (s->plan.refuse_setup) {
		snprintf((char *)(uintptr_t)setup->message, setup->message_bytes,
			 "slot of 8 MiB needs 512 segments, engine takes 255");
		return -(int)s->plan.refuse_setup;
	}
	if (!setup->slot_bytes)
		setup->slot_bytes = 65536;
	if (!setup->slot_count)
		setup->slot_count = 16;
	if (!setup->wake_slots)
		setup->wake_slots = setup->slot_count / 8 ? setup->slot_count / 8 : 1;
	if (!setup->wake_usec)
		setup->wake_usec = 1000;
	if (!setup->sq_poll_usec)
		setup->sq_poll_usec = 500;
	if (!setup->sq_idle_usec)
		setup->sq_idle_usec = 100000;
	s->setup = *setup;

	g->slot_count = setup->slot_count;
	g->slot_bytes = setup->slot_bytes;
	g->stride_bytes = round_up(setup->slot_bytes, page);
	g->cq_entries = power_of_two(2 * setup->slot_count);
	g->cq_stride = sizeof(struct sgring_cqe) + s->plan.extra_stride;
	g->sq_entries = power_of_two(setup->slot_count);
	g->sq_stride = sizeof(struct sgring_sqe) + s->plan.extra_stride;
	at = sizeof(struct sgring_kernel_side);
	g->cq_offset = (uint32_t)at;
	at += (uint64_t)g->cq_entries * g->cq_stride;
	g->table_offset = (uint32_t)at;
	g->table_stride = sizeof(struct sgring_slot_info);
	at += (uint64_t)g->slot_count * g->table_stride;
	g->kernel_bytes = round_up(at, page);
	g->sq_offset = sizeof(struct sgring_user_side);
	g->user_offset = g->kernel_bytes;
	g->user_bytes = round_up(g->sq_offset + (uint64_t)g->sq_entries * g->sq_stride, page);
	g->data_offset = g->user_offset + g->user_bytes;
	g->observer_data_offset = g->data_offset;
	g->data_bytes = g->stride_bytes * g->slot_count;
	g->chunk_bytes_max = g->chunk_bytes_min = page;
	g->segments = 1;

	s->bytes = g->data_offset + g->data_bytes;
	s->memfd = memfd_create("sim", MFD_CLOEXEC);
	if (s->memfd < 0 || ftruncate(s->memfd, (off_t)s->bytes))
		return -errno;
	s->base = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->memfd, 0);
	if (s->base == MAP_FAILED)
		return -errno;
	s->kernel = (void *)s->base;
	s->user = (void *)(s->base + g->user_offset);
	s->table = (void *)(s->base + g->table_offset);
	s->free_slots = calloc(g->slot_count, sizeof(*s->free_slots));
	s->cookies = calloc(g->slot_count, sizeof(*s->cookies));
	for (i = 0; i < g->slot_count; i++)
		s->free_slots[i] = i;
	s->free_count = g->slot_count;
	s->kernel->cq_producer = s->kernel->sq_consumer = s->plan.first_index;
	s->user->cq_consumer = s->user->sq_producer = s->plan.first_index;
	s->cq_producer = s->sq_consumer = s->plan.first_index;
	set_state(s, SGRING_STATE_READY);
	s->threaded = !pthread_create(&s->thread, NULL, kernel_thread, s);
	return s->threaded ? 0 : -EAGAIN;
}

static int do_ioctl(struct sim *s, unsigned long request, void *arg)
{
	switch (request) {
	case SGRING_QUERY: {
		struct sgring_query *q = arg;

		q->abi_version = SGRING_ABI_VERSION;
		q->features = SGRING_FEAT_CAPTURE | SGRING_FEAT_DROP;
		q->state = s->stats.state;
		strcpy(q->label, "sim");
		return 0;
	}
	case SGRING_SETUP:
		return s->base ? -EBUSY : set_up(s, arg);
	case SGRING_GEOMETRY:
		if (!s->base)
			return -EBADFD;
		s->geometry.size = ((struct sgring_geometry *)arg)->size;
		*(struct sgring_geometry *)arg = s->geometry;
		return 0;
	case SGRING_LAYOUT: {
		struct sgring_layout *l = arg;
		struct sgring_run *run = (void *)(uintptr_t)l->runs;

		if (l->slot >= s->geometry.slot_count)
			return -ERANGE;
		l->run_count = 1;
		if (l->run_room)
			*run = (struct sgring_run){ .chunk_bytes = 4096,
				.chunks = (uint32_t)(s->geometry.stride_bytes / 4096) };
		return 0;
	}
	case SGRING_ARM:
	case SGRING_START:
		if (s->stats.state == SGRING_STATE_READY) {
			sgring_store_release(&s->kernel->epoch, ++s->stats.epoch);
			s->sequence = s->position = s->pending_gap = 0;
			set_state(s, SGRING_STATE_ARMED);
		} else if (request == SGRING_ARM || s->stats.state != SGRING_STATE_ARMED) {
			return -EBADFD;
		}
		if (request == SGRING_START)
			set_state(s, SGRING_STATE_RUNNING);
		return 0;
	case SGRING_STOP:
		if (dead(s))
			return -ENODEV;
		if (s->stats.state != SGRING_STATE_ARMED && s->stats.state != SGRING_STATE_RUNNING)
			return -EBADFD;
		drain(s);
		stop(s, 0);
		return 0;
	case SGRING_KICK:
		s->stats.kicks++;
		s->kicked = true;
		set_flag(s, SGRING_NEED_WAKEUP, false);
		return 0;
	case SGRING_TUNE:
		return 0;
	case SGRING_STATS: {
		uint32_t size = ((struct sgring_stats *)arg)->size;

		memcpy(arg, &s->stats, size < sizeof(s->stats) ? size : sizeof(s->stats));
		return s->base ? 0 : -EBADFD;
	}
	}
	return -ENOTTY;
}

static int sim_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	struct sim *s = sim_of(be);
	int err;

	if (fd != s->fd)
		return -EBADF;
	pthread_mutex_lock(&s->lock);
	err = do_ioctl(s, request, arg);
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int sim_open_file(const struct sgring_backend *be, const char *path, int flags)
{
	struct sim *s = sim_of(be);

	(void)flags;
	if (strcmp(path, "sim"))
		return -ENOENT;
	s->opens++;
	if (s->fd < 0)
		s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s->fd;
}

static int sim_close_file(const struct sgring_backend *be, int fd)
{
	struct sim *s = sim_of(be);

	if (fd != s->fd)
		return -EBADF;
	s->closes++;
	return 0;
}

static int sim_map(const struct sgring_backend *be, int fd, uint64_t offset, size_t bytes,
		   int prot, void **where)
{
	struct sim *s = sim_of(be);
	const struct sgring_geometry *g = &s->geometry;

	if (fd != s->fd ||
	    !((offset == g->kernel_offset && bytes == g->kernel_bytes && prot == PROT_READ) ||
	      (offset == g->user_offset && bytes == g->user_bytes) ||
	      (offset == g->data_offset && bytes == g->data_bytes)))
		return -EINVAL;
	return sgring_kernel_backend.map(be, s->memfd, offset, bytes, prot, where);
}

static int sim_poll(const struct sgring_backend *be, struct pollfd *fds, unsigned int n,
		    int64_t timeout_ns)
{
	struct sim *s = sim_of(be);
	bool device = n && fds[0].fd == s->fd;
	uint64_t count;
	int ready;

	if (device) {
		pthread_mutex_lock(&s->lock);
		s->stats.polls++;
		if (batch_is_there(s))
			wake(s);
		else if (s->signalled && read(s->fd, &count, sizeof(count)) == sizeof(count))
			s->signalled = false;
		pthread_mutex_unlock(&s->lock);
	}
	ready = sgring_kernel_backend.poll(be, fds, n, timeout_ns);
	if (device && ready > 0 && sgring_load_relaxed(&s->kernel->flags) & SGRING_DEAD)
		fds[0].revents |= POLLHUP | POLLERR;
	return ready;
}

void sim_init(struct sim *s)
{
	pthread_condattr_t attr;

	*s = (struct sim){
		.be = sgring_kernel_backend,
		.plan = {
			.pause_at = SIM_NEVER, .end_at = SIM_NEVER, .die_at = SIM_NEVER,
			.gap_at = SIM_NEVER, .fail_at = SIM_NEVER, .eop_at = SIM_NEVER,
		},
		.fd = -1, .memfd = -1,
	};
	s->be.open = sim_open_file;
	s->be.close = sim_close_file;
	s->be.ioctl = sim_ioctl;
	s->be.map = sim_map;
	s->be.poll = sim_poll;
	s->be.literal_names = 1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->cond, &attr);
	pthread_condattr_destroy(&attr);
}

void sim_fini(struct sim *s)
{
	pthread_mutex_lock(&s->lock);
	s->quit = true;
	pthread_cond_broadcast(&s->cond);
	pthread_mutex_unlock(&s->lock);
	if (s->threaded)
		pthread_join(s->thread, NULL);
	if (s->base)
		munmap(s->base, s->bytes);
	free(s->free_slots);
	free(s->cookies);
	if (s->memfd >= 0)
		close(s->memfd);
	if (s->fd >= 0)
		close(s->fd);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->cond);
}

struct sim *sim_new(void)
{
	struct sim *s = malloc(sizeof(*s));

	sim_init(s);
	return s;
}

void sim_free(struct sim *s)
{
	sim_fini(s);
	free(s);
}

int sim_open(struct sim *s, struct sgring **stream, const struct sgring_options *o)
{
	return sgring_open_backend(stream, "sim", o, &s->be);
}

uint32_t sim_slots_in(struct sim *s, uint32_t state)
{
	uint32_t i, n = 0;

	pthread_mutex_lock(&s->lock);
	for (i = 0; i < s->geometry.slot_count; i++)
		n += s->table[i].state == state;
	pthread_mutex_unlock(&s->lock);
	return n;
}

void sim_stats(struct sim *s, struct sgring_stats *stats)
{
	pthread_mutex_lock(&s->lock);
	*stats = s->stats;
	pthread_mutex_unlock(&s->lock);
}

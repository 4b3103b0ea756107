/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the simulator as a back end: descriptors, ioctls, a stream's life
 *
 * What chardev.c and stream.c are in the driver. A descriptor is the reading end
 * of a pipe, so that poll() and epoll work on it: a byte in it says what POLLIN
 * would, the writing end closed POLLHUP. The list of descriptors has a lock of its
 * own, outside the streams'. A stream is there as long as a descriptor of it.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim_stream.h"

/* As the driver has them. */
#define OFFSET_KERNEL		0x0ULL
#define OFFSET_USER		0x10000000ULL
#define OFFSET_DATA		0x100000000ULL
#define OFFSET_OBSERVER_DATA	0x80000000000ULL

#define FIRST_SIZE(type, last) (offsetof(struct type, last) + sizeof(((struct type *)0)->last))

/**
 * struct sim_file - a descriptor
 * @next: in the list
 * @sim: its stream
 * @fd: what the application has
 * @bell: the other end
 * @may_write: it was opened for reading and writing
 */
struct sim_file {
	struct sim_file *next;
	struct sgring_sim *sim;
	int fd;
	int bell;
	bool may_write;
};

static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_file *files;
static struct sgring_sim *streams;

static struct sim_file *file_of(int fd)
{
	struct sim_file *f;

	pthread_mutex_lock(&files_lock);
	for (f = files; f && f->fd != fd; f = f->next)
		;
	pthread_mutex_unlock(&files_lock);
	return f;
}

static void set_state(struct sgring_sim *s, u32 state)
{
	s->state = state;
	/* Who sees it sees the entries before it: DEAD takes the place of READY, not before. */
	if (s->dead && state == SGRING_STATE_READY)
		state = SGRING_STATE_DEAD;
	sgring_store_release(&s->rings.kernel->state, state);
}

/* ---- life ---- */

static int arm(struct sgring_sim *s)
{
	if (s->state != SGRING_STATE_READY)
		return -EBADFD;
	if (sgring_cq_room(&s->rings) < 0 || sgring_sq_used(&s->rings) < 0)
		return -EPROTO;
	if (!sgring_cq_room(&s->rings))
		return -ENOBUFS;
	sgring_sim_pass(s);
	sgring_sim_take(s);
	if (!sgring_sim_begin(s)) {
		sgring_sim_end(s);
		return -ENOBUFS;
	}
	set_state(s, SGRING_STATE_ARMED);
	return 0;
}

static int start(struct sgring_sim *s)
{
	int err = s->state == SGRING_STATE_READY ? arm(s) : 0;

	if (err)
		return err;
	if (s->state != SGRING_STATE_ARMED)
		return -EBADFD;
	set_state(s, SGRING_STATE_RUNNING);
	sgring_sim_pass(s);
	sgring_sim_source_start(s);
	return 0;
}

/*
 * Stop, deliver what has come, end the epoch. A drain needs no wait: a device
 * that was stopped makes nothing more, and what it has made is moved here.
 */
int sgring_sim_stop(struct sgring_sim *s, bool drain, s32 status, u32 *outcome)
{
	u32 result = 0;

	if (s->state != SGRING_STATE_ARMED && s->state != SGRING_STATE_RUNNING)
		return -EBADFD;
	s->halt = true;
	/* The thread lets in who wants the lock, also one that spins. */
	__atomic_add_fetch(&s->callers, 1, __ATOMIC_RELAXED);
	while (s->moving)
		pthread_cond_wait(&s->settled, &s->lock);
	__atomic_sub_fetch(&s->callers, 1, __ATOMIC_RELAXED);
	s->halt = false;
	/* Somebody else may have been faster. */
	if (s->state != SGRING_STATE_ARMED && s->state != SGRING_STATE_RUNNING)
		return -EBADFD;
	set_state(s, SGRING_STATE_STOPPING);
	sgring_sim_pass(s);
	s->refill = false;
	while (drain && s->options.rate && sgring_sim_source_move(s, true))
		;
	sgring_sim_source_stop(s);
	sgring_sim_end(s);
	if (sgring_sim_retire_rest(s, drain))
		result = SGRING_STOPPED_PARTIAL;
	sgring_sim_end_of_stream(s, status);
	set_state(s, SGRING_STATE_READY);
	if (outcome)
		*outcome = result;
	return 0;
}

/* The device is going, and does not come back. */
void sgring_sim_die(struct sgring_sim *s)
{
	s->dead = true;
	sgring_sim_stop(s, false, -ENODEV, NULL);
	sgring_store_release(&s->rings.kernel->state, SGRING_STATE_DEAD);
	sgring_store_release(&s->rings.kernel->flags, s->rings.kernel->flags | SGRING_DEAD);
	close(s->bell);
	s->bell = -1;
}

static int thread_begin(struct sgring_sim *s)
{
	sigset_t all, before;
	int err;

	/* The application's signals are not for it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	s->quit = false;
	err = pthread_create(&s->thread, NULL, sgring_sim_thread, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->threaded = !err;
	if (s->threaded)
		pthread_setname_np(s->thread, "sgring-sim");
	return -err;
}

static void thread_end(struct sgring_sim *s)
{
	sgring_sim_lock(s);
	s->quit = true;
	sgring_sim_unlock(s);
	if (s->threaded)
		pthread_join(s->thread, NULL);
	s->threaded = false;
}

/* ---- ioctls; the structures are this process's own: there is no bad pointer ---- */

/* A structure as copy_struct_from_user() takes it. */
static int copy_in(void *to, size_t size, size_t first, const void *arg)
{
	const unsigned char *bytes = arg;
	u32 user_size, i;

	memcpy(&user_size, arg, sizeof(user_size));
	if (user_size < first)
		return -EINVAL;
	if (user_size > sgring_sim_page())
		return -E2BIG;
	memset(to, 0, size);
	memcpy(to, arg, min_of((size_t)user_size, size));
	for (i = (u32)size; i < user_size; i++)
		if (bytes[i])
			return -E2BIG;
	return 0;
}

/* What the caller has room for; its size field says what is known here. */
static int copy_out(void *arg, const void *from, u32 user_size, size_t size)
{
	memcpy(arg, from, min_of((size_t)user_size, size));
	return 0;
}

static int owner_only(const struct sim_file *f)
{
	const struct sgring_sim *s = f->sim;

	if (s->dead)
		return -ENODEV;
	if (s->state == SGRING_STATE_IDLE)
		return -EBADFD;
	return s->owner == f->fd ? 0 : -EPERM;
}

static u64 memory_of_all(void)
{
	struct sgring_sim *s;
	u64 bytes = 0;

	pthread_mutex_lock(&files_lock);
	for (s = streams; s; s = s->next) {
		sgring_sim_lock(s);
		bytes += s->memory_bytes;
		sgring_sim_unlock(s);
	}
	pthread_mutex_unlock(&files_lock);
	return bytes;
}

static int ioctl_query(struct sim_file *f, u64 total, void *arg)
{
	struct sgring_sim *s = f->sim;
	struct sgring_limits limits = sgring_sim_limits(s);
	struct sgring_query q;
	u32 user_size;
	int err;

	err = copy_in(&q, sizeof(q), FIRST_SIZE(sgring_query, device), arg);
	if (err)
		return err;
	if (q.pad)
		return -EINVAL;
	if (s->dead)
		return -ENODEV;
	user_size = q.size;
	q = (struct sgring_query){
		.size = sizeof(q),
		.abi_version = SGRING_ABI_VERSION,
		.features = SGRING_FEAT_CAPTURE | SGRING_FEAT_DROP | SGRING_FEAT_LENGTH |
			    SGRING_FEAT_LOST_COUNTER | SGRING_FEAT_DEVICE_TIME | SGRING_FEAT_OBSERVE,
		.state = s->state,
		.direction = SGRING_CAPTURE,
		.slot_bytes_max = SGRING_SLOT_BYTES_MAX,
		.stream_bytes_max = sgring_sim_memory_max(),
		.total_bytes_max = 2 * sgring_sim_memory_max(),
		.total_bytes = total,
		.slots_max = SGRING_SLOTS_MAX,
		.queue_depth_max = SGRING_QUEUE_DEPTH_MAX,
		.width_bytes = limits.align,
		.segment_bytes_max = (u32)limits.segment_bytes,
		.segments_max = limits.segments,
		.quirks = SGRING_QUIRK_RESULT,
		.engine = "sgring-sim",
		.device = "simulated",
	};
	memcpy(q.label, s->options.label[0] ? s->options.label : "sim",
	       s->options.label[0] ? sizeof(q.label) : 4);
	if (s->source.replay && !s->options.label[0])
		memcpy(q.label, s->source.replay->hello.label, sizeof(q.label));
	return copy_out(arg, &q, user_size, sizeof(q));
}

static void message_out(const struct sgring_setup *u, const struct sgring_sim_message *m)
{
	size_t room = min_of((size_t)u->message_bytes, sizeof(m->text));
	char *to = (char *)(uintptr_t)u->message;

	if (!to || !room)
		return;
	memcpy(to, m->text, room);
	to[room - 1] = 0;
}

static int set_up(struct sim_file *f, struct sgring_setup *u, struct sgring_sim_message *m)
{
	struct sgring_sim *s = f->sim;
	int err;

	if (s->dead)
		return -ENODEV;
	if (s->owner == f->fd)
		return -EBADFD;
	if (s->owner >= 0)
		return sgring_sim_complain(m, EBUSY, "somebody else owns this stream");
	err = sgring_sim_setup(s, u, m);
	if (err)
		return err;
	err = thread_begin(s);
	if (err) {
		sgring_sim_teardown(s);
		return sgring_sim_complain(m, -err, "no thread to be had for the simulated device");
	}
	s->owner = f->fd;
	s->bell = f->bell;
	s->rung = false;
	return 0;
}

static int ioctl_setup(struct sim_file *f, void *arg)
{
	struct sgring_sim_message message = { "" };
	struct sgring_setup u;
	u32 user_size;
	int err;

	err = copy_in(&u, sizeof(u), FIRST_SIZE(sgring_setup, reserved), arg);
	if (err)
		return err;
	if (!f->may_write)
		return -EBADF;
	user_size = u.size;
	u.size = sizeof(u);
	message_out(&u, &message);
	err = set_up(f, &u, &message);
	message_out(&u, &message);
	return err ? err : copy_out(arg, &u, user_size, sizeof(u));
}

static struct sgring_geometry geometry_of(const struct sgring_sim *s)
{
	const struct sgring_rings *r = &s->rings;

	return (struct sgring_geometry){
		.size = sizeof(struct sgring_geometry),
		.slot_count = s->setup.slot_count,
		.slot_bytes = s->setup.slot_bytes,
		.stride_bytes = s->stride,
		.kernel_offset = OFFSET_KERNEL,
		.kernel_bytes = r->kernel_bytes,
		.user_offset = OFFSET_USER,
		.user_bytes = r->user_bytes,
		.data_offset = OFFSET_DATA,
		.observer_data_offset = OFFSET_OBSERVER_DATA,
		.data_bytes = s->stride * s->setup.slot_count,
		.cq_offset = (u32)((char *)r->cqes - (char *)r->kernel),
		.cq_entries = r->cq_entries,
		.cq_stride = sizeof(struct sgring_cqe),
		.table_offset = (u32)((char *)r->table - (char *)r->kernel),
		.table_stride = sizeof(struct sgring_slot_info),
		.sq_offset = (u32)((char *)r->sqes - (char *)r->user),
		.sq_entries = r->sq_entries,
		.sq_stride = sizeof(struct sgring_sqe),
		.chunk_bytes_max = s->chunk_bytes,
		.chunk_bytes_min = s->chunk_bytes,
		.segments = s->segments,
		.clock = s->setup.clock,
	};
}

static int ioctl_geometry(struct sim_file *f, void *arg)
{
	struct sgring_geometry g;
	u32 user_size;
	int err;

	err = copy_in(&g, sizeof(g), FIRST_SIZE(sgring_geometry, clock), arg);
	if (err)
		return err;
	if (g.clock)
		return -EINVAL;
	if (f->sim->state == SGRING_STATE_IDLE)
		return f->sim->dead ? -ENODEV : -EBADFD;
	user_size = g.size;
	g = geometry_of(f->sim);
	return copy_out(arg, &g, user_size, sizeof(g));
}

static int ioctl_layout(struct sim_file *f, void *arg)
{
	struct sgring_sim *s = f->sim;
	struct sgring_layout l;
	u32 user_size;
	int err;

	err = copy_in(&l, sizeof(l), FIRST_SIZE(sgring_layout, run_count), arg);
	if (err)
		return err;
	user_size = l.size;
	if (s->state == SGRING_STATE_IDLE)
		return s->dead ? -ENODEV : -EBADFD;
	if (l.slot >= s->setup.slot_count)
		return -ERANGE;
	l.size = sizeof(l);
	l.run_count = 1;
	if (l.run_room)
		*(struct sgring_run *)(uintptr_t)l.runs = (struct sgring_run){
			.chunk_bytes = s->chunk_bytes,
			.chunks = (u32)(s->stride / s->chunk_bytes),
		};
	return copy_out(arg, &l, user_size, sizeof(l));
}

static int ioctl_plain(struct sim_file *f, unsigned long request, void *arg)
{
	struct sgring_sim *s = f->sim;
	int err = arg ? -EINVAL : owner_only(f);

	if (err)
		return err;
	if (request == SGRING_ARM)
		return arm(s);
	if (request == SGRING_START)
		return start(s);
	s->stats.kicks++;
	if (s->active) {
		sgring_sim_pass(s);
		sgring_sim_pump(s);
	}
	return 0;
}

static int ioctl_stop(struct sim_file *f, void *arg)
{
	struct sgring_stop stop;
	u32 user_size;
	int err;

	err = copy_in(&stop, sizeof(stop), FIRST_SIZE(sgring_stop, outcome), arg);
	if (err)
		return err;
	if (stop.flags & ~SGRING_STOP_DRAIN)
		return -EINVAL;
	if (stop.timeout_ms > SGRING_STOP_MS_MAX)
		return -ERANGE;
	user_size = stop.size;
	stop.size = sizeof(stop);
	stop.outcome = 0;
	err = owner_only(f) ?: sgring_sim_stop(f->sim, stop.flags & SGRING_STOP_DRAIN, 0, &stop.outcome);
	return err ? err : copy_out(arg, &stop, user_size, sizeof(stop));
}

static int ioctl_tune(struct sim_file *f, void *arg)
{
	struct sgring_tune tune;
	u32 user_size;
	int err;

	err = copy_in(&tune, sizeof(tune), FIRST_SIZE(sgring_tune, gate), arg);
	if (err)
		return err;
	if (tune.gate > SGRING_GATE_OFF)
		return -EINVAL;
	user_size = tune.size;
	tune.size = sizeof(tune);
	err = owner_only(f) ?: sgring_sim_tune(f->sim, &tune);
	return err ? err : copy_out(arg, &tune, user_size, sizeof(tune));
}

static int ioctl_stats(struct sim_file *f, void *arg)
{
	struct sgring_sim *s = f->sim;
	struct sgring_stats stats;
	u32 user_size;
	int err;

	err = copy_in(&stats, sizeof(stats), FIRST_SIZE(sgring_stats, app_usec_log2), arg);
	if (err)
		return err;
	user_size = stats.size;
	/* The last set-up's counters stay until the next. */
	if (!s->stats.size)
		return s->dead ? -ENODEV : -EBADFD;
	stats = s->stats;
	stats.state = s->dead ? SGRING_STATE_DEAD : s->state;
	stats.slots_free = s->slots_free;
	stats.slots_engine = s->slots_engine;
	stats.slots_app = s->slots_app;
	stats.memory_bytes = s->memory_bytes + s->rings.kernel_bytes + s->rings.user_bytes;
	if (s->starved) {
		sgring_sim_pass(s);
		stats.flags |= SGRING_STATS_STARVED;
		stats.stalled_ns += s->mono_ns - s->starved_since;
	}
	return copy_out(arg, &stats, user_size, sizeof(stats));
}

static int sim_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	struct sim_file *f = file_of(fd);
	u64 total = f && request == SGRING_QUERY ? memory_of_all() : 0;
	int saved = errno, err;

	(void)be;
	if (!f)
		return -EBADF;
	sgring_sim_lock(f->sim);
	switch (request) {
	case SGRING_QUERY:
		err = ioctl_query(f, total, arg);
		break;
	case SGRING_SETUP:
		err = ioctl_setup(f, arg);
		break;
	case SGRING_GEOMETRY:
		err = ioctl_geometry(f, arg);
		break;
	case SGRING_LAYOUT:
		err = ioctl_layout(f, arg);
		break;
	case SGRING_ARM:
	case SGRING_START:
	case SGRING_KICK:
		err = ioctl_plain(f, request, arg);
		break;
	case SGRING_STOP:
		err = ioctl_stop(f, arg);
		break;
	case SGRING_TUNE:
		err = ioctl_tune(f, arg);
		break;
	case SGRING_STATS:
		err = ioctl_stats(f, arg);
		break;
	default:
		err = -ENOTTY;
	}
	sgring_sim_unlock(f->sim);
	errno = saved;
	return err;
}

/* ---- descriptors ---- */

static int open_data_file(const char *path)
{
	struct stat st;
	int fd;

	if (!path[0])
		return -1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return sgring_fail(errno, "sim: file=%s: %s", path, strerror(errno));
	if (fstat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISBLK(st.st_mode))) {
		close(fd);
		return sgring_fail(EINVAL, "sim: file=%s: neither a file nor a block device", path);
	}
	return fd;
}

static struct sgring_sim *stream_new(const struct sgring_sim_options *o)
{
	struct sgring_sim *s = calloc(1, sizeof(*s));
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	s->options = *o;
	s->owner = s->bell = s->memfd = s->source.fd = -1;
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_cond_init(&s->settled, &attr);
	pthread_condattr_destroy(&attr);
	return s;
}

/* Nobody has it open any more. */
static void stream_free(struct sgring_sim *s)
{
	sgring_replay_close(s->source.replay);
	if (s->source.fd >= 0)
		close(s->source.fd);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->settled);
	free(s);
}

/* The stream of that label, or a new one; under the lock of the list. */
static int stream_find(const struct sgring_sim_options *o, struct sgring_sim **found)
{
	struct sgring_sim_options alone;
	struct sgring_replay *replay = NULL;
	struct sgring_sim *s;
	int fd;

	for (s = streams; s && o->label[0]; s = s->next)
		if (!strcmp(s->options.label, o->label))
			break;
	if (s && o->label[0]) {
		sgring_sim_defaults(&alone);
		memcpy(alone.label, o->label, sizeof(alone.label));
		if (memcmp(&alone, o, sizeof(alone)) && memcmp(&s->options, o, sizeof(*o)))
			return sgring_fail(EBUSY, "sim: the stream \"%s\" is there already, with other options",
					   o->label);
		*found = s;
		return 0;
	}
	fd = o->replay[0] ? sgring_replay_open(&replay, o->replay) : 0;
	if (fd)
		return fd;
	fd = open_data_file(o->file);
	if (fd < -1) {
		sgring_replay_close(replay);
		return fd;
	}
	s = stream_new(o);
	if (!s) {
		sgring_replay_close(replay);
		if (fd >= 0)
			close(fd);
		return sgring_fail(ENOMEM, "no memory");
	}
	s->source.fd = fd;
	s->source.replay = replay;
	s->next = streams;
	streams = s;
	*found = s;
	return 0;
}

static void stream_put(struct sgring_sim *s)
{
	struct sgring_sim **p = &streams;

	if (s->files)
		return;
	while (*p != s)
		p = &(*p)->next;
	*p = s->next;
	stream_free(s);
}

static int open_file(const struct sgring_sim_options *o, int flags)
{
	struct sim_file *f = calloc(1, sizeof(*f));
	struct sgring_sim *s;
	int ends[2], err;

	if (!f)
		return sgring_fail(ENOMEM, "no memory");
	err = stream_find(o, &s);
	if (err) {
		free(f);
		return err;
	}
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) {
		free(f);
		stream_put(s);
		return sgring_fail(EMFILE, "cannot make a pipe: too many open files?");
	}
	f->sim = s;
	f->fd = ends[0];
	f->bell = ends[1];
	f->may_write = (flags & O_ACCMODE) == O_RDWR;
	f->next = files;
	files = f;
	s->files++;
	return f->fd;
}

static void before_fork(void)
{
	pthread_mutex_lock(&files_lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&files_lock);
}

/*
 * A child has no stream of its parent's: not the thread, not the memory, and their locks are
 * as they were at that moment. Nor may it keep open what shall tell the parent by its end.
 */
static void in_child(void)
{
	struct sim_file *f;
	int bell;

	for (f = files; f; f = f->next) {
		bell = f->sim->owner == f->fd ? f->sim->bell : f->bell;
		if (bell >= 0)
			close(bell);
	}
	files = NULL;
	streams = NULL;
	pthread_mutex_init(&files_lock, NULL);
}

static void mind_forks(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

int sgring_sim_open(const struct sgring_sim_options *o, int flags)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int saved = errno, fd;

	pthread_once(&once, mind_forks);
	pthread_mutex_lock(&files_lock);
	fd = open_file(o, flags);
	pthread_mutex_unlock(&files_lock);
	errno = saved;
	return fd;
}

static int sim_open(const struct sgring_backend *be, const char *name, int flags)
{
	struct sgring_sim_options o;
	int err = sgring_sim_parse(name, &o);

	(void)be;
	return err ? err : sgring_sim_open(&o, flags);
}

static void disown(struct sim_file *f)
{
	struct sgring_sim *s = f->sim;
	bool mine;

	sgring_sim_lock(s);
	mine = s->owner == f->fd;
	if (mine)
		sgring_sim_stop(s, false, 0, NULL);
	sgring_sim_unlock(s);
	if (!mine)
		return;
	thread_end(s);
	sgring_sim_lock(s);
	if (s->bell < 0)
		f->bell = -1;
	sgring_sim_teardown(s);
	s->owner = s->bell = -1;
	sgring_sim_unlock(s);
}

static int sim_close(const struct sgring_backend *be, int fd)
{
	struct sim_file *f = file_of(fd), **p = &files;
	int saved = errno;

	(void)be;
	if (!f)
		return -EBADF;
	disown(f);
	pthread_mutex_lock(&files_lock);
	while (*p != f)
		p = &(*p)->next;
	*p = f->next;
	f->sim->files--;
	stream_put(f->sim);
	pthread_mutex_unlock(&files_lock);
	close(f->fd);
	if (f->bell >= 0)
		close(f->bell);
	free(f);
	errno = saved;
	return 0;
}

static int map_region(struct sim_file *f, uint64_t offset, size_t bytes, int prot, void **where)
{
	struct sgring_sim *s = f->sim;
	struct sgring_geometry g = geometry_of(s);
	bool owner = s->owner == f->fd;

	if (s->dead)
		return -ENODEV;
	if (s->state == SGRING_STATE_IDLE)
		return -EBADFD;
	switch (offset) {
	case OFFSET_KERNEL:
		if (bytes != g.kernel_bytes)
			return -EINVAL;
		return prot == PROT_READ ? sgring_sim_rings_map(s, false, where) : -EACCES;
	case OFFSET_USER:
		if (bytes != g.user_bytes)
			return -EINVAL;
		if (!owner)
			return prot == PROT_READ ? sgring_sim_rings_map(s, true, where) : -EPERM;
		*where = s->rings.user;
		return 0;
	case OFFSET_DATA:
	case OFFSET_OBSERVER_DATA:
		if (bytes != g.data_bytes)
			return -EINVAL;
		if (offset == OFFSET_DATA && !owner)
			return -EPERM;
		*where = s->data;
		s->data_maps++;
		return 0;
	default:
		return -EINVAL;
	}
}

static int sim_map(const struct sgring_backend *be, int fd, uint64_t offset, size_t bytes,
		   int prot, void **where)
{
	struct sim_file *f = file_of(fd);
	int saved = errno, err;

	(void)be;
	if (!f)
		return -EBADF;
	sgring_sim_lock(f->sim);
	err = map_region(f, offset, bytes, prot, where);
	sgring_sim_unlock(f->sim);
	errno = saved;
	return err;
}

/* What is the stream's own memory goes with it. */
static void sim_unmap(const struct sgring_backend *be, void *where, size_t bytes)
{
	struct sgring_sim *s;
	bool theirs = false;

	pthread_mutex_lock(&files_lock);
	for (s = streams; s && !theirs; s = s->next) {
		sgring_sim_lock(s);
		theirs = where == s->data || where == s->rings.user || where == s->rings.kernel;
		s->data_maps -= where == s->data;
		sgring_sim_unlock(s);
	}
	pthread_mutex_unlock(&files_lock);
	if (!theirs && !sgring_sim_memory_put(where))
		sgring_kernel_backend.unmap(be, where, bytes);
}

/* As f_op->poll is asked: before a sleep and after it. */
static void look(struct sim_file *f, bool counts)
{
	struct sgring_sim *s = f->sim;

	sgring_sim_lock(s);
	if (s->owner == f->fd) {
		s->stats.polls += counts;
		if (s->active)
			sgring_sim_pass(s);
		sgring_sim_poll(s);
	}
	sgring_sim_unlock(s);
}

static int sim_poll(const struct sgring_backend *be, struct pollfd *fds, unsigned int n,
		    int64_t timeout_ns)
{
	struct sim_file *f = n ? file_of(fds[0].fd) : NULL;
	int saved = errno, ready;

	if (f)
		look(f, true);
	ready = sgring_kernel_backend.poll(be, fds, n, timeout_ns);
	errno = saved;
	return ready;
}

/* The owner has found the CQ empty and is about to wait in a loop of its own. */
static void sim_quiet(const struct sgring_backend *be, int fd)
{
	struct sim_file *f = file_of(fd);
	int saved = errno;

	(void)be;
	if (f)
		look(f, false);
	errno = saved;
}

static int sim_replayed(const struct sgring_backend *be, int fd, struct sgring_hello *hello)
{
	struct sim_file *f = file_of(fd);

	(void)be;
	if (!f || !f->sim->source.replay)
		return -ENODATA;
	sgring_sim_lock(f->sim);
	*hello = f->sim->source.replay->hello;
	sgring_sim_unlock(f->sim);
	return 0;
}

static ssize_t sim_sendmsg(const struct sgring_backend *be, int fd, const struct msghdr *msg,
			   int flags)
{
	return sgring_kernel_backend.sendmsg(be, fd, msg, flags);
}

static int sim_recvmmsg(const struct sgring_backend *be, int fd, struct mmsghdr *msgs,
			unsigned int n, int flags)
{
	return sgring_kernel_backend.recvmmsg(be, fd, msgs, n, flags);
}

const struct sgring_backend sgring_sim_backend = {
	.open = sim_open,
	.close = sim_close,
	.ioctl = sim_ioctl,
	.map = sim_map,
	.unmap = sim_unmap,
	.poll = sim_poll,
	.quiet = sim_quiet,
	.replayed = sim_replayed,
	.sendmsg = sim_sendmsg,
	.recvmmsg = sim_recvmmsg,
	.literal_names = 1,
};

/* ---- for benches and tests ---- */

int sgring_sim_clock(int fd, clockid_t *clock)
{
	struct sim_file *f = file_of(fd);

	if (!f || !f->sim->threaded)
		return -EBADF;
	return -pthread_getcpuclockid(f->sim->thread, clock);
}

int sgring_sim_change(int fd, const struct sgring_sim_options *o)
{
	struct sim_file *f = file_of(fd);
	struct sgring_sim *s;
	char label[SGRING_NAME_BYTES];

	if (!f)
		return -EBADF;
	s = f->sim;
	sgring_sim_lock(s);
	/* Until now, at the old rate. */
	if (s->active)
		sgring_sim_pass(s);
	memcpy(label, s->options.label, sizeof(label));
	s->options = *o;
	memcpy(s->options.label, label, sizeof(label));
	sgring_sim_unlock(s);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Hostile programs: open, close, ioctls and mappings of a stream, as they should be and not.
 * See hostile_attacker.h.
 */
#include <poll.h>
#include <sys/stat.h>

#include "hostile_attacker.h"

/* ---- find it, open it, let go of it ---- */

void stream_choose(unsigned int which)
{
	p->stream = which % HOSTILE_STREAMS;
}

/* Its device node has another number each time it is bound. */
bool stream_find(void)
{
	const char *label = hostile_streams[p->stream].label;
	char path[64], text[40];
	unsigned int i;

	for (i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "/sys/class/sgring/sgring%u/label", i);
		if (file_get(path, text, sizeof(text)) <= 0)
			continue;
		text[strcspn(text, "\n")] = 0;
		if (strcmp(text, label))
			continue;
		snprintf(p->path, sizeof(p->path), "/dev/sgring%u", i);
		return true;
	}
	return false;
}

static int stream_open(int flags)
{
	return CALL(open, open(p->path, flags | O_CLOEXEC));
}

static void unmap(unsigned int place)
{
	__atomic_store_n(&p->mapped[place], 0, __ATOMIC_RELEASE);
	__atomic_add_fetch(&p->changing, 1, __ATOMIC_SEQ_CST);
	CALL(munmap, munmap(p->place[place], PLACE_BYTES));
	__atomic_add_fetch(&p->changed, 1, __ATOMIC_SEQ_CST);
}

/* Nothing is held any more, as far as this process knows. */
void stream_reset(void)
{
	unsigned int i;

	p->trouble = 0;
	p->is_set_up = 0;
	for (i = 0; i < FDS; i++)
		fd_keep(i, -1);
	for (i = 0; i < PLACES; i++)
		if (__atomic_load_n(&p->mapped[i], __ATOMIC_ACQUIRE) || i < OWNED)
			unmap(i);
	world_reset();
}

/* ---- as it should be ---- */

static uint32_t one_of(const uint32_t *choices, uint32_t count)
{
	return choices[below(count)];
}

#define ONE_OF(...)	one_of((const uint32_t[]){ __VA_ARGS__ },	\
			       sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4)

static struct sgring_setup setup_sane(void)
{
	struct sgring_setup u = {
		.size = sizeof(u),
		.slot_bytes = ONE_OF(4096, 4096, 8192, 16384, 16384, 12288, 4160, 192, 32768),
		.slot_count = ONE_OF(2, 3, 4, 4, 5, 8, 8, 16, 33),
		.overrun = one_in(3),
		.sq_idle_usec = ONE_OF(0, 0, 1000, 20000, SGRING_OFF),
		.sq_poll_usec = ONE_OF(0, 0, 20, 1000),
		.wake_usec = ONE_OF(0, 0, 1, 100, SGRING_OFF),
		.gate_report_ms = ONE_OF(0, 0, 50, SGRING_OFF),
		.clock = below(5),
	};

	if (u.slot_bytes * u.slot_count > 256 << 10)
		u.slot_count = 4;
	if (one_in(4))
		u.flags |= SGRING_SETUP_NO_GATE;
	if (one_in(4))
		u.queue_depth = 1 + below(2);
	if (one_in(4))
		u.wake_slots = 1 + below(u.slot_count);
	if (one_in(6))
		u.chunk_policy = SGRING_CHUNK_EQUAL;
	else if (one_in(8))
		u.chunk_policy = SGRING_CHUNK_SINGLE;
	else if (one_in(4))
		u.chunk_bytes = 4096 << below(4);
	if (one_in(4)) {
		u.message = (uintptr_t)me->scratch + SCRATCH_BYTES / 2;
		u.message_bytes = below(300);
	}
	return u;
}

static void setup_good(int fd)
{
	struct sgring_setup u = setup_sane();

	if (CALL(setup, ioctl(fd, SGRING_SETUP, &u)) == 0) {
		p->is_set_up = 1;
		p->trouble = 0;
		p->busy = 0;
	} else if (errno == EBADFD) {
		/* It is the owner already. */
		p->is_set_up = 1;
	} else {
		p->trouble += 2;
		p->busy += errno == EBUSY;
	}
}

static bool geometry_get(int fd, struct sgring_geometry *g)
{
	*g = (struct sgring_geometry){ .size = sizeof(*g) };
	return !CALL(geometry, ioctl(fd, SGRING_GEOMETRY, g));
}

static uint64_t region(const struct sgring_geometry *g, unsigned int place, uint64_t *bytes)
{
	switch (place) {
	case AT_KERNEL:
	case AT_OBSERVED_KERNEL:
		*bytes = g->kernel_bytes;
		return g->kernel_offset;
	case AT_USER:
		*bytes = g->user_bytes;
		return g->user_offset;
	case AT_DATA:
		*bytes = g->data_bytes;
		return g->data_offset;
	default:
		*bytes = g->data_bytes;
		return g->observer_data_offset;
	}
}

static bool map(int fd, unsigned int place, int prot)
{
	struct sgring_geometry g;
	uint64_t offset, bytes;
	void *at;

	if (!geometry_get(fd, &g))
		return false;
	offset = region(&g, place, &bytes);
	if (bytes > PLACE_BYTES)
		return false;
	__atomic_add_fetch(&p->changing, 1, __ATOMIC_SEQ_CST);
#define MAP_CALL(kind)	CALL(kind, (intptr_t)mmap(p->place[place], bytes, prot,	\
						  MAP_SHARED | MAP_FIXED, fd, offset))
	if (place == AT_KERNEL)
		at = (void *)(intptr_t)MAP_CALL(mmap_kernel);
	else if (place == AT_USER)
		at = (void *)(intptr_t)MAP_CALL(mmap_user);
	else if (place == AT_DATA)
		at = (void *)(intptr_t)MAP_CALL(mmap_data);
	else
		at = (void *)(intptr_t)MAP_CALL(mmap_observer);
	if (at != MAP_FAILED && place < OWNED)
		p->g = g;
	__atomic_add_fetch(&p->changed, 1, __ATOMIC_SEQ_CST);
	if (at == MAP_FAILED)
		return false;
	__atomic_store_n(&p->mapped[place], bytes, __ATOMIC_RELEASE);
	return true;
}

static void map_owned(int fd, unsigned int place)
{
	if (!map(fd, place, place == AT_KERNEL || (place == AT_DATA && one_in(8)) ? PROT_READ : RW)) {
		p->trouble += 3;
		return;
	}
	p->trouble = 0;
	if (place == AT_DATA)
		data_check_new();
}

/* The next step towards a stream that runs, or its daily work. */
void stream_advance(void)
{
	int fd = __atomic_load_n(&p->fd[FD_MAIN], __ATOMIC_ACQUIRE);
	unsigned int i;

	if (p->trouble > 8) {
		stream_reset();
		/* Another process wants the same. */
		if (p->busy > 12) {
			p->busy = 0;
			stream_choose(p->stream + 1);
		}
		return;
	}
	if (fd < 0 && (fd = fd_take(FD_DUP)) >= 0) {
		p->is_set_up = 0;
		fd_keep(FD_MAIN, fd);
	}
	if (fd < 0) {
		if (!stream_find()) {
			device_bind();
			p->trouble++;
			return;
		}
		fd = stream_open(O_RDWR | O_NONBLOCK);
		p->is_set_up = 0;
		p->trouble += fd < 0;
		fd_keep(FD_MAIN, fd);
		return;
	}
	if (!p->is_set_up) {
		setup_good(fd);
		return;
	}
	for (i = 0; i < OWNED; i++) {
		if (!__atomic_load_n(&p->mapped[i], __ATOMIC_ACQUIRE)) {
			map_owned(fd, i);
			return;
		}
	}
	ring_take();
}

/* ---- open, close, dup ---- */

void op_open(void)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_PATH };
	unsigned int which = FD_DUP + below(FDS - FD_DUP);
	int flags = modes[below(4)];

	if (one_in(3))
		flags |= O_NONBLOCK;
	/* A reader waits, and is interrupted; not for ever. */
	if (which == FD_READER)
		flags = O_RDWR | O_NONBLOCK;
	if (which == FD_GUEST)
		which = FD_SPARE;
	if (which == FD_NEIGHBOUR) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/sgring%u", below(8));
		fd_keep(which, CALL(open, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)));
		return;
	}
	fd_keep(which, stream_open(flags));
}

void op_close(void)
{
	unsigned int which = one_in(8) ? FD_MAIN : below(FDS), i;

	if (which == FD_MAIN)
		p->is_set_up = 0;
	fd_keep(which, -1);
	/* Mappings keep the stream. */
	if (which == FD_MAIN && !one_in(4))
		for (i = 0; i < OWNED; i++)
			unmap(i);
}

void op_dup(void)
{
	unsigned int which = FD_DUP + below(2);
	int from = __atomic_load_n(&p->fd[FD_MAIN], __ATOMIC_ACQUIRE);

	fd_keep(which, CALL(dup, one_in(2) ? dup(from) : fcntl(from, F_DUPFD_CLOEXEC, 30)));
}

/* ---- ioctls that tell ---- */

static void most(uint64_t *seen, uint64_t now)
{
	if (now > *seen)
		*seen = now;
}

static void stats_note(const struct sgring_stats *s)
{
	struct hostile_shared *h = p->shared;

	most(&h->sq_bad, s->sq_bad);
	most(&h->index_bad, s->index_bad);
	most(&h->slots_done, s->slots_done);
	most(&h->late_callbacks, s->late_callbacks);
	most(&h->odd_callbacks, s->odd_callbacks);
	most(&h->residue_bad, s->residue_bad);
	most(&h->engine_errors, s->engine_errors);
	most(&h->gate_waits, s->gate_waits);
	most(&h->stalls, s->stalls);
}

static void tell(void)
{
	union {
		struct sgring_query query;
		struct sgring_geometry geometry;
		struct sgring_layout layout;
		struct sgring_stats stats;
	} u = {};
	int fd = some_fd();

	switch (below(4)) {
	case 0:
		u.query.size = sizeof(u.query);
		CALL(query, ioctl(fd, SGRING_QUERY, &u));
		break;
	case 1:
		u.geometry.size = sizeof(u.geometry);
		CALL(geometry, ioctl(fd, SGRING_GEOMETRY, &u));
		break;
	case 2:
		u.layout.size = sizeof(u.layout);
		u.layout.slot = below(6);
		u.layout.run_room = below(8);
		u.layout.runs = (uintptr_t)me->scratch;
		CALL(layout, ioctl(fd, SGRING_LAYOUT, &u));
		break;
	default:
		u.stats.size = sizeof(u.stats);
		if (!CALL(stats, ioctl(fd, SGRING_STATS, &u)))
			stats_note(&u.stats);
	}
}

void op_tell(void)
{
	uint32_t n = 4 + below(9);

	while (n--)
		tell();
}

/* ---- structures with something changed ---- */

/*
 * Memory that is not there, half there, read-only, the rings', not ours, or good; no slots: what
 * is in those is looked at.
 */
static uint64_t odd_pointer(void)
{
	switch (below(12)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 2:
		return 0xffff888000000000ULL;
	case 3:
		return ~0ULL - below(4096);
	case 4:
		return (uintptr_t)me->wild + below(WILD_BYTES - PAGE);
	case 5:
		return (uintptr_t)p->place[AT_KERNEL] + below(PAGE);
	case 6:
	case 7:
	case 8:
		return (uintptr_t)p->place[AT_USER] + below(2 * PAGE - 300);
	case 9:
		return (uintptr_t)p->place[AT_OBSERVED_DATA] + below(2 * PAGE);
	case 10:	/* not aligned */
		return (uintptr_t)me->scratch + SCRATCH_BYTES / 2 + below(8);
	default:
		return (uintptr_t)me->scratch + SCRATCH_BYTES / 2;
	}
}

/* One word of it; @pointer is the offset of one, or 0. Only that of a size may be large. */
static void mutate(void *structure, uint32_t bytes, uint32_t pointer)
{
	uint32_t at = below(bytes / 4) * 4;
	uint64_t value;

	if (one_in(5))
		at = 0;
	if (pointer && (at & ~7U) == pointer) {
		value = odd_pointer();
		memcpy((char *)structure + pointer, &value, 8);
		return;
	}
	value = odd_number();
	if (!at && one_in(2))
		value = bytes + below(40) - 20;
	if (at + 8 <= bytes && at && at + 4 != pointer && one_in(3))
		memcpy((char *)structure + at, &value, 8);
	else
		memcpy((char *)structure + at, &value, 4);
}

/*
 * An ioctl with a structure in scratch memory that goes on behind it, with zeros or not: of
 * that nothing may be written.
 */
static long ioctl_fenced(enum hostile_kind kind, int fd, unsigned long request, const void *from,
			 uint32_t bytes)
{
	unsigned char *at = me->scratch, fence = one_in(2) ? 0 : 0xAA;
	uint32_t room = PAGE + 64, i, size;
	long ret;

	memset(at, fence, room);
	memcpy(at, from, bytes);
	memcpy(&size, at, 4);
	begin(kind);
	ret = ioctl(fd, request, at);
	end(kind, !ret, errno);
	for (i = bytes; i < room && at[i] == fence; i++)
		;
	if (i < room)
		complain("ioctl 0x%lx of size %u has written byte %u", request, size, i);
	return ret;
}

static void tell_mutated(void)
{
	int fd = some_fd();

	switch (below(5)) {
	case 0: {
		struct sgring_query u = { .size = sizeof(u) };

		mutate(&u, sizeof(u), 0);
		ioctl_fenced(K_query_mutated, fd, SGRING_QUERY, &u, sizeof(u));
		break;
	}
	case 1: {
		struct sgring_geometry u = { .size = sizeof(u) };

		mutate(&u, sizeof(u), 0);
		ioctl_fenced(K_geometry_mutated, fd, SGRING_GEOMETRY, &u, sizeof(u));
		break;
	}
	case 2: {
		struct sgring_layout u = {
			.size = sizeof(u),
			.slot = below(4),
			.runs = (uintptr_t)me->scratch + SCRATCH_BYTES / 2,
			.run_room = below(300),
		};

		mutate(&u, sizeof(u), offsetof(struct sgring_layout, runs));
		ioctl_fenced(K_layout_mutated, fd, SGRING_LAYOUT, &u, sizeof(u));
		break;
	}
	case 3: {
		struct sgring_stats u = { .size = sizeof(u) };

		mutate(&u, sizeof(u), 0);
		ioctl_fenced(K_stats_mutated, fd, SGRING_STATS, &u, sizeof(u));
		break;
	}
	default: {
		struct sgring_stop u = { .size = sizeof(u), .timeout_ms = 1 + below(20) };

		if (one_in(8)) {
			mutate(&u, sizeof(u), 0);
			if (u.timeout_ms > 100 && u.timeout_ms <= SGRING_STOP_MS_MAX)
				u.timeout_ms = 100;
		} else {
			u.flags = 2 + below(1000) * 2;
		}
		ioctl_fenced(K_stop_mutated, fd, SGRING_STOP, &u, sizeof(u));
	}
	}
}

void op_tell_mutated(void)
{
	uint32_t n = 1 + below(5);

	while (n--)
		tell_mutated();
}

/* A stream of one's own for a moment, whichever nobody has. */
static void setup_elsewhere(const struct sgring_setup *u)
{
	struct sgring_stop stop = { .size = sizeof(stop) };
	struct pollfd q = { .events = POLLIN };
	char path[32];

	snprintf(path, sizeof(path), "/dev/sgring%u", below(8));
	q.fd = CALL(open, open(path, O_RDWR | O_CLOEXEC));
	if (q.fd < 0)
		return;
	/* Observers look at whole words. */
	if (!ioctl_fenced(K_setup_mutated, q.fd, SGRING_SETUP, u, sizeof(*u)) &&
	    !(u->slot_bytes & 7)) {
		CALL(start, ioctl(q.fd, SGRING_START, 0));
		CALL(poll, poll(&q, 1, 1));
		if (one_in(2))
			CALL(stop, ioctl(q.fd, SGRING_STOP, &stop));
	}
	CALL(close, close(q.fd));
}

void op_setup_mutated(void)
{
	struct sgring_setup u = setup_sane();
	int fd = some_fd();

	mutate(&u, sizeof(u), offsetof(struct sgring_setup, message));
	if (u.gate_report_ms > 2000 && u.gate_report_ms != SGRING_OFF &&
	    u.gate_report_ms <= SGRING_GATE_REPORT_MS_MAX)
		u.gate_report_ms = 2000;
	if (!one_in(4)) {
		setup_elsewhere(&u);
		return;
	}
	u.slot_bytes &= ~7ULL;
	if (!ioctl_fenced(K_setup_mutated, fd, SGRING_SETUP, &u, sizeof(u)) &&
	    fd == p->fd[FD_MAIN])
		p->is_set_up = 1;
}

void op_tune(void)
{
	struct sgring_tune u = {
		.size = sizeof(u),
		.wake_slots = below(5),
		.wake_usec = ONE_OF(0, 1, 100, 5000, SGRING_OFF),
		.sq_poll_usec = ONE_OF(0, 20, 100, 5000),
		.sq_idle_usec = ONE_OF(0, 1, 1000, 60000000, SGRING_OFF),
		.gate = below(3),
	};

	if (one_in(2)) {
		CALL(tune, ioctl(some_fd(), SGRING_TUNE, &u));
	} else {
		mutate(&u, sizeof(u), 0);
		ioctl_fenced(K_tune_mutated, some_fd(), SGRING_TUNE, &u, sizeof(u));
	}
}

/* ---- life ---- */

void op_kick(void)
{
	CALL(kick, ioctl(some_fd(), SGRING_KICK, 0));
}

void op_life(void)
{
	struct sgring_stop stop = { .size = sizeof(stop) };
	int fd = some_fd();

	switch (below(4)) {
	case 0:
		CALL(arm, ioctl(fd, SGRING_ARM, 0));
		break;
	case 1:
		CALL(start, ioctl(fd, SGRING_START, 0));
		break;
	case 2:
		stop.flags = SGRING_STOP_DRAIN;
		stop.timeout_ms = 1 + below(one_in(8) ? 200 : 20);
		/* fall through */
	default:
		CALL(stop, ioctl(fd, SGRING_STOP, &stop));
	}
}

static const unsigned long requests[] = {
	SGRING_QUERY, SGRING_SETUP, SGRING_GEOMETRY, SGRING_LAYOUT, SGRING_STOP, SGRING_TUNE,
	SGRING_STATS,
};

void op_odd_ioctl(void)
{
	static const unsigned long plain[] = { SGRING_ARM, SGRING_START, SGRING_KICK };
	unsigned long request;
	uint64_t pointer;
	uint32_t size;
	int fd = some_fd();

	switch (below(4)) {
	case 0:
		CALL(plain_argument, ioctl(fd, plain[below(3)], (uintptr_t)(odd_number() | 1)));
		break;
	case 1:
		if (one_in(2))
			request = _IO(SGRING_IOC, 0x0a + below(0xf5));
		else
			request = _IOC(1 + below(3), SGRING_IOC, below(12), 1 + below(300));
		CALL(ioctl_unknown, ioctl(fd, request, me->scratch));
		break;
	case 2:
		/* Nowhere, or its size is there and no more. */
		switch (below(4)) {
		case 0:
			pointer = 0xffff888000000000ULL;
			break;
		case 1:
			pointer = (uintptr_t)me->scratch + SCRATCH_BYTES - 4;
			size = 300;
			memcpy(me->scratch + SCRATCH_BYTES - 4, &size, 4);
			/* What is behind the last one's is nobody's; behind others', the next. */
			if (me->number != HOSTILE_THREADS_MAX - 1)
				pointer = 0;
			break;
		case 2:
			pointer = (uintptr_t)me->wild + below(WILD_BYTES);
			break;
		default:
			pointer = below(4096);
		}
		CALL(ioctl_bad_pointer, ioctl(fd, requests[below(ARRAY_SIZE(requests))],
					      (uintptr_t)pointer));
		break;
	default: {
		/* In memory that changes, or may not be written to. */
		unsigned int place = one_in(4) ? below(PLACES) : AT_USER + below(2);
		unsigned char *at = p->place[place] + 2048 + below(1024);

		request = requests[below(ARRAY_SIZE(requests))];
		if (request == SGRING_STOP && !one_in(8))
			request = SGRING_STATS;
		size = request == SGRING_QUERY ? sizeof(struct sgring_query) :
		       request == SGRING_STATS ? sizeof(struct sgring_stats) :
		       request == SGRING_GEOMETRY ? sizeof(struct sgring_geometry) :
		       request == SGRING_LAYOUT ? sizeof(struct sgring_layout) :
		       request == SGRING_TUNE ? sizeof(struct sgring_tune) :
		       request == SGRING_SETUP ? sizeof(struct sgring_setup) :
		       sizeof(struct sgring_stop);
		/* Not over data, which are looked at: over the rings. */
		if (place == AT_DATA)
			at = p->place[AT_USER] + PAGE - below(size + 4) - 4;
		memset(me->scratch, 0, size);
		memcpy(me->scratch, &size, 4);
		copy_to(at, me->scratch, size);
		CALL(ioctl_in_mapping, ioctl(fd, request, at));
	}
	}
}

/* ---- mappings ---- */

void op_map(void)
{
	unsigned int place = below(PLACES);
	int fd = place < OWNED ? p->fd[FD_MAIN] : p->fd[one_in(4) ? FD_MAIN : FD_OBSERVER];

	if (place >= OWNED && fd < 0) {
		fd_keep(FD_OBSERVER, stream_open(O_RDONLY | O_NONBLOCK));
		fd = p->fd[FD_OBSERVER];
	}
	map(fd, place, place == AT_USER || place == AT_DATA ? RW : PROT_READ);
}

static bool is_stream(int fd)
{
	struct stat st, of;

	return !fstat(fd, &st) && !stat(p->path, &of) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == of.st_rdev;
}

void op_map_mutated(void)
{
	static const int types[] = {
		MAP_SHARED, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_PRIVATE, MAP_SHARED | MAP_POPULATE,
		MAP_SHARED | MAP_LOCKED, MAP_SHARED | MAP_GROWSDOWN, MAP_SHARED | MAP_HUGETLB,
		MAP_SHARED | MAP_NORESERVE, MAP_SHARED_VALIDATE | 0x80000 /* MAP_SYNC */,
	};
	unsigned int place = below(PLACES);
	int fd = some_fd(), prot = one_in(2) ? PROT_READ : (int)below(8), type = types[below(10)];
	uint64_t offset, bytes;
	uint32_t seen;
	struct sgring_geometry g = p->g;
	bool was_stream = is_stream(fd);
	void *at;

	offset = region(&g, place, &bytes);
	switch (below(6)) {
	case 0:
		offset += PAGE * (uint64_t)(1 + below(8));
		break;
	case 1:
		bytes += PAGE;
		break;
	case 2:
		bytes -= PAGE;
		break;
	case 3:
		offset = odd_number() & ~(uint64_t)(PAGE - 1);
		break;
	}
	if (!bytes || bytes > WILD_BYTES / 2)
		bytes = PAGE;
	at = (void *)(intptr_t)CALL(mmap_mutated, (intptr_t)mmap(me->wild, bytes, prot,
								 type | MAP_FIXED, fd, offset));
	if (at == MAP_FAILED)
		return;
	if (was_stream && is_stream(fd) &&
	    ((prot & PROT_EXEC) || (type & MAP_TYPE) == MAP_PRIVATE ||
	     ((prot & PROT_WRITE) && (offset == 0 || offset == g.observer_data_offset))))
		complain("mmap with protection %d, type 0x%x at 0x%llx was let in", prot, type,
			 (unsigned long long)offset);
	peek32(at, &seen);
	/* It may have been grown downwards. */
	CALL(munmap, munmap(me->wild, WILD_BYTES));
}

void op_unmap(void)
{
	unsigned int place = below(PLACES);
	uint32_t bytes = p->mapped[place], from;

	if (one_in(2)) {
		unmap(place);
		return;
	}
	if (bytes < 2 * PAGE)
		return;
	from = below(bytes / PAGE) * PAGE;
	CALL(munmap_part, munmap(p->place[place] + from, PAGE));
}

void op_remap(void)
{
	static const int ways[] = { 0, MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
				    MREMAP_MAYMOVE | MREMAP_FIXED | 4 /* MREMAP_DONTUNMAP */ };
	unsigned int place = AT_USER + below(PLACES - AT_USER);
	uint32_t bytes = __atomic_load_n(&p->mapped[place], __ATOMIC_ACQUIRE);
	uint32_t old = bytes, new = bytes;
	int way = ways[below(4)];

	if (!bytes)
		return;
	switch (below(4)) {
	case 0:
		old = 0;
		break;
	case 1:
		new += PAGE;
		break;
	case 2:
		new -= PAGE;
		break;
	}
	/* In place, and no change: nothing to refuse. */
	if (!way && new == old)
		way = MREMAP_MAYMOVE | MREMAP_FIXED;
	if (place < OWNED) {
		CALL(mremap_owner, (intptr_t)mremap(p->place[place], old, new, way, me->wild));
		return;
	}
	if (CALL(mremap_observer, (intptr_t)mremap(p->place[place], old, new, way, me->wild)) == -1)
		return;
	peek32(me->wild, &old);
	munmap(me->wild, WILD_BYTES);
}

void op_protect(void)
{
	unsigned int place = below(PLACES);
	uint32_t bytes = p->mapped[place], from = 0;

	if (!bytes)
		return;
	if (place != AT_USER && place != AT_DATA) {
		CALL(mprotect_read_only, mprotect(p->place[place], bytes,
						  one_in(2) ? RW : PROT_READ | PROT_EXEC));
		begin(K_store_read_only);
		end(K_store_read_only, poke32(p->place[place] + 64, 1), EFAULT);
		return;
	}
	if (one_in(2) && bytes > PAGE) {
		from = below(bytes / PAGE) * PAGE;
		bytes = PAGE;
	}
	CALL(mprotect, mprotect(p->place[place] + from, bytes, below(8)));
	if (!one_in(8))
		CALL(mprotect, mprotect(p->place[place] + from, bytes, RW));
}

void op_advise(void)
{
	unsigned int place = one_in(3) ? below(PLACES) : AT_DATA;
	uint32_t bytes = p->mapped[place], from = 0;
	/* All there are, but for those that make out that memory is broken. */
	int advice = below(26);

	if (!bytes)
		return;
	/* Of the rings, what was zapped is missed at once. */
	if (place < AT_DATA && (advice == MADV_DONTNEED || advice == 24) && !one_in(10))
		advice = MADV_WILLNEED;
	if (one_in(2)) {
		from = below(bytes / PAGE) * PAGE;
		bytes = PAGE * (1 + below((bytes - from) / PAGE));
	}
	CALL(madvise, madvise(p->place[place] + from, bytes, advice));
}

void op_pages(void)
{
	unsigned int place = one_in(3) ? below(PLACES) : AT_DATA;
	uint32_t bytes = p->mapped[place];
	unsigned char *at = p->place[place], *seen = me->scratch;

	if (!bytes)
		return;
	switch (below(6)) {
	case 0:
		CALL(mlock, syscall(SYS_mlock2, at, bytes, below(2)));
		break;
	case 1:
		CALL(mlock, munlock(at, bytes));
		break;
	case 2:
		CALL(msync, msync(at, bytes, 1 << below(3)));
		break;
	case 3:
		CALL(mincore, mincore(at, bytes, seen));
		break;
	case 4: {
		void **pages = (void **)me->scratch;
		int *nodes = (int *)(me->scratch + PAGE), *status = (int *)(me->scratch + 2 * PAGE);
		unsigned int i, count = 1 + below(16);

		for (i = 0; i < count; i++) {
			pages[i] = at + i * PAGE;
			nodes[i] = below(2);
			status[i] = 0;
		}
		CALL(move_pages, syscall(SYS_move_pages, 0, (unsigned long)count, pages,
					 one_in(2) ? nodes : NULL, status, 2 + 2 * (int)below(2)));
		break;
	}
	default: {
		unsigned long nodes = 1 + below(3);

		CALL(mbind, syscall(SYS_mbind, at, (unsigned long)bytes, (unsigned long)below(4), &nodes,
				    8 * sizeof(nodes), 2UL << below(2)));
	}
	}
}

/* ---- read(2) ---- */

void op_read(void)
{
	unsigned int reads = 1 + below(6), i;
	int fd;

	/* Nobody else may own it; so for a time nobody has mappings. */
	if (one_in(8))
		stream_reset();
	/* Nobody else closes it meanwhile: its number may soon be a text file's. */
	fd = fd_take(FD_READER);
	if (fd < 0)
		fd = stream_open(O_RDWR | (one_in(8) ? 0 : O_NONBLOCK));
	for (i = 0; i < reads; i++) {
		uint32_t bytes = 8 * (1 + below(8000));
		long n = CALL(read, read(fd, one_in(10) ? me->wild : me->scratch, bytes));

		if (n > 0 && !(n & 7))
			words_are_ours(me->scratch, n, 40);
		if (n < 0 && errno == EAGAIN) {
			struct pollfd q = { .fd = fd, .events = POLLIN };

			CALL(poll, poll(&q, 1, 10));
		} else if (n < 0) {
			break;
		}
	}
	if (one_in(2))
		fd_keep(FD_READER, fd);
	else if (fd >= 0)
		CALL(close, close(fd));
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing the ioctls' structures, through the simulator, which checks them as the driver does
 * (userlib/sim.c, sim_setup.c, sim_memory.c)
 *
 * The input: how large this machine is, what the engine can take, then calls, each with a structure
 * that is its bytes. What is refused changes nothing; what is accepted keeps within every limit
 * of the ABI, and set up again with what was chosen it gives the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "sgring.h"
#include "sim.h"

#define PAGE 4096U

long __real_sysconf(int name);
long __wrap_sysconf(int name);
const char *__asan_default_options(void);

static const struct sgring_backend *const be = &sgring_sim_backend;
static long pages;
static int fd, other;

/* A small machine: limits are met, and set-ups are quick. The program's own calls come here, too. */
__attribute__((no_sanitize("address", "undefined", "coverage")))
long __wrap_sysconf(int name)
{
	return name == _SC_PHYS_PAGES && pages ? pages : __real_sysconf(name);
}

/* A structure in memory of its own size: one byte more would be seen. */
static void *structure(struct input *in, size_t known)
{
	uint8_t kind = (uint8_t)take(in, 1);
	uint32_t size = kind & 1 ? (uint32_t)take(in, 2) : (uint32_t)known;
	size_t room = size > PAGE ? 4 : size < 4 ? 4 : size;
	uint8_t *all = calloc(1, room);
	size_t n = room < known ? room : known;

	claim(all);
	/* Most of what is zero has to stay so: a byte in eight may change, or all of them. */
	for (size_t i = 4; i < n; i++)
		if (kind & 2)
			all[i] = (uint8_t)take(in, 1);
	for (; !(kind & 2) && in->left && n > 4 && kind >= 4; kind -= 4) {
		size_t at = 4 + take(in, 1) % (n - 4);

		all[at] = (uint8_t)take(in, 1);
	}
	if (kind & 128 && room > known)
		all[known + (size_t)take(in, 1) % (room - known)] = 1;
	memcpy(all, &size, sizeof(size));
	return all;
}

static uint32_t state(void)
{
	struct sgring_query q = { .size = sizeof(q) };

	claim(!be->ioctl(be, other, SGRING_QUERY, &q));
	claim(q.abi_version == SGRING_ABI_VERSION && q.stream_bytes_max <= q.total_bytes_max);
	claim(q.total_bytes <= q.stream_bytes_max);
	claim(strnlen(q.label, sizeof(q.label)) < sizeof(q.label));
	return q.state;
}

static void times(uint32_t wake_usec, uint32_t poll_usec, uint32_t idle_usec)
{
	claim((wake_usec && wake_usec <= SGRING_USEC_MAX) || wake_usec == SGRING_OFF);
	claim(poll_usec >= 20 && poll_usec <= SGRING_USEC_MAX);
	claim((idle_usec && idle_usec <= SGRING_USEC_MAX) || idle_usec == SGRING_OFF);
}

static bool power_of_two(uint64_t n)
{
	return n && !(n & (n - 1));
}

static void geometry(const struct sgring_setup *u)
{
	struct sgring_geometry g = { .size = sizeof(g) };
	struct sgring_run run;
	struct sgring_layout l = { .size = sizeof(l), .run_room = 1, .runs = (uintptr_t)&run,
				   .slot = u->slot_count - 1 };

	claim(!be->ioctl(be, other, SGRING_GEOMETRY, &g));
	claim(g.slot_count == u->slot_count && g.slot_bytes == u->slot_bytes);
	claim(g.stride_bytes >= g.slot_bytes && g.stride_bytes % PAGE == 0);
	claim(g.data_bytes == g.stride_bytes * g.slot_count);
	claim(g.data_bytes / PAGE <= (uint64_t)pages / 4);
	claim(power_of_two(g.cq_entries) && g.cq_entries > g.slot_count);
	claim(power_of_two(g.sq_entries) && g.sq_entries >= g.slot_count);
	claim(g.cq_offset >= sizeof(struct sgring_kernel_side));
	claim(g.cq_offset + (uint64_t)g.cq_entries * g.cq_stride <= g.table_offset);
	claim(g.table_offset + (uint64_t)g.slot_count * g.table_stride <= g.kernel_bytes);
	claim(g.sq_offset >= sizeof(struct sgring_user_side));
	claim(g.sq_offset + (uint64_t)g.sq_entries * g.sq_stride <= g.user_bytes);
	claim(power_of_two(g.chunk_bytes_max) && g.chunk_bytes_min <= g.chunk_bytes_max);
	claim(g.segments);

	claim(!be->ioctl(be, other, SGRING_LAYOUT, &l) && l.run_count == 1);
	claim(!run.offset_bytes && run.chunk_bytes * run.chunks == g.stride_bytes);
	l.slot++;
	claim(be->ioctl(be, other, SGRING_LAYOUT, &l) == -ERANGE);
}

static void accepted(const struct sgring_setup *u)
{
	claim(u->slot_count >= 2 && u->slot_count <= SGRING_SLOTS_MAX);
	claim(u->slot_bytes && u->slot_bytes <= SGRING_SLOT_BYTES_MAX);
	claim(u->queue_depth && u->queue_depth <= SGRING_QUEUE_DEPTH_MAX &&
	      u->queue_depth <= u->slot_count);
	claim(u->wake_slots && u->wake_slots <= u->slot_count);
	claim(u->direction == SGRING_CAPTURE && u->overrun <= SGRING_OVERRUN_DROP);
	claim(u->chunk_policy <= SGRING_CHUNK_SINGLE && u->clock <= SGRING_CLOCK_MONOTONIC_RAW);
	claim(!u->metadata_bytes && !u->pad && !u->pad2);
	claim(u->gate_report_ms);
	times(u->wake_usec, u->sq_poll_usec, u->sq_idle_usec);
	geometry(u);
}

static const int refusals[] = {
	EINVAL, E2BIG, ERANGE, EMSGSIZE, EDQUOT, ENOMEM, EOPNOTSUPP, EBUSY, EBADF, EBADFD, EPERM,
	ENOBUFS, EPROTO,
};

static bool may_refuse(int err)
{
	size_t i;

	for (i = 0; i < COUNT(refusals); i++)
		if (err == -refusals[i])
			return true;
	return false;
}

/* The same stream again, as it was chosen. */
static void again(const struct sgring_setup *u)
{
	struct sgring_setup same = *u;

	be->close(be, fd);
	claim(state() == SGRING_STATE_IDLE);
	fd = be->open(be, "sim:label=fuzz", O_RDWR);
	claim(fd >= 0);
	same.message_bytes = 0;
	/* Of single segments the chunk is the driver's to choose. */
	claim(!be->ioctl(be, fd, SGRING_SETUP, &same));
	same.message_bytes = u->message_bytes;
	claim(!memcmp(&same, u, sizeof(same)));
	geometry(&same);
}

static void set_up(struct input *in)
{
	struct sgring_setup *u = structure(in, sizeof(*u)), full = { 0 };
	uint32_t size = u->size, before = state();
	size_t room = size < sizeof(*u) ? size : sizeof(*u);
	bool whole = size >= sizeof(*u) && size <= PAGE;
	char *text = NULL;
	int err;

	if (whole) {
		/* The line goes where there is room for it, and for no more. */
		text = malloc(u->message_bytes && u->message_bytes < 256 ? u->message_bytes : 256);
		claim(text);
		memset(text, 'x', u->message_bytes && u->message_bytes < 256 ? u->message_bytes : 256);
		u->message = (uintptr_t)text;
	}
	err = be->ioctl(be, fd, SGRING_SETUP, u);
	if (err) {
		claim(may_refuse(err) && state() == before);
		if (whole && u->message_bytes && err != -EBADFD && err != -E2BIG)
			claim(memchr(text, 0, u->message_bytes < 256 ? u->message_bytes : 256) &&
			      (text[0] || u->message_bytes == 1));
	} else {
		claim(before == SGRING_STATE_IDLE && state() == SGRING_STATE_READY);
		memcpy(&full, u, room);
		claim(full.size == sizeof(full));
		if (whole) {
			accepted(&full);
			again(&full);
		}
	}
	free(text);
	free(u);
}

static void call(struct input *in)
{
	static const struct {
		unsigned long request;
		size_t bytes;
	} calls[] = {
		{ SGRING_QUERY, sizeof(struct sgring_query) },
		{ SGRING_GEOMETRY, sizeof(struct sgring_geometry) },
		{ SGRING_LAYOUT, sizeof(struct sgring_layout) },
		{ SGRING_STOP, sizeof(struct sgring_stop) },
		{ SGRING_TUNE, sizeof(struct sgring_tune) },
		{ SGRING_STATS, sizeof(struct sgring_stats) },
	};
	uint8_t kind = (uint8_t)take(in, 1);
	size_t i = kind % COUNT(calls);
	void *all = structure(in, calls[i].bytes);
	struct sgring_run *runs = calloc(1, sizeof(*runs));
	struct sgring_layout *l = all;
	uint32_t size;
	int err;

	memcpy(&size, all, sizeof(size));
	if (calls[i].request == SGRING_LAYOUT && size >= sizeof(*l) && size <= PAGE)
		l->runs = (uintptr_t)runs;
	err = be->ioctl(be, kind & 128 ? other : fd, calls[i].request, all);
	claim(!err || may_refuse(err));
	if (!err && calls[i].request == SGRING_TUNE) {
		const struct sgring_tune *t = all;

		times(t->wake_usec, t->sq_poll_usec, t->sq_idle_usec);
	}
	free(runs);
	free(all);
}

static void plain(struct input *in)
{
	static const unsigned long requests[] = { SGRING_ARM, SGRING_START, SGRING_KICK };
	uint8_t kind = (uint8_t)take(in, 1);
	uint32_t before = state(), after;
	int err = be->ioctl(be, kind & 4 ? other : fd, requests[kind % 3],
			    kind & 8 ? (void *)(uintptr_t)kind : NULL);

	after = state();
	claim(!err || (may_refuse(err) && after == before));
	claim(!(kind & 12) || err);
	if (!err && kind % 3 == 0)
		claim(before == SGRING_STATE_READY && after == SGRING_STATE_ARMED);
	if (!err && kind % 3 == 1)
		claim(after == SGRING_STATE_RUNNING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct sgring_sim_options o;
	uint8_t kind = (uint8_t)take(&in, 1);

	/* Pages of 4 KiB. A quarter of them may be a stream's. */
	pages = 16 + (long)take(&in, 2) % 1024;
	sgring_sim_defaults(&o);
	strcpy(o.label, "fuzz");
	o.rate = 1000;
	o.fill = false;
	/* To find out what there is takes long. */
	o.pages = kind % 64 == 63 ? SGRING_SIM_AUTO : SGRING_SIM_4K;
	o.width = 1U << take(&in, 1) % 13;
	o.segment_bytes = kind & 2 ? 4096 + take(&in, 3) : UINT32_MAX;
	o.segments = kind & 4 ? (uint32_t)take(&in, 1) : 0;
	other = sgring_sim_open(&o, O_RDONLY);
	fd = be->open(be, "sim:label=fuzz", O_RDWR);
	claim(fd >= 0 && other >= 0);
	while (in.left) {
		switch (take(&in, 1) % 4) {
		case 0: case 1: set_up(&in); break;
		case 2: call(&in); break;
		case 3: plain(&in); break;
		}
	}
	be->close(be, fd);
	be->close(be, other);
	pages = 0;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Senders to files: every combination of lengths, methods and padding, byte for
 * byte and entry for entry; rotation; and that data and index agree after whatever
 * may happen to a disk, which is played by an engine that completes requests in any
 * order, in parts, or not at all. The files are real ones, in FOLDER, which should
 * be on a disk with O_DIRECT, and on tmpfs.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/magic.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "pattern.h"
#include "recorder.h"
#include "sim.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define SLOT 65536U
#define MEMORY "/dev/shm"	/* a tmpfs, mostly */

static char folder[256];
static bool direct;		/* O_DIRECT works in it */
static uint32_t best;		/* method that is chosen there */
static char said[4096];

static void say(void *context, const char *line)
{
	(void)context;
	strncat(said, line, sizeof(said) - strlen(said) - 2);
	strcat(said, "\n");
}

static const char *path_in(const char *where, const char *name)
{
	static char paths[32][512];
	static unsigned int turn;
	char *p = paths[turn++ % 32];

	snprintf(p, sizeof(paths[0]), "%s/%s", where, name);
	return p;
}

static const char *in(const char *name)
{
	return path_in(folder, name);
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

static unsigned char *read_file(const char *path, size_t *bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *data;
	ssize_t n;

	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	*bytes = (size_t)lseek(fd, 0, SEEK_END);
	data = malloc(*bytes + 1);
	n = pread(fd, data, *bytes, 0);
	assert_int_equal(n, *bytes);
	close(fd);
	return data;
}

/* --- a stream and its sender; the device falls silent after so many slots */

struct run {
	struct sim *sim;
	struct sgring *s;
	struct sgring_tx *t;
};

static void run_open(struct run *r, const char *path, const struct sgring_tx_options *o,
		     const struct sgring_options *so, uint64_t slots)
{
	struct sgring_tx_options mine = o ? *o : *SGRING_TX_OPTIONS(.flags = 0);
	char url[600];

	said[0] = 0;
	mine.say = say;
	r->sim = sim_new();
	r->sim->plan.pause_at = slots;
	assert_int_equal(sim_open(r->sim, &r->s, so ? so : SGRING_OPTIONS(.slot_count = 8)), 0);
	snprintf(url, sizeof(url), "file:%s", path);
	if (sgring_tx_open(&r->t, r->s, url, &mine))
		fail_msg("%s", sgring_errmsg());
	assert_int_equal(sgring_start(r->s), 0);
}

static struct sgring_recorder *recorder(const struct run *r)
{
	return r->t->data;
}

/* The next slot, cut to @length bytes from @from on, goes to the sender. */
static int run_send(struct run *r, uint32_t from, uint32_t length)
{
	struct sgring_slot b;
	int err = sgring_next(r->s, &b, 60000);

	if (err)
		return err;
	b.data += from;
	b.length = length;
	return sgring_tx_send(r->t, &b);
}

static void run_close(struct run *r, int expected)
{
	struct sgring_stats stats;
	int err = sgring_close(r->s);

	if (err != expected)
		fail_msg("close: %d, not %d: %s", err, expected, sgring_errmsg());
	sim_stats(r->sim, &stats);
	assert_int_equal(stats.sq_bad, 0);
	sim_free(r->sim);
}

/* --- what is in the files */

struct found {
	uint64_t hellos, entries, ends, bytes, data_bytes;
	uint32_t align, first_epoch;
	uint64_t session;
	uint64_t lengths[4096];
	uint64_t positions[4096];
};

static uint64_t up(uint64_t n, uint64_t align)
{
	return (n + align - 1) / align * align;
}

static void check_zeroes(const unsigned char *data, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		if (data[from])
			fail_msg("byte %llu is not zero", (unsigned long long)from);
}

/*
 * The index describes the data file from its first byte to its last, and every
 * byte is right. @longer: the data file may go on behind that.
 */
static void check_files(const char *data_path, const char *index_path, bool longer, struct found *f)
{
	struct sgring_track track = { 0 };
	struct sgring_hello hello = { 0 };
	size_t data_bytes, index_bytes, at = 0;
	unsigned char *data = read_file(data_path, &data_bytes);
	unsigned char *index = read_file(index_path, &index_bytes);
	struct sgring_cqe e;
	uint64_t skip, lost, begin = 0;

	memset(f, 0, sizeof(*f));
	f->data_bytes = data_bytes;
	while (at < index_bytes) {
		if (sgring_frame_is_hello(index + at)) {
			assert_true(index_bytes - at >= SGRING_HELLO_BYTES);
			if (sgring_hello_unpack(&hello, index + at))
				fail_msg("%s: %s", index_path, sgring_errmsg());
			sgring_track_hello(&track, &hello);
			assert_true(!f->hellos || f->align == hello.align_bytes);
			f->first_epoch = f->hellos ? f->first_epoch : hello.epoch;
			f->hellos++;
			f->align = hello.align_bytes;
			f->session = hello.session;
			assert_string_equal(hello.label, "sim");
			at += SGRING_HELLO_BYTES;
			continue;
		}
		assert_true(f->hellos);
		assert_true(index_bytes - at >= SGRING_ENTRY_BYTES);
		if (sgring_entry_unpack(&e, index + at, &hello) ||
		    sgring_track_entry(&track, &e, &skip, &lost) < 0)
			fail_msg("%s: byte %zu: %s", index_path, at, sgring_errmsg());
		at += SGRING_ENTRY_BYTES;
		if (e.flags & SGRING_CQE_EOS) {
			f->ends++;
			continue;
		}
		if (begin + e.length_bytes > data_bytes)
			fail_msg("%s: entry %llu ends at %llu, %s at %zu", index_path,
				 (unsigned long long)f->entries,
				 (unsigned long long)begin + e.length_bytes, data_path, data_bytes);
		if (sgring_pattern_verify(data + begin, e.length_bytes, sgring_pattern_key(0),
					  e.position_bytes) != e.length_bytes)
			fail_msg("%s: entry %llu: wrong data", data_path, (unsigned long long)f->entries);
		f->lengths[f->entries % 4096] = e.length_bytes;
		f->positions[f->entries++ % 4096] = e.position_bytes;
		f->bytes += e.length_bytes;
		skip = begin + e.length_bytes;
		begin = up(skip, hello.align_bytes);
		check_zeroes(data, skip, begin < data_bytes ? begin : data_bytes);
	}
	if (longer ? begin > data_bytes : begin != data_bytes)
		fail_msg("%s has %zu bytes, its index describes %llu", data_path, data_bytes,
			 (unsigned long long)begin);
	free(data);
	free(index);
}

/* --- lengths */

struct series {
	const char *name;
	uint32_t from, lengths[40];
	unsigned int count;
};

static const struct series all_series[] = {
	{ "whole slots", 0, { SLOT, SLOT, SLOT, SLOT, SLOT }, 5 },
	{ "nothing", 0, { 0 }, 0 },
	{ "one byte", 0, { 1 }, 1 },
	{ "single bytes", 0, { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, 12 },
	{ "one block", 0, { 4096 }, 1 },
	{ "blocks", 0, { 4096, 8192, 4096, 12288, 4096 }, 5 },
	{ "sectors", 0, { 512, 1024, 512, 1536, 4608, 512, SLOT }, 7 },
	{ "a byte less", 0, { SLOT - 1, SLOT - 1, SLOT - 1, SLOT - 1 }, 4 },
	{ "a byte more", 0, { 4097, 4097, 4097, 4097, 8193 }, 5 },
	{ "aligned again", 0, { 5000, 3192, SLOT, 1, 8191, SLOT, 100, 412, SLOT, SLOT }, 10 },
	{ "one odd in the middle", 0, { SLOT, SLOT, 1000, SLOT, SLOT, SLOT, SLOT, SLOT }, 8 },
	{ "empty ones", 0, { 0, SLOT, 0, 0, 77, 0, SLOT, 0 }, 8 },
	{ "many that fill bounces", 0, { SLOT, 7, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT,
	  SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT,
	  SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT, SLOT }, 32 },
	{ "narrowed by a block", 512, { 4096, SLOT - 512, 1024, 4096 }, 4 },
	{ "narrowed by a word", 4, { 4096, 4092, SLOT - 4, 4096, SLOT - 4, SLOT - 4 }, 6 },
	{ "narrowed by a byte", 1, { SLOT - 1, 4096, 1, SLOT - 1, 4095, 512 }, 6 },
};

static const struct {
	const char *name;
	uint32_t method, flags;
} ways[] = {
	{ "auto", SGRING_TX_AUTO, 0 },
	{ "auto, padded", SGRING_TX_AUTO, SGRING_TX_PAD },
	{ "uring", SGRING_TX_URING, 0 },
	{ "uring, padded", SGRING_TX_URING, SGRING_TX_PAD },
	{ "uring with sqpoll", SGRING_TX_URING, SGRING_TX_SQPOLL },
	{ "registered", SGRING_TX_URING_FIXED, 0 },
	{ "registered, padded", SGRING_TX_URING_FIXED, SGRING_TX_PAD },
	{ "direct", SGRING_TX_DIRECT, 0 },
	{ "direct, padded", SGRING_TX_DIRECT, SGRING_TX_PAD },
	{ "copy", SGRING_TX_COPY, 0 },
	{ "copy, padded", SGRING_TX_COPY, SGRING_TX_PAD },
	{ "raw", SGRING_TX_AUTO, SGRING_TX_RAW },
	{ "raw, padded", SGRING_TX_AUTO, SGRING_TX_RAW | SGRING_TX_PAD },
};

static bool method_works(uint32_t method)
{
	switch (method) {
	case SGRING_TX_DIRECT:
		return direct;
	case SGRING_TX_URING:
		return best == SGRING_TX_URING || best == SGRING_TX_URING_FIXED;
	case SGRING_TX_URING_FIXED:
		return best == SGRING_TX_URING_FIXED;
	}
	return true;
}

/* Without an index: the data file alone. */
static void check_raw(const struct series *m, uint32_t align)
{
	size_t bytes;
	unsigned char *data = read_file(in("x.data"), &bytes);
	uint64_t at = 0, end;
	unsigned int i;

	for (i = 0; i < m->count; i++) {
		/* Slots with nothing in them are not sent at all. */
		assert_int_equal(sgring_pattern_verify(data + at, m->lengths[i], sgring_pattern_key(0),
						       (uint64_t)i * SLOT + m->from), m->lengths[i]);
		end = at + m->lengths[i];
		at = up(end, align);
		check_zeroes(data, end, at);
	}
	assert_int_equal(at, bytes);
	free(data);
}

static void check_series(const struct series *m, uint32_t align)
{
	struct found f;
	unsigned int i;

	check_files(in("x.data"), in("x.index"), false, &f);
	assert_int_equal(f.hellos, 1);
	assert_int_equal(f.ends, 1);
	assert_int_equal(f.align, align);
	assert_int_equal(f.entries, m->count);
	for (i = 0; i < m->count; i++) {
		assert_int_equal(f.lengths[i], m->lengths[i]);
		assert_int_equal(f.positions[i], (uint64_t)i * SLOT + m->from);
	}
}

static void one_series(const struct series *m, uint32_t method, uint32_t flags)
{
	const struct sgring_tx_options o = {
		.size = sizeof(o), .method = method, .flags = flags | SGRING_TX_OVERWRITE,
	};
	struct sgring_tx_stats st;
	uint64_t bytes = 0;
	uint32_t align;
	struct run r;
	unsigned int i;

	run_open(&r, in("x.data"), &o, NULL, m->count);
	align = recorder(&r)->align;
	for (i = 0; i < m->count; i++) {
		if (run_send(&r, m->from, m->lengths[i]))
			fail_msg("%s", sgring_errmsg());
		bytes += m->lengths[i];
	}
	assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
	sgring_tx_stats(r.t, &st);
	assert_int_equal(st.slots, m->count);
	assert_int_equal(st.bytes, bytes);
	assert_int_equal(st.held, 0);
	assert_int_equal(st.outstanding, 0);
	assert_int_equal(st.zerocopy + st.copied, st.sends);
	assert_int_equal(direct && method != SGRING_TX_COPY ? st.copied : st.zerocopy, 0);
	assert_true(st.copied_bytes <= bytes);
	if (method == SGRING_TX_COPY)
		assert_int_equal(st.copied_bytes, 0);
	if (!(flags & SGRING_TX_PAD))
		assert_int_equal(st.padded_bytes, 0);
	assert_int_equal(st.files, 1);
	run_close(&r, 0);
	if (flags & SGRING_TX_RAW)
		check_raw(m, align);
	else
		check_series(m, align);
}

static void every_length_every_way(void **state)
{
	unsigned int i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		if (!method_works(ways[i].method))
			continue;
		for (j = 0; j < ARRAY_SIZE(all_series); j++) {
			print_message("           %s: %s\n", ways[i].name, all_series[j].name);
			unlink(in("x.index"));
			one_series(&all_series[j], ways[i].method, ways[i].flags);
		}
	}
}

static void random_lengths(void **state)
{
	struct series m = { .name = "random", .count = 40 };
	unsigned int i, j, n;

	(void)state;
	srandom(4711);
	for (n = 0; n < 24; n++) {
		i = n % ARRAY_SIZE(ways);
		if (!method_works(ways[i].method))
			continue;
		for (j = 0; j < m.count; j++)
			m.lengths[j] = (uint32_t)random() % (random() % 3 ? SLOT + 1 : 9000);
		one_series(&m, ways[i].method, ways[i].flags & ~SGRING_TX_RAW);
	}
}

/* --- a disk that does what it is told */

enum order { IN_ORDER, LAST_FIRST, ANY };

#define SECTOR 512U
#define SECTORS 16384U

/* What is played to the current file of a recorder. */
static struct {
	struct sgring_recorder *r;
	enum order order;
	bool hold;			/* nothing ends */
	bool hold_syncs;
	bool hurry;			/* a round whenever there can be one */
	unsigned int count;
	struct sgring_disk_op *ops[128];
	unsigned int writes, syncs, index_writes, index_syncs;	/* that ended, or failed */
	unsigned int fail_write, fail_sync, fail_index, fail_index_sync;	/* that one, from 1 on */
	bool fail_allocate;
	unsigned int shorten;		/* every so many writes get a part only */
	unsigned int interrupt;		/* every so many get EINTR, and then EAGAIN, first */
	unsigned int interruptions;
	int error;
	unsigned char written[SECTORS], syncing[SECTORS], durable[SECTORS];
	uint64_t described;
} disk;

static bool of_index(const struct sgring_disk_op *op)
{
	return op->fd == disk.r->current->index_fd;
}

static void play_start(struct sgring_disk *d, struct sgring_disk_op *op)
{
	(void)d;
	assert_true(disk.count < ARRAY_SIZE(disk.ops));
	disk.ops[disk.count++] = op;
	if (op->what == SGRING_DISK_SYNC && !of_index(op))
		memcpy(disk.syncing, disk.written, sizeof(disk.written));
}

static int play_submit(struct sgring_disk *d)
{
	(void)d;
	if (disk.hurry)
		disk.r->current->round_ns = 0;
	return 0;
}

/* All that an index write describes must have been synced before. */
static void check_durable(const unsigned char *units, size_t bytes)
{
	static struct sgring_hello hello;
	struct sgring_cqe e;
	uint64_t sector;
	size_t at;

	for (at = 0; at < bytes; at += SGRING_ENTRY_BYTES) {
		if (sgring_frame_is_hello(units + at)) {
			assert_true(at + SGRING_HELLO_BYTES <= bytes);
			assert_int_equal(sgring_hello_unpack(&hello, units + at), 0);
			at += SGRING_HELLO_BYTES - SGRING_ENTRY_BYTES;
			continue;
		}
		assert_int_equal(sgring_entry_unpack(&e, units + at, &hello), 0);
		for (sector = disk.described / SECTOR;
		     sector < up(disk.described + e.length_bytes, SECTOR) / SECTOR; sector++)
			if (!disk.durable[sector])
				fail_msg("the index describes sector %llu, which was never synced",
					 (unsigned long long)sector);
		disk.described = up(disk.described + e.length_bytes, hello.align_bytes);
	}
}

static int play_sync(const struct sgring_disk_op *op)
{
	unsigned int i;

	if (of_index(op))
		return ++disk.index_syncs == disk.fail_index_sync ? disk.error : 0;
	if (++disk.syncs == disk.fail_sync)
		return disk.error;
	for (i = 0; i < SECTORS; i++)
		disk.durable[i] |= disk.syncing[i];
	return 0;
}

static int play_write(const struct sgring_disk_op *op)
{
	bool index = of_index(op);
	size_t bytes = op->bytes;
	uint64_t sector;
	ssize_t n;

	/* Who has said that it can wait is not told to try again. */
	if (disk.interrupt && !(++disk.interruptions % disk.interrupt))
		return disk.interruptions / disk.interrupt % 2 || op->retry ? -EINTR : -EAGAIN;
	if (index && ++disk.index_writes == disk.fail_index)
		return disk.error;
	if (!index && ++disk.writes == disk.fail_write)
		return disk.error;
	if (index)
		check_durable(op->data, op->bytes);
	else if (disk.shorten && !(disk.writes % disk.shorten) && bytes > 4 * op->block)
		bytes = bytes / 2 - disk.writes % 3;
	/* What is written beyond what is told does no harm, and O_DIRECT wants blocks. */
	n = pwrite(op->fd, op->data, up(bytes, op->block), (off_t)op->at);
	assert_true(n >= (ssize_t)bytes);
	for (sector = op->at / SECTOR; !index && sector < up(op->at + bytes, SECTOR) / SECTOR; sector++)
		disk.written[sector] = 1;
	return (int)bytes;
}

/* A part of what was asked for is there also if it fails. */
static int play_allocate(const struct sgring_disk_op *op)
{
	size_t bytes = disk.fail_allocate ? op->bytes / 2 : op->bytes;

	assert_int_equal(fallocate(op->fd, 0, (off_t)op->at, (off_t)bytes), 0);
	return disk.fail_allocate ? -ENOSPC : 0;
}

static struct sgring_disk_op *play_next(struct sgring_disk *d, int *result)
{
	struct sgring_disk_op *op;
	unsigned int i = 0;

	(void)d;
	if (!disk.count || disk.hold)
		return NULL;
	if (disk.order == LAST_FIRST)
		i = disk.count - 1;
	if (disk.order == ANY) {
		/* Not all of them at once, but one at least if nothing else can end. */
		if (disk.count < SGRING_REC_WRITES && random() % 3 == 0)
			return NULL;
		i = (unsigned int)random() % disk.count;
	}
	op = disk.ops[i];
	if (disk.hold_syncs && op->what == SGRING_DISK_SYNC)
		return NULL;
	memmove(disk.ops + i, disk.ops + i + 1, (--disk.count - i) * sizeof(op));
	if (op->what == SGRING_DISK_ALLOCATE)
		*result = play_allocate(op);
	else
		*result = op->what == SGRING_DISK_SYNC ? play_sync(op) : play_write(op);
	return op;
}

static const struct sgring_disk_engine play = {
	.start = play_start, .submit = play_submit, .next = play_next,
};

/* From now on. The way without a ring is asked for, so that there is nothing else. */
static void run_open_played(struct run *r, uint32_t flags, uint64_t slots,
			    const struct sgring_tx_options *more)
{
	struct sgring_tx_options o = more ? *more : *SGRING_TX_OPTIONS(.flags = 0);

	o.method = direct ? SGRING_TX_DIRECT : SGRING_TX_COPY;
	o.flags |= flags | SGRING_TX_OVERWRITE;
	memset(&disk, 0, sizeof(disk));
	run_open(r, in("x.data"), &o, SGRING_OPTIONS(.slot_count = 32), slots);
	disk.r = recorder(r);
	disk.r->disk.engine = &play;
	disk.r->bounce_bytes = 2 * SLOT;	/* more writes, of what is copied */
}

/* Slots of random lengths, until they are enough or it has failed. */
static int send_random(struct run *r, unsigned int slots)
{
	int err = 0;

	while (slots-- && !err)
		err = run_send(r, 0, (uint32_t)random() % (random() % 2 ? SLOT + 1 : 9000));
	return err;
}

static void writes_may_end_in_any_order(void **state)
{
	static const uint32_t flags[] = { 0, SGRING_TX_PAD };
	unsigned int order, i, n;
	struct found f;
	struct run r;

	(void)state;
	srandom(1);
	for (n = 0; n < 4; n++)
		for (i = 0; i < 2; i++)
			for (order = IN_ORDER; order <= ANY; order++) {
				run_open_played(&r, flags[i], 100, NULL);
				disk.order = order;
				disk.hurry = n % 2;
				disk.shorten = n / 2 ? 3 : 0;
				disk.fail_allocate = n == 2;
				assert_int_equal(send_random(&r, 100), 0);
				run_close(&r, 0);
				check_files(in("x.data"), in("x.index"), false, &f);
				assert_int_equal(f.entries, 100);
			}
}

static void short_and_interrupted_writes_go_on(void **state)
{
	struct sgring_tx_stats st;
	struct found f;
	struct run r;

	(void)state;
	run_open_played(&r, SGRING_TX_PAD, 60, NULL);
	disk.shorten = 2;
	disk.interrupt = 3;
	assert_int_equal(send_random(&r, 60), 0);
	assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
	sgring_tx_stats(r.t, &st);
	assert_true(st.partial > 10);
	assert_true(disk.interruptions > 10);
	run_close(&r, 0);
	check_files(in("x.data"), in("x.index"), false, &f);
	assert_int_equal(f.entries, 60);
}

/* A slot comes the moment the kernel is kicked. */
static struct run *kicked;
static bool was_put_off;

static int ioctl_that_brings_a_slot(const struct sgring_backend *be, int fd, unsigned long request,
				    void *arg)
{
	int err = sgring_sim_backend.ioctl(be, fd, request, arg);

	if (request == SGRING_KICK) {
		was_put_off = kicked->s->put_off;
		while (!sim_posted(kicked->s))
			usleep(100);
	}
	return err;
}

/* Who stays away for long is not left with writes that the kernel does not know of. */
static void what_a_wait_put_off_is_handed_over_at_its_end(void **state)
{
	struct sgring_slot b[8];
	struct run r;
	int i;

	(void)state;
	if (!method_works(SGRING_TX_URING))
		skip();
	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE,
						     .method = SGRING_TX_URING, .batch_slots = 2),
		 SGRING_OPTIONS(.slot_count = 8, .sq_idle_usec = SGRING_OFF), SIM_NEVER);
	for (i = 0; i < 8; i++)
		assert_int_equal(sgring_next(r.s, &b[i], 60000), 0);
	while (!(sgring_load_relaxed(&sgring_rings(r.s)->sq.kernel->flags) & SGRING_NEED_WAKEUP))
		usleep(100);
	/* A slow disk has one, and more can wait; */
	r.s->slot_ns = 1000 * SGRING_MS_NS;
	r.s->busy_ns = 0;
	for (i = 0; i < 4; i++)
		assert_int_equal(sgring_tx_send(r.t, &b[i]), 0);
	assert_true(sgring_tx_queued(r.t) > 0);
	for (; i < 8; i++)
		assert_int_equal(sgring_put(r.s, b[i].index, 0), 0);
	/* but not for one who was away for long. */
	r.s->left_ns = sgring_now_ns() - 1000000 * SGRING_MS_NS;
	kicked = &r;
	r.sim->be.ioctl = ioctl_that_brings_a_slot;
	was_put_off = false;
	assert_int_equal(sgring_wait(r.s, 60000), 0);
	assert_true(was_put_off);
	assert_int_equal(io_uring_sq_ready(&recorder(&r)->disk.uring.ring), 0);
	assert_false(r.s->put_off);
	run_close(&r, 0);
}

/* A slot goes back when its own writes have ended, whatever the others do. */
static void slots_return_as_soon_as_they_are_written(void **state)
{
	struct sgring_tx_stats st;
	struct run r;
	int i;

	(void)state;
	run_open_played(&r, 0, 8, NULL);
	disk.r->ahead = false;
	disk.hold = true;
	for (i = 0; i < 8; i++)
		assert_int_equal(run_send(&r, 0, SLOT), 0);
	sgring_work(r.s);
	sgring_tx_stats(r.t, &st);
	assert_int_equal(st.held, 8);
	assert_int_equal(st.outstanding, 8);
	assert_int_equal(disk.count, 8);
	/* The last one ends, the others are not there. */
	disk.ops[0] = disk.ops[7];
	disk.count = 1;
	disk.hold = false;
	sgring_work(r.s);
	disk.hold = true;
	sgring_tx_stats(r.t, &st);
	assert_int_equal(st.held, 7);
	assert_int_equal(st.outstanding, 7);
	assert_int_equal(st.bytes, SLOT);
	/* Nothing is described that has a hole before it. */
	assert_int_equal(disk.r->current->written, 0);
	for (i = 0; i < 7; i++)
		disk.ops[i] = &disk.r->writes[i].op;
	disk.count = 7;
	disk.hold = false;
	run_close(&r, 0);
	{
		struct found f;

		check_files(in("x.data"), in("x.index"), false, &f);
		assert_int_equal(f.entries, 8);
	}
}

/* The incomplete block is being written when more comes for it. */
static void block_that_grows_is_not_overtaken(void **state)
{
	struct found f;
	struct run r;
	int i;

	(void)state;
	run_open_played(&r, 0, 20, NULL);
	disk.order = LAST_FIRST;
	assert_int_equal(run_send(&r, 0, 1000), 0);
	disk.hold = true;
	assert_int_equal(sgring_tx_flush(r.t, 20), -ETIMEDOUT);
	assert_true(disk.count > 0);
	for (i = 0; i < 19; i++)
		assert_int_equal(run_send(&r, 0, SLOT - 100), 0);
	disk.hold = false;
	run_close(&r, 0);
	check_files(in("x.data"), in("x.index"), false, &f);
	assert_int_equal(f.entries, 20);
}

/* A write of the index may end anywhere, and what is left is written the next time. */
static void index_goes_on_where_a_write_ended(void **state)
{
	const struct sgring_hello hello = {
		.version = SGRING_FRAME_VERSION, .slot_count = 1, .slot_bytes = 1, .align_bytes = 1,
	};
	unsigned char units[64 * 8], file[64 * 8];
	const uint64_t ends[] = { 0, 0, 10, 20, 20, 20, 30, 40 };
	struct sgring_index x;
	size_t cut, i;
	int64_t n;

	(void)state;
	for (i = 0; i < sizeof(units); i++)
		units[i] = (unsigned char)(i / 64 + 100);
	sgring_hello_pack(units, &hello);
	sgring_hello_pack(units + 64 * 4, &hello);
	for (cut = 0; cut <= 64 * 7; cut++) {
		memset(&x, 0, sizeof(x));
		assert_int_equal(sgring_index_begin(&x), 0);
		assert_int_equal(sgring_index_add(&x, units, 2, ends[0]), 0);
		assert_int_equal(sgring_index_add(&x, units + 64 * 2, 1, ends[2]), 0);
		assert_int_equal(sgring_index_add(&x, units + 64 * 3, 1, ends[3]), 0);
		assert_int_equal(sgring_index_add(&x, units + 64 * 4, 2, ends[4]), 0);
		assert_int_equal(sgring_index_add(&x, units + 64 * 6, 1, ends[6]), 0);
		assert_int_equal(sgring_index_begin(&x), 0);
		sgring_index_ready(&x, 30);
		assert_int_equal(sgring_index_end(&x), 30);
		n = sgring_index_begin(&x);
		assert_int_equal(n, 64 * 7);
		/* More comes while it is being written. */
		assert_int_equal(sgring_index_add(&x, units + 64 * 7, 1, ends[7]), 0);
		memcpy(file, x.out, cut);
		sgring_index_done(&x, cut);
		assert_int_equal(x.bytes % 64, 0);
		assert_true(x.bytes <= cut);
		/* Never half a hello. */
		assert_true(x.bytes != 64 && x.bytes != 64 * 5);
		assert_int_equal(x.described, x.bytes ? ends[x.bytes / 64 - 1] : 0);
		sgring_index_ready(&x, 40);
		n = sgring_index_begin(&x);
		assert_int_equal(n, (int64_t)(sizeof(units) - x.bytes));
		memcpy(file + x.bytes, x.out, (size_t)n);
		sgring_index_done(&x, (size_t)n);
		assert_memory_equal(file, units, sizeof(units));
		assert_int_equal(x.described, 40);
		assert_false(sgring_index_drop(&x));
		/* Taken back: entries one by one, a hello whole. */
		assert_int_equal(sgring_index_add(&x, units, 2, 40), 0);
		assert_int_equal(sgring_index_add(&x, units + 64 * 2, 1, 50), 0);
		sgring_index_ready(&x, 50);
		assert_int_equal(sgring_index_end(&x), 50);
		assert_true(sgring_index_drop(&x));
		assert_int_equal(sgring_index_end(&x), 40);
		assert_int_equal(x.ready, 2);
		assert_true(sgring_index_drop(&x));
		assert_int_equal(x.ready, 0);
		assert_false(sgring_index_drop(&x));
		sgring_index_free(&x);
	}
}

/* --- failures */

static void failed_with(struct run *r, int err, const char *name, struct found *f)
{
	int told = 0, i;

	/* Whoever sends is told, or whoever waits. */
	for (i = 0; !told && i < 120; i++)
		told = run_send(r, 0, SLOT - 1000 * (unsigned int)(i % 3));
	if (!told || told == -ETIMEDOUT)
		told = sgring_tx_flush(r->t, 60000);
	if (told != err)
		fail_msg("%d, not %d: %s", told, err, sgring_errmsg());
	assert_int_equal(sgring_tx_error(r->t), err);
	if (!strstr(r->s->sender_message, in(name)))
		fail_msg("\"%s\" does not name %s", r->s->sender_message, in(name));
	assert_non_null(strstr(r->s->sender_message, "byte"));
	run_close(r, err);
	if (!strstr(said, "bytes are good"))
		fail_msg("said: %s", said);
	check_files(in("x.data"), in("x.index"), false, f);
	assert_true(f->hellos);
}

static void failed_writes_leave_data_and_index_that_agree(void **state)
{
	static const int errors[] = { -ENOSPC, -EIO, -EDQUOT, -EFBIG };
	static const uint32_t flags[] = { 0, SGRING_TX_PAD };
	unsigned int i, n;
	struct found f;
	struct run r;

	(void)state;
	srandom(2);
	for (n = 1; n < 40; n++)
		for (i = 0; i < 2; i++) {
			run_open_played(&r, flags[i], 120, NULL);
			disk.order = (enum order)(n % 3);
			disk.hurry = n % 2;
			disk.shorten = n % 5;
			disk.fail_write = n;
			disk.error = errors[n % 4];
			failed_with(&r, disk.error, "x.data", &f);
		}
}

/* But for flushes: however long this takes. */
static void no_rounds(struct run *r)
{
	recorder(r)->current->round_ns = sgring_now_ns() + 3600000 * SGRING_MS_NS;
}

/* What was written since the last good sync may be lost. */
static void failed_sync_takes_back_what_it_should_have_kept(void **state)
{
	struct found before, after;
	struct run r;

	(void)state;
	run_open_played(&r, 0, 20, NULL);
	disk.fail_sync = 2;
	disk.error = -EIO;
	no_rounds(&r);
	assert_int_equal(send_random(&r, 10), 0);
	assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
	assert_int_equal(disk.syncs, 1);
	check_files(in("x.data"), in("x.index"), false, &before);
	assert_int_equal(before.entries, 10);
	no_rounds(&r);
	assert_int_equal(send_random(&r, 10), 0);
	assert_int_equal(sgring_tx_flush(r.t, 60000), -EIO);
	assert_non_null(strstr(sgring_errmsg(), in("x.data")));
	run_close(&r, -EIO);
	check_files(in("x.data"), in("x.index"), false, &after);
	assert_int_equal(after.entries, 10);
	assert_int_equal(after.data_bytes, before.data_bytes);
}

static void failed_index_leaves_data_and_index_that_agree(void **state)
{
	struct found f;
	struct run r;
	unsigned int n;

	(void)state;
	for (n = 1; n < 4; n++) {
		run_open_played(&r, 0, 120, NULL);
		disk.hurry = true;
		disk.fail_index = n;
		disk.error = -ENOSPC;
		failed_with(&r, -ENOSPC, "x.index", &f);
		run_open_played(&r, 0, 120, NULL);
		disk.hurry = true;
		disk.fail_index_sync = n;
		disk.error = -EIO;
		failed_with(&r, -EIO, "x.index", &f);
	}
}

static void disk_that_hangs_fails_after_the_timeout(void **state)
{
	struct run r;
	int err = 0;

	(void)state;
	run_open_played(&r, 0, SIM_NEVER, SGRING_TX_OPTIONS(.timeout_ms = 100));
	disk.hold = true;
	while (!err)
		err = run_send(&r, 0, SLOT);
	assert_int_equal(err, -ETIMEDOUT);
	assert_non_null(strstr(r.s->sender_message, in("x.data")));
	assert_non_null(strstr(r.s->sender_message, "took nothing for 100 ms"));
	run_close(&r, -ETIMEDOUT);
	/* What may still be written is not cut. */
	assert_non_null(strstr(said, "still being written"));
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void has_text(const char *path, const char *text)
{
	size_t bytes;
	unsigned char *data = read_file(path, &bytes);

	assert_int_equal(bytes, strlen(text));
	assert_memory_equal(data, text, bytes);
	free(data);
}

/* Overwriting was allowed, and then something else was not. */
static void what_is_refused_leaves_old_files_as_they_were(void **state)
{
	char data[512];
	const struct sgring_tx_options refused[] = {
		{ .method = SGRING_TX_DIRECT, .flags = SGRING_TX_SQPOLL },
		{ .rotate_bytes = 1 },
		{ .index = data },
	};
	struct sgring_tx_options o;
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim = sim_new();
	unsigned int i, there;
	char url[600];

	(void)state;
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	snprintf(data, sizeof(data), "%s", in("old.data"));
	snprintf(url, sizeof(url), "file:%s", data);
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		/* Both are there, or one of them. */
		for (there = 1; there <= 3; there++) {
			if (there & 1)
				write_text(in("old.data"), "old data");
			if (there & 2)
				write_text(in("old.index"), "old index");
			write_text(in("old-0002.data"), "part");
			o = refused[i];
			o.size = sizeof(o);
			o.flags |= SGRING_TX_OVERWRITE;
			assert_true(sgring_tx_open(&t, s, url, &o) < 0);
			if (there & 1)
				has_text(in("old.data"), "old data");
			else
				assert_false(exists(in("old.data")));
			if (there & 2)
				has_text(in("old.index"), "old index");
			else
				assert_false(exists(in("old.index")));
			has_text(in("old-0002.data"), "part");
			unlink(in("old.data"));
			unlink(in("old.index"));
		}
	}
	write_text(in("old.data"), "old data");
	write_text(in("old.index"), "old index");
	assert_int_equal(sgring_tx_open(&t, s, url, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE)), 0);
	has_text(in("old.data"), "");
	has_text(in("old.index"), "");
	assert_false(exists(in("old-0002.data")));
	assert_int_equal(sgring_close(s), 0);
	unlink(in("old.data"));
	unlink(in("old.index"));
	sim_free(sim);
}

static void cancelled_recording_is_cut_to_what_it_has(void **state)
{
	struct found f;
	struct run r;

	(void)state;
	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE), NULL, 100);
	assert_int_equal(send_random(&r, 60), 0);
	sgring_cancel(r.s);
	run_close(&r, -EINTR);
	check_files(in("x.data"), in("x.index"), false, &f);
	assert_true(f.entries <= 60);
}

/* The kernel's own limit; SIGXFSZ is ignored. */
static struct rlimit no_limit;

static int limit_off(void **state)
{
	(void)state;
	return setrlimit(RLIMIT_FSIZE, &no_limit);
}

static void file_size_limit_is_told(void **state)
{
	struct rlimit limit = no_limit;
	unsigned int i, n;
	struct found f;
	struct run r;
	int err;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(ways); i++) {
		if (!method_works(ways[i].method) || ways[i].flags & SGRING_TX_RAW)
			continue;
		for (n = 0; n < 3; n++) {
			run_open(&r, in("x.data"),
				 SGRING_TX_OPTIONS(.flags = ways[i].flags | SGRING_TX_OVERWRITE,
						   .method = ways[i].method), NULL, SIM_NEVER);
			limit.rlim_cur = 10 * 65536 + n * 4096;
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
			do {
				err = run_send(&r, 0, n ? 20000 : SLOT);
			} while (!err);
			assert_int_equal(err, -EFBIG);
			assert_non_null(strstr(r.s->sender_message, "ulimit -f"));
			run_close(&r, -EFBIG);
			limit_off(NULL);
			check_files(in("x.data"), in("x.index"), false, &f);
			assert_true(f.data_bytes <= limit.rlim_cur);
			/* And it is nearly full. */
			assert_true(f.data_bytes + SLOT + 4096 >= limit.rlim_cur);
		}
	}
}

/* Runs in a child; its exit code. */
static int in_a_child(int (*child)(void))
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("CMOCKA_TEST_ABORT", "1", 1);	/* and do not go on with the next test */
		_exit(child());
	}
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void child_result(int code)
{
	if (code == 77)
		skip();
	assert_int_equal(code, 0);
}

static bool put(const char *path, const char *format, unsigned int id)
{
	FILE *f = fopen(path, "we");

	return f && fprintf(f, format, id) > 0 && !fclose(f);
}

/* A mount of one's own, as root of a user namespace if it must be. */
static bool mount_small(const char *where, const char *size)
{
	const unsigned int uid = geteuid(), gid = getegid();

	if (unshare(CLONE_NEWNS) &&
	    (unshare(CLONE_NEWUSER | CLONE_NEWNS) || !put("/proc/self/setgroups", "deny", 0) ||
	     !put("/proc/self/uid_map", "0 %u 1", uid) || !put("/proc/self/gid_map", "0 %u 1", gid)))
		return false;
	mkdir(where, 0777);
	return !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("small", where, "tmpfs", 0, size);
}

static int fill_a_small_disk(void)
{
	char where[300], data[320], index[320];
	uint32_t length, flags;
	struct found f;
	struct run r;
	int err;

	snprintf(where, sizeof(where), "%s/small", folder);
	if (!mount_small(where, "size=1m"))
		return 77;
	snprintf(data, sizeof(data), "%s/x.data", where);
	snprintf(index, sizeof(index), "%s/x.index", where);
	for (length = 100; length <= SLOT; length = length * 3 + 1)
		for (flags = 0; flags <= SGRING_TX_PAD; flags += SGRING_TX_PAD) {
			run_open(&r, data, SGRING_TX_OPTIONS(.flags = flags), NULL, SIM_NEVER);
			do {
				err = run_send(&r, 0, length);
				/* So that the index has some, and is in the way. */
				if (!err && r.t->stats.slots == 40)
					err = sgring_tx_flush(r.t, 60000);
			} while (!err);
			if (err != -ENOSPC || !strstr(r.s->sender_message, "No space left"))
				return 1;
			run_close(&r, -ENOSPC);
			check_files(data, index, false, &f);
			/* And that is nearly all there was room for. */
			if (f.data_bytes + size_of(index) < (1 << 20) - 2 * SLOT - 128 * 1024)
				return 2;
			unlink(data);
			unlink(index);
		}
	return 0;
}

static void full_disk_keeps_what_its_index_describes(void **state)
{
	(void)state;
	child_result(in_a_child(fill_a_small_disk));
}

static int record_until_killed(void)
{
	struct run r;

	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE,
						     .rotate_bytes = 512 << 20), NULL, SIM_NEVER);
	r.sim->plan.pace_ns = 500000;
	sim_replan(r.sim);
	while (!send_random(&r, 100))
		;
	return 1;
}

static void killed_recording_has_an_index_of_what_is_there(void **state)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	uint64_t bytes = 0;
	struct found f;
	int i, grown = 0;
	pid_t pid;

	(void)state;
	unlink(in("x.index"));
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		_exit(record_until_killed());
	}
	/* About each second it grows; nobody flushes. */
	for (i = 0; i < 30000 && grown < 2; i++) {
		nanosleep(&ms, NULL);
		if (exists(in("x.index")) && size_of(in("x.index")) > bytes) {
			bytes = size_of(in("x.index"));
			grown++;
		}
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_int_equal(grown, 2);
	/* Its last entry may be cut. */
	assert_int_equal(truncate(in("x.index"), (off_t)(size_of(in("x.index")) / 64 * 64)), 0);
	check_files(in("x.data"), in("x.index"), true, &f);
	assert_true(f.entries > 10);
}

/* --- an index that is flushed although nothing happens */

static void silent_stream_gets_its_index_too(void **state)
{
	struct sgring_slot b;
	struct found f;
	struct run r;
	int i;

	(void)state;
	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE), NULL, 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(run_send(&r, 0, SLOT), 0);
	for (i = 0; i < 300 && !size_of(in("x.index")); i++)
		assert_int_equal(sgring_next(r.s, &b, 100), -ETIMEDOUT);
	check_files(in("x.data"), in("x.index"), true, &f);
	assert_int_equal(f.entries, 4);
	assert_int_equal(f.ends, 0);
	run_close(&r, 0);
}

static void flush_leaves_whole_files_and_goes_on(void **state)
{
	static const uint32_t flags[] = { 0, SGRING_TX_PAD };
	unsigned int i, n, m, sent;
	struct found f;
	struct run r;

	(void)state;
	srandom(3);
	for (m = 0; m < ARRAY_SIZE(ways); m++) {
		if (!method_works(ways[m].method) || ways[m].flags & SGRING_TX_RAW)
			continue;
		for (i = 0; i < 2; i++) {
			run_open(&r, in("x.data"),
				 SGRING_TX_OPTIONS(.flags = ways[m].flags | flags[i] |
						   SGRING_TX_OVERWRITE, .method = ways[m].method),
				 NULL, 105);
			for (sent = n = 0; n < 14; n++, sent += n) {
				assert_int_equal(send_random(&r, n + 1), 0);
				assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
				/* Twice is once. */
				assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
				check_files(in("x.data"), in("x.index"), false, &f);
				assert_int_equal(f.entries, sent + n + 1);
			}
			run_close(&r, 0);
			check_files(in("x.data"), in("x.index"), false, &f);
			assert_int_equal(f.entries, 105);
			assert_int_equal(f.ends, 1);
		}
	}
}

static void each_epoch_has_its_hello(void **state)
{
	struct sgring_slot b;
	struct found f;
	struct run r;
	int i, epoch;

	(void)state;
	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE), NULL, 5);
	for (epoch = 0; epoch < 3; epoch++) {
		for (i = 0; i < 5; i++)
			assert_int_equal(run_send(&r, 0, 5000), 0);
		if (epoch == 2)
			break;
		assert_true(sgring_stop(r.s, SGRING_STOP_DRAIN, 0) >= 0);
		assert_int_equal(sgring_next(r.s, &b, 1000), -ENODATA);
		assert_true(b.flags & SGRING_EOS);
		assert_int_equal(sgring_tx_send(r.t, &b), 0);
		assert_int_equal(sgring_start(r.s), 0);
	}
	run_close(&r, 0);
	check_files(in("x.data"), in("x.index"), false, &f);
	assert_int_equal(f.hellos, 3);
	assert_int_equal(f.ends, 3);
	assert_int_equal(f.entries, 15);
	assert_int_equal(f.first_epoch, 1);
}

/* --- rotation */

static void part_paths(unsigned int part, const char **data, const char **index)
{
	char name[64];

	snprintf(name, sizeof(name), part == 1 ? "p.data" : "p-%04u.data", part);
	*data = in(name);
	snprintf(name, sizeof(name), part == 1 ? "p.index" : "p-%04u.index", part);
	*index = in(name);
}

/* All parts, in order: how many; the slots and the stream positions go on. */
static unsigned int check_parts(uint64_t largest, uint64_t slots, bool remove_them)
{
	uint64_t entries = 0, session = 0, next = 0, i;
	const char *data, *index;
	unsigned int part;
	struct found f;

	for (part = 1;; part++) {
		part_paths(part, &data, &index);
		if (!exists(data))
			break;
		check_files(data, index, false, &f);
		assert_int_equal(f.hellos, 1);
		assert_true(f.entries > 0);
		assert_true(f.data_bytes <= largest);
		assert_true(!session || session == f.session);
		session = f.session;
		for (i = 0; i < f.entries; i++) {
			assert_int_equal(f.positions[i], next);
			next += SLOT;
		}
		entries += f.entries;
		if (remove_them) {
			unlink(data);
			unlink(index);
		}
	}
	assert_false(exists(index));
	assert_int_equal(entries, slots);
	return part - 1;
}

static unsigned int rotated(uint32_t length, uint32_t flags, uint64_t rotate_bytes, unsigned int slots)
{
	const char *data, *index;
	struct sgring_tx_stats st;
	unsigned int i, parts;
	struct run r;

	part_paths(1, &data, &index);
	run_open(&r, data, SGRING_TX_OPTIONS(.flags = flags, .rotate_bytes = rotate_bytes), NULL, slots);
	for (i = 0; i < slots; i++)
		assert_int_equal(run_send(&r, 0, length), 0);
	assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
	sgring_tx_stats(r.t, &st);
	run_close(&r, 0);
	parts = check_parts(rotate_bytes, slots, true);
	assert_int_equal(st.files, parts);
	return parts;
}

static void new_files_begin_before_one_grows_too_large(void **state)
{
	(void)state;
	/* Just as many as fit; one byte less room; one byte more. */
	assert_int_equal(rotated(SLOT, 0, 4 * SLOT, 12), 3);
	assert_int_equal(rotated(SLOT, 0, 4 * SLOT - 1, 12), 4);
	assert_int_equal(rotated(SLOT, 0, 4 * SLOT + 1, 12), 3);
	assert_int_equal(rotated(SLOT, 0, 4 * SLOT, 13), 4);
	/* One slot a file. */
	assert_int_equal(rotated(SLOT, 0, SLOT, 12), 12);
	assert_int_equal(rotated(SLOT, 0, 2 * SLOT - 1, 12), 12);
	/* Odd lengths, and what padding adds to them. */
	assert_int_equal(rotated(30000, 0, 90000, 12), 4);
	assert_int_equal(rotated(30000, 0, 89999, 12), 6);
	assert_int_equal(rotated(30000, SGRING_TX_PAD, 3 * 32768, 12), 4);
	assert_int_equal(rotated(30000, SGRING_TX_PAD, 3 * 32768 - 1, 12), 6);
	/* Nothing to rotate. */
	assert_int_equal(rotated(SLOT, 0, 1ULL << 40, 12), 1);
}

static void slot_larger_than_a_file_is_refused(void **state)
{
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim;
	char url[600];

	(void)state;
	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, SGRING_OPTIONS(.slot_bytes = 65000)), 0);
	snprintf(url, sizeof(url), "file:%s", in("p.data"));
	assert_int_equal(sgring_tx_open(&t, s, url, SGRING_TX_OPTIONS(.rotate_bytes = 64999)), -EINVAL);
	assert_non_null(strstr(sgring_errmsg(), "a slot is 65000 bytes"));
	assert_int_equal(sgring_tx_open(&t, s, url, SGRING_TX_OPTIONS(.rotate_bytes = 65000,
								      .flags = SGRING_TX_PAD)), -EINVAL);
	assert_false(exists(in("p.data")));
	assert_false(exists(in("p.index")));
	assert_int_equal(sgring_tx_open(&t, s, url, SGRING_TX_OPTIONS(.rotate_bytes = 65000)), 0);
	assert_int_equal(sgring_close(s), 0);
	sim_free(sim);
	unlink(in("p.data"));
	unlink(in("p.index"));
}

static void new_files_begin_when_one_is_too_old(void **state)
{
	const char *data, *index;
	unsigned int i;
	struct run r;

	(void)state;
	part_paths(1, &data, &index);
	run_open(&r, data, SGRING_TX_OPTIONS(.rotate_ms = 3600000), NULL, 12);
	for (i = 0; i < 12; i++) {
		if (i == 5 || i == 9)
			recorder(&r)->current->begun_ns -= 3600000 * SGRING_MS_NS;
		assert_int_equal(run_send(&r, 0, 10000), 0);
		assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
	}
	run_close(&r, 0);
	assert_int_equal(check_parts(UINT64_MAX, 12, true), 3);
}

/* Syncs that take long do not hold up the writes, until too many files are open. */
static void slow_syncs_do_not_stop_the_stream(void **state)
{
	const char *data, *index;
	struct sgring_slot b;
	struct run r;
	unsigned int i;

	(void)state;
	memset(&disk, 0, sizeof(disk));
	part_paths(1, &data, &index);
	run_open(&r, data, SGRING_TX_OPTIONS(.method = direct ? SGRING_TX_DIRECT : SGRING_TX_COPY,
					     .rotate_bytes = SLOT), SGRING_OPTIONS(.slot_count = 32), 20);
	disk.r = recorder(&r);
	disk.r->disk.engine = &play;
	disk.order = LAST_FIRST;
	disk.hold_syncs = true;
	/* The syncs that began before are at the front: writes overtake them. */
	for (i = 0; i < 20; i++) {
		assert_int_equal(run_send(&r, 0, SLOT), 0);
		sgring_work(r.s);
	}
	assert_int_equal(disk.r->files, SGRING_REC_FILES);
	assert_true(r.t->stats.bytes >= (SGRING_REC_FILES - 1) * SLOT);
	assert_true(sgring_tx_queued(r.t) > 0);
	assert_int_equal(sgring_next(r.s, &b, 50), -ETIMEDOUT);
	disk.hold_syncs = false;
	disk.order = IN_ORDER;
	run_close(&r, 0);
	assert_int_equal(check_parts(SLOT, 20, true), 20);
}

/* --- opening */

static int try_open(const char *url, const struct sgring_tx_options *o)
{
	struct sgring_tx *t = (void *)1;
	struct sgring *s;
	struct sim *sim;
	int err;

	sim = sim_new();
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	err = sgring_tx_open(&t, s, url, o);
	if (err)
		assert_null(t);
	assert_int_equal(sgring_close(s), 0);
	sim_free(sim);
	return err;
}

static void make_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void existing_files_are_not_written_over_unasked(void **state)
{
	char url[600];

	(void)state;
	snprintf(url, sizeof(url), "file:%s", in("o.data"));
	make_file(in("o.data"), "old");
	assert_int_equal(try_open(url, NULL), -EEXIST);
	assert_non_null(strstr(sgring_errmsg(), "o.data exists"));
	assert_int_equal(size_of(in("o.data")), 3);
	assert_false(exists(in("o.index")));
	/* The index is there: the data that was made goes again. */
	unlink(in("o.data"));
	make_file(in("o.index"), "old");
	assert_int_equal(try_open(url, NULL), -EEXIST);
	assert_non_null(strstr(sgring_errmsg(), "o.index exists"));
	assert_false(exists(in("o.data")));
	assert_int_equal(size_of(in("o.index")), 3);
	/* It is in nobody's way without an index, or with another one. */
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.flags = SGRING_TX_RAW)), 0);
	assert_int_equal(size_of(in("o.index")), 3);
	unlink(in("o.data"));
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.index = in("other"))), 0);
	assert_int_equal(size_of(in("o.index")), 3);
	assert_int_equal(size_of(in("other")), SGRING_HELLO_BYTES);
	unlink(in("other"));
	/* A part of a recording that was there: this one would go on with it. */
	unlink(in("o.data"));
	unlink(in("o.index"));
	make_file(in("o-0002.data"), "old");
	make_file(in("o-0003.index"), "old");
	make_file(in("o-3.data"), "not a part");
	assert_int_equal(try_open(url, NULL), -EEXIST);
	assert_non_null(strstr(sgring_errmsg(), "o-0002.data exists"));
	assert_false(exists(in("o.data")));
	assert_false(exists(in("o.index")));
	/* Asked for, all of it. */
	make_file(in("o.data"), "old");
	make_file(in("o.index"), "old");
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE)), 0);
	assert_int_equal(size_of(in("o.data")), 0);
	assert_int_equal(size_of(in("o.index")), SGRING_HELLO_BYTES);
	assert_false(exists(in("o-0002.data")));
	assert_false(exists(in("o-0003.index")));
	assert_true(exists(in("o-3.data")));
}

static void names_of_the_index_and_of_parts(void **state)
{
	static const struct {
		const char *path, *index, *part;
	} cases[] = {
		{ "run1.data", "run1.index", "run1-0012.data" },
		{ "a/run1.sigmf-data", "a/run1.index", "a/run1-0012.sigmf-data" },
		{ "run1", "run1.index", "run1-0012" },
		{ "a.b/run1", "a.b/run1.index", "a.b/run1-0012" },
		{ "a/.hidden", "a/.hidden.index", "a/.hidden-0012" },
		{ "run.1.data", "run.1.index", "run.1-0012.data" },
	};
	unsigned int i;
	char *s;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		s = sgring_file_index(cases[i].path);
		assert_string_equal(s, cases[i].index);
		free(s);
		s = sgring_file_part(cases[i].path, 12);
		assert_string_equal(s, cases[i].part);
		free(s);
		s = sgring_file_part(cases[i].path, 1);
		assert_string_equal(s, cases[i].path);
		free(s);
	}
	s = sgring_file_part("x.data", 12345);
	assert_string_equal(s, "x-12345.data");
	free(s);
}

static void bad_files_are_refused_with_a_reason(void **state)
{
	const struct {
		const char *path;
		struct sgring_tx_options o;
		int err;
		const char *says;
	} cases[] = {
		{ "", { 0 }, -EINVAL, "expected file:path" },
		{ "/dev/null", { .flags = SGRING_TX_OVERWRITE }, -EINVAL, "neither a file nor a block device" },
		{ folder, { .flags = SGRING_TX_OVERWRITE }, -EINVAL, "neither" },
		{ in("no/such/x.data"), { 0 }, -ENOENT, "No such file" },
		{ in("y.index"), { 0 }, -EEXIST, "y.index exists" },
		{ in("y.index"), { .flags = SGRING_TX_OVERWRITE }, -EINVAL, "its own index" },
		{ in("y.data"), { .flags = SGRING_TX_RAW, .index = "x" }, -EINVAL, "no index" },
		{ in("y.data"), { .method = SGRING_TX_ZEROCOPY }, -EINVAL, "sockets" },
		{ in("y.data"), { .method = SGRING_TX_DIRECT, .flags = SGRING_TX_SQPOLL }, -EINVAL, "SQPOLL" },
		{ in("y.data"), { .index = in("no/such/x.index") }, -ENOENT, "x.index" },
	};
	struct sgring_tx_options o;
	char url[600];
	unsigned int i;
	int err;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].o.method == SGRING_TX_DIRECT && !direct)
			continue;
		o = cases[i].o;
		o.size = sizeof(o);
		snprintf(url, sizeof(url), "file:%s", cases[i].path);
		err = try_open(url, &o);
		if (err != cases[i].err || !strstr(sgring_errmsg(), cases[i].says))
			fail_msg("%s: %d, %s", url, err, sgring_errmsg());
		assert_false(exists(in("y.data")));
		unlink(in("y.index"));
	}
}

/* --- where O_DIRECT is not, and where io_uring is not */

static void memory_is_written_through_the_page_cache(void **state)
{
	char data[64], index[64], url[80];
	struct sgring_tx_stats st;
	struct statfs fs;
	struct found f;
	struct run r;

	(void)state;
	if (statfs(MEMORY, &fs) || fs.f_type != TMPFS_MAGIC)
		skip();
	snprintf(data, sizeof(data), MEMORY "/sgring-%d.data", getpid());
	snprintf(index, sizeof(index), MEMORY "/sgring-%d.index", getpid());
	snprintf(url, sizeof(url), "file:%s", data);
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.method = SGRING_TX_DIRECT)), -EOPNOTSUPP);
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.method = SGRING_TX_URING)), -EOPNOTSUPP);
	assert_false(exists(data));
	run_open(&r, data, NULL, NULL, 50);
	assert_int_equal(sgring_tx_method(r.t), SGRING_TX_COPY);
	assert_non_null(strstr(sgring_tx_choice(r.t), "page cache"));
	assert_non_null(strstr(said, "page cache"));
	assert_int_equal(send_random(&r, 50), 0);
	assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
	sgring_tx_stats(r.t, &st);
	assert_int_equal(st.copied, st.sends);
	assert_int_equal(st.zerocopy, 0);
	run_close(&r, 0);
	check_files(data, index, false, &f);
	assert_int_equal(f.entries, 50);
	unlink(data);
	unlink(index);
}

static int record_without_io_uring(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog filter = { ARRAY_SIZE(code), code };
	struct found f;
	struct run r;
	char url[600];

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
		return 77;
	snprintf(url, sizeof(url), "file:%s", in("x.data"));
	if (try_open(url, SGRING_TX_OPTIONS(.method = SGRING_TX_URING, .flags = SGRING_TX_OVERWRITE)) != -EPERM)
		return 1;
	if (try_open(url, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE | SGRING_TX_SQPOLL)) != -EPERM)
		return 2;
	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE), NULL, 50);
	if (sgring_tx_method(r.t) != SGRING_TX_DIRECT || !strstr(sgring_tx_choice(r.t), "not allowed"))
		return 3;
	if (send_random(&r, 50))
		return 4;
	run_close(&r, 0);
	check_files(in("x.data"), in("x.index"), false, &f);
	return f.entries == 50 ? 0 : 5;
}

static void pwrite_is_used_where_io_uring_is_forbidden(void **state)
{
	(void)state;
	if (!direct)
		skip();
	child_result(in_a_child(record_without_io_uring));
}

static void copies_are_said_once_with_the_cure(void **state)
{
	struct run r;
	char *first;

	(void)state;
	if (!direct)
		skip();
	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE), NULL, 8);
	assert_int_equal(run_send(&r, 0, SLOT), 0);
	assert_int_equal(run_send(&r, 0, 1000), 0);
	assert_null(strstr(said, "SGRING_TX_PAD"));
	assert_int_equal(run_send(&r, 0, SLOT), 0);
	assert_int_equal(run_send(&r, 0, SLOT), 0);
	assert_int_equal(sgring_tx_flush(r.t, 60000), 0);
	first = strstr(said, "SGRING_TX_PAD");
	assert_non_null(first);
	assert_null(strstr(first + 1, "SGRING_TX_PAD"));
	assert_in_range(r.t->stats.copied_bytes, 1, 2 * SLOT + 1000);
	run_close(&r, 0);
}

static void several_senders_record_the_same_slots(void **state)
{
	struct sgring_slot b;
	struct sgring_tx *second;
	struct found f;
	struct run r;
	char url[600];
	int i;

	(void)state;
	snprintf(url, sizeof(url), "file:%s", in("second.data"));
	run_open(&r, in("x.data"), SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE), NULL, 100);
	assert_int_equal(sgring_tx_open(&second, r.s, url, SGRING_TX_OPTIONS(.flags = SGRING_TX_PAD)), 0);
	for (i = 0; i < 100; i++) {
		assert_int_equal(sgring_next(r.s, &b, 5000), 0);
		b.length -= (uint32_t)i;
		assert_int_equal(sgring_hold(r.s, b.index), 0);
		assert_int_equal(sgring_tx_send(r.t, &b), 0);
		assert_int_equal(sgring_tx_send(second, &b), 0);
	}
	run_close(&r, 0);
	check_files(in("x.data"), in("x.index"), false, &f);
	assert_int_equal(f.entries, 100);
	check_files(in("second.data"), in("second.index"), false, &f);
	assert_int_equal(f.entries, 100);
	assert_int_equal(f.align, 4096);
}

/* --- a block device */

/* A loop device over a file, which goes with its last user; its number, or -1. */
static int loop_over(const char *path, char *name, size_t room, int *keep)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), n, back;
	struct loop_info64 info = { .lo_flags = LO_FLAGS_AUTOCLEAR };

	if (control < 0)
		return -1;
	n = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	snprintf(name, room, "/dev/loop%d", n);
	*keep = n < 0 ? -1 : open(name, O_RDWR | O_CLOEXEC);
	back = open(path, O_RDWR | O_CLOEXEC);
	if (*keep < 0 || back < 0 || ioctl(*keep, LOOP_SET_FD, back) ||
	    ioctl(*keep, LOOP_SET_STATUS64, &info))
		n = -1;
	if (back >= 0)
		close(back);
	return n;
}

static void block_device_is_written_to_its_end(void **state)
{
	const uint64_t size = 20 * SLOT;
	unsigned char *data;
	char name[64], url[80];
	size_t bytes;
	struct found f;
	struct run r;
	int keep = -1, other, err;

	(void)state;
	make_file(in("disk"), "");
	assert_int_equal(truncate(in("disk"), (off_t)size), 0);
	if (loop_over(in("disk"), name, sizeof(name), &keep) < 0)
		skip();
	snprintf(url, sizeof(url), "file:%s", name);
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.flags = SGRING_TX_RAW)), -EEXIST);
	assert_non_null(strstr(sgring_errmsg(), "block device"));
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE)), -EINVAL);
	assert_non_null(strstr(sgring_errmsg(), "say where the index goes"));
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE | SGRING_TX_RAW,
							 .rotate_ms = 1)), -EINVAL);
	other = open(name, O_RDWR | O_EXCL | O_CLOEXEC);
	assert_true(other >= 0);
	assert_int_equal(try_open(url, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE | SGRING_TX_RAW)),
			 -EBUSY);
	assert_non_null(strstr(sgring_errmsg(), "in use"));
	close(other);

	/* A part of it, which does not end on a block. */
	run_open(&r, name, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE, .index = in("x.index")), NULL, 3);
	memset(recorder(&r)->memory, 0x55, SGRING_REC_BOUNCES * recorder(&r)->bounce_bytes);
	assert_int_equal(run_send(&r, 0, SLOT), 0);
	assert_int_equal(run_send(&r, 0, 1000), 0);
	assert_int_equal(run_send(&r, 0, SLOT), 0);
	run_close(&r, 0);
	assert_non_null(strstr(said, "zeroes to the end of the last block"));
	check_files(name, in("x.index"), true, &f);
	assert_int_equal(f.entries, 3);
	data = read_file(name, &bytes);
	assert_int_equal(bytes, size);
	check_zeroes(data, f.bytes, size);
	free(data);

	/* And all of it. */
	run_open(&r, name, SGRING_TX_OPTIONS(.flags = SGRING_TX_OVERWRITE, .index = in("x.index")),
		 NULL, SIM_NEVER);
	do {
		err = run_send(&r, 0, SLOT);
	} while (!err);
	assert_int_equal(err, -ENOSPC);
	assert_non_null(strstr(r.s->sender_message, "the device ends at 1310720"));
	run_close(&r, -ENOSPC);
	check_files(name, in("x.index"), true, &f);
	assert_int_equal(f.entries, 20);
	close(keep);
}

/* --- */

static void find_best(void)
{
	struct sgring_tx *t;
	struct sgring *s;
	struct sim *sim = sim_new();
	char url[600];

	snprintf(url, sizeof(url), "file:%s", in("probe"));
	assert_int_equal(sim_open(sim, &s, NULL), 0);
	if (sgring_tx_open(&t, s, url, SGRING_TX_OPTIONS(.flags = SGRING_TX_RAW)))
		fail_msg("%s", sgring_errmsg());
	best = (uint32_t)sgring_tx_method(t);
	direct = recorder(&(struct run){ .t = t })->traits.direct;
	print_message("in %s: %s\n", folder, sgring_tx_choice(t));
	sgring_close(s);
	sim_free(sim);
	unlink(in("probe"));
}

static int setup(void **state)
{
	char template[] = FOLDER "/XXXXXX";

	(void)state;
	mkdir(FOLDER, 0777);
	if (!mkdtemp(template))
		return -1;
	snprintf(folder, sizeof(folder), "%s", template);
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &no_limit);
	find_best();
	return 0;
}

static int teardown(void **state)
{
	char command[300];

	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_every_way),
		cmocka_unit_test(random_lengths),
		cmocka_unit_test(writes_may_end_in_any_order),
		cmocka_unit_test(short_and_interrupted_writes_go_on),
		cmocka_unit_test(what_a_wait_put_off_is_handed_over_at_its_end),
		cmocka_unit_test(slots_return_as_soon_as_they_are_written),
		cmocka_unit_test(block_that_grows_is_not_overtaken),
		cmocka_unit_test(index_goes_on_where_a_write_ended),
		cmocka_unit_test(failed_writes_leave_data_and_index_that_agree),
		cmocka_unit_test(failed_sync_takes_back_what_it_should_have_kept),
		cmocka_unit_test(failed_index_leaves_data_and_index_that_agree),
		cmocka_unit_test(what_is_refused_leaves_old_files_as_they_were),
		cmocka_unit_test(disk_that_hangs_fails_after_the_timeout),
		cmocka_unit_test(cancelled_recording_is_cut_to_what_it_has),
		cmocka_unit_test_teardown(file_size_limit_is_told, limit_off),
		cmocka_unit_test(full_disk_keeps_what_its_index_describes),
		cmocka_unit_test(killed_recording_has_an_index_of_what_is_there),
		cmocka_unit_test(silent_stream_gets_its_index_too),
		cmocka_unit_test(flush_leaves_whole_files_and_goes_on),
		cmocka_unit_test(each_epoch_has_its_hello),
		cmocka_unit_test(new_files_begin_before_one_grows_too_large),
		cmocka_unit_test(slot_larger_than_a_file_is_refused),
		cmocka_unit_test(new_files_begin_when_one_is_too_old),
		cmocka_unit_test(slow_syncs_do_not_stop_the_stream),
		cmocka_unit_test(existing_files_are_not_written_over_unasked),
		cmocka_unit_test(names_of_the_index_and_of_parts),
		cmocka_unit_test(bad_files_are_refused_with_a_reason),
		cmocka_unit_test(memory_is_written_through_the_page_cache),
		cmocka_unit_test(pwrite_is_used_where_io_uring_is_forbidden),
		cmocka_unit_test(copies_are_said_once_with_the_cure),
		cmocka_unit_test(several_senders_record_the_same_slots),
		cmocka_unit_test(block_device_is_written_to_its_end),
	};

	return cmocka_run_group_tests_name("file", tests, setup, teardown);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Senders to files and block devices: what the device has made is on the disk, byte
 * for byte, the block layer has seen it and the page cache has not; and what is left
 * when a disk is full, a program is killed, or several senders have the same slots.
 *
 * DISK is a folder on an ext4, of /dev/vda; RAW_DISK a block device with nothing on it.
 */
#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <sgring.h>
#include <sgring_frame.h>

#include "common.h"

#define SLOT	(256 * KIB)

static char heard[4096];

static void hear(void *context, const char *line)
{
	(void)context;
	strncat(heard, line, sizeof(heard) - strlen(heard) - 2);
	strcat(heard, "\n");
}

#define TX(...) SGRING_TX_OPTIONS(.say = hear, __VA_ARGS__)

static const char *disk(void)
{
	const char *path = getenv("DISK");

	if (!path)
		skip();
	return path;
}

static const char *on_disk(const char *name)
{
	static char paths[8][256];
	static unsigned int turn;
	char *p = paths[turn++ % 8];

	snprintf(p, sizeof(paths[0]), "%s/%s", disk(), name);
	return p;
}

/* What an earlier test has left. */
static void clean_disk(void)
{
	char command[300];

	snprintf(command, sizeof(command), "cd %s && rm -rf [a-k]* [m-z]*", disk());
	assert_int_equal(system(command), 0);
}

static struct sgring *near_open(const struct sgring_options *o)
{
	struct sgring *s;

	heard[0] = 0;
	if (sgring_open(&s, dev_path("rx0"), o))
		fail_msg("%s", sgring_errmsg());
	return s;
}

static struct sgring_tx *near_sender(struct sgring *s, const char *path,
				     const struct sgring_tx_options *o)
{
	struct sgring_tx *t;
	char url[300];

	snprintf(url, sizeof(url), "file:%s", path);
	if (sgring_tx_open(&t, s, url, o))
		fail_msg("%s", sgring_errmsg());
	return t;
}

/* So many slots to all of them; 0 or what failed. */
static int near_run(struct sgring *s, struct sgring_tx **t, unsigned int senders, unsigned int slots)
{
	struct sgring_slot b;
	unsigned int i;
	int err = 0;

	while (slots-- && !err) {
		err = sgring_next(s, &b, LONG_MS);
		for (i = 1; !err && i < senders; i++)
			err = sgring_hold(s, b.index);
		for (i = 0; !err && i < senders; i++)
			err = sgring_tx_send(t[i], &b);
	}
	return err;
}

static void near_close(struct sgring *s, int expected)
{
	int err = sgring_close(s);

	if (err != expected)
		fail_msg("close: %d: %s", err, sgring_errmsg());
}

/* ---- what the kernel counts ---- */

/* Bytes that were written to a disk, "vda". */
static uint64_t disk_bytes(const char *name)
{
	unsigned long long sectors = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/stat", name);
	f = fopen(path, "re");
	if (!f || fscanf(f, "%*u %*u %*u %*u %*u %*u %llu", &sectors) != 1)
		fail_msg("%s", path);
	fclose(f);
	return sectors * 512;
}

/* Pages of files that were ever made dirty, on all disks. */
static uint64_t pages_dirtied(void)
{
	unsigned long long n = 0;
	char line[128];
	FILE *f = fopen("/proc/vmstat", "re");

	while (fgets(line, sizeof(line), f) && sscanf(line, "nr_dirtied %llu", &n) != 1)
		;
	fclose(f);
	return n;
}

/* Pages of this file that are in memory. */
static size_t pages_cached(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t i, pages, n = 0;
	unsigned char *in;
	struct stat st;
	void *map;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	pages = ((size_t)st.st_size + 4095) / 4096;
	in = malloc(pages);
	assert_int_equal(mincore(map, (size_t)st.st_size, in), 0);
	for (i = 0; i < pages; i++)
		n += in[i] & 1;
	munmap(map, (size_t)st.st_size);
	free(in);
	close(fd);
	return n;
}

static uint64_t size_of(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		fail_msg("%s: %s", path, strerror(errno));
	return (uint64_t)st.st_size;
}

/* ---- what is in the files ---- */

struct found {
	uint64_t entries;
	uint64_t ends;
	uint64_t bytes;
	uint64_t end;		/* of the data that is described, and its padding */
	uint64_t position;
	uint64_t lost;
	uint64_t odd;		/* slots that are no whole blocks */
};

/*
 * Every entry of the index, and every byte it describes, past the page cache. The
 * positions go on from @f. @longer: the data file may be longer.
 */
static void check_files(const char *data, const char *index, bool longer, struct found *f)
{
	const uint64_t key = pattern_key_of("rx0");
	struct sgring_track track = { 0 };
	struct sgring_hello hello = { 0 };
	FILE *x = fopen(index, "re");
	int fd = open(data, O_RDONLY | O_CLOEXEC | O_DIRECT);
	unsigned char wire[SGRING_HELLO_BYTES];
	uint64_t skip, lost, from, to, size;
	unsigned char *block = NULL;
	struct sgring_cqe e;
	ssize_t n;

	if (!x || fd < 0)
		fail_msg("%s, %s: %s", data, index, strerror(errno));
	assert_int_equal(posix_memalign((void **)&block, 4096, SLOT + 8192), 0);
	f->end = 0;
	while (fread(wire, SGRING_ENTRY_BYTES, 1, x) == 1) {
		if (sgring_frame_is_hello(wire)) {
			assert_int_equal(fread(wire + 64, 64, 1, x), 1);
			if (sgring_hello_unpack(&hello, wire))
				fail_msg("%s", sgring_errmsg());
			sgring_track_hello(&track, &hello);
			continue;
		}
		if (sgring_entry_unpack(&e, wire, &hello) ||
		    sgring_track_entry(&track, &e, &skip, &lost) < 0)
			fail_msg("%s: entry %llu: %s", index, (unsigned long long)f->entries,
				 sgring_errmsg());
		if (e.flags & SGRING_CQE_EOS) {
			f->ends++;
			continue;
		}
		f->lost += e.position_bytes - f->position;
		f->position = e.position_bytes + e.length_bytes;
		/* What is read begins and ends on blocks. */
		from = f->end / 4096 * 4096;
		to = (f->end + e.length_bytes + 4095) / 4096 * 4096;
		n = pread(fd, block, (size_t)(to - from), (off_t)from);
		if (n < (ssize_t)(f->end - from + e.length_bytes))
			fail_msg("%s: %zd bytes at %llu", data, n, (unsigned long long)from);
		if (sgring_pattern_verify(block + (f->end - from), e.length_bytes, key,
					  e.position_bytes) != e.length_bytes)
			fail_msg("%s: wrong data at %llu", data, (unsigned long long)f->end);
		f->entries++;
		f->bytes += e.length_bytes;
		f->odd += e.length_bytes % 512 != 0;
		f->end = (f->end + e.length_bytes + hello.align_bytes - 1) & ~(uint64_t)(hello.align_bytes - 1);
	}
	size = (uint64_t)lseek(fd, 0, SEEK_END);
	if (longer ? size < f->end : size != f->end)
		fail_msg("%s has %llu bytes, its index describes %llu", data,
			 (unsigned long long)size, (unsigned long long)f->end);
	free(block);
	fclose(x);
	close(fd);
}

static struct found found_in(const char *data, const char *index)
{
	struct found f = { 0 };

	check_files(data, index, false, &f);
	return f;
}

/* ---- no copy ---- */

static void written_without_a_copy(uint32_t method, unsigned int slots)
{
	uint64_t dirtied, written, bytes = (uint64_t)slots * SLOT;
	struct sgring_tx_stats st;
	struct sgring_tx *t;
	struct sgring *s;
	struct found f;

	sync();
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 32));
	t = near_sender(s, on_disk("a.data"), TX(.method = method, .flags = SGRING_TX_OVERWRITE));
	print_message("           %s\n", sgring_tx_choice(t));
	assert_true(method == SGRING_TX_AUTO || sgring_tx_method(t) == (int)method);
	sgring_start(s);
	dirtied = pages_dirtied();
	written = disk_bytes("vda");
	assert_int_equal(near_run(s, &t, 1, slots), 0);
	assert_int_equal(sgring_tx_flush(t, LONG_MS), 0);
	/* Both count what the index and the file system's own are, too. */
	dirtied = (pages_dirtied() - dirtied) * 4096;
	written = disk_bytes("vda") - written;
	sgring_tx_stats(t, &st);
	assert_int_equal(st.bytes, bytes);
	assert_int_equal(st.held, 0);
	assert_int_equal(st.copied_bytes, 0);
	assert_true(written >= bytes);
	if (method == SGRING_TX_COPY) {
		assert_int_equal(st.copied, st.sends);
		/* Each processor keeps some of its count to itself for a while. */
		assert_true(dirtied >= bytes / 2);
		assert_true(pages_cached(on_disk("a.data")) > 0);
	} else {
		assert_int_equal(st.zerocopy, st.sends);
		assert_int_equal(st.copied, 0);
		assert_true(written < bytes + bytes / 8 + 2 * MIB);
		assert_true(dirtied < bytes / 16);
		assert_int_equal(pages_cached(on_disk("a.data")), 0);
	}
	/* The close stops the stream and sends what is left; only the flushed part is known. */
	near_close(s, 0);
	f = found_in(on_disk("a.data"), on_disk("a.index"));
	assert_true(f.entries >= slots);
	assert_int_equal(f.ends, 1);
	assert_int_equal(f.lost, 0);
}

static void uring_writes_from_the_slots(void **state)
{
	(void)state;
	clean_disk();
	written_without_a_copy(SGRING_TX_URING, 160);
}

static void pwrite_writes_from_the_slots(void **state)
{
	(void)state;
	clean_disk();
	written_without_a_copy(SGRING_TX_DIRECT, 80);
}

static void best_way_writes_from_the_slots(void **state)
{
	(void)state;
	clean_disk();
	written_without_a_copy(SGRING_TX_AUTO, 80);
}

/* So it is seen that the counters would tell. */
static void page_cache_is_seen_where_it_is_used(void **state)
{
	(void)state;
	clean_disk();
	written_without_a_copy(SGRING_TX_COPY, 40);
}

static void kernel_thread_submits(void **state)
{
	struct sgring_tx *t;
	struct sgring *s;

	(void)state;
	clean_disk();
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16));
	t = near_sender(s, on_disk("a.data"), TX(.flags = SGRING_TX_SQPOLL));
	sgring_start(s);
	assert_int_equal(near_run(s, &t, 1, 60), 0);
	near_close(s, 0);
	assert_true(found_in(on_disk("a.data"), on_disk("a.index")).entries >= 60);
}

/* Packets of odd lengths end slots early. */
static void packets_of_any_length(void **state)
{
	static const uint32_t flags[] = { 0, SGRING_TX_PAD };
	struct sgring_tx_stats st;
	struct sgring_tx *t;
	struct sgring *s;
	struct found f;
	unsigned int i;

	(void)state;
	clean_disk();
	knob_set("rx0", "packet_bytes", 100001);
	knob_set("rx0", "packet_jitter", 5000);
	for (i = 0; i < 2; i++) {
		s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 32));
		t = near_sender(s, on_disk("a.data"), TX(.flags = flags[i] | SGRING_TX_OVERWRITE));
		sgring_start(s);
		assert_int_equal(near_run(s, &t, 1, 200), 0);
		assert_int_equal(sgring_tx_flush(t, LONG_MS), 0);
		sgring_tx_stats(t, &st);
		if (flags[i]) {
			/* The tails alone. */
			assert_true(st.copied_bytes < 200 * 4096);
			assert_true(st.padded_bytes > 200 * 512);
			assert_null(strstr(heard, "SGRING_TX_PAD"));
		} else {
			assert_true(st.copied_bytes > 190 * 95000);
			assert_int_equal(st.padded_bytes, 0);
			assert_non_null(strstr(heard, "SGRING_TX_PAD"));
		}
		assert_int_equal(st.copied, 0);
		near_close(s, 0);
		f = found_in(on_disk("a.data"), on_disk("a.index"));
		assert_true(f.odd > 150);
		assert_int_equal(f.lost, 0);
	}
}

static void files_that_follow_each_other(void **state)
{
	struct found f = { 0 };
	char data[32], index[32];
	struct sgring_tx *t;
	unsigned int part;
	struct sgring *s;

	(void)state;
	clean_disk();
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 32));
	t = near_sender(s, on_disk("r.data"), TX(.rotate_bytes = 10 * SLOT + 1));
	sgring_start(s);
	assert_int_equal(near_run(s, &t, 1, 105), 0);
	near_close(s, 0);
	for (part = 1; part <= 11; part++) {
		snprintf(data, sizeof(data), part == 1 ? "r.data" : "r-%04u.data", part);
		snprintf(index, sizeof(index), part == 1 ? "r.index" : "r-%04u.index", part);
		check_files(on_disk(data), on_disk(index), false, &f);
		assert_true(part == 11 || f.entries == part * 10);
	}
	assert_true(f.entries >= 105);
	assert_int_equal(f.lost, 0);
}

/* ---- disks that end ---- */

static void full_disk_leaves_data_and_index_that_agree(void **state)
{
	struct statvfs v;
	struct sgring_tx *t;
	struct sgring *s;
	struct found f;
	uint64_t room;
	int fd, err;

	(void)state;
	clean_disk();
	fd = open(on_disk("ballast"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(statvfs(disk(), &v), 0);
	room = (uint64_t)v.f_bfree * v.f_frsize - 24 * MIB;
	assert_int_equal(fallocate(fd, 0, 0, (off_t)room), 0);
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 32));
	t = near_sender(s, on_disk("a.data"), TX(.flags = 0));
	sgring_start(s);
	err = near_run(s, &t, 1, 1000);
	assert_int_equal(err, -ENOSPC);
	assert_int_equal(sgring_tx_error(t), -ENOSPC);
	near_close(s, -ENOSPC);
	assert_non_null(strstr(heard, "bytes are good"));
	f = found_in(on_disk("a.data"), on_disk("a.index"));
	/* Ext4 keeps 10 MiB for itself. */
	assert_in_range(f.bytes, 8 * MIB, 24 * MIB);
	assert_int_equal(f.lost, 0);
	close(fd);
}

static void block_device_from_its_first_byte_to_its_last(void **state)
{
	const char *device = getenv("RAW_DISK");
	struct sgring_tx_stats st;
	uint64_t size = 0, written;
	struct sgring_tx *t;
	struct found f = { 0 };
	struct sgring *s;
	int fd;

	(void)state;
	clean_disk();
	if (!device)
		skip();
	fd = open(device, O_RDONLY | O_CLOEXEC);
	assert_int_equal(ioctl(fd, BLKGETSIZE64, &size), 0);
	close(fd);
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 32));
	assert_int_equal(sgring_tx_open(&t, s, "file:/dev/vda", TX(.flags = SGRING_TX_RAW |
								   SGRING_TX_OVERWRITE)), -EBUSY);
	assert_non_null(strstr(sgring_errmsg(), "mounted"));
	written = disk_bytes("vdb");
	t = near_sender(s, device, TX(.flags = SGRING_TX_OVERWRITE, .index = on_disk("raw.index")));
	sgring_start(s);
	assert_int_equal(near_run(s, &t, 1, (unsigned int)(2 * size / SLOT)), -ENOSPC);
	sgring_tx_stats(t, &st);
	near_close(s, -ENOSPC);
	written = disk_bytes("vdb") - written;
	assert_int_equal(written, size);
	assert_int_equal(st.copied_bytes, 0);
	check_files(device, on_disk("raw.index"), false, &f);
	assert_int_equal(f.bytes, size);
	assert_int_equal(f.lost, 0);
}

/* ---- who else has the slots ---- */

/* A thread at the other end of the wire: raw bytes, in order. */
struct far {
	pthread_t thread;
	int listener, port;
	uint64_t key, bytes, bad;
};

static bool enter(const char *side)
{
	const char *path = getenv(side);
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	bool done = fd >= 0 && !setns(fd, CLONE_NEWNET);

	if (fd >= 0)
		close(fd);
	return done;
}

static void *far_listen(void *arg)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t size = sizeof(a);
	struct far *f = arg;

	if (!enter("RIGHT"))
		return NULL;
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!bind(f->listener, (void *)&a, size) && !listen(f->listener, 1) &&
	    !getsockname(f->listener, (void *)&a, &size))
		f->port = ntohs(a.sin_port);
	return NULL;
}

static void *far_receive(void *arg)
{
	static unsigned char buffer[64 * KIB];
	struct far *f = arg;
	int fd = accept(f->listener, NULL, NULL);
	ssize_t n;

	while ((n = recv(fd, buffer, sizeof(buffer), 0)) > 0) {
		f->bad += sgring_pattern_verify(buffer, (size_t)n, f->key, f->bytes) != (size_t)n;
		f->bytes += (uint64_t)n;
	}
	close(fd);
	return NULL;
}

/* Two files, one padded and one raw, and a wire, from the same slots. */
static void several_senders_have_the_same_slots(void **state)
{
	static struct far f;
	struct found found;
	struct sgring_tx_stats st;
	struct sgring_tx *t[3];
	struct sgring_stats stats;
	struct sgring *s;
	char url[64];
	unsigned int i;

	(void)state;
	clean_disk();
	if (!enter("LEFT"))
		skip();
	f = (struct far){ .key = pattern_key_of("rx0") };
	pthread_create(&f.thread, NULL, far_listen, &f);
	pthread_join(f.thread, NULL);
	assert_true(f.port > 0);
	pthread_create(&f.thread, NULL, far_receive, &f);
	s = near_open(SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 32));
	t[0] = near_sender(s, on_disk("a.data"), TX(.flags = SGRING_TX_PAD));
	t[1] = near_sender(s, on_disk("b.data"), TX(.flags = SGRING_TX_RAW));
	snprintf(url, sizeof(url), "tcp://10.77.0.2:%d", f.port);
	if (sgring_tx_open(&t[2], s, url, TX(.flags = SGRING_TX_RAW)))
		fail_msg("%s", sgring_errmsg());
	sgring_start(s);
	assert_int_equal(near_run(s, t, 3, 120), 0);
	for (i = 0; i < 3; i++)
		assert_int_equal(sgring_tx_flush(t[i], LONG_MS), 0);
	for (i = 0; i < 3; i++) {
		sgring_tx_stats(t[i], &st);
		assert_int_equal(st.bytes, 120 * SLOT);
		assert_int_equal(st.copied, 0);
		assert_int_equal(st.copied_bytes, 0);
		assert_int_equal(st.held, 0);
	}
	assert_int_equal(sgring_stats(s, &stats), 0);
	assert_int_equal(stats.sq_bad, 0);
	near_close(s, 0);
	pthread_join(f.thread, NULL);
	close(f.listener);
	assert_int_equal(f.bad, 0);
	assert_int_equal(f.bytes, 120 * SLOT);
	found = found_in(on_disk("a.data"), on_disk("a.index"));
	assert_int_equal(found.entries, 120);
	assert_int_equal(found.lost, 0);
	assert_int_equal(size_of(on_disk("b.data")), 120 * SLOT);
}

/* ---- a program that is killed, and one that may do little ---- */

static void killed_recording_has_an_index_of_what_is_there(void **state)
{
	struct found f = { 0 };
	struct sgring_tx *t;
	struct sgring *s;
	pid_t pid;

	(void)state;
	clean_disk();
	knob_set("rx0", "rate", 20000000);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sgring_open(&s, dev_path("rx0"), SGRING_OPTIONS(.slot_bytes = SLOT,
								    .slot_count = 16)))
			_exit(1);
		t = near_sender(s, on_disk("a.data"), TX(.flags = 0));
		sgring_start(s);
		_exit(near_run(s, &t, 1, UINT32_MAX) ? 2 : 3);
	}
	assert_true(WAIT_FOR(!access(on_disk("a.index"), F_OK) &&
			     size_of(on_disk("a.index")) > SGRING_HELLO_BYTES, LONG_MS));
	msleep(300);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	check_files(on_disk("a.data"), on_disk("a.index"), true, &f);
	assert_true(f.entries > 0);
	assert_int_equal(f.ends, 0);
	assert_int_equal(f.lost, 0);
	/* The stream is free again, and the next recording is whole. */
	assert_true(WAIT_FOR(!sgring_open(&s, dev_path("rx0"), SGRING_OPTIONS(.slot_bytes = SLOT)),
			     LONG_MS));
	t = near_sender(s, on_disk("a.data"), TX(.flags = SGRING_TX_OVERWRITE));
	sgring_start(s);
	assert_int_equal(near_run(s, &t, 1, 20), 0);
	near_close(s, 0);
	assert_true(found_in(on_disk("a.data"), on_disk("a.index")).entries >= 20);
}

static int record_unprivileged(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 } };
	const struct rlimit limit = { 64 * KIB, 64 * KIB };
	struct sgring_tx_stats st;
	struct sgring_tx *t;
	struct sgring *s;

	if (sgring_open(&s, dev_path("rx0"), SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 16)) ||
	    setrlimit(RLIMIT_MEMLOCK, &limit) || setgid(65534) || setuid(65534) ||
	    syscall(SYS_capset, &header, none))
		return 1;
	t = near_sender(s, on_disk("open/a.data"), TX(.flags = 0));
	/* The limit is for registered slots only. */
	if (sgring_tx_method(t) == SGRING_TX_URING_FIXED || sgring_tx_method(t) == SGRING_TX_COPY)
		return 2;
	sgring_start(s);
	if (near_run(s, &t, 1, 40) || sgring_tx_flush(t, LONG_MS)) {
		printf("%s\n", sgring_errmsg());
		return 3;
	}
	sgring_tx_stats(t, &st);
	if (st.copied || st.copied_bytes)
		return 4;
	return sgring_close(s) ? 5 : 0;
}

static void recording_needs_no_privilege(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	clean_disk();
	assert_int_equal(mkdir(on_disk("open"), 0777), 0);
	assert_int_equal(chmod(on_disk("open"), 0777), 0);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		setenv("CMOCKA_TEST_ABORT", "1", 1);
		status = record_unprivileged();
		fflush(stdout);
		_exit(status);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(found_in(on_disk("open/a.data"), on_disk("open/a.index")).entries >= 40);
}

GROUP(TEST(uring_writes_from_the_slots),
      TEST(pwrite_writes_from_the_slots),
      TEST(best_way_writes_from_the_slots),
      TEST(page_cache_is_seen_where_it_is_used),
      TEST(kernel_thread_submits),
      TEST(packets_of_any_length),
      TEST(files_that_follow_each_other),
      TEST(full_disk_leaves_data_and_index_that_agree),
      TEST(block_device_from_its_first_byte_to_its_last),
      TEST(several_senders_have_the_same_slots),
      TEST(killed_recording_has_an_index_of_what_is_there),
      TEST(recording_needs_no_privilege))

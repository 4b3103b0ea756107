// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* See common.h. */
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "common.h"

#define BENCH		"/sys/kernel/debug/sgring-dummy"
#define PARAMETERS	"/sys/module/sgring/parameters"

/* ---- time and files ---- */

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

void msleep(unsigned int ms)
{
	usleep(ms * 1000);
}

static int file_read(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, text, bytes - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	if (n < 0)
		return n;
	text[n] = 0;
	text[strcspn(text, "\n")] = 0;
	return 0;
}

int file_try(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	close(fd);
	return ret;
}

void file_write(const char *path, const char *text)
{
	int ret = file_try(path, text);

	if (ret)
		fail_msg("%s: writing \"%s\": %s", path, text, strerror(-ret));
}

uint64_t file_number(const char *path)
{
	char text[64];
	int ret = file_read(path, text, sizeof(text));

	if (ret)
		fail_msg("%s: %s", path, strerror(-ret));
	return strtoull(text, NULL, 0);
}

/* ---- the bench ---- */

struct knob {
	char path[128];
	char text[64];
};

static struct knob *knobs;
static size_t knob_count;

static void knob_save(const char *directory, const char *name)
{
	struct knob k;
	struct stat st;

	if ((size_t)snprintf(k.path, sizeof(k.path), "%s/%s", directory, name) >=
	    sizeof(k.path))
		return;
	/* Root may write counters too, if nobody looks at their mode. */
	if (stat(k.path, &st) || !(st.st_mode & 0200) || !(st.st_mode & 0400) ||
	    file_read(k.path, k.text, sizeof(k.text)))
		return;
	knobs = realloc(knobs, (knob_count + 1) * sizeof(*knobs));
	knobs[knob_count++] = k;
}

static void each_entry(const char *path, const char *directory,
		       void (*f)(const char *directory, const char *name))
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			f(directory, e->d_name);
	closedir(d);
}

static void knobs_save_line(const char *directory, const char *name)
{
	char path[512];

	(void)directory;
	snprintf(path, sizeof(path), "%s/%s", BENCH, name);
	each_entry(path, path, knob_save);
}

/* The stream has read it when it was registered. */
static bool knob_is_old(const char *name)
{
	return !strcmp(name, "max_segment_bytes") || !strcmp(name, "boundary") ||
	       !strcmp(name, "residue");
}

/* What a test has changed. */
static void knobs_restore(void)
{
	char now[64], path[160];
	size_t i;

	for (i = 0; i < knob_count; i++) {
		char *name = strrchr(knobs[i].path, '/') + 1;

		if (file_read(knobs[i].path, now, sizeof(now)) || !strcmp(now, knobs[i].text))
			continue;
		file_try(knobs[i].path, knobs[i].text);
		if (!knob_is_old(name))
			continue;
		snprintf(path, sizeof(path), "%.*swidth", (int)(name - knobs[i].path),
			 knobs[i].path);
		if (!file_read(path, now, sizeof(now)))
			file_try(path, now);
	}
}

void bench_rebind(const char *label)
{
	knob_set(label, "width", knob_get(label, "width"));
}

int knob_try(const char *label, const char *knob, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s/%s", BENCH, label, knob);
	return file_try(path, text);
}

void knob_set_text(const char *label, const char *knob, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s/%s", BENCH, label, knob);
	file_write(path, text);
}

void knob_set(const char *label, const char *knob, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	knob_set_text(label, knob, text);
}

void parameter_set(const char *name, uint64_t value)
{
	char path[256], text[24];

	snprintf(path, sizeof(path), "%s/%s", PARAMETERS, name);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	file_write(path, text);
}

uint64_t knob_get(const char *label, const char *knob)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s/%s", BENCH, label, knob);
	return file_number(path);
}

uint64_t pattern_key_of(const char *label)
{
	return sgring_pattern_key(knob_get(label, "stream"));
}

/* ---- devices come and go ---- */

#define DEVICES	"/sys/bus/platform/drivers/sgring-dummy"

static struct lost {
	char label[32];
	char device[64];
} lost[8];

/* The line of a label; with NULL a free one. */
static struct lost *lost_find(const char *label)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lost); i++)
		if (!strcmp(lost[i].label, label ?: ""))
			return &lost[i];
	return NULL;
}

int device_unbind(const char *label)
{
	struct sgring_query query = { .size = sizeof(query) };
	struct lost *l = lost_find(NULL);
	int fd = dev_open(label, O_RDONLY), ret;

	if (fd < 0)
		return fd;
	ret = sg_query(fd, &query);
	close(fd);
	if (!ret)
		ret = file_try(DEVICES "/unbind", query.device);
	if (ret || !l)
		return ret;
	snprintf(l->label, sizeof(l->label), "%s", label);
	snprintf(l->device, sizeof(l->device), "%s", query.device);
	return 0;
}

int device_bind(const char *label)
{
	struct lost *l = lost_find(label);
	int ret = l ? file_try(DEVICES "/bind", l->device) : -ENOENT;

	if (!ret)
		l->label[0] = 0;
	return ret;
}

static void devices_restore(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(lost); i++)
		if (lost[i].label[0])
			device_bind(lost[i].label);
}

/* ---- the kernel log ---- */

int log_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	lseek(fd, 0, SEEK_END);
	return fd;
}

int log_open_rested(void)
{
	msleep(5100);	/* DEFAULT_RATELIMIT_INTERVAL, and a little */
	return log_open();
}

static bool log_line(int fd, const char *text)
{
	char line[1024];
	ssize_t n;

	while ((n = read(fd, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		line[n > 0 ? n : 0] = 0;
		if (strstr(line, text))
			return true;
	}
	return false;
}

bool log_has(int fd, const char *text)
{
	return WAIT_FOR(log_line(fd, text), 2000);
}

/* ---- devices ---- */

static bool find(const char *label, char *path, size_t bytes)
{
	char file[300], text[64];
	bool found = false;
	struct dirent *e;
	DIR *d = opendir("/sys/class/sgring");

	while (d && !found && (e = readdir(d))) {
		snprintf(file, sizeof(file), "/sys/class/sgring/%s/label", e->d_name);
		found = e->d_name[0] != '.' && !file_read(file, text, sizeof(text)) &&
			!strcmp(text, label);
		if (found)
			snprintf(path, bytes, "/dev/%s", e->d_name);
	}
	if (d)
		closedir(d);
	return found;
}

bool dev_exists(const char *label)
{
	char path[300];

	return find(label, path, sizeof(path));
}

const char *dev_path(const char *label)
{
	static char path[300];

	if (!find(label, path, sizeof(path)))
		fail_msg("no stream %s", label);
	return path;
}

int dev_open(const char *label, int flags)
{
	int fd = open(dev_path(label), flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int sg_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

int sg_query(int fd, struct sgring_query *query)
{
	*query = (struct sgring_query){ .size = sizeof(*query) };
	return sg_ioctl(fd, SGRING_QUERY, query);
}

int sg_setup(int fd, struct sgring_setup *setup)
{
	setup->size = sizeof(*setup);
	return sg_ioctl(fd, SGRING_SETUP, setup);
}

int sg_geometry(int fd, struct sgring_geometry *geometry)
{
	*geometry = (struct sgring_geometry){ .size = sizeof(*geometry) };
	return sg_ioctl(fd, SGRING_GEOMETRY, geometry);
}

int sg_layout(int fd, uint32_t slot, struct sgring_run *runs, uint32_t room)
{
	struct sgring_layout layout = {
		.size = sizeof(layout),
		.slot = slot,
		.runs = (uintptr_t)runs,
		.run_room = room,
	};
	int ret = sg_ioctl(fd, SGRING_LAYOUT, &layout);

	return ret ?: (int)layout.run_count;
}

int sg_arm(int fd)
{
	return sg_ioctl(fd, SGRING_ARM, NULL);
}

int sg_start(int fd)
{
	return sg_ioctl(fd, SGRING_START, NULL);
}

int sg_kick(int fd)
{
	return sg_ioctl(fd, SGRING_KICK, NULL);
}

int sg_abort(int fd)
{
	struct sgring_stop stop = { .size = sizeof(stop) };

	return sg_ioctl(fd, SGRING_STOP, &stop);
}

int sg_drain(int fd, uint32_t timeout_ms, uint32_t *outcome)
{
	struct sgring_stop stop = {
		.size = sizeof(stop),
		.flags = SGRING_STOP_DRAIN,
		.timeout_ms = timeout_ms,
	};
	int ret = sg_ioctl(fd, SGRING_STOP, &stop);

	if (!ret && outcome)
		*outcome = stop.outcome;
	return ret;
}

int sg_tune(int fd, struct sgring_tune *tune)
{
	tune->size = sizeof(*tune);
	return sg_ioctl(fd, SGRING_TUNE, tune);
}

struct sgring_stats stats_of(int fd)
{
	struct sgring_stats stats = { .size = sizeof(stats) };

	assert_int_equal(sg_ioctl(fd, SGRING_STATS, &stats), 0);
	return stats;
}

struct sgring_query query_of(int fd)
{
	struct sgring_query query;

	assert_int_equal(sg_query(fd, &query), 0);
	return query;
}

/* ---- a stream ---- */

void *region_map(int fd, uint64_t offset, uint64_t bytes, int prot)
{
	void *p = mmap(NULL, bytes, prot, MAP_SHARED, fd, offset);

	return p == MAP_FAILED ? NULL : p;
}

int stream_try_map(struct stream *s)
{
	struct sgring_geometry *g = &s->geometry;
	int ret = sg_geometry(s->fd, g);

	if (ret)
		return ret;
	s->kernel = region_map(s->fd, g->kernel_offset, g->kernel_bytes, PROT_READ);
	if (!s->kernel)
		return -errno;
	s->user = region_map(s->fd, g->user_offset, g->user_bytes, PROT_READ | PROT_WRITE);
	if (!s->user)
		return -errno;
	s->data = region_map(s->fd, g->data_offset, g->data_bytes, PROT_READ | PROT_WRITE);
	if (!s->data)
		return -errno;
	s->cq = (struct sgring_cq){
		.kernel = kernel_side(s),
		.user = user_side(s),
		.entries = s->kernel + g->cq_offset,
		.count = g->cq_entries,
		.stride = g->cq_stride,
		.producer = user_side(s)->cq_consumer,
		.consumer = user_side(s)->cq_consumer,
	};
	s->sq = (struct sgring_sq){
		.kernel = kernel_side(s),
		.user = user_side(s),
		.entries = s->user + g->sq_offset,
		.count = g->sq_entries,
		.stride = g->sq_stride,
		.consumer = kernel_side(s)->sq_consumer,
		.producer = user_side(s)->sq_producer,
	};
	return 0;
}

void stream_map(struct stream *s)
{
	assert_int_equal(stream_try_map(s), 0);
}

void stream_unmap(struct stream *s)
{
	if (s->kernel)
		munmap(s->kernel, s->geometry.kernel_bytes);
	if (s->user)
		munmap(s->user, s->geometry.user_bytes);
	if (s->data)
		munmap(s->data, s->geometry.data_bytes);
	s->kernel = NULL;
	s->user = NULL;
	s->data = NULL;
}

void stream_close(struct stream *s)
{
	stream_unmap(s);
	close(s->fd);
	s->fd = -1;
}

struct stream stream_open(const char *label, const struct sgring_setup *setup)
{
	struct stream s = { .key = pattern_key_of(label) };
	char message[200] = "";
	int ret;

	s.fd = dev_open(label, O_RDWR);
	assert_true(s.fd >= 0);
	if (setup)
		s.setup = *setup;
	if (!s.setup.message) {
		s.setup.message = (uintptr_t)message;
		s.setup.message_bytes = sizeof(message);
	}
	ret = sg_setup(s.fd, &s.setup);
	if (ret)
		fail_msg("set-up of %s: %s: %s", label, strerror(-ret), message);
	stream_map(&s);
	return s;
}

void stream_start(struct stream *s)
{
	assert_int_equal(sg_start(s->fd), 0);
}

void stream_stop(struct stream *s)
{
	assert_int_equal(sg_abort(s->fd), 0);
}

void stream_kick_if_asked(struct stream *s)
{
	if (sgring_load_acquire(&kernel_side(s)->flags) & SGRING_NEED_WAKEUP)
		assert_int_equal(sg_kick(s->fd), 0);
}

uint32_t stream_wait(struct stream *s, uint32_t count, unsigned int ms)
{
	uint32_t ready;

	/* sgring_cq_ready() is content with what it has seen: look again. */
	WAIT_FOR((s->cq.producer = sgring_load_acquire(&s->cq.kernel->cq_producer),
		  ready = sgring_cq_ready(&s->cq)) >= count, ms);
	return ready;
}

struct sgring_cqe stream_next(struct stream *s)
{
	struct sgring_cqe e;

	if (!sgring_cq_ready(&s->cq)) {
		stream_kick_if_asked(s);
		if (!stream_wait(s, 1, LONG_MS))
			fail_msg("no CQ entry in %d ms", LONG_MS);
	}
	e = *sgring_cq_peek(&s->cq, 0);
	sgring_cq_consume(&s->cq, 1);
	return e;
}

void stream_return(struct stream *s, uint32_t slot, uint64_t cookie)
{
	struct sgring_sqe *e = sgring_sq_reserve(&s->sq);

	/* The SQ holds all slots; full, it waits for the kernel to look. */
	if (!e && WAIT_FOR(sgring_sq_room(&s->sq), LONG_MS))
		e = sgring_sq_reserve(&s->sq);
	assert_non_null(e);
	e->slot = slot;
	e->cookie = cookie;
	if (sgring_sq_submit(&s->sq))
		assert_int_equal(sg_kick(s->fd), 0);
}

bool stream_data_right(const struct stream *s, const struct sgring_cqe *e)
{
	size_t right = sgring_pattern_verify(slot_data(s, e->slot), e->length_bytes, s->key,
					     e->position_bytes);
	const unsigned char *p = slot_data(s, e->slot) + (right & ~7ULL);
	unsigned int stream;
	uint64_t at;

	if (right == e->length_bytes)
		return true;
	at = sgring_pattern_locate(sgring_pattern_get(p), &stream);
	print_error("slot %u, position %llu, byte %zu of %u is wrong; the word belongs to position %llu of stream %d\n",
		    e->slot, (unsigned long long)e->position_bytes, right, e->length_bytes,
		    (unsigned long long)at, (int)stream);
	return false;
}

struct sgring_cqe stream_expect(struct stream *s)
{
	uint32_t epoch = sgring_load_acquire(&kernel_side(s)->epoch);
	struct sgring_cqe e = stream_next(s);

	if (epoch != s->epoch) {
		s->epoch = epoch;
		s->position = 0;
	}
	assert_int_equal(e.status, 0);
	assert_false(e.flags & SGRING_CQE_EOS);
	assert_true(e.slot < s->setup.slot_count);
	assert_true(e.length_bytes && e.length_bytes <= s->setup.slot_bytes);
	if (e.flags & SGRING_CQE_GAP)
		assert_true(e.position_bytes > s->position);
	else
		assert_int_equal(e.position_bytes, s->position);
	s->position = e.position_bytes + e.length_bytes;
	assert_true(stream_data_right(s, &e));
	return e;
}

void stream_run(struct stream *s, uint32_t count)
{
	while (count--)
		stream_return(s, stream_expect(s).slot, count);
}

struct sgring_cqe stream_find_end(struct stream *s)
{
	struct sgring_cqe e;

	do
		e = stream_next(s);
	while (!(e.flags & SGRING_CQE_EOS));
	return e;
}

/* ---- the frame of a test ---- */

static uint64_t memory_at_start;
static char memory_label[64];

/* Memory of all streams, by the first stream there is; 0 without one. */
static uint64_t memory_total(void)
{
	struct sgring_query query = { .size = sizeof(query) };
	char path[300];
	int fd;

	if (!find(memory_label, path, sizeof(path)))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	if (sg_query(fd, &query))
		query.total_bytes = 0;
	close(fd);
	return query.total_bytes;
}

static void first_label(const char *directory, const char *name)
{
	char file[300];

	(void)directory;
	snprintf(file, sizeof(file), "/sys/class/sgring/%s/label", name);
	if (!memory_label[0])
		file_read(file, memory_label, sizeof(memory_label));
}

int test_begin(void **state)
{
	(void)state;
	knobs_restore();
	memory_at_start = memory_total();
	return 0;
}

static void unmap_all(void)
{
	unsigned long start, end;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "re");

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "/dev/sgring") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			munmap((void *)start, end - start);
	if (f)
		fclose(f);
}

int test_end(void **state)
{
	(void)state;
	unmap_all();
	syscall(SYS_close_range, 3, ~0U, 0);
	devices_restore();
	knobs_restore();
	if (WAIT_FOR(memory_total() <= memory_at_start, LONG_MS))
		return 0;
	print_error("%llu bytes of stream memory are left behind\n",
		    (unsigned long long)(memory_total() - memory_at_start));
	return -1;
}

int group_run(int argc, char **argv, const struct CMUnitTest *tests, size_t count)
{
	const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
	uint64_t start = now_ns();
	int failed;

	setvbuf(stdout, NULL, _IOLBF, 0);
	each_entry("/sys/class/sgring", "", first_label);
	each_entry(BENCH, "", knobs_save_line);
	each_entry(PARAMETERS, PARAMETERS, knob_save);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
	printf("%s: %d failed, %llu ms\n", name, failed,
	       (unsigned long long)(now_ns() - start) / 1000000);
	return failed;
}

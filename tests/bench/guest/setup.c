// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Set-up in the VM, for tests/bench/part-setup: what SGRING_SETUP, the mmap of the
 * slots and the close cost, in ticks of the TSC and in time; page tables; what
 * chunks and segments it came to.
 *
 *	setup [--runs N] [--mib N] POLICY:CHUNK_BYTES:SLOT_BYTES...
 *
 * POLICY is mixed, equal or single; CHUNK_BYTES 0 where it is not given. --mib is the
 * memory of all slots. One line of JSON a case and run on stdout.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/sgring.h>

#define MIB	(1ULL << 20)
#define GIB	(1ULL << 30)

#define STREAM	"rx0"
#define ZERO	"/sys/kernel/debug/bench-zero"

struct cost {
	uint64_t ticks;
	uint64_t ns;
};

static struct cost now(void)
{
	struct timespec t;
	struct cost c;

	clock_gettime(CLOCK_MONOTONIC, &t);
	c.ns = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	c.ticks = __rdtsc();
	return c;
}

static struct cost since(struct cost begin)
{
	struct cost end = now();

	end.ticks -= begin.ticks;
	end.ns -= begin.ns;
	return end;
}

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "setup: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int stream_open(void)
{
	struct sgring_query q;
	char path[32];
	int n, fd;

	for (n = 0; n < 64; n++) {
		snprintf(path, sizeof(path), "/dev/sgring%d", n);
		fd = open(path, O_RDWR | O_CLOEXEC);
		q = (struct sgring_query){ .size = sizeof(q) };
		if (fd >= 0 && !ioctl(fd, SGRING_QUERY, &q) && !strcmp(q.label, STREAM))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	die("no stream " STREAM);
}

/* Page tables of this process. */
static uint64_t page_table_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	uint64_t kib = 0;
	char line[128];
	bool found = false;

	while (f && fgets(line, sizeof(line), f))
		found |= sscanf(line, "VmPTE: %" SCNu64, &kib) == 1;
	if (!found)
		die("/proc/self/status");
	fclose(f);
	return kib;
}

/* What it costs to zero so many bytes, alone. */
static struct cost zero(uint64_t bytes)
{
	int fd = open(ZERO, O_RDWR | O_CLOEXEC);
	char text[64] = "";
	struct cost c;

	snprintf(text, sizeof(text), "%" PRIu64, bytes / 4096);
	if (fd < 0 || write(fd, text, strlen(text)) < 0 ||
	    read(fd, text, sizeof(text) - 1) <= 0 ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &c.ticks, &c.ns) != 2)
		die(ZERO);
	close(fd);
	return c;
}

static uint64_t chunks_of(int fd, uint32_t slots)
{
	static struct sgring_run runs[4096];
	uint64_t chunks = 0;
	uint32_t slot, i;

	for (slot = 0; slot < slots; slot++) {
		struct sgring_layout l = {
			.size = sizeof(l), .slot = slot, .runs = (uintptr_t)runs,
			.run_room = sizeof(runs) / sizeof(runs[0]),
		};

		if (ioctl(fd, SGRING_LAYOUT, &l))
			die("layout");
		if (l.run_count > l.run_room) {
			errno = E2BIG;
			die("layout");
		}
		for (i = 0; i < l.run_count; i++)
			chunks += runs[i].chunks;
	}
	return chunks;
}

/* @show: not the first time, when the host has to find the memory, too. */
static void measure(const char *name, struct sgring_setup u, unsigned long run, bool show)
{
	const uint64_t bytes = u.slot_bytes * u.slot_count;
	const double per_gib = (double)GIB / (double)bytes;
	struct sgring_geometry g = { .size = sizeof(g) };
	struct sgring_stats st = { .size = sizeof(st) };
	struct cost begin, alloc, map, end, zeroed;
	char message[256] = "";
	uint64_t before, tables, chunks;
	int fd = stream_open();
	void *data;

	u.size = sizeof(u);
	u.message = (uintptr_t)message;
	u.message_bytes = sizeof(message);
	begin = now();
	if (ioctl(fd, SGRING_SETUP, &u))
		die(message[0] ? message : "set-up");
	alloc = since(begin);
	if (ioctl(fd, SGRING_GEOMETRY, &g) || ioctl(fd, SGRING_STATS, &st))
		die("geometry");
	before = page_table_kib();
	begin = now();
	data = mmap(NULL, g.data_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)g.data_offset);
	map = since(begin);
	if (data == MAP_FAILED)
		die("mmap");
	tables = page_table_kib() - before;
	chunks = chunks_of(fd, g.slot_count);
	begin = now();
	munmap(data, g.data_bytes);
	close(fd);
	end = since(begin);
	/* All that was taken was zeroed. */
	zeroed = zero(st.memory_bytes);
	if (!show)
		return;

	printf("{\"part\":\"setup\",\"case\":{\"policy\":\"%s\",\"slot_bytes\":%" PRIu64
	       "},\"run\":%lu,\"metrics\":{", name, (uint64_t)u.slot_bytes, run);
#define COST(what, c) \
	printf("\"" what "_instructions_per_gib\":%.0f,\"" what "_ns_per_gib\":%.0f,", \
	       (double)(c).ticks * per_gib, (double)(c).ns * per_gib)
	COST("alloc", alloc);
	COST("zero", zeroed);
	printf("\"alloc_but_zero_instructions_per_gib\":%.0f,",
	       ((double)alloc.ticks - (double)zeroed.ticks) * per_gib);
	COST("map", map);
	COST("close", end);
	printf("\"page_table_kib_per_gib\":%.1f,\"chunks_per_slot\":%.3f,\"segments_per_slot\":%u,"
	       "\"chunk_bytes_max\":%" PRIu64 ",\"memory_per_byte\":%.4f,\"mib\":%" PRIu64 "}}\n",
	       (double)tables * per_gib, (double)chunks / g.slot_count, g.segments,
	       (uint64_t)g.chunk_bytes_max, (double)st.memory_bytes / (double)bytes,
	       (uint64_t)(bytes / MIB));
	fflush(stdout);
}

static void size_name(char *text, size_t room, const char *policy, uint64_t chunk_bytes)
{
	if (!chunk_bytes)
		snprintf(text, room, "%s", policy);
	else if (chunk_bytes < MIB)
		snprintf(text, room, "%s %" PRIu64 " KiB", policy, chunk_bytes >> 10);
	else
		snprintf(text, room, "%s %" PRIu64 " MiB", policy, chunk_bytes >> 20);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "runs", required_argument, NULL, 'n' },
		{ "mib", required_argument, NULL, 'm' },
		{ 0 }
	};
	static const char * const policies[] = {
		[SGRING_CHUNK_MIXED] = "mixed", [SGRING_CHUNK_EQUAL] = "equal",
		[SGRING_CHUNK_SINGLE] = "single",
	};
	unsigned long runs = 1, mib = 512, run;
	int option, i;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'n')
			runs = strtoul(optarg, NULL, 0);
		else if (option == 'm')
			mib = strtoul(optarg, NULL, 0);
		else
			return 2;
	}
	for (run = 0; run < runs; run++)
		for (i = optind; i < argc; i++) {
			struct sgring_setup u = { 0 };
			char policy[8], name[40];
			uint64_t chunk, slot;

			if (sscanf(argv[i], "%7[^:]:%" SCNu64 ":%" SCNu64, policy, &chunk, &slot) != 3 || !slot) {
				fprintf(stderr, "setup: POLICY:CHUNK_BYTES:SLOT_BYTES, not %s\n", argv[i]);
				return 2;
			}
			while (u.chunk_policy < 3 && strcmp(policy, policies[u.chunk_policy]))
				u.chunk_policy++;
			u.chunk_bytes = chunk;
			u.slot_bytes = slot;
			u.slot_count = (uint32_t)(mib * MIB / slot);
			size_name(name, sizeof(name), policy, chunk);
			if (!run && i == optind)
				measure(name, u, run, false);
			measure(name, u, run, true);
		}
	return 0;
}

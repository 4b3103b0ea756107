// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What it costs to write what a device has filled to a disk, in CPU time
 *
 *	file [-q] [-n RUNS] [-w WAYS] FOLDER
 *
 * Each measurement makes a file of its own, writes as much of the same memory, slot after
 * slot, to the end and onto the disk, and removes it. JSON lines, see tests/bench/README.md.
 *
 *	a	read-write: a read(2) for each slot, played by one that brings nothing and a copy
 *		(native/send.c), then write(2), and fdatasync(2) in the end
 *	b	read-direct: the same, but the copy is written with O_DIRECT
 *	d e f	libsgring over its simulator, O_DIRECT: pwrite; io_uring; io_uring, registered
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "meter.h"
#include "sgring.h"
#include "sim.h"

#define RING_BYTES (64ULL << 20)
#define READ_BYTES (1U << 20)
#define ALIGN (2U << 20)

static const char leaves_out[] =
	"the driver's own work, for which calls are played that do nothing (part driver counts it); the "
	"copy of read(2) is a memcpy; cpu_ns: what kernel threads do for the page cache of read-write "
	"afterwards, which only all_cpus_ns has, as it has whatever else the machine did";

static const char *path;

struct result {
	struct meter meter;
	uint64_t calls;
};

static void die(const char *what)
{
	fprintf(stderr, "file: %s: %s\n", what, strerror(errno));
	unlink(path);
	exit(1);
}

static void die_of(const char *what)
{
	fprintf(stderr, "file: %s: %s\n", what, sgring_errmsg());
	unlink(path);
	exit(1);
}

static unsigned char *memory(size_t bytes)
{
	unsigned char *p = mmap(NULL, bytes + ALIGN, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	p += -(uintptr_t)p & (ALIGN - 1);
	madvise(p, bytes, MADV_HUGEPAGE);
	memset(p, 0x5a, bytes);
	return p;
}

static void run_copying(bool direct, size_t slot, uint64_t total, struct result *r)
{
	static unsigned char *ring, *mine;
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const size_t step = slot < READ_BYTES ? slot : READ_BYTES;
	uint64_t done;
	int fd;

	ring = ring ? ring : memory(RING_BYTES);
	mine = mine ? mine : memory(READ_BYTES);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | (direct ? O_DIRECT : 0), 0600);
	if (fd < 0 || null < 0)
		die(path);
	meter_start(&r->meter);
	for (done = 0; done < total; done += step) {
		if (read(null, mine, step))
			die("read");
		memcpy(mine, ring + done % RING_BYTES, step);
		if (write(fd, mine, step) != (ssize_t)step)
			die(path);
		r->calls += 2;
	}
	if (fdatasync(fd))
		die(path);
	r->calls++;
	meter_stop(&r->meter);
	close(null);
	close(fd);
}

static void run_ours(uint32_t method, size_t slot, uint64_t total, struct result *r)
{
	struct sgring_counters c;
	struct sgring_tx_stats st;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	uint64_t done;
	char url[512];

	snprintf(url, sizeof(url), "file:%s", path);
	meter_pin(meter_device_cpu());
	if (sgring_open(&s, "sim:fill=0", SGRING_OPTIONS(.slot_bytes = slot,
							 .slot_count = (uint32_t)(RING_BYTES / slot))))
		die_of("sim:");
	meter_pin(meter_app_cpu());
	if (sgring_tx_open(&t, s, url, SGRING_TX_OPTIONS(.method = method, .flags = SGRING_TX_RAW)))
		die_of(url);
	if (sgring_sim_clock(sgring_fd(s), &r->meter.device))
		die_of("the simulator's clock");
	r->meter.excluded = true;
	meter_start(&r->meter);
	if (sgring_start(s))
		die_of("start");
	for (done = 0; done < total; done += b.length)
		if (sgring_next(s, &b, 10000) || sgring_tx_send(t, &b))
			die_of(url);
	if (sgring_tx_flush(t, 60000))
		die_of(url);
	meter_stop(&r->meter);
	sgring_counters(s, &c);
	sgring_tx_stats(t, &st);
	r->calls = st.calls + c.kicks + c.polls + c.sender_waits;
	if (st.bytes != total || st.copied) {
		fprintf(stderr, "file: %s: %llu of %llu bytes, %llu writes copied\n", sgring_tx_choice(t),
			(unsigned long long)st.bytes, (unsigned long long)total,
			(unsigned long long)st.copied);
		unlink(path);
		exit(1);
	}
	sgring_close(s);
}

static void measure(char way, size_t slot, uint64_t total, int run)
{
	static const struct {
		char way;
		const char *name;
		uint32_t method;
	} ways[] = {
		{ 'a', "read-write", 0 }, { 'b', "read-direct", 0 },
		{ 'd', "sgring-direct", SGRING_TX_DIRECT }, { 'e', "sgring-uring", SGRING_TX_URING },
		{ 'f', "sgring-fixed", SGRING_TX_URING_FIXED },
	};
	const double mib = (double)total / 1048576, slots = (double)total / (double)slot;
	struct result r = { 0 };
	size_t i;

	for (i = 0; ways[i].way != way; i++)
		if (i + 1 == sizeof(ways) / sizeof(ways[0]))
			return;
	meter_alone();
	if (way < 'd')
		run_copying(way == 'b', slot, total, &r);
	else
		run_ours(ways[i].method, slot, total, &r);
	unlink(path);
	printf("{\"part\":\"file\",\"case\":{\"way\":\"%s\",\"slot_bytes\":%zu},\"run\":%d,"
	       "\"metrics\":{\"cpu_ns_per_mib\":%.0f,\"cpu_ns_per_slot\":%.0f,\"calls_per_slot\":%.4f,"
	       "\"all_cpus_ns_per_mib\":%.0f,\"wall_ns_per_mib\":%.0f}}\n",
	       ways[i].name, slot, run, (double)r.meter.cpu_ns / mib, (double)r.meter.cpu_ns / slots,
	       (double)r.calls / slots, (double)r.meter.all_ns / mib, (double)r.meter.wall_ns / mib);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	static const size_t slots[] = { 64 << 10, 1 << 20, 16 << 20 };
	const char *ways = "abdef", *way;
	bool quick = false;
	char name[512];
	int run, runs = 0, option;
	size_t i;

	while ((option = getopt(argc, argv, "qn:w:")) != -1) {
		if (option == 'q')
			quick = true;
		else if (option == 'n')
			runs = atoi(optarg);
		else if (option == 'w')
			ways = optarg;
		else
			optind = argc;
	}
	if (optind + 1 != argc) {
		fprintf(stderr, "usage: file [-q] [-n RUNS] [-w WAYS] FOLDER\n");
		return 2;
	}
	snprintf(name, sizeof(name), "%s/sgring-bench.%d", argv[optind], (int)getpid());
	path = name;
	meter_pin(meter_app_cpu());
	runs = runs ? runs : quick ? 1 : 7;
	for (run = 1; run <= runs; run++) {
		fprintf(stderr, "file: repetition %d\n", run);
		for (i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
			for (way = ways; *way; way++)
				measure(*way, slots[i], (quick ? 64ULL : 256ULL) << 20, run);
	}
	printf("{\"part\":\"file\",\"context\":{\"kernel\":\"%s\",\"cpu\":\"%s\",\"folder\":\"%s\","
	       "\"app_cpu\":%d,\"device_cpu\":%d,\"leaves_out\":\"%s\"}}\n", meter_kernel(),
	       meter_cpu_model(), argv[optind], meter_app_cpu(), meter_device_cpu(), leaves_out);
	return 0;
}

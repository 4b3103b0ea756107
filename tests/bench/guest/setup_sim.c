// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Set-up of the simulator, for tests/bench/part-setup, on this machine itself: what
 * sgring_open() costs by the size of pages, and the page tables. The memory is this
 * process's: to allocate, to zero and to map it is one thing, a page fault.
 *
 *	setup_sim [--runs N] [--mib N]
 *
 * One line of JSON a case and run on stdout; pages that this machine has not got are
 * left out, and stderr says why.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <sgring.h>

#define MIB		(1ULL << 20)
#define SLOT_BYTES	MIB

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t page_table_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	uint64_t kib = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmPTE: %" SCNu64, &kib);
	if (f)
		fclose(f);
	return kib;
}

/* Run 0 is not shown: this machine has to find the memory. */
static void measure(const char *pages, const char *name, uint64_t mib, unsigned long run)
{
	const double per_gib = 1024.0 / (double)mib;
	uint64_t before = page_table_kib(), ns, cpu, close_ns, tables, chunk;
	struct sgring *s;
	char url[64];

	snprintf(url, sizeof(url), "sim:fill=0,pages=%s", pages);
	ns = clock_ns(CLOCK_MONOTONIC);
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (sgring_open(&s, url, SGRING_OPTIONS(.slot_bytes = SLOT_BYTES,
						.slot_count = (uint32_t)(mib * MIB / SLOT_BYTES)))) {
		if (!run)
			fprintf(stderr, "setup_sim: %s\n", sgring_errmsg());
		return;
	}
	cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	ns = clock_ns(CLOCK_MONOTONIC) - ns;
	tables = page_table_kib() - before;
	chunk = sgring_geometry(s)->chunk_bytes_max;
	close_ns = clock_ns(CLOCK_MONOTONIC);
	sgring_close(s);
	close_ns = clock_ns(CLOCK_MONOTONIC) - close_ns;
	if (!run)
		return;
	printf("{\"part\":\"setup\",\"case\":{\"policy\":\"simulator, %s\",\"slot_bytes\":%llu},\"run\":%lu,"
	       "\"metrics\":{\"open_ns_per_gib\":%.0f,\"open_cpu_ns_per_gib\":%.0f,\"close_ns_per_gib\":%.0f,"
	       "\"page_table_kib_per_gib\":%.1f,\"chunk_bytes_max\":%" PRIu64 ",\"mib\":%" PRIu64 "}}\n",
	       name, SLOT_BYTES, run - 1, (double)ns * per_gib, (double)cpu * per_gib,
	       (double)close_ns * per_gib, (double)tables * per_gib, chunk, mib);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "runs", required_argument, NULL, 'n' },
		{ "mib", required_argument, NULL, 'm' },
		{ 0 }
	};
	unsigned long runs = 1, run;
	uint64_t mib = 256;
	int option;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'n')
			runs = strtoul(optarg, NULL, 0);
		else if (option == 'm')
			mib = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	for (run = 0; run <= runs; run++) {
		measure("4k", "4 KiB pages", mib, run);
		measure("thp", "huge pages", mib, run);
	}
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * realtime: a processor of its own, a real-time priority, and no sleep
 *
 *	realtime STREAM CPU [SECONDS]		realtime rx0 3 10
 *
 * For those who must answer each slot at once. It measures how long that takes: from
 * the end of a transfer, as the driver saw it, to the slot in this program's hands.
 * What it needs: a processor the scheduler keeps free (isolcpus=3 nohz_full=3 on the
 * kernel's command line), RLIMIT_RTPRIO and RLIMIT_MEMLOCK (the group sgring has both).
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include <sgring.h>

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* First the processor, so that the slots' memory is near it. */
static int pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set);
}

/* Above every ordinary thread, below the kernel's own (50); and never a page fault. */
static int go_real_time(void)
{
	const struct sched_param param = { .sched_priority = 40 };

	return mlockall(MCL_CURRENT | MCL_FUTURE) || sched_setscheduler(0, SCHED_FIFO, &param);
}

int main(int argc, char **argv)
{
	uint64_t slots = 0, late_ns = 0, worst_ns = 0, end_ns, ns;
	struct sgring_slot b;
	struct sgring *s;
	int err;

	if (argc < 3)
		return fprintf(stderr, "usage: realtime STREAM CPU [SECONDS]\n"), 1;
	if (pin(atoi(argv[2])))
		return perror("processor"), 1;
	/*
	 * SGRING_SPIN: look again and again instead of sleeping. sq_idle_usec so large that
	 * the driver never asks to be kicked: no system call at all while it runs.
	 */
	if (sgring_open(&s, argv[1], SGRING_OPTIONS(.waiting = SGRING_SPIN, .wake_slots = 1,
			.sq_idle_usec = 60000000)))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	if (go_real_time()) {
		perror("real time");
		return sgring_close(s), 1;
	}
	end_ns = now_ns() + (argc > 3 ? strtoull(argv[3], NULL, 10) : 10) * 1000000000;
	err = sgring_start(s);
	while (!err && now_ns() < end_ns) {
		err = sgring_next(s, &b, 100);
		if (err == -ETIMEDOUT)
			err = 0;
		else if (!err) {
			ns = now_ns() - b.time_ns;
			worst_ns = ns > worst_ns ? ns : worst_ns;
			late_ns += ns;
			slots++;
			/* Here b.data has b.length bytes; what one does with them. */
			err = sgring_return(s, &b);
		}
	}
	if (err && err != -ENODATA)
		fprintf(stderr, "%s\n", sgring_errmsg());
	printf("%" PRIu64 " slots, after %.1f us on average, %.1f us at worst\n", slots,
	       slots ? (double)late_ns / (double)slots / 1e3 : 0, (double)worst_ns / 1e3);
	return sgring_close(s);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Prints the frequency of this machine's TSC in kHz. A guest under TCG reads the same TSC, but
 * cannot find out its frequency when this machine is busy: it measures against interrupts that
 * come late, and its clock then runs several times too fast.
 */
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

struct moment {
	unsigned long long ticks;
	long long ns;
};

/* The TSC and the clock at one time: the narrowest of some tries. */
static struct moment now(void)
{
	unsigned long long best = ~0ULL, before, after;
	struct timespec t;
	struct moment m;

	for (int i = 0; i < 50; i++) {
		before = __rdtsc();
		clock_gettime(CLOCK_MONOTONIC_RAW, &t);
		after = __rdtsc();
		if (after - before >= best)
			continue;
		best = after - before;
		m.ticks = before + best / 2;
		m.ns = t.tv_sec * 1000000000LL + t.tv_nsec;
	}
	return m;
}

int main(void)
{
	struct timespec wait = { .tv_nsec = 100000000 };
	struct moment a = now(), b;

	nanosleep(&wait, NULL);
	b = now();
	printf("%.0f\n", (b.ticks - a.ticks) * 1e6 / (b.ns - a.ns));
	return 0;
}

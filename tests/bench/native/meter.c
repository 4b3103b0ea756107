// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* CPUs and clocks: see meter.h. */
#include <dirent.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "meter.h"

/* The n-th from the end of those we may use; the first is busiest with others' work. */
static int cpu_from_end(int n)
{
	static cpu_set_t allowed;
	int cpu, last = -1;

	if (!CPU_COUNT(&allowed))
		sched_getaffinity(0, sizeof(allowed), &allowed);
	for (cpu = CPU_SETSIZE - 1; cpu >= 0; cpu--) {
		if (!CPU_ISSET(cpu, &allowed))
			continue;
		last = cpu;
		if (!n--)
			break;
	}
	return last;
}

int meter_app_cpu(void)
{
	return cpu_from_end(0);
}

int meter_device_cpu(void)
{
	return cpu_from_end(1);
}

void meter_pin(int cpu)
{
	cpu_set_t set;

	meter_app_cpu();	/* it is to be asked for before this */
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("sched_setaffinity");
		exit(1);
	}
}

int64_t meter_ns(clockid_t clock)
{
	struct timespec t = { 0 };

	clock_gettime(clock, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* All but idle, waiting and stolen: of all CPUs, and of the application's. */
static int64_t busy_ns(int64_t *app_ns)
{
	unsigned long long user, nice, kernel, idle, wait, irq, softirq;
	FILE *f = fopen("/proc/stat", "re");
	int64_t all = 0, ns;
	char line[256];
	int cpu;

	*app_ns = 0;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "cpu%d %llu %llu %llu %llu %llu %llu %llu", &cpu, &user, &nice, &kernel,
			   &idle, &wait, &irq, &softirq) != 8)
			continue;
		ns = (int64_t)(user + nice + kernel + irq + softirq) * (1000000000 / sysconf(_SC_CLK_TCK));
		all += ns;
		if (cpu == meter_app_cpu())
			*app_ns = ns;
	}
	if (f)
		fclose(f);
	return all;
}

/* The kernel's number of the CPU clock of a thread of ours, whoever made it. */
static clockid_t clock_of(pid_t thread)
{
	return (clockid_t)(~(unsigned int)thread << 3 | 6);
}

/*
 * Thread by thread: the clock of the whole process knows of those that run on other CPUs
 * only as of their last tick, which is milliseconds ago.
 */
static int64_t cpu_ns(const struct meter *m)
{
	const clockid_t own = clock_of(gettid());
	int64_t ns = meter_ns(own);
	DIR *threads = opendir("/proc/self/task");
	struct dirent *e;
	clockid_t clock;

	while (threads && (e = readdir(threads))) {
		clock = clock_of(atoi(e->d_name));
		if (e->d_name[0] != '.' && clock != own && !(m->excluded && clock == m->device))
			ns += meter_ns(clock);
	}
	if (threads)
		closedir(threads);
	return ns;
}

/* Threads of ours. */
static unsigned int threads(void)
{
	DIR *all = opendir("/proc/self/task");
	struct dirent *e;
	unsigned int n = 0;

	while (all && (e = readdir(all)))
		n += e->d_name[0] != '.';
	if (all)
		closedir(all);
	return n;
}

void meter_alone(void)
{
	unsigned int ms;

	for (ms = 0; threads() > 1; ms++) {
		if (ms == 10000) {
			fprintf(stderr, "the threads of the last measurement do not end\n");
			exit(1);
		}
		usleep(1000);
	}
}

void meter_start(struct meter *m)
{
	m->all_ns = busy_ns(&m->busy_ns) - (m->excluded ? meter_ns(m->device) : 0);
	m->wall_ns = meter_ns(CLOCK_MONOTONIC);
	m->cpu_ns = cpu_ns(m);
}

void meter_stop(struct meter *m)
{
	int64_t app;

	m->cpu_ns = cpu_ns(m) - m->cpu_ns;
	m->wall_ns = meter_ns(CLOCK_MONOTONIC) - m->wall_ns;
	m->all_ns = busy_ns(&app) - (m->excluded ? meter_ns(m->device) : 0) - m->all_ns;
	m->busy_ns = app - m->busy_ns;
}

const char *meter_cpu_model(void)
{
	static char model[128] = "unknown";
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256], *colon;

	while (f && fgets(line, sizeof(line), f)) {
		colon = strchr(line, ':');
		if (strncmp(line, "model name", 10) || !colon)
			continue;
		line[strcspn(line, "\n\"\\")] = 0;
		snprintf(model, sizeof(model), "%s", colon + 2);
		break;
	}
	if (f)
		fclose(f);
	return model;
}

const char *meter_kernel(void)
{
	static struct utsname name;

	uname(&name);
	return name.release;
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * What the native parts of the bench measure with: CPUs, clocks, JSON lines.
 *
 * The program that is measured runs on one CPU, whatever plays the device on
 * another. What is counted is the CPU time of the whole process, the kernel's work
 * for it and threads the kernel made for it included, less the device's thread.
 */
#ifndef METER_H
#define METER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* Where the application and the device run; the same one if there is only one. */
int meter_app_cpu(void);
int meter_device_cpu(void);
/* This thread, and those it makes from now on. */
void meter_pin(int cpu);

/**
 * struct meter - from meter_start() to meter_stop()
 * @device: CPU clock of the thread that is not counted
 * @excluded: there is one
 * @cpu_ns: CPU time of the process, less that
 * @wall_ns: time that went by
 * @busy_ns: what the kernel says the application's CPU was busy with, whoever for
 * @all_ns: and all CPUs, less the device's thread; in steps of 10 ms
 */
struct meter {
	clockid_t device;
	bool excluded;
	int64_t cpu_ns;
	int64_t wall_ns;
	int64_t busy_ns;
	int64_t all_ns;
};

/* Before anything is set up: threads of the last measurement have ended. */
void meter_alone(void);
void meter_start(struct meter *m);
void meter_stop(struct meter *m);

int64_t meter_ns(clockid_t clock);
/* For a string of JSON. */
const char *meter_cpu_model(void);
const char *meter_kernel(void);

#endif /* METER_H */

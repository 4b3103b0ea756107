/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * profile: a plugin for QEMU's TCG: which code ran how often, between marks
 *
 *   qemu-system-x86_64 -plugin file=plugin.so,out=FILE ...
 *
 * The bench's code has marks in it, BENCH_MARK() of bench.h: an instruction that does nothing,
 * with a number. They begin and end a window, and say for whom it is that the CPU works, until
 * further notice: that nests. At the end of each window a line is written for each run of
 * instructions that was executed:
 *
 *   WINDOW CONTEXT EXECUTIONS ADDRESS OFFSET...
 *
 * all decimal but ADDRESS; an OFFSET for each further instruction. One CPU only.
 *
 * What is declared here is the part of qemu-plugin.h (API version 1) that is used; distributions
 * do not ship that file.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb,
					  void (*cb)(unsigned int cpu, void *data),
					  enum qemu_plugin_cb_flags flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn,
					    void (*cb)(unsigned int cpu, void *data),
					    enum qemu_plugin_cb_flags flags, void *data);

EXPORT int qemu_plugin_version = 1;

#define BUCKETS 65536
#define NESTING 16

/* Instructions that are executed one after the other. */
struct run {
	struct run *next;
	uint64_t address;
	uint64_t executions[BENCH_CONTEXTS];
	size_t count;
	uint16_t offsets[];
};

static struct run *runs[BUCKETS];
static unsigned int contexts[NESTING], depth, window;
static bool open_window;
static FILE *out;

static void write_window(void)
{
	struct run *r;
	unsigned int i, c;
	size_t n;

	for (i = 0; i < BUCKETS; i++)
		for (r = runs[i]; r; r = r->next)
			for (c = 0; c < BENCH_CONTEXTS; c++) {
				if (!r->executions[c])
					continue;
				fprintf(out, "%u %u %" PRIu64 " %" PRIx64, window, c,
					r->executions[c], r->address);
				for (n = 1; n < r->count; n++)
					fprintf(out, " %u", r->offsets[n]);
				fputc('\n', out);
				r->executions[c] = 0;
			}
	fflush(out);
	window++;
}

static void marked(unsigned int cpu, void *data)
{
	uintptr_t mark = (uintptr_t)data;

	(void)cpu;
	switch (mark >> 8 & 0xff) {
	case BENCH_BEGIN:
		open_window = true;
		break;
	case BENCH_END:
		if (open_window)
			write_window();
		open_window = false;
		break;
	case BENCH_ENTER:
		depth++;
		contexts[depth % NESTING] = mark & 0xff;
		break;
	case BENCH_LEAVE:
		depth -= !!depth;
		break;
	}
}

static void executed(unsigned int cpu, void *data)
{
	struct run *r = data;

	(void)cpu;
	if (open_window)
		r->executions[contexts[depth % NESTING]]++;
}

static struct run *run_of(const struct qemu_plugin_tb *tb, size_t first, size_t count)
{
	uint64_t address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, first));
	struct run **bucket = &runs[(address ^ address >> 16) % BUCKETS], *r;
	size_t i;

	for (r = *bucket; r; r = r->next)
		if (r->address == address && r->count == count)
			return r;
	r = calloc(1, sizeof(*r) + count * sizeof(r->offsets[0]));
	if (!r)
		abort();
	r->address = address;
	r->count = count;
	for (i = 0; i < count; i++)
		r->offsets[i] = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, first + i)) - address;
	r->next = *bucket;
	*bucket = r;
	return r;
}

/* nopl number(%rax) */
static uintptr_t mark_of(const struct qemu_plugin_insn *insn)
{
	const unsigned char *bytes = qemu_plugin_insn_data(insn);
	uint32_t number;

	if (qemu_plugin_insn_size(insn) != 7 || memcmp(bytes, "\x0f\x1f\x80", 3))
		return 0;
	memcpy(&number, bytes + 3, sizeof(number));
	return number >> 16 == BENCH_MARKS ? number : 0;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb), i;
	bool marks = false;

	(void)id;
	for (i = 0; i < count; i++)
		marks |= !!mark_of(qemu_plugin_tb_get_insn(tb, i));
	if (!marks) {
		qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, QEMU_PLUGIN_CB_NO_REGS,
						     run_of(tb, 0, count));
		return;
	}
	for (i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		uintptr_t mark = mark_of(insn);

		qemu_plugin_register_vcpu_insn_exec_cb(insn, mark ? marked : executed,
						       QEMU_PLUGIN_CB_NO_REGS,
						       mark ? (void *)mark : run_of(tb, i, 1));
	}
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return -1;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}

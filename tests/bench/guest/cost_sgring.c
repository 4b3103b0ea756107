/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* cost: sgring, by its library: a slot at a time, or by the batch calls. */
#include <stdio.h>
#include <stdlib.h>

#include "cost.h"
#include "sgring.h"

static void *open_with(uint32_t n, const struct cost_case *c, uint32_t flags)
{
	struct sgring_options o = {
		.size = sizeof(o),
		.setup_flags = flags,
		.slot_bytes = c->slot_bytes,
		.slot_count = c->slots,
		.chunk_policy = c->chunks ? SGRING_CHUNK_EQUAL : SGRING_CHUNK_MIXED,
		.chunk_bytes = c->chunks ? c->slot_bytes / c->chunks : 0,
	};
	struct sgring *s;
	char label[16];

	snprintf(label, sizeof(label), "bench%u", n);
	if (sgring_open(&s, label, &o) || sgring_start(s))
		cost_die("%s", sgring_errmsg());
	return s;
}

static void *stream_open(uint32_t n, const struct cost_case *c)
{
	return open_with(n, c, 0);
}

static void *stream_open_no_gate(uint32_t n, const struct cost_case *c)
{
	return open_with(n, c, SGRING_SETUP_NO_GATE);
}

static void check(int err)
{
	if (err)
		cost_die("%s", sgring_errmsg());
}

static void exchange_one(struct sgring *s)
{
	struct sgring_slot slot;

	check(sgring_next(s, &slot, -1));
	if (slot.status)
		cost_die("slot %u, status %d", slot.index, slot.status);
	check(sgring_return(s, &slot));
}

static void stream_exchange(void *stream, uint32_t count)
{
	struct sgring *s = stream;
	uint32_t n, i;

	if (count == 1) {
		exchange_one(s);
		return;
	}
	while (count) {
		n = sgring_ready(s);
		if (!n) {
			check(sgring_wait(s, -1));
			continue;
		}
		if (n > count)
			n = count;
		for (i = 0; i < n; i++) {
			const struct sgring_cqe *e = sgring_peek(s, i);

			if (e->status)
				cost_die("slot %u, status %d", e->slot, e->status);
		}
		check(sgring_return_ready(s, n));
		count -= n;
	}
}

static uint64_t stream_calls(void *stream)
{
	struct sgring_counters n;

	sgring_counters(stream, &n);
	return n.polls + n.kicks;
}

static uint64_t stream_timer_runs(void *stream)
{
	struct sgring_stats st;

	if (sgring_stats(stream, &st))
		cost_die("%s", sgring_errmsg());
	return st.timer_runs;
}

static void stream_close(void *stream)
{
	int err = sgring_stop(stream, 0, 0);

	if (err < 0 || sgring_close(stream) < 0)
		cost_die("%s", sgring_errmsg());
}

#define WAY(name_, open_)			\
	{					\
	.name = name_,				\
	.client = "bench-sgring",		\
	.slots_max = UINT32_MAX,		\
	.chunks_max = UINT32_MAX,		\
	.batches = true,			\
	.open = open_,				\
	.exchange = stream_exchange,		\
	.calls = stream_calls,			\
	.timer_runs = stream_timer_runs,	\
	.close = stream_close,			\
	}

const struct cost_way cost_sgring = WAY("sgring", stream_open);
const struct cost_way cost_sgring_no_gate = WAY("sgring-nogate", stream_open_no_gate);

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* cost: sgring, by the batch calls of its library. */
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

static void stream_exchange(void *stream, uint32_t count)
{
	struct sgring *s = stream;
	uint32_t n, i;

	while (count) {
		n = sgring_ready(s);
		if (!n) {
			if (sgring_wait(s, -1))
				cost_die("%s", sgring_errmsg());
			continue;
		}
		if (n > count)
			n = count;
		for (i = 0; i < n; i++) {
			const struct sgring_cqe *e = sgring_peek(s, i);

			if (e->status || sgring_put(s, e->slot, e->cookie))
				cost_die("slot %u, status %d: %s", e->slot, e->status,
					 sgring_errmsg());
		}
		sgring_consume(s, n);
		if (sgring_flush(s))
			cost_die("%s", sgring_errmsg());
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

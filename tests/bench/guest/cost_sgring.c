/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* cost: sgring, by the batch calls of its library. */
#include <stdio.h>
#include <stdlib.h>

#include "cost.h"
#include "sgring.h"

static void *stream_open(uint32_t n, const struct cost_case *c)
{
	struct sgring_options o = {
		.size = sizeof(o),
		.setup_flags = c->gate ? 0 : SGRING_SETUP_NO_GATE,
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

static void stream_close(void *stream)
{
	int err = sgring_stop(stream, 0, 0);

	if (err < 0 || sgring_close(stream) < 0)
		cost_die("%s", sgring_errmsg());
}

const struct cost_way cost_sgring = {
	.name = "sgring",
	.client = "bench-sgring",
	.slots_max = UINT32_MAX,
	.chunks_max = UINT32_MAX,
	.batches = true,
	.gates = true,
	.open = stream_open,
	.exchange = stream_exchange,
	.calls = stream_calls,
	.close = stream_close,
};

/* SPDX-License-Identifier: MIT */
/* sgring stat and top: the counters of a stream, and how they have grown, as JSON. */
#include <stddef.h>
#include <string.h>

#include "tool.h"

/* Into the object that is open. */
void json_figures(const struct sgring_stats *now, const struct sgring_stats *then, double seconds)
{
	static const struct {
		const char *name;
		size_t offset;
	} counters[] = {
#define COUNTER(field) { #field, offsetof(struct sgring_stats, field) }
		COUNTER(slots_done), COUNTER(bytes_done), COUNTER(dropped_slots),
		COUNTER(dropped_bytes), COUNTER(lost_bytes), COUNTER(stalls), COUNTER(stalled_ns),
		COUNTER(timer_runs), COUNTER(timer_hits), COUNTER(kicks), COUNTER(polls),
		COUNTER(wakeups), COUNTER(sq_taken), COUNTER(sq_bad), COUNTER(index_bad),
		COUNTER(cq_full), COUNTER(engine_busy), COUNTER(engine_errors),
		COUNTER(residue_bad), COUNTER(late_callbacks), COUNTER(odd_callbacks),
		COUNTER(short_slots), COUNTER(assumed_slots), COUNTER(gate_waits),
		COUNTER(gate_wait_ns), COUNTER(gate_checks), COUNTER(gate_stuck),
	};
	uint64_t total, before;
	size_t i;

	json_string("state", state_word(now->state));
	json_rate("seconds", seconds);
	json_rate("bytes_per_s", (double)(now->bytes_done - then->bytes_done) / seconds);
	json_rate("slots_per_s", (double)(now->slots_done - then->slots_done) / seconds);
	json_number("slots_free", now->slots_free);
	json_number("slots_engine", now->slots_engine);
	json_number("slots_app", now->slots_app);
	json_number("slots_gated", now->slots_gated);
	json_open("delta", '{');
	for (i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		memcpy(&total, (const char *)now + counters[i].offset, sizeof(total));
		memcpy(&before, (const char *)then + counters[i].offset, sizeof(before));
		json_number(counters[i].name, total - before);
	}
	json_close('}');
	json_open("total", '{');
	for (i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		memcpy(&total, (const char *)now + counters[i].offset, sizeof(total));
		json_number(counters[i].name, total);
	}
	json_close('}');
	json_open("app_usec_log2", '[');
	for (i = 0; i < SGRING_USEC_LOG2; i++)
		json_number(NULL, now->app_usec_log2[i]);
	json_close(']');
}

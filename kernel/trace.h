/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring: tracepoints, the system "sgring"
 *
 * The first field of each is the stream's number, N of /dev/sgringN; a slot of -1
 * is the scratch slot, or none. What is printed is NAME=VALUE throughout, which
 * sgring-trace(1) reads and documents. Arguments are what the caller has at hand
 * anyway: all else is worked out when somebody listens. setup and stop under the
 * stream's mutex, all others under its lock.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM sgring

#if !defined(SGRING_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define SGRING_TRACE_H

#include <linux/tracepoint.h>

#include "stream.h"

#ifndef SGRING_TRACE_ENUMS
#define SGRING_TRACE_ENUMS
/* What happened at the gate. */
enum sgring_trace_gate {
	SGRING_GATE_WAITS,		/* a slot was returned and others hold its pages */
	SGRING_GATE_PASSES,		/* they have let go */
	SGRING_GATE_STUCK,		/* it has waited for longer than gate_report_ms */
};

/* Why bytes are missing. */
enum sgring_trace_drop {
	SGRING_DROP_NO_SLOT,		/* into the scratch slot */
	SGRING_DROP_DEVICE,		/* the device says it lost them */
};

/* What counts as an error: each has a counter in &struct sgring_stats. */
enum sgring_trace_error {
	SGRING_ERROR_ENGINE,		/* a transfer failed; value: bytes it had moved */
	SGRING_ERROR_RESIDUE,		/* impossible; value: the residue */
	SGRING_ERROR_LATE,		/* callback of an earlier arm; value: that arm */
	SGRING_ERROR_ODD,		/* callback twice or out of order; value: the cookie */
	SGRING_ERROR_BUSY,		/* no descriptor; value: transfers in flight */
	SGRING_ERROR_CQ_FULL,		/* no room for an entry; value: transfers in flight */
	SGRING_ERROR_SQ,		/* an SQ entry was dropped; value: its index */
	SGRING_ERROR_INDEX,		/* an index is off its ring; value: errno */
};
#endif

TRACE_DEFINE_ENUM(SGRING_GATE_WAITS);
TRACE_DEFINE_ENUM(SGRING_GATE_PASSES);
TRACE_DEFINE_ENUM(SGRING_GATE_STUCK);
TRACE_DEFINE_ENUM(SGRING_DROP_NO_SLOT);
TRACE_DEFINE_ENUM(SGRING_DROP_DEVICE);
TRACE_DEFINE_ENUM(SGRING_ERROR_ENGINE);
TRACE_DEFINE_ENUM(SGRING_ERROR_RESIDUE);
TRACE_DEFINE_ENUM(SGRING_ERROR_LATE);
TRACE_DEFINE_ENUM(SGRING_ERROR_ODD);
TRACE_DEFINE_ENUM(SGRING_ERROR_BUSY);
TRACE_DEFINE_ENUM(SGRING_ERROR_CQ_FULL);
TRACE_DEFINE_ENUM(SGRING_ERROR_SQ);
TRACE_DEFINE_ENUM(SGRING_ERROR_INDEX);

/* A set-up, made or refused. */
TRACE_EVENT(sgring_setup,
	    TP_PROTO(const struct sgring_stream *s, const struct sgring_setup *setup, int result),
	    TP_ARGS(s, setup, result),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(int, result)
			     __field(u64, slot_bytes)
			     __field(u32, slot_count)
			     __field(u32, queue_depth)
			     __field(u32, overrun)
			     __field(u32, flags)
			     __field(u64, memory_bytes)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->result = result;
			   __entry->slot_bytes = setup->slot_bytes;
			   __entry->slot_count = setup->slot_count;
			   __entry->queue_depth = setup->queue_depth;
			   __entry->overrun = setup->overrun;
			   __entry->flags = setup->flags;
			   __entry->memory_bytes = result ? 0 : s->memory_bytes;),
	    TP_printk("stream=%d result=%d slot_bytes=%llu slot_count=%u queue_depth=%u overrun=%u flags=0x%x memory_bytes=%llu",
		      __entry->stream, __entry->result, __entry->slot_bytes, __entry->slot_count,
		      __entry->queue_depth, __entry->overrun, __entry->flags, __entry->memory_bytes)
);

/* The engine gets a slot. */
TRACE_EVENT(sgring_submit,
	    TP_PROTO(const struct sgring_stream *s, const struct sgring_cell *cell),
	    TP_ARGS(s, cell),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(int, slot)
			     __field(int, cookie)
			     __field(u32, in_flight)
			     __field(u32, slots_free)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->slot = cell->slot ? (int)cell->slot->index : -1;
			   __entry->cookie = cell->cookie;
			   __entry->in_flight = sgring_inflight(s);
			   __entry->slots_free = s->slots_free;),
	    TP_printk("stream=%d slot=%d cookie=%d in_flight=%u slots_free=%u",
		      __entry->stream, __entry->slot, __entry->cookie, __entry->in_flight,
		      __entry->slots_free)
);

/* The engine says a transfer is over; what it says, unchecked. */
TRACE_EVENT(sgring_complete,
	    TP_PROTO(const struct sgring_stream *s, const struct sgring_cell *cell),
	    TP_ARGS(s, cell),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(int, slot)
			     __field(int, cookie)
			     __field(u32, length)
			     __field(u32, residue)
			     __field(u32, failed)
			     __field(u32, in_flight)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->slot = cell->slot ? (int)cell->slot->index : -1;
			   __entry->cookie = cell->cookie;
			   __entry->length = cell->length;
			   __entry->residue = cell->residue;
			   __entry->failed = cell->failed;
			   __entry->in_flight = sgring_inflight(s);),
	    TP_printk("stream=%d slot=%d cookie=%d length=%u residue=%u failed=%u in_flight=%u",
		      __entry->stream, __entry->slot, __entry->cookie, __entry->length,
		      __entry->residue, __entry->failed, __entry->in_flight)
);

/* An entry is in the CQ. */
TRACE_EVENT(sgring_publish,
	    TP_PROTO(const struct sgring_stream *s, const struct sgring_cqe *cqe),
	    TP_ARGS(s, cqe),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(int, slot)
			     __field(u64, sequence)
			     __field(u64, position)
			     __field(u32, length)
			     __field(u32, flags)
			     __field(int, status)
			     __field(u32, engine_slots)
			     __field(int, pending)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->slot = (int)cqe->slot;
			   __entry->sequence = cqe->sequence;
			   __entry->position = cqe->position_bytes;
			   __entry->length = cqe->length_bytes;
			   __entry->flags = cqe->flags;
			   __entry->status = cqe->status;
			   __entry->engine_slots = cqe->engine_slots;
			   __entry->pending = sgring_cq_pending(&s->rings);),
	    TP_printk("stream=%d slot=%d sequence=%llu position=%llu length=%u flags=%s status=%d engine_slots=%u pending=%d",
		      __entry->stream, __entry->slot, __entry->sequence, __entry->position,
		      __entry->length,
		      __print_flags(__entry->flags, "|",
				    { SGRING_CQE_GAP, "gap" },
				    { SGRING_CQE_EOP, "eop" },
				    { SGRING_CQE_EOS, "eos" },
				    { SGRING_CQE_LENGTH_ASSUMED, "assumed" },
				    { SGRING_CQE_DEVICE_TIME, "device_time" },
				    { SGRING_CQE_STALL, "stall" },
				    { SGRING_CQE_PARTIAL, "partial" }),
		      __entry->status, __entry->engine_slots, __entry->pending)
);

/* The engine has run dry, or has a slot again, or is being stopped, after @stalled_ns. */
TRACE_EVENT(sgring_starve,
	    TP_PROTO(const struct sgring_stream *s, u64 stalled_ns),
	    TP_ARGS(s, stalled_ns),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(u32, starved)
			     __field(u64, stalled_ns)
			     __field(u32, slots_app)
			     __field(u32, slots_gated)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->starved = s->starved;
			   __entry->stalled_ns = stalled_ns;
			   __entry->slots_app = s->slots_app;
			   __entry->slots_gated = s->gate.count;),
	    TP_printk("stream=%d starved=%u stalled_ns=%llu slots_app=%u slots_gated=%u",
		      __entry->stream, __entry->starved, __entry->stalled_ns, __entry->slots_app,
		      __entry->slots_gated)
);

/* The timer of a starved stream has run; 0 us: it does not run again by itself. */
TRACE_EVENT(sgring_timer,
	    TP_PROTO(const struct sgring_stream *s, bool hit, u32 next_usec),
	    TP_ARGS(s, hit, next_usec),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(u32, hit)
			     __field(u32, next_usec)
			     __field(u32, slots_gated)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->hit = hit;
			   __entry->next_usec = next_usec;
			   __entry->slots_gated = s->gate.count;),
	    TP_printk("stream=%d hit=%u next_usec=%u slots_gated=%u",
		      __entry->stream, __entry->hit, __entry->next_usec, __entry->slots_gated)
);

/* The application kicks. */
TRACE_EVENT(sgring_kick,
	    TP_PROTO(const struct sgring_stream *s),
	    TP_ARGS(s),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(int, queued)
			     __field(u32, starved)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->queued = sgring_sq_used(&s->rings);
			   __entry->starved = s->starved;),
	    TP_printk("stream=%d queued=%d starved=%u",
		      __entry->stream, __entry->queued, __entry->starved)
);

/* A slot begins to wait at the gate, passes it, or has waited for long. */
TRACE_EVENT(sgring_gate,
	    TP_PROTO(const struct sgring_stream *s, const struct sgring_slot *slot,
		     enum sgring_trace_gate what, u64 waited_ns),
	    TP_ARGS(s, slot, what, waited_ns),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(int, slot)
			     __field(u32, what)
			     __field(u64, waited_ns)
			     __field(u32, slots_gated)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->slot = slot->index;
			   __entry->what = what;
			   __entry->waited_ns = waited_ns;
			   __entry->slots_gated = s->gate.count;),
	    TP_printk("stream=%d slot=%d what=%s waited_ns=%llu slots_gated=%u",
		      __entry->stream, __entry->slot,
		      __print_symbolic(__entry->what,
				       { SGRING_GATE_WAITS, "waits" },
				       { SGRING_GATE_PASSES, "passes" },
				       { SGRING_GATE_STUCK, "stuck" }),
		      __entry->waited_ns, __entry->slots_gated)
);

/* Bytes that no slot has; @position is where they begin. */
TRACE_EVENT(sgring_drop,
	    TP_PROTO(const struct sgring_stream *s, enum sgring_trace_drop why, u64 position,
		     u64 bytes),
	    TP_ARGS(s, why, position, bytes),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(u32, why)
			     __field(u64, position)
			     __field(u64, bytes)
			     __field(u64, sequence)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->why = why;
			   __entry->position = position;
			   __entry->bytes = bytes;
			   __entry->sequence = s->sequence;),
	    TP_printk("stream=%d why=%s position=%llu bytes=%llu sequence=%llu",
		      __entry->stream,
		      __print_symbolic(__entry->why,
				       { SGRING_DROP_NO_SLOT, "no_slot" },
				       { SGRING_DROP_DEVICE, "device" }),
		      __entry->position, __entry->bytes, __entry->sequence)
);

/* What should not be; what @value is depends on @what. */
TRACE_EVENT(sgring_error,
	    TP_PROTO(const struct sgring_stream *s, enum sgring_trace_error what, int slot,
		     s64 value),
	    TP_ARGS(s, what, slot, value),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(u32, what)
			     __field(int, slot)
			     __field(s64, value)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->what = what;
			   __entry->slot = slot;
			   __entry->value = value;),
	    TP_printk("stream=%d what=%s slot=%d value=%lld",
		      __entry->stream,
		      __print_symbolic(__entry->what,
				       { SGRING_ERROR_ENGINE, "engine" },
				       { SGRING_ERROR_RESIDUE, "residue" },
				       { SGRING_ERROR_LATE, "late" },
				       { SGRING_ERROR_ODD, "odd" },
				       { SGRING_ERROR_BUSY, "busy" },
				       { SGRING_ERROR_CQ_FULL, "cq_full" },
				       { SGRING_ERROR_SQ, "sq" },
				       { SGRING_ERROR_INDEX, "index" }),
		      __entry->slot, __entry->value)
);

/* A stream has stopped; @status is that of its end-of-stream entry. */
TRACE_EVENT(sgring_stop,
	    TP_PROTO(const struct sgring_stream *s, int status, u32 outcome, int result),
	    TP_ARGS(s, status, outcome, result),
	    TP_STRUCT__entry(__field(int, stream)
			     __field(int, status)
			     __field(u32, outcome)
			     __field(int, result)
			     __field(u32, epoch)
			     __field(u64, position)),
	    TP_fast_assign(__entry->stream = s->id;
			   __entry->status = status;
			   __entry->outcome = outcome;
			   __entry->result = result;
			   __entry->epoch = s->stats.epoch;
			   __entry->position = s->position;),
	    TP_printk("stream=%d status=%d outcome=%s result=%d epoch=%u position=%llu",
		      __entry->stream, __entry->status,
		      __print_flags(__entry->outcome, "|",
				    { SGRING_STOPPED_PARTIAL, "partial" },
				    { SGRING_STOPPED_TIMEOUT, "timeout" },
				    { SGRING_STOPPED_UNKNOWN, "unknown" }),
		      __entry->result, __entry->epoch, __entry->position)
);

#endif /* SGRING_TRACE_H */

/* Not in include/trace/events: the Makefile adds this directory. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

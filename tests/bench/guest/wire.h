/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* wire: a way of sending, a case of it, and what is known at the ends of what is counted. */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include <sgring.h>

#define MIB		(1024ULL * 1024)
#define LIMIT_S		60	/* for one case; a machine may be slow */
#define RIGHT		"10.77.0.2"
#define NOT_OFFERED	77	/* exit code of a sender */

struct moment {
	uint64_t ns;
	uint64_t cpu_ns;	/* of all threads of the sender, the kernel's for it included */
	uint64_t sqpoll_ns;	/* of them, the one that submits */
	uint64_t slots;
	uint64_t bytes;
	uint64_t handover_calls;
	uint64_t own_calls;	/* by the sender's own account */
	uint64_t copied_bytes;	/* by the library, or by read(2) */
	uint64_t zerocopy_sends;
	uint64_t copied_sends;
	uint64_t dry;		/* the device was ready and had no slot: lost */
	uint64_t resent;	/* TCP segments */
	struct sgring_stats stats;
};

struct wire_case {
	const struct wire_way *way;
	uint64_t slot_bytes;
	uint32_t slots;		/* the stream's; a way may have fewer */
	bool batched;		/* be woken for half of the slots at a time */
	int port;		/* the receiver's */
};

/**
 * struct wire_way - a way of sending
 * @name: for people
 * @client: of bench-engine
 * @slots_max: as many slots as it can have
 * @frames: there are frames on the wire, as sgring_frame(7) has them
 * @no_stats: nobody counts timers and starvation
 * @device_bytes: if slots are not what the engine fills at a time: what is
 * @run: open, send, calling wire_sent() for each slot until it says that it is
 *	enough, close
 * @look: everything of a moment that only the way knows
 * @method: and what follows: for the library
 */
struct wire_way {
	const char *name;
	const char *client;
	uint32_t slots_max;
	bool frames;
	bool no_stats;
	uint64_t device_bytes;
	void (*run)(const struct wire_case *c);
	void (*look)(struct moment *m);
	uint32_t method;
	uint32_t flags;
	uint32_t waiting;
};

/*
 * In the sender. A slot was taken from the device and will be sent: its number goes
 * into its first bytes, where the receiver looks for it. True: this was the last.
 */
bool wire_sent(void *data);
void wire_quit(int code, const char *format, ...) __attribute__((noreturn, format(printf, 2, 3)));
int wire_connect(const struct wire_case *c);
/* The stream of sgring over the bench's engine, for those who do without the library. */
int wire_stream(void);

#define WIRE_STREAM	"bench0"

extern const struct wire_way wire_sgring[], wire_ioctl[];	/* up to one without a name */

#endif /* BENCH_WIRE_H */

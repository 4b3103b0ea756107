// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* wire: through the library, and by read(2) and send(2). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

static struct sgring *stream;
static struct sgring_tx *tx;

static void look(struct moment *m)
{
	struct sgring_counters c;
	struct sgring_tx_stats t;

	sgring_counters(stream, &c);
	sgring_tx_stats(tx, &t);
	m->bytes = c.bytes;
	m->handover_calls = c.kicks + c.polls;
	m->own_calls = c.kicks + c.polls + c.sender_waits + t.calls;
	m->copied_bytes = t.copied_bytes;
	m->zerocopy_sends = t.zerocopy;
	m->copied_sends = t.copied;
	if (sgring_stats(stream, &m->stats))
		wire_quit(1, "%s", sgring_errmsg());
}

static void run(const struct wire_case *c)
{
	const struct wire_way *way = c->way;
	struct sgring_slot slot;
	char url[64];
	bool last;
	int err;

	snprintf(url, sizeof(url), "tcp://%s:%d", RIGHT, c->port);
	if (sgring_open(&stream, WIRE_STREAM,
			SGRING_OPTIONS(.slot_bytes = c->slot_bytes, .slot_count = c->slots,
				       .waiting = way->waiting,
				       .wake_slots = c->batched ? c->slots / 4 : 0,
				       .wake_usec = c->batched ? SGRING_OFF : 0)))
		wire_quit(1, "%s", sgring_errmsg());
	err = sgring_tx_open(&tx, stream, url,
			     SGRING_TX_OPTIONS(.method = way->method, .flags = way->flags));
	if (err)
		wire_quit(err == -EOPNOTSUPP ? NOT_OFFERED : 1, "%s", sgring_errmsg());
	if (sgring_start(stream))
		wire_quit(1, "%s", sgring_errmsg());
	do {
		if (sgring_next(stream, &slot, 1000 * LIMIT_S))
			wire_quit(1, "%s", sgring_errmsg());
		if (slot.status || slot.length != c->slot_bytes)
			wire_quit(1, "a slot of %u bytes, status %d", slot.length, slot.status);
		last = wire_sent(slot.data);
		if (sgring_tx_send(tx, &slot))
			wire_quit(1, "%s", sgring_errmsg());
	} while (!last);
	sgring_stop(stream, 0, 0);
	while (!sgring_next(stream, &slot, 0))
		sgring_return(stream, &slot);
	if (sgring_tx_close(tx) || sgring_close(stream) < 0)
		wire_quit(1, "%s", sgring_errmsg());
}

/* ---- read(2) and send(2) */

static int device;
static uint64_t reads, sends, bytes_read;

static void read_look(struct moment *m)
{
	m->stats = (struct sgring_stats){ .size = sizeof(m->stats) };
	if (ioctl(device, SGRING_STATS, &m->stats))
		wire_quit(1, "statistics: %s", strerror(errno));
	m->bytes = m->copied_bytes = bytes_read;
	m->handover_calls = reads;
	m->own_calls = reads + sends;
}

static void read_run(const struct wire_case *c)
{
	unsigned char *data = aligned_alloc(4096, c->slot_bytes);
	int fd = wire_connect(c);
	size_t have, sent;
	ssize_t n;
	bool last;

	device = wire_stream();
	do {
		for (have = 0; have < c->slot_bytes; have += (size_t)n) {
			n = read(device, data + have, c->slot_bytes - have);
			if (n <= 0)
				wire_quit(1, "read: %s", n ? strerror(errno) : "the stream has ended");
			reads++;
		}
		bytes_read += have;
		last = wire_sent(data);
		for (sent = 0; sent < have; sent += (size_t)n) {
			n = send(fd, data + sent, have - sent, MSG_NOSIGNAL);
			if (n < 0)
				wire_quit(1, "send: %s", strerror(errno));
			sends++;
		}
	} while (!last);
	close(device);
	close(fd);
	free(data);
}

#define LIBRARY .client = "bench-sgring", .slots_max = 65536, .run = run, .look = look

const struct wire_way wire_sgring[] = {
	{ "sgring-uring", LIBRARY, .method = SGRING_TX_URING, .flags = SGRING_TX_RAW },
	{ "sgring-frames", LIBRARY, .method = SGRING_TX_URING, .frames = true },
	{ "sgring-fixed", LIBRARY, .method = SGRING_TX_URING_FIXED, .flags = SGRING_TX_RAW },
	{ "sgring-sqpoll", LIBRARY, .method = SGRING_TX_URING, .waiting = SGRING_SPIN,
	  .flags = SGRING_TX_RAW | SGRING_TX_SQPOLL },
	{ "sgring-msg", LIBRARY, .method = SGRING_TX_ZEROCOPY, .flags = SGRING_TX_RAW },
	{ "read", "bench-sgring", .slots_max = 65536, .device_bytes = MIB, .run = read_run,
	  .look = read_look },
	{ 0 }
};

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: items as messages of a socket
 *
 * TCP: a message is [hello] [entry] data.
 *
 * UDP: a datagram is a hello, or an entry with a part of a slot; as many of them
 * as the kernel takes make one message (UDP_SEGMENT), where that works: of several
 * slots, if each is so many whole datagrams. All but a message's last are equally long.
 * What the network does with them costs about as much for each message, however
 * long, and however many datagrams it is.
 *
 * Frames are written into memory of the sender's own, an area for each item, which
 * stays as it is until the item is gone. It is mapped, not allocated: when it is
 * unmapped what the kernel still sends from it stays.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/mman.h>

#include "tx_sock.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define HELLO_NS (1000 * SGRING_MS_NS)	/* from one to the next; less at the beginning */
#define FIRST_HELLO_NS SGRING_MS_NS
#define FRAGMENTS 16U		/* pieces of memory in a packet: MAX_SKB_FRAGS, at least */
#define LINE 64U		/* parts of a slot begin on one */
#define ENDS 3U			/* datagrams that tell the end of a stream: one may get lost */
#define FRAMES_MAX (16U << 20)	/* memory for frames, unless one slot needs more */
#define TCP_FRAME (SGRING_HELLO_BYTES + SGRING_ENTRY_BYTES)

/* Memory that one datagram may lie in, at the worst, is not cut finer than this. */
static uint64_t unit(const struct sgring_tx *t)
{
	uint64_t least = t->stream->geometry.chunk_bytes_min;

	return least ? least : 4096;
}

/* A slot as no more datagrams than it must be, equally long ones as far as that goes. */
static size_t equal_parts(size_t slot, size_t most)
{
	size_t parts = (slot + most - 1) / most, part = (slot + parts - 1) / parts;

	if (slot % parts)
		part = (part + LINE - 1) / LINE * LINE;
	return part < most ? part : most;
}

int sgring_sock_choose_datagram(struct sgring_tx *t)
{
	const size_t entry = sgring_tx_raw(t) ? 0 : SGRING_ENTRY_BYTES;
	struct sock *k = sock_of(t);
	size_t path = 0, wanted = t->options.datagram_bytes, pieces, whole;
	int err = sgring_sock_path(t, &path);

	if (err)
		return err;
	if (wanted && (wanted < SGRING_DATAGRAM_MIN || (wanted > path && !k->datagram)))
		return sgring_fail(EMSGSIZE, "datagrams of %zu bytes: at least %u, and the path to %s takes %zu",
				   wanted, SGRING_DATAGRAM_MIN, t->peer, path);
	k->datagram = wanted && wanted < path ? wanted : path;
	pieces = (size_t)((FRAGMENTS - 2) * unit(t)) + entry;
	if (t->method != SGRING_TX_COPY && k->datagram > pieces)
		k->datagram = pieces;
	whole = k->datagram - entry;
	if (!wanted)
		whole = equal_parts((size_t)t->stream->geometry.slot_bytes, whole);
	if (whole > t->stream->geometry.slot_bytes)
		whole = (size_t)t->stream->geometry.slot_bytes;
	k->datagram = whole + entry;
	if (k->segment)
		k->segment = !sgring_sock_set(t->fd, IPPROTO_UDP, UDP_SEGMENT, (int)k->datagram);
	return 0;
}

int sgring_sock_map_frames(struct sgring_tx *t)
{
	uint64_t slot = t->stream->geometry.slot_bytes, all;
	char text[128];
	void *p;

	if (sgring_tx_raw(t))
		return 0;
	t->frame_bytes = TCP_FRAME;
	if (!sgring_tx_stream(t))
		t->frame_bytes = (size_t)(slot / (SGRING_DATAGRAM_MIN - SGRING_ENTRY_BYTES) + 1) *
				 SGRING_ENTRY_BYTES;
	t->frame_areas = t->room;
	while (t->frame_areas > 2 && t->frame_areas * (uint64_t)t->frame_bytes > FRAMES_MAX)
		t->frame_areas /= 2;
	all = t->frame_areas * (uint64_t)t->frame_bytes;
	p = mmap(NULL, (size_t)all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return sgring_fail(errno, "%s for frames: %s", sgring_size_text(all),
				   sgring_strerror(errno, text, sizeof(text)));
	t->frames = p;
	return 0;
}

void sgring_sock_unmap_frames(struct sgring_tx *t)
{
	if (t->frames)
		munmap(t->frames, t->frame_areas * t->frame_bytes);
}

static void add(struct sgring_tx_message *m, const void *data, size_t bytes)
{
	if (bytes)
		m->iov[m->iovs++] = (struct iovec){
			.iov_base = (void *)(uintptr_t)data, .iov_len = bytes,
		};
}

/* Where the message ends now. */
static const unsigned char *end_of(const struct sgring_tx_message *m)
{
	const struct iovec *last = m->iov + m->iovs - 1;

	return m->iovs ? (const unsigned char *)last->iov_base + last->iov_len : NULL;
}

/* Is the area of an item free, with all those before it not gone? */
static bool has_frames(const struct sgring_tx *t, uint32_t number)
{
	return sgring_tx_raw(t) || number - t->first < t->frame_areas;
}

static unsigned char *frames_of(const struct sgring_tx *t, uint32_t number)
{
	return sgring_tx_raw(t) ? NULL : t->frames + (number & (t->frame_areas - 1)) * t->frame_bytes;
}

static size_t header_bytes(const struct sgring_tx *t, const struct sgring_tx_item *item)
{
	if (sgring_tx_raw(t))
		return 0;
	return SGRING_ENTRY_BYTES + (item->hello ? SGRING_HELLO_BYTES : 0);
}

static void stream_message(struct sgring_tx *t, struct sgring_tx_item *item, unsigned char *frame,
			   uint64_t from, struct sgring_tx_message *m)
{
	size_t header, at;

	if (!item->begun && !sgring_tx_raw(t)) {
		item->hello = t->hello_epoch != item->epoch;
		t->hello_epoch = item->epoch;
		if (item->hello)
			sgring_tx_hello_frame(t, item->epoch, 1, frame);
		sgring_tx_entry_frame(item, 0, item->slot.length, frame + SGRING_HELLO_BYTES);
	}
	header = header_bytes(t, item);
	m->header = from < header ? header - (size_t)from : 0;
	at = from < header ? 0 : (size_t)from - header;
	m->data = item->slot.length - at;
	if (m->data > sock_of(t)->message_max - m->header)
		m->data = sock_of(t)->message_max - m->header;
	add(m, frame + TCP_FRAME - m->header, m->header);
	add(m, item->slot.data + at, m->data);
	m->end = from + m->header + m->data;
	m->last = at + m->data == item->slot.length;
}

/* Pieces of memory that may hold this part of a slot. */
static unsigned int fragments(const struct sgring_tx *t, const struct sgring_tx_item *item,
			      uint64_t from, size_t bytes)
{
	uint64_t at = (uint64_t)(item->slot.data - sgring_data(t->stream, item->slot.index)) + from;

	return bytes ? (unsigned int)((at + bytes - 1) / unit(t) - at / unit(t)) + 1 : 0;
}

/**
 * struct packing - a message of datagrams in the making
 * @m: it
 * @max: bytes in it
 * @datagrams: in it
 * @most: of them
 * @fragments: pieces of memory it may be in
 */
struct packing {
	struct sgring_tx_message *m;
	size_t max;
	unsigned int datagrams;
	unsigned int most;
	unsigned int fragments;
};

/* Of an item's data from @from to @end as much as goes in, datagram by datagram. */
static void pack(struct sgring_tx *t, struct packing *p, uint32_t number, uint64_t from, uint64_t end)
{
	const bool raw = sgring_tx_raw(t), borrow = t->method != SGRING_TX_COPY;
	const struct sgring_tx_item *item = sgring_tx_item(t, number);
	const size_t header = raw ? 0 : SGRING_ENTRY_BYTES, whole = sock_of(t)->datagram - header;
	struct sgring_tx_message *m = p->m;
	unsigned int before = p->fragments, needs;
	uint64_t at = from;
	size_t part;

	do {
		part = end - at < whole ? (size_t)(end - at) : whole;
		if (raw)
			needs = before + fragments(t, item, from, (size_t)(at - from) + part);
		else
			needs = p->fragments + 1 + fragments(t, item, at, part);
		if (p->datagrams && (p->datagrams == p->most ||
				     m->header + m->data + header + part > p->max ||
				     (borrow && needs > FRAGMENTS)))
			break;
		p->fragments = needs;
		p->datagrams++;
		if (!raw) {
			unsigned char *entry = frames_of(t, number) + at / whole * SGRING_ENTRY_BYTES;

			sgring_tx_entry_frame(item, at, (uint32_t)part, entry);
			add(m, entry, SGRING_ENTRY_BYTES);
		}
		if (item->slot.data + at == end_of(m))
			m->iov[m->iovs - 1].iov_len += part;
		else
			add(m, item->slot.data + at, part);
		m->header += header;
		m->data += part;
		at += part;
	} while (at != end && part == whole);
	m->end = at;
	m->last = at == item->slot.length;
}

/* May a message that ends with an item go on with the next one? */
static bool goes_on(const struct sgring_tx *t, const struct packing *p, uint32_t number)
{
	const struct sgring_tx_message *m = p->m;
	const struct sgring_tx_item *next = sgring_tx_item(t, number + 1);

	if (!m->last || number + 1 == t->next || p->datagrams == p->most ||
	    (m->header + m->data) % sock_of(t)->datagram)
		return false;
	if (next->gone || next->slot.index == SGRING_NO_SLOT || !next->slot.length ||
	    next->epoch != sgring_tx_item(t, number)->epoch || !has_frames(t, number + 1))
		return false;
	/* Registered memory is sent in one piece. */
	return t->method != SGRING_TX_URING_FIXED || next->slot.data == end_of(m);
}

static void datagram_message(struct sgring_tx *t, uint32_t number, uint64_t from, uint32_t last,
			     uint64_t end, struct sgring_tx_message *m)
{
	const struct sock *k = sock_of(t);
	struct packing p = {
		.m = m,
		.max = k->message_max < SGRING_DATAGRAM_MAX ? k->message_max : SGRING_DATAGRAM_MAX,
		.most = k->segment ? SGRING_TX_SEGMENTS : 1,
	};
	struct sgring_tx_item *item = sgring_tx_item(t, number);
	unsigned int before;

	if (item->slot.index == SGRING_NO_SLOT) {
		sgring_tx_entry_frame(item, 0, 0, frames_of(t, number));
		add(m, frames_of(t, number), SGRING_ENTRY_BYTES);
		m->header = SGRING_ENTRY_BYTES;
		m->end = from + 1;
		m->last = m->end == ENDS;
		return;
	}
	pack(t, &p, number, from, number == last ? end : item->slot.length);
	while (number != last && goes_on(t, &p, number)) {
		const uint64_t upto = m->end;

		item = sgring_tx_item(t, ++number);
		before = p.datagrams;
		pack(t, &p, number, 0, number == last ? end : item->slot.length);
		if (p.datagrams == before) {
			m->end = upto;
			m->last = true;
			break;
		}
		item->begun = true;
		m->items++;
	}
}

bool sgring_tx_message(struct sgring_tx *t, uint32_t number, uint64_t from, uint32_t last,
		       uint64_t end, struct sgring_tx_message *m)
{
	struct sgring_tx_item *item = sgring_tx_item(t, number);

	if (!has_frames(t, number)) {
		t->blocked = SGRING_TX_LIMIT;
		return false;
	}
	m->items = 1;
	m->iovs = 0;
	m->header = 0;
	m->data = 0;
	if (sgring_tx_stream(t))
		stream_message(t, item, frames_of(t, number), from, m);
	else
		datagram_message(t, number, from, last, end, m);
	item->begun = true;
	return true;
}

void sgring_tx_lend_all(struct sgring_tx *t, uint32_t number, uint32_t items)
{
	while (items--)
		sgring_tx_lend(t, sgring_tx_item(t, number++));
}

void sgring_tx_let_go_all(struct sgring_tx *t, uint32_t number, uint32_t items)
{
	while (items--)
		sgring_tx_let_go(t, sgring_tx_item(t, number++));
}

void sgring_tx_accepted(struct sgring_tx *t, uint32_t number, const struct sgring_tx_message *m,
			size_t bytes)
{
	size_t whole = m->header + m->data, header = bytes < m->header ? bytes : m->header;
	struct sgring_tx_item *item = sgring_tx_item(t, number);
	uint32_t n;

	t->stats.sends++;
	t->stats.partial += bytes < whole;
	t->stats.bytes += bytes - header;
	t->stats.frame_bytes += header;
	/* Datagrams are accepted whole or not at all. */
	sock_of(t)->too_long = 0;
	for (n = 1; n < m->items; n++) {
		sgring_tx_took(t, item, item->slot.length, true);
		item = sgring_tx_item(t, number + n);
	}
	sgring_tx_took(t, item, bytes < whole ? item->done + bytes : m->end,
		       bytes == whole && m->last);
}

bool sgring_tx_hello_due(const struct sgring_tx *t, const struct sgring_tx_item *item)
{
	if (sgring_tx_stream(t) || sgring_tx_raw(t) || item->done)
		return false;
	return t->hello_epoch != item->epoch || sgring_now_ns() >= sock_of(t)->hello_ns;
}

ssize_t sgring_sock_hello(struct sgring_tx *t, uint32_t epoch)
{
	unsigned char wire[SGRING_HELLO_BYTES];
	struct iovec iov = { wire, sizeof(wire) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	sgring_tx_hello_frame(t, epoch, 1, wire);
	t->stats.calls++;
	t->stream->send_calls++;
	n = t->stream->be->sendmsg(t->stream->be, t->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	t->stats.frame_bytes += n < 0 ? 0 : sizeof(wire);
	return n;
}

/*
 * Without the first one a receiver can do nothing, and the first datagrams are those
 * that get lost while the peer's hardware address is asked for: soon another, then
 * at growing intervals.
 */
ssize_t sgring_tx_hello(struct sgring_tx *t, const struct sgring_tx_item *item)
{
	struct sock *k = sock_of(t);
	ssize_t n = sgring_sock_hello(t, item->epoch);

	if (n < 0)
		return n;
	k->hello_gap_ns = t->hello_epoch != item->epoch ? FIRST_HELLO_NS : 2 * k->hello_gap_ns;
	if (k->hello_gap_ns > HELLO_NS)
		k->hello_gap_ns = HELLO_NS;
	k->hello_ns = sgring_now_ns() + k->hello_gap_ns;
	t->hello_epoch = item->epoch;
	return n;
}

size_t sgring_tx_message_bytes(const struct sgring_tx *t)
{
	const struct sock *k = sock_of(t);
	const size_t slot = (size_t)t->stream->geometry.slot_bytes;
	size_t most = k->message_max, datagrams = 1;

	if (sgring_tx_stream(t))
		return slot < most ? slot : most;
	most = most < SGRING_DATAGRAM_MAX ? most : SGRING_DATAGRAM_MAX;
	if (k->segment)
		datagrams = sgring_tx_raw(t) ? SGRING_TX_SEGMENTS : FRAGMENTS / 2;
	if (datagrams > most / k->datagram)
		datagrams = most / k->datagram;
	most = datagrams * k->datagram;
	/* Of one slot alone, if it does not end with a whole datagram. */
	return most > slot && slot % (k->datagram - (sgring_tx_raw(t) ? 0 : SGRING_ENTRY_BYTES)) ?
	       slot : most;
}

/* Largest number that divides both. */
static size_t common(size_t a, size_t b)
{
	while (b) {
		size_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

uint32_t sgring_tx_batch(const struct sgring_tx *t)
{
	const struct sock *k = sock_of(t);
	const size_t slot = (size_t)t->stream->geometry.slot_bytes, batch = t->options.batch_slots;
	size_t whole, datagrams, step, more;

	if (sgring_tx_stream(t))
		return (uint32_t)batch;
	whole = k->datagram - (sgring_tx_raw(t) ? 0 : SGRING_ENTRY_BYTES);
	datagrams = sgring_tx_message_bytes(t) / k->datagram;
	if (slot % whole || !datagrams)
		return (uint32_t)batch;
	step = datagrams / common(datagrams, slot / whole);
	more = (batch + step - 1) / step * step;
	return (uint32_t)(2 * more <= t->stream->geometry.slot_count ? more : batch);
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring recv, UDP: datagrams of one sender
 *
 * The first who says hello is the sender until its stream has ended or it is silent;
 * what comes from elsewhere is counted and thrown away. datagrams.c has their order.
 */
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "receiver.h"

#define SILENT_NS (2 * SECOND_NS)	/* then another sender may follow */
#define BATCH 64U			/* datagrams with one system call */
#define DATAGRAM_ROOM (PACKETS_BUFFER / BATCH)

_Static_assert(DATAGRAM_ROOM > SGRING_DATAGRAM_MAX, "any datagram fits");

static bool same_sender(const struct receiver *r, const struct msghdr *m)
{
	return m->msg_namelen == r->sender_size && !memcmp(m->msg_name, &r->sender, r->sender_size);
}

/* May this one, of another address than the sender's, be the next sender? */
static bool may_follow(const struct receiver *r, const unsigned char *data, size_t bytes)
{
	return bytes >= 8 && sgring_frame_is_hello(data) &&
	       (r->intake.track.ended || now_ns() - r->last_ns >= SILENT_NS);
}

static void read_dropped(struct receiver *r, struct msghdr *m)
{
	struct cmsghdr *c;
	uint32_t dropped;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&dropped, CMSG_DATA(c), sizeof(dropped));
		r->dropped += dropped - r->dropped_last;
		r->dropped_last = dropped;
	}
}

static void take_datagram(struct receiver *r, struct msghdr *m, const unsigned char *data,
			  size_t bytes)
{
	bool known = r->sender_size && same_sender(r, m), greeted = r->datagrams.greeted;
	char from[64];
	int err;

	read_dropped(r, m);
	if (r->raw) {
		err = intake_raw(&r->intake, data, bytes);
	} else if (r->sender_size && !known && !may_follow(r, data, bytes)) {
		r->strangers++;
		return;
	} else {
		err = datagrams_take(&r->datagrams, data, bytes, now_ns());
	}
	if (err < 0) {
		receiver_cannot_store(r);
		return;
	}
	if (err) {
		address_text(from, sizeof(from), m->msg_name, m->msg_namelen);
		receiver_stranger(r, from, r->datagrams.error);
		return;
	}
	if (!r->raw && !known && (r->datagrams.greeted != greeted || r->sender_size)) {
		memcpy(&r->sender, m->msg_name, m->msg_namelen);
		r->sender_size = m->msg_namelen;
		r->senders++;
		address_text(from, sizeof(from), m->msg_name, m->msg_namelen);
		progress_say(&r->progress, "%s: stream \"%s\", slots of %s", from,
			     r->datagrams.hello.label, size_words(r->datagrams.hello.slot_bytes));
	}
	if (r->raw || r->datagrams.greeted)
		receiver_came(r);
	if (r->intake.track.ended && !r->keep)
		r->over = true;
}

void packets_receive(struct receiver *r)
{
	static union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(uint32_t))];
	} control[BATCH];
	static struct sockaddr_storage from[BATCH];
	struct pollfd p = { .fd = r->fd, .events = POLLIN };
	struct mmsghdr m[BATCH];
	struct iovec v[BATCH];
	int i, n;

	for (i = 0; i < (int)BATCH; i++)
		v[i] = (struct iovec){ r->buffer + (size_t)i * DATAGRAM_ROOM, DATAGRAM_ROOM };
	while (!r->over && !interrupts) {
		for (i = 0; i < (int)BATCH; i++)
			m[i].msg_hdr = (struct msghdr){
				.msg_name = &from[i], .msg_namelen = sizeof(from[i]),
				.msg_iov = &v[i], .msg_iovlen = 1,
				.msg_control = &control[i],
				.msg_controllen = sizeof(control[i].room),
			};
		n = recvmmsg(r->fd, m, BATCH, MSG_DONTWAIT, NULL);
		for (i = 0; i < n && !r->over; i++)
			take_datagram(r, &m[i].msg_hdr, v[i].iov_base, m[i].msg_len);
		if (!r->over && datagrams_tick(&r->datagrams, now_ns()) < 0)
			receiver_cannot_store(r);
		if (r->intake.track.ended && !r->keep)
			r->over = true;
		receiver_tick(r);
		if (n <= 0 && !r->over)
			poll(&p, 1, soonest_ms(receiver_patience_ms(r),
					       datagrams_wait_ms(&r->datagrams, now_ns())));
	}
	if (datagrams_end(&r->datagrams) < 0 && !r->failed)
		receiver_cannot_store(r);
}

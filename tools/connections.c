/* SPDX-License-Identifier: MIT */
/*
 * sgring recv, TCP: one sender at a time
 *
 * Who comes with another stream meanwhile is refused, who comes with the same one
 * takes over its connection. Nobody is believed before a hello was checked.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "receiver.h"

#define HELLO_NS (10 * SECOND_NS)	/* so long a connection may take to say hello */

static void forget(struct receiver *r, struct connection *c)
{
	unsigned int i;

	for (i = 0; r->connections[i] != c; i++)
		;
	r->connections[i] = r->connections[--r->count];
	close(c->fd);
	free(c);
}

static bool complete(const struct receiver *r)
{
	return r->raw || r->intake.track.ended;
}

/* The sender's connection is over: is it all over? */
static void sender_gone(struct receiver *r, struct connection *c, bool bad)
{
	r->active = NULL;
	if (r->once || (complete(r) && !r->keep)) {
		r->bad_end = bad;
		r->over = true;
	} else if (!complete(r)) {
		progress_say(&r->progress, "%s: the connection is gone at position %" PRIu64 "; waiting for it to come back",
			     c->peer, r->intake.track.position);
	}
}

/* It has ended, or will be ended: @why, or NULL. */
static void end_connection(struct receiver *r, struct connection *c, const char *why, bool bad)
{
	bool senders = r->active == c;
	int err = r->raw ? 0 : framer_end(&c->framer);

	if (err < 0)
		receiver_cannot_store(r);
	if (!why && err == INTAKE_REFUSED) {
		why = c->framer.error;
		bad |= !senders;
	}
	if (why && !(senders && r->over)) {
		if (senders)
			progress_say(&r->progress, "%s: %s", c->peer, why);
		else
			receiver_stranger(r, c->peer, why);
	}
	if (senders && !r->over) {
		sender_gone(r, c, bad);
	} else if (!senders && r->once) {
		r->bad_end = true;
		r->over = true;
	}
	forget(r, c);
}

/*
 * What the sender's connection has brought up to now. The sender believes that it has
 * arrived, and will not send it again. True: the connection is over.
 */
static bool drain(struct receiver *r, struct connection *c)
{
	unsigned char data[65536];
	ssize_t n;
	int err;

	for (;;) {
		n = recv(c->fd, data, sizeof(data), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return !n || errno != EAGAIN;
		err = framer_take(&c->framer, data, (size_t)n);
		if (err < 0)
			receiver_cannot_store(r);
		if (err)
			return true;
	}
}

/* A hello has come while a sender is connected: may it be the next, or the same again? */
static bool succeed(struct receiver *r, struct connection *c, const struct sgring_hello *h)
{
	struct connection *old = r->active;
	bool gone = drain(r, old);

	if (!gone && h->session != r->intake.track.session) {
		snprintf(c->framer.error, sizeof(c->framer.error),
			 "refused: stream \"%s\" of another sender, while %s is sending", h->label,
			 old->peer);
		return false;
	}
	if (!gone)
		progress_say(&r->progress, "%s: the sender has connected again: its connection from %s is closed",
			     c->peer, old->peer);
	end_connection(r, old, NULL, false);
	return !r->over;
}

/* A hello has come: may this connection be the sender's? */
static int admit(void *context, const struct sgring_hello *h)
{
	struct connection *c = context;
	struct receiver *r = c->of;
	struct sgring_track *t = &r->intake.track;

	if (r->active == c)
		return 0;
	if (r->active && !succeed(r, c, h))
		return INTAKE_REFUSED;
	r->active = c;
	r->senders++;
	if (t->session == h->session) {
		progress_say(&r->progress, "%s: the sender is back; position %" PRIu64 " is next",
			     c->peer, t->position);
		return 0;
	}
	if (t->session && !t->ended)
		progress_say(&r->progress, "another sender: the stream before ended at position %" PRIu64 ", without its end",
			     t->position);
	progress_say(&r->progress, "%s: stream \"%s\", slots of %s", c->peer, h->label,
		     size_words(h->slot_bytes));
	return 0;
}

/* Many who say nothing must not keep the sender out. */
static void make_room(struct receiver *r)
{
	struct connection *oldest = NULL;
	unsigned int i;

	for (i = 0; i < r->count; i++)
		if (r->connections[i] != r->active &&
		    (!oldest || r->connections[i]->since_ns < oldest->since_ns))
			oldest = r->connections[i];
	end_connection(r, oldest, "refused: it has said no hello, and others wait", true);
}

static void accept_one(struct receiver *r)
{
	struct sockaddr_storage a = { 0 };
	socklen_t size = sizeof(a);
	struct connection *c;
	int fd, one = 1, idle = 30, interval = 10;

	fd = accept4(r->fd, (struct sockaddr *)&a, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (r->count == CONNECTIONS)
		make_room(r);
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return;
	}
	/* A sender that lost its power says nothing any more. */
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	c->of = r;
	c->fd = fd;
	c->since_ns = now_ns();
	c->framer.to = &r->intake;
	c->framer.admit = admit;
	c->framer.context = c;
	address_text(c->peer, sizeof(c->peer), &a, size);
	r->connections[r->count++] = c;
	if (r->raw && r->active) {
		end_connection(r, c, "refused: another sender is connected", true);
	} else if (r->raw) {
		r->active = c;
		r->senders++;
		progress_say(&r->progress, "%s: connected", c->peer);
	}
}

/* What can be read now. */
static void read_some(struct receiver *r, struct connection *c)
{
	ssize_t n = recv(c->fd, r->buffer, CONNECTIONS_BUFFER, 0);
	int err;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		end_connection(r, c, n ? strerror(errno) : NULL, false);
		return;
	}
	err = r->raw ? intake_raw(&r->intake, r->buffer, (size_t)n) :
		       framer_take(&c->framer, r->buffer, (size_t)n);
	if (r->active == c)
		receiver_came(r);
	if (err < 0)
		receiver_cannot_store(r);
	else if (err)
		end_connection(r, c, c->framer.error, true);
}

/* How long nothing needs to be done unless something comes. */
static int wait_ms(const struct receiver *r)
{
	int ms = receiver_patience_ms(r);
	uint64_t now = now_ns();
	unsigned int i;

	for (i = 0; i < r->count; i++)
		if (!r->connections[i]->framer.greeted && !r->raw)
			ms = soonest_ms(ms, until_ms(r->connections[i]->since_ns + HELLO_NS, now));
	return ms;
}

void connections_receive(struct receiver *r)
{
	struct pollfd fds[CONNECTIONS + 1];
	struct connection *those[CONNECTIONS];
	unsigned int i, n;

	while (!r->over && !interrupts) {
		n = r->count;
		for (i = 0; i < n; i++) {
			those[i] = r->connections[i];
			fds[i] = (struct pollfd){ .fd = those[i]->fd, .events = POLLIN };
		}
		fds[n] = (struct pollfd){ .fd = r->fd, .events = POLLIN };
		poll(fds, n + 1, wait_ms(r));
		for (i = 0; i < n && !r->over; i++) {
			unsigned int k = 0;

			/* One may have taken another's place. */
			while (k < r->count && r->connections[k] != those[i])
				k++;
			if (k == r->count)
				continue;
			if (fds[i].revents)
				read_some(r, those[i]);
			else if (!r->raw && !those[i]->framer.greeted &&
				 now_ns() - those[i]->since_ns >= HELLO_NS)
				end_connection(r, those[i], "refused: it said no hello for 10 s",
					       true);
		}
		if (fds[n].revents & POLLIN && !r->over)
			accept_one(r);
		receiver_tick(r);
	}
	while (r->count) {
		struct connection *c = r->connections[0];

		if (!r->raw && framer_end(&c->framer) < 0 && !r->failed)
			receiver_cannot_store(r);
		forget(r, c);
	}
}

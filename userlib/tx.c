/* SPDX-License-Identifier: MIT */
/*
 * libsgring: senders: opening by URL, slots lent, slots returned, closing
 *
 * A failed sender keeps its connection until it is closed, because the
 * notifications of what the kernel still holds come through it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tx.h"

#define ABORT_NS (1000 * SGRING_MS_NS)
#define ABORT_NAP_NS (2 * SGRING_MS_NS)

static const struct sgring_tx_kind *const kinds[] = { &sgring_tx_tcp };

static int tx_new(struct sgring_tx **tx, struct sgring *s)
{
	struct sgring_tx *t = calloc(1, sizeof(*t));

	*tx = t;
	if (!t)
		return sgring_fail(ENOMEM, "no memory");
	t->stream = s;
	t->fd = -1;
	t->slots_before = s->rings.slots;
	t->slots = calloc(s->geometry.slot_count, sizeof(*t->slots));
	if (!t->slots)
		return sgring_fail(ENOMEM, "no memory");
	return sgring_loans_init(&t->loans, 4 * s->geometry.slot_count);
}

static void tx_free(struct sgring_tx *t)
{
	if (!t)
		return;
	sgring_loans_free(&t->loans);
	free(t->slots);
	free(t);
}

static int tx_open(struct sgring_tx **tx, struct sgring *s, const char *url)
{
	const struct sgring_tx_kind *kind = NULL;
	struct sgring_tx *t = NULL;
	size_t i, n;
	int err;

	*tx = NULL;
	err = sgring_owner_only(s);
	if (err)
		return err;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && !kind; i++) {
		n = strlen(kinds[i]->scheme);
		if (!strncmp(url, kinds[i]->scheme, n)) {
			kind = kinds[i];
			url += n;
		}
	}
	if (!kind)
		return sgring_fail(EINVAL, "\"%.100s\": expected tcp://host:port", url);
	err = tx_new(&t, s);
	if (!err) {
		t->kind = kind;
		err = kind->open(t, url);
	}
	if (err) {
		tx_free(t);
		return err;
	}
	t->next = s->senders;
	s->senders = t;
	s->sender_count++;
	*tx = t;
	return 0;
}

int sgring_tx_open(struct sgring_tx **tx, struct sgring *s, const char *url)
{
	int saved = errno, err = tx_open(tx, s, url);

	errno = saved;
	return err;
}

static void give_back(struct sgring_tx *t, uint32_t slot)
{
	t->held--;
	/* Cannot fail: the slot was ours, so the SQ has room for it. */
	sgring_put(t->stream, slot, t->slots[slot].cookie);
}

void sgring_tx_lend(struct sgring_tx *t, uint32_t slot)
{
	t->slots[slot].pieces++;
	sgring_loans_add(&t->loans, slot);
}

static void piece_done(void *context, uint32_t slot)
{
	struct sgring_tx *t = context;

	if (!--t->slots[slot].pieces && !t->slots[slot].filling)
		give_back(t, slot);
}

void sgring_tx_let_go(struct sgring_tx *t, uint32_t low, uint32_t high, bool copied)
{
	int n = sgring_loans_done(&t->loans, low, high, piece_done, t);

	if (n < 0)
		t->stats.strange++;
	else if (copied)
		t->stats.copied += (uint64_t)n;
	else
		t->stats.zerocopy += (uint64_t)n;
}

int sgring_tx_reap(struct sgring_tx *t)
{
	uint32_t held = t->held;
	int n = sgring_loans_out(&t->loans) ? t->kind->reap(t) : 0;

	/* A kick that fails is the stream's error; sgring_next() will meet it. */
	if (t->held != held)
		sgring_flush(t->stream);
	return n;
}

/* The message is there: the stream will repeat it, in case nobody looks here. */
static void has_failed(struct sgring_tx *t, int err)
{
	struct sgring *s = t->stream;

	t->error = s->sender_error = err;
	snprintf(s->sender_message, sizeof(s->sender_message), "%s", sgring_errmsg());
}

/* Is it a slot of this stream, not with this sender, and the data within it? */
static int check_slot(const struct sgring_tx *t, const struct sgring_slot *slot)
{
	const struct sgring *s = t->stream;
	uint64_t from;

	if (slot->index >= s->geometry.slot_count)
		return sgring_fail(EINVAL, "%u is not one of %u slots", slot->index,
				   s->geometry.slot_count);
	if (t->slots[slot->index].pieces || t->slots[slot->index].filling)
		return sgring_fail(EINVAL, "slot %u is being sent already", slot->index);
	from = (uint64_t)(slot->data - s->rings.data) - slot->index * s->rings.stride_bytes;
	if (from > s->geometry.slot_bytes || slot->length > s->geometry.slot_bytes - from)
		return sgring_fail(EINVAL, "slot %u: the data to send is not inside it", slot->index);
	return 0;
}

int sgring_tx_send(struct sgring_tx *t, const struct sgring_slot *slot)
{
	struct sgring_tx_slot *lent;
	int saved = errno, err = check_slot(t, slot);

	if (err)
		return err;
	lent = &t->slots[slot->index];
	lent->cookie = slot->cookie;
	lent->filling = true;
	t->held++;
	t->stats.slots++;
	if (t->error) {
		err = sgring_fail(-t->error, "%s: the sender has failed before", t->peer);
	} else {
		err = t->kind->send(t, slot->index, slot->data, slot->length);
		if (err)
			has_failed(t, err);
	}
	lent->filling = false;
	if (!lent->pieces) {
		give_back(t, slot->index);
		sgring_flush(t->stream);
	}
	sgring_tx_reap(t);
	errno = saved;
	return err;
}

/* Take notifications until nothing is lent, or nothing moves for so long. */
static int drain(struct sgring_tx *t, int64_t timeout_ns, bool aborted)
{
	int64_t since = sgring_now_ns(), left = -1;
	int err, n;

	while (sgring_loans_out(&t->loans)) {
		n = sgring_tx_reap(t);
		if (n < 0 && !aborted)
			return n;
		if (n > 0)
			since = sgring_now_ns();
		if (!sgring_loans_out(&t->loans))
			break;
		if (timeout_ns >= 0) {
			left = since + timeout_ns - sgring_now_ns();
			if (left <= 0)
				return sgring_fail(ETIMEDOUT, "%s: %u sends are still held after %lld ms",
						   t->peer, sgring_loans_out(&t->loans),
						   (long long)(timeout_ns / SGRING_MS_NS));
		}
		/* A dead connection would report itself at once, for ever. */
		err = aborted ? t->stream->be->poll(t->stream->be, NULL, 0, ABORT_NAP_NS) :
		      t->kind->wait(t, left);
		if (err < 0 && !aborted)
			return err;
	}
	return 0;
}

int sgring_tx_flush(struct sgring_tx *t, int timeout_ms)
{
	int saved = errno, err = t->error;

	if (err)
		return sgring_fail(-err, "%s: the sender has failed before", t->peer);
	err = drain(t, timeout_ms < 0 ? -1 : timeout_ms * SGRING_MS_NS, false);
	/* A reset connection lets go of everything too. */
	if (!err)
		err = t->error = t->kind->check(t);
	errno = saved;
	return err;
}

static void unlink_tx(struct sgring_tx *t)
{
	struct sgring_tx **p = &t->stream->senders;

	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
	t->stream->sender_count--;
}

int sgring_tx_close(struct sgring_tx *t)
{
	int saved = errno, err;

	if (!t)
		return 0;
	err = t->error;
	while (!err) {
		err = sgring_tx_flush(t, (int)t->stream->send_timeout_ms);
		if (!err)
			break;
		if (err == -EINTR)
			err = 0;
	}
	if (err) {
		t->kind->abort(t);
		drain(t, ABORT_NS, true);
		if (t->held)
			sgring_fail(-err, "%s: failed, and the kernel still holds %u slots",
				    t->peer, t->held);
	} else {
		t->kind->finish(t);
	}
	t->kind->close(t);
	unlink_tx(t);
	tx_free(t);
	errno = saved;
	return err;
}

bool sgring_senders_outstanding(const struct sgring *s)
{
	const struct sgring_tx *t;

	for (t = s->senders; t; t = t->next)
		if (sgring_loans_out(&t->loans))
			return true;
	return false;
}

void sgring_senders_reap(struct sgring *s)
{
	struct sgring_tx *t;

	for (t = s->senders; t; t = t->next)
		sgring_tx_reap(t);
}

void sgring_senders_check(struct sgring *s, int fd)
{
	struct sgring_tx *t;
	int saved = errno, err;

	for (t = s->senders; t; t = t->next) {
		err = t->fd == fd && !t->error ? t->kind->check(t) : 0;
		if (err)
			has_failed(t, err);
	}
	errno = saved;
}

unsigned int sgring_senders_pollfds(const struct sgring *s, struct pollfd *fds, unsigned int room)
{
	const struct sgring_tx *t;
	unsigned int n = 0;

	/* Notifications and errors are always polled for; a failed one only gives those. */
	for (t = s->senders; t && n < room; t = t->next)
		if (sgring_loans_out(&t->loans) && !t->error)
			fds[n++] = (struct pollfd){ .fd = t->fd };
	return n;
}

bool sgring_tx_had_all(const struct sgring_tx *t)
{
	return !t->error && t->stats.slots == t->stream->rings.slots - t->slots_before;
}

void sgring_tx_stats_sized(const struct sgring_tx *t, struct sgring_tx_stats *st, size_t size)
{
	struct sgring_tx_stats now = t->stats;

	now.outstanding = sgring_loans_out(&t->loans);
	now.held = t->held;
	memset(st, 0, size);
	memcpy(st, &now, size < sizeof(now) ? size : sizeof(now));
}

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: senders: the queue, who has which slot, failure, reconnection
 *
 * A failed sender keeps its descriptors until it is closed, because the
 * notifications of what the kernel still holds come through them.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tx.h"
#include "uring.h"

#define ABORT_NS (1000 * SGRING_MS_NS)
#define NAP_NS (2 * SGRING_MS_NS)
#define PLENTY 4	/* times as long as the caller is away */
#define BATCH_MAX 64U		/* slots for which a wait lets senders work */
#define BACKOFF_NS (50 * SGRING_MS_NS)
#define BACKOFF_MAX_NS (1000 * SGRING_MS_NS)

static const struct sgring_tx_kind *const kinds[] = {
	&sgring_tx_tcp, &sgring_tx_udp, &sgring_tx_file,
};

static const char no_kind[] =
	"expected tcp://host:port, udp://host:port or file:path";

void sgring_tx_say(const struct sgring_tx *t, const char *format, ...)
{
	char line[512];
	va_list args;

	if (!t->options.say)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	t->options.say(t->options.context, line);
}

/* --- who has a slot */

static void take(struct sgring_tx *t, uint32_t slot)
{
	struct sgring_share *share = &t->stream->shares[slot];

	t->stream->lent_slots += !share->lent++;
	sgring_look_plain(t->stream);
	t->with[slot] = true;
	t->held++;
}

static void give_back(struct sgring_tx *t, const struct sgring_slot *slot)
{
	struct sgring_share *share = &t->stream->shares[slot->index];

	t->stream->lent_slots -= !--share->lent;
	sgring_look_plain(t->stream);
	t->with[slot->index] = false;
	t->held--;
	/* Cannot fail: the slot was ours, so the SQ has room for it. */
	sgring_put(t->stream, slot->index, slot->cookie);
}

int sgring_hold(struct sgring *s, uint32_t index)
{
	int err = sgring_owner_only(s);

	if (!err)
		err = sgring_check_held(s, index);
	if (err)
		return err;
	s->shares[index].extra++;
	s->extra_holds++;
	sgring_look_plain(s);
	return 0;
}

/* --- items */

static void gone(struct sgring_tx *t, struct sgring_tx_item *item)
{
	item->gone = true;
	if (item->slot.index != SGRING_NO_SLOT)
		give_back(t, &item->slot);
	while (t->first != t->head && sgring_tx_item(t, t->first)->gone)
		t->first++;
}

/* Room for so many, a power of two; those that are there stay where they are. */
static int grow(struct sgring_tx *t, uint32_t room)
{
	struct sgring_tx_item **items = calloc(room, sizeof(struct sgring_tx_item *));
	uint32_t n, end = t->first + room;

	for (n = t->first; items && n != end; n++) {
		if (n - t->first < t->room)
			items[n & (room - 1)] = t->items[n & (t->room - 1)];
		else
			items[n & (room - 1)] = calloc(1, sizeof(struct sgring_tx_item));
		if (!items[n & (room - 1)])
			break;
	}
	if (!items || n != end) {
		/* Those that were there stay where they were. */
		while (items && n-- - t->first > t->room)
			free(items[n & (room - 1)]);
		free(items);
		return sgring_fail(ENOMEM, "no memory to track %u slots", room);
	}
	free(t->items);
	t->items = items;
	t->room = room;
	return 0;
}

void sgring_tx_lend(struct sgring_tx *t, struct sgring_tx_item *item)
{
	(void)t;
	item->pieces++;
}

void sgring_tx_took(struct sgring_tx *t, struct sgring_tx_item *item, uint64_t done, bool last)
{
	t->progress++;
	item->done = done;
	if (!last)
		return;
	item->taken = true;
	do {
		t->head++;
	} while (t->head != t->next && sgring_tx_item(t, t->head)->gone);
	if (!item->pieces)
		gone(t, item);
}

void sgring_tx_let_go(struct sgring_tx *t, struct sgring_tx_item *item)
{
	t->progress++;
	/* What a lost connection lets go of has not arrived. */
	if (--item->pieces || t->lost || !(item->taken || t->error))
		return;
	t->back += item->slot.index != SGRING_NO_SLOT;
	gone(t, item);
}

void sgring_tx_reported(struct sgring_tx *t, uint64_t sends, bool copied)
{
	if (!copied) {
		t->stats.zerocopy += sends;
		return;
	}
	t->stats.copied += sends;
	if (!t->said_copied)
		sgring_tx_say(t, "%s: the kernel copies what is sent, as it does on loopback, while packets are captured on the device, and for devices without scatter-gather or checksum offload",
			      t->peer);
	t->said_copied = true;
}

/* Everything is given up; what the kernel still holds comes back when it lets go. */
static void give_up(struct sgring_tx *t, int err)
{
	uint32_t n = t->first;

	if (t->lost && !t->options.reconnect_ms)
		t->stats.unsent_slots += t->back - t->arrived;
	snprintf(t->why, sizeof(t->why), "%s", sgring_errmsg());
	t->error = err;
	t->lost = 0;
	t->blocked = SGRING_TX_OPEN;
	t->head = t->next;
	for (; n != t->next; n++) {
		struct sgring_tx_item *item = sgring_tx_item(t, n);

		if (item->gone)
			continue;
		t->stats.unsent_slots += item->slot.index != SGRING_NO_SLOT;
		if (!item->pieces)
			gone(t, item);
	}
}

/* The message is there: the stream will repeat it, in case nobody looks here. */
static void has_failed(struct sgring_tx *t, int err)
{
	give_up(t, err);
	t->stream->sender_error = err;
	sgring_look_plain(t->stream);
	memcpy(t->stream->sender_message, t->why, sizeof(t->why));
}

static int failed_before(const struct sgring_tx *t)
{
	return sgring_fail(-t->error, "%s", t->why);
}

/* --- frames */

void sgring_tx_hello_frame(const struct sgring_tx *t, uint32_t epoch, uint32_t align, void *wire)
{
	static const clockid_t clocks[] = {
		[SGRING_CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
		[SGRING_CLOCK_REALTIME] = CLOCK_REALTIME,
		[SGRING_CLOCK_TAI] = CLOCK_TAI,
		[SGRING_CLOCK_BOOTTIME] = CLOCK_BOOTTIME,
		[SGRING_CLOCK_MONOTONIC_RAW] = CLOCK_MONOTONIC_RAW,
	};
	const struct sgring *s = t->stream;
	struct sgring_hello hello = {
		.version = SGRING_FRAME_VERSION,
		.epoch = epoch,
		.slot_count = s->geometry.slot_count,
		.slot_bytes = s->geometry.slot_bytes,
		.session = t->session,
		.clock = s->setup.clock,
		.align_bytes = align,
	};
	struct timespec now = { 0 }, real;

	if (hello.clock < sizeof(clocks) / sizeof(clocks[0]))
		clock_gettime(clocks[hello.clock], &now);
	clock_gettime(CLOCK_REALTIME, &real);
	hello.clock_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	hello.realtime_ns = (uint64_t)real.tv_sec * 1000000000 + (uint64_t)real.tv_nsec;
	memcpy(hello.label, t->label, sizeof(hello.label));
	sgring_hello_pack(wire, &hello);
}

void sgring_tx_entry_frame(const struct sgring_tx_item *item, uint64_t from, uint32_t bytes,
			   void *wire)
{
	const struct sgring_slot *slot = &item->slot;
	const struct sgring_cqe e = {
		.sequence = slot->sequence,
		.position_bytes = slot->position + from,
		.host_time_ns = slot->time_ns,
		.device_time_ns = slot->device_time_ns,
		.cookie = slot->cookie,
		.slot = slot->index,
		.length_bytes = bytes,
		.flags = slot->flags,
		.status = slot->status,
		.engine_slots = slot->engine_slots,
	};

	sgring_entry_pack(wire, &e);
}

/* --- connections lost and found */

void sgring_tx_lost(struct sgring_tx *t, int err)
{
	if (t->lost || t->error)
		return;
	t->lost = err;
	t->reset = false;
	snprintf(t->why, sizeof(t->why), "%s", sgring_errmsg());
}

/* Whatever had not been let go of is sent again, whole. */
static uint32_t requeue(struct sgring_tx *t)
{
	struct sgring_tx_item *item;
	uint32_t n, again = 0;

	for (n = t->first; n != t->next; n++) {
		item = sgring_tx_item(t, n);
		if (item->gone)
			continue;
		again += item->begun && item->slot.index != SGRING_NO_SLOT;
		item->done = 0;
		item->begun = item->hello = item->taken = false;
	}
	t->head = t->first;
	t->hello_epoch = 0;
	return again;
}

static void has_lost(struct sgring_tx *t)
{
	if (!t->options.reconnect_ms || !t->kind->reopen) {
		has_failed(t, sgring_fail(-t->lost, "%s", t->why));
		return;
	}
	sgring_tx_say(t, "%s; trying to connect again for %u ms", t->why, t->options.reconnect_ms);
	t->kind->abort(t);
	t->reset = true;
	t->lost_ns = t->retry_ns = sgring_now_ns();
	t->backoff_ns = BACKOFF_NS;
	t->since_ns = 0;
	t->blocked = SGRING_TX_OPEN;
}

static void reconnect(struct sgring_tx *t)
{
	int64_t now = sgring_now_ns(), lost_ms = (now - t->lost_ns) / SGRING_MS_NS;
	uint32_t again;
	int err;

	/* Numbers of notifications are the old connection's until it has told all. */
	if (!t->kind->outstanding(t) && now >= t->retry_ns) {
		err = t->kind->reopen(t);
		if (err > 0) {
			again = requeue(t);
			t->lost = 0;
			t->stats.reconnects++;
			t->stats.resent_slots += again;
			sgring_tx_say(t, "%s: connected again after %lld ms; %u slots go again",
				      t->peer, (long long)lost_ms, again);
			return;
		}
		if (err < 0) {
			snprintf(t->why, sizeof(t->why), "%s", sgring_errmsg());
			t->retry_ns = now + t->backoff_ns;
			if (t->backoff_ns < BACKOFF_MAX_NS)
				t->backoff_ns *= 2;
		}
	}
	if (lost_ms >= t->options.reconnect_ms)
		has_failed(t, sgring_fail(-t->lost, "%s; no connection for %u ms", t->why,
					  t->options.reconnect_ms));
}

/* --- work */

/* Has it something to send, and has nothing moved for too long? */
static void watch(struct sgring_tx *t)
{
	int64_t now;

	if (t->lost || (!sgring_tx_queued(t) && !(t->kind->timed && t->kind->outstanding(t)))) {
		t->since_ns = 0;
		return;
	}
	now = sgring_now_ns();
	if (!t->since_ns || t->seen != t->progress) {
		t->since_ns = now;
		t->seen = t->progress;
	} else if (now - t->since_ns >= t->options.timeout_ms * SGRING_MS_NS) {
		int err = t->kind->stalled(t);

		if (t->kind->reopen && t->options.reconnect_ms)
			sgring_tx_lost(t, err);
		else
			has_failed(t, err);
	}
}

static void push(struct sgring_tx *t)
{
	int err;

	if (t->blocked == SGRING_TX_LATER && sgring_now_ns() < t->retry_ns)
		return;
	t->blocked = SGRING_TX_OPEN;
	err = t->kind->push(t);
	if (err)
		has_failed(t, err);
}

/* Everything that can be done without waiting; or @lazy: no more need be on its way. */
static void work(struct sgring_tx *t, bool reap, bool lazy)
{
	struct sgring *s = t->stream;
	uint64_t returned = sgring_returned(s);
	int err = 0;

	if (reap && (t->kind->outstanding(t) || (t->due_ns && sgring_now_ns() >= t->due_ns))) {
		err = t->kind->reap(t);
		if (err && !t->error)
			has_failed(t, err);
	}
	if (t->look && !t->error) {
		t->look = false;
		err = t->kind->check(t);
		if (err)
			has_failed(t, err);
	}
	if (!t->error && !t->lost && sgring_tx_queued(t) && !lazy)
		push(t);
	/* What is done already is not known before it is looked at. */
	if (!t->error && !lazy)
		watch(t);
	if (!t->error && t->lost && !t->reset)
		has_lost(t);
	if (!t->error && t->lost)
		reconnect(t);
	/* A kick that fails is the stream's error; sgring_next() will meet it. */
	if (returned != sgring_returned(s))
		sgring_flush(s);
}

/* When it wants to go on by itself; INT64_MAX: never. */
static int64_t deadline(const struct sgring_tx *t)
{
	int64_t at = INT64_MAX;

	if (t->error)
		return at;
	if (t->lost && t->kind->outstanding(t))
		return sgring_now_ns() + NAP_NS;
	if (t->lost)	/* there is a pause, or pollfds() has the attempt */
		return t->retry_ns > sgring_now_ns() ? t->retry_ns : sgring_now_ns() + 10 * NAP_NS;
	if (t->blocked == SGRING_TX_LATER)
		at = t->retry_ns;
	if (t->due_ns && t->due_ns < at)
		at = t->due_ns;
	if (t->since_ns && t->since_ns + t->options.timeout_ms * SGRING_MS_NS < at)
		at = t->since_ns + t->options.timeout_ms * SGRING_MS_NS;
	return at;
}

/* Wait until it can go on; @until_ns < 0: no limit. 0 or -errno. */
static int wait_for(struct sgring_tx *t, int64_t until_ns, bool nap)
{
	struct pollfd fds[4];
	unsigned int i, n = t->error ? 0 : t->kind->pollfds(t, fds, 3);
	int64_t now = sgring_now_ns(), at = deadline(t), left;
	int err;

	if (until_ns >= 0 && until_ns < at)
		at = until_ns;
	if ((nap || t->error) && now + NAP_NS < at)
		at = now + NAP_NS;
	left = at == INT64_MAX ? -1 : at > now ? at - now : 0;
	t->stream->sender_waits++;
	err = sgring_poll(t->stream, fds, n, left);
	for (i = 0; err > 0 && i < n; i++)
		sgring_sender_look(t, fds[i].revents);
	return err < 0 ? err : 0;
}

/* --- opening */

static int take_options(struct sgring_tx *t, const struct sgring_tx_options *theirs)
{
	const size_t first = offsetof(struct sgring_tx_options, context) + sizeof(theirs->context);
	const unsigned int flags = SGRING_TX_RAW | SGRING_TX_SQPOLL | SGRING_TX_PAD |
				   SGRING_TX_OVERWRITE;
	const struct sgring *s = t->stream;
	struct sgring_tx_options *o = &t->options;
	int err;

	err = sgring_take_options(o, sizeof(*o), theirs, first);
	if (err)
		return err;
	o->interface = o->interface ? strdup(o->interface) : NULL;
	o->index = o->index ? strdup(o->index) : NULL;
	if (theirs && (!o->interface != !theirs->interface || !o->index != !theirs->index))
		return sgring_fail(ENOMEM, "no memory");
	if (o->flags & ~flags || o->method > SGRING_TX_DIRECT || o->reserved)
		return sgring_fail(EINVAL, "sender options: unknown value of %s",
				   o->flags & ~flags ? "flags" : o->reserved ? "reserved" : "method");
	if (!o->timeout_ms)
		o->timeout_ms = s->send_timeout_ms;
	if (!o->batch_slots) {
		o->batch_slots = s->setup.wake_slots > 16 ? s->setup.wake_slots : 16;
		if (o->batch_slots > s->geometry.slot_count / 2)
			o->batch_slots = s->geometry.slot_count / 2;
	}
	if (!o->batch_slots || o->batch_slots > s->geometry.slot_count)
		o->batch_slots = 1;
	return 0;
}

static int tx_new(struct sgring_tx **tx, struct sgring *s, const struct sgring_tx_options *o)
{
	struct sgring_tx *t = calloc(1, sizeof(*t));
	struct sgring_query query = { 0 };
	uint32_t room = 1;
	int err;

	*tx = t;
	if (!t)
		return sgring_fail(ENOMEM, "no memory");
	t->stream = s;
	t->fd = -1;
	t->timer_fd = -1;
	t->batch = 1;
	t->epoch = (uint32_t)s->rings.ends + 1;
	t->slots_before = sgring_taken(s);
	err = take_options(t, o);
	if (err)
		return err;
	while (room < s->geometry.slot_count + 2)
		room *= 2;
	err = grow(t, room);
	if (err)
		return err;
	t->with = calloc(s->geometry.slot_count, sizeof(*t->with));
	if (!t->with)
		return sgring_fail(ENOMEM, "no memory");
	t->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (t->timer_fd < 0)
		return sgring_fail(errno, "cannot make a timer: too many open files?");
	while (!t->session)
		if (getrandom(&t->session, sizeof(t->session), 0) < 0)
			t->session = (uint64_t)sgring_now_ns();
	err = sgring_query(s, &query);
	if (!err)
		snprintf(t->label, sizeof(t->label), "%.*s", (int)sizeof(query.label), query.label);
	return err;
}

static void tx_free(struct sgring_tx *t)
{
	uint32_t n;

	if (!t)
		return;
	if (t->timer_fd >= 0)
		close(t->timer_fd);
	for (n = 0; n < t->room; n++)
		free(t->items[n]);
	free((char *)(uintptr_t)t->options.interface);
	free((char *)(uintptr_t)t->options.index);
	free(t->items);
	free(t->with);
	free(t);
}

static int tx_open(struct sgring_tx **tx, struct sgring *s, const char *url,
		   const struct sgring_tx_options *o)
{
	const struct sgring_tx_kind *kind = NULL;
	struct sgring_tx *t = NULL;
	const char *where = url;
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
			where = url + n;
		}
	}
	if (!kind)
		return sgring_fail(EINVAL, "\"%.100s\": %s", url, no_kind);
	err = tx_new(&t, s, o);
	if (!err) {
		t->kind = kind;
		snprintf(t->peer, sizeof(t->peer), "%s", where);
		err = kind->open(t, where);
	}
	if (err) {
		tx_free(t);
		return err;
	}
	t->next_tx = s->senders;
	s->senders = t;
	s->sender_count++;
	*tx = t;
	sgring_tx_say(t, "%s: %s", t->peer, t->choice);
	return 0;
}

int sgring_tx_open(struct sgring_tx **tx, struct sgring *s, const char *url,
		   const struct sgring_tx_options *o)
{
	int saved = errno, err = tx_open(tx, s, url, o);

	errno = saved;
	return err;
}

int sgring_tx_method(const struct sgring_tx *t)
{
	return (int)t->method;
}

const char *sgring_tx_choice(const struct sgring_tx *t)
{
	return t->choice;
}

int sgring_tx_error(const struct sgring_tx *t)
{
	return t->error;
}

/* --- sending */

/* Is it a slot the caller holds, not with this sender, and the data within it? */
static int check_slot(const struct sgring_tx *t, const struct sgring_slot *slot, uint64_t *from)
{
	const struct sgring *s = t->stream;
	int err = sgring_check_held(s, slot->index);

	if (err)
		return err;
	if (t->with[slot->index])
		return sgring_fail(EINVAL, "slot %u is being sent already", slot->index);
	*from = (uint64_t)(slot->data - s->rings.data) - slot->index * s->rings.stride_bytes;
	if (*from > s->geometry.slot_bytes || slot->length > s->geometry.slot_bytes - *from)
		return sgring_fail(EINVAL, "slot %u: the data to send is not inside it", slot->index);
	return 0;
}

/* Items that are gone stay behind one that is not: there may be more than slots. */
static int append(struct sgring_tx *t, const struct sgring_slot *slot, uint32_t epoch)
{
	struct sgring_tx_item *item;
	int err;

	if (t->next - t->first == t->room) {
		err = grow(t, 2 * t->room);
		if (err)
			return err;
	}
	item = sgring_tx_item(t, t->next);
	*item = (struct sgring_tx_item){ .slot = *slot, .number = t->next++, .epoch = epoch };
	return 0;
}

static int queue_end(struct sgring_tx *t, const struct sgring_slot *slot)
{
	if (t->error)
		return failed_before(t);
	t->sequence = 0;
	t->epoch++;
	return sgring_tx_raw(t) ? 0 : append(t, slot, t->epoch - 1);
}

static int queue_slot(struct sgring_tx *t, const struct sgring_slot *slot)
{
	struct sgring *s = t->stream;
	struct sgring_slot mine = *slot;
	uint64_t from = 0;
	int err = check_slot(t, slot, &from);

	if (err)
		return err;
	take(t, slot->index);
	t->stats.slots++;
	/* Its first byte's, also if the caller narrowed the data and nothing else. */
	mine.position = from +
			sgring_load_relaxed(&sgring_slot_info(s, slot->index)->position_bytes);
	/* Entries do not tell their epoch; within one, sequences grow. */
	if (slot->sequence < t->sequence && s->rings.ends + 1 > t->epoch)
		t->epoch = (uint32_t)s->rings.ends + 1;
	t->sequence = slot->sequence + 1;
	if (!t->error && (slot->length || !sgring_tx_raw(t))) {
		err = append(t, &mine, t->epoch);
		if (!err)
			return 0;
		has_failed(t, err);
	}
	t->stats.unsent_slots += !!t->error;
	give_back(t, slot);
	sgring_flush(s);
	return t->error ? failed_before(t) : 0;
}

/*
 * Can the rest wait for the caller's next wait, which hands it over with the same system
 * call? If what the kernel has takes it longer than the caller is going to be away. A guess:
 * if it is wrong, the network, or the disk, may be idle until the caller is here again.
 */
static bool has_plenty(const struct sgring_tx *t)
{
	const struct sgring *s = t->stream;

	return (t->held - sgring_tx_queued(t)) * s->slot_ns > PLENTY * s->busy_ns;
}

int sgring_tx_send(struct sgring_tx *t, const struct sgring_slot *slot)
{
	struct sgring *s = t->stream;
	int saved = errno, err;

	err = slot->flags & SGRING_EOS ? queue_end(t, slot) : queue_slot(t, slot);
	if (err)
		return err;
	/*
	 * Where a system call takes several, it is made when there is a batch or the
	 * caller is about to wait. If the kernel has plenty, the wait itself will do;
	 * and completions can wait while the device has slots.
	 */
	if (sgring_tx_queued(t) >= t->batch || !sgring_ready(s)) {
		work(t, 4 * t->held >= s->geometry.slot_count, t->batch > 1 && has_plenty(t));
		if (t->batch > 1)
			s->left_ns = sgring_now_ns();
	}
	errno = saved;
	return t->error;
}

/* --- flush and close */

static int flush(struct sgring_tx *t, int64_t timeout_ns)
{
	int64_t since = sgring_now_ns(), until = -1;
	uint64_t seen = t->progress;
	int err, settled;

	for (;;) {
		work(t, true, false);
		if (t->error)
			return t->error;
		settled = -1;
		if (!sgring_tx_queued(t) && !t->kind->outstanding(t) && !t->lost) {
			settled = t->kind->settle(t);
			if (settled > 0)
				return 0;
			if (settled < 0) {
				has_failed(t, settled);
				return settled;
			}
		}
		/* While there is no connection, reconnect_ms is what counts. */
		if (t->progress != seen || t->lost) {
			seen = t->progress;
			since = sgring_now_ns();
		}
		if (timeout_ns >= 0) {
			until = since + timeout_ns;
			if (sgring_now_ns() >= until)
				return sgring_fail(ETIMEDOUT, "%s: %u slots are queued and %u sends still held after %lld ms",
						   t->peer, sgring_tx_queued(t),
						   t->kind->outstanding(t),
						   (long long)(timeout_ns / SGRING_MS_NS));
		}
		err = wait_for(t, until, !settled);
		if (err == -EINTR)
			return sgring_fail(EINTR, "a %s ended the wait",
					   sgring_load_relaxed(&t->stream->cancelled) ?
					   "cancellation" : "signal");
		if (err)
			return sgring_fail(-err, "%s: cannot wait (error %d)", t->peer, -err);
	}
}

int sgring_tx_flush(struct sgring_tx *t, int timeout_ms)
{
	int saved = errno, err;

	if (t->error)
		return failed_before(t);
	err = flush(t, timeout_ms < 0 ? -1 : timeout_ms * SGRING_MS_NS);
	errno = saved;
	return err;
}

static void unlink_tx(struct sgring_tx *t)
{
	struct sgring_tx **p = &t->stream->senders;

	while (*p != t)
		p = &(*p)->next_tx;
	*p = t->next_tx;
	t->stream->sender_count--;
}

/* Have the kernel let go of what it holds. */
static void let_go_of_all(struct sgring_tx *t)
{
	int64_t until = sgring_now_ns() + ABORT_NS;

	t->kind->abort(t);
	work(t, true, false);
	while (t->kind->outstanding(t) && sgring_now_ns() < until) {
		t->stream->be->poll(t->stream->be, NULL, 0, NAP_NS);
		work(t, true, false);
	}
}

int sgring_tx_close(struct sgring_tx *t)
{
	int saved = errno, err;

	if (!t)
		return 0;
	err = t->error;
	while (!err) {
		err = flush(t, t->options.timeout_ms * SGRING_MS_NS);
		if (!err)
			break;
		if (err == -EINTR && !sgring_load_relaxed(&t->stream->cancelled))
			err = 0;
	}
	if (err) {
		if (!t->error)
			give_up(t, err);
		let_go_of_all(t);
		if (t->held)
			sgring_fail(-err, "%s, and the kernel still holds %u slots", t->why, t->held);
		else
			failed_before(t);
	} else {
		err = t->kind->finish(t);
	}
	t->kind->close(t);
	sgring_flush(t->stream);
	unlink_tx(t);
	tx_free(t);
	errno = saved;
	return err;
}

/* --- for the waits of the stream */

static bool busy(const struct sgring_tx *t)
{
	return t->kind->outstanding(t) || (!t->error && (sgring_tx_queued(t) || t->lost));
}

bool sgring_senders_busy(const struct sgring *s, bool *queued)
{
	const struct sgring_tx *t;
	bool any = false;

	*queued = false;
	for (t = s->senders; t; t = t->next_tx) {
		*queued |= !t->error && (sgring_tx_queued(t) || t->lost);
		any |= busy(t);
	}
	return any;
}

void sgring_senders_work(struct sgring *s)
{
	struct sgring_tx *t;
	int saved = errno;

	for (t = s->senders; t; t = t->next_tx)
		work(t, true, false);
	errno = saved;
}

uint64_t sgring_senders_progress(const struct sgring *s)
{
	const struct sgring_tx *t;
	uint64_t sum = 1;

	for (t = s->senders; t; t = t->next_tx)
		sum += t->progress;
	return sum;
}

int64_t sgring_senders_deadline(const struct sgring *s)
{
	const struct sgring_tx *t;
	int64_t at = INT64_MAX, mine;

	for (t = s->senders; t; t = t->next_tx) {
		mine = deadline(t);
		if (mine < at)
			at = mine;
	}
	return at;
}

/*
 * A third of all slots: one is being filled, one is waited for, and one keeps the network
 * busy. And at most half of what there is; and, but for a wake-up batch, as many as the
 * engine has left, if it has some.
 */
static uint32_t batch_of(const struct sgring_tx *t)
{
	const struct sgring *s = t->stream;
	uint32_t batch = s->geometry.slot_count / 3;
	uint32_t left = s->geometry.slot_count - (uint32_t)sgring_held(s);

	if (batch > BATCH_MAX)
		batch = BATCH_MAX;
	if (batch > t->held / 2)
		batch = t->held / 2;
	if (left < s->setup.wake_slots)
		left = s->setup.wake_slots;
	if (batch > left && !sgring_starved(s))
		batch = left;
	return batch ? batch : 1;
}

struct sgring_uring *sgring_senders_ring(struct sgring *s, uint32_t *batch,
					 unsigned int *completions, bool *alone)
{
	struct sgring_tx *t, *most = NULL;
	struct sgring_uring *u;

	*alone = true;
	for (t = s->senders; t; t = t->next_tx) {
		if (!busy(t))
			continue;
		if (!t->kind->ring || !t->kind->ring(t, 1, completions))
			return NULL;
		if (most)
			*alone = false;
		/* Whoever has most is the one that all wait for. */
		if (!most || t->held > most->held)
			most = t;
	}
	if (!most)
		return NULL;
	*batch = batch_of(most);
	u = most->kind->ring(most, *batch, completions);
	*completions += !*completions;
	return u;
}

bool sgring_senders_have_plenty(const struct sgring *s)
{
	const struct sgring_tx *t;

	for (t = s->senders; t; t = t->next_tx)
		/* Into a ring items are taken at once, and yet may not have been handed over. */
		if ((sgring_tx_queued(t) || t->kind->ring) && !has_plenty(t))
			return false;
	return true;
}

void sgring_senders_submit(struct sgring *s)
{
	struct sgring_tx *t;

	struct sgring_uring *u;
	unsigned int n;
	uint64_t calls;

	s->put_off = false;
	for (t = s->senders; t; t = t->next_tx) {
		u = t->kind->ring ? t->kind->ring(t, 1, &n) : NULL;
		if (!u)
			continue;
		calls = u->calls;
		/* What fails is tried again, and told, by the next push. */
		sgring_uring_submit(u);
		t->stats.calls += u->calls - calls;
	}
}

unsigned int sgring_senders_pollfds(struct sgring *s, struct pollfd *fds,
				    struct sgring_tx **who, unsigned int room)
{
	struct sgring_tx *t;
	unsigned int n = 0, i;

	/* A failed one would only tell that, again and again. */
	for (t = s->senders; t; t = t->next_tx) {
		if (t->error)
			continue;
		i = n;
		n += t->kind->pollfds(t, fds + n, room - n);
		for (; i < n; i++)
			who[i] = t;
	}
	return n;
}

void sgring_sender_look(struct sgring_tx *t, int revents)
{
	/* An error with something outstanding is a notification: reap() takes it. */
	t->look |= revents & (POLLHUP | POLLNVAL) ||
		   (revents & POLLERR && !t->kind->outstanding(t));
}

bool sgring_tx_had_all(const struct sgring_tx *t)
{
	return !t->error && t->stats.slots == sgring_taken(t->stream) - t->slots_before;
}

bool sgring_tx_ended(const struct sgring_tx *t)
{
	return t->epoch > t->stream->rings.ends;
}

int sgring_work(struct sgring *s)
{
	int err = sgring_owner_only(s);

	if (err)
		return err;
	sgring_senders_work(s);
	err = sgring_flush(s);
	return s->sender_error ? sgring_sender_failed(s) : err;
}

unsigned int sgring_tx_pollfds(const struct sgring_tx *t, struct pollfd *fds, unsigned int room)
{
	unsigned int n = t->error ? 0 : t->kind->pollfds(t, fds, room);
	int64_t at = deadline(t);
	const struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at / 1000000000),
		.it_value.tv_nsec = (long)(at % 1000000000),
	};
	int saved = errno;

	if (at != INT64_MAX && n < room &&
	    !timerfd_settime(t->timer_fd, TFD_TIMER_ABSTIME, &when, NULL))
		fds[n++] = (struct pollfd){ .fd = t->timer_fd, .events = POLLIN };
	errno = saved;
	return n;
}

void sgring_tx_stats_sized(const struct sgring_tx *t, struct sgring_tx_stats *st, size_t size)
{
	struct sgring_tx_stats now = t->stats;

	now.outstanding = t->kind->outstanding(t);
	now.queued = sgring_tx_queued(t);
	now.held = t->held;
	memset(st, 0, size);
	memcpy(st, &now, size < sizeof(now) ? size : sizeof(now));
}

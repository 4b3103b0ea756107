/* SPDX-License-Identifier: MIT */
/*
 * libsgring: waiting for slots, taking them, giving them back
 *
 * Who is waited for. While the CQ has entries, nobody. When it is empty:
 *
 *   every slot is with us            only senders can help
 *   a sender could not hand over     senders: more slots would only be queued, too
 *   all it has
 *   the engine is starved, senders   senders: what is in the SQ now the kernel's timer
 *   have slots                       takes, and it can wait until we have more for it
 *   senders have most slots          senders by io_uring: their batch is no larger than
 *                                    what the engine has left; others: both
 *   otherwise                        the device; it will wake us for the next batch, and
 *                                    notifications can wait for that
 *
 * How. One system call has to do for many slots: there are three for each otherwise.
 *
 *   the device    it wakes us once per wake-up batch
 *   senders by    one io_uring_enter() that hands over what was prepared, and sleeps until
 *   io_uring      so many completions are there that a batch of slots can go back. Their
 *                 slots do so in one go, and the kernel's timer takes them: no kick. A
 *                 batch is a third of the slots: one is being filled, one is waited for,
 *                 and the other keeps the network busy meanwhile
 *   other         a poll, which ends with the first notification
 *   senders
 *
 * Nothing but its time ends such a wait early: four times what a batch took lately. After
 * one in vain the device may well deliver beside the senders: everything is polled for
 * until something of theirs moves.
 *
 * Each wait is preceded by sgring_flush(): a kernel that has stopped looking at the SQ is
 * kicked (I, J in sgring_ring.h). sgring_return() has no such barrier, and leans on that.
 * The CQ is looked at once more after it (P). Models: tests/model/wakeup.pml and wait.pml.
 *
 * While senders have every slot the device cannot deliver, and the caller's
 * time-out does not run if one of theirs does.
 */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "uring.h"

#define NAP_NS SGRING_MS_NS
#define LONG_NAP_NS (5 * SGRING_MS_NS)
#define NAP_MAX_NS (500 * SGRING_MS_NS)
#define SLICE_NS (50 * SGRING_MS_NS)	/* in which a cancellation is noticed */
#define REFUSED_NS (2 * SGRING_MS_NS)
#define UNKNOWN_NS (100 * SGRING_MS_NS)
#define OTHERS_NS (10 * SGRING_MS_NS)	/* other senders may have run out of work */
#define SOCKETS 16	/* more of them are looked after, not waited for */

int64_t sgring_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

int sgring_poll(struct sgring *s, struct pollfd *fds, unsigned int n, int64_t timeout_ns)
{
	int ready;

	if (sgring_load_relaxed(&s->cancelled))
		return -EINTR;
	fds[n] = (struct pollfd){ .fd = s->cancel_fd, .events = POLLIN };
	ready = s->be->poll(s->be, fds, n + 1, timeout_ns);
	return sgring_load_relaxed(&s->cancelled) ? -EINTR : ready;
}

void sgring_cancel(struct sgring *s)
{
	const uint64_t one = 1;
	int saved = errno;
	ssize_t n;

	__atomic_store_n(&s->cancelled, 1, __ATOMIC_RELAXED);
	n = write(s->cancel_fd, &one, sizeof(one));
	(void)n;	/* it can only be full: then it is readable */
	errno = saved;
}

/* How long do senders take for a slot? From one wait for them to the next. */
static void measure(struct sgring *s)
{
	const int64_t now = sgring_now_ns();
	const uint32_t slots = (uint32_t)sgring_returned(s) - s->woken_returned;
	int64_t each;

	if (s->woken_ns && slots) {
		each = (now - s->woken_ns) / slots;
		s->slot_ns = s->slot_ns ? (3 * s->slot_ns + each) / 4 : each;
	}
	if (slots || !s->woken_ns) {
		s->woken_ns = now;
		s->woken_returned = (uint32_t)sgring_returned(s);
	}
}

/*
 * The kernel took nothing of what was to be handed over, for want of memory most likely: until
 * something is let go of, or for a moment.
 */
static int sleep_on_refusal(struct sgring *s, const struct sgring_uring *u, int64_t left_ns)
{
	struct pollfd fds[2] = { { .fd = sgring_uring_fd(u), .events = POLLIN } };
	int err;

	s->sender_waits++;
	err = sgring_poll(s, fds, 1, left_ns < REFUSED_NS ? left_ns : REFUSED_NS);
	return err < 0 ? err : 0;
}

/*
 * On the senders' ring. How many completions a @batch of slots takes is an estimate, which
 * may never come true, if only because the connection is lost; and the device does not end
 * this: look after four times what it should take. Nor does a cancellation: so in slices.
 */
static int sleep_on_ring(struct sgring *s, struct sgring_uring *u, uint32_t batch,
			 unsigned int completions, bool alone, int64_t left_ns)
{
	int64_t nap = s->slot_ns ? 4 * batch * s->slot_ns : UNKNOWN_NS;
	int err;

	nap = nap < LONG_NAP_NS ? LONG_NAP_NS : nap > NAP_MAX_NS ? NAP_MAX_NS : nap;
	if (!alone && nap > OTHERS_NS)
		nap = OTHERS_NS;
	if (left_ns >= 0 && left_ns < nap)
		nap = left_ns;
	if (s->put_off && !alone)
		sgring_senders_submit(s);
	s->put_off = false;
	do {
		if (sgring_load_relaxed(&s->cancelled))
			return -EINTR;
		s->sender_waits++;
		err = sgring_uring_wait(u, completions, nap < SLICE_NS ? nap : SLICE_NS);
		nap -= SLICE_NS;
	} while (!err && nap > 0);
	if (u->refused)
		return sleep_on_refusal(s, u, nap + SLICE_NS);
	s->in_vain = !err && !io_uring_cq_ready(&u->ring) ? sgring_senders_progress(s) : 0;
	measure(s);
	return err < 0 ? err : 0;
}

/* Sleep once. 0: look again; timeouts are the caller's. */
static int sleep_once(struct sgring *s, int64_t left_ns)
{
	uint64_t held = sgring_held(s), slots = s->geometry.slot_count;
	bool queued, sending = sgring_senders_busy(s, &queued), starved = sgring_starved(s);
	bool device = !sending || (held < slots && !starved && !queued);
	bool alone, vain;
	int64_t at = sgring_senders_deadline(s), now = sgring_now_ns(), nap;
	struct sgring_tx *who[2 + SOCKETS];
	struct pollfd fds[2 + SOCKETS];
	struct sgring_uring *u = NULL;
	unsigned int n = 0;
	uint32_t batch;
	int ready;

	/* After the last entry of an epoch nobody is woken for the state that follows it. */
	if (sgring_state(s) == SGRING_STATE_READY)
		return 0;
	if (sgring_state(s) == SGRING_STATE_STOPPING && (left_ns < 0 || left_ns > NAP_NS))
		left_ns = NAP_NS;
	if (at != INT64_MAX && (left_ns < 0 || left_ns > at - now))
		left_ns = at > now ? at - now : 0;
	vain = s->in_vain && s->in_vain == sgring_senders_progress(s);
	if (!vain && (!device || 2 * s->lent_slots > slots))
		u = sgring_senders_ring(s, &batch, &n, &alone);
	if (u)
		return sleep_on_ring(s, u, batch, n, alone, left_ns);
	device |= vain && held < slots;
	if (s->put_off)
		sgring_senders_submit(s);
	n = 0;
	if (device)
		fds[n++] = (struct pollfd){ .fd = s->fd, .events = POLLIN };
	if (sending && (!device || vain || 2 * held > slots))
		n += sgring_senders_pollfds(s, fds + n, who + n, SOCKETS);
	nap = starved ? NAP_NS : LONG_NAP_NS;
	/* A failed sender's socket cannot be waited for: look again soon. */
	if (!device && (left_ns < 0 || nap < left_ns) &&
	    (held < slots || (!n && at == INT64_MAX)))
		left_ns = nap;
	if (device)
		s->polls++;
	else
		s->sender_waits++;
	ready = sgring_poll(s, fds, n, left_ns);
	if (ready <= 0)
		return ready;
	if (device && (fds[0].revents & (POLLHUP | POLLNVAL)) && !sgring_ready(s))
		return -ENODEV;
	while (n-- > device)
		sgring_sender_look(who[n], fds[n].revents);
	return 0;
}

int sgring_sender_failed(struct sgring *s)
{
	int err = s->sender_error;

	s->sender_error = 0;
	sgring_look_plain(s);
	return sgring_fail(-err, "%s", s->sender_message);
}

/* Nothing is ready: why, or 0 if something may still come. */
static int what_happened(struct sgring *s)
{
	struct sgring_cq *cq = &s->rings.cq;
	uint32_t state = sgring_state(s);

	/* The kernel wrote its last entries before this state: look again. */
	if (sgring_ready(s)) /* P */
		return 0;
	if (sgring_load_acquire(&cq->kernel->flags) & SGRING_DEAD)
		return sgring_ready(s) ? 0 : sgring_fail(ENODEV, "the device is gone");
	if (state != SGRING_STATE_READY)
		return 0;
	if (!sgring_load_relaxed(&cq->kernel->epoch))
		return sgring_fail(EBADFD, "the stream has not been started");
	return sgring_fail(ENODATA, "the stream has ended");
}

static int wait_for_entry(struct sgring *s, int timeout_ms)
{
	int64_t left = -1, now, before = 0, waited = 0;
	bool theirs = false;
	int err;

	for (;;) {
		if (s->sender_error)
			return sgring_sender_failed(s);
		if (sgring_load_relaxed(&s->cancelled))
			return sgring_fail(EINTR, "a cancellation ended the wait");
		if (sgring_ready(s))
			return 0;
		sgring_senders_work(s);
		err = sgring_flush(s);
		if (!err)
			err = what_happened(s);
		if (err)
			return err;
		if (sgring_ready(s))
			return 0;
		if (s->sender_error)
			continue;
		if (timeout_ms >= 0) {
			now = timeout_ms ? sgring_now_ns() : 0;
			if (before && !theirs)
				waited += now - before;
			before = now;
			left = timeout_ms * SGRING_MS_NS - waited;
			if (left <= 0) {
				if (s->be->quiet)
					s->be->quiet(s->be, s->fd);
				return sgring_fail(ETIMEDOUT, "no slot for %d ms", timeout_ms);
			}
			theirs = s->lent_slots == s->geometry.slot_count &&
				 sgring_senders_deadline(s) != INT64_MAX;
			if (theirs)
				left = -1;
		}
		if (s->waiting == SGRING_SPIN) {
			relax();
			continue;
		}
		err = sleep_once(s, left);
		if (err == -EINTR && !sgring_load_relaxed(&s->cancelled))
			return sgring_fail(EINTR, "a signal ended the wait");
		if (err == -EINTR)
			continue;
		if (err == -ENODEV)
			return sgring_fail(ENODEV, "the device is gone");
		if (err)
			return sgring_fail(-err, "cannot wait for the device (error %d)", -err);
	}
}

int sgring_wait(struct sgring *s, int timeout_ms)
{
	int64_t busy;
	int err;

	if (!s->owner)
		return sgring_owner_only(s);
	/* The longest time counts at once, and is forgotten slowly. */
	busy = sgring_now_ns() - s->left_ns;
	if (s->left_ns)
		s->busy_ns = busy > s->busy_ns ? busy : (7 * s->busy_ns + busy) / 8;
	s->about_to_wait = timeout_ms && s->waiting != SGRING_SPIN;
	err = wait_for_entry(s, timeout_ms);
	s->about_to_wait = false;
	if (s->put_off && (err || !sgring_senders_have_plenty(s)))
		sgring_senders_submit(s);
	s->left_ns = sgring_now_ns();
	return err;
}

int sgring_check_held(const struct sgring *s, uint32_t index)
{
	if (index >= s->geometry.slot_count)
		return sgring_fail(EINVAL, "%u is not one of %u slots", index,
				   s->geometry.slot_count);
	if (sgring_load_relaxed(&sgring_slot_info(s, index)->state) != SGRING_SLOT_APP)
		return sgring_fail(EINVAL, "slot %u is not with the application", index);
	if (sgring_all_lent(&s->shares[index]))
		return sgring_fail(EINVAL, "slot %u is being sent already; sgring_hold() it first, once for each further receiver",
				   index);
	return 0;
}

int sgring_kick(struct sgring *s)
{
	char text[128];
	int err = sgring_owner_only(s);

	if (err)
		return err;
	s->kicks++;
	err = s->be->ioctl(s->be, s->fd, SGRING_KICK, NULL);
	if (err < 0)
		return sgring_fail(-err, "kick: %s", sgring_strerror(err, text, sizeof(text)));
	return 0;
}

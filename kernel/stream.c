// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: the life of a stream: arm, start, stop
 *
 *   READY --arm--> ARMED --start--> RUNNING
 *     ^              |                 |
 *     +----stop------+-------stop------+
 *
 * Under the stream's mutex, process context. Model of a stop: tests/model/stop.pml.
 */
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/freezer.h>
#include <linux/jiffies.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "stream.h"
#include "trace.h"

/* How often a drain looks whether the device still fills a slot, and how long it has not. */
#define DRAIN_LOOK_MS	10
#define DRAIN_QUIET	5

/* An engine that must not be terminated in mid-packet is given this long. */
#define DRAIN_FORCED_MS	1000

/* How often an arm looks whether a slot has passed the gate, and for how long. */
#define ARM_LOOK_MS	5
#define ARM_GATE_MS	1000

static void set_state(struct sgring_stream *s, u32 state)
{
	WRITE_ONCE(s->state, state);
	/* Who sees it sees the entries before it: DEAD takes the place of READY, not before. */
	if (sgring_is_dead(s) && state == SGRING_STATE_READY)
		state = SGRING_STATE_DEAD;
	if (s->rings.kernel)
		sgring_store_release(&s->rings.kernel->state, state);
}

static void device_stop(struct sgring_stream *s)
{
	if (s->device_on && s->client.ops->stop)
		s->client.ops->stop(s->client.priv);
	s->device_on = false;
}

/* If the engine goes on, it goes on writing to what it was given. 0 or -EIO. */
static int engine_stop(struct sgring_stream *s)
{
	int ret = sgring_engine_stop(&s->engine, !sgring_is_dead(s));

	if (!ret)
		return 0;
	dev_alert(&s->dev, "engine not to be stopped: %llu bytes leaked\n", s->memory_bytes);
	s->leak = true;
	return ret;
}

/**
 * sgring_lock_settled() - take the mutex, with no drain going on
 * @s: any
 *
 * A drain lets go of the mutex while it waits; whoever is about to take
 * something away from the stream has to wait for its end.
 */
void sgring_lock_settled(struct sgring_stream *s)
{
	mutex_lock(&s->mutex);
	while (s->state == SGRING_STATE_STOPPING) {
		mutex_unlock(&s->mutex);
		wait_event(s->settled, READ_ONCE(s->state) != SGRING_STATE_STOPPING);
		mutex_lock(&s->mutex);
	}
}

/*
 * What was sent before a stop may be in flight still. Nothing may enable the
 * device before its engine is loaded, so wait here for the first slot to come
 * back, a while. 0 or -EINTR.
 */
static int collect(struct sgring_stream *s)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(ARM_GATE_MS);

	while (!sgring_pump_collect(s) && !sgring_is_dead(s) && time_before(jiffies, deadline)) {
		if (fatal_signal_pending(current))
			return -EINTR;
		msleep(ARM_LOOK_MS);
	}
	return 0;
}

/* Of an arm or a start that was refused with @err. */
static const char *refusal(int err)
{
	switch (err) {
	case -EBADFD:
		return "not in this state";
	case -ENOBUFS:
		return "no slot for the engine, or no room in the CQ; return slots, or consume";
	case -EIO:
		return "the engine refused, or could not be stopped before; see the log";
	case -EPROTO:
		return "an index of the application is off its ring";
	case -EINTR:
		return "ended by a fatal signal";
	default:
		return "the device's driver refused";
	}
}

static int refused(struct sgring_stream *s, int err, const char *what)
{
	struct sgring_message m;

	snprintf(m.text, sizeof(m.text), "%s: %s", what, refusal(err));
	sgring_refused(s, err, m.text);
	return err;
}

static int arm(struct sgring_stream *s)
{
	const struct sgring_client_ops *ops = s->client.ops;
	bool begun;
	int ret;

	if (s->state != SGRING_STATE_READY)
		return -EBADFD;
	if (s->leak || (!s->engine.chan && sgring_engine_renew(&s->engine)))
		return -EIO;
	/* If indices are nonsense now, no pass could begin. */
	if (sgring_cq_room(&s->rings) < 0 || sgring_sq_used(&s->rings) < 0)
		return -EPROTO;
	if (!sgring_cq_room(&s->rings))
		return -ENOBUFS;
	ret = collect(s);
	if (ret)
		return ret;

	begun = sgring_pump_begin(s);
	if (!begun) {
		ret = s->slots_free && sgring_cq_room(&s->rings) > 1 ? -EIO : -ENOBUFS;
		goto undo;
	}
	if (ops && ops->arm) {
		ret = ops->arm(s->client.priv);
		if (ret)
			goto undo;
		s->device_on = true;
	}
	set_state(s, SGRING_STATE_ARMED);
	return 0;

undo:
	sgring_pump_end(s);
	/* An engine that was given nothing has nothing to stop. */
	if (!begun)
		return ret;
	engine_stop(s);
	sgring_pump_retire_rest(s, NULL, s->leak);
	/* Something may have come meanwhile: its epoch ends as any other does. */
	sgring_pump_end_of_stream(s, ret);
	return ret;
}

/**
 * sgring_arm() - load the engine; the device is not enabled
 * @s: in state READY
 *
 * Waits up to a second if all there is to give waits at the gate.
 *
 * Return: 0; -EBADFD wrong state; -ENOBUFS nothing to give the engine; -EIO the
 * engine refused; -EPROTO a damaged index; -EINTR a fatal signal; what the
 * client said.
 */
int sgring_arm(struct sgring_stream *s)
{
	int ret = arm(s);

	return ret ? refused(s, ret, "arm") : 0;
}

/**
 * sgring_start() - enable the device
 * @s: in state ARMED, or READY: then it arms first
 *
 * Return: 0; as sgring_arm(); what the client said: the stream is READY then.
 */
int sgring_start(struct sgring_stream *s)
{
	const struct sgring_client_ops *ops = s->client.ops;
	int ret;

	if (s->state == SGRING_STATE_READY) {
		ret = sgring_arm(s);
		if (ret)
			return ret;
	}
	if (s->state != SGRING_STATE_ARMED)
		return refused(s, -EBADFD, "start");
	set_state(s, SGRING_STATE_RUNNING);
	ret = ops && ops->start ? ops->start(s->client.priv) : 0;
	if (ret) {
		sgring_stop(s, false, 0, ret, NULL);
		return refused(s, ret, "start");
	}
	s->device_on = ops;
	return 0;
}

/* The oldest transfer the engine still has; false if there is none. */
static bool oldest_cookie(struct sgring_stream *s, dma_cookie_t *cookie)
{
	bool found = false;
	u32 i;

	spin_lock_bh(&s->lock);
	for (i = s->cell_head; i != s->cell_tail && !found; i++) {
		const struct sgring_cell *cell = &s->cells[i % SGRING_CELLS];

		found = cell->state == SGRING_CELL_SUBMITTED;
		*cookie = cell->cookie;
	}
	spin_unlock_bh(&s->lock);
	return found;
}

/* Without the lock: looked at again after a wake-up. */
static bool engine_has_any(const struct sgring_stream *s)
{
	return READ_ONCE(s->cell_head) != READ_ONCE(s->cell_tail);
}

/*
 * Wait for the engine to finish what it has. A device that was stopped will
 * not fill the slot it is in: then the residue stands still, and no time-out
 * is needed to know it. 0 or -ETIMEDOUT; if it is killable also -EINTR, -ENODEV: the device
 * is about to go, or -ESHUTDOWN: the machine is to be suspended, and we would keep it awake.
 */
static int drain(struct sgring_stream *s, u32 timeout_ms, int task_state)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(timeout_ms);
	bool killable = task_state == TASK_KILLABLE;
	bool may_stand_still = s->client.ops && s->client.ops->stop;
	u32 residue, last = 0, quiet = 0;
	dma_cookie_t cookie, last_cookie = 0;

	while (engine_has_any(s)) {
		DEFINE_WAIT(wait);

		prepare_to_wait(&s->idle_wait, &wait, task_state);
		if (engine_has_any(s) && !(killable && sgring_is_dead(s)))
			schedule_timeout(msecs_to_jiffies(DRAIN_LOOK_MS) ?: 1);
		finish_wait(&s->idle_wait, &wait);
		if (killable && sgring_is_dead(s))
			return -ENODEV;
		if (killable && fatal_signal_pending(current))
			return -EINTR;
		if (killable && freezing(current))
			return -ESHUTDOWN;
		if (time_after(jiffies, deadline))
			return -ETIMEDOUT;
		if (!may_stand_still || !oldest_cookie(s, &cookie) ||
		    !sgring_engine_residue(&s->engine, cookie, &residue))
			continue;
		quiet = cookie == last_cookie && residue == last ? quiet + 1 : 0;
		last_cookie = cookie;
		last = residue;
		if (quiet >= DRAIN_QUIET)
			break;
	}
	return 0;
}

/* The application's drain, without the mutex: others can look on, and unbind. */
static int drain_unlocked(struct sgring_stream *s, u32 timeout_ms)
{
	int ret;

	mutex_unlock(&s->mutex);
	ret = drain(s, timeout_ms, TASK_KILLABLE);
	mutex_lock(&s->mutex);
	return ret;
}

/**
 * sgring_stop() - stop, deliver what has come, end the epoch
 * @s: in state ARMED or RUNNING
 * @drain_first: let the engine finish
 * @timeout_ms: how long that may take
 * @status: of the end-of-stream entry
 * @outcome: where to put SGRING_STOPPED_*, or NULL
 *
 * With @drain_first the mutex is let go of for a time, in state STOPPING.
 *
 * Return: 0; -EBADFD wrong state; -EINTR a fatal signal cut the drain short;
 * -EIO the engine could not be stopped: the memory is leaked. In every case but
 * -EBADFD the stream is READY again.
 */
int sgring_stop(struct sgring_stream *s, bool drain_first, u32 timeout_ms, s32 status,
		u32 *outcome)
{
	u32 result = 0, residue = 0;
	bool known = false, cut;
	dma_cookie_t cookie;
	int ret = 0;

	if (s->state != SGRING_STATE_ARMED && s->state != SGRING_STATE_RUNNING)
		return -EBADFD;
	set_state(s, SGRING_STATE_STOPPING);

	if (s->engine.quirks & SGRING_QUIRK_DRAIN) {
		/*
		 * Not in mid-packet, whoever wants to stop, an unbind too: the
		 * device ends its packet, and what its FIFO still holds goes to
		 * free slots, or where there are none it is dropped and counted.
		 * Then the engine stands still, waiting for the next packet.
		 */
		device_stop(s);
		sgring_pump_flush(s);
		drain(s, DRAIN_FORCED_MS, TASK_UNINTERRUPTIBLE);
	}
	sgring_pump_hold(s);
	device_stop(s);
	if (drain_first)
		ret = drain_unlocked(s, timeout_ms);
	if (ret == -ESHUTDOWN)
		status = ret;
	if (ret == -ETIMEDOUT || ret == -ESHUTDOWN)
		result |= SGRING_STOPPED_TIMEOUT;
	if (ret == -ETIMEDOUT || ret == -ENODEV || ret == -ESHUTDOWN)
		ret = 0;

	if (sgring_inflight(s) && s->engine.chan)
		dmaengine_pause(s->engine.chan);
	sgring_pump_end(s);
	cut = oldest_cookie(s, &cookie);
	if (cut && drain_first)
		known = sgring_engine_residue(&s->engine, cookie, &residue);
	if (engine_stop(s)) {
		known = false;
		ret = -EIO;
	}
	if (sgring_pump_retire_rest(s, known ? &residue : NULL, s->leak))
		result |= SGRING_STOPPED_PARTIAL;
	else if (cut && drain_first && !known)
		result |= SGRING_STOPPED_UNKNOWN;
	sgring_pump_end_of_stream(s, status);
	set_state(s, SGRING_STATE_READY);
	wake_up_all(&s->settled);
	trace_sgring_stop(s, status, result, ret);
	if (outcome)
		*outcome = result;
	return ret;
}

/* The application has damaged an index. */
void sgring_fail_work(struct work_struct *work)
{
	struct sgring_stream *s = container_of(work, struct sgring_stream, fail_work);

	sgring_lock_settled(s);
	/* Unless it was stopped meanwhile, and perhaps armed again. */
	if (s->fail_status && !sgring_stop(s, false, 0, s->fail_status, NULL))
		dev_notice_ratelimited(&s->dev,
				       "stopped: an index of the application is off its ring\n");
	mutex_unlock(&s->mutex);
}

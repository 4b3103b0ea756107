/* SPDX-License-Identifier: MIT */
/* libsgring: what its files share. */
#ifndef SGRING_INTERNAL_H
#define SGRING_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend.h"
#include "sgring.h"

#define SGRING_MS_NS 1000000LL

/**
 * struct sgring_share - who has a slot, beyond the one hold it arrives with
 * @extra: holds added
 * @lent: senders that have it
 */
struct sgring_share {
	uint32_t extra;
	uint32_t lent;
};

/**
 * struct sgring - an open stream
 * @rings: first, for sgring_rings()
 * @be: the system calls
 * @setup: owner: as set up, defaults filled in
 * @geometry: valid if @mapped
 * @kernel_map: kernel side
 * @user_map: user side; owner
 * @data_map: slots
 * @shares: by slot; owner
 * @lent_slots: slots that a sender has
 * @extra_holds: holds added, all slots together
 * @cancelled: no wait any more; written by anybody
 * @cancel_fd: an eventfd that says so; owner
 * @senders: the list
 * @sender_count: its length
 * @sender_error: of a sender that failed, to be told once; 0: none
 * @sender_message: what it said
 * @kicks, @polls, @sender_waits, @send_calls, @notify_calls: &struct sgring_counters
 * @send_timeout_ms: &struct sgring_options
 * @waiting: &struct sgring_options
 * @about_to_wait: what is prepared will be handed over by the wait (uring.h)
 * @put_off: and there is something
 * @in_vain: the last wait for senders only brought nothing: what their progress was
 * @woken_ns: when it ended
 * @woken_returned: slots returned by then
 * @slot_ns: how long senders take for a slot, lately
 * @left_ns: when the caller was left to itself
 * @busy_ns: how long it stays away
 * @registrations: rings that have registered the slots (uring.c)
 * @gate_was_on: before the first of them
 * @look: an observer's (observe.c)
 * @look.epoch: nothing that comes is of an earlier one
 * @look.ended: the entry before was the end of it
 * @look.slots: they are mapped there
 * @look.fd: a memfd
 * @look.copy: what is in it
 * @owner: not an observer
 * @mapped: set up, geometry and kernel side are valid
 */
struct sgring {
	struct sgring_rings rings;
	const struct sgring_backend *be;
	struct sgring_setup setup;
	struct sgring_geometry geometry;
	void *kernel_map;
	void *user_map;
	void *data_map;
	struct sgring_share *shares;
	uint32_t lent_slots;
	uint32_t extra_holds;
	int cancelled;
	int cancel_fd;
	struct sgring_tx *senders;
	unsigned int sender_count;
	int sender_error;
	char sender_message[256];
	uint64_t kicks;
	uint64_t polls;
	uint64_t sender_waits;
	uint64_t send_calls;
	uint64_t notify_calls;
	uint32_t send_timeout_ms;
	uint32_t waiting;
	bool about_to_wait;
	bool put_off;
	uint64_t in_vain;
	int64_t woken_ns;
	uint32_t woken_returned;
	int64_t slot_ns;
	int64_t left_ns;
	int64_t busy_ns;
	unsigned int registrations;
	bool gate_was_on;
	struct {
		uint32_t epoch;
		bool ended;
		void *slots;
		int fd;
		unsigned char *copy;
	} look;
	int fd;
	bool owner;
	bool mapped;
};

/* error.c: "no such file", into the caller's buffer; errno untouched. */
const char *sgring_strerror(int err, char *buffer, size_t bytes);
/* "64 KiB": a size for people; four buffers in turn. */
const char *sgring_size_text(uint64_t bytes);

/* name.c: the device file of a stream's name. */
int sgring_name_resolve(const char *name, char *path, size_t bytes);

/* stream.c: a copy of @theirs, of which @least bytes must be there and @size are known. */
int sgring_take_options(void *mine, size_t size, const void *theirs, size_t least);

/* observe.c: kernel side is mapped; and the end of it. */
void sgring_observe_begin(struct sgring *s);
void sgring_observe_end(struct sgring *s);

/* wait.c */
int64_t sgring_now_ns(void);
/* Is this slot with the application, and one hold of it not with a sender? 0 or -EINVAL. */
int sgring_check_held(const struct sgring *s, uint32_t index);
/* A wait that a cancellation ends (-EINTR); there must be room for one more in @fds. */
int sgring_poll(struct sgring *s, struct pollfd *fds, unsigned int n, int64_t timeout_ns);
/* Tell, once, that a sender has failed. */
int sgring_sender_failed(struct sgring *s);

/* tx.c: for the waits of the stream. */
/* Is something queued or lent; is something @queued, although it was tried? */
bool sgring_senders_busy(const struct sgring *s, bool *queued);
void sgring_senders_work(struct sgring *s);
/* Changes when anything of them moves; never 0. */
uint64_t sgring_senders_progress(const struct sgring *s);
/* When one of them wants to go on by itself; INT64_MAX: never. */
int64_t sgring_senders_deadline(const struct sgring *s);
/* What they wait for. */
unsigned int sgring_senders_pollfds(struct sgring *s, struct pollfd *fds,
				    struct sgring_tx **who, unsigned int room);
struct sgring_uring;
/*
 * The ring to wait for, and for how many completions, so that a @batch of slots comes
 * back; NULL: there is none, or something else has to be waited for as well. *@alone:
 * and nothing else goes on.
 */
struct sgring_uring *sgring_senders_ring(struct sgring *s, uint32_t *batch,
					 unsigned int *completions, bool *alone);
/* Hand over what was put off. */
void sgring_senders_submit(struct sgring *s);
/* Has each of them enough to do until the caller is back? */
bool sgring_senders_have_plenty(const struct sgring *s);
/* What was polled for it. */
void sgring_sender_look(struct sgring_tx *tx, int revents);
/* Had it every slot so far: may the rest go to it too? */
bool sgring_tx_had_all(const struct sgring_tx *tx);
/* Has it the last end-of-stream entry? */
bool sgring_tx_ended(const struct sgring_tx *tx);

static inline int sgring_owner_only(const struct sgring *s)
{
	return s->owner ? 0 : sgring_fail(1 /* EPERM */, "an observer cannot do this");
}

/* Acquire: what the kernel put into the CQ before it changed state can be seen. */
static inline uint32_t sgring_state(const struct sgring *s)
{
	return sgring_load_acquire(&s->rings.cq.kernel->state);
}

/* Every hold of the slot is a sender's. */
static inline bool sgring_all_lent(const struct sgring_share *share)
{
	return share->lent > share->extra;
}

/* May the inline calls go by themselves (batch.c)? After each change of one of these. */
static inline void sgring_look_plain(struct sgring *s)
{
	const struct sgring_geometry *g = &s->geometry;
	bool plain = s->owner && !s->lent_slots && !s->extra_holds && !s->sender_error &&
		     g->cq_stride == sizeof(struct sgring_cqe) &&
		     g->sq_stride == sizeof(struct sgring_sqe);

	s->rings.plain_slots = plain ? g->slot_count : 0;
}

static inline uint64_t sgring_taken(const struct sgring *s)
{
	return s->rings.cq.consumer - s->rings.first_taken - s->rings.ends;
}

static inline uint64_t sgring_returned(const struct sgring *s)
{
	return s->rings.sq.producer - s->rings.first_returned;
}

static inline bool sgring_starved(const struct sgring *s)
{
	return sgring_load_relaxed(&s->rings.cq.kernel->flags) & SGRING_STARVED;
}

static inline uint64_t sgring_held(const struct sgring *s)
{
	return sgring_taken(s) - sgring_returned(s);
}

#endif /* SGRING_INTERNAL_H */

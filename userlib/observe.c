/* SPDX-License-Identifier: MIT */
/*
 * libsgring: what an observer sees of a running stream: its entries, and its slots
 *
 * Nobody waits for an observer. It copies first and looks afterwards whether that was
 * still what it wanted: an entry by the producer, which must not have come round; a slot
 * by its line of the slot table. There the generation is changed, then the state, before
 * the engine gets the slot, and the sequence after it: whoever finds neither changed, and
 * the slot not the engine's, has copied that transfer. Only a stop takes slots back from
 * the engine and leaves their sequence, so after one nothing counts but what the
 * application has.
 *
 * Slots are copied by a system call, into a memfd: their pages are taken away when the
 * owner closes, and then that call fails where a load would be the end of the process.
 */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"

/* The observer begins: what it will follow is of the epoch that runs, or the next. */
void sgring_observe_begin(struct sgring *s)
{
	const struct sgring_kernel_side *kernel = s->rings.cq.kernel;
	struct sgring_cq *cq = &s->rings.cq;

	s->look.fd = -1;
	s->look.epoch = sgring_load_acquire(&kernel->epoch);
	s->rings.first_taken = sgring_load_acquire(&kernel->cq_producer); /* F */
	cq->consumer = s->rings.first_taken;
	s->look.ended = sgring_cq_peek(cq, UINT32_MAX)->flags & SGRING_CQE_EOS;
}

void sgring_observe_end(struct sgring *s)
{
	if (s->look.copy)
		munmap(s->look.copy, s->geometry.slot_bytes);
	if (s->look.fd > 0)
		close(s->look.fd);
	if (s->look.slots)
		s->be->unmap(s->be, s->look.slots, (size_t)s->geometry.data_bytes);
}

/* Nothing of an earlier epoch will come; @now was read before the CQ was found empty. */
static void caught_up(struct sgring *s, uint32_t now)
{
	if ((int32_t)(now - s->look.epoch) <= 0)
		return;
	s->look.epoch = now;
	s->look.ended = false;
}

/* This entry is taken. */
static void followed(struct sgring *s, const struct sgring_cqe *e)
{
	s->rings.cq.consumer++;
	/* After the end of one epoch comes the next. */
	if (s->look.ended)
		s->look.epoch++;
	s->look.ended = e->flags & SGRING_CQE_EOS;
}

int sgring_follow(struct sgring *s, struct sgring_cqe *entry, uint64_t *missed)
{
	struct sgring_cq *cq = &s->rings.cq;
	uint32_t producer, behind, epoch;

	if (!s->mapped || s->owner)
		return sgring_fail(EPERM, "only an observer of a stream that is set up can follow it");
	*missed = 0;
	for (;;) {
		epoch = sgring_load_acquire(&cq->kernel->epoch);
		producer = sgring_load_acquire(&cq->kernel->cq_producer); /* F */
		behind = sgring_ring_used(producer, (uint32_t)cq->consumer);
		if (!behind) {
			caught_up(s, epoch);
			return 0;
		}
		if (behind < cq->count) {
			*entry = *sgring_cq_peek(cq, 0);
			/*
			 * Nobody waits for an observer: the copy counts only if
			 * the kernel had not come round to this entry meanwhile.
			 */
			__atomic_thread_fence(__ATOMIC_ACQUIRE);
			producer = sgring_load_relaxed(&cq->kernel->cq_producer);
			if (sgring_ring_used(producer, (uint32_t)cq->consumer) < cq->count) {
				followed(s, entry);
				return 1;
			}
			behind = sgring_ring_used(producer, (uint32_t)cq->consumer);
		}
		/* Overrun: go on in the middle of what is still there. */
		*missed += behind - cq->count / 2;
		cq->consumer += behind - cq->count / 2;
		s->look.ended = false;
	}
}

int sgring_look_alive(struct sgring *s)
{
	struct sgring_geometry now = { .size = sizeof(now) };
	char text[128];
	int err;

	if (!s->mapped)
		return sgring_fail(EBADFD, "nobody has set up this stream");
	if (sgring_state(s) == SGRING_STATE_DEAD)
		return sgring_fail(ENODEV, "the device is gone");
	err = s->be->ioctl(s->be, s->fd, SGRING_GEOMETRY, &now);
	if (err == -EBADFD)
		return sgring_fail(ENODATA, "its owner has closed the stream");
	if (err < 0)
		return sgring_fail(-err, "geometry: %s", sgring_strerror(err, text, sizeof(text)));
	/* Somebody may have set it up anew since: what was shown is gone for ever. */
	if (s->look.copy && pwrite(s->look.fd, s->look.slots, 1, 0) < 0)
		return sgring_fail(ENODATA, "its owner has closed the stream");
	return 0;
}

static int prepare(struct sgring *s)
{
	const struct sgring_geometry *g = &s->geometry;
	char text[128];
	void *p;
	int err;

	if (s->look.copy)
		return 0;
	if (!s->look.slots) {
		err = s->be->map(s->be, s->fd, g->observer_data_offset, (size_t)g->data_bytes,
				 PROT_READ, &s->look.slots);
		if (err == -EBADFD)
			return sgring_fail(ENODATA, "its owner has closed the stream");
		if (err < 0)
			return sgring_fail(-err, "cannot map the slots (%s): %s",
					   sgring_size_text(g->data_bytes),
					   sgring_strerror(err, text, sizeof(text)));
	}
	if (s->look.fd < 0)
		s->look.fd = memfd_create("sgring-look", MFD_CLOEXEC);
	if (s->look.fd < 0 || ftruncate(s->look.fd, (off_t)g->slot_bytes))
		return sgring_fail(ENOMEM, "no memory for the copy of a slot (%s)",
				   sgring_size_text(g->slot_bytes));
	p = mmap(NULL, (size_t)g->slot_bytes, PROT_READ, MAP_SHARED, s->look.fd, 0);
	if (p == MAP_FAILED)
		return sgring_fail(ENOMEM, "no memory for the copy of a slot (%s)",
				   sgring_size_text(g->slot_bytes));
	s->look.copy = p;
	return 0;
}

/* Through the kernel: a page that is not there any more is an error, and no signal. */
static int copy(struct sgring *s, uint32_t slot, size_t bytes)
{
	const char *from = (const char *)s->look.slots + slot * s->geometry.stride_bytes;
	size_t done = 0;
	ssize_t n;

	while (done < bytes) {
		n = pwrite(s->look.fd, from + done, bytes - done, (off_t)done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EFAULT)
			return sgring_fail(ENODATA, "its owner has closed the stream");
		if (n <= 0)
			return sgring_fail(ENOMEM, "no memory for the copy of a slot (%s)",
					   sgring_size_text(s->geometry.slot_bytes));
		done += (size_t)n;
	}
	return 0;
}

/* Does the line of the table tell of this transfer, and nobody fills the slot again? */
static bool same(const struct sgring_slot_info *info, const struct sgring_cqe *e)
{
	return sgring_load_relaxed(&info->sequence) == e->sequence &&
	       sgring_load_relaxed(&info->position_bytes) == e->position_bytes &&
	       sgring_load_relaxed(&info->state) != SGRING_SLOT_ENGINE;
}

/* Is the slot as the transfer has left it? After the copy. */
static bool still(const struct sgring *s, const struct sgring_slot_info *info,
		  const struct sgring_cqe *e, uint32_t generation)
{
	const struct sgring_kernel_side *kernel = s->rings.cq.kernel;
	bool app;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (sgring_load_relaxed(&info->generation) != generation || !same(info, e))
		return false;
	app = sgring_load_relaxed(&info->state) == SGRING_SLOT_APP;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return sgring_load_relaxed(&kernel->epoch) == s->look.epoch &&
	       (app || sgring_load_relaxed(&kernel->state) == SGRING_STATE_RUNNING);
}

int sgring_look(struct sgring *s, const struct sgring_cqe *entry, size_t bytes,
		const unsigned char **data, uint32_t *epoch)
{
	const struct sgring_slot_info *info = sgring_slot_info(s, entry->slot);
	int saved = errno, err;
	uint32_t generation;

	*data = NULL;
	*epoch = s->look.epoch;
	if (!s->mapped || s->owner)
		return sgring_fail(EPERM, "only an observer of a stream that is set up can look at it");
	if (entry->slot == SGRING_NO_SLOT || !bytes)
		return 1;
	if (!info || bytes > s->geometry.slot_bytes)
		return sgring_fail(EINVAL, "no slot %u of %zu bytes", entry->slot, bytes);
	err = prepare(s);
	if (!err) {
		generation = sgring_load_acquire(&info->generation);
		if (!same(info, entry))
			return 0;
		err = copy(s, entry->slot, bytes);
	}
	errno = saved;
	if (err)
		return err;
	if (!still(s, info, entry, generation))
		return 0;
	*data = s->look.copy;
	return 1;
}

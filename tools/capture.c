/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): from a stream to its senders, for "send" and "record"
 *
 * One thread: it takes a slot, gives it to every sender that still works, and
 * waits for the next one; the library sends meanwhile. What ends it stops the
 * stream first (by drain, unless there is enough already), and what was filled
 * still goes out; then the senders are flushed. A second interrupt cancels that.
 */
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "capture.h"

#define SECOND_NS 1000000000ULL
#define WAIT_MS 1000		/* an interrupt just before a wait is seen after it */
#define FLUSH_MS 200		/* without progress; then it is another sender's turn */
#define TOLD_PER_SECOND 5

static const char *const methods[] = {
	[SGRING_TX_AUTO] = "auto", [SGRING_TX_ZEROCOPY] = "zerocopy", [SGRING_TX_URING] = "uring",
	[SGRING_TX_URING_FIXED] = "uring-fixed", [SGRING_TX_COPY] = "copy",
	[SGRING_TX_DIRECT] = "direct",
};

#define METHODS (sizeof(methods) / sizeof(methods[0]))

const char *method_word(int method)
{
	return method >= 0 && (size_t)method < METHODS ? methods[method] : "unknown";
}

bool capture_option(struct capture *c, int option, const char *value)
{
	static const char *const overruns[] = {
		[SGRING_OVERRUN_STALL] = "stall", [SGRING_OVERRUN_DROP] = "drop",
	};
	struct sgring_options *o = &c->options;

	switch (option) {
	case OPT_SIZE:
		c->size_bytes = size_option("size", value);
		return true;
	case OPT_TIME:
		c->time_ns = duration_option("time", value);
		return true;
	case OPT_RAW:
		c->flags |= SGRING_TX_RAW;
		return true;
	case OPT_METHOD:
		c->method = word_option("method", value, methods, METHODS);
		return true;
	case OPT_SQPOLL:
		c->flags |= SGRING_TX_SQPOLL;
		return true;
	case OPT_BATCH:
		c->batch_slots = (uint32_t)number_option("batch", value, 1, UINT32_MAX);
		return true;
	case OPT_SLOT_BYTES:
		o->slot_bytes = size_option("slot-bytes", value);
		return true;
	case OPT_SLOTS:
		o->slot_count = (uint32_t)number_option("slots", value, 2, SGRING_SLOTS_MAX);
		return true;
	case OPT_QUEUE_DEPTH:
		o->queue_depth = (uint32_t)number_option("queue-depth", value, 1, SGRING_QUEUE_DEPTH_MAX);
		return true;
	case OPT_OVERRUN:
		o->overrun = word_option("overrun", value, overruns, 2);
		return true;
	case OPT_WAKE_SLOTS:
		o->wake_slots = (uint32_t)number_option("wake-slots", value, 1, SGRING_SLOTS_MAX);
		return true;
	case OPT_RT:
		c->rt_priority = (unsigned int)number_option("rt", value, 1, 99);
		return true;
	case OPT_CPU:
		c->cpu = (int)number_option("cpu", value, 0, CPU_SETSIZE - 1);
		return true;
	case 'j':
		c->json = true;
		return true;
	case 'q':
		c->quiet = true;
		return true;
	default:
		return false;
	}
}

struct capture_sender *capture_add(struct capture *c, const char *url)
{
	struct capture_sender *n = &c->senders[c->sender_count];

	if (c->sender_count == CAPTURE_SENDERS) {
		fprintf(stderr, "sgring: more than %d receivers\n", CAPTURE_SENDERS);
		return NULL;
	}
	c->sender_count++;
	n->url = url;
	n->options = (struct sgring_tx_options){ .size = sizeof(n->options) };
	return n;
}

/*
 * Opening.
 */

static struct sgring *interrupted_stream;

static void give_up(void)
{
	sgring_cancel(interrupted_stream);
}

/* Before the memory is allocated, so that it is near. */
static bool pin(const struct capture *c)
{
	cpu_set_t set;

	if (c->cpu < 0)
		return true;
	CPU_ZERO(&set);
	CPU_SET(c->cpu, &set);
	if (!sched_setaffinity(0, sizeof(set), &set))
		return true;
	fprintf(stderr, "sgring: --cpu %d: %s\n", c->cpu,
		errno == EINVAL ? "there is no such processor here" : strerror(errno));
	return false;
}

/* Before a file is created; the kernel's threads for io_uring are not to be real-time ones. */
static bool go_real_time(const struct capture *c)
{
	const struct sched_param param = { .sched_priority = (int)c->rt_priority };
	struct rlimit limit;

	if (!c->rt_priority)
		return true;
	if (mlockall(MCL_CURRENT | MCL_FUTURE)) {
		fprintf(stderr, "sgring: --rt: cannot lock memory: %s; RLIMIT_MEMLOCK (ulimit -l) is %s, and unlimited for the group sgring\n",
			strerror(errno), !getrlimit(RLIMIT_MEMLOCK, &limit) &&
			limit.rlim_cur != RLIM_INFINITY ? size_words(limit.rlim_cur) : "unlimited");
		return false;
	}
	if (!sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param))
		return true;
	if (errno == EPERM && !getrlimit(RLIMIT_RTPRIO, &limit))
		fprintf(stderr, "sgring: --rt %u: RLIMIT_RTPRIO (ulimit -r) is %" PRIu64 ", and 95 for the group sgring\n",
			c->rt_priority, (uint64_t)limit.rlim_cur);
	else
		fprintf(stderr, "sgring: --rt %u: %s\n", c->rt_priority, strerror(errno));
	return false;
}

/* The library speaks of its flags; here they are options. */
static const char *our_words(const char *line)
{
	static const struct {
		const char *flag, *option;
	} words[] = {
		{ "SGRING_TX_OVERWRITE", "--overwrite" }, { "SGRING_TX_PAD", "--pad" },
		{ "SGRING_TX_RAW", "--raw" }, { "SGRING_TX_SQPOLL", "--sqpoll" },
	};
	static char text[512];
	const char *at;
	size_t i;

	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		at = strstr(line, words[i].flag);
		if (!at)
			continue;
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - line), line, words[i].option,
			 at + strlen(words[i].flag));
		return text;
	}
	return line;
}

/* Before it runs, quiet means quiet; later a person should know. */
static void say(void *context, const char *line)
{
	struct capture *c = context;

	if (!c->quiet || c->start_ns)
		progress_say(&c->progress, "%s", our_words(line));
}

static bool open_senders(struct capture *c)
{
	unsigned int i;

	for (i = 0; i < c->sender_count; i++) {
		struct capture_sender *n = &c->senders[i];

		n->options.flags |= c->flags;
		n->options.method = c->method;
		n->options.batch_slots = c->batch_slots;
		n->options.say = say;
		n->options.context = c;
		if (sgring_tx_open(&n->tx, c->stream, n->url, &n->options)) {
			progress_say(&c->progress, "%s", our_words(sgring_errmsg()));
			return false;
		}
		n->method = sgring_tx_method(n->tx);
		snprintf(n->choice, sizeof(n->choice), "%s", sgring_tx_choice(n->tx));
	}
	return true;
}

static bool open_all(struct capture *c)
{
	int err;

	if (!pin(c))
		return false;
	err = sgring_open(&c->stream, c->name, &c->options);
	if (err) {
		open_failed(c->name, err);
		return false;
	}
	interrupted_stream = c->stream;
	catch_interrupts(give_up);
	return go_real_time(c) && open_senders(c);
}

/*
 * Running.
 */

static void tell_untold(struct capture *c)
{
	if (c->untold)
		progress_say(&c->progress, "... and %" PRIu64 " more losses, %" PRIu64 " bytes",
			     c->untold, c->untold_bytes);
	c->untold = c->untold_bytes = 0;
}

/* A stream in trouble has thousands: some a second are told one by one. */
static bool may_tell(struct capture *c, uint64_t bytes)
{
	uint64_t now = now_ns();

	if (now - c->told_ns >= SECOND_NS) {
		tell_untold(c);
		c->told_ns = now;
		c->told = 0;
	}
	if (c->told++ < TOLD_PER_SECOND)
		return true;
	c->untold++;
	c->untold_bytes += bytes;
	return false;
}

static void look_for_losses(struct capture *c, const struct sgring_slot *b)
{
	if (b->lost) {
		c->gaps++;
		c->lost_bytes += b->lost;
		if (may_tell(c, b->lost))
			progress_say(&c->progress, "%" PRIu64 " bytes lost before position %" PRIu64,
				     b->lost, b->position);
	}
	if (b->status < 0 && !(b->flags & SGRING_EOS)) {
		c->failed_slots++;
		if (may_tell(c, 0))
			progress_say(&c->progress, "the engine failed at position %" PRIu64 ": %s",
				     b->position + b->length, strerror(-b->status));
	}
}

static unsigned int working_senders(const struct capture *c)
{
	unsigned int i, n = 0;

	for (i = 0; i < c->sender_count; i++)
		n += !c->senders[i].failed;
	return n;
}

static void sender_failed(struct capture *c, struct capture_sender *n)
{
	n->failed = true;
	c->failed = true;
	progress_say(&c->progress, "%s", our_words(sgring_errmsg()));
	if (working_senders(c))
		progress_say(&c->progress, "going on without %s", n->url);
}

/* sgring_next() gave @err: has it told of a sender? Some were told of before. */
static bool look_for_failed_senders(struct capture *c, int err)
{
	bool found = false;
	unsigned int i;

	for (i = 0; i < c->sender_count; i++) {
		struct capture_sender *n = &c->senders[i];

		if (!n->failed && sgring_tx_error(n->tx))
			sender_failed(c, n);
		found |= sgring_tx_error(n->tx) == err;
	}
	return found;
}

static void pass_on(struct capture *c, struct sgring_slot *b)
{
	unsigned int i, left = working_senders(c);

	if (c->enough || !left) {
		sgring_return(c->stream, b);
		return;
	}
	look_for_losses(c, b);
	if (c->size_bytes && b->length >= c->size_bytes - c->bytes) {
		if (b->length > c->size_bytes - c->bytes)
			b->flags &= ~SGRING_EOP;
		b->length = (uint32_t)(c->size_bytes - c->bytes);
		c->enough = true;
	}
	c->bytes += b->length;
	c->slots++;
	c->end_position = b->position + b->length;
	c->end_sequence = b->sequence + 1;
	for (i = 1; i < left; i++)
		sgring_hold(c->stream, b->index);
	for (i = 0; i < c->sender_count; i++)
		if (!c->senders[i].failed && sgring_tx_send(c->senders[i].tx, b))
			sender_failed(c, &c->senders[i]);
}

static void tick(struct capture *c)
{
	char more[128] = "";

	if (!progress_due(&c->progress))
		return;
	tell_untold(c);
	if (c->more)
		c->more(c, more, sizeof(more));
	progress_show(&c->progress, c->bytes, c->lost_bytes, more);
}

static int wait_ms(const struct capture *c)
{
	int ms = progress_wait_ms(&c->progress);
	uint64_t passed = now_ns() - c->start_ns;

	if (ms > WAIT_MS)
		ms = WAIT_MS;
	if (c->time_ns && passed < c->time_ns && c->time_ns - passed < (uint64_t)ms * 1000000)
		ms = (int)((c->time_ns - passed + 999999) / 1000000);
	return ms ? ms : 1;
}

static bool time_is_up(const struct capture *c)
{
	return c->time_ns && now_ns() - c->start_ns >= c->time_ns;
}

static void library_says(struct capture *c)
{
	progress_say(&c->progress, "%s", sgring_errmsg());
	c->failed = true;
}

static void stop(struct capture *c, uint32_t flags)
{
	int outcome;

	if (interrupts)
		progress_say(&c->progress, "stopping; interrupt again to give up at once");
	outcome = sgring_stop(c->stream, flags, 0);
	/* A stream that has just ended by itself cannot be stopped. */
	if (outcome < 0 && outcome != -EBADFD)
		library_says(c);
	else if (flags && outcome > 0 && outcome & SGRING_STOPPED_UNKNOWN)
		progress_say(&c->progress, "the last slot was cut, and how much of it was filled is not known");
}

/* The end-of-stream entry, or there is none any more. */
static void ended(struct capture *c, const struct sgring_slot *b, bool stopped)
{
	if (!stopped) {
		progress_say(&c->progress, "the stream has ended by itself%s%s",
			     b->status < 0 ? ": " : "", b->status < 0 ? strerror(-b->status) : "");
		if (b->status < 0 || c->size_bytes || c->time_ns)
			c->failed = true;
	}
	if (!c->enough && b->flags & SGRING_EOS) {
		look_for_losses(c, b);
		c->end = *b;
	}
}

static void take(struct capture *c)
{
	bool stopped = false;
	struct sgring_slot b;
	int err;

	while (working_senders(c) && interrupts < 2) {
		if (!stopped && (c->enough || interrupts || time_is_up(c))) {
			stop(c, c->enough ? 0 : SGRING_STOP_DRAIN);
			stopped = true;
		}
		b.flags = 0;
		b.status = 0;
		err = sgring_next(c->stream, &b, wait_ms(c));
		if (!err) {
			pass_on(c, &b);
		} else if (err == -ENODATA) {
			ended(c, &b, stopped);
			return;
		} else if (!look_for_failed_senders(c, err) && err != -ETIMEDOUT &&
			   err != -EINTR) {
			library_says(c);
			return;
		}
		tick(c);
	}
}

static void make_end(struct capture *c)
{
	c->end = (struct sgring_slot){
		.position = c->end_position,
		.sequence = c->end_sequence,
		.index = SGRING_NO_SLOT,
		.flags = SGRING_EOS,
	};
}

/* True: the sender has it all out, or has failed. */
static bool flushed(struct capture *c, struct capture_sender *n)
{
	int err;

	if (n->failed)
		return true;
	err = sgring_tx_flush(n->tx, FLUSH_MS);
	if (!err)
		return true;
	if (err != -EINTR && (err != -ETIMEDOUT || sgring_tx_error(n->tx)))
		sender_failed(c, n);
	return n->failed;
}

/* Everything out; a slow receiver does not keep the others from theirs. */
static void flush(struct capture *c)
{
	struct sgring_tx_stats st;
	bool all = false;
	unsigned int i;

	for (i = 0; i < c->sender_count; i++)
		if (!c->senders[i].failed && sgring_tx_send(c->senders[i].tx, &c->end))
			sender_failed(c, &c->senders[i]);
	while (!all && interrupts < 2) {
		all = true;
		for (i = 0; i < c->sender_count; i++)
			all &= flushed(c, &c->senders[i]);
		tick(c);
	}
	for (i = 0; i < c->sender_count && !all; i++) {
		sgring_tx_stats(c->senders[i].tx, &st);
		if (c->senders[i].failed || !st.held)
			continue;
		progress_say(&c->progress, "%s: given up, %" PRIu64 " slots are not known to have arrived",
			     c->senders[i].url, st.held);
		c->senders[i].failed = c->failed = true;
	}
}

/* What a failed one still has under way counts too, if it comes to an end soon. */
static void take_stats(struct capture *c, struct capture_sender *n)
{
	unsigned int i;

	for (i = 0; i < 100; i++) {
		sgring_tx_stats(n->tx, &n->stats);
		if (!n->failed || !n->stats.outstanding)
			return;
		usleep(2000);
		sgring_work(c->stream);
	}
}

static void close_all(struct capture *c)
{
	unsigned int i;

	for (i = 0; i < c->sender_count; i++) {
		struct capture_sender *n = &c->senders[i];

		if (!n->tx)
			continue;
		take_stats(c, n);
		/* One that has failed has said so. */
		if (sgring_tx_close(n->tx) && !n->failed && interrupts < 2)
			library_says(c);
	}
	if (sgring_close(c->stream) < 0 && !c->failed)
		library_says(c);
}

int capture_run(struct capture *c)
{
	progress_start(&c->progress, c->size_bytes, c->time_ns, c->quiet);
	if (!open_all(c)) {
		sgring_close(c->stream);
		return EXIT_FAILED;
	}
	progress_start(&c->progress, c->size_bytes, c->time_ns, c->quiet);
	c->start_ns = c->progress.start_ns;
	if (sgring_start(c->stream)) {
		library_says(c);
	} else {
		take(c);
		if (!(c->end.flags & SGRING_EOS))
			make_end(c);
		/* One that has failed leaves the others; without any, the engine still runs. */
		if (!working_senders(c))
			sgring_stop(c->stream, 0, 0);
		flush(c);
	}
	c->end_ns = now_ns();
	tell_untold(c);
	/* A person reads the summary; with --json this line. */
	if (c->json)
		progress_last(&c->progress, c->bytes, c->lost_bytes);
	else
		progress_end(&c->progress);
	sgring_stats(c->stream, &c->stats);
	sgring_counters(c->stream, &c->counters);
	close_all(c);
	return capture_summary(c);
}

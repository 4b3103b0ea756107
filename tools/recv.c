/* SPDX-License-Identifier: MIT */
/*
 * sgring recv: what a sender sends, into files, with an index beside them
 *
 * One thread. It reads into a buffer and writes from there through the page cache
 * (intake.h); what the network brings is checked before it is believed. One sender
 * at a time: who comes with another stream meanwhile is refused, who comes with the
 * same one takes over its connection.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "intake.h"
#include "listen.h"
#include "progress.h"
#include "sigmf.h"
#include "tool.h"

#define SECOND_NS 1000000000ULL
#define HELLO_NS (10 * SECOND_NS)	/* so long a connection may take to say hello */
#define SILENT_NS (2 * SECOND_NS)	/* then another sender of datagrams may follow */
#define CONNECTIONS 16U
#define STREAM_BYTES (4U << 20)
#define BATCH 64U			/* datagrams with one system call */
#define DATAGRAM_ROOM 65536U
#define QUEUE_BYTES (64U << 20)		/* datagrams in the kernel */
#define QUEUE_LITTLE (4U << 20)
#define TOLD 10U			/* gaps, strangers: so many are told one by one */

static const char help[] =
	"usage: sgring recv [OPTION...] WHERE [-o NAME]\n"
	"Receive what \"sgring send\" sends, until its end. WHERE is\n"
	"  [HOST]:PORT            TCP: wait there for the sender; tcp://[HOST]:PORT is the same\n"
	"  udp://[HOST]:PORT      datagrams; HOST may be a multicast group\n"
	"\n"
	"  -o, --output NAME      NAME.data gets the data, NAME.index an entry for each slot;\n"
	"                         \"sgring verify NAME\" checks the two. Without it what comes\n"
	"                         is checked and counted only\n"
	"      --overwrite        write over files that exist\n"
	"      --raw              the sender sends --raw: data only, no frames, no index\n"
	"      --sigmf            SigMF: NAME.sigmf-data, and NAME.sigmf-meta in the end\n"
	"      --datatype TYPE    for it: ci16_le, cf32_le, ru8, ...\n"
	"      --sample-rate HZ   for it: 2.4M, 61.44e6\n"
	"      --description TEXT for it\n"
	"      --pattern N        check every byte: it is stream N of the dummy device\n"
	"\n"
	"When it ends: with the end of the stream, when the sender has closed. A sender\n"
	"that goes away before is waited for, and what it sends again is not stored twice.\n"
	"      --once             end with the first sender's connection, however that ends\n"
	"      --keep             go on with the next stream, in the same files; Ctrl-C ends it\n"
	"      --timeout TIME     end when nothing has come for so long (default: never)\n"
	"\n"
	"      --interface NAME   multicast: the network interface\n"
	"  -j, --json             the summary as JSON\n"
	"  -q, --quiet            no progress: losses, errors and the summary only\n"
	"  -h, --help             this text\n"
	"\n"
	"Exit: 0 all is there; 2 data was lost, or the end is missing; 1 it did not work.\n"
	"\n"
	"  sgring recv :9000 -o run1\n"
	"  sgring recv udp://239.1.2.3:9000 --interface eth1 -o run1\n";

struct receiver;

/**
 * struct connection - one that was accepted
 * @of: whose
 * @fd: of it
 * @peer: address
 * @since_ns: when it came
 * @framer: what it brings
 */
struct connection {
	struct receiver *of;
	int fd;
	char peer[64];
	uint64_t since_ns;
	struct framer framer;
};

/**
 * struct receiver - one run
 * @place: where to receive
 * @output, @interface: as given
 * @recorder_flags: enum recorder_flags
 * @sigmf: write the metadata in the end
 * @sigmf_options: for it
 * @raw, @once, @keep, @json: as given
 * @timeout_ns: likewise; 0: none
 * @fd: the listening socket, or that of the datagrams
 * @buffer: what comes is read into
 * @connections: those that are open
 * @count: how many
 * @active: the sender's; NULL: it is not connected
 * @intake, @recorder, @judge, @datagrams: see intake.h
 * @progress: how it is told
 * @senders: connections of senders; of datagrams: addresses
 * @strangers: connections, or datagrams, that were refused
 * @gaps_told, @bad_told: so many were told one by one
 * @sender, @sender_size: where datagrams come from
 * @dropped: datagrams the kernel had no room for
 * @dropped_last: its counter, when it was last read
 * @first_ns, @last_ns: when something came
 * @tick_ns: when the index was written
 * @bad_end: a connection that ended this run was a stranger's
 * @over: enough
 * @failed: it did not work
 */
struct receiver {
	struct place place;
	const char *output;
	const char *interface;
	unsigned int recorder_flags;
	bool sigmf;
	struct sigmf_options sigmf_options;
	bool raw;
	bool once;
	bool keep;
	bool json;
	uint64_t timeout_ns;
	int fd;
	unsigned char *buffer;
	struct connection *connections[CONNECTIONS];
	unsigned int count;
	struct connection *active;
	struct intake intake;
	struct recorder recorder;
	struct judge judge;
	struct datagrams datagrams;
	struct progress progress;
	uint64_t senders;
	uint64_t strangers;
	unsigned int gaps_told;
	unsigned int bad_told;
	struct sockaddr_storage sender;
	socklen_t sender_size;
	uint64_t dropped;
	uint32_t dropped_last;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t tick_ns;
	bool bad_end;
	bool over;
	bool failed;
};

static void cannot_store(struct receiver *r)
{
	progress_say(&r->progress, "%s", r->intake.error);
	r->failed = true;
	r->over = true;
}

static void tell_gap(void *context, uint64_t position, uint64_t bytes, bool marked)
{
	struct receiver *r = context;

	if (r->gaps_told == TOLD)
		progress_say(&r->progress, "more gaps: from here on they are only counted");
	else if (r->gaps_told < TOLD)
		progress_say(&r->progress, "LOST %" PRIu64 " bytes from position %" PRIu64 " on%s", bytes,
			     position, marked ? " (before they were sent)" : "");
	r->gaps_told += r->gaps_told <= TOLD;
}

static void tell_stranger(struct receiver *r, const char *from, const char *what)
{
	r->strangers++;
	if (r->bad_told == TOLD)
		progress_say(&r->progress, "more of this kind: from here on it is only counted");
	else if (r->bad_told < TOLD)
		progress_say(&r->progress, "%s: %s", from, what);
	r->bad_told += r->bad_told <= TOLD;
}

static void came(struct receiver *r)
{
	r->last_ns = now_ns();
	if (!r->first_ns) {
		r->first_ns = r->last_ns;
		r->progress.start_ns = r->last_ns;
	}
}

/*
 * Connections.
 */

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
		cannot_store(r);
	if (!why && err == INTAKE_REFUSED) {
		why = c->framer.error;
		bad |= !senders;
	}
	if (why && !(senders && r->over)) {
		if (senders)
			progress_say(&r->progress, "%s: %s", c->peer, why);
		else
			tell_stranger(r, c->peer, why);
	}
	if (senders && !r->over)
		sender_gone(r, c, bad);
	else if (!senders && r->once) {
		r->bad_end = true;
		r->over = true;
	}
	forget(r, c);
}

/* A hello has come: may this connection be the sender's? */
static int admit(void *context, const struct sgring_hello *h)
{
	struct connection *c = context, *old;
	struct receiver *r = c->of;
	struct sgring_track *t = &r->intake.track;

	if (r->active == c)
		return 0;
	if (r->active && h->session != t->session) {
		snprintf(c->framer.error, sizeof(c->framer.error),
			 "refused: stream \"%s\" of another sender, while %s is sending", h->label,
			 r->active->peer);
		return INTAKE_REFUSED;
	}
	if (r->active) {
		old = r->active;
		if (framer_end(&old->framer) < 0) {
			cannot_store(r);
			return INTAKE_REFUSED;
		}
		progress_say(&r->progress, "%s: the sender has connected again: its connection from %s is closed",
			     c->peer, old->peer);
		forget(r, old);
	} else if (t->session && t->session != h->session && !t->ended) {
		progress_say(&r->progress, "another sender: the stream before ended at position %" PRIu64 ", without its end",
			     t->position);
	}
	r->active = c;
	r->senders++;
	if (t->session == h->session)
		progress_say(&r->progress, "%s: the sender is back; position %" PRIu64 " is next",
			     c->peer, t->position);
	else
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
	ssize_t n = recv(c->fd, r->buffer, STREAM_BYTES, 0);
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
		came(r);
	if (err < 0)
		cannot_store(r);
	else if (err)
		end_connection(r, c, c->framer.error, true);
}

static int soonest(int a, int b)
{
	return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

static int until_ms(uint64_t at_ns, uint64_t now)
{
	return at_ns <= now ? 0 : (int)((at_ns - now) / 1000000 < 60000 ? (at_ns - now) / 1000000 + 1 : 60000);
}

/* How long nothing needs to be done unless something comes. */
static int patience_ms(const struct receiver *r)
{
	int ms = progress_wait_ms(&r->progress);
	uint64_t now = now_ns();
	unsigned int i;

	ms = soonest(ms, 1000);
	if (r->timeout_ns)
		ms = soonest(ms, until_ms(r->last_ns + r->timeout_ns, now));
	for (i = 0; i < r->count; i++)
		if (!r->connections[i]->framer.greeted && !r->raw)
			ms = soonest(ms, until_ms(r->connections[i]->since_ns + HELLO_NS, now));
	if (r->place.datagrams)
		ms = soonest(ms, datagrams_wait_ms(&r->datagrams, now));
	return ms;
}

static void tick(struct receiver *r)
{
	uint64_t now = now_ns();

	if (r->recorder.waiting && now - r->tick_ns >= SECOND_NS) {
		r->tick_ns = now;
		if (recorder_flush(&r->recorder)) {
			snprintf(r->intake.error, sizeof(r->intake.error), "%s", r->recorder.error);
			cannot_store(r);
		}
	}
	if (r->timeout_ns && now - r->last_ns >= r->timeout_ns && !r->over) {
		progress_say(&r->progress, "nothing has come for %s", duration_words(r->timeout_ns));
		r->over = true;
	}
	if (r->first_ns && progress_due(&r->progress))
		progress_show(&r->progress, r->intake.track.bytes, r->intake.track.lost_bytes, NULL);
	else if (progress_due(&r->progress))
		r->progress.line_ns = now;
}

static void receive_streams(struct receiver *r)
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
		poll(fds, n + 1, patience_ms(r));
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
				end_connection(r, those[i], "refused: it said no hello for 10 s", true);
		}
		if (fds[n].revents & POLLIN && !r->over)
			accept_one(r);
		tick(r);
	}
	while (r->count) {
		struct connection *c = r->connections[0];

		if (!r->raw && framer_end(&c->framer) < 0 && !r->failed)
			cannot_store(r);
		forget(r, c);
	}
}

/*
 * Datagrams.
 */

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
		cannot_store(r);
		return;
	}
	if (err) {
		address_text(from, sizeof(from), m->msg_name, m->msg_namelen);
		tell_stranger(r, from, r->datagrams.error);
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
		came(r);
	if (r->intake.track.ended && !r->keep)
		r->over = true;
}

static void receive_datagrams(struct receiver *r)
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

	while (!r->over && !interrupts) {
		for (i = 0; i < (int)BATCH; i++) {
			v[i] = (struct iovec){ r->buffer + (size_t)i * DATAGRAM_ROOM, DATAGRAM_ROOM };
			m[i].msg_hdr = (struct msghdr){
				.msg_name = &from[i], .msg_namelen = sizeof(from[i]), .msg_iov = &v[i],
				.msg_iovlen = 1, .msg_control = &control[i],
				.msg_controllen = sizeof(control[i].room),
			};
		}
		n = recvmmsg(r->fd, m, BATCH, MSG_DONTWAIT, NULL);
		for (i = 0; i < n && !r->over; i++)
			take_datagram(r, &m[i].msg_hdr, v[i].iov_base, m[i].msg_len);
		if (!r->over && datagrams_tick(&r->datagrams, now_ns()) < 0)
			cannot_store(r);
		if (r->intake.track.ended && !r->keep)
			r->over = true;
		tick(r);
		if (n <= 0 && !r->over)
			poll(&p, 1, patience_ms(r));
	}
	if (datagrams_end(&r->datagrams) < 0 && !r->failed)
		cannot_store(r);
}

/*
 * The end.
 */

static void say_line(void *context, const char *line)
{
	struct receiver *r = context;

	progress_say(&r->progress, "%s", line);
}

static void close_files(struct receiver *r)
{
	char data[sizeof(r->recorder.data_path)], index[sizeof(r->recorder.index_path)];
	bool nothing = !r->recorder.data_bytes && !r->recorder.index_bytes && !r->recorder.waiting;

	memcpy(data, r->recorder.data_path, sizeof(data));
	memcpy(index, r->recorder.index_path, sizeof(index));
	if (recorder_close(&r->recorder) && !r->failed) {
		progress_say(&r->progress, "%s", r->recorder.error);
		r->failed = true;
	}
	if (nothing) {
		unlink(data);
		if (!r->raw)
			unlink(index);
	} else if (r->sigmf && sigmf_write(r->output, &r->sigmf_options, say_line, r)) {
		r->failed = true;
	}
}

static bool incomplete(const struct receiver *r)
{
	const struct sgring_track *t = &r->intake.track;

	return t->lost_bytes || t->failed || t->cut || (!r->raw && !t->ended);
}

static int exit_code(const struct receiver *r)
{
	if (r->failed || r->bad_end || !r->first_ns || r->judge.wrong)
		return EXIT_FAILED;
	return incomplete(r) ? EXIT_LOST : EXIT_OK;
}

static double rate(const struct receiver *r)
{
	uint64_t ns = r->last_ns - r->first_ns;

	return r->first_ns && ns ? (double)r->intake.track.bytes * 1e9 / (double)ns : 0;
}

static void print_summary(const struct receiver *r)
{
	const struct sgring_track *t = &r->intake.track;

	if (!r->first_ns) {
		printf("nothing came\n");
		return;
	}
	printf("received %" PRIu64 " bytes (%s) in %" PRIu64 " entries, %s, %s\n", t->bytes,
	       size_words(t->bytes), t->entries, duration_words(r->last_ns - r->first_ns),
	       rate_words(rate(r)));
	if (t->lost_bytes)
		printf("LOST %" PRIu64 " bytes in %" PRIu64 " gaps, %" PRIu64 " of the gaps from before they were sent\n",
		       t->lost_bytes, t->gaps, r->intake.marked_gaps);
	if (t->failed)
		printf("the engine FAILED in %" PRIu64 " slots\n", t->failed);
	if (t->cut)
		printf("%" PRIu64 " streams CUT: their end did not come, and another followed\n", t->cut);
	if (!r->raw && !t->ended)
		printf("the END of the stream did not come: it is there up to position %" PRIu64 "\n",
		       t->position);
	if (t->first)
		printf("it begins at position %" PRIu64 "\n", t->first);
	if (!incomplete(r) && !r->raw)
		printf("nothing lost\n");
	if (t->repeated_bytes || r->senders > 1)
		printf("%" PRIu64 " %s of senders; %s came again\n", r->senders,
		       r->place.datagrams ? "addresses" : "connections", size_words(t->repeated_bytes));
	if (r->place.datagrams && !r->raw)
		printf("%" PRIu64 " datagrams; %" PRIu64 " early, %" PRIu64 " late or repeated, %" PRIu64
		       " before the first hello\n", r->datagrams.taken, r->datagrams.reordered,
		       r->datagrams.repeated, r->datagrams.unknown);
	if (r->dropped)
		printf("%" PRIu64 " datagrams DROPPED by this machine's kernel: net.core.rmem_max is too small, or the disk too slow\n",
		       r->dropped);
	if (r->intake.judge)
		printf("pattern: %" PRIu64 " bytes right, %" PRIu64 " WRONG\n", r->judge.right, r->judge.wrong);
	if (r->judge.wrong)
		printf("the first wrong one is 0x%02x at position %" PRIu64 "\n", r->judge.first_byte,
		       r->judge.first_wrong);
}

static void print_json(const struct receiver *r)
{
	const struct sgring_track *t = &r->intake.track;

	json_open(NULL, '{');
	json_number("bytes", t->bytes);
	json_number("entries", t->entries);
	json_rate("seconds", (double)(r->last_ns - r->first_ns) / 1e9);
	json_rate("bytes_per_s", rate(r));
	json_number("lost_bytes", t->lost_bytes);
	json_number("gaps", t->gaps);
	json_number("marked_gaps", r->intake.marked_gaps);
	json_number("failed_slots", t->failed);
	json_number("first_position", t->first);
	json_number("next_position", t->position);
	json_bool("ended", t->ended);
	json_number("epochs", t->epochs);
	json_number("cut_epochs", t->cut);
	json_number("repeated_bytes", t->repeated_bytes);
	json_number("senders", r->senders);
	json_number("refused", r->strangers);
	if (r->place.datagrams) {
		json_number("datagrams", r->datagrams.taken);
		json_number("early", r->datagrams.reordered);
		json_number("late", r->datagrams.repeated);
		json_number("before_hello", r->datagrams.unknown);
		json_number("dropped_by_kernel", r->dropped);
	}
	if (r->intake.judge) {
		json_number("right_bytes", r->judge.right);
		json_number("wrong_bytes", r->judge.wrong);
	}
	json_bool("interrupted", interrupts > 0);
	json_number("exit", (uint64_t)exit_code(r));
	json_close('}');
	json_end();
}

/* Where it is, for people and for those who let it choose a port. */
static void say_where(struct receiver *r)
{
	struct sockaddr_storage a;
	socklen_t size = sizeof(a);
	char text[64];
	size_t bytes;

	getsockname(r->fd, (struct sockaddr *)&a, &size);
	address_text(text, sizeof(text), &a, size);
	progress_say(&r->progress, "waiting at %s://%s", r->place.datagrams ? "udp" : "tcp", text);
	if (!r->place.datagrams)
		return;
	bytes = place_buffer(r->fd, QUEUE_BYTES);
	if (bytes < QUEUE_LITTLE)
		progress_say(&r->progress, "the kernel keeps only %s of datagrams: net.core.rmem_max is too small for fast streams; \"sysctl -w net.core.rmem_max=%u\"",
			     size_words(bytes), QUEUE_BYTES);
}

static int run(struct receiver *r)
{
	size_t room = r->place.datagrams ? (size_t)BATCH * DATAGRAM_ROOM : STREAM_BYTES;
	char error[400];
	int code;

	r->fd = place_open(&r->place, r->interface, error, sizeof(error));
	if (r->fd < 0) {
		fprintf(stderr, "sgring: %s\n", error);
		return EXIT_FAILED;
	}
	if (r->output && recorder_open(&r->recorder, r->output, r->recorder_flags)) {
		fprintf(stderr, "sgring: %s\n", r->recorder.error);
		return EXIT_FAILED;
	}
	r->intake.recorder = r->output ? &r->recorder : NULL;
	r->intake.join = r->place.datagrams;
	r->intake.gap = tell_gap;
	r->intake.context = r;
	r->datagrams.to = &r->intake;
	r->buffer = malloc(room);
	if (!r->buffer) {
		fprintf(stderr, "sgring: no memory for a buffer of %s\n", size_words(room));
		return EXIT_FAILED;
	}
	say_where(r);
	r->last_ns = now_ns();
	if (r->place.datagrams)
		receive_datagrams(r);
	else
		receive_streams(r);
	if (r->output)
		close_files(r);
	progress_end(&r->progress);
	code = exit_code(r);
	if (r->json)
		print_json(r);
	else
		print_summary(r);
	free(r->buffer);
	close(r->fd);
	return code;
}

enum {
	OPT_OVERWRITE = 256, OPT_RAW, OPT_SIGMF, OPT_DATATYPE, OPT_SAMPLE_RATE, OPT_DESCRIPTION,
	OPT_PATTERN, OPT_ONCE, OPT_KEEP, OPT_TIMEOUT, OPT_INTERFACE,
};

static bool take_option(struct receiver *r, int option, const char *value)
{
	switch (option) {
	case 'o': r->output = value; break;
	case OPT_OVERWRITE: r->recorder_flags |= RECORDER_OVERWRITE; break;
	case OPT_RAW: r->raw = true; r->recorder_flags |= RECORDER_RAW; break;
	case OPT_SIGMF: r->sigmf = true; r->recorder_flags |= RECORDER_SIGMF; break;
	case OPT_DATATYPE: sigmf_option_datatype(&r->sigmf_options, value); break;
	case OPT_SAMPLE_RATE: sigmf_option_rate(&r->sigmf_options, value); break;
	case OPT_DESCRIPTION: r->sigmf_options.description = value; break;
	case OPT_PATTERN:
		judge_start(&r->judge, (unsigned int)number_option("pattern", value, 0,
								   SGRING_PATTERN_STREAMS - 1));
		r->intake.judge = &r->judge;
		break;
	case OPT_ONCE: r->once = true; break;
	case OPT_KEEP: r->keep = true; break;
	case OPT_TIMEOUT: r->timeout_ns = duration_option("timeout", value); break;
	case OPT_INTERFACE: r->interface = value; break;
	case 'j': r->json = true; break;
	case 'q': r->progress.quiet = true; break;
	default: return false;
	}
	return true;
}

static bool fits(const struct receiver *r)
{
	const char *wrong = NULL;

	if (r->sigmf && (r->raw || !r->output))
		wrong = r->raw ? "--sigmf needs an index, and --raw has none" : "--sigmf needs -o NAME";
	else if (r->once && r->keep)
		wrong = "--once and --keep are opposites";
	else if (r->once && r->place.datagrams)
		wrong = "--once is for connections; datagrams have none";
	if (wrong)
		fprintf(stderr, "sgring: %s\n", wrong);
	return !wrong;
}

int recv_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "overwrite", no_argument, NULL, OPT_OVERWRITE },
		{ "raw", no_argument, NULL, OPT_RAW },
		{ "sigmf", no_argument, NULL, OPT_SIGMF },
		{ "datatype", required_argument, NULL, OPT_DATATYPE },
		{ "sample-rate", required_argument, NULL, OPT_SAMPLE_RATE },
		{ "description", required_argument, NULL, OPT_DESCRIPTION },
		{ "pattern", required_argument, NULL, OPT_PATTERN },
		{ "once", no_argument, NULL, OPT_ONCE },
		{ "keep", no_argument, NULL, OPT_KEEP },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "interface", required_argument, NULL, OPT_INTERFACE },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	static struct receiver r;
	int option;

	while ((option = getopt_long(argc, argv, "o:jqh", longs, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (!take_option(&r, option, optarg))
			return EXIT_FAILED;
	}
	if (argc - optind != 1) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	if (!place_parse(&r.place, argv[optind])) {
		fprintf(stderr, "sgring: \"%s\" is not [HOST]:PORT, tcp://[HOST]:PORT or udp://[HOST]:PORT (IPv6: [::1]:9000)\n",
			argv[optind]);
		return EXIT_FAILED;
	}
	if (!fits(&r))
		return EXIT_FAILED;
	catch_interrupts(NULL);
	signal(SIGXFSZ, SIG_IGN);
	progress_start(&r.progress, 0, 0, r.progress.quiet);
	return run(&r);
}

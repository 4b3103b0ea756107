/* SPDX-License-Identifier: MIT */
/* libsgring: recordings and capture files, read; what is in them comes from a stranger. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"
#include "pcap_header.h"
#include "sim_replay.h"

#define FILE_HEADER	24U
#define PACKET_HEADER	16U
#define FOREIGN_SLOTS	16U

static int unreadable(const char *path, int err)
{
	return sgring_fail(err, "%s: %s", path, strerror(err));
}

/* So many bytes at a place; -EPROTO: the file ends before. */
static int read_at(const struct sgring_replay *r, uint64_t at, void *to, size_t bytes)
{
	size_t done = 0;
	ssize_t n;

	while (done < bytes) {
		n = pread(r->fd, (char *)to + done, bytes - done, (off_t)(at + done));
		if (n < 0 && errno != EINTR)
			return unreadable(r->path, errno);
		if (!n)
			return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": the file ends in the middle of it: it is truncated",
					   r->path, at);
		done += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

static int damaged(const struct sgring_replay *r, const char *file, uint64_t at)
{
	char why[256];

	(void)r;
	snprintf(why, sizeof(why), "%s", sgring_errmsg());
	return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": %s", file, at, why);
}

static int add_piece(struct sgring_replay *r, uint64_t at, uint32_t bytes)
{
	unsigned int room = r->piece_room ? r->piece_room * 2 : 4;
	void *p;

	if (!bytes)
		return 0;
	if (r->piece_count == r->piece_room) {
		p = realloc(r->pieces, room * sizeof(*r->pieces));
		if (!p)
			return sgring_fail(ENOMEM, "no memory");
		r->pieces = p;
		r->piece_room = room;
	}
	r->pieces[r->piece_count++] = (struct sgring_replay_piece){ at, bytes };
	return 0;
}

/*
 * Recordings.
 */

/* The name without what record puts behind it. */
static size_t base_length(const char *path)
{
	static const char *const ends[] = { ".data", ".index", ".sigmf-data", ".sigmf-meta" };
	size_t n = strlen(path), i, e;

	for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		e = strlen(ends[i]);
		if (n > e && !strcmp(path + n - e, ends[i]))
			return n - e;
	}
	return n;
}

static void part_path(const struct sgring_replay *r, const char *extension, char *path, size_t room)
{
	int base = (int)base_length(r->path);

	if (r->part == 1)
		snprintf(path, room, "%.*s.%s", base, r->path, extension);
	else
		snprintf(path, room, "%.*s-%04u.%s", base, r->path, r->part, extension);
}

static int open_file(const char *path, uint64_t *size)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;

	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
	*size = (uint64_t)st.st_size;
	if (err)
		close(fd);
	return err ? -err : fd;
}

static void close_files(struct sgring_replay *r)
{
	if (r->fd >= 0)
		close(r->fd);
	if (r->data_fd >= 0)
		close(r->data_fd);
	r->fd = r->data_fd = -1;
}

/* 1; 0: there is no such part; or -errno. */
static int open_part(struct sgring_replay *r)
{
	char path[600];

	close_files(r);
	part_path(r, "index", path, sizeof(path));
	r->fd = open_file(path, &r->size);
	if (r->fd == -ENOENT && r->part > 1)
		return 0;
	if (r->fd == -ENOENT)
		return sgring_fail(ENOENT, "%s: there is neither such a capture file nor an index %s of a recording",
				   r->path, path);
	if (r->fd < 0)
		return unreadable(path, -r->fd);
	part_path(r, "data", path, sizeof(path));
	r->data_fd = open_file(path, &r->data_bytes);
	if (r->data_fd == -ENOENT) {
		part_path(r, "sigmf-data", path, sizeof(path));
		r->data_fd = open_file(path, &r->data_bytes);
		if (r->data_fd == -ENOENT)
			part_path(r, "data", path, sizeof(path));
	}
	if (r->data_fd < 0)
		return unreadable(path, -r->data_fd);
	r->at = r->data_at = 0;
	r->greeted = false;
	return 1;
}

static int next_hello(struct sgring_replay *r, const char *path)
{
	unsigned char wire[SGRING_HELLO_BYTES];
	struct sgring_hello h;

	if (r->size - r->at < sizeof(wire))
		return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": it ends in the middle of a hello: it is truncated",
				   path, r->at);
	if (read_at(r, r->at, wire, sizeof(wire)))
		return -EIO;
	if (sgring_hello_unpack(&h, wire))
		return damaged(r, path, r->at);
	r->at += h.hello_bytes;
	r->greeted = true;
	if (!r->seen_epoch || h.epoch != r->hello.epoch || h.session != r->hello.session) {
		r->fresh = true;
		r->hello = h;
	} else {
		r->hello.align_bytes = h.align_bytes;
		r->hello.entry_bytes = h.entry_bytes;
	}
	return 0;
}

static int next_recorded(struct sgring_replay *r)
{
	unsigned char wire[SGRING_ENTRY_BYTES];
	char path[600];
	uint64_t align;
	int more;

	for (;;) {
		part_path(r, "index", path, sizeof(path));
		if (r->at >= r->size && r->greeted) {
			r->part++;
			more = open_part(r);
			if (more <= 0) {
				r->part--;
				return more;
			}
			continue;
		}
		if (r->size - r->at < 8)
			return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": it ends in the middle of an entry: it is truncated",
					   path, r->at);
		if (read_at(r, r->at, wire, 8))
			return -EIO;
		if (r->greeted && !sgring_frame_is_hello(wire))
			break;
		if (next_hello(r, path))
			return -EPROTO;
	}
	if (r->size - r->at < r->hello.entry_bytes)
		return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": it ends in the middle of an entry: it is truncated",
				   path, r->at);
	if (read_at(r, r->at, wire, sizeof(wire)))
		return -EIO;
	if (sgring_entry_unpack(&r->entry, wire, &r->hello))
		return damaged(r, path, r->at);
	align = r->hello.align_bytes;
	if (r->entry.length_bytes)
		r->data_at = (r->data_at + align - 1) & ~(align - 1);
	if (r->data_at > r->data_bytes || r->entry.length_bytes > r->data_bytes - r->data_at) {
		part_path(r, "data", path, sizeof(path));
		return sgring_fail(EPROTO, "%s has %" PRIu64 " bytes, and the index tells of %" PRIu32 " at byte %" PRIu64 ": it is truncated",
				   path, r->data_bytes, r->entry.length_bytes, r->data_at);
	}
	r->at += r->hello.entry_bytes;
	r->piece_count = 0;
	if (add_piece(r, r->data_at, r->entry.length_bytes))
		return -ENOMEM;
	r->data_at += r->entry.length_bytes;
	return 1;
}

/*
 * Capture files.
 */

static uint32_t number(const struct sgring_replay *r, const unsigned char *wire)
{
	uint32_t n;

	memcpy(&n, wire, sizeof(n));
	return r->swapped ? __builtin_bswap32(n) : n;
}

/* Is it one? 1, 0, or -errno. */
static int capture_begin(struct sgring_replay *r)
{
	unsigned char wire[FILE_HEADER];
	uint32_t magic;

	if (r->size < sizeof(magic) || read_at(r, 0, wire, sizeof(magic)))
		return 0;
	memcpy(&magic, wire, sizeof(magic));
	if (magic == 0x0a0d0d0a)
		return sgring_fail(EPROTO, "%s: a pcapng file: \"editcap -F nsecpcap\" makes a pcap file of it",
				   r->path);
	r->swapped = magic == 0xd4c3b2a1 || magic == 0x4d3cb2a1;
	r->nano = magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
	if (!r->swapped && !r->nano && magic != 0xa1b2c3d4)
		return 0;
	if (read_at(r, 0, wire, sizeof(wire)))
		return -EPROTO;
	r->link = number(r, wire + 20) & 0x0fffffff;
	r->foreign = r->link != SGRING_PCAP_LINK;
	r->at = FILE_HEADER;
	return 1;
}

/* The next packet: where its bytes begin. 1, 0 there is none, or -errno. */
static int packet(struct sgring_replay *r, uint64_t *at, uint32_t *kept, uint32_t *length, uint64_t *ns)
{
	unsigned char wire[PACKET_HEADER];

	if (r->at >= r->size)
		return 0;
	if (r->size - r->at < PACKET_HEADER)
		return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": it ends in the middle of a packet: it is truncated",
				   r->path, r->at);
	if (read_at(r, r->at, wire, sizeof(wire)))
		return -EIO;
	*ns = number(r, wire) * 1000000000ULL + number(r, wire + 4) * (r->nano ? 1ULL : 1000ULL);
	*kept = number(r, wire + 8);
	*length = number(r, wire + 12);
	if (*kept > SGRING_PCAP_PACKET_MAX)
		return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": a packet of %" PRIu32 " bytes, and none has more than %u",
				   r->path, r->at, *kept, SGRING_PCAP_PACKET_MAX);
	if (r->size - r->at - PACKET_HEADER < *kept)
		return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": it ends in the middle of a packet: it is truncated",
				   r->path, r->at);
	*at = r->at + PACKET_HEADER;
	return 1;
}

/* Another's: each packet is a slot. */
static int next_packet(struct sgring_replay *r)
{
	uint32_t kept, length;
	uint64_t at, ns;
	int more;

	do {
		more = packet(r, &at, &kept, &length, &ns);
		if (more <= 0)
			return more;
		r->at = at + kept;
	} while (!length);
	if (length > SGRING_PCAP_PACKET_MAX)
		length = kept;
	if (!r->seen_epoch) {
		r->fresh = true;
		r->hello = (struct sgring_hello){
			.epoch = 1, .slot_count = FOREIGN_SLOTS, .slot_bytes = SGRING_PCAP_PACKET_MAX,
			.session = 1, .clock = SGRING_CLOCK_REALTIME, .align_bytes = 1, .clock_ns = ns,
			.realtime_ns = ns, .label = "pcap",
		};
	}
	r->entry = (struct sgring_cqe){
		.sequence = r->sequence, .position_bytes = r->position, .host_time_ns = ns,
		.slot = (uint32_t)(r->sequence % FOREIGN_SLOTS), .length_bytes = length,
		.flags = SGRING_CQE_EOP,
	};
	r->sequence++;
	r->position += length;
	r->piece_count = 0;
	return add_piece(r, at, kept < length ? kept : length) ? -ENOMEM : 1;
}

static int header_at(struct sgring_replay *r, uint64_t at, uint32_t kept, struct sgring_pcap_header *h)
{
	unsigned char wire[SGRING_PCAP_BYTES];

	if (read_at(r, at, wire, kept < sizeof(wire) ? kept : sizeof(wire)))
		return -EIO;
	if (sgring_pcap_unpack(h, wire, kept))
		return damaged(r, r->path, at);
	return 0;
}

/* Ours: a slot, of one packet or of several. */
static int next_slot(struct sgring_replay *r)
{
	struct sgring_pcap_header h, first;
	uint32_t kept, length, have = 0;
	uint64_t at, ns;
	int more;

	more = packet(r, &at, &kept, &length, &ns);
	if (more <= 0)
		return more;
	if (header_at(r, at, kept, &first))
		return -EPROTO;
	if (first.offset_bytes)
		return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": the piece of a slot without its beginning",
				   r->path, at);
	if (!r->seen_epoch || first.epoch != r->hello.epoch) {
		r->fresh = true;
		r->hello = (struct sgring_hello){
			.epoch = first.epoch, .slot_count = first.slot_count, .slot_bytes = first.slot_bytes,
			.session = 1, .clock = first.clock, .align_bytes = 1,
			.clock_ns = first.entry.host_time_ns, .realtime_ns = ns,
		};
		memcpy(r->hello.label, first.label, sizeof(first.label));
	}
	if (first.slot_count != r->hello.slot_count || first.slot_bytes != r->hello.slot_bytes)
		return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": %" PRIu32 " slots of %" PRIu32 " bytes, and there were %" PRIu32 " of %" PRIu64,
				   r->path, at, first.slot_count, first.slot_bytes,
				   r->hello.slot_count, r->hello.slot_bytes);
	r->entry = first.entry;
	r->piece_count = 0;
	h = first;
	do {
		if (kept - h.header_bytes > first.entry.length_bytes - have)
			return sgring_fail(EPROTO, "%s: byte %" PRIu64 ": more data than the slot's %" PRIu32 " bytes",
					   r->path, at, first.entry.length_bytes);
		if (add_piece(r, at + h.header_bytes, kept - h.header_bytes))
			return -ENOMEM;
		have += kept - h.header_bytes;
		r->at = at + kept;
		/* What follows may be the rest of it. */
		more = have < first.entry.length_bytes ? packet(r, &at, &kept, &length, &ns) : 0;
		if (more < 0)
			return more;
		if (more && header_at(r, at, kept, &h))
			return -EPROTO;
	} while (more && h.offset_bytes == have && have && h.entry.sequence == first.entry.sequence);
	return 1;
}

/*
 * Both.
 */

int sgring_replay_next(struct sgring_replay *r)
{
	uint64_t end = r->entry.position_bytes + r->entry.length_bytes;
	int more;

	r->fresh = false;
	more = !r->capture ? next_recorded(r) : r->foreign ? next_packet(r) : next_slot(r);
	if (more <= 0)
		return more;
	/* Who looked on was too late for something, or a filter has left it out. */
	if (r->capture && !r->fresh && r->entry.position_bytes > end)
		r->entry.flags |= SGRING_CQE_GAP;
	r->seen_epoch = true;
	return 1;
}

int sgring_replay_rewind(struct sgring_replay *r)
{
	int err;

	r->seen_epoch = r->fresh = false;
	r->sequence = r->position = 0;
	r->entry = (struct sgring_cqe){ 0 };
	if (r->capture) {
		r->at = FILE_HEADER;
		return 0;
	}
	r->part = 1;
	err = open_part(r);
	return err < 0 ? err : 0;
}

static int look_through(struct sgring_replay *r)
{
	int more;

	while ((more = sgring_replay_next(r)) > 0) {
		uint64_t slot = r->foreign ? r->entry.length_bytes : r->hello.slot_bytes;

		r->slot_bytes = slot > r->slot_bytes ? slot : r->slot_bytes;
		r->slot_count = r->hello.slot_count > r->slot_count ? r->hello.slot_count : r->slot_count;
		r->entries++;
		r->bytes += r->entry.length_bytes;
	}
	if (!more && !r->entries)
		return sgring_fail(EPROTO, "%s: there is nothing in it", r->path);
	return more;
}

static int begin(struct sgring_replay *r)
{
	int fd = open_file(r->path, &r->size), is;

	if (fd >= 0) {
		r->fd = fd;
		is = capture_begin(r);
		if (is < 0)
			return is;
		r->capture = is;
	}
	return sgring_replay_rewind(r) ?: look_through(r) ?: sgring_replay_rewind(r);
}

int sgring_replay_open(struct sgring_replay **replay, const char *path)
{
	struct sgring_replay *r;
	int err, saved = errno;

	*replay = NULL;
	if (strlen(path) >= sizeof(r->path))
		return sgring_fail(ENAMETOOLONG, "%.80s...: a path of more than %zu bytes", path,
				   sizeof(r->path) - 1);
	r = calloc(1, sizeof(*r));
	if (!r)
		return sgring_fail(ENOMEM, "no memory");
	strcpy(r->path, path);
	r->fd = r->data_fd = -1;
	err = begin(r);
	errno = saved;
	if (err) {
		sgring_replay_close(r);
		return err;
	}
	*replay = r;
	return 0;
}

void sgring_replay_close(struct sgring_replay *r)
{
	if (!r)
		return;
	close_files(r);
	free(r->pieces);
	free(r);
}

int sgring_replay_read(const struct sgring_replay *r, uint32_t offset, void *to, size_t bytes)
{
	int fd = r->capture ? r->fd : r->data_fd;
	unsigned char *out = to;
	unsigned int i;
	ssize_t n;
	size_t part;

	for (i = 0; i < r->piece_count && bytes; i++) {
		const struct sgring_replay_piece *p = &r->pieces[i];

		if (offset >= p->bytes) {
			offset -= p->bytes;
			continue;
		}
		part = p->bytes - offset < bytes ? p->bytes - offset : bytes;
		while (part) {
			n = pread(fd, out, part, (off_t)(p->at + offset));
			if (n <= 0)
				return -EIO;
			out += n;
			part -= (size_t)n;
			bytes -= (size_t)n;
			offset += (uint32_t)n;
		}
		offset -= p->bytes;
	}
	memset(out, 0, bytes);
	return 0;
}

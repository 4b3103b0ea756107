/* SPDX-License-Identifier: MIT */
/* sgring(1): the files of a recording. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recording.h"

#define WRITE_BEHIND (32U << 20)	/* data is sent to the disk in pieces of this */
#define INDEX_RESERVE 65536U
#define LENGTH_AT 44U			/* in an entry */

static const char *const extensions[] = { ".data", ".index", ".sigmf-data", ".sigmf-meta" };

void recording_base(char *base, size_t room, const char *name)
{
	size_t i, n;

	snprintf(base, room, "%s", name);
	n = strlen(base);
	for (i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		size_t e = strlen(extensions[i]);

		if (n > e && !strcmp(base + n - e, extensions[i])) {
			base[n - e] = 0;
			return;
		}
	}
}

void recording_path(char *path, size_t room, const char *base, unsigned int part,
		    const char *extension)
{
	if (part == 1)
		snprintf(path, room, "%s.%s", base, extension);
	else
		snprintf(path, room, "%s-%04u.%s", base, part, extension);
}

/*
 * Reading.
 */

static int fail(struct recording *r, const char *path, int err)
{
	snprintf(r->error, sizeof(r->error), "%s: %s", path, strerror(err));
	return -1;
}

static int damaged(struct recording *r, uint64_t at, const char *what)
{
	snprintf(r->error, sizeof(r->error), "%s: byte %" PRIu64 ": %s", r->index_path, at, what);
	return -1;
}

static void close_part(struct recording *r)
{
	if (r->data_fd >= 0)
		close(r->data_fd);
	if (r->index_fd >= 0)
		close(r->index_fd);
	r->data_fd = r->index_fd = -1;
}

/* The size of a file or a block device. */
static int size_of(int fd, uint64_t *bytes)
{
	struct stat st;

	if (fstat(fd, &st))
		return -1;
	*bytes = (uint64_t)st.st_size;
	return S_ISBLK(st.st_mode) ? ioctl(fd, BLKGETSIZE64, bytes) : 0;
}

static int open_data(struct recording *r)
{
	if (r->data_given && r->part == 1) {
		snprintf(r->data_path, sizeof(r->data_path), "%s", r->data_given);
		r->data_fd = open(r->data_path, O_RDONLY | O_CLOEXEC);
	} else {
		recording_path(r->data_path, sizeof(r->data_path), r->base, r->part, "data");
		r->data_fd = open(r->data_path, O_RDONLY | O_CLOEXEC);
		if (r->data_fd < 0 && errno == ENOENT) {
			char other[sizeof(r->data_path)];

			recording_path(other, sizeof(other), r->base, r->part, "sigmf-data");
			r->data_fd = open(other, O_RDONLY | O_CLOEXEC);
			if (r->data_fd >= 0)
				memcpy(r->data_path, other, sizeof(other));
		}
	}
	if (r->data_fd < 0 || size_of(r->data_fd, &r->data_bytes))
		return fail(r, r->data_path, errno);
	return 0;
}

/* Is it of the recording that was read up to here, or one with a name like its? */
static bool belongs(const struct recording *r)
{
	unsigned char wire[SGRING_HELLO_BYTES];
	struct sgring_hello h;

	/* What cannot be read is told when it is read. */
	return pread(r->index_fd, wire, sizeof(wire), 0) != sizeof(wire) ||
	       sgring_hello_unpack(&h, wire) || h.session == r->hello.session;
}

/* 1: there is no such part. */
static int open_part(struct recording *r)
{
	recording_path(r->index_path, sizeof(r->index_path), r->base, r->part, "index");
	r->index_fd = open(r->index_path, O_RDONLY | O_CLOEXEC);
	if (r->index_fd < 0 && errno == ENOENT && r->part > 1)
		return 1;
	if (r->index_fd < 0 || size_of(r->index_fd, &r->index_bytes))
		return fail(r, r->index_path, errno);
	if (r->part > 1 && !belongs(r))
		return 1;
	if (open_data(r))
		return -1;
	r->greeted = false;
	r->index_at = r->buffer_at = 0;
	r->buffered = 0;
	r->begin = r->pad_at = r->data_end = 0;
	r->torn = 0;
	return 0;
}

int recording_open(struct recording *r, const char *name, const char *data)
{
	r->part = 0;
	r->data_fd = r->index_fd = -1;
	r->data_given = data;
	r->state = RECORDING_TAIL;
	r->error[0] = 0;
	if (strlen(name) >= sizeof(r->base) - 16)
		return fail(r, name, ENAMETOOLONG);
	recording_base(r->base, sizeof(r->base), name);
	return 0;
}

/* So many bytes of the index, from index_at on; NULL: there are fewer, or an error. */
static const unsigned char *look(struct recording *r, size_t bytes)
{
	ssize_t n = 0;

	if (r->index_bytes - r->index_at < bytes) {
		r->torn = (uint32_t)(r->index_bytes - r->index_at);
		return NULL;
	}
	if (r->index_at < r->buffer_at || r->index_at + bytes > r->buffer_at + r->buffered) {
		r->buffer_at = r->index_at;
		for (r->buffered = 0; r->buffered < bytes; r->buffered += (size_t)n) {
			n = pread(r->index_fd, r->buffer + r->buffered,
				  sizeof(r->buffer) - r->buffered,
				  (off_t)(r->buffer_at + r->buffered));
			if (n <= 0)
				break;
		}
		if (r->buffered < bytes) {
			fail(r, r->index_path, n ? errno : EIO);
			return NULL;
		}
	}
	return r->buffer + (r->index_at - r->buffer_at);
}

/* look() gave nothing: an error, or the end. */
static int no_more(struct recording *r)
{
	if (r->error[0])
		return -1;
	if (!r->greeted)
		return damaged(r, r->index_at, "it ends before its hello does: nothing was recorded");
	return RECORDING_TAIL;
}

static int read_hello(struct recording *r)
{
	const unsigned char *wire = look(r, SGRING_HELLO_BYTES);
	uint32_t align = r->hello.align_bytes;

	if (!wire)
		return no_more(r);
	if (sgring_hello_unpack(&r->hello, wire))
		return damaged(r, r->index_at, sgring_errmsg());
	if (r->greeted && r->hello.align_bytes != align)
		return damaged(r, r->index_at, "hello: another alignment than before");
	if (!look(r, r->hello.hello_bytes))
		return no_more(r);
	r->index_at += r->hello.hello_bytes;
	r->greeted = true;
	return RECORDING_HELLO;
}

static int read_entry(struct recording *r)
{
	const unsigned char *wire = look(r, r->hello.entry_bytes);
	uint64_t align = r->hello.align_bytes;

	if (!wire)
		return no_more(r);
	if (sgring_entry_unpack(&r->entry, wire, &r->hello))
		return damaged(r, r->index_at, sgring_errmsg());
	if (r->data_end > INT64_MAX - align - r->entry.length_bytes)
		return damaged(r, r->index_at, "entry: the lengths add up to more than 2^63");
	r->index_at += r->hello.entry_bytes;
	if (r->entry.length_bytes) {
		r->pad_at = r->data_end;
		r->begin = (r->data_end + align - 1) & ~(align - 1);
		r->data_end = r->begin + r->entry.length_bytes;
	} else {
		r->pad_at = r->begin = r->data_end;
	}
	return RECORDING_ENTRY;
}

static int read_item(struct recording *r)
{
	const unsigned char *wire;

	if (r->index_at == r->index_bytes && r->greeted)
		return RECORDING_TAIL;
	wire = look(r, 8);
	if (!wire)
		return no_more(r);
	if (!r->greeted || sgring_frame_is_hello(wire))
		return read_hello(r);
	return read_entry(r);
}

int recording_next(struct recording *r)
{
	int err;

	if (r->state == RECORDING_END)
		return RECORDING_END;
	if (r->state == RECORDING_TAIL) {
		close_part(r);
		r->part++;
		err = r->part <= RECORDING_PARTS ? open_part(r) : 1;
		if (err) {
			r->state = RECORDING_END;
			return err < 0 ? err : RECORDING_END;
		}
		r->state = RECORDING_PART;
		return r->state;
	}
	r->state = read_item(r);
	if (r->state < 0) {
		r->state = RECORDING_END;
		return -1;
	}
	return r->state;
}

void recording_close(struct recording *r)
{
	close_part(r);
}

/*
 * Writing.
 */

static int unwritable(struct recorder *r, const char *path, uint64_t at, int err)
{
	if (err == ENOSPC || err == EFBIG || err == EDQUOT)
		snprintf(r->error, sizeof(r->error),
			 "%s: no room beyond byte %" PRIu64 ": %s; all that came before is recorded",
			 path, at, strerror(err));
	else
		snprintf(r->error, sizeof(r->error), "%s: %s", path, strerror(err));
	return -err;
}

static int create(struct recorder *r, const char *path, bool overwrite, int *fd)
{
	*fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (overwrite ? O_TRUNC : O_EXCL), 0666);
	if (*fd >= 0)
		return 0;
	if (errno == EEXIST) {
		snprintf(r->error, sizeof(r->error),
			 "%s exists; --overwrite writes over it", path);
		return -EEXIST;
	}
	return unwritable(r, path, 0, errno);
}

/* Room for entries, ahead: those of the last data must fit when the disk is full. */
static int reserve(struct recorder *r)
{
	int err;

	if (r->index_fd < 0 || r->index_bytes + 2 * sizeof(r->buffer) <= r->reserved)
		return 0;
	err = fallocate(r->index_fd, FALLOC_FL_KEEP_SIZE, (off_t)r->reserved, INDEX_RESERVE) ?
	      errno : 0;
	if (err == ENOSPC || err == EDQUOT || err == EFBIG)
		return unwritable(r, r->index_path, r->index_bytes, err);
	r->reserved += INDEX_RESERVE;	/* or the file system cannot */
	return 0;
}

int recorder_open(struct recorder *r, const char *name, unsigned int flags)
{
	bool overwrite = flags & RECORDER_OVERWRITE;
	char base[PATH_MAX];
	int err;

	memset(r, 0, offsetof(struct recorder, buffer));
	r->data_fd = r->index_fd = -1;
	if (strlen(name) >= sizeof(base) - 16)
		return unwritable(r, name, 0, ENAMETOOLONG);
	recording_base(base, sizeof(base), name);
	recording_path(r->data_path, sizeof(r->data_path), base, 1,
		       flags & RECORDER_SIGMF ? "sigmf-data" : "data");
	recording_path(r->index_path, sizeof(r->index_path), base, 1, "index");
	err = create(r, r->data_path, overwrite, &r->data_fd);
	if (!err && !(flags & RECORDER_RAW)) {
		err = create(r, r->index_path, overwrite, &r->index_fd);
		if (err) {
			close(r->data_fd);
			r->data_fd = -1;
			if (!overwrite)
				unlink(r->data_path);
		}
	}
	return err ? err : reserve(r);
}

int recorder_data(struct recorder *r, const void *data, size_t bytes, size_t *written)
{
	ssize_t n;

	*written = 0;
	while (*written < bytes) {
		n = write(r->data_fd, (const char *)data + *written, bytes - *written);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return unwritable(r, r->data_path, r->data_bytes, errno);
		*written += (size_t)n;
		r->data_bytes += (uint64_t)n;
	}
	/* A little at a time to the disk, instead of all of it when memory is full. */
	if (r->data_bytes - r->started >= WRITE_BEHIND) {
		sync_file_range(r->data_fd, (off_t)r->started, (off_t)(r->data_bytes - r->started),
				SYNC_FILE_RANGE_WRITE);
		r->started = r->data_bytes;
	}
	return 0;
}

/* Of what waits, @written bytes are in the file: how many are whole, and their data. */
static size_t whole_frames(const struct recorder *r, size_t written, uint64_t *described)
{
	size_t at = 0, bytes;
	uint32_t length;

	*described = 0;
	for (;; at += bytes) {
		bool hello = at < r->waiting && sgring_frame_is_hello(r->buffer + at);

		bytes = hello ? SGRING_HELLO_BYTES : SGRING_ENTRY_BYTES;
		if (at + bytes > written)
			return at;
		memcpy(&length, r->buffer + at + LENGTH_AT, sizeof(length));
		*described += hello ? 0 : le32toh(length);
	}
}

int recorder_flush(struct recorder *r)
{
	uint64_t described;
	size_t done = 0;
	ssize_t n;
	int err = 0;

	while (done < r->waiting && !err) {
		n = pwrite(r->index_fd, r->buffer + done, r->waiting - done,
			   (off_t)(r->index_bytes + done));
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			err = unwritable(r, r->index_path, r->index_bytes + done, errno);
	}
	/* What did not fit is cut off, and recorder_close() cuts off its data. */
	r->index_bytes += whole_frames(r, done, &described);
	r->described += described;
	r->full = r->full || err;
	r->waiting = 0;
	return err ? err : reserve(r);
}

static int append(struct recorder *r, size_t bytes)
{
	r->waiting += bytes;
	return r->waiting + SGRING_HELLO_BYTES > sizeof(r->buffer) ? recorder_flush(r) : 0;
}

int recorder_hello(struct recorder *r, const struct sgring_hello *hello)
{
	struct sgring_hello h = *hello;

	if (r->index_fd < 0 || r->full)
		return r->full ? -ENOSPC : 0;
	h.align_bytes = 1;
	sgring_hello_pack(r->buffer + r->waiting, &h);
	return append(r, SGRING_HELLO_BYTES);
}

int recorder_entry(struct recorder *r, const struct sgring_cqe *entry)
{
	if (r->index_fd < 0 || r->full)
		return r->full ? -ENOSPC : 0;
	sgring_entry_pack(r->buffer + r->waiting, entry);
	return append(r, SGRING_ENTRY_BYTES);
}

static int finish(struct recorder *r, int fd, const char *path, uint64_t bytes)
{
	int err = 0;

	if (ftruncate(fd, (off_t)bytes) || fdatasync(fd))
		err = unwritable(r, path, bytes, errno);
	if (close(fd) && !err)
		err = unwritable(r, path, bytes, errno);
	return err;
}

int recorder_close(struct recorder *r)
{
	int err = 0, other;

	if (r->index_fd >= 0) {
		err = recorder_flush(r);
		r->data_bytes = r->described;
		other = finish(r, r->index_fd, r->index_path, r->index_bytes);
		err = err ? err : other;
	}
	if (r->data_fd >= 0) {
		other = finish(r, r->data_fd, r->data_path, r->data_bytes);
		err = err ? err : other;
	}
	r->data_fd = r->index_fd = -1;
	return err;
}

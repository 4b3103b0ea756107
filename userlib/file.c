/* SPDX-License-Identifier: MIT */
/* libsgring: the files of a recording; see file.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "file.h"
#include "sgring_frame.h"

#define DIGITS 4
#define BLOCK_GUESS 4096	/* a multiple of what disks and file systems want */

static int cannot_open(const char *path, int err, bool device)
{
	char text[128];

	if (err == EEXIST)
		return sgring_fail(err, "%s exists: another name, or SGRING_TX_OVERWRITE", path);
	if (err == EBUSY && device)
		return sgring_fail(err, "%s is in use: mounted, or part of another device", path);
	return sgring_fail(err, "cannot open %s: %s", path, sgring_strerror(err, text, sizeof(text)));
}

/* Where the extension begins, or the end: ".x" and "a.b/x" have none. */
static const char *extension(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	const char *base = slash ? slash + 1 : path;

	return dot && dot > base ? dot : path + strlen(path);
}

char *sgring_file_index(const char *path)
{
	char *index;

	return asprintf(&index, "%.*s.index", (int)(extension(path) - path), path) < 0 ? NULL : index;
}

char *sgring_file_part(const char *path, unsigned int part)
{
	const char *end = extension(path);
	char *name;

	if (part == 1)
		return strdup(path);
	return asprintf(&name, "%.*s-%0*u%s", (int)(end - path), path, DIGITS, part, end) < 0 ?
	       NULL : name;
}

/* Is @name "run1-0007.data", and @base "run1.data"? */
static bool is_part(const char *name, const char *base)
{
	const char *end = extension(base);
	size_t stem = (size_t)(end - base), digits;

	if (strncmp(name, base, stem) || name[stem] != '-')
		return false;
	name += stem + 1;
	for (digits = 0; isdigit((unsigned char)name[digits]); digits++)
		;
	return digits >= DIGITS && !strcmp(name + digits, end);
}

int sgring_file_alone(const char *path, bool overwrite)
{
	const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
	char folder[PATH_MAX], text[128];
	struct dirent *e;
	int err = 0;
	DIR *d;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(base - path) : 2, slash ? path : "./");
	d = opendir(folder);
	if (!d)
		return sgring_fail(errno, "%s: %s", folder, sgring_strerror(errno, text, sizeof(text)));
	while (!err && (e = readdir(d))) {
		if (!is_part(e->d_name, base))
			continue;
		if (!overwrite)
			err = cannot_open(e->d_name, EEXIST, false);
		else if (unlinkat(dirfd(d), e->d_name, 0))
			err = sgring_fail(errno, "cannot remove %s%s: %s", folder, e->d_name,
					  sgring_strerror(errno, text, sizeof(text)));
	}
	closedir(d);
	return err;
}

/* Open it as said, or without O_DIRECT where it does not exist. */
static int open_either(const char *path, int flags, bool *direct)
{
	int fd = open(path, flags | (*direct ? O_DIRECT : 0), 0666);

	if (fd < 0 && errno == EINVAL && *direct) {
		*direct = false;
		/* The first attempt may have made the file. */
		fd = open(path, flags & O_CREAT ? flags & ~O_EXCL : flags, 0666);
	}
	return fd < 0 ? -errno : fd;
}

/* What the kernel tells (6.1): true, with block 0 where there is no O_DIRECT. */
static bool ask_alignment(int fd, struct sgring_file_traits *t)
{
#ifdef STATX_DIOALIGN
	struct statx st;

	if (!statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &st) && st.stx_mask & STATX_DIOALIGN) {
		t->block = st.stx_dio_offset_align;
		t->memory = st.stx_dio_mem_align;
		return true;
	}
#else
	(void)fd;
	(void)t;
#endif
	return false;
}

/* Does a write of the usual size and alignment pass? Behind the end, which is where it was then. */
static bool try_write(int fd)
{
	struct stat st;
	void *block;
	ssize_t n;

	if (fstat(fd, &st) || posix_memalign(&block, BLOCK_GUESS, BLOCK_GUESS))
		return false;
	memset(block, 0, BLOCK_GUESS);
	n = pwrite(fd, block, BLOCK_GUESS,
		   (st.st_size + BLOCK_GUESS - 1) / BLOCK_GUESS * BLOCK_GUESS);
	free(block);
	/* A full disk is not what is asked here. */
	return (n >= 0 || errno != EINVAL) && !ftruncate(fd, st.st_size);
}

static bool in_memory(uint32_t magic)
{
	return magic == TMPFS_MAGIC || magic == RAMFS_MAGIC;
}

static void find_alignment(int fd, struct sgring_file_traits *t)
{
	struct statfs fs;
	int sector = 0;

	t->block = t->memory = BLOCK_GUESS;
	if (ask_alignment(fd, t)) {
		t->direct = t->block;
		snprintf(t->why, sizeof(t->why), "the file system has no O_DIRECT for this file");
	} else if (!t->regular) {
		if (!ioctl(fd, BLKSSZGET, &sector) && sector > 0)
			t->block = t->memory = (uint32_t)sector;
	} else if (!fstatfs(fd, &fs) && in_memory((uint32_t)fs.f_type)) {
		t->direct = false;
		snprintf(t->why, sizeof(t->why), "the file system is memory");
	} else if (!try_write(fd)) {
		t->direct = false;
		snprintf(t->why, sizeof(t->why), "blocks of %u bytes are refused with it",
			 BLOCK_GUESS);
	}
}

static int check_traits(const char *path, const struct sgring_file_traits *t)
{
	if (t->block & (t->block - 1) || t->block > SGRING_ALIGN_BYTES_MAX ||
	    !t->memory || t->memory & (t->memory - 1) || t->memory > SGRING_ALIGN_BYTES_MAX)
		return sgring_fail(EOPNOTSUPP, "%s: O_DIRECT in blocks of %u bytes, from addresses in multiples of %u, is more than is supported (%s)",
				   path, t->block, t->memory,
				   sgring_size_text(SGRING_ALIGN_BYTES_MAX));
	return 0;
}

static int look_at(const char *path, int fd, struct sgring_file_traits *t)
{
	struct stat st;
	char text[128];

	if (fstat(fd, &st) || (S_ISBLK(st.st_mode) && ioctl(fd, BLKGETSIZE64, &t->device_bytes)))
		return sgring_fail(errno, "%s: %s", path, sgring_strerror(errno, text, sizeof(text)));
	t->regular = S_ISREG(st.st_mode);
	if (t->direct && !t->block)
		find_alignment(fd, t);
	if (t->direct)
		return check_traits(path, t);
	t->block = t->memory = 1;
	/* Where O_DIRECT was taken and means nothing. */
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT);
	return 0;
}

int sgring_file_open(const char *path, bool overwrite, bool direct, struct sgring_file_traits *t)
{
	int flags = O_WRONLY | O_CLOEXEC | O_NOCTTY, fd, err;
	bool device = false;
	struct stat st;

	t->direct = direct;
	snprintf(t->why, sizeof(t->why), direct ? "the file system has no O_DIRECT" : "as asked for");
	t->created = stat(path, &st);
	if (!t->created) {
		device = S_ISBLK(st.st_mode);
		if (!device && !S_ISREG(st.st_mode))
			return sgring_fail(EINVAL, "%s is neither a file nor a block device", path);
		if (!overwrite)
			return device ? sgring_fail(EEXIST, "%s is a block device: what is on it would be lost: SGRING_TX_OVERWRITE", path) :
			       cannot_open(path, EEXIST, false);
	}
	/* A device: O_EXCL alone is "nobody else uses it". */
	flags |= device ? O_EXCL : overwrite ? O_CREAT : O_CREAT | O_EXCL;
	fd = open_either(path, flags, &t->direct);
	if (fd < 0)
		return cannot_open(path, -fd, device);
	err = look_at(path, fd, t);
	if (err) {
		close(fd);
		if (t->created)
			unlink(path);
		return err;
	}
	return fd;
}

int sgring_file_create(const char *path, bool overwrite, bool *created)
{
	struct stat st;
	int fd;

	*created = stat(path, &st);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY | O_CREAT | (overwrite ? 0 : O_EXCL), 0666);
	return fd < 0 ? cannot_open(path, errno, false) : fd;
}

int sgring_file_empty(const char *path, int fd)
{
	struct stat st;
	char text[128];

	if (fstat(fd, &st) || (S_ISREG(st.st_mode) && st.st_size && ftruncate(fd, 0)))
		return sgring_fail(errno, "%s: %s", path, sgring_strerror(errno, text, sizeof(text)));
	return 0;
}

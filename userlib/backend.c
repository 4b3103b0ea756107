/* SPDX-License-Identifier: MIT */
/* libsgring: the back end that is the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "backend.h"

/* No function of the library changes errno: save it around the system call. */
#define CALL(result, call) do {				\
	int saved = errno;				\
							\
	(result) = (call);				\
	if ((result) < 0)				\
		(result) = -errno;			\
	errno = saved;					\
} while (0)

static int kernel_open(const struct sgring_backend *be, const char *path, int flags)
{
	int fd;

	(void)be;
	CALL(fd, open(path, flags | O_CLOEXEC));
	return fd;
}

static int kernel_close(const struct sgring_backend *be, int fd)
{
	int err;

	(void)be;
	CALL(err, close(fd));
	return err;
}

static int kernel_ioctl(const struct sgring_backend *be, int fd, unsigned long request, void *arg)
{
	int err;

	(void)be;
	CALL(err, ioctl(fd, request, arg));
	return err;
}

static int kernel_map(const struct sgring_backend *be, int fd, uint64_t offset, size_t bytes,
		      int prot, void **where)
{
	int saved = errno, err = 0;
	void *p;

	(void)be;
	p = mmap(NULL, bytes, prot, MAP_SHARED, fd, (off_t)offset);
	if (p == MAP_FAILED)
		err = -errno;
	else
		*where = p;
	errno = saved;
	return err;
}

static void kernel_unmap(const struct sgring_backend *be, void *where, size_t bytes)
{
	int err;

	(void)be;
	CALL(err, munmap(where, bytes));
	(void)err;
}

static int kernel_poll(const struct sgring_backend *be, struct pollfd *fds, unsigned int n,
		       int64_t timeout_ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(timeout_ns / 1000000000),
		.tv_nsec = (long)(timeout_ns % 1000000000),
	};
	int ready;

	(void)be;
	CALL(ready, ppoll(fds, n, timeout_ns < 0 ? NULL : &ts, NULL));
	return ready;
}

static ssize_t kernel_sendmsg(const struct sgring_backend *be, int fd, const struct msghdr *msg,
			      int flags)
{
	ssize_t n;

	(void)be;
	CALL(n, sendmsg(fd, msg, flags));
	return n;
}

static int kernel_recvmmsg(const struct sgring_backend *be, int fd, struct mmsghdr *msgs,
			   unsigned int n, int flags)
{
	int got;

	(void)be;
	CALL(got, recvmmsg(fd, msgs, n, flags, NULL));
	return got;
}

const struct sgring_backend sgring_kernel_backend = {
	.open = kernel_open,
	.close = kernel_close,
	.ioctl = kernel_ioctl,
	.map = kernel_map,
	.unmap = kernel_unmap,
	.poll = kernel_poll,
	.sendmsg = kernel_sendmsg,
	.recvmmsg = kernel_recvmmsg,
};

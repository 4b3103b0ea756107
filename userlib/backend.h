/* SPDX-License-Identifier: MIT */
/*
 * libsgring: what stands between the library and the kernel
 *
 * Every system call of a stream and its senders that may be played by something
 * else goes through this table, so that the simulator (sim.h) can be the kernel's
 * side of the ABI, and a test can make the network fail on demand.
 *
 * All return what the system call would, or -errno.
 */
#ifndef SGRING_BACKEND_H
#define SGRING_BACKEND_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct sgring;
struct sgring_hello;
struct sgring_options;

/* error.c: keep a message for sgring_errmsg() and return -err (err > 0). */
int sgring_fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct sgring_backend {
	/* The device; @path as sgring_name_resolve() gives it, unless @literal_names. */
	int (*open)(const struct sgring_backend *be, const char *path, int flags);
	int (*close)(const struct sgring_backend *be, int fd);
	int (*ioctl)(const struct sgring_backend *be, int fd, unsigned long request, void *arg);
	int (*map)(const struct sgring_backend *be, int fd, uint64_t offset, size_t bytes,
		   int prot, void **where);
	void (*unmap)(const struct sgring_backend *be, void *where, size_t bytes);
	/* The device, if it is among them, is the first. timeout_ns < 0: for ever. */
	int (*poll)(const struct sgring_backend *be, struct pollfd *fds, unsigned int n,
		    int64_t timeout_ns);
	/*
	 * Or NULL. The owner has found the CQ empty, and may wait for the descriptor
	 * in a loop of its own: it must not be readable for what was consumed.
	 */
	void (*quiet)(const struct sgring_backend *be, int fd);
	/* The sockets of senders. */
	ssize_t (*sendmsg)(const struct sgring_backend *be, int fd, const struct msghdr *msg,
			   int flags);
	int (*recvmmsg)(const struct sgring_backend *be, int fd, struct mmsghdr *msgs,
			unsigned int n, int flags);
	/* Or NULL. What is played is a recording: how it began. 0, or -ENODATA: it is none. */
	int (*replayed)(const struct sgring_backend *be, int fd, struct sgring_hello *hello);
	/* Names are not looked up, and open() says itself what is wrong. */
	int literal_names;
};

extern const struct sgring_backend sgring_kernel_backend;

/* sgring_open() on a back end of the caller's, which must live as long as the stream. */
int sgring_open_backend(struct sgring **stream, const char *name,
			const struct sgring_options *options, const struct sgring_backend *be);
int sgring_observe_backend(struct sgring **stream, const char *name,
			   const struct sgring_backend *be);

#endif /* SGRING_BACKEND_H */

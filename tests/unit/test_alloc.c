// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Whatever is to be had from the system may not be: in each way of opening a stream and a
 * sender, sending and closing, the n-th allocation, descriptor, ring or thread fails, for
 * every n until there is none left. Each time there is a number and a line, nothing stays
 * behind, and the next attempt works. The linker puts what fails in place (--wrap).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <liburing.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "sgring.h"

#define LONG 60000

/* --- what fails: of this thread, the one that makes it 0 */

static _Thread_local unsigned int countdown;
static unsigned int injected;

static bool fails(int err)
{
	if (!countdown || --countdown)
		return false;
	injected++;
	errno = err;
	return true;
}

#define WRAP(type, name, wrong, err, parameters, arguments)	\
type __real_##name parameters;					\
type __wrap_##name parameters;					\
type __wrap_##name parameters					\
{								\
	return fails(err) ? (wrong) : __real_##name arguments;	\
}

WRAP(void *, malloc, NULL, ENOMEM, (size_t bytes), (bytes))
WRAP(void *, calloc, NULL, ENOMEM, (size_t n, size_t bytes), (n, bytes))
WRAP(void *, realloc, NULL, ENOMEM, (void *p, size_t bytes), (p, bytes))
WRAP(int, posix_memalign, ENOMEM, 0, (void **p, size_t align, size_t bytes), (p, align, bytes))
WRAP(char *, strdup, NULL, ENOMEM, (const char *text), (text))
WRAP(void *, mmap64, MAP_FAILED, ENOMEM,
     (void *at, size_t bytes, int prot, int flags, int fd, off_t from),
     (at, bytes, prot, flags, fd, from))
WRAP(int, memfd_create, -1, EMFILE, (const char *name, unsigned int flags), (name, flags))
WRAP(int, eventfd, -1, EMFILE, (unsigned int value, int flags), (value, flags))
WRAP(int, timerfd_create, -1, EMFILE, (int clock, int flags), (clock, flags))
WRAP(int, pipe2, -1, EMFILE, (int *ends, int flags), (ends, flags))
WRAP(int, socket, -1, EMFILE, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(DIR *, opendir, NULL, EMFILE, (const char *path), (path))
WRAP(FILE *, fopen64, NULL, EMFILE, (const char *path, const char *mode), (path, mode))
WRAP(int, getaddrinfo, EAI_MEMORY, 0,
     (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list),
     (host, port, hints, list))
WRAP(int, pthread_create, EAGAIN, 0,
     (pthread_t *thread, const pthread_attr_t *attr, void *(*f)(void *), void *arg),
     (thread, attr, f, arg))
WRAP(int, io_uring_queue_init, -ENOMEM, 0,
     (unsigned int n, struct io_uring *ring, unsigned int flags), (n, ring, flags))
WRAP(int, io_uring_queue_init_params, -EMFILE, 0,
     (unsigned int n, struct io_uring *ring, struct io_uring_params *p), (n, ring, p))
WRAP(int, io_uring_register_buffers, -ENOMEM, 0,
     (struct io_uring *ring, const struct iovec *iov, unsigned int n), (ring, iov, n))
WRAP(struct io_uring_probe *, io_uring_get_probe_ring, NULL, ENOMEM, (struct io_uring *ring), (ring))

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & O_CREAT)
		mode = va_arg(args, mode_t);
	va_end(args);
	return fails(EMFILE) ? -1 : __real_open64(path, flags, mode);
}

int __wrap_asprintf(char **text, const char *format, ...);
int __wrap_asprintf(char **text, const char *format, ...)
{
	va_list args;
	int n;

	if (fails(ENOMEM))
		return -1;
	va_start(args, format);
	n = vasprintf(text, format, args);
	va_end(args);
	return n;
}

/* --- a receiver, a process of its own: its descriptors are not ours */

static pid_t receiver;
static int port;

static void receive(int listener)
{
	static char data[1 << 16];
	int fd;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while ((fd = accept(listener, NULL, NULL)) >= 0) {
		while (recv(fd, data, sizeof(data), 0) > 0)
			;
		close(fd);
	}
	_exit(0);
}

static int begin(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(a);

	(void)state;
	if (bind(fd, (struct sockaddr *)&a, size) || listen(fd, 16) ||
	    getsockname(fd, (struct sockaddr *)&a, &size))
		return -1;
	port = ntohs(a.sin_port);
	receiver = fork();
	if (!receiver)
		receive(fd);
	close(fd);
	return 0;
}

static int end(void **state)
{
	(void)state;
	kill(receiver, SIGKILL);
	waitpid(receiver, NULL, 0);
	print_message("%u failures injected\n", injected);
	return 0;
}

/* --- what is tried */

struct way {
	const char *name, *url;
	struct sgring_tx_options o;
};

/* Eight slots go round three times; the first error. */
static int once(const struct way *way)
{
	struct sgring_tx_options o = way->o;
	struct sgring_slot b;
	struct sgring_tx *t;
	struct sgring *s;
	char url[300];
	int err, e, i;

	err = sgring_open(&s, "sim:pages=4k,fill=0", SGRING_OPTIONS(.slot_bytes = 65536, .slot_count = 8));
	if (err) {
		assert_null(s);
		return err;
	}
	o.size = sizeof(o);
	snprintf(url, sizeof(url), way->url, port);
	err = sgring_tx_open(&t, s, url, &o);
	if (err)
		assert_null(t);
	if (!err)
		err = sgring_start(s);
	for (i = 0; i < 24 && !err; i++) {
		err = sgring_next(s, &b, LONG);
		if (!err)
			err = sgring_tx_send(t, &b);
	}
	if (!err)
		err = sgring_tx_flush(t, LONG);
	e = sgring_close(s);
	return err ? err : e;
}

static unsigned int descriptors(void)
{
	unsigned int n = 0;
	DIR *d = opendir("/proc/self/fd");

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void all_of(const struct way *way)
{
	unsigned int before = injected, fds, n;
	int err;

	err = once(way);
	if (err == -EOPNOTSUPP || err == -EPERM || err == -ENOSYS) {
		print_message("%s left out: %s\n", way->name, sgring_errmsg());
		return;
	}
	if (err)
		fail_msg("%s: %d, %s", way->name, err, sgring_errmsg());
	fds = descriptors();
	for (n = 1; ; n++) {
		countdown = n;
		err = once(way);
		if (countdown) {	/* so many there are not */
			countdown = 0;
			break;
		}
		/* It may have been done without; or it fails, and says why. */
		if (err > 0 || err < -4095 || (err && !strcmp(sgring_errmsg(), "no error")))
			fail_msg("%s, failure %u: %d, %s", way->name, n, err, sgring_errmsg());
		if (descriptors() != fds)
			fail_msg("%s, failure %u: %u descriptors, not %u", way->name, n, descriptors(), fds);
	}
	if (err || once(way))
		fail_msg("%s, afterwards: %s", way->name, sgring_errmsg());
	print_message("%s: %u failures\n", way->name, injected - before);
	assert_true(injected > before);
#ifdef __SANITIZE_ADDRESS__
	assert_int_equal(__lsan_do_recoverable_leak_check(), 0);
#endif
}

static void senders_to_sockets(void **state)
{
	static const struct way ways[] = {
		{ "tcp, chosen", "tcp://127.0.0.1:%d", { .timeout_ms = LONG } },
		{ "tcp, copying", "tcp://127.0.0.1:%d", { .method = SGRING_TX_COPY } },
		{ "tcp, zerocopy", "tcp://127.0.0.1:%d", { .method = SGRING_TX_ZEROCOPY } },
		{ "tcp, io_uring", "tcp://127.0.0.1:%d", { .method = SGRING_TX_URING } },
		{ "tcp, registered", "tcp://127.0.0.1:%d", { .method = SGRING_TX_URING_FIXED } },
		{ "udp, zerocopy", "udp://127.0.0.1:%d", { .method = SGRING_TX_ZEROCOPY } },
		{ "udp, io_uring", "udp://127.0.0.1:%d", { .method = SGRING_TX_URING } },
		{ "udp, raw", "udp://127.0.0.1:%d", { .method = SGRING_TX_URING_FIXED, .flags = SGRING_TX_RAW } },
	};
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		all_of(&ways[i]);
}

static void senders_to_files(void **state)
{
	const char *const data = FOLDER "/alloc.data";
	const struct way ways[] = {
		{ "file, chosen", "file:" FOLDER "/alloc.data", { .flags = SGRING_TX_OVERWRITE } },
		{ "file, pwrite", "file:" FOLDER "/alloc.data",
		  { .flags = SGRING_TX_OVERWRITE, .method = SGRING_TX_DIRECT } },
		{ "file, copying", "file:" FOLDER "/alloc.data",
		  { .flags = SGRING_TX_OVERWRITE, .method = SGRING_TX_COPY } },
		{ "files", "file:" FOLDER "/alloc.data",
		  { .flags = SGRING_TX_OVERWRITE, .rotate_bytes = 3 * 65536 } },
		{ "file, raw", "file:" FOLDER "/alloc.data",
		  { .flags = SGRING_TX_OVERWRITE | SGRING_TX_RAW | SGRING_TX_PAD } },
	};
	unsigned int i;
	char path[300];

	(void)state;
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		all_of(&ways[i]);
	for (i = 2; i < 16; i++) {
		snprintf(path, sizeof(path), FOLDER "/alloc-%04u.data", i);
		unlink(path);
		snprintf(path, sizeof(path), FOLDER "/alloc-%04u.index", i);
		unlink(path);
	}
	unlink(data);
	unlink(FOLDER "/alloc.index");
}

static void observers(void **state)
{
	unsigned int before = injected, fds, n;
	struct sgring *s, *o;
	struct sgring_stats st;
	int err;

	(void)state;
	assert_int_equal(sgring_open(&s, "sim:label=seen", SGRING_OPTIONS(.slot_bytes = 4096)), 0);
	fds = descriptors();
	do {
		n = injected - before + 1;
		countdown = n;
		err = sgring_observe(&o, "sim:label=seen");
		countdown = countdown ? 0 : UINT32_MAX;	/* none was left: it is not 0 */
		if (!err) {
			assert_int_equal(sgring_stats(o, &st), 0);
			sgring_close(o);
		} else {
			assert_null(o);
			assert_true(err < 0 && err > -4096);
		}
		assert_int_equal(descriptors(), fds);
		n = countdown;
		countdown = 0;
	} while (n);
	assert_int_equal(err, 0);
	assert_true(injected > before);
	assert_int_equal(sgring_close(s), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(observers),
		cmocka_unit_test(senders_to_sockets),
		cmocka_unit_test(senders_to_files),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests_name("alloc", tests, begin, end);
}

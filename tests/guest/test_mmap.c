// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * mmap of a stream: what may be mapped how, that the slots are ordinary pages
 * for everyone who takes a user pointer, and what observers see.
 */
#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/loop.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "common.h"

#define PAGE	4096ULL
#define RW	(PROT_READ | PROT_WRITE)

#ifndef SO_EE_ORIGIN_ZEROCOPY
#define SO_EE_ORIGIN_ZEROCOPY 5
#endif

static const struct sgring_setup small = {
	.slot_bytes = 65536,
	.slot_count = 4,
	/* A stream whose returns need no kick. */
	.sq_idle_usec = 60000000,
};

/* ---- faults ---- */

static sigjmp_buf fault_back;

static void fault_handler(int number)
{
	siglongjmp(fault_back, number);
}

static int fault_try(volatile unsigned char *p, bool write)
{
	struct sigaction action = { .sa_handler = fault_handler }, bus, segv;
	int number;

	sigaction(SIGBUS, &action, &bus);
	sigaction(SIGSEGV, &action, &segv);
	number = sigsetjmp(fault_back, 1);
	if (!number) {
		unsigned char byte = *p;

		if (write)
			*p = byte;
	}
	sigaction(SIGBUS, &bus, NULL);
	sigaction(SIGSEGV, &segv, NULL);
	return number;
}

/* The signal an access gives, or 0. */
static int read_of(const void *p)
{
	return fault_try((volatile unsigned char *)(uintptr_t)p, false);
}

static int write_of(const void *p)
{
	return fault_try((volatile unsigned char *)(uintptr_t)p, true);
}

/* The signal an access in a child gives, or 0. */
static int read_in_child_of(const void *p)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		_exit(*(volatile const unsigned char *)p & 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* ---- what may be mapped how ---- */

/* 0 (and unmapped again) or -errno */
static int try_map(int fd, uint64_t offset, uint64_t bytes, int prot, int flags)
{
	void *p = mmap(NULL, bytes, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, bytes);
	return 0;
}

static int try_read(int fd, uint64_t offset, uint64_t bytes)
{
	return try_map(fd, offset, bytes, PROT_READ, MAP_SHARED);
}

struct region {
	uint64_t offset;
	uint64_t bytes;
	int prot;	/* the most it allows the owner */
};

static void regions_of(int fd, struct region *r)
{
	struct sgring_geometry g;

	assert_int_equal(sg_geometry(fd, &g), 0);
	r[0] = (struct region){ g.kernel_offset, g.kernel_bytes, PROT_READ };
	r[1] = (struct region){ g.user_offset, g.user_bytes, RW };
	r[2] = (struct region){ g.data_offset, g.data_bytes, RW };
	r[3] = (struct region){ g.observer_data_offset, g.data_bytes, PROT_READ };
}

/* An observer's slots. */
static unsigned char *map_observed(int fd, const struct stream *s)
{
	const struct sgring_geometry *g = &s->geometry;
	unsigned char *p = region_map(fd, g->observer_data_offset, g->data_bytes, PROT_READ);

	assert_non_null(p);
	return p;
}

static int open_small(struct region *r)
{
	struct sgring_setup setup = small;
	int fd = dev_open("rx0", O_RDWR);

	assert_int_equal(sg_setup(fd, &setup), 0);
	regions_of(fd, r);
	return fd;
}

static void every_region_maps_with_the_protections_it_allows(void **state)
{
	struct region r[4];
	int i, fd = open_small(r);

	(void)state;
	for (i = 0; i < 4; i++) {
		const bool may_write = r[i].prot & PROT_WRITE;

		assert_int_equal(try_read(fd, r[i].offset, r[i].bytes), 0);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, RW, MAP_SHARED),
				 may_write ? 0 : -EACCES);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, PROT_WRITE, MAP_SHARED),
				 may_write ? 0 : -EACCES);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, PROT_READ | PROT_EXEC,
					 MAP_SHARED), -EACCES);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, PROT_READ,
					 MAP_SHARED_VALIDATE), 0);
	}
}

static void wrong_offsets_and_lengths_are_refused(void **state)
{
	struct region r[4];
	int i, fd = open_small(r);

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_int_equal(try_read(fd, r[i].offset + PAGE, r[i].bytes), -EINVAL);
		assert_int_equal(try_read(fd, r[i].offset + PAGE, r[i].bytes - PAGE), -EINVAL);
		assert_int_equal(try_read(fd, r[i].offset, r[i].bytes - PAGE), -EINVAL);
		assert_int_equal(try_read(fd, r[i].offset, r[i].bytes + PAGE), -EINVAL);
		assert_int_equal(try_read(fd, r[i].offset, PAGE),
				 r[i].bytes == PAGE ? 0 : -EINVAL);
	}
	assert_int_equal(try_read(fd, r[2].offset + 65536, 65536), -EINVAL);
	assert_int_equal(try_read(fd, 0x7ffffffff000, PAGE), -EINVAL);
}

static void private_mappings_are_refused(void **state)
{
	struct region r[4];
	int i, fd = open_small(r);

	(void)state;
	for (i = 0; i < 4; i++) {
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, PROT_READ, MAP_PRIVATE),
				 -EINVAL);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, RW, MAP_PRIVATE), -EINVAL);
	}
}

static void nothing_maps_before_a_setup(void **state)
{
	int fd = dev_open("rx0", O_RDWR);

	(void)state;
	assert_int_equal(try_read(fd, 0, PAGE), -EBADFD);
	assert_int_equal(try_map(fd, 0x100000000, PAGE, RW, MAP_SHARED), -EBADFD);
}

static void nothing_maps_after_the_device_is_lost(void **state)
{
	struct region r[4];
	int i, fd = open_small(r);

	(void)state;
	bench_rebind("rx0");
	for (i = 0; i < 4; i++)
		assert_int_equal(try_read(fd, r[i].offset, r[i].bytes), -ENODEV);
}

static void protection_cannot_be_raised_later(void **state)
{
	struct region r[4];
	int i, fd = open_small(r);

	(void)state;
	for (i = 0; i < 4; i++) {
		const bool may_write = r[i].prot & PROT_WRITE;
		void *p = region_map(fd, r[i].offset, r[i].bytes, PROT_READ);

		assert_non_null(p);
		assert_int_equal(mprotect(p, r[i].bytes, RW), may_write ? 0 : -1);
		if (!may_write)
			assert_int_equal(errno, EACCES);
		assert_int_equal(mprotect(p, r[i].bytes, PROT_READ | PROT_EXEC), -1);
		assert_int_equal(errno, EACCES);
		if (!may_write)
			assert_int_equal(write_of(p), SIGSEGV);
	}
}

static void the_owner_maps_each_region_once(void **state)
{
	struct region r[4];
	int i, fd = open_small(r);

	(void)state;
	for (i = 0; i < 3; i++) {
		void *p = region_map(fd, r[i].offset, r[i].bytes, r[i].prot);

		assert_non_null(p);
		assert_int_equal(try_read(fd, r[i].offset, r[i].bytes), -EBUSY);
		assert_int_equal(munmap(p, r[i].bytes), 0);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, r[i].prot, MAP_SHARED), 0);
		/* A mapping that failed does not count. */
		assert_int_equal(try_read(fd, r[i].offset, r[i].bytes + PAGE), -EINVAL);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, r[i].prot, MAP_SHARED), 0);
	}
}

static void mappings_can_be_neither_split_nor_moved_nor_resized(void **state)
{
	struct stream s = stream_open("rx0", &small);
	const uint64_t bytes = s.geometry.data_bytes;
	void *elsewhere = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)state;
	assert_int_equal(munmap(s.data, PAGE), -1);
	assert_int_equal(munmap(s.data + PAGE, PAGE), -1);
	assert_int_equal(mprotect(s.data + PAGE, PAGE, PROT_NONE), -1);
	assert_int_equal(munmap(s.kernel + s.geometry.kernel_bytes - PAGE, PAGE), -1);
	assert_ptr_equal(mremap(s.data, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere),
			 MAP_FAILED);
	assert_ptr_equal(mremap(s.data, bytes, 2 * bytes, MREMAP_MAYMOVE), MAP_FAILED);
	assert_ptr_equal(mremap(s.data, bytes, bytes - PAGE, 0), MAP_FAILED);
	assert_ptr_equal(mremap(s.data, 0, bytes, MREMAP_MAYMOVE), MAP_FAILED);
	assert_ptr_equal(mremap(s.data, bytes, bytes, MREMAP_MAYMOVE | MREMAP_DONTUNMAP),
			 MAP_FAILED);

	/* The refused move has changed nothing: still mapped, and once. */
	assert_int_equal(try_read(s.fd, s.geometry.data_offset, bytes), -EBUSY);
	stream_start(&s);
	stream_run(&s, 10);
}

static void a_child_inherits_no_mapping(void **state)
{
	struct stream s = stream_open("rx0", &small);
	unsigned char *observed;
	int fd = dev_open("rx0", O_RDONLY);

	(void)state;
	observed = map_observed(fd, &s);
	assert_int_equal(read_in_child_of(s.kernel), SIGSEGV);
	assert_int_equal(read_in_child_of(s.user), SIGSEGV);
	assert_int_equal(read_in_child_of(s.data), SIGSEGV);
	assert_int_equal(read_in_child_of(observed), SIGSEGV);
	assert_int_equal(read_of(s.data), 0);
}

static void a_mapping_forked_on_purpose_still_counts_as_the_owners(void **state)
{
	struct stream s = stream_open("rx0", &small);

	(void)state;
	if (madvise(s.data, s.geometry.data_bytes, MADV_DOFORK))
		return;
	/* The child has gone again, its copy of the mapping with it. */
	read_in_child_of(s.data);
	assert_int_equal(try_read(s.fd, s.geometry.data_offset, s.geometry.data_bytes), -EBUSY);
	stream_start(&s);
	stream_run(&s, 10);
}

static void what_was_zapped_gives_sigbus_and_the_stream_goes_on(void **state)
{
	struct stream s = stream_open("rx0", &small);
	struct sgring_cqe e;
	int i;

	(void)state;
	/* Of the slots, all but the first. */
	assert_int_equal(madvise(s.data + 65536, 3 * 65536, MADV_DONTNEED), 0);
	assert_int_equal(read_of(s.data), 0);
	assert_int_equal(write_of(s.data), 0);
	assert_int_equal(read_of(s.data + 65536), SIGBUS);
	assert_int_equal(write_of(s.data + s.geometry.data_bytes - 1), SIGBUS);

	stream_start(&s);
	for (i = 0; i < 12; i++) {
		e = stream_next(&s);
		assert_int_equal(e.status, 0);
		if (!e.slot)
			assert_true(stream_data_right(&s, &e));
		stream_return(&s, e.slot, 0);
	}
	stream_stop(&s);
	munmap(s.data, s.geometry.data_bytes);
	s.data = region_map(s.fd, s.geometry.data_offset, s.geometry.data_bytes, RW);
	assert_non_null(s.data);
	assert_int_equal(read_of(s.data + 65536), 0);

	assert_int_equal(madvise(s.kernel, s.geometry.kernel_bytes, MADV_DONTNEED), 0);
	assert_int_equal(madvise(s.user, s.geometry.user_bytes, MADV_DONTNEED), 0);
	assert_int_equal(read_of(s.kernel), SIGBUS);
	assert_int_equal(write_of(s.user), SIGBUS);
}

static void advice_of_any_kind_harms_nothing(void **state)
{
	struct stream s = stream_open("rx0", &small);
	int advice;

	(void)state;
	stream_start(&s);
	for (advice = 0; advice <= 25; advice++) {
		if (advice == MADV_DONTNEED || advice == 24 /* the same, locked */)
			continue;
		madvise(s.data, s.geometry.data_bytes, advice);
		madvise(s.kernel, s.geometry.kernel_bytes, advice);
		madvise(s.user, s.geometry.user_bytes, advice);
		stream_run(&s, 2);
	}
}

static void the_mapping_keeps_the_stream_after_close(void **state)
{
	struct stream s = stream_open("rx0", &small);
	int fd = dev_open("rx0", O_RDONLY);

	(void)state;
	stream_start(&s);
	stream_run(&s, 4);
	close(s.fd);
	s.fd = -1;
	stream_run(&s, 40);
	assert_int_equal(query_of(fd).state, SGRING_STATE_RUNNING);
	stream_unmap(&s);
	assert_true(WAIT_FOR(query_of(fd).state == SGRING_STATE_IDLE, LONG_MS));
}

/* ---- the slots are ordinary pages ---- */

/* The bytes of an entry, wherever they were copied to. */
static void bytes_right(const struct stream *s, const struct sgring_cqe *e, const void *bytes)
{
	assert_int_equal(sgring_pattern_verify(bytes, e->length_bytes, s->key, e->position_bytes),
			 e->length_bytes);
}

/* A filled slot, and its bytes as they should be. */
static struct sgring_cqe fill_one(struct stream *s, const struct sgring_setup *setup)
{
	struct sgring_cqe e;

	*s = stream_open("rx0", setup);
	stream_start(s);
	e = stream_expect(s);
	assert_int_equal(e.length_bytes, s->setup.slot_bytes);
	return e;
}

static void socket_pair(int *from, int *to)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof(address);
	int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (void *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (void *)&address, &length), 0);
	*from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*from, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)), 0);
	assert_int_equal(connect(*from, (void *)&address, sizeof(address)), 0);
	*to = accept(listener, NULL, NULL);
	assert_true(*to >= 0);
	close(listener);
}

/* One zerocopy completion has come. */
static bool zerocopy_completed(int fd)
{
	char control[128];
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c;

	if (recvmsg(fd, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
		if (((struct sock_extended_err *)CMSG_DATA(c))->ee_origin == SO_EE_ORIGIN_ZEROCOPY)
			return true;
	return false;
}

static void slots_are_sent_by_msg_zerocopy(void **state)
{
	struct stream s;
	struct sgring_cqe e = fill_one(&s, &small);
	unsigned char *copy = malloc(e.length_bytes);
	size_t sent = 0, received = 0;
	int from, to, sends = 0;

	(void)state;
	socket_pair(&from, &to);
	while (received < e.length_bytes) {
		ssize_t n = 0;

		if (sent < e.length_bytes) {
			n = send(from, slot_data(&s, e.slot) + sent, e.length_bytes - sent,
				 MSG_ZEROCOPY | MSG_DONTWAIT);
			if (n < 0 && errno != EAGAIN && errno != ENOBUFS)
				fail_msg("MSG_ZEROCOPY: %s", strerror(errno));
			if (n > 0) {
				sent += n;
				sends++;
			}
		}
		n = recv(to, copy + received, e.length_bytes - received, MSG_DONTWAIT);
		if (n > 0)
			received += n;
	}
	bytes_right(&s, &e, copy);
	assert_true(sends > 0);
	assert_true(WAIT_FOR(zerocopy_completed(from), LONG_MS));
	free(copy);
}

static void slots_mapped_read_only_are_sent_by_msg_zerocopy(void **state)
{
	struct stream s = stream_open("rx0", &small);
	unsigned char byte;
	int from, to;

	(void)state;
	munmap(s.data, s.geometry.data_bytes);
	s.data = region_map(s.fd, s.geometry.data_offset, s.geometry.data_bytes, PROT_READ);
	assert_non_null(s.data);
	socket_pair(&from, &to);
	assert_true(send(from, s.data, 65536, MSG_ZEROCOPY | MSG_DONTWAIT) > 0);
	assert_int_equal(recv(to, &byte, 1, 0), 1);
	assert_int_equal(byte, 0);
}

/* A block device whose backing is a file in memory. */
static int loop_open(int backing)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, fd;
	char path[32];

	if (control < 0)
		return -1;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, LOOP_SET_FD, backing)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void slots_are_written_to_a_block_device_by_o_direct(void **state)
{
	struct stream s;
	struct sgring_cqe e = fill_one(&s, &small);
	unsigned char *copy = malloc(e.length_bytes);
	int backing = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), fd;

	(void)state;
	assert_int_equal(ftruncate(backing, MIB), 0);
	fd = loop_open(backing);
	if (fd < 0)
		skip();
	assert_int_equal(pwrite(fd, slot_data(&s, e.slot), e.length_bytes, 8192), e.length_bytes);
	assert_int_equal(pread(backing, copy, e.length_bytes, 8192), e.length_bytes);
	bytes_right(&s, &e, copy);
	/* And into one: playback will do that, and it wants the pages writable. */
	assert_int_equal(pread(fd, slot_data(&s, e.slot), 4096, 0), 4096);
	assert_int_equal(slot_data(&s, e.slot)[0], 0);
	ioctl(fd, LOOP_CLR_FD, 0);
	free(copy);
}

static void slots_go_into_a_pipe_by_vmsplice(void **state)
{
	struct stream s;
	struct sgring_cqe e = fill_one(&s, &small);
	struct iovec iov = { slot_data(&s, e.slot) + 100, 8000 };
	unsigned char copy[8000];
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(vmsplice(ends[1], &iov, 1, 0), 8000);
	assert_int_equal(read(ends[0], copy, 8000), 8000);
	assert_int_equal(sgring_pattern_verify(copy, 8000, s.key, e.position_bytes + 100), 8000);
}

static void another_process_reads_slots_by_process_vm_readv(void **state)
{
	struct stream s;
	struct sgring_cqe e = fill_one(&s, &small);
	unsigned char copy[8000];
	struct iovec to = { copy, sizeof(copy) };
	struct iovec from = { slot_data(&s, e.slot) + 4000, sizeof(copy) };
	int status;
	pid_t pid;

	(void)state;
	if (process_vm_readv(getpid(), &to, 1, &to, 1, 0) < 0 && errno == ENOSYS)
		skip();
	pid = fork();
	if (!pid)
		_exit(process_vm_readv(getppid(), &to, 1, &from, 1, 0) != sizeof(copy) ||
		      sgring_pattern_verify(copy, sizeof(copy), s.key, e.position_bytes + 4000) !=
		      sizeof(copy));
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

/* ---- observers ---- */

static void an_observer_sees_what_the_owner_sees(void **state)
{
	struct stream s;
	struct sgring_cqe e = fill_one(&s, &small);
	int fd = dev_open("rx0", O_RDONLY);
	struct region r[4];
	const struct sgring_kernel_side *k;
	const unsigned char *data, *kernel, *user;
	const struct sgring_slot_info *info;
	const struct sgring_user_side *u;
	const struct sgring_sqe *sqe;

	(void)state;
	regions_of(fd, r);
	kernel = region_map(fd, r[0].offset, r[0].bytes, PROT_READ);
	data = region_map(fd, r[3].offset, r[3].bytes, PROT_READ);
	assert_non_null(kernel);
	assert_non_null(data);
	k = (const void *)(kernel + s.geometry.kernel_side);
	assert_true(k->cq_producer >= 1);
	assert_int_equal(k->state, SGRING_STATE_RUNNING);
	info = (const void *)(kernel + s.geometry.table_offset + e.slot * s.geometry.table_stride);
	assert_int_equal(info->state, SGRING_SLOT_APP);
	assert_int_equal(info->sequence, e.sequence);
	assert_int_equal(info->position_bytes, e.position_bytes);
	/* What the application does, too. */
	user = region_map(fd, r[1].offset, r[1].bytes, PROT_READ);
	assert_non_null(user);
	u = (const void *)(user + s.geometry.user_side);
	assert_int_equal(u->cq_consumer, user_side(&s)->cq_consumer);
	stream_return(&s, e.slot, 0x1234567890);
	assert_int_equal(u->sq_producer, 1);
	sqe = (const void *)(user + s.geometry.sq_offset);
	assert_int_equal(sqe->slot, e.slot);
	assert_int_equal(sqe->cookie, 0x1234567890);
	e = stream_next(&s);
	bytes_right(&s, &e, data + e.slot * s.geometry.stride_bytes);
	/* Every page of it. */
	assert_memory_equal(data + e.slot * s.geometry.stride_bytes, slot_data(&s, e.slot), 65536);
}

static void an_observer_can_change_nothing(void **state)
{
	struct sgring_setup setup = small;
	struct stream s = stream_open("rx0", &small);
	struct region r[4];
	int i, fd = dev_open("rx0", O_RDWR);
	void *user;

	(void)state;
	regions_of(fd, r);
	assert_int_equal(sg_setup(fd, &setup), -EBUSY);
	assert_int_equal(sg_start(fd), -EPERM);
	assert_int_equal(sg_kick(fd), -EPERM);
	assert_int_equal(sg_abort(fd), -EPERM);
	for (i = 0; i < 4; i++) {
		const bool owners = i == 1 || i == 2;

		/* The user side may be read by all; the slots have another offset for that. */
		assert_int_equal(try_read(fd, r[i].offset, r[i].bytes), i == 2 ? -EPERM : 0);
		assert_int_equal(try_map(fd, r[i].offset, r[i].bytes, RW, MAP_SHARED),
				 owners ? -EPERM : -EACCES);
	}
	/* Nor later on. */
	user = region_map(fd, r[1].offset, r[1].bytes, PROT_READ);
	assert_non_null(user);
	assert_int_equal(mprotect(user, r[1].bytes, RW), -1);
	assert_int_equal(errno, EACCES);
	assert_int_equal(write_of(user), SIGSEGV);
	stream_start(&s);
	stream_run(&s, 10);
}

static void many_observers_may_look_and_more_than_once(void **state)
{
	struct stream s = stream_open("rx0", &small);
	struct region r[4];
	int i, fd[4];

	(void)state;
	regions_of(s.fd, r);
	for (i = 0; i < 4; i++) {
		fd[i] = dev_open("rx0", O_RDONLY);
		assert_non_null(region_map(fd[i], r[0].offset, r[0].bytes, PROT_READ));
		assert_int_equal(read_of(region_map(fd[i], r[1].offset, r[1].bytes, PROT_READ)), 0);
		assert_int_equal(read_of(region_map(fd[i], r[3].offset, r[3].bytes, PROT_READ)), 0);
		assert_int_equal(read_of(region_map(fd[i], r[3].offset, r[3].bytes, PROT_READ)), 0);
	}
	/* The owner too. */
	assert_int_equal(read_of(region_map(s.fd, r[3].offset, r[3].bytes, PROT_READ)), 0);
}

/* The frame behind an address, and how often it is mapped. */
static uint64_t frame_of(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	assert_int_equal(pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8), 8);
	close(fd);
	return entry >> 63 ? entry & ((1ULL << 55) - 1) : 0;
}

static uint64_t mapcount_of(uint64_t frame)
{
	int fd = open("/proc/kpagecount", O_RDONLY | O_CLOEXEC);
	uint64_t count = 0;

	assert_int_equal(pread(fd, &count, 8, frame * 8), 8);
	close(fd);
	return count;
}

static void an_observer_takes_no_references(void **state)
{
	struct stream s = stream_open("rx0", &small);
	int fd = dev_open("rx0", O_RDONLY);
	uint64_t frame, count, total, memory;
	unsigned char *data;

	(void)state;
	assert_int_equal(read_of(s.data), 0);
	frame = frame_of(s.data);
	assert_true(frame);
	count = mapcount_of(frame);
	data = map_observed(fd, &s);
	assert_int_equal(read_of(data), 0);
	assert_int_equal(mapcount_of(frame), count);

	/* All memory goes at close, though the observer had it mapped: nobody held it. */
	total = query_of(fd).total_bytes;
	memory = stats_of(fd).memory_bytes;
	stream_close(&s);
	assert_int_equal(query_of(fd).total_bytes, total - memory);
	assert_int_equal(stats_of(fd).held_bytes, 0);
}

static void an_observers_pages_cannot_be_lent_on(void **state)
{
	struct stream s = stream_open("rx0", &small);
	int fd = dev_open("rx0", O_RDONLY), from, to, ends[2];
	unsigned char *data = map_observed(fd, &s);
	struct iovec iov = { data, 4096 };

	(void)state;
	assert_int_equal(read_of(data), 0);
	socket_pair(&from, &to);
	assert_int_equal(send(from, data, 65536, MSG_ZEROCOPY | MSG_DONTWAIT), -1);
	assert_int_equal(errno, EFAULT);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(vmsplice(ends[1], &iov, 1, 0), -1);
	assert_int_equal(errno, EFAULT);
	/* A copy is what an observer can send. */
	assert_int_equal(write(ends[1], data, 4096), 4096);
}

static void an_observers_slots_are_gone_when_the_owner_closes(void **state)
{
	struct stream s = stream_open("rx0", &small);
	int fd = dev_open("rx0", O_RDONLY);
	unsigned char *kernel = region_map(fd, 0, s.geometry.kernel_bytes, PROT_READ);
	unsigned char *data = map_observed(fd, &s);

	(void)state;
	assert_int_equal(read_of(data), 0);
	stream_close(&s);
	assert_int_equal(read_of(data), SIGBUS);	/* was there */
	assert_int_equal(read_of(data + 65536), SIGBUS);	/* was not yet */
	assert_int_equal(read_of(kernel), 0);
	assert_int_equal(try_read(fd, s.geometry.observer_data_offset, s.geometry.data_bytes), -EBADFD);
}

static void an_observers_mapping_shows_no_other_setup(void **state)
{
	const struct sgring_setup less = { .slot_bytes = 100, .slot_count = 2 };
	struct stream s = stream_open("rx0", &small);
	int fd = dev_open("rx0", O_RDONLY), i;
	const int pages = s.geometry.data_bytes / PAGE;
	unsigned char *old = map_observed(fd, &s);

	(void)state;
	assert_int_equal(read_of(old), 0);
	stream_close(&s);
	s = stream_open("rx0", &less);
	for (i = 0; i < pages; i++)
		assert_int_equal(read_of(old + i * PAGE), SIGBUS);
	assert_int_equal(read_of(map_observed(fd, &s)), 0);
	/* Nor one just like its own. */
	stream_close(&s);
	s = stream_open("rx0", &small);
	assert_int_equal(read_of(old), SIGBUS);
	assert_int_equal(read_of(map_observed(fd, &s) + (pages - 1) * PAGE), 0);
}

GROUP(
	TEST(every_region_maps_with_the_protections_it_allows),
	TEST(wrong_offsets_and_lengths_are_refused),
	TEST(private_mappings_are_refused),
	TEST(nothing_maps_before_a_setup),
	TEST(nothing_maps_after_the_device_is_lost),
	TEST(protection_cannot_be_raised_later),
	TEST(the_owner_maps_each_region_once),
	TEST(mappings_can_be_neither_split_nor_moved_nor_resized),
	TEST(a_child_inherits_no_mapping),
	TEST(a_mapping_forked_on_purpose_still_counts_as_the_owners),
	TEST(what_was_zapped_gives_sigbus_and_the_stream_goes_on),
	TEST(advice_of_any_kind_harms_nothing),
	TEST(the_mapping_keeps_the_stream_after_close),
	TEST(slots_are_sent_by_msg_zerocopy),
	TEST(slots_mapped_read_only_are_sent_by_msg_zerocopy),
	TEST(slots_are_written_to_a_block_device_by_o_direct),
	TEST(slots_go_into_a_pipe_by_vmsplice),
	TEST(another_process_reads_slots_by_process_vm_readv),
	TEST(an_observer_sees_what_the_owner_sees),
	TEST(an_observer_can_change_nothing),
	TEST(many_observers_may_look_and_more_than_once),
	TEST(an_observer_takes_no_references),
	TEST(an_observers_pages_cannot_be_lent_on),
	TEST(an_observers_slots_are_gone_when_the_owner_closes),
	TEST(an_observers_mapping_shows_no_other_setup))

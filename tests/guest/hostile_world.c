// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Hostile programs: all that a kernel offers to whoever has a descriptor and a mapping, and the
 * dummy's knobs. See hostile_attacker.h.
 */
#include <linux/io_uring.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "hostile_attacker.h"

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY	60
#endif
#ifndef MSG_ZEROCOPY
#define MSG_ZEROCOPY	0x4000000
#endif

#define BENCH		"/sys/kernel/debug/sgring-dummy"
#define PARAMETERS	"/sys/module/sgring/parameters"
#define DISK_BYTES	(64U << 20)

/* Of this process; none is closed before its end. */
static struct {
	int pipe[2];
	int udp;
	int disk;
	int memory;		/* /proc/self/mem */
	int epoll;
	int mail;		/* where others send descriptors to */
	int faults;		/* userfaultfd */
	unsigned char *faulting;	/* two pages for each thread, and what is to be in them */
	unsigned char *filled;
	unsigned int busy;	/* the ring is */
	int ring;
	unsigned char *rings;
	unsigned char *entries;
	struct io_uring_params params;
} world;

#define RING_ENTRIES	32	/* so that each part is a page */

static bool has(unsigned int place)
{
	return __atomic_load_n(&p->mapped[place], __ATOMIC_ACQUIRE);
}

/* A piece of a slot, on a page, that may be read. */
static unsigned char *some_data(uint32_t *bytes)
{
	uint32_t pages = __atomic_load_n(&p->mapped[AT_DATA], __ATOMIC_ACQUIRE) / PAGE, from;

	if (!pages)
		return NULL;
	from = below(pages);
	pages -= from;
	*bytes = PAGE * (1 + below(pages > 16 ? 16 : pages));
	return p->place[AT_DATA] + from * PAGE;
}

/* ---- once ---- */

static void mail_name(struct sockaddr_un *name, socklen_t *length, unsigned int number)
{
	*name = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*length = offsetof(struct sockaddr_un, sun_path) + 1 +
		  snprintf(name->sun_path + 1, 20, "hostile%u", number);
}

/* It wants to be where the kernel likes; so before there are holes, and once. */
static void ring_begin(void)
{
	world.ring = syscall(SYS_io_uring_setup, RING_ENTRIES, &world.params);
	if (world.ring < 0)
		return;
	world.rings = mmap(NULL, PAGE, RW, MAP_SHARED, world.ring, IORING_OFF_SQ_RING);
	world.entries = mmap(NULL, PAGE, RW, MAP_SHARED, world.ring, IORING_OFF_SQES);
	if (world.rings == MAP_FAILED || world.entries == MAP_FAILED) {
		close(world.ring);
		world.ring = -1;
	}
}

static void *anonymous(size_t bytes)
{
	return mmap(NULL, bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void faults_begin(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	size_t bytes = 2 * PAGE * HOSTILE_THREADS_MAX;

	world.faulting = anonymous(bytes);
	world.filled = anonymous(bytes);
	world.faults = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	range.range.start = (uintptr_t)world.faulting;
	range.range.len = bytes;
	if (world.faults >= 0 && (ioctl(world.faults, UFFDIO_API, &api) ||
				  ioctl(world.faults, UFFDIO_REGISTER, &range))) {
		close(world.faults);
		world.faults = -1;
	}
}

void world_begin(void)
{
	const char *left = getenv("LEFT"), *disk = getenv("RAW_DISK");
	struct sockaddr_un name;
	socklen_t length;
	int one = 1, net = left ? open(left, O_RDONLY | O_CLOEXEC) : -1;

	/* A wire over which datagrams go without a copy. */
	if (net >= 0) {
		setns(net, CLONE_NEWNET);
		close(net);
	}
	if (pipe2(world.pipe, O_NONBLOCK | O_CLOEXEC))
		complain("no pipe");
	world.udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(world.udp, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one));
	world.disk = disk ? open(disk, O_RDWR | O_DIRECT | O_CLOEXEC) : -1;
	world.memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	world.epoll = epoll_create1(EPOLL_CLOEXEC);
	world.mail = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mail_name(&name, &length, p->number);
	bind(world.mail, (void *)&name, length);
	ring_begin();
	faults_begin();
}

/* Pages that a thread waits for, in the kernel, come late. */
void world_tend(void)
{
	struct uffd_msg message;

	while (world.faults >= 0 && read(world.faults, &message, sizeof(message)) > 0) {
		struct uffdio_copy copy = { .len = PAGE };

		if (message.event != UFFD_EVENT_PAGEFAULT)
			continue;
		copy.dst = message.arg.pagefault.address & ~(uint64_t)(PAGE - 1);
		copy.src = copy.dst - (uintptr_t)world.faulting + (uintptr_t)world.filled;
		ioctl(world.faults, UFFDIO_COPY, &copy);
	}
}

/* Who would wait for a page would wait for ever. */
void world_plain(void)
{
	if (world.faults >= 0)
		close(world.faults);
	world.faults = -1;
}

static int mail_receive(void)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
	char byte;
	struct iovec vector = { &byte, 1 };
	struct msghdr m = {
		.msg_iov = &vector, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd = -1;

	if (CALL(scm_receive, recvmsg(world.mail, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT)) < 0)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void pipe_drain(void)
{
	uint32_t tries = 8;
	long n;

	do {
		n = CALL(pipe_drain, read(world.pipe[0], me->scratch, SCRATCH_BYTES / 2));
		/* Slots as they were when they were read just now. */
		if (n > 0)
			words_are_ours(me->scratch, n, 16);
	} while (n > 0 && --tries);
}

/* ---- waiting ---- */

void op_wait(void)
{
	int fd = some_fd(), ms = one_in(10) ? 5 : 0;
	struct pollfd q = { .fd = fd, .events = chance() };
	struct epoll_event event = { .events = EPOLLIN | (one_in(2) ? EPOLLET : 0) };
	struct epoll_event events[4];
	struct timeval t = { .tv_usec = ms * 1000 };
	fd_set set;

	switch (below(6)) {
	case 0:
	case 1:
	case 2:
		CALL(poll, poll(&q, 1, ms));
		break;
	case 3:
		if (fd < 0 || fd >= FD_SETSIZE)
			break;
		FD_ZERO(&set);
		FD_SET(fd, &set);
		CALL(select, select(fd + 1, &set, one_in(2) ? &set : NULL, NULL, &t));
		break;
	case 4:
		CALL(epoll_add, epoll_ctl(world.epoll, 1 + below(3), fd, &event));
		break;
	default:
		CALL(epoll_wait, epoll_wait(world.epoll, events, 4, ms));
	}
}

/* ---- calls a stream has nothing to do with ---- */

void op_other(void)
{
	struct iovec vector[2] = { { me->scratch, 64 }, { me->wild, 64 } };
	int fd = some_fd(), value = 0;
	loff_t offset = odd_number();

	switch (below(18)) {
	case 0:
		CALL(other_call, lseek(fd, offset, below(5)));
		break;
	case 1:
		CALL(other_call, fsync(fd));
		break;
	case 2:
		CALL(other_call, fallocate(fd, below(8), 0, PAGE));
		break;
	case 3:
		CALL(other_call, splice(fd, NULL, world.pipe[1], NULL, PAGE, SPLICE_F_NONBLOCK));
		break;
	case 4:
		CALL(other_call, sendfile(world.udp, fd, NULL, PAGE));
		break;
	case 5:
		CALL(other_call, pread(fd, me->scratch, 64, 0));
		break;
	case 6:
		CALL(other_call, flock(fd, LOCK_NB | 1 << below(4)));
		break;
	case 7:
		CALL(other_call, copy_file_range(fd, NULL, world.disk, NULL, PAGE, 0));
		break;
	case 8:
		CALL(other_call, ioctl(fd, one_in(2) ? 0x541B /* FIONREAD */ : 0x5452 /* FIOASYNC */,
				       &value));
		break;
	case 9:
		CALL(other_call, readahead(fd, 0, PAGE));
		break;
	case 10:
		CALL(other_call, posix_fadvise(fd, 0, PAGE, below(6)));
		break;
	case 11:
		/* The kernel's own: a reader, by another way. */
		CALL(other_call, readv(fd, vector, 2));
		break;
	case 12:
		CALL(fcntl, fcntl(fd, F_SETFL, O_NONBLOCK | (one_in(2) ? O_ASYNC : 0) |
				  (one_in(4) ? O_DIRECT : 0) | (one_in(4) ? O_APPEND : 0)));
		break;
	case 13:
		CALL(fcntl, fcntl(fd, F_SETOWN, getpid()));
		break;
	case 14:
		CALL(fcntl, fcntl(fd, F_SETLEASE, below(3)));
		break;
	case 15:
		CALL(fcntl, fcntl(fd, F_GETFL));
		break;
	default:
		/* Nobody else knows this descriptor. */
		fd = CALL(open, open(p->path, O_RDWR | O_CLOEXEC));
		CALL(write, one_in(2) ? write(fd, "nothing", 7) : writev(fd, vector, 2));
		if (fd >= 0)
			CALL(close, close(fd));
	}
}

/* ---- who holds pages ---- */

static void zerocopy(void *from, uint32_t bytes)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(9),
		.sin_addr.s_addr = htonl(getenv("LEFT") ? 0x0a4d0002 : INADDR_LOOPBACK),
	};
	char control[200] __attribute__((aligned(8)));
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };

	CALL(zerocopy, sendto(world.udp, from, bytes > 32000 ? 32000 : bytes,
			      MSG_ZEROCOPY | MSG_DONTWAIT, (void *)&to, sizeof(to)));
	CALL(zerocopy_tell, recvmsg(world.udp, &m, MSG_ERRQUEUE | MSG_DONTWAIT));
}

void op_send(void)
{
	struct iovec vector;
	uint32_t bytes;
	unsigned char *from = some_data(&bytes);

	if (one_in(3))
		pipe_drain();
	if (!from)
		return;
	switch (below(4)) {
	case 0:
		zerocopy(from, bytes);
		break;
	case 1:
		if (world.disk < 0)
			break;
		CALL(direct_write, pwrite(world.disk, from, bytes,
					  (off_t)below(DISK_BYTES / PAGE) * PAGE));
		break;
	default:
		vector = (struct iovec){ from, bytes };
		CALL(vmsplice, vmsplice(world.pipe[1], &vector, 1,
					SPLICE_F_NONBLOCK | (one_in(3) ? SPLICE_F_GIFT : 0)));
	}
}

/* ---- io_uring ---- */

#define RING_WORD(offset)	((uint32_t *)(void *)(world.rings + (offset)))

static void uring_reap(void)
{
	uint32_t head = *RING_WORD(world.params.cq_off.head);
	uint32_t tail = __atomic_load_n(RING_WORD(world.params.cq_off.tail), __ATOMIC_ACQUIRE);

	begin(K_uring_reap);
	__atomic_store_n(RING_WORD(world.params.cq_off.head), tail, __ATOMIC_RELEASE);
	end(K_uring_reap, head != tail, 0);
}

static void uring_entry(struct io_uring_sqe *e)
{
	uint32_t bytes = PAGE;
	unsigned char *data = some_data(&bytes) ?: p->place[AT_DATA];
	int fd = some_fd();

	*e = (struct io_uring_sqe){ .fd = fd, .user_data = below(8) };
	switch (below(10)) {
	case 0:
	case 1:
		e->opcode = IORING_OP_POLL_ADD;
		e->poll32_events = POLLIN;
		e->len = one_in(2) ? IORING_POLL_ADD_MULTI : 0;
		break;
	case 2:
		e->opcode = IORING_OP_POLL_REMOVE;
		e->addr = below(8);
		e->fd = -1;
		break;
	case 3:
		e->opcode = IORING_OP_READ;
		e->addr = (uintptr_t)me->scratch + SCRATCH_BYTES / 2;
		e->len = 512;
		break;
	case 4:
		e->opcode = IORING_OP_WRITE;
		e->fd = world.pipe[1];
		e->addr = (uintptr_t)data;
		e->len = bytes;
		break;
	case 5:
		e->opcode = 46; /* IORING_OP_URING_CMD */
		e->off = below(16);
		break;
	case 6:
		e->opcode = IORING_OP_FSYNC;
		break;
	case 7:
		e->opcode = IORING_OP_WRITE;
		e->fd = world.disk;
		e->addr = (uintptr_t)data;
		e->len = bytes;
		e->off = below(DISK_BYTES / PAGE) * PAGE;
		break;
	case 8:
		e->opcode = IORING_OP_CLOSE;
		e->fd = fd_take(FD_DUP);
		break;
	default:
		e->opcode = IORING_OP_READ_FIXED;
		e->addr = (uintptr_t)data;
		e->len = 64;
	}
	if (one_in(6))
		e->flags |= IOSQE_ASYNC;
}

static bool uring_take(void)
{
	return world.ring >= 0 && !__atomic_exchange_n(&world.busy, 1, __ATOMIC_ACQUIRE);
}

static void uring_let_go(void)
{
	__atomic_store_n(&world.busy, 0, __ATOMIC_RELEASE);
}

static void uring_submit(const struct io_uring_sqe *e)
{
	uint32_t mask = *RING_WORD(world.params.sq_off.ring_mask);
	uint32_t tail = *RING_WORD(world.params.sq_off.tail);

	((struct io_uring_sqe *)(void *)world.entries)[tail & mask] = *e;
	RING_WORD(world.params.sq_off.array)[tail & mask] = tail & mask;
	__atomic_store_n(RING_WORD(world.params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	CALL(uring_submit, syscall(SYS_io_uring_enter, world.ring, 1, 0, IORING_ENTER_GETEVENTS,
				   NULL, 0));
	uring_reap();
}

void op_uring(void)
{
	struct iovec vector = { p->place[AT_DATA], p->mapped[AT_DATA] };
	struct io_uring_sqe e;
	int fd = p->fd[FD_MAIN];

	if (!uring_take())
		return;
	switch (below(8)) {
	case 0:
		CALL(uring_register, syscall(SYS_io_uring_register, world.ring,
					     IORING_REGISTER_BUFFERS, &vector, 1));
		break;
	case 1:
		CALL(uring_register, syscall(SYS_io_uring_register, world.ring,
					     IORING_UNREGISTER_BUFFERS, NULL, 0));
		break;
	case 2:
		CALL(uring_register, syscall(SYS_io_uring_register, world.ring, one_in(2) ?
					     IORING_REGISTER_FILES : IORING_UNREGISTER_FILES,
					     &fd, one_in(2)));
		break;
	default:
		uring_entry(&e);
		uring_submit(&e);
	}
	uring_let_go();
}

/* What holds the stream beside descriptors and mappings. */
void world_reset(void)
{
	struct io_uring_sqe e = {
		.opcode = IORING_OP_ASYNC_CANCEL,
		.cancel_flags = 1 | 4, /* IORING_ASYNC_CANCEL_ALL, _ANY: from 5.19 on */
	};
	int fd;

	pipe_drain();
	while ((fd = mail_receive()) >= 0)
		CALL(close, close(fd));
	if (!uring_take())
		return;
	uring_submit(&e);
	CALL(uring_register, syscall(SYS_io_uring_register, world.ring,
				     IORING_UNREGISTER_BUFFERS, NULL, 0));
	CALL(uring_register, syscall(SYS_io_uring_register, world.ring,
				     IORING_UNREGISTER_FILES, NULL, 0));
	uring_let_go();
}

/* ---- descriptors travel ---- */

void op_pass(void)
{
	char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {};
	struct iovec vector = { "x", 1 };
	struct sockaddr_un name;
	struct msghdr m = {
		.msg_name = &name,
		.msg_iov = &vector, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	socklen_t length;
	int fd;

	if (one_in(2))
		fd_keep(FD_GUEST, -1);
	if (one_in(3)) {
		fd = some_fd();
		mail_name(&name, &length, p->shared->alone ? p->number : below(HOSTILE_PROCESSES));
		m.msg_namelen = length;
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
		CALL(scm_send, sendmsg(world.mail, &m, MSG_DONTWAIT));
		return;
	}
	while ((fd = mail_receive()) >= 0)
		fd_keep(FD_GUEST, fd);
}

/* ---- memory, by other ways ---- */

/* Through /proc/PID/mem: how a debugger reads, and writes where nobody may. */
static long by_file(int fd, uint64_t at, uint32_t bytes, bool store)
{
	return store ? pwrite(fd, me->scratch, bytes, at) : pread(fd, me->scratch, bytes, at);
}

static long by_call(pid_t pid, void *at, uint32_t bytes, bool store)
{
	struct iovec local = { me->scratch, bytes }, remote = { at, bytes };

	return store ? process_vm_writev(pid, &local, 1, &remote, 1, 0) :
		       process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

void op_memory(void)
{
	unsigned int place = below(PLACES), i;
	uint32_t bytes = 8 * (1 + below(600));
	unsigned char *at = p->place[place] + 8 * below(2000);
	uint64_t *words = (uint64_t *)(void *)me->scratch;
	struct uffdio_register range = { .mode = 1 << below(2) };
	pid_t other = p->shared->pids[below(HOSTILE_PROCESSES)];
	char path[40];
	int fd;

	for (i = 0; i < bytes / 8; i++)
		words[i] = HOSTILE_MARK | (uint32_t)chance();
	switch (below(6)) {
	case 0:
		if (place == AT_USER || place == AT_DATA)
			CALL(memory_write, by_file(world.memory, (uintptr_t)at, bytes, true));
		else
			CALL(write_by_force, by_file(world.memory, (uintptr_t)at, bytes, true));
		break;
	case 1:
		if (place == AT_USER || place == AT_DATA)
			CALL(memory_write, by_call(getpid(), at, bytes, true));
		else
			CALL(write_by_force, by_call(getpid(), at, bytes, true));
		break;
	case 2:
		CALL(memory_read, by_call(other && !p->shared->alone ? other : getpid(), at, bytes,
					  false));
		break;
	case 3:
		CALL(memory_read, by_file(world.memory, (uintptr_t)at, bytes, false));
		break;
	case 4:
		snprintf(path, sizeof(path), "/proc/%d/mem", p->shared->alone ? getpid() : other);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			break;
		CALL(memory_read, by_file(fd, (uintptr_t)at, bytes, false));
		close(fd);
		break;
	default:
		if (world.faults < 0 || !has(place))
			break;
		range.range.start = (uintptr_t)p->place[place];
		range.range.len = p->mapped[place];
		CALL(userfault_register, ioctl(world.faults, UFFDIO_REGISTER, &range));
	}
}

/* ---- an ioctl whose argument is not there yet ---- */

void op_faulting(void)
{
	static const unsigned long requests[] = {
		SGRING_QUERY, SGRING_GEOMETRY, SGRING_STATS, SGRING_LAYOUT, SGRING_TUNE, SGRING_SETUP,
	};
	unsigned long request = requests[below(ARRAY_SIZE(requests))];
	unsigned int offset = me->number * 2 * PAGE;
	unsigned char *filled = world.filled + offset, *at = world.faulting + offset;
	uint64_t behind = (uintptr_t)at + PAGE;
	uint32_t size;

	if (world.faults < 0)
		return;
	memset(filled, 0, 2 * PAGE);
	if (request == SGRING_LAYOUT) {
		struct sgring_layout u = { .size = sizeof(u), .runs = behind, .run_room = 4 };

		memcpy(filled, &u, sizeof(u));
	} else if (request == SGRING_SETUP) {
		struct sgring_setup u = {
			.size = sizeof(u), .slot_bytes = PAGE, .slot_count = 4,
			.message = behind, .message_bytes = 100,
		};

		memcpy(filled, &u, sizeof(u));
	} else {
		size = request == SGRING_QUERY ? sizeof(struct sgring_query) :
		       request == SGRING_STATS ? sizeof(struct sgring_stats) :
		       request == SGRING_TUNE ? sizeof(struct sgring_tune) :
		       sizeof(struct sgring_geometry);
		memcpy(filled, &size, 4);
	}
	madvise(at, 2 * PAGE, MADV_DONTNEED);
	CALL(ioctl_while_faulting, ioctl(some_fd(), request, at));
}

/* ---- children ---- */

static void child_main(bool exec)
{
	static void (*const operations[])(void) = {
		op_tell, op_tell_mutated, op_life, op_kick, op_close, op_map, op_unmap, op_ring,
		op_data, op_wait, op_observe, op_advise, stream_advance,
	};
	unsigned int n = below(6);

	prctl(PR_SET_PDEATHSIG, SIGKILL);

	while (n--)
		operations[below(ARRAY_SIZE(operations))]();
	if (exec) {
		execl("/proc/self/exe", "hostile", "nothing", NULL);
		_exit(1);
	}
	if (one_in(3))
		kill(getpid(), SIGKILL);
	_exit(0);
}

void op_child(void)
{
	bool exec = one_in(4), seen = false;
	unsigned int tries = 0;
	int status = 1;
	long pid;

	/* A child that has the mapping, too. */
	if (one_in(2) && has(AT_DATA))
		CALL(madvise, madvise(p->place[AT_DATA], p->mapped[AT_DATA], MADV_DOFORK));
	begin(K_fork);
	pid = fork();
	if (!pid)
		child_main(exec);
	end(K_fork, pid > 0, errno);
	if (pid < 0)
		return;
	while (!(seen = waitpid(pid, &status, 0) == pid) && errno == EINTR)
		if (++tries > 40)
			kill(pid, SIGKILL);
	if (!exec)
		return;
	begin(K_exec);
	end(K_exec, seen && WIFEXITED(status) && !WEXITSTATUS(status), 0);
}

/* ---- who looks on, who turns knobs ---- */

void op_look(void)
{
	static const char *const processes[] = {
		"maps", "smaps", "smaps_rollup", "numa_maps", "status", "wchan", "stack", "io",
	};
	static const char *const sysfs[] = {
		"label", "uevent", "dev", "power/runtime_status", "device/uevent",
	};
	static const char *const counters[] = {
		"produced", "delivered", "overflows", "transfers", "callbacks", "violations",
		"queued", "rate", "stream", "overflowed_bytes",
	};
	char path[80], number[20];

	switch (below(6)) {
	case 0:
		snprintf(path, sizeof(path), "/proc/self/%s", processes[below(8)]);
		CALL(proc_read, file_get(path, (char *)me->scratch, SCRATCH_BYTES));
		break;
	case 1:
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", some_fd());
		CALL(proc_read, file_get(path, (char *)me->scratch, PAGE));
		break;
	case 2:
		snprintf(number, sizeof(number), "%u", 1 + below(5));
		CALL(proc_read, file_put("/proc/self/clear_refs", number));
		break;
	case 3:
		snprintf(path, sizeof(path), PARAMETERS "/%s",
			 one_in(2) ? "limit_stream_mb" : "limit_total_mb");
		CALL(sysfs_read, file_get(path, (char *)me->scratch, PAGE));
		break;
	case 4:
		snprintf(path, sizeof(path), "/sys/class/sgring/%s/%s", p->path + 5,
			 sysfs[below(5)]);
		CALL(sysfs_read, file_get(path, (char *)me->scratch, PAGE));
		break;
	default:
		snprintf(path, sizeof(path), BENCH "/%s/%s", hostile_streams[p->stream].label,
			 counters[below(10)]);
		CALL(debugfs_read, file_get(path, (char *)me->scratch, PAGE));
	}
}

void op_bench(void)
{
	/* The second is how it is most of the time. */
	static const char *const knobs[][3] = {
		{ "rate", "4000000", "0" },
		{ "rate", "4000000", "100000" },
		{ "rate", "4000000", "40000000" },
		{ "fail_next", "0", "1" },
		{ "fail_next", "0", "3" },
		{ "fail_after_bytes", "4096", "0" },
		{ "prep_fail_next", "0", "2" },
		{ "duplicate_next", "0", "2" },
		{ "reorder_next", "0", "2" },
		{ "late_next", "0", "1" },
		{ "stall", "0", "1" },
		{ "hold_completion", "0", "1" },
		{ "residue", "ok", "bogus" },
		{ "residue", "ok", "none" },
		{ "packet_bytes", "0", "2048" },
		{ "fifo_bytes", "1048576", "4096" },
		{ "descriptors", "200", "3" },
		{ "packet_ends", "1", "0" },
	};
	unsigned int i = below(ARRAY_SIZE(knobs));
	char path[80];

	if (one_in(10)) {
		/* Low for a moment: what is set up may stay. */
		CALL(parameter, file_put(PARAMETERS "/limit_stream_mb", "1"));
		CALL(parameter, file_put(PARAMETERS "/limit_total_mb", "2"));
		CALL(parameter, file_put(PARAMETERS "/limit_stream_mb", "4"));
		CALL(parameter, file_put(PARAMETERS "/limit_total_mb", "40"));
		return;
	}
	snprintf(path, sizeof(path), BENCH "/%s/%s", hostile_streams[p->stream].label, knobs[i][0]);
	CALL(knob, file_put(path, knobs[i][one_in(3) ? 2 : 1]));
	/* What stops all of it, only for a moment. */
	if (!strcmp(knobs[i][0], "stall") || !strcmp(knobs[i][0], "hold_completion") ||
	    !strcmp(knobs[i][0], "descriptors")) {
		CALL(poll, poll(&(struct pollfd){ .fd = p->fd[FD_MAIN], .events = POLLIN }, 1, 2));
		CALL(knob, file_put(path, knobs[i][1]));
	}
}

static int driver_put(const char *file)
{
	const struct hostile_stream *s = &hostile_streams[p->stream];
	char path[80];

	snprintf(path, sizeof(path), "%s/%s", s->driver, file);
	return file_put(path, s->device);
}

bool device_bind(void)
{
	return !CALL(bind, driver_put("bind"));
}

void op_unbind(void)
{
	CALL(unbind, driver_put("unbind"));
	if (one_in(2))
		device_bind();
}

/* ---- ends ---- */

void op_die(void)
{
	unsigned int which = below(HOSTILE_PROCESSES);
	pid_t pid = p->shared->pids[which];

	switch (below(10)) {
	case 0:
		if (pid && !p->shared->alone)
			CALL(kill, kill(pid, SIGKILL));
		break;
	case 1:
	case 2:
		begin(K_thread_end);
		end(K_thread_end, true, 0);
		me->ends = true;
		break;
	default:
		if (pid)
			CALL(signal, kill(pid, one_in(2) ? SIGUSR1 : SIGIO));
	}
}

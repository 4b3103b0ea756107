// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Violent ends: in the middle of a stream at full rate, with skbs and O_DIRECT
 * writes in flight, something ends it: its owner, its device, its engine, its
 * module. Each time: what arrives and what was written is right to the byte, all
 * memory comes back but what the log says was leaked on purpose, nobody hangs,
 * and the next one works.
 *
 * An owner sends each slot over the wire without a copy and returns it at once,
 * and writes some to the disk, too; the gate has to wait for both. A receiver in the
 * other namespace checks every byte. It stops reading at the end, in every second one,
 * so that pages are held; then the label's next owner is set up at once, with
 * another pattern, and somebody dirties memory, before it reads on.
 *
 * VIOLENT_ENDS (10) and VIOLENT_SEED (1): kinds are dealt from a deck, so that each
 * comes equally often; kind, moment and set-up follow from the seed and the number,
 * and are told when an end goes wrong.
 *
 * Where the kernel has page_owner (booted with page_owner=on) every page that is
 * allocated is asked who allocated it: what sgring's chunks have taken and not given back
 * must be what the log told.
 */
#include <arpa/inet.h>
#include <linux/aio_abi.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common.h"

#define DRIVERS		"/sys/bus/platform/drivers/"
#define PORT		7700
#define PIECE_MAGIC	0x76696f6c656e7421ULL

/* Nobody needs so long, unless he hangs. */
#define HANG_MS		60000

#define OUTCOMES	64
#define BLOCK		(64 * KIB)
#define BLOCKS		512
#define END_BLOCKS	32
#define DIRTY_BYTES	(1 * MIB)

/* ---- what the processes share ---- */

enum { WRITE_SUBMITTED = 1, WRITE_DONE };

struct disk_write {
	uint64_t position;
	uint64_t key;
	uint32_t block;
	uint32_t bytes;
	uint32_t state;
};

/* What came over one connection. */
struct outcome {
	uint32_t done;
	uint32_t wrong;
	uint64_t bytes;
	char what[160];
};

static struct shared {
	/* Of the end that is being made. */
	uint32_t slots;		/* that the owner has sent */
	uint32_t streaming;	/* the owner has had a slot */
	uint32_t connected;	/* and said hello */
	uint32_t acting;	/* from now on anything may fail */
	uint32_t leave;		/* the owner is to go by itself */
	uint32_t hold;		/* the receiver is not to read */
	uint32_t end_seen;	/* an end-of-stream entry; its status */
	int32_t end_status;
	uint32_t writes;
	struct disk_write write[END_BLOCKS];
	char what[200];
	/* Of all. */
	struct outcome outcome[OUTCOMES];
	uint64_t progress_ns;
	char stage[200];
} *shared;

#define load(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

/* ---- chance ---- */

static uint64_t chance_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15ULL);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
	return z ^ (z >> 31);
}

static uint32_t chance(uint64_t *state, uint32_t below)
{
	return chance_next(state) % below;
}

/* ---- an end ---- */

/* What the owner does besides streaming. */
#define THREADS		0x01	/* others use its descriptor, too */
#define CHILDREN	0x02	/* and hold it */
#define RACERS		0x04	/* abort, drain and start, again and again */
#define DRAINER		0x08	/* a drain without end is under way */
/* What is wrong with the device meanwhile. */
#define FAILING		0x10
#define MIXED_UP	0x20	/* completions twice, and out of order */
/* At the moment itself. */
#define STALLED		0x40
#define HELD		0x80	/* completions */
#define LATE		0x100	/* a callback comes after the end of all */
#define RUNAWAY		0x200	/* it cannot be terminated */
#define EARLY		0x400	/* before it streams: in set-up, mmap, start */

struct end;

struct kind {
	const char *name;
	const char *label;
	unsigned int flags;
	void (*act)(struct end *e);
};

struct end {
	const struct kind *kind;
	uint32_t number;
	uint64_t seed;
	uint64_t chance;
	uint32_t after_slots;	/* the moment: when so many were sent, and so long after */
	uint32_t moment_us;
	const char *label;
	char path[64];
	uint64_t key;
	struct sgring_setup setup;
	bool hold;
	pid_t owner;
	bool modules_gone;
};

static uint64_t total_leaked;		/* bytes; as the log told */
static uint64_t account_leaked;		/* of them in the account of the module there is */
static unsigned int ends_with_pages_held;

static void describe(const struct end *e, char *text, size_t bytes)
{
	snprintf(text, bytes, "VIOLENT_SEED=%llu, end %u: %s (%s%s), after %u slots and %u us, %u slots of %llu",
		 (unsigned long long)e->seed, e->number, e->kind->name, e->label,
		 e->hold ? ", pages held" : "", e->after_slots, e->moment_us, e->setup.slot_count,
		 (unsigned long long)e->setup.slot_bytes);
}

#define END_FAIL(e, ...) do {						\
	char said_[300], text_[200];					\
									\
	snprintf(said_, sizeof(said_), __VA_ARGS__);			\
	describe(e, text_, sizeof(text_));				\
	fail_msg("%s: %s", text_, said_);				\
} while (0)

static void stage(const char *text)
{
	char *colon = strchr(shared->stage, '|');

	snprintf(colon ? colon : shared->stage, 40, "| %s", text);
	store(&shared->progress_ns, now_ns());
}

/* ---- the receiver, in the other namespace ---- */

struct piece {
	uint64_t magic;
	uint64_t key;
	uint64_t position;
	uint32_t bytes;
	uint32_t number;
};

static bool enter(const char *variable)
{
	int fd = open(getenv(variable) ?: "", O_RDONLY | O_CLOEXEC);
	bool in = fd >= 0 && !setns(fd, CLONE_NEWNET);

	if (fd >= 0)
		close(fd);
	return in;
}

/* Some bytes; 0 at the end, whatever it is. */
static size_t receive_some(int fd, void *to, size_t bytes)
{
	ssize_t n;

	WAIT_FOR(!load(&shared->hold), HANG_MS);
	n = recv(fd, to, bytes, 0);
	return n > 0 ? n : 0;
}

static size_t receive_all(int fd, void *to, size_t bytes)
{
	size_t done = 0, n;

	while (done < bytes && (n = receive_some(fd, (char *)to + done, bytes - done)))
		done += n;
	return done;
}

static void check_bytes(struct outcome *o, const unsigned char *from, size_t bytes, uint64_t key,
			uint64_t position)
{
	size_t right = sgring_pattern_verify(from, bytes, key, position);
	unsigned int stream;
	uint64_t at, word;

	o->bytes += right;
	if (right == bytes)
		return;
	word = sgring_pattern_get(from + (right & ~7ULL));
	at = sgring_pattern_locate(word, &stream);
	if (!o->wrong)
		snprintf(o->what, sizeof(o->what),
			 "at position %llu: word %016llx, of position %llu of stream %d",
			 (unsigned long long)position + right, (unsigned long long)word,
			 (unsigned long long)at, (int)stream);
	o->wrong++;
}

static void *receive_one(void *arg)
{
	unsigned char *buffer = malloc(BLOCK);
	struct outcome *o = NULL, none = {};
	int fd = (long)arg;
	struct piece p;
	size_t n;

	while (buffer && receive_all(fd, &p, sizeof(p)) == sizeof(p)) {
		if (!o)
			o = &shared->outcome[p.number % OUTCOMES];
		if (p.magic != PIECE_MAGIC) {
			snprintf(o->what, sizeof(o->what), "no piece begins where one must");
			o->wrong++;
			break;
		}
		while (p.bytes) {
			n = receive_all(fd, buffer, p.bytes < BLOCK ? p.bytes : BLOCK);
			if (!n)
				break;
			check_bytes(o, buffer, n, p.key, p.position);
			p.position += n;
			p.bytes -= n;
		}
	}
	free(buffer);
	close(fd);
	store(&(o ?: &none)->done, 1);
	return NULL;
}

static pid_t receiver_start(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int listener, fd, on = 1, small = 16 * KIB;
	pid_t pid = fork();
	pthread_attr_t attr;
	pthread_t thread;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!enter("RIGHT"))
		_exit(1);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (bind(listener, (void *)&a, sizeof(a)) || listen(listener, 64))
		_exit(1);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		if (pthread_create(&thread, &attr, receive_one, (void *)(long)fd))
			close(fd);
	_exit(1);
}

/* ---- the owner ---- */

/*
 * A process of its own that asserts nothing: once the end is made, anything may
 * fail. Before, it says what failed and exits.
 */
struct owner {
	const struct end *e;
	struct stream s;
	int sock;
	aio_context_t aio;
	uint32_t slots_seen;
	uint32_t sent;
	uint32_t notified;
	uint64_t chance;
};

static void give_up(const char *what, int error)
{
	if (load(&shared->acting))
		_exit(0);
	snprintf(shared->what, sizeof(shared->what), "%s: %s", what, strerror(error));
	_exit(2);
}

static void owner_open(struct owner *o)
{
	int ret;

	o->s.fd = open(o->e->path, O_RDWR | O_CLOEXEC);
	if (o->s.fd < 0)
		give_up("open", errno);
	o->s.setup = o->e->setup;
	ret = sg_setup(o->s.fd, &o->s.setup);
	if (ret)
		give_up("set-up", -ret);
	ret = stream_try_map(&o->s);
	if (ret)
		give_up("mmap", -ret);
}

static void owner_connect(struct owner *o)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int on = 1, large = 16 * MIB;

	inet_pton(AF_INET, "10.77.0.2", &a.sin_addr);
	o->sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(o->sock, SOL_SOCKET, SO_SNDBUFFORCE, &large, sizeof(large));
	if (setsockopt(o->sock, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) ||
	    connect(o->sock, (void *)&a, sizeof(a)))
		give_up("connect", errno);
}

static bool notification(struct owner *o)
{
	char control[200];
	struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control) };
	struct sock_extended_err *e;
	struct cmsghdr *c;

	if (recvmsg(o->sock, &m, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	for (c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		e = (void *)CMSG_DATA(c);
		if (e->ee_origin == SO_EE_ORIGIN_ZEROCOPY)
			o->notified += e->ee_data - e->ee_info + 1;
		if (e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED)
			give_up("the wire copies", EIO);
	}
	return true;
}

/* Where fifo0 stands nobody knows: it makes data for as long as its module is there. */
static uint64_t position_of(const unsigned char *from, uint64_t key)
{
	unsigned int stream, i;
	uint64_t at;

	for (i = 0; i < 8; i++) {
		at = sgring_pattern_locate(sgring_pattern_get(from + i), &stream) - i;
		if (sgring_pattern_key(stream) == key &&
		    sgring_pattern_verify(from, 64, key, at) == 64)
			return at;
	}
	return 0;
}

static void owner_send(struct owner *o, const unsigned char *from, uint32_t bytes,
		       uint64_t position)
{
	struct piece p = { PIECE_MAGIC, o->e->key, position, bytes, o->e->number };
	uint32_t done = 0;
	ssize_t n;

	if (send(o->sock, &p, sizeof(p), MSG_MORE | MSG_NOSIGNAL) != sizeof(p))
		give_up("send of a head", errno);
	store(&shared->connected, 1);
	while (done < bytes) {
		n = send(o->sock, from + done, bytes - done, MSG_ZEROCOPY | MSG_NOSIGNAL);
		if (n < 0 && errno == ENOBUFS) {
			if (!notification(o))
				usleep(500);
			continue;
		}
		if (n <= 0)
			give_up("send", errno);
		o->sent++;
		done += n;
	}
	while (notification(o))
		;
}

/* In flight when it returns: the block device's pages are taken before. */
static void owner_write(struct owner *o, const unsigned char *from, uint32_t bytes,
			uint64_t position, int disk)
{
	struct disk_write *w = &shared->write[shared->writes];
	struct io_event events[8];
	struct timespec none = {};
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PWRITE,
		.aio_fildes = disk,
		.aio_buf = (uintptr_t)from,
		.aio_data = (uintptr_t)w,
	};
	struct iocb *list[1] = { &cb };
	long i, n;

	while ((n = syscall(SYS_io_getevents, o->aio, 0, 8, events, &none)) > 0)
		for (i = 0; i < n; i++)
			if (events[i].res > 0)
				store(&((struct disk_write *)(uintptr_t)events[i].data)->state,
				      WRITE_DONE);
	if (shared->writes == END_BLOCKS)
		return;
	w->bytes = (bytes < BLOCK ? bytes : BLOCK) & ~511U;
	w->position = position;
	w->key = o->e->key;
	w->block = (o->e->number * END_BLOCKS + shared->writes) % BLOCKS;
	cb.aio_nbytes = w->bytes;
	cb.aio_offset = w->block * BLOCK;
	store(&w->state, WRITE_SUBMITTED);
	shared->writes++;
	if (syscall(SYS_io_submit, o->aio, 1, list) != 1)
		give_up("io_submit", errno);
}

static void owner_return(struct owner *o, uint32_t slot)
{
	struct sgring_sqe *e = sgring_sq_reserve(&o->s.sq);

	if (!e)
		give_up("no room in the SQ", ENOSPC);
	e->slot = slot;
	if (sgring_sq_submit(&o->s.sq))
		sg_kick(o->s.fd);
}

static void owner_slot(struct owner *o, const struct sgring_cqe *e, int disk)
{
	const unsigned char *from = slot_data(&o->s, e->slot);
	uint64_t position = e->position_bytes;

	store(&shared->streaming, 1);
	if (!strcmp(o->e->label, "fifo0"))
		position = position_of(from, o->e->key);
	if (disk >= 0 && o->slots_seen % 3 == 0)
		owner_write(o, from, e->length_bytes, position, disk);
	owner_send(o, from, e->length_bytes, position);
	o->slots_seen++;
	store(&shared->slots, o->slots_seen);
}

/* What the end leaves to the owner: go in one of the ways a program can go. */
static void owner_leave(struct owner *o)
{
	uint32_t way = chance(&o->chance, 4);

	if (way == 0)
		_exit(0);
	if (way & 1)
		close(o->s.fd);
	if (way & 2)
		stream_unmap(&o->s);
	usleep(chance(&o->chance, 3000));
	close(o->sock);
	if (way == 1)
		stream_unmap(&o->s);
	_exit(0);
}

static void *other_thread(void *arg)
{
	struct owner *o = arg;
	uint64_t random = o->e->chance ^ gettid();
	struct sgring_stats stats = { .size = sizeof(stats) };
	struct sgring_geometry geometry;
	struct sgring_query query;
	struct pollfd p = { .fd = o->s.fd, .events = POLLIN };

	for (;;) {
		switch (chance(&random, 6)) {
		case 0:
			sg_ioctl(o->s.fd, SGRING_STATS, &stats);
			break;
		case 1:
			sg_geometry(o->s.fd, &geometry);
			break;
		case 2:
			sg_query(o->s.fd, &query);
			break;
		case 3:
			sg_kick(o->s.fd);
			break;
		case 4:
			sg_tune(o->s.fd, &(struct sgring_tune){
				.wake_slots = 1 + chance(&random, o->e->setup.slot_count) });
			break;
		default:
			poll(&p, 1, 5);
		}
		usleep(chance(&random, 500));
	}
	return NULL;
}

static void *racing_thread(void *arg)
{
	struct owner *o = arg;
	uint64_t random = o->e->chance ^ gettid();

	for (;;) {
		switch (chance(&random, 4)) {
		case 0:
			sg_abort(o->s.fd);
			break;
		case 1:
			sg_drain(o->s.fd, 1 + chance(&random, 50), NULL);
			break;
		case 2:
			sg_arm(o->s.fd);
			break;
		}
		sg_start(o->s.fd);
		usleep(chance(&random, 4000));
	}
	return NULL;
}

static void *draining_thread(void *arg)
{
	struct owner *o = arg;

	while (!load(&shared->acting))
		usleep(200);
	sg_drain(o->s.fd, SGRING_STOP_MS_MAX, NULL);
	return NULL;
}

static void thread_start(void *(*f)(void *), struct owner *o)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, f, o))
		give_up("a thread", EAGAIN);
}

static void owner_run(const struct end *e)
{
	struct owner o = { .e = e, .chance = e->chance };
	int disk = open(getenv("RAW_DISK") ?: "", O_WRONLY | O_DIRECT | O_CLOEXEC);
	unsigned int i, flags = e->kind->flags;
	int ret;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!enter("LEFT") || syscall(SYS_io_setup, 64, &o.aio))
		give_up("preparing", errno);
	owner_open(&o);
	if (flags & CHILDREN)
		for (i = 0; i < 2; i++)
			if (!fork())
				for (;;)
					pause();
	owner_connect(&o);
	ret = sg_start(o.s.fd);
	if (ret)
		give_up("start", -ret);
	if (flags & THREADS)
		for (i = 0; i < 2; i++)
			thread_start(other_thread, &o);
	if (flags & RACERS)
		for (i = 0; i < 2; i++)
			thread_start(racing_thread, &o);
	if (flags & DRAINER)
		thread_start(draining_thread, &o);
	for (;;) {
		struct pollfd p = { .fd = o.s.fd, .events = POLLIN };
		struct sgring_cqe c;

		if (load(&shared->leave))
			owner_leave(&o);
		if (!sgring_cq_ready(&o.s.cq)) {
			if (sgring_load_acquire(&kernel_side(&o.s)->flags) & SGRING_NEED_WAKEUP)
				sg_kick(o.s.fd);
			if (poll(&p, 1, 10) == 1 && (p.revents & POLLHUP))
				usleep(1000);
			continue;
		}
		c = *sgring_cq_peek(&o.s.cq, 0);
		sgring_cq_consume(&o.s.cq, 1);
		if (c.flags & SGRING_CQE_EOS) {
			shared->end_status = c.status;
			store(&shared->end_seen, 1);
			continue;
		}
		if (c.slot >= o.s.setup.slot_count)
			give_up("an entry without a slot", EPROTO);
		if (!c.status && c.length_bytes)
			owner_slot(&o, &c, disk);
		owner_return(&o, c.slot);
	}
}

/* ---- how they end ---- */

static const struct device {
	const char *label;
	const char *driver;
	const char *device;
	const char *engine;
} devices[] = {
	{ "rx0", "sgring-dummy", "sgring-dummy.0", "sgring-dummy-dma" },
	{ "rx1", "sgring-dummy", "sgring-dummy.1", "sgring-dummy-dma" },
	{ "rx2", "sgring-dummy", "sgring-dummy.2", "sgring-dummy-dma" },
	{ "rx3", "sgring-dummy", "sgring-dummy.3", "sgring-dummy-dma" },
	{ "xilinx0", "sgring-dummy", "sgring-dummy.4", "sgring-dummy-xilinx" },
	{ "pl330-0", "sgring-dummy", "sgring-dummy.5", "sgring-dummy-pl330" },
	{ "bcm2835-0", "sgring-dummy", "sgring-dummy.6", "sgring-dummy-bcm2835" },
	{ "fifo0", "sgring-fifo", "sgring-fifo.7", "sgring-dummy-dma" },
};

static const struct device *device_of(const char *label)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(devices); i++)
		if (!strcmp(devices[i].label, label))
			return &devices[i];
	fail_msg("no such device: %s", label);
	return NULL;
}

static int driver_write(const char *driver, const char *file, const char *device)
{
	char path[200];

	snprintf(path, sizeof(path), DRIVERS "%s/%s", driver, file);
	return file_try(path, device);
}

static int module_remove(const char *name)
{
	return syscall(SYS_delete_module, name, O_NONBLOCK) ? -errno : 0;
}

static int module_insert(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 || syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return ret == -EEXIST ? 0 : ret;
}

static void act_kill(struct end *e)
{
	kill(e->owner, SIGKILL);
}

static void act_leave(struct end *e)
{
	(void)e;
	store(&shared->leave, 1);
}

static void act_unbind(struct end *e)
{
	const struct device *d = device_of(e->label);
	int ret = driver_write(d->driver, "unbind", d->device);

	if (ret)
		END_FAIL(e, "unbind: %s", strerror(-ret));
	if (dev_exists(e->label))
		END_FAIL(e, "unbound, and still there");
}

static void act_engine(struct end *e)
{
	const struct device *d = device_of(e->label);
	int ret = driver_write(d->engine, "unbind", d->engine);

	if (ret)
		END_FAIL(e, "unbind of the engine: %s", strerror(-ret));
	if (dev_exists(e->label))
		END_FAIL(e, "without an engine, and still there");
}

/* The core is in use; its client's module is not, and takes the streams with it. */
static void act_rmmod(struct end *e)
{
	int ret = module_remove("sgring");

	if (ret != -EWOULDBLOCK)
		END_FAIL(e, "removal of a core in use: %s", strerror(-ret));
	ret = module_remove(strcmp(e->label, "fifo0") ? "sgring_dummy" : "sgring_fifo");
	if (ret)
		END_FAIL(e, "removal of the client's module: %s", strerror(-ret));
	if (dev_exists(e->label))
		END_FAIL(e, "without a driver, and still there");
	ret = module_remove("sgring");
	/* The mapping and the file keep it, or the other client does. */
	if (ret != -EWOULDBLOCK && !(e->kind->flags & EARLY))
		END_FAIL(e, "removal of a mapped core: %s", strerror(-ret));
	e->modules_gone = true;
}

static void act_abort(struct end *e)
{
	/* By the owner's racing threads. */
	msleep(30);
	act_kill(e);
}

static const struct kind kinds[] = {
	{ "killed", "rx0", 0, act_kill },
	{ "killed, with threads", "rx1", THREADS, act_kill },
	{ "killed, children hold it", "rx2", CHILDREN | THREADS, act_kill },
	{ "killed while it begins", "rx0", EARLY, act_kill },
	{ "killed while it aborts and drains", "rx1", RACERS | THREADS, act_kill },
	{ "killed in a drain", "fifo0", DRAINER | STALLED, act_kill },
	{ "leaves without a stop", "rx3", 0, act_leave },
	{ "leaves, with threads", "rx0", THREADS, act_leave },
	{ "leaves in a drain", "fifo0", DRAINER | STALLED, act_leave },
	{ "unbound", "rx0", 0, act_unbind },
	{ "unbound, with threads", "rx1", THREADS, act_unbind },
	{ "unbound while it begins", "rx2", EARLY, act_unbind },
	{ "unbound while it aborts and drains", "rx3", RACERS | THREADS, act_unbind },
	{ "unbound in a drain", "fifo0", DRAINER | STALLED, act_unbind },
	{ "device lost: nothing moves, then it goes", "rx1", STALLED, act_unbind },
	{ "engine goes", "rx2", THREADS, act_engine },
	{ "engine goes while it begins", "rx3", EARLY, act_engine },
	{ "engine goes while it aborts and drains", "rx0", RACERS, act_engine },
	{ "pl330's engine goes", "pl330-0", RACERS, act_engine },
	{ "client's module goes", "rx1", THREADS, act_rmmod },
	{ "client's module goes in a race", "pl330-0", RACERS, act_rmmod },
	{ "fifo's module goes", "fifo0", THREADS, act_rmmod },
	{ "fifo unbound", "fifo0", 0, act_unbind },
	{ "fifo killed", "fifo0", THREADS, act_kill },
	{ "fifo's engine goes", "fifo0", RACERS, act_engine },
	{ "a late callback, killed", "rx2", LATE, act_kill },
	{ "a late callback, unbound", "rx3", LATE, act_unbind },
	{ "late callbacks in a race", "rx0", LATE | RACERS, act_abort },
	{ "pl330 killed", "pl330-0", THREADS, act_kill },
	{ "pl330 unbound", "pl330-0", 0, act_unbind },
	{ "pl330 in a race, late", "pl330-0", RACERS | LATE, act_abort },
	{ "runaway engine, killed", "rx1", RUNAWAY, act_kill },
	{ "runaway engine, unbound", "rx2", RUNAWAY, act_unbind },
	{ "runaway engine, stopped and killed", "rx3", RUNAWAY | RACERS, act_abort },
	{ "runaway engine goes", "rx0", RUNAWAY, act_engine },
	{ "completions held, killed", "rx1", HELD, act_kill },
	{ "completions held, stopped and killed", "rx2", HELD | RACERS, act_abort },
	{ "completions held, unbound", "rx3", HELD, act_unbind },
	{ "engine stalls, killed", "rx0", STALLED, act_kill },
	{ "transfers fail, killed", "rx1", FAILING, act_kill },
	{ "transfers fail, unbound in a race", "rx2", FAILING | RACERS, act_unbind },
	{ "completions mixed up, killed", "rx3", MIXED_UP, act_kill },
	{ "completions mixed up, unbound in a race", "rx0", MIXED_UP | RACERS, act_unbind },
	{ "xilinx killed", "xilinx0", THREADS, act_kill },
	{ "xilinx unbound", "xilinx0", 0, act_unbind },
	{ "xilinx in a race", "xilinx0", RACERS, act_abort },
	{ "xilinx's engine goes", "xilinx0", THREADS, act_engine },
	{ "bcm2835 killed", "bcm2835-0", RACERS, act_kill },
	{ "bcm2835 leaves", "bcm2835-0", 0, act_leave },
};

/* ---- before and after ---- */

/* All that is left of the owner's: killed, and gone. */
static void owner_reap(struct end *e)
{
	uint64_t until = now_ns() + HANG_MS * 1000000ULL;
	int status;
	pid_t pid;

	while ((pid = waitpid(-e->owner, &status, WNOHANG)) >= 0) {
		if (pid == e->owner && WIFEXITED(status) && WEXITSTATUS(status))
			END_FAIL(e, "the owner: %s", shared->what);
		if (pid)
			continue;
		if (now_ns() > until)
			END_FAIL(e, "process %d, or a child of it, hangs", e->owner);
		usleep(1000);
	}
}

/* Nobody uses it any more: it goes, whoever holds its pages. */
static void core_goes(struct end *e)
{
	stage("modules go");
	if (chance(&e->chance, 2))
		return;
	if (!dev_exists("rx0"))
		module_remove("sgring_fifo");
	else if (module_remove("sgring_dummy"))
		END_FAIL(e, "the dummy is in use");
	if (!WAIT_FOR(!module_remove("sgring"), HANG_MS))
		END_FAIL(e, "the core is in use");
	account_leaked = 0;
}

static void knob_clear(const struct end *e, const char *knob, unsigned int flags)
{
	if (e->kind->flags & flags)
		knob_set(e->label, knob, 0);
}

static void put_back(struct end *e)
{
	const struct device *d = device_of(e->label);
	size_t i;

	/* What was wrong with the device is over, also if it is unbound. */
	if (!e->modules_gone) {
		knob_clear(e, "fail_next", FAILING);
		knob_clear(e, "duplicate_next", MIXED_UP);
		knob_clear(e, "reorder_next", MIXED_UP);
		knob_clear(e, "late_next", LATE);
		knob_clear(e, "stall", STALLED);
		knob_clear(e, "hold_completion", HELD);
		knob_clear(e, "terminate_fail", RUNAWAY);
	} else if (module_insert("/mod/sgring.ko") || module_insert("/mod/sgring-dummy.ko") ||
		   module_insert("/mod/sgring-fifo.ko")) {
		END_FAIL(e, "modules do not come back: %s", strerror(errno));
	}
	/* A stream whose engine could not be stopped has to be bound anew. */
	if (e->kind->flags & RUNAWAY)
		driver_write(d->driver, "unbind", d->device);
	if (e->kind->act == act_engine)
		driver_write(d->engine, "bind", d->engine);
	/* Who is bound already says so; an engine that ran away is free a little later. */
	for (i = 0; i < ARRAY_SIZE(devices); i++)
		if (!strcmp(devices[i].label, e->label) || e->kind->act == act_engine ||
		    e->modules_gone)
			driver_write(devices[i].driver, "bind", devices[i].device);
	if (!WAIT_FOR(dev_exists(e->label) || !driver_write(d->driver, "bind", d->device), LONG_MS))
		END_FAIL(e, "it does not come back");
}

static uint64_t memory_now(void)
{
	int fd = dev_open("rx0", O_RDONLY);
	uint64_t bytes = query_of(fd).total_bytes;

	close(fd);
	return bytes;
}

static uint64_t held_now(void)
{
	struct sgring_stats stats = { .size = sizeof(stats) };
	int fd = dev_open("rx0", O_RDONLY);

	/* Told also when there is nothing else to tell. */
	sg_ioctl(fd, SGRING_STATS, &stats);
	close(fd);
	return stats.held_bytes;
}

/* What the log says was leaked on purpose, since the last call. */
static uint64_t told_leaked(int log)
{
	unsigned long long bytes;
	uint64_t sum = 0;
	char line[1024];
	const char *at;
	ssize_t n;

	while ((n = read(log, line, sizeof(line) - 1)) > 0 || (n < 0 && errno == EPIPE)) {
		line[n > 0 ? n : 0] = 0;
		at = strstr(line, "engine not to be stopped: ");
		if (at && sscanf(at, "engine not to be stopped: %llu bytes", &bytes) == 1)
			sum += bytes;
	}
	return sum;
}

/* The label's next stream, at once, with another pattern. */
static void successor(struct end *e)
{
	struct stream s;

	if (strcmp(e->label, "fifo0"))
		knob_set(e->label, "stream", (e->number + 100) % 255);
	s = stream_open(e->label, &e->setup);
	stream_start(&s);
	if (strcmp(e->label, "fifo0"))
		stream_run(&s, e->setup.slot_count + 2);
	stream_close(&s);
}

static void dirty_memory(void)
{
	void *p = mmap(NULL, DIRTY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	assert_true(p != MAP_FAILED);
	memset(p, 0x5a, DIRTY_BYTES);
	munmap(p, DIRTY_BYTES);
}

static void receiver_judge(struct end *e)
{
	struct outcome *o = &shared->outcome[e->number % OUTCOMES];

	if (!load(&shared->connected))
		return;
	if (!WAIT_FOR(load(&o->done), HANG_MS))
		END_FAIL(e, "the connection does not end, after %llu bytes",
			 (unsigned long long)o->bytes);
	if (o->wrong)
		END_FAIL(e, "%u wrong pieces after %llu right bytes: %s", o->wrong,
			 (unsigned long long)o->bytes, o->what);
}

/* What each block holds, if it is not zeroes. */
static struct {
	uint64_t key;
	uint64_t position;
} disk_blocks[BLOCKS];

static int disk = -1;
static unsigned char *disk_buffer;

static void disk_begin(void)
{
	unsigned int i;

	disk = open(getenv("RAW_DISK"), O_RDWR | O_DIRECT | O_CLOEXEC);
	assert_true(disk >= 0);
	disk_buffer = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	assert_true(disk_buffer != MAP_FAILED);
	for (i = 0; i < BLOCKS; i++)
		assert_int_equal(pwrite(disk, disk_buffer, BLOCK, i * BLOCK), BLOCK);
}

static bool sector_old(const unsigned char *at, unsigned int block, size_t offset)
{
	size_t i;

	if (disk_blocks[block].key)
		return sgring_pattern_verify(at, 512, disk_blocks[block].key,
					     disk_blocks[block].position + offset) == 512;
	for (i = 0; i < 512; i++)
		if (at[i])
			return false;
	return true;
}

static void disk_judge(struct end *e)
{
	unsigned int i;
	size_t at;

	for (i = 0; i < shared->writes; i++) {
		struct disk_write *w = &shared->write[i];
		bool whole = true;

		assert_int_equal(pread(disk, disk_buffer, BLOCK, w->block * BLOCK), BLOCK);
		for (at = 0; at < w->bytes; at += 512) {
			if (sgring_pattern_verify(disk_buffer + at, 512, w->key,
						  w->position + at) == 512)
				continue;
			whole = false;
			if (w->state != WRITE_DONE &&
			    sector_old(disk_buffer + at, w->block, at))
				continue;
			END_FAIL(e, "write %u, %s: sector at %zu of block %u is neither what was written nor what was there",
				 i, w->state == WRITE_DONE ? "done" : "in flight", at, w->block);
		}
		disk_blocks[w->block].key = w->key;
		disk_blocks[w->block].position = w->position;
		if (whole && w->bytes == BLOCK)
			continue;
		memset(disk_buffer, 0, BLOCK);
		assert_int_equal(pwrite(disk, disk_buffer, BLOCK, w->block * BLOCK), BLOCK);
		disk_blocks[w->block].key = 0;
	}
}

/* ---- one end ---- */

static void end_choose(struct end *e)
{
	static const uint32_t sizes[] = { 64 * KIB, 128 * KIB, 100 * KIB, 36 * KIB };
	unsigned int flags = e->kind->flags;
	char path[64];

	e->chance = e->seed * 1000003 + e->number;
	e->label = e->kind->label;
	e->setup = (struct sgring_setup){
		.slot_bytes = sizes[chance(&e->chance, ARRAY_SIZE(sizes))],
		.slot_count = 4 + chance(&e->chance, 9),
	};
	/* Leaked for good. */
	if (flags & RUNAWAY) {
		e->setup.slot_bytes = 64 * KIB;
		e->setup.slot_count = 4;
	}
	if (!chance(&e->chance, 3))
		e->setup.overrun = SGRING_OVERRUN_DROP;
	if (!chance(&e->chance, 3))
		e->setup.chunk_bytes = 4 * KIB << chance(&e->chance, 5);
	e->hold = chance(&e->chance, 2);
	e->after_slots = chance(&e->chance, e->setup.slot_count);
	/* Short ones as often as long ones. */
	e->moment_us = chance(&e->chance, 1 << (6 + chance(&e->chance, 11)));
	snprintf(path, sizeof(path), "%s", dev_path(e->label));
	memcpy(e->path, path, sizeof(path));
	if (strcmp(e->label, "fifo0"))
		knob_set(e->label, "stream", e->number % 97);
	e->key = pattern_key_of(e->label);
	describe(e, shared->stage, 150);
}

static void end_prepare(const struct end *e)
{
	unsigned int flags = e->kind->flags;
	struct outcome *o = &shared->outcome[e->number % OUTCOMES];

	memset(shared, 0, offsetof(struct shared, outcome));
	memset(o, 0, sizeof(*o));
	if (flags & FAILING)
		knob_set(e->label, "fail_next", 1000);
	if (flags & FAILING)
		knob_set(e->label, "fail_after_bytes", 1 << 16);
	if (flags & MIXED_UP) {
		knob_set(e->label, "duplicate_next", 1000000);
		knob_set(e->label, "reorder_next", 1000000);
	}
}

/* The moment has come: the device first, then the end itself. */
static void end_make(struct end *e)
{
	unsigned int flags = e->kind->flags;
	uint64_t random = e->chance;

	store(&shared->hold, e->hold);
	store(&shared->acting, 1);
	if (flags & STALLED)
		knob_set(e->label, "stall", 1);
	if (flags & HELD)
		knob_set(e->label, "hold_completion", 1);
	if (flags & LATE)
		knob_set(e->label, "late_next", 100);
	if (flags & RUNAWAY)
		knob_set(e->label, "terminate_fail", 1);
	if (flags & (STALLED | HELD | RUNAWAY))
		usleep(chance(&random, 5000));
	e->kind->act(e);
}

static bool streaming_or_gone(const struct end *e)
{
	siginfo_t info = {};

	if (load(&shared->streaming))
		return true;
	return !waitid(P_PID, e->owner, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

static void end_wait_for_moment(struct end *e)
{
	if (!(e->kind->flags & EARLY)) {
		if (!WAIT_FOR(streaming_or_gone(e), HANG_MS))
			END_FAIL(e, "it does not stream");
		if (!load(&shared->streaming))
			owner_reap(e);
		/* In a race, or while all fails, they may take their time. */
		WAIT_FOR(load(&shared->slots) >= e->after_slots, 1000);
	}
	usleep(e->moment_us);
}

static void violent_end(struct end *e, int log)
{
	uint64_t leaked;

	end_choose(e);
	end_prepare(e);
	stage("begins");
	e->owner = fork();
	if (!e->owner)
		owner_run(e);
	setpgid(e->owner, e->owner);
	end_wait_for_moment(e);
	stage("is made");
	end_make(e);
	stage("processes go");
	if (e->kind->flags & CHILDREN) {
		/* The file is theirs now, and the stream goes on without an owner. */
		usleep(e->moment_us);
		kill(-e->owner, SIGKILL);
	} else if (e->kind->act != act_kill && e->kind->act != act_leave) {
		usleep(chance(&e->chance, 3000));
		if (chance(&e->chance, 2))
			kill(-e->owner, SIGKILL);
		store(&shared->leave, 1);
	}
	/* The device may be there again before its last owner has gone. */
	if (e->kind->act != act_unbind || (e->kind->flags & RUNAWAY) || chance(&e->chance, 2))
		owner_reap(e);
	if (e->modules_gone)
		core_goes(e);
	put_back(e);
	owner_reap(e);
	stage("the next one");
	if (held_now())
		ends_with_pages_held++;
	successor(e);
	dirty_memory();
	store(&shared->hold, 0);
	stage("the receiver");
	receiver_judge(e);
	stage("memory");
	leaked = told_leaked(log);
	total_leaked += leaked;
	account_leaked += leaked;
	if (leaked && !(e->kind->flags & RUNAWAY))
		END_FAIL(e, "%llu bytes leaked, and nothing was wrong with the engine",
			 (unsigned long long)leaked);
	if (!WAIT_FOR(memory_now() == account_leaked, HANG_MS))
		END_FAIL(e, "%lld bytes of memory more than the log tells",
			 (long long)(memory_now() - account_leaked));
	stage("the disk");
	disk_judge(e);
}

/* ---- the watch ---- */

/* Says where it hangs, before somebody ends it all. */
static pid_t watch_start(void)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (now_ns() - load(&shared->progress_ns) < 3ULL * HANG_MS / 2 * 1000000)
		sleep(1);
	printf("no progress: %s\n", shared->stage);
	file_try("/proc/sysrq-trigger", "w");
	_exit(0);
}

/* ---- whose pages are these? ---- */

/*
 * The frame that called the page allocator is one of ours. Slab and vmalloc have
 * frames of their own there. Of a module that was removed the address alone is told;
 * nobody else's is.
 */
static bool chunk_record(const char *record)
{
	const char *line = record, *next, *end;
	bool pages = false;

	while ((next = strchr(line, '\n'))) {
		end = next;
		next++;
		if (pages && !memmem(line, end - line, "alloc_pages", 11))
			return memmem(line, end - line, "[sgring", 7) ||
			       memmem(line, end - line, " 0xffffffff", 11);
		pages = memmem(line, end - line, "alloc_pages", 11);
		line = next;
	}
	return false;
}

/* Pages of chunks that are allocated; -1: this kernel does not know. */
static long chunk_pages(void)
{
	static char record[8192];
	unsigned int order, records = 0;
	long pages = 0;
	ssize_t n;
	int fd = open("/sys/kernel/debug/page_owner", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	while ((n = read(fd, record, sizeof(record) - 1)) > 0) {
		record[n] = 0;
		records++;
		if (records % 1000 == 0)
			store(&shared->progress_ns, now_ns());
		if (chunk_record(record) &&
		    sscanf(record, "Page allocated via order %u", &order) == 1)
			pages += 1L << order;
	}
	close(fd);
	return records ? pages : -1;
}

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void violent_ends(void **state)
{
	uint64_t seed = number_of("VIOLENT_SEED", 1), deal;
	uint32_t ends = number_of("VIOLENT_ENDS", 10), i, j;
	uint32_t deck[ARRAY_SIZE(kinds)], told = 0;
	long pages_before, pages;
	pid_t receiver, watch;
	int log;

	(void)state;
	if (!getenv("LEFT") || !getenv("RAW_DISK"))
		skip();
	file_try("/proc/sys/net/core/optmem_max", "4000000");
	assert_int_equal(module_insert("/mod/sgring-fifo.ko"), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	assert_true(shared != MAP_FAILED);
	store(&shared->progress_ns, now_ns());
	disk_begin();
	stage("page owners");
	pages_before = chunk_pages();
	log = log_open();
	receiver = receiver_start();
	watch = watch_start();
	assert_int_equal(memory_now(), 0);
	deal = seed;
	for (i = 0; i < ends; i++) {
		struct end e = { .number = i, .seed = seed };

		if (i % ARRAY_SIZE(kinds) == 0) {
			for (j = 0; j < ARRAY_SIZE(kinds); j++)
				deck[j] = j;
			for (j = ARRAY_SIZE(kinds) - 1; j; j--) {
				uint32_t k = chance(&deal, j + 1), card = deck[j];

				deck[j] = deck[k];
				deck[k] = card;
			}
		}
		e.kind = &kinds[deck[i % ARRAY_SIZE(kinds)]];
		violent_end(&e, log);
		if ((i + 1) / 50 != told) {
			told = (i + 1) / 50;
			printf("%u ends\n", i + 1);
		}
	}
	kill(watch, SIGKILL);
	kill(receiver, SIGKILL);
	waitpid(watch, NULL, 0);
	waitpid(receiver, NULL, 0);
	printf("%u ends, %u with pages held by others, %llu bytes leaked on purpose\n", ends,
	       ends_with_pages_held, (unsigned long long)total_leaked);
	stage("page owners");
	pages = chunk_pages();
	if (pages >= 0)
		printf("FIGURE leaked_pages=%ld\n",
		       pages - pages_before - (long)(total_leaked / sysconf(_SC_PAGESIZE)));
	if (pages >= 0)
		assert_int_equal(pages - pages_before, total_leaked / sysconf(_SC_PAGESIZE));
	/* Otherwise nothing was in flight, and nothing proved. */
	assert_true(ends < 100 || ends_with_pages_held > ends / 20);
	printf("FIGURE violent_ends=%u\n", ends);
}

/* With the core goes its account of what was leaked on purpose. */
static int modules_again(void **state)
{
	syscall(SYS_close_range, 3, ~0U, 0);
	module_remove("sgring_fifo");
	module_remove("sgring_dummy");
	module_remove("sgring");
	module_insert("/mod/sgring.ko");
	module_insert("/mod/sgring-dummy.ko");
	return test_end(state);
}

GROUP(cmocka_unit_test_setup_teardown(violent_ends, test_begin, modules_again))

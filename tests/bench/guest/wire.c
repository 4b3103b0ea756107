// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The sending ways of tests/bench/part-wire, in the VM: a stream of the dummy
 * leaves over a TCP connection through an emulated NIC, one way after the other,
 * and each is counted from outside by bench-probe.ko while it is in steady state.
 *
 *	wire [--runs N] [--mib N] [--rate BYTES] WAY:SLOT_BYTES:PACE...
 *
 * PACE is flat (the device never lets up: it waits for slots) or paced (--rate
 * bytes a second, below what the wire takes: the application waits for slots).
 * Each run takes all cases in turn. One line of JSON a case on stdout; what went
 * wrong, or is not offered by this kernel, on stderr.
 *
 * Three processes: this one; the sender, in namespace left, which is all that is
 * counted; and a receiver in namespace right. The sender makes one system call of
 * its own at each end of what is counted, and bench-probe does not count that.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sgring.h>

#include "pattern.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define KIB		1024ULL
#define MIB		(1024 * KIB)

#define SLOTS		64
#define LIMIT_S		60	/* for one case; a machine may be slow */
#define STREAM		"rx0"
#define KNOB		"/sys/kernel/debug/sgring-dummy/" STREAM "/"
#define PROBE		"/sys/kernel/debug/bench-probe/"
#define RIGHT		"10.77.0.2"
#define CALLS		512

#define NOT_OFFERED	77	/* exit code of a sender */

/* ---- what is known at each end of what is counted */

struct moment {
	uint64_t ns;
	uint64_t cpu_ns;	/* of all threads of the sender, the kernel's for it included */
	uint64_t sqpoll_ns;	/* of them, the one that submits */
	uint64_t slots;
	uint64_t bytes;
	uint64_t handover_calls;
	uint64_t library_calls;	/* by its own account */
	uint64_t copied_bytes;	/* by the library, or by read(2) */
	uint64_t zerocopy_sends;
	uint64_t copied_sends;
	struct sgring_stats stats;
};

/* Between the processes of a case. */
static struct shared {
	struct moment begin, end;
	uint64_t received;
	uint64_t wrong;		/* samples of the data */
	uint64_t lost_bytes;
	char trouble[256];
} *shared;

struct sender {
	const struct way *way;
	uint64_t slot_bytes;
	uint64_t warm_slots;	/* before it is counted */
	uint64_t slots;		/* while it is */
	int mark;
	/* as the way has it */
	struct sgring *stream;
	struct sgring_tx *tx;
	int device;
	uint64_t taken;
	uint64_t sent_bytes;
	uint64_t reads;
	uint64_t read_bytes;
	uint64_t sends;
};

struct way {
	const char *name;
	void (*run)(struct sender *s);
	void (*look)(const struct sender *s, struct moment *m);
	uint32_t method;
	uint32_t flags;
	uint32_t waiting;
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void __attribute__((noreturn, format(printf, 2, 3)))
quit(int code, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(shared->trouble, sizeof(shared->trouble), format, list);
	va_end(list);
	_exit(code);
}

static void enter(const char *side)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", side);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		quit(1, "%s: %s", path, strerror(errno));
	close(fd);
}

static void file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		quit(1, "%s: %s", path, strerror(errno));
	close(fd);
}

/* CPU time of the process's thread that submits for io_uring; 0: it has none. */
static uint64_t sqpoll_ns(void)
{
	char path[300], name[32] = "";
	uint64_t ns = 0;
	struct dirent *e;
	DIR *d = opendir("/proc/self/task");
	FILE *f;

	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", e->d_name);
		f = fopen(path, "re");
		if (!f || !fgets(name, sizeof(name), f))
			name[0] = 0;
		if (f)
			fclose(f);
		if (strncmp(name, "iou-sqp", 7))
			continue;
		snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", e->d_name);
		f = fopen(path, "re");
		if (!f || fscanf(f, "%" SCNu64, &ns) != 1)
			quit(1, "%s: no CPU time", path);
		fclose(f);
	}
	if (d)
		closedir(d);
	return ns;
}

/* Called after each slot that was taken: is it the first, or the last, that counts? */
static bool counted(struct sender *s)
{
	struct moment *m;

	if (++s->taken != s->warm_slots && s->taken != s->warm_slots + s->slots)
		return false;
	m = s->taken == s->warm_slots ? &shared->begin : &shared->end;
	if (m == &shared->end && write(s->mark, "e", 1) != 1)
		quit(1, "no mark: %s", strerror(errno));
	s->way->look(s, m);
	m->slots = s->taken;
	m->sqpoll_ns = sqpoll_ns();
	m->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	m->ns = clock_ns(CLOCK_MONOTONIC);
	if (m == &shared->begin && write(s->mark, "b", 1) != 1)
		quit(1, "no mark: %s", strerror(errno));
	return m == &shared->end;
}

/* ---- through the library */

static int port;	/* the receiver's */

static void sgring_way_look(const struct sender *s, struct moment *m)
{
	struct sgring_counters c;
	struct sgring_tx_stats t;

	sgring_counters(s->stream, &c);
	sgring_tx_stats(s->tx, &t);
	m->bytes = c.bytes;
	m->handover_calls = c.kicks + c.polls;
	m->library_calls = c.kicks + c.polls + c.sender_waits + t.calls;
	m->copied_bytes = t.copied_bytes;
	m->zerocopy_sends = t.zerocopy;
	m->copied_sends = t.copied;
	if (sgring_stats(s->stream, &m->stats))
		quit(1, "%s", sgring_errmsg());
}

static void sgring_way(struct sender *s)
{
	struct sgring_options o = {
		.size = sizeof(o), .slot_bytes = s->slot_bytes, .slot_count = SLOTS,
		.waiting = s->way->waiting,
	};
	struct sgring_counters c;
	struct sgring_slot slot;
	char url[64];
	int err;

	snprintf(url, sizeof(url), "tcp://%s:%d", RIGHT, port);
	if (sgring_open(&s->stream, STREAM, &o))
		quit(1, "%s", sgring_errmsg());
	err = sgring_tx_open(&s->tx, s->stream, url,
			     SGRING_TX_OPTIONS(.method = s->way->method, .flags = s->way->flags));
	if (err)
		quit(err == -EOPNOTSUPP ? NOT_OFFERED : 1, "%s", sgring_errmsg());
	if (sgring_start(s->stream))
		quit(1, "%s", sgring_errmsg());
	do {
		if (sgring_next(s->stream, &slot, 1000 * LIMIT_S))
			quit(1, "%s", sgring_errmsg());
		if (slot.status || slot.length != s->slot_bytes)
			quit(1, "a slot of %u bytes, status %d", slot.length, slot.status);
		s->sent_bytes += slot.length;
		if (sgring_tx_send(s->tx, &slot))
			quit(1, "%s", sgring_errmsg());
	} while (!counted(s));
	sgring_stop(s->stream, 0, 0);
	while (!sgring_next(s->stream, &slot, 0))
		sgring_return(s->stream, &slot);
	sgring_counters(s->stream, &c);
	shared->lost_bytes = c.lost_bytes;
	if (sgring_tx_close(s->tx) || sgring_close(s->stream) < 0)
		quit(1, "%s", sgring_errmsg());
}

/* ---- read(2) and send(2) */

static int connect_right(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, RIGHT, &a.sin_addr);
	if (fd < 0 || connect(fd, (void *)&a, sizeof(a)))
		quit(1, "connect: %s", strerror(errno));
	return fd;
}

static void read_way_look(const struct sender *s, struct moment *m)
{
	m->stats = (struct sgring_stats){ .size = sizeof(m->stats) };
	if (ioctl(s->device, SGRING_STATS, &m->stats))
		quit(1, "statistics: %s", strerror(errno));
	m->bytes = s->sent_bytes;
	m->handover_calls = s->reads;
	m->library_calls = s->reads + s->sends;
	m->copied_bytes = s->read_bytes;
}

static int stream_open(void)
{
	struct sgring_query q;
	char path[32];
	int n, fd;

	for (n = 0; n < 64; n++) {
		snprintf(path, sizeof(path), "/dev/sgring%d", n);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		q = (struct sgring_query){ .size = sizeof(q) };
		if (fd >= 0 && !ioctl(fd, SGRING_QUERY, &q) && !strcmp(q.label, STREAM))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	quit(1, "no stream %s", STREAM);
}

static void read_way(struct sender *s)
{
	unsigned char *data = aligned_alloc(4096, s->slot_bytes);
	int fd = connect_right();
	size_t have, sent;
	ssize_t n;

	s->device = stream_open();
	do {
		for (have = 0; have < s->slot_bytes; have += (size_t)n) {
			n = read(s->device, data + have, s->slot_bytes - have);
			s->reads++;
			if (n < 0 && errno == EOVERFLOW) {
				shared->lost_bytes++;
				n = 0;
			} else if (n <= 0) {
				quit(1, "read: %s", n ? strerror(errno) : "the stream has ended");
			}
			s->read_bytes += (uint64_t)n;
		}
		for (sent = 0; sent < have; sent += (size_t)n) {
			n = send(fd, data + sent, have - sent, MSG_NOSIGNAL);
			s->sends++;
			if (n < 0)
				quit(1, "send: %s", strerror(errno));
		}
		s->sent_bytes += have;
	} while (!counted(s));
	close(s->device);
	close(fd);
	free(data);
}

static const struct way ways[] = {
	{ "sgring-uring", sgring_way, sgring_way_look, SGRING_TX_URING, SGRING_TX_RAW, SGRING_SLEEP },
	{ "sgring-frames", sgring_way, sgring_way_look, SGRING_TX_URING, 0, SGRING_SLEEP },
	{ "sgring-fixed", sgring_way, sgring_way_look, SGRING_TX_URING_FIXED, SGRING_TX_RAW,
	  SGRING_SLEEP },
	{ "sgring-sqpoll", sgring_way, sgring_way_look, SGRING_TX_URING,
	  SGRING_TX_RAW | SGRING_TX_SQPOLL, SGRING_SPIN },
	{ "sgring-msg", sgring_way, sgring_way_look, SGRING_TX_ZEROCOPY, SGRING_TX_RAW,
	  SGRING_SLEEP },
	{ "read", read_way, read_way_look, 0, 0, 0 },
};

/* ---- the receiver: quick, so that the wire is what limits; it looks at samples */

#define SAMPLE_EVERY	(16 * MIB)
#define SAMPLE_BYTES	(256 * KIB)

static void receive(int listener, bool raw)
{
	static unsigned char data[SAMPLE_BYTES];
	const uint64_t key = sgring_pattern_key(0);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	uint64_t at = 0;
	ssize_t n;

	for (;;) {
		uint64_t in = at % SAMPLE_EVERY;
		bool sample = raw && in < SAMPLE_BYTES;

		/* Thrown away in the kernel: nothing is written. */
		n = recv(fd, data, sample ? SAMPLE_BYTES - in : raw ? SAMPLE_EVERY - in : SAMPLE_EVERY,
			 sample ? 0 : MSG_TRUNC);
		if (n <= 0)
			break;
		if (sample)
			shared->wrong += sgring_pattern_verify(data, (size_t)n, key, at) != (size_t)n;
		at += (uint64_t)n;
	}
	shared->received = at;
	_exit(n < 0);
}

static pid_t start_receiver(bool raw)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(a);
	int told[2];
	pid_t pid;

	if (pipe2(told, O_CLOEXEC))
		quit(1, "pipe: %s", strerror(errno));
	pid = fork();
	if (!pid) {
		int fd, listening;

		alarm(2 * LIMIT_S);
		enter("right");
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0 || bind(fd, (void *)&a, sizeof(a)) || listen(fd, 1) ||
		    getsockname(fd, (void *)&a, &bytes))
			quit(1, "no receiver: %s", strerror(errno));
		listening = ntohs(a.sin_port);
		if (write(told[1], &listening, sizeof(listening)) != sizeof(listening))
			quit(1, "pipe: %s", strerror(errno));
		receive(fd, raw);
	}
	close(told[1]);
	if (read(told[0], &port, sizeof(port)) != sizeof(port))
		port = 0;
	close(told[0]);
	return pid;
}

/* ---- a case */

static const char *call_name(unsigned int number)
{
	static const struct { unsigned int number; const char *name; } names[] = {
		{ SYS_read, "read" }, { SYS_write, "write" }, { SYS_poll, "poll" },
		{ SYS_ppoll, "ppoll" }, { SYS_ioctl, "ioctl" }, { SYS_sendto, "sendto" },
		{ SYS_sendmsg, "sendmsg" }, { SYS_sendmmsg, "sendmmsg" },
		{ SYS_recvfrom, "recvfrom" }, { SYS_recvmsg, "recvmsg" },
		{ SYS_recvmmsg, "recvmmsg" }, { SYS_getsockopt, "getsockopt" },
		{ SYS_getpeername, "getpeername" }, { SYS_clock_gettime, "clock_gettime" },
		{ SYS_epoll_wait, "epoll_wait" }, { SYS_epoll_ctl, "epoll_ctl" },
		{ SYS_epoll_pwait, "epoll_pwait" }, { SYS_futex, "futex" },
		{ SYS_nanosleep, "nanosleep" }, { SYS_clock_nanosleep, "clock_nanosleep" },
		{ SYS_timerfd_settime, "timerfd_settime" }, { SYS_sched_yield, "sched_yield" },
		{ SYS_io_uring_enter, "io_uring_enter" },
	};
	static char other[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].number == number)
			return names[i].name;
	snprintf(other, sizeof(other), "%u", number);
	return other;
}

/**
 * struct counters - what bench-probe has counted
 */
struct counters {
	uint64_t packets, bare, busy, bytes, fragments, linear_bytes, kernel_bytes, plain_bytes;
	uint64_t calls;
	uint64_t call[CALLS];
};

static bool read_counters(struct counters *c)
{
	const struct { const char *name; uint64_t *value; } all[] = {
		{ "packets", &c->packets }, { "bare", &c->bare }, { "busy", &c->busy },
		{ "bytes", &c->bytes }, { "fragments", &c->fragments },
		{ "linear_bytes", &c->linear_bytes }, { "kernel_bytes", &c->kernel_bytes },
		{ "plain_bytes", &c->plain_bytes },
	};
	FILE *f = fopen(PROBE "counters", "re");
	unsigned int number;
	char line[80], name[32];
	uint64_t value;
	size_t i, found = 0;

	memset(c, 0, sizeof(*c));
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "call %u %" SCNu64, &number, &value) == 2 && number < CALLS) {
			c->call[number] = value;
			c->calls += value;
		} else if (sscanf(line, "%31s %" SCNu64, name, &value) == 2) {
			for (i = 0; i < ARRAY_SIZE(all); i++)
				if (!strcmp(all[i].name, name)) {
					*all[i].value = value;
					found++;
				}
		}
	}
	if (f)
		fclose(f);
	return found == ARRAY_SIZE(all);
}

static void report(const struct way *way, uint64_t slot_bytes, const char *pace, unsigned int run,
		   const struct counters *c)
{
	const struct moment *b = &shared->begin, *e = &shared->end;
	double slots = (double)(e->slots - b->slots), bytes = (double)(e->bytes - b->bytes);
	double on_wire = (double)c->bytes;
	unsigned int i;

#define PER_SLOT(field)	((double)(e->field - b->field) / slots)
	printf("{\"part\":\"wire\",\"case\":{\"way\":\"%s\",\"slot_bytes\":%" PRIu64
	       ",\"pace\":\"%s\"},\"run\":%u,\"metrics\":{", way->name, slot_bytes, pace, run);
	printf("\"calls_per_slot\":%.6f,\"handover_calls_per_slot\":%.6f,"
	       "\"library_calls_per_slot\":%.6f,", (double)c->calls / slots,
	       PER_SLOT(handover_calls), PER_SLOT(library_calls));
	printf("\"timer_runs_per_slot\":%.4f,\"starved_ns_per_slot\":%.0f,",
	       PER_SLOT(stats.timer_runs), PER_SLOT(stats.stalled_ns));
	printf("\"fragments_per_mib\":%.3f,\"packets_per_mib\":%.3f,\"copied_per_byte\":%.6f,"
	       "\"plain_per_byte\":%.6f,", (double)c->fragments * MIB / on_wire,
	       (double)c->packets * MIB / on_wire,
	       (double)(c->linear_bytes + c->kernel_bytes) / on_wire + PER_SLOT(copied_bytes) * slots / bytes,
	       (double)c->plain_bytes / on_wire);
	printf("\"zerocopy_sends\":%" PRIu64 ",\"copied_sends\":%" PRIu64 ",",
	       e->zerocopy_sends - b->zerocopy_sends, e->copied_sends - b->copied_sends);
	printf("\"cpu_ns_per_slot\":%.0f,\"sqpoll_cpu_ns_per_slot\":%.0f,\"mb_per_s\":%.2f,"
	       "\"slots\":%.0f,\"lost_bytes\":%" PRIu64 ",\"wire_bytes_per_byte\":%.4f",
	       PER_SLOT(cpu_ns), PER_SLOT(sqpoll_ns), bytes * 1e3 / (double)(e->ns - b->ns), slots,
	       shared->lost_bytes, on_wire / bytes);
	for (i = 0; i < CALLS; i++)
		if (c->call[i])
			printf(",\"call_%s_per_slot\":%.6f", call_name(i), (double)c->call[i] / slots);
	printf("}}\n");
	fflush(stdout);
}

static bool run_case(const struct way *way, struct sender *s, const char *pace, unsigned int run)
{
	const bool raw = way->flags & SGRING_TX_RAW || way->run == read_way;
	pid_t receiver = start_receiver(raw), sender;
	struct counters c;
	int status, other;

	sender = fork();
	if (!sender) {
		alarm(LIMIT_S);
		enter("left");
		s->way = way;
		s->mark = open(PROBE "mark", O_WRONLY | O_CLOEXEC);
		if (s->mark < 0)
			quit(1, "%smark: %s", PROBE, strerror(errno));
		file_write(PROBE "watch", "wire");
		way->run(s);
		_exit(0);
	}
	waitpid(sender, &status, 0);
	if (status)
		kill(receiver, SIGKILL);
	waitpid(receiver, &other, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_OFFERED) {
		fprintf(stderr, "wire: %s: not offered: %s\n", way->name, shared->trouble);
		return true;
	}
	if (WIFSIGNALED(status))
		fprintf(stderr, "wire: %s %" PRIu64 " %s: ended by signal %d (14: took more than %d s)\n",
			way->name, s->slot_bytes, pace, WTERMSIG(status), LIMIT_S);
	else if (status || other)
		fprintf(stderr, "wire: %s %" PRIu64 " %s: %s\n", way->name, s->slot_bytes, pace,
			shared->trouble[0] ? shared->trouble : "the receiver failed");
	else if (shared->wrong && !shared->lost_bytes)
		fprintf(stderr, "wire: %s %" PRIu64 " %s: %" PRIu64 " samples of the data are wrong\n",
			way->name, s->slot_bytes, pace, shared->wrong);
	else if (shared->received < (s->warm_slots + s->slots) * s->slot_bytes)
		fprintf(stderr, "wire: %s %" PRIu64 " %s: only %" PRIu64 " bytes have arrived\n", way->name,
			s->slot_bytes, pace, shared->received);
	else if (!read_counters(&c) || !c.bytes)
		fprintf(stderr, "wire: bench-probe has counted nothing\n");
	else
		return report(way, s->slot_bytes, pace, run, &c), true;
	return false;
}

static void wait_for_link(void)
{
	struct ifreq r = { 0 };
	int fd, i;

	strcpy(r.ifr_name, "wire");
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (i = 0; i < 300; i++) {
		if (!ioctl(fd, SIOCGIFFLAGS, &r) && r.ifr_flags & IFF_RUNNING)
			break;
		usleep(100000);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "runs", required_argument, NULL, 'n' },
		{ "mib", required_argument, NULL, 'm' },
		{ "rate", required_argument, NULL, 'r' },
		{ 0 }
	};
	unsigned long runs = 1, mib = 64, run;
	const char *rate = "12000000";
	bool good = true;
	int option, i;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'n')
			runs = strtoul(optarg, NULL, 0);
		else if (option == 'm')
			mib = strtoul(optarg, NULL, 0);
		else if (option == 'r')
			rate = optarg;
		else
			return 2;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	if (!fork()) {
		enter("left");
		wait_for_link();
		enter("right");
		wait_for_link();
		_exit(0);
	}
	wait(NULL);

	for (run = 0; run < runs; run++)
		for (i = optind; i < argc; i++) {
			struct sender s = { 0 };
			char name[32], pace[8];
			size_t w;

			if (sscanf(argv[i], "%31[^:]:%" SCNu64 ":%7s", name, &s.slot_bytes, pace) != 3 ||
			    !s.slot_bytes || (strcmp(pace, "flat") && strcmp(pace, "paced"))) {
				fprintf(stderr, "wire: WAY:SLOT_BYTES:flat|paced, not %s\n", argv[i]);
				return 2;
			}
			for (w = 0; w < ARRAY_SIZE(ways) && strcmp(ways[w].name, name); w++)
				;
			if (w == ARRAY_SIZE(ways)) {
				fprintf(stderr, "wire: no way is called %s\n", name);
				return 2;
			}
			memset(shared, 0, sizeof(*shared));
			file_write(KNOB "rate", pace[0] == 'f' ? "0" : rate);
			/* Flat out it is steady once all slots have been round and the socket is full. */
			s.warm_slots = pace[0] == 'f' ? SLOTS + SLOTS / 4 : SLOTS / 4;
			s.slots = (mib * MIB / s.slot_bytes + SLOTS - 1) / SLOTS * SLOTS;
			good &= run_case(&ways[w], &s, pace, (unsigned int)run);
		}
	return !good;
}

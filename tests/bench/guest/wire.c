// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The sending ways of tests/bench/part-wire, in the VM: slots leave
 * over a TCP connection through an emulated NIC, one way after the other,
 * and each is counted from outside by bench-probe.ko while it is in steady state.
 *
 *	wire [--runs N] [--mib N] [--rate BYTES] WAY:SLOT_BYTES:PACE...
 *
 * PACE is flat (the device never lets up: it waits for slots), paced (--rate bytes a
 * second, below what the wire takes: the application waits for slots), or batched
 * (paced, and the application asks to be woken for half of the slots at a time; sgring
 * only). Each run takes all cases in turn. One line of JSON a case on stdout; what went
 * wrong, or is not offered by this kernel, on stderr.
 *
 * Three processes: this one; the sender, in namespace left, which is all that is
 * counted; and a receiver in namespace right. The sender makes one system call of
 * its own at each end of what is counted, and bench-probe does not count that.
 *
 * The device is bench-engine, which moves no data: all ways share it, and the CPU is
 * theirs. The sender numbers the slots, the receiver looks for the numbers.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
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

#include <sgring_frame.h>

#include "wire.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define SLOTS		128
#define ENGINE		"/sys/kernel/debug/bench-engine/"
#define PROBE		"/sys/kernel/debug/bench-probe/"
#define CALLS		512

/* Between the processes of a case. */
static struct shared {
	struct moment begin, end;
	uint64_t longest_ns;	/* from one slot to the next, while it is counted */
	uint64_t received;
	uint64_t wrong;		/* slots that had not the right number */
	char trouble[256];
} *shared;

/* The sender's. */
static struct sender {
	const struct wire_case *c;
	uint64_t warm_slots;	/* before it is counted */
	uint64_t slots;		/* while it is */
	uint64_t taken;
	uint64_t last_ns;
	int mark;
} sender;

void wire_quit(int code, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(shared->trouble, sizeof(shared->trouble), format, list);
	va_end(list);
	_exit(code);
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void enter(const char *side)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", side);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		wire_quit(1, "%s: %s", path, strerror(errno));
	close(fd);
}

static bool file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (!done)
		fprintf(stderr, "wire: %s: %s\n", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return done;
}

/* ---- the sender */

int wire_connect(const struct wire_case *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)c->port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, RIGHT, &a.sin_addr);
	if (fd < 0 || connect(fd, (void *)&a, sizeof(a)))
		wire_quit(1, "connect: %s", strerror(errno));
	return fd;
}

int wire_stream(void)
{
	struct sgring_query q;
	char path[32];
	int n, fd;

	for (n = 0; n < 64; n++) {
		snprintf(path, sizeof(path), "/dev/sgring%d", n);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		q = (struct sgring_query){ .size = sizeof(q) };
		if (fd >= 0 && !ioctl(fd, SGRING_QUERY, &q) && !strcmp(q.label, WIRE_STREAM))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	wire_quit(1, "no stream " WIRE_STREAM);
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
			wire_quit(1, "%s: no CPU time", path);
		fclose(f);
	}
	if (d)
		closedir(d);
	return ns;
}

static uint64_t dry_periods(void)
{
	char path[64], line[80];
	uint64_t dry = 0;
	FILE *f;

	snprintf(path, sizeof(path), ENGINE "%s.0/totals", sender.c->way->client);
	f = fopen(path, "re");
	if (!f)
		wire_quit(1, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		sscanf(line, "dry %" SCNu64, &dry);
	fclose(f);
	return dry;
}

/* TCP segments sent again in this namespace. */
static uint64_t resent_segments(void)
{
	FILE *f = fopen("/proc/self/net/snmp", "re");
	char line[512];
	uint64_t n = 0;

	/* The second line of its kind has the numbers. */
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Tcp: %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %*d %" SCNu64, &n);
	if (f)
		fclose(f);
	return n;
}

bool wire_sent(void *data)
{
	uint64_t n = sender.taken++, now = clock_ns(CLOCK_MONOTONIC);	/* no system call */
	struct moment *m = &shared->begin;

	memcpy(data, &n, sizeof(n));
	if (n > sender.warm_slots && now - sender.last_ns > shared->longest_ns)
		shared->longest_ns = now - sender.last_ns;
	sender.last_ns = now;
	if (sender.taken == sender.warm_slots + sender.slots)
		m = &shared->end;
	else if (sender.taken != sender.warm_slots)
		return false;
	/* Whatever else is called for this is outside of what is counted. */
	if (m == &shared->end && write(sender.mark, "", 1) != 1)
		wire_quit(1, "no mark: %s", strerror(errno));
	sender.c->way->look(m);
	m->slots = sender.taken;
	m->dry = dry_periods();
	m->resent = resent_segments();
	m->sqpoll_ns = sqpoll_ns();
	m->cpu_ns = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	m->ns = clock_ns(CLOCK_MONOTONIC);
	if (m == &shared->begin && write(sender.mark, "", 1) != 1)
		wire_quit(1, "no mark: %s", strerror(errno));
	return m == &shared->end;
}

static pid_t start_sender(const struct wire_case *c)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	alarm(LIMIT_S);
	enter("left");
	sender.c = c;
	sender.mark = open(PROBE "mark", O_WRONLY | O_CLOEXEC);
	if (sender.mark < 0 || !file_write(PROBE "watch", "wire"))
		wire_quit(1, "no bench-probe");
	c->way->run(c);
	_exit(0);
}

/* ---- the receiver: quick, so that the wire is what limits */

static void receive(int listener, const struct wire_case *c)
{
	const uint64_t frame = c->way->frames ? SGRING_ENTRY_BYTES : 0;
	const uint64_t first = c->way->frames ? SGRING_HELLO_BYTES + frame : 0;
	/* Looking costs two calls: once in a MiB. */
	const uint64_t step = c->slot_bytes < MIB ? MIB / c->slot_bytes : 1;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	uint64_t at = 0, slot = 0, number, upto;
	char nothing;
	ssize_t n;

	for (;;) {
		upto = first + slot * (c->slot_bytes + frame);
		if (at < upto) {	/* thrown away in the kernel: nothing is written */
			n = recv(fd, &nothing, upto - at, MSG_TRUNC);
		} else {
			n = recv(fd, &number, sizeof(number), MSG_WAITALL);
			shared->wrong += n == sizeof(number) && number != slot;
			slot += step;
		}
		if (n <= 0)
			break;
		at += (uint64_t)n;
	}
	shared->received = at;
	_exit(n < 0);
}

static pid_t start_receiver(struct wire_case *c)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(a);
	int told[2], fd, port = 0, large = 16 * MIB;
	pid_t pid;

	if (pipe2(told, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		alarm(2 * LIMIT_S);
		enter("right");
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large));
		if (fd < 0 || bind(fd, (void *)&a, sizeof(a)) || listen(fd, 1) ||
		    getsockname(fd, (void *)&a, &bytes))
			wire_quit(1, "no receiver: %s", strerror(errno));
		port = ntohs(a.sin_port);
		if (write(told[1], &port, sizeof(port)) != sizeof(port))
			wire_quit(1, "pipe: %s", strerror(errno));
		receive(fd, c);
	}
	close(told[1]);
	if (read(told[0], &port, sizeof(port)) == sizeof(port))
		c->port = port;
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

/* What bench-probe has counted. */
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

static void report(const struct wire_case *c, const char *pace, unsigned int run,
		   const struct counters *k)
{
	const struct moment *b = &shared->begin, *e = &shared->end;
	const double slots = (double)(e->slots - b->slots), bytes = (double)(e->bytes - b->bytes);
	const double on_wire = (double)k->bytes;
	unsigned int i;

#define PER_SLOT(field)	((double)(e->field - b->field) / slots)
	printf("{\"part\":\"wire\",\"case\":{\"way\":\"%s\",\"slot_bytes\":%" PRIu64
	       ",\"pace\":\"%s\"},\"run\":%u,\"metrics\":{", c->way->name, c->slot_bytes, pace, run);
	printf("\"calls_per_slot\":%.6f,\"handover_calls_per_slot\":%.6f,\"own_calls_per_slot\":%.6f",
	       (double)k->calls / slots, PER_SLOT(handover_calls), PER_SLOT(own_calls));
	if (!c->way->no_stats)
		printf(",\"timer_runs_per_slot\":%.4f,\"starved_ns_per_slot\":%.0f",
		       PER_SLOT(stats.timer_runs), PER_SLOT(stats.stalled_ns));
	printf(",\"fragments_per_mib\":%.3f,\"packets_per_mib\":%.3f",
	       (double)k->fragments * MIB / on_wire, (double)k->packets * MIB / on_wire);
	printf(",\"copied_per_byte\":%.6f,\"plain_per_byte\":%.6f",
	       (double)(k->linear_bytes + k->kernel_bytes) / on_wire +
	       (double)(e->copied_bytes - b->copied_bytes) / bytes,
	       (double)k->plain_bytes / on_wire);
	printf(",\"zerocopy_sends\":%" PRIu64 ",\"copied_sends\":%" PRIu64,
	       e->zerocopy_sends - b->zerocopy_sends, e->copied_sends - b->copied_sends);
	printf(",\"cpu_ns_per_slot\":%.0f,\"sqpoll_cpu_ns_per_slot\":%.0f,\"mb_per_s\":%.2f",
	       PER_SLOT(cpu_ns), PER_SLOT(sqpoll_ns), bytes * 1e3 / (double)(e->ns - b->ns));
	printf(",\"longest_wait_ms\":%.1f", (double)shared->longest_ns / 1e6);
	printf(",\"slots\":%.0f,\"stream_slots\":%u,\"dry\":%" PRIu64 ",\"resent\":%" PRIu64 ",\"wire_bytes_per_byte\":%.4f",
	       slots, c->slots, e->dry - b->dry, e->resent - b->resent, on_wire / bytes);
	for (i = 0; i < CALLS; i++)
		if (k->call[i])
			printf(",\"call_%s_per_slot\":%.6f", call_name(i), (double)k->call[i] / slots);
	printf("}}\n");
	fflush(stdout);
}

static bool set_pace(const struct wire_case *c, uint64_t rate)
{
	uint64_t bytes = c->way->device_bytes ? c->way->device_bytes : c->slot_bytes;
	char path[64], text[32];

	snprintf(path, sizeof(path), ENGINE "%s.0/period_ns", c->way->client);
	snprintf(text, sizeof(text), "%" PRIu64, rate ? bytes * 1000000000 / rate : 0);
	return file_write(path, text);
}

static bool run_case(struct wire_case *c, const char *pace, unsigned int run)
{
	pid_t receiver = start_receiver(c), sending = start_sender(c);
	static const struct wire_way *said;	/* that it is not offered */
	struct counters k;
	const char *what = shared->trouble;
	int status, other;

	waitpid(sending, &status, 0);
	if (status)
		kill(receiver, SIGKILL);
	waitpid(receiver, &other, 0);
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_OFFERED) {
		if (said != c->way)
			fprintf(stderr, "wire: %s: not offered: %s\n", c->way->name, what);
		said = c->way;
		return true;
	}
	if (WIFSIGNALED(status))
		what = WTERMSIG(status) == SIGALRM ? "it took too long" : "the sender was killed";
	else if (status || other)
		what = what[0] ? what : "the receiver failed";
	else if (shared->wrong)
		what = "slots arrived that were not the right ones";
	else if (shared->received < (sender.warm_slots + sender.slots) * c->slot_bytes)
		what = "not all has arrived";
	else if (!read_counters(&k) || !k.bytes)
		what = "bench-probe has counted nothing";
	else
		return report(c, pace, run, &k), true;
	fprintf(stderr, "wire: %s, slots of %" PRIu64 ", %s: %s\n", c->way->name, c->slot_bytes, pace, what);
	return false;
}

/* Long rings, so that an emulated CPU that comes late loses no packets. */
static void long_rings(void)
{
	struct ethtool_ringparam rings = {
		.cmd = ETHTOOL_SRINGPARAM, .rx_pending = 4096, .tx_pending = 256,
	};
	struct ifreq r = { .ifr_data = (void *)&rings };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strcpy(r.ifr_name, "wire");
	if (ioctl(fd, SIOCETHTOOL, &r))
		fprintf(stderr, "wire: no long rings: %s\n", strerror(errno));
	close(fd);
}

/* The link comes up by itself; then somebody refuses a connection to where nobody listens. */
static void wait_for_link(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd, i, err = 0;

	inet_pton(AF_INET, RIGHT, &a.sin_addr);
	for (i = 0; i < 100 && err != ECONNREFUSED; i++) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		err = connect(fd, (void *)&a, sizeof(a)) ? errno : 0;
		close(fd);
		usleep(100000);
	}
}

/*
 * TCP makes packets smaller on a slow wire, and takes an emulated CPU that comes
 * late for congestion: this wire is to be taken for a quick one.
 */
static void prepare_link(void)
{
	pid_t pid = fork();

	if (!pid) {
		enter("right");
		long_rings();
		enter("left");
		long_rings();
		file_write("/proc/sys/net/ipv4/tcp_tso_rtt_log", "31");
		file_write("/sys/module/tcp_cubic/parameters/hystart", "0");
		wait_for_link();
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static const struct wire_way *find_way(const char *name)
{
	const struct wire_way *w;

	for (w = wire_sgring; w->name; w++)
		if (!strcmp(w->name, name))
			return w;
	for (w = wire_ioctl; w->name; w++)
		if (!strcmp(w->name, name))
			return w;
	return NULL;
}

static bool do_case(const char *text, unsigned int run, uint64_t mib, uint64_t rate)
{
	struct wire_case c = { 0 };
	char name[32], pace[10];
	bool flat;

	if (sscanf(text, "%31[^:]:%" SCNu64 ":%9s", name, &c.slot_bytes, pace) != 3 ||
	    c.slot_bytes < 4096 || (strcmp(pace, "flat") && strcmp(pace, "paced") && strcmp(pace, "batched"))) {
		fprintf(stderr, "wire: WAY:SLOT_BYTES:flat|paced|batched, not %s\n", text);
		return false;
	}
	c.way = find_way(name);
	if (!c.way) {
		fprintf(stderr, "wire: no way is called %s\n", name);
		return false;
	}
	c.slots = SLOTS < c.way->slots_max ? SLOTS : c.way->slots_max;
	c.batched = !strcmp(pace, "batched");
	flat = !strcmp(pace, "flat");
	/* Flat out it is steady once all slots have been round and the socket is full. */
	sender.warm_slots = flat ? 2 * SLOTS : SLOTS;
	if (c.slot_bytes >= MIB)
		sender.warm_slots = flat ? SLOTS + SLOTS / 4 : SLOTS / 2;
	sender.slots = ((flat ? mib : mib / 2) * MIB / c.slot_bytes + SLOTS - 1) / SLOTS * SLOTS;
	memset(shared, 0, sizeof(*shared));
	return set_pace(&c, flat ? 0 : rate) && run_case(&c, pace, run);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "runs", required_argument, NULL, 'n' },
		{ "mib", required_argument, NULL, 'm' },
		{ "rate", required_argument, NULL, 'r' },
		{ 0 }
	};
	uint64_t runs = 1, mib = 64, rate = 12000000, run;
	bool good = true;
	int option, i;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (option == 'n')
			runs = strtoull(optarg, NULL, 0);
		else if (option == 'm')
			mib = strtoull(optarg, NULL, 0);
		else if (option == 'r')
			rate = strtoull(optarg, NULL, 0);
		else
			return 2;
	}
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	prepare_link();
	for (run = 0; run < runs; run++)
		for (i = optind; i < argc; i++)
			good &= do_case(argv[i], (unsigned int)run, mib, rate);
	return !good;
}

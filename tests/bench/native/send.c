// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * What it costs to send what a device has filled, in CPU time, by ways that copy and
 * ways that do not
 *
 *	send [-q] [-n RUNS] [-s SLOT_BYTES] [-w WAYS] [-m MIB] [-l | -j] SINK
 *
 * in a network namespace whose device SINK has 10.9.9.1 and lets go of what is sent to
 * 10.9.9.2 (part-send). -q: a quick look; -l: the largest datagrams only, -j: those of
 * jumbo frames.
 *
 * Each way sends the same datagrams to the same sink out of as much memory, slot
 * after slot, beyond what caches hold. JSON lines, see tests/bench/README.md.
 *
 *	a	copy out of the driver, then send: for each slot a read(2), played by one that
 *		brings nothing and a copy; in reads of 256 KiB at most, into a buffer that
 *		stays in the cache, as a careful program does
 *	b	mapped, copying send
 *	c	4 KiB pages, MSG_ZEROCOPY, notifications read in batches, and for each slot one
 *		exchange call, played by an ioctl that does nothing
 *	d e f	libsgring over its simulator: MSG_ZEROCOPY; io_uring; io_uring, registered
 *
 *	s	as f, submitted by a kernel thread, whose CPU time counts too
 *
 * Either each send is one datagram, as large as can be; or datagrams are those of jumbo
 * frames, and the kernel takes several of neighbouring memory with one send (UDP_SEGMENT),
 * for every way alike. What the others do to whom that is unknown stands beside it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/errqueue.h>

#include "meter.h"
#include "sim.h"
#include "tx_sock.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

#define PEER "10.9.9.2"
#define RING_BYTES (64ULL << 20)	/* of slots; beyond the caches, as what a device writes is */
#define READ_BYTES (256U << 10)
#define UDP_MAX 65507U
#define JUMBO 8192U			/* what a frame of 9000 bytes takes, rounded */
#define NOTIFY_EVERY 16U

/**
 * struct job - one measurement
 * @way: a to f, s
 * @gso: several datagrams a send
 * @slot: bytes
 * @slots: in the ring
 * @datagram: bytes
 * @send: bytes in a send
 * @total: bytes to send
 */
struct job {
	char way;
	bool gso;
	size_t slot;
	size_t slots;
	size_t datagram;
	size_t send;
	uint64_t total;
};

/* What came of it. */
struct result {
	struct meter meter;
	uint64_t bytes;
	uint64_t calls;
	uint64_t sends;
	uint64_t zerocopy;
	uint64_t copied;
};

static const char *sink;

static const char leaves_out[] =
	"the driver's own work, for which calls are played that do nothing (part driver counts it); "
	"the copy of read(2) is a memcpy; the network device's: mapping for DMA, its driver, "
	"interrupts; the device takes several datagrams at once, as one with UDP segmentation "
	"offload does; packets of up to 64 KiB exist on no wire; slots of a page or some lie in huge "
	"pages here, the driver's chunks end with a slot; way c: pages of a driver's are slower to "
	"look up than an application's where CONFIG_SECRETMEM is set";

static void die(const char *what)
{
	fprintf(stderr, "send: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void die_of(const char *what)
{
	fprintf(stderr, "send: %s: %s\n", what, sgring_errmsg());
	exit(1);
}

/* Packets the sink has got: an ifb counts them as dropped on receive. */
static uint64_t sunk(void)
{
	unsigned long long rx_packets, rx_drop, tx_packets;
	FILE *f = fopen("/proc/net/dev", "re");
	uint64_t packets = 0;
	char line[512], name[32];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, " %31[^:]: %*u %llu %*u %llu %*u %*u %*u %*u %*u %llu", name,
			   &rx_packets, &rx_drop, &tx_packets) == 4 && !strcmp(name, sink))
			packets = rx_packets + rx_drop + tx_packets;
	}
	if (f)
		fclose(f);
	return packets;
}

/* --- ways without the library */

static int socket_to_sink(const struct job *j)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1, bytes = (int)j->datagram;

	inet_pton(AF_INET, PEER, &to.sin_addr);
	if (fd < 0 || connect(fd, (void *)&to, sizeof(to)))
		die("socket");
	if (j->way == 'c' && setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		die("SO_ZEROCOPY");
	if (j->gso && setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof(bytes)))
		die("UDP_SEGMENT");
	return fd;
}

static unsigned char *slots_of(bool huge)
{
	const size_t align = 2U << 20;
	unsigned char *p = mmap(NULL, RING_BYTES + align, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t skip;

	if (p == MAP_FAILED)
		die("mmap");
	skip = -(uintptr_t)p & (align - 1);
	if (skip)
		munmap(p, skip);
	if (align - skip)
		munmap(p + skip + RING_BYTES, align - skip);
	p += skip;
	if (madvise(p, RING_BYTES, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		die("madvise");
	memset(p, 0x5a, RING_BYTES);
	return p;
}

static void read_notifications(int fd, struct result *r)
{
	union {
		struct cmsghdr align;
		char bytes[128];
	} control[NOTIFY_EVERY];
	struct mmsghdr msgs[NOTIFY_EVERY] = { 0 };
	const struct sock_extended_err *e;
	uint64_t sends;
	int i, n;

	for (i = 0; i < (int)NOTIFY_EVERY; i++) {
		msgs[i].msg_hdr.msg_control = &control[i];
		msgs[i].msg_hdr.msg_controllen = sizeof(control[i]);
	}
	n = recvmmsg(fd, msgs, NOTIFY_EVERY, MSG_ERRQUEUE | MSG_DONTWAIT, NULL);
	r->calls++;
	for (i = 0; i < n; i++) {
		e = (const void *)CMSG_DATA(CMSG_FIRSTHDR(&msgs[i].msg_hdr));
		if (e->ee_origin != SO_EE_ORIGIN_ZEROCOPY || e->ee_errno)
			continue;
		sends = e->ee_data - e->ee_info + 1;
		*(e->ee_code & SO_EE_CODE_ZEROCOPY_COPIED ? &r->copied : &r->zerocopy) += sends;
	}
}

static void send_part(const struct job *j, int fd, const unsigned char *from, size_t bytes,
		      struct result *r)
{
	size_t n, at;

	for (at = 0; at < bytes; at += n) {
		n = bytes - at < j->send ? bytes - at : j->send;
		if (send(fd, from + at, n, j->way == 'c' ? MSG_ZEROCOPY : 0) != (ssize_t)n)
			die("send");
		r->calls++;
		r->sends++;
		if (j->way == 'c' && !(r->sends % NOTIFY_EVERY))
			read_notifications(fd, r);
	}
}

/* As many slots as fit into a send, with GSO; a read brings so many, or a part of one. */
static size_t step_of(const struct job *j)
{
	size_t step = j->slot;

	if (j->send > j->slot)
		step = j->send;
	if (j->way == 'a' && step > READ_BYTES)
		step = READ_BYTES / j->send * j->send;
	return step;
}

static void run_plain(const struct job *j, struct result *r)
{
	const int fd = socket_to_sink(j), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	unsigned char *ring = slots_of(j->way != 'c'), *mine = malloc(READ_BYTES), *data;
	const size_t step = step_of(j);
	size_t at, n, in_slot;
	uint64_t left;
	int round;

	if (null < 0 || !mine)
		die("/dev/null");
	/* The first round warms up. */
	for (round = 0; round < 2; round++) {
		left = round ? j->total : RING_BYTES / 4;
		if (round) {
			memset(r, 0, sizeof(*r));
			meter_start(&r->meter);
		}
		for (at = 0; left; left -= n, at = (at + n) % RING_BYTES) {
			n = left < RING_BYTES - at ? left : RING_BYTES - at;
			n = n < step ? n : step;
			in_slot = j->slot - at % j->slot;
			if (n > in_slot && j->slot >= j->send)
				n = in_slot;
			data = ring + at;
			if (j->way == 'a') {
				if (read(null, mine, n))
					die("read");
				r->calls++;
				memcpy(mine, data, n);
				data = mine;
			}
			if (j->way == 'c')
				for (in_slot = 0; in_slot < n; in_slot += j->slot) {
					ioctl(null, _IO('s', 1));
					r->calls++;
				}
			send_part(j, fd, data, n, r);
			r->bytes += n;
		}
		if (j->way == 'c')
			read_notifications(fd, r);
	}
	meter_stop(&r->meter);
	munmap(ring, RING_BYTES);
	free(mine);
	close(null);
	close(fd);
}

/* --- ours */

static const uint32_t methods[] = {
	['d'] = SGRING_TX_ZEROCOPY, ['e'] = SGRING_TX_URING, ['f'] = SGRING_TX_URING_FIXED,
	['s'] = SGRING_TX_URING_FIXED,
};

/* One datagram a send: there is no option for it, and who needs it but a comparison? */
static void no_segments(struct sgring_tx *t)
{
	sock_of(t)->segment = false;
	sgring_sock_set(t->fd, IPPROTO_UDP, UDP_SEGMENT, 0);
}

static void send_slots(struct sgring *s, struct sgring_tx *t, uint64_t bytes)
{
	struct sgring_slot slot;
	uint64_t sent;

	for (sent = 0; sent < bytes; sent += slot.length)
		if (sgring_next(s, &slot, 10000) || sgring_tx_send(t, &slot))
			die_of("sending");
	if (sgring_tx_flush(t, 10000))
		die_of("flush");
}

static uint64_t calls_of(struct sgring *s, struct sgring_tx *t)
{
	struct sgring_counters c;
	struct sgring_tx_stats st;

	sgring_counters(s, &c);
	sgring_tx_stats(t, &st);
	return st.calls + c.kicks + c.polls + c.sender_waits;
}

/* False: it cannot be done here, which was said. */
static bool run_ours(const struct job *j, struct result *r)
{
	struct sgring_tx_stats before, after;
	struct sgring_tx *t;
	struct sgring *s;
	uint64_t calls;
	int err;

	meter_pin(meter_device_cpu());
	if (sgring_open(&s, "sim:fill=0", SGRING_OPTIONS(.slot_bytes = j->slot,
							 .slot_count = (uint32_t)j->slots)))
		die_of("sim:");
	meter_pin(meter_app_cpu());
	err = sgring_tx_open(&t, s, "udp://" PEER ":9",
			     SGRING_TX_OPTIONS(.method = methods[(int)j->way],
					       .flags = SGRING_TX_RAW |
							(j->way == 's' ? SGRING_TX_SQPOLL : 0),
					       .datagram_bytes = (uint32_t)j->datagram));
	if (err) {
		/* Root has no limit on locked memory; a kernel may have no such way. */
		if (err != -ENOBUFS && err != -EOPNOTSUPP && err != -EPERM && err != -ENOSYS)
			die_of("udp://" PEER);
		fprintf(stderr, "send: without way %c: %s\n", j->way, sgring_errmsg());
		sgring_close(s);
		return false;
	}
	if (!j->gso)
		no_segments(t);
	if (sgring_start(s))
		die_of("start");
	send_slots(s, t, RING_BYTES / 4);

	memset(r, 0, sizeof(*r));
	sgring_tx_stats(t, &before);
	calls = calls_of(s, t);
	if (sgring_sim_clock(sgring_fd(s), &r->meter.device))
		die_of("the simulator's clock");
	r->meter.excluded = true;
	meter_start(&r->meter);
	send_slots(s, t, j->total);
	meter_stop(&r->meter);
	sgring_tx_stats(t, &after);
	r->calls = calls_of(s, t) - calls;
	r->bytes = after.bytes - before.bytes;
	r->sends = after.sends - before.sends;
	r->zerocopy = after.zerocopy - before.zerocopy;
	r->copied = after.copied - before.copied;
	if (after.nobufs_waits + after.full_waits)
		fprintf(stderr, "send: waits: %llu for a limit, %llu for room\n",
			(unsigned long long)after.nobufs_waits, (unsigned long long)after.full_waits);
	sgring_close(s);
	return true;
}

/* --- */

static int64_t cpu_all, busy_all;

static void measure(const struct job *j, const char *datagrams, int run)
{
	const char way[2] = { j->way }, *const name = j->way == 's' ? "f-sqpoll" : way;
	const uint64_t before = sunk();
	struct result r;
	double slots;

	meter_alone();
	if (j->way < 'd')
		run_plain(j, &r);
	else if (!run_ours(j, &r))
		return;
	if (r.bytes != j->total || sunk() - before < r.sends) {
		fprintf(stderr, "send: way %c: %llu of %llu bytes in %llu sends, %llu packets left\n", j->way,
			(unsigned long long)r.bytes, (unsigned long long)j->total,
			(unsigned long long)r.sends, (unsigned long long)(sunk() - before));
		exit(1);
	}
	if (r.copied || (j->way >= 'c' && r.zerocopy != r.sends)) {
		fprintf(stderr, "send: way %c: of %llu sends %llu were copied, %llu not: the sink is none\n",
			j->way, (unsigned long long)r.sends, (unsigned long long)r.copied,
			(unsigned long long)r.zerocopy);
		exit(1);
	}
	slots = (double)r.bytes / (double)j->slot;
	cpu_all += r.meter.cpu_ns;
	busy_all += r.meter.busy_ns;
	printf("{\"part\":\"send\",\"case\":{\"way\":\"%s\",\"slot_bytes\":%zu,"
	       "\"datagram_bytes\":%zu,\"datagrams\":\"%s\"},\"run\":%d,"
	       "\"metrics\":{\"cpu_ns_per_mib\":%.0f,\"cpu_ns_per_slot\":%.1f,"
	       "\"calls_per_slot\":%.4f,\"sends_per_slot\":%.4f,\"wall_ns_per_mib\":%.0f,\"copied\":%llu}}\n",
	       name, j->slot, j->datagram, datagrams, run,
	       (double)r.meter.cpu_ns / ((double)r.bytes / 1048576), (double)r.meter.cpu_ns / slots,
	       (double)r.calls / slots, (double)r.sends / slots,
	       (double)r.meter.wall_ns / ((double)r.bytes / 1048576), (unsigned long long)r.copied);
	fflush(stdout);
}

/* Equal parts, as few as can be. */
static size_t cut(size_t slot, size_t most)
{
	size_t parts = (slot + most - 1) / most;

	return ((slot + parts - 1) / parts + 63) / 64 * 64;
}

static void measure_all(size_t slot, size_t most, bool gso, const char *ways, uint64_t total, int run)
{
	const char *datagrams = most == UDP_MAX ? "largest, one a send" :
				gso ? "jumbo, several a send" : "jumbo, one a send";
	struct job j = { .slot = slot, .slots = RING_BYTES / slot, .gso = gso };

	j.datagram = cut(slot, most);
	j.send = gso ? UDP_MAX / j.datagram * j.datagram : j.datagram;
	for (; *ways; ways++) {
		j.way = *ways;
		/* What is cheap goes on longer. */
		j.total = (j.way < 'c' || j.send <= JUMBO ? total : 4 * total) / slot * slot;
		measure(&j, datagrams, run);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: send [-q] [-n RUNS] [-s SLOT_BYTES] [-w WAYS] [-m MIB] [-l | -j] SINK\n");
	return 2;
}

int main(int argc, char **argv)
{
	static const size_t all[] = { 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20 };
	bool quick = false, largest = true, jumbo = true;
	const char *ways = "abcdefs";
	size_t i, only = 0, mib = 0;
	int run, runs = 0, option;
	uint64_t total;

	while ((option = getopt(argc, argv, "qn:s:w:m:lj")) != -1) {
		switch (option) {
		case 'q':
			quick = true;
			break;
		case 'n':
			runs = atoi(optarg);
			break;
		case 's':
			only = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			ways = optarg;
			break;
		case 'm':
			mib = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			jumbo = false;
			break;
		case 'j':
			largest = false;
			break;
		default:
			return usage();
		}
	}
	if (optind + 1 != argc)
		return usage();
	sink = argv[optind];
	total = (uint64_t)(mib ? mib : quick ? 64 : 1024) << 20;
	runs = runs ? runs : quick ? 1 : 7;
	for (run = 1; run <= runs; run++) {
		fprintf(stderr, "send: repetition %d\n", run);
		for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
			if (only ? all[i] != only : quick && all[i] != 4 << 10 && all[i] != 64 << 10 &&
							    all[i] != 1 << 20)
				continue;
			if (largest)
				measure_all(all[i], UDP_MAX, false, ways, total, run);
			if (jumbo)
				measure_all(all[i], JUMBO, true, ways, total, run);
			/* What others do with jumbo frames, beside it. */
			if (jumbo && all[i] > JUMBO)
				measure_all(all[i], JUMBO, false, "abc", total, run);
		}
	}
	printf("{\"part\":\"send\",\"context\":{\"kernel\":\"%s\",\"cpu\":\"%s\",\"sink\":\"%s\","
	       "\"app_cpu\":%d,\"device_cpu\":%d,\"ring_bytes\":%llu,\"app_cpu_busy_per_counted\":%.3f,"
	       "\"leaves_out\":\"%s\"}}\n", meter_kernel(), meter_cpu_model(), sink, meter_app_cpu(),
	       meter_device_cpu(), RING_BYTES, (double)busy_all / (double)cpu_all, leaves_out);
	return 0;
}

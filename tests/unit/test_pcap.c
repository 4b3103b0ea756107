// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring pcap, on simulated streams of this process: an owner that runs in a thread, the
 * command beside it as its user has it, and libpcap to read what it has written.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define main sgring_main
#include "../../tools/sgring.c"
#undef main
#include "../../tools/capfile.h"
#include "pattern.h"
#include "pcap_header.h"

#define CAPTURE_FILE FOLDER "/test.pcap"
#define SLOT 65536U

/* An owner: takes and returns, until it is told to stop, or the stream ends. */
struct owner {
	const char *name;
	struct sgring_options options;
	unsigned int late_us;	/* before each return */
	struct sgring *s;
	pthread_t thread;
	bool stop;
	bool ended;
	uint64_t slots;
};

static void *own(void *arg)
{
	struct owner *o = arg;
	struct sgring_slot b;
	int err;

	while (!__atomic_load_n(&o->stop, __ATOMIC_RELAXED)) {
		err = sgring_next(o->s, &b, 20);
		if (err == -ETIMEDOUT)
			continue;
		/* What is played is played again: the command may be late. */
		if (err == -ENODATA && !sgring_start(o->s))
			continue;
		if (err)
			break;
		if (o->late_us)
			usleep(o->late_us);
		sgring_return(o->s, &b);
		__atomic_add_fetch(&o->slots, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&o->ended, true, __ATOMIC_RELAXED);
	return NULL;
}

static void own_start(struct owner *o)
{
	assert_int_equal(sgring_start(o->s), 0);
	assert_int_equal(pthread_create(&o->thread, NULL, own, o), 0);
}

static struct owner *owner_of(const char *name, const struct sgring_options *options)
{
	struct owner *o = calloc(1, sizeof(*o));

	o->name = name;
	if (sgring_open(&o->s, name, options))
		fail_msg("%s", sgring_errmsg());
	return o;
}

static void owner_end(struct owner *o)
{
	__atomic_store_n(&o->stop, true, __ATOMIC_RELAXED);
	if (o->thread)
		pthread_join(o->thread, NULL);
	if (o->s)
		sgring_close(o->s);
	free(o);
}

/* A command; its exit code. What it says is in said. */
static char said[4096];

static int run_args(int (*command)(int argc, char **argv), const char *name, va_list args)
{
	int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO), code, argc = 2;
	int log = open(FOLDER "/said", O_RDWR | O_CREAT | O_TRUNC, 0600);
	char *argv[32] = { "sgring", (char *)name };
	ssize_t n;

	while ((argv[argc] = va_arg(args, char *)))
		argc++;
	optind = 0;
	interrupts = 0;
	fflush(NULL);
	dup2(log, STDERR_FILENO);
	dup2(log, STDOUT_FILENO);
	code = command(argc, argv);
	fflush(NULL);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	n = pread(log, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(out);
	close(err);
	close(log);
	return code;
}

static int run_command(int (*command)(int argc, char **argv), const char *name, ...)
{
	va_list args;
	int code;

	va_start(args, name);
	code = run_args(command, name, args);
	va_end(args);
	return code;
}

#define run_pcap(...) run_command(pcap_main, __VA_ARGS__)

static void must_say(const char *text)
{
	if (!strstr(said, text))
		fail_msg("\"%s\" is not in: %s", text, said);
}

/* What the file says, checked against what a simulated device makes. */
struct found {
	unsigned int packets;
	unsigned int slots;
	unsigned int wrong;
	uint64_t missed;
	uint64_t bytes;
	uint32_t epoch;
	uint64_t first;		/* sequence */
	struct sgring_cqe last;
	bool ended;
};

static size_t wrong_bytes(const unsigned char *data, size_t bytes, uint64_t position)
{
	unsigned char *right = malloc(bytes + 1);
	size_t i, wrong = 0;

	sgring_pattern_fill(right, bytes, sgring_pattern_key(0), position);
	for (i = 0; i < bytes; i++)
		wrong += right[i] != data[i];
	free(right);
	return wrong;
}

static struct found read_file(const char *path)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	struct found f = { 0 };
	struct sgring_pcap_header h;
	struct pcap_pkthdr *ph;
	const u_char *data;
	uint64_t time_ns, shift = 0;

	if (!p)
		fail_msg("%s: %s", path, why);
	assert_int_equal(pcap_datalink(p), SGRING_PCAP_LINK);
	while (pcap_next_ex(p, &ph, &data) == 1) {
		f.packets++;
		if (sgring_pcap_unpack(&h, data, ph->caplen))
			fail_msg("%s", sgring_errmsg());
		time_ns = (uint64_t)ph->ts.tv_sec * 1000000000 + (uint64_t)ph->ts.tv_usec;
		if (!shift)
			shift = time_ns - h.entry.host_time_ns;
		assert_int_equal(time_ns - h.entry.host_time_ns, shift);
		f.epoch = h.epoch;
		f.ended = h.entry.flags & SGRING_CQE_EOS;
		if (!h.offset_bytes && !f.ended) {
			if (!f.slots)
				f.first = h.entry.sequence;
			if (f.slots++) {
				f.missed += h.missed;
				assert_int_equal(h.entry.sequence, f.last.sequence + 1 + h.missed);
			}
			f.last = h.entry;
		}
		f.bytes += ph->caplen - SGRING_PCAP_BYTES;
		f.wrong += wrong_bytes(data + SGRING_PCAP_BYTES, ph->caplen - SGRING_PCAP_BYTES,
				       h.entry.position_bytes + h.offset_bytes) != 0;
	}
	pcap_close(p);
	return f;
}

static void every_slot_is_a_packet_with_what_is_known_of_it(void **state)
{
	struct owner *o = owner_of("sim:label=every,rate=20M,fifo=1G,packet=50000", SGRING_OPTIONS(.slot_bytes = SLOT));
	struct found f;
	int code;

	(void)state;
	own_start(o);
	code = run_pcap("sim:label=every", "-w", CAPTURE_FILE, "--overwrite", "-q", "-c", "40", NULL);
	f = read_file(CAPTURE_FILE);
	/* On a busy machine it may have been too late for some. */
	assert_true(code == EXIT_LOST || (code == EXIT_OK && !f.missed));
	assert_int_equal(f.slots, 40);
	assert_int_equal(f.packets, 40);
	assert_int_equal(f.wrong, 0);
	assert_int_equal(f.bytes, 40 * 50000);
	assert_int_equal(f.epoch, 1);
	assert_int_equal(f.last.length_bytes, 50000);
	assert_true(f.last.flags & SGRING_CQE_EOP);
	assert_true(f.last.flags & SGRING_CQE_DEVICE_TIME);
	owner_end(o);
}

/* Flat out, a slot is filled again as soon as it is back: what is in the file is right all the same. */
static void a_slot_that_changed_meanwhile_is_never_written(void **state)
{
	struct owner *o = owner_of("sim:label=changed,spin=1", SGRING_OPTIONS(.slot_bytes = 1 << 20, .slot_count = 3));
	struct found f;
	int code;

	(void)state;
	own_start(o);
	code = run_pcap("sim:label=changed", "-w", CAPTURE_FILE, "--overwrite", "-q", "--time", "500ms", NULL);
	f = read_file(CAPTURE_FILE);
	assert_int_equal(f.wrong, 0);
	assert_int_equal(code, f.missed ? EXIT_LOST : code);
	owner_end(o);
}

/* One that the owner has taken, and one it has returned and that waits; then their slots are filled again. */
static void a_look_is_too_late_once_the_engine_has_the_slot_again(void **state)
{
	struct owner *o = owner_of("sim:label=late,pause=4",
				   SGRING_OPTIONS(.slot_bytes = SLOT, .slot_count = 4, .queue_depth = 1,
						  .sq_idle_usec = SGRING_OFF));
	const unsigned char *data;
	struct sgring_slot b;
	struct sgring_cqe e[4];
	struct sgring *look;
	uint64_t missed;
	uint32_t epoch;
	int i, n;

	(void)state;
	assert_int_equal(sgring_observe(&look, "sim:label=late"), 0);
	assert_int_equal(sgring_follow(look, &e[0], &missed), 0);
	assert_int_equal(sgring_start(o->s), 0);
	for (i = 0; i < 4; i++) {
		while (!(n = sgring_follow(look, &e[i], &missed)))
			usleep(1000);
		assert_int_equal(n, 1);
		assert_int_equal(sgring_look(look, &e[i], SLOT, &data, &epoch), 1);
		assert_int_equal(epoch, 1);
		assert_int_equal(wrong_bytes(data, SLOT, i * SLOT), 0);
	}
	/* All come back; the engine has the first, and nothing is put into the others yet. */
	for (i = 0; i < 4; i++) {
		assert_int_equal(sgring_next(o->s, &b, 5000), 0);
		assert_int_equal(sgring_return(o->s, &b), 0);
	}
	assert_int_equal(sgring_kick(o->s), 0);
	assert_int_equal(sgring_look(look, &e[0], SLOT, &data, &epoch), 0);
	assert_int_equal(sgring_look(look, &e[1], SLOT, &data, &epoch), 1);
	assert_int_equal(wrong_bytes(data, SLOT, SLOT), 0);
	/* After a stop nobody can tell whether the engine had them meanwhile. */
	assert_int_equal(sgring_stop(o->s, 0, 0), 0);
	assert_int_equal(sgring_look(look, &e[1], SLOT, &data, &epoch), 0);
	assert_null(data);
	/* The same sequence, position and slot in the next epoch is not the same transfer. */
	assert_int_equal(sgring_next(o->s, &b, 5000), -ENODATA);
	assert_int_equal(sgring_start(o->s), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(sgring_next(o->s, &b, 5000), 0);
	for (i = 0; i < 4; i++)
		assert_int_equal(sgring_look(look, &e[i], SLOT, &data, &epoch), 0);
	for (i = 0; i < 5; i++)
		assert_int_equal(sgring_follow(look, &e[i % 4], &missed), 1);
	assert_int_equal(sgring_look(look, &e[0], SLOT, &data, &epoch), 1);
	assert_int_equal(epoch, 2);
	assert_int_equal(sgring_look_alive(look), 0);
	sgring_close(o->s);
	o->s = NULL;
	assert_int_equal(sgring_look_alive(look), -ENODATA);
	sgring_close(look);
	owner_end(o);
}

static void a_long_slot_is_several_packets(void **state)
{
	struct owner *o = owner_of("sim:label=long,rate=100M,fifo=4G", SGRING_OPTIONS(.slot_bytes = 1 << 20, .slot_count = 8));
	char why[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *ph;
	const u_char *data;
	struct found f;
	pcap_t *p;

	(void)state;
	own_start(o);
	run_pcap("sim:label=long", "-w", CAPTURE_FILE, "--overwrite", "-c", "5", NULL);
	f = read_file(CAPTURE_FILE);
	assert_int_equal(f.slots, 5);
	assert_int_equal(f.packets, 25);
	assert_int_equal(f.bytes, 5 << 20);
	assert_int_equal(f.wrong, 0);
	/* No reader takes a longer one, nor one that says it was longer. */
	run_pcap("sim:label=long", "-w", CAPTURE_FILE, "--overwrite", "-c", "2", "-s", "10", NULL);
	p = pcap_open_offline(CAPTURE_FILE, why);
	while (pcap_next_ex(p, &ph, &data) == 1)
		assert_int_equal(ph->len, SGRING_PCAP_PACKET_MAX);
	pcap_close(p);
	owner_end(o);
}

static void a_snap_length_keeps_the_beginning_and_tells_the_length(void **state)
{
	struct owner *o = owner_of("sim:label=snap,rate=20M,fifo=1G", SGRING_OPTIONS(.slot_bytes = SLOT));
	char why[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *ph;
	const u_char *data;
	struct found f;
	pcap_t *p;

	(void)state;
	own_start(o);
	run_pcap("sim:label=snap", "-w", CAPTURE_FILE, "--overwrite", "-c", "3", "-s", "100", NULL);
	f = read_file(CAPTURE_FILE);
	assert_int_equal(f.slots, 3);
	assert_int_equal(f.bytes, 300);
	assert_int_equal(f.wrong, 0);
	p = pcap_open_offline(CAPTURE_FILE, why);
	assert_int_equal(pcap_snapshot(p), 100 + SGRING_PCAP_BYTES);
	assert_int_equal(pcap_next_ex(p, &ph, &data), 1);
	assert_int_equal(ph->len, SLOT + SGRING_PCAP_BYTES);
	pcap_close(p);
	owner_end(o);
}

/* Frames of Ethernet, to be played: one of IPv4 and one of ARP in turn. */
static void write_frames(const char *path, unsigned int count)
{
	unsigned char frame[200] = { 0 };
	struct pcap_pkthdr h = { .caplen = 60, .len = 60 };
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
	pcap_dumper_t *d = pcap_dump_open(dead, path);
	unsigned int i;

	for (i = 0; i < count; i++) {
		frame[12] = 8;
		frame[13] = i & 1 ? 6 : 0;
		frame[14] = 0x45;
		frame[20] = (unsigned char)i;
		h.ts.tv_usec = i * 1000;
		h.caplen = h.len = 60 + i % 100;
		pcap_dump((u_char *)d, &h, frame);
	}
	pcap_dump_close(d);
	pcap_close(dead);
}

static void frames_are_played_captured_and_filtered(void **state)
{
	struct owner *o;
	char why[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *ph;
	unsigned int frames = 0;
	const u_char *data;
	pcap_t *p;

	(void)state;
	write_frames(FOLDER "/frames.pcap", 2000);
	o = owner_of("sim:label=frames,replay=" FOLDER "/frames.pcap", NULL);
	assert_int_equal(sgring_geometry(o->s)->slot_bytes, 159);
	own_start(o);
	run_pcap("sim:label=frames", "--link", "EN10MB", "-w", CAPTURE_FILE, "--overwrite", "-c", "50", "arp", NULL);
	p = pcap_open_offline(CAPTURE_FILE, why);
	assert_non_null(p);
	assert_int_equal(pcap_datalink(p), DLT_EN10MB);
	while (pcap_next_ex(p, &ph, &data) == 1) {
		frames++;
		assert_int_equal(data[13], 6);
		assert_int_equal(ph->len, ph->caplen);
		assert_int_equal(ph->len % 2, 1);	/* the odd ones */
	}
	assert_int_equal(frames, 50);
	pcap_close(p);
	assert_int_equal(run_pcap("sim:label=frames", "-w", CAPTURE_FILE, "--overwrite", "arp", NULL), EXIT_FAILED);
	must_say("filter \"arp\"");
	assert_int_equal(run_pcap("sim:label=frames", "--link", "NONE_SUCH", "-w", CAPTURE_FILE, NULL), EXIT_FAILED);
	must_say("NONE_SUCH");
	owner_end(o);
}

static void files_rotate_and_the_oldest_go(void **state)
{
	struct owner *o = owner_of("sim:label=turn,rate=50M,fifo=1G", SGRING_OPTIONS(.slot_bytes = SLOT));
	uint64_t last;
	struct found f;
	int i;

	(void)state;
	own_start(o);
	for (i = 2; i < 12; i++) {
		char path[300];

		capfile_path(path, sizeof(path), FOLDER "/turn.pcap", (unsigned int)i);
		unlink(path);
	}
	run_pcap("sim:label=turn", "-w", FOLDER "/turn.pcap", "--overwrite", "-c", "20",
		 "--rotate-size", "200K", "--files", "2", NULL);
	/* Three slots in each, seven files, two of them kept. */
	assert_int_not_equal(access(FOLDER "/turn.pcap", F_OK), 0);
	assert_int_not_equal(access(FOLDER "/turn-0005.pcap", F_OK), 0);
	assert_int_not_equal(access(FOLDER "/turn-0008.pcap", F_OK), 0);
	f = read_file(FOLDER "/turn-0006.pcap");
	assert_int_equal(f.slots, 3);
	last = f.last.sequence;
	f = read_file(FOLDER "/turn-0007.pcap");
	assert_int_equal(f.slots, 2);
	assert_true(f.last.sequence >= last + 2);
	assert_int_equal(run_pcap("sim:label=turn", "-w", FOLDER "/turn-0007.pcap", NULL), EXIT_FAILED);
	must_say("exists");
	owner_end(o);
}

static void a_reader_that_goes_is_an_end(void **state)
{
	struct owner *o = owner_of("sim:label=pipe,rate=50M,fifo=1G", SGRING_OPTIONS(.slot_bytes = SLOT));
	int ends[2], out = dup(STDOUT_FILENO), code;
	char *argv[] = { "pcap", "sim:label=pipe", "-w", "-", "-q", NULL };

	(void)state;
	own_start(o);
	assert_int_equal(pipe(ends), 0);
	close(ends[0]);
	fflush(NULL);
	dup2(ends[1], STDOUT_FILENO);
	optind = 0;
	code = pcap_main(5, argv);
	dup2(out, STDOUT_FILENO);
	close(out);
	close(ends[1]);
	assert_int_equal(code, EXIT_OK);
	owner_end(o);
}

static void *close_soon(void *arg)
{
	struct owner *o = arg;
	struct stat st;

	/* The losses are behind it, and something is in the file. */
	while (stat(CAPTURE_FILE, &st) || st.st_size < 1000000 ||
	       __atomic_load_n(&o->slots, __ATOMIC_RELAXED) < 100)
		usleep(10000);
	__atomic_store_n(&o->stop, true, __ATOMIC_RELAXED);
	pthread_join(o->thread, NULL);
	o->thread = 0;
	sgring_close(o->s);
	o->s = NULL;
	return NULL;
}

static void it_ends_with_its_owner_and_tells_what_was_lost(void **state)
{
	struct owner *o = owner_of("sim:label=ends,rate=20M,fifo=1G,packet=64K,lose=1000@30", SGRING_OPTIONS(.slot_bytes = SLOT));
	struct sgring *s;
	pthread_t thread;
	struct found f;
	int code;

	(void)state;
	unlink(CAPTURE_FILE);
	own_start(o);
	pthread_create(&thread, NULL, close_soon, o);
	code = run_pcap("sim:label=ends", "-w", CAPTURE_FILE, "--overwrite", NULL);
	pthread_join(thread, NULL);
	must_say("its owner has closed the stream");
	f = read_file(CAPTURE_FILE);
	assert_true(f.slots > 0);
	if (f.first < 30 && f.last.sequence >= 30 && !f.missed) {
		assert_int_equal(code, EXIT_LOST);
		must_say("LOST 1000 bytes in 1 gaps");
	}
	owner_end(o);
	/* Nobody has set it up. */
	assert_int_equal(sgring_observe(&s, "sim:label=idle"), 0);
	assert_int_equal(run_pcap("sim:label=idle", "-w", CAPTURE_FILE, "--overwrite", NULL), EXIT_NOTHING);
	sgring_close(s);
	assert_int_equal(run_pcap("/no/such", "-w", CAPTURE_FILE, NULL), EXIT_FAILED);
}

static void same_files(const char *a, const char *b)
{
	char path[2][400];
	const char *ends[] = { "data", "index" };
	unsigned char *bytes[2];
	long size[2];
	FILE *f;
	int i, k;

	for (i = 0; i < 2; i++) {
		for (k = 0; k < 2; k++) {
			snprintf(path[k], sizeof(path[k]), "%s.%s", k ? b : a, ends[i]);
			f = fopen(path[k], "re");
			if (!f)
				fail_msg("%s: %s", path[k], strerror(errno));
			fseek(f, 0, SEEK_END);
			size[k] = ftell(f);
			rewind(f);
			bytes[k] = malloc((size_t)size[k] + 1);
			assert_int_equal(fread(bytes[k], 1, (size_t)size[k], f), size[k]);
			fclose(f);
		}
		if (size[0] != size[1] || memcmp(bytes[0], bytes[1], (size_t)size[0]))
			fail_msg("%s and %s differ: %ld and %ld bytes", path[0], path[1], size[0], size[1]);
		free(bytes[0]);
		free(bytes[1]);
	}
}

/* What can befall a stream: short slots, packets, a failed transfer, losses, an end by itself. */
static void the_recording_of_a_replay_is_the_same_file(void **state)
{
	static const char *const streams[] = {
		"sim:label=adc,end=100,rate=100M,fifo=4G",
		"sim:label=adc,end=100,rate=100M,fifo=4G,packet=50000,jitter=40000,lose=12345@20",
		"sim:label=adc,end=100,fail=7,short=9,lose=777@30",
	};
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		run_command(record_main, streams[i], "-o", FOLDER "/first", "--overwrite", "-q", "--slots", "8",
			    "--slot-bytes", "65536", NULL);
		run_command(record_main, "sim:replay=" FOLDER "/first", "-o", FOLDER "/again", "--overwrite", "-q", NULL);
		same_files(FOLDER "/first", FOLDER "/again");
		run_command(record_main, "sim:speed=0,replay=" FOLDER "/again.data", "-o", FOLDER "/third",
			    "--overwrite", "-q", NULL);
		same_files(FOLDER "/first", FOLDER "/third");
	}
	assert_int_equal(run_command(replay_main, FOLDER "/first", "--flat-out", NULL), EXIT_LOST);
	must_say("100 slots");
	must_say("the engine failed in 1 slots");
}

static void a_capture_is_played_as_it_was(void **state)
{
	struct owner *o = owner_of("sim:label=both,rate=100M,fifo=4G,packet=700000", SGRING_OPTIONS(.slot_bytes = 1 << 20, .slot_count = 8));
	struct sgring_slot b;
	struct sgring *s;
	struct found f;
	unsigned int n = 0;
	int err;

	(void)state;
	own_start(o);
	run_pcap("sim:label=both", "-w", CAPTURE_FILE, "--overwrite", "-c", "6", NULL);
	owner_end(o);
	f = read_file(CAPTURE_FILE);
	assert_int_equal(sgring_open(&s, "sim:speed=0,replay=" CAPTURE_FILE, NULL), 0);
	assert_int_equal(sgring_start(s), 0);
	while (!(err = sgring_next(s, &b, 5000))) {
		n++;
		assert_int_equal(b.length, 700000);
		assert_int_equal(wrong_bytes(b.data, b.length, b.position), 0);
		assert_true(b.flags & SGRING_EOP);
		if (n == f.slots) {
			assert_int_equal(b.sequence, f.last.sequence);
			assert_int_equal(b.time_ns, f.last.host_time_ns);
			assert_int_equal(b.position, f.last.position_bytes);
		}
		sgring_return(s, &b);
	}
	assert_int_equal(err, -ENODATA);
	assert_int_equal(n, 6);
	/* And again, and from the beginning after a stop in the middle. */
	assert_int_equal(sgring_start(s), 0);
	assert_int_equal(sgring_next(s, &b, 5000), 0);
	sgring_return(s, &b);
	err = sgring_stop(s, 0, 0);
	assert_true(err >= 0 || err == -EBADFD);	/* it may have ended already */
	while (!sgring_next(s, &b, 5000))
		sgring_return(s, &b);
	assert_int_equal(sgring_start(s), 0);
	for (n = 0; !sgring_next(s, &b, 5000); n++)
		sgring_return(s, &b);
	assert_int_equal(n, 6);
	sgring_close(s);
	assert_int_equal(sgring_open(&s, "sim:replay=" CAPTURE_FILE, SGRING_OPTIONS(.slot_bytes = 4096)), -EMSGSIZE);
}

static void what_is_damaged_is_told_before_anything_is_played(void **state)
{
	static const char *const files[] = { FOLDER "/cut.pcap", FOLDER "/none", FOLDER "/short" };
	static const char *const words[] = { "truncated", "neither", "truncated" };
	int i, fd;

	(void)state;
	write_frames(FOLDER "/cut.pcap", 10);
	assert_int_equal(truncate(FOLDER "/cut.pcap", 500), 0);
	run_command(record_main, "sim:end=4", "-o", FOLDER "/short", "--overwrite", "-q", "--slot-bytes", "4096", NULL);
	assert_int_equal(truncate(FOLDER "/short.data", 10000), 0);
	for (i = 0; i < 3; i++) {
		assert_int_equal(run_command(replay_main, files[i], NULL), EXIT_FAILED);
		must_say(words[i]);
		assert_int_equal(run_command(replay_main, files[i], "--to", "rx0", NULL), EXIT_FAILED);
		must_say(words[i]);
	}
	fd = open(FOLDER "/cut.pcap", O_WRONLY | O_TRUNC);
	assert_int_equal(write(fd, "\x0a\x0d\x0d\x0a rest of it", 15), 15);
	close(fd);
	assert_int_equal(run_command(replay_main, FOLDER "/cut.pcap", NULL), EXIT_FAILED);
	must_say("pcapng");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_is_a_packet_with_what_is_known_of_it),
		cmocka_unit_test(a_slot_that_changed_meanwhile_is_never_written),
		cmocka_unit_test(a_look_is_too_late_once_the_engine_has_the_slot_again),
		cmocka_unit_test(a_long_slot_is_several_packets),
		cmocka_unit_test(a_snap_length_keeps_the_beginning_and_tells_the_length),
		cmocka_unit_test(frames_are_played_captured_and_filtered),
		cmocka_unit_test(files_rotate_and_the_oldest_go),
		cmocka_unit_test(a_reader_that_goes_is_an_end),
		cmocka_unit_test(it_ends_with_its_owner_and_tells_what_was_lost),
		cmocka_unit_test(the_recording_of_a_replay_is_the_same_file),
		cmocka_unit_test(a_capture_is_played_as_it_was),
		cmocka_unit_test(what_is_damaged_is_told_before_anything_is_played),
	};

	alarm(100);
	return cmocka_run_group_tests_name("pcap", tests, NULL, NULL);
}

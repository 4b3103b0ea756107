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
#include <sys/wait.h>
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
		if (err)
			break;
		if (o->late_us)
			usleep(o->late_us);
		sgring_return(o->s, &b);
		o->slots++;
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

/* The command; its exit code. */
static int run_pcap(const char *name, ...)
{
	char *argv[32] = { "pcap", (char *)name };
	int argc = 2;
	va_list args;

	va_start(args, name);
	while ((argv[argc] = va_arg(args, char *)))
		argc++;
	va_end(args);
	optind = 0;
	interrupts = 0;
	return pcap_main(argc, argv);
}

/* What the file says, checked against what a simulated device makes. */
struct found {
	unsigned int packets;
	unsigned int slots;
	unsigned int wrong;
	uint64_t missed;
	uint64_t bytes;
	uint32_t epoch;
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
	/* The sequence of the first is whatever it was. */
	assert_true(code == EXIT_OK || (code == EXIT_LOST && f.missed));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slot_is_a_packet_with_what_is_known_of_it),
		cmocka_unit_test(a_slot_that_changed_meanwhile_is_never_written),
		cmocka_unit_test(a_look_is_too_late_once_the_engine_has_the_slot_again),
	};

	alarm(100);
	return cmocka_run_group_tests_name("pcap", tests, NULL, NULL);
}

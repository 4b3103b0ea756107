/* SPDX-License-Identifier: MIT */
/*
 * sgring replay: a recording or a capture file as a stream again
 *
 * Through the simulator: every program of the library takes "sim:replay=FILE" for a name, and
 * here it is taken by nobody, to see what would come. Or into the dummy device of the driver,
 * which gives what it is fed to whoever has its stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim_replay.h"
#include "tool.h"

#define DUMMY_DIR "/sys/kernel/debug/sgring-dummy"
#define PIECE_BYTES (1U << 20)

static const char help[] =
	"usage: sgring replay [OPTION...] FILE\n"
	"Play a recording (of \"sgring record\" or \"recv\") or a capture file (of \"sgring pcap\", or\n"
	"any other: each packet is a slot) with the lengths and the timing it had.\n"
	"\n"
	"      --to sim         through the simulator, to nobody: what would come (the default)\n"
	"      --to LABEL       into the dummy device of that label, for whoever owns its stream\n"
	"      --speed X        X times as fast: 0.5, 10\n"
	"      --flat-out       as fast as possible\n"
	"  -j, --json           the summary as JSON\n"
	"  -q, --quiet          no summary\n"
	"  -h, --help           this text\n"
	"\n"
	"Every program of the library plays it by itself when its stream has this name:\n"
	"  sgring record sim:replay=FILE -o AGAIN\n"
	"  sgring send sim:speed=10,replay=FILE tcp://HOST:PORT\n"
	"\n"
	"Exit: 0; 2 something is missing in it, and it was played without; 1 it did not work.\n";

/**
 * struct replayer - one run
 * @path, @to: as given
 * @speed: thousandths; 0: flat out
 * @slots, @bytes: played
 * @lost_bytes, @gaps: missing in it
 * @failed: slots the engine failed in
 * @ended: it has its end
 */
struct replayer {
	const char *path;
	const char *to;
	uint32_t speed;
	uint64_t slots;
	uint64_t bytes;
	uint64_t lost_bytes;
	uint64_t gaps;
	uint64_t failed;
	bool ended;
};

static int library_said(void)
{
	fprintf(stderr, "sgring: %s\n", sgring_errmsg());
	return EXIT_FAILED;
}

static int play_sim(struct replayer *p)
{
	struct sgring_slot slot;
	struct sgring *s;
	char name[800];
	int err;

	snprintf(name, sizeof(name), "sim:speed=%u.%03u,replay=%s", p->speed / 1000, p->speed % 1000, p->path);
	err = sgring_open(&s, name, NULL);
	if (!err)
		err = sgring_start(s);
	if (err)
		return library_said();
	while (!interrupts) {
		err = sgring_next(s, &slot, 200);
		if (err == -ETIMEDOUT || err == -EINTR)
			continue;
		if (slot.flags & SGRING_GAP) {
			p->gaps++;
			p->lost_bytes += slot.lost;
		}
		if (err)
			break;
		p->slots++;
		p->bytes += slot.length;
		p->failed += slot.status != 0;
		sgring_return(s, &slot);
	}
	p->ended = err == -ENODATA;
	if (!interrupts && err != -ENODATA)
		err = library_said();
	else
		err = EXIT_OK;
	sgring_close(s);
	return err;
}

static int feed_failed(const char *path)
{
	if (errno == ENOENT)
		fprintf(stderr, "sgring: there is no %s: is sgring-dummy loaded, debugfs mounted, the label right?\n", path);
	else if (errno == EPIPE)
		fprintf(stderr, "sgring: %s: somebody has given the device another source meanwhile\n", path);
	else if (errno == EBUSY)
		fprintf(stderr, "sgring: %s: somebody else feeds the device\n", path);
	else
		fprintf(stderr, "sgring: %s: %s\n", path, strerror(errno));
	return EXIT_FAILED;
}

static void sleep_until(uint64_t at_ns)
{
	const struct timespec t = { (time_t)(at_ns / 1000000000), (long)(at_ns % 1000000000) };

	while (!interrupts && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* All data of the entry; false: errno, or a signal. */
static bool feed_entry(const struct sgring_replay *r, int fd, unsigned char *buffer)
{
	uint32_t at = 0, n;
	ssize_t done;
	size_t from;

	for (; at < r->entry.length_bytes; at += n) {
		n = r->entry.length_bytes - at;
		n = n < PIECE_BYTES ? n : PIECE_BYTES;
		if (sgring_replay_read(r, at, buffer, n)) {
			errno = EIO;
			return false;
		}
		for (from = 0; from < n; from += (size_t)done) {
			done = write(fd, buffer + from, n - from);
			if (done < 0 && (errno != EINTR || interrupts))
				return false;
			done = done < 0 ? 0 : done;
		}
	}
	return true;
}

static int feed(struct replayer *p, struct sgring_replay *r, const char *path, unsigned char *buffer)
{
	uint64_t start = now_ns(), first = 0, time_ns, position = 0;
	int fd = -1, more;

	while ((more = sgring_replay_next(r)) > 0 && !interrupts) {
		const struct sgring_cqe *e = &r->entry;

		if (e->flags & SGRING_CQE_GAP) {
			p->gaps++;
			p->lost_bytes += e->position_bytes > position ? e->position_bytes - position : 0;
		}
		position = e->position_bytes + e->length_bytes;
		p->ended = e->flags & SGRING_CQE_EOS;
		p->failed += !p->ended && e->status;
		if (!e->length_bytes)
			continue;
		time_ns = e->host_time_ns;
		first = first && !r->fresh ? first : time_ns;
		start = r->fresh ? now_ns() : start;
		if (p->speed && time_ns > first)
			sleep_until(start + (uint64_t)((unsigned __int128)(time_ns - first) * 1000 / p->speed));
		if (interrupts)
			break;
		if (fd < 0)
			fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0)
			return feed_failed(path);
		if (!feed_entry(r, fd, buffer)) {
			more = interrupts ? EXIT_OK : feed_failed(path);
			close(fd);
			return more;
		}
		p->slots++;
		p->bytes += e->length_bytes;
		/* The end of the file is the end of a packet, and of the slot it is in. */
		if (e->flags & SGRING_CQE_EOP || e->length_bytes < r->hello.slot_bytes) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		close(fd);
	return more < 0 ? library_said() : EXIT_OK;
}

static int play_dummy(struct replayer *p)
{
	unsigned char *buffer = malloc(PIECE_BYTES);
	struct sgring_replay *r;
	char path[300];
	int code;

	if (!buffer || sgring_replay_open(&r, p->path)) {
		free(buffer);
		return library_said();
	}
	snprintf(path, sizeof(path), DUMMY_DIR "/%.200s/feed", p->to);
	code = feed(p, r, path, buffer);
	sgring_replay_close(r);
	free(buffer);
	return code;
}

static void print_summary(const struct replayer *p)
{
	printf("%s: %" PRIu64 " bytes (%s) in %" PRIu64 " slots%s\n", p->path, p->bytes, size_words(p->bytes),
	       p->slots, interrupts ? ", interrupted" : p->ended ? "" : ", without an end");
	if (p->gaps)
		printf("missing in it: %" PRIu64 " bytes in %" PRIu64 " gaps\n", p->lost_bytes, p->gaps);
	if (p->failed)
		printf("the engine failed in %" PRIu64 " slots\n", p->failed);
}

static void print_json(const struct replayer *p, int code)
{
	json_open(NULL, '{');
	json_string("name", p->path);
	json_string("to", p->to);
	json_number("slots", p->slots);
	json_number("bytes", p->bytes);
	json_number("lost_bytes", p->lost_bytes);
	json_number("gaps", p->gaps);
	json_number("failed_slots", p->failed);
	json_bool("ended", p->ended);
	json_number("exit", (uint64_t)code);
	json_close('}');
	json_end();
}

static bool speed_option(const char *text, uint32_t *speed)
{
	char *end;
	double x = strtod(text, &end);

	if (end == text || *end || !(x >= 0.001 && x <= 1000000)) {
		fprintf(stderr, "sgring: --speed: \"%s\" is not a number from 0.001 to 1000000\n", text);
		return false;
	}
	*speed = (uint32_t)(x * 1000 + 0.5);
	return true;
}

int replay_main(int argc, char **argv)
{
	enum { OPT_TO = 256, OPT_SPEED, OPT_FLAT };
	static const struct option longs[] = {
		{ "to", required_argument, NULL, OPT_TO },
		{ "speed", required_argument, NULL, OPT_SPEED },
		{ "flat-out", no_argument, NULL, OPT_FLAT },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct replayer p = { .to = "sim", .speed = 1000 };
	bool json = false, quiet = false;
	int option, code;

	while ((option = getopt_long(argc, argv, "jqh", longs, NULL)) != -1) {
		switch (option) {
		case OPT_TO: p.to = optarg; break;
		case OPT_FLAT: p.speed = 0; break;
		case OPT_SPEED:
			if (!speed_option(optarg, &p.speed))
				return EXIT_FAILED;
			break;
		case 'j': json = true; break;
		case 'q': quiet = true; break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return EXIT_FAILED;
		}
	}
	if (argc - optind != 1) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	if (strchr(p.to, '/')) {
		fprintf(stderr, "sgring: --to: \"%s\" is neither sim nor the label of a dummy device\n", p.to);
		return EXIT_FAILED;
	}
	p.path = argv[optind];
	catch_interrupts(NULL);
	code = strcmp(p.to, "sim") ? play_dummy(&p) : play_sim(&p);
	if (code == EXIT_OK && (p.gaps || p.failed))
		code = EXIT_LOST;
	if (json && code != EXIT_FAILED)
		print_json(&p, code);
	else if (!quiet && code != EXIT_FAILED)
		print_summary(&p);
	return code;
}

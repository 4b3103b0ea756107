/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing tools/recording.c, sigmf.c and verify.c: the files of a recording, as somebody sends them
 *
 * The input: options, sizes of the data files of two parts, then their indexes, divided by "PART". They
 * are read through; what "sgring verify" says of them has to fit what was read, and what is
 * written for SigMF to be JSON. FUZZ_TMP is a folder for them.
 */
#include <fcntl.h>
#include <getopt.h>
#include <unistd.h>

#include "fuzz.h"
#include "json_check.h"
#include "recording.h"
#include "sigmf.h"
#include "tool.h"
#include "wrap.h"

#define DIVIDER "PART"

static char name[200];

static void file_name(char *path, const char *tail)
{
	const char *folder = getenv("FUZZ_TMP");

	snprintf(path, 256, "%s/fuzz-%d%s", folder ? folder : "/tmp", (int)getpid(), tail);
}

static void write_file(const char *tail, const void *bytes, size_t count, off_t size)
{
	char path[256];
	int fd;

	file_name(path, tail);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	claim(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
	claim(!ftruncate(fd, size));
	close(fd);
}

static void remove_file(const char *tail)
{
	char path[256];

	file_name(path, tail);
	unlink(path);
}

struct outcome {
	bool failed, torn, back, missing;
	uint64_t bytes;
	struct sgring_track track;
};

/* All of it; what must hold of each entry. */
static struct outcome read_through(void)
{
	static struct recording r;
	struct outcome o = { 0 };
	uint64_t end = 0, skip, lost, sequence = 0, time_ns = 0;
	bool fresh = true;
	int item;

	claim(!recording_open(&r, name, NULL));
	while ((item = recording_next(&r)) > 0) {
		if (item == RECORDING_PART)
			end = 0;
		if (item == RECORDING_HELLO && sgring_track_hello(&o.track, &r.hello)) {
			fresh = true;
			time_ns = 0;
		} else if (item == RECORDING_HELLO) {
			o.back |= o.track.behind;
		}
		if (item == RECORDING_TAIL) {
			o.torn |= r.torn;
			o.missing |= r.data_end > r.data_bytes;
		}
		if (item != RECORDING_ENTRY)
			continue;
		claim(r.pad_at == end && r.begin >= end && r.begin - end < r.hello.align_bytes);
		claim(!r.entry.length_bytes || r.begin % r.hello.align_bytes == 0);
		claim(r.data_end == r.begin + r.entry.length_bytes && r.data_end <= INT64_MAX);
		claim(r.index_at <= r.index_bytes);
		end = r.data_end;
		o.bytes += r.entry.length_bytes;
		if (sgring_track_entry(&o.track, &r.entry, &skip, &lost) < 1 || skip)
			o.back = true;
		o.back |= !fresh && r.entry.sequence < sequence;
		o.back |= !fresh && r.entry.host_time_ns && r.entry.host_time_ns < time_ns &&
			  r.hello.clock != SGRING_CLOCK_REALTIME;
		sequence = r.entry.sequence;
		time_ns = r.entry.host_time_ns ? r.entry.host_time_ns : time_ns;
		fresh = false;
	}
	o.failed = item < 0;
	claim(!o.failed || is_message(r.error));
	claim(recording_next(&r) == RECORDING_END);
	recording_close(&r);
	return o;
}

static void verify(const struct outcome *o, uint8_t options)
{
	char *argv[] = { "verify", name, "-q", "--json", "--pattern", "0", NULL };
	int argc = options & 1 ? 6 : options & 2 ? 4 : 3, code;
	const struct sgring_track *t = &o->track;

	optind = 0;
	code = run_tool(verify_main, argc, argv);
	if (o->failed || o->torn || o->back || o->missing) {
		claim(code == 1);
		return;
	}
	claim(code == 0 || code == 1 || code == 2);
	claim(code == 1 || code == (t->lost_bytes || t->failed || t->cut || !t->ended ? 2 : 0));
	claim(code != 1 || tool_errors()[0]);
	if (argc > 3)
		claim(json_check(tool_output()));
}

static void told(void *context, const char *line)
{
	claim(*line && !strchr(line, '\n'));
	++*(unsigned int *)context;
}

static void sigmf(const struct outcome *o, uint8_t options)
{
	const struct sigmf_options s = {
		.datatype = options & 4 ? "ci16_le" : NULL, .channels = options >> 6,
		.sample_rate = options & 8 ? 1e6 / 3 : 0, .description = options & 16 ? "a \"b\"\xff" : NULL,
	};
	unsigned int lines = 0;
	char path[256], *text;
	size_t room = 1 << 16, n;
	FILE *f;

	if (sigmf_write(name, &s, told, &lines)) {
		claim(lines);
		return;
	}
	claim(!o->failed);
	text = malloc(room);
	file_name(path, ".sigmf-meta");
	f = fopen(path, "re");
	claim(f && text);
	n = fread(text, 1, room - 1, f);
	text[n] = 0;
	claim(n == room - 1 || json_check(text));
	fclose(f);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint8_t options = (uint8_t)take(&in, 1);
	uint16_t first = (uint16_t)take(&in, 2), second = (uint16_t)take(&in, 2);
	const uint8_t *divider = memmem(in.at, in.left, DIVIDER, 4);
	size_t n = divider ? (size_t)(divider - in.at) : in.left;
	struct outcome o;

	file_name(name, "");
	write_file(".index", in.at, n, (off_t)n);
	write_file(options & 32 ? ".sigmf-data" : ".data", "", 0, first);
	if (divider) {
		write_file("-0002.index", divider + 4, in.left - n - 4, (off_t)(in.left - n - 4));
		write_file("-0002.data", "", 0, second);
	}
	o = read_through();
	verify(&o, options);
	sigmf(&o, options);
	remove_file(".index");
	remove_file(".data");
	remove_file(".sigmf-data");
	remove_file(".sigmf-meta");
	remove_file("-0002.index");
	remove_file("-0002.data");
	remove_file("-0002.sigmf-meta");
	return 0;
}

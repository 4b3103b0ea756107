/* SPDX-License-Identifier: MIT */
/* sgring record: a stream to files, without a copy, with an index beside them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "capture.h"
#include "sigmf.h"

static const char help[] =
	"usage: sgring record [OPTION...] STREAM -o NAME\n"
	"Record a stream by O_DIRECT, without a copy: NAME.data has the data, NAME.index\n"
	"an entry for each slot (sequence, position, time, losses). \"sgring verify NAME\"\n"
	"checks the two.\n"
	"\n"
	"  -o, --output NAME      path without extension; or a block device, with --overwrite\n"
	"                         and --index or --raw\n"
	"\n"
	CAPTURE_HELP_LIMITS
	"\n"
	"What is written:\n"
	"      --rotate-size SIZE begin new files before NAME.data is larger than this\n"
	"      --rotate-time TIME begin new files when it is so old\n"
	"      --index PATH       the index goes there, not beside the data\n"
	"      --raw              no index\n"
	"      --pad              every slot begins on a block of the disk, zeroes before it\n"
	"                         where it must: slots of odd lengths without a copy\n"
	"      --overwrite        write over files that exist, or a block device\n"
	"      --sigmf            SigMF: NAME.sigmf-data, and NAME.sigmf-meta in the end\n"
	"      --datatype TYPE    for it: ci16_le, cf32_le, ...; default ru8, plain bytes\n"
	"      --sample-rate HZ   for it: 2.4M, 61.44e6\n"
	"      --channels N       for it: interleaved channels (1)\n"
	"      --description TEXT for it\n"
	"      --method METHOD    uring (io_uring), uring-fixed (registered buffers), direct\n"
	"                         (a system call for each write), or auto: the best that\n"
	"                         works here; it is said which, and why\n"
	"      --sqpoll           io_uring without system calls: a kernel thread submits\n"
	"      --batch N          slots for io_uring in one system call\n"
	"\n"
	CAPTURE_HELP_SETUP
	CAPTURE_HELP_REST
	"\n"
	"  sgring record rx0 -o run1 --size 100G\n"
	"  sgring record rx0 -o /data/night --time 8h --rotate-size 64G --overrun drop\n";

enum {
	OPT_ROTATE_SIZE = OPT_COMMAND, OPT_ROTATE_TIME, OPT_INDEX, OPT_PAD, OPT_OVERWRITE, OPT_SIGMF,
	OPT_DATATYPE, OPT_SAMPLE_RATE, OPT_CHANNELS, OPT_DESCRIPTION,
};

/**
 * struct record - what is ours of a capture
 * @output: as given
 * @path: of the (first) data file, or the device
 * @url: of the sender
 * @device: bytes a block device has; 0: files
 * @metadata: SigMF's are wanted
 * @sigmf: with this in them
 */
struct record {
	const char *output;
	char path[4096];
	char url[sizeof("file:") + 4096];
	uint64_t device;
	bool metadata;
	struct sigmf_options sigmf;
};

/* What still fits, where the data file is; UINT64_MAX: nobody knows. */
static uint64_t room(const struct record *r, uint64_t written)
{
	struct statvfs v;
	char folder[sizeof(r->path)];
	char *slash;

	if (r->device)
		return r->device > written ? r->device - written : 0;
	snprintf(folder, sizeof(folder), "%s", r->path);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = 0;
	if (statvfs(slash ? folder : ".", &v))
		return UINT64_MAX;
	return (uint64_t)v.f_bavail * v.f_frsize;
}

static void tell_room(struct capture *c, char *text, size_t size)
{
	uint64_t left = room(c->context, c->bytes);
	double rate = c->progress.rate;

	if (left == UINT64_MAX)
		return;
	if (rate > 0 && (double)left / rate < 1e9)
		snprintf(text, size, "room %s, %s", size_words(left),
			 duration_words((uint64_t)((double)left / rate * 1e9)));
	else
		snprintf(text, size, "room %s", size_words(left));
}

static void say(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "sgring: %s\n", line);
}

/* The index is complete: what SigMF wants to know is made from it. */
static bool finished(struct capture *c)
{
	const struct record *r = c->context;

	return !r->metadata || !sigmf_write(r->output, &r->sigmf, say, NULL);
}

static bool find_output(struct record *r, const struct capture *c)
{
	struct stat st;
	int fd;

	if (!stat(r->output, &st) && S_ISBLK(st.st_mode)) {
		if (!(c->flags & SGRING_TX_RAW) && !c->senders[0].options.index) {
			fprintf(stderr, "sgring: %s is a block device, with no place for an index beside it: --index PATH or --raw\n",
				r->output);
			return false;
		}
		snprintf(r->path, sizeof(r->path), "%s", r->output);
		fd = open(r->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || ioctl(fd, BLKGETSIZE64, &r->device)) {
			fprintf(stderr, "sgring: %s: %s\n", r->path, strerror(errno));
			return false;
		}
		close(fd);
	} else {
		snprintf(r->path, sizeof(r->path), "%s.%s", r->output,
			 r->metadata ? "sigmf-data" : "data");
	}
	snprintf(r->url, sizeof(r->url), "file:%s", r->path);
	return true;
}

static void warn_if_too_small(const struct record *r, const struct capture *c)
{
	uint64_t left = room(r, 0);
	struct stat st;

	/* What is written over makes room. */
	if (!r->device && left != UINT64_MAX && !stat(r->path, &st))
		left += (uint64_t)st.st_blocks * 512;
	if (c->size_bytes && left < c->size_bytes)
		fprintf(stderr, "sgring: warning: there is room for %s only, and --size is %s\n",
			size_words(left), size_words(c->size_bytes));
}

int record_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "rotate-size", required_argument, NULL, OPT_ROTATE_SIZE },
		{ "rotate-time", required_argument, NULL, OPT_ROTATE_TIME },
		{ "index", required_argument, NULL, OPT_INDEX },
		{ "pad", no_argument, NULL, OPT_PAD },
		{ "overwrite", no_argument, NULL, OPT_OVERWRITE },
		{ "sigmf", no_argument, NULL, OPT_SIGMF },
		{ "datatype", required_argument, NULL, OPT_DATATYPE },
		{ "sample-rate", required_argument, NULL, OPT_SAMPLE_RATE },
		{ "channels", required_argument, NULL, OPT_CHANNELS },
		{ "description", required_argument, NULL, OPT_DESCRIPTION },
		CAPTURE_LONGS
	};
	struct capture c = CAPTURE("recorded");
	struct record r = { 0 };
	struct capture_sender *n = capture_add(&c, r.url);
	int option;

	while ((option = getopt_long(argc, argv, "o:jqh", longs, NULL)) != -1) {
		switch (option) {
		case 'o':
			r.output = optarg;
			break;
		case OPT_ROTATE_SIZE:
			n->options.rotate_bytes = size_option("rotate-size", optarg);
			break;
		case OPT_ROTATE_TIME:
			n->options.rotate_ms = duration_option("rotate-time", optarg) / 1000000;
			break;
		case OPT_INDEX:
			n->options.index = optarg;
			break;
		case OPT_PAD:
			n->options.flags |= SGRING_TX_PAD;
			break;
		case OPT_OVERWRITE:
			n->options.flags |= SGRING_TX_OVERWRITE;
			break;
		case OPT_SIGMF:
			r.metadata = true;
			break;
		case OPT_DATATYPE:
			sigmf_option_datatype(&r.sigmf, optarg);
			break;
		case OPT_SAMPLE_RATE:
			sigmf_option_rate(&r.sigmf, optarg);
			break;
		case OPT_CHANNELS:
			r.sigmf.channels = (unsigned int)number_option("channels", optarg, 1, 1024);
			break;
		case OPT_DESCRIPTION:
			r.sigmf.description = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			if (!capture_option(&c, option, optarg))
				return EXIT_FAILED;
		}
	}
	if (argc - optind != 1 || !r.output) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	if (r.metadata && (c.flags & SGRING_TX_RAW || n->options.index)) {
		fprintf(stderr, "sgring: --sigmf is made from NAME.index: it goes with neither --raw nor --index\n");
		return EXIT_FAILED;
	}
	c.name = argv[optind];
	c.more = tell_room;
	c.finished = finished;
	c.context = &r;
	if (!find_output(&r, &c))
		return EXIT_FAILED;
	warn_if_too_small(&r, &c);
	return capture_run(&c);
}

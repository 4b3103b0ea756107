/* SPDX-License-Identifier: MIT */
/*
 * sgring trace: the driver's tracepoints as a time line
 *
 * By the plain files of tracefs, in an instance of its own: what others trace stays as
 * it is. The instance goes with the command, however that ends; what a killed one has
 * left behind the next one removes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

#define CLASS_DIR "/sys/class/sgring"
#define INSTANCE "sgring-trace-"
#define STREAMS 256
#define FIELDS 16
#define LOOK_MS 100	/* trace_pipe does not always wake who polls it */

static const char help[] =
	"usage: sgring trace [OPTION...] [NAME]\n"
	"The driver's tracepoints as a time line, of one stream or of all, until interrupted.\n"
	"Needs root. Lines that begin with ! are losses, stalls and errors.\n"
	"\n"
	"  -e, --events LIST  only these, with commas between them: setup submit complete\n"
	"                     publish starve timer kick gate drop error stop\n"
	"  -s, --seconds N    for so long\n"
	"  -n, --count N      so many events\n"
	"  -j, --json         a JSON object per event, and one with the sums at the end\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit: 0; 2 no event came, or some were lost; 1 it did not work.\n";

static const char *const event_names[] = {
	"setup", "submit", "complete", "publish", "starve", "timer", "kick", "gate", "drop",
	"error", "stop",
};
#define EVENTS (sizeof(event_names) / sizeof(event_names[0]))

/* One event, as a line of trace_pipe has it. */
struct event {
	double at;		/* CLOCK_MONOTONIC, seconds */
	unsigned int cpu;
	const char *name;
	unsigned int count;
	struct {
		const char *name;
		const char *value;
	} field[FIELDS];
};

struct trace {
	char directory[160];	/* the instance's, or empty */
	int pipe;
	bool json;
	bool bold;			/* a terminal */
	double start;
	double last;			/* the event before */
	uint64_t events, count;
	uint64_t lost_in_line;
	char line[4096];
	size_t used;
	char labels[STREAMS][SGRING_NAME_BYTES];
};

static struct trace trace = { .pipe = -1 };

/* ---- the instance ---- */

/* Also in a signal's handler. */
static void remove_instance(void)
{
	if (trace.pipe >= 0)
		close(trace.pipe);
	trace.pipe = -1;
	if (trace.directory[0])
		rmdir(trace.directory);
	trace.directory[0] = 0;
}

static void second_interrupt(void)
{
	remove_instance();
	_exit(EXIT_FAILED);
}

static int write_file(const char *name, const char *text)
{
	char path[320];
	ssize_t n;
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", trace.directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	err = n < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int failed(const char *what, int err)
{
	fprintf(stderr, "sgring: %s: %s\n", what, strerror(-err));
	return EXIT_FAILED;
}

/* What commands that were killed have left behind. */
static void sweep(const char *instances)
{
	char path[400];
	struct dirent *e;
	DIR *d = opendir(instances);

	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, INSTANCE, strlen(INSTANCE)) ||
		    !kill(atoi(e->d_name + strlen(INSTANCE)), 0) || errno != ESRCH)
			continue;
		snprintf(path, sizeof(path), "%s/%s", instances, e->d_name);
		rmdir(path);
	}
	if (d)
		closedir(d);
}

/* Where tracefs is; NULL, and it has said why not. */
static const char *tracefs(void)
{
	static const char *const places[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };
	char path[200];
	bool denied = false;
	size_t i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/instances", places[i]);
		if (!access(path, W_OK)) {
			snprintf(path, sizeof(path), "%s/events/sgring", places[i]);
			if (!access(path, F_OK))
				return places[i];
			fprintf(stderr, access("/sys/module/sgring", F_OK) ?
				"sgring: the driver is not loaded: modprobe sgring\n" :
				"sgring: the driver has no tracepoints: a kernel without CONFIG_TRACEPOINTS, or with a driver older than this program\n");
			return NULL;
		}
		denied = denied || errno == EACCES;
	}
	if (denied || geteuid())
		fprintf(stderr, "sgring: no permission to trace: only root may, \"sudo sgring trace\"\n");
	else
		fprintf(stderr, "sgring: no tracefs here: \"mount -t tracefs tracefs /sys/kernel/tracing\" (the kernel needs CONFIG_FTRACE)\n");
	return NULL;
}

static int make_instance(const char *top, int stream, const bool *wanted)
{
	char instances[100], name[100], filter[60], path[200];
	size_t i;
	int err;

	snprintf(instances, sizeof(instances), "%s/instances", top);
	sweep(instances);
	snprintf(path, sizeof(trace.directory), "%s/" INSTANCE "%d", instances, getpid());
	rmdir(path);
	if (mkdir(path, 0700))
		return failed("no instance for tracing to be had", -errno);
	memcpy(trace.directory, path, sizeof(trace.directory));
	/* Older kernels have not got it, and wake whoever waits at once. */
	write_file("buffer_percent", "0");
	err = write_file("trace_clock", "mono");
	snprintf(filter, sizeof(filter), "stream == %d", stream);
	if (!err && stream >= 0)
		err = write_file("events/sgring/filter", filter);
	snprintf(path, sizeof(path), "%s/trace_pipe", trace.directory);
	trace.pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (!err && trace.pipe < 0)
		err = -errno;
	for (i = 0; i < EVENTS && !err; i++) {
		snprintf(name, sizeof(name), "events/sgring/sgring_%s/enable", event_names[i]);
		if (wanted[i])
			err = write_file(name, "1");
	}
	return err ? failed("tracing cannot be set up", err) : EXIT_OK;
}

/* What the buffers could not hold: said by each CPU's. */
static uint64_t lost_events(void)
{
	char path[500], line[100];
	uint64_t n, lost = 0;
	struct dirent *e;
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "%s/per_cpu", trace.directory);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "%s/per_cpu/%s/stats", trace.directory, e->d_name);
		f = fopen(path, "re");
		while (f && fgets(line, sizeof(line), f))
			if (sscanf(line, "overrun: %" SCNu64, &n) == 1 ||
			    sscanf(line, "dropped events: %" SCNu64, &n) == 1)
				lost += n;
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	/* Those of the line are among them, where the kernel counts both. */
	return lost > trace.lost_in_line ? lost : trace.lost_in_line;
}

/* ---- streams by name ---- */

static bool label_of(unsigned int stream, char *label, size_t bytes)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), CLASS_DIR "/sgring%u/label", stream);
	f = fopen(path, "re");
	label[0] = 0;
	if (!f)
		return false;
	if (fgets(label, (int)bytes, f))
		label[strcspn(label, "\n")] = 0;
	fclose(f);
	return true;
}

/* The number of a label, a device or a path; -1: there is none, and it has said so. */
static int stream_number(const char *name)
{
	char path[PATH_MAX], label[SGRING_NAME_BYTES];
	unsigned int n;
	int end = 0;

	for (n = 0; n < STREAMS; n++)
		if (label_of(n, label, sizeof(label)) && !strcmp(label, name))
			return (int)n;
	if (strchr(name, '/') && realpath(name, path))
		name = strrchr(path, '/') + 1;
	if (sscanf(name, "sgring%u%n", &n, &end) == 1 && !name[end] && n < STREAMS &&
	    label_of(n, label, sizeof(label)))
		return (int)n;
	fprintf(stderr, "sgring: there is no stream \"%s\": see \"sgring list\"\n", name);
	return -1;
}

static const char *stream_label(const char *number)
{
	unsigned int n = (unsigned int)atoi(number) % STREAMS;
	char *label = trace.labels[n];

	if (!label[0] && (!label_of(n, label, SGRING_NAME_BYTES) || !label[0]))
		snprintf(label, SGRING_NAME_BYTES, "sgring%u", n);
	return label;
}

/* ---- an event ---- */

static const char *get(const struct event *e, const char *name)
{
	unsigned int i;

	for (i = 0; i < e->count; i++)
		if (!strcmp(e->field[i].name, name))
			return e->field[i].value;
	return "?";
}

static uint64_t number(const struct event *e, const char *name)
{
	return strtoull(get(e, name), NULL, 0);
}

static bool is(const struct event *e, const char *name, const char *value)
{
	return !strcmp(get(e, name), value);
}

/* "TASK-PID [CPU] FLAGS SECONDS: sgring_NAME: A=1 B=2": cut into pieces; false: not of ours. */
static bool parse(char *line, struct event *e)
{
	char *p = line, *name = NULL, *cpu, *at;

	/* A task may be called anything: the last one counts. */
	while ((p = strstr(p, ": sgring_")))
		name = p++;
	if (!name)
		return false;
	*name = 0;
	at = strrchr(line, ' ');
	cpu = strrchr(line, '[');
	if (!at || !cpu)
		return false;
	*e = (struct event){ .at = strtod(at, NULL), .cpu = (unsigned int)atoi(cpu + 1) };
	e->name = name + strlen(": sgring_");
	p = strchr(e->name, ':');
	if (!p)
		return false;
	*p++ = 0;
	for (p = strtok(p, " "); p && e->count < FIELDS; p = strtok(NULL, " ")) {
		char *value = strchr(p, '=');

		if (!value)
			continue;
		*value++ = 0;
		e->field[e->count].name = p;
		e->field[e->count++].value = value;
	}
	return e->count && !strcmp(e->field[0].name, "stream");
}

static const char *time_words(uint64_t ns, char *text, size_t bytes)
{
	if (ns < 10000000)
		snprintf(text, bytes, "%.1f us", (double)ns / 1e3);
	else
		snprintf(text, bytes, "%.1f ms", (double)ns / 1e6);
	return text;
}

/* What it says, in words; true: it is a loss, a stall or an error. */
static bool words(const struct event *e, char *text, size_t bytes)
{
	const char *slot = is(e, "slot", "-1") ? "the scratch slot" : get(e, "slot");
	const char *flags = get(e, "flags");
	char time[40];

	if (!strcmp(e->name, "setup")) {
		if (!is(e, "result", "0")) {
			snprintf(text, bytes, "refused: %s", strerror(-atoi(get(e, "result"))));
			return true;
		}
		snprintf(text, bytes, "%s slots of %s bytes, %s in the engine, %s bytes in all",
			 get(e, "slot_count"), get(e, "slot_bytes"), get(e, "queue_depth"),
			 get(e, "memory_bytes"));
	} else if (!strcmp(e->name, "submit")) {
		snprintf(text, bytes, "slot %s; in flight %s, free %s", slot, get(e, "in_flight"),
			 get(e, "slots_free"));
	} else if (!strcmp(e->name, "complete")) {
		bool bad = !is(e, "failed", "0") || number(e, "residue") > number(e, "length");

		snprintf(text, bytes, "slot %s, %s of %s bytes missing%s; in flight %s", slot,
			 get(e, "residue"), get(e, "length"), is(e, "failed", "0") ? "" : ", FAILED",
			 get(e, "in_flight"));
		return bad;
	} else if (!strcmp(e->name, "publish")) {
		bool gap = strstr(flags, "gap"), bad = gap || !is(e, "status", "0");

		if (strstr(flags, "eos"))
			snprintf(text, bytes, "end of stream at %s", get(e, "position"));
		else
			snprintf(text, bytes, "slot %s, number %s, %s bytes at %s", slot,
				 get(e, "sequence"), get(e, "length"), get(e, "position"));
		snprintf(text + strlen(text), bytes - strlen(text), "%s%s%s%s%s; pending %s",
			 *flags ? ", " : "", flags, is(e, "status", "0") ? "" : ", ",
			 is(e, "status", "0") ? "" : strerror(-atoi(get(e, "status"))),
			 gap ? ": A GAP BEFORE IT" : "", get(e, "pending"));
		return bad;
	} else if (!strcmp(e->name, "starve")) {
		if (is(e, "starved", "1"))
			snprintf(text, bytes, "THE ENGINE HAS NO SLOT: the application has %s, %s at the gate",
				 get(e, "slots_app"), get(e, "slots_gated"));
		else
			snprintf(text, bytes, "it has one again, after %s",
				 time_words(number(e, "stalled_ns"), time, sizeof(time)));
		return true;
	} else if (!strcmp(e->name, "timer")) {
		snprintf(text, bytes, "looked at the SQ: %s; %s%s%s",
			 is(e, "hit", "1") ? "something" : "nothing",
			 is(e, "next_usec", "0") ? "not again by itself" : "again in ",
			 is(e, "next_usec", "0") ? "" : get(e, "next_usec"),
			 is(e, "next_usec", "0") ? "" : " us");
	} else if (!strcmp(e->name, "kick")) {
		snprintf(text, bytes, "%s entries in the SQ%s", get(e, "queued"),
			 is(e, "starved", "1") ? ", the engine had no slot" : "");
	} else if (!strcmp(e->name, "gate")) {
		if (is(e, "what", "waits"))
			snprintf(text, bytes, "slot %s waits: others hold its pages; at the gate %s",
				 slot, get(e, "slots_gated"));
		else
			snprintf(text, bytes, "slot %s %s after %s; at the gate %s", slot,
				 is(e, "what", "stuck") ? "IS STILL HELD" : "passes",
				 time_words(number(e, "waited_ns"), time, sizeof(time)),
				 get(e, "slots_gated"));
		return is(e, "what", "stuck");
	} else if (!strcmp(e->name, "drop")) {
		snprintf(text, bytes, "%s BYTES LOST at %s: %s", get(e, "bytes"), get(e, "position"),
			 is(e, "why", "device") ? "by the device" : "no slot was free");
		return true;
	} else if (!strcmp(e->name, "error")) {
		static const char *const what[][2] = {
			{ "engine", "A TRANSFER FAILED after" },
			{ "residue", "AN IMPOSSIBLE RESIDUE:" },
			{ "late", "A COMPLETION OF AN EARLIER RUN, ignored; run" },
			{ "odd", "A COMPLETION TWICE OR OUT OF ORDER; cookie" },
			{ "busy", "THE ENGINE HAS NO DESCRIPTOR; in flight" },
			{ "cq_full", "THE CQ IS FULL; in flight" },
			{ "sq", "A BAD SQ ENTRY, dropped; index" },
			{ "index", "AN INDEX OFF ITS RING;" },
		};
		size_t i;

		snprintf(text, bytes, "%s", get(e, "what"));
		for (i = 0; i < sizeof(what) / sizeof(what[0]); i++)
			if (is(e, "what", what[i][0]))
				snprintf(text, bytes, "%s %s%s%s", what[i][1], get(e, "value"),
					 is(e, "slot", "-1") ? "" : ", slot ",
					 is(e, "slot", "-1") ? "" : slot);
		return true;
	} else if (!strcmp(e->name, "stop")) {
		bool bad = !is(e, "status", "0") || !is(e, "result", "0");

		snprintf(text, bytes, "epoch %s ends at %s%s%s%s%s", get(e, "epoch"), get(e, "position"),
			 *get(e, "outcome") ? ", " : "", get(e, "outcome"), bad ? ": " : "",
			 !bad ? "" : strerror(-atoi(is(e, "status", "0") ? get(e, "result") :
						    get(e, "status"))));
		return bad;
	} else {
		unsigned int i;

		text[0] = 0;
		for (i = 1; i < e->count; i++)
			snprintf(text + strlen(text), bytes - strlen(text), "%s%s %s", i > 1 ? ", " : "",
				 e->field[i].name, e->field[i].value);
	}
	return false;
}

static void print_event(const struct event *e)
{
	char text[400];
	bool bad = words(e, text, sizeof(text));
	double since = trace.last && e->at > trace.last ? e->at - trace.last : 0;

	printf("%s%c %11.6f %+10.6f  %-10s %-8s  %s%s\n", bad && trace.bold ? "\033[1m" : "",
	       bad ? '!' : ' ', e->at - trace.start, since, stream_label(get(e, "stream")), e->name,
	       text, bad && trace.bold ? "\033[0m" : "");
	trace.last = e->at;
}

static void print_json(const struct event *e)
{
	unsigned int i;

	json_open(NULL, '{');
	json_signed("usec", (int64_t)((e->at - trace.start) * 1e6 + 0.5));
	json_number("cpu", e->cpu);
	json_string("event", e->name);
	json_string("label", stream_label(get(e, "stream")));
	for (i = 0; i < e->count; i++) {
		const char *v = e->field[i].value;
		size_t digits = strspn(v + (*v == '-'), "0123456789");

		if (!digits || v[digits + (*v == '-')])
			json_string(e->field[i].name, v);
		else if (*v == '-')
			json_signed(e->field[i].name, strtoll(v, NULL, 10));
		else
			json_number(e->field[i].name, strtoull(v, NULL, 10));
	}
	json_close('}');
	json_end();
}

static void print_lost(uint64_t n)
{
	trace.lost_in_line += n;
	if (!trace.json) {
		printf("! %" PRIu64 " events lost here\n", n);
		return;
	}
	json_open(NULL, '{');
	json_number("lost_events", n);
	json_close('}');
	json_end();
}

static void take_line(char *line)
{
	struct event e;
	uint64_t lost;
	char *p;

	p = strstr(line, "[LOST ");
	if (p && !strncmp(line, "CPU:", 4)) {
		if (sscanf(p, "[LOST %" SCNu64 " EVENTS]", &lost) == 1)
			print_lost(lost);
		return;
	}
	if ((trace.count && trace.events >= trace.count) || !parse(line, &e))
		return;
	trace.events++;
	if (trace.json)
		print_json(&e);
	else
		print_event(&e);
}

/* All that is there now; 0, or -errno. */
static int take_all(void)
{
	char *end;
	ssize_t n;

	for (;;) {
		n = read(trace.pipe, trace.line + trace.used, sizeof(trace.line) - 1 - trace.used);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		trace.used += (size_t)n;
		trace.line[trace.used] = 0;
		while ((end = strchr(trace.line, '\n'))) {
			*end++ = 0;
			take_line(trace.line);
			trace.used -= (size_t)(end - trace.line);
			memmove(trace.line, end, trace.used + 1);
		}
		/* No event is so long. */
		if (trace.used == sizeof(trace.line) - 1)
			trace.used = 0;
		if ((trace.count && trace.events >= trace.count) || ferror(stdout))
			break;
	}
	if (n < 0 && errno != EAGAIN)
		return -errno;
	return fflush(stdout) || ferror(stdout) ? -EPIPE : 0;
}

static bool wanted_more(double until)
{
	return !interrupts && !(trace.count && trace.events >= trace.count) &&
	       (!until || (double)now_ns() / 1e9 < until);
}

static int watch(double seconds)
{
	struct pollfd fds[2] = {
		{ .fd = trace.pipe, .events = POLLIN },
		/* Nobody reads it any more: told even if there is nothing to write. */
		{ .fd = STDOUT_FILENO },
	};
	double until = seconds ? trace.start + seconds : 0;
	int err = 0;

	while (!err && wanted_more(until)) {
		poll(fds, 2, LOOK_MS);
		err = fds[1].revents & (POLLERR | POLLHUP) ? -EPIPE : take_all();
	}
	/* What came before the end. */
	write_file("tracing_on", "0");
	return err ? err : take_all();
}

static int sum_up(void)
{
	uint64_t lost = lost_events();
	double seconds = (double)now_ns() / 1e9 - trace.start;

	if (trace.json) {
		json_open(NULL, '{');
		json_number("events", trace.events);
		json_number("lost", lost);
		json_number("usec", (uint64_t)(seconds * 1e6));
		json_close('}');
		json_end();
	} else {
		fprintf(stderr, "%" PRIu64 " events in %.1f s, %" PRIu64 " lost%s\n", trace.events, seconds,
			lost, lost ? ": fewer --events, or one stream alone, lose less" : "");
	}
	return fflush(stdout) ? EXIT_FAILED : lost || !trace.events ? EXIT_NOTHING : EXIT_OK;
}

static void events_option(char *list, bool *wanted)
{
	char *name;

	memset(wanted, 0, EVENTS * sizeof(*wanted));
	for (name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		/* As perf and trace-cmd call it, too. */
		name += strncmp(name, "sgring_", 7) ? 0 : 7;
		wanted[word_option("events", name, event_names, EVENTS)] = true;
	}
}

int trace_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "events", required_argument, NULL, 'e' },
		{ "seconds", required_argument, NULL, 's' },
		{ "count", required_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	bool wanted[EVENTS];
	const char *top;
	double seconds = 0;
	int c, code, err, stream = -1;

	memset(wanted, true, sizeof(wanted));
	while ((c = getopt_long(argc, argv, "e:s:n:jh", longs, NULL)) != -1) {
		switch (c) {
		case 'e':
			events_option(optarg, wanted);
			break;
		case 's':
			seconds = (double)number_option("seconds", optarg, 1, 1000000);
			break;
		case 'n':
			trace.count = number_option("count", optarg, 1, UINT64_MAX);
			break;
		case 'j':
			trace.json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return EXIT_FAILED;
		}
	}
	if (argc - optind > 1) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	top = tracefs();
	if (!top)
		return EXIT_FAILED;
	if (optind < argc) {
		stream = stream_number(argv[optind]);
		if (stream < 0)
			return EXIT_FAILED;
	}
	trace.bold = isatty(STDOUT_FILENO);
	atexit(remove_instance);
	catch_interrupts(second_interrupt);
	trace.start = (double)now_ns() / 1e9;
	code = make_instance(top, stream, wanted);
	if (code)
		return code;
	err = watch(seconds);
	if (err)
		return failed(err == -EPIPE ? "the output cannot be written" : "tracing", err);
	return sum_up();
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring: look at streams, record them, send them on, receive them
 *
 * Each command is a file of its own: list.c, info.c, ... Here is what they share.
 */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const char help[] =
	"usage: sgring COMMAND [OPTION...] [ARGUMENT...]\n"
	"\n"
	"Look; nothing is changed:\n"
	"  doctor                         what this machine has, what is amiss, the cure\n"
	"  list                           every stream, a line each\n"
	"  info NAME                      all about one: limits, memory, quirks\n"
	"  stat NAME [SECONDS [COUNT]]    what it does, a line per interval\n"
	"  top [NAME...]                  the same on a full screen, with the last minute\n"
	"  dump NAME                      its rings at one moment: who has which slot\n"
	"  pcap NAME -w FILE              its slots as packets, for tcpdump and Wireshark\n"
	"  trace [NAME]                   what the driver does, event by event (root)\n"
	"\n"
	"Capture, without a copy, and no loss is silent:\n"
	"  record NAME -o RUN             to RUN.data, with RUN.index beside it\n"
	"  send NAME URL...               to tcp://HOST:PORT, udp://HOST:PORT\n"
	"  recv :PORT -o RUN              what \"send\" sends, to RUN.data and RUN.index\n"
	"  verify RUN                     is all of it there\n"
	"  replay FILE                    a recording or a capture file as a stream again\n"
	"\n"
	"NAME is a label (rx0), a device (sgring0) or a path. \"sgring COMMAND --help\"\n"
	"tells more.\n"
	"Exit: 0; 2 data was lost, or there is nothing to tell; 1 it did not work.\n";

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "doctor", doctor_main },
	{ "list", list_main },
	{ "info", info_main },
	{ "stat", stat_main },
	{ "top", top_main },
	{ "dump", dump_main },
	{ "pcap", pcap_main },
	{ "trace", trace_main },
	{ "record", record_main },
	{ "send", send_main },
	{ "recv", recv_main },
	{ "verify", verify_main },
	{ "replay", replay_main },
};

int library_failed(void)
{
	fprintf(stderr, "sgring: %s\n", sgring_errmsg());
	return EXIT_FAILED;
}

/* Why somebody may not use a stream, and what helps. */
static const char *permission_cure(void)
{
	const struct group *g = getgrnam("sgring");
	const char *user = getenv("USER");
	gid_t groups[256];
	int n, i;

	if (!g)
		return "there is no group sgring yet: \"sudo make install\" creates it";
	n = getgroups(256, groups);
	for (i = 0; i < n; i++)
		if (groups[i] == g->gr_gid)
			return "you are in the group sgring, but the device is not: \"sudo udevadm trigger --subsystem-match=sgring\"";
	for (i = 0; user && g->gr_mem[i]; i++)
		if (!strcmp(g->gr_mem[i], user))
			return "you are in the group sgring from the next login on: log out, and in again";
	return "add yourself to the group sgring, \"sudo usermod -aG sgring $USER\", and log in again";
}

int open_failed(const char *name, int err)
{
	if (err != -EACCES)
		return library_failed();
	fprintf(stderr, "sgring: no permission to use %s: %s\n", name, permission_cure());
	return EXIT_FAILED;
}

static void not_an_option(const char *option, const char *text, const char *expected)
{
	fprintf(stderr, "sgring: --%s: \"%s\" is not %s\n", option, text, expected);
	exit(EXIT_FAILED);
}

uint64_t size_option(const char *option, const char *text)
{
	uint64_t bytes;

	if (!parse_size(text, &bytes) || !bytes)
		not_an_option(option, text, "a size (100G, 64MiB, 1.5GB, 4096)");
	return bytes;
}

uint64_t duration_option(const char *option, const char *text)
{
	uint64_t ns;

	if (!parse_duration(text, &ns))
		not_an_option(option, text, "a time (90s, 10m, 1h30m, 500ms)");
	return ns;
}

uint64_t number_option(const char *option, const char *text, uint64_t least, uint64_t most)
{
	char expected[80], *end;
	uint64_t n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || *text == '-' || n < least || n > most) {
		snprintf(expected, sizeof(expected), "a number from %" PRIu64 " to %" PRIu64, least,
			 most);
		not_an_option(option, text, expected);
	}
	return n;
}

unsigned int word_option(const char *option, const char *text, const char *const *names,
			 unsigned int count)
{
	char expected[200] = "one of";
	unsigned int i;

	for (i = 0; i < count; i++)
		if (!strcmp(text, names[i]))
			return i;
	for (i = 0; i < count; i++)
		snprintf(expected + strlen(expected), sizeof(expected) - strlen(expected), "%s %s",
			 i ? "," : "", names[i]);
	not_an_option(option, text, expected);
	return 0;
}

bool parse_arguments(struct arguments *a, int argc, char **argv, int least, int most,
		     const char *text)
{
	static const struct option longs[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	*a = (struct arguments){ 0 };
	while ((c = getopt_long(argc, argv, "jh", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			a->json = true;
			break;
		case 'h':
			fputs(text, stdout);
			exit(EXIT_OK);
		default:
			return false;
		}
	}
	a->count = argc - optind;
	a->values = argv + optind;
	if (a->count >= least && a->count <= most)
		return true;
	fputs(text, stderr);
	return false;
}

volatile sig_atomic_t interrupts;
static void (*at_second)(void);

static void on_signal(int number)
{
	if (++interrupts < 2)
		return;
	signal(number, SIG_DFL);
	if (at_second)
		at_second();
	else
		raise(number);
}

void catch_interrupts(void (*second)(void))
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction action = { .sa_handler = on_signal };
	struct sigaction old;
	size_t i;

	at_second = second;
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		/* nohup stays nohup; but kill -INT ends what a script runs in the background. */
		if (numbers[i] != SIGHUP ||
		    (!sigaction(SIGHUP, NULL, &old) && old.sa_handler != SIG_IGN))
			sigaction(numbers[i], &action, NULL);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
		fputs(help, stdout);
		return EXIT_OK;
	}
	for (i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].main(argc - 1, argv + 1);
	if (argc > 1)
		fprintf(stderr, "sgring: there is no command \"%s\"\n", argv[1]);
	fputs(help, stderr);
	return EXIT_FAILED;
}

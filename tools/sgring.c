/* SPDX-License-Identifier: MIT */
/*
 * sgring: look at streams; it never changes one
 *
 * Each command is a file of its own: list.c, info.c, stat.c.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

static const char help[] =
	"usage: sgring COMMAND [OPTION...] [ARGUMENT...]\n"
	"Look at the streams of this machine; nothing is changed.\n"
	"\n"
	"  list                           every stream, a line each\n"
	"  info NAME                      all about one: limits, memory, quirks\n"
	"  stat NAME [SECONDS [COUNT]]    what it does, a line per interval\n"
	"\n"
	"NAME is a label (rx0), a device (sgring0) or a path. \"sgring COMMAND --help\"\n"
	"tells more.\n"
	"Exit: 0; 2 there is nothing to tell; 1 it did not work.\n";

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} commands[] = {
	{ "list", list_main },
	{ "info", info_main },
	{ "stat", stat_main },
};

int library_failed(void)
{
	fprintf(stderr, "sgring: %s\n", sgring_errmsg());
	return EXIT_FAILED;
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

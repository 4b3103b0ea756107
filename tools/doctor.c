/* SPDX-License-Identifier: MIT */
/*
 * sgring doctor: what there is, what is in the way of a stream, and what helps
 *
 * Here are the arguments, who asks, and how findings are shown; what is looked at is in doctor_*.c.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "tool.h"
#include "world.h"

static const char help[] =
	"usage: sgring doctor [OPTION...]\n"
	"What this machine has for streams, what is in their way, and the cure for it, as\n"
	"lines to paste. It changes nothing, and needs neither the driver nor root; what\n"
	"only root can see, it says.\n"
	"\n"
	"  -r, --root DIR         look at DIR/proc, DIR/sys, ...: a copy of a machine's\n"
	"  -d, --device-tree DIR  a device tree's folder instead of /proc/device-tree\n"
	"  -j, --json             as JSON\n"
	"  -h, --help             this text\n"
	"\n"
	"Exit: 0 all is well; 2 there is trouble; 1 it could not look.\n";

struct finding {
	const char *section;
	enum level level;
	char *about, *text, *cure;
};

static struct finding *findings;
static size_t count;
static const char *in_section;

void section(const char *name)
{
	in_section = name;
}

void tell(enum level level, const char *about, const char *cure, const char *format, ...)
{
	struct finding *bigger = realloc(findings, (count + 1) * sizeof(*findings)), *f;
	va_list arguments;
	int n;

	if (!bigger)
		return;
	findings = bigger;
	f = &findings[count++];
	*f = (struct finding){ .section = in_section, .level = level };
	f->about = strdup(about);
	f->cure = cure ? strdup(cure) : NULL;
	va_start(arguments, format);
	n = vasprintf(&f->text, format, arguments);
	va_end(arguments);
	if (n < 0)
		f->text = NULL;
	if (f->about && f->text && (!cure || f->cure))
		return;
	fprintf(stderr, "sgring: no memory\n");
	exit(EXIT_FAILED);
}

static unsigned int how_many(enum level level)
{
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < count; i++)
		n += findings[i].level == level;
	return n;
}

static const char *const words[] = { "ok", "note", "trouble", "unseen" };

/* Control characters that a file may have do not get at the terminal. */
static void print_text(const char *text, size_t bytes)
{
	size_t i;

	for (i = 0; i < bytes && text[i]; i++)
		putchar(((unsigned char)text[i] < ' ' && text[i] != '\t') || text[i] == 0x7f ? '?' : text[i]);
	putchar('\n');
}

static void print(const char *machine)
{
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[1;31m", "\033[36m" };
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
	unsigned int trouble = how_many(LEVEL_TROUBLE), unseen = how_many(LEVEL_UNSEEN);
	const char *at = "", *line;
	size_t i;

	printf("%s\n", machine);
	for (i = 0; i < count; i++) {
		const struct finding *f = &findings[i];

		if (strcmp(at, f->section)) {
			printf("\n%s\n", f->section);
			at = f->section;
		}
		printf("  %s%-7s%s  ", colour ? colours[f->level] : "", words[f->level],
		       colour ? "\033[0m" : "");
		print_text(f->text, SIZE_MAX);
		for (line = f->cure; line && *line; line += strcspn(line, "\n"), line += *line == '\n') {
			printf("           ");
			print_text(line, strcspn(line, "\n"));
		}
	}
	putchar('\n');
	if (trouble)
		printf("%u trouble%s, %u note%s\n", trouble, trouble > 1 ? "s" : "",
		       how_many(LEVEL_NOTE), how_many(LEVEL_NOTE) == 1 ? "" : "s");
	else
		printf("all is well%s\n", unseen ? ", as far as can be seen" : "");
	if (unseen)
		printf("%u thing%s could not be seen\n", unseen, unseen > 1 ? "s" : "");
}

static void print_json(const struct doctor *d)
{
	size_t i;

	json_open(NULL, '{');
	json_string("kernel", d->release);
	json_number("uid", d->uid);
	json_number("streams", d->streams);
	json_number("trouble", how_many(LEVEL_TROUBLE));
	json_number("notes", how_many(LEVEL_NOTE));
	json_number("unseen", how_many(LEVEL_UNSEEN));
	json_open("findings", '[');
	for (i = 0; i < count; i++) {
		json_open(NULL, '{');
		json_string("section", findings[i].section);
		json_string("about", findings[i].about);
		json_string("level", words[findings[i].level]);
		json_string("text", findings[i].text);
		if (findings[i].cure)
			json_string("cure", findings[i].cure);
		json_close('}');
	}
	json_close(']');
	json_close('}');
	json_end();
}

/* Who asks, and of which kernel. False: there is no /proc. */
static bool look_around(struct doctor *d)
{
	char *status = world_text(NULL, "/proc/self/status"), line[4096], *at, *end;
	unsigned int *bigger;

	if (!status || !world_line(d->release, sizeof(d->release), "/proc/sys/kernel/osrelease")) {
		free(status);
		return false;
	}
	sscanf(d->release, "%u.%u", &d->major, &d->minor);
	/* Real, effective, saved, file system. */
	if (line_of(status, "Uid:", line, sizeof(line)))
		sscanf(line, "%*u %u", &d->uid);
	if (line_of(status, "CapEff:", line, sizeof(line)))
		d->capabilities = strtoull(line, NULL, 16);
	if (line_of(status, "Gid:", line, sizeof(line))) {
		d->groups = malloc(sizeof(*d->groups));
		if (d->groups && sscanf(line, "%*u %u", d->groups) == 1)
			d->group_count = 1;
	}
	if (line_of(status, "Groups:", line, sizeof(line))) {
		for (at = line; d->groups; at = end) {
			unsigned long g = strtoul(at, &end, 10);

			if (end == at)
				break;
			bigger = realloc(d->groups, (d->group_count + 1) * sizeof(*d->groups));
			if (!bigger)
				break;
			d->groups = bigger;
			d->groups[d->group_count++] = (unsigned int)g;
		}
	}
	free(status);
	return true;
}

int doctor_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "root", required_argument, NULL, 'r' },
		{ "device-tree", required_argument, NULL, 'd' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	struct doctor d = { 0 };
	bool json = false;
	const char *root = "";
	char machine[256];
	int c, code;

	while ((c = getopt_long(argc, argv, "r:d:jh", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			root = strcmp(optarg, "/") ? optarg : "";
			break;
		case 'd':
			d.tree = optarg;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			return EXIT_FAILED;
		}
	}
	if (optind != argc) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	world_root(root);
	if (!look_around(&d)) {
		fprintf(stderr, "sgring: %s/proc cannot be read: is it mounted?\n", root);
		return EXIT_FAILED;
	}
	look_at_driver(&d);
	look_at_dma(&d);
	look_at_deferred(&d);
	if (!look_at_tree(&d)) {
		fprintf(stderr, "sgring: %s is no device tree's folder (as /proc/device-tree is one)\n",
			d.tree);
		return EXIT_FAILED;
	}
	look_at_limits(&d);
	look_at_memory(&d);
	look_at_kernel(&d);
	look_at_permissions(&d);
	snprintf(machine, sizeof(machine), "Linux %s, %s", d.release,
		 d.uid ? "not as root" : "as root");
	if (json)
		print_json(&d);
	else
		print(machine);
	code = how_many(LEVEL_TROUBLE) ? EXIT_TROUBLE : EXIT_OK;
	while (count) {
		count--;
		free(findings[count].about);
		free(findings[count].text);
		free(findings[count].cure);
	}
	free(findings);
	findings = NULL;
	free(d.groups);
	world_root("");
	return code;
}

/* SPDX-License-Identifier: MIT */
/* sgring(1): files of the machine, see world.h. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "world.h"

#define TEXT_BYTES_MAX (1 << 20)

static const char *root = "";
static char path[PATH_MAX];

void world_root(const char *dir)
{
	root = dir;
}

bool world_is_here(void)
{
	return !*root;
}

static void path_of(const char *format, va_list arguments)
{
	int n = snprintf(path, sizeof(path), "%s", root);

	if (n >= 0 && (size_t)n < sizeof(path))
		vsnprintf(path + n, sizeof(path) - (size_t)n, format, arguments);
}

#define PATH_OF(format) do {			\
	va_list arguments_;			\
						\
	va_start(arguments_, format);		\
	path_of(format, arguments_);		\
	va_end(arguments_);			\
} while (0)

const char *world_path(const char *format, ...)
{
	PATH_OF(format);
	return path;
}

bool world_stat(struct stat *st, const char *format, ...)
{
	PATH_OF(format);
	return !stat(path, st);
}

bool world_has(const char *format, ...)
{
	PATH_OF(format);
	return !access(path, F_OK);
}

static char *read_all(size_t *bytes)
{
	FILE *f = fopen(path, "re");
	char *text = NULL, *bigger;
	size_t n = 0, room = 0;
	int err = 0;

	if (!f)
		return NULL;
	do {
		if (n + 1 >= room) {
			room = room ? 2 * room : 4096;
			bigger = room > TEXT_BYTES_MAX ? NULL : realloc(text, room);
			if (!bigger) {
				err = EFBIG;
				break;
			}
			text = bigger;
		}
		n += fread(text + n, 1, room - 1 - n, f);
		err = ferror(f) ? EIO : 0;
	} while (!err && !feof(f));
	fclose(f);
	if (err) {
		free(text);
		errno = err;
		return NULL;
	}
	text[n] = 0;
	if (bytes)
		*bytes = n;
	return text;
}

char *world_text(size_t *bytes, const char *format, ...)
{
	PATH_OF(format);
	return read_all(bytes);
}

bool world_line(char *line, size_t room, const char *format, ...)
{
	FILE *f;
	bool there;

	line[0] = 0;
	PATH_OF(format);
	f = fopen(path, "re");
	if (!f)
		return false;
	there = fgets(line, (int)room, f);
	fclose(f);
	if (!there)
		line[0] = 0;
	line[strcspn(line, "\n")] = 0;
	return there;
}

bool world_number(uint64_t *value, const char *format, ...)
{
	char *text, *end;
	bool right;

	PATH_OF(format);
	text = read_all(NULL);
	if (!text)
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	right = end != text && !errno && (!*end || isspace((unsigned char)*end));
	free(text);
	return right;
}

bool world_link(char *name, size_t room, const char *format, ...)
{
	char target[PATH_MAX];
	const char *last;
	ssize_t n;

	name[0] = 0;
	PATH_OF(format);
	n = readlink(path, target, sizeof(target) - 1);
	if (n <= 0)
		return false;
	target[n] = 0;
	last = strrchr(target, '/');
	snprintf(name, room, "%s", last ? last + 1 : target);
	return true;
}

static int compare(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

bool world_names(struct names *n, const char *format, ...)
{
	struct dirent *d;
	char **bigger;
	DIR *dir;

	*n = (struct names){ 0 };
	PATH_OF(format);
	dir = opendir(path);
	if (!dir)
		return false;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.')
			continue;
		bigger = realloc(n->name, (n->count + 1) * sizeof(*n->name));
		if (!bigger)
			break;
		n->name = bigger;
		n->name[n->count] = strdup(d->d_name);
		if (!n->name[n->count])
			break;
		n->count++;
	}
	closedir(dir);
	if (n->count)
		qsort(n->name, n->count, sizeof(*n->name), compare);
	return true;
}

void names_free(struct names *n)
{
	while (n->count)
		free(n->name[--n->count]);
	free(n->name);
	n->name = NULL;
}

const char *line_of(const char *text, const char *key, char *line, size_t room)
{
	size_t length = strlen(key);

	for (; text; text = strchr(text, '\n'), text = text ? text + 1 : NULL) {
		if (strncmp(text, key, length))
			continue;
		text += length;
		text += strspn(text, " \t:");
		snprintf(line, room, "%.*s", (int)strcspn(text, "\n"), text);
		return line;
	}
	return NULL;
}

const char *process_words(unsigned int pid)
{
	static char words[64];
	char comm[32];

	if (!pid)
		return "-";
	if (world_line(comm, sizeof(comm), "/proc/%u/comm", pid))
		snprintf(words, sizeof(words), "%s (%u)", comm, pid);
	else
		snprintf(words, sizeof(words), "%u", pid);
	return words;
}

/* The class's name for it; false: it has none. */
static bool name_of(char *name, size_t room, const char *stream)
{
	char label[64], real[PATH_MAX];
	bool found = false;
	struct names n;
	size_t i;

	if (strchr(stream, '/') && realpath(stream, real))
		stream = strrchr(real, '/') + 1;
	if (!world_names(&n, "/sys/class/sgring"))
		return false;
	for (i = 0; i < n.count && !found; i++)
		found = !strcmp(n.name[i], stream) ||
			(world_line(label, sizeof(label), "/sys/class/sgring/%s/label", n.name[i]) &&
			 !strcmp(label, stream));
	if (found)
		snprintf(name, room, "%s", n.name[i - 1]);
	names_free(&n);
	return found;
}

void attributes_of(struct attributes *a, const char *stream)
{
	uint64_t owner = 0;

	*a = (struct attributes){ 0 };
	if (!name_of(a->name, sizeof(a->name), stream))
		return;
	world_number(&owner, "/sys/class/sgring/%s/owner_pid", a->name);
	a->owner = (unsigned int)owner;
	world_number(&a->refused, "/sys/class/sgring/%s/refused", a->name);
	world_line(a->refused_last, sizeof(a->refused_last), "/sys/class/sgring/%s/refused_last", a->name);
}

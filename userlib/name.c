/* SPDX-License-Identifier: MIT */
/*
 * libsgring: from the name of a stream to its device file
 *
 * In this order: a path; "sgringN"; udev's link of the label; the label as
 * sysfs has it, for systems without udev.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define CLASS_DIR "/sys/class/sgring"

static bool is_device_name(const char *name)
{
	size_t n = strlen("sgring");

	return !strncmp(name, "sgring", n) && name[n] &&
	       strspn(name + n, "0123456789") == strlen(name + n);
}

static bool is_label(const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._-", *c))
			return false;
	return c > name && c - name < SGRING_NAME_BYTES;
}

/* The label of a device in CLASS_DIR; false: it has none. */
static bool read_label(const char *device, char *label, size_t bytes)
{
	char path[300];
	FILE *f;
	bool ok;

	snprintf(path, sizeof(path), CLASS_DIR "/%s/label", device);
	f = fopen(path, "re");
	if (!f)
		return false;
	ok = fgets(label, (int)bytes, f);
	fclose(f);
	if (!ok)
		return false;
	label[strcspn(label, "\n")] = 0;
	return label[0];
}

/* Look for the label; names all there are in @known. */
static bool scan(const char *name, char *path, size_t bytes, char *known, size_t known_bytes)
{
	char label[64];
	struct dirent *e;
	bool found = false;
	size_t used = 0;
	DIR *d;

	known[0] = 0;
	d = opendir(CLASS_DIR);
	if (!d)
		return false;
	while (!found && (e = readdir(d))) {
		if (!is_device_name(e->d_name))
			continue;
		if (!read_label(e->d_name, label, sizeof(label)))
			snprintf(label, sizeof(label), "%.40s", e->d_name);
		found = !strcmp(label, name);
		if (found)
			snprintf(path, bytes, "/dev/%.200s", e->d_name);
		else if (used < known_bytes)
			used += (size_t)snprintf(known + used, known_bytes - used, "%s%s",
						 used ? ", " : "", label);
	}
	closedir(d);
	return found;
}

static int resolve(const char *name, char *path, size_t bytes)
{
	char known[200];

	if (strchr(name, '/')) {
		snprintf(path, bytes, "%s", name);
		return 0;
	}
	if (is_device_name(name)) {
		snprintf(path, bytes, "/dev/%s", name);
		return 0;
	}
	if (!is_label(name))
		return sgring_fail(EINVAL, "\"%.64s\" is not a path, sgringN or a label", name);
	snprintf(path, bytes, "/dev/sgring/by-name/%s", name);
	if (!access(path, F_OK) || scan(name, path, bytes, known, sizeof(known)))
		return 0;
	if (known[0])
		return sgring_fail(ENOENT, "no stream is called \"%s\"; there are: %s", name, known);
	return sgring_fail(ENOENT, "no stream is called \"%s\": there are none at all (is the driver loaded?)",
			   name);
}

int sgring_name_resolve(const char *name, char *path, size_t bytes)
{
	int saved = errno, err;

	err = resolve(name, path, bytes);
	errno = saved;
	return err;
}

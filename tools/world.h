/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): what the machine tells in files of /proc, /sys, /etc and /dev: read below a root that
 * tests, and who looks at another machine's files, can replace. Paths are formats.
 */
#ifndef SGRING_WORLD_H
#define SGRING_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* "": this machine, which is the default. */
void world_root(const char *root);
bool world_is_here(void);

#define WORLD_PATH(n) __attribute__((format(printf, n, n + 1)))

/* The path below the root; one buffer. */
const char *world_path(const char *format, ...) WORLD_PATH(1);
bool world_stat(struct stat *st, const char *format, ...) WORLD_PATH(2);
bool world_has(const char *format, ...) WORLD_PATH(1);
/* The whole file, a zero behind it, at most 1 MiB; NULL: errno says why. @bytes may be NULL. */
char *world_text(size_t *bytes, const char *format, ...) WORLD_PATH(2);
/* Its first line; false and "": not there. */
bool world_line(char *line, size_t room, const char *format, ...) WORLD_PATH(3);
bool world_number(uint64_t *value, const char *format, ...) WORLD_PATH(2);
/* The last name in a symbolic link. */
bool world_link(char *name, size_t room, const char *format, ...) WORLD_PATH(3);

/* What a folder has, sorted, sgring10 behind sgring9; without those that begin with a dot. */
struct names {
	char **name;
	size_t count;
};
bool world_names(struct names *n, const char *format, ...) WORLD_PATH(2);
void names_free(struct names *n);

/* A line of @text whose beginning is @key, behind it and blanks; NULL: none. In @line. */
const char *line_of(const char *text, const char *key, char *line, size_t room);

/* The name of a process, "name (pid)"; "-": 0. One buffer. */
const char *process_words(unsigned int pid);

/* What sysfs tells of a stream to everybody; 0 and "" where the driver does not say. */
struct attributes {
	char name[32];		/* sgring0; "": no stream of the driver */
	unsigned int owner;	/* process; 0: nobody, or not to be seen */
	uint64_t refused;
	char refused_last[256];
};
/* @stream: a label, a name, a path. */
void attributes_of(struct attributes *a, const char *stream);

#endif /* SGRING_WORLD_H */

/* SPDX-License-Identifier: MIT */
/* sgring(1): files of packets. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "capfile.h"
#include "tool.h"

#define FILE_HEADER 24U
#define PACKET_HEADER 16U

static bool is_stdout(const struct capfile *f)
{
	return !strcmp(f->name, "-");
}

void capfile_path(char *path, size_t room, const char *name, unsigned int part)
{
	const char *slash = strrchr(name, '/'), *dot = strrchr(name, '.');
	size_t stem = dot && dot > (slash ? slash + 1 : name) ? (size_t)(dot - name) : strlen(name);

	if (part == 1)
		snprintf(path, room, "%s", name);
	else
		snprintf(path, room, "%.*s-%04u%s", (int)stem, name, part, name + stem);
}

static int fail(struct capfile *f, int err)
{
	char path[PATH_MAX];

	capfile_path(path, sizeof(path), f->name, f->part);
	f->closed = err == EPIPE && is_stdout(f);
	if (err == EEXIST)
		snprintf(f->error, sizeof(f->error), "%s exists; --overwrite writes over it", path);
	else
		snprintf(f->error, sizeof(f->error), "%s: %s", is_stdout(f) ? "standard output" : path,
			 strerror(err));
	return -1;
}

static FILE *create(struct capfile *f)
{
	char path[PATH_MAX];
	int fd;

	if (is_stdout(f)) {
		fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	} else {
		capfile_path(path, sizeof(path), f->name, f->part);
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (f->overwrite ? O_TRUNC : O_EXCL), 0666);
	}
	return fd < 0 ? NULL : fdopen(fd, "w");
}

static int begin(struct capfile *f)
{
	char path[PATH_MAX];
	FILE *file = create(f);

	if (!file)
		return fail(f, errno);
	f->dumper = pcap_dump_fopen(f->dead, file);
	if (!f->dumper) {
		snprintf(f->error, sizeof(f->error), "%s", pcap_geterr(f->dead));
		fclose(file);
		return -1;
	}
	f->opened_ns = now_ns();
	f->part_bytes = FILE_HEADER;
	if (f->keep && f->part > f->keep) {
		capfile_path(path, sizeof(path), f->name, f->part - f->keep);
		unlink(path);
	}
	return capfile_flush(f);
}

static int end(struct capfile *f)
{
	FILE *file = pcap_dump_file(f->dumper);
	int err = fflush(file) || ferror(file) ? fail(f, errno) : 0;

	pcap_dump_close(f->dumper);
	f->dumper = NULL;
	return err;
}

int capfile_open(struct capfile *f)
{
	f->dumper = NULL;
	f->part = 1;
	f->packets = f->bytes = 0;
	f->closed = false;
	f->dead = pcap_open_dead_with_tstamp_precision(f->link, (int)f->snaplen,
						       PCAP_TSTAMP_PRECISION_NANO);
	if (!f->dead) {
		snprintf(f->error, sizeof(f->error), "no memory");
		return -1;
	}
	return begin(f);
}

int capfile_turn(struct capfile *f, uint64_t more_bytes)
{
	bool large = f->rotate_bytes && f->part_bytes + more_bytes > f->rotate_bytes;
	bool old = f->rotate_ns && now_ns() - f->opened_ns >= f->rotate_ns;

	if (f->part_bytes == FILE_HEADER || (!large && !old) || is_stdout(f))
		return 0;
	if (end(f))
		return -1;
	f->part++;
	return begin(f);
}

int capfile_write(struct capfile *f, uint64_t time_ns, const void *packet, uint32_t bytes,
		  uint32_t length)
{
	const struct pcap_pkthdr header = {
		.ts = { (time_t)(time_ns / 1000000000), (suseconds_t)(time_ns % 1000000000) },
		.caplen = bytes, .len = length,
	};

	errno = 0;
	pcap_dump((unsigned char *)f->dumper, &header, packet);
	if (ferror(pcap_dump_file(f->dumper)))
		return fail(f, errno ? errno : EIO);
	f->packets++;
	f->bytes += bytes;
	f->part_bytes += bytes + PACKET_HEADER;
	return 0;
}

int capfile_flush(struct capfile *f)
{
	return pcap_dump_flush(f->dumper) ? fail(f, errno) : 0;
}

int capfile_close(struct capfile *f)
{
	int err = f->dumper ? end(f) : 0;

	if (f->dead)
		pcap_close(f->dead);
	f->dead = NULL;
	return err;
}

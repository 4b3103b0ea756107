/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): files of packets, for "pcap": one, several in turn, or standard output
 *
 * Over libpcap's pcap_dump: nanoseconds, and a plain header that every reader knows.
 * libpcap does not say when a write fails, so that is looked at here. Nothing is
 * printed: what went wrong is in @error.
 */
#ifndef SGRING_CAPFILE_H
#define SGRING_CAPFILE_H

#include <limits.h>
#include <pcap/pcap.h>
#include <stdbool.h>
#include <stdint.h>

/**
 * struct capfile - a writer; what is before @dead is given
 * @name: path, or "-"
 * @link: DLT_*
 * @snaplen: no packet has more bytes in the file
 * @overwrite: files that exist are written over
 * @rotate_bytes: begin a new file before one grows beyond; 0: never
 * @rotate_ns: or when it is so old
 * @keep: so many files stay, the oldest ones go; 0: all
 * @dead: for libpcap
 * @dumper: the file
 * @part: the one that is being written, from 1 on
 * @opened_ns: when it was begun
 * @part_bytes: in it
 * @packets, @bytes: written, in all
 * @closed: who read standard output reads no more
 * @error: what went wrong, one line
 */
struct capfile {
	const char *name;
	int link;
	uint32_t snaplen;
	bool overwrite;
	uint64_t rotate_bytes;
	uint64_t rotate_ns;
	unsigned int keep;
	pcap_t *dead;
	pcap_dumper_t *dumper;
	unsigned int part;
	uint64_t opened_ns;
	uint64_t part_bytes;
	uint64_t packets;
	uint64_t bytes;
	bool closed;
	char error[PATH_MAX + 512];
};

/* All return 0, or -1 and @error. */
int capfile_open(struct capfile *f);
/* @bytes are there, @length there were; at @time_ns since 1970. */
int capfile_write(struct capfile *f, uint64_t time_ns, const void *packet, uint32_t bytes,
		  uint32_t length);
/* A packet of two pieces may not be divided by a new file: is it time for one? */
int capfile_turn(struct capfile *f, uint64_t more_bytes);
int capfile_flush(struct capfile *f);
int capfile_close(struct capfile *f);

/* The name of part @part: NAME, then NAME with -0002 before its extension. */
void capfile_path(char *path, size_t room, const char *name, unsigned int part);

#endif /* SGRING_CAPFILE_H */

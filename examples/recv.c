/* SPDX-License-Identifier: MIT */
/*
 * recv: takes a stream over TCP and checks every byte of it by its position
 *
 *	recv [OPTION...] [HOST:]PORT
 *
 * The data is expected to be the dummy device's pattern, a function of the
 * stream and the byte position, so a byte that is wrong, missing, twice or in
 * the wrong place is noticed. --output takes any data and only stores it.
 *
 * Exit: 0 all right; 2 bytes wrong or missing; 1 it did not work.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pattern.h"

#define BUFFER_BYTES (1U << 20)

static const char help[] =
	"usage: recv [OPTION...] [HOST:]PORT\n"
	"Take a stream over TCP, check every byte of it by its position.\n"
	"\n"
	"  -s, --stream N     the pattern of stream N is expected (default 0)\n"
	"  -p, --position N   the first byte is that of position N (default 0)\n"
	"  -o, --output FILE  store what comes instead of checking it\n"
	"  -b, --bytes N      that many are expected in all; stop when they are there\n"
	"  -c, --count N      take N connections, one after the other (default 1)\n"
	"  -t, --timeout S    give up after S seconds without a connection or a byte\n"
	"                     (default 60)\n"
	"  -j, --json         the summary as JSON\n"
	"  -q, --quiet        no progress\n"
	"  -h, --help         this text\n"
	"\n"
	"Port 0 takes a free one; the first line on standard error says which.\n"
	"Exit: 0 all right; 2 bytes wrong or missing; 1 it did not work.\n";

struct options {
	unsigned int stream;
	uint64_t position;
	const char *output;
	uint64_t bytes;
	unsigned int count;
	int timeout_ms;
	bool json;
	bool quiet;
};

struct totals {
	uint64_t bytes;		/* received */
	uint64_t verified;	/* of them right */
	uint64_t corrupt;	/* of them wrong */
	uint64_t missing;	/* skipped by the sender, the data goes on behind them */
	uint64_t gaps;		/* how often */
	unsigned int connections;
	uint64_t start_ns;	/* first byte */
	uint64_t end_ns;	/* last byte */
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int complain(const char *what)
{
	fprintf(stderr, "recv: %s: %s\n", what, strerror(errno));
	return -1;
}

static double mb_per_s(const struct totals *t)
{
	uint64_t ns = t->end_ns - t->start_ns;

	return ns ? (double)t->bytes * 1000 / (double)ns : 0;
}

/* A listening socket for "[HOST:]PORT". */
static int listen_on(const char *where)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	const char *colon = strrchr(where, ':');
	char host[256] = "0.0.0.0";
	struct sockaddr_storage bound;
	socklen_t size = sizeof(bound);
	struct addrinfo *a;
	char port[16];
	int fd, err, one = 1;

	if (colon) {
		snprintf(host, sizeof(host), "%.*s", (int)(colon - where), where);
		if (host[0] == '[' && host[strlen(host) - 1] == ']') {
			host[strlen(host) - 1] = 0;
			memmove(host, host + 1, strlen(host));
		}
	}
	err = getaddrinfo(host, colon ? colon + 1 : where, &hints, &a);
	if (err) {
		fprintf(stderr, "recv: %s: %s\n", where, gai_strerror(err));
		return -1;
	}
	fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return complain("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, 1))
		return complain(where);
	freeaddrinfo(a);
	if (getsockname(fd, (struct sockaddr *)&bound, &size) ||
	    getnameinfo((struct sockaddr *)&bound, size, NULL, 0, port, sizeof(port), NI_NUMERICSERV))
		return complain("getsockname");
	fprintf(stderr, "recv: listening on port %s\n", port);
	return fd;
}

/*
 * The data does not fit its position. If it fits a later one of the stream, the
 * sender lost what lies between: how many bytes? 0: it fits nowhere.
 */
static uint64_t find_gap(const struct options *o, uint64_t key, const unsigned char *data,
			 size_t bytes, uint64_t position)
{
	unsigned int skip, stream;
	uint64_t found;

	for (skip = 0; skip < 8 && bytes >= skip + 24; skip++) {
		found = sgring_pattern_locate(sgring_pattern_get(data + skip), &stream);
		if (stream == o->stream && found > position + skip &&
		    sgring_pattern_verify(data, 24 + skip, key, found - skip) == 24 + skip)
			return found - skip - position;
	}
	return 0;
}

/* Check what came; moves *position on, over gaps too. */
static void check(const struct options *o, struct totals *t, const unsigned char *data,
		  size_t bytes, uint64_t *position)
{
	uint64_t key = sgring_pattern_key(o->stream), gap;
	size_t good, bad;

	while (bytes) {
		good = sgring_pattern_verify(data, bytes, key, *position);
		t->verified += good;
		*position += good;
		data += good;
		bytes -= good;
		if (!bytes)
			break;
		gap = find_gap(o, key, data, bytes, *position);
		if (gap) {
			t->missing += gap;
			t->gaps++;
			*position += gap;
			continue;
		}
		if (!t->corrupt)
			fprintf(stderr, "recv: position %llu: wrong byte 0x%02x\n",
				(unsigned long long)*position, data[0]);
		for (bad = 1; bad < bytes && bad < 64; bad++)
			if (sgring_pattern_verify(data + bad, 1, key, *position + bad))
				break;
		t->corrupt += bad;
		*position += bad;
		data += bad;
		bytes -= bad;
	}
}

static int store(int fd, const unsigned char *data, size_t bytes)
{
	ssize_t n;

	while (bytes) {
		n = write(fd, data, bytes);
		if (n < 0)
			return complain("write");
		data += n;
		bytes -= (size_t)n;
	}
	return 0;
}

/* Wait for the socket; with a message when nothing came. */
static int wait_for(const struct options *o, int fd, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n = poll(&p, 1, o->timeout_ms);

	if (n < 0)
		return complain("poll");
	if (!n)
		fprintf(stderr, "recv: no %s for %d s\n", what, o->timeout_ms / 1000);
	return n ? 0 : -1;
}

/* One connection until its end, or until all is there: 1. */
static int receive(const struct options *o, struct totals *t, int fd, int out)
{
	static unsigned char buffer[BUFFER_BYTES];
	uint64_t position = o->position, shown_ns = now_ns(), shown = t->bytes;
	size_t want;
	ssize_t n;

	for (;;) {
		want = sizeof(buffer);
		if (o->bytes && o->bytes - t->bytes < want)
			want = (size_t)(o->bytes - t->bytes);
		if (o->bytes && !want)
			return 1;
		n = recv(fd, buffer, want, MSG_DONTWAIT);
		if (n < 0 && errno == EAGAIN) {
			if (wait_for(o, fd, "data"))
				return -1;
			continue;
		}
		if (n < 0)
			return complain("connection");
		if (!n)
			return 0;
		t->end_ns = now_ns();
		if (!t->start_ns)
			t->start_ns = t->end_ns;
		t->bytes += (uint64_t)n;
		if (out >= 0) {
			if (store(out, buffer, (size_t)n))
				return -1;
		} else {
			check(o, t, buffer, (size_t)n, &position);
		}
		if (!o->quiet && t->end_ns - shown_ns >= 1000000000) {
			fprintf(stderr, "recv: %llu MB, %.0f MB/s, corrupt %llu, missing %llu\n",
				(unsigned long long)(t->bytes / 1000000),
				(double)(t->bytes - shown) * 1000 / (double)(t->end_ns - shown_ns),
				(unsigned long long)t->corrupt, (unsigned long long)t->missing);
			shown_ns = t->end_ns;
			shown = t->bytes;
		}
	}
}

static void summary(const struct options *o, const struct totals *t)
{
	const char *format = o->json ?
		"{\"bytes\": %llu, \"verified\": %llu, \"corrupt\": %llu, \"missing\": %llu, \"gaps\": %llu, \"connections\": %u, \"seconds\": %.3f, \"mb_per_s\": %.1f}\n" :
		"recv: bytes=%llu verified=%llu corrupt=%llu missing=%llu gaps=%llu connections=%u seconds=%.3f mb_per_s=%.1f\n";

	printf(format, (unsigned long long)t->bytes, (unsigned long long)t->verified,
	       (unsigned long long)t->corrupt, (unsigned long long)t->missing,
	       (unsigned long long)t->gaps, t->connections,
	       (double)(t->end_ns - t->start_ns) / 1e9, mb_per_s(t));
}

static uint64_t number(const char *text, const char *what, uint64_t max)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 0);
	if (errno || end == text || *end || text[0] == '-' || n > max) {
		fprintf(stderr, "recv: %s: \"%s\" is not a number up to %llu\n", what, text,
			(unsigned long long)max);
		exit(1);
	}
	return n;
}

static const char *parse(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "stream", required_argument, NULL, 's' },
		{ "position", required_argument, NULL, 'p' },
		{ "output", required_argument, NULL, 'o' },
		{ "bytes", required_argument, NULL, 'b' },
		{ "count", required_argument, NULL, 'c' },
		{ "timeout", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "s:p:o:b:c:t:jqh", longs, NULL)) != -1) {
		switch (c) {
		case 's': o->stream = (unsigned int)number(optarg, "stream", SGRING_PATTERN_STREAMS - 1); break;
		case 'p': o->position = number(optarg, "position", UINT64_MAX); break;
		case 'o': o->output = optarg; break;
		case 'b': o->bytes = number(optarg, "bytes", UINT64_MAX); break;
		case 'c': o->count = (unsigned int)number(optarg, "count", 1000000); break;
		case 't': o->timeout_ms = (int)number(optarg, "timeout", 1000000) * 1000; break;
		case 'j': o->json = true; break;
		case 'q': o->quiet = true; break;
		case 'h': fputs(help, stdout); exit(0);
		default: exit(1);
		}
	}
	if (optind != argc - 1) {
		fputs(help, stderr);
		exit(1);
	}
	return argv[optind];
}

int main(int argc, char **argv)
{
	struct options o = { .count = 1, .timeout_ms = 60000 };
	struct totals t = { 0 };
	int listener, fd, out = -1, err = 0;
	const char *where;

	where = parse(&o, argc, argv);
	if (o.output) {
		out = open(o.output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (out < 0)
			return complain(o.output), 1;
	}
	listener = listen_on(where);
	if (listener < 0)
		return 1;
	while (!err && t.connections < o.count) {
		if (wait_for(&o, listener, "connection")) {
			err = -1;
			break;
		}
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0) {
			err = complain("accept");
			break;
		}
		t.connections++;
		err = receive(&o, &t, fd, out);
		close(fd);
	}
	if (out >= 0 && close(out))
		err = complain(o.output);
	if (o.bytes > t.bytes)
		t.missing += o.bytes - t.bytes;
	summary(&o, &t);
	if (err < 0)
		return 1;
	return t.corrupt || t.missing ? 2 : 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): what the files of "recv" share
 *
 * recv.c has the command, its options and its summary; connections.c receives by
 * TCP, packets.c by UDP. Both give what comes to intake.h.
 */
#ifndef SGRING_RECEIVER_H
#define SGRING_RECEIVER_H

#include "intake.h"
#include "listen.h"
#include "progress.h"
#include "sigmf.h"
#include "tool.h"

#define SECOND_NS 1000000000ULL
#define CONNECTIONS 16U

struct receiver;

/**
 * struct connection - one that was accepted
 * @of: whose
 * @fd: of it
 * @peer: address
 * @since_ns: when it came
 * @framer: what it brings
 */
struct connection {
	struct receiver *of;
	int fd;
	char peer[64];
	uint64_t since_ns;
	struct framer framer;
};

/**
 * struct receiver - one run
 * @place: where to receive
 * @output, @interface: as given
 * @recorder_flags: enum recorder_flags
 * @sigmf: write the metadata in the end
 * @sigmf_options: for it
 * @raw, @once, @keep, @json: as given
 * @timeout_ns: likewise; 0: none
 * @fd: the listening socket, or that of the datagrams
 * @buffer: what comes is read into
 * @connections: those that are open
 * @count: how many
 * @active: the sender's; NULL: it is not connected
 * @intake, @recorder, @judge, @datagrams: see intake.h
 * @progress: how it is told
 * @senders: connections of senders; of datagrams: addresses
 * @strangers: connections, or datagrams, that were refused
 * @gaps_told, @bad_told: so many were told one by one
 * @sender, @sender_size: where datagrams come from
 * @dropped: datagrams the kernel had no room for
 * @dropped_last: its counter, when it was last read
 * @first_ns, @last_ns: when something came
 * @tick_ns: when the index was written
 * @bad_end: a connection that ended this run was a stranger's
 * @over: enough
 * @failed: it did not work
 */
struct receiver {
	struct place place;
	const char *output;
	const char *interface;
	unsigned int recorder_flags;
	bool sigmf;
	struct sigmf_options sigmf_options;
	bool raw;
	bool once;
	bool keep;
	bool json;
	uint64_t timeout_ns;
	int fd;
	unsigned char *buffer;
	struct connection *connections[CONNECTIONS];
	unsigned int count;
	struct connection *active;
	struct intake intake;
	struct recorder recorder;
	struct judge judge;
	struct datagrams datagrams;
	struct progress progress;
	uint64_t senders;
	uint64_t strangers;
	unsigned int gaps_told;
	unsigned int bad_told;
	struct sockaddr_storage sender;
	socklen_t sender_size;
	uint64_t dropped;
	uint32_t dropped_last;
	uint64_t first_ns;
	uint64_t last_ns;
	uint64_t tick_ns;
	bool bad_end;
	bool over;
	bool failed;
};

/* recv.c */

/* Something of a sender's has come. */
void receiver_came(struct receiver *r);
/* It cannot be stored: that is the end. */
void receiver_cannot_store(struct receiver *r);
/* Somebody was refused. */
void receiver_stranger(struct receiver *r, const char *from, const char *what);
/* What is due: progress, the index to its file, the time-out. */
void receiver_tick(struct receiver *r);
/* Milliseconds until something is, and the earlier of two such times. */
int receiver_patience_ms(const struct receiver *r);
int soonest_ms(int a, int b);
/* Milliseconds until @at_ns. */
int until_ms(uint64_t at_ns, uint64_t now_ns);

/* connections.c, packets.c: until it is over; bytes of the buffer they need. */
#define CONNECTIONS_BUFFER (4U << 20)
void connections_receive(struct receiver *r);
#define PACKETS_BUFFER (4U << 20)
void packets_receive(struct receiver *r);

#endif /* SGRING_RECEIVER_H */

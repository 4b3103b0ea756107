/* SPDX-License-Identifier: MIT */
/*
 * libsgring: what stands before the bytes of a slot in a packet of a capture file
 *
 * "sgring pcap" writes it, sim_replay.c reads it; sgring_pcap(7) is the specification.
 * 128 bytes, all little endian; the link type is DLT_USER0.
 */
#ifndef SGRING_PCAP_HEADER_H
#define SGRING_PCAP_HEADER_H

#include "sgring_frame.h"

#define SGRING_PCAP_LINK	147U	/* DLT_USER0 */
#define SGRING_PCAP_MAGIC	"SGRP"
#define SGRING_PCAP_VERSION	1
#define SGRING_PCAP_BYTES	128U
/* Readers refuse longer packets, so longer slots are divided. */
#define SGRING_PCAP_PACKET_MAX	262144U
#define SGRING_PCAP_DATA_MAX	(SGRING_PCAP_PACKET_MAX - SGRING_PCAP_BYTES)

/**
 * struct sgring_pcap_header - see above
 * @epoch: of the stream
 * @offset_bytes: where in the slot the bytes of this packet begin
 * @entry: the slot's
 * @slot_count, @slot_bytes, @clock: of the set-up
 * @missed: slots before this one of which nothing is in the file
 * @label: of the stream, zero-terminated
 * @header_bytes: when read: the data begins there
 *
 * Magic, version (u16), header_bytes (u16), epoch (u32), offset_bytes (u32), entry (64 bytes, as
 * sgring_frame(7) has it), slot_count (u32), slot_bytes (u32), clock (u32), missed (u32), label (32).
 */
struct sgring_pcap_header {
	uint32_t epoch;
	uint32_t offset_bytes;
	struct sgring_cqe entry;
	uint32_t slot_count;
	uint32_t slot_bytes;
	uint32_t clock;
	uint32_t missed;
	char label[32];
	uint32_t header_bytes;
};

void sgring_pcap_pack(void *wire, const struct sgring_pcap_header *h);
/* Of @bytes of a packet; 0, or -EPROTO, -EPROTONOSUPPORT and sgring_errmsg(). */
int sgring_pcap_unpack(struct sgring_pcap_header *h, const void *wire, size_t bytes);

#endif /* SGRING_PCAP_HEADER_H */

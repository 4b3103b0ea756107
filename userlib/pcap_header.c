/* SPDX-License-Identifier: MIT */
/* libsgring: the header of a packet in a capture file; what is read comes from a stranger. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "internal.h"
#include "pcap_header.h"

#define ENTRY_AT	16
#define LABEL_AT	96

static void put32(unsigned char *wire, uint32_t n)
{
	n = htole32(n);
	memcpy(wire, &n, sizeof(n));
}

static uint32_t get32(const unsigned char *wire)
{
	uint32_t n;

	memcpy(&n, wire, sizeof(n));
	return le32toh(n);
}

void sgring_pcap_pack(void *wire, const struct sgring_pcap_header *h)
{
	unsigned char *p = wire;
	size_t i;

	memset(p, 0, SGRING_PCAP_BYTES);
	memcpy(p, SGRING_PCAP_MAGIC, 4);
	put32(p + 4, SGRING_PCAP_VERSION | SGRING_PCAP_BYTES << 16);
	put32(p + 8, h->epoch);
	put32(p + 12, h->offset_bytes);
	sgring_entry_pack(p + ENTRY_AT, &h->entry);
	put32(p + 80, h->slot_count);
	put32(p + 84, h->slot_bytes);
	put32(p + 88, h->clock);
	put32(p + 92, h->missed);
	for (i = 0; i < sizeof(h->label) - 1 && h->label[i]; i++)
		p[LABEL_AT + i] = h->label[i] < ' ' || h->label[i] > '~' ? '?' : (unsigned char)h->label[i];
}

int sgring_pcap_unpack(struct sgring_pcap_header *h, const void *wire, size_t bytes)
{
	const unsigned char *p = wire;
	struct sgring_hello hello;
	uint32_t version;
	size_t i;

	if (bytes < SGRING_PCAP_BYTES)
		return sgring_fail(EPROTO, "packet: %zu bytes, and its header has %u", bytes,
				   SGRING_PCAP_BYTES);
	if (memcmp(p, SGRING_PCAP_MAGIC, 4))
		return sgring_fail(EPROTO, "packet: it begins with %02x %02x %02x %02x, not as one of sgring",
				   p[0], p[1], p[2], p[3]);
	version = get32(p + 4) & 0xffff;
	h->header_bytes = get32(p + 4) >> 16;
	if (version != SGRING_PCAP_VERSION)
		return sgring_fail(EPROTONOSUPPORT,
				   "packet: version %" PRIu32 " of the header; this is a reader of version %u",
				   version, SGRING_PCAP_VERSION);
	if (h->header_bytes < SGRING_PCAP_BYTES || h->header_bytes > bytes)
		return sgring_fail(EPROTO, "packet: a header of %" PRIu32 " bytes in one of %zu",
				   h->header_bytes, bytes);
	h->epoch = get32(p + 8);
	h->offset_bytes = get32(p + 12);
	h->slot_count = get32(p + 80);
	h->slot_bytes = get32(p + 84);
	h->clock = get32(p + 88);
	h->missed = get32(p + 92);
	memcpy(h->label, p + LABEL_AT, sizeof(h->label));
	h->label[sizeof(h->label) - 1] = 0;
	for (i = 0; h->label[i]; i++)
		if (h->label[i] < ' ' || h->label[i] > '~')
			return sgring_fail(EPROTO, "packet: byte 0x%02x in its label", (unsigned char)h->label[i]);
	if (!h->slot_count || !h->slot_bytes || h->clock > SGRING_CLOCK_MONOTONIC_RAW)
		return sgring_fail(EPROTO, "packet: %" PRIu32 " slots of %" PRIu32 " bytes, clock %" PRIu32,
				   h->slot_count, h->slot_bytes, h->clock);
	hello = (struct sgring_hello){ .slot_count = h->slot_count, .slot_bytes = h->slot_bytes };
	return sgring_entry_unpack(&h->entry, p + ENTRY_AT, &hello);
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing addresses: of senders (userlib/tx_dial.c), of receivers (tools/listen.c)
 *
 * Nobody is asked for an address: what would be is looked at.
 */
#include <errno.h>

#include "fuzz.h"
#include "listen.h"
#include "tx_sock.h"

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **list);

static char asked[1024];

int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
		       struct addrinfo **list)
{
	(void)hints;
	(void)list;
	claim(host && *host && port && *port);
	snprintf(asked, sizeof(asked), strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	return EAI_NONAME;
}

/* The same address has one name, but for brackets that it did not need. */
static bool same_address(const char *text, const char *other)
{
	char plain[1024];
	const char *end = strchr(text, ']');

	if (!strcmp(text, other))
		return true;
	if (*text != '[' || !end || end[1] != ':')
		return false;
	snprintf(plain, sizeof(plain), "%.*s%s", (int)(end - text - 1), text + 1, end + 1);
	return !strcmp(plain, other);
}

static void send_to(const struct sgring_tx_kind *kind, const char *where)
{
	struct sgring_tx *t = calloc(1, sizeof(*t));
	struct sock k = { .dialing = -1 };
	int err;

	claim(t);
	t->kind = kind;
	t->data = &k;
	asked[0] = 0;
	err = sgring_sock_resolve(t, where);
	claim(err && is_message(sgring_errmsg()));
	claim(err == (asked[0] ? -EHOSTUNREACH : -EINVAL));
	claim(!asked[0] || same_address(where, asked));
	free(t);
}

static void receive_at(const char *text)
{
	struct place p, again;
	char full[400];

	memset(&p, 0x55, sizeof(p));
	memset(&again, 0x55, sizeof(again));
	if (!place_parse(&p, text))
		return;
	claim(strnlen(p.host, sizeof(p.host)) < sizeof(p.host));
	claim(strnlen(p.port, sizeof(p.port)) < sizeof(p.port) && p.port[0]);
	claim(p.port[strspn(p.port, "0123456789")] || strtoul(p.port, NULL, 10) <= 65535);
	snprintf(full, sizeof(full), "%s[%s]:%s", p.datagrams ? "udp://" : "tcp://", p.host, p.port);
	if (!p.host[0])
		snprintf(full, sizeof(full), "%s:%s", p.datagrams ? "udp://" : "tcp://", p.port);
	claim(place_parse(&again, full) && p.datagrams == again.datagrams);
	claim(!strcmp(p.host, again.host) && !strcmp(p.port, again.port));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	char *text = take_text(&in);

	send_to(&sgring_tx_tcp, text);
	send_to(&sgring_tx_udp, text);
	receive_at(text);
	free(text);
	return 0;
}

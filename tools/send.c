/* SPDX-License-Identifier: MIT */
/* sgring send: a stream to one or more receivers, without a copy. */
#include <stdlib.h>
#include <string.h>

#include "capture.h"

static const char help[] =
	"usage: sgring send [OPTION...] STREAM URL...\n"
	"Send a stream, without a copy; several receivers get the same. A URL is\n"
	"  tcp://HOST:PORT        \"sgring recv\" is there, or what reads sgring_frame(7)\n"
	"  udp://HOST:PORT        HOST may be a multicast group; [::1] for IPv6\n"
	"\n"
	CAPTURE_HELP_LIMITS
	"\n"
	"How it is sent:\n"
	"      --raw              the data and nothing else: no frames, so that a receiver\n"
	"                         that does not know them can use it, and cannot see losses\n"
	"      --method METHOD    zerocopy (sendmsg with MSG_ZEROCOPY), uring (io_uring),\n"
	"                         uring-fixed (registered buffers), copy, or auto: the best\n"
	"                         that works here; it is said which, and why\n"
	"      --sqpoll           io_uring without system calls: a kernel thread submits\n"
	"      --batch N          slots for io_uring in one system call\n"
	"      --reconnect TIME   TCP: try so long to connect again, and send again what may\n"
	"                         not have arrived; 0: do not (default 1m; with --raw 0)\n"
	"      --timeout TIME     give up a receiver that takes nothing for so long (30s)\n"
	"      --datagram BYTES   UDP: largest datagram (default: what the path takes whole)\n"
	"      --ttl N            UDP multicast: hops (default 1)\n"
	"      --interface NAME   UDP multicast: network interface\n"
	"\n"
	CAPTURE_HELP_SETUP
	CAPTURE_HELP_REST
	"\n"
	"  sgring send rx0 tcp://nas:9000\n"
	"  sgring send --time 1h --overrun drop rx0 tcp://a:9000 udp://239.1.2.3:9000\n";

enum { OPT_RECONNECT = OPT_COMMAND, OPT_TIMEOUT, OPT_DATAGRAM, OPT_TTL, OPT_INTERFACE };

#define RECONNECT_MS 60000

static uint32_t milliseconds(const char *option, const char *text)
{
	uint64_t ms = duration_option(option, text) / 1000000;

	return ms > INT32_MAX ? INT32_MAX : (uint32_t)ms;
}

int send_main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "reconnect", required_argument, NULL, OPT_RECONNECT },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "datagram", required_argument, NULL, OPT_DATAGRAM },
		{ "ttl", required_argument, NULL, OPT_TTL },
		{ "interface", required_argument, NULL, OPT_INTERFACE },
		CAPTURE_LONGS
	};
	struct capture c = CAPTURE("sent");
	struct sgring_tx_options o = { .reconnect_ms = UINT32_MAX };
	int option, i;

	while ((option = getopt_long(argc, argv, "jqh", longs, NULL)) != -1) {
		switch (option) {
		case OPT_RECONNECT:
			o.reconnect_ms = milliseconds("reconnect", optarg);
			break;
		case OPT_TIMEOUT:
			o.timeout_ms = milliseconds("timeout", optarg);
			break;
		case OPT_DATAGRAM:
			o.datagram_bytes = (uint32_t)number_option("datagram", optarg, 1, 65507);
			break;
		case OPT_TTL:
			o.ttl = (uint32_t)number_option("ttl", optarg, 1, 255);
			break;
		case OPT_INTERFACE:
			o.interface = optarg;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			if (!capture_option(&c, option, optarg))
				return EXIT_FAILED;
		}
	}
	if (argc - optind < 2) {
		fputs(help, stderr);
		return EXIT_FAILED;
	}
	if (o.reconnect_ms == UINT32_MAX)
		o.reconnect_ms = c.flags & SGRING_TX_RAW ? 0 : RECONNECT_MS;
	c.name = argv[optind];
	for (i = optind + 1; i < argc; i++) {
		struct capture_sender *n = capture_add(&c, argv[i]);
		bool tcp = !strncmp(argv[i], "tcp://", 6);

		if (!n)
			return EXIT_FAILED;
		if (!tcp && strncmp(argv[i], "udp://", 6) != 0) {
			fprintf(stderr, "sgring: \"%s\" is not tcp://HOST:PORT or udp://HOST:PORT\n",
				argv[i]);
			return EXIT_FAILED;
		}
		n->options.timeout_ms = o.timeout_ms;
		if (tcp) {
			n->options.reconnect_ms = o.reconnect_ms;
			continue;
		}
		n->options.datagram_bytes = o.datagram_bytes;
		n->options.ttl = o.ttl;
		n->options.interface = o.interface;
	}
	return capture_run(&c);
}

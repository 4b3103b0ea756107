/* SPDX-License-Identifier: MIT */
/*
 * multicast: a stream to everybody who listens, over UDP
 *
 *	multicast [STREAM [URL [INTERFACE]]]	(rx0, udp://239.7.7.7:9000, the kernel's choice)
 *
 * One packet for any number of receivers: the network makes the copies. UDP loses
 * packets, and every datagram begins with an entry that says which part of the
 * stream it holds (sgring_frame(7)), so each receiver knows what it missed:
 *
 *	sgring recv udp://239.7.7.7:9000 -o run1
 *
 * Nobody slows this sender down. Pace the device, or give the interface a queueing
 * discipline that does: tc qdisc replace dev eth1 root tbf rate 800mbit ...
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <sgring.h>

/* What the library found out: the method it chose, that the kernel copies, ... */
static void say(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "%s\n", line);
}

int main(int argc, char **argv)
{
	const char *stream = argc > 1 ? argv[1] : "rx0";
	const char *url = argc > 2 ? argv[2] : "udp://239.7.7.7:9000";
	struct sgring_tx_stats st;
	struct sgring_slot b;
	struct sgring_tx *tx;
	struct sgring *s;
	int err;

	/*
	 * A live stream that nobody may slow down: what finds no free slot is dropped
	 * and counted, instead of stalling the engine.
	 */
	if (sgring_open(&s, stream, SGRING_OPTIONS(.overrun = SGRING_OVERRUN_DROP)))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	/*
	 * 4 hops: through three routers. Datagrams are as large as one packet of the path
	 * unless .datagram_bytes says otherwise; the network card cuts them, if it can.
	 */
	if (sgring_tx_open(&tx, s, url, SGRING_TX_OPTIONS(.ttl = 4, .say = say,
			   .interface = argc > 3 ? argv[3] : NULL)) || sgring_start(s)) {
		fprintf(stderr, "%s\n", sgring_errmsg());
		sgring_close(s);
		return 1;
	}
	while (!(err = sgring_next(s, &b, 1000))) {
		if (b.lost)
			fprintf(stderr, "%" PRIu64 " bytes lost before position %" PRIu64 "\n",
				b.lost, b.position);
		if (sgring_tx_send(tx, &b))
			break;
	}
	/* Ended, or silent for a second; anything else is a failure. */
	if (err != -ENODATA && err != -ETIMEDOUT)
		fprintf(stderr, "%s\n", sgring_errmsg());
	sgring_tx_flush(tx, 1000);
	sgring_tx_stats(tx, &st);
	printf("%" PRIu64 " bytes in %" PRIu64 " sends, %" PRIu64 " without a copy, %" PRIu64
	       " copied\n", st.bytes, st.sends, st.zerocopy, st.copied);
	return sgring_close(s);		/* sends what the stop leaves, and the end of the stream */
}

/* SPDX-License-Identifier: MIT */
/*
 * capture-send: a stream leaves the machine over TCP without a copy
 *
 *	capture-send [STREAM [URL]]
 *
 * The whole of it. It ends when the stream does, or stays silent for a second.
 */
#include <inttypes.h>
#include <stdio.h>

#include <sgring.h>

static void log_gap(uint64_t position, uint64_t lost)
{
	fprintf(stderr, "%" PRIu64 " bytes lost before position %" PRIu64 "\n", lost, position);
}

int main(int argc, char **argv)
{
	const char *stream = argc > 1 ? argv[1] : "rx0";
	const char *url = argc > 2 ? argv[2] : "tcp://nas:9000";
	struct sgring *s; struct sgring_slot b; struct sgring_tx *t;

	if (sgring_open(&s, stream, NULL) || sgring_tx_open(&t, s, url, NULL))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	sgring_start(s);
	while (sgring_next(s, &b, 1000) == 0) {		/* time-out in ms */
		if (b.flags & SGRING_GAP)
			log_gap(b.position, b.lost);
		sgring_tx_send(t, &b);			/* returns the slot when it is free */
	}
	return sgring_close(s);				/* drains; > 0: data was lost */
}

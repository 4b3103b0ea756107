/* SPDX-License-Identifier: MIT */
/*
 * fanout: every slot to several receivers at once, from the same memory
 *
 *	fanout STREAM URL...		fanout rx0 tcp://a:9000 tcp://b:9000 file:/data/run1.data
 *
 * A slot is held once when it arrives. Each sender takes one hold away when the
 * kernel is done with it there, and sgring_hold() adds one for each receiver beyond
 * the first. The slowest receiver keeps the slot: give the stream enough slots for
 * its pauses. A receiver that fails is left behind; the others go on.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <sgring.h>

#define RECEIVERS 8

struct receiver {
	const char *url;
	struct sgring_tx *tx;
};

static void say(void *context, const char *line)
{
	(void)context;
	fprintf(stderr, "%s\n", line);
}

static int open_receivers(struct sgring *s, struct receiver *r, int n)
{
	int i, err;

	for (i = 0; i < n; i++) {
		err = sgring_tx_open(&r[i].tx, s, r[i].url, SGRING_TX_OPTIONS(.say = say));
		if (err)
			return err;
	}
	return 0;
}

/* To all that still work; how many do. */
static int send_to_all(struct sgring *s, struct receiver *r, int n, const struct sgring_slot *b)
{
	int i, working = 0, sent = 0;

	for (i = 0; i < n; i++)
		working += !sgring_tx_error(r[i].tx);
	if (!working)
		return sgring_return(s, b), 0;
	for (i = 1; i < working; i++)
		sgring_hold(s, b->index);
	for (i = 0; i < n && sent < working; i++) {
		if (sgring_tx_error(r[i].tx))
			continue;
		sent++;			/* that hold is the sender's now, whatever comes of it */
		sgring_tx_send(r[i].tx, b);
	}
	return working;
}

int main(int argc, char **argv)
{
	struct receiver r[RECEIVERS] = { 0 };
	struct sgring_tx_stats st;
	struct sgring_slot b;
	struct sgring *s;
	int n = argc - 2, i, err;

	if (n < 1 || n > RECEIVERS)
		return fprintf(stderr, "usage: fanout STREAM URL... (1 to %d)\n", RECEIVERS), 1;
	for (i = 0; i < n; i++)
		r[i].url = argv[i + 2];
	if (sgring_open(&s, argv[1], SGRING_OPTIONS(.slot_count = 32)))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	if (open_receivers(s, r, n) || sgring_start(s)) {
		fprintf(stderr, "%s\n", sgring_errmsg());
		return sgring_close(s), 1;
	}
	for (;;) {
		err = sgring_next(s, &b, 1000);
		if (!err && send_to_all(s, r, n, &b))
			continue;
		if (err && err != -ETIMEDOUT && err != -ENODATA) {
			/* A receiver has failed: the others go on. Or the device has. */
			fprintf(stderr, "%s\n", sgring_errmsg());
			if (err != -ENODEV)
				continue;
		}
		break;
	}
	for (i = 0; i < n; i++) {
		sgring_tx_flush(r[i].tx, -1);
		sgring_tx_stats(r[i].tx, &st);
		printf("%s: %" PRIu64 " bytes%s\n", r[i].url, st.bytes,
		       sgring_tx_error(r[i].tx) ? ", FAILED" : "");
	}
	return sgring_close(s);
}

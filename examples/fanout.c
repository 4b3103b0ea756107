/* SPDX-License-Identifier: MIT */
/*
 * fanout: every slot to several receivers at once, from the same memory
 *
 *	fanout STREAM URL...		fanout rx0 tcp://a:9000 tcp://b:9000 file:/data/run1.data
 *
 * A slot is held once when it arrives. Each sender takes one hold away when the
 * kernel is done with it there, and sgring_hold() adds one for each receiver beyond
 * the first. The slowest receiver keeps the slot: give the stream enough slots for
 * its pauses. A receiver that fails is left behind; the others go on until Ctrl-C.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include <sgring.h>

#define RECEIVERS 8

static struct sgring_tx *tx[RECEIVERS];
static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static int working(int n)
{
	int i, w = 0;

	for (i = 0; i < n; i++)
		w += !sgring_tx_error(tx[i]);
	return w;
}

/* A slot, or the end of the stream, to all that still work. */
static void send_to_all(struct sgring *s, int n, const struct sgring_slot *b)
{
	int i, w = working(n);

	if (!(b->flags & SGRING_EOS)) {
		if (!w)
			sgring_return(s, b);
		for (i = 1; i < w; i++)
			sgring_hold(s, b->index);
	}
	/* A sender fails in its own calls and in waits: meanwhile @w stays right. */
	for (i = 0; i < n; i++)
		if (!sgring_tx_error(tx[i]))
			sgring_tx_send(tx[i], b);
}

static int run(struct sgring *s, int n)
{
	struct sgring_slot b;
	int stopped = 0, err = sgring_start(s);

	if (err)
		return err;
	for (;;) {
		err = sgring_next(s, &b, 1000);
		if (!err)
			send_to_all(s, n, &b);
		else if (err == -ENODATA || err == -ENODEV)
			break;
		else if (err != -EINTR && err != -ETIMEDOUT)
			fprintf(stderr, "%s\n", sgring_errmsg());	/* a receiver has failed */
		if ((interrupted || !working(n)) && !stopped++)
			sgring_stop(s, SGRING_STOP_DRAIN, 0);	/* what is there still comes */
	}
	if (err == -ENODATA)
		send_to_all(s, n, &b);
	return err == -ENODATA ? 0 : err;
}

int main(int argc, char **argv)
{
	const struct sigaction interrupt = { .sa_handler = on_interrupt };
	struct sgring_tx_stats st;
	int n = argc - 2, i, err = 0;
	struct sgring *s;

	if (n < 1 || n > RECEIVERS)
		return fprintf(stderr, "usage: fanout STREAM URL... (1 to %d)\n", RECEIVERS), 1;
	if (sgring_open(&s, argv[1], SGRING_OPTIONS(.slot_count = 32)))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	sigaction(SIGINT, &interrupt, NULL);
	for (i = 0; i < n && !err; i++)
		err = sgring_tx_open(&tx[i], s, argv[i + 2], NULL);
	if (!err)
		err = run(s, n);
	if (err)
		fprintf(stderr, "%s\n", sgring_errmsg());
	for (i = 0; i < n && tx[i]; i++) {
		sgring_tx_flush(tx[i], -1);
		sgring_tx_stats(tx[i], &st);
		printf("%s: %" PRIu64 " bytes%s\n", argv[i + 2], st.bytes,
		       sgring_tx_error(tx[i]) ? ", FAILED" : "");
	}
	return sgring_close(s) || err;
}

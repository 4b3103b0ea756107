/* SPDX-License-Identifier: MIT */
/*
 * record: a stream to a file, without a copy
 *
 *	record [STREAM [FILE]]		(rx0, run1.data)
 *
 * A file is a sender like any other: O_DIRECT from the slots' own pages, several
 * writes at a time, and an index beside it (run1.index) that says what was lost
 * where. "sgring verify run1" reads both; sgring_frame(7) tells the format. It ends
 * when the stream does, or stays silent for a second.
 */
#include <stdio.h>

#include <sgring.h>

int main(int argc, char **argv)
{
	const char *stream = argc > 1 ? argv[1] : "rx0";
	char url[4096];
	struct sgring *s; struct sgring_slot b; struct sgring_tx *t;

	snprintf(url, sizeof(url), "file:%s", argc > 2 ? argv[2] : "run1.data");
	if (sgring_open(&s, stream, NULL) || sgring_tx_open(&t, s, url, NULL))
		return fprintf(stderr, "%s\n", sgring_errmsg()), 1;
	fprintf(stderr, "%s\n", sgring_tx_choice(t));
	sgring_start(s);
	while (sgring_next(s, &b, 1000) == 0)
		sgring_tx_send(t, &b);		/* a full disk is told by the next sgring_next() */
	return sgring_close(s) != 0;		/* drains, writes the rest, closes the file */
}

/* SPDX-License-Identifier: MIT */
/* sgring(1): the metadata that SigMF readers expect, made from a recording's index. */
#ifndef SGRING_SIGMF_H
#define SGRING_SIGMF_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct sigmf_options - what no index knows
 * @datatype: of SigMF ("ci16_le"); NULL: "ru8"
 * @sample_rate: samples per second; 0: nobody knows
 * @channels: interleaved; 0: 1
 * @description: a text; NULL
 * @hardware: a text; NULL: the stream's label
 */
struct sigmf_options {
	const char *datatype;
	double sample_rate;
	unsigned int channels;
	const char *description;
	const char *hardware;
};

/* Bytes of a sample of that type, one channel; 0: there is no such type. */
unsigned int sigmf_sample_bytes(const char *datatype);

/* A rate: "2.4M", "61.44e6", "48k", "10G"; false: it is none, or not from 1 to 1e12. */
bool sigmf_rate(const char *text, double *rate);

/* The same for a command's option: what is wrong ends the program with a line that says so. */
void sigmf_option_datatype(struct sigmf_options *o, const char *text);
void sigmf_option_rate(struct sigmf_options *o, const char *text);

/**
 * sigmf_write() - NAME.sigmf-meta for each file of a recording, when it is complete
 * @name: of the recording
 * @say: gets each line that somebody should read: what went wrong; a warning
 *	(samples cut by a gap)
 * @context: for it
 *
 * What exists is replaced when the new one is whole.
 *
 * Return: 0, or -1: @say was told why.
 */
int sigmf_write(const char *name, const struct sigmf_options *options,
		void (*say)(void *context, const char *line), void *context);

#endif /* SGRING_SIGMF_H */

/* SPDX-License-Identifier: MIT */
/* sgring(1): what its commands share. */
#ifndef SGRING_TOOL_H
#define SGRING_TOOL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <sgring.h>

#include "units.h"

#define EXIT_OK 0
#define EXIT_FAILED 1	/* it did not work */
#define EXIT_NOTHING 2	/* it worked, and there is nothing to tell */
#define EXIT_TROUBLE 2	/* it worked, and found trouble */
#define EXIT_LOST 2	/* it worked, and data was lost */

/* The commands: arguments after the command's name; the exit code. */
int list_main(int argc, char **argv);
int info_main(int argc, char **argv);
int doctor_main(int argc, char **argv);
int stat_main(int argc, char **argv);
int dump_main(int argc, char **argv);
int top_main(int argc, char **argv);
int pcap_main(int argc, char **argv);
int trace_main(int argc, char **argv);
int record_main(int argc, char **argv);
int replay_main(int argc, char **argv);
int send_main(int argc, char **argv);
int recv_main(int argc, char **argv);
int verify_main(int argc, char **argv);

/* sgring.c: -j and -h of every command; the rest of the arguments, at most @most. */
struct arguments {
	bool json;
	int count;
	char **values;
};
bool parse_arguments(struct arguments *a, int argc, char **argv, int least, int most,
		     const char *help);

/* sgring.c: the value of an option; what is not one ends the program with a line that says so. */
uint64_t size_option(const char *option, const char *text);
uint64_t duration_option(const char *option, const char *text);
uint64_t number_option(const char *option, const char *text, uint64_t least, uint64_t most);
/* The index of @text among @count names. */
unsigned int word_option(const char *option, const char *text, const char *const *names,
			 unsigned int count);

/* sgring.c: an errmsg of the library, with the tool's name; EXIT_FAILED. */
int library_failed(void);
/* The same of an open that gave @err: no permission has a cure. */
int open_failed(const char *name, int err);

/*
 * sgring.c: SIGINT, SIGTERM and SIGHUP are counted in interrupts, and system calls
 * that wait end with EINTR. The first asks for an orderly end. The second calls
 * @second (NULL: it kills), the third kills. SIGPIPE is ignored.
 */
extern volatile sig_atomic_t interrupts;
void catch_interrupts(void (*second)(void));

/* text.c: words for numbers. */
const char *state_word(uint32_t state);
/* Names of the bits, "a, b"; unknown ones as numbers; "none". */
const char *feature_words(uint64_t features);
const char *quirk_words(uint32_t quirks);
uint64_t now_ns(void);

/* figures.c: counters, and how they have grown, into the JSON object that is open. */
void json_figures(const struct sgring_stats *now, const struct sgring_stats *then, double seconds);

/*
 * json.c: one object or array at a time, on a line of stdout; or into a file, from json_to(file)
 * to json_to(NULL), in the middle of what goes to stdout too. Nothing is written before json_end().
 */
void json_to(FILE *file);
void json_open(const char *key, char bracket);
void json_close(char bracket);
void json_string(const char *key, const char *value);
void json_number(const char *key, uint64_t value);
void json_signed(const char *key, int64_t value);
void json_rate(const char *key, double value);
void json_bool(const char *key, bool value);
void json_end(void);

#endif /* SGRING_TOOL_H */

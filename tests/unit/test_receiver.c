// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring recv and verify as programs; the test is the sender, and damages files. Also
 * the receiver of sgring_frame(7), as it stands in the page.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sgring.h>

#include "pattern.h"
#include "sgring_frame.h"

#define SLOT 65536U
#define STREAM 3U
#define LOG 65536

static uint64_t stride = SLOT;	/* from one slot's position to the next */
static char folder[] = "/tmp/sgring-receiver.XXXXXX";

/* A program that runs, and what it said. */
struct run {
	pid_t pid;
	int out;
	int err;
	int port;
	int code;
	char said[LOG];		/* on standard error */
	size_t bytes;
	char json[4096];
};

static void launch(struct run *r, const char *program, const char *const *arguments)
{
	const char *argv[24] = { program };
	int out[2], err[2], i;

	for (i = 1; *arguments; i++)
		argv[i] = *arguments++;
	memset(r, 0, sizeof(*r));
	assert_int_equal(pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
	r->pid = fork();
	if (!r->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], 1);
		dup2(err[1], 2);
		if (chdir(folder))
			_exit(126);
		execvp(program, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	r->out = out[0];
	r->err = err[0];
}

/* More of what it says; false: it says no more. */
static bool listen_to(struct run *r)
{
	ssize_t n;

	if (r->bytes == sizeof(r->said) - 1)
		fail_msg("too many words");
	n = read(r->err, r->said + r->bytes, sizeof(r->said) - 1 - r->bytes);
	if (n <= 0)
		return false;
	r->bytes += (size_t)n;
	return true;
}

/* Until it has said that. */
static void await(struct run *r, const char *what)
{
	while (!strstr(r->said, what))
		if (!listen_to(r))
			fail_msg("no \"%s\" in \"%s\"", what, r->said);
}

static void ends(struct run *r, int code)
{
	int status;
	size_t have = 0;
	ssize_t n;

	while (listen_to(r))
		;
	while ((n = read(r->out, r->json + have, sizeof(r->json) - 1 - have)) > 0)
		have += (size_t)n;
	waitpid(r->pid, &status, 0);
	r->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	close(r->out);
	close(r->err);
	if (r->code != code)
		fail_msg("exit %d, not %d: %s", r->code, code, r->said);
}

#define LAUNCH(r, ...) launch(r, TOOL, (const char *const[]){ __VA_ARGS__, NULL })

static void start(struct run *r, const char *where, const char *const *options)
{
	const char *argv[20] = { "recv", where, "--json" };
	int i;

	for (i = 3; *options; i++)
		argv[i] = *options++;
	launch(r, TOOL, argv);
	await(r, "waiting at ");
	await(r, "\n");
	r->port = atoi(strrchr(r->said, ':') + 1);
}

#define START(r, ...) start(r, "127.0.0.1:0", (const char *const[]){ __VA_ARGS__ __VA_OPT__(,) NULL })
#define START_UDP(r, ...) start(r, "udp://127.0.0.1:0", (const char *const[]){ __VA_ARGS__, NULL })

static uint64_t figure(const struct run *r, const char *name)
{
	char key[40];
	const char *p;

	snprintf(key, sizeof(key), "\"%s\": ", name);
	p = strstr(r->json, key);
	if (!p)
		fail_msg("no %s in \"%s\"; it said %s", name, r->json, r->said);
	p += strlen(key);
	return *p == 't' ? 1 : *p == 'f' ? 0 : strtoull(p, NULL, 10);
}

static int dial(const struct run *r, int type)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)r->port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void put(int fd, const void *data, size_t bytes)
{
	const char *p = data;
	ssize_t n;

	for (; bytes; p += n, bytes -= (size_t)n) {
		n = send(fd, p, bytes, MSG_NOSIGNAL);
		if (n <= 0)
			return;	/* it has seen enough */
	}
}

static void put_hello(int fd, uint64_t session, uint32_t epoch)
{
	const struct sgring_hello h = {
		.version = SGRING_FRAME_VERSION, .epoch = epoch, .slot_count = 16, .slot_bytes = SLOT,
		.session = session, .align_bytes = 1, .clock_ns = 1000,
		.realtime_ns = 1700000000ULL * 1000000000, .label = "rx0",
	};
	unsigned char wire[SGRING_HELLO_BYTES];

	sgring_hello_pack(wire, &h);
	put(fd, wire, sizeof(wire));
}

/* So many bytes of a slot's data, of @length that its entry tells. */
static void put_some(int fd, unsigned int slot, uint32_t length, uint32_t bytes, uint32_t flags)
{
	const struct sgring_cqe e = {
		.sequence = slot, .position_bytes = slot * stride, .host_time_ns = 2000 + slot,
		.slot = slot % 16, .length_bytes = length, .flags = flags,
	};
	static unsigned char wire[SGRING_ENTRY_BYTES + SLOT];

	sgring_entry_pack(wire, &e);
	sgring_pattern_fill(wire + SGRING_ENTRY_BYTES, bytes, sgring_pattern_key(STREAM),
			    e.position_bytes);
	put(fd, wire, SGRING_ENTRY_BYTES + bytes);
}

static void put_slots(int fd, unsigned int from, unsigned int to)
{
	for (; from < to; from++)
		put_some(fd, from, SLOT, SLOT, 0);
}

static void put_end(int fd, unsigned int slots)
{
	const struct sgring_cqe e = {
		.sequence = slots, .position_bytes = slots * stride,
		.host_time_ns = 2000 + slots, .slot = SGRING_NO_SLOT, .flags = SGRING_CQE_EOS,
	};
	unsigned char wire[SGRING_ENTRY_BYTES];

	sgring_entry_pack(wire, &e);
	put(fd, wire, sizeof(wire));
}

static void reset(int fd)
{
	const struct linger l = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	close(fd);
}

static char *path_of(const char *file)
{
	static char paths[4][128];
	static unsigned int turn;
	char *p = paths[turn++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", folder, file);
	return p;
}

static uint64_t size_of(const char *file)
{
	struct stat st;

	assert_int_equal(stat(path_of(file), &st), 0);
	return (uint64_t)st.st_size;
}

static void verify(struct run *r, const char *name, int code)
{
	LAUNCH(r, "verify", name, "--json", "--pattern", "3");
	ends(r, code);
}

/* A recording of so many slots; the files are new. */
static void record(const char *name, unsigned int slots)
{
	struct run r;
	int fd;

	START(&r, "-o", name, "--overwrite");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, slots);
	put_end(fd, slots);
	close(fd);
	ends(&r, 0);
}

static void overwrite(const char *file, off_t at, const void *data, size_t bytes)
{
	int fd = open(path_of(file), O_WRONLY | O_CLOEXEC);

	assert_int_equal(pwrite(fd, data, bytes, at), bytes);
	close(fd);
}

/* --- recv */

static void a_stream_arrives(void **state)
{
	struct run r;
	int fd;

	(void)state;
	START(&r, "-o", "whole", "--pattern", "3");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 40);
	put_some(fd, 40, 12345, 12345, SGRING_CQE_EOP);
	put_hello(fd, 1, 2);	/* a second epoch before its end: the first was cut */
	put_slots(fd, 0, 3);
	put_end(fd, 3);
	close(fd);
	ends(&r, 2);
	assert_int_equal(figure(&r, "bytes"), 43 * SLOT + 12345);
	assert_int_equal(figure(&r, "right_bytes"), 43 * SLOT + 12345);
	assert_int_equal(figure(&r, "lost_bytes"), 0);
	assert_int_equal(figure(&r, "cut_epochs"), 1);
	assert_int_equal(size_of("whole.data"), 43 * SLOT + 12345);
	verify(&r, "whole", 2);
	assert_int_equal(figure(&r, "cut_epochs"), 1);
	assert_int_equal(figure(&r, "entries"), 45);

	record("whole2", 5);
	verify(&r, "whole2", 0);
	verify(&r, "whole2.data", 0);
	assert_int_equal(figure(&r, "bytes"), 5 * SLOT);
	assert_int_equal(figure(&r, "ended"), 1);
}

static void a_sender_that_comes_back_goes_on(void **state)
{
	struct run r;
	int fd;

	(void)state;
	START(&r, "-o", "back", "--pattern", "3");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 3);
	put_some(fd, 3, SLOT, 1000, 0);
	close(fd);
	await(&r, "64536 of 65536 bytes are missing");
	await(&r, "waiting for it to come back");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 2, 6);
	await(&r, "position 197608 is next");
	put_some(fd, 8, SLOT, SLOT, SGRING_CQE_GAP);
	await(&r, "LOST 131072 bytes from position 393216 on (before they were sent)");
	reset(fd);
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 8, 10);
	put_end(fd, 10);
	close(fd);
	ends(&r, 2);
	assert_int_equal(figure(&r, "bytes"), 8 * SLOT);
	assert_int_equal(figure(&r, "lost_bytes"), 2 * SLOT);
	assert_int_equal(figure(&r, "marked_gaps"), 1);
	assert_int_equal(figure(&r, "senders"), 3);
	assert_int_equal(figure(&r, "wrong_bytes"), 0);
	verify(&r, "back", 2);
	assert_int_equal(figure(&r, "bytes"), 8 * SLOT);
	assert_int_equal(figure(&r, "lost_bytes"), 2 * SLOT);
	assert_int_equal(figure(&r, "right_bytes"), 8 * SLOT);
	assert_int_equal(figure(&r, "faults"), 0);
}

/* The sender's machine lost its network, not its power: it comes back over another connection. */
static void a_new_connection_of_the_same_sender_takes_over(void **state)
{
	struct run r;
	int fd, second;

	(void)state;
	START(&r, "-o", "over");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 2);
	put_some(fd, 2, SLOT, 777, 0);
	await(&r, "stream \"rx0\"");
	second = dial(&r, SOCK_STREAM);
	put_hello(second, 1, 1);
	put_slots(second, 0, 4);
	put_end(second, 4);
	close(second);
	ends(&r, 0);
	close(fd);
	assert_non_null(strstr(r.said, "has connected again"));
	verify(&r, "over", 0);
	assert_int_equal(figure(&r, "bytes"), 4 * SLOT);
}

/* It does not send again what the receiver's kernel has acknowledged, read or not. */
static void what_the_old_connection_brought_is_not_lost(void **state)
{
	struct run r;
	int fd, second, i;

	(void)state;
	for (i = 0; i < 5; i++) {
		START(&r, "-o", "unread", "--overwrite");
		fd = dial(&r, SOCK_STREAM);
		put_hello(fd, 1, 1);
		await(&r, "stream \"rx0\"");
		kill(r.pid, SIGSTOP);
		put_slots(fd, 0, 20);
		if (i % 2)
			close(fd);
		second = dial(&r, SOCK_STREAM);
		put_hello(second, i == 3 ? 2 : 1, 1);
		put_slots(second, i == 3 ? 0 : 20, 22);
		put_end(second, 22);
		close(second);
		kill(r.pid, SIGCONT);
		ends(&r, i == 3 ? 2 : 0);
		if (!(i % 2))
			close(fd);
		assert_int_equal(figure(&r, "bytes"), (i == 3 ? 42 : 22) * SLOT);
		assert_int_equal(figure(&r, "lost_bytes"), 0);
		assert_int_equal(figure(&r, "refused"), 0);
	}
}

static void strangers_are_refused_and_do_no_harm(void **state)
{
	unsigned char noise[100000];
	struct run r;
	int fd, other, i;

	(void)state;
	for (i = 0; i < (int)sizeof(noise); i++)
		noise[i] = (unsigned char)(i * 7919 >> 3);
	START(&r, "-o", "harm");
	/* Before there is a sender, */
	other = dial(&r, SOCK_STREAM);
	put(other, noise, sizeof(noise));
	await(&r, "byte 0 of the connection: not a hello");
	close(other);
	close(dial(&r, SOCK_STREAM));
	await(&r, "it ended with nothing: no hello came");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 2);
	await(&r, "stream \"rx0\"");
	/* and while there is. */
	other = dial(&r, SOCK_STREAM);
	put_hello(other, 2, 1);
	put_slots(other, 0, 5);
	await(&r, "refused: stream \"rx0\" of another sender");
	close(other);
	put_slots(fd, 2, 4);
	/* The sender itself goes mad, and comes to its senses. */
	put(fd, noise, sizeof(noise));
	await(&r, "byte 262528 of the connection: entry:");
	close(fd);
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 3, 6);
	put_end(fd, 6);
	close(fd);
	ends(&r, 0);
	assert_int_equal(figure(&r, "refused"), 3);
	verify(&r, "harm", 0);
	assert_int_equal(figure(&r, "bytes"), 6 * SLOT);
}

static void many_who_say_nothing_keep_nobody_out(void **state)
{
	int silent[40], fd;
	struct run r;
	size_t i;

	(void)state;
	START(&r);
	for (i = 0; i < 40; i++)
		silent[i] = dial(&r, SOCK_STREAM);
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 2);
	await(&r, "stream \"rx0\"");
	for (i = 0; i < 40; i++) {
		close(silent[i]);
		silent[i] = dial(&r, SOCK_STREAM);
	}
	put_slots(fd, 2, 4);
	put_end(fd, 4);
	close(fd);
	ends(&r, 0);
	assert_int_equal(figure(&r, "bytes"), 4 * SLOT);
	for (i = 0; i < 40; i++)
		close(silent[i]);
}

static void once_ends_with_the_connection_however_it_ends(void **state)
{
	static const struct {
		const char *says;
		size_t bytes;		/* of a hello and two slots */
		size_t at;		/* this one is wrong */
		unsigned char value;
		int code;
	} ways[] = {
		{ "it ended with nothing", 0, 0, 'S', 1 },
		{ "byte 60 of the connection: it ended in the middle of a hello", 60, 0, 'S', 1 },
		{ "not a hello", 200, 1, 'X', 1 },
		{ "version 9", 200, 16, 9, 1 },
		{ "in a slot of 65536", 300, 128 + 47, 0x7f, 1 },
		{ "byte 150 of the connection: it ended in the middle of an entry", 150, 0, 'S', 2 },
		{ "65436 of 65536 bytes are missing", 128 + 64 + 100, 0, 'S', 2 },
	};
	const struct sgring_hello h = { .version = 1, .slot_count = 1, .slot_bytes = SLOT, .session = 1,
					.align_bytes = 1 };
	const struct sgring_cqe e = { .length_bytes = SLOT };
	unsigned char wire[400];
	struct run r;
	size_t i;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		memset(wire, 0, sizeof(wire));
		sgring_hello_pack(wire, &h);
		sgring_entry_pack(wire + SGRING_HELLO_BYTES, &e);
		wire[ways[i].at] = ways[i].value;
		START(&r, "--once");
		fd = dial(&r, SOCK_STREAM);
		put(fd, wire, ways[i].bytes);
		close(fd);
		ends(&r, ways[i].code);
		if (!strstr(r.said, ways[i].says))
			fail_msg("\"%s\" does not say \"%s\"", r.said, ways[i].says);
	}
}

static void another_sender_after_an_unfinished_one_is_another_stream(void **state)
{
	struct run r;
	int fd;

	(void)state;
	START(&r, "-o", "two");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 2);
	close(fd);
	await(&r, "waiting for it to come back");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 2, 1);
	put_slots(fd, 0, 3);
	put_end(fd, 3);
	close(fd);
	ends(&r, 2);
	assert_non_null(strstr(r.said, "another sender: the stream before ended at position 131072"));
	assert_int_equal(figure(&r, "cut_epochs"), 1);
	verify(&r, "two", 2);
	assert_int_equal(figure(&r, "bytes"), 5 * SLOT);
	assert_int_equal(figure(&r, "epochs"), 2);
}

static void keep_goes_on_until_it_is_interrupted(void **state)
{
	struct run r;
	int fd, i;

	(void)state;
	START(&r, "-o", "keep", "--keep");
	for (i = 1; i <= 3; i++) {
		fd = dial(&r, SOCK_STREAM);
		put_hello(fd, (uint64_t)i, 1);
		put_slots(fd, 0, 2);
		put_end(fd, 2);
		/* It has closed its side when it has read all. */
		shutdown(fd, SHUT_WR);
		assert_int_equal(recv(fd, &(char){ 0 }, 1, 0), 0);
		close(fd);
	}
	kill(r.pid, SIGINT);
	ends(&r, 0);
	assert_int_equal(figure(&r, "epochs"), 3);
	assert_int_equal(figure(&r, "interrupted"), 1);
	verify(&r, "keep", 0);
	assert_int_equal(figure(&r, "bytes"), 6 * SLOT);
}

static void an_interrupted_one_keeps_what_came(void **state)
{
	struct run r;
	int fd;

	(void)state;
	START(&r, "-o", "int");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 2);
	put_some(fd, 3, SLOT, 4096, 0);
	await(&r, "LOST 65536 bytes from position 131072 on\n");
	kill(r.pid, SIGTERM);
	ends(&r, 2);
	close(fd);
	verify(&r, "int", 2);
	assert_in_range(figure(&r, "bytes"), 2 * SLOT, 2 * SLOT + 4096);
	assert_int_equal(figure(&r, "ended"), 0);
	assert_int_equal(size_of("int.data"), figure(&r, "bytes"));

	/* With nothing, nothing is left behind. */
	START(&r, "-o", "none", "--timeout", "50ms");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "nothing has come"));
	assert_int_equal(access(path_of("none.data"), F_OK), -1);
	assert_int_equal(access(path_of("none.index"), F_OK), -1);
}

static void files_that_exist_are_kept(void **state)
{
	struct run r;
	int fd;

	(void)state;
	record("exists", 1);
	LAUNCH(&r, "recv", "127.0.0.1:0", "-o", "exists");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "exists.data exists; --overwrite"));
	assert_int_equal(unlink(path_of("exists.data")), 0);
	LAUNCH(&r, "recv", "127.0.0.1:0", "-o", "exists.data");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "exists.index exists"));
	assert_int_equal(access(path_of("exists.data"), F_OK), -1);
	fd = open(path_of("folder"), O_CREAT | O_CLOEXEC, 0600);
	close(fd);
	LAUNCH(&r, "recv", "127.0.0.1:0", "-o", "folder/x");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "Not a directory"));
}

static void a_full_disk_ends_it_with_what_fitted(void **state)
{
	struct rlimit all, little;
	struct run r;
	int fd;

	(void)state;
	getrlimit(RLIMIT_FSIZE, &all);
	little = (struct rlimit){ .rlim_cur = 10 * SLOT + 5000, .rlim_max = all.rlim_max };
	setrlimit(RLIMIT_FSIZE, &little);
	START(&r, "-o", "full");
	setrlimit(RLIMIT_FSIZE, &all);
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 20);
	put_end(fd, 20);
	close(fd);
	ends(&r, 1);
	assert_non_null(strstr(r.said, "full.data: no room beyond byte 660360: File too large"));
	verify(&r, "full", 2);
	assert_int_equal(figure(&r, "bytes"), 10 * SLOT + 5000);
	assert_int_equal(figure(&r, "faults"), 0);
	assert_int_equal(figure(&r, "lost_bytes"), 0);
}

static void raw_bytes_are_stored_as_they_are(void **state)
{
	static unsigned char data[300001];
	struct run r;
	int fd;

	(void)state;
	sgring_pattern_fill(data, sizeof(data), sgring_pattern_key(STREAM), 0);
	START(&r, "-o", "raw", "--raw", "--pattern", "3");
	fd = dial(&r, SOCK_STREAM);
	put(fd, data, sizeof(data));
	close(fd);
	ends(&r, 0);
	assert_int_equal(figure(&r, "right_bytes"), sizeof(data));
	assert_int_equal(size_of("raw.data"), sizeof(data));
	assert_int_equal(access(path_of("raw.index"), F_OK), -1);
}

static void datagrams_are_put_into_order(void **state)
{
	static const unsigned int order[] = { 0, 2, 1, 3, 3, 7, 4, 6, 5, 8 };
	struct run r;
	size_t i;
	int fd;

	(void)state;
	stride = 1000;
	START_UDP(&r, "-o", "udp", "--pattern", "3");
	fd = dial(&r, SOCK_DGRAM);
	put(fd, "noise", 5);
	put_hello(fd, 1, 1);
	await(&r, "stream \"rx0\"");
	for (i = 0; i < sizeof(order) / sizeof(order[0]); i++)
		put_some(fd, order[i], 1000, 1000, 0);
	put_end(fd, 9);
	put_end(fd, 9);
	ends(&r, 0);
	close(fd);
	stride = SLOT;
	assert_int_equal(figure(&r, "bytes"), 9000);
	assert_int_equal(figure(&r, "early"), 3);
	assert_in_range(figure(&r, "late"), 1, 2);	/* the second end too, or it is over */
	assert_int_equal(figure(&r, "refused"), 1);
	assert_int_equal(figure(&r, "wrong_bytes"), 0);
	verify(&r, "udp", 0);
	assert_int_equal(figure(&r, "bytes"), 9000);
}

static void datagrams_have_one_sender(void **state)
{
	struct run r;
	int fd, other;

	(void)state;
	START_UDP(&r, "--pattern", "3");
	fd = dial(&r, SOCK_DGRAM);
	other = dial(&r, SOCK_DGRAM);
	put_hello(fd, 1, 1);
	await(&r, "stream \"rx0\"");
	put_some(fd, 0, 1000, 1000, 0);
	put_hello(other, 2, 1);
	put_some(other, 0, 500, 500, 0);
	put_end(other, 0);
	put_end(fd, 0);
	ends(&r, 0);
	close(fd);
	close(other);
	assert_int_equal(figure(&r, "bytes"), 1000);
	assert_int_equal(figure(&r, "refused"), 3);
}

/* White space as one space: JSON is the same on one line. */
static void squeeze(char *text)
{
	char *to = text;

	for (; *text; text++)
		if (!isspace((unsigned char)*text))
			*to++ = *text;
		else if (to[-1] != ' ')
			*to++ = ' ';
	*to = 0;
}

static void sigmf_is_written_in_the_end(void **state)
{
	char text[4096] = "";
	struct run r;
	int fd;

	(void)state;
	START(&r, "-o", "iq", "--sigmf", "--datatype", "ci16_le", "--sample-rate", "2.5M",
	      "--description", "H\303\266he \"1\"");
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 2);
	put_slots(fd, 3, 4);
	put_end(fd, 4);
	close(fd);
	ends(&r, 2);
	assert_int_equal(size_of("iq.sigmf-data"), 3 * SLOT);
	fd = open(path_of("iq.sigmf-meta"), O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	squeeze(text);
	assert_non_null(strstr(text, "\"core:datatype\": \"ci16_le\""));
	assert_non_null(strstr(text, "\"core:sample_rate\": 2500000.000"));
	assert_non_null(strstr(text, "\"core:description\": \"H\303\266he \\\"1\\\"\""));
	/* The slot ended 1 us after the hello, and took 16384 samples. */
	assert_non_null(strstr(text, "{ \"core:sample_start\": 0, \"core:global_index\": 0, \"core:datetime\": \"2023-11-14T22:13:19.993447400Z\""));
	assert_non_null(strstr(text, "{ \"core:sample_start\": 32768, \"core:global_index\": 49152"));
	assert_non_null(strstr(text, "{ \"core:sample_start\": 32768, \"core:sample_count\": 1, \"core:label\": \"gap\""));
	assert_non_null(strstr(text, "\"sgring:lost_bytes\": 65536"));
	verify(&r, "iq", 2);
	verify(&r, "iq.sigmf-meta", 2);

	LAUNCH(&r, "recv", "127.0.0.1:0", "-o", "iq2", "--sigmf", "--datatype", "ci16");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "\"ci16\" is not a type of SigMF"));
}

static void where_and_options_that_cannot_be_are_told(void **state)
{
	static const char *const wheres[] = {
		"", ":", "::1:9000", "tcp://", "[::1]", "host", "udp://x:", "127.0.0.1:99999", "no.such.host.:9",
	};
	struct run r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wheres) / sizeof(wheres[0]); i++) {
		LAUNCH(&r, "recv", wheres[i]);
		ends(&r, 1);
		assert_non_null(strstr(r.said, "sgring: "));
		assert_null(strstr(r.said, "waiting"));
	}
	LAUNCH(&r, "recv", "127.0.0.1:0", "--once", "--keep");
	ends(&r, 1);
	LAUNCH(&r, "recv", "127.0.0.1:0", "--raw", "--sigmf", "-o", "x");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "--sigmf needs an index"));
	LAUNCH(&r, "recv", "udp://239.1.1.1:0", "--interface", "nosuch0");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "there is no network interface \"nosuch0\""));
}

/* --- verify */

static void verify_finds_each_damage(void **state)
{
	static const struct {
		const char *says;
		const char *file;
		int64_t at;		/* of so many bytes is the file cut, if length is 0 */
		uint64_t value;
		unsigned int length;
		int code;
	} damages[] = {
		{ "damaged.data: byte 100000 (position 100000): 0xff is not", "damaged.data", 100000, 0xff, 1, 1 },
		{ "damaged.data has 300000 bytes, and the index tells of more", "damaged.data", 300000, 0, 0, 1 },
		{ "it ends in the middle of an entry, 63 bytes", "damaged.index", 128 + 127, 0, 0, 1 },
		{ "it ends before its hello", "damaged.index", 100, 0, 0, 1 },
		{ "it ends before its hello", "damaged.index", 0, 0, 0, 1 },
		{ "the last 131072 bytes are not in the index", "damaged.index", 128 + 192, 0, 0, 2 },
		{ "byte 0: not a hello", "damaged.index", 0, 'X', 1, 1 },
		{ "byte 192: entry: slot 255 of 16", "damaged.index", 192 + 40, 0xff, 1, 1 },
		{ "sequence 1 after 99", "damaged.index", 128, 99, 8, 1 },
		{ "position 65536 again, where 131071 is next", "damaged.index", 128 + 8, 65535, 8, 1 },
		{ "the time goes back by", "damaged.index", 128 + 16, 1 << 20, 8, 1 },
		{ "after the end of the stream", "damaged.index", 192 + 40, 0x00000000ffffffffULL, 8, 1 },
	};
	const uint32_t eos = SGRING_CQE_EOS;
	struct run r;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		record("damaged", 5);
		if (damages[i].length)
			overwrite(damages[i].file, damages[i].at, &damages[i].value, damages[i].length);
		else
			assert_int_equal(truncate(path_of(damages[i].file), damages[i].at), 0);
		if (damages[i].length == 8 && damages[i].at == 192 + 40)
			overwrite("damaged.index", 192 + 48, &eos, 4);
		verify(&r, "damaged", damages[i].code);
		if (!strstr(r.said, damages[i].says))
			fail_msg("\"%s\" does not say \"%s\"", r.said, damages[i].says);
	}
	LAUNCH(&r, "verify", "nosuch");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "nosuch.index: No such file"));
	assert_int_equal(unlink(path_of("damaged.data")), 0);
	LAUNCH(&r, "verify", "damaged");
	ends(&r, 1);
	assert_non_null(strstr(r.said, "damaged.data: No such file"));
}

/* A recording in three files, its slots on blocks of 4096 bytes. */
static void write_parts(const char *name, uint64_t other_session)
{
	const struct sgring_hello h = { .version = 1, .epoch = 1, .slot_count = 16, .slot_bytes = SLOT,
					.session = 7, .align_bytes = 4096, .label = "rx0" };
	static unsigned char data[3 * 8192], wire[SGRING_HELLO_BYTES];
	char file[64];
	unsigned int part, i;
	int fd, index;

	for (part = 1; part <= 3; part++) {
		struct sgring_hello mine = h;

		snprintf(file, sizeof(file), part == 1 ? "%s.data" : "%s-%04u.data", name, part);
		fd = open(path_of(file), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
		snprintf(file, sizeof(file), part == 1 ? "%s.index" : "%s-%04u.index", name, part);
		index = open(path_of(file), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
		if (part == 3 && other_session)
			mine.session = other_session;
		sgring_hello_pack(wire, &mine);
		assert_int_equal(write(index, wire, SGRING_HELLO_BYTES), SGRING_HELLO_BYTES);
		memset(data, 0, sizeof(data));
		for (i = 0; i < 3; i++) {
			struct sgring_cqe e = { .sequence = part * 3 + i - 3, .length_bytes = 5000,
						.host_time_ns = part * 3 + i };

			e.position_bytes = e.sequence * 5000;
			sgring_pattern_fill(data + i * 8192, 5000, sgring_pattern_key(STREAM),
					    e.position_bytes);
			sgring_entry_pack(wire, &e);
			assert_int_equal(write(index, wire, SGRING_ENTRY_BYTES), SGRING_ENTRY_BYTES);
		}
		if (part == 3) {
			struct sgring_cqe e = { .sequence = 9, .position_bytes = 45000,
						.slot = SGRING_NO_SLOT, .flags = SGRING_CQE_EOS };

			sgring_entry_pack(wire, &e);
			assert_int_equal(write(index, wire, SGRING_ENTRY_BYTES), SGRING_ENTRY_BYTES);
		}
		/* With the last zeroes, or without. */
		i = part == 2 ? sizeof(data) - 3192 : sizeof(data);
		assert_int_equal(write(fd, data, i), i);
		close(fd);
		close(index);
	}
}

static void verify_takes_a_recording_of_several_files(void **state)
{
	const unsigned char one = 1;
	struct run r;

	(void)state;
	write_parts("parts", 0);
	verify(&r, "parts", 0);
	assert_int_equal(figure(&r, "files"), 3);
	assert_int_equal(figure(&r, "bytes"), 45000);
	assert_int_equal(figure(&r, "right_bytes"), 45000);
	verify(&r, "parts-0002.data", 2);
	assert_int_equal(figure(&r, "files"), 1);
	assert_int_equal(figure(&r, "first_position"), 15000);
	overwrite("parts-0002.data", 8192 + 6000, &one, 1);
	verify(&r, "parts", 1);
	assert_non_null(strstr(r.said, "parts-0002.data: byte 14192: 0x01 between two slots"));
	/* A file that is missing is missing data, */
	write_parts("parts", 0);
	unlink(path_of("parts-0003.data"));
	verify(&r, "parts", 1);
	unlink(path_of("parts-0003.index"));
	verify(&r, "parts", 2);
	assert_int_equal(figure(&r, "files"), 2);
	/* and one of another recording is not of this one. */
	write_parts("parts", 8);
	verify(&r, "parts", 2);
	assert_int_equal(figure(&r, "files"), 2);
	assert_int_equal(figure(&r, "faults"), 0);
}

/* --- the page */

/* The receiver of sgring_frame(7) is cut out of the page and told the same. */
static void the_receiver_of_the_page_works(void **state)
{
	char command[600], script[128];
	struct run r;
	int fd, i;

	(void)state;
	if (system("command -v python3 >/dev/null"))
		skip();
	snprintf(script, sizeof(script), "%s", path_of("receive.py"));
	snprintf(command, sizeof(command),
		 "sed -n '/^#!.usr.bin.python3/,/^\\.Ed/p' %s | sed '/^\\.Ed/d; s/\\\\e/\\\\/g' >%s; test -s %s",
		 PAGE, script, script);
	assert_int_equal(system(command), 0);
	/* A port that was free a moment ago. */
	START(&r);
	kill(r.pid, SIGINT);
	ends(&r, 1);
	i = r.port;
	snprintf(command, sizeof(command), "%d", i);
	launch(&r, "python3", (const char *const[]){ script, command, "page.data", NULL });
	r.port = i;
	for (i = 0; i < 200; i++) {
		struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)r.port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (!connect(fd, (struct sockaddr *)&a, sizeof(a)))
			break;
		close(fd);
		usleep(50000);
	}
	put_hello(fd, 1, 1);
	put_slots(fd, 0, 3);
	put_some(fd, 3, SLOT, 999, 0);
	close(fd);
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_slots(fd, 2, 5);
	put_some(fd, 6, SLOT, SLOT, SGRING_CQE_GAP);
	put_end(fd, 7);
	put_hello(fd, 1, 2);
	put_slots(fd, 0, 1);
	close(fd);
	/* The end of the second epoch, after all of the first once more. */
	fd = dial(&r, SOCK_STREAM);
	put_hello(fd, 1, 1);
	put_some(fd, 6, SLOT, SLOT, 0);
	put_end(fd, 7);
	put_hello(fd, 1, 2);
	put_slots(fd, 0, 2);
	put_end(fd, 2);
	close(fd);
	ends(&r, 0);
	if (!strstr(r.json, "lost: 65536 bytes from 327680 on"))
		fail_msg("it said \"%s\", \"%s\"", r.json, r.said);
	assert_non_null(strstr(r.json, "stored 524288 bytes, lost 65536"));
	assert_int_equal(size_of("page.data"), 8 * SLOT);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stream_arrives),
		cmocka_unit_test(a_sender_that_comes_back_goes_on),
		cmocka_unit_test(a_new_connection_of_the_same_sender_takes_over),
		cmocka_unit_test(what_the_old_connection_brought_is_not_lost),
		cmocka_unit_test(strangers_are_refused_and_do_no_harm),
		cmocka_unit_test(many_who_say_nothing_keep_nobody_out),
		cmocka_unit_test(once_ends_with_the_connection_however_it_ends),
		cmocka_unit_test(another_sender_after_an_unfinished_one_is_another_stream),
		cmocka_unit_test(keep_goes_on_until_it_is_interrupted),
		cmocka_unit_test(an_interrupted_one_keeps_what_came),
		cmocka_unit_test(files_that_exist_are_kept),
		cmocka_unit_test(a_full_disk_ends_it_with_what_fitted),
		cmocka_unit_test(raw_bytes_are_stored_as_they_are),
		cmocka_unit_test(datagrams_are_put_into_order),
		cmocka_unit_test(datagrams_have_one_sender),
		cmocka_unit_test(sigmf_is_written_in_the_end),
		cmocka_unit_test(where_and_options_that_cannot_be_are_told),
		cmocka_unit_test(verify_finds_each_damage),
		cmocka_unit_test(verify_takes_a_recording_of_several_files),
		cmocka_unit_test(the_receiver_of_the_page_works),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(110);
	return cmocka_run_group_tests_name("receiver", tests, make_folder, remove_folder);
}

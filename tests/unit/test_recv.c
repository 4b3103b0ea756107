// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * examples/recv, the judge of every demo: does it see each way in which data can
 * be wrong? It is run as a program; the test is the sender.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "pattern.h"

#define MIB (1UL << 20)

struct run {
	pid_t pid;
	int out;		/* its standard output */
	int err;
	int socket;
	int code;
	char json[512];
};

static unsigned char *pattern(size_t bytes, unsigned int stream, uint64_t position)
{
	unsigned char *data = malloc(bytes);

	sgring_pattern_fill(data, bytes, sgring_pattern_key(stream), position);
	return data;
}

static void start(struct run *r, const char *const *options)
{
	const char *argv[16] = { RECV, "--json", "--quiet" };
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int out[2], err[2], i, port = 0;
	char line[256];
	ssize_t n;

	for (i = 3; *options; i++)
		argv[i] = *options++;
	argv[i] = "127.0.0.1:0";
	assert_int_equal(pipe(out) | pipe(err), 0);
	r->pid = fork();
	if (!r->pid) {
		dup2(out[1], 1);
		dup2(err[1], 2);
		execv(RECV, (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	r->out = out[0];
	r->err = err[0];
	for (i = 0; i < (int)sizeof(line) - 1 && (!i || line[i - 1] != '\n'); i++) {
		n = read(r->err, line + i, 1);
		if (n != 1)
			break;
	}
	line[i] = 0;
	if (sscanf(line, "recv: listening on port %d", &port) != 1)
		fail_msg("it says \"%s\"", line);
	a.sin_port = htons((uint16_t)port);
	r->socket = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(r->socket, (struct sockaddr *)&a, sizeof(a)), 0);
}

static void feed(struct run *r, const void *data, size_t bytes)
{
	const char *p = data;
	ssize_t n;

	while (bytes) {
		n = send(r->socket, p, bytes, MSG_NOSIGNAL);
		if (n < 0)
			return;	/* it has seen enough */
		p += n;
		bytes -= (size_t)n;
	}
}

/* It ends by itself. */
static void over(struct run *r)
{
	size_t have = 0;
	int status;
	ssize_t n;

	while ((n = read(r->out, r->json + have, sizeof(r->json) - 1 - have)) > 0)
		have += (size_t)n;
	r->json[have] = 0;
	waitpid(r->pid, &status, 0);
	r->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	close(r->out);
	close(r->err);
}

static void end(struct run *r)
{
	close(r->socket);
	over(r);
}

static uint64_t figure(const struct run *r, const char *name)
{
	char key[32];
	const char *p;

	snprintf(key, sizeof(key), "\"%s\": ", name);
	p = strstr(r->json, key);
	if (!p)
		fail_msg("no %s in %s", name, r->json);
	return strtoull(p + strlen(key), NULL, 10);
}

#define START(r, ...) start(r, (const char *const[]){ __VA_ARGS__ __VA_OPT__(,) NULL })

static void right_data_is_right_in_pieces_of_any_size(void **state)
{
	static const size_t sizes[] = { 1, 7, 8, 9, 4095, 65537, 3 * MIB + 5 };
	unsigned char *data = pattern(16 * MIB, 0, 0);
	struct run r;
	size_t at = 0, i, n;

	(void)state;
	START(&r);
	for (i = 0; at < 16 * MIB; i++) {
		n = sizes[i % 7];
		if (n > 16 * MIB - at)
			n = 16 * MIB - at;
		feed(&r, data + at, n);
		at += n;
	}
	end(&r);
	assert_int_equal(r.code, 0);
	assert_int_equal(figure(&r, "bytes"), 16 * MIB);
	assert_int_equal(figure(&r, "verified"), 16 * MIB);
	assert_int_equal(figure(&r, "corrupt"), 0);
	free(data);
}

static void one_wrong_bit_anywhere_is_seen(void **state)
{
	static const size_t places[] = { 0, 1, 4097, 65536, 100000, MIB - 1 };
	unsigned char *data = pattern(MIB, 0, 0);
	struct run r;
	int i;

	(void)state;
	for (i = 0; i < 6; i++) {
		START(&r);
		data[places[i]] ^= 0x10;
		feed(&r, data, MIB);
		data[places[i]] ^= 0x10;
		end(&r);
		assert_int_equal(r.code, 2);
		assert_int_equal(figure(&r, "corrupt"), 1);
		assert_int_equal(figure(&r, "verified"), MIB - 1);
	}
	free(data);
}

static void a_missing_range_is_told_to_the_byte(void **state)
{
	static const struct { size_t at, bytes; } holes[] = {
		{ 65536, 65536 }, { 8, 8 }, { 1001, 1 }, { 65536, 12345 }, { 333, 99999 },
	};
	unsigned char *data = pattern(MIB, 3, 0);
	struct run r;
	int i;

	(void)state;
	for (i = 0; i < 5; i++) {
		START(&r, "--stream", "3");
		feed(&r, data, holes[i].at);
		feed(&r, data + holes[i].at + holes[i].bytes, MIB - holes[i].at - holes[i].bytes);
		end(&r);
		assert_int_equal(r.code, 2);
		assert_int_equal(figure(&r, "missing"), holes[i].bytes);
		assert_int_equal(figure(&r, "gaps"), 1);
		assert_int_equal(figure(&r, "corrupt"), 0);
		assert_int_equal(figure(&r, "verified"), MIB - holes[i].bytes);
	}
	free(data);
}

static void a_slot_sent_twice_or_out_of_order_is_seen(void **state)
{
	unsigned char *data = pattern(MIB, 0, 0);
	struct run r;

	(void)state;
	START(&r);
	feed(&r, data, 65536);
	feed(&r, data, 65536);
	feed(&r, data + 65536, MIB - 65536);
	end(&r);
	assert_int_equal(r.code, 2);
	START(&r);
	feed(&r, data + 65536, 65536);
	feed(&r, data, 65536);
	feed(&r, data + 131072, MIB - 131072);
	end(&r);
	assert_int_equal(r.code, 2);
	assert_true(figure(&r, "verified") < MIB);
	free(data);
}

static void zeros_and_other_streams_are_not_the_pattern(void **state)
{
	unsigned char *zeros = calloc(1, 65536), *other = pattern(65536, 1, 0);
	struct run r;

	(void)state;
	START(&r);
	feed(&r, zeros, 65536);
	end(&r);
	assert_int_equal(r.code, 2);
	assert_true(figure(&r, "corrupt") > 60000);
	START(&r);
	feed(&r, other, 65536);
	end(&r);
	assert_int_equal(r.code, 2);
	START(&r, "--stream", "1");
	feed(&r, other, 65536);
	end(&r);
	assert_int_equal(r.code, 0);
	free(zeros);
	free(other);
}

static void an_end_before_the_bytes_that_were_announced_is_seen(void **state)
{
	unsigned char *data = pattern(65536, 0, 0);
	struct run r;

	(void)state;
	START(&r, "--bytes", "65537");
	feed(&r, data, 65536);
	end(&r);
	assert_int_equal(r.code, 2);
	assert_int_equal(figure(&r, "missing"), 1);
	START(&r, "--bytes", "65536");
	feed(&r, data, 65536);
	end(&r);
	assert_int_equal(r.code, 0);
	free(data);
}

static void a_later_start_is_right_only_if_announced(void **state)
{
	unsigned char *data = pattern(65536, 0, 1234567);
	struct run r;

	(void)state;
	START(&r, "--position", "1234567");
	feed(&r, data, 65536);
	end(&r);
	assert_int_equal(r.code, 0);
	START(&r);
	feed(&r, data, 65536);
	end(&r);
	assert_int_equal(r.code, 2);
	assert_int_equal(figure(&r, "missing"), 1234567);
	free(data);
}

static void output_is_what_was_sent(void **state)
{
	char path[] = "/tmp/test_recv.XXXXXX";
	unsigned char *data = malloc(MIB + 3), *back = malloc(MIB + 4);
	int fd = mkstemp(path);
	struct run r;
	size_t i;

	(void)state;
	for (i = 0; i < MIB + 3; i++)
		data[i] = (unsigned char)rand();
	START(&r, "--output", path);
	feed(&r, data, MIB + 3);
	end(&r);
	assert_int_equal(r.code, 0);
	assert_int_equal(read(fd, back, MIB + 4), MIB + 3);
	assert_memory_equal(data, back, MIB + 3);
	close(fd);
	unlink(path);
	free(data);
	free(back);
}

static void silence_is_a_failure_in_time(void **state)
{
	struct run r;

	(void)state;
	START(&r, "--timeout", "1");
	/* Connected, and not a byte. */
	over(&r);
	close(r.socket);
	assert_int_equal(r.code, 1);
}

static void several_connections_are_taken_when_asked(void **state)
{
	unsigned char *data = pattern(65536, 0, 0);
	struct sockaddr_in a;
	socklen_t size = sizeof(a);
	struct run r;

	(void)state;
	START(&r, "--count", "2");
	getpeername(r.socket, (struct sockaddr *)&a, &size);
	feed(&r, data, 65536);
	close(r.socket);
	r.socket = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(r.socket, (struct sockaddr *)&a, size), 0);
	feed(&r, data, 65536);
	end(&r);
	assert_int_equal(r.code, 0);
	assert_int_equal(figure(&r, "connections"), 2);
	assert_int_equal(figure(&r, "verified"), 2 * 65536);
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_data_is_right_in_pieces_of_any_size),
		cmocka_unit_test(one_wrong_bit_anywhere_is_seen),
		cmocka_unit_test(a_missing_range_is_told_to_the_byte),
		cmocka_unit_test(a_slot_sent_twice_or_out_of_order_is_seen),
		cmocka_unit_test(zeros_and_other_streams_are_not_the_pattern),
		cmocka_unit_test(an_end_before_the_bytes_that_were_announced_is_seen),
		cmocka_unit_test(a_later_start_is_right_only_if_announced),
		cmocka_unit_test(output_is_what_was_sent),
		cmocka_unit_test(silence_is_a_failure_in_time),
		cmocka_unit_test(several_connections_are_taken_when_asked),
	};

	signal(SIGPIPE, SIG_IGN);
	alarm(60);
	return cmocka_run_group_tests_name("recv", tests, NULL, NULL);
}

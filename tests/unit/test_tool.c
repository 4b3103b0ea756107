// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* The sgring tool: sizes and durations read and written, the line of progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../tools/progress.h"
#include "../../tools/tool.h"

#define S 1000000000ULL

static void sizes_are_read_as_dd_reads_them(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 }, { "1", 1 }, { "4096", 4096 }, { "4096B", 4096 },
		{ "1K", 1024 }, { "1k", 1024 }, { "1KiB", 1024 }, { "1kB", 1000 }, { "1KB", 1000 },
		{ "64MiB", 64 << 20 }, { "64M", 64 << 20 }, { "64MB", 64000000 },
		{ "100G", 100ULL << 30 }, { "1T", 1ULL << 40 }, { "2P", 2ULL << 50 },
		{ "1.5G", 3ULL << 29 }, { "0.5kB", 500 }, { "1 GiB", 1 << 30 },
		{ "0.001G", 1073741 }, { "18446744073709551615", UINT64_MAX },
	};
	static const char *const bad[] = {
		"", " ", "-1", "G", "1X", "1GG", "1GiBs", "1.", ".5G", "1e9", "0x10", "1Gi",
		"18446744073709551616", "16384P", "99999999999T", "1 ", "1.5.5",
	};
	uint64_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!parse_size(good[i].text, &n))
			fail_msg("\"%s\" is refused", good[i].text);
		assert_int_equal(n, good[i].bytes);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse_size(bad[i], &n))
			fail_msg("\"%s\" is taken for %llu", bad[i], (unsigned long long)n);
}

static void durations_are_read_with_and_without_units(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} good[] = {
		{ "0", 0 }, { "90", 90 * S }, { "90s", 90 * S }, { "10m", 600 * S }, { "1h30m", 5400 * S },
		{ "1h30m5s", 5405 * S }, { "2d", 2 * 86400 * S }, { "500ms", S / 2 }, { "0.5", S / 2 },
		{ "1.5h", 5400 * S }, { "1s500ms", 3 * S / 2 }, { "20us", 20000 },
	};
	static const char *const bad[] = {
		"", "s", "-1s", "1x", "1m1h", "1m1m", "90 s", "1h30", "30 1h", "999999999999d", "1s ",
	};
	uint64_t n;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!parse_duration(good[i].text, &n))
			fail_msg("\"%s\" is refused", good[i].text);
		assert_int_equal(n, good[i].ns);
	}
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (parse_duration(bad[i], &n))
			fail_msg("\"%s\" is taken for %llu ns", bad[i], (unsigned long long)n);
}

static void words_are_short_and_right(void **state)
{
	(void)state;
	assert_string_equal(size_words(0), "0 B");
	assert_string_equal(size_words(1023), "1023 B");
	assert_string_equal(size_words(1536), "1.5 KiB");
	assert_string_equal(size_words(100ULL << 30), "100 GiB");
	assert_string_equal(size_words(5ULL << 50), "5 PiB");
	assert_string_equal(rate_words(0), "0 B/s");
	assert_string_equal(rate_words(117.24e6), "117.2 MB/s");
	assert_string_equal(rate_words(999.96e6), "1.00 GB/s");
	assert_string_equal(rate_words(12.5e9), "12.50 GB/s");
	assert_string_equal(duration_words(12340 * S / 1000), "12.3 s");
	assert_string_equal(duration_words(59990 * S / 1000), "59.9 s");
	assert_string_equal(duration_words(65 * S), "1:05");
	assert_string_equal(duration_words(7805 * S), "2:10:05");
	assert_string_equal(duration_words(3 * 86400 * S + 7805 * S), "3d 02:10:05");
}

static void the_line_tells_how_much_is_left(void **state)
{
	struct progress p = { .start_ns = 5 * S, .rate = 100e6 };
	char text[256];

	(void)state;
	progress_text(&p, 15 * S, 1 << 30, 0, NULL, text, sizeof(text));
	assert_string_equal(text, "1 GiB  100.0 MB/s  10.0 s");
	p.total_bytes = 1000000000;
	progress_text(&p, 15 * S, 500000000, 0, NULL, text, sizeof(text));
	assert_string_equal(text, "476.8 MiB of 953.7 MiB (50 %)  100.0 MB/s  10.0 s, 5.0 s left");
	/* Whichever ends it first. */
	p.total_ns = 12 * S;
	progress_text(&p, 15 * S, 500000000, 4096, "more", text, sizeof(text));
	assert_string_equal(text, "476.8 MiB of 953.7 MiB (50 %)  100.0 MB/s  10.0 s, 2.0 s left  LOST 4 KiB  more");
	/* Nothing moves: only the time limit is known; without one, nothing is. */
	p.rate = 0;
	p.total_ns = 0;
	progress_text(&p, 15 * S, 500000000, 0, NULL, text, sizeof(text));
	assert_null(strstr(text, "left"));
	/* No room: cut, not overrun. */
	progress_text(&p, 15 * S, 500000000, 0, "a long addition", text, 20);
	assert_int_equal(strlen(text), 19);
}

static void what_is_said_does_not_mix_with_the_line(void **state)
{
	struct progress p;
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	progress_start(&p, 0, 0, false);
	p.out = f;
	p.terminal = true;
	progress_show(&p, 1000, 0, NULL);
	progress_say(&p, "%d bytes lost", 5);
	progress_show(&p, 2000, 5, NULL);
	progress_end(&p);
	fflush(f);
	assert_int_equal(strncmp(text, "1000 B  ", 8), 0);
	assert_non_null(strstr(text, "s\r\033[Ksgring: 5 bytes lost\n2.0 KiB  "));
	assert_string_equal(text + n - 7, "5 B\r\033[K");
	fclose(f);
	free(text);
}

static void a_log_gets_whole_lines_and_quiet_means_none(void **state)
{
	struct progress p;
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	progress_start(&p, 0, 0, true);
	p.out = f;
	p.terminal = false;
	progress_show(&p, 1024, 0, NULL);
	fflush(f);
	assert_int_equal(n, 0);
	p.quiet = false;
	progress_show(&p, 2048, 0, NULL);
	progress_end(&p);
	assert_int_equal(strncmp(text, "sgring: 2 KiB  ", 15), 0);
	assert_int_equal(text[n - 1], '\n');
	assert_null(strchr(text, '\r'));
	fclose(f);
	free(text);
}

static void the_last_line_stays_with_the_average_rate(void **state)
{
	struct progress p;
	char *text;
	size_t n;
	FILE *f = open_memstream(&text, &n);

	(void)state;
	progress_start(&p, 1 << 20, 60 * S, false);
	p.out = f;
	p.terminal = true;
	p.start_ns -= 10 * S;
	progress_show(&p, 1 << 19, 0, NULL);
	progress_last(&p, 1 << 20, 7);
	fflush(f);
	assert_non_null(strstr(text, "\r\033[Ksgring: 1 MiB of 1 MiB (100 %)  104.9 kB/s  10.0 s, 0.0 s left  LOST 7 B\n"));
	assert_int_equal(text[n - 1], '\n');
	fclose(f);
	free(text);
}

/* What a piece of JSON comes to, in a file. */
static void a_document(FILE *f, const char *text)
{
	json_to(f);
	json_open(NULL, '{');
	json_string("t", text);
	json_end();
	json_to(NULL);
}

static void json_is_written_whole(void **state)
{
	char text[4096] = "";
	FILE *f = tmpfile(), *inner = tmpfile();
	int out = dup(1), i;

	(void)state;
	assert_non_null(f);
	fflush(stdout);
	assert_true(dup2(fileno(f), 1) == 1);
	json_open(NULL, '[');
	json_open(NULL, '{');
	json_number("n", UINT64_MAX);
	json_rate("r", 2500000);
	a_document(inner, "in the middle");
	json_string("s", "a \"b\" \\ /\n\x7f \xc3\xb6 \xff\xc3(");
	json_bool("b", false);
	json_open("none", '[');
	json_close(']');
	json_close('}');
	json_close(']');
	json_end();
	/* Too deep is said, and nothing is written; then it begins anew. */
	for (i = 0; i < 100; i++)
		json_open(NULL, '[');
	for (i = 0; i < 100; i++)
		json_close(']');
	json_end();
	json_open(NULL, '[');
	json_end();
	dup2(out, 1);
	close(out);
	assert_true(pread(fileno(f), text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text,
		"[ { \"n\": 18446744073709551615, \"r\": 2500000.000, "
		"\"s\": \"a \\\"b\\\" \\\\ /\\n\x7f \xc3\xb6 \xc3\xbf\xc3\x83(\", \"b\": false, "
		"\"none\": [ ] } ]\n[ ]\n");
	memset(text, 0, sizeof(text));
	assert_true(pread(fileno(inner), text, sizeof(text) - 1, 0) > 0);
	assert_string_equal(text, "{\n  \"t\": \"in the middle\"\n}\n");
	fclose(f);
	fclose(inner);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_are_read_as_dd_reads_them),
		cmocka_unit_test(durations_are_read_with_and_without_units),
		cmocka_unit_test(words_are_short_and_right),
		cmocka_unit_test(json_is_written_whole),
		cmocka_unit_test(the_line_tells_how_much_is_left),
		cmocka_unit_test(what_is_said_does_not_mix_with_the_line),
		cmocka_unit_test(a_log_gets_whole_lines_and_quiet_means_none),
		cmocka_unit_test(the_last_line_stays_with_the_average_rate),
	};

	alarm(60);
	return cmocka_run_group_tests_name("tool", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The metadata of SigMF, made from recordings of every kind. With jq what is written is
 * read back as JSON; sigmf.c says what SigMF asks for.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/sgring.h>

#include "recording.h"
#include "sigmf.h"
#include "tool.h"

static char folder[] = "/tmp/sgring-sigmf.XXXXXX";
static char name[sizeof(folder) + 8];
static char told[4096];

static void tell(void *context, const char *line)
{
	(void)context;
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", line);
}

static int run(const struct sigmf_options *o)
{
	told[0] = 0;
	return sigmf_write(name, o, tell, NULL);
}

/* A file of a recording: entries, then bytes of data that are as many as they should be. */
struct part {
	int index;
	uint64_t data_bytes;
	uint32_t align;
};

static void append(const struct part *p, const void *wire, size_t bytes)
{
	assert_int_equal(write(p->index, wire, bytes), bytes);
}

static struct part begin_part(unsigned int number, uint32_t align)
{
	const struct sgring_hello h = {
		.version = SGRING_FRAME_VERSION, .epoch = 2, .slot_count = 4, .slot_bytes = 65536,
		.session = 0xabcdef, .align_bytes = align, .clock_ns = 5000000000,
		.realtime_ns = 951782400ULL * 1000000000, .label = "rx0",
	};
	unsigned char wire[SGRING_HELLO_BYTES];
	struct part p = { .align = align };
	char path[sizeof(name) + 32];

	recording_path(path, sizeof(path), name, number, "index");
	p.index = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	sgring_hello_pack(wire, &h);
	append(&p, wire, sizeof(wire));
	return p;
}

static void add(struct part *p, uint64_t sequence, uint64_t position, uint32_t length, uint32_t flags)
{
	const struct sgring_cqe e = {
		.sequence = sequence, .position_bytes = position, .length_bytes = length, .flags = flags,
		.host_time_ns = 5000000000 + sequence * 250000000,
		.slot = flags & SGRING_CQE_EOS ? SGRING_NO_SLOT : 0,
	};
	unsigned char wire[SGRING_ENTRY_BYTES];

	sgring_entry_pack(wire, &e);
	append(p, wire, sizeof(wire));
	if (length)
		p->data_bytes = ((p->data_bytes + p->align - 1) & ~(uint64_t)(p->align - 1)) + length;
}

static void end_part(struct part *p, unsigned int number, const char *extension)
{
	char path[sizeof(name) + 32];
	int fd;

	close(p->index);
	recording_path(path, sizeof(path), name, number, extension);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)p->data_bytes), 0);
	close(fd);
}

/* Is the expression of jq true of that part's metadata? */
static void holds(unsigned int number, const char *expression)
{
	char path[sizeof(name) + 32], command[1200];

	recording_path(path, sizeof(path), name, number, "sigmf-meta");
	snprintf(command, sizeof(command), "jq -e '%s' %s >/dev/null", expression, path);
	if (system(command)) {
		snprintf(command, sizeof(command), "cat %s >&2", path);
		(void)!system(command);
		fail_msg("not so: %s", expression);
	}
}

static int empty_folder(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -f %s/*", folder);
	return system(command);
}

/* What the specification asks of every file. */
static void is_sigmf(unsigned int number)
{
	holds(number, "keys == [\"annotations\", \"captures\", \"global\"]");
	holds(number, ".global.\"core:datatype\" | test(\"^(c|r)(f32|f64|i32|i16|u32|u16|i8|u8)(_le|_be)?$\")");
	holds(number, ".global.\"core:version\" | test(\"^[0-9]+\\\\.[0-9]+\\\\.[0-9]+$\")");
	holds(number, ".global.\"core:extensions\" | length == 1 and (.[0] | keys == [\"name\", \"optional\", \"version\"] and .name == \"sgring\")");
	holds(number, "[.captures[], .annotations[] | .\"core:sample_start\" | type == \"number\"] | all");
	holds(number, "[.captures[].\"core:sample_start\"] | . == sort");
	holds(number, "[.annotations[].\"core:sample_start\"] | . == sort");
	holds(number, "[.captures[].\"core:datetime\" | test(\"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\\\.[0-9]{9}Z$\")] | all");
	/* Whatever is not in the core is declared. */
	holds(number, "[.global, .captures[], .annotations[] | keys[] | test(\"^(core|sgring):\")] | all");
}

static void types_have_sizes(void **state)
{
	static const struct {
		const char *type;
		unsigned int bytes;
	} types[] = {
		{ "ru8", 1 }, { "ri8", 1 }, { "cu8", 2 }, { "ri16_le", 2 }, { "ci16_be", 4 }, { "rf32_le", 4 },
		{ "cf32_le", 8 }, { "cf64_be", 16 }, { "cu32_le", 8 },
		{ "", 0 }, { "u8", 0 }, { "ci16", 0 }, { "cf32_me", 0 }, { "ru8_le", 0 }, { "cx16_le", 0 },
		{ "cf32_le ", 0 }, { "c", 0 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(sigmf_sample_bytes(types[i].type), types[i].bytes);
}

static void rates_are_read_as_people_write_them(void **state)
{
	static const char *const wrong[] = { "", "M", "0", "-1", "2.4X", "2.4MM", "1e13", "nan", "inf", "1 M" };
	double rate;
	size_t i;

	(void)state;
	assert_true(sigmf_rate("48000", &rate) && rate == 48000);
	assert_true(sigmf_rate("48k", &rate) && rate == 48000);
	assert_true(sigmf_rate("48K", &rate) && rate == 48000);
	assert_true(sigmf_rate("2.5M", &rate) && rate == 2500000);
	assert_true(sigmf_rate("61.44e6", &rate) && rate == 61440000);
	assert_true(sigmf_rate("10G", &rate) && rate == 1e10);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (sigmf_rate(wrong[i], &rate))
			fail_msg("\"%s\" is %f", wrong[i], rate);
}

static void a_whole_recording_is_one_capture(void **state)
{
	const struct sigmf_options o = { .datatype = "ci16_le", .sample_rate = 4000,
					 .description = "\303\251t\303\251 \"1\"\n\377" };
	struct part p = begin_part(1, 1);
	unsigned int i;

	(void)state;
	for (i = 0; i < 10; i++)
		add(&p, i, i * 4000, 4000, 0);
	add(&p, 10, 40000, 0, SGRING_CQE_EOS);
	end_part(&p, 1, "sigmf-data");
	assert_int_equal(run(&o), 0);
	assert_string_equal(told, "");
	is_sigmf(1);
	holds(1, ".captures | length == 1 and .[0].\"core:sample_start\" == 0 and .[0].\"core:global_index\" == 0");
	holds(1, ".annotations == []");
	holds(1, ".global.\"core:sample_rate\" == 4000 and .global.\"core:hw\" == \"rx0\"");
	holds(1, ".global.\"core:description\" == \"\303\251t\303\251 \\\"1\\\"\\n\303\277\"");
	holds(1, ".global | has(\"core:dataset\") or has(\"core:trailing_bytes\") or has(\"core:offset\") | not");
	/* Its 1000 samples took a quarter of a second before the hello's moment. */
	holds(1, ".captures[0].\"core:datetime\" == \"2000-02-28T23:59:59.750000000Z\"");
}

static void a_gap_is_a_capture_and_an_annotation(void **state)
{
	const struct sigmf_options o = { .datatype = "ri16_le" };
	struct part p = begin_part(1, 1);

	(void)state;
	add(&p, 0, 0, 1000, 0);
	add(&p, 3, 3000, 1000, SGRING_CQE_GAP);
	add(&p, 4, 4000, 1000, 0);
	add(&p, 6, 6000, 0, SGRING_CQE_EOS);
	end_part(&p, 1, "sigmf-data");
	assert_int_equal(run(&o), 0);
	is_sigmf(1);
	holds(1, "[.captures[] | [.\"core:sample_start\", .\"core:global_index\", .\"sgring:position\"]] == [[0, 0, 0], [500, 1500, 3000]]");
	holds(1, "[.annotations[] | [.\"core:sample_start\", .\"core:sample_count\", .\"core:label\", .\"sgring:lost_bytes\"]] == [[500, 1, \"gap\", 2000], [1500, 0, \"gap\", 1000]]");
	holds(1, ".captures[1].\"core:datetime\" == \"2000-02-29T00:00:00.750000000Z\"");
	holds(1, ".captures[1].\"sgring:session\" == \"0000000000abcdef\"");
}

static void what_is_no_whole_sample_is_told(void **state)
{
	const struct sigmf_options o = { .datatype = "cf32_le" };
	struct part p = begin_part(1, 1);

	(void)state;
	add(&p, 0, 0, 1001, 0);
	add(&p, 2, 2000, 1000, SGRING_CQE_GAP);
	end_part(&p, 1, "sigmf-data");
	assert_int_equal(run(&o), 0);
	assert_non_null(strstr(told, "1 stretches do not begin with a whole sample of 8 bytes"));
	assert_non_null(strstr(told, "the last 1 bytes are no whole sample of 8 bytes"));
	holds(1, "[.captures[].\"core:sample_start\"] == [0, 125]");
}

static void padding_is_no_sample(void **state)
{
	const struct sigmf_options o = { 0 };
	struct part p = begin_part(1, 4096);

	(void)state;
	add(&p, 0, 0, 5000, 0);
	add(&p, 1, 5000, 3192, 0);
	add(&p, 2, 8192, 100, 0);
	add(&p, 3, 8292, 0, SGRING_CQE_EOS);
	p.data_bytes += 3996;	/* the zeroes of the last block */
	end_part(&p, 1, "data");
	assert_int_equal(run(&o), 0);
	is_sigmf(1);
	holds(1, ".global.\"core:dataset\" == \"run.data\" and .global.\"core:trailing_bytes\" == 3996");
	/* 3192 bytes of zeroes, then 904 that pad the second. */
	holds(1, "[.captures[] | [.\"core:sample_start\", .\"core:header_bytes\"]] == [[0, null], [5000, 3192], [8192, 904]]");
	holds(1, ".annotations == []");
}

static void each_file_of_several_has_its_own(void **state)
{
	const struct sigmf_options o = { .datatype = "ru8", .channels = 2 };
	struct part p;
	unsigned int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		p = begin_part(i + 1, 1);
		add(&p, 2 * i, 2000 * i, 1000, 0);
		add(&p, 2 * i + 1, 2000 * i + 1000, 1000, 0);
		if (i == 2)
			add(&p, 6, 6000, 0, SGRING_CQE_EOS);
		end_part(&p, i + 1, "sigmf-data");
	}
	assert_int_equal(run(&o), 0);
	for (i = 1; i <= 3; i++)
		is_sigmf(i);
	holds(1, ".global | has(\"core:offset\") | not");
	holds(2, ".global.\"core:offset\" == 1000 and .global.\"core:num_channels\" == 2");
	holds(3, ".global.\"core:offset\" == 2000 and .global.\"sgring:index\" == \"run-0003.index\"");
	holds(3, "(.captures | length) == 1 and .captures[0].\"core:sample_start\" == 2000 and .captures[0].\"core:global_index\" == 2000");
	holds(3, ".annotations == []");
}

static void what_cannot_be_read_or_written_is_told(void **state)
{
	const struct sigmf_options o = { 0 }, wrong = { .datatype = "x8" };
	struct part p = begin_part(1, 1);
	char path[sizeof(name) + 32];

	(void)state;
	add(&p, 0, 0, 1000, 0);
	end_part(&p, 1, "sigmf-data");
	assert_int_equal(run(&wrong), -1);
	assert_non_null(strstr(told, "\"x8\" is not a type"));
	recording_path(path, sizeof(path), name, 1, "index");
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(run(&o), -1);
	assert_non_null(strstr(told, "it ends before its hello"));
	recording_path(path, sizeof(path), name, 1, "sigmf-meta");
	assert_int_equal(access(path, F_OK), -1);
	unlink(name);
	recording_path(path, sizeof(path), name, 1, "index");
	unlink(path);
	assert_int_equal(run(&o), -1);
	assert_non_null(strstr(told, "run.index: No such file"));
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(name, sizeof(name), "%s/run", folder);
	return 0;
}

static int remove_folder(void **state)
{
	return empty_folder(state) || rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(types_have_sizes),
		cmocka_unit_test(rates_are_read_as_people_write_them),
		cmocka_unit_test_teardown(a_whole_recording_is_one_capture, empty_folder),
		cmocka_unit_test_teardown(a_gap_is_a_capture_and_an_annotation, empty_folder),
		cmocka_unit_test_teardown(what_is_no_whole_sample_is_told, empty_folder),
		cmocka_unit_test_teardown(padding_is_no_sample, empty_folder),
		cmocka_unit_test_teardown(each_file_of_several_has_its_own, empty_folder),
		cmocka_unit_test_teardown(what_cannot_be_read_or_written_is_told, empty_folder),
	};

	return cmocka_run_group_tests_name("sigmf", tests, make_folder, remove_folder);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The KUnit suites of the driver (kernel/sgring_kunit.h): loads their module, which runs them,
 * and passes on each case's result as a test. Where the kernel has no KUnit there is no module.
 */
#include <dirent.h>
#include <sys/syscall.h>

#include "common.h"

#define RESULTS		"/sys/kernel/debug/kunit"
#define MODULE		"/mod/sgring-kunit.ko"
#define CASES_MAX	256

/* A case: its name, and 'o'k, 's'kipped or 'n'ot ok. */
struct result {
	char name[128];
	char outcome;
};

static struct result results[CASES_MAX];
static struct CMUnitTest tests[CASES_MAX + 1];
static size_t count;

static void report(void **state)
{
	const struct result *r = *state;

	if (r->outcome == 's')
		skip();
	assert_int_equal(r->outcome, 'o');	/* why not stands above, and in the kernel log */
}

static void kunit_is_there(void **state)
{
	(void)state;
	print_message("this kernel is without KUnit\n");
	skip();
}

static void the_suites_run(void **state)
{
	assert_true(count > 0);
	assert_null(*state);
}

/*
 * "    ok 1 name" or "    not ok 1 - name # comment" of a suite's file. Shown are the other
 * lines, which say what was expected of a case that is not ok.
 */
static void results_of(const char *suite)
{
	char path[300], line[512], name[100];
	FILE *f;

	snprintf(path, sizeof(path), RESULTS "/%s/results", suite);
	f = fopen(path, "re");
	while (f && count < CASES_MAX && fgets(line, sizeof(line), f)) {
		const char *at = line + strspn(line, " ");
		bool bad = !strncmp(at, "not ", 4);

		if (at == line || sscanf(at + (bad ? 4 : 0), "ok %*u%*[- ]%99[a-z_0-9]", name) != 1) {
			fputs(line, stdout);
			continue;
		}
		snprintf(results[count].name, sizeof(results[count].name), "%s: %s", suite, name);
		results[count].outcome = bad ? 'n' : strstr(line, "# SKIP") ? 's' : 'o';
		count++;
	}
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	struct CMUnitTest whole = { .name = "the_suites_run", .test_func = the_suites_run };
	int fd = open(MODULE, O_RDONLY | O_CLOEXEC);
	struct dirent *entry;
	size_t i;
	DIR *dir;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	if (fd < 0) {
		whole = (struct CMUnitTest)cmocka_unit_test(kunit_is_there);
		return _cmocka_run_group_tests("kunit", &whole, 1, NULL, NULL);
	}
	if (syscall(SYS_finit_module, fd, "", 0))
		whole.initial_state = strerror(errno);
	close(fd);

	dir = opendir(RESULTS);
	while (dir && (entry = readdir(dir)))
		if (!strncmp(entry->d_name, "sgring", 6))
			results_of(entry->d_name);
	if (dir)
		closedir(dir);
	/* It goes again: its suites are the driver's, which is to be unloaded. */
	if (!whole.initial_state && syscall(SYS_delete_module, "sgring_kunit", 0))
		whole.initial_state = strerror(errno);

	tests[0] = whole;
	for (i = 0; i < count; i++)
		tests[i + 1] = (struct CMUnitTest){
			.name = results[i].name, .test_func = report, .initial_state = &results[i],
		};
	return _cmocka_run_group_tests("kunit", tests, i + 1, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring dump: images of rings made up here, hostile ones too; what is said of them, their file,
 * and a copy that moves while it is made
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../tools/image.h"
#include "../../tools/tool.h"

#define MS 1000000ULL

/* Memory of a stream, as its driver would lay it out. */
struct made {
	struct sgring_geometry g;
	unsigned char *kernel;
	unsigned char *user;
	struct sgring_kernel_side *k;
	struct sgring_user_side *u;
};

static uint32_t power_of_two(uint32_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static struct made make(uint32_t slots)
{
	struct made m = { .g = {
		.size = sizeof(m.g), .slot_count = slots, .slot_bytes = 65536, .stride_bytes = 65536,
		.cq_entries = power_of_two(slots + 1), .cq_stride = sizeof(struct sgring_cqe),
		.sq_entries = power_of_two(slots), .sq_stride = sizeof(struct sgring_sqe),
		.table_stride = sizeof(struct sgring_slot_info), .cq_offset = 4096, .sq_offset = 4096,
	} };

	m.g.table_offset = 4096 + m.g.cq_entries * m.g.cq_stride;
	m.g.kernel_bytes = m.g.table_offset + slots * m.g.table_stride;
	m.g.user_bytes = 4096 + m.g.sq_entries * m.g.sq_stride;
	m.kernel = calloc(1, m.g.kernel_bytes);
	m.user = calloc(1, m.g.user_bytes);
	assert_non_null(m.kernel);
	assert_non_null(m.user);
	m.k = (void *)m.kernel;
	m.u = (void *)m.user;
	m.k->state = SGRING_STATE_RUNNING;
	m.k->epoch = 1;
	return m;
}

static void unmake(struct made *m)
{
	free(m->kernel);
	free(m->user);
}

static struct sgring_slot_info *slot(struct made *m, uint32_t i)
{
	return (void *)(m->kernel + m->g.table_offset + i * m->g.table_stride);
}

static void set_slot(struct made *m, uint32_t i, uint32_t state, uint64_t ago_ns, uint64_t sequence)
{
	*slot(m, i) = (struct sgring_slot_info){
		.generation = 1, .state = state, .time_ns = now_ns() - ago_ns, .sequence = sequence,
	};
}

static void post(struct made *m, uint32_t slot)
{
	struct sgring_cqe *e = (void *)(m->kernel + m->g.cq_offset);

	e[m->k->cq_producer++ & (m->g.cq_entries - 1)] = (struct sgring_cqe){ .slot = slot };
}

static void submit(struct made *m, uint32_t slot)
{
	struct sgring_sqe *e = (void *)(m->user + m->g.sq_offset);

	e[m->u->sq_producer++ & (m->g.sq_entries - 1)] = (struct sgring_sqe){ .slot = slot };
}

static void judge(struct made *m, struct image *im, struct ring_view *v, bool with_user)
{
	memset(im, 0, sizeof(*im));
	im->geometry = m->g;
	assert_int_equal(image_take(im, m->kernel, with_user ? m->user : NULL, 1), 0);
	assert_false(image_torn(im));
	assert_int_equal(ring_judge(im, v), 0);
}

static void drop(struct image *im, struct ring_view *v)
{
	ring_free(v);
	image_free(im);
}

static bool told(const struct ring_view *v, const char *words)
{
	uint32_t i;

	for (i = 0; i < v->contradictions && i < RING_SENTENCES; i++)
		if (strstr(v->sentences[i], words))
			return true;
	return false;
}

static void start_indices(struct made *m, uint32_t at)
{
	m->k->cq_producer = m->k->sq_consumer = m->u->sq_producer = m->u->cq_consumer = at;
}

/* One of each owner; indices in front of their wrap. */
static struct made one_of_each(void)
{
	struct made m = make(8);

	start_indices(&m, UINT32_MAX);
	set_slot(&m, 0, SGRING_SLOT_APP, 5000 * MS, 1);		/* user */
	set_slot(&m, 1, SGRING_SLOT_APP, 4000 * MS, 2);		/* queued */
	set_slot(&m, 2, SGRING_SLOT_ENGINE, 100 * MS, 3);
	set_slot(&m, 3, SGRING_SLOT_APP, 10 * MS, 8);		/* done */
	set_slot(&m, 4, SGRING_SLOT_GATED, 70000 * MS, 5);
	set_slot(&m, 5, SGRING_SLOT_FREE, 50 * MS, 6);
	set_slot(&m, 6, SGRING_SLOT_ENGINE, 200 * MS, 4);
	set_slot(&m, 7, SGRING_SLOT_APP, 11 * MS, 7);		/* done */
	post(&m, 7);
	post(&m, 3);
	submit(&m, 1);
	return m;
}

static void each_slot_has_its_owner_and_age(void **state)
{
	static const unsigned char owners[] = {
		SLOT_USER, SLOT_QUEUED, SLOT_DMA, SLOT_DONE, SLOT_GATED, SLOT_FREE, SLOT_DMA, SLOT_DONE,
	};
	struct made m = one_of_each();
	struct ring_view v;
	struct image im;
	unsigned int i;

	(void)state;
	judge(&m, &im, &v, true);
	for (i = 0; i < 8; i++)
		assert_int_equal(v.slots[i].owner, owners[i]);
	assert_int_equal(v.contradictions, 0);
	assert_int_equal(v.cq_pending, 2);
	assert_int_equal(v.sq_pending, 1);
	assert_int_equal(ring_cqe(&im, 0).slot, 7);
	assert_int_equal(ring_cqe(&im, 1).slot, 3);
	assert_int_equal(ring_sqe(&im, 0).slot, 1);
	/* The one it has had for longest. */
	assert_int_equal(v.next, 6);
	assert_int_equal(v.oldest[SLOT_GATED], 4);
	assert_int_equal(v.oldest[SLOT_DONE], 7);
	assert_int_equal(v.oldest[SLOT_ODD], SGRING_NO_SLOT);
	assert_true(v.slots[4].age_ns >= 70000 * MS && v.slots[4].age_ns < 3600000 * MS);
	drop(&im, &v);
	/* By the clock of the set-up. */
	m.g.clock = SGRING_CLOCK_REALTIME;
	judge(&m, &im, &v, true);
	assert_true(v.slots[4].age_ns >= im.now_ns[SGRING_CLOCK_REALTIME] - now_ns());
	drop(&im, &v);
	m.g.clock = UINT32_MAX;
	judge(&m, &im, &v, true);
	assert_true(v.slots[4].age_ns < 3600000 * MS);
	drop(&im, &v);
	unmake(&m);
}

static void without_the_user_side_nothing_is_made_up(void **state)
{
	struct made m = one_of_each();
	struct ring_view v;
	struct image im;

	(void)state;
	judge(&m, &im, &v, false);
	assert_int_equal(v.count[SLOT_USER], 4);
	assert_int_equal(v.count[SLOT_QUEUED] + v.count[SLOT_DONE], 0);
	assert_int_equal(v.contradictions, 0);
	assert_int_equal(v.cq_seen + v.sq_seen, 0);
	drop(&im, &v);
	unmake(&m);
}

static void slots_of_one_pass_are_filled_in_the_order_of_their_last_transfers(void **state)
{
	struct made m = make(4);
	struct ring_view v;
	struct image im;
	uint32_t i;

	(void)state;
	for (i = 0; i < 4; i++) {
		set_slot(&m, i, SGRING_SLOT_ENGINE, 0, 7 - i);
		slot(&m, i)->time_ns = 1000;
	}
	slot(&m, 1)->sequence = 2;
	judge(&m, &im, &v, true);
	assert_int_equal(v.next, 1);
	drop(&im, &v);
	unmake(&m);
}

static void what_the_application_damages_is_told_and_does_no_harm(void **state)
{
	struct made m = make(8);
	struct sgring_sqe *sq = (void *)(m.user + m.g.sq_offset);
	struct ring_view v;
	struct image im;
	uint32_t i;

	(void)state;
	for (i = 0; i < 8; i++)
		set_slot(&m, i, i < 4 ? SGRING_SLOT_APP : SGRING_SLOT_ENGINE, MS, i);
	submit(&m, 1);
	submit(&m, 1);			/* twice */
	submit(&m, 5);			/* the engine's */
	submit(&m, 8);			/* one too far */
	submit(&m, UINT32_MAX);
	submit(&m, 2);
	sq[5].length_bytes = 1;
	judge(&m, &im, &v, true);
	assert_true(told(&v, "slot 1 is in the SQ more than once"));
	assert_true(told(&v, "slot 5 is in the SQ, and not the application's"));
	assert_true(told(&v, "SQ entry 3 names slot 8"));
	assert_true(told(&v, "SQ entry 4 names slot 4294967295"));
	assert_true(told(&v, "SQ entry 5 has something in a field"));
	assert_int_equal(v.contradictions, 5);
	assert_true(v.slots[5].contradiction && v.slots[1].contradiction);
	assert_int_equal(v.slots[5].owner, SLOT_DMA);
	assert_int_equal(v.slots[1].owner, SLOT_QUEUED);
	assert_false(v.slots[2].contradiction);
	drop(&im, &v);

	/* Indices further apart than their ring is long: nothing in it counts. */
	m.u->sq_producer = m.k->sq_consumer + m.g.sq_entries + 1;
	m.u->cq_consumer = m.k->cq_producer + 1;
	judge(&m, &im, &v, true);
	assert_true(told(&v, "SQ: sq_producer is 9 ahead, of 8"));
	assert_true(told(&v, "CQ: cq_consumer is 4294967295 behind, of 16"));
	assert_int_equal(v.contradictions, 2);
	assert_int_equal(v.sq_pending, 9);
	assert_int_equal(v.sq_seen + v.cq_seen, 0);
	drop(&im, &v);

	/* A full one is none. */
	m.u->sq_producer = m.k->sq_consumer + m.g.sq_entries;
	m.u->cq_consumer = m.k->cq_producer - m.g.cq_entries;
	judge(&m, &im, &v, true);
	assert_int_equal(v.sq_seen, 8);
	assert_int_equal(v.cq_seen, 16);
	drop(&im, &v);
	unmake(&m);
}

static void what_the_kernel_should_never_write_is_told(void **state)
{
	struct made m = make(4);
	struct ring_view v;
	struct image im;

	(void)state;
	set_slot(&m, 0, 17, 0, 0);
	set_slot(&m, 1, SGRING_SLOT_FREE, 0, 0);
	set_slot(&m, 2, SGRING_SLOT_APP, 0, 0);
	post(&m, 1);
	post(&m, 2);
	post(&m, 2);
	post(&m, 4);
	post(&m, SGRING_NO_SLOT);
	m.k->state = 99;
	judge(&m, &im, &v, true);
	assert_int_equal(v.slots[0].owner, SLOT_ODD);
	assert_true(told(&v, "slot 0 is in a state"));
	assert_true(told(&v, "slot 1 was returned before"));
	assert_true(told(&v, "slot 2 is in the CQ more than once"));
	assert_true(told(&v, "CQ entry 3 is about slot 4"));
	assert_true(told(&v, "state 99"));
	assert_int_equal(v.contradictions, 5);
	drop(&im, &v);
	unmake(&m);
}

static void more_contradictions_than_are_told_are_counted(void **state)
{
	struct made m = make(64);
	struct ring_view v;
	struct image im;
	uint32_t i;

	(void)state;
	for (i = 0; i < 64; i++)
		set_slot(&m, i, 5 + i, 0, 0);
	judge(&m, &im, &v, true);
	assert_int_equal(v.contradictions, 64);
	assert_int_equal(v.count[SLOT_ODD], 64);
	drop(&im, &v);
	unmake(&m);
}

/* ---- a copy of what moves ---- */

static struct made moving;
static volatile unsigned int moves;

/* The kernel: a slot's generation, and the index, in one go as far as this thread can see. */
static void move(int number)
{
	uint32_t i = moving.k->cq_producer++ % moving.g.slot_count;

	(void)number;
	slot(&moving, i)->generation++;
	moves++;
}

static bool all_fits(const struct image *im)
{
	const struct sgring_kernel_side *k = (const void *)im->kernel;
	uint32_t sum = 0, i;

	for (i = 0; i < im->geometry.slot_count; i++)
		sum += ((const struct sgring_slot_info *)(const void *)
			(im->kernel + im->geometry.table_offset))[i].generation;
	return sum == k->cq_producer && sum == im->first.cq_producer;
}

static void a_copy_is_of_one_moment_or_torn(void **state)
{
	struct itimerval often = { .it_interval.tv_usec = 20, .it_value.tv_usec = 20 }, never = { 0 };
	unsigned int torn = 0, i, before;
	struct image im = { .kernel = NULL };

	(void)state;
	moving = make(SGRING_SLOTS_MAX);
	signal(SIGALRM, move);
	for (i = 0; i < 20000 && torn < 3; i++) {
		memset(&im, 0, sizeof(im));
		im.geometry = moving.g;
		setitimer(ITIMER_REAL, &often, NULL);
		before = moves;
		assert_int_equal(image_take(&im, moving.kernel, moving.user, 2), 0);
		before = moves - before;
		setitimer(ITIMER_REAL, &never, NULL);
		if (image_torn(&im)) {
			assert_int_equal(im.tries, 2);
			assert_true(before > 0);
			torn++;
		} else {
			assert_true(all_fits(&im));
		}
		image_free(&im);
	}
	assert_true(torn);
	memset(&im, 0, sizeof(im));
	im.geometry = moving.g;
	assert_int_equal(image_take(&im, moving.kernel, moving.user, 2), 0);
	assert_false(image_torn(&im));
	assert_int_equal(im.tries, 1);
	assert_true(all_fits(&im));
	image_free(&im);
	signal(SIGALRM, SIG_DFL);
	unmake(&moving);
}

static void a_geometry_that_makes_no_sense_is_refused(void **state)
{
	struct made m = make(8);
	struct image im = { .kernel = NULL };
	static const struct {
		size_t at;
		size_t bytes;
		uint64_t value;
	} bad[] = {
#define BAD(field, value) { offsetof(struct sgring_geometry, field), \
			    sizeof(((struct sgring_geometry *)0)->field), value }
		BAD(slot_count, 0), BAD(slot_count, SGRING_SLOTS_MAX + 1), BAD(slot_count, 9),
		BAD(kernel_bytes, 100), BAD(kernel_bytes, UINT64_MAX), BAD(user_bytes, 0),
		BAD(cq_entries, 0), BAD(cq_entries, 3), BAD(cq_entries, 1U << 31), BAD(sq_entries, 12),
		BAD(cq_stride, 8), BAD(sq_stride, 31), BAD(cq_stride, UINT32_MAX), BAD(table_stride, 0),
		BAD(table_offset, UINT32_MAX), BAD(cq_offset, UINT32_MAX), BAD(sq_offset, 4100),
		BAD(kernel_side, UINT32_MAX), BAD(user_side, UINT32_MAX - 7),
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		im.geometry = m.g;
		memcpy((char *)&im.geometry + bad[i].at, &bad[i].value, bad[i].bytes);
		if (image_take(&im, m.kernel, m.user, 1) != -EPROTO)
			fail_msg("geometry %zu is taken", i);
	}
	unmake(&m);
}

/* ---- the file, and the command ---- */

static void run(const char *arguments, int code, char *out, size_t room)
{
	char command[512];
	size_t n;
	FILE *f;

	snprintf(command, sizeof(command), "%s dump %s 2>&1", TOOL, arguments);
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(out, 1, room - 1, f);
	out[n] = 0;
	n = (size_t)pclose(f);
	if (!WIFEXITED((int)n) || WEXITSTATUS((int)n) != code)
		fail_msg("%s: exit %d, not %d: %s", arguments, WEXITSTATUS((int)n), code, out);
}

static void save(struct made *m, const char *path)
{
	struct image im = { .geometry = m->g };
	char error[200];

	strcpy(im.name, "sgring7");
	strcpy(im.label, "rx7");
	assert_int_equal(image_take(&im, m->kernel, m->user, 1), 0);
	assert_int_equal(image_save(&im, path, error, sizeof(error)), 0);
	image_free(&im);
}

static void an_image_is_shown_as_map_table_and_json(void **state)
{
	struct made m = one_of_each();
	char out[8192];

	(void)state;
	save(&m, IMAGE);
	run("--from " IMAGE, 0, out, sizeof(out));
	assert_non_null(strstr(out, "sgring7 (rx7): running, epoch 1, 8 slots of 64 KiB"));
	assert_non_null(strstr(out, "sq_producer          0  ---->  sq_consumer 4294967295   1 of 8 wait"));
	assert_non_null(strstr(out, "cq_consumer 4294967295  <----  cq_producer          1   2 of 16 wait"));
	assert_non_null(strstr(out, "       0  UQDCG.>C\n"));
	assert_non_null(strstr(out, "longest gated   slot 4      for 1:10"));
	run("-t --from " IMAGE, 0, out, sizeof(out));
	assert_non_null(strstr(out, "     6 dma "));
	assert_non_null(strstr(out, "  next\n"));
	run("-j --from " IMAGE, 0, out, sizeof(out));
	assert_non_null(strstr(out, "\"torn\": false"));
	unmake(&m);
}

static void a_map_of_many_slots_is_folded(void **state)
{
	struct made m = make(SGRING_SLOTS_MAX);
	char *out = malloc(1 << 20), *line;
	unsigned int lines = 0;
	uint32_t i;

	(void)state;
	for (i = 0; i < SGRING_SLOTS_MAX; i++)
		set_slot(&m, i, i < 32768 ? SGRING_SLOT_APP : SGRING_SLOT_FREE, MS, i);
	set_slot(&m, 100, SGRING_SLOT_ENGINE, MS, 3);
	set_slot(&m, 40000, SGRING_SLOT_GATED, MS, 3);
	save(&m, IMAGE);
	run("--from " IMAGE, 0, out, 1 << 20);
	assert_non_null(strstr(out, "       0  U>UUUU"));
	assert_non_null(strstr(out, "each for 64 slots"));
	for (line = strtok(out, "\n"); line; line = strtok(NULL, "\n"), lines++)
		if (strlen(line) > 80)
			fail_msg("more than 80 columns: %s", line);
	assert_true(lines < 40);
	run("--map --from " IMAGE, 0, out, 1 << 20);
	assert_non_null(strstr(out, "   39936  ......"));
	assert_non_null(strstr(out, "   40000  G......"));
	free(out);
	unmake(&m);
}

static void contradictions_have_a_code_of_their_own(void **state)
{
	struct made m = one_of_each();
	char out[8192];

	(void)state;
	submit(&m, 2);
	save(&m, IMAGE);
	run("--from " IMAGE, 2, out, sizeof(out));
	assert_non_null(strstr(out, "1 contradiction:\n  slot 2 is in the SQ, and not"));
	assert_non_null(strstr(out, "UQ?CG.>C"));
	unmake(&m);
}

static void a_damaged_file_gives_one_clear_line(void **state)
{
	struct made m = one_of_each();
	static unsigned char bytes[1 << 16];
	char out[8192];
	size_t n, cut;
	FILE *f;

	(void)state;
	save(&m, IMAGE);
	f = fopen(IMAGE, "re");
	n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	for (cut = 0; cut < n; cut += cut < 800 ? 97 : 1501) {
		f = fopen(IMAGE, "we");
		assert_int_equal(fwrite(bytes, 1, cut, f), cut);
		fclose(f);
		run("--from " IMAGE, 1, out, sizeof(out));
		assert_non_null(strstr(out, cut < 8 ? "not an image" : "cut short"));
		assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
	}
	f = fopen(IMAGE, "we");
	memset(bytes + 8, 0xff, 4);
	fwrite(bytes, 1, n, f);
	fclose(f);
	run("--from " IMAGE, 1, out, sizeof(out));
	assert_non_null(strstr(out, "another order of bytes"));
	run("--from /nonexistent/image", 1, out, sizeof(out));
	assert_non_null(strstr(out, "No such file"));
	run("--from " IMAGE " --raw /nonexistent/image", 1, out, sizeof(out));
	run("", 1, out, sizeof(out));
	run("--tries 0 rx0", 1, out, sizeof(out));
	unlink(IMAGE);
	unmake(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_slot_has_its_owner_and_age),
		cmocka_unit_test(without_the_user_side_nothing_is_made_up),
		cmocka_unit_test(slots_of_one_pass_are_filled_in_the_order_of_their_last_transfers),
		cmocka_unit_test(what_the_application_damages_is_told_and_does_no_harm),
		cmocka_unit_test(what_the_kernel_should_never_write_is_told),
		cmocka_unit_test(more_contradictions_than_are_told_are_counted),
		cmocka_unit_test(a_copy_is_of_one_moment_or_torn),
		cmocka_unit_test(a_geometry_that_makes_no_sense_is_refused),
		cmocka_unit_test(an_image_is_shown_as_map_table_and_json),
		cmocka_unit_test(a_map_of_many_slots_is_folded),
		cmocka_unit_test(contradictions_have_a_code_of_their_own),
		cmocka_unit_test(a_damaged_file_gives_one_clear_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

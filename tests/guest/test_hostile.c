// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Hostile programs, judged. hostile.c attacks streams, in 64-bit processes and in 32-bit ones;
 * here a stream beside them is used well, and must not notice; and when they have gone, all
 * memory is back and the attacked streams are as good as new.
 *
 *	HOSTILE_OPS	how many operations (default: some seconds' worth)
 *	HOSTILE_SEED	of their sequences
 *	HOSTILE_THREADS	per process; with 1 it is one process, whose sequence repeats itself
 *	HOSTILE_BITS	32 or 64: only such processes
 *
 * At the end a line for each kind of operation. What hangs is named.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common.h"
#undef ARRAY_SIZE
#include "hostile.h"

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define DEFAULT_OPS	10000
#define SLOT		(16 * KIB)
/* Longer than any single operation may take on the slowest machine. */
#define HANG_MS		240000

static struct hostile_shared *shared;
static pid_t nurseries[2];

static const char *const names[] = {
#define K(name, flags)	#name,
	HOSTILE_EACH(K)
#undef K
};

static const unsigned char flags[] = {
#define K(name, flags)	flags,
	HOSTILE_EACH(K)
#undef K
};

static uint64_t number_of(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* How long the processors had nothing to do since the start, all of them, and how long in all. */
static void processors(uint64_t *idle, uint64_t *all)
{
	unsigned long long n[8] = {};
	FILE *f = fopen("/proc/stat", "re");
	int i;

	*idle = 0;
	*all = 0;
	if (!f)
		return;
	if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &n[0], &n[1], &n[2], &n[3],
		   &n[4], &n[5], &n[6], &n[7]) == 8) {
		*idle = n[3] + n[4];
		for (i = 0; i < 8; i++)
			*all += n[i];
	}
	fclose(f);
}

/* ---- the victim: an application that does all as it should ---- */

static struct victim {
	struct stream s;
	pthread_t thread;
	bool ends;
	uint64_t slots;
	uint64_t gaps;
	char wrong[200];
} victim;

#define WRONG(...) do {							\
	snprintf(victim.wrong, sizeof(victim.wrong), __VA_ARGS__);	\
	return false;							\
} while (0)

static bool victim_slot(struct stream *s)
{
	struct sgring_cqe e = *sgring_cq_peek(&s->cq, 0);
	struct sgring_sqe *back;
	int i;

	sgring_cq_consume(&s->cq, 1);
	if (e.status || e.slot >= s->setup.slot_count || e.flags & SGRING_CQE_EOS)
		WRONG("entry: status %d, slot %u, flags 0x%x", e.status, e.slot, e.flags);
	if (e.cookie != (victim.slots < s->setup.slot_count ? 0 : 0x1234567800ULL + e.slot))
		WRONG("cookie 0x%llx of slot %u", (unsigned long long)e.cookie, e.slot);
	if (e.position_bytes != s->position && !(e.flags & SGRING_CQE_GAP))
		WRONG("position %llu, not %llu, and no gap", (unsigned long long)e.position_bytes,
		      (unsigned long long)s->position);
	victim.gaps += e.position_bytes - s->position;
	s->position = e.position_bytes + e.length_bytes;
	/* Twice: while it is ours nobody writes to it. */
	for (i = 0; i < 2; i++) {
		if (!stream_data_right(s, &e))
			WRONG("data of slot %u, look %d", e.slot, i);
		if (!i)
			msleep(2);
	}
	back = sgring_sq_reserve(&s->sq);
	if (!back)
		WRONG("no room in the SQ");
	back->slot = e.slot;
	back->cookie = 0x1234567800ULL + e.slot;
	if (sgring_sq_submit(&s->sq) && sg_kick(s->fd))
		WRONG("kick: %s", strerror(errno));
	victim.slots++;
	return true;
}

static void *victim_main(void *unused)
{
	struct stream *s = &victim.s;
	uint64_t last = now_ns();

	(void)unused;
	while (!__atomic_load_n(&victim.ends, __ATOMIC_ACQUIRE)) {
		struct pollfd q = { .fd = s->fd, .events = POLLIN };

		if (sgring_cq_ready(&s->cq)) {
			if (!victim_slot(s))
				break;
			last = now_ns();
			continue;
		}
		if (sgring_sq_submit(&s->sq))
			sg_kick(s->fd);
		poll(&q, 1, 100);
		if (now_ns() - last > HANG_MS * 1000000ULL) {
			snprintf(victim.wrong, sizeof(victim.wrong), "nothing comes any more");
			break;
		}
	}
	return NULL;
}

/* Flat out with a stall where it is too slow: it may lose nothing at all. */
static void victim_begin(void)
{
	victim = (struct victim){
		.s = stream_open(HOSTILE_VICTIM, &(struct sgring_setup){
			.slot_bytes = SLOT, .slot_count = 8, .wake_usec = 20000,
		}),
	};
	stream_start(&victim.s);
	assert_int_equal(pthread_create(&victim.thread, NULL, victim_main, NULL), 0);
}

/* Before anything can fail, which would take its memory away. */
static void victim_rest(void)
{
	__atomic_store_n(&victim.ends, true, __ATOMIC_RELEASE);
	pthread_join(victim.thread, NULL);
}

static void victim_end(void)
{
	struct sgring_stats stats;

	if (victim.wrong[0])
		fail_msg("the victim: %s", victim.wrong);
	stats = stats_of(victim.s.fd);
	printf("victim: %llu slots right\n", (unsigned long long)victim.slots);
	assert_true(victim.slots > 0);
	assert_int_equal(victim.gaps, stats.lost_bytes + stats.dropped_bytes);
	assert_int_equal(victim.gaps, 0);
	assert_int_equal(stats.sq_bad, 0);
	assert_int_equal(stats.index_bad, 0);
	assert_int_equal(stats.engine_errors + stats.residue_bad + stats.odd_callbacks, 0);
	stream_stop(&victim.s);
	stream_close(&victim.s);
}

/* ---- the attackers ---- */

static void nursery_begin(unsigned int which, const char *program, const char *memory,
			  unsigned int first, unsigned int count)
{
	char a[16], b[16];

	snprintf(a, sizeof(a), "%u", first);
	snprintf(b, sizeof(b), "%u", count);
	nurseries[which] = fork();
	assert_true(nurseries[which] >= 0);
	if (!nurseries[which]) {
		execl(program, program, memory, a, b, NULL);
		_exit(3);
	}
}

static void shared_make(char *path, size_t bytes)
{
	int fd;

	snprintf(path, bytes, "/dev/shm/hostile.XXXXXX");
	fd = mkostemp(path, O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(*shared)), 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(shared != MAP_FAILED);
	close(fd);
}

static void what_they_do(void)
{
	unsigned int i, j;

	for (i = 0; i < HOSTILE_PROCESSES; i++)
		for (j = 0; j < HOSTILE_THREADS_MAX; j++)
			if (shared->worker[i][j].count)
				printf("  process %u (life %u) thread %u: %s %s, turn %u\n", i,
				       shared->lives[i], j,
				       shared->worker[i][j].busy ? "in" : "after",
				       names[shared->worker[i][j].kind], shared->worker[i][j].turn);
}

/* True as soon as all have ended by themselves; false if one hangs. */
static bool watch(unsigned int count)
{
	static struct { uint32_t count; uint64_t since; } seen[HOSTILE_PROCESSES][HOSTILE_THREADS_MAX];
	uint64_t start = now_ns(), told = start;
	unsigned int left = count, i, j;
	uint64_t last_made = 0, made_at = start;
	bool whole = true;

	memset(seen, 0, sizeof(seen));
	while (left) {
		uint64_t now = now_ns(), made = __atomic_load_n(&shared->made, __ATOMIC_RELAXED);
		int status;

		for (i = 0; i < ARRAY_SIZE(nurseries); i++) {
			if (nurseries[i] <= 0 || waitpid(nurseries[i], &status, WNOHANG) <= 0)
				continue;
			nurseries[i] = 0;
			left--;
			if (status) {
				print_error("a nursery ended with 0x%x\n", status);
				whole = false;
			}
		}
		for (i = 0; i < HOSTILE_PROCESSES; i++) {
			for (j = 0; j < HOSTILE_THREADS_MAX; j++) {
				struct hostile_worker *w = &shared->worker[i][j];

				if (!w->busy || w->count != seen[i][j].count) {
					seen[i][j].count = w->count;
					seen[i][j].since = now;
				} else if (now - seen[i][j].since > HANG_MS * 1000000ULL) {
					print_error("%s hangs (process %u thread %u turn %u)\n",
						    names[w->kind], i, j, w->turn);
					return false;
				}
			}
		}
		if (made != last_made) {
			last_made = made;
			made_at = now;
		} else if (now - made_at > HANG_MS * 1000000ULL) {
			print_error("nothing goes on any more\n");
			return false;
		}
		if (now - told > 20000000000ULL) {
			told = now;
			printf("%llu of %llu operations, %llu a second\n", (unsigned long long)made,
			       (unsigned long long)shared->wanted,
			       (unsigned long long)(made * 1000 / ((now - start) / 1000000)));
		}
		msleep(20);
	}
	return whole;
}

/* ---- the table ---- */

static void errors_print(const struct hostile_tally *t)
{
	unsigned int e;

	for (e = 0; e < HOSTILE_ERRNOS; e++)
		if (t->errors[e / 32] & 1U << e % 32)
			printf(" %s", strerrorname_np(e) ?: "?");
}

/* Of the calls: the share that were system calls on the stream, in percent. */
static unsigned int table_print(void)
{
	uint64_t all = 0, on_stream = 0;
	unsigned int i;

	printf("%-22s %10s %10s %10s  errors\n", "operation", "made", "succeeded", "us each");
	for (i = 0; i < HOSTILE_KINDS; i++) {
		const struct hostile_tally *t = &shared->tally[i];

		printf("%-22s %10u %10u %10.1f ", names[i], t->calls, t->ok,
		       t->calls ? t->ns / 1000. / t->calls : 0.);
		errors_print(t);
		printf("\n");
		all += t->calls;
		on_stream += flags[i] & ON_STREAM ? t->calls : 0;
	}
	return on_stream * 100 / all;
}

/* Tried so often, and never with success: then the test does not get to where it should. */
#define OFTEN	400

static bool is_deep(void)
{
	bool deep = true;
	unsigned int i;

	for (i = 0; i < HOSTILE_KINDS; i++) {
		const struct hostile_tally *t = &shared->tally[i];

		if (!(flags[i] & MUST) || t->calls < OFTEN || t->ok)
			continue;
		print_error("%s was made %u times and never succeeded\n", names[i], t->calls);
		deep = false;
	}
	return deep;
}

/* ---- the tests ---- */

static unsigned char *canary;
#define CANARY	MIB

static void attacked_bind(void)
{
	char path[80];
	unsigned int i;

	for (i = 0; i < HOSTILE_STREAMS; i++) {
		snprintf(path, sizeof(path), "%s/bind", hostile_streams[i].driver);
		if (!dev_exists(hostile_streams[i].label))
			file_try(path, hostile_streams[i].device);
	}
}

/* That of fifo0 is loaded for as long as a test, as test_fifo does. */
static int hostile_begin(void **state)
{
	int fd = open("/mod/sgring-fifo.ko", O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 || syscall(SYS_finit_module, fd, "", 0) ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return ret ?: test_begin(state);
}

static int hostile_end(void **state)
{
	int ret = test_end(state);

	return syscall(SYS_delete_module, "sgring_fifo", O_NONBLOCK) ? -1 : ret;
}

#define HOSTILE_TEST(f)	cmocka_unit_test_setup_teardown(f, hostile_begin, hostile_end)

static void attackers_do_what_they_can_and_nobody_else_notices(void **state)
{
	bool has32 = !access("/bin/hostile32", X_OK), whole;
	uint64_t bits = number_of("HOSTILE_BITS", 0), start, idle[2], all[2];
	unsigned int i, share, count = 0;
	char path[64];

	(void)state;
	shared_make(path, sizeof(path));
	shared->seed = number_of("HOSTILE_SEED", 20250101);
	shared->wanted = number_of("HOSTILE_OPS", DEFAULT_OPS);
	shared->threads = number_of("HOSTILE_THREADS", 2);
	if (shared->threads > HOSTILE_THREADS_MAX)
		shared->threads = HOSTILE_THREADS_MAX;
	shared->alone = shared->threads == 1;
	printf("HOSTILE_SEED=%llu HOSTILE_OPS=%llu HOSTILE_THREADS=%u%s\n",
	       (unsigned long long)shared->seed, (unsigned long long)shared->wanted,
	       shared->threads, has32 ? "" : " (no 32-bit program here)");
	canary = malloc(CANARY);
	sgring_pattern_fill(canary, CANARY, sgring_pattern_key(200), 0);
	parameter_set("limit_stream_mb", 4);
	parameter_set("limit_total_mb", 40);
	for (i = 0; i < HOSTILE_STREAMS; i++) {
		knob_set(hostile_streams[i].label, "rate", 4000000);
		knob_set(hostile_streams[i].label, "descriptors", 200);
	}
	victim_begin();

	start = now_ns();
	processors(&idle[0], &all[0]);
	if (shared->alone) {
		bool narrow = bits == 32;

		nursery_begin(0, narrow ? "/bin/hostile32" : "/bin/hostile", path, 0, 1);
		count = 1;
	} else {
		if (bits != 32) {
			nursery_begin(0, "/bin/hostile", path, 0, HOSTILE_FIRST_32);
			count++;
		}
		if (has32 && bits != 64) {
			nursery_begin(1, "/bin/hostile32", path, HOSTILE_FIRST_32,
				      HOSTILE_PROCESSES - HOSTILE_FIRST_32);
			count++;
		}
	}
	whole = watch(count);
	processors(&idle[1], &all[1]);
	printf("%llu operations in %llu ms, processors idle %llu %%\n",
	       (unsigned long long)shared->made, (unsigned long long)(now_ns() - start) / 1000000,
	       (unsigned long long)((idle[1] - idle[0]) * 100 / (all[1] - all[0] + 1)));
	if (!whole)
		what_they_do();
	for (i = 0; i < ARRAY_SIZE(nurseries); i++)
		if (nurseries[i] > 0)
			kill(nurseries[i], SIGKILL);
	victim_rest();
	share = table_print();
	printf("of them system calls on a stream: %u %%; most seen: slots_done %llu, sq_bad %llu, index_bad %llu, stalls %llu, gate_waits %llu, late_callbacks %llu, odd_callbacks %llu, residue_bad %llu, engine_errors %llu\n",
	       share, (unsigned long long)shared->slots_done, (unsigned long long)shared->sq_bad,
	       (unsigned long long)shared->index_bad, (unsigned long long)shared->stalls,
	       (unsigned long long)shared->gate_waits, (unsigned long long)shared->late_callbacks,
	       (unsigned long long)shared->odd_callbacks, (unsigned long long)shared->residue_bad,
	       (unsigned long long)shared->engine_errors);
	attacked_bind();
	unlink(path);
	for (i = 0; i < shared->complaints && i < ARRAY_SIZE(shared->complaint); i++)
		print_error("%s\n", shared->complaint[i]);
	if (shared->complaints || !whole)
		fail_msg("%u complaints; again with HOSTILE_SEED=%llu", shared->complaints,
			 (unsigned long long)shared->seed);
	victim_end();
	assert_int_equal(sgring_pattern_verify(canary, CANARY, sgring_pattern_key(200), 0), CANARY);
	assert_true(is_deep());
	assert_true(share >= 25);
	if (shared->made >= DEFAULT_OPS && !shared->alone) {
		assert_true(shared->sq_bad > 0);
		assert_true(shared->index_bad > 0);
		assert_true(shared->slots_done > 10);
	}
	printf("FIGURE hostile_ops=%llu\n", (unsigned long long)shared->made);
	munmap(shared, sizeof(*shared));
}

static void what_was_attacked_is_as_good_as_new(void **state)
{
	unsigned int i;

	(void)state;
	for (i = 0; i < HOSTILE_STREAMS; i++) {
		const char *label = hostile_streams[i].label;
		struct stream s;
		struct sgring_cqe e;
		unsigned int n;

		s = stream_open(label, &(struct sgring_setup){
			.slot_bytes = SLOT, .slot_count = 4 });
		stream_start(&s);
		for (n = 0; n < 20; n++) {
			e = stream_next(&s);
			/* That of fifo0 goes on from where it was. */
			if (strcmp(label, "fifo0"))
				assert_true(stream_data_right(&s, &e));
			assert_int_equal(e.status, 0);
			stream_return(&s, e.slot, 0);
		}
		stream_stop(&s);
		stream_close(&s);
	}
}

GROUP(
	HOSTILE_TEST(attackers_do_what_they_can_and_nobody_else_notices),
	HOSTILE_TEST(what_was_attacked_is_as_good_as_new),
)

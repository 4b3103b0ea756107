// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * A hostile program: processes and threads that do to a stream whatever an owner of its
 * descriptor could think of, at random, most of the time with data flowing.
 *
 *   hostile MEMORY FIRST COUNT		test_hostile runs it: struct hostile_shared in a file, and
 *					which of the processes it is
 *
 * It judges only what it can see itself; a complaint goes to the common memory. A process that
 * was killed begins again, with a sequence of its own, until all operations are made.
 */
#include <pthread.h>
#include <stdarg.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "hostile_attacker.h"

#define STACK_BYTES	(256U << 10)

static struct process process;
static struct thread threads[HOSTILE_THREADS_MAX];
static pthread_t handles[HOSTILE_THREADS_MAX];
static unsigned char *stacks;

struct process *p = &process;
__thread struct thread *me;

/* ---- operations are counted ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

void begin(enum hostile_kind kind)
{
	me->w->kind = kind;
	__atomic_store_n(&me->w->busy, 1, __ATOMIC_RELEASE);
	__atomic_add_fetch(&me->w->count, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&p->shared->made, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&p->shared->tally[kind].calls, 1, __ATOMIC_RELAXED);
	me->since = now_ns();
	errno = 0;
}

static const unsigned char flags_of[] = {
#define K(name, flags)	flags,
	HOSTILE_EACH(K)
#undef K
};

static const char *const name_of[] = {
#define K(name, flags)	#name,
	HOSTILE_EACH(K)
#undef K
};

void end(enum hostile_kind kind, bool ok, int error)
{
	struct hostile_tally *t = &p->shared->tally[kind];

	__atomic_add_fetch(&t->ns, now_ns() - me->since, __ATOMIC_RELAXED);
	__atomic_store_n(&me->w->busy, 0, __ATOMIC_RELEASE);
	if (ok) {
		__atomic_add_fetch(&t->ok, 1, __ATOMIC_RELAXED);
		if (flags_of[kind] & NEVER)
			complain("%s succeeded", name_of[kind]);
	} else if (error > 0 && error < HOSTILE_ERRNOS) {
		__atomic_or_fetch(&t->errors[error / 32], 1U << error % 32, __ATOMIC_RELAXED);
	}
}

void complain(const char *format, ...)
{
	uint32_t n = __atomic_fetch_add(&p->shared->complaints, 1, __ATOMIC_RELAXED);
	char *text = p->shared->complaint[n % ARRAY_SIZE(p->shared->complaint)];
	va_list args;
	int used;

	if (n >= ARRAY_SIZE(p->shared->complaint))
		return;
	used = snprintf(text, sizeof(p->shared->complaint[0]),
			"%s, process %u (life %u) thread %u turn %u: ",
			hostile_streams[p->stream].label, p->number, p->life,
			me ? me->number : 99, me ? me->turn : 0);
	va_start(args, format);
	vsnprintf(text + used, sizeof(p->shared->complaint[0]) - used, format, args);
	va_end(args);
}

/* ---- chance ---- */

static uint64_t mix(uint64_t n)
{
	n = (n ^ (n >> 30)) * 0xBF58476D1CE4E5B9ULL;
	n = (n ^ (n >> 27)) * 0x94D049BB133111EBULL;
	return n ^ (n >> 31);
}

uint64_t chance(void)
{
	me->random += 0x9E3779B97F4A7C15ULL;
	return mix(me->random);
}

uint32_t below(uint32_t n)
{
	return (chance() >> 32) * n >> 32;
}

uint64_t odd_number(void)
{
	static const uint64_t odd[] = {
		0, 1, 2, 3, 4, 7, 8, 63, 64, 4095, 4096, 4097, 65535, 65536, 65537,
		1U << 20, (1U << 20) + 1, 1U << 30, (1U << 30) + 1, 0x7fffffff, 0x80000000,
		0xfffffffe, 0xffffffff, 1ULL << 32, (1ULL << 32) + 1, 1ULL << 63, ~0ULL,
		~0ULL - 1, ~0ULL - 4095, 0x7fffffffffffffffULL, 0xffff888000000000ULL,
	};

	if (one_in(5))
		return chance();
	if (one_in(5))
		return 1ULL << below(64);
	return odd[below(ARRAY_SIZE(odd))];
}

/* ---- files and descriptors ---- */

int file_put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), error;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = write(fd, text, strlen(text));
	error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

long file_get(const char *path, char *text, size_t bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, bytes - 1);
	error = errno;
	close(fd);
	errno = error;
	if (n >= 0)
		text[n] = 0;
	return n;
}

int fd_take(unsigned int which)
{
	return __atomic_exchange_n(&p->fd[which], -1, __ATOMIC_ACQ_REL);
}

void fd_keep(unsigned int which, int fd)
{
	int old = __atomic_exchange_n(&p->fd[which], fd, __ATOMIC_ACQ_REL);

	if (old >= 0)
		CALL(close, close(old));
}

int some_fd(void)
{
	static const unsigned char often[] = {
		FD_MAIN, FD_MAIN, FD_MAIN, FD_MAIN, FD_MAIN, FD_MAIN, FD_MAIN, FD_MAIN, FD_DUP,
		FD_DUP2, FD_READER, FD_OBSERVER, FD_NEIGHBOUR, FD_GUEST,
	};
	int fd = __atomic_load_n(&p->fd[often[below(sizeof(often))]], __ATOMIC_ACQUIRE);

	return fd >= 0 ? fd : __atomic_load_n(&p->fd[FD_MAIN], __ATOMIC_ACQUIRE);
}

/* ---- faults ---- */

static void fault(int number)
{
	if (me && me->guarded)
		siglongjmp(me->back, number);
	complain("signal %d where none should come, in %s", number, me ? name_of[me->w->kind] : "?");
	_exit(1);
}

#define GUARDED(access)							\
	if (sigsetjmp(me->back, 0)) {					\
		me->guarded = 0;					\
		return false;						\
	}								\
	me->guarded = 1;						\
	access;								\
	me->guarded = 0;						\
	return true

bool __attribute__((noinline)) peek32(const void *from, uint32_t *to)
{
	GUARDED(*to = __atomic_load_n((const uint32_t *)from, __ATOMIC_ACQUIRE));
}

bool __attribute__((noinline)) peek64(const void *from, uint64_t *to)
{
	GUARDED(*to = __atomic_load_n((const uint64_t *)from, __ATOMIC_ACQUIRE));
}

bool __attribute__((noinline)) poke32(void *to, uint32_t value)
{
	GUARDED(__atomic_store_n((uint32_t *)to, value, __ATOMIC_RELEASE));
}

bool __attribute__((noinline)) poke64(void *to, uint64_t value)
{
	GUARDED(__atomic_store_n((uint64_t *)to, value, __ATOMIC_RELEASE));
}

bool __attribute__((noinline)) copy_from(void *to, const void *from, size_t bytes)
{
	GUARDED(memcpy(to, from, bytes));
}

bool __attribute__((noinline)) copy_to(void *to, const void *from, size_t bytes)
{
	GUARDED(memcpy(to, from, bytes));
}

static void nothing(int number)
{
	(void)number;
}

static void signals_begin(void)
{
	struct sigaction action = { .sa_handler = fault, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	/* Without SA_RESTART: a call that it interrupts says so. */
	action = (struct sigaction){ .sa_handler = nothing };
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGIO, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- turns ---- */

static const struct {
	void (*operation)(void);
	unsigned int weight;
} operations[] = {
	{ stream_advance,	180 },	/* further, whatever the others do */
	{ ring_take,		120 },
	{ op_ring,		360 },
	{ op_data,		90 },
	{ op_tell,		70 },
	{ op_tell_mutated,	80 },
	{ op_setup_mutated,	24 },
	{ op_tune,		24 },
	{ op_kick,		40 },
	{ op_life,		12 },
	{ op_odd_ioctl,		40 },
	{ op_open,		6 },
	{ op_close,		5 },
	{ op_dup,		8 },
	{ op_map,		8 },
	{ op_map_mutated,	20 },
	{ op_unmap,		6 },
	{ op_remap,		12 },
	{ op_protect,		16 },
	{ op_advise,		14 },
	{ op_pages,		12 },
	{ op_observe,		16 },
	{ op_read,		14 },
	{ op_wait,		40 },
	{ op_other,		30 },
	{ op_send,		16 },
	{ op_uring,		14 },
	{ op_pass,		6 },
	{ op_memory,		12 },
	{ op_child,		2 },
	{ op_look,		5 },
	{ op_bench,		8 },
	{ op_unbind,		1 },
	{ op_faulting,		3 },
	{ op_die,		3 },
};

static bool all_made(void)
{
	return __atomic_load_n(&p->shared->made, __ATOMIC_RELAXED) >= p->shared->wanted;
}

static void turn(void)
{
	static unsigned int total;
	unsigned int i, at;

	if (!total) {
		unsigned int sum = 0;

		for (i = 0; i < ARRAY_SIZE(operations); i++)
			sum += operations[i].weight;
		total = sum;
	}
	me->turn++;
	me->w->turn = me->turn;
	me->random = mix(mix(p->shared->seed + p->number * 1000003ULL + me->number) +
			 ((uint64_t)p->life << 48) + ((uint64_t)me->life << 36) + me->turn);
	at = below(total);
	for (i = 0; at >= operations[i].weight; i++)
		at -= operations[i].weight;
	operations[i].operation();
	me->guarded = 0;
}

static void *thread_main(void *argument)
{
	me = argument;
	me->ends = false;
	me->turn = 0;
	while (!me->ends && !all_made())
		turn();
	__atomic_or_fetch(&p->ended, 1U << me->number, __ATOMIC_ACQ_REL);
	return NULL;
}

/*
 * A kernel without 32-bit time has no futex for 32-bit programs, so that their C library cannot
 * have threads. Then the process does it all by itself, and a timer interrupts what hangs.
 */
static bool has_threads(void)
{
	uint32_t word = 0;

	return !syscall(SYS_futex, &word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

static int alone_main(void)
{
	struct itimerval period = { { 0, 50000 }, { 0, 50000 } };

	world_plain();
	setitimer(ITIMER_REAL, &period, NULL);
	while (!all_made()) {
		threads[0].life++;
		thread_main(&threads[0]);
	}
	return 0;
}

static void thread_begin(unsigned int n)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstack(&attributes, stacks + n * STACK_BYTES, STACK_BYTES);
	if (pthread_create(&handles[n], &attributes, thread_main, &threads[n])) {
		complain("no thread");
		_exit(1);
	}
	pthread_attr_destroy(&attributes);
}

/* ---- a process ---- */

/*
 * Where a region is to be mapped: what is there before cannot be made writable either, and
 * when it has gone nothing else comes.
 */
static unsigned char *reserve(size_t bytes, int fd)
{
	void *at = mmap(NULL, bytes, PROT_NONE, fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED,
			fd, 0);

	if (at == MAP_FAILED) {
		complain("no address range");
		_exit(1);
	}
	return at;
}

static unsigned char *memory(size_t bytes)
{
	return mmap(NULL, bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void process_begin(unsigned int number, uint32_t life)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	unsigned int i;

	p->number = number;
	p->life = life;
	stream_choose(number + life);
	for (i = 0; i < FDS; i++)
		p->fd[i] = -1;
	for (i = 0; i < PLACES; i++)
		p->place[i] = reserve(PLACE_BYTES, fd);
	close(fd);
	p->scratch = memory(HOSTILE_THREADS_MAX * SCRATCH_BYTES);
	stacks = memory(HOSTILE_THREADS_MAX * STACK_BYTES);
	for (i = 0; i < p->shared->threads; i++) {
		threads[i] = (struct thread){
			.w = &p->shared->worker[number][i],
			.number = i,
			.scratch = p->scratch + i * SCRATCH_BYTES,
			.wild = reserve(WILD_BYTES, -1),
		};
	}
	world_begin();
}

/* What hangs is interrupted, threads that have gone begin again. */
static int process_main(unsigned int number, uint32_t life)
{
	uint32_t last[HOSTILE_THREADS_MAX] = {}, quiet[HOSTILE_THREADS_MAX] = {}, running = 0;
	unsigned int i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	process_begin(number, life);
	if (!has_threads())
		return alone_main();
	for (i = 0; i < p->shared->threads; i++) {
		thread_begin(i);
		running |= 1U << i;
	}
	while (running) {
		uint32_t ended;

		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		world_tend();
		ended = __atomic_exchange_n(&p->ended, 0, __ATOMIC_ACQ_REL);
		for (i = 0; i < p->shared->threads; i++) {
			uint32_t count = __atomic_load_n(&threads[i].w->count, __ATOMIC_RELAXED);

			if (ended & 1U << i) {
				pthread_join(handles[i], NULL);
				running &= ~(1U << i);
				if (!all_made()) {
					threads[i].life++;
					thread_begin(i);
					running |= 1U << i;
				}
				continue;
			}
			quiet[i] = count == last[i] ? quiet[i] + 1 : 0;
			last[i] = count;
			if (quiet[i] > 5 && running & 1U << i)
				pthread_kill(handles[i], SIGUSR1);
		}
	}
	return 0;
}

static void process_fork(unsigned int number)
{
	uint32_t life = p->shared->lives[number]++;
	pid_t pid = fork();

	if (!pid)
		_exit(process_main(number, life));
	if (pid < 0)
		complain("no process: %s", strerror(errno));
	p->shared->pids[number] = pid;
}

static void ended(unsigned int number, int status)
{
	unsigned int i;

	p->shared->pids[number] = 0;
	for (i = 0; i < HOSTILE_THREADS_MAX; i++)
		p->shared->worker[number][i].busy = 0;
	if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
		complain("process %u ended by signal %d", number, WTERMSIG(status));
	if (!all_made())
		process_fork(number);
}

int main(int argc, char **argv)
{
	unsigned int first, count, i;
	int fd, status;
	pid_t pid;

	/* A child of op_child(). */
	if (argc == 2 && !strcmp(argv[1], "nothing"))
		return 0;
	if (argc != 4)
		return 2;
	fd = open(argv[1], O_RDWR | O_CLOEXEC);
	p->shared = mmap(NULL, sizeof(*p->shared), RW, MAP_SHARED, fd, 0);
	if (fd < 0 || p->shared == MAP_FAILED)
		return 2;
	close(fd);
	first = strtoul(argv[2], NULL, 0);
	count = strtoul(argv[3], NULL, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signals_begin();
	setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
	for (i = first; i < first + count; i++)
		process_fork(i);
	while ((pid = wait(&status)) > 0)
		for (i = first; i < first + count; i++)
			if (p->shared->pids[i] == pid)
				ended(i, status);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * libsgring: the simulator's memory
 *
 * The slots are one piece of private anonymous memory, present from set-up on and
 * not copied on fork: MSG_ZEROCOPY, O_DIRECT and registered io_uring buffers take
 * it. What it is really made of is found out, not assumed. The kernel side of the
 * rings is a memfd, which the application gets read-only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sim_stream.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25	/* Linux 6.1 */
#endif
#ifndef MAP_HUGE_2MB
#define MAP_HUGE_2MB (21 << 26)
#endif
#define MPOL_BIND 2

u64 sgring_sim_page(void)
{
	return (u64)sysconf(_SC_PAGESIZE);
}

/* As the driver: a quarter of the machine's. */
u64 sgring_sim_memory_max(void)
{
	return (u64)sysconf(_SC_PHYS_PAGES) * sgring_sim_page() / 4;
}

static u64 round_up(u64 bytes, u64 to)
{
	return (bytes + to - 1) / to * to;
}

/* A number behind a word of a file in /proc or /sys, or the file's first; 0: none. */
static u64 number_in(const char *path, const char *word, const unsigned char *mapping)
{
	unsigned long long number = 0, from;
	bool here = !mapping;
	char line[256];
	FILE *f = fopen(path, "re");

	while (f && !number && fgets(line, sizeof(line), f)) {
		if (mapping && sscanf(line, "%llx-", &from) == 1 && strchr(line, '-'))
			here = from == (uintptr_t)mapping;
		else if (here && !strncmp(line, word, strlen(word)))
			number = strtoull(line + strlen(word), NULL, 10);
	}
	if (f)
		fclose(f);
	return number;
}

/* Every page of it a huge one? */
static bool is_huge(unsigned char *at, size_t bytes)
{
	if (number_in("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "", NULL) !=
	    SGRING_SIM_HUGE_BYTES)
		return false;
	if (!madvise(at, bytes, MADV_COLLAPSE))
		return true;
	/* It may be too old to be asked so; then it tells what it has given. */
	return number_in("/proc/self/smaps", "AnonHugePages:", at) * 1024 >= bytes;
}

static int bind_node(struct sgring_sim *s, struct sgring_sim_message *m)
{
	unsigned long nodes[1024 / (8 * sizeof(long))] = { 0 };
	u32 node = (u32)s->setup.numa_node;

	if (!(s->setup.flags & SGRING_SETUP_NUMA_NODE))
		return 0;
	nodes[node / (8 * sizeof(long))] = 1UL << node % (8 * sizeof(long));
	if (syscall(SYS_mbind, s->data, s->data_bytes, MPOL_BIND, nodes, 1024UL, 0U))
		return sgring_sim_complain(m, ERANGE, "no memory of NUMA node %u to be had", node);
	return 0;
}

static void *map_anonymous(size_t bytes, int prot, int flags)
{
	void *p = mmap(NULL, bytes, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Aligned, so that a huge page fits in wherever one could. */
static unsigned char *map_aligned(size_t bytes)
{
	unsigned char *all = map_anonymous(bytes + SGRING_SIM_HUGE_BYTES, PROT_READ | PROT_WRITE, 0);
	size_t before;

	if (!all)
		return NULL;
	before = (size_t)round_up((uintptr_t)all, SGRING_SIM_HUGE_BYTES) - (uintptr_t)all;
	if (before)
		munmap(all, before);
	munmap(all + before + bytes, SGRING_SIM_HUGE_BYTES - before);
	return all + before;
}

static int map_reserved(struct sgring_sim *s, struct sgring_sim_message *m)
{
	s->data = map_anonymous(s->data_bytes, PROT_READ | PROT_WRITE, MAP_HUGETLB | MAP_HUGE_2MB);
	if (s->data)
		return 0;
	return sgring_sim_complain(m, ENOMEM,
				   "pages=huge: %llu reserved pages of 2 MiB needed, %llu are free: raise vm.nr_hugepages, or pages=thp",
				   (unsigned long long)(s->data_bytes / SGRING_SIM_HUGE_BYTES),
				   (unsigned long long)number_in("/proc/meminfo", "HugePages_Free:", NULL));
}

/* Map it, and have it; the size of its pages, or -errno. */
static int64_t map_data(struct sgring_sim *s, u32 pages, struct sgring_sim_message *m)
{
	u64 page = sgring_sim_page(), at;
	int err;

	if (pages == SGRING_SIM_HUGE) {
		err = map_reserved(s, m);
		if (err)
			return err;
		page = SGRING_SIM_HUGE_BYTES;
	} else {
		s->data = map_aligned(s->data_bytes);
		if (!s->data)
			return -ENOMEM;
		madvise(s->data, s->data_bytes,
			pages == SGRING_SIM_4K ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	}
	madvise(s->data, s->data_bytes, MADV_DONTFORK);
	madvise(s->data, s->data_bytes, MADV_DONTDUMP);
	err = bind_node(s, m);
	if (err)
		return err;
	for (at = 0; at < s->data_bytes; at += page)
		*(volatile unsigned char *)(s->data + at) = 0;
	if (pages == SGRING_SIM_4K || pages == SGRING_SIM_HUGE)
		return (int64_t)page;
	if (is_huge(s->data, s->data_bytes))
		return SGRING_SIM_HUGE_BYTES;
	if (pages == SGRING_SIM_AUTO)
		return (int64_t)page;
	return sgring_sim_complain(m, ENOMEM,
				   "pages=thp: this kernel gives no transparent huge pages for %llu MiB (see /sys/kernel/mm/transparent_hugepage/enabled)",
				   (unsigned long long)(s->data_bytes >> 20));
}

/* Slots, and what they are made of: chunks of one size that lie in one page. */
int sgring_sim_memory_make(struct sgring_sim *s, struct sgring_sim_message *m)
{
	struct sgring_setup *u = &s->setup;
	struct sgring_limits limits = sgring_sim_limits(s);
	u32 slots = u->slot_count + sgring_sim_has_scratch(s), pages = s->options.pages;
	bool single = u->chunk_policy == SGRING_CHUNK_SINGLE;
	u64 bytes = s->stride * slots;
	int64_t page;

	if (bytes > sgring_sim_memory_max())
		return sgring_sim_complain(m, EDQUOT,
					   "%u slots of %llu bytes: over a quarter of this machine's memory, %llu MiB; fewer or smaller slots",
					   slots, (unsigned long long)s->stride,
					   (unsigned long long)sgring_sim_memory_max() >> 20);
	s->memory_bytes = bytes;
	/* Who asks for small chunks gets them. */
	if (pages == SGRING_SIM_AUTO && u->chunk_bytes == sgring_sim_page())
		pages = SGRING_SIM_4K;
	s->data_bytes = (size_t)round_up(s->memory_bytes, pages == SGRING_SIM_4K ?
					 sgring_sim_page() : SGRING_SIM_HUGE_BYTES);
	page = map_data(s, pages, m);
	if (page < 0) {
		sgring_sim_memory_free(s);
		return page != -ENOMEM || m->text[0] ? (int)page :
		       sgring_sim_complain(m, ENOMEM, "no memory for %u slots of %llu bytes; fewer or smaller slots",
					   slots, (unsigned long long)s->stride);
	}
	/* A slot begins at a multiple of its stride, so in the middle of a page, too. */
	s->chunk_bytes = min_of((u64)page, s->stride & -s->stride);
	if (u->chunk_bytes && u->chunk_bytes > s->chunk_bytes && u->chunk_policy == SGRING_CHUNK_EQUAL) {
		sgring_sim_memory_free(s);
		return sgring_sim_complain(m, ENOMEM,
					   "no simulated memory in chunks of %llu bytes for slots of %llu; at most %llu",
					   (unsigned long long)u->chunk_bytes,
					   (unsigned long long)u->slot_bytes,
					   (unsigned long long)s->chunk_bytes);
	}
	if (u->chunk_bytes)
		s->chunk_bytes = min_of(s->chunk_bytes, u->chunk_bytes);
	s->segments = single ? 1 : (u32)(sgring_plan_segments(s->chunk_bytes, &limits) *
					 (s->stride / s->chunk_bytes));
	if (limits.segments && s->segments > limits.segments) {
		sgring_sim_memory_free(s);
		return sgring_sim_complain(m, EMSGSIZE,
					   "slot of %llu bytes: the engine takes segments of at most %llu bytes in multiples of %u, at most %u of them (0: any); smaller slots, or single-segment ones",
					   (unsigned long long)u->slot_bytes,
					   (unsigned long long)limits.segment_bytes, limits.align,
					   limits.segments);
	}
	if (!single)
		u->chunk_bytes = s->chunk_bytes;
	return 0;
}

/**
 * struct kept - slots of a stream that is closed, for observers that have mapped them
 * @data, @bytes: where
 * @maps: how many have
 */
struct kept {
	struct kept *next;
	unsigned char *data;
	size_t bytes;
	unsigned int maps;
};

static pthread_mutex_t kept_lock = PTHREAD_MUTEX_INITIALIZER;
static struct kept *kept;

static bool keep(const struct sgring_sim *s)
{
	struct kept *k = s->data_maps ? malloc(sizeof(*k)) : NULL;

	if (!k)
		return false;
	pthread_mutex_lock(&kept_lock);
	*k = (struct kept){ kept, s->data, s->data_bytes, s->data_maps };
	kept = k;
	pthread_mutex_unlock(&kept_lock);
	return true;
}

bool sgring_sim_memory_put(const void *where)
{
	struct kept **p, *k;

	pthread_mutex_lock(&kept_lock);
	for (p = &kept; *p && (*p)->data != where; p = &(*p)->next)
		;
	k = *p;
	if (k && !--k->maps) {
		*p = k->next;
		munmap(k->data, k->bytes);
		free(k);
	}
	pthread_mutex_unlock(&kept_lock);
	return k;
}

void sgring_sim_memory_free(struct sgring_sim *s)
{
	if (s->data && !keep(s))
		munmap(s->data, s->data_bytes);
	s->data = NULL;
	s->data_maps = 0;
	s->memory_bytes = 0;
}

static u32 power_of_two(u32 n)
{
	u32 p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static void free_rings(struct sgring_rings *r, int memfd)
{
#ifdef __SANITIZE_THREAD__
	(void)r;
#else
	if (r->kernel)
		munmap(r->kernel, r->kernel_bytes);
	if (r->user)
		munmap(r->user, r->user_bytes);
#endif
	if (memfd >= 0)
		close(memfd);
}

/* As sgring_rings_alloc() lays them out. */
int sgring_sim_rings_make(struct sgring_sim *s)
{
	u32 slots = s->setup.slot_count, first = s->options.first_index;
	u64 page = sgring_sim_page(), table;
	struct sgring_rings r = {
		.sq_entries = power_of_two(slots),
		.cq_entries = power_of_two(slots + 1),
		.cq_producer = first,
		.sq_consumer = first,
	};
	void *kernel, *user;
	int memfd;

	table = page + round_up(r.cq_entries * sizeof(struct sgring_cqe), page);
	r.kernel_bytes = (size_t)(table + round_up(slots * sizeof(struct sgring_slot_info), page));
	r.user_bytes = (size_t)(page + round_up(r.sq_entries * sizeof(struct sgring_sqe), page));
	memfd = memfd_create("sgring-sim", MFD_CLOEXEC);
	if (memfd < 0 || ftruncate(memfd, (off_t)(r.kernel_bytes + r.user_bytes))) {
		free_rings(&r, memfd);
		return -ENOMEM;
	}
	kernel = mmap(NULL, r.kernel_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	r.kernel = kernel == MAP_FAILED ? NULL : kernel;
	user = mmap(NULL, r.user_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memfd,
		    (off_t)r.kernel_bytes);
	r.user = user == MAP_FAILED ? NULL : user;
	if (!r.kernel || !r.user) {
		free_rings(&r, memfd);
		return -ENOMEM;
	}
	madvise(r.kernel, r.kernel_bytes, MADV_DONTFORK);
	madvise(r.user, r.user_bytes, MADV_DONTFORK);
	r.cqes = (void *)((char *)kernel + page);
	r.table = (void *)((char *)kernel + table);
	r.sqes = (void *)((char *)r.user + page);
	r.kernel->cq_producer = r.kernel->sq_consumer = first;
	r.user->cq_consumer = r.user->sq_producer = first;
	s->rings = r;
	s->memfd = memfd;
	return 0;
}

/* What was mapped of the kernel side stays. */
void sgring_sim_rings_free(struct sgring_sim *s)
{
	if (s->rings.kernel)
		free_rings(&s->rings, s->memfd);
	s->rings = (struct sgring_rings){};
	s->memfd = -1;
}

int sgring_sim_rings_map(struct sgring_sim *s, bool user, void **where)
{
	const struct sgring_rings *r = &s->rings;
	void *p = user ? (void *)r->user : (void *)r->kernel;

	/* TSAN knows memory by its address: two mappings would hide who waits for whom. */
#ifndef __SANITIZE_THREAD__
	size_t bytes = user ? r->user_bytes : r->kernel_bytes;

	p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, s->memfd, user ? (off_t)r->kernel_bytes : 0);
	if (p == MAP_FAILED)
		return -errno;
	madvise(p, bytes, MADV_DONTFORK);
#endif
	*where = p;
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* sgring doctor: limits, memory, what the kernel can do, permissions. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <liburing.h>

#include "doctor.h"
#include "tool.h"
#include "world.h"

#define MIB (1ULL << 20)
#define FLIGHT_BYTES (16 * MIB)		/* a stream's default: 16 slots of 1 MiB */
#define LIMITS "/etc/security/limits.d/sgring.conf"
#define MEMLOCK_CURE "echo '@sgring - memlock unlimited' | sudo tee " LIMITS "  # then log in again"
/* What a notification that was not read yet takes of a socket's optmem: an skb with no data. */
#define NOTIFICATION_BYTES 768

#ifndef SO_ZEROCOPY
#define SO_ZEROCOPY 60
#endif
#define OP_SEND_ZC 47	/* of 6.1; not in every header */

static bool newer(const struct doctor *d, unsigned int major, unsigned int minor)
{
	return d->major > major || (d->major == major && d->minor >= minor);
}

static void look_at_memlock(const struct doctor *d)
{
	char *text = world_text(NULL, "/proc/self/limits"), line[128] = "";
	uint64_t bytes;
	char *end;

	if (!text || !line_of(text, "Max locked memory", line, sizeof(line))) {
		tell(LEVEL_UNSEEN, "memlock", NULL, "/proc/self/limits cannot be read");
	} else {
		bytes = strtoull(line, &end, 10);
		if (end == line)
			tell(LEVEL_OK, "memlock", NULL, "locked memory: unlimited");
		else if (d->capabilities >> CAP_IPC_LOCK & 1)
			tell(LEVEL_OK, "memlock", NULL, "locked memory: %s, but not for root",
			     size_words(bytes));
		else
			tell(bytes < FLIGHT_BYTES ? LEVEL_TROUBLE : LEVEL_OK, "memlock",
			     bytes >= FLIGHT_BYTES ? NULL :
			     world_has(LIMITS) ? "sudo usermod -aG sgring $USER  # then log in again" :
			     MEMLOCK_CURE,
			     "locked memory: %s; memory that is being sent without a copy counts, %s in a stream of default size",
			     size_words(bytes), size_words(FLIGHT_BYTES));
	}
	free(text);
}

static void look_at_optmem(void)
{
	uint64_t bytes;

	if (!world_number(&bytes, "/proc/sys/net/core/optmem_max"))
		tell(LEVEL_UNSEEN, "optmem", NULL, "net.core.optmem_max cannot be read");
	else
		tell(bytes < 16 * NOTIFICATION_BYTES ? LEVEL_TROUBLE : LEVEL_OK, "optmem",
		     bytes < 16 * NOTIFICATION_BYTES ? "sudo sysctl net.core.optmem_max=131072" : NULL,
		     "net.core.optmem_max is %llu: about %llu sends of a socket may be on their way without a copy",
		     (unsigned long long)bytes, (unsigned long long)bytes / NOTIFICATION_BYTES);
}

static void look_at_own_limits(const struct doctor *d)
{
	uint64_t stream_mb, total_mb;
	struct sgring_query q;
	struct sgring *s;
	struct names n;

	if (!world_number(&stream_mb, "/sys/module/sgring/parameters/limit_stream_mb") ||
	    !world_number(&total_mb, "/sys/module/sgring/parameters/limit_total_mb"))
		return;
	if (stream_mb && stream_mb < FLIGHT_BYTES / MIB)
		tell(LEVEL_TROUBLE, "limit_stream_mb",
		     "echo 0 | sudo tee /sys/module/sgring/parameters/limit_stream_mb",
		     "a stream may have %s, which is less than the default stream's %s",
		     size_words(stream_mb * MIB), size_words(FLIGHT_BYTES));
	if (!d->streams || !world_is_here() || !world_names(&n, "/sys/class/sgring"))
		return;
	if (n.count && !sgring_observe(&s, n.name[0])) {
		if (!sgring_query(s, &q))
			tell(q.total_bytes > q.total_bytes_max / 10 * 9 ? LEVEL_TROUBLE : LEVEL_OK,
			     "memory", q.total_bytes > q.total_bytes_max / 10 * 9 ?
			     "sgring list  # who has it; or a larger /sys/module/sgring/parameters/limit_total_mb" : NULL,
			     "streams have %s of at most %s; one may have %s", size_words(q.total_bytes),
			     size_words(q.total_bytes_max), size_words(q.stream_bytes_max));
		sgring_close(s);
	}
	names_free(&n);
}

void look_at_limits(const struct doctor *d)
{
	section("limits");
	look_at_memlock(d);
	look_at_optmem();
	look_at_own_limits(d);
}

/* Free memory in pieces: of the size of the largest, and of 1 MiB and more. */
static void look_at_pieces(void)
{
	char *text = world_text(NULL, "/proc/buddyinfo"), *line, *rest = text, *at, *end;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), large = 0, blocks;
	unsigned int order, most = 0;

	while ((line = strsep(&rest, "\n"))) {
		/* "Node 0, zone   Normal   1   1 ..." */
		at = strstr(line, "zone ");
		if (!at)
			continue;
		at += strcspn(at, " ");
		at += strspn(at, " ");
		at += strcspn(at, " ");
		for (order = 0; order < 32; order++, at = end) {
			blocks = strtoull(at, &end, 10);
			if (end == at)
				break;
			if (blocks && order > most)
				most = order;
			if (page << order >= MIB)
				large += blocks * (page << order);
		}
	}
	if (text)
		tell(large < FLIGHT_BYTES ? LEVEL_NOTE : LEVEL_OK, "pieces",
		     large < FLIGHT_BYTES ? "echo 1 | sudo tee /proc/sys/vm/compact_memory" : NULL,
		     "free memory: %s in pieces of 1 MiB and more, the largest %s%s", size_words(large),
		     size_words(page << most),
		     large < FLIGHT_BYTES ? ": slots will be made of small chunks" : "");
	free(text);
}

static void look_at_bounce(const struct doctor *d)
{
	char cmdline[4096];
	const char *at;
	uint64_t slots, used;

	world_line(cmdline, sizeof(cmdline), "/proc/cmdline");
	at = strstr(cmdline, "swiotlb=");
	if (at && memmem(at, strcspn(at, " "), "force", 5) && !memmem(at, strcspn(at, " "), "noforce", 7))
		tell(LEVEL_TROUBLE, "swiotlb",
		     "sudo sed -i 's/ *swiotlb=[^ \"]*//' /etc/default/grub && sudo update-grub  # then reboot",
		     "swiotlb=force on the kernel's command line: every transfer is copied");
	if (world_number(&slots, "/sys/kernel/debug/swiotlb/io_tlb_nslabs") &&
	    world_number(&used, "/sys/kernel/debug/swiotlb/io_tlb_used"))
		tell(used > slots / 10 * 9 ? LEVEL_TROUBLE : LEVEL_OK, "swiotlb_use",
		     used > slots / 10 * 9 ? "dmesg | grep -i swiotlb  # and boot with a larger swiotlb=" : NULL,
		     "bounce buffers: %s of %s in use", size_words(used * 2048), size_words(slots * 2048));
	else if (d->uid)
		tell(LEVEL_UNSEEN, "swiotlb_use", "sudo sgring doctor", "use of the bounce buffers: only root sees it");
}

void look_at_memory(const struct doctor *d)
{
	char text[128];
	struct utsname u;
	struct names n;

	section("memory");
	look_at_pieces();
	if (world_line(text, sizeof(text), "/sys/kernel/mm/transparent_hugepage/enabled"))
		tell(LEVEL_OK, "huge_pages", NULL,
		     "huge pages: none need be reserved; transparent ones (for sim: streams): %s", text);
	else
		tell(LEVEL_OK, "huge_pages", NULL,
		     "huge pages: none need be reserved; this kernel has no transparent ones");
	if (world_names(&n, "/sys/class/iommu") && n.count)
		tell(LEVEL_OK, "iommu", NULL, "IOMMU: %s%s; whose devices are behind it stands above",
		     n.name[0], n.count > 1 ? " and others" : "");
	else
		tell(LEVEL_OK, "iommu", NULL, "IOMMU: none in use");
	names_free(&n);
	look_at_bounce(d);
	if (world_is_here() && !uname(&u))
		tell(LEVEL_OK, "coherence", NULL,
		     strcmp(u.machine, "x86_64") ?
		     "caches: %s: coherent where the device tree says dma-coherent; elsewhere each slot is flushed" :
		     "caches: %s: coherent with DMA", u.machine);
}

/* The kernel's word on io_uring; 0: allowed, or it has none. */
static uint64_t uring_forbidden(void)
{
	uint64_t n = 0;

	world_number(&n, "/proc/sys/kernel/io_uring_disabled");
	return n;
}

static void look_at_uring(const struct doctor *d)
{
	const char *instead = "sends go by MSG_ZEROCOPY, records by pwrite(2)";
	uint64_t forbidden = uring_forbidden();
	struct io_uring_probe *probe;
	struct io_uring ring;
	int err;

	if (forbidden == 2 || (forbidden == 1 && !(d->capabilities >> CAP_SYS_ADMIN & 1))) {
		tell(LEVEL_TROUBLE, "io_uring", "sudo sysctl kernel.io_uring_disabled=0",
		     "io_uring: forbidden by kernel.io_uring_disabled=%llu: %s",
		     (unsigned long long)forbidden, instead);
		return;
	}
	if (!world_is_here()) {
		tell(LEVEL_UNSEEN, "io_uring", NULL, "io_uring: not forbidden; not tried, on another machine");
		return;
	}
	err = io_uring_queue_init(4, &ring, 0);
	if (err == -ENOMEM) {
		tell(LEVEL_TROUBLE, "io_uring", MEMLOCK_CURE, "io_uring: no memory may be locked for it: %s",
		     instead);
		return;
	}
	if (err) {
		tell(LEVEL_TROUBLE, "io_uring",
		     err == -ENOSYS ? "zgrep IO_URING /proc/config.gz /boot/config-$(uname -r)" :
		     "docker run --security-opt seccomp=unconfined ...  # or a profile that allows io_uring_setup",
		     err == -ENOSYS ? "io_uring: not in this kernel (%s): %s" :
		     "io_uring: refused (%s), perhaps by a container's filter: %s",
		     strerror(-err), instead);
		return;
	}
	probe = io_uring_get_probe_ring(&ring);
	tell(LEVEL_OK, "io_uring", NULL, "io_uring: works; sends without a copy (SEND_ZC): %s",
	     probe && io_uring_opcode_supported(probe, OP_SEND_ZC) ? "yes" :
	     "no, from 6.1 on: MSG_ZEROCOPY instead");
	io_uring_free_probe(probe);
	io_uring_queue_exit(&ring);
	tell(LEVEL_OK, "registered_buffers", NULL, "registered buffers of a stream's mapping: %s",
	     newer(d, 6, 12) ? "yes" : "no, from 6.12 on");
}

void look_at_kernel(const struct doctor *d)
{
	int fd, one = 1;

	section("sending without a copy");
	look_at_uring(d);
	if (!world_is_here())
		return;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)))
		tell(LEVEL_OK, "msg_zerocopy", NULL, "MSG_ZEROCOPY: works");
	else
		tell(LEVEL_TROUBLE, "msg_zerocopy", NULL,
		     "MSG_ZEROCOPY: %s: sends without io_uring are copies", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static bool is_in_group(const struct doctor *d, unsigned int gid)
{
	unsigned int i;

	for (i = 0; i < d->group_count; i++)
		if (d->groups[i] == gid)
			return true;
	return false;
}

static bool has_rule(void)
{
	static const char *const folders[] = {
		"/etc/udev/rules.d", "/run/udev/rules.d", "/usr/local/lib/udev/rules.d",
		"/usr/lib/udev/rules.d", "/lib/udev/rules.d",
	};
	size_t i;

	for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
		if (world_has("%s/60-sgring.rules", folders[i]))
			return true;
	return false;
}

/* The group's line of the file, or what the system knows beyond it. -1: there is none. */
static long group_of(const char *name)
{
	FILE *f = fopen(world_path("/etc/group"), "re");
	struct group *g = NULL;
	long gid = -1;

	while (f && (g = fgetgrent(f)))
		if (!strcmp(g->gr_name, name))
			break;
	if (!g && world_is_here())
		g = getgrnam(name);
	if (g)
		gid = g->gr_gid;
	if (f)
		fclose(f);
	return gid;
}

/* May this user read and write it? */
static bool may_use(const struct doctor *d, const struct stat *st)
{
	unsigned int shift = d->uid == st->st_uid ? 6 : is_in_group(d, st->st_gid) ? 3 : 0;

	return !d->uid || (st->st_mode >> shift & 6) == 6;
}

void look_at_permissions(const struct doctor *d)
{
	long gid = group_of("sgring");
	unsigned int denied = 0, open = 0;
	char last[64] = "";
	bool rule = has_rule();
	struct stat st;
	struct names n;
	size_t i;

	section("permission");
	if (gid < 0)
		tell(d->uid ? LEVEL_TROUBLE : LEVEL_NOTE, "group",
		     "sudo make install  # or: sudo groupadd --system sgring",
		     "there is no group sgring: only root may use streams");
	else if (!d->uid)
		tell(LEVEL_OK, "group", NULL, "the group sgring is there; root needs it not");
	else if (is_in_group(d, (unsigned int)gid))
		tell(LEVEL_OK, "group", NULL, "you are in the group sgring");
	else
		tell(LEVEL_TROUBLE, "group", "sudo usermod -aG sgring $USER  # then log in again",
		     "you are not in the group sgring, or not since this login");
	if (rule)
		tell(LEVEL_OK, "udev", NULL, "the udev rule is installed");
	else
		tell(LEVEL_NOTE, "udev", "sudo make install  # or: sudo install -m 644 tools/60-sgring.rules /etc/udev/rules.d && sudo udevadm control --reload",
		     "no udev rule 60-sgring.rules: device files are root's alone, and /dev/sgring/by-name is not there");
	if (!world_names(&n, "/sys/class/sgring"))
		return;
	for (i = 0; i < n.count; i++) {
		if (!world_stat(&st, "/dev/%s", n.name[i])) {
			tell(LEVEL_TROUBLE, n.name[i],
			     "sudo mknod /dev/$NAME c $(tr : ' ' </sys/class/sgring/$NAME/dev)  # NAME=sgring0; a container has none by itself",
			     "/dev/%s is not there", n.name[i]);
		} else if (may_use(d, &st)) {
			open++;
		} else {
			denied++;
			snprintf(last, sizeof(last), "%s", n.name[i]);
		}
	}
	if (denied)
		tell(LEVEL_TROUBLE, "devices", gid >= 0 && is_in_group(d, (unsigned int)gid) && rule ?
		     "sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=sgring" :
		     "sudo make install && sudo usermod -aG sgring $USER  # then log in again",
		     "you may not use %u of %zu streams (/dev/%s)", denied, n.count, last);
	else if (open)
		tell(LEVEL_OK, "devices", NULL, "you may use all streams");
	names_free(&n);
}

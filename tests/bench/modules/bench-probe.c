// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-probe: what a sending process costs, counted from outside: its system
 * calls, and the packets that its network device is given
 *
 * It sits on tracepoints and only counts. A packet tap would not do: the network
 * copies what is sent without a copy before it shows it to one.
 *
 * /sys/kernel/debug/bench-probe/
 *   watch     write the name of a network device: from now on the calling process
 *             and that device of its network namespace are counted
 *   mark      write anything: keep the counters as they are now; the write itself
 *             is not counted
 *   counters  the difference between the last two marks: "packets 123" and so on,
 *             then "call NUMBER COUNT" for each system call there was
 *
 *   packets       TCP packets with data, as given to the driver: before the NIC cuts
 *                 them into segments
 *   bare          packets without data, or not TCP
 *   busy          of all those, given again because the driver was busy
 *   bytes         of data
 *   fragments     that hold it, as the NIC has to gather them
 *   linear_bytes  data in the packet's own memory: copied there
 *   kernel_bytes  data in fragments whose pages no process maps: copied there
 *   plain_bytes   data in packets that are not marked as zero-copy: another view of
 *                 the two above, which says less where a packet has both
 */
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/ip.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/ptrace.h>
#include <linux/sched.h>
#include <linux/sched/task_stack.h>
#include <linux/seq_file.h>
#include <linux/tcp.h>
#include <linux/tracepoint.h>
#include <linux/uaccess.h>
#include <net/net_namespace.h>

#include <asm/syscall.h>

#define CALLS 512U	/* numbers; the last one counts whatever is beyond */

enum {
	PACKETS = CALLS,
	BARE,
	BUSY,
	BYTES,
	FRAGMENTS,
	LINEAR_BYTES,
	KERNEL_BYTES,
	PLAIN_BYTES,
	COUNTERS,
};

static const char * const names[] = {
	"packets", "bare", "busy", "bytes", "fragments", "linear_bytes", "kernel_bytes",
	"plain_bytes",
};

static_assert(ARRAY_SIZE(names) == COUNTERS - CALLS);

static DEFINE_MUTEX(lock);		/* marks, and who is watched */
static struct net_device *device;	/* held */
static pid_t process;
static atomic64_t live[COUNTERS];
static s64 marks[2][COUNTERS];
static struct dentry *dir;

/* ---- tracepoints ---- */

static void count(unsigned int what, s64 n)
{
	if (n)
		atomic64_add(n, &live[what]);
}

static void on_sys_enter(void *unused, struct pt_regs *regs, long number)
{
	if (current->tgid == READ_ONCE(process))
		count(min_t(unsigned long, number, CALLS - 1), 1);
}

/* 0: not TCP. */
static unsigned int headers_of(const struct sk_buff *skb)
{
	if (skb->protocol != htons(ETH_P_IP) || ip_hdr(skb)->protocol != IPPROTO_TCP)
		return 0;
	return skb_transport_offset(skb) + tcp_hdrlen(skb);
}

static void on_start_xmit(void *unused, const struct sk_buff *skb, const struct net_device *dev)
{
	const struct skb_shared_info *info = skb_shinfo(skb);
	unsigned int headers, i;
	s64 kernel = 0;

	if (dev != READ_ONCE(device))
		return;
	headers = headers_of(skb);
	if (!headers || skb->len <= headers) {
		count(BARE, 1);
		return;
	}
	for (i = 0; i < info->nr_frags; i++)
		if (!page_mapped(skb_frag_page(&info->frags[i])))
			kernel += skb_frag_size(&info->frags[i]);
	count(PACKETS, 1);
	count(BYTES, skb->len - headers);
	count(FRAGMENTS, info->nr_frags);
	count(LINEAR_BYTES, skb_headlen(skb) - headers);
	count(KERNEL_BYTES, kernel);
	if (!(info->flags & SKBFL_ZEROCOPY_ENABLE))
		count(PLAIN_BYTES, skb->len - headers);
}

static void on_xmit(void *unused, struct sk_buff *skb, int rc, struct net_device *dev,
		    unsigned int bytes)
{
	if (dev == READ_ONCE(device) && !dev_xmit_complete(rc))
		count(BUSY, 1);
}

static struct point {
	const char *name;
	void *function;
	struct tracepoint *point;
	bool attached;
} points[] = {
	{ .name = "sys_enter", .function = on_sys_enter },
	{ .name = "net_dev_start_xmit", .function = on_start_xmit },
	{ .name = "net_dev_xmit", .function = on_xmit },
};

static void look_up(struct tracepoint *point, void *unused)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(points); i++)
		if (!strcmp(point->name, points[i].name))
			points[i].point = point;
}

static void detach(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(points); i++)
		if (points[i].attached)
			tracepoint_probe_unregister(points[i].point, points[i].function, NULL);
	tracepoint_synchronize_unregister();
}

static int attach(void)
{
	unsigned int i;
	int ret;

	for_each_kernel_tracepoint(look_up, NULL);
	for (i = 0; i < ARRAY_SIZE(points); i++) {
		ret = -ENOENT;
		if (points[i].point)
			ret = tracepoint_probe_register(points[i].point, points[i].function, NULL);
		if (ret) {
			pr_err("bench-probe: no tracepoint %s\n", points[i].name);
			detach();
			return ret;
		}
		points[i].attached = true;
	}
	return 0;
}

/* ---- files ---- */

static void watch(pid_t tgid, struct net_device *dev)
{
	struct net_device *before = device;

	WRITE_ONCE(process, tgid);
	WRITE_ONCE(device, dev);
	if (before) {
		synchronize_rcu();
		dev_put(before);
	}
	memset(marks, 0, sizeof(marks));
}

static ssize_t watch_write(struct file *file, const char __user *text, size_t bytes, loff_t *at)
{
	struct net_device *dev;
	char name[IFNAMSIZ];

	if (bytes >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, text, bytes))
		return -EFAULT;
	name[bytes] = 0;
	dev = dev_get_by_name(current->nsproxy->net_ns, strim(name));
	if (!dev)
		return -ENODEV;
	mutex_lock(&lock);
	watch(current->tgid, dev);
	mutex_unlock(&lock);
	return bytes;
}

static ssize_t mark_write(struct file *file, const char __user *text, size_t bytes, loff_t *at)
{
	long number = syscall_get_nr(current, current_pt_regs());
	unsigned int i;

	mutex_lock(&lock);
	if (current->tgid == process)
		count(min_t(unsigned long, number, CALLS - 1), -1);
	memcpy(marks[0], marks[1], sizeof(marks[0]));
	for (i = 0; i < COUNTERS; i++)
		marks[1][i] = atomic64_read(&live[i]);
	mutex_unlock(&lock);
	return bytes;
}

static int counters_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	mutex_lock(&lock);
	for (i = CALLS; i < COUNTERS; i++)
		seq_printf(m, "%s %lld\n", names[i - CALLS], marks[1][i] - marks[0][i]);
	for (i = 0; i < CALLS; i++)
		if (marks[1][i] != marks[0][i])
			seq_printf(m, "call %u %lld\n", i, marks[1][i] - marks[0][i]);
	mutex_unlock(&lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

static const struct file_operations watch_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = watch_write,
};

static const struct file_operations mark_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = mark_write,
};

static int __init probe_init(void)
{
	int ret = attach();

	if (ret)
		return ret;
	dir = debugfs_create_dir("bench-probe", NULL);
	debugfs_create_file("watch", 0200, dir, NULL, &watch_fops);
	debugfs_create_file("mark", 0200, dir, NULL, &mark_fops);
	debugfs_create_file("counters", 0400, dir, NULL, &counters_fops);
	return 0;
}

static void __exit probe_exit(void)
{
	debugfs_remove_recursive(dir);
	detach();
	watch(0, NULL);
}

module_init(probe_init);
module_exit(probe_exit);
MODULE_DESCRIPTION("counts a process's system calls and its packets");
MODULE_LICENSE("GPL");

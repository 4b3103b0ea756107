// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-zero: what it costs to zero memory, and nothing else
 *
 * So that the part of a set-up that zeroing is can be told apart: the page
 * allocator zeroes each page by the same function, whatever the order.
 *
 * /sys/kernel/debug/bench-zero, in one open file: write a number of pages; they
 * are zeroed, 2 MiB at a time, again and again. Then read: "TICKS NS", by the
 * TSC and by the clock.
 */
#include <linux/debugfs.h>
#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <asm/msr.h>

#define ORDER	9

static DEFINE_MUTEX(lock);
static struct page *block;
static struct dentry *file;
static u64 ticks, nanoseconds;

static ssize_t zero_write(struct file *f, const char __user *text, size_t bytes, loff_t *at)
{
	u64 pages, i, begin_ns, begin;
	int ret;

	ret = kstrtou64_from_user(text, bytes, 0, &pages);
	if (ret)
		return ret;
	mutex_lock(&lock);
	begin_ns = ktime_get_ns();
	begin = rdtsc();
	for (i = 0; i < pages; i++) {
		clear_highpage(block + i % (1 << ORDER));
		if (!(i % (1 << ORDER)))
			cond_resched();
	}
	ticks = rdtsc() - begin;
	nanoseconds = ktime_get_ns() - begin_ns;
	mutex_unlock(&lock);
	return bytes;
}

static ssize_t zero_read(struct file *f, char __user *text, size_t bytes, loff_t *at)
{
	char line[48];
	int n;

	mutex_lock(&lock);
	n = scnprintf(line, sizeof(line), "%llu %llu\n", ticks, nanoseconds);
	mutex_unlock(&lock);
	return simple_read_from_buffer(text, bytes, at, line, n);
}

static const struct file_operations zero_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.read = zero_read,
	.write = zero_write,
};

static int __init zero_init(void)
{
	block = alloc_pages(GFP_KERNEL | __GFP_COMP, ORDER);
	if (!block)
		return -ENOMEM;
	file = debugfs_create_file("bench-zero", 0600, NULL, NULL, &zero_fops);
	return 0;
}

static void __exit zero_exit(void)
{
	debugfs_remove(file);
	__free_pages(block, ORDER);
}

module_init(zero_init);
module_exit(zero_exit);
MODULE_DESCRIPTION("what it costs to zero memory");
MODULE_LICENSE("GPL");

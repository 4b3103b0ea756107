// SPDX-License-Identifier: GPL-2.0-only
/* sgring: the fault attribute; see fault.h */
#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/err.h>

#include "fault.h"

struct fault_attr sgring_fault = FAULT_ATTR_INITIALIZER;
static struct dentry *directory;

/* Once, when the module comes. */
void sgring_fault_init(void)
{
	directory = fault_create_debugfs_attr("fail_sgring", NULL, &sgring_fault);
}

/* Once, when it goes. */
void sgring_fault_exit(void)
{
	if (IS_ERR(directory))
		return;
	debugfs_remove_recursive(directory);
	dput(sgring_fault.dname);
}

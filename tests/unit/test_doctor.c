// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * sgring doctor, the program, before made-up machines: a tree of files that is well, from which each
 * test takes or changes what makes its trouble.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROOT FOLDER "/doctor"
#define TREE ROOT "/proc/device-tree"

static char out[1 << 18];

static void command(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void command(const char *format, ...)
{
	char line[1024];
	va_list a;

	va_start(a, format);
	vsnprintf(line, sizeof(line), format, a);
	va_end(a);
	if (system(line))
		fail_msg("%s", line);
}

/* A file with its folders, below the root. */
static void put_bytes(const char *path, const void *bytes, size_t n)
{
	char name[512], *at;
	FILE *f;

	snprintf(name, sizeof(name), ROOT "%s", path);
	for (at = name + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = 0;
		mkdir(name, 0755);
	}
	f = fopen(name, "w");
	if (!f || fwrite(bytes, 1, n, f) != n || fclose(f))
		fail_msg("%s: %s", name, strerror(errno));
}

static void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

/* Of the device tree: a string with its zero; cells. */
static void put_word(const char *path, const char *text)
{
	char name[256];

	snprintf(name, sizeof(name), "/proc/device-tree%s", path);
	put_bytes(name, text, strlen(text) + 1);
}

static void put_cells(const char *path, const uint32_t *c, size_t n)
{
	unsigned char bytes[64];
	char name[256];
	size_t i;

	for (i = 0; i < n; i++) {
		bytes[4 * i] = (unsigned char)(c[i] >> 24);
		bytes[4 * i + 1] = (unsigned char)(c[i] >> 16);
		bytes[4 * i + 2] = (unsigned char)(c[i] >> 8);
		bytes[4 * i + 3] = (unsigned char)c[i];
	}
	snprintf(name, sizeof(name), "/proc/device-tree%s", path);
	put_bytes(name, bytes, 4 * n);
}
#define PUT_CELLS(path, ...) \
	put_cells(path, (uint32_t []){ __VA_ARGS__ }, sizeof((uint32_t []){ __VA_ARGS__ }) / 4)

static void take(const char *path)
{
	command("rm -rf '" ROOT "%s'", path);
}

static void link_to(const char *to, const char *path)
{
	char name[512];

	snprintf(name, sizeof(name), ROOT "%s", path);
	assert_int_equal(symlink(to, name), 0);
}

/* A user of the group, a driver with a stream of each state, an engine with two channels. */
static int healthy(void **state)
{
	char text[512];

	(void)state;
	command("rm -rf " ROOT);
	put("/proc/sys/kernel/osrelease", "6.12.1-test\n");
	snprintf(text, sizeof(text),
		 "Name:\tsgring\nUid:\t70001\t70001\t70001\t70001\nGid:\t70001\t70001\t70001\t70001\n"
		 "Groups:\t27 %u 70001\nCapEff:\t0000000000000000\n", getgid());
	put("/proc/self/status", text);
	put("/proc/self/limits", "Limit   Soft Limit   Hard Limit   Units\n"
	    "Max locked memory         67108864             67108864             bytes\n");
	put("/proc/sys/net/core/optmem_max", "131072\n");
	put("/proc/cmdline", "quiet root=/dev/sda1\n");
	put("/proc/buddyinfo", "Node 0, zone      DMA      0      0      0      0      0      0      0      0      1      1      2\n"
			       "Node 0, zone   Normal      1      2      3      4      5      6      7      8      9     10    100\n");
	put("/proc/1234/comm", "recorder\n");
	put("/sys/module/sgring/version", "1.0.0\n");
	put("/sys/module/sgring/parameters/limit_stream_mb", "0\n");
	put("/sys/module/sgring/parameters/limit_total_mb", "0\n");
	put("/sys/class/sgring/sgring0/label", "rx0\n");
	put("/sys/class/sgring/sgring0/abi_version", "1\n");
	put("/sys/class/sgring/sgring0/state", "running\n");
	put("/sys/class/sgring/sgring0/owner_pid", "1234\n");
	put("/sys/class/sgring/sgring0/refused", "0\n");
	put("/sys/class/sgring/sgring0/refused_last", "\n");
	put("/dev/sgring0", "");
	command("chmod 660 " ROOT "/dev/sgring0");
	snprintf(text, sizeof(text), "root:x:0:\nsgring:x:%u:alice\n", getgid());
	put("/etc/group", text);
	put("/lib/udev/rules.d/60-sgring.rules", "");
	put("/sys/devices/40400000.dma/x", "");
	put("/sys/bus/platform/drivers/xilinx-vdma/x", "");
	put("/sys/class/dma/dma0chan0/in_use", "1\n");
	put("/sys/class/dma/dma0chan1/in_use", "0\n");
	link_to("../../../devices/40400000.dma", "/sys/class/dma/dma0chan0/device");
	link_to("../../bus/platform/drivers/xilinx-vdma", "/sys/devices/40400000.dma/driver");
	put("/sys/kernel/debug/dmaengine/summary",
	    "dma0 (40400000.dma): number of channels: 2\n dma0chan0    | rx0:rx\n");
	put("/sys/kernel/debug/devices_deferred", "");
	return 0;
}

/* Runs it; the exit code is @code. */
static void doctor(int code, const char *arguments)
{
	char line[512];
	size_t n;
	int rc;
	FILE *f;

	snprintf(line, sizeof(line), TOOL " doctor --root " ROOT " %s 2>&1", arguments);
	f = popen(line, "r");
	assert_non_null(f);
	n = fread(out, 1, sizeof(out) - 1, f);
	out[n] = 0;
	rc = pclose(f);
	if (!WIFEXITED(rc) || WEXITSTATUS(rc) != code)
		fail_msg("it ended with %#x, not %d: %s", rc, code, out);
}

static void says(const char *text)
{
	if (!strstr(out, text))
		fail_msg("not there: %s\n%s", text, out);
}

static void says_not(const char *text)
{
	if (strstr(out, text))
		fail_msg("there: %s\n%s", text, out);
}

/* One trouble, with this text and this cure. */
static void troubled(const char *text, const char *cure)
{
	doctor(2, "");
	says(text);
	says(cure);
	says("\n1 trouble, ");
}

static void a_healthy_machine_has_no_trouble(void **state)
{
	(void)state;
	doctor(0, "");
	says_not("  trouble ");
	says("sgring0 (rx0): running, held by recorder (1234)");
	says("version 1.0.0");
	says("ABI 1: ");
	says("40400000.dma (xilinx-vdma): 1 of 2 channels in use, no IOMMU");
	says("dma0chan0: held by rx0:rx");
	says_not("dma0chan1:");
	says("no driver waits for another");
	says("locked memory: 64 MiB");
	says("you are in the group sgring");
	says("you may use all streams");
	says("the largest 4 MiB");
	says("all is well");
	says_not("\033");
	doctor(0, "--json");
	says("\"trouble\": 0, ");
	says("{ \"section\": \"driver\", \"about\": \"sgring0\", \"level\": \"ok\", ");
}

static void what_only_root_sees_is_unseen(void **state)
{
	(void)state;
	take("/sys/kernel/debug");
	doctor(0, "");
	says("  unseen   who holds each channel");
	says("dma0chan0: in use");
	says("  unseen   deferred probes");
	says("           sudo sgring doctor\n");
	says("all is well, as far as can be seen\n4 things could not be seen\n");
}

static void a_missing_module_is_told_where_it_is(void **state)
{
	(void)state;
	take("/sys/module/sgring");
	take("/sys/class/sgring");
	troubled("the module sgring is not loaded", "sudo apt-get install linux-headers-$(uname -r)\n");
	put("/lib/modules/6.12.1-test/build/x", "");
	troubled("the module sgring is not loaded", "           make modules KDIR=");
	says_not("linux-headers");
	/* Not somebody else's, and not one it is only part of. */
	put("/lib/modules/6.12.1-test/modules.dep", "extra/mysgring.ko: x/sgring-dummy.ko\n");
	troubled("not loaded", "make modules");
	put("/lib/modules/6.12.1-test/modules.dep", "a.ko:\nextra/sgring.ko.xz: a.ko\n");
	troubled("the module sgring is not loaded", "           sudo modprobe sgring\n");
}

static void a_module_without_streams(void **state)
{
	(void)state;
	take("/sys/class/sgring/sgring0");
	troubled("no stream: no device is bound", "insmod build/modules/kdir/kernel/dummy/sgring-dummy.ko");
	put("/lib/modules/6.12.1-test/modules.dep", "extra/sgring-dummy.ko: extra/sgring.ko\n");
	troubled("no stream", "           sudo modprobe sgring-dummy\n");
}

static void another_abi_and_an_old_kernel(void **state)
{
	(void)state;
	put("/sys/class/sgring/sgring0/abi_version", "2\n");
	troubled("the module has ABI 2, this tool 1", "make && sudo make install");
	put("/sys/class/sgring/sgring0/abi_version", "0\n");
	troubled("the module has ABI 0, this tool 1", "sudo rmmod");
	put("/sys/class/sgring/sgring0/abi_version", "1\n");
	put("/proc/sys/kernel/osrelease", "5.9.16\n");
	troubled("kernel 5.9.16 is too old", "apt-get install");
	put("/proc/sys/kernel/osrelease", "5.10.0\n");
	doctor(0, "");
}

static void streams_tell_what_they_refused(void **state)
{
	(void)state;
	put("/sys/class/sgring/sgring0/refused", "3\n");
	put("/sys/class/sgring/sgring0/refused_last", "-EMSGSIZE slot of 8 MiB\033[2J\n");
	doctor(0, "");
	says("sgring0: refused 3 times, the last: -EMSGSIZE slot of 8 MiB?[2J");
	/* In their order; these two have no device file. */
	put("/sys/class/sgring/sgring10/label", "b\n");
	put("/sys/class/sgring/sgring9/label", "a\n");
	doctor(2, "");
	says("sgring9 (a)");
	assert_true(strstr(out, "sgring9 (a)") < strstr(out, "sgring10 (b)"));
	put("/sys/class/sgring/sgring0/state", "dead\n");
	doctor(2, "");
	says("its device is gone");
}

static void no_dmaengine_and_no_channels(void **state)
{
	(void)state;
	take("/sys/class/dma/dma0chan0");
	take("/sys/class/dma/dma0chan1");
	doctor(0, "");
	says("  note     no DMA engine has a driver here");
	take("/sys/class/sgring/sgring0");
	doctor(2, "");
	says("  trouble  no DMA engine has a driver here");
	healthy(state);
	take("/sys/class/dma");
	troubled("has no dmaengine", "linux-image-amd64");
}

static void channels_that_are_all_taken_and_an_iommu(void **state)
{
	(void)state;
	put("/sys/class/dma/dma0chan1/in_use", "1\n");
	put("/sys/class/dma/dma1chan0/in_use", "0\n");
	put("/sys/kernel/iommu_groups/7/type", "DMA-FQ\n");
	link_to("../../kernel/iommu_groups/7", "/sys/devices/40400000.dma/iommu_group");
	doctor(0, "");
	says("  note     40400000.dma (xilinx-vdma): 2 of 2 channels in use, behind an IOMMU, type DMA-FQ");
	says("dma1chan0: 0 of 1 channels in use");
}

static void drivers_that_wait_and_for_what(void **state)
{
	(void)state;
	put("/sys/kernel/debug/devices_deferred",
	    "adc@0\tplatform: supplier 40400000.dma not ready\nfifo\t\n");
	doctor(2, "");
	says("adc@0: its driver waits: platform: supplier 40400000.dma not ready");
	says("sudo modprobe $(cat /sys/bus/platform/devices/40400000.dma/modalias)");
	says("fifo: its driver waits: nobody says for what");
	says("dmesg | grep fifo");
	says("2 troubles, ");
}

#define LOCKED(n) put("/proc/self/limits", "Max locked memory         " n "              " n "              bytes\n")

static void little_memory_may_be_locked(void **state)
{
	(void)state;
	LOCKED("8388608");
	troubled("locked memory: 8 MiB", "@sgring - memlock unlimited");
	put("/etc/security/limits.d/sgring.conf", "");
	troubled("locked memory: 8 MiB", "usermod -aG sgring");
	put("/proc/self/limits", "Max locked memory         unlimited            unlimited            bytes\n");
	doctor(0, "");
	says("locked memory: unlimited");
	/* CAP_IPC_LOCK. */
	LOCKED("65536");
	put("/proc/self/status", "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t\nCapEff:\t0000000000004000\n");
	doctor(0, "");
	says("but not for root");
	take("/proc/self/limits");
	doctor(0, "");
	says("  unseen   /proc/self/limits");
}

static void little_optmem_and_a_low_limit(void **state)
{
	(void)state;
	put("/proc/sys/net/core/optmem_max", "4096\n");
	troubled("net.core.optmem_max is 4096: about 5 sends", "sysctl net.core.optmem_max=131072");
	put("/proc/sys/net/core/optmem_max", "20480\n");
	put("/sys/module/sgring/parameters/limit_stream_mb", "4\n");
	troubled("a stream may have 4 MiB", "limit_stream_mb");
}

static void bounce_buffers_and_broken_memory(void **state)
{
	(void)state;
	put("/proc/cmdline", "quiet swiotlb=65536,force root=/dev/sda1\n");
	troubled("every transfer is copied", "/etc/default/grub");
	put("/proc/cmdline", "quiet swiotlb=noforce x=force\n");
	put("/sys/kernel/debug/swiotlb/io_tlb_nslabs", "32768\n");
	put("/sys/kernel/debug/swiotlb/io_tlb_used", "32000\n");
	troubled("bounce buffers: 62.5 MiB of 64 MiB in use", "dmesg | grep -i swiotlb");
	put("/sys/kernel/debug/swiotlb/io_tlb_used", "0\n");
	put("/proc/buddyinfo", "Node 0, zone   Normal      1      2      3      0      0      0      0      0      1\n"
			       "Node 0, zone   Movable      9\n");
	doctor(0, "");
	says("  note     free memory: 1 MiB in pieces of 1 MiB and more, the largest 1 MiB: slots will be made of small chunks");
	says("compact_memory");
}

static void io_uring_that_is_forbidden(void **state)
{
	(void)state;
	put("/proc/sys/kernel/io_uring_disabled", "2\n");
	troubled("forbidden by kernel.io_uring_disabled=2", "sysctl kernel.io_uring_disabled=0");
	put("/proc/sys/kernel/io_uring_disabled", "1\n");
	troubled("forbidden by kernel.io_uring_disabled=1", "sysctl kernel.io_uring_disabled=0");
	put("/proc/sys/kernel/io_uring_disabled", "0\n");
	doctor(0, "");
}

static void a_user_without_permission(void **state)
{
	char text[128];

	(void)state;
	put("/proc/self/status", "Uid:\t70001\t70001\t70001\t70001\nGid:\t70001\t70001\t70001\t70001\nGroups:\t27\nCapEff:\t0000000000000000\n");
	doctor(2, "");
	says("you are not in the group sgring");
	says("sudo usermod -aG sgring $USER");
	says("you may not use 1 of 1 streams (/dev/sgring0)");
	put("/etc/group", "root:x:0:\n");
	doctor(2, "");
	says("there is no group sgring");
	/* In the group, with the rule, but the device file is not. */
	healthy(state);
	command("chmod 600 " ROOT "/dev/sgring0");
	troubled("you may not use 1 of 1 streams", "udevadm trigger --subsystem-match=sgring");
	take("/lib/udev/rules.d/60-sgring.rules");
	doctor(2, "");
	says("  note     no udev rule");
	healthy(state);
	take("/dev/sgring0");
	troubled("/dev/sgring0 is not there", "sudo mknod");
	/* Its owner's bits are what counts for its owner. */
	healthy(state);
	snprintf(text, sizeof(text), "Uid:\t%u\t%u\t0\t0\nGid:\t7\t7\t7\t7\nGroups:\t%u\nCapEff:\t0\n",
		 getuid(), getuid(), getgid());
	put("/proc/self/status", text);
	doctor(0, "");
}

/* A Zynq with AXI DMA, a PL330, and somebody who uses it. */
static void a_device_tree(void)
{
	PUT_CELLS("/amba/#address-cells", 1);
	PUT_CELLS("/amba/#size-cells", 1);
	put_word("/amba/dma@40400000/compatible", "xlnx,axi-dma-1.00.a");
	PUT_CELLS("/amba/dma@40400000/#dma-cells", 1);
	PUT_CELLS("/amba/dma@40400000/phandle", 5);
	put_word("/amba/dma@40400000/dma-channel@40400030/compatible", "xlnx,axi-dma-s2mm-channel");
	put_bytes("/proc/device-tree/amba/dmac@f8003000/compatible", "arm,pl330\0arm,primecell", 24);
	PUT_CELLS("/amba/dmac@f8003000/#dma-cells", 1);
	PUT_CELLS("/amba/dmac@f8003000/phandle", 6);
	put_bytes("/proc/device-tree/amba/dmac@f8003000/dma-coherent", "", 0);
	PUT_CELLS("/amba/spi@1/dmas", 6, 3, 6, 4);
	put_word("/amba/spi@1/compatible", "x,spi");
}

static void a_node_is_filled_in(void **state)
{
	(void)state;
	a_device_tree();
	doctor(0, "--device-tree " TREE);
	says("/amba/dma@40400000 (xlnx,axi-dma-1.00.a): used by 0 nodes; not dma-coherent");
	says("/amba/dmac@f8003000 (arm,pl330): used by 2 nodes; coherent");
	says("           fifo-rx0 {\n"
	     "           \tcompatible = \"sgring,fifo\";\n"
	     "           \tdmas = <&{/amba/dma@40400000} 1>;");
	says("           fifo-rx0@0 {\n");
	says("reg = <0x0 0x4>;");
	says("dmas = <&{/amba/dmac@f8003000} 0>;");
	/* By its label, several cells, the cells of its bus, and a label that is free. */
	put_word("/__symbols__/axi_dma", "/amba/dma@40400000");
	PUT_CELLS("/amba/dmac@f8003000/#dma-cells", 3);
	PUT_CELLS("/amba/#address-cells", 2);
	put_word("/amba/fifo/compatible", "sgring,fifo");
	put_word("/amba/fifo/label", "rx0");
	put_word("/amba/fifo/dma-names", "rx");
	PUT_CELLS("/amba/fifo/dmas", 6, 1, 2, 3);
	doctor(0, "--device-tree " TREE);
	says("dmas = <&axi_dma 1>;");
	says("label = \"rx1\";");
	says("/amba/fifo (sgring,fifo), rx0 streams over /amba/dmac@f8003000");
	says_not("dmac@f8003000} 0");
	take("/proc/device-tree/amba/fifo");
	doctor(0, "--device-tree " TREE);
	says("dmas = <&{/amba/dmac@f8003000} 0 0 0>;");
	says("reg = <0x0 0x0 0x4>;");
	/* An entry is as long as the one it names says. */
	PUT_CELLS("/amba/spi@1/dmas", 6, 3, 0, 0, 5, 1);
	doctor(0, "--device-tree " TREE);
	says("/amba/dma@40400000 (xlnx,axi-dma-1.00.a): used by 1 node;");
}

static void controllers_with_trouble(void **state)
{
	(void)state;
	a_device_tree();
	/* This machine's own tree: the engines have no driver. */
	doctor(2, "");
	says("/amba/dma@40400000 has no driver");
	says("sudo modprobe xilinx_dma");
	says("sudo modprobe pl330");
	put("/sys/firmware/devicetree/base/amba/dma@40400000/x", "");
	link_to("../../firmware/devicetree/base/amba/dma@40400000", "/sys/devices/40400000.dma/of_node");
	doctor(2, "");
	says_not("/amba/dma@40400000 has no driver");
	says("\n1 trouble, ");
	put_word("/amba/dmac@f8003000/status", "disabled");
	doctor(0, "");
	says("  note     /amba/dmac@f8003000 (arm,pl330) is disabled");
	says("&{/amba/dmac@f8003000} { status = \"okay\"; };");
	PUT_CELLS("/amba/dma@40400000/xlnx,sg-length-width", 14);
	take("/proc/device-tree/amba/dma@40400000/phandle");
	doctor(0, "");
	says("  note     /amba/dma@40400000 takes transfers, so slots, of at most 16383 bytes");
	says("has no phandle");
	take("/proc/device-tree/amba/dma@40400000/dma-channel@40400030");
	doctor(0, "");
	says("has no S2MM channel: it cannot capture");
	says_not("dmas =");
}

static void a_fifo_node(void)
{
	healthy(NULL);
	a_device_tree();
	put_word("/amba/fifo/compatible", "sgring,fifo");
	put_word("/amba/fifo/dma-names", "rx");
	PUT_CELLS("/amba/fifo/dmas", 5, 1);
}

/* The fault, put there by the caller, in the tree of another machine. */
static void fifo_troubled(const char *text, const char *cure)
{
	doctor(2, "--device-tree " TREE);
	says(text);
	says(cure);
	says("\n1 trouble, ");
	a_fifo_node();
}

static void fifo_nodes_with_trouble(void **state)
{
	(void)state;
	a_fifo_node();
	doctor(0, "--device-tree " TREE);
	take("/proc/device-tree/amba/fifo/dmas");
	fifo_troubled("has no dmas", "dmas = <&controller 0>;");
	PUT_CELLS("/amba/fifo/dmas", 99, 1);
	fifo_troubled("dmas names phandle 0x63, which is no DMA controller", "dmas = <&controller 0>;");
	PUT_CELLS("/amba/fifo/dmas", 5);
	fifo_troubled("dmas has 0 cells behind the phandle, /amba/dma@40400000 takes 1",
		      "dmas = <&{/amba/dma@40400000} 0>;");
	take("/proc/device-tree/amba/fifo/dma-names");
	fifo_troubled("has no dma-names \"rx\"", "dma-names = \"rx\";");
	put_word("/amba/fifo/label", "a b");
	fifo_troubled("label \"a b\" is not", "label = \"rx0\";");
	PUT_CELLS("/amba/fifo/reg-io-width", 3);
	fifo_troubled("reg-io-width 3 is none of", "reg-io-width = <4>;");
	put_word("/amba/dma@40400000/status", "disabled");
	fifo_troubled("waits for /amba/dma@40400000, which is disabled", "{ status = \"okay\"; };");
	/* On this machine its driver is looked for, too. */
	doctor(2, "");
	says("the module sgring-fifo is not loaded");
	says("sudo modprobe sgring-fifo");
	put("/sys/bus/platform/drivers/sgring-fifo/x", "");
	doctor(2, "");
	says_not("sgring-fifo is not loaded");
}

/* Cut, looping and hostile properties: no crash, and no claim of health that is none. */
static void trees_that_are_broken(void **state)
{
	char deep[400] = "";
	int i;

	(void)state;
	a_fifo_node();
	put_bytes("/proc/device-tree/amba/fifo/dmas", "\0\0", 2);
	put_bytes("/proc/device-tree/amba/dmac@f8003000/#dma-cells", "\377\377\377\377", 4);
	put_bytes("/proc/device-tree/amba/dmac@f8003000/compatible", "arm,pl330", 9);
	put_bytes("/proc/device-tree/amba/dma@40400000/phandle", "\0", 1);
	put_bytes("/proc/device-tree/amba/#address-cells", "\377\377\377\377", 4);
	PUT_CELLS("/amba/spi@1/dmas", 6, 0xffffffff, 0xffffffff);
	for (i = 0; i < 60; i++)
		strcat(deep, "/a");
	strcat(deep, "/#dma-cells");
	PUT_CELLS(deep, 1);
	doctor(2, "--device-tree " TREE);
	says("/amba/fifo (sgring,fifo) has no dmas");
	doctor(1, "--device-tree " ROOT "/nowhere");
	says("is no device tree's folder");
	take("/proc");
	doctor(1, "");
	says("/proc cannot be read");
	doctor(1, "one argument");
	doctor(0, "--help");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_healthy_machine_has_no_trouble, healthy),
		cmocka_unit_test_setup(what_only_root_sees_is_unseen, healthy),
		cmocka_unit_test_setup(a_missing_module_is_told_where_it_is, healthy),
		cmocka_unit_test_setup(a_module_without_streams, healthy),
		cmocka_unit_test_setup(another_abi_and_an_old_kernel, healthy),
		cmocka_unit_test_setup(streams_tell_what_they_refused, healthy),
		cmocka_unit_test_setup(no_dmaengine_and_no_channels, healthy),
		cmocka_unit_test_setup(channels_that_are_all_taken_and_an_iommu, healthy),
		cmocka_unit_test_setup(drivers_that_wait_and_for_what, healthy),
		cmocka_unit_test_setup(little_memory_may_be_locked, healthy),
		cmocka_unit_test_setup(little_optmem_and_a_low_limit, healthy),
		cmocka_unit_test_setup(bounce_buffers_and_broken_memory, healthy),
		cmocka_unit_test_setup(io_uring_that_is_forbidden, healthy),
		cmocka_unit_test_setup(a_user_without_permission, healthy),
		cmocka_unit_test_setup(a_node_is_filled_in, healthy),
		cmocka_unit_test_setup(controllers_with_trouble, healthy),
		cmocka_unit_test_setup(fifo_nodes_with_trouble, healthy),
		cmocka_unit_test_setup(trees_that_are_broken, healthy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

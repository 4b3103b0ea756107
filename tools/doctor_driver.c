/* SPDX-License-Identifier: MIT */
/* sgring doctor: the driver and its streams, DMA engines and who has their channels, who waits. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"
#include "tool.h"
#include "world.h"

#define BUILD "make modules KDIR=/lib/modules/$(uname -r)/build && sudo insmod build/modules/kdir/kernel/sgring.ko"

/* Is a module of that file name installed for this kernel? */
static bool is_installed(const struct doctor *d, const char *file)
{
	char *deps = world_text(NULL, "/lib/modules/%s/modules.dep", d->release), *at;
	bool there = false;
	size_t n = strlen(file);

	for (at = deps; at && (at = strstr(at, file)); at += n)
		/* .../sgring.ko.xz: ... */
		there |= at > deps && at[-1] == '/' && !strncmp(at + n, ".ko", 3);
	free(deps);
	return there;
}

static void look_for_module(const struct doctor *d)
{
	char version[64] = "";
	const char *cure = BUILD;

	if (d->major < 5 || (d->major == 5 && d->minor < 10))
		tell(LEVEL_TROUBLE, "kernel", "sudo apt-get install linux-image-amd64",
		     "kernel %s is too old: sgring builds from 5.10 on", d->release);
	if (!world_has("/sys/module/sgring") && !world_has("/sys/class/sgring")) {
		if (is_installed(d, "sgring"))
			cure = "sudo modprobe sgring";
		else if (!world_has("/lib/modules/%s/build", d->release))
			cure = "sudo apt-get install linux-headers-$(uname -r)\n" BUILD;
		tell(LEVEL_TROUBLE, "module", cure, "the module sgring is not loaded");
		return;
	}
	if (world_line(version, sizeof(version), "/sys/module/sgring/version"))
		tell(LEVEL_OK, "module", NULL, "the module sgring is loaded, version %s", version);
	else
		tell(LEVEL_OK, "module", NULL, "sgring is there");
}

/* What the kernel speaks, as the stream says. */
static void look_at_abi(const char *name)
{
	struct sgring_query q = { 0 };
	struct sgring *s;
	uint64_t abi;

	if (!world_number(&abi, "/sys/class/sgring/%s/abi_version", name)) {
		if (!world_is_here() || sgring_observe(&s, name))
			return;
		if (!sgring_query(s, &q))
			abi = q.abi_version;
		sgring_close(s);
		if (!q.abi_version)
			return;
	}
	if (abi == SGRING_ABI_VERSION)
		tell(LEVEL_OK, "abi", NULL, "ABI %u: the module's and this tool's", SGRING_ABI_VERSION);
	else
		tell(LEVEL_TROUBLE, "abi",
		     abi < SGRING_ABI_VERSION ?
		     "sudo rmmod sgring-dummy sgring-fifo sgring; " BUILD :
		     "make && sudo make install",
		     "the module has ABI %llu, this tool %u: they are not of the same age",
		     (unsigned long long)abi, SGRING_ABI_VERSION);
}

static void look_at_stream(const char *name)
{
	char label[64], state[32] = "", last[256];
	uint64_t owner = 0, refused;

	world_line(label, sizeof(label), "/sys/class/sgring/%s/label", name);
	world_line(state, sizeof(state), "/sys/class/sgring/%s/state", name);
	world_number(&owner, "/sys/class/sgring/%s/owner_pid", name);
	if (!strcmp(state, "dead"))
		tell(LEVEL_TROUBLE, name, NULL, "%s (%s): its device is gone", name, label);
	else if (owner)
		tell(LEVEL_OK, name, NULL, "%s (%s): %s, held by %s", name, label, state,
		     process_words((unsigned int)owner));
	else
		tell(LEVEL_OK, name, NULL, "%s (%s)%s%s", name, label[0] ? label : "no label",
		     state[0] ? ": " : "", state);
	if (world_number(&refused, "/sys/class/sgring/%s/refused", name) && refused &&
	    world_line(last, sizeof(last), "/sys/class/sgring/%s/refused_last", name))
		tell(LEVEL_NOTE, name, NULL, "%s: refused %llu time%s, the last: %s", name,
		     (unsigned long long)refused, refused > 1 ? "s" : "", last);
}

void look_at_driver(struct doctor *d)
{
	struct names n;
	size_t i;

	section("driver");
	look_for_module(d);
	if (!world_names(&n, "/sys/class/sgring"))
		return;
	d->streams = (unsigned int)n.count;
	if (n.count)
		look_at_abi(n.name[0]);
	for (i = 0; i < n.count; i++)
		look_at_stream(n.name[i]);
	if (!n.count)
		tell(LEVEL_TROUBLE, "streams",
		     is_installed(d, "sgring-dummy") ? "sudo modprobe sgring-dummy" :
		     "sudo insmod build/modules/kdir/kernel/dummy/sgring-dummy.ko",
		     "no stream: no device is bound to the driver (a device-tree node, or a driver of yours; to try it without hardware, the dummy)");
	names_free(&n);
}

/* "held by X", from the summary, a line " dma0chan0    | X"; one buffer. */
static const char *holder(const char *summary, const char *channel)
{
	static char words[160];
	char key[64], line[128];
	const char *by;

	snprintf(key, sizeof(key), " %s ", channel);
	if (!summary || !line_of(summary, key, line, sizeof(line)))
		return "in use";
	by = line + strspn(line, "| ");
	snprintf(words, sizeof(words), "held by %s", by);
	return words;
}

static void look_at_provider(const char *channel, unsigned int channels, unsigned int used)
{
	char device[128] = "", driver[64] = "", group[32] = "", type[32] = "";

	world_link(device, sizeof(device), "/sys/class/dma/%s/device", channel);
	world_link(driver, sizeof(driver), "/sys/class/dma/%s/device/driver", channel);
	world_link(group, sizeof(group), "/sys/class/dma/%s/device/iommu_group", channel);
	if (group[0])
		world_line(type, sizeof(type), "/sys/kernel/iommu_groups/%s/type", group);
	tell(used < channels ? LEVEL_OK : LEVEL_NOTE, device[0] ? device : channel, NULL,
	     "%s%s%s%s: %u of %u channels in use%s%s%s", device[0] ? device : channel,
	     driver[0] ? " (" : "", driver, driver[0] ? ")" : "", used, channels,
	     group[0] ? ", behind an IOMMU" : ", no IOMMU: it sees physical addresses",
	     type[0] ? ", type " : "", type);
}

/* What shows root's files. */
static const char *unseen_cure(const struct doctor *d)
{
	return d->uid ? "sudo sgring doctor" : "mount -t debugfs none /sys/kernel/debug";
}

void look_at_dma(struct doctor *d)
{
	char *summary = world_text(NULL, "/sys/kernel/debug/dmaengine/summary");
	unsigned int channels = 0, used = 0;
	size_t i, j, first = 0, same;
	struct names n;
	uint64_t use;

	section("DMA engines");
	if (!world_names(&n, "/sys/class/dma")) {
		tell(LEVEL_TROUBLE, "dmaengine", "sudo apt-get install linux-image-amd64",
		     "this kernel has no dmaengine (CONFIG_DMA_ENGINE), as cloud kernels have not");
		free(summary);
		return;
	}
	if (!n.count)
		/* What it takes depends on the device tree, or on the driver's client. */
		tell(d->streams ? LEVEL_NOTE : LEVEL_TROUBLE, "dmaengine",
		     "dmesg | grep -i dma",
		     "no DMA engine has a driver here");
	for (i = 0; i < n.count; i++) {
		same = strcspn(n.name[i], "c");	/* dma0chan1 */
		for (j = i; j < n.count; j++)
			if (strncmp(n.name[i], n.name[j], same + 1))
				break;
		first = i;
		channels = used = 0;
		for (; i < j; i++) {
			channels++;
			used += world_number(&use, "/sys/class/dma/%s/in_use", n.name[i]) && use;
		}
		look_at_provider(n.name[first], channels, used);
		for (i = first; i < j; i++)
			if (world_number(&use, "/sys/class/dma/%s/in_use", n.name[i]) && use)
				tell(LEVEL_OK, n.name[i], NULL, "%s: %s", n.name[i],
				     holder(summary, n.name[i]));
		i = j - 1;
	}
	if (n.count && !summary)
		tell(LEVEL_UNSEEN, "holders", unseen_cure(d),
		     "who holds each channel: only root sees /sys/kernel/debug/dmaengine/summary");
	names_free(&n);
	free(summary);
}

/* What makes the supplier, or the device, come; NULL: nothing that is known. */
static const char *deferred_cure(const char *device, const char *reason)
{
	static char cure[256];
	char supplier[128];
	const char *at = strstr(reason, "supplier ");

	if (at && sscanf(at, "supplier %127s", supplier) == 1)
		snprintf(cure, sizeof(cure),
			 "sudo modprobe $(cat /sys/bus/platform/devices/%s/modalias)  # the driver it waits for",
			 supplier);
	else
		snprintf(cure, sizeof(cure), "dmesg | grep %s", device);
	return cure;
}

void look_at_deferred(struct doctor *d)
{
	char *text = world_text(NULL, "/sys/kernel/debug/devices_deferred");
	char *line, *next, *reason;

	section("devices that wait");
	if (!text) {
		tell(LEVEL_UNSEEN, "deferred", unseen_cure(d),
		     "deferred probes: only root sees /sys/kernel/debug/devices_deferred");
		return;
	}
	for (line = text; *line; line = next) {
		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = 0;
		if (!*line)
			continue;
		reason = line + strcspn(line, "\t");
		if (*reason)
			*reason++ = 0;
		reason += strspn(reason, " ");
		tell(LEVEL_TROUBLE, line, deferred_cure(line, reason), "%s: its driver waits: %s", line,
		     *reason ? reason : "nobody says for what");
	}
	if (!*text)
		tell(LEVEL_OK, "deferred", NULL, "no driver waits for another");
	free(text);
}

/* SPDX-License-Identifier: MIT */
/*
 * sgring doctor: DMA controllers and sgring,fifo nodes of a device tree, as the kernel shows it: a
 * folder a node, a file a property (numbers big-endian). What it has may be cut or wrong.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "doctor.h"
#include "world.h"

#define DEPTH_MAX 32
#define NODES_MAX 100000
#define CELLS_MAX 16

struct node {
	char *path;		/* "/amba/dma@40400000"; "": the root */
	unsigned int clients;	/* nodes whose "dmas" name it */
	uint32_t taken[64];	/* bits: first cells they name */
};

static char base[PATH_MAX];
static struct node *nodes;
static size_t count;

/* What is known of controllers, from the bindings and drivers of mainline. */
static const struct kind {
	const char *compatible, *module, *what;
	unsigned int channel;	/* the first that captures */
	bool wired;		/* to its device: no port with an address */
	unsigned int channels;
} kinds[] = {
	{ "xlnx,axi-dma-1.00.a", "xilinx_dma", "S2MM, which is 1 even alone", 1, true, 1 },
	{ "xlnx,axi-mcdma-1.00.a", "xilinx_dma", "the first S2MM channel", 16, true, 16 },
	{ "adi,axi-dmac-1.00.a", "dma-axi-dmac", "its channel", 0, true, 1 },
	{ "arm,pl330", "pl330", "the request line of your device", 0, false, 32 },
	{ "brcm,bcm2835-dma", "bcm2835-dma", "the DREQ of your device", 0, false, 32 },
	{ "snps,axi-dma-1.01a", "dw-axi-dmac-platform", "the handshake of your device", 0, false, 16 },
	{ "ti,am654-navss-main-udmap", "k3-udma", "the PSI-L thread of your device", 0, true, 0 },
};

static const struct kind unknown = { "", NULL, "see the controller's binding", 0, false, 0 };

/* The property; NULL: none. Ends with a zero that it has not itself. */
static char *property(const char *path, const char *name, size_t *bytes)
{
	char file[PATH_MAX];
	size_t n = 0, room = 65536;
	char *text;
	struct stat st;
	FILE *f;

	if (bytes)
		*bytes = 0;
	if ((size_t)snprintf(file, sizeof(file), "%s%s/%s", base, path, name) >= sizeof(file) ||
	    stat(file, &st) || !S_ISREG(st.st_mode))
		return NULL;
	f = fopen(file, "re");
	text = f ? calloc(1, room + 1) : NULL;
	if (text)
		n = fread(text, 1, room, f);
	if (f)
		fclose(f);
	if (bytes)
		*bytes = n;
	return text;
}

static bool has(const char *path, const char *name)
{
	char *text = property(path, name, NULL);

	free(text);
	return text;
}

/* The cells of a property; how many, at most @room. */
static size_t cells(const char *path, const char *name, uint32_t *to, size_t room)
{
	size_t bytes, i;
	char *text = property(path, name, &bytes);
	uint32_t n;

	for (i = 0; text && i < room && (i + 1) * 4 <= bytes; i++) {
		memcpy(&n, text + i * 4, 4);
		to[i] = be32toh(n);
	}
	free(text);
	return i;
}

static uint32_t cell(const char *path, const char *name, uint32_t otherwise)
{
	uint32_t n;

	return cells(path, name, &n, 1) ? n : otherwise;
}

/* Is one of the strings of the property this? */
static bool lists(const char *path, const char *name, const char *word)
{
	size_t bytes, at;
	char *text = property(path, name, &bytes);
	bool there = false;

	for (at = 0; text && at < bytes; at += strlen(text + at) + 1)
		there |= !strcmp(text + at, word);
	free(text);
	return there;
}

static bool enabled(const char *path)
{
	return !has(path, "status") || lists(path, "status", "okay") || lists(path, "status", "ok");
}

/* Makes it its parent's. */
static void go_up(char *path)
{
	if (strrchr(path, '/'))
		*strrchr(path, '/') = 0;
}

static bool coherent(const char *path)
{
	char at[PATH_MAX];

	for (snprintf(at, sizeof(at), "%s", path); *at; go_up(at))
		if (has(at, "dma-coherent"))
			return true;
	return has("", "dma-coherent");
}

static const struct kind *kind_of(const char *path)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (lists(path, "compatible", kinds[i].compatible))
			return &kinds[i];
	return &unknown;
}

/* Every node, once; false: no memory. */
static bool walk(const char *path, unsigned int depth)
{
	struct node *bigger;
	char name[PATH_MAX];
	struct dirent *d;
	struct stat st;
	DIR *dir;

	if (count >= NODES_MAX)
		return true;
	if ((size_t)snprintf(name, sizeof(name), "%s%s", base, path) >= sizeof(name))
		return true;
	dir = opendir(name);
	if (!dir)
		return depth > 0;
	bigger = realloc(nodes, (count + 1) * sizeof(*nodes));
	if (bigger)
		nodes = bigger;
	nodes[count] = (struct node){ .path = strdup(path) };
	if (!bigger || !nodes[count].path) {
		closedir(dir);
		return false;
	}
	count++;
	while ((d = readdir(dir))) {
		if (d->d_name[0] == '.' ||
		    (size_t)snprintf(name, sizeof(name), "%s%s/%s", base, path, d->d_name) >= sizeof(name))
			continue;
		if (depth < DEPTH_MAX && !lstat(name, &st) && S_ISDIR(st.st_mode))
			walk(name + strlen(base), depth + 1);
	}
	closedir(dir);
	return true;
}

static bool is_controller(const char *path)
{
	uint32_t n;

	return cells(path, "#dma-cells", &n, 1) == 1 && has(path, "compatible");
}

static uint32_t phandle_of(const char *path)
{
	return cell(path, "phandle", cell(path, "linux,phandle", 0));
}

static struct node *node_of_phandle(uint32_t phandle)
{
	size_t i;

	for (i = 0; phandle && i < count; i++)
		if (phandle_of(nodes[i].path) == phandle)
			return &nodes[i];
	return NULL;
}

/* Who names whom: each entry of "dmas" is a phandle and as many cells as that node says. */
static void follow(const char *path)
{
	uint32_t c[256];
	size_t n = cells(path, "dmas", c, 256), at = 0;
	struct node *to;

	while (at < n) {
		to = node_of_phandle(c[at]);
		if (!to)
			return;
		to->clients++;
		if (at + 1 < n && c[at + 1] < 64 * 32)
			to->taken[c[at + 1] / 32] |= 1U << c[at + 1] % 32;
		at += 1 + (size_t)cell(to->path, "#dma-cells", 1);
	}
}

/* "&name", where the tree has its labels, else the path in dts's own words. */
static void reference(const char *path, char *words, size_t room)
{
	char folder[PATH_MAX];
	struct dirent *d;
	DIR *dir;

	snprintf(words, room, "&{%s}", path);
	if ((size_t)snprintf(folder, sizeof(folder), "%s/__symbols__", base) >= sizeof(folder))
		return;
	dir = opendir(folder);
	while (dir && (d = readdir(dir)))
		if (d->d_name[0] != '.' && lists("/__symbols__", d->d_name, path)) {
			snprintf(words, room, "&%s", d->d_name);
			break;
		}
	if (dir)
		closedir(dir);
}

/* A label no sgring,fifo has. */
static void free_label(char *label, size_t room)
{
	unsigned int n;
	size_t i;

	for (n = 0; n < 1000; n++) {
		snprintf(label, room, "rx%u", n);
		for (i = 0; i < count; i++)
			if (lists(nodes[i].path, "compatible", "sgring,fifo") &&
			    lists(nodes[i].path, "label", label))
				break;
		if (i == count)
			return;
	}
}

static void zeroes(char *text, size_t room, unsigned int n, const char *last)
{
	unsigned int i;

	text[0] = 0;
	for (i = 0; i < n && i < CELLS_MAX; i++)
		snprintf(text + strlen(text), room - strlen(text), "%s%s", i ? " " : "",
			 i + 1 == n ? last : "0x0");
}

/* kernel/sgring,fifo.yaml, filled in as far as the tree knows. */
static void node_to_paste(const struct node *n, const struct kind *k, char *text, size_t room)
{
	uint32_t want = cell(n->path, "#dma-cells", 1), channel = k->channel, i;
	char to[PATH_MAX + 8], label[16] = "rx0", parent[PATH_MAX], address[128], size[128], more[128] = "";
	size_t used;

	reference(n->path, to, sizeof(to));
	free_label(label, sizeof(label));
	snprintf(parent, sizeof(parent), "%s", n->path);
	go_up(parent);
	for (i = 0; i < k->channels && k->wired; i++)
		if (!(n->taken[(k->channel + i) / 32] >> (k->channel + i) % 32 & 1)) {
			channel = k->channel + i;
			break;
		}
	for (i = 1; i < want && i < CELLS_MAX; i++)
		snprintf(more + strlen(more), sizeof(more) - strlen(more), " 0");
	zeroes(address, sizeof(address), cell(parent, "#address-cells", 2), "0x0");
	zeroes(size, sizeof(size), cell(parent, "#size-cells", 1), "0x4");
	used = (size_t)snprintf(text, room, "fifo-%s%s {\n\tcompatible = \"sgring,fifo\";\n", label,
				k->wired ? "" : "@0");
	if (!k->wired && used < room)
		used += (size_t)snprintf(text + used, room - used,
					 "\treg = <%s %s>;	/* your FIFO's data port, here and above */\n"
					 "\treg-io-width = <4>;\n", address, size);
	if (used < room && want)
		snprintf(text + used, room - used,
			 "\tdmas = <%s %u%s>;	/* %s */\n\tdma-names = \"rx\";\n\tlabel = \"%s\";\n};",
			 to, channel, more, k->what, label);
	else if (used < room)
		snprintf(text + used, room - used,
			 "\tdmas = <%s>;\n\tdma-names = \"rx\";\n\tlabel = \"%s\";\n};", to, label);
}

/* Has the engine a driver that registered channels? */
static bool is_driven(const char *path)
{
	char *at, *real;
	bool driven = false;
	struct names n;
	size_t i;

	if (!world_names(&n, "/sys/class/dma"))
		return false;
	for (i = 0; i < n.count && !driven; i++) {
		real = realpath(world_path("/sys/class/dma/%s/device/of_node", n.name[i]), NULL);
		at = real ? strstr(real, "/base/") : NULL;
		driven = at && !strcmp(at + strlen("/base"), path);
		free(real);
	}
	names_free(&n);
	return driven;
}

static bool serves_sgring(const struct node *n)
{
	uint32_t c;
	size_t i;

	for (i = 0; i < count; i++)
		if (lists(nodes[i].path, "compatible", "sgring,fifo") &&
		    cells(nodes[i].path, "dmas", &c, 1) && c && c == phandle_of(n->path))
			return true;
	return false;
}

static bool has_child(const char *path, const char *compatible)
{
	size_t i, length = strlen(path);

	for (i = 0; i < count; i++)
		if (!strncmp(nodes[i].path, path, length) && nodes[i].path[length] == '/' &&
		    lists(nodes[i].path, "compatible", compatible))
			return true;
	return false;
}

static void look_at_controller(const struct node *n, bool here)
{
	const struct kind *k = kind_of(n->path);
	char text[PATH_MAX + 1024], *compatible = property(n->path, "compatible", NULL);
	uint32_t width;

	if (!enabled(n->path)) {
		reference(n->path, text, sizeof(text) - 32);
		snprintf(text + strlen(text), 32, " { status = \"okay\"; };");
		tell(LEVEL_NOTE, n->path, text, "%s (%s) is disabled", n->path, compatible);
		goto out;
	}
	tell(LEVEL_OK, n->path, NULL, "%s (%s): used by %u node%s; %s", n->path, compatible, n->clients,
	     n->clients == 1 ? "" : "s", coherent(n->path) ? "coherent with the caches" :
	     "not dma-coherent: the caches of each slot are flushed");
	if (here && !is_driven(n->path)) {
		snprintf(text, sizeof(text), k->module ? "sudo modprobe %s" :
			 "sudo modprobe $(cat /sys/bus/platform/devices/*%s/modalias)  # or a kernel that has it",
			 k->module ? k->module : compatible);
		tell(LEVEL_TROUBLE, n->path, text, "%s has no driver: its channels are not there", n->path);
	}
	if (!phandle_of(n->path))
		tell(LEVEL_NOTE, n->path, NULL, "%s has no phandle: nothing in the tree refers to it", n->path);
	if (k == &kinds[0] && !has_child(n->path, "xlnx,axi-dma-s2mm-channel")) {
		tell(LEVEL_NOTE, n->path, NULL, "%s has no S2MM channel: it cannot capture", n->path);
		goto out;
	}
	width = k == &kinds[0] ? cell(n->path, "xlnx,sg-length-width", 0) : 0;
	if (width && width < 32)
		tell(width < 20 ? LEVEL_NOTE : LEVEL_OK, n->path, width < 20 ?
		     "set \"Width of Buffer Length Register\" of the AXI DMA to 26, and xlnx,sg-length-width" : NULL,
		     "%s takes transfers, so slots, of at most %u bytes (xlnx,sg-length-width)", n->path,
		     (1U << width) - 1);
	if (!serves_sgring(n)) {
		node_to_paste(n, k, text, sizeof(text));
		tell(LEVEL_NOTE, n->path, text, "%s streams with a node like this, beside it in the tree:", n->path);
	}
out:
	free(compatible);
}

static void look_at_fifo(const struct node *n, bool here)
{
	const char *path = n->path;
	uint32_t c[CELLS_MAX + 1], width = cell(path, "reg-io-width", 4), want;
	size_t have = cells(path, "dmas", c, CELLS_MAX + 1);
	char *label = property(path, "label", NULL), to[PATH_MAX + 8], cure[PATH_MAX + 64];
	const struct node *engine;

	if (!enabled(path)) {
		tell(LEVEL_NOTE, path, "status = \"okay\";", "%s (sgring,fifo) is disabled", path);
		goto out;
	}
	if (!have) {
		tell(LEVEL_TROUBLE, path, "dmas = <&controller 0>;", "%s (sgring,fifo) has no dmas", path);
		goto out;
	}
	engine = node_of_phandle(c[0]);
	if (!engine || !is_controller(engine->path)) {
		tell(LEVEL_TROUBLE, path, "dmas = <&controller 0>;	/* one with #dma-cells */",
		     "%s (sgring,fifo): dmas names phandle %#x, which is no DMA controller", path, c[0]);
		goto out;
	}
	want = cell(engine->path, "#dma-cells", 1);
	reference(engine->path, to, sizeof(to));
	if (have != 1 + (size_t)want) {
		snprintf(cure, sizeof(cure), "dmas = <%s%s>;	/* and %u cell%s */", to, want ? " 0" : "", want,
			 want == 1 ? "" : "s");
		tell(LEVEL_TROUBLE, path, cure, "%s (sgring,fifo): dmas has %zu cells behind the phandle, %s takes %u",
		     path, have - 1, engine->path, want);
		goto out;
	}
	if (!enabled(engine->path)) {
		snprintf(cure, sizeof(cure), "%s { status = \"okay\"; };", to);
		tell(LEVEL_TROUBLE, path, cure, "%s (sgring,fifo) waits for %s, which is disabled", path,
		     engine->path);
	}
	if (!lists(path, "dma-names", "rx"))
		tell(LEVEL_TROUBLE, path, "dma-names = \"rx\";", "%s (sgring,fifo) has no dma-names \"rx\"", path);
	if (!width || width > 64 || width & (width - 1))
		tell(LEVEL_TROUBLE, path, "reg-io-width = <4>;",
		     "%s (sgring,fifo): reg-io-width %u is none of 1, 2, 4, 8, 16, 32, 64", path, width);
	if (label && (strlen(label) > 31 ||
		      strspn(label, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") !=
		      strlen(label)))
		tell(LEVEL_TROUBLE, path, "label = \"rx0\";",
		     "%s (sgring,fifo): label \"%s\" is not at most 31 of A-Z a-z 0-9 . - _", path, label);
	if (here && !world_has("/sys/bus/platform/drivers/sgring-fifo"))
		tell(LEVEL_TROUBLE, path, "sudo modprobe sgring-fifo || sudo insmod build/modules/kdir/kernel/sgring-fifo.ko",
		     "%s (sgring,fifo) has no driver: the module sgring-fifo is not loaded", path);
	tell(LEVEL_OK, path, NULL, "%s (sgring,fifo)%s%s streams over %s", path, label ? ", " : "",
	     label ? label : "", engine->path);
out:
	free(label);
}

bool look_at_tree(const struct doctor *d)
{
	struct stat st;
	size_t i, found = 0;

	section("device tree");
	snprintf(base, sizeof(base), "%s", d->tree ? d->tree : world_path("/proc/device-tree"));
	if (stat(base, &st) || !S_ISDIR(st.st_mode))
		return !d->tree;
	if (walk("", 0)) {
		for (i = 0; i < count; i++)
			follow(nodes[i].path);
		for (i = 0; i < count; i++) {
			if (is_controller(nodes[i].path)) {
				look_at_controller(&nodes[i], !d->tree);
				found++;
			} else if (lists(nodes[i].path, "compatible", "sgring,fifo")) {
				look_at_fifo(&nodes[i], !d->tree);
			}
		}
		if (!found)
			tell(LEVEL_NOTE, "device-tree", NULL, "%s has no DMA controller (#dma-cells)", base);
	}
	while (count)
		free(nodes[--count].path);
	free(nodes);
	nodes = NULL;
	return true;
}

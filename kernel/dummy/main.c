// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: the board: which engines and devices there are, and their wiring
 *
 * Owns the lines and the platform devices. Everything here runs when the module
 * comes and goes. Engines come first and go last.
 */
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/property.h>

#include "device.h"
#include "engine.h"

static unsigned int streams = (1U << DUMMY_LINES) - 1;
module_param(streams, uint, 0444);
MODULE_PARM_DESC(streams, "bit mask of streams: 0-3 rx0..rx3, 4 xilinx0, 5 pl330-0, 6 bcm2835-0, 7 fifo0");

#define LINE(n, l, d, p) {				\
	.index = n,					\
	.label = l,					\
	.devname = d "." #n,				\
	.profile = &dummy_profiles[p],			\
}

#define FIFO_LINE	4

/* The lines of an engine are neighbours, in the order of the profiles. */
static struct dummy_line lines[DUMMY_LINES] = {
	LINE(0, "rx0", DUMMY_DEVICE_NAME, 0),
	LINE(1, "rx1", DUMMY_DEVICE_NAME, 0),
	LINE(2, "rx2", DUMMY_DEVICE_NAME, 0),
	LINE(3, "rx3", DUMMY_DEVICE_NAME, 0),
	[FIFO_LINE] = LINE(7, "fifo0", DUMMY_FIFO_NAME, 0),
	LINE(4, "xilinx0", DUMMY_DEVICE_NAME, 1),
	LINE(5, "pl330-0", DUMMY_DEVICE_NAME, 2),
	LINE(6, "bcm2835-0", DUMMY_DEVICE_NAME, 3),
};

/* The firmware's words about the FIFO. Read at each probe, so that the bench can change them. */
static const struct property_entry fifo_properties[] = {
	PROPERTY_ENTRY_STRING("label", "fifo0"),
	PROPERTY_ENTRY_U32_ARRAY_LEN("reg-io-width", &lines[FIFO_LINE].width, 1),
	PROPERTY_ENTRY_U32_ARRAY_LEN("sgring,burst-words", &lines[FIFO_LINE].burst, 1),
	{ }
};

static const struct software_node fifo_node = {
	.name = "sgring-dummy-fifo",
	.properties = fifo_properties,
};

/* Where ports are, beside the machine's own addresses. */
static struct resource bus = DEFINE_RES_MEM_NAMED(0, 0x100000000ULL, "sgring-dummy");

static struct platform_device *engines[DUMMY_LINES];
static struct platform_device *devices[DUMMY_LINES];

static void line_init(struct dummy_line *line)
{
	const struct dummy_profile *p = line->profile;

	dummy_bell_init(&line->bell);
	dummy_source_init(&line->source, &line->bell);
	line->source.stream = line->index;
	/* A good device in front of an AXI DMA does not leave a packet open. */
	line->source.stop_ends_packet = p->flags & DUMMY_DISTURBED;
	line->faults.fail_after_bytes = 4096;
	line->faults.descriptors = p->descriptors;
	line->faults.max_segment_bytes = p->max_segment_bytes;
	line->faults.packet_ends = p->packet_ends;
	mutex_init(&line->lock);
	line->width = p->width;
	line->burst = p->burst;
	line->plain = line == &lines[FIFO_LINE];
	if (!line->plain)
		return;
	line->width = 4;
	line->burst = 4;
	line->faults.packet_ends = 0;
	dummy_source_start(&line->source);
}

static struct platform_device *board_add(const char *name, int id, const void *data, size_t bytes)
{
	const struct platform_device_info info = {
		.name = name,
		.id = id,
		.data = data,
		.size_data = bytes,
		.dma_mask = DMA_BIT_MASK(64),
	};

	return platform_device_register_full(&info);
}

static struct platform_device *board_add_fifo(struct dummy_line *line)
{
	struct resource port = DEFINE_RES_MEM(DUMMY_PORT(line->index), 4);
	const struct platform_device_info info = {
		.name = DUMMY_FIFO_NAME,
		.id = line->index,
		.fwnode = software_node_fwnode(&fifo_node),
		.res = &port,
		.num_res = 1,
		.dma_mask = DMA_BIT_MASK(64),
	};

	port.parent = &bus;
	return platform_device_register_full(&info);
}

/* An engine, once for all its lines; an engine without wanted lines is harmless. */
static int board_add_engine(struct dummy_line *line)
{
	const struct dummy_engine_data data = { .profile = line->profile, .lines = line };
	struct platform_device *pdev;

	if (line != lines && line[-1].profile == line->profile)
		return 0;
	pdev = board_add(line->profile->name, PLATFORM_DEVID_NONE, &data, sizeof(data));
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	engines[line->index] = pdev;
	return 0;
}

static int board_add_device(struct dummy_line *line)
{
	struct platform_device *pdev;

	if (!(streams & BIT(line->index)))
		return 0;
	pdev = line->plain ? board_add_fifo(line) :
	       board_add(DUMMY_DEVICE_NAME, line->index, &line, sizeof(line));
	if (IS_ERR(pdev))
		return PTR_ERR(pdev);
	devices[line->index] = pdev;
	mutex_lock(&line->lock);
	line->device = &pdev->dev;
	mutex_unlock(&line->lock);
	dummy_bench_add(line);
	return 0;
}

static void board_clear(void)
{
	int i;

	dummy_bench_close();
	for (i = DUMMY_LINES - 1; i >= 0; i--)
		platform_device_unregister(devices[i]);
	dummy_device_unregister();
	for (i = DUMMY_LINES - 1; i >= 0; i--)
		platform_device_unregister(engines[i]);
	dummy_profiles_unregister();
	software_node_unregister(&fifo_node);
	for (i = 0; i < DUMMY_LINES; i++)
		dummy_feed_free(&lines[i].source.feed);
}

static int __init dummy_init(void)
{
	int i, err;

	if (streams >> DUMMY_LINES)
		return -EINVAL;
	for (i = 0; i < DUMMY_LINES; i++)
		line_init(&lines[i]);
	err = software_node_register(&fifo_node);
	if (err)
		return err;
	err = dummy_profiles_register();
	if (err)
		goto unregister_node;
	err = dummy_device_register();
	if (err)
		goto unregister_profiles;
	dummy_bench_open();
	for (i = 0; !err && i < DUMMY_LINES; i++)
		err = board_add_engine(&lines[i]);
	for (i = 0; !err && i < DUMMY_LINES; i++)
		err = board_add_device(&lines[i]);
	if (err)
		board_clear();
	return err;

unregister_profiles:
	dummy_profiles_unregister();
unregister_node:
	software_node_unregister(&fifo_node);
	return err;
}

static void __exit dummy_exit(void)
{
	board_clear();
}

module_init(dummy_init);
module_exit(dummy_exit);

MODULE_DESCRIPTION("sgring: dummy DMA engine and streaming devices");
MODULE_LICENSE("GPL");

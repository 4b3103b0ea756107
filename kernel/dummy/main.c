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

#include "device.h"
#include "engine.h"

static unsigned int streams = (1U << DUMMY_LINES) - 1;
module_param(streams, uint, 0444);
MODULE_PARM_DESC(streams, "bit mask of streams: 0-3 rx0..rx3, 4 xilinx0, 5 pl330-0, 6 bcm2835-0");

#define LINE(n, l, p) {					\
	.index = n,					\
	.label = l,					\
	.devname = DUMMY_DEVICE_NAME "." #n,		\
	.profile = &dummy_profiles[p],			\
}

/* The lines of an engine are neighbours, in the order of the profiles. */
static struct dummy_line lines[DUMMY_LINES] = {
	LINE(0, "rx0", 0),
	LINE(1, "rx1", 0),
	LINE(2, "rx2", 0),
	LINE(3, "rx3", 0),
	LINE(4, "xilinx0", 1),
	LINE(5, "pl330-0", 2),
	LINE(6, "bcm2835-0", 3),
};

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

/* An engine, once for all its lines; an engine without wanted lines is harmless. */
static int board_add_engine(struct dummy_line *line)
{
	const struct dummy_engine_data data = { .profile = line->profile, .lines = line };
	struct platform_device *pdev;

	if (line->index && line[-1].profile == line->profile)
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
	pdev = board_add(DUMMY_DEVICE_NAME, line->index, &line, sizeof(line));
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
	err = dummy_profiles_register();
	if (err)
		return err;
	err = dummy_device_register();
	if (err) {
		dummy_profiles_unregister();
		return err;
	}
	dummy_bench_open();
	for (i = 0; !err && i < DUMMY_LINES; i++)
		err = board_add_engine(&lines[i]);
	for (i = 0; !err && i < DUMMY_LINES; i++)
		err = board_add_device(&lines[i]);
	if (err)
		board_clear();
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

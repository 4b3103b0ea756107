// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: the engines it can be, each a platform driver of its own
 *
 * Owns the table of profiles. Those who use an engine know its ways by the name of
 * its driver, so each has its own; all share one probe. What a profile does is
 * taken from Linux 6.1's drivers/dma.
 */
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/sizes.h>

#include "engine.h"

#define WIDTHS_1_TO_16	(BIT(1) | BIT(2) | BIT(4) | BIT(8) | BIT(16))

const struct dummy_profile dummy_profiles[] = {
	{
		.name = "sgring-dummy-dma",
		.channels = 5,
		.widths = WIDTHS_1_TO_16,
		.max_burst = 256,
		.granularity = DMA_RESIDUE_GRANULARITY_BURST,
		.descriptors = DUMMY_SEGMENTS - 1,
		.max_segment_bytes = SZ_2G,
		.packet_ends = 1,
		.width = 1,
		.burst = 1,
	}, {
		/* xilinx/xilinx_dma.c: AXI DMA, S2MM, XILINX_DMA_NUM_DESCS 255. */
		.name = "sgring-dummy-xilinx",
		.flags = DUMMY_BATCH | DUMMY_DISTURBED,
		.channels = 1,
		.widths = BIT(8),
		.max_burst = 16,
		.granularity = DMA_RESIDUE_GRANULARITY_SEGMENT,
		.descriptors = 255,
		.max_segment_bytes = SZ_8M - 1,
		.packet_ends = 1,
		.width = 8,
		.burst = 1,
	}, {
		/* pl330.c: no packets, a descriptor per segment, no device_synchronize. */
		.name = "sgring-dummy-pl330",
		.flags = DUMMY_NO_SYNCHRONIZE | DUMMY_STALE_CALLBACKS | DUMMY_NO_RESULT,
		.channels = 1,
		.widths = BIT(1) | BIT(2) | BIT(4) | BIT(8),
		.max_burst = 16,
		.granularity = DMA_RESIDUE_GRANULARITY_BURST,
		.descriptors = DUMMY_SEGMENTS - 1,
		.max_segment_bytes = 1900800,
		.width = 4,
		.burst = 16,
	}, {
		/* bcm2835-dma.c: words only, no packets, descriptor reuse. */
		.name = "sgring-dummy-bcm2835",
		.flags = DUMMY_REUSE | DUMMY_NO_RESULT,
		.channels = 1,
		.widths = BIT(4),
		.max_burst = 16,
		.length_multiple = 4,
		.granularity = DMA_RESIDUE_GRANULARITY_BURST,
		.descriptors = DUMMY_SEGMENTS - 1,
		.max_segment_bytes = SZ_1G - 1,
		.width = 4,
		.burst = 1,
	},
};

static int profile_probe(struct platform_device *pdev)
{
	return dummy_engine_probe(dev_get_platdata(&pdev->dev), &pdev->dev);
}

#define PROFILE_DRIVER(n) {				\
	.probe = profile_probe,				\
	.driver = { .name = "sgring-dummy-" n },	\
}

static struct platform_driver drivers[] = {
	PROFILE_DRIVER("dma"),
	PROFILE_DRIVER("xilinx"),
	PROFILE_DRIVER("pl330"),
	PROFILE_DRIVER("bcm2835"),
};

/**
 * dummy_profiles_register() - register the drivers of all engines
 *
 * Process context.
 *
 * Return: 0 or a negative errno.
 */
int dummy_profiles_register(void)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(drivers); i++) {
		err = platform_driver_register(&drivers[i]);
		if (err)
			goto undo;
	}
	return 0;
undo:
	while (i--)
		platform_driver_unregister(&drivers[i]);
	return err;
}

/**
 * dummy_profiles_unregister() - unregister them
 *
 * Process context.
 */
void dummy_profiles_unregister(void)
{
	unsigned int i = ARRAY_SIZE(drivers);

	while (i--)
		platform_driver_unregister(&drivers[i]);
}

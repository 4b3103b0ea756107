/* SPDX-License-Identifier: GPL-2.0-only */
/* The devices of a client of bench-engine: as many as its parameter "streams" says. */
#ifndef SGRING_BENCH_BOARD_H
#define SGRING_BENCH_BOARD_H

#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include "bench.h"

static unsigned int streams = 1;
module_param(streams, uint, 0444);
MODULE_PARM_DESC(streams, "number of streams, at most 8");

static struct platform_device *board_devices[BENCH_STREAMS];

static void board_remove(struct platform_driver *driver)
{
	int i;

	for (i = BENCH_STREAMS - 1; i >= 0; i--)
		platform_device_unregister(board_devices[i]);
	platform_driver_unregister(driver);
}

/* The driver's name is the client's, bench-engine's map knows it. */
static int board_add(struct platform_driver *driver)
{
	unsigned int i;
	int err;

	if (streams > BENCH_STREAMS)
		return -EINVAL;
	err = platform_driver_register(driver);
	if (err)
		return err;
	for (i = 0; i < streams; i++) {
		const struct platform_device_info info = {
			.name = driver->driver.name,
			.id = i,
			.dma_mask = DMA_BIT_MASK(64),
		};
		struct platform_device *pdev = platform_device_register_full(&info);

		if (IS_ERR(pdev)) {
			board_remove(driver);
			return PTR_ERR(pdev);
		}
		board_devices[i] = pdev;
	}
	return 0;
}

#define module_board(driver)	module_driver(driver, board_add, board_remove)

#endif /* SGRING_BENCH_BOARD_H */

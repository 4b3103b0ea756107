// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-sgring: sgring streams over the bench's engine, without anything of their own
 *
 * Parameter streams: how many. Their labels are bench0, bench1, ...
 */
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include "bench.h"
#include "client.h"

static unsigned int streams = 1;
module_param(streams, uint, 0444);
MODULE_PARM_DESC(streams, "number of streams");

static struct platform_device *devices[BENCH_STREAMS];

static int client_probe(struct platform_device *pdev)
{
	const char label[] = { 'b', 'e', 'n', 'c', 'h', '0' + pdev->id, 0 };
	const struct sgring_client client = {
		.dev = &pdev->dev,
		.label = label,
		.channel = "rx",
		.direction = DMA_DEV_TO_MEM,
		.config = {
			.src_addr_width = DMA_SLAVE_BUSWIDTH_8_BYTES,
			.src_maxburst = 1,
		},
	};

	return PTR_ERR_OR_ZERO(devm_sgring_stream_register(&client));
}

static struct platform_driver client_driver = {
	.probe = client_probe,
	.driver = { .name = "bench-sgring" },
};

static void remove(void)
{
	int i;

	for (i = BENCH_STREAMS - 1; i >= 0; i--)
		platform_device_unregister(devices[i]);
	platform_driver_unregister(&client_driver);
}

static int __init bench_sgring_init(void)
{
	unsigned int i;
	int err;

	if (streams > BENCH_STREAMS)
		return -EINVAL;
	err = platform_driver_register(&client_driver);
	if (err)
		return err;
	for (i = 0; i < streams; i++) {
		const struct platform_device_info info = {
			.name = "bench-sgring",
			.id = i,
			.dma_mask = DMA_BIT_MASK(64),
		};
		struct platform_device *pdev = platform_device_register_full(&info);

		if (IS_ERR(pdev)) {
			remove();
			return PTR_ERR(pdev);
		}
		devices[i] = pdev;
	}
	return 0;
}

static void __exit bench_sgring_exit(void)
{
	remove();
}

module_init(bench_sgring_init);
module_exit(bench_sgring_exit);

MODULE_DESCRIPTION("sgring bench: sgring streams over the bench's engine");
MODULE_LICENSE("GPL");

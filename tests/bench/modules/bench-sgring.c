// SPDX-License-Identifier: GPL-2.0-only
/* bench-sgring: sgring streams over bench-engine, with no device's operations; see bench.h. */
#include <linux/module.h>
#include <linux/platform_device.h>

#include "board.h"
#include "client.h"

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
module_board(client_driver);

MODULE_DESCRIPTION("sgring bench: sgring streams over the bench's engine");
MODULE_LICENSE("GPL");

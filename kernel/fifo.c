// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: a stream from a plain FIFO device
 *
 * For devices that are just a FIFO at the end of a DMA channel: always enabled,
 * nothing to start or stop. All that is to be known stands in the device tree,
 * see sgring,fifo.yaml beside this file. An engine whose peripheral is fixed in
 * hardware (AXI DMA) has no FIFO address: reg is left out.
 */
#include <linux/err.h>
#include <linux/ioport.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/property.h>

#include "client.h"

static int fifo_config(struct platform_device *pdev, struct dma_slave_config *config)
{
	struct resource *res = platform_get_resource(pdev, IORESOURCE_MEM, 0);
	u32 width = 4, burst = 1;

	device_property_read_u32(&pdev->dev, "reg-io-width", &width);
	device_property_read_u32(&pdev->dev, "sgring,burst-words", &burst);
	if (width != 1 && width != 2 && width != 4 && width != 8 && width != 16 &&
	    width != 32 && width != 64)
		return dev_err_probe(&pdev->dev, -EINVAL, "reg-io-width of %u\n", width);
	if (!burst || burst > 65536)
		return dev_err_probe(&pdev->dev, -EINVAL, "sgring,burst-words of %u\n", burst);
	config->src_addr = res ? res->start : 0;
	config->src_addr_width = width;
	config->src_maxburst = burst;
	return 0;
}

static int fifo_probe(struct platform_device *pdev)
{
	struct sgring_client client = {
		.dev = &pdev->dev,
		.channel = "rx",
		.direction = DMA_DEV_TO_MEM,
	};
	struct sgring_stream *stream;
	int ret;

	ret = fifo_config(pdev, &client.config);
	if (ret)
		return ret;
	device_property_read_string(&pdev->dev, "label", &client.label);
	stream = devm_sgring_stream_register(&client);
	if (IS_ERR(stream))
		return dev_err_probe(&pdev->dev, PTR_ERR(stream),
				     "no stream: label %s, width %u, burst %u\n",
				     client.label ?: "(none)", client.config.src_addr_width,
				     client.config.src_maxburst);
	return 0;
}

static const struct of_device_id fifo_of_match[] = {
	{ .compatible = "sgring,fifo" },
	{ }
};
MODULE_DEVICE_TABLE(of, fifo_of_match);

static struct platform_driver fifo_driver = {
	.probe = fifo_probe,
	.driver = {
		.name = "sgring-fifo",
		.of_match_table = fifo_of_match,
	},
};
module_platform_driver(fifo_driver);

MODULE_DESCRIPTION("sgring streams of plain FIFO devices");
MODULE_LICENSE("GPL");

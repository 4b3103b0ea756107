// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring-dummy: the driver of the make-believe devices, a client of sgring
 *
 * Owns nothing but the binding: it registers a stream for its device and passes
 * start, stop and the status words on to the source. sgring calls the operations,
 * start and stop under the stream's mutex, the others in the completion callback.
 */
#include <linux/err.h>
#include <linux/module.h>
#include <linux/platform_device.h>

#include "../client.h"
#include "device.h"
#include "engine.h"

static int device_start(void *priv)
{
	struct dummy_line *line = priv;

	dummy_source_start(&line->source);
	return 0;
}

static void device_stop(void *priv)
{
	struct dummy_line *line = priv;

	dummy_source_stop(&line->source);
}

static u64 device_lost_bytes(void *priv)
{
	struct dummy_line *line = priv;

	return dummy_source_mark(&line->source).lost_bytes;
}

static bool device_time_ns(void *priv, u64 *ns)
{
	struct dummy_line *line = priv;

	*ns = dummy_source_mark(&line->source).time_ns;
	return true;
}

static bool device_end_of_packet(void *priv)
{
	struct dummy_line *line = priv;

	return dummy_source_mark(&line->source).last;
}

static const struct sgring_client_ops device_ops = {
	.start = device_start,
	.stop = device_stop,
	.lost_bytes = device_lost_bytes,
	.device_time_ns = device_time_ns,
	.end_of_packet = device_end_of_packet,
};

static int device_probe(struct platform_device *pdev)
{
	struct dummy_line *line = *(struct dummy_line **)dev_get_platdata(&pdev->dev);
	struct sgring_client client = {
		.dev = &pdev->dev,
		.ops = &device_ops,
		.priv = line,
		.label = line->label,
		.channel = "rx",
		.direction = DMA_DEV_TO_MEM,
		.config = {
			.src_addr = DUMMY_PORT(line->index),
			.src_addr_width = READ_ONCE(line->width),
			.src_maxburst = READ_ONCE(line->burst),
		},
	};

	return PTR_ERR_OR_ZERO(devm_sgring_stream_register(&client));
}

static struct platform_driver device_driver = {
	.probe = device_probe,
	.driver = { .name = DUMMY_DEVICE_NAME },
};

/**
 * dummy_device_register() - register the devices' driver
 *
 * Process context.
 *
 * Return: 0 or a negative errno.
 */
int dummy_device_register(void)
{
	return platform_driver_register(&device_driver);
}

/**
 * dummy_device_unregister() - unregister it
 *
 * Process context.
 */
void dummy_device_unregister(void)
{
	platform_driver_unregister(&device_driver);
}

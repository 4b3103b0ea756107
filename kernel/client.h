/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sgring: the in-kernel client API
 *
 * A driver of a streaming device registers a stream over its device and a
 * dmaengine slave channel; sgring does the rest. Everything here is called from
 * process context and may sleep unless said otherwise.
 */
#ifndef SGRING_CLIENT_H
#define SGRING_CLIENT_H

#include <linux/device.h>
#include <linux/dmaengine.h>
#include <linux/types.h>

struct sgring_stream;

/**
 * struct sgring_client_ops - what the device behind a stream can do; all optional
 * @arm: the engine is loaded; prepare the device, do not enable it. A negative
 *	errno refuses. Under the stream's mutex.
 * @start: enable the device. A negative errno refuses. Under the stream's mutex.
 * @stop: the device makes no more data when this returns. Called for whatever
 *	@arm or @start succeeded, also when the device is going. Under the
 *	stream's mutex.
 * @lost_bytes: the device's count of bytes it lost since @start, up to the end
 *	of the transfer that has just finished. Called from the completion
 *	callback (softirq, under the stream's lock): may not sleep. Also after
 *	@stop, for the transfer that was cut, and for what was lost after it.
 *	Never smaller than before.
 * @device_time_ns: the device's own time of the transfer that has just
 *	finished; false if it has none. Called like @lost_bytes.
 * @end_of_packet: the device ended a packet with the transfer that has just
 *	finished. Called like @lost_bytes. Without it, a short transfer is one.
 */
struct sgring_client_ops {
	int (*arm)(void *priv);
	int (*start)(void *priv);
	void (*stop)(void *priv);
	u64 (*lost_bytes)(void *priv);
	bool (*device_time_ns)(void *priv, u64 *ns);
	bool (*end_of_packet)(void *priv);
};

/**
 * struct sgring_client - a stream to be registered
 * @dev: the device, bound or being bound to its driver
 * @ops: see above; NULL: a device that needs nothing
 * @priv: given to @ops
 * @label: name of the stream for people and /dev/sgring/by-name, at most 31
 *	characters of [A-Za-z0-9._-], unique; NULL: none
 * @channel: name of the channel, for dma_request_chan(@dev, @channel)
 * @config: slave configuration; its direction-dependent width and burst give
 *	the alignment of a slot; its peripheral_config must live as long as @ops
 * @direction: DMA_DEV_TO_MEM or DMA_MEM_TO_DEV
 */
struct sgring_client {
	struct device *dev;
	const struct sgring_client_ops *ops;
	void *priv;
	const char *label;
	const char *channel;
	struct dma_slave_config config;
	enum dma_transfer_direction direction;
};

/**
 * sgring_stream_register() - make a stream and its /dev/sgringN
 * @client: copied, names included; @ops, @priv and what config points to must
 *	live until sgring_stream_unregister()
 *
 * Requests the channel, and links @client->dev to the engine's device so that
 * unbinding the engine unbinds the client first.
 *
 * Return: the stream, or an ERR_PTR: -EPROBE_DEFER the channel is not there
 * yet; -EINVAL a bad label or direction, a device without a driver, or one that
 * the engine depends on (a parent of it: give the stream a child device);
 * -EOPNOTSUPP an engine that cannot be stopped; -EEXIST the label is taken;
 * -ENOSPC too many streams; -ENOMEM; what dma_request_chan() or dmaengine_slave_config()
 * gave.
 */
struct sgring_stream *sgring_stream_register(const struct sgring_client *client);

/**
 * sgring_stream_unregister() - the device is going
 * @stream: from sgring_stream_register()
 *
 * Stops the stream if it runs, unmaps its memory from the device and releases
 * the channel. When it returns, no operation of the client will be called any
 * more. Files and mappings stay: -ENODEV and POLLHUP, the memory readable.
 */
void sgring_stream_unregister(struct sgring_stream *stream);

/**
 * devm_sgring_stream_register() - sgring_stream_register(), undone on unbind
 * @client: as there
 *
 * Return: as there.
 */
struct sgring_stream *devm_sgring_stream_register(const struct sgring_client *client);

#endif /* SGRING_CLIENT_H */

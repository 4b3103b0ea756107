// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: the dmaengine channel of a stream, and what it can be trusted with
 *
 * Owns the channel from the stream's registration to its end, and the table of
 * engines that need to be treated with care. Process context, under the
 * stream's mutex, except sgring_engine_prep() and sgring_engine_residue().
 */
#include <linux/bitops.h>
#include <linux/device.h>
#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <linux/sgring.h>

#include "compat.h"
#include "engine.h"
#include "fault.h"

/**
 * struct engine_kind - what mainline's source says about a driver
 * @driver: name of the platform driver
 * @quirks: SGRING_QUIRK_*
 * @depth: most transfers at a time; 0: no reason to limit it
 * @align: lengths are multiples of it, whatever the bus width; 0: width and burst
 */
struct engine_kind {
	const char *driver;
	u32 quirks;
	u32 depth;
	u32 align;
};

static const struct engine_kind engine_kinds[] = {
	/*
	 * xilinx_dma.c: pending descriptors start only when the channel is idle,
	 * and the interrupt threshold is their number, so more than one waiting
	 * completes in bursts. Its terminate in mid-packet can spin for minutes
	 * and disturbs the channel. An early TLAST leaves the descriptors behind.
	 */
	{ "xilinx-vdma", SGRING_QUIRK_RESULT | SGRING_QUIRK_SINGLE | SGRING_QUIRK_DRAIN |
			 SGRING_QUIRK_RENEW, 2, 0 },
	{ "sgring-dummy-xilinx", SGRING_QUIRK_RESULT | SGRING_QUIRK_SINGLE | SGRING_QUIRK_DRAIN |
				 SGRING_QUIRK_RENEW, 2, 0 },
	/* pl330.c: pluck_desc() leaves a stale callback_result in its descriptors. */
	{ "dma-pl330", SGRING_QUIRK_NO_RESULT, 0, 0 },
	{ "sgring-dummy-pl330", SGRING_QUIRK_NO_RESULT, 0, 0 },
	/* bcm2835-dma.c: moves 32-bit words; no length is anything else. */
	{ "bcm2835-dma", 0, 0, 4 },
	{ "sgring-dummy-bcm2835", 0, 0, 4 },
	/* dma-axi-dmac.c, ti/k3-udma.c: fill tx_result from what the hardware reports. */
	{ "dma-axi-dmac", SGRING_QUIRK_RESULT, 0, 0 },
	{ "ti-udma", SGRING_QUIRK_RESULT, 0, 0 },
	{ "ti-bcdma", SGRING_QUIRK_RESULT, 0, 0 },
	{ "ti-pktdma", SGRING_QUIRK_RESULT, 0, 0 },
	/* The reference: residue and order as a provider should have them. */
	{ "sgring-dummy-dma", SGRING_QUIRK_RESULT, 0, 0 },
};

static const struct engine_kind *engine_kind_find(const char *driver)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(engine_kinds); i++)
		if (!strcmp(engine_kinds[i].driver, driver))
			return &engine_kinds[i];
	return NULL;
}

/* Name of the engine's driver. */
const char *sgring_engine_name(const struct sgring_engine *engine)
{
	const struct device *dev = engine->chan ? engine->chan->device->dev : NULL;

	return dev && dev->driver ? dev->driver->name : "none";
}

static u32 config_align(const struct sgring_client *client)
{
	const struct dma_slave_config *config = &client->config;
	bool capture = client->direction == DMA_DEV_TO_MEM;
	u32 width = capture ? config->src_addr_width : config->dst_addr_width;
	u32 burst = capture ? config->src_maxburst : config->dst_maxburst;

	return max(width, 1U) * max(burst, 1U);
}

static int engine_limits(struct sgring_engine *engine)
{
	struct device *dev = engine->dma_dev;
	struct sgring_limits *limits = &engine->limits;
	const struct engine_kind *kind = engine_kind_find(sgring_engine_name(engine));
	struct dma_slave_caps caps = {};
	u64 boundary;
	int ret;

	ret = dma_get_slave_caps(engine->chan, &caps);
	if (ret)
		return ret;
	if (!(caps.directions & BIT(engine->client->direction)))
		return -EINVAL;
	if (!caps.cmd_terminate) {
		dev_err(engine->client->dev, "%s has no terminate: a stream could never stop\n",
			sgring_engine_name(engine));
		return -EOPNOTSUPP;
	}

	limits->align = config_align(engine->client);
	if (kind && kind->align)
		limits->align = max(limits->align, kind->align);
	limits->segment_bytes = min_t(u64, dma_get_max_seg_size(dev), dma_max_mapping_size(dev));
	boundary = dma_get_seg_boundary(dev);
	limits->boundary_mask = boundary >= U32_MAX ? 0 : boundary;
	/* An engine with a 4 GiB boundary is served by chunks being aligned. */
	if (limits->segment_bytes < limits->align)
		return -EINVAL;

	engine->quirks = kind ? kind->quirks : 0;
	/* Without the engine's synchronize only releasing the channel ends callbacks. */
	if (!engine->chan->device->device_synchronize)
		engine->quirks |= SGRING_QUIRK_RENEW;
	limits->segments = engine->quirks & SGRING_QUIRK_SINGLE ? 1 : 0;
	engine->depth_max = kind && kind->depth ? kind->depth : SGRING_QUEUE_DEPTH_MAX;
	engine->depth_default = min_t(u32, 4, engine->depth_max);
	engine->burst_segments = caps.max_sg_burst;
	engine->length_known = engine->quirks & SGRING_QUIRK_RESULT;
	/* While it runs, that is; axi-dmac says 0 until the end, and then the truth. */
	engine->residue_known = caps.residue_granularity != DMA_RESIDUE_GRANULARITY_DESCRIPTOR;
	return 0;
}

/**
 * sgring_engine_open() - request the client's channel and learn its limits
 * @engine: zeroed
 * @client: must outlive it
 *
 * Return: 0, or what dma_request_chan() or dmaengine_slave_config() gave, or
 * -EINVAL if the channel does not go in this direction.
 */
int sgring_engine_open(struct sgring_engine *engine, const struct sgring_client *client)
{
	struct dma_chan *chan = dma_request_chan(client->dev, client->channel);
	int ret;

	if (IS_ERR(chan))
		return PTR_ERR(chan);
	engine->client = client;
	engine->chan = chan;
	engine->dma_dev = dmaengine_get_dma_device(chan);
	ret = engine_limits(engine);
	if (!ret)
		ret = sgring_engine_configure(engine);
	if (ret)
		sgring_engine_close(engine);
	return ret;
}

/**
 * sgring_engine_close() - release the channel
 * @engine: with nothing in flight
 *
 * No callback runs any more when it returns.
 */
void sgring_engine_close(struct sgring_engine *engine)
{
	if (engine->chan)
		dma_release_channel(engine->chan);
	engine->chan = NULL;
}

/**
 * sgring_engine_configure() - give the channel its slave configuration
 * @engine: with nothing in flight
 *
 * Return: 0, or the engine's errno.
 */
int sgring_engine_configure(struct sgring_engine *engine)
{
	struct dma_slave_config config = engine->client->config;

	if (!engine->chan)
		return -EIO;
	/* An engine without it has nothing to configure. */
	if (!engine->chan->device->device_config)
		return 0;
	if (sgring_should_fail())
		return -EIO;
	config.direction = engine->client->direction;
	return dmaengine_slave_config(engine->chan, &config);
}

/**
 * sgring_engine_renew() - request the channel anew
 * @engine: with nothing in flight; its channel may be gone already
 *
 * Return: 0, or what dma_request_chan() or dmaengine_slave_config() gave, or
 * -ENXIO if another device is behind the name now; then there is no channel.
 */
int sgring_engine_renew(struct sgring_engine *engine)
{
	struct dma_chan *chan;
	int ret;

	sgring_engine_close(engine);
	chan = dma_request_chan(engine->client->dev, engine->client->channel);
	if (IS_ERR(chan))
		return PTR_ERR(chan);
	/* The memory stays mapped: it must be the same device behind the name. */
	if (dmaengine_get_dma_device(chan) != engine->dma_dev) {
		dma_release_channel(chan);
		return -ENXIO;
	}
	engine->chan = chan;
	ret = sgring_engine_configure(engine);
	if (ret)
		sgring_engine_close(engine);
	return ret;
}

/**
 * sgring_engine_stop() - end all transfers; no callback runs when it returns
 * @engine: the stream ignores completions already
 * @again: it will be used again
 *
 * Return: 0; -EIO: it could not be stopped and may still write to memory.
 * A channel that could not be renewed is not an error here: the next arm says so.
 */
int sgring_engine_stop(struct sgring_engine *engine, bool again)
{
	int ret;

	if (!engine->chan)
		return 0;
	ret = dmaengine_terminate_sync(engine->chan);
	if (ret) {
		dev_err(engine->client->dev, "%s: terminate failed: %d\n",
			sgring_engine_name(engine), ret);
		return -EIO;
	}
	if (again && (engine->quirks & SGRING_QUIRK_RENEW)) {
		ret = sgring_engine_renew(engine);
		if (ret)
			dev_err(engine->client->dev, "channel not to be had again: %d\n", ret);
	}
	return 0;
}

/**
 * sgring_engine_prep() - a descriptor of the engine for a transfer
 * @engine: with a channel
 * @table: mapped
 *
 * Any context that may take the engine driver's lock.
 *
 * Return: NULL if the engine has none now.
 */
struct dma_async_tx_descriptor *sgring_engine_prep(struct sgring_engine *engine,
						   struct sg_table *table)
{
	if (sgring_should_fail())
		return NULL;
	return dmaengine_prep_slave_sg(engine->chan, table->sgl, table->nents,
				       engine->client->direction,
				       DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
}

/**
 * sgring_engine_residue() - how much of a running transfer is missing
 * @engine: any
 * @cookie: of the transfer
 * @residue: where to put the bytes still missing
 *
 * Any context that may take the engine driver's lock.
 *
 * Return: true if the engine knows.
 */
bool sgring_engine_residue(struct sgring_engine *engine, dma_cookie_t cookie, u32 *residue)
{
	struct dma_tx_state state = {};
	enum dma_status status;

	if (!engine->residue_known || !engine->chan)
		return false;
	status = dmaengine_tx_status(engine->chan, cookie, &state);
	if (status == DMA_ERROR)
		return false;
	*residue = status == DMA_COMPLETE ? 0 : state.residue;
	return true;
}

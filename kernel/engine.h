/* SPDX-License-Identifier: GPL-2.0-only */
/* sgring: the dmaengine channel of a stream, and what it can be trusted with; see engine.c */
#ifndef SGRING_ENGINE_H
#define SGRING_ENGINE_H

#include <linux/dmaengine.h>
#include <linux/scatterlist.h>
#include <linux/sgring.h>
#include <linux/types.h>

#include "client.h"
#include "plan.h"

/**
 * struct sgring_engine - a channel and what is known about it
 * @client: who streams; from registration on
 * @chan: the channel, or NULL after a renewal failed
 * @dma_dev: the device to map memory against
 * @limits: of a segment and a slot
 * @quirks: SGRING_QUIRK_*
 * @depth_max: most transfers at a time
 * @depth_default: transfers at a time if nobody says otherwise
 * @burst_segments: what the engine calls max_sg_burst; told, not a limit
 * @length_known: completions of short transfers carry their length
 * @residue_known: dmaengine_tx_status() tells the length of a cut transfer
 */
struct sgring_engine {
	const struct sgring_client *client;
	struct dma_chan *chan;
	struct device *dma_dev;
	struct sgring_limits limits;
	u32 quirks;
	u32 depth_max;
	u32 depth_default;
	u32 burst_segments;
	bool length_known;
	bool residue_known;
};

int sgring_engine_open(struct sgring_engine *engine, const struct sgring_client *client);
void sgring_engine_close(struct sgring_engine *engine);
int sgring_engine_configure(struct sgring_engine *engine);
int sgring_engine_renew(struct sgring_engine *engine);
int sgring_engine_stop(struct sgring_engine *engine, bool again);
struct dma_async_tx_descriptor *sgring_engine_prep(struct sgring_engine *engine,
						   struct sg_table *table);
bool sgring_engine_residue(struct sgring_engine *engine, dma_cookie_t cookie, u32 *residue);
const char *sgring_engine_name(const struct sgring_engine *engine);

#endif /* SGRING_ENGINE_H */

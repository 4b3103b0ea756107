// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-null: a client of bench-engine that keeps it busy, and nothing else
 *
 * Its callback submits the same transfer again. What a system with a busy engine costs beside
 * the ways that are compared: interrupts, the engine, the clock's tick.
 *
 *   /sys/module/bench_null/parameters/run   written: so many channels run, 0: none
 */
#include <linux/dmaengine.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "board.h"

#define DEPTH	4	/* transfers at a time */

struct null {
	struct dma_chan *chan;
	struct scatterlist sg;
	bool run;
};

static DEFINE_MUTEX(lock);		/* nulls, run */
static struct null *nulls[BENCH_STREAMS];

static bool null_submit(struct null *n);

static void null_callback(void *param)
{
	null_submit(param);
}

static bool null_submit(struct null *n)
{
	struct dma_async_tx_descriptor *tx;

	if (!READ_ONCE(n->run))
		return false;
	tx = dmaengine_prep_slave_sg(n->chan, &n->sg, 1, DMA_DEV_TO_MEM,
				     DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
	if (!tx)
		return false;
	tx->callback = null_callback;
	tx->callback_param = n;
	dmaengine_submit(tx);
	dma_async_issue_pending(n->chan);
	return true;
}

static void null_run(struct null *n, bool run)
{
	int i;

	if (n->run == run)
		return;
	WRITE_ONCE(n->run, run);
	for (i = 0; i < DEPTH && null_submit(n); i++)
		;
	if (!run)
		dmaengine_terminate_sync(n->chan);
}

static int run_set(const char *text, const struct kernel_param *kp)
{
	unsigned int count, i;
	int err = kstrtouint(text, 0, &count);

	mutex_lock(&lock);
	for (i = 0; !err && i < BENCH_STREAMS; i++)
		if (nulls[i])
			null_run(nulls[i], i < count);
	mutex_unlock(&lock);
	return err;
}

static const struct kernel_param_ops run_ops = { .set = run_set };
module_param_cb(run, &run_ops, NULL, 0200);
MODULE_PARM_DESC(run, "channels that run");

static int null_probe(struct platform_device *pdev)
{
	struct null *n = devm_kzalloc(&pdev->dev, sizeof(*n), GFP_KERNEL);

	if (!n)
		return -ENOMEM;
	n->chan = dma_request_chan(&pdev->dev, "rx");
	if (IS_ERR(n->chan))
		return PTR_ERR(n->chan);
	/* The engine touches nothing: there need not be any memory. */
	sg_init_table(&n->sg, 1);
	sg_dma_address(&n->sg) = PAGE_SIZE;
	sg_dma_len(&n->sg) = PAGE_SIZE;
	platform_set_drvdata(pdev, n);
	mutex_lock(&lock);
	nulls[pdev->id] = n;
	mutex_unlock(&lock);
	return 0;
}

static int null_remove(struct platform_device *pdev)
{
	struct null *n = platform_get_drvdata(pdev);

	mutex_lock(&lock);
	nulls[pdev->id] = NULL;
	null_run(n, false);
	mutex_unlock(&lock);
	dma_release_channel(n->chan);
	return 0;
}

static struct platform_driver null_driver = {
	.probe = null_probe,
	.remove = null_remove,
	.driver = { .name = "bench-null", .suppress_bind_attrs = true },
};
module_board(null_driver);

MODULE_DESCRIPTION("sgring bench: keeps the engine busy");
MODULE_LICENSE("GPL");

// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: streams come and go with the drivers that register them
 *
 * Owns the class, the device nodes and the list of streams. Process context.
 */
#include <linux/cdev.h>
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/pm.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "compat.h"
#include "debugfs.h"
#include "fault.h"
#include "reaper.h"
#include "stream.h"

#define STREAMS_MAX	256

static struct class *sgring_class;
static dev_t sgring_devt;
struct workqueue_struct *sgring_wq;
static DEFINE_IDA(stream_ids);
static DEFINE_MUTEX(streams_lock);
static LIST_HEAD(streams);

/*
 * The engine's registers and what it was told do not outlive a suspend. The
 * stream is stopped; its end-of-stream entry says why, and it can be started
 * again.
 */
static int stream_suspend(struct device *dev)
{
	struct sgring_stream *s = container_of(dev, struct sgring_stream, dev);

	sgring_lock_settled(s);
	sgring_stop(s, false, 0, -ESHUTDOWN, NULL);
	mutex_unlock(&s->mutex);
	return 0;
}

static int stream_resume(struct device *dev)
{
	struct sgring_stream *s = container_of(dev, struct sgring_stream, dev);
	int ret;

	mutex_lock(&s->mutex);
	/* Without a channel the next arm asks for one. */
	ret = s->engine.chan ? sgring_engine_configure(&s->engine) : 0;
	mutex_unlock(&s->mutex);
	return ret;
}

static const struct dev_pm_ops stream_pm_ops = {
	.suspend = stream_suspend,
	.freeze = stream_suspend,
	.poweroff = stream_suspend,
	.resume = stream_resume,
	.thaw = stream_resume,
	.restore = stream_resume,
};

static void stream_release(struct device *dev)
{
	struct sgring_stream *s = container_of(dev, struct sgring_stream, dev);

	kfree(s->client.channel);
	ida_free(&stream_ids, s->id);
	kvfree(s->cells);
	kfree(s);
}

static bool label_valid(const char *label)
{
	size_t i;

	for (i = 0; label[i]; i++)
		if (!isalnum(label[i]) && !strchr("._-", label[i]))
			return false;
	return i && i < SGRING_NAME_BYTES && label[0] != '.';
}

static bool label_taken(const char *label)
{
	struct sgring_stream *s;

	list_for_each_entry(s, &streams, node)
		if (!strcmp(s->label, label))
			return true;
	return false;
}

static struct sgring_stream *stream_alloc(const struct sgring_client *client)
{
	struct sgring_stream *s;
	int id;

	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return ERR_PTR(-ENOMEM);
	s->cells = kvcalloc(SGRING_CELLS, sizeof(*s->cells), GFP_KERNEL);
	if (!s->cells) {
		kfree(s);
		return ERR_PTR(-ENOMEM);
	}
	id = ida_alloc_max(&stream_ids, STREAMS_MAX - 1, GFP_KERNEL);
	if (id < 0) {
		kvfree(s->cells);
		kfree(s);
		return ERR_PTR(id);
	}
	s->id = id;
	s->client = *client;
	s->client.channel = kstrdup(client->channel, GFP_KERNEL);
	s->client.label = s->label;
	mutex_init(&s->mutex);
	spin_lock_init(&s->note_lock);
	mutex_init(&s->observer_lock);
	mutex_init(&s->read_lock);
	INIT_LIST_HEAD(&s->node);
	INIT_LIST_HEAD(&s->files);
	init_waitqueue_head(&s->settled);
	sgring_pump_init(s);
	device_initialize(&s->dev);
	s->dev.class = sgring_class;
	s->dev.parent = client->dev;
	s->dev.groups = sgring_attr_groups;
	s->dev.release = stream_release;
	s->dev.devt = MKDEV(MAJOR(sgring_devt), id);
	return s;
}

static int stream_add(struct sgring_stream *s)
{
	int ret;

	ret = dev_set_name(&s->dev, "sgring%d", s->id);
	if (ret)
		return ret;
	cdev_init(&s->cdev, &sgring_fops);
	s->cdev.owner = THIS_MODULE;
	ret = cdev_device_add(&s->cdev, &s->dev);
	if (ret)
		return ret;
	list_add_tail(&s->node, &streams);
	return 0;
}

/* Unbinding the engine must unbind the client first. */
static int link_engine(const struct sgring_client *client, const struct sgring_engine *engine)
{
	struct device *provider = engine->chan->device->dev;
	struct device *above;

	if (provider == client->dev)
		return 0;
	/* A link says no for this as for want of memory. */
	for (above = provider->parent; above; above = above->parent) {
		if (above != client->dev)
			continue;
		dev_err(client->dev, "%s depends on it: the stream needs a child device\n",
			dev_name(provider));
		return -EINVAL;
	}
	if (!device_link_add(client->dev, provider, DL_FLAG_AUTOREMOVE_CONSUMER))
		return -ENOMEM;
	return 0;
}

struct sgring_stream *sgring_stream_register(const struct sgring_client *client)
{
	struct sgring_stream *s;
	int ret = -EINVAL;

	if (!client->dev || !client->dev->driver || !client->channel ||
	    (client->label && !label_valid(client->label)) ||
	    (client->direction != DMA_DEV_TO_MEM && client->direction != DMA_MEM_TO_DEV))
		return ERR_PTR(-EINVAL);
	s = stream_alloc(client);
	if (IS_ERR(s))
		return s;
	if (!s->client.channel) {
		put_device(&s->dev);
		return ERR_PTR(-ENOMEM);
	}
	if (client->label)
		strscpy(s->label, client->label, sizeof(s->label));

	mutex_lock(&streams_lock);
	if (client->label && label_taken(s->label)) {
		ret = -EEXIST;
		goto put;
	}
	ret = sgring_engine_open(&s->engine, &s->client);
	if (ret)
		goto put;
	ret = link_engine(client, &s->engine);
	if (ret)
		goto close;
	ret = stream_add(s);
	if (ret)
		goto close;
	sgring_debugfs_add(s);
	mutex_unlock(&streams_lock);
	dev_info(&s->dev, "%s on %s, %s\n", s->label[0] ? s->label : "no label",
		 sgring_engine_name(&s->engine), dma_chan_name(s->engine.chan));
	return s;

close:
	sgring_engine_close(&s->engine);
put:
	mutex_unlock(&streams_lock);
	put_device(&s->dev);
	return ERR_PTR(ret);
}
EXPORT_SYMBOL_GPL(sgring_stream_register);

void sgring_stream_unregister(struct sgring_stream *s)
{
	/* First of all, so that nobody who drains or arms keeps us. */
	spin_lock_bh(&s->lock);
	WRITE_ONCE(s->dead, true);
	spin_unlock_bh(&s->lock);
	wake_up_all(&s->idle_wait);

	mutex_lock(&streams_lock);
	list_del(&s->node);
	mutex_unlock(&streams_lock);
	cdev_device_del(&s->cdev, &s->dev);
	sgring_debugfs_remove(s);
	sgring_lock_settled(s);
	sgring_stop(s, false, 0, -ENODEV, NULL);
	if (s->rings.kernel) {
		/* After the end-of-stream entry. */
		sgring_store_release(&s->rings.kernel->state, SGRING_STATE_DEAD);
		sgring_store_release(&s->rings.kernel->flags, s->rings.kernel->flags | SGRING_DEAD);
	}
	if (!s->leak)
		sgring_unmap(s);
	sgring_engine_close(&s->engine);
	/* The device is going: its name and its operations with it. */
	s->client.ops = NULL;
	s->client.priv = NULL;
	WRITE_ONCE(s->gone, true);
	mutex_unlock(&s->mutex);
	cancel_work_sync(&s->fail_work);
	cancel_work_sync(&s->work);
	wake_up_interruptible_poll(&s->wait, EPOLLHUP | EPOLLERR | EPOLLIN);
	put_device(&s->dev);
}
EXPORT_SYMBOL_GPL(sgring_stream_unregister);

static void devm_unregister(void *stream)
{
	sgring_stream_unregister(stream);
}

struct sgring_stream *devm_sgring_stream_register(const struct sgring_client *client)
{
	struct sgring_stream *s = sgring_stream_register(client);
	int ret;

	if (IS_ERR(s))
		return s;
	ret = devm_add_action_or_reset(client->dev, devm_unregister, s);
	return ret ? ERR_PTR(ret) : s;
}
EXPORT_SYMBOL_GPL(devm_sgring_stream_register);

static int __init sgring_init(void)
{
	int ret;

	sgring_wq = alloc_workqueue("sgring", WQ_UNBOUND | WQ_HIGHPRI, 0);
	if (!sgring_wq)
		return -ENOMEM;
	ret = alloc_chrdev_region(&sgring_devt, 0, STREAMS_MAX, "sgring");
	if (ret)
		goto destroy;
	sgring_class = sgring_class_create("sgring");
	if (IS_ERR(sgring_class)) {
		ret = PTR_ERR(sgring_class);
		goto unregister;
	}
	sgring_class->pm = &stream_pm_ops;
	sgring_fault_init();
	sgring_debugfs_init();
	return 0;

unregister:
	unregister_chrdev_region(sgring_devt, STREAMS_MAX);
destroy:
	destroy_workqueue(sgring_wq);
	return ret;
}

static void __exit sgring_exit(void)
{
	sgring_debugfs_exit();
	sgring_fault_exit();
	class_destroy(sgring_class);
	unregister_chrdev_region(sgring_devt, STREAMS_MAX);
	sgring_reaper_exit();
	destroy_workqueue(sgring_wq);
	ida_destroy(&stream_ids);
}

module_init(sgring_init);
module_exit(sgring_exit);

MODULE_VERSION("1.0.0");
MODULE_DESCRIPTION("Scatter-gather streaming over dmaengine with a ring-buffer ABI");
MODULE_LICENSE("GPL");

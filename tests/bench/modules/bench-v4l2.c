// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench-v4l2: a V4L2 capture device over bench-engine, as a baseline
 *
 * The kernel's own videobuf2 (vb2-dma-sg, MMAP buffers) does the exchange, this driver what a
 * capture driver with a DMA engine behind it does, drivers/media/platform/xilinx for one: each
 * queued buffer goes to the engine at once, the callback stamps it and says that it is done.
 *
 * VIDIOC_S_FMT: sizeimage is the size of a buffer, whole pages. At most 32 of them.
 */
#include <linux/dmaengine.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <media/v4l2-device.h>
#include <media/v4l2-ioctl.h>
#include <media/videobuf2-dma-sg.h>
#include <media/videobuf2-v4l2.h>

#include "board.h"

#define BYTES_MAX	(64U << 20)

struct buffer {
	struct vb2_v4l2_buffer vb;
	struct list_head node;
	struct capture *owner;
};

/**
 * struct capture - a device
 * @v4l2: what every V4L2 device has
 * @video: its node
 * @queue: its buffers
 * @chan: its channel
 * @lock: the ioctls
 * @format: chosen
 * @queued_lock: @queued
 * @queued: buffers in the engine
 * @sequence: of the next
 */
struct capture {
	struct v4l2_device v4l2;
	struct video_device video;
	struct vb2_queue queue;
	struct dma_chan *chan;
	struct mutex lock;		/* the ioctls */
	struct v4l2_pix_format format;
	spinlock_t queued_lock;		/* queued */
	struct list_head queued;
	u32 sequence;
};

static struct buffer *to_buffer(struct vb2_buffer *vb)
{
	return container_of(to_vb2_v4l2_buffer(vb), struct buffer, vb);
}

static void capture_callback(void *param)
{
	struct buffer *buffer = param;
	struct capture *c = buffer->owner;

	spin_lock(&c->queued_lock);
	list_del(&buffer->node);
	spin_unlock(&c->queued_lock);
	buffer->vb.field = V4L2_FIELD_NONE;
	buffer->vb.sequence = c->sequence++;
	buffer->vb.vb2_buf.timestamp = ktime_get_ns();
	vb2_set_plane_payload(&buffer->vb.vb2_buf, 0, c->format.sizeimage);
	vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_DONE);
}

/* ---- buffers ----------------------------------------------------------- */

static int capture_queue_setup(struct vb2_queue *q, unsigned int *buffers, unsigned int *planes,
			       unsigned int sizes[], struct device *alloc_devs[])
{
	struct capture *c = vb2_get_drv_priv(q);

	if (*planes)
		return sizes[0] < c->format.sizeimage ? -EINVAL : 0;
	*planes = 1;
	sizes[0] = c->format.sizeimage;
	return 0;
}

static int capture_buf_prepare(struct vb2_buffer *vb)
{
	struct capture *c = vb2_get_drv_priv(vb->vb2_queue);

	if (vb2_plane_size(vb, 0) < c->format.sizeimage)
		return -EINVAL;
	to_buffer(vb)->owner = c;
	return 0;
}

static void capture_buf_queue(struct vb2_buffer *vb)
{
	struct capture *c = vb2_get_drv_priv(vb->vb2_queue);
	struct sg_table *table = vb2_dma_sg_plane_desc(vb, 0);
	struct dma_async_tx_descriptor *tx;

	tx = dmaengine_prep_slave_sg(c->chan, table->sgl, table->nents, DMA_DEV_TO_MEM,
				     DMA_PREP_INTERRUPT | DMA_CTRL_ACK);
	if (!tx) {
		vb2_buffer_done(vb, VB2_BUF_STATE_ERROR);
		return;
	}
	tx->callback = capture_callback;
	tx->callback_param = to_buffer(vb);
	spin_lock_irq(&c->queued_lock);
	list_add_tail(&to_buffer(vb)->node, &c->queued);
	spin_unlock_irq(&c->queued_lock);
	dmaengine_submit(tx);
	if (vb2_is_streaming(vb->vb2_queue))
		dma_async_issue_pending(c->chan);
}

static int capture_start_streaming(struct vb2_queue *q, unsigned int count)
{
	struct capture *c = vb2_get_drv_priv(q);

	c->sequence = 0;
	dma_async_issue_pending(c->chan);
	return 0;
}

static void capture_stop_streaming(struct vb2_queue *q)
{
	struct capture *c = vb2_get_drv_priv(q);
	struct buffer *buffer, *next;

	dmaengine_terminate_sync(c->chan);
	list_for_each_entry_safe(buffer, next, &c->queued, node) {
		list_del(&buffer->node);
		vb2_buffer_done(&buffer->vb.vb2_buf, VB2_BUF_STATE_ERROR);
	}
}

static const struct vb2_ops capture_queue_ops = {
	.queue_setup = capture_queue_setup,
	.buf_prepare = capture_buf_prepare,
	.buf_queue = capture_buf_queue,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
	.start_streaming = capture_start_streaming,
	.stop_streaming = capture_stop_streaming,
};

/* ---- ioctls ------------------------------------------------------------ */

static int capture_querycap(struct file *file, void *fh, struct v4l2_capability *cap)
{
	strscpy(cap->driver, "bench-v4l2", sizeof(cap->driver));
	strscpy(cap->card, video_devdata(file)->name, sizeof(cap->card));
	return 0;
}

static int capture_enum_fmt(struct file *file, void *fh, struct v4l2_fmtdesc *f)
{
	if (f->index)
		return -EINVAL;
	f->pixelformat = V4L2_PIX_FMT_GREY;
	return 0;
}

static int capture_g_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	struct capture *c = video_drvdata(file);

	f->fmt.pix = c->format;
	return 0;
}

static int capture_try_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	u32 bytes = clamp_t(u32, f->fmt.pix.sizeimage, PAGE_SIZE, BYTES_MAX) & PAGE_MASK;

	f->fmt.pix = (struct v4l2_pix_format) {
		.width = PAGE_SIZE,
		.height = bytes >> PAGE_SHIFT,
		.pixelformat = V4L2_PIX_FMT_GREY,
		.field = V4L2_FIELD_NONE,
		.bytesperline = PAGE_SIZE,
		.sizeimage = bytes,
		.colorspace = V4L2_COLORSPACE_RAW,
	};
	return 0;
}

static int capture_s_fmt(struct file *file, void *fh, struct v4l2_format *f)
{
	struct capture *c = video_drvdata(file);

	if (vb2_is_busy(&c->queue))
		return -EBUSY;
	capture_try_fmt(file, fh, f);
	c->format = f->fmt.pix;
	return 0;
}

static const struct v4l2_ioctl_ops capture_ioctl_ops = {
	.vidioc_querycap = capture_querycap,
	.vidioc_enum_fmt_vid_cap = capture_enum_fmt,
	.vidioc_g_fmt_vid_cap = capture_g_fmt,
	.vidioc_try_fmt_vid_cap = capture_try_fmt,
	.vidioc_s_fmt_vid_cap = capture_s_fmt,
	.vidioc_reqbufs = vb2_ioctl_reqbufs,
	.vidioc_querybuf = vb2_ioctl_querybuf,
	.vidioc_qbuf = vb2_ioctl_qbuf,
	.vidioc_dqbuf = vb2_ioctl_dqbuf,
	.vidioc_streamon = vb2_ioctl_streamon,
	.vidioc_streamoff = vb2_ioctl_streamoff,
};

static const struct v4l2_file_operations capture_fops = {
	.owner = THIS_MODULE,
	.open = v4l2_fh_open,
	.release = vb2_fop_release,
	.unlocked_ioctl = video_ioctl2,
	.poll = vb2_fop_poll,
	.mmap = vb2_fop_mmap,
};

/* ---- the device -------------------------------------------------------- */

static int capture_queue_init(struct capture *c)
{
	struct vb2_queue *q = &c->queue;

	q->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	q->io_modes = VB2_MMAP;
	q->lock = &c->lock;
	q->drv_priv = c;
	q->buf_struct_size = sizeof(struct buffer);
	q->ops = &capture_queue_ops;
	q->mem_ops = &vb2_dma_sg_memops;
	q->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC | V4L2_BUF_FLAG_TSTAMP_SRC_EOF;
	q->dev = dmaengine_get_dma_device(c->chan);
	return vb2_queue_init(q);
}

static int capture_probe(struct platform_device *pdev)
{
	struct capture *c = devm_kzalloc(&pdev->dev, sizeof(*c), GFP_KERNEL);
	struct v4l2_format format = {};
	int err;

	if (!c)
		return -ENOMEM;
	capture_try_fmt(NULL, NULL, &format);
	c->format = format.fmt.pix;
	mutex_init(&c->lock);
	spin_lock_init(&c->queued_lock);
	INIT_LIST_HEAD(&c->queued);
	platform_set_drvdata(pdev, c);
	c->chan = dma_request_chan(&pdev->dev, "rx");
	if (IS_ERR(c->chan))
		return PTR_ERR(c->chan);
	err = v4l2_device_register(&pdev->dev, &c->v4l2);
	if (err)
		goto release;
	err = capture_queue_init(c);
	if (err)
		goto unregister;
	c->video.fops = &capture_fops;
	c->video.ioctl_ops = &capture_ioctl_ops;
	c->video.v4l2_dev = &c->v4l2;
	c->video.queue = &c->queue;
	c->video.release = video_device_release_empty;
	c->video.device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
	strscpy(c->video.name, "bench-v4l2", sizeof(c->video.name));
	video_set_drvdata(&c->video, c);
	err = video_register_device(&c->video, VFL_TYPE_VIDEO, pdev->id);
	if (err)
		goto unregister;
	return 0;

unregister:
	v4l2_device_unregister(&c->v4l2);
release:
	dma_release_channel(c->chan);
	return err;
}

/* Whoever has it open has a reference to the module: nobody has. */
static int capture_remove(struct platform_device *pdev)
{
	struct capture *c = platform_get_drvdata(pdev);

	video_unregister_device(&c->video);
	v4l2_device_unregister(&c->v4l2);
	dma_release_channel(c->chan);
	return 0;
}

static struct platform_driver capture_driver = {
	.probe = capture_probe,
	.remove = capture_remove,
	.driver = { .name = "bench-v4l2", .suppress_bind_attrs = true },
};
module_board(capture_driver);

MODULE_DESCRIPTION("sgring bench: a V4L2 capture device");
MODULE_LICENSE("GPL");

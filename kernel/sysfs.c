// SPDX-License-Identifier: GPL-2.0-only
/*
 * sgring: the attributes in /sys/class/sgring/sgringN; see ABI-sysfs-class-sgring
 *
 * For those who look on: nothing here takes the stream's mutex, so that a reader
 * never waits for a set-up or an arm; nor its spinlock, so that no completion
 * waits for readers, who may be anybody. Process context.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/pid.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sysfs.h>

#include "compat.h"
#include "stream.h"

static struct sgring_stream *stream_of(struct device *dev)
{
	return container_of(dev, struct sgring_stream, dev);
}

/**
 * sgring_refused() - a set-up, an arm or a start was refused: keep why
 * @s: under its mutex
 * @err: negative errno
 * @text: the line that says it; may be empty
 */
void sgring_refused(struct sgring_stream *s, int err, const char *text)
{
	struct sgring_message *m = &s->refused_last;

	spin_lock(&s->note_lock);
	s->refused++;
	snprintf(m->text, sizeof(m->text), "%pe %s", ERR_PTR(err), text);
	spin_unlock(&s->note_lock);
}

static ssize_t label_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", stream_of(dev)->label);
}
static DEVICE_ATTR_RO(label);

static ssize_t abi_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", SGRING_ABI_VERSION);
}
static DEVICE_ATTR_RO(abi_version);

static ssize_t state_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char *const words[] = {
		[SGRING_STATE_IDLE] = "idle",
		[SGRING_STATE_READY] = "ready",
		[SGRING_STATE_ARMED] = "armed",
		[SGRING_STATE_RUNNING] = "running",
		[SGRING_STATE_STOPPING] = "stopping",
		[SGRING_STATE_DEAD] = "dead",
	};
	struct sgring_stream *s = stream_of(dev);
	u32 state = sgring_is_dead(s) ? SGRING_STATE_DEAD : READ_ONCE(s->state);

	return sysfs_emit(buf, "%s\n", words[state]);
}
static DEVICE_ATTR_RO(state);

/* Not that of a process that has gone and left its descriptor to another. */
static ssize_t owner_pid_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct sgring_stream *s = stream_of(dev);
	struct pid *pid;
	pid_t number;

	spin_lock(&s->note_lock);
	pid = get_pid(s->owner_pid);
	spin_unlock(&s->note_lock);
	rcu_read_lock();
	number = pid_task(pid, PIDTYPE_TGID) ? pid_vnr(pid) : 0;
	rcu_read_unlock();
	put_pid(pid);
	return sysfs_emit(buf, "%d\n", number);
}
static DEVICE_ATTR_RO(owner_pid);

static ssize_t quirks_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	static const char *const words[] = { "result", "no_result", "single", "drain", "renew" };
	u32 quirks = stream_of(dev)->engine.quirks;
	unsigned int i;
	ssize_t n = 0;

	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (quirks & BIT(i))
			n += sysfs_emit_at(buf, n, "%s%s", n ? " " : "", words[i]);
	return n + sysfs_emit_at(buf, n, "\n");
}
static DEVICE_ATTR_RO(quirks);

static ssize_t refused_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct sgring_stream *s = stream_of(dev);
	u64 refused;

	spin_lock(&s->note_lock);
	refused = s->refused;
	spin_unlock(&s->note_lock);
	return sysfs_emit(buf, "%llu\n", refused);
}
static DEVICE_ATTR_RO(refused);

static ssize_t refused_last_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct sgring_stream *s = stream_of(dev);
	struct sgring_message m;

	spin_lock(&s->note_lock);
	m = s->refused_last;
	spin_unlock(&s->note_lock);
	return sysfs_emit(buf, "%s\n", m.text);
}
static DEVICE_ATTR_RO(refused_last);

static struct attribute *stream_attrs[] = {
	&dev_attr_label.attr,
	&dev_attr_abi_version.attr,
	&dev_attr_state.attr,
	&dev_attr_owner_pid.attr,
	&dev_attr_quirks.attr,
	&dev_attr_refused.attr,
	&dev_attr_refused_last.attr,
	NULL,
};

static const struct attribute_group stream_group = {
	.attrs = stream_attrs,
};

const struct attribute_group *sgring_attr_groups[] = {
	&stream_group,
	NULL,
};

/* SPDX-License-Identifier: MIT */
/* sgring list: every stream there is, a line each. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tool.h"
#include "world.h"

#define CLASS_DIR "/sys/class/sgring"
#define SAMPLE_NS 250000000

static const char help[] =
	"usage: sgring list [-j]\n"
	"Every stream: its label, state, slots, rate, owner, device, engine. The rate is\n"
	"taken over a quarter of a second, and only where something runs.\n"
	"\n"
	"  -j, --json  as JSON\n"
	"  -h, --help  this text\n"
	"\n"
	"Exit: 0; 2 there is no stream; 1 it did not work.\n";

struct entry {
	char name[32];
	struct sgring *s;
	struct sgring_query query;
	struct attributes attributes;
	uint64_t bytes, at_ns;
	double rate;		/* bytes per second */
};

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	/* sgring10 comes after sgring9. */
	return strlen(x->name) != strlen(y->name) ?
	       (strlen(x->name) > strlen(y->name)) * 2 - 1 : strcmp(x->name, y->name);
}

/*
 * Open each stream the class has; how many. Streams may come and go: skip those;
 * for want of permission one is listed without its @s.
 */
static size_t collect(struct entry **list, bool *denied)
{
	struct entry *e = NULL, *bigger;
	struct dirent *d;
	size_t n = 0;
	int err;
	DIR *dir = opendir(CLASS_DIR);

	while (dir && (d = readdir(dir))) {
		if (strncmp(d->d_name, "sgring", 6) || strlen(d->d_name) >= sizeof(e->name))
			continue;
		bigger = realloc(e, (n + 1) * sizeof(*e));
		if (!bigger)
			break;
		e = bigger;
		memset(&e[n], 0, sizeof(e[n]));
		strcpy(e[n].name, d->d_name);
		err = sgring_observe(&e[n].s, d->d_name);
		if (!err)
			err = sgring_query(e[n].s, &e[n].query);
		if (err == -EACCES) {
			world_line(e[n].query.label, sizeof(e[n].query.label), CLASS_DIR "/%s/label",
				   e[n].name);
			*denied = true;
		} else if (err) {
			library_failed();
			sgring_close(e[n].s);
			continue;
		}
		attributes_of(&e[n].attributes, e[n].name);
		n++;
	}
	if (dir)
		closedir(dir);
	if (n)
		qsort(e, n, sizeof(*e), compare);
	*list = e;
	return n;
}

static bool sample(struct entry *e)
{
	struct sgring_stats st;
	uint64_t at = now_ns();

	if (!e->s || e->query.state != SGRING_STATE_RUNNING || sgring_stats(e->s, &st))
		return false;
	if (e->at_ns)
		e->rate = (double)(st.bytes_done - e->bytes) * 1e9 / (double)(at - e->at_ns);
	e->bytes = st.bytes_done;
	e->at_ns = at;
	return true;
}

static void print(const struct entry *e)
{
	const struct sgring_geometry *g = e->s ? sgring_geometry(e->s) : NULL;
	char slots[48] = "-", rate[32] = "-";

	if (!e->s) {
		printf("%-9s %-16s no permission%s%s\n", e->name, e->query.label[0] ? e->query.label : "-",
		       e->attributes.owner ? "; held by " : "",
		       e->attributes.owner ? process_words(e->attributes.owner) : "");
		return;
	}
	if (g)
		snprintf(slots, sizeof(slots), "%u x %s", g->slot_count, size_words(g->slot_bytes));
	if (e->at_ns)
		snprintf(rate, sizeof(rate), "%.1f MB/s", e->rate / 1e6);
	printf("%-9s %-16s %-9s %-18s %-12s %-20s %-18s %s\n", e->name,
	       e->query.label[0] ? e->query.label : "-", state_word(e->query.state), slots, rate,
	       process_words(e->attributes.owner), e->query.device, e->query.engine);
}

static void print_json(const struct entry *e)
{
	const struct sgring_geometry *g = e->s ? sgring_geometry(e->s) : NULL;

	json_open(NULL, '{');
	json_string("name", e->name);
	json_string("label", e->query.label);
	json_number("owner_pid", e->attributes.owner);
	json_string("owner", process_words(e->attributes.owner));
	json_number("refused", e->attributes.refused);
	if (!e->s) {
		json_string("state", "no permission");
		json_close('}');
		return;
	}
	json_string("device", e->query.device);
	json_string("engine", e->query.engine);
	json_string("channel", e->query.channel);
	json_string("state", state_word(e->query.state));
	if (g) {
		json_number("slot_count", g->slot_count);
		json_number("slot_bytes", g->slot_bytes);
	}
	if (e->at_ns)
		json_rate("bytes_per_s", e->rate);
	json_close('}');
}

int list_main(int argc, char **argv)
{
	const struct timespec pause = { .tv_nsec = SAMPLE_NS };
	struct arguments a;
	struct entry *list;
	bool running = false, denied = false;
	size_t n, i;

	if (!parse_arguments(&a, argc, argv, 0, 0, help))
		return EXIT_FAILED;
	n = collect(&list, &denied);
	for (i = 0; i < n; i++)
		running |= sample(&list[i]);
	if (running)
		nanosleep(&pause, NULL);
	for (i = 0; i < n && running; i++)
		sample(&list[i]);
	if (a.json)
		json_open(NULL, '[');
	else if (n)
		printf("%-9s %-16s %-9s %-18s %-12s %-20s %-18s %s\n", "NAME", "LABEL", "STATE", "SLOTS",
		       "RATE", "OWNER", "DEVICE", "ENGINE");
	for (i = 0; i < n; i++) {
		if (a.json)
			print_json(&list[i]);
		else
			print(&list[i]);
		sgring_close(list[i].s);
	}
	if (a.json) {
		json_close(']');
		json_end();
	} else if (!n) {
		fprintf(stderr, "sgring: no streams (is the driver loaded, and a device bound to it?)\n");
	}
	if (denied)
		open_failed("these", -EACCES);
	free(list);
	return denied ? EXIT_FAILED : n ? EXIT_OK : EXIT_NOTHING;
}

/* SPDX-License-Identifier: MIT */
/* sgring dump: the whole state of a stream's rings at one moment. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "image.h"
#include "tool.h"

static const char help[] =
	"usage: sgring dump [OPTION...] NAME\n"
	"       sgring dump [OPTION...] --from FILE\n"
	"Both rings, and who has which slot, at one moment; or it says that it is torn,\n"
	"and what moved. NAME is a label, sgringN or a path.\n"
	"\n"
	"  -t, --table      a line for each slot, and each entry that waits\n"
	"  -m, --map        only the map, one character a slot however many there are\n"
	"  -j, --json       as JSON\n"
	"      --raw FILE   keep the image, for later or a bug report\n"
	"      --from FILE  look at one that was kept\n"
	"      --tries N    copy at most N times to get one moment (default 1000)\n"
	"  -h, --help       this text\n"
	"\n"
	"Exit: 0; 2 it is torn, or something contradicts itself, or nobody has set up\n"
	"the stream; 1 it did not work.\n";

/* Columns of the map, and the rows into which it is folded. */
#define COLUMNS		64U
#define ROWS		16U

/* A pass of the kernel may be under way for so long, with all its rules broken in the middle. */
#define STILL_USEC	2000
#define STILL_TRIES	10

static const char letters[SLOT_OWNERS] = {
	[SLOT_USER] = 'U', [SLOT_QUEUED] = 'Q', [SLOT_DMA] = 'D', [SLOT_DONE] = 'C',
	[SLOT_GATED] = 'G', [SLOT_FREE] = '.', [SLOT_ODD] = '?',
};

struct options {
	bool table, map, json;
	const char *raw, *from, *name;
	unsigned int tries;
};

static bool take_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "table", no_argument, NULL, 't' },
		{ "map", no_argument, NULL, 'm' },
		{ "json", no_argument, NULL, 'j' },
		{ "raw", required_argument, NULL, 'r' },
		{ "from", required_argument, NULL, 'f' },
		{ "tries", required_argument, NULL, 'n' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	*o = (struct options){ .tries = 1000 };
	while ((c = getopt_long(argc, argv, "tmjh", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			o->table = true;
			break;
		case 'm':
			o->map = true;
			break;
		case 'j':
			o->json = true;
			break;
		case 'r':
			o->raw = optarg;
			break;
		case 'f':
			o->from = optarg;
			break;
		case 'n':
			o->tries = (unsigned int)number_option("tries", optarg, 1, 1000000);
			break;
		case 'h':
			fputs(help, stdout);
			exit(EXIT_OK);
		default:
			return false;
		}
	}
	if (argc - optind != !o->from) {
		fputs(help, stderr);
		return false;
	}
	o->name = o->from ? NULL : argv[optind];
	return true;
}

/* ---- drawing ---- */

/* "12.3 us", as ages are: from nanoseconds to days. */
static const char *age_words(uint64_t ns)
{
	static char text[4][32];
	static unsigned int turn;
	char *t = text[turn++ % 4];

	if (ns < 1000000)
		snprintf(t, sizeof(text[0]), "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(t, sizeof(text[0]), "%.1f ms", (double)ns / 1e6);
	else
		return duration_words(ns);
	return t;
}

static const char *flag_words(uint32_t flags)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s%s%s%s", flags & SGRING_NEED_WAKEUP ? " NEED_WAKEUP" : "",
		 flags & SGRING_STARVED ? " STARVED" : "", flags & SGRING_DEAD ? " DEAD" : "",
		 flags ? "" : " none");
	return text + 1;
}

/* One line: what moved from the first look to the second; NULL: nothing. */
static const char *moved_words(const struct image *im)
{
	const struct image_look *a = &im->first, *b = &im->second;
	static char text[256];
	size_t n = 0;
	const struct {
		const char *name;
		uint32_t by;
	} moved[] = {
		{ "cq_producer", b->cq_producer - a->cq_producer },
		{ "cq_consumer", b->cq_consumer - a->cq_consumer },
		{ "sq_producer", b->sq_producer - a->sq_producer },
		{ "sq_consumer", b->sq_consumer - a->sq_consumer },
		{ "generations", b->generations - a->generations },
		{ "epoch", b->epoch - a->epoch },
		{ "lines of the slot table", b->slots },
	};
	size_t i;

	if (!image_torn(im))
		return NULL;
	text[0] = 0;
	for (i = 0; i < sizeof(moved) / sizeof(moved[0]); i++)
		if (moved[i].by)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s by %" PRIu32,
					      n ? ", " : "", moved[i].name, moved[i].by);
	if (a->flags != b->flags)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%sflags", n ? ", " : "");
	if (a->state != b->state)
		snprintf(text + n, sizeof(text) - n, "%sstate", n ? ", " : "");
	return text;
}

static void print_head(const struct image *im)
{
	const struct sgring_geometry *g = &im->geometry;

	printf("%s%s%s%s: %s, epoch %" PRIu32 ", %" PRIu32 " slots of %s\n", im->name,
	       im->label[0] && strcmp(im->label, im->name) ? " (" : "",
	       strcmp(im->label, im->name) ? im->label : "",
	       im->label[0] && strcmp(im->label, im->name) ? ")" : "", state_word(im->first.state),
	       im->first.epoch, g->slot_count, size_words(g->slot_bytes));
	if (image_torn(im))
		printf("TORN, after %" PRIu32 " copies; while the last was made these moved:\n  %s\n",
		       im->tries, moved_words(im));
	else
		printf("consistent: nothing moved while it was copied (copy %" PRIu32 ")\n", im->tries);
	printf("\n");
}

/* As in uapi/linux/sgring_ring.h: the application on the left, the kernel on the right. */
static void print_indices(const struct image *im, const struct ring_view *v)
{
	const struct sgring_geometry *g = &im->geometry;
	const struct image_look *l = &im->first;
	char sq[16] = "-", cq[16] = "-", sq_text[32] = "-", cq_text[32] = "-";

	if (im->has_user) {
		snprintf(sq, sizeof(sq), "%" PRIu32, l->sq_producer);
		snprintf(cq, sizeof(cq), "%" PRIu32, l->cq_consumer);
		snprintf(sq_text, sizeof(sq_text), "%" PRIu32, v->sq_pending);
		snprintf(cq_text, sizeof(cq_text), "%" PRIu32, v->cq_pending);
	}
	printf("      application                            kernel\n"
	       "  SQ  sq_producer %10s  ---->  sq_consumer %10" PRIu32 "   %s of %" PRIu32 " wait\n"
	       "  CQ  cq_consumer %10s  <----  cq_producer %10" PRIu32 "   %s of %" PRIu32 " wait\n"
	       "                                        flags %s\n\n",
	       sq, l->sq_consumer, sq_text, g->sq_entries, cq, l->cq_producer, cq_text, g->cq_entries,
	       flag_words(l->flags));
	if (!im->has_user)
		printf("  This kernel shows the application's side to its owner alone: user slots may be\n"
		       "  queued or done as well.\n\n");
}

/* The character of slots @from to @to: a small letter if they differ, and it is most of them. */
static char map_letter(const struct ring_view *v, uint32_t from, uint32_t to)
{
	uint32_t count[SLOT_OWNERS] = { 0 }, i;
	unsigned int o, most = 0;

	for (i = from; i < to; i++) {
		if (v->slots[i].contradiction)
			return '?';
		count[v->slots[i].owner]++;
	}
	if (v->next >= from && v->next < to)
		return '>';
	for (o = 1; o < SLOT_OWNERS; o++)
		if (count[o] > count[most])
			most = o;
	if (count[most] == to - from)
		return letters[most];
	return most == SLOT_FREE ? ':' : (char)(letters[most] | 0x20);
}

static void print_map(const struct image *im, const struct ring_view *v, bool whole)
{
	uint32_t slots = im->geometry.slot_count, each = 1, row, i;

	while (!whole && (slots + each - 1) / each > COLUMNS * ROWS)
		each *= 2;
	for (row = 0; row < slots; row += COLUMNS * each) {
		printf("  %6" PRIu32 "  ", row);
		for (i = row; i < slots && i < row + COLUMNS * each; i += each)
			putchar(map_letter(v, i, i + each < slots ? i + each : slots));
		putchar('\n');
	}
	printf("          U user  Q queued in the SQ  D with the engine  > the next it fills\n"
	       "          C in the CQ, not looked at  G at the gate  . free  ? contradictory\n");
	if (each > 1)
		printf("          each for %" PRIu32 " slots: a small letter, or \":\" for free, is most of them\n",
		       each);
	putchar('\n');
}

static void print_counts(const struct ring_view *v)
{
	unsigned int o, n = 0;

	for (o = 0; o < SLOT_OWNERS; o++)
		if (v->count[o] || o != SLOT_ODD)
			printf("%s%" PRIu32 " %s", n++ ? ", " : "  ", v->count[o], owner_word(o));
	printf("\n");
	for (o = 0; o < SLOT_OWNERS; o++) {
		uint32_t slot = v->oldest[o];

		if (slot != SGRING_NO_SLOT && v->slots[slot].age_ns)
			printf("  longest %-6s  slot %-6" PRIu32 " for %s\n", owner_word(o), slot,
			       age_words(v->slots[slot].age_ns));
	}
	if (v->next != SGRING_NO_SLOT)
		printf("  next filled     slot %-6" PRIu32 " with the engine for %s\n", v->next,
		       age_words(v->slots[v->next].age_ns));
}

static void print_contradictions(const struct ring_view *v)
{
	uint32_t i;

	if (!v->contradictions)
		return;
	printf("\n%" PRIu32 " contradiction%s:\n", v->contradictions, v->contradictions > 1 ? "s" : "");
	for (i = 0; i < v->contradictions && i < RING_SENTENCES; i++)
		printf("  %s\n", v->sentences[i]);
	if (i < v->contradictions)
		printf("  and %" PRIu32 " more\n", v->contradictions - i);
}

static const char *cqe_flags(uint32_t flags)
{
	static const char *const names[] = {
		"gap", "stall", "end-of-packet", "length-assumed", "end-of-stream", "device-time", "partial",
	};
	static char text[128];
	size_t i, n = 0;

	text[0] = 0;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (flags >> i & 1)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? "," : "", names[i]);
	return text;
}

static void print_table(const struct image *im, const struct ring_view *v)
{
	uint32_t i;

	printf("\n%6s %-7s %10s %10s %12s %16s\n", "slot", "owner", "age", "generation", "sequence",
	       "position");
	for (i = 0; i < im->geometry.slot_count; i++) {
		const struct slot_view *s = &v->slots[i];

		printf("%6" PRIu32 " %-7s %10s %10" PRIu32 " %12" PRIu64 " %16" PRIu64 "%s%s%s\n", i,
		       owner_word(s->owner), s->info.time_ns ? age_words(s->age_ns) : "-",
		       s->info.generation, (uint64_t)s->info.sequence, (uint64_t)s->info.position_bytes,
		       i == v->next ? "  next" : "", s->contradiction ? "  ?" : "",
		       s->moved ? "  moved" : "");
	}
	if (v->cq_seen)
		printf("\n%10s %6s %12s %16s %10s  %s\n", "CQ", "slot", "sequence", "position", "length",
		       "flags");
	for (i = 0; i < v->cq_seen; i++) {
		struct sgring_cqe e = ring_cqe(im, i);
		char slot[16] = "-";

		if (e.slot != SGRING_NO_SLOT)
			snprintf(slot, sizeof(slot), "%" PRIu32, e.slot);
		printf("%10" PRIu32 " %6s %12" PRIu64 " %16" PRIu64 " %10" PRIu32 "  %s%s%s\n",
		       im->first.cq_consumer + i, slot, (uint64_t)e.sequence, (uint64_t)e.position_bytes,
		       e.length_bytes, cqe_flags(e.flags), e.status ? " " : "",
		       e.status ? strerror((int)-(int64_t)e.status) : "");
	}
	if (v->sq_seen)
		printf("\n%10s %6s %20s\n", "SQ", "slot", "cookie");
	for (i = 0; i < v->sq_seen; i++) {
		struct sgring_sqe e = ring_sqe(im, i);

		printf("%10" PRIu32 " %6" PRIu32 " %20" PRIu64 "\n", im->first.sq_consumer + i, e.slot,
		       (uint64_t)e.cookie);
	}
}

/* ---- JSON ---- */

static void json_look(const char *key, const struct image *im, const struct image_look *l)
{
	json_open(key, '{');
	json_number("cq_producer", l->cq_producer);
	json_number("sq_consumer", l->sq_consumer);
	if (im->has_user) {
		json_number("cq_consumer", l->cq_consumer);
		json_number("sq_producer", l->sq_producer);
	}
	json_number("epoch", l->epoch);
	json_string("state", state_word(l->state));
	json_bool("need_wakeup", l->flags & SGRING_NEED_WAKEUP);
	json_bool("starved", l->flags & SGRING_STARVED);
	json_bool("dead", l->flags & SGRING_DEAD);
	json_close('}');
}

static void json_slots(const struct image *im, const struct ring_view *v)
{
	uint32_t i;

	json_open("slots", '[');
	for (i = 0; i < im->geometry.slot_count; i++) {
		const struct slot_view *s = &v->slots[i];

		json_open(NULL, '{');
		json_number("slot", i);
		json_string("owner", owner_word(s->owner));
		json_number("age_ns", s->age_ns);
		json_number("generation", s->info.generation);
		json_number("sequence", s->info.sequence);
		json_number("position", s->info.position_bytes);
		json_bool("next", i == v->next);
		json_bool("moved", s->moved);
		json_bool("contradiction", s->contradiction);
		json_close('}');
	}
	json_close(']');
}

static void json_entries(const struct image *im, const struct ring_view *v)
{
	uint32_t i;

	json_open("cq", '[');
	for (i = 0; i < v->cq_seen; i++) {
		struct sgring_cqe e = ring_cqe(im, i);

		json_open(NULL, '{');
		json_number("index", im->first.cq_consumer + i);
		if (e.slot != SGRING_NO_SLOT)
			json_number("slot", e.slot);
		json_number("sequence", e.sequence);
		json_number("position", e.position_bytes);
		json_number("length", e.length_bytes);
		json_number("cookie", e.cookie);
		json_string("flags", cqe_flags(e.flags));
		json_string("error", e.status ? strerror((int)-(int64_t)e.status) : "");
		json_close('}');
	}
	json_close(']');
	json_open("sq", '[');
	for (i = 0; i < v->sq_seen; i++) {
		struct sgring_sqe e = ring_sqe(im, i);

		json_open(NULL, '{');
		json_number("index", im->first.sq_consumer + i);
		json_number("slot", e.slot);
		json_number("cookie", e.cookie);
		json_close('}');
	}
	json_close(']');
}

static void print_json(const struct image *im, const struct ring_view *v)
{
	const struct sgring_geometry *g = &im->geometry;
	const char *moved = moved_words(im);
	unsigned int o;
	uint32_t i;

	json_open(NULL, '{');
	json_string("name", im->name);
	json_string("label", im->label);
	json_bool("torn", moved);
	json_string("moved", moved ? moved : "");
	json_number("tries", im->tries);
	json_number("slot_count", g->slot_count);
	json_number("slot_bytes", g->slot_bytes);
	json_number("cq_entries", g->cq_entries);
	json_number("sq_entries", g->sq_entries);
	json_bool("user_side", im->has_user);
	json_look("at", im, &im->first);
	if (im->has_user) {
		json_number("cq_pending", v->cq_pending);
		json_number("sq_pending", v->sq_pending);
	}
	json_open("owners", '{');
	for (o = 0; o < SLOT_OWNERS; o++)
		json_number(owner_word(o), v->count[o]);
	json_close('}');
	json_open("contradictions", '[');
	for (i = 0; i < v->contradictions && i < RING_SENTENCES; i++)
		json_string(NULL, v->sentences[i]);
	json_close(']');
	json_number("contradiction_count", v->contradictions);
	json_slots(im, v);
	json_entries(im, v);
	json_close('}');
	json_end();
}

/* ---- taking ---- */

static const void *map_side(struct sgring *s, uint64_t offset, uint64_t bytes)
{
	void *p = mmap(NULL, (size_t)bytes, PROT_READ, MAP_SHARED, sgring_fd(s), (off_t)offset);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Until it is of one moment, and nothing in it contradicts itself, as it may for as long as the
 * kernel is in the middle of a pass; what stays is real.
 */
static int take_still(struct image *im, struct ring_view *v, const void *kernel, const void *user,
		      unsigned int tries)
{
	const struct timespec pause = { .tv_nsec = STILL_USEC * 1000 };
	unsigned int i;
	int err;

	for (i = 0; ; i++) {
		err = image_take(im, kernel, user, tries);
		if (!err)
			err = ring_judge(im, v);
		if (err || !v->contradictions || i == STILL_TRIES)
			break;
		ring_free(v);
		image_free(im);
		nanosleep(&pause, NULL);
	}
	if (!err)
		return EXIT_OK;
	fprintf(stderr, "sgring: %s: %s\n", im->name, err == -EPROTO ?
		"the kernel's geometry makes no sense" : strerror(-err));
	return EXIT_FAILED;
}

/* Of a stream that is there. */
static int take(struct image *im, struct ring_view *v, const struct options *o)
{
	const struct sgring_geometry *g;
	struct sgring_query q = { .label = "" };
	const void *kernel, *user;
	struct sgring *s;
	int err, code;

	err = sgring_observe(&s, o->name);
	if (err)
		return open_failed(o->name, err);
	snprintf(im->name, sizeof(im->name), "%s", o->name);
	if (!sgring_query(s, &q))
		memcpy(im->label, q.label, sizeof(im->label) - 1);
	g = sgring_geometry(s);
	if (!g) {
		fprintf(stderr, "sgring: %s: nobody has set up this stream\n", o->name);
		sgring_close(s);
		return EXIT_NOTHING;
	}
	im->geometry = *g;
	kernel = map_side(s, g->kernel_offset, g->kernel_bytes);
	if (!kernel) {
		fprintf(stderr, "sgring: %s: cannot map the kernel side: %s\n", o->name, strerror(errno));
		sgring_close(s);
		return EXIT_FAILED;
	}
	/* A kernel that keeps it to the owner: without. */
	user = map_side(s, g->user_offset, g->user_bytes);
	code = take_still(im, v, kernel, user, o->tries);
	if (code == EXIT_OK && sgring_stats(s, &im->stats))
		im->stats.size = 0;
	munmap((void *)kernel, (size_t)g->kernel_bytes);
	if (user)
		munmap((void *)user, (size_t)g->user_bytes);
	sgring_close(s);
	return code;
}

static int load(struct image *im, struct ring_view *v, const struct options *o)
{
	char error[512];

	if (image_load(im, o->from, error, sizeof(error)) || ring_judge(im, v)) {
		fprintf(stderr, "sgring: %s\n", im->kernel ? "no memory" : error);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int show(const struct image *im, const struct ring_view *v, const struct options *o)
{
	if (o->json) {
		print_json(im, v);
	} else if (o->map) {
		print_map(im, v, true);
	} else {
		print_head(im);
		print_indices(im, v);
		print_map(im, v, false);
		print_counts(v);
		if (o->table)
			print_table(im, v);
		print_contradictions(v);
	}
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "sgring: cannot write: %s\n", strerror(errno));
		return EXIT_FAILED;
	}
	return image_torn(im) || v->contradictions ? EXIT_LOST : EXIT_OK;
}

int dump_main(int argc, char **argv)
{
	struct image im = { .kernel = NULL };
	struct ring_view v = { .slots = NULL };
	struct options o;
	char error[512];
	int code;

	if (!take_options(&o, argc, argv))
		return EXIT_FAILED;
	code = o.from ? load(&im, &v, &o) : take(&im, &v, &o);
	if (code == EXIT_OK)
		code = show(&im, &v, &o);
	if (im.kernel && o.raw && image_save(&im, o.raw, error, sizeof(error))) {
		fprintf(stderr, "sgring: %s\n", error);
		code = EXIT_FAILED;
	}
	ring_free(&v);
	image_free(&im);
	return code;
}

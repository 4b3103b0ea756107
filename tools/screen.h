/* SPDX-License-Identifier: MIT */
/* sgring top: the terminal, by ncurses: drawing what watch.h knows, and keys. */
#ifndef SGRING_SCREEN_H
#define SGRING_SCREEN_H

#include "watch.h"

/**
 * struct view - what is shown
 * @list: streams
 * @count: how many
 * @selected: the one of which more is shown
 * @interval: between two looks, seconds
 * @paused: nobody looks
 * @help: keys instead
 * @now_ns: right end of the graphs
 */
struct view {
	struct watch *const *list;
	unsigned int count;
	unsigned int selected;
	double interval;
	bool paused;
	bool help;
	uint64_t now_ns;
};

enum screen_key {
	SCREEN_NONE,	/* nothing was pressed */
	SCREEN_OTHER,	/* something to draw anew for */
	SCREEN_QUIT,
	SCREEN_UP,
	SCREEN_DOWN,
	SCREEN_PAUSE,
	SCREEN_HELP,
	SCREEN_FASTER,
	SCREEN_SLOWER,
	SCREEN_CLOSED,	/* the terminal is gone */
};

/* NULL, or what is wrong with this terminal in some words. */
const char *screen_open(void);
void screen_close(void);
void screen_draw(const struct view *v);
/* Wait so long for a key, or a signal. */
enum screen_key screen_key(int timeout_ms);

#endif /* SGRING_SCREEN_H */

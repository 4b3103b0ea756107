/* SPDX-License-Identifier: MIT */
/* sgring(1): words for numbers. */
#include <string.h>
#include <time.h>

#include "tool.h"

const char *state_word(uint32_t state)
{
	static const char *const words[] = {
		[SGRING_STATE_IDLE] = "idle",
		[SGRING_STATE_READY] = "ready",
		[SGRING_STATE_ARMED] = "armed",
		[SGRING_STATE_RUNNING] = "running",
		[SGRING_STATE_STOPPING] = "stopping",
		[SGRING_STATE_DEAD] = "dead",
	};

	return state < sizeof(words) / sizeof(words[0]) ? words[state] : "unknown";
}

static const char *bit_words(uint64_t bits, const char *const *names, unsigned int count)
{
	static char text[512];
	size_t used = 0;
	unsigned int i;

	text[0] = 0;
	for (i = 0; i < 64; i++) {
		if (!(bits >> i & 1))
			continue;
		if (i < count)
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s",
						 used ? ", " : "", names[i]);
		else
			used += (size_t)snprintf(text + used, sizeof(text) - used, "%sbit %u",
						 used ? ", " : "", i);
		if (used >= sizeof(text))
			break;
	}
	return text[0] ? text : "none";
}

const char *feature_words(uint64_t features)
{
	static const char *const names[] = {
		"capture", "playback", "drop", "gate", "metadata", "true length",
		"loss counter", "device time", "read", "observers",
	};

	return bit_words(features, names, sizeof(names) / sizeof(names[0]));
}

/* SGRING_QUIRK_*, from bit 0 on. */
const char *quirk_words(uint32_t quirks)
{
	static const char *const names[] = {
		"its residue is the truth", "no completion result", "one segment per slot",
		"never terminated in mid-packet", "channel renewed after a stop",
	};

	return bit_words(quirks, names, sizeof(names) / sizeof(names[0]));
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

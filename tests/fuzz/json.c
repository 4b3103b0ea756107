/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Fuzzing tools/json.c: whatever bytes a name or a description has, what is written is JSON, and
 * says them
 */
#include "fuzz.h"
#include "json_check.h"
#include "tool.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	uint64_t number = take(&in, 8);
	char *key = take_block(&in, 8), *text, *out = NULL;
	size_t bytes = 0;
	FILE *f;

	key[7] = 0;
	text = take_text(&in);
	f = open_memstream(&out, &bytes);
	claim(f);
	json_to(f);
	json_open(NULL, '{');
	json_string("text", text);
	json_open(key, '[');
	json_number(NULL, number);
	json_rate(NULL, (double)number / 7);
	json_bool(NULL, number & 1);
	json_string(NULL, text);
	json_open(NULL, '{');
	json_close('}');
	json_close(']');
	json_close('}');
	json_end();
	json_to(NULL);
	fclose(f);
	claim(json_check(out));
	claim(json_says(out, "\"text\": ", text));
	free(out);
	free(text);
	free(key);
	return 0;
}

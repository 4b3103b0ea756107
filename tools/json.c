/* SPDX-License-Identifier: MIT */
/*
 * sgring(1): JSON to write, by json-c. What is between json_open() and json_end() is built, and
 * written in one go: nothing half is ever read.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A type there has the name of a function here. */
#define json_bool json_c_bool
#include <json-c/json.h>
#undef json_bool

#include "tool.h"

#define DEPTH 16

/* What goes to stdout, and what goes to a file in the middle of it. */
static struct document {
	json_object *open[DEPTH];	/* the outermost first, which owns the others */
	unsigned int depth;
	bool failed;
} documents[2];
static struct document *doc = documents;
static FILE *file;

void json_to(FILE *f)
{
	file = f;
	doc = &documents[!!f];
}

/* Bytes of the character of UTF-8 here; 0: it is none. */
static unsigned int character(const unsigned char *s)
{
	unsigned int n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 :
			 *s >= 0xf0 && *s < 0xf5 ? 4 : 0, i;

	for (i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Too long for what they say, a surrogate, or beyond the last. */
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
	    (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* json-c passes on what is no UTF-8; such bytes become the characters of their numbers. */
static char *valid(const char *s)
{
	char *text = malloc(2 * strlen(s) + 1), *to = text;
	unsigned int n;

	for (; text && *s; s += n) {
		n = character((const unsigned char *)s);
		if (n) {
			memcpy(to, s, n);
			to += n;
		} else {
			*to++ = (char)(0xc0 | (unsigned char)*s >> 6);
			*to++ = (char)(0x80 | (*s & 0x3f));
			n = 1;
		}
	}
	if (text)
		*to = 0;
	return text;
}

/* @value belongs to what is open, or is what is open from here on. */
static void put(const char *key, json_object *value)
{
	json_object *parent = doc->depth ? doc->open[doc->depth - 1] : NULL;
	char *name = key ? valid(key) : NULL;
	int err = -1;

	if (value && json_object_is_type(parent, json_type_array))
		err = json_object_array_add(parent, value);
	else if (value && parent && name)
		err = json_object_object_add_ex(parent, name, value, JSON_C_OBJECT_ADD_KEY_IS_NEW);
	free(name);
	if (!err)
		return;
	json_object_put(value);
	doc->failed = true;
}

void json_open(const char *key, char bracket)
{
	json_object *o = bracket == '[' ? json_object_new_array() : json_object_new_object();

	if (!o || doc->depth == DEPTH) {
		json_object_put(o);
		doc->failed = true;
		return;
	}
	if (doc->depth)
		put(key, o);
	if (!doc->failed)
		doc->open[doc->depth++] = o;
}

/* The outermost stays open up to json_end(), which writes it. */
void json_close(char bracket)
{
	(void)bracket;
	if (!doc->failed && doc->depth > 1)
		doc->depth--;
}

void json_string(const char *key, const char *value)
{
	char *text = valid(value);

	put(key, text ? json_object_new_string(text) : NULL);
	free(text);
}

void json_number(const char *key, uint64_t value)
{
	put(key, json_object_new_uint64(value));
}

void json_signed(const char *key, int64_t value)
{
	put(key, json_object_new_int64(value));
}

void json_rate(const char *key, double value)
{
	char text[350];

	snprintf(text, sizeof(text), "%.3f", value);
	put(key, json_object_new_double_s(value, text));
}

void json_bool(const char *key, bool value)
{
	put(key, json_object_new_boolean(value));
}

void json_end(void)
{
	int flags = JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE;
	FILE *out = file ? file : stdout;
	const char *text = NULL;

	/* Who reads lines has one each; a file is read by people, too. */
	if (file)
		flags |= JSON_C_TO_STRING_PRETTY;
	if (!doc->failed && doc->depth)
		text = json_object_to_json_string_ext(doc->open[0], flags);
	if (text)
		fprintf(out, "%s\n", text);
	else
		fprintf(stderr, "sgring: no memory for JSON\n");
	fflush(out);
	if (doc->depth)
		json_object_put(doc->open[0]);
	*doc = (struct document){ 0 };
}

// SPDX-License-Identifier: MIT
/*
 * The tree, compiled once on pagespan and once on malloc. Siblings form a list, so a node never
 * moves while more of the text is read, and nothing has to be known of how many there will be.
 */
#include "jsontree_tree.h"

#include <stdint.h>
#include <string.h>

/* Deeper nesting is refused: the tree is walked by recursion. */
#define MAX_DEPTH 1000

/* ---- reading ---- */

static struct json *read_value(struct json_reader *reader, int depth);

static void *fail(struct json_reader *reader, const char *error)
{
	if (!reader->error)
		reader->error = error;
	return NULL;
}

static bool at_end(const struct json_reader *reader)
{
	return reader->at == reader->end;
}

static char peek(const struct json_reader *reader)
{
	return at_end(reader) ? '\0' : *reader->at;
}

static bool accept(struct json_reader *reader, char wanted)
{
	if (at_end(reader) || *reader->at != wanted)
		return false;
	reader->at++;
	return true;
}

static void skip_space(struct json_reader *reader)
{
	while (!at_end(reader) && strchr(" \t\n\r", *reader->at) && *reader->at)
		reader->at++;
}

static struct json *new_node(struct json_reader *reader, enum json_type type)
{
	struct json *json = memory_new(reader->memory, sizeof(*json));

	if (!json)
		return fail(reader, "out of memory");
	*json = (struct json){.type = type};
	return json;
}

static size_t skip_digits(struct json_reader *reader)
{
	const char *first = reader->at;

	while (peek(reader) >= '0' && peek(reader) <= '9')
		reader->at++;
	return (size_t)(reader->at - first);
}

static struct json *read_number(struct json_reader *reader)
{
	const char *first = reader->at;
	struct json *json;
	bool well_formed;

	accept(reader, '-');
	well_formed = accept(reader, '0') || skip_digits(reader);
	if (well_formed && accept(reader, '.'))
		well_formed = skip_digits(reader);
	if (well_formed && (accept(reader, 'e') || accept(reader, 'E'))) {
		if (!accept(reader, '+'))
			accept(reader, '-');
		well_formed = skip_digits(reader);
	}
	if (!well_formed)
		return fail(reader, "not a number");
	json = new_node(reader, JSON_NUMBER);
	if (!json)
		return NULL;
	json->text.size = (size_t)(reader->at - first);
	json->text.bytes = memory_new(reader->memory, json->text.size);
	if (!json->text.bytes) {
		memory_free(reader->memory, json);
		return fail(reader, "out of memory");
	}
	memcpy(json->text.bytes, first, json->text.size);
	return json;
}

/* Four hexadecimal digits, or -1. */
static int32_t read_hex(struct json_reader *reader)
{
	static const char digits[] = "0123456789abcdef";
	int32_t code = 0;

	for (int i = 0; i < 4; i++) {
		char c = peek(reader);
		const char *digit = strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);

		if (!c || !digit)
			return -1;
		code = code * 16 + (int32_t)(digit - digits);
		reader->at++;
	}
	return code;
}

static char *put_utf8(char *out, uint32_t code)
{
	if (code < 0x80) {
		*out++ = (char)code;
	} else if (code < 0x800) {
		*out++ = (char)(0xc0 | code >> 6);
		*out++ = (char)(0x80 | (code & 0x3f));
	} else if (code < 0x10000) {
		*out++ = (char)(0xe0 | code >> 12);
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	} else {
		*out++ = (char)(0xf0 | code >> 18);
		*out++ = (char)(0x80 | (code >> 12 & 0x3f));
		*out++ = (char)(0x80 | (code >> 6 & 0x3f));
		*out++ = (char)(0x80 | (code & 0x3f));
	}
	return out;
}

/* What follows \u: one code unit, or a pair that makes one character. NULL if it is neither. */
static char *decode_unicode(struct json_reader *reader, char *out)
{
	int32_t code = read_hex(reader), low;

	if (code >= 0xd800 && code < 0xdc00) {
		if (!accept(reader, '\\') || !accept(reader, 'u'))
			return NULL;
		low = read_hex(reader);
		if (low < 0xdc00 || low > 0xdfff)
			return NULL;
		code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
	} else if (code < 0 || (code >= 0xdc00 && code < 0xe000)) {
		return NULL;
	}
	return put_utf8(out, (uint32_t)code);
}

static char *decode_escape(struct json_reader *reader, char *out)
{
	static const char escapes[] = "\"\\/bfnrt", characters[] = "\"\\/\b\f\n\r\t";
	const char *escape;
	char c = peek(reader);

	if (!c)
		return NULL;
	reader->at++;
	if (c == 'u')
		return decode_unicode(reader, out);
	escape = strchr(escapes, c);
	if (!escape)
		return NULL;
	*out++ = characters[escape - escapes];
	return out;
}

/* The bytes between the quotation marks; no escape is shorter than what it stands for. */
static size_t encoded_size(const struct json_reader *reader)
{
	const char *at = reader->at;

	while (at < reader->end && *at != '"')
		at += *at == '\\' && at + 1 < reader->end ? 2 : 1;
	return (size_t)(at - reader->at);
}

static bool decode_text(struct json_reader *reader, char *out, size_t *size)
{
	char *first = out;

	while (out && !at_end(reader) && *reader->at != '"') {
		if ((unsigned char)*reader->at < 0x20)
			return fail(reader, "a control character in a string");
		if (accept(reader, '\\'))
			out = decode_escape(reader, out);
		else
			*out++ = *reader->at++;
	}
	if (!out)
		return fail(reader, "not an escape sequence");
	if (!accept(reader, '"'))
		return fail(reader, "a string without an end");
	*size = (size_t)(out - first);
	return true;
}

/* After the quotation mark. As much is allocated as the text can be long, and shrunk to what it is.
 */
static bool read_text(struct json_reader *reader, struct json_text *text)
{
	size_t room = encoded_size(reader) + 1;

	text->bytes = memory_new(reader->memory, room);
	if (!text->bytes)
		return fail(reader, "out of memory");
	if (!decode_text(reader, text->bytes, &text->size)) {
		memory_free(reader->memory, text->bytes);
		return false;
	}
	text->bytes = memory_shrink(reader->memory, text->bytes, room, text->size);
	return true;
}

static struct json *read_string(struct json_reader *reader)
{
	struct json *json = new_node(reader, JSON_STRING);

	if (json && !read_text(reader, &json->text)) {
		memory_free(reader->memory, json);
		return NULL;
	}
	return json;
}

static struct json *read_member(struct json_reader *reader, int depth)
{
	struct json_text name;
	struct json *json = NULL;

	skip_space(reader);
	if (!accept(reader, '"'))
		return fail(reader, "a member without a name");
	if (!read_text(reader, &name))
		return NULL;
	skip_space(reader);
	if (accept(reader, ':'))
		json = read_value(reader, depth);
	else
		fail(reader, "a member without a value");
	if (json)
		json->name = name;
	else
		memory_free(reader->memory, name.bytes);
	return json;
}

/* After the bracket. */
static struct json *read_children(struct json_reader *reader, enum json_type type, int depth)
{
	struct json *parent = new_node(reader, type), **last = parent ? &parent->first : NULL;
	char close = type == JSON_ARRAY ? ']' : '}';

	if (!parent)
		return NULL;
	skip_space(reader);
	if (accept(reader, close))
		return parent;
	do {
		*last = type == JSON_ARRAY ? read_value(reader, depth) : read_member(reader, depth);
		if (!*last)
			break;
		last = &(*last)->next;
		skip_space(reader);
	} while (accept(reader, ','));
	if (accept(reader, close))
		return parent;
	fail(reader, "an array or object without an end");
	json_free(reader->memory, parent);
	return NULL;
}

static struct json *read_word(struct json_reader *reader, const char *word, enum json_type type)
{
	size_t size = strlen(word);

	if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, word, size) != 0)
		return fail(reader, "not a value");
	reader->at += size;
	return new_node(reader, type);
}

static struct json *read_value(struct json_reader *reader, int depth)
{
	if (depth > MAX_DEPTH)
		return fail(reader, "nested too deeply");
	skip_space(reader);
	switch (peek(reader)) {
	case '{':
		reader->at++;
		return read_children(reader, JSON_OBJECT, depth + 1);
	case '[':
		reader->at++;
		return read_children(reader, JSON_ARRAY, depth + 1);
	case '"':
		reader->at++;
		return read_string(reader);
	case 'n':
		return read_word(reader, "null", JSON_NULL);
	case 't':
		return read_word(reader, "true", JSON_TRUE);
	case 'f':
		return read_word(reader, "false", JSON_FALSE);
	default:
		return read_number(reader);
	}
}

struct json *json_read(struct json_reader *reader)
{
	skip_space(reader);
	return at_end(reader) ? NULL : read_value(reader, 0);
}

/* ---- the order of members ---- */

static int compare_names(const struct json *a, const struct json *b)
{
	size_t size = a->name.size < b->name.size ? a->name.size : b->name.size;
	int order = size ? memcmp(a->name.bytes, b->name.bytes, size) : 0;

	return order ? order : (a->name.size > b->name.size) - (a->name.size < b->name.size);
}

static struct json *merge(struct json *a, struct json *b)
{
	struct json *merged = NULL, **last = &merged;

	while (a && b) {
		struct json **least = compare_names(a, b) <= 0 ? &a : &b;

		*last = *least;
		last = &(*least)->next;
		*least = *last;
	}
	*last = a ? a : b;
	return merged;
}

/* Lists of 1, 2, 4, ... members wait to be merged with another of their length. */
static struct json *sort_list(struct json *list)
{
	struct json *waiting[64] = {NULL}, *sorted = NULL;
	size_t i;

	while (list) {
		struct json *run = list;

		list = list->next;
		run->next = NULL;
		for (i = 0; waiting[i]; i++) {
			run = merge(waiting[i], run);
			waiting[i] = NULL;
		}
		waiting[i] = run;
	}
	for (i = 0; i < 64; i++)
		sorted = merge(waiting[i], sorted);
	return sorted;
}

void json_sort(struct json *json)
{
	if (json->type != JSON_ARRAY && json->type != JSON_OBJECT)
		return;
	if (json->type == JSON_OBJECT)
		json->first = sort_list(json->first);
	for (struct json *child = json->first; child; child = child->next)
		json_sort(child);
}

/* ---- writing ---- */

static void write_text(const struct json_text *text, FILE *stream)
{
	static const char characters[] = "\"\\\b\f\n\r\t", escapes[] = "\"\\bfnrt";

	putc('"', stream);
	for (size_t i = 0; i < text->size; i++) {
		unsigned char c = (unsigned char)text->bytes[i];
		const char *special = c ? strchr(characters, c) : NULL;

		if (special)
			fprintf(stream, "\\%c", escapes[special - characters]);
		else if (c < 0x20)
			fprintf(stream, "\\u%04x", c);
		else
			putc(c, stream);
	}
	putc('"', stream);
}

static void write_children(const struct json *json, FILE *stream)
{
	putc(json->type == JSON_ARRAY ? '[' : '{', stream);
	for (const struct json *child = json->first; child; child = child->next) {
		if (child != json->first)
			putc(',', stream);
		if (json->type == JSON_OBJECT) {
			write_text(&child->name, stream);
			putc(':', stream);
		}
		json_write(child, stream);
	}
	putc(json->type == JSON_ARRAY ? ']' : '}', stream);
}

void json_write(const struct json *json, FILE *stream)
{
	static const char *const words[] = {"null", "false", "true"};

	switch (json->type) {
	case JSON_NUMBER:
		fwrite(json->text.bytes, 1, json->text.size, stream);
		break;
	case JSON_STRING:
		write_text(&json->text, stream);
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		write_children(json, stream);
		break;
	default:
		fputs(words[json->type], stream);
	}
}

void json_free(struct memory *memory, struct json *json)
{
	if (!MEMORY_FREES_EACH || !json)
		return;
	if (json->type == JSON_ARRAY || json->type == JSON_OBJECT) {
		for (struct json *child = json->first, *next; child; child = next) {
			next = child->next;
			json_free(memory, child);
		}
	} else if (json->type == JSON_NUMBER || json->type == JSON_STRING) {
		memory_free(memory, json->text.bytes);
	}
	memory_free(memory, json->name.bytes);
	memory_free(memory, json);
}

// SPDX-License-Identifier: MIT
/*
 * Building an index, in one pass over each text.
 *
 * Identifiers stand in a hash table of addresses with linear probing, at most three quarters
 * full.  A slot keeps 16 bits of the hash above the 48 of the address, so that a probe looks at an
 * identifier only if it is most likely the right one.  Names are hashed, compared and sorted in
 * words of 8 bytes; the last word of a name ends in a zero.
 */
#include "codeindex_index.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define ADDRESS_BITS        48
#define ADDRESS_MASK        (((uint64_t)1 << ADDRESS_BITS) - 1)
#define SLOTS_FIRST_SHIFT   (64 - 13)
#define HASH_FACTOR         0x9e3779b97f4a7c15

enum byte_class { OTHER, END, NEWLINE, DIGIT, LETTER };

static const uint8_t byte_classes[256] = {
	['\0'] = END,           ['\n'] = NEWLINE,       ['0' ... '9'] = DIGIT,
	['A' ... 'Z'] = LETTER, ['a' ... 'z'] = LETTER, ['_'] = LETTER,
};

/* A name in words, the first byte lowest. */
struct name {
	const char *text;
	size_t full_bytes; /* in full words */
	uint64_t last;     /* the word behind these, zeros behind the name's end */
};

static inline uint64_t load_word(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return le64toh(word);
}

static inline struct name make_name(const char *text, size_t length)
{
	size_t full_bytes = length & ~(size_t)7;
	uint64_t mask = ((uint64_t)1 << (length & 7) * 8) - 1;

	return (struct name){
		.text = text,
		.full_bytes = full_bytes,
		.last = load_word(text + full_bytes) & mask,
	};
}

static inline uint64_t hash_word(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * HASH_FACTOR;
	return hash ^ hash >> 32;
}

static inline uint64_t hash_name(const struct name *name)
{
	uint64_t hash = 0;

	for (size_t i = 0; i < name->full_bytes; i += 8)
		hash = hash_word(hash, load_word(name->text + i));
	return hash_word(hash, name->last);
}

/* Only the last word of a name holds a zero, so while full words agree both go on. */
static inline bool has_name(const struct identifier *identifier, const struct name *name)
{
	size_t i = 0;

	for (; i < name->full_bytes; i += 8) {
		if (load_word(identifier->name + i) != load_word(name->text + i))
			return false;
	}
	return load_word(identifier->name + i) == name->last;
}

static inline struct identifier *identifier_at(uint64_t slot)
{
	return (struct identifier *)(uintptr_t)(slot & ADDRESS_MASK);
}

/* The slot that holds a name, or the empty one where it belongs. */
static inline uint64_t *find_slot(const struct index *index, const struct name *name, uint64_t hash)
{
	uint64_t *slots = index->slots.block;
	uint64_t i = hash >> index->slots_shift;

	for (;; i = (i + 1) & index->slots_mask) {
		uint64_t slot = slots[i];

		if (!slot || (slot >> ADDRESS_BITS == (uint16_t)hash &&
			      likely(has_name(identifier_at(slot), name))))
			return &slots[i];
	}
}

static int open_slots(struct index *index, unsigned int shift)
{
	struct table slots = {.bytes = sizeof(uint64_t) << (64 - shift)};

	if (slots.bytes <= BLOCK_MAX)
		slots.block = memory_block_zeroed(&index->memory, slots.bytes);
	if (!slots.block)
		return -ENOMEM;
	index->slots = slots;
	index->slots_mask = slots.bytes / sizeof(uint64_t) - 1;
	index->slots_shift = shift;
	return 0;
}

static void move_slot(struct index *index, uint64_t slot)
{
	const char *text = identifier_at(slot)->name;
	struct name name = make_name(text, strlen(text));
	uint64_t *slots = index->slots.block;
	uint64_t i = hash_name(&name) >> index->slots_shift;

	while (slots[i])
		i = (i + 1) & index->slots_mask;
	slots[i] = slot;
}

static int grow_slots(struct index *index)
{
	struct table old = index->slots;
	const uint64_t *slot = old.block;
	const uint64_t *end = slot + old.bytes / sizeof(*slot);
	int err = open_slots(index, index->slots_shift - 1);

	if (err)
		return err;
	for (; slot < end; slot++) {
		if (*slot)
			move_slot(index, *slot);
	}
	memory_block_free(&index->memory, old.block, old.bytes);
	return 0;
}

static int table_resize(struct index *index, struct table *table, size_t bytes)
{
	void *block = NULL;

	if (bytes <= BLOCK_MAX)
		block = memory_block_grow(&index->memory, table->block, table->bytes, bytes);
	if (!block)
		return -ENOMEM;
	table->block = block;
	table->bytes = bytes;
	return 0;
}

/* Makes room for one more pointer behind @count of them. */
static int table_reserve(struct index *index, struct table *table, size_t count)
{
	if ((count + 1) * sizeof(void *) <= table->bytes)
		return 0;
	return table_resize(index, table, block_grown(table->bytes));
}

static void table_trim(struct index *index, struct table *table, size_t used)
{
	table->bytes = memory_trim(&index->memory, &table->block, table->bytes, used);
}

/* Called once for an identifier, when its postings are about to fill a page. */
static int add_large(struct index *index, struct identifier *identifier)
{
	struct identifier **large;
	int err;

	err = table_reserve(index, &index->large, index->nr_large);
	if (err)
		return err;
	large = index->large.block;
	large[index->nr_large++] = identifier;
	return 0;
}

static int grow_postings(struct index *index, struct identifier *identifier)
{
	bool is_inline = identifier->capacity == POSTINGS_INLINE;
	size_t old_bytes = is_inline ? 0 : identifier->capacity;
	size_t bytes = block_grown(old_bytes);
	uint8_t *block;

	if (bytes > BLOCK_MAX || (bytes == BLOCK_PAGE && add_large(index, identifier)))
		return -ENOMEM;
	block = memory_block_grow(&index->memory, is_inline ? NULL : identifier->block, old_bytes,
				  bytes);
	if (!block)
		return -ENOMEM;
	if (is_inline)
		memcpy(block, identifier->postings, POSTINGS_INLINE);
	identifier->block = block;
	identifier->capacity = (uint32_t)bytes;
	return 0;
}

static inline uint32_t number_bytes(uint64_t number)
{
	return likely(number < 0x80) ? 1 : (70 - (uint32_t)__builtin_clzl(number)) / 7;
}

static inline uint8_t *put_number(uint8_t *at, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*at++ = (uint8_t)(number | 0x80);
	*at++ = (uint8_t)number;
	return at;
}

/* Room for @bytes of postings, counted as used; NULL if there is none. */
static inline uint8_t *take_postings(struct index *index, struct identifier *identifier,
				     uint32_t bytes)
{
	uint8_t *postings = identifier->postings;
	uint32_t used = identifier->used;

	if (identifier->capacity - used < bytes && grow_postings(index, identifier))
		return NULL;
	if (identifier->capacity != POSTINGS_INLINE)
		postings = identifier->block;
	identifier->used = used + bytes;
	return postings + used;
}

/* A posting in the file that is being added, unless its line is the last one already. */
static inline int add_posting(struct index *index, struct identifier *identifier, uint32_t line)
{
	uint32_t file = index->nr_files;
	uint64_t number;
	uint8_t *at;

	if (identifier->last_file == file) {
		number = (uint64_t)(line - identifier->last_line) * 2;
		if (!number)
			return 0;
		at = take_postings(index, identifier, number_bytes(number));
		if (unlikely(!at))
			return -ENOMEM;
		put_number(at, number);
	} else {
		number = (uint64_t)(file - identifier->last_file) * 2 + 1;
		at = take_postings(index, identifier, number_bytes(number) + number_bytes(line));
		if (unlikely(!at))
			return -ENOMEM;
		put_number(put_number(at, number), line);
		identifier->last_file = file;
	}
	identifier->last_line = line;
	index->nr_postings++;
	return 0;
}

static struct identifier *add_identifier(struct index *index, const struct name *name,
					 uint64_t hash)
{
	size_t name_bytes = name->full_bytes + sizeof(name->last);
	uint64_t last = htole64(name->last);
	struct identifier *identifier;

	if (index->nr_identifiers >= index->slots_mask / 4 * 3 && grow_slots(index))
		return NULL;
	identifier = memory_object(&index->memory, sizeof(*identifier) + name_bytes);
	if (!identifier)
		return NULL;
	*identifier = (struct identifier){.capacity = POSTINGS_INLINE};
	memcpy(identifier->name, name->text, name->full_bytes);
	memcpy(identifier->name + name->full_bytes, &last, sizeof(last));
	*find_slot(index, name, hash) = (uintptr_t)identifier | hash << ADDRESS_BITS;
	index->nr_identifiers++;
	return identifier;
}

static inline int add_word(struct index *index, const char *text, size_t length, uint32_t line)
{
	struct name name = make_name(text, length);
	uint64_t hash = hash_name(&name);
	uint64_t slot = *find_slot(index, &name, hash);
	struct identifier *identifier = identifier_at(slot);

	if (unlikely(!slot)) {
		identifier = add_identifier(index, &name, hash);
		if (!identifier)
			return -ENOMEM;
	}
	return add_posting(index, identifier, line);
}

static inline enum byte_class class_of(const char *at)
{
	return byte_classes[(uint8_t)*at];
}

/* The zeros behind a text end its last word. */
static int add_text(struct index *index, const char *text, size_t size)
{
	const char *end = text + size;
	const char *at = text;
	uint32_t line = 1;

	for (;;) {
		enum byte_class class = class_of(at);
		const char *word;

		while (class == OTHER)
			class = class_of(++at);
		word = at;
		if (class >= DIGIT) {
			while (class_of(++at) >= DIGIT) {
			}
			if (class == LETTER && add_word(index, word, (size_t)(at - word), line))
				return -ENOMEM;
		} else if (class == NEWLINE) {
			line++;
			at++;
		} else if (at++ == end) {
			break;
		}
	}
	index->nr_lines += line - (size == 0 || end[-1] == '\n');
	return 0;
}

int index_open(struct index *index)
{
	int err;

	*index = (struct index){0};
	err = memory_open(&index->memory);
	if (err)
		return err;
	err = open_slots(index, SLOTS_FIRST_SHIFT);
	if (err)
		memory_close(&index->memory);
	return err;
}

static int add_path(struct index *index, const char *path)
{
	size_t bytes = strlen(path) + 1;
	char **paths;
	char *copy;

	if (table_reserve(index, &index->paths, index->nr_files))
		return -ENOMEM;
	copy = memory_object(&index->memory, bytes);
	if (!copy)
		return -ENOMEM;
	paths = index->paths.block;
	paths[index->nr_files++] = memcpy(copy, path, bytes);
	return 0;
}

int index_add_file(struct index *index, const char *path, const char *text, size_t size)
{
	int err = add_path(index, path);

	return err ? err : add_text(index, text, size);
}

void index_finish(struct index *index)
{
	struct identifier **large = index->large.block;

	for (uint32_t i = 0; i < index->nr_large; i++) {
		struct identifier *identifier = large[i];
		void *block = identifier->block;

		identifier->capacity =
			(uint32_t)memory_trim(&index->memory, &block, identifier->capacity,
					      identifier->used);
		identifier->block = block;
	}
	table_trim(index, &index->paths, index->nr_files * sizeof(char *));
	table_trim(index, &index->large, index->nr_large * sizeof(struct identifier *));
}

/* Eight bytes of a name as a number that sorts as they do. */
static inline uint64_t sort_key(const struct identifier *identifier, size_t depth)
{
	uint64_t word;

	memcpy(&word, identifier->name + depth, sizeof(word));
	return be64toh(word);
}

/* Names are all different, so there is no going on behind their last word. */
static inline bool sorts_before(const struct identifier *a, const struct identifier *b,
				size_t depth)
{
	while (sort_key(a, depth) == sort_key(b, depth))
		depth += 8;
	return sort_key(a, depth) < sort_key(b, depth);
}

static void insertion_sort(struct identifier **names, size_t count, size_t depth)
{
	for (size_t i = 1; i < count; i++) {
		struct identifier *moved = names[i];
		size_t at = i;

		for (; at > 0 && sorts_before(moved, names[at - 1], depth); at--)
			names[at] = names[at - 1];
		names[at] = moved;
	}
}

static inline void swap_names(struct identifier **a, struct identifier **b)
{
	struct identifier *held = *a;

	*a = *b;
	*b = held;
}

/*
 * Multikey quicksort: names that differ in the word at @depth go left or right of those that
 * share it with the pivot, and these go on with the word behind.  Names are all different and come
 * in the order of their hashes, so any pivot does.  The longest of the three parts is left to
 * the loop, which bounds the recursion to the logarithm of @count whatever the names are.
 */
static void sort_names(struct identifier **names, size_t count, size_t depth)
{
	while (count > 8) {
		uint64_t pivot = sort_key(names[count / 2], depth);
		size_t below = 0;
		size_t above = count;
		size_t equal;

		for (size_t i = 0; i < above;) {
			uint64_t key = sort_key(names[i], depth);

			if (key < pivot)
				swap_names(&names[below++], &names[i++]);
			else if (key > pivot)
				swap_names(&names[i], &names[--above]);
			else
				i++;
		}
		equal = above - below;
		if (equal >= below && equal >= count - above) {
			sort_names(names, below, depth);
			sort_names(names + above, count - above, depth);
			names += below;
			count = equal;
			depth += 8;
		} else if (below >= count - above) {
			sort_names(names + below, equal, depth + 8);
			sort_names(names + above, count - above, depth);
			count = below;
		} else {
			sort_names(names + below, equal, depth + 8);
			sort_names(names, below, depth);
			names += above;
			count -= above;
		}
	}
	insertion_sort(names, count, depth);
}

int index_sort(struct index *index)
{
	size_t bytes = index->nr_identifiers * sizeof(struct identifier *);
	const uint64_t *slots = index->slots.block;
	struct identifier **names;
	size_t count = 0;
	int err;

	err = table_resize(index, &index->sorted, block_holding(bytes));
	if (err)
		return err;
	names = index->sorted.block;
	for (uint64_t i = 0; i <= index->slots_mask; i++) {
		if (slots[i])
			names[count++] = identifier_at(slots[i]);
	}
	sort_names(names, count, 0);
	return 0;
}

const struct identifier *index_find(const struct index *index, const char *name)
{
	struct name wanted = make_name(name, strlen(name));

	return identifier_at(*find_slot(index, &wanted, hash_name(&wanted)));
}

static void free_identifier(struct index *index, struct identifier *identifier)
{
	if (identifier->capacity != POSTINGS_INLINE)
		memory_block_free(&index->memory, identifier->block, identifier->capacity);
	memory_object_free(&index->memory, identifier);
}

static void free_each(struct index *index)
{
	const uint64_t *slots = index->slots.block;
	char **paths = index->paths.block;

	for (uint64_t i = 0; i <= index->slots_mask; i++) {
		if (slots[i])
			free_identifier(index, identifier_at(slots[i]));
	}
	for (uint32_t i = 0; i < index->nr_files; i++)
		memory_object_free(&index->memory, paths[i]);
}

static void free_large(struct index *index)
{
	struct identifier **large = index->large.block;

	for (uint32_t i = 0; i < index->nr_large; i++)
		free_identifier(index, large[i]);
}

static void free_table(struct index *index, struct table *table)
{
	memory_block_free(&index->memory, table->block, table->bytes);
}

void index_close(struct index *index)
{
	if (MEMORY_FREES_EACH)
		free_each(index);
	else
		free_large(index);
	free_table(index, &index->slots);
	free_table(index, &index->paths);
	free_table(index, &index->large);
	free_table(index, &index->sorted);
	memory_close(&index->memory);
}

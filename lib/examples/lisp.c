// SPDX-License-Identifier: MIT
/*
 * lisp: a small Lisp whose memory is a copying heap on spans.
 *
 * An evaluator that calls itself would hold values in C variables that a collection cannot see.
 * This one is a machine with four registers instead: the expression or the value at hand, the
 * environment, and a list of frames, what is to be done with the value. They are the roots,
 * together with the global variables, and a collection happens only between two steps, when
 * everything is in them. One check makes room for all cells of a step.
 *
 * Numbers are integers of 61 bits that wrap, everything but #f is true, define always makes a
 * global variable, and strings do not exist.
 *
 *   quote if define lambda set! begin let
 *   cons car cdr set-car! set-cdr! null? pair? eq? not + - * quotient remainder = < print
 *
 * Usage: lisp [-v] FILE	-v: what the heap did, on standard error
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lisp_heap.h"

/* What a step may take for each argument or binding, and besides. */
#define MAX_ARGUMENTS 16
#define STEP_CELLS    ((size_t)8 * MAX_ARGUMENTS)

/* Lists within lists, in a program and in what it prints. */
#define MAX_DEPTH 1000

enum special { NIL, FALSE, TRUE, UNDEFINED, END_OF_LIST, FIRST_BUILTIN };

#define nil       make_value(SPECIAL, NIL)
#define undefined make_value(SPECIAL, UNDEFINED)

enum builtin {
	CONS,
	CAR,
	CDR,
	SET_CAR,
	SET_CDR,
	IS_NULL,
	IS_PAIR,
	IS_EQ,
	NOT,
	ADD,
	SUBTRACT,
	MULTIPLY,
	QUOTIENT,
	REMAINDER,
	EQUAL,
	LESS,
	PRINT,
	NR_BUILTINS
};

static const struct {
	const char *name;
	int nr_arguments;
} builtins[NR_BUILTINS] = {
	[CONS] = {"cons", 2},         [CAR] = {"car", 1},
	[CDR] = {"cdr", 1},           [SET_CAR] = {"set-car!", 2},
	[SET_CDR] = {"set-cdr!", 2},  [IS_NULL] = {"null?", 1},
	[IS_PAIR] = {"pair?", 1},     [IS_EQ] = {"eq?", 2},
	[NOT] = {"not", 1},           [ADD] = {"+", 2},
	[SUBTRACT] = {"-", 2},        [MULTIPLY] = {"*", 2},
	[QUOTIENT] = {"quotient", 2}, [REMAINDER] = {"remainder", 2},
	[EQUAL] = {"=", 2},           [LESS] = {"<", 2},
	[PRINT] = {"print", 1},
};

/* Frames: what is to be done with a value, as the first of a list of what that needs. */
enum frame { DONE, SEQUENCE, BRANCH, DEFINE, ASSIGN, ARGUMENT };

enum keyword { QUOTE, IF, DEFINE_WORD, LAMBDA, SET, BEGIN, LET, NR_KEYWORDS };

static const char *const keywords[NR_KEYWORDS] = {"quote", "if",    "define", "lambda",
						  "set!",  "begin", "let"};

/* Symbols last as long as the program, and never move. */
struct symbol {
	struct symbol *next;
	value global;
	int keyword; /* or -1 */
	char name[];
};

static struct symbol *symbols;
static value words[NR_KEYWORDS];

enum { EXPRESSION, VALUE, ENVIRONMENT, FRAMES, PROGRAM, NR_REGISTERS };

static value registers[NR_REGISTERS];

static void each_global(void (*visit)(struct heap *heap, value *root), struct heap *heap)
{
	for (struct symbol *symbol = symbols; symbol; symbol = symbol->next)
		visit(heap, &symbol->global);
}

static struct heap heap = {.roots = registers, .nr_roots = NR_REGISTERS, .each_root = each_global};

/* What goes wrong ends the program. */
static jmp_buf failed;

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fputs("lisp: ", stderr);
	vfprintf(stderr, format, arguments);
	fputc('\n', stderr);
	va_end(arguments);
	longjmp(failed, 1);
}

/* ---- symbols, in memory of their own ---- */

#ifndef ON_MALLOC

#include <pagespan/arena.h>

static struct ps_arena *names;

static bool names_open(void)
{
	names = ps_arena_create(NULL);
	return names;
}

static void *names_new(size_t bytes)
{
	return ps_alloc(names, bytes);
}

static void names_close(void)
{
	ps_arena_destroy(names);
}

#else

static bool names_open(void)
{
	return true;
}

static void *names_new(size_t bytes)
{
	return malloc(bytes);
}

static void names_close(void)
{
	for (struct symbol *next; symbols; symbols = next) {
		next = symbols->next;
		free(symbols);
	}
}

#endif

static struct symbol *symbol_of(value v)
{
	return (struct symbol *)(uintptr_t)(bits_of(v) << TAG_BITS);
}

static value make_symbol(const char *name, size_t length)
{
	struct symbol *symbol = symbols;

	while (symbol && (strncmp(symbol->name, name, length) != 0 || symbol->name[length]))
		symbol = symbol->next;
	if (!symbol) {
		symbol = names_new(sizeof(*symbol) + length + 1);
		if (!symbol)
			fail("out of memory");
		*symbol = (struct symbol){.next = symbols, .global = undefined, .keyword = -1};
		memcpy(symbol->name, name, length);
		symbol->name[length] = '\0';
		symbols = symbol;
	}
	return make_value(SYMBOL, (uintptr_t)symbol >> TAG_BITS);
}

static void define_words(void)
{
	for (int i = 0; i < NR_KEYWORDS; i++) {
		words[i] = make_symbol(keywords[i], strlen(keywords[i]));
		symbol_of(words[i])->keyword = i;
	}
	for (int i = 0; i < NR_BUILTINS; i++)
		symbol_of(make_symbol(builtins[i].name, strlen(builtins[i].name)))->global =
			make_value(SPECIAL, (uint64_t)FIRST_BUILTIN + (uint64_t)i);
}

/* ---- values ---- */

static value cons(value first, value second)
{
	return heap_cell(&heap, PAIR, first, second);
}

static bool is_pair(value v)
{
	return tag_of(v) == PAIR;
}

static struct cell *pair(value v)
{
	if (!is_pair(v))
		fail("not a pair");
	return cell_of(&heap, v);
}

static value car(value v)
{
	return pair(v)->first;
}

static value cdr(value v)
{
	return pair(v)->second;
}

static value make_number(int64_t number)
{
	return make_value(NUMBER, (uint64_t)number);
}

static int64_t number_of(value v)
{
	if (tag_of(v) != NUMBER)
		fail("not a number");
	return (int64_t)v >> TAG_BITS;
}

static value truth(bool is_true)
{
	return make_value(SPECIAL, is_true ? TRUE : FALSE);
}

static void print(value v, int depth)
{
	static const char *const specials[] = {"()", "#f", "#t", "#undefined"};

	switch (depth > MAX_DEPTH ? FORWARDED : tag_of(v)) {
	case NUMBER:
		printf("%lld", (long long)number_of(v));
		break;
	case SYMBOL:
		fputs(symbol_of(v)->name, stdout);
		break;
	case PAIR:
		putchar('(');
		for (print(car(v), depth + 1), v = cdr(v); is_pair(v); v = cdr(v)) {
			putchar(' ');
			print(car(v), depth + 1);
		}
		if (v != nil) {
			fputs(" . ", stdout);
			print(v, depth + 1);
		}
		putchar(')');
		break;
	case SPECIAL:
		fputs(bits_of(v) < FIRST_BUILTIN ? specials[bits_of(v)] : "#builtin", stdout);
		break;
	case CLOSURE:
		fputs("#closure", stdout);
		break;
	default:
		fputs("...", stdout);
	}
}

/* ---- reading a program ---- */

static const char *source;

static void skip_space(void)
{
	while (*source && strchr(" \t\r\n;", *source)) {
		if (*source == ';')
			source += strcspn(source, "\n");
		else
			source++;
	}
}

static value read_atom(void)
{
	size_t length = strcspn(source, " \t\r\n;()'");
	const char *atom = source;
	char *end;
	long long number;

	source += length;
	if (length == 2 && atom[0] == '#' && (atom[1] == 't' || atom[1] == 'f'))
		return truth(atom[1] == 't');
	number = strtoll(atom, &end, 10);
	return end == source ? make_number(number) : make_symbol(atom, length);
}

/* One value, or what stands for a closing bracket. Every cell has a byte of the text to itself. */
static value read_value(int depth)
{
	value list = nil, last = nil, v;

	skip_space();
	if (!*source || depth > MAX_DEPTH)
		fail(*source ? "nested too deeply" : "a list without an end");
	if (*source == ')') {
		source++;
		return make_value(SPECIAL, END_OF_LIST);
	}
	if (*source == '\'') {
		source++;
		v = read_value(depth + 1);
		if (v == make_value(SPECIAL, END_OF_LIST))
			fail("nothing is quoted");
		return cons(words[QUOTE], cons(v, nil));
	}
	if (*source != '(')
		return read_atom();
	for (source++; (v = read_value(depth + 1)) != make_value(SPECIAL, END_OF_LIST);) {
		value next = cons(v, nil);

		if (last == nil)
			list = next;
		else
			pair(last)->second = next;
		last = next;
	}
	return list;
}

static value read_program(const char *text)
{
	value list = nil, last = nil;

	source = text;
	if (!heap_reserve(&heap, 2 * strlen(text) + 2))
		fail("out of memory");
	for (skip_space(); *source; skip_space()) {
		value v = read_value(0), next;

		if (v == make_value(SPECIAL, END_OF_LIST))
			fail("a closing bracket too many");
		next = cons(v, nil);
		if (last == nil)
			list = next;
		else
			pair(last)->second = next;
		last = next;
	}
	return list;
}

/* ---- the machine ---- */

static void push(enum frame frame, value data)
{
	value what = cons(make_number(frame), data);

	registers[FRAMES] = cons(what, registers[FRAMES]);
}

/* The environment is a list of pairs of a name and a value; globals are with their names. */
static value *variable(value name)
{
	for (value v = registers[ENVIRONMENT]; v != nil; v = cdr(v))
		if (car(car(v)) == name)
			return &pair(car(v))->second;
	if (tag_of(name) != SYMBOL)
		fail("not a name");
	return &symbol_of(name)->global;
}

static value look_up(value name)
{
	value v = *variable(name);

	if (v == undefined)
		fail("%s is not defined", symbol_of(name)->name);
	return v;
}

/* The first expression of a list is next, and the others are to follow. */
static void begin_sequence(value expressions)
{
	if (cdr(expressions) != nil)
		push(SEQUENCE, cons(cdr(expressions), registers[ENVIRONMENT]));
	registers[EXPRESSION] = car(expressions);
}

/* (parameters . body), and the environment where it was made. */
static value make_closure(value parameters, value body)
{
	return heap_cell(&heap, CLOSURE, cons(parameters, body), registers[ENVIRONMENT]);
}

/* ((name expression) ...) body is ((lambda (name ...) body) expression ...). */
static value expand_let(value bindings, value body)
{
	value names_list = nil, expressions = nil;
	value reversed = nil;
	int count = 0;

	for (; bindings != nil; bindings = cdr(bindings)) {
		if (++count > MAX_ARGUMENTS)
			fail("more than %d bindings", MAX_ARGUMENTS);
		reversed = cons(car(bindings), reversed);
	}
	for (; reversed != nil; reversed = cdr(reversed)) {
		names_list = cons(car(car(reversed)), names_list);
		expressions = cons(car(cdr(car(reversed))), expressions);
	}
	return cons(cons(words[LAMBDA], cons(names_list, body)), expressions);
}

/* A keyword and what follows it; true if the value is known. */
static bool evaluate_keyword(enum keyword keyword, value rest)
{
	value environment = registers[ENVIRONMENT];

	switch (keyword) {
	case QUOTE:
		registers[VALUE] = car(rest);
		return true;
	case LAMBDA:
		registers[VALUE] = make_closure(car(rest), cdr(rest));
		return true;
	case IF:
		push(BRANCH, cons(cdr(rest), environment));
		registers[EXPRESSION] = car(rest);
		return false;
	case DEFINE_WORD:
		if (is_pair(car(rest))) { /* (define (name parameter ...) body) */
			push(DEFINE, car(car(rest)));
			registers[VALUE] = make_closure(cdr(car(rest)), cdr(rest));
			return true;
		}
		push(DEFINE, car(rest));
		registers[EXPRESSION] = car(cdr(rest));
		return false;
	case SET:
		push(ASSIGN, cons(car(rest), environment));
		registers[EXPRESSION] = car(cdr(rest));
		return false;
	case BEGIN:
		begin_sequence(rest);
		return false;
	default:
		registers[EXPRESSION] = expand_let(car(rest), cdr(rest));
		return false;
	}
}

/* One expression; true if its value is known, else there is another to evaluate first. */
static bool evaluate(void)
{
	value expression = registers[EXPRESSION];

	if (tag_of(expression) == SYMBOL) {
		registers[VALUE] = look_up(expression);
		return true;
	}
	if (!is_pair(expression)) {
		registers[VALUE] = expression;
		return true;
	}
	if (tag_of(car(expression)) == SYMBOL && symbol_of(car(expression))->keyword >= 0)
		return evaluate_keyword((enum keyword)symbol_of(car(expression))->keyword,
					cdr(expression));
	/* (what remains . ((values, the last first) . environment)) */
	push(ARGUMENT, cons(cdr(expression), cons(nil, registers[ENVIRONMENT])));
	registers[EXPRESSION] = car(expression);
	return false;
}

static value call_builtin(enum builtin builtin, value arguments)
{
	value a = car(arguments), b = cdr(arguments) == nil ? nil : car(cdr(arguments));

	switch (builtin) {
	case CONS:
		return cons(a, b);
	case CAR:
		return car(a);
	case CDR:
		return cdr(a);
	case SET_CAR:
		return pair(a)->first = b;
	case SET_CDR:
		return pair(a)->second = b;
	case IS_NULL:
		return truth(a == nil);
	case IS_PAIR:
		return truth(is_pair(a));
	case IS_EQ:
		return truth(a == b);
	case NOT:
		return truth(a == truth(false));
	case ADD:
		return make_number((int64_t)((uint64_t)number_of(a) + (uint64_t)number_of(b)));
	case SUBTRACT:
		return make_number((int64_t)((uint64_t)number_of(a) - (uint64_t)number_of(b)));
	case MULTIPLY:
		return make_number((int64_t)((uint64_t)number_of(a) * (uint64_t)number_of(b)));
	case QUOTIENT:
	case REMAINDER:
		if (!number_of(b))
			fail("division by zero");
		return make_number(builtin == QUOTIENT ? number_of(a) / number_of(b) :
							 number_of(a) % number_of(b));
	case EQUAL:
		return truth(number_of(a) == number_of(b));
	case LESS:
		return truth(number_of(a) < number_of(b));
	default:
		print(a, 0);
		putchar('\n');
		return a;
	}
}

static int length_of(value list)
{
	int length = 0;

	for (; list != nil; list = cdr(list))
		length++;
	return length;
}

/* The list itself is turned round. */
static value reverse(value list)
{
	value reversed = nil;

	while (list != nil) {
		value next = cdr(list);

		pair(list)->second = reversed;
		reversed = list;
		list = next;
	}
	return reversed;
}

/* A function and its arguments; true if the value is known. */
static bool apply(value function, value arguments)
{
	int count = length_of(arguments);
	struct cell *closure;
	value parameters;

	if (tag_of(function) == SPECIAL && bits_of(function) >= FIRST_BUILTIN) {
		enum builtin builtin = (enum builtin)(bits_of(function) - FIRST_BUILTIN);

		if (count != builtins[builtin].nr_arguments)
			fail("%s takes %d arguments", builtins[builtin].name,
			     builtins[builtin].nr_arguments);
		registers[VALUE] = call_builtin(builtin, arguments);
		return true;
	}
	if (tag_of(function) != CLOSURE)
		fail("not a function");
	closure = cell_of(&heap, function);
	parameters = car(closure->first);
	if (length_of(parameters) != count)
		fail("a function of %d parameters is called with %d", length_of(parameters), count);
	registers[ENVIRONMENT] = closure->second;
	for (; parameters != nil; parameters = cdr(parameters), arguments = cdr(arguments))
		registers[ENVIRONMENT] =
			cons(cons(car(parameters), car(arguments)), registers[ENVIRONMENT]);
	begin_sequence(cdr(closure->first));
	return false;
}

/* The value is a function or an argument; the next one is evaluated, or the function called. */
static bool add_argument(value remaining, value values, value environment)
{
	values = cons(registers[VALUE], values);
	if (remaining != nil) {
		push(ARGUMENT, cons(cdr(remaining), cons(values, environment)));
		registers[ENVIRONMENT] = environment;
		registers[EXPRESSION] = car(remaining);
		return false;
	}
	if (length_of(values) > MAX_ARGUMENTS + 1)
		fail("more than %d arguments", MAX_ARGUMENTS);
	values = reverse(values);
	return apply(car(values), cdr(values));
}

/* Takes the last frame, with the value that it waits for; true if that gives another value. */
static bool resume(void)
{
	value frame = car(registers[FRAMES]), data = cdr(frame), v = registers[VALUE];

	registers[FRAMES] = cdr(registers[FRAMES]);
	switch ((enum frame)number_of(car(frame))) {
	case SEQUENCE:
		registers[ENVIRONMENT] = cdr(data);
		begin_sequence(car(data));
		return false;
	case BRANCH:
		registers[ENVIRONMENT] = cdr(data);
		if (v == truth(false) && cdr(car(data)) == nil) {
			registers[VALUE] = nil;
			return true;
		}
		registers[EXPRESSION] = v == truth(false) ? car(cdr(car(data))) : car(car(data));
		return false;
	case DEFINE:
		if (tag_of(data) != SYMBOL)
			fail("not a name");
		symbol_of(data)->global = v;
		return true;
	case ASSIGN:
		registers[ENVIRONMENT] = cdr(data);
		look_up(car(data));
		*variable(car(data)) = v;
		return true;
	default:
		return add_argument(car(data), car(cdr(data)), cdr(cdr(data)));
	}
}

static void run_program(void)
{
	while (registers[PROGRAM] != nil) {
		bool has_value = false;

		registers[EXPRESSION] = car(registers[PROGRAM]);
		registers[ENVIRONMENT] = nil;
		registers[FRAMES] = nil;
		while (!has_value || registers[FRAMES] != nil) {
			if (!heap_reserve(&heap, STEP_CELLS))
				fail("out of memory: %zu pages are alive", heap.nr_pages);
			has_value = has_value ? resume() : evaluate();
		}
		registers[PROGRAM] = cdr(registers[PROGRAM]);
	}
}

/* ---- the program ---- */

/* A text that the caller frees, or NULL with errno. */
static char *read_file(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;

	if (!file)
		return NULL;
	/* The whole file, for it has no byte 0. */
	if (getdelim(&text, &size, '\0', file) < 0) {
		int error = ferror(file) ? errno : 0;

		free(text);
		text = error ? NULL : strdup("");
		errno = error;
	}
	fclose(file);
	return text;
}

static bool interpret(const char *text)
{
	for (size_t i = 0; i < NR_REGISTERS; i++)
		registers[i] = nil;
	if (setjmp(failed))
		return false;
	if (!names_open() || !heap_open(&heap))
		fail("no memory: %s", strerror(errno));
	define_words();
	registers[PROGRAM] = read_program(text);
	run_program();
	return true;
}

int main(int argc, char **argv)
{
	bool verbose = argc == 3 && !strcmp(argv[1], "-v"), good;
	char *text;

	if (argc != 2 + verbose) {
		fputs("usage: lisp [-v] FILE\n", stderr);
		return 2;
	}
	text = read_file(argv[argc - 1]);
	if (!text) {
		fprintf(stderr, "lisp: %s: %s\n", argv[argc - 1], strerror(errno));
		return EXIT_FAILURE;
	}
	good = interpret(text);
	if (fflush(stdout)) {
		perror("lisp: standard output");
		good = false;
	}
	if (verbose)
		fprintf(stderr,
			"lisp: %llu collections, at most %zu pages, %zu at the end, %llu given "
			"back\n",
			(unsigned long long)heap.nr_collections, heap.most_pages, heap.nr_pages,
			(unsigned long long)heap.pages_given_back);
	heap_close(&heap);
	names_close();
	free(text);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

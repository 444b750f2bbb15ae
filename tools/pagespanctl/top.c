// SPDX-License-Identifier: MIT
/* pagespanctl top: pool and clients, live. */
#include <curses.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "clients.h"
#include "pagespanctl.h"
#include "pool.h"
#include "terminal.h"
#include "users.h"

enum { OWNED = 1, QUARANTINED, FREE };

static volatile sig_atomic_t ended;

static void end(int signal)
{
	(void)signal;
	ended = 1;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* A bar over the width of the screen: owned, quarantined, free. */
static void draw_bar(const struct pool *pool)
{
	int width = COLS - 2;
	double cell = pool->pool_pages ? (double)width / (double)pool->pool_pages : 0;
	int owned = (int)ceil((double)pool_used(pool) * cell);
	int quarantined = (int)ceil((double)pool->quarantined_pages * cell);

	addch('[');
	for (int i = 0; i < width; i++) {
		int what = i < owned ? OWNED : i < owned + quarantined ? QUARANTINED : FREE;

		attron(COLOR_PAIR(what));
		addch(what == OWNED ? '#' : what == QUARANTINED ? 'q' : '.');
		attroff(COLOR_PAIR(what));
	}
	addch(']');
}

/* Events a second; the counts may be of a module loaded anew meanwhile. */
static double rate(uint64_t now, uint64_t before, double seconds)
{
	return now > before && seconds > 0 ? (double)(now - before) / seconds : 0;
}

static void draw_pool(const struct pool *pool, const struct pool *before, double seconds)
{
	char size[QUANTITY_BYTES], available[QUANTITY_BYTES], longest[QUANTITY_BYTES];
	char quarantined[QUANTITY_BYTES], poisoned[QUANTITY_BYTES];

	mvprintw(0, 0, "pagespan: pool of %s, source %s, %s mappings, %" PRIu64 " client%s",
		 quantity(size, pool->pool_pages * POOL_PAGE_BYTES), pool->source,
		 pool->huge ? "2 MiB" : "4 KiB", pool->clients, pool->clients == 1 ? "" : "s");
	mvprintw(1, 0, "free %s, longest run %s, quarantined %s",
		 quantity(available, pool->free_pages * POOL_PAGE_BYTES),
		 quantity(longest, pool->longest_run * POOL_PAGE_BYTES),
		 quantity(quarantined, pool->quarantined_pages * POOL_PAGE_BYTES));
	if (pool->poisoned_pages && pool->poisoned_pages != NOT_KNOWN)
		printw(", poisoned %s", quantity(poisoned, pool->poisoned_pages * POOL_PAGE_BYTES));
	mvprintw(2, 0, "a second: %.0f allocated, %.0f freed, %.0f faults, %.0f pinned",
		 rate(pool->allocs, before->allocs, seconds),
		 rate(pool->frees, before->frees, seconds),
		 rate(pool->faults, before->faults, seconds),
		 rate(pool->quarantines, before->quarantines, seconds));
	move(3, 0);
	draw_bar(pool);
}

static void draw_heading(int row, bool users)
{
	int length;

	attron(A_REVERSE);
	mvprintw(row, 0, "%8s %8s %10s %7s %10s %11s  %sCOMMAND", "CLIENT", "PID", "OWNED",
		 "%QUOTA", "CACHED", "QUARANTINED", users ? "USER     " : "");
	for (length = getcurx(stdscr); length < COLS; length++)
		addch(' ');
	attroff(A_REVERSE);
}

static void draw_client(int row, const struct client *client, bool users)
{
	char owned[QUANTITY_BYTES], cached[QUANTITY_BYTES], quarantined[QUANTITY_BYTES];
	char name[USER_BYTES];

	mvprintw(row, 0, "%8" PRIu64 " %8d %10s %6.1f%% %10s %11s  ", client->id, client->pid,
		 quantity(owned, client->owned),
		 percent(client->owned + client->quarantined, client->quota),
		 quantity(cached, client->cached), quantity(quarantined, client->quarantined));
	if (users)
		printw("%-8s ", user_name(name, client->user));
	printw("%s", client->command);
}

static void draw_clients(const struct clients *clients, uint64_t known)
{
	bool users = clients_have_users(clients);
	int row = 5;

	draw_heading(row++, users);
	for (size_t i = 0; i < clients->count && row < LINES - 1; i++, row++)
		draw_client(row, &clients->list[i], users);
	if (known > clients->count && row < LINES)
		mvprintw(row, 0, "%" PRIu64 " more that cannot be seen%s", known - clients->count,
			 clients->hidden ? "; root sees them" : "");
}

static void begin_screen(void)
{
	struct sigaction action = {.sa_handler = end};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	cbreak();
	noecho();
	curs_set(0);
	if (has_colors() && terminal_colours()) {
		start_color();
		use_default_colors();
		init_pair(OWNED, COLOR_RED, -1);
		init_pair(QUARANTINED, COLOR_YELLOW, -1);
		init_pair(FREE, COLOR_GREEN, -1);
	}
}

/* Waits for the next picture; false if it was asked to end. */
static bool wait_for_key(double seconds)
{
	timeout((int)(seconds * 1000));
	switch (getch()) {
	case 'q':
	case 'Q':
	case 27:
		return false;
	default:
		return !ended;
	}
}

static int show(double delay, long count)
{
	struct pool pool, before;
	double then = seconds_now();
	int status = pool_read(&before);
	bool more = true;

	while (more && !status) {
		struct clients clients;
		double now = seconds_now();

		status = pool_read(&pool);
		if (status)
			break;
		status = clients_find(&clients);
		if (status)
			break;
		erase();
		draw_pool(&pool, &before, now - then);
		draw_clients(&clients, pool.clients);
		mvprintw(LINES - 1, 0, "q quits");
		refresh();
		clients_free(&clients);
		before = pool;
		then = now;
		more = (!count || --count) && wait_for_key(delay);
	}
	return status;
}

static int run(double delay, long count)
{
	SCREEN *screen;
	int status;

	if (!isatty(STDOUT_FILENO)) {
		complain("top wants a terminal; `pagespanctl stat` does without");
		return FAILED;
	}
	if (!pool_is_there())
		return no_module();
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		complain("this terminal is unknown (TERM=%s)",
			 getenv("TERM") ? getenv("TERM") : "");
		return FAILED;
	}
	begin_screen();
	status = show(delay, count);
	endwin();
	delscreen(screen);
	return status;
}

int command_top(int argc, char **argv)
{
	double delay = 1;
	long count = 0;
	int option;
	char *rest;

	while ((option = getopt(argc, argv, "d:n:")) != -1) {
		rest = "?";
		if (option == 'd') {
			delay = strtod(optarg, &rest);
			if (!(delay >= 0.1 && delay <= 3600))
				rest = "?";
		} else if (option == 'n') {
			count = strtol(optarg, &rest, 10);
			if (count < 1)
				rest = "?";
		}
		if (*rest)
			return misused("top");
	}
	if (optind != argc)
		return misused("top");
	return run(delay, count);
}

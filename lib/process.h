/* SPDX-License-Identifier: MIT */
/* What there is once in a process: its choices, its backend, its window. */
#ifndef PAGESPAN_PROCESS_H
#define PAGESPAN_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/backend.h"

/*
 * struct process - constant from the moment that a backend is open
 * @config: what ps_init() and the environment chose, no default left open
 * @window: where the pages are; @export_base is set once, later
 * @caching: freed spans may be cached
 */
struct process {
	struct ps_config config;
	struct window window;
	bool caching;
};

extern struct process process;

/* The backend in use, NULL if none is open. */
const struct backend *process_opened(void);

/* From now on it is in use, and everything in struct process constant. */
void process_publish(const struct backend *backend);

/*
 * In the child of a fork: that no backend is open, and nothing left of the parent's.
 * Or that @backend is, with the parent's spans.
 */
void process_start_afresh(void);
void process_continue(const struct backend *backend);

/* Around a fork of which the child continues; also keeps ps_init() and opening out. */
void process_lock(void);
void process_unlock(void);

#endif

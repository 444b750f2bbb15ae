/* SPDX-License-Identifier: GPL-2.0-only */
/* Megablocks as folios, for era_folio.c. */
#ifndef PAGESPAN_FOLIO_H
#define PAGESPAN_FOLIO_H

#include <linux/types.h>

struct folio;
struct page;
struct pool;

struct folio *folio_build(struct pool *pool, u64 first);
bool folio_take_apart(struct pool *pool, u64 first);
bool folio_hold_poisoned(struct page *page);

#endif

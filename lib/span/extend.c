// SPDX-License-Identifier: MIT
/* Spans that grow and shrink, and leave as dma-bufs. */
#include <errno.h>
#include <string.h>

#include "../annotate.h"
#include "../backend/pages.h"
#include "../counters.h"
#include "../open.h"
#include "budget.h"
#include "cpu_caches.h"
#include "house.h"
#include "window.h"

/* When nobody else is under way, and with all that is cached. */
static int take_at_alone(const struct range *range)
{
	int ret;

	pages_begin(true);
	house_clear();
	ret = pages_take_at(range);
	pages_end();
	return ret;
}

/* Pages that are in use stay so: only what is cached there, or the limit, is worth another try. */
static int take_at(const struct range *range)
{
	int ret = budget_take_at(range);

	if (ret == -EBUSY && cpu_caches_have(range)) {
		cpu_caches_empty();
		ret = budget_take_at(range);
	}
	if (ret == -ENOMEM)
		ret = take_at_alone(range);
	return ret == -EBUSY ? -ENOMEM : ret;
}

int ps_span_extend(void *ptr, size_t old_bytes, size_t new_bytes)
{
	const struct backend *backend = process_opened();
	const char *base = backend ? window_of(ptr, old_bytes) : NULL;
	char *end = (char *)ptr + old_bytes;
	struct range more;
	int ret;

	if (!base || !is_span_size(new_bytes) || new_bytes < old_bytes)
		return -EINVAL;
	if (new_bytes == old_bytes)
		return 0;
	if (window_of(ptr, new_bytes) != base)
		return -ENOMEM;
	house_keep();
	more = range_in(base, end, new_bytes - old_bytes);
	ret = take_at(&more);
	if (!ret)
		annotate_long_allocated(end, new_bytes - old_bytes, false);
	return ret;
}

/* To another place. */
static void *move(const struct backend *backend, char *ptr, size_t old_bytes, size_t new_bytes)
{
	char *span = ps_span_alloc(new_bytes);

	if (!span)
		return NULL;
	if (!backend->move ||
	    !backend->move(span_page(ptr), span_page(span), old_bytes / PS_PAGE_SIZE))
		memcpy(span, ptr, old_bytes);
	ps_span_free(ptr, old_bytes);
	return span;
}

void *ps_span_resize(void *ptr, size_t old_bytes, size_t new_bytes)
{
	const struct backend *backend = process_opened();
	const char *base = backend ? window_of(ptr, old_bytes) : NULL;

	if (!base || base != process.window.base || !is_span_size(new_bytes)) {
		errno = EINVAL;
		return NULL;
	}
	if (new_bytes < old_bytes) {
		ps_span_free((char *)ptr + new_bytes, old_bytes - new_bytes);
		return ptr;
	}
	if (!ps_span_extend(ptr, old_bytes, new_bytes))
		return ptr;
	return move(backend, ptr, old_bytes, new_bytes);
}

int ps_span_export(void *ptr, size_t bytes)
{
	const struct backend *backend = process_opened();
	const char *base = backend && is_span_size(bytes) ? window_of(ptr, bytes) : NULL;
	struct range range;

	if (!base)
		return -EINVAL;
	range = range_in(base, ptr, bytes);
	if (backend == &backend_device && base != process.window.export_base)
		return -EINVAL;
	return backend->export(&range);
}

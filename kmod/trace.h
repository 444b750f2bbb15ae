/* SPDX-License-Identifier: GPL-2.0-only */
/* Tracepoints: what happened to which pages of which client. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pagespan

#if !defined(PAGESPAN_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PAGESPAN_TRACE_H

#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(pagespan_pages,
	TP_PROTO(u64 client, u64 first, u64 nr_pages),
	TP_ARGS(client, first, nr_pages),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, first)
		__field(u64, nr_pages)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->first = first;
		__entry->nr_pages = nr_pages;
	),
	TP_printk("client=%llu first=%llu nr_pages=%llu",
		  __entry->client, __entry->first, __entry->nr_pages)
);

/* A span became the client's. */
DEFINE_EVENT(pagespan_pages, alloc,
	TP_PROTO(u64 client, u64 first, u64 nr_pages),
	TP_ARGS(client, first, nr_pages)
);

/* Pages ceased to be the client's, and no mapping reaches them. */
DEFINE_EVENT(pagespan_pages, free,
	TP_PROTO(u64 client, u64 first, u64 nr_pages),
	TP_ARGS(client, first, nr_pages)
);

/* A fault mapped pages: one, or a megablock. */
DEFINE_EVENT(pagespan_pages, fault,
	TP_PROTO(u64 client, u64 first, u64 nr_pages),
	TP_ARGS(client, first, nr_pages)
);

/* A page was freed that something still pins. */
DEFINE_EVENT(pagespan_pages, quarantine,
	TP_PROTO(u64 client, u64 first, u64 nr_pages),
	TP_ARGS(client, first, nr_pages)
);

/* A page was found poisoned; client 0 if nobody owns it. */
DEFINE_EVENT(pagespan_pages, poison,
	TP_PROTO(u64 client, u64 first, u64 nr_pages),
	TP_ARGS(client, first, nr_pages)
);

DECLARE_EVENT_CLASS(pagespan_wanted,
	TP_PROTO(u64 client, u64 nr_pages),
	TP_ARGS(client, nr_pages),
	TP_STRUCT__entry(
		__field(u64, client)
		__field(u64, nr_pages)
	),
	TP_fast_assign(
		__entry->client = client;
		__entry->nr_pages = nr_pages;
	),
	TP_printk("client=%llu nr_pages=%llu", __entry->client, __entry->nr_pages)
);

/* A client was asked for what it can spare, for somebody who wants a run. */
DEFINE_EVENT(pagespan_wanted, ask,
	TP_PROTO(u64 client, u64 nr_pages),
	TP_ARGS(client, nr_pages)
);

/* A client's request for a run waits for what others can spare. */
DEFINE_EVENT(pagespan_wanted, wait,
	TP_PROTO(u64 client, u64 nr_pages),
	TP_ARGS(client, nr_pages)
);

/* A request that waited got its run. */
DEFINE_EVENT(pagespan_wanted, served,
	TP_PROTO(u64 client, u64 nr_pages),
	TP_ARGS(client, nr_pages)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>

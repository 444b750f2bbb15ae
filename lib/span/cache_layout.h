/* SPDX-License-Identifier: MIT */
/* What cache_x86_64.S knows of cpu_cache.h; cache.c checks it. */
#ifndef PAGESPAN_CACHE_LAYOUT_H
#define PAGESPAN_CACHE_LAYOUT_H

/* In struct cpu_caches. */
#define CACHES_BASE      0
#define CACHES_NR_PAGES  8
#define CACHES_TAKE_BINS 16
#define CACHES_GIVE_BINS 24
#define CACHES_RSEQ      32

/* In struct cpu_cache, for each bin. */
#define CACHE_TAKEN 4104

/* NO_CPUS */
#define CACHES_NO_CPUS 2

#endif

# SPDX-License-Identifier: MIT
#
# bench-sizes: the subjects of bench-span, as this system has them, and hugetlbfs. The programs go into the
# guest as they are, with the libraries that they need.

BENCH_SIZES := $(BUILD)/bench/sizes
BENCH_SIZES_SUBJECTS := pagespan tcmalloc mimalloc jemalloc glibc mmap hugetlbfs
BENCH_SIZES_PROGRAMS := $(BENCH_SIZES_SUBJECTS:%=$(BENCH_SIZES)/%)

.PHONY: bench-sizes
bench-sizes: $(BENCH_SIZES_PROGRAMS) ## spans of one page to 256 MiB, here and in a guest (BENCH_QUICK=1)
	@tools/bench/sizes
	@tools/bench/table $(BUILD)/bench/sizes.json

$(BENCH_SIZES)/tcmalloc: SUBJECT := -DSUBJECT_MALLOC -Wl,--no-as-needed -l:libtcmalloc_minimal.so.4
$(BENCH_SIZES)/mimalloc: SUBJECT := -DSUBJECT_MALLOC -Wl,--no-as-needed -l:libmimalloc.so.2
$(BENCH_SIZES)/jemalloc: SUBJECT := -DSUBJECT_ALIGNED_ALLOC -Wl,--no-as-needed -l:libjemalloc.so.2
$(BENCH_SIZES)/glibc: SUBJECT := -DSUBJECT_ALIGNED_ALLOC
$(BENCH_SIZES)/mmap: SUBJECT := -DSUBJECT_MMAP=0
$(BENCH_SIZES)/hugetlbfs: SUBJECT := -DSUBJECT_MMAP=MAP_HUGETLB -DSUBJECT_LEAST_PAGES=512
$(BENCH_SIZES)/pagespan: SUBJECT = $(BUILD)/lib/libpagespan.a
$(BENCH_SIZES)/pagespan: $(BUILD)/lib/libpagespan.a

$(BENCH_SIZES_PROGRAMS): tools/bench/sizes.c tools/bench/span_subject.h tools/bench/sizes.mk | bench-span-setup
	@mkdir -p $(@D)
	$(CC) $(BENCH_SPAN_CFLAGS) $< $(SUBJECT) -lpthread -o $@

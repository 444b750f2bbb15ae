# SPDX-License-Identifier: MIT
#
# bench-span: one program for every subject, linked as an application would be, with the shared
# library; the guest's is static, so that it takes nothing of the host into the guest.

BENCH_SPAN := $(BUILD)/bench/span
BENCH_SPAN_SUBJECTS := pagespan tcmalloc mimalloc jemalloc glibc mmap
BENCH_SPAN_PROGRAMS := $(BENCH_SPAN_SUBJECTS:%=$(BENCH_SPAN)/%) $(BENCH_SPAN)/own $(BENCH_SPAN)/guest
BENCH_SPAN_CFLAGS = -std=gnu11 $(WARNINGS) $(CFLAGS) -Ilib/include
BENCH_SPAN_PAGESPAN = $(BUILD)/lib/$(SONAME) -Wl,-rpath,'$$ORIGIN/../../lib'

.PHONY: bench-span bench-span-setup
bench-span: $(BENCH_SPAN_PROGRAMS) ## spans against tcmalloc, mimalloc, jemalloc, glibc and mmap (BENCH_QUICK=1)
	@tools/bench/span.sh

bench-span-setup:
	@tools/setup bench

$(BENCH_SPAN_PROGRAMS): lib/include/pagespan.h lib/include/pagespan/arena.h tools/bench/span.mk | bench-span-setup
$(BENCH_SPAN_SUBJECTS:%=$(BENCH_SPAN)/%): tools/bench/span.c tools/bench/span_subject.h

$(BENCH_SPAN)/tcmalloc: SUBJECT := -DSUBJECT_MALLOC -Wl,--no-as-needed -l:libtcmalloc_minimal.so.4
$(BENCH_SPAN)/mimalloc: SUBJECT := -DSUBJECT_MALLOC -Wl,--no-as-needed -l:libmimalloc.so.2
$(BENCH_SPAN)/jemalloc: SUBJECT := -DSUBJECT_ALIGNED_ALLOC -Wl,--no-as-needed -l:libjemalloc.so.2
$(BENCH_SPAN)/glibc: SUBJECT := -DSUBJECT_ALIGNED_ALLOC
$(BENCH_SPAN)/mmap: SUBJECT := -DSUBJECT_MMAP=0
$(BENCH_SPAN)/pagespan: SUBJECT = $(BENCH_SPAN_PAGESPAN)
$(BENCH_SPAN)/pagespan $(BENCH_SPAN)/own: $(BUILD)/lib/$(SONAME)

$(BENCH_SPAN_SUBJECTS:%=$(BENCH_SPAN)/%):
	@mkdir -p $(@D)
	$(CC) $(BENCH_SPAN_CFLAGS) tools/bench/span.c $(SUBJECT) -lpthread -o $@

$(BENCH_SPAN)/own: tools/bench/span_own.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_SPAN_CFLAGS) $< $(BENCH_SPAN_PAGESPAN) -lpthread -o $@

$(BENCH_SPAN)/guest: tools/bench/span_vm.c $(BUILD)/lib/libpagespan.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_SPAN_CFLAGS) -static $< $(BUILD)/lib/libpagespan.a -lpthread -o $@

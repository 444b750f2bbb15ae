# SPDX-License-Identifier: MIT
#
# bench-span: one program for every subject, linked as an application would be, with the shared
# library, and with the peer that tools/bench/peers has; the guest's is static, so that it takes nothing of
# the host into the guest.

BENCH_SPAN := $(BUILD)/bench/span
BENCH_SPAN_PEERS := tcmalloc mimalloc2 mimalloc3 jemalloc glibc
BENCH_SPAN_SUBJECTS := pagespan $(BENCH_SPAN_PEERS) mmap
BENCH_SPAN_PROGRAMS := $(BENCH_SPAN_SUBJECTS:%=$(BENCH_SPAN)/%) $(BENCH_SPAN)/own $(BENCH_SPAN)/guest
BENCH_SPAN_CFLAGS = -std=gnu11 $(WARNINGS) $(CFLAGS) -Ilib/include
BENCH_SPAN_PAGESPAN = $(BUILD)/lib/$(SONAME) -Wl,-rpath,'$$ORIGIN/../../lib'
BENCH_SPAN_SOURCES := $(addprefix tools/bench/span,.c _burst.c _stream.c _left.c _measure.c _main.c)

.PHONY: bench-span bench-span-setup
bench-span: $(BENCH_SPAN_PROGRAMS) ## spans against tcmalloc, mimalloc, jemalloc, glibc and mmap (BENCH_QUICK=1)
	@tools/bench/span.sh

bench-span-setup:
	@tools/setup bench

$(BENCH_SPAN_PROGRAMS): lib/include/pagespan.h lib/include/pagespan/arena.h tools/bench/span.mk | bench-span-setup
$(BENCH_SPAN_SUBJECTS:%=$(BENCH_SPAN)/%): $(BENCH_SPAN_SOURCES) tools/bench/span_measure.h tools/bench/span_subject.h
$(BENCH_SPAN_PEERS:%=$(BENCH_SPAN)/%): tools/bench/peers

$(BENCH_SPAN)/tcmalloc $(BENCH_SPAN)/mimalloc2: SUBJECT := -DSUBJECT_MALLOC
$(BENCH_SPAN)/mimalloc3 $(BENCH_SPAN)/jemalloc $(BENCH_SPAN)/glibc: SUBJECT := -DSUBJECT_ALIGNED_ALLOC
$(BENCH_SPAN)/mmap: SUBJECT := -DSUBJECT_MMAP=0
$(BENCH_SPAN)/pagespan: SUBJECT = $(BENCH_SPAN_PAGESPAN)
$(BENCH_SPAN)/pagespan $(BENCH_SPAN)/own: $(BUILD)/lib/$(SONAME)

$(BENCH_SPAN)/pagespan $(BENCH_SPAN)/mmap:
	@mkdir -p $(@D)
	$(CC) $(BENCH_SPAN_CFLAGS) $(BENCH_SPAN_SOURCES) $(SUBJECT) -lpthread -o $@

# 3 is a peer that cannot be had, and is left out.
$(BENCH_SPAN_PEERS:%=$(BENCH_SPAN)/%):
	@mkdir -p $(@D)
	@rm -f $@
	peer=$$(tools/bench/peers link $(@F)) || { [ $$? = 3 ]; exit; }; \
	$(CC) $(BENCH_SPAN_CFLAGS) $(BENCH_SPAN_SOURCES) $(SUBJECT) -Wl,--no-as-needed $$peer -lpthread -o $@

$(BENCH_SPAN)/own: tools/bench/span_own.c
	@mkdir -p $(@D)
	$(CC) $(BENCH_SPAN_CFLAGS) $< $(BENCH_SPAN_PAGESPAN) -lpthread -o $@

$(BENCH_SPAN)/guest: tools/bench/span_vm.c $(BUILD)/lib/libpagespan.a
	@mkdir -p $(@D)
	$(CC) $(BENCH_SPAN_CFLAGS) -static $< $(BUILD)/lib/libpagespan.a -lpthread -o $@

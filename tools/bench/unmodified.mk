# SPDX-License-Identifier: MIT
#
# bench-unmodified: programs that know nothing of spans.

.PHONY: bench-unmodified
bench-unmodified: $(BUILD)/lib/libpagespan-jemalloc.so $(BUILD)/bin/pagespan-run ## redis, sqlite3 and python3 in a VM on spans, beside jemalloc and glibc (BENCH_RUNS=)
	@tools/bench/unmodified.sh

$(BUILD)/bench/buffers: tools/bench/buffers.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -O2 $< -o $@

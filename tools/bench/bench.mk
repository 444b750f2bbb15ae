# SPDX-License-Identifier: MIT
#
# All benchmarks together, and the guard of what is counted.

BENCH_PROGRAMS = $(BENCH_CORE)/core $(BENCH_CORE)/core-kernel-flags $(BENCH_ARENA)/arena \
	$(BENCH_SPAN_PROGRAMS) $(BUILD)/bench/vm $(BUILD)/bench/latency

.PHONY: bench-check
bench-check: $(BENCH_CORE)/core $(BENCH_ARENA)/arena $(BENCH_SPAN)/pagespan $(BENCH_SPAN)/own \
		$(BENCH_SPAN)/guest $(BUILD)/bench/vm ## instructions against the committed baseline
	@tools/setup build vm test bench
	@tools/bench/check $(if $(UPDATE),--update)

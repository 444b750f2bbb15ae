# SPDX-License-Identifier: MIT
#
# All benchmarks together, and the guard of what is counted.

BENCH_CHECK_PROGRAMS = $(BENCH_CORE)/core $(BENCH_ARENA)/arena $(BENCH_SPAN)/pagespan $(BENCH_SPAN)/own \
	$(BENCH_SPAN)/guest $(BUILD)/bench/vm

.PHONY: bench bench-report bench-check
bench: bench-span-setup ## every benchmark with its peers, tables and pictures (BENCH_QUICK=1)
	@tools/bench/run

bench-report: bench ## the same, and the figures and pictures of the READMEs
	@tools/bench/report

bench-check: $(BENCH_CHECK_PROGRAMS) ## instructions against the committed baseline (UPDATE=1 renews it)
	@tools/setup build vm test bench
	@tools/bench/check $(if $(UPDATE),--update)

# SPDX-License-Identifier: MIT
#
# bench-programs: the example programs, on pagespan and on malloc.

.PHONY: bench-programs
bench-programs: $(EXAMPLES) $(BUILD)/bench/cost ## whole programs on pagespan and on malloc, here and in a guest (BENCH_QUICK=1)
	@tools/bench/programs
	@tools/bench/table $(BUILD)/bench/programs.json

# Static, so that it brings nothing into what it measures.
$(BUILD)/bench/cost: tools/bench/cost.c tools/bench/programs.mk | bench-span-setup
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -static $< -o $@

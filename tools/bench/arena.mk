# SPDX-License-Identifier: MIT
#
# bench-arena: every subject in a file of its own, so that its compiler inlines what it can.

BENCH_ARENA := $(BUILD)/bench/arena
BENCH_ARENA_OBJECTS := $(patsubst tools/bench/%,$(BENCH_ARENA)/%.o,\
	$(wildcard tools/bench/arena*.c tools/bench/arena*.cpp) tools/bench/report.c)
BENCH_ARENA_FLAGS = -O2 -g -Wall -Wextra -Werror -Ilib/include -MMD -MP \
	$(shell pkg-config --cflags apr-1 talloc) -isystem /usr/lib/llvm-14/include

.PHONY: bench-arena bench-arena-setup
bench-arena: $(BENCH_ARENA)/arena ## arenas against their peers (BENCH_QUICK=1)
	@$(BENCH_ARENA)/arena --json $(BUILD)/bench/arena.json
	@tools/bench/table $(BUILD)/bench/arena.json

bench-arena-setup:
	@tools/setup bench

$(BENCH_ARENA_OBJECTS): | bench-arena-setup

$(BENCH_ARENA)/%.c.o: tools/bench/%.c tools/bench/arena.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(BENCH_ARENA_FLAGS) -c $< -o $@

$(BENCH_ARENA)/%.cpp.o: tools/bench/%.cpp tools/bench/arena.mk
	@mkdir -p $(@D)
	$(CXX) -std=gnu++17 $(BENCH_ARENA_FLAGS) -c $< -o $@

$(BENCH_ARENA)/arena: $(BENCH_ARENA_OBJECTS) $(BUILD)/lib/libpagespan.a
	$(CXX) $^ /usr/lib/llvm-14/lib/libLLVMSupport.a /usr/lib/llvm-14/lib/libLLVMDemangle.a \
		$(shell pkg-config --libs apr-1 talloc) -ljansson -ltinfo -lz -lpthread -ldl -lm -o $@

-include $(BENCH_ARENA_OBJECTS:.o=.d)

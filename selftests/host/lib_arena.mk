# SPDX-License-Identifier: MIT
#
# Tests of arenas beside lib_arena.c, which needs no harness of the kernel's. What lib_arena_slow is
# linked with is wrapped so that it knows which way was taken.

LIB_ARENA_FLAGS = -g $(WARNINGS) -Ilib/include -Iselftests/host
LIB_ARENA_LINK = $(BUILD)/lib/libpagespan.a -lpthread
LIB_ARENA_HEADERS := $(wildcard lib/include/*.h lib/include/pagespan/*) selftests/host/tap.h
LIB_ARENA_TESTS := slow cpp cpp_sanitized checked checked_asan

.PHONY: lib-arena-tests
lib-arena-tests: $(LIB_ARENA_TESTS:%=$(BUILD)/host/lib_arena_%)

$(LIB_ARENA_TESTS:%=$(BUILD)/host/lib_arena_%): $(LIB_ARENA_HEADERS) $(BUILD)/lib/libpagespan.a

$(BUILD)/host/lib_arena_slow: selftests/host/lib_arena_slow.c selftests/host/lib_arena_slow.h \
		$(wildcard selftests/host/lib_arena_slow_*.S)
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(LIB_ARENA_FLAGS) $(filter %.c %.S,$^) \
		-Wl,--wrap=cache_take,--wrap=ps_span_alloc $(LIB_ARENA_LINK) -o $@

$(BUILD)/host/lib_arena_cpp: selftests/host/lib_arena_cpp.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 $(LIB_ARENA_FLAGS) $< $(LIB_ARENA_LINK) -o $@

$(BUILD)/host/lib_arena_cpp_sanitized: selftests/host/lib_arena_cpp.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
		$(LIB_ARENA_FLAGS) $< $(LIB_ARENA_LINK) -o $@

$(BUILD)/host/lib_arena_checked: selftests/host/lib_arena_checked.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 $(LIB_ARENA_FLAGS) $< $(LIB_ARENA_LINK) -o $@

$(BUILD)/host/lib_arena_checked_asan: selftests/host/lib_arena_checked.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O1 -fsanitize=address $(LIB_ARENA_FLAGS) $< $(LIB_ARENA_LINK) -o $@

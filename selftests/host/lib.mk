# SPDX-License-Identifier: MIT
#
# Host-side tests of the library: on the memory backend here, and plain ones for the VM, where the
# same programs run on the device. KSELFTESTS is tools/testing/selftests of a kernel source, for the
# harness.

LIB_TESTS := span refusal descriptor reserve pressure stack cache budget exact decay double_free extend \
	resize threads fork debug stress hop fuzz arena arena_large arena_kept
# Those with threads; fork() in a process with threads is not for ThreadSanitizer's watch.
LIB_TSAN_TESTS := refusal cache exact resize stress hop
LIB_TEST_CFLAGS = -std=gnu11 -O1 -g $(WARNINGS) -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Ilib/include -Ikmod/uapi -I$(KSELFTESTS) -I$(KSELFTESTS)/kselftest
LIB_TEST_HEADERS := selftests/in_child.h selftests/random.h selftests/harness.h \
	selftests/host/lib_arena_large.h selftests/host/spans.h selftests/host/tap.h \
	$(wildcard lib/include/*.h lib/include/pagespan/*.h)

.PHONY: lib-tests lib-tests-quick
lib-tests: lib-tests-quick $(LIB_TESTS:%=$(BUILD)/host/lib_%_sanitized) \
	$(LIB_TSAN_TESTS:%=$(BUILD)/host/lib_%_tsan)
lib-tests-quick: $(LIB_TESTS:%=$(BUILD)/host/lib_%) $(BUILD)/host/lib_jemalloc $(BUILD)/host/lib_hold \
	$(BUILD)/lib/libpagespan-jemalloc.so $(BUILD)/bin/pagespan-run

# On jemalloc, whose headers it does without; on spans only by way of pagespan-run.
$(BUILD)/host/lib_jemalloc: selftests/host/lib_jemalloc.c $(LIB_TEST_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(LIB_TEST_CFLAGS) $< -Wl,--no-as-needed -l:libjemalloc.so.2 -lpthread -o $@

$(BUILD)/host/lib_%: selftests/host/lib_%.c $(LIB_TEST_HEADERS) $(BUILD)/lib/libpagespan.a
	@mkdir -p $(@D)
	$(CC) $(LIB_TEST_CFLAGS) $< $(BUILD)/lib/libpagespan.a -lpthread -o $@

# What the library asks the kernel for fails where the test wants it to.
$(BUILD)/host/lib_fuzz $(BUILD)/host/lib_fuzz_sanitized: LIB_TEST_CFLAGS += \
	-Wl,--wrap=mmap,--wrap=mprotect,--wrap=mremap,--wrap=madvise,--wrap=ioctl

$(BUILD)/host/lib_stack: LIB_TEST_CFLAGS += -Wl,-z,now

LIB_SANITIZED_FROM := $(LIB_TEST_HEADERS) $(LIB_SOURCES) $(LIB_HEADERS) kmod/span_map.h

define build_sanitized
	@mkdir -p $(@D)
	$(CC) $(LIB_TEST_CFLAGS) $(SANITIZE) $< $(LIB_SOURCES) -lpthread -o $@
endef

$(BUILD)/host/lib_%_sanitized: SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
$(BUILD)/host/lib_%_tsan: SANITIZE := -fsanitize=thread

# One rule each: a pattern with two targets makes both at once.
$(BUILD)/host/lib_%_sanitized: selftests/host/lib_%.c $(LIB_SANITIZED_FROM)
	$(build_sanitized)

$(BUILD)/host/lib_%_tsan: selftests/host/lib_%.c $(LIB_SANITIZED_FROM)
	$(build_sanitized)

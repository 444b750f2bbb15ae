# SPDX-License-Identifier: MIT
#
# Host-side tests of the library: on the memory backend here, and plain ones for the VM, where the
# same programs run on the device. KSELFTESTS is tools/testing/selftests of a kernel source, for the
# harness.

LIB_TESTS := span cache fork debug stress arena
LIB_TEST_CFLAGS = -std=gnu11 -O1 -g $(WARNINGS) -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Ilib/include -Ikmod/uapi -I$(KSELFTESTS)

.PHONY: lib-tests
lib-tests: $(LIB_TESTS:%=$(BUILD)/host/lib_%) $(LIB_TESTS:%=$(BUILD)/host/lib_%_sanitized)

$(BUILD)/host/lib_%: selftests/host/lib_%.c selftests/in_child.h $(BUILD)/lib/libpagespan.a lib/include/pagespan.h \
		lib/include/pagespan/arena.h
	@mkdir -p $(@D)
	$(CC) $(LIB_TEST_CFLAGS) $< $(BUILD)/lib/libpagespan.a -lpthread -o $@

$(BUILD)/host/lib_%_sanitized: selftests/host/lib_%.c selftests/in_child.h $(LIB_SOURCES) $(wildcard lib/*.h) \
		lib/include/pagespan.h lib/include/pagespan/arena.h kmod/span_map.h
	@mkdir -p $(@D)
	$(CC) $(LIB_TEST_CFLAGS) -fsanitize=address,undefined -fno-sanitize-recover=all \
		$< $(LIB_SOURCES) -lpthread -o $@

# SPDX-License-Identifier: MIT

FUZZ_SECONDS ?= 300
FUZZ_SEED ?= $(shell od -An -N4 -tx4 /dev/urandom)

.PHONY: fuzz-vm

fuzz-vm: ## the device fuzzed on the KASAN kernel for FUZZ_SECONDS, from FUZZ_SEED
	@selftests/fuzz/vm $(FUZZ_SECONDS) $(FUZZ_SEED)

fuzz_parts := device model operations mapping user

$(BUILD)/fuzz/device: $(fuzz_parts:%=selftests/fuzz/%.c) $(wildcard selftests/fuzz/*.h) selftests/random.h \
		kmod/uapi/linux/pagespan.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -Ikmod/uapi -static $(filter %.c,$^) -o $@ -lpthread

# SPDX-License-Identifier: MIT

SOAK_MINUTES ?= 30
SOAK_SEED ?= $(shell od -An -N4 -tx4 /dev/urandom)

.PHONY: soak

soak: ## the device under load, and SIGKILL, for SOAK_MINUTES in a VM; KERNEL=6.1, 6.12, kasan or kcsan
	@selftests/soak/vm $$(($(SOAK_MINUTES) * 60)) $(SOAK_SEED) $(KERNEL)

$(BUILD)/soak/device: selftests/soak/device.c selftests/pagespan_test.h selftests/in_child.h selftests/random.h \
		kmod/uapi/linux/pagespan.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) -Wno-sign-compare $(CFLAGS) -Ikmod/uapi -static $< -o $@

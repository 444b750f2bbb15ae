# SPDX-License-Identifier: MIT
#
# kmod/cgroup.c against a model of the dmem controller, which stands in cgroup_model.h with what else
# it needs of a kernel: the headers themselves are empty here.

CGROUP_HEADERS := $(BUILD)/host/no-kernel
CGROUP_CFLAGS = -std=gnu11 -O2 -g $(WARNINGS) -include selftests/host/cgroup_model.h -idirafter $(CGROUP_HEADERS)
CGROUP_FROM := selftests/host/cgroup.c kmod/cgroup.c kmod/cgroup.h kmod/compat_dmem.h \
	selftests/host/cgroup_model.h selftests/host/tap.h selftests/host/cgroup.mk

.PHONY: cgroup-tests
cgroup-tests: $(BUILD)/host/cgroup $(BUILD)/host/cgroup_sanitized $(BUILD)/host/cgroup_tsan

$(BUILD)/host/cgroup_sanitized: CGROUP_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
$(BUILD)/host/cgroup_tsan: CGROUP_SANITIZE := -fsanitize=thread -Wno-tsan

$(BUILD)/host/cgroup $(BUILD)/host/cgroup_sanitized $(BUILD)/host/cgroup_tsan: $(CGROUP_FROM)
	@mkdir -p $(CGROUP_HEADERS)/linux
	@sed -n 's/^#include <\(linux\/.*\)>/\1/p' kmod/cgroup.[ch] kmod/compat_dmem.h | (cd $(CGROUP_HEADERS) && xargs touch)
	$(CC) $(CGROUP_CFLAGS) $(CGROUP_SANITIZE) $< kmod/cgroup.c -lpthread -o $@

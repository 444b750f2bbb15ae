# SPDX-License-Identifier: MIT
#
# bench-vm: its guest program is static, so that it takes nothing of the host into the guest.

.PHONY: bench-vm
bench-vm: $(BUILD)/bench/vm ## what pages cost in guest instructions, beside mmap, huge pages and memfd (KVER= chooses a kernel)
	@tools/bench/vm.sh $(KVER)

$(BUILD)/bench/vm: tools/bench/vm.c kmod/uapi/linux/pagespan.h tools/bench/vm.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -Ikmod/uapi -static $< -o $@

# SPDX-License-Identifier: MIT
#
# bench-vm: its guest programs are static, so that they take nothing of the host into the guest.

.PHONY: bench-vm
bench-vm: $(BUILD)/bench/vm $(BUILD)/bench/latency ## what pages cost in guest instructions, beside mmap, huge pages and memfd (KVER= chooses a kernel)
	@tools/bench/vm.sh $(KVER)

$(BUILD)/bench/vm $(BUILD)/bench/latency: $(BUILD)/bench/%: tools/bench/%.c kmod/uapi/linux/pagespan.h tools/bench/vm.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -Ikmod/uapi -static $< -o $@

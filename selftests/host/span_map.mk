# SPDX-License-Identifier: MIT
#
# The span map's proofs and its benchmark. Every test prints KTAP and keeps it in $(BUILD)/test.

SPAN_MAP_HOST := $(BUILD)/host
SPAN_MAP_SOURCES := kmod/span_map.c
SPAN_MAP_HEADERS := kmod/span_map.h selftests/host/span_map_model.h selftests/host/tap.h
SPAN_MAP_CFLAGS = -std=gnu11 -O2 -g -Wall -Wextra -Werror
SPAN_MAP_SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all
SPAN_MAP_CORPUS := selftests/host/corpus/span_map
SPAN_MAP_TAP = selftests/host/span_map_tap.sh $(BUILD)/test/$@.tap
FUZZ_SECONDS ?= 3600

SPAN_MAP_QUICK_TESTS := \
	span-map-promises span-map-promises-sanitized span-map-promises-m32 \
	span-map-random span-map-random-sanitized span-map-random-m32 \
	span-map-exhaustive span-map-corpus
SPAN_MAP_TESTS := $(SPAN_MAP_QUICK_TESTS) \
	span-map-random-millions span-map-random-millions-m32 span-map-exhaustive-deep \
	span-map-fuzz span-map-mutants span-map-coverage

.PHONY: test-span-map test-span-map-quick fuzz bench-core $(SPAN_MAP_TESTS)

# A test that fails does not keep the others from running.
test-span-map: ## every test of the span map
	@$(MAKE) --no-print-directory -k $(SPAN_MAP_TESTS)

test-span-map-quick: ## those that take less than a minute together
	@$(MAKE) --no-print-directory -k $(SPAN_MAP_QUICK_TESTS)

$(SPAN_MAP_HOST)/span_map_%: selftests/host/span_map_%.c $(SPAN_MAP_SOURCES) $(SPAN_MAP_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(SPAN_MAP_CFLAGS) $< $(SPAN_MAP_SOURCES) -o $@

$(SPAN_MAP_HOST)/span_map_%_sanitized: selftests/host/span_map_%.c $(SPAN_MAP_SOURCES) \
		$(SPAN_MAP_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(SPAN_MAP_CFLAGS) $(SPAN_MAP_SANITIZE) $< $(SPAN_MAP_SOURCES) -o $@

$(SPAN_MAP_HOST)/span_map_%_m32: selftests/host/span_map_%.c $(SPAN_MAP_SOURCES) $(SPAN_MAP_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(SPAN_MAP_CFLAGS) -m32 -idirafter /usr/include/x86_64-linux-gnu $< $(SPAN_MAP_SOURCES) -o $@

$(SPAN_MAP_HOST)/fuzz_span_map: selftests/host/fuzz_span_map.c $(SPAN_MAP_SOURCES) $(SPAN_MAP_HEADERS)
	@mkdir -p $(@D)
	clang $(SPAN_MAP_CFLAGS) -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		$< $(SPAN_MAP_SOURCES) -o $@

$(SPAN_MAP_HOST)/replay_span_map: selftests/host/fuzz_span_map.c $(SPAN_MAP_SOURCES) \
		$(SPAN_MAP_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(SPAN_MAP_CFLAGS) $(SPAN_MAP_SANITIZE) -DREPLAY $< $(SPAN_MAP_SOURCES) -o $@

span-map-promises: $(SPAN_MAP_HOST)/span_map_promises
	@$(SPAN_MAP_TAP) $<

span-map-promises-sanitized: $(SPAN_MAP_HOST)/span_map_promises_sanitized
	@$(SPAN_MAP_TAP) $<

span-map-promises-m32: $(SPAN_MAP_HOST)/span_map_promises_m32
	@$(SPAN_MAP_TAP) $<

span-map-random: $(SPAN_MAP_HOST)/span_map_random
	@$(SPAN_MAP_TAP) $< 40000

span-map-random-sanitized: $(SPAN_MAP_HOST)/span_map_random_sanitized
	@$(SPAN_MAP_TAP) $< 10000 2

span-map-random-m32: $(SPAN_MAP_HOST)/span_map_random_m32
	@$(SPAN_MAP_TAP) $< 20000 3

span-map-random-millions: $(SPAN_MAP_HOST)/span_map_random
	@$(SPAN_MAP_TAP) $< 300000 4

span-map-random-millions-m32: $(SPAN_MAP_HOST)/span_map_random_m32
	@$(SPAN_MAP_TAP) $< 100000 5

span-map-exhaustive: $(SPAN_MAP_HOST)/span_map_exhaustive
	@$(SPAN_MAP_TAP) $< 3000

span-map-exhaustive-deep: $(SPAN_MAP_HOST)/span_map_exhaustive
	@$(SPAN_MAP_TAP) $< 30000

span-map-corpus: $(SPAN_MAP_HOST)/replay_span_map
	@$(SPAN_MAP_TAP) $< $(wildcard $(SPAN_MAP_CORPUS)/*)

span-map-fuzz: $(SPAN_MAP_HOST)/fuzz_span_map
	@$(SPAN_MAP_TAP) selftests/host/span_map_fuzz.sh $< 40 $(SPAN_MAP_CORPUS) $(SPAN_MAP_HOST)/fuzz

fuzz: $(SPAN_MAP_HOST)/fuzz_span_map ## the span map, for FUZZ_SECONDS= (an hour)
	@$(SPAN_MAP_TAP) selftests/host/span_map_fuzz.sh $< $(FUZZ_SECONDS) $(SPAN_MAP_CORPUS) \
		$(SPAN_MAP_HOST)/fuzz

span-map-mutants:
	@$(SPAN_MAP_TAP) selftests/host/span_map_mutants.sh $(SPAN_MAP_HOST)/mutants

span-map-coverage:
	@$(SPAN_MAP_TAP) selftests/host/span_map_coverage.sh $(BUILD)/coverage/counts/span-map

# ---- bench-core: what is measured is built twice, once with the flags a module is built with ----

BENCH_CORE := $(BUILD)/bench/core
BENCH_CORE_HARNESS := $(wildcard tools/bench/core*.c) tools/bench/report.c
BENCH_CORE_SUBJECTS := $(wildcard tools/bench/peer_*.c) kmod/span_map.c
BENCH_CORE_HEADERS := tools/bench/core.h tools/bench/peer.h tools/bench/report.h kmod/span_map.h
BENCH_CORE_OBJECTS := $(BENCH_CORE_HARNESS:%.c=$(BENCH_CORE)/%.o) \
	$(BENCH_CORE_SUBJECTS:%.c=$(BENCH_CORE)/%.o)
BENCH_CORE_KERNEL_OBJECTS := $(BENCH_CORE_HARNESS:%.c=$(BENCH_CORE)/%.o) \
	$(BENCH_CORE_SUBJECTS:%.c=$(BENCH_CORE)/kernel/%.o)

.PHONY: bench-core-setup
bench-core-setup:
	@tools/setup test bench

$(BENCH_CORE_OBJECTS) $(BENCH_CORE_KERNEL_OBJECTS): | bench-core-setup

$(BENCH_CORE)/kernel/%.o: %.c $(BENCH_CORE_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(SPAN_MAP_CFLAGS) -mgeneral-regs-only -mno-red-zone -c $< -o $@

$(BENCH_CORE)/%.o: %.c $(BENCH_CORE_HEADERS)
	@mkdir -p $(@D)
	$(CC) $(SPAN_MAP_CFLAGS) -c $< -o $@

$(BENCH_CORE)/core: $(BENCH_CORE_OBJECTS)
	$(CC) $^ -ljansson -lm -o $@

$(BENCH_CORE)/core-kernel-flags: $(BENCH_CORE_KERNEL_OBJECTS)
	$(CC) $^ -ljansson -lm -o $@

bench-core: $(BENCH_CORE)/core $(BENCH_CORE)/core-kernel-flags ## the span map against its peers (BENCH_QUICK=1)
	@$(BENCH_CORE)/core-kernel-flags --build 'kernel flags' --json $(BENCH_CORE)/kernel-flags.json
	@$(BENCH_CORE)/core --build 'user space' --json $(BUILD)/bench/core.json \
		--beside $(BENCH_CORE)/kernel-flags.json
	@tools/bench/table $(BUILD)/bench/core.json

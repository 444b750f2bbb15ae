# SPDX-License-Identifier: MIT
#
# pagespan. `make help` lists the public targets; everything they make is under $(BUILD).

BUILD ?= build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
VERSION := 0.2.0
SONAME := libpagespan.so.1
FFI_SONAME := libpagespan-ffi.so.1

CC = gcc
CFLAGS ?= -O2 -g
WARNINGS := -Wall -Wextra -Werror
LIB_CFLAGS = -std=gnu11 $(WARNINGS) $(CFLAGS) -Ilib/include -Ikmod/uapi

.DELETE_ON_ERROR:
SUBSTITUTE = sed 's|@PREFIX@|$(PREFIX)|g; s|@LIBDIR@|$(LIBDIR)|g; s|@VERSION@|$(VERSION)|g'

.PHONY: all module lib tools demo test test-full test-quick test-debug test-next install install-lib install-rules deb test-packages clean help

all: module lib tools ## the module, the library and the programs (KVER= or KDIR= choose the kernel)

module: ## pagespan.ko alone, in build/module-RELEASE
	tools/build-module $(if $(KDIR),--kdir $(KDIR),$(KVER))

# ---- the library ---------------------------------------------------------------------------

LIB_DIRS := lib lib/arena lib/span lib/backend
LIB_SOURCES := $(filter-out lib/ffi.c,$(wildcard $(LIB_DIRS:%=%/*.c))) kmod/span_map.c
LIB_HEADERS := $(wildcard $(LIB_DIRS:%=%/*.h))
LIB_ASSEMBLY := $(wildcard $(LIB_DIRS:%=%/*.S))
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(BUILD)/obj/%.o) $(LIB_ASSEMBLY:%.S=$(BUILD)/obj/%.o)

lib: $(BUILD)/lib/libpagespan.a $(BUILD)/lib/$(SONAME) $(BUILD)/lib/$(FFI_SONAME) $(BUILD)/include/pagespan/ffi.h ## libpagespan.a and .so alone
	@:

# Not in CFLAGS, which whoever calls make may choose.
$(BUILD)/obj/lib/%.o $(BUILD)/obj/kmod/%.o: LIB_CFLAGS += -fPIC -fvisibility=hidden -ftls-model=initial-exec -MMD -MP

# What the slow path of arenas runs while the vector registers are the program's. Where gcc shares
# parts of addresses a span takes an instruction more.
$(BUILD)/obj/lib/span/cache.o $(BUILD)/obj/lib/arena/arena_refill.o: LIB_CFLAGS += -mgeneral-regs-only
# Short enough that vectors make it longer.
$(BUILD)/obj/lib/arena/arena.o: LIB_CFLAGS += -mgeneral-regs-only
$(BUILD)/obj/lib/span/cache.o: LIB_CFLAGS += $(shell \
	$(CC) -Werror -fno-tree-slsr -xc -c /dev/null -o /dev/null 2>/dev/null && echo -fno-tree-slsr)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(LIB_CFLAGS) -c $< -o $@

$(BUILD)/obj/%.o: %.S Makefile
	@mkdir -p $(@D)
	$(CC) $(LIB_CFLAGS) -c $< -o $@

$(BUILD)/lib/libpagespan.a: $(LIB_OBJECTS)
	@mkdir -p $(@D)
	rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/lib/$(SONAME): $(LIB_OBJECTS) lib/pagespan.map
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=lib/pagespan.map \
		-Wl,-z,defs,-z,nodelete,-z,now $(LIB_OBJECTS) -o $@
	ln -sf $(SONAME) $(@D)/libpagespan.so

# Beside the library and not with another copy of it: two in a process would be two heaps. The linker
# finds both by one name.
$(BUILD)/lib/$(FFI_SONAME): $(BUILD)/obj/lib/ffi.o $(BUILD)/lib/$(SONAME) lib/pagespan-ffi.map
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(FFI_SONAME) -Wl,--version-script=lib/pagespan-ffi.map \
		-Wl,-z,defs,-z,nodelete,-z,now,--no-as-needed $(filter %.o,$^) $(BUILD)/lib/$(SONAME) -o $@
	rm -f $(@D)/libpagespan-ffi.so
	echo 'INPUT(-l:$(FFI_SONAME) -l:$(SONAME))' >$(@D)/libpagespan-ffi.so

$(BUILD)/include/pagespan/ffi.h: lib/ffi-header lib/include/pagespan.h lib/include/pagespan/arena.h
	@mkdir -p $(@D)
	CC='$(CC)' perl $< lib/include >$@

-include $(LIB_OBJECTS:.o=.d) $(BUILD)/obj/lib/ffi.d

# ---- programs, tests, benchmarks: a fragment each --------------------------------------------

include lib/examples/examples.mk
include lib/jemalloc/jemalloc.mk
include lib/man/man.mk
include tools/pagespanctl/pagespanctl.mk
-include selftests/host/span_map.mk
include selftests/host/cgroup.mk
include selftests/host/lib.mk
include selftests/host/lib_arena.mk
include selftests/fuzz/fuzz.mk
include selftests/soak/soak.mk
include selftests/selftests.mk
-include tools/bench/vm.mk
-include tools/bench/span.mk
-include tools/bench/sizes.mk
-include tools/bench/arena.mk
-include tools/bench/programs.mk
-include tools/bench/unmodified.mk
-include tools/bench/bench.mk

tools: $(EXAMPLES) $(BUILD)/pagespanctl ## the programs alone
	@:

demo: ## codeindex in a VM, on the kernel headers or on INPUT=DIR
	@tools/demo $(INPUT)

test: ## every test; ends in "N passed, N failed"
	@selftests/run all

test-quick: ## the tests for the inner loop, some three minutes together
	@selftests/run quick

test-debug: ## the kselftests on kernels with KASAN, lockdep and fault injection, and with KCSAN, built once
	@selftests/run debug

test-full: ## every test, and those that take too long for every time
	@selftests/run full

test-next: ## the module and the kselftests on the kernels of Debian's unstable and experimental
	@selftests/run next

install: lib tools install-lib install-man install-pagespanctl install-jemalloc install-rules ## all of it under DESTDIR/PREFIX, and modules that were built
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $(BUILD)/examples/codeindex
	for ko in $(wildcard $(BUILD)/module-*/pagespan.ko); do \
		release=$${ko#$(BUILD)/module-}; \
		install -D -m 644 $$ko $(DESTDIR)/lib/modules/$${release%/*}/updates/pagespan.ko || exit; \
	done

install-lib: lib
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include lib/include/pagespan.h
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include/pagespan lib/include/pagespan/*.h lib/include/pagespan/*.hpp \
		$(BUILD)/include/pagespan/ffi.h
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include/linux kmod/uapi/linux/pagespan.h
	install -D -m 644 -t $(DESTDIR)$(LIBDIR) $(BUILD)/lib/libpagespan.a
	install -D -m 755 -t $(DESTDIR)$(LIBDIR) $(BUILD)/lib/$(SONAME) $(BUILD)/lib/$(FFI_SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libpagespan.so
	rm -f $(DESTDIR)$(LIBDIR)/libpagespan-ffi.so
	install -m 644 -t $(DESTDIR)$(LIBDIR) $(BUILD)/lib/libpagespan-ffi.so
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(LIBDIR)/cmake/pagespan
	$(SUBSTITUTE) lib/pagespan.pc.in >$(DESTDIR)$(LIBDIR)/pkgconfig/pagespan.pc
	for part in config config-version; do \
		$(SUBSTITUTE) lib/pagespan-$$part.cmake.in \
			>$(DESTDIR)$(LIBDIR)/cmake/pagespan/pagespan-$$part.cmake || exit; \
	done

install-rules:
	install -D -m 644 -t $(DESTDIR)/usr/lib/udev/rules.d tools/udev/60-pagespan.rules
	install -D -m 644 -t $(DESTDIR)/usr/lib/sysusers.d tools/udev/pagespan.conf

deb: ## the Debian packages, in build/deb
	@tools/deb

test-packages: ## the packages in a clean Debian, and what they install in the VM
	@selftests/run packages

clean: ## remove what was built
	rm -rf $(BUILD)

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

# SPDX-License-Identifier: MIT
#
# libpagespan-jemalloc.so, which pagespan-run preloads, and pagespan-run beside it. jemalloc's own
# headers are not needed.

LIBDIR ?= $(PREFIX)/lib
JEMALLOC_HOOKS := libpagespan-jemalloc.so

lib: $(BUILD)/lib/$(JEMALLOC_HOOKS)

$(BUILD)/lib/$(JEMALLOC_HOOKS): lib/jemalloc/hooks.c lib/include/pagespan.h $(BUILD)/lib/$(SONAME) lib/jemalloc/jemalloc.mk
	$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -Ilib/include -fPIC -fvisibility=hidden $(LDFLAGS) -shared \
		-Wl,-soname,$(JEMALLOC_HOOKS) -Wl,-z,defs,-z,nodelete,-z,initfirst $< \
		$(BUILD)/lib/$(SONAME) -o $@

$(BUILD)/bin/pagespan-run: tools/pagespan-run
	@mkdir -p $(@D)
	install -m 755 $< $@

.PHONY: install-jemalloc
install-jemalloc: $(BUILD)/lib/$(JEMALLOC_HOOKS)
	install -D -m 755 -t $(DESTDIR)$(LIBDIR)/pagespan $(BUILD)/lib/$(JEMALLOC_HOOKS)
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin tools/pagespan-run

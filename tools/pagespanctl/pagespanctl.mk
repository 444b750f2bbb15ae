# SPDX-License-Identifier: MIT
#
# pagespanctl, its man page and its completion.

PAGESPANCTL_OBJ := $(BUILD)/obj/pagespanctl
PAGESPANCTL_OBJECTS := $(patsubst tools/pagespanctl/%.c,$(PAGESPANCTL_OBJ)/%.o,$(wildcard tools/pagespanctl/*.c))

$(PAGESPANCTL_OBJ)/%.o: tools/pagespanctl/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(LIB_CFLAGS) -DVERSION='"$(VERSION)"' -MMD -MP -c $< -o $@

$(BUILD)/pagespanctl: $(PAGESPANCTL_OBJECTS) $(BUILD)/lib/libpagespan.a
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -ljansson -lncursesw -lm -lpthread -o $@

.PHONY: install-pagespanctl
install-pagespanctl: $(BUILD)/pagespanctl
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/bin $<
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/man/man1 tools/pagespanctl/pagespanctl.1
	install -D -m 644 tools/pagespanctl/completion.bash \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/pagespanctl

-include $(PAGESPANCTL_OBJECTS:.o=.d)

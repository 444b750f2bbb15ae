# SPDX-License-Identifier: MIT
#
# The example programs, for inclusion in the top Makefile.  codeindex's index and job are compiled
# twice: on pagespan, and, as *_malloc.o, on malloc.  jsontree and lisp are a program for each memory.

EXAMPLES_OBJ := $(BUILD)/obj/examples
EXAMPLES_CFLAGS = -std=gnu11 -Wall -Wextra -Werror $(CFLAGS) -Ilib/include -MMD -MP

CODEINDEX_OBJECTS := $(addprefix $(EXAMPLES_OBJ)/,codeindex.o codeindex_corpus.o codeindex_index.o \
	codeindex_index_malloc.o codeindex_job.o codeindex_job_malloc.o codeindex_process.o \
	codeindex_report.o codeindex_writer.o)

$(EXAMPLES_OBJ)/%.o: lib/examples/%.c lib/examples/examples.mk
	@mkdir -p $(@D)
	$(CC) $(EXAMPLES_CFLAGS) -c $< -o $@

$(EXAMPLES_OBJ)/%_malloc.o: lib/examples/%.c lib/examples/examples.mk
	@mkdir -p $(@D)
	$(CC) $(EXAMPLES_CFLAGS) -DCODEINDEX_MALLOC -c $< -o $@

$(BUILD)/examples/codeindex: $(CODEINDEX_OBJECTS) $(BUILD)/lib/libpagespan.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@

-include $(CODEINDEX_OBJECTS:.o=.d)

EXAMPLES_PAIRS := jsontree lisp
EXAMPLES := $(addprefix $(BUILD)/examples/,codeindex $(EXAMPLES_PAIRS) $(EXAMPLES_PAIRS:%=%-malloc))

$(BUILD)/examples/jsontree $(BUILD)/examples/jsontree-malloc: $(wildcard lib/examples/jsontree*.[ch])
$(BUILD)/examples/lisp $(BUILD)/examples/lisp-malloc: $(wildcard lib/examples/lisp*.[ch])

$(EXAMPLES_PAIRS:%=$(BUILD)/examples/%): $(BUILD)/lib/libpagespan.a lib/examples/examples.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Wall -Wextra -Werror $(CFLAGS) -Ilib/include $(LDFLAGS) $(filter %.c,$^) $(filter %.a,$^) -o $@

$(EXAMPLES_PAIRS:%=$(BUILD)/examples/%-malloc): lib/examples/examples.mk
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Wall -Wextra -Werror $(CFLAGS) -DON_MALLOC $(LDFLAGS) $(filter %.c,$^) -o $@

# Small ones, a file each but for two_libraries.
EXAMPLES_SMALL := $(addprefix $(BUILD)/examples/,direct_read share two_libraries uring_read)

.PHONY: examples
examples: $(EXAMPLES_SMALL) ## the small examples alone

$(BUILD)/examples/two_libraries: $(EXAMPLES_OBJ)/lines.o $(EXAMPLES_OBJ)/sorting.o
$(BUILD)/examples/uring_read: LDLIBS := -luring

$(EXAMPLES_SMALL): $(BUILD)/examples/%: $(EXAMPLES_OBJ)/%.o $(BUILD)/lib/libpagespan.a
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) $(filter %.o,$^) $(BUILD)/lib/libpagespan.a $(LDLIBS) -lpthread -o $@

-include $(wildcard $(EXAMPLES_OBJ)/*.d)

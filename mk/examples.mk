# The example apps: small static programs (musl where it is installed, else glibc), and their images.
EX       := build/examples
EXCC     := $(shell command -v musl-gcc || echo gcc)
EXFLAGS  := -std=c17 -D_GNU_SOURCE -O2 -g0 -fno-common -fstack-protector-strong -static -s -Iexamples/shared \
  $(WARN) -ffile-prefix-map=$(CURDIR)=. -Wl,--build-id=none -Wl,--gc-sections -ffunction-sections -fdata-sections
EX_SHARED := $(wildcard examples/shared/*.c)
EX_HEADERS := $(wildcard examples/*/*.h)

.PHONY: examples images
EX_APPS := $(EX)/moscow-time-1.0 $(EX)/moscow-time-1.1 $(EX)/visit-board-1.0
examples: $(EX_APPS)

# build/examples/NAME-VERSION from examples/NAME/*.c and what they share.
define example_program
$(EX)/$(1)-%: $(wildcard examples/$(1)/*.c) $(EX_SHARED) $(EX_HEADERS) mk/examples.mk
	@mkdir -p $$(@D); echo "  EX  $$@"
	$$(Q)$$(EXCC) $$(EXFLAGS) -DVERSION='"$$*"' -o $$@ $$(filter %.c,$$^) -lpthread
endef
$(foreach app,moscow-time visit-board,$(eval $(call example_program,$(app))))

# Images without Docker: tools/mkimage reads examples/images/*.recipe, writes build/images/*.tar.
MKIMAGE_OBJ := $(patsubst src/%.c,$(B)/src/%.o,$(wildcard src/base/*.c) \
  src/data/val.c src/data/doc.c src/data/json_read.c src/data/json_write.c)
$(B)/tools/mkimage: tools/mkimage.c $(MKIMAGE_OBJ)
	@mkdir -p $(@D); echo "  LD  $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(MKIMAGE_OBJ) -lcrypto -lm
images: build/images/moscow-time.tar build/images/visit-board.tar build/images/busybox.tar
build/images/%.tar: $(B)/tools/mkimage $(EX_APPS) $(wildcard examples/images/*)
	@mkdir -p $(@D); echo "  IMG $@"
	$(Q)$< $@ examples/images/$*.recipe

# Their unit tests link the apps' own files, all but main.c.
EX_INCLUDES := -Iexamples/shared -Iexamples/moscow-time -Iexamples/visit-board
EX_OBJ := $(patsubst %.c,$(B)/%.o,$(filter-out %/main.c,$(wildcard examples/*/*.c)))
$(B)/examples/%.o: examples/%.c
	@mkdir -p $(@D); echo "  CC  $<"
	$(Q)$(CC) $(CPPFLAGS) $(EX_INCLUDES) $(CFLAGS) -c -o $@ $<
$(B)/tests/unit/examples/%.o: CPPFLAGS += $(EX_INCLUDES)
$(B)/tests/examples_test: $(EX_OBJ)

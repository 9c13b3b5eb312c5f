# coracle: one binary, one hand-written Makefile. Flavours live in build/<flavour>.
#   make            release binary build/release/coracle
#   make deps       install what build and run need (Debian packages)
#   make test       everything that proves it: checks, units, simulation, end to end
#   make demo       the story, on your screen
.DEFAULT_GOAL := all
FLAVOUR ?= release
B       := build/$(FLAVOUR)
V       ?= 0
Q       := $(if $(filter 0,$(V)),@,)
OBJCOPY ?= objcopy
STRIP   ?= strip
CC      := $(shell command -v ccache) $(if $(filter fuzz,$(FLAVOUR)),clang,gcc)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes \
  -Wmissing-prototypes -Wold-style-definition -Wvla -Wundef -Wcast-qual -Wwrite-strings -Wformat=2 -Wno-format-truncation \
  -Wswitch-enum -Wimplicit-fallthrough -Wframe-larger-than=16384 -Werror
WARN += $(if $(findstring clang,$(CC)),-Wno-unknown-warning-option -Wno-gnu-folding-constant)
CPPFLAGS := -D_GNU_SOURCE -Isrc -I$(B)/gen -Itests/unit
CFLAGS   := -std=c17 -g -fno-common -MMD -MP $(WARN)
# Archives where the system has them: a shared library costs relocated pages and start-up time even for the little
# that is used. OpenSSL stays shared: its archive adds 4.4 MB to the program, and its fixes come from the system.
archive_or_shared = $(if $(filter release,$(FLAVOUR)),$(if $(filter /%,$(shell gcc -print-file-name=lib$(2).a 2>/dev/null)),-l:lib$(2).a,-l$(1)),-l$(1))
LIBS     := $(call archive_or_shared,uv,uv_a) -lssl -lcrypto \
  $(foreach lib,sqlite3 yaml nftnl mnl nghttp2 z zstd,$(call archive_or_shared,$(lib),$(lib))) -ldl -lm -lpthread
CFLAGS_release  := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -ffunction-sections -fdata-sections
LDFLAGS_release := -pie -Wl,-z,relro,-z,now -Wl,--gc-sections
CFLAGS_asan     := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_asan    := -fsanitize=address,undefined
CFLAGS_sim      := -O2 -flto -march=native
LDFLAGS_sim     := -O2 -flto=2 -march=native
CFLAGS_fuzz     := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LDFLAGS_fuzz    := -fsanitize=address,undefined
CFLAGS  += $(CFLAGS_$(FLAVOUR))
LDFLAGS += $(LDFLAGS_$(FLAVOUR))

ROOM_SRC := $(wildcard src/*/*.c)
GEN_SRC  :=
LLHTTP   := $(wildcard /usr/share/llhttp/*.c)
OBJ      := $(ROOM_SRC:src/%.c=$(B)/src/%.o) $(GEN_SRC:%.c=%.o) $(LLHTTP:/usr/share/llhttp/%.c=$(B)/llhttp/%.o)
ROOMS    := $(sort $(notdir $(patsubst %/,%,$(dir $(wildcard tests/unit/*/*_test.c)))))
TESTS    := $(ROOMS:%=$(B)/tests/%_test)

-include mk/*.mk

.PHONY: all
all: $(B)/coracle

$(B)/coracle: $(B)/src/main.o $(B)/src/brain.o $(B)/libcoracle.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@.full $^ $(LIBS)
	$(Q)$(if $(filter release,$(FLAVOUR)),$(OBJCOPY) --only-keep-debug $@.full $@.debug && \
	  $(STRIP) -o $@ $@.full && $(OBJCOPY) --add-gnu-debuglink=$@.debug $@ && rm $@.full,mv $@.full $@)
$(B)/libcoracle.a: $(OBJ)
	@echo "  AR  $@"
	$(Q)rm -f $@ && ar rcs $@ $^
$(B)/src/%.o: src/%.c
	@mkdir -p $(@D); echo "  CC  $<"
	$(Q)$(CC) $(CPPFLAGS) -I/usr/share/include/llhttp $(CFLAGS) -c -o $@ $<
$(B)/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D); echo "  CC  llhttp/$*.c"
	$(Q)$(CC) -I/usr/share/include/llhttp $(filter-out $(WARN),$(CFLAGS)) -c -o $@ $<
$(B)/gen/%.o: $(B)/gen/%.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# Unit tests: one program a room, from tests/unit/<room>/*_test.c.
.SECONDARY:
$(B)/tests/unit/%.o: tests/unit/%.c
	@mkdir -p $(@D); echo "  CC  $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
define unit_program
$(B)/tests/$(1)_test: $(patsubst %.c,$(B)/%.o,$(wildcard tests/unit/$(1)/*.c)) $(B)/tests/unit/test_main.o $(B)/libcoracle.a
	@echo "  LD  $$@"
	$$(Q)$$(CC) $$(LDFLAGS) -o $$@ $$^ -lcmocka -ljansson $$(LIBS)
endef
$(foreach room,$(ROOMS),$(eval $(call unit_program,$(room))))

.PHONY: unit check format tidy clean deps test demo
# make unit [ROOM=data]: builds and runs the unit tests with the sanitizers on; without a room, the corpora too.
unit:
	$(Q)$(MAKE) --no-print-directory FLAVOUR=asan $(if $(ROOM),build/asan/tests/$(ROOM)_test,unit-programs)
	$(Q)tools/run-tests $(if $(ROOM),build/asan/tests/$(ROOM)_test,$(ROOMS:%=build/asan/tests/%_test) $(FUZZ_NAMES:%=build/asan/tests/%_corpus))
.PHONY: unit-programs
unit-programs: $(TESTS) $(CORPUS_TESTS)
check:
	$(Q)tools/check-layers && tools/check-house && tools/check-format
format:
	$(Q)clang-format -i $$(git ls-files -co --exclude-standard '*.c' '*.h')
tidy:
	$(Q)tools/check-tidy
deps:
	$(Q)tools/deps
test:
	$(Q)tools/test
demo:
	$(Q)tools/demo
clean:
	rm -rf build

-include $(OBJ:.o=.d) $(B)/src/main.d $(B)/src/brain.d $(wildcard $(B)/tests/unit/*/*.d)

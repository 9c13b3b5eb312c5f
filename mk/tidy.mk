# clang-tidy, a file at a time: build/tidy/<file>.ok stands for "looked at since it, its headers or the rules changed".
#   make tidy       over all of src; says each finding and ends with an error if there is one
TIDY_OK := $(patsubst src/%.c,build/tidy/%.ok,$(wildcard src/*.c) $(ROOM_SRC))
TIDY_FLAGS := -std=c17 -D_GNU_SOURCE -Isrc -I/usr/share/include/llhttp

build/tidy/%.ok: src/%.c .clang-tidy
	@mkdir -p $(@D); echo "  TIDY $<"
	$(Q)clang $(TIDY_FLAGS) -MM -MP -MT $@ -MF build/tidy/$*.d $<
	$(Q)if clang-tidy --quiet $< -- $(TIDY_FLAGS) >build/tidy/$*.log 2>&1; then touch $@; \
	  else grep -v 'warnings\? generated\.$$' build/tidy/$*.log; exit 1; fi

.PHONY: tidy-files
tidy-files: $(TIDY_OK)
ifneq ($(filter tidy-files build/tidy/%,$(MAKECMDGOALS)),)
-include $(TIDY_OK:.ok=.d)
endif

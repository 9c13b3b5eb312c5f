# Fuzz targets: tests/fuzz/<name>_fuzz.c becomes build/fuzz/<name>_fuzz (clang, libFuzzer, ASan, UBSan).
#   make fuzz [FUZZ_SECONDS=60]   builds them all and runs each from its corpus, which is tests/fuzz/corpus/<name>/
FUZZ_SECONDS ?= 60
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))

# The same targets without a fuzzer, in any flavour: `make unit` replays the corpora.
CORPUS_TESTS := $(FUZZ_NAMES:%=$(B)/tests/%_corpus)
$(B)/tests/fuzz/%.o: tests/fuzz/%.c
	@mkdir -p $(@D); echo "  CC  $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(CORPUS_TESTS): $(B)/tests/%_corpus: $(B)/tests/fuzz/%_fuzz.o $(B)/tests/fuzz/fuzz.o $(B)/tests/fuzz/replay.o $(B)/libcoracle.a
	@mkdir -p $(@D); echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ -ljansson $(LIBS)
-include $(wildcard $(B)/tests/fuzz/*.d)

build/fuzz/%_fuzz: build/fuzz/tests/fuzz/%_fuzz.o build/fuzz/tests/fuzz/fuzz.o build/fuzz/libcoracle.a
	@mkdir -p $(@D); echo "  LD  $@"
	$(Q)clang -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -o $@ $^ -ljansson $(LIBS)

.PHONY: fuzz fuzz-programs
fuzz-programs: $(FUZZ_NAMES:%=build/fuzz/%_fuzz)
# What a run finds grows in build/; seeds that are worth keeping are copied into tests/fuzz/corpus by hand.
fuzz:
	$(Q)$(MAKE) --no-print-directory FLAVOUR=fuzz fuzz-programs
	$(Q)for name in $(FUZZ_NAMES); do mkdir -p build/fuzz/corpus/$$name tests/fuzz/corpus/$$name; \
	  echo "== $$name"; build/fuzz/$${name}_fuzz -max_total_time=$(FUZZ_SECONDS) -verbosity=0 -print_final_stats=1 \
	    -artifact_prefix=build/fuzz/$$name- build/fuzz/corpus/$$name tests/fuzz/corpus/$$name || exit 1; done

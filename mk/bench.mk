# make bench: measures the release program against the project's aims (bench/README.md).

$(B)/bench/load: bench/load.c bench/wire.c bench/shared.c bench/wire.h
	@mkdir -p $(@D); echo "  LD  $@"
	$(Q)$(CC) -D_GNU_SOURCE -std=c17 -O2 $(WARN) -o $@ $(filter %.c,$^) -lnghttp2 -lssl -lcrypto -lpthread
$(B)/bench/stamp: bench/stamp.c
	@mkdir -p $(@D); echo "  LD  $@"
	$(Q)$(CC) -D_GNU_SOURCE -std=c17 -Os $(WARN) -static -s -o $@ $<

.PHONY: bench bench-programs
bench-programs: $(B)/coracle $(B)/bench/load $(B)/bench/stamp
bench: bench-programs
	$(Q)tools/deps bench
	$(Q)bench/run $(B)

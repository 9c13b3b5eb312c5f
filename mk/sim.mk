# The simulation: tests/sim/*.c with every room, under the sanitizers.
#   make sim                      SEEDS seeds from FROM, then the planted mutations
#   make sim SEED=123             one seed with its trace
#   make sim SEED=123 MUTATION=2  the same with a planted mistake (tests/sim/sim.h)
FROM  ?= 1
SEEDS ?= 200
SIM_OBJ := $(patsubst %.c,$(B)/%.o,$(wildcard tests/sim/*.c))

$(B)/tests/sim/%.o: tests/sim/%.c
	@mkdir -p $(@D); echo "  CC  $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(B)/sim: $(SIM_OBJ) $(B)/libcoracle.a
	@echo "  LD  $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

.PHONY: sim
sim:
	$(Q)$(MAKE) --no-print-directory FLAVOUR=asan build/asan/sim
ifdef SEED
	$(Q)build/asan/sim --replay $(SEED) $(MUTATION)
else
	$(Q)build/asan/sim --mutations 60
	$(Q)build/asan/sim --jobs 2 $(FROM) $(SEEDS)
endif
-include $(SIM_OBJ:.o=.d)

# The simulation: tests/sim/*.c with every room, under the sanitizers (the planted mistakes without).
#   make sim                      the scenarios, the planted mutations, SEEDS seeds from FROM
#   make sim SCENARIO=name        one script of tests/sim/scenario.c with its trace
#   make sim SEED=123             one seed with its trace
#   make sim SEED=123 MUTATION=2  the same with a planted mistake (tests/sim/sim.h)
#   make sim-nightly [HOURS=8] [STEPS=1000000] [FROM=n]  seeds at full speed (flavour sim), one process, until
#                                 each policy has had STEPS steps or the time is over
FROM  ?= 1
SEEDS ?= 200
MUTATION_SEEDS ?= 400
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
ifdef SCENARIO
	$(Q)build/asan/sim --scenarios $(SCENARIO)
else ifdef SEED
	$(Q)build/asan/sim --replay $(SEED) $(MUTATION)
else
	$(Q)$(MAKE) --no-print-directory FLAVOUR=release build/release/sim
	$(Q)build/asan/sim --scenarios
	$(Q)build/release/sim --mutations $(MUTATION_SEEDS)
	$(Q)build/asan/sim --jobs 2 $(FROM) $(SEEDS)
endif
HOURS ?= 8
STEPS ?= 1000000
.PHONY: sim-nightly
sim-nightly:
	$(Q)$(MAKE) --no-print-directory FLAVOUR=sim build/sim/sim
	$(Q)build/sim/sim --steps $(STEPS) $$(($(HOURS) * 3600)) $(if $(filter file,$(origin FROM)),100000,$(FROM))
-include $(SIM_OBJ:.o=.d)

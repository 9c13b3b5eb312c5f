# The schema tables: tools/schemagen, linked with base and data, reads schema/ and prints C.
SCHEMA_IN := schema/types.json schema/enums.json schema/protobuf.txt
SCHEMAGEN_OBJ := $(patsubst src/%.c,$(B)/src/%.o,$(wildcard src/base/*.c) \
  $(filter src/data/val.c src/data/doc.c src/data/json_read.c src/data/json_write.c,$(wildcard src/data/*.c)))
OBJ += $(B)/gen/schema_tables.o

$(B)/tools/schemagen: tools/schemagen.c src/api/kinds.def $(SCHEMAGEN_OBJ)
	@mkdir -p $(@D); echo "  LD  $@"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) -o $@ $< $(SCHEMAGEN_OBJ) -lm
$(B)/gen/schema_tables.c: $(B)/tools/schemagen $(SCHEMA_IN)
	@mkdir -p $(@D); echo "  GEN $@"
	$(Q)$< $(SCHEMA_IN) >$@.new && mv $@.new $@

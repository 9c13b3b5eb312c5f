// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include "base/mem.h"

#include <stdlib.h>

size_t map_seek(const struct map *map, struct str key)
{
    size_t low = 0;
    size_t high = map->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (str_cmp(map->entries[mid].key, key) < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static bool is_at(const struct map *map, size_t i, struct str key)
{
    return i < map->count && str_eq(map->entries[i].key, key);
}

void map_done(struct map *map, void (*value_free)(void *))
{
    for (size_t i = 0; i < map->count; i++) {
        free((char *)(uintptr_t)map->entries[i].key.p);
        if (value_free != NULL) {
            value_free(map->entries[i].value);
        }
    }
    free(map->entries);
    *map = (struct map){0};
}

void *map_find(const struct map *map, struct str key)
{
    size_t i = map_seek(map, key);
    return is_at(map, i, key) ? map->entries[i].value : NULL;
}

void *map_put(struct map *map, struct str key, void *value)
{
    size_t i = map_seek(map, key);
    if (is_at(map, i, key)) {
        void *old = map->entries[i].value;
        map->entries[i].value = value;
        return old;
    }
    if (map->count == map->cap) {
        map->cap = map->cap == 0 ? 8 : map->cap * 2;
        map->entries = xrealloc(map->entries, map->cap * sizeof *map->entries);
    }
    memmove(map->entries + i + 1, map->entries + i, (map->count - i) * sizeof *map->entries);
    map->entries[i] = (struct map_entry){
        {xstrndup(key.n == 0 ? "" : key.p, key.n), key.n},
        value
    };
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct str key)
{
    size_t i = map_seek(map, key);
    if (!is_at(map, i, key)) {
        return NULL;
    }
    void *old = map->entries[i].value;
    free((char *)(uintptr_t)map->entries[i].key.p);
    map->count--;
    memmove(map->entries + i, map->entries + i + 1, (map->count - i) * sizeof *map->entries);
    return old;
}

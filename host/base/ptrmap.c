/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ptrmap: open addressing with linear probing, at most three quarters full. */
#include "base/ptrmap.h"

#include <stdlib.h>

#include "base/memory.h"

/* Allocations are 16 bytes apart, so the low bits of an address need mixing. */
static size_t ptrmap_home(const void *key, size_t capacity)
{
    uint64_t mixed = (uint64_t)(uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(mixed >> 32) & (capacity - 1);
}

static struct ptrmap_slot *ptrmap_slot(const struct ptrmap *map, const void *key)
{
    size_t i = ptrmap_home(key, map->capacity);
    while (map->slots[i].key != NULL && map->slots[i].key != key)
        i = (i + 1) & (map->capacity - 1);
    return &map->slots[i];
}

static void ptrmap_grow(struct ptrmap *map)
{
    struct ptrmap bigger = {.capacity = map->capacity == 0 ? 64 : map->capacity * 2, .used = map->used};
    bigger.slots = memory_new(bigger.capacity * sizeof *bigger.slots);
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->slots[i].key != NULL)
            *ptrmap_slot(&bigger, map->slots[i].key) = map->slots[i];
    }
    free(map->slots);
    *map = bigger;
}

void ptrmap_put(struct ptrmap *map, const void *key, uint64_t value)
{
    if (map->used * 4 >= map->capacity * 3)
        ptrmap_grow(map);
    struct ptrmap_slot *slot = ptrmap_slot(map, key);
    if (slot->key == NULL)
        map->used++;
    *slot = (struct ptrmap_slot){.key = key, .value = value};
}

bool ptrmap_get(const struct ptrmap *map, const void *key, uint64_t *value)
{
    if (map->capacity == 0 || key == NULL)
        return false;
    const struct ptrmap_slot *slot = ptrmap_slot(map, key);
    if (slot->key != NULL && value != NULL)
        *value = slot->value;
    return slot->key != NULL;
}

void ptrmap_clear(struct ptrmap *map)
{
    free(map->slots);
    *map = (struct ptrmap){0};
}

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ptrmap: a hash table from an address to a number. json-c's nodes have no room for what we need to remember of them (a
 * place in a text, the schema made of them, whether we were there), and a null has no node at all. */
#ifndef BASE_PTRMAP_H
#define BASE_PTRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ptrmap_slot {
    const void *key;
    uint64_t value;
};

/* All zero is an empty map. */
struct ptrmap {
    struct ptrmap_slot *slots;
    size_t capacity;
    size_t used;
};

/* Sets the value of a key, which must not be NULL. */
void ptrmap_put(struct ptrmap *map, const void *key, uint64_t value);

/* Whether the key is there; value may be NULL. */
bool ptrmap_get(const struct ptrmap *map, const void *key, uint64_t *value);

/* Frees what the map holds and leaves it empty. */
void ptrmap_clear(struct ptrmap *map);

#endif

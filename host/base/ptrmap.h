/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ptrmap: a hash table from an address to a number. It holds facts about json-c's nodes (the place in the text, the
 * compiled schema, a visit), for which the nodes have no room. A null has no node at all. */
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

/* True if the map has the key; value may be NULL. */
bool ptrmap_get(const struct ptrmap *map, const void *key, uint64_t *value);

/* Frees the contents and leaves the map empty. */
void ptrmap_clear(struct ptrmap *map);

#endif

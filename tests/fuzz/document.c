/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * document: any bytes are a document, or are refused with a reason on one line, within the bounds. Every node of the
 * tree has a place and a pointer that leads back to it. */
#include "fuzz.h"

#include <json-c/json.h>
#include <string.h>

#include "document/document.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

static size_t visit(const struct document *document, struct json_object *node, unsigned depth)
{
    size_t count = 1;
    EXPECT(depth <= DOCUMENT_DEPTH_MAX, "%u", depth);
    if (node != NULL)
        EXPECT(document_place(document, node).line > 0, "a node without a place");
    if (json_object_is_type(node, json_type_object)) {
        json_object_object_foreach(node, key, value)
        {
            EXPECT(document_place_of_key(document, node, key).line > 0, "a key without a place");
            (void)document_key_is_text(document, node, key);
            count += visit(document, value, depth + 1);
        }
    }
    for (size_t i = 0; json_object_is_type(node, json_type_array) && i < json_object_array_length(node); i++)
        count += visit(document, json_object_array_get_idx(node, i), depth + 1);
    return count;
}

/* For a few nodes, one at each level: the pointer is one line, and leads back unless it was cut or quoted. A merged
 * node has its first place, which may be in no tree, so it is not checked. */
static void point(const struct document *document, struct json_object *node, bool has_merges)
{
    char pointer[4096];
    for (int floor = 0; floor <= DOCUMENT_DEPTH_MAX && node != NULL; floor++) {
        struct json_object *found = NULL, *next = NULL;
        document_pointer(document, node, NULL, pointer, sizeof pointer);
        EXPECT(strpbrk(pointer, "\n\r") == NULL, "a pointer of several lines");
        bool plain = strlen(pointer) < sizeof pointer - 1 && strchr(pointer, '\\') == NULL;
        if (plain && !has_merges)
            EXPECT(document_at(document_root(document), pointer, &found) && found == node, "%s leads elsewhere",
                   pointer);
        if (json_object_is_type(node, json_type_object)) {
            json_object_object_foreach(node, key, value)
            {
                (void)key;
                next = value;
            }
        } else if (json_object_is_type(node, json_type_array) && json_object_array_length(node) > 0) {
            next = json_object_array_get_idx(node, json_object_array_length(node) - 1);
        }
        node = next;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct fault fault = {""};
    double began = fuzz_seconds();
    struct document *document = document_read((const char *)bytes, len, &fault);
    EXPECT(fuzz_seconds() - began < 5, "%f s", fuzz_seconds() - began);
    if (document == NULL) {
        fuzz_expect_fault(fault.text, (const char *[]){"line ", "the text is ", NULL});
        return 0;
    }
    EXPECT(fault.text[0] == '\0', "read, and a fault: %s", fault.text);
    struct json_object *root = document_root(document), *node = NULL;
    EXPECT(visit(document, root, 0) <= DOCUMENT_NODES_MAX, "too many nodes");
    point(document, root, memmem(bytes, len, "<<", 2) != NULL);
    EXPECT(document_at(root, "", &node) && node == root, "the empty pointer");
    (void)!document_at(root, "/a/0/~1b", &node);
    document_free(document);
    return 0;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/known.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

bool identity_read(const char *path, struct identity *identity)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return false;
    *identity = (struct identity){.device = status.st_dev,
                                  .inode = status.st_ino,
                                  .size = status.st_size,
                                  .modified = status.st_mtim,
                                  .changed = status.st_ctim};
    return true;
}

static bool is_same_time(struct timespec one, struct timespec other)
{
    return one.tv_sec == other.tv_sec && one.tv_nsec == other.tv_nsec;
}

bool identity_is(const struct identity *one, const struct identity *other)
{
    return one->device == other->device && one->inode == other->inode && one->size == other->size &&
           is_same_time(one->modified, other->modified) && is_same_time(one->changed, other->changed);
}

struct known *known_find(const struct knowns *knowns, const char *path)
{
    for (size_t i = 0; i < knowns->count; i++)
        if (strcmp(knowns->at[i].path, path) == 0)
            return &knowns->at[i];
    return NULL;
}

struct known *known_put(struct knowns *knowns, const char *path)
{
    knowns->at = memory_resize(knowns->at, (knowns->count + 1) * sizeof *knowns->at);
    struct known *known = &knowns->at[knowns->count++];
    *known = (struct known){.path = memory_text(path)};
    return known;
}

void known_set_component(struct known *known, const char *component)
{
    free(known->component);
    known->component = component == NULL ? NULL : memory_text(component);
}

void known_clear(struct known *known)
{
    free(known->path);
    free(known->component);
    plugin_section_free(known->section);
}

void knowns_free(struct knowns *knowns)
{
    for (size_t i = 0; i < knowns->count; i++)
        known_clear(&knowns->at[i]);
    free(knowns->at);
}

static bool is_text(const char *name, size_t len, const char *text, size_t text_len)
{
    return len == text_len && memcmp(name, text, len) == 0;
}

bool known_has_name(const char *name, size_t len, const char *path, const char *component)
{
    const char *slash = strrchr(path, '/'), *file = slash == NULL ? path : slash + 1;
    size_t file_len = strlen(file);
    bool suffixed = file_len > 3 && strcmp(file + file_len - 3, ".so") == 0;
    return is_text(name, len, path, strlen(path)) || is_text(name, len, file, file_len) ||
           (suffixed && is_text(name, len, file, file_len - 3)) ||
           (component != NULL && is_text(name, len, component, strlen(component)));
}

bool known_is_named(const struct text *names, const char *path, const char *component)
{
    for (const char *name = names->len == 0 ? "" : names->at, *end; *name != '\0'; name = end + 1) {
        end = strchr(name, '\n');
        if (known_has_name(name, (size_t)(end - name), path, component))
            return true;
    }
    return false;
}

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/library.h"

#include <dlfcn.h>

bool library_open(const struct library *library, void *table, struct fault *fault)
{
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle == NULL)
        return fault_set(fault, "%s; install %s", dlerror(), library->package);
    for (size_t i = 0; i < library->count; i++) {
        void **place = (void **)((char *)table + library->functions[i].at);
        *place = dlsym(handle, library->functions[i].name);
        if (*place == NULL)
            return fault_set(fault, "%s lacks %s", library->file, library->functions[i].name);
    }
    return true;
}

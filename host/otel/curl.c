/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "otel/curl.h"

#include <dlfcn.h>
#include <stddef.h>

#define LIBRARY "libcurl.so.4"

static const struct {
    const char *name;
    size_t at;
} functions[] = {
#define CURL_ROW(name) {"curl_" #name, offsetof(struct curl, name)},
    CURL_FUNCTIONS(CURL_ROW)
#undef CURL_ROW
};

bool curl_open(struct curl *curl, struct fault *fault)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library == NULL)
        return fault_set(fault, "%s; install libcurl4", dlerror());
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void **place = (void **)((char *)curl + functions[i].at);
        *place = dlsym(library, functions[i].name);
        if (*place == NULL)
            return fault_set(fault, "%s lacks %s", LIBRARY, functions[i].name);
    }
    return curl->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK || fault_set(fault, "%s cannot start", LIBRARY);
}

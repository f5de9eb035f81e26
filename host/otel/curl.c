/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "otel/curl.h"

#include "base/library.h"

static const struct library_function functions[] = {
#define CURL_ROW(name) {"curl_" #name, offsetof(struct curl, name)},
    CURL_FUNCTIONS(CURL_ROW)
#undef CURL_ROW
};

static const struct library library = {
    .file = "libcurl.so.4",
    .package = "libcurl4",
    .count = sizeof functions / sizeof *functions,
    .functions = functions,
};

bool curl_open(struct curl *curl, struct fault *fault)
{
    return library_open(&library, curl, fault) &&
           (curl->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK || fault_set(fault, "%s cannot start", library.file));
}

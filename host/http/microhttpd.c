/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "http/microhttpd.h"

#include "base/library.h"

static const struct library_function functions[] = {
#define MICROHTTPD_ROW(name) {"MHD_" #name, offsetof(struct microhttpd, name)},
    MICROHTTPD_FUNCTIONS(MICROHTTPD_ROW)
#undef MICROHTTPD_ROW
};

static const struct library library = {
    .file = MICROHTTPD_FILE, /* by CMake: the one that was there for the build */
    .package = MICROHTTPD_PACKAGE,
    .count = sizeof functions / sizeof *functions,
    .functions = functions,
};

bool microhttpd_open(struct microhttpd *mhd, struct fault *fault)
{
    return library_open(&library, mhd, fault);
}

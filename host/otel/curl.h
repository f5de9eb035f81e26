/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * curl: the functions of libcurl that the host uses. The library is opened when it is needed and not linked: with what
 * it needs itself it costs megabytes and milliseconds at each start, and few hosts export traces. */
#ifndef OTEL_CURL_H
#define OTEL_CURL_H

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <stdbool.h>

#include "base/fault.h"

#define CURL_FUNCTIONS(each)                                                                                           \
    each(global_init) each(easy_init) each(easy_setopt) each(easy_getinfo) each(easy_strerror) each(easy_cleanup)      \
        each(slist_append) each(slist_free_all) each(multi_init) each(multi_add_handle) each(multi_perform)            \
            each(multi_poll) each(multi_wakeup) each(multi_info_read) each(multi_remove_handle) each(multi_cleanup)

#define CURL_MEMBER(name) __typeof__ (&curl_##name)(name);
struct curl {
    CURL_FUNCTIONS(CURL_MEMBER)
};
#undef CURL_MEMBER

/* False: the library is not there. It is never closed. */
bool curl_open(struct curl *curl, struct fault *fault) __attribute__((warn_unused_result));

#endif

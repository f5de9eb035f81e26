/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * microhttpd: the functions of libmicrohttpd that the host uses. The library is opened when the first client connects:
 * with GnuTLS and all that GnuTLS needs it takes 2.4 MB. Private to this room. */
#ifndef HTTP_MICROHTTPD_H
#define HTTP_MICROHTTPD_H

#include <microhttpd.h>
#include <stdbool.h>

#include "base/fault.h"

#define MICROHTTPD_FUNCTIONS(each)                                                                                     \
    each(start_daemon) each(stop_daemon) each(run) each(get_timeout) each(get_daemon_info) each(get_connection_info)   \
        each(lookup_connection_value) each(create_response_from_buffer) each(add_response_header) each(queue_response) \
            each(destroy_response)

#define MICROHTTPD_MEMBER(name) __typeof__ (&MHD_##name)(name);
struct microhttpd {
    MICROHTTPD_FUNCTIONS(MICROHTTPD_MEMBER)
};
#undef MICROHTTPD_MEMBER

/* False: the library is not there, and the next call tries again. */
bool microhttpd_open(struct microhttpd *mhd, struct fault *fault) __attribute__((warn_unused_result));

#endif

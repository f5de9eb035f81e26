/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * ask: the client's side of the Unix socket, for the verbs. */
#ifndef HTTP_ASK_H
#define HTTP_ASK_H

#include "base/fault.h"
#include "base/text.h"

enum answer {
    ANSWER_GOT,
    ANSWER_NO_HOST, /* no host runs there */
    ANSWER_FAILED,  /* a host runs there, and its answer is not usable */
};

/* Appends the successful reply of the host of that log directory to body. Waits for a few seconds at most. */
enum answer http_ask(const char *directory, const char *method, const char *path, struct text *body,
                     struct fault *fault) __attribute__((warn_unused_result));

#endif

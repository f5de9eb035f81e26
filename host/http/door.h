/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * door: the sockets that the HTTP interface listens on, and the way to the one of a running host. */
#ifndef HTTP_DOOR_H
#define HTTP_DOOR_H

#include <sys/stat.h>

#include "base/fault.h"
#include "settings/settings.h"

#define CONTROL_SOCKET "control.sock" /* in the log directory */

/* A listening TCP socket, or -1. The host of the endpoint is an address in digits, or "" for every address. */
int door_listen(const struct endpoint *endpoint, struct fault *fault) __attribute__((warn_unused_result));

/* A listening Unix socket of that name in the directory, for this user alone from its first moment, or -1. Takes the
 * place of a socket whose host is dead, and of nothing else. `made` tells it from a later one of that name. */
int door_open(const char *directory, struct stat *made, struct fault *fault) __attribute__((warn_unused_result));

/* True if the name still means that socket. */
bool door_is_there(const char *directory, const struct stat *made);

/* Removes the name if it still means that socket. */
void door_remove(const char *directory, const struct stat *made);

/* A connection to the host of that log directory, or -1: see errno. */
int door_connect(const char *directory, struct fault *fault) __attribute__((warn_unused_result));

#endif

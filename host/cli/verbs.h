/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * verbs: what the command line offers. A verb is a function in a file of its own and a row of the table in main.c. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include <stdbool.h>

#include "base/fault.h"

struct option;

enum status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2, STATUS_NO_HOST = 3 };

/* argv[0] is the verb. */
int verb_run(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_validate(int argc, char **argv);
int verb_try(int argc, char **argv);
int verb_send(int argc, char **argv);
int verb_listen(int argc, char **argv);
int verb_dead(int argc, char **argv);
int verb_doctor(int argc, char **argv);
int verb_status(int argc, char **argv);
int verb_new(int argc, char **argv);

/* ---- the command line ---- */

/* The val of an option without a short form is LONG_ONLY, so that no letter is taken for it. */
enum { LONG_ONLY = 256 };

/* Reports what is wrong with the command line; which may be NULL. Returns STATUS_USAGE. */
int usage(const char *what, const char *which);

/* The same for an option that getopt_long() refused; returned: ':' or '?'. */
int usage_option(const char *verb, int returned, const struct option *options, char **argv);

/* ---- standard input and output ---- */

/* Opens each standard descriptor that is closed, so that no file and no socket of the host takes its number; in the
 * wrong direction, so that using it is an error. Call it before anything else is opened. */
void hold_descriptors(void);

/* False: the process may not open as many descriptors as a host needs. Asked before it registers anything: later it
 * could neither connect again nor write its health file. */
bool descriptors_suffice(struct fault *fault) __attribute__((warn_unused_result));

/* False: something that was printed is lost. Call it right after printing, while errno says why. A reader that has seen
 * enough (EPIPE) has lost nothing. */
bool stdout_works(void);
bool stdout_flush(struct fault *fault) __attribute__((warn_unused_result));

/* The end of a verb that prints: its status, and why not all of it was printed. */
int finish(bool good);

#endif

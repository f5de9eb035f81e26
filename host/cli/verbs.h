/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * verbs: the commands of the command line. Each verb is a function in its own file and a row of the table in main.c. */
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
int verb_reload(int argc, char **argv);
int verb_new(int argc, char **argv);

/* ---- the command line ---- */

/* The val of an option without a short form is LONG_ONLY, so it matches no letter. */
enum { LONG_ONLY = 256 };

/* Reports a fault of the command line; which may be NULL. Returns STATUS_USAGE. */
int usage(const char *what, const char *which);

/* The same for an option that getopt_long() refused; returned: ':' or '?'. */
int usage_option(const char *verb, int returned, const struct option *options, char **argv);

/* The argument of --isolation. False: it is neither thread nor process. */
bool isolation_read(const char *word, bool *in_workers) __attribute__((warn_unused_result));

/* ---- standard input and output ---- */

/* Opens each closed standard descriptor, so that no file or socket of the host gets its number; in the wrong direction,
 * so that its use is an error. Call it before opening anything else. */
void hold_descriptors(void);

/* False: the process may not open enough descriptors for a host. Call it before a registration, because without
 * descriptors the host can neither reconnect nor write its health file. */
bool descriptors_suffice(struct fault *fault) __attribute__((warn_unused_result));

/* False: some output is lost. Call it right after printing, while errno has the reason. A closed pipe (EPIPE) is no
 * loss. */
bool stdout_works(void);
bool stdout_flush(struct fault *fault) __attribute__((warn_unused_result));

/* The end of a verb that prints: returns its status, and reports lost output. */
int finish(bool good);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * verbs: what the command line can ask for. Each is a function in a file of its own and a row of the table in main.c.
 */
#ifndef HOST_VERBS_H
#define HOST_VERBS_H

enum status { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

/* argv[0] is the verb. */
int verb_run(int argc, char **argv);
int verb_check(int argc, char **argv);
int verb_validate(int argc, char **argv);
int verb_try(int argc, char **argv);
int verb_send(int argc, char **argv);
int verb_listen(int argc, char **argv);
int verb_new(int argc, char **argv);

/* Says what is wrong with the command line; which may be NULL. Returns STATUS_USAGE. */
int usage(const char *what, const char *which);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * reload: which plugins there should be now, and what has become of the last change. A thread of its own reads
 * plugins.conf and the plugin directory, and opens the files that are new or have changed; the control thread applies
 * the result (run/changes.c). Reloads are asked for by `valawai-host reload`, by SIGHUP, and by changes of the plugin
 * directory. */
#ifndef RUN_RELOAD_H
#define RUN_RELOAD_H

#include "base/log.h"
#include "base/queue.h"
#include "base/text.h"
#include "plugin/plugin.h"
#include "settings/settings.h"

struct reload;

struct reload_options {
    const struct settings *settings; /* in force */
    const char *config;              /* the file that the command line names; NULL: none */
    char *const *paths;              /* of plugins that the command line names */
    size_t path_count;
    const struct plugins *plugins; /* those of the start */
    struct log *log;
    struct queue *waking; /* of the control thread */
};

struct reload *reload_new(const struct reload_options *options);
/* False: its thread still reads from a disk, and its memory stays in use. */
bool reload_stop(struct reload *reload, int64_t until_ms) __attribute__((warn_unused_result));
void reload_free(struct reload *reload); /* after reload_stop() returned true */

/* --- the plan --- */

enum change {
    CHANGE_ADD,    /* a new file */
    CHANGE_RENEW,  /* another file, or other settings, of a plugin */
    CHANGE_REMOVE, /* the file, or its place in plugins.conf, is gone */
    CHANGE_NONE,   /* a file that cannot be used, or did not have to be looked at */
};

/* One plugin of a plan. */
struct step {
    char *path;
    char *component; /* NULL: a file that was never opened */
    enum change change;
    struct plugin *plugin; /* ADD, RENEW: opened; the code that applies the step takes ownership */
    enum { STEP_UNDER_WAY, STEP_DONE, STEP_FAILED } state;
    struct text text;      /* the outcome */
    unsigned long request; /* the last one that it answers */
};

struct plan {
    struct step *steps;
    size_t count;
};

/* --- the control thread --- */

/* Polled for changes of the plugin directory; -1: there is none. */
int reload_fd(const struct reload *reload);

/* All plugins; NULL names none. */
void reload_hangup(struct reload *reload);

/* Begins a reload that is due. Returns when to call again. */
int64_t reload_tend(struct reload *reload, int64_t now);

/* The finished plan of a reload; NULL: there is none. It belongs to the reload, which reports its steps until others of
 * the same files follow. */
struct plan *reload_take(struct reload *reload);

/* The outcome of the step of this component, if one is under way. */
void reload_done(struct reload *reload, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void reload_failed(struct reload *reload, const char *component, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A plugin that was opened cannot run. path: of its step. It is tried again when its file or its settings change. */
void reload_refuse(struct reload *reload, const char *path, const char *why);

/* Calls back for each plugin that cannot run. False: not known, because a reload is running. */
bool reload_refused(struct reload *reload, void (*each)(void *context, const char *path, const char *why),
                    void *context);

/* --- [any thread] --- */

/* Asks for a reload of the plugin of this component or file name, or of all ("") that have changed or cannot run.
 * Returns the number of the request. */
unsigned long reload_ask(struct reload *reload, const char *name);

/* Appends the outcome of this request and of later ones, as JSON. */
void reload_put_json(struct reload *reload, unsigned long request, struct text *out);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "run/reload.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/thread.h"
#include "run/directory.h"
#include "run/known.h"

#define NAMES_MAX 4096 /* bytes of names that wait */
#define PAST_MAX 256   /* steps of earlier plans that are remembered */

struct reload {
    struct reload_options options;
    char **paths; /* those of the options, absolute */
    char *config; /* the same; NULL: none */

    struct directory directory;

    struct knowns known; /* the job's while one runs, otherwise the control thread's */

    pthread_mutex_t lock; /* of what follows */
    unsigned long asked;
    bool is_asked;
    bool all;          /* plugins are requested, besides the names */
    struct text names; /* of plugins, each with \n */
    bool running, finished;
    struct plan plan;         /* the last one */
    struct plan past;         /* steps of earlier plans, which answer earlier requests */
    unsigned long answers;    /* the requests up to this one */
    struct text restart;      /* names of settings that need a restart, as JSON strings with commas */
    struct refused *refusals; /* for `known`, when no job runs */
    size_t refusal_count;

    struct plan next; /* the job's */
    unsigned long next_number;
    struct text next_restart;
    struct settings *settings; /* the job's: as plugins.conf is now */
    bool forced, everything;   /* as asked; forced: not because the directory has changed */
    struct text only;          /* the names; "": none */
    bool removes;              /* so a plugin that clashed with another may run now */
    pthread_t thread;
};

/* ---- plans ---- */

static struct step *plan_put(struct plan *plan, const char *path, const char *component, enum change change)
{
    plan->steps = memory_resize(plan->steps, (plan->count + 1) * sizeof *plan->steps);
    struct step *step = &plan->steps[plan->count++];
    *step = (struct step){
        .path = memory_text(path), .component = component == NULL ? NULL : memory_text(component), .change = change};
    return step;
}

static void step_clear(struct step *step)
{
    free(step->path);
    free(step->component);
    plugin_free(step->plugin);
    text_free(&step->text);
}

static void plan_clear(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++)
        step_clear(&plan->steps[i]);
    free(plan->steps);
    *plan = (struct plan){0};
}

static struct step *plan_find(const struct plan *plan, const char *path)
{
    for (size_t i = 0; i < plan->count; i++)
        if (strcmp(plan->steps[i].path, path) == 0)
            return &plan->steps[i];
    return NULL;
}

/* Drops the steps that the newer plan repeats, and the oldest above the limit. */
static void plan_forget(struct plan *plan, const struct plan *newer)
{
    size_t kept = 0;
    for (size_t i = 0; i < plan->count; i++) {
        struct step *step = &plan->steps[i];
        if (plan_find(newer, step->path) != NULL || plan->count - i > PAST_MAX)
            step_clear(step);
        else
            plan->steps[kept++] = *step;
    }
    plan->count = kept;
}

/* Moves the steps of one plan to the end of another. */
static void plan_append(struct plan *plan, struct plan *from)
{
    if (from->count > 0) {
        plan->steps = memory_resize(plan->steps, (plan->count + from->count) * sizeof *plan->steps);
        memcpy(plan->steps + plan->count, from->steps, from->count * sizeof *plan->steps);
        plan->count += from->count;
    }
    free(from->steps);
    *from = (struct plan){0};
}

static void fail(struct step *step, const char *text)
{
    step->state = STEP_FAILED;
    text_clear(&step->text);
    text_puts(&step->text, text);
}

/* A fault often begins with the path, which the reader of the step knows. */
static const char *without_path(const char *path, const char *text)
{
    size_t len = strlen(path);
    return strncmp(text, path, len) == 0 && strncmp(text + len, ": ", 2) == 0 ? text + len + 2 : text;
}

/* Adds a failed step for each requested name that no plugin has. */
static void miss_names(struct reload *reload)
{
    for (char *name = reload->only.len == 0 ? "" : reload->only.at, *end; *name != '\0'; name = end + 1) {
        bool meant = false;
        end = strchr(name, '\n');
        for (size_t i = 0; i < reload->next.count && !meant; i++)
            meant =
                known_has_name(name, (size_t)(end - name), reload->next.steps[i].path, reload->next.steps[i].component);
        if (meant)
            continue;
        char *unknown = memory_format("%.*s", (int)(end - name), name);
        fail(plan_put(&reload->next, unknown, NULL, CHANGE_NONE), "no plugin has this name");
        free(unknown);
    }
}

/* ---- the job: it reads the disk, and knows no member of the host ---- */

static void open_one(struct reload *reload, struct known *known, struct step *step)
{
    const struct plugins *plugins = reload->options.plugins;
    struct fault fault;
    known->failed = step->change == CHANGE_RENEW;
    if (step->change == CHANGE_RENEW && !known->isolated) {
        fail(step, "it runs in a thread of the host, so another file needs a restart; with isolation = process it "
                   "does not");
        return;
    }
    if (!plugins_open_one(reload->settings, plugins, step->path, &step->plugin, &fault)) {
        fail(step, without_path(step->path, fault.text));
        if (step->change == CHANGE_ADD)
            known->why = fault;
        step->change = CHANGE_NONE;
        return;
    }
    known->why.text[0] = '\0';
    known->failed = false;
    known->isolated = step->plugin->worker != NULL;
    if (step->component == NULL)
        step->component = memory_text(step->plugin->name);
    known_set_component(known, step->plugin->name);
}

static void look_at(struct reload *reload, const char *path)
{
    struct identity identity = {0};
    struct known *known = known_find(&reload->known, path);
    const struct plugin_section *section = settings_section(reload->settings, path);
    bool runs = known != NULL && known->component != NULL && known->why.text[0] == '\0';
    int missing = identity_read(path, &identity) ? 0 : errno;
    bool isolated = plugins_isolate(reload->settings, reload->options.plugins, path);
    bool changed = known == NULL || !identity_is(&known->identity, &identity) ||
                   (runs && known->isolated != isolated) || !plugin_sections_are_equal(known->section, section);
    bool named = known_is_named(&reload->only, path, known == NULL ? NULL : known->component);
    bool again = !runs ? reload->forced || reload->removes : reload->forced && known->failed;
    if (!named && !(reload->everything && (changed || again)))
        return;
    if (known == NULL)
        known = known_put(&reload->known, path);
    known->identity = identity;
    plugin_section_free(known->section);
    known->section = plugin_section_copy(section);
    struct step *step = plan_put(&reload->next, path, known->component, runs ? CHANGE_RENEW : CHANGE_ADD);
    if (missing == 0) {
        open_one(reload, known, step);
        return;
    }
    fail(step, strerror(missing));
    step->change = CHANGE_NONE;
    known->failed = runs;
}

static void find_removed(struct reload *reload, const struct found *found)
{
    for (size_t i = 0; i < reload->known.count; i++)
        reload->known.at[i].found = false;
    for (size_t i = 0; i < found->count; i++) {
        char *path = path_absolute(found->paths[i]);
        struct known *known = known_find(&reload->known, path);
        if (known != NULL)
            known->found = true;
        free(path);
    }
    size_t kept = 0;
    for (size_t i = 0; i < reload->known.count; i++) {
        struct known *known = &reload->known.at[i];
        if (known->found) {
            reload->known.at[kept++] = *known;
            continue;
        }
        if (known->component != NULL && known->why.text[0] == '\0')
            plan_put(&reload->next, known->path, known->component, CHANGE_REMOVE);
        known_clear(known);
    }
    reload->known.count = kept;
}

static void put_restart(void *context, const char *name)
{
    struct text *out = context;
    text_printf(out, "%s\"%s\"", out->len > 0 ? "," : "", name);
}

static void make_plan(struct reload *reload)
{
    struct fault fault;
    struct found found = {0};
    const char *config = reload->config;
    if (!settings_read(config, &reload->settings, &fault)) {
        fail(plan_put(&reload->next, config == NULL ? "settings" : config, NULL, CHANGE_NONE), fault.text);
        return;
    }
    settings_anchor(reload->settings);
    settings_compare(reload->options.settings, reload->settings, put_restart, &reload->next_restart);
    reload->settings->host.isolation = reload->options.settings->host.isolation;
    if (!plugins_find(reload->settings, reload->paths, reload->options.path_count, &found, &fault)) {
        fail(plan_put(&reload->next, reload->settings->plugin_directory, NULL, CHANGE_NONE), fault.text);
    } else {
        if (reload->everything)
            find_removed(reload, &found);
        reload->removes = reload->next.count > 0;
        for (size_t i = 0; i < found.count; i++) {
            char *path = path_absolute(found.paths[i]);
            look_at(reload, path);
            free(path);
        }
    }
    miss_names(reload);
    found_free(&found);
    settings_free(reload->settings);
    reload->settings = NULL;
}

static void *job_run(void *argument)
{
    struct reload *reload = argument;
    thread_name("vh-reload");
    make_plan(reload);
    pthread_mutex_lock(&reload->lock);
    reload->finished = true;
    pthread_mutex_unlock(&reload->lock);
    queue_wake(reload->options.waking);
    return NULL;
}

/* ---- the control thread ---- */

int reload_fd(const struct reload *reload)
{
    return reload->directory.fd;
}

void reload_hangup(struct reload *reload)
{
    (void)reload_ask(reload, "");
}

/* Plugins that were opened, and could not run. */
static void take_refusals(struct reload *reload)
{
    for (size_t i = 0; i < reload->refusal_count; i++) {
        struct known *known = known_find(&reload->known, reload->refusals[i].path);
        if (known != NULL)
            known->why = reload->refusals[i].why;
        free(reload->refusals[i].path);
    }
    reload->refusal_count = 0;
}

int64_t reload_tend(struct reload *reload, int64_t now)
{
    int64_t due = directory_tend(&reload->directory, now);
    pthread_mutex_lock(&reload->lock);
    bool starts = !reload->running && (reload->is_asked || now >= due);
    if (starts) {
        take_refusals(reload);
        text_free(&reload->only);
        reload->only = reload->names;
        reload->forced = reload->all;
        reload->everything = reload->all || now >= due; /* a change of the directory concerns all plugins */
        if (now >= due)
            directory_taken(&reload->directory);
        reload->names = (struct text){0};
        reload->is_asked = reload->all = false;
        reload->running = true;
    }
    unsigned long number = reload->asked;
    bool runs = reload->running; /* its end wakes the control thread */
    pthread_mutex_unlock(&reload->lock);
    if (starts) {
        reload->next_number = number;
        reload->thread = thread_start(job_run, reload);
    }
    due = runs ? INT64_MAX : due;
    return reload->directory.watch_at < due ? reload->directory.watch_at : due;
}

struct plan *reload_take(struct reload *reload)
{
    pthread_mutex_lock(&reload->lock);
    bool finished = reload->finished;
    pthread_mutex_unlock(&reload->lock);
    if (!finished)
        return NULL;
    pthread_join(reload->thread, NULL);
    pthread_mutex_lock(&reload->lock);
    reload->running = reload->finished = false;
    plan_append(&reload->past, &reload->plan);
    plan_forget(&reload->past, &reload->next);
    text_free(&reload->restart);
    reload->plan = reload->next;
    reload->restart = reload->next_restart;
    reload->answers = reload->next_number;
    for (size_t i = 0; i < reload->plan.count; i++)
        reload->plan.steps[i].request = reload->answers;
    reload->next = (struct plan){0};
    reload->next_restart = (struct text){0};
    pthread_mutex_unlock(&reload->lock);
    return &reload->plan;
}

static struct step *under_way(const struct plan *plan, const char *component)
{
    for (size_t i = 0; i < plan->count; i++) {
        struct step *step = &plan->steps[i];
        if (step->state == STEP_UNDER_WAY && step->component != NULL && strcmp(step->component, component) == 0)
            return step;
    }
    return NULL;
}

static void conclude(struct reload *reload, const char *component, int state, const char *format, va_list arguments)
{
    pthread_mutex_lock(&reload->lock);
    struct step *step = under_way(&reload->plan, component);
    if (step == NULL)
        step = under_way(&reload->past, component);
    if (step != NULL) {
        step->state = state;
        text_clear(&step->text);
        text_vprintf(&step->text, format, arguments);
    }
    pthread_mutex_unlock(&reload->lock);
}

void reload_done(struct reload *reload, const char *component, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    conclude(reload, component, STEP_DONE, format, arguments);
    va_end(arguments);
}

void reload_failed(struct reload *reload, const char *component, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    conclude(reload, component, STEP_FAILED, format, arguments);
    va_end(arguments);
}

void reload_refuse(struct reload *reload, const char *path, const char *why)
{
    struct refused refusal = {.path = memory_text(path)};
    fault_set(&refusal.why, "%s", without_path(path, why));
    pthread_mutex_lock(&reload->lock);
    struct step *step = plan_find(&reload->plan, path);
    if (step == NULL)
        step = plan_find(&reload->past, path);
    if (step != NULL)
        fail(step, refusal.why.text);
    reload->refusals = memory_resize(reload->refusals, (reload->refusal_count + 1) * sizeof *reload->refusals);
    reload->refusals[reload->refusal_count++] = refusal;
    pthread_mutex_unlock(&reload->lock);
}

bool reload_refused(struct reload *reload, void (*each)(void *context, const char *path, const char *why),
                    void *context)
{
    pthread_mutex_lock(&reload->lock);
    bool known = !reload->running;
    if (known)
        take_refusals(reload);
    pthread_mutex_unlock(&reload->lock);
    for (size_t i = 0; known && i < reload->known.count; i++)
        if (reload->known.at[i].why.text[0] != '\0')
            each(context, reload->known.at[i].path, reload->known.at[i].why.text);
    return known;
}

/* ---- any thread ---- */

unsigned long reload_ask(struct reload *reload, const char *name)
{
    pthread_mutex_lock(&reload->lock);
    if (name[0] == '\0')
        reload->all = true;
    else if (reload->names.len < NAMES_MAX)
        text_printf(&reload->names, "%s\n", name);
    else /* too many names: look at every plugin */
        reload->all = true;
    reload->is_asked = true;
    unsigned long number = ++reload->asked;
    pthread_mutex_unlock(&reload->lock);
    queue_wake(reload->options.waking);
    return number;
}

static void put_step(const struct step *step, struct text *out)
{
    static const char *const changes[] = {"add", "renew", "remove", "none"};
    static const char *const states[] = {"under way", "done", "failed"};
    text_puts(out, "{\"path\":");
    text_put_json(out, step->path, strlen(step->path));
    text_printf(out, ",\"component\":%s%s%s,\"change\":\"%s\",\"state\":\"%s\",\"text\":",
                step->component == NULL ? "" : "\"", step->component == NULL ? "null" : step->component,
                step->component == NULL ? "" : "\"", changes[step->change], states[step->state]);
    text_put_json(out, step->text.len > 0 ? step->text.at : "", step->text.len);
    text_puts(out, "}");
}

void reload_put_json(struct reload *reload, unsigned long request, struct text *out)
{
    bool done = true;
    const char *comma = "";
    pthread_mutex_lock(&reload->lock);
    const struct plan *plans[] = {&reload->past, &reload->plan};
    text_printf(out, "{\"request\":%lu,\"steps\":[", reload->answers);
    for (size_t p = 0; p < 2; p++) {
        for (size_t i = 0; i < plans[p]->count; i++) {
            const struct step *step = &plans[p]->steps[i];
            if (step->request < request)
                continue;
            done = done && step->state != STEP_UNDER_WAY;
            text_puts(out, comma);
            put_step(step, out);
            comma = ",";
        }
    }
    text_printf(out, "],\"done\":%s,\"needs_restart\":[%s]}\n", done ? "true" : "false",
                reload->restart.len > 0 ? reload->restart.at : "");
    pthread_mutex_unlock(&reload->lock);
}

/* ---- start and end ---- */

static const struct plugin *loaded(const struct plugins *plugins, const char *path)
{
    char *real = realpath(path, NULL);
    const struct plugin *plugin = NULL;
    for (size_t i = 0; real != NULL && i < plugins->count; i++)
        if (strcmp(plugins->at[i]->path, real) == 0)
            plugin = plugins->at[i];
    free(real);
    return plugin;
}

static void know_those_of_the_start(struct reload *reload)
{
    const struct plugins *plugins = reload->options.plugins;
    struct found found = {0};
    struct fault fault;
    bool good = plugins_find(reload->options.settings, reload->paths, reload->options.path_count, &found, &fault);
    for (size_t i = 0; good && i < found.count; i++) {
        char *path = path_absolute(found.paths[i]);
        const struct plugin *plugin = loaded(plugins, path);
        struct known *known = known_put(&reload->known, path);
        known->section = plugin_section_copy(settings_section(reload->options.settings, path));
        (void)identity_read(path, &known->identity);
        if (plugin != NULL) {
            known_set_component(known, plugin->name);
            known->isolated = plugin->worker != NULL;
        }
        for (size_t r = 0; r < plugins->refused_count; r++)
            if (strcmp(plugins->refused[r].path, path) == 0)
                known->why = plugins->refused[r].why;
        free(path);
    }
    found_free(&found);
}

struct reload *reload_new(const struct reload_options *options)
{
    struct reload *reload = memory_new(sizeof *reload);
    reload->options = *options;
    reload->config = options->config == NULL ? NULL : path_absolute(options->config);
    reload->paths = memory_new((options->path_count + 1) * sizeof *reload->paths);
    for (size_t i = 0; i < options->path_count; i++)
        reload->paths[i] = path_absolute(options->paths[i]);
    pthread_mutex_init(&reload->lock, NULL);
    know_those_of_the_start(reload);
    directory_watch(&reload->directory, options->settings->plugin_directory, options->log);
    return reload;
}

bool reload_stop(struct reload *reload, int64_t until_ms)
{
    if (reload == NULL || !reload->running)
        return true;
    reload->running = !thread_join(reload->thread, until_ms);
    return !reload->running;
}

void reload_free(struct reload *reload)
{
    if (reload == NULL)
        return;
    plan_clear(&reload->plan);
    plan_clear(&reload->next);
    plan_clear(&reload->past);
    text_free(&reload->restart);
    text_free(&reload->next_restart);
    text_free(&reload->names);
    text_free(&reload->only);
    knowns_free(&reload->known);
    for (size_t i = 0; i < reload->refusal_count; i++)
        free(reload->refusals[i].path);
    for (size_t i = 0; i < reload->options.path_count; i++)
        free(reload->paths[i]);
    directory_close(&reload->directory);
    free(reload->paths);
    free(reload->config);
    free(reload->refusals);
    pthread_mutex_destroy(&reload->lock);
    free(reload);
}

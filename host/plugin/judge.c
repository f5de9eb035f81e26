/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * judge: checks one message against the document, and calls its handler. */
#include "base/backoff.h"
#include "plugin/blame.h"
#include "plugin/executor_parts.h"

static int call(struct caller *caller, struct handling *handling)
{
    struct delivery *delivery = handling->delivery;
    const struct valawai_topic *topic = handling->lane->topic;
    const struct executor_options *options = &caller->executor->options;
    struct valawai_message message = {
        .size = sizeof message,
        .flags = delivery->redelivered ? VALAWAI_REDELIVERED : 0,
        .topic = topic->name,
        .body = delivery->body,
        .len = delivery->len,
        .attempt = ++delivery->attempt,
    };
    atomic_store_explicit(&caller->busy_with, topic->name, memory_order_relaxed);
    if (options->events->calling != NULL)
        options->events->calling(options->context, delivery, true);
    int64_t began = clock_us();
    handling->called = true;
    atomic_store_explicit(&caller->busy_since, began / 1000, memory_order_relaxed);
    blame_enter(plugin_of(caller->executor)->file, "the handler of", topic->name);
    services_begin(handling);
    int verdict = topic->handle(caller->executor->self, &message);
    handling->took_us = clock_us() - began;
    services_end();
    blame_leave();
    if (options->events->calling != NULL)
        options->events->calling(options->context, delivery, false);
    atomic_store_explicit(&caller->busy_since, 0, memory_order_relaxed);
    return verdict;
}

/* False: the message does not match the AsyncAPI document, and the handler must not see it. */
static bool as_declared(struct executor *executor, struct handling *handling)
{
    const struct lane *lane = handling->lane;
    enum validate validate = services_validate(executor->options.services);
    char reason[384];
    if (validate == VALIDATE_OFF)
        return true;
    if (topic_check(lane->declared, CONTRACT_SUBSCRIBE, services_json(handling), reason, sizeof reason)) {
        handling->fits = lane->declared;
        return true;
    }
    if (validate == VALIDATE_WARN) {
        log_warning(executor->options.log, plugin_of(executor)->name,
                    "%s: a message does not match the AsyncAPI document: %s", lane->topic->name, reason);
        return true;
    }
    handling_explain(handling, "does not match the AsyncAPI document: %s", reason);
    return false;
}

/* False: no handler is to see it; the reason says why. */
static bool is_handleable(struct caller *caller, struct handling *handling)
{
    struct fault fault;
    struct delivery *delivery = handling->delivery;
    if (delivery->at_limit) {
        delivery->reason = REASON_DELIVERY_LIMIT;
        handling_explain(handling,
                         "it was returned to its queue %u times, and the broker may drop it at the next "
                         "return (broker.delivery_limit)",
                         delivery->returns);
        return false;
    }
    delivery->reason = REASON_INVALID; /* changed when a handler sees it */
    if (delivery->refused > 0) {
        handling_explain(handling, "%llu bytes are more than message_max_bytes allows",
                         (unsigned long long)delivery->refused);
        return false;
    }
    if (!services_read(handling, &fault)) {
        handling_explain(handling, "%s", fault.text);
        return false;
    }
    if (!as_declared(caller->executor, handling))
        return false;
    delivery->reason = REASON_NONE;
    return true;
}

/* Another executor has found it to be as declared, unless the document does not count. */
static void trust(const struct executor *executor, struct handling *handling)
{
    if (services_validate(executor->options.services) == VALIDATE_STRICT)
        handling->fits = handling->lane->declared;
}

bool judge(struct caller *caller, struct handling *handling)
{
    struct verdict_name name;
    handling->verdict = VALAWAI_WRONG;
    if (caller->executor->options.notes_times && handling->delivery->began_ns == 0)
        handling->delivery->began_ns = clock_date_ns();
    if (caller->executor->options.trusts_messages)
        trust(caller->executor, handling);
    else if (!is_handleable(caller, handling))
        return true;
    int verdict = call(caller, handling);
    if (verdict == VALAWAI_LATER)
        return !services_leave(handling);
    if (handling->shared)
        services_revoke(handling);
    if (handling->answered)
        return true;
    handling->verdict = is_verdict(verdict) ? verdict : VALAWAI_FAILED;
    if (!is_verdict(verdict))
        handling_explain(handling, "the handler returned %s", verdict_name(verdict, &name));
    return true;
}

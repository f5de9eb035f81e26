/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plugin/worker_parts.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

#define TOPICS_MAX 10000

void about_clear(struct about *about)
{
    for (size_t i = 0; i < about->topic_count; i++)
        free((void *)(uintptr_t)about->topics[i].name);
    free(about->topics);
    free(about->version);
    free(about->document);
    *about = (struct about){0};
}

/* The version may differ: it does not change what the host has made of the plugin. */
bool about_is_same(const struct about *one, const struct about *other)
{
    bool same = strcmp(one->document, other->document) == 0 && one->topic_count == other->topic_count &&
                one->thread_safe == other->thread_safe;
    for (size_t i = 0; same && i < one->topic_count; i++)
        same = strcmp(one->topics[i].name, other->topics[i].name) == 0;
    return same;
}

static bool on_plugin(struct process *process, const struct frame *frame, struct fault *fault)
{
    struct about *now = &process->about;
    if (!now->greeted || now->document != NULL)
        return fault_set(fault, now->greeted ? "a second PLUGIN" : "PLUGIN before HELLO");
    if (strlen(frame->parts[0].at) != frame->parts[0].len)
        return fault_set(fault, "a document with a zero byte");
    now->version = memory_text(frame->words[0]);
    now->window = frame->numbers[0] == 0 ? 1 : frame->numbers[0];
    now->thread_safe = strcmp(frame->words[1], "thread-safe") == 0;
    now->document = memory_text(frame->parts[0].at);
    now->topics = memory_new(sizeof *now->topics);
    return true;
}

static bool on_topic(struct process *process, const struct frame *frame, struct fault *fault)
{
    struct about *now = &process->about;
    if (now->document == NULL || now->topic_count == TOPICS_MAX)
        return fault_set(fault, now->document == NULL ? "TOPIC before PLUGIN" : "too many topics");
    now->topics = memory_resize(now->topics, (now->topic_count + 2) * sizeof *now->topics);
    now->topics[now->topic_count++] =
        (struct valawai_topic){.name = memory_text(frame->words[0]), .handle = worker_handle};
    now->topics[now->topic_count] = (struct valawai_topic){0};
    return true;
}

static bool on_ready(struct process *process, struct fault *fault)
{
    struct about *now = &process->about;
    if (now->document == NULL)
        return fault_set(fault, "READY before PLUGIN");
    const struct about *first = &process->worker->about;
    if (first->document != NULL && !about_is_same(first, now))
        process_condemn(process, SIGKILL,
                        "the file has another AsyncAPI document or other topics than the plugin that runs; "
                        "apply it with valawai-host reload");
    else
        process->state = READY;
    return true;
}

static bool on_hello(struct process *process, const struct frame *frame, struct fault *fault)
{
    if (process->about.greeted)
        return fault_set(fault, "a second HELLO");
    if (frame->numbers[0] != WORKER_PROTOCOL)
        process_condemn(process, SIGKILL, "it speaks the worker protocol %llu, this host %d",
                        (unsigned long long)frame->numbers[0], WORKER_PROTOCOL);
    process->about.greeted = true;
    process->about.wants_json = strcmp(frame->words[0], "amqp") != 0;
    return true;
}

bool process_take_greeting(struct process *process, const struct frame *frame, struct fault *fault)
{
    switch (frame->kind) {
    case FRAME_HELLO:
        return on_hello(process, frame, fault);
    case FRAME_PLUGIN:
        return on_plugin(process, frame, fault);
    case FRAME_TOPIC:
        return on_topic(process, frame, fault);
    case FRAME_READY:
        return on_ready(process, fault);
    case FRAME_CANNOT:
        process_condemn(process, SIGKILL, "%s",
                        frame->rest[0] != '\0' ? frame->rest : "it cannot run, and gives no reason");
        return true;
    default:
        return fault_set(fault, "a frame that has no place here");
    }
}

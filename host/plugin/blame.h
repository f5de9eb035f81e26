/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * blame: the last line of a process that a plugin ended. A plugin that crashes, throws through a callback, calls exit()
 * or ends a thread of the host ends the host, too. The last line names the plugin and the callback. */
#ifndef PLUGIN_BLAME_H
#define PLUGIN_BLAME_H

#include <stddef.h>

/* Call it once, before the first plugin's code runs. A signal with a handler (of a sanitizer) keeps that handler. From
 * here on, an exit() on any thread that blame_end() did not announce counts as a plugin's. */
void blame_install(void);
void blame_end(void);

/* Before blame_install(), in a worker: the last words go there, with the address and a backtrace, and to no log. The
 * room is `size` zero bytes. */
void blame_write_to(char *room, size_t size);

/* In a worker, called after the last words, in the signal handler or at exit(): it must not wait. */
void blame_at_end(void (*act)(void *context), void *context);

/* Call it on each thread that calls plugins: it makes a stack for the signal handler, which also runs after an overflow
 * of the thread's own stack. */
void blame_thread(void);

/* Between the two, the calling thread is inside a plugin. The texts belong to the caller and stay valid until
 * blame_leave(). doing: "the handler of", "start" …; of: a topic, or "". */
void blame_enter(const char *plugin, const char *doing, const char *of);
void blame_leave(void);

#endif

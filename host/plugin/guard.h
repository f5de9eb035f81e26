/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * guard: whose code ended the process. A plugin that crashes, throws through a callback, calls exit() or ends a thread
 * of ours takes the host with it; this room sees to it that the last line names the plugin and what it was called for.
 */
#ifndef PLUGIN_GUARD_H
#define PLUGIN_GUARD_H

/* Once, before the first plugin's code runs. Leaves alone what another tool (a sanitizer) handles already. From here on
 * an exit() that guard_end() did not announce is a plugin's, in whatever thread. */
void guard_install(void);
void guard_end(void);

/* For each thread that calls plugins: room for the handler when the thread's own stack is what overflowed. */
void guard_thread(void);

/* Between the two the calling thread is inside a plugin. The texts have to last as long; doing: "the handler of",
 * "start" …; of: a topic, or "". */
void guard_enter(const char *plugin, const char *doing, const char *of);
void guard_leave(void);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * blame: the last line of a process that a plugin ended. A plugin that crashes, throws through a callback, calls exit()
 * or ends a thread of the host ends the host, too. The last line names the plugin and the callback that it was in. */
#ifndef PLUGIN_BLAME_H
#define PLUGIN_BLAME_H

/* Once, before the first plugin's code runs. A signal that something else (a sanitizer) handles already stays with it.
 * From here on, an exit() that blame_end() did not announce is taken for a plugin's, on any thread. */
void blame_install(void);
void blame_end(void);

/* On each thread that calls plugins: a stack for the signal handler, which runs even if the thread's own overflowed. */
void blame_thread(void);

/* Between the two, the calling thread is inside a plugin. The texts stay the caller's and last until blame_leave().
 * doing: "the handler of", "start" …; of: a topic, or "". */
void blame_enter(const char *plugin, const char *doing, const char *of);
void blame_leave(void);

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * worker_child: what runs in a worker of the host's own: the executor and the services that a plugin has in the host's
 * process, with frames in the place of the ring. */
#ifndef PLUGIN_WORKER_CHILD_H
#define PLUGIN_WORKER_CHILD_H

/* In a process that was forked for it: speaks with the host over the socket, and loads and runs the plugin at path. The
 * page is what the two share (plugin/worker_page.h). */
_Noreturn void worker_child_run(int socket, int page, const char *path);

#endif

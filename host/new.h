/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * new: the files of host/new, which the build puts into the program: a component that builds, for `valawai-host new`.
 */
#ifndef HOST_NEW_H
#define HOST_NEW_H

struct new_file {
    const char *path;
    const char *text;
};

extern const struct new_file new_files[]; /* ends with a path that is NULL */

#endif

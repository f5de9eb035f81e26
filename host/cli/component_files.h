/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * new: the files of templates/component, which the build puts into the program: a component that builds, for
 * `valawai-host new`.
 */
#ifndef CLI_COMPONENT_FILES_H
#define CLI_COMPONENT_FILES_H

struct new_file {
    const char *path;
    const char *text;
};

extern const struct new_file new_files[]; /* ends with a path that is NULL */

#endif

/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A shared object, and no plugin. */
int somebody_elses_entry(void);

__attribute__((visibility("default"))) int somebody_elses_entry(void)
{
    return 0;
}

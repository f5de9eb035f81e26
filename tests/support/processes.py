# SPDX-License-Identifier: GPL-3.0-or-later
"""The processes of a host: its zygote, its workers, and what these have made."""

import os
import re


def processes():
    """The living processes, as a dictionary of (name, parent)."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/stat") as file:
                name, rest = re.match(r"\d+ \((.*)\) (.*)", file.read(), re.DOTALL).groups()
        except (OSError, AttributeError):
            continue
        if entry.isdigit() and rest[0] != "Z":
            found[int(entry)] = name, int(rest.split()[1])
    return found


def workers_of(pid):
    """The processes of the host's workers: the children of its zygote."""
    found = processes()
    zygotes = {one for one, (name, parent) in found.items() if parent == pid and name == "valawai-zygote"}
    return {name: one for one, (name, parent) in found.items() if parent in zygotes}


def children_of(pid):
    return [one for one, (_, parent) in processes().items() if parent == pid]


def zygote_of(pid):
    one, = (one for one, (name, parent) in processes().items() if parent == pid and name == "valawai-zygote")
    return one


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def group_of(pid):
    """The living processes of the group that this process made."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.getpgid(int(entry)) == pid and not gone(int(entry)):
                found.append(int(entry))
        except ProcessLookupError:
            continue
    return found

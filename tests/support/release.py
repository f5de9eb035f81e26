# SPDX-License-Identifier: GPL-3.0-or-later
"""The RabbitMQ of a Debian release, beside that of this machine: a directory with that Debian, made once and kept.

A node in it is a chroot in mount and process namespaces of its own. It uses the loopback interface of this machine.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess

NAMES = ("bookworm", "trixie", "forky")  # RabbitMQ 3.10, 4.0 and 4.3
ROOTS = os.environ.get("VALAWAI_ROOTS") or "/var/tmp/valawai-roots"
DATA = "/srv"  # where a node finds its own directory
ESSENTIAL = ("mmdebstrap", "unshare", "chroot", "mount")


class Unavailable(Exception):
    """This release or queue type cannot be had here; the text says why."""


def is_of_this_machine(name):
    with open("/etc/os-release") as file:
        return re.search(rf'^VERSION_CODENAME="?{name}"?$', file.read(), re.MULTILINE) is not None


def root_of(name):
    """The directory with that release, which is made if it is not there yet. A minute, 240 MB."""
    missing = [program for program in ESSENTIAL if not shutil.which(program)]
    if os.geteuid() != 0:
        raise Unavailable(f"Debian {name}: only root can make a Debian in a directory")
    if missing:
        raise Unavailable(f"Debian {name}: there is no {', '.join(missing)}")
    root = os.path.join(ROOTS, name)
    os.makedirs(ROOTS, exist_ok=True)
    with open(ROOTS + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(root):
            _make(name, root)
    return root


def _make(name, root):
    unfinished = root + ".new"
    mirror = _mirror()
    shutil.rmtree(unfinished, ignore_errors=True)
    # How to reach a mirror is this machine's own matter. The lists of testing may be older than their own limit.
    options = [f"--aptopt={line.rstrip(';')}" for line in _run("apt-config", "dump", "Acquire").stdout.splitlines()
               if re.match(r"Acquire::https?::", line)]
    done = subprocess.run(
        ["mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--components=main", "--include=rabbitmq-server",
         '--aptopt=Acquire::Check-Valid-Until "false"', *options,
         "--customize-hook=echo 127.0.0.1 localhost >$1/etc/hosts", name, unfinished, mirror],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")] or ["mmdebstrap failed"]
        raise Unavailable(f"Debian {name}: {said[0]}")
    os.rename(unfinished, root)


def _run(*command):
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _mirror():
    """Where apt has Debian's main archive from."""
    targets = _run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(SITE)", "Created-By: Packages")
    for line in targets.stdout.splitlines():
        if line.startswith("Debian|Debian|main|"):
            return line.rsplit("|", 1)[1]
    raise Unavailable("apt knows no mirror of Debian; apt-get update may help")


def inside(root, directory):
    """In front of a command: runs it in the root, with the directory at DATA, in namespaces of its own.

    The command is the first process of its namespace, so all that it starts ends with it.
    """
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec",
            'mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"; mount --bind "$2" "$1' + DATA + '";'
            ' root=$1; shift 2; cd /; exec chroot "$root" "$@"', "-", root, directory]


def first_process(unshare):
    """The first process of the namespace, as seen from here, or None. It may still be what becomes the command."""
    with contextlib.suppress(OSError):
        with open(f"/proc/{unshare}/task/{unshare}/children") as file:
            children = file.read().split()
        return int(children[0]) if children else None
    return None

# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about plugins whose file changes while messages pass through them."""

import os
import shutil
import subprocess
import tempfile
import time

from broker import scaled
from faults import a_while, fault, turns
from host import BINARY, ECHO
from processes import workers_of
from scene import GRACE, Scene, said

SAYS = b"Received a message to echo"  # by each variant of the plugin in other words
GAP = 0.2  # seconds; the longest between two echoes


class Directory:
    """A plugin directory with one plugin, whose file changes."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="valawai-plugins-")
        shutil.copy(ECHO, os.path.join(self.path, "echo.so"))
        with open(ECHO, "rb") as file:
            self._code = file.read()
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path)

    @property
    def conf(self):
        return f"plugin_directory = \"{self.path}\"\nhost {{ isolation = process }}\n"

    def change(self, number, broken):
        """Another file of the plugin, in place or in one step, as programs do it; or a broken one."""
        code = self._code.replace(SAYS, f"Message of variant {number:06d}"[:len(SAYS)].encode().ljust(len(SAYS)))
        target = os.path.join(self.path, "echo.so")
        new = target if number % 2 else os.path.join(self.path, ".new")
        with open(new, "wb") as file:
            file.write(code[:len(code) // 2] if broken else code)
        os.rename(new, target)


def resources(host):
    return len(workers_of(host.pid)), host.fds(), host.rss()


@fault("reload", "another file of the plugin under load, every third broken", 9, 500)
def reload(broker, times, long, result):
    with Directory() as directory, Scene(broker, rate=2000) as scene:
        host = scene.host(plugins=(), conf=directory.conf)
        scene.go()
        took, before = [], None
        for turn in turns(times):
            broken = turn % 3 == 2
            directory.change(turn, broken)
            began = time.monotonic()
            done = subprocess.run([BINARY, "reload", "--dir", host.path("logs"), "echo"], text=True, capture_output=True)
            took.append(time.monotonic() - began)
            result.faults += 1
            result.check(done.returncode == (1 if broken else 0), f"{done.returncode}: {done.stdout}{done.stderr}")
            result.check(("truncated" if broken else "has taken over") in done.stdout, done.stdout)
            a_while(0.0, 0.1)
            if turn == 2:  # everything was there once
                before = resources(host)
        scene.drain()
        time.sleep(0.5)
        after = resources(host)
        result.check(after[0] == before[0], f"{after[0]} workers, {before[0]} before")
        result.check(after[1] <= before[1], f"{after[1]} descriptors, {before[1]} before")
        result.limit("memory grew by", (after[2] - before[2]) / 2**20, 4, "MiB")
        result.measure(f"a reload took {max(took):.2g} s at most, {sorted(took)[len(took) // 2]:.2g} s in the middle")
        scene.finish(result, duplicates_per_fault=0)
        result.limit("longest gap", result.gap, GAP)


@fault("sigterm-reload", "SIGTERM during a reload", 5, 200)
def sigterm_reload(broker, times, long, result):
    with Directory() as directory, Scene(broker, rate=500) as scene:
        host = scene.host(plugins=(), conf=directory.conf)
        scene.go()
        took = []
        for turn in turns(times):
            directory.change(turn, False)
            asked = subprocess.Popen([BINARY, "reload", "--dir", host.path("logs"), "echo"], stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            a_while(0.0, 0.08)
            began = time.monotonic()
            status = host.stop(timeout=GRACE + 10)
            took.append(time.monotonic() - began)
            result.faults += 1
            result.check(status == 0, f"exit status {status}")
            asked.wait(20)
            fresh = scene.fresh()
            host.start()
            host.wait_healthy(20)
            fresh.wait(scaled(20))
        result.limit("ended after", took, GRACE)
        result.check(not said(host, "while the plugin was stopping"), "a worker did not stop as asked")
        scene.finish(result, duplicates_per_fault=0)

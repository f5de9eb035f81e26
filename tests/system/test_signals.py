# SPDX-License-Identifier: GPL-3.0-or-later
"""SIGTERM at any moment: the host ends with status 0 and leaves no registration, health file or ledger behind.

VALAWAI_STOPS=2000   this many stops at random moments (default: a short form) """

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from broker import scaled, wait_until
from host import BINARY, ECHO, WRAPPER, plugin

STOPS = int(os.environ.get("VALAWAI_STOPS") or 48)
LATEST = 1.5  # seconds after exec

can_unshare = shutil.which("unshare") and subprocess.run(["unshare", "--pid", "--fork", "true"],
                                                         capture_output=True).returncode == 0
as_first_process = pytest.mark.skipif(not can_unshare or bool(WRAPPER), reason="may not make a PID namespace")
KINDS = [pytest.param(False, id="any-pid"), pytest.param(True, id="pid-1", marks=as_first_process)]


def child_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return int((file.read().split() or [0])[0])


def is_host(pid):
    try:
        return pid and os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "valawai-host" and pid
    except FileNotFoundError:
        return 0


class Stopped:
    """One run, optionally as the first process of a PID namespace. Each kind of start has a pid to signal."""

    def __init__(self, host, first_process):
        host.prefix = ("unshare", "--pid", "--fork", "--kill-child") if first_process else ()
        self.host = host
        host.start()
        self.pid = wait_until(lambda: is_host(child_of(host.pid) if first_process else host.pid), 10, "the program")

    def ready(self):
        """True once the program has blocked SIGTERM; before that it cannot control the effect of a signal."""
        with open(f"/proc/{self.pid}/status") as file:
            mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigBlk"))
        return bool(mask & 1 << signal.SIGTERM - 1)

    def signal(self, number=signal.SIGTERM):
        os.kill(self.pid, number)


def ends(host, seconds):
    try:
        host.process.wait(scaled(seconds))
        return True
    except subprocess.TimeoutExpired:
        return False


def left_behind(host):
    return [name for name in ("logs/component_id.json", "logs/component_id.json.ids") if os.path.exists(host.path(name))]


@pytest.mark.parametrize("first_process", KINDS)
@pytest.mark.parametrize("loaded", ["echo", "constructor"])
def test_stops_at_random_moments(new_host, broker, mov, client, loaded, first_process):
    """Before main() the kernel's rules hold, whatever the program does: the signal ends it, or is discarded for PID 1. Such a
    stop is counted; it ends a process that has done nothing yet."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    early, slowest, count = 0, 0, max(1, STOPS // 4)
    for number in range(count):
        # One stop in four comes in the first 60 ms, where the program loads its libraries and its plugins.
        moment = chance.uniform(0, 0.06 if number % 4 == 0 else LATEST)
        host = new_host(broker, plugins=(ECHO if loaded == "echo" else plugin("constructor"),),
                        env={"CONSTRUCTOR_MS": "300"})
        stopped = Stopped(host, first_process)
        time.sleep(moment)
        ready = stopped.ready()
        stopped.signal()
        if not ready and first_process and not ends(host, 1):  # the signal was discarded
            stopped.signal()
        began = time.monotonic()
        status = host.exit_status(20)
        slowest = max(slowest, time.monotonic() - began)
        early += not ready
        what = f"stop {number}, after {moment * 1000:.0f} ms, seed {seed}"
        assert status in ((0,) if ready else (0, -signal.SIGTERM)), f"{what}: status {status}\n{host.console}"
        assert not left_behind(host), f"{what}: {left_behind(host)}\n{host.console}"
        host.close()
    last = new_host(broker).start()
    last.wait_healthy()
    assert last.stop() == 0
    wait_until(lambda: not mov.active(), 10, "the end of every registration")
    print(f"{count} stops, {early} of them before main(); the slowest took {slowest:.2f} s")


@pytest.mark.parametrize("first_process", KINDS)
def test_a_signal_that_was_blocked_before_exec(new_host, broker, mov, client, first_process):
    """A signal that the parent blocks stays pending over exec, so it is never lost."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        stopped = Stopped(new_host(broker), first_process)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    stopped.signal()
    assert stopped.host.exit_status() == 0
    assert not left_behind(stopped.host) and not mov.active()


@pytest.mark.parametrize("first_process", KINDS)
def test_a_stop_while_a_plugin_is_loaded(new_host, broker, mov, client, first_process):
    """The host waits for the constructor, which it cannot interrupt, and starts nothing afterwards."""
    host = new_host(broker, plugins=(plugin("constructor"),), env={"CONSTRUCTOR_MS": "1500"})
    stopped = Stopped(host, first_process)
    wait_until(stopped.ready, 10, "blocked signals")
    stopped.signal()
    assert host.exit_status() == 0
    assert [record.message for record in host.records()][-2:] == ["stopping on SIGTERM", "stopped"]
    assert not mov.registered and not left_behind(host)


def test_a_constructor_that_hangs(new_host, broker, mov, client):
    """It gets only the grace time."""
    host = new_host(broker, plugins=(plugin("constructor"),), env={"CONSTRUCTOR_MS": "600000"},
                    conf="host { grace_seconds = 1 }\n").start()
    wait_until(lambda: child_of(host.pid), 10, "the process that tries the plugin")
    began = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - began >= 0.9
    assert "not been loaded in time" in host.console


def test_a_second_signal_while_a_plugin_is_loaded(new_host, broker, mov, client):
    host = new_host(broker, plugins=(plugin("constructor"),), env={"CONSTRUCTOR_MS": "600000"},
                    conf="host { grace_seconds = 600 }\n").start()
    wait_until(lambda: child_of(host.pid), 10, "the process that tries the plugin")

    def ended():
        host.send_signal(signal.SIGINT)
        return not host.running()

    wait_until(ended, 10, "the end")
    assert host.process.returncode == 1 and "second signal" in host.console


@pytest.mark.parametrize("verb", [["listen", "valawai/c1/echo/data/x"], ["send", "valawai/c1/echo/data/x", "-"]])
def test_verbs_end_by_a_signal_that_the_parent_blocked(new_host, broker, client, verb):
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        host = new_host(broker, plugins=(), args=verb)
        process = subprocess.Popen([*WRAPPER, BINARY, *verb], cwd=host.directory, env=host.env,
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    with process.stdin:
        wait_until(lambda: os.path.basename(os.readlink(f"/proc/{process.pid}/exe")) != "python3", 10, "the program")
        process.send_signal(signal.SIGTERM)
        assert process.wait(scaled(15)) in (0, -signal.SIGTERM)

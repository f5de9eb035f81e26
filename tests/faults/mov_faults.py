# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults of the MOV, and restarts of the broker: the component has exactly one registration, under the id in its health
file, and a dead id never looks healthy for longer than 40 s."""

import os
import random
import signal
import tempfile
import threading
import time

from broker import scaled, wait_until
from faults import fault, turns
from mov import REAL
from scene import Scene, a_while, healthy

DEAD_S = 40  # the longest time that a dead id may look healthy
SETTLED_S = 6  # the MOV finishes components up to 2.5 s after it listens, and the host asks it 5 s after a registration


class Watch:
    """Watches the health file, and measures how long it differs from the MOV."""

    def __init__(self, scene, host):
        self._scene, self._host = scene, host
        self._stop = threading.Event()
        self.longest = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        since = None
        while not self._stop.wait(0.05):
            try:
                told = self._host.health()
            except ValueError:
                continue
            dead = told and told["id"] not in [component["id"] for component in self._scene.mov.active()]
            since = (since or time.monotonic()) if dead else None
            if since:
                self.longest = max(self.longest, time.monotonic() - since)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(20)


def one(scene, host):
    """True if the MOV has one component, and the health file has its id."""
    active, told = scene.mov.active(), host.health()
    return len(active) == 1 and told and told["id"] == active[0]["id"]


def settles(scene, host, result):
    """Seconds until this is true and stays true: a new MOV may still finish all components."""
    began = time.monotonic()
    while True:
        wait_until(lambda: one(scene, host), DEAD_S, "one registration, and the health file tells it")
        took = time.monotonic() - began
        if took + SETTLED_S > scaled(DEAD_S):
            break
        known, until = scene.mov.registered[-1], time.monotonic() + SETTLED_S
        while time.monotonic() < until and one(scene, host):
            time.sleep(0.05)
        if scene.mov.registered[-1] == known and one(scene, host):
            break
    result.limit("one registration after", took, DEAD_S)
    result.measured.pop()
    return took


@fault("mov-finishes", "MOV restarts and finishes components 0–2.5 s after it listens", 3, 50, waits=True)
def mov_finishes(broker, times, long, result):
    with Scene(broker, rate=50, mov={**REAL, "finishes_after": (0, 2.5)}) as scene:
        host = scene.host()
        scene.go()
        settles(scene, host, result)
        took, caught = [], 0
        with Watch(scene, host) as watch:
            for _ in turns(times):
                known = len(scene.mov.registered)
                scene.mov.down()
                result.faults += 1
                a_while(0.7, 1.5)
                scene.mov.up()
                took.append(settles(scene, host, result))
                caught += len(scene.mov.registered) > known + 1
        result.limit("one registration after", took, DEAD_S)
        result.limit("a dead id looked healthy for", watch.longest, DEAD_S)
        result.measure(f"{caught} registrations were finished by a MOV that had just started")
        scene.finish(result, duplicates_per_fault=1)


@fault("mov-replaced", "MOV replaced without a gap", 2, 12, waits=True)
def mov_replaced(broker, times, long, result):
    with Scene(broker, rate=50, mov={**REAL, "finishes_after": (0.3, 2.0)}) as scene:
        host = scene.host()
        scene.go()
        settles(scene, host, result)
        took = []
        with Watch(scene, host) as watch:
            for _ in turns(times):
                old = host.health()["id"]
                scene.mov.replace()
                result.faults += 1
                began = time.monotonic()
                scene.mov.wait_for(lambda mov: not mov.active(), 5)
                wait_until(lambda: one(scene, host) and host.health()["id"] != old, DEAD_S, "registered at the next MOV")
                took.append(time.monotonic() - began)
        result.limit("registered at the next MOV after", took, DEAD_S)
        result.limit("a dead id looked healthy for", watch.longest, DEAD_S)
        scene.finish(result, duplicates_per_fault=1)


@fault("mov-remembers", "broker restarts, and the MOV is back 5 s later", 2, 20, waits=True)
def mov_remembers(broker, times, long, result):
    with Scene(broker, rate=50, mov={"reconnects_after": 5.0}) as scene:
        host = scene.host()
        scene.go()
        known = host.health()["id"]
        back = []
        for _ in turns(times):
            scene.generator.pause()
            broker.stop()  # a killed broker may redeliver a registration that the MOV has acknowledged
            scene.client.close()
            result.faults += 1
            broker.start()
            began = time.monotonic()
            scene.mov.wait_for(lambda mov: mov._listening, 30)
            wait_until(lambda: healthy(host), 20, "healthy again")
            back.append(time.monotonic() - began)
            result.check(host.health()["id"] == known, f"the id is {host.health()['id']}, and was {known}")
            scene.generator.resume()
        time.sleep(SETTLED_S)
        result.check(scene.mov.registered == [known], f"registered {scene.mov.registered}")
        result.check(not scene.mov.unregistered and not scene.mov.unknown, "unregistered")
        result.limit("healthy after the broker's start", back, 20)
        scene.finish(result)


@fault("mov-slow", "MOV that takes 15 s to answer", 1, 3, waits=True)
def mov_slow(broker, times, long, result):
    for _ in turns(times):
        with Scene(broker, rate=50, mov={"answers_after": 15}) as scene:
            began = time.monotonic()
            host = scene.host(wait=False)
            result.faults += 1
            scene.mov.wait_for(lambda mov: mov.registered, 30)
            host.wait_healthy(5)
            result.limit("registered after", time.monotonic() - began, 20)
            result.check(host.health()["id"] == scene.mov.registered[0], "registered by another than the first answer")
            scene.go()
            time.sleep(SETTLED_S)
            result.check(len(scene.mov.registered) == 1, f"registered {len(scene.mov.registered)} times")
            scene.finish(result)


def left_in(directory):
    logs = os.path.join(directory, "logs")
    return sorted(name for name in os.listdir(logs) if name.startswith("component_id")) if os.path.isdir(logs) else []


def blocks_sigterm(pid):
    """True once the program has blocked SIGTERM, which it does first."""
    with open(f"/proc/{pid}/status") as file:
        mask = int(next(line for line in file if line.startswith("SigBlk:")).split()[1], 16)
    return mask >> (signal.SIGTERM - 1) & 1


@fault("mov-sigterm", "SIGTERM during the registration, at a MOV that takes 2 s", 8, 200, waits=True)
def mov_sigterm(broker, times, long, result):
    """A stop waits for the answer. Every fourth host has no time for it, or is killed; then the next run unregisters."""
    with Scene(broker, rate=50, mov={"answers_after": 2}) as scene:
        at_once = [0, 0]
        for turn in turns(times):
            hasty = turn % 4 == 3
            conf = f"host {{ grace_seconds = {1 if hasty else 10} }}\n"
            with tempfile.TemporaryDirectory(prefix="valawai-sigterm-") as directory:
                host = scene.host(conf=conf, directory=directory, wait=False)
                wait_until(lambda: blocks_sigterm(host.pid), 20, "the host takes signals")
                time.sleep(random.uniform(0, 3))
                if turn % 8 == 7:
                    host.kill9()
                else:
                    status = host.stop(signal.SIGTERM, 30)
                    result.check(status == 0, f"exit status {status}")
                result.faults += 1
                if not hasty:
                    at_once[0] += 1
                    wait_until(lambda: scene.client.depth("valawai/component/register") == 0, 10, "the MOV took it")
                    at_once[1] += not scene.mov.active() and not left_in(directory)
                left = host.health()  # of one that was killed when it was registered
                again = scene.host(conf="host { grace_seconds = 10 }\n", directory=directory, wait=False)
                wait_until(lambda: one(scene, again) and again.health() != left, 30, "one registration after the next start")
                status = again.stop(signal.SIGTERM, 30)
                result.check(status == 0, f"exit status {status} of the next run")
                wait_until(lambda: not scene.mov.active(), 10, "nothing registered after the next run")
                result.check(not left_in(directory), f"left behind: {left_in(directory)}")
                scene.hosts.clear()
        result.measure(f"of {at_once[0]} with a grace time of 10 s, {at_once[1]} left nothing for the next run")
        result.check(at_once[0] == at_once[1], "a stop with enough time left something for the next run")
        result.check(not scene.mov.violations and not scene.mov.refused, "something that the MOV does not take")

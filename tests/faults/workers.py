# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about plugins in processes of their own: a process that crashes, hangs, takes too much or is killed costs its own
component a pause and at most one message, which is kept. Beside it a stream goes through another component."""

import os
import signal
import time

from broker import scaled, wait_until
from faults import a_while, fault, turns
from host import ECHO, plugin, published, received
from processes import children_of, gone, group_of, workers_of, zygote_of
from scene import GRACE, PREFETCH, Scene, said

GAP = 0.05  # seconds; the longest between two echoes of a component beside one that crashes


def conf(*sections, host=""):
    """An echo beside the plugins of these sections, each in its own process."""
    return f"host {{ isolation = process\n crash_attempts = 1\n {host} }}\nplugin echo {{ path = \"{ECHO}\" }}\n" + "".join(sections)


def section(name, limits=""):
    return f"plugin {name} {{ path = \"{plugin(name)}\"\n {limits} }}\n"


class Victim:
    """A component whose messages do harm, and what becomes of them."""

    def __init__(self, scene, name):
        self.name = name
        self._client = scene.client
        self._dead = received(name) + "/dead"
        self._client.declare(received(name), published(name), self._dead)

    def send(self, content):
        self._client.publish(received(self.name), {"content": content})

    def letter(self, result, timeout=30):
        """The message is kept, with the reason."""
        (properties, _), = self._client.collect_messages(self._dead, 1, timeout)
        result.check(properties.headers["valawai-dead-reason"] == "crashed", f"a letter says {properties.headers}")

    def answers(self, timeout=30):
        """The component handles the next message. Returns the seconds until then."""
        began = time.monotonic()
        self.send("next")
        self._client.collect(published(self.name), 1, timeout)
        return time.monotonic() - began


@fault("kill-worker", "`kill -9` of a worker under load", 10, 1000)
def kill_worker(broker, times, long, result):
    """The publications of a message leave with its verdict, so none is made twice."""
    with Scene(broker) as scene:
        host = scene.host(plugins=(), conf=conf())
        scene.go()
        back = []
        for _ in turns(times):
            scene.generator.burst(100)
            a_while(0.01, 0.1)
            os.kill(workers_of(host.pid)["echo.so"], signal.SIGKILL)
            result.faults += 1
            back.append(scene.flows_again(time.monotonic()))
        result.limit("echoing again after", back, 1.0)
        result.check(len(said(host, "its process ended: killed by SIGKILL")) == result.faults, "not every end is in the log")
        scene.finish(result, duplicates_per_fault=0)


@fault("crash-worker", "a message that crashes its plugin, every 50 ms", 10, 1000)
def crash_worker(broker, times, long, result):
    with Scene(broker) as scene:
        victim = Victim(scene, "fatal")
        host = scene.host(plugins=(), conf=conf(section("fatal")))
        neighbour = workers_of(host.pid)["echo.so"]
        scene.go()
        time.sleep(20 if long else 1)  # a busy machine has gaps of its own
        quiet, scene.sink.longest_gap = scene.sink.longest_gap, 0.0
        back = []
        for _ in turns(times):
            victim.send("crash")
            result.faults += 1
            back.append(victim.answers())
            victim.letter(result)
            a_while(0.02, 0.08)
        crashes = said(host, r"Cannot run fatal, because its process ended: crashed \(SIGSEGV\) in the handler of")
        result.check(len(crashes) == result.faults, f"{len(crashes)} crashes are in the log")
        result.measure(f"from a message that crashes to the answer of the next one: {max(back) * 1000:.0f} ms at most, "
                       f"{sorted(back)[len(back) // 2] * 1000:.0f} ms in the middle")
        result.check(workers_of(host.pid).get("echo.so") == neighbour, "the worker beside it ended, too")
        scene.finish(result, duplicates_per_fault=0)
        result.measure(f"longest gap of the component beside it {result.gap:.3g} s; before, without crashes, {quiet:.3g} s")
        if long:
            result.limit("more than before", result.gap - quiet, GAP)


def at_limit(broker, times, result, limits, word, said_of_it, host=""):
    """A message makes its plugin take too much. What it started ends with it."""
    with Scene(broker) as scene:
        victim = Victim(scene, "greedy")
        running = scene.host(plugins=(), conf=conf(section("greedy", limits), host=host))
        neighbour = workers_of(running.pid)["echo.so"]
        scene.go()
        took = []
        for turn in turns(times):
            worker = workers_of(running.pid)["greedy.so"]
            began = time.monotonic()
            victim.send(word)
            result.faults += 1
            victim.letter(result)
            took.append(time.monotonic() - began)
            victim.answers()
            wait_until(lambda: not group_of(worker), 10, "the end of what it started")
            found = said(running, f"Cannot run greedy, because its process ended: .*{said_of_it}")
            result.check(len(found) == turn + 1, f"the log names the limit {len(found)} times")
        result.measure(f"ended after {max(took):.2g} s at most; “{found[-1][1].partition('ended: ')[2].partition(';')[0]}”")
        scene.drain()
        result.check(workers_of(running.pid).get("echo.so") == neighbour, "the worker beside it ended, too")
        scene.finish(result, duplicates_per_fault=0)


@fault("hang-worker", "a handler that never returns", 2, 20, waits=True)
def hang_worker(broker, times, long, result):
    at_limit(broker, times, result, "", "spin", "took longer than host.handler_seconds", host="handler_seconds = 1")


@fault("leak-worker", "a leak of 10 MB/s into memory_max", 2, 20, waits=True)
def leak_worker(broker, times, long, result):
    at_limit(broker, times, result, "memory_max = 24M", "leak", "memory_max is 24.0 MiB")


@fault("fork-bomb", "a fork bomb, stopped by processes_max", 3, 100)
def fork_bomb(broker, times, long, result):
    at_limit(broker, times, result, "processes_max = 50", "bomb", "processes_max is 50")


@fault("host-killed", "`kill -9` host with workers", 5, 100)
def host_killed(broker, times, long, result):
    """No process survives: neither a worker that hangs nor what left its group."""
    with Scene(broker) as scene:
        victim = Victim(scene, "greedy")
        host = scene.host(plugins=(), conf=conf(section("greedy"), host="handler_seconds = 0"))
        scene.go()
        took = []
        for _ in turns(times):
            victim.send("daemon")
            scene.client.collect(published("greedy"), 1, 30)
            victim.send("spin")
            a_while(0.0, 0.2)
            workers = workers_of(host.pid)
            left = [*workers.values(), zygote_of(host.pid), *children_of(workers["greedy.so"])]
            result.check(len(left) >= 4, f"there were only {len(left)} processes")
            host.kill9()
            killed = time.monotonic()
            result.faults += 1
            wait_until(lambda: all(gone(pid) for pid in left), 5, "the end of every process", 0.005)
            took.append(time.monotonic() - killed)
            wait_until(lambda: scene.client.drain(received("greedy")), 20, "the message of the handler in its queue")
            host.start()
            scene.flows_again(time.monotonic())
        result.limit("all processes gone after", took, 1.0)
        scene.finish(result, duplicates_per_fault=PREFETCH)


@fault("sigterm-crash", "SIGTERM while a worker is made again", 5, 200)
def sigterm_crash(broker, times, long, result):
    with Scene(broker) as scene:
        victim = Victim(scene, "fatal")
        host = scene.host(plugins=(), conf=conf(section("fatal")))
        scene.go()
        took = []
        for _ in turns(times):
            for _ in range(3):
                victim.send("crash")
            a_while(0.0, 0.05)
            began = time.monotonic()
            status = host.stop(timeout=GRACE + 10)
            took.append(time.monotonic() - began)
            result.faults += 1
            result.check(status == 0, f"exit status {status}")
            fresh = scene.fresh()
            host.start()
            host.wait_healthy(20)
            fresh.wait(scaled(20))
        for _ in range(3 * result.faults):
            victim.letter(result)
        result.limit("ended after", took, GRACE)
        scene.finish(result, duplicates_per_fault=0)


@fault("kill-zygote", "`kill -9` of the zygote, then of a worker", 3, 100)
def kill_zygote(broker, times, long, result):
    """The workers go on, and the next one comes from another zygote."""
    with Scene(broker) as scene:
        victim = Victim(scene, "fatal")
        host = scene.host(plugins=(), conf=conf(section("fatal")))
        scene.go()
        back = []
        for _ in turns(times):
            workers, zygote = workers_of(host.pid), zygote_of(host.pid)
            os.kill(zygote, signal.SIGKILL)
            victim.answers()
            scene.flows_again(time.monotonic())
            result.check(not any(gone(pid) for pid in workers.values()), "a worker ended with the zygote")
            victim.send("crash")
            result.faults += 1
            back.append(victim.answers())
            victim.letter(result)
            os.kill(workers["echo.so"], signal.SIGKILL)
            scene.flows_again(time.monotonic())
        made = said(host, "another one is there")
        result.check(len(made) == result.faults, f"{len(made)} zygotes were made for {result.faults}")
        result.measure(f"the next message of a plugin that crashed then is handled after {max(back):.2g} s at most")
        scene.finish(result, duplicates_per_fault=0)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The faults, one function each, with the broker, the number of repetitions, the form (long or short), and the result."""

import atexit
import collections
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

from broker import Broker, scaled, wait_until
from cluster import Cluster
from host import ECHO, plugin, received
from net import Link, Proxy
from scene import BACKOFF, GRACE, PREFETCH, Scene, a_while, healthy, said

Fault = collections.namedtuple("Fault", "name title short long run needs_root needs own_broker waits")

FAULTS = []


class Clock:
    """The time at which a row must end, even with fewer repetitions."""

    ends = None  # time.monotonic()


def turns(times):
    for turn in range(times):
        if turn and Clock.ends and time.monotonic() > Clock.ends:
            return
        yield turn


def fault(name, title, short, long, needs=(), needs_root=False, own_broker=False, waits=False):
    """waits: most of its time nothing happens, so that it does not disturb another beside it."""
    def take(function):
        FAULTS.append(Fault(name, title, short, long, function, needs_root, needs, own_broker, waits))
        return function
    return take


@fault("kill-host", "`kill -9` host", 10, 300)
def kill_host(broker, times, long, result):
    with Scene(broker) as scene:
        host = scene.host()
        scene.go()
        back = []
        for _ in turns(times):
            scene.generator.burst(1000)
            a_while(0.02, 0.25)
            host.kill9()
            result.faults += 1
            started = time.monotonic()
            host.start()
            back.append(scene.flows_again(started))
        scene.wait_registered([host])  # without stale registrations
        result.measure(f"echoing {max(back):.2g} s after the start at most")
        scene.finish(result, duplicates_per_fault=PREFETCH)


@fault("kill-broker", "broker `kill -9` and restart", 3, 50)
def kill_broker(broker, times, long, result):
    with Scene(broker) as scene:
        host = scene.host()
        scene.go()
        back = []
        for _ in turns(times):
            scene.generator.burst(1000)
            a_while(0.05, 0.4)
            broker.kill()
            result.faults += 1
            wait_until(lambda: not healthy(host), 2, "no health file without a broker")
            broker.start()
            back.append(scene.flows_again(time.monotonic()))
            scene.wait_registered([host], 20)
        result.measure(f"resumed {max(back):.2g} s after the broker at most")
        scene.client.close()  # its connection is from before the fault
        scene.finish(result)


@fault("cut", "both connections cut (RST)", 20, 2000, needs=("haproxy", "ss"), needs_root=True)
def cut(broker, times, long, result):
    with Proxy(broker) as proxy, Scene(broker) as scene:
        host = scene.host(via=proxy)
        scene.go()
        wait_until(lambda: proxy.connections() == 2, 5, "two connections")
        before = host.fds()
        back, descriptors = [], []
        for turn in turns(times):
            scene.generator.burst(random.choice((0, 300)))
            a_while(0.02, 0.2)
            # Sometimes only one: then the host keeps the messages, and must publish their results again.
            if turn % 3:
                proxy.cut(one=turn % 3 == 2)
                mark = scene.fresh()
            else:
                proxy.shut()
                mark = scene.fresh()  # not when it opens: the backlog is handled first
                a_while(0, 2.5)
                proxy.open()
            result.faults += 1
            reachable = time.monotonic()
            back.append(mark.wait(scaled(60)) - reachable)
            wait_until(lambda: proxy.connections() == 2, 10, "two connections again")
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: host.fds() <= before, 5)
            # The health file during a write is not a leak, and the write takes seconds on a busy disk.
            kept = [name for name in host.open_files() if not name.endswith(".json.new")]
            descriptors.append(len(kept))
            if len(kept) > before:
                result.measure(f"after cut {result.faults}: {', '.join(kept)}")
        scene.wait_registered([host])
        result.limit("resumed after", back, 1.0)
        result.measure(f"{before} file descriptors before, {max(descriptors)} at most after")
        result.check(max(descriptors) <= before, f"{max(descriptors)} file descriptors, {before} before")
        scene.finish(result, duplicates_per_fault=PREFETCH)


@fault("delay-cut", "500 ms delay, cut between publish and confirm", 10, 300, needs=("haproxy", "ip", "ss"), needs_root=True,
       waits=True)
def delay_cut(broker, times, long, result):
    with Link() as link, Proxy(broker, link) as proxy, Scene(broker, rate=100) as scene:
        host = scene.host(via=proxy, link=link)
        link.delay(500)
        scene.go()
        back = []
        for turn in turns(times):
            a_while(0.6, 1.2)  # so that confirmations are pending
            proxy.cut(one=turn % 2 == 1)
            result.faults += 1
            back.append(scene.flows_again(time.monotonic()))
        link.heal()
        scene.wait_registered([host], 20)
        result.measure(f"resumed after {max(back):.2g} s at most")
        refused = said(host, r"\b406\b")
        result.check(not refused, f"the host says {refused[:3]}")
        scene.finish(result, duplicates_per_fault=PREFETCH)
        result.check(result.duplicated > 0, "no cut came between a publication and its confirm: nothing was tried")


SILENCE_RATE = 20  # messages a second: few, because the backlog is handled first, and its time is not measured


def _silence(scene, host, result, heartbeat, begin, end, lasts):
    """The peer is silent for a while: the host detects it and removes the health file, and everything recovers afterwards."""
    scene.generator.burst(300)  # so that messages are in flight
    a_while(0.01, 0.1)
    began, began_clock = time.monotonic(), time.time()
    begin()
    result.faults += 1
    try:
        wait_until(lambda: not healthy(host), 3 * heartbeat + 5, "the health file goes", 0.005)
        gone = time.monotonic() - began
        lost = {}
        def look():
            for kind in ("receiving", "publishing"):
                for at, _ in said(host, f"lost the {kind} connection"):
                    if at >= began_clock - 0.01:
                        lost.setdefault(kind, at - began_clock)
            return len(lost) == 2
        wait_until(look, 3 * heartbeat + 5, "both connections are found dead")
        while time.monotonic() - began < lasts:
            result.check(not healthy(host), "a health file though nothing answers")
            time.sleep(0.05)
    finally:
        end()
    back = scene.flows_again(time.monotonic())
    scene.wait_registered([host], 20)
    return gone, max(lost.values()), back


def _report_silence(result, found, heartbeat, lasts):
    gone, lost, back = zip(*found)
    result.limit("health file gone after", gone, 2 * heartbeat)
    result.limit("both connections found dead after", lost, 2 * heartbeat)
    result.limit("resumed after", back, 1.0 + BACKOFF)
    result.measure(f"heartbeat {heartbeat} s, silence of {lasts:.3g} s")


@fault("half-open", "half-open (all packets dropped)", 1, 10, needs=("haproxy", "ip"), needs_root=True, waits=True)
def half_open(broker, times, long, result):
    heartbeat = 10 if long else 3
    with Link() as link, Proxy(broker, link) as proxy, Scene(broker, rate=SILENCE_RATE) as scene:
        host = scene.host(via=proxy, link=link, conf=f"broker {{ heartbeat = {heartbeat} }}\n")
        scene.go()
        lasts, found = [], []
        for _ in turns(times):
            lasts.append(2 * heartbeat + random.uniform(1, 6))
            found.append(_silence(scene, host, result, heartbeat, link.drop, link.heal, lasts[-1]))
        _report_silence(result, found, heartbeat, max(lasts))
        scene.finish(result, duplicates_per_fault=PREFETCH)


@fault("frozen", "broker frozen (SIGSTOP 30 s)", 1, 10, waits=True)
def frozen(broker, times, long, result):
    heartbeat = 10 if long else 3
    with Scene(broker, rate=SILENCE_RATE) as scene:
        host = scene.host(conf=f"broker {{ heartbeat = {heartbeat} }}\n")
        scene.go()
        found = [_silence(scene, host, result, heartbeat, broker.freeze, broker.thaw, 3 * heartbeat) for _ in turns(times)]
        _report_silence(result, found, heartbeat, 3 * heartbeat)
        scene.finish(result, duplicates_per_fault=PREFETCH)


def _connections(broker):
    """The hosts' connections at the broker: (its process, the peer's port)."""
    lines = broker.ctl("list_connections", "pid", "peer_port", "client_properties").splitlines()
    return sorted(tuple(line.split("\t")[:2]) for line in lines if "valawai-host" in line)


@fault("alarm", "memory alarm 30 s under load", 1, 10, waits=True)
def alarm(broker, times, long, result):
    seconds, heartbeat = (30 if long else 22), 10
    with Scene(broker) as scene:
        host = scene.host(conf=f"broker {{ heartbeat = {heartbeat} }}\n")
        scene.go()
        grown = []
        before = _connections(broker)
        result.check(len(before) == 2, f"connections {before}")
        for _ in turns(times):
            resting = host.rss()
            # A backlog that the host has not begun when the alarm comes.
            host.send_signal(signal.SIGSTOP)
            try:
                scene.generator.burst(3000)
                wait_until(lambda: len(scene.generator.confirmed) >= scene.generator.next - 1000
                           and scene.client.depth(received()) > 1000, 10, "a backlog")
                broker.alarm(True)
            finally:
                host.send_signal(signal.SIGCONT)
            result.faults += 1
            ends = time.monotonic() + seconds
            try:
                waiting = scene.client.depth(received())
                result.check(waiting > 0, "there was no load")
                while time.monotonic() < ends:
                    grown.append(host.rss() - resting)
                    result.check(healthy(host), "the health file went")
                    time.sleep(0.1)
            finally:
                broker.alarm(False)
            scene.flows_again(time.monotonic())
        after = _connections(broker)
        result.measure(f"alarm of {seconds} s, heartbeat {heartbeat} s; {len(set(before) & set(after))} of {len(before)}"
                       " connections survived")
        result.check(before == after, f"connections {before} became {after}")
        result.check(host.log().count("raised an alarm") >= result.faults, "the host does not know of an alarm")
        # The allowed growth: 8 MiB of records for the MOV, the prefetch, and the allocator's overhead.
        result.limit("memory grew by", max(grown) / 2**20, 16, "MiB")
        scene.finish(result, duplicates_per_fault=0)


@fault("queue-deleted", "queue deleted under the consumer", 3, 50)
def queue_deleted(broker, times, long, result):
    with Scene(broker) as scene:
        other, other_sink = scene.stream("other")
        host = scene.host(plugins=(ECHO, plugin("other")))
        scene.go()
        back = []
        for _ in turns(times):
            # The messages of a deleted queue are lost on purpose, so the queue must be empty.
            scene.generator.pause()
            wait_until(lambda: scene.generator.idle() and not scene.generator.confirmed - scene.sink.seen.keys(), 20,
                       "all is echoed")
            wait_until(lambda: scene.client.depth(received()) == 0, 5, "an empty queue")
            scene.sink.count_gaps(False)
            scene.client.delete(received())
            deleted = time.monotonic()
            result.faults += 1
            scene.generator.resume()
            back.append(scene.flows_again(deleted))
            scene.sink.count_gaps(True)
            wait_until(lambda: healthy(host), 5, "the health file is back")
            a_while(0.2, 0.5)
        result.limit("consuming again after", back, 2.0)
        result.limit("longest gap of the other plugin", other_sink.longest_gap, 1.0)
        result.check(not said(host, "connection"), "a connection was lost")
        scene.finish(result, duplicates_per_fault=0)


@fault("mov-restarts", "MOV restarts", 5, 100, waits=True)
def mov_restarts(broker, times, long, result):
    with Scene(broker) as scene:
        host = scene.host()
        scene.go()
        back = []
        for _ in turns(times):
            old = host.health()["id"]
            scene.mov.down()
            result.faults += 1
            a_while(0.7, 1.5)
            result.check(not healthy(host), "a health file without a MOV")
            scene.mov.up()
            began = time.monotonic()
            wait_until(lambda: healthy(host), 30, "registered again", 0.01)
            back.append(time.monotonic() - began)
            scene.wait_registered([host], 5)
            result.check(host.health()["id"] != old, "the old id is back")
            a_while(0, 0.5)
            scene.one_registration(result, [host])
        time.sleep(6)  # a second registration or an untaken notification would appear within this time
        scene.one_registration(result, [host], "in the end ")
        result.check(len(scene.mov.registered) == result.faults + 1, f"registered {len(scene.mov.registered)} times")
        result.limit("registered again after", back, 10)
        scene.finish(result, duplicates_per_fault=0)


@fault("sigterm", "SIGTERM under load", 20, 500)
def sigterm(broker, times, long, result):
    with Scene(broker) as scene:
        host = scene.host()
        scene.go()
        took = []
        for _ in turns(times):
            scene.generator.burst(1000)
            a_while(0.02, 0.25)
            began = time.monotonic()
            status = host.stop(timeout=GRACE + 10)
            took.append(time.monotonic() - began)
            result.faults += 1
            result.check(status == 0, f"exit status {status}")
            result.check(not healthy(host), "a health file is left behind")
            try:
                scene.mov.wait_for(lambda mov: not mov.active(), 3)
            except TimeoutError:
                result.check(False, "not unregistered")
            fresh = scene.fresh()
            host.start()
            host.wait_healthy(20)
            fresh.wait(scaled(20))
        result.limit("ended after", took, GRACE)
        result.check(len(scene.mov.unregistered) == result.faults and not scene.mov.unknown,
                     f"unregistered {len(scene.mov.unregistered)}, unknown {scene.mov.unknown}")
        scene.finish(result, duplicates_per_fault=0)


@fault("replicas", "two replicas, one killed", 3, 50)
def replicas(broker, times, long, result):
    with Scene(broker) as scene:
        hosts = [scene.host(), scene.host()]
        scene.go()
        on = []
        for turn in turns(times):
            victim, other = hosts if turn % 2 else reversed(hosts)
            identifier = other.health()["id"]
            scene.generator.burst(1000)
            a_while(0.02, 0.25)
            victim.kill9()
            result.faults += 1
            on.append(scene.flows_again(time.monotonic()))
            a_while(0.2, 0.5)
            result.check((other.health() or {}).get("id") == identifier, "the other one was not untouched")
            ghost = victim.health()["id"]
            victim.start()
            victim.wait(lambda: (victim.health() or {"id": ghost})["id"] != ghost, 15, "an id of its own")
            scene.wait_registered(hosts)
        result.limit("the other works on after", on, 1.0)
        scene.finish(result, duplicates_per_fault=PREFETCH)


@fault("cluster", "three-node cluster, replicated queues, our node killed", 1, 20, needs=("ss",), own_broker=True)
def cluster(broker, times, long, result):
    single = Broker()
    if single.queue_type == "classic" and single.release in ("trixie", "forky"):
        result.inapplicable = "RabbitMQ 4 has no mirrored classic queues"
        return
    with Cluster() as nodes, Scene(nodes, brokers=nodes.running) as scene:
        host = scene.host()
        scene.go()
        back = []
        for _ in turns(times):
            for node in nodes.nodes:
                node.start()  # if it was killed
            wait_until(nodes.synchronised, 60, "the mirrors have everything", 0.5)
            ours = random.choice(nodes.nodes_of(host))
            scene.generator.burst(300)
            a_while(0.05, 0.3)
            ours.kill()
            result.faults += 1
            back.append(scene.flows_again(time.monotonic()))
            result.check(ours not in nodes.nodes_of(host) and nodes.nodes_of(host), "connected to no other node")
        scene.wait_registered([host], 20)
        result.limit("resumed on another node after", back, 2.0)
        scene.client.close()  # its connection may be from before the fault
        # A dead node may be a connection of the host and at the same time the leader of its queues: unconfirmed publications
        # are sent again, and unacknowledged messages are redelivered.
        scene.finish(result, duplicates_per_fault=2 * PREFETCH)


LOG = os.path.join("logs", "log_messages.txt")


@fault("disk-full", "disk full for log and health file", 1, 1, needs=("mount", "umount"), needs_root=True)
def disk_full(broker, times, long, result):
    directory = tempfile.mkdtemp(prefix="valawai-host-")
    logs = os.path.join(directory, "logs")
    os.mkdir(logs)
    try:
        with Tmpfs(logs, 256) as disk, Scene(broker) as scene:
            # Full from the start: neither log nor health file can be written. (Full to the last byte, because otherwise space
            # that the host frees would allow some writes.)
            fill(os.path.join(logs, "ballast"))
            host = scene.host(directory=directory, wait=False, LOG_FILE_LEVEL="INFO")
            result.faults += 1
            scene.mov.wait_for(lambda mov: mov.active())
            scene.go()
            scene.generator.burst(500)
            time.sleep(3)
            scene.flows_again(time.monotonic())
            result.check(not healthy(host), "a health file on a full disk")
            _said_once(host, result, log=1, health=1)

            # There is room for a short time, and the missing files appear.
            disk.resize(512)
            wait_until(lambda: healthy(host), 10, "the health file, now that there is room")
            wait_until(lambda: os.path.getsize(host.path(LOG)) > 0, 10, "the log, now that there is room")
            scene.generator.burst(2000)
            wait_until(lambda: _complaints(host, "log_messages.txt") > 1, 20, "the log fills the disk again")
            fill(os.path.join(logs, "more ballast"))
            result.faults += 1
            time.sleep(0.5)
            said = _complaints(host, "log_messages.txt")
            scene.generator.burst(500)
            time.sleep(3)
            scene.flows_again(time.monotonic())
            result.check(healthy(host), "the health file went")
            _said_once(host, result, log=said, health=1)

            disk.resize(16384)
            size = os.path.getsize(host.path(LOG))
            wait_until(lambda: os.path.getsize(host.path(LOG)) > size, 10, "the log, now that there is room again")
            host.records()  # no half lines
            result.measure("each said once; health file and log came back when there was room")
            scene.finish(result, duplicates_per_fault=0)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _complaints(host, what):
    return sum("No space left" in line and what in line for line in host.console.splitlines())


def _said_once(host, result, log, health):
    for what, most in (("log_messages.txt", log), ("component_id.json", health)):
        count = _complaints(host, what)
        result.check(count == most, f"{what} was complained of {count} times, not {most}")


def fill(path):
    """Fills the disk with a file."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        with contextlib.suppress(OSError):
            while True:
                os.write(file, bytes(1024))
        with contextlib.suppress(OSError):
            while True:
                os.write(file, b"-")
    finally:
        os.close(file)


class Tmpfs:
    """A small file system of this many KiB."""

    def __init__(self, path, size):
        self._path, self._size = path, size

    def __enter__(self):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self._size}k", "tmpfs", self._path], check=True)
        atexit.register(self.close)
        return self

    def __exit__(self, *_):
        self.close()

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}k", self._path], check=True)

    def close(self):
        atexit.unregister(self.close)
        subprocess.run(["umount", "-l", self._path], check=False)

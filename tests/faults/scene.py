# SPDX-License-Identifier: GPL-3.0-or-later
"""The common parts of all faults: fresh queues, a MOV, hosts, a stream of messages, and the verdict."""

import collections
import os
import random
import re
import time

from broker import scaled, wait_until
from host import Client, ECHO, Host, published, received
from mov import MovStandIn
from stream import Generator, Sink, tally

GRACE = 5  # seconds; the host's default
PREFETCH = 200  # the host's default
BACKOFF = 0.5  # seconds; the longest of the host's pauses between two attempts to connect, by default

# The records of every message would be most of the work on a small machine.
QUIET = {"LOG_FILE_LEVEL": "WARNING", "LOG_CONSOLE_LEVEL": "WARNING", "LOG_FILE_MAX_BYTES": "0"}


class Result:
    """The result of one fault."""

    def __init__(self, name, title):
        self.name = name
        self.title = title
        self.faults = 0
        self.sent = self.echoed = self.lost = self.duplicated = 0
        self.gap = 0.0
        self.seconds = 0.0
        self.measured = []  # for the reader
        self.failures = []
        self.late = []  # failures that only exceed a time limit
        self.skipped = None  # the reason why it could not run here
        self.inapplicable = None  # the reason why this broker cannot have the fault

    @property
    def passed(self):
        return not self.failures and not self.skipped and not self.inapplicable

    def check(self, holds, what):
        if not holds:
            self.failures.append(what)

    def measure(self, text):
        self.measured.append(text)

    def limit(self, what, values, most, unit="s"):
        """The largest of the values must not exceed the limit."""
        values = [values] if isinstance(values, (int, float)) else list(values)
        most = scaled(most) if unit == "s" else most
        worst = max(values)
        middle = sorted(values)[len(values) // 2]
        self.measure(f"{what} {worst:.3g} {unit}" + (f" at most, {middle:.3g} {unit} in the middle" if len(values) > 2 else ""))
        if worst > most:
            self.check(False, f"{what}: {worst:.3g} {unit}, more than {most:g} {unit}")
            if unit == "s":
                self.late.append(self.failures[-1])


class Scene:
    """One broker (or several that are one cluster), one MOV, hosts, and a stream through the echo component."""

    consoles = []  # consoles of the last scene's hosts

    def __init__(self, broker, rate=200, brokers=None, component="echo", mov=None):
        """mov: the switches of the stand-in."""
        self.broker = broker
        self._switches = mov or {}
        self.brokers = brokers or (lambda: [broker])
        self.rate = rate
        self.component = component
        self.hosts = []
        self.streams = []

    def __enter__(self):
        self.client = Client(self.broker)
        self.client.delete_all()
        self.mov = MovStandIn(self.broker, **self._switches)
        self.mov.logs = collections.deque(maxlen=1000)  # bounded, because a run may take hours
        try:
            self.mov.start()
            self.generator, self.sink = self.stream(self.component)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for generator, sink in self.streams:
            generator.stop()
            sink.stop()
        Scene.consoles = [host.console for host in self.hosts]
        for host in self.hosts:
            host.close()
        self.mov.stop()
        self.client.close()

    def stream(self, component):
        """A paused generator and a sink, for a component with topics like the echo's."""
        self.client.declare(received(component), published(component))
        generator = Generator(self.brokers, received(component), self.rate)
        generator.pause()
        sink = Sink(self.brokers, published(component))
        self.streams.append((generator, sink))
        sink.start()
        generator.start()
        wait_until(sink.consuming.is_set, 20, "the sink consumes")
        return generator, sink

    def host(self, plugins=(ECHO,), conf=None, via=None, link=None, directory=None, wait=True, **env):
        """Starts a host, and by default waits until it is healthy."""
        host = Host(self.broker, plugins=plugins, conf=conf, directory=directory,
                    prefix=link.prefix if link else (),
                    env={**QUIET, **(via.environment() if via else {}), **env})
        self.hosts.append(host)
        host.start()
        if wait:
            host.wait_healthy(20)
        return host

    def go(self):
        """Starts the stream, and waits for an echo."""
        for generator, sink in self.streams:
            mark = sink.mark(generator.next)
            generator.resume()
            mark.wait(scaled(20))

    def flows_again(self, since, timeout=60):
        """Seconds from that moment (time.monotonic()) to the first echo of a message that is sent from now on."""
        return self.fresh().wait(scaled(timeout)) - since

    def fresh(self):
        """Marks the first echo of a message that is sent from now on."""
        return self.sink.mark(self.generator.next)

    def drain(self, timeout=60):
        """Waits until every message is echoed, or no echo comes for this time. Gaps do not count from here on."""
        for generator, _ in self.streams:
            generator.pause()
        wait_until(lambda: all(generator.idle() for generator, _ in self.streams), 120, "the broker confirms what was sent")
        for generator, sink in self.streams:
            sink.count_gaps(False)
            progress, missing = time.monotonic(), None
            while True:
                left = len(generator.confirmed - sink.seen.keys())
                if left == 0:
                    break
                if left != missing:
                    progress, missing = time.monotonic(), left
                elif time.monotonic() - progress > scaled(timeout):
                    break
                time.sleep(0.1)

    def resume(self):
        """Continues after drain."""
        for generator, sink in self.streams:
            sink.count_gaps(True)
            generator.resume()

    def finish(self, result, duplicates_per_fault=None):
        """The end of a fault: every message has arrived, the hosts stop cleanly, and nothing remains.

        What a host had and did not acknowledge goes back to its queue when it stops; that shows as what is left there.
        """
        self.drain()
        time.sleep(0.3)  # a duplicate would come now
        for host in self.hosts:
            if host.running():
                result.check(host.stop(timeout=GRACE + 10) == 0, f"a host ended with {host.process.returncode}")
            result.check(not os.path.exists(host.path("logs", "component_id.json")), "a health file is left behind")
        for generator, sink in self.streams:
            time.sleep(0.2)
            left = self.client.depth(generator.topic)
            result.check(left == 0, f"{left} messages are not acknowledged though all were echoed" if left else "")
            found = tally(set(generator.confirmed), set(generator.unsure), dict(sink.seen), sink.strange, sink.again)
            result.sent += found.sent
            result.echoed += found.echoed
            result.lost += len(found.lost)
            result.duplicated += found.duplicated
            result.gap = max(result.gap, sink.longest_gap)
            result.check(found.sent > 0, "nothing was sent")
            result.check(not found.lost, f"lost {len(found.lost)}, the first of them {found.lost[:5]}")
            result.check(found.strange == 0, f"{found.strange} echoes of messages that were never sent")
        if duplicates_per_fault is not None:
            result.check(result.duplicated <= duplicates_per_fault * result.faults,
                         f"duplicated {result.duplicated}, more than {duplicates_per_fault} a fault")
        try:
            self.mov.wait_for(lambda mov: not mov.active(), 5)
        except TimeoutError:
            result.check(False, f"the MOV still has {[component['id'] for component in self.mov.active()]}")
        result.check(not self.mov.violations, f"a listener of the MOV would have died: {self.mov.violations[:3]}")
        result.check(not self.mov.refused, f"the MOV would not have taken {self.mov.refused[:3]}")

    def one_registration(self, result, hosts, when=""):
        """The MOV has exactly the components that the health files name."""
        active = sorted(component["id"] for component in self.mov.active())
        named = sorted((host.health() or {"id": "none"})["id"] for host in hosts)
        result.check(active == named, f"{when}the MOV has {active}, the health files name {named}")

    def wait_registered(self, hosts, timeout=10):
        """Every host has a health file that names an active component, and there are no others."""
        def look():
            health = [host.health() for host in hosts]
            return all(health) and sorted(h["id"] for h in health) == sorted(c["id"] for c in self.mov.active())
        wait_until(look, timeout, "exactly these hosts are registered")


def healthy(host):
    """Like `test -s`."""
    try:
        return os.path.getsize(host.path("logs", "component_id.json")) > 0
    except OSError:
        return False


def said(host, pattern):
    """The records of the log file that match, as (seconds since the epoch, text)."""
    found = []
    for record in host.records():
        if re.search(pattern, record.message):
            clock, milliseconds = record.time.split(",")
            found.append((time.mktime(time.strptime(clock, "%Y-%m-%d %H:%M:%S")) + int(milliseconds) / 1000, record.message))
    return found


def a_while(least, most):
    time.sleep(random.uniform(least, most))

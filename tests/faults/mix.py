# SPDX-License-Identifier: GPL-3.0-or-later
"""All faults in any order, some at the same time, on two replicas; one of them must survive everything.

The cluster is not included, because it is another broker. """

import collections
import contextlib
import os
import random
import shutil
import tempfile
import time

from broker import wait_until
from faults import Tmpfs, fault, fill
from host import received
from net import Link, Proxy
from scene import PREFETCH, Scene, a_while, healthy

HEARTBEAT = 4


class Mix:
    def __init__(self, broker, scene, link, far, near, logs):
        self.broker, self.scene, self.link, self.far, self.near, self.logs = broker, scene, link, far, near, logs
        self.done = collections.Counter()

    def start(self, directory):
        conf = f"broker {{ heartbeat = {HEARTBEAT} }}\n"
        # The survivor is behind the cable and has its log on the small disk; the other one dies again and again.
        self.survivor = self.scene.host(via=self.far, link=self.link, conf=conf, directory=directory, LOG_FILE_LEVEL="INFO",
                                        LOG_FILE_MAX_BYTES="200000", LOG_FILE_BACKUP_COUNT="1")
        self.other = self.scene.host(via=self.near, conf=conf)

    # --- the faults --------------------------------------------------------------------------------------------------

    def kill_host(self):
        self.scene.generator.burst(500)
        a_while(0.02, 0.3)
        self.other.kill9()
        a_while(0, 1)
        self.other.start()

    def sigterm(self):
        self.scene.generator.burst(500)
        a_while(0.02, 0.3)
        status = self.other.stop()
        assert status == 0, f"exit status {status} on SIGTERM"
        a_while(0, 1)
        self.other.start()

    def cut(self):
        for proxy in random.choice(((self.far,), (self.near,), (self.far, self.near))):
            proxy.cut()

    def unreachable(self):
        for proxy in (self.far, self.near):
            proxy.shut()
        a_while(0.1, 3)
        for proxy in (self.far, self.near):
            proxy.open()

    def delay(self):
        self.link.delay(random.choice((0, 100, 300)))

    def loss(self):
        self.link.lose(random.choice((0, 1, 5)))

    def half_open(self):
        self.link.drop()
        a_while(0.5, 3 * HEARTBEAT)
        self.link.heal()

    def freeze_way(self):
        self.near.freeze()
        a_while(0.5, 3 * HEARTBEAT)
        self.near.thaw()

    def freeze_broker(self):
        self.broker.freeze()
        a_while(0.5, 3 * HEARTBEAT)
        self.broker.thaw()

    def kill_broker(self):
        self.scene.generator.burst(500)
        a_while(0.02, 0.3)
        self.broker.kill()
        self.broker.start()
        self.scene.client.close()  # its connection is from before the fault

    def alarm(self):
        self.scene.generator.burst(500)
        self.broker.alarm(True)
        a_while(1, 10)
        self.broker.alarm(False)

    def delete_queue(self):
        # Only when the queue is empty, because its messages would be lost on purpose.
        self.scene.drain()
        self.scene.client.delete(received())
        self.scene.resume()

    def restart_mov(self):
        self.scene.mov.down(60)
        a_while(0.7, 2)
        self.scene.mov.up(60)

    def fill_disk(self):
        ballast = os.path.join(self.logs, "ballast")
        if os.path.exists(ballast):
            os.unlink(ballast)
        else:
            fill(ballast)

    FAULTS = ((kill_host, 6), (sigterm, 6), (cut, 6), (unreachable, 3), (delay, 2), (loss, 2), (half_open, 1), (freeze_way, 1),
              (freeze_broker, 1), (kill_broker, 1), (alarm, 1), (delete_queue, 2), (restart_mov, 2), (fill_disk, 2))

    def step(self):
        functions, weights = zip(*self.FAULTS)
        function, = random.choices(functions, weights)
        self.done[function.__name__] += 1
        try:
            function(self)
            self.scene.flows_again(time.monotonic(), 120)
        except (TimeoutError, AssertionError) as error:
            raise RuntimeError(f"{function.__name__}, after {dict(self.done)}: {error}") from error

    def heal(self):
        self.link.heal()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.logs, "ballast"))


def slope(samples):
    """Least squares: the growth for each unit of time."""
    count = len(samples)
    mean_x = sum(x for x, _ in samples) / count
    mean_y = sum(y for _, y in samples) / count
    spread = sum((x - mean_x) ** 2 for x, _ in samples)
    return sum((x - mean_x) * (y - mean_y) for x, y in samples) / spread if spread else 0.0


@fault("mix", "random mix of all of the above", 0, 0, needs=("haproxy", "ip", "ss", "mount", "umount"), needs_root=True)
def mix(broker, minutes, long, result):
    directory = tempfile.mkdtemp(prefix="valawai-host-")
    logs = os.path.join(directory, "logs")
    os.mkdir(logs)
    try:
        with Tmpfs(logs, 1024), Link() as link, Proxy(broker, link) as far, Proxy(broker) as near, Scene(broker) as scene:
            the = Mix(broker, scene, link, far, near, logs)
            the.start(directory)
            pid = the.survivor.pid
            scene.go()
            descriptors = the.survivor.fds()
            samples = []
            began = time.monotonic()
            while time.monotonic() - began < minutes * 60:
                the.step()
                result.faults += 1
                assert the.survivor.running(), f"the survivor ended with {the.survivor.process.returncode}"
                a_while(0.2, 1)
                samples.append(((time.monotonic() - began) / 60, the.survivor.rss() / 1024))
            the.heal()
            scene.flows_again(time.monotonic(), 120)
            wait_until(lambda: all(map(healthy, (the.survivor, the.other))), 60, "both are healthy again")
            scene.wait_registered([the.survivor, the.other], 20)
            result.check(the.survivor.pid == pid, "the survivor is another one")
            with contextlib.suppress(TimeoutError):
                wait_until(lambda: the.survivor.fds() <= descriptors, 5)
            open_now = the.survivor.fds()
            result.check(open_now <= descriptors, f"{open_now} file descriptors, {descriptors} before")
            settled = samples[len(samples) // 4:]  # buffers grow during the first faults
            growth = slope(settled)
            result.measure(f"{minutes:g} min; memory {settled[0][1] / 1024:.1f} MiB, then {settled[-1][1] / 1024:.1f} MiB, slope"
                           f" {growth:+.1f} KiB/min, peak {the.survivor.peak_rss() / 2**20:.1f} MiB")
            result.measure(", ".join(f"{name} {count}" for name, count in sorted(the.done.items())))
            result.check(growth * minutes < 1024, f"memory grows by {growth:.1f} KiB/min")
            scene.finish(result, duplicates_per_fault=2 * PREFETCH)
    finally:
        shutil.rmtree(directory, ignore_errors=True)

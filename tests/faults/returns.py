# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about messages that go back to their queue: a broker that counts that drops a message after a number of returns."""

import time

from broker import scaled, wait_until
from faults import a_while, fault, turns
from host import plugin, published, received
from net import Proxy
from scene import PREFETCH, Scene

SLOW = 'plugin slow {{ milliseconds = "{}" }}\n'



def spread(times, messages, seconds):
    """The pause between faults, so that they fall into the time that the messages take."""
    pause = 0.8 * messages * seconds / max(times, 1)
    return 0.5 * pause, 1.5 * pause


@fault("cut-slow", "connections cut, handler of 0.2 s", 30, 200, needs=("haproxy", "ss"), needs_root=True, waits=True)
def cut_slow(broker, times, long, result):
    with Proxy(broker) as proxy, Scene(broker, rate=0, component="slow") as scene:
        scene.host(plugins=(plugin("slow"),), via=proxy, conf=SLOW.format(200))
        scene.generator.burst(300)
        scene.generator.resume()
        for _ in turns(times):
            a_while(*spread(times, 300, 0.2))
            proxy.cut()
            result.faults += 1
        scene.finish(result, duplicates_per_fault=PREFETCH)


@fault("kill-slow", "`kill -9` host, handler of 0.2 s", 30, 100, waits=True)
def kill_slow(broker, times, long, result):
    with Scene(broker, rate=0, component="slow") as scene:
        host = scene.host(plugins=(plugin("slow"),), conf=SLOW.format(200))
        scene.generator.burst(300)
        scene.generator.resume()
        for _ in turns(times):
            a_while(*spread(times, 300, 0.2))
            host.kill9()
            result.faults += 1
            host.start()
        scene.wait_registered([host], 30)
        scene.finish(result, duplicates_per_fault=PREFETCH)

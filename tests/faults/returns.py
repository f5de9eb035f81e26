# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about returned messages: a broker that counts returns drops a message after a number of them."""

import contextlib
import json
import time

from broker import Broker, scaled, wait_until
from faults import a_while, fault, turns
from host import ECHO, plugin, published, received
from mov import COMPONENT_PAGE
from net import Proxy
from scene import GRACE, PREFETCH, Scene, said

SLOW = 'plugin slow {{ milliseconds = "{}" }}\n'



def spread(times, messages, seconds):
    """The pause between faults, so that they are spread over the time of the messages."""
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


TIMEOUT = 2  # seconds


@fault("consumer-timeout", "handlers slower than `consumer_timeout`", 2, 20, own_broker=True, waits=True)
def consumer_timeout(_broker, times, long, result):
    with Broker(conf={"consumer_timeout": str(TIMEOUT * 1000)}) as broker:
        if broker.version >= (4, 3) and broker.queue_type == "classic":
            result.inapplicable = "RabbitMQ 4.3 has no consumer timeout for classic queues"
            return
        broker.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 500).")
        with Scene(broker, rate=0, component="slow") as scene:
            other, other_sink = scene.stream("echo")
            host = scene.host(plugins=(plugin("slow"), ECHO), conf=SLOW.format(TIMEOUT * 2500))
            other.rate = 100
            other.resume()
            for turn in turns(times):
                scene.generator.burst(1)
                scene.generator.resume()
                wait_until(lambda expected=turn + 1: len(scene.sink.seen) == expected, 30, "the slow message is done")
            result.faults = len(said(host, "consumer_timeout"))
            slow = len(scene.sink.seen)
            result.check(result.faults >= slow > 0, f"{result.faults} consumer timeouts of {slow} messages")
            lost = said(host, "lost the")
            result.check(not lost, f"a connection was lost: {lost[:1]}")
            result.limit("longest gap of another topic", other_sink.longest_gap, 1.0)
            scene.finish(result, duplicates_per_fault=0)


BACKLOG = 20000


@fault("backlog", f"backlog of {BACKLOG:,}, broker `kill -9`", 1, 5)
def backlog(broker, times, long, result):
    with Scene(broker, rate=0) as scene:
        host = None

        def rate():
            """Messages a second, from the first echo of a new backlog to the last."""
            nonlocal host
            first = scene.sink.mark(filled)
            if host is None:
                host = scene.host()
            else:
                host.start()
                host.wait_healthy(60)
            began = first.wait(scaled(60))
            wait_until(lambda: not scene.generator.confirmed - scene.sink.seen.keys(), 900, "the backlog is gone", 0.1)
            result.check(host.stop(timeout=GRACE + 10) == 0, "no clean end")
            return BACKLOG / (scene.sink.last - began)

        def fill():
            scene.generator.burst(BACKLOG)
            scene.generator.resume()
            wait_until(lambda: len(scene.generator.confirmed) % BACKLOG == 0 and scene.generator.next % BACKLOG == 0
                       and scene.generator.next > filled, 300, "the backlog is there", 0.1)
            scene.generator.pause()

        ratios = []
        for _ in turns(times):
            rates = []
            for kills in (False, True):
                filled = scene.generator.next
                fill()
                scene.sink.count_gaps(False)
                if kills:
                    broker.kill()
                    broker.start()
                    result.faults += 1
                    wait_until(scene.sink.consuming.is_set, 20, "the sink consumes again")
                rates.append(rate())
            ratios.append(rates[1] / rates[0])
            result.measure(f"{rates[0]:,.0f} messages/s of a fresh backlog, {rates[1]:,.0f} after the kill")
        result.check(min(ratios) >= 0.5, f"{min(ratios):.2f} of the rate of a fresh backlog, less than 0.5")
        scene.client.close()  # its connection is from before the fault
        scene.finish(result)


STOPS_IN_HAND = 200


@fault("clean-stops", f"clean stop with {STOPS_IN_HAND} messages in hand", 5, 30)
def clean_stops(broker, times, long, result):
    topic = received("slow")
    counts_nack = broker.version < (4, 3)
    with Scene(broker, rate=0, component="slow") as scene:
        host = scene.host(plugins=(plugin("slow"),), conf=SLOW.format(300), wait=False)
        host.stop()
        put_back, counted = set(), 0
        for turn in turns(times):
            numbers = range(turn * STOPS_IN_HAND, (turn + 1) * STOPS_IN_HAND)
            host.start()
            host.wait_healthy(20)
            scene.client.publish(topic, *({"content": str(number)} for number in numbers))
            wait_until(lambda: scene.client.depth(topic) == 0, 10, "all is in hand")
            result.check(host.stop(timeout=GRACE + 10) == 0, "no clean end")
            result.faults += 1
            result.sent += len(numbers)
            # The returned messages are inspected and removed, so that the next ones are new.
            returned = list(_take_all(scene.client, topic))
            put_back.update(int(json.loads(body)["content"]) for _, body in returned)
            counted += sum("x-delivery-count" in (properties.headers or {}) for properties, _ in returned)
        time.sleep(0.3)  # a duplicate would come now
        echoed = set(scene.sink.seen)
        result.echoed = len(echoed)
        result.duplicated = sum(scene.sink.seen.values()) - len(echoed) + len(echoed & put_back)
        result.lost = result.sent - len(echoed | put_back)
        result.check(result.lost == 0, f"lost {result.lost}")
        result.check(result.duplicated == 0, f"{result.duplicated} were echoed and went back, or were echoed twice")
        result.check(len(put_back) > result.faults * STOPS_IN_HAND * 0.5, f"only {len(put_back)} were in hand at a stop")
        result.measure(f"{len(put_back)} went back, {counted} with a larger x-delivery-count")
        result.check(counts_nack or counted == 0, f"{counted} messages count a clean stop as a return")


FOREIGN = [f"another-{number}" for number in range(5)]  # queries of other components


@fault("foreign-answers", "answers for other components lie in the shared queue", 1, 1, own_broker=True, waits=True)
def foreign_answers(_broker, times, long, result):
    """A broker of its own: the queue is every component's. The MOV does not answer the host, so the host listens as long as it
    ever does."""
    seconds = 300 if long else 25
    with Broker() as broker, Scene(broker, rate=50, mov={"answers_queries": False}) as scene:
        host = scene.host()
        scene.go()
        scene.client.publish(COMPONENT_PAGE, *({"query_id": name, "total": 0, "offset": 0} for name in FOREIGN))
        result.faults += 1
        time.sleep(scaled(seconds))
        asked = len(scene.mov.queries)
        result.check(asked >= 2, f"the host asked {asked} times")
        result.check(host.stop(timeout=GRACE + 10) == 0, "no clean end")
        wait_until(lambda: scene.client.depth(COMPONENT_PAGE) == len(FOREIGN), 10, "the answers are back in their queue")
        left = list(_take_all(scene.client, COMPONENT_PAGE))
        result.check(sorted(json.loads(body)["query_id"] for _, body in left) == FOREIGN, f"left: {left}")
        looks = max((properties.headers or {}).get("x-delivery-count", 0) for properties, _ in left)
        result.measure(f"all there after {scaled(seconds):.0f} s and {asked} queries; x-delivery-count at most {looks}")
        host.start()
        scene.finish(result, duplicates_per_fault=PREFETCH)


def _take_all(client, topic):
    while True:
        method, properties, body = client.channel.basic_get(topic, auto_ack=True)
        if not method:
            return
        yield properties, body


@fault("poison", "a message that kills the host, quorum queue", 40, 40)
def poison(broker, times, long, result):
    if broker.queue_type != "quorum":
        result.inapplicable = "only quorum queues count the returns of a message"
        return
    topic, dead = received("deadly"), received("deadly") + "/dead"
    with Scene(broker, rate=0, component="deadly") as scene:
        scene.client.delete(dead)
        scene.generator.burst(50)
        scene.generator.resume()
        wait_until(lambda: len(scene.generator.confirmed) == 50, 20, "half of the others")
        scene.client.publish(topic, {"content": "deadly"})
        scene.generator.burst(50)
        wait_until(lambda: len(scene.generator.confirmed) == 100, 20, "the other half")
        host = scene.host(plugins=(plugin("deadly"),), wait=False, VALAWAI_ISOLATION="thread")

        def kept():
            with contextlib.suppress(Exception):  # the queue is made when it is needed
                return scene.client.depth(dead) == 1

        for _ in range(times):
            wait_until(lambda: not host.running() or kept(), 30, "the host dies, or the message is put aside")
            if host.running():
                break
            result.faults += 1
            host.start()
        result.check(kept(), f"killed the host {result.faults} times and is not among the dead letters")
        result.check(result.faults > 0, "the message has not killed the host")
        result.measure(f"put aside after {result.faults} kills")
        scene.wait_registered([host], 30)
        scene.finish(result, duplicates_per_fault=PREFETCH)
        scene.client.delete(dead)

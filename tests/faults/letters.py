# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows about dead letters: each rejected message is in TOPIC/dead, and returns from there in spite of kills."""

import os
import subprocess

import pika

from broker import wait_until
from faults import a_while, fault, turns
from host import BINARY, Client, Host, received

DEAD = received() + "/dead"
LETTERS = 500


def depth(client, topic):
    try:
        return client.depth(topic)
    except pika.exceptions.ChannelClosedByBroker:
        return 0


def account(result, bodies, count):
    """Compares the messages 0 to count - 1 with the result."""
    found = {int(body) for body in bodies}
    result.sent += count
    result.echoed += len(found)
    result.lost += len(set(range(count)) - found)
    result.duplicated += len(bodies) - len(found)
    result.check(result.lost == 0, f"lost {result.lost}")


@fault("dead-retry", "`dead retry` killed", 20, 200)
def dead_retry(broker, times, long, result):
    """At most one message is in both queues after each kill."""
    client = Client(broker)
    environment = {"PATH": os.environ["PATH"], **broker.environment()}
    client.declare(received(), DEAD)
    client.publish_many(DEAD, (b"%d" % number for number in range(LETTERS)))
    for _ in turns(times):
        process = subprocess.Popen([BINARY, "dead", "retry", received()], env=environment, cwd="/", stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        a_while(0.0, 0.2)
        process.kill()
        process.wait()
        result.faults += 1
    done = subprocess.run([BINARY, "dead", "retry", received()], env=environment, cwd="/", capture_output=True, text=True,
                          check=False)
    result.check(done.returncode == 0, f"the last retry ends with {done.returncode}: {done.stderr}")
    result.check(depth(client, DEAD) == 0, f"{depth(client, DEAD)} letters are left")
    account(result, client.drain(received()), LETTERS)
    result.check(result.duplicated <= result.faults, f"{result.duplicated} twice after {result.faults} kills")
    client.close()


@fault("dead-full", "queue of dead letters full, then emptied", 3, 30)
def dead_full(broker, times, long, result):
    """A record names each message that is rejected while the queue is full, and nothing else is lost."""
    client = Client(broker)
    client.declare(received(), DEAD)
    host = Host(broker, conf="host { dead_letters_max = 10 }\n", env={"LOG_FILE_MAX_BYTES": "0"}).start()
    host.wait_consuming()
    kept, count = [], 0
    for turn in turns(times):
        client.publish(received(), *(b"%d" % number for number in range(count, count + 15)))
        count += 15
        wait_until(lambda: said_of_loss(host) == 5 * (turn + 1), 20, "a record for each message that is not kept")
        wait_until(lambda: depth(client, DEAD) == 10, 10, "ten letters")
        kept += client.drain(DEAD)
        result.faults += 1
    result.check(host.stop() == 0, "the host does not stop well")
    result.check(kept == [b"%d" % number for number in range(count) if number % 15 < 10], "others are kept than the first ten")
    account(result, [b"%d" % number for number in range(len(kept))], len(kept))
    host.close()
    client.close()


def said_of_loss(host):
    return sum("a rejected message is dropped" in record.message for record in host.records())

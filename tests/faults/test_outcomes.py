# SPDX-License-Identifier: GPL-3.0-or-later
"""The outcome of single messages, and of a stop, during faults."""

import collections
import contextlib
import json
import os
import re
import select
import signal
import socket
import struct
import threading
import time

import pytest

from broker import Broker, scaled, wait_until
from host import ECHO, Client, Host, plugin, published, received, registered
from mov import MovStandIn

from conftest import in_a_thread, plain_build

HEALTH = os.path.join("logs", "component_id.json")


def content(body):
    return json.loads(body)["content"]


def contents(bodies):
    return [content(body) for body in bodies]


@pytest.fixture
def dead_letters(broker, client):
    """An operator's policy sends rejected messages to the queue `dead`."""
    client.declare("dead")
    broker.ctl("set_policy", "dead", "received_message$", '{"dead-letter-exchange":"","dead-letter-routing-key":"dead"}',
               "--apply-to", "queues")
    yield "dead"
    broker.ctl("clear_policy", "dead")


# --- verdicts ---------------------------------------------------------------------------------------------------------


def test_retries_wait_longer_and_longer_keep_the_order_and_end(new_host, broker, mov, client, dead_letters):
    host = new_host(broker, plugins=(plugin("retry"), ECHO),
                    conf='host { attempts = 4  dead_letters = broker }\nplugin retry { attempt = "100" }\n').start()
    host.wait_healthy()
    client.declare(published())
    client.publish(received("retry"), {"content": "first"}, {"content": "second"})
    client.publish(received(), {"content": "meanwhile"})
    assert contents(client.collect(published(), 1, 2)) == ["meanwhile"]  # another plugin is not delayed
    assert contents(client.collect(dead_letters, 2, 20)) == ["first", "second"]
    assert host.stop() == 0
    attempts = [record for record in host.records() if record.message.startswith("attempt ")]
    assert [("first" in record.message, record.message.split()[1].rstrip(":,;")) for record in attempts] == [
        (first, str(attempt)) for first in (True, False) for attempt in (1, 2, 3, 4)]
    times = [time.mktime(time.strptime(record.time[:19], "%Y-%m-%d %H:%M:%S")) + int(record.time[20:]) / 1000
             for record in attempts]
    for first in (0, 4):
        pauses = [after - before for before, after in zip(times[first:], times[first + 1:first + 4])]
        assert pauses[0] < pauses[2]  # the second pause may be close to either
    assert client.depth(received("retry")) == 0
    mov.wait_for(lambda mov: sum(log["level"] == "ERROR" for log in mov.logs) == 2)


class Tap:
    """A proxy between host and broker that counts the deliveries by the messages' contents."""

    def __init__(self, broker):
        self._broker = broker
        self._server = socket.create_server(("127.0.0.1", 0))
        self.delivered = collections.Counter()
        threading.Thread(target=self._accept, daemon=True).start()

    def environment(self):
        return {"RABBITMQ_PORT": str(self._server.getsockname()[1])}

    def close(self):
        self._server.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near):
        with near, socket.create_connection((self._broker.host, self._broker.port)) as far, contextlib.suppress(OSError):
            said, delivering = b"", set()
            while True:
                for readable in select.select([near, far], [], [])[0]:
                    data = readable.recv(65536)
                    if not data:
                        return
                    (far if readable is near else near).sendall(data)
                    if readable is far:
                        said = self._frames(said + data, delivering)

    def _frames(self, said, delivering):
        while len(said) >= 7:
            kind, channel, size = struct.unpack(">BHI", said[:7])
            if len(said) < size + 8:
                break
            payload, said = said[7:7 + size], said[8 + size:]
            if kind == 1 and payload[:4] == struct.pack(">HH", 60, 60):  # basic.deliver
                delivering.add(channel)
            elif kind == 3 and channel in delivering:  # its body; ours fit into one frame
                delivering.remove(channel)
                self.delivered[payload] += 1
        return said


@in_a_thread
def test_a_message_that_kills_the_host_dies_alone(new_host, broker, mov, client):
    """At first other messages are delivered with it. Each start settles some messages before it, and when it is the first of
    its queue it comes alone."""
    client.declare(received("deadly"), published("deadly"))
    names = [f"before {number}" for number in range(5)] + ["deadly"] + [f"after {number}" for number in range(50)]
    client.publish(received("deadly"), *({"content": name} for name in names))
    tap = Tap(broker)

    def handed_out():
        return collections.Counter({content(body): count for body, count in tap.delivered.items()
                                    if body.startswith(b'{"content"')})

    try:
        host = new_host(broker, plugins=(plugin("deadly"),), env=tap.environment())
        for start in range(1, 8):  # the first one, one for each message in front of it, and one more
            before = handed_out()
            host.start()
            assert host.exit_status(20) == 70
            assert handed_out()["deadly"] == start
            if handed_out() - before == {"deadly": 1}:
                break
        else:
            pytest.fail(f"it never comes alone: {handed_out()}")
        # Another client takes it out.
        found = []
        while "deadly" not in found:
            method, _, body = client.channel.basic_get(received("deadly"))
            assert method, found
            found.append(content(body))
            if found[-1] == "deadly":
                client.channel.basic_ack(method.delivery_tag)
        client.close()  # unacknowledged messages return
        host.start()
        left = set(names) - {"deadly"}
        done = set()
        def take():
            done.update(contents(client.drain(published("deadly"))))
            return done == left
        host.wait(take, 20, "all the others")
    finally:
        tap.close()


@pytest.fixture
def impatient_broker(broker):
    """Takes a message back from a client that holds it for two seconds."""
    def evaluate(*settings):
        broker.ctl("eval", ", ".join(f"application:{setting}" for setting in settings) + ".")
    evaluate("set_env(rabbit, consumer_timeout, 2000)", "set_env(rabbit, channel_tick_interval, 500)")
    yield broker
    evaluate("set_env(rabbit, consumer_timeout, 1800000)", "set_env(rabbit, channel_tick_interval, 60000)")  # as it was


def test_a_handler_that_takes_long_is_named(new_host, broker, mov, client):
    host = new_host(broker, plugins=(plugin("slow"),),
                    conf='host { slow_seconds = 1 }\nplugin slow { milliseconds = "3000" }\n').start()
    host.wait_healthy()
    client.declare(published("slow"))
    client.publish(received("slow"), {"content": "x"})
    host.wait_record("busy with one message", level="WARNING")
    client.collect(published("slow"), 1, 10)
    assert len([record for record in host.records() if "busy with one message for 1 s" in record.message]) == 1


def test_longer_than_the_brokers_consumer_timeout(new_host, impatient_broker, mov, client):
    """The broker takes the message back during its handling; the verdict counts for the redelivered copy."""
    broker = impatient_broker
    client.declare(published("slow"), published())
    host = new_host(broker, plugins=(plugin("slow"), ECHO), conf='plugin slow { milliseconds = "5000" }\n').start()
    host.wait_consuming()
    client.publish(received("slow"), {"content": "0"}, {"content": "1"})
    host.wait_record("working")
    for number in range(10):  # the others continue meanwhile
        client.publish(received(), {"content": str(number)})
    assert contents(client.collect(published(), 10, 5)) == [str(number) for number in range(10)]
    assert contents(client.collect(published("slow"), 2, 40)) == ["0", "1"]
    with pytest.raises(TimeoutError):
        client.collect(published("slow"), 1, 4)
    assert host.stop() == 0
    assert client.depth(received("slow")) == client.depth(published("slow")) == 0
    assert len([record for record in host.records() if "working" in record.message]) == 2  # each was handled once
    assert any("timeout" in record.message.lower() for record in host.records())  # the timeout did occur


def test_publications_to_a_queue_that_was_deleted_are_not_lost(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    for turn in range(3):
        client.delete(published())
        client.publish(received(), *({"content": f"{turn} {number}"} for number in range(20)))
        wait_until(lambda: exists(broker, published()), 10, "the queue is back")
        assert set(contents(client.collect(published(), 20, 20))) == {f"{turn} {number}" for number in range(20)}
    assert host.stop() == 0
    assert client.depth(received()) == client.depth(published()) == 0


def exists(broker, topic):
    client = Client(broker)
    try:
        client.depth(topic)
        return True
    except Exception:  # every kind of "no such queue"
        return False
    finally:
        client.close()


def test_a_full_queue_refuses_for_now(new_host, broker, mov, client):
    """basic.nack: the messages wait in the host, and none is lost or duplicated when there is room again."""
    client.declare(published())
    broker.ctl("set_policy", "small", f"^{published()}$", '{"max-length":5,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        host = new_host(broker).start()
        host.wait_healthy()
        client.publish(received(), *({"content": str(number)} for number in range(30)))
        wait_until(lambda: client.depth(published()) >= 5, 10, "the queue is full")
        time.sleep(1)
        assert client.depth(published()) < 30 and os.path.exists(host.path(HEALTH))
        found = contents(client.collect(published(), 30, 20))
        assert sorted(found, key=int) == [str(number) for number in range(30)]
        assert host.stop() == 0
        assert client.depth(received()) == client.depth(published()) == 0
    finally:
        broker.ctl("clear_policy", "small")


@contextlib.contextmanager
def largest_message(broker, limit):
    """The broker reads the limit when an AMQP channel opens, so a waiting message may be larger than the limit."""
    set_it = "application:set_env(rabbit, max_message_size, {0}), persistent_term:put(max_message_size, {0})."
    size = broker.ctl("eval", "rabbit_misc:get_env(rabbit, max_message_size, 134217728).").strip()
    broker.ctl("eval", set_it.format(limit))
    try:
        yield
    finally:
        broker.ctl("eval", set_it.format(size))


def test_a_publication_that_the_broker_never_takes(new_host, broker, mov, client, dead_letters):
    """Its message is rejected; the other messages and the other plugin go on."""
    client.declare(received(), published(), published("other"))
    client.publish(received(), *({"content": str(number)} for number in range(75)), {"content": "x" * 100000},
                   *({"content": str(number)} for number in range(75, 150)))
    with largest_message(broker, 50000):
        host = new_host(broker, plugins=(ECHO, plugin("other")), env={"LOG_FILE_LEVEL": "INFO"}).start()
        done = set()  # messages in flight beside it may come twice
        def take():
            done.update(contents(client.drain(published())))
            return done == set(map(str, range(150)))
        host.wait(take, 10, "all the others")  # one a second would be two minutes
        assert contents(client.collect(dead_letters, 1, 10)) == ["x" * 100000]
        client.publish(received("other"), {"content": "on"})
        assert contents(client.collect(published("other"), 1, 10)) == ["on"]
        host.wait_healthy(20)
        assert host.stop() == 0
        assert client.depth(received()) == 0


def test_a_record_that_the_broker_never_takes(new_host, broker, mov, client, dead_letters):
    """It contains its message, quoted again, and does not affect that message."""
    client.declare(received(), published())
    with largest_message(broker, 50000):
        client.close()
        host = new_host(broker).start()
        host.wait_healthy()
        bodies = ['"' * 15000] * 5
        client.publish(received(), *({"content": body} for body in bodies))
        assert contents(client.collect(published(), len(bodies), 20)) == bodies
        time.sleep(0.5)
        assert host.stop() == 0
        assert "lost the" not in host.console
    assert client.depth(received()) == client.depth(dead_letters) == client.depth(published()) == 0


def test_a_plugin_with_refused_publications_delays_no_other(new_host, broker, mov, client):
    """They fill the common outbox."""
    client.declare(received("verdict"), published("verdict"), received("other"), published("other"))
    broker.ctl("set_policy", "full", "^valawai/c1/verdict/data/publish_message$",
               '{"max-length":1,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        host = new_host(broker, plugins=(plugin("verdict"), plugin("other")),
                        conf="host { outbox_max_bytes = 16384 }\n").start()
        host.wait_healthy()
        client.publish(received("verdict"), *({"content": "x" * 4000} for _ in range(20)))
        host.wait(lambda: client.depth(published("verdict")) >= 1, 10, "a full queue")
        time.sleep(1)  # the outbox is full, too
        client.publish(received("other"), *({"content": "y" * 4000} for _ in range(10)))
        assert len(client.collect(published("other"), 10, 20)) == 10
    finally:
        broker.ctl("clear_policy", "full")
    done = []
    def take():
        done.extend(client.drain(published("verdict")))
        return len(done) == 20
    host.wait(take, 20, "what waited")
    assert host.stop() == 0


def test_what_is_in_hand_outlives_its_queue(new_host, broker, mov, client):
    """An operator deletes the queue: its messages are lost with it, but delivered ones are handled."""
    client.declare(published("later"))
    host = new_host(broker, plugins=(plugin("later"),), conf='plugin later { milliseconds = "50" }\n').start()
    host.wait_healthy()
    client.publish(received("later"), {"content": "the first one comes alone"})
    client.collect(published("later"), 1, 10)
    client.publish(received("later"), *({"content": str(number)} for number in range(30)))
    wait_until(lambda: client.depth(received("later")) == 0, 10, "all is handed out")
    client.delete(received("later"))
    host.wait_record("consuming again", 10)
    client.publish(received("later"), {"content": "of the new queue"})
    assert contents(client.collect(published("later"), 31, 20)) == [*map(str, range(30)), "of the new queue"]
    assert host.stop() == 0
    assert client.depth(received("later")) == 0 and "lost the" not in host.console


# --- stopping ---------------------------------------------------------------------------------------------------------


def busy(new_host, broker, client, grace):
    host = new_host(broker, plugins=(plugin("slow"),),
                    conf=f'host {{ grace_seconds = {grace} }}\nplugin slow {{ milliseconds = "600000" }}\n').start()
    host.wait_healthy()
    client.publish(received("slow"), {"content": "stuck"})
    host.wait_record("working")
    return host


def test_a_stuck_handler_does_not_hold_up_the_end(new_host, broker, mov, client):
    host = busy(new_host, broker, client, grace=1)
    began = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - began < scaled(4)
    wait_until(lambda: client.depth(received("slow")) == 1, 5, "the message is back in its queue")
    mov.wait_for(lambda mov: not mov.active())


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM),
                                           (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_ends_at_once(new_host, broker, mov, client, first, second):
    host = busy(new_host, broker, client, grace=60)
    host.send_signal(first)
    host.wait_record("stopping on")
    time.sleep(0.2)  # the stop has begun, and waits for the handler
    assert host.running()
    began = time.monotonic()
    assert host.stop(second) == 1
    assert time.monotonic() - began < scaled(0.5)
    wait_until(lambda: client.depth(received("slow")) == 1, 5, "the message is back in its queue")


@in_a_thread  # a worker that starts delays no stop
def test_a_second_signal_ends_at_once_also_while_a_plugin_starts(new_host, broker):
    host = new_host(broker, plugins=(plugin("slow"),),
                    conf='host { grace_seconds = 60 }\nplugin slow { start = "600000" }\n').start()
    host.wait_record("starting for")
    host.send_signal(signal.SIGTERM)
    host.wait_record("stopping on")
    time.sleep(0.2)
    assert host.running()
    began = time.monotonic()
    assert host.stop(signal.SIGTERM) == 1
    assert time.monotonic() - began < scaled(0.5)


def test_a_stop_inside_an_alarm(new_host, broker, mov, client):
    """No publication is confirmed, but the stop ends in time, and unacknowledged messages are redelivered."""
    grace = 2
    host = new_host(broker, conf=f"host {{ grace_seconds = {grace} }}\n", env={"LOG_FILE_LEVEL": "WARNING"}).start()
    host.wait_healthy()
    client.declare(published())
    names = {str(number) for number in range(500)}
    host.send_signal(signal.SIGSTOP)  # so that there is work when the alarm comes
    try:
        client.publish_many(received(), ({"content": name} for name in sorted(names)))
        client.close()
        broker.alarm(True)
    finally:
        host.send_signal(signal.SIGCONT)
    try:
        host.wait_record("alarm")
        time.sleep(0.5)
        began = time.monotonic()
        assert host.stop(timeout=grace + 10) == 0
        assert time.monotonic() - began < scaled(grace + 3)
        assert not os.path.exists(host.path(HEALTH))
    finally:
        broker.alarm(False)
    found = set()
    def all_there():
        found.update(contents(client.drain(published())))
        found.update(contents(client.drain(received())))
        return found == names
    wait_until(all_there, 10, "what was not handled is back in its queue")


# --- memory -----------------------------------------------------------------------------------------------------------


@plain_build
def test_memory_does_not_grow_with_the_messages(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_FILE_LEVEL": "WARNING", "LOG_CONSOLE_LEVEL": "WARNING"}).start()
    host.wait_healthy()
    client.declare(published())
    sizes = []
    for _ in range(8):
        client.publish_many(received(), ({"content": str(number)} for number in range(1000)))
        client.collect(published(), 1000, 30)
        sizes.append(host.rss())
    assert sizes[-1] - sizes[1] < 512 * 1024, sizes  # buffers grow during the first thousands


# --- refusals of the broker -----------------------------------------------------------------------------------------------


def test_a_broker_that_takes_nothing_from_us(new_host, broker, mov, client):
    """The user may not publish, which ends the publishing connection each time. The host reconnects with growing pauses, and
    continues as soon as the permission is granted."""
    client.declare(received(), published())
    broker.ctl("add_user", "mute", "password")
    try:
        broker.ctl("set_permissions", "mute", ".*", "^nothing$", ".*")
        host = new_host(broker, env={"RABBITMQ_USERNAME": "mute"}).start()
        host.wait_consuming()
        client.publish(received(), *({"content": str(number)} for number in range(20)))
        host.wait_record("403")
        time.sleep(5)
        lost = [record for record in host.records() if "lost the publishing connection" in record.message]
        assert len(lost) <= 25  # first a tenth of a second apart, then up to half a second
        assert not os.path.exists(host.path(HEALTH))
        assert client.drain(published()) == []
        broker.ctl("set_permissions", "mute", ".*", ".*", ".*")
        host.wait_healthy()
        assert contents(client.collect(published(), 20, 10)) == [str(number) for number in range(20)]
        assert host.stop() == 0
        assert client.depth(received()) == client.depth(published()) == 0
    finally:
        broker.ctl("delete_user", "mute")


def one_topic_is_not_to_be_had(host, broker, client, code):
    """Reported once, and the other plugin continues."""
    host.wait_record(rf"{received('other')}.*\b{code}\b")
    client.publish(received(), {"content": "meanwhile"})
    assert contents(client.collect(published(), 1, 5)) == ["meanwhile"]
    time.sleep(4)  # some more attempts
    assert len([record for record in host.records() if re.search(rf"\b{code}\b", record.message) and record.level != "DEBUG"]) == 1
    assert not os.path.exists(host.path(HEALTH))
    assert not any("lost the" in record.message for record in host.records())


def test_a_queue_with_other_arguments(new_host, broker, mov, client):
    """406 for one topic."""
    client.declare(published(), published("other"))
    client.channel.queue_declare(received("other"), durable=True, arguments={"x-max-length": 1000})
    host = new_host(broker, plugins=(ECHO, plugin("other"))).start()
    one_topic_is_not_to_be_had(host, broker, client, 406)
    client.delete(received("other"))
    host.wait_healthy(20)
    client.publish(received("other"), {"content": "on"})
    assert contents(client.collect(published("other"), 1, 5)) == ["on"]
    host.wait_record("consuming again")


def test_a_queue_that_we_may_not_read(new_host, broker, mov, client):
    """403 for one topic."""
    client.declare(published(), published("other"))
    broker.ctl("add_user", "blind", "password")
    try:
        broker.ctl("set_permissions", "blind", ".*", ".*", "^(?!valawai/c1/other/data/received)")
        host = new_host(broker, plugins=(ECHO, plugin("other")), env={"RABBITMQ_USERNAME": "blind"}).start()
        one_topic_is_not_to_be_had(host, broker, client, 403)
        broker.ctl("set_permissions", "blind", ".*", ".*", ".*")
        host.wait_healthy(20)
        client.publish(received("other"), {"content": "on"})
        assert contents(client.collect(published("other"), 1, 5)) == ["on"]
        assert host.stop() == 0
    finally:
        broker.ctl("delete_user", "blind")


def test_quorum_queues_by_the_virtual_hosts_default(new_host):
    """The default queue type replicates every queue: no declaration names a type, and all are quorum queues."""
    with Broker() as broker:
        broker.ctl("delete_vhost", "/")
        broker.ctl("add_vhost", "/", "--default-queue-type", "quorum")
        broker.ctl("set_permissions", "-p", "/", broker.username, ".*", ".*", ".*")
        mov, client = MovStandIn(broker).start(), Client(broker)
        try:
            host = new_host(broker).start()
            first = host.wait_healthy(20)["id"]
            kinds = dict(line.split("\t") for line in broker.ctl("list_queues", "name", "type").splitlines() if "valawai" in line)
            assert kinds[received()] == kinds[published()] == kinds[registered()] == "quorum"
            client.publish(received(), *({"content": str(number)} for number in range(500)))
            assert contents(client.collect(published(), 500, 20)) == [str(number) for number in range(500)]
            for end in (broker.stop, broker.kill):
                client.publish(received(), *({"content": str(number)} for number in range(500)))
                client.close()
                end()
                wait_until(lambda: not os.path.exists(host.path(HEALTH)), 5, "the health file goes")
                broker.start()
                done = set()
                def all_there():
                    done.update(contents(client.drain(published())))
                    return len(done) == 500
                host.wait(all_there, 20, "what lay in the queues is echoed")
                host.wait_healthy(20)
            mov.wait_for(lambda mov: [component["id"] for component in mov.active()] == [host.health()["id"]])
            assert first not in [component["id"] for component in mov.active()] or len(mov.registered) == 1
            assert host.stop() == 0
            assert client.depth(received()) == client.depth(published()) == client.depth(registered()) == 0
        finally:
            client.close()
            mov.stop()


# --- replicas ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stale", [False, True])
def test_two_replicas_that_start_together(broker, mov, client, stale):
    """Both read one queue for the MOV's answers; each takes one, and none takes an old one."""
    client.declare(registered())
    hosts = [Host(broker), Host(broker)]
    slowest = 0.0
    try:
        for turn in range(10):
            old = f"{turn:024x}"
            if stale:
                client.publish(registered(), {"id": old, "name": "c1_echo", "description": "", "version": "1.0.0",
                                              "api_version": "1.0.0", "type": "C1", "since": 1, "channels": []})
            began = time.monotonic()
            for host in hosts:
                host.start()
            ids = [host.wait_healthy(30)["id"] for host in hosts]
            slowest = max(slowest, time.monotonic() - began)
            assert sorted(ids) == sorted(component["id"] for component in mov.active())
            assert len(set(ids)) == 2 and old not in ids
            if stale:
                mov.wait_for(lambda mov: old in mov.unknown)
            for host in hosts:
                assert host.stop() == 0
            mov.wait_for(lambda mov: not mov.active())
            assert client.depth(registered()) == 0
        print(f"both registered within {slowest:.2f} s")
    finally:
        for host in hosts:
            host.close()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Dead letters: a rejected message is in TOPIC/dead, with its reason, and no fault loses it."""

import contextlib
import datetime
import json
import socket
import time

import pika
import pytest

from broker import Broker, Unavailable, scaled, wait_until
from host import Client, ECHO, plugin, published, received
from mov import MovStandIn

PREFIX = "valawai-dead-"


def dead(component="echo"):
    return received(component) + "/dead"


def client_has(client, topic, count=1):
    try:
        return client.depth(topic) >= count
    except pika.exceptions.ChannelClosedByBroker:
        return False


def letters(client, count, component="echo", timeout=10):
    wait_until(lambda: client_has(client, dead(component)), timeout, "the queue of dead letters")
    return client.collect_messages(dead(component), count, timeout)


def start(new_host, broker, name="echo", conf=None, **more):
    host = new_host(broker, plugins=(ECHO if name == "echo" else plugin(name),), conf=conf, **more).start()
    host.wait_healthy()
    return host


@pytest.mark.parametrize("name, conf, body, reason, detail, attempts", [
    ("echo", None, b"not JSON", "invalid", "not JSON", 0),
    ("echo", None, b'{"contents":"x"}', "invalid", "AsyncAPI", 0),
    ("verdict", None, b'{"content":"wrong"}', "wrong", "the whole thing is wrong", 1),
    ("verdict", None, b'{"content":"failed"}', "failed", "the disk is 100% full", 1),
    ("verdict", None, b'{"content":"silent"}', "wrong", None, 1),
    ("retry", 'plugin retry { attempt = "100"  attempts = 2 }\n', b'{"content":"never"}', "attempts", None, 2),
], ids=lambda value: value.decode() if isinstance(value, bytes) else "")
def test_a_rejected_message_is_kept_with_its_reason(new_host, broker, mov, client, name, conf, body, reason, detail, attempts):
    host = start(new_host, broker, name, conf)
    before = int(time.time())
    client.channel.basic_publish("", received(name), body, pika.BasicProperties(
        content_type="application/json", delivery_mode=1, message_id="m-1", correlation_id="c-1", timestamp=12, type="t",
        headers={"own": {"deep": [1, "x"]}, "traceparent": "00-1-2-01"}), mandatory=True)
    (properties, letter), = letters(client, 1, name, 20)
    assert letter == body
    assert (properties.content_type, properties.message_id, properties.correlation_id, properties.timestamp,
            properties.type) == ("application/json", "m-1", "c-1", 12, "t")
    assert properties.delivery_mode == 2  # persistent
    assert properties.headers.pop("own") == {"deep": [1, "x"]}
    assert properties.headers.pop("traceparent") == "00-1-2-01"
    said = {key.removeprefix(PREFIX): value for key, value in properties.headers.items()}
    stamp = said.pop("time")
    stamp = stamp.replace(tzinfo=datetime.timezone.utc).timestamp() if isinstance(stamp, datetime.datetime) else stamp
    assert before <= stamp <= time.time()
    told = said.pop("detail", None)
    assert (told is None) == (detail is None) and (detail is None or detail in told)
    assert said == {"reason": reason, "component": f"c1_{name}", "attempts": attempts, "host": socket.gethostname()}
    assert f"rejected a message of {received(name)}" in host.wait_record("rejected", level="ERROR").message
    assert host.stop() == 0
    assert client.depth(received(name)) == client.depth(dead(name)) == 0


@pytest.mark.parametrize("release", ["trixie", "forky"])
def test_the_delivery_limit(new_host, release):
    """The broker would drop the message at its next return."""
    try:
        node = Broker(release=release, queue_type="quorum")
    except Unavailable as error:
        pytest.skip(str(error))
    with node, contextlib.closing(Client(node)) as client, MovStandIn(node):
        client.declare(received())
        client.publish(received(), {"content": "x"})
        for _ in range(20):
            method = wait_until(lambda: client.channel.basic_get(received())[0], 10, "the message")
            client.channel.basic_reject(method.delivery_tag, requeue=True)
        host = start(new_host, node)
        (properties, body), = letters(client, 1)
        assert json.loads(body) == {"content": "x"}
        assert properties.headers[PREFIX + "reason"] == "delivery-limit"
        assert "x-delivery-count" not in properties.headers
        assert host.stop() == 0
        assert client.depth(received()) == 0 and client.depth(published()) == 0


def test_a_message_without_properties(new_host, broker, mov, client):
    start(new_host, broker)
    client.publish(received(), b"[]")
    (properties, body), = letters(client, 1)
    assert body == b"[]" and properties.content_type == "application/json"
    assert all(name.startswith(PREFIX) for name in properties.headers)


def test_what_would_harm_a_letter_becomes_a_header(new_host, broker, mov, client):
    start(new_host, broker)
    client.declare("valawai/c1/other/data/bystander")
    client.channel.basic_publish("", received(), b"[]", pika.BasicProperties(
        expiration="60000", user_id=broker.environment()["RABBITMQ_USERNAME"],
        headers={"CC": ["valawai/c1/other/data/bystander"]}), mandatory=True)
    (properties, _), = letters(client, 1)
    assert properties.expiration is None and properties.user_id is None
    assert properties.headers[PREFIX + "expiration"] == "60000"
    assert properties.headers[PREFIX + "user-id"] == broker.environment()["RABBITMQ_USERNAME"]
    assert client.depth("valawai/c1/other/data/bystander") == 1  # only its first delivery


def test_with_broker_nothing_is_moved(new_host, broker, mov, client):
    host = start(new_host, broker, conf="host { dead_letters = broker }\n")
    client.publish(received(), b"[]")
    host.wait_record("rejected a message", level="ERROR")
    assert host.stop() == 0
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        client.depth(dead())


def test_a_full_queue_of_dead_letters(new_host, broker, mov, client):
    host = start(new_host, broker, conf="host { dead_letters_max = 3 }\n")
    client.declare(published())
    client.publish(received(), *(b"[%d]" % number for number in range(5)), {"content": "after"})
    assert client.collect(published(), 1) == [b'{"content": "after"}']
    assert "dead_letters_max" in host.wait_record("rejected message is dropped", level="ERROR").message
    wait_until(lambda: client.depth(dead()) == 3, 10, "three dead letters")
    assert [body for _, body in letters(client, 3)] == [b"[0]", b"[1]", b"[2]"]
    client.publish(received(), b"[6]")  # there is room again
    assert [body for _, body in letters(client, 1)] == [b"[6]"]
    assert host.stop() == 0
    assert len([record for record in host.records() if "rejected message is dropped" in record.message]) == 2
    assert client.depth(received()) == 0


def test_a_queue_with_other_arguments_serves_as_well(new_host, broker, mov, client):
    client.channel.queue_declare(dead(), durable=True, arguments={"x-max-length": 50})
    start(new_host, broker)
    client.publish(received(), b"[]")
    assert [body for _, body in letters(client, 1)] == [b"[]"]


def test_a_queue_that_cannot_be_declared(new_host, broker, mov, client):
    """Another connection has the queue exclusively."""
    owner = broker.connect()
    owner.channel().queue_declare(dead(), exclusive=True)
    host = start(new_host, broker)
    client.declare(published())
    client.publish(received(), b"[]", {"content": "after"})
    assert client.collect(published(), 1) == [b'{"content": "after"}']
    assert "cannot be declared" in host.wait_record("a rejected message is dropped", level="ERROR").message
    assert "RESOURCE_LOCKED" in host.wait_record("the queue of dead letters", level="ERROR").message
    assert host.stop() == 0
    assert client.depth(received()) == 0
    owner.close()


def test_a_queue_that_takes_no_more(new_host, broker, mov, client):
    """The letter is published again for a while; then its message is rejected. Other messages are handled meanwhile."""
    client.channel.queue_declare(dead(), durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    client.publish(dead(), b"there")
    host = start(new_host, broker)
    client.declare(published())
    client.publish(received(), b"[]", {"content": "after"})
    assert client.collect(published(), 1) == [b'{"content": "after"}']
    assert "refuses it as a dead letter" in host.wait_record("rejected message is dropped", level="ERROR", timeout=30).message
    assert host.stop() == 0
    assert client.depth(received()) == 0


def test_the_queue_is_deleted_between_two_letters(new_host, broker, mov, client):
    start(new_host, broker)
    client.publish(received(), b"[1]")
    letters(client, 1)
    client.delete(dead())
    client.publish(received(), b"[2]")
    assert [body for _, body in letters(client, 1)] == [b"[2]"]


def test_many_letters_at_once_keep_their_order(new_host, broker, mov, client):
    host = start(new_host, broker, env={"LOG_CONSOLE_LEVEL": "CRITICAL", "LOG_FILE_LEVEL": "CRITICAL"})
    client.publish_many(received(), (b"[%d]" % number for number in range(3000)))
    assert [body for _, body in letters(client, 3000, timeout=60)] == [b"[%d]" % number for number in range(3000)]
    assert host.stop() == 0
    assert client.depth(received()) == 0


def test_a_killed_host_loses_no_letter(new_host, broker, mov, client):
    """Kills at random moments between the move and the acknowledgement: each message exists once or twice."""
    count = 400
    client.declare(received(), dead())
    client.publish_many(received(), (b"[%d]" % number for number in range(count)))
    for delay in (0.0, 0.01, 0.02, 0.04, 0.08):
        host = new_host(broker, env={"LOG_CONSOLE_LEVEL": "CRITICAL", "LOG_FILE_LEVEL": "INFO"}).start()
        host.wait_consuming()
        time.sleep(delay)  # a random moment for the kill
        host.kill9()
    host = start(new_host, broker, env={"LOG_CONSOLE_LEVEL": "CRITICAL", "LOG_FILE_LEVEL": "CRITICAL"})
    bodies = []
    wait_until(lambda: bodies.extend(client.drain(dead())) or len(set(bodies)) == count, 30, "every letter")
    assert host.stop() == 0
    numbers = [json.loads(body)[0] for body in bodies + client.drain(dead())]
    assert set(numbers) == set(range(count))
    assert len(numbers) <= count + 5 * 200  # the prefetch, for each kill
    assert client.depth(received()) == 0


def test_a_broker_that_restarts_keeps_them(new_host, broker, mov, client):
    host = start(new_host, broker)
    client.channel.basic_publish("", received(), b"[]", pika.BasicProperties(delivery_mode=1), mandatory=True)
    wait_until(lambda: client_has(client, dead(), 1), 10, "the letter")
    assert host.stop() == 0
    client.close()
    broker.restart()
    assert [body for _, body in letters(client, 1, timeout=scaled(10))] == [b"[]"]


@pytest.mark.parametrize("payloads", ["full", "none"])
def test_payloads_stay_out_of_the_records(new_host, broker, mov, client, payloads):
    host = start(new_host, broker, conf=f"log {{ payloads = {payloads} }}\n")
    client.publish(received(), b'["the name of a patient"]', b'{"content":{"name":"the name of a patient"}}')
    assert len(letters(client, 2)) == 2
    mov.wait_for(lambda mov: len([log for log in mov.logs if "rejected" in log["message"]]) == 2)
    assert host.stop() == 0
    told = host.console + "".join(str(record) for record in host.records()) + json.dumps(mov.logs)
    assert ("the name of a patient" in told) == (payloads == "full")

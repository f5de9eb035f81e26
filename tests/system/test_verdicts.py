# SPDX-License-Identifier: GPL-3.0-or-later
"""The effect of a handler's verdict on a message, and the results of publish."""

import json

import pytest

from host import plugin, published, received


def start(new_host, broker, name, conf=None):
    host = new_host(broker, plugins=(plugin(name),), conf=conf).start()
    host.wait_healthy()
    return host


def test_done_publishes(new_host, broker, mov, client):
    start(new_host, broker, "verdict")
    client.declare(published("verdict"))
    client.publish(received("verdict"), {"content": "done"})
    assert client.collect(published("verdict"), 1) == [b'{"content": "done"}']


@pytest.mark.parametrize("verdict, reason", [
    ("wrong", "the whole thing is wrong"), ("failed", "the disk is 100% full"), ("silent", ""), ("unknown", "42")])
def test_any_other_verdict_publishes_nothing_and_rejects(new_host, broker, mov, client, verdict, reason):
    host = start(new_host, broker, "verdict")
    client.declare(published("verdict"))
    client.publish(received("verdict"), {"content": verdict}, {"content": "done"})
    assert client.collect(published("verdict"), 1) == [b'{"content": "done"}']
    assert reason in host.wait_record(reason, level="ERROR").message
    mov.wait_for(lambda mov: any(log["level"] == "ERROR" and reason in log["message"] for log in mov.logs))
    assert host.stop() == 0
    assert client.depth(received("verdict")) == 0


def test_rejected_messages_reach_a_dead_letter_queue(new_host, broker, mov, client):
    """An operator's policy; the host itself declares no arguments."""
    client.declare("dead")
    broker.ctl("set_policy", "dead", "received_message$",
               '{"dead-letter-exchange":"","dead-letter-routing-key":"dead"}', "--apply-to", "queues")
    try:
        start(new_host, broker, "verdict", "host { dead_letters = broker }\n")
        client.publish(received("verdict"), {"content": "wrong"}, b"not JSON", {"content": "done"})
        assert client.collect("dead", 2) == [b'{"content": "wrong"}', b"not JSON"]
    finally:
        broker.ctl("clear_policy", "dead")


def test_retry(new_host, broker, mov, client):
    host = start(new_host, broker, "retry", 'plugin retry { attempt = "3" }\n')
    client.declare(published("retry"))
    client.publish(received("retry"), {"content": "first"}, {"content": "second"})
    # Publications of the failed attempts are dropped, and the order is kept.
    assert client.collect(published("retry"), 2, 30) == [b'{"content": "first"}', b'{"content": "second"}']
    attempts = [record.message for record in host.records() if record.message.startswith("attempt ")]
    assert [("first" if "first" in text else "second", text.split()[1].rstrip(":,;")) for text in attempts] == [
        (content, str(attempt)) for content in ("first", "second") for attempt in (1, 2, 3)]
    assert client.depth(published("retry")) == 0


def test_attempts_come_to_an_end(new_host, broker, mov, client):
    host = start(new_host, broker, "retry", 'host { attempts = 2 }\nplugin retry { attempt = "100" }\n')
    client.declare(published("retry"))
    client.publish(received("retry"), {"content": "never"})
    host.wait_record("", level="ERROR", timeout=20)
    assert len([record for record in host.records() if record.message.startswith("attempt ")]) == 2
    assert host.stop() == 0
    assert client.depth(received("retry")) == client.depth(published("retry")) == 0


def test_publish_answers(new_host, broker, mov, client):
    start(new_host, broker, "misuse")
    client.declare(published("misuse"), "valawai/c1/echo/data/publish_message")
    client.publish(received("misuse"), {"content": "x"})
    bodies = [json.loads(body) for body in client.collect(published("misuse"), 2)]
    assert bodies == [{"content": "x"}, {
        "start": -204, "no topic": -201, "empty topic": -201, "long topic": -201, "no body": -201, "foreign topic": -203,
        "own input": -203, "empty": -202, "array": -202, "no json": -202, "no utf-8": -202, "good": 0}]
    assert client.depth("valawai/c1/echo/data/publish_message") == 0


def test_options(new_host, broker, mov, client):
    host = start(new_host, broker, "other", 'plugin other { greeting = "with \\"quotes\\" and ünï" }\n')
    host.wait_record('greeting: with "quotes" and ünï', name="c1_other")

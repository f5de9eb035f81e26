# SPDX-License-Identifier: GPL-3.0-or-later
"""valawai-host dead: dead letters are listed, shown, moved back and dropped; a kill at any moment loses none."""

import contextlib
import json
import os
import random
import re
import subprocess
import time

import pika
import pytest

from broker import Broker, Unavailable, scaled
from host import BINARY, Client, ECHO, received

DEAD = received() + "/dead"


def run(broker, *arguments, cwd=None):
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **broker.environment()}
    return subprocess.run([BINARY, "dead", *arguments], env=environment, capture_output=True, text=True, cwd=cwd,
                          timeout=scaled(60), check=False)


def put(client, *bodies, reason="wrong", detail="because", at=None, headers=None, **properties):
    """Publishes letters like a host."""
    said = {"valawai-dead-reason": reason, "valawai-dead-detail": detail, "valawai-dead-component": "c1_echo",
            "valawai-dead-host": "machine", "valawai-dead-attempts": 2, **(headers or {})}
    client.declare(received(), DEAD)
    for body in bodies:
        client.channel.basic_publish("", DEAD, body, pika.BasicProperties(
            content_type="application/json", delivery_mode=2, headers=said, **properties), mandatory=True)


def test_list_counts_reasons_and_ages(new_host, broker, mov, client):
    """The letters come from a real host."""
    host = new_host(broker).start()
    host.wait_healthy()
    client.publish(received(), b"[1]", b"[2]")
    host.wait(lambda: depth(client) == 2, 10, "two letters")
    put(client, b"{}", reason="odd\nreason")
    for _ in range(3):  # list takes no letters
        result = run(broker, "list", received())
        assert result.returncode == 0, result.stderr
        assert re.fullmatch(re.escape(received()) + r": 3 dead letters, the oldest \d+ s old, the newest \d+ s\n"
                            r" +2  invalid\n +1  odd\\nreason\n", result.stdout), result.stdout
    result = run(broker, "--json", received())
    said = json.loads(result.stdout)
    assert said["count"] == 3 and said["reasons"] == {"invalid": 2, "odd\nreason": 1}
    assert said["oldest"] <= said["newest"] and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", said["oldest"])
    assert depth(client) == 3


def test_list_without_a_topic_takes_those_of_the_plugins(broker, client, tmp_path):
    (tmp_path / "plugins.conf").write_text(f'plugin echo {{ path = "{ECHO}" }}\n')
    put(client, b"{}")
    result = run(broker, cwd=tmp_path)
    assert result.returncode == 0 and result.stdout.startswith(f"{received()}: 1 dead letter\n"), result


def test_list_of_nothing(broker, client):
    result = run(broker, "list", "valawai/c1/nothing/data/topic")
    assert (result.returncode, result.stdout) == (0, "valawai/c1/nothing/data/topic: 0 dead letters\n")


def depth(client):
    try:
        return client.depth(DEAD)
    except pika.exceptions.ChannelClosedByBroker:
        return -1


def test_show(broker, client):
    put(client, b'{"first":\n1}', message_id="m-1")
    put(client, b"\xff no JSON")
    result = run(broker, "show", received())
    assert result.returncode == 0, result.stderr
    assert "reason:      wrong: because\n" in result.stdout
    assert "component:   c1_echo\nhost:        machine\nattempts:    2\n" in result.stdout
    assert '"message_id":"m-1"' in result.stdout
    assert result.stdout.endswith('body:        {"first":\\n1}\n')
    said = json.loads(run(broker, "show", "--json", "--number", "1", received()).stdout)
    assert said["body"] == {"first": 1} and said["reason"] == "wrong" and said["properties"]["message_id"] == "m-1"
    said = json.loads(run(broker, "show", "--json", "--number", "2", received()).stdout)
    assert said["body"] == "\ufffd no JSON" and said["number"] == 2
    result = run(broker, "show", "--number", "3", received())
    assert result.returncode == 1 and "2 dead letters" in result.stderr
    assert depth(client) == 2


def test_retry_moves_back_in_order_with_the_properties_of_the_message(broker, client):
    put(client, b"1", b"2", b"3", message_id="m", headers={"own": [1]}, correlation_id="c")
    result = run(broker, "retry", "--count", "2", received())
    assert (result.returncode, result.stdout) == (0, f"{received()}: 2 retried, 1 left\n"), result
    moved = client.collect_messages(received(), 2)
    assert [body for _, body in moved] == [b"1", b"2"]
    assert all((properties.message_id, properties.correlation_id, properties.headers, properties.content_type)
               == ("m", "c", {"own": [1]}, "application/json") for properties, _ in moved)
    assert json.loads(run(broker, "retry", "--json", received()).stdout) == {"topic": received(), "retried": 1, "left": 0}
    assert client.drain(received()) == [b"3"] and depth(client) == 0


def test_retry_of_a_reason(broker, client):
    put(client, b"1", reason="wrong", detail="content: is empty")
    put(client, b"2", reason="failed", detail="the disk is full")
    put(client, b"3", reason="attempts", detail="")
    assert run(broker, "retry", "--reason", "fail*", received()).stdout == f"{received()}: 1 retried, 2 left\n"
    assert run(broker, "retry", "--reason", "*empty", received()).stdout == f"{received()}: 1 retried, 1 left\n"
    assert client.drain(received()) == [b"2", b"1"] and client.drain(DEAD) == [b"3"]


def test_what_is_retried_and_dies_again_is_not_retried_twice(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    client.publish(received(), *(b"[%d]" % number for number in range(20)))
    host.wait(lambda: depth(client) == 20, 10, "the letters")
    assert run(broker, "retry", received()).stdout == f"{received()}: 20 retried, 0 left\n"
    host.wait(lambda: depth(client) == 20, 10, "the letters, again")
    properties, _ = client.collect_messages(DEAD, 1)[0]
    assert sum(name == "valawai-dead-reason" for name in properties.headers) == 1


def test_retry_to_a_topic_that_is_gone_keeps_the_letters(broker, client):
    put(client, b"1", b"2")
    client.delete(received())
    result = run(broker, "retry", received())
    assert result.returncode == 1 and received() in result.stderr
    assert client.collect(DEAD, 2) == [b"1", b"2"]


def test_drop(broker, client):
    put(client, b"1", b"2", b"3")
    put(client, b"4", reason="failed")
    assert run(broker, "drop", received()).returncode == 2 and depth(client) == 4
    assert run(broker, "drop", "--reason", "failed", received()).stdout == f"{received()}: 1 dropped, 3 left\n"
    assert run(broker, "drop", "--count", "1", received()).stdout == f"{received()}: 1 dropped, 2 left\n"
    assert json.loads(run(broker, "drop", "--all", "--json", received()).stdout)["dropped"] == 2
    assert depth(client) == 0 and client.depth(received()) == 0


@pytest.mark.parametrize("arguments, words", [
    (("show",), "topic"), (("retry",), "topic"), (("bury", "a/b"), "bury"), (("list", "a/b", "c/d"), "one topic"),
    (("retry", "--count", "0", "a/b"), "--count"), (("list", "--count", "1", "a/b"), "--count"),
    (("show", "--count", "1", "a/b"), "--count"), (("retry", "--number", "1", "a/b"), "--number"),
    (("show", "--reason", "x", "a/b"), "--reason"), (("retry", "--all", "a/b"), "--all"), (("list", "--nonsense"), "--nonsense"),
    (("list", "x/" * 125 + "y"), "250"),
])
def test_wrong_usage(broker, arguments, words):
    result = run(broker, *arguments)
    assert result.returncode == 2 and words in result.stderr and "--help" in result.stderr, result


def test_a_killed_retry_loses_nothing(broker, client):
    """Each kill duplicates at most one message."""
    count, kills = 600, 0
    generator = random.Random(20261127)
    put(client, *(b"%d" % number for number in range(count)))
    environment = {"PATH": os.environ["PATH"], **broker.environment()}
    while True:
        process = subprocess.Popen([BINARY, "dead", "retry", received()], env=environment, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(generator.uniform(0, 0.15))  # a random moment for the kill
        process.kill()
        kills += process.wait() != 0
        if process.returncode == 0 or kills == 60:
            break
    assert run(broker, "retry", received()).returncode == 0
    assert depth(client) == 0
    numbers = [int(body) for body in client.drain(received())]
    assert set(numbers) == set(range(count))
    assert len(numbers) - count <= kills, f"{len(numbers) - count} twice after {kills} kills"


@pytest.mark.parametrize("release", ["trixie", "forky"])
def test_no_number_of_looks_loses_a_letter_of_a_quorum_queue(release):
    """The broker drops a letter that is returned more than 20 times; 4.0 counts each look as a return."""
    try:
        node = Broker(release=release, queue_type="quorum")
    except Unavailable as error:
        pytest.skip(str(error))
    with node, contextlib.closing(Client(node)) as client:
        put(client, b"1", b"2", b"3", message_id="m", headers={"own": "x"})
        for number in range(50):
            result = run(node, "list", received())
            assert result.returncode == 0 and ": 3 dead letters\n" in result.stdout, (number, result)
            result = run(node, "show", received())
            assert result.returncode == 0, (number, result)
        assert run(node, "retry", received()).stdout == f"{received()}: 3 retried, 0 left\n"
        moved = client.collect_messages(received(), 3)
        assert sorted(body for _, body in moved) == [b"1", b"2", b"3"]
        assert all(properties.headers == {"own": "x"} and properties.message_id == "m" for properties, _ in moved)

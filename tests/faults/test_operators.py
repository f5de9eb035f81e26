# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands for operators in docs/scaling.md and docs/reliability.md work as described, on the RabbitMQ that they name."""

import contextlib
import os
import re
import shlex

import pika
import pytest

from broker import Broker, Unavailable, wait_until
from host import Client, ROOT

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def commands(page, heading):
    """The arguments of each rabbitmqctl in the first block of commands below the line that holds the heading."""
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as file:
        text = file.read()
    below = text[text.index(heading):]
    block = re.search(r"(?:^ {4,}rabbitmqctl .*\n)+", below, re.MULTILINE).group(0)
    found = []
    for line in block.splitlines():
        for command in re.split(r"\s&&\s", line.strip()):
            words = shlex.split(command, comments=True)
            assert words[0] == "rabbitmqctl", command
            found.append(words[1:])
    return found


@contextlib.contextmanager
def operated(release, heading, page="scaling.md", **more):
    """A node after the commands, and a client."""
    try:
        node = Broker(release=release, **more)
    except Unavailable as error:
        pytest.skip(str(error))
    with node, contextlib.closing(Client(node)) as client:
        for command in commands(page, heading):
            node.ctl(*command)
        yield node, client


def test_mirrors():
    with operated("bookworm", "mirrored classic queues, by a policy") as (node, client):
        client.declare("valawai/c1/echo/data/x")
        assert node.ctl("list_queues", "--no-table-headers", "name", "policy").split() == ["valawai/c1/echo/data/x", "valawai"]


@pytest.mark.parametrize("release", ["bookworm", "trixie", "forky"])
def test_quorum_queues(release):
    with operated(release, "quorum queues, by the default queue type") as (node, client):
        client.declare("valawai/c1/echo/data/x")
        assert node.ctl("list_queues", "--no-table-headers", "type").split() == ["quorum"]


def survives(client, returns):
    """True if a message still exists after this many returns by basic.reject."""
    client.declare("valawai/x")
    client.publish("valawai/x", {"content": "x"})
    for _ in range(returns):
        method = None
        def take():
            nonlocal method
            method, _, _ = client.channel.basic_get("valawai/x")
            return method or client.depth("valawai/x") == 0
        wait_until(take, 10, "the message comes back, or is gone")
        if not method:
            return False
        client.channel.basic_reject(method.delivery_tag, requeue=True)
    method, _, _ = client.channel.basic_get("valawai/x", auto_ack=True)
    return bool(method)


@pytest.mark.parametrize("release", ["trixie", "forky"])
def test_no_delivery_limit(release):
    with operated(release, "remove the delivery limit", queue_type="quorum") as (node, client):
        assert survives(client, 40)
        node.ctl("clear_policy", "valawai-limit")
        client.delete("valawai/x")
        assert not survives(client, 40)  # the policy keeps it

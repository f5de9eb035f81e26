# SPDX-License-Identifier: GPL-3.0-or-later
"""Message properties: a trace passes from a message to the publications of its handler."""

import json

import pika
import pytest

from host import published, received

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def echo(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    client.declare(published())
    return host


def publish(client, body, **properties):
    client.channel.basic_publish("", received(), json.dumps(body).encode(), pika.BasicProperties(**properties), mandatory=True)


def answer(client):
    (properties, body), = client.collect_messages(published(), 1)
    return properties, json.loads(body)


def test_a_trace_passes_to_the_publication(echo, client):
    publish(client, {"content": "traced"}, content_type="application/json", message_id="m-1",
            headers={"traceparent": PARENT, "tracestate": "vendor=1", "private": "x"})
    properties, body = answer(client)
    assert body == {"content": "traced"}
    assert properties.headers == {"traceparent": PARENT, "tracestate": "vendor=1"}
    assert properties.content_type == "application/json" and properties.delivery_mode == 2
    assert properties.message_id is None


@pytest.mark.parametrize("headers", [None, {}, {"other": "x"}, {"traceparent": 5}, {"tracestate": "vendor=1"}])
def test_without_a_trace_the_publication_has_no_headers(echo, client, headers):
    publish(client, {"content": "x"}, headers=headers, correlation_id="c")
    properties, body = answer(client)
    assert body == {"content": "x"}
    assert properties.headers is None and properties.correlation_id is None


def test_many_and_long_headers_pass_by(echo, client):
    """As many as a frame of the broker holds, including nested tables."""
    headers = {f"header-{i}": {"deep": [{"er": "x" * 100}]} for i in range(500)}
    headers["traceparent"] = PARENT
    publish(client, {"content": "full"}, headers=headers)
    properties, body = answer(client)
    assert body == {"content": "full"} and properties.headers == {"traceparent": PARENT}

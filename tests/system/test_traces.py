# SPDX-License-Identifier: GPL-3.0-or-later
"""Traces: the handling of a message of a trace is a span at a collector, and what the collector does holds up no message."""

import http.server
import json
import threading
import time

import pika
import pytest

from broker import wait_until
from host import published, received
from test_plugins import threads_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Collector:
    """Takes OTLP over HTTP on a port of its own. status: what it answers; held: it answers when that is set."""

    def __init__(self, port=0):
        self.requests, self.status, self.held = [], 200, threading.Event()
        self.held.set()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.held.wait()
                collector.requests.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self):
        """More than once does no harm."""
        self.held.set()
        if self.thread.is_alive():
            self.server.shutdown()
            self.thread.join()
            self.server.server_close()

    @property
    def spans(self):
        """(service, span) of each."""
        return [(attributes(resource["resource"])["service.name"], span) for _, _, body in list(self.requests)
                for resource in body["resourceSpans"] for scope in resource["scopeSpans"] for span in scope["spans"]]


def attributes(thing):
    return {one["key"]: next(iter(one["value"].values())) for one in thing["attributes"]}


@pytest.fixture
def collector():
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture
def start(new_host, broker, mov, client, collector):
    def start(**env):
        host = new_host(broker, env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}/", **env}).start()
        host.wait_healthy()
        client.declare(published())
        return host
    return start


def publish(client, body, topic=received(), **properties):
    client.channel.basic_publish("", topic, json.dumps(body).encode(), pika.BasicProperties(
        content_type="application/json", **properties), mandatory=True)


def test_a_handling_is_a_span(start, client, collector):
    before = time.time_ns()
    host = start()
    publish(client, {"content": "traced"}, message_id="m-1", correlation_id="c-1",
            headers={"traceparent": TRACEPARENT, "tracestate": "vendor=1"})
    (properties, body), = client.collect_messages(published(), 1)
    assert json.loads(body) == {"content": "traced"}
    host.wait(lambda: collector.spans, 10, "a span")
    (service, span), = collector.spans
    path, headers, _ = collector.requests[0]
    assert path == "/v1/traces" and headers["Content-Type"] == "application/json"
    assert service == "c1_echo" and span["traceId"] == TRACE and span["parentSpanId"] == PARENT
    assert span["traceState"] == "vendor=1" and span["kind"] == 5 and span["status"] == {}
    assert before <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= time.time_ns()
    found = attributes(span)
    assert found["messaging.system"] == "rabbitmq" and found["messaging.destination.name"] == received()
    assert found["messaging.message.id"] == "m-1" and found["messaging.message.conversation_id"] == "c-1"
    # What the handler published is below this span.
    assert properties.headers == {"traceparent": f"00-{TRACE}-{span['spanId']}-01", "tracestate": "vendor=1"}
    assert "vh-traces" in threads_of(host)


def test_a_chain_of_components_is_one_trace(start, client, collector):
    """What the one publishes is what the other receives."""
    host = start()
    publish(client, {"content": "one"}, headers={"traceparent": TRACEPARENT})
    (properties, body), = client.collect_messages(published(), 1)
    client.channel.basic_publish("", received(), body, properties, mandatory=True)
    host.wait(lambda: len(collector.spans) == 2, 10, "two spans")
    (_, first), (_, second) = collector.spans
    assert second["parentSpanId"] == first["spanId"] and second["traceId"] == first["traceId"] == TRACE


def test_a_rejected_message_is_an_error(start, client, collector):
    host = start()
    publish(client, {"contents": "misspelt"}, headers={"traceparent": TRACEPARENT})
    host.wait(lambda: collector.spans, 10, "a span")
    (_, span), = collector.spans
    assert span["status"] == {"code": 2, "message": "invalid"} and attributes(span)["error.type"] == "invalid"


@pytest.mark.parametrize("headers", [None, {"traceparent": "rubbish"}, {"traceparent": TRACEPARENT[:-1] + "0"}])
def test_without_a_sampled_trace_there_is_no_span(start, client, collector, headers):
    """One that is not sampled passes on as it is."""
    host = start()
    publish(client, {"content": "first"}, headers=headers)
    publish(client, {"content": "second"}, headers={"traceparent": TRACEPARENT})
    (first, _), _ = client.collect_messages(published(), 2)
    assert first.headers == headers
    host.wait(lambda: collector.spans, 10, "a span")
    assert [attributes(span)["messaging.message.body.size"] for _, span in collector.spans] == ["21"]


def test_headers_and_service_name(start, client, collector):
    host = start(OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20se%2Ccret,x-more=1", OTEL_SERVICE_NAME="pipeline")
    publish(client, {"content": "x"}, headers={"traceparent": TRACEPARENT})
    host.wait(lambda: collector.spans, 10, "a span")
    _, headers, _ = collector.requests[0]
    assert headers["authorization"] == "Bearer se,cret" and headers["x-more"] == "1"
    assert collector.spans[0][0] == "pipeline"
    assert "cret" not in host.log()


def test_spans_that_wait_leave_at_a_stop(start, client, collector):
    host = start()
    publish(client, {"content": "x"}, headers={"traceparent": TRACEPARENT})
    client.collect(published(), 1)
    assert host.stop() == 0
    assert len(collector.spans) == 1


def test_a_collector_that_does_not_answer_holds_up_nothing(start, client, collector):
    """More spans than the queue holds: messages pass, memory is bounded, and a stop is not late."""
    count = 5000
    collector.held.clear()
    host = start()
    body = json.dumps({"content": "x"}).encode()
    for _ in range(count):
        client.channel.basic_publish("", received(), body, pika.BasicProperties(
            content_type="application/json", headers={"traceparent": TRACEPARENT}))
    assert len(client.collect(published(), count, 60)) == count
    began = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - began < 8
    dropped = next(r.message for r in host.records() if "dropped" in r.message and "spans were" in r.message)
    assert int(dropped.split()[1]) >= count - 2048 - 512


def test_a_collector_that_comes_late(start, client, collector):
    """One record says that it is not there, and another that it takes spans again."""
    port = collector.port
    collector.close()
    host = start(OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    publish(client, {"content": "lost"}, headers={"traceparent": TRACEPARENT})
    host.wait_record(r"traces: http://127\.0\.0\.1:\d+/v1/traces: .*spans are dropped", level="WARNING")
    late = Collector(port)
    try:
        def look():
            publish(client, {"content": "later"}, headers={"traceparent": TRACEPARENT})
            return late.spans
        wait_until(look, 30, "a span", 0.2)
        host.wait_record(r"takes spans again; \d+ were dropped", level="INFO")
    finally:
        late.close()


def test_a_collector_that_refuses(start, client, collector):
    collector.status = 503
    host = start()
    publish(client, {"content": "x"}, headers={"traceparent": TRACEPARENT})
    host.wait_record(r"it answers HTTP 503; spans are dropped", level="WARNING")


def test_off_by_default(new_host, broker, mov, client):
    """No thread, no library."""
    host = new_host(broker).start()
    host.wait_healthy()
    assert "vh-traces" not in threads_of(host)
    with open(f"/proc/{host.pid}/maps") as file:
        assert "libcurl" not in file.read()


def test_an_endpoint_without_a_scheme(new_host, broker, client):
    host = new_host(broker, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"})
    assert host.run().status == 1
    assert 'OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" does not begin with http:// or https://' in host.console

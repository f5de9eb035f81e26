# SPDX-License-Identifier: GPL-3.0-or-later
"""A peer that breaks AMQP: nothing that it sends harms the host."""

import json
import struct
import threading

import pytest

import by_hand
from by_hand import ByHand, Session, content, deliver, header, method
from host import Host, one_line, published, received

BODY = json.dumps({"content": "x" * 3000}).encode()


def returns(*frames):
    """Sends these frames on the publishing connection instead of the first confirmation of an echo; then behaves correctly."""
    told = threading.Event()

    def on(session, channel, number, arguments):
        if number == "published" and arguments[0] == published() and not told.is_set():
            told.set()
            return [by_hand.returned(channel, published()), *frames(channel)] if callable(frames) else None
        return None
    if len(frames) == 1:
        frames = frames[0]
    return on


HOSTILE_RETURNS = {
    "2^64-1 bytes": lambda channel: [header(channel, 2**64 - 1)] + 8 * [by_hand.frame(3, channel, b"x" * 100000)],
    "2^40 bytes": lambda channel: [header(channel, 2**40), by_hand.frame(3, channel, b"x" * 1000)],
    "a second header": lambda channel: [header(channel, len(BODY)), by_hand.frame(3, channel, BODY[:1000]),
                                        header(channel, len(BODY))],
    "another class": lambda channel: [header(channel, 5, content_class=10, properties=b"\xff\xfe")],
    "a body without a header": lambda channel: [by_hand.frame(3, channel, b"x" * 1000)],
    "longer than its header says": lambda channel: [header(channel, len(BODY)), by_hand.frame(3, channel, BODY + b"x")],
}


@pytest.mark.parametrize("how", HOSTILE_RETURNS)
def test_a_return_that_lies(new_host, how):
    """The host reconnects if necessary, and publishes the message again."""
    echoes = threading.Event()
    lies = returns(HOSTILE_RETURNS[how])

    def on(session, channel, number, arguments):
        said = lies(session, channel, number, arguments)
        if said is None and number == "published" and arguments[0] == published():
            echoes.set()
        return said
    with ByHand(lambda stream: Session(stream, on=on, messages=[("echo/data/received", BODY)])) as broker:
        host = new_host(env=broker.environment()).start()
        if how not in ("2^64-1 bytes", "2^40 bytes"):  # a return of an unknown publication is skipped, and the connection goes on
            host.wait_record("protocol|out of turn|longer than", level="WARNING")
            host.wait(echoes.is_set, 10, "the publication again")
        else:
            host.wait_consuming()
            host.wait(lambda: broker.sessions >= 2, 10, "both connections")
        assert host.peak_rss() < 300 << 20
        assert host.stop() == 0


HOSTILE_DELIVERIES = {
    "2^64-1 bytes": lambda: [header(1, 2**64 - 1), by_hand.frame(3, 1, b"x" * 100000)],
    "another class": lambda: [header(1, 5, content_class=20, properties=b"\xff\xfe")],
    "a second header": lambda: [header(1, len(BODY)), by_hand.frame(3, 1, BODY[:1000]), header(1, len(BODY))],
    "longer than its header says": lambda: [header(1, 3), by_hand.frame(3, 1, b"xxxx")],
    "a frame without its end": lambda: [header(1, 3)[:-1] + b"x"],
    "a table that ends too late": lambda: [method(1, (10, 10), b"\x00\x09" + b"\xff\xff\xff\xff")],
    "no answer but another": lambda: [method(1, by_hand.CHANNEL_OPEN_OK, struct.pack(">I", 0)), b"\x00" * 100],
}


@pytest.mark.parametrize("how", HOSTILE_DELIVERIES)
def test_listen_to_a_liar(new_host, how):
    def on(session, channel, number, arguments):
        if number != by_hand.CONSUME:
            return None
        return [method(channel, by_hand.CONSUME_OK, by_hand.short("t")), deliver(channel, "t", 1, received())] + \
            HOSTILE_DELIVERIES[how]()
    with ByHand(lambda stream: Session(stream, on=on)) as broker:
        host = Host(plugins=(), args=("listen", "--count", "1", received()), env=broker.environment())
        try:
            result = host.run(10)
            assert result.status == 1, result
            assert "valawai-host: " in result.stderr.splitlines()[-1]
        finally:
            host.close()


def test_send_to_a_liar(new_host):
    def on(session, channel, number, arguments):
        if number != "published":
            return None
        return [method(channel, by_hand.ACK, struct.pack(">QB", 2**64 - 1, 1)), header(channel, 2**64 - 1)] + content(channel, b"x")
    with ByHand(lambda stream: Session(stream, on=on)) as broker:
        host = Host(plugins=(), args=("send", received(), "{}"), env=broker.environment())
        try:
            one_line(host.run(10), "protocol error", "out of turn")
        finally:
            host.close()

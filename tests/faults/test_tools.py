# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the fault suite's own parts: a checker that detects nothing would pass every fault."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pytest

import broker as broker_module
import release as releases
from broker import Broker, Unavailable, scaled, wait_until
from host import Client, received, published
from net import Link, Proxy, obstacle
from mix import slope
from stream import Generator, Sink, tally


def needs(*programs):
    missing = ["root"] if os.geteuid() != 0 else list(filter(None, map(obstacle, programs)))
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def test_tally():
    found = tally(confirmed={0, 1, 2, 3}, unsure={4, 5}, seen={0: 1, 1: 3, 3: 1, 5: 2, 9: 1}, strange=[b"x"])
    assert found.lost == [2]
    assert (found.sent, found.echoed, found.duplicated, found.strange, found.unsure) == (4, 3, 3, 2, 2)


def test_slope():
    assert slope([(minute, 1000 + 7 * minute + minute % 2) for minute in range(1000)]) == pytest.approx(7, abs=0.01)


class Answering:
    """A server that echoes each byte."""

    host = "127.0.0.1"

    def __init__(self):
        self._server = socket.create_server((self.host, 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            connection, _ = self._server.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection):
        try:
            while data := connection.recv(100):
                connection.sendall(data)
        except OSError:
            pass


def round_trip(connection, byte=b"x"):
    began = time.monotonic()
    connection.sendall(byte)
    assert connection.recv(1) == byte
    return time.monotonic() - began


@needs("haproxy", "ss")
def test_proxy():
    with Proxy(Answering()) as proxy:
        connect = lambda: socket.create_connection((proxy.host, proxy.port), 5)
        with connect() as connection:
            round_trip(connection)
            assert proxy.connections() == 1
            proxy.cut()
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
            assert proxy.connections() == 0
        with connect() as first, connect() as second:
            round_trip(first)
            round_trip(second)
            proxy.cut(one=True)
            assert proxy.connections() == 1
            ended = 0
            for connection in (first, second):
                try:
                    round_trip(connection)
                except ConnectionResetError:
                    ended += 1
            assert ended == 1
        with connect() as connection:
            round_trip(connection)
            proxy.shut()
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        with pytest.raises((OSError, AssertionError)), connect() as connection:
            round_trip(connection)
        proxy.open()
        with connect() as connection:
            round_trip(connection)
            proxy.freeze()
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                round_trip(connection)
            proxy.thaw()
            connection.settimeout(5)
            assert connection.recv(1) == b"x"


@needs("haproxy", "ss", "ip")
def test_link():
    """From the near end, in a process there, through cable and proxy."""
    talker = ("import socket, sys, time\nc = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)\n"
              "for line in sys.stdin:\n t = time.monotonic(); c.settimeout(float(line))\n"
              " try: c.sendall(b'x'); print(time.monotonic() - t if c.recv(1) else 'end', flush=True)\n"
              " except OSError as e: print(type(e).__name__, flush=True)\n")
    with Link() as link, Proxy(Answering(), link) as proxy:
        process = subprocess.Popen([*link.prefix, "python3", "-c", talker, proxy.host, str(proxy.port)], text=True, bufsize=1,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            def say(patience):
                process.stdin.write(f"{patience}\n")
                return process.stdout.readline().strip()
            assert float(say(5)) < 0.3
            link.delay(400)
            assert 0.4 <= float(say(5)) < 0.8
            link.heal()
            link.drop()
            assert say(0.5) == "TimeoutError"
            link.heal()
            assert float(say(10)) < 10  # TCP sends lost packets again
            proxy.cut()
            assert say(5) == "ConnectionResetError"
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()


def test_stream_counts_what_a_bad_component_does(broker, client):
    """A stand-in for a host loses one message, duplicates another, and invents a third."""
    client.declare(received(), published())
    generator = Generator(lambda: [broker], received()).start()
    sink = Sink(lambda: [broker], published()).start()
    try:
        generator.burst(100)
        bodies = client.collect(received(), 100)
        client.publish(published(), *bodies[:50], *bodies[51:], bodies[7], b'{"content": "x"}')
        wait_until(lambda: sum(sink.seen.values()) == 100 and sink.strange, 10, "all is seen")
        wait_until(generator.idle, 10, "all is confirmed")
        found = tally(generator.confirmed, generator.unsure, sink.seen, sink.strange, sink.again)
        assert (found.sent, found.echoed, found.lost, found.duplicated, found.strange) == (100, 99, [50], 1, 1)
    finally:
        generator.stop()
        sink.stop()


@pytest.mark.parametrize("queue_type", ["classic", "quorum"])
@pytest.mark.parametrize("release, version", [("bookworm", (3, 10)), ("trixie", (4, 0)), ("forky", (4, 3))])
def test_release(release, version, queue_type):
    """The broker has the requested release, and keeps confirmed messages over a kill and a stop."""
    try:
        node = Broker(release=release, queue_type=queue_type)
    except Unavailable as error:
        pytest.skip(str(error))
    with node, contextlib.closing(Client(node)) as client:
        assert node.version[:2] >= version
        client.declare("topic")
        assert node.ctl("list_queues", "--no-table-headers", "name", "type").split() == ["topic", queue_type]
        # RabbitMQ flushes the term of a quorum queue every five seconds. The kill of a queue that is younger leaves a log
        # without a term, which is not applied. A clean stop flushes it.
        client.close()
        node.restart()
        for number, end in enumerate((node.kill, node.stop), 1):
            client.publish("topic", {"number": number})
            end()
            client.close()
            node.start()
            wait_until(lambda expected=number: client.depth("topic") == expected, 10, "everything is still there")
        pid = node.pid
        node.close()
        assert not os.path.exists(f"/proc/{pid}")


def test_unavailable_release():
    """If a release cannot be made, broker.py prints the reason and exits with 77."""
    other = next(name for name in releases.NAMES if not releases.is_of_this_machine(name))
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run([sys.executable, "-B", broker_module.__file__, "--release", other], capture_output=True, text=True,
                              env={"PATH": directory, "VALAWAI_ROOTS": directory}, timeout=scaled(20), check=False)
    assert done.returncode == 77
    assert re.fullmatch(r"broker\.py: SKIP: Debian \w+: (only root can .*|there is no mmdebstrap, .*)\n", done.stderr)

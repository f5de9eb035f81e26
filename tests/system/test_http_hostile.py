# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP clients that are slow, silent, many or wrong: the host's memory stays bounded, and messages go on."""

import contextlib
import random
import socket
import threading
import time

import pytest

from broker import free_port, scaled, wait_until
from conftest import plain_build
from host import SANITIZER, WRAPPER, published, received
from web import Web, connect

CLIENTS = 500
MORE_BYTES = (32 if SANITIZER or WRAPPER else 6) << 20  # that all these clients together may cost


@pytest.fixture
def served(mov, broker, client, new_host):
    """A host with both sockets, at work."""
    port = free_port()
    host = new_host(broker, env={"HTTP_LISTEN": f"127.0.0.1:{port}"}).start()
    host.wait_healthy()
    host.web, host.tcp = Web.of(host), Web(("127.0.0.1", port))
    host.wait(lambda: host.web.answers() and host.tcp.answers(), what="answers of both sockets")
    client.declare(published())
    echo(client, 200)
    return host


def echo(client, count):
    client.publish_many(received(), [{"content": str(number)} for number in range(count)])
    assert len(client.collect(published(), count, 30)) == count


def tcp(host, source="127.0.0.1"):
    other = socket.socket()
    other.settimeout(scaled(10))
    other.bind((source, 0))
    other.connect(host.tcp.address)
    return other


def get_from(host, source, path="/livez"):
    """The status line, for a client with an address of its own."""
    with tcp(host, source) as other:
        other.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return other.makefile("rb").readline()


def ended(other):
    """True if the host has hung up."""
    try:
        return other.recv(65536) == b""
    except OSError as error:
        return not isinstance(error, TimeoutError)


def test_silent_clients_do_not_keep_others_out(served, client):
    before = served.peak_rss()
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(tcp(served)) for _ in range(CLIENTS)]
        wait_until(lambda: get_from(served, "127.0.0.2").startswith(b"HTTP/1.1 200 "), 20, "an answer for another address")
        assert served.web.answers(), "the Unix socket has places of its own"
        echo(client, 500)
        assert all(ended(other) for other in others)
    assert served.peak_rss() - before < MORE_BYTES


def test_silent_clients_of_the_unix_socket_are_dropped(served, client):
    path = served.web.address
    with contextlib.ExitStack() as stack:
        others = []
        with contextlib.suppress(BlockingIOError, TimeoutError):  # the kernel holds so many, and no more
            for _ in range(100):
                others.append(stack.enter_context(connect(path, timeout=0.2)))
        assert len(others) > 40
        assert served.tcp.answers()
        echo(client, 500)
        served.wait(served.web.answers, 60, "a place")


@pytest.mark.parametrize("piece", [b"X", b"GET /status HTTP/1.1\r\nHost: x\r\nA: ", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_slow_client_is_dropped(served, client, piece):
    """One byte a second is not silence. A client that asks again and again may stay."""
    may_stay = piece.endswith(b"\r\n\r\n")
    began = time.monotonic()
    with tcp(served) as other:
        other.sendall(piece)
        other.settimeout(1)
        while time.monotonic() - began < (15 if may_stay else scaled(30)):
            try:
                if other.recv(65536) == b"":
                    break
            except TimeoutError:
                pass
            except OSError:
                break
            try:
                other.sendall(piece if may_stay else b"a")
            except OSError:
                break
        else:
            assert may_stay, "still connected"
            return
    assert not may_stay


def test_a_client_that_does_not_read(served, client):
    """It asks without end and takes nothing: what waits for it is bounded, and it is dropped."""
    before = served.peak_rss()
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(tcp(served)) for _ in range(10)]
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 100
        for other in others:
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                for _ in range(1000):
                    other.send(request)
        echo(client, 500)
        assert served.web.answers()

        def gone(other):
            try:
                other.send(request)
                return False
            except BlockingIOError:
                return False
            except OSError:
                return True

        wait_until(lambda: all(gone(other) for other in others), 40, "the end of their connections")
    assert served.peak_rss() - before < MORE_BYTES


@pytest.mark.parametrize("request_bytes", [
    b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 1_000_000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100_000 + b"\r\n",
    b"POST /status HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"a" * 1_000_000,
    b"GET /status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + b"a" * 100_000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    b"GET  HTTP/1.1\r\n\r\n", b"GET\r\n\r\n", b"\r\n" * 1000, b"\0" * 5000, b"HTTP/1.1 200 OK\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n", b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
], ids=range(14))
def test_wrong_and_oversized_requests(served, client, request_bytes):
    before = served.peak_rss()
    for _ in range(20):
        with tcp(served) as other:
            other.settimeout(scaled(0.05))
            with contextlib.suppress(OSError):
                other.sendall(request_bytes)
                other.shutdown(socket.SHUT_WR)
                while other.recv(65536):
                    pass
    served.wait(lambda: served.web.answers() and served.tcp.answers(), 20, "a place, after those who hung up half")
    echo(client, 20)
    assert served.peak_rss() - before < MORE_BYTES


def test_many_clients_at_once(served, client):
    """All of those on the Unix socket are answered, some after others."""
    before = served.peak_rss()
    answers, lock = [], threading.Lock()

    def ask():
        for _ in range(200):
            try:
                status = served.web.get("/metrics").status
            except BlockingIOError:  # the kernel's line of those that wait is full
                time.sleep(0.05)
                continue
            with lock:
                answers.append(status)
            return

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    echo(client, 500)
    for thread in threads:
        thread.join(scaled(30))
    assert answers == [200] * CLIENTS
    assert served.peak_rss() - before < MORE_BYTES


def test_random_bytes(served, client):
    """Requests that are cut, doubled, mixed and flipped, by a seed; tests/fuzz/requests.py does more of it."""
    chance = random.Random(1)
    request = b"GET /metrics?a=b HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;q=0.5, */*\r\nConnection: close\r\n\r\n"
    for _ in range(150):
        data = bytearray(request * chance.choice((1, 1, 3)))
        for _ in range(chance.choice((1, 3, 20))):
            at = chance.randrange(len(data))
            if chance.random() < 0.5:
                data[at] = chance.randrange(256)
            else:
                data[at:at + chance.randrange(30)] = chance.randbytes(chance.randrange(30))
        with tcp(served) as other, contextlib.suppress(OSError):
            other.settimeout(scaled(0.02))
            other.sendall(data)
            other.shutdown(socket.SHUT_WR)
            while other.recv(65536):
                pass
    served.wait(lambda: served.web.answers() and served.tcp.answers(), 20, "a place")
    echo(client, 100)


@plain_build
def test_memory(mov, broker, client, new_host):
    """Idle, and at full load while the metrics are read all the time."""
    host = new_host(broker).start()
    host.wait_healthy()
    web = Web.of(host)
    host.wait(web.answers, what="an answer")
    idle = host.rss()
    client.declare(published())
    for _ in range(3):
        client.publish_many(received(), [{"content": "x" * 1000}] * 3000)
        for _ in range(20):
            web.metrics()
        client.collect(published(), 3000, 30)
    print(f"resident memory: idle {idle / 1e6:.1f} MB, at most {host.peak_rss() / 1e6:.1f} MB")
    assert idle < 12_000_000
    assert host.peak_rss() < 16_000_000

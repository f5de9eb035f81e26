# SPDX-License-Identifier: GPL-3.0-or-later
"""From the broker's name to a connection: silent addresses, a resolver that hangs, logins that are refused."""

import contextlib
import os
import socket
import time

import pytest

from broker import scaled, wait_until
from host import SANITIZER, plugin

preloads = pytest.mark.skipif(SANITIZER, reason="a sanitizer has to be the first library that is preloaded")
RESOLVER = {"LD_PRELOAD": plugin("resolver")}


@contextlib.contextmanager
def silence(address, port):
    """An address that answers nothing: the queue of its listener is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((address, port))
        yield


@preloads
def test_the_first_of_two_addresses_is_silent(new_host, broker, client):
    with silence("127.0.0.2", broker.port):
        host = new_host(broker, env={**RESOLVER, "RABBITMQ_HOST": "two.test", "RABBITMQ_MAX_RETRIES": "1"}).start()
        host.wait_consuming()
        assert host.stop() == 0


@preloads
def test_a_resolver_that_hangs_delays_no_stop(new_host):
    host = new_host(env={**RESOLVER, "RABBITMQ_HOST": "hangs.test"}).start()
    wait_until(lambda: len(os.listdir(f"/proc/{host.pid}/task")) >= 4, 10, "the thread of the lookup")
    began = time.monotonic()
    assert host.stop() == 0
    assert time.monotonic() - began < scaled(0.5)
    assert "left threads" not in host.console


@preloads
def test_a_resolver_that_hangs_is_said(new_host):
    host = new_host(env={**RESOLVER, "RABBITMQ_HOST": "hangs.test", "RABBITMQ_MAX_RETRIES": "1"})
    result = host.run(20)
    assert result.status == 1
    assert "still being resolved" in result.stderr


def test_a_silent_broker_delays_no_stop(new_host):
    """It accepts and says nothing: the host waits for its greeting."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = new_host(env={"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(server.getsockname()[1])}).start()
        with server.accept()[0] as stream:
            assert stream.recv(8) == b"AMQP\x00\x00\x09\x01"
            began = time.monotonic()
            assert host.stop() == 0
            assert time.monotonic() - began < scaled(0.5)


def test_login_seconds(new_host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        began = time.monotonic()
        host = new_host(env={"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(server.getsockname()[1]),
                             "RABBITMQ_MAX_RETRIES": "1"}, conf="broker {\n  login_seconds = 1\n}\n")
        result = host.run(10)
        assert result.status == 1 and "log in" in result.stderr
        assert 0.9 < time.monotonic() - began < scaled(4)

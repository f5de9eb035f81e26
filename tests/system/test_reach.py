# SPDX-License-Identifier: GPL-3.0-or-later
"""From the broker's name to a connection: silent addresses, a resolver that hangs, logins that are refused."""

import os
import socket
import struct
import time

import by_hand
from addresses import RESOLVER, preloads, silence
from broker import scaled, wait_until
from by_hand import ByHand, Session


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
    """It accepts and stays silent, so the host waits for its greeting."""
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


def test_a_password_that_changes(new_host, tmp_path):
    """The file is read before each login; while it is wrong, the logins become rare."""
    password, logins, streams = ["first"], [], []
    close = struct.pack(">H", 403) + by_hand.short("ACCESS_REFUSED") + b"\0" * 4

    def on(session, channel, number, arguments):
        if number != by_hand.START_OK:
            return None
        right = b"\0by\0" + password[0].encode() in arguments
        logins.append(right)
        streams.append(session.stream)
        return None if right else [by_hand.method(0, by_hand.CLOSE, close)]
    secret = tmp_path / "secret"
    secret.write_text("first\n")
    with ByHand(lambda stream: Session(stream, on=on)) as broker:
        env = {**broker.environment(), "RABBITMQ_PASSWORD_FILE": str(secret)}
        del env["RABBITMQ_PASSWORD"]
        host = new_host(env=env).start()
        host.wait(lambda: logins.count(True) == 2, 10, "both connections")
        host.wait_consuming()
        password[0] = "second"
        for stream in list(streams):
            stream.shutdown(socket.SHUT_RDWR)
        began = time.monotonic()
        host.wait(lambda: logins.count(False) >= 4, 30, "refused logins")
        # Each of two connections: at once, after 0.5-1 s, after 1-2 s more. Five times a second it would be 0.4 s.
        assert time.monotonic() - began > 0.5
        secret.write_text("second\n")
        host.wait(lambda: logins.count(True) == 4, 30, "both connections again")
        assert host.stop() == 0

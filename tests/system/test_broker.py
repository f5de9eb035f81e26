# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections to the broker: wrong credentials, no broker, a broker that goes and returns; and stops with messages in hand."""

import contextlib
import json
import os
import re
import signal
import socket
import threading
import time

import pytest

from broker import Broker, free_port, scaled, wait_until
from host import Client, ECHO, one_line, plugin, published, received, registered


def assert_echoes(client, content):
    client.declare(published())
    client.publish(received(), {"content": content})
    assert json.loads(client.collect(published(), 1, 20)[0]) == {"content": content}


def failed(host, *things):
    """A start that failed after a while: records of its attempts may precede the last line."""
    assert host.exit_status(30) == 1
    lines = host.console.splitlines()
    last = [line for line in lines if line.startswith("valawai-host: ")]
    assert len(last) == 1 and lines[-1] == last[0], host.console
    for thing in things:
        assert str(thing) in last[0], last[0]


# --- getting connected ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"RABBITMQ_PASSWORD": "wrong"}, {"RABBITMQ_USERNAME": "nobody"}])
def test_wrong_credentials_are_said_at_once(new_host, broker, client, wrong):
    host = new_host(broker, env=wrong)
    result = host.run(10)  # a hundred attempts, three seconds apart, would not end within this time
    one_line(result, wrong.get("RABBITMQ_USERNAME", broker.username))
    assert time.time() - host.started < scaled(3)


def test_nobody_listens(new_host):
    port = free_port()
    host = new_host(env={"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(port), "RABBITMQ_MAX_RETRIES": "3",
                         "RABBITMQ_RETRY_SLEEP": "1"}).start()
    failed(host, "127.0.0.1", port)
    assert 1.5 < time.time() - host.started < scaled(10)  # two pauses


def test_one_attempt_has_no_pause(new_host):
    host = new_host(env={"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(free_port()), "RABBITMQ_MAX_RETRIES": "1",
                         "RABBITMQ_RETRY_SLEEP": "30"})
    one_line(host.run(10), host.env["RABBITMQ_PORT"])


def test_host_without_address(new_host):
    host = new_host(env={"RABBITMQ_HOST": "broker.invalid", "RABBITMQ_MAX_RETRIES": "2", "RABBITMQ_RETRY_SLEEP": "0"}).start()
    failed(host, "broker.invalid")


def test_no_amqp_there(new_host):
    """A server accepts, sends other data and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"SSH-2.0-nothing_for_you\r\n")
        threading.Thread(target=answer, daemon=True).start()
        host = new_host(env={"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(server.getsockname()[1]),
                             "RABBITMQ_MAX_RETRIES": "2", "RABBITMQ_RETRY_SLEEP": "0"}).start()
        failed(host, server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_while_it_waits_for_the_broker(new_host, number):
    host = new_host(env={"RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": str(free_port()), "RABBITMQ_RETRY_SLEEP": "60"}).start()
    host.wait(lambda: host.console, what="a record of the first attempt")
    assert host.stop(number, timeout=5) == 0


class HeldWay:
    """A proxy before the broker. It passes a number of the broker's answers, and holds the next one until release()."""

    def __init__(self, broker, answers):
        self._broker, self._left, self._lock = broker, answers, threading.Lock()
        self._released, self.held = threading.Event(), threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self):
        self._released.set()

    def close(self):
        self.release()
        self._server.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection((self._broker.host, self._broker.port))
                threading.Thread(target=self._carry, args=(near, far, lambda: None), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, self._hold), daemon=True).start()

    def _hold(self):
        with self._lock:
            self._left -= 1
            passes = self._left >= 0
        if not passes:
            self.held.set()
            self._released.wait()

    @staticmethod
    def _carry(one, other, before):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                before()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("answers", range(10))
def test_stop_while_it_connects_for_the_first_time(new_host, broker, answers):
    """The stop comes between two answers of the broker: to the greeting, the login, and each declaration after it."""
    way = HeldWay(broker, answers)
    try:
        host = new_host(broker, env={"RABBITMQ_PORT": str(way.port)}).start()
        assert way.held.wait(scaled(10))
        host.send_signal(signal.SIGTERM)
        host.wait_record("stopping on SIGTERM")
        way.release()
        assert host.exit_status(20) == 0
    finally:
        way.close()


def test_the_broker_comes_later(new_host, broker, client):
    broker.stop()
    client.close()
    host = new_host(broker, env={"RABBITMQ_RETRY_SLEEP": "1"}).start()
    host.wait(lambda: host.console, what="a record of the first attempt")
    broker.start()
    host.wait_consuming(30)
    assert_echoes(client, "better late")


# --- losing it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_broker_restart(new_host, broker, mov, client, how):
    host = new_host(broker, plugins=(ECHO, plugin("other"))).start()
    host.wait_healthy()
    assert_echoes(client, "before")
    getattr(broker, how)()
    client.close()
    broker.start()
    client.declare(published())
    client.publish(received(), {"content": "after"})
    # A killed broker may have forgotten acknowledgements, ours and the host's: the earlier message can come again.
    while json.loads(client.collect(published(), 1, 20)[0]) != {"content": "after"}:
        pass
    assert client.consumers(received("other")) == 1
    host.wait_healthy(30)


def test_messages_that_waited_through_a_broker_restart(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    host.stop()
    client.declare(received(), published())
    count = 300
    client.publish(received(), *({"content": str(number)} for number in range(count)))  # confirmed, so they survive
    host.start()
    host.wait(lambda: client.depth(published()), what="the first echo")
    broker.kill()
    client.close()
    broker.start()
    found = set()  # each of them at least once

    def take():
        found.update(json.loads(body)["content"] for body in client.drain(published()))
        return len(found) == count
    host.wait(take, 30, "all echoes")


def test_stop_while_the_broker_is_gone(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    broker.kill()
    client.close()
    assert host.stop(timeout=15) == 0
    assert not os.path.exists(host.path("logs/component_id.json"))


# --- stopping with something in hand -----------------------------------------------------------------------------------


def slow(milliseconds, grace):
    return f'host {{ grace_seconds = {grace} }}\nplugin slow {{ milliseconds = "{milliseconds}" }}\n'


def test_a_stop_lets_the_handler_finish(new_host, broker, mov, client):
    host = new_host(broker, plugins=(plugin("slow"),), conf=slow(700, 5)).start()
    host.wait_healthy()
    client.declare(published("slow"))
    client.publish(received("slow"), *({"content": str(number)} for number in range(3)))
    host.wait_record("working")
    assert host.stop() == 0
    done = [json.loads(body)["content"] for body in client.drain(published("slow"))]
    left = [json.loads(body)["content"] for body in client.drain(received("slow"))]
    assert "0" in done  # the one in hand
    assert done + left == ["0", "1", "2"]  # none lost, none twice, in order
    mov.wait_for(lambda mov: mov.unregistered == mov.registered)


def test_a_handler_that_takes_longer_than_the_grace(new_host, broker, mov, client):
    host = new_host(broker, plugins=(plugin("slow"),), conf=slow(60000, 1)).start()
    host.wait_healthy()
    client.declare(published("slow"))
    client.publish(received("slow"), {"content": "too long"})
    host.wait_record("working")
    started = time.monotonic()
    host.stop(timeout=20)
    assert 0.9 < time.monotonic() - started < scaled(10)
    wait_until(lambda: client.depth(received("slow")) == 1, 5, "the message back in its queue")
    assert client.depth(published("slow")) == 0
    mov.wait_for(lambda mov: mov.unregistered == mov.registered)


def test_a_slow_plugin_does_not_hold_up_another(new_host, broker, mov, client):
    host = new_host(broker, plugins=(plugin("slow"), ECHO), conf=slow(1500, 5)).start()
    host.wait_healthy()
    client.publish(received("slow"), {"content": "x"})
    host.wait_record("working")
    client.declare(published("slow"))
    assert_echoes(client, "meanwhile")
    assert client.depth(published("slow")) == 0
    client.collect(published("slow"), 1)


def test_a_publication_waits_through_an_alarm(new_host, broker, mov, client):
    """The broker reads nothing from connections that publish when the handler ends."""
    seconds = scaled(8)  # raising the alarm starts an Erlang program, which takes seconds
    host = new_host(broker, plugins=(plugin("slow"),), conf=slow(int(seconds * 1000), 5)).start()
    host.wait_healthy()
    client.declare(published("slow"))
    client.publish(received("slow"), {"content": "x"})
    host.wait_record("working")
    done = time.monotonic() + seconds
    broker.alarm(True)
    try:
        assert time.monotonic() < done, "the alarm came too late to say anything"
        time.sleep(done + 1 - time.monotonic())  # there is no event to wait for
        observer = Client(broker)  # one that has not published is not stopped
        assert observer.depth(published("slow")) == 0
        observer.close()
    finally:
        broker.alarm(False)
    assert client.collect(published("slow"), 1, 20) == [b'{"content": "x"}']
    assert len([record for record in host.records() if "working" in record.message]) == 1


def test_heartbeats_go_on_during_a_long_handler(new_host, broker, mov, client):
    """The handler takes three times the time after which the broker would give up the connection."""
    host = new_host(broker, plugins=(plugin("slow"),),
                    conf='broker { heartbeat = 1 }\nplugin slow { milliseconds = "3500" }\n').start()
    host.wait_healthy()
    client.declare(published("slow"))
    client.publish(received("slow"), {"content": "x"})
    assert client.collect(published("slow"), 1, 10) == [b'{"content": "x"}']
    assert len([record for record in host.records() if "connected to the broker" in record.message]) == 1
    assert len([record for record in host.records() if "working" in record.message]) == 1


def test_under_load_a_stop_loses_nothing_and_doubles_nothing(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_FILE_LEVEL": "WARNING", "LOG_CONSOLE_LEVEL": "WARNING"}).start()
    host.wait_healthy()
    client.declare(published())
    client.publish_many(received(), ({"content": str(number)} for number in range(3000)))
    assert host.stop() == 0
    done = [json.loads(body)["content"] for body in client.drain(published())]
    left = [json.loads(body)["content"] for body in client.drain(received())]
    assert done + left == [str(number) for number in range(3000)]
    assert client.depth(registered()) == 0


def test_a_queue_that_refuses_publications(new_host, broker, client):
    """The log reports once when the refusals begin and once when they end. No message is lost."""
    def refusals():
        return [record.message for record in host.records() if "refuses publications" in record.message]
    client.delete(published())
    broker.ctl("set_policy", "full", f"^{published()}$", '{"max-length":2,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        host = new_host(broker).start()
        host.wait_consuming()
        bodies = [{"content": str(number)} for number in range(10)]
        client.publish(received(), *bodies)
        host.wait_record(f"{published()}: its queue refuses publications", level="WARNING")
        taken = [json.loads(body) for body in client.collect(published(), 10, 30)]
        assert sorted(taken, key=lambda body: int(body["content"])) == bodies
        host.wait_record(f"{published()}: its queue accepts publications again", level="INFO")
        assert len(refusals()) == 1
    finally:
        broker.ctl("clear_policy", "full")
        client.delete(published())


# --- brokers that allow less ------------------------------------------------------------------------------------------


def test_fewer_channels_than_topics(new_host):
    with Broker(conf={"channel_max": "4"}) as broker:
        host = new_host(broker).start()
        failed(host, "channel_max", " 5 ", " 4 ")


def test_a_user_who_may_consume_but_not_declare(new_host, broker, mov, client):
    client.declare(received())
    broker.ctl("add_user", "reader", "password")
    try:
        broker.ctl("set_permissions", "reader", "^(?!valawai/c1/echo/data/received)", ".*", ".*")
        host = new_host(broker, env={"RABBITMQ_USERNAME": "reader"}).start()
        host.wait_healthy()
        client.publish(received(), {"content": "on"})
        assert json.loads(client.collect(published(), 1)[0])["content"] == "on"
        assert not [record for record in host.records() if record.level == "ERROR"]
        assert host.stop() == 0
    finally:
        broker.ctl("delete_user", "reader")


def test_the_broker_shows_who_is_connected(new_host, broker, mov, client):
    host = new_host(broker, plugins=(ECHO, plugin("other"))).start()
    host.wait_healthy()
    connections = broker.ctl("list_connections", "client_properties")
    assert "valawai-host c1_echo, c1_other receives" in connections
    assert "valawai-host c1_echo, c1_other publishes" in connections
    tags = broker.ctl("list_consumers", "consumer_tag")
    assert re.search(rf"^c1_echo \d+ {received()}$", tags, re.MULTILINE)
    assert re.search(rf"^c1_other \d+ {received('other')}$", tags, re.MULTILINE)
    assert host.stop() == 0

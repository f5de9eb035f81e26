# SPDX-License-Identifier: GPL-3.0-or-later
"""valawai-host doctor: every fault of the surroundings has a line with advice, and looking changes nothing."""

import os
import shutil
import socket
import subprocess
import time

import pytest

from broker import Broker, Unavailable, free_port, scaled
from host import BINARY, ECHO, received, registered

SIGNS = {"✓": True, "✗": False, "–": None}


class Doctor:
    """One examination: its exit status, and the verdict and the text of each line by what it is about."""

    def __init__(self, env, cwd, *arguments, binary=BINARY):
        done = subprocess.run([binary, "doctor", *(arguments or (ECHO,))], env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8",
                              **env}, capture_output=True, text=True, cwd=cwd, timeout=scaled(60), check=False)
        self.status, self.text, self.stderr = done.returncode, done.stdout, done.stderr
        self.lines = {}
        for line in done.stdout.splitlines():
            what, said = line[2:].split(": ", 1)
            self.lines[what] = (SIGNS[line[0]], said)
        bad = [what for what, (good, _) in self.lines.items() if good is False]
        assert self.status == (1 if bad else 0), self.text + self.stderr
        self.bad = bad

    def good(self, what):
        assert self.lines[what][0] is True, self.text
        return self.lines[what][1]

    def wrong(self, what, *words):
        good, said = self.lines[what]
        assert good is False and all(word in said for word in words), f"{words} in {said!r}\n{self.text}"

    def not_seen(self, *whats):
        assert all(self.lines[what][0] is None for what in whats), self.text


@pytest.fixture
def look(broker, tmp_path):
    def look(*arguments, env=None, binary=BINARY):
        return Doctor({**broker.environment(), **(env or {})}, tmp_path, *arguments, binary=binary)
    return look


def queues(broker):
    return broker.ctl("list_queues", "name", "durable", "arguments", "messages", "consumers")


def test_all_is_good_and_nothing_changes(look, broker, mov, client, tmp_path):
    """Before the first start of a host: its queues are not there, and are not there afterwards."""
    before = queues(broker)
    doctor = look()
    assert doctor.status == 0 and doctor.stderr == "", doctor.text
    assert "does not exist yet" in doctor.good(f"queue {received()}")
    assert "component c1_echo" in doctor.good("plugin")
    assert "mov" in doctor.good("login") and "RabbitMQ" in doctor.good("login")
    for what in ("settings", "broker name", "port", "MOV", "publishing", "log directory", "clock", f"queue {received()}/dead",
                 f"queue {registered()}"):
        doctor.good(what)
    doctor.not_seen("registration")
    assert queues(broker) == before
    assert os.listdir(tmp_path) == []


def test_beside_a_running_host(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    before, there = queues(broker), sorted(os.listdir(host.path("logs")))
    doctor = Doctor(broker.environment(), host.directory)
    assert doctor.status == 0, doctor.text
    assert "classic" in doctor.good(f"queue {received()}") and "1 consumer" in doctor.good(f"queue {received()}")
    assert f"registered c1_echo as {host.health()['id']}" in doctor.good("registration")
    assert f"process {host.pid}" in doctor.good("log directory")
    assert queues(broker) == before
    assert sorted(os.listdir(host.path("logs"))) == there


def test_messages_stay_where_they_are(look, broker, mov, client):
    """Nothing is taken, and nothing counts as delivered."""
    client.declare(received())
    client.publish(received(), b"[1]", b"[2]")
    assert "2 messages" in look().good(f"queue {received()}")
    taken = [client.channel.basic_get(received(), auto_ack=True) for _ in range(2)]
    assert [body for _, _, body in taken] == [b"[1]", b"[2]"] and not any(method.redelivered for method, _, _ in taken)


def test_a_wrong_name(look):
    doctor = look(env={"RABBITMQ_HOST": "no-such-host.invalid"})
    doctor.wrong("broker name", "no-such-host.invalid", "RABBITMQ_HOST")
    doctor.not_seen("port", "login", "queues", "MOV", "publishing")


def test_a_wrong_port(look):
    port = free_port()
    doctor = look(env={"RABBITMQ_PORT": str(port)})
    doctor.wrong("port", str(port), "RABBITMQ_PORT")
    doctor.not_seen("login", "queues", "MOV")


def test_a_port_of_something_else(look, tmp_path):
    """It accepts the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (tmp_path / "short.conf").write_text("broker { login_seconds = 1 }\n")
        doctor = look("--config", "short.conf", ECHO, env={"RABBITMQ_PORT": str(port)})
    doctor.good("port")
    doctor.wrong("login", str(port))


def test_a_wrong_password(look):
    doctor = look(env={"RABBITMQ_PASSWORD": "not-the-password"})
    doctor.good("port")
    doctor.wrong("login", "ACCESS_REFUSED", "password")
    doctor.not_seen("queues", "MOV", "publishing")
    assert "not-the-password" not in doctor.text


@pytest.fixture
def poor(broker):
    """A user without any permission, and a function that gives some."""
    broker.ctl("add_user", "poor", "poor")

    def allow(configure="^$", write="^$", read="^$"):
        broker.ctl("set_permissions", "poor", configure, write, read)
    allow()
    yield allow
    broker.ctl("delete_user", "poor")


POOR = {"RABBITMQ_USERNAME": "poor", "RABBITMQ_PASSWORD": "poor"}


def test_no_permission(look, poor, mov):
    doctor = look(env=POOR)
    doctor.good("login")
    doctor.wrong(f"queue {received()}", "poor", "configure permission")
    doctor.wrong("publishing", "poor", "amq.default", "write permission")


def test_no_permission_to_read(look, poor, mov, client):
    poor(configure=".*", write=".*")
    client.declare(received())
    doctor = look(env=POOR)
    doctor.wrong(f"queue {received()}", "no read permission")
    doctor.good(f"queue {received()}/dead")  # it is written only
    doctor.good("publishing")
    assert set(doctor.bad) == {f"queue {received()}", f"queue {registered()}", "queue valawai/component/page"}


def test_no_mov(look, client):
    look().wrong("MOV", "no such queue")


def test_a_mov_that_went(look, client):
    client.declare("valawai/component/register")
    look().wrong("MOV", "no consumer")


def test_a_directory_that_cannot_be_written(look, mov, tmp_path):
    (tmp_path / "file").write_text("")
    look(env={"LOG_DIR": str(tmp_path / "file")}).wrong("log directory", "not a directory", "LOG_DIR")
    look(env={"LOG_DIR": str(tmp_path / "file" / "logs")}).wrong("log directory", "Not a directory")
    look(env={"LOG_DIR": "/proc/self/logs"}).wrong("log directory", "LOG_DIR")


def test_a_disk_with_too_little_room(look, mov):
    look(env={"LOG_FILE_MAX_BYTES": str(1 << 62)}).wrong("log directory", "MB are free", "LOG_FILE_MAX_BYTES")


def test_a_host_that_is_not_registered(new_host, broker, client):
    host = new_host(broker).start()
    host.wait_consuming()
    doctor = Doctor(broker.environment(), host.directory)
    doctor.wrong("registration", "c1_echo is not healthy", "MOV")
    doctor.wrong("MOV")


def test_a_queue_with_other_arguments(look, mov, client):
    client.channel.queue_declare(received(), durable=True, arguments={"x-max-length": 7})
    try:
        look().wrong(f"queue {received()}", "x-max-length", "delete it")
    finally:
        client.delete(received())


def test_a_stream(look, mov, client):
    client.channel.queue_declare(received(), durable=True, arguments={"x-queue-type": "stream"})
    try:
        look().wrong(f"queue {received()}", "stream")
    finally:
        client.delete(received())


@pytest.mark.parametrize("release", [None, "trixie", "forky"])
def test_a_quorum_queue(release, tmp_path):
    """RabbitMQ 4 drops a message after 20 returns."""
    try:
        node = Broker(release=release, queue_type="quorum") if release else Broker(queue_type="quorum")
    except Unavailable as error:
        pytest.skip(str(error))
    with node:
        connection = node.connect()
        for topic in (received(), "valawai/component/register"):
            connection.channel().queue_declare(topic, durable=True)
        before = node.ctl("list_queues", "name", "type", "messages")
        doctor = Doctor(node.environment(), tmp_path)
        assert "quorum" in doctor.good(f"queue {received()}")
        assert doctor.bad == ["MOV"]
        (tmp_path / "long.conf").write_text("broker { delivery_limit = 50 }\n")
        doctor = Doctor(node.environment(), tmp_path, "--config", "long.conf", ECHO)
        if "RabbitMQ 3" in doctor.good("login"):
            doctor.good(f"queue {received()}")
        else:
            doctor.wrong(f"queue {received()}", "after 20 returns", "broker.delivery_limit")
        assert node.ctl("list_queues", "name", "type", "messages") == before
        connection.close()


def test_an_alarm(look, broker, mov):
    broker.alarm()
    try:
        look().wrong("publishing", "alarm")
    finally:
        broker.alarm(False)


def test_a_plugin_that_is_not_good(look, tmp_path):
    (tmp_path / "bad.so").write_text("no ELF")
    doctor = look("bad.so")
    doctor.wrong("plugins", "bad.so", "valawai-host check")
    doctor.not_seen("queues")
    doctor.good("login")


def test_wrong_settings(look):
    doctor = look(env={"RABBITMQ_PORT": "0"})
    doctor.wrong("settings", "RABBITMQ_PORT")
    doctor.good("clock")


def test_a_clock_that_is_behind(look, mov, tmp_path):
    """The program is from a time that the clock has not reached."""
    copy = shutil.copy(BINARY, tmp_path / "valawai-host")
    later = time.time() + 10 * 86400
    os.utime(copy, (later, later))
    look(binary=copy).wrong("clock", "before this program was made")


def test_usage(look, tmp_path):
    done = subprocess.run([BINARY, "doctor", "--nothing"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2 and "unknown option --nothing" in done.stderr and done.stdout == ""

# SPDX-License-Identifier: GPL-3.0-or-later
"""The host as a systemd service: its messages to NOTIFY_SOCKET, and the assumptions of the unit file."""

import configparser
import os
import secrets
import signal
import socket
import threading
import time

import pytest

from broker import wait_until
from host import published, received
from test_kit import Kit


class Manager:
    """The service manager's side: every message with the time of its arrival."""

    def __init__(self, name):
        self.name = name
        self.messages = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self):
        while True:
            words = self._socket.recv(4096).decode()
            if words == "END":
                return
            self.messages.append((time.monotonic(), words))

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"END", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def said(self):
        """All messages except those of the watchdog, without times."""
        return [words for _, words in self.messages if words != "WATCHDOG=1"]

    def beats(self):
        return [at for at, words in self.messages if words == "WATCHDOG=1"]

    def ready(self):
        return any("READY=1" in words.split("\n") for words in self.said())

    def status(self):
        lines = [line for words in self.said() for line in words.split("\n") if line.startswith("STATUS=")]
        return lines[-1] if lines else None


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    manager = Manager(str(tmp_path / "notify") if request.param == "path" else "@valawai-test-" + secrets.token_hex(8))
    yield manager
    manager.close()


def test_ready_when_registered_and_consuming(manager, new_host, broker, client):
    from mov import MovStandIn
    host = new_host(broker, env={"NOTIFY_SOCKET": manager.name}).start()
    host.wait_consuming()
    host.wait(lambda: manager.status() == "STATUS=waiting for the MOV, consuming 1 topic", what="its status")
    assert manager.said()[0] == "STATUS=starting the plugins"
    assert not manager.ready() and not host.health()
    with MovStandIn(broker):
        host.wait(manager.ready, what="READY=1")
        assert host.health(), "ready, and no health file"
        assert manager.said()[-1] == "READY=1\nSTATUS=registered, consuming 1 topic"
        client.declare(published())
        client.publish(received(), {"content": "served"})
        assert client.collect(published(), 1)
        assert host.stop(signal.SIGTERM) == 0
    assert manager.said()[-1] == "STOPPING=1\nSTATUS=stopping"
    assert manager.beats() == []  # no watchdog


def test_the_status_follows_the_broker(tmp_path, new_host, broker, mov):
    manager = Manager(str(tmp_path / "notify"))
    host = new_host(broker, env={"NOTIFY_SOCKET": manager.name}).start()
    host.wait(manager.ready, what="READY=1")
    broker.stop()
    host.wait(lambda: manager.status() == "STATUS=waiting for the broker", what="that status")
    assert not host.health()
    broker.start()
    host.wait(lambda: manager.status() == "STATUS=registered, consuming 1 topic", 30, "that status")
    assert host.stop() == 0
    manager.close()


def test_signs_of_life_also_without_a_broker(tmp_path, new_host, broker, mov):
    manager = Manager(str(tmp_path / "notify"))
    host = new_host(broker, env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "2000000"}).start()
    host.wait(manager.ready, what="READY=1")
    broker.stop()
    wait_until(lambda: len(manager.beats()) >= 6, 15, "six signs of life")
    gaps = [later - earlier for earlier, later in zip(manager.beats(), manager.beats()[1:])]
    assert max(gaps) < 2, f"longer than the watchdog waits: {gaps}"
    assert min(gaps) > 0.5, f"more often than half of its time: {gaps}"
    os.kill(host.pid, signal.SIGSTOP)
    count = len(manager.beats())
    time.sleep(2.5)
    assert len(manager.beats()) <= count + 1  # one may have been on its way
    os.kill(host.pid, signal.SIGCONT)
    assert host.stop() == 0
    manager.close()


def test_a_start_that_fails_is_never_ready(tmp_path, new_host):
    manager = Manager(str(tmp_path / "notify"))
    host = new_host(env={"NOTIFY_SOCKET": manager.name, "RABBITMQ_HOST": "127.0.0.1", "RABBITMQ_PORT": "1",
                         "RABBITMQ_MAX_RETRIES": "1", "RABBITMQ_RETRY_SLEEP": "0"})
    assert host.run().status == 1
    assert not manager.ready()
    manager.close()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """[Service] of the installed unit, split like systemd does; the prefix has no blank."""
    prefix = tmp_path_factory.mktemp("installed") / "prefix"
    Kit(prefix)
    parser = configparser.RawConfigParser(strict=False, delimiters=("=",))
    parser.optionxform = str
    with open(prefix / "lib" / "systemd" / "system" / "valawai-host@.service", encoding="utf-8") as file:
        parser.read_file(file)
    return dict(parser["Service"])


def test_the_unit_relies_on_what_the_host_does(service):
    assert service["Type"] == "notify"
    assert service["ExecStart"].split()[1:] == ["--config", os.path.dirname(service["EnvironmentFile"][1:]) + "/%i.conf"]
    # Its time to stop exceeds the host's own: grace_seconds and the steps after that.
    assert int(service["TimeoutStopSec"]) >= 5 + 1 + 2 + 2
    assert service["LogsDirectory"] == "valawai-host/%i"
    assert service["Environment"] == "LOG_DIR=%L/" + service["LogsDirectory"]


def test_the_units_command_runs(tmp_path, new_host, broker, mov, service):
    """ExecStart with its settings, as far as systemd would do: the template's %i, the environment, the socket. Its program and
    the plugin that echo.conf names are where the unit was installed to."""
    manager = Manager(str(tmp_path / "notify"))
    program, *args = service["ExecStart"].replace("%i", "echo").split()
    assert os.access(program, os.X_OK)
    host = new_host(broker, plugins=(), args=args,
                    env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": str(int(service["WatchdogSec"]) * 1000000)})
    host.start()
    host.wait(manager.ready, what="READY=1")
    assert manager.beats()
    assert host.stop() == 0
    manager.close()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that change the process: locale, directory, umask, signals, descriptors, children."""

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from conftest import in_a_thread, plain_build
from broker import wait_until
from host import BUILD, ECHO, plugin, published, received

LOAD = os.path.join(BUILD, "plugins", "load.so")


@pytest.fixture
def meddle(new_host, broker, mov, client):
    """A host with the meddler and echo, and a function that makes the meddler do something."""
    def start(change, plugins=(ECHO,), arrives=True, prepare=None, **more):
        host = new_host(broker, plugins=(plugin("meddler"), *plugins), **more)
        if prepare:
            prepare(host)
        host.start()
        host.wait_healthy()
        client.declare(published("meddler"), published())
        client.publish(received("meddler"), {"content": change})
        if arrives:
            assert client.collect(published("meddler"), 1, 10)
        return host
    return start


def echoes(client):
    client.publish(received(), {"content": "x"})
    return client.collect(published(), 1, 10)


def test_a_locale_with_a_decimal_comma_changes_no_number(meddle, client, tmp_path):
    """load prints its reading with printf("%.2f")."""
    if not shutil.which("localedef") or subprocess.run(
            ["localedef", "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")], capture_output=True).returncode:
        pytest.skip("localedef cannot make the locale de_DE.UTF-8")
    readings = "valawai/c0/load/data/reading"
    client.declare(readings)
    # With LOCPATH, glibc's newlocale() leaks the path once, in a library that libmicrohttpd brings.
    (tmp_path / "leaks.txt").write_text("leak:argz_add_sep\n")
    known = f"{os.environ.get('LSAN_OPTIONS', '')}:suppressions={tmp_path}/leaks.txt:print_suppressions=0"
    host = meddle("locale", plugins=(LOAD,), env={"LOCPATH": str(tmp_path), "LSAN_OPTIONS": known}, conf='plugin load { every_ms = 100 }\n'
                  "plugin meddler { path = \"" + plugin("meddler") + "\" }\n")
    host.wait_record("locale: de_DE.UTF-8")
    client.drain(readings)
    for body in client.collect(readings, 3, 10):
        assert isinstance(json.loads(body)["load"], float)
    assert host.stop() == 0
    assert not [record for record in host.records() if record.level == "ERROR"]


@in_a_thread
def test_another_directory_moves_no_file(meddle, client, broker):
    """The host reads the password file again for a new connection; its other files are open already."""
    def prepare(host):
        host.write("secret", broker.environment()["RABBITMQ_PASSWORD"] + "\n")
    host = meddle("chdir", env={"RABBITMQ_PASSWORD_FILE": "secret"}, prepare=prepare)
    assert os.readlink(f"/proc/{host.pid}/cwd") == "/"
    os.unlink(host.path("logs", "component_id.json"))
    host.wait_healthy()
    connected = len(re.findall("connected to", host.log()))
    for line in broker.ctl("list_connections", "pid", "client_properties").splitlines():
        if "valawai-host" in line:
            broker.ctl("close_connection", line.split()[0], "a test")
    host.wait(lambda: len(re.findall("connected to", host.log())) > connected, 30, "a new connection")
    assert echoes(client)
    assert host.stop() == 0


def test_a_umask_locks_no_file(meddle, client):
    host = meddle("umask")
    for name in ("component_id.json", "log_messages.txt"):
        os.unlink(host.path("logs", name))
        wait_until(lambda: os.path.exists(host.path("logs", name)) and
                   stat.S_IMODE(os.stat(host.path("logs", name)).st_mode) == 0o644, 10, f"{name} with its mode")
    assert echoes(client)
    assert host.stop() == 0


@in_a_thread
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("change", ["handlers", "unblock", "both"])
def test_a_signal_stops_the_host_whatever_a_plugin_does_to_it(meddle, client, mov, change, number):
    host = meddle(change)
    if change != "unblock":
        host.wait_record("a plugin handles or ignores SIG", level="WARNING", name="host")
    assert echoes(client)
    assert host.stop(number) == 0
    assert host.records()[-1].message == "stopped"
    assert not mov.active() and not host.health()


@in_a_thread
@plain_build  # a sanitizer needs the descriptors that are closed here
def test_closed_descriptors_end_the_host_with_a_record(meddle, client, new_host, broker, mov):
    """The message is not acknowledged, and the next host receives it."""
    host = meddle("closefrom", arrives=False)
    assert host.exit_status(30) == 1
    assert "a plugin closed the host's descriptors" in host.log()
    wait_until(lambda: client.depth(received("meddler")) == 1, 30, "the message in its queue")


def test_a_child_that_returns_ends_and_the_host_goes_on(meddle, client):
    host = meddle("fork-return")
    host.wait_record("the child ended with 1")
    assert "a child process that it forked returned from the handler of" in host.console
    assert echoes(client)
    assert host.stop() == 0


def test_a_child_that_stays_keeps_no_host_from_stopping(meddle, client, mov):
    host = meddle("fork-stay")
    child = int(host.wait_record(r"child \d+").message.split()[-1])
    try:
        assert echoes(client)
        assert host.stop() == 0
        assert not mov.active()
        wait_until(lambda: client.consumers(received("meddler")) == 0, 10, "the end of the consumer")
    finally:
        with contextlib.suppress(ProcessLookupError):  # it ends with the worker that made it
            os.kill(child, signal.SIGKILL)


def test_a_program_that_a_child_runs_has_default_signals(meddle, client):
    host = meddle("fork-exec")
    found = host.wait_record("child has").message
    for key in ("SigBlk", "SigIgn"):
        mask = int(re.search(key + r":\D*?([0-9a-f]{16})", found).group(1), 16)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            assert not mask >> (number - 1) & 1, found
    assert host.stop() == 0

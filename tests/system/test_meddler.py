# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that change the process: locale, directory, umask, signals, descriptors, children."""

import json
import os
import shutil
import signal
import stat
import subprocess

import pytest

from broker import wait_until
from host import BUILD, ECHO, plugin, published, received

LOAD = os.path.join(BUILD, "plugins", "load.so")


@pytest.fixture
def meddle(new_host, broker, mov, client):
    """A host with the meddler and echo, and a function that makes the meddler do something."""
    def start(change, plugins=(ECHO,), arrives=True, **more):
        host = new_host(broker, plugins=(plugin("meddler"), *plugins), **more).start()
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
    host = meddle("locale", plugins=(LOAD,), env={"LOCPATH": str(tmp_path)}, conf='plugin load { every_ms = 100 }\n'
                  "plugin meddler { path = \"" + plugin("meddler") + "\" }\n")
    host.wait_record("locale: de_DE.UTF-8")
    client.drain(readings)
    for body in client.collect(readings, 3, 10):
        assert isinstance(json.loads(body)["load"], float)
    assert host.stop() == 0
    assert not [record for record in host.records() if record.level == "ERROR"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that come, change and go while the host runs."""
import os
import shutil

import pytest

from host import ECHO, published, received


def body(number):
    return {"id": str(number), "content": "hello", "created_at": 1}


def echoes(client, first, count=1):
    """Echoes of the messages from `first` on, which it publishes, in their order."""
    client.publish(received(), *(body(number) for number in range(first, first + count)))
    return client.collect(published(), count)


@pytest.fixture
def directory(tmp_path):
    """A plugin directory with the echo plugin."""
    path = tmp_path / "plugins"
    path.mkdir()
    shutil.copy(ECHO, path / "echo.so")
    return path


@pytest.mark.parametrize("isolation", ["thread", "process"])
@pytest.mark.parametrize("bytes_left", [4096, None], ids=["truncated", "zeros"])
def test_a_loaded_plugin_survives_its_file(broker, client, mov, new_host, directory, isolation, bytes_left):
    """Programs such as cp overwrite a file in place, under the code that runs."""
    client.declare(published())
    host = new_host(broker, plugins=[directory / "echo.so"], env={"VALAWAI_ISOLATION": isolation}).start()
    host.wait_healthy()
    file = directory / "echo.so"
    size = file.stat().st_size
    with open(file, "r+b") as plugin:
        plugin.write(bytes(size))
        if bytes_left is not None:
            plugin.truncate(bytes_left)
        plugin.flush()
        os.fsync(plugin.fileno())
    assert len(echoes(client, 0, 20)) == 20
    assert host.stop() == 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugins that come, change and go while the host runs."""
import concurrent.futures
import json
import os
import shutil
import signal
import subprocess

import pytest

from broker import scaled, wait_until
from host import BINARY, ECHO, plugin, published, received
from processes import workers_of


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


SAYS = "Received a message to echo"


def put(directory, *changes, name="echo.so", source=ECHO):
    """Puts a variant of a plugin into the directory, in one step. Each change is a pair of texts of the same length."""
    code = open(source, "rb").read()
    for old, new in changes:
        assert len(old) == len(new) and old.encode() in code
        code = code.replace(old.encode(), new.encode())
    new = directory.parent / "new.so"
    new.write_bytes(code)
    os.chmod(new, 0o644)
    os.rename(new, directory / name)


def reload(host, *arguments):
    return subprocess.run([BINARY, "reload", "--dir", host.path("logs"), *arguments], text=True, capture_output=True,
                          timeout=scaled(90))


@pytest.fixture
def host(broker, client, mov, new_host, directory):
    """A host of the plugin directory, in processes."""
    client.declare(published())
    host = new_host(broker, plugins=(), conf=f'plugin_directory = "{directory}"\n', env={"VALAWAI_ISOLATION": "process"})
    host.start().wait_healthy()
    return host


def test_another_file_takes_over(host, client, mov, directory):
    id_before = host.health()
    assert len(echoes(client, 0)) == 1
    host.wait_record(SAYS)
    put(directory, (SAYS, "Received a message to eccho"[:len(SAYS)]))
    host.wait_record(r"another file has taken over: \S*/echo.so, version 1.0.0", name="c1_echo")
    assert len(echoes(client, 1)) == 1
    host.wait_record("Received a message to ecch")
    assert host.health() == id_before, "the registration is kept"


def test_a_broken_file_changes_nothing(host, client, directory):
    with open(directory / "new", "wb") as new:
        new.write(open(ECHO, "rb").read()[:5000])
    os.rename(directory / "new", directory / "echo.so")
    host.wait_record(r"reload: \S*/echo.so: truncated", level="ERROR")
    assert len(echoes(client, 0, 5)) == 5
    assert host.health()


def test_the_verb_tells_what_has_become_of_each_plugin(host, client, directory):
    result = reload(host)
    assert (result.returncode, result.stdout) == (0, "✓ no plugin has changed\n"), result
    result = reload(host, "echo")
    assert (result.returncode, result.stdout) == (0, f"✓ {directory}/echo.so: version 1.0.0 has taken over\n"), result
    result = reload(host, "no")
    assert (result.returncode, result.stdout) == (1, "✗ no: no plugin has this name\n"), result
    (directory / "echo.so").write_bytes(b"no ELF")
    for name in (("c1_echo",), (), ("echo",)):  # also when the change of the directory was the first to find the fault
        result = reload(host, *name)
        assert result.returncode == 1 and "echo.so: not a shared object" in result.stdout, result
    host.write("plugins.conf", 'plugin_directory = "x"\nbroker { prefetch = ')
    result = reload(host)
    assert result.returncode == 1 and "plugins.conf" in result.stdout, result
    assert len(echoes(client, 0, 5)) == 5


def test_requests_at_the_same_time_are_each_answered(host, directory):
    """Each names a plugin, while the directory changes."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for turn in range(5):
            shutil.copy(ECHO, directory / "echo.so")
            first, second, third = pool.map(lambda name: reload(host, name), ("echo", "c1_echo", f"no{turn}"))
            for result in first, second:
                assert "echo.so: version 1.0.0 has taken over\n" in result.stdout, result
            assert third.returncode == 1 and f"✗ no{turn}: no plugin has this name\n" in third.stdout, third


OTHER = plugin("other")


def test_a_new_file_joins_and_a_removed_one_leaves(host, client, mov, directory):
    """Twice, so that what the first time leaves behind shows."""
    client.declare(published("other"))
    for turn in range(2):
        shutil.copy(OTHER, directory / "other.so")
        host.wait_record("works: .*other.so") if turn == 0 else None
        wait_until(lambda: len(mov.active()) == 2, 10, "both are registered")
        wait_until(lambda: host.health(), 10, "health with both")
        client.publish(received("other"), {"content": "x"})
        assert len(client.collect(published("other"), 1)) == 1
        os.unlink(directory / "other.so")
        wait_until(lambda: len(mov.active()) == 1, 10, "the other one is unregistered")
        wait_until(lambda: client.consumers(received("other")) == 0, 10, "its topic is not consumed")
        wait_until(lambda: len(status_of(host)["components"]) == 1, 10, "one component")
        wait_until(lambda: host.health(), 10, "health without it")
    assert len(echoes(client, 0, 3)) == 3
    assert host.stop() == 0


def status_of(host):
    return json.loads(subprocess.run([BINARY, "status", "--json", "--dir", host.path("logs")], capture_output=True).stdout)


def test_another_document_is_registered_anew(host, client, mov, directory):
    before = host.health()["id"]
    client.publish(received(), *(body(number) for number in range(50)))
    put(directory, ("1.0.0", "1.0.1"))
    host.wait_record("works: .*echo.so, version 1.0.1")
    assert len(client.collect(published(), 50)) == 50
    wait_until(lambda: (host.health() or {"id": before})["id"] != before, 10, "another id")
    mov.wait_for(lambda mov: len(mov.active()) == 1)
    assert len(echoes(client, 100, 5)) == 5
    assert [one["version"] for one in status_of(host)["components"]] == ["1.0.1"]
    assert host.stop() == 0
    mov.wait_for(lambda mov: not mov.active())


def test_a_removed_plugin_takes_the_version_that_is_starting_along(broker, client, mov, new_host, tmp_path):
    slow = plugin("slow")
    shutil.copy(slow, tmp_path / "slow.so")
    conf = f'plugin_directory = "{tmp_path}"\nplugin slow {{ start = 1500\n enabled = true }}\n'
    host = new_host(broker, plugins=(), conf=conf, env={"VALAWAI_ISOLATION": "process"}).start()
    host.wait_healthy()
    put(tmp_path, ("1.0.0", "1.0.1"), name="slow.so", source=slow)
    wait_until(lambda: len([one for one in host.records() if one.message == "starting for 1500 ms"]) == 2, 10, "the second start")
    host.write("plugins.conf", conf.replace("true", "false"))
    result = reload(host)
    assert result.returncode == 0 and result.stdout.splitlines()[0] == f"✓ {tmp_path}/slow.so: removed", result
    wait_until(lambda: not mov.active(), 10, "the component is unregistered")
    wait_until(lambda: status_of(host)["components"] == [], 10, "no component")
    wait_until(lambda: client.consumers(received("slow")) == 0, 10, "its topic is not consumed")
    wait_until(lambda: not workers_of(host.pid), 10, "neither version has a process")
    assert host.stop() == 0


def test_a_removed_file_that_the_settings_name_is_reported(host, client, directory):
    """The settings ask for the plugin, so it goes on."""
    host.write("plugins.conf", f'plugin_directory = "{directory}"\nplugin echo {{ }}\n')
    assert reload(host).returncode == 0
    os.unlink(directory / "echo.so")
    host.wait_record(r"reload: \S*/echo.so: No such file or directory", level="ERROR")
    assert len(echoes(client, 0, 3)) == 3 and host.health()
    result = reload(host)
    assert result.returncode == 1 and "echo.so: No such file or directory" in result.stdout, result


def test_a_plugin_that_cannot_run_is_shown_and_tried_again(host, client, mov, directory):
    (directory / "other.so").write_bytes(b"no ELF")
    wait_until(lambda: not host.health(), 10, "no health with a broken plugin")
    component = wait_until(lambda: [one for one in status_of(host)["components"] if one["name"] == "other.so"], 10, "its row")[0]
    assert "not a shared object" in component["reason"]
    assert len(echoes(client, 0, 3)) == 3
    shutil.copy(OTHER, directory / "other.so")
    wait_until(lambda: len(mov.active()) == 2 and host.health(), 10, "it runs")
    assert [one["name"] for one in status_of(host)["components"]] == ["c1_echo", "c1_other"]


def test_a_renamed_file_is_the_same_component(host, client, mov, directory):
    before = host.health()
    os.rename(directory / "echo.so", directory / "again.so")
    host.wait_record("works: .*again.so")
    assert len(echoes(client, 0, 3)) == 3
    assert host.health() == before, "the registration is kept"


def test_settings_of_a_plugin_are_applied_and_others_are_named(host, client, directory):
    host.write("plugins.conf", f'plugin_directory = "{directory}"\nbroker {{ prefetch = 7 }}\nplugin echo {{ attempts = 3 }}\n')
    result = reload(host)
    assert result.returncode == 0, result
    assert result.stdout.splitlines() == [f"✓ {directory}/echo.so: version 1.0.0 works",
                                          "– broker.prefetch has changed; a restart of the host applies it"]
    host.write("plugins.conf", f'plugin_directory = "{directory}"\nplugin echo {{ enabled = false }}\n')
    result = reload(host)
    assert (result.returncode, result.stdout) == (0, f"✓ {directory}/echo.so: removed\n"), result
    assert client.consumers(received()) == 0
    assert not host.health()


def test_hangup_reloads_a_host_without_a_terminal(host, client, directory):
    host.write("plugins.conf", f'plugin_directory = "{directory}"\nplugin echo {{ enabled = false }}\n')
    host.send_signal(signal.SIGHUP)
    host.wait_record("has ended: .*echo.so")
    assert host.running()


def test_a_thread_is_not_exchanged(broker, client, mov, new_host, directory):
    client.declare(published(), published("other"))
    host = new_host(broker, plugins=(), conf=f'plugin_directory = "{directory}"\n', env={"VALAWAI_ISOLATION": "thread"})
    host.start().wait_healthy()
    put(directory, (SAYS, "Received a message to eccho"[:len(SAYS)]))
    host.wait_record("runs in a thread of the host, so another file needs a restart", level="ERROR")
    shutil.copy(OTHER, directory / "other.so")
    wait_until(lambda: len(mov.active()) == 2 and host.health(), 10, "another plugin joins")
    client.publish(received("other"), {"content": "x"})
    assert len(client.collect(published("other"), 1)) == 1
    os.unlink(directory / "other.so")
    wait_until(lambda: len(mov.active()) == 1, 10, "it leaves")
    assert len(echoes(client, 0, 3)) == 3
    assert host.stop() == 0


def test_a_link_to_another_file(broker, client, mov, new_host, directory):
    """Programs that deploy change a link. The next process after a crash comes from the new file, too."""
    client.declare(published())
    versions = directory.parent / "versions"
    for name in ("one", "two"):
        (versions / name).mkdir(parents=True)
    os.rename(directory / "echo.so", versions / "one" / "echo.so")
    put(versions / "two", (SAYS, "Received a message to eccho"[:len(SAYS)]))
    os.symlink(versions / "one" / "echo.so", directory / "echo.so")
    host = new_host(broker, plugins=(), conf=f'plugin_directory = "{directory}"\n', env={"VALAWAI_ISOLATION": "process"})
    host.start().wait_healthy()
    os.symlink(versions / "two" / "echo.so", directory / ".new")
    os.rename(directory / ".new", directory / "echo.so")
    host.wait_record("another file has taken over", name="c1_echo")
    shutil.rmtree(versions / "one")
    os.kill(workers_of(host.pid)["echo.so"], signal.SIGKILL)
    host.wait_record("Cannot run echo, because its process ended: killed by SIGKILL")
    assert len(echoes(client, 0)) == 1
    host.wait_record("Received a message to ecch")


def test_a_second_file_of_a_component_is_refused(host, client, directory):
    shutil.copy(directory / "echo.so", directory / "again.so")
    host.wait_record(r"again.so: is component c1_echo, which \S*/echo.so is already", level="ERROR")
    wait_until(lambda: not host.health(), 10, "no health with a plugin that cannot run")
    assert len(echoes(client, 0, 3)) == 3
    os.unlink(directory / "echo.so")
    host.wait_record("works: .*again.so")
    wait_until(lambda: host.health(), 10, "health with the one that is left")
    assert len(status_of(host)["components"]) == 1
    assert len(echoes(client, 3, 3)) == 3


def test_the_directory_goes_and_comes_back(host, client, directory):
    os.rename(directory, directory.parent / "away")
    host.wait_record("reload: .*plugins: .*No such file or directory", level="ERROR")
    assert len(echoes(client, 0, 3)) == 3
    assert host.health()
    os.rename(directory.parent / "away", directory)
    shutil.copy(OTHER, directory / "other.so")
    wait_until(lambda: len(status_of(host)["components"]) == 2, 15, "a plugin of the directory that is back")
    assert len(echoes(client, 3, 3)) == 3


def test_many_changes_at_once(host, client, mov, directory):
    """Programs that write a file in pieces, or several times, cause a reload when they are done."""
    code = open(ECHO, "rb").read()
    for turn in range(20):
        with open(directory / "echo.so", "wb") as file:
            for at in range(0, len(code), 4096):
                file.write(code[at:at + 4096])
                file.flush()
    assert len(echoes(client, 0, 20)) == 20
    host.wait_record("another file has taken over", name="c1_echo")
    assert len(echoes(client, 20, 20)) == 20
    assert not [record for record in host.records() if record.level == "ERROR"]

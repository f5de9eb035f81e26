# SPDX-License-Identifier: GPL-3.0-or-later
"""Invalid plugins: one line that names the plugin, and exit 1."""

import os
import re
import shutil
import struct
import subprocess

import pytest

from conftest import plain_build
from host import BUILD, ECHO, ROOT, SANITIZER, one_line, plugin, published, received

LOAD = os.path.join(BUILD, "plugins", "load.so")


@pytest.fixture
def refuse(new_host, broker, client):
    """Runs a host with these plugins, which must not start. The broker runs, so it cannot be the reason."""
    def run(*plugins, names=(), prepare=None):
        host = new_host(broker, plugins=plugins)
        if prepare:
            prepare(host)
        one_line(host.run(), *names)
        assert not host.read("logs/component_id.json")
    return run


# --- files ------------------------------------------------------------------------------------------------------------


def test_missing(refuse):
    refuse("nowhere/echo.so", names=("nowhere/echo.so",))


def test_directory(refuse):
    refuse("dir.so", names=("dir.so",), prepare=lambda host: os.mkdir(host.path("dir.so")))


def test_fifo(refuse):
    """An open() of it would wait for ever."""
    refuse("pipe.so", names=("pipe.so",), prepare=lambda host: os.mkfifo(host.path("pipe.so")))


@pytest.mark.parametrize("text", ["", "not ELF", "\x7fELF"])
def test_not_elf(refuse, text):
    refuse("text.so", names=("text.so",), prepare=lambda host: host.write("text.so", text))


def changed_copy(change, of=ECHO):
    def prepare(host):
        with open(of, "rb") as file:
            content = bytearray(file.read())
        path = host.path("copy.so")
        with open(path, "wb") as file:
            file.write(change(content) or content)
        os.chmod(path, 0o755)
    return prepare


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated(refuse, part):
    refuse("copy.so", names=("copy.so",), prepare=changed_copy(lambda content: content[:int(len(content) * part)]))


def test_wrong_architecture(refuse):
    def change(content):
        machine, = struct.unpack_from("=H", content, 18)  # e_machine
        struct.pack_into("=H", content, 18, 22 if machine != 22 else 21)  # S/390 or POWER
    refuse("copy.so", names=("copy.so",), prepare=changed_copy(change))


def test_wrong_word_size(refuse):
    def change(content):
        content[4] ^= 3  # 32 bit instead of 64, or the other way round
    refuse("copy.so", names=("copy.so",), prepare=changed_copy(change))


@pytest.mark.parametrize("mode", [0o666, 0o757, 0o777, 0o775])
def test_writable_by_others(refuse, mode):
    def prepare(host):
        shutil.copy(ECHO, host.path("open.so"))
        os.chmod(host.path("open.so"), mode)
    refuse("open.so", names=("open.so",), prepare=prepare)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_owned_by_somebody_else(refuse):
    def prepare(host):
        shutil.copy(ECHO, host.path("foreign.so"))
        os.chown(host.path("foreign.so"), 65534, 65534)
    refuse("foreign.so", names=("foreign.so",), prepare=prepare)


# --- which are loaded -------------------------------------------------------------------------------------------------


LOADS, LEAVES = re.compile(r"loaded \S*/(\w+)\.so: component (\w+), version [\d.]+;.*"), re.compile(r"did not load \S*plugins/(\w+)\.so: (.*)")


@pytest.mark.parametrize("conf, named, loaded, left", [
    ("", (), {"echo": "c1_echo", "other": "c1_other"}, {}),
    ("plugin echo { enabled = false }", (), {"other": "c1_other"}, {"echo": "the section `plugin echo` of plugins.conf disables it"}),
    ("plugin other { }", (), {"other": "c1_other"}, {"echo": "plugins.conf enables other plugins, and has no section for it"}),
    ('plugin it { path = "plugins/echo.so" }', (), {"echo": "c1_echo"},
     {"other": "plugins.conf enables other plugins, and has no section for it"}),
    ("plugin echo { }\nplugin other { enabled = no }", (), {"echo": "c1_echo"},
     {"other": "the section `plugin other` of plugins.conf disables it"}),
    ("plugin other { }", ("plugins/echo.so",), {"echo": "c1_echo"}, {}),
])
def test_the_log_names_what_is_loaded_and_what_a_section_excludes(new_host, broker, mov, client, conf, named, loaded, left):
    host = new_host(broker, plugins=named, conf=conf)
    os.mkdir(host.path("plugins"))
    for path in (ECHO, plugin("other")):
        shutil.copy(path, host.path("plugins"))
    host.start().wait_healthy()
    messages = [record.message for record in host.records()]
    assert dict(match.groups() for match in map(LOADS.fullmatch, messages) if match) == loaded
    assert dict(match.groups() for match in map(LEAVES.fullmatch, messages) if match) == left


def test_the_log_tells_what_each_plugin_is_to_do(new_host, broker, mov, client):
    """The record has the names of its options, but not their values."""
    host = new_host(broker, plugins=(LOAD,), env={"VALAWAI_OPTION_LOAD_EVERY_MS": "77777"}).start()
    said = host.wait_record(r"loaded ").message
    assert said == (f"loaded {os.path.realpath(LOAD)}: component c0_load, version 1.0.0; receives valawai/c0/load/control/change_parameters; "
                    "publishes valawai/c0/load/data/reading; isolation "
                    f"{os.environ.get('VALAWAI_ISOLATION') or 'process'}, threads 1; options every_ms, at_least")


def threads_of(host):
    names = []
    for number in os.listdir(f"/proc/{host.pid}/task"):
        with open(f"/proc/{host.pid}/task/{number}/comm") as file:
            names.append(file.read().strip())
    return names


def test_threads_have_names(new_host, broker, mov, client):
    """As `ps -L` and `top -H` show them, and the process keeps the name of its program."""
    host = new_host(broker, plugins=(ECHO, plugin("long_descriptor"))).start()
    host.wait_healthy()
    names = threads_of(host)
    assert {"vh-control", "vh-consumer", "vh-publisher", "vh-health", "vh-console", "vh-logfile", "c1_echo",
            "c1_long_descrip"} <= set(names)
    with open(f"/proc/{host.pid}/comm") as file:
        assert file.read() == "valawai-host\n"
    assert names.count("valawai-host") == 1 or SANITIZER, names


# --- descriptors ------------------------------------------------------------------------------------------------------


def test_without_our_symbol(refuse):
    refuse(plugin("no_symbol"), names=("no_symbol.so", "valawai_plugin_entry"))


def test_wrong_magic(refuse):
    refuse(plugin("wrong_magic"), names=("wrong_magic.so",))


def test_another_major(refuse):
    refuse(plugin("wrong_major"), names=("wrong_major.so", "77", "1"))


def test_descriptor_too_short(refuse):
    refuse(plugin("short_descriptor"), names=("short_descriptor.so",))


@pytest.mark.parametrize("name", ["asyncapi_missing", "asyncapi_empty", "asyncapi_not_yaml"])
def test_no_document(refuse, name):
    refuse(plugin(name), names=(name + ".so", "AsyncAPI"))


def test_no_registered_channel(refuse):
    refuse(plugin("asyncapi_unregistered"), names=("asyncapi_unregistered.so", "control/registered"))


def test_start_fails(new_host, broker, client):
    """Before the host's last line, the console shows what is loaded and what the plugin itself logs."""
    host = new_host(broker, plugins=(plugin("start_fails"),))
    result = host.run()
    *before, last = result.stderr.splitlines()
    assert result.status == 1 and last.startswith("valawai-host: ") and "start_fails.so" in last
    assert re.search(r"host: loaded \S*/start_fails\.so", before.pop(0))
    assert all("c1_start_fails: the model file is missing" in line for line in before)
    assert "the model file is missing" in host.log()


# --- two of them ------------------------------------------------------------------------------------------------------


def test_two_with_one_name(refuse):
    refuse(ECHO, plugin("twin"), names=("twin.so", "c1_echo"))


def test_two_with_one_topic(refuse):
    refuse(ECHO, plugin("same_topic"), names=("same_topic.so", received()))


def test_the_same_file_twice(refuse):
    refuse(ECHO, ECHO, names=("echo.so",))


def test_one_bad_plugin_stops_the_start(refuse, client):
    refuse(ECHO, plugin("wrong_major"), plugin("other"), names=("wrong_major.so",))
    assert client.consumers(received()) == 0


def test_a_newer_descriptor_runs(new_host, broker, mov, client):
    host = new_host(broker, plugins=(plugin("long_descriptor"),)).start()
    host.wait_healthy()
    client.declare(published("long_descriptor"))
    client.publish(received("long_descriptor"), b'{"content":"x"}')
    assert client.collect(published("long_descriptor"), 1) == [b'{"content":"x"}']


# --- what a plugin's build promises -----------------------------------------------------------------------------------


@plain_build
@pytest.mark.skipif(not shutil.which("nm"), reason="no nm")
def test_echo_exports_one_symbol():
    symbols = subprocess.run(["nm", "-D", "--defined-only", ECHO], check=True, capture_output=True, text=True).stdout
    assert [line.split()[-1] for line in symbols.splitlines()] == ["valawai_plugin_entry"]


@pytest.mark.parametrize("compiler, language, standard", [("cc", "c", "c11"), ("c++", "c++", "c++17")])
def test_the_header_compiles_alone(tmp_path, compiler, language, standard):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    source = tmp_path / "alone"
    source.write_text("#include <valawai/plugin.h>\n")
    done = subprocess.run([compiler, "-x", language, f"-std={standard}", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
                           "-fsyntax-only", "-I", os.path.join(ROOT, "include"), str(source)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# --- starting ---------------------------------------------------------------------------------------------------------


def test_a_plugin_that_starts_slowly_delays_no_other(new_host, broker, mov, client):
    client.declare(published("slow"))
    host = new_host(broker, plugins=(plugin("slow"), ECHO), conf='plugin slow { start = "20000" }\n').start()
    client.declare(received(), published())
    client.publish(received(), {"content": "x"})
    assert client.collect(published(), 1, 10)
    mov.wait_for(lambda mov: [component["name"] for component in mov.active()] == ["c1_echo"])
    assert not [record for record in host.records() if "registered as" in record.message and record.name == "c1_slow"]
    assert client.consumers(received("slow")) == 0
    assert host.stop() == 0


def test_a_plugin_that_starts_slowly_joins_later(new_host, broker, mov, client):
    client.declare(published("slow"))
    host = new_host(broker, plugins=(plugin("slow"), ECHO), conf='plugin slow { start = "1500" }\n').start()
    host.wait_healthy()
    assert {component["name"] for component in mov.active()} == {"c1_echo", "c1_slow"}
    client.publish(received("slow"), {"content": "x"})
    assert client.collect(published("slow"), 1, 10)
    assert host.stop() == 0

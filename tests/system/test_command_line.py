# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line, exit statuses, and which plugins a start takes."""

import os
import re
import shutil
import signal
import subprocess

import pytest

from broker import scaled
from host import BINARY, ECHO, ROOT, Result, one_line, plugin, published, received, TERMINAL


@pytest.mark.parametrize("args", [("--help",), ("run", "--help")])
def test_help(new_host, args):
    result = new_host(plugins=(), args=args).run()
    assert result.status == 0 and result.stderr == ""
    for word in ("valawai-host", "run", "--config", "--help", "--version", "PLUGIN.so"):
        assert word in result.stdout
    for variable in ("RABBITMQ_HOST", "RABBITMQ_PASSWORD_FILE", "LOG_CONSOLE_LEVEL", "COMPONET_ID_FILE_NAME"):
        assert variable in result.stdout


def test_version_is_the_one_of_the_project(new_host):
    with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
        version = re.search(r"project\([^)]*VERSION\s+(\d+\.\d+\.\d+)", file.read()).group(1)
    result = new_host(plugins=(), args=("--version",)).run()
    assert (result.status, result.stderr) == (0, "")
    assert re.fullmatch(rf"valawai-host {re.escape(version)}\b.*\n", result.stdout)


@pytest.mark.parametrize("args, thing", [
    (("--frobnicate",), "--frobnicate"),
    (("-z",), "-z"),
    (("run", "--frobnicate"), "--frobnicate"),
    (("--config",), "--config"),
])
def test_wrong_usage_is_2(new_host, args, thing):
    result = new_host(plugins=(), args=args).run()
    assert result.status == 2 and result.stdout == ""
    assert result.stderr.startswith("valawai-host: ") and thing.lstrip("-") in result.stderr


@pytest.fixture
def run(tmp_path):
    """Runs the program in a shell that does that to its standard descriptors."""
    def run(*args, redirect=""):
        command = ["sh", "-c", f'exec "$@" {redirect}', "sh", BINARY, *args]
        done = subprocess.run(command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=scaled(20), check=False)
        return Result(done.returncode, done.stdout, done.stderr)
    return run


@pytest.mark.parametrize("args, complaint", [
    (("-xyz",), "unknown option -x"),
    (("-cx", "-z"), "unknown option -z"),
    (("run", "-zc"), "unknown option -z"),
    (("-c",), "-c expects a value"),
    (("--conf",), "--conf expects a value"),
    (("check", "-s", "x"), "check: unknown option -s"),
    (("check", "--strict=yes", "x"), "--strict=yes takes no value"),
    (("validate", "--bogus", "a", "b"), "validate: unknown option --bogus"),
    (("validate", "-b", "a", "b"), "validate: unknown option -b"),
    (("try", "-qz", "x"), "try: unknown option -q"),
    (("try", "-vq", "x"), "try: unknown option -q"),
    (("try", "--verbose", "-kqz", "x"), "try: unknown option -q"),
    (("try", "--topic=x", "-kq", "x"), "try: unknown option -q"),
    (("try", "--verbose=x", "x"), "--verbose=x takes no value"),
    (("try", "x", "-vf"), "-f expects a value"),
    (("send", "-q", "x"), "send: unknown option -q"),
    (("listen", "-t", "x"), "listen: unknown option -t"),
    (("listen", "x", "--no"), "listen: unknown option --no"),
    (("new", "-z", "c1_x"), "new: unknown option -z"),
    (("new", "c1_x", "-d"), "-d expects a value"),
])
def test_the_wrong_option_is_named(run, args, complaint):
    assert run(*args) == Result(2, "", f"valawai-host: {complaint}; see valawai-host --help\n")


@pytest.mark.parametrize("args, complaint", [
    (("chekc", ECHO), "chekc is neither a verb nor a file"),
    ((ECHO, "help"), "help is neither a verb nor a file"),
    (("--config", "x.conf", "send", "a", "{}"), "the verb comes first: valawai-host send ..."),
    (("-cx.conf", "run", ECHO), "the verb comes first: valawai-host run ..."),
])
def test_no_verb(run, args, complaint):
    assert run(*args) == Result(2, "", f"valawai-host: {complaint}; see valawai-host --help\n")


@pytest.mark.parametrize("args", [("nowhere.so",), ("no/where",), ("./send",), ("run", "nowhere"), ("run", "send")])
def test_no_file(run, args):
    one_line(run(*args), args[-1], "No such file")


def test_a_plugin_may_have_any_name(new_host):
    """An existing file is a plugin, even if its name is unusual, or that of a verb."""
    host = new_host(plugins=("component", "send"))
    shutil.copy(plugin("start_fails"), host.path("component"))
    shutil.copy(plugin("no_symbol"), host.path("send"))
    one_line(host.run(), "send", "valawai_plugin_entry")


# --- standard descriptors -----------------------------------------------------------------------------------------------

DOCUMENT = os.path.join(ROOT, "plugins", "echo", "asyncapi.yaml")


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("check", ECHO), ("check", DOCUMENT), ("new",),
                                  ("validate", DOCUMENT, received())])
def test_what_cannot_be_printed(run, args, tmp_path):
    messages = tmp_path / "messages"
    for redirect, why in ((">/dev/full", "No space left"), (">&-", "Bad file descriptor")):
        messages.write_text('{"content":"x"}\n')
        more = {"validate": [str(messages)], "new": ["--dir", str(tmp_path / why[:2]), "c1_x"]}.get(args[0], [])
        one_line(run(*args, *more, redirect=redirect), "standard output", why)
    if args[0] == "validate":  # more than fits into a buffer
        messages.write_text('{"content":"x"}\n' * 10000)
        one_line(run(*args, str(messages), redirect=">/dev/full"), "standard output", "No space left")


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_nobody_elses(new_host, broker, mov, client, closed):
    """Otherwise the first opened file would become the console, and the first socket would receive the output."""
    host = new_host(broker, prefix=("sh", "-c", f'exec "$@" {closed}', "sh")).start()
    host.wait_healthy()
    assert host.stop() == 0
    assert [record.message for record in host.records()].count("stopped") == 1  # each line is a record of the file
    assert host.console == host.stdout == ""


@pytest.mark.parametrize("conf", [None, "", 'plugin_directory = "none"\n', "plugin_directory = plugs\n"])
def test_no_plugin_found(new_host, conf):
    host = new_host(plugins=(), conf=conf)
    os.mkdir(host.path("plugs"))
    one_line(host.run(), "none" if conf and "none" in conf else "plug")


def test_plugins_of_the_default_directory(new_host, broker, mov, client):
    host = new_host(broker, plugins=())
    os.mkdir(host.path("plugins"))
    shutil.copy(ECHO, host.path("plugins"))
    shutil.copy(plugin("other"), host.path("plugins"))
    host.write("plugins/README", "not a plugin")
    host.start().wait_healthy()
    assert {component["name"] for component in mov.active()} == {"c1_echo", "c1_other"}


def test_plugins_of_the_configuration(new_host, broker, mov, client):
    """Its paths start at the directory of the file; plugins that are not enabled are not loaded."""
    host = new_host(broker, plugins=(), args=("run", "--config", "etc/host.conf"))
    os.makedirs(host.path("etc", "lib"))
    shutil.copy(plugin("other"), host.path("etc", "lib", "other.so"))
    shutil.copy(plugin("slow"), host.path("etc", "lib", "slow.so"))
    host.write("etc/host.conf", f"""
        # sections decide, so slow.so, which also lies in lib, is not looked at
        plugin_directory = "lib"
        plugin other {{ greeting = "good morning" }}
        plugin verdict {{ path = "{plugin('verdict')}"  enabled = false }}
        """)
    host.start().wait_healthy()
    assert [component["name"] for component in mov.active()] == ["c1_other"]
    host.wait_record("greeting: good morning", name="c1_other")


def test_plugins_of_the_directory_but_for_one(new_host, broker, mov, client):
    """A section that disables a plugin enables none, so all others in the directory are loaded."""
    host = new_host(broker, plugins=(), conf="plugin echo { enabled = false }\n")
    os.mkdir(host.path("plugins"))
    shutil.copy(ECHO, host.path("plugins"))
    shutil.copy(plugin("other"), host.path("plugins"))
    host.start().wait_healthy()
    assert [component["name"] for component in mov.active()] == ["c1_other"]


def test_plugins_of_the_command_line_are_the_only_ones(new_host, broker, mov, client):
    host = new_host(broker, plugins=("elsewhere/other.so",),
                    conf=f'plugin echo {{ path = "{ECHO}" }}\nplugin other {{ greeting = "hello" }}\n')
    os.mkdir(host.path("elsewhere"))
    shutil.copy(plugin("other"), host.path("elsewhere"))
    host.start().wait_healthy()
    assert [component["name"] for component in mov.active()] == ["c1_other"]
    host.wait_record("greeting: hello", name="c1_other")  # its options still come from the file


def test_a_plugin_without_options_has_none(new_host, broker, mov, client):
    new_host(broker, plugins=(plugin("other"),)).start().wait_record(r"greeting: \(none\)", name="c1_other")


def test_stdout_stays_empty(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    client.declare(published())
    client.publish(received(), {"content": "x"})
    client.collect(published(), 1)
    assert host.stop() == 0
    assert host.stdout == ""


# --- a terminal that is closed ------------------------------------------------------------------------------------------


def test_hangup_is_a_stop(new_host, broker, mov, client):
    """The signal comes twice, from the terminal and from the shell in it."""
    host = new_host(broker, prefix=TERMINAL).start()
    identifier = host.wait_healthy()["id"]
    host.send_signal(signal.SIGHUP)
    host.wait_record("stopping on SIGHUP")
    if host.running():
        host.send_signal(signal.SIGHUP)
    assert host.exit_status() == 0
    assert not os.path.exists(host.path("logs", "component_id.json"))
    mov.wait_for(lambda mov: mov.unregistered == [identifier])
    assert host.records()[-1].message == "stopped"


def test_nohup(new_host, broker, mov, client):
    host = new_host(broker, prefix=("nohup",)).start()
    host.wait_healthy()
    host.send_signal(signal.SIGHUP)
    client.declare(published())
    for _ in range(3):  # it would have been seen by now
        client.publish(received(), {"content": "x"})
        client.collect(published(), 1)
    assert host.running() and "SIGHUP" not in host.console
    assert host.stop() == 0
    assert "stopping on SIGTERM" in host.console

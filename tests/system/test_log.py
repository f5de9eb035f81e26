# SPDX-License-Identifier: GPL-3.0-or-later
"""Console and log file: their formats, rotation, one line for each record, and disks that cannot be written."""

import contextlib
import os
import pty
import re
import subprocess
import time

import pytest

from broker import scaled, wait_until
from conftest import in_a_thread, plain_build
from host import CONSOLE_RECORD, FILE_RECORD, plugin, published, received


def echo(client, *contents):
    """Sends contents and waits for their echoes."""
    client.declare(published())
    client.publish(received(), *({"content": content} for content in contents))
    client.collect(published(), len(contents))


def test_forms(new_host, broker, mov, client):
    before = time.strftime("%Y-%m-%d %H:%M:%S")
    host = new_host(broker, env={"LOG_CONSOLE_LEVEL": "DEBUG"}).start()
    host.wait_healthy()
    echo(client, "x")
    client.publish(received(), b"[]")
    host.wait_record("", level="ERROR")
    assert host.stop() == 0
    file, console = host.records(), host.console_records()  # both check every line
    after = time.strftime("%Y-%m-%d %H:%M:%S")
    for record in file + console:
        assert before <= record.time[:19] <= after  # local time
    for record in file:
        assert "/" not in record.file  # a name, whatever directory it was built in
        assert int(record.process) == host.pid
    # With both levels at DEBUG both have the same records, in the same order.
    assert [(r.level, r.name, r.message) for r in file] == [(r.level, r.name, r.message) for r in console]
    assert {"host", "c1_echo"} == {record.name for record in file}


def test_time_is_local(new_host, broker, mov, client):
    host = new_host(broker, env={"TZ": "XYZ-9"}).start()
    host.wait_healthy()
    hours = time.strftime("%H", time.gmtime(host.started + 9 * 3600)), time.strftime("%H", time.gmtime(time.time() + 9 * 3600))
    assert host.records()[0].time[11:13] in hours


@pytest.mark.parametrize("console, file", [("ERROR", "INFO"), ("INFO", "ERROR"), ("CRITICAL", "CRITICAL")])
def test_levels_apart(new_host, broker, mov, client, console, file):
    host = new_host(broker, env={"LOG_CONSOLE_LEVEL": console, "LOG_FILE_LEVEL": file}).start()
    host.wait_healthy()
    echo(client, "x")
    assert host.stop() == 0
    sent = "Sent Echoed message"
    assert (sent in host.console) == (console == "INFO")
    assert (sent in host.log()) == (file == "INFO")


def test_an_older_log_is_continued(new_host, broker, mov, client):
    host = new_host(broker)
    host.write("logs/log_messages.txt", "an older line\n")
    host.start().wait_healthy()
    assert host.log().startswith("an older line\n") and "registered as" in host.log()


# --- rotation ---------------------------------------------------------------------------------------------------------


def test_rotation(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_FILE_MAX_BYTES": "2000", "LOG_FILE_BACKUP_COUNT": "3"}).start()
    host.wait_healthy()
    echo(client, *(f"message {number}" for number in range(60)))
    assert host.stop() == 0
    names = [f"logs/log_messages.txt{end}" for end in (".3", ".2", ".1", "")]
    assert sorted(os.listdir(host.path("logs"))) == sorted(os.path.basename(name) for name in names)
    firsts = []
    for name in names:
        size = os.path.getsize(host.path(name))
        assert 0 < size <= 2000
        assert host.read(name).endswith("\n")
        firsts.append(host.records(name)[0].time)
    for name in names[:-1]:  # rotated when the next record would have passed the size, not much earlier
        assert os.path.getsize(host.path(name)) > 1000
    assert firsts == sorted(firsts)
    assert "message 59" in host.read(names[-1]) + host.read(names[-2])


def test_rotation_counts_what_an_earlier_run_wrote(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_FILE_MAX_BYTES": "2000", "LOG_FILE_BACKUP_COUNT": "5"})
    host.write("logs/log_messages.txt", "x" * 1990 + "\n")
    host.start().wait_healthy()
    assert any(host.read(f"logs/log_messages.txt.{number}") == "x" * 1990 + "\n" for number in range(1, 6))


@pytest.mark.parametrize("env", [{"LOG_FILE_MAX_BYTES": "0"},
                                 {"LOG_FILE_MAX_BYTES": "500", "LOG_FILE_BACKUP_COUNT": "0"}])
def test_no_rotation(new_host, broker, mov, client, env):
    host = new_host(broker, env=env).start()
    host.wait_healthy()
    echo(client, *(f"message {number}" for number in range(20)))
    assert host.stop() == 0
    assert os.listdir(host.path("logs")) == ["log_messages.txt"]
    assert os.path.getsize(host.path("logs/log_messages.txt")) > 2000
    assert "message 0" in host.log() and "message 19" in host.log()


def test_a_record_larger_than_the_limit(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_FILE_MAX_BYTES": "1000", "LOG_FILE_BACKUP_COUNT": "2"}).start()
    host.wait_healthy()
    echo(client, "x" * 5000, "after it")
    assert host.stop() == 0
    for name in os.listdir(host.path("logs")):
        host.records(os.path.join("logs", name))


# --- one line per record ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [
    b'{\n\t"content":\r\n"pretty"\n}',
    b"line one\nFORGED: 2026-01-01 00:00:00,000 | INFO | x.c:1 | 1 >>> line two\r\n",
    b"\x1b[2J\x07\x08 bell",
    b"\x00 zero",
    b"\x7f\xc2\x85\xe2\x80\xa8 delete and other line ends",
], ids=["pretty", "forged", "escape", "zero", "others"])
def test_control_characters_are_escaped(new_host, broker, mov, client, body):
    host = new_host(broker, env={"LOG_CONSOLE_LEVEL": "DEBUG"}).start()
    host.wait_healthy()
    client.publish(received(), body)
    echo(client, "the end")
    host.wait_record("the end")
    assert host.stop() == 0
    for text, form in ((host.log(), FILE_RECORD), (host.console, CONSOLE_RECORD)):
        lines = text.split("\n")
        assert lines.pop() == ""
        for line in lines:
            assert form.fullmatch(line), line
            assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in line), line
            assert not line.startswith("FORGED")


# --- disks that take nothing ------------------------------------------------------------------------------------------


def assert_said_once(host, thing):
    lines = [line for line in host.console.splitlines() if thing in line]
    assert len(lines) == 1, lines


def test_full_disk(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_FILE_NAME": "/dev/full"})
    host.start().wait_healthy()
    echo(client, *map(str, range(50)))
    assert host.stop() == 0
    assert_said_once(host, "/dev/full: cannot write it")
    mov.wait_for(lambda mov: len(mov.unregistered) == 1)


def test_directory_that_cannot_be_made(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_DIR": "file/logs"})
    host.write("file", "in the way")
    host.start()
    mov.wait_for(lambda mov: mov.active(), 10)
    echo(client, *map(str, range(50)))
    assert host.stop() == 0
    mov.wait_for(lambda mov: len(mov.unregistered) == 1)
    lines = [line for line in host.console.splitlines() if "file/logs" in line]
    for other in "component_id.json", "no control socket":  # they lie there too, and may be reported
        assert len([line for line in lines if other in line]) <= 1, lines
        lines = [line for line in lines if other not in line]
    assert len(lines) == 1, lines


def test_log_file_that_is_a_directory(new_host, broker, mov, client):
    host = new_host(broker)
    os.makedirs(host.path("logs/log_messages.txt"))
    host.start().wait_healthy()
    echo(client, *map(str, range(50)))
    assert host.stop() == 0
    assert_said_once(host, "log_messages.txt")


def test_disk_that_fills_up(new_host, broker, mov, client):
    """A file system of 64 kB, 16 of which are left."""
    host = new_host(broker)
    logs = host.path("logs")
    os.mkdir(logs)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", logs], capture_output=True).returncode != 0:
        pytest.skip("may not mount a file system")
    try:
        host.write("logs/filler", "x" * 49152)
        host.start().wait_healthy()
        echo(client, *(f"message {number} {'x' * 300}" for number in range(100)))
        assert_said_once(host, "log_messages.txt")
        echo(client, "still there")
        assert host.stop() == 0
        mov.wait_for(lambda mov: len(mov.unregistered) == 1)
    finally:
        subprocess.run(["umount", "--lazy", logs], check=False)


# --- a log file that goes away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_is_removed_comes_back(new_host, broker, mov, client, what):
    """Even an idle host, which writes no record, notices."""
    host = new_host(broker, env={"COMPONET_ID_FILE_NAME": "../component_id.json"}).start()
    host.wait(lambda: host.health("component_id.json"), what="a health file")
    if what == "file":
        os.unlink(host.path("logs/log_messages.txt"))
    else:
        os.rename(host.path("logs"), host.path("taken away"))
    host.wait(lambda: os.path.exists(host.path("logs/log_messages.txt")), what="the log file")
    echo(client, "after it")
    host.wait_record("after it")
    assert host.stop() == 0
    assert "ERROR" not in host.console


def test_a_removed_directory_that_cannot_be_made_again(new_host, broker, mov, client):
    host = new_host(broker, env={"COMPONET_ID_FILE_NAME": "../component_id.json"}).start()
    host.wait(lambda: host.health("component_id.json"), what="a health file")
    os.rename(host.path("logs"), host.path("taken away"))
    host.write("logs", "in the way")
    host.wait(lambda: "logs/log_messages.txt: cannot" in host.console, what="a record about the log file")
    assert_said_once(host, "logs/log_messages.txt: cannot")


def test_a_symbolic_link_is_not_followed(new_host, broker, mov, client):
    host = new_host(broker)
    os.mkdir(host.path("logs"))
    host.write("precious", "as it was")
    os.symlink(host.path("precious"), host.path("logs/log_messages.txt"))
    host.start().wait_healthy()
    echo(client, "x")
    assert host.stop() == 0
    assert host.read("precious") == "as it was"
    assert_said_once(host, "log_messages.txt: cannot open it: it is a symbolic link; continuing without the log file")


# --- consoles and disks that block -------------------------------------------------------------------------------------- #
# The records of some thousand messages fill the queue and a pipe. This may delay no message.


ONE_FILE = {"LOG_FILE_MAX_BYTES": "0"}


class Flow:
    """Messages through the host, and the longest time that one of them took."""

    def __init__(self, client):
        self.client, self.slowest, self.count = client, 0, 0
        client.declare(published())

    def run(self, batches=15, size=400):
        for _ in range(batches):
            began = time.monotonic()
            self.client.publish_many(received(), [{"content": f"message {n} {'x' * 300}"} for n in range(size)])
            self.client.collect(published(), size)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.count += size


@contextlib.contextmanager
def pipe_that_nobody_reads():
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)


def read_all(fd):
    """Reads until the other end is closed, which a terminal reports as an error."""
    found = []
    with contextlib.suppress(OSError):
        while block := os.read(fd, 65536):
            found.append(block)
    return b"".join(found).decode().replace("\r\n", "\n")


@plain_build  # a sanitizer writes to the same console at the end
def test_a_full_pipe_as_console(new_host, broker, mov, client):
    with pipe_that_nobody_reads() as (reader, writer):
        host = new_host(broker, stderr=writer, env=ONE_FILE).start()
        host.wait_healthy()
        flow = Flow(client)
        flow.run()
        host.wait_record("console too slow: dropping its records", level="WARNING")
        assert sum("Sent Echoed message" in record.message for record in host.records()) == flow.count  # all in the file
        assert host.stop() == 0
        assert not mov.active() and not os.path.exists(host.path("logs/component_id.json"))
    print(f"the slowest batch took {flow.slowest:.2f} s")
    assert flow.slowest < scaled(2)


def test_what_a_slow_console_missed_is_counted(new_host, broker, mov, client):
    with pipe_that_nobody_reads() as (reader, writer):
        host = new_host(broker, stderr=writer, env=ONE_FILE).start()
        host.wait_healthy()
        flow = Flow(client)
        flow.run()
        client.publish(received(), b"[]")  # an error, for which room is reserved
        host.wait_record("", level="ERROR")
        host.send_signal(15)
        os.close(writer)
        console = read_all(reader)
        assert host.exit_status() == 0
    lines = console.splitlines()
    assert all(CONSOLE_RECORD.fullmatch(line) for line in lines)
    dropped = sum(int(count) for count in re.findall(r"WARNING\] host: (\d+) records? dropped: console too slow$", console, re.M))
    assert dropped > 0 and console.count("Sent Echoed message") < flow.count
    levels = {"INFO", "WARNING", "ERROR"}
    assert len(lines) - console.count(" dropped: console too slow") + dropped == sum(
        r.level in levels and "console too slow" not in r.message for r in host.records())
    assert " [ERROR] c1_echo: " in console


@plain_build  # the same
def test_a_terminal_that_is_stopped(new_host, broker, mov, client):
    """Ctrl-S, and Ctrl-Q after the stop has begun."""
    master, terminal = pty.openpty()
    try:
        host = new_host(broker, stderr=terminal, env=ONE_FILE).start()
        host.wait_healthy()
        os.write(master, b"\x13")
        Flow(client).run()
        host.wait_record("console too slow: dropping its records")
        assert host.stop() == 0
        assert not mov.active()
    finally:
        os.close(master)
        os.close(terminal)


@plain_build
def test_a_disk_that_hangs(new_host, broker, mov, client):
    host = new_host(broker, env={"LD_PRELOAD": plugin("hanging_disk"), "HANGING_FILE": "log_messages.txt", **ONE_FILE})
    host.env["HANGING_WHILE"] = host.write("hangs", "")
    host.start().wait_healthy()
    flow = Flow(client)
    flow.run()
    assert "log file too slow: dropping its records" in host.console
    assert host.console.count("Sent Echoed message") == flow.count  # the console does not wait for the disk
    os.unlink(host.path("hangs"))
    host.wait_record(r"^\d+ records dropped: log file too slow", level="WARNING")
    os.close(os.open(host.path("hangs"), os.O_CREAT))
    assert host.stop() == 0
    assert not mov.active() and not os.path.exists(host.path("logs/component_id.json"))
    print(f"the slowest batch took {flow.slowest:.2f} s")
    assert flow.slowest < scaled(2)


@plain_build
def test_a_console_and_a_disk_that_block_from_the_start(new_host, broker, mov, client):
    with pipe_that_nobody_reads() as (reader, writer):
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while os.write(writer, b"x" * 4096):
                pass
        os.set_blocking(writer, True)
        host = new_host(broker, stderr=writer, env={"LD_PRELOAD": plugin("hanging_disk"), "HANGING_FILE": "log_messages.txt"})
        host.env["HANGING_WHILE"] = host.write("hangs", "")
        host.start().wait_healthy()
        Flow(client).run(batches=1)
        assert host.stop() == 0
        assert not mov.active()


# --- the last records before a crash ------------------------------------------------------------------------------------


@plain_build
@in_a_thread
@pytest.mark.parametrize("content, words", [
    ("crash", "plugin fatal.so: crashed (SIGSEGV) in the handler of"),
    ("abort", "plugin fatal.so: aborted (SIGABRT"),
    ("overflow", "plugin fatal.so: crashed (SIGSEGV) in the handler of"),
    ("exit", "plugin fatal.so: called exit() in the handler of"),
    ("leave", "plugin fatal.so: ended the host's thread (pthread_exit) in the handler of"),
    ("thread", "exit() was called in a thread that a plugin made"),
])
def test_a_crash_is_in_the_log_file(new_host, broker, mov, client, content, words):
    host = new_host(broker, plugins=(plugin("fatal"),)).start()
    host.wait_healthy()
    client.publish(received("fatal"), {"content": content})
    assert host.exit_status() != 0
    assert host.console.splitlines()[-1].startswith("valawai-host: " + words)
    last = host.records()[-1]
    assert last.level == "CRITICAL" and last.message.startswith(words)
    assert "registered as" in host.log()

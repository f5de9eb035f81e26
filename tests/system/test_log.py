# SPDX-License-Identifier: GPL-3.0-or-later
"""Console and log file: their forms, rotation, one line per record, and disks that take nothing."""

import os
import subprocess
import time

import pytest

from host import CONSOLE_RECORD, FILE_RECORD, published, received


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
    # With both levels at DEBUG both say the same, in the same order.
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
    host = new_host(broker)
    os.mkdir(host.path("logs"))
    os.symlink("/dev/full", host.path("logs/log_messages.txt"))
    host.start().wait_healthy()
    echo(client, *map(str, range(50)))
    assert host.stop() == 0
    assert_said_once(host, "log_messages.txt")
    assert len(mov.unregistered) == 1


def test_directory_that_cannot_be_made(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_DIR": "file/logs"})
    host.write("file", "in the way")
    host.start()
    mov.wait_for(lambda mov: mov.active(), 10)
    echo(client, *map(str, range(50)))
    assert host.stop() == 0
    assert len(mov.unregistered) == 1
    lines = [line for line in host.console.splitlines() if "file/logs" in line]
    assert 1 <= len(lines) <= 2  # the log, and perhaps the health file, which lies there too
    assert len([line for line in lines if "component_id.json" not in line]) == 1, lines


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
        assert len(mov.unregistered) == 1
    finally:
        subprocess.run(["umount", "--lazy", logs], check=False)

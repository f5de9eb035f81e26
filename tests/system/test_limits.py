# SPDX-License-Identifier: GPL-3.0-or-later
"""The limits of the project; plain builds only."""

import os
import shutil
import time

import pytest

from broker import scaled, wait_until
from conftest import plain_build
from host import WRAPPER, published, received


def epoch(record):
    return time.mktime(time.strptime(record.time[:19], "%Y-%m-%d %H:%M:%S")) + int(record.time[20:]) / 1000


@plain_build
def test_start_to_consuming(new_host, broker, mov, client):
    """Under 100 ms on an idle machine; the best of several runs."""
    taken = []
    for _ in range(5):
        host = new_host(broker).start()
        record = host.wait_consuming()
        taken.append(epoch(record) - host.started)
        assert client.consumers(received()) == 1
        assert host.stop() == 0
    print(f"start to consuming: {', '.join(f'{seconds * 1000:.0f}' for seconds in taken)} ms")
    assert min(taken) < scaled(0.1)


@plain_build
def test_memory_under_load(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    client.declare(published())
    for _ in range(3):
        client.publish_many(received(), [{"content": "x" * 1000}] * 3000)
        client.collect(published(), 3000, 30)
    print(f"resident memory: {host.rss() / 1e6:.1f} MB, at most {host.peak_rss() / 1e6:.1f} MB")
    assert host.peak_rss() < 15_000_000


def test_file_descriptors_stay(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_FILE_MAX_BYTES": "5000"}).start()
    host.wait_healthy()
    client.declare(published())

    def work():
        client.publish(received(), *({"content": str(number)} for number in range(100)), b"bad")
        client.collect(published(), 100)
        return host.fds()

    assert work() == work()
    assert not any(os.readlink(f"/proc/{host.pid}/fd/{fd}").endswith("(deleted)") for fd in os.listdir(f"/proc/{host.pid}/fd"))


def test_an_idle_host_sleeps(new_host, broker, mov, client):
    """Waiting for messages costs no processor time. A loop that polls would show as switches between threads; heartbeats, the
    look at the MOV (twice a second) and at the log file (every two seconds) are some tens in three seconds."""
    host = new_host(broker).start()
    host.wait_healthy()

    def switches():
        count = 0
        for thread in os.listdir(f"/proc/{host.pid}/task"):
            with open(f"/proc/{host.pid}/task/{thread}/status") as file:
                count += sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)
        return count

    before, began = switches(), time.monotonic()
    time.sleep(3)
    rate = (switches() - before) / (time.monotonic() - began)
    print(f"{rate:.0f} switches a second")
    assert rate < 60 * (5 if WRAPPER else 1)


# --- too few descriptors or threads -------------------------------------------------------------------------------------


@plain_build
@pytest.mark.parametrize("limit", [8, 9, 10, 12, 15, 20, 25, 30, 34, 35, 36, 40])
def test_few_descriptors(new_host, broker, mov, client, limit):
    """The host reports the lack before it registers, or has enough descriptors for everything."""
    host = new_host(broker, prefix=("prlimit", f"--nofile={limit}")).start()
    wait_until(lambda: host.health() or not host.running(), 15, "a health file, or the end")
    if host.running():
        client.declare(published())
        client.publish(received(), {"content": "x"})
        assert client.collect(published(), 1)
        assert host.stop() == 0
        assert "Too many open files" not in host.console
    else:
        assert host.exit_status() == 1 and limit < 40
        assert "Too many open files" in host.console.splitlines()[-1] and not mov.registered


def test_few_threads(new_host, broker, mov, client):
    """Each run is that of a user without other processes, in a directory of that user. What an earlier run left to init counts
    for its user until init waits for it."""
    if os.geteuid() != 0 or not shutil.which("setpriv") or not shutil.which("prlimit"):
        pytest.skip("needs root, setpriv and prlimit to become a user with a limit")
    ends = []
    for limit in range(1, 31):
        user = 54321 + limit
        host = new_host(broker, prefix=("prlimit", f"--nproc={limit}", "setpriv", f"--reuid={user}", "--clear-groups",
                                        "--bounding-set=-all", "--inh-caps=-all"))
        os.chown(host.directory, user, -1)
        host.start()
        wait_until(lambda: host.health() or not host.running(), 15, "a health file, or the end")
        if host.running():
            assert host.stop() == 0
            ends.append(0)
            break
        ends.append(host.exit_status())
        last = host.console.splitlines()[-1]
        assert ends[-1] == 1 and ("cannot start a thread" in last or "cannot try it in a child process" in last), host.console
        assert not mov.registered
    print(f"exit status by limit: {ends}")
    assert len(ends) > 3 and ends[-1] == 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures that the project holds itself to; plain builds only."""

import os
import time

from conftest import plain_build
from host import published, received


def epoch(record):
    return time.mktime(time.strptime(record.time[:19], "%Y-%m-%d %H:%M:%S")) + int(record.time[20:]) / 1000


@plain_build
def test_start_to_consuming(new_host, broker, mov, client):
    """Under 100 ms; the best of some, for the machine has other things to do."""
    taken = []
    for _ in range(5):
        host = new_host(broker).start()
        record = host.wait_consuming()
        taken.append(epoch(record) - host.started)
        assert client.consumers(received()) == 1
        assert host.stop() == 0
    print(f"start to consuming: {', '.join(f'{seconds * 1000:.0f}' for seconds in taken)} ms")
    assert min(taken) < 0.1


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
    """Waiting for messages costs no processor time: a loop that polls would."""
    host = new_host(broker).start()
    host.wait_healthy()

    def ticks():
        with open(f"/proc/{host.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(1)
    assert ticks() - before <= 0.05 * os.sysconf("SC_CLK_TCK") * (5 if os.environ.get("VALAWAI_WRAPPER") else 1)

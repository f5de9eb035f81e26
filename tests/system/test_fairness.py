# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin that publishes without pause delays no other, and takes no more memory than the outbox may have."""

import json
import statistics
import time

import pytest

from broker import scaled
from host import ECHO, SANITIZER, WRAPPER, plugin, published, received

OUTBOX = 32 << 20


def echo_times(client, seconds):
    """The duration of each echo in seconds, one after another."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        content = {"content": str(len(times))}
        began = time.monotonic()
        client.publish(received(), content)
        (body,) = client.collect(published(), 1, 120)
        times.append(time.monotonic() - began)
        assert json.loads(body) == content
    return times


@pytest.mark.parametrize("size", [100, 20000])
def test_beside_a_plugin_that_publishes_without_pause(new_host, broker, client, size):
    conf = f"host {{\n  outbox_max_bytes = {OUTBOX}\n}}\nplugin flood {{\n  path = \"{plugin('flood')}\"\n  size = \"{size}\"\n}}\n"
    host = new_host(broker, plugins=(ECHO, plugin("flood")), conf=conf)
    client.declare(received(), published(), published("flood"))
    try:
        host.start()
        host.wait(lambda: client.depth(published("flood")) > 1000, 20, "the flood")
        times = echo_times(client, 5)
        print(f"{len(times)} echoes beside it: median {statistics.median(times):.3f} s, longest {max(times):.3f} s; "
              f"peak {host.peak_rss() >> 20} MiB, {client.depth(published('flood'))} of the flood at the broker")
        assert statistics.median(times) < scaled(0.2)
        if not SANITIZER and not WRAPPER:
            assert host.peak_rss() < 1.5 * OUTBOX
        assert host.stop(timeout=30) == 0
    finally:
        host.close()
        client.delete(published("flood"))

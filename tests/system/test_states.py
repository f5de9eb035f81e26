# SPDX-License-Identifier: GPL-3.0-or-later
"""What the log says of the components: each change of a state with its reason, and the totals at the end."""

import re

import pytest

from host import ECHO, plugin, published, received
from mov import MovStandIn


def changes(host, component="c1_echo"):
    """The records about the state of a component, without those of the file alone."""
    return [(record.level, record.message) for record in host.records() if record.name == component
            and re.match(r"(un)?healthy: ", record.message)]


HEALTHY = ("INFO", "healthy: registered and consuming")


def test_a_broker_that_goes_and_comes_back(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait(lambda: changes(host) == [HEALTHY], 10, "the first record")
    client.close()
    broker.stop()
    host.wait(lambda: len(changes(host)) == 2, 10, "the second record")
    level, text = changes(host)[1]
    assert level == "WARNING" and re.fullmatch(r"unhealthy: no (receiving|publishing) connection to the broker", text)
    broker.start()
    host.wait(lambda: changes(host)[-1] == HEALTHY, 30, "the third record")
    assert host.stop() == 0
    assert changes(host)[-1] == ("INFO", "unhealthy: the host is stopping")
    assert len(changes(host)) == 4


def test_a_mov_that_goes_and_comes_back(new_host, broker, client):
    host = new_host(broker, plugins=(ECHO, plugin("other")))
    with MovStandIn(broker):
        host.start().wait_healthy()
        host.wait(lambda: changes(host) == changes(host, "c1_other") == [HEALTHY], 10, "the first records")
    for component in ("c1_echo", "c1_other"):
        host.wait(lambda component=component: len(changes(host, component)) == 2, 20, "the second record")
        level, text = changes(host, component)[1]
        assert level == "WARNING" and "MOV" in text
    with MovStandIn(broker):
        host.wait(lambda: changes(host)[-1] == changes(host, "c1_other")[-1] == HEALTHY, 60, "the third records")


def test_a_queue_that_is_deleted(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait(lambda: changes(host) == [HEALTHY], 10, "the first record")
    client.delete(received())
    host.wait(lambda: changes(host)[1:] == [("WARNING", f"unhealthy: {received()} is not consumed"), HEALTHY], 20, "two records")


def test_the_totals_at_a_stop(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    client.declare(published())
    for number in range(20):
        client.publish(received(), {"content": str(number)})
    client.publish(received(), {"contents": "misspelt"}, {"contents": "again"})
    client.collect(published(), 20)
    host.wait(lambda: client.depth(received() + "/dead") == 2, 10, "two letters")
    assert host.stop() == 0
    before, last = host.records()[-2:]
    assert last.message == "stopped"
    assert re.fullmatch(r"ran for \d+ s: received 22, acknowledged 20, dead letters 2, rejected 0, returned 0; retried 0; "
                        r"published 20, confirmed 20; reconnects 0", before.message), before.message


@pytest.mark.parametrize("plugins", [(plugin("start_fails"),), (ECHO, plugin("start_fails"))])
def test_a_start_that_fails_has_no_totals(new_host, broker, client, plugins):
    host = new_host(broker, plugins=plugins)
    assert host.run().status == 1
    assert "ran for" not in host.log() and changes(host) == []

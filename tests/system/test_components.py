# SPDX-License-Identifier: GPL-3.0-or-later
"""The second and the third plugin: a sensor with parameters, and a C2 that watches others."""

import json
import os
import subprocess
import time

import pytest

from broker import scaled, wait_until
from host import BINARY, BUILD, plugin, published, received

LOAD, GUARD = (os.path.join(BUILD, "plugins", name + ".so") for name in ("load", "guard"))
READING, CHANGE = "valawai/c0/load/data/reading", "valawai/c0/load/control/change_parameters"
TOPICS = (READING, CHANGE, "valawai/c0/load/control/registered", "valawai/c2/guard/control/notification",
          "valawai/c2/guard/control/registered")


@pytest.fixture(autouse=True)
def fresh(client):
    client.delete(*TOPICS)
    yield
    client.delete(*TOPICS)


# --- load -------------------------------------------------------------------------------------------------------------


def test_load_publishes_on_its_own(new_host, broker, mov, client):
    client.declare(READING)
    new_host(broker, plugins=(LOAD,), conf='plugin load { every_ms = 200 }').start().wait_healthy()
    began = time.time()
    readings = [json.loads(body) for body in client.collect(READING, 6)]
    assert time.time() - began < scaled(6)
    for reading in readings:
        assert reading["load"] >= 0 and abs(reading["timestamp"] - time.time()) < scaled(60)
    assert [component["name"] for component in mov.active()] == ["c0_load"]


def test_load_takes_parameters_by_message(new_host, broker, mov, client):
    """They override the options, and a parameter that the message does not contain keeps its value."""
    client.declare(READING)
    host = new_host(broker, plugins=(LOAD,), conf='plugin load { every_ms = 3600000  at_least = 0.0 }').start()
    host.wait_healthy()
    host.wait_record("every_ms is 3600000, at_least 0")
    client.publish(CHANGE, {"at_least": 1000000})
    host.wait_record("every_ms is 3600000, at_least 1e\\+06")
    client.publish(CHANGE, {"every_ms": 100})
    host.wait_record("every_ms is 100, at_least 1e\\+06")
    host.wait(lambda: sum("is under at_least" in record.message for record in host.records()) >= 3, what="three low loads")
    assert client.depth(READING) == 0  # nothing was published since the start
    client.publish(CHANGE, {"at_least": 0})
    client.collect(READING, 3)


@pytest.mark.parametrize("body", [{"every_ms": 99}, {"every_ms": "fast"}, {"every_ms": 100.5}, {"every": 100}, {},
                                  {"at_least": -1}])
def test_load_is_not_given_parameters_that_are_none(new_host, broker, mov, client, body):
    host = new_host(broker, plugins=(LOAD,), conf="plugin load { every_ms = 3600000 }").start()
    host.wait_healthy()
    client.publish(CHANGE, body, {"at_least": 7})
    host.wait_record("every_ms is 3600000, at_least 7")
    assert len([record for record in host.records() if record.level == "ERROR"]) == 1


@pytest.mark.parametrize(("option", "reason"), [
    ("every_ms = 99", "/every_ms: 99 is under the minimum 100"),
    ('every_ms = "fast"', "/every_ms: "),
    ("every_ms = 3600001", "/every_ms: 3600001 is over the maximum 3600000"),
    ("at_least = -1", "/at_least: -1 is under the minimum 0"),
    ('at_least = "nan"', "/at_least: "),
    ("evry_ms = 500", "unknown option evry_ms; did you mean every_ms?")])
def test_load_does_not_start_with_options_that_are_wrong(new_host, broker, option, reason):
    host = new_host(broker, plugins=(LOAD,), conf=f"plugin load {{ {option} }}")
    assert host.run().status == 1
    assert f"load.so: plugin load in plugins.conf: {reason}" in host.console


def test_options_come_from_the_environment_before_the_file(new_host, broker, mov):
    host = new_host(broker, plugins=(LOAD,), conf="plugin load { every_ms = 500 }",
                    env={"VALAWAI_OPTION_LOAD_EVERY_MS": "3600000"}).start()
    host.wait_healthy()
    host.wait_record("every_ms is 3600000, at_least 0")


def test_a_variable_that_sets_no_option_is_named(new_host, broker):
    host = new_host(broker, plugins=(LOAD,), env={"VALAWAI_OPTION_LOAD_EVRY_MS": "500"})
    assert host.run().status == 1
    assert ("VALAWAI_OPTION_LOAD_EVRY_MS: no plugin has such an option; did you mean VALAWAI_OPTION_LOAD_EVERY_MS?"
            in host.console)


def test_check_validates_the_options(tmp_path):
    conf = tmp_path / "plugins.conf"

    def check(text, *arguments, **more):
        conf.write_text(text)
        return subprocess.run([BINARY, "check", *arguments, LOAD], capture_output=True, text=True, timeout=scaled(60), **more)

    assert check("plugin load { every_ms = 500 }", "--config", conf).returncode == 0
    assert check("plugin other { every_ms = 5 }", cwd=tmp_path).returncode == 0
    for result in (check("plugin load { every_ms = 5 }", "--config", conf), check("plugin load { every_ms = 5 }", cwd=tmp_path)):
        assert result.returncode == 1
        assert "plugin load in plugins.conf: /every_ms: 5 is under the minimum 100" in result.stdout
    result = check("plugin load {", "--config", conf)
    assert result.returncode == 1 and "has no closing }" in result.stdout


# --- guard ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def watched(new_host, broker, mov, client):
    """c0_load connected with c1_other, and c2_guard, all in one host; and a function that makes c0_load publish."""
    client.declare(READING)
    host = new_host(broker, plugins=(LOAD, plugin("other"), GUARD),
                    conf="plugin load { every_ms = 3600000 }\nplugin guard { limit = 5 }").start()
    host.wait_healthy()
    ids = {component["name"]: component["id"] for component in mov.active()}
    client.publish("valawai/topology/create", {
        "source": {"component_id": ids["c0_load"], "channel_name": READING},
        "target": {"component_id": ids["c1_other"], "channel_name": received("other")}, "enabled": True})
    mov.wait_for(connections)
    wait_until(lambda: client.consumers(READING) == 1, 10, "the MOV routes")
    return host


def connections(mov):
    """The connections of c0_load. (c1_other has one with itself, because it receives what it publishes.)"""
    return [connection for connection in mov.connections.values() if connection["source"]["channel_name"] == READING]


def say(client, *loads):
    client.publish(READING, *({"load": load, "timestamp": int(time.time())} for load in loads))


def test_guard_disables_a_connection(watched, mov, client):
    connection, = connections(mov)
    say(client, 1, 5)
    assert len(client.collect(published("other"), 2)) == 2  # they arrive
    say(client, 5.5)
    mov.wait_for(lambda mov: not connection["enabled"])
    record = watched.wait_record("5.5 is above 5", name="c2_guard")
    assert record.level == "WARNING" and "from c0_load to c1_other" in record.message
    assert len([r for r in watched.records() if "is above" in r.message]) == 1


def test_guard_leaves_others_alone(watched, mov, client):
    """Messages within the limit, and those of other kinds."""
    say(client, *[5] * 20)
    assert len(client.collect(published("other"), 20)) == 20
    assert connections(mov)[0]["enabled"]
    client.publish("valawai/c2/guard/control/notification", {"connection_id": "x", "message_payload": {"load": 9}})
    watched.wait_record("connection_id", level="ERROR", name="c2_guard")


def test_a_guard_that_is_restarted_hears_each_message_once(new_host, broker, mov, client):
    """Ten times. The guard is killed, so the MOV keeps the earlier registrations for a while."""
    client.declare(READING)
    new_host(broker, plugins=(LOAD, plugin("other")), conf="plugin load { every_ms = 3600000 }").start().wait_healthy()
    ids = {component["name"]: component["id"] for component in mov.active()}
    client.publish("valawai/topology/create", {
        "source": {"component_id": ids["c0_load"], "channel_name": READING},
        "target": {"component_id": ids["c1_other"], "channel_name": received("other")}, "enabled": True})
    mov.wait_for(connections)
    connection, = (key for key, one in mov.connections.items() if one["source"]["channel_name"] == READING)
    for run in range(10):
        guard = new_host(broker, plugins=(GUARD,), conf="plugin guard { limit = 5 }").start()
        guard.wait_healthy()
        id, = (component["id"] for component in mov.active("c2_guard")[-1:])
        mov.wait_for(lambda mov: [n["enabled"] for n in connections(mov)[0]["notifications"]
                                  if n["target"]["component_id"] == id] == [True] and
                     len(connections(mov)[0]["notifications"]) == 1)
        for load in (6 + run, 100 + run):  # a copy of the first would arrive before the second
            client.publish("valawai/topology/change", {"action": "ENABLE", "connection_id": connection})
            mov.wait_for(lambda mov: connections(mov)[0]["enabled"])
            wait_until(lambda: client.consumers(READING) == 1, 10, "the MOV routes")
            say(client, load)
            mov.wait_for(lambda mov: not connections(mov)[0]["enabled"])
            wait_until(lambda: client.consumers(READING) == 0, 10, "the MOV routes no more")
            guard.wait_record(f"a load of {load} is above 5", name="c2_guard")
        said = [record.message for record in guard.records() if "is above" in record.message]
        for load in (6 + run, 100 + run):
            assert len([message for message in said if message.startswith(f"a load of {load} ")]) == 1
        guard.kill9()


@pytest.mark.parametrize("limit", ["low", "-1", "nan", "5 "])
def test_guard_does_not_start_with_a_limit_that_is_none(new_host, broker, mov, client, limit):
    host = new_host(broker, plugins=(GUARD,), conf=f'plugin guard {{ limit = "{limit}" }}')
    assert host.run().status == 1
    assert "limit" in host.console.splitlines()[1]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The test support itself: the private broker and the stand-in for the MOV behave as the wire contract says."""

import json
import os
import re
import signal
import subprocess
import sys
import threading

import pika
import pytest
import yaml

from broker import Broker, wait_until
from mov import COMPONENT_PAGE, COMPONENT_QUERY, LOG, REGISTER, TOPOLOGY_CREATE, TOPOLOGY_PAGE, TOPOLOGY_QUERY, UNREGISTER

SUPPORT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support")
REGISTERED = "valawai/c1/parrot/control/registered"
HEARD = "valawai/c1/parrot/data/heard"
SAID = "valawai/c1/parrot/data/said"
EIGHT = ("id", "name", "description", "version", "api_version", "type", "since", "channels")


def document(**changes):
    """The AsyncAPI document of c1_parrot as Python objects; changes replace top-level members, None removes one."""
    described = {
        "asyncapi": "2.6.0",
        "info": {"title": "Parrot", "version": "2.0.1", "description": "Says what it heard"},
        "channels": {
            REGISTERED: {"subscribe": {"message": {"$ref": "#/components/messages/registered"}}},
            HEARD: {"subscribe": {"message": {"payload": {"$ref": "#/components/schemas/sentence"}}}},
            SAID: {"description": "What it says",
                   "publish": {"message": {"payload": {"$ref": "#/components/schemas/sentence"}}}},
        },
        "components": {
            "messages": {"registered": {"payload": {"$ref": "#/components/schemas/component"}}},
            "schemas": {
                "sentence": {"type": "object", "properties": {"text": {"type": "string"}}},
                "component": {"type": "object", "properties": {name: {"type": "string"} for name in EIGHT}},
            },
        },
    }
    described.update(changes)
    return {key: value for key, value in described.items() if value is not None}


def payload(**changes):
    body = {"type": "C1", "name": "c1_parrot", "version": "1.2.3", "asyncapi_yaml": yaml.safe_dump(document())}
    body.update(changes)
    return {key: value for key, value in body.items() if value is not None}


def without_since():
    described = document()
    del described["components"]["schemas"]["component"]["properties"]["since"]
    return yaml.safe_dump(described)


def dangling():
    described = document()
    described["components"]["messages"] = {}
    return yaml.safe_dump(described)


def registered_is_published():
    described = document()
    described["channels"][REGISTERED] = {"publish": described["channels"][REGISTERED]["subscribe"]}
    return yaml.safe_dump(described)


@pytest.fixture
def lenient(mov):
    """A MOV for tests that send it rubbish on purpose."""
    yield mov
    mov.refused.clear()
    mov.violations.clear()


def register(mov, client, **changes):
    client.declare(REGISTERED)
    known = len(mov.registered)
    client.publish(REGISTER, payload(**changes))
    mov.wait_for(lambda mov: len(mov.registered) > known, 5)
    return mov.registered[-1]


def test_a_good_register_is_answered(mov, client):
    identifier = register(mov, client)
    (properties, body), = client.collect_messages(REGISTERED, 1)
    answer = json.loads(body)
    assert set(answer) == set(EIGHT)
    assert re.fullmatch("[0-9a-f]{24}", answer["id"]) and answer["id"] == identifier
    assert (answer["name"], answer["type"], answer["version"], answer["api_version"]) == ("c1_parrot", "C1", "1.2.3", "2.0.1")
    assert answer["description"] == "Says what it heard" and isinstance(answer["since"], int)
    assert {channel["name"] for channel in answer["channels"]} == {REGISTERED, HEARD, SAID}
    assert properties.content_type == "application/json" and properties.delivery_mode == 1
    assert [c["id"] for c in mov.active("c1_parrot")] == [identifier]


def test_every_register_makes_a_component(mov, client):
    assert register(mov, client) != register(mov, client)
    assert len(mov.active("c1_parrot")) == 2


@pytest.mark.parametrize("changes, reason", [
    ({"type": None}, "type"),
    ({"type": "C3"}, "type"),
    ({"type": "c1"}, "type"),
    ({"type": "C0"}, "name"),
    ({"name": "parrot"}, "name"),
    ({"name": "c1_pa-rrot"}, "name"),
    ({"name": "c1_"}, "name"),
    ({"version": "1.2"}, "version"),
    ({"version": "1.2.3-dev"}, "version"),
    ({"asyncapi_yaml": None}, "asyncapi_yaml"),
    ({"asyncapi_yaml": ""}, "asyncapi_yaml"),
    ({"asyncapi_yaml": "a: [1"}, "not YAML"),
    ({"asyncapi_yaml": "- 1"}, "mapping"),
    ({"asyncapi_yaml": yaml.safe_dump(document(asyncapi="2.5.0"))}, "2.5.0"),
    ({"asyncapi_yaml": yaml.safe_dump(document(channels=None))}, "channels"),
    ({"asyncapi_yaml": yaml.safe_dump(document(info=None))}, "info"),
    ({"asyncapi_yaml": without_since()}, "since"),
    ({"asyncapi_yaml": dangling()}, REGISTERED),
    ({"asyncapi_yaml": registered_is_published()}, REGISTERED),
    ({"name": "c1_owl"}, "valawai/c1/owl/control/registered"),
    ({"description": "more"}, "description"),
], ids=lambda value: str(value)[:40])
def test_a_bad_register_is_refused_with_the_reason(lenient, client, changes, reason):
    client.declare(REGISTERED)
    client.publish(REGISTER, payload(**changes))
    lenient.wait_for(lambda mov: mov.refused, 5)
    assert reason in lenient.refused[0].reason
    assert not lenient.registered and not lenient.violations and client.depth(REGISTERED) == 0


@pytest.mark.parametrize("body", [b"[1]", b"null", b"", b"{", b'"text"', b'{"a":"\xff"}', b'{"a":NaN}'])
def test_a_body_that_is_no_object_kills_the_listener(lenient, client, body):
    client.publish(LOG, body)
    lenient.wait_for(lambda mov: mov.violations, 5)
    assert lenient.violations == [(LOG, body)]
    wait_until(lambda: client.consumers(LOG) == 0, 5)
    assert client.consumers(REGISTER) == 1
    lenient.restart(0)
    assert client.consumers(LOG) == 1


def test_unregister(mov, client):
    identifier = register(mov, client)
    client.publish(UNREGISTER, {"component_id": identifier}, {"component_id": identifier}, {"component_id": "0" * 24})
    mov.wait_for(lambda mov: len(mov.unknown) == 2, 5)
    assert mov.unregistered == [identifier] and mov.unknown == [identifier, "0" * 24]
    assert not mov.active()


def test_log_records_are_checked(lenient, client):
    good = [{"level": level, "message": "m"} for level in ("DEBUG", "INFO", "WARN", "ERROR")]
    good.append({"level": "INFO", "message": "m", "payload": '{"a":1}', "component_id": "0" * 24})
    bad = [{"level": "WARNING", "message": "m"}, {"level": "INFO"}, {"level": "INFO", "message": 1},
           {"level": "INFO", "message": "m", "payload": {"a": 1}}, {"level": "INFO", "message": "m", "payload": "{"},
           {"level": "INFO", "message": "m", "component_id": "me"}, {"level": "INFO", "message": "m", "time": 1}]
    client.publish(LOG, *good, *bad)
    lenient.wait_for(lambda mov: len(mov.refused) == len(bad), 5)
    assert lenient.logs == good
    assert [refused.body for refused in lenient.refused] == bad


def test_component_query(lenient, client):
    first, second = register(lenient, client), register(lenient, client)

    def ask(**query):
        client.publish(COMPONENT_QUERY, {"id": "q", **query})
        return json.loads(client.collect(COMPONENT_PAGE, 1)[0])

    def found(**query):
        return [component["id"] for component in ask(**query)["components"] or []]

    assert ask(pattern="c1_parrot") == {"query_id": "q", "total": 2, "components": ask()["components"]}
    assert found(pattern="/^c1_par/") == found(type="C1") == [first, second]
    assert ask(pattern="c1_par") == {"query_id": "q", "total": 0, "components": None}
    assert found(type="C0") == []
    assert found(order="-id") == [second, first]
    assert found(order="+id", offset=1, limit=1) == [second]
    client.publish(UNREGISTER, {"component_id": first})
    lenient.wait_for(lambda mov: mov.unregistered, 5)
    assert found() == [second]
    client.publish(COMPONENT_QUERY, {"id": "q", "limit": 0})
    lenient.wait_for(lambda mov: mov.refused, 5)
    assert "limit" in lenient.refused[0].reason and client.depth(COMPONENT_PAGE) == 0


def test_forget_and_restart(mov, client):
    register(mov, client)
    mov.forget()
    assert not mov.active() and not mov.connections and client.consumers(REGISTER) == 1
    identifier = register(mov, client)
    mov.down()
    assert client.consumers(REGISTER) == 0
    client.publish(UNREGISTER, {"component_id": identifier})
    mov.up()
    assert client.consumers(REGISTER) == 1
    mov.wait_for(lambda mov: mov.unknown == [identifier], 5)


def test_it_can_keep_the_answer_to_itself(mov, client):
    mov.answer = False
    register(mov, client)
    assert client.depth(REGISTERED) == 0 and mov.active("c1_parrot")


def test_a_notification_that_nobody_waits_for_is_noticed(mov, client):
    client.publish(REGISTER, payload())
    mov.wait_for(lambda mov: mov.returned == [REGISTERED], 5)


def test_connections_carry_messages(mov, client):
    owl = yaml.safe_dump(document()).replace("c1/parrot", "c2/owl")
    client.declare("valawai/c2/owl/control/registered", "valawai/c2/owl/data/heard", HEARD, SAID)
    register(mov, client)
    register(mov, client, type="C2", name="c2_owl", asyncapi_yaml=owl)
    enabled = [c for c in mov.connections.values() if c["enabled"]]
    assert sorted((c["source"]["channel_name"], c["target"]["channel_name"]) for c in enabled) == [
        (SAID, "valawai/c2/owl/data/heard"), ("valawai/c2/owl/data/said", HEARD)]
    client.publish(SAID, {"text": "hello"})
    assert json.loads(client.collect("valawai/c2/owl/data/heard", 1)[0]) == {"text": "hello"}
    mov.forget()
    wait_until(lambda: client.consumers(SAID) == 0, 5)


def test_connections_can_be_asked_for(mov, client):
    identifier = register(mov, client)
    mov.forget()
    node = {"component_id": identifier}
    client.publish(TOPOLOGY_CREATE, {"source": {**node, "channel_name": SAID}, "target": {**node, "channel_name": HEARD},
                                     "enabled": True})
    mov.wait_for(lambda mov: mov.connections, 5)
    client.publish(TOPOLOGY_QUERY, {"id": "t", "source_channel_name": SAID})
    page = json.loads(client.collect(TOPOLOGY_PAGE, 1)[0])
    assert page["total"] == 1 and page["connections"][0]["target"]["channel_name"] == HEARD


def test_broker_keeps_its_data_and_the_stand_in_comes_back(broker, mov, client):
    client.declare("kept")
    client.publish("kept", b"a message")
    port, pid = broker.port, broker.pid
    broker.kill()
    assert broker.pid is None and not os.path.exists(f"/proc/{pid}")
    client.close()
    broker.start()
    assert broker.port == port
    assert client.collect("kept", 1) == [b"a message"]
    wait_until(lambda: client.consumers(REGISTER) == 1, 10)
    register(mov, client)


def test_alarm_stops_publishers(broker, client):
    client.declare("alarmed")
    broker.alarm(True)
    try:
        thread = threading.Thread(target=client.publish, args=("alarmed", b"waits"))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    finally:
        broker.alarm(False)
    thread.join(20)
    assert not thread.is_alive() and client.drain("alarmed") == [b"waits"]


def test_a_frozen_broker_answers_again_when_it_is_thawed(broker, client):
    client.declare("cold")
    broker.freeze()
    with open(f"/proc/{broker.pid}/stat") as file:
        wait_until(lambda: file.seek(0) or file.read().split()[2] == "T", 5)
    broker.thaw()
    assert client.depth("cold") == 0


def test_as_programs(tmp_path):
    """What scripts/run.sh uses."""
    def run(name, *args, **env):
        return subprocess.Popen([sys.executable, os.path.join(SUPPORT, name), *args], stdout=subprocess.PIPE, text=True,
                                env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **env})

    with run("broker.py", "--dir", str(tmp_path / "node")) as node:
        try:
            port = re.fullmatch(r"ready (\d+)\n", node.stdout.readline()).group(1)
            with run("mov.py", RABBITMQ_HOST="127.0.0.1", RABBITMQ_PORT=port) as mov:
                try:
                    first = mov.stdout.readline()
                    assert "stand-in for the Master Of VALAWAI" in first and "RABBITMQ_HOST=" in first
                    assert "waiting for components" in mov.stdout.readline()
                finally:
                    mov.send_signal(signal.SIGINT)
                assert mov.wait(10) == 0
        finally:
            node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
    with pytest.raises(pika.exceptions.AMQPConnectionError):
        Broker(port=int(port)).connect()

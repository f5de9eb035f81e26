# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the test support: the private broker and the stand-in for the MOV follow the wire contract."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import pika
import pytest
import yaml

from broker import Broker, wait_until
from host import Client
from mov import (COMPONENT_PAGE, COMPONENT_QUERY, LOG, NOTIFICATION_CHANGE, NOTIFICATION_CREATE, REAL, REGISTER,
                 TOPOLOGY_CHANGE, TOPOLOGY_CREATE, TOPOLOGY_PAGE, TOPOLOGY_QUERY, UNREGISTER, MovStandIn)
from mov_document import Invalid, fits, read_asyncapi

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
    """A MOV for tests that deliberately send invalid messages."""
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


@pytest.mark.parametrize("body", [b"[1]", b"null", b"", b"{", b'"text"', b'{"a":"\xff"}', b'{"a":NaN}',
                                  b'{"a":%s}' % (b"1" * 1001), b'{"a":1.%s}' % (b"1" * 999), b'{"%s":1}' % (b"a" * 50001)],
                         ids=lambda body: repr(body[:20]))
def test_a_body_that_is_no_object_kills_the_listener(lenient, client, body):
    """The body stays in the queue and kills the next MOV's listener, too, until the queue is purged."""
    client.publish(LOG, body)
    lenient.wait_for(lambda mov: mov.violations, 5)
    wait_until(lambda: client.consumers(LOG) == 0, 5)
    assert client.consumers(REGISTER) == 1
    lenient.restart(0)
    lenient.wait_for(lambda mov: len(mov.violations) == 2, 5)
    assert lenient.violations == [(LOG, body)] * 2
    wait_until(lambda: client.consumers(LOG) == 0, 5)
    lenient.down()
    client.channel.queue_purge(LOG)
    lenient.up()
    assert client.consumers(LOG) == 1
    client.publish(LOG, {"level": "INFO", "message": "heard"})
    lenient.wait_for(lambda mov: mov.logs, 5)


def test_a_body_without_a_content_type_kills_the_listener(lenient, client):
    body = json.dumps(payload()).encode()
    client.channel.basic_publish("", REGISTER, body, mandatory=True)
    lenient.wait_for(lambda mov: mov.violations, 5)
    assert lenient.violations == [(REGISTER, body)] and not lenient.registered
    wait_until(lambda: client.consumers(REGISTER) == 0, 5)
    lenient.down()
    wait_until(lambda: client.depth(REGISTER) == 1, 5)


def test_numbers_and_names_that_are_just_short_enough(lenient, client):
    client.publish(LOG, b'{"%s":%s}' % (b"a" * 50000, b"1" * 1000), {"level": "INFO", "message": "heard"})
    lenient.wait_for(lambda mov: mov.logs, 5)


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
        client.publish(COMPONENT_QUERY, {"id": "q", "limit": 10, **query})
        return json.loads(client.collect(COMPONENT_PAGE, 1)[0])

    def found(**query):
        return [component["id"] for component in ask(**query).get("components", [])]

    assert ask(pattern="c1_parrot") == {"query_id": "q", "total": 2, "components": ask()["components"]}
    assert found(pattern="/^c1_par/") == found(type="C1") == found(pattern="/what it/") == [first, second]
    assert ask(pattern="c1_par") == {"query_id": "q", "total": 0}
    assert found(type="C0") == []
    assert found(order="-id") == [second, first]
    assert found(order="+id", offset=1, limit=1) == [second]
    assert set(ask()["components"][0]) == set(EIGHT)
    client.publish(COMPONENT_QUERY, {"id": "q", "limit": 1})
    assert client.collect(COMPONENT_PAGE, 1)[0].count(b'"type": "C1"') == 2
    client.publish(UNREGISTER, {"component_id": first})
    lenient.wait_for(lambda mov: mov.unregistered, 5)
    assert found() == [second]


def test_queries_that_the_mov_does_not_answer(lenient, client):
    for query in {}, {"order": "version", "limit": 1}, {"order": "+since,-version", "limit": 1}, {"limit": 0}:
        client.publish(COMPONENT_QUERY, {"id": "q", **query})
    client.publish(TOPOLOGY_QUERY, {"id": "q"})
    lenient.wait_for(lambda mov: mov.refused and len(mov.queries) == 4, 5)
    assert "limit" in lenient.refused[0].reason
    client.publish(COMPONENT_QUERY, {"id": "last", "limit": 1})
    assert [json.loads(body)["query_id"] for body in client.collect(COMPONENT_PAGE, 1)] == ["last"]
    assert client.depth(COMPONENT_PAGE) == client.depth(TOPOLOGY_PAGE) == 0


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


def ends(identifier):
    return {"source": {"component_id": identifier, "channel_name": SAID},
            "target": {"component_id": identifier, "channel_name": HEARD}}


def test_connections_can_be_asked_for(mov, client):
    """Deleted connections are listed, too."""
    identifier = register(mov, client)
    own, = mov.connections.values()
    assert not own["enabled"]  # a component takes what it says itself: connected, and not enabled
    mov.forget()
    client.publish(TOPOLOGY_CREATE, {**ends(identifier), "enabled": True, "converter_js_code": "x => x"})
    mov.wait_for(lambda mov: mov.connections, 5)
    (connection, record), = mov.connections.items()
    assert record["converter"] == "x => x"

    def listed():
        client.publish(TOPOLOGY_QUERY, {"id": "t", "source_channel_name": SAID, "limit": 10})
        page = json.loads(client.collect(TOPOLOGY_PAGE, 1)[0])
        assert page["total"] == len(page["connections"])
        return page["connections"]

    assert listed()[1] == {"id": connection, "enabled": True, "notifications": [], **ends(identifier)} and len(listed()) == 2
    client.publish(TOPOLOGY_CHANGE, {"action": "REMOVE", "connection_id": connection})
    mov.wait_for(lambda mov: not mov.connections, 5)
    assert listed()[1]["id"] == connection


def test_connections_of_an_unregistered_component_go_later(broker, client):
    with MovStandIn(broker, removes_after=1) as mov:
        identifier = register(mov, client)
        client.publish(UNREGISTER, {"component_id": identifier})
        mov.wait_for(lambda mov: mov.unregistered, 5)
        assert mov.connections
        mov.wait_for(lambda mov: not mov.connections, 5)


SENSOR, SEEN = "valawai/c0/sensor/control/registered", "valawai/c0/sensor/data/seen"
WATCH, WATCHED = "valawai/c2/watch/control/registered", "valawai/c2/watch/control/told"


def with_channels(channels):
    described = document()
    described["channels"] = channels
    return described


def watcher(channel=WATCHED):
    told = {"type": "object", "properties": {
        **{name: {"type": "string"} for name in ("connection_id", "timestamp")},
        **{end: {"type": "object", "properties": {"id": {"type": "string"}}} for end in ("source", "target")},
        "message_payload": {"$ref": "#/components/schemas/sentence"}}}
    return {"type": "C2", "name": "c2_watch", "asyncapi_yaml": yaml.safe_dump(with_channels({
        WATCH: {"subscribe": {"message": {"$ref": "#/components/messages/registered"}}},
        channel: {"subscribe": {"message": {"payload": told}}}}))}


def sensor():
    return {"type": "C0", "name": "c0_sensor", "asyncapi_yaml": yaml.safe_dump(with_channels({
        SENSOR: {"subscribe": {"message": {"$ref": "#/components/messages/registered"}}},
        SEEN: {"publish": {"message": {"payload": {"$ref": "#/components/schemas/sentence"}}}}}))}


def passed(client, text):
    """The watcher's notifications of one message, one for each copy. They are complete when the next message has passed."""
    client.publish(SEEN, {"text": text}, {"text": "the next"})
    client.collect(HEARD, 2)
    told = map(json.loads, client.drain(WATCHED))
    return [one for one in told if one["message_payload"]["text"] == text]


def test_notifications(mov, client):
    """A C2 is notified of connections that are made after its registration. Each of its earlier runs adds a copy."""
    client.declare(SENSOR, SEEN, HEARD, WATCH, WATCHED)
    earlier = register(mov, client, **watcher())
    client.publish(UNREGISTER, {"component_id": earlier})
    now = register(mov, client, **watcher())
    source, target = register(mov, client, **sensor()), register(mov, client)
    (key, connection), = ((key, c) for key, c in mov.connections.items() if c["source"]["component_id"] == source)
    assert connection["enabled"]
    wait_until(lambda: client.consumers(SEEN) == 1, 5)
    first, second = passed(client, "one")
    assert first == second
    assert (first["connection_id"], first["message_payload"]) == (key, {"text": "one"})
    assert [first[end]["id"] for end in ("source", "target")] == [source, target]

    later = register(mov, client, **watcher())  # not notified without a request
    assert len(passed(client, "two")) == 2
    node = {"connection_id": key, "target": {"component_id": later, "channel_name": WATCHED}}
    client.publish(NOTIFICATION_CHANGE, {**node, "action": "ENABLE"})  # has no effect
    for _ in range(2):
        client.publish(NOTIFICATION_CREATE, {**node, "enabled": True})
    mov.wait_for(lambda mov: connection["notifications"][-1]["enabled"], 5)
    assert len(passed(client, "three")) == 3
    for identifier in earlier, now:
        node["target"]["component_id"] = identifier
        client.publish(NOTIFICATION_CHANGE, {**node, "action": "DISABLE"})
    mov.wait_for(lambda mov: [n["enabled"] for n in connection["notifications"]].count(True) == 1, 5)
    assert len(passed(client, "four")) == 1


def test_notifications_go_to_control_channels_only(lenient, client):
    client.declare(SENSOR, SEEN, HEARD, WATCH)
    data = WATCHED.replace("control", "data")
    register(lenient, client, **watcher(data))
    register(lenient, client, **sensor())
    target = register(lenient, client)
    assert not any(c["notifications"] for c in lenient.connections.values())
    client.publish(NOTIFICATION_CREATE, {"connection_id": next(iter(lenient.connections)), "enabled": True,
                                         "target": {"component_id": target, "channel_name": HEARD}})
    lenient.wait_for(lambda mov: mov.refused, 5)
    assert "no channel for notifications" in lenient.refused[0].reason


def test_it_listens_before_it_forgets(broker, client):
    with MovStandIn(broker, **{**REAL, "finishes_after": 1.5}) as mov:
        early = register(mov, client)
        assert [component["id"] for component in mov.active()] == [early]
        mov.wait_for(lambda mov: not mov.active(), 5)
        late = register(mov, client)
        mov.finishes_after = 1
        mov.restart(0)
        assert [component["id"] for component in mov.active()] == [late]  # as long as that takes
        mov.wait_for(lambda mov: not mov.active(), 5)


def test_a_slow_answer(broker, client):
    with MovStandIn(broker, answers_after=1) as mov:
        client.declare(REGISTERED)
        began = time.monotonic()
        register(mov, client)
        assert time.monotonic() - began >= 1
        client.publish(REGISTER, payload())
        wait_until(lambda: client.depth(REGISTER) == 0, 5)
        mov.restart(0)  # it ends in the middle of that, and the next one does it
        mov.wait_for(lambda mov: len(mov.registered) == 2, 5)


def test_one_replaces_another_without_a_gap(mov, client):
    register(mov, client)
    gaps, replaced = [], threading.Event()

    def look():
        other = Client(client.broker)
        while not replaced.is_set():
            gaps.append(other.consumers(REGISTER))
        other.close()

    thread = threading.Thread(target=look)
    thread.start()
    wait_until(lambda: gaps, 5)
    for _ in range(3):
        mov.replace()
    replaced.set()
    thread.join(20)
    assert min(gaps) >= 1 and not mov.active()
    register(mov, client)


def test_it_remembers_when_the_broker_comes_back(broker, mov, client):
    mov.reconnects_after = 2
    identifier = register(mov, client)
    broker.stop()
    client.close()
    mov.wait_for(lambda mov: not mov._listening, 10)
    broker.start()
    mov.wait_for(lambda mov: mov._listening, 10)
    assert client.consumers(REGISTER) == 1
    assert [component["id"] for component in mov.active()] == [identifier]


# --- how the MOV reads documents ----------------------------------------------------------------------------------------


def inside(yaml_text):
    """A document with that text as the payload of a message."""
    text = yaml.safe_dump(document(), default_flow_style=False)
    return text.replace("payload:\n        $ref: '#/components/schemas/component'", "payload: " + yaml_text, 1)


@pytest.mark.parametrize("text, reason", [
    ("a:\t1", "not YAML"),
    ("a:\n\tb: 1", "not YAML"),
    ("a:\n  b: 1\n\t\n  c: 1", "not YAML"),
    ('a: "x\\/y"', "unknown escape"),
    ("a: {b: what?, c: 1}", "flow"),
    ("a: &x {}\nb: [" + "*x, " * 51 + "]", "aliases"),
    ("a: " + "[" * 50 + "]" * 50, "nesting over 50"),
    ("# " + "x" * 3 * 1024 * 1024, "code points"),
    (inside("{type: object}"), "an object without properties"),
    (inside("{description: nothing}"), "a schema without a type"),
    (inside("{type: [string, 'null']}"), "a list of types"),
    (inside("{const: 5}"), "no string"),
    (inside("{const: 2026-11-27}"), "a date"),
    (inside("{type: object, properties: {2026-11-27: {type: string}}}"), "no text"),
    (inside("{$ref: '#/5'}") + "5: {type: string}\n", "5 is no text"),
    (inside("&x {type: array, items: *x}"), "contains itself"),
], ids=lambda value: str(value)[-30:])
def test_documents_that_the_mov_refuses(text, reason):
    with pytest.raises(Invalid, match=reason):
        read_asyncapi(text)


@pytest.mark.parametrize("text", [
    yaml.safe_dump(document(asyncapi="2.5.0")),
    inside('{type: object, properties: {"\\ud83d\\ude00": {type: string}}}'),
    inside("{type: object, properties: {a: {type: string}, a: {type: integer}}}"),
    inside("{type: object, properties: {a: {type: string, x-set: !!set {a, b}}}}"),
    inside("{type: object, properties: {a: {type: string, description: 'what?'}}}"),
    inside("&x {type: object, properties: {a: {type: array, items: *x}}}"),
    yaml.safe_dump(document()) + "b: &x {}\nc: [" + "*x, " * 50 + "]",
], ids=lambda value: value[-30:])
def test_documents_that_the_mov_takes(text):
    _, version, channels = read_asyncapi(text)
    assert version == "2.0.1" and {channel["name"] for channel in channels} == {REGISTERED, HEARD, SAID}


def test_a_message_that_is_a_choice_is_passed_over():
    described = document()
    described["channels"][HEARD]["subscribe"]["message"] = {"oneOf": [described["channels"][HEARD]["subscribe"]["message"]]}
    channels = {channel["name"]: channel for channel in read_asyncapi(yaml.safe_dump(described))[2]}
    assert channels[HEARD]["subscribe"] is None and channels[SAID]["publish"] is not None


def test_which_schemas_fit():
    string, number = ({"type": "BASIC", "format": name} for name in ("STRING", "NUMBER"))

    def an_object(**properties):
        return {"type": "OBJECT", "properties": properties}

    assert fits(an_object(a=string), an_object(a=string, b=number))
    assert fits(an_object(), an_object(a=string))
    assert not fits(an_object(a=string, b=number), an_object(a=string))
    assert not fits(an_object(a=string), an_object(a=number))
    assert not fits(an_object(a=string), string)
    assert not fits(None, an_object()) and not fits(an_object(), None)
    items = {"type": "ARRAY", "items": an_object(a=string)}
    assert fits(items, {"type": "ARRAY", "items": an_object(a=string, b=number)})
    assert not fits({"type": "ARRAY", "items": number}, items)


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
    """As in scripts/run.sh."""
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

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strict stand-in for the Master Of VALAWAI (MOV): what a component sees of it on the broker, and nothing else.

It checks what components send more severely than the MOV does and keeps a record of all of it, so that a test can ask.
As a program it takes the broker from RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USERNAME and RABBITMQ_PASSWORD and prints a line
per event.
"""

import argparse
import collections
import itertools
import json
import os
import re
import sys
import threading
import time

import pika
import yaml

from broker import catch_end, scaled

REGISTER = "valawai/component/register"
UNREGISTER = "valawai/component/unregister"
LOG = "valawai/log/add"
COMPONENT_QUERY = "valawai/component/query"
COMPONENT_PAGE = "valawai/component/page"
TOPOLOGY_CREATE = "valawai/topology/create"
TOPOLOGY_CHANGE = "valawai/topology/change"
TOPOLOGY_QUERY = "valawai/topology/query"
TOPOLOGY_PAGE = "valawai/topology/page"

ID = re.compile(r"[0-9a-fA-F]{24}")
NAME = re.compile(r"c[012]_\w+", re.ASCII)
VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)

# What a component has to be ready to take when it is told its id.
NOTIFICATION = {"id", "name", "description", "version", "api_version", "type", "since", "channels"}

# What a C2 has to be ready to take on a topic when it wants to be told what other components say to each other.
PASSED = {"connection_id", "source", "target", "message_payload", "timestamp"}

# A message that a component sent, and why the MOV did not take it.
Refused = collections.namedtuple("Refused", "queue reason body")


class Invalid(Exception):
    """A body that the MOV does not take; the text says why."""


# --- AsyncAPI documents -----------------------------------------------------------------------------------------------


def _section(document, *path):
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else None


def _resolve(node, document):
    """The node, or what its $ref leads to; None where that is dangling, and so for the MOV as if it were not there."""
    for _ in range(20):
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(reference, str):
            return node
        node = _section(document, *reference[2:].split("/")) if reference.startswith("#/") else None
    return None


def _schema(node, document, depth=0):
    """A payload's schema in the MOV's words, or None."""
    node = _resolve(node, document)
    if not isinstance(node, dict) or depth > 50:
        return None
    inner = lambda part: _schema(part, document, depth + 1)
    if "const" in node:
        return {"type": "CONST", "value": node["const"]}
    if "enum" in node:
        return {"type": "ENUM", "values": sorted(map(str, node["enum"]))}
    for key, name in (("oneOf", "ONE_OF"), ("anyOf", "ANY_OF"), ("allOf", "ALL_OF")):
        if isinstance(node.get(key), list):
            return {"type": name, "items": [inner(item) for item in node[key]]}
    kind = node.get("type")
    if kind in ("integer", "number", "string", "boolean"):
        return {"type": "BASIC", "format": kind.upper()}
    if kind == "array":
        return {"type": "ARRAY", "items": inner(node.get("items"))}
    properties = node.get("properties")
    if not isinstance(properties, dict):
        return None
    return {"type": "OBJECT", "properties": {str(name): inner(part) for name, part in properties.items()}}


def read_asyncapi(text):
    """(description, api version, channels) of an AsyncAPI 2.6.0 document. Raises Invalid."""
    try:
        document = yaml.safe_load(text)  # PyYAML reads YAML 1.1, as the MOV's parser does
    except yaml.YAMLError as error:
        raise Invalid(f"asyncapi_yaml: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise Invalid("asyncapi_yaml: not a mapping")
    if document.get("asyncapi") != "2.6.0":
        raise Invalid(f"asyncapi_yaml: asyncapi is {document.get('asyncapi')!r}, not '2.6.0'")
    channels = _section(document, "channels")
    if not channels:
        raise Invalid("asyncapi_yaml: no channels")
    described = []
    for name, channel in channels.items():
        if not isinstance(channel, dict):
            raise Invalid(f"asyncapi_yaml: channel {name}: not a mapping")
        described.append({"name": name, "description": channel.get("description")})
        for operation in ("publish", "subscribe"):
            message = _resolve(_section(channel, operation, "message"), document)
            described[-1][operation] = _schema(_section(message, "payload"), document)
    info = _section(document, "info") or {}
    for key in ("title", "version"):
        if not isinstance(info.get(key), str):
            raise Invalid(f"asyncapi_yaml: info.{key}: no string")
    return info.get("description"), info["version"], described


# --- what components send ---------------------------------------------------------------------------------------------


def _not_json(text):
    raise ValueError(f"{text} is not JSON")


def _json(text):
    """Python's parser would take NaN and Infinity, and would not take a number of thousands of digits."""
    return json.loads(text, parse_constant=_not_json, parse_int=lambda digits: int(digits) if len(digits) < 20 else digits)


def _fields(body, required, optional=()):
    for name in required:
        if name not in body:
            raise Invalid(f"{name}: missing")
    for name in body:
        if name not in required and name not in optional:
            raise Invalid(f"{name}: unknown field")


def _text(body, name, pattern=None):
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid(f"{name}: {value!r} is not a string of at least one character")
    if pattern and not pattern.fullmatch(value):
        raise Invalid(f"{name}: {value!r} does not fit {pattern.pattern}")
    return value


def _number(body, name, default, least):
    value = body.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise Invalid(f"{name}: {value!r} is not a number of at least {least}")
    return value


def _matches(pattern, value):
    """An exact text, or a regular expression between slashes; None matches everything."""
    if pattern is None:
        return True
    if len(pattern) >= 2 and pattern[0] == pattern[-1] == "/":
        return re.search(pattern[1:-1], value) is not None
    return pattern == value


def check_register(body):
    """The record of the component that a register payload makes, still without an id. Raises Invalid."""
    _fields(body, ("type", "name", "version", "asyncapi_yaml"))
    kind = body["type"]
    if kind not in ("C0", "C1", "C2"):
        raise Invalid(f"type: {kind!r} is none of C0, C1, C2")
    name = _text(body, "name", NAME)
    if name[:2].upper() != kind:
        raise Invalid(f"name: {name!r} does not fit the type {kind}")
    version = _text(body, "version", VERSION)
    description, api_version, channels = read_asyncapi(_text(body, "asyncapi_yaml"))
    return {"name": name, "description": description, "version": version, "api_version": api_version, "type": kind,
            "channels": channels}


def registered_topic(component):
    """The topic on which the component wants to be told its id. Raises Invalid if its document has no fit channel for that."""
    expected = f"valawai/{component['name'][:2]}/{component['name'][3:]}/control/registered"
    for channel in component["channels"]:
        if channel["name"] == expected:
            schema = channel["subscribe"]
            if not schema or schema["type"] != "OBJECT":
                raise Invalid(f"{expected}: no subscribe message with an object")
            missing = NOTIFICATION - set(schema["properties"])
            if missing:
                raise Invalid(f"{expected}: no {', '.join(sorted(missing))}")
            return expected
    raise Invalid(f"asyncapi_yaml: no channel {expected}")


def check_log(body):
    _fields(body, ("level", "message"), ("payload", "component_id"))
    if body["level"] not in ("DEBUG", "INFO", "WARN", "ERROR"):
        raise Invalid(f"level: {body['level']!r}")
    _text(body, "message")
    if "payload" in body:
        try:
            _json(_text(body, "payload"))
        except ValueError as error:
            raise Invalid(f"payload: not JSON: {error}") from None
    if "component_id" in body:
        _text(body, "component_id", ID)


class MovStandIn:
    """Lives in a thread of its own and comes back when the broker goes away. Everything it saw can be read at any time:

    components  id -> record; `active`, and `finished` from unregister, forget or restart
    registered  ids in the order in which components registered
    unregistered, unknown  ids that were unregistered: of an active component, and all others
    logs        log records in order
    queries     component queries in order
    refused     what was wrong: Refused(queue, reason, body)
    violations  bodies that are no JSON object; one kills the listener of its queue until a restart
    returned    topics of messages that found no queue
    connections id -> {source, target, enabled}

    answer: whether a component is told its id; or a function that says so of a component's record.
    """

    def __init__(self, broker=None, parameters=None, answer=True, on_event=None):
        self.answer = answer
        self.components = {}
        self.registered = []
        self.unregistered = []
        self.unknown = []
        self.logs = []
        self.queries = []
        self.refused = []
        self.violations = []
        self.returned = []
        self.connections = {}
        self._parameters = parameters or broker.parameters()
        self._on_event = on_event or (lambda text: None)
        self._changed = threading.Condition()
        self._ids = itertools.count(int.from_bytes(os.urandom(4), "big"))
        self._handlers = {
            REGISTER: self._register,
            UNREGISTER: self._unregister,
            LOG: self._log,
            COMPONENT_QUERY: self._component_query,
            TOPOLOGY_CREATE: self._topology_create,
            TOPOLOGY_CHANGE: self._topology_change,
            TOPOLOGY_QUERY: self._topology_query,
        }
        self._channel = None
        self._consumers = {}  # queue -> consumer tag
        self._dead = set()  # queues whose listener was killed
        self._listening = False  # all consumers are there
        self._listen = True  # they should be
        self._stopping = False
        self._thread = None

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self, timeout=20):
        """Starts the thread; with a time-out also waits until all queues are consumed."""
        self._thread = threading.Thread(target=self._run, name="mov", daemon=True)
        self._thread.start()
        if timeout:
            self.wait_for(lambda mov: mov._listening, timeout, "the stand-in consumes")
        return self

    def stop(self):
        self._stopping = True
        if self._thread:
            self._thread.join(scaled(20))

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # --- what a test does --------------------------------------------------------------------------------------------

    def wait_for(self, predicate, timeout=10, what=None):
        """Waits until predicate(self) is true and returns self, or raises TimeoutError with all that was seen."""
        with self._changed:
            if not self._changed.wait_for(lambda: predicate(self), scaled(timeout)):
                raise TimeoutError(f"{what or 'the awaited'}: not within {scaled(timeout):g} s; {self.summary()}")
        return self

    def summary(self):
        return (f"registered {self.registered}, unregistered {self.unregistered}, unknown {self.unknown}, refused"
                f" {[(r.queue, r.reason) for r in self.refused]}, violations {self.violations}, {len(self.logs)} log records")

    def active(self, name=None):
        """The records of the active components, of that name if one is given, in the order of their registration."""
        with self._changed:
            return [c for c in self.components.values() if c["active"] and name in (None, c["name"])]

    def forget(self):
        """What a MOV does when it starts: finishes every component, deletes every connection, tells nobody."""
        with self._changed:
            for component in self.components.values():
                component["active"] = False
            self.connections.clear()
            self._changed.notify_all()
        self._on_event("forgot every component and connection")

    def down(self, timeout=20):
        """The MOV goes: its queues stay and have no consumers."""
        self._listen = False
        self.wait_for(lambda mov: not mov._listening, timeout, "the stand-in's consumers end")

    def up(self, timeout=20):
        """The MOV comes back and has forgotten everybody; killed listeners live again."""
        self.forget()
        self._listen = True
        self.wait_for(lambda mov: mov._listening, timeout, "the stand-in consumes again")

    def restart(self, down_seconds=1.0):
        self.down()
        time.sleep(down_seconds)
        self.up()

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self):
        while not self._stopping:
            try:
                self._serve()
            except (pika.exceptions.AMQPError, OSError) as error:
                self._on_event(f"no connection to the broker ({error or type(error).__name__}), trying again")
            self._set_listening(False)
            self._consumers.clear()
            if not self._stopping:
                time.sleep(0.2)

    def _serve(self):
        connection = pika.BlockingConnection(self._parameters)
        try:
            self._channel = connection.channel()
            self._channel.add_on_return_callback(self._on_return)
            self._channel.basic_qos(prefetch_count=100)
            while not self._stopping:
                if self._listen and not self._listening:
                    for queue in (*self._handlers, COMPONENT_PAGE, TOPOLOGY_PAGE):
                        self._channel.queue_declare(queue, durable=True)
                    for queue in self._handlers:
                        self._consume(queue, self._on_message)
                    self._set_listening(True)
                    self._on_event("waiting for components")
                elif self._listening and not self._listen:
                    for queue in list(self._consumers):
                        self._channel.basic_cancel(self._consumers.pop(queue))
                    self._dead.clear()
                    self._set_listening(False)
                    self._on_event("gone for a while")
                self._follow_connections()
                connection.process_data_events(time_limit=0.05)
        finally:
            self._channel = None
            if connection.is_open:
                connection.close()

    def _set_listening(self, listening):
        with self._changed:
            self._listening = listening
            self._changed.notify_all()

    def _consume(self, queue, callback):
        if queue not in self._consumers and queue not in self._dead:
            self._consumers[queue] = self._channel.basic_consume(queue, callback)

    def _send(self, topic, body):
        """As the MOV publishes: transient, not confirmed."""
        self._channel.basic_publish("", topic, json.dumps(body).encode(), mandatory=True,
                                    properties=pika.BasicProperties(content_type="application/json", delivery_mode=1))

    def _on_return(self, channel, method, properties, body):
        with self._changed:
            self.returned.append(method.routing_key)
            self._changed.notify_all()
        self._on_event(f"nobody has declared {method.routing_key}")

    def _object(self, channel, method, body):
        """The JSON object in the body, or None; the listener of the queue is then dead, as the MOV's would be."""
        queue = method.routing_key
        try:
            content = _json(body.decode("utf-8"))
            if isinstance(content, dict):
                return content
        except (ValueError, RecursionError):
            pass
        self._dead.add(queue)
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.basic_cancel(self._consumers.pop(queue))
        with self._changed:
            self.violations.append((queue, bytes(body)))
            self._changed.notify_all()
        self._on_event(f"VIOLATION on {queue}: not a JSON object: {body[:80]!r}; nobody listens there any more")
        return None

    def _on_message(self, channel, method, properties, body):
        content = self._object(channel, method, body)
        if content is None:
            return
        with self._changed:
            try:
                if properties.content_type != "application/json":
                    raise Invalid(f"content_type: {properties.content_type!r}")
                event = self._handlers[method.routing_key](content)
                channel.basic_ack(method.delivery_tag)
            except Invalid as error:
                self.refused.append(Refused(method.routing_key, str(error), content))
                event = f"REFUSED on {method.routing_key}: {error}"
                channel.basic_reject(method.delivery_tag, requeue=False)
            self._changed.notify_all()
        self._on_event(event)

    # --- one function per queue; each is called with the lock held ------------------------------------------------------

    def _new_id(self):
        return f"{int(time.time()) & 0xffffffff:08x}{os.getpid() & 0xffffffff:08x}{next(self._ids) & 0xffffffff:08x}"

    def _register(self, body):
        component = check_register(body)
        topic = registered_topic(component)
        component = {"id": self._new_id(), **component, "since": int(time.time())}
        self.components[component["id"]] = {**component, "active": True}
        self.registered.append(component["id"])
        self._connect(component)
        answer = self.answer(component) if callable(self.answer) else self.answer
        if answer:
            self._send(topic, component)
        return (f"registered {component['name']} {component['version']} as {component['id']}"
                + ("" if answer else ", and told nobody"))

    def _unregister(self, body):
        _fields(body, ("component_id",))
        identifier = _text(body, "component_id", ID)
        component = self.components.get(identifier)
        if not component or not component["active"]:
            self.unknown.append(identifier)
            return f"no active component {identifier} to unregister"
        component["active"] = False
        self.unregistered.append(identifier)
        for key, connection in list(self.connections.items()):
            if identifier in (connection["source"]["component_id"], connection["target"]["component_id"]):
                del self.connections[key]
        return f"unregistered {component['name']} {identifier}"

    def _log(self, body):
        check_log(body)
        self.logs.append(body)
        component = self.components.get(body.get("component_id"), {"name": body.get("component_id", "-")})
        payload = f"  {body['payload'][:200]}" if "payload" in body else ""
        return f"log [{body['level']}] {component['name']}: {body['message']}{payload}"

    def _component_query(self, body):
        _fields(body, (), ("id", "pattern", "type", "order", "offset", "limit"))
        offset, limit = _number(body, "offset", 0, 0), _number(body, "limit", 20, 1)
        found = [c for c in self.components.values()
                 if c["active"] and _matches(body.get("pattern"), c["name"]) and body.get("type") in (None, c["type"])]
        for order in reversed((body.get("order") or "").split(",")):
            field = order.lstrip("+-")
            if field and field not in ("id", "name", "type", "since", "version"):
                raise Invalid(f"order: {order!r}")
            if field:
                found.sort(key=lambda c: c[field], reverse=order.startswith("-"))
        self.queries.append(body)
        page = [{key: c[key] for key in ("id", "name", "description", "version", "api_version", "type", "since")}
                for c in found[offset:offset + limit]]
        self._send(COMPONENT_PAGE, {"query_id": body.get("id"), "total": len(found), "components": page or None})
        return f"query {body.get('id')}: {len(found)} components"

    def _topology_create(self, body):
        _fields(body, ("source", "target"), ("enabled",))
        nodes = []
        for end in ("source", "target"):
            node = body[end]
            if not isinstance(node, dict):
                raise Invalid(f"{end}: not an object")
            _fields(node, ("component_id", "channel_name"))
            component = self.components.get(node["component_id"])
            if not component or node["channel_name"] not in (c["name"] for c in component["channels"]):
                raise Invalid(f"{end}: unknown component or channel")
            nodes.append(node)
        return f"connected as {self._add_connection(*nodes, body.get('enabled', False) is True)}"

    def _topology_change(self, body):
        _fields(body, ("action", "connection_id"))
        connection = self.connections.get(body["connection_id"])
        if not connection or body["action"] not in ("ENABLE", "DISABLE", "REMOVE"):
            raise Invalid("unknown action or connection")
        if body["action"] == "REMOVE":
            del self.connections[body["connection_id"]]
        else:
            connection["enabled"] = body["action"] == "ENABLE"
        return f"connection {body['connection_id']}: {body['action']}"

    def _topology_query(self, body):
        _fields(body, (), ("id", "source_channel_name", "source_component_id", "target_channel_name", "target_component_id",
                           "order", "offset", "limit"))
        offset, limit = _number(body, "offset", 0, 0), _number(body, "limit", 20, 1)
        found = [{"id": key, **connection} for key, connection in self.connections.items()
                 if all(_matches(body.get(f"{end}_{part}"), connection[end][part])
                        for end in ("source", "target") for part in ("channel_name", "component_id"))]
        self._send(TOPOLOGY_PAGE, {"query_id": body.get("id"), "total": len(found),
                                   "connections": found[offset:offset + limit] or None})
        return f"topology query {body.get('id')}: {len(found)} connections"

    # --- connections ---------------------------------------------------------------------------------------------------

    def _connect(self, new):
        """A publish schema that equals a subscribe schema makes a connection, enabled if the components' types differ."""
        for other in [c for c in self.components.values() if c["active"]]:
            pairs = [(new, other)] if other["id"] == new["id"] else [(new, other), (other, new)]
            for source, target in pairs:
                for output in source["channels"]:
                    for entry in target["channels"]:
                        if output["publish"] is not None and output["publish"] == entry["subscribe"]:
                            self._add_connection({"component_id": source["id"], "channel_name": output["name"]},
                                                 {"component_id": target["id"], "channel_name": entry["name"]},
                                                 source["type"] != target["type"])

    def _add_connection(self, source, target, enabled):
        identifier = self._new_id()
        self.connections[identifier] = {"source": source, "target": target, "enabled": enabled}
        return identifier

    def _follow_connections(self):
        """Consumes the source topics of enabled connections, and only those."""
        wanted = {c["source"]["channel_name"] for c in self.connections.values() if c["enabled"]} if self._listening else set()
        for queue in wanted - set(self._consumers):
            self._channel.queue_declare(queue, durable=True)
            self._consume(queue, self._on_routed)
        for queue in set(self._consumers) - set(self._handlers) - wanted:
            self._channel.basic_cancel(self._consumers.pop(queue))

    def _on_routed(self, channel, method, properties, body):
        """One copy for each connection that leaves here, so a ghost's connection doubles the message, as the MOV's does."""
        content = self._object(channel, method, body)
        if content is not None:
            channel.basic_ack(method.delivery_tag)
            for key, connection in list(self.connections.items()):
                if connection["enabled"] and connection["source"]["channel_name"] == method.routing_key:
                    self._send(connection["target"]["channel_name"], content)
                    self._notify(key, connection, content)

    def _notify(self, key, connection, content):
        """Tells each C2 that listens to such messages that one passed between two components that are none."""
        ends = {end: self.components[connection[end]["component_id"]] for end in ("source", "target")}
        if "C2" in (ends["source"]["type"], ends["target"]["type"]):
            return
        schema = next(c["publish"] for c in ends["source"]["channels"] if c["name"] == connection["source"]["channel_name"])
        told = {end: {field: component[field] for field in ("id", "name", "type")} for end, component in ends.items()}
        for topic in self._listeners(schema):
            self._send(topic, {"connection_id": key, **told, "message_payload": content, "timestamp": int(time.time())})

    def _listeners(self, schema):
        """The topics on which a C2 wants to be told of messages with that schema."""
        for component in self.active():
            for channel in component["channels"] if component["type"] == "C2" else ():
                wanted = channel["subscribe"] or {}
                if wanted.get("type") == "OBJECT" and PASSED <= set(wanted["properties"]) \
                        and wanted["properties"]["message_payload"] == schema:
                    yield channel["name"]


def main():
    argparse.ArgumentParser(description="A stand-in for the Master Of VALAWAI on the broker that RABBITMQ_HOST, RABBITMQ_PORT,"
                                        " RABBITMQ_USERNAME and RABBITMQ_PASSWORD name.").parse_args()
    print("This is a stand-in for the Master Of VALAWAI; to use the real one, name its broker:"
          " RABBITMQ_HOST=… scripts/run.sh", flush=True)

    def setting(name, default):
        return os.environ.get("RABBITMQ_" + name) or default

    parameters = pika.ConnectionParameters(
        host=setting("HOST", "mov-mq"), port=int(setting("PORT", "5672")), heartbeat=10,
        credentials=pika.PlainCredentials(setting("USERNAME", "mov"), setting("PASSWORD", "password")))
    stop = threading.Event()
    catch_end(stop)
    mov = MovStandIn(parameters=parameters, on_event=lambda text: print(time.strftime("%H:%M:%S"), text, flush=True))
    mov.start(timeout=None)
    while not stop.wait(0.2):
        pass
    mov.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

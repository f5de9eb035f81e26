#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A strict stand-in for the Master Of VALAWAI (MOV): what a component sees of it on the broker, and nothing else.

It checks what components send more severely than the MOV does and keeps a record of all of it, so that a test can ask.
It has the faults of MOV 2.0.1 too. Those that take time have a switch each and are off, so that tests are fast: REAL turns
them all on.

As a program it takes the broker from RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USERNAME and RABBITMQ_PASSWORD and prints a line
per event.
"""

import argparse
import collections
import itertools
import json
import os
import random
import re
import sys
import threading
import time

import pika

from broker import catch_end, scaled
from mov_document import Invalid, fits, read_asyncapi

REGISTER = "valawai/component/register"
UNREGISTER = "valawai/component/unregister"
LOG = "valawai/log/add"
COMPONENT_QUERY = "valawai/component/query"
COMPONENT_PAGE = "valawai/component/page"
TOPOLOGY_CREATE = "valawai/topology/create"
TOPOLOGY_CHANGE = "valawai/topology/change"
TOPOLOGY_QUERY = "valawai/topology/query"
TOPOLOGY_PAGE = "valawai/topology/page"
NOTIFICATION_CREATE = "valawai/topology/notification/create"
NOTIFICATION_CHANGE = "valawai/topology/notification/change"

# How long MOV 2.0.1 takes for what it does. A pair is a range from which each time is drawn.
REAL = {"finishes_after": (0.3, 2.0), "reconnects_after": 5.0, "removes_after": 0.5}

ID = re.compile(r"[0-9a-fA-F]{24}")
NAME = re.compile(r"c[012]_\w+", re.ASCII)
VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)

# The properties of the notification with a component's id.
NOTIFICATION = {"id", "name", "description", "version", "api_version", "type", "since", "channels"}

# The channel for a C2's notifications of other components' messages, and their properties.
NOTIFIED = re.compile(r"valawai/c2/\w+/control/\w+", re.ASCII)
PASSED = {"connection_id", "source", "target", "message_payload", "timestamp"}

# A message of a component, and the reason why the MOV refused it.
Refused = collections.namedtuple("Refused", "queue reason body")


# --- what components send ---------------------------------------------------------------------------------------------


NUMBER_MAX = 1000  # characters that the MOV's JSON reader takes …
KEY_MAX = 50000  # … and of the name of a member


def _not_json(text):
    raise ValueError(f"{text} is not JSON")


def _number_of(text, kind):
    if len(text) > NUMBER_MAX:
        raise ValueError(f"a number of {len(text)} characters")
    return text if kind is int and len(text) > 19 else kind(text)


def _members(pairs):
    for name, _ in pairs:
        if len(name) > KEY_MAX:
            raise ValueError(f"a name of {len(name)} characters")
    return dict(pairs)


def _json(text):
    """As the MOV's reader takes it. Python's parser would take NaN and Infinity, and not a number of thousands of digits."""
    return json.loads(text, parse_constant=_not_json, parse_int=lambda digits: _number_of(digits, int),
                      parse_float=lambda digits: _number_of(digits, float), object_pairs_hook=_members)


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


def _action(body):
    if body["action"] not in ("ENABLE", "DISABLE", "REMOVE"):
        raise Invalid(f"action: {body['action']!r}")
    return body["action"]


def _page(query, name, total, items):
    """As the MOV writes pages: without the list if that is empty, and with the type of each component twice."""
    page = {"query_id": query.get("id"), "total": total}
    text = json.dumps({**page, name: items} if items else page)
    return re.sub(r'("type": "C[012]"),', r"\1, \1,", text).encode()


def _drawn(seconds):
    return seconds if isinstance(seconds, (int, float)) else random.uniform(*seconds)


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
    """The topic for the component's id. Raises Invalid if the document has no suitable channel."""
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
            json.loads(_text(body, "payload"), parse_constant=_not_json, parse_int=str)  # which the MOV only keeps
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
    violations  messages that killed the listener of their queue, one entry for each time
    returned    topics of messages that found no queue
    connections id -> {source, target, enabled, converter, notifications}

    The switches, all of which can be changed at any time; a time is seconds, or a pair from which each one is drawn:

    answer            whether a component is told its id; or a function that says so of a component's record
    answers_after     what a registration takes, and then its answer
    answers_queries   whether a component query is answered at all
    finishes_after    from the moment it listens until it finishes all components, those too that have registered meanwhile
    reconnects_after  after it lost the broker; it has forgotten nothing
    removes_after     from an unregistration until the connections of the component are gone
    enables_notifications  whether ENABLE of a notification does anything; MOV 2.0.1 was not seen to obey it
    """

    def __init__(self, broker=None, parameters=None, answer=True, on_event=None, answers_after=0, finishes_after=0,
                 answers_queries=True, reconnects_after=0.2, removes_after=0, enables_notifications=False):
        self.answer = answer
        self.answers_after = answers_after
        self.answers_queries = answers_queries
        self.finishes_after = finishes_after
        self.reconnects_after = reconnects_after
        self.removes_after = removes_after
        self.enables_notifications = enables_notifications
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
        self._removed = {}  # ended connections, which the list still has
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
            NOTIFICATION_CREATE: self._notification_create,
            NOTIFICATION_CHANGE: self._notification_change,
        }
        self._channel = None
        self._consumers = {}  # queue -> consumer tag
        self._dead = set()  # queues whose listener was killed
        self._tasks = []  # (when, what to do), for what takes time
        self._listening = False  # all consumers are there
        self._listen = True  # they should be
        self._starts = True  # the next to listen is a new MOV, and not one that comes back to the broker
        self._lives = 0  # MOVs that have listened
        self._replace = False
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
        """Like the start of a MOV: finishes every component and deletes every connection, without a notification."""
        with self._changed:
            for component in self.components.values():
                component["active"] = False
            self._removed.update(self.connections)
            self.connections.clear()
            self._changed.notify_all()
        if self.components:
            self._on_event("forgot every component and connection")

    def down(self, timeout=20):
        """The MOV goes: its queues stay and have no consumers."""
        self._listen = False
        self.wait_for(lambda mov: not mov._listening, timeout, "the stand-in's consumers end")

    def up(self, timeout=20):
        """Another MOV starts: it forgets all components, at once or after it has begun to listen, and killed listeners work
        again."""
        self._starts = True
        self._listen = True
        self.wait_for(lambda mov: mov._listening, timeout, "the stand-in consumes again")

    def restart(self, down_seconds=1.0):
        self.down()
        time.sleep(down_seconds)
        self.up()

    def replace(self, timeout=20):
        """Another MOV starts before this one goes, so that at no time a queue is without a consumer."""
        lives = self._lives
        self._starts = self._replace = True
        self.wait_for(lambda mov: mov._lives > lives, timeout, "the next stand-in consumes")

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self):
        while not self._stopping:
            try:
                self._serve()
            except (pika.exceptions.AMQPError, OSError, KeyError) as error:  # pika: of a consumer cancelled twice
                self._on_event(f"no connection to the broker ({error or type(error).__name__}), trying again")
            self._channel = None
            self._consumers.clear()
            self._dead.clear()
            self._set_listening(False)
            back = time.monotonic() + _drawn(self.reconnects_after)
            while not self._stopping and time.monotonic() < back:
                time.sleep(0.05)

    def _serve(self):
        connection = pika.BlockingConnection(self._parameters)
        try:
            while not self._stopping:
                if self._listen and (not self._listening or self._replace):
                    self._begin(connection)
                elif self._listening and not self._listen:
                    self._end()
                self._do_tasks()
                self._follow_connections()
                connection.process_data_events(time_limit=0.05)
        finally:
            if connection.is_open:
                connection.close()

    def _begin(self, connection):
        """The MOV begins to listen. A new MOV forgets all components, at once or later."""
        old, self._channel = self._channel, connection.channel()
        starts, self._starts, self._replace = self._starts, False, False
        self._consumers, self._dead = {}, set()
        if starts:
            self._tasks.clear()
        finishes_after = _drawn(self.finishes_after)
        if starts and finishes_after == 0:
            self.forget()
        elif starts:
            self._after(finishes_after, self.forget)
        self._channel.add_on_return_callback(self._on_return)
        self._channel.basic_qos(prefetch_count=100)
        for queue in (*self._handlers, COMPONENT_PAGE, TOPOLOGY_PAGE):
            self._channel.queue_declare(queue, durable=True)
        for queue in self._handlers:
            self._consume(queue, self._on_message)
        if old:
            old.close()
        self._lives += 1
        self._set_listening(True)
        self._on_event("waiting for components")

    def _end(self):
        """Unacknowledged messages return to their queues for the next MOV."""
        self._channel.close()
        self._channel = None
        self._consumers.clear()
        self._dead.clear()
        self._tasks.clear()
        self._set_listening(False)
        self._on_event("gone for a while")

    def _set_listening(self, listening):
        with self._changed:
            self._listening = listening
            self._changed.notify_all()

    def _after(self, seconds, what):
        self._tasks.append((time.monotonic() + seconds, what))

    def _do_tasks(self):
        """The due ones, in their order."""
        now = time.monotonic()
        due = sorted((task for task in self._tasks if task[0] <= now), key=lambda task: task[0])
        self._tasks = [task for task in self._tasks if task[0] > now]
        for _, what in due:
            what()

    def _consume(self, queue, callback, auto_ack=False):
        if queue not in self._consumers and queue not in self._dead:
            self._consumers[queue] = self._channel.basic_consume(queue, callback, auto_ack=auto_ack)

    def _send(self, topic, body):
        """As the MOV publishes: transient, not confirmed."""
        if self._channel is None:
            return
        self._channel.basic_publish("", topic, body if isinstance(body, bytes) else json.dumps(body).encode(), mandatory=True,
                                    properties=pika.BasicProperties(content_type="application/json", delivery_mode=1))

    def _on_return(self, channel, method, properties, body):
        with self._changed:
            self.returned.append(method.routing_key)
            self._changed.notify_all()
        self._on_event(f"no queue is called {method.routing_key}")

    def _object(self, channel, method, properties, body):
        """The JSON object in the body, or None; the listener of the queue is then dead, as the MOV's would be. What killed it
        stays unacknowledged, and kills the next one."""
        queue = method.routing_key
        try:
            content = _json(body.decode("utf-8"))
            if isinstance(content, dict) and properties.content_type == "application/json":
                return content
        except (ValueError, RecursionError):
            pass
        self._dead.add(queue)
        channel.basic_cancel(self._consumers.pop(queue))
        with self._changed:
            self.violations.append((queue, bytes(body)))
            self._changed.notify_all()
        self._on_event(f"VIOLATION on {queue}: not a JSON object of content type application/json ({properties.content_type}):"
                       f" {body[:80]!r}; the listener of this queue is dead")
        return None

    def _on_message(self, channel, method, properties, body):
        content = self._object(channel, method, properties, body)
        if content is None:
            return
        delay = _drawn(self.answers_after) if method.routing_key == REGISTER else 0
        if delay:
            self._after(delay, lambda: self._take(channel, method, content))
        else:
            self._take(channel, method, content)

    def _take(self, channel, method, content):
        if not channel.is_open:
            return  # it comes again
        with self._changed:
            try:
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
        self._listen_to_others(component)
        answer = self.answer(component) if callable(self.answer) else self.answer
        if answer:
            self._send(topic, component)
        return (f"registered {component['name']} {component['version']} as {component['id']}"
                + ("" if answer else ", without an answer"))

    def _unregister(self, body):
        _fields(body, ("component_id",))
        identifier = _text(body, "component_id", ID)
        component = self.components.get(identifier)
        if not component or not component["active"]:
            self.unknown.append(identifier)
            return f"no active component {identifier} to unregister"
        component["active"] = False
        self.unregistered.append(identifier)
        delay = _drawn(self.removes_after)
        if delay:
            self._after(delay, lambda: self._disconnect(identifier))
        else:
            self._disconnect(identifier)
        return f"unregistered {component['name']} {identifier}"

    def _log(self, body):
        check_log(body)
        self.logs.append(body)
        component = self.components.get(body.get("component_id"), {"name": body.get("component_id", "-")})
        payload = f"  {body['payload'][:200]}" if "payload" in body else ""
        return f"log [{body['level']}] {component['name']}: {body['message']}{payload}"

    def _component_query(self, body):
        """Without a limit, or in the order of versions, the MOV does not answer."""
        _fields(body, (), ("id", "pattern", "type", "order", "offset", "limit"))
        orders = [order for order in (body.get("order") or "").split(",") if order]
        self.queries.append(body)
        if not self.answers_queries or "limit" not in body or any(order.lstrip("+-") == "version" for order in orders):
            return f"query {body.get('id')}: no answer"
        offset, limit = _number(body, "offset", 0, 0), _number(body, "limit", None, 1)
        found = [c for c in self.components.values() if c["active"] and body.get("type") in (None, c["type"])
                 and any(_matches(body.get("pattern"), c[key] or "") for key in ("name", "description"))]
        for order in reversed(orders):
            field = order.lstrip("+-")
            if field not in ("id", "name", "type", "since"):
                raise Invalid(f"order: {order!r}")
            found.sort(key=lambda c: c[field], reverse=order.startswith("-"))
        self._send(COMPONENT_PAGE, _page(body, "components", len(found), [
            {key: value for key, value in c.items() if key != "active"} for c in found[offset:offset + limit]]))
        return f"query {body.get('id')}: {len(found)} components"

    def _topology_create(self, body):
        _fields(body, ("source", "target"), ("enabled", "converter_js_code"))
        for end, operation in (("source", "publish"), ("target", "subscribe")):
            self._node(body, end, operation)
        connection = self._add_connection(body["source"], body["target"], body.get("enabled", False) is True,
                                          body.get("converter_js_code"))
        return f"connected as {connection}"

    def _node(self, body, name, operation):
        """A component's channel with that operation."""
        node = body[name]
        if not isinstance(node, dict):
            raise Invalid(f"{name}: not an object")
        _fields(node, ("component_id", "channel_name"))
        component = self.components.get(node["component_id"])
        if not component or not any(channel["name"] == node["channel_name"] and channel[operation] is not None
                                    for channel in component["channels"]):
            raise Invalid(f"{name}: unknown component or channel")
        return node

    def _connection_of(self, body):
        connection = self.connections.get(body["connection_id"])
        if not connection:
            raise Invalid(f"connection_id: no connection {body['connection_id']}")
        return connection

    def _topology_change(self, body):
        _fields(body, ("action", "connection_id"))
        connection, action = self._connection_of(body), _action(body)
        if action == "REMOVE":
            self._remove_connection(body["connection_id"])
        else:
            connection["enabled"] = action == "ENABLE"
        return f"connection {body['connection_id']}: {action}"

    def _topology_query(self, body):
        """Also lists ended connections, without a mark."""
        _fields(body, (), ("id", "source_channel_name", "source_component_id", "target_channel_name", "target_component_id",
                           "order", "offset", "limit"))
        if "limit" not in body:
            return f"topology query {body.get('id')}: no answer"
        offset, limit = _number(body, "offset", 0, 0), _number(body, "limit", None, 1)
        found = [{"id": key, **{name: connection[name] for name in ("source", "target", "enabled")},
                  "notifications": [{"target": n["target"], "enabled": n["enabled"]} for n in connection["notifications"]]}
                 for key, connection in {**self._removed, **self.connections}.items()
                 if all(_matches(body.get(f"{end}_{part}"), connection[end][part])
                        for end in ("source", "target") for part in ("channel_name", "component_id"))]
        self._send(TOPOLOGY_PAGE, _page(body, "connections", len(found), found[offset:offset + limit]))
        return f"topology query {body.get('id')}: {len(found)} connections"

    def _notification_create(self, body):
        """Replaces one that has the same target."""
        _fields(body, ("connection_id", "target"), ("enabled", "converter_js_code"))
        target = self._node(body, "target", "subscribe")
        if not NOTIFIED.fullmatch(target["channel_name"]):
            raise Invalid(f"target: {target['channel_name']} is no channel for notifications")
        connection = self._connection_of(body)
        self._add_notification(connection, target, body.get("enabled", False) is True, body.get("converter_js_code"))
        return f"connection {body['connection_id']}: notifies {target['channel_name']}"

    def _notification_change(self, body):
        _fields(body, ("action", "connection_id", "target"))
        target, connection, action = self._node(body, "target", "subscribe"), self._connection_of(body), _action(body)
        found = [notification for notification in connection["notifications"] if notification["target"] == target]
        if not found:
            raise Invalid("target: it has no such notification")
        if action == "REMOVE":
            connection["notifications"].remove(found[0])
        elif action == "DISABLE" or self.enables_notifications:
            found[0]["enabled"] = action == "ENABLE"
        return f"connection {body['connection_id']}: {action} the notification of {target['channel_name']}"

    # --- connections ---------------------------------------------------------------------------------------------------

    def _connect(self, new):
        """A publish schema that fits a subscribe schema makes a connection, enabled if the components' types differ."""
        for other in [c for c in self.components.values() if c["active"]]:
            pairs = [(new, other)] if other["id"] == new["id"] else [(new, other), (other, new)]
            for source, target in pairs:
                for output in source["channels"]:
                    for entry in target["channels"]:
                        if fits(output["publish"], entry["subscribe"]):
                            self._add_connection({"component_id": source["id"], "channel_name": output["name"]},
                                                 {"component_id": target["id"], "channel_name": entry["name"]},
                                                 source["type"] != target["type"])

    def _add_connection(self, source, target, enabled, converter=None):
        """Notifies each C2 with a matching channel, finished ones included: the MOV compares only schemas, so each earlier run
        of a C2 adds a copy to its queue."""
        identifier = self._new_id()
        connection = {"source": source, "target": target, "enabled": enabled, "converter": converter, "notifications": []}
        self.connections[identifier] = connection
        for component in self.components.values():
            for channel in self._listens(component, connection):
                self._add_notification(connection, {"component_id": component["id"], "channel_name": channel}, True)
        return identifier

    @staticmethod
    def _add_notification(connection, target, enabled, converter=None):
        connection["notifications"] = [n for n in connection["notifications"] if n["target"] != target]
        connection["notifications"].append({"target": target, "enabled": enabled, "converter": converter})

    def _listen_to_others(self, new):
        """A C2 that registers after a connection is made is not notified of its messages."""
        for connection in self.connections.values():
            for channel in self._listens(new, connection):
                target = {"component_id": new["id"], "channel_name": channel}
                if not any(notification["target"] == target for notification in connection["notifications"]):
                    self._add_notification(connection, target, False)

    def _listens(self, component, connection):
        """The channels on which a C2 receives notifications about the messages of a connection between components of other
        types."""
        ends = [self.components[connection[end]["component_id"]] for end in ("source", "target")]
        if component["type"] != "C2" or "C2" in (end["type"] for end in ends):
            return
        published = next(c["publish"] for c in ends[0]["channels"] if c["name"] == connection["source"]["channel_name"])
        for channel in component["channels"]:
            wanted = channel["subscribe"] or {}
            if NOTIFIED.fullmatch(channel["name"]) and wanted.get("type") == "OBJECT" and PASSED <= set(wanted["properties"]) \
                    and fits(published, wanted["properties"]["message_payload"]):
                yield channel["name"]

    def _remove_connection(self, identifier):
        self._removed[identifier] = self.connections.pop(identifier)

    def _disconnect(self, component):
        """The connections of a component that is unregistered go, and its notifications."""
        with self._changed:
            for key, connection in list(self.connections.items()):
                connection["notifications"] = [n for n in connection["notifications"]
                                               if n["target"]["component_id"] != component]
                if component in (connection["source"]["component_id"], connection["target"]["component_id"]):
                    self._remove_connection(key)
            self._changed.notify_all()

    def _follow_connections(self):
        """Consumes the source topics of enabled connections, and only those."""
        if self._channel is None:
            return
        wanted = {c["source"]["channel_name"] for c in self.connections.values() if c["enabled"]} if self._listening else set()
        for queue in wanted - set(self._consumers):
            self._channel.queue_declare(queue, durable=True)
            self._consume(queue, self._on_routed, auto_ack=True)
        for queue in set(self._consumers) - set(self._handlers) - wanted:
            self._channel.basic_cancel(self._consumers.pop(queue))

    def _on_routed(self, channel, method, properties, body):
        """One copy for each connection that leaves here, so a ghost's connection doubles the message, as the MOV's does.
        Converters are not run."""
        content = self._object(channel, method, properties, body)
        if content is not None:
            for key, connection in list(self.connections.items()):
                if connection["enabled"] and connection["source"]["channel_name"] == method.routing_key:
                    self._send(connection["target"]["channel_name"], content)
                    self._notify(key, connection, content)

    def _notify(self, key, connection, content):
        told = {end: {field: self.components[connection[end]["component_id"]][field] for field in ("id", "name", "type")}
                for end in ("source", "target")}
        for notification in connection["notifications"]:
            if notification["enabled"]:
                self._send(notification["target"]["channel_name"], {
                    "connection_id": key, **told, "message_payload": content, "timestamp": int(time.time())})


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

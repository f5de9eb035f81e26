# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker by hand: it speaks the AMQP 0-9-1 that a host, `send` or `listen` needs, and sends whatever a test prescribes.

Loopback only. It stores nothing: every publication is confirmed, and every queue exists. """

import contextlib
import itertools
import json
import os
import socket
import ssl
import struct
import subprocess
import threading

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"
GREETING = b"AMQP\x00\x00\x09\x01"

START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK, CLOSE, CLOSE_OK, BLOCKED, UNBLOCKED = (
    (10, 10), (10, 11), (10, 30), (10, 31), (10, 40), (10, 41), (10, 50), (10, 51), (10, 60), (10, 61))
CHANNEL_OPEN, CHANNEL_OPEN_OK, CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 10), (20, 11), (20, 40), (20, 41)
DECLARE, DECLARE_OK, BIND, BIND_OK = (50, 10), (50, 11), (50, 20), (50, 21)
QOS, QOS_OK, CONSUME, CONSUME_OK, CANCEL, CANCEL_OK = (60, 10), (60, 11), (60, 20), (60, 21), (60, 30), (60, 31)
PUBLISH, RETURN, DELIVER, GET, GET_EMPTY = (60, 40), (60, 50), (60, 60), (60, 70), (60, 72)
ACK, NACK, SELECT, SELECT_OK = (60, 80), (60, 120), (85, 10), (85, 11)


def short(text):
    data = text.encode() if isinstance(text, str) else text
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def table(entries):
    """Text and truth values, and tables of them."""
    packed = b""
    for key, value in entries.items():
        packed += short(key)
        if isinstance(value, bool):
            packed += b"t" + bytes([value])
        elif isinstance(value, dict):
            packed += b"F" + table(value)
        else:
            packed += b"S" + long(value.encode())
    return long(packed)


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method(channel, number, arguments=b""):
    return frame(METHOD, channel, struct.pack(">HH", *number) + arguments)


def header(channel, size, content_class=60, properties=b"\x90\x00" + short("application/json") + b"\x02"):
    return frame(HEADER, channel, struct.pack(">HHQ", content_class, 0, size) + properties)


def content(channel, body, piece=131064):
    parts = [frame(BODY, channel, body[at:at + piece]) for at in range(0, len(body), piece)]
    return [header(channel, len(body)), *parts]


def returned(channel, topic):
    return method(channel, RETURN, struct.pack(">H", 312) + short("NO_ROUTE") + short("") + short(topic))


def deliver(channel, tag, number, topic, exchange="", redelivered=False):
    return method(channel, DELIVER, short(tag) + struct.pack(">QB", number, redelivered) + short(exchange) + short(topic))


SERVER_PROPERTIES = {
    "capabilities": {name: True for name in (
        "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
        "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to")},
    "cluster_name": "by@hand", "copyright": "none", "information": "none", "platform": "Python", "product": "RabbitMQ",
    "version": "3.10.8"}


class Session:
    """One connection of a client. `on` may replace what is said to a method: on(session, channel, number, arguments) returns
    frames, or None for what a broker would say. `mangle` sees all bytes last: mangle(frames) returns what goes out."""

    def __init__(self, stream, on=None, mangle=None, messages=()):
        self.stream, self.on, self.mangle = stream, on, mangle
        self.messages = messages  # (part of a topic's name, body): delivered to its consumer
        self.name = ""  # connection_name of the client
        self.consumers = {}  # topic: (channel, tag)
        self.numbers = itertools.count(1)
        self.published = {}  # channel: how many
        self.pending = {}  # channel: [topic, size, body] of what is being published
        self.confirmed_channels = set()

    def read(self, count):
        data = b""
        while len(data) < count:
            part = self.stream.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def say(self, *frames):
        frames = list(frames)
        data = b"".join(frames) if self.mangle is None else self.mangle(self, frames)
        if data:
            self.stream.sendall(data)

    def serve(self):
        if self.read(8) != GREETING:
            return
        self.say(method(0, START, b"\x00\x09" + table(SERVER_PROPERTIES) + long(b"PLAIN AMQPLAIN") + long(b"en_US")))
        while True:
            kind, channel, size = struct.unpack(">BHI", self.read(7))
            payload = self.read(size)
            if self.read(1) != END:
                return
            if kind == METHOD:
                number = struct.unpack(">HH", payload[:4])
                said = self.on(self, channel, number, payload[4:]) if self.on else None
                self.say(*(self.answer(channel, number, payload[4:]) if said is None else said))
                if number == CLOSE:
                    return
            elif kind == HEADER and channel in self.pending:
                self.pending[channel][1] = struct.unpack(">Q", payload[4:12])[0]
                self.content_came(channel)
            elif kind == BODY and channel in self.pending:
                self.pending[channel][2] += payload
                self.content_came(channel)

    def answer(self, channel, number, arguments):
        if number == START_OK:
            at = arguments.find(b"connection_name")
            if at >= 0:
                size = struct.unpack(">I", arguments[at + 16:at + 20])[0]
                self.name = arguments[at + 20:at + 20 + size].decode(errors="replace")
            return [method(0, TUNE, struct.pack(">HIH", 2047, 131072, 60))]
        if number == OPEN:
            return [method(0, OPEN_OK, short(""))]
        if number == CLOSE:
            return [method(0, CLOSE_OK)]
        if number == CHANNEL_OPEN:
            return [method(channel, CHANNEL_OPEN_OK, long(b""))]
        if number == CHANNEL_CLOSE:
            return [method(channel, CHANNEL_CLOSE_OK)]
        if number == SELECT:
            self.confirmed_channels.add(channel)
            self.published[channel] = 0
            return [method(channel, SELECT_OK)]
        if number == DECLARE:
            topic = self.topic_of(arguments[2:]) or "amq.gen-by-hand"
            return [method(channel, DECLARE_OK, short(topic) + struct.pack(">II", 0, 1))]
        if number == BIND:
            return [method(channel, BIND_OK)]
        if number == QOS:
            return [method(channel, QOS_OK)]
        if number == CONSUME:
            return self.consume(channel, arguments)
        if number == CANCEL:
            tag = self.topic_of(arguments)
            return [] if arguments[-1] & 1 else [method(channel, CANCEL_OK, short(tag))]
        if number == GET:
            return [method(channel, GET_EMPTY, short(""))]
        if number == PUBLISH:
            exchange = arguments[2]
            self.pending[channel] = [self.topic_of(arguments[3 + exchange:]), None, b""]
        return []

    @staticmethod
    def topic_of(arguments):
        return arguments[1:1 + arguments[0]].decode(errors="replace")

    def consume(self, channel, arguments):
        topic = self.topic_of(arguments[2:])
        tag = self.topic_of(arguments[3 + arguments[2]:]) or f"by-hand-{channel}"
        self.consumers[topic] = (channel, tag)
        said = [method(channel, CONSUME_OK, short(tag))]
        for part, body in self.messages:
            if part in topic:
                said += [deliver(channel, tag, next(self.numbers), topic), *content(channel, body)]
        return said

    def content_came(self, channel):
        topic, size, body = self.pending[channel]
        if len(body) < size:
            return
        del self.pending[channel]
        said = None
        if channel in self.confirmed_channels:
            self.published[channel] += 1
            said = self.on(self, channel, "published", (topic, body)) if self.on else None
            if said is None:
                said = [method(channel, ACK, struct.pack(">QB", self.published[channel], 0))]
        self.say(*(said or []))


class ByHand:
    """Listens on loopback and gives every connection a Session, made by session(stream)."""

    def __init__(self, session, tls=None):
        self.server = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.server.getsockname()[1]
        self.session, self.tls = session, tls
        self.sessions = 0
        self.threads = []
        self.open = set()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                stream, _ = self.server.accept()
            except OSError:
                return
            self.sessions += 1
            threading.Thread(target=self.talk, args=(stream,), daemon=True).start()

    def talk(self, stream):
        self.open.add(stream)
        try:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            stream.settimeout(60)
            if self.tls is not None:
                stream = self.tls.wrap_socket(stream, server_side=True)
            self.session(stream).serve()
        except (OSError, EOFError, struct.error, IndexError):
            pass  # the client has left, as it may
        finally:
            with contextlib.suppress(OSError):
                stream.close()
            self.open.discard(stream)

    def environment(self):
        return {"RABBITMQ_HOST": "localhost" if self.tls else "127.0.0.1", "RABBITMQ_PORT": str(self.port),
                "RABBITMQ_USERNAME": "by", "RABBITMQ_PASSWORD": "hand"}

    def close(self):
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        for stream in list(self.open):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def tls_context(directory, subject="DNS:localhost"):
    """A certificate that is its own authority, localhost.pem in the directory; and the context of a server. The certificate is
    for the subject, a subjectAltName."""
    key, certificate = os.path.join(directory, "localhost.key"), os.path.join(directory, "localhost.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
                    f"subjectAltName={subject}", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def notification(component="c1_echo"):
    """The MOV's notification to a registered component."""
    return json.dumps({"id": "5f00c1d000006543210f00a1", "name": component, "description": "", "version": "1.0.0",
                       "api_version": "1.0.0", "type": "C1", "since": 1, "channels": []}).encode()

# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the host's HTTP interface, by its Unix socket or by TCP."""

import collections
import http.client
import json
import os
import re
import socket

from broker import scaled

Reply = collections.namedtuple("Reply", "status headers body")

SAMPLE = re.compile(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class _Local(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = connect(self.path, self.timeout)


def connect(path, timeout=10):
    """A connection to a Unix socket, however long its path is."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout)
    directory = os.open(os.path.dirname(path), os.O_PATH)
    try:
        client.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
    except BaseException:
        client.close()
        raise
    finally:
        os.close(directory)
    return client


class Web:
    """One host. address: the path of its socket, or (address, port)."""

    def __init__(self, address):
        self.address = address

    @classmethod
    def of(cls, host):
        return cls(host.path("logs", "control.sock"))

    def connection(self, timeout=10):
        if isinstance(self.address, str):
            return _Local(self.address, scaled(timeout))
        return http.client.HTTPConnection(*self.address, timeout=scaled(timeout))

    def get(self, path, method="GET", headers=None):
        connection = self.connection()
        try:
            connection.request(method, path, headers=headers or {})
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read().decode())
        finally:
            connection.close()

    def answers(self):
        """True if the host is there."""
        try:
            return self.get("/livez").status == 200
        except OSError:
            return False

    def status(self):
        reply = self.get("/status")
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def component(self, name="c1_echo"):
        return next(component for component in self.status()["components"] if component["name"] == name)

    def metrics(self):
        """Every sample of /metrics, by its name and its labels: {(name, component, topic, le): value}."""
        reply = self.get("/metrics")
        assert reply.status == 200, reply
        return samples(reply.body)

    def metric(self, name, topic=None, component="c1_echo"):
        return self.metrics()[(name, component, topic, None)]


def samples(text):
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, f"no sample: {line!r}"
        labels = dict(LABEL.findall(match[2] or ""))
        key = (match[1], labels.pop("component", None), labels.pop("topic", None), labels.pop("le", None))
        assert not labels, f"other labels: {line!r}"
        assert key not in found, f"twice: {line!r}"
        found[key] = float(match[3])
    return found

# SPDX-License-Identifier: GPL-3.0-or-later
"""Three RabbitMQ nodes that are one cluster, on three addresses of the loopback interface, with mirrored or quorum queues."""

import json
import os
import random
import secrets
import subprocess

from broker import Broker, free_port


class Node(Broker):
    """A node that the others find without epmd: all use one distribution port, each on its own address."""

    def __init__(self, number, distribution_port, cookie, joins=None):
        super().__init__(conf={"cluster_formation.classic_config.nodes.1": joins.nodename} if joins else None)
        self.host = f"127.0.0.{number}"
        self.distribution_port = distribution_port
        self.nodename = f"valawai@{self.host}"
        self._cookie = cookie

    def _prepare(self):
        super()._prepare()
        os.chmod(os.path.join(self.dir, ".erlang.cookie"), 0o600)
        self._write(".erlang.cookie", self._cookie, mode=0o400)

    def _erlang_environment(self):
        environment = super()._erlang_environment()
        address = self.host.replace(".", ",")
        environment["RABBITMQ_USE_LONGNAME"] = "true"
        environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"] = (
            environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"].replace("-sname", "-name")
            .replace("{127,0,0,1}", "{" + address + "}"))
        return environment


class Cluster:
    """A context manager: three joined nodes, with every queue on all of them."""

    def __init__(self):
        port, cookie = free_port(), secrets.token_hex(20)
        first = Node(1, port, cookie)
        self.nodes = [first, Node(2, port, cookie, joins=first), Node(3, port, cookie, joins=first)]

    def __enter__(self):
        try:
            for node in self.nodes:
                node.start()
            if self.nodes[0].queue_type == "quorum":
                return self
            self.nodes[0].ctl("set_policy", "mirrors", ".*", json.dumps({"ha-mode": "all", "ha-sync-mode": "automatic"}),
                              "--apply-to", "queues")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for node in self.nodes:
            node.close()

    # The interface of a single broker, for clients: they use any running node.

    def environment(self):
        first = self.nodes[0]
        return {**first.environment(), "RABBITMQ_HOST": ",".join(f"{node.host}:{node.port}" for node in self.nodes)}

    def parameters(self, **more):
        return [node.parameters(**more) for node in self.nodes]

    def connect(self, **more):
        return random.choice(self.running()).connect(**more)

    def running(self):
        return [node for node in self.nodes if node.running()]

    def nodes_of(self, host):
        """The nodes that a host is connected to."""
        found = subprocess.run(["ss", "-tnpH", "state", "established"], stdin=subprocess.DEVNULL, capture_output=True,
                               text=True, check=True).stdout
        lines = [line for line in found.splitlines() if f"pid={host.pid}," in line]
        return [node for node in self.nodes if any(f" {node.host}:{node.port} " in line for line in lines)]

    def synchronised(self):
        """Every mirror of every queue has all of it; of a quorum queue, every member runs: a majority of them has all of it.

        (rabbitmqctl's own lists would need a node that others can call.)
        """
        if self.nodes[0].queue_type == "quorum":
            return self.running()[0].ctl("eval", "lists:all(fun(Queue) -> [{online, Nodes}] = rabbit_quorum_queue:info(Queue, "
                                                 f"[online]), length(Nodes) =:= {len(self.running())} end, "
                                                 "rabbit_amqqueue:list()).").strip() == "true"
        mirrors = len(self.running()) - 1
        return self.running()[0].ctl("eval", "lists:all(fun(Queue) -> length(amqqueue:get_sync_slave_pids(Queue)) =:= "
                                             f"{mirrors} end, rabbit_amqqueue:list()).").strip() == "true"

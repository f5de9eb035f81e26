# SPDX-License-Identifier: GPL-3.0-or-later
"""The faulty network between host and broker: haproxy in TCP mode to cut and freeze, and cable.py to delay and drop.

All of it is private: ports of the loopback interface, or network namespaces that are made and removed here.
"""

import atexit
import functools
import itertools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

from broker import free_port, scaled, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))

CONFIGURATION = """\
global
    nbthread 1
    stats socket {dir}/control mode 600 level admin
defaults
    mode tcp
    retries 0
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    # Closed at once and with RST, as by a firewall or a crash, not with FIN.
    option nolinger
frontend front
    bind {bind}
    default_backend broker
backend broker
    server node {host}:{port}
"""


@functools.lru_cache(maxsize=None)
def obstacle(name):
    """The reason why the program cannot be used here, or None. A container may forbid root some operations."""
    if not shutil.which(name):
        return name
    try:
        if name == "ip":
            with Link():
                pass
        elif name == "ss":
            _abort_one()
        elif name == "mount":
            with tempfile.TemporaryDirectory() as directory:
                _run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory)
                _run("umount", directory)
    except (RuntimeError, OSError) as error:
        return f"{name} ({str(error).splitlines()[0]})"
    return None


def _abort_one():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5) as connection:
        _run("ss", "-K", "state", "established", f"( dport = :{server.getsockname()[1]} )")
        connection.settimeout(1)
        try:
            connection.recv(1)
        except TimeoutError:
            raise RuntimeError("the kernel cannot abort connections: CONFIG_INET_DIAG_DESTROY") from None
        except OSError:
            pass


def bound_to_us(command, signal_name="KILL"):
    """The command, wrapped so that it dies with this process. The death signal is bound to the thread that forks."""
    if threading.current_thread() is threading.main_thread() and shutil.which("setpriv"):
        return ["setpriv", "--pdeathsig", signal_name, *command]
    return list(command)


class Proxy:
    """haproxy between the host and a broker."""

    def __init__(self, broker, link=None):
        self.host = link.far_address if link else "127.0.0.1"
        self.port = free_port()
        self._broker = broker
        self._namespace = link.far if link else None
        self._process = None
        self._frozen = False

    def environment(self):
        """The environment for a host behind the proxy."""
        return {"RABBITMQ_HOST": self.host, "RABBITMQ_PORT": str(self.port)}

    def __enter__(self):
        self._dir = tempfile.mkdtemp(prefix="valawai-proxy-")
        atexit.register(self.close)
        # haproxy itself stays with the broker; only its listening socket is at the far end of the link.
        bind = f"{self.host}:{self.port}" + (f" namespace {self._namespace}" if self._namespace else "")
        path = os.path.join(self._dir, "haproxy.cfg")
        with open(path, "w") as file:
            file.write(CONFIGURATION.format(dir=self._dir, bind=bind, host=self._broker.host, port=self._broker.port))
        with open(os.path.join(self._dir, "output"), "w") as output:
            self._process = subprocess.Popen(bound_to_us(["haproxy", "-db", "-q", "-f", path]), stdin=subprocess.DEVNULL,
                                             stdout=output, stderr=output, start_new_session=True)
        wait_until(self._answers, 10, "haproxy answers")
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
            shutil.rmtree(self._dir, ignore_errors=True)
        atexit.unregister(self.close)

    def _answers(self):
        if self._process.poll() is not None:
            with open(os.path.join(self._dir, "output")) as output:
                raise RuntimeError(f"haproxy ended: {output.read()}")
        try:
            return self._command("show info")
        except OSError:
            return None

    def _command(self, line):
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(scaled(5))
            control.connect(os.path.join(self._dir, "control"))
            control.sendall(line.encode() + b"\n")
            answer = b""
            while part := control.recv(65536):
                answer += part
            return answer.decode()

    def _peers(self):
        """The ports of the connected clients."""
        return set(re.findall(r"src=\S+:(\d+) fe=front ", self._command("show sess")))

    def connections(self):
        """The number of connections through the proxy."""
        return len(self._peers())

    def cut(self, one=False):
        """Every connection (or a random one) ends with RST, on both sides; new ones pass."""
        which = f" and dport = :{random.choice(sorted(self._peers()))}" if one else ""
        # haproxy by itself would say goodbye to its clients. The kernel aborts what it has accepted, and haproxy, which is
        # told to close without lingering, what belongs to it.
        prefix = ["ip", "netns", "exec", self._namespace] if self._namespace else []
        done = subprocess.run([*prefix, "ss", "-K", "state", "established", f"( sport = :{self.port}{which} )"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        old = set(re.findall(r":(\d+)\s*$", done.stdout, re.MULTILINE))
        wait_until(lambda: not old & self._peers(), 2, "haproxy lost its connections")

    def shut(self):
        """Nothing passes: open connections are cut, new ones end at once."""
        self._command("set server broker/node state maint")
        self.cut()

    def open(self):
        self._command("set server broker/node state ready")

    def freeze(self):
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self._process.pid, signal.SIGCONT)


class Link:
    """Two network namespaces and a cable between them. A host runs in `near`, a proxy listens in `far`."""

    near_address, far_address = "10.77.0.2", "10.77.0.1"  # nothing outside the two namespaces sees them
    _numbers = itertools.count(1)

    def __init__(self):
        name = f"valawai-{os.getpid()}-{next(self._numbers)}"
        self.near, self.far = name + "-near", name + "-far"
        self._cable = None

    @property
    def prefix(self):
        """The prefix of a command, to run it at the near end."""
        return ["ip", "netns", "exec", self.near]

    def __enter__(self):
        atexit.register(self.close)
        try:
            # Made here and moved at once, before they are up or have an address; they vanish with the process.
            devices = [f"vw{os.getpid() % 1000000}{end}" for end in ("near", "far")]
            self._cable = subprocess.Popen(bound_to_us([sys.executable, "-B", os.path.join(HERE, "cable.py"), *devices]),
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
            self._answer("ready")
            for namespace, name, address, peer in ((self.near, devices[0], self.near_address, self.far_address),
                                                   (self.far, devices[1], self.far_address, self.near_address)):
                _run("ip", "netns", "add", namespace)
                _run("ip", "-n", namespace, "link", "set", "lo", "up")
                _run("ip", "link", "set", name, "netns", namespace)
                _run("ip", "-n", namespace, "address", "add", address, "peer", peer, "dev", name)
                _run("ip", "-n", namespace, "link", "set", name, "up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self._cable:
            self._cable.kill()
            self._cable.wait()
            self._cable.stdin.close()
            self._cable.stdout.close()
            self._cable = None
        for namespace in (self.near, self.far):
            subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL, check=False)
        atexit.unregister(self.close)

    def delay(self, milliseconds):
        """Delays the broker's data by this time."""
        self._say(f"delay {milliseconds}")

    def lose(self, percent):
        """This percentage of packets is lost, in both directions."""
        self._say(f"loss {percent}")

    def drop(self):
        """Every packet is lost silently: all connections are half-open from here on."""
        self.lose(100)

    def heal(self):
        self.delay(0)
        self.lose(0)

    def _say(self, line):
        self._cable.stdin.write(line + "\n")
        self._answer("done")

    def _answer(self, wanted):
        line = self._cable.stdout.readline().strip()
        if line != wanted:
            raise RuntimeError(f"cable.py: {line!r} instead of {wanted!r}")


def _run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")

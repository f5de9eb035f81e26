#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A private RabbitMQ node: loopback only, own ports, own data, no epmd. It ends with the test program.

    broker.py [--port N] [--dir D] [--release bookworm|trixie|forky] [--queue-type classic|quorum]

runs a node in the foreground, prints `ready <port>` once a client can log in, and ends it on SIGTERM or SIGINT. The node is
this machine's RabbitMQ, or that of the release (3.10, 4.0, 4.3; release.py). The queue type is what a queue becomes that is
declared without arguments. VALAWAI_RELEASE and VALAWAI_QUEUE_TYPE are the defaults, also for the tests. Exit status 77: the
release cannot be had here, for the reason that is printed.
"""

import argparse
import atexit
import contextlib
import logging
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pika

import release as releases
from release import Unavailable

CHANCE = random.SystemRandom()  # independent of seeds, so that two runs at the same time get different ports
SBIN = os.environ.get("RABBITMQ_SBIN", "/usr/lib/rabbitmq/bin")

# pika reports every refused connection with a stack trace; here the tests wait for a refused connection.
logging.getLogger("pika").setLevel(logging.CRITICAL)


def scaled(seconds):
    """A time-out, stretched for slow (sanitizer, valgrind) builds."""
    return seconds * float(os.environ.get("VALAWAI_TIMEOUT_FACTOR") or 1)


def wait_until(predicate, timeout, what="the condition", interval=0.02):
    """The first truthy value of predicate(), or TimeoutError after the scaled time-out."""
    deadline = time.monotonic() + scaled(timeout)
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise TimeoutError(f"{what}: not within {scaled(timeout):g} s")
        time.sleep(interval)


def free_port():
    """A free loopback port.

    It is taken from below the ephemeral range: a client that tries again and again to reach an ephemeral port on loopback
    while its server is down can end up connected to itself, and then the server cannot have its port back.
    """
    while True:
        port = CHANCE.randrange(10000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class Broker:
    """A RabbitMQ node of our own. Its data survives kill() or stop() followed by start(), on the same port."""

    def __init__(self, username="mov", password="password", port=None, dir=None, conf=None, release=None, queue_type=None):
        """Raises Unavailable if the release cannot be used here. The default is VALAWAI_RELEASE, or this machine's
        RabbitMQ."""
        release = release or os.environ.get("VALAWAI_RELEASE") or None
        self.release = release
        self.queue_type = queue_type or os.environ.get("VALAWAI_QUEUE_TYPE") or "classic"
        self._root = releases.root_of(release) if release and not releases.is_of_this_machine(release) else None
        self.host = "127.0.0.1"
        self.username = username
        self.password = password
        self.port = port or free_port()
        self.distribution_port = free_port()
        self.dir = os.path.abspath(dir) if dir else None
        self.conf = dict(conf or {})
        self.nodename = f"valawai-{self.port}@localhost"
        self._own_dir = dir is None
        self._process = None
        self._frozen = False
        self._lean = True

    # --- for clients -------------------------------------------------------------------------------------------

    @property
    def pid(self):
        """Process id of the Erlang machine while it runs, else None."""
        if not self.running():
            return None
        return releases.first_process(self._process.pid) if self._root else self._process.pid

    @property
    def version(self):
        """Such as (4, 3, 6)."""
        connection = self.connect()
        try:
            return tuple(int(part) for part in connection._impl.server_properties["version"].split(".")[:3])
        finally:
            connection.close()

    @property
    def url(self):
        return f"amqp://{self.username}:{self.password}@{self.host}:{self.port}/%2F"

    def parameters(self, **more):
        """pika's connection parameters for this node."""
        settings = dict(host=self.host, port=self.port, heartbeat=0,
                        credentials=pika.PlainCredentials(self.username, self.password),
                        blocked_connection_timeout=scaled(60), socket_timeout=scaled(10))
        settings.update(more)
        return pika.ConnectionParameters(**settings)

    def connect(self, **more):
        return pika.BlockingConnection(self.parameters(**more))

    def environment(self):
        """The contract's environment variables that name this node."""
        return {"RABBITMQ_HOST": self.host, "RABBITMQ_PORT": str(self.port),
                "RABBITMQ_USERNAME": self.username, "RABBITMQ_PASSWORD": self.password}

    # --- life --------------------------------------------------------------------------------------------------------

    def running(self):
        return self._process is not None and self._process.poll() is None

    def start(self, timeout=60):
        if self.running():
            return self
        self._prepare()
        try:
            self._boot(timeout, self._lean_home())
        except RuntimeError:
            if not self._lean:
                raise
            self._lean = False  # this RabbitMQ needs more plugins
            self._boot(timeout, None)
        return self

    def stop(self):
        """A clean stop: queues and messages are written and the data directory stays usable."""
        if not self.running():
            return
        self.thaw()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(scaled(30))
        except subprocess.TimeoutExpired:
            self._end()
        atexit.unregister(self._end)

    def kill(self):
        """The node dies as in a power cut."""
        self._end()

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        """Ends the node, and deletes its data if the directory belongs to this object."""
        if self._own_dir:
            self._end()  # the data is not needed again
            if self.dir:
                shutil.rmtree(self.dir, ignore_errors=True)
                self.dir = None
        else:
            self.stop()

    def freeze(self):
        """Connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self):
        if self._frozen and self.running():
            self._signal(signal.SIGCONT)
        self._frozen = False

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    # --- control -----------------------------------------------------------------------------------------------------

    def ctl(self, *args, timeout=60):
        """rabbitmqctl against this node: its standard output."""
        done = subprocess.run(self._command("rabbitmqctl", "--quiet", *args), env=self._erlang_environment(),
                              cwd=self.dir, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=scaled(timeout))
        if done.returncode != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def alarm(self, on=True):
        """The memory alarm: while it is on, the node reads nothing from connections that publish."""
        self.ctl("set_vm_memory_high_watermark", "0" if on else self._watermark())

    def log_tail(self, lines=30):
        text = ""
        for name in ("console.txt", os.path.join("log", "rabbit.log")):
            try:
                with open(os.path.join(self.dir, name), errors="replace") as file:
                    text += f"--- {name}\n" + "".join(file.readlines()[-lines:])
            except OSError:
                pass
        return text

    # --- inside ------------------------------------------------------------------------------------------------------

    def _boot(self, timeout, home):
        environment = self._erlang_environment()
        if home:
            environment["RABBITMQ_SCRIPTS_DIR"] = self._inside("home", "sbin")
        command = self._command("rabbitmq-server")
        # The node must end with this process, even if it is killed. The signal is bound to the thread that forks, hence the
        # check.
        if threading.current_thread() is threading.main_thread() and shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL"] + command
        with open(os.path.join(self.dir, "console.txt"), "ab") as console:
            # A session of its own: Ctrl-C at the terminal is for us, and we end the node when its clients are gone.
            self._process = subprocess.Popen(command, env=environment, cwd=self.dir, start_new_session=True,
                                             stdin=subprocess.DEVNULL, stdout=console, stderr=console)
        self._frozen = False
        atexit.register(self._end)
        try:
            wait_until(self._accepts_login, timeout, "the broker accepts a login", 0.05)
            self._set_queue_type()
        except BaseException as error:
            self._end()
            if isinstance(error, Exception):
                raise RuntimeError(f"rabbitmq-server on port {self.port}: {error}\n{self.log_tail()}") from error
            raise

    def _lean_home(self):
        """A copy, made of links, of RabbitMQ's home without its plugins; None once that has failed.

        At start a node reads every module of every plugin that it finds, enabled or not: more than half of its start.
        """
        home = os.path.dirname(os.path.dirname(os.path.realpath((self._root or "") + os.path.join(SBIN, "rabbitmq-server"))))
        if not self._lean:
            return None
        seen = home[len(self._root or ""):]  # by the node
        lean = os.path.join(self.dir, "home")
        if not os.path.exists(lean):
            if not os.path.isdir(os.path.join(home, "plugins")):
                raise RuntimeError(f"{home}: no plugins directory")
            os.makedirs(os.path.join(lean, "plugins"))
            for name in os.listdir(home):
                if name != "plugins":
                    os.symlink(os.path.join(seen, name), os.path.join(lean, name))
            for name in _applications(os.path.join(home, "plugins")):
                os.symlink(os.path.join(seen, "plugins", name), os.path.join(lean, "plugins", name))
        return lean

    def _watermark(self):
        return str(self.conf.get("vm_memory_high_watermark.relative", "0.6"))

    def _prepare(self):
        if self.dir is None:
            self.dir = tempfile.mkdtemp(prefix="valawai-broker-")
        os.makedirs(os.path.join(self.dir, "log"), exist_ok=True)
        conf = {
            "listeners.tcp.1": f"{self.host}:{self.port}",
            "default_user": self.username,
            "default_pass": self.password,
            "loopback_users": "none",
            "log.console": "false",
            "log.file": "rabbit.log",
            "log.file.level": "info",
            # Only an alarm of a test may stop publishers, not a machine that is short of memory or disk.
            "disk_free_limit.absolute": "1MB",
            "vm_memory_high_watermark.relative": self._watermark(),
        }
        if self.queue_type != "classic" and self._has_queue_type_setting():
            conf["default_queue_type"] = self.queue_type
        conf.update(self.conf)
        self._write("rabbitmq.conf", "".join(f"{key} = {value}\n" for key, value in conf.items()))
        self._write("enabled_plugins", "[].\n")
        if not os.path.exists(os.path.join(self.dir, ".erlang.cookie")):
            self._write(".erlang.cookie", secrets.token_hex(20), mode=0o400)

    def _write(self, name, text, mode=0o600):
        with open(os.path.join(self.dir, name), "w", opener=lambda path, flags: os.open(path, flags, mode)) as file:
            file.write(text)

    def _erlang_environment(self):
        # -sname here makes the node distributed before RabbitMQ looks, so it starts no epmd; -erl_epmd_port tells both sides
        # the port that they would otherwise ask epmd for.
        no_epmd = f"-start_epmd false -erl_epmd_port {self.distribution_port}"
        inside = self._inside
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": inside(),
            "RABBITMQ_NODENAME": self.nodename,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": inside("rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": inside("conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": inside("advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": inside("enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": inside("data"),
            "RABBITMQ_SCHEMA_DIR": inside("schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": inside("config"),
            "RABBITMQ_LOG_BASE": inside("log"),
            "RABBITMQ_PID_FILE": inside("pid"),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            # The start script replaces itself by the Erlang machine, so our child is the node.
            "RUNNING_UNDER_SYSTEMD": "true",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-sname {self.nodename} {no_epmd} +S 2:2 +SDio 4"
                                                   " -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": f"{no_epmd} -dist_listen false +S 1:1",
        }

    def _inside(self, *parts):
        """A path in our directory, as the node sees it."""
        return os.path.join(releases.DATA if self._root else self.dir, *parts)

    def _command(self, name, *args):
        prefix = releases.inside(self._root, self.dir) if self._root else []
        return [*prefix, os.path.join(SBIN, name), *args]

    def _has_queue_type_setting(self):
        """default_queue_type in rabbitmq.conf came with 3.13; before that, only a virtual host has one."""
        return self.release in ("trixie", "forky")

    def _set_queue_type(self):
        done = os.path.join(self.dir, "queue-type")
        if self.queue_type == "classic" or self._has_queue_type_setting() or os.path.exists(done):
            return
        self.ctl("delete_vhost", "/")
        self.ctl("add_vhost", "/", "--default-queue-type", self.queue_type)
        self.ctl("set_permissions", self.username, ".*", ".*", ".*")
        self._write("queue-type", self.queue_type)

    def _signal(self, number):
        """Signals the listening process directly, not its wrappers."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid or self._process.pid, number)

    def _accepts_login(self):
        if not self.running():
            raise RuntimeError("the node ended while it was starting")
        try:
            with socket.create_connection((self.host, self.port), 1):
                pass
            self.connect(socket_timeout=5).close()
            return True
        except (OSError, pika.exceptions.AMQPError):
            return False

    def _end(self):
        if self._process is not None:
            if self._process.poll() is None:
                self._signal(signal.SIGKILL)  # a stopped process, too, dies of this
            self._process.wait()
        self._frozen = False
        atexit.unregister(self._end)


def _applications(plugins):
    """The directories of the Erlang applications that RabbitMQ itself consists of, without the plugins among them."""
    directories = {name.split("-")[0]: name for name in os.listdir(plugins)}
    wanted, found = ["rabbit", "systemd"], set()
    while wanted:
        name = wanted.pop()
        if name in directories and directories[name] not in found:
            found.add(directories[name])
            with open(os.path.join(plugins, directories[name], "ebin", name + ".app")) as file:
                needs = re.findall(r"applications,\s*\[([^]]*)\]", file.read())
            wanted += re.findall(r"\w+", " ".join(needs))
    return found


def catch_end(stop):
    """SIGTERM and SIGINT set the event, unless they were ignored at the start (a script's background job)."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop.set())


def main():
    parser = argparse.ArgumentParser(description="A private RabbitMQ node on the loopback interface, in the foreground.")
    parser.add_argument("--port", type=int, help="AMQP port; default: a free one")
    parser.add_argument("--dir", help="data directory, which is kept; default: a temporary one")
    parser.add_argument("--release", choices=releases.NAMES, help="the RabbitMQ of this Debian release; default: this machine's")
    parser.add_argument("--queue-type", choices=("classic", "quorum"), help="of queues declared without arguments")
    options = parser.parse_args()
    stop = threading.Event()
    catch_end(stop)
    try:
        broker = Broker(username=os.environ.get("RABBITMQ_USERNAME") or "mov",
                        password=os.environ.get("RABBITMQ_PASSWORD") or "password", port=options.port, dir=options.dir,
                        release=options.release, queue_type=options.queue_type)
    except Unavailable as error:
        print(f"broker.py: SKIP: {error}", file=sys.stderr)
        return 77
    try:
        try:
            broker.start()
        except RuntimeError as error:
            print(f"broker.py: {error}", file=sys.stderr)
            return 1
        print(f"ready {broker.port}", flush=True)
        while not stop.wait(0.2):
            if not broker.running():
                print(f"broker.py: the node has ended\n{broker.log_tail()}", file=sys.stderr)
                return 1
        return 0
    finally:
        broker.close()


if __name__ == "__main__":
    sys.exit(main())

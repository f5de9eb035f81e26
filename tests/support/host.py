# SPDX-License-Identifier: GPL-3.0-or-later
"""The real valawai-host under test, and a client that plays all other programs on the broker."""

import collections
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pika

from broker import scaled, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("VALAWAI_BUILD") or os.path.join(ROOT, "build", "release"))
BINARY = os.path.join(BUILD, "valawai-host")
ECHO = os.path.join(BUILD, "plugins", "echo.so")
SANITIZER = os.environ.get("VALAWAI_SANITIZER") == "1"

# A command to run the host under, such as `valgrind --error-exitcode=99 --leak-check=full`.
WRAPPER = shlex.split(os.environ.get("VALAWAI_WRAPPER") or "")

# The components of the plugins that the tests load. All their topics have the same three names.
COMPONENTS = ("echo", "other", "slow", "retry", "verdict", "misuse", "same_topic", "long_descriptor", "deadly",
              "constructor", "fatal", "greedy", "meddler", "later", "lingerer", "threads")

LEVELS = "DEBUG|INFO|WARNING|ERROR|CRITICAL"
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
FILE_RECORD = re.compile(rf"(\w+): ({TIME}) \| ({LEVELS}) \| ([^\s:|]+):(\d+) \| (\d+) >>> (.*)")
CONSOLE_RECORD = re.compile(rf"({TIME}) \[({LEVELS})\] (\w+): (.*)")

Record = collections.namedtuple("Record", "name time level file line process message")
ConsoleRecord = collections.namedtuple("ConsoleRecord", "time level name message")
Result = collections.namedtuple("Result", "status stdout stderr")


def plugin(name):
    """The path of a test plugin."""
    return os.path.join(BUILD, "tests", "plugins", name + ".so")


def one_line(result, *things, status=1):
    """Asserts that a start failed as it should: that status, and one line on stderr that names all the things. Records of
    the plugins that were loaded may come before it."""
    assert result.status == status, f"exit status {result.status}\n{result.stderr}"
    assert result.stdout == ""
    match = re.fullmatch(rf"(?:{TIME} \[INFO\] host: loaded [^\n]+\n)*(valawai-host: [^\n]+\n)", result.stderr)
    assert match, f"not one line: {result.stderr!r}"
    for thing in things:
        assert str(thing) in match[1], f"{thing!r} is not in {match[1]!r}"


def longest_line(command, size=100 * 1024 * 1024, **more):
    """Sends a command one line of this many bytes, and ignores the result. Returns the peak memory of the command."""
    block = b"x" * (1 << 20)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    with process.stdin:
        for _ in range(size // len(block)):
            process.stdin.write(block)
        most = memory_of(process.pid, "VmHWM")
    process.wait()
    return most


def memory_of(pid, key):
    with open(f"/proc/{pid}/status") as file:
        return int(re.search(rf"^{key}:\s+(\d+) kB$", file.read(), re.MULTILINE).group(1)) * 1024


def received(component="echo"):
    return f"valawai/c1/{component}/data/received_message"


def published(component="echo"):
    return f"valawai/c1/{component}/data/publish_message"


def registered(component="echo"):
    return f"valawai/c1/{component}/control/registered"


# Gives the program a controlling terminal of its own.
TERMINAL = ("/usr/bin/python3", "-c", "import fcntl, os, sys, termios; os.setsid(); master, slave = os.openpty(); "
            "fcntl.ioctl(slave, termios.TIOCSCTTY, 0); os.set_inheritable(master, True); os.execvp(sys.argv[1], sys.argv[1:])")


class Host:
    """One run of the program in its own directory, with a minimal environment."""

    def __init__(self, broker=None, plugins=(ECHO,), conf=None, args=(), env=None, directory=None, umask=-1, prefix=(),
                 stderr=None):
        self._own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="valawai-host-")
        self.arguments = [*args, *plugins]
        self.umask = umask
        self.prefix = prefix  # a command to run it under, that becomes it
        self.stderr = stderr  # a descriptor in the place of stderr.txt
        self.process = None
        self.env = {key: value for key, value in os.environ.items()
                    if key in ("PATH", "LD_LIBRARY_PATH", "VALAWAI_ISOLATION") or key.startswith(("ASAN_", "UBSAN_", "TSAN_", "LSAN_", "GCOV_"))}
        self.env["LANG"] = "C.UTF-8"
        if broker:
            self.env.update(broker.environment())
        self.env.update(env or {})
        if conf is not None:
            self.write("plugins.conf", conf)
            if "isolation" in conf:  # the choice of a test overrides that of the whole run
                self.env.pop("VALAWAI_ISOLATION", None)

    # --- files -------------------------------------------------------------------------------------------------------

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def read(self, name):
        """The text of a file, with invalid UTF-8 marked; empty without a file."""
        try:
            with open(self.path(name), encoding="utf-8", errors="replace", newline="") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    @property
    def console(self):
        return self.read("stderr.txt")

    @property
    def stdout(self):
        return self.read("stdout.txt")

    def log(self, name=os.path.join("logs", "log_messages.txt")):
        return self.read(name)

    def records(self, name=os.path.join("logs", "log_messages.txt")):
        """The records of the log file; a complete line that is not a record fails the test."""
        found = []
        for line in self.log(name).split("\n")[:-1]:
            match = FILE_RECORD.fullmatch(line)
            assert match, f"not a log file record: {line!r}"
            found.append(Record(*match.groups()))
        return found

    def console_records(self):
        found = []
        for line in self.console.split("\n")[:-1]:
            match = CONSOLE_RECORD.fullmatch(line)
            assert match, f"not a console record: {line!r}"
            found.append(ConsoleRecord(*match.groups()))
        return found

    def health(self, name=os.path.join("logs", "component_id.json")):
        """The parsed health file; None if there is none or it is empty. A file with anything else fails the test."""
        text = self.read(name)
        return json.loads(text) if text else None

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self):
        command = [*self.prefix, *WRAPPER, BINARY, *self.arguments]
        # Only the main thread lives as long as we do, and the death signal is bound to the thread that forks.
        if threading.current_thread() is threading.main_thread() and shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "KILL", *command]
        self.started = time.time()
        with open(self.path("stdout.txt"), "ab") as stdout, open(self.path("stderr.txt"), "ab") as stderr:
            self.process = subprocess.Popen(command, cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=stdout, stderr=stderr if self.stderr is None else self.stderr,
                                            umask=self.umask)
        return self

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, predicate, timeout=10, what="the awaited"):
        """The first truthy value of predicate(). Fails at once when the host ends."""
        def look():
            value = predicate()
            assert value or self.running(), f"the host ended with {self.process.returncode} before {what}:\n{self.console}"
            return value
        try:
            return wait_until(look, timeout, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n--- console\n{self.console[-4000:]}") from None

    def wait_healthy(self, timeout=10):
        return self.wait(self.health, timeout, "a health file")

    def wait_consuming(self, timeout=10):
        return self.wait_record(r"consuming \d+ topic", timeout)

    def wait_record(self, pattern, timeout=10, level=None, name=None):
        """The first record of the log file with the pattern in its message."""
        def look():
            return next((r for r in self.records() if re.search(pattern, r.message) and level in (None, r.level)
                         and name in (None, r.name)), None)
        return self.wait(look, timeout, f"a record like {pattern!r}")

    def exit_status(self, timeout=15):
        """Waits for the end."""
        try:
            return self.process.wait(scaled(timeout))
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"the host has not ended after {scaled(timeout):g} s\n{self.console[-4000:]}") from None

    def run(self, timeout=15):
        """Starts it and waits until it has ended by itself."""
        self.start()
        return Result(self.exit_status(timeout), self.stdout, self.console)

    def send_signal(self, number):
        self.process.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout=15):
        self.send_signal(number)
        return self.exit_status(timeout)

    def kill9(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.running():
            self.kill9()
        if self._own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)

    # --- resources -----------------------------------------------------------------------------------------------

    def rss(self):
        """Resident bytes now."""
        return memory_of(self.pid, "VmRSS")

    def peak_rss(self):
        """The peak of resident bytes."""
        return memory_of(self.pid, "VmHWM")

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def open_files(self):
        """The open files, as /proc names them; some may be closed already."""
        found = []
        for number in sorted(os.listdir(f"/proc/{self.pid}/fd"), key=int):
            with contextlib.suppress(OSError):
                found.append(os.readlink(f"/proc/{self.pid}/fd/{number}"))
        return found


class Client:
    """Puts messages into queues and takes them out. Bodies are bytes, or anything that becomes JSON."""

    _declared = set()  # by all clients, for delete_all

    def __init__(self, broker):
        self.broker = broker
        self._connection = None
        self._channel = None

    def close(self):
        """Works even after the broker's death; the next call connects again."""
        try:
            if self._connection and self._connection.is_open:
                self._connection.close()
        except (pika.exceptions.AMQPError, OSError):
            pass
        self._connection = None

    @property
    def channel(self):
        """A channel with publisher confirms; a new one if the broker closed the last."""
        if not self._connection or not self._connection.is_open:
            self._connection = self.broker.connect()
            self._channel = None
        if not self._channel or not self._channel.is_open:
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        return self._channel

    @staticmethod
    def _bytes(body):
        return body if isinstance(body, bytes) else json.dumps(body).encode()

    _PROPERTIES = pika.BasicProperties(content_type="application/json", delivery_mode=2)

    def declare(self, *topics):
        self._declared.update(topics)
        for topic in topics:
            self.channel.queue_declare(topic, durable=True)

    def publish(self, topic, *bodies):
        """Persistent, routed and confirmed, or an exception."""
        for body in bodies:
            self.channel.basic_publish("", topic, self._bytes(body), self._PROPERTIES, mandatory=True)

    def publish_many(self, topic, bodies):
        """Many messages fast: all are in the queue when this returns, but not yet safe from a broker that is killed."""
        _ = self.channel
        channel = self._connection.channel()
        for body in bodies:
            channel.basic_publish("", topic, self._bytes(body), self._PROPERTIES)
        channel.queue_declare(topic, passive=True)  # answered after what this channel sent before
        channel.close()

    def collect(self, topic, count, timeout=10):
        """The bodies of count messages, in order; TimeoutError with the received ones if there are fewer."""
        return [body for _, body in self.collect_messages(topic, count, timeout)]

    def collect_messages(self, topic, count, timeout=10):
        """As collect, but (properties, body) of each."""
        _ = self.channel
        channel = self._connection.channel()
        channel.basic_qos(prefetch_count=min(count, 500))
        found = []
        deadline = time.monotonic() + scaled(timeout)
        try:
            for method, properties, body in channel.consume(topic, inactivity_timeout=0.1):
                if method:
                    found.append((properties, body))
                    channel.basic_ack(method.delivery_tag)
                if len(found) == count:
                    break
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic}: {len(found)} of {count} messages within {scaled(timeout):g} s:"
                                       f" {[body[:80] for _, body in found[-5:]]}")
        finally:
            if channel.is_open:
                channel.cancel()
                channel.close()
        return found

    def drain(self, topic):
        """The bodies of all ready messages."""
        bodies = []
        while True:
            method, _, body = self.channel.basic_get(topic, auto_ack=True)
            if not method:
                return bodies
            bodies.append(body)

    def depth(self, topic):
        """The number of ready messages; unacknowledged ones do not count."""
        return self.channel.queue_declare(topic, passive=True).method.message_count

    def consumers(self, topic):
        """The number of consumers; 0 if the queue does not exist."""
        try:
            return self.channel.queue_declare(topic, passive=True).method.consumer_count
        except pika.exceptions.ChannelClosedByBroker:
            return 0

    def delete(self, *topics):
        for topic in topics:
            self.channel.queue_delete(topic)

    def delete_all(self):
        """Deletes every queue that an earlier test or its host may have made."""
        self.delete(*self._declared)
        self._declared.clear()
        self.delete(*(f"valawai/{name}" for name in (
            "component/register", "component/unregister", "component/query", "component/page", "log/add",
            "topology/create", "topology/change", "topology/query", "topology/page")))
        for component in COMPONENTS:
            self.delete(received(component), received(component) + "/dead", published(component), registered(component))

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The measurements; bench/run.sh installs and builds what they need, and --help there says what can be asked for.

Every figure is a median of rounds, and in a round each peer has its turn, so that whatever else the machine does meets all of
them. A peer finds its queue filled, and the clock runs from a tenth of the messages to the last. The records for the MOV stay
in their queue until they are counted: this shows that all peers send the same, and no reading of them is measured. """

import argparse
import atexit
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import inside  # noqa: E402
import report  # noqa: E402
from broker import Broker, wait_until  # noqa: E402
from mov import LOG, MovStandIn  # noqa: E402

BUILD = os.path.join(ROOT, "build", "release")
HOST = os.path.join(BUILD, "valawai-host")
ECHO = os.path.join(BUILD, "plugins", "echo.so")
LOAD = os.path.join(BUILD, "bench", "bench_load")
RELAY = os.path.join(BUILD, "bench", "bench_relay")
GENERATED = os.path.join(ROOT, "build", "bench")

BODIES = {"100 B": 100, "1 KB": 1024, "64 KB": 65536, "1 MB": 1048576}


def received(name="echo"):
    return f"valawai/c1/{name}/data/received_message"


def published(name="echo"):
    return f"valawai/c1/{name}/data/publish_message"


class Mov(MovStandIn):
    """No client reads the records: they are counted in their queue."""

    def __init__(self, broker):
        super().__init__(broker)
        del self._handlers[LOG]


# --- peers ------------------------------------------------------------------------------------------------------------


class Running:
    """A peer's process."""

    def __init__(self, bench, command, environment=None):
        self.directory = tempfile.mkdtemp(prefix="peer-", dir=bench.directory)
        environment = {**os.environ, **bench.broker.environment(), **(environment or {})}
        self.began = time.monotonic_ns()
        with open(os.path.join(self.directory, "output.txt"), "wb") as output:
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], cwd=self.directory, env=environment,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self.pid = self.process.pid

    def output(self):
        with open(os.path.join(self.directory, "output.txt"), errors="replace") as file:
            return file.read()[-2000:]

    @staticmethod
    def children(pid):
        found = []
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that ends meanwhile
                with open(f"/proc/{pid}/task/{task}/children") as file:
                    found += map(int, file.read().split())
        return found

    def family(self):
        """The process and all that descend from it."""
        found = [self.pid]
        for pid in found:
            found += self.children(pid)
        return found

    def threads_ns(self):
        """User and system time by names of threads; those of one name together."""
        times = {}
        for pid in self.family():
            for task in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the same
                    with open(f"/proc/{pid}/task/{task}/comm") as name, open(f"/proc/{pid}/task/{task}/schedstat") as time_of:
                        name = name.read().rstrip()
                        times[name] = times.get(name, 0) + int(time_of.read().split()[0])
        return times

    def cpu_ns(self):
        """User and system time of all threads, of child processes as well."""
        return sum(self.threads_ns().values())

    def user_ns(self):
        """The same in user mode alone, which the kernel counts in hundredths of a second."""
        ticks = 0
        for pid in self.family():
            with open(f"/proc/{pid}/stat") as file:
                ticks += int(file.read().rpartition(")")[2].split()[11])
        return ticks * 1000000000 // os.sysconf("SC_CLK_TCK")

    def status(self, key):
        """VmRSS or VmHWM in bytes."""
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(rf"^{key}:\s+(\d+) kB$", file.read(), re.MULTILINE).group(1)) * 1024

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


class Peer:
    name = label = None
    guarantee = True
    messages = 20000  # in a throughput round
    trips = 1500
    callgrind = (1000, 3000)  # messages of two runs; None: cannot be counted
    environment = {}
    uncounted = ""

    def command(self, names):
        raise NotImplementedError

    def missing(self):
        """The reason why it cannot be measured here, or None."""
        return None


class HostPeer(Peer):
    name, label = "host", "valawai-host"

    def command(self, names):
        return [HOST, "--isolation", "thread", *(ECHO if name == "echo" else copy_of_echo(name) for name in names)]


class WorkerPeer(HostPeer):
    name, label = "worker", "valawai-host, plugin in a process"

    def command(self, names):
        return [word if word != "thread" else "process" for word in super().command(names)]


class ConsolePeer(HostPeer):
    name, label = "on", "records on the console"
    environment = {"LOG_CONSOLE_LEVEL": "DEBUG"}


class SilentPeer(HostPeer):
    name, label = "off", "none"
    environment = {"LOG_CONSOLE_LEVEL": "CRITICAL"}


class RelayPeer(Peer):
    name, label = "relay", "bare relay, same guarantee"

    def command(self, names):
        return [RELAY, *(topic for name in names for topic in (received(name), published(name)))]


class LooseRelayPeer(Peer):
    name, label = "loose", "bare relay, no guarantee"
    guarantee = False
    messages = 30000

    def command(self, names):
        return [RELAY, "--no-guarantee", received(), published()]


class PikaPeer(Peer):
    name, label = "pika", "Python, pika done well"
    messages = 8000
    trips = 800
    callgrind = (100, 400)

    def command(self, names):
        return ["/usr/bin/python3", os.path.join(HERE, "peers", "pika_relay.py"), received(), published()]


class ReferencePeer(Peer):
    name, label = "reference", "Python, a connection per publication"
    guarantee = False
    messages = 150
    trips = 100
    callgrind = (10, 40)

    def command(self, names):
        return ["/usr/bin/python3", os.path.join(HERE, "peers", "reference.py"), received(), published()]


class NodePeer(Peer):
    name, label = "node", "Node, amqplib with confirms"
    callgrind = None
    uncounted = "valgrind does not run V8's generated code as it is"
    directory = os.path.join(GENERATED, "node")

    def missing(self):
        for program in ("node", "npm"):
            if not shutil.which(program):
                return f"there is no {program}"
        if not os.path.isdir(os.path.join(self.directory, "node_modules", "amqplib")):
            os.makedirs(self.directory, exist_ok=True)
            shutil.copy(os.path.join(HERE, "peers", "node", "package.json"), self.directory)
            try:
                done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--omit=dev"], cwd=self.directory, text=True,
                                      stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
            except subprocess.TimeoutExpired:
                return "npm does not fetch amqplib within 60 s"
            if done.returncode != 0:
                return "npm cannot fetch amqplib: " + " ".join(done.stderr.split())[-160:]
        shutil.copy(os.path.join(HERE, "peers", "node", "relay.js"), self.directory)
        return None

    def command(self, names):
        return ["node", os.path.join(self.directory, "relay.js"), received(), published()]


PEERS = (HostPeer(), RelayPeer(), LooseRelayPeer(), NodePeer(), PikaPeer(), ReferencePeer())


def copy_of_echo(name):
    """The echo plugin under another name; built once for a version of its sources."""
    sources = [os.path.join(ROOT, "plugins", "echo", file) for file in ("echo.c", "asyncapi.yaml")]
    sources.append(os.path.join(ROOT, "include", "valawai", "plugin.h"))
    directory = os.path.join(GENERATED, "plugins")
    path = os.path.join(directory, name + ".so")
    if os.path.exists(path) and all(os.path.getmtime(path) > os.path.getmtime(source) for source in sources):
        return path
    os.makedirs(directory, exist_ok=True)
    with open(sources[0]) as code, open(sources[1], "rb") as document:
        code = code.read().replace("c1/echo/", f"c1/{name}/")
        document = document.read().replace(b"c1_echo", b"c1_" + name.encode()).replace(b"c1/echo/", f"c1/{name}/".encode())
    with open(os.path.join(directory, name + ".c"), "w") as file:
        file.write(code + f"const char valawai_asyncapi[] = {{{','.join(map(str, document))},0}};\n")
    subprocess.run(["gcc", "-O2", "-g", "-shared", "-fPIC", "-fvisibility=hidden", "-I", os.path.join(ROOT, "include"),
                    '-DVALAWAI_PLUGIN_VERSION="1.0.0"', "-o", path, os.path.join(directory, name + ".c")], check=True)
    return path


# --- counters ---------------------------------------------------------------------------------------------------------


def can_count(event):
    if not shutil.which("perf"):
        return False
    done = subprocess.run(["perf", "stat", "-x", ",", "-e", event, "true"], capture_output=True, text=True)
    return done.returncode == 0 and re.search(r"^\d+,", done.stderr, re.MULTILINE) is not None


class Counter:
    """Counts what a process does between begin() and end(): system calls, and user instructions where the machine can."""

    def __init__(self):
        self.instructions = can_count("instructions:u")
        self.calls = "perf" if can_count("raw_syscalls:sys_enter") else "strace" if shutil.which("strace") else None

    def begin(self, process):
        self.output = os.path.join(process.directory, "count.txt")
        events = ["raw_syscalls:sys_enter"] * (self.calls == "perf") + ["instructions:u"] * self.instructions
        command = ["perf", "stat", "-x", ",", "-o", self.output, "-e", ",".join(events), "-p", str(process.pid)]
        if self.calls == "strace":
            command = ["strace", "-c", "-f", "-o", self.output, "-p", str(process.pid)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        """(system calls, instructions); None for what cannot be counted."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        with open(self.output) as file:
            text = file.read()
        if self.calls == "strace":
            return int(re.search(r"^\s*100\.00\s+\S+\s+\S*\s+(\d+).*total$", text, re.MULTILINE).group(1)), None
        found = {name: int(count) for count, name in re.findall(r"^(\d+),[^,]*,([^,]+)", text, re.MULTILINE)}
        return found.get("raw_syscalls:sys_enter"), found.get("instructions:u")


# --- the benchmark ----------------------------------------------------------------------------------------------------


class Bench:
    def __init__(self, options):
        self.options = options
        self.rounds = 5
        self.quick = options.quick
        self.directory = tempfile.mkdtemp(prefix="work-", dir=options.run)
        self.counter = Counter()
        self.results = {}
        self.peers, self.left_out = [], {}
        for peer in PEERS:
            if self.quick and peer.name in ("node", "reference"):
                continue
            reason = peer.missing()
            if reason:
                self.left_out[peer.name] = f"{peer.label}: left out: {reason}"
                print(self.left_out[peer.name])
            else:
                self.peers.append(peer)
        self.running = []
        self.scale = 1.0

    # --- surroundings

    def __enter__(self):
        atexit.register(self._end)
        self.broker = Broker(dir=None).start()
        self.mov = Mov(self.broker).start()
        self.connection = self.broker.connect(blocked_connection_timeout=None)
        self.channel = self.connection.channel()
        self.declare(["echo"])
        return self

    def __exit__(self, *_):
        self._end()

    def _end(self):
        for process in self.running:
            process.stop()
        self.running = []
        self.mov.stop()
        self.broker.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self._end)

    topics = (received(), published())

    def depth(self, queue):
        return self.channel.queue_declare(queue, passive=True).method.message_count

    @staticmethod
    def wait_healthy(process):
        wait_until(lambda: os.path.exists(os.path.join(process.directory, "logs", "component_id.json")), 30)

    def declare(self, names):
        for name in names:
            for topic in (received(name), published(name)):
                self.channel.queue_declare(topic, durable=True)
        self.channel.queue_declare(LOG, durable=True)

    def purge(self, names):
        for name in names:
            for topic in (received(name), published(name)):
                self.channel.queue_purge(topic)
        self.channel.queue_purge(LOG)

    def load(self, *arguments):
        return subprocess.Popen([LOAD, *map(str, arguments)], env={**os.environ, **self.broker.environment()},
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)

    def load_done(self, *arguments):
        process = self.load(*arguments)
        output = process.communicate()[0]
        if process.returncode != 0:
            raise RuntimeError(f"bench_load {' '.join(map(str, arguments))}: exit {process.returncode}")
        return output

    def start(self, peer, names, prefix=()):
        environment = {"LOG_DIR": "logs", **peer.environment}
        self.running.append(Running(self, [*prefix, *peer.command(names)], environment))
        return self.running[-1]

    def stop(self, process):
        process.stop()
        self.running.remove(process)

    # --- one measurement each

    def records(self, wanted):
        """The number of records for the MOV; waits for late ones."""
        try:
            wait_until(lambda: self.depth(LOG) >= wanted, 1)
        except TimeoutError:
            pass
        return self.depth(LOG)

    def throughput(self, peer, count, size, names=("echo",), replicas=1, counter=None, prefix=()):
        """Messages a second, and the peer's costs."""
        count -= count % len(names)
        self.purge(names)
        self.load_done("fill", count, size, *map(received, names))
        processes = [self.start(peer, names, prefix) for _ in range(replicas)]
        watch = self.load("watch", count, *map(published, names))
        at, cpu, user = {}, {}, {}
        found = {}
        for line in watch.stdout:
            event, stamp, number = line.split()
            at[event] = int(stamp), int(number)
            if event == "warm" and counter:
                counter.begin(processes[0])
                found["counted_from"] = int(number)
            if event in ("warm", "done"):
                cpu[event] = sum(process.cpu_ns() for process in processes)
                user[event] = sum(process.user_ns() for process in processes)
            if event == "done":
                found["rss_peak"] = max(process.status("VmHWM") for process in processes)
        if watch.wait() != 0 or "done" not in at:
            raise RuntimeError(f"{peer.label}: {processes[0].output()}")
        if counter:
            found["calls"], found["instructions"] = counter.end()
        found["records"] = self.records(2 * count) / count
        for process in processes:
            self.stop(process)
        self.purge(names)
        warm = at.get("warm") or at.get("first")
        if warm[1] > count / 2:  # with many queues most can be over before the first look: the start counts, too, then
            warm = processes[0].began, 0
            cpu.pop("warm", None)
        messages, nanoseconds = at["done"][1] - warm[1], at["done"][0] - warm[0]
        if messages > 0 and nanoseconds > 0:
            found["rate"] = messages * 1e9 / nanoseconds
            if "warm" in cpu:
                found["cpu_us"] = (cpu["done"] - cpu["warm"]) / messages / 1000
                found["user_us"] = (user["done"] - user["warm"]) / messages / 1000
        found["first_ms"] = (at["first"][0] - processes[0].began) / 1e6
        return found

    def start_up(self, peer, names=("echo",)):
        """The time from start to first echo, and the memory of an idle peer."""
        self.purge(names)
        self.load_done("fill", 1, 100, received(names[0]))
        process = self.start(peer, names)
        watch = self.load("watch", 1, published(names[0]))
        stamps = {event: int(stamp) for event, stamp, _ in map(str.split, watch.stdout)}
        watch.wait()
        if isinstance(peer, HostPeer):
            self.wait_healthy(process)
        time.sleep(0.2)
        found = {"first_ms": (stamps["first"] - process.began) / 1e6, "rss": process.status("VmRSS")}
        self.stop(process)
        return found

    def latency(self, peer, count, rate):
        self.purge(["echo"])
        process = self.start(peer, ["echo"])
        wait_until(lambda: self.channel.queue_declare(received(), passive=True).method.consumer_count > 0, 20)
        if isinstance(peer, HostPeer):
            self.wait_healthy(process)
        time.sleep(0.1)
        # The broker returns what the peer before did not acknowledge when it notices its end, perhaps after the first purge.
        self.channel.queue_purge(published())
        figures = self.load_done("trip", count, 100, rate, received(), published()).split()
        self.stop(process)
        return dict(zip(("p50", "p99", "p999", "max", "rate"), map(float, figures)))

    def instructions(self, peer):
        """User instructions a message, by callgrind: the difference of two runs, so that the start does not count."""
        totals = []
        for count in peer.callgrind:
            output = os.path.join(self.directory, "callgrind.out")
            self.throughput(peer, count, 100, prefix=["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={output}"])
            with open(output) as file:
                totals.append(int(re.search(r"^(?:totals|summary): (\d+)", file.read(), re.MULTILINE).group(1)))
        return (totals[1] - totals[0]) / (peer.callgrind[1] - peer.callgrind[0])

    # --- the parts

    def rounds_of(self, what, peers, measure):
        """Calls measure(peer) for each peer in turn, repeatedly; returns a list of dictionaries for each peer."""
        came = {peer.name: [] for peer in peers}
        for number in range(self.rounds):
            report.progress(f"{what}, round {number + 1} of {self.rounds}")
            for peer in peers if number % 2 == 0 else reversed(peers):
                came[peer.name].append(measure(peer))
        return came

    @staticmethod
    def medians(came):
        return {name: {key: statistics.median(one[key] for one in rounds if key in one)
                       for key in {key for one in rounds for key in one}} for name, rounds in came.items()}

    def wanted(self, part):
        return part in self.options.only if self.options.only else not self.quick or part in ("throughput", "cost", "latency")

    def peers_named(self, *names):
        return [peer for peer in self.peers if peer.name in names]

    def few(self, count):
        """So many messages on a machine like the one that the counts were chosen on; less on one that is slow or busy now,
        so that the whole of it stays bounded in time."""
        return max(30, int(count * self.scale) // (4 if self.quick else 1))

    def calibrate(self):
        relay, = self.peers_named("relay")
        self.throughput(relay, 1000, 100)  # the broker warms up, too
        self.scale = min(1.0, max(0.05, self.throughput(relay, 3000, 100)["rate"] / 18000))

    def measure_throughput(self):
        came = self.rounds_of("throughput", self.peers, lambda peer: self.throughput(peer, self.few(peer.messages), 100))
        self.results["throughput"] = self.medians(came)
        self.results["rounds"] = {name: [one["rate"] for one in rounds] for name, rounds in came.items()}
        came = self.rounds_of("start", self.peers, self.start_up)
        self.results["start"] = self.medians(came)

    def measure_cost(self):
        counted = [peer for peer in self.peers if not self.quick or peer.name in ("host", "relay")]
        cost = self.results["cost"] = {}
        for peer in counted:
            report.progress(f"counting, {peer.label}")
            cost[peer.name] = {}
            if self.counter.calls:
                count = self.few(peer.messages)
                found = self.throughput(peer, count, 100, counter=self.counter)
                cost[peer.name]["calls"] = found["calls"] / (count - found["counted_from"])
                if found["instructions"]:
                    cost[peer.name]["instructions"] = found["instructions"] / (count - found["counted_from"])
            if not self.counter.instructions and peer.callgrind:
                cost[peer.name]["instructions"] = self.instructions(peer)
        self.results["counted_with"] = {"calls": self.counter.calls,
                                        "instructions": "perf" if self.counter.instructions else "callgrind"}

    def measure_latency(self):
        peers = self.peers_named("host", "relay") if self.quick else self.peers
        came = self.rounds_of("latency, one in flight", peers, lambda peer: self.latency(peer, self.few(peer.trips * (4 if self.quick else 1)), 0))
        self.results["latency_one"] = self.medians(came)
        rates = {name: found["rate"] for name, found in self.results.get("throughput", {}).items()}
        if not rates:
            return
        # The same for both of those that are held against each other.
        both = min(rates["host"], rates["relay"]) / 2
        rate_of = lambda peer: both if peer.name in ("host", "relay") else min(both, rates[peer.name] / 2)
        seconds = 1 if self.quick else 2
        came = self.rounds_of("latency, half load", peers,
                              lambda peer: {"offered": rate_of(peer),
                                            **self.latency(peer, max(40, int(rate_of(peer) * seconds)), rate_of(peer))})
        self.results["latency_half"] = self.medians(came)

    def measure_bodies(self):
        peers = self.peers_named("host", "relay")
        self.results["bodies"] = {}
        for name, size in BODIES.items():
            count = {100: 15000, 1024: 12000, 65536: 1000, 1048576: 120}[size]
            came = self.rounds_of(f"bodies of {name}", peers, lambda peer: self.throughput(peer, self.few(count), size))
            self.results["bodies"][name] = self.medians(came)

    def measure_plugins(self):
        self.results["plugins"] = {}
        for number in (1, 10, 100):
            names = [f"echo{index:02}" for index in range(number)]
            self.declare(names)
            for name in names:
                copy_of_echo(name)
            # Not self.few(): less would be over before the first look at all queues.
            came = self.rounds_of(f"{number} plugins", self.peers_named("host", "relay"), lambda peer: {
                **self.throughput(peer, 10000, 100, names=names), "rss": self.start_up(peer, names)["rss"]})
            self.results["plugins"][str(number)] = self.medians(came)

    def measure_replicas(self):
        self.results["replicas"] = {}
        for number in (1, 2, 4):
            came = self.rounds_of(f"{number} replicas", self.peers_named("host", "relay"),
                                  lambda peer: self.throughput(peer, self.few(15000), 100, replicas=number))
            self.results["replicas"][str(number)] = self.medians(came)

    def measure_isolation(self):
        host, relay = self.peers_named("host", "relay")
        self.results["isolation"] = inside.measure_isolation(self, host, WorkerPeer(), relay, copy_of_echo)

    def measure_scrapes(self):
        self.results["scrapes"] = inside.measure_scrapes(self, *self.peers_named("host"))

    def measure_console(self):
        self.results["console"] = inside.measure_console(self, ConsolePeer(), SilentPeer())

    def run(self):
        self.calibrate()
        for part in ("throughput", "latency", "cost", "bodies", "plugins", "replicas", "isolation", "scrapes", "console"):
            if not self.wanted(part):
                continue
            began = time.monotonic()
            getattr(self, "measure_" + part)()
            self.results.setdefault("seconds_of", {})[part] = round(time.monotonic() - began)
        report.progress(None)
        return {
            "what": "valawai-host benchmark", "format": 1, "quick": self.quick, "rounds_each": self.rounds,
            "when": time.strftime("%Y-%m-%d %H:%M"),
            "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "system": report.system(),
                        "rabbitmq": report.version_of("rabbitmq-server"), "rabbitmq-c": report.version_of("librabbitmq-dev")},
            "labels": {peer.name: peer.label for peer in self.peers},
            "notes": list(self.left_out.values()) + [f"{peer.label}: instructions not counted: {peer.uncounted}"
                                                     for peer in self.peers if peer.uncounted and not self.counter.instructions],
            **self.results,
        }


def main():
    parser = argparse.ArgumentParser(prog="bench/run.sh", description="See bench/run.sh --help.")
    parser.add_argument("--run", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--json")
    parser.add_argument("--compare")
    parser.add_argument("--svg")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    earlier = None
    if options.compare:
        with open(options.compare) as file:
            earlier = json.load(file)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    began = time.monotonic()
    with Bench(options) as bench:
        results = bench.run()
    results["seconds"] = round(time.monotonic() - began)
    path = options.json or os.path.join(options.run, "bench.json")
    with open(path, "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    report.table(results)
    if earlier:
        report.compare(results, earlier)
    kept = report.held_to(results)
    if options.svg:
        report.plots(results, options.svg)
    print(f"\n{results['seconds']} s; the figures are in {path}")
    return 1 if options.check and not kept else 0


if __name__ == "__main__":
    sys.exit(main())

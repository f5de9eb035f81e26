#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzzes whole AMQP sessions: plays the broker, changes what it says, and watches the real program (built with a sanitizer).

    tests/fuzz/session.py [--seconds S | --sessions N] [--seed FIRST] [--jobs N] [--way run|send|listen] [--tls yes|no]

Each case has a seed, which chooses the verb, plain TCP or TLS, and every change. A finding is a sanitizer's report, a signal, an
exit status that the program does not have, or no end. It is kept in build/fuzz/findings with the command that repeats it:

    tests/fuzz/session.py --only SEED

VALAWAI_BUILD   the build directory; default build/asan (cmake --preset asan)

Loopback only. Exit status: 0 nothing found, 1 something found, 2 called wrongly or not built.
"""

import argparse
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

FUZZ = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(FUZZ))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

import by_hand  # noqa: E402
from by_hand import ByHand, Session, method  # noqa: E402
from findings import keep  # noqa: E402

BUILD = os.path.abspath(os.environ.get("VALAWAI_BUILD") or os.path.join(ROOT, "build", "asan"))
PROGRAM = os.path.join(BUILD, "valawai-host")
ECHO = os.path.join(BUILD, "plugins", "echo.so")
FINDINGS = os.path.join(ROOT, "build", "fuzz", "findings")
FACTOR = float(os.environ.get("VALAWAI_TIMEOUT_FACTOR") or 1)

REPORT = 99  # a sanitizer's exit status
RUN_SESSIONS = 30  # connections of one host; a verb makes one
WAYS = ("run", "send", "send", "send", "listen", "listen", "listen", "trace", "trace")
IDLE = 0.25  # seconds after which the broker hangs up on a client that waits
END = 30 * FACTOR  # seconds in which every program ends

TOPIC = "valawai/c1/echo/data/received_message"
MESSAGES = [json.dumps({"content": "x" * size}).encode() for size in (0, 1, 300, 5000)] + [b"", b"no JSON", b"{}"]
SIZES = [0, 1, 2, 7, 8, 127, 255, 256, 4096, 65535, 65536, 131064, 131065, 2**31 - 1, 2**31, 2**32 - 1]
LONG_SIZES = SIZES + [2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
NUMBERS = sorted(value for value in vars(by_hand).values()
                 if isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, int) for part in value))


class Mutator:
    """Changes the output of a session, determined by its seed."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.rate = self.chance.choice((0.03, 0.1, 0.3, 0.7))
        self.quiet = self.chance.choice((0, 0, 4, 8, 16))  # says so much as it should before

    def __call__(self, session, frames):
        self.quiet -= 1
        if self.quiet < 0 and self.chance.random() < self.rate:
            for _ in range(self.chance.choice((1, 1, 1, 2, 5))):
                frames = self.chance.choice(self.CHANGES)(self, session, list(frames))
        data = b"".join(frames)
        if data and self.chance.random() < 0.05:  # in two parts
            at = self.chance.randrange(len(data) + 1)
            session.stream.sendall(data[:at])
            data = data[at:]
        return data

    def place(self, frames):
        return self.chance.randrange(len(frames)) if frames else None

    def flip(self, session, frames):
        at = self.place(frames)
        if at is not None and frames[at]:
            data = bytearray(frames[at])
            for _ in range(self.chance.choice((1, 1, 2, 8))):
                data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
            frames[at] = bytes(data)
        return frames

    def number(self, session, frames):
        """Replaces a length or a number in a frame by a boundary value."""
        at = self.place(frames)
        if at is None or len(frames[at]) < 12:
            return frames
        data = bytearray(frames[at])
        code = self.chance.choice((">B", ">H", ">I", ">I", ">Q"))
        value = self.chance.choice(LONG_SIZES) % (1 << 8 * struct.calcsize(code))
        struct.pack_into(code, data, self.chance.randrange(len(data) - 7), value)
        frames[at] = bytes(data)
        return frames

    def body_size(self, session, frames):
        for at, data in enumerate(frames):
            if data[:1] == bytes([by_hand.HEADER]) and len(data) >= 19:
                frames[at] = data[:11] + struct.pack(">Q", self.chance.choice(LONG_SIZES)) + data[19:]
        return frames

    def frame_size(self, session, frames):
        at = self.place(frames)
        if at is not None and len(frames[at]) >= 7:
            frames[at] = frames[at][:3] + struct.pack(">I", self.chance.choice(SIZES)) + frames[at][7:]
        return frames

    def channel(self, session, frames):
        at = self.place(frames)
        if at is not None and len(frames[at]) >= 3:
            number = self.chance.choice((0, 1, 2, 3, 4, 5, 9, 255, 2047, 65535))
            frames[at] = frames[at][:1] + struct.pack(">H", number) + frames[at][3:]
        return frames

    def cut(self, session, frames):
        at = self.place(frames)
        if at is not None:
            frames[at] = frames[at][:self.chance.randrange(len(frames[at]) + 1)]
        return frames

    def drop(self, session, frames):
        if frames:
            del frames[self.place(frames)]
        return frames

    def twice(self, session, frames):
        if frames:
            at = self.place(frames)
            frames.insert(at, frames[at])
        return frames

    def shuffle(self, session, frames):
        self.chance.shuffle(frames)
        return frames

    def noise(self, session, frames):
        return frames + [self.chance.randbytes(self.chance.choice((1, 7, 8, 100, 5000)))]

    def another(self, session, frames):
        """A frame that a broker may send at another time, or with other arguments."""
        chance, channel = self.chance, self.chance.choice((0, 1, 1, 2, 3, 3, 4, 5))
        tag = next(iter(session.consumers.values()), (channel, "t"))[1]
        number = chance.choice((0, 1, 2, 3, 1000, 2**63, 2**64 - 1))
        topic = chance.choice((TOPIC, "valawai/c1/echo/data/publish_message", "valawai/log/add", "", "x" * 255))
        size = chance.choice(LONG_SIZES)
        body = chance.choice(MESSAGES)
        close = struct.pack(">H", chance.choice((200, 311, 404, 406, 530, 541))) + by_hand.short("why, timed out") + b"\0" * 4
        frames += chance.choice((
            lambda: [by_hand.returned(channel, topic), by_hand.header(channel, size)],
            lambda: [by_hand.returned(channel, topic), *by_hand.content(channel, body)],
            lambda: [by_hand.deliver(channel, tag, number, topic), *by_hand.content(channel, body, 100)],
            lambda: [by_hand.deliver(channel, tag, number, topic, redelivered=True), by_hand.header(channel, size)],
            lambda: [by_hand.deliver(channel, tag, number, topic, exchange="amq.rabbitmq.trace"),
                     by_hand.header(channel, len(body), properties=b"\x20\x00" + by_hand.table({"routing_keys": topic})),
                     by_hand.frame(by_hand.BODY, channel, body)],
            lambda: [by_hand.header(channel, size, chance.choice((10, 20, 50, 60, 60, 85, 90, 65535)),
                                    chance.randbytes(chance.choice((0, 2, 20))))],
            lambda: [by_hand.frame(by_hand.BODY, channel, body)],
            lambda: [method(channel, chance.choice((by_hand.ACK, by_hand.NACK)), struct.pack(">QB", number, chance.randrange(4)))],
            lambda: [method(channel, by_hand.CANCEL, by_hand.short(tag) + bytes([chance.randrange(2)]))],
            lambda: [method(channel, by_hand.CHANNEL_CLOSE, close)],
            lambda: [method(0, by_hand.CLOSE, close)],
            lambda: [method(0, by_hand.BLOCKED, by_hand.short("disk")), method(0, by_hand.UNBLOCKED)],
            lambda: [method(0, by_hand.TUNE, struct.pack(">HIH", chance.choice((0, 1, 65535)), chance.choice(SIZES), 1))],
            lambda: [by_hand.frame(by_hand.HEARTBEAT, chance.choice((0, channel)), b"")],
            lambda: [method(channel, chance.choice(NUMBERS), chance.randbytes(chance.choice((0, 1, 8, 40))))],
            lambda: [by_hand.frame(chance.randrange(256), channel, chance.randbytes(20))],
        ))()
        return frames

    CHANGES = (flip, flip, number, number, body_size, frame_size, channel, cut, drop, twice, shuffle, noise, another, another,
               another)


class Impatient(Session):
    """Closes the connection of a client that is silent for a while, so that every session ends."""

    def serve(self):
        self.stream.settimeout(IDLE)
        super().serve()


class Case:
    """One program with one broker, determined by the seed."""

    def __init__(self, seed, way=None, tls=None):
        chance = random.Random(f"case {seed}")
        self.seed, self.connections = seed, 0
        self.way = chance.choice(WAYS)
        self.tls = chance.random() < 0.4
        if way is not None:
            self.way = way
        if tls is not None:
            self.tls = tls
        self.lock = threading.Lock()

    def session(self, stream):
        with self.lock:
            self.connections += 1
            number = self.connections
        parts = [("echo/data/received", body) for body in MESSAGES] + [("control/registered", by_hand.notification())]
        return Impatient(stream, mangle=Mutator(f"{self.seed} {number}"), messages=parts)

    def command(self):
        return {"run": [PROGRAM, ECHO],
                "send": [PROGRAM, "send", TOPIC, "-"],
                "listen": [PROGRAM, "listen", "--count", "8", TOPIC],
                "trace": [PROGRAM, "listen", "--trace", "--count", "2", TOPIC]}[self.way]

    def run(self, context, certificate):
        """The finding, or None; and the program's output."""
        with tempfile.TemporaryDirectory(prefix="valawai-session-") as directory, \
                ByHand(self.session, context if self.tls else None) as broker:
            env = {key: value for key, value in os.environ.items() if key in ("PATH", "LD_LIBRARY_PATH")}
            env.update(broker.environment(), LANG="C.UTF-8", RABBITMQ_MAX_RETRIES="1000", RABBITMQ_RETRY_SLEEP="0",
                       RABBITMQ_RECONNECT_MAX="1", LOG_FILE_NAME="", LOG_CONSOLE_LEVEL="ERROR",
                       ASAN_OPTIONS=f"exitcode={REPORT}:detect_leaks=1:max_allocation_size_mb=2048",
                       LSAN_OPTIONS=f"exitcode={REPORT}:suppressions=", UBSAN_OPTIONS=f"exitcode={REPORT}:halt_on_error=1:print_stacktrace=1")
            if self.tls:
                env.update(RABBITMQ_TLS="true", RABBITMQ_TLS_CA=certificate)
            output = os.path.join(directory, "stderr.txt")
            with open(output, "wb") as stderr:
                process = subprocess.Popen(self.command(), cwd=directory, env=env, stdout=subprocess.DEVNULL, stderr=stderr,
                                           stdin=subprocess.PIPE)
            why = self.watch(process)
            with open(output, errors="replace", encoding="utf-8") as stderr:
                return why, stderr.read()

    def watch(self, process):
        try:
            with process.stdin:
                process.stdin.write(b"".join(body + b"\n" for body in MESSAGES[:4]) if self.way == "send" else b"")
        except BrokenPipeError:
            pass
        deadline = time.monotonic() + END
        while self.way == "run" and process.poll() is None and self.connections < RUN_SESSIONS and time.monotonic() < deadline:
            time.sleep(0.01)
        if self.way == "run" and process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(END)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            return f"no end within {END:g} s"
        if status in (0, 1):
            return None
        return "a sanitizer's report" if status == REPORT else f"exit status {status}"

    def again(self):
        return f"tests/fuzz/session.py --only {self.seed} --way {self.way} --tls {'yes' if self.tls else 'no'}"


def options():
    parser = argparse.ArgumentParser(description="fuzzes AMQP sessions; see the head of this file")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--sessions", type=int, help="this many sessions, without a time limit")
    parser.add_argument("--seed", type=int, default=1, help="of the first case")
    parser.add_argument("--only", type=int, metavar="SEED", help="one case")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--way", choices=("run", "send", "listen", "trace"))
    parser.add_argument("--tls", choices=("yes", "no"))
    return parser.parse_args()


def main():
    wanted = options()
    if not os.path.exists(PROGRAM):
        print(f"{PROGRAM}: not built (cmake --preset asan && cmake --build --preset asan)", file=sys.stderr)
        return 2
    tls = None if wanted.tls is None else wanted.tls == "yes"
    began, sessions, cases, findings = time.monotonic(), {}, 0, 0
    lock = threading.Lock()
    seeds = iter([wanted.only] if wanted.only is not None else range(wanted.seed, sys.maxsize))

    def work(context, certificate):
        nonlocal cases, findings
        while True:
            with lock:
                done = sum(sessions.values())
                over = done >= wanted.sessions if wanted.sessions else time.monotonic() - began >= wanted.seconds
                seed = None if over and wanted.only is None else next(seeds, None)
            if seed is None:
                return
            case = Case(seed, wanted.way, tls)
            why, output = case.run(context, certificate)
            with lock:
                cases += 1
                kind = case.way + (" with TLS" if case.tls else "")
                sessions[kind] = sessions.get(kind, 0) + case.connections
                if why is not None:
                    findings += 1
                    keep(FINDINGS, f"session-{case.seed}-{case.way}{'-tls' if case.tls else ''}", why, case.again(), output)
    with tempfile.TemporaryDirectory(prefix="valawai-session-") as directory:
        context = by_hand.tls_context(directory)
        with ThreadPoolExecutor(wanted.jobs) as pool:
            for job in [pool.submit(work, context, os.path.join(directory, "localhost.pem")) for _ in range(wanted.jobs)]:
                job.result()
    took = time.monotonic() - began
    for kind, count in sorted(sessions.items()):
        print(f"{kind:16} {count:8} sessions")
    total = sum(sessions.values())
    print(f"sessions: {total} by {cases} programs in {took:.0f} s ({total / took:.0f} a second), findings: {findings}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

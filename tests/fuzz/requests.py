#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzzes the HTTP interface: sends requests that are cut, doubled, mixed and flipped to the real program, on its Unix socket and by TCP.

    tests/fuzz/requests.py [--seconds S] [--seed FIRST]

Each request has a seed. A finding is the end of the program, a sanitizer's report, an answer that is no HTTP, or a host that does not
answer a good request afterwards; it is printed with its seed, which repeats it as FIRST. No broker is needed.

VALAWAI_BUILD   the build directory; default build/asan (cmake --preset asan)

Loopback only. Exit status: 0 nothing found, 1 something found, 2 not built.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

from broker import free_port, wait_until  # noqa: E402
from web import Web, connect  # noqa: E402

BUILD = os.path.abspath(os.environ.get("VALAWAI_BUILD") or os.path.join(ROOT, "build", "asan"))
PROGRAM = os.path.join(BUILD, "valawai-host")
ECHO = os.path.join(BUILD, "plugins", "echo.so")
EVERY = 50  # requests between two looks at the host

METHODS = (b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"PRI", b"get", b"", b"G" * 300)
PATHS = (b"/", b"/status", b"/metrics", b"/livez", b"/q/health", b"*", b"//", b"/%00", b"/%", b"/?&=&", b"http://x/status", b"",
         b"/" + b"a" * 9000, b"/\xff\xfe")
VERSIONS = (b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.", b"HTTP/1.1 x", b"", b"http/1.1")
HEADERS = (b"Host: x", b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade", b"Upgrade: h2c", b"Expect: 100-continue",
           b"Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4", b"Accept: ,;q=,;;q=1e999", b"Accept:",
           b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked",
           b"Transfer-Encoding: gzip, chunked", b"Range: bytes=0-", b"A" * 5000 + b": b", b" folded", b": nothing", b"no colon",
           b"Cookie: a=b; c=\"d", b"Authorization: Digest username=\"x\", nonce=", b"X: \0\x01\xff")
ENDS = (b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"")
BODIES = (b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffff\r\nx", b"\0" * 100)


def request(chance):
    end = chance.choice(ENDS)
    lines = [b" ".join((chance.choice(METHODS), chance.choice(PATHS), chance.choice(VERSIONS)))]
    lines += chance.choices(HEADERS, k=chance.choice((0, 1, 3, 8)))
    return end.join(lines) + 2 * end + chance.choice(BODIES)


def mutated(chance):
    data = bytearray(b"".join(request(chance) for _ in range(chance.choice((1, 1, 1, 2, 5)))))
    for _ in range(chance.choice((0, 0, 1, 3, 20))):
        if not data:
            break
        at = chance.randrange(len(data))
        change = chance.randrange(4)
        if change == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif change == 1:
            del data[at:at + chance.randrange(40)]
        elif change == 2:
            data[at:at] = chance.randbytes(chance.randrange(40))
        else:
            data[at:at] = data[max(0, at - chance.randrange(200)):at]
    return bytes(data)


def send(other, chance, data):
    """Returns what came back."""
    parts = [data] if chance.random() < 0.7 else [data[:len(data) // 2], data[len(data) // 2:]]
    got = b""
    with other:
        other.settimeout(0.05)
        try:
            for part in parts:
                other.sendall(part)
            if chance.random() < 0.8:
                other.shutdown(socket.SHUT_WR)
            if chance.random() < 0.2:
                return got  # hangs up before the answer
            while chunk := other.recv(65536):
                got += chunk
        except OSError:
            pass
    return got


def main():
    parser = argparse.ArgumentParser(description="Fuzzes the HTTP interface.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not os.path.exists(PROGRAM):
        print(f"{PROGRAM} is not built", file=sys.stderr)
        return 2
    port, seed, until = free_port(), options.seed, time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory(prefix="valawai-http-") as directory:
        env = {**os.environ, "HTTP_LISTEN": f"127.0.0.1:{port}", "LOG_DIR": directory, "RABBITMQ_HOST": "127.0.0.1",
               "RABBITMQ_PORT": str(free_port()), "RABBITMQ_MAX_RETRIES": "1000000", "LOG_CONSOLE_LEVEL": "ERROR"}
        with open(os.path.join(directory, "stderr"), "w+") as stderr:
            host = subprocess.Popen([PROGRAM, ECHO], env=env, cwd=directory, stderr=stderr)
            path = os.path.join(directory, "control.sock")
            webs = Web(path), Web(("127.0.0.1", port))
            finding = None
            try:
                wait_until(lambda: all(web.answers() for web in webs), 20, "answers")
                while finding is None and time.monotonic() < until:
                    chance = random.Random(seed)
                    try:
                        other = connect(path) if seed % 2 else socket.create_connection(("127.0.0.1", port))
                        got = send(other, chance, mutated(chance))
                        if got and not got.startswith(b"HTTP/1."):
                            finding = f"no HTTP: {got[:100]!r}"
                    except OSError:  # every place is taken for a moment
                        time.sleep(0.05)
                    if host.poll() is not None:
                        finding = f"the host ended with {host.returncode}"
                    seed += 1
                    if seed % EVERY == 0:
                        wait_until(lambda: all(web.answers() for web in webs), 20, f"an answer after seed {seed}")
            except TimeoutError as error:
                finding = str(error)
            finally:
                if host.poll() is None:
                    host.terminate()
                    if host.wait() != 0 and finding is None:
                        finding = f"exit status {host.returncode} on SIGTERM"
            stderr.seek(0)
            said = stderr.read()
            if finding is None and "Sanitizer" in said:
                finding = "a sanitizer's report"
            if finding is not None:
                print(f"seed {seed - 1}: {finding}\n{said[-8000:]}")
    print(f"{seed - options.seed} requests, {'one finding' if finding else 'nothing found'}")
    return 1 if finding else 0


if __name__ == "__main__":
    sys.exit(main())

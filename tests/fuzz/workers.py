#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzzes the host's side of the worker protocol: the real program (built with a sanitizer) runs workers that break the protocol.

    tests/fuzz/workers.py [--seconds S | --cases N] [--seed FIRST] [--jobs N]

Each case is one `valawai-host try --worker`, whose worker (tests/fuzz/hostile_worker.py) misbehaves in its first lives and then works.
A seed determines all of it. A finding is

- a sanitizer's report, a signal, another exit status than 0 and 1, or no end;
- a message that is neither handled nor rejected, or is both;
- a line that breaks the protocol and is not quoted in one line of the log.

It is kept in build/fuzz/findings with the command that repeats it:

    tests/fuzz/workers.py --only SEED

VALAWAI_BUILD   the build directory; default build/asan (cmake --preset asan)

Exit status: 0 nothing found, 1 something found, 2 called wrongly or not built.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.dont_write_bytecode = True  # the source tree stays as it is

from findings import keep  # noqa: E402

FUZZ = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(FUZZ))
BUILD = os.path.abspath(os.environ.get("VALAWAI_BUILD") or os.path.join(ROOT, "build", "asan"))
PROGRAM = os.path.join(BUILD, "valawai-host")
FINDINGS = os.path.join(ROOT, "build", "fuzz", "findings")
FACTOR = float(os.environ.get("VALAWAI_TIMEOUT_FACTOR") or 1)

REPORT = 99  # a sanitizer's exit status
END = 30 * FACTOR  # seconds in which every case ends
TOPIC = "valawai/c1/echo/data/received_message"
SETTINGS = "host {\n handler_seconds = 1\n slow_seconds = 1\n attempts = 2\n grace_seconds = 1\n crash_attempts = 2\n}\n"
BROKEN = "breaks the worker protocol: "


class Case:
    """One program with its workers, determined by the seed."""

    def __init__(self, seed):
        chance = random.Random(f"case {seed}")
        self.seed, self.lives, self.offences = seed, 0, 0
        sizes = [chance.choice((0, 1, 100, 100, 5000, 200000)) for _ in range(chance.choice((1, 3, 12, 12, 60)))]
        self.messages = [f'{{"id":"{i}","content":"{"x" * (size + 1)}","created_at":1}}\n' for i, size in enumerate(sizes)]

    def run(self):
        """The finding, or None; and the program's output."""
        with tempfile.TemporaryDirectory(prefix="valawai-workers-") as directory:
            with open(os.path.join(directory, "plugins.conf"), "w", encoding="ascii") as file:
                file.write(SETTINGS)
            worker = os.path.join(FUZZ, "hostile_worker.py")
            document = os.path.join(ROOT, "plugins", "echo", "asyncapi.yaml")
            command = f"exec '{sys.executable}' -S -E '{worker}' {self.seed} '{directory}' '{document}'"
            env = {key: value for key, value in os.environ.items() if key in ("PATH", "LD_LIBRARY_PATH", "VALAWAI_TIMEOUT_FACTOR")}
            env.update(LANG="C.UTF-8", PYTHONDONTWRITEBYTECODE="1",
                       ASAN_OPTIONS=f"exitcode={REPORT}:detect_leaks=1:max_allocation_size_mb=1024",
                       LSAN_OPTIONS=f"exitcode={REPORT}:suppressions=", UBSAN_OPTIONS=f"exitcode={REPORT}:halt_on_error=1:print_stacktrace=1")
            process = subprocess.Popen([PROGRAM, "try", "--verbose", "--keep-going", "--topic", TOPIC, "--worker", command], cwd=directory,
                                       env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                _, output = process.communicate("".join(self.messages).encode(), END)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGABRT)
                _, output = process.communicate()
                return f"no end within {END:g} s", output.decode(errors="replace")
            output = output.decode(errors="replace")
            self.lives = os.path.getsize(os.path.join(directory, "lives"))
            return self.finding(process.returncode, output, self.broken_lines(directory)), output

    def broken_lines(self, directory):
        try:
            with open(os.path.join(directory, "offences"), encoding="utf-8") as file:
                lines = file.read().split("\n")[:-1]
        except FileNotFoundError:
            lines = []
        self.offences = len(lines)
        return lines

    def finding(self, status, output, offences):
        if status not in (0, 1):
            return "a sanitizer's report" if status == REPORT else f"exit status {status}"
        said = [line for line in output.split("\n") if BROKEN in line]
        for offence in offences:
            quoted = [line for line in said if f': "{offence}' in line]
            if not quoted:
                return f'the log does not quote "{offence}"'
            said.remove(quoted[0])
        summary = re.search(r"^(\d+) messages? in .*: (\d+) done, (\d+) rejected;", output, re.MULTILINE)
        if summary is None:
            return None if status == 1 and re.search(r"^valawai-host: .", output, re.MULTILINE) else "no end of `try`"
        settled = sorted(map(int, re.findall(rf"^line (\d+): {TOPIC}, (?:done|rejected: )", output, re.MULTILINE)))
        if settled != list(range(1, len(self.messages) + 1)):
            return f"{len(self.messages)} messages, and these are settled: {settled}"
        return None


def options():
    parser = argparse.ArgumentParser(description="fuzzes the host's side of the worker protocol; see the head of this file")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cases", type=int, help="this many cases, without a time limit")
    parser.add_argument("--seed", type=int, default=1, help="of the first case")
    parser.add_argument("--only", type=int, metavar="SEED", help="one case")
    parser.add_argument("--jobs", type=int, default=4 * (os.cpu_count() or 1), help="at a time; most of them wait")
    return parser.parse_args()


def main():
    wanted = options()
    if not os.path.exists(PROGRAM):
        print(f"{PROGRAM}: not built (cmake --preset asan && cmake --build --preset asan)", file=sys.stderr)
        return 2
    began, cases, lives, offences, findings = time.monotonic(), 0, 0, 0, 0
    lock = threading.Lock()
    seeds = iter([wanted.only] if wanted.only is not None else range(wanted.seed, sys.maxsize))

    def work():
        nonlocal cases, lives, offences, findings
        while True:
            with lock:
                over = cases >= wanted.cases if wanted.cases else time.monotonic() - began >= wanted.seconds
                seed = None if over and wanted.only is None else next(seeds, None)
            if seed is None:
                return
            case = Case(seed)
            why, output = case.run()
            with lock:
                cases, lives, offences = cases + 1, lives + case.lives, offences + case.offences
                if why is not None:
                    findings += 1
                    keep(FINDINGS, f"workers-{case.seed}", why, f"tests/fuzz/workers.py --only {case.seed}", output)
    with ThreadPoolExecutor(wanted.jobs) as pool:
        for job in [pool.submit(work) for _ in range(wanted.jobs)]:
            job.result()
    took = time.monotonic() - began
    print(f"workers: {lives} lives in {cases} hosts in {took:.0f} s, {offences} lines that break the protocol, findings: {findings}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

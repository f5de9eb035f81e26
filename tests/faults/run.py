#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Breaks everything around a running host, and the host itself, and counts the losses.

    tests/faults/run.py [--long] [--only NAME,…] [--times N] [--minutes N] [--mix-minutes N] [--jobs N]
                        [--release bookworm|trixie|forky] [--queue-type classic|quorum] [--isolation thread|process]
                        [--json FILE] [--markdown FILE]

A generator publishes numbered, persistent, confirmed messages; a sink collects the echoes; what was confirmed and never came
is lost. Every fault works on a real RabbitMQ node of its own on the loopback interface. The short form takes some minutes.
VALAWAI_BUILD names the build directory (default build/release), VALAWAI_TIMEOUT_FACTOR stretches time-outs and limits.

Exit status: 0 if every fault passed, 1 if one failed, 77 if none failed but one could not be tried here.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.dont_write_bytecode = True  # the source tree stays as it is
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "support")]

from broker import Broker, Unavailable  # noqa: E402
from faults import FAULTS, Clock  # noqa: E402
import returns  # noqa: E402, F401 - these take their place in the list
import letters  # noqa: E402, F401
import mov_faults  # noqa: E402, F401
import reloads  # noqa: E402, F401
import workers  # noqa: E402, F401
import mix  # noqa: E402, F401
from host import BINARY  # noqa: E402
import release as releases  # noqa: E402
from net import bound_to_us, obstacle  # noqa: E402
from scene import Result, Scene  # noqa: E402

COLUMNS = ("fault", "faults", "sent", "echoed", "lost", "duplicated", "longest gap", "result")


class Stage:
    """The common broker of the faults, which is repaired before each."""

    def __init__(self):
        self._broker = None

    def broker(self):
        if self._broker is None:
            self._broker = Broker()
        self._broker.thaw()
        self._broker.start()
        return self._broker

    def close(self):
        if self._broker:
            self._broker.close()


def perform(fault, stage, times, long, minutes):
    result = Result(fault.name, fault.title)
    missing = ["root"] if fault.needs_root and os.geteuid() != 0 else list(filter(None, map(obstacle, fault.needs)))
    if missing:
        result.skipped = f"needs {', '.join(missing)}"
        return result
    began = time.monotonic()
    Clock.ends = began + minutes * 60 if minutes else None
    try:
        fault.run(None if fault.own_broker else stage.broker(), times, long, result)
    except Exception as error:  # the other faults still run
        traceback.print_exc()
        result.check(False, f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}")
    result.seconds = time.monotonic() - began
    return result


class Job:
    """A fault in its own process, with its own broker."""

    def __init__(self, fault, times, options, seed, directory):
        self.fault = fault
        self._path = os.path.join(directory, fault.name)
        amount = ["--mix-minutes" if fault.name == "mix" else "--times", str(times)]
        command = [sys.executable, "-B", os.path.abspath(__file__), *(["--long"] if options.long else []), "--only", fault.name,
                   *amount, "--minutes", str(options.minutes or 0), "--seed", str(seed), "--json", self._path + ".json"]
        with open(self._path, "w") as output:
            self._process = subprocess.Popen(bound_to_us(command, "TERM"), stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def over(self):
        return self._process.poll() is not None

    def end(self):
        """The process ends everything that it started."""
        if not self.over():
            self._process.terminate()
            self._process.wait()

    def result(self):
        """Shows the output, and returns the result."""
        with open(self._path) as output:
            lines = output.read().splitlines()
        print("\n".join(lines[1:-1]), flush=True)  # without the form and the sum
        result = Result(self.fault.name, self.fault.title)
        try:
            with open(self._path + ".json") as file:
                found, = json.load(file)["results"]
            vars(result).update(found)
        except (OSError, ValueError) as error:
            print("\n".join(lines[-3:]))
            result.check(False, f"ended with {self._process.returncode} and no result ({type(error).__name__})")
        return result


def perform_beside(work, options, seed):
    """Several at a time: a busy one beside those that mostly wait, then the rest."""
    waiting = [each for each in work if each[0].waits]
    busy = [each for each in work if not each[0].waits]
    jobs, results = [], []
    with tempfile.TemporaryDirectory(prefix="valawai-faults-") as directory:
        try:
            while busy or waiting or jobs:
                for job in [job for job in jobs if job.over()]:
                    jobs.remove(job)
                    results.append(job.result())
                while (busy or waiting) and len(jobs) < options.jobs:
                    idle = all(job.fault.waits for job in jobs)
                    line = busy if (busy and idle) or not waiting else waiting
                    jobs.append(Job(*line.pop(0), options, seed, directory))
                time.sleep(0.1)
            for place, result in enumerate(results):
                if result.failures and result.failures == result.late:
                    print(f"once more, alone: {result.name} was late, which may be the others' doing", flush=True)
                    jobs = [Job(*next(each for each in work if each[0].name == result.name), options, seed, directory)]
                    while not jobs[0].over():
                        time.sleep(0.1)
                    results[place] = jobs.pop().result()
                    results[place].measure("at first, among others, " + "; ".join(result.failures))
        finally:
            for job in jobs:
                job.end()
    names = [fault.name for fault, _ in work]
    return sorted(results, key=lambda result: names.index(result.name))


def row(result):
    if result.skipped:
        return (result.title, "–", "–", "–", "–", "–", "–", f"not tried: {result.skipped}")
    if result.inapplicable:
        return (result.title, "–", "–", "–", "–", "–", "–", f"does not apply: {result.inapplicable}")
    return (result.title, str(result.faults), f"{result.sent:,}", f"{result.echoed:,}", f"{result.lost:,}",
            f"{result.duplicated:,}", f"{result.gap:.2f} s", "pass" if result.passed else "FAIL")


def markdown(results, repeat):
    lines = [f"Measured on {time.strftime('%Y-%m-%d')} with `{repeat}`:", "",
             "| " + " | ".join((*COLUMNS, "measured")) + " |", "|" + " --- |" * (len(COLUMNS) + 1)]
    for result in results:
        said = "; ".join([*result.measured, *(f"**{failure}**" for failure in result.failures)])
        lines.append("| " + " | ".join((*row(result), said.replace("|", "\\|"))) + " |")
    return "\n".join(lines) + "\n"


def command(options, seed):
    """The command that repeats the run."""
    words = ["tests/faults/run.py"]
    if options.long:
        words.append("--long")
    if options.only:
        words += ["--only", ",".join(options.only)]
    if options.times:
        words += ["--times", str(options.times)]
    if options.minutes:
        words += ["--minutes", f"{options.minutes:g}"]
    if options.mix_minutes:
        words += ["--mix-minutes", f"{options.mix_minutes:g}"]
    if options.jobs > 1:
        words += ["--jobs", str(options.jobs)]
    for name, value in (("--release", options.release), ("--queue-type", options.queue_type), ("--isolation", options.isolation)):
        if value:
            words += [name, value]
    return " ".join([*words, "--seed", str(seed)])


def show(result):
    cells = row(result)
    print(f"{cells[-1]:4} {result.name:14} faults {cells[1]}, sent {cells[2]}, echoed {cells[3]}, lost {cells[4]}, duplicated"
          f" {cells[5]}, longest gap {cells[6]}; took {result.seconds:.0f} s")
    for text in result.measured:
        print(f"       {text}")
    for failure in dict.fromkeys(result.failures):
        print(f"     ! {failure}")
    if result.failures:
        for number, console in enumerate(Scene.consoles):
            print(f"--- the end of the console of host {number + 1}\n{console[-4000:]}")
    sys.stdout.flush()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--long", action="store_true", help="as often as for the published table")
    parser.add_argument("--only", metavar="NAME,…", help="these faults: " + ", ".join(fault.name for fault in FAULTS))
    parser.add_argument("--times", type=int, metavar="N", help="so often, instead of what the form says")
    parser.add_argument("--minutes", type=float, metavar="N",
                        help="no row goes on for longer; the table shows how often it was done")
    parser.add_argument("--mix-minutes", type=float, metavar="N",
                        help="for the random mix; default 60 in the long form, 0 in the short one")
    parser.add_argument("--jobs", type=int, default=1, metavar="N",
                        help="number of faults at a time, each with its own broker; one that was only late is repeated,"
                        " alone; default 1")
    parser.add_argument("--release", choices=releases.NAMES, help="the RabbitMQ of this Debian release; default: this machine's")
    parser.add_argument("--queue-type", choices=("classic", "quorum"), help="of the queues; default: classic")
    parser.add_argument("--isolation", choices=("thread", "process"), help="of the plugins, in rows that do not choose; default: process")
    parser.add_argument("--json", metavar="FILE", help="the results as JSON")
    parser.add_argument("--markdown", metavar="FILE", help="the results as a table; - for standard output")
    parser.add_argument("--seed", type=int, default=None, help="of the random pauses and choices")
    options = parser.parse_args()
    # All processes of a fault take their broker from here.
    os.environ.update({name: value for name, value in (("VALAWAI_RELEASE", options.release),
                                                       ("VALAWAI_QUEUE_TYPE", options.queue_type),
                                                       ("VALAWAI_ISOLATION", options.isolation)) if value})
    names = [fault.name for fault in FAULTS]
    options.only = options.only.split(",") if options.only else None
    for name in options.only or ():
        if name not in names:
            parser.error(f"no fault {name}; there are {', '.join(names)}")
    if options.mix_minutes is None:
        options.mix_minutes = 60 if options.long else 0
    return options


def chosen(options):
    for fault in FAULTS:
        if options.only and fault.name not in options.only:
            continue
        if fault.name == "mix":
            minutes = options.mix_minutes or (2 if options.only else 0)
            if minutes:
                yield fault, minutes
        else:
            yield fault, options.times or (fault.long if options.long else fault.short)


def end(number, _frame):
    """A killed run also ends everything that it started; a second signal must not interrupt this."""
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    if not os.path.exists(BINARY):
        print(f"run.py: {BINARY}: not built", file=sys.stderr)
        return 1
    try:
        Broker()
    except Unavailable as error:
        print(f"run.py: SKIP: {error}", file=sys.stderr)
        return 77
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    random.seed(seed)
    form = "long" if options.long else "short"
    print(f"{form} form, seed {seed}", flush=True)
    began = time.monotonic()
    stage, results = Stage(), []
    try:
        if options.jobs > 1:
            results = perform_beside(list(chosen(options)), options, seed)
        else:
            for fault, times in chosen(options):
                results.append(perform(fault, stage, times, options.long, options.minutes))
                show(results[-1])
    finally:
        stage.close()
        if options.json:
            with open(options.json, "w") as file:
                json.dump({"form": form, "seed": seed, "date": time.strftime("%Y-%m-%d"),
                           "results": [vars(result) for result in results]}, file, indent=1)
        if options.markdown:
            text = markdown(results, command(options, seed))
            if options.markdown == "-":
                print(text)
            else:
                with open(options.markdown, "w") as file:
                    file.write(text)
    failed = [result.name for result in results if result.failures]
    skipped = [result.name for result in results if result.skipped]
    print(f"{len(results)} faults in {time.monotonic() - began:.0f} s: "
          + (f"failed: {', '.join(failed)}" if failed else "none failed")
          + (f"; not tried: {', '.join(skipped)}" if skipped else ""))
    return 1 if failed else 77 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants one fault at a time in the host and runs the unit test that has to notice it.

    run.py [--check] [NAME...]

mutants.yaml lists the faults. Each names a file of host/, a text that occurs in it exactly once, the text that replaces it,
and the unit test that fails then. The work happens in a copy of the tree under build/mutants. --check only makes sure that
each text still occurs once. Exit status: 0 if every mutant dies (but those that mutants.yaml says survive, with the
reason), else 1."""

import argparse
import os
import shutil
import subprocess
import sys
import time

import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COPY = os.path.join(ROOT, "build", "mutants", "tree")
BUILD = os.path.join(COPY, "build", "debug")
PARTS = ["CMakeLists.txt", "CMakePresets.json", "cmake", "host", "include", "plugins", "templates", "tests", "bench", "docs",
         "README.md", "CHANGELOG.md", "LICENSE", "plugins.conf"]


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def stale(mutant):
    """Why the mutant does not fit the code any more; None if it does."""
    path = os.path.join(ROOT, "host", mutant["file"])
    if not os.path.exists(path):
        return f"host/{mutant['file']} is not there"
    count = read(path).count(mutant["from"])
    return None if count == 1 else f"host/{mutant['file']} has the text {count} times"


def run(*command, timeout=300):
    try:
        return subprocess.run(command, cwd=COPY, env={**os.environ, "VALAWAI_TIMEOUT_FACTOR": "1"}, capture_output=True,
                              text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as expired:
        return subprocess.CompletedProcess(command, -1, expired.stdout or "", "timed out")


def copy_tree():
    """The build directory stays from one run to the next; files keep their times, so only what changed is built again."""
    os.makedirs(COPY, exist_ok=True)
    for part in PARTS:
        source, target = os.path.join(ROOT, part), os.path.join(COPY, part)
        if os.path.isdir(source):
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, symlinks=True)
        elif os.path.exists(source):
            shutil.copy2(source, target)


def built(test):
    target = "all" if test == "all" else f"unit_{test}"
    return run("cmake", "--build", BUILD, "--target", target)


def tried(mutant):
    """What became of it, and how. A test that hangs notices the fault too, but a slow machine looks the same."""
    path = os.path.join(COPY, "host", mutant["file"])
    text = read(path)
    tests = mutant["test"].split()
    write(path, text.replace(mutant["from"], mutant["to"]))
    try:
        for test in tests:
            result = built(test)
            if result.returncode != 0:
                return "does not build", result.stdout[-2000:] + result.stderr[-500:]
            pattern = f"^unit\\.{test}$"
            result = run("ctest", "--test-dir", BUILD, "-R", pattern, "--no-tests=error", "--timeout", "120")
            if "***Timeout" in result.stdout:
                return "timed out", test
            if result.returncode != 0:
                return "killed", test
        return "survived", ""
    finally:
        write(path, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="only look whether each mutant still fits the code")
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    mutants = yaml.safe_load(read(os.path.join(ROOT, "tests", "mutants", "mutants.yaml")))
    unknown = set(arguments.names) - {mutant["name"] for mutant in mutants}
    if unknown:
        parser.error(f"no such mutant: {', '.join(sorted(unknown))}")
    mutants = [mutant for mutant in mutants if not arguments.names or mutant["name"] in arguments.names]
    bad = 0
    for mutant in mutants:
        why = stale(mutant)
        if why is not None:
            print(f"{mutant['name']}: {why}")
            bad = 1
    if bad or arguments.check:
        print(f"{len(mutants)} mutants" if not bad else "adapt tests/mutants/mutants.yaml to the code")
        return bad

    copy_tree()
    for command in (["cmake", "--preset", "debug"], ["cmake", "--build", BUILD]):
        result = run(*command, timeout=1800)
        if result.returncode != 0:
            print(result.stdout[-3000:] + result.stderr[-3000:])
            return 1
    count = {"killed": 0, "timed out": 0, "survived": 0, "does not build": 0}
    for mutant in mutants:
        began = time.monotonic()
        outcome, detail = tried(mutant)
        count[outcome] += 1
        expected = mutant.get("survives")
        if (outcome == "survived") != (expected is not None) or outcome == "does not build":
            bad = 1
        note = f"by unit.{detail}" if outcome in ("killed", "timed out") else expected or detail or "no test notices it"
        print(f"{outcome:9} {mutant['name']}: {note} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"{count['killed']} of {len(mutants)} mutants die, {count['timed out']} more make a test hang")
    return bad


if __name__ == "__main__":
    sys.exit(main())

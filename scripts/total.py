#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the total of ctest's and pytest's JUnit files: `N passed, N failed`. Each test of a cmocka program counts.

The exit status is 1 if a test failed, if none passed, or if a file is missing because the runner did not finish.
"""

import re
import sys
import xml.etree.ElementTree


def program_counts(output, failed):
    """(passed, failed, skipped) of a cmocka program or of another program."""
    def last(pattern):
        return int((re.findall(pattern, output) or ["0"])[-1])

    ran = last(r"\[=+\] (?:\w+: )?(\d+) test\(s\) run")
    passed, skipped = last(r"\[ +PASSED +\] (\d+) test"), last(r"\[ +SKIPPED +\] (?:\w+: )?(\d+) test")
    if ran == 0:
        return int(not failed), int(failed), 0
    broken = ran - passed - skipped
    return passed, max(broken, int(failed)), skipped  # the program can fail although its tests pass


def counts(path):
    total = [0, 0, 0]
    cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    if not cases:
        raise OSError(f"{path} has none")
    for case in cases:
        failed = case.find("failure") is not None or case.find("error") is not None
        output = case.findtext("system-out") or ""
        if case.find("skipped") is not None:
            one = (0, 0, 1)
        elif case.get("classname", "").startswith("tests.system"):
            one = (int(not failed), int(failed), 0)
        else:
            one = program_counts(output, failed)
        total = [a + b for a, b in zip(total, one)]
    return total


def main():
    try:
        passed, failed, skipped = map(sum, zip(*map(counts, sys.argv[1:])))
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"\nnot all tests ran: {error}")
        return 1
    print(f"\n{skipped} skipped" if skipped else "")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

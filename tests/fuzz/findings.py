# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of a fuzzer, each in a file with the command that repeats it."""

import os


def keep(directory, name, why, again, output):
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, name + ".txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{why}\n{again}\n\n{output}")
    print(f"finding: {why}: {again}\n    {path}", flush=True)
    for line in output.splitlines()[:30]:
        print("    |", line[:200], flush=True)

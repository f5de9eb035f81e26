#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the includes of host/ with the table of rooms in docs/architecture.md.

    includes.py [ROOT]

Prints each include that the table does not allow, and each file of more than 600 lines that does not say why.
Exit status: 0 if there is none, else 1."""
import re
import sys
from pathlib import Path

LINES_MAX = 600

root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
rows = re.findall(r"^\| `(\w+)/` \|.*\| ([^|]+) \|$", (root / "docs/architecture.md").read_text(), re.M)
allowed, above = {}, set()
for room, may in rows:
    allowed[room] = {room} | (above if may == "all above" else set(may.split()) - {"–"})
    above = above | {room}

faults = [f"host/{path.name}: no room in docs/architecture.md" for path in sorted((root / "host").iterdir())
          if path.is_dir() and path.name not in allowed]
faults += [f"host/{room}: in docs/architecture.md, but not there" for room in allowed if not (root / "host" / room).is_dir()]
count = 0
for path in sorted((root / "host").rglob("*.[ch]")):
    room = path.relative_to(root / "host").parts[0]
    lines = path.read_text().splitlines()
    if len(lines) > LINES_MAX and f"More than {LINES_MAX} lines because" not in path.read_text().split("*/")[0]:
        faults.append(f"{path.relative_to(root)}: {len(lines)} lines, and its first comment has no reason for them")
    for line, text in enumerate(lines, 1):
        include = re.match(r'\s*#\s*include\s+"([^"]+)"', text)
        if include is None:
            continue
        count += 1
        other = include[1].split("/")[0] if "/" in include[1] else "(no room)"
        if other not in allowed.get(room, {room}):
            faults.append(f"{path.relative_to(root)}:{line}: {room}/ may not include {include[1]}")
print("\n".join(faults) or f"{count} includes, {len(allowed)} rooms")
sys.exit(bool(faults))

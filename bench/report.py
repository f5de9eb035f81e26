# SPDX-License-Identifier: GPL-3.0-or-later
"""The output of bench.py: the table, the comparison with an earlier run, the project's bounds, the plots."""

import math
import os
import subprocess
import sys
import time

BEGAN = time.monotonic()


def progress(text):
    """A line that the next one replaces; nothing without a terminal."""
    if sys.stdout.isatty():
        print(f"\r\033[K{time.monotonic() - BEGAN:4.0f} s  {text}" if text else "\r\033[K", end="", flush=True)


def system():
    try:
        with open("/etc/os-release") as file:
            return dict(line.rstrip().split("=", 1) for line in file if "=" in line)["PRETTY_NAME"].strip('"')
    except (OSError, KeyError):
        return "unknown"


def version_of(package):
    done = subprocess.run(["dpkg-query", "-W", "-f", "${source:Upstream-Version}", package], capture_output=True, text=True)
    return done.stdout or "unknown"


def find(results, *path):
    for name in path:
        if not isinstance(results, dict) or name not in results:
            return None
        results = results[name]
    return results


def ratio(results, *path):
    """The host's figure by the bare relay's; the path has a * where the peer's name goes."""
    ours, theirs = (find(results, *(peer if part == "*" else part for part in path)) for peer in ("host", "relay"))
    return ours / theirs if ours is not None and theirs else None


def number(value, digits=None):
    if value is None:
        return "–"
    if digits is None:
        digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def grid(headline, columns, rows):
    """rows: lists of texts, the first of each is its name."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    print(f"\n{headline}")
    for row in [columns, *rows]:
        print("  " + "  ".join(text.ljust(width) if i == 0 else text.rjust(width)
                               for i, (text, width) in enumerate(zip(row, widths))).rstrip())


def table(results):
    labels = results["labels"]
    machine = results["machine"]
    print(f"\nvalawai-host on {machine['cores']} cores, {machine['system']}, RabbitMQ {machine['rabbitmq']}, rabbitmq-c"
          f" {machine['rabbitmq-c']}; medians of {results['rounds_each']}")
    if "throughput" in results:
        relay = find(results, "throughput", "relay", "rate")
        rows = []
        for name, found in results["throughput"].items():
            rows.append([labels[name], number(found["rate"], 0), number(found["rate"] / relay), number(found.get("cpu_us")),
                         number(find(results, "cost", name, "instructions"), 0), number(find(results, "cost", name, "calls")),
                         number(found["records"]), number(find(results, "start", name, "rss") / 1e6),
                         number(found["rss_peak"] / 1e6), number(find(results, "start", name, "first_ms"), 0)])
        grid("Throughput, 100 B", ["", "messages/s", "of relay", "CPU µs", "instructions", "calls", "records", "MB idle",
                                   "MB load", "ms to 1st echo"], rows)
    elif "cost" in results:
        grid("Cost a message", ["", "instructions", "calls"],
             [[labels[name], number(found.get("instructions"), 0), number(found.get("calls"))]
              for name, found in results["cost"].items()])
    for part, headline in (("latency_one", "Round trip, one in flight (µs)"), ("latency_half", "Round trip, half load (µs)")):
        if part in results:
            grid(headline, ["", "p50", "p99", "p99.9", "messages/s"],
                 [[labels[name], *(number(found[key], 0) for key in ("p50", "p99", "p999", "rate"))]
                  for name, found in results[part].items()])
    for part, headline in (("bodies", "Bodies"), ("plugins", "Plugins in one process"), ("replicas", "Replicas")):
        if part in results:
            rows = [[size, *(number(find(found, peer, key)) for key in ("rate", "cpu_us") for peer in ("host", "relay")),
                     number(ratio(found, "*", "rate")), number(find(found, "host", "records")),
                     number(find(found, "relay", "records")), number(find(found, "host", "rss_peak") / 1e6)]
                    for size, found in results[part].items()]
            grid(headline, ["", "host/s", "relay/s", "host µs", "relay µs", "ratio", "records", "relay's", "MB load"], rows)
    if "isolation" in results:
        found, pairs, memory = (results["isolation"][key] for key in ("peers", "pairs", "worker_pss"))
        grid("Isolation: a plugin in a process, beside a thread and the relay",
             ["", "messages/s", "CPU µs", "user µs", "p50, one in flight"],
             [[{"host": "thread", "worker": "process", "relay": "bare relay"}[name], number(one["rate"], 0), number(one["cpu_us"]),
               number(one["user_us"]), number(one.get("p50"), 0)] for name, one in found.items()]
             + [["process / thread", *(number(pairs[key]) for key in ("rate", "cpu_us", "user_us", "p50"))]])
        print(f"  a worker: {number(memory['1'] / 1e6)} MB (PSS), each of a hundred {number(memory['100'] / 1e6)} MB; "
              f"{number(pairs['start_ms'])} ms more to the first echo; killed to the next echo: "
              f"{number(results['isolation']['killed_ms'])} ms")
    if "scrapes" in results:
        grid("A scraper of the metrics", ["", "messages/s", "CPU µs of the message path", "scrapes/s", "HTTP's µs a scrape",
                                          "the scraper's µs"],
             [[name, number(one["rate"], 0), number(one["path_us"]), number(one.get("scrapes")), number(one.get("http_us")),
               number(one.get("scraper_us"))] for name, one in (("without", results["scrapes"]["without"]),
                                                                ("with", results["scrapes"]["with"]))]
             + [["ratio", number(results["scrapes"]["rate"], 3), number(results["scrapes"]["path"], 3), "", "", ""]])
        print(f"  resident memory at most {number(results['scrapes']['rss_peak'] / 1e6)} MB")
    if "console" in results:
        grid("The console", ["", "messages/s", "CPU µs", "instructions", "MB idle", "MB load"],
             [[name, number(one["rate"], 0), number(one["cpu_us"]), number(one["instructions"], 0), number(one["rss"] / 1e6),
               number(one["rss_peak"] / 1e6)] for name, one in ((name, results["console"][name]) for name in ("on", "off"))])
    for note in results["notes"]:
        print(f"  {note}")


def slope(found, peer):
    """CPU time that each further byte of a body costs, from the smallest body to 64 KB."""
    first, last = find(found, "100 B", peer, "cpu_us"), find(found, "64 KB", peer, "cpu_us")
    return (last - first) / (65536 - 100) if first is not None and last is not None else None


def held_to(results):
    """The project's bounds, in ratios within one run. True if all are kept."""
    idle, load = find(results, "start", "host", "rss"), find(results, "throughput", "host", "rss_peak")
    one, many = find(results, "plugins", "1", "host"), find(results, "plugins", "100", "host")
    reference = find(results, "throughput", "reference", "rate")
    slopes = [slope(results.get("bodies", {}), peer) for peer in ("host", "relay")]
    others = [found["rate"] for name, found in results.get("throughput", {}).items() if name in ("node", "pika")]
    best = find(results, "throughput", "host", "rate")
    process, relay = (find(results, "isolation", "peers", peer, "rate") for peer in ("worker", "relay"))
    worker, scraped = find(results, "isolation", "worker_pss", "100"), find(results, "scrapes", "rss_peak")
    lines = [
        ("throughput, of the bare relay's", ratio(results, "throughput", "*", "rate"), ">=", 0.95),
        ("throughput, of the reference's", best / reference if reference else None, ">=", 100),
        ("throughput, of the best other peer's", best / max(others) if others else None, ">=", 1),
        ("user instructions, of the relay's", ratio(results, "cost", "*", "instructions"), "<=", 2.5),
        ("system calls, of the relay's", ratio(results, "cost", "*", "calls"), "<=", 1.3),
        ("latency, one in flight, p50", ratio(results, "latency_one", "*", "p50"), "<=", 1.3),
        ("latency, one in flight, p99", ratio(results, "latency_one", "*", "p99"), "<=", 1.5),
        ("resident memory idle, MB", idle and idle / 1e6, "<=", 8),
        ("resident memory at full load, MB", load and load / 1e6, "<=", 12),
        ("100 plugins, of one's throughput", many["rate"] / one["rate"] if one and many else None, ">=", 0.9),
        ("100 plugins, KB each", (many["rss"] - one["rss"]) / 99e3 if one and many else None, "<=", 150),
        ("CPU a byte of body, of the relay's", slopes[0] / slopes[1] if all(slopes) else None, "<=", 3),
        ("isolation: throughput, of the thread's", find(results, "isolation", "pairs", "rate"), ">=", 0.95),
        ("isolation: throughput, of the relay's", process / relay if process and relay else None, ">=", 0.95),
        ("isolation: user CPU, of the thread's", find(results, "isolation", "pairs", "user_us"), "<=", 1.6),
        ("isolation: latency, one in flight, p50", find(results, "isolation", "pairs", "p50"), "<=", 1.35),
        ("isolation: MB each of 100 workers", worker and worker / 1e6, "<=", 1),
        ("isolation: ms more to the first echo", find(results, "isolation", "pairs", "start_ms"), "<=", 20),
        ("isolation: killed to the next echo, ms", find(results, "isolation", "killed_ms"), "<=", 100),
        # The scraper and the HTTP thread take 4 % of two cores, which are then missed elsewhere.
        ("1,000 scrapes a second: throughput", find(results, "scrapes", "rate") if results["machine"]["cores"] >= 4 else None, ">=", 0.97),
        ("… CPU of the message path", find(results, "scrapes", "path"), "<=", 1.03),
        ("… resident memory, MB", scraped and scraped / 1e6, "<=", 12),
    ]
    rows, kept = [], True
    for name, value, relation, bound in lines:
        if value is None:
            continue
        good = value >= bound if relation == ">=" else value <= bound
        kept = kept and good
        rows.append([name, number(value), f"{'at least' if relation == '>=' else 'at most'} {bound}", "kept" if good else "MISSED"])
    if rows:
        grid("Held to", ["", "measured", "bound", ""], rows)
    return kept


# What is compared with an earlier run: the host's figure by the relay's of the same run, so the machine cancels out.
COMPARED = [("throughput", "throughput", "*", "rate"), ("CPU", "throughput", "*", "cpu_us"),
            ("instructions", "cost", "*", "instructions"), ("system calls", "cost", "*", "calls"),
            ("latency, one, p50", "latency_one", "*", "p50"), ("latency, one, p99", "latency_one", "*", "p99"),
            ("latency, half, p50", "latency_half", "*", "p50"), ("latency, half, p99", "latency_half", "*", "p99"),
            *((f"bodies of {size}", "bodies", size, "*", "rate") for size in ("1 KB", "64 KB", "1 MB")),
            *((f"{count} plugins", "plugins", count, "*", "rate") for count in ("10", "100")),
            *((f"{count} replicas", "replicas", count, "*", "rate") for count in ("2", "4"))]


def compare(results, earlier):
    rows = []
    for name, *path in COMPARED:
        now, then = ratio(results, *path), ratio(earlier, *path)
        if now and then:
            rows.append([name, number(then), number(now), f"{(now / then - 1) * 100:+.0f} %"])
    grid(f"Host by relay, against {earlier.get('when')}", ["", "then", "now", "change"], rows)


# --- plots ------------------------------------------------------------------------------------------------------------

STYLE = ("text{font:13px sans-serif;fill:#333}.t{font-weight:bold;font-size:15px}.s{font-size:11px;fill:#777}"
         "line{stroke:#ddd}rect,circle,path{stroke-width:0}")
SHORT = {"host": "valawai-host", "relay": "relay, same guarantee", "loose": "relay, no guarantee", "node": "Node, amqplib",
         "pika": "Python, pika", "reference": "Python, connecting anew"}
COLOURS = {"host": "#1f6fb4", "relay": "#e08214", "loose": "#f6c58a", "node": "#4d9a4d", "pika": "#8c6bb1", "reference": "#999"}


def _svg(path, width, height, parts):
    with open(path, "w") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">\n'
                   f'<style>{STYLE}</style>\n<rect width="{width}" height="{height}" fill="#fff"/>\n'
                   + "\n".join(parts) + "\n</svg>\n")


def _text(x, y, text, anchor="start", kind=""):
    text = str(text).replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{text}</text>'


def bars(path, title, note, rows):
    """rows: (label, value, colour, text beside the bar)."""
    width, left, right, step = 760, 270, 110, 30
    most = max(row[1] for row in rows)
    parts = [_text(16, 26, title, kind="t"), _text(16, 44, note, kind="s")]
    for i, (label, value, colour, beside) in enumerate(rows):
        y = 60 + i * step
        length = max(1.5, value / most * (width - left - right))
        parts += [_text(left - 10, y + 16, label, "end"),
                  f'<rect x="{left}" y="{y + 2}" width="{length:.1f}" height="20" fill="{colour}"/>',
                  _text(left + length + 6, y + 17, beside)]
    _svg(path, width, 60 + len(rows) * step + 10, parts)


def lines(path, title, note, marks, series, log):
    """marks: names along x; series: (label, colour, values)."""
    width, height, left, right, top, bottom = 760, 330, 70, 190, 62, 40
    values = [value for _, _, some in series for value in some if value]
    low, high = (math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))) if log else (0, max(values) * 1.05)
    step = 10 ** math.floor(math.log10(high)) if not log else 1  # of the marks along y: some, and round
    step = step / 5 if high / step < 2 else step / 2 if high / step < 5 else step
    place = lambda value: height - bottom - ((math.log10(value) if log else value) - low) / (high - low) * (height - top - bottom)
    at = lambda i: left + 20 + i * (width - left - right - 40) / max(1, len(marks) - 1)
    parts = [_text(16, 26, title, kind="t"), _text(16, 44, note, kind="s")]
    for value in [10 ** power for power in range(low, high + 1)] if log else [
            step * part for part in range(int(high / step) + 1)]:
        parts += [f'<line x1="{left}" x2="{width - right}" y1="{place(value):.1f}" y2="{place(value):.1f}"/>',
                  _text(left - 8, place(value) + 4, number(value, 0), "end", "s")]
    for i, mark in enumerate(marks):
        parts.append(_text(at(i), height - bottom + 20, mark, "middle"))
    taken = []
    for label, colour, some in sorted(series, key=lambda one: -(one[2][-1] or 0)):
        points = [(at(i), place(value)) for i, value in enumerate(some) if value]
        parts.append(f'<path d="M{" L".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none"'
                     f' style="stroke:{colour};stroke-width:2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        y = max([points[-1][1]] + [other + 16 for other in taken if other + 16 > points[-1][1]][-1:])
        taken.append(y)
        parts.append(_text(points[-1][0] + 10, y + 4, label))
    _svg(path, width, height, parts)


def plots(results, directory):
    os.makedirs(directory, exist_ok=True)
    machine = results["machine"]
    note = f"{machine['cores']} cores, {machine['system']}, RabbitMQ {machine['rabbitmq']}, {results['when']}"
    labels = results["labels"]
    if "throughput" in results:
        bars(os.path.join(directory, "performance-throughput.svg"), "Echoes a second, 100 B, two log records each", note,
             [(labels[name], found["rate"], COLOURS[name], number(found["rate"], 0))
              for name, found in results["throughput"].items()])
    for part, what in (("one", "one message in flight"), ("half", "half load")):
        if "latency_" + part in results:
            lines(os.path.join(directory, f"performance-latency-{part}.svg"), f"Round trip in µs, {what}", note,
                  ["p50", "p99", "p99.9"],
                  [(SHORT[name], COLOURS[name], [found[key] for key in ("p50", "p99", "p999")])
                   for name, found in results["latency_" + part].items()], True)
    for part, what in (("bodies", "by size of the body"), ("plugins", "by plugins in one process"), ("replicas", "by replicas")):
        if part in results:
            lines(os.path.join(directory, f"performance-{part}.svg"), f"Echoes a second, {what}", note, list(results[part]),
                  [(SHORT[peer], COLOURS[peer], [find(found, peer, "rate") for found in results[part].values()])
                   for peer in ("host", "relay")], part == "bodies")

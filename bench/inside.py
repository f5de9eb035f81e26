# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the benchmark that compare the host with itself: plugins in processes of their own beside plugins in threads,
a scraper of the metrics or none, a console or none. bench.py calls them."""

import os
import signal
import statistics
import time

import report
from broker import wait_until

SCRAPES = 1000  # a second
SEGMENT_S = 2.5  # scraped and not scraped in turn; four segments of each
MESSAGE_PATH = ("vh-consumer", "vh-publisher", "c1_echo")  # threads


# --- isolation --------------------------------------------------------------------------------------------------------


def workers_of(process, count=1):
    """The processes that hold plugins: children of the zygote, which is the child of the host."""
    def look():
        zygotes = process.children(process.pid)
        found = [worker for zygote in zygotes for worker in process.children(zygote)]
        return found if len(found) == count else None
    return wait_until(look, 60)


def pss(pid):
    """Bytes of memory; a page that several processes share counts in parts."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024


def worker_memory(bench, peer, count, copy_of_echo):
    """The mean PSS of so many workers, of a host that is idle."""
    names = ["echo"] if count == 1 else [f"echo{index:02}" for index in range(count)]
    bench.declare(names)
    for name in names:
        copy_of_echo(name)
    process = bench.start(peer, names)
    workers = workers_of(process, count)
    wait_until(lambda: os.path.exists(os.path.join(process.directory, "logs", "component_id.json")), 60)
    memory = statistics.mean(map(pss, workers))
    bench.stop(process)
    return memory


def killed_worker(bench, peer):
    """The longest round trip of 400 messages, of which the worker is killed in the middle: from its end to the echo of the
    next message, with the start of the next worker."""
    bench.purge(["echo"])
    process = bench.start(peer, ["echo"])
    bench.wait_healthy(process)
    worker, = workers_of(process)
    trip = bench.load("trip", 400, 100, 400, *bench.topics)
    time.sleep(0.6)
    os.kill(worker, signal.SIGKILL)
    figures = trip.communicate()[0].split()
    if trip.returncode != 0:
        raise RuntimeError(f"killed worker: {process.output()}")
    bench.stop(process)
    return {"killed_ms": float(figures[3]) / 1000}


def measure_isolation(bench, thread, process, relay, copy_of_echo):
    peers = (thread, process, relay)
    count = max(6000, bench.few(thread.messages))
    came = bench.rounds_of("isolation", peers, lambda peer: bench.throughput(peer, count, 100))
    found = bench.medians(came)
    ours, theirs = came[process.name], came[thread.name]
    # A round compares both at nearly the same time. The kernel counts user time coarsely, so it is summed.
    pairs = {key: statistics.median(one[key] / other[key] for one, other in zip(ours, theirs)) for key in ("rate", "cpu_us")}
    pairs["user_us"] = sum(one["user_us"] for one in ours) / sum(one["user_us"] for one in theirs)
    came = bench.rounds_of("isolation, one in flight", peers[:2], lambda peer: bench.latency(peer, bench.few(peer.trips), 0))
    for name, figures in bench.medians(came).items():
        found[name]["p50"] = figures["p50"]
    pairs["p50"] = statistics.median(one["p50"] / other["p50"] for one, other in zip(came[process.name], came[thread.name]))
    came = bench.rounds_of("isolation, start", peers[:2], bench.start_up)
    pairs["start_ms"] = statistics.median(one["first_ms"] - other["first_ms"]
                                          for one, other in zip(came[process.name], came[thread.name]))
    report.progress("isolation, memory of workers")
    one, hundred = (worker_memory(bench, process, count, copy_of_echo) for count in (1, 100))
    came = bench.rounds_of("isolation, a killed worker", [process], lambda peer: killed_worker(bench, peer))
    return {"peers": found, "pairs": pairs, "worker_pss": {"1": one, "100": hundred}, **bench.medians(came)[process.name]}


# --- scrapes ----------------------------------------------------------------------------------------------------------


class Segment:
    """What happens between its beginning and its end: messages, and CPU time of threads by their names."""

    def __init__(self, bench, process):
        self.bench, self.process = bench, process
        self.began = self._now()

    def _now(self):
        return time.monotonic(), self.bench.depth(self.bench.topics[1]), self.process.threads_ns()

    def end(self):
        (t0, m0, cpu0), (t1, m1, cpu1) = self.began, self._now()
        messages = m1 - m0
        path, http = (sum(cpu1[name] - cpu0.get(name, 0) for name in cpu1 if name in names)
                      for names in (MESSAGE_PATH, ("vh-http",)))
        return {"rate": messages / (t1 - t0), "path_us": path / messages / 1000, "http_ns": http}


def measure_scrapes(bench, host):
    """One host, with a queue that does not run empty. The order of segments cancels what grows with time."""
    bench.purge(["echo"])
    bench.load_done("fill", int(20000 * bench.scale * SEGMENT_S * 9), 100, bench.topics[0])
    process = bench.start(host, ["echo"])
    bench.wait_healthy(process)
    socket = os.path.join(process.directory, "logs", "control.sock")
    came = {True: [], False: []}
    for number, scraped in enumerate((False, True, True, False, True, False, False, True)):
        report.progress(f"scrapes, segment {number + 1} of 8")
        scraper = bench.load("scrape", SCRAPES, SEGMENT_S, socket) if scraped else None
        segment = Segment(bench, process)
        if scraper:
            scrapes, cpu_us = map(float, scraper.communicate()[0].split())
        else:
            time.sleep(SEGMENT_S)
        found = segment.end()
        if scraper:
            found.update(scrapes=scrapes / SEGMENT_S, scraper_us=cpu_us / scrapes, http_us=found["http_ns"] / scrapes / 1000)
        came[scraped].append(found)
    left = bench.depth(bench.topics[0])
    memory = process.status("VmHWM")
    bench.stop(process)
    bench.purge(["echo"])
    if left == 0:
        raise RuntimeError("scrapes: the queue ran empty")
    return {"with": bench.medians({"": came[True]})[""], "without": bench.medians({"": came[False]})[""], "rss_peak": memory,
            "rate": statistics.mean(one["rate"] for one in came[True]) / statistics.mean(one["rate"] for one in came[False]),
            "path": statistics.mean(one["path_us"] for one in came[True]) / statistics.mean(one["path_us"] for one in came[False])}


# --- console ----------------------------------------------------------------------------------------------------------


def measure_console(bench, on, off):
    """Records of every level on the console, and none; the log file has them all in both."""
    came = bench.rounds_of("console", (on, off), lambda peer: bench.throughput(peer, bench.few(peer.messages), 100))
    found = bench.medians(came)
    for peer in (on, off):
        report.progress(f"console, counting, {peer.label}")
        found[peer.name]["instructions"] = bench.instructions(peer)
        found[peer.name]["rss"] = bench.start_up(peer)["rss"]
    found["rate"] = statistics.median(with_it["rate"] / without["rate"] for with_it, without in zip(came[on.name], came[off.name]))
    return found

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Installs what the benchmark needs, builds, and measures: bench.py.
set -u

help() {
    cat <<'END'
Usage: bench/run.sh [--quick] [--only PART,...] [--json FILE] [--compare FILE] [--svg DIRECTORY] [--check]

Measures valawai-host beside other ways to echo a message, on a private RabbitMQ node: interleaved, medians of five rounds,
in less than ten minutes. Installs the Debian packages that are missing (as root, or with sudo).

  --quick        the main figures only, in less than a minute
  --only PART    some of: throughput, latency, cost, bodies, plugins, replicas, isolation, scrapes, console
  --json FILE    the figures, for a comparison later; default: in the directory of this run, under build/run
  --compare FILE what changed since a run with --json, in ratios to the bare relay of the same run
  --svg DIR      the plots of docs/performance.md
  --check        exit status 1 if a figure that the project holds to is missed
END
}

# shellcheck source-path=SCRIPTDIR source=../scripts/lib.sh
source "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")/scripts/lib.sh" || exit 1

case ${1:-} in -h | --help) help && exit ;; esac
at_exit true
new_run_directory bench
install_missing "$run/apt.txt" "${bench_packages[@]}"
build release "$run/build.txt" valawai-host echo bench_load bench_relay
trap - EXIT INT TERM HUP
exec "$python" "$root/bench/bench.py" --run "$run" "$@"

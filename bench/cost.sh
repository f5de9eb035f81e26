#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The cost of an echo in memory, without a broker: user instructions for each message by callgrind, of the release build. Fails
# if the cost exceeds the figure in bench/cost.txt by more than a tenth. It counts instructions and not seconds, so the load of
# the machine does not matter. The libraries do, so the figure is valid for one release of Debian, and on another the script is
# skipped (status 77).
#
#     bench/cost.sh            compares
#     bench/cost.sh --record   writes the figure of this machine's release
set -u
cd "$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")" || exit 1

few=500 many=2500
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# counted MESSAGES: instructions of a run with this many messages of 100 bytes
counted() {
    local body
    body=$(printf '{"content":"%086d"}' 0)
    yes "$body" | head -n "$1" |
        (cd "$work" && LOG_FILE_NAME='' valgrind -q --tool=callgrind --callgrind-out-file="$work/out" \
            "$OLDPWD/build/release/valawai-host" try --topic valawai/c1/echo/data/received_message \
            "$OLDPWD/build/release/plugins/echo.so" >"$work/echoes" 2>"$work/errors") || {
        tail -n 5 "$work/errors" >&2 && return 1
    }
    [ "$(wc -l <"$work/echoes")" = "$1" ] || { echo "$(wc -l <"$work/echoes") echoes of $1" >&2 && return 1; }
    sed -nE 's/^(totals|summary): ([0-9]+).*/\2/p' "$work/out" | head -n 1
}

# shellcheck disable=SC1091 # the system's
release=$(. /etc/os-release && echo "${ID:-unknown}-${VERSION_ID:-unknown}-$(uname -m)")
recorded_on='' recorded=0
[ ! -e bench/cost.txt ] || read -r recorded_on recorded <bench/cost.txt
if [ "${1:-}" != --record ] && [ "$release" != "$recorded_on" ]; then
    echo "recorded on $recorded_on; this is $release"
    exit 77
fi
start=$(counted $few) && end=$(counted $many) || exit 1
now=$(((end - start) / (many - few)))
if [ "${1:-}" = --record ]; then
    echo "$release $now" >bench/cost.txt
    echo "recorded $now instructions a message on $release"
    exit
fi
echo "an echo in memory: $now user instructions, recorded $recorded ($(((now - recorded) * 100 / recorded)) %)"
((now * 10 <= recorded * 11))

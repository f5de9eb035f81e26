#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the fuzz targets into build/fuzz and runs them, as many at a time as there are processors, from their seeds and what
# lies in the tree. What the fuzzer learns on the way is not kept; an input that breaks something is.
#
#     tests/fuzz/run.sh [SECONDS [TARGET...]]     SECONDS in all, 60 without; every target without names
#
# Exit status: 0 nothing found, 1 something found or not built, 2 called wrongly, 77 no clang with libFuzzer here (Debian:
# clang, libclang-rt-14-dev or that of another version, and g++).
set -u

fuzz=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
root=$(dirname "$(dirname "$fuzz")")
build=$root/build/fuzz
findings=$build/findings

usage() {
    echo "usage: run.sh [SECONDS [TARGET...]]" >&2
    exit 2
}

seconds=${1:-60}
[[ $seconds =~ ^[1-9][0-9]{0,5}$ ]] || usage
shift $(($# > 0))
targets=("$@")
((${#targets[@]} > 0)) || targets=(message notification settings asyncapi files document schema properties frames worker)
for target in "${targets[@]}"; do
    [ -d "$fuzz/seeds/$target" ] || usage
done
at_once=$(nproc)
rounds=$(((${#targets[@]} + at_once - 1) / at_once))
each=$((seconds / rounds > 0 ? seconds / rounds : 1))

declare -A processes=()
temp=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d) || exit 1
clean_up() {
    ((${#processes[@]} == 0)) || { kill "${processes[@]}" && wait; } 2>/dev/null
    rm -rf "$temp"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo 'int LLVMFuzzerTestOneInput(const char *bytes, long len); int LLVMFuzzerTestOneInput(const char *bytes, long len)
    { return bytes == (void *)len; }' >"$temp/probe.c"
if ! clang -fsanitize=fuzzer,address,undefined -o "$temp/probe" "$temp/probe.c" >"$temp/probe.txt" 2>&1; then
    tail -n 3 "$temp/probe.txt"
    echo "SKIP: no clang with libFuzzer here (Debian: clang, libclang-rt-*-dev, g++)"
    exit 77
fi

mkdir -p "$findings" || exit 1
if ! { cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug -DVALAWAI_FUZZ=ON &&
    nice -n 10 cmake --build "$build" --target fuzz; } >"$temp/build.txt" 2>&1; then
    tail -n 40 "$temp/build.txt"
    echo "not built"
    exit 1
fi

# What the tree holds anyway is a seed, too.
tree_seeds() {
    case $1 in
    settings) cp "$root/plugins.conf" "$2/" ;;
    asyncapi | document)
        for document in "$root"/plugins/*/asyncapi.yaml; do
            cp "$document" "$2/$(basename "$(dirname "$document")").yaml"
        done
        cp "$root"/tests/corpus/good/* "$root"/tests/corpus/bad/* "$2/" 2>/dev/null
        ;;
    esac
}

# Bounded three times: by libFuzzer for an input and for the whole, and from outside. The seeds are only read; what is new
# goes into the first corpus. What may use up a budget counts its own processor time, and has more of the clock's.
run_target() {
    local corpus=$temp/$1.corpus more=$temp/$1.more hang=10
    case $1 in asyncapi | document | schema) hang=60 ;; esac
    mkdir -p "$corpus" "$more" "$temp/$1.tmp"
    tree_seeds "$1" "$more"
    ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS='' TMPDIR=$temp/$1.tmp \
        exec timeout --foreground --kill-after=10 $((each + 120)) nice -n 10 "$build/tests/fuzz/fuzz_$1" \
        -max_total_time="$each" -timeout="$hang" -rss_limit_mb=1024 -max_len=4096 -print_final_stats=1 \
        -dict="$fuzz/$1.dict" -artifact_prefix="$findings/$1-" "$corpus" "$fuzz/seeds/$1" "$more"
}

crashes=0
report() {
    local target=$1 status=0 executions
    wait "${processes[$target]}" || status=$?
    unset "processes[$target]"
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$temp/$target.txt" | tail -n 1)
    printf '%-14s %10s executions in %s s\n' "$target" "${executions:-?}" "$each"
    ((status != 0)) || return
    crashes=$((crashes + 1))
    cp "$temp/$target.txt" "$findings/$target.txt"
    grep -avE '^(#[0-9]+|stat::|0x)' "$temp/$target.txt" | tail -n 40 | cut -c 1-400 | sed 's/^/    | /'
    echo "$target: exit status $status; all of its output: $findings/$target.txt"
    sed -n 's/.*Test unit written to //p' "$findings/$target.txt" | while read -r finding; do
        echo "$target: finding: $finding"
        echo "$target: again: $build/tests/fuzz/fuzz_$target $finding"
    done
}

for ((first = 0; first < ${#targets[@]}; first += at_once)); do
    for target in "${targets[@]:first:at_once}"; do
        run_target "$target" </dev/null >"$temp/$target.txt" 2>&1 &
        processes[$target]=$!
    done
    for target in "${targets[@]:first:at_once}"; do
        report "$target"
    done
done
echo "crashes: $crashes"
((crashes == 0))

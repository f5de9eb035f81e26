#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs every test: the unit tests (cmocka, by ctest), then the real program with a private RabbitMQ (pytest).
set -u

help() {
    cat <<'END'
Usage: scripts/test.sh [--preset NAME] [--quick] [-- PYTEST_ARGUMENT...]

Installs missing Debian packages (as root or with sudo), builds, and runs every test. The last line is "N passed, N failed".
Exit status: 0 if all passed, else 1.

  --preset NAME  a preset of CMakePresets.json: release (the default), debug, asan, tsan or coverage
  --quick        only the unit tests, without a broker
  -- ...         for pytest, such as: -- -k echo -x
END
}

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh" || exit 1

usage() {
    echo "test.sh: $1; see test.sh --help" >&2
    exit 2
}

preset=release quick='' for_pytest=()
while (($#)); do
    case $1 in
    --preset) (($# > 1)) || usage "--preset needs a name" && preset=$2 && shift ;;
    --quick) quick=1 ;;
    -h | --help) help && exit ;;
    --) shift && for_pytest=("$@") && break ;;
    *) usage "unknown argument $1" ;;
    esac
    shift
done
case $preset in release | debug | asan | tsan | coverage) ;; *) usage "unknown preset $preset" ;; esac

at_exit true
new_run_directory test
export VALAWAI_BUILD=$root/build/$preset
# Most tests wait for a broker most of the time, so several run beside each other, each with a broker of its own. What
# takes long on a busy machine has twice the time.
beside=(-n 3 --dist loadfile)
before=()
case $preset in
asan | tsan)
    # A report ends the program with an exit status that no test expects.
    export VALAWAI_SANITIZER=1 VALAWAI_TIMEOUT_FACTOR=${VALAWAI_TIMEOUT_FACTOR:-4}
    export ASAN_OPTIONS=exitcode=99:detect_stack_use_after_return=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
    export LSAN_OPTIONS=exitcode=99${LSAN_OPTIONS:+:$LSAN_OPTIONS}
    export UBSAN_OPTIONS=exitcode=99:halt_on_error=1:print_stacktrace=1${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}
    export TSAN_OPTIONS=exitcode=99:halt_on_error=1:die_after_fork=0:second_deadlock_stack=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}
    # gcc 12's ThreadSanitizer does not start if the kernel randomizes more bits of an address.
    if [ "$preset" = tsan ] && (($(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0) > 28)) && setarch -R true; then
        before=(setarch -R)
    fi
    ;;
esac

export VALAWAI_TIMEOUT_FACTOR=${VALAWAI_TIMEOUT_FACTOR:-2}

packages=("${test_packages[@]}")
[ -z "$quick" ] || packages=("${unit_packages[@]}")
install_missing "$run/apt.txt" "${packages[@]}"
build "$preset" "$run/build.txt" all

results=("$run/unit.xml")
status=0
printf '\n%sUnit tests%s\n' "$bold" "$plain"
run_step - "${before[@]}" ctest --test-dir "$VALAWAI_BUILD" --output-on-failure --no-tests=error -j 2 \
    --test-output-size-passed 1000000 --test-output-size-failed 1000000 --output-junit "$run/unit.xml" || status=1
if [ -z "$quick" ]; then
    printf '\n%sThe program, on a private RabbitMQ%s\n' "$bold" "$plain"
    results+=("$run/system.xml")
    cd "$root" || exit 1
    step_signal=INT # pytest ends on it, and cleans up its fixtures
    run_step - "${before[@]}" "$python" -m pytest -q -p no:cacheprovider "${beside[@]}" --junit-xml "$run/system.xml" \
        "${for_pytest[@]}" tests/system || status=1
fi
"$python" "$root/scripts/total.py" "${results[@]}" || status=1
exit "$status"

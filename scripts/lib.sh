# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=bash disable=SC2034,SC2317 # the scripts that source this file use its variables, and call functions by name
#
# Shared by the scripts: paths, steps with their times, packages, and the end of processes. Sourced by bash.

# A script that another script starts in the background ignores SIGINT, and bash cannot trap a signal that was ignored at its
# start. SIGINT must always end these scripts.
if [[ $(trap -p INT) == *"''"* ]]; then
    exec env --default-signal=INT "$BASH" "$0" "$@"
fi

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # dpkg needs them, and `su` does not add them
export PYTHONDONTWRITEBYTECODE=1 PYTHONUTF8=1
umask 022 # the host refuses plugins that others can write

# Debian's packages are for this Python. PATH may name another one first.
python=/usr/bin/python3

build_packages=(cmake ninja-build gcc libc6-dev pkg-config librabbitmq-dev libssl-dev libjson-c-dev libconfuse-dev libyaml-dev
    libpcre2-dev libmicrohttpd-dev libcurl4-openssl-dev libcmocka-dev)
run_packages=("${build_packages[@]}" rabbitmq-server python3 python3-pika python3-yaml)
bench_packages=("${run_packages[@]}" valgrind strace linux-perf)
unit_packages=("${build_packages[@]}" python3 json-schema-test-suite)
test_packages=("${run_packages[@]}" python3-pytest python3-pytest-xdist openssl json-schema-test-suite prometheus chromium)

# ---- output ---------------------------------------------------------------------------------------------------------

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ] && [ "${TERM:-dumb}" != dumb ]; then
    good=$'\e[32m' bad=$'\e[31m' dim=$'\e[2m' bold=$'\e[1m' plain=$'\e[0m' again=$'\r\e[K'
else
    good='' bad='' dim='' bold='' plain='' again=''
fi

now_ms() {
    local now=${EPOCHREALTIME/[^0-9]/} # the decimal sign is the locale's
    echo "${now::-3}"
}

# took MILLISECONDS: as a text
took() {
    if (($1 < 60000)); then
        printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
    else
        printf '%d min %d s' $(($1 / 60000)) $(($1 / 1000 % 60))
    fi
}

# The current step. A terminal shows its name until its outcome replaces the line.
step_open='' step_began=0
begin() {
    step_open=$1 step_began=$(now_ms)
    [ -z "$again" ] || printf '%s… %s%s' "$dim" "$1" "$plain"
}

passed() {
    printf '%s%s✓%s %s %s(%s)%s\n' "$again" "$good" "$plain" "$1" "$dim" "$(took $(($(now_ms) - step_began)))" "$plain"
    step_open=''
}

# failed WHAT ADVICE [FILE]: prints ✗, the last lines of the file and the advice, and ends the script.
failed() {
    printf '%s%s✗%s %s %s(%s)%s\n' "$again" "$bad" "$plain" "$1" "$dim" "$(took $(($(now_ms) - step_began)))" "$plain"
    step_open=''
    if [ -s "${3:-}" ]; then
        tail -n 15 "$3" | cut -c 1-400 | sed 's/^/  | /'
        printf '  The whole file: %s\n' "$3"
    fi
    printf '  %sWhat to do:%s %s\n' "$bold" "$plain" "$2"
    exit 1
}

# Each run has its own directory, so that two runs at a time do not collide. Sets $run.
new_run_directory() {
    run=$({ mkdir -p "$root/build/run" && mktemp -d "$root/build/run/$1-XXXXXX"; } 2>/dev/null) && return
    step_began=$(now_ms)
    failed "cannot write to $root/build" "make the directory writable for $(id -un), or use your own clone"
}

# ---- processes ------------------------------------------------------------------------------------------------------

# start FILE COMMAND...: runs it in the background. Its output goes into FILE; if FILE is -, to ours. Sets $started to its id.
#
# The command has its own session, so that Ctrl-C at the terminal reaches only the script, which then ends its processes in
# order. If the script is killed before it can do that, the command gets a SIGTERM.
start() {
    local output=$1
    shift
    set -- setsid setpriv --pdeathsig TERM env --default-signal=INT,QUIT "$@"
    if [ "$output" = - ]; then
        "$@" </dev/null &
    else
        "$@" </dev/null >>"$output" 2>&1 &
    fi
    started=$!
}

runs() {
    kill -0 -- "$1" 2>/dev/null
}

# end SECONDS PROCESS [SIGNAL]: asks a child to end, waits that long, then kills it. PROCESS -N: its whole group.
end() {
    local process=${2#-} tries=$(($1 * 20))
    kill -"${3:-TERM}" -- "$2" 2>/dev/null
    while runs "$process" && ((tries-- > 0)); do
        sleep 0.05
    done
    ! runs "$2" || kill -KILL -- "$2" 2>/dev/null
    wait "$process" 2>/dev/null
}

# run_step FILE COMMAND...: starts it and waits. Unlike with a foreground command, a trap runs at once. Meanwhile $step_process
# is its id, and $step_signal the signal that ends it.
step_process='' step_signal=TERM
run_step() {
    start "$@"
    step_process=-$started
    local status=0
    wait "$started" || status=$?
    step_process=''
    return "$status"
}

# at_exit COMMAND...: runs it at every end of the script, after the current step has been ended.
at_exit() {
    at_exit_command=("$@")
    trap ended EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
}

ended() {
    trap '' INT TERM HUP
    [ -z "$step_open" ] || printf '%sinterrupted; stopping its processes\n' "$again"
    end_install
    [ -z "$step_process" ] || end 20 "$step_process" "$step_signal"
    "${at_exit_command[@]}"
}

# ---- the build ------------------------------------------------------------------------------------------------------

# build PRESET FILE TARGET...: only one runs at a time in a tree. ninja itself does not prevent a second one.
build() {
    begin "building the $1 preset"
    # The host loads only plugins of root or of its own user, so root builds anew what another user built.
    [ -O "$root/build/$1/plugins/echo.so" ] || rm -f "$root/build/$1/plugins/echo.so"
    # shellcheck disable=SC2016 # the inner shell's own
    run_step "$2" flock -o "$root/build/run/lock" bash -c \
        'cd "$1" && cmake --preset "$2" && cmake --build --preset "$2" --target "${@:3}"' - "$root" "$1" "${@:3}" ||
        failed "the $1 preset does not build" \
            "correct what the compiler reports; if the tree was copied or moved, delete $root/build/$1 and try again" "$2"
    passed "built build/$1/valawai-host and build/$1/plugins/echo.so"
}

# ---- the packages ---------------------------------------------------------------------------------------------------

as_root=()
((EUID == 0)) || as_root=(sudo -n)

missing_of() {
    local there package
    there=" $(dpkg-query -W -f '${Package}=${db:Status-Status} ' "$@" 2>/dev/null) "
    for package; do
        [[ $there == *" $package=installed "* ]] || echo "$package"
    done
}

# apt_get FILE ARGUMENT...: sudo stays in this session, because it remembers the password by its terminal. apt gets its own
# session, because Ctrl-C must not interrupt it. A file holds the id of apt, which sudo does not reveal.
apt_process='' apt_file='' apt_installs=''
apt_get() {
    local output=$1 status=0
    shift
    apt_file=$output.process
    # shellcheck disable=SC2016 # the inner shell's own
    "${as_root[@]}" setsid --wait sh -c 'echo $$ >"$0" && exec "$@"' "$apt_file" \
        env LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 APT_LISTCHANGES_FRONTEND=none \
        apt-get -y -q -o DPkg::Lock::Timeout=600 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        "$@" </dev/null >>"$output" 2>&1 &
    apt_process=$!
    wait "$apt_process" || status=$?
    apt_process=''
    rm -f "$apt_file"
    return "$status"
}

# An installation must not be interrupted, because it would leave half-installed packages. The steps before it may be.
end_install() {
    if [ -n "$apt_process" ]; then
        if [ -n "$apt_installs" ]; then
            echo "apt is installing packages; waiting for its end"
        else
            "${as_root[@]}" kill -TERM "$(cat "$apt_file")" 2>/dev/null
        fi
        wait "$apt_process" 2>/dev/null
        rm -f "$apt_file"
    fi
    [ -z "$apt_installs" ] || allow_services
    apt_process=''
}

# Debian starts a service when it installs it, and at every boot. The scripts need no RabbitMQ, no Docker and no Prometheus for
# the whole machine, so Debian's policy file keeps them from starting, and they are disabled. An existing policy file stays.
policy=/usr/sbin/policy-rc.d
policy_mark="valawai-host, process $$"
# shellcheck disable=SC2016 # the inner shell's own
policy_write='
[ -e "$1" ] && ! grep -qs "^# valawai-host, process" "$1" && exit 0
cat >"$1" <<END && chmod 755 "$1"
#!/bin/sh
# $2
# Exists while that process installs packages, and has no effect after it.
kill -0 $3 2>/dev/null || exit 0
case \$1 in rabbitmq-server*|epmd*|docker*|containerd*|prometheus*) exit 101 ;; esac
exit 0
END'
deny_services() {
    "${as_root[@]}" sh -c "$policy_write" - "$policy" "$policy_mark" "$$"
}

# Services of the packages in $apt_installs, which deny_services kept from starting, must not start at the next boot either.
allow_services() {
    local now='' units=() scripts=()
    [[ " $apt_installs " != *" rabbitmq-server "* ]] ||
        units+=(rabbitmq-server.service epmd.service epmd.socket) scripts+=(rabbitmq-server)
    [[ " $apt_installs " != *" docker.io "* ]] || units+=(docker.service docker.socket containerd.service) scripts+=(docker)
    # promtool comes with the server.
    [[ " $apt_installs " != *" prometheus "* ]] || units+=(prometheus.service) scripts+=(prometheus)
    [ ! -d /run/systemd/system ] || now=--now
    if ((${#units[@]})); then
        if command -v systemctl; then
            # shellcheck disable=SC2086 # an empty text must be no argument
            "${as_root[@]}" systemctl disable $now "${units[@]}"
        else
            printf '%s\n' "${scripts[@]}" | xargs -I '{}' "${as_root[@]}" update-rc.d '{}' disable
        fi
    fi >/dev/null 2>&1
    # shellcheck disable=SC2016 # the inner shell's own
    "${as_root[@]}" sh -c 'grep -qsxF "# $2" "$1" && rm -f "$1"' - "$policy" "$policy_mark"
    apt_installs=''
}

# install_missing FILE PACKAGE...: apt's output goes into FILE. If no package is missing, it does nothing and needs no rights.
install_missing() {
    local output=$1 missing list tries
    shift
    begin "looking for packages"
    hash apt-get dpkg-query 2>/dev/null ||
        failed "this is not Debian" "use Debian 12 or 13 (a container is enough); CONTRIBUTING.md lists what the build needs"
    mapfile -t missing < <(missing_of "$@")
    if ((${#missing[@]} == 0)); then
        passed "all $# packages are installed"
        return
    fi
    list="${missing[*]}"
    if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
        { [ -t 0 ] && command -v sudo >/dev/null && echo && sudo -v; } ||
            failed "missing: $list" "as root: apt-get install --no-install-recommends $list"
    fi

    # An unrelated source of packages may be broken, so a failure here is not final.
    step_open="reading the lists of packages"
    for ((tries = 0; tries < 60; tries++)); do # the lock of the lists has no time-out
        : >"$output"
        apt_get "$output" update && break
        grep -q 'Could not get lock' "$output" || break
        sleep 1
    done
    apt_get "$output" install --no-install-recommends --download-only "${missing[@]}" ||
        failed "cannot fetch $list" "check the network and the sources in /etc/apt, then try again" "$output"
    passed "fetched $list"

    begin "installing them"
    apt_installs=$list
    deny_services
    apt_get "$output" install --no-install-recommends "${missing[@]}" ||
        failed "cannot install $list" "read what dpkg reports, then try again" "$output"
    allow_services
    passed "installed them$([[ " $list " != *" rabbitmq-server "* ]] || echo " (RabbitMQ's system service stays off)")"
}

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# valawai-host from a fresh clone: packages, build, broker, MOV stand-in, the host with the echo plugin, a message and its echo.
# Then it runs until a signal stops it, and shows the end of each part.
#
# shellcheck disable=SC2317 # traps call functions, and functions get the names of others
set -u

help() {
    cat <<'END'
Usage: scripts/run.sh

Builds valawai-host and runs it with the echo plugin until Ctrl-C. Installs missing Debian packages; this needs root or
sudo.

With RABBITMQ_HOST in the environment, the host uses that broker and the other RABBITMQ_ variables, and expects a Master
Of VALAWAI (MOV) there. Without it, the script starts a private RabbitMQ and a stand-in for the MOV, and stops them again.

LOG_DIR and the other LOG_ variables of valawai-host take effect. Without LOG_DIR, the log and the health file are in the
directory of this run, under build/run, with everything else that the run writes.
END
}

# shellcheck source-path=SCRIPTDIR source=lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/lib.sh" || exit 1

case ${1:-} in
'') ;;
-h | --help) help && exit ;;
*) echo "run.sh: unknown argument $1; see run.sh --help" >&2 && exit 2 ;;
esac

in_topic=valawai/c1/echo/data/received_message
out_topic=valawai/c1/echo/data/publish_message
caller=$PWD
host='' mov='' broker='' tail=''

# Runs at every end. The host goes first, so that it can unregister.
clean_up() {
    [ -z "$host" ] || end 20 "$host"
    [ -z "$tail" ] || end 1 "$tail"
    [ -z "$mov" ] || end 10 "$mov"
    [ -z "$broker" ] || end 40 "$broker"
    [ -z "${run:-}" ] || rm -rf "$run/broker"
}
at_exit clean_up

# await SECONDS PROCESS CONDITION...: fails when the time is over or the process has ended.
await() {
    local deadline=$(($(now_ms) + $1 * 1000)) process=$2
    shift 2
    until "$@"; do
        runs "$process" && (($(now_ms) < deadline)) || return 1
        sleep 0.05
    done
}

start_broker() {
    begin "starting RabbitMQ"
    # These variables describe another broker than the private one.
    unset RABBITMQ_PORT RABBITMQ_USERNAME RABBITMQ_PASSWORD RABBITMQ_PASSWORD_FILE
    start "$run/broker.txt" "$python" "$root/tests/support/broker.py" --dir "$run/broker"
    broker=$started
    await 120 "$broker" grep -qs '^ready ' "$run/broker.txt" ||
        failed "RabbitMQ does not start" "read its output; RABBITMQ_HOST=... scripts/run.sh uses a broker that runs already" \
            "$run/broker.txt"
    export RABBITMQ_HOST=127.0.0.1 RABBITMQ_PORT
    RABBITMQ_PORT=$(sed -n 's/^ready //p' "$run/broker.txt")
    passed "RabbitMQ $(dpkg-query -W -f '${source:Upstream-Version}' rabbitmq-server) on $RABBITMQ_HOST:$RABBITMQ_PORT, for this run only"
}

start_mov() {
    begin "starting the MOV stand-in"
    start "$run/mov.txt" "$python" "$root/tests/support/mov.py"
    mov=$started
    await 30 "$mov" grep -qs 'waiting for components' "$run/mov.txt" ||
        failed "the MOV stand-in does not start" "read its output" "$run/mov.txt"
    passed "a stand-in for the Master Of VALAWAI (MOV) waits for components"
}

healthy() {
    [ -s "$health" ] && [ "$health" -nt "$run/began" ] # LOG_DIR may have the file of an earlier run
}

start_host() {
    local or_else=''
    [ -n "$broker" ] || or_else="; without RABBITMQ_HOST, this script starts its own broker"
    begin "starting valawai-host"
    export LOG_DIR=${LOG_DIR:-$run/logs}
    [[ $LOG_DIR == /* ]] || LOG_DIR=$caller/$LOG_DIR
    health=${COMPONET_ID_FILE_NAME:-component_id.json}
    [[ $health == /* ]] || health=$LOG_DIR/$health
    log_file=$LOG_DIR/${LOG_FILE_NAME:-log_messages.txt}
    # A missing broker should not take five minutes to report.
    export RABBITMQ_MAX_RETRIES=${RABBITMQ_MAX_RETRIES:-10} RABBITMQ_RETRY_SLEEP=${RABBITMQ_RETRY_SLEEP:-1}
    touch "$run/began"
    # In the run's directory, so that no other plugins.conf is read.
    cd "$run" || exit 1
    start "$run/host.txt" "$root/build/release/valawai-host" "$root/build/release/plugins/echo.so"
    host=$started
    await 90 "$host" healthy ||
        if runs "$host"; then
            failed "c1_echo is not registered" "check that a MOV runs on that broker$or_else" "$run/host.txt"
        else
            failed "valawai-host has ended" "correct what it reports$or_else" "$run/host.txt"
        fi
    id=$(sed -n 's/.*"id" *: *"\([^"]*\)".*/\1/p' "$health")
    passed "valawai-host runs the echo plugin, registered as c1_echo $id"
}

show_echo() {
    begin "sending a message"
    run_step "$run/echo.txt" "$python" "$root/scripts/send.py" --echo "$out_topic" "$in_topic" \
        "{\"content\": \"Hello, VALAWAI! It is $(date +%T).\"}" ||
        failed "a message has no echo" \
            "read $log_file; on a shared broker, another consumer may take the echoes" "$run/echo.txt"
    printf '%s' "$again"
    sed 's/^/  /' "$run/echo.txt"
    passed "a message and its echo"
}

show_how_to() {
    local stand_in='' user=''
    [ -z "${RABBITMQ_USERNAME:-}" ] || user="RABBITMQ_USERNAME=$RABBITMQ_USERNAME RABBITMQ_PASSWORD=... "
    [ -z "$mov" ] || stand_in="
  MOV stand-in  $run/mov.txt
                (to use the real one, name its broker: RABBITMQ_HOST=... scripts/run.sh)"
    cat <<END

  health file   $health
  log           $log_file$stand_in
  send another  RABBITMQ_HOST=$RABBITMQ_HOST RABBITMQ_PORT=${RABBITMQ_PORT:-5672} $user$(printf %q "$root/scripts/send.py") --echo $out_topic $in_topic '{"content": "Hello again"}'
  stop          ${bold}Ctrl-C${plain}, or kill $$

${dim}The log of the host:$plain
END
}

# The host first, while the broker and the MOV can still hear it unregister.
finish() {
    local ended=0
    trap '' INT TERM HUP
    printf '%s\n' "$again"
    step_began=$(now_ms) # no begin: the host's last records appear on the terminal, too
    kill -TERM "$host" 2>/dev/null
    await 30 "$host" false
    if runs "$host"; then
        failed "valawai-host does not stop" "it is killed now; read what it was doing" "$run/host.txt"
    fi
    wait "$host" || ended=$?
    host=''
    wait "$tail"
    tail=''
    ((ended == 0)) || failed "valawai-host ended with status $ended" "read its output" "$run/host.txt"
    [ ! -e "$health" ] || failed "the health file still exists" "read the output of the host" "$run/host.txt"
    if [ -n "$mov" ]; then
        await 5 "$mov" grep -qs "unregistered c1_echo $id" "$run/mov.txt" ||
            failed "the MOV stand-in has not unregistered c1_echo" "read its output" "$run/mov.txt"
        passed "valawai-host stopped; the MOV stand-in reports: unregistered c1_echo $id"
        begin "stopping the MOV stand-in and RabbitMQ"
        end 10 "$mov"
        end 40 "$broker"
        mov='' broker=''
        passed "stopped the MOV stand-in and RabbitMQ"
    else
        passed "valawai-host stopped and unregistered c1_echo $id"
    fi
    printf '  The files of this run stay in %s\n' "$run"
    exit 0
}

new_run_directory run
printf '%svalawai-host %s with the echo plugin%s, in %s\n' "$bold" \
    "$(sed -n 's/^project(.* VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")" "$plain" "$run"
install_missing "$run/apt.txt" "${run_packages[@]}"
build release "$run/build.txt" valawai-host echo
if [ -n "${RABBITMQ_HOST:-}" ]; then
    export RABBITMQ_HOST
else
    start_broker
    start_mov
fi
start_host
show_echo
show_how_to

start - tail -n +1 -s 0.1 --pid="$host" -f "$run/host.txt"
tail=$started
trap finish INT TERM HUP
wait -n -p gone "$host" ${mov:+"$mov"} ${broker:+"$broker"}
printf '%s\n' "$again"
step_began=$(now_ms)
case $gone in
"$host") failed "valawai-host has ended by itself" "read its output" "$run/host.txt" ;;
"$mov") failed "the MOV stand-in has ended by itself" "read its output" "$run/mov.txt" ;;
*) failed "RabbitMQ has ended by itself" "read its output" "$run/broker.txt" ;;
esac

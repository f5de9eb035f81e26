#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# valawai-host from nothing: packages, build, broker, MOV stand-in, the host with the echo plugin, a message in, its echo
# out. Then it runs until it is told to stop, and shows how all of that ends.
#
# shellcheck disable=SC2317 # traps call functions, and functions are handed to others by name
set -u

help() {
    cat <<'END'
Usage: scripts/run.sh

Builds valawai-host and runs it with the echo plugin until Ctrl-C. Installs the Debian packages that are missing; for that
it has to be root, or have sudo.

With RABBITMQ_HOST in the environment the host uses that broker, as the other RABBITMQ_ variables say, and expects a
Master Of VALAWAI (MOV) there. Without it, a private RabbitMQ and a stand-in for the MOV are started, and stopped again.

LOG_DIR and the other LOG_ variables of valawai-host are respected. Without LOG_DIR the log and the health file are in a
directory of this run, under build/run, like all that the run writes.
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

# Runs however we end. What still lives goes in the order that lets the host unregister.
clean_up() {
    [ -z "$host" ] || end 20 "$host"
    [ -z "$tail" ] || end 1 "$tail"
    [ -z "$mov" ] || end 10 "$mov"
    [ -z "$broker" ] || end 40 "$broker"
    [ -z "${run:-}" ] || rm -rf "$run/broker"
}
at_exit clean_up

# await SECONDS PROCESS CONDITION...: false when the time is over or the process has ended.
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
    # Nothing of the environment says what our own broker is like.
    unset RABBITMQ_PORT RABBITMQ_USERNAME RABBITMQ_PASSWORD RABBITMQ_PASSWORD_FILE
    start "$run/broker.txt" "$python" "$root/tests/support/broker.py" --dir "$run/broker"
    broker=$started
    await 120 "$broker" grep -qs '^ready ' "$run/broker.txt" ||
        failed "RabbitMQ does not start" "see what it says; RABBITMQ_HOST=... scripts/run.sh uses one that runs" \
            "$run/broker.txt"
    export RABBITMQ_HOST=127.0.0.1 RABBITMQ_PORT
    RABBITMQ_PORT=$(sed -n 's/^ready //p' "$run/broker.txt")
    passed "RabbitMQ $(dpkg-query -W -f '${source:Upstream-Version}' rabbitmq-server) on $RABBITMQ_HOST:$RABBITMQ_PORT, for this run alone"
}

start_mov() {
    begin "starting the MOV stand-in"
    start "$run/mov.txt" "$python" "$root/tests/support/mov.py"
    mov=$started
    await 30 "$mov" grep -qs 'waiting for components' "$run/mov.txt" ||
        failed "the MOV stand-in does not start" "see what it says" "$run/mov.txt"
    passed "a stand-in for the Master Of VALAWAI (MOV) waits for components"
}

healthy() {
    [ -s "$health" ] && [ "$health" -nt "$run/began" ] # one of an earlier run may lie in LOG_DIR
}

start_host() {
    local or_else=''
    [ -n "$broker" ] || or_else="; without RABBITMQ_HOST this script starts a broker of its own"
    begin "starting valawai-host"
    export LOG_DIR=${LOG_DIR:-$run/logs}
    [[ $LOG_DIR == /* ]] || LOG_DIR=$caller/$LOG_DIR
    health=${COMPONET_ID_FILE_NAME:-component_id.json}
    [[ $health == /* ]] || health=$LOG_DIR/$health
    log_file=$LOG_DIR/${LOG_FILE_NAME:-log_messages.txt}
    # A person who looks on should not have to wait five minutes to hear that there is no broker.
    export RABBITMQ_MAX_RETRIES=${RABBITMQ_MAX_RETRIES:-10} RABBITMQ_RETRY_SLEEP=${RABBITMQ_RETRY_SLEEP:-1}
    touch "$run/began"
    # In the run's directory: the plugins.conf of another would otherwise be read.
    cd "$run" || exit 1
    start "$run/host.txt" "$root/build/release/valawai-host" "$root/build/release/plugins/echo.so"
    host=$started
    await 90 "$host" healthy ||
        if runs "$host"; then
            failed "c1_echo has not been registered" "see whether a MOV runs on that broker$or_else" "$run/host.txt"
        else
            failed "valawai-host has ended" "mend what it names$or_else" "$run/host.txt"
        fi
    id=$(sed -n 's/.*"id" *: *"\([^"]*\)".*/\1/p' "$health")
    passed "valawai-host runs the echo plugin, registered as c1_echo $id"
}

show_echo() {
    begin "sending a message"
    run_step "$run/echo.txt" "$python" "$root/scripts/send.py" --echo "$out_topic" "$in_topic" \
        "{\"content\": \"Hello, VALAWAI! It is $(date +%T).\"}" ||
        failed "a message went in, and no echo came out" \
            "look into $log_file; on a broker of others, somebody else may take the echoes" "$run/echo.txt"
    printf '%s' "$again"
    sed 's/^/  /' "$run/echo.txt"
    passed "a message in, its echo out"
}

show_how_to() {
    local stand_in='' user=''
    [ -z "${RABBITMQ_USERNAME:-}" ] || user="RABBITMQ_USERNAME=$RABBITMQ_USERNAME RABBITMQ_PASSWORD=... "
    [ -z "$mov" ] || stand_in="
  MOV stand-in  $run/mov.txt
                (for the real one name its broker: RABBITMQ_HOST=... scripts/run.sh)"
    cat <<END

  health file   $health
  log           $log_file$stand_in
  send another  RABBITMQ_HOST=$RABBITMQ_HOST RABBITMQ_PORT=${RABBITMQ_PORT:-5672} $user$(printf %q "$root/scripts/send.py") --echo $out_topic $in_topic '{"content": "Hello again"}'
  stop          ${bold}Ctrl-C${plain}, or kill $$

${dim}What the host says:$plain
END
}

# The host first, while there is somebody who hears that it goes.
finish() {
    local ended=0
    trap '' INT TERM HUP
    printf '%s\n' "$again"
    step_began=$(now_ms) # no begin: the host's last words come on the terminal, too
    kill -TERM "$host" 2>/dev/null
    await 30 "$host" false
    if runs "$host"; then
        failed "valawai-host does not stop" "it is killed now; see what it was doing" "$run/host.txt"
    fi
    wait "$host" || ended=$?
    host=''
    wait "$tail"
    tail=''
    ((ended == 0)) || failed "valawai-host ended with status $ended" "see what it says" "$run/host.txt"
    [ ! -e "$health" ] || failed "the health file is still there" "see what the host says" "$run/host.txt"
    if [ -n "$mov" ]; then
        await 5 "$mov" grep -qs "unregistered c1_echo $id" "$run/mov.txt" ||
            failed "the MOV stand-in does not know that c1_echo is gone" "see what it says" "$run/mov.txt"
        passed "valawai-host stopped; the MOV stand-in says: unregistered c1_echo $id"
        begin "stopping the MOV stand-in and RabbitMQ"
        end 10 "$mov"
        end 40 "$broker"
        mov='' broker=''
        passed "stopped the MOV stand-in and RabbitMQ"
    else
        passed "valawai-host stopped and unregistered c1_echo $id"
    fi
    printf '  What this run wrote stays in %s\n' "$run"
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
"$host") failed "valawai-host has ended by itself" "see what it says" "$run/host.txt" ;;
"$mov") failed "the MOV stand-in has ended by itself" "see what it says" "$run/mov.txt" ;;
*) failed "RabbitMQ has ended by itself" "see what it says" "$run/broker.txt" ;;
esac

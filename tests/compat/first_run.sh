#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# What a newcomer does: scripts/run.sh, another message by the command that it shows, and the end. Shows all of it and
# checks what it promises.
#
#     first_run.sh [SIGNAL]     what ends it; default INT
# shellcheck disable=SC2317 # called by name
set -u

# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../scripts/lib.sh" || exit 1

output=$(mktemp) || exit 1
script=''
clean_up() {
    [ -z "$script" ] || end 60 "$script"
    rm -f "$output"
}
at_exit clean_up

broken() {
    cat "$output"
    echo "first_run.sh: $1"
    exit 1
}

# From another directory, and with hardly an environment.
cd / || exit 1
start "$output" env -i PATH=/usr/bin:/bin "$root/scripts/run.sh"
script=$started
until grep -q '^  stop  ' "$output"; do
    runs "$script" || broken "it ended before it was ready"
    sleep 0.2
done

run=$(sed -n '1s/.*, in //p' "$output")
health=$(sed -n 's/^  health file *//p' "$output")
log=$(sed -n 's/^  log *//p' "$output")
again=$(sed -n 's/^  send another *//p' "$output")
[ -s "$health" ] || broken "no health file at $health"
grep -q 'Sent Echoed message' "$log" || broken "no echo in $log"
answer=$(env -i PATH=/usr/bin:/bin sh -c "$again") || broken "its command for another message does not work: $again"
[[ $answer == *←* ]] || broken "no echo of another message"

status=0
kill -"${1:-INT}" "$script"
wait "$script" || status=$?
script=''
((status == 0)) || broken "exit status $status"
[ ! -e "$health" ] || broken "the health file stayed"
for mark in '✓ built' '✓ RabbitMQ' '✓ a message and its echo' 'reports: unregistered c1_echo' '✓ stopped'; do
    grep -q "$mark" "$output" || broken "its output lacks: $mark"
done
! grep -q $'\e' "$output" || broken "colour, and no terminal"
left=$(grep -lazF "$run" /proc/[0-9]*/cmdline 2>/dev/null)
[ -z "$left" ] || broken "it left processes behind: $left"
cat "$output"
echo "--- another message"
printf '%s\n' "$answer"
echo "scripts/run.sh does what it promises"

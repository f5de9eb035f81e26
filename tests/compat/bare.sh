#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The two commands of README.md on a Debian with nothing installed: scripts/run.sh and scripts/test.sh as root, which
# install what they need, then every test as a user who can install nothing. The Debian is made for this in a temporary
# directory, from the mirror that this machine's own apt uses.
#
#     bare.sh SUITE [--quick]     such as bookworm or trixie; --quick: run.sh and the unit tests, as root. Exit status 77: not
#                                 possible here
# shellcheck disable=SC2016,SC2317 # functions are called by name; what stands in single quotes is for others to expand
set -u

# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../scripts/lib.sh" || exit 1
suite=${1:?"usage: bare.sh SUITE [--quick]"}

# In the new Debian; a clone may lie in a directory with a space in its name.
inside() {
    local user="/home/a user/valawai-host"
    "$root/tests/compat/first_run.sh" && "$root/scripts/test.sh" --quick || return 1
    if [ "${1:-}" = --quick ]; then
        # This Debian has the packages of all other tests too; a browser alone takes longer to install than all that runs here.
        apt-get install --simulate --no-install-recommends "${test_packages[@]}" >/dev/null && return 0
        echo "bare.sh: this Debian cannot install every package that the tests need"
        return 1
    fi
    at_exit true
    new_run_directory bare
    install_missing "$run/packages.txt" "${test_packages[@]}"
    rm -rf "$root/build"
    mkdir -p "$user" && cp -a "$root/." "$user" && chown -R 1234:1234 "$user" || return 1
    env -i PATH=/usr/bin:/bin setpriv --reuid 1234 --regid 1234 --clear-groups "$user/scripts/test.sh"
}
if [ "$suite" = --inside ]; then
    inside "${2:-}"
    exit
fi

skip() {
    echo "SKIP: $1"
    exit 77
}

((EUID == 0)) || skip "only root can make a Debian in a directory"
command -v mmdebstrap >/dev/null || skip "mmdebstrap is not installed"
# Where apt has Debian's main archive from.
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(SITE)' 'Created-By: Packages' |
    sed -n 's/^Debian|Debian|main|//p' | head -n 1)
[ -n "$mirror" ] || skip "apt knows no mirror of Debian; apt-get update may help"

bare=$(mktemp -d) || exit 1
at_exit rm -rf --one-file-system "$bare"

echo "--- a bare Debian $suite"
# How to reach a mirror is this machine's own matter.
apt-config dump Acquire | grep -iE '^Acquire::(https?|Check-)' >"$bare/apt.conf"
# The lists of Debian testing are valid for a week only, and a mirror may be older than that.
echo 'Acquire::Check-Valid-Until "false";' >>"$bare/apt.conf"
run_step - mmdebstrap --quiet --mode=root --variant=minbase --components=main --aptopt="$bare/apt.conf" \
    "$suite" "$bare/debian" "$mirror" || skip "mmdebstrap cannot make a Debian $suite from apt's mirror"
cp -L /etc/resolv.conf /etc/hosts "$bare/debian/etc/"
echo force-unsafe-io >"$bare/debian/etc/dpkg/dpkg.cfg.d/unsafe-io" # it need not survive a power cut
mkdir -p "$bare/debian/src/valawai host"
(cd "$root" && tar -c --exclude=./build --exclude=./.git .) | tar -x --no-same-owner -C "$bare/debian/src/valawai host"

# Namespaces of its own: with its first process every other goes, and with that all that is mounted.
run_step - unshare --mount --pid --fork --kill-child sh -c '
    mount -t proc proc "$1/proc" && mount --bind /dev "$1/dev" &&
        exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$1" "/src/valawai host/tests/compat/bare.sh" --inside "$2"' \
    - "$bare/debian" "${2:-}"

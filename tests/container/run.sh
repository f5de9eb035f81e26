#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Tests the image, docker-compose.yml and the packages with a real Docker engine for this run only. The engine has its own
# namespaces: its processes, mounts, bridges and firewall rules end with the first process there. It does not touch the Docker
# engine of the machine.
#
# It pulls nothing. The script makes debian:bookworm-slim from the mirror of this machine's apt, with its apt settings, and the
# stand-ins for RabbitMQ and the MOV from that.
#
#     run.sh [PYTEST_ARGUMENT...]     exit status 77: skipped, with the reason
# shellcheck disable=SC2016,SC2317 # functions are called by name; other shells expand what is in single quotes
set -u

# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../../scripts/lib.sh" || exit 1

skip() {
    echo "SKIP: $1"
    exit 77
}

# The base of the Dockerfile.
release=$(sed -n 's/^ARG DEBIAN_RELEASE=//p' "$root/docker/main/Dockerfile")

# ---- in the namespaces ----------------------------------------------------------------------------------------------

# await SECONDS WHAT COMMAND...
await() {
    local deadline=$(($(now_ms) + $1 * 1000)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        (($(now_ms) < deadline)) || { tail -n 20 "$work"/*.txt && echo "run.sh: $what: not in time" && exit 1; }
        sleep 0.05
    done
}

has_network() {
    [[ $(ip -4 -o address show tap0) == *inet* ]]
}

inside() {
    local work=$1 base=$2
    shift 2
    ip link set lo up
    await 20 "slirp4netns" has_network
    # The engine puts its own sockets into /run. slirp4netns resolves names.
    mount -t tmpfs tmpfs /run && mkdir -p "$(dirname "$(readlink -m /etc/resolv.conf)")" &&
        touch "$(readlink -m /etc/resolv.conf)" && echo "nameserver 10.0.2.3" >"$work/resolv.conf" &&
        mount --bind "$work/resolv.conf" "$(readlink -m /etc/resolv.conf)" || exit 1

    # A proxy that does not exist, so that a pull fails at once and does not wait for a registry.
    env -i PATH="$PATH" HTTP_PROXY=http://127.0.0.1:9 HTTPS_PROXY=http://127.0.0.1:9 dockerd --data-root "$work/data" \
        --exec-root "$work/exec" --host "unix://$work/docker.sock" --pidfile "$work/docker.pid" \
        --cgroup-parent "$(basename "$work")" >"$work/dockerd.txt" 2>&1 </dev/null &
    export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/config
    await 60 "the Docker engine" docker info

    docker import --change 'CMD ["bash"]' "$base" "debian:$release-slim" && rm -f "$base" || exit 1
    # Built at the same time as the image. The tests build it again and wait for it then.
    docker buildx build --build-arg "DEBIAN_RELEASE=$release" "$root/tests/container/stand-ins" >"$work/stand-ins.txt" 2>&1 &
    VALAWAI_WORK=$work "$python" -m pytest -p no:cacheprovider "$root/tests/container" "$@"
}

if [ "${1:-}" = --inside ]; then
    shift
    inside "$@"
    exit
fi

# ---- outside --------------------------------------------------------------------------------------------------------

((EUID == 0)) || skip "a Docker engine needs root"
for command in dockerd docker containerd mmdebstrap slirp4netns ip; do
    command -v "$command" >/dev/null || skip "$command is missing (packages: docker.io mmdebstrap slirp4netns iproute2)"
done
export PATH=/usr/sbin:/usr/bin:/sbin:/bin # Debian's docker

# The mirror of Debian's main archive that apt uses.
mirror=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(SITE)' 'Created-By: Packages' |
    sed -n 's/^Debian|Debian|main|//p' | head -n 1)
[ -n "$mirror" ] || skip "apt has no mirror of Debian; apt-get update may help"

engine='' network=''
clean_up() {
    # Its first process takes all others with it, and the last one the mounts and networks.
    [ -z "$engine" ] || end 5 "$engine"
    [ -z "$network" ] || end 5 "$network"
    find /sys/fs/cgroup -depth -type d -path "*/$(basename "$work")*" -exec rmdir '{}' ';' 2>/dev/null
    rm -rf --one-file-system "$work"
}
work=$(mktemp -d "${TMPDIR:-/tmp}/valawai-container-XXXXXX") || exit 1
at_exit clean_up

# Like Debian's slim images: without manuals, translations and documents.
make_base() {
    apt-config dump Acquire | grep -iE '^Acquire::(https?|Check-)' >"$work/apt.conf"
    mmdebstrap --quiet --mode=root --variant=minbase --components=main --aptopt="$work/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/*' "$release" "$work/base.tar" "$mirror"
}

# Compose v2 and buildx are packages since Debian 13. Each is one file, which is extracted and not installed.
fetch_plugins() {
    local lists=$work/lists package
    mkdir -p "$lists/partial" "$work/config/cli-plugins" "$work/plugins" || return 1
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$work/trixie.list"
    local apt=(apt-get -q -o "Dir::Etc::SourceList=$work/trixie.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$lists"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Acquire::Languages=none)
    "${apt[@]}" update || return 1
    (cd "$work/plugins" && "${apt[@]}" download docker-compose docker-buildx) || return 1
    for package in "$work"/plugins/*.deb; do
        dpkg-deb -x "$package" "$work/plugins" || return 1
    done
    find "$work/plugins" -path '*/cli-plugins/*' -type f -exec cp '{}' "$work/config/cli-plugins" ';'
    rm -rf "$lists" "$work/plugins"
    [ -x "$work/config/cli-plugins/docker-compose" ] && [ -x "$work/config/cli-plugins/docker-buildx" ]
}

echo "--- a Debian $release, compose and buildx"
export work release mirror
export -f make_base fetch_plugins
start "$work/plugins.txt" bash -c fetch_plugins
plugins=$started
run_step "$work/base.txt" bash -c make_base || {
    cat "$work/base.txt" && skip "mmdebstrap cannot make a Debian $release from apt's mirror"
}
wait "$plugins" || { cat "$work/plugins.txt" && skip "apt's mirror has no docker-compose and docker-buildx of Debian 13"; }

echo "--- the engine and the tests"
start - unshare --mount --pid --net --fork --kill-child --mount-proc "$root/tests/container/run.sh" --inside "$work" \
    "$work/base.tar" "$@"
engine=$started
until first=$(cat "/proc/$engine/task/$engine/children" 2>/dev/null) && [ -n "$first" ]; do
    runs "$engine" || exit 1
    sleep 0.05
done
start "$work/slirp4netns.txt" slirp4netns --configure --mtu=65520 --disable-host-loopback "${first// /}" tap0
network=$started
status=0
wait "$engine" || status=$?
engine=''
exit "$status"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds the images: the component, NAME:TAG, and NAME:TAG-dev to build plugins for it (NAME:dev beside NAME:latest). Name and
# version stand in CMakeLists.txt.
set -u

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
default_platforms=linux/arm64,linux/amd64

help() {
    cat <<END
Usage: buildDockerImages.sh [OPTION...]

Builds the Docker images $name:$version, the component, and $name:$version-dev, to build plugins
for it.

  -nc, --no-cache             build everything anew
  -t, --tag <tag>             this tag, and not $version; with "latest" the other image is called "dev"
  -p, --platform <platforms>  for these platforms, with commas between them
  -dp, --default-platforms    for $default_platforms
  -h, --help                  show this help

What is built for other platforms than this machine's needs their emulation (the Debian package qemu-user-static). An image
of several platforms stays in the cache of a builder of its own, from where a build with --push sends it to a registry.
END
}

failed() {
    echo "buildDockerImages.sh: $1" >&2
    exit 1
}

name=$(sed -n 's/^set(VALAWAI_IMAGE "\([^"]*\)").*/\1/p' "$root/CMakeLists.txt")
version=$(sed -n 's/^project(.* VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
[[ -n $name && -n $version ]] || failed "$root/CMakeLists.txt tells no name or no version of the image"

# value OPTION [VALUE]: the value, which is none if it is empty or the next option.
value() {
    [[ -n ${2:-} && $2 != -* ]] || failed "$1 wants a value; see buildDockerImages.sh --help"
}

tag=$version platforms='' options=()
while (($#)); do
    case $1 in
    -nc | --no-cache) options+=(--no-cache) ;;
    -t | --tag) value "$@" && tag=$2 && shift ;;
    -p | --platform) value "$@" && platforms=$2 && shift ;;
    -dp | --default-platforms) platforms=$default_platforms ;;
    -h | --help) help && exit ;;
    *) failed "unknown option $1; see buildDockerImages.sh --help" ;;
    esac
    shift
done
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,122}$ ]] || failed "\"$tag\" is no tag: letters, digits, _ . and - are"
[ -z "$platforms" ] || [[ $platforms =~ ^[a-z0-9]+/[a-z0-9/]+(,[a-z0-9]+/[a-z0-9/]+)*$ ]] ||
    failed "\"$platforms\" are no platforms; they look like linux/arm64,linux/amd64"

command -v docker >/dev/null || failed "there is no docker command; install Docker (https://docs.docker.com/engine/install)"
docker buildx version >/dev/null 2>&1 ||
    failed "docker has no buildx; install it (Debian from 13 on: docker-buildx, Docker's own packages: docker-buildx-plugin)"
docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    failed "no Docker engine answers; start it, or see whether you may use it: docker version"

# An image of several platforms needs a builder of its own where the engine cannot keep one.
if [ -n "$platforms" ]; then
    options+=(--platform "$platforms")
    if [[ $platforms == *,* ]]; then
        builder=${name//\//_}_builder
        docker buildx inspect "$builder" >/dev/null 2>&1 || docker buildx create --name "$builder" ||
            failed "buildx cannot make the builder $builder"
        options+=(--builder "$builder")
    fi
fi

revision=$(git -C "$root" rev-parse HEAD 2>/dev/null) || revision=unknown

# image TARGET TAG
image() {
    local output=(--load)
    [[ $platforms != *,* ]] || output=()
    docker buildx build ${options[@]+"${options[@]}"} ${output[@]+"${output[@]}"} --file "$root/docker/main/Dockerfile" --target "$1" --tag "$name:$2" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$root" || failed "$name:$2 has not been built"
}

dev_tag=$tag-dev
[ "$tag" != latest ] || dev_tag=dev
image main "$tag"
image dev "$dev_tag"
where=''
[[ $platforms != *,* ]] || where="; they are in the cache of the builder $builder, not among docker's images"
echo "built $name:$tag and $name:$dev_tag${platforms:+ for $platforms}$where"

#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Builds two images: NAME:TAG, the component, and NAME:TAG-dev, to build plugins for it (NAME:dev for NAME:latest). The name and
# the version are those of CMakeLists.txt.
set -u

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
default_platforms=linux/arm64,linux/amd64

help() {
    cat <<END
Usage: buildDockerImages.sh [OPTION...]

Builds the Docker images $name:$version, the component, and $name:$version-dev, to build plugins
for it.

  -nc, --no-cache             build every layer anew
  -t, --tag <tag>             use this tag instead of $version; with "latest" the other image is called "dev"
  -p, --platform <platforms>  build for these platforms, separated by commas
  -dp, --default-platforms    build for $default_platforms
  --pull                      look for a newer base image
  -h, --help                  show this help

Other platforms than that of this machine need their emulation (the Debian package qemu-user-static). An image of several
platforms stays in the cache of a builder of its own. A build with --push sends it from there to a registry.
END
}

failed() {
    echo "buildDockerImages.sh: $1" >&2
    exit 1
}

name=$(sed -n 's/^set(VALAWAI_IMAGE "\([^"]*\)").*/\1/p' "$root/CMakeLists.txt")
version=$(sed -n 's/^project(.* VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
[[ -n $name && -n $version ]] || failed "$root/CMakeLists.txt has no name or no version of the image"

# value OPTION [VALUE]: the value must not be empty, and must not be the next option.
value() {
    [[ -n ${2:-} && $2 != -* ]] || failed "$1 needs a value; see buildDockerImages.sh --help"
}

tag=$version platforms='' options=() no_cache=''
while (($#)); do
    case $1 in
    -nc | --no-cache) no_cache=yes ;;
    -t | --tag) value "$@" && tag=$2 && shift ;;
    -p | --platform) # "a, b" and a, b are lists, too
        platforms=${2:-} && platforms=${platforms//[[:blank:]]/}
        value "$1" "$platforms" && shift
        while [[ $platforms == *, && -n ${2:-} && $2 != -* ]]; do
            platforms+=${2//[[:blank:]]/} && shift
        done
        ;;
    -dp | --default-platforms) platforms=$default_platforms ;;
    --pull) options+=(--pull) ;;
    -h | --help) help && exit ;;
    *) failed "unknown option $1; see buildDockerImages.sh --help" ;;
    esac
    shift
done
[[ $tag =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,122}$ ]] || failed "\"$tag\" is not a tag; use letters, digits, _ . and -"
[ -z "$platforms" ] || [[ $platforms =~ ^[a-z0-9]+/[a-z0-9/]+(,[a-z0-9]+/[a-z0-9/]+)*$ ]] ||
    failed "\"$platforms\" is not a list of platforms such as linux/arm64,linux/amd64"

command -v docker >/dev/null || failed "the docker command is missing; install Docker (https://docs.docker.com/engine/install)"
docker buildx version >/dev/null 2>&1 ||
    failed "docker buildx is missing; install it (Debian 13 and later: docker-buildx; Docker's own packages: docker-buildx-plugin)"
docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    failed "no Docker engine answers; start it, or check that you may use it: docker version"

# The engine cannot store an image of several platforms, so these need a builder of their own.
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

# image TARGET TAG [OPTION...]
image() {
    local output=(--load)
    [[ $platforms != *,* ]] || output=()
    docker buildx build "${@:3}" ${options[@]+"${options[@]}"} ${output[@]+"${output[@]}"} --file "$root/docker/main/Dockerfile" --target "$1" --tag "$name:$2" \
        --build-arg "VERSION=$version" --build-arg "REVISION=$revision" "$root" || failed "cannot build $name:$2"
}

dev_tag=$tag-dev
[ "$tag" != latest ] || dev_tag=dev
# The second image takes the layers that both have in common from the first: each layer is built anew once.
image main "$tag" ${no_cache:+--no-cache}
image dev "$dev_tag" ${no_cache:+--no-cache-filter dev}
where=''
[[ $platforms != *,* ]] || where="; they are in the cache of the builder $builder, not in Docker's list of images"
echo "built $name:$tag and $name:$dev_tag${platforms:+ for $platforms}$where"

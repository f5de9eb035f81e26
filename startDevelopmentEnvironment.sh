#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A shell in which one builds and tests (CONTRIBUTING.md says what), beside a RabbitMQ and a MOV, all in containers.
set -u

help() {
    cat <<'END'
Usage: startDevelopmentEnvironment.sh [OPTION] [COMMAND...]

Starts RabbitMQ, MongoDB and the Master Of VALAWAI (MOV) of docker-compose.yml, and a shell in a container that has this
directory as /src and everything to build and test with; or runs the command in it. RABBITMQ_HOST and its fellows name the
broker there, so scripts/run.sh uses it. At the end all of it is stopped. The variables of .env count.

  -nc, --no-cache  build the shell's image anew
  -h, --help       show this help
END
}

failed() {
    echo "startDevelopmentEnvironment.sh: $1" >&2
    exit 1
}

options=()
case ${1:-} in
-nc | --no-cache) options=(--no-cache) && shift ;;
-h | --help) help && exit ;;
-*) failed "unknown option $1; see startDevelopmentEnvironment.sh --help" ;;
esac

command -v docker >/dev/null || failed "there is no docker command; install Docker (https://docs.docker.com/engine/install)"
docker compose version >/dev/null 2>&1 || failed "docker has no compose; install it (Debian from 13 on: docker-compose, Docker's own packages: docker-compose-plugin)"
docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    failed "no Docker engine answers; start it, or see whether you may use it: docker version"

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit 1
export COMPOSE_FILE=${COMPOSE_FILE:-docker-compose.yml:docker/dev/docker-compose.yml} DEV_USER
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-valawai-host-dev} # what a plain `docker compose up` runs stays untouched
DEV_USER=$(id -u):$(id -g)

docker compose --profile dev build ${options[@]+"${options[@]}"} dev || failed "the shell's image has not been built"
trap './stopDevelopmentEnvironment.sh' EXIT
docker compose --profile mov up --detach --wait mq mongo mov || failed "RabbitMQ, MongoDB and the MOV do not start"
terminal=()
[ -t 0 ] || terminal=(--no-TTY)
docker compose --profile dev run --rm ${terminal[@]+"${terminal[@]}"} dev "$@"

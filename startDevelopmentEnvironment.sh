#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Opens a shell to build and test in, beside RabbitMQ and the MOV, all in containers. See CONTRIBUTING.md.
set -u

help() {
    cat <<'END'
Usage: startDevelopmentEnvironment.sh [OPTION] [COMMAND...]

Starts RabbitMQ, MongoDB and the Master Of VALAWAI (MOV) of docker-compose.yml. Then opens a shell, or runs the command, in
a container that has everything to build and test, and this directory as /src. The RABBITMQ_ variables in it name the
broker, so scripts/run.sh uses it. At the end all of it is stopped. The variables of .env take effect.

  -nc, --no-cache  build the image of the shell anew
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

command -v docker >/dev/null || failed "the docker command is missing; install Docker (https://docs.docker.com/engine/install)"
docker compose version >/dev/null 2>&1 || failed "docker compose is missing; install it (Debian 13 and later: docker-compose; Docker's own packages: docker-compose-plugin)"
docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
    failed "no Docker engine answers; start it, or check that you may use it: docker version"

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit 1
export COMPOSE_FILE=${COMPOSE_FILE:-docker-compose.yml:docker/dev/docker-compose.yml} DEV_USER
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-valawai-host-dev} # not the project of a plain `docker compose up`
DEV_USER=$(id -u):$(id -g)

docker compose --profile dev build ${options[@]+"${options[@]}"} dev || failed "cannot build the image of the shell"
trap './stopDevelopmentEnvironment.sh' EXIT
docker compose --profile mov up --detach --wait mq mongo mov || failed "RabbitMQ, MongoDB or the MOV does not start"
terminal=()
[ -t 0 ] || terminal=(--no-TTY)
docker compose --profile dev run --rm ${terminal[@]+"${terminal[@]}"} dev "$@"

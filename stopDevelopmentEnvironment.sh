#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Stops the services of startDevelopmentEnvironment.sh. The volumes keep the data of RabbitMQ and MongoDB.
set -u

cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" || exit 1
export COMPOSE_FILE=${COMPOSE_FILE:-docker-compose.yml:docker/dev/docker-compose.yml}
export COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-valawai-host-dev}
docker compose --profile mov --profile dev down --remove-orphans

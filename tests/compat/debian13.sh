#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Debian 13: rabbitmq-c 0.15, json-c 0.18, gcc 14 and RabbitMQ 4. See bare.sh.
exec "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/bare.sh" trixie

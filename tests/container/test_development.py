# SPDX-License-Identifier: GPL-3.0-or-later
"""startDevelopmentEnvironment.sh: a shell to build in, beside the broker and the MOV, which leaves nothing behind."""

import os
import uuid

from conftest import command, docker

FILES = ("docker-compose.yml", "docker/dev/docker-compose.yml", "tests/container/compose.stand-ins.yml",
         "tests/container/compose.dev.yml")

# The quick part of CONTRIBUTING.md, then the host with that broker and that MOV.
COMMANDS = """
set -e
cmake --preset release && cmake --build --preset release --target valawai-host echo unit_json
ctest --preset release -R '^unit.json$' --no-tests=error
build/release/valawai-host build/release/plugins/echo.so & host=$!
for i in $(seq 200); do test -s logs/component_id.json && break; sleep 0.1; done
/usr/bin/python3 scripts/send.py --echo valawai/c1/echo/data/publish_message valawai/c1/echo/data/received_message '{"content": "hello"}'
kill $host && wait $host
stat -c '%u:%g' build/release/valawai-host
"""


def test_a_shell_beside_broker_and_mov(tree, stand_ins):
    name = "valawai" + uuid.uuid4().hex[:8]
    environment = {**os.environ, "COMPOSE_FILE": ":".join(FILES), "COMPOSE_PROJECT_NAME": name}
    try:
        done = command(os.path.join(tree, "startDevelopmentEnvironment.sh"), "bash", "-c", COMMANDS, cwd="/", env=environment,
                       timeout=600)
        assert "← valawai/c1/echo/data/publish_message" in done.stdout
        assert done.stdout.splitlines()[-1] == f"{os.getuid()}:{os.getgid()}"
        assert docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={name}") == ""
    finally:
        command("docker", "compose", "--profile", "*", "down", "--volumes", cwd=tree, env=environment, check=False)


def test_wrong_use(tree):
    done = command(os.path.join(tree, "startDevelopmentEnvironment.sh"), "--nothing", check=False)
    assert done.returncode == 1 and "unknown option --nothing" in done.stderr
    done = command(os.path.join(tree, "startDevelopmentEnvironment.sh"), "--help")
    assert "--no-cache" in done.stdout

# SPDX-License-Identifier: GPL-3.0-or-later
"""VALAWAI's tutorial ends with a page on the deployment of a component. This test follows it in its order: its files, its
build script, its variables, its commands. What a registry would give is a stand-in; the commands are the page's, word for word.
"""

import json
import os
import time
import urllib.request
import uuid

import pytest

from broker import scaled, wait_until
from conftest import NAME, Container, ContainerBroker, command, docker
from host import Client, published, received
from mov import MovStandIn

FILES = ("buildDockerImages.sh", os.path.join("docker", "main", "Dockerfile"), "docker-compose.yml")

OPTIONS = (("-nc", "--no-cache"), ("-t", "--tag"), ("-p", "--platform"), ("-dp", "--default-platforms"), ("-h", "--help"))

# The variables in the page's order: the default and another value.
VARIABLES = {
    "RABBITMQ_HOST": ("mov-mq", "a-broker"),
    "RABBITMQ_PORT": ("5672", "5675"),
    "RABBITMQ_USERNAME": ("mov", "component_user"),
    "RABBITMQ_PASSWORD": ("password", "secret"),
    "RABBITMQ_MAX_RETRIES": ("100", "1000"),
    "RABBITMQ_RETRY_SLEEP": ("3", "1"),
    "LOG_DIR": ("logs", "mylogs"),
    "LOG_CONSOLE_LEVEL": ("INFO", "ERROR"),
    "LOG_FILE_LEVEL": ("DEBUG", "INFO"),
    "LOG_FILE_MAX_BYTES": ("1000000", "2000"),
    "LOG_FILE_BACKUP_COUNT": ("5", "2"),
    "LOG_FILE_NAME": ("log_messages.txt", "my.log"),
    "COMPONET_ID_FILE_NAME": ("component_id.json", "my_id.json"),
}


class Reader:
    """Types the commands of the page in a clone, with stand-ins in place of a registry."""

    def __init__(self, tree):
        self.tree, self.name = tree, "valawai" + uuid.uuid4().hex[:8]
        self.environment = {**os.environ, "COMPOSE_PROJECT_NAME": self.name,
                            "COMPOSE_FILE": "docker-compose.yml:tests/container/compose.stand-ins.yml"}

    def types(self, line, check=True):
        return command("bash", "-c", line, cwd=self.tree, env=self.environment, timeout=900, check=check)

    def writes_env(self, variables):
        with open(os.path.join(self.tree, ".env"), "w", encoding="utf-8") as file:
            file.write("".join(f"{name}={value}\n" for name, value in variables.items()))

    def container(self, service):
        identifiers = self.types(f"docker compose ps --all --quiet {service}").stdout.split()
        assert len(identifiers) == 1, identifiers
        return Container(identifiers[0])

    def left(self, *options):
        return docker("ps", "--quiet", *options, "--filter", f"label=com.docker.compose.project={self.name}").split()


@pytest.fixture
def reader(tree, stand_ins):
    reader = Reader(tree)
    try:
        yield reader
    finally:
        print(reader.types("COMPOSE_PROFILES=mov docker compose logs --tail 15", check=False).stdout)
        reader.types("COMPOSE_PROFILES=mov docker compose down --volumes", check=False)
        if os.path.exists(os.path.join(tree, ".env")):
            os.remove(os.path.join(tree, ".env"))


@pytest.fixture
def latest(reader, image):
    """The image that the page's first command builds."""
    reader.types("./buildDockerImages.sh -t latest")
    return f"{NAME}:latest"


# --- the files, the script, the variables -----------------------------------------------------------------------------


def test_the_files_are_where_the_page_has_them(tree):
    for name in FILES:
        assert os.path.isfile(os.path.join(tree, name)), name


def test_the_script_has_the_options(reader):
    """test_build_script.py tests their effects."""
    text = reader.types("./buildDockerImages.sh --help").stdout
    assert text == reader.types("./buildDockerImages.sh -h").stdout
    for short, long in OPTIONS:
        assert f"  {short}, {long}" in text


def test_the_image_has_the_defaults(latest):
    variables = dict(entry.split("=", 1) for entry in json.loads(docker("image", "inspect", latest))[0]["Config"]["Env"])
    assert {name: variables.get(name) for name in VARIABLES} == {name: default for name, (default, _) in VARIABLES.items()}


def test_every_variable_in_env_changes_the_component(reader, latest):
    reader.writes_env({name: other for name, (_, other) in VARIABLES.items()})
    reader.types("COMPOSE_PROFILES=mov docker compose up -d --wait")
    component = reader.container("plugin_host")
    assert component.health() == "healthy"
    environment = dict(entry.split("=", 1) for entry in component.inspect()["Config"]["Env"])
    assert {name: environment[name] for name in VARIABLES} == {name: other for name, (_, other) in VARIABLES.items()}

    # The broker has another name, port and user, and the component is there.
    client = Client(ContainerBroker(reader.container("mq"), "component_user", "secret", 5675))
    client.declare(published())
    count = 50
    client.publish_many(received(), [{"content": f"message {i}"} for i in range(count)])
    assert len(client.collect(published(), count)) == count
    client.close()

    # LOG_DIR, the names of both files, the size, the number and the levels of the log files.
    assert component.component_id("/app/mylogs/my_id.json")
    names = ["my.log", "my.log.1", "my.log.2"]
    assert component.execute("sh", "-c", "cd mylogs && ls my.log*").split() == names
    text = component.execute("sh", "-c", "cd mylogs && cat my.log*")
    assert "| INFO |" in text and "| DEBUG |" not in text
    sizes = component.execute("sh", "-c", "cd mylogs && stat -c %s my.log*").split()
    assert all(int(size) <= 2000 for size in sizes), sizes
    assert "[INFO]" not in component.logs()


def test_attempts_and_the_pause_between_them(latest):
    """Nothing listens there. Three attempts have two pauses."""
    began = time.monotonic()
    done = command("docker", "run", "--rm", "--env", "RABBITMQ_HOST=127.0.0.1", "--env", "RABBITMQ_MAX_RETRIES=3", "--env",
                   "RABBITMQ_RETRY_SLEEP=1", latest, check=False)
    assert done.returncode == 1 and time.monotonic() - began >= 2
    assert "127.0.0.1" in done.stderr.splitlines()[-1]


# --- the commands -----------------------------------------------------------------------------------------------------


def test_component_and_mov(reader, latest):
    reader.types("COMPOSE_PROFILES=mov docker compose up -d")
    component = reader.container("plugin_host")
    component.wait_health("healthy", 120)
    for service in ("mq", "mongo", "mov"):
        reader.container(service).wait_health("healthy", 60)

    for page, word in (("http://localhost:8081", "mov.py"), ("http://localhost:8082", "RabbitMQ Management")):
        with urllib.request.urlopen(page, timeout=scaled(10)) as answer:
            assert word in answer.read().decode()

    # The health check is the file with the id that the MOV gave.
    identifier = component.component_id()
    assert f"registered as {identifier}" in component.logs()

    reader.types("COMPOSE_PROFILES=mov docker compose down")
    assert reader.left("--all") == []


def test_component_alone_with_env(reader, latest, stand_ins):
    """The page's .env. A broker and a MOV run on this machine, outside of the compose file."""
    broker = Container(docker("run", "--detach", "--hostname", "elsewhere", "--publish", "5672:5672",
                              "--env", "RABBITMQ_DEFAULT_USER=component_user", "--env", "RABBITMQ_DEFAULT_PASS=secret",
                              stand_ins).strip())
    try:
        node = ContainerBroker(broker, "component_user", "secret")
        wait_until(node.answers, 60, "the broker answers", 0.1)
        with MovStandIn(node) as mov:
            reader.writes_env({"RABBITMQ_HOST": "host.docker.internal", "RABBITMQ_USERNAME": "component_user",
                               "RABBITMQ_PASSWORD": "secret"})
            reader.types("docker compose up -d")
            component = reader.container("plugin_host")
            assert len(reader.left()) == 1
            component.wait_health("healthy", 60)
            assert [active["id"] for active in mov.active("c1_echo")] == [component.component_id()]
            reader.types("docker compose down")
            assert reader.left("--all") == []
            mov.wait_for(lambda mov: not mov.active("c1_echo"), 5, "the component unregisters")
    finally:
        broker.remove()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers for the tests, by the Docker engine that run.sh started. They only run there."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import uuid

import pika
import pytest

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))

from broker import scaled, wait_until  # noqa: E402
from host import Client  # noqa: E402
from mov import MovStandIn  # noqa: E402

WORK = os.environ.get("VALAWAI_WORK") or sys.exit("these tests want an engine of their own: tests/container/run.sh")

with open(os.path.join(ROOT, "CMakeLists.txt"), encoding="utf-8") as file:
    CMAKE = file.read()
VERSION = re.search(r"^project\(.* VERSION ([0-9.]+)", CMAKE, re.MULTILINE).group(1)
NAME = re.search(r'^set\(VALAWAI_IMAGE "(.*?)"\)', CMAKE, re.MULTILINE).group(1)
with open(os.path.join(ROOT, "docker", "main", "Dockerfile"), encoding="utf-8") as file:
    RELEASE = re.search(r"^ARG DEBIAN_RELEASE=(\w+)", file.read(), re.MULTILINE).group(1)
BASE = f"debian:{RELEASE}-slim"
STAND_INS = "valawai/stand-ins"


def command(*arguments, check=True, timeout=300, **more):
    done = subprocess.run([str(argument) for argument in arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=scaled(timeout), **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stdout[-6000:]}\n"
                             f"{done.stderr[-6000:]}")
    return done


def docker(*arguments, **more):
    """A docker command's standard output."""
    return command("docker", *arguments, **more).stdout


class Container:
    """A running or ended container."""

    def __init__(self, identifier):
        self.id = identifier

    def inspect(self):
        return json.loads(docker("inspect", self.id))[0]

    def state(self):
        return self.inspect()["State"]

    def health(self):
        return self.state()["Health"]["Status"]

    def running(self):
        return self.state()["Running"]

    def logs(self):
        done = command("docker", "logs", self.id)
        return done.stdout + done.stderr

    def address(self):
        return next(iter(self.inspect()["NetworkSettings"]["Networks"].values()))["IPAddress"]

    def execute(self, *words, user=None, check=True):
        return docker("exec", *(["--user", user] if user else []), self.id, *words, check=check).strip()

    def wait_health(self, status, timeout=20):
        def look():
            state = self.state()
            assert state["Running"], f"ended with {state['ExitCode']}:\n{self.logs()[-4000:]}"
            return state["Health"]["Status"] == status
        try:
            wait_until(look, timeout, f"{status}", 0.1)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.logs()[-4000:]}\n{self.state()}") from None
        return self

    def component_id(self, path="/app/logs/component_id.json"):
        return json.loads(self.execute("cat", path))["id"]

    def stop(self):
        """The duration in seconds, and the exit status."""
        began = time.monotonic()
        docker("stop", self.id)
        return time.monotonic() - began, self.state()["ExitCode"]

    def remove(self):
        docker("rm", "--force", "--volumes", self.id, check=False)


class ContainerBroker:
    """The broker in a container, with the interface of tests/support/broker.py."""

    def __init__(self, container, username="mov", password="password", port=5672):
        self.container, self.username, self.password, self.port = container, username, password, port
        self.host = container.address()

    def parameters(self, **more):
        settings = dict(host=self.host, port=self.port, heartbeat=0, socket_timeout=scaled(10),
                        credentials=pika.PlainCredentials(self.username, self.password))
        settings.update(more)
        return pika.ConnectionParameters(**settings)

    def connect(self, **more):
        return pika.BlockingConnection(self.parameters(**more))

    def answers(self):
        try:
            self.connect(socket_timeout=5).close()
            return True
        except (OSError, pika.exceptions.AMQPError):
            return False


# --- images ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def tree():
    """A clone-like copy of the tree, in a directory with blanks in its name."""
    copy = os.path.join(WORK, "a clone", "valawai host")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("build", ".git", "__pycache__", ".pytest_cache"))
    return copy


@pytest.fixture(scope="session")
def image(tree):
    """The image that buildDockerImages.sh builds from another directory, without earlier results."""
    done = command(os.path.join(tree, "buildDockerImages.sh"), "--no-cache", cwd="/", timeout=900)
    # Both images have the compilers in common. The second build takes this layer from the first.
    assert len(re.findall(r"^#(\d+) \[toolchain 2/2\] RUN .*\n#\1 CACHED$", done.stderr, re.MULTILINE)) == 1, done.stderr
    assert done.stdout.splitlines()[-1] == f"built {NAME}:{VERSION} and {NAME}:{VERSION}-dev"
    return f"{NAME}:{VERSION}"


@pytest.fixture(scope="session")
def stand_ins():
    docker("buildx", "build", "--load", "--tag", STAND_INS, "--build-arg", f"DEBIAN_RELEASE={RELEASE}",
           os.path.join(ROOT, "tests", "container", "stand-ins"), timeout=600)
    return STAND_INS


# --- a broker, a MOV, hosts ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def session_broker(stand_ins):
    docker("network", "create", "valawai-tests")
    container = Container(docker("run", "--detach", "--network", "valawai-tests", "--network-alias", "mov-mq", "--hostname",
                                 "mov-mq", "--env", "RABBITMQ_DEFAULT_USER=mov", "--env", "RABBITMQ_DEFAULT_PASS=password",
                                 stand_ins).strip())
    broker = ContainerBroker(container)
    try:
        wait_until(broker.answers, 60, "the broker answers", 0.1)
        yield broker
    finally:
        container.remove()
        docker("network", "rm", "valawai-tests", check=False)


@pytest.fixture
def client(session_broker):
    client = Client(session_broker)
    client.delete_all()
    client.delete(*(f"valawai/c1/greeter/{name}" for name in
                    ("data/received_message", "data/publish_message", "control/registered")))
    yield client
    client.close()


@pytest.fixture
def mov(session_broker, client):
    with MovStandIn(session_broker) as mov:
        yield mov
        assert not mov.violations and not mov.refused


@pytest.fixture
def run(image, session_broker, request):
    """run(OPTION..., image=..., arguments=...): a container beside the broker, which the image's defaults name."""
    containers = []

    def start(*options, image=image, arguments=()):
        # A check every second, to make the tests faster.
        containers.append(Container(docker("run", "--detach", "--network", "valawai-tests", "--health-interval", "1s",
                                           *options, image, *arguments).strip()))
        return containers[-1]

    yield start
    for container in containers:
        container.remove()


@pytest.fixture(scope="session")
def greeter(image, tmp_path_factory):
    """greeter.so, a plugin outside of the tree, built in the development image with find_package."""
    source = tmp_path_factory.mktemp("greeter")
    echo = os.path.join(ROOT, "plugins", "echo")
    for name, text in (("asyncapi.yaml", "c1/echo|c1_echo"), ("echo.c", "c1/echo")):
        with open(os.path.join(echo, name), encoding="utf-8") as file:
            content = file.read()
        for word in text.split("|"):
            content = content.replace(word, word.replace("echo", "greeter"))
        (source / name.replace("echo", "greeter")).write_text(content)
    (source / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(greeter LANGUAGES C)\nfind_package(ValawaiHost REQUIRED)\n"
        "valawai_add_plugin(greeter SOURCES greeter.c ASYNCAPI asyncapi.yaml)\n"
        "target_link_libraries(greeter PRIVATE json-c)\n")
    docker("run", "--rm", "--volume", f"{source}:/src", f"{image}-dev", "sh", "-ec", "cmake -G Ninja -B build && cmake --build build")
    return source / "build" / "greeter.so"


# --- compose ---------------------------------------------------------------------------------------------------------


class Project:
    """docker compose with the tree's file and the stand-in images."""

    def __init__(self, tag, variables):
        self.name = "valawai" + uuid.uuid4().hex[:8]
        self.variables = variables
        self.environment = {**os.environ, "COMPOSE_PROJECT_NAME": self.name, "COMPOSE_PROFILES": "mov", "PLUGIN_HOST_TAG": tag,
                            **variables}

    def __call__(self, *arguments, check=True, files=(), timeout=120):
        chosen = [os.path.join(ROOT, name) for name in ("docker-compose.yml", "tests/container/compose.stand-ins.yml", *files)]
        return command("docker", "compose", *(word for name in chosen for word in ("-f", name)), *arguments, check=check,
                       env=self.environment, cwd=ROOT, timeout=timeout)

    def containers(self, service):
        return [Container(identifier) for identifier in self("ps", "--all", "--quiet", service).stdout.split()]

    def broker(self):
        container, = self.containers("mq")
        return ContainerBroker(container, self.variables.get("MQ_USER", "mov"), self.variables.get("MQ_PASSWORD", "password"),
                               int(self.variables.get("MQ_PORT", 5672)))


@pytest.fixture
def project(image, stand_ins):
    """project(VARIABLE=value...): compose with these variables. All of it ends with the test."""
    made = []

    def make(**variables):
        made.append(Project(image.rpartition(":")[2], variables))
        return made[-1]

    yield make
    for project in made:
        print(project("logs", "--tail", "15", check=False).stdout)  # shown when the test fails
        project("down", "--volumes", "--timeout", "20", check=False)


@pytest.fixture
def compose(project):
    return project(MQ_PORT="5673", MQ_USER="someone", MQ_PASSWORD="something else", PLUGIN_HOST_READ_ONLY="true")

# SPDX-License-Identifier: GPL-3.0-or-later
"""docker-compose.yml as people use it, with its variables and its profile; then all of it at work, and what befalls it."""

import json
import os
import re
import time

import pytest

from broker import scaled, wait_until
from conftest import ROOT, command, docker
from host import Client, published, received

with open(os.path.join(ROOT, ".env.example"), encoding="utf-8") as file:
    EXAMPLE = {name: value.strip() for name, value in
               re.findall(r"^# ([A-Z_]+)=(.*?)(?:[ \t]+#.*)?$", file.read(), re.MULTILINE)}
with open(os.path.join(ROOT, "docker-compose.yml"), encoding="utf-8") as file:
    TEXT = file.read()

# Where each variable has to arrive: paths into the configuration, or a text that has to be in the value there.
WHERE = {
    "PLUGIN_HOST_TAG": [("plugin_host.image", "valawai/plugin_host:{}")],
    "LOG_LEVEL": [("plugin_host.environment.LOG_CONSOLE_LEVEL", "{}")],
    "MQ_HOST": [("plugin_host.environment.RABBITMQ_HOST", "{}"), ("mov.environment.RABBITMQ_HOST", "{}"),
                ("mq.networks.default.aliases.0", "{}")],
    "MQ_PORT": [("plugin_host.environment.RABBITMQ_PORT", "{}"), ("mov.environment.RABBITMQ_PORT", "{}"),
                ("mq.environment.RABBITMQ_NODE_PORT", "{}"), ("mq.ports.0.published", "{}"), ("mq.ports.0.target", "{}")],
    "MQ_USER": [("plugin_host.environment.RABBITMQ_USERNAME", "{}"), ("mov.environment.RABBITMQ_USERNAME", "{}"),
                ("mq.environment.RABBITMQ_DEFAULT_USER", "{}")],
    "MQ_PASSWORD": [("plugin_host.environment.RABBITMQ_PASSWORD", "{}"), ("mov.environment.RABBITMQ_PASSWORD", "{}"),
                    ("mq.environment.RABBITMQ_DEFAULT_PASS", "{}")],
    "BIND_ADDRESS": [("mq.ports.0.host_ip", "{}"), ("mq.ports.1.host_ip", "{}"), ("mongo.ports.0.host_ip", "{}"),
                     ("mov.ports.0.host_ip", "{}")],
    "RABBITMQ_TAG": [("mq.image", "rabbitmq:{}")],
    "MQ_UI_PORT": [("mq.ports.1.published", "{}")],
    "MONGODB_TAG": [("mongo.image", "mongo:{}")],
    "MONGO_PORT": [("mongo.ports.0.target", "{}"), ("mongo.command.2", "{}"),
                   ("mov.environment.QUARKUS_MONGODB_HOSTS", "mongo:{}"), ("mongo.healthcheck.test.6", "{}")],
    "MONGO_LOCAL_PORT": [("mongo.ports.0.published", "{}")],
    "MONGO_LOCAL_DATA": [("mongo.volumes.0.source", "{}")],
    "MONGO_ROOT_USER": [("mongo.environment.MONGO_INITDB_ROOT_USERNAME", "{}")],
    "MONGO_ROOT_PASSWORD": [("mongo.environment.MONGO_INITDB_ROOT_PASSWORD", "{}")],
    "MOV_TAG": [("mov.image", "valawai/mov:{}")],
    "MOV_UI_PORT": [("mov.ports.0.published", "{}"), ("mov.environment.MOV_URL", "http://localhost:{}")],
    "MOV_DB_NAME": [("mongo.environment.MOV_DB_NAME", "{}"), ("mov.environment.QUARKUS_MONGODB_DATABASE", "{}")],
    "MOV_DB_USER_NAME": [("mongo.environment.MOV_DB_USER_NAME", "{}"),
                         ("mov.environment.QUARKUS_MONGODB_CREDENTIALS_USERNAME", "{}")],
    "MOV_DB_USER_PASSWORD": [("mongo.environment.MOV_DB_USER_PASSWORD", "{}"),
                             ("mov.environment.QUARKUS_MONGODB_CREDENTIALS_PASSWORD", "{}")],
}


def config(tmp_path, variables, files=()):
    """What compose makes of the file and a .env with these variables."""
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    environment = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST", "DOCKER_CONFIG")}
    chosen = [word for name in ("docker-compose.yml", *files) for word in ("-f", os.path.join(ROOT, name))]
    return json.loads(command("docker", "compose", "--env-file", tmp_path / ".env", *chosen, "config", "--format", "json",
                              env=environment).stdout)


def at(configuration, path):
    node = configuration["services"]
    for name in path.split("."):
        node = node[int(name)] if isinstance(node, list) else node[name]
    return str(node)


# --- the file ---------------------------------------------------------------------------------------------------------


def test_without_the_profile_only_the_component(tmp_path):
    assert list(config(tmp_path, {"MQ_HOST": "broker.example.org"})["services"]) == ["plugin_host"]


def test_with_the_profile_all_of_it(tmp_path):
    services = config(tmp_path, {"COMPOSE_PROFILES": "mov"})["services"]
    assert sorted(services) == ["mongo", "mov", "mq", "plugin_host"]
    component = services["plugin_host"]
    assert component["read_only"] and component["cap_drop"] == ["ALL"]
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "container_name" not in service, name  # that would forbid --scale
        assert service["healthcheck"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
    assert all(not needed["required"] for needed in component["depends_on"].values())
    assert {name: needed["condition"] for name, needed in services["mov"]["depends_on"].items()} == {
        "mq": "service_healthy", "mongo": "service_healthy"}
    assert [services["mov"]["ports"][0]["published"], services["mq"]["ports"][1]["published"]] == ["8081", "8082"]


def test_the_example_has_every_variable():
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT))
    assert {name: value for name, value in EXAMPLE.items() if name != "COMPOSE_PROFILES"} == used
    assert set(WHERE) == set(used)


@pytest.mark.parametrize("name", sorted(WHERE))
def test_variable(tmp_path, name):
    value = {"BIND_ADDRESS": "0.0.0.0", "MONGO_LOCAL_DATA": "/srv/mongo"}.get(name) or (
        "1234" if name.endswith("_PORT") else "another")
    before = config(tmp_path, {"COMPOSE_PROFILES": "mov"})
    after = config(tmp_path, {"COMPOSE_PROFILES": "mov", name: value})
    for path, form in WHERE[name]:
        assert at(before, path) == form.format(EXAMPLE[name]), path
        assert at(after, path) == form.format(value), path


def test_every_variable_at_once(tmp_path):
    values = {name: str(2000 + i) if name.endswith("_PORT") else f"v{i}" for i, name in enumerate(sorted(WHERE))}
    values |= {"BIND_ADDRESS": "0.0.0.0", "MONGO_LOCAL_DATA": "/srv/mongo"}
    configuration = config(tmp_path, {"COMPOSE_PROFILES": "mov", **values})
    for name, places in WHERE.items():
        for path, form in places:
            assert at(configuration, path) == form.format(values[name]), path


def test_secret_from_a_file(tmp_path):
    configuration = config(tmp_path, {"MQ_PASSWORD_FILE": "/somewhere/password"}, ("docker/main/compose.secrets.yml",))
    environment = configuration["services"]["plugin_host"]["environment"]
    assert environment["RABBITMQ_PASSWORD_FILE"] == "/run/secrets/mq_password" and "RABBITMQ_PASSWORD" not in environment
    assert configuration["secrets"]["mq_password"]["file"] == "/somewhere/password"


# --- at work ----------------------------------------------------------------------------------------------------------


def texts(client, topic, count, timeout=60):
    return [json.loads(body)["content"] for body in client.collect(topic, count, timeout)]


def test_from_up_to_down(compose):
    began = time.monotonic()
    compose("up", "--detach", "--wait", "--no-build")
    seconds = time.monotonic() - began
    print(f"healthy after {seconds:.1f} s")
    assert seconds <= scaled(15)
    component, = compose.containers("plugin_host")
    assert component.health() == "healthy"
    assert component.inspect()["HostConfig"]["ReadonlyRootfs"]

    client = Client(compose.broker())
    client.declare(published())
    client.publish(received(), {"content": "through the containers"})
    assert texts(client, published(), 1) == ["through the containers"]
    client.close()

    began = component.state()["StartedAt"]
    # The broker goes: within the time of the checks the component is unhealthy; it comes back: healthy by itself.
    first = component.component_id()
    compose("stop", "mq")
    component.wait_health("unhealthy", 20)
    compose("start", "mq")
    component.wait_health("healthy", 60)
    client = Client(compose.broker())
    client.publish(received(), {"content": "and again"})
    assert texts(client, published(), 1) == ["and again"]
    client.close()
    assert component.state()["StartedAt"] == began, "it came back by a restart, and not by itself"

    identifier = component.component_id()
    began = time.monotonic()
    compose("stop", "plugin_host")
    seconds = time.monotonic() - began
    print(f"stopped after {seconds:.1f} s; ids {first} {identifier}")
    assert seconds <= 3 and component.state()["ExitCode"] == 0
    mov, = compose.containers("mov")
    wait_until(lambda: f"unregistered c1_echo {identifier}" in mov.logs(), 5, "the MOV stand-in hears it")


def test_three_replicas_lose_nothing(compose):
    compose("up", "--detach", "--wait", "--no-build", "--scale", "plugin_host=3")
    replicas = compose.containers("plugin_host")
    assert [replica.health() for replica in replicas] == ["healthy"] * 3
    assert len({replica.component_id() for replica in replicas}) == 3
    client = Client(compose.broker())
    client.declare(published())
    expected = [f"message {i}" for i in range(10000)]
    client.publish_many(received(), [{"content": text} for text in expected])
    assert sorted(texts(client, published(), len(expected))) == sorted(expected)
    assert client.depth(received()) == client.depth(published()) == 0
    worked = [replica.execute("grep", "-c", "Sent Echoed message", "/app/logs/log_messages.txt", check=False) for replica in replicas]
    assert all(int(count) > 0 for count in worked), worked  # in the newest log file of each
    assert all(replica.inspect()["RestartCount"] == 0 for replica in replicas)
    client.close()
    compose("stop", "plugin_host")
    assert [replica.state()["ExitCode"] for replica in replicas] == [0] * 3

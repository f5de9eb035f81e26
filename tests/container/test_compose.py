# SPDX-License-Identifier: GPL-3.0-or-later
"""docker-compose.yml with its variables and its profile, then its services at work and when they fail."""

import json
import os
import re
import shutil
import time

import pytest

from broker import scaled, wait_until
from conftest import ROOT, Container, command, docker
from host import Client, published, received

with open(os.path.join(ROOT, ".env.example"), encoding="utf-8") as file:
    EXAMPLE = {name: value.strip() for name, value in
               re.findall(r"^# ([A-Z_]+)=(.*?)(?:[ \t]+#.*)?$", file.read(), re.MULTILINE)}
PLUGINS_FILE = os.path.join("docker", "main", "compose.plugins.yml")
TEXT = ""
for name in ("docker-compose.yml", PLUGINS_FILE):
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        TEXT += file.read()

# The variables of the image that compose hands on: the thirteen of VALAWAI's contract, the password's file and TLS.
HANDED_ON = ["RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USERNAME", "RABBITMQ_PASSWORD", "RABBITMQ_MAX_RETRIES",
             "RABBITMQ_RETRY_SLEEP", "LOG_DIR", "LOG_CONSOLE_LEVEL", "LOG_FILE_LEVEL", "LOG_FILE_MAX_BYTES",
             "LOG_FILE_BACKUP_COUNT", "LOG_FILE_NAME", "COMPONET_ID_FILE_NAME", "RABBITMQ_PASSWORD_FILE", "RABBITMQ_TLS",
             "RABBITMQ_TLS_CA", "RABBITMQ_TLS_CERTIFICATE", "RABBITMQ_TLS_KEY"]

# Each common name of VALAWAI's compose files, and the variable of the image that overrides it.
OVERRIDES = {"MQ_HOST": "RABBITMQ_HOST", "MQ_PORT": "RABBITMQ_PORT", "MQ_USER": "RABBITMQ_USERNAME",
             "MQ_PASSWORD": "RABBITMQ_PASSWORD", "LOG_LEVEL": "LOG_CONSOLE_LEVEL"}

# Where each variable arrives: the path in the configuration, and the form of the value there.
WHERE = {
    "PLUGIN_HOST_TAG": [("plugin_host.image", "valawai/plugin_host:{}")],
    "PLUGIN_HOST_RESTART": [("plugin_host.restart", "{}")],
    "LOG_LEVEL": [("plugin_host.environment.LOG_CONSOLE_LEVEL", "{}")],
    "MQ_HOST": [("plugin_host.environment.RABBITMQ_HOST", "{}"), ("mov.environment.RABBITMQ_HOST", "{}"),
                ("mq.networks.default.aliases.1", "{}")],
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
for name in HANDED_ON:
    WHERE[name] = [(f"plugin_host.environment.{name}", "{}")]
for name, over in OVERRIDES.items():
    WHERE[over] = WHERE[name]


def config(tmp_path, variables, files=()):
    """The result of compose for the file and a .env with these variables."""
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
    assert component["cap_drop"] == ["ALL"]
    for name, service in services.items():
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "container_name" not in service, name  # it would prevent --scale
        assert service["healthcheck"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
    assert all(not needed["required"] for needed in component["depends_on"].values())
    assert {name: needed["condition"] for name, needed in services["mov"]["depends_on"].items()} == {
        "mq": "service_healthy", "mongo": "service_healthy"}
    assert [services["mov"]["ports"][0]["published"], services["mq"]["ports"][1]["published"]] == ["8081", "8082"]


def test_the_example_has_every_variable():
    used = {}
    for outer, inner, value in re.findall(r"\$\{([A-Z_]+):-(?:\$\{([A-Z_]+):-)?([^${}]*)\}", TEXT):
        for name in filter(None, (outer, inner)):
            used[name] = used.get(name) or value
    assert {name: value for name, value in EXAMPLE.items() if name != "COMPOSE_PROFILES"} == used
    assert set(WHERE) == set(used) - {"PLUGIN_HOST_READ_ONLY", "PLUGINS_USER"}


def value_for(name, number):
    return {"BIND_ADDRESS": "0.0.0.0", "MONGO_LOCAL_DATA": "/srv/mongo", "PLUGIN_HOST_RESTART": "on-failure"}.get(name) or (
        str(2000 + number) if name.endswith("_PORT") else f"v{number}")


@pytest.mark.parametrize("name", sorted(WHERE))
def test_variable(tmp_path, name):
    value = value_for(name, 7)
    before = config(tmp_path, {"COMPOSE_PROFILES": "mov"})
    after = config(tmp_path, {"COMPOSE_PROFILES": "mov", name: value})
    for path, form in WHERE[name]:
        assert at(before, path) == form.format(EXAMPLE[name]), path
        assert at(after, path) == form.format(value), path


def test_every_variable_at_once(tmp_path):
    """The names of the image override the common ones."""
    values = {name: value_for(name, i) for i, name in enumerate(sorted(WHERE))}
    configuration = config(tmp_path, {"COMPOSE_PROFILES": "mov", **values})
    for name, places in WHERE.items():
        for path, form in places:
            assert at(configuration, path) == form.format(values[OVERRIDES.get(name, name)]), path


def test_the_default_name_of_the_image_is_a_name_of_the_broker(tmp_path):
    for host, names in (("mq", ["mov-mq", "mq"]), ("mov-mq", ["mov-mq"]), ("other", ["mov-mq", "other"])):
        configuration = config(tmp_path, {"COMPOSE_PROFILES": "mov", "RABBITMQ_HOST": host})
        assert configuration["services"]["mq"]["networks"]["default"]["aliases"] == names


def test_read_only(tmp_path):
    assert "read_only" not in config(tmp_path, {})["services"]["plugin_host"]
    assert config(tmp_path, {"PLUGIN_HOST_READ_ONLY": "true"})["services"]["plugin_host"]["read_only"]


def test_a_directory_of_plugins(tmp_path):
    configuration = config(tmp_path, {"PLUGINS_DIR": "/srv/plugins"}, (PLUGINS_FILE,))
    component = configuration["services"]["plugin_host"]
    (mount,) = (volume for volume in component["volumes"] if volume["target"] == "/app/plugins")
    assert (mount["type"], mount["source"], mount["read_only"]) == ("bind", "/srv/plugins", True)
    assert component["user"] == "10001:10001"
    configuration = config(tmp_path, {"PLUGINS_DIR": "/srv/plugins", "PLUGINS_USER": "1000:1000"}, (PLUGINS_FILE,))
    assert configuration["services"]["plugin_host"]["user"] == "1000:1000"


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
    # Without the broker, the component becomes unhealthy. With the broker again, it becomes healthy by itself.
    first = component.component_id()
    compose("stop", "mq")
    component.wait_health("unhealthy", 20)
    compose("start", "mq")
    component.wait_health("healthy", 60)
    client = Client(compose.broker())
    client.publish(received(), {"content": "and again"})
    assert texts(client, published(), 1) == ["and again"]
    client.close()
    assert component.state()["StartedAt"] == began, "a restart, and not the host itself, brought it back"

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


# --- its variables at work --------------------------------------------------------------------------------------------


def test_a_level_in_lower_case(project):
    compose = project(LOG_LEVEL="info")
    compose("up", "--detach", "--wait", "--no-build")
    component, = compose.containers("plugin_host")
    assert "[INFO]" in component.logs() and component.inspect()["RestartCount"] == 0


@pytest.mark.parametrize("written, value, message", [
    ("LOG_LEVEL", "loud", 'LOG_LEVEL: "loud" is not a level'), ("LOG_CONSOLE_LEVEL", "loud", 'LOG_CONSOLE_LEVEL: "loud" is not a level'),
    ("MQ_HOST", "mq:amqp", 'MQ_HOST: the port in "mq:amqp" is not a whole number'), ("RABBITMQ_RETRY_SLEEP", "soon", 'RABBITMQ_RETRY_SLEEP: "soon"'),
])
def test_a_wrong_value_is_reported_by_the_name_that_the_user_wrote(project, written, value, message):
    compose = project(PLUGIN_HOST_RESTART="no", COMPOSE_PROFILES="", **{written: value})
    compose("up", "--detach", "--no-build")
    component, = compose.containers("plugin_host")
    assert docker("wait", component.id).strip() == "1"
    assert f"valawai-host: {message}" in component.logs()


def test_without_the_restart_the_number_of_attempts_is_final(project):
    compose = project(PLUGIN_HOST_RESTART="no", COMPOSE_PROFILES="", RABBITMQ_HOST="127.0.0.1", RABBITMQ_MAX_RETRIES="2",
                      RABBITMQ_RETRY_SLEEP="1")
    compose("up", "--detach", "--no-build")
    component, = compose.containers("plugin_host")
    assert docker("wait", component.id).strip() == "1"
    assert component.inspect()["RestartCount"] == 0


def test_host_docker_internal_is_one_place_for_the_component_and_the_mov(project):
    """The port of the broker, on this machine."""
    compose = project(RABBITMQ_HOST="host.docker.internal", BIND_ADDRESS="0.0.0.0", MQ_PORT="5674")
    compose("up", "--detach", "--wait", "--no-build")
    component, = compose.containers("plugin_host")
    mov, = compose.containers("mov")
    assert "connected to the broker at host.docker.internal:5674" in component.logs()
    resolve = ("getent", "hosts", "host.docker.internal")
    assert component.execute(*resolve) == mov.execute(*resolve)


def test_the_image_without_a_variable_reaches_the_broker(project, image):
    compose = project()
    compose("up", "--detach", "--wait", "--no-build", "mov")
    container = Container(docker("run", "--detach", "--network", f"{compose.name}_default", "--health-interval", "1s", image).strip())
    try:
        container.wait_health("healthy")
    finally:
        container.remove()


def test_plugins_of_a_directory(project, greeter, tmp_path):
    """The files belong to a user other than root, in a directory on this machine."""
    shutil.copy(greeter, tmp_path)
    os.chown(tmp_path / "greeter.so", 1000, 1000)
    tmp_path.chmod(0o755)
    compose = project(PLUGINS_DIR=str(tmp_path), PLUGINS_USER="1000:1000")
    compose("up", "--detach", "--wait", "--no-build", files=(PLUGINS_FILE,))
    component, = compose.containers("plugin_host")
    assert re.search(r"loaded \S*/greeter\.so: component c1_greeter", component.logs())


def test_the_check_of_the_broker_asks_the_broker(project):
    """A broker that hangs keeps its port open."""
    compose = project()
    compose("up", "--detach", "--wait", "--no-build", "mq")
    broker, = compose.containers("mq")
    kind, check = broker.inspect()["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD-SHELL"

    def asks():
        broker.execute("touch", "-d", "-2 minutes", "/tmp/mq_answered")
        return command("docker", "exec", broker.id, "timeout", str(scaled(20)), "sh", "-c", check, check=False).returncode == 0

    assert asks()
    docker("kill", "--signal", "STOP", broker.id)  # the broker is the first process there, which ignores it from inside
    assert broker.execute("sh", "-c", 'grep -q ":1628 [0-9A-F:]* 0A" /proc/net/tcp /proc/net/tcp6 && echo open') == "open"
    assert not asks()
    docker("kill", "--signal", "CONT", broker.id)
    assert asks()

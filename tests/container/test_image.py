# SPDX-License-Identifier: GPL-3.0-or-later
"""The image alone: contents, required rights, health, stop, and extension."""

import json
import os
import shutil
import uuid

import pytest

from conftest import BASE, NAME, ROOT, VERSION, command, docker
from host import published, received

# The minimum: it writes only to the logs, has no capabilities and cannot gain rights.
LEAST = ("--read-only", "--tmpfs", "/app/logs", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")

DEFAULTS = {
    "RABBITMQ_HOST": "mov-mq", "RABBITMQ_PORT": "5672", "RABBITMQ_USERNAME": "mov", "RABBITMQ_PASSWORD": "password",
    "RABBITMQ_MAX_RETRIES": "100", "RABBITMQ_RETRY_SLEEP": "3", "LOG_DIR": "logs", "LOG_CONSOLE_LEVEL": "INFO",
    "LOG_FILE_LEVEL": "DEBUG", "LOG_FILE_MAX_BYTES": "1000000", "LOG_FILE_BACKUP_COUNT": "5",
    "LOG_FILE_NAME": "log_messages.txt", "COMPONET_ID_FILE_NAME": "component_id.json",
}


def echoes(client, text, component="echo"):
    client.declare(received(component), published(component))
    client.publish(received(component), {"content": text})
    assert client.collect(published(component), 1) == [json.dumps({"content": text}).encode()]


def shell(image, script, *options):
    return docker("run", "--rm", "--entrypoint", "/bin/sh", *options, image, "-ec", script)


# --- its content ----------------------------------------------------------------------------------------------------


def test_its_configuration(image):
    inspected = json.loads(docker("image", "inspect", image))[0]
    config = inspected["Config"]
    assert {name: value for name, _, value in (entry.partition("=") for entry in config["Env"])
            if name != "PATH"} == DEFAULTS | {"HTTP_LISTEN": "[::]:8080"}
    assert config["WorkingDir"] == "/app"
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/usr/bin/valawai-host"] and not config.get("Cmd")  # a signal reaches the host without a shell between
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == VERSION
    assert labels["org.opencontainers.image.licenses"] == "GPL-3.0-or-later"
    for name in ("title", "description", "url", "revision"):
        assert labels["org.opencontainers.image." + name]
    assert docker("run", "--rm", image, "--version") == f"valawai-host {VERSION}\n"


def test_its_files(image):
    assert shell(image, "cd /app && ls -1 && ls -1 plugins && stat -c %A . logs /data plugins").split() == [
        "logs", "plugins", "plugins.conf", "echo.so", "drwxrwxrwt", "drwxrwxrwt", "drwxrwxrwt", "drwxr-xr-x"]
    with open(os.path.join(ROOT, "plugins.conf"), encoding="utf-8") as file:
        assert shell(image, "cat /app/plugins.conf") == file.read()
    assert shell(image, "for f in /usr/bin/valawai-host /app/plugins/echo.so; do ldd $f; done | grep 'not found' || true") == ""
    # Only what it needs to run: no compiler, no headers, no package lists.
    assert shell(image, "ls -d /usr/bin/*gcc* /usr/bin/cmake /usr/include/* /var/lib/apt/lists/* 2>/dev/null || true") == ""


def test_nothing_in_it_gives_more_rights(image):
    assert shell(image, "find / -xdev -type f -perm /6000", "--user", "0") == ""
    # Its base has some, so the search finds them.
    assert "/su\n" in shell(BASE, "find / -xdev -type f -perm /6000")


def test_its_size(image):
    sizes = {name: json.loads(docker("image", "inspect", name))[0]["Size"] for name in (image, BASE)}
    above = (sizes[image] - sizes[BASE]) / 1e6
    print(f"{above:.1f} MB above its base")
    assert above <= 25


# --- how it runs ------------------------------------------------------------------------------------------------------


def test_runs_with_the_least(run, mov, client):
    container = run(*LEAST).wait_health("healthy")
    status = dict(line.split(":\t", 1) for line in container.execute("cat", "/proc/1/status").splitlines() if ":\t" in line)
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"10001"}
    assert [status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")] == ["0" * 16] * 5
    assert status["NoNewPrivs"] == "1"
    assert status["Name"] == "valawai-host"
    assert "Read-only file system" in command("docker", "exec", container.id, "touch", "/app/x", check=False).stderr
    echoes(client, "with the least")
    assert [component["id"] for component in mov.active("c1_echo")] == [container.component_id()]


def test_runs_as_any_user(run, mov):
    container = run(*LEAST, "--user", "54321").wait_health("healthy")
    assert container.execute("id", "-u") == "54321"


@pytest.mark.parametrize("settings, path", [
    ({"LOG_DIR": "/tmp/elsewhere"}, "/tmp/elsewhere/component_id.json"),
    ({"COMPONET_ID_FILE_NAME": "id with blanks.json"}, "/app/logs/id with blanks.json"),
    ({"LOG_DIR": "/tmp/x y", "COMPONET_ID_FILE_NAME": "/tmp/id.json"}, "/tmp/id.json"),
    ({"LOG_DIR": "", "COMPONET_ID_FILE_NAME": ""}, "/app/logs/component_id.json"),
    ({"LOG_DIR": "logs/deeper"}, "/app/logs/deeper/component_id.json"),
    ({"LOG_DIR": "mylogs"}, "/app/mylogs/component_id.json"),
], ids=("directory", "name", "absolute", "empty", "deeper", "relative"))
def test_health_check_honours_the_settings(run, mov, settings, path):
    container = run(*(word for name, value in settings.items() for word in ("--env", f"{name}={value}")))
    container.wait_health("healthy")
    assert container.component_id(path) in mov.registered
    container.execute("truncate", "--size", "0", path)  # empty is not healthy
    container.wait_health("unhealthy")


@pytest.mark.parametrize("user", ["10001", "54321"])
def test_logs_in_a_volume(run, mov, client, user):
    """A new volume, at a directory of the image for it."""
    name = "valawai-" + uuid.uuid4().hex[:8]
    try:
        container = run("--read-only", "--user", user, "--env", "LOG_DIR=/data", "--volume", f"{name}:/data").wait_health("healthy")
        assert container.component_id("/data/component_id.json") in mov.registered
        container.remove()
    finally:
        docker("volume", "rm", "--force", name, check=False)


def test_a_log_directory_that_cannot_be_written_is_reported_with_its_remedy(run, mov, client):
    container = run("--env", "LOG_DIR=/nowhere/logs", "--health-start-period", "1s")
    container.wait_health("unhealthy")
    errors = [line for line in container.logs().splitlines() if "[ERROR]" in line and "log directory" in line]
    assert len(errors) == 1, container.logs()
    for words in ("LOG_DIR", "user 10001", "/nowhere/logs", "Permission denied", "a volume", "no log file and no health file"):
        assert words in errors[0]
    assert mov.active("c1_echo")  # it works anyway


@pytest.mark.parametrize("level, shown", [("info", True), ("WARN", False)])
def test_levels_as_people_write_them(run, mov, client, level, shown):
    container = run("--env", f"LOG_CONSOLE_LEVEL={level}").wait_health("healthy")
    assert ("[INFO]" in container.logs()) == shown


def test_unhealthy_without_a_mov(run, client):
    container = run("--health-start-period", "1s")
    container.wait_health("unhealthy")
    assert "consuming 1 topic" in container.logs()


def test_stop_unregisters(run, mov, client):
    container = run(*LEAST).wait_health("healthy")
    identifier = container.component_id()
    seconds, status = container.stop()
    assert status == 0 and seconds <= 3, f"exit {status} after {seconds:.1f} s"
    mov.wait_for(lambda mov: identifier in mov.unregistered, 3)


def test_an_interrupt_at_the_terminal_stops_too(run, mov):
    container = run().wait_health("healthy")
    docker("kill", "--signal", "INT", container.id)
    assert docker("wait", container.id).strip() == "0"


def test_the_next_run_unregisters_what_a_killed_one_left(run, mov):
    first = run("--volume", "/app/logs").wait_health("healthy")
    ghost = first.component_id()
    docker("kill", "--signal", "KILL", first.id)
    docker("start", first.id)
    first.wait_health("healthy")
    assert first.component_id() != ghost
    mov.wait_for(lambda mov: mov.unregistered == [ghost], 3)


def test_password_from_a_file(run, mov, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("password\n")
    secret.chmod(0o444)
    tmp_path.chmod(0o755)
    run(*LEAST, "--env", "RABBITMQ_PASSWORD=wrong", "--env", "RABBITMQ_PASSWORD_FILE=/run/secrets/mq", "--volume",
        f"{secret}:/run/secrets/mq:ro").wait_health("healthy")


# --- how it is extended -----------------------------------------------------------------------------------------------


def test_an_image_of_three_lines(run, mov, client, greeter, image, tmp_path):
    shutil.copy(greeter, tmp_path)
    (tmp_path / "Dockerfile").write_text(f"FROM {NAME}:{VERSION}\nCOPY greeter.so /app/plugins/\n")
    docker("buildx", "build", "--load", "--tag", "valawai/greeter", tmp_path)
    docker("run", "--rm", "valawai/greeter", "check", "plugins/greeter.so")
    container = run(*LEAST, image="valawai/greeter").wait_health("healthy")
    echoes(client, "of three lines", "greeter")
    echoes(client, "beside it", "echo")
    assert {component["name"] for component in mov.active()} == {"c1_echo", "c1_greeter"}
    assert container.stop()[1] == 0


def test_a_new_component(run, mov, client, image, tmp_path):
    """`valawai-host new` in the development image, and the Dockerfile that it writes."""
    docker("tag", image, f"{NAME}:latest")
    docker("tag", f"{image}-dev", f"{NAME}:dev")
    docker("run", "--rm", "--volume", f"{tmp_path}:/src", f"{NAME}:dev", "valawai-host", "new", "--dir", "/src/it", "c1_newcomer")
    docker("buildx", "build", "--load", "--tag", "valawai/c1_newcomer", tmp_path / "it")
    container = run(*LEAST, image="valawai/c1_newcomer").wait_health("healthy")
    assert [component["name"] for component in mov.active()] == ["c1_newcomer"]
    assert container.stop()[1] == 0
    client.delete(*(f"valawai/c1/newcomer/{name}" for name in ("data/received_message", "control/registered")))


def test_a_plugin_dropped_into_a_mounted_directory(run, mov, client, greeter, tmp_path):
    shutil.copy(greeter, tmp_path)
    tmp_path.chmod(0o755)
    run(*LEAST, "--volume", f"{tmp_path}:/app/plugins:ro").wait_health("healthy")
    echoes(client, "dropped in", "greeter")
    assert [component["name"] for component in mov.active()] == ["c1_greeter"]


def test_a_plugin_of_the_one_who_runs_it(run, mov, client, greeter, tmp_path):
    """A developer without root: own file, own user."""
    shutil.copy(greeter, tmp_path)
    os.chown(tmp_path / "greeter.so", 1000, 1000)
    tmp_path.chmod(0o755)
    run(*LEAST, "--user", "1000:1000", "--volume", f"{tmp_path}:/app/plugins:ro").wait_health("healthy")
    echoes(client, "my own", "greeter")


# --- the packages -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def packages(tree, image, tmp_path_factory):
    into = tmp_path_factory.mktemp("packages")
    docker("buildx", "build", "--file", os.path.join(tree, "docker", "main", "Dockerfile"), "--target", "packages", "--output", into,
           tree, timeout=900)
    into.chmod(0o755)
    return into


def test_the_packages_on_a_bare_debian(packages, run, mov, client):
    container = run("--volume", f"{packages}:/packages:ro", "--tty", image=BASE)
    names = sorted(os.listdir(packages))
    architecture = container.execute("dpkg", "--print-architecture")
    assert names == [f"valawai-host-dev_{VERSION}_{architecture}.deb", f"valawai-host_{VERSION}_{architecture}.deb"]
    container.execute("sh", "-ec", "apt-get update -q && apt-get install -q -y --no-install-recommends /packages/*.deb")
    assert container.execute("valawai-host", "--version") == f"valawai-host {VERSION}"
    container.execute("sh", "-ec", "test -s /usr/include/valawai/plugin.h && cd /usr/lib/*-linux-gnu && test -s pkgconfig/valawai-host.pc"
                      " && test -s cmake/ValawaiHost/ValawaiHostConfig.cmake")

    # As the unit runs it.
    docker("exec", "--detach", "--env", "LOG_DIR=/var/log/valawai-host/echo", container.id, "valawai-host", "--config",
           "/etc/valawai-host/echo.conf")
    mov.wait_for(lambda mov: mov.active("c1_echo"), 10, "the packaged host registers")
    echoes(client, "from a package")
    container.execute("sh", "-c", "kill $(cat /proc/[0-9]*/stat | sed -n 's/ (valawai-host) .*//p')")
    mov.wait_for(lambda mov: not mov.active("c1_echo"), 10, "the packaged host unregisters")

    # Where systemd runs (a stand-in for it, that fails): an upgrade waits for no host, and the package is whole all the same.
    container.execute("sh", "-ec", "mkdir -p /run/systemd/system && printf '#!/bin/sh\\necho \"$@\" >>/told\\nexit 1\\n'"
                      " >/usr/bin/systemctl && chmod +x /usr/bin/systemctl && dpkg --install /packages/valawai-host_*.deb")
    container.execute("apt-get", "remove", "-q", "-y", "valawai-host", "valawai-host-dev")
    told = container.execute("cat", "/told").splitlines()
    assert "--no-block try-restart valawai-host@*.service" in told and "stop valawai-host@*.service" in told
    left = container.execute("sh", "-c", "find / -xdev -path '*valawai*' -not -path '/proc/*' -not -path '/var/lib/dpkg/*'"
                             " -not -path '/packages*' | sort")
    assert left.split() == ["/etc/valawai-host", "/etc/valawai-host/echo.conf", "/var/log/valawai-host",
                            "/var/log/valawai-host/echo", "/var/log/valawai-host/echo/log_messages.txt"]  # until the purge
    container.execute("dpkg", "--purge", "valawai-host")
    assert container.execute("sh", "-c", "ls -d /etc/valawai-host /var/log/valawai-host 2>/dev/null || true") == ""


def test_the_unit_as_systemd_reads_it(packages, stand_ins):
    unit = "/lib/systemd/system/valawai-host@echo.service"
    words = shell(stand_ins, f"dpkg -x /packages/valawai-host_*.deb / && systemd-analyze verify {unit} 2>&1 &&"
                  f" echo verified && systemd-analyze --offline=true --threshold=15 security {unit.replace('echo', '')}",
                  "--user", "0", "--volume", f"{packages}:/packages:ro")
    assert words.splitlines()[0] == "verified", words
    print(words.splitlines()[-1])  # 1.5 of 10, where 10 is a service that may do anything

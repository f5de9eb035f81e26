# SPDX-License-Identifier: GPL-3.0-or-later
"""Defaults, plugins.conf and environment: which value counts, and what a bad value causes."""

import os

import pytest

from broker import free_port
from host import ECHO, one_line, published, received

SECRET = "correct-horse-battery-staple"


def conf(node, **sections):
    """A plugins.conf that names the broker and more; each section is the text inside its braces."""
    sections["broker"] = (f'host = "{node.host}"  port = {node.port}  username = "{node.username}"'
                          f'  password = "{node.password}"  {sections.get("broker", "")}')
    return "".join(f"{name} {{ {text} }}\n" for name, text in sections.items())


# --- which value counts -----------------------------------------------------------------------------------------------


def test_defaults(new_host, broker, mov, client):
    host = new_host(broker).start()
    host.wait_healthy()
    assert {"component_id.json", "log_messages.txt"} <= set(os.listdir(host.path("logs")))
    assert any(record.level == "INFO" for record in host.console_records())
    assert not any(record.level == "DEBUG" for record in host.console_records())


def test_everything_from_the_file(new_host, broker, mov, client):
    host = new_host(conf=conf(
        broker,
        broker="max_retries = 3  retry_sleep = 1  heartbeat = 5  prefetch = 10",
        log='directory = "var"  console_level = "ERROR"  file_level = "INFO"  file_max_bytes = 5000  file_backup_count = 2'
            '  file_name = "host.log"',
        health='file_name = "id.json"', host="grace_seconds = 2  message_max_bytes = 100000")).start()
    host.wait(lambda: host.health("var/id.json"), what="the health file")
    assert {"host.log", "id.json"} <= set(os.listdir(host.path("var")))
    assert not os.path.exists(host.path("logs"))
    assert host.console == ""
    assert {record.level for record in host.records("var/host.log")} == {"INFO"}


def test_a_byte_order_mark_is_no_part_of_a_file(new_host, broker, mov, client):
    host = new_host(conf=conf(broker))
    for name, text in (("plugins.conf", host.read("plugins.conf")), ("secret", broker.password + "\n")):
        host.write(name, "\ufeff" + text)
    host.env["RABBITMQ_PASSWORD_FILE"] = "secret"
    host.start().wait_healthy()


def test_environment_overrides_file(new_host, broker, mov, client):
    host = new_host(broker, conf=f"""
            broker {{ host = "192.0.2.1"  port = {free_port()}  username = "nobody"  password = "{SECRET}"
                      max_retries = 1  retry_sleep = 0 }}
            log {{ directory = "wrong"  console_level = "DEBUG"  file_level = "ERROR"  file_name = "wrong.txt"
                   file_max_bytes = 0  file_backup_count = 0 }}
            health {{ file_name = "wrong.json" }}
            """, env={"LOG_DIR": "right/logs", "LOG_CONSOLE_LEVEL": "CRITICAL", "LOG_FILE_LEVEL": "DEBUG",
                      "LOG_FILE_NAME": "right.txt", "COMPONET_ID_FILE_NAME": "right.json"}).start()
    host.wait(lambda: host.health("right/logs/right.json"), what="the health file")
    assert host.console == ""
    assert "INFO" in {record.level for record in host.records("right/logs/right.txt")}
    assert not os.path.exists(host.path("wrong"))


def test_an_empty_variable_counts_as_not_set(new_host, broker, mov, client):
    host = new_host(conf=conf(broker), env=dict.fromkeys((
        "RABBITMQ_HOST", "RABBITMQ_PORT", "RABBITMQ_USERNAME", "RABBITMQ_PASSWORD", "RABBITMQ_PASSWORD_FILE",
        "RABBITMQ_MAX_RETRIES", "RABBITMQ_RETRY_SLEEP", "LOG_DIR", "LOG_CONSOLE_LEVEL", "LOG_FILE_LEVEL",
        "LOG_FILE_MAX_BYTES", "LOG_FILE_BACKUP_COUNT", "LOG_FILE_NAME", "COMPONET_ID_FILE_NAME"), "")).start()
    host.wait_healthy()


def test_log_directory_is_made_with_its_parents(new_host, broker, mov, client):
    host = new_host(broker, env={"LOG_DIR": "a/b/c"}).start()
    host.wait(lambda: host.health("a/b/c/component_id.json"), what="the health file")


def test_absolute_log_directory(new_host, broker, mov, client, tmp_path):
    host = new_host(broker, env={"LOG_DIR": str(tmp_path / "logs")}).start()
    host.wait(lambda: (tmp_path / "logs" / "component_id.json").exists(), what="the health file")


@pytest.mark.parametrize("level, shown", [("DEBUG", True), ("INFO", True), ("info", True), ("warn", False), ("WARNING", False), ("ERROR", False),
                                          ("FATAL", False), ("CRITICAL", False)])
def test_levels(new_host, broker, mov, client, level, shown):
    host = new_host(broker, env={"LOG_CONSOLE_LEVEL": level, "LOG_FILE_LEVEL": level}).start()
    host.wait_healthy()
    assert host.stop() == 0
    assert any(record.level == "INFO" for record in host.console_records()) == shown
    assert any(record.level == "INFO" for record in host.records()) == shown


# --- bad values: one line names the variable and the value ---------------------------------------------------------------


@pytest.mark.parametrize("variable, value", [
    ("RABBITMQ_PORT", "0"), ("RABBITMQ_PORT", "65536"), ("RABBITMQ_PORT", "-1"), ("RABBITMQ_PORT", "amqp"),
    ("RABBITMQ_PORT", "5672x"), ("RABBITMQ_PORT", "0x10"), ("RABBITMQ_PORT", "99999999999999999999"),
    ("RABBITMQ_PORT", "5.5"),
    ("RABBITMQ_MAX_RETRIES", "many"), ("RABBITMQ_MAX_RETRIES", "-1"),
    ("RABBITMQ_RETRY_SLEEP", "soon"), ("RABBITMQ_RETRY_SLEEP", "-1"),
    ("LOG_CONSOLE_LEVEL", "LOUD"), ("LOG_FILE_LEVEL", "VERBOSE"),
    ("LOG_FILE_MAX_BYTES", "1MB"), ("LOG_FILE_MAX_BYTES", "-1"), ("LOG_FILE_MAX_BYTES", "99999999999999999999"),
    ("LOG_FILE_BACKUP_COUNT", "few"), ("LOG_FILE_BACKUP_COUNT", "-1"),
])
def test_bad_environment(new_host, variable, value):
    host = new_host(env={variable: value})
    one_line(host.run(), variable, value)
    assert not os.path.exists(host.path("logs"))


@pytest.mark.parametrize("health", ["log_messages.txt", "log_messages.txt.1", "log_messages.txt.20", ".", "..", "deep/"])
def test_a_health_file_that_is_the_logs_or_none(new_host, health):
    host = new_host(env={"COMPONET_ID_FILE_NAME": health})
    one_line(host.run(), "COMPONET_ID_FILE_NAME", health)
    assert not os.path.exists(host.path("logs"))


@pytest.mark.parametrize("health", ["log_messages.txt.json", "log_messages", ".hidden"])
def test_a_health_file_beside_the_log(new_host, broker, mov, client, health):
    host = new_host(broker, env={"COMPONET_ID_FILE_NAME": health}).start()
    host.wait(lambda: host.health(os.path.join("logs", health)), 10, "the health file")


@pytest.mark.parametrize("text, line, thing", [
    ("broker {\n  port = 5672\n  colour = red\n}\n", 3, "colour"),
    ("broker {\n  port = 5672\n", None, ""),
    ("broker {\n}\n}\n", 3, ""),
    ("\n\nport = 5672\n", 3, "port"),
    ("kitchen {\n}\n", 1, "kitchen"),
    ("broker {\n  port = five\n}\n", 2, "five"),
    ("broker {\n  port = 70000\n}\n", 2, "70000"),
    ("broker {\n  max_retries = -1\n}\n", 2, "max_retries"),
    ("log {\n\n\n  console_level = LOUD\n}\n", 4, "LOUD"),
    ("log {\n  file_max_bytes = 1.5\n}\n", 2, "file_max_bytes"),
    ("host {\n  grace_seconds = long\n}\n", 2, "grace_seconds"),
    ("plugin echo {\n  enabled = perhaps\n}\n", 2, "perhaps"),
    ('plugin_directory = "plugins\n', None, ""),
    ("plugin echo {}\nplugin echo {}\n", 2, "echo"),
    ("= 5\n", 1, ""),
    ("/* never closed\n", None, ""),
], ids=lambda value: repr(value)[:30])
def test_bad_configuration(new_host, text, line, thing):
    host = new_host(args=("--config", "etc/host.conf"))
    host.write("etc/host.conf", text)
    one_line(host.run(), "etc/host.conf" if line is None else f"etc/host.conf:{line}", thing)


def test_a_bad_value_in_the_file_is_reported_even_if_the_environment_overrides_it(new_host):
    host = new_host(conf="broker {\n  port = none\n}\n", env={"RABBITMQ_PORT": "5672"})
    one_line(host.run(), "plugins.conf:2", "port")


def test_configuration_that_is_not_there(new_host):
    one_line(new_host(args=("--config", "nowhere.conf")).run(), "nowhere.conf")


def test_configuration_that_is_a_link_to_nothing(new_host):
    """A dangling link is an error; a missing file is not."""
    host = new_host()
    os.symlink("nowhere", host.path("plugins.conf"))
    one_line(host.run(), "plugins.conf", "No such file")


def test_configuration_that_is_a_directory(new_host):
    host = new_host(args=("--config", "etc"))
    os.mkdir(host.path("etc"))
    one_line(host.run(), "etc")


def test_configuration_that_is_no_text(new_host):
    host = new_host(args=("--config", "binary.conf"))
    os.symlink(ECHO, host.path("binary.conf"))
    one_line(host.run(), "binary.conf")


# --- the password -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_password_from_a_file(new_host, broker, mov, client, end):
    env = broker.environment()
    del env["RABBITMQ_PASSWORD"]
    host = new_host(env={**env, "RABBITMQ_PASSWORD_FILE": "secrets/mq"})
    host.write("secrets/mq", broker.password + end)
    host.start().wait_healthy()


def test_password_file_of_the_configuration(new_host, broker, mov, client):
    env = broker.environment()
    del env["RABBITMQ_PASSWORD"]
    host = new_host(args=("--config", "etc/host.conf"), env=env)
    host.write("etc/host.conf", 'broker { password_file = "mq" }\n')
    host.write("etc/mq", broker.password + "\n")
    host.start().wait_healthy()


def test_password_file_that_is_not_there(new_host):
    one_line(new_host(env={"RABBITMQ_PASSWORD_FILE": "secrets/mq"}).run(), "secrets/mq")


def test_password_of_the_environment_overrides_the_file_that_the_configuration_names(new_host, broker, mov, client):
    host = new_host(broker, conf='broker { password_file = "mq" }\n')
    host.write("mq", "another one")
    host.start().wait_healthy()


@pytest.fixture(scope="module")
def quiet_user(session_broker):
    """A user whose password does not appear in any output by chance."""
    session_broker.start()
    session_broker.ctl("add_user", "quiet", SECRET)
    session_broker.ctl("set_permissions", "quiet", ".*", ".*", ".*")
    yield
    session_broker.ctl("delete_user", "quiet")


@pytest.mark.parametrize("source", ["environment", "file", "configuration"])
def test_password_is_in_no_output(new_host, broker, mov, client, quiet_user, source):
    """Neither in a successful run nor in one with a refused login."""
    def make(username):
        env = {**broker.environment(), "RABBITMQ_USERNAME": username, "LOG_CONSOLE_LEVEL": "DEBUG"}
        env["RABBITMQ_PASSWORD"] = SECRET if source == "environment" else ""
        env["RABBITMQ_PASSWORD_FILE"] = "mq" if source == "file" else ""
        host = new_host(env=env, conf=f'broker {{ password = "{SECRET}" }}\n' if source == "configuration" else None)
        host.write("mq", SECRET)
        return host.start()

    refused = make(broker.username)
    assert refused.exit_status() == 1
    accepted = make("quiet")
    accepted.wait_healthy()
    client.declare(published())
    client.publish(received(), {"content": "x"})
    client.collect(published(), 1)
    assert accepted.stop() == 0
    for host in (refused, accepted):
        assert host.console
        assert SECRET not in host.console + host.stdout + host.log()

# SPDX-License-Identifier: GPL-3.0-or-later
"""A component at the MOV, and its health file."""

import json
import os
import signal
import stat
import time

import pytest

from broker import scaled, wait_until
from conftest import plain_build
from host import ECHO, plugin, published, received, registered
from mov import MovStandIn

HEALTH = "logs/component_id.json"


def notification(mov, identifier):
    """The stand-in's notification about a component."""
    return {key: value for key, value in mov.components[identifier].items() if key != "active"}


def echo_works(client, content="still works"):
    client.declare(published())
    client.publish(received(), {"content": content})
    assert json.loads(client.collect(published(), 1)[0]) == {"content": content}


# --- coming -----------------------------------------------------------------------------------------------------------


def test_health_file_is_the_notification(new_host, broker, mov, client):
    host = new_host(broker).start()
    health = host.wait_healthy()
    component, = mov.active()
    assert health == notification(mov, component["id"])
    assert (component["name"], component["type"]) == ("c1_echo", "C1")
    assert stat.S_IMODE(os.stat(host.path(HEALTH)).st_mode) == 0o644
    host.wait_record(f"registered as {component['id']}", name="c1_echo", level="INFO")


def test_two_hosts_in_one_directory(new_host, broker, mov, client):
    """The second host would mistake the first one's health file and id for those of an earlier run."""
    first = new_host(broker).start()
    health = first.wait_healthy()
    second = new_host(broker, directory=first.directory).run()
    assert second.status == 1
    assert (f"valawai-host: {first.path('logs/component_id.json')}: another valawai-host (process {first.pid}) uses this health file;"
            " give each its own LOG_DIR") in second.stderr.splitlines()
    assert first.health() == health and not mov.unregistered
    echo_works(client)
    first.kill9()  # which leaves the file that is locked, and no lock
    third = new_host(broker, directory=first.directory).start()
    third.wait(lambda: (third.health() or health) != health, 10, "another id")
    assert third.stop() == 0
    assert os.listdir(first.path("logs")) == ["log_messages.txt"]


def test_health_file_is_readable_under_any_umask(new_host, broker, mov, client):
    host = new_host(broker, umask=0o077).start()
    host.wait_healthy()
    assert stat.S_IMODE(os.stat(host.path(HEALTH)).st_mode) == 0o644


def test_the_documents_that_are_registered(new_host, broker, mov, client):
    """The stand-in has checked them; this test checks the rest."""
    new_host(broker).start().wait_healthy()
    component, = mov.active()
    channels = {channel["name"]: channel for channel in component["channels"]}
    content = {"type": "OBJECT", "properties": {"content": {"type": "BASIC", "format": "STRING"}}}
    assert set(channels) == {registered(), received(), published()}
    assert channels[received()]["subscribe"] == content and channels[received()]["publish"] is None
    assert channels[published()]["publish"] == content and channels[published()]["subscribe"] is None


def test_queues_are_declared_as_the_others_do(new_host, broker, mov, client):
    new_host(broker).start().wait_healthy()
    client.declare(received(), registered())  # any difference would be answered 406
    assert client.consumers(received()) == 1


def test_not_healthy_before_it_is_registered(new_host, broker, mov, client):
    mov.answer = False
    host = new_host(broker).start()
    mov.wait_for(lambda mov: mov.registered)
    echo_works(client)
    assert not os.path.exists(host.path(HEALTH))
    client.publish(registered(), notification(mov, mov.registered[-1]))
    assert host.wait_healthy()["id"] in mov.registered


def test_the_mov_comes_later(new_host, broker, client):
    """Its queues do not exist: the component works anyway, and registers when they exist."""
    host = new_host(broker).start()
    host.wait_consuming()
    echo_works(client)
    assert not os.path.exists(host.path(HEALTH))
    with MovStandIn(broker) as mov:
        assert host.wait_healthy(20)["id"] == mov.active()[0]["id"]
        assert len(mov.registered) == 1
        assert host.stop() == 0
        mov.wait_for(lambda mov: mov.unregistered == mov.registered)
        assert not mov.refused and not mov.violations


def test_without_a_mov_it_stops_well(new_host, broker, client):
    host = new_host(broker).start()
    host.wait_consuming()
    assert host.stop() == 0


# --- log records ------------------------------------------------------------------------------------------------------


def test_log_records_of_a_component_reach_the_mov(new_host, broker, mov, client):
    host = new_host(broker).start()
    identifier = host.wait_healthy()["id"]
    body = '{"content":"héllo \\u0041"}'.encode()
    client.declare(published())
    client.publish(received(), body)
    client.collect(published(), 1)
    messages = ("Received a message to echo", "Sent Echoed message")
    mov.wait_for(lambda mov: {log["message"] for log in mov.logs} >= set(messages))
    found = [log for log in mov.logs if log["message"] in messages]
    assert [log["message"] for log in found] == list(messages)
    for log in found:
        assert log["level"] == "INFO" and log["component_id"] == identifier
        assert json.loads(log["payload"]) == json.loads(body)
    for message in messages:  # and both are in the local log, under the component's name, with the payload
        assert "content" in host.wait_record(message, name="c1_echo", level="INFO").message


def test_log_records_before_the_registration_hold_up_nothing(new_host, broker, mov, client):
    mov.answer = False
    new_host(broker).start()
    mov.wait_for(lambda mov: mov.registered)
    echo_works(client)
    assert all("component_id" not in log for log in mov.logs)


# --- going ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop(new_host, broker, mov, client, number):
    host = new_host(broker).start()
    identifier = host.wait_healthy()["id"]
    assert host.stop(number) == 0
    assert not os.path.exists(host.path(HEALTH))
    mov.wait_for(lambda mov: mov.unregistered == [identifier])
    assert client.consumers(received()) == client.consumers(registered()) == 0
    assert not mov.unknown and not mov.active()


def test_a_stop_before_the_answer(new_host, broker, mov, client):
    """The stop waits for the answer, and unregisters its id."""
    mov.answers_after = 2
    host = new_host(broker, conf=f"host {{ grace_seconds = {scaled(10):g} }}\n").start()
    host.wait_record("registering at the MOV")
    assert host.stop(timeout=30) == 0
    assert not left_files(host)
    mov.wait_for(lambda mov: mov.unregistered == mov.registered != [])
    assert client.depth(registered()) == 0


@pytest.mark.parametrize("how", ["stop", "kill9"])
def test_no_time_to_wait_for_the_answer(new_host, broker, mov, client, how):
    """The next run expects the answer, and handles it."""
    mov.answers_after = scaled(3)
    host = new_host(broker, conf="host { grace_seconds = 1 }\n").start()
    host.wait_record("registering at the MOV")
    wait_until(lambda: host.read(HEALTH + ".ids"), 10, "the ledger")
    getattr(host, how)()
    assert json.loads(host.read(HEALTH + ".ids")) == [{"pending": "c1_echo"}]
    assert not os.path.exists(host.path(HEALTH))
    host.start()
    host.wait_record("an earlier run ended before the MOV answered its registration")
    host.wait_healthy(30)
    mov.wait_for(lambda mov: len(mov.registered) == 2 and len(mov.active()) == 1, 30)
    assert host.health()["id"] == mov.active()[0]["id"]
    host.wait(lambda: not host.read(HEALTH + ".ids"), 10, "the end of the ledger")


def test_a_mov_that_never_answers_does_not_hold_up_a_stop(new_host, broker, mov, client):
    mov.answer = False
    host = new_host(broker, conf="host { grace_seconds = 2 }\n").start()
    mov.wait_for(lambda mov: mov.registered)
    assert host.stop() == 0
    assert not os.path.exists(host.path(HEALTH))


# --- a MOV that forgets, or seems to ------------------------------------------------------------------------------------


def test_what_the_mov_finishes_after_it_listens_is_registered_again(new_host, broker, client):
    """tests/faults has the long form of this and of what follows."""
    with MovStandIn(broker, finishes_after=2) as mov:
        host = new_host(broker).start()
        first = host.wait_healthy()["id"]
        mov.wait_for(lambda mov: not mov.active(), 10)
        host.wait_record("has forgotten", 15)
        wait_until(lambda: (host.health() or {"id": first})["id"] != first, 15, "another registration")
        assert [component["id"] for component in mov.active()] == [host.health()["id"]]
        assert host.stop() == 0


def test_what_something_else_unregisters_is_registered_again(new_host, broker, mov, client):
    host = new_host(broker).start()
    first = host.wait_healthy()["id"]
    client.publish("valawai/component/unregister", {"component_id": first})
    wait_until(lambda: (host.health() or {"id": first})["id"] != first, 20, "another registration")
    assert [component["id"] for component in mov.active()] == [host.health()["id"]]


def test_a_broker_restart_is_no_mov_restart(new_host, broker, mov, client):
    mov.reconnects_after = 3
    host = new_host(broker).start()
    known = host.wait_healthy()
    broker.stop()
    client.close()
    wait_until(lambda: not host.health(), 10, "the health file goes")
    broker.start()
    assert host.wait(host.health, 30, "the health file") == known
    host.wait_record("still registered as " + known["id"])
    assert len(mov.registered) == 1 and not mov.unregistered and not mov.unknown


def test_many_answers_to_others(new_host, broker, mov, client):
    """They neither hide ours nor are lost."""
    others = [{"query_id": f"another-{number}", "total": 0} for number in range(300)]
    client.publish("valawai/component/page", *others)
    host = new_host(broker).start()
    known = host.wait_healthy()["id"]
    broker.stop()
    client.close()
    broker.start()
    host.wait_record("still registered as " + known, 40)
    assert len(mov.registered) == 1
    assert host.stop() == 0
    assert [json.loads(body) for body in client.drain("valawai/component/page")] == others


def test_why_a_registration_is_stuck(new_host, broker, client):
    host = new_host(broker).start()
    host.wait_record("MOV not found: queue valawai/component/register has no consumer", level="WARNING")
    with MovStandIn(broker, answer=False) as mov:
        host.wait_record("has registered [0-9a-f]{24}, but another instance took the answer", 20, level="WARNING")
        assert host.console.count("MOV not found") == 1
        assert not mov.refused
        host.kill9()


# --- the disk ---------------------------------------------------------------------------------------------------------


def left_files(host):
    return [name for name in os.listdir(host.path("logs")) if name.startswith("component_id")]


@plain_build
@pytest.mark.parametrize("name", ["component_id.json", "logs"])
def test_a_stop_does_not_wait_for_the_disk(new_host, broker, mov, client, name):
    """fsync() of the files or their directory does not return: messages go on, and the stop ends within the grace time."""
    grace = scaled(3)
    host = new_host(broker, conf=f"host {{ grace_seconds = {grace:g} }}\n",
                    env={"LD_PRELOAD": plugin("hanging_disk"), "HANGING_SYNC": name})
    host.env["HANGING_WHILE"] = host.write("hangs", "")
    host.start()
    mov.wait_for(lambda mov: mov.registered)
    host.wait_record("registered as", name="c1_echo")
    echo_works(client)
    assert not host.health()  # it is not on the disk yet
    began = time.monotonic()
    assert host.stop(timeout=60) == 0
    assert time.monotonic() - began < grace + scaled(3)
    mov.wait_for(lambda mov: mov.unregistered == mov.registered)
    assert not left_files(host)


@plain_build
def test_a_stop_when_the_disk_hangs_later(new_host, broker, mov, client):
    """The removal needs no fsync, so the stop is immediate."""
    host = new_host(broker, env={"LD_PRELOAD": plugin("hanging_disk"), "HANGING_SYNC": "/"})
    host.env["HANGING_WHILE"] = host.path("hangs")
    host.start().wait_healthy()
    host.write("hangs", "")
    assert host.stop() == 0
    mov.wait_for(lambda mov: mov.unregistered == mov.registered)
    assert not left_files(host)


def test_files_that_are_removed_come_back(new_host, broker, mov, client):
    host = new_host(broker).start()
    health = host.wait_healthy()
    os.unlink(host.path(HEALTH))
    assert host.wait(host.health, 10, "the health file") == health
    os.rename(host.path("logs"), host.path("gone"))
    assert host.wait(host.health, 10, "the health file in a new directory") == health
    assert "component_id.json: was removed; writing it again" in host.console


# --- ghosts and old notifications ----------------------------------------------------------------------------------------


def test_a_ghost_is_unregistered(new_host, broker, mov, client):
    host = new_host(broker).start()
    ghost = host.wait_healthy()["id"]
    host.kill9()
    assert host.health()["id"] == ghost
    host.start()
    health = host.wait(lambda: (host.health() or {"id": ghost})["id"] != ghost and host.health(), what="a new id")
    mov.wait_for(lambda mov: mov.unregistered)
    assert mov.unregistered == [ghost]
    assert [component["id"] for component in mov.active()] == [health["id"]]


def test_an_old_health_file_is_gone_before_the_new_id(new_host, broker, mov, client):
    mov.answer = False
    host = new_host(broker)
    host.write(HEALTH, json.dumps({"id": "0" * 24, "name": "c1_echo"}))
    host.start()
    mov.wait_for(lambda mov: mov.registered and mov.unknown)
    assert not host.read(HEALTH)
    assert mov.unknown == ["0" * 24]


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "{}", "null", '{"id":5}', '{"id":"../../etc"}', "[{}, 5]"])
def test_an_old_health_file_of_no_use(new_host, broker, mov, client, text):
    host = new_host(broker)
    host.write(HEALTH, text)
    host.start()
    wait_until(lambda: mov.active(), 10)
    assert host.wait(lambda: host.read(HEALTH) not in ("", text) and host.health(), what="a health file")["id"] in mov.registered
    assert not mov.unknown


def test_a_stale_notification_never_becomes_the_id(new_host, broker, mov, client):
    stale = {"id": "0" * 24, "name": "c1_echo", "description": "x", "version": "1.0.0", "api_version": "1.0.0", "type": "C1",
             "since": 1, "channels": []}
    client.declare(registered())
    client.publish(registered(), stale, stale)
    host = new_host(broker).start()
    assert host.wait_healthy()["id"] == mov.active()[0]["id"]
    assert len(mov.registered) == 1


BAD_NOTIFICATIONS = [b"not JSON", b"", b"[]", b"null", b'"text"', b"{}", b'{"id":5}', b'{"id":""}', b'{"id":null}',
                     b'{"id":"not an id"}', b'{"id":"\xff"}', b"[" * 100000,
                     b'{"id":"0123456789abcdef01234567"}', b'{"id":"0123456789abcdef01234567","name":5}',
                     b'{"id":"0123456789abcdef01234567","name":"c1_other"}']


def test_bad_notifications_never_become_the_id(new_host, broker, mov, client):
    mov.answer = False
    client.declare(registered())
    client.publish(registered(), *BAD_NOTIFICATIONS)
    host = new_host(broker).start()
    mov.wait_for(lambda mov: mov.registered)
    client.publish(registered(), *BAD_NOTIFICATIONS)
    wait_until(lambda: client.depth(registered()) == 0, 10)
    deadline = time.monotonic() + scaled(0.5)
    while time.monotonic() < deadline:  # a wrong id would show within this time
        assert not os.path.exists(host.path(HEALTH))
        time.sleep(0.05)
    echo_works(client)
    client.publish(registered(), notification(mov, mov.registered[-1]))
    assert host.wait_healthy()["id"] in mov.registered


# --- several plugins --------------------------------------------------------------------------------------------------


def test_several_plugins(new_host, broker, mov, client):
    host = new_host(broker, plugins=(plugin("slow"), plugin("other"), ECHO)).start()
    health = host.wait_healthy()
    assert [component["name"] for component in health] == ["c1_echo", "c1_other", "c1_slow"]
    assert health == sorted((notification(mov, c["id"]) for c in mov.active()), key=lambda c: c["name"])
    client.declare(published("other"))
    client.publish(received("other"), {"content": "for the other"})
    assert json.loads(client.collect(published("other"), 1)[0]) == {"content": "for the other"}
    echo_works(client)
    assert host.stop() == 0
    mov.wait_for(lambda mov: sorted(mov.unregistered) == sorted(mov.registered))
    assert len(mov.registered) == 3 and not os.path.exists(host.path(HEALTH))
    assert any(record.name == "c1_other" and record.message == "stopped" for record in host.records())


def test_healthy_only_while_all_are_registered(new_host, broker, mov, client):
    mov.answer = lambda component: component["name"] != "c1_other"
    host = new_host(broker, plugins=(ECHO, plugin("other"))).start()
    host.wait_record("registered as", name="c1_echo")
    mov.wait_for(lambda mov: mov.active("c1_other"))
    assert not os.path.exists(host.path(HEALTH))
    client.publish(registered("other"), notification(mov, mov.active("c1_other")[-1]["id"]))
    assert [component["name"] for component in host.wait_healthy()] == ["c1_echo", "c1_other"]


def test_ghosts_of_several_plugins(new_host, broker, mov, client):
    host = new_host(broker, plugins=(ECHO, plugin("other"))).start()
    ghosts = [component["id"] for component in host.wait_healthy()]
    host.kill9()
    host.start()
    host.wait(lambda: (host.health() or [{"id": ghosts[0]}])[0]["id"] not in ghosts, what="new ids")
    mov.wait_for(lambda mov: len(mov.unregistered) == 2)
    assert sorted(mov.unregistered) == sorted(ghosts)
    assert len(mov.active()) == 2


def test_the_log_of_a_component_carries_its_own_id(new_host, broker, mov, client):
    host = new_host(broker, plugins=(ECHO, plugin("slow")), conf='plugin slow { milliseconds = "1" }\n').start()
    ids = {component["name"]: component["id"] for component in host.wait_healthy()}
    client.publish(received("slow"), {"content": "x"})
    mov.wait_for(lambda mov: any(log["message"] == "working for 1 ms" for log in mov.logs))
    log, = [log for log in mov.logs if log["message"] == "working for 1 ms"]
    assert log["component_id"] == ids["c1_slow"] and "payload" not in log

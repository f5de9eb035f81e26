# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin interface with a broker: registration, queries to the MOV, and late answers during faults and stops."""

import json
import re

import pytest

from host import Client, plugin, published, received


def messages(host, pattern):
    return [record.message for record in host.records() if re.search(pattern, record.message)]


def delayed(milliseconds, more=""):
    return f'plugin later {{ milliseconds = "{milliseconds}" }}\n{more}'


def contents(bodies):
    return [json.loads(body)["content"] for body in bodies]


# --- registration, timers, queries ------------------------------------------------------------------------------------


def test_a_plugin_without_topics_publishes_and_asks(new_host, broker, mov, client):
    client.declare(published("ticker"))
    host = new_host(broker, plugins=(plugin("ticker"),)).start()
    host.wait_healthy()
    assert contents(client.collect(published("ticker"), 4, 15)) == ["once", "tick 1", "tick 2", "tick 3"]
    host.wait_record("we are [0-9a-f]{24}", name="c1_ticker")
    known = host.health()["id"]
    assert messages(host, "we are ") == [f"we are {known}"]
    page = host.wait_record("the MOV answers about components: a page").message  # which the log cuts
    assert f'"total": 1, "components": [{{"id": "{known}"' in page
    page = json.loads(host.wait_record("the MOV answers about connections: a page").message.split(": ", 2)[2])
    assert page["total"] == 0
    assert host.stop() == 0
    assert not messages(host, "the component lost its id")  # not at the end
    for queue in ("valawai/component/page", "valawai/topology/page"):
        assert client.depth(queue) == 0
    for bad in ("wrong arguments", "cannot cancel", "strange timers", "cannot publish", "bad questions", "cannot ask$"):
        assert not messages(host, bad)


def test_a_plugin_hears_that_the_mov_has_forgotten_it(new_host, broker, mov):
    host = new_host(broker, plugins=(plugin("ticker"),)).start()
    host.wait_record("we are [0-9a-f]{24}")
    mov.restart()
    host.wait_record("the component lost its id", 15)
    host.wait(lambda: len(messages(host, "we are [0-9a-f]{24}")) == 2, 20, "another registration")
    assert len(set(messages(host, "we are [0-9a-f]{24}"))) == 2
    assert host.stop() == 0


def test_an_answer_of_somebody_else_is_left_alone(new_host, broker, mov, client):
    client.publish("valawai/component/page", {"query_id": "somebody-1", "total": 0, "components": None})
    host = new_host(broker, plugins=(plugin("ticker"),)).start()
    host.wait_record("the MOV answers about components: a page", 15)
    host.wait_record("the MOV answers about connections", 15)
    assert host.stop() == 0
    assert [json.loads(body)["query_id"] for body in client.drain("valawai/component/page")] == ["somebody-1"]


# --- too late ---------------------------------------------------------------------------------------------------------


def test_a_thread_that_outlives_its_plugin(new_host, broker, mov):
    """It calls the host continuously, even after stop."""
    host = new_host(broker, plugins=(plugin("lingerer"),), conf='plugin lingerer { how = "thread" }\n').start()
    host.wait_healthy()
    assert host.stop() == 0
    mov.wait_for(lambda mov: len(mov.unregistered) == 1)
    assert "a plugin has left threads running after its stop" in host.console
    assert "[INFO] host: stopped" in host.console


# --- answers that come later ------------------------------------------------------------------------------------------


def test_later(new_host, broker, mov, client):
    client.declare(received("later"), published("later"))
    client.publish_many(received("later"), ({"content": str(number)} for number in range(2000)))
    host = new_host(broker, plugins=(plugin("later"),), env={"LOG_FILE_LEVEL": "INFO"}).start()
    assert contents(client.collect(published("later"), 2000, 30)) == [str(number) for number in range(2000)]
    assert host.stop() == 0
    assert client.depth(received("later")) == 0


def test_a_stop_waits_for_answers_and_puts_the_rest_back(new_host, broker, mov, client):
    client.declare(published("later"))
    host = new_host(broker, plugins=(plugin("later"),), conf=delayed(100, "host { grace_seconds = 2 }\n")).start()
    host.wait_healthy()
    client.publish_many(received("later"), ({"content": str(number)} for number in range(100)))
    client.collect(published("later"), 3, 15)
    assert host.stop() == 0
    done, left = contents(client.drain(published("later"))), contents(client.drain(received("later")))
    assert ["0", "1", "2"] + done + left == [str(number) for number in range(100)]
    assert len(done) >= 3 and len(left) >= 3
    mov.wait_for(lambda mov: len(mov.unregistered) == 1)


def test_what_waits_for_its_answer_holds_up_nothing_else(new_host, broker, mov, client):
    """Many messages of its topic are handled meanwhile; only this one stays unacknowledged."""
    count = 1500
    client.declare(published("later"))
    host = new_host(broker, plugins=(plugin("later"),), env={"LOG_FILE_LEVEL": "INFO"},
                    conf="host { grace_seconds = 1 }\n").start()
    host.wait_healthy()
    client.publish(received("later"), {"content": "never"})
    client.publish_many(received("later"), ({"content": str(number)} for number in range(count)))
    assert contents(client.collect(published("later"), count, 30)) == [str(number) for number in range(count)]
    assert not messages(host, "lost the receiving connection")
    assert host.stop() == 0
    assert contents(client.drain(received("later"))) == ["never"]
    assert client.depth(published("later")) == 0


def test_never_answered_is_named_and_comes_again(new_host, broker, mov, client):
    client.declare(published("later"))
    host = new_host(broker, plugins=(plugin("later"),),
                    conf="host { slow_seconds = 1  grace_seconds = 1 }\nbroker { prefetch = 3 }\n").start()
    host.wait_healthy()
    client.publish(received("later"), *({"content": "never"} for _ in range(5)))
    host.wait_record(r"a message has waited \d+ s for the answer to its ticket; [34] tickets are open", 15, level="WARNING")
    assert len(messages(host, "received never")) <= 4  # prefetch, and the first one, which came alone
    assert host.stop() == 0
    assert contents(client.drain(received("later"))) == ["never"] * 5


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_answers_outlast_a_lost_connection(new_host, broker, mov, client, how):
    """A message in the plugin's hands is not passed to it again, and its answer counts for the redelivered copy."""
    count = 40
    client.declare(published("later"))
    host = new_host(broker, plugins=(plugin("later"),), conf=delayed(100)).start()
    host.wait_healthy()
    client.publish(received("later"), *({"content": str(number)} for number in range(count)))  # confirmed
    got = contents(client.collect(published("later"), 3, 15))
    if how == "killed":
        broker.kill()
        broker.start()
        client = Client(broker)
    else:
        broker.ctl("close_all_connections", "the test")
        client = Client(broker)
    host.wait(lambda: len(messages(host, "connected to the broker")) >= 2, 20, "a reconnect")
    while set(got) != {str(number) for number in range(count)}:  # a killed broker may forget acknowledgements
        got += contents(client.collect(published("later"), 1, 40))
    handled = messages(host, "^received ")
    assert len(set(handled)) == count
    if how == "closed":  # a broker that was killed may have forgotten acknowledgements, too
        assert len(handled) <= count + 2  # an acknowledgement on its way is lost with its connection
    assert host.stop() == 0
    assert client.depth(received("later")) == 0


def test_a_crash_gives_back_what_waits_for_its_answer(new_host, broker, mov, client):
    client.declare(published("later"))
    first = new_host(broker, plugins=(plugin("later"),), conf=delayed(50)).start()
    first.wait_healthy()
    client.publish_many(received("later"), ({"content": str(number)} for number in range(60)))
    got = contents(client.collect(published("later"), 5, 15))
    first.process.kill()
    first.process.wait()
    second = new_host(broker, plugins=(plugin("later"),)).start()
    second.wait_consuming()
    while set(got) != {str(number) for number in range(60)}:
        got += contents(client.collect(published("later"), 1, 15))
    assert second.stop() == 0
    assert client.depth(received("later")) == 0

# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plugin in a process of its own may use: at a limit its process ends, the log names the limit, and nothing else
notices. And the zygote, which makes the processes and watches them."""
import json
import os
import signal

import pytest

from broker import wait_until
from conftest import plain_build
from host import ECHO, plugin, published, received
from processes import gone, group_of, processes, workers_of, zygote_of

TAKE = received("greedy")


def body(content):
    return {"content": content}


def echo(number):
    return {"id": str(number), "content": "hello", "created_at": 1}


def greedy(new_host, broker, limits, **more):
    """A host with greedy, which has these limits, and echo, which has none."""
    conf = (f"host {{ isolation = process\n crash_attempts = 1 }}\nplugin greedy {{ path = \"{plugin('greedy')}\"\n {limits} }}\n"
            f"plugin echo {{ path = \"{ECHO}\" }}\n")
    host = new_host(broker, plugins=[], conf=conf, **more).start()
    host.wait_healthy()
    return host


@pytest.fixture
def queues(client, mov):
    client.declare(TAKE, TAKE + "/dead", published("greedy"), received("echo"), published("echo"))
    return client


@plain_build  # a sanitizer needs many times the memory
@pytest.mark.parametrize("word, limits, said", [
    ("leak", "memory_max = 16M", r"it has 1[6-9]\.\d MiB in memory, and memory_max is 16\.0 MiB; .*raise memory_max"),
    ("grab", "memory_max = 1G", r"crashed \(SIGSEGV\).*less than 64 MiB of memory were left \(memory_max\)"),
    ("files", "files_max = 50", r"it has 50 open descriptors, and files_max is 50; .*raise files_max"),
    ("spin", "cpu_max = 10", r"it has used 1\.\d s of CPU time within 10 s, and cpu_max is 10 % of one core; .*raise cpu_max"),
    ("bomb", "processes_max = 20", r"it consists of \d+ processes, and processes_max is 20; .*raise processes_max")])
def test_at_a_limit_the_process_ends_and_the_log_names_the_limit(queues, broker, new_host, word, limits, said):
    host = greedy(new_host, broker, limits)
    worker, other = workers_of(host.pid)["greedy.so"], workers_of(host.pid)["echo.so"]
    queues.publish(TAKE, body("before"), body(word), body("after"))
    queues.publish(received("echo"), echo(1))
    assert len(queues.collect(published("echo"), 1)) == 1
    record = host.wait_record("Cannot run greedy, because its process ended: " + said, 20, level="ERROR", name="c1_greedy")
    assert "it starts again in" in record.message
    (properties, letter), = queues.collect_messages(TAKE + "/dead", 1)
    assert json.loads(letter)["content"] == word and properties.headers["valawai-dead-reason"] == "crashed"
    assert [json.loads(one)["content"] for one in queues.collect(published("greedy"), 2)] == ["before", "after"]
    assert workers_of(host.pid)["greedy.so"] != worker and workers_of(host.pid)["echo.so"] == other
    wait_until(lambda: group_of(worker) == [], 10, "the end of all processes of the group")
    host.wait_healthy()


def test_a_plugin_within_its_limits_is_left_alone(queues, broker, new_host):
    host = greedy(new_host, broker, "memory_max = 1G\n cpu_max = 400\n files_max = 64\n processes_max = 4")
    worker = workers_of(host.pid)["greedy.so"]
    for number in range(200):
        queues.publish(TAKE, body(str(number)))
    assert len(queues.collect(published("greedy"), 200)) == 200
    assert workers_of(host.pid)["greedy.so"] == worker
    assert "loaded" in host.wait_record(r"isolation process, .*memory_max 1073741824, cpu_max 400, files_max 64, processes_max 4").message


def test_the_limits_of_the_host_hold_for_plugins_without_their_own(queues, broker, new_host):
    conf = (f"host {{ isolation = process\n files_max = 40\n crash_attempts = 1 }}\n"
            f"plugin greedy {{ path = \"{plugin('greedy')}\" }}\nplugin echo {{ path = \"{ECHO}\"\n files_max = 60 }}\n")
    host = new_host(broker, plugins=[], conf=conf).start()
    host.wait_healthy()
    for name, most in (("greedy.so", 40), ("echo.so", 60)):
        with open(f"/proc/{workers_of(host.pid)[name]}/limits") as file:
            assert [line.split()[3:5] for line in file if line.startswith("Max open files")] == [[str(most)] * 2]


def test_limits_of_a_plugin_in_a_thread_are_a_warning(queues, broker, new_host):
    conf = f"host {{ isolation = thread }}\nplugin echo {{ path = \"{ECHO}\"\n memory_max = 64M\n files_max = 20 }}\n"
    host = new_host(broker, plugins=[], conf=conf, env={"VALAWAI_ISOLATION": "thread"}).start()
    record = host.wait_record("its limits", level="WARNING", name="c1_echo")
    assert record.message == ("echo.so: runs in a thread of the host, where its limits (memory_max 67108864, files_max 20) "
                              "do not hold; they need isolation = process")
    host.wait_healthy()


# ---- the zygote ----

def test_a_worker_that_ends_after_the_zygote_is_made_by_another_one(queues, broker, new_host):
    host = greedy(new_host, broker, "files_max = 50")
    first, before = zygote_of(host.pid), workers_of(host.pid)
    os.kill(first, signal.SIGKILL)
    queues.publish(received("echo"), echo(1))
    assert len(queues.collect(published("echo"), 1)) == 1, "what runs goes on"
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    host.wait_record("the zygote, which makes processes, had ended; another one is there", level="WARNING")
    host.wait(lambda: set(workers_of(host.pid)) == {"echo.so", "greedy.so"}, 10, "two workers")
    assert zygote_of(host.pid) != first
    queues.publish(received("echo"), echo(2))
    assert json.loads(queues.collect(published("echo"), 1)[0])["id"] == "2"
    queues.publish(TAKE, body("files"))
    host.wait_record("files_max is 50", 20)  # the new one watches, too


def test_another_zygote_has_nothing_of_the_host(queues, broker, new_host):
    host = greedy(new_host, broker, "files_max = 50")
    worker = workers_of(host.pid)["echo.so"]
    os.kill(zygote_of(host.pid), signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    host.wait_record("another one is there")
    host.wait(lambda: "echo.so" in workers_of(host.pid), 10, "another worker")
    secrets = [value.encode() for variable, value in broker.environment().items() if "PASSWORD" in variable]
    for pid in (zygote_of(host.pid), workers_of(host.pid)["echo.so"]):
        with open(f"/proc/{pid}/environ", "rb") as file:
            values = [entry.partition(b"=")[2] for entry in file.read().split(b"\0")]
        assert not [secret for secret in secrets if secret in values]
        kinds = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        assert len([kind for kind in kinds if kind.startswith("socket:")]) == 1, kinds


def test_a_process_that_left_its_group_ends_with_the_host(queues, broker, new_host):
    host = greedy(new_host, broker, "files_max = 50")
    queues.publish(TAKE, body("daemon"))
    assert len(queues.collect(published("greedy"), 1)) == 1
    worker = workers_of(host.pid)["greedy.so"]
    left, = (one for one, (_, parent) in processes().items() if parent == worker)
    wait_until(lambda: os.getpgid(left) != worker, 10, "a group of its own")
    host.kill9()
    wait_until(lambda: gone(left) and gone(worker), 10, "the end of both")


def test_the_kernel_prefers_a_worker_when_memory_is_short(queues, broker, new_host):
    host = greedy(new_host, broker, "files_max = 50")
    def score(pid):
        with open(f"/proc/{pid}/oom_score_adj") as file:
            return int(file.read())
    for pid in workers_of(host.pid).values():
        assert score(pid) == min(1000, score(host.pid) + 500)

# SPDX-License-Identifier: GPL-3.0-or-later
"""A plugin in a process of its own: what it cannot break, and what becomes of the message that it broke on. The rest of
the suite runs in both modes (VALAWAI_ISOLATION=process)."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from broker import scaled, wait_until
from conftest import plain_build
from host import BINARY, ECHO, ROOT, plugin, published, received
from processes import gone, workers_of, zygote_of

WORKERS = {"VALAWAI_ISOLATION": "process"}
CRASH = received("fatal")


def body(content, number=0):
    return {"content": content, "n": number}


@pytest.fixture
def pair(broker, client, mov, new_host):
    """A host with the plugins fatal and echo, each in a worker, both registered."""
    client.declare(CRASH + "/dead", published("fatal"), published("echo"))
    host = new_host(broker, plugins=[plugin("fatal"), ECHO], env=WORKERS).start()
    host.wait_healthy()
    return host


def echo(number):
    return {"id": str(number), "content": "hello", "created_at": 1}


@plain_build  # a sanitizer takes the signal, and its words
def test_a_plugin_that_crashes_costs_its_own_message_and_no_other(pair, client):
    client.publish(CRASH, body("first"), body("crash"), body("last"))
    client.publish(received("echo"), *(echo(i) for i in range(50)))
    assert [json.loads(one)["content"] for one in client.collect(published("fatal"), 2)] == ["first", "last"]
    assert len(client.collect(published("echo"), 50)) == 50
    (properties, letter), = client.collect_messages(CRASH + "/dead", 1)
    assert json.loads(letter)["content"] == "crash"
    assert properties.headers["valawai-dead-reason"] == "crashed"
    ends = [r for r in pair.records() if r.level == "ERROR" and "Cannot run fatal" in r.message]
    assert len(ends) == 3, "a message is retried twice"
    for record in ends:
        assert record.name == "c1_fatal"
        assert f"crashed (SIGSEGV) in the handler of {CRASH} at address 0x0; calls: fatal.so(received+0x" in record.message
    assert pair.wait_healthy()
    assert client.depth(CRASH) == 0


@plain_build  # a sanitizer takes the signal, and its words
def test_the_crash_is_a_record_at_the_mov(pair, client, mov):
    client.publish(CRASH, body("crash"))
    pair.wait(lambda: [r for r in mov.logs if "crashed (SIGSEGV)" in r["message"]], 10, "the record at the MOV")


@plain_build
@pytest.mark.parametrize("how, said", [("abort", "aborted (SIGABRT"), ("exit", "called exit()"),
                                       ("leave", "ended the host's thread (pthread_exit)"),
                                       ("thread", "called exit() in a thread that the plugin made"),
                                       ("overflow", "crashed (SIGSEGV)")])
def test_each_way_to_end_a_process_ends_the_worker_alone(broker, client, mov, new_host, how, said):
    client.declare(published("fatal"), CRASH + "/dead")
    host = new_host(broker, plugins=[plugin("fatal")], conf="host { crash_attempts = 1 }\n", env=WORKERS).start()
    host.wait_healthy()
    client.publish(CRASH, body(how), body("after"))
    assert [json.loads(one)["content"] for one in client.collect(published("fatal"), 1)] == ["after"]
    host.wait_record(re.escape(said))
    assert len(client.collect(CRASH + "/dead", 1)) == 1


def test_a_crash_does_not_blame_messages_that_had_not_begun(broker, client, mov, new_host):
    """They are in the worker's hands at each of two crashes, and would be rejected if these counted."""
    client.declare(published("fatal"), CRASH + "/dead")
    host = new_host(broker, plugins=[plugin("fatal")], conf="host { crash_attempts = 1 }\n", env=WORKERS).start()
    host.wait_healthy()
    contents = ["crash", *(str(i) for i in range(50)), "abort", *(str(i) for i in range(50, 100))]
    client.publish_many(CRASH, [body(content) for content in contents])
    expected = [content for content in contents if content not in ("crash", "abort")]
    assert [json.loads(one)["content"] for one in client.collect(published("fatal"), 100)] == expected
    assert len(client.collect(CRASH + "/dead", 2)) == 2
    assert client.depth(CRASH) == 0


@plain_build  # a sanitizer ends the process without a word
def test_what_was_handled_before_a_crash_is_not_handled_again(tmp_path):
    """A verdict leaves though the next message crashes, and so the process is made again at once."""
    (tmp_path / "plugins.conf").write_text("host { crash_attempts = 1 }\n")
    lines = [json.dumps(one) + "\n" for i in range(50) for one in (body(str(i)), body("crash"))]
    began = time.monotonic()
    result = subprocess.run([BINARY, "try", "--keep-going", "--isolation", "process", "--topic", CRASH, plugin("fatal")],
                            input="".join(lines), text=True, capture_output=True, cwd=tmp_path, timeout=scaled(60), check=False)
    assert [json.loads(line)["body"]["content"] for line in result.stdout.splitlines()] == [str(i) for i in range(50)]
    assert "50 done, 50 rejected" in result.stderr
    assert time.monotonic() - began < scaled(10)


def test_a_killed_worker_loses_nothing_and_is_back_at_once(pair, client):
    for number in range(10):
        before = workers_of(pair.pid)["echo.so"]
        os.kill(before, signal.SIGKILL)
        client.publish(received("echo"), echo(number))
        assert json.loads(client.collect(published("echo"), 1)[0])["id"] == str(number)
        assert workers_of(pair.pid)["echo.so"] != before
    assert "killed by SIGKILL" in pair.log()
    assert pair.running()


def test_a_worker_has_no_secret_and_no_descriptor_of_the_host(pair, broker):
    workers = workers_of(pair.pid)
    assert set(workers) == {"fatal.so", "echo.so"}
    for name, pid in workers.items():
        with open(f"/proc/{pid}/environ", "rb") as file:
            environment = file.read()
        for variable, value in broker.environment().items():
            if "PASSWORD" in variable:
                assert value.encode() not in environment.split(b"\0"), variable
                assert f"{variable}={value}".encode() not in environment
        kinds = [os.readlink(f"/proc/{pid}/fd/{number}") for number in os.listdir(f"/proc/{pid}/fd")]
        sockets = [kind for kind in kinds if kind.startswith("socket:")]
        assert len(sockets) == 1, kinds
        with open(f"/proc/{pid}/status") as file:
            assert re.search(r"^NoNewPrivs:\s+1$", file.read(), re.MULTILINE)
        assert os.getpgid(pid) == pid, name


@pytest.mark.parametrize("times", range(3))
def test_no_worker_survives_the_host(pair, times):
    processes = [*workers_of(pair.pid).values(), zygote_of(pair.pid)]
    assert len(processes) == 3
    pair.kill9()
    wait_until(lambda: all(gone(pid) for pid in processes), 10, "the end of the workers")


def test_workers_go_on_without_the_zygote(pair, client):
    os.kill(zygote_of(pair.pid), signal.SIGKILL)
    client.publish(received("echo"), echo(1))
    assert len(client.collect(published("echo"), 1)) == 1
    client.publish(CRASH, body("before"))
    assert len(client.collect(published("fatal"), 1)) == 1


def test_a_worker_that_hangs_is_ended(broker, client, mov, new_host):
    conf = ("host { handler_seconds = 1\n crash_attempts = 2\n slow_seconds = 1 }\n"
            f"plugin slow {{ path = \"{plugin('slow')}\"\n milliseconds = 600000 }}\n")
    host = new_host(broker, plugins=[], conf=conf, env=WORKERS).start()
    host.wait_healthy()
    client.publish(received("slow"), {"content": "slow"})
    host.wait_record(f"the handler of {received('slow')} took longer than host.handler_seconds", 20)
    host.wait_record("a handler has been busy with one message for", 20)
    client.declare(received("slow") + "/dead")
    (properties, _), = client.collect_messages(received("slow") + "/dead", 1, 20)
    assert properties.headers["valawai-dead-reason"] == "crashed"


def test_the_component_is_unhealthy_only_while_its_worker_is_down(pair, client):
    worker = workers_of(pair.pid)["fatal.so"]
    os.kill(worker, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    pair.wait(lambda: workers_of(pair.pid).get("fatal.so") not in (None, worker), 10, "another worker")
    assert pair.wait_healthy()


def test_a_plugin_that_cannot_start_keeps_no_other_from_working(broker, client, mov, new_host):
    client.declare(published("echo"))
    conf = (f"host {{ isolation = process }}\nplugin start_fails {{ path = \"{plugin('start_fails')}\" }}\n"
            f"plugin wrong_magic {{ path = \"{plugin('wrong_magic')}\" }}\nplugin echo {{ path = \"{ECHO}\" }}\n")
    host = new_host(broker, plugins=[], conf=conf).start()
    client.declare(received("echo"))
    client.publish(received("echo"), echo(1))
    assert len(client.collect(published("echo"), 1)) == 1
    host.wait_record("Cannot run start_fails, because its process ended: the plugin's start failed: it returned 7")
    host.wait_record(r"cannot run a plugin, and is not healthy without it: .*wrong_magic.so: ")
    assert host.health() is None


@pytest.mark.parametrize("words", [["doctor", ECHO], ["dead"]], ids=["doctor", "dead"])
def test_verbs_that_only_read_documents_need_no_process(broker, client, new_host, words):
    client.declare(received("echo") + "/dead")
    host = new_host(broker, plugins=words, env=WORKERS, conf=f"plugin echo {{ path = \"{ECHO}\" }}\n")
    result = host.run()
    assert "zygote" not in result.stdout + result.stderr
    assert "c1_echo" in result.stdout if words[0] == "doctor" else received("echo") in result.stdout, result


def test_a_named_plugin_that_cannot_start_ends_the_host(broker, new_host):
    result = new_host(broker, plugins=[plugin("start_fails")], env=WORKERS).run()
    assert result.status == 1
    assert "start_fails.so: the plugin's start failed: it returned 7" in result.stderr


def test_the_order_of_a_topic_holds_under_retry(broker, client, mov, new_host):
    client.declare(published("fatal"), CRASH + "/dead")
    host = new_host(broker, plugins=[plugin("fatal")], args=["--isolation", "process"]).start()
    host.wait_healthy()
    worker = workers_of(host.pid)["fatal.so"]
    client.publish_many(CRASH, [body(str(i)) for i in range(300)])
    os.kill(worker, signal.SIGKILL)
    client.publish_many(CRASH, [body(str(i)) for i in range(300, 400)])
    found, deadline = [], time.monotonic() + scaled(20)
    while len(set(found)) < 400 and time.monotonic() < deadline:
        found += [int(json.loads(one)["content"]) for one in client.drain(published("fatal"))]
    first_seen = list(dict.fromkeys(found))
    assert first_seen == list(range(400))


# ---- a worker in another language ----

WORKER = "exec python3 worker.py"  # the shell holds no end of the stream


def prepare_worker(tmp_path, script):
    (tmp_path / "worker.py").write_text(script)
    with open(os.path.join(ROOT, "plugins", "echo", "asyncapi.yaml"), "rb") as document:
        (tmp_path / "asyncapi.yaml").write_bytes(document.read())


def run_worker(tmp_path, script, messages, *options):
    prepare_worker(tmp_path, script)
    return subprocess.run([BINARY, "try", "--worker", WORKER, "--topic", received("echo"), *options],
                          input="".join(json.dumps(one) + "\n" for one in messages), text=True, capture_output=True,
                          cwd=tmp_path, timeout=scaled(30), check=False)


def documented_worker():
    with open(os.path.join(ROOT, "docs", "worker-protocol.md"), encoding="utf-8") as file:
        return re.search(r"```python\n(.*?)```", file.read(), re.DOTALL).group(1)


def test_the_worker_of_the_documentation_works(tmp_path):
    result = run_worker(tmp_path, documented_worker(), [echo(i) for i in range(100)])
    assert result.returncode == 0, result.stderr
    published_bodies = [json.loads(line)["body"] for line in result.stdout.splitlines()]
    assert published_bodies == [echo(i) for i in range(100)]


def test_a_worker_that_retries_keeps_the_order(tmp_path):
    script = documented_worker().replace(
        '        say(f"PUB', '        if words[2] == "1" and int(words[0]) % 3 == 0:\n'
        '            say(f"RETRY {words[0]} not yet")\n            continue\n        say(f"PUB')
    result = run_worker(tmp_path, script, [echo(i) for i in range(10)])
    assert result.returncode == 0, result.stderr
    assert "failed: not yet; again in" in result.stderr
    assert [json.loads(line)["body"]["id"] for line in result.stdout.splitlines()] == [str(i) for i in range(10)]


@pytest.mark.parametrize("line, said", [
    ("GARBAGE", 'no frame begins like this: "GARBAGE"'), ("DONE 999999", 'it does not have the message 999999: "DONE 999999"'),
    ("STOPPED", 'a frame that has no place here: "STOPPED"'), ("PUB 0 a 99999999999", 'a part is too long: "PUB 0 a 99999999999"'),
    ("LOG 0 LOUD 1 f 1\\nx", 'LOUD is not a level of LOG: "LOG 0 LOUD 1 f 1"'),
    ("AGAIN 1 0", 'an attempt is at least 1: "AGAIN 1 0"')])
def test_a_worker_that_breaks_the_protocol_is_ended(tmp_path, line, said):
    script = documented_worker().replace('        say(f"PUB', f'        say("{line}")\n        say(f"PUB')
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert "it breaks the worker protocol: " in result.stderr and said in result.stderr
    assert "rejected: " in result.stderr or "rejected a message" in result.stderr


def test_what_a_worker_publishes_is_checked(tmp_path):
    script = documented_worker().replace("publish_message =", "other_message =")
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert "not a `publish` channel of the AsyncAPI document" in result.stderr
    assert "the host refuses what its worker publishes for it" in result.stderr


def test_timers_records_and_loose_publications_of_a_worker(tmp_path):
    script = documented_worker().replace(
        '        say("STARTED 0")',
        '        say("STARTED 0")\n        say("TIMER 1 10 10")').replace(
        '    elif verb == "CLOSE":',
        '    elif verb == "DUE":\n        say("CANCEL 1")\n        say("LOG 0 INFO 12 worker.py 9", b"it is due")\n'
        '        text = b\'{"id":"t","content":"timer","created_at":1}\'\n'
        '        say(f"PUB 0 valawai/c1/echo/data/publish_message {len(text)}", text)\n    elif verb == "CLOSE":')
    result = run_worker(tmp_path, script, [echo(1)], "--for", "1")
    assert result.returncode == 0, result.stderr
    assert sorted(json.loads(line)["body"]["id"] for line in result.stdout.splitlines()) == ["1", "t"]
    assert "it is due" in result.stderr


@pytest.mark.parametrize("line, said", [
    ("HELLO 1 json", 'a second HELLO: "HELLO 1 json"'), ("READY", 'READY before PLUGIN: "READY"'),
    ("TOPIC a", 'TOPIC before PLUGIN: "TOPIC a"'), ("DONE 1", 'a frame that has no place here: "DONE 1"')])
def test_a_worker_that_breaks_the_protocol_in_its_greeting_is_quoted(tmp_path, line, said):
    script = documented_worker().replace('        say(f"PLUGIN', f'        say("{line}")\n        say(f"PLUGIN', 1)
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert f"it breaks the worker protocol: {said}" in result.stderr


def test_a_worker_greets_before_it_describes_its_plugin(tmp_path):
    script = documented_worker().replace('        say("HELLO 1 json")\n', "")
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert 'it breaks the worker protocol: PLUGIN before HELLO: "PLUGIN 1.0.0 1 - ' in result.stderr


@pytest.mark.parametrize("reason, said", [(" no licence", "no licence"), ("", "it cannot run, and gives no reason")])
def test_a_worker_that_cannot_run_says_why(tmp_path, reason, said):
    script = documented_worker().replace('        say(f"PLUGIN', f'        say("CANNOT{reason}")\n        say(f"PLUGIN', 1)
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert f"valawai-host: {WORKER}: {said}\n" in result.stderr


@pytest.mark.parametrize("frame", ["DONE 1", "NOTE ERROR early", "LOG 0 INFO 1 f 1\\nx", "TIMER 1 1 1", "QUERY 1 components 2\\n{}",
                                   "PUB 0 valawai/c1/echo/data/publish_message 2\\n{}", "HELLO 1 json", "READY"])
def test_a_worker_that_speaks_before_its_start_is_ended(tmp_path, frame):
    """Its descriptor is complete, and the host has not made what serves a plugin."""
    script = documented_worker().replace('        say("READY")', f'        say("READY\\n{frame}")')
    result = run_worker(tmp_path, script, [echo(1)])
    first = frame.split("\\n")[0]
    assert result.returncode == 1
    assert f'it breaks the worker protocol: a frame that has no place here: "{first}"' in result.stderr, result.stderr


def test_a_worker_that_publishes_and_then_fails_to_start_ends(tmp_path):
    """The thread that sends for it ends, too."""
    script = documented_worker().replace(
        '        say("STARTED 0")',
        '        text = b\'{"id":"t","content":"early","created_at":1}\'\n'
        '        say(f"PUB 0 valawai/c1/echo/data/publish_message {len(text)}", text)\n        say("STARTED 7")')
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert "the plugin's start failed: it returned 7" in result.stderr
    assert "thread" not in result.stderr


def run_with_timers(tmp_path, *frames):
    """The worker sends the frames when it has started, and logs each timer that is due."""
    started = '        say("STARTED 0")'
    script = documented_worker().replace(started, "\n".join([started, *(f'        say("{frame}")' for frame in frames)])).replace(
        '    elif verb == "CLOSE":', '    elif verb == "DUE":\n        say(f"NOTE WARNING due: {words[0]}")\n    elif verb == "CLOSE":')
    return run_worker(tmp_path, script, [echo(1)], "--for", "1")


def test_a_cancelled_timer_takes_no_other_along(tmp_path):
    result = run_with_timers(tmp_path, "TIMER 5 50 0", "CANCEL 0")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("due: 5") == 1


def test_a_timer_takes_the_place_of_one_with_the_same_number(tmp_path):
    result = run_with_timers(tmp_path, "TIMER 5 30 0", "TIMER 5 50 0", "TIMER 6 50 0")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("due: 5") == 1 and result.stderr.count("due: 6") == 1


def test_the_timers_of_a_worker_have_a_bound_and_one_that_is_over_does_not_count(tmp_path):
    flood = documented_worker().replace(
        '        say("STARTED 0")', '        say("STARTED 0")\n        say("\\n".join(f"TIMER {i} 100000 0" for i in range(1, 10002)))')
    result = run_worker(tmp_path, flood, [echo(1)])
    assert result.returncode == 1
    assert 'more than 10000 timers: "TIMER 10001 100000 0"' in result.stderr
    script = documented_worker().replace(
        '        say("STARTED 0")', '        say("STARTED 0\\nTIMER 1 0 0")\n        due = 0').replace(
        '    elif verb == "CLOSE":', '    elif verb == "DUE":\n        due += 1\n        if due < 10100:\n'
        '            say(f"TIMER {due + 1} 0 0")\n        else:\n            say("NOTE WARNING all are over")\n    elif verb == "CLOSE":')
    result = run_worker(tmp_path, script, [echo(1)], "--for", str(int(scaled(3))))
    assert result.returncode == 0, result.stderr
    assert "all are over" in result.stderr


def test_a_worker_outside_of_its_group_is_ended_too(tmp_path):
    """The host cannot kill it, and the stream would not end."""
    script = documented_worker().replace(
        "import sys\n", "import os, sys, time\nread, write = os.pipe()\nif os.fork() > 0:\n    os.close(write)\n    os.read(read, 1)\n    os._exit(0)\n"
        "os.setsid()\nos.close(write)\n", 1).replace(
        '        say(f"PUB', '        say("GARBAGE")\n        time.sleep(600)\n        say(f"PUB')
    began = time.monotonic()
    (tmp_path / "plugins.conf").write_text("host { crash_attempts = 1 }\n")
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert 'it breaks the worker protocol: no frame begins like this: "GARBAGE"' in result.stderr
    assert time.monotonic() - began < scaled(10)


def test_a_worker_that_closes_its_stream_and_lives_on_is_named(tmp_path):
    script = documented_worker().replace("import sys\n", "import os, sys, time\n", 1).replace(
        '        say(f"PUB', '        os.close(0)\n        os.close(1)\n        time.sleep(600)\n        say(f"PUB')
    (tmp_path / "plugins.conf").write_text("host { crash_attempts = 1 }\n")
    result = run_worker(tmp_path, script, [echo(1)])
    assert result.returncode == 1
    assert "it has closed its stream, and does not end" in result.stderr


@plain_build  # tens of megabytes of questions take minutes with a sanitizer
def test_a_worker_that_asks_and_never_reads_is_ended(tmp_path):
    """Its answers would use up the host's memory."""
    script = documented_worker().replace(
        '        say(f"PUB', '        while True:\n            stdout.write(b"QUERY 1 components 1\\n[\\n" * 10000)\n        say(f"PUB')
    (tmp_path / "plugins.conf").write_text("host { crash_attempts = 1\n message_max_bytes = 1024 }\nlog { console_level = CRITICAL }\n")
    result = run_worker(tmp_path, script, [echo(1)], "--verbose")
    assert result.returncode == 1
    assert "line 1: " in result.stderr and "rejected: crashed" in result.stderr


@plain_build
def test_a_worker_that_lags_behind_costs_the_host_no_memory(tmp_path):
    """The host forgets what has left, although something always remains to be sent."""
    script = documented_worker().replace("1.0.0 1 -", "1.0.0 1000 -").replace("import sys\n", "import sys, time\n", 1).replace(
        '        say(f"DONE', '        time.sleep(0.0003)\n        say(f"DONE')
    prepare_worker(tmp_path, script)
    line = json.dumps({"id": "1", "content": "x" * 20000, "created_at": 1}) + "\n"
    (tmp_path / "lines").write_text(line * 5000)
    most = 0
    with open(tmp_path / "lines", "rb") as lines:
        process = subprocess.Popen([BINARY, "try", "--worker", WORKER, "--topic", received("echo")], stdin=lines,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path)
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status") as status:
            most = max([most, *map(int, re.findall(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE))])
        time.sleep(0.05)
    assert process.returncode == 0
    assert 0 < most < 70_000, f"{most} kB for 100 MB of messages, 20 MB of them at a time"

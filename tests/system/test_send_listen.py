# SPDX-License-Identifier: GPL-3.0-or-later
"""valawai-host send and listen: the two ends of a component, without another tool."""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading

import pytest

from broker import free_port, scaled, wait_until
from by_hand import GREETING, METHOD, OPEN, OPEN_OK, START, START_OK, TUNE, TUNE_OK, long, method, short, table
from host import BINARY, Host, Result, WRAPPER, one_line, published, received

IN, OUT = received(), published()


@pytest.fixture
def verb(broker, tmp_path):
    """Runs a verb of the real program to its end."""
    def run(*args, stdin=b"", timeout=20, env=None):
        done = subprocess.run([*WRAPPER, BINARY, *args], cwd=tmp_path, env=environment(broker, env), input=stdin,
                              capture_output=True, timeout=scaled(timeout))
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    return run


@pytest.fixture
def begin(broker, tmp_path):
    """Starts a verb in the background, until the end of the test."""
    processes = []

    def start(*args, stdin=subprocess.DEVNULL, **more):
        processes.append(subprocess.Popen([*WRAPPER, BINARY, *args], cwd=tmp_path, env=environment(broker), stdin=stdin,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def environment(broker, more=None):
    return {**Host(broker, plugins=()).env, **(more or {})}


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def outlast_a_silent_client(broker):
    """Returns when the broker has given up a client that logs in now, with a heartbeat of a second, and sends nothing more."""
    with socket.create_connection(("127.0.0.1", broker.port), timeout=scaled(20)) as client:
        login = b"\0" + broker.username.encode() + b"\0" + broker.password.encode()
        client.sendall(GREETING)
        for awaited, answer in ((START, method(0, START_OK, table({}) + short("PLAIN") + long(login) + short("en_US"))),
                                (TUNE, method(0, TUNE_OK, struct.pack(">HIH", 1, 131072, 1))
                                 + method(0, OPEN, short("/") + short("") + b"\0")),
                                (OPEN_OK, b"")):
            kind, _, size = struct.unpack(">BHI", read(client, 7))
            assert kind == METHOD and struct.unpack(">HH", read(client, size + 1)[:4]) == awaited
            client.sendall(answer)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(4096):
                pass


def read(client, size):
    data = b""
    while len(data) < size:
        part = client.recv(size - len(data))
        assert part, "the broker closed the connection"
        data += part
    return data


def listening(process):
    """The line on stderr that the verb writes when it consumes."""
    return process.stderr.readline().decode()


# --- send -------------------------------------------------------------------------------------------------------------


def test_send_is_what_a_component_sends(verb, client):
    client.declare(IN)
    assert verb("send", IN, '{"content": "Hëllo"}') == Result(0, "", "")
    (properties, body), = client.collect_messages(IN, 1)
    assert body.decode() == '{"content": "Hëllo"}'
    assert properties.content_type == "application/json" and properties.delivery_mode == 2


@pytest.mark.parametrize("dash", [(), ("-",)])
def test_send_lines(verb, client, dash):
    """An empty line is skipped, and the last line needs no line break."""
    client.declare(IN)
    assert verb("send", IN, *dash, stdin=b'{"n":1}\n\n  \n{"n":2}\r\n{"n":3}') == Result(0, "", "")
    assert [json.loads(body)["n"] for body in client.collect(IN, 3)] == [1, 2, 3]


def test_send_what_editors_write(verb, client):
    """A byte order mark and carriage returns are not part of a message."""
    client.declare(IN)
    assert verb("send", IN, stdin=b'\xef\xbb\xbf{"n":1}\r\n\r\n{"n":2}\r\n{"n":3}\r') == Result(0, "", "")
    assert client.collect(IN, 3) == [b'{"n":1}', b'{"n":2}', b'{"n":3}']


def test_send_what_cannot_be_read(verb, client, begin):
    client.declare(IN)
    with open("/dev/null", "wb") as write_only:
        process = begin("send", IN, stdin=write_only)
        assert process.wait(scaled(20)) == 1
    assert "standard input: Bad file descriptor" in process.stderr.read().decode()


def test_send_nothing(verb, client):
    client.declare(IN)
    assert verb("send", IN, stdin=b"") == Result(0, "", "")
    assert client.depth(IN) == 0


def test_send_many(verb, client):
    client.declare(IN)
    assert verb("send", IN, stdin=b"".join(b'{"n":%d}\n' % n for n in range(40000)), timeout=60).status == 0
    assert [json.loads(body)["n"] for body in client.collect(IN, 40000, 60)] == list(range(40000))


def test_send_large(verb, client, tmp_path):
    (tmp_path / "plugins.conf").write_text("host { message_max_bytes = 3000000 }\n")
    client.declare(IN)
    large = json.dumps({"content": "x" * 2_900_000}).encode()
    assert verb("send", IN, stdin=large + b'\n{"n":2}\n').status == 0
    assert client.collect(IN, 2) == [large, b'{"n":2}']
    result = verb("send", IN, stdin=b'{"n":1}\n{"content":"' + b"x" * 3_000_000 + b'"}\n{"n":3}\n')
    one_line(result, "line 2", "message_max_bytes", "1 message(s)")
    assert client.collect(IN, 1) == [b'{"n":1}'] and client.depth(IN) == 0


@pytest.mark.parametrize("body", ["[]", "1", "", "{", "{'a':1}", '{"a":NaN}', '{"a":1} x'])
def test_send_no_object(verb, client, body):
    client.declare(IN)
    one_line(verb("send", IN, body), "the message")
    assert client.depth(IN) == 0


def test_a_bad_line_ends_it(verb, client):
    client.declare(IN)
    one_line(verb("send", IN, stdin=b'{"n":1}\n{"n":2}\nhello\n{"n":3}\n'), "line 3", "2 message(s)")
    assert client.depth(IN) == 2


def test_send_without_a_queue(verb, client):
    client.delete(IN)
    one_line(verb("send", IN, "{}"), IN, "no queue has this name")
    one_line(verb("send", IN, stdin=b'{"n":1}\n{"n":2}\n'), IN)


def test_send_to_a_full_queue(verb, client, broker):
    """A refused message is not a sent one."""
    client.declare(IN)
    broker.ctl("set_policy", "full", "^valawai/", '{"max-length":1,"overflow":"reject-publish"}', "--apply-to", "queues")
    try:
        wait_until(lambda: verb("send", IN, "{}").status == 1, 20, "the policy")
        one_line(verb("send", IN, "{}"), "full")
    finally:
        broker.ctl("clear_policy", "full")
    assert client.depth(IN) == 1


def test_send_waits_while_the_broker_has_an_alarm(begin, client, broker, tmp_path):
    client.declare(IN)
    (tmp_path / "lines").write_bytes((b'{"content":"' + b"x" * 10000 + b'"}\n') * 100)
    broker.alarm()
    try:
        with open(tmp_path / "lines", "rb") as file:
            process = begin("send", IN, stdin=file)
        assert "alarm" in process.stderr.readline().decode()
        assert process.poll() is None
    finally:
        broker.alarm(False)
    assert process.wait(scaled(30)) == 0
    assert len(client.collect(IN, 100)) == 100


def test_send_types_slowly(begin, client, broker, tmp_path):
    """Each line that a person types leaves at once, and heartbeats go on between two lines."""
    (tmp_path / "plugins.conf").write_text("broker { heartbeat = 1 }\n")
    client.declare(IN)
    process = begin("send", IN, stdin=subprocess.PIPE)
    for n in (1, 2):
        process.stdin.write(b'{"n":%d}\n' % n)
        process.stdin.flush()
        assert client.collect(IN, 1) == [b'{"n":%d}' % n]
        outlast_a_silent_client(broker)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(scaled(10)) == 0, process.stderr.read()


# --- listen -----------------------------------------------------------------------------------------------------------


def test_listen_count(verb, client):
    client.declare(IN)
    client.publish(IN, *({"n": n} for n in range(10)))
    result = verb("listen", IN, "--count", "4")
    assert (result.status, lines(result.stdout)) == (0, [{"n": n} for n in range(4)])
    assert result.stderr.count("\n") == 1 and "takes" in result.stderr and "--trace" in result.stderr
    assert [json.loads(body)["n"] for body in client.collect(IN, 6)] == [4, 5, 6, 7, 8, 9]


def test_listen_one_line_each(verb, client):
    client.declare(IN)
    bodies = [b'{\n  "a":\r\n  "x\\ny"\n}', b"\xff\x00hello\n", b"", b'{"a":"\xc3\xa9"}']
    client.publish(IN, *bodies)
    result = verb("listen", IN, "--count", "4")
    assert result.stdout.split("\n") == ['{   "a":    "x\\ny" }', "\\xff\\x00hello\\n", "", '{"a":"é"}', ""]


def test_listen_more_than_the_prefetch(verb, client, tmp_path):
    (tmp_path / "plugins.conf").write_text("broker { prefetch = 10 }\n")
    client.declare(IN)
    client.publish_many(IN, (b'{"n":%d}' % n for n in range(2000)))
    result = verb("listen", IN, "--count", "1995")
    assert [line["n"] for line in lines(result.stdout)] == list(range(1995))
    wait_until(lambda: client.depth(IN) == 5, 5, "the rest is back")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_listen_until_it_is_told(begin, client, number):
    client.declare(IN)
    process = begin("listen", IN)
    listening(process)
    client.publish(IN, {"n": 1})
    assert process.stdout.readline() == b'{"n": 1}\n'
    client.publish(IN, {"n": 2})
    assert process.stdout.readline() == b'{"n": 2}\n'
    process.send_signal(number)
    assert process.wait(scaled(5)) == 0
    assert client.depth(IN) == 0


def test_listen_says_that_it_competes(begin, new_host, broker, mov, client):
    new_host(broker).start().wait_healthy()
    assert "1 other consumer" in listening(begin("listen", IN))
    assert "other consumer" not in listening(begin("listen", registered_out(client)))


def registered_out(client):
    client.declare(OUT)
    return OUT


def test_a_component_is_tried_with_both(verb, begin, new_host, broker, mov, client):
    new_host(broker).start().wait_healthy()
    process = begin("listen", OUT, "--count", "1")
    listening(process)
    assert verb("send", IN, '{"content":"Hello"}').status == 0
    assert process.communicate(timeout=scaled(10))[0] == b'{"content":"Hello"}\n'
    assert process.returncode == 0


def test_listen_without_a_queue(verb, client):
    client.delete(IN)
    one_line(verb("listen", IN), IN, "no such queue")
    one_line(verb("listen", "--trace", IN), IN, "no such queue")


def test_the_queue_is_deleted_meanwhile(begin, client):
    client.declare(IN)
    process = begin("listen", IN)
    listening(process)
    client.delete(IN)
    assert process.wait(scaled(5)) == 1
    assert IN in process.stderr.read().decode()


def test_nobody_reads_any_more(begin, client):
    """As in `listen | head`: the verb ends at once, without a message and with success."""
    client.declare(IN)
    process = begin("listen", IN)
    listening(process)
    process.stdout.close()
    assert process.wait(scaled(5)) == 0
    assert process.stderr.read() == b""
    process = begin("listen", IN)
    client.publish(IN, {"n": 1})
    listening(process)
    process.stdout.close()
    assert process.wait(scaled(5)) == 0


def test_what_was_not_written_is_not_acknowledged(begin, broker, client, tmp_path):
    """Neither a reader that pauses for longer than two heartbeats nor one that goes away loses a message."""
    (tmp_path / "plugins.conf").write_text("broker { heartbeat = 1  prefetch = 100 }\n")
    client.declare(IN)
    client.publish_many(IN, (b'{"n":%d,"x":"%s"}' % (n, b"x" * 10000) for n in range(100)))
    process = begin("listen", IN)
    listening(process)
    outlast_a_silent_client(broker)
    assert client.depth(IN) == 0 and process.poll() is None
    process.kill()
    written = process.communicate()[0].decode().count("\n")  # into the pipe; only these may be acknowledged
    wait_until(lambda: client.depth(IN) + written >= 100, 10, "all are back")
    left = client.depth(IN)
    process = begin("listen", IN, "--count", str(left))
    listening(process)
    outlast_a_silent_client(broker)
    assert [line["n"] for line in lines(process.stdout.read().decode())] == list(range(100 - left, 100))
    assert process.wait(scaled(5)) == 0 and client.depth(IN) == 0


def test_a_full_disk(begin, verb, client):
    client.declare(IN)
    client.publish(IN, {"n": 1})
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BINARY, "listen", IN, "--count", "1"], env=environment(client.broker), stdout=full,
                              stderr=subprocess.PIPE, timeout=scaled(10))
    assert done.returncode == 1 and b"No space left" in done.stderr
    assert verb("listen", IN, "--count", "1").stdout == '{"n": 1}\n'


def test_a_closed_output(verb, client):
    """The descriptor of the connection does not become the output, and the message is not lost."""
    client.declare(IN)
    client.publish(IN, {"n": 1})
    command = ["sh", "-c", 'exec "$@" >&-', "sh", BINARY, "listen", IN, "--count", "1"]
    done = subprocess.run(command, env=environment(client.broker), capture_output=True, timeout=scaled(10), check=False)
    assert done.returncode == 1 and b"standard output: Bad file descriptor" in done.stderr
    assert verb("listen", IN, "--count", "1").stdout == '{"n": 1}\n'


# --- listen --trace ---------------------------------------------------------------------------------------------------


@pytest.fixture
def tracing(broker):
    broker.ctl("trace_on")
    yield
    broker.ctl("trace_off")


def test_trace_takes_nothing(begin, verb, client, tracing):
    """It shows messages without a consumer and those of other publishers, but none of other topics."""
    client.declare(IN, OUT)
    process = begin("listen", "--trace", "--count", "3", IN)
    assert "takes nothing" in listening(process)
    assert verb("send", IN, '{"n":1}').status == 0
    client.publish(OUT, {"n": 2})
    client.publish(IN, {"n": 3}, {"content": "x" * 200000})
    out, err = process.communicate(timeout=scaled(10))
    assert lines(out.decode()) == [{"n": 1}, {"n": 3}, {"content": "x" * 200000}]
    assert (process.returncode, err) == (0, b"") and client.depth(IN) == 3


def test_trace_is_off(verb, client):
    client.declare(IN)
    one_line(verb("listen", "--trace", IN), "tracing is off", "rabbitmqctl trace_on")


# --- both -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [("send", IN, "{}"), ("listen", IN)])
def test_broker_not_there(verb, args):
    port = str(free_port())
    one_line(verb(*args, env={"RABBITMQ_PORT": port}), port)
    one_line(verb(*args, env={"RABBITMQ_PASSWORD": "wrong"}), "user mov")
    one_line(verb(*args[:1], "--config", "nowhere.conf", *args[1:]), "nowhere.conf")


@pytest.mark.parametrize("args", [("send", IN, "-"), ("listen", IN)])
def test_broker_goes_away(begin, broker, client, args):
    client.declare(IN)
    process = begin(*args, stdin=subprocess.PIPE)
    wait_until(lambda: int(broker.ctl("list_connections", "name").count("127.0.0.1")) >= 2, 10, "it is connected")
    client.close()
    broker.kill()
    assert process.wait(scaled(10)) == 1
    last = process.stderr.read().decode().splitlines()[-1]
    assert last.startswith("valawai-host: ")
    broker.start()


def test_config(verb, broker, client, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "password").write_text(broker.password + "\n")
    (tmp_path / "etc" / "host.conf").write_text(
        f'broker {{ host = "{broker.host}" port = {broker.port} username = "{broker.username}" password_file = password }}')
    nothing = {name: "" for name in broker.environment()}
    client.declare(IN)
    assert verb("send", "-c", "etc/host.conf", IN, '{"n":1}', env=nothing).status == 0
    assert verb("listen", "--config=etc/host.conf", "--count=1", IN, env=nothing).stdout == '{"n":1}\n'


@pytest.mark.parametrize("args, thing", [
    (("send",), "topic"), (("send", IN, "{}", "{}"), "message"), (("send", "--frob", IN, "{}"), "--frob"),
    (("send", "x" * 256, "{}"), "255"), (("send", "", "{}"), "255"), (("send", IN, "{}", "--config"), "--config"),
    (("listen",), "topic"), (("listen", IN, OUT), "topic"), (("listen", IN, "--count", "0"), "--count"),
    (("listen", IN, "--count", "-1"), "--count"), (("listen", IN, "--count", "2x"), "--count"),
    (("listen", IN, "--frob"), "--frob"), (("listen", "x" * 256), "255"),
])
def test_wrong_usage(verb, args, thing):
    one_line(verb(*args), thing, status=2)

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host tells by HTTP: on its Unix socket, and by TCP where that is asked for.

VALAWAI_METRICS_MESSAGES  messages of the test that compares the metrics with what it sent; default 4000
"""

import collections
import json
import os
import random
import re
import shutil
import signal
import socket
import stat
import subprocess

import pytest

from broker import free_port, scaled
from host import BINARY, ROOT, plugin, published, received
from web import Web, samples

MESSAGES = int(os.environ.get("VALAWAI_METRICS_MESSAGES") or 4000)


def start(new_host, broker, **more):
    host = new_host(broker, **more).start()
    host.wait_healthy()
    web = Web.of(host)
    host.wait(web.answers, what="an answer of the control socket")
    return host, web


def wait_ready(host, web):
    host.wait(lambda: web.get("/readyz").status == 200, what="readiness")


# --- the paths -----------------------------------------------------------------------------------------------------------


def test_the_status_of_a_healthy_host(mov, broker, client, new_host):
    host, web = start(new_host, broker)
    wait_ready(host, web)
    client.declare(published())
    client.publish(received(), *({"content": str(number)} for number in range(20)))
    client.collect(published(), 20)
    host.wait(lambda: web.component()["topics"][0]["acknowledged"] == 20, what="twenty acknowledged messages")
    status = web.status()
    assert (status["format"], status["healthy"]) == (1, True)
    assert status["host"]["pid"] == host.pid
    assert status["broker"]["address"] == f"127.0.0.1:{broker.port}"
    assert status["broker"]["version"] == broker.ctl("version").split()[-1]
    assert (status["broker"]["receiving"], status["broker"]["publishing"]) == (True, True)
    assert status["mov"]["state"] == "present"
    component = status["components"][0]
    assert (component["name"], component["state"], component["reason"]) == ("c1_echo", "healthy", None)
    assert component["mov_id"] == host.health()["id"]
    assert (component["received"], component["in_hand"], component["confirmed"]) == (20, 0, 20)
    assert 0 < component["handler"]["p50_seconds"] <= component["handler"]["p99_seconds"] < 10
    assert len(component["rate"]["points"]) == 60


def test_an_error_is_shown_without_the_payload(mov, broker, client, new_host):
    host, web = start(new_host, broker)
    assert web.component()["last_error"] is None
    client.publish(received(), b'{"content": 12, "secret": "hunter2"}')
    host.wait(lambda: web.component()["last_error"], what="an error")
    assert "rejected a message" in web.component()["last_error"]["text"]
    assert "hunter2" in host.log()
    for path in "/status", "/metrics", "/readyz", "/q/health":
        assert "hunter2" not in web.get(path).body


def test_a_component_that_is_not_ready_says_why(broker, client, new_host):
    """There is no MOV."""
    host = new_host(broker).start()
    host.wait_consuming()
    web = Web.of(host)
    host.wait(lambda: "MOV" in web.get("/readyz").body, what="a reason that names the MOV")
    ready = web.get("/readyz")
    assert ready.status == 503
    assert re.fullmatch(r"c1_echo: .+\n", ready.body)
    for path in "/q/health", "/q/health/ready":
        reply = web.get(path)
        assert reply.status == 503
        health = json.loads(reply.body)
        assert health["status"] == "DOWN"
        check = next(check for check in health["checks"] if check["name"] == "c1_echo")
        assert (check["status"], check["data"]["reason"]) == ("DOWN", ready.body[len("c1_echo: "):-1])
    for path in "/livez", "/q/health/live", "/q/health/started":
        assert web.get(path).status == 200
    component = web.component()
    assert (component["state"], component["healthy"], component["mov_id"]) == ("unhealthy", False, None)


def test_health_of_a_ready_host(mov, broker, client, new_host):
    host, web = start(new_host, broker)
    wait_ready(host, web)
    assert web.get("/readyz").body == "ok\n"
    echo = {"name": "c1_echo", "status": "UP"}
    live = {"name": "valawai-host", "status": "UP"}
    for path, checks in (("/q/health", [live, echo]), ("/q/health/live", [live]), ("/q/health/ready", [echo]),
                         ("/q/health/started", [echo])):
        reply = web.get(path)
        assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
        assert json.loads(reply.body) == {"status": "UP", "checks": checks}


def test_a_lost_broker_and_its_return(mov, broker, client, new_host):
    host, web = start(new_host, broker)
    wait_ready(host, web)
    broker.stop()
    host.wait(lambda: "connection to the broker" in web.get("/readyz").body, what="a reason that names the connection")
    assert web.get("/livez").status == 200
    assert web.component()["state"] == "unhealthy"
    broker.start()
    host.wait(lambda: web.status()["broker"]["reconnects"] == 2, 60, "both connections")
    host.wait(lambda: web.status()["broker"]["receiving"], 60, "the receiving connection")


def test_a_handler_over_its_limit_is_not_ready(mov, broker, client, new_host):
    host, web = start(new_host, broker, plugins=(plugin("slow"),),
                      conf='host { slow_seconds = 1 }\nplugin slow { milliseconds = "4000" }\n')
    wait_ready(host, web)
    client.publish(received("slow"), {"content": "one"})
    host.wait(lambda: "busy with one message" in web.get("/readyz").body, what="a handler over its limit")
    component = web.component("c1_slow")
    assert component["handler"]["over_limit"] and not component["healthy"]
    assert component["in_hand"] == 1
    assert host.health(), "the health file says whether it is registered and consumes"
    wait_ready(host, web)


def test_other_paths_and_methods(mov, broker, client, new_host):
    _, web = start(new_host, broker)
    index = web.get("/nothing")
    paths = re.findall(r"^(/\S*)", index.body, re.MULTILINE)
    assert index.status == 404 and {"/", "/status", "/metrics"} <= set(paths)
    for path in paths:
        reply, head = web.get(path), web.get(path, "HEAD")
        assert reply.status == head.status == 200, path
        assert head.body == ""
        assert int(head.headers["Content-Length"]) > 0
        assert reply.headers["Cache-Control"] == "no-store"
    for path in "/nothing", "/status/", "/../etc/passwd", "/%00", "/STATUS":
        assert web.get(path).status == 404, path
    assert web.get("/status?pretty").status == 200
    with_body = web.get("/status", headers={"Content-Length": "5"})
    assert with_body.status == 413
    for method in "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE":
        reply = web.get("/status", method)
        assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD"), method


# --- metrics -------------------------------------------------------------------------------------------------------------


def test_metrics_agree_with_what_was_sent(mov, broker, client, new_host):
    """Good messages with every kind of bad one in between."""
    # The queue of dead letters must hold every bad message.
    host, web = start(new_host, broker, plugins=(plugin("verdict"),), conf=f"host {{ dead_letters_max = {MESSAGES} }}\n")
    bodies = {"done": {"content": "done"}, "wrong": {"content": "wrong"}, "failed": {"content": "failed"},
              "invalid": {"content": 3}, "not_json": b"not JSON", "unknown": {"content": "unknown"}}
    sent = collections.Counter()
    names = random.Random(7).choices(list(bodies), weights=(20, 1, 1, 1, 1, 1), k=MESSAGES)
    for begin in range(0, MESSAGES, 1000):
        part = names[begin:begin + 1000]
        sent.update(part)
        client.publish_many(received("verdict"), [bodies[name] for name in part])
        client.collect(published("verdict"), part.count("done"), 60)
    topic = received("verdict")

    def value(name, topic=topic):
        return web.metric(name, topic, "c1_verdict")

    dead = MESSAGES - sent["done"]
    host.wait(lambda: value("valawai_messages_in_hand") == 0, 60, "all to be settled")
    assert value("valawai_messages_received_total") == MESSAGES
    assert value("valawai_messages_acknowledged_total") == sent["done"]
    assert value("valawai_messages_dead_lettered_total") == dead == client.depth(topic + "/dead")
    assert value("valawai_messages_rejected_total") == 0
    assert value("valawai_messages_returned_total") == 0
    assert value("valawai_messages_dead_invalid_total") == sent["invalid"] + sent["not_json"]
    assert value("valawai_messages_dead_wrong_total") == sent["wrong"]
    assert value("valawai_messages_dead_failed_total") == sent["failed"] + sent["unknown"]
    assert value("valawai_publications_made_total", published("verdict")) == sent["done"]
    assert value("valawai_publications_confirmed_total", published("verdict")) == sent["done"]
    metrics = web.metrics()
    assert metrics[("valawai_handler_duration_seconds_count", "c1_verdict", topic, None)] == (
        MESSAGES - sent["invalid"] - sent["not_json"])
    assert metrics[("valawai_message_duration_seconds_count", "c1_verdict", topic, None)] == MESSAGES
    totals = web.component("c1_verdict")
    assert (totals["received"], totals["dead"], totals["confirmed"]) == (MESSAGES, dead, sent["done"])


def test_metrics_add_up_over_lost_connections(broker, client, new_host):
    count = 3000
    host = new_host(broker, plugins=(plugin("slow"),), conf='plugin slow { milliseconds = "4" }\n').start()
    host.wait_consuming()
    web = Web.of(host)
    client.declare(published("slow"))
    client.publish_many(received("slow"), [{"content": str(number)} for number in range(count)])
    topic = received("slow")

    def value(name, topic=topic):
        return web.metric(name, topic, "c1_slow")

    for cut in range(3):
        before = value("valawai_messages_acknowledged_total")
        host.wait(lambda: value("valawai_messages_acknowledged_total") > before + 50, 30, "some progress")
        host.send_signal(signal.SIGSTOP)  # so that messages are left, however long rabbitmqctl takes
        try:
            broker.ctl("close_all_connections", f"cut {cut}")
        finally:
            host.send_signal(signal.SIGCONT)
        client.close()
        host.wait(lambda: web.metrics()[("valawai_broker_reconnects_total", None, None, None)] == 2 * (cut + 1), 30,
                  "both connections")
    seen = {json.loads(body)["content"] for body in client.collect(published("slow"), count, 60)}
    host.wait(lambda: client.depth(topic) == 0 and value("valawai_messages_in_hand") == 0, 30, "all to be settled")
    seen.update(json.loads(body)["content"] for body in client.drain(published("slow")))
    assert len(seen) == count
    settled = value("valawai_messages_acknowledged_total") + value("valawai_messages_returned_total")
    assert value("valawai_messages_received_total") == settled
    assert value("valawai_messages_acknowledged_total") >= count
    assert value("valawai_messages_returned_total") > 0
    publications = ("confirmed", "refused", "withdrawn")
    assert value("valawai_publications_made_total", published("slow")) == sum(
        value(f"valawai_publications_{outcome}_total", published("slow")) for outcome in publications)


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_retries_tickets_and_the_outbox(mov, broker, client, new_host, isolation):
    host, web = start(new_host, broker, plugins=(plugin("retry"),), conf='plugin retry { attempt = "3" }\n',
                      env={"VALAWAI_ISOLATION": isolation})
    client.declare(published("retry"))
    client.publish(received("retry"), {"content": "again"})
    client.collect(published("retry"), 1, 30)
    host.wait(lambda: web.metric("valawai_messages_retried_total", received("retry"), "c1_retry") == 2, what="two retries")
    assert web.metric("valawai_tickets_open", None, "c1_retry") == 0
    host.wait(lambda: web.metric("valawai_outbox_bytes", None, "c1_retry") == 0, what="the confirmation of the echo")


@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_open_tickets_are_counted(mov, broker, client, new_host, isolation):
    host, web = start(new_host, broker, plugins=(plugin("later"),), env={"VALAWAI_ISOLATION": isolation},
                      conf="host { grace_seconds = 1 }\n")
    client.declare(published("later"), received("later"))
    client.publish(received("later"), {"content": "now"}, {"content": "never"}, {"content": "never"})
    client.collect(published("later"), 1, 30)
    host.wait(lambda: web.metric("valawai_tickets_open", None, "c1_later") == 2, what="two open tickets")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (prometheus)")
def test_promtool_finds_no_fault(mov, broker, client, new_host):
    _, web = start(new_host, broker)
    client.publish(received(), {"content": "one"})
    result = subprocess.run(["promtool", "check", "metrics"], input=web.get("/metrics").body, text=True,
                            capture_output=True)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_documents_name_every_metric(mov, broker, client, new_host):
    _, web = start(new_host, broker)
    served = dict(re.findall(r"^# TYPE (\S+) (\S+)$", web.get("/metrics").body, re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", web.get("/metrics").body, re.MULTILINE))
    with open(os.path.join(ROOT, "docs", "operating.md"), encoding="utf-8") as file:
        rows = re.findall(r"^\| `(\w+)` \| (\w+) \| [^|]+ \| (.+) \|$", file.read(), re.MULTILINE)
    assert {name: kind for name, kind, _ in rows} == served
    assert {name: text for name, _, text in rows} == helps


def test_the_documents_name_every_member_of_the_status(mov, broker, client, new_host):
    host, web = start(new_host, broker)
    client.publish(received(), {"content": 3})
    host.wait(lambda: web.component()["last_error"], what="an error")

    def members(value):
        if isinstance(value, dict):
            for name, inner in value.items():
                yield name
                if name != "dead_by_reason":
                    yield from members(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from members(inner)

    with open(os.path.join(ROOT, "docs", "status.md"), encoding="utf-8") as file:
        named = {word for code in re.findall(r"`([\w.]+)`", file.read()) for word in code.split(".")}
    assert set(members(web.status())) - named == set()


def test_openmetrics_by_accept(mov, broker, client, new_host):
    _, web = start(new_host, broker)
    plain, opened = "text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8"
    for accept, expected in ((None, plain), ("*/*", plain), ("text/plain", plain), ("application/openmetrics-text", opened),
                             ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", opened),
                             ("application/openmetrics-text;q=0.2, text/plain;q=0.3", plain),
                             ("application/openmetrics-text;q=0", plain), ("application/openmetrics-textual", plain)):
        reply = web.get("/metrics", headers={"Accept": accept} if accept else None)
        assert reply.headers["Content-Type"] == expected, accept
        assert reply.body.endswith("# EOF\n") == (expected == opened)
        types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", reply.body, re.MULTILINE))
        assert all(name.endswith("_total") == (expected == plain) for name, kind in types.items() if kind == "counter")
        assert ("valawai_messages_received_total", "c1_echo", received(), None) in samples(reply.body)


# --- the sockets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_the_socket_is_for_the_user_alone(broker, new_host, umask):
    host = new_host(broker, umask=umask)
    os.mkdir(host.path("logs"))
    os.chmod(host.path("logs"), 0o755)
    host.start()
    path = host.path("logs", "control.sock")
    host.wait(lambda: os.path.exists(path), what="the socket")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_ISSOCK(os.stat(path).st_mode)
    assert Web.of(host).answers()
    assert host.stop() == 0
    assert not os.path.lexists(path)


def test_the_socket_of_a_killed_host_is_replaced(broker, new_host):
    host = new_host(broker).start()
    web = Web.of(host)
    host.wait(web.answers, what="an answer")
    host.kill9()
    assert os.path.exists(host.path("logs", "control.sock"))
    host.start()
    host.wait(web.answers, what="an answer of the next host")
    assert web.status()["host"]["pid"] == host.pid


def test_a_second_host_in_the_directory_leaves_the_socket(broker, new_host):
    """The lock is that of the health file, and this host has another one."""
    host = new_host(broker).start()
    web = Web.of(host)
    host.wait(web.answers, what="an answer")
    second = new_host(broker, directory=host.directory, plugins=(plugin("other"),),
                      env={"COMPONET_ID_FILE_NAME": "other.json", "LOG_FILE_NAME": "other.txt"}).start()
    second.wait(lambda: "another host" in second.log("logs/other.txt"), what="a record")
    assert web.status()["host"]["pid"] == host.pid
    assert second.stop() == 0
    assert web.status()["host"]["pid"] == host.pid


def test_a_socket_that_is_removed_comes_back(broker, new_host):
    host = new_host(broker).start()
    web = Web.of(host)
    host.wait(web.answers, what="an answer")
    os.remove(host.path("logs", "control.sock"))
    host.wait(web.answers, 20, "the socket again")


def test_a_path_that_is_longer_than_a_socket_address(broker, new_host):
    host = new_host(broker, env={"LOG_DIR": "/".join(["d" * 60] * 3)}).start()
    web = Web(host.path("d" * 60, "d" * 60, "d" * 60, "control.sock"))
    assert len(web.address) > 107
    host.wait(web.answers, what="an answer")
    assert host.stop() == 0
    assert not os.path.lexists(web.address)


@pytest.mark.parametrize("in_the_way", ["file", "directory", "link"])
def test_what_is_no_socket_stays(broker, new_host, in_the_way):
    host = new_host(broker)
    path = host.path("logs", "control.sock")
    os.mkdir(host.path("logs"))
    if in_the_way == "file":
        host.write("logs/control.sock", "mine")
    elif in_the_way == "directory":
        os.mkdir(path)
    else:
        os.symlink("/nowhere", path)
    host.start()
    host.wait_record("control.sock is in the way")
    host.wait_consuming()
    assert host.stop() == 0
    assert os.path.lexists(path)


@pytest.mark.parametrize("listen, address", [("127.0.0.1:{}", "127.0.0.1"), ("[::1]:{}", "::1"), ("[::]:{}", "::1"),
                                             ("[::]:{}", "127.0.0.1"), (":{}", "127.0.0.1")])
def test_tcp(broker, new_host, listen, address):
    if ":" in address and not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this machine has no IPv6")
    port = free_port()
    host = new_host(broker, env={"HTTP_LISTEN": listen.format(port)}).start()
    web = Web((address, port))
    host.wait(web.answers, what="an answer by TCP")
    assert web.status()["host"]["pid"] == host.pid


def test_no_tcp_unless_asked_for(broker, new_host):
    host = new_host(broker).start()
    host.wait(Web.of(host).answers, what="an answer")
    with open(f"/proc/{host.pid}/net/tcp") as four, open(f"/proc/{host.pid}/net/tcp6") as six:
        lines = four.read().splitlines()[1:] + six.read().splitlines()[1:]
    listening = {line.split()[9] for line in lines if line.split()[3] == "0A"}
    own = {match[1] for file in host.open_files() if (match := re.fullmatch(r"socket:\[(\d+)\]", file))}
    assert not own & listening


def test_a_port_that_is_taken(mov, broker, client, new_host):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        host, _ = start(new_host, broker, env={"HTTP_LISTEN": f"127.0.0.1:{port}"})
        record = host.wait_record(f"no HTTP on 127.0.0.1:{port}", level="ERROR")
        assert "HTTP_LISTEN" in record.message
        client.publish(received(), {"content": "goes on"})
        assert client.collect(published(), 1) == [b'{"content": "goes on"}']
    web = Web(("127.0.0.1", port))
    host.wait(web.answers, 20, "the port, once it is free")
    assert len([record for record in host.records() if "no HTTP on" in record.message]) == 1


def test_the_library_is_opened_for_the_first_client(mov, broker, new_host):
    """With the libraries that it needs it takes 2.4 MB."""
    host = new_host(broker).start()
    host.wait_healthy()
    web = Web.of(host)

    def opened():
        with open(f"/proc/{host.pid}/maps") as file:
            return "libmicrohttpd" in file.read()

    host.wait(lambda: os.path.exists(web.address), what="the control socket")
    assert not opened()
    assert web.answers()
    assert opened()


def test_a_library_that_is_missing(mov, broker, client, new_host):
    """An empty file stands for it. Once it is replaced, the next client is served."""
    host = new_host(broker)
    host.env["LD_LIBRARY_PATH"] = host.path("libraries")
    host.write("libraries/libmicrohttpd.so.12", "")
    host.start()
    host.wait_healthy()
    web = Web.of(host)
    host.wait(lambda: os.path.exists(web.address), what="the control socket")
    for _ in range(3):
        with pytest.raises(OSError):
            web.get("/livez")
    record = host.wait_record("no HTTP: ", level="ERROR")
    assert "libmicrohttpd.so.12" in record.message and "install libmicrohttpd12" in record.message
    client.publish(received(), {"content": "goes on"})
    assert client.collect(published(), 1) == [b'{"content": "goes on"}']
    os.unlink(host.path("libraries", "libmicrohttpd.so.12"))
    host.wait(web.answers, what="an answer, once the library is there")
    assert len([record for record in host.records() if "no HTTP: " in record.message]) == 1


@pytest.mark.parametrize("value", ["9090", "localhost:9090", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536",
                                   "::1:9090", "[127.0.0.1]:9090", "[]:9090", "1.2.3:80", "[::1]9090", "x" * 300])
def test_an_address_that_is_none(new_host, value):
    result = new_host(env={"HTTP_LISTEN": value}).run()
    assert result.status == 1
    assert "HTTP_LISTEN: " in result.stderr


# --- the verb ------------------------------------------------------------------------------------------------------------


def ask(directory, *args, env=None):
    return subprocess.run([BINARY, "status", *args], cwd=directory, text=True, capture_output=True,
                          timeout=scaled(20), env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **(env or {})})


def test_status_of_a_healthy_host(mov, broker, client, new_host):
    host, web = start(new_host, broker)
    wait_ready(host, web)
    client.publish(received(), {"content": "one"}, {"content": 2})
    host.wait(lambda: web.component()["dead"] == 1 and web.component()["confirmed"] == 1, what="both messages")
    result = ask(host.directory)
    assert (result.returncode, result.stderr) == (0, "")
    for part in (f"process {host.pid}, running for ", "connected, 0 reconnects", ", RabbitMQ ", "MOV     present", "✓ c1_echo 1.0.0: healthy",
                 host.health()["id"], f"{received()}: received 2, in hand 0, acknowledged 1, dead-lettered 1\n",
                 f"{published()}: published 1, confirmed 1\n", "last error 20"):
        assert part in result.stdout, part
    result = ask("/", "--json", "--dir", host.path("logs"))
    assert result.returncode == 0
    status = json.loads(result.stdout)
    assert status["host"]["pid"] == host.pid
    assert result.stdout.count("\n") == 1


def test_status_of_a_host_that_waits(broker, new_host):
    host = new_host(broker).start()
    host.wait(Web.of(host).answers, what="an answer")
    result = ask(host.directory, env={"LOG_DIR": "logs"})
    assert result.returncode == 1
    assert "✗ c1_echo" in result.stdout


@pytest.mark.parametrize("args", [(), ("--json",), ("--dir", "nowhere")])
def test_status_without_a_host(broker, new_host, args):
    host = new_host(broker).start()
    host.wait(Web.of(host).answers, what="an answer")
    if args[:1] != ("--dir",):
        host.kill9()  # its socket stays
    result = ask(host.directory, *args)
    assert (result.returncode, result.stdout) == (3, "")
    assert re.fullmatch(r"valawai-host: no host is there: \S*control\.sock: .+; .+--dir\n", result.stderr)


def test_status_of_a_host_that_does_not_answer(broker, new_host):
    host = new_host(broker).start()
    host.wait(Web.of(host).answers, what="an answer")
    host.send_signal(signal.SIGSTOP)
    try:
        result = ask(host.directory)
    finally:
        host.send_signal(signal.SIGCONT)
    assert result.returncode == 1
    assert "no reply within" in result.stderr


def test_status_watches(mov, broker, client, new_host):
    """Two looks, of which the second sees another state, and the end by a signal."""
    host, web = start(new_host, broker)
    wait_ready(host, web)
    watcher = subprocess.Popen([BINARY, "status", "--json", "--watch"], cwd=host.directory, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        first = json.loads(watcher.stdout.readline())
        client.publish(received(), {"content": "one"})
        host.wait(lambda: web.component()["confirmed"] == 1, what="an echo")
        looks = (json.loads(line) for line in watcher.stdout)
        assert next(look for look in looks if look["components"][0]["confirmed"] == 1)
        assert first["components"][0]["confirmed"] == 0
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait(scaled(10)) == 0
    finally:
        watcher.kill()
        watcher.communicate()


def test_status_refuses_other_words(tmp_path):
    assert ask(tmp_path, "logs").returncode == 2
    assert ask(tmp_path, "--dir").returncode == 2
    assert ask(tmp_path, "--nonsense").returncode == 2

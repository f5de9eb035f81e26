# SPDX-License-Identifier: GPL-3.0-or-later
"""`valawai-host try`: a plugin on the ring, with memory in place of the broker; and the functions for plugins."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading

import pytest

from broker import scaled
from conftest import plain_build
from host import BINARY, BUILD, ECHO, ROOT, WRAPPER, longest_line, one_line, plugin, published, received, Result

with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
    ABORTS = re.search(r"^VALAWAI_ABORT_ON_MISUSE:\w+=ON$", cache.read(), re.M) is not None


@pytest.fixture
def attempt(tmp_path):
    """Runs `try` in an empty directory, to which only the test adds files."""
    def run(plugin_path, lines="", *arguments, conf=None, env=None):
        if conf is not None:
            (tmp_path / "plugins.conf").write_text(conf, encoding="utf-8")
        text = lines if isinstance(lines, bytes) else lines.encode()
        ended = subprocess.run([*WRAPPER, BINARY, "try", *arguments, plugin_path], input=text, capture_output=True,
                               cwd=tmp_path, timeout=scaled(60), check=False,
                               env={"PATH": os.environ["PATH"], **(env or {})})
        assert set(os.listdir(tmp_path)) <= {"plugins.conf"}, "try leaves files behind"
        return Result(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
    return run


def bodies(*contents):
    return "".join(json.dumps({"content": content}) + "\n" for content in contents)


def envelopes(name, *contents):
    return "".join(json.dumps({"topic": received(name), "body": {"content": content}}) + "\n" for content in contents)


def publications(result):
    return [json.loads(line) for line in result.stdout.split("\n")[:-1]]


def contents(result):
    return [publication["body"]["content"] for publication in publications(result)]


# --- messages in, messages out ----------------------------------------------------------------------------------------


def test_envelopes(attempt):
    result = attempt(ECHO, envelopes("echo", "a", "ü\u2028\n", "c"))
    assert result.status == 0
    assert publications(result) == [{"topic": published(), "body": {"content": text}} for text in ("a", "ü\u2028\n", "c")]
    assert re.search(r"^3 messages in .*: 3 done, 0 rejected; 3 publications$", result.stderr, re.M)
    assert "Received a message to echo" in result.stderr


def test_numbers_stay_as_they_are(attempt):
    body = '{"content":"a","n":[100000000000000000000,-9223372036854775809,0.10]}'
    result = attempt(ECHO, '{"topic":"%s","body":%s}\n' % (received("echo"), body))
    assert result.status == 0 and body in result.stdout


def test_bodies_of_one_topic(attempt):
    result = attempt(ECHO, "\n" + bodies("a") + "  \n" + '{"content":\t"b"}', "--topic", received())
    assert result.status == 0
    assert result.stdout == f'{{"topic":"{published()}","body":{{"content": "a"}}}}\n' \
                            f'{{"topic":"{published()}","body":{{"content":\t"b"}}}}\n'  # byte for byte


def test_nothing(attempt):
    result = attempt(ECHO)
    assert (result.status, result.stdout) == (0, "")


def test_verdicts_are_shown(attempt):
    result = attempt(ECHO, bodies("a"), "--topic", received(), "--verbose")
    assert f"line 1: {received()}, done" in result.stderr.splitlines()


def test_the_first_that_is_rejected_ends_it(attempt):
    lines = bodies("a") + "{}\n" + bodies(*("x" * 100 for _ in range(5000)))
    result = attempt(ECHO, lines, "--topic", received())
    assert result.status == 1
    assert contents(result)[0] == "a" and len(contents(result)) < 5000
    assert "content is missing" in result.stderr or "content" in result.stderr
    assert result.stderr.splitlines()[-1] == "valawai-host: not every message was handled"


def test_keep_going(attempt):
    result = attempt(ECHO, bodies("a") + "{}\n[1]\nx\n" + bodies("b"), "--topic", received(), "--keep-going")
    assert result.status == 1
    assert contents(result) == ["a", "b"]
    assert ": 2 done, 3 rejected; 2 publications" in result.stderr


@pytest.mark.parametrize("line, names", [
    ("x", ("line 1",)),
    ("[1]", ("line 1", "object")),
    ('{"content":"a"}', ("line 1", "topic", "--topic")),
    ('{"topic":5,"body":{}}', ("line 1", "topic")),
    ('{"topic":"valawai/c1/echo/data/no","body":{}}', ("line 1", "valawai/c1/echo/data/no")),
])
def test_lines_that_are_no_message(attempt, line, names):
    result = attempt(ECHO, line + "\n")
    assert result.status == 1
    assert all(name in result.stderr for name in names)


def test_a_body_over_the_limit(attempt):
    result = attempt(ECHO, bodies("x" * 2000) + bodies("a"), "--topic", received(), "--keep-going",
                     conf="host { message_max_bytes = 1024 }\n")
    assert (result.status, contents(result)) == (1, ["a"])
    assert "message_max_bytes" in result.stderr


def test_a_long_line(attempt):
    """Without --topic a line may be longer by the size of the envelope."""
    small = "host { message_max_bytes = 1024 }\n"
    result = attempt(ECHO, "x" * 200000 + "\n" + bodies("a"), "--topic", received(), "--keep-going", conf=small)
    assert (result.status, contents(result)) == (1, ["a"])
    assert "valawai-host: line 1: longer than 1024 bytes; host.message_max_bytes is 1024" in result.stderr.splitlines()
    fits = "x" * (1024 - len('{"content":""}'))
    result = attempt(ECHO, envelopes("echo", fits) + "x" * 200000 + "\n" + envelopes("echo", "a"), "--keep-going", conf=small)
    assert (result.status, contents(result)) == (1, [fits, "a"])
    assert "line 2: longer than" in result.stderr


@plain_build
@pytest.mark.parametrize("arguments", [("--topic", received()), ()])
def test_a_long_line_costs_no_memory(tmp_path, arguments):
    assert longest_line([BINARY, "try", "--keep-going", *arguments, ECHO], cwd=tmp_path) < 80 * 1024 * 1024


def test_what_editors_write(attempt):
    """A byte order mark and carriage returns are not part of a message."""
    result = attempt(ECHO, b'\xef\xbb\xbf{"content":"a"}\r\n\r\n{"content":"b"}\r\n{"content":"c"}\r', "--topic", received())
    assert result.status == 0
    assert result.stdout == "".join(f'{{"topic":"{published()}","body":{{"content":"{text}"}}}}\n' for text in "abc")
    result = attempt(ECHO, b"\xef\xbb\xbf" + envelopes("echo", "a").replace("\n", "\r\n").encode())
    assert (result.status, contents(result)) == (0, ["a"])


# --- standard input and output ------------------------------------------------------------------------------------------


def in_shell(tmp_path, command, *arguments, lines=""):
    """The output of try with this command line, in which "$@" is valawai-host try with the echo."""
    words = ["sh", "-c", command, "sh", BINARY, "try", "--topic", received(), *arguments, ECHO]
    ended = subprocess.run(words, input=lines, capture_output=True, text=True, cwd=tmp_path, timeout=scaled(60), check=False,
                           env={"PATH": os.environ["PATH"], "LOG_CONSOLE_LEVEL": "ERROR"})
    return Result(ended.returncode, ended.stdout, ended.stderr)


@pytest.mark.parametrize("command, why", [
    ('exec "$@" >/dev/full', "No space left on device"),
    ('exec "$@" >&-', "Bad file descriptor"),
    ("trap '' XFSZ; ulimit -f 1; exec \"$@\" >out", "File too large"),
])
@pytest.mark.parametrize("arguments", [(), ("--keep-going",), ("--for", "1")])
def test_output_that_is_lost(tmp_path, command, why, arguments):
    """In every amount: a small output is lost at the end, a large one earlier."""
    for count in (40, 20000):
        result = in_shell(tmp_path, command, *arguments, lines=bodies("x" * 20) * count)
        assert result.status == 1
        summary, last = result.stderr.splitlines()
        assert re.match(r"\d+ messages? in ", summary)
        assert last == f"valawai-host: standard output: {why}"


def test_output_that_is_lost_ends_it(tmp_path):
    """Even if the input continues."""
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen([BINARY, "try", "--topic", received(), ECHO], stdin=subprocess.PIPE, cwd=tmp_path,
                                   stdout=full, stderr=subprocess.PIPE)
    with process.stdin, process.stderr:
        process.stdin.write(bodies("x").encode())
        process.stdin.flush()
        try:
            assert process.wait(scaled(20)) == 1
        finally:
            process.kill()
            process.wait()
        assert process.stderr.read().decode().splitlines()[-1].startswith("valawai-host: standard output: ")


@pytest.mark.parametrize("trap, status", [("", 128 + signal.SIGPIPE), ("trap '' PIPE; ", 0)])
def test_a_reader_that_has_seen_enough(tmp_path, trap, status):
    command = f'{trap}{{ "$@"; echo $? >status; }} | head -n 1'
    result = in_shell(tmp_path, command, lines=bodies("x" * 20) * 20000)
    assert (tmp_path / "status").read_text() == f"{status}\n"
    assert result.stdout.count("\n") == 1 and "standard output" not in result.stderr


@pytest.mark.parametrize("redirect, why", [("</tmp", "Is a directory"), ("<&-", "Bad file descriptor")])
def test_input_that_cannot_be_read(tmp_path, redirect, why):
    result = in_shell(tmp_path, f'exec "$@" {redirect}')
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == f"valawai-host: standard input: {why}"


# --- handlers that take long --------------------------------------------------------------------------------------------


def wait_line(process, pattern):
    """The first line on stderr like that; the test's own time ends the wait for another."""
    for line in process.stderr:
        if re.search(pattern, line.decode()):
            return line.decode()
    raise AssertionError(f"no line like {pattern!r} before the end")


@pytest.mark.parametrize("name, content, words, number", [
    ("slow", "x", "a handler has been busy with one message", 2), ("later", "never", "has waited", 1),
])
def test_what_takes_long_is_named(tmp_path, name, content, words, number):
    """Both during the input and after its end, when the number of open messages is reported once."""
    (tmp_path / "plugins.conf").write_text("host { slow_seconds = 1 }\nplugin slow { milliseconds = 600000 }\n")
    process = subprocess.Popen([BINARY, "try", "--topic", received(name), plugin(name)], cwd=tmp_path, stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with process.stderr:
        timer = threading.Timer(scaled(30), process.kill)
        timer.start()
        try:
            process.stdin.write(bodies(content).encode())
            process.stdin.flush()
            assert f"[WARNING] c1_{name}: {received(name)}: " in wait_line(process, words)
            process.stdin.write(bodies("x").encode())
            process.stdin.close()
            waits = wait_line(process, "still waiting")
            assert waits == f"valawai-host: the input has ended; still waiting for {number} message{'s'[number < 2:]}\n"
        finally:
            timer.cancel()
            process.kill()
            process.wait()


def test_the_wait_is_said_once(attempt):
    result = attempt(plugin("slow"), bodies("x"), "--topic", received("slow"),
                     conf="host { slow_seconds = 1 }\nplugin slow { milliseconds = 3500 }\n")
    assert (result.status, contents(result)) == (0, ["x"])
    assert result.stderr.count("the input has ended; still waiting for 1 message\n") == 1
    assert result.stderr.count("a handler has been busy") == 1
    assert re.match(r"1 message in .*: 1 done, 0 rejected; 1 publication$", result.stderr.splitlines()[-1])


# --- usage --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    ("--no-such", ECHO), (), (ECHO, ECHO), ("--for", "x", ECHO), ("--for", "0", ECHO), ("--topic",),
])
def test_wrong_usage(attempt, arguments):
    ended = subprocess.run([BINARY, "try", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=scaled(20), check=False)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1 and "--help" in ended.stderr


def test_what_cannot_be(attempt):
    one_line(attempt("nowhere.so"), "nowhere.so")
    one_line(attempt(ECHO, "", "--topic", "valawai/c1/echo/data/no"), "valawai/c1/echo/data/no")
    assert attempt(plugin("start_fails")).stderr.splitlines()[-1].startswith("valawai-host: ")
    assert "start" in attempt(plugin("start_fails")).stderr.splitlines()[-1]


def test_many(attempt):
    count = 20000
    result = attempt(ECHO, bodies(*map(str, range(count))), "--topic", received(), env={"LOG_CONSOLE_LEVEL": "ERROR"})
    assert result.status == 0
    assert contents(result) == [str(number) for number in range(count)]


def test_it_works_as_a_partner(tmp_path):
    """Each answer comes right after its message, not at the end of the input."""
    process = subprocess.Popen([BINARY, "try", "--topic", received(), ECHO], stdin=subprocess.PIPE, cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        for number in range(3):
            process.stdin.write(bodies(str(number)).encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["body"] == {"content": str(number)}
        process.stdin.close()
        assert process.wait(scaled(20)) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# --- answers that come later ------------------------------------------------------------------------------------------


def later(attempt, *wanted, conf=None, arguments=("--keep-going", "--verbose")):
    return attempt(plugin("later"), bodies(*wanted), "--topic", received("later"), *arguments, conf=conf)


def verdicts(result):
    """The verdict of each line."""
    return {int(number): verdict for number, verdict in re.findall(r"^line (\d+): [^,]+, (.*)$", result.stderr, re.M)}


def test_later(attempt):
    count = 5000
    result = attempt(plugin("later"), bodies(*map(str, range(count))), "--topic", received("later"))
    assert result.status == 0
    assert contents(result) == [str(number) for number in range(count)]
    assert f": {count} done, 0 rejected; {count} publications" in result.stderr


def test_each_is_settled_as_it_was_said(attempt):
    result = later(attempt, "x", "wrong", "at once", "no verdict", "undeclared", "after all")
    assert verdicts(result) == {1: "done", 2: "rejected: wrong", 3: "done", 4: "rejected: failed", 5: "done", 6: "done"}
    assert sorted(contents(result)) == ["after all", "at once", "x"]
    assert "the message is wrong: we do not like it" in result.stderr
    assert "the ticket was answered with 7, which is not a verdict" in result.stderr
    assert "misuse" not in result.stderr


def test_later_and_again(attempt):
    """Publications of a failed attempt do not leave; the next attempt has its own ticket."""
    result = later(attempt, "again")
    assert verdicts(result) == {1: "done after more than one attempt"}
    assert contents(result) == ["again"]
    assert "attempt 2 of 10" in result.stderr


@pytest.mark.skipif(ABORTS, reason="this build ends at the first misuse; see test_misuse_ends_a_debug_build")
@pytest.mark.parametrize("content, verdict, rules", [
    ("twice", "done", ("answer() with a ticket", "publish_for() with a ticket")),
    ("both", "done", ("returned a verdict other than VALAWAI_LATER",)),
    ("no ticket", "rejected: failed", ("without a ticket of later()",)),
    ("off the thread", "done", ("json() is for the message in hand", "later() is for the message in hand")),
])
def test_misuse_is_named(attempt, content, verdict, rules):
    result = later(attempt, content, "x")
    assert verdicts(result) == {1: verdict, 2: "done"}
    for rule in rules:
        assert re.search(rf"\[ERROR\] c1_later: the plugin misuses the host: .*{re.escape(rule)}", result.stderr)
    assert "nobody minds" not in result.stderr


@pytest.mark.skipif(not ABORTS, reason="only a build for debugging ends at a misuse")
def test_misuse_ends_a_debug_build(attempt):
    result = later(attempt, "no ticket")
    assert result.status == -signal.SIGABRT
    assert "later.so: the plugin misuses the host: a handler returned VALAWAI_LATER" in result.stderr


def test_what_is_never_answered_does_not_keep_it_from_ending(tmp_path):
    """At the end of the input `try` waits for open messages, which only a stop would put back. There is no stop here."""
    process = subprocess.Popen([BINARY, "try", "--topic", received("later"), plugin("later")], cwd=tmp_path,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(bodies("never", "x").encode())
        process.stdin.close()
        assert json.loads(process.stdout.readline())["body"] == {"content": "x"}
        process.send_signal(signal.SIGINT)
        assert process.wait(scaled(20)) == -signal.SIGINT
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# --- threads, timers --------------------------------------------------------------------------------------------------


def test_several_threads(attempt):
    result = attempt(plugin("threads"), bodies(*map(str, range(40))), "--topic", received("threads"),
                     conf="plugin threads { threads = 4 }\n")
    assert result.status == 0
    assert len(contents(result)) == 40
    assert max(map(int, contents(result))) == 4


def test_one_thread_unless_it_is_given_more(attempt):
    result = attempt(plugin("threads"), bodies(*map(str, range(5))), "--topic", received("threads"))
    assert (result.status, contents(result)) == (0, ["1"] * 5)


def test_threads_for_a_plugin_that_is_not_safe(attempt):
    one_line(attempt(ECHO, conf="plugin echo { threads = 2 }\n"), "echo.so", "VALAWAI_THREAD_SAFE", "threads")


@pytest.mark.parametrize("value", ["0", "65", "many", "-1", "1x", "99999999999999999999"])
def test_a_number_of_threads_that_is_none(attempt, value):
    one_line(attempt(ECHO, conf=f'plugin echo {{ threads = "{value}" }}\n'), "plugins.conf:1", "threads", "64")


def test_timers(attempt):
    result = attempt(plugin("ticker"), "", "--for", "1")
    assert result.status == 0
    assert contents(result) == ["once", "tick 1", "tick 2", "tick 3"]
    assert "[ERROR]" not in re.sub(r"cannot ask the MOV", "", result.stderr) or "wrong" not in result.stderr
    assert "c1_ticker: we are 000000000000000000000000" in result.stderr
    assert result.stderr.count("the MOV answers about components: nothing") == 1
    assert result.stderr.count("the MOV answers about connections: nothing") == 1
    for bad in ("wrong arguments", "cannot cancel", "strange timers", "cannot publish", "bad questions are asked"):
        assert bad not in result.stderr


# --- plugins that end the process -------------------------------------------------------------------------------------


@plain_build
@pytest.mark.parametrize("content, status, words", [
    ("crash", -signal.SIGSEGV, "crashed (SIGSEGV)"),
    ("overflow", -signal.SIGSEGV, "crashed (SIGSEGV)"),
    ("abort", -signal.SIGABRT, "aborted (SIGABRT"),
    ("exit", 1, "called exit()"),
    ("leave", 1, "ended the host's thread (pthread_exit)"),
])
def test_whose_fault_it_was(attempt, content, status, words):
    result = attempt(plugin("fatal"), bodies(content), "--topic", received("fatal"))
    assert result.status == status
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f"valawai-host: plugin fatal.so: {words}")
    assert f"in the handler of {received('fatal')}" in last


@plain_build
def test_an_exit_in_a_thread_of_the_plugins(attempt):
    result = attempt(plugin("fatal"), bodies("thread"), "--topic", received("fatal"))
    assert result.status == 1
    assert result.stderr.splitlines()[-1].startswith("valawai-host: exit() was called in a thread that a plugin made;")


def test_a_thread_that_outlives_its_plugin(attempt):
    result = attempt(plugin("lingerer"), bodies("x"), "--topic", received("lingerer"),
                     conf='plugin lingerer { how = "thread" }\n')
    assert result.status == 0
    assert "a plugin has left threads running after its stop" in result.stderr


def test_calls_of_a_destructor_come_too_late(attempt):
    result = attempt(plugin("lingerer"), bodies("x"), "--topic", received("lingerer"))
    assert result.status == 0
    assert result.stderr.splitlines()[-1] == "lingerer: 0 late calls were answered"


@plain_build
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler here")
def test_an_exception_that_leaves_a_callback(attempt, tmp_path_factory):
    directory = tmp_path_factory.mktemp("cxx")
    source = directory / "throws.cpp"
    source.write_text('''#include <stdexcept>
extern "C" {
#include "component.h"
}
static int received(void *, const struct valawai_message *) { throw std::runtime_error("thrown"); }
static const struct valawai_topic topics[] = {{RECEIVED("throws"), received, {}}, {}};
const struct valawai_plugin valawai_plugin_entry = {VALAWAI_PLUGIN_HEAD, "1.0.0", DOCUMENT("throws"), topics, keep_host};
''', encoding="utf-8")
    library = directory / "throws.so"
    subprocess.run(["g++", "-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{ROOT}/include",
                    f"-I{ROOT}/tests/plugins", "-o", library, source], check=True, timeout=scaled(60))
    result = attempt(str(library), bodies("x"), "--topic", received("throws"))
    assert result.status == -signal.SIGABRT
    assert "an exception that left a callback" in result.stderr.splitlines()[-1]
    assert "throws.so" in result.stderr.splitlines()[-1]

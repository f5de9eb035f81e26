# SPDX-License-Identifier: GPL-3.0-or-later
"""The AsyncAPI document as the contract: checked by the verbs, when a plugin is loaded, and for every message."""

import json
import os
import subprocess
from pathlib import Path

import mov as mov_stand_in
import pytest

from broker import scaled
from conftest import plain_build
from host import BINARY, BUILD, ECHO, ROOT, Result, longest_line, one_line, published, received

DOCUMENT = os.path.join(ROOT, "plugins", "echo", "asyncapi.yaml")
CORPUS = os.path.join(ROOT, "tests", "corpus")


def run(*arguments, text=""):
    return subprocess.run([BINARY, *arguments], input=text, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("what", [ECHO, DOCUMENT])
def test_check_tells_what_is_there(what):
    result = run("check", what)
    assert result.returncode == 0, result.stdout
    for word in ("c1_echo", "C1", "1.0.0", received(), published(), "{content*: string}"):
        assert word in result.stdout


def test_check_of_the_corpus():
    good = os.path.join(CORPUS, "good")
    assert run("check", *(os.path.join(good, name) for name in os.listdir(good))).returncode == 0
    bad = os.path.join(CORPUS, "bad")
    for name in os.listdir(bad):
        result = run("check", "--strict", os.path.join(bad, name))
        assert result.returncode == 1, name
        assert "line " in result.stdout or "error" in result.stdout, name
    warning = os.path.join(bad, "warn_both.yaml")
    assert run("check", warning).returncode == 0  # unwise, not wrong


@pytest.mark.parametrize("corpus", ["good", "for_mov"])
def test_the_mov_reads_what_it_receives(corpus):
    """The reader of the stand-in reads each channel of each document."""
    for path in sorted(Path(CORPUS, corpus).iterdir()):
        result = run("check", "--for-mov", str(path))
        assert result.returncode == 0, result.stdout
        _, _, channels = mov_stand_in.read_asyncapi(result.stdout)
        for channel in channels:
            assert channel["subscribe"] or channel["publish"], f"{path}: {channel['name']}"


def test_check_for_mov_of_a_document_with_errors():
    result = run("check", "--for-mov", os.path.join(CORPUS, "bad", "bad_type.yaml"))
    assert result.returncode == 1 and "error" in result.stdout and not result.stdout.startswith("{")


def test_lint_is_a_warning_and_with_strict_an_error():
    for path in Path(CORPUS, "lint").iterdir():
        assert run("check", str(path)).returncode == 0, path
        assert run("check", "--strict", str(path)).returncode == 1, path


def test_check_reports_every_fault_of_the_topics():
    result = run("check", os.path.join(BUILD, "tests", "unit", "plugins", "unknown_topic.so"))
    assert result.returncode == 1
    errors = [line for line in result.stdout.splitlines() if line.startswith("  error ")]
    assert len(errors) == 2 and "unheard_of is not" in errors[0] and "received_message" in errors[1], result.stdout


def test_check_says_when_it_leaves_findings_out(tmp_path):
    def check(count):
        document = tmp_path / "asyncapi.yaml"
        document.write_text(Path(DOCUMENT).read_text().replace("channels:\n", "channels:\n" + "".join(
            f"  valawai/c1/echo/data/x{i}: {{publish: {{message: {{payload: {{type: objct}}}}}}}}\n" for i in range(count)), 1))
        result = run("check", str(document))
        assert result.returncode == 1
        return result.stdout.splitlines()
    some, many = check(199), check(300)
    assert sum(line.startswith("  error ") for line in some) == 199 and not any("only the first" in line for line in some)
    assert sum(line.startswith("  error ") for line in many) == 200
    assert any(line.startswith("  cut ") and "only the first 200" in line for line in many)


def test_an_unquoted_version(tmp_path):
    """YAML reads a number; the MOV takes the version from the registration."""
    document = tmp_path / "asyncapi.yaml"
    document.write_text(Path(DOCUMENT).read_text().replace("version: 1.0.0", "version: 0.10", 1))
    result = run("check", str(document))
    assert result.returncode == 0 and "c1_echo (C1) 0.10\n" in result.stdout and "x.y.z" not in result.stdout


def test_check_names_what_it_cannot_read(tmp_path):
    for path in ("/no/such.yaml", "/no/such.so", str(tmp_path)):
        result = run("check", path)
        assert result.returncode == 1 and path in result.stdout


@pytest.mark.parametrize("arguments", [
    ("check",), ("check", "--what"), ("check", "-s", DOCUMENT), ("validate",), ("validate", DOCUMENT),
    ("validate", "--bogus", DOCUMENT, "x"), ("validate", DOCUMENT, "x", "-b"), ("validate", "a", "b", "c", "d")])
def test_wrong_usage(arguments):
    result = run(*arguments)
    assert result.returncode == 2 and arguments[0] in result.stderr and result.stderr.count("\n") == 1


def test_validate_gives_a_verdict_a_line(tmp_path):
    lines = ['{"content":"x"}', '{"content":""}', "[]", "", '{"content":"y","more":1}']
    result = run("validate", DOCUMENT, received(), text="\n".join(lines) + "\n")
    verdicts = [line.split(": ", 1)[1] for line in result.stdout.splitlines()]
    assert [verdict.split(":")[0] for verdict in verdicts] == ["valid", "invalid", "invalid", "valid"]
    assert "/content" in verdicts[1]
    assert result.stdout.splitlines()[-1] == "5: valid"  # an empty line is not a message, and counts
    assert result.returncode == 1
    file = tmp_path / "messages"
    file.write_text(lines[0] + "\n")
    assert run("validate", DOCUMENT, published(), str(file)).returncode == 0
    assert run("validate", "--", DOCUMENT, published(), str(file)).returncode == 0
    assert "no channel x" in run("validate", DOCUMENT, "x").stderr


def test_validate_takes_what_editors_write():
    result = run("validate", DOCUMENT, received(), text='\ufeff{"content":"x"}\r\n\r\n \n{"content":"y"}\r\n')
    assert (result.returncode, result.stdout) == (0, "1: valid\n4: valid\n")


def test_validate_and_a_line_over_the_limit():
    most = 16 * 1024 * 1024
    fits = '{"content":"%s"}' % ("x" * (most - len('{"content":""}')))
    result = run("validate", DOCUMENT, received(), text=f'{fits}\n{fits}x\n{{"content":"y"}}\n')
    first, second, third = result.stdout.splitlines()
    assert (result.returncode, first, third) == (1, "1: valid", "3: valid")
    assert second.startswith("2: invalid: ") and str(most) in second and "message_max_bytes" in second


@plain_build
def test_a_long_line_costs_validate_no_memory():
    assert longest_line([BINARY, "validate", DOCUMENT, received()]) < 80 * 1024 * 1024


def test_validate_names_what_it_cannot_read(tmp_path):
    def failed(result, *things):
        one_line(Result(result.returncode, result.stdout, result.stderr), *things)
    failed(run("validate", DOCUMENT, received(), str(tmp_path)), tmp_path, "directory")
    failed(run("validate", DOCUMENT, received(), str(tmp_path / "none")), tmp_path / "none")
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", BINARY, "validate", DOCUMENT, received()]
    failed(subprocess.run(closed, capture_output=True, text=True, timeout=scaled(20)), "standard input")


def test_validate_takes_numbers_as_they_are(tmp_path):
    document = tmp_path / "asyncapi.yaml"
    document.write_text(Path(DOCUMENT).read_text().replace(
        "type: string\n          minLength: 1", "type: integer\n          maximum: 1.0e+20", 1))
    lines = ['{"content":100000000000000000000}', '{"content":1000000000000000000000}']
    result = run("validate", str(document), received(), text="\n".join(lines) + "\n")
    assert result.stdout.splitlines() == ["1: valid", "2: invalid: /content: 1e+21 is over the maximum 1e+20"]


def test_a_publication_that_the_mov_cannot_parse():
    body = '{"content":"x","n":%s}' % ("1" * 1001)
    result = run("try", "--topic", received(), ECHO, text=body + "\n")
    assert result.returncode == 1 and result.stdout == "" and "a number of more than 1000 characters" in result.stderr


BROKEN = {"content": 5}


@pytest.mark.parametrize("mode", ["strict", "warn", "off"])
def test_messages_that_break_their_schema(new_host, broker, mov, client, mode):
    host = new_host(broker, plugins=(), conf=f'plugin echo {{ path = "{ECHO}" validate = {mode} }}').start()
    host.wait_healthy()
    client.publish(received(), BROKEN, {"content": "good"})
    expected = [{"content": "good"}] if mode == "strict" else [BROKEN, {"content": "good"}]
    assert [json.loads(body) for body in client.collect(published(), len(expected), 10)] == expected
    if mode == "strict":
        mov.wait_for(lambda mov: any(log["level"] == "ERROR" and "/content" in log["message"] and
                                     json.loads(log["payload"]) == BROKEN for log in mov.logs))
        host.wait_record("/content", level="ERROR")
    elif mode == "warn":
        host.wait_record("/content", level="WARNING")
    else:
        assert not [record for record in host.records() if record.level in ("WARNING", "ERROR")]


def test_an_unknown_mode(new_host, broker):
    result = new_host(broker, plugins=(), conf=f'plugin echo {{\n path = "{ECHO}"\n validate = maybe }}').run()
    assert result.status == 1 and "plugins.conf:3" in result.stderr and "maybe" in result.stderr

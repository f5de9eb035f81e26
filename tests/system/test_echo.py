# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages through the echo plugin: valid ones come back unchanged, invalid ones are logged with their reason."""

import json
import random

import pytest

from broker import wait_until
from host import plugin, published, received


@pytest.fixture
def echo(new_host, broker, mov, client):
    """A host with the echo plugin, healthy; no rotation, so a test sees every record."""
    host = new_host(broker, env={"LOG_FILE_MAX_BYTES": "0"}).start()
    host.wait_healthy()
    client.declare(published())
    return host


def echoes(client, count, timeout=10):
    return [json.loads(body) for body in client.collect(published(), count, timeout)]


def assert_still_echoes(client):
    """The next valid message comes back, and nothing precedes it."""
    client.publish(received(), {"content": "the next good one"})
    assert echoes(client, 1) == [{"content": "the next good one"}]


# --- good ones --------------------------------------------------------------------------------------------------------


def test_round_trip(echo, client):
    client.publish(received(), {"content": "Hello, world"})
    (properties, body), = client.collect_messages(published(), 1)
    assert json.loads(body) == {"content": "Hello, world"}
    assert properties.content_type == "application/json" and properties.delivery_mode == 2


@pytest.mark.parametrize("content", [
    " ", "\0", "a\0b", "\n\r\t\b\f", '"\\/', "é", "日本語", "😀",
    "\U0010ffff", "\u2028\u2029", "\x7f", "\ufeff", "e\u0301", "\u202e", "</script>", "%s%n%d", "null", "x" * 65536,
    "x" * (131072 - 8), "y" * 131072,
], ids=lambda content: ascii(content)[:20])
def test_contents(echo, client, content):
    client.publish(received(), json.dumps({"content": content}, ensure_ascii=True).encode(),
                   json.dumps({"content": content}, ensure_ascii=False).encode())
    assert echoes(client, 2) == [{"content": content}] * 2


def random_text(generator, longest):
    planes = ((0, 0x20), (0x20, 0x7f), (0x7f, 0x800), (0x800, 0xd800), (0xe000, 0x10000), (0x10000, 0x110000))
    return "".join(chr(generator.randrange(*generator.choice(planes))) for _ in range(generator.randint(1, longest)))


def test_ten_thousand_random_messages_in_order(new_host, broker, mov, client):
    generator = random.Random(20261122)
    contents = [random_text(generator, 60) for _ in range(10000)]
    for index in (1001, 5000, 9001):  # strings of 1 MB
        text = random_text(generator, 1000)
        contents[index] = text * (1_000_000 // len(text.encode()))
    host = new_host(broker, env={"LOG_FILE_LEVEL": "WARNING", "LOG_CONSOLE_LEVEL": "WARNING"}).start()
    host.wait_healthy()
    client.declare(published())
    # Half of them escaped, so that surrogate pairs and \u0000 pass as such, half as plain UTF-8.
    client.publish_many(received(), (json.dumps({"content": content}, ensure_ascii=index % 2 == 0).encode()
                                     for index, content in enumerate(contents)))
    for index, body in enumerate(client.collect(published(), len(contents), 60)):
        assert json.loads(body) == {"content": contents[index]}, f"message {index}"
    assert host.stop() == 0
    assert client.depth(received()) == 0 and client.depth(published()) == 0


def test_ten_megabytes(echo, client):
    content = "x" * 10_000_000
    client.publish(received(), {"content": content})
    assert echoes(client, 1, 30) == [{"content": content}]
    assert_still_echoes(client)


# --- bad ones ---------------------------------------------------------------------------------------------------------

BAD_BODIES = {
    "not JSON": b"hello",
    "empty": b"",
    "blank": b" \n ",
    "truncated": b'{"content":"x"',
    "trailing": b'{"content":"x"} y',
    "two": b'{"content":"x"}{"content":"y"}',
    "single quotes": b"{'content':'x'}",
    "comma": b'{"content":"x",}',
    "comment": b'/* x */{"content":"x"}',
    "NaN": b'{"content":"x","other":NaN}',
    "byte order mark": b'\xef\xbb\xbf{"content":"x"}',
    "raw newline": b'{"content":"x\ny"}',
    "raw zero": b'{"content":"x\0y"}',
    "not UTF-8": b'{"content":"\xff\xfe"}',
    "overlong UTF-8": b'{"content":"\xc0\xaf"}',
    "UTF-8 surrogate": b'{"content":"\xed\xa0\x80"}',
    "UTF-16": '{"content":"x"}'.encode("utf-16"),
    "array": b'[{"content":"x"}]',
    "null": b"null",
    "number": b"42",
    "text": b'"content"',
    "10 MB of nothing": b"x" * 10_000_000,
    "10 MB without an end": b'{"content":"' + b"x" * 10_000_000,
    "nested arrays": b'{"content":"x","deep":' + b"[" * 100000 + b"]" * 100000 + b"}",
    "nested objects": b'{"content":"x","deep":' + b'{"a":' * 100000 + b"1" + b"}" * 100001,
    "nested without an end": b"[" * 100000,
    "content missing": b'{"contents":"x"}',
    "no members": b"{}",
    "content empty": b'{"content":""}',
    "content null": b'{"content":null}',
    "content number": b'{"content":5}',
    "content true": b'{"content":true}',
    "content array": b'{"content":["x"]}',
    "content object": b'{"content":{"content":"x"}}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_bodies(echo, client, mov, name):
    client.publish(received(), BAD_BODIES[name])
    record = echo.wait_record("", level="ERROR", timeout=20)
    assert len(record.message) > 10  # not empty
    mov.wait_for(lambda mov: any(log["level"] == "ERROR" for log in mov.logs))
    assert_still_echoes(client)
    errors = [log for log in mov.logs if log["level"] == "ERROR"]
    assert len(errors) == 1 and errors[0]["component_id"] == mov.registered[0]
    assert errors[0]["message"].startswith("Cannot process echo, because ")
    if name.startswith("content"):
        assert "content" in errors[0]["message"] and "content" in record.message
        assert json.loads(errors[0]["payload"]) == json.loads(BAD_BODIES[name])
    assert echo.stop() == 0
    assert client.depth(received()) == 0  # rejected, not put back


def test_bad_bodies_among_good_ones(echo, client):
    good = [{"content": str(number)} for number in range(len(BAD_BODIES))]
    for body, message in zip(BAD_BODIES.values(), good):
        client.publish(received(), body, message)
    assert echoes(client, len(good), 30) == good
    wait_until(lambda: len([record for record in echo.records() if record.level == "ERROR"]) == len(BAD_BODIES), 10,
               "a record of each bad body")


@pytest.mark.parametrize("body", [
    rb'{"content":"\ud800"}', rb'{"content":"\udc00\ud800"}', b'{"content":"a","content":5}', b'{"content":"x","more":1e999}',
    b'{"content":"x","more":' + b"9" * 5000 + b"}", b'{"content":"x","":{"":[]}}',
], ids=lambda body: ascii(body)[:30])
def test_strange_bodies_do_no_harm(echo, client, body):
    """These bodies may be echoed or not, but the next message must be echoed."""
    client.publish(received(), body, {"content": "the next good one"})
    while b"the next good one" not in client.collect(published(), 1)[0]:
        pass


def test_no_content_type_and_no_persistence(echo, client):
    """A hand-written message has neither property."""
    client.channel.basic_publish("", received(), b'{"content":"by hand"}')
    assert echoes(client, 1) == [{"content": "by hand"}]


# --- the host's limits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth, passes", [(900, True), (1100, False)])
def test_nesting(new_host, broker, mov, client, depth, passes):
    host = new_host(broker, plugins=(plugin("other"),)).start()
    host.wait_healthy()
    client.declare(published("other"))
    body = b'{"content":"x","deep":' + b"[" * depth + b"]" * depth + b"}"
    client.publish(received("other"), body, b'{"content":"next"}')
    expected = [body, b'{"content":"next"}'] if passes else [b'{"content":"next"}']
    assert client.collect(published("other"), len(expected)) == expected
    assert any(record.level == "ERROR" for record in host.records()) != passes


def test_message_max_bytes(new_host, broker, mov, client):
    host = new_host(broker, conf="host { message_max_bytes = 10000 }\n").start()
    host.wait_healthy()
    client.declare(published())
    overhead = len(json.dumps({"content": ""}))
    just_fits, too_long = {"content": "x" * (10000 - overhead)}, {"content": "x" * (10001 - overhead)}
    client.publish(received(), just_fits, too_long)
    assert echoes(client, 1) == [just_fits]
    assert_still_echoes(client)
    host.wait_record("", level="ERROR")
    assert host.stop() == 0
    assert client.depth(received()) == 0

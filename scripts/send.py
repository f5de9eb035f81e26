#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts one message into a topic and shows its echo.

    send.py [--echo TOPIC] [--timeout SECONDS] TOPIC JSON

RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USERNAME and RABBITMQ_PASSWORD (or RABBITMQ_PASSWORD_FILE) name the broker, with the
defaults of valawai-host.
"""

import argparse
import json
import logging
import os
import sys
import time

try:
    import pika
except ImportError:
    sys.exit("send.py: needs pika for this Python; on Debian: apt-get install python3-pika, then /usr/bin/python3 send.py")

# pika reports a refused connection with a stack trace; one line is enough.
logging.getLogger("pika").setLevel(logging.CRITICAL)


def setting(name, default):
    return os.environ.get("RABBITMQ_" + name) or default


def connect():
    password = setting("PASSWORD", "password")
    if setting("PASSWORD_FILE", None):
        with open(setting("PASSWORD_FILE", None), encoding="utf-8") as file:
            password = file.readline().rstrip("\r\n")
    host, port, username = setting("HOST", "mov-mq"), int(setting("PORT", "5672")), setting("USERNAME", "mov")
    try:
        return pika.BlockingConnection(pika.ConnectionParameters(
            host=host, port=port, credentials=pika.PlainCredentials(username, password), socket_timeout=10))
    except (OSError, pika.exceptions.AMQPError) as error:
        raise OSError(f"no connection to RabbitMQ at {host}:{port} as {username}: {error or type(error).__name__}") from None


def no_json(text):
    raise ValueError(f"{text} is not JSON")  # Python's parser accepts NaN and Infinity


def send(channel, topic, body):
    channel.confirm_delivery()
    try:
        channel.basic_publish("", topic, json.dumps(body, ensure_ascii=False).encode(), mandatory=True,
                              properties=pika.BasicProperties(content_type="application/json", delivery_mode=2))
    except pika.exceptions.UnroutableError:
        raise LookupError(f"topic {topic} has no queue; does a component with that topic run?") from None


def await_echo(channel, topic, body, timeout):
    """True when a message with that content arrives. All others go back to the queue."""
    deadline = time.monotonic() + timeout
    channel.basic_qos(prefetch_count=1000)
    found = False
    for method, _, received in channel.consume(topic, inactivity_timeout=0.1):
        if method:
            try:
                found = json.loads(received) == body
            except ValueError:
                pass
        if found:
            channel.basic_ack(method.delivery_tag)
        if found or time.monotonic() > deadline:
            break
    channel.cancel()
    return found


def main():
    parser = argparse.ArgumentParser(
        description="Puts one message into a topic.",
        epilog="RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USERNAME and RABBITMQ_PASSWORD (or RABBITMQ_PASSWORD_FILE) name the"
               " broker.")
    parser.add_argument("--echo", metavar="TOPIC", help="wait until the same message arrives on this topic")
    parser.add_argument("--timeout", type=float, default=10, metavar="SECONDS", help="how long to wait for the echo; default: 10")
    parser.add_argument("topic")
    parser.add_argument("body", metavar="JSON", help="a JSON object")
    options = parser.parse_args()
    sys.stdout.reconfigure(errors="replace")  # the terminal may lack a character
    try:
        body = json.loads(options.body, parse_constant=no_json)
    except ValueError as error:
        parser.error(f"JSON: {error}")
    if not isinstance(body, dict):
        parser.error("JSON: not an object; anything else ends the MOV's listener on a topic that it routes")

    width = max(len(options.topic), len(options.echo or ""))
    shown = json.dumps(body, ensure_ascii=False)
    try:
        connection = connect()
        channel = connection.channel()
        began = time.monotonic()
        send(channel, options.topic, body)
        print(f"→ {options.topic:{width}}  {shown}", flush=True)
        if options.echo:
            if not await_echo(channel, options.echo, body, options.timeout):
                raise LookupError(f"no echo on {options.echo} within {options.timeout:g} s")
            print(f"← {options.echo:{width}}  {shown}  ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)
        connection.close()
        return 0
    except (OSError, LookupError, ValueError, pika.exceptions.AMQPError) as error:
        print(f"send.py: {error or type(error).__name__}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())

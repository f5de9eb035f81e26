#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""reference.py IN OUT: an echo in the manner of VALAWAI's Python component: a connection for each publication, messages
acknowledged by being handed out, nothing confirmed."""

import json
import os
import signal
import sys

import pika


def connect():
    return pika.BlockingConnection(pika.ConnectionParameters(
        host=os.environ["RABBITMQ_HOST"], port=int(os.environ["RABBITMQ_PORT"]),
        credentials=pika.PlainCredentials(os.environ["RABBITMQ_USERNAME"], os.environ["RABBITMQ_PASSWORD"])))


def publish(topic, body):
    connection = connect()
    channel = connection.channel()
    channel.basic_publish(exchange="", routing_key=topic, body=body,
                          properties=pika.BasicProperties(content_type="application/json"))
    connection.close()


def record(message, payload):
    publish("valawai/log/add", json.dumps({"level": "INFO", "message": message, "payload": payload,
                                           "component_id": "0123456789abcdef01234567"}))


def main():
    into, out = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    def received(channel, method, properties, body):
        text = json.dumps(json.loads(body))
        record("Received a message to echo", text)
        publish(out, text)
        record("Sent Echoed message", text)

    channel = connect().channel()
    channel.basic_consume(queue=into, auto_ack=True, on_message_callback=received)
    channel.start_consuming()


if __name__ == "__main__":
    main()

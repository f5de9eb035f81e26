#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""pika_relay.py IN OUT: an echo with pika, done well.

One connection, prefetch 200, publications persistent, mandatory and confirmed, a message acknowledged after the confirmation,
acknowledgements joined. pika's select adapter: its blocking one waits for each confirmation by itself."""

import os
import signal
import sys

import pika

PREFETCH = 200
BEFORE = '{"level":"INFO","message":"%s","payload":"'
AFTER = b'","component_id":"0123456789abcdef01234567"}'
RECEIVED = (BEFORE % "Received a message to echo").encode()
SENT = (BEFORE % "Sent Echoed message").encode()
DATA = pika.BasicProperties(content_type="application/json", delivery_mode=2)
RECORD = pika.BasicProperties(content_type="application/json", delivery_mode=1)


class Relay:
    """Deliveries and publications of the data channel are numbered alike: the first echoes the first."""

    def __init__(self, into, out):
        self.into, self.out = into, out
        self.floor = 0  # confirmed without a gap
        self.acknowledged = 0
        self.beyond = set()  # confirmed beyond a gap
        self.data = self.records = None
        self.waits = False

    def opened(self, connection):
        connection.channel(on_open_callback=self.records_opened)

    def records_opened(self, channel):
        self.records = channel
        channel.connection.channel(on_open_callback=self.data_opened)

    def data_opened(self, channel):
        self.data = channel
        channel.add_on_return_callback(lambda *_: sys.exit("pika_relay.py: unroutable"))
        channel.confirm_delivery(self.confirmed)
        channel.basic_qos(prefetch_count=PREFETCH)
        channel.basic_consume(self.into, self.delivered)

    def delivered(self, channel, method, properties, body):
        payload = body.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + AFTER
        self.records.basic_publish("", "valawai/log/add", RECEIVED + payload, RECORD)
        channel.basic_publish("", self.out, body, DATA, mandatory=True)
        self.records.basic_publish("", "valawai/log/add", SENT + payload, RECORD)

    def confirmed(self, frame):
        method = frame.method
        if isinstance(method, pika.spec.Basic.Nack):
            sys.exit("pika_relay.py: not confirmed")
        if method.multiple:
            self.floor = max(self.floor, method.delivery_tag)
            self.beyond = {tag for tag in self.beyond if tag > self.floor}
        else:
            self.beyond.add(method.delivery_tag)
        while self.floor + 1 in self.beyond:
            self.floor += 1
            self.beyond.remove(self.floor)
        if self.floor - self.acknowledged >= 20:
            self.acknowledge()
        elif not self.waits and self.floor > self.acknowledged:
            self.waits = True
            self.data.connection.ioloop.call_later(0, self.acknowledge)

    def acknowledge(self):
        self.waits = False
        if self.floor > self.acknowledged:
            self.acknowledged = self.floor
            self.data.basic_ack(self.floor, multiple=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    relay = Relay(*sys.argv[1:])
    parameters = pika.ConnectionParameters(
        host=os.environ["RABBITMQ_HOST"], port=int(os.environ["RABBITMQ_PORT"]), heartbeat=0,
        credentials=pika.PlainCredentials(os.environ["RABBITMQ_USERNAME"], os.environ["RABBITMQ_PASSWORD"]))
    connection = pika.SelectConnection(parameters, on_open_callback=relay.opened,
                                       on_close_callback=lambda _, why: sys.exit(f"pika_relay.py: {why}"))
    connection.ioloop.start()


if __name__ == "__main__":
    main()

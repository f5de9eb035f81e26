# SPDX-License-Identifier: GPL-3.0-or-later
"""The numbered stream: a generator that publishes, a sink that collects the echoes, and the comparison of the two.

Both use the broker directly, not through the faulty network of the host. """

import collections
import json
import random
import threading
import time

import pika

PROPERTIES = pika.BasicProperties(content_type="application/json", delivery_mode=2)
WINDOW = 500  # unconfirmed messages at most


class Generator:
    """Publishes {"content": "<number>"}, persistent, mandatory and confirmed, at a rate and in bursts.

    A number is published once. What was not confirmed when a connection broke may or may not have arrived; those numbers are
    set apart in `unsure`, and the next message gets a new number. So nothing comes twice because of the generator.
    """

    def __init__(self, brokers, topic, rate=0):
        self.rate = rate  # messages a second
        self.confirmed = set()
        self.unsure = set()
        self.next = 0
        self._brokers = brokers
        self.topic = topic
        self._burst = 0
        self._due = 0.0
        self._paused = False
        self._stopping = False
        self._blocked = False
        self._pending = collections.OrderedDict()  # delivery tag -> number
        self._returned = set()
        self._connection = None
        self._channel = None
        self._tag = 0
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)

    def start(self):
        self._thread.start()
        return self

    def burst(self, count):
        """Sends this many more, in addition to the rate, as fast as the broker confirms them."""
        self._burst += count

    def pause(self):
        self._paused = True

    def resume(self):
        self._paused = False

    def idle(self):
        """True if nothing is unconfirmed, and no publication is due."""
        return (self._paused or (self.rate == 0 and self._burst == 0)) and not self._pending

    def stop(self):
        self._stopping = True
        self._thread.join(20)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self):
        while not self._stopping:
            try:
                self._connection = pika.SelectConnection(
                    random.choice(self._brokers()).parameters(), on_open_callback=self._on_open,
                    on_open_error_callback=self._on_closed, on_close_callback=self._on_closed)
                self._connection.ioloop.start()
            except (pika.exceptions.AMQPError, OSError):
                pass
            self._lost()
            if not self._stopping:
                time.sleep(0.1)

    def _on_open(self, connection):
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        connection.channel(on_open_callback=self._on_channel)

    def _set_blocked(self, blocked):
        self._blocked = blocked

    def _on_channel(self, channel):
        self._channel = channel
        self._tag = 0
        self._last = time.monotonic()
        channel.add_on_return_callback(self._on_return)
        channel.add_on_close_callback(lambda *_: self._connection.is_open and self._connection.close())
        channel.confirm_delivery(self._on_confirm, callback=lambda _: self._tick())

    def _on_closed(self, connection, error):
        connection.ioloop.stop()

    def _on_return(self, channel, method, properties, body):
        self._returned.add(int(json.loads(body)["content"]))

    def _on_confirm(self, frame):
        tag, good = frame.method.delivery_tag, isinstance(frame.method, pika.spec.Basic.Ack)
        tags = [tag]
        if frame.method.multiple:
            tags = []
            for each in self._pending:
                if each > tag:
                    break
                tags.append(each)
        for each in tags:
            number = self._pending.pop(each, None)
            if number is not None:
                (self.confirmed if good and number not in self._returned else self.unsure).add(number)

    def _tick(self):
        if self._stopping:
            if self._connection.is_open:
                self._connection.close()
            return
        now = time.monotonic()
        if not self._paused:
            self._due = min(self._due + self.rate * (now - self._last), 4 * WINDOW)
        self._last = now
        while not self._blocked and not self._paused and len(self._pending) < WINDOW and self._channel.is_open:
            if self._burst > 0:
                self._burst -= 1
            elif self._due >= 1:
                self._due -= 1
            else:
                break
            self._publish()
        if self._connection.is_open:
            self._connection.ioloop.call_later(0.01, self._tick)

    def _publish(self):
        number = self.next
        self.next += 1
        self._tag += 1
        self._pending[self._tag] = number
        self._channel.basic_publish("", self.topic, json.dumps({"content": str(number)}).encode(), PROPERTIES, mandatory=True)

    def _lost(self):
        self.unsure.update(self._pending.values())
        self._pending.clear()
        self._blocked = False
        self._channel = None


class Sink:
    """Collects the echoes. An echo is acknowledged when it has been noted."""

    def __init__(self, brokers, topic):
        self.seen = collections.Counter()
        self.strange = []  # bodies that were never sent
        self.again = 0  # redelivered because a broker forgot an acknowledgement: not caused by the host
        self.last = None  # when the last one came
        self.longest_gap = 0.0
        self.consuming = threading.Event()
        self._brokers = brokers
        self._topic = topic
        self._marks = []  # (number, event): set when an echo with at least that number comes
        self._lock = threading.Lock()
        self._again = threading.Event()
        self._stopping = False
        self._counting = True
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._stopping = True
        self._thread.join(20)

    def count_gaps(self, yes):
        """True if silence counts: not while no echo is due."""
        self._counting = yes
        self.last = None

    def mark(self, number):
        """Notes when the first echo of a message with this or a higher number comes."""
        mark = Mark(number)
        with self._lock:
            self._marks.append(mark)
        return mark

    def _run(self):
        while not self._stopping:
            try:
                connection = random.choice(self._brokers()).connect()
                try:
                    channel = connection.channel()
                    channel.queue_declare(self._topic, durable=True)
                    channel.basic_qos(prefetch_count=1000)
                    channel.add_on_cancel_callback(lambda *_: self._again.set())  # the queue was deleted
                    channel.basic_consume(self._topic, self._on_message)
                    self.consuming.set()
                    while not self._stopping and channel.is_open and not self._again.is_set():
                        connection.process_data_events(time_limit=0.05)
                finally:
                    self._again.clear()
                    self.consuming.clear()
                    if connection.is_open:
                        connection.close()
            except (pika.exceptions.AMQPError, OSError, KeyError):  # pika raises KeyError for a consumer cancelled twice
                if not self._stopping:
                    time.sleep(0.1)

    def _on_message(self, channel, method, properties, body):
        now = time.monotonic()
        try:
            number = int(json.loads(body)["content"])
        except (ValueError, KeyError, TypeError):
            self.strange.append(body)
            channel.basic_ack(method.delivery_tag)
            return
        if method.redelivered and number in self.seen:
            self.again += 1
        else:
            self.seen[number] += 1
            if self._counting and self.last is not None:
                self.longest_gap = max(self.longest_gap, now - self.last)
            self.last = now
            with self._lock:
                for mark in [mark for mark in self._marks if number >= mark.number]:
                    mark.at = now
                    mark.event.set()
                    self._marks.remove(mark)
        channel.basic_ack(method.delivery_tag)


class Mark:
    def __init__(self, number):
        self.number = number
        self.at = None
        self.event = threading.Event()

    def wait(self, timeout):
        """The time of the echo (time.monotonic()), or TimeoutError."""
        if not self.event.wait(timeout):
            raise TimeoutError(f"no echo of message {self.number} or a later one within {timeout:g} s")
        return self.at


Tally = collections.namedtuple("Tally", "sent echoed lost duplicated strange again unsure")


def tally(confirmed, unsure, seen, strange=(), again=0):
    """Compares the messages that the broker confirmed with the echoes.

    Unsure messages may be missing, but count as duplicates if they come twice. """
    known = confirmed | unsure
    return Tally(sent=len(confirmed), echoed=len(confirmed & set(seen)), lost=sorted(confirmed - set(seen)),
                 duplicated=sum(count - 1 for count in seen.values()),
                 strange=len(strange) + len(set(seen) - known), again=again, unsure=len(unsure))

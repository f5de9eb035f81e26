# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker for tests/fuzz/workers.py: it speaks the worker protocol, and breaks it in its first lives. SEED and the number of the
life decide everything that it does. The directory keeps the number of lives, and the lines for which the host has to end it.

    hostile_worker.py SEED DIRECTORY DOCUMENT
"""

import os
import random
import select
import signal
import sys
import time

TOPIC = "valawai/c1/echo/data/received_message"
OUT = "valawai/c1/echo/data/publish_message"
BODY = b'{"id":"w","content":"of the worker","created_at":1}'
NUMBERS = (0, 1, 2, 3, 7, 100, 4095, 4096, 4097, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 999999999999999999)
REASONS = ("", "not now", "\x1b[31m red", "\x80\xff", "\t", "  ", "line\rtwo", "\u2028", "x" * 8000, "%s%n", '"}')
TIMERS, QUESTIONS, PATIENCE = 5, 5, 0.5
LONGEST = int(5 * max(1, float(os.environ.get("VALAWAI_TIMEOUT_FACTOR") or 1)))  # seconds of a hostile life


class Over(Exception):
    """Ends the output of this life."""


def life_of(directory):
    """1 for the first one."""
    with open(os.path.join(directory, "lives"), "ab") as file:
        file.write(b".")
        return file.tell()


def hostile_lives(seed):
    return random.Random(f"lives {seed}").choice((0, 1, 1, 1, 2, 2, 3, 4))


class Worker:
    def __init__(self, seed, directory, document):
        life = life_of(directory)
        self.chance = random.Random(f"{seed} {life}")
        self.hostile, self.first = life <= hostile_lives(seed), life == 1
        self.directory = directory
        with open(document, "rb") as file:
            self.document = file.read()
        self.have, self.done = [], []
        self.retries, self.in_doubt, self.started = 2, False, False
        self.buffer = b""
        self.left = self.chance.choice((0, 1, 2, 3, 5, 8, 13, 40))
        self.step = self.chance.choice((0, 0, 0, 0, 1, 3, 100)) if self.hostile else 0

    # ---- the stream ----

    def write(self, data):
        at = 0
        while at < len(data):
            step = self.chance.randint(1, self.step) if self.step and at < 400 else len(data)
            try:
                at += os.write(1, data[at:at + step])
            except OSError as error:
                raise Over from error

    def say(self, line, *parts):
        line = line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")
        self.write(line + b"\n" + b"".join(part + b"\n" for part in parts))

    def fill(self, wait):
        """False: nothing has come."""
        if not select.select([0], [], [], wait)[0]:
            return False
        data = os.read(0, 1 << 16)
        if not data:
            raise Over
        self.buffer += data
        return True

    def take(self, wait=None):
        """The next frame as (words, parts); None: none in this time."""
        while True:
            line, feed, rest = self.buffer.partition(b"\n")
            if feed:
                words = line.decode().split(" ")
                at = {"START": [1], "MSG": [4, 6], "PAGE": [2]}.get(words[0], [])
                sizes = [int(words[i]) for i in at if i < len(words)]
                if len(rest) >= sum(sizes) + len(sizes):
                    parts = []
                    for size in sizes:
                        parts.append(rest[:size])
                        rest = rest[size + 1:]
                    self.buffer = rest
                    return words, parts
            if not self.fill(wait):
                return None

    # ---- valid frames ----

    def number(self):
        return self.chance.choice(NUMBERS)

    def publish(self, about):
        chance = self.chance
        body = "=" if about and chance.random() < 0.5 else None
        topic, data = OUT, BODY
        if self.hostile and chance.random() < 0.3:  # refused, which is no violation
            topic = chance.choice((OUT, OUT, TOPIC, "valawai/log/add", "x" * 256, "x" * 8000, "%s", "\xff"))
            data = chance.choice((BODY, b"", b"{", b"[]", b"{}", b"\0", b"[" * 2000, b'{"content":1}', b"\xff\xfe", BODY * 2))
        parts = [] if body else [data]
        words = ["PUB", str(about), topic, body or str(len(data))]
        if chance.random() < 0.2:
            properties = chance.choice((b"{}", b'{"headers":{"a":"b"}}', b'{"priority":5,"expiration":"1000"}'))
            if self.hostile:
                properties = chance.choice((properties, b"", b"{", b"[]", b'{"headers":[]}', b'{"priority":-1}', b'{"priority":1e99}',
                                            b'{"headers":' * 100, b'{"expiration":"\xff"}', b"\0\0", b'{"x":"' + b"y" * 70000 + b'"}'))
            words.append(str(len(properties)))
            parts.append(properties)
        self.say(" ".join(words), *parts)

    def record(self, about):
        chance = self.chance
        text = chance.choice((b"a text", b"", b"two\nlines\x1b[0m", b"\xff\0\x80", b"x" * 5000))
        words = ["LOG", str(about), chance.choice(("DEBUG", "INFO", "WARN", "ERROR")), str(self.number()), "worker.py", str(len(text))]
        parts = [text]
        if about and chance.random() < 0.3:
            words.append("=")
        elif chance.random() < 0.3:
            parts.append(chance.choice((b"{}", b"no JSON", b"", b"\0", b'{"a":"' + b"z" * 3000 + b'"}')))
            words.append(str(len(parts[1])))
        self.say(" ".join(words), *parts)

    def beside(self):
        """A frame that is about no message."""
        global TIMERS, QUESTIONS
        kind = self.chance.randrange(6)
        if kind == 0:
            self.publish(0)
        elif kind == 1:
            self.record(0)
        elif kind == 2:
            self.say("NOTE " + self.chance.choice(("DEBUG", "INFO", "WARNING", "ERROR")) + " " + self.chance.choice(REASONS))
        elif kind == 3 and TIMERS > 0:
            TIMERS -= 1
            self.say(f"TIMER {self.chance.choice((0, 1, 2, 2**40))} {self.chance.choice((0, 1, 50, self.number()))} {self.chance.choice((0, 0, 20, self.number()))}")
        elif kind == 4:
            self.say(f"CANCEL {self.chance.choice((0, 1, 2, self.number()))}")
        elif QUESTIONS > 0:
            QUESTIONS -= 1
            query = self.chance.choice((b'{"offset":0,"limit":5}', b"{}", b"[", b"", b'{"id":"x"}', b"\0"))
            self.say(f"QUERY {self.number()} {self.chance.choice(('components', 'connections'))} {len(query)}", query)

    def judge(self, about):
        chance = self.chance
        if chance.random() < 0.3:
            self.record(about)
        if chance.random() < 0.1:
            self.say(f"AGAIN {about} {chance.choice((1, 2, 3, 2**31, 999999999999999999))}")
        for _ in range(chance.choice((0, 1, 1, 2))):
            self.publish(about)
        verdict = chance.choices(("DONE", "RETRY", "WRONG", "FAILED"), (8, self.retries, 1, 1))[0] if self.hostile else "DONE"
        self.retries -= verdict == "RETRY" and self.retries > 0
        self.have.remove(about)
        self.done.append(about)
        reason = "" if verdict == "DONE" else chance.choice(("", " ")) + chance.choice(REASONS)
        self.say(f"{verdict} {about}" + (" " + reason.lstrip() if reason.strip(" ") else ""))

    # ---- violations ----

    def offend(self, line, *parts, shown=None):
        """The host must end the worker because of this line, and quote it in this form."""
        shown = line if shown is None else shown
        if not self.in_doubt:
            with open(os.path.join(self.directory, "offences"), "a", encoding="utf-8") as file:
                file.write(shown[:120] + "\n")
        self.say(line, *parts)
        self.wait_for_end()

    def wait_for_end(self):
        while True:
            self.fill(None)
            self.buffer = b""

    def no_frame(self):
        line, shown = self.chance.choice((
            ("", ""), (" ", " "), ("done 1", None), ("MSG 1 t 1 2", None), ("START 2", None), ("DONE", None), ("DONE ", None), ("DONE x", None),
            ("DONE 1 2", None), ("DONE -1", None), ("DONE  1", None), ("DONE 1 ", None), ("DONE 1\r", "DONE 1"), ("DONE 1234567890123456789", None),
            ("PUB 0 a 99999999999", None), ("PUB 0 a 999999999999999999 999999999999999999", None), ("PUB 0 a -", None),
            ("PUB 0  5", None), ("LOG 0 INFO 1 f", None), ("LOG 0 INFO 1 f =", None), ("QUERY 1 components =", None), ("TIMER 1 1", None),
            ("DRAINED now", None), ("\0", ""), ("NOTE\0INFO a", "NOTE"), ("X" * 9000, "X" * 100), ("RETRY 1 " + "r" * 9000, "RETRY 1 rrr"),
            ("GARBAGE \x1b[31m\xff", "GARBAGE"), ("%s%n%s", None), ('"', None)))
        self.offend(line, shown=shown)

    def out_of_place(self):
        unknown = self.chance.choice([0, 5000, 999999999999999999] + self.done[-2:])
        verb = self.chance.choice(("DONE", "RETRY", "WRONG", "FAILED", "AGAIN", "PUB", "LOG", "STOPPED", "DRAINED", "HELLO", "PLUGIN", "TOPIC",
                                   "READY", "CANNOT", "STARTED", "LEVEL", "NOTE", "QUERY"))
        if verb == "STARTED" and not self.started:  # START may be on its way, and this its answer
            verb = "STOPPED"
        if verb in ("STOPPED", "DRAINED", "READY", "CANNOT"):
            self.offend(verb)
        elif verb in ("DONE", "RETRY", "WRONG", "FAILED"):
            self.offend(f"{verb} {unknown}")
        elif verb == "AGAIN":
            self.offend(f"AGAIN {unknown} 1")
        elif verb in ("PUB", "LOG") and unknown == 0:
            self.offend("PUB 0 t =" if verb == "PUB" else "LOG 0 INFO 1 f 0 =", *([] if verb == "PUB" else [b""]))
        elif verb == "PUB":
            self.offend(f"PUB {unknown} {OUT} {len(BODY)}", BODY)
        elif verb == "LOG":
            self.offend(f"LOG {unknown} INFO 1 f 1", b"x")
        elif verb == "PLUGIN":
            self.offend("PLUGIN 1.0.0 1 - 2", b"{}")
        else:
            self.offend({"HELLO": "HELLO 1 json", "TOPIC": "TOPIC t", "STARTED": "STARTED 0", "LEVEL": "LOG 0 LOUD 1 f 1", "NOTE": "NOTE LOUD x",
                         "QUERY": "QUERY 1 everything 2"}[verb], *{"LEVEL": [b"x"], "QUERY": [b"{}"]}.get(verb, []))

    def wrong_length(self):
        if self.chance.random() < 0.5:
            self.offend(f"PUB 0 {OUT} {len(BODY) - 1}", BODY)
        self.in_doubt = True  # what follows belongs to the part
        self.write(f"PUB 0 {OUT} {len(BODY) + self.chance.choice((1, 100, 100000))}\n".encode() + BODY + b"\n")

    def cut(self):
        """Ends in the middle of a frame."""
        frame = f"LOG 0 INFO 1 worker.py {len(BODY)}\n".encode() + BODY + b"\n"
        self.write(frame[:self.chance.randrange(len(frame))])
        self.end()

    def noise(self):
        self.in_doubt = True
        self.write(self.chance.randbytes(self.chance.choice((1, 100, 10000, 300000))))

    def end(self):
        kind = self.chance.randrange(6)
        if kind == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == 1:
            os.kill(os.getpid(), self.chance.choice((signal.SIGTERM, signal.SIGSEGV, signal.SIGABRT)))
        elif kind == 2:
            os._exit(self.chance.choice((0, 1, 42, 255)))
        elif kind == 3:  # the stream ends, and the process does not
            os.close(1)
            os.close(0)
            time.sleep(3600)
        elif kind == 4:
            os.close(1)
            os._exit(0)
        raise Over

    def flood(self):
        """Writes much and reads nothing."""
        kind = self.chance.randrange(4)
        frame = {0: b"QUERY 1 components 1\n[\n", 1: b"NOTE DEBUG x\n", 2: b"CANCEL 1\n",
                 3: f"PUB 0 {OUT} {len(BODY)}\n".encode() + BODY + b"\n"}[kind]
        self.write(frame * self.chance.choice((100, 1000)))

    def sleep(self):
        """Never answers a message, and ignores the host."""
        self.in_doubt = True
        time.sleep(self.chance.choice((0.01, 0.1, PATIENCE, PATIENCE, 30)))

    def escape(self):
        """Leaves its process group, where the host cannot reach it."""
        reads, writes = os.pipe()
        if os.fork() > 0:
            os.close(writes)
            os.read(reads, 1)
            os._exit(0)
        os.setsid()
        os.close(writes)
        self.in_doubt = True  # the host, which cannot kill it, may end before it reports what it was sent

    def deviate(self):
        self.left -= 1
        if not self.hostile or self.left >= 0:
            return
        self.left = self.chance.choice((0, 1, 3))
        kinds = (self.no_frame, self.out_of_place, self.out_of_place, self.wrong_length, self.cut, self.noise, self.end, self.flood,
                 self.sleep, self.escape)
        self.chance.choices(kinds, (5, 8, 8, 2, 2, 1, 3, 1, 1, 1))[0]()

    # ---- a life ----

    def greet(self):
        chance = self.chance
        odd = chance.randrange(14) if self.hostile and chance.random() < 0.25 else None
        if self.first and odd in (7, 8, 9, 10, 11, 12):  # the host would take them for the plugin, and refuse all later lives
            odd = None
        self.take()
        if odd == 0:
            self.offend("READY")
        elif odd == 1:
            self.offend("PLUGIN 1.0.0 1 - 2", b"{}")
        elif odd == 2:
            self.say(f"HELLO {chance.choice((0, 2, 999999999999999999))} json")
        elif odd == 3:
            self.say(chance.choice(("CANNOT", "CANNOT ", "CANNOT no licence", "CANNOT \x1b\xff")))
        elif odd == 4:
            self.deviate()
        self.in_doubt = odd in (2, 3, 7, 8, 9, 10, 11, 12)  # the host may refuse the plugin, or another one than before
        self.say("HELLO 1 json")
        if odd == 5:
            self.offend(chance.choice(("HELLO 1 json", "TOPIC t", "DONE 1", "STARTED 0")))
        elif odd == 6:
            self.offend("PLUGIN 1.0.0 1 - 3", b"{}\0")
        document = self.document
        if odd == 7:
            document = chance.choice((b"", b"{}", b"\xff", b"[" * 5000, document[:chance.randrange(len(document))], document + b"\n"))
        window, flag = chance.choice((0, 1, 1, 2, 10, 4096, 999999999999999999)), chance.choice(("-", "-", "thread-safe"))
        # A process that takes the place of another one is the same plugin, and only the window may change.
        flag = "-" if odd != 8 else flag
        self.say(f"PLUGIN {chance.choice(('1.0.0', '1.0.0', '-', 'v' * 2000, '%n'))} {window} {flag} {len(document)}", document)
        for topic in {9: [], 10: [TOPIC, TOPIC], 11: ["x" * 8000], 12: [TOPIC, "valawai/c1/echo/control/registered", OUT]}.get(odd, [TOPIC]):
            self.say("TOPIC " + topic)
        if odd == 13:
            frame = chance.choice(("LOG 0 INFO 1 f 0\n", f"PUB 0 {OUT} {len(BODY)}\n{BODY.decode()}", "TIMER 1 1 1", "NOTE ERROR x", "CANCEL 1",
                                   "QUERY 1 components 2\n{}", "STARTED 0", "STOPPED", "DONE 1"))
            self.step = 0  # with the same read as READY: it may come after START
            self.offend("READY\n" + frame, shown=frame.split("\n")[0])
        self.say("READY")

    def start(self):
        chance = self.chance
        for _ in range(chance.choice((0, 0, 1, 3))):
            self.beside()
        if self.hostile and chance.random() < 0.1:
            self.deviate()
        answer = "0"
        if self.hostile and chance.random() < 0.1:
            answer = chance.choice(("1", "-1", "00", "abc", "99999999999999999999", "0x", "-"))
            self.in_doubt = True
        self.say("STARTED " + answer)
        self.started = True

    def stop(self):
        chance = self.chance
        for about in list(self.have):
            if chance.random() < 0.8:
                self.judge(about)
        odd = chance.randrange(10) if self.hostile else 0
        if odd == 1:
            self.sleep()
        elif odd == 2:
            self.end()
        elif odd == 3:
            self.say("DRAINED")
            self.say("DRAINED")
        elif odd == 4:
            self.deviate()
        elif odd == 5:
            self.say("STOPPED")
            self.offend("DONE 5000" if not self.have else "STARTED 0")
        if odd < 6:
            self.say("DRAINED")
        self.say("STOPPED")
        raise Over

    def serve(self):
        while True:
            self.deviate()
            if self.hostile and self.chance.random() < 0.3 and self.started:
                self.beside()
            frame = self.take(0.01 if self.have else None)
            if frame is not None and frame[0][0] == "MSG":
                self.have.append(int(frame[0][1]))
            elif frame is not None and frame[0][0] == "START":
                self.start()
            elif frame is not None and frame[0][0] == "CLOSE":
                self.stop()
            if self.have and (frame is None or self.chance.random() < 0.7):
                self.judge(self.chance.choice(self.have))


def main():
    worker = Worker(int(sys.argv[1]), sys.argv[2], sys.argv[3])
    if worker.hostile:  # a plugin's start has no limit of time
        signal.alarm(LONGEST)
    try:
        worker.greet()
        worker.serve()
    except Over:
        pass


main()

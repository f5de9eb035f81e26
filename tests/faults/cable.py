#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cable between two TUN devices that can be slow, lossy or dead.

    cable.py NEAR FAR

makes the two devices, prints `ready`, and carries IP packets from one to the other. Lines on its standard input say how:
`delay MS` (what comes from FAR arrives so much later) and `loss PERCENT` (in both directions). It ends with its input.
Beside tc with netem it has the advantage to need nothing of the kernel but TUN devices.
"""

import collections
import fcntl
import os
import random
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 1, 0x1000


def device(name):
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def put(tun, packet):
    try:
        os.write(tun, packet)
    except OSError:  # the device is down, or full: the packet is lost, as on a real cable
        pass


def main():
    near, far = map(device, sys.argv[1:3])
    other = {near: far, far: near}
    delay, loss = 0.0, 0.0
    late = collections.deque()  # (due time, packet) for near
    print("ready", flush=True)
    while True:
        patience = max(0.0, late[0][0] - time.monotonic()) if late else None
        readable, _, _ = select.select([0, near, far], [], [], patience)
        now = time.monotonic()
        while late and late[0][0] <= now:
            put(near, late.popleft()[1])
        for tun in readable:
            if tun == 0:
                line = os.read(0, 4096)
                if not line:
                    return
                for what, number in (text.split() for text in line.decode().splitlines()):
                    if what == "delay":
                        delay = float(number) / 1000
                    else:
                        loss = float(number) / 100
                print("done", flush=True)
                continue
            try:
                packet = os.read(tun, 65536)
            except OSError:
                continue
            if loss and random.random() < loss:
                continue
            if tun == far and (delay or late):  # later packets do not overtake
                late.append((now + delay, packet))
            else:
                put(other[tun], packet)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Names with several addresses, and addresses that do not answer."""

import contextlib
import socket

import pytest

from host import SANITIZER, plugin

RESOLVER = {"LD_PRELOAD": plugin("resolver")}  # its names: see resolver.c
preloads = pytest.mark.skipif(SANITIZER, reason="a sanitizer has to be the first library that is preloaded")


@contextlib.contextmanager
def silence(address, port):
    """An address that does not answer, because the queue of its listener is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(8):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect((address, port))
        yield

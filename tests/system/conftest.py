# SPDX-License-Identifier: GPL-3.0-or-later
"""One private broker for the session; fresh queues, a MOV stand-in and hosts for each test.

    /usr/bin/python3 -m pytest tests/system

VALAWAI_BUILD            the build directory; default build/release
VALAWAI_TIMEOUT_FACTOR   stretches every time-out, for slow builds
VALAWAI_SANITIZER=1      skips what only a plain build can promise (memory, start time)
VALAWAI_WRAPPER          a command to run the host under, such as valgrind
VALAWAI_ISOLATION        thread: plugins live in threads of the host; default: in processes of their own
VALAWAI_RELEASE          the broker is the RabbitMQ of this Debian release: bookworm (3.10), trixie (4.0) or forky (4.3)
VALAWAI_QUEUE_TYPE       quorum: what queues become that are declared without arguments
"""

import os
import signal
import sys

import pytest

sys.dont_write_bytecode = True  # the source tree stays as it is
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "support"))

from broker import Broker, Unavailable  # noqa: E402
from host import Client, Host, SANITIZER, WRAPPER  # noqa: E402
from mov import MovStandIn  # noqa: E402

plain_build = pytest.mark.skipif(SANITIZER or bool(WRAPPER), reason="only a plain build promises this")

in_a_thread = pytest.mark.in_a_thread


def pytest_configure(config):
    config.addinivalue_line("markers", "in_a_thread: the plugins of its hosts live in threads of the host")
    # A killed session also unwinds its fixtures and ends the processes that it started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: sys.exit(128 + number))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, "report_" + call.when, outcome.get_result())


@pytest.fixture(scope="session")
def session_broker():
    try:
        broker = Broker()
    except Unavailable as error:
        pytest.skip(str(error))
    with broker:
        yield broker


@pytest.fixture
def broker(session_broker):
    """The session's broker, running even if the previous test stopped it."""
    session_broker.thaw()
    session_broker.start()
    return session_broker


@pytest.fixture
def client(broker):
    client = Client(broker)
    client.delete_all()
    yield client
    client.close()


@pytest.fixture
def mov(broker, client):
    """A MOV that must accept everything that it receives. A test that sends invalid messages empties the two lists."""
    with MovStandIn(broker) as mov:
        yield mov
        assert not mov.violations, "bodies that would have killed a listener of the MOV"
        assert not mov.refused, "messages that the MOV would not have taken"


@pytest.fixture
def new_host(request):
    """Makes hosts like Host(...). Those that still run at the end must end with status 0 on SIGTERM."""
    hosts = []
    threads = {"VALAWAI_ISOLATION": "thread"} if request.node.get_closest_marker("in_a_thread") else {}

    def make(*args, env=None, **kwargs):
        kwargs["env"] = {**threads, **(env or {})}
        hosts.append(Host(*args, **kwargs))
        return hosts[-1]

    yield make
    failed = getattr(getattr(request.node, "report_call", None), "failed", True)
    try:
        for host in hosts:
            if failed:
                print(f"--- console of {' '.join(host.arguments)}\n{host.console[-6000:]}")
            elif host.running():
                status = host.stop()
                assert status == 0, f"exit status {status} on SIGTERM\n{host.console[-4000:]}"
    finally:
        for host in hosts:
            host.close()

# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS: the host always verifies peer and name."""

import json
import os
import socket
import subprocess
import threading

import pika
import pytest

from addresses import RESOLVER, preloads, silence
from broker import Broker, free_port, scaled, wait_until
from by_hand import ByHand, Session, tls_context
from host import BINARY, Client, ECHO, one_line, published, received
from mov import MovStandIn


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_ca(directory, name):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.pem", cwd=directory)


def make_certificate(directory, name, ca, subject, days="30"):
    with open(os.path.join(directory, f"{name}.ext"), "w", encoding="ascii") as file:
        file.write(f"subjectAltName=DNS:{subject}\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={subject}", "-keyout", f"{name}.key", "-out",
            f"{name}.csr", cwd=directory)
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days",
            days, "-extfile", f"{name}.ext", "-out", f"{name}.pem", cwd=directory)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    for ca in ("ca", "other_ca"):
        make_ca(directory, ca)
    make_certificate(directory, "good", "ca", "localhost")
    make_certificate(directory, "two", "ca", "two.test")
    make_certificate(directory, "wrong_name", "ca", "broker.example.org")
    make_certificate(directory, "expired", "ca", "localhost", days="0")  # ends as it begins; a negative number is refused by OpenSSL 3.5
    make_certificate(directory, "client", "ca", "host")
    os.chmod(directory, 0o755)
    return directory


@pytest.fixture(scope="module")
def tls_broker(pki):
    """One node with a listener for each certificate would be three; the certificate is swapped between starts instead."""
    def start(certificate, ask_for_ours=False):
        broker.conf.update({
            "listeners.ssl.1": f"127.0.0.1:{broker.tls_port}",
            "ssl_options.cacertfile": pki / "ca.pem",
            "ssl_options.certfile": pki / f"{certificate}.pem",
            "ssl_options.keyfile": pki / f"{certificate}.key",
            "ssl_options.verify": "verify_peer" if ask_for_ours else "verify_none",
            "ssl_options.fail_if_no_peer_cert": "true" if ask_for_ours else "false",
        })
        broker.stop()
        broker.start()
        wait_until(listens, 20, "the TLS listener")  # opens a little after the other one
        return broker

    def listens():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", broker.tls_port)) == 0
    broker = Broker()
    broker.tls_port = free_port()
    broker.start_with = start
    yield broker
    broker.stop()


def environment(broker, pki, ca="ca", **more):
    return {**broker.environment(), "RABBITMQ_HOST": "localhost", "RABBITMQ_PORT": str(broker.tls_port), "RABBITMQ_TLS": "true",
            "RABBITMQ_TLS_CA": str(pki / f"{ca}.pem"), "RABBITMQ_MAX_RETRIES": "1", **more}


def test_echo_over_tls_and_a_ca_that_is_not_ours(new_host, tls_broker, pki):
    broker = tls_broker.start_with("good")
    client = Client(broker)
    with MovStandIn(broker) as mov:
        host = new_host(env=environment(broker, pki)).start()
        host.wait_healthy()
        bodies = [{"content": "x" * size} for size in (1, 16000, 16384, 300000, 3)]
        client.publish(received(), *bodies)
        assert [json.loads(body) for body in client.collect(published(), len(bodies), 20)] == bodies
        traced = pika.BasicProperties(content_type="application/json", message_id="m", headers={"traceparent": "00-1-2-01"})
        client.channel.basic_publish("", received(), b'{"content":"traced"}', traced, mandatory=True)
        (properties, body), = client.collect_messages(published(), 1, 20)
        assert json.loads(body) == {"content": "traced"}
        assert properties.headers == {"traceparent": "00-1-2-01"}
        assert properties.content_type == "application/json" and properties.delivery_mode == 2
        assert host.stop() == 0
        mov.wait_for(lambda mov: len(mov.unregistered) == 1)
    one_line(new_host(env=environment(broker, pki, ca="other_ca")).run(), "localhost", "TLS", "RABBITMQ_TLS_CA",
             "the broker's certificate is not valid")
    for ca, why in (("/no/such.pem", "No such file"), (__file__, "no certificates"), ("/", "no certificates")):
        result = new_host(env=environment(broker, pki, RABBITMQ_TLS_CA=ca)).run()
        one_line(result, f"{ca}: ", why)
        assert "password" not in result.stderr
    client.close()


def test_dead_letters_over_tls(new_host, tls_broker, pki):
    """The host moves them there, and the verb moves them back."""
    broker = tls_broker.start_with("good")
    client = Client(broker)
    dead = received() + "/dead"
    sizes = (1, 16384, 300000)
    with MovStandIn(broker):
        host = new_host(env=environment(broker, pki)).start()
        host.wait_healthy()
        client.publish(received(), *({"contents": "x" * size} for size in sizes))
        wait_until(lambda: f"{received()}: {len(sizes)} dead letters" in verb(host, "list", received()), 20, "the letters")
        assert host.stop() == 0
        assert verb(host, "show", received()).count("invalid") >= 1
        assert verb(host, "retry", received())
        assert [len(json.loads(body)["contents"]) for body in client.collect(received(), len(sizes), 20)] == list(sizes)
        assert client.depth(dead) == 0
    client.close()


def verb(host, *arguments):
    result = subprocess.run([BINARY, "dead", *arguments], env=host.env, cwd=host.directory, capture_output=True, text=True,
                            timeout=scaled(60), check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("certificate, why", [
    ("wrong_name", "the broker's certificate is not for localhost"),
    ("expired", "certificate has expired"),
])
def test_certificates_that_are_not_good(new_host, tls_broker, pki, certificate, why):
    """The host does not try again: RABBITMQ_MAX_RETRIES would allow a hundred attempts."""
    broker = tls_broker.start_with(certificate)
    result = new_host(env=environment(broker, pki, RABBITMQ_MAX_RETRIES="100")).run()
    one_line(result, "localhost", "TLS", why)


@preloads
def test_the_first_of_two_addresses_is_silent(new_host, tls_broker, pki):
    """The certificate is for the name, and the host connects to the second address."""
    broker = tls_broker.start_with("two")
    with silence("127.0.0.2", broker.tls_port):
        host = new_host(env=environment(broker, pki, **RESOLVER, RABBITMQ_HOST="two.test")).start()
        host.wait_consuming()
        assert host.stop() == 0


@preloads
def test_each_attempt_tries_all_addresses(new_host, tmp_path):
    """The first address accepts one connection and then refuses, so only another attempt finds the second address."""
    with ByHand(Session, tls_context(tmp_path, "DNS:two.test")) as broker, \
            socket.create_server(("127.0.0.2", broker.port)) as first:
        def accept_one():
            first.accept()[0].close()
            first.close()
        thread = threading.Thread(target=accept_one, daemon=True)
        thread.start()
        host = new_host(env={**by_hand_environment(broker, tmp_path, "two.test"), **RESOLVER, "RABBITMQ_MAX_RETRIES": "10",
                             "RABBITMQ_RETRY_SLEEP": "1"}).start()
        host.wait_consuming()
        assert "attempt 1 of 10" in host.console
        assert host.stop() == 0
        thread.join()


def by_hand_environment(broker, directory, name):
    return {**broker.environment(), "RABBITMQ_HOST": name, "RABBITMQ_TLS": "true",
            "RABBITMQ_TLS_CA": str(directory / "localhost.pem"), "RABBITMQ_MAX_RETRIES": "1"}


@pytest.mark.parametrize("name, subject, announced", [
    ("localhost", "DNS:localhost", "localhost"),
    ("127.0.0.1", "IP:127.0.0.1", None),  # an address is never announced (RFC 6066)
])
def test_the_name_of_the_settings_is_announced(new_host, tmp_path, name, subject, announced):
    heard = []
    context = tls_context(tmp_path, subject)
    context.sni_callback = lambda stream, name, context: heard.append(name)
    with ByHand(Session, context) as broker:
        host = new_host(env=by_hand_environment(broker, tmp_path, name)).start()
        host.wait_consuming()
        assert set(heard) == {announced}
        assert host.stop() == 0


@pytest.mark.parametrize("name, subject", [
    ("localhost", "DNS:other.test,IP:127.0.0.1"),
    ("127.0.0.1", "DNS:localhost,IP:127.0.0.2"),
    ("127.0.0.1", "DNS:127.0.0.1"),
])
def test_a_certificate_for_another_name(new_host, tmp_path, name, subject):
    with ByHand(Session, tls_context(tmp_path, subject)) as broker:
        one_line(new_host(env=by_hand_environment(broker, tmp_path, name)).run(), name, "TLS",
                 f"the broker's certificate is not for {name}")


def test_a_broker_that_wants_our_certificate(new_host, tls_broker, pki):
    broker = tls_broker.start_with("good", ask_for_ours=True)
    one_line(new_host(env=environment(broker, pki)).run(), "localhost", "TLS")
    host = new_host(env=environment(broker, pki, RABBITMQ_TLS_CERTIFICATE=str(pki / "client.pem"),
                                    RABBITMQ_TLS_KEY=str(pki / "client.key"))).start()
    host.wait_consuming()
    assert host.stop() == 0


@pytest.mark.parametrize("given, words", [
    ({"RABBITMQ_TLS_CERTIFICATE": "/any.pem"}, "TLS is not on"),
    ({"RABBITMQ_TLS_KEY": "/any.key", "RABBITMQ_TLS": "true"}, "no certificate"),
])
def test_half_of_tls(new_host, given, words):
    """Incomplete settings never cause a connection in plain text."""
    one_line(new_host(env={"RABBITMQ_HOST": "localhost", "RABBITMQ_MAX_RETRIES": "1", **given}).run(), words)


@pytest.mark.parametrize("value", ["maybe", "2"])
def test_neither_true_nor_false(new_host, value):
    one_line(new_host(plugins=(ECHO,), env={"RABBITMQ_TLS": value}).run(), "RABBITMQ_TLS", value)

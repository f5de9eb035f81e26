# SPDX-License-Identifier: GPL-3.0-or-later
"""What the host tells by HTTP: on its Unix socket, and by TCP where that is asked for."""

from host import published, received
from web import Web


def test_the_socket_tells_the_state_of_a_healthy_host(mov, broker, client, new_host):
    host = new_host(broker).start()
    health = host.wait_healthy()
    web = Web.of(host)
    host.wait(lambda: web.status()["healthy"], what="a healthy host")
    client.publish(received(), *({"content": str(i)} for i in range(20)))
    client.collect(published(), 20)
    host.wait(lambda: web.component()["topics"][0]["acknowledged"] == 20, what="twenty acknowledged messages")
    status = web.status()
    print(status)
    component = status["components"][0]
    assert component["name"] == "c1_echo"
    assert component["state"] == "healthy"
    assert component["mov_id"] == health["id"]

# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of the HTTP interface in a headless Chromium.

VALAWAI_SCREENSHOTS=DIRECTORY keeps pictures: docs/page.png is one of them.
"""

import json
import math
import os
import re
import urllib.request

import pytest

from broker import free_port
from browser import Browser, Unavailable
from host import ECHO, plugin, published, received
from mov import MovStandIn

WHITE, DARK = "rgb(255, 255, 255)", "rgb(20, 23, 26)"


@pytest.fixture
def browser():
    try:
        browser = Browser()
    except Unavailable as error:
        pytest.skip(str(error))
    yield browser
    browser.close()


@pytest.fixture
def page(new_host, broker, browser):
    """A function that starts a host and opens its page."""
    def page(plugins=(ECHO,), host=None):
        if host is None:
            host = new_host(broker, plugins=plugins, env={"HTTP_LISTEN": f"127.0.0.1:{free_port()}"})
        host.url = f"http://{host.env['HTTP_LISTEN']}/"
        host.start()
        host.wait(lambda: answers(host.url), 10, "the page")
        browser.open(host.url)
        return host
    return page


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def row(component, more=""):
    return f'[data-component="{component}"] {more}'


def has(selector, text):
    return f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText?.includes({json.dumps(text)})"


def picture(browser, name):
    directory = os.environ.get("VALAWAI_SCREENSHOTS")
    if directory:
        browser.screenshot(os.path.join(directory, name))


def test_the_policy(page, mov, client):
    """Its own script and style are allowed by their hashes, and nothing else is."""
    host = page()
    with urllib.request.urlopen(host.url, timeout=5) as answer:
        policy, text = answer.headers["Content-Security-Policy"], answer.read().decode()
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    rules = dict(rule.split(None, 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["connect-src"] == "'self'" and rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy and "*" not in policy
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text


def test_what_a_healthy_host_looks_like(page, browser, mov, client):
    host = page(plugins=(ECHO, plugin("other")))
    identifier = host.wait_healthy()
    browser.wait(has("#summary", "✓ healthy"))
    for component in ("c1_echo", "c1_other"):
        browser.wait(has(row(component), "✓ healthy"))
    assert f"MOV id {identifier[0]['id'] if isinstance(identifier, list) else identifier['id']}" in browser.text("tbody")
    assert re.match(r"✓ connected \(RabbitMQ \d+\.\d+\.\d+\S* at ", browser.text("#broker")) and "✓ present" in browser.text("#mov")
    assert "version 0" in browser.text("#host") and f"process {host.pid}" in browser.text("#host")
    assert "healthy – valawai-host" in browser.run("document.title")
    assert browser.errors == []
    assert {url.removeprefix(host.url) for url in browser.requests} <= {"", "status", "data:,"}


def test_numbers_follow_the_messages(page, browser, mov, client):
    host = page()
    host.wait_healthy()
    client.declare(published())
    browser.wait(has(row("c1_echo"), "✓ healthy"))
    client.publish(received(), *({"content": str(number)} for number in range(20)), {"contents": "misspelt"})
    browser.wait(f"document.querySelector('{row('c1_echo', '[data-label=Dead]')}').innerText === '1'", 15)
    browser.wait(has(row("c1_echo", "[data-label=\"Last error\"]"), "the AsyncAPI document"))
    browser.run("document.querySelector('details').open = true")
    browser.wait(has(row("c1_echo", "ul"), "consuming, 21 received, 0 in hand, 0 retried, 1 dead"))
    browser.wait(has(row("c1_echo", "ul"), "20 published, 20 confirmed, 0 refused"))
    assert "s" in browser.text(row("c1_echo", "[data-label=\"Handler p50 / p99\"]"))
    assert browser.run("document.querySelector('details').open")  # a refresh closes nothing
    assert browser.errors == []


def test_a_component_goes_down_and_comes_back(page, browser, broker, client):
    with MovStandIn(broker):
        host = page()
        host.wait_healthy()
        browser.wait(has(row("c1_echo"), "✓ healthy"))
    browser.wait(has(row("c1_echo", ".reason"), "MOV"), 20)
    browser.wait(has(row("c1_echo"), "✗ not healthy"))
    browser.wait(has("#summary", "✗ 1 of 1 component is not healthy"))
    browser.wait(has("#mov", "✗ does not take registrations"))
    with MovStandIn(broker):
        browser.wait(has(row("c1_echo"), "✓ healthy"), 60)
        browser.wait(has("#summary", "✓ healthy"))
        assert browser.text(row("c1_echo", ".reason")) == ""
        assert browser.errors == []
        assert host.stop() == 0


def test_a_host_that_goes_and_comes_back(page, browser, mov, client):
    host = page()
    host.wait_healthy()
    browser.wait(has("#summary", "✓ healthy"))
    assert browser.run("document.querySelector('#gone').hidden")
    assert host.stop() == 0
    browser.wait(has("#gone", "The host does not answer since"), 15)
    assert "✗ gone" in browser.text("#summary") and "gone" in browser.run("document.title")
    assert "c1_echo" in browser.text("tbody")  # what was last known
    page(host=host)
    browser.wait(has("#summary", "✓ healthy"), 20)
    assert browser.run("document.querySelector('#gone').hidden")


def test_a_page_that_stays_open_finds_the_host_again(page, browser, mov, client):
    host = page()
    browser.wait(has("#summary", "✓ healthy"), 20)
    assert host.stop() == 0
    browser.wait(has("#gone", "The host does not answer"), 15)
    host.start().wait_healthy()
    browser.wait(has("#summary", "✓ healthy"), 20)
    assert browser.run("document.querySelector('#gone').hidden")


@pytest.mark.parametrize("scheme, ground", [("light", WHITE), ("dark", DARK)])
def test_on_a_phone_and_in_both_schemes(page, browser, mov, client, scheme, ground):
    host = page(plugins=(ECHO, plugin("other")))
    host.wait_healthy()
    browser.color_scheme(scheme)
    browser.resize(360, 740, 2)
    browser.wait(has(row("c1_other"), "✓ healthy"))
    assert browser.run("getComputedStyle(document.body).backgroundColor") == ground
    assert browser.run("document.documentElement.scrollWidth") <= 360  # nothing to scroll sideways
    picture(browser, f"phone-{scheme}.png")
    assert contrast_faults(browser) == []


# The contrast of each text with its ground, by WCAG's formula.
CONTRAST = """
(() => {
  const parse = color => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (; element; element = element.parentElement) {
      const color = parse(getComputedStyle(element).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
  };
  return [...document.querySelectorAll('body *')].filter(e => e.children.length === 0 && e.innerText && e.checkVisibility())
    .map(e => {
      const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
      return [e.innerText, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
    }).filter(([, contrast]) => contrast < 4.5);
})()
"""


def contrast_faults(browser):
    return browser.run(CONTRAST)


def test_by_keyboard_and_screen_reader(page, browser, mov, client):
    host = page(plugins=(ECHO, plugin("other")))
    host.wait_healthy()
    browser.resize(1400, 800)
    browser.wait(has(row("c1_other"), "✓ healthy"))
    focused = []
    for _ in range(20):
        browser.press("Tab", 9)
        focused.append(browser.run("document.activeElement.tagName + ' ' + (document.activeElement.innerText || '').trim()"))
        if focused[-1] == "SUMMARY 2 topics":
            break
    browser.press("Enter", 13, "\r")
    browser.wait("document.querySelector('details').open")
    for width in (1400, 360):  # the table is a table on a phone, too
        browser.resize(width, 800)
        seen = browser.accessible()
        roles = [role for role, _ in seen]
        assert ("table", "Components") in seen and roles.count("columnheader") == 10 and roles.count("row") == 3
        assert [name for role, name in seen if role == "rowheader"][0].startswith("c1_echo")
        assert roles.count("cell") == 18 and "main" in roles and "status" in roles
        assert ("heading", "valawai-host") in seen
        assert [name for role, name in seen if role in ("image", "img")].count("") == 0


def component(name, **more):
    topic = {"topic": f"valawai/c1/{name}/data/in", "subscribe": True, "publish": False, "consuming": True, "received": 0,
             "in_hand": 0, "retried": 0, "dead": 0}
    return {"name": name, "type": "C1", "version": "1.0.0", "file": name + ".so", "isolation": "thread", "state": "healthy",
            "reason": None, "mov_id": "0123456789abcdef01234567", "registered": True, "healthy": True,
            "since": "2026-11-28T00:00:00Z", "received": 0, "in_hand": 0, "retried": 0, "dead": 0, "published": 0, "confirmed": 0,
            "tickets": 0, "outbox_bytes": 0, "rate": {"now": 0, "interval_seconds": 15, "points": [None] * 60},
            "handler": {"p50_seconds": None, "p99_seconds": None, "over_limit": False}, "last_error": None, "topics": [topic], **more}


def test_each_state_and_hostile_texts(page, browser, mov, client):
    """The browser answers for the host. What comes from outside is text, whatever it looks like."""
    host = page()
    host.wait_healthy()
    with urllib.request.urlopen(host.url + "status", timeout=5) as answer:
        status = json.load(answer)
    evil = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
    series = [None] * 30 + [float(number % 7) for number in range(30)]
    status["components"] = [
        component("c1_good", rate={"now": 123.4, "interval_seconds": 15, "points": series}, dead=3, retried=1234567,
                  handler={"p50_seconds": 0.0004, "p99_seconds": 2.5, "over_limit": True}),
        component("c1_bad", state="unhealthy", healthy=False, reason=evil, mov_id=None,
                  last_error={"time": "2026-11-28T00:00:01Z", "text": evil}),
        component("c1_new", state="starting", healthy=False, reason="the plugin's start has not returned"),
        component("c1_old", state="stopping", healthy=False, reason="the host is stopping"),
        component("c1_odd", state="from a later version"),
    ]
    status["healthy"] = False
    status["broker"].update(receiving=False, outbox_bytes=1234567, outbox_oldest_seconds=3.5, reconnects=2)
    browser.wait(has("#broker", "connected"))  # the page is there: its requests can be caught
    browser.answer(host.url + "status", status)
    browser.wait(has("#summary", "✗ 3 of 5 components are not healthy"), 15)
    for name, words in {"c1_good": "✓ healthy", "c1_bad": "✗ not healthy", "c1_new": "… starting", "c1_old": "… stopping",
                        "c1_odd": "from a later version"}.items():
        assert words in browser.text(row(name, "[data-label=State]"))
    assert browser.text(row("c1_bad", ".reason")) == evil and evil in browser.text(row("c1_bad", ".error"))
    assert browser.run("document.images.length") == 0 and "hacked" not in browser.run("document.title")
    assert "without a MOV id" in browser.text(row("c1_bad"))
    assert browser.text(row("c1_good", '[data-label="Handler p50 / p99"]')) == "400 µs / 2.5 s"
    assert browser.text(row("c1_good", '[data-label="Messages per second"]')) == "123"
    assert "1,234,567" in browser.text(row("c1_good"))
    plot = browser.run(f"document.querySelector('{row('c1_good', 'svg')}').getAttribute('aria-label')")
    assert plot == "messages per second over 15 minutes: at most 6.00, now 123"
    assert browser.run(f"document.querySelector('{row('c1_good', 'path')}').getAttribute('d').split('L').length") == 30
    assert "✗ no receiving connection" in browser.text("#broker") and "2 reconnects" in browser.text("#broker")
    assert "1.2 MB, the oldest for 3.5 s" in browser.text("#outbox")
    assert contrast_faults(browser) == []
    status["components"] = status["components"][:1]
    browser.answer(host.url + "status", status)
    browser.wait("document.querySelectorAll('tbody tr').length === 1", 15)  # a component that was unloaded
    assert browser.errors == []


def test_the_picture_of_the_documentation(page, browser, mov, client):
    """docs/page.png is made by this test, with figures of a longer time than a test has."""
    host = page(plugins=(ECHO, plugin("other")))
    host.wait_healthy()
    browser.resize(1400, 610)
    browser.wait(has(row("c1_other"), "✓ healthy"))
    with urllib.request.urlopen(host.url + "status", timeout=5) as answer:
        status = json.load(answer)
    status["broker"]["address"], status["host"]["pid"], status["host"]["uptime_seconds"] = "mov-mq:5672", 1, 273600
    first, second = status["components"]
    first["rate"].update(now=42.2, points=[30 + 12 * math.sin(point / 6) + point % 4 for point in range(60)])
    first["handler"].update(p50_seconds=0.000061, p99_seconds=0.0018)
    first["topics"][0].update(received=91237, dead=1)
    first["topics"][1].update(published=91236, confirmed=91236)
    first.update(retried=12, dead=1, last_error={"time": status["host"]["started"], "text": "rejected a message of valawai/c1/echo/data/"
                                                 "received_message: content: is required"})
    second["rate"].update(points=[None] * 20 + [2 + point % 3 for point in range(40)])
    second.update(state="unhealthy", healthy=False, reason="valawai/c1/other/data/received_message is not consumed")
    status["healthy"] = False
    browser.answer(host.url + "status", status)
    browser.wait(has(row("c1_other"), "is not consumed"), 15)
    browser.run("document.querySelector('details').open = true")
    picture(browser, "page.png")
    assert browser.run("document.documentElement.scrollWidth") <= 1400 and browser.errors == []

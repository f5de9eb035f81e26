# SPDX-License-Identifier: GPL-3.0-or-later
"""A headless Chromium, driven through the DevTools protocol on two pipes: no port, no other library."""

import base64
import collections
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from broker import scaled, wait_until

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


class Unavailable(Exception):
    """There is no Chromium here."""


def _pipe():
    """Its descriptors are none that the shell is to make."""
    low = os.pipe()
    high = tuple(fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20) for descriptor in low)
    for descriptor in low:
        os.close(descriptor)
    return high


class Browser:
    """One page. What it complains of is in errors."""

    def __init__(self):
        program = next(filter(None, map(shutil.which, PROGRAMS)), None)
        if program is None:
            raise Unavailable("needs Chromium; on Debian: apt-get install chromium")
        self._directory = tempfile.mkdtemp(prefix="valawai-browser-")
        self._number, self._input, self._lines = 0, b"", collections.deque()
        self.errors, self.requests, self.answers = [], [], {}
        theirs_in, ours_out = _pipe()
        ours_in, theirs_out = _pipe()
        self._in, self._out = ours_in, ours_out
        try:
            # The browser reads descriptor 3 and writes 4.
            self._process = subprocess.Popen(
                ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-', "browser", program,
                 "--headless=new", "--no-sandbox", "--remote-debugging-pipe", f"--user-data-dir={self._directory}",
                 "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
                 "--disable-extensions", "--disable-sync", "--no-first-run", "--no-proxy-server", "--mute-audio", "about:blank"],
                pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "HOME": self._directory, "LANG": "C.UTF-8", "TZ": "UTC"},
                start_new_session=True)
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(domain + ".enable")

    def close(self):
        os.close(self._out)  # the end of its input ends it
        try:
            self._process.wait(scaled(10))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- the protocol ------------------------------------------------------------------------------------------------

    def _read(self, deadline):
        while not self._lines:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                raise TimeoutError("the browser says nothing")
            block = os.read(self._in, 1 << 20)
            if not block:
                raise RuntimeError("the browser has ended")
            *lines, self._input = (self._input + block).split(b"\0")
            self._lines.extend(lines)
        return json.loads(self._lines.popleft())

    def call(self, method, **parameters):
        """The result. What the browser has told meanwhile is handled afterwards, because that may need calls, too."""
        told = []
        result = self._call(method, parameters, told)
        while told:
            self._on_event(*told.pop(0), told)
        return result

    def _call(self, method, parameters, told):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        number, deadline = self._number, time.monotonic() + scaled(30)
        while True:
            said = self._read(deadline)
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                return said["result"]
            if "method" in said:
                told.append((said["method"], said["params"]))

    def _on_event(self, method, params, told):
        if method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Fetch.requestPaused":
            body = self.answers[params["request"]["url"]]
            self._call("Fetch.fulfillRequest", {
                "requestId": params["requestId"], "responseCode": 200, "body": base64.b64encode(body).decode(),
                "responseHeaders": [{"name": "Content-Type", "value": "application/json"}]}, told)

    # --- the page ----------------------------------------------------------------------------------------------------

    def open(self, url):
        self.call("Page.navigate", url=url)

    def answer(self, url, value):
        """From now on the browser itself answers requests for that address, with JSON."""
        self.answers[url] = json.dumps(value).encode()
        self.call("Fetch.enable", patterns=[{"urlPattern": each} for each in self.answers])

    def run(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, f"{expression}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def text(self, selector):
        return self.run(f"(document.querySelector({json.dumps(selector)}) || {{}}).innerText || ''")

    def wait(self, expression, timeout=10):
        """Until the expression is true."""
        def look():
            return self.run(f"Boolean({expression})")
        try:
            wait_until(look, timeout, expression, 0.05)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.run('document.body.innerText')}") from None

    def resize(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 600)

    def color_scheme(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def press(self, key, code=0, text=""):
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code,
                      **({"text": text} if text and kind == "keyDown" else {}))

    def accessible(self):
        """(role, name) of everything that a screen reader sees."""
        return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in
                self.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

"""Debian's Chromium without a window, driven through its debugging pipe.

Messages of the Chrome DevTools Protocol are JSON, each ended by a NUL. A dialog that a page opens is accepted, and what
it said is kept.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

SECONDS = 120.0
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip


class BrowserError(Exception):
    """The browser does not run, does not answer, or says that something failed."""


class Browser:
    """One page of a fresh browser. A context manager."""

    def __init__(self, width: int, height: int) -> None:
        """Start the browser with a profile of its own, and open an empty page."""
        program = shutil.which("chromium")
        if program is None:
            raise BrowserError("there is no chromium: run make setup-browser")
        self.dialogs: list[str] = []
        self.errors: list[str] = []
        self._profile = Path(tempfile.mkdtemp(prefix="chromium-"))
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session = ""
        self._loads = 0
        self._start([program, *FLAGS, f"--user-data-dir={self._profile}"])
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime"):
            self._call(f"{domain}.enable")
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)

    def _start(self, command: list[str]) -> None:
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        script = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command],
            pass_fds=(to_read, to_write), start_new_session=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(to_read)
        os.close(to_write)

    def __enter__(self) -> Self:
        """Be used."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the browser, and remove its profile."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> None:
        """Open an address, and wait until it has loaded."""
        loads = self._loads
        answer = self._call("Page.navigate", url=url)
        if "errorText" in answer:
            raise BrowserError(f"{url}: {answer['errorText']}")
        self.wait_for_load(loads)

    def wait_for_load(self, before: int) -> None:
        """Wait until one more page than ``before`` has loaded."""
        end = time.monotonic() + SECONDS
        while self._loads <= before:
            self._take(self._message(end))

    @property
    def loads(self) -> int:
        """How many pages have loaded so far."""
        self.evaluate("0")  # what has happened by now has been told before the answer
        return self._loads

    def evaluate(self, expression: str) -> Any:
        """Return what an expression comes to in the page; a promise is waited for."""
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """Return the visible text of each element that a selector finds."""
        found = self.evaluate(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.innerText)")
        return [str(text) for text in found]

    def click(self, selector: str) -> None:
        """Click on the one element that a selector finds, as a person does."""
        place = self.evaluate(
            f"(() => {{ const all = document.querySelectorAll({json.dumps(selector)});"
            " if (all.length != 1) return all.length; all[0].scrollIntoView({block: 'center'});"
            " const r = all[0].getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        if not isinstance(place, list):
            raise BrowserError(f"{selector}: found {place} times, not once")
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1}
            self._call("Input.dispatchMouseEvent", **event)

    def wait_until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(expression):
            if time.monotonic() > end:
                raise BrowserError(f"never true: {expression}")
            time.sleep(0.1)

    def screenshot(self) -> bytes:
        """Return a picture of the whole page, as PNG."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        answer = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        return base64.b64decode(answer["data"])

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = self._send(method, parameters)
        end = time.monotonic() + SECONDS
        while True:
            message = self._message(end)
            if message.get("id") == number:
                if "error" in message:
                    raise BrowserError(f"{method}: {message['error']['message']}")
                return dict(message["result"])
            self._take(message)

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        message: dict[str, Any] = {"id": next(self._numbers), "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return int(message["id"])

    def _take(self, message: dict[str, Any]) -> None:
        """Do what an event asks for."""
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loads += 1
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(parameters["message"])
            self._send("Page.handleJavaScriptDialog", {"accept": True})
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(parameters["exceptionDetails"]))

    def _message(self, end: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], max(end - time.monotonic(), 0))[0]:
                raise BrowserError("the browser does not answer")
            more = os.read(self._from, 1 << 20)
            if not more:
                raise BrowserError("the browser has ended")
            self._buffer += more
        first, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(first))

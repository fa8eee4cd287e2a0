"""Debian's Chromium without a window, driven over its DevTools protocol: pages as people see and use them."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from websockets.sync.client import ClientConnection, connect

LIMIT_S = 60.0
_POLL_S = 0.05
_KEYS = {
    "Enter": (13, "\r"),
    "Escape": (27, ""),
    "Tab": (9, ""),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
}
_MIDDLE = """(() => {{
  const element = [...document.querySelectorAll({selector})].find((each) => each.innerText.includes({text}));
  if (!element) return null;
  element.scrollIntoView({{ block: "center" }});
  const area = element.getBoundingClientRect();
  return area.width ? [area.x + area.width / 2, area.y + area.height / 2] : null;
}})()"""
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """One tab. problems: what its console reports as errors, and what the page's policy refused.
    asked: addresses of requests."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self.problems: list[str] = []
        self.asked: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result.

        Raises:
            RuntimeError: the browser refused it.
        """
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=LIMIT_S))
            self._note(message)
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result

    def _note(self, message: dict[str, Any]) -> None:
        said = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(said["exceptionDetails"].get("exception", {}).get("description", said)))
        if message.get("method") == "Network.requestWillBeSent":
            self.asked.append(said["request"]["url"])
        if message.get("method") == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.problems.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, awaited.

        Raises:
            RuntimeError: it threw.
        """
        answer = self.send(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails'].get('exception', {}).get('description')}")
        return answer["result"].get("value")

    def wait(self, script: str) -> Any:
        """The value of an expression as soon as it is true.

        Raises:
            TimeoutError: it never was; with what the page shows.
        """
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            with suppress(RuntimeError):  # a page that is just being replaced
                if value := self.run(script):
                    return value
            time.sleep(_POLL_S)
        raise TimeoutError(f"waited {LIMIT_S:.0f} s for {script}; the page shows: {self.text()[:800]} {self.problems}")

    def open(self, url: str) -> None:
        """Go to an address and wait until it is there."""
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def text(self, selector: str = "body") -> str:
        """What is to be read in an element."""
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def has(self, selector: str) -> Any:
        """Wait for an element."""
        return self.wait(f"!!document.querySelector({json.dumps(selector)})")

    def click(self, selector: str, containing: str = "") -> None:
        """Click in the middle of the first element that has a text."""
        x_y = self.wait(_MIDDLE.format(selector=json.dumps(selector), text=json.dumps(containing)))
        self.drag(x_y, x_y)

    def drag(self, start: Sequence[float], end: Sequence[float]) -> None:
        """Press the mouse at a point, move it to another one, let it go."""
        at = dict(zip("xy", start, strict=True))
        button = {"button": "left", "clickCount": 1}
        self.send("Input.dispatchMouseEvent", type="mouseMoved", **at)
        self.send("Input.dispatchMouseEvent", type="mousePressed", **at, **button)
        if tuple(start) != tuple(end):
            for part in (0.5, 1.0):
                at = {axis: a + part * (b - a) for axis, a, b in zip("xy", start, end, strict=True)}
                self.send("Input.dispatchMouseEvent", type="mouseMoved", **at, button="left", buttons=1)
        self.send("Input.dispatchMouseEvent", type="mouseReleased", **at, **button)

    def type(self, text: str) -> None:
        """Type a text into what has the focus."""
        self.send("Input.insertText", text=text)

    def press(self, key: str, modifiers: int = 0, commands: Sequence[str] = ()) -> None:
        """Press a key. modifiers: 1 Alt, 2 Ctrl, 4 Meta, 8 Shift.   commands: of an editor, as `paste`."""
        code, text = _KEYS[key] if key in _KEYS else (ord(key.upper()), "" if modifiers else key)
        what = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
        self.send(
            "Input.dispatchKeyEvent",
            type="keyDown",
            **what,
            **({"text": text} if text else {}),
            commands=list(commands),
        )
        self.send("Input.dispatchKeyEvent", type="keyUp", **what)

    def fill(self, selector: str, value: str) -> None:
        """Give a field or a list of choices another value, as if a person had left it with that."""
        self.has(selector)
        script = "(e, v) => { e.value = v; e.dispatchEvent(new Event('change', {bubbles: true})) }"
        self.run(f"({script})(document.querySelector({json.dumps(selector)}), {json.dumps(value)})")

    def choose_file(self, selector: str, path: Path) -> None:
        """Choose a file in a field for files."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def size(self, width: int, height: int, dark: bool = False, scale: float = 1.0) -> None:
        """The window, and whether the system's theme is dark."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )
        theme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=theme)

    def picture(self, path: Path) -> None:
        """Write what the window shows as a PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))


@contextmanager
def browser_page() -> Iterator[Page]:
    """A tab of a browser of its own, with an empty profile.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    program = shutil.which("chromium")
    if program is None:
        raise FileNotFoundError("got no program chromium, expected Debian's: apt-get install chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
        )
        try:
            with connect(_tab(_address(process)), max_size=None, proxy=None, ping_interval=None) as socket:
                yield Page(socket)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 15)
            process.wait(LIMIT_S)


def _address(process: subprocess.Popen[str]) -> str:
    """Where the browser says that it listens."""
    said = []
    for line in process.stderr or ():
        said.append(line)
        if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
            return found[1]
    raise RuntimeError(f"Chromium ended before it listened: {''.join(said)[-2000:]}")


def _tab(address: str) -> str:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        with urlopen(f"http://{address}/json/list") as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        if tabs:
            return str(tabs[0]["webSocketDebuggerUrl"])
        time.sleep(_POLL_S)
    raise TimeoutError("the browser has no tab")

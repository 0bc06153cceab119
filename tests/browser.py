"""A headless Chromium driven through chromedriver's HTTP interface, without further packages."""

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
KEYS = {"Enter": "\ue007", "Up": "\ue013", "Down": "\ue015", "Left": "\ue012", "Right": "\ue014",
        "Tab": "\ue004", "Home": "\ue011", "End": "\ue010"}  # fmt: skip

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Browser:
    """One page at a time; scripts and keys are those of a user."""

    def __init__(self, session: str):
        self._session = session
        # a proxy of the environment must not answer for this machine
        self._http = httpx.Client(timeout=120, trust_env=False)

    def close(self) -> None:
        """Close the connection to the driver."""
        self._http.close()

    def _post(self, path: str, **body: Any) -> Any:
        answer = self._http.post(f"{self._session}/{path}", json=body)
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        return value

    def cdp(self, command: str, **params: Any) -> Any:
        """Call a command of Chromium's own protocol."""
        return self._post("goog/cdp/execute", cmd=command, params=params)

    def open(self, url: str) -> None:
        """Open an address in place of the present page."""
        self._post("url", url="about:blank")
        self._post("url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns."""
        return self._post("execute/sync", script=script, args=[*arguments])

    def text(self, selector: str) -> str:
        """Return the text of an element, blanks joined."""
        script = "return document.querySelector(arguments[0]).textContent"
        return " ".join(self.run(script, selector).split())

    def press(self, *keys: str) -> None:
        """Send keys, by `KEYS` or as text, to what has the focus."""
        answer = self._http.get(f"{self._session}/element/active").json()["value"]
        for key in keys:
            self._post(f"element/{answer[_ELEMENT]}/value", text=KEYS.get(key, key))
            answer = self._http.get(f"{self._session}/element/active").json()["value"]

    def size(self, width: int, height: int, dark: bool = False) -> None:
        """Set the size of the page and the colour scheme."""
        metrics = {"deviceScaleFactor": 1, "mobile": False}
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, **metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.cdp("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Write what is visible as PNG."""
        path.write_bytes(base64.b64decode(self.cdp("Page.captureScreenshot")["data"]))

    def messages(self) -> list[str]:
        """Return what the console has reported since the last call: errors and warnings."""
        return [entry["message"] for entry in self._post("se/log", type="browser")]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start a browser whose profile is a new folder; both processes end with the block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "NO_PROXY": "*", "no_proxy": "*"}
    driver = subprocess.Popen([DRIVER, f"--port={port}", "--silent"], env=environment)
    root = f"http://127.0.0.1:{port}"
    try:
        _wait_for(root)
        options = {"binary": CHROMIUM, "args": [*_FLAGS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = httpx.post(
            f"{root}/session",
            json={"capabilities": {"alwaysMatch": wanted}},
            timeout=120,
            trust_env=False,
        )
        value = answer.json()["value"]
        assert answer.status_code == 200, value
        session = f"{root}/session/{value['sessionId']}"
        browser = Browser(session)
        try:
            yield browser
        finally:
            browser.close()
            httpx.delete(session, timeout=60, trust_env=False)
    finally:
        driver.terminate()
        driver.wait(30)


def _wait_for(root: str) -> None:
    for _ in range(300):
        try:
            httpx.get(f"{root}/status", timeout=5, trust_env=False)
            return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError("chromedriver does not answer")

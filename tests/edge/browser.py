"""Chromium, controlled by the W3C WebDriver protocol (w3.org/TR/webdriver2) through chromedriver."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.servers import answers, free_port, program, running
from tests.waiting import eventually

WAIT_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Browser:
    """A session: one profile with at least one tab."""

    url: str
    downloads: Path

    def call(self, method: str, path: str, **body: object) -> Any:  # noqa: ANN401  # JSON
        """Send a command of the protocol, and return its result."""
        text = json.dumps(body) if method == "POST" else None
        answer = requests.request(method, f"{self.url}{path}", data=text, timeout=60)
        value = answer.json()["value"]
        if not answer.ok:
            raise AssertionError(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def open(self, url: str) -> None:
        """Open a page in the current tab, and wait until it is loaded."""
        self.call("POST", "/url", url=url)

    def run(self, script: str, *arguments: object) -> Any:  # noqa: ANN401  # JSON
        """Run the body of a function in the page, and return its result. A promise is awaited."""
        return self.call("POST", "/execute/sync", script=script, args=list(arguments))

    def open_tab(self, url: str) -> None:
        """Open a link in a new tab as Langfuse's UI does, wait until it is loaded, and switch to it."""
        before = set(self.call("GET", "/window/handles"))
        self.run("window.open(arguments[0], '_blank', 'noopener,noreferrer')", url)

        def opened() -> set[str]:
            return set(self.call("GET", "/window/handles")) - before

        eventually(lambda: bool(opened()), "no tab was opened", within=WAIT_SECONDS)
        self.call("POST", "/window", handle=opened().pop())
        state = "return location.protocol + document.readyState"
        eventually(lambda: self.run(state) == "https:complete", f"{url} was not loaded", within=WAIT_SECONDS)

    def close_tab(self) -> None:
        """Close the current tab and switch to the first."""
        self.call("DELETE", "/window")
        self.call("POST", "/window", handle=self.call("GET", "/window/handles")[0])

    def screenshot(self) -> str:
        """A screenshot of the tab: PNG in base64."""
        shown: str = self.call("GET", "/screenshot")
        return shown


@contextlib.contextmanager
def chromium(folder: Path, addresses: Mapping[str, int]) -> Iterator[Browser]:
    """Run a browser that connects to a local port for each of these HTTPS hosts."""
    port = free_port()
    binary = program("chromium", "chromium-browser", "google-chrome", package="chromium")
    driver = program("chromedriver", package="chromium-driver")
    downloads = folder / "downloads"
    downloads.mkdir(parents=True)
    rules = ",".join(f"MAP {host}:443 127.0.0.1:{own}" for host, own in addresses.items())
    arguments = [
        "--headless=new",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--host-resolver-rules={rules}",
        f"--user-data-dir={folder / 'profile'}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium refuses to sandbox root's processes
    ]
    options = {
        "binary": str(binary),
        "args": arguments,
        "prefs": {"download.default_directory": str(downloads), "plugins.always_open_pdf_externally": False},
    }
    environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
    command: list[str | Path] = [driver, f"--port={port}"]
    with running(command, environment, lambda: answers(port), log=folder / "chromedriver.log"):
        address = f"http://127.0.0.1:{port}/session"
        capabilities = {"alwaysMatch": {"acceptInsecureCerts": True, "goog:chromeOptions": options}}
        wanted = json.dumps({"capabilities": capabilities})
        answer = requests.post(address, data=wanted, timeout=60).json()["value"]
        assert "sessionId" in answer, answer.get("message")
        browser = Browser(url=f"{address}/{answer['sessionId']}", downloads=downloads)
        try:
            yield browser
        finally:
            browser.call("DELETE", "")

"""A bounded load of events on web, and what became of each of them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sandbox.images import probe_application
from tests.engine.view import View

PROGRAM: Final = probe_application.APP / "load" / "load.js"
LONGEST_SECONDS: Final = 900
READ_BACK_SECONDS: Final = 240
"""A worker may be connecting to the address of a pod that has ended. The kernel gives up after 127 s (tcp_syn_retries),
and BullMQ tries the job again five seconds later."""
FEWEST: Final = 20
"""Accepted events below which a load proves nothing."""


@dataclass(frozen=True)
class Summary:
    """What happened to a load, as `load.js` reports it."""

    report: Mapping[str, Any]

    @property
    def failures(self) -> list[Any]:
        """The failed requests."""
        found: list[Any] = self.report["failures"]
        assert bool(found) == bool(self.report["failed"])
        return found

    @property
    def accepted(self) -> int:
        """How many events web accepted. Fails if there are too few."""
        count: int = self.report["accepted"]
        assert count >= FEWEST, self.report
        return count

    @property
    def lost(self) -> int:
        """How many accepted events could not be read back from ClickHouse."""
        count: int = self.report["lost"]
        return count

    @property
    def outage(self) -> float:
        """Seconds from the start of the first failed request to the end of the last one; 0 if none failed."""
        seconds: float = self.report["outage"]
        return seconds

    @property
    def pods(self) -> set[str]:
        """The names of the pods of web that answered."""
        return set(self.report["pods"])

    def __str__(self) -> str:
        shown = (
            "seconds",
            "requests",
            "failed",
            "outage",
            "accepted",
            "lost",
            "milliseconds",
            "pods",
            "readBackSeconds",
        )
        numbers = [f"{name} {self.report[name]}" for name in shown if name in self.report]
        failures = [f"at {one['at']:.1f} s after {one['took']:.1f} s: {one['error']}" for one in self.failures]
        return "\n    ".join([", ".join(numbers), *failures])


class Load:
    """A running load. Its clients use fresh connections and kept ones, through the Service of web."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> Summary:
        """End the load, read every accepted event back, and return the summary."""
        assert self._process.poll() is None, f"the load has ended by itself: {self._process.communicate()[0]}"
        self._process.terminate()
        printed, _ = self._process.communicate(timeout=READ_BACK_SECONDS + 60)
        return Summary(json.loads(printed))


@contextmanager
def event_load(view: View, pid: int, *, pause_milliseconds: int = 200) -> Iterator[Load]:
    """Send events until `stop`, from the network of a process that may connect to web."""
    service = view.get("service", "langfuse-web")["spec"]
    node = shutil.which("node")
    assert node, "the load generator needs Node.js on PATH"
    options = {
        "--url": f"http://{service['clusterIP']}:{service['ports'][0]['port']}",
        "--seconds": str(LONGEST_SECONDS),
        "--pause": str(pause_milliseconds),
        "--read-back": str(READ_BACK_SECONDS),
    }
    words = [word for option in options.items() for word in option]
    command = ["nsenter", f"--target={pid}", "--net", "--", node, str(PROGRAM), "send", *words]
    environment = {**os.environ, **api_keys(view)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=Path("/")) as process:
        try:
            yield Load(process)
        finally:
            process.kill()


def api_keys(view: View) -> dict[str, str]:
    """The API keys of the first project, as variables of the load generator."""
    data = view.get("secret", "langfuse-first-start")["data"]
    keys = {"LANGFUSE_PUBLIC_KEY": "public-key", "LANGFUSE_SECRET_KEY": "secret-key"}
    return {name: base64.b64decode(data[key]).decode() for name, key in keys.items()}

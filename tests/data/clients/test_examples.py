"""docs/examples/clients with what the program gives a client: its variables and its keys."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from components.clients.connection import OTLP_HEADERS, address, variables
from components.credentials.key_pairs import otlp_headers
from sandbox import cache, pins
from tests.http_server import Answer, Request, serving
from tests.langfuse_server import PUBLIC_KEY, SECRET_KEY, Recorder, langfuse
from tests.python_environments import python_environment
from tests.servers import answers, free_port, program, running
from tests.unit.configuration import settings
from tests.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

CHECKOUT: Final = Path(__file__).parents[3]
EXAMPLES: Final = CHECKOUT / "docs/examples/clients"
REQUIREMENTS: Final = CHECKOUT / "requirements-clients.txt"
LIMIT_SECONDS: Final = 120
MASTER_KEY: Final = f"sk-{secrets.token_hex(32)}"
ANSWER_SECONDS: Final = 5.0
"""How long a request to LiteLLM may take while Langfuse fails. A request alone takes a fraction of a second."""


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder with the programs of the examples."""
    return python_environment("clients", REQUIREMENTS, "LiteLLM, Langfuse's SDK and LangChain")


@pytest.fixture(scope="module")
def javascript() -> Path:
    """A copy of the JavaScript example with its packages, in the user's cache."""
    source = EXAMPLES / "js-sdk"
    lock = source / "package-lock.json"
    folder = cache.root() / "tools" / f"js-sdk-{pins.file_key(lock)}"
    if not (folder / "node_modules").exists():
        with cache.published(folder) as made:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(source / name, made)
            npm = [str(program("npm", package="npm")), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            subprocess.run(npm, cwd=made, check=True, capture_output=True)
    shutil.copy(source / "app.mjs", folder)
    return folder


def environment(kind: str, url: str) -> dict[str, str]:
    """What the ConfigMap and the Secret of a client have, with the address of the recording endpoint."""
    made = settings({"clients": {"one": {"kind": kind, "namespace": "apps", "environment": "production"}}})
    client = made.clients["one"]
    own = {key: value.replace(address(made, client), url) for key, value in variables(made, client).items()}
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}
    if kind == "otel":
        keys[OTLP_HEADERS] = otlp_headers(base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode())
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **own, **keys}


def run(command: list[str | Path], kind: str, folder: Path) -> list[dict[str, Any]]:
    """Run a program to its end, and return the spans that the endpoint recorded."""
    recorder = Recorder()
    with langfuse(recorder) as url:
        done = subprocess.run(
            command,
            env=environment(kind, url),
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
    assert (done.returncode, done.stdout.strip()) == (0, "42"), done.stderr
    assert recorder.spans, done.stderr
    return recorder.spans


def attribute(span: Mapping[str, Any], *names: str) -> object:
    """The first attribute of a span that it has."""
    return next((span["attributes"][name] for name in names if name in span["attributes"]), None)


def environments(spans: list[dict[str, Any]]) -> set[object]:
    """The environments of spans: of each, or of its resource."""
    name = "langfuse.environment"
    return {span["attributes"].get(name) or span["resource"].get(name) for span in spans}


@pytest.mark.parametrize("name", ["python-sdk", "langchain", "js-sdk", "otel"])
def test_an_example_sends_its_trace_before_it_ends(
    name: str, programs: Path, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kind = "otel" if name == "otel" else "sdk"
    if name == "js-sdk":
        folder = request.getfixturevalue("javascript")
        spans = run([program("node", package="nodejs"), "app.mjs"], kind, folder)
    else:
        spans = run([programs / "python", EXAMPLES / name / "app.py"], kind, tmp_path)
    assert environments(spans) == {"production"}
    assert len({span["traceId"] for span in spans}) == 1
    for attributes in (("user.id", "langfuse.user.id"), ("session.id", "langfuse.session.id")):
        assert {attribute(span, *attributes) for span in spans} <= {"user-1", "session-1"}
        assert any(attribute(span, *attributes) for span in spans), attributes
    assert any(attribute(span, "langfuse.observation.type") == "generation" for span in spans)
    if kind == "sdk":
        # By these, Langfuse 4 knows that spans have the attributes of their trace.
        headers = {key.lower().replace("_", "-"): value for key, value in spans[0]["headers"].items()}
        major = int(headers["x-langfuse-sdk-version"].partition(".")[0])
        assert headers.get("x-langfuse-ingestion-version") == "4" or major >= 5


@dataclass(frozen=True)
class Proxy:
    """LiteLLM's proxy in front of a model."""

    url: str

    def ask(self) -> float:
        """Ask the model. Returns the seconds until the answer."""
        body = {"model": "example", "messages": [{"role": "user", "content": "What is the answer?"}]}
        request = urllib.request.Request(  # noqa: S310  # our own server
            f"{self.url}/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {MASTER_KEY}"},
        )
        begun = time.monotonic()
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # our own server
            assert json.loads(answer.read())["choices"][0]["message"]["content"] == "42"
        return time.monotonic() - begun


def model(_: Request) -> Answer:
    """A model behind the API of OpenAI."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "42"}}
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    return Answer(
        {"id": "1", "object": "chat.completion", "created": 1, "model": "example", "choices": [choice], "usage": usage}
    )


@contextmanager
def litellm(programs: Path, url: str, folder: Path) -> Iterator[Proxy]:
    """Run the proxy with the configuration of the example."""
    port = free_port()
    with serving(model) as model_url:
        given = {
            **environment("litellm", url),
            "HOME": str(folder),
            "MODEL_URL": model_url,
            "MODEL_KEY": "none",
            "LITELLM_MASTER_KEY": MASTER_KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # it would be downloaded
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "SSL_CERT_FILE": "",  # it does not start with a file that does not exist
        }
        command = [programs / "litellm", "--config", EXAMPLES / "litellm/config.yaml", "--host", "127.0.0.1"]
        words = [*map(str, command), "--port", str(port)]
        with running(words, given, lambda: answers(port), log=folder / "litellm.log", within=LIMIT_SECONDS):
            yield Proxy(f"http://127.0.0.1:{port}")


def test_litellm_serves_while_langfuse_is_slow_refuses_or_is_gone(programs: Path, tmp_path: Path) -> None:
    recorder = Recorder()
    with ExitStack() as stack:
        langfuse_runs = ExitStack()
        url = langfuse_runs.enter_context(langfuse(recorder))
        stack.callback(langfuse_runs.close)
        proxy = stack.enter_context(litellm(programs, url, tmp_path))
        proxy.ask()
        eventually(lambda: bool(recorder.spans), "LiteLLM sent no trace", within=30)
        # LiteLLM also sends spans of its own work, without an environment (litellm#19208).
        calls = [span for span in recorder.spans if attribute(span, "gen_ai.request.model", "llm.model_name")]
        assert environments(calls) == {"production"}
        faults: Mapping[str, Mapping[str, float]] = {
            "slow": {"delay_seconds": 20},
            "refuses the keys": {"status": 401},
            "overloaded": {"status": 503},
        }
        for name, fault in faults.items():
            recorder.delay_seconds, recorder.status = fault.get("delay_seconds", 0), int(fault.get("status", 0))
            before = recorder.batches
            assert max(proxy.ask() for _ in range(3)) < ANSWER_SECONDS, name
            eventually(lambda before=before: recorder.batches > before, f"nothing was sent: {name}")  # type: ignore[misc]
        recorder.delay_seconds, recorder.status, known = 0, 0, len(recorder.spans)

        def arrives_again() -> bool:
            proxy.ask()
            return len(recorder.spans) > known

        eventually(arrives_again, "no trace arrives when Langfuse is back")
        langfuse_runs.close()
        assert max(proxy.ask() for _ in range(5)) < ANSWER_SECONDS, "gone"

"""The smoke tests of the public address, against servers that have one fault each."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.data.certificates import certificates, https_server
from tests.http_server import Answer, serving
from tests.smoke import test_web


@dataclass(frozen=True)
class Stack:
    """A deployed stack, as far as its public address needs it."""

    url: str
    public: bool = True
    outputs: dict[str, Any] = field(default_factory=lambda: {"versions": {"langfuse": "4.82.0"}})
    seconds: int = 620

    @property
    def pulumi(self) -> Any:  # noqa: ANN401  # has the name of the stack
        return type("Pulumi", (), {"stack": "prod"})

    def run(self, *_: str) -> dict[str, int]:
        return {"seconds": self.seconds}


def stack(url: str, seconds: int = 620) -> Any:  # noqa: ANN401  # a stand-in
    return Stack(url, seconds=seconds)


def failure(test: Any, *arguments: Any) -> str:  # noqa: ANN401  # a test and its arguments
    """What a smoke test reports."""
    with pytest.raises(pytest.fail.Exception) as raised:
        test(*arguments)
    assert "to do: " in str(raised.value)
    return str(raised.value)


def test_a_certificate_that_ends_soon_or_is_not_trusted_is_red(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate of the tests lasts for two days."""
    with certificates(tmp_path) as made, https_server(made) as url:
        check = test_web.test_the_certificate_has_days_left
        assert failure(check, stack(url)).startswith(f"TLS: {url}: [SSL: CERTIFICATE_VERIFY_FAILED]")
        monkeypatch.setenv("SSL_CERT_FILE", str(made["ca"]))
        assert failure(check, stack(url)).startswith("TLS: the certificate ends in 1 days")
        monkeypatch.setattr(test_web, "LEAST_DAYS", 1)
        check(stack(url))


def test_a_proxy_that_forwards_administration_is_red() -> None:
    check = test_web.test_administration_is_closed_from_outside
    for status in (404, 403, 500, 503):
        with serving(lambda _, status=status: Answer({}, status=status)) as url:  # type: ignore[misc]
            check(stack(url), "/api/admin")
    for status in (200, 302, 401):  # 401: web asks for its key
        with serving(lambda _, status=status: Answer({}, status=status)) as url:  # type: ignore[misc]
            assert failure(check, stack(url), "/api/admin").startswith(f"route: /api/admin answers {status}")


def test_another_version_and_idle_connections_that_are_closed_too_early_are_red() -> None:
    with serving(lambda _: Answer({"status": "OK", "version": "4.82.0"})) as url:
        test_web.test_web_is_healthy_and_ready_in_the_deployed_version(stack(url))
        test_web.test_web_keeps_idle_connections_longer_than_load_balancers(stack(url))
        late = failure(test_web.test_web_keeps_idle_connections_longer_than_load_balancers, stack(url, seconds=5))
    assert late.startswith("route: web closes idle connections after 5 s")
    with serving(lambda _: Answer({"status": "OK", "version": "4.16.0"})) as url:
        old = failure(test_web.test_web_is_healthy_and_ready_in_the_deployed_version, stack(url))
    assert "runs version 4.16.0, not 4.82.0" in old

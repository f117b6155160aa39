"""The public address: health, certificate, what is closed, and idle connections."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import pytest
import requests

from components.network.ingress.rules import INTERNAL_PATHS
from operations import health
from operations.clients import sender
from tests.smoke.live import Live, failed

LEAST_DAYS: Final = 14
"""cert-manager renews a certificate of 90 days 30 days before its end."""

IDLE_SECONDS: Final = 600
"""How long load balancers keep an idle connection at most (Google Cloud)."""

ADMIN_PATH: Final = "/api/admin/bullmq"


def test_web_is_healthy_and_ready_in_the_deployed_version(live: Live) -> None:
    problems = list(health.check(live.url, live.outputs["versions"]["langfuse"]))
    if problems:
        failed("route", "; ".join(problems), f"`python -m operations health --stack {live.pulumi.stack}` says why")


def test_the_certificate_has_days_left(live: Live) -> None:
    parts = urlsplit(live.url)
    if parts.scheme != "https":
        pytest.skip("the address has no TLS")
    try:
        end = sender.certificate_end(parts.hostname or "", parts.port or 443)
    except OSError as error:
        failed("TLS", f"{live.url}: {error}", "renew the certificate, or trust its authority: SSL_CERT_FILE")
    days = (end - datetime.now(UTC)).days
    if days < LEAST_DAYS:
        failed("TLS", f"the certificate ends in {days} days", "kubectl get certificate -A, or renew it by hand")


@pytest.mark.parametrize("path", [*INTERNAL_PATHS, ADMIN_PATH])
def test_administration_is_closed_from_outside(live: Live, path: str) -> None:
    if not live.public:
        pytest.skip("the address is not the public one")
    try:
        answer = requests.post(live.url + path, timeout=10, allow_redirects=False)
    except requests.RequestException:
        return  # a proxy that closes the connection also closes the path
    closed = answer.status_code >= 400 and answer.status_code != 401
    if not closed:
        failed(
            "route",
            f"{path} answers {answer.status_code} from outside: the proxy forwards it to web",
            "apply the stack's routes, or close the path in the proxy (docs/public-routes.md)",
        )


def test_web_keeps_idle_connections_longer_than_load_balancers(live: Live) -> None:
    seconds = live.run("web", "keep-alive.js")["seconds"]
    if seconds <= IDLE_SECONDS:
        failed(
            "route",
            f"web closes idle connections after {seconds} s, a load balancer after up to {IDLE_SECONDS} s: 502",
            "remove KEEP_ALIVE_TIMEOUT from langfuse:extraEnv, and run `pulumi up`",
        )

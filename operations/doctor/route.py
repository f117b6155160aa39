"""Checks of the public address: names, gateways, and the certificate that a browser would see."""

import socket
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from operations import routes
from operations.cluster import Cluster
from operations.doctor.model import Check, Line
from operations.errors import OperationError
from operations.pulumi import Json

GATEWAY: Final = Check("route", "gateway")
NAME: Final = Check("route", "name")
CERTIFICATE: Final = Check("route", "certificate")

TIMEOUT_SECONDS: Final = 10
SOON_DAYS: Final = 21
"""cert-manager renews after two thirds of the lifetime, Let's Encrypt's last 90 days."""


def gateways(cluster: Cluster, objects: Sequence[Json]) -> Iterator[Line]:
    """Whether what the routes refer to exists and serves their hosts."""
    try:
        problems = list(routes.prerequisites(objects, cluster.get))
    except OperationError as error:
        yield GATEWAY.skipped(str(error))
        return
    for problem in problems:
        yield GATEWAY.failed(problem, "correct langfuse:ingress, or ask those who run the gateway")
    if not problems:
        yield GATEWAY.ok("what the routes refer to exists")


def hosts(names: Sequence[str]) -> Iterator[Line]:
    """Whether the public hosts have addresses, and certificates that are valid for a while."""
    for name in names:
        try:
            found = sorted({str(one[4][0]) for one in socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)})
        except OSError:
            yield NAME.warning(f"{name} has no address", "create a DNS record that leads to the gateway")
            continue
        yield NAME.ok(f"{name} has {', '.join(found)}")
        yield _certificate(name)


def _certificate(host: str) -> Line:
    fix = "look at the certificate of the gateway (docs/public-routes.md)"
    try:
        with (
            socket.create_connection((host, 443), timeout=TIMEOUT_SECONDS) as raw,
            ssl.create_default_context().wrap_socket(raw, server_hostname=host) as connection,
        ):
            until = ssl.cert_time_to_seconds(str((connection.getpeercert() or {})["notAfter"]))
    except ssl.SSLCertVerificationError as error:
        return CERTIFICATE.failed(f"{host}: {error.verify_message}", fix)
    except OSError as error:
        detail = f"{host} does not answer at port 443 from here: {error.strerror or type(error).__name__}"
        return CERTIFICATE.skipped(detail)
    days = (datetime.fromtimestamp(until, UTC) - datetime.now(UTC)).days
    detail = f"{host}: {days} days left"
    return CERTIFICATE.ok(detail) if days >= SOON_DAYS else CERTIFICATE.warning(detail, fix)

"""Fixtures: a browser, Envoy with the rendered routes, and behind it web's replacement and a real object store."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.certificates import Authority, Identity
from tests.data.object_store.minio import Store, provision, server_variables, serving
from tests.edge.browser import Browser, chromium
from tests.edge.envoy import Certificate
from tests.edge.site import Site, Stack, site

BUCKET_HOST = "files.example.net"

GATEWAY_API = {"kind": "gateway-api", "gateway": "gateways/public"}

STACKS = {
    "one-host": Stack(),
    "bucket-host": Stack(ingress={"bucketHost": BUCKET_HOST}),
    "gateway-api": Stack(ingress=GATEWAY_API),
    "gateway-api-bucket-host": Stack(ingress={**GATEWAY_API, "bucketHost": BUCKET_HOST}),
    "traefik": Stack(ingress={"kind": "ingress", "controller": "traefik"}),
    "nginx": Stack(ingress={"kind": "ingress", "controller": "nginx"}),
    "nginx-bucket-host": Stack(ingress={"kind": "ingress", "controller": "nginx", "bucketHost": BUCKET_HOST}),
    "without-headers": Stack(without_headers=True),
}
"""Files under the host of the UI and under their own host, by each kind of ingress; for comparison, routes without
headers."""


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of the gateway. The browser accepts it for every host."""
    folder = tmp_path_factory.mktemp("certificate")
    Authority(folder, "ca").ensure([Identity(name="gateway", user="gateway", hosts=("127.0.0.1",))])
    return Certificate(chain=folder / "gateway.crt", key=folder / "gateway.key", authority=folder / "ca.crt")


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A provisioned MinIO server with the rendered variables."""
    folder = tmp_path_factory.mktemp("store")
    with serving(folder, server_variables(folder)) as made:
        result = provision(made, tmp_path_factory.mktemp("provisioning"))
        assert result.code == 0, result.output
        yield made


@pytest.fixture(scope="session")
def make_site(
    store: Store, certificate: Certificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Site]]:
    """Starts Envoy with the routes of a stack, by the name of the stack."""
    made: dict[str, Site] = {}
    with contextlib.ExitStack() as running:

        def make(name: str) -> Site:
            if name not in made:
                folder: Path = tmp_path_factory.mktemp(name)
                made[name] = running.enter_context(site(folder, STACKS[name], store, certificate))
            return made[name]

        yield make


@pytest.fixture(scope="session")
def make_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Site], Browser]]:
    """Starts a browser for a site, with the user signed in and a page of the UI in the first tab."""
    made: dict[int, Browser] = {}
    with contextlib.ExitStack() as running:

        def make(of: Site) -> Browser:
            if of.port not in made:
                hosts = dict.fromkeys(of.hosts, of.port)
                browser = running.enter_context(chromium(tmp_path_factory.mktemp("browser"), hosts))
                browser.open(of.url)
                assert browser.run("return fetch('/api/auth/session').then(answer => answer.text())") == of.user
                made[of.port] = browser
            return made[of.port]

        yield make

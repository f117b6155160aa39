"""The public side of a stack: its rendered routes in Envoy, a replacement of web and a real object store."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
import requests
from botocore.config import Config

from components.langfuse import Langfuse
from components.schema.environment import Settings
from components.settings.load import parse
from tests.data.object_store.minio import Store
from tests.data.rendered import secrets
from tests.edge.envoy import Certificate, Json, gateway, routes
from tests.edge.translation import http_routes, ingress_routes
from tests.edge.web import Web, web
from tests.unit.recorder import Recording, record

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

HOST = "langfuse.example.com"
SERVICES = {role: f"langfuse-{role}.langfuse-dev.svc.cluster.local" for role in ("web", "object-store")}

LINK_SECONDS = 3600

Use = Literal["MEDIA_UPLOAD", "BATCH_EXPORT"]


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The dev stack with other public routes."""

    ingress: Mapping[str, object] = field(default_factory=dict)
    """The configuration of the ingress."""
    without_headers: bool = False
    """Removes all header operations from the routes."""

    @property
    def bucket_host(self) -> str | None:
        """The separate host of the buckets."""
        return self.settings.ingress.bucket_host

    @cached_property
    def settings(self) -> Settings:
        """The configuration."""
        return parse("dev", {"host": HOST, "ingress": self.ingress})

    @cached_property
    def recording(self) -> Recording:
        """The registered resources."""
        return record(lambda: Langfuse("langfuse", self.settings))

    @cached_property
    def routes(self) -> Mapping[str, list[Json]]:
        """Envoy's routes for each host, in whichever kind they were registered."""
        found: dict[str, list[Json]] = {}
        for service in self.recording.of("VirtualService"):
            found |= {host: routes(service.inputs) for host in service.inputs["spec"]["hosts"]}
        for route in self.recording.of("HTTPRoute"):
            found |= http_routes(route.inputs)
        found |= ingress_routes(self.recording)
        if self.without_headers:
            for item in (item for items in found.values() for item in items):
                for name in [name for name in item if "_headers_to_" in name]:
                    del item[name]
        return found

    def signer(self, use: Use) -> "S3Client":
        """The client with which web signs links for a use: with the endpoint and the keys in its environment."""
        spec = self.recording.one("Deployment", "langfuse-web").inputs["spec"]["template"]["spec"]
        variables = {item["name"]: item for item in spec["containers"][0]["env"]}

        def value(name: str) -> str:
            found = variables[f"LANGFUSE_S3_{use}_{name}"]
            if "value" in found:
                return str(found["value"])
            ref = found["valueFrom"]["secretKeyRef"]
            return secrets()[ref["name"], ref["key"]]

        client: S3Client = boto3.client(
            "s3",
            endpoint_url=value("ENDPOINT" if use == "MEDIA_UPLOAD" else "EXTERNAL_ENDPOINT"),
            region_name=value("REGION"),
            aws_access_key_id=value("ACCESS_KEY_ID"),
            aws_secret_access_key=value("SECRET_ACCESS_KEY"),
            config=Config(s3={"addressing_style": "path"}, signature_version="s3v4"),
        )
        return client


@dataclass(frozen=True, kw_only=True)
class Site:
    """A running site."""

    stack: Stack
    port: int
    web: Web
    certificate: Certificate
    user: str = "owner@example.com"
    url: str = f"https://{HOST}/"

    @property
    def hosts(self) -> list[str]:
        """The hosts that the gateway serves."""
        return [*self.stack.routes]

    def request(self, method: str, url: str, body: bytes = b"", **headers: str) -> requests.Response:
        """The gateway's answer to a client that is not a browser, such as an SDK."""
        host, _, path = url.removeprefix("https://").partition("/")
        return requests.request(
            method,
            f"https://127.0.0.1:{self.port}/{path}",
            data=body,
            headers={"Host": host, **headers},
            verify=str(self.certificate.authority),
            timeout=30,
        )

    def upload(self, name: str, kind: str, body: bytes) -> str:
        """Upload a file by a signed link, as SDKs do, and return a signed link to it, as web does for its pages.

        Both links are signed as in packages/shared/src/server/services/StorageService.ts.
        """
        answer = self.request("PUT", self.sign_upload(name, kind), body, **{"Content-Type": kind})
        assert answer.status_code == requests.codes.ok, answer.text
        file = {"Bucket": "langfuse-dev-media", "Key": name}
        link: str = self.stack.signer("MEDIA_UPLOAD").generate_presigned_url("get_object", file, LINK_SECONDS)
        return link

    def sign_upload(self, name: str, kind: str) -> str:
        """A signed link for uploading a file."""
        file = {"Bucket": "langfuse-dev-media", "Key": name, "ContentType": kind}
        link: str = self.stack.signer("MEDIA_UPLOAD").generate_presigned_url("put_object", file, LINK_SECONDS)
        return link

    def export(self, store: Store, name: str, body: bytes) -> str:
        """Store an export in its bucket, and return the signed link for downloading it."""
        store.client("exports").put_object(Bucket="langfuse-dev-exports", Key=name, Body=body, ContentType="text/csv")
        link: str = self.stack.signer("BATCH_EXPORT").generate_presigned_url(
            "get_object",
            {
                "Bucket": "langfuse-dev-exports",
                "Key": name,
                "ResponseContentDisposition": f'attachment; filename="{name}"',
            },
            LINK_SECONDS,
        )
        return link


@contextlib.contextmanager
def site(folder: Path, stack: Stack, store: Store, certificate: Certificate) -> Iterator[Site]:
    """Run the gateway with the routes of a stack in front of web's replacement and a store."""
    with web() as server:
        ports = {SERVICES["web"]: server.port, SERVICES["object-store"]: int(store.url.rpartition(":")[2])}
        with gateway(folder, stack.routes, ports, certificate) as port:
            yield Site(stack=stack, port=port, web=server, certificate=certificate)

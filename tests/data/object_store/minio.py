"""A MinIO server, and the script that provisions it."""

import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import boto3
from botocore.config import Config

from components.schema.purposes import Purpose
from tests.data.containers import Run, install_client, run
from tests.data.rendered import config_map, container, environment, secrets
from tests.servers import NO_SYSTEM_CA, free_port, running, tool

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

JOB = "langfuse-object-store-provisioning"


@dataclass(frozen=True, kw_only=True)
class Store:
    """A MinIO server."""

    url: str
    clients: Path
    """The folder with `mc` and `rclone`."""

    def client(
        self, purpose: Purpose | Literal["prune", "verify"] | None = None, *, secret: str | None = None
    ) -> "S3Client":
        """An S3 client with the keys of a purpose, or with root's."""
        name = f"langfuse-object-store-{purpose or 'root'}"
        client: S3Client = boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=secrets()[name, "access-key-id"],
            aws_secret_access_key=secret or secrets()[name, "secret-access-key"],
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, signature_version="s3v4"),
        )
        return client

    def admin(self, *words: str) -> Any:  # noqa: ANN401  # JSON
        """The output of `mc admin ...` with root's keys."""
        root = secrets()["langfuse-object-store-root", "access-key-id"]
        key = secrets()["langfuse-object-store-root", "secret-access-key"]
        answer = subprocess.run(
            [self.clients / "mc", "--json", "admin", *words],
            env=NO_SYSTEM_CA
            | {"MC_HOST_store": f"http://{root}:{key}@{self.url.removeprefix('http://')}", "HOME": str(self.clients)},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(answer.stdout)


def server_variables(folder: Path) -> dict[str, str]:
    """The variables of the rendered container."""
    return environment(container("StatefulSet", "langfuse-object-store", "minio"), HOME=str(folder))


@contextlib.contextmanager
def serving(folder: Path, variables: Mapping[str, str], before: Sequence[str] = ()) -> Iterator[Store]:
    """Run MinIO with its data in a folder. Its command line may begin with another command, which starts it."""
    for name in ("mc", "rclone"):
        install_client(folder / "clients", name, tool(name))
    port = free_port()
    command: list[str | Path] = [*before, tool("minio"), "server", folder / "data", "--address", f"127.0.0.1:{port}"]
    store = Store(url=f"http://127.0.0.1:{port}", clients=folder / "clients")
    with running(command, variables, lambda: healthy(store), log=folder / "log"):
        yield store


def healthy(store: Store) -> bool:
    """Whether the server or its cluster serves requests. A server answers before it does."""
    return answers(store, "/minio/health/cluster/read")


def answers(store: Store, path: str) -> bool:
    """Whether the server answers a path without an error."""
    try:
        with urllib.request.urlopen(f"{store.url}{path}", timeout=5) as answer:  # noqa: S310  # our own
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def desired_state(folder: Path, **changed: str) -> Path:
    """Write the files that the Job mounts, with some of them changed."""
    folder.mkdir(exist_ok=True)
    for name, text in (dict(config_map(f"{JOB}-desired-state")) | changed).items():
        (folder / name).write_text(text)
    return folder


def provision(store: Store, folder: Path, files: Mapping[str, str] | None = None, **replaced: str) -> Run:
    """Run the provisioning script against a store."""
    job = container("Job", JOB, "provision")
    own = folder / "client"
    own.mkdir(exist_ok=True)
    variables = environment(
        job,
        **{
            "STORE_URL": store.url,
            "DESIRED_STATE": str(desired_state(folder / "desired-state", **(files or {}))),
            "MC_CONFIG_DIR": str(own),
            "WAIT_SECONDS": "20",
            **replaced,
        },
    )
    return run(job, variables, store.clients)

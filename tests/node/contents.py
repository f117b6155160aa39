"""What the stores of an installation hold: written and counted with each store's own client, inside its pods."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.engine.view import NAME_LABEL, View, conditions
from tests.waiting import eventually

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

NAME: Final = "conformance"
"""Of the table, the list and the folder that the tests write."""
COUNT: Final = "SELECT count(*) FROM conformance"
ROWS: Final = 500
OBJECTS: Final = 20
S3_PORT: Final = 9000

EVERYTHING: Final[Mapping[str, int]] = {"postgres": ROWS, "clickhouse": ROWS, "redis": ROWS, "object-store": OBJECTS}
"""What `count` returns if nothing is lost."""


@dataclass(frozen=True)
class Contents:
    """The stores of one installation."""

    view: View

    def write(self) -> None:
        """Write rows, keys and objects to every store, in place of those of an earlier test."""
        self.psql(
            "SET ROLE langfuse",  # the owner of the database, whose backups contain the table
            "DROP TABLE IF EXISTS conformance",
            "CREATE TABLE conformance AS SELECT generate_series(1, 500) AS n",
        )
        self.clickhouse(
            "CREATE TABLE IF NOT EXISTS conformance ON CLUSTER default (n UInt64) "
            "ENGINE = ReplicatedMergeTree ORDER BY n"
        )
        if self.clickhouse(COUNT) == "0":
            self.clickhouse("INSERT INTO conformance SELECT number FROM numbers(500)")
        primary = self.primary()
        self.valkey(primary, "DEL", NAME)
        self.valkey(primary, "RPUSH", NAME, *map(str, range(ROWS)))
        bucket = self.bucket("media")
        with self.object_store() as client:
            for number in range(OBJECTS):
                client.put_object(Bucket=bucket, Key=f"{NAME}/{number}", Body=str(number).encode())

    def count(self) -> Mapping[str, int]:
        """What each store holds of it; the least of all servers that hold a copy."""
        bucket = self.bucket("media")
        with self.object_store() as client:
            objects = client.list_objects_v2(Bucket=bucket, Prefix=f"{NAME}/")["KeyCount"]
        replicas = [self.clickhouse(COUNT, pod) for pod in self.pods("clickhouse")]
        return {
            "postgres": int(self.psql(COUNT)),
            "clickhouse": min(map(int, replicas)),
            "redis": min(int(self.valkey(pod, "LLEN", NAME)) for pod in self.pods("redis")),
            "object-store": objects,
        }

    def pods(self, store: str) -> list[str]:
        """The names of the pods of a workload that are ready."""
        return [
            pod["metadata"]["name"]
            for pod in self.view.objects("pods")
            if pod["metadata"]["labels"][NAME_LABEL] == store and conditions(pod).get("Ready") == "True"
        ]

    def psql(self, *statements: str) -> str:
        """Run statements as the superuser, who connects inside the pod alone. Returns what the last one printed."""
        words = [word for statement in statements for word in ("--command", statement)]
        options = ("--username=postgres", "--dbname=langfuse", "--no-align", "--tuples-only", "--quiet")
        return self.run("langfuse-postgres-0", "postgres", "psql", *options, "--set=ON_ERROR_STOP=1", *words)

    def clickhouse(self, statement: str, pod: str = "langfuse-clickhouse-0") -> str:
        """Run a statement as the application's user, whose password is in the pod's environment."""
        return self.run(pod, "clickhouse", "clickhouse-client", "--query", statement)

    def valkey(self, pod: str, *words: str) -> str:
        """Run a command. The password is in the pod's environment."""
        return self.run(pod, "valkey", "valkey-cli", *words)

    def primary(self) -> str:
        """The pod of the Valkey server that accepts writes."""
        (found,) = (pod for pod in self.pods("redis") if self.valkey(pod, "ROLE").startswith("master"))
        return found

    def bucket(self, purpose: str) -> str:
        """The name of a bucket."""
        return f"{self.view.namespace}-{purpose}"

    def run(self, pod: str, container: str, *words: str) -> str:
        """Run a command in a container."""
        command = ("exec", "--namespace", self.view.namespace, pod, "--container", container, "--", *words)
        return self.view.kubectl(*command).ok().stdout.strip()

    @contextmanager
    def object_store(self) -> Iterator[S3Client]:
        """A client of the object store, as its root, through a port that kubectl forwards to a pod."""
        pod = self.pods("object-store")[0]
        command = (
            *("port-forward", "--namespace", self.view.namespace, f"pod/{pod}"),
            *("--address=127.0.0.1", f":{S3_PORT}"),
        )
        forward = subprocess.Popen(
            [self.view.sandbox.folder.bin / "kubectl", *command],
            env=self.view.sandbox.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert forward.stdout
            said = forward.stdout.readline()  # "Forwarding from 127.0.0.1:PORT -> 9000"
            assert "->" in said, said
            client = self._client(said.split(" -> ")[0].rpartition(":")[2])
            eventually(lambda: bool(client.list_buckets()), ignoring=(BotoCoreError, ClientError))
            yield client
        finally:
            forward.kill()
            forward.wait()

    def _client(self, port: str) -> S3Client:
        data = self.view.get("secret", "langfuse-object-store-root")["data"]
        keys = {key: base64.b64decode(value).decode() for key, value in data.items()}
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=keys["access-key-id"],
            aws_secret_access_key=keys["secret-access-key"],
            region_name="us-east-1",
            config=Config(signature_version="s3v4", retries={"max_attempts": 2}),
        )


def volumes(view: View) -> Mapping[str, tuple[str, str]]:
    """The uid and the volume of each claim: the same as long as no data is replaced."""
    return {
        claim["metadata"]["name"]: (claim["metadata"]["uid"], claim["spec"]["volumeName"])
        for claim in view.objects("persistentvolumeclaims")
    }

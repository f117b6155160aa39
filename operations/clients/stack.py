"""The clients of a deployed stack, and the end of a key pair."""

import base64
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel

from operations import backups, cluster_identity, jobs
from operations.cluster import Cluster
from operations.errors import OperationError
from operations.objects import named_object
from operations.pulumi import Pulumi

Json = Mapping[str, Any]
Say = jobs.Say

CREATED: Final = "langfuse-clients"
"""The Job that creates the key pairs."""

FIRST_START: Final = "langfuse-first-start"
REVOKE: Final = "langfuse-revoke-key"
PUBLIC_KEY: Final = "LANGFUSE_INIT_PROJECT_PUBLIC_KEY"
SECRET_KEY: Final = "LANGFUSE_INIT_PROJECT_SECRET_KEY"  # noqa: S105  # a name


class Client(BaseModel):
    """A client, and what exists of it."""

    name: str
    kind: str
    namespace: str | None = None
    """None outside of the cluster."""
    environment: str | None = None
    project: str = ""
    url: str = ""
    secret: bool | None = None
    """Whether its Secret exists in its namespace; None outside of the cluster."""
    config_map: bool | None = None
    keys: str = ""
    """Whether Langfuse accepted its keys when the Job ran: `exist`, or why not."""


class Clients:
    """The clients of a stack."""

    def __init__(self, pulumi: Pulumi, say: Say) -> None:
        """Take the stack, and what prints progress.

        Raises:
            OperationError: The configuration names another cluster, or the stack is not deployed.
        """
        cluster_identity.check(pulumi)
        self.cluster, self.pulumi, self._say = Cluster.of(pulumi), pulumi, say
        self.outputs = pulumi.outputs()
        if "namespace" not in self.outputs:
            raise OperationError(f"stack {pulumi.stack} is not deployed; run `pulumi up --stack {pulumi.stack}`")
        self.namespace = str(self.outputs["namespace"])

    @property
    def phase(self) -> str:
        """The phase of the way to version 4: of the stack file, or the default of the release."""
        configured: Json = self.pulumi.settings().get("langfuse:ingestion") or {}
        version = str((self.outputs.get("versions") or {}).get("langfuse", ""))
        return str(configured.get("phase") or ("legacy" if version.startswith("3.") else "events_only"))

    def found(self) -> list[Client]:
        """The clients of the deployed stack, and those of the stack file that are not deployed yet.

        Raises:
            OperationError: The cluster can't be reached.
        """
        deployed: Json = self.outputs.get("clients") or {}
        configured: Json = self.pulumi.settings().get("langfuse:clients") or {}
        lines = [self._client(name, one) for name, one in sorted(deployed.items())]
        new = [
            Client(
                name=name,
                kind=str(one.get("kind")),
                namespace=one.get("namespace"),
                environment=one.get("environment"),
                keys="not deployed; run `pulumi up`",
            )
            for name, one in sorted(configured.items())
            if name not in deployed
        ]
        return [*lines, *new]

    def client(self, name: str) -> Client:
        """A client of the deployed stack.

        Raises:
            OperationError: There is none of this name.
        """
        deployed: Json = self.outputs.get("clients") or {}
        if name not in deployed:
            names = ", ".join(sorted(deployed)) or "it has none"
            raise OperationError(f"stack {self.pulumi.stack} has no client {name!r}; it has: {names}")
        return self._client(name, deployed[name])

    def keys(self, name: str) -> tuple[str, str]:
        """The public and the secret key of a client, from the Secret in the stack's namespace.

        Raises:
            OperationError: They can't be read.
        """
        return self._value(CREATED, f"client-{name}", PUBLIC_KEY), self._value(CREATED, f"client-{name}", SECRET_KEY)

    def keys_of_first_project(self) -> tuple[str, str]:
        """The public and the secret key of the first project.

        Raises:
            OperationError: They can't be read.
        """
        return self._value(FIRST_START, FIRST_START, PUBLIC_KEY), self._value(FIRST_START, FIRST_START, SECRET_KEY)

    def first_project(self) -> str:
        """The id of the first project."""
        variables = (one for each in self._containers(FIRST_START) for one in each["env"])
        return next((str(one["value"]) for one in variables if one["name"] == "LANGFUSE_INIT_PROJECT_ID"), "")

    def revoke(self, public_key: str) -> str | None:
        """Delete a key pair, and what Langfuse remembers of it.

        Returns:
            The id of its project; None if there was no such key pair.

        Raises:
            OperationError: The Job failed, or the stack has none because it has no clients.
        """
        if public_key == self.keys_of_first_project()[0]:
            raise OperationError(
                "this is the key pair of the first project, which the next update creates again; raise epoch of "
                "langfuse:credentials.values.publicKey and secretKey instead"
            )
        declared = jobs.declared(self.cluster, "CronJob", REVOKE, self.namespace)
        name = jobs.by_hand(REVOKE)
        self._say(f"running Job {name} in namespace {self.namespace} ...")
        log = jobs.run(self.cluster, jobs.from_cron_job(declared, name, {"PUBLIC_KEY": public_key}), self._say)
        results: Sequence[Json] = backups.results(log, of="revoked")
        if not results:
            raise OperationError(f"Job {name} printed no result; look at its log")
        return str(results[-1]["project"]) if results[-1]["deleted"] else None

    def exists(self, kind: str, name: str, namespace: str) -> bool:
        """Whether an object of the core group exists."""
        return self._object(kind, name, namespace) is not None

    def _client(self, name: str, output: Json) -> Client:
        namespace = output.get("namespace")
        own = [
            self.exists(kind, f"langfuse-{name}", namespace) if namespace else None for kind in ("Secret", "ConfigMap")
        ]
        return Client(
            name=name,
            kind=output["kind"],
            namespace=namespace,
            environment=output.get("environment"),
            project=output["project"],
            url=output["url"],
            secret=own[0],
            config_map=own[1],
            keys=self._keys_state(name),
        )

    def _keys_state(self, name: str) -> str:
        """What the Job said about the keys of a client. Its containers run one after another."""
        job = self._job(CREATED)
        if job is None:
            return f"Job {CREATED} does not exist; run `pulumi up --refresh`"
        if not any(one["name"] == f"client-{name}" for one in self._containers(CREATED)):
            return "not deployed; run `pulumi up`"
        if jobs.ended(job) == "Complete":
            return "exist"
        step = next((one for one in self._steps if one.container == f"client-{name}"), None)
        if step is None or step.runs:
            return f"Job {CREATED} has not created them"
        if not step.failed:
            return "exist"
        return (step.log.strip() or "the server failed").rpartition("\n")[2]

    @cached_property
    def _steps(self) -> Sequence[Any]:
        return self.cluster.steps(self._job(CREATED) or {})

    def _value(self, job: str, container: str, variable: str) -> str:
        """The value of a variable that a Secret has."""
        names = (container, container.removeprefix("langfuse-"))
        found = (one for each in self._containers(job) if each["name"] in names for one in each["env"])
        reference = next((one["valueFrom"]["secretKeyRef"] for one in found if one["name"] == variable), None)
        if reference is None:
            raise OperationError(f"Job {job} has no {variable} of {container}; run `pulumi up`")
        secret = self._object("Secret", reference["name"], self.namespace)
        if secret is None or reference["key"] not in (secret.get("data") or {}):
            raise OperationError(
                f"Secret {reference['name']} in namespace {self.namespace} has no key {reference['key']}, or this user "
                "may not read it"
            )
        return base64.b64decode(secret["data"][reference["key"]]).decode()

    def _containers(self, job: str) -> list[Json]:
        found = self._job(job)
        if found is None:
            return []
        spec = found["spec"]["template"]["spec"]
        return [*(spec.get("initContainers") or ()), *spec["containers"]]

    def _job(self, name: str) -> Json | None:
        if name not in self._jobs:
            self._jobs[name] = jobs.find(self.cluster, "Job", name, self.namespace)
        return self._jobs[name]

    @cached_property
    def _jobs(self) -> dict[str, Json | None]:
        return {}

    def _object(self, kind: str, name: str, namespace: str) -> Json | None:
        return self.cluster.get(named_object("v1", kind, name, namespace))

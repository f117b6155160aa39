"""A client of the API server of a stack's cluster."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import pulumi
import urllib3
import yaml
from kubernetes import client, config, dynamic
from kubernetes.dynamic.exceptions import ResourceNotFoundError
from pydantic import ValidationError

from components.cluster_client import connect
from components.schema import cluster as settings
from components.schema.environment import PROJECT
from components.settings import kubeconfig
from operations.errors import OperationError, UnreachableError
from operations.pulumi import Pulumi

NOT_FOUND: Final = 404
TEMPORARY: Final = frozenset({429, 500, 502, 503, 504})
"""Answers of an API server, or of what is in front of it, that can't serve a request at the moment."""
TIMEOUT_SECONDS: Final = 10

SCALER: Final = "langfuse-operations"
"""The field manager that sets the number of pods."""

Json = Mapping[str, Any]  # an object of Kubernetes


@dataclass(frozen=True)
class Step:
    """A container of a Job's pod that has started."""

    pod: str
    container: str
    runs: bool
    failed: bool
    log: str


@dataclass(frozen=True, order=True)
class Resource:
    """A kind of object in requests."""

    group: str
    """Empty for the core group."""
    plural: str
    subresource: str = ""
    namespaced: bool = True

    @property
    def name(self) -> str:
        """The name in messages and roles: `deployments.apps`."""
        plural = f"{self.plural}/{self.subresource}" if self.subresource else self.plural
        return f"{plural}.{self.group}" if self.group else plural


@dataclass(frozen=True)
class Server:
    """What the API server says about itself."""

    version: str
    major: int
    minor: int
    clock_seconds: float | None
    """How far its clock is ahead of that of this machine; None if its answer has no time."""


class Cluster:
    """The cluster that a stack's configuration names. It connects at the first request."""

    def __init__(self, settings: settings.Cluster) -> None:
        """Take the settings of `langfuse:cluster`."""
        self.settings = settings
        self._client: client.ApiClient | None = None
        self._discovered: Any = None  # kubernetes has no types

    @classmethod
    def of(cls, pulumi: Pulumi) -> "Cluster":
        """The cluster of a stack.

        Raises:
            OperationError: The configuration of the cluster is invalid.
        """
        try:
            return cls(settings.Cluster.model_validate(pulumi.settings().get(f"{PROJECT}:cluster") or {}))
        except ValidationError:
            raise OperationError(f"{PROJECT}:cluster is invalid; `pulumi preview` reports the problem") from None

    def namespace_uid(self, name: str) -> str | None:
        """The UID of a namespace; None if it does not exist.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """
        found = self._send(
            lambda: client.CoreV1Api(self._connect()).read_namespace(name, _request_timeout=TIMEOUT_SECONDS)
        )
        return None if found is None else str(found.metadata.uid)

    def get(self, wanted: Json) -> Json | None:
        """The object with the kind, name and namespace of `wanted`; None if it does not exist.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """
        metadata = wanted["metadata"]
        where = {"name": metadata["name"], "namespace": metadata.get("namespace")}

        def read() -> Any:  # noqa: ANN401  # kubernetes has no types
            kind = self._kinds().get(api_version=wanted["apiVersion"], kind=wanted["kind"])
            return kind.get(**where, _request_timeout=TIMEOUT_SECONDS)

        found = self._send(read)
        return None if found is None else found.to_dict()

    def create(self, manifest: Json) -> Json:
        """Create an object, and return it as the API server has it.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """

        def send() -> Any:  # noqa: ANN401  # kubernetes has no types
            return self._of(manifest).create(
                body=manifest, namespace=manifest["metadata"]["namespace"], _request_timeout=TIMEOUT_SECONDS
            )

        made = self._send(send)
        if made is None:
            raise OperationError(f"the cluster does not know {manifest['kind']} of {manifest['apiVersion']}")
        created: Json = made.to_dict()
        return created

    def delete(self, manifest: Json, *, wait_seconds: float = 60) -> None:
        """Delete an object with everything that it owns, and wait until it is gone. It need not exist.

        Raises:
            OperationError: The cluster can't be reached, or the object still exists.
        """
        metadata = manifest["metadata"]
        body = {"propagationPolicy": "Foreground"}

        def send() -> Any:  # noqa: ANN401  # kubernetes has no types
            return self._of(manifest).delete(
                metadata["name"], metadata["namespace"], body=body, _request_timeout=TIMEOUT_SECONDS
            )

        deadline = time.monotonic() + wait_seconds
        self._send(send)
        while self.get(manifest) is not None:
            if time.monotonic() > deadline:
                raise OperationError(f"{manifest['kind']} {metadata['name']} still exists after {wait_seconds:.0f} s")
            time.sleep(0.5)

    def scale(self, manifest: Json, replicas: int) -> None:
        """Set the number of pods of a Deployment. Nobody owns the number then, so Pulumi may set it again.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """
        metadata = manifest["metadata"]

        def send() -> Any:  # noqa: ANN401  # kubernetes has no types
            return client.AppsV1Api(self._connect()).patch_namespaced_deployment_scale(
                metadata["name"],
                metadata["namespace"],
                {"spec": {"replicas": replicas}},
                field_manager=SCALER,
                _request_timeout=TIMEOUT_SECONDS,
            )

        self._send(send)
        # Otherwise the next update of a Deployment with a number of pods would end with a conflict.
        live = self.get(manifest)
        fields = (live or {}).get("metadata", {}).get("managedFields") or []
        left = [one for one in fields if one["manager"] != SCALER]
        if left and left != fields:
            self.patch(manifest, {"metadata": {"managedFields": left}})

    def patch(self, manifest: Json, change: Json) -> None:
        """Change fields of an object (application/merge-patch+json).

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """
        metadata = manifest["metadata"]

        def send() -> Any:  # noqa: ANN401  # kubernetes has no types
            return self._of(manifest).patch(
                body=change,
                name=metadata["name"],
                namespace=metadata["namespace"],
                content_type="application/merge-patch+json",
                _request_timeout=TIMEOUT_SECONDS,
            )

        self._send(send)

    def server(self) -> Server:
        """The version and the clock of the API server.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """

        def read() -> Any:  # noqa: ANN401  # kubernetes has no types
            return client.VersionApi(self._connect()).get_code_with_http_info(_request_timeout=TIMEOUT_SECONDS)

        version, _, headers = self._send(read)
        minor = re.sub(r"\D.*", "", version.minor)  # clouds append a plus sign
        now, stated = datetime.now(UTC), headers.get("Date")
        ahead = (parsedate_to_datetime(stated) - now).total_seconds() if stated else None
        return Server(version.git_version, int(version.major), int(minor), ahead)

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """How the API server names a kind; None if it does not serve it.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """
        found = self._send(lambda: self._kinds().get(api_version=api_version, kind=kind))
        return None if found is None else Resource(found.group or "", found.name, "", bool(found.namespaced))

    def items(self, api_version: str, kind: str, namespace: str | None = None) -> list[Json]:
        """All objects of a kind, in all namespaces or in one; none if the API server does not serve the kind.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """

        def read() -> Any:  # noqa: ANN401  # kubernetes has no types
            found = self._kinds().get(api_version=api_version, kind=kind)
            return found.get(namespace=namespace, _request_timeout=TIMEOUT_SECONDS)

        found = self._send(read)
        return [] if found is None else list(found.to_dict()["items"])

    def allowed(self, verb: str, resource: Resource, namespace: str) -> bool:
        """Whether the API server would allow a request. An empty namespace means all, or none.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """
        attributes = {"verb": verb, "group": resource.group, "resource": resource.plural, "namespace": namespace}
        body = {"spec": {"resourceAttributes": {**attributes, "subresource": resource.subresource}}}
        api = client.AuthorizationV1Api(self._connect())
        made: Any = self._send(
            lambda: api.create_self_subject_access_review(body, _request_timeout=TIMEOUT_SECONDS)  # type: ignore[arg-type]
        )
        return bool(made.status.allowed)

    def pod_names(self, namespace: str, selector: str) -> Sequence[str]:
        """The names of the pods that a selector matches."""
        api = client.CoreV1Api(self._connect())
        found = self._send(
            lambda: api.list_namespaced_pod(namespace, label_selector=selector, _request_timeout=TIMEOUT_SECONDS)
        )
        return [str(pod.metadata.name) for pod in found.items] if found else ()

    def log(self, job: Json) -> str:
        """The log of the newest pod of a Job; empty if it has none."""
        pods = self._pods(job)
        return self._log(pods[-1]) if pods else ""

    def steps(self, job: Json) -> Sequence[Step]:
        """The containers of the newest pod of a Job that have started, in the order in which they run.

        Raises:
            OperationError: The cluster can't be reached, or refuses the request.
        """
        pods = self._pods(job)
        if not pods:
            return ()
        pod, status = pods[-1], pods[-1].status
        return [
            Step(
                pod=pod.metadata.name,
                container=one.name,
                runs=one.state.running is not None,
                failed=one.state.terminated is not None and one.state.terminated.exit_code != 0,
                log=self._log(pod, one.name),
            )
            for one in [*(status.init_container_statuses or ()), *(status.container_statuses or ())]
            if one.state.running or one.state.terminated
        ]

    def _log(self, pod: Any, container: str | None = None) -> str:  # noqa: ANN401  # ditto
        """The log of a container; empty if it has none any more."""

        def read() -> Any:  # noqa: ANN401  # ditto
            return client.CoreV1Api(self._connect()).read_namespaced_pod_log(
                pod.metadata.name,
                pod.metadata.namespace,
                container=container,
                _preload_content=False,
                _request_timeout=TIMEOUT_SECONDS,
            )

        found = self._send(read)
        return found.data.decode(errors="replace") if found is not None else ""

    def pod_reason(self, job: Json) -> str:
        """Why the pod of a Job does not run, in the words of the kubelet or the scheduler; empty if it does."""
        for pod in reversed(self._pods(job)):
            for status in [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]:
                state = status.state.waiting or status.state.terminated
                if state and state.reason not in ("Completed", "PodInitializing"):
                    return ": ".join(text for text in (state.reason, state.message) if text)
            for condition in pod.status.conditions or ():
                if condition.status == "False" and condition.message:
                    return str(condition.message)
        return "" if self._pods(job) else "no pod was created, which a quota or an admission webhook can refuse"

    def _pods(self, job: Json) -> Sequence[Any]:
        metadata = job["metadata"]
        api = client.CoreV1Api(self._connect())
        selector = f"batch.kubernetes.io/job-name={metadata['name']}"
        found = self._send(
            lambda: api.list_namespaced_pod(
                metadata["namespace"], label_selector=selector, _request_timeout=TIMEOUT_SECONDS
            )
        )
        return sorted(found.items, key=lambda pod: pod.metadata.creation_timestamp) if found else ()

    def _of(self, manifest: Json) -> Any:  # noqa: ANN401  # ditto
        return self._kinds().get(api_version=manifest["apiVersion"], kind=manifest["kind"])

    def _send(self, request: Callable[[], Any]) -> Any:  # noqa: ANN401  # ditto
        try:
            return request()
        except ResourceNotFoundError:  # the API server does not serve the kind, so it has no objects of it
            return None
        except client.ApiException as error:
            if error.status == NOT_FOUND:
                return None
            kind = UnreachableError if error.status in TEMPORARY else OperationError
            raise kind(f"the cluster refused the request: {error.status} {error.reason}") from None
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise UnreachableError(f"the cluster can't be reached: {type(error).__name__}; check KUBECONFIG") from None

    def _kinds(self) -> Any:  # noqa: ANN401  # ditto
        """The kinds that the API server serves."""
        if self._discovered is None:
            of_all: Any = dynamic.DynamicClient
            self._discovered = of_all(self._connect()).resources
        return self._discovered

    def _connect(self) -> Any:  # noqa: ANN401  # ditto
        if self._client is None:
            try:
                kubeconfig.check(self.settings, needed=True)
                self._client = connect(self.settings)
            except (pulumi.RunError, config.ConfigException, yaml.YAMLError) as error:
                raise OperationError(f"there is no usable kubeconfig: {error}") from None
        return self._client

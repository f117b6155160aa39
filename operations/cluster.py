"""A client of the API server of a stack's cluster."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pulumi
import urllib3
import yaml
from kubernetes import client, config, dynamic
from kubernetes.dynamic.exceptions import ResourceNotFoundError
from pydantic import ValidationError

from components.schema import cluster as settings
from components.schema.environment import PROJECT
from components.settings import kubeconfig
from operations.errors import OperationError
from operations.pulumi import Pulumi

NOT_FOUND: Final = 404
TIMEOUT_SECONDS: Final = 10

Json = Mapping[str, Any]  # an object of Kubernetes


class Cluster:
    """The cluster that a stack's configuration names. It connects at the first request."""

    def __init__(self, settings: settings.Cluster) -> None:
        """Take the settings of `langfuse:cluster`."""
        self._settings = settings
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

    def _send(self, request: Callable[[], Any]) -> Any:  # noqa: ANN401  # ditto
        try:
            return request()
        except ResourceNotFoundError:  # the API server does not serve the kind, so it has no objects of it
            return None
        except client.ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise OperationError(f"the cluster refused the request: {error.status} {error.reason}") from None
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise OperationError(f"the cluster can't be reached: {type(error).__name__}; check KUBECONFIG") from None

    def _kinds(self) -> Any:  # noqa: ANN401  # ditto
        """The kinds that the API server serves."""
        if self._discovered is None:
            of_all: Any = dynamic.DynamicClient
            self._discovered = of_all(self._connect()).resources
        return self._discovered

    def _connect(self) -> Any:  # noqa: ANN401  # ditto
        if self._client is None:
            try:
                kubeconfig.check(self._settings, needed=True)
                self._client = _client(self._settings)
            except (pulumi.RunError, config.ConfigException, yaml.YAMLError) as error:
                raise OperationError(f"there is no usable kubeconfig: {error}") from None
        return self._client


def _client(cluster: settings.Cluster) -> client.ApiClient:
    """A client for the kubeconfig. Without one, for the service account of the pod, as the provider does it."""
    loader: Any = config  # has no types
    connection: Any = client.Configuration()
    connection.retries = False
    path = kubeconfig.location(cluster)
    if content := kubeconfig.content(cluster):
        loader.load_kube_config_from_dict(content, cluster.context, client_configuration=connection)
    elif path == kubeconfig.DEFAULT and not Path(path).expanduser().exists():
        loader.load_incluster_config(client_configuration=connection)
    else:
        loader.load_kube_config(path, cluster.context, client_configuration=connection)
    return client.ApiClient(connection)

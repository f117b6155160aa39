"""A client of the API server of the stack's cluster. It takes a second to import, so import it where it is used."""

from pathlib import Path
from typing import Any, Final

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from components.schema.cluster import Cluster
from components.settings import kubeconfig

TIMEOUT_SECONDS: Final = 30


def connect(cluster: Cluster) -> client.ApiClient:
    """A client for the kubeconfig. Without one, for the service account of the pod, as the provider does it.

    Raises:
        config.ConfigException: There is no usable kubeconfig.
        yaml.YAMLError: The kubeconfig is not YAML.
    """
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


def try_connect(cluster: Cluster) -> client.ApiClient | None:
    """The same for a check before the update, or None: the provider reports what is wrong with the kubeconfig."""
    try:
        return connect(cluster)
    except Exception:  # of several libraries
        return None


def get(api: client.ApiClient, path: str) -> tuple[int, bytes] | None:
    """The HTTP status and the body of a path of the API server; None without an answer."""
    request = api.param_serialize(
        method="GET", resource_path=path, header_params={"Accept": "application/json"}, auth_settings=["BearerToken"]
    )
    try:
        answer: Any = api.call_api(*request, _request_timeout=TIMEOUT_SECONDS)  # has no types
        return int(answer.status), answer.read()
    except (OSError, HTTPError):
        return None

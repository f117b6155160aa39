"""Whether a stack's configuration still leads to the cluster that the stack was deployed to."""

import json
import os
from pathlib import Path
from typing import Any, Final

import yaml

from operations.errors import OperationError
from operations.pulumi import Json, Pulumi

NAMESPACE: Final = "kubernetes:core/v1:Namespace"
TIMEOUT_SECONDS: Final = 10

SERVICE_HOST: Final = "KUBERNETES_SERVICE_HOST"
"""Set in every pod: where no kubeconfig is given, the pod's own account is used, as the provider does."""


def check(pulumi: Pulumi) -> None:
    """Compare the namespace in the stack's state with that of the cluster which the configuration names.

    A cluster has no name of its own, but no two namespaces have the same UID. Pulumi itself does not look: objects of
    the same names in another cluster are updated as if they were those in the state. Nothing is said of a stack that
    is not deployed, or where the namespace can't be read: the update itself tells why.

    Raises:
        OperationError: The configuration leads to another cluster.
    """
    try:
        exported = pulumi.run("stack", "export")
    except OperationError:  # there is no such stack, or no CLI
        return
    known = _in_state(json.loads(exported))
    if known is None:
        return
    name, uid = known
    cluster = pulumi.settings().get("langfuse:cluster") or {}
    found = _in_cluster(name, cluster.get("context"), cluster.get("kubeconfig"))
    if found in {None, uid}:
        return
    has = f"has another namespace {name} (UID {found})" if found else f"has no namespace {name}"
    raise OperationError(
        f"the cluster of {_described(cluster)} {has} than the one that stack {pulumi.stack} was deployed to "
        f"(UID {uid}). If it is another cluster, correct langfuse:cluster in the stack file; to move there, make a new "
        f"stack and restore a backup. If the namespace was deleted, run `pulumi refresh --stack {pulumi.stack}`"
    )


def _in_state(exported: Json) -> tuple[str, str] | None:
    """Name and UID of the namespace."""
    for resource in (exported.get("deployment") or {}).get("resources") or ():
        if resource.get("type") == NAMESPACE and not resource.get("delete"):
            metadata = (resource.get("outputs") or {}).get("metadata") or {}
            if isinstance(metadata.get("name"), str) and isinstance(metadata.get("uid"), str):
                return metadata["name"], metadata["uid"]
    return None


def _in_cluster(name: str, context: str | None, kubeconfig: str | None) -> str | None:
    """The UID of the namespace; empty if there is none, None if it can't be told."""
    from kubernetes import client, config  # noqa: PLC0415  # takes a second to import, which no other command needs
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    loader: Any = config  # has no types
    settings: Any = client.Configuration()
    settings.retries = False
    try:
        if kubeconfig is None and SERVICE_HOST in os.environ and not _has_kubeconfig():
            loader.load_incluster_config(client_configuration=settings)
        else:
            loader.load_kube_config(config_file=kubeconfig, context=context, client_configuration=settings)
        with client.ApiClient(settings) as api:
            read: Any = client.CoreV1Api(api).read_namespace(name, _request_timeout=TIMEOUT_SECONDS)
    except client.ApiException as error:
        return "" if error.status == 404 else None  # noqa: PLR2004  # not found
    except (config.ConfigException, HTTPError, OSError, yaml.YAMLError):
        return None
    return str(read.metadata.uid)


def _has_kubeconfig() -> bool:
    return "KUBECONFIG" in os.environ or Path("~/.kube/config").expanduser().exists()


def _described(cluster: Json) -> str:
    if context := cluster.get("context"):
        return f"langfuse:cluster.context {context}"
    return "the current context"

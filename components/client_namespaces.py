"""Checks that the namespace of a client exists before anything is created in it.

The namespace is the client's own: the stack creates objects in it, and never the namespace itself.
"""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

import pulumi

from components.schema.environment import PROJECT, Settings

NOT_FOUND: Final = 404

Status = Callable[[str], int | None]
"""The HTTP status of a GET request for a path of the API server; None without an answer."""


class ClientNamespaces:
    """The check of the namespaces of clients. It runs in updates only: a preview needs no cluster."""

    def __init__(self, settings: Settings, status: Status | None = None) -> None:
        """Take the settings, and in tests what asks the API server."""
        self._cluster = settings.cluster
        self._clients = {one.namespace: name for name, one in settings.clients.items() if one.namespace}
        self._status = status or self._ask

    def options(self, opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
        """The options of the component whose objects are checked."""
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(transformations=[self._add_hook]))

    def _add_hook(self, args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        metadata = args.props.get("metadata") if args.type_.startswith("kubernetes:") else None
        if not isinstance(metadata, dict) or metadata.get("namespace") not in self._clients:
            return None
        own = pulumi.ResourceOptions(hooks=self._binding)
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, own))

    @cached_property
    def _binding(self) -> pulumi.ResourceHookBinding:
        return pulumi.ResourceHookBinding(before_create=[pulumi.ResourceHook("client-namespace-exists", self.check)])

    def check(self, args: pulumi.ResourceHookArgs) -> None:
        """Look up the namespace of an object. What can't be read is left to the update itself.

        Raises:
            pulumi.RunError: With the key, the namespace, and what to do.
        """
        namespace = str((args.new_inputs or {})["metadata"]["namespace"])
        if self._status(f"/api/v1/namespaces/{namespace}") == NOT_FOUND:
            raise pulumi.RunError(
                f"{PROJECT}:clients.{self._clients[namespace]}.namespace: the cluster has no namespace "
                f"{json.dumps(namespace)}; create it (kubectl create namespace {namespace}), or correct the name"
            )

    def _ask(self, path: str) -> int | None:
        from components.cluster_client import get  # noqa: PLC0415  # takes a second, which previews do not need

        answer = get(self._client, path) if self._client else None
        return answer[0] if answer else None

    @cached_property
    def _client(self) -> Any:  # noqa: ANN401  # kubernetes has no types
        from components.cluster_client import try_connect  # noqa: PLC0415  # ditto

        return try_connect(self._cluster)

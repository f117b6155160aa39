"""The cluster of a stack, asked without Pulumi: what is there of which its state does not know."""

from collections.abc import Mapping
from typing import Any, Final

import pulumi
import urllib3
from kubernetes import config, dynamic
from kubernetes.client import ApiException
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from components.schema import application as settings
from components.settings import kubeconfig
from operations.errors import OperationError

NOT_FOUND: Final = 404
TIMEOUT_SECONDS: Final = 30

Json = Mapping[str, Any]  # an object of Kubernetes


class Cluster:
    """The cluster that the program deploys to."""

    def __init__(self, settings: settings.Cluster) -> None:
        """`settings` says which one it is."""
        self._settings = settings
        self._client: dynamic.DynamicClient | None = None

    def get(self, wanted: Json) -> Json | None:
        """The object with the kind, name and namespace of another; None if there is none.

        Raises:
            OperationError: The cluster can't be asked.
        """
        metadata = wanted["metadata"]
        try:
            kind = self._connected().resources.get(api_version=wanted["apiVersion"], kind=wanted["kind"])
            found: Json = kind.get(
                name=metadata["name"], namespace=metadata.get("namespace"), _request_timeout=TIMEOUT_SECONDS
            ).to_dict()
        except ResourceNotFoundError:  # a kind that is not served has no objects
            return None
        except ApiException as error:
            if error.status == NOT_FOUND:
                return None
            raise OperationError(f"the cluster refuses to tell what is there: {error.status} {error.reason}") from None
        except (OSError, urllib3.exceptions.HTTPError) as error:
            raise OperationError(f"the cluster can't be reached: {type(error).__name__}; check KUBECONFIG") from None
        return found

    def _connected(self) -> dynamic.DynamicClient:
        if self._client is None:
            try:
                kubeconfig.check(self._settings, needed=True)
            except pulumi.RunError as error:
                raise OperationError(str(error)) from None
            content, context = kubeconfig.content(self._settings), self._settings.context
            client = (
                config.new_client_from_config_dict(content, context)  # type: ignore[no-untyped-call]  # has no types
                if content
                else config.new_client_from_config(kubeconfig.location(self._settings), context)  # type: ignore[no-untyped-call]  # ditto
            )
            self._client = dynamic.DynamicClient(client)  # type: ignore[no-untyped-call]  # has no types
        return self._client

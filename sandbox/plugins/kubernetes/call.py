"""The context of an operation on a resource: its URN, its cluster, its messages and errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from google.protobuf import struct_pb2

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes.api import ApiError
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.discovery import NoSuchKindError
from sandbox.plugins.kubernetes.enginelog import EngineLog, Reporter
from sandbox.plugins.kubernetes.scrub import Scrubber
from sandbox.plugins.kubernetes.waiting import NotReadyError
from sandbox.plugins.properties import Properties, decode, encode
from sandbox.plugins.pulumirpc import provider_pb2


@dataclass(frozen=True)
class ResourceCall:
    """One request of the engine about one resource."""

    cluster: Cluster
    urn: str
    reporter: Reporter

    @classmethod
    def about(cls, urn: str, cluster: Cluster, log: EngineLog, *properties: struct_pb2.Struct) -> ResourceCall:
        """Create the context of a call. Its messages hide values that are secret in the properties."""
        scrubber = cache(lambda: Scrubber(*map(decode, properties)))  # most calls show no message

        def scrub(message: str) -> str:
            return scrubber()(message)

        return cls(cluster, urn, Reporter(log, urn, scrub))

    @property
    def token(self) -> str:
        """The type of the resource, such as `kubernetes:apps/v1:Deployment`."""
        return self.urn.split("::")[2].rpartition("$")[2]

    @contextmanager
    def explaining_errors(self, what: str) -> Iterator[None]:
        """Turn errors of the API server into one error that starts with what failed and hides secret values."""
        try:
            yield
        except NoSuchKindError as error:
            raise PluginError(
                f"{what}: the Kubernetes API server does not serve this kind: {error}. Verify that any required CRDs "
                "have been created, and that they are created before (dependsOn)"
            ) from error
        except ApiError as error:
            raise PluginError(self.reporter.scrub(f"{what}: {error.message}")) from error
        except PluginError as error:
            error.message = self.reporter.scrub(error.message)
            raise

    def incomplete(
        self,
        what: str,
        error: NotReadyError,
        object_identity: str,
        outputs: Properties,
        inputs: struct_pb2.Struct | None = None,
    ) -> PluginError:
        """Return the error for an object that exists but is not ready. The engine stores its state."""
        first = self.reporter.scrub(f"{what}: {error.message}")
        reasons = [first, *(self.reporter.scrub(problem) for problem in dict.fromkeys(error.problems))]
        detail = provider_pb2.ErrorResourceInitFailed(
            id=object_identity, properties=encode(outputs), reasons=reasons, inputs=inputs
        )
        return PluginError(first, detail=detail)

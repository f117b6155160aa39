"""The ResourceProvider service for Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import grpc
from google.protobuf import empty_pb2, struct_pb2

from sandbox.plugins.kubernetes import check, checkpoint, configuration, reads, settings, writes
from sandbox.plugins.kubernetes.call import ResourceCall
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.enginelog import EngineLog
from sandbox.plugins.kubernetes.informers import Cancellation
from sandbox.plugins.kubernetes.settings import Settings
from sandbox.plugins.properties import contains_secret, decode, encode
from sandbox.plugins.protocol import plugin_info, unsupported
from sandbox.plugins.pulumirpc import plugin_pb2, provider_pb2, provider_pb2_grpc

Context = grpc.ServicerContext
DISTRIBUTION: Final = "pulumi-kubernetes"


# The protocol defines the names of these methods.
class KubernetesProvider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider. It is configured once and then serves many calls in parallel."""

    def __init__(self, engine_address: str) -> None:
        """`engine_address` receives log messages; if it is empty, they are dropped."""
        self._log = EngineLog(engine_address)
        self._cancellation = Cancellation()
        self._cluster = Cluster(Settings(), self._cancellation)

    def stop(self) -> None:
        """Cancel all waits."""
        self._cancellation.cancel()

    def Handshake(
        self, _request: provider_pb2.ProviderHandshakeRequest, _context: Context
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Accept secrets and the stack's autonaming configuration."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, supports_autonaming_configuration=True)

    def GetPluginInfo(self, _request: empty_pb2.Empty, _context: Context) -> plugin_pb2.PluginInfo:
        """Return the version, which is that of the SDK."""
        return plugin_info(DISTRIBUTION)

    def Attach(self, request: plugin_pb2.PluginAttach, _context: Context) -> empty_pb2.Empty:
        """Send log messages to another engine."""
        self._log = EngineLog(request.address)
        return empty_pb2.Empty()

    def Cancel(self, _request: empty_pb2.Empty, _context: Context) -> empty_pb2.Empty:
        """Cancel all waits. The objects stay, and state records that they are not ready."""
        self.stop()
        return empty_pb2.Empty()

    def CheckConfig(self, request: provider_pb2.CheckRequest, _context: Context) -> provider_pb2.CheckResponse:
        """Return the configuration and the errors in it."""
        return provider_pb2.CheckResponse(
            inputs=request.news, failures=configuration.failures(request.urn, decode(request.news))
        )

    def DiffConfig(self, request: provider_pb2.DiffRequest, _context: Context) -> provider_pb2.DiffResponse:
        """Return the changes. If the cluster changes, the provider and all of its resources are replaced."""
        changed, replaces = configuration.differences(decode(request.olds), decode(request.news))
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=replaces,
        )

    def Configure(self, request: provider_pb2.ConfigureRequest, _context: Context) -> provider_pb2.ConfigureResponse:
        """Configure the provider. An unreachable cluster is an error only when an operation needs it."""
        self._cluster = Cluster(settings.read(request.variables), self._cancellation)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, supportsPreview=True, supports_autonaming_configuration=True
        )

    def Check(self, request: provider_pb2.CheckRequest, _context: Context) -> provider_pb2.CheckResponse:
        """Complete the inputs of a resource."""
        news, olds = decode(request.news), decode(request.olds)
        call = self._call(request.urn, request.news)
        check.refuse_unsupported(call.token, news)
        if self._cluster.settings.skip_update_unreachable and self._cluster.unreachable:
            call.reporter.warn("Cluster is unreachable but skipUpdateUnreachable flag is set to true, skipping...")
            return provider_pb2.CheckResponse(inputs=request.olds)
        completed = check.complete(self._cluster, request, call.token, olds, checkpoint.to_object(news))
        inputs = checkpoint.to_properties(completed, news)
        if self._cluster.settings.render_directory and contains_secret(inputs):
            call.reporter.warn("rendered YAML will contain a secret value in plaintext")
        return provider_pb2.CheckResponse(inputs=encode(inputs))

    def Diff(self, request: provider_pb2.DiffRequest, _context: Context) -> provider_pb2.DiffResponse:
        """Return the changes of an update."""
        return reads.diff(self._call(request.urn, request.news), request)

    def Create(self, request: provider_pb2.CreateRequest, _context: Context) -> provider_pb2.CreateResponse:
        """Create an object."""
        return writes.create(self._call(request.urn, request.properties), request)

    def Read(self, request: provider_pb2.ReadRequest, _context: Context) -> provider_pb2.ReadResponse:
        """Read an object."""
        call = self._call(request.urn, request.inputs)
        check.refuse_unsupported(call.token, {})
        return reads.read(call, request)

    def Update(self, request: provider_pb2.UpdateRequest, _context: Context) -> provider_pb2.UpdateResponse:
        """Update an object."""
        return writes.update(self._call(request.urn, request.news, request.olds), request)

    def Delete(self, request: provider_pb2.DeleteRequest, _context: Context) -> empty_pb2.Empty:
        """Delete an object."""
        writes.delete(self._call(request.urn, request.properties), request)
        return empty_pb2.Empty()

    def Invoke(self, request: provider_pb2.InvokeRequest, _context: Context) -> provider_pb2.InvokeResponse:
        """Return an error: all functions belong to Helm, Kustomize and YAML."""
        raise unsupported(request.tok)

    def Call(self, request: provider_pb2.CallRequest, _context: Context) -> provider_pb2.CallResponse:
        """Return an error: no resource has methods."""
        raise unsupported(request.tok)

    def Construct(self, request: provider_pb2.ConstructRequest, _context: Context) -> provider_pb2.ConstructResponse:
        """Return an error: all components belong to Helm, Kustomize and YAML."""
        raise unsupported(f"{request.type} (a Helm, Kustomize or YAML component)")

    def Parameterize(
        self, _request: provider_pb2.ParameterizeRequest, _context: Context
    ) -> provider_pb2.ParameterizeResponse:
        """Return an error: SDKs are not generated from CRDs."""
        raise unsupported("parameterization of the kubernetes provider by CRDs")

    def GetSchema(self, _request: provider_pb2.GetSchemaRequest, _context: Context) -> provider_pb2.GetSchemaResponse:
        """Return an error: only the official plugin has the schema."""
        raise unsupported("the schema of the kubernetes provider")

    def List(self, request: provider_pb2.ListRequest, _context: Context) -> Iterator[provider_pb2.ListResponse]:
        """Return an error: only the search for objects to import needs it."""
        raise unsupported("listing the objects of a kind")

    def GetMapping(
        self, _request: provider_pb2.GetMappingRequest, _context: Context
    ) -> provider_pb2.GetMappingResponse:
        """Return no mappings from other tools."""
        return provider_pb2.GetMappingResponse()

    def GetMappings(
        self, _request: provider_pb2.GetMappingsRequest, _context: Context
    ) -> provider_pb2.GetMappingsResponse:
        """Return no mappings from other tools."""
        return provider_pb2.GetMappingsResponse()

    def _call(self, urn: str, *properties: struct_pb2.Struct) -> ResourceCall:
        return ResourceCall.about(urn, self._cluster, self._log, *properties)

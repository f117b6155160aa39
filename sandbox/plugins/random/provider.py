"""The ResourceProvider service for random values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import grpc
from google.protobuf import empty_pb2

from sandbox.plugins.errors import PluginError
from sandbox.plugins.properties import UNKNOWN, Properties, Property, Secret, contains_unknown, decode, encode, reveal
from sandbox.plugins.protocol import plugin_info, unsupported
from sandbox.plugins.pulumirpc import plugin_pb2, provider_pb2, provider_pb2_grpc
from sandbox.plugins.random.kinds import KINDS_BY_TOKEN, Kind, Value

Context = grpc.ServicerContext
KEEPERS: Final = "keepers"
REPLACE: Final = provider_pb2.PropertyDiff.UPDATE_REPLACE


class RandomProvider(provider_pb2_grpc.ResourceProviderServicer):
    """Generates random values. A change of any input generates a new value; none is updated in place."""

    def Handshake(  # the protocol defines the names of these methods
        self, _request: provider_pb2.ProviderHandshakeRequest, _context: Context
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Accept secrets."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=False, accept_outputs=False)

    def GetPluginInfo(self, _request: empty_pb2.Empty, _context: Context) -> plugin_pb2.PluginInfo:
        """Return the version, which is that of the SDK."""
        return plugin_info("pulumi-random")

    def CheckConfig(self, request: provider_pb2.CheckRequest, _context: Context) -> provider_pb2.CheckResponse:
        """Accept everything: the provider has no configuration but its version."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, _request: provider_pb2.DiffRequest, _context: Context) -> provider_pb2.DiffResponse:
        """Return no difference: no configuration affects resources."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, _request: provider_pb2.ConfigureRequest, _context: Context) -> provider_pb2.ConfigureResponse:
        """Return the supported features of the protocol."""
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Cancel(self, _request: empty_pb2.Empty, _context: Context) -> empty_pb2.Empty:
        """Do nothing: no call takes long."""
        return empty_pb2.Empty()

    def GetSchema(self, _request: provider_pb2.GetSchemaRequest, _context: Context) -> provider_pb2.GetSchemaResponse:
        """Return an error: not supported."""
        raise unsupported("the schema of the random provider")

    def Check(self, request: provider_pb2.CheckRequest, _context: Context) -> provider_pb2.CheckResponse:
        """Return the inputs and the errors in them."""
        kind = _kind(request.urn)
        failures = [
            provider_pb2.CheckFailure(property=key, reason=reason) for key, reason in check(kind, decode(request.news))
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def Diff(self, request: provider_pb2.DiffRequest, _context: Context) -> provider_pb2.DiffResponse:
        """Return every input that differs; each needs a replacement."""
        kind = _kind(request.urn)
        old = decode(request.old_inputs if request.old_inputs.fields else request.olds)
        changes = differences(kind, old, decode(request.news))
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changes else provider_pb2.DiffResponse.DIFF_NONE,
            replaces=sorted({path.split(".")[0] for path in changes}),
            diffs=sorted({path.split(".")[0] for path in changes}),
            hasDetailedDiff=True,
            detailedDiff={path: provider_pb2.PropertyDiff(kind=how, inputDiff=True) for path, how in changes.items()},
        )

    def Create(self, request: provider_pb2.CreateRequest, _context: Context) -> provider_pb2.CreateResponse:
        """Generate a value; in a preview, its outputs are unknown."""
        kind = _kind(request.urn)
        inputs = decode(request.properties)
        if request.preview:
            unknown: Properties = dict.fromkeys(kind.computed, UNKNOWN)
            return provider_pb2.CreateResponse(properties=encode(_state(kind, inputs, unknown)))
        value: Value = kind.generate(complete(kind, inputs))
        return provider_pb2.CreateResponse(
            id=value.id, properties=encode(_state(kind, inputs, value.outputs, value.id))
        )

    def Read(self, request: provider_pb2.ReadRequest, _context: Context) -> provider_pb2.ReadResponse:
        """Return the unchanged state, or for an import the value of the id."""
        kind = _kind(request.urn)
        state = decode(request.properties)
        if state.get(kind.computed[0]) is not None:
            return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
        found: Value = kind.parse(request.id)
        inputs: Properties = {key: value for key, value in found.inputs.items() if value is not None}
        return provider_pb2.ReadResponse(
            id=found.id, properties=encode(_state(kind, inputs, found.outputs, found.id)), inputs=encode(inputs)
        )

    def Update(self, request: provider_pb2.UpdateRequest, _context: Context) -> provider_pb2.UpdateResponse:
        """Keep the value. Only changes without effect, such as a keeper without a value, are updates."""
        kind = _kind(request.urn)
        old = decode(request.olds)
        outputs: Properties = {name: old[name] for name in (*kind.computed, "id") if name in old}
        return provider_pb2.UpdateResponse(properties=encode({**_state(kind, decode(request.news), {}), **outputs}))

    def Delete(self, _request: provider_pb2.DeleteRequest, _context: Context) -> empty_pb2.Empty:
        """Do nothing: the value is only in state."""
        return empty_pb2.Empty()


def check(kind: Kind, properties: Properties) -> list[tuple[str, str]]:
    """Return (input, reason) for each input that is unknown, missing, of the wrong type, or out of range."""
    found: list[tuple[str, str]] = []
    for key, secret_value in properties.items():
        value = reveal(secret_value)
        if key.startswith("__") or value is None or contains_unknown(value):
            continue
        if key == KEEPERS:
            if not isinstance(value, dict):
                found.append((key, f"must be a map of values, not {type(value).__name__}"))
        elif key not in kind.fields:
            found.append((key, f"is not an input; the inputs are {', '.join(sorted([*kind.fields, KEEPERS]))}"))
        elif type(value) is not kind.fields[key]:
            found.append((key, f"must be of type {kind.fields[key].__name__}, not {type(value).__name__}"))
    found += [(key, "is required") for key in kind.fields if key not in kind.defaults and properties.get(key) is None]
    inputs = complete(kind, properties)
    if found or any(contains_unknown(inputs[key]) for key in kind.fields):
        return found
    return kind.problems(inputs)


def complete(kind: Kind, properties: Properties) -> Properties:
    """Return the inputs without wrappers and with defaults."""
    inputs: Properties = {key: reveal(value) for key, value in properties.items() if value is not None}
    if inputs.get("number") is not None and "numeric" not in inputs:
        inputs["numeric"] = inputs["number"]
    return {**dict.fromkeys(kind.fields), **kind.defaults, **inputs}


def differences(kind: Kind, old: Properties, new: Properties) -> dict[str, provider_pb2.PropertyDiff.Kind.ValueType]:
    """Return the paths of the inputs that differ. An explicit default value is no difference."""
    before, after = _comparable(kind, old), _comparable(kind, new)
    return {
        path: provider_pb2.PropertyDiff.ADD_REPLACE
        if before.get(path) is None
        else provider_pb2.PropertyDiff.DELETE_REPLACE
        if after.get(path) is None
        else REPLACE
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    }


def _comparable(kind: Kind, properties: Properties) -> dict[str, Property]:
    inputs = complete(kind, properties)
    keepers = inputs.get(KEEPERS)
    flat = {key: inputs[key] for key in kind.fields if key != "number"}  # `number` only sets `numeric`
    if isinstance(keepers, dict):
        flat |= {f"{KEEPERS}.{key}": value for key, value in keepers.items()}
    elif keepers is not None:
        flat[KEEPERS] = keepers
    return flat


def _state(
    kind: Kind, properties: Properties, outputs: Mapping[str, Property], identity: str | None = None
) -> Properties:
    inputs = complete(kind, properties)
    state = {key: properties.get(key, inputs[key]) for key in [*kind.fields, KEEPERS] if inputs.get(key) is not None}
    if "number" in kind.fields:
        state["number"] = state["numeric"]
    state |= {key: Secret(value) if key in kind.secret else value for key, value in outputs.items()}
    return state if identity is None else {**state, "id": identity}


def _kind(urn: str) -> Kind:
    token = urn.split("::")[2].rsplit("$", 1)[-1]
    if token not in KINDS_BY_TOKEN:
        raise PluginError(f"{token} is not supported by the stand-in random provider; install the official plugin")
    return KINDS_BY_TOKEN[token]

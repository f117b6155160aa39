"""Runs a Pulumi program under mocks and records every registration with the options that mocks usually hide."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from google.protobuf import json_format, struct_pb2
from pulumi.runtime import mocks, resource, rpc, settings
from pulumi.runtime.proto import callback_pb2, resource_pb2, source_pb2
from pulumi.runtime.stack import run_pulumi_func
from pulumi.runtime.sync_await import _sync_await

from components.kubernetes.names import base_name

_SECRET = rpc._special_secret_sig

# The SDK walks the call stack at each registration, which takes a sixth of the time and is not used here.
resource._get_stack_trace = source_pb2.StackTrace


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One resource as the program registered it."""

    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    """Plain values; secrets are replaced by their values."""
    secrets: frozenset[str]
    """Dotted paths of the inputs that are marked secret."""
    dependencies: frozenset[str]
    """Names of the resources it waits for."""
    protect: bool
    retain_on_delete: bool
    ignore_changes: frozenset[str]
    secret_outputs: frozenset[str]
    """Names of the outputs that are always secret."""
    aliases: frozenset[str]
    """Former names."""
    custom: bool
    delete_before_replace: bool
    timeouts: Mapping[str, str]
    """Timeouts of its creation, update and deletion, where they are set."""
    hooks: frozenset[str]
    """Names of the hooks that run before it is created."""
    update_hooks: frozenset[str]
    """Names of the hooks that run before it is updated."""
    delete_hooks: frozenset[str]
    """Names of the hooks that run before it is deleted."""

    @property
    def kind(self) -> str:
        """The last part of the type token, for example `Deployment`."""
        return self.type.rsplit(":", 1)[-1]

    @property
    def stable_name(self) -> str:
        """The name without the hash of the content that the name of an immutable ConfigMap ends with."""
        return base_name(self.name) if self.kind == "ConfigMap" and self.inputs.get("immutable") else self.name


@dataclass
class Recording:
    """Everything that a program registered, in order."""

    resources: list[Registration] = field(default_factory=list)
    transforms: list[pulumi.ResourceTransform] = field(default_factory=list)
    hooks: dict[str, pulumi.ResourceHook] = field(default_factory=dict)
    """Hooks by the name by which resources refer to them."""
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Outputs of components by component name."""

    def __iter__(self) -> Iterator[Registration]:
        return iter(self.resources)

    def one(self, kind: str, name: str | None = None) -> Registration:
        """The only resource of a kind and, if one is set, of a name with or without the hash of its content."""
        found = [item for item in self.resources if item.kind == kind and name in {None, item.name, item.stable_name}]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''}: {[item.name for item in self.of(kind)]}"
        return found[0]

    def of(self, kind: str) -> list[Registration]:
        """Every resource of a kind."""
        return [item for item in self.resources if item.kind == kind]


EXISTING_LABELS = {"istio.io/dataplane-mode": "ambient"}
"""Labels of a namespace that the program only reads."""


class _Echo(mocks.Mocks):
    """A provider that reads an existing namespace, and nothing else."""

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, object]]:
        assert args.typ.endswith(":Namespace"), args.typ
        return f"{args.name}-id", {"metadata": {"name": args.resource_id, "labels": EXISTING_LABELS}}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, object], None]:
        raise AssertionError(f"the program called {args.token}")


def _state(request: resource_pb2.RegisterResourceRequest) -> struct_pb2.Struct:
    """What a provider returns: the inputs, with generated names and random values."""
    state = struct_pb2.Struct()
    state.CopyFrom(request.object)
    if request.type.startswith("kubernetes:") and "metadata" in state.fields:
        metadata = state.fields["metadata"].struct_value.fields
        if "name" not in metadata:
            metadata["name"].string_value = f"{request.name}-made"
    if request.type.startswith("random:"):
        length = int(state.fields["length"].number_value)
        state.fields["result"].string_value = random_value(request.name, length)
    return state


def random_value(name: str, length: int) -> str:
    """The value of a RandomPassword: derived from its name, and hexadecimal, so that it fits every alphabet."""
    return (hashlib.sha256(name.encode()).hexdigest() * 2)[:length]


class _Callbacks:
    """Keeps the callbacks that the engine would call, so that tests can call them."""

    def __init__(self, recording: "Recording") -> None:
        self._recording = recording

    def register_transform(self, transform: pulumi.ResourceTransform) -> callback_pb2.Callback:
        self._recording.transforms.append(transform)
        return callback_pb2.Callback(token="transform", target="nowhere")  # noqa: S106  # of a callback

    def register_resource_hook(self, hook: pulumi.ResourceHook) -> None:
        self._recording.hooks[hook.name] = hook


class _Monitor(mocks.MockMonitor):
    """Answers from the request: the SDK's mocks would read and write all values twice more."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(_Echo())
        self._recording = recording

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:  # noqa: N802
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == "pulumi:pulumi:Stack":
            return resource_pb2.RegisterResourceResponse(urn=urn)
        secrets: set[str] = set()
        inputs = {key: _plain(value, key, secrets) for key, value in json_format.MessageToDict(request.object).items()}
        self._recording.resources.append(
            Registration(
                type=request.type,
                name=request.name,
                parent=_name(request.parent),
                inputs=inputs,
                secrets=frozenset(secrets),
                dependencies=frozenset(_name(urn) for urn in request.dependencies),
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                ignore_changes=frozenset(request.ignoreChanges),
                secret_outputs=frozenset(request.additionalSecretOutputs),
                aliases=frozenset(alias.spec.name for alias in request.aliases if alias.spec.name),
                custom=request.custom,
                delete_before_replace=request.deleteBeforeReplace,
                timeouts=json_format.MessageToDict(request.customTimeouts),
                hooks=frozenset(request.hooks.before_create),
                update_hooks=frozenset(request.hooks.before_update),
                delete_hooks=frozenset(request.hooks.before_delete),
            )
        )
        return resource_pb2.RegisterResourceResponse(urn=urn, id=f"{request.name}-id", object=_state(request))

    def RegisterResourceOutputs(self, request: resource_pb2.RegisterResourceOutputsRequest) -> object:  # noqa: N802
        outputs = json_format.MessageToDict(request.outputs)
        self._recording.outputs[_name(request.urn)] = {key: _plain(value, key, set()) for key, value in outputs.items()}
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]  # upstream


def record(program: Callable[[], object], *, stack: str = "dev", config: Mapping[str, str] | None = None) -> Recording:
    """Run a program as in an update, and return what it registered."""
    recording = Recording()
    mocks.set_mocks(_Echo(), project="langfuse", stack=stack, preview=False, monitor=_Monitor(recording))
    settings.SETTINGS.callbacks = _Callbacks(recording)
    pulumi.runtime.set_all_config({f"langfuse:{key}": value for key, value in (config or {}).items()})

    def run() -> None:
        program()

    try:
        _sync_await(run_pulumi_func(run))
    finally:
        settings.SETTINGS.outputs.clear()  # a failed program must leave nothing to the next one
        settings.reset_options()
    return recording


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def _plain(value: object, path: str, secrets: set[str]) -> object:
    if isinstance(value, dict):
        if value.get(rpc._special_sig_key) == _SECRET:
            secrets.add(path)
            return _plain(value["value"], path, secrets)
        return {key: _plain(item, f"{path}.{key}", secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{path}.{index}", secrets) for index, item in enumerate(value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value

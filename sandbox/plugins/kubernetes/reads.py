"""Diff and Read."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import checkpoint, naming, paths, waiting
from sandbox.plugins.kubernetes.api import ApiError
from sandbox.plugins.kubernetes.call import ResourceCall
from sandbox.plugins.kubernetes.checkpoint import State
from sandbox.plugins.kubernetes.diff import changes, detailed, expanded, is_replacing
from sandbox.plugins.kubernetes.discovery import NoSuchKindError
from sandbox.plugins.kubernetes.normalize import normalize
from sandbox.plugins.kubernetes.objects import (
    LAST_APPLIED,
    Kind,
    Object,
    annotation,
    condition,
    dig,
    mapping,
    name,
    namespace,
    object_id,
    prune_object,
    put_metadata,
    without_read_only,
)
from sandbox.plugins.kubernetes.replacing import replacing_paths
from sandbox.plugins.kubernetes.waiting import NotReadyError
from sandbox.plugins.kubernetes.writes import GONE_HINT, field_manager, identified
from sandbox.plugins.properties import decode, encode
from sandbox.plugins.pulumirpc import provider_pb2

REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"
REVISION: Final = "deployment.kubernetes.io/revision"


def diff(call: ResourceCall, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
    """Return the changes of an update and whether it needs a replacement, without a request to the API server."""
    cluster, state = call.cluster, checkpoint.load(decode(request.olds))
    new, old_inputs = normalize(checkpoint.to_object(decode(request.news))), normalize(state.inputs)
    old = prune_object(state.live, old_inputs)
    _align(call, old, new, state)
    ignored = [paths.parse(path) for path in request.ignoreChanges]
    found = [change for change in changes(old, new) if not any(paths.covers(path, change.path) for path in ignored)]
    replacing = replacing_paths(new, cluster.settings)
    details = detailed([part for change in found for part in expanded(change, old, replacing)], replacing)
    replaces = [path for path, detail in details.items() if is_replacing(detail) or path == "metadata"]
    if annotation(new, REPLACE_UNREADY) == "true" and _is_unready(call, new, state):
        replaces.append(f'metadata.annotations["{REPLACE_UNREADY}"]')
    changed = bool(details or replaces or cluster.settings.always_render)
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
        replaces=replaces,
        deleteBeforeReplace=bool(replaces) and _keeps_identity(new, state.live),
        detailedDiff=details,
        hasDetailedDiff=True,
    )


def read(call: ResourceCall, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
    """Return the live object for a refresh, an import or a `get`. The id is empty if it does not exist."""
    cluster, old_properties = call.cluster, decode(request.inputs)
    state, old_inputs = checkpoint.load(decode(request.properties)), normalize(checkpoint.to_object(old_properties))
    if cluster.settings.render_directory:
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
    if cluster.unreachable:
        return _unreachable(call, request)
    imported = not old_inputs.get("kind") and not state.live.get("kind")
    known = old_inputs if old_inputs.get("kind") else state.live
    try:
        with call.explaining_errors(f"resource {call.urn} could not be read"):
            live = _get(call, identified(call, {} if imported else known, request.id))
            if live is None:
                return provider_pb2.ReadResponse()
            failure: NotReadyError | None = None
            if not imported:
                waiting.check_now(cluster, live, old_inputs)
    except NotReadyError as error:
        live, failure = error.live, error
    inputs = _imported_inputs(live) if imported else prune_object(live, old_inputs)
    manager = field_manager(call, state.field_manager, old_inputs)
    version = state.initial_api_version or str(live.get("apiVersion"))
    outputs = checkpoint.store(inputs, live, old_properties, version, manager)
    shown = encode(checkpoint.to_properties(inputs, old_properties))
    if failure is not None:
        raise call.incomplete(f"resource {call.urn}", failure, request.id or object_id(live), outputs, shown)
    return provider_pb2.ReadResponse(id=request.id or object_id(live), properties=encode(outputs), inputs=shown)


def _align(call: ResourceCall, old: Object, new: Object, state: State) -> None:
    """Remove differences that are none: the default namespace, a generated name, stored versions."""
    if call.cluster.namespaced(Kind.of(new)):
        for obj in (old, new):
            if dig(obj, "metadata", "namespace") in (None, ""):
                put_metadata(obj, "namespace", "default")
    else:
        for obj in (old, new):
            if dig(obj, "metadata", "namespace") is not None:
                put_metadata(obj, "namespace", None)
    for key in ("apiVersion", "kind"):
        old.setdefault(key, new.get(key))
    if naming.is_named(new):
        put_metadata(old, "name", name(state.live))


def _is_unready(call: ResourceCall, new: Object, state: State) -> bool:
    if call.cluster.unreachable:
        call.reporter.warn("Cluster is unreachable, skipping replaceUnready check")
        return False
    if Kind.of(new).kind != "Job":
        call.reporter.warn("replaceUnready annotation is not supported for this resource")
        return False
    try:
        live = call.cluster.get(state.live)
    except (ApiError, NoSuchKindError):
        return False
    return condition(live, "Complete").get("status") != "True"


def _keeps_identity(new: Object, live: Object) -> bool:
    """Return whether the replacement has the same fixed name and namespace, so the old object is deleted first."""
    return (
        not naming.is_autonamed(new)
        and naming.is_named(new)
        and name(new) == name(live)
        and namespace(new) == namespace(live)
    )


def _get(call: ResourceCall, obj: Object) -> Object | None:
    try:
        return call.cluster.get(obj)
    except NoSuchKindError:
        return None
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def _imported_inputs(live: Object) -> Object:
    """Return the inputs with which a program would create this object."""
    inputs = without_read_only(live)
    inputs.pop("status", None)
    annotations = mapping(inputs, "metadata", "annotations")
    for key in (REVISION, LAST_APPLIED):
        annotations.pop(key, None)
    return inputs


def _unreachable(call: ResourceCall, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
    settings = call.cluster.settings
    call.reporter.warn(f"configured Kubernetes cluster is unreachable: {call.cluster.unreachable}")
    if settings.delete_unreachable:
        call.reporter.info("the `deleteUnreachable` option is enabled. Deleting the unreachable resource from state")
        return provider_pb2.ReadResponse()
    if settings.skip_update_unreachable:
        call.reporter.info("the `skipUpdateUnreachable` option is enabled. The state may differ from the cluster")
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)
    raise PluginError(f"failed to read resource state due to unreachable cluster. {GONE_HINT}")

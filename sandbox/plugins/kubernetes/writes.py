"""Create, Update and Delete."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import apply, checkpoint, naming, render, waiting
from sandbox.plugins.kubernetes.api import ApiError
from sandbox.plugins.kubernetes.call import ResourceCall
from sandbox.plugins.kubernetes.managed_fields import CREATE_MANAGER
from sandbox.plugins.kubernetes.normalize import normalize
from sandbox.plugins.kubernetes.objects import (
    Kind,
    Object,
    annotation,
    mapping,
    name,
    object_id,
    parse_id,
    put_metadata,
    text,
)
from sandbox.plugins.kubernetes.waiting import NotReadyError
from sandbox.plugins.properties import Properties, contains_secret, contains_unknown, decode, encode
from sandbox.plugins.pulumirpc import provider_pb2

FIELD_MANAGER: Final = "pulumi.com/patchFieldManager"
DRY_RUN: Final = re.compile("dry ?run", re.IGNORECASE)
GONE_HINT: Final = (
    "If the cluster was deleted, you can remove this resource from Pulumi state by rerunning the operation with the "
    'PULUMI_K8S_DELETE_UNREACHABLE environment variable set to "true"'
)


def create(call: ResourceCall, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
    """Create an object and wait until it is ready."""
    cluster, news = call.cluster, decode(request.properties)
    inputs = checkpoint.to_object(news)
    manager, version = field_manager(call, "", inputs), text(inputs, "apiVersion")
    as_given = provider_pb2.CreateResponse(properties=request.properties)
    if request.preview and not can_preview(call, inputs):
        return as_given
    if cluster.settings.render_directory:
        outputs = _rendered(call, inputs, news, manager)
        return provider_pb2.CreateResponse(id=object_id(inputs), properties=encode(outputs))
    cluster.require()
    with call.explaining_errors(f"resource {call.urn} was not successfully created by the Kubernetes API server"):
        try:
            live = apply.create(cluster, inputs, manager, call.reporter, dry_run=request.preview)
        except ApiError as error:
            if request.preview and _only_in_preview(error):
                return as_given
            raise
    if request.preview:
        live.pop("status", None)
        outputs = checkpoint.store(inputs, live, news, version, manager)
        return provider_pb2.CreateResponse(properties=encode(outputs))
    call.reporter.status("")
    try:
        live = waiting.until_ready(cluster, live, inputs, request.timeout, call.reporter)
    except NotReadyError as error:
        outputs = checkpoint.store(inputs, error.live, news, version, manager)
        what = (
            f"resource {call.urn} was successfully created, but the Kubernetes API server reported that it failed to "
            "fully initialize or become live"
        )
        raise call.incomplete(what, error, object_id(live), outputs) from error
    outputs = checkpoint.store(inputs, live, news, version, manager)
    return provider_pb2.CreateResponse(id=object_id(live), properties=encode(outputs))


def update(call: ResourceCall, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
    """Update an object in place and wait until it is ready."""
    cluster, news, state = call.cluster, decode(request.news), checkpoint.load(decode(request.olds))
    inputs = normalize(checkpoint.to_object(news))
    manager = field_manager(call, state.field_manager, inputs)
    as_given = provider_pb2.UpdateResponse(properties=request.news)
    if request.preview and not can_preview(call, inputs, by_patch=True):
        return as_given
    if cluster.settings.render_directory:
        return provider_pb2.UpdateResponse(properties=encode(_rendered(call, inputs, news, manager)))
    cluster.require()
    with call.explaining_errors(f"update of resource {call.urn} failed"):
        try:
            live = apply.update(
                cluster,
                inputs,
                normalize(state.inputs),
                name(state.live),
                manager,
                list(request.ignoreChanges),
                call.reporter,
                dry_run=request.preview,
            )
        except (ApiError, PluginError) as error:
            if request.preview and isinstance(error, ApiError) and error.status == HTTPStatus.FORBIDDEN:
                return as_given
            if isinstance(error, ApiError) and error.status == HTTPStatus.NOT_FOUND:
                raise PluginError(f"{error.message}; run `pulumi refresh` to see what else is missing") from error
            # As in the official provider, state has the new inputs and the live object, so the next run tries again.
            live = cluster.get(state.live)
            outputs = checkpoint.store(inputs, live, news, state.initial_api_version, manager)
            refused = NotReadyError(error.message, (), live)
            raise call.incomplete(_unfinished(live), refused, object_id(live), outputs) from error
        if state.field_manager not in ("", manager) and cluster.settings.server_side_apply and not request.preview:
            apply.relinquish(cluster, live, state.field_manager)
    if not request.preview:
        try:
            live = waiting.until_ready(cluster, live, inputs, request.timeout, call.reporter)
        except NotReadyError as error:
            outputs = checkpoint.store(inputs, error.live, news, state.initial_api_version, manager)
            raise call.incomplete(_unfinished(live), error, object_id(live), outputs) from error
    outputs = checkpoint.store(inputs, live, news, state.initial_api_version, manager)
    return provider_pb2.UpdateResponse(properties=encode(outputs))


def delete(call: ResourceCall, request: provider_pb2.DeleteRequest) -> None:
    """Delete an object and wait until it no longer exists."""
    cluster, olds = call.cluster, decode(request.properties)
    state = checkpoint.load(olds)
    obj = identified(call, state.live, request.id)
    if cluster.settings.render_directory:
        call.reporter.status(f"deleted {render.remove(obj, cluster.settings.render_directory)}")
        return
    if cluster.unreachable:
        call.reporter.warn(f"configured Kubernetes cluster is unreachable: {cluster.unreachable}")
        if not cluster.settings.delete_unreachable:
            raise PluginError(f"configured Kubernetes cluster is unreachable. {GONE_HINT}")
        call.reporter.info("the `deleteUnreachable` option is enabled. Deleting the unreachable resource from state")
        return
    with call.explaining_errors(f"deletion of resource {call.urn} failed"):
        apply.delete(cluster, obj, state.inputs)
        try:
            waiting.until_gone(cluster, obj, state.inputs, request.timeout, call.reporter)
        except NotReadyError as error:
            for problem in error.problems:
                call.reporter.warn(problem)  # the engine does not show the reasons of a failed deletion
            outputs = checkpoint.store(state.inputs, error.live, olds, state.initial_api_version, state.field_manager)
            what = f'the deletion of "{request.id}" was requested, but it still exists'
            raise call.incomplete(what, error, request.id, outputs) from error


def identified(call: ResourceCall, live: Object, object_identity: str) -> Object:
    """Return an object with its kind and with the namespace and name of its id."""
    kind, found = Kind.from_token(call.token), {**live, "metadata": {**mapping(live, "metadata")}}
    found["apiVersion"] = text(live, "apiVersion") or kind.api_version
    found["kind"] = text(live, "kind") or kind.kind
    for key, value in zip(("namespace", "name"), parse_id(object_identity), strict=True):
        if value:
            put_metadata(found, key, value)
    return found


def can_preview(call: ResourceCall, inputs: Object, *, by_patch: bool = False) -> bool:
    """Return whether the API server can preview inputs; without server-side apply, it can preview patches only."""
    settings = call.cluster.settings
    if contains_unknown(inputs) or settings.render_directory or not (settings.server_side_apply or by_patch):
        return False
    return call.cluster.serves(Kind.of(inputs))


def field_manager(call: ResourceCall, stored: str, inputs: Object) -> str:
    """Return the field manager: from the annotation, from state, or a new one."""
    if not call.cluster.settings.server_side_apply:
        return CREATE_MANAGER
    return annotation(inputs, FIELD_MANAGER) or stored or naming.unique_name("pulumi-kubernetes-")


def _unfinished(live: Object) -> str:
    return f'the Kubernetes API server reported that "{object_id(live)}" failed to fully initialize or become live'


def _only_in_preview(error: ApiError) -> bool:
    """Return whether the cause of a dry run's error may not exist in the update."""
    no_namespace = error.status == HTTPStatus.NOT_FOUND and error.details_kind == "namespaces"
    exists = error.status == HTTPStatus.CONFLICT and error.reason == "AlreadyExists"  # deleted before it is replaced
    no_dry_run = error.status == HTTPStatus.BAD_REQUEST and bool(DRY_RUN.search(error.message))
    return error.status == HTTPStatus.FORBIDDEN or no_namespace or exists or no_dry_run


def _rendered(call: ResourceCall, inputs: Object, news: Properties, manager: str) -> Properties:
    path = render.write(inputs, call.cluster.settings.render_directory)
    if contains_secret(news) or text(inputs, "kind") == "Secret":
        call.reporter.warn(f"rendered file {path} contains a secret value in plaintext")
    call.reporter.status(f"rendered {path}")
    return checkpoint.store(inputs, inputs, news, text(inputs, "apiVersion"), manager)

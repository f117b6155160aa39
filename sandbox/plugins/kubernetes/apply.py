"""Creates, updates and deletes objects through the API server, or previews that with a dry run."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import managed_fields
from sandbox.plugins.kubernetes.api import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, ApiError
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.diff import changes
from sandbox.plugins.kubernetes.discovery import NoSuchKindError
from sandbox.plugins.kubernetes.enginelog import Reporter
from sandbox.plugins.kubernetes.managed_fields import CREATE_MANAGER
from sandbox.plugins.kubernetes.objects import (
    Kind,
    Object,
    annotation,
    copied,
    mapping,
    objects,
    prune,
    put_metadata,
    text,
)
from sandbox.plugins.properties import Property

PATCH_FORCE: Final = "pulumi.com/patchForce"
PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"
CRD: Final = ("apiextensions.k8s.io", "CustomResourceDefinition")
TAKE_OVER_ATTEMPTS: Final = 5
PAUSES: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds between attempts to create an object whose namespace or CRD is being created."""
EXISTS: Final = """{error}

The resource already exists in the cluster. This can happen when:

  - Renaming a Pulumi resource: use an alias to preserve the identity,
    or use deleteBeforeReplace if the resource needs replacement.
  - Adopting a resource into Pulumi: use `pulumi import`.
  - Intentional upsert: set upsertExistingObjects on the provider to allow
    server-side apply to update existing objects on create."""
CONFLICTS: Final = """the object has fields that another field manager owns: {error}
Either stop the other manager from setting them, or leave them to it (remove them from the program or name them in
ignoreChanges), or take them over for good: set the annotation pulumi.com/patchForce: "true" on this resource
(or kubernetes:enablePatchForce for the stack)."""


def create(cluster: Cluster, inputs: Object, manager: str, reporter: Reporter, *, dry_run: bool) -> Object:
    """Create an object and return it. Raises ApiError, NoSuchKindError, and PluginError if it already exists."""
    for pause in (*PAUSES, None):
        try:
            return _create_once(cluster, inputs, manager, reporter, dry_run=dry_run)
        except (ApiError, NoSuchKindError) as error:
            retry = isinstance(error, NoSuchKindError) or error.status == HTTPStatus.NOT_FOUND
            if dry_run or not retry or pause is None or cluster.cancellation:
                raise
            reporter.status(f"Retrying; creation failed: {error}")
            time.sleep(pause)
    raise AssertionError


def update(
    cluster: Cluster,
    inputs: Object,
    old_inputs: Object,
    old_name: str,
    manager: str,
    ignored: list[str],
    reporter: Reporter,
    *,
    dry_run: bool,
) -> Object:
    """Update an object in place and return it. Raises ApiError, NoSuchKindError, and PluginError for conflicts."""
    desired = copied(inputs)
    put_metadata(desired, "name", old_name)
    live = cluster.get(desired)
    kind = Kind.of(desired)
    if (kind.group, kind.kind) == CRD:
        put_metadata(desired, "resourceVersion", text(live, "metadata", "resourceVersion"))
        return cluster.request(
            "PUT", desired, query=_query(manager, dry_run), body=desired, warn=_warn(cluster, reporter)
        )
    if not cluster.settings.server_side_apply:
        patch = merge_patch(old_inputs, desired, live)
        query = _query(CREATE_MANAGER, dry_run)
        return cluster.request(
            "PATCH", desired, query=query, body=patch, content_type=MERGE_PATCH, warn=_warn(cluster, reporter)
        )
    if not dry_run:
        live = _take_over_fields(cluster, live, manager)
    managed_fields.ignore_changes(desired, live, ignored, manager)
    forced = dry_run and managed_fields.is_forced_in_preview(live)
    force = forced or not objects(live, "metadata", "managedFields")
    return server_side_apply(cluster, desired, manager, reporter, dry_run=dry_run, force=force)


def relinquish(cluster: Cluster, live: Object, manager: str) -> None:
    """Give up the fields that are owned by a former field manager."""
    metadata = {key: value for key, value in mapping(live, "metadata").items() if key in ("name", "namespace")}
    empty: Object = {"apiVersion": live.get("apiVersion"), "kind": live.get("kind"), "metadata": metadata}
    server_side_apply(cluster, empty, manager, None, dry_run=False, force=False)


def server_side_apply(
    cluster: Cluster, desired: Object, manager: str, reporter: Reporter | None, *, dry_run: bool, force: bool
) -> Object:
    """Apply an object. Raises PluginError that explains conflicts with other field managers."""
    force = force or cluster.settings.patch_force or annotation(desired, PATCH_FORCE) == "true"
    query = {**_query(manager, dry_run), "force": str(force).lower()}
    try:
        return cluster.request(
            "PATCH", desired, query=query, body=desired, content_type=APPLY_PATCH, warn=_warn(cluster, reporter)
        )
    except ApiError as error:
        if error.status == HTTPStatus.CONFLICT and error.causes:
            raise PluginError(CONFLICTS.format(error=error.message)) from error
        raise


def delete(cluster: Cluster, obj: Object, inputs: Object) -> None:
    """Request the deletion of an object; succeed if it does not exist."""
    policy = {"orphan": "Orphan", "background": "Background"}.get(annotation(inputs, PROPAGATION).lower(), "Foreground")
    body: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy}
    try:
        cluster.request("DELETE", obj, body=body)
    except NoSuchKindError:
        return
    except ApiError as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise


def merge_patch(old: Object, new: Object, live: Object) -> Object:
    """Return the three-way JSON merge patch (RFC 7386), for objects without server-side apply.

    It sets fields that differ from the live object and removes fields of the old inputs that the new inputs lack.
    """
    patch: Object = {key: None for key in old if key not in new and key in live}
    for key, value in new.items():
        current, before = live.get(key), old.get(key)
        if isinstance(value, dict) and isinstance(current, dict):
            inner = merge_patch(before if isinstance(before, dict) else {}, value, current)
            if inner:
                patch[key] = inner
        elif any(changes(prune(current, value), value)):
            patch[key] = value
    return patch


def _create_once(cluster: Cluster, inputs: Object, manager: str, reporter: Reporter, *, dry_run: bool) -> Object:
    desired: Object = copied(inputs)
    if cluster.settings.upsert and cluster.settings.server_side_apply:
        return server_side_apply(cluster, desired, manager, reporter, dry_run=dry_run, force=dry_run)
    try:
        return cluster.request(
            "POST", desired, query=_query(CREATE_MANAGER, dry_run), body=desired, warn=_warn(cluster, reporter)
        )
    except ApiError as error:
        if error.status == HTTPStatus.CONFLICT and error.reason == "AlreadyExists" and not dry_run:
            raise PluginError(EXISTS.format(error=error.message)) from error
        raise


def _take_over_fields(cluster: Cluster, live: Object, manager: str) -> Object:
    """Take over the fields that `managed_fields.taken_over` selects; retry while controllers write to the object."""
    for _ in range(TAKE_OVER_ATTEMPTS):
        entries = managed_fields.taken_over(live, manager)
        if entries is None:
            break
        patch: list[Object] = [
            {"op": "replace", "path": "/metadata/managedFields", "value": list[Property](entries)},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": text(live, "metadata", "resourceVersion")},
        ]
        try:
            return cluster.request("PATCH", live, body=patch, content_type=JSON_PATCH)
        except ApiError as error:
            if error.status != HTTPStatus.CONFLICT:
                raise
        live = cluster.get(live)
    return live


def _query(manager: str, dry_run: bool) -> dict[str, str]:
    return {"fieldManager": manager, **({"dryRun": "All"} if dry_run else {})}


def _warn(cluster: Cluster, reporter: Reporter | None) -> Callable[[str], None]:
    def warn(message: str) -> None:
        if reporter is not None and not (cluster.settings.suppress_deprecation_warnings and "deprecated" in message):
            reporter.warn(message)

    return warn

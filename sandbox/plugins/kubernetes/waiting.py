"""Waits until an object is ready or deleted."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from sandbox.plugins.errors import PluginError
from sandbox.plugins.kubernetes import conditions, ready_core, ready_workloads
from sandbox.plugins.kubernetes.api import ApiError
from sandbox.plugins.kubernetes.cluster import Cluster
from sandbox.plugins.kubernetes.discovery import NoSuchKindError
from sandbox.plugins.kubernetes.enginelog import Reporter
from sandbox.plugins.kubernetes.informers import Informer
from sandbox.plugins.kubernetes.objects import Kind, Object, annotation, dig, name, namespace, number, text
from sandbox.plugins.kubernetes.readiness import MINUTE, Check, Criterion

SKIP_AWAIT: Final = "pulumi.com/skipAwait"
TIMEOUT: Final = "pulumi.com/timeoutSeconds"
DEFAULT_SECONDS: Final = 10 * MINUTE
CRITERIA: Final[Mapping[tuple[str, str], Criterion]] = {**ready_core.CRITERIA, **ready_workloads.CRITERIA}
RECHECK_SECONDS: Final = 2.0
"""A watch reports a deletion at once, but not if the CRD of the object was deleted too."""
# For these kinds, skipAwait also skips the wait for the deletion: `allowsSkipAwaitWithDelete` in overrides.go.
SKIPPED_DELETIONS: Final = frozenset(
    {"DaemonSet", "Deployment", "Job", "Namespace", "Pod", "ReplicationController", "StatefulSet"}
)


class NotReadyError(Exception):
    """An object exists but is not ready, or is not deleted. `live` is its last known state."""

    def __init__(self, message: str, problems: tuple[str, ...], live: Object) -> None:
        """`problems` are the known reasons."""
        super().__init__(message)
        self.message, self.problems, self.live = message, problems, live


class LiveView:
    """Objects in the namespace, from informers."""

    def __init__(self, informers: dict[Kind, Informer]) -> None:
        """Show the kinds of these informers."""
        self._informers = informers

    def all(self, kind: Kind) -> list[Object]:
        """Return the last known objects of a kind."""
        return self._informers[kind].all() if kind in self._informers else []


class ListView:
    """Objects in the namespace, listed on each call."""

    def __init__(self, cluster: Cluster, in_namespace: str) -> None:
        """Show the objects in one namespace."""
        self._cluster, self._namespace = cluster, in_namespace

    def all(self, kind: Kind) -> list[Object]:
        """List the objects of a kind."""
        return self._cluster.list(kind, self._namespace)


def criterion(kind: Kind) -> Criterion | None:
    """Return the readiness criterion of a kind, None if its objects are ready as soon as they exist."""
    return CRITERIA.get((kind.group, kind.kind))


def seconds(inputs: Object, timeout: float) -> float | None:
    """Return the timeout of an operation: of its resource option, else of its annotation."""
    if timeout:
        return timeout
    written = annotation(inputs, TIMEOUT)
    return float(written) if written.isdigit() else None


def until_ready(cluster: Cluster, live: Object, inputs: Object, timeout: float, reporter: Reporter) -> Object:
    """Return the object when it is ready. Raises only NotReadyError, because state must record an existing object."""
    try:
        return _until_ready(cluster, live, inputs, timeout, reporter)
    except (ApiError, NoSuchKindError, PluginError) as error:
        raise NotReadyError(f"'{name(live)}' can't be watched: {error}", (), live) from error


def _until_ready(cluster: Cluster, live: Object, inputs: Object, timeout: float, reporter: Reporter) -> Object:
    chosen = _criterion(live, inputs)
    if chosen is None:
        return live
    deadline = time.monotonic() + (seconds(inputs, timeout) or chosen.timeout)
    kind, informers = Kind.of(live), {}
    first = chosen.check(live, LiveView({}))
    if first.ready and not chosen.needs:
        return live
    for needed in (kind, *chosen.needs):
        try:
            informers[needed] = cluster.watch(needed, namespace(live))
        except NoSuchKindError:
            continue
    with cluster.informers.listening(list(informers.values())) as wake:
        seen_alive = False
        while True:
            wake.clear()
            latest = informers[kind].get(name(live))
            if latest is not None and text(latest, "metadata", "uid") == text(live, "metadata", "uid"):
                seen_alive = True
                live = latest if _is_newer(latest, live) else live
            elif seen_alive:
                raise NotReadyError(f"'{name(live)}' was deleted while waiting for it to be Ready", (), live)
            verdict = chosen.check(live, LiveView(informers))
            if verdict.ready and all(informer.synced for informer in informers.values()):
                reporter.status("")
                return live
            if verdict.failed:
                message = f"Resource '{name(live)}' was created but failed to initialize"
                raise NotReadyError(message, verdict.problems, live)
            reporter.status(verdict.message)
            _pause(cluster, wake, deadline, live, verdict.problems, "Ready")


def check_now(cluster: Cluster, live: Object, inputs: Object) -> None:
    """Raise NotReadyError if an object is not ready, for a refresh."""
    chosen = criterion(Kind.of(live))
    if chosen is None or not chosen.on_read or annotation(inputs, SKIP_AWAIT) == "true":
        return
    verdict = chosen.check(live, ListView(cluster, namespace(live)))
    if not verdict.ready:
        raise NotReadyError(
            f"Resource '{name(live)}' was created but failed to initialize",
            verdict.problems or (verdict.message,),
            live,
        )


def until_gone(cluster: Cluster, live: Object, inputs: Object, timeout: float, reporter: Reporter) -> None:
    """Return when the object is deleted. Raises NotReadyError."""
    kind = Kind.of(live)
    if annotation(inputs, SKIP_AWAIT) == "true" and kind.kind in SKIPPED_DELETIONS:
        return
    deadline = time.monotonic() + (seconds(inputs, timeout) or DEFAULT_SECONDS)
    last = _existing(cluster, live)
    if last is None:
        return
    try:
        informer = cluster.watch(kind, namespace(live))
    except NoSuchKindError:
        return
    has_changed = True
    with cluster.informers.listening([informer]) as wake:
        while True:
            wake.clear()
            latest = informer.get(name(live))
            gone = latest is None or text(latest, "metadata", "uid") != text(last, "metadata", "uid")
            if (gone or not has_changed) and _existing(cluster, last) is None:
                reporter.status("")
                return
            last = latest if latest is not None and not gone else last
            reporter.status("Resource scheduled for deletion")
            finalizers = dig(last, "metadata", "finalizers")
            blocking = ", ".join(map(str, finalizers)) if isinstance(finalizers, list) else ""
            problems = (f"finalizers might be preventing deletion ({blocking})",) if blocking else ()
            has_changed = _pause(cluster, wake, deadline, last, problems, "deleted", RECHECK_SECONDS)


def _existing(cluster: Cluster, obj: Object) -> Object | None:
    try:
        found = cluster.get(obj)
    except NoSuchKindError:
        return None
    except ApiError as error:
        if error.status == HTTPStatus.NOT_FOUND:
            return None
        raise
    uid = text(obj, "metadata", "uid")
    return found if not uid or text(found, "metadata", "uid") == uid else None


def _criterion(live: Object, inputs: Object) -> Criterion | None:
    if annotation(inputs, SKIP_AWAIT) == "true":
        return None
    written = annotation(inputs, conditions.WAIT_FOR)
    if not written:
        return criterion(Kind.of(live))
    try:
        check: Check = conditions.parse(written)
    except PluginError as error:
        raise NotReadyError(error.message, (), live) from error
    return Criterion(check)


def _is_newer(latest: Object, live: Object) -> bool:
    """Return whether an informer has caught up with a response: resource versions are ordered numbers (KEP-5504)."""
    versions = [text(obj, "metadata", "resourceVersion") for obj in (latest, live)]
    if all(version.isdigit() for version in versions):
        return int(versions[0]) >= int(versions[1])
    return number(latest, "metadata", "generation") >= number(live, "metadata", "generation")


def _pause(
    cluster: Cluster,
    wake: threading.Event,
    deadline: float,
    live: Object,
    problems: tuple[str, ...],
    goal: str,
    most: float = math.inf,
) -> bool:
    """Sleep until something changes, at most `most` seconds; return whether something has changed.

    Raises NotReadyError on cancellation and at the deadline. `goal` is the awaited state of the object.
    """
    if cluster.cancellation:
        raise NotReadyError(f'Resource operation was cancelled for "{name(live)}"', problems, live)
    left = deadline - time.monotonic()
    if left <= 0:
        raise NotReadyError(f"'{name(live)}' timed out waiting to be {goal}", problems, live)
    return wake.wait(min(left, most))

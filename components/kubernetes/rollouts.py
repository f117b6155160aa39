"""How long an update waits for pods and Jobs. It follows from their number, their probes and their grace periods.

Pulumi waits ten minutes by default, and then reports an update as failed that goes well (`getTimeout` in
provider/pkg/await/await.go of pulumi-kubernetes). It never gives up earlier, also if Kubernetes reports that a rollout
makes no progress, but it shows why pods do not start while it waits.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi

from components.kubernetes.pods import PodTemplate

PLACEMENT_SECONDS = 300
"""Until the containers of a pod start: a node joins the cluster, the volume is attached, the images are pulled."""

MARGIN_SECONDS = 300
"""How much longer than Kubernetes an update waits, so that it can report the reason that Kubernetes gives."""

RETRY_SECONDS = 10
RETRY_LIMIT_SECONDS = 360
"""The pause before a Job's first retry. Each further one is twice as long, up to the limit
(kubernetes.io/docs/concepts/workloads/controllers/job, "Pod backoff failure policy")."""


def surge(replicas: int) -> int:
    """How many additional pods a rolling update starts at a time: a quarter of all, as Kubernetes does by default."""
    return math.ceil(replicas / 4)


def start_seconds(template: PodTemplate) -> int:
    """The longest time in which the probes let the containers of a pod become ready. They start in parallel."""
    containers: Sequence[Mapping[str, Any]] = _spec(template)["containers"]
    return max(_window(one.get("startup_probe")) + _period(one.get("readiness_probe")) for one in containers)


def grace_seconds(template: PodTemplate) -> int:
    """The time between SIGTERM and SIGKILL."""
    return int(_spec(template)["termination_grace_period_seconds"])


def round_seconds(template: PodTemplate, start: int | None = None) -> int:
    """The time to replace one pod, or several at the same time: a new one is placed and starts, an old one drains.

    The old pods count because a full cluster places the next pods only where they have left.

    Args:
        template: The template of the pods.
        start: Time to start, if the probes do not tell it.
    """
    return PLACEMENT_SECONDS + (start or start_seconds(template)) + grace_seconds(template)


def job_seconds(attempt: int, retries: int) -> int:
    """The deadline of a Job: the time for all its attempts, of `attempt` seconds each, and the pauses between them."""
    pauses = sum(min(RETRY_SECONDS << number, RETRY_LIMIT_SECONDS) for number in range(retries))
    return PLACEMENT_SECONDS + (retries + 1) * attempt + pauses


def await_options(seconds: int, *, grace: int) -> pulumi.ResourceOptions:
    """Options of a resource that Kubernetes reports as ready or failed within some time.

    Args:
        seconds: The time.
        grace: The grace period of its pods: its deletion waits until they are gone.
    """
    wait, delete = (f"{math.ceil((time + MARGIN_SECONDS) / 60)}m" for time in (seconds, grace + PLACEMENT_SECONDS))
    return pulumi.ResourceOptions(custom_timeouts=pulumi.CustomTimeouts(create=wait, update=wait, delete=delete))


def _spec(template: PodTemplate) -> Mapping[str, Any]:
    """The plain dict that `pods.pod` has built."""
    return cast("Mapping[str, Any]", template["spec"])


def _window(probe: Mapping[str, Any] | None) -> int:
    """Until the kubelet gives up a start: each failure takes a period, the last one up to its timeout."""
    if probe is None:
        return 0
    delay, failures, timeout = (
        int(probe.get(key, 0)) for key in ("initial_delay_seconds", "failure_threshold", "timeout_seconds")
    )
    return delay + _period(probe) * failures + timeout


def _period(probe: Mapping[str, Any] | None) -> int:
    return int(probe["period_seconds"]) if probe else 0

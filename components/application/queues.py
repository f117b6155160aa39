"""The queues of Langfuse: which Deployment of the worker processes which (`langfuse:worker.pools`).

A worker processes a queue if `QUEUE_CONSUMER_<QUEUE>_QUEUE_IS_ENABLED` is `true` (worker/src/app.ts). The default is
`true`, except for `dead-letter-retry` and `in-app-agent-run` (worker/src/env.ts). The first Deployment therefore also
processes the queues of a release that is newer than the list of its variables.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from components.application.extra_env import names
from components.kubernetes.variables import Environment, text
from components.schema.environment import Settings

_VARIABLE: Final = re.compile(r"QUEUE_CONSUMER_(.+)_QUEUE_IS_ENABLED")

BUSY: Final = frozenset({"blob-storage-integration", "event-propagation"})
"""Queues with a job every 20 minutes, and every minute (BlobStorageIntegrationQueue and EventPropagationQueue in
packages/shared/src/server/redis). A worker that processes one of them is never idle for an hour."""

IDLE_MINUTES: Final = 12 * 60
"""How long a worker without such a queue may process no job before its liveness probe fails, instead of an hour. At
night, nobody may evaluate anything; a restart then costs nothing. A worker that hangs is still found."""

_IDLE_VARIABLE: Final = "LANGFUSE_QUEUE_CONSUMPTION_STUCK_THRESHOLD_MINUTES"


def consumers(version: str) -> Mapping[str, str]:
    """The variable of each queue that workers of a release process, by the name of the queue."""
    found = ((_VARIABLE.fullmatch(name), name) for name in sorted(names(version, "worker")))
    return {match[1].lower().replace("_", "-"): name for match, name in found if match}


def queues_of(settings: Settings, workload: str) -> frozenset[str]:
    """The queues that a Deployment of the worker processes."""
    pools = settings.worker.pools
    if workload != "worker":
        return frozenset(pools[workload.removeprefix("worker-")].queues)
    return frozenset(consumers(settings.version)) - {queue for pool in pools.values() for queue in pool.queues}


def queue_environment(settings: Settings, workload: str) -> Environment:
    """The variables by which a Deployment of the worker processes its queues only. Without pools, there are none."""
    if not settings.worker.pools:
        return {}
    own, variables = queues_of(settings, workload), consumers(settings.version)
    if workload == "worker":
        return {name: "false" for queue, name in variables.items() if queue not in own}
    return {name: text(queue in own) for queue, name in variables.items()}


def pool_environment(settings: Settings, workload: str) -> Environment:
    """What else differs between the Deployments, unless `extraEnv` sets it.

    The first one alone runs background migrations, because the resources of a pool are for its queues.
    """
    if not settings.worker.pools:
        return {}
    is_idle = not queues_of(settings, workload) & BUSY and _IDLE_VARIABLE in names(settings.version, "worker")
    return {
        **({_IDLE_VARIABLE: str(IDLE_MINUTES)} if is_idle else {}),
        **({} if workload == "worker" else {"LANGFUSE_ENABLE_BACKGROUND_MIGRATIONS": "false"}),
    }


def queues_have_one_consumer(settings: Settings) -> Iterator[str]:
    """A queue that no worker processes keeps its jobs for ever; one of two pools would not be separated."""
    known, owners = consumers(settings.version), dict[str, str]()
    for pool, found in settings.worker.pools.items():
        key = f"worker.pools.{pool}.queues"
        for queue in found.queues:
            if queue not in known:
                close = difflib.get_close_matches(queue, known, n=1)
                fix = f'did you mean "{close[0]}"?' if close else f"use some of {', '.join(known)}"
                yield f"{key}: {json.dumps(queue)} is not a queue of Langfuse {settings.version}; {fix}"
            elif (owner := owners.setdefault(queue, pool)) != pool:
                yield f"{key}: {json.dumps(queue)} is also in pool {owner}; remove it from one of them"
    for name, variable in settings.extra_env.items():
        if _VARIABLE.fullmatch(name) and variable.value == "false" and not variable.insist:
            yield (
                f"extraEnv.{name}: no worker would process the queue, and its jobs would wait for ever; remove it, or "
                "add `insist: true` if nothing uses the queue"
            )

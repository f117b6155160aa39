"""The resource requests of an installation: its steady-state pods with their volumes.

Jobs come on top while they run: the migration during an update, and backups on their schedules. They have no volumes.
The quota and the sizing command use this list. A test compares it with the pods that the program registers.
"""

from collections.abc import Sequence

from components.application.own_metrics import exporter_pods
from components.application.sign_in_proxy import RESOURCES
from components.schema.environment import Settings
from components.schema.requests import Pods, Requests
from components.schema.workloads import Workload
from components.stores.contract import SIGN_IN_PROXY
from components.stores.modes import StoreModes


def steady_state_pods(settings: Settings) -> Sequence[Pods]:
    """All pods that run permanently. An autoscaled workload counts with its maximum."""
    stores = [pods for mode in StoreModes.of(settings) for pods in mode.pods()]
    proxy = settings.ingress.sign_in_proxy
    front = [Pods(name=SIGN_IN_PROXY, replicas=proxy.replicas, each=Requests.of(RESOURCES))] if proxy else []
    workloads = (_deployment(*named) for named in settings.deployments.items())
    return [*front, *exporter_pods(settings), *workloads, *stores]


def _deployment(name: str, workload: Workload) -> Pods:
    replicas = workload.autoscaling.max_replicas if workload.autoscaling else workload.replicas
    return Pods(name=name, replicas=replicas, each=Requests.of(workload.resources))

"""The flows of an installation: the input of network policies and of the mesh's rules."""

from collections.abc import Sequence
from dataclasses import replace

from components.application.outbound import outbound_flows
from components.network.egress import is_the_pod_itself, namespace_of
from components.schema.environment import Settings
from components.stores.connections import Endpoint
from components.stores.contract import OFF_SITE_COPY, Flow
from components.stores.modes import StoreModes


def flows(settings: Settings, stores: StoreModes) -> Sequence[Flow]:
    """Every flow to a server of the installation, and to addresses outside that the configuration names.

    What pods connect to in their own namespace, or in themselves, is not outside.
    """
    found = [flow for mode in stores for flow in mode.flows()]
    if off_site := settings.backups.off_site:
        endpoint = Endpoint.of_url(off_site.endpoint)
        found.append(Flow(purpose="off-site", endpoints=[endpoint], clients=[OFF_SITE_COPY]))
    found += outbound_flows(settings)
    outside = (replace(flow, endpoints=[one for one in flow.endpoints if _is_outside(one, settings)]) for flow in found)
    return [flow for flow in outside if flow.server or flow.endpoints or flow.ports]


def _is_outside(endpoint: Endpoint, settings: Settings) -> bool:
    return not is_the_pod_itself(endpoint.host) and namespace_of(endpoint.host) != settings.namespace

"""The flows of an installation: the input of network policies and of the mesh's rules."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from components.application.environment import WEB_PORT
from components.application.outbound import outbound_flows
from components.application.own_metrics import own_metrics_flows
from components.application.queue_scaling import KEDA_PODS, looks_at_queues
from components.application.sign_in_proxy import PORT
from components.credentials.sources import has_admin_api_key
from components.network.egress import is_the_pod_itself, namespace_of
from components.schema.environment import Settings
from components.stores.connections import Endpoint
from components.stores.contract import (
    BEFORE_UPGRADE,
    CLIENTS,
    FETCH_SET,
    OFF_SITE,
    REPLAY,
    REVOKE_KEY,
    SIGN_IN_PROXY,
    Flow,
)
from components.stores.modes import StoreModes


def flows(settings: Settings, stores: StoreModes) -> Sequence[Flow]:
    """Every flow to a server of the installation, and to addresses outside that the configuration names.

    What pods connect to in their own namespace, or in themselves, is not outside.
    """
    found = [flow for mode in stores for flow in mode.flows()]
    found += _queue_lengths(settings, stores)
    found += _copies(settings)
    if proxy := settings.ingress.sign_in_proxy:
        found.append(Flow(purpose="web", server="web", ports=[WEB_PORT], clients=[SIGN_IN_PROXY]))
        issuer = Endpoint.of_url(proxy.issuer)  # other endpoints of the provider may have other hosts
        found.append(Flow(purpose="sign-in-proxy", endpoints=[issuer], ports=[443], clients=[SIGN_IN_PROXY]))
    if has_admin_api_key(settings):
        found.append(Flow(purpose="web", server="web", ports=[WEB_PORT], clients=[REPLAY]))
    if settings.backups.before_upgrade:
        found.append(Flow(purpose="web", server="web", ports=[WEB_PORT], clients=[BEFORE_UPGRADE]))
    found += [*outbound_flows(settings), *own_metrics_flows(settings)]
    outside = (_of_installation(flow, settings) for flow in found)
    return [flow for flow in outside if flow.server or flow.endpoints or flow.ports]


def _queue_lengths(settings: Settings, stores: StoreModes) -> Iterator[Flow]:
    """KEDA looks at the queues in the Redis of this stack."""
    if looks_at_queues(settings):
        for flow in stores.redis.flows():
            if flow.server:
                yield replace(flow, clients=(), operators={settings.cluster.operators.keda: KEDA_PODS})


def _of_installation(flow: Flow, settings: Settings) -> Flow:
    """A flow without endpoints inside of the namespace, from the workloads that this installation has."""
    endpoints = [one for one in flow.endpoints if _is_outside(one, settings)]
    clients = [client for client in flow.clients if client not in (CLIENTS, REVOKE_KEY) or settings.clients]
    return replace(flow, endpoints=endpoints, clients=settings.members(clients))


def _copies(settings: Settings) -> Iterator[Flow]:
    """Flows to object stores with copies."""
    off_site, import_from = settings.backups.off_site, settings.backups.import_from
    if off_site:
        clients = [*OFF_SITE, *(() if import_from else (FETCH_SET,))]
        yield Flow(purpose="off-site", endpoints=[Endpoint.of_url(off_site.endpoint)], clients=clients)
    if import_from:
        yield Flow(purpose="import-from", endpoints=[Endpoint.of_url(import_from.endpoint)], clients=[FETCH_SET])


def _is_outside(endpoint: Endpoint, settings: Settings) -> bool:
    return not is_the_pod_itself(endpoint.host) and namespace_of(endpoint.host) != settings.namespace


def public_ports(settings: Settings, stores: StoreModes) -> Mapping[str, int]:
    """The ports where clients from outside the namespace connect, by server."""
    store = stores.object_store
    return {
        **dict.fromkeys(settings.web_deployments, WEB_PORT),
        **({SIGN_IN_PROXY: PORT} if settings.ingress.sign_in_proxy else {}),
        **({store.name: store.public_port} if store.public_port else {}),
    }

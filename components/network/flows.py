"""The flows of an installation: the input of network policies and of the mesh's rules."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from components.schema.environment import Settings
from components.stores.contract import OFF_SITE_COPY, Flow
from components.stores.modes import StoreModes


def flows(settings: Settings, stores: StoreModes) -> Sequence[Flow]:
    """Every flow to a store, including that of the off-site copy to the second object store."""
    found = [flow for mode in stores for flow in mode.flows()]
    if off_site := settings.backups.off_site:
        port = url_port(off_site.endpoint)
        found.append(Flow(purpose="off-site", server=None, ports=[port], clients=[OFF_SITE_COPY]))
    return found


def url_port(url: str) -> int:
    """The port of a URL."""
    parts = urlsplit(url)
    return parts.port or {"http": 80}.get(parts.scheme, 443)

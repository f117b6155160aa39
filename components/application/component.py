"""What the workloads of the application have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.kubernetes.installation import Installation
from components.kubernetes.pods import Mount
from components.schema.environment import Settings
from components.stores.connections import Connections
from components.stores.contract import ChecksumAnnotations, SecretRefs


@dataclass(frozen=True, kw_only=True)
class ApplicationContext:
    """What every workload of the application needs."""

    installation: Installation
    settings: Settings
    stores: Connections
    refs: SecretRefs
    checksum_annotations: ChecksumAnnotations
    ca_bundles: Sequence[Mount]
    """CA bundles that verify the certificates of external stores."""
